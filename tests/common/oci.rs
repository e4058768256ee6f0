//! Images made by the tests: layers, layouts, and a base that starts functions as those of AWS do.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub const ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
pub const TAR: &str = "application/vnd.oci.image.layer.v1.tar";

pub fn sha(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    format!("sha256:{}", digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// A layer: its tar, and how it is packed.
#[derive(Clone)]
pub struct Layer {
    pub tar: Vec<u8>,
    pub media_type: &'static str,
}

impl Layer {
    pub fn gzip(entries: &[Entry<'_>]) -> Self {
        Self { tar: tar(entries), media_type: GZIP }
    }

    pub fn packed(&self) -> Vec<u8> {
        match self.media_type {
            ZSTD => ruzstd::encoding::compress_to_vec(self.tar.as_slice(), ruzstd::encoding::CompressionLevel::Fastest),
            TAR => self.tar.clone(),
            _ => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(&self.tar).unwrap();
                encoder.finish().unwrap()
            }
        }
    }
}

/// What a layer holds.
pub enum Entry<'a> {
    File(&'a str, u32, &'a [u8]),
    Folder(&'a str, u32),
    Link(&'a str, &'a str),
    Hard(&'a str, &'a str),
}

pub fn tar(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mtime(1_700_000_000);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        match entry {
            Entry::File(path, mode, bytes) => {
                header.set_mode(*mode);
                header.set_size(bytes.len() as u64);
                builder.append_data(&mut header, path, *bytes).unwrap();
            }
            Entry::Folder(path, mode) => {
                header.set_entry_type(tar::EntryType::Directory);
                header.set_mode(*mode);
                builder.append_data(&mut header, format!("{path}/"), &b""[..]).unwrap();
            }
            Entry::Link(path, target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_mode(0o777);
                builder.append_link(&mut header, path, target).unwrap();
            }
            Entry::Hard(path, target) => {
                header.set_entry_type(tar::EntryType::Link);
                header.set_mode(0o644);
                builder.append_link(&mut header, path, target).unwrap();
            }
        }
    }
    builder.into_inner().unwrap()
}

/// One image of a layout.
pub struct Image {
    pub arch: &'static str,
    pub config: Value,
    pub layers: Vec<Layer>,
}

impl Image {
    pub fn new(config: Value, layers: Vec<Layer>) -> Self {
        Self { arch: go_arch(), config, layers }
    }
}

/// The name that images have for this machine's processor.
pub fn go_arch() -> &'static str {
    if std::env::consts::ARCH == "aarch64" { "arm64" } else { "amd64" }
}

/// A blob of a layout; gives its descriptor.
pub fn blob(root: &Path, media_type: &str, bytes: &[u8]) -> Value {
    let digest = sha(bytes);
    let folder = root.join("blobs/sha256");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(&digest[7..]), bytes).unwrap();
    json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
}

/// A layout of one image, or of an index of several.
pub fn layout(root: &Path, images: &[Image]) {
    let mut manifests = Vec::new();
    for image in images {
        let mut layers = Vec::new();
        let mut ids = Vec::new();
        for layer in &image.layers {
            layers.push(blob(root, layer.media_type, &layer.packed()));
            ids.push(sha(&layer.tar));
        }
        let config = json!({
            "architecture": image.arch, "os": "linux", "config": image.config,
            "rootfs": {"type": "layers", "diff_ids": ids},
        });
        let config = blob(root, CONFIG, config.to_string().as_bytes());
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
        let mut descriptor = blob(root, MANIFEST, manifest.to_string().as_bytes());
        descriptor["platform"] = json!({"architecture": image.arch, "os": "linux"});
        manifests.push(descriptor);
    }
    let named = match manifests.as_slice() {
        [one] => one.clone(),
        all => {
            let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": all});
            blob(root, INDEX, index.to_string().as_bytes())
        }
    };
    name(root, named);
}

