//! The table's chains, rules and empty sets.

use super::model::{ANY4, ANY6, AT4, AT6, BRIDGES, INTERNAL, INTRA, OWN4, OWN6, Sets};
use crate::net::Error;
use crate::net::netlink::{Connection, find};
use crate::net::nft::{
    BaseChain, ChainKind, CmpOp, CtKey, Expression, Field, Found, HEADER, Hook, INET, IPV4, IPV6,
    MSG_GETTABLE, MetaKey, Nat, Register, Set, Table, Transaction, Verdict, elements, question,
};

/// Ours, for all state directories of the host.
pub(super) const TABLE: Table<'_> = Table {
    family: INET,
    name: "stack",
};
/// User data of the table, in the form of an nftables comment (type 0, length, text with NUL).
/// Whoever changes a rule or set below changes the number: a table with another one is rebuilt with
/// the same elements, in one transaction.
const VERSION: &[u8] = b"\x00\x14container network 1\0";
const NFTA_TABLE_USERDATA: u16 = 6;

/// Type numbers of the `nft` program (src/include/datatype.h there), six bits each when joined.
const IPV4_ADDR: u32 = 7;
const IPV6_ADDR: u32 = 8;
const INET_PROTO: u32 = 12;
const INET_SERVICE: u32 = 13;
const IFNAME: u32 = 41;

const fn joined(types: &[u32]) -> u32 {
    let (mut number, mut index) = (0, 0);
    while index < types.len() {
        number = number << 6 | types[index];
        index += 1;
    }
    number
}

const fn set(name: &'static str, types: &[u32], length: u32) -> Set {
    Set {
        name,
        key: (joined(types), length),
        value: None,
    }
}

const fn map(name: &'static str, key: (&[u32], u32), value: (&[u32], u32)) -> Set {
    Set {
        name,
        key: (joined(key.0), key.1),
        value: Some((joined(value.0), value.1)),
    }
}

const SETS: [Set; 9] = [
    set(BRIDGES, &[IFNAME], 16),
    set(INTERNAL, &[IFNAME], 16),
    set(INTRA, &[IFNAME, IFNAME], 32),
    map(
        ANY4,
        (&[INET_PROTO, INET_SERVICE], 8),
        (&[IPV4_ADDR, INET_SERVICE], 8),
    ),
    map(
        ANY6,
        (&[INET_PROTO, INET_SERVICE], 8),
        (&[IPV6_ADDR, INET_SERVICE], 20),
    ),
    map(
        AT4,
        (&[IPV4_ADDR, INET_PROTO, INET_SERVICE], 12),
        (&[IPV4_ADDR, INET_SERVICE], 8),
    ),
    map(
        AT6,
        (&[IPV6_ADDR, INET_PROTO, INET_SERVICE], 24),
        (&[IPV6_ADDR, INET_SERVICE], 20),
    ),
    set(OWN4, &[IPV4_ADDR, INET_PROTO, INET_SERVICE], 12),
    set(OWN6, &[IPV6_ADDR, INET_PROTO, INET_SERVICE], 24),
];

/// `NF_IP_PRI_NAT_DST`, `NF_IP_PRI_FILTER`, `NF_IP_PRI_NAT_SRC`.
const INCOMING: BaseChain = BaseChain {
    name: "incoming",
    kind: ChainKind::Nat,
    hook: Hook::Prerouting,
    priority: -100,
};
const FROM_HOST: BaseChain = BaseChain {
    name: "from-host",
    kind: ChainKind::Nat,
    hook: Hook::Output,
    priority: -100,
};
const THROUGH: BaseChain = BaseChain {
    name: "through",
    kind: ChainKind::Filter,
    hook: Hook::Forward,
    priority: 0,
};
const OUTGOING: BaseChain = BaseChain {
    name: "outgoing",
    kind: ChainKind::Nat,
    hook: Hook::Postrouting,
    priority: 100,
};

/// What of the table is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing.
    Missing,
    /// Rules of another version of this program.
    Outdated,
    /// All.
    Current,
}

