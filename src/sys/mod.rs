//! Every `unsafe` block and raw system call, each with its SAFETY note. No policy.

#![allow(unsafe_code, reason = "the one place for it; denied everywhere else")]
