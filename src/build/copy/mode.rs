//! `--chmod`: octal, or the words of chmod(1). Pure.

/// A change of modes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::build) enum ModeChange {
    /// This mode.
    Octal(u32),
    /// Changes one after the other.
    Symbolic(Vec<Clause>),
}

/// One `who op permissions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::build) struct Clause {
    /// Bits of user, group and others that it is about, as 0o700, 0o070, 0o007.
    who: u32,
    operation: Operation,
    /// `rwx` as 0o7.
    bits: u32,
    /// `X`: execution for directories and what somebody may execute already.
    execute_if: bool,
    /// `s`.
    set_id: bool,
    /// `t`.
    sticky: bool,
    /// `u`, `g`, `o`: the permissions of those, as 0o700, 0o070, 0o007.
    copied: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Add,
    Remove,
    Set,
}

impl ModeChange {
    /// Reads a change; `None` = it is none.
    pub(in crate::build) fn parse(text: &str) -> Option<Self> {
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            let mode = u32::from_str_radix(text, 8).ok()?;
            return (mode <= 0o7777).then_some(Self::Octal(mode));
        }
        let mut clauses = Vec::new();
        for part in text.split(',') {
            clause(part, &mut clauses)?;
        }
        Some(Self::Symbolic(clauses))
    }

    /// The mode that a file gets which has this one.
    pub(in crate::build) fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        match self {
            Self::Octal(mode) => *mode,
            Self::Symbolic(clauses) => clauses
                .iter()
                .fold(mode, |mode, clause| clause.apply(mode, is_directory)),
        }
    }
}

fn clause(text: &str, out: &mut Vec<Clause>) -> Option<()> {
    let operation = text.find(['+', '-', '='])?;
    let mut who = 0;
    for letter in text[..operation].chars() {
        who |= match letter {
            'u' => 0o700,
            'g' => 0o070,
            'o' => 0o007,
            'a' => 0o777,
            _ => return None,
        };
    }
    if who == 0 {
        who = 0o777;
    }
    let mut rest = &text[operation..];
    while let Some(first) = rest.chars().next() {
        let operation = match first {
            '+' => Operation::Add,
            '-' => Operation::Remove,
            '=' => Operation::Set,
            _ => return None,
        };
        let end = rest[1..]
            .find(['+', '-', '='])
            .map_or(rest.len(), |at| at + 1);
        out.push(permissions(&rest[1..end], who, operation)?);
        rest = &rest[end..];
    }
    Some(())
}

fn permissions(text: &str, who: u32, operation: Operation) -> Option<Clause> {
    let mut clause = Clause {
        who,
        operation,
        bits: 0,
        execute_if: false,
        set_id: false,
        sticky: false,
        copied: None,
    };
    for letter in text.chars() {
        match letter {
            'r' => clause.bits |= 4,
            'w' => clause.bits |= 2,
            'x' => clause.bits |= 1,
            'X' => clause.execute_if = true,
            's' => clause.set_id = true,
            't' => clause.sticky = true,
            'u' | 'g' | 'o' if text.len() == 1 => {
                clause.copied = Some(match letter {
                    'u' => 0o700,
                    'g' => 0o070,
                    _ => 0o007,
                });
            }
            _ => return None,
        }
    }
    Some(clause)
}

impl Clause {
    fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        let mut bits = self.bits;
        if self.execute_if && (is_directory || mode & 0o111 != 0) {
            bits |= 1;
        }
        if let Some(from) = self.copied {
            let shift = from.trailing_zeros();
            bits = (mode & from) >> shift;
        }
        let mut change = (bits * 0o111) & self.who;
        if self.set_id {
            change |= if self.who & 0o700 != 0 { 0o4000 } else { 0 };
            change |= if self.who & 0o070 != 0 { 0o2000 } else { 0 };
        }
        if self.sticky {
            change |= 0o1000;
        }
        match self.operation {
            Operation::Add => mode | change,
            Operation::Remove => mode & !change,
            Operation::Set => {
                let mut cleared = self.who;
                // chmod(1): a directory keeps its set-id bits unless they are named.
                if !is_directory {
                    cleared |= if self.who & 0o700 != 0 { 0o4000 } else { 0 };
                    cleared |= if self.who & 0o070 != 0 { 0o2000 } else { 0 };
                }
                mode & !cleared | change
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_change_as_with_chmod() {
        for (text, before, directory, after) in [
            ("755", 0o600, false, 0o755),
            ("0644", 0o777, false, 0o644),
            ("4755", 0o600, false, 0o4755),
            ("u+x", 0o644, false, 0o744),
            ("+x", 0o644, false, 0o755),
            ("go-rwx", 0o777, false, 0o700),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("u=rwX,go=rX", 0o700, false, 0o755),
            ("u=rwX,go=rX", 0o600, true, 0o755),
            ("a=r", 0o777, false, 0o444),
            ("g=u", 0o640, false, 0o660),
            ("u+s,g+s", 0o755, false, 0o6755),
            ("+t", 0o777, true, 0o1777),
            ("u=rw+x", 0o000, false, 0o700),
            ("u-s", 0o4755, false, 0o755),
        ] {
            let change = ModeChange::parse(text).unwrap();
            let found = change.apply(before, directory);
            assert_eq!(found, after, "{text} of {before:o}: {found:o}");
        }
        for text in ["", "8", "99999", "x", "u~x", "u+y", "z=r"] {
            assert_eq!(ModeChange::parse(text), None, "{text}");
        }
    }
}
