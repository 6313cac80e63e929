//! The built-in init: PID 1 of a container with `init: true`.
//!
//! It is no program of its own: the cloned child, ready to run the user's program, forks once more.
//! The new process runs the program, the old one stays behind as PID 1: passes signals on, reaps
//! orphans, and ends with the program's exit code.

/// What the child half of the fork does before it executes the program: a process group of its own,
/// which the terminal (standard input, if it is one) is given to.
pub fn prepare_program() {
    todo!()
}

/// PID 1's life after the fork: never returns. Every signal is expected to have been blocked before
/// the fork (so that none is lost); the program's half restores its mask.
pub fn supervise(program: i32) -> ! {
    todo!()
}
