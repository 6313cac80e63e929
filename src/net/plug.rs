//! A container's interfaces: made from the host, set up from inside.

use super::{Endpoint, Error};

/// Host side: makes a veth pair for each endpoint, the inner end born inside the network namespace
/// of `child`, the outer end on its bridge and up.
pub fn plug(child: i32, endpoints: &[Endpoint]) -> Result<(), Error> {
    let _ = (child, endpoints);
    todo!()
}

/// Inner side, called in the container's network namespace after [`plug`]: loopback up, addresses,
/// links up, default routes.
pub fn configure(endpoints: &[Endpoint]) -> Result<(), Error> {
    let _ = endpoints;
    todo!()
}
