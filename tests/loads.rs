//! What is packed is what loads: real packages in real interpreters, which see nothing but the unpacked zip.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod common;

use std::path::PathBuf;

use common::{Project, Run, Unpacked, call_node, call_python, host_architecture, pythons};
use serde_json::{Value, json};

/// Minor versions of Python 3 that Lambda has, or has had until lately.
const MINORS: std::ops::RangeInclusive<u8> = 8..=14;

/// The newest glibc 2.N that the runtime `python3.MINOR` has: Amazon Linux 2023's from 3.12 on, Amazon Linux 2's before.
fn glibc_of(minor: u8) -> u32 {
    if minor >= 12 { 34 } else { 26 }
}

/// As `e_machine` and as wheels name it.
fn machine(architecture: &str) -> &str {
    if architecture == "arm64" { "aarch64" } else { architecture }
}

/// Builds a project that is one function, and unpacks it.
fn packed(project: &Project, args: &[&str]) -> Unpacked {
    let manifest = project.build(args);
    project.unpack(manifest["functions"][0]["artifact"]["path"].as_str().unwrap())
}

/// All machine code of a package is for the processor, and needs no newer glibc 2 than this one. Gives the paths.
fn machine_code(unpacked: &Unpacked, architecture: &str, glibc: u32) -> Vec<String> {
    let mut found = Vec::new();
    for path in unpacked.files() {
        let bytes = std::fs::read(unpacked.path(&path)).unwrap();
        let name = path.rsplit('/').next().unwrap();
        let library = name.ends_with(".node") || name.ends_with(".so") || name.contains(".so.");
        match common::elf_machine(&bytes) {
            Some(of) => {
                assert_eq!(of, machine(architecture), "{path}");
                found.push(path);
            }
            None => assert!(!library, "{path} is a library by its name only"),
        }
    }
    let newest = common::newest_glibc(&unpacked.path(""), &found);
    assert!(newest.is_none_or(|n| n <= glibc), "glibc 2.{newest:?} is needed; there is 2.{glibc}");
    found
}

