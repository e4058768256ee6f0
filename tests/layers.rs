//! Layers: what functions share leaves their zips, loads from `/opt`, and changes only with its contents.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use common::{Project, REQUESTS, Unpacked, fixture, host_architecture, pythons};
use serde_json::{Value, json};

/// An interpreter of this machine that Lambda has a runtime of.
fn python() -> (u8, PathBuf) {
    pythons()
        .into_iter()
        .rfind(|(minor, _)| (9..=14).contains(minor))
        .expect("python3.9 to 3.14: apt-get install python3")
}

/// 20 Python functions with partly shared requirements, 5 of Node.js, and one of Rust.
fn monorepo(minor: u8, with_rust: bool) -> Project {
    let project = Project::empty();
    let arch = host_architecture();
    let mut config = format!("[defaults]\nlayers = 'shared'\narchitecture = '{arch}'\n");
    for n in 0..20 {
        let mut requirements = vec!["requests==2.32.3"];
        requirements.extend((n % 2 == 0).then_some("pydantic==2.9.2"));
        requirements.extend((n % 3 == 0).then_some("jinja2==3.1.4"));
        requirements.extend((n % 5 == 0).then_some("python-dateutil==2.9.0.post0"));
        requirements.extend((n == 7).then_some("attrs==24.2.0"));
        // Two packages of one namespace, of which one is in the zip and the other in a layer.
        requirements.extend((n % 4 == 0).then_some("jaraco.functools==4.0.1"));
        requirements.extend((n == 4).then_some("jaraco.context==5.3.0"));
        let imports: Vec<String> = requirements
            .iter()
            .map(|r| r.split("==").next().unwrap())
            .map(|name| {
                if name == "python-dateutil" {
                    "dateutil.parser"
                } else if name == "attrs" {
                    "attr"
                } else {
                    name
                }
            })
            .map(|name| format!("import {name}\n"))
            .collect();
        let code = format!("{}\ndef handler(event, context):\n    return {n}\n", imports.concat());
        project.write(&format!("py{n:02}/app.py"), &code);
        project.write(&format!("py{n:02}/requirements.txt"), &(requirements.join("\n") + "\n"));
        config +=
            &format!("[functions.py{n:02}]\npath = 'py{n:02}'\nruntime = 'python3.{minor}'\nhandler = 'app.handler'\n");
    }
    for n in 0..5 {
        let folder = format!("js{n}");
        for file in ["package.json", "package-lock.json"] {
            project.write(
                &format!("{folder}/{file}"),
                &std::fs::read_to_string(fixture("node-express").join(file)).unwrap(),
            );
        }
        let code =
            format!("const express = require('express');\nexports.handler = async () => [{n}, typeof express];\n");
        project.write(&format!("{folder}/index.js"), &code);
        config +=
            &format!("[functions.{folder}]\npath = '{folder}'\nruntime = 'nodejs22.x'\nhandler = 'index.handler'\n");
    }
    if with_rust {
        common::copy(&fixture("monorepo/crates/clock"), &project.path("clock"));
        config += "[functions.clock]\npath = 'clock'\n";
    }
    project.write("lambda-pack.toml", &config);
    project
}

fn function<'m>(manifest: &'m Value, name: &str) -> &'m Value {
    manifest["functions"].as_array().unwrap().iter().find(|f| f["name"] == name).unwrap()
}

/// The digest of each layer, by name.
fn layers(manifest: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    manifest["layers"].as_array().unwrap().iter().map(|l| (text(&l["name"]), text(&l["artifact"]["sha256"]))).collect()
}

/// A function as it lies at `/var/task`, and its layers merged at `/opt` in their order.
struct Sandbox {
    task: Unpacked,
    opt: tempfile::TempDir,
}

