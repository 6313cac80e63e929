//! Netlink messages and the socket that carries them.
//!
//! Owns the framing: headers, attributes, acknowledgements. Never knows what a message is about.
//!
//! Invariant: one batch is one `sendmsg`. Route and netfilter netlink do their work inside that
//! call, so that when it returns all errors are already queued on the socket: nothing here asks for
//! acknowledgements of success, and nothing waits for them.

mod batch;
mod parse;
mod socket;

pub(super) use batch::{Batch, Message};
pub(super) use parse::{attributes, cstr, find, u32_be};
pub(super) use socket::{Connection, Family, Refusal, Reply};

/// `NLM_F_REQUEST`.
pub(super) const REQUEST: u16 = 0x1;
/// `NLM_F_REPLACE`.
pub(super) const REPLACE: u16 = 0x100;
/// `NLM_F_EXCL`.
pub(super) const EXCL: u16 = 0x200;
/// `NLM_F_CREATE`.
pub(super) const CREATE: u16 = 0x400;
/// `NLM_F_APPEND`.
pub(super) const APPEND: u16 = 0x800;
/// `NLM_F_DUMP`.
pub(super) const DUMP: u16 = 0x300;
/// `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;
/// Strips `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER`.
const TYPE_MASK: u16 = 0x3fff;
