//! What the host's routing tables already reach.

use ipnetwork::IpNetwork;

use super::Error;

/// Every network that the host has a route or an address in, without default routes and without
/// loopback, link-local and multicast ranges.
pub fn host_networks() -> Result<Vec<IpNetwork>, Error> {
    todo!()
}
