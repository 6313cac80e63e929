//! Real containers, as root: what is promised of them, and what must not work in them.

mod basics;
mod cgroups;
mod harness;
mod joining;
mod security;
mod volumes;
