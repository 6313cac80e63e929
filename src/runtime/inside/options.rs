//! The options of a mount, as the OCI runtime spec and fstab write them. Pure.

use crate::sys::mount_attr::{
    ATIME, MountAttr, NOATIME, NODEV, NODIRATIME, NOEXEC, NOSUID, NOSYMFOLLOW, RDONLY, RELATIME,
    Reach, STRICTATIME,
};

/// Mount options, sorted by who takes them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// A bind mount, of the one mount or the tree of them.
    pub(crate) bind: Option<Reach>,
    /// Attributes of the mount itself.
    pub(crate) attr: MountAttr,
    /// Attributes of it and everything below it (`rro`, `rnosuid`…).
    pub(crate) tree_attr: MountAttr,
    /// `MS_PRIVATE`…, and for how much.
    pub(crate) propagation: Option<(u64, Reach)>,
    /// What the file system takes: `size=64m`, or a word alone.
    pub(crate) data: Vec<(String, Option<String>)>,
}

impl Options {
    /// Sorts a list of options; the last one of a kind counts. `None` of these is an error: what
    /// nobody knows here is for the file system to refuse.
    pub(crate) fn parse<S: AsRef<str>>(options: &[S]) -> Self {
        let mut out = Self::default();
        for option in options
            .iter()
            .map(AsRef::as_ref)
            .filter(|option| !option.is_empty())
        {
            match option {
                "bind" => out.bind = Some(Reach::One),
                "rbind" => out.bind = Some(Reach::Tree),
                // Said by fstab writers, mean nothing to the kernel.
                "defaults" | "async" | "auto" | "noauto" | "user" | "nouser" | "_netdev"
                | "nofail" => {}
                _ => out.add(option),
            }
        }
        out
    }

    fn add(&mut self, option: &str) {
        if let Some(propagation) = propagation(option) {
            self.propagation = Some(propagation);
        } else if let Some((set, clear)) = attribute(option) {
            change(&mut self.attr, set, clear);
        } else if let Some((set, clear)) = option.strip_prefix('r').and_then(attribute) {
            change(&mut self.tree_attr, set, clear);
        } else {
            let (key, value) = match option.split_once('=') {
                Some((key, value)) => (key, Some(value.to_owned())),
                None => (option, None),
            };
            self.data.push((key.to_owned(), value));
        }
    }
}

fn change(attr: &mut MountAttr, set: u64, clear: u64) {
    attr.set = (attr.set & !clear) | set;
    // Changing the access time mode means clearing the whole field first (mount_setattr(2)).
    attr.clear = (attr.clear & !set) | clear;
}

fn propagation(option: &str) -> Option<(u64, Reach)> {
    Some(match option {
        "private" => (libc::MS_PRIVATE, Reach::One),
        "rprivate" => (libc::MS_PRIVATE, Reach::Tree),
        "slave" => (libc::MS_SLAVE, Reach::One),
        "rslave" => (libc::MS_SLAVE, Reach::Tree),
        "shared" => (libc::MS_SHARED, Reach::One),
        "rshared" => (libc::MS_SHARED, Reach::Tree),
        "unbindable" => (libc::MS_UNBINDABLE, Reach::One),
        "runbindable" => (libc::MS_UNBINDABLE, Reach::Tree),
        _ => return None,
    })
}

/// The bits that an option sets and clears.
fn attribute(option: &str) -> Option<(u64, u64)> {
    Some(match option {
        "ro" => (RDONLY, 0),
        "rw" => (0, RDONLY),
        "nosuid" => (NOSUID, 0),
        "suid" => (0, NOSUID),
        "nodev" => (NODEV, 0),
        "dev" => (0, NODEV),
        "noexec" => (NOEXEC, 0),
        "exec" => (0, NOEXEC),
        "noatime" => (NOATIME, ATIME),
        "relatime" | "atime" | "norelatime" => (RELATIME, ATIME),
        "strictatime" => (STRICTATIME, ATIME),
        "nodiratime" => (NODIRATIME, 0),
        "diratime" => (0, NODIRATIME),
        "nosymfollow" => (NOSYMFOLLOW, 0),
        "symfollow" => (0, NOSYMFOLLOW),
        _ => return None,
    })
}

/// The propagation of the root, as `linux.rootfsPropagation` names it; slave when it says nothing.
pub(crate) fn root_propagation(name: Option<&str>) -> Option<u64> {
    match name.unwrap_or("rslave") {
        "" => Some(libc::MS_SLAVE),
        name => propagation(name).map(|(flag, _)| flag),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_sorted_by_who_takes_them() {
        let options = Options::parse(&[
            "nosuid",
            "strictatime",
            "mode=755",
            "size=65536k",
            "newinstance",
        ]);
        assert_eq!(options.attr.set, NOSUID | STRICTATIME);
        assert_eq!(options.attr.clear, ATIME);
        assert_eq!(options.bind, None);
        assert_eq!(
            options.data,
            [
                ("mode".into(), Some("755".into())),
                ("size".into(), Some("65536k".into())),
                ("newinstance".into(), None)
            ]
        );
    }

    #[test]
    fn bind_options() {
        type Row<'a> = (&'a [&'a str], Option<Reach>, u64, u64, Option<(u64, Reach)>);
        let table: &[Row<'_>] = &[
            (&["bind"], Some(Reach::One), 0, 0, None),
            (&["rbind", "ro"], Some(Reach::Tree), RDONLY, 0, None),
            (&["rbind", "rro"], Some(Reach::Tree), 0, RDONLY, None),
            (&["rbind", "ro", "rw"], Some(Reach::Tree), 0, 0, None),
            (
                &["rbind", "rprivate"],
                Some(Reach::Tree),
                0,
                0,
                Some((libc::MS_PRIVATE, Reach::Tree)),
            ),
            (
                &["bind", "shared"],
                Some(Reach::One),
                0,
                0,
                Some((libc::MS_SHARED, Reach::One)),
            ),
            (
                &["bind", "rnoexec", "nodev"],
                Some(Reach::One),
                NODEV,
                NOEXEC,
                None,
            ),
        ];
        for (list, bind, attr, tree, propagation) in table {
            let options = Options::parse(list);
            assert_eq!(
                (
                    options.bind,
                    options.attr.set,
                    options.tree_attr.set,
                    options.propagation
                ),
                (*bind, *attr, *tree, *propagation),
                "{list:?}"
            );
            assert!(options.data.is_empty(), "{list:?}");
        }
    }

    #[test]
    fn the_root_is_a_slave_unless_told_otherwise() {
        assert_eq!(root_propagation(None), Some(libc::MS_SLAVE));
        assert_eq!(root_propagation(Some("rprivate")), Some(libc::MS_PRIVATE));
        assert_eq!(root_propagation(Some("nonsense")), None);
    }
}
