//! Which address a container gets in a subnet. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

/// A subnet and what in it is not free.
#[derive(Debug, Clone)]
pub struct Subnet {
    /// The subnet.
    pub network: IpNetwork,
    /// The gateway; [`gateway_of`] when the stack file names none.
    pub gateway: IpAddr,
    /// Part of the subnet to give addresses from (`ip_range`).
    pub range: Option<IpNetwork>,
    /// Addresses that something else uses (`aux_addresses`).
    pub reserved: BTreeSet<IpAddr>,
}

/// Why an address cannot be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IpamError {
    /// None left.
    #[error("no free address left in {range} of {network}")]
    Exhausted {
        /// Where it was looked for.
        range: IpNetwork,
        /// The subnet.
        network: IpNetwork,
    },
    /// A fixed address that is outside.
    #[error("address {address} is not in subnet {network}")]
    Outside {
        /// The wanted address.
        address: IpAddr,
        /// The subnet.
        network: IpNetwork,
    },
    /// A fixed address that somebody has.
    #[error("address {address} of {network} is already in use")]
    Used {
        /// The wanted address.
        address: IpAddr,
        /// The subnet.
        network: IpNetwork,
    },
    /// A fixed address that nobody may have.
    #[error("address {address} cannot be given: it is the {what} of {network}")]
    Special {
        /// The wanted address.
        address: IpAddr,
        /// `gateway`, `network address`, `broadcast address`, `auxiliary address`.
        what: &'static str,
        /// The subnet.
        network: IpNetwork,
    },
}

/// The first usable address, which is the gateway unless the stack file says otherwise.
pub fn gateway_of(network: IpNetwork) -> IpAddr {
    let _ = network;
    todo!()
}

/// What a container asks for.
#[derive(Debug, Clone, Copy)]
pub enum Want<'a> {
    /// Any address; the one that it had before, when that is still free.
    Any {
        /// The address of its last run.
        previous: Option<IpAddr>,
    },
    /// This address and no other.
    Fixed(&'a IpAddr),
}

/// Chooses an address; `used` holds what the other containers have.
pub fn choose_address(
    subnet: &Subnet,
    used: &BTreeSet<IpAddr>,
    want: Want<'_>,
) -> Result<IpAddr, IpamError> {
    let _ = (subnet, used, want);
    todo!()
}
