//! Networks, a service's place on them, and published ports.

use super::{Keys, LABELS, OPTIONS, Others, Print, Shape, TEXTS, f};
use Shape::*;

/// A member of `services.*.networks`.
pub(super) static ATTACHMENT: Keys = Keys::of(&[
    f(
        "aliases",
        TEXTS,
        "More names of the service on this network.",
    ),
    f("driver_opts", OPTIONS, "Options of the network's driver."),
    f(
        "gw_priority",
        WholeNumber,
        "The network with the highest value gives the way out; 0 by default.",
    ),
    f(
        "interface_name",
        Text,
        "Name of the interface in the container.",
    ),
    f("ipv4_address", Text, "Fixed IPv4 address."),
    f("ipv6_address", Text, "Fixed IPv6 address."),
    f(
        "link_local_ips",
        TEXTS,
        "Extra addresses that only reach the same network.",
    ),
    f(
        "mac_address",
        Text,
        "Hardware address, such as `02:42:ac:11:00:02`.",
    ),
    f(
        "priority",
        WholeNumber,
        "Networks are connected from the highest value down; 0 by default.",
    ),
]);

/// Long form of an item of `services.*.ports`.
pub(in crate::compose) static PORT: Keys = Keys::of(&[
    f("name", Text, "Name of the port, for people."),
    f(
        "mode",
        Text,
        "`ingress` (the default) or `host`; the same on one machine.",
    ),
    f(
        "host_ip",
        Text,
        "Address of the host that is listened on; all by default.",
    ),
    f("target", Int(0, u32::MAX as i64), "Port in the container."),
    f(
        "published",
        TextOrInt,
        "Port of the host, or a range of which one is taken; any free one by default.",
    ),
    f("protocol", Text, "`tcp` (the default), `udp` or `sctp`."),
    f(
        "app_protocol",
        Text,
        "What is spoken on the port, such as `http`; for other programs.",
    ),
]);

pub(super) static NETWORK: Keys = Keys::of(&[
    f("name", Text, "Full name; `PROJECT_NAME` by default."),
    f("driver", Text, "Kind of network; `bridge` by default."),
    f("driver_opts", OPTIONS, "Options of the driver."),
    f("ipam", Keys(&IPAM), "Addresses of the network.").print(Print::WithParent),
    f(
        "external",
        External,
        "The network exists already and is neither made nor removed.",
    ),
    f(
        "internal",
        Bool,
        "No way out of the network; false by default.",
    ),
    f(
        "attachable",
        Bool,
        "Containers of others may join it; only matters in a cluster.",
    ),
    f("labels", LABELS, "Labels of the network."),
    f(
        "enable_ipv4",
        Bool,
        "Give out IPv4 addresses; true by default.",
    )
    .print(Print::Given),
    f(
        "enable_ipv6",
        Bool,
        "Give out IPv6 addresses; false by default.",
    )
    .print(Print::Given),
]);

static IPAM: Keys = Keys::of(&[
    f("driver", Text, "What gives out addresses."),
    f(
        "config",
        List(&Keys(&POOL)),
        "Address ranges; one is chosen by default.",
    ),
    f(
        "options",
        Names(&Text),
        "Options of what gives out addresses.",
    ),
]);

static POOL: Keys = Keys::of(&[
    f("subnet", Text, "The range, such as `10.5.0.0/24`."),
    f(
        "gateway",
        Text,
        "Address of the host on the network; the first of the range by default.",
    ),
    f(
        "ip_range",
        Text,
        "Part of the range from which addresses are given out.",
    ),
    f(
        "aux_addresses",
        Names(&Text),
        "Addresses that are not given out, by host name.",
    ),
])
.others(Others::Dropped);
