//! Several files and an environment through the whole loader and both printers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stack_fuzz::Project;

fuzz_target!(|input: &str| Project::from_input(input).check());
