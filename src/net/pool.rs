//! Which subnet a new network gets. Pure.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};
use sha2::{Digest, Sha256};

/// Ranges to cut subnets from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// The whole range.
    pub range: Ipv4Network,
    /// Prefix length of each subnet cut from it.
    pub subnet_prefix: u8,
}

/// Why there is no subnet to give.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// Everything is taken.
    #[error(
        "all subnets of {} are in use by this host's routes and networks; remove unused networks or set STACK_ADDRESS_POOL",
        list(.0)
    )]
    Exhausted(Vec<Pool>),
    /// Text that is not a pool.
    #[error(
        "{text:?} is not an address pool: write RANGE:SUBNET-PREFIX, as 10.201.0.0/16:24 ({reason})"
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

/// The pools that are used when the user names none: 1,536 subnets of 254 addresses.
///
/// Docker hands out 172.17.0.0/16 to 172.31.0.0/16 and 192.168.0.0/16; homes live in 192.168.0.0/22 and
/// 10.0.0.0/22; VPN servers like 10.8.0.0/16, Kubernetes 10.42.0.0/15, 10.96.0.0/12 and
/// 10.244.0.0/16; Tailscale 100.64.0.0/10. The first range stays clear of all these; the others
/// are for a host whose company uses just that part of 10.0.0.0/8.
pub fn default_pools() -> Vec<Pool> {
    [
        (Ipv4Addr::new(10, 201, 0, 0), 16),
        (Ipv4Addr::new(10, 140, 0, 0), 14),
    ]
    .into_iter()
    .chain([(Ipv4Addr::new(172, 16, 0, 0), 16)])
    .filter_map(|(address, prefix)| {
        let range = Ipv4Network::new(address, prefix).ok()?;
        Some(Pool {
            range,
            subnet_prefix: 24,
        })
    })
    .collect()
}

/// Reads pools as `10.201.0.0/16:24,10.202.0.0/16:24`.
pub fn parse_pools(text: &str) -> Result<Vec<Pool>, PoolError> {
    text.split(',')
        .map(|part| parse_pool(part.trim()))
        .collect()
}

fn parse_pool(text: &str) -> Result<Pool, PoolError> {
    let wrong = |reason| PoolError::Syntax {
        text: text.to_owned(),
        reason,
    };
    let (range, prefix) = text.rsplit_once(':').ok_or(wrong("there is no `:`"))?;
    let range: Ipv4Network = range
        .parse()
        .map_err(|_| wrong("the range is not an IPv4 subnet"))?;
    if range.ip() != range.network() {
        return Err(wrong("the range has bits set behind its prefix"));
    }
    let subnet_prefix: u8 = prefix
        .parse()
        .map_err(|_| wrong("the prefix is not a number"))?;
    if subnet_prefix < range.prefix() {
        return Err(wrong("the subnets are larger than the range"));
    }
    if subnet_prefix > 29 {
        return Err(wrong(
            "a subnet of fewer than eight addresses holds no containers",
        ));
    }
    Ok(Pool {
        range,
        subnet_prefix,
    })
}

/// The first free IPv4 subnet of `pools` that overlaps nothing in `taken`: the host's routes, the
/// networks of ours, the resolvers' addresses.
pub fn choose_subnet(pools: &[Pool], taken: &[IpNetwork]) -> Result<IpNetwork, PoolError> {
    let mut taken: Vec<(u64, u64)> = taken
        .iter()
        .filter_map(|network| match network {
            IpNetwork::V4(v4) => Some(bounds(*v4)),
            IpNetwork::V6(_) => None,
        })
        .collect();
    taken.sort_unstable();
    pools
        .iter()
        .find_map(|pool| first_free(pool, &taken))
        .map(IpNetwork::V4)
        .ok_or_else(|| PoolError::Exhausted(pools.to_vec()))
}

/// First and last address, in numbers wide enough to step past the end of the address space.
fn bounds(network: Ipv4Network) -> (u64, u64) {
    (
        u64::from(u32::from(network.network())),
        u64::from(u32::from(network.broadcast())),
    )
}

/// Walks the pool and leaps over whatever is in the way.
fn first_free(pool: &Pool, taken: &[(u64, u64)]) -> Option<Ipv4Network> {
    let size = 1u64 << 32u8.checked_sub(pool.subnet_prefix)?;
    let (start, end) = bounds(pool.range);
    let mut candidate = start.next_multiple_of(size);
    for &(first, last) in taken {
        if last < candidate {
            continue;
        }
        if first >= candidate + size {
            break;
        }
        candidate = (last + 1).next_multiple_of(size);
    }
    if candidate + size - 1 > end {
        return None;
    }
    let address = u32::try_from(candidate).ok()?;
    Ipv4Network::new(Ipv4Addr::from(address), pool.subnet_prefix).ok()
}

