//! Files that editors and tools make for themselves. The list is that of Docker Compose.

/// How names begin and end that are nobody's work.
const TEMPORARY: [(&str, &str); 11] = [
    // JetBrains
    ("", "___jb_old___"),
    ("", "___jb_tmp___"),
    // Emacs
    (".#", ""),
    ("#", "#"),
    // vim, and what this program writes before it renames it
    ("", "~"),
    (".", ".swp"),
    (".", ".swx"),
    (".", ".swo"),
    (".", ".swn"),
    // Kate
    (".", ".kate-swp"),
    // the Go tools
    ("", "-go-tmp-umask"),
];

/// The file that vim makes to see whether it can make files in a directory.
const PROBE: &str = "4913";
/// Where JetBrains' editors keep their settings.
const SETTINGS: &str = ".idea";

/// Whether a file or directory of this name is of no interest.
pub(super) fn is_temporary(name: &str) -> bool {
    let fits = |(begin, end): &(&str, &str)| {
        name.strip_prefix(begin)
            .is_some_and(|rest| rest.ends_with(end))
    };
    name == PROBE || TEMPORARY.iter().any(fits)
}

/// Whether a path leads into a directory with an editor's settings.
pub(super) fn is_in_settings(path: &str) -> bool {
    let mut names = path.split('/');
    names.any(|name| name == SETTINGS) && names.next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_editors_make_for_themselves_is_known_by_its_name() {
        for name in [
            "4913",
            "file~",
            ".file.swp",
            ".file.swx",
            ".#file",
            "#file#",
            "a.rs___jb_tmp___",
            "a.rs___jb_old___",
            ".a.kate-swp",
            "x-go-tmp-umask",
        ] {
            assert!(is_temporary(name), "{name}");
        }
        for name in [
            "file", "a.swp", ".swift", "#file", "49130", ".a.swi", "~a", "#",
        ] {
            assert!(!is_temporary(name), "{name}");
        }
        assert!(is_in_settings("a/.idea/workspace.xml"));
        assert!(!is_in_settings("a/.idea"));
        assert!(!is_in_settings("a/idea/x"));
    }
}
