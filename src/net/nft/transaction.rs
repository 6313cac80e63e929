//! A batch of changes to tables, chains, rules, sets.

use super::expression::{Expression, value};
use super::{
    HEADER, MSG_DELRULE, MSG_DELSETELEM, MSG_DELTABLE, MSG_GETSETELEM, MSG_NEWCHAIN, MSG_NEWRULE,
    MSG_NEWSET, MSG_NEWSETELEM, MSG_NEWTABLE, SUBSYSTEM,
};
use crate::net::Error;
use crate::net::netlink::{
    APPEND, Batch, CREATE, Connection, DUMP, Message, Refusal, attributes, find,
};

const NFNL_MSG_BATCH_BEGIN: u16 = 0x10;
const NFNL_MSG_BATCH_END: u16 = 0x11;
const NFNL_BATCH_GENID: u16 = 1;
const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
const NFTA_LIST_ELEM: u16 = 1;
const NFTA_SET_ELEM_KEY: u16 = 1;
const NFTA_SET_ELEM_DATA: u16 = 2;
const NFTA_DATA_VALUE: u16 = 1;
/// A nested attribute's length has sixteen bits: a list of elements is split well before.
const ELEMENTS_PER_MESSAGE: usize = 256;

/// The `nft` program's number of the type of interface names. It prints them in the right direction
/// only when user data of the set (type 0, length 4) says that they are in host byte order.
const IFNAME: u32 = 41;
const HOST_ENDIAN: [u8; 6] = {
    let [a, b, c, d] = 1u32.to_ne_bytes();
    [0, 4, a, b, c, d]
};

/// A table, told by its family and name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::net) struct Table<'a> {
    pub(in crate::net) family: u8,
    pub(in crate::net) name: &'a str,
}

/// Where a chain hooks into the packet's way (`NF_INET_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::net) enum Hook {
    Prerouting = 0,
    Forward = 2,
    Output = 3,
    Postrouting = 4,
}

/// What a base chain may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::net) enum ChainKind {
    Filter,
    Nat,
}

/// A chain that the kernel calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::net) struct BaseChain {
    pub(in crate::net) name: &'static str,
    pub(in crate::net) kind: ChainKind,
    pub(in crate::net) hook: Hook,
    pub(in crate::net) priority: i32,
}

/// A set, or a map where `value` is given. Type numbers are those of the `nft` program, which uses
/// them to show elements; to the kernel only the lengths matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::net) struct Set {
    pub(in crate::net) name: &'static str,
    pub(in crate::net) key: (u32, u32),
    pub(in crate::net) value: Option<(u32, u32)>,
}

/// An element of a set; its data is empty where the set is no map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::net) struct Element {
    pub(in crate::net) key: Vec<u8>,
    pub(in crate::net) data: Vec<u8>,
}

/// Changes that happen together or not at all.
#[derive(Debug)]
pub(in crate::net) struct Transaction {
    batch: Batch,
    set_ids: u32,
}

impl Transaction {
    pub(in crate::net) fn new() -> Transaction {
        Transaction::begin(None)
    }

    /// A transaction that the kernel refuses with `ERESTART` when anything of the rule set was
    /// changed since `generation`.
    pub(in crate::net) fn since(generation: u32) -> Transaction {
        Transaction::begin(Some(generation))
    }

    fn begin(generation: Option<u32>) -> Transaction {
        let mut batch = Batch::new();
        let mut begin = batch.message(
            NFNL_MSG_BATCH_BEGIN,
            0,
            &batch_header(),
            "begin a firewall update",
        );
        if let Some(generation) = generation {
            begin.u32_be(NFNL_BATCH_GENID, generation);
        }
        drop(begin);
        Transaction { batch, set_ids: 0 }
    }

    /// Sends it; the refusals say why nothing was changed.
    pub(in crate::net) fn commit(
        mut self,
        connection: &Connection,
    ) -> Result<Result<(), (Refusal, Batch)>, Error> {
        self.batch.message(
            NFNL_MSG_BATCH_END,
            0,
            &batch_header(),
            "end a firewall update",
        );
        let refusals = connection.execute(&self.batch)?;
        Ok(match refusals.into_iter().next() {
            Some(refusal) => Err((refusal, self.batch)),
            None => Ok(()),
        })
    }

