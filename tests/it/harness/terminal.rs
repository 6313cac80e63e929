//! A command in a terminal of its own.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};

use super::{PATIENCE, look};

/// A command whose terminal the test holds.
pub(crate) struct Terminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// Starts a command in a new session with a terminal of 80 by 24.
    pub(super) fn start(command: &Command) -> Self {
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pair = openpty(Some(&size), None).expect("a terminal");
        let slave = || Stdio::from(pair.slave.try_clone().expect("a descriptor"));
        // Makes it the controlling terminal, so that Ctrl-C is a signal.
        let mut session = Command::new("setsid");
        session
            .args(["--ctty", "--wait"])
            .arg(command.get_program())
            .args(command.get_args())
            .env_clear()
            .envs(
                command
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .env("TERM", "xterm")
            .current_dir(command.get_current_dir().expect("it is set"));
        let child = session
            .stdin(slave())
            .stdout(slave())
            .stderr(slave())
            .spawn();
        let child = child.expect("setsid of util-linux");
        drop(session);
        let master = File::from(pair.master);
        let mut output = master.try_clone().expect("a descriptor");
        let screen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                kept.lock()
                    .expect("no panic")
                    .extend_from_slice(&buffer[..count]);
            }
        });
        Self {
            child,
            keyboard: master,
            screen,
        }
    }

    /// Types.
    pub(crate) fn type_in(&mut self, keys: &str) {
        self.keyboard
            .write_all(keys.as_bytes())
            .expect("a terminal");
    }

    /// Presses Ctrl-C.
    pub(crate) fn interrupt(&mut self) {
        self.type_in("\x03");
    }

    /// All that was written, control sequences too.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().expect("no panic")).into_owned()
    }

    /// Waits until this was written.
    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str) {
        let found = look(|| self.text().contains(text).then_some(()));
        assert!(
            found.is_some(),
            "`{text}` was never written, but:\n{}",
            self.text()
        );
    }

    /// Waits for the end; the exit code.
    #[track_caller]
    pub(crate) fn finish(&mut self) -> i32 {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status.code().unwrap_or(-1);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        panic!("it did not end; it wrote:\n{}", self.text());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
