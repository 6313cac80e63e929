//! nftables over netlink: transactions, expressions, sets.
//!
//! Owns the encoding of linux/netfilter/nf_tables.h. Never knows what a rule is for.
//!
//! Invariant: a transaction is one batch, and the kernel takes all of it or nothing.

mod expression;
mod transaction;

pub(super) use expression::{
    CmpOp, CtKey, Expression, Field, Found, MetaKey, Nat, Register, Verdict,
};
pub(super) use transaction::{
    BaseChain, ChainKind, Element, Hook, Set, Table, Transaction, elements, question,
};

/// `NFPROTO_INET`.
pub(super) const INET: u8 = 1;
/// `NFPROTO_IPV4`.
pub(super) const IPV4: u8 = 2;
/// `NFPROTO_IPV6`.
pub(super) const IPV6: u8 = 10;

pub(super) const MSG_NEWTABLE: u16 = 0;
pub(super) const MSG_GETTABLE: u16 = 1;
pub(super) const MSG_DELTABLE: u16 = 2;
pub(super) const MSG_NEWCHAIN: u16 = 3;
pub(super) const MSG_GETCHAIN: u16 = 4;
pub(super) const MSG_NEWRULE: u16 = 6;
pub(super) const MSG_GETRULE: u16 = 7;
pub(super) const MSG_DELRULE: u16 = 8;
pub(super) const MSG_NEWSET: u16 = 9;
pub(super) const MSG_NEWSETELEM: u16 = 12;
pub(super) const MSG_GETSETELEM: u16 = 13;
pub(super) const MSG_DELSETELEM: u16 = 14;
pub(super) const MSG_GETGEN: u16 = 16;

/// An `nfgenmsg` is four bytes; attributes follow.
pub(super) const HEADER: usize = 4;
/// `NFNL_SUBSYS_NFTABLES`.
const SUBSYSTEM: u16 = 10;

/// Whether a message is this one of nftables.
pub(super) fn is(kind: u16, message: u16) -> bool {
    kind == SUBSYSTEM << 8 | message
}
