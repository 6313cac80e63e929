//! What `deploy` says, requests for devices, and block devices.

use super::Reader;
use crate::compose::diagnostic::Problems;
use crate::compose::model::{
    BlockIo, Deploy, DeviceChoice, DeviceRequest, FailureAction, Placement, UpdateConfig,
    UpdateOrder,
};
use crate::compose::tree::{Node, Value};

pub(super) fn deploy(reader: &Reader<'_>, problems: &mut Problems) -> Deploy {
    let Some(deploy) = reader.inner("deploy") else {
        return Deploy::default();
    };
    let mut update = |key: &str| deploy.inner(key).map(|inner| update(&inner, problems));
    Deploy {
        update: update("update_config"),
        rollback: update("rollback_config"),
        mode: deploy.text("mode"),
        labels: deploy.pairs("labels").collect(),
        placement: deploy
            .inner("placement")
            .map(|placement| Placement {
                constraints: placement.texts("constraints"),
                spread: placement
                    .readers("preferences")
                    .filter_map(|preference| preference.text("spread"))
                    .collect(),
                max_replicas_per_node: placement.int("max_replicas_per_node"),
            })
            .unwrap_or_default(),
        endpoint_mode: deploy.text("endpoint_mode"),
        generic_resources: reservations(&deploy)
            .iter()
            .flat_map(|reservations| reservations.readers("generic_resources"))
            .filter_map(|item| {
                let spec = item.inner("discrete_resource_spec")?;
                Some((spec.text("kind")?, spec.int("value")?))
            })
            .collect(),
    }
}

fn reservations<'a>(deploy: &Reader<'a>) -> Option<Reader<'a>> {
    deploy.inner("resources")?.inner("reservations")
}

fn update(reader: &Reader<'_>, problems: &mut Problems) -> UpdateConfig {
    let failure_action = match reader.text("failure_action").as_deref() {
        None | Some("pause") => FailureAction::Pause,
        Some("continue") => FailureAction::Continue,
        Some("rollback") => FailureAction::Rollback,
        Some(other) => {
            if let Some(node) = reader.node.get("failure_action") {
                let message = format!("`{}.failure_action` cannot be `{other}`", reader.at);
                problems
                    .error(node.span, message)
                    .help("use `pause`, `continue` or `rollback`");
            }
            FailureAction::Pause
        }
    };
    UpdateConfig {
        // One at a time, unless it says something else; 0 is all.
        parallelism: match reader.int("parallelism") {
            Some(0) => None,
            given => Some(given.unwrap_or(1)),
        },
        delay: reader.duration("delay").unwrap_or_default(),
        failure_action,
        monitor: reader.duration("monitor"),
        max_failure_ratio: match reader.node.get("max_failure_ratio").map(|node| &node.value) {
            Some(Value::Float(ratio)) => *ratio,
            Some(Value::Int(ratio)) => *ratio as f64,
            _ => 0.0,
        },
        order: match reader.text("order").as_deref() {
            Some("start-first") => UpdateOrder::StartFirst,
            _ => UpdateOrder::StopFirst,
        },
    }
}

pub(super) fn device_requests(reader: &Reader<'_>) -> Vec<DeviceRequest> {
    let deploy = reader.inner("deploy");
    let reserved = deploy.as_ref().and_then(reservations);
    let reserved = reserved
        .iter()
        .flat_map(|reservations| reservations.readers("devices"))
        .map(|item| request(&item));
    let gpus = reader.readers("gpus").map(|item| {
        let mut request = request(&item);
        if !request.capabilities.iter().any(|one| one == "gpu") {
            request.capabilities.push("gpu".to_owned());
        }
        request
    });
    reserved.chain(gpus).collect()
}

fn request(reader: &Reader<'_>) -> DeviceRequest {
    let ids = reader.texts("device_ids");
    let devices = match reader.int::<i64>("count") {
        _ if !ids.is_empty() => DeviceChoice::Ids(ids),
        None | Some(i64::MIN..0) => DeviceChoice::All,
        Some(count) => DeviceChoice::Count(u32::try_from(count).unwrap_or(u32::MAX)),
    };
    DeviceRequest {
        capabilities: reader.texts("capabilities"),
        driver: reader.text("driver"),
        devices,
        options: reader.pairs("options").collect(),
    }
}

pub(super) fn block_io(reader: &Reader<'_>) -> Option<BlockIo> {
    let reader = reader.inner("blkio_config")?;
    let rates = |key: &str| -> Vec<(String, u64)> {
        let items = reader.readers(key);
        items
            .filter_map(|item| Some((item.text("path")?, item.size("rate")?)))
            .collect()
    };
    Some(BlockIo {
        weight: reader.int("weight").filter(|weight| *weight > 0),
        weight_device: reader
            .readers("weight_device")
            .filter_map(|item| Some((item.text("path")?, item.int("weight")?)))
            .collect(),
        read_bps: rates("device_read_bps"),
        read_iops: rates("device_read_iops"),
        write_bps: rates("device_write_bps"),
        write_iops: rates("device_write_iops"),
    })
}

/// Counted as the engine counts them: a text that may be a list of one.
pub(super) fn values(node: &Node) -> Vec<String> {
    let items = node.as_list().unwrap_or(std::slice::from_ref(node));
    items.iter().filter_map(Node::scalar_text).collect()
}
