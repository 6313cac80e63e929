//! Files on their way into and out of containers: what `cp` does, in the words of `docker cp`; and which
//! files a container has of its own.
//!
//! Owns the rules of what is copied to where, and the writing of archives into a tree that is used by
//! others. Knows nothing of services.
//!
//! Invariant: whatever an archive or the tree itself says, nothing outside the root that was given is
//! read, made, changed or removed; the kernel resolves every path inside it.

mod difference;
mod look;
mod place;
mod unpack;

pub(crate) use difference::{Change, differences};
pub(crate) use look::look;
pub(crate) use place::{Destination, PlaceError, Source, goal, split};
pub(crate) use unpack::{Owner, UnpackError, unpack};
