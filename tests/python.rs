//! The Python resolver on real packages: which wheel is packed for which runtime, with uv and with pip.
//!
//! Needs `python3` with pip, a network or warm caches, and uv (from PATH, or `make tools`).

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lambda_pack::error::{Error, Kind};
use lambda_pack::fsio::write_atomic;
use lambda_pack::lambda::{self, Architecture};
use lambda_pack::process::{Tool, find_program};
use lambda_pack::project::FunctionSpec;
use lambda_pack::report::Silent;
use lambda_pack::resolve::python::{Programs, Python};
use lambda_pack::resolve::{Context, Request, Resolution, Resolver as _};
use lambda_pack::store::{Fetcher, Store};

use Architecture::{Arm64, X86_64};

/// Which tool a test lets the resolver find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum With {
    Uv,
    Pip,
    Neither,
}

const BOTH: [With; 2] = [With::Uv, With::Pip];

fn uv() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.tools/bin/uv");
    find_program("uv").or_else(|| own.is_file().then_some(own)).expect("these tests need uv: run `make tools`")
}

fn programs(with: With) -> Programs {
    match with {
        With::Uv => Programs { uv: Some(uv()), python: None },
        With::Pip => Programs { uv: None, python: Some(find_program("python3").expect("python3 on PATH")) },
        With::Neither => Programs::default(),
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// A run with the options that most tests leave alone.
struct Run {
    with: With,
    locked: bool,
    offline: bool,
}

impl Run {
    fn all(&self, folders: &[(&Path, &str, Architecture)]) -> Vec<Result<Resolution, Error>> {
        let store = Store::new(Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-store"));
        let fetcher = Fetcher::new(&store, self.offline, &Silent);
        let (offline, locked) = (self.offline, self.locked);
        let context = Context { store: &store, fetcher: &fetcher, reporter: &Silent, offline, locked };
        let specs: Vec<_> = folders.iter().map(|(path, runtime, _)| FunctionSpec::new("f", *path, *runtime)).collect();
        let requests: Vec<_> = specs
            .iter()
            .zip(folders)
            .map(|(function, (path, runtime, architecture))| Request {
                function,
                runtime: lambda::find(runtime).unwrap(),
                architecture: *architecture,
                project_root: path,
                skip: &[],
            })
            .collect();
        Python::with_programs(programs(self.with)).resolve(&requests, &context)
    }

    fn one(&self, folder: &Path, runtime: &str) -> Result<Resolution, Error> {
        self.all(&[(folder, runtime, X86_64)]).remove(0)
    }
}

fn resolve(folder: &Path, runtime: &str, architecture: Architecture, with: With) -> Result<Resolution, Error> {
    Run { with, locked: false, offline: false }.all(&[(folder, runtime, architecture)]).remove(0)
}

fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        write_atomic(&dir.path().join(name), text.as_bytes()).unwrap();
    }
    dir
}

fn requirements(text: &str, runtime: &str, architecture: Architecture, with: With) -> Result<Resolution, Error> {
    resolve(project(&[("requirements.txt", text)]).path(), runtime, architecture, with)
}

/// The tags that a packed wheel says it has.
fn tags(resolution: &Resolution, name: &str) -> Vec<String> {
    assert!(resolution.findings.is_empty(), "{:?}", resolution.findings);
    let package = resolution.packages.iter().find(|p| p.name == name).unwrap();
    let (_, entry) = package.tree.iter().find(|(path, _)| path.as_str().ends_with(".dist-info/WHEEL")).unwrap();
    let text = String::from_utf8(entry.read().unwrap()).unwrap();
    text.lines().filter_map(|line| line.strip_prefix("Tag: ")).map(str::to_owned).collect()
}

fn names(resolution: &Resolution) -> Vec<String> {
    resolution.packages.iter().map(|p| format!("{} {}", p.name, p.version)).collect()
}

fn bytes(resolution: &Resolution) -> BTreeMap<String, Vec<u8>> {
    let entries = resolution.packages.iter().flat_map(|package| package.tree.iter());
    entries.map(|(path, entry)| (path.to_string(), entry.read().unwrap())).collect()
}

#[test]
fn the_newest_wheel_that_the_glibc_loads_is_packed() {
    // pymssql has wheels for 2.17 and, better, for 2.24, between two of uv's platforms. numpy 2.2.6 has one for 2.17, numpy
    // 2.4.6 for 2.27 at the least, which Amazon Linux 2 (2.26) does not load.
    for with in BOTH {
        for (pinned, runtime, architecture, expected) in [
            ("numpy==2.2.6", "python3.11", X86_64, "cp311-cp311-manylinux_2_17_x86_64"),
            ("numpy==2.2.6", "python3.11", Arm64, "cp311-cp311-manylinux_2_17_aarch64"),
            ("numpy==2.4.6", "python3.13", X86_64, "cp313-cp313-manylinux_2_28_x86_64"),
            ("numpy==2.4.6", "python3.13", Arm64, "cp313-cp313-manylinux_2_28_aarch64"),
            ("pymssql==2.2.7", "python3.11", X86_64, "cp311-cp311-manylinux_2_24_x86_64"),
            ("pydantic-core==2.33.2", "python3.12", Arm64, "cp312-cp312-manylinux_2_17_aarch64"),
        ] {
            let found = requirements(pinned, runtime, architecture, with).unwrap();
            let tags = tags(&found, pinned.split("==").next().unwrap());
            // Some builders write a compressed set into one line.
            let mut single = tags.iter().map(|tag| tag.split_once('.').map_or(tag.as_str(), |(first, _)| first));
            assert!(single.any(|tag| tag == expected), "{with:?} {runtime} {architecture}: {tags:?}");
        }
    }
}

#[test]
fn an_unpinned_package_gets_a_version_that_loads() {
    let glibc = |tag: &String| -> Option<u32> {
        let tag = tag.replace("manylinux2014", "manylinux_2_17");
        tag.split_once("manylinux_2_")?.1.split('_').next()?.parse().ok()
    };
    let folder = fixture("python-numpy");
    for with in BOTH {
        let run = Run { with, locked: false, offline: false };
        let all = run.all(&[(&folder, "python3.11", X86_64), (&folder, "python3.13", Arm64)]);
        for (found, (abi, newest)) in all.into_iter().zip([("cp311", 26), ("cp313", 34)]) {
            let found = found.unwrap();
            for name in ["numpy", "pandas"] {
                let tags = tags(&found, name);
                assert!(tags.iter().filter_map(glibc).min().is_some_and(|g| g <= newest), "{with:?} {name} {tags:?}");
                assert!(tags.iter().all(|tag| tag.starts_with(abi)), "{with:?} {name} {tags:?}");
            }
        }
    }
}

#[test]
fn requests_and_its_needs() {
    for with in BOTH {
        let found = resolve(&fixture("python-pure"), "python3.13", X86_64, with).unwrap();
        let names: Vec<_> = found.packages.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["certifi", "charset-normalizer", "idna", "requests", "urllib3"]);
        let all = bytes(&found);
        assert!(all.contains_key("requests/__init__.py") && all.contains_key("requests-2.34.2.dist-info/RECORD"));
        assert!(!all.keys().any(|path| path.ends_with(".pyc") || path.ends_with("INSTALLER")));
        let tool = if with == With::Uv { "requirements.txt (uv " } else { "requirements.txt (pip " };
        assert!(found.resolved_by.starts_with(tool), "{}", found.resolved_by);
    }
}

