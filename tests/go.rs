//! From a Go module to `bootstrap`s that ask a Runtime API for work.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::runtime_api::invoke;
use common::{Project, Run, copy, fixture};

/// A module whose only program depends on nothing.
const SMALL: &[(&str, &str)] = &[
    ("go.mod", "module example.com/small\n\ngo 1.18\n"),
    ("main.go", "package main\n\nfunc main() { println(\"small\") }\n"),
];

fn project(files: &[(&str, &str)]) -> Project {
    let project = Project::empty();
    for (name, text) in files {
        project.write(name, text);
    }
    project
}

/// What is built only when it has rested is known the next time.
fn rest() {
    std::thread::sleep(Duration::from_millis(2100));
}

fn machine(program: &Path) -> u16 {
    let bytes = fs::read(program).unwrap();
    assert!(bytes.starts_with(b"\x7fELF"));
    u16::from_le_bytes([bytes[18], bytes[19]])
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn programs_are_the_same_in_any_folder_and_answer() {
    let first = Project::copy_of("go-module");
    let run = first.done(&["build"]);
    assert_eq!(run.stdout.matches("\n  go build\n").count(), 2, "{}", run.stdout);
    assert!(
        run.stdout.contains("program `example.com/greetings/cmd/api` (`cmd/api`), built for x86_64 by go1."),
        "{}",
        run.stdout
    );
    assert!(!first.out("tool.zip").exists(), "a program that does not use Lambda is no function");

    let elsewhere = tempfile::tempdir().unwrap();
    let second = elsewhere.path().join("mit Leerzeichen, é und 日本");
    copy(&fixture("go-module"), &second);
    let out = elsewhere.path().join("out");
    // One alone, for another reason than that it is detected.
    fs::write(
        second.join("lambda-pack.toml"),
        "[functions.api]\npath = 'cmd/api'\n[functions.worker]\npath = '.'\nbin = 'worker'\n",
    )
    .unwrap();
    for name in ["api", "worker"] {
        let mut command = common::binary();
        command.args(["build", "--function", name, "--out-dir"]).arg(&out).current_dir(&second);
        let run = Run::of(&mut command, &second);
        assert_eq!(run.code, 0, "{}", run.transcript());
        let zip = format!("{name}.zip");
        assert!(
            fs::read(out.join(&zip)).unwrap() == fs::read(first.out(&zip)).unwrap(),
            "{name} depends on its folder"
        );
    }
    if common::host_architecture() == "x86_64" {
        let answer = |name: &str, event| invoke(&first.unpack(name).path("bootstrap"), event);
        assert_eq!(answer("api.zip", r#"{"name": "you"}"#), r#"{"greeting":"hello you"}"#);
        assert_eq!(answer("worker.zip", r#"{"Records": [1, 2]}"#), r#"{"records":2}"#);
    }
    let unpacked = first.unpack("api.zip");
    assert_eq!(unpacked.files(), ["bootstrap"]);
    let bytes = fs::read(unpacked.path("bootstrap")).unwrap();
    assert!(!contains(&bytes, ".symtab") && !contains(&bytes, &first.path("").display().to_string()));
    assert!(!contains(&bytes, "net/rpc"), "`lambda.norpc` leaves it out");
}

#[test]
fn only_what_a_program_is_made_of_is_built_again() {
    let project = Project::copy_of("go-module");
    project.write("lambda-pack.toml", "[functions.api]\npath = 'cmd/api'\n");
    rest();
    let builds = |project: &Project| project.done(&["build", "-v"]).stderr.matches("running `go build").count();
    assert_eq!(builds(&project), 1);
    assert_eq!(builds(&project), 0);
    let zip = |project: &Project| fs::read(project.out("api.zip")).unwrap();
    let before = zip(&project);
    // Of another program, and of nobody.
    project.write("cmd/worker/more.go", "package main\n\nvar more = 1\n");
    project.write("README.md", "more\n");
    assert_eq!(builds(&project), 0);
    for (name, text) in [
        ("cmd/api/texts/hello.txt", "good morning\n"),
        ("internal/greet/greet.go", "package greet\n\nfunc With(a, b string) string { return b + a }\n"),
        ("cmd/api/added.go", "package main\n\nfunc init() { println(\"added\") }\n"),
    ] {
        project.write(name, text);
        let before = zip(&project);
        assert_eq!(builds(&project), 1, "{name}");
        assert!(zip(&project) != before, "{name}");
    }
    assert!(zip(&project) != before);
}

#[test]
fn the_other_processor_needs_nothing_more() {
    let project = project(SMALL);
    let other = if common::host_architecture() == "arm64" { ("x86_64", 62) } else { ("arm64", 183) };
    project.done(&["build", "--runtime", "provided.al2023", "--arch", other.0]);
    assert_eq!(machine(&project.unpack("project.zip").path("bootstrap")), other.1);
}

#[test]
fn modules_beside_a_module_are_found_by_a_workspace_or_replace() {
    let main = "package main\n\nimport \"example.com/shared\"\n\nfunc main() { println(shared.Word) }\n";
    let shared = |word: &str| format!("package shared\n\nconst Word = \"{word}\"\n");
    let replaced = "module example.com/b\n\ngo 1.18\n\nrequire example.com/shared v0.0.0\n\nreplace example.com/shared => ../../shared\n";
    let project = project(&[
        ("go.work", "go 1.18\n\nuse (\n\t./services/a\n\t./shared\n)\n"),
        ("shared/go.mod", "module example.com/shared\n\ngo 1.18\n"),
        ("shared/shared.go", &shared("one")),
        ("services/a/go.mod", "module example.com/a\n\ngo 1.18\n"),
        ("services/a/cmd/worker/main.go", main),
        ("alone/b/go.mod", replaced),
        ("alone/b/cmd/worker/main.go", main),
        ("lambda-pack.toml", "[functions.a]\npath = 'services/a/cmd/worker'\n[functions.b]\npath = 'alone/b'\n"),
    ]);
    // That of `alone/b` is not in the workspace, as its own message would say.
    let run = project.run(&["build", "--function", "b"]);
    assert_eq!(run.code, 1, "{}", run.transcript());
    assert!(run.stderr.contains("go.work"), "{}", run.stderr);
    let mut command = project.command(&["build", "--function", "b"]);
    command.env("GOWORK", "off");
    assert_eq!(Run::of(&mut command, &project.path("")).code, 0);
    let said = |project: &Project, name: &str| {
        let unpacked = project.unpack(name);
        String::from_utf8(std::process::Command::new(unpacked.path("bootstrap")).output().unwrap().stderr).unwrap()
    };
    rest();
    project.done(&["build", "--function", "a"]);
    if common::host_architecture() == "x86_64" {
        assert_eq!((said(&project, "a.zip"), said(&project, "b.zip")), ("one\n".to_owned(), "one\n".to_owned()));
    }
    let before = fs::read(project.out("a.zip")).unwrap();
    project.write("shared/shared.go", &shared("two"));
    project.done(&["build", "--function", "a"]);
    assert!(fs::read(project.out("a.zip")).unwrap() != before, "the module beside it is part of it");
}

#[test]
fn a_build_that_fails_says_what_go_said_once() {
    let project = project(SMALL);
    project.write("main.go", "package main\n\nfunc main() { noSuchFunction() }\n");
    project.write("lambda-pack.toml", "[functions.a]\npath = '.'\n[functions.b]\npath = '.'\n");
    let run = project.run(&["build"]);
    assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{}", run.transcript());
    assert!(
        run.stderr.starts_with("error: functions `a`, `b`: `go build` failed:\n  # example.com/small\n  ./main.go:3:15: undefined: noSuchFunction\n"),
        "{}",
        run.stderr
    );
    assert!(!project.out("a.zip").exists());
}

#[test]
fn a_lock_that_lacks_something_is_completed_elsewhere_or_refused() {
    let project = Project::copy_of("go-module");
    fs::remove_file(project.path("go.sum")).unwrap();
    let run = project.done(&["build", "--function", "worker"]);
    assert!(run.stdout.contains("`go.sum` lacks digests of modules"), "{}", run.stdout);
    assert!(!project.path("go.sum").exists(), "nothing is written into the project");
    let run = project.run(&["build", "--function", "worker", "--locked"]);
    assert_eq!(run.code, 2, "{}", run.transcript());
    assert!(run.stderr.contains("`go.sum` does not agree with the sources and `go.mod`:\n"), "{}", run.stderr);
    assert!(run.stderr.contains("missing go.sum entry") && run.stderr.contains("run `go mod tidy`"), "{}", run.stderr);
    // With it, nothing is missing.
    copy(&fixture("go-module"), &project.path(""));
    project.done(&["build", "--function", "worker", "--locked", "--offline"]);
}

/// A module proxy that wants a password; what it was asked.
fn private_proxy() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            while reader.read_line(&mut line).unwrap_or(0) > 2 {
                line.clear();
            }
            let _ = write!(stream, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    address.to_string()
}

#[test]
fn a_private_proxy_and_no_network_are_told_apart() {
    let project = project(SMALL);
    project.write("go.mod", "module example.com/small\n\ngo 1.18\n\nrequire example.com/private v1.0.0\n");
    project.write("main.go", "package main\n\nimport \"example.com/private\"\n\nfunc main() { private.Do() }\n");
    let cache = tempfile::tempdir().unwrap();
    let run = |user: &str, args: &[&str]| {
        let mut command = project.command(&["build", "--runtime", "provided.al2023"]);
        command.args(args).env("GOPROXY", format!("http://{user}{}", private_proxy()));
        command.env("GOMODCACHE", cache.path()).env("GONOSUMDB", "example.com").env("GOFLAGS", "-modcacherw");
        Run::of(&mut command, &project.path(""))
    };
    let refused = run("", &[]);
    assert_eq!(refused.code, 1, "{}", refused.transcript());
    assert!(refused.stderr.contains("401 Unauthorized") && refused.stderr.contains("`.netrc`"), "{}", refused.stderr);
    let named = run("me:secret@", &[]);
    assert!(named.code == 1 && !named.transcript().contains("secret"), "{}", named.transcript());
    let offline = run("", &["--offline"]);
    assert_eq!(offline.code, 1, "{}", offline.transcript());
    assert!(offline.stderr.contains("run `go mod download` once with the network"), "{}", offline.stderr);
}

#[test]
fn tags_and_linker_flags_of_the_config_and_of_goflags_hold() {
    let project = project(SMALL);
    project.write("main.go", "package main\n\nvar version, mine, theirs = \"none\", \"\", \"\"\n\nfunc main() { println(version + mine + theirs) }\n");
    project.write("mine.go", "//go:build mine\n\npackage main\n\nfunc init() { mine = \"+mine\" }\n");
    project.write("theirs.go", "//go:build theirs\n\npackage main\n\nfunc init() { theirs = \"+theirs\" }\n");
    project.write(
        "lambda-pack.toml",
        &format!(
            "[defaults]\ngo = {{ tags = ['mine'], ldflags = '-X main.version=v1' }}\n[functions.f]\npath = '.'\narchitecture = '{}'\n",
            common::host_architecture()
        ),
    );
    let mut command = project.command(&["build"]);
    command.env("GOFLAGS", "-tags=theirs -mod=mod");
    let run = Run::of(&mut command, &project.path(""));
    assert_eq!(run.code, 0, "{}", run.transcript());
    let output = std::process::Command::new(project.unpack("f.zip").path("bootstrap")).output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "v1+mine+theirs\n");
    // What not all of Lambda's processors have.
    command.env("GOAMD64", "v3").env("GOARM64", "v9.0");
    let run = Run::of(&mut command, &project.path(""));
    assert!(
        run.stderr.contains("warning[cpu-level-too-high]") || run.stderr.contains("cpu-level-too-high"),
        "{}",
        run.stderr
    );
}

#[test]
fn c_is_compiled_for_the_functions_glibc() {
    let cross = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.tools/cross");
    assert!(cross.join("zig").exists(), "zig is missing: run `make tools`");
    let build = || {
        let project = project(SMALL);
        project.write("main.go", "package main\n\n// static int twice(int n) { return 2 * n; }\nimport \"C\"\n\nfunc main() { println(C.twice(21)) }\n");
        project.write("lambda-pack.toml", "[functions.f]\npath = '.'\nruntime = 'provided.al2'\ngo = { cgo = true }\n");
        let mut command = project.command(&["build", "--arch", common::host_architecture()]);
        command.env("PATH", common::with_path(&cross));
        let run = Run::of(&mut command, &project.path(""));
        assert_eq!(run.code, 0, "{}", run.transcript());
        (run, fs::read(project.out("f.zip")).unwrap(), project)
    };
    let (run, first, project) = build();
    assert!(run.stdout.contains("C is compiled with zig"), "{}", run.stdout);
    let output = std::process::Command::new(project.unpack("f.zip").path("bootstrap")).output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "42\n");
    assert!(build().1 == first, "C depends on the folder");
}

#[test]
fn the_retired_runtime_is_refused_with_the_way_on() {
    let project = project(SMALL);
    let run = project.run(&["build", "--runtime", "go1.x"]);
    assert_eq!(run.code, 2, "{}", run.transcript());
    assert!(
        run.stderr.contains("`go1.x` takes no new functions") && run.stderr.contains("`provided.al2023`"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_folder_of_two_resolvers_says_which_and_how_to_choose() {
    let project = project(SMALL);
    project.write("Cargo.toml", "[package]\nname = 'small'\nversion = '0.1.0'\nedition = '2021'\n[workspace]\n");
    project.write("src/main.rs", "fn main() {}\n");
    let config = |more: &str| format!("[functions.f]\npath = '.'\nruntime = 'provided.al2023'\n{more}");
    project.write("lambda-pack.toml", &config(""));
    let run = project.run(&["build"]);
    assert_eq!(run.code, 2, "{}", run.transcript());
    assert!(
        run.stderr.contains("can be packed in several ways: `rust` (by `Cargo.toml`), `go` (by `go.mod`)"),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("such as `resolver = \"rust\"`"), "{}", run.stderr);
    project.write("lambda-pack.toml", &config("resolver = 'go'\n"));
    assert!(project.done(&["build"]).stdout.contains("\n  go build\n"));
    // Without a runtime, also what another language has counts.
    project.write("package.json", "{}").write("lambda-pack.toml", "[functions.f]\npath = '.'\n");
    let run = project.run(&["build"]);
    assert!(run.code == 2 && run.stderr.contains("`node` (by `package.json`)"), "{}", run.transcript());
    project.write("lambda-pack.toml", "[functions.f]\npath = '.'\nresolver = 'no'\n");
    let run = project.run(&["build"]);
    assert!(
        run.code == 2 && run.stderr.contains("lambda-pack.toml:3:12: there is no resolver `no`"),
        "{}",
        run.transcript()
    );
    assert!(run.stderr.contains("did you mean `go`?"), "{}", run.stderr);
    project.write("lambda-pack.toml", &config("resolver = 'python'\n"));
    let run = project.run(&["build"]);
    assert!(
        run.code == 2 && run.stderr.contains("`resolver = \"python\"` finds nothing of its own"),
        "{}",
        run.transcript()
    );
}

#[test]
fn programs_are_chosen_by_folder_name_or_bin() {
    let project = Project::copy_of("go-module");
    let run = |config: &str| {
        project.write("lambda-pack.toml", config);
        project.run(&["plan"])
    };
    let several = run("[functions.f]\npath = '.'\n");
    assert_eq!(several.code, 2, "{}", several.transcript());
    assert!(
        several.stderr.contains("which program is function `f`?")
            && several.stderr.contains("has cmd/api, cmd/tool, cmd/worker"),
        "{}",
        several.stderr
    );
    let wrong = run("[functions.f]\npath = '.'\nbin = 'ap'\n");
    assert!(
        wrong.code == 2 && wrong.stderr.contains("lambda-pack.toml:3:7: there is no program `ap`"),
        "{}",
        wrong.transcript()
    );
    assert!(run("[functions.tool]\npath = '.'\n").stdout.contains("(`cmd/tool`)"));
}

#[test]
fn init_finds_programs_that_use_lambda() {
    let project = Project::copy_of("go-module");
    project.done(&["init"]);
    let config: PathBuf = project.path("lambda-pack.toml");
    let text = fs::read_to_string(config).unwrap();
    assert!(text.contains("[functions.api]\npath = \"cmd/api\"\n") && text.contains("[functions.worker]"), "{text}");
    assert!(text.contains("# cmd/tool: a Go program that does not use aws-lambda-go"), "{text}");
}