impl Sandbox {
    fn of(project: &Project, manifest: &Value, name: &str) -> Self {
        let function = function(manifest, name);
        let task = project.unpack(function["artifact"]["path"].as_str().unwrap());
        let opt = tempfile::tempdir().unwrap();
        for layer in function["layers"].as_array().unwrap() {
            let of = manifest["layers"].as_array().unwrap().iter().find(|l| l["name"] == *layer).unwrap();
            let zip = project.out(of["artifact"]["path"].as_str().unwrap());
            let args = ["-q".as_ref(), "-o".as_ref(), zip.as_os_str(), "-d".as_ref(), opt.path().as_os_str()];
            common::tool("unzip", &args, "apt-get install unzip");
        }
        Self { task, opt }
    }

    /// Runs a program that sees the system's libraries, the folders in `seen`, `/var/task` and `/opt`, and nothing else.
    fn run(&self, seen: &[&Path], environment: &[(&str, &str)], program: &[&str]) -> String {
        let mut command = common::sandbox();
        command.args(["--tmpfs", "/tmp"]);
        for folder in ["/usr", "/bin", "/lib", "/lib64", "/etc/alternatives", "/etc/ssl"] {
            command.args(["--ro-bind-try", folder, folder]);
        }
        for folder in seen {
            common::bind(&mut command, folder);
        }
        command.arg("--ro-bind").arg(self.task.path("")).arg("/var/task");
        command.arg("--ro-bind").arg(self.opt.path()).arg("/opt").args(["--chdir", "/var/task"]);
        environment.iter().for_each(|(name, value)| {
            command.args(["--setenv", name, value]);
        });
        command.args(program);
        let output = common::run_sandboxed(command);
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{program:?}: {stdout}\n{}", String::from_utf8_lossy(&output.stderr));
        stdout.trim().to_owned()
    }

    /// What a Python handler answers, found as Lambda finds it.
    fn python(&self, minor: u8, python: &Path) -> String {
        let script = format!(
            "import sys; sys.path[:0] = ['/var/task', '/opt/python/lib/python3.{minor}/site-packages', '/opt/python']; \
             import app; print(app.handler(None, None))"
        );
        let real = python.canonicalize().unwrap();
        let home = real.ancestors().nth(2).unwrap();
        // -S: no site-packages, neither the system's nor the user's.
        self.run(&[home], &[("LANG", "C.UTF-8")], &[real.to_str().unwrap(), "-I", "-S", "-B", "-c", &script])
    }

    fn node(&self) -> String {
        let path =
            "/opt/nodejs/node22/node_modules:/opt/nodejs/node_modules:/var/runtime/node_modules:/var/runtime:/var/task";
        let script = "require('/var/task/index.js').handler().then(a => console.log(JSON.stringify(a)))";
        self.run(&[], &[("NODE_PATH", path)], &["node", "-e", script])
    }
}