#[test]
fn express_answers() {
    let unpacked = packed(&Project::copy_of("node-express"), &[]);
    let event = r#"{"rawPath": "/hello/you", "rawQueryString": "a=b"}"#;
    let answer = call_node(&unpacked.path(""), "index.handler", event);
    assert_eq!(answer["statusCode"], 200);
    assert_eq!(answer["body"], r#"{"hello":"you","query":{"a":"b"}}"#);
    let files = unpacked.files();
    assert!(!files.iter().any(|f| f.starts_with("node_modules/semver/")), "a development dependency");
    assert!(machine_code(&unpacked, "none", 0).is_empty());
}

#[test]
fn sharp_has_the_native_code_of_its_architecture() {
    let project = Project::copy_of("node-sharp");
    for (architecture, cpu) in [("x86_64", "x64"), ("arm64", "arm64")] {
        let unpacked = packed(&project, &["--arch", architecture, "--runtime", "nodejs22.x"]);
        let native = machine_code(&unpacked, architecture, 34);
        let expected = [format!("sharp-libvips-linux-{cpu}/lib/libvips"), format!("sharp-linux-{cpu}/lib/sharp-linux")];
        assert_eq!(native.len(), expected.len(), "{native:?}");
        for (path, start) in native.iter().zip(expected) {
            assert!(path.starts_with(&format!("node_modules/@img/{start}")), "{path}");
        }
        // Readers of binaries name it; folders of packages must not.
        let folders = unpacked.files().into_iter().filter(|f| f.starts_with("node_modules/@img/"));
        assert_eq!(folders.filter(|f| f.contains("musl")).collect::<Vec<_>>(), [""; 0]);
        if architecture == host_architecture() {
            let answer = call_node(&unpacked.path(""), "index.handler", r#"{"width": 32}"#);
            assert_eq!((&answer["width"], &answer["format"]), (&json!(32), &json!("png")));
        }
    }
}

#[test]
fn a_package_of_a_workspace_gets_its_own_versions() {
    let project = Project::copy_of("node-workspace");
    let versions = json!({"api": "2.1.3", "debug": "2.0.0", "shared": "1.0.0"});
    // Selected by its name, and by its folder with everything about it detected.
    let by_name = "[functions.api]\npath = 'packages/api'\nruntime = 'nodejs22.x'\nhandler = 'index.handler'\n\
                   [functions.other]\npath = 'packages/shared'\nruntime = 'nodejs22.x'\nhandler = 'lib/index.delay'\n";
    let by_folder = "[functions.api]\npath = 'packages/api'\n[functions.other]\npath = 'packages/shared'\n";
    for (config, args) in [
        (Some(by_name), ["--function", "api"].as_slice()),
        (Some(by_folder), &["packages/api"]),
        // Without a config, the folder alone, whose lock is the workspace's above it.
        (None, &["packages/api", "--out-dir", "target/lambda-pack"]),
    ] {
        match config {
            Some(config) => drop(project.write("lambda-pack.toml", config)),
            None => std::fs::remove_file(project.path("lambda-pack.toml")).unwrap(),
        }
        let manifest = project.build(args);
        assert_eq!(manifest["functions"].as_array().unwrap().len(), 1, "{manifest:#}");
        let unpacked = project.unpack("api.zip");
        let answer = call_node(&unpacked.path(""), "index.handler", r#"{"wait": "3 days"}"#);
        assert_eq!(answer["versions"], versions);
        assert_eq!(answer["shared"], 3 * 24 * 60 * 60 * 1000);
        let files = unpacked.files();
        for dropped in ["notes.txt", "lib/versions.test.js", "node_modules/@fixture/shared/test/index.js"] {
            assert!(!files.iter().any(|f| f == dropped), "{dropped}: {files:?}");
        }
        assert!(!files.iter().any(|f| f.contains("semver")), "a development dependency");
        let link = unpacked.path("node_modules/@fixture/shared").symlink_metadata().unwrap().is_symlink();
        assert!(!link, "a link out of the package");
    }
}

const APP: &str = "
import sys
import numpy
import pydantic

class Event(pydantic.BaseModel):
    values: list

def handler(event, context):
    values = Event(**event).values
    return {'norm': float(numpy.linalg.norm(values)), 'python': sys.version_info[1], 'from': [m.__file__ for m in (numpy, pydantic)]}
";

/// `Tag:` lines of a packed wheel.
fn tags(unpacked: &Unpacked, package: &str) -> Vec<String> {
    let start = format!("{package}-");
    let files = unpacked.files();
    let wheels: Vec<_> = files.iter().filter(|f| f.starts_with(&start) && f.ends_with(".dist-info/WHEEL")).collect();
    assert_eq!(wheels.len(), 1, "{wheels:?}");
    let text = std::fs::read_to_string(unpacked.path(wheels[0])).unwrap();
    text.lines().filter_map(|line| line.strip_prefix("Tag: ")).map(str::to_owned).collect()
}

/// The wheel is for this Python and processor, and for a glibc that the runtime has.
fn assert_tags(tags: &[String], minor: u8, architecture: &str) {
    let mut glibcs = Vec::new();
    // Some wheels name several platforms in one line.
    let of_line = |line: &String| -> Vec<String> {
        let (start, platforms) = line.rsplit_once('-').unwrap();
        platforms.split('.').map(|platform| format!("{start}-{platform}")).collect()
    };
    for tag in tags.iter().flat_map(of_line) {
        let platform = tag.strip_prefix(&format!("cp3{minor}-cp3{minor}-"));
        let platform = platform.unwrap_or_else(|| panic!("{tag} for python3.{minor}"));
        let manylinux = platform.strip_suffix(&format!("_{}", machine(architecture)));
        glibcs.push(match manylinux.unwrap_or_else(|| panic!("{tag} on {architecture}")) {
            "manylinux1" => 5,
            "manylinux2010" => 12,
            "manylinux2014" => 17,
            other => other.strip_prefix("manylinux_2_").unwrap().parse().unwrap(),
        });
    }
    let oldest = glibcs.into_iter().min().unwrap();
    assert!(oldest <= glibc_of(minor), "python3.{minor} on {architecture}: {tags:?}");
}

/// A config of functions in one folder, `pyMINOR-ARCH` each.
fn one_folder_for(wanted: &[(u8, &str)]) -> String {
    // What is deprecated today is not what this is about.
    let mut config = "[checks]\nruntime-deprecated = 'ignore'\nruntime-blocked = 'ignore'\n".to_owned();
    for (minor, architecture) in wanted {
        let name = format!("py{minor}-{architecture}");
        config.push_str(&format!("[functions.{name}]\npath = '.'\nruntime = 'python3.{minor}'\n"));
        config.push_str(&format!("handler = 'app.handler'\narchitecture = '{architecture}'\n"));
    }
    config
}

#[test]
fn numpy_and_pydantic_in_every_python() {
    let project = Project::empty();
    let architecture = host_architecture();
    let wanted: Vec<_> = MINORS.map(|minor| (minor, architecture)).collect();
    project
        .write("requirements.txt", "numpy\npydantic\n")
        .write("app.py", APP)
        .write("lambda-pack.toml", &one_folder_for(&wanted));
    project.build::<&str>(&[]);
    let pythons = pythons();
    assert!(pythons.iter().any(|(minor, _)| MINORS.contains(minor)), "none of Lambda's: apt-get install python3");
    for minor in MINORS {
        let unpacked = project.unpack(&format!("py{minor}-{architecture}.zip"));
        assert_tags(&tags(&unpacked, "numpy"), minor, architecture);
        assert_tags(&tags(&unpacked, "pydantic_core"), minor, architecture);
        let native = machine_code(&unpacked, architecture, glibc_of(minor));
        let suffix = format!(".cpython-3{minor}-{}-linux-gnu.so", machine(architecture));
        let extensions: Vec<_> = native.iter().filter(|f| f.contains(".cpython-")).collect();
        assert!(extensions.len() > 10 && extensions.iter().all(|f| f.ends_with(&suffix)), "{extensions:?}");
        // Without an interpreter of this version, the tags and headers above are all that can be told.
        if let Some((_, python)) = pythons.iter().find(|(found, _)| *found == minor) {
            let root = unpacked.path("");
            let answer = call_python(python, &root, "app.handler", r#"{"values": [3, 4]}"#);
            assert_eq!((&answer["norm"], &answer["python"]), (&json!(5.0), &json!(minor)));
            let from: Vec<PathBuf> = serde_json::from_value(answer["from"].clone()).unwrap();
            assert!(from.iter().all(|f| f.starts_with(&root)), "{from:?}");
        }
    }
}

/// A folder with nothing but a `python3` in it, which is the machine's: neither uv nor anything else is found.
fn only_python() -> tempfile::TempDir {
    let ask = ["-c", "import pip, sys; print(sys.executable)"].map(AsRef::as_ref);
    let python = common::tool("python3", &ask, "apt-get install python3-pip");
    let bin = tempfile::tempdir().unwrap();
    let script = bin.path().join("python3");
    std::fs::write(&script, format!("#!/bin/sh\nexec '{}' \"$@\"\n", python.trim())).unwrap();
    common::tool("chmod", &["755".as_ref(), script.as_os_str()], "apt-get install coreutils");
    bin
}

#[test]
fn uv_and_pip_take_the_wheel_that_the_glibc_loads() {
    let project = Project::empty();
    let wanted = [(11, "x86_64"), (11, "arm64"), (13, "x86_64"), (13, "arm64")];
    project
        .write("requirements.txt", "numpy\n")
        .write("app.py", "def handler(event, context): pass\n")
        .write("lambda-pack.toml", &one_folder_for(&wanted));
    let by_uv = project.build::<&str>(&[]);
    let check = |out_dir: &str| {
        for (minor, architecture) in wanted {
            let zip = project.path(out_dir).join(format!("py{minor}-{architecture}.zip"));
            let unpacked = Unpacked::of(&zip);
            assert_tags(&tags(&unpacked, "numpy"), minor, architecture);
            let native = machine_code(&unpacked, architecture, glibc_of(minor));
            let suffix = format!(".cpython-3{minor}-{}-linux-gnu.so", machine(architecture));
            assert!(native.iter().filter(|f| f.contains(".cpython-")).all(|f| f.ends_with(&suffix)), "{native:?}");
        }
    };
    check("target/lambda-pack");
    // A newer glibc takes newer versions: 2.26 is not simply asked for everywhere.
    let functions = by_uv["functions"].as_array().unwrap();
    let numpys: Vec<_> = functions.iter().map(|f| version(&f["packages"][0]["version"])).collect();
    assert!(numpys[0] == numpys[1] && numpys[1] < numpys[2] && numpys[2] == numpys[3], "{numpys:?}");

    let bin = only_python();
    let mut command = project.command(&["build", "--format", "json", "--out-dir", "by-pip"]);
    let run = Run::of(command.env("PATH", bin.path()), &project.path(""));
    assert_eq!(run.code, 0, "{}", run.transcript());
    check("by-pip");
    let by_pip: Value = serde_json::from_str(&run.stdout).unwrap();
    // The manifest does not name the tool, which differs from machine to machine; the plan does.
    let said = |path: &std::ffi::OsStr| Run::of(project.command(&["plan"]).env("PATH", path), &project.path("")).stdout;
    let ask = ["-c", "import pip; print(pip.__version__)"].map(AsRef::as_ref);
    let pip = common::tool("python3", &ask, "apt-get install python3-pip");
    let pip = pip.trim();
    let by = said(bin.path().as_os_str());
    assert!(by.contains(&format!("requirements.txt (pip {pip})")) && !by.contains("(uv "), "{by}");
    assert!(said(&common::path_with_tools()).contains("requirements.txt (uv "));
    for (ours, theirs) in functions.iter().zip(by_pip["functions"].as_array().unwrap()) {
        assert_eq!(ours["resolved_by"], "requirements.txt");
        // Before 23.3, pip passes over versions that its own Python is too old for (pypa/pip#12216).
        let old = version(&json!(pip)) < vec![23, 3] && theirs["runtime"] == "python3.13";
        if old && ours["packages"] != theirs["packages"] {
            assert!(version(&theirs["packages"][0]["version"]) < version(&ours["packages"][0]["version"]), "{theirs}");
        } else {
            assert_eq!((&ours["artifact"], &ours["packages"]), (&theirs["artifact"], &theirs["packages"]));
        }
    }
}

/// `"2.2.6"` as numbers.
fn version(text: &Value) -> Vec<u32> {
    text.as_str().unwrap().split('.').map(|part| part.parse().unwrap()).collect()
}

/// A Python that both Lambda and this machine have.
fn a_python() -> (String, PathBuf) {
    let known = pythons().into_iter().rfind(|(minor, _)| (10..=14).contains(minor));
    let (minor, python) = known.expect("none of python3.10 to python3.14: apt-get install python3");
    (format!("python3.{minor}"), python)
}

#[test]
fn local_projects_of_python_are_in_the_package() {
    let (runtime, python) = a_python();
    let project = Project::copy_of("python-local");
    let unpacked = packed(&project, &["--runtime", &runtime]);
    // What they were built from is gone: nothing may lead back to it.
    drop(project);
    let answer = call_python(&python, &unpacked.path(""), "app.handler", r#"{"name": "you", "hour": 20}"#);
    assert_eq!(answer, json!({"text": "Good evening, you!"}));
    let files = unpacked.files();
    assert!(files.iter().any(|f| f == "idna/__init__.py"), "the extra `loud` needs it");
    assert!(!files.iter().any(|f| f.ends_with(".pth") || f.ends_with("direct_url.json")), "{files:?}");
}

#[test]
fn requirements_with_hashes_load() {
    let (runtime, python) = a_python();
    let unpacked = packed(&Project::copy_of("python-hashes"), &["--runtime", &runtime, "--locked"]);
    let answer = call_python(&python, &unpacked.path(""), "app.handler", r#"{"host": "bücher.example"}"#);
    assert_eq!(answer, json!({"ascii": "xn--bcher-kva.example"}));
}