/// Reads the elements of all sets.
pub(super) fn read(connection: &Connection) -> Result<(Sets, State), Error> {
    let ask = || {
        question(
            (MSG_GETTABLE, 0),
            TABLE.family,
            "read nftables table stack",
            |message| {
                message.text(1, TABLE.name);
            },
        )
    };
    let state = match connection.ask(ask)? {
        Ok(replies) => {
            let ours = replies.iter().any(|reply| {
                find(
                    reply.payload.get(HEADER..).unwrap_or(&[]),
                    NFTA_TABLE_USERDATA,
                ) == Some(VERSION)
            });
            if ours {
                State::Current
            } else {
                State::Outdated
            }
        }
        Err(refusal) if refusal.errno == libc::ENOENT => State::Missing,
        Err(refusal) => return Err(refusal.into_error(&ask(), "nf_tables")),
    };
    let mut sets = Sets::default();
    if state != State::Missing {
        for set in SETS {
            for element in elements(connection, TABLE, set.name)? {
                sets.insert(set.name, element.key, element.data);
            }
        }
    }
    Ok((sets, state))
}

/// Makes the table with empty sets.
pub(super) fn build(transaction: &mut Transaction) {
    transaction.add_table(TABLE, VERSION);
    for set in SETS {
        transaction.add_set(TABLE, set);
    }
    for (chain, rules) in [
        (INCOMING, incoming()),
        (FROM_HOST, from_host()),
        (THROUGH, through()),
        (OUTGOING, outgoing()),
    ] {
        transaction.add_chain(TABLE, chain);
        for rule in rules {
            transaction.append_rule(TABLE, chain.name, &rule);
        }
    }
}

type Rule = Vec<Expression>;

const R: Register = Register(0);

