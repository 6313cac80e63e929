//! Sizes in bytes as Compose writes them: `64m`, `1gb`, `1.5GiB`, all binary; or a plain number.

/// Why a text is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SizeError {
    #[error("it has no number")]
    NoNumber,
    #[error("`{0}` is not a number")]
    NotANumber(String),
    #[error("`{0}` is not a unit")]
    UnknownUnit(String),
    #[error("it is negative")]
    Negative,
}

/// Reads a size. What is too large comes out as the smallest number, as it does in Docker Compose.
pub(super) fn parse(text: &str) -> Result<i64, SizeError> {
    if let Ok(bytes) = text.parse() {
        return Ok(bytes);
    }
    let is_number = |c: char| c.is_ascii_digit() || matches!(c, '.' | ' ');
    let end = text.rfind(is_number).ok_or(SizeError::NoNumber)?;
    let (number, unit) = match text.as_bytes().get(end) {
        Some(b' ') => (&text[..end], &text[end + 1..]),
        _ => text.split_at(end + 1),
    };
    if !super::scalar::is_float(number) {
        return Err(SizeError::NotANumber(number.to_owned()));
    }
    let number: f64 = number
        .parse()
        .map_err(|_| SizeError::NotANumber(number.to_owned()))?;
    if number < 0.0 {
        return Err(SizeError::Negative);
    }
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        "p" | "pb" | "pib" => 50,
        _ => return Err(SizeError::UnknownUnit(unit.to_owned())),
    };
    let size = number * (1u64 << shift) as f64;
    match size < i64::MAX as f64 {
        true => Ok(size as i64),
        false => Ok(i64::MIN),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_binary_whatever_the_unit_is_called() {
        let table = [
            ("1000", Ok(1000)),
            ("1b", Ok(1)),
            ("64m", Ok(67_108_864)),
            ("64MB", Ok(67_108_864)),
            ("64mib", Ok(67_108_864)),
            ("64 mb", Ok(67_108_864)),
            ("1.5g", Ok(1_610_612_736)),
            ("1k", Ok(1024)),
            ("0", Ok(0)),
            ("10x", Err(SizeError::UnknownUnit("x".to_owned()))),
            ("", Err(SizeError::NoNumber)),
            ("m", Err(SizeError::NoNumber)),
            ("5e3", Ok(5000)),
            ("-1", Ok(-1)),
            ("-1m", Err(SizeError::Negative)),
            ("99999999p", Ok(i64::MIN)),
            ("1.2.3m", Err(SizeError::NotANumber("1.2.3".to_owned()))),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail_badly(text in "[0-9.]{0,30}[a-z ]{0,4}|.{0,20}") {
            let _ = parse(&text);
        }
    }
}
