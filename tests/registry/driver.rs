//! What the tests run in a process of its own, with an environment of its own: the library as a program would use it.

use std::io::{Read as _, Write as _};
use std::sync::Mutex;
use std::time::Duration;

use lambda_pack::aws;
use lambda_pack::error::{Error, Kind};
use lambda_pack::image::{self, BuiltImage, BuiltLayer, Descriptor, Place, Wanted};
use lambda_pack::registry::{self, Known, Registries};
use lambda_pack::report::{self, Event, Reporter};
use lambda_pack::store::{Digest, Store, sha256};
use serde_json::{Value, json};

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Reporter for Heard {
    fn event(&self, event: Event) {
        match event {
            Event::Warning(text) => self.0.lock().unwrap().push(format!("warning: {text}")),
            Event::Debug(text) => self.0.lock().unwrap().push(text),
            _ => {}
        }
    }
}

/// A gzipped tar with one file of so many bytes, which do not shrink.
fn layer(seed: u64, size: usize) -> (Vec<u8>, Digest) {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let bytes: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(size)
    .collect();
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(size as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, format!("file-{seed}"), bytes.as_slice()).unwrap();
    let tar = tar.into_inner().unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar).unwrap();
    (gzip.finish().unwrap(), sha256(&tar))
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Descriptor {
    Descriptor { media_type: media_type.to_owned(), digest: sha256(bytes), size: bytes.len() as u64 }
}

/// An image with these layers, on a base where one is named.
fn image(spec: &Value, folder: &std::path::Path, registries: &Registries) -> Result<BuiltImage, Error> {
    let mut layers = Vec::new();
    let mut base = None;
    if let Some(reference) = spec["base"].as_str() {
        let blobs = registry::open(reference, registries)?;
        let manifest: Value = serde_json::from_slice(&blobs.manifest(Wanted::Named)?.bytes).unwrap();
        for layer in manifest["layers"].as_array().unwrap() {
            let digest = Digest::parse(layer["digest"].as_str().unwrap()).unwrap();
            let media_type = image::OCI_LAYER_GZIP.to_owned();
            let descriptor = Descriptor { media_type, digest: digest.clone(), size: layer["size"].as_u64().unwrap() };
            layers.push(BuiltLayer { descriptor, diff_id: digest, uncompressed_bytes: None, place: Place::Base });
        }
        base = Some(blobs);
    }
    for made in spec["layers"].as_array().unwrap() {
        let (bytes, diff_id) = layer(made[0].as_u64().unwrap(), usize::try_from(made[1].as_u64().unwrap()).unwrap());
        let descriptor = descriptor(image::OCI_LAYER_GZIP, &bytes);
        // Not at the beginning of its file, as in an archive.
        let path = folder.join(descriptor.digest.hex());
        std::fs::write(&path, [b"before".as_slice(), &bytes, b"after"].concat()).unwrap();
        let place = Place::Disk { path, offset: 6 };
        layers.push(BuiltLayer { descriptor, diff_id, uncompressed_bytes: None, place });
    }
    let diff_ids: Vec<String> = layers.iter().map(|layer| layer.diff_id.to_string()).collect();
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {"Cmd": ["app.handler"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let config = config.to_string().into_bytes();
    let entry = |d: &Descriptor| json!({"mediaType": d.media_type, "digest": d.digest.to_string(), "size": d.size});
    let config_descriptor = descriptor(image::OCI_CONFIG, &config);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": image::OCI_MANIFEST, "config": entry(&config_descriptor),
        "layers": layers.iter().map(|layer| entry(&layer.descriptor)).collect::<Vec<_>>(),
    });
    let manifest = manifest.to_string().into_bytes();
    Ok(BuiltImage {
        descriptor: descriptor(image::OCI_MANIFEST, &manifest),
        manifest,
        config,
        config_descriptor,
        layers,
        annotations: std::collections::BTreeMap::new(),
        base,
    })
}

fn push(spec: &Value, folder: &std::path::Path, registries: &Registries) -> Result<Value, Error> {
    let mut known = Known::default();
    let mut all = Vec::new();
    for repository in spec["push"].as_array().unwrap() {
        let repository = repository.as_str().unwrap();
        let built = image(spec, folder, registries)?;
        let wanted = registry::Wanted { repository, create: spec["create"] == true };
        let target = registries.target(&wanted)?;
        let pushed = registries.push(&target, &built, spec["tag"].as_str(), &mut known, "x")?;
        let attached = match spec["attach"].as_str() {
            Some(text) => Some(registries.attach(
                &target,
                &built.descriptor,
                "application/vnd.cyclonedx+json",
                text.as_bytes(),
            )?),
            None => None,
        };
        all.push(json!({
            "uri": pushed.uri, "sent": pushed.sent, "bytes": pushed.bytes, "mounted": pushed.mounted,
            "present": pushed.present, "new": pushed.is_new, "attached": attached,
            "size": built.bytes() - built.descriptor.size,
        }));
    }
    Ok(json!(all))
}

/// Reads an image, each blob of it, so many times.
fn pull(spec: &Value, registries: &Registries) -> Result<Value, Error> {
    let mut digests = Vec::new();
    for _ in 0..spec["times"].as_u64().unwrap_or(1) {
        let blobs = registry::open(spec["pull"].as_str().unwrap(), registries)?;
        let manifest = blobs.manifest(Wanted::Named)?;
        digests = vec![manifest.digest.to_string(), manifest.media_type];
        let document: Value = serde_json::from_slice(&manifest.bytes).unwrap();
        for layer in document["layers"].as_array().unwrap() {
            let digest = Digest::parse(layer["digest"].as_str().unwrap()).unwrap();
            let size = layer["size"].as_u64().unwrap();
            let descriptor = Descriptor { media_type: image::OCI_LAYER_GZIP.to_owned(), digest, size };
            let mut bytes = Vec::new();
            blobs.blob(&descriptor)?.read_to_end(&mut bytes).unwrap();
            digests.push(sha256(&bytes).to_string());
        }
    }
    Ok(json!(digests))
}

pub(super) fn run(spec: &Value) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let heard = Heard::default();
    let cache = spec["cache"].as_str().map_or_else(|| folder.path().join("cache"), Into::into);
    let silence = Duration::from_millis(spec["silence"].as_u64().unwrap_or(20_000));
    let result = report::relay(&heard, |events| {
        let aws =
            aws::Settings { region: spec["region"].as_str().map(str::to_owned), profile: None, patience: silence };
        let settings = registry::Settings { offline: spec["offline"] == true, aws, silence };
        let registries = Registries::new(&Store::new(cache), settings, events);
        if spec["pull"].is_string() { pull(spec, &registries) } else { push(spec, folder.path(), &registries) }
    });
    let heard = heard.0.into_inner().unwrap();
    match result {
        Ok(done) => json!({"done": done, "heard": heard}),
        Err(error) => json!({
            "error": error.to_string(), "hints": error.hints(), "config": error.kind() == Kind::Config, "heard": heard,
        }),
    }
}
