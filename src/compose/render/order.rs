//! The order of keys in YAML: Docker Compose's writer sorts numbers in names by their value.

use std::cmp::Ordering;

/// `a2` before `a10`, other signs before letters, and letters before digits only within a number.
pub(super) fn natural(a: &str, b: &str) -> Ordering {
    let (left, right): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let differing = left.iter().zip(&right).position(|(a, b)| a != b);
    let Some(at) = differing else {
        return left.len().cmp(&right.len());
    };
    let (l, r) = (left[at], right[at]);
    let behind_digit = at > 0 && left[at - 1].is_numeric();
    match (l.is_alphabetic(), r.is_alphabetic()) {
        (true, true) => return l.cmp(&r),
        (true, false) | (false, true) => {
            let letter_first = l.is_alphabetic() == behind_digit;
            return if letter_first {
                Ordering::Less
            } else {
                Ordering::Greater
            };
        }
        (false, false) => {}
    }
    // A zero behind another digit that is not zero is part of a number, not before one.
    let in_number = || {
        let digits = left[..at].iter().rev().take_while(|c| c.is_ascii_digit());
        digits.into_iter().any(|digit| *digit != '0')
    };
    let start = i64::from((l == '0' || r == '0') && in_number());
    let number = |text: &[char]| {
        let digits: Vec<i64> = text[at..]
            .iter()
            .map_while(|c| c.to_digit(10))
            .map(i64::from)
            .collect();
        let value = digits.iter().fold(start, |value, digit| {
            value.wrapping_mul(10).wrapping_add(*digit)
        });
        (value, digits.len())
    };
    number(&left).cmp(&number(&right)).then(l.cmp(&r))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_are_sorted_by_their_value() {
        let sorted = [
            "", "-", "_a", "1", "2", "10", "a", "a b", "a-b", "a.b", "a_b", "a1", "a1b", "a2",
            "a02", "a10", "a100", "aB", "ab", "b",
        ];
        let mut names = sorted;
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, sorted);
    }
}
