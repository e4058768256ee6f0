//! What has no wheel, no prebuilt file and no old enough glibc is compiled for the function, whatever this machine is: with
//! zig, which compiles for every processor and glibc, and without it.
//!
//! Needs Python 3.11 and Node.js with their headers, Cargo, and what `make tools` installs.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test that cannot go on should say where")]

mod common;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Project, Run, Unpacked};
use serde_json::Value;

/// The processor that this machine does not have, by Lambda's name.
fn other_architecture() -> &'static str {
    if common::host_architecture() == "arm64" { "x86_64" } else { "arm64" }
}

fn machine(architecture: &str) -> &str {
    if architecture == "arm64" { "aarch64" } else { architecture }
}

fn tools() -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.tools/cross");
    for name in ["zig", "cargo-zigbuild"] {
        assert!(tools.join(name).exists(), "{name} is missing: run `make tools`");
    }
    tools
}

/// `PATH` with or without zig and `cargo-zigbuild`.
fn path(with_zig: bool) -> OsString {
    let all = common::path_with_tools();
    let has_zig = |folder: &PathBuf| ["zig", "cargo-zigbuild"].iter().any(|name| folder.join(name).exists());
    let without = std::env::split_paths(&all).filter(|folder| !has_zig(folder));
    std::env::join_paths(with_zig.then(tools).into_iter().chain(without)).unwrap()
}

fn build(project: &Project, with_zig: bool, args: &[&str], variables: &[(&str, &str)]) -> Run {
    let mut command = project.command(&[&["build", "--format", "json"], args].concat());
    command.env("PATH", path(with_zig)).envs(variables.iter().copied());
    Run::of(&mut command, &project.path(""))
}

/// Builds, and expects that it is packed.
fn packed(project: &Project, with_zig: bool, args: &[&str], variables: &[(&str, &str)]) -> (Unpacked, Vec<u8>) {
    let run = build(project, with_zig, args, variables);
    assert_eq!(run.code, 0, "{}", run.transcript());
    (project.unpack("f.zip"), std::fs::read(project.out("f.zip")).unwrap())
}

/// Builds, and expects one finding that refuses it: its rule, message and hint.
fn refused(project: &Project, args: &[&str]) -> (String, String, String) {
    let run = build(project, false, args, &[]);
    assert_eq!(run.code, 3, "{}", run.transcript());
    let manifest: Value = serde_json::from_str(&run.stdout).unwrap();
    let errors: Vec<&Value> =
        manifest["findings"].as_array().unwrap().iter().filter(|f| f["level"] == "error").collect();
    assert_eq!(errors.len(), 1, "{}", run.transcript());
    let text = |key: &str| errors[0][key].as_str().unwrap().to_owned();
    assert!(!project.out("f.zip").exists());
    (text("rule"), text("message"), text("hint"))
}

