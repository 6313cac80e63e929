//! Which subnet a new network gets. Pure.

use ipnetwork::{IpNetwork, Ipv6Network};

/// Ranges to cut subnets from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// The whole range.
    pub range: IpNetwork,
    /// Prefix length of each subnet cut from it.
    pub subnet_prefix: u8,
}

/// Why there is no subnet to give.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// Everything is taken.
    #[error("all subnets of {} are in use by this host's routes and networks; remove unused networks or set STACK_ADDRESS_POOL", list(.0))]
    Exhausted(Vec<Pool>),
    /// Text that is not a pool.
    #[error(
        "{text:?} is not an address pool: write RANGE/PREFIX:SUBNET, as 10.201.0.0/16:24 ({reason})"
    )]
    Syntax {
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

fn list(pools: &[Pool]) -> String {
    pools
        .iter()
        .map(|pool| pool.range.to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

/// The pools that are used when the user names none.
pub fn default_pools() -> Vec<Pool> {
    todo!()
}

/// Reads pools as `10.201.0.0/16:24,10.202.0.0/16:24`.
pub fn parse_pools(text: &str) -> Result<Vec<Pool>, PoolError> {
    let _ = text;
    todo!()
}

/// The first free IPv4 subnet of `pools` that overlaps nothing in `taken`: the host's routes, the
/// networks of ours, the resolvers' addresses.
pub fn choose_subnet(pools: &[Pool], taken: &[IpNetwork]) -> Result<IpNetwork, PoolError> {
    let _ = (pools, taken);
    todo!()
}

/// The unique local /64 (RFC 4193) of a network, derived from its full name.
pub fn unique_local(network: &str) -> Ipv6Network {
    let _ = network;
    todo!()
}