#[test]
fn a_monorepo_shares_layers_and_every_handler_loads() {
    let (minor, python) = python();
    let project = monorepo(minor, true);
    let manifest = project.build::<&str>(&[]);
    let names: Vec<&str> = manifest["layers"].as_array().unwrap().iter().map(|l| l["name"].as_str().unwrap()).collect();
    assert!(names.iter().any(|name| name.starts_with("python-deps-")), "{names:?}");
    assert!(names.iter().any(|name| name.starts_with("nodejs-deps-")), "{names:?}");
    for described in manifest["functions"].as_array().unwrap() {
        let name = described["name"].as_str().unwrap();
        let own = described["layers"].as_array().unwrap();
        assert!(own.len() <= 5, "{described}");
        // Every package is in the zip or in one layer of the function.
        let places: BTreeSet<&str> =
            described["packages"].as_array().unwrap().iter().map(|p| p["in"].as_str().unwrap()).collect();
        for place in places.iter().filter(|place| **place != "function") {
            assert!(own.iter().any(|layer| layer == place), "{name}: {place}");
        }
        if name == "clock" {
            assert_eq!(own.len(), 0);
            continue;
        }
        assert!(described["artifact"]["bytes"].as_u64().unwrap() < 100_000, "{described}");
        let sandbox = Sandbox::of(&project, &manifest, name);
        if let Some(number) = name.strip_prefix("py") {
            assert_eq!(sandbox.python(minor, &python), number.parse::<u8>().unwrap().to_string(), "{name}");
        } else {
            assert_eq!(sandbox.node(), format!("[{},\"function\"]", &name[2..]), "{name}");
        }
    }
    let of = |name: &str, package: &str| {
        let packages = function(&manifest, name)["packages"].as_array().unwrap();
        packages.iter().find(|p| p["name"] == package).unwrap()["in"].as_str().unwrap().to_owned()
    };
    assert_eq!(of("py04", "jaraco-context"), "function");
    assert!(of("py04", "jaraco-functools").starts_with("python-deps-"));
    // What only one has stays with it.
    let alone =
        function(&manifest, "py07")["packages"].as_array().unwrap().iter().find(|p| p["name"] == "attrs").unwrap();
    assert_eq!(alone["in"], "function");
    let plan = project.done(&["plan"]).stdout;
    assert!(plan.contains("shared by 20") && plan.contains("  saves "), "{plan}");

    // The same project elsewhere: the same names, the same bytes.
    let elsewhere = monorepo(minor, false);
    assert_eq!(layers(&elsewhere.build(&["--jobs", "1"])), layers(&manifest));

    // A change of one function's own code touches no layer.
    project.write("py04/app.py", "def handler(event, context):\n    return 'new'\n");
    let changed = project.build::<&str>(&[]);
    assert_eq!(layers(&changed), layers(&manifest));
    let differ =
        |name: &str| function(&changed, name)["artifact"]["sha256"] != function(&manifest, name)["artifact"]["sha256"];
    let all: Vec<&str> =
        manifest["functions"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap()).collect();
    assert_eq!(all.into_iter().filter(|name| differ(name)).collect::<Vec<_>>(), ["py04"]);

    // Another version of one small package: one layer is another one, and the old one does not stay around.
    for n in (0..20).step_by(5) {
        let path = format!("py{n:02}/requirements.txt");
        let text = project.read(&path).replace("python-dateutil==2.9.0.post0", "python-dateutil==2.8.2");
        project.write(&path, &text);
    }
    let bumped = project.build::<&str>(&[]);
    let (before, after) = (layers(&manifest), layers(&bumped));
    let new: Vec<&String> = after.keys().filter(|name| !before.contains_key(*name)).collect();
    let gone: Vec<&String> = before.keys().filter(|name| !after.contains_key(*name)).collect();
    assert_eq!((new.len(), gone.len()), (1, 1), "{before:?} {after:?}");
    assert!(!project.out(&format!("{}.zip", gone[0])).exists());

    // A subset of functions has the layers that it has among all.
    let some = project.build(&["--function", "py05", "--out-dir", "target/some"]);
    assert_eq!(function(&some, "py05")["layers"], function(&bumped, "py05")["layers"]);
    assert_eq!(function(&some, "py05")["artifact"]["sha256"], function(&bumped, "py05")["artifact"]["sha256"]);
}

/// Two functions that share something, small enough to be built often.
fn pair() -> Project {
    let project = Project::empty();
    for name in ["a", "b"] {
        project
            .write(&format!("{name}/app.py"), &format!("import requests\ndef handler(e, c):\n    return '{name}'\n"));
        project.write(&format!("{name}/requirements.txt"), &format!("{REQUESTS}idna==3.10\n"));
    }
    project.write("lambda-pack.toml", PAIR);
    project
}

const PAIR: &str = "[defaults]\nruntime = 'python3.13'\nhandler = 'app.handler'\nlayers = 'shared'\n\
                    [functions.a]\npath = 'a'\n[functions.b]\npath = 'b'\n";