/// The unique local /64 (RFC 4193) of a network, derived from its full name.
pub fn unique_local(network: &str) -> Ipv6Network {
    let digest = Sha256::digest(network.as_bytes());
    let mut octets = [0; 16];
    octets[0] = 0xfd;
    octets[1..8].copy_from_slice(&digest[..7]);
    Ipv6Network::new(Ipv6Addr::from(octets), 64)
        .unwrap_or_else(|_| Ipv6Network::from(Ipv6Addr::LOCALHOST))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;

    fn networks(texts: &[&str]) -> Vec<IpNetwork> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_first_subnet_that_overlaps_nothing_is_chosen() {
        let table: &[(&str, &[&str], Option<&str>)] = &[
            ("10.201.0.0/16:24", &[], Some("10.201.0.0/24")),
            (
                "10.201.0.0/16:24",
                &["10.201.0.0/24"],
                Some("10.201.1.0/24"),
            ),
            (
                "10.201.0.0/16:24",
                &["10.201.1.0/24"],
                Some("10.201.0.0/24"),
            ),
            (
                "10.201.0.0/16:24",
                &["10.201.0.53/32"],
                Some("10.201.1.0/24"),
            ),
            ("10.201.0.0/16:24", &["10.200.0.0/15"], None),
            (
                "10.201.0.0/16:24",
                &["10.201.0.0/17", "10.201.0.0/24"],
                Some("10.201.128.0/24"),
            ),
            (
                "10.201.0.0/16:24",
                &["10.201.1.128/25", "10.201.0.0/28"],
                Some("10.201.2.0/24"),
            ),
            (
                "10.201.0.0/24:24,10.202.0.0/24:24",
                &["10.201.0.9/32"],
                Some("10.202.0.0/24"),
            ),
            (
                "10.201.0.0/24:26",
                &["10.201.0.0/25"],
                Some("10.201.0.128/26"),
            ),
            (
                "255.255.255.0/24:25",
                &["255.255.255.0/25"],
                Some("255.255.255.128/25"),
            ),
            ("255.255.255.0/24:24", &["255.255.255.255/32"], None),
            ("10.201.0.0/16:24", &["fd00::/8"], Some("10.201.0.0/24")),
        ];
        for (pools, taken, expected) in table {
            let chosen = choose_subnet(&parse_pools(pools).unwrap(), &networks(taken));
            let text = chosen.ok().map(|network| network.to_string());
            assert_eq!(text.as_deref(), *expected, "{pools} without {taken:?}");
        }
    }

    #[test]
    fn default_pools_stay_clear_of_dockers_and_of_each_other() {
        let pools = default_pools();
        assert_eq!(pools.len(), 3);
        let docker = networks(&[
            "172.17.0.0/16",
            "172.18.0.0/15",
            "172.20.0.0/14",
            "172.24.0.0/13",
            "192.168.0.0/16",
        ]);
        for (index, pool) in pools.iter().enumerate() {
            let others = pools
                .iter()
                .skip(index + 1)
                .map(|pool| IpNetwork::V4(pool.range));
            for other in docker.iter().copied().chain(others) {
                let IpNetwork::V4(other) = other else {
                    continue;
                };
                assert!(!pool.range.overlaps(other), "{} and {other}", pool.range);
            }
        }
    }

    #[test]
    fn a_pool_that_cannot_work_is_refused_with_its_reason() {
        for text in [
            "",
            "10.0.0.0/8",
            "10.0.0.0:24",
            "10.0.0.1/8:24",
            "fd00::/8:64",
            "10.0.0.0/24:16",
            "10.0.0.0/24:30",
            "10.0.0.0/24:x",
            "10.0.0.0/33:34",
            "10.0.0.0/8:24,",
        ] {
            assert!(
                matches!(parse_pools(text), Err(PoolError::Syntax { .. })),
                "{text}"
            );
        }
        let error = choose_subnet(
            &parse_pools("10.0.0.0/24:24").unwrap(),
            &networks(&["10.0.0.0/8"]),
        );
        assert!(error.unwrap_err().to_string().contains("10.0.0.0/24"));
    }

    #[test]
    fn a_unique_local_subnet_follows_from_the_name() {
        let one = unique_local("shop_front");
        assert_eq!(one, unique_local("shop_front"));
        assert_ne!(one, unique_local("shop_back"));
        assert_eq!((one.ip().octets()[0], one.prefix()), (0xfd, 64));
        assert_eq!(one.ip(), one.network());
    }

    proptest! {
        #[test]
        fn a_chosen_subnet_never_overlaps(
            taken in proptest::collection::vec((0u32..1 << 16, 17u8..=32), 0..40),
        ) {
            let pools = parse_pools("10.201.0.0/16:24").unwrap();
            let taken: Vec<IpNetwork> = taken
                .into_iter()
                .map(|(low, prefix)| {
                    let address = Ipv4Addr::from(0x0ac9_0000 | low);
                    IpNetwork::new(IpAddr::V4(address), prefix).unwrap()
                })
                .collect();
            if let Ok(IpNetwork::V4(chosen)) = choose_subnet(&pools, &taken) {
                for other in &taken {
                    let IpNetwork::V4(other) = other else { continue };
                    prop_assert!(!chosen.overlaps(*other));
                }
            }
        }
    }
}