    fn message(
        &mut self,
        (kind, flags): (u16, u16),
        family: u8,
        action: impl Into<String>,
    ) -> Message<'_> {
        self.batch
            .message(SUBSYSTEM << 8 | kind, flags, &header(family), action)
    }

    /// Makes a table, if it is not there.
    pub(in crate::net) fn add_table(&mut self, table: Table<'_>, userdata: &[u8]) {
        let action = format!("create nftables table {}", table.name);
        self.message((MSG_NEWTABLE, CREATE), table.family, action)
            .text(1, table.name)
            .attr(6, userdata);
    }

    /// Removes a table with all that is in it.
    pub(in crate::net) fn delete_table(&mut self, table: Table<'_>) {
        let action = format!("remove nftables table {}", table.name);
        self.message((MSG_DELTABLE, 0), table.family, action)
            .text(1, table.name);
    }

    /// Makes a base chain with policy accept, if it is not there.
    pub(in crate::net) fn add_chain(&mut self, table: Table<'_>, chain: BaseChain) {
        const NF_ACCEPT: u32 = 1;
        let action = format!("create nftables chain {} {}", table.name, chain.name);
        self.message((MSG_NEWCHAIN, CREATE), table.family, action)
            .text(1, table.name)
            .text(3, chain.name)
            .nest(4, |hook| {
                hook.u32_be(1, chain.hook as u32)
                    .u32_be(2, chain.priority.cast_unsigned());
            })
            .u32_be(5, NF_ACCEPT)
            .text(
                7,
                match chain.kind {
                    ChainKind::Filter => "filter",
                    ChainKind::Nat => "nat",
                },
            );
    }

    /// Removes all rules of a chain.
    pub(in crate::net) fn flush_chain(&mut self, table: Table<'_>, chain: &str) {
        let action = format!("empty nftables chain {} {chain}", table.name);
        self.message((MSG_DELRULE, 0), table.family, action)
            .text(1, table.name)
            .text(2, chain);
    }

    /// Adds a rule at the end of a chain.
    pub(in crate::net) fn append_rule(
        &mut self,
        table: Table<'_>,
        chain: &str,
        rule: &[Expression],
    ) {
        let action = format!("add a rule to nftables chain {} {chain}", table.name);
        let mut message = self.message((MSG_NEWRULE, CREATE | APPEND), table.family, action);
        encode_rule(&mut message, (table.name, chain), rule);
    }

    /// Adds a rule with user data at the head of a chain.
    pub(in crate::net) fn insert_rule(
        &mut self,
        table: Table<'_>,
        chain: &str,
        (rule, userdata): (&[Expression], &[u8]),
    ) {
        let action = format!("insert a rule into nftables chain {} {chain}", table.name);
        let mut message = self.message((MSG_NEWRULE, CREATE), table.family, action);
        encode_rule(&mut message, (table.name, chain), rule);
        message.attr(7, userdata);
    }

    /// Removes a rule by its handle.
    pub(in crate::net) fn delete_rule(&mut self, table: Table<'_>, chain: &str, handle: u64) {
        let action = format!("remove a rule from nftables chain {} {chain}", table.name);
        self.message((MSG_DELRULE, 0), table.family, action)
            .text(1, table.name)
            .text(2, chain)
            .attr(3, &handle.to_be_bytes());
    }

    /// Makes a set or map, if it is not there.
    pub(in crate::net) fn add_set(&mut self, table: Table<'_>, set: Set) {
        const NFT_SET_MAP: u32 = 8;
        self.set_ids += 1;
        let id = self.set_ids;
        let action = format!("create nftables set {} {}", table.name, set.name);
        let mut message = self.message((MSG_NEWSET, CREATE), table.family, action);
        message
            .text(1, table.name)
            .text(2, set.name)
            .u32_be(3, if set.value.is_some() { NFT_SET_MAP } else { 0 })
            .u32_be(4, set.key.0)
            .u32_be(5, set.key.1)
            .u32_be(10, id);
        if let Some((kind, length)) = set.value {
            message.u32_be(6, kind).u32_be(7, length);
        }
        if set.key.0 == IFNAME {
            message.attr(13, &HOST_ENDIAN);
        }
    }

    /// Adds elements; those that are there stay. An element with another value is refused.
    pub(in crate::net) fn add_elements(
        &mut self,
        table: Table<'_>,
        set: &str,
        elements: &[Element],
    ) {
        let action = format!("add to nftables set {} {set}", table.name);
        self.element_messages((MSG_NEWSETELEM, CREATE), table, (set, elements), &action);
    }

    /// Removes elements by key; one that is not there is refused.
    pub(in crate::net) fn delete_elements(
        &mut self,
        table: Table<'_>,
        set: &str,
        elements: &[Element],
    ) {
        let action = format!("remove from nftables set {} {set}", table.name);
        self.element_messages((MSG_DELSETELEM, 0), table, (set, elements), &action);
    }

    fn element_messages(
        &mut self,
        kind: (u16, u16),
        table: Table<'_>,
        (set, elements): (&str, &[Element]),
        action: &str,
    ) {
        for chunk in elements.chunks(ELEMENTS_PER_MESSAGE) {
            let mut message = self.message(kind, table.family, action);
            message.text(1, table.name).text(2, set);
            message.nest(NFTA_SET_ELEM_LIST_ELEMENTS, |list| {
                for Element { key, data } in chunk {
                    list.nest(NFTA_LIST_ELEM, |element| {
                        value(element, NFTA_SET_ELEM_KEY, key);
                        if !data.is_empty() {
                            value(element, NFTA_SET_ELEM_DATA, data);
                        }
                    });
                }
            });
        }
    }
}

