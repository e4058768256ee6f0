//! Broken input and a hostile world: an answer that says what to do, and never half an artifact.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Project, Run, binary};

const APP: &str = "def handler(event, context):\n    return 1\n";

/// Bytes that do not shrink, without a source of randomness.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(length)
    .collect()
}

/// Files in the output folder but the lock and what the next build may know.
fn left(project: &Project) -> Vec<String> {
    let entries = std::fs::read_dir(project.out("")).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|e| e.file_name().into_string().unwrap()).filter(|n| !n.starts_with(".lambda-pack.")).collect();
    names.sort();
    names
}

#[test]
fn a_full_disk_leaves_nothing_half_written() {
    let project = Project::empty();
    project.write("app.py", APP);
    std::fs::write(project.path("noise.bin"), noise(3 << 20)).unwrap();
    std::fs::create_dir(project.path("out")).unwrap();
    // A file system of 1 MB that only this process sees.
    let script = "mount -t tmpfs -o size=1m tmpfs out || exit 77; \"$@\"; code=$?; ls -A out; exit $code";
    let mut command = Command::new("unshare");
    command.arg("--mount");
    // Root needs no user namespace, which a chroot could not have.
    if common::tool("id", &["-u".as_ref()], "apt-get install coreutils").trim() != "0" {
        command.arg("--map-root-user");
    }
    command.args(["sh", "-c", script, "sh", env!("CARGO_BIN_EXE_cargo-lambda-pack"), "build", "--out-dir", "out"]);
    command
        .env("LAMBDA_PACK_CACHE_DIR", common::store())
        .env("PATH", common::path_with_tools())
        .current_dir(project.path(""));
    let run = Run::of(&mut command, &project.path(""));
    assert_ne!(run.code, 77, "a tmpfs cannot be mounted in a user namespace here: {}", run.stderr);
    assert_eq!(run.code, 1, "{}", run.transcript());
    assert!(
        run.stderr.contains("No space left on device") && run.stderr.contains("hint: free some space"),
        "{}",
        run.stderr
    );
    assert_eq!(run.stdout, ".lambda-pack.lock\n");
}

