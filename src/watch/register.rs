//! The kernel's file events, by the `notify` crate.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind, RenameMode};
use notify::{Config, ErrorKind, INotifyWatcher, RecursiveMode, Watcher as _};

/// What an event says of its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hint {
    /// Something was written into it.
    Written,
    /// Its mode, its owner or its times may be others.
    Attributes,
    /// A name has come or gone.
    Name,
}

/// What the kernel says.
#[derive(Debug)]
pub(super) enum Message {
    /// Look there.
    Look(PathBuf, Hint),
    /// Look everywhere: events have been dropped.
    Lost,
    /// Nobody listens any more.
    Stop,
}

/// Why a directory is not registered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is not there, or may not be read: there is nothing to see in it.
    Unreadable,
    /// The machine allows no more.
    Limit(Limit),
}

/// A limit of the kernel on file events. What it says to a person names the setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    setting: &'static str,
    suggestion: u64,
    value: Option<u64>,
}

/// Directories whose events come in.
pub(super) trait Register: Send {
    fn add(&mut self, directory: &Path) -> Result<(), Refused>;
    fn remove(&mut self, directory: &Path);
}

/// inotify.
pub(super) struct Inotify {
    watcher: INotifyWatcher,
}

impl Inotify {
    /// Events of the directories that will be added go to `events`.
    pub(super) fn new(events: Sender<Message>) -> Result<Self, Limit> {
        let sink = move |event: notify::Result<notify::Event>| {
            for message in messages(event) {
                // Nobody listens any more.
                let _ = events.send(message);
            }
        };
        match INotifyWatcher::new(sink, Config::default()) {
            Ok(watcher) => Ok(Self { watcher }),
            // inotify_init(2) fails for want of instances, or of descriptors or memory.
            Err(_) => Err(Limit::instances()),
        }
    }
}

impl Register for Inotify {
    fn add(&mut self, directory: &Path) -> Result<(), Refused> {
        let added = self.watcher.watch(directory, RecursiveMode::NonRecursive);
        added.map_err(|error| match error.kind {
            ErrorKind::MaxFilesWatch => Refused::Limit(Limit::watches()),
            _ => Refused::Unreadable,
        })
    }

    fn remove(&mut self, directory: &Path) {
        // The kernel has removed the watch itself when the directory is gone.
        let _ = self.watcher.unwatch(directory);
    }
}

/// What an event means to us. Reading is no change; a rename is said three times.
fn messages(event: notify::Result<notify::Event>) -> Vec<Message> {
    let Ok(event) = event else {
        return vec![Message::Lost];
    };
    if event.need_rescan() {
        return vec![Message::Lost];
    }
    let hint = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Modify(ModifyKind::Data(_)) => Hint::Written,
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => {
            return Vec::new();
        }
        EventKind::Modify(ModifyKind::Metadata(_)) => Hint::Attributes,
        _ => Hint::Name,
    };
    let paths = event.paths.into_iter();
    paths.map(|path| Message::Look(path, hint)).collect()
}

impl Limit {
    fn of(setting: &'static str, suggestion: u64) -> Self {
        let path = Path::new("/proc/sys").join(setting.replace('.', "/"));
        let value = std::fs::read_to_string(path).ok();
        Self {
            setting,
            suggestion,
            value: value.and_then(|text| text.trim().parse().ok()),
        }
    }

    /// Directories that may be watched.
    pub(super) fn watches() -> Self {
        Self::of("fs.inotify.max_user_watches", 524_288)
    }

    /// Programs that may watch.
    pub(super) fn instances() -> Self {
        Self::of("fs.inotify.max_user_instances", 1024)
    }

    /// What can be done about it.
    pub fn hint(&self) -> String {
        let Self {
            setting,
            suggestion,
            value,
        } = self;
        let wanted = value.map_or(*suggestion, |value| (*suggestion).max(value * 2));
        format!("raise the limit with `sudo sysctl {setting}={wanted}`")
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the kernel's limit {}", self.setting)?;
        if let Some(value) = self.value {
            write!(f, " ({value})")?;
        }
        f.write_str(" is used up: files are looked at every now and then instead")
    }
}

#[cfg(test)]
mod tests {
    use notify::Event;
    use notify::event::{CreateKind, DataChange, Flag, MetadataKind, RemoveKind};

    use super::*;

    #[test]
    fn reading_is_no_change_and_a_rename_is_two() {
        let write = AccessKind::Close(AccessMode::Write);
        let read = AccessKind::Close(AccessMode::Read);
        let name = |mode| EventKind::Modify(ModifyKind::Name(mode));
        for (kind, expected) in [
            (EventKind::Create(CreateKind::File), Some(Hint::Name)),
            (EventKind::Remove(RemoveKind::Folder), Some(Hint::Name)),
            (name(RenameMode::From), Some(Hint::Name)),
            (name(RenameMode::To), Some(Hint::Name)),
            (name(RenameMode::Both), None),
            (
                EventKind::Modify(ModifyKind::Data(DataChange::Any)),
                Some(Hint::Written),
            ),
            (
                EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any)),
                Some(Hint::Attributes),
            ),
            (EventKind::Access(write), Some(Hint::Written)),
            (EventKind::Access(read), None),
            (EventKind::Access(AccessKind::Open(AccessMode::Any)), None),
        ] {
            let event = Event::new(kind).add_path("/a".into());
            let found: Vec<Hint> = messages(Ok(event))
                .into_iter()
                .filter_map(|message| match message {
                    Message::Look(_, hint) => Some(hint),
                    _ => None,
                })
                .collect();
            assert_eq!(found, Vec::from_iter(expected), "{kind:?}");
        }
        let lost = Event::new(EventKind::Other).set_flag(Flag::Rescan);
        assert!(matches!(messages(Ok(lost))[..], [Message::Lost]));
    }

    #[test]
    fn a_limit_names_its_setting_and_what_to_do() {
        let limit = Limit {
            setting: "fs.inotify.max_user_watches",
            suggestion: 524_288,
            value: Some(8192),
        };
        let text = limit.to_string();
        assert!(
            text.contains("fs.inotify.max_user_watches (8192)"),
            "{text}"
        );
        let hint = limit.hint();
        assert!(hint.contains("sysctl fs.inotify.max_user_watches=524288"));
        let more = Limit {
            value: Some(1 << 20),
            ..limit
        };
        assert!(more.hint().contains("=2097152"), "{}", more.hint());
    }
}