#[test]
fn a_pure_source_is_built() {
    let mut built = Vec::new();
    for with in [With::Uv, With::Uv, With::Pip] {
        let found = requirements("docopt==0.6.2\nidna==3.10\n", "python3.13", X86_64, with).unwrap();
        assert_eq!(names(&found), ["docopt 0.6.2", "idna 3.10"]);
        assert!(found.packages[0].tree.contains("docopt.py"));
        built.push(bytes(&found));
    }
    assert_eq!(built[0], built[1]);
}

#[test]
fn a_source_with_native_code_is_a_finding_and_the_rest_goes_on() {
    for with in BOTH {
        let found = requirements("python-ldap==3.4.4\nidna==3.10\n", "python3.13", X86_64, with).unwrap();
        assert_eq!(found.findings.len(), 1, "{:?}", found.findings);
        let finding = &found.findings[0];
        assert_eq!((finding.rule.id(), finding.function.as_deref()), ("no-compatible-wheel", Some("f")));
        let told = &finding.message;
        assert!(told.contains("python-ldap 3.4.4 has no wheel that python3.13 on x86_64 can load"), "{told}");
        assert!(told.contains("native code"), "{told}");
        assert!(names(&found).contains(&"idna 3.10".to_owned()));
        assert!(!found.packages.iter().any(|p| p.name == "python-ldap"));
    }
}

