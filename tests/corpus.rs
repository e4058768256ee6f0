//! What is packed of popular packages, compared file by file with what an installer puts on disk for the same target.
//! Run by `make test-full`.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use common::{Project, Unpacked};

/// Packages that resolve together and stay below 250 MB.
const PYTHON: &[&[&str]] = &[
    &["requests", "boto3", "aws-lambda-powertools", "jinja2", "click", "httpx", "redis", "pyyaml"],
    &["fastapi", "mangum", "sqlalchemy", "psycopg2-binary", "aiohttp", "orjson", "python-multipart"],
    &["numpy", "pandas", "pillow", "lxml"],
    &["cryptography", "bcrypt", "argon2-cffi", "pyjwt", "python-jose", "paramiko"],
    &["opentelemetry-sdk", "grpcio", "protobuf", "msgpack", "ujson", "pendulum"],
    &["scipy", "shapely", "networkx", "rich", "typer", "beautifulsoup4", "zope.interface"],
];

/// Of our own making, or of the installer's: not in both.
fn is_compared(path: &str) -> bool {
    // uv makes console scripts and lists them, and its own files, in RECORD.
    !path.starts_with("bin/")
        && !path.ends_with(".dist-info/RECORD")
        && !path.ends_with("/__pycache__")
        && path != ".lock"
}

fn contents(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = walkdir::WalkDir::new(root).into_iter().map(Result::unwrap).filter(|e| e.file_type().is_file());
    files
        .map(|e| (e.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned(), std::fs::read(e.path()).unwrap()))
        .filter(|(path, _)| is_compared(path))
        .collect()
}

#[test]
fn python_packages_are_what_uv_would_install() {
    let mut compared = 0;
    for (runtime, arch) in [("python3.13", "x86_64"), ("python3.12", "arm64"), ("python3.11", "x86_64")] {
        for (group, packages) in PYTHON.iter().enumerate() {
            // uv knows no platform of glibc 2.26, and so cannot install what only has wheels of manylinux_2_24 to 2_26.
            if runtime == "python3.11" && group != 0 {
                continue;
            }
            let project = Project::empty();
            project
                .write("handler.py", "def handler(event, context):\n    return 1\n")
                .write("requirements.txt", &packages.join("\n"));
            let manifest = project.build(&["--runtime", runtime, "--handler", "handler.handler", "--arch", arch]);
            let function = &manifest["functions"][0];
            let pins: Vec<String> = function["packages"]
                .as_array()
                .unwrap()
                .iter()
                .map(|p| format!("{}=={}", p["name"].as_str().unwrap(), p["version"].as_str().unwrap()))
                .collect();
            let ours = Unpacked::of(&project.out("project.zip"));
            let target = project.path("installed");
            let platform = match (runtime, arch) {
                ("python3.11", _) => "x86_64-manylinux_2_17",
                (_, "arm64") => "aarch64-manylinux_2_34",
                _ => "x86_64-manylinux_2_34",
            };
            let mut uv = Command::new("uv");
            uv.args(["pip", "install", "--quiet", "--no-deps", "--no-compile-bytecode", "--no-installer-metadata"]);
            uv.args([
                "--python-version",
                &runtime["python".len()..],
                "--python-platform",
                platform,
                "--only-binary",
                ":all:",
            ]);
            uv.arg("--target").arg(&target).args(&pins).env("PATH", common::path_with_tools());
            assert!(uv.status().unwrap().success(), "{pins:?}");

            let (ours, theirs) = (contents(&ours.path("")), contents(&target));
            let own = BTreeSet::from(["handler.py".to_owned(), "requirements.txt".to_owned()]);
            let names = |files: &BTreeMap<String, Vec<u8>>| {
                files.keys().filter(|k| !own.contains(*k)).cloned().collect::<BTreeSet<_>>()
            };
            let (a, b) = (names(&ours), names(&theirs));
            let only: Vec<_> = a.symmetric_difference(&b).collect();
            assert!(
                only.is_empty(),
                "{runtime} {arch} {packages:?}: {} of ours, {} of uv's; {:?}",
                a.len(),
                b.len(),
                &only[..only.len().min(20)]
            );
            let differ: Vec<_> =
                theirs.iter().filter(|(path, bytes)| ours[*path] != **bytes).map(|(path, _)| path).collect();
            assert!(differ.is_empty(), "{runtime} {arch} {packages:?}: {differ:?}");
            compared += pins.len();
        }
    }
    println!("{compared} packages compared");
}

