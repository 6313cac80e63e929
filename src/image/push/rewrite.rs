//! The manifest that a registry gets: ours, with other layers. Pure.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::super::digest::Digest;
use super::super::oci::Descriptor;

/// Lets a manifest name what was sent in place of its layers. When nothing was, it stays as it is, byte
/// for byte; otherwise whatever this program does not know in it stays.
pub(super) fn layers(
    manifest: Vec<u8>,
    sent: &HashMap<Digest, Descriptor>,
) -> Result<Vec<u8>, serde_json::Error> {
    if sent.is_empty() {
        return Ok(manifest);
    }
    let mut document: Value = serde_json::from_slice(&manifest)?;
    let layers = document.get_mut("layers").and_then(Value::as_array_mut);
    for layer in layers.into_iter().flatten() {
        let digest = layer["digest"].as_str().and_then(|text| text.parse().ok());
        let Some(other) = digest.and_then(|digest: Digest| sent.get(&digest)) else {
            continue;
        };
        layer["mediaType"] = json!(other.media_type);
        layer["digest"] = json!(other.digest);
        layer["size"] = json!(other.size);
    }
    serde_json::to_vec(&document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_names_what_was_sent_and_keeps_all_else() {
        let [plain, other, packed] = [b"a", b"b", b"c"].map(|content| Digest::of(content));
        let text = format!(
            r#"{{"schemaVersion": 2, "config": {{"digest": "{plain}"}},
             "layers": [{{"mediaType": "tar", "digest": "{plain}", "size": 9, "annotations": {{"a": "b"}}}},
                        {{"mediaType": "zstd", "digest": "{other}", "size": 8}}], "unknown": [1]}}"#
        );
        let sent = HashMap::from([(plain, Descriptor::new("gzip", packed, 3))]);
        let bytes = layers(text.clone().into_bytes(), &sent).unwrap();
        let expected = format!(
            r#"{{"schemaVersion":2,"config":{{"digest":"{plain}"}},"layers":[{{"mediaType":"gzip","digest":"{packed}","size":3,"annotations":{{"a":"b"}}}},{{"mediaType":"zstd","digest":"{other}","size":8}}],"unknown":[1]}}"#
        );
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
        let same = layers(text.clone().into_bytes(), &HashMap::new()).unwrap();
        assert_eq!(same, text.into_bytes());
    }
}
