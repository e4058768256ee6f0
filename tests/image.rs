//! Container images: what is built, whether others take it and it starts, and what `check` says of images that others have made.
//!
//! Images of AWS cannot be had here. Bases are made of this system's own files, with the config of AWS's.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod common;

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
        command.args(["--tmpfs", "/tmp", "--proc", "/proc", "--dev", "/dev", "--unshare-user", "--unshare-pid"]);
        command.args(["--uid", "993", "--gid", "990", "--die-with-parent", "--clearenv"]);
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
fn a_python_function_on_a_base_is_taken_by_everybody_and_answers() {
    let project =
        python("[functions.f.image]\nlabels = { team = 'a' }\nenvironment = { HOME = '/tmp' }\narchive = 'oci'\n");
    // Modes that Lambda's user could not read, a link, and a name that a header does not hold.
    fs::set_permissions(project.path("fn/app.py"), fs::Permissions::from_mode(0o600)).unwrap();
    let long = format!("fn/{}/deep.txt", ["a-folder-with-a-name"; 8].join("/"));
    project.write(&long, "deep").write("fn/run.sh", "#!/bin/sh\n");
    fs::set_permissions(project.path("fn/run.sh"), fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::symlink("app.py", project.path("fn/link.py")).unwrap();
    let manifest = project.build(&["--sbom"]);
    let function = &manifest["functions"][0];
    assert_eq!((&function["package_type"], &function["layers"]), (&json!("Image"), &json!([])));
    assert!(function.get("artifact").is_none() && function.get("upload").is_none(), "{function}");
    let image = &function["image"];
    let digest = image["digest"].as_str().unwrap();
    let layout = project.out(image["layout"].as_str().unwrap());
    accepted(&layout, digest);
    skopeo(&["inspect", &format!("oci-archive:{}", project.out(image["archive"].as_str().unwrap()).display())]);

    let (described, config) = oci::documents(&layout);
    assert_eq!(described["mediaType"], oci::MANIFEST);
    let (blobs, ids) = (described["layers"].as_array().unwrap(), config["rootfs"]["diff_ids"].as_array().unwrap());
    let history = config["history"].as_array().unwrap();
    assert_eq!((blobs.len(), ids.len(), history.len()), (5, 5, 5), "{described:#}\n{config:#}");
    let bytes: u64 = blobs.iter().map(|blob| blob["size"].as_u64().unwrap()).sum();
    let documents = described["config"]["size"].as_u64().unwrap() + described.to_string().len() as u64;
    assert_eq!(image["bytes"], bytes + documents);
    assert_eq!((&config["os"], &config["architecture"]), (&json!("linux"), &json!(oci::go_arch())));
    assert_eq!(config["created"], "1970-01-01T00:00:00Z");
    let started = &config["config"];
    assert_eq!(started["Entrypoint"], json!(["/lambda-entrypoint.sh"]));
    assert_eq!((&started["Cmd"], &started["WorkingDir"]), (&json!(["app.handler"]), &json!("/var/task")));
    assert_eq!(started["Labels"], json!({"team": "a"}));
    let environment = started["Env"].as_array().unwrap();
    assert!(
        environment.contains(&json!("HOME=/tmp")) && environment.contains(&json!("LAMBDA_RUNTIME_DIR=/var/runtime"))
    );
    assert_eq!(environment.len(), 7);

    // Every file of the tree, and of the base, is what it was.
    let (_dir, root) = unpacked(&layout);
    let (_base_dir, base) = unpacked(python_base().0);
    let zip = Project::empty();
    common::copy(&project.path("fn"), &zip.path("fn"));
    fs::copy(project.path("lambda-pack.toml"), zip.path("lambda-pack.toml")).unwrap();
    zip.build(&["--package", "zip"]);
    let task = contents(zip.unpack("f.zip").path("").as_path());
    let mut expected = contents(&base);
    for (path, what) in task {
        expected.insert(format!("var/task/{path}"), what);
    }
    for (folder, mode) in [("tmp", "1777"), ("proc", "755"), ("dev", "755")] {
        expected.insert(folder.to_owned(), format!("folder {mode}"));
    }
    let found = contents(&root);
    let differ: Vec<_> = expected
        .iter()
        .filter(|(path, what)| found.get(*path) != Some(what))
        // A zip has folders by their files alone, with whatever mode `unzip` gives them.
        .filter(|(path, what)| !(path.starts_with("var/task/") && what.starts_with("folder")))
        .collect();
    assert!(differ.is_empty(), "{differ:#?}");
    assert!(found.keys().all(|path| expected.contains_key(path)));
    assert!(
        found
            .iter()
            .all(|(path, what)| !path.starts_with("var/task/") || !what.starts_with("folder") || what == "folder 755")
    );

    let answer: Value = serde_json::from_str(&invoke(&root, &config, "{\"n\": 1}")).unwrap();
    assert_eq!(answer, json!({"requests": "2.32.3", "event": {"n": 1}}));

    let bill: Value =
        serde_json::from_slice(&fs::read(project.out(function["sbom"].as_str().unwrap())).unwrap()).unwrap();
    let urls: Vec<&str> = bill["components"].as_array().unwrap().iter().map(|c| c["purl"].as_str().unwrap()).collect();
    assert!(urls.contains(&"pkg:pypi/requests@2.32.3") && urls.len() == 5, "{urls:?}");
    assert_eq!((&bill["specVersion"], bill.get("serialNumber")), (&json!("1.6"), None));

    // What we have made is what we take.
    assert_eq!(said(&project.run(&["check", "--format", "json", layout.to_str().unwrap()])), Vec::<String>::new());
}

/// A program that answers one event, with nothing but the standard library.
const PROGRAM: &str = r#"
use std::io::{Read, Write};
fn call(head: String, body: &str) -> String {
    let api = std::env::var("AWS_LAMBDA_RUNTIME_API").unwrap();
    let mut stream = std::net::TcpStream::connect(&api).unwrap();
    write!(stream, "{head} HTTP/1.1\r\nHost: {api}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut text = String::new();
    let mut byte = [0];
    // The other side ends with the event, or hangs up.
    while !text.ends_with('}') && stream.read(&mut byte).unwrap_or(0) == 1 {
        text.push(char::from(byte[0]));
    }
    text
}
fn main() {
    let event = call("GET /2018-06-01/runtime/invocation/next".to_owned(), "");
    let event = event.split("\r\n\r\n").nth(1).unwrap().to_owned();
    call("POST /2018-06-01/runtime/invocation/1/response".to_owned(), &format!("rust {event}"));
}
"#;

/// A Cargo package whose binary is linked statically, or not.
fn rust(is_static: bool) -> Project {
    let project = Project::empty();
    let flags = if is_static { "[build]\nrustflags = ['-C', 'target-feature=+crt-static']\n" } else { "" };
    project
        .write("Cargo.toml", "[package]\nname = 'answers'\nversion = '0.1.0'\nedition = '2021'\n\n[package.metadata.lambda-pack.functions.answers]\npackage = 'image'\nbase = 'scratch'\n")
        .write(".cargo/config.toml", flags)
        .write("src/main.rs", PROGRAM);
    project
}

#[test]
fn a_rust_function_from_scratch_answers() {
    let project = rust(true);
    let manifest = project.build(&["--arch", host_architecture()]);
    let image = &manifest["functions"][0]["image"];
    let layout = project.out("answers.oci");
    accepted(&layout, image["digest"].as_str().unwrap());
    let (_, config) = oci::documents(&layout);
    assert_eq!(config["config"]["Entrypoint"], json!(["/var/runtime/bootstrap"]));
    assert!(config["config"].get("Cmd").is_none() || config["config"]["Cmd"] == json!(null));
    let (_dir, root) = unpacked(&layout);
    let files: Vec<String> =
        contents(&root).into_iter().filter(|(_, what)| what.starts_with("file")).map(|(path, _)| path).collect();
    assert_eq!(files, ["var/runtime/bootstrap"]);
    assert_eq!(invoke(&root, &config, "{\"n\": 2}"), "rust {\"n\": 2}");
}

#[test]
fn a_program_whose_loader_is_missing_is_refused() {
    let project = rust(false);
    let run = project.run(&["build", "--arch", host_architecture(), "--format", "json"]);
    assert_eq!(run.code, 3, "{}", run.transcript());
    let manifest: Value = serde_json::from_str(&run.stdout).unwrap();
    let messages: Vec<&str> =
        manifest["findings"].as_array().unwrap().iter().map(|f| f["message"].as_str().unwrap()).collect();
    assert!(
        messages.iter().any(|m| m.starts_with(
            "Runtime.InvalidEntrypoint: fork/exec /var/runtime/bootstrap: no such file or directory (its loader `/lib"
        )),
        "{messages:#?}"
    );
    assert!(!project.out("answers.oci").exists());
}

#[test]
fn the_same_image_from_another_folder_and_with_other_threads() {
    let digest = |project: &Project, args: &[&str]| project.build(args)["functions"][0]["image"]["digest"].clone();
    let (one, other) = (python(""), python(""));
    fs::set_permissions(other.path("fn/app.py"), fs::Permissions::from_mode(0o600)).unwrap();
    let first = digest(&one, &["--jobs", "1"]);
    // With a store that knows nothing.
    let store = tempfile::tempdir().unwrap();
    let mut command = other.command(&["build", "--format", "json", "--jobs", "2", "--out-dir", "elsewhere"]);
    let run = Run::of(command.env("LAMBDA_PACK_CACHE_DIR", store.path()), &other.path(""));
    assert_eq!(run.code, 0, "{}", run.transcript());
    let manifest: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(manifest["functions"][0]["image"]["digest"], first);
}

/// All files of an image's folder with their times.
fn files(layout: &Path) -> BTreeMap<PathBuf, (i64, i64, u64)> {
    walkdir::WalkDir::new(layout)
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), fs::metadata(&path).map(|m| (m.mtime(), m.mtime_nsec(), m.ino())).unwrap()))
        .collect()
}