/// Packages with machine code, by how they bring it: folders of libraries beside them, one file with everything, programs,
/// addons of many platforms.
const NATIVE_PYTHON: &[&[&str]] = &[
    &["numpy", "pandas", "pyarrow"],
    &["cryptography", "pydantic-core", "psycopg2-binary", "lxml", "pillow", "orjson"],
    &["scipy", "scikit-learn", "shapely", "pyproj", "h5py"],
    &["grpcio", "aiohttp", "uvloop", "greenlet", "pyzmq", "lz4", "zstandard", "msgpack"],
    &["opencv-python-headless", "onnxruntime", "debugpy", "duckdb"],
    &[
        "polars",
        "tokenizers",
        "psycopg[binary]",
        "pymssql",
        "confluent-kafka",
        "oracledb",
        "awscrt",
        "ruff",
        "selenium",
    ],
];
const NATIVE_NODE: &[&[&str]] = &[
    &["sharp", "@napi-rs/canvas", "esbuild", "lightningcss", "@swc/core", "rollup"],
    &["bcrypt", "argon2", "bufferutil", "utf-8-validate", "classic-level", "sodium-native", "@parcel/watcher"],
];
const NATIVE_RULES: &[&str] = &[
    "wrong-architecture",
    "glibc-too-new",
    "libstdcxx-too-new",
    "missing-shared-library",
    "musl-library",
    "cpu-level-too-high",
    "python-abi-mismatch",
    "native-file-damaged",
];

/// What the rules on machine code say of a project, whatever else is wrong with it.
fn native_findings(project: &Project, args: &[&str]) -> Vec<String> {
    let run = project.run(&[&["plan", "--format", "json"], args].concat());
    let plan: serde_json::Value =
        serde_json::from_str(&run.stdout).unwrap_or_else(|e| panic!("{e}: {}", run.transcript()));
    let said = |f: &serde_json::Value| format!("{} {} {}: {}", f["level"], f["rule"], f["path"], f["message"]);
    let findings = plan["findings"].as_array().unwrap().iter();
    findings.filter(|f| NATIVE_RULES.contains(&f["rule"].as_str().unwrap())).map(said).collect()
}

/// What is said with reason: debugpy's library for attaching to a running process needs glibc 2.34, which Amazon Linux 2
/// does not have; nothing loads it when a function starts.
const TRUE: &[&str] =
    &["\"warning\" \"glibc-too-new\" \"debugpy/_vendored/pydevd/pydevd_attach_to_process/attach_linux_amd64.so\""];

/// All of them load on Lambda, so that whatever else is said of them is a false alarm.
#[test]
fn native_code_of_popular_packages_is_silent() {
    let mut alarms = Vec::new();
    for arch in ["x86_64", "arm64"] {
        for runtime in ["python3.13", "python3.11"] {
            for packages in NATIVE_PYTHON {
                let project = Project::empty();
                project
                    .write("handler.py", "def handler(event, context):\n    return 1\n")
                    .write("requirements.txt", &packages.join("\n"));
                let args = ["--runtime", runtime, "--handler", "handler.handler", "--arch", arch];
                let found = native_findings(&project, &args);
                alarms.extend(found.into_iter().map(|said| format!("{runtime} {arch} {packages:?}: {said}")));
            }
        }
        for packages in NATIVE_NODE {
            let project = Project::empty();
            let needs: Vec<String> = packages.iter().map(|name| format!("{name:?}: \"*\"")).collect();
            project
                .write("index.js", "exports.handler = async () => 1\n")
                .write("package.json", &format!("{{\"dependencies\": {{{}}}}}", needs.join(", ")));
            let found = native_findings(&project, &["--runtime", "nodejs22.x", "--arch", arch]);
            alarms.extend(found.into_iter().map(|said| format!("nodejs22.x {arch}: {said}")));
        }
    }
    alarms.retain(|alarm| !TRUE.iter().any(|known| alarm.contains(known)));
    assert!(alarms.is_empty(), "{alarms:#?}");
}

