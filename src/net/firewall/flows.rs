//! Flows that connection tracking remembers.
//!
//! A flow is translated once, by the rules of its first packet, and then as remembered. A connection
//! ends with its container; a stream of datagrams never ends: a sender that does not pause would go
//! on to an address that is nobody's, or somebody else's by now. So the flows of published UDP ports
//! are forgotten when these change.

use std::collections::BTreeSet;

use super::{Change, PortRule};
use crate::net::netlink::{Batch, Connection, DUMP, Reply, attributes, find};
use crate::net::nft::{IPV4, IPV6};
use crate::net::{Error, Protocol};

/// `NFNL_SUBSYS_CTNETLINK`, `IPCTNL_MSG_CT_GET`, `IPCTNL_MSG_CT_DELETE`.
const GET: u16 = 1 << 8 | 1;
const DELETE: u16 = 1 << 8 | 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_DST_PORT: u16 = 3;
const CTA_FILTER: u16 = 25;
const CTA_FILTER_ORIG_FLAGS: u16 = 1;
const CTA_FILTER_REPLY_FLAGS: u16 = 2;
/// Bits of the kernel's net/netfilter/nf_internals.h.
const FILTER_PROTO_NUM: u32 = 1 << 3;
const FILTER_DST_PORT: u32 = 1 << 5;
const HEADER: usize = 4;

/// UDP ports of the host whose targets changes may alter, by family.
pub(super) fn ports(changes: &[Change]) -> BTreeSet<(u8, u16)> {
    changes
        .iter()
        .filter_map(|change| match change {
            Change::Publish(rule) | Change::Unpublish(rule) => Some(rule),
            Change::AddNetwork { .. } | Change::RemoveNetwork { .. } => None,
        })
        .filter(|rule| rule.protocol == Protocol::Udp)
        .map(|rule: &PortRule| {
            (
                if rule.container_ip.is_ipv4() {
                    IPV4
                } else {
                    IPV6
                },
                rule.host_port,
            )
        })
        .collect()
}

/// Forgets all flows to these ports; a flow that still lives starts anew with its next packet. That
/// it cannot be done (no connection tracking in the kernel) leaves things as they were.
pub(super) fn forget(connection: &Connection, ports: &BTreeSet<(u8, u16)>) -> Result<(), Error> {
    for &(family, port) in ports {
        let Ok(flows) = connection.ask(|| list(family, port))? else {
            return Ok(());
        };
        let mut batch = Batch::new();
        for flow in flows.iter().filter_map(|flow| tuple(flow, port)) {
            batch
                .message(DELETE, 0, &[family, 0, 0, 0], "forget a flow")
                .attr(CTA_TUPLE_ORIG | NESTED, flow);
        }
        if batch.len() > 0 {
            // A flow may have ended by itself meanwhile.
            connection.execute(&batch)?;
        }
    }
    Ok(())
}

const NESTED: u16 = 0x8000;

/// Asks for the flows to a port; kernels before 5.8 give all, and ours are picked out below.
fn list(family: u8, port: u16) -> Batch {
    let mut batch = Batch::new();
    batch
        .message(GET, DUMP, &[family, 0, 0, 0], "list flows")
        .nest(CTA_TUPLE_ORIG, |tuple| {
            tuple.nest(CTA_TUPLE_PROTO, |proto| {
                proto
                    .attr(CTA_PROTO_NUM, &[Protocol::Udp.number()])
                    .attr(CTA_PROTO_DST_PORT, &port.to_be_bytes());
            });
        })
        .nest(CTA_FILTER, |filter| {
            filter
                .u32(CTA_FILTER_ORIG_FLAGS, FILTER_PROTO_NUM | FILTER_DST_PORT)
                .u32(CTA_FILTER_REPLY_FLAGS, 0);
        });
    batch
}

/// What tells a flow to a port from all others, as the kernel wrote it.
fn tuple(flow: &Reply, port: u16) -> Option<&[u8]> {
    let tuple = find(flow.payload.get(HEADER..)?, CTA_TUPLE_ORIG)?;
    let proto = find(tuple, CTA_TUPLE_PROTO)?;
    let is =
        |kind, value: &[u8]| attributes(proto).any(|part| part.kind == kind && part.value == value);
    (is(CTA_PROTO_NUM, &[Protocol::Udp.number()]) && is(CTA_PROTO_DST_PORT, &port.to_be_bytes()))
        .then_some(tuple)
}
