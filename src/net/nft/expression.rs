//! What a rule is made of.

use crate::net::netlink::Message;

const NFTA_LIST_ELEM: u16 = 1;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_DATA_VERDICT: u16 = 2;
const NFTA_VERDICT_CODE: u16 = 1;
const NF_DROP: u32 = 0;
const NF_ACCEPT: u32 = 1;

/// One of the sixteen 32-bit registers (`NFT_REG32_00` and up); longer values fill the next ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::net) struct Register(pub(in crate::net) u32);

impl Register {
    fn number(self) -> u32 {
        const NFT_REG32_00: u32 = 8;
        NFT_REG32_00 + self.0
    }
}

/// What is known about a packet besides its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::net) enum MetaKey {
    InputName = 6,
    OutputName = 7,
    Family = 15,
    Protocol = 16,
}

/// What connection tracking knows about a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::net) enum CtKey {
    State = 0,
    Status = 2,
}

/// A field of the packet: which header, where in it, how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::net) struct Field {
    base: u32,
    offset: u32,
    length: u32,
}

impl Field {
    pub(in crate::net) const IPV4_SOURCE: Field = Field {
        base: 1,
        offset: 12,
        length: 4,
    };
    pub(in crate::net) const IPV4_DESTINATION: Field = Field {
        base: 1,
        offset: 16,
        length: 4,
    };
    /// First byte of the destination address.
    pub(in crate::net) const IPV4_DESTINATION_NET: Field = Field {
        base: 1,
        offset: 16,
        length: 1,
    };
    pub(in crate::net) const IPV6_SOURCE: Field = Field {
        base: 1,
        offset: 8,
        length: 16,
    };
    pub(in crate::net) const IPV6_DESTINATION: Field = Field {
        base: 1,
        offset: 24,
        length: 16,
    };
    pub(in crate::net) const SOURCE_PORT: Field = Field {
        base: 2,
        offset: 0,
        length: 2,
    };
    pub(in crate::net) const DESTINATION_PORT: Field = Field {
        base: 2,
        offset: 2,
        length: 2,
    };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::net) enum CmpOp {
    Equal = 0,
    NotEqual = 1,
}

/// What a set lookup wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::net) enum Found {
    /// The rule goes on when the key is in the set.
    Here,
    /// The rule goes on when it is not.
    Missing,
    /// The rule goes on with the key's value in this register.
    Value(Register),
}

/// A new destination, held in registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::net) struct Nat {
    /// `NFPROTO_IPV4` or `NFPROTO_IPV6`.
    pub(in crate::net) family: u8,
    pub(in crate::net) address: Register,
    pub(in crate::net) port: Register,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::net) enum Verdict {
    Accept,
    Drop,
}

/// One step of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::net) enum Expression {
    /// Loads a fact into a register.
    Meta(MetaKey, Register),
    /// Loads a field into a register.
    Payload(Field, Register),
    /// Writes a register into a field of the transport header, and corrects the checksum at the
    /// given offset of that header.
    Write {
        field: Field,
        from: Register,
        checksum: u32,
    },
    /// Loads what connection tracking knows.
    Ct(CtKey, Register),
    /// Loads the kind of the destination address (`RTN_LOCAL`, …).
    DestinationKind(Register),
    /// Ands a register with a mask.
    Mask(Register, [u8; 4]),
    /// Compares a register; the rule ends when that fails.
    Cmp(CmpOp, Register, Vec<u8>),
    /// Loads a constant.
    Load(Register, Vec<u8>),
    /// Looks a key up in a set of the same table.
    Lookup(&'static str, Register, Found),
    /// Translates the destination.
    Dnat(Nat),
    /// Translates the source to the outgoing interface's address.
    Masquerade,
    /// Ends the chain.
    Verdict(Verdict),
}

impl Expression {
    /// Adds this to a rule's list of expressions.
    pub(in crate::net) fn encode(&self, list: &mut Message<'_>) {
        list.nest(NFTA_LIST_ELEM, |element| {
            element.text(NFTA_EXPR_NAME, self.name());
            element.nest(NFTA_EXPR_DATA, |data| self.encode_data(data));
        });
    }