/// Together they are too large for Lambda as they are; without what nothing reads they fit, and still work.
#[test]
fn slim_packages_fit_and_work() {
    let project = Project::empty();
    let app = "import io\nimport numpy, pandas, pyarrow\n\ndef handler(event, context):\n    \
               frame = pandas.DataFrame({'x': numpy.arange(event['n']), 'y': ['a'] * event['n']})\n    \
               file = io.BytesIO()\n    \
               frame.to_parquet(file, engine='pyarrow')\n    \
               return int(pandas.read_parquet(io.BytesIO(file.getvalue()))['x'].sum())\n";
    project.write("app.py", app).write("requirements.txt", "numpy\npandas\npyarrow\n");
    let config = |slim: &str| {
        format!("[functions.f]\npath = \".\"\nruntime = \"python3.13\"\nhandler = \"app.handler\"\nslim = {slim}\n")
    };
    project.write("lambda-pack.toml", &config("false"));
    let run = project.run(&["build"]);
    assert!(run.code == 3 && run.stderr.contains("unzipped-too-large"), "{}", run.transcript());
    project.write("lambda-pack.toml", &config("true"));
    let run = project.done(&["build"]);
    assert!(run.stdout.contains("left out of packages: tests "), "{}", run.stdout);
    let unpacked = project.unpack("f.zip");
    let metadata = |file: &&String| file.ends_with(".dist-info/METADATA") || file.ends_with(".dist-info/RECORD");
    assert!(unpacked.files().iter().filter(metadata).count() >= 6);
    let (_, python) = common::pythons().into_iter().find(|(minor, _)| *minor == 13).expect("python3.13 is not on PATH");
    assert_eq!(common::call_python(&python, &unpacked.path(""), "app.handler", r#"{"n": 10}"#), 45);
    // One rule alone saves less.
    project.write("lambda-pack.toml", &config("[\"headers\"]"));
    let run = project.run(&["plan"]);
    assert!(run.stdout.contains("left out of packages: headers ") && !run.stdout.contains("tests "), "{}", run.stdout);
}

/// better-sqlite3 fetches what it does not bring from where nothing is fetched here, and so is compiled: `SQLite` itself, and the
/// addon in C++.
#[test]
fn a_popular_addon_is_compiled_for_both_processors() {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.tools/cross");
    assert!(tools.join("zig").exists(), "zig is missing: run `make tools`");
    let major = common::tool(
        "node",
        &["-p".as_ref(), "process.versions.node.split('.')[0]".as_ref()],
        "apt-get install nodejs",
    );
    for arch in ["x86_64", "arm64"] {
        let project = Project::empty();
        project
            .write("package.json", r#"{"name": "f", "version": "1.0.0", "dependencies": {"better-sqlite3": "11.5.0"}}"#)
            .write(
                "index.js",
                "const Database = require('better-sqlite3');\nexports.handler = async event => {\n  \
                 const db = new Database(':memory:');\n  db.exec('create table t(a)');\n  \
                 db.prepare('insert into t values (?)').run(event.n);\n  return db.prepare('select a from t').get().a;\n};\n",
            )
            .write(
                "lambda-pack.toml",
                &format!("[functions.f]\npath = '.'\nruntime = 'nodejs{}.x'\nhandler = 'index.handler'\nallow-scripts = ['better-sqlite3']\n", major.trim()),
            );
        let args = ["build", "--format", "json", "--arch", arch];
        let run = common::Run::of(project.command(&args).env("PATH", common::with_path(&tools)), &project.path(""));
        assert_eq!(run.code, 0, "{}", run.transcript());
        let unpacked = project.unpack("f.zip");
        let addons: Vec<_> = unpacked.files().into_iter().filter(|file| file.ends_with(".node")).collect();
        for addon in &addons {
            let machine = common::elf_machine(&std::fs::read(unpacked.path(addon)).unwrap());
            assert_eq!(machine, Some(if arch == "arm64" { "aarch64" } else { "x86_64" }), "{addon}");
        }
        assert!(addons.iter().any(|file| file.ends_with("/build/Release/better_sqlite3.node")), "{addons:?}");
        assert!(common::newest_glibc(&unpacked.path(""), &addons).unwrap() <= 34);
        if arch == common::host_architecture() {
            assert_eq!(common::call_node(&unpacked.path(""), "index.handler", r#"{"n": 42}"#), 42);
        }
    }
}
