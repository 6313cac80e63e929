//! Who holds a port: `/proc/net` knows the socket, `/proc/PID/fd` knows whose it is.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::net::Protocol;

/// The process that has a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its id.
    pub pid: i32,
    /// Its program's name (`comm`).
    pub program: String,
}

impl Holder {
    /// Looks for the process; `None` when it is not ours to see, or gone, or in the kernel.
    pub(super) fn find(protocol: Protocol, address: SocketAddr) -> Option<Holder> {
        let inodes: HashSet<u64> = [false, true]
            .into_iter()
            .flat_map(|inet6| {
                let file = format!(
                    "/proc/thread-self/net/{protocol}{}",
                    if inet6 { "6" } else { "" }
                );
                let text = fs::read_to_string(file).unwrap_or_default();
                inodes(&text, protocol, address)
            })
            .collect();
        if inodes.is_empty() {
            return None;
        }
        fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            if !has_socket(&entry.path().join("fd"), &inodes) {
                return None;
            }
            let name = fs::read(entry.path().join("comm")).ok()?;
            Some(Holder {
                pid,
                program: printable(&name),
            })
        })
    }
}

/// A process names itself, with any bytes that it likes.
fn printable(name: &[u8]) -> String {
    String::from_utf8_lossy(name.trim_ascii_end())
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

fn has_socket(directory: &Path, inodes: &HashSet<u64>) -> bool {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| {
            fs::read_link(entry.path()).is_ok_and(|target| {
                socket_inode(target.as_os_str()).is_some_and(|inode| inodes.contains(&inode))
            })
        })
}

fn socket_inode(target: &OsStr) -> Option<u64> {
    let digits = target
        .as_bytes()
        .strip_prefix(b"socket:[")?
        .strip_suffix(b"]")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Inodes of the sockets in a `/proc/net` table that stand in the way of an address.
fn inodes(table: &str, protocol: Protocol, address: SocketAddr) -> Vec<u64> {
    table
        .lines()
        .skip(1)
        .filter_map(|line| inode(line, protocol, address))
        .collect()
}

/// Fields: slot, local address, remote address, state, queues, timer, retransmits, owner, timeout,
/// inode (Documentation/networking/proc_net_tcp.rst).
fn inode(line: &str, protocol: Protocol, address: SocketAddr) -> Option<u64> {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (ip, port) = fields.get(1)?.split_once(':')?;
    if u16::from_str_radix(port, 16).ok()? != address.port() {
        return None;
    }
    if protocol == Protocol::Tcp && *fields.get(3)? != LISTEN {
        return None;
    }
    let ip = address_of(ip)?;
    // `::` of a socket that takes both families stands in the way of IPv4 too.
    let conflicts = ip == address.ip() || ip.is_unspecified() || address.ip().is_unspecified();
    if !conflicts {
        return None;
    }
    fields.get(9)?.parse().ok()
}

/// Open connections of a `/proc/net/tcp` table: own port, peer.
pub fn established(table: &str) -> impl Iterator<Item = (u16, IpAddr)> {
    const ESTABLISHED: &str = "01";
    table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (_, port) = fields.next()?.split_once(':')?;
        let (peer, _) = fields.next()?.split_once(':')?;
        if fields.next()? != ESTABLISHED {
            return None;
        }
        Some((u16::from_str_radix(port, 16).ok()?, address_of(peer)?))
    })
}

/// Groups of eight hexadecimal digits, each a 32-bit word as it lies in memory.
fn address_of(text: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        Some(
            u32::from_str_radix(text.get(at..at + 8)?, 16)
                .ok()?
                .to_ne_bytes(),
        )
    };
    match text.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let mut octets = [0; 16];
            for (index, chunk) in octets.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(index * 8)?);
            }
            Some(IpAddr::V6(Ipv6Addr::from(octets)).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn listening_sockets_that_stand_in_the_way_are_found_in_the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode\n\
             0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 111 1 x\n\
             1: 00000000:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 222 1 x\n\
             2: 0100007F:1F90 0100007F:0001 01 00000000:00000000 00:00000000 00000000 0 0 333 1 x\n\
             3: 00000000000000000000000000000000:1F92 0:0 0A 0:0 00:0 0 0 0 444 1 x\n\
             4: nonsense\n";
        let find = |address: &str, protocol| inodes(table, protocol, address.parse().unwrap());
        assert_eq!(find("127.0.0.1:8080", Protocol::Tcp), [111]);
        assert_eq!(find("0.0.0.0:8080", Protocol::Tcp), [111]);
        assert_eq!(find("10.0.0.1:8080", Protocol::Tcp), [0u64; 0]);
        assert_eq!(find("10.0.0.1:8081", Protocol::Tcp), [222]);
        assert_eq!(find("10.0.0.1:8082", Protocol::Tcp), [444]);
        assert_eq!(find("127.0.0.1:8080", Protocol::Udp), [111, 333]);
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn open_connections_are_read_with_their_peers() {
        let table = "  sl  local_address rem_address   st tx_queue\n\
             0: 0200000A:0050 0A00A8C0:C001 01 00000000:00000000\n\
             1: 00000000:0050 00000000:0000 0A 00000000:00000000\n\
             2: 0000000000000000FFFF00000200000A:0051 0000000000000000FFFF00000100000A:1234 01 x\n";
        let found: Vec<_> = established(table).collect();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(found, [(80, ip("192.168.0.10")), (81, ip("10.0.0.1"))]);
    }

    #[test]
    fn a_programs_name_cannot_steer_the_terminal() {
        assert_eq!(printable(b"evil\x1b[2J\n"), "evil?[2J");
    }
}
