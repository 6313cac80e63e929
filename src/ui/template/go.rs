//! What Docker's templates see besides the JSON: Go's types have fields that JSON leaves out, names of
//! their own, and a way to be printed.

use serde_json::{Map, Value};

/// Fields whose names in JSON are others.
const NAMES: [(&str, &str); 8] = [
    ("ID", "Id"),
    ("ImageID", "ImageId"),
    ("ExecIDs", "ExecIds"),
    ("DNS", "Dns"),
    ("DNSOptions", "DnsOptions"),
    ("DNSSearch", "DnsSearch"),
    ("HostIP", "HostIp"),
    ("NanoCPUs", "NanoCpus"),
];

/// Lists of Docker's types.
const LISTS: [&str; 39] = [
    "Aliases",
    "Args",
    "Binds",
    "BlkioDeviceReadBps",
    "BlkioDeviceReadIOps",
    "BlkioDeviceWriteBps",
    "BlkioDeviceWriteIOps",
    "BlkioWeightDevice",
    "CapAdd",
    "CapDrop",
    "Cmd",
    "DNS",
    "DNSNames",
    "DNSOptions",
    "DNSSearch",
    "DeviceCgroupRules",
    "DeviceRequests",
    "Devices",
    "Dns",
    "DnsOptions",
    "DnsSearch",
    "Entrypoint",
    "Env",
    "ExecIDs",
    "ExtraHosts",
    "GroupAdd",
    "Links",
    "MaskedPaths",
    "Mounts",
    "OnBuild",
    "ReadonlyPaths",
    "RepoDigests",
    "RepoTags",
    "SecondaryIPAddresses",
    "SecondaryIPv6Addresses",
    "SecurityOpt",
    "Shell",
    "Ulimits",
    "VolumesFrom",
];
/// Maps.
const MAPS: [&str; 14] = [
    "Annotations",
    "AuxiliaryAddresses",
    "DriverOpts",
    "ExposedPorts",
    "Labels",
    "Networks",
    "Options",
    "PortBindings",
    "Ports",
    "Status",
    "StorageOpt",
    "Sysctls",
    "Tmpfs",
    "Volumes",
];
/// What is pointed to.
const POINTERS: [&str; 11] = [
    "Health",
    "Healthcheck",
    "IPAMConfig",
    "ImageManifestDescriptor",
    "Init",
    "MemorySwappiness",
    "OomKillDisable",
    "PidsLimit",
    "SizeRootFs",
    "SizeRw",
    "StopTimeout",
];
/// Texts that JSON does not have where they are empty.
const TEXTS: [&str; 5] = [
    "IPRange",
    "MacAddress",
    "OsVersion",
    "StopSignal",
    "Variant",
];

/// Types that are printed as a list of their values, with the fields that tell them from others first.
const STRUCTS: [(&[&str], &[&str]); 8] = [
    (
        &["PathOnHost", "PathInContainer"],
        &["PathOnHost", "PathInContainer", "CgroupPermissions"],
    ),
    (&["Name", "Hard", "Soft"], &["Name", "Hard", "Soft"]),
    (
        &["Destination", "RW"],
        &[
            "Type",
            "Name",
            "Source",
            "Destination",
            "Driver",
            "Mode",
            "RW",
            "Propagation",
        ],
    ),
    (&["HostIp", "HostPort"], &["HostIp", "HostPort"]),
    (
        &["Name", "MaximumRetryCount"],
        &["Name", "MaximumRetryCount"],
    ),
    (&["Type", "Config"], &["Type", "Config"]),
    (
        &["Subnet", "Gateway"],
        &["Subnet", "IPRange", "Gateway", "AuxiliaryAddresses"],
    ),
    (
        &["EndpointID", "IPv4Address"],
        &[
            "Name",
            "EndpointID",
            "MacAddress",
            "IPv4Address",
            "IPv6Address",
        ],
    ),
];

/// A field by its name in JSON, or by Go's own: templates are met with both.
pub(super) fn member<'v>(map: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
    map.get(name).or_else(|| {
        let (_, in_json) = NAMES.iter().find(|(own, _)| *own == name)?;
        map.get(*in_json)
    })
}

/// How a field is printed that JSON does not have, or has as `null`; `None` = no type has it.
pub(super) fn nothing(field: &str) -> Option<&'static str> {
    let is_in = |names: &[&str]| names.contains(&field);
    match () {
        () if is_in(&LISTS) => Some("[]"),
        () if is_in(&MAPS) => Some("map[]"),
        () if is_in(&POINTERS) => Some("<nil>"),
        () if is_in(&TEXTS) => Some(""),
        () => None,
    }
}

/// The fields of the type that a document is of, in Go's order; `None` = it is a map.
pub(super) fn fields_of(map: &Map<String, Value>) -> Option<&'static [&'static str]> {
    let of = |(telling, fields): &(&[&str], &[&str])| {
        telling.iter().all(|field| map.contains_key(*field))
            && map.keys().all(|key| fields.contains(&key.as_str()))
    };
    let found = STRUCTS.iter().find(|known| of(known));
    found.map(|(_, fields)| *fields)
}
