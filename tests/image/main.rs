//! Container images: what is built, whether others take it and it starts, and what `check` says of images that others have made.
//!
//! Images of AWS cannot be had here. Bases are made of this system's own files, with the config of AWS's.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

#[path = "../common/mod.rs"]
mod common;
mod foreign;
mod layers;
mod starts;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use common::oci::{self, Entry, Image, Layer};
use common::{Project, REQUESTS, Run, host_architecture, runtime_api, tool};
use serde_json::{Value, json};

/// A base with Python as an OCI layout, made once; and its minor version.
fn python_base() -> (&'static Path, u8) {
    static BASE: OnceLock<(tempfile::TempDir, u8)> = OnceLock::new();
    let (dir, minor) = BASE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let minor = oci::python_base(dir.path());
        (dir, minor)
    });
    (dir.path(), *minor)
}

const APP: &str =
    "import requests\ndef handler(event, context):\n    return {'requests': requests.__version__, 'event': event}\n";

/// A function in Python on the base of [`python_base`], with more settings.
fn python(settings: &str) -> Project {
    let (base, minor) = python_base();
    let project = Project::empty();
    project.write("fn/app.py", APP).write("fn/requirements.txt", REQUESTS).write(
        "lambda-pack.toml",
        &format!(
            "[functions.f]\npath = 'fn'\nruntime = 'python3.{minor}'\nhandler = 'app.handler'\narchitecture = '{}'\n\
             package = 'image'\nbase = 'oci:{}'\n{settings}",
            host_architecture(),
            base.display()
        ),
    );
    project
}

fn skopeo(args: &[&str]) -> String {
    let args: Vec<_> = args.iter().map(AsRef::as_ref).collect();
    tool("skopeo", &args, "apt-get install skopeo")
}

/// What an image of a layout unpacks to, by a tool that is not ours.
fn unpacked(layout: &Path) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("bundle");
    let image = format!("{}:latest", layout.display());
    tool(
        "umoci",
        &["unpack".as_ref(), "--rootless".as_ref(), "--image".as_ref(), image.as_ref(), bundle.as_os_str()],
        "apt-get install umoci",
    );
    let root = bundle.join("rootfs");
    (dir, root)
}

/// Every tool that is not ours takes it, with the digest that we have said.
fn accepted(layout: &Path, digest: &str) {
    let shown = format!("oci:{}", layout.display());
    let inspected: Value = serde_json::from_str(&skopeo(&["inspect", &shown])).unwrap();
    assert_eq!(inspected["Digest"], digest);
    let copy = tempfile::tempdir().unwrap();
    skopeo(&["copy", "--quiet", &shown, &format!("oci:{}:latest", copy.path().display())]);
    assert_eq!(oci::layers(copy.path()), oci::layers(layout));
    tool(
        "oci-image-tool",
        &["validate", "--type", "image", "--ref", "name=latest", layout.to_str().unwrap()].map(AsRef::as_ref),
        "apt-get install oci-image-tool",
    );
}

/// Paths below a folder, each with its mode and contents, or its target.
fn contents(root: &Path) -> BTreeMap<String, String> {
    let describe = |path: &Path| {
        let metadata = fs::symlink_metadata(path).unwrap();
        if metadata.is_symlink() {
            format!("-> {}", fs::read_link(path).unwrap().display())
        } else if metadata.is_dir() {
            format!("folder {:o}", metadata.mode() & 0o7777)
        } else {
            format!("file {:o} {}", metadata.mode() & 0o7777, oci::sha(&fs::read(path).unwrap()))
        }
    };
    walkdir::WalkDir::new(root)
        .min_depth(1)
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .map(|path| (path.strip_prefix(root).unwrap().display().to_string(), describe(&path)))
        .collect()
}

/// Starts an unpacked image as Lambda does: read-only but for /tmp, as a user of its own, with nothing but the image's
/// variables; and gives it one event.
fn invoke(root: &Path, config: &Value, event: &str) -> String {
    let words = |key: &str| -> Vec<String> {
        config["config"][key].as_array().into_iter().flatten().map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    runtime_api::invoke_by(event, |address| {
        let mut command = Command::new("bwrap");
        command.arg("--ro-bind").arg(root).arg("/");
        command.args(["--tmpfs", "/tmp", "--proc", "/proc", "--dev", "/dev", "--unshare-pid"]);
        common::as_lambdas_user(&mut command);
        command.args(["--die-with-parent", "--clearenv"]);
        command.args(["--chdir", config["config"]["WorkingDir"].as_str().unwrap()]);
        for variable in words("Env") {
            let (name, value) = variable.split_once('=').unwrap();
            command.args(["--setenv", name, value]);
        }
        command.args(["--setenv", "AWS_LAMBDA_RUNTIME_API", address]);
        command.args(words("Entrypoint")).args(words("Cmd"));
        command
    })
}

#[test]
fn what_is_wrong_with_the_config_is_told_with_its_line() {
    let project = Project::empty();
    project.write("fn/app.py", "def handler(event, context):\n    return 1\n");
    for (line, expected) in [
        ("package = 'imgae'", "`package` cannot be `imgae`"),
        ("base = 'oci:'", "`oci:` names no path"),
        ("base = 'two words'", "`two words` is no image"),
        ("image = { working-dir = 'task' }", "`working-dir` has to be a path in the image"),
        ("image = { archive = 'zip' }", "`archive` cannot be `zip`"),
        ("image = { entry-point = ['x'] }", "entry-point"),
        ("base = 'oci:nowhere'\npackage = 'image'", "nowhere` does not exist"),
    ] {
        project.write("lambda-pack.toml", &format!("[functions.f]\npath = 'fn'\nruntime = 'python3.13'\n{line}\n"));
        let run = project.run(&["build"]);
        assert_eq!(run.code, 2, "{line}: {}", run.transcript());
        assert!(run.stderr.contains(expected), "{line}: {}", run.stderr);
    }
}

/// A program of this machine that needs nothing.
fn elf() -> Vec<u8> {
    let machine: u16 = if std::env::consts::ARCH == "aarch64" { 183 } else { 62 };
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0".to_vec();
    bytes.extend(machine.to_le_bytes());
    bytes.extend([1, 0, 0, 0]);
    bytes.extend([0; 24]);
    bytes.extend([0, 0, 0, 0, 64, 0, 56, 0, 0, 0, 64, 0, 0, 0, 0, 0]);
    bytes
}

/// Levels, rules and paths that a check gives.
fn said(run: &Run) -> Vec<String> {
    let document: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|e| panic!("{e}: {}", run.transcript()));
    let findings = document["findings"].as_array().unwrap();
    let refused = findings.iter().any(|f| f["level"] == "error");
    assert_eq!(run.code, if refused { 3 } else { 0 }, "{}", run.transcript());
    let text = |f: &Value, key: &str| f[key].as_str().unwrap_or("-").to_owned();
    findings.iter().map(|f| format!("{} {} {}", text(f, "level"), text(f, "rule"), text(f, "path"))).collect()
}
