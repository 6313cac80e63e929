//! Other programs' chains that forwarded packets pass through.
//!
//! Every base chain of a hook is asked, and one that drops cannot be overruled by another that
//! accepts (nft(8), "netfilter hooks"). Docker, ufw and others set the policy of iptables' FORWARD
//! chain to drop. iptables-nft keeps its chains in tables that anybody can add to: two rules that
//! accept what comes from and goes to our bridges are put at the head of `DOCKER-USER`, the chain
//! that Docker keeps for this, or else of `FORWARD`. What may not pass is dropped in our own table.

use std::path::Path;

use super::Warning;
use super::skeleton::TABLE;
use crate::net::Error;
use crate::net::names::BRIDGE_PREFIX;
use crate::net::netlink::{Batch, Connection, DUMP, Reply, cstr, find, u32_be};
use crate::net::nft::{
    CmpOp, Expression, HEADER, INET, IPV4, IPV6, MSG_GETCHAIN, MSG_GETRULE, MSG_NEWCHAIN,
    MSG_NEWRULE, MetaKey, Register, Table, Transaction, Verdict, is, question,
};

/// The table and the chains of iptables-nft.
const FILTER: &str = "filter";
const FORWARD: &str = "FORWARD";
const DOCKER_USER: &str = "DOCKER-USER";
/// User data of our rules, in the form of an nftables comment; by it they are found again.
const TAG: &[u8] = b"\x00\x0fstack networks\0";

/// A chain of any program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chain {
    family: u8,
    table: String,
    name: String,
    /// It sees forwarded packets and drops what it has no rule for.
    drops_forwarded: bool,
}

/// A rule of ours in another program's chain.
#[derive(Debug, PartialEq, Eq)]
struct Tagged {
    chain: String,
    handle: u64,
}

/// Lists the chains of all tables.
pub(super) fn chains(connection: &Connection) -> Result<Vec<Chain>, Error> {
    let ask = || question((MSG_GETCHAIN, DUMP), 0, "list nftables chains", |_| ());
    Ok(dump(connection, &ask)?
        .iter()
        .filter_map(chain_of)
        .collect())
}

fn dump(connection: &Connection, ask: &dyn Fn() -> Batch) -> Result<Vec<Reply>, Error> {
    match connection.ask(ask)? {
        Ok(replies) => Ok(replies),
        Err(refusal) if refusal.errno == libc::ENOENT => Ok(Vec::new()),
        Err(refusal) => Err(refusal.into_error(&ask(), "nf_tables")),
    }
}

fn chain_of(reply: &Reply) -> Option<Chain> {
    const NF_INET_FORWARD: u32 = 2;
    const NF_DROP: u32 = 0;
    if !is(reply.kind, MSG_NEWCHAIN) {
        return None;
    }
    let family = *reply.payload.first()?;
    let attributes = reply.payload.get(HEADER..)?;
    let hook = find(attributes, 4).and_then(|hook| u32_be(find(hook, 1)?));
    let policy = find(attributes, 5).and_then(u32_be);
    Some(Chain {
        family,
        table: cstr(find(attributes, 1)?),
        name: cstr(find(attributes, 3)?),
        drops_forwarded: hook == Some(NF_INET_FORWARD) && policy == Some(NF_DROP),
    })
}

/// Lets our bridges through the chains of iptables-nft, or takes our rules out of them.
pub(super) fn adapt(
    connection: &Connection,
    transaction: &mut Transaction,
    (chains, wanted): (&[Chain], bool),
) -> Result<(), Error> {
    for family in [IPV4, IPV6] {
        let Some(target) = target(chains, family) else {
            continue;
        };
        let table = Table {
            family,
            name: FILTER,
        };
        let present = tagged(connection, table)?;
        if !wanted {
            for rule in present {
                transaction.delete_rule(table, &rule.chain, rule.handle);
            }
        } else if present.iter().filter(|rule| rule.chain == target).count() < 2 {
            for key in [MetaKey::OutputName, MetaKey::InputName] {
                transaction.insert_rule(table, target, (&accept(key), TAG));
            }
        }
    }
    Ok(())
}