/// The one file whose name ends so: its path and its bytes.
fn only(unpacked: &Unpacked, end: &str) -> (String, Vec<u8>) {
    let files: Vec<String> = unpacked.files().into_iter().filter(|file| file.ends_with(end)).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    (files[0].clone(), std::fs::read(unpacked.path(&files[0])).unwrap())
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn python_311() -> PathBuf {
    let found = common::pythons().into_iter().find(|(minor, _)| *minor == 11);
    found.map(|(_, path)| path).expect("Python 3.11 is missing: apt-get install python3-dev")
}

fn python(requirements: &str, module: &str) -> Project {
    let project = Project::empty();
    project.write("lambda-pack.toml", "[functions.f]\npath = 'f'\nruntime = 'python3.11'\nhandler = 'app.handler'\n");
    project.write("f/requirements.txt", requirements);
    project
        .write("f/app.py", &format!("import {module}\ndef handler(event, context):\n    return {module}.__file__\n"));
    project
}

#[test]
fn an_sdist_is_compiled_for_both_processors_to_the_same_bytes_everywhere() {
    for architecture in [common::host_architecture(), other_architecture()] {
        let project = python("wrapt==1.14.0\n", "wrapt._wrappers");
        let (unpacked, bytes) = packed(&project, true, &["--arch", architecture], &[]);
        let machine = machine(architecture);
        let (path, module) = only(&unpacked, ".so");
        assert_eq!(path, format!("wrapt/_wrappers.cpython-311-{machine}-linux-gnu.so"));
        assert_eq!(common::elf_machine(&module), Some(machine));
        assert!(common::newest_glibc(&unpacked.path(""), &[path]).is_none_or(|minor| minor <= 26));
        assert!(!contains(&module, "lambda-pack-"), "it names the folder that it was compiled in");
        let (_, wheel) = only(&unpacked, ".dist-info/WHEEL");
        assert!(contains(&wheel, &format!("Tag: cp311-cp311-linux_{machine}\n")));
        if architecture == common::host_architecture() {
            let said = common::call_python(&python_311(), &unpacked.path(""), "app.handler", "{}");
            assert!(said.as_str().unwrap().ends_with(".so"), "{said}");
            continue;
        }
        let again = python("wrapt==1.14.0\n", "wrapt._wrappers");
        let temporary = again.path("a-longer-folder-for-what-is-temporary");
        std::fs::create_dir(&temporary).unwrap();
        let variables = [("TMPDIR", temporary.to_str().unwrap())];
        let (_, second) = packed(&again, true, &["--arch", architecture, "--no-cache"], &variables);
        assert!(second == bytes, "two builds in different folders differ");
    }
}

/// A project whose extension needs what glibc 2.34 has anew: `pthread_create` in `libc.so.6`.
fn newer_than_al2() -> Project {
    let project = python("./own\n", "newlibc");
    project.write(
        "f/own/setup.py",
        "from setuptools import Extension, setup\n\
         setup(name='newlibc', version='1.0', ext_modules=[Extension('newlibc', ['newlibc.c'])])\n",
    );
    project.write(
        "f/own/newlibc.c",
        "#include <Python.h>\n#include <pthread.h>\n\
         static void *run(void *x) { return x; }\n\
         static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, \"newlibc\", \"\", -1, NULL};\n\
         PyMODINIT_FUNC PyInit_newlibc(void) {\n  pthread_t thread;\n\
           if (pthread_create(&thread, NULL, run, NULL) || pthread_join(thread, NULL)) return NULL;\n\
           return PyModule_Create(&module);\n}\n",
    );
    project
}

#[test]
fn without_zig_an_extension_is_refused_when_it_would_not_load() {
    let (host, other) = (common::host_architecture(), other_architecture());
    let project = newer_than_al2();
    let (rule, message, hint) = refused(&project, &["--arch", host]);
    assert_eq!(rule, "no-compatible-wheel");
    assert!(
        message.contains("needs GLIBC_2.34 for `pthread_create`, which is newer than what Amazon Linux 2"),
        "{message}"
    );
    for way in ["choose a version of", "install zig (`pip install ziglang`", "pack on Amazon Linux 2 on"] {
        assert!(hint.contains(way), "{hint}");
    }
    let (rule, message, _) = refused(&project, &["--arch", other]);
    assert!(rule == "no-compatible-wheel" && message.contains("there is no zig here"), "{message}");
    for architecture in [host, other] {
        let (unpacked, _) = packed(&project, true, &["--arch", architecture], &[]);
        let (path, module) = only(&unpacked, "-linux-gnu.so");
        assert_eq!(common::elf_machine(&module), Some(machine(architecture)));
        assert!(common::newest_glibc(&unpacked.path(""), &[path]).unwrap() <= 26);
    }
}

#[test]
fn a_project_that_does_without_its_extension_is_packed_without_it() {
    let project = newer_than_al2();
    project.write("f/own/newlibc.py", "");
    project.write(
        "f/own/setup.py",
        "from setuptools import Extension, setup\n\
         def run(**more):\n    setup(name='newlibc', version='1.0', py_modules=['newlibc'], **more)\n\
         try:\n    run(ext_modules=[Extension('newlibc', ['newlibc.c'])])\n\
         except (Exception, SystemExit):\n    run()\n",
    );
    let (unpacked, _) = packed(&project, false, &["--arch", other_architecture()], &[]);
    assert!(
        unpacked.files().contains(&"newlibc.py".to_owned()) && !unpacked.files().iter().any(|f| f.ends_with(".so"))
    );
    let (unpacked, _) = packed(&project, true, &["--arch", other_architecture()], &[]);
    only(&unpacked, "-linux-gnu.so");
}

fn npm(folder: &Path, args: &[&str]) {
    let output = Command::new("npm").args(args).current_dir(folder).output();
    let output = output.expect("npm is missing: apt-get install npm");
    assert!(output.status.success(), "npm {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn addon() -> Project {
    let project = Project::empty();
    project.write("addon/package.json", r#"{"name": "addon", "version": "1.0.0", "main": "build/Release/addon.node"}"#);
    project.write("addon/binding.gyp", r#"{"targets": [{"target_name": "addon", "sources": ["addon.c"]}]}"#);
    project.write(
        "addon/addon.c",
        "#include <node_api.h>\n#include <pthread.h>\nstatic void *run(void *x) { return x; }\n\
         NAPI_MODULE_INIT() {\n  pthread_t thread;\n  napi_value text;\n\
           if (pthread_create(&thread, NULL, run, NULL) || pthread_join(thread, NULL)) return NULL;\n\
           napi_create_string_utf8(env, \"loaded\", NAPI_AUTO_LENGTH, &text);\n  return text;\n}\n",
    );
    project.write("f/package.json", r#"{"name": "f", "dependencies": {"addon": "file:addon-1.0.0.tgz"}}"#);
    project.write("f/index.js", "exports.handler = async () => require('addon');\n");
    npm(&project.path("f"), &["pack", "../addon", "--ignore-scripts"]);
    npm(&project.path("f"), &["install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund"]);
    project.write(
        "lambda-pack.toml",
        "[functions.f]\npath = 'f'\nruntime = 'nodejs18.x'\nhandler = 'index.handler'\nallow-scripts = ['addon']\n",
    );
    project
}

/// Debian's Node.js is a program with a library, which its addons are linked with and Lambda does not have: what is compiled
/// with it is refused.
fn node_is_a_library() -> bool {
    let said = common::tool(
        "node",
        &["-p".as_ref(), "process.config.variables.node_shared".as_ref()],
        "apt-get install nodejs",
    );
    said.trim() == "true"
}

#[test]
fn an_npm_package_is_compiled_for_both_processors_without_the_network() {
    let project = addon();
    let nowhere = project.path("none");
    // node-gyp finds neither a server nor its own cache, only the headers beside Node.js.
    let variables = [("npm_config_disturl", "http://127.0.0.1:9/"), ("npm_config_devdir", nowhere.to_str().unwrap())];
    for architecture in [common::host_architecture(), other_architecture()] {
        let run = build(&project, true, &["--arch", architecture], &variables);
        if node_is_a_library() {
            assert!(run.code != 0 && !project.out("f.zip").exists(), "{}", run.transcript());
            continue;
        }
        assert_eq!(run.code, 0, "Without Node.js's headers: apt-get install libnode-dev\n{}", run.transcript());
        let unpacked = project.unpack("f.zip");
        let (path, module) = only(&unpacked, ".node");
        assert_eq!(common::elf_machine(&module), Some(machine(architecture)));
        assert!(common::newest_glibc(&unpacked.path(""), &[path]).unwrap() <= 26);
        if architecture == common::host_architecture() {
            assert_eq!(common::call_node(&unpacked.path(""), "index.handler", "{}"), "loaded");
        }
    }
}

#[test]
fn without_zig_an_npm_package_is_refused_when_it_would_not_load() {
    if node_is_a_library() {
        let project = addon();
        let run = build(&project, false, &[], &[]);
        assert!(run.code != 0 && !project.out("f.zip").exists(), "{}", run.transcript());
        return;
    }
    let project = addon();
    let (rule, message, hint) = refused(&project, &["--arch", common::host_architecture()]);
    assert_eq!(rule, "glibc-too-new");
    assert!(message.contains("addon 1.0.0 compiled here needs GLIBC_2.34 for `pthread_create`"), "{message}");
    assert!(hint.contains("install zig") && hint.contains("pack on Amazon Linux 2"), "{hint}");
    let (rule, _, hint) = refused(&project, &["--arch", other_architecture()]);
    assert!(rule == "wrong-architecture" && hint.contains("install zig"), "{rule}: {hint}");
}

#[test]
fn a_rust_binary_is_linked_for_the_runtimes_glibc_or_refused() {
    let project = Project::empty();
    project.write("f/Cargo.toml", "[package]\nname = 'f'\nversion = '0.1.0'\nedition = '2024'\n[workspace]\n");
    project.write("f/src/main.rs", "fn main() { std::thread::spawn(|| println!(\"runs\")).join().unwrap(); }\n");
    project.write("lambda-pack.toml", "[functions.f]\npath = 'f'\nruntime = 'provided.al2'\n");
    let host = ["--arch", common::host_architecture()];
    let (rule, message, hint) = refused(&project, &host);
    assert!(rule == "glibc-too-new" && message.contains("as it is linked here, needs GLIBC_2."), "{message}");
    for way in ["pip install cargo-zigbuild ziglang", "-unknown-linux-musl", "build on Amazon Linux 2"] {
        assert!(hint.contains(way), "{hint}");
    }
    let run = build(&project, true, &host, &[("RUSTFLAGS", "-C target-cpu=native")]);
    assert_eq!(run.code, 0, "{}", run.transcript());
    let told = "`-C target-cpu=native` in the variable `RUSTFLAGS`";
    assert!(run.stdout.contains("cpu-level-too-high") && run.stdout.contains(told), "{}", run.stdout);
    let (unpacked, _) = packed(&project, true, &host, &[]);
    assert!(common::newest_glibc(&unpacked.path(""), &["bootstrap".to_owned()]).unwrap() <= 26);
    assert_eq!(common::tool(unpacked.path("bootstrap").to_str().unwrap(), &[], "").trim(), "runs");
}
