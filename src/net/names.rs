//! Names of interfaces and hardware addresses, all derived from what they belong to.
//!
//! A name that follows from its owner needs no allocation, and whoever sweeps can tell whose it is.

use std::net::Ipv4Addr;
use std::path::Path;

use sha2::{Digest, Sha256};

/// Prefix of every bridge: firewall rules match it, so nothing else may use it.
pub const BRIDGE_PREFIX: &str = "stk-";

/// Prefix of every host end of a veth pair.
pub const VETH_PREFIX: &str = "stv";

/// Name of a network's bridge: `stk-` and eleven hexadecimal digits of a hash over the state
/// directory and the network's full name, so that two state directories never share a bridge.
pub fn bridge_name(root: &Path, network: &str) -> String {
    let digest = digest(&[root.as_os_str().as_encoded_bytes(), network.as_bytes()]);
    format!("{BRIDGE_PREFIX}{}", &hex(&digest)[..11])
}

/// Name of the host end of a container's `index`th interface: 15 bytes, unique per container.
pub fn host_if_name(container_id: &str, index: usize) -> String {
    let digest = digest(&[container_id.as_bytes(), &index.to_be_bytes()]);
    format!("{VETH_PREFIX}{}", &hex(&digest)[..12])
}

/// Hardware address of a container's interface: `02:42` and the IPv4 address, as Docker does it,
/// so that an address which is given again never meets a stale neighbour entry.
pub fn mac_from_ipv4(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x42, a, b, c, d]
}

/// A stable, locally administered unicast hardware address for something known by `name`.
pub fn mac_from_name(name: &str) -> [u8; 6] {
    let digest = digest(&[name.as_bytes()]);
    let mut mac = [0; 6];
    mac.copy_from_slice(&digest[..6]);
    mac[0] = (mac[0] & 0xfc) | 0x02;
    mac
}

/// Hashes parts with their lengths, so that (`a`, `bc`) and (`ab`, `c`) differ.
fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bridge_name_fits_the_kernel_and_depends_on_root_and_network() {
        let one = bridge_name(Path::new("/var/lib/stack"), "shop_front");
        assert_eq!(one.len(), 15);
        assert!(one.starts_with(BRIDGE_PREFIX));
        assert_eq!(one, bridge_name(Path::new("/var/lib/stack"), "shop_front"));
        assert_ne!(one, bridge_name(Path::new("/tmp/stack"), "shop_front"));
        assert_ne!(one, bridge_name(Path::new("/var/lib/stack"), "shop_back"));
        assert_ne!(
            bridge_name(Path::new("/a"), "bc"),
            bridge_name(Path::new("/ab"), "c")
        );
    }

    #[test]
    fn a_host_end_is_named_after_its_container_and_index() {
        let name = host_if_name("0123456789abcdef", 0);
        assert_eq!(name.len(), 15);
        assert_ne!(name, host_if_name("0123456789abcdef", 1));
    }

    #[test]
    fn hardware_addresses_are_local_unicast() {
        assert_eq!(
            mac_from_ipv4(Ipv4Addr::new(10, 201, 0, 2)),
            [0x02, 0x42, 10, 201, 0, 2]
        );
        for name in ["a", "b", "shop_front"] {
            assert_eq!(mac_from_name(name)[0] & 0x03, 0x02, "{name}");
        }
    }
}
