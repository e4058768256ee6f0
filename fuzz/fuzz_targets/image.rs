//! Any bytes as the layer of an image, and as an archive of images: a verdict or an error, never a panic.
#![no_main]

use lambda_pack::artifact::{Question, judge};
use lambda_pack::lambda::Date;
use lambda_pack::store::sha256;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir().expect("a folder");
    let question = Question {
        runtime: None,
        architecture: None,
        handler: None,
        layer: false,
        today: Date::new(2026, 11, 23),
    };
    let archive = folder.path().join("image.tar");
    std::fs::write(&archive, bytes).expect("a file");
    let _ = judge(&archive, &question);
    let layout = folder.path().join("layout");
    let blobs = layout.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).expect("a folder");
    let put = |bytes: &[u8], media_type: &str| {
        let digest = sha256(bytes);
        std::fs::write(blobs.join(digest.hex()), bytes).expect("a blob");
        serde_json::json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()})
    };
    let layer = put(bytes, "application/vnd.oci.image.layer.v1.tar+gzip");
    let config = serde_json::json!({"architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["/a"]},
        "rootfs": {"type": "layers", "diff_ids": [sha256(bytes).to_string()]}});
    let config = put(config.to_string().as_bytes(), "application/vnd.oci.image.config.v1+json");
    let manifest = serde_json::json!({"schemaVersion": 2, "config": config, "layers": [layer]});
    let manifest = put(manifest.to_string().as_bytes(), "application/vnd.oci.image.manifest.v1+json");
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [manifest]});
    std::fs::write(layout.join("index.json"), index.to_string()).expect("an index");
    std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("a marker");
    let _ = judge(&layout, &question);
});