#[test]
fn one_line_changes_one_layer_and_nothing_changes_nothing() {
    let project = python("");
    project.build::<&str>(&[]);
    // Files that are new may still change in the same tick.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    let layout = project.out("f.oci");
    project.done(&["build"]);
    let (before, old) = (files(&layout), oci::layers(&layout));
    assert!(project.done(&["build"]).stdout.contains("unchanged"));
    assert_eq!(files(&layout), before);
    project.write("fn/app.py", &format!("{APP}# changed\n"));
    project.build::<&str>(&[]);
    let new = oci::layers(&layout);
    assert_eq!(new.len(), old.len());
    let changed: Vec<usize> = (0..new.len()).filter(|at| new[*at] != old[*at]).collect();
    assert_eq!(changed, [new.len() - 1]);
    // What the folder holds: the layers, the config and the manifest, and nothing of the old image.
    assert_eq!(files(&layout.join("blobs")).len(), new.len() + 2);
    // A blob that somebody has deleted is put back.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    fs::remove_file(layout.join("blobs/sha256").join(&new[0][7..])).unwrap();
    project.done(&["build"]);
    assert_eq!(files(&layout.join("blobs")).len(), new.len() + 2);
    // Another base is another image.
    let base = tempfile::tempdir().unwrap();
    oci::layout(
        base.path(),
        &[Image::new(
            oci::aws_config(),
            vec![Layer::gzip(&[
                Entry::File("lambda-entrypoint.sh", 0o755, b"#!/bin/sh\n"),
                Entry::File("bin/sh", 0o755, &elf()),
            ])],
        )],
    );
    let config = project
        .read("lambda-pack.toml")
        .replace(&python_base().0.display().to_string(), &base.path().display().to_string());
    project.write("lambda-pack.toml", &config);
    project.build::<&str>(&[]);
    assert_eq!(oci::layers(&layout).len(), 1 + new.len() - 2);
    // From an image to a zip: the image is gone.
    let manifest = project.build(&["--package", "zip", "--sbom"]);
    assert!(!layout.exists() && project.out("f.zip").exists());
    assert!(project.out(manifest["functions"][0]["sbom"].as_str().unwrap()).exists());
    project.build::<&str>(&[]);
    assert!(layout.exists() && !project.out("f.zip").exists());
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

#[test]
fn a_bootstrap_goes_where_the_bases_of_aws_start_it() {
    let project = Project::empty();
    let base = [Entry::File("lambda-entrypoint.sh", 0o755, b"#!/bin/sh\n"), Entry::File("bin/sh", 0o755, &elf())];
    oci::layout(&project.path("base"), &[Image::new(oci::aws_config(), vec![Layer::gzip(&base)])]);
    project.write("fn/data.txt", "x").write(
        "lambda-pack.toml",
        &format!(
            "[functions.f]\npath = 'fn'\nruntime = 'provided.al2023'\narchitecture = '{}'\npackage = 'image'\nbase = 'oci:base:latest'\n",
            host_architecture()
        ),
    );
    fs::write(project.path("fn/bootstrap"), elf()).unwrap();
    fs::set_permissions(project.path("fn/bootstrap"), fs::Permissions::from_mode(0o755)).unwrap();
    project.build::<&str>(&[]);
    let (_, config) = oci::documents(&project.out("f.oci"));
    assert_eq!(
        (&config["config"]["Entrypoint"], &config["config"]["Cmd"]),
        (&json!(["/lambda-entrypoint.sh"]), &json!(["bootstrap"]))
    );
    let (_dir, root) = unpacked(&project.out("f.oci"));
    let found = contents(&root);
    assert!(found["var/runtime/bootstrap"].starts_with("file 755 ") && found.contains_key("var/task/data.txt"));
    assert!(!found.contains_key("var/task/bootstrap"));
    // The base's own file stays what it is, whatever is done to the image.
    let [base, built] = ["base", "target/lambda-pack/f.oci"].map(|name| project.path(name));
    let first = format!("blobs/sha256/{}", &oci::layers(&base)[0][7..]);
    assert_ne!(fs::metadata(base.join(&first)).unwrap().ino(), fs::metadata(built.join(&first)).unwrap().ino());
    // Damaged after it was read once: not taken for what it was.
    fs::write(base.join(&first), fs::read(base.join(&first)).unwrap().iter().map(|byte| byte ^ 1).collect::<Vec<_>>())
        .unwrap();
    let run = project.run(&["build", "--out-dir", "elsewhere"]);
    assert_eq!(run.code, 1, "{}", run.transcript());
    assert!(run.stderr.contains("it is damaged"), "{}", run.stderr);
}

#[test]
fn functions_share_the_layers_of_their_packages_and_layers_come_to_opt() {
    let (base, minor) = python_base();
    let project = Project::empty();
    let mut config = format!(
        "[defaults]\nruntime = 'python3.{minor}'\nhandler = 'app.handler'\narchitecture = '{}'\npackage = 'image'\nbase = 'oci:{}'\n",
        host_architecture(),
        base.display()
    );
    for name in ["a", "b"] {
        project
            .write(&format!("{name}/app.py"), &format!("{APP}# {name}\n"))
            .write(&format!("{name}/requirements.txt"), REQUESTS);
        config += &format!("[functions.{name}]\npath = '{name}'\nlayers = ['common']\n");
    }
    config += "[layers.common]\npath = 'common'\n";
    project
        .write("common/python/shared.py", "X = 1\n")
        .write("common/extensions/ext", "#!/bin/sh\n")
        .write("lambda-pack.toml", &config);
    fs::set_permissions(project.path("common/extensions/ext"), fs::Permissions::from_mode(0o755)).unwrap();
    let manifest = project.build::<&str>(&[]);
    assert_eq!(manifest["functions"][0]["layers"], json!([]));
    let [a, b] = ["a.oci", "b.oci"].map(|name| oci::layers(&project.out(name)));
    let own: Vec<bool> = a.iter().zip(&b).map(|(a, b)| a == b).collect();
    assert_eq!(own.iter().filter(|same| !**same).count(), 1, "only the code differs: {a:?} {b:?}");
    let (_dir, root) = unpacked(&project.out("a.oci"));
    let found = contents(&root);
    assert!(found["opt/extensions/ext"].starts_with("file 755 ") && found.contains_key("opt/python/shared.py"));
    // A layer that exists cannot be looked into.
    let arn = format!("arn:aws:lambda:eu-west-1:123456789012:layer:{}:1", "x");
    project.write("lambda-pack.toml", &config.replace("['common']", &format!("['{arn}']")));
    let run = project.run(&["build"]);
    assert_eq!(run.code, 2, "{}", run.transcript());
    assert!(
        run.stderr.contains("Lambda layers are not supported for functions created with container images"),
        "{}",
        run.stderr
    );
}

#[test]
fn archives_are_bases_and_what_they_hold_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let shell =
        [Entry::File("bin/sh", 0o755, &elf()), Entry::Link("usr-bin", "bin"), Entry::Hard("bin/again", "bin/sh")];
    let config = json!({"Entrypoint": ["/bin/sh"], "Env": ["A=b"]});
    let layout = dir.path().join("layout");
    oci::layout(&layout, &[Image::new(config, vec![Layer::gzip(&shell)])]);
    let from = format!("oci:{}:latest", layout.display());
    let [docker, archive] = ["docker.tar", "oci.tar"].map(|name| dir.path().join(name).display().to_string());
    skopeo(&["copy", "--quiet", &from, &format!("docker-archive:{docker}:base:1")]);
    skopeo(&["copy", "--quiet", &from, &format!("oci-archive:{archive}:latest")]);
    let project = Project::empty();
    project.write("fn/data.txt", "x");
    let mut seen = Vec::new();
    for base in [
        format!("oci:{}", layout.display()),
        format!("docker-archive:{docker}:base:1"),
        format!("oci-archive:{archive}"),
    ] {
        let text = format!(
            "[functions.f]\npath = 'fn'\nruntime = 'python3.13'\nhandler = 'app.handler'\narchitecture = '{}'\npackage = 'image'\nbase = '{base}'\n\
             [functions.f.image]\narchive = 'docker'\n[checks]\nhandler-not-found = 'ignore'\n",
            host_architecture()
        );
        project.write("lambda-pack.toml", &text);
        project.build::<&str>(&[]);
        let (_, config) = oci::documents(&project.out("f.oci"));
        assert_eq!(config["config"]["Entrypoint"], json!(["/bin/sh"]));
        seen.push(config["rootfs"]["diff_ids"].clone());
        let saved = format!("docker-archive:{}", project.out("f.docker.tar").display());
        let inspected: Value = serde_json::from_str(&skopeo(&["inspect", "--config", &saved])).unwrap();
        assert_eq!(inspected["rootfs"]["diff_ids"], seen[0]);
        assert_eq!(
            said(&project.run(&["check", "--format", "json", project.out("f.docker.tar").to_str().unwrap()])),
            Vec::<String>::new()
        );
    }
    assert!(seen.iter().all(|ids| ids == &seen[0]), "{seen:#?}");
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

/// What `check` says of an image, and what it says after `--fix`.
fn checked(images: &[Image], args: &[&str]) -> (Vec<String>, Run) {
    let project = Project::empty();
    oci::layout(&project.path("image"), images);
    let run = project.run(&[&["check", "image", "--format", "json"], args].concat());
    (said(&run), run)
}

/// The config of an image that starts a program which is there.
fn starts() -> Value {
    json!({"Entrypoint": ["/app/run"], "WorkingDir": "/"})
}

#[test]
fn foreign_images_are_judged_and_written_anew() {
    let project = Project::empty();
    let program = elf();
    let below =
        [Entry::Folder("app", 0o755), Entry::File("app/run", 0o755, &program), Entry::File("gone", 0o644, b"x")];
    let over = [Entry::File(".wh.gone", 0o644, b""), Entry::File("data", 0o644, b"data")];
    let layers = |first, second| {
        vec![Layer { media_type: first, ..Layer::gzip(&below) }, Layer { media_type: second, ..Layer::gzip(&over) }]
    };
    let image = |arch, layers| Image { arch, config: starts(), layers };
    oci::layout(
        &project.path("many"),
        &[image("amd64", layers(oci::ZSTD, oci::TAR)), image("arm64", layers(oci::GZIP, oci::GZIP))],
    );
    let run = project.run(&["check", "many", "--arch", "x86_64", "--format", "json"]);
    let expected_machine = if oci::go_arch() == "amd64" { vec![] } else { vec!["error image-entrypoint /app/run"] };
    let expected = [
        vec!["error image-index -", "error image-layer-media-type -", "error image-layer-media-type -"],
        expected_machine,
    ]
    .concat();
    assert_eq!(said(&run), expected);
    assert!(run.stdout.contains("is not supported. It is an index"), "{}", run.stdout);
    assert!(run.stdout.contains("UnsupportedImageLayerDetected - Layer Digest sha256:"), "{}", run.stdout);
    let run = project.run(&[
        "check",
        "many",
        "--fix",
        "--out-dir",
        "fixed",
        "--arch",
        host_architecture(),
        "--format",
        "json",
    ]);
    assert_eq!(said(&run), Vec::<String>::new());
    let fixed = project.path("fixed/many.oci");
    let (manifest, config) = oci::documents(&fixed);
    assert_eq!((&manifest["mediaType"], &config["architecture"]), (&json!(oci::MANIFEST), &json!(oci::go_arch())));
    accepted(&fixed, &oci::sha(manifest.to_string().as_bytes()));
    let (_dir, root) = unpacked(&fixed);
    assert_eq!(contents(&root).into_keys().collect::<Vec<_>>(), ["app", "app/run", "data"]);
    // Without a processor it is not decided which.
    let run = project.run(&["check", "many", "--fix", "--out-dir", "fixed"]);
    assert_eq!(run.code, 2, "{}", run.transcript());
    assert!(
        run.stderr.contains("has no single image for one processor; it has linux/amd64, linux/arm64"),
        "{}",
        run.stderr
    );
    // As a base, the one of the function's processor is taken.
    project.write("fn/x.txt", "x").write("lambda-pack.toml", "[functions.f]\npath = 'fn'\nruntime = 'provided.al2023'\npackage = 'image'\nbase = 'oci:many'\narchitecture = 'arm64'\n[functions.f.image]\nentrypoint = ['/app/run']\n[checks]\nbootstrap-missing = 'ignore'\nimage-entrypoint = 'ignore'\n");
    project.build::<&str>(&[]);
    assert_eq!(oci::documents(&project.out("f.oci")).1["architecture"], "arm64");
}

#[test]
fn what_lambda_would_not_start_is_refused() {
    let program = elf();
    let mut other = program.clone();
    other[18..20].copy_from_slice(&(if program[18] == 62 { 183_u16 } else { 62 }).to_le_bytes());
    let run = |mode, bytes| Entry::File("app/run", mode, bytes);
    let one = |config: Value, entries: &[Entry<'_>]| {
        checked(&[Image::new(config, vec![Layer::gzip(entries)])], &["--arch", host_architecture()])
    };
    for (why, entries, expected) in [
        ("good", vec![run(0o755, &program)], None),
        ("a script", vec![run(0o755, b"#!/app/sh\n"), Entry::File("app/sh", 0o755, &program)], None),
        (
            "through a folder that is a link",
            vec![Entry::File("real/run", 0o755, &program), Entry::Link("app", "real")],
            None,
        ),
        (
            "missing",
            vec![Entry::File("app/ran", 0o755, &program)],
            Some("fork/exec /app/run: no such file or directory"),
        ),
        ("a folder", vec![Entry::Folder("app/run", 0o755)], Some("fork/exec /app/run: no such file or directory")),
        ("not executable", vec![run(0o744, &program)], Some("fork/exec /app/run: permission denied")),
        ("another processor", vec![run(0o755, &other)], Some("fork/exec /app/run: exec format error (it is for")),
        ("no program", vec![run(0o755, b"text")], Some("fork/exec /app/run: exec format error (it is neither")),
        (
            "no interpreter",
            vec![run(0o755, b"#!/bin/bash\r\n")],
            Some("its interpreter `/bin/bash` is not in the image"),
        ),
        ("dangling", vec![Entry::Link("app/run", "/nowhere")], Some("fork/exec /app/run: no such file or directory")),
        ("a loop", vec![Entry::Link("app/run", "run")], Some("fork/exec /app/run: no such file or directory")),
        (
            "out of the root",
            vec![Entry::Link("app/run", "../../../../../../../etc/passwd")],
            Some("no such file or directory"),
        ),
    ] {
        let (said, run) = one(starts(), &entries);
        match expected {
            None => assert_eq!(said, Vec::<String>::new(), "{why}"),
            Some(expected) => {
                assert!(said.iter().any(|said| said.starts_with("error image-entrypoint ")), "{why}: {said:?}");
                assert!(run.stdout.contains(expected), "{why}: {}", run.stdout);
            }
        }
    }
    let (said, _) = one(starts(), &[Entry::Link("app/run", "real"), Entry::File("app/real", 0o755, &program)]);
    assert_eq!(said, ["warning image-entrypoint -"]);
    let (said, _) = one(json!({"Entrypoint": ["run"], "Env": ["PATH=/app"]}), &[run(0o755, &program)]);
    assert_eq!(said, ["warning image-entrypoint -"]);
    let (said, _) = one(json!({}), &[run(0o755, &program)]);
    assert_eq!(said, ["error image-entrypoint -"]);
    let (said, run) = one(json!({"Entrypoint": ["/app/run"], "WorkingDir": "/none"}), &[run(0o755, &program)]);
    assert_eq!(said, ["error image-entrypoint /none"]);
    assert!(run.stdout.contains("FunctionError.InvalidWorkingDirectory"), "{}", run.stdout);
    // AWS's entrypoint takes one argument.
    for (command, expected) in [(json!(["app.handler"]), 0), (json!([]), 1), (json!(["python", "app.handler"]), 1)] {
        let mut config = oci::aws_config();
        config["Cmd"] = command;
        config["WorkingDir"] = json!("/");
        let (said, run) = one(
            config,
            &[Entry::File("lambda-entrypoint.sh", 0o755, b"#!/bin/sh\n"), Entry::File("bin/sh", 0o755, &program)],
        );
        assert_eq!(said.len(), expected, "{said:?}");
        assert!(expected == 0 || run.stdout.contains("entrypoint requires the handler name to be the first argument"));
    }
}

#[test]
fn platforms_permissions_and_layers() {
    let program = elf();
    let good = || Layer::gzip(&[Entry::File("app/run", 0o755, &program)]);
    let (said, _) =
        checked(&[Image { arch: "s390x", config: starts(), layers: vec![good()] }], &["--arch", host_architecture()]);
    assert_eq!(said, ["error image-architecture -"]);
    let wrong = if oci::go_arch() == "amd64" { "arm64" } else { "x86_64" };
    let (said, _) = checked(&[Image::new(starts(), vec![good()])], &["--arch", wrong]);
    assert_eq!(
        said,
        ["error image-architecture -", "warning image-architecture /app/run", "error image-entrypoint /app/run"]
    );
    let secret = Layer::gzip(&[
        Entry::Folder("var/task/closed", 0o700),
        Entry::File("var/task/app.py", 0o600, b"x"),
        Entry::File("etc/shadow", 0o600, b"x"),
    ]);
    let (said, run) = checked(&[Image::new(starts(), vec![good(), secret])], &[]);
    assert_eq!(said, ["error image-unreadable-file /var/task/app.py", "error image-unreadable-file /var/task/closed"]);
    assert!(run.stdout.contains("[Errno 13] Permission denied: '/var/task/app.py'"), "{}", run.stdout);
    for (layers, expected) in
        [(100, vec![]), (101, vec!["warning image-too-many-layers -"]), (128, vec!["error image-too-many-layers -"])]
    {
        let (said, _) = checked(&[Image::new(starts(), vec![good(); layers])], &[]);
        assert_eq!(said, expected, "{layers}");
    }
}

#[test]
fn hostile_images_are_refused() {
    let project = Project::empty();
    let program = elf();
    let layer = Layer::gzip(&[Entry::File("app/run", 0o755, &program)]);
    let fresh = |name: &str| {
        let root = project.path(name);
        oci::layout(&root, &[Image::new(starts(), vec![layer.clone()])]);
        root
    };
    // A blob with other bytes, a shorter one, a longer one.
    for (name, change) in [("other", 0), ("short", 1), ("long", 2)] {
        let root = fresh(name);
        let blob = root.join("blobs/sha256").join(&oci::layers(&root)[0][7..]);
        let mut bytes = fs::read(&blob).unwrap();
        match change {
            0 => *bytes.last_mut().unwrap() ^= 1,
            1 => drop(bytes.pop()),
            _ => bytes.push(0),
        }
        fs::write(&blob, bytes).unwrap();
        let run = project.run(&["check", name, "--format", "json"]);
        assert!(said(&run).iter().any(|said| said == "error image-layer-damaged -"), "{name}: {}", run.transcript());
        let run = project.run(&["check", name, "--fix", "--out-dir", "fixed"]);
        assert_eq!(run.code, 1, "{name}: {}", run.transcript());
        assert!(!project.path(&format!("fixed/{name}.oci/index.json")).exists());
    }
    // A digest that is a path, a manifest of 5 MB, an index in itself, and a config that says another tar.
    let root = fresh("path");
    let index = fs::read_to_string(root.join("index.json")).unwrap();
    let digest = index.split("sha256:").nth(1).unwrap()[..64].to_owned();
    fs::write(root.join("index.json"), index.replace(&digest, "../../../../etc/passwd")).unwrap();
    let root = fresh("large");
    oci::name(&root, oci::blob(&root, oci::MANIFEST, &vec![b' '; 5 << 20]));
    let root = fresh("deep");
    let (manifest, _) = oci::documents(&root);
    let mut inner = oci::blob(&root, oci::MANIFEST, manifest.to_string().as_bytes());
    for _ in 0..6 {
        inner = oci::blob(&root, oci::INDEX, json!({"schemaVersion": 2, "manifests": [inner]}).to_string().as_bytes());
    }
    oci::name(&root, inner);
    for (name, expected) in
        [("path", "cannot be read"), ("large", "at most 4194304 are read"), ("deep", "is an index of indexes")]
    {
        let run = project.run(&["check", name]);
        assert_eq!(run.code, 1, "{name}: {}", run.transcript());
        assert!(run.stderr.contains(expected), "{name}: {}", run.stderr);
    }
    // Paths and links that lead out of the root, as nobody's tar library writes them.
    let mut tar = layer.tar.clone();
    let escaped = oci::tar(&[Entry::File("xx/xx/outside", 0o644, b"x"), Entry::Link("up", "../../../../etc")]);
    tar.truncate(tar.len() - 1024);
    let mut escaped = escaped;
    escaped[..13].copy_from_slice(b"../../outside");
    fix_checksum(&mut escaped);
    tar.extend(escaped);
    let escaping = Layer { tar, media_type: oci::GZIP };
    oci::layout(&project.path("escapes"), &[Image::new(starts(), vec![escaping.clone()])]);
    let run = project.run(&["check", "escapes", "--format", "json"]);
    assert_eq!(said(&run), ["error image-layer-damaged -"]);
    assert!(run.stdout.contains("the path `../../outside` leaves the image's root"), "{}", run.stdout);
    // A tar that is none, and one that is cut short.
    for (name, bytes) in [("noise", vec![7; 5000]), ("cut", escaping.tar[..700].to_vec())] {
        oci::layout(&project.path(name), &[Image::new(starts(), vec![Layer { tar: bytes, media_type: oci::GZIP }])]);
        let run = project.run(&["check", name, "--format", "json"]);
        assert!(said(&run).iter().any(|said| said == "error image-layer-damaged -"), "{name}: {}", run.transcript());
    }
    assert!(!project.path("../outside").exists() && !project.path("outside").exists());
}

/// Writes the checksum of a tar's first header.
fn fix_checksum(tar: &mut [u8]) {
    tar[148..156].copy_from_slice(b"        ");
    let sum: u32 = tar[..512].iter().map(|byte| u32::from(*byte)).sum();
    tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
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