    fn name(&self) -> &'static str {
        match self {
            Expression::Meta(..) => "meta",
            Expression::Payload(..) | Expression::Write { .. } => "payload",
            Expression::Ct(..) => "ct",
            Expression::DestinationKind(_) => "fib",
            Expression::Mask(..) => "bitwise",
            Expression::Cmp(..) => "cmp",
            Expression::Load(..) | Expression::Verdict(_) => "immediate",
            Expression::Lookup(..) => "lookup",
            Expression::Dnat(_) => "nat",
            Expression::Masquerade => "masq",
        }
    }

    fn encode_data(&self, data: &mut Message<'_>) {
        match self {
            Expression::Meta(key, to) => {
                data.u32_be(1, to.number()).u32_be(2, *key as u32);
            }
            Expression::Payload(field, to) => {
                data.u32_be(1, to.number());
                place(data, *field);
            }
            Expression::Write {
                field,
                from,
                checksum,
            } => {
                const NFT_PAYLOAD_CSUM_INET: u32 = 1;
                place(data, *field);
                data.u32_be(5, from.number())
                    .u32_be(6, NFT_PAYLOAD_CSUM_INET)
                    .u32_be(7, *checksum);
            }
            Expression::Ct(key, to) => {
                data.u32_be(1, to.number()).u32_be(2, *key as u32);
            }
            Expression::DestinationKind(to) => {
                const NFT_FIB_RESULT_ADDRTYPE: u32 = 3;
                const NFTA_FIB_F_DADDR: u32 = 2;
                data.u32_be(1, to.number())
                    .u32_be(2, NFT_FIB_RESULT_ADDRTYPE)
                    .u32_be(3, NFTA_FIB_F_DADDR);
            }
            Expression::Mask(register, mask) => {
                data.u32_be(1, register.number())
                    .u32_be(2, register.number())
                    .u32_be(3, 4);
                value(data, 4, mask);
                value(data, 5, &[0; 4]);
            }
            Expression::Cmp(op, register, bytes) => {
                data.u32_be(1, register.number()).u32_be(2, *op as u32);
                value(data, 3, bytes);
            }
            Expression::Load(register, bytes) => {
                data.u32_be(1, register.number());
                value(data, 2, bytes);
            }
            Expression::Lookup(set, key, found) => {
                const NFT_LOOKUP_F_INV: u32 = 1;
                data.text(1, set).u32_be(2, key.number());
                match found {
                    Found::Here => {}
                    Found::Missing => {
                        data.u32_be(5, NFT_LOOKUP_F_INV);
                    }
                    Found::Value(to) => {
                        data.u32_be(3, to.number());
                    }
                }
            }
            Expression::Dnat(nat) => {
                const NFT_NAT_DNAT: u32 = 1;
                data.u32_be(1, NFT_NAT_DNAT)
                    .u32_be(2, u32::from(nat.family))
                    .u32_be(3, nat.address.number())
                    .u32_be(5, nat.port.number());
            }
            Expression::Masquerade => {}
            Expression::Verdict(verdict) => {
                let code = match verdict {
                    Verdict::Accept => NF_ACCEPT,
                    Verdict::Drop => NF_DROP,
                };
                data.u32_be(1, 0).nest(2, |inner| {
                    inner.nest(NFTA_DATA_VERDICT, |inner| {
                        inner.u32_be(NFTA_VERDICT_CODE, code);
                    });
                });
            }
        }
    }
}

fn place(data: &mut Message<'_>, field: Field) {
    data.u32_be(2, field.base)
        .u32_be(3, field.offset)
        .u32_be(4, field.length);
}

pub(super) fn value(data: &mut Message<'_>, kind: u16, bytes: &[u8]) {
    data.nest(kind, |inner| {
        inner.attr(NFTA_DATA_VALUE, bytes);
    });
}
