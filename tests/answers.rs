//! What tools have answered, fetched or built once is taken again, and only for the same question. The tools are real ones,
//! called through scripts that count.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod common;

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Project, Run};

const APP: &str = "def handler(event, context):\n    return 1\n";

/// Programs on a PATH of their own, each noting how it is called.
struct Counted {
    dir: tempfile::TempDir,
    path: OsString,
}

impl Counted {
    /// `programs` by name; the system's own come behind them.
    fn new(programs: &[(&str, &Path)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, real) in programs {
            let path = dir.path().join("bin").join(name);
            let log = dir.path().join("calls");
            let text = format!("#!/bin/sh\necho \"{name} $*\" >> {}\nexec {} \"$@\"\n", log.display(), real.display());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let folders = [dir.path().join("bin"), "/usr/local/bin".into(), "/usr/bin".into(), "/bin".into()];
        let path = std::env::join_paths(folders).unwrap();
        Self { dir, path }
    }

    /// How often a call had these words.
    fn calls(&self, words: &str) -> usize {
        let log = fs::read_to_string(self.dir.path().join("calls")).unwrap_or_default();
        log.lines().filter(|line| line.contains(words)).count()
    }

    fn command(&self, project: &Project, args: &[&str]) -> Command {
        let mut command = project.command(&[&["build", "-q"], args].concat());
        command.env("PATH", &self.path).env("LAMBDA_PACK_CACHE_DIR", self.dir.path().join("store"));
        for name in ["PIP_FIND_LINKS", "UV_FIND_LINKS"] {
            command.env_remove(name);
        }
        command
    }

    fn build(&self, project: &Project, args: &[&str]) -> Vec<u8> {
        self.build_as(project, &mut self.command(project, args))
    }

    fn build_as(&self, project: &Project, command: &mut Command) -> Vec<u8> {
        let run = Run::of(command, &project.path(""));
        assert_eq!(run.code, 0, "{}", run.transcript());
        fs::read(project.out("project.zip")).unwrap()
    }
}

fn real_python() -> PathBuf {
    let said = common::tool(
        "python3",
        &["-c".as_ref(), "import sys; print(sys.executable)".as_ref()],
        "apt-get install python3 python3-pip",
    );
    said.trim().into()
}

#[test]
fn npm_is_asked_once_a_day_for_the_lock_that_is_not_there() {
    let npm = Counted::new(&[("npm", &common::on_path("npm"))]);
    let project = Project::empty();
    project
        .write("index.js", "exports.handler = async () => require('ms')('1 d');\n")
        .write("package.json", r#"{"dependencies": {"ms": "^2.1.0"}}"#);
    let asked = || npm.calls("--package-lock-only");
    let first = npm.build(&project, &[]);
    assert_eq!((npm.build(&project, &[]) == first, asked()), (true, 1));
    assert!(npm.build(&project, &["--no-cache"]) == first);
    assert_eq!(asked(), 2, "--no-cache knows nothing");
    assert!(npm.build(&project, &["--offline"]) == first, "what the network has said is known without it");
    assert_eq!(asked(), 2);
    for (count, change) in [
        (3, ("package.json", r#"{"dependencies": {"ms": "2.0.0"}}"#)),
        (4, (".npmrc", "engine-strict=false\n")),
        (5, ("package.json", r#"{"name": "p", "dependencies": {"ms": "2.0.0"}}"#)),
    ] {
        project.write(change.0, change.1);
        npm.build(&project, &[]);
        npm.build(&project, &[]);
        assert_eq!(asked(), count, "{change:?}");
    }
    npm.build_as(&project, npm.command(&project, &[]).env("npm_config_engine_strict", "true"));
    assert_eq!(asked(), 6, "a variable of npm's");
    assert!(!project.path("package-lock.json").exists());
}

#[test]
fn what_install_scripts_left_is_what_they_would_leave_now() {
    let npm = Counted::new(&[("npm", &common::on_path("npm"))]);
    let project = Project::empty();
    project
        .write("index.js", "exports.handler = async () => require('made').made;\n")
        .write(
            "lib/package.json",
            r#"{"name": "made", "version": "1.0.0", "main": "made.js", "scripts": {"install": "node make.js"}}"#,
        )
        .write("lib/make.js", "require('fs').writeFileSync('made.js', `exports.made = '${process.env.CHOICE}'\\n`);\n")
        .write("package.json", r#"{"dependencies": {"made": "file:made-1.0.0.tgz"}}"#)
        .write("lambda-pack.toml", "[defaults]\nallow-scripts = ['made']\n[functions.project]\npath = '.'\n");
    for args in [&["pack", "./lib"][..], &["install", "--package-lock-only", "--ignore-scripts"]] {
        let output = Command::new("npm").args(args).current_dir(project.path("")).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    fs::remove_dir_all(project.path("lib")).unwrap();
    let ran = || npm.calls("--ignore-scripts=false");
    let first = npm.build(&project, &[]);
    assert_eq!((npm.build(&project, &[]) == first, ran()), (true, 1));
    assert_eq!((npm.build(&project, &["--no-cache"]) == first, ran()), (true, 2));
    let answer = |choice: &str| {
        npm.build_as(&project, npm.command(&project, &[]).env("CHOICE", choice));
        common::call_node(&project.unpack("project.zip").path(""), "index.handler", "{}")
    };
    assert_eq!((answer("one"), answer("two"), answer("one")), ("one".into(), "two".into(), "one".into()));
    assert_eq!(ran(), 4, "each environment is another question");
    // Without the permission it is what was published, and does not load.
    project.write("lambda-pack.toml", "[functions.project]\npath = '.'\n");
    npm.build(&project, &[]);
    assert!(!project.unpack("project.zip").files().contains(&"node_modules/made/made.js".to_owned()));
}

#[test]
fn a_python_project_is_built_once_for_what_its_build_sees() {
    let uv = Counted::new(&[
        ("uv", &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.tools/bin/uv")),
        ("python3", &real_python()),
    ]);
    let project = Project::empty();
    let manifest = "[project]\nname = 'own'\nversion = '1.0'\n[build-system]\nrequires = ['setuptools']\nbuild-backend = 'setuptools.build_meta'\n";
    project
        .write("app.py", "import own\n\ndef handler(event, context):\n    return own.WHAT\n")
        .write("requirements.txt", "./lib\n")
        .write("lib/pyproject.toml", manifest)
        .write("lib/setup.py", "import os\nfrom setuptools import setup\nopen('src/own/extra.txt', 'w').write(os.environ.get('CHOICE', ''))\nsetup(package_data={'own': ['*.txt']})\n")
        .write("lib/src/own/__init__.py", "WHAT = 1\n");
    let built = || uv.calls("build --wheel");
    let what = || {
        let unpacked = project.unpack("project.zip");
        let extra = fs::read_to_string(unpacked.path("own/extra.txt")).unwrap();
        (fs::read_to_string(unpacked.path("own/__init__.py")).unwrap(), extra)
    };
    let first = uv.build(&project, &[]);
    assert_eq!((uv.build(&project, &[]) == first, built()), (true, 1));
    assert_eq!((uv.build(&project, &["--no-cache"]) == first, built()), (true, 2));
    // What is beside the project is no part of it.
    project.write("other.txt", "1");
    uv.build(&project, &[]);
    assert_eq!(built(), 2);
    project.write("lib/src/own/__init__.py", "WHAT = 2\n");
    uv.build(&project, &[]);
    assert_eq!((what(), built()), (("WHAT = 2\n".into(), String::new()), 3));
    project.write("lib/src/own/new.txt", "new");
    uv.build(&project, &[]);
    assert!(project.unpack("project.zip").path("own/new.txt").exists() && built() == 4);
    uv.build_as(&project, uv.command(&project, &[]).env("CHOICE", "b"));
    assert_eq!((what().1, built()), ("b".to_owned(), 5));
    assert!(!project.path("lib/build").exists() && !project.path("lib/src/own/extra.txt").exists());
}

#[test]
fn pip_is_asked_once_a_day() {
    let python = Counted::new(&[("python3", &real_python())]);
    let project = Project::empty();
    project.write("app.py", APP).write("requirements.txt", "idna>=3\n");
    let asked = || python.calls("--dry-run");
    let first = python.build(&project, &[]);
    assert_eq!((python.build(&project, &[]) == first, asked()), (true, 1));
    // Another line of code alone: what was packed does not stand, the answer does.
    project.write("app.py", &format!("{APP}# more\n"));
    python.build(&project, &[]);
    assert_eq!(asked(), 1);
    assert!(python.build(&project, &["--no-cache"]) != first && asked() == 2);
    project.write("requirements.txt", "idna>=3,<3.10\n");
    python.build(&project, &[]);
    let runtime = ["--runtime", "python3.12"];
    python.build(&project, &runtime);
    assert_eq!(
        (python.build(&project, &runtime) == python.build(&project, &["--no-cache", runtime[0], runtime[1]]), asked()),
        (true, 5)
    );
    python.build_as(&project, python.command(&project, &[]).env("PIP_TIMEOUT", "20"));
    assert_eq!(asked(), 6, "a variable of pip's");
}

/// A Python whose pip keeps bodies beside heads, as all do since 23.3.
fn python_with_cache() -> PathBuf {
    let is_new = |python: &PathBuf| {
        let output = Command::new(python).args(["-m", "pip", "--version"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = said.split_whitespace().nth(1).unwrap_or_default();
        let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (23, 3)
    };
    let others = common::pythons().into_iter().map(|(_, python)| python).rev();
    let found = std::iter::once(common::server::python()).chain(others).find(is_new);
    found.expect("no Python with pip 23.3 or newer: run `make tools`")
}

/// Serves one archive to whoever asks.
fn serve(body: Vec<u8>) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            lines.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
            let date = "Date: Tue, 24 Nov 2026 10:00:00 GMT\r\nCache-Control: max-age=365000000, immutable, public";
            let length = body.len();
            let head = format!("HTTP/1.1 200 OK\r\n{date}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    host
}

#[test]
fn wheels_that_pip_has_fetched_are_not_fetched_again() {
    let python = python_with_cache();
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let pip = |args: &[&str]| {
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "download", "--no-deps", "--quiet", "--dest"]).arg(folder.path().join("out")).args(args);
        pip.env("PIP_CACHE_DIR", &cache).env("NO_PROXY", "127.0.0.1").env_remove("PIP_FIND_LINKS");
        let output = pip.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    // From a server that lets it be kept, as indexes do.
    pip(&["idna==3.10"]);
    let wheel = fs::read(folder.path().join("out/idna-3.10-py3-none-any.whl")).unwrap();
    fs::remove_dir_all(folder.path().join("out")).unwrap();
    let hash = lambda_pack::store::sha256(&wheel).hex();
    let host = serve(wheel);
    let url = format!("http://{host}/Idna/idna-3.10-py3-none-any.whl");
    pip(&["--trusted-host", &host, &url]);

    let project = Project::empty();
    let lock = format!(
        "lock-version = '1.0'\ncreated-by = 't'\n[[packages]]\nname = 'idna'\nversion = '3.10'\nwheels = [{{url = '{url}', hashes = {{sha256 = '{hash}'}}}}]\n"
    );
    project.write("app.py", APP).write("pylock.toml", &lock);
    let build = |store: &str, cache: &Path| {
        let mut command = project.command(&["build", "--offline", "-q"]);
        command.env("LAMBDA_PACK_CACHE_DIR", folder.path().join(store)).env("PIP_CACHE_DIR", cache);
        Run::of(&mut command, &project.path(""))
    };
    let without = build("one", &folder.path().join("none"));
    assert!(without.code == 1 && without.stderr.contains("is not in the store"), "{}", without.transcript());
    let with = build("two", &cache);
    assert_eq!(with.code, 0, "{}", with.transcript());
    assert!(project.unpack("project.zip").path("idna/__init__.py").exists());
    // A body that is not what the lock names is not taken.
    for entry in walkdir::WalkDir::new(&cache).into_iter().map(Result::unwrap) {
        if entry.path().extension().is_some_and(|extension| extension == "body") {
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o644)).unwrap();
            let mut bytes = fs::read(entry.path()).unwrap();
            bytes.push(0);
            fs::write(entry.path(), bytes).unwrap();
        }
    }
    fs::remove_dir_all(project.path("target")).unwrap();
    assert_eq!(build("three", &cache).code, 1);
}