#[test]
fn markers_are_the_targets_or_pip_says_so() {
    let text = "tomli==2.0.1; python_version < \"3.11\"\nidna==3.10\n";
    let on = |runtime, with| requirements(text, runtime, X86_64, with);
    assert_eq!(names(&on("python3.10", With::Uv).unwrap()), ["idna 3.10", "tomli 2.0.1"]);
    assert_eq!(names(&on("python3.13", With::Uv).unwrap()), ["idna 3.10"]);
    assert_eq!(names(&on("python3.13", With::Pip).unwrap()), ["idna 3.10"]);
    let ask = ["-c", "import sys; print(sys.version_info >= (3, 11))"];
    let host_is_newer = Tool::new("python3").args(ask).run().unwrap().text().trim() == "True";
    let old = on("python3.10", With::Pip);
    if !host_is_newer {
        assert_eq!(names(&old.unwrap()), ["idna 3.10", "tomli 2.0.1"]);
        return;
    }
    let error = old.err().unwrap();
    assert!(error.to_string().contains("`tomli` where `python_full_version < '3.11'`"), "{error}");
    assert!(error.hints()[0].contains("install uv"), "{:?}", error.hints());
}

#[test]
fn local_projects_are_built_from_a_copy() {
    let from = fixture("python-local");
    let elsewhere = tempfile::tempdir().unwrap();
    for entry in walkdir::WalkDir::new(&from).into_iter().flatten().filter(|e| e.file_type().is_file()) {
        let to = elsewhere.path().join(entry.path().strip_prefix(&from).unwrap());
        write_atomic(&to, &std::fs::read(entry.path()).unwrap()).unwrap();
    }
    for with in BOTH {
        let found = resolve(&from, "python3.13", X86_64, with).unwrap();
        assert_eq!(names(&found), ["clock 0.1.0", "greet 1.2.3", "idna 3.10"]);
        let all = bytes(&found);
        assert!(all.contains_key("clock/__init__.py") && all.contains_key("greet/__init__.py"));
        assert!(!all.keys().any(|path| path.ends_with("direct_url.json") || path.ends_with(".pth")));
        let again = resolve(elsewhere.path(), "python3.13", X86_64, with).unwrap();
        assert_eq!(all, bytes(&again), "the same project in another folder");
        for entry in walkdir::WalkDir::new(&from).into_iter().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            assert!(name != "build" && !name.ends_with(".egg-info"), "a build left {name} behind");
        }
    }
}

