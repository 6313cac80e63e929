//! The one integration test binary: the real program, real containers, and nothing left behind.

mod bad_days;
mod beside_docker;
mod build;
mod build_cases;
mod cleaning;
mod config;
mod dependencies;
mod files;
mod foreground;
mod harness;
mod inside;
mod interrupted;
mod lifecycle;
mod network;
mod reading;
mod real_programs;
mod registries;
mod settings;
mod shim;
mod up_down;
mod watch;
