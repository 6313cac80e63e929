//! Whether a signal would reach a container's PID 1.

use std::io;

/// Whether `signal` would have an effect on this PID 1 of a pid namespace.
pub fn stop_signal_reaches(_pid: i32, _signal: i32) -> io::Result<bool> {
    todo!()
}

/// The decision, from the text of `/proc/<pid>/status` and `/proc/<pid>/syscall`.
pub fn reaches(_status: &str, _syscall: &str, _signal: i32) -> bool {
    todo!()
}