#[test]
fn hashes_are_verified_and_a_file_with_everything_pinned_is_a_lock() {
    for with in BOTH {
        let run = Run { with, locked: true, offline: false };
        let found = run.one(&fixture("python-hashes"), "python3.13").unwrap();
        assert_eq!(names(&found), ["idna 3.10", "typing-extensions 4.12.2"]);
        let bad = format!("idna==3.10 --hash=sha256:{}\n", "0".repeat(64));
        let error = requirements(&bad, "python3.13", X86_64, with).err().unwrap();
        assert!(error.to_string().contains("requirements.txt"), "{error}");
        for (text, said) in
            [("requests\n", "`requests` has no exact version"), ("requests==2.34.2\n", "does not stand in it")]
        {
            let error = run.one(project(&[("requirements.txt", text)]).path(), "python3.13").err().unwrap();
            assert_eq!(error.kind(), Kind::Config);
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}

#[test]
fn mistakes_are_told_in_the_tools_words() {
    for with in BOTH {
        let error = requirements("idna==99.1\n", "python3.13", X86_64, with).err().unwrap();
        assert_eq!(error.kind(), Kind::Config, "{error}");
        assert!(error.to_string().contains("requirements.txt` cannot be resolved for python3.13"), "{error}");
        assert!(error.to_string().contains("idna==99.1"), "{error}");
    }
    let error = requirements("idna\nrequests==\n", "python3.13", X86_64, With::Neither).err().unwrap();
    assert!(error.to_string().contains("requirements.txt:2:"), "{error}");
    let error = requirements("idna\n", "python3.13", X86_64, With::Neither).err().unwrap();
    assert!(error.to_string().contains("neither uv nor pip") && error.hints()[0].contains("install uv"), "{error}");
}

const PYPROJECT: &str = r#"
[project]
name = "demo"
version = "0.1.0"
requires-python = ">=3.10"
dependencies = ["requests[socks]>=2", "tomli; python_version < '3.11'", "numpy"]
[project.optional-dependencies]
extra = ["attrs"]
[dependency-groups]
dev = ["iniconfig"]
"#;

fn run_uv(dir: &Path, args: &[&str]) {
    Tool::new(uv()).args(args).cwd(dir).env("UV_PYTHON_DOWNLOADS", "never").run().map_err(Error::from).unwrap();
}

#[test]
fn uv_lock_is_read_without_any_tool() {
    let dir = project(&[("pyproject.toml", PYPROJECT), ("app.py", "def handler(event, context): pass\n")]);
    run_uv(dir.path(), &["lock", "--quiet"]);
    let run = Run { with: With::Neither, locked: true, offline: false };
    let targets = [("python3.10", X86_64), ("python3.13", Arm64)];
    let folders = targets.map(|(runtime, architecture)| (dir.path(), runtime, architecture));
    let [old, new] = <[_; 2]>::try_from(run.all(&folders)).ok().unwrap().map(Result::unwrap);
    let plain: Vec<_> = old.packages.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(plain, ["certifi", "charset-normalizer", "idna", "numpy", "pysocks", "requests", "tomli", "urllib3"]);
    assert_eq!(old.resolved_by, "uv.lock");
    assert!(!new.packages.iter().any(|p| p.name == "tomli"));
    let numpy = tags(&new, "numpy");
    assert!(numpy.iter().all(|tag| tag.starts_with("cp313-cp313-manylinux") && tag.ends_with("aarch64")), "{numpy:?}");
    let none = run.one(dir.path(), "python3.9").err().unwrap();
    assert!(none.to_string().contains("leaves out python3.9"), "{none}");

    let changed = PYPROJECT.replace("\"numpy\"", "\"attrs\"");
    write_atomic(&dir.path().join("pyproject.toml"), changed.as_bytes()).unwrap();
    let error = run.one(dir.path(), "python3.13").err().unwrap();
    assert!(error.to_string().contains("needs `attrs`, which the lock does not know"), "{error}");
}

#[test]
fn pylock_gives_what_uv_lock_gives() {
    let dir = project(&[("pyproject.toml", PYPROJECT)]);
    run_uv(dir.path(), &["lock", "--quiet"]);
    let run = Run { with: With::Neither, locked: true, offline: false };
    let from_uv = run.one(dir.path(), "python3.13").unwrap();
    let export = ["export", "--quiet", "--format", "pylock.toml", "--no-dev", "--no-emit-project", "-o", "pylock.toml"];
    run_uv(dir.path(), &export);
    std::fs::remove_file(dir.path().join("uv.lock")).unwrap();
    let from_pylock = run.one(dir.path(), "python3.13").unwrap();
    assert_eq!(from_pylock.resolved_by, "pylock.toml");
    assert_eq!(bytes(&from_uv), bytes(&from_pylock));
    // Everything is in the store now.
    let offline = Run { offline: true, ..run };
    assert_eq!(names(&offline.one(dir.path(), "python3.13").unwrap()), names(&from_pylock));
}

const PACKAGE: &str = r#"
[build-system]
requires = ["setuptools>=61"]
build-backend = "setuptools.build_meta"
[project]
name = "service"
version = "0.1.0"
requires-python = ">=3.10"
dependencies = ["idna==3.10", "helper"]
[tool.uv.sources]
helper = { path = "helper", editable = true }
"#;
const HELPER: &str = r#"
[build-system]
requires = ["setuptools>=61"]
build-backend = "setuptools.build_meta"
[project]
name = "helper"
version = "2.0"
"#;

#[test]
fn a_package_with_src_is_built_with_its_path_dependencies() {
    let dir = project(&[
        ("pyproject.toml", PACKAGE),
        ("src/service/__init__.py", "def handler(event, context): return 1\n"),
        ("helper/pyproject.toml", HELPER),
        ("helper/helper.py", "X = 1\n"),
    ]);
    // Without a lock first, then with one.
    for locked in [false, true] {
        if locked {
            run_uv(dir.path(), &["lock", "--quiet"]);
        }
        let found = Run { with: With::Uv, locked, offline: false }.one(dir.path(), "python3.13").unwrap();
        assert_eq!(names(&found), ["helper 2.0", "idna 3.10", "service 0.1.0"], "{locked}");
        let all = bytes(&found);
        assert!(all.contains_key("service/__init__.py") && all.contains_key("helper.py"));
    }
}

#[test]
fn a_project_without_lock_and_a_folder_without_anything() {
    for with in BOTH {
        let text = "[project]\nname = 'a'\nversion = '1'\ndependencies = ['idna==3.10']\n";
        let dir = project(&[("pyproject.toml", text)]);
        let found = resolve(dir.path(), "python3.13", X86_64, with).unwrap();
        assert_eq!((names(&found), found.notes.len()), (vec!["idna 3.10".to_owned()], 1));
        let locked = Run { with, locked: true, offline: false };
        let error = locked.one(dir.path(), "python3.13").err().unwrap();
        assert!(error.to_string().contains("--locked"), "{error}");
        let bare = project(&[("app.py", "")]);
        assert!(locked.one(bare.path(), "python3.13").unwrap().packages.is_empty());
    }
}

#[test]
fn functions_with_the_same_requirements_are_resolved_once() {
    let dirs: Vec<_> = (0..20).map(|_| project(&[("requirements.txt", "idna==3.10\n")])).collect();
    let folders: Vec<_> = dirs.iter().map(|dir| (dir.path(), "python3.13", X86_64)).collect();
    // Each call of this stand-in for python3 adds a line to a log; pip is asked for its version and once for the report.
    let bin = tempfile::tempdir().unwrap();
    let (python, log) = (bin.path().join("python3"), bin.path().join("log"));
    let real = find_program("python3").unwrap();
    let text = format!("#!/bin/sh\necho x >> '{}'\nexec '{}' \"$@\"\n", log.display(), real.display());
    write_atomic(&python, text.as_bytes()).unwrap();
    Tool::new("chmod").arg("755").arg(&python).run().unwrap();

    let store = Store::new(bin.path().join("store"));
    let fetcher = Fetcher::new(&store, false, &Silent);
    let context = Context { store: &store, fetcher: &fetcher, reporter: &Silent, offline: false, locked: false };
    let specs: Vec<_> = folders.iter().map(|(path, runtime, _)| FunctionSpec::new("f", *path, *runtime)).collect();
    let requests: Vec<_> = specs
        .iter()
        .map(|function| Request {
            function,
            runtime: lambda::find("python3.13").unwrap(),
            architecture: X86_64,
            project_root: &function.path,
            skip: &[],
        })
        .collect();
    let all = Python::with_programs(Programs { uv: None, python: Some(python) }).resolve(&requests, &context);
    assert_eq!(all.len(), 20);
    assert!(all.into_iter().all(|found| names(&found.unwrap()) == ["idna 3.10"]));
    assert_eq!(std::fs::read_to_string(log).unwrap().lines().count(), 2);
}

#[test]
fn what_no_runtime_of_this_age_loads_is_told_with_its_tags() {
    // All wheels of numpy 2.4.6 for 3.11 want glibc 2.27; its source needs a compiler.
    for with in BOTH {
        let found = requirements("numpy==2.4.6\n", "python3.11", X86_64, with).unwrap();
        assert!(found.packages.is_empty());
        let told = &found.findings[0].message;
        assert!(told.contains("numpy 2.4.6 has no wheel that python3.11 on x86_64 can load"), "{told}");
        assert!(told.contains("up to manylinux_2_26_x86_64"), "{told}");
    }
}