#[test]
fn layers_stand_only_while_everything_that_decides_them_does() {
    let project = pair();
    let first = project.build::<&str>(&[]);
    let name = layers(&first).into_keys().next().unwrap();
    let zip = project.out(&format!("{name}.zip"));
    let again = || {
        let text = project.done(&["build"]).stdout;
        (text.contains("unchanged"), zip.exists())
    };
    // Files that are new may still change in the same tick.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    again();
    assert_eq!(again(), (true, true));
    std::fs::remove_file(&zip).unwrap();
    assert!(again().1, "a layer that was deleted is made again");
    std::fs::write(&zip, "x").unwrap();
    again();
    assert!(std::fs::metadata(&zip).unwrap().len() > 1000, "a layer that was written to is made again");
    for (config, shared) in [
        (PAIR.replace("layers = 'shared'", "layers = 'none'"), false),
        (PAIR.to_owned(), true),
        (PAIR.replace("layers = 'shared'", "layers = 'shared'\nlayer-threshold = 100000000"), false),
        (PAIR.replace("[functions.b]\npath = 'b'\n", ""), false),
        (PAIR.replace("layers = 'shared'", "layers = 'deps'").replace("[functions.b]\npath = 'b'\n", ""), true),
    ] {
        project.write("lambda-pack.toml", &config);
        let manifest = project.build::<&str>(&[]);
        let cold = project.build(&["--no-cache", "--out-dir", "target/cold"]);
        assert_eq!(!layers(&manifest).is_empty(), shared, "{config}");
        assert_eq!((layers(&manifest), &manifest["functions"]), (layers(&cold), &cold["functions"]), "{config}");
    }
    project.write("lambda-pack.toml", PAIR);
    let prefixed = project.build(&["--layer-name-prefix", "team-"]);
    assert!(layers(&prefixed).keys().all(|name| name.starts_with("team-python-deps-")), "{prefixed}");
}

#[test]
fn what_is_the_same_for_several_runtimes_is_one_layer() {
    let project = pair();
    let config = PAIR.replace("path = 'b'\n", "path = 'b'\nruntime = 'python3.12'\narchitecture = 'arm64'\n");
    project.write("lambda-pack.toml", &config);
    let manifest = project.build::<&str>(&[]);
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 1, "{layers:?}");
    assert_eq!(layers[0]["compatible_runtimes"], json!(["python3.12", "python3.13"]));
    assert_eq!(layers[0]["compatible_architectures"], json!(["x86_64", "arm64"]));
    let place = |name: &str, package: &str| {
        let packages = function(&manifest, name)["packages"].as_array().unwrap();
        packages.iter().find(|p| p["name"] == package).unwrap()["in"].clone()
    };
    assert_eq!(
        (place("a", "requests"), place("b", "requests")),
        (layers[0]["name"].clone(), layers[0]["name"].clone())
    );
    // It has machine code, which is another for each.
    assert_eq!(
        (place("a", "charset-normalizer"), place("b", "charset-normalizer")),
        (json!("function"), json!("function"))
    );
}

#[test]
fn init_shares_where_functions_name_the_same_packages() {
    let project = pair();
    project.done(&["init", "--force"]);
    assert!(project.read("lambda-pack.toml").contains("\nlayers = \"shared\""));
    assert_eq!(layers(&project.build::<&str>(&[])).len(), 1);
    project.write("b/requirements.txt", "attrs\n");
    project.done(&["init", "--force"]);
    assert!(project.read("lambda-pack.toml").contains("\n# layers = \"shared\""));
}

#[test]
fn what_sharing_would_save_is_said() {
    let project = pair();
    project.write("lambda-pack.toml", &PAIR.replace("'shared'", "'none'"));
    let said = project.done(&["build"]).stdout;
    assert!(said.contains("packages are in several zips: `--layers shared` would take up to 1.7 MB"), "{said}");
    let manifest = project.build(&["--layers", "shared"]);
    assert_eq!(layers(&manifest).len(), 1);
}