fn encode_rule(message: &mut Message<'_>, (table, chain): (&str, &str), rule: &[Expression]) {
    message.text(1, table).text(2, chain).nest(4, |list| {
        for expression in rule {
            expression.encode(list);
        }
    });
}

/// An `nfgenmsg`.
fn header(family: u8) -> [u8; HEADER] {
    [family, 0, 0, 0]
}

/// An `nfgenmsg` that says which subsystem the batch is for, in network byte order.
fn batch_header() -> [u8; HEADER] {
    let [high, low] = SUBSYSTEM.to_be_bytes();
    [0, 0, high, low]
}

/// One question; `fill` adds what narrows it.
pub(in crate::net) fn question(
    (kind, flags): (u16, u16),
    family: u8,
    action: &str,
    fill: impl FnOnce(&mut Message<'_>),
) -> Batch {
    let mut batch = Batch::new();
    fill(&mut batch.message(SUBSYSTEM << 8 | kind, flags, &header(family), action));
    batch
}

/// Keys and values of a set's elements; a table or set that is not there has none.
pub(in crate::net) fn elements(
    connection: &Connection,
    table: Table<'_>,
    set: &str,
) -> Result<Vec<Element>, Error> {
    let ask = || {
        let action = format!("read nftables set {} {set}", table.name);
        question((MSG_GETSETELEM, DUMP), table.family, &action, |message| {
            message.text(1, table.name).text(2, set);
        })
    };
    let replies = match connection.ask(ask)? {
        Ok(replies) => replies,
        Err(refusal) if refusal.errno == libc::ENOENT => return Ok(Vec::new()),
        Err(refusal) => return Err(refusal.into_error(&ask(), "nf_tables")),
    };
    let mut found = Vec::new();
    for reply in &replies {
        let lists = reply.payload.get(HEADER..).unwrap_or(&[]);
        let list = find(lists, NFTA_SET_ELEM_LIST_ELEMENTS).unwrap_or(&[]);
        for element in attributes(list) {
            let part = |kind| find(find(element.value, kind)?, NFTA_DATA_VALUE).map(<[u8]>::to_vec);
            if let Some(key) = part(NFTA_SET_ELEM_KEY) {
                let data = part(NFTA_SET_ELEM_DATA).unwrap_or_default();
                found.push(Element { key, data });
            }
        }
    }
    Ok(found)
}