/// What differs between the two versions of the Internet protocol.
struct Inet {
    number: u8,
    source: Field,
    destination: Field,
    /// Registers that an address takes.
    width: u32,
    sets: [&'static str; 3],
}

const INETS: [Inet; 2] = [
    Inet {
        number: IPV4,
        source: Field::IPV4_SOURCE,
        destination: Field::IPV4_DESTINATION,
        width: 1,
        sets: [OWN4, AT4, ANY4],
    },
    Inet {
        number: IPV6,
        source: Field::IPV6_SOURCE,
        destination: Field::IPV6_DESTINATION,
        width: 4,
        sets: [OWN6, AT6, ANY6],
    },
];

/// Packets that come in for an address of the host, from outside or from a container.
///
/// A container that calls its own published port is left to the port's holder on the host: with
/// bridge netfilter on, the translated packet would have to leave the bridge by the port that it
/// came in by, which a bridge does not do.
fn incoming() -> Vec<Rule> {
    let mut rules = Vec::new();
    for inet in &INETS {
        let [own, at, any] = inet.sets;
        let mut to_self = to_host(inet);
        to_self.push(Expression::Payload(inet.source, R));
        to_self.extend(service(inet.width));
        to_self.push(Expression::Lookup(own, R, Found::Here));
        to_self.push(Expression::Verdict(Verdict::Accept));
        rules.push(to_self);
        rules.push(translate_at(inet, at));
        rules.push(translate_any(inet, any));
    }
    rules
}

/// Packets of the host itself to one of its addresses; loopback is served by the port's holder,
/// because a container cannot answer to 127.0.0.1.
fn from_host() -> Vec<Rule> {
    let mut rules = Vec::new();
    for inet in &INETS {
        let [_, at, any] = inet.sets;
        for mut rule in [translate_at(inet, at), translate_any(inet, any)] {
            // Behind the two tests of the family.
            rule.splice(2..2, not_loopback(inet));
            rules.push(rule);
        }
    }
    rules
}

fn not_loopback(inet: &Inet) -> [Expression; 2] {
    let (field, value) = if inet.number == IPV4 {
        (Field::IPV4_DESTINATION_NET, vec![127])
    } else {
        (
            Field::IPV6_DESTINATION,
            std::net::Ipv6Addr::LOCALHOST.octets().to_vec(),
        )
    };
    [
        Expression::Payload(field, R),
        Expression::Cmp(CmpOp::NotEqual, R, value),
    ]
}

/// The packet is of this family and for an address of the host.
fn to_host(inet: &Inet) -> Rule {
    const RTN_LOCAL: u32 = 2;
    vec![
        Expression::Meta(MetaKey::Family, R),
        Expression::Cmp(CmpOp::Equal, R, vec![inet.number]),
        Expression::DestinationKind(R),
        Expression::Cmp(CmpOp::Equal, R, RTN_LOCAL.to_ne_bytes().to_vec()),
    ]
}

/// Protocol and destination port, from a register on.
fn service(register: u32) -> [Expression; 2] {
    [
        Expression::Meta(MetaKey::Protocol, Register(register)),
        Expression::Payload(Field::DESTINATION_PORT, Register(register + 1)),
    ]
}

fn translate_at(inet: &Inet, map: &'static str) -> Rule {
    let mut rule = to_host(inet);
    rule.push(Expression::Payload(inet.destination, R));
    rule.extend(service(inet.width));
    translate(rule, inet, map)
}

fn translate_any(inet: &Inet, map: &'static str) -> Rule {
    let mut rule = to_host(inet);
    rule.extend(service(0));
    translate(rule, inet, map)
}

fn translate(mut rule: Rule, inet: &Inet, map: &'static str) -> Rule {
    rule.push(Expression::Lookup(map, R, Found::Value(R)));
    let port = Register(inet.width);
    rule.push(Expression::Dnat(Nat {
        family: inet.number,
        address: R,
        port,
    }));
    rule
}

/// Packets that pass through the host.
fn through() -> Vec<Rule> {
    let drop = || Expression::Verdict(Verdict::Drop);
    let accept = || Expression::Verdict(Verdict::Accept);
    vec![
        [intra(), vec![accept()]].concat(),
        [
            member(MetaKey::InputName, INTERNAL, Found::Here),
            vec![drop()],
        ]
        .concat(),
        [
            member(MetaKey::OutputName, INTERNAL, Found::Here),
            vec![drop()],
        ]
        .concat(),
        [
            to_bridges(),
            ct(CtKey::State, ESTABLISHED | RELATED),
            vec![accept()],
        ]
        .concat(),
        [to_bridges(), ct(CtKey::Status, IPS_DST_NAT), vec![accept()]].concat(),
        // From another network, or from outside straight to a container's address.
        [to_bridges(), vec![drop()]].concat(),
    ]
}

/// Packets that leave the host.
///
/// The first rule is for two containers of one network of which one calls the other's published
/// port: the answer must come back through the host.
fn outgoing() -> Vec<Rule> {
    let masquerade = || vec![Expression::Masquerade];
    vec![
        [intra(), ct(CtKey::Status, IPS_DST_NAT), masquerade()].concat(),
        [
            member(MetaKey::InputName, BRIDGES, Found::Here),
            member(MetaKey::OutputName, BRIDGES, Found::Missing),
            masquerade(),
        ]
        .concat(),
    ]
}

/// `NF_CT_STATE_BIT(IP_CT_ESTABLISHED)` and `(IP_CT_RELATED)`.
const ESTABLISHED: u32 = 2;
const RELATED: u32 = 4;
const IPS_DST_NAT: u32 = 1 << 5;

fn intra() -> Rule {
    const NAME_REGISTERS: u32 = 4;
    vec![
        Expression::Meta(MetaKey::InputName, R),
        Expression::Meta(MetaKey::OutputName, Register(NAME_REGISTERS)),
        Expression::Lookup(INTRA, R, Found::Here),
    ]
}

fn to_bridges() -> Rule {
    member(MetaKey::OutputName, BRIDGES, Found::Here)
}

fn member(key: MetaKey, set: &'static str, found: Found) -> Rule {
    vec![Expression::Meta(key, R), Expression::Lookup(set, R, found)]
}

fn ct(key: CtKey, bits: u32) -> Rule {
    vec![
        Expression::Ct(key, R),
        Expression::Mask(R, bits.to_ne_bytes()),
        Expression::Cmp(CmpOp::NotEqual, R, vec![0; 4]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_a_comment_that_nft_can_show() {
        assert_eq!(usize::from(VERSION[1]), VERSION.len() - 2);
        assert_eq!(VERSION.last(), Some(&0));
    }
}