#[test]
fn layers_of_the_projects_own_are_laid_out_and_attached() {
    let (minor, python) = python();
    let project = pair();
    // Laid out already; with a link, an extension that is a script, and a module of the handler.
    project.write("common/python/helper.py", "NAME = 'helped'\n");
    project.write("common/lib/libx.so.1.2", "x");
    std::os::unix::fs::symlink("libx.so.1.2", project.path("common/lib/libx.so.1")).unwrap();
    std::os::unix::fs::symlink("/var/task/x", project.path("common/lib/gone")).unwrap();
    // Not laid out: its files go to where the runtime looks, and its requirements with them.
    project.write("more/more.py", "import idna\nVALUE = idna.__version__\n");
    project.write("more/requirements.txt", "idna==3.10\n");
    common::copy(&fixture("monorepo/crates/clock"), &project.path("clock"));
    // What Cargo builds here may need a newer glibc than a Python of this machine has at Lambda.
    project.write("c/bootstrap", "#!/bin/sh\n");
    std::fs::set_permissions(project.path("c/bootstrap"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let arch = host_architecture();
    project.write("a/requirements.txt", "");
    project.write("a/app.py", "import helper, more\ndef handler(e, c):\n    return helper.NAME + more.VALUE\n");
    project.write(
        "lambda-pack.toml",
        &format!(
            "[defaults]\nruntime = 'python3.{minor}'\nhandler = 'app.handler'\narchitecture = '{arch}'\n\
             [functions.a]\npath = 'a'\nlayers = ['common', 'more', 'known']\n\
             [functions.b]\npath = 'b'\nlayers = ['deps', 'arn:aws:lambda:eu-west-1:123456789012:layer:other:7']\n\
             [functions.c]\npath = 'c'\nruntime = 'provided.al2023'\nhandler = 'bootstrap'\nlayers = ['clock']\n\
             [layers.common]\npath = 'common'\n\
             [layers.more]\npath = 'more'\nruntime = ['python3.{minor}', 'python3.12']\n\
             [layers.clock]\npath = 'clock'\n\
             [layers.known]\narn = 'arn:aws:lambda:eu-west-1:123456789012:layer:known:3'\nunzipped-bytes = 1000\n"
        ),
    );
    let run = project.done(&["build", "--format", "json"]);
    assert!(run.stderr.contains("warning[layer-symlink] common: lib/gone: links to `/var/task/x`"), "{}", run.stderr);
    let mut manifest: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(function(&manifest, "a")["layers"], json!(["common", "more", "known"]));
    assert_eq!(function(&manifest, "c")["layers"], json!(["clock"]));
    let of_b = function(&manifest, "b")["layers"].as_array().unwrap();
    assert_eq!(of_b.len(), 2);
    assert_eq!(of_b[1], "arn:aws:lambda:eu-west-1:123456789012:layer:other:7");
    let opened = |name: &str| project.unpack(&format!("{name}.zip"));
    assert_eq!(opened("common").files(), ["lib/libx.so.1", "lib/libx.so.1.2", "python/helper.py"]);
    let common = opened("common");
    assert!(std::fs::symlink_metadata(common.path("lib/libx.so.1")).unwrap().is_file());
    let more = opened("more").files();
    assert!(
        more.contains(&"python/more.py".to_owned()) && more.contains(&"python/idna/__init__.py".to_owned()),
        "{more:?}"
    );
    assert!(!more.contains(&"python/requirements.txt".to_owned()));
    let clock = opened("clock");
    assert_eq!(clock.files(), ["extensions/clock"]);
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(clock.path("extensions/clock")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o755);
    let unzipped: u64 = ["common", "more"]
        .iter()
        .map(|name| manifest["layers"].as_array().unwrap().iter().find(|l| l["name"] == *name).unwrap())
        .map(|layer| layer["artifact"]["unzipped_bytes"].as_u64().unwrap())
        .sum();
    let own = function(&manifest, "a")["artifact"]["unzipped_bytes"].as_u64().unwrap();
    assert_eq!(function(&manifest, "a")["unzipped_total_bytes"], json!(own + unzipped + 1000));
    // Those that exist are not here to be unpacked.
    let a = manifest["functions"].as_array_mut().unwrap().iter_mut().find(|f| f["name"] == "a").unwrap();
    a["layers"] = json!(["common", "more"]);
    assert_eq!(Sandbox::of(&project, &manifest, "a").python(minor, &python), "helped3.10");
}

#[test]
fn a_bootstrap_may_come_from_a_layer() {
    let project = Project::empty();
    project.write("f/handler.sh", "echo '{}'\n");
    project.write("runtime/bootstrap", "#!/bin/sh\ncd /var/task\n. ./handler.sh\n");
    let config = "[functions.f]\npath = 'f'\nruntime = 'provided.al2023'\nlayers = ['runtime']\n[layers.runtime]\npath = 'runtime'\n";
    project.write("lambda-pack.toml", config);
    let refused = project.run(&["build"]);
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("error[bootstrap-not-executable] runtime: bootstrap: Runtime.InvalidEntrypoint"),
        "{}",
        refused.stderr
    );
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(project.path("runtime/bootstrap"), mode).unwrap();
    let manifest = project.build::<&str>(&[]);
    let sandbox = Sandbox::of(&project, &manifest, "f");
    assert_eq!(sandbox.run(&[], &[], &["/opt/bootstrap"]), "{}");
    project.write("lambda-pack.toml", &config.replace("layers = ['runtime']\n", ""));
    assert!(project.run(&["build"]).stderr.contains("error[bootstrap-missing]"));
}

#[test]
fn what_lambda_would_not_take_is_refused() {
    let project = pair();
    for n in 0..6 {
        project.write(&format!("l{n}/python/m{n}.py"), "");
    }
    project.write("l1/python/m0.py", "other = 1\n");
    project.write("l2/extensions/x", "#!/bin/sh\n");
    let tables: String = (0..6).map(|n| format!("[layers.l{n}]\npath = 'l{n}'\nruntime = 'python3.12'\n")).collect();
    let arn = "arn:aws:lambda:eu-west-1:123456789012:layer:x";
    let config = PAIR
        .replace("path = 'a'\n", "path = 'a'\nlayers = ['l0', 'l1', 'l2', 'l3', 'l4', 'l5']\n")
        .replace("path = 'b'\n", &format!("path = 'b'\nlayers = ['{arn}:1', '{arn}:2']\n"));
    project.write("lambda-pack.toml", &(config + &tables));
    let run = project.run(&["build"]);
    assert_eq!(run.code, 3);
    for said in [
        "error[too-many-layers] a: Cannot reference more than 5 layers. It has 6",
        "error[layer-twice] b: Two different versions of the same layer are not allowed to be referenced in the same function.",
        "error[extension-not-executable] l2: extensions/x: Extension.LaunchError: permission denied",
        "warning[layer-incompatible] a: layer `l0` is for python3.12, the function is for python3.13",
        "warning[duplicate-entry] a: python/m0.py: both layer `l0` and layer `l1` bring this path; layer `l1` wins",
    ] {
        assert!(run.stderr.contains(said), "{said}\n{}", run.stderr);
    }
    assert!(!project.out("a.zip").exists() && !project.out("l2.zip").exists());
}

#[test]
fn modules_of_node_keep_their_packages() {
    let project = Project::empty();
    for name in ["a", "b"] {
        for file in ["package.json", "package-lock.json"] {
            let text = std::fs::read_to_string(fixture("node-express").join(file)).unwrap();
            project.write(&format!("{name}/{file}"), &text);
        }
        project.write(
            &format!("{name}/index.mjs"),
            "import express from 'express';\nexport const handler = async () => typeof express;\n",
        );
    }
    project.write(
        "lambda-pack.toml",
        "[defaults]\nruntime = 'nodejs22.x'\nhandler = 'index.handler'\nlayers = 'shared'\n[functions.a]\npath = 'a'\n[functions.b]\npath = 'b'\n",
    );
    let run = project.done(&["build", "--format", "json"]);
    assert!(run.stderr.contains("warning[layer-not-importable] a: packages stay in the function"), "{}", run.stderr);
    let manifest: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(layers(&manifest).len(), 0);
    assert!(project.unpack("a.zip").files().contains(&"node_modules/express/index.js".to_owned()));
}