/// Writes `index.json` and `oci-layout`.
pub fn name(root: &Path, mut descriptor: Value) {
    descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": "latest"});
    let index = json!({"schemaVersion": 2, "manifests": [descriptor]});
    std::fs::write(root.join("index.json"), index.to_string()).unwrap();
    std::fs::write(root.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

/// A document of a layout, by the digest of its blob.
pub fn document(root: &Path, digest: &str) -> Value {
    let path = root.join("blobs/sha256").join(digest.strip_prefix("sha256:").unwrap());
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The manifest and the config of a layout's only image.
pub fn documents(root: &Path) -> (Value, Value) {
    let index: Value = serde_json::from_slice(&std::fs::read(root.join("index.json")).unwrap()).unwrap();
    let manifest = document(root, index["manifests"][0]["digest"].as_str().unwrap());
    let config = document(root, manifest["config"]["digest"].as_str().unwrap());
    (manifest, config)
}

/// Digests of an image's layers.
pub fn layers(root: &Path) -> Vec<String> {
    let (manifest, _) = documents(root);
    manifest["layers"].as_array().unwrap().iter().map(|layer| layer["digest"].as_str().unwrap().to_owned()).collect()
}

/// The config of AWS's images.
pub fn aws_config() -> Value {
    json!({
        "Env": [
            "LANG=en_US.UTF-8",
            "TZ=:/etc/localtime",
            "PATH=/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
            "LD_LIBRARY_PATH=/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
            "LAMBDA_TASK_ROOT=/var/task",
            "LAMBDA_RUNTIME_DIR=/var/runtime",
        ],
        "WorkingDir": "/var/task",
        "Entrypoint": ["/lambda-entrypoint.sh"],
    })
}

/// What AWS's images are started by, as far as a test needs it.
const ENTRYPOINT: &[u8] = b"#!/bin/sh\n\
    if [ $# -ne 1 ]; then echo 'entrypoint requires the handler name to be the first argument' >&2; exit 142; fi\n\
    export _HANDLER=\"$1\"\n\
    exec /var/runtime/bootstrap\n";

/// A runtime that answers with a handler of Python.
const RUNTIME: &str = "#!PYTHON\n\
import http.client, importlib, json, os, sys\n\
sys.path.insert(0, os.environ['LAMBDA_TASK_ROOT'])\n\
sys.path.insert(1, '/opt/python')\n\
module, name = os.environ['_HANDLER'].rsplit('.', 1)\n\
handler = getattr(importlib.import_module(module), name)\n\
root = '/2018-06-01/runtime/invocation/'\n\
while True:\n    \
    connection = http.client.HTTPConnection(os.environ['AWS_LAMBDA_RUNTIME_API'])\n    \
    connection.request('GET', root + 'next')\n    \
    answer = connection.getresponse()\n    \
    event = json.loads(answer.read())\n    \
    body = json.dumps(handler(event, None))\n    \
    connection = http.client.HTTPConnection(os.environ['AWS_LAMBDA_RUNTIME_API'])\n    \
    connection.request('POST', root + answer.headers['Lambda-Runtime-Aws-Request-Id'] + '/response', body)\n    \
    try:\n        connection.getresponse().read()\n    \
    except (OSError, http.client.HTTPException):\n        break\n";

/// A base with Python, made of the files of this system's own, and configured as AWS's is. Gives Python's minor version, too.
pub fn python_base(root: &Path) -> u8 {
    let python =
        Path::new("/usr/bin/python3").canonicalize().expect("/usr/bin/python3 is missing: apt-get install python3");
    let minor = python.file_name().unwrap().to_str().unwrap().trim_start_matches("python3.").parse().unwrap();
    let library = PathBuf::from(format!("/usr/lib/python3.{minor}"));
    let mut files: BTreeSet<PathBuf> = [python.clone(), PathBuf::from("/usr/bin/env")].into();
    files.insert(Path::new("/bin/sh").canonicalize().unwrap());
    let skipped = [
        "__pycache__",
        "test",
        "idlelib",
        "lib2to3",
        "ensurepip",
        "dist-packages",
        "tkinter",
        "pydoc_data",
        "distutils",
    ];
    let is_wanted = |entry: &walkdir::DirEntry| {
        let name = entry.file_name().to_string_lossy();
        !skipped.contains(&name.as_ref()) && !name.starts_with("config-")
    };
    for entry in walkdir::WalkDir::new(&library).into_iter().filter_entry(is_wanted) {
        let entry = entry.unwrap();
        if entry.path().is_file() {
            files.insert(entry.path().to_owned());
        }
    }
    // What packages need of the C library beside it.
    let c_library =
        libraries(std::slice::from_ref(&python)).into_iter().find(|path| path.ends_with("libc.so.6")).unwrap();
    for name in ["libdl.so.2", "libm.so.6", "libpthread.so.0", "librt.so.1", "libutil.so.1"] {
        files.insert(c_library.with_file_name(name));
    }
    let natives: Vec<PathBuf> = files.iter().filter(|path| is_elf(path)).cloned().collect();
    files.extend(libraries(&natives));
    let mut folders = BTreeSet::new();
    let mut entries = Vec::new();
    let names: Vec<(String, Vec<u8>)> = files.iter().map(|path| (inside(path), std::fs::read(path).unwrap())).collect();
    for (name, _) in &names {
        let mut at = Path::new(name).parent();
        while let Some(folder) = at.filter(|folder| !folder.as_os_str().is_empty()) {
            folders.insert(folder.to_str().unwrap().to_owned());
            at = folder.parent();
        }
    }
    for folder in ["etc", "opt", "var/lang/bin", "var/runtime", "var/task", "var", "var/lang"] {
        folders.insert(folder.to_owned());
    }
    folders.iter().for_each(|folder| entries.push(Entry::Folder(folder, 0o755)));
    for (link, target) in [("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")] {
        entries.push(Entry::Link(link, target));
    }
    let interpreter = inside(&python);
    let shell = Path::new("/bin/sh").canonicalize().unwrap();
    let shell = shell.file_name().unwrap().to_str().unwrap().to_owned();
    entries.push(Entry::Link("usr/bin/sh", &shell));
    names.iter().for_each(|(name, bytes)| {
        let executable = name.starts_with("usr/bin/") || name.contains("/ld-");
        entries.push(Entry::File(name, if executable { 0o755 } else { 0o644 }, bytes));
    });
    let system = Layer::gzip(&entries);
    let runtime = RUNTIME.replace("PYTHON", &format!("/{interpreter}"));
    let start = Layer::gzip(&[
        Entry::File("lambda-entrypoint.sh", 0o755, ENTRYPOINT),
        Entry::File("var/runtime/bootstrap", 0o755, runtime.as_bytes()),
    ]);
    layout(root, &[Image::new(aws_config(), vec![system, start])]);
    minor
}

/// Where a file of this system goes: behind the links of merged folders.
fn inside(path: &Path) -> String {
    let text = path.to_str().unwrap().trim_start_matches('/');
    ["lib64/", "lib/", "bin/"]
        .iter()
        .find(|folder| text.starts_with(**folder))
        .map_or_else(|| text.to_owned(), |_| format!("usr/{text}"))
}

fn is_elf(path: &Path) -> bool {
    let mut start = [0; 4];
    std::fs::File::open(path).and_then(|mut file| std::io::Read::read_exact(&mut file, &mut start)).is_ok()
        && start == *b"\x7fELF"
}

/// What the loader loads for these files, and the loader.
fn libraries(files: &[PathBuf]) -> BTreeSet<PathBuf> {
    let output = Command::new("ldd").args(files).output().expect("ldd is missing: apt-get install libc-bin");
    let text = String::from_utf8_lossy(&output.stdout);
    let paths = text
        .lines()
        .filter(|line| !line.ends_with(':'))
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from));
    paths.filter(|path| path.is_file()).collect()
}
