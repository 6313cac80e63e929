//! The one integration test binary: the real program, real containers, and nothing left behind.

mod bad_days;
mod dependencies;
mod foreground;
mod harness;
mod inside;
mod lifecycle;
mod network;
mod reading;
mod settings;
mod shim;
mod up_down;
