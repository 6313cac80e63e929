//! The `stack` program.

fn main() {}
