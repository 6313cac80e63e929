//! Images: references, the content store, layers, the registry client, import.
//!
//! Owns everything below `images/` and `layers/`. Never starts a process and never trusts a byte
//! it has not verified.
