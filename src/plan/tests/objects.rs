//! Volumes that are made anew, and what goes when nobody is left to use it.

use super::*;
use crate::state::records::MountRecord;

fn model(label: &str) -> Volume {
    Volume {
        name: "shop_data".to_owned(),
        labels: [("v".to_owned(), label.to_owned())].into_iter().collect(),
        ..Volume::default()
    }
}

/// A service has the volume `data` at `/data`.
pub(super) fn mounts_data(service: &mut DesiredService) {
    service.service.volumes.push(Mount {
        target: "/data".to_owned(),
        read_only: false,
        source: MountSource::Volume {
            volume: VolumeKey::new("data"),
            nocopy: false,
            subpath: None,
        },
    });
}

fn has_data(container: &mut ObservedContainer) {
    change_record(container, |record| {
        record.mounts.push(MountRecord {
            kind: "volume".to_owned(),
            name: "shop_data".to_owned(),
            source: Default::default(),
            destination: "/data".to_owned(),
            writable: true,
        });
    });
}

/// A volume made from the first configuration; the model has the second.
fn changed() -> World {
    let mut world = World::new()
        .service("db", mounts_data)
        .service("web", unchanged)
        .container("db", 1, has_data)
        .container("web", 1, unchanged);
    let found = ObservedVolume {
        config_hash: volume_hash(&model("1")),
        project: "shop".to_owned(),
    };
    let key = VolumeKey::new("data");
    world.observed.volumes.insert("shop_data".to_owned(), found);
    world.desired.volumes.insert(key, model("2"));
    world
}

fn agree(world: &mut World, volume: &Volume) {
    let agreed = (VolumeKey::new("data"), volume_hash(volume));
    world.desired.agreed = [agreed].into();
}

#[test]
fn a_volume_that_has_changed_stays_until_somebody_agrees_to_just_this_change() {
    let mut world = changed();
    assert_snapshot!(world.plan(), @"");
    agree(&mut world, &model("3"));
    assert_snapshot!(world.plan(), @"");
    agree(&mut world, &model("2"));
    assert_snapshot!(world.plan(), @"
      1. stop container shop-db-1: volume shop_data is made anew
      2. remove container shop-db-1: volume shop_data is made anew [after 1]
      3. remove volume shop_data: its configuration changed [after 2]
      4. create volume shop_data: its configuration changed [after 3]
      5. create container shop-db-1: it does not exist [after 4]
      6. start container shop-db-1: it does not exist [after 5, 4]
    ");
}

#[test]
fn a_volume_of_somebody_else_or_without_a_known_configuration_stays() {
    for change in [
        |volume: &mut ObservedVolume| volume.project = "other".to_owned(),
        |volume: &mut ObservedVolume| volume.config_hash.clear(),
    ] {
        let mut world = changed();
        agree(&mut world, &model("2"));
        change(world.observed.volumes.get_mut("shop_data").unwrap());
        assert_eq!(world.plan(), "");
    }
}

#[test]
fn what_was_interrupted_is_gone_on_with() {
    let mut world = changed();
    agree(&mut world, &model("2"));
    world
        .observed
        .containers
        .retain(|_, one| one.record.service == name("web"));
    assert_snapshot!(world.plan(), @"
      1. remove volume shop_data: its configuration changed
      2. create volume shop_data: its configuration changed [after 1]
      3. create container shop-db-1: it does not exist [after 2]
      4. start container shop-db-1: it does not exist [after 3, 2]
    ");
    world.observed.volumes.clear();
    assert_snapshot!(world.plan(), @"
      1. create volume shop_data: it does not exist
      2. create container shop-db-1: it does not exist
      3. start container shop-db-1: it does not exist [after 2, 1]
    ");
}

/// Two services on a network each, and one that both are on.
fn networks() -> World {
    let on = |keys: &'static [&str]| {
        move |service: &mut DesiredService| {
            let keys = keys
                .iter()
                .map(|key| (NetworkKey::new(*key), Attachment::default()));
            service.service.network = ServiceNetwork::Networks(keys.collect());
        }
    };
    let mut world = World::new()
        .service("web", on(&["front", "both"]))
        .service("db", on(&["back", "both"]))
        .service("cache", mounts_data);
    for key in ["front", "back", "both"] {
        let network = Network {
            name: format!("shop_{key}"),
            ..Network::default()
        };
        let found = ObservedNetwork {
            config_hash: network_hash(&network),
            project: "shop".to_owned(),
        };
        world.observed.networks.insert(network.name.clone(), found);
        world.desired.networks.insert(NetworkKey::new(key), network);
    }
    let found = ObservedVolume {
        config_hash: String::new(),
        project: "shop".to_owned(),
    };
    let key = VolumeKey::new("data");
    world.observed.volumes.insert("shop_data".to_owned(), found);
    world.desired.volumes.insert(key, model("1"));
    let joins = |names: &'static [&str]| {
        move |container: &mut ObservedContainer| {
            change_record(container, |record| {
                record.networks = names.iter().map(|name| request(name)).collect();
            });
        }
    };
    world
        .container("web", 1, joins(&["shop_front", "shop_both"]))
        .container("db", 1, joins(&["shop_back", "shop_both"]))
        .container("cache", 1, has_data)
}

fn request(network: &str) -> NetworkRequest {
    NetworkRequest {
        network: network.to_owned(),
        aliases: Vec::new(),
        addresses: Vec::new(),
        mac: None,
        interface: None,
        default_route: false,
    }
}

#[test]
fn networks_that_only_a_removed_service_used_go_with_it() {
    let mut world = networks();
    world.desired.services.shift_remove(&name("web"));
    world.desired.sweep = Some(Sweep { volumes: false });
    assert_snapshot!(world.plan(), @"
      1. stop container shop-web-1: the stack file has no such service
      2. remove container shop-web-1: the stack file has no such service [after 1]
      3. remove network shop_front: no service is left that uses it [after 2]
    ");
    world.desired.sweep = None;
    assert!(!world.plan().contains("network"));
}

#[test]
fn volumes_go_only_when_they_are_asked_for() {
    let mut world = networks();
    world.desired.services.shift_remove(&name("cache"));
    world.desired.sweep = Some(Sweep { volumes: true });
    assert_snapshot!(world.plan(), @"
      1. stop container shop-cache-1: the stack file has no such service
      2. remove container shop-cache-1: the stack file has no such service [after 1]
      3. remove volume shop_data: no service is left that uses it [after 2]
    ");
    world.desired.sweep = Some(Sweep { volumes: false });
    assert!(!world.plan().contains("volume"));
    // A container that runs beside the services keeps it.
    world.desired.sweep = Some(Sweep { volumes: true });
    let world = world.container("cache", 9, |container| {
        has_data(container);
        change_record(container, |record| record.one_off = true);
    });
    assert!(!world.plan().contains("volume"));
}
