//! Networks: netlink, bridges, address pools, nftables, the embedded name server, the port proxy.
//!
//! Owns every packet's way between containers, the host and the outside. Never knows what a
//! service is: it is told names, addresses and ports.

mod endpoint;

pub use endpoint::Endpoint;