#[test]
fn a_killed_build_leaves_nothing_under_a_final_name() {
    let project = Project::empty();
    project.write("app.py", APP);
    std::fs::write(project.path("noise.bin"), noise(150 << 20)).unwrap();
    let mut child = project.command(&["build"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    while !left(&project).iter().any(|n| n.ends_with(".partial")) {
        assert!(
            start.elapsed() < Duration::from_secs(60) && child.try_wait().unwrap().is_none(),
            "no temporary file was seen"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let after = left(&project);
    assert!(after.len() == 1 && after[0].ends_with(".partial"), "{after:?}");

    // The next build clears up, and its result is whole.
    std::fs::remove_file(project.path("noise.bin")).unwrap();
    project.done(&["build"]);
    assert_eq!(left(&project), ["manifest.json", "project.zip"]);
}

#[test]
fn an_interrupted_build_clears_up_itself() {
    let project = Project::empty();
    project.write("app.py", APP);
    std::fs::write(project.path("noise.bin"), noise(150 << 20)).unwrap();
    let mut child = project.command(&["build"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !left(&project).iter().any(|n| n.ends_with(".partial")) {
        assert!(child.try_wait().unwrap().is_none(), "no temporary file was seen");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(Command::new("sh").args(["-c", &format!("kill -INT {}", child.id())]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(left(&project), Vec::<String>::new());
}

#[test]
fn what_cannot_be_read_is_named() {
    let project = Project::empty();
    project.write("app.py", APP).write("locked/x.txt", "").write("secret.txt", "");
    let mode =
        |path: &str, mode| std::fs::set_permissions(project.path(path), std::fs::Permissions::from_mode(mode)).unwrap();
    mode("locked", 0o000);
    mode("secret.txt", 0o000);
    // Root may read anything unless it gives that up.
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-dac_override,-dac_read_search", env!("CARGO_BIN_EXE_cargo-lambda-pack"), "build"]);
    let me = common::tool("id", &["-u".as_ref()], "apt-get install coreutils");
    if me.trim() != "0" {
        command = binary();
        command.arg("build");
    }
    command.env("LAMBDA_PACK_CACHE_DIR", common::store()).current_dir(project.path(""));
    let run = Run::of(&mut command, &project.path(""));
    mode("locked", 0o755);
    assert_eq!(run.code, 3, "{}", run.transcript());
    for path in ["locked", "secret.txt"] {
        assert!(
            run.stderr.contains(&format!("error[path-unreadable] project: {path}: cannot be read: Permission denied")),
            "{}",
            run.stderr
        );
    }
    assert_eq!(left(&project), ["manifest.json"]);
}

#[test]
fn a_link_that_leaves_the_project_is_refused() {
    let project = Project::empty();
    project.write("app.py", APP);
    std::os::unix::fs::symlink("/etc/hostname", project.path("host")).unwrap();
    let run = project.run(&["build"]);
    assert_eq!(run.code, 3);
    assert!(
        run.stderr.contains("error[symlink-escapes] project: host: the link leads to `/etc/hostname`"),
        "{}",
        run.stderr
    );
}

/// What is broken, the files of the project, and the place that the error must name.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

#[test]
fn syntax_errors_name_file_line_and_column() {
    let cases: &[Case<'_>] = &[
        ("config", &[("app.py", APP), ("lambda-pack.toml", "[functions.a]\npath = \n")], "lambda-pack.toml:2:"),
        (
            "package.json",
            &[("index.js", "exports.handler = 1"), ("package.json", "{\n  \"name\": \"x\",\n  oops\n}")],
            "package.json:3:",
        ),
        (
            "npm's lock",
            &[
                ("index.js", "exports.handler = 1"),
                ("package.json", "{\"dependencies\": {\"a\": \"1\"}}"),
                ("package-lock.json", "{\n\"lockfileVersion\": 3,\n["),
            ],
            "package-lock.json:3:",
        ),
        (
            "pyproject",
            &[("app.py", APP), ("pyproject.toml", "[project]\nname = \"x\"\ndependencies = [\n  \"a\"\n  \"b\"\n]\n")],
            "pyproject.toml:5:",
        ),
        (
            "uv's lock",
            &[
                ("app.py", APP),
                ("pyproject.toml", "[project]\nname = \"x\"\nversion = \"1\"\n"),
                ("uv.lock", "version = 1\n[[package]\n"),
            ],
            "uv.lock:2:",
        ),
        ("requirements", &[("app.py", APP), ("requirements.txt", "requests\n\n===oops\n")], "requirements.txt"),
        (
            "Cargo.toml",
            &[("Cargo.toml", "[package]\nname = \"x\"\nversion = \n"), ("src/main.rs", "fn main() {}")],
            "Cargo.toml",
        ),
    ];
    for (what, files, place) in cases {
        let project = Project::empty();
        for (path, text) in *files {
            project.write(path, text);
        }
        let run = project.run(&["build"]);
        assert!(run.code == 2 || run.code == 1, "{what}: {}", run.transcript());
        assert!(run.stderr.contains(place) && run.stderr.starts_with("error:"), "{what}: {}", run.stderr);
        assert_eq!(left(&project), Vec::<String>::new(), "{what}");
    }
}

#[test]
fn a_version_that_does_not_exist_is_named() {
    let python = Project::empty();
    python.write("app.py", APP).write("requirements.txt", "requests==999.0\n");
    let run = python.run(&["build"]);
    assert_eq!(run.code, 2, "the file asks for it: {}", run.transcript());
    assert!(run.stderr.contains("requests==999.0"), "{}", run.stderr);

    let node = Project::empty();
    node.write("index.js", "exports.handler = 1")
        .write("package.json", r#"{"dependencies": {"is-number": "999.0.0"}}"#);
    let run = node.run(&["build"]);
    assert_eq!(run.code, 1, "{}", run.transcript());
    assert!(run.stderr.contains("is-number") && run.stderr.contains("999.0.0"), "{}", run.stderr);
}

#[test]
fn missing_tools_are_named_with_what_installs_them() {
    let nothing = tempfile::tempdir().unwrap();
    let without_tools = |project: &Project| {
        let mut command = project.command(&["build"]);
        command.env("PATH", nothing.path()).env_remove("CARGO");
        Run::of(&mut command, &project.path(""))
    };
    let python = Project::empty();
    python.write("app.py", APP).write("requirements.txt", "requests\n");
    let run = without_tools(&python);
    assert_eq!(run.code, 1, "{}", run.transcript());
    assert!(run.stderr.contains("uv") && run.stderr.contains("hint:"), "{}", run.stderr);

    let node = Project::empty();
    node.write("index.js", "exports.handler = 1").write("package.json", r#"{"dependencies": {"is-number": "7.0.0"}}"#);
    let run = without_tools(&node);
    assert_eq!(run.code, 1, "{}", run.transcript());
    assert!(run.stderr.contains("`npm` was not found") && run.stderr.contains("hint:"), "{}", run.stderr);

    let rust = Project::copy_of("monorepo/crates/clock");
    let run = without_tools(&rust);
    assert_eq!(run.code, 1, "{}", run.transcript());
    assert!(run.stderr.contains("cargo") && run.stderr.contains("hint:"), "{}", run.stderr);
}

#[test]
fn offline_says_what_is_missing() {
    let project = Project::copy_of("monorepo/services/quote");
    let mut command = project.command(&["build", "--offline", "--no-cache"]);
    let run = Run::of(&mut command, &project.path(""));
    assert_eq!(run.code, 1, "{}", run.transcript());
    assert!(
        run.stderr.contains("zod 3.25.76 is not in the store, and `--offline` forbids fetching it"),
        "{}",
        run.stderr
    );
    // Once it is there, no network is needed.
    project.done(&["build"]);
    project.done(&["build", "--offline"]);
}

#[test]
fn a_function_that_is_too_large_names_what_takes_the_most() {
    let project = Project::empty();
    let code = "import numpy, pandas, pyarrow\ndef handler(event, context):\n    return pyarrow.table({'a': numpy.arange(3)}).num_rows\n";
    let pins = "numpy==2.5.5\npandas==3.1.1\npyarrow==26.0.1\npython-dateutil==4.0.0\ntzdata==2026.6\n";
    project.write("app.py", code).write("requirements.txt", pins);
    let run = project.run(&["build", "--runtime", "python3.13", "--format", "json"]);
    assert_eq!(run.code, 3, "{}", run.transcript());
    let manifest: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let finding = manifest["findings"].as_array().unwrap().iter().find(|f| f["rule"] == "unzipped-too-large").unwrap();
    let message = finding["message"].as_str().unwrap();
    assert!(message.starts_with("Unzipped size must be smaller than 262144000 bytes"), "{message}");
    assert!(
        message.contains("taken by pyarrow 26.0.1")
            && message.contains("pandas 3.1.1")
            && message.contains("numpy 2.5.5"),
        "{message}"
    );
    assert_eq!(left(&project), ["manifest.json"]);
    assert!(manifest["functions"][0]["unzipped_total_bytes"].as_u64().unwrap() > 262_144_000);
}

/// A lock that names what is not in the project.
fn uv_lock_with(source: &str, wheels: &str) -> Run {
    let project = Project::empty();
    project
        .write("app.py", APP)
        .write("pyproject.toml", "[project]\nname = 'f'\nversion = '1'\ndependencies = ['a']\n");
    project.write(
        "uv.lock",
        &format!(
            "version = 1\n[[package]]\nname = 'f'\nversion = '1'\nsource = {{ virtual = '.' }}\ndependencies = [{{ name = 'a' }}]\n\
             [package.metadata]\nrequires-dist = [{{ name = 'a' }}]\n[[package]]\nname = 'a'\nversion = '1'\nsource = {source}\n{wheels}\n"
        ),
    );
    project.run(&["build", "--offline"])
}

#[test]
fn a_lock_names_no_files_from_outside_the_project() {
    let digest = "0".repeat(64);
    let wheel = |url: &str| {
        uv_lock_with(
            "{ registry = 'https://x' }",
            &format!("wheels = [{{ url = '{url}', hash = 'sha256:{digest}', filename = 'a-1-py3-none-any.whl' }}]"),
        )
    };
    for run in [
        wheel("file:///etc/passwd"),
        wheel("file:////etc/passwd"),
        wheel("file:///%65tc/passwd"),
        uv_lock_with("{ path = '/etc/a-1-py3-none-any.whl' }", ""),
        uv_lock_with("{ directory = '../..' }", ""),
        uv_lock_with(&format!("{{ git = 'file:///srv/repository#{}' }}", "0".repeat(40)), ""),
    ] {
        assert_eq!(run.code, 2, "{}", run.stderr);
        assert!(run.stderr.contains("uv.lock: ") && run.stderr.contains("outside the project"), "{}", run.stderr);
    }
}

#[test]
fn a_build_in_a_hook_of_git_leaves_the_repository_alone() {
    let project = Project::empty();
    let git = |folder: &str, args: &[&str]| {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=x", "-c", "user.email=x@x"]).args(args).current_dir(project.path(folder));
        let out = command.output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    };
    project.write("dep/x.c", "").write("dep/pyproject.toml", "build-system.build-backend = 'mesonpy'\n");
    git("dep", &["init", "--quiet"]);
    git("dep", &["add", "."]);
    git("dep", &["commit", "--quiet", "-m", "1"]);
    let commit = git("dep", &["rev-parse", "HEAD"]);
    git("", &["init", "--quiet"]);
    git("", &["commit", "--quiet", "--allow-empty", "-m", "1"]);
    let before = git("", &["symbolic-ref", "HEAD"]);
    project.write("app.py", APP).write(
        "pylock.toml",
        &format!(
            "lock-version = '1.0'\n[[packages]]\nname = 'a'\nversion = '1'\n\
             vcs = {{ type = 'git', path = 'dep', commit-id = '{commit}' }}\n"
        ),
    );
    let mut command = project.command(&["build", "--offline"]);
    let run = Run::of(command.env("GIT_DIR", project.path(".git")), &project.path(""));
    assert_eq!(run.code, 3, "{}", run.stderr);
    // Which of the two depends on whether there is a Python to build with.
    let is_told =
        ["its build backend compiles", "its source has native code"].iter().any(|why| run.stderr.contains(why));
    assert!(is_told, "{}", run.stderr);
    assert_eq!(git("", &["symbolic-ref", "HEAD"]), before);
}

#[test]
fn one_worker_can_wait_for_an_archive_and_check_it() {
    let project = Project::empty();
    project.write("one/app.py", APP).write("one/requirements.txt", "a==1\n");
    project.write("two/app.py", APP).write("two/requirements.txt", "a==1\n# two\n");
    project.write(
        "lambda-pack.toml",
        "defaults.runtime = 'python3.13'\nfunctions.one.path = 'one'\nfunctions.two.path = 'two'\n",
    );
    let tar = "mkdir a-1 && echo x > a-1/x.c && \
               printf '[build-system]\\nbuild-backend = \"mesonpy\"\\n' > a-1/pyproject.toml && tar czf a-1.tar.gz a-1 && \
               sha256sum a-1.tar.gz";
    let made = Command::new("sh").args(["-c", tar]).current_dir(project.path("..")).output().unwrap();
    let digest = String::from_utf8(made.stdout).unwrap()[..64].to_owned();
    let item = |download: String| {
        format!(
            "{{\"install\":[{{\"download_info\":{download},\"requested\":true,\"metadata\":{{\"name\":\"a\",\"version\":\"1\"}}}}],\"environment\":{{}}}}"
        )
    };
    let url = project.path("..").canonicalize().unwrap().join("a-1.tar.gz");
    let source = item(format!(
        "{{\"url\":\"file://{}\",\"archive_info\":{{\"hashes\":{{\"sha256\":\"{digest}\"}}}}}}",
        url.display()
    ));
    let stub = item("{\"url\":\"file:///a-1-py3-none-any.whl\"}".to_owned());
    // A pip that finds a source only, until a wheel is offered beside the index.
    let pip = format!(
        "#!/bin/sh\ncase \"$*\" in\n*pip.__version__*) echo 24.0; exit;;\n*--no-binary*) echo '{source}'; exit;;\nesac\n\
         while [ $# -gt 0 ]; do [ \"$1\" = --find-links ] && links=$2; shift; done\n\
         if ls $links/*.whl >/dev/null 2>&1; then echo '{stub}'; else echo 'ERROR: No matching distribution found for a==1' >&2; exit 1; fi\n"
    );
    project.write("../bin/python3", &pip);
    std::fs::set_permissions(project.path("../bin/python3"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("timeout");
    command.args(["60", env!("CARGO_BIN_EXE_cargo-lambda-pack"), "build", "--jobs", "1", "--no-cache"]);
    let path = format!("{}:/usr/bin:/bin", project.path("../bin").display());
    command.env("PATH", path).env("LAMBDA_PACK_TODAY", common::TODAY).current_dir(project.path(""));
    let out = command.output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(3), "{said}");
    assert!(said.contains("no-compatible-wheel"), "{said}");
}

#[test]
fn an_output_folder_that_is_the_functions_own_is_refused() {
    let project = Project::empty();
    project.write("app.py", APP);
    let run = project.run(&["build", "--out-dir", "."]);
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(run.stderr.contains("is the folder of function"), "{}", run.stderr);
    assert!(!project.path("project.zip").exists());
}

#[test]
fn a_manifest_never_speaks_of_other_zips() {
    let project = Project::empty();
    project.write("app.py", APP).build::<&str>(&[]);
    std::fs::remove_file(project.out("project.zip")).unwrap();
    std::fs::create_dir(project.out("project.zip")).unwrap();
    let run = project.run(&["build"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert_eq!(left(&project), ["project.zip"]);
}

#[test]
fn findings_do_not_tell_where_the_project_lies() {
    let manifest = |project: &Project| {
        project.write("app.py", APP).write("other/x", "");
        std::os::unix::fs::symlink("/etc/hostname", project.path("out-of-it")).unwrap();
        std::os::unix::fs::symlink("..", project.path("other/loop")).unwrap();
        let run = project.run(&["build", "--format", "json"]);
        assert_eq!(run.code, 3, "{}", run.stderr);
        let mut json: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
        json["timings_ms"].take();
        json
    };
    let first = manifest(&Project::empty());
    assert_eq!(first, manifest(&Project::empty()));
    assert_eq!(first["findings"].as_array().unwrap().len(), 2, "{first:#}");
}

#[test]
fn a_full_standard_output_is_a_failure() {
    let project = Project::empty();
    project.write("app.py", APP);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let status = project.command(&["build", "--format", "json"]).stdout(full).stderr(Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(1));
}
