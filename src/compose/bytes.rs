//! Sizes in bytes as Compose writes them: `64m`, `1gb`, `1.5GiB`, all binary; or a plain number.

/// Why a text is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SizeError {
    #[error("it has no number")]
    NoNumber,
    #[error("`{0}` is not a unit")]
    UnknownUnit(String),
    #[error("it is negative")]
    Negative,
    #[error("it is too large")]
    TooLarge,
}

/// Reads a size. `-1` (unlimited) is for the caller to look at first.
pub(super) fn parse(text: &str) -> Result<u64, SizeError> {
    let text = text.trim();
    if text.starts_with('-') {
        return Err(SizeError::Negative);
    }
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.strip_prefix(' ').unwrap_or(unit);
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        "p" | "pb" | "pib" => 50,
        _ if number.is_empty() => return Err(SizeError::NoNumber),
        _ => return Err(SizeError::UnknownUnit(unit.to_owned())),
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole
            .checked_mul(1 << shift)
            .filter(|size| i64::try_from(*size).is_ok())
            .ok_or(SizeError::TooLarge);
    }
    let digits = number.bytes().any(|b| b.is_ascii_digit());
    let number: f64 = match number.parse() {
        Ok(number) if digits => number,
        _ => return Err(SizeError::NoNumber),
    };
    let size = number * (1u64 << shift) as f64;
    if size < i64::MAX as f64 {
        Ok(size as u64)
    } else {
        Err(SizeError::TooLarge)
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
            ("-1", Err(SizeError::Negative)),
            ("99999999p", Err(SizeError::TooLarge)),
            ("1.2.3m", Err(SizeError::NoNumber)),
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
