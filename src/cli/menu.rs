//! The keys that do something while `up` shows output on a terminal.
//!
//! The menu is the terminal's last line: it is wiped before anything is written, and drawn again after.

use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use tokio::io::unix::AsyncFd;

use crate::sys::async_fd::readable;
use crate::ui::raw_mode::{KeyMode, window_size};
use crate::ui::text::fit;
use crate::ui::{Paint, Style};

/// How long a remark stays.
const REMARK: Duration = Duration::from_secs(10);
const KEY: Style = Style("1;7");

/// A key that means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// `d`: leave, and let the services run.
    Detach,
    /// `w`: begin to watch files, or end it.
    Watch,
    /// Enter: make room.
    Enter,
}

/// The menu of a session.
pub(super) struct Menu {
    keyboard: AsyncFd<OwnedFd>,
    paint: Paint,
    watching: bool,
    remark: Option<(String, Instant)>,
    drawn: bool,
    /// Gives back the terminal's own mode.
    _mode: KeyMode,
}

impl Menu {
    /// Takes the keyboard; `None` where it is another's, or there is none.
    pub(super) fn open(paint: Paint) -> io::Result<Option<Self>> {
        let Some(mode) = KeyMode::enter()? else {
            return Ok(None);
        };
        Ok(Some(Self {
            keyboard: readable(mode.keyboard()?)?,
            paint,
            watching: false,
            remark: None,
            drawn: false,
            _mode: mode,
        }))
    }

    /// Whether files are watched now.
    pub(super) fn set_watching(&mut self, is_on: bool) {
        self.watching = is_on;
    }

    /// Waits for keys; `None` when there will be no more.
    pub(super) async fn keys(&mut self) -> Option<Vec<Key>> {
        let mut guard = self.keyboard.readable().await.ok()?;
        let mut buffer = [0_u8; 64];
        let count = rustix::io::read(guard.get_inner(), &mut buffer).ok()?;
        guard.clear_ready();
        match count {
            0 => None,
            count => Some(keys_of(&buffer[..count])),
        }
    }

    /// Says something beside the menu, for a while.
    pub(super) fn remark(&mut self, text: &str) {
        self.remark = Some((text.to_owned(), Instant::now()));
    }

    /// Takes the menu away, so that something else can be written.
    pub(super) fn hide(&mut self) {
        if std::mem::take(&mut self.drawn) {
            write("\r\x1b[K");
        }
    }

    /// Draws it.
    pub(super) fn show(&mut self) {
        if self
            .remark
            .as_ref()
            .is_some_and(|(_, since)| since.elapsed() > REMARK)
        {
            self.remark = None;
        }
        let columns = window_size().map_or(80, |size| usize::from(size.ws_col));
        let remark = self.remark.as_ref().map(|(text, _)| text.as_str());
        // One column is left free: a full line would be the terminal's next one.
        let line = line(
            self.watching,
            remark,
            (columns.saturating_sub(1), self.paint),
        );
        write(&format!("\r\x1b[K{line}"));
        self.drawn = true;
    }
}

impl Drop for Menu {
    fn drop(&mut self) {
        self.hide();
    }
}

fn write(text: &str) {
    // A menu that cannot be drawn is no reason to fail.
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

fn keys_of(bytes: &[u8]) -> Vec<Key> {
    let key = |byte: &u8| match byte {
        b'd' => Some(Key::Detach),
        b'w' => Some(Key::Watch),
        b'\r' | b'\n' => Some(Key::Enter),
        _ => None,
    };
    // An arrow key, say: the letters in such a sequence are no keys.
    match bytes.first() {
        Some(0x1b) => Vec::new(),
        _ => bytes.iter().filter_map(key).collect(),
    }
}

/// The menu in so many columns, in Docker Compose's words.
fn line(watching: bool, remark: Option<&str>, (columns, paint): (usize, Paint)) -> String {
    let watch = if watching {
        "Disable Watch"
    } else {
        "Enable Watch"
    };
    let mut left = columns;
    let mut line = String::new();
    let mut push = |style: Option<Style>, text: &str| {
        let part = fit(text, left);
        left -= crate::ui::text::width(&part);
        match style {
            Some(style) if !part.is_empty() => line.push_str(&paint.paint(style, &part)),
            _ => line.push_str(&part),
        }
    };
    for (key, text) in [("w", watch), ("d", "Detach")] {
        push(Some(KEY), key);
        push(Some(Style::FAINT), &format!(" {text}"));
        push(None, "   ");
    }
    if let Some(remark) = remark {
        push(None, remark);
    }
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_keys_and_sequences_are_not() {
        assert_eq!(keys_of(b"d"), [Key::Detach]);
        assert_eq!(keys_of(b"xw\r"), [Key::Watch, Key::Enter]);
        assert_eq!(keys_of(b"\x1b[Dd"), []);
    }

    #[test]
    fn the_menu_is_one_line_of_any_terminal() {
        let wide = line(false, None, (80, Paint::Off));
        assert_eq!(wide, "w Enable Watch   d Detach");
        let watching = line(true, Some("Watch: no rules"), (80, Paint::Off));
        assert_eq!(watching, "w Disable Watch   d Detach   Watch: no rules");
        for columns in 0..60 {
            let line = line(true, Some("Watch: no rules"), (columns, Paint::Off));
            assert!(
                crate::ui::text::width(&line) <= columns,
                "{columns}: {line}"
            );
        }
    }
}
