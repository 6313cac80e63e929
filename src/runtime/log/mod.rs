//! The log files of a container: written by its shim, read by anybody.
//!
//! One line of a file is one line of output in the CRI's format:
//! `2026-01-02T03:04:05.678901234Z stdout F text`, `P` in place of `F` when the text goes on in the
//! next line of the same stream. The text's bytes are the program's, whatever they are.
//! Always nine digits and `Z`, so that time stamps compare as bytes.
//!
//! The current file is `current.log`; when it is full it becomes `current.log.1`, that one `.2`, and
//! the oldest goes. A file once rotated never changes. Nothing here ever blocks or ends the program:
//! what cannot be written is dropped, counted, and said so in the log when that is possible again.

mod error;
mod follow;
mod reader;
mod record;
mod watch;
mod writer;

pub use error::LogError;
pub use follow::Follower;
pub use reader::{Range, read};
pub use record::{Line, Stream};
pub use watch::{LogWatch, WatchId};
pub use writer::LogWriter;