/// The chain of iptables-nft to put our rules into.
fn target(chains: &[Chain], family: u8) -> Option<&'static str> {
    let has = |name: &str| {
        chains
            .iter()
            .any(|chain| chain.family == family && chain.table == FILTER && chain.name == name)
    };
    [DOCKER_USER, FORWARD].into_iter().find(|name| has(name))
}

/// `iifname "stk-*" accept`: a comparison that is shorter than a name looks at its beginning.
fn accept(key: MetaKey) -> [Expression; 3] {
    [
        Expression::Meta(key, Register(0)),
        Expression::Cmp(CmpOp::Equal, Register(0), BRIDGE_PREFIX.as_bytes().to_vec()),
        Expression::Verdict(Verdict::Accept),
    ]
}

fn tagged(connection: &Connection, table: Table<'_>) -> Result<Vec<Tagged>, Error> {
    let ask = || {
        question(
            (MSG_GETRULE, DUMP),
            table.family,
            "list nftables rules",
            |message| {
                message.text(1, table.name);
            },
        )
    };
    Ok(dump(connection, &ask)?
        .iter()
        .filter_map(tagged_of)
        .collect())
}

fn tagged_of(reply: &Reply) -> Option<Tagged> {
    if !is(reply.kind, MSG_NEWRULE) {
        return None;
    }
    let attributes = reply.payload.get(HEADER..)?;
    if find(attributes, 7)? != TAG {
        return None;
    }
    let handle = find(attributes, 3)?
        .first_chunk()
        .map(|&bytes| u64::from_be_bytes(bytes))?;
    Some(Tagged {
        chain: cstr(find(attributes, 2)?),
        handle,
    })
}

/// What we cannot change and can stand in the way.
pub(super) fn warnings(chains: &[Chain]) -> Vec<Warning> {
    let mut found: Vec<Warning> = chains.iter().filter_map(warning).collect();
    if has_legacy_rules() {
        found.push(Warning::LegacyIptables);
    }
    found
}

fn warning(chain: &Chain) -> Option<Warning> {
    let family = match chain.family {
        INET => "inet",
        IPV4 => "ip",
        IPV6 => "ip6",
        _ => return None,
    };
    let ours = chain.family == TABLE.family && chain.table == TABLE.name;
    let adapted = family != "inet" && chain.table == FILTER && chain.name == FORWARD;
    (chain.drops_forwarded && !ours && !adapted).then(|| Warning::DroppingChain {
        family,
        table: chain.table.clone(),
        chain: chain.name.clone(),
    })
}

/// The kernel lists the tables of iptables-legacy that are in use in a network namespace.
fn has_legacy_rules() -> bool {
    ["ip_tables_names", "ip6_tables_names"].iter().any(|file| {
        let path = Path::new("/proc/thread-self/net").join(file);
        std::fs::read_to_string(path).is_ok_and(|text| text.lines().any(|line| line == FILTER))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_is_a_comment_that_nft_can_show() {
        assert_eq!(usize::from(TAG[1]), TAG.len() - 2);
        assert_eq!(TAG.last(), Some(&0));
    }

    #[test]
    fn dockers_own_chain_for_users_is_preferred() {
        let chain = |family, table: &str, name: &str| Chain {
            family,
            table: table.to_owned(),
            name: name.to_owned(),
            drops_forwarded: name == FORWARD || name == "mine",
        };
        let chains = [
            chain(IPV4, FILTER, FORWARD),
            chain(IPV4, FILTER, DOCKER_USER),
            chain(IPV6, FILTER, FORWARD),
            chain(IPV6, "nat", DOCKER_USER),
            chain(INET, "own", "mine"),
            chain(INET, "stack", FORWARD),
        ];
        assert_eq!(target(&chains, IPV4), Some(DOCKER_USER));
        assert_eq!(target(&chains, IPV6), Some(FORWARD));
        assert_eq!(target(&[], IPV4), None);
        let warnings: Vec<_> = chains.iter().filter_map(warning).collect();
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].to_string().contains("`inet own mine`"));
    }
}
