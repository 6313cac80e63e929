//! Values that have the right kind and no meaning, and every key with every value.

use proptest::prelude::*;

use super::{loaded, try_load};
use crate::compose::diagnostic::Color;
use crate::compose::{render, schema};

#[test]
fn words_that_mean_nothing_are_refused() {
    let refused = |keys: &str| {
        let text = format!("services: {{a: {{image: a, {keys}}}}}\nvolumes: {{v: {{}}}}\n");
        match try_load(&[("stack.yaml", &text)]) {
            Ok(loaded) => loaded.review(Vec::new(), &|_| true).to_string(),
            Err(problems) => problems.to_string(),
        }
    };
    let table = [
        (
            "stop_signal: SIGTREM",
            "no signal `SIGTREM` (did you mean `TERM`?)",
        ),
        (
            "cap_add: [NET_ADMN]",
            "no capability `NET_ADMN` (did you mean `NET_ADMIN`?)",
        ),
        (
            "ulimits: {nofiles: 1}",
            "no limit `nofiles` (did you mean `nofile`?)",
        ),
        ("sysctls: {net/../../x: 1}", "is not a kernel parameter"),
        ("hostname: \"a\\nb\"", "`a\\nb` is not a host name"),
        (
            "networks: {default: {aliases: [\"a b\"]}}",
            "`a b` is not a host name",
        ),
        (
            "networks: {default: {interface_name: ../x}}",
            "cannot be the name of an interface",
        ),
        (
            "mac_address: '01:02:03:04:05:06'",
            "is not an interface's hardware address",
        ),
        ("container_name: ../x", "cannot be `../x`"),
        ("container_name: ../xy", "is not a container's name"),
        (
            "ports: [{target: 70000}]",
            "a port is a number from 1 to 65535",
        ),
        ("extra_hosts: {a: b}", "`b` is not an IP address"),
        ("mem_limit: -5", "`services.a.mem_limit` must be 0 or more"),
        ("stop_grace_period: -5s", "must be 0 or more"),
        (
            "ulimits: {nofile: {soft: 5, hard: 3}}",
            "above the hard limit",
        ),
        ("restart: allways", "cannot be `allways`"),
        ("command: \"a\\0b\"", "text cannot hold a NUL character"),
        (
            "extra_hosts: {\"a\\n1.1.1.1 b\": 1.1.1.1}",
            "is not a host name",
        ),
    ];
    for (keys, expected) in table {
        let message = refused(keys);
        assert!(message.contains(expected), "{keys}: {message}");
    }
    for keys in [
        "stop_signal: SIGRTMIN+3",
        "stop_signal: '9'",
        "stop_signal: quit",
        "cap_add: [CAP_NET_ADMIN, all]",
        "mac_address: '02:42:ac:11:00:02'",
    ] {
        assert_eq!(refused(keys), "", "{keys}");
    }
    let top = "services: {a: {image: a}}\nvolumes: {v: {name: ../../etc}}\n";
    let problems = loaded(top).review(Vec::new(), &|_| true).to_string();
    assert!(
        problems.contains("`../../etc` cannot be the name of a volume"),
        "{problems}"
    );
}

/// Names and values out of which a hostile or careless file is made.
fn any_value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("[]".to_owned()),
        Just("{}".to_owned()),
        Just("-1".to_owned()),
        Just("1e400".to_owned()),
        Just("'a:b:c'".to_owned()),
        Just("'/x:/y'".to_owned()),
        Just("service:a".to_owned()),
        Just("!reset x".to_owned()),
        Just("true".to_owned()),
        Just("'80-90:80-90'".to_owned()),
        Just("'${X:-y}'".to_owned()),
        "[a-z]{1,4}",
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3)
                .prop_map(|items| format!("[{}]", items.join(", "))),
            proptest::collection::btree_map(any_key(), inner, 0..3).prop_map(|map| {
                let members: Vec<String> = map
                    .iter()
                    .map(|(key, value)| format!("{key}: {value}"))
                    .collect();
                format!("{{{}}}", members.join(", "))
            }),
        ]
    })
}

fn any_key() -> impl Strategy<Value = String> {
    let known: Vec<&'static str> = schema::SERVICE
        .fields
        .iter()
        .map(|field| field.key)
        .chain([
            "resources",
            "limits",
            "test",
            "source",
            "target",
            "type",
            "bind",
            "soft",
        ])
        .collect();
    proptest::sample::select(known).prop_map(str::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_service_makes_it_fail_badly(
        services in proptest::collection::vec(
            proptest::collection::btree_map(any_key(), any_value(), 0..5), 1..3),
    ) {
        let mut text = "services:\n".to_owned();
        for (index, keys) in services.iter().enumerate() {
            text += &format!("  s{index}:\n    x-a: 1\n");
            for (key, value) in keys {
                text += &format!("    {key}: {value}\n");
            }
        }
        match try_load(&[("stack.yaml", &text)]) {
            Ok(loaded) => {
                render::to_json(&loaded);
                render::to_yaml(&loaded);
            }
            Err(problems) => {
                problems.render(Color::Always, 80);
            }
        }
    }
}
