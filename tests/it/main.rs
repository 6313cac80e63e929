//! The one integration test binary: the real program, real containers, and nothing left behind.

mod bad_days;
mod balance;
mod beside_docker;
mod build;
mod build_cases;
mod build_sources;
mod cleaning;
mod config;
mod dependencies;
mod files;
mod foreground;
mod hands_stopped;
mod harness;
mod inside;
mod instances;
mod interrupted;
mod lifecycle;
mod network;
mod reading;
mod real_programs;
mod registries;
mod rolling;
mod scenarios;
mod settings;
mod shim;
mod up_down;
