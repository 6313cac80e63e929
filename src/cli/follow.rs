//! The logs of several containers, shown as they grow.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use tokio::io::unix::AsyncFd;

use super::error::{Error, Result};
use crate::runtime::log::{Follower, Line, LogWatch, Range, Stream, WatchId};
use crate::sys::async_fd::readable;
use crate::ui::log_view::SourceId;
use crate::ui::{LogOptions, LogView};

/// The logs of several containers.
pub(crate) struct FollowedLogs {
    view: LogView,
    watch: LogWatch,
    logs: BTreeMap<PathBuf, Log>,
    by_watch: BTreeMap<WatchId, PathBuf>,
    /// Logs that may have something new.
    due: Vec<PathBuf>,
    /// The watch's descriptor, known to the async runtime; made when first needed.
    waker: Option<AsyncFd<OwnedFd>>,
}

struct Log {
    source: SourceId,
    follower: Follower,
    /// Not shown after this.
    until: Option<Timestamp>,
}

impl FollowedLogs {
    /// Follows nothing yet; shows on standard output and standard error.
    pub(crate) fn new(options: LogOptions) -> Result<Self> {
        Self::on(LogView::new(options))
    }

    /// Follows nothing yet; shows all on standard output.
    pub(crate) fn joined(options: LogOptions) -> Result<Self> {
        Self::on(LogView::joined(options))
    }

    fn on(view: LogView) -> Result<Self> {
        Ok(Self {
            view,
            watch: LogWatch::new()?,
            logs: BTreeMap::new(),
            by_watch: BTreeMap::new(),
            due: Vec::new(),
            waker: None,
        })
    }

    /// A container of this name will be followed: room is made for it.
    pub(crate) fn announce(&mut self, name: &str) {
        self.view.add(name);
    }

    /// Shows a log from this time on.
    pub(crate) fn follow(&mut self, name: &str, dir: &Path, since: Timestamp) -> Result<()> {
        let range = Range {
            since: Some(since),
            ..Range::default()
        };
        self.follow_range(name, dir, range)
    }

    /// Shows this part of a log; nothing happens when it is followed already.
    pub(crate) fn follow_range(&mut self, name: &str, dir: &Path, range: Range) -> Result<()> {
        if self.logs.contains_key(dir) {
            return Ok(());
        }
        let source = self.view.add(name);
        // Without a directory there is no log: the container's logging driver is `none`.
        if !dir.is_dir() {
            return Ok(());
        }
        let id = self.watch.add(dir)?;
        let follower = Follower::new(dir, range)?;
        let log = Log {
            source,
            follower,
            until: range.until,
        };
        self.logs.insert(dir.to_owned(), log);
        self.by_watch.insert(id, dir.to_owned());
        self.due.push(dir.to_owned());
        Ok(())
    }

    /// Waits until a log may have grown.
    pub(crate) async fn ready(&mut self) -> Result<()> {
        let fault = |error| Error::new("cannot wait for logs").because(error);
        let waker = match &mut self.waker {
            Some(waker) => waker,
            none => {
                let fd = self.watch.as_fd().try_clone_to_owned().map_err(fault)?;
                none.insert(readable(fd).map_err(fault)?)
            }
        };
        waker.readable().await.map_err(fault)?.clear_ready();
        self.take_ready();
        Ok(())
    }

    /// Waits in the same way, outside the async runtime, for so long at the most.
    pub(crate) fn wait(&mut self, timeout: Duration) {
        let ready = self.watch.wait(Some(timeout));
        self.mark(ready);
    }

    fn take_ready(&mut self) {
        let ready = self.watch.ready();
        self.mark(ready);
    }

    fn mark(&mut self, ready: Vec<WatchId>) {
        for id in ready {
            if let Some(dir) = self.by_watch.get(&id)
                && !self.due.contains(dir)
            {
                self.due.push(dir.clone());
            }
        }
    }

    /// Shows all that there is by now. What has just ended may have written and not been told of yet:
    /// where there is no inotify, logs are looked at from time to time only.
    pub(crate) fn show_all(&mut self) -> Result<()> {
        self.due = self.logs.keys().cloned().collect();
        self.show_available()
    }

    /// There may be something to show.
    pub(crate) fn has_more(&mut self) -> bool {
        self.take_ready();
        !self.due.is_empty()
    }

    /// Shows what has come.
    pub(crate) fn show_available(&mut self) -> Result<()> {
        for dir in std::mem::take(&mut self.due) {
            let Some(log) = self.logs.get_mut(&dir) else {
                continue;
            };
            let (view, source, until) = (&mut self.view, log.source, log.until);
            let mut failed = None;
            log.follower.read_available(&mut |line| {
                if until.is_some_and(|until| line.timestamp().is_some_and(|time| time >= until)) {
                    return ControlFlow::Continue(());
                }
                match view.line(source, &line) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(error) => {
                        failed = Some(error);
                        ControlFlow::Break(())
                    }
                }
            })?;
            if let Some(error) = failed {
                return Err(error.into());
            }
        }
        Ok(self.view.flush()?)
    }

    /// Says what a watch does, among the output.
    pub(crate) fn watch(&mut self, message: &str) -> Result<()> {
        self.view.watch(message)?;
        Ok(self.view.flush()?)
    }

    /// Whether the last line that was written has not ended yet.
    pub(crate) fn is_in_line(&self) -> bool {
        self.view.is_in_line()
    }

    /// Says something about a container among its output.
    pub(crate) fn status(&mut self, name: &str, message: &str) -> Result<()> {
        let source = self.view.add(name);
        self.view.status(source, message)?;
        Ok(self.view.flush()?)
    }

    /// Shows a line that a command wrote which runs in a container beside its program.
    pub(crate) fn hook(&mut self, name: &str, text: &str) -> Result<()> {
        let source = self.view.add(&format!("{name} ->"));
        let line = Line {
            time: &Timestamp::now().to_string(),
            stream: Stream::Stdout,
            partial: false,
            text: text.as_bytes(),
        };
        self.view.line(source, &line)?;
        Ok(self.view.flush()?)
    }

    /// Shows what is still held back.
    pub(crate) fn flush(&mut self) -> Result<()> {
        Ok(self.view.flush()?)
    }

    /// Ends the view.
    pub(crate) fn finish(&mut self) -> Result<()> {
        Ok(self.view.finish()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::bundle::LogConfig;
    use crate::runtime::log::LogWriter;
    use crate::ui::Paint;

    #[test]
    fn what_was_written_last_is_shown_at_the_end_without_inotify_too() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = LogWriter::open(&LogConfig {
            dir: dir.path().to_owned(),
            max_size: 1 << 20,
            max_files: 1,
        })
        .unwrap();
        let options = LogOptions {
            prefix: false,
            timestamps: false,
            paint: Paint::Off,
        };
        let mut logs = FollowedLogs::joined(options).unwrap();
        logs.watch = LogWatch::by_timer().unwrap();
        logs.follow_range("web-1", dir.path(), Range::default())
            .unwrap();
        logs.show_available().unwrap();
        writer.write(Stream::Stdout, b"last words\n");
        logs.show_all().unwrap();
        let follower = &mut logs.logs.get_mut(dir.path()).unwrap().follower;
        let left = follower.read_available(&mut |_| ControlFlow::Continue(()));
        assert_eq!(left.unwrap(), 0);
    }
}
