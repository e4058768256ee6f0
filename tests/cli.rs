//! Transcripts of the command line: exit code, stdout and stderr as a user sees them.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod common;

use common::{Project, Run};

const APP: &str = "def handler(event, context):\n    return 1\n";

/// The transcript without what differs from run to run.
fn shown(run: &Run) -> String {
    let mut out = String::new();
    for line in run.transcript().lines() {
        match line.split_once(" in ").filter(|_| line.contains(" packed") || line.contains(" planned")) {
            Some((before, _)) => out.push_str(&format!("{before} in [TIME]")),
            None => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

#[test]
fn a_folder_becomes_a_zip() {
    let project = Project::empty();
    project.write("app.py", APP);
    let run = project.done(&["build"]);
    insta::assert_snapshot!(shown(&run), @"
    exit: 0
    --- stdout
    project  python3.13 · x86_64 · app.handler
      target/lambda-pack/project.zip  152 B, 42 B unzipped, 1 file
      no dependencies

    1 function packed in [TIME]
    manifest: target/lambda-pack/manifest.json
    --- stderr
    ");
    // `cargo lambda-pack` hands its own name on; no subcommand means build.
    let same = project.done(&["lambda-pack"]);
    assert_eq!(shown(&same).replace(", unchanged,", ""), shown(&run));
}

#[test]
fn a_plan_says_what_each_rule_did() {
    let project = Project::empty();
    project
        .write("app.py", APP)
        .write(".git/config", "")
        .write(".lambdaignore", "*.log\n")
        .write("x.log", "")
        .write("data/a.csv", "1");
    let run = project.done(&["plan", "-v"]);
    insta::assert_snapshot!(shown(&run), @"
    exit: 0
    --- stdout
    project  python3.13 · x86_64 · app.handler
      43 B unzipped in 2 files, about 198 B zipped
      no dependencies
      - .git  tool folder
      - .lambdaignore  settings
      + app.py  in the function's folder
      + data/a.csv  in the function's folder
      - x.log  .lambdaignore: *.log

    1 function planned in [TIME]
    --- stderr
    ");
    assert!(!project.out("manifest.json").exists(), "a plan writes nothing");
    assert_eq!(shown(&project.done(&["build", "--dry-run", "-v"])), shown(&run));
}

#[test]
fn findings_are_told_all_at_once_and_nothing_is_packed() {
    let project = Project::empty();
    project.write("app.py", APP).write(".env", "TOKEN=x").write(
        "lambda-pack.toml",
        "[functions.one]\npath = \".\"\nruntime = \"python3.13\"\nhandler = \"ap.handler\"\nenvironment = { AWS_REGION = \"x\" }\n",
    );
    let run = project.run(&["build"]);
    assert_eq!(run.code, 3);
    insta::assert_snapshot!(shown(&run), @"
    exit: 3
    --- stdout
    one  python3.13 · x86_64 · ap.handler
      not packed: Lambda would refuse it
      no dependencies

    0 functions packed from lambda-pack.toml, 1 refused in [TIME]
    manifest: target/lambda-pack/manifest.json
    --- stderr
    error[env-reserved-key] one: Lambda was unable to configure your environment variables because the environment variables you have provided contains reserved keys that are currently not supported for modification. Reserved keys used in this request: AWS_REGION
      hint: rename `AWS_REGION`; Lambda sets it itself
    error[handler-not-found] one: Unable to import module 'ap': No module named 'ap' (looked for `ap.py`, `ap/__init__.py`)
      hint: did you mean `app.handler`? Otherwise check that no rule leaves the file out (`plan -v`)
    warning[secret-file] one: .env: a file of environment variables would be packed; whoever may read the function's code can read it
      hint: leave it out with a pattern in `.lambdaignore`, and read secrets from SSM Parameter Store or Secrets Manager
    ");
    assert!(!project.out("one.zip").exists());
}

#[test]
fn a_refused_function_loses_its_old_zip() {
    let project = Project::empty();
    project.write("app.py", APP);
    let zip = project.build::<&str>(&[])["functions"][0]["artifact"]["path"].as_str().unwrap().to_owned();
    assert!(project.out(&zip).exists());
    let run = project.run(&["build", "--handler", "gone.handler", "--format", "json"]);
    assert_eq!(run.code, 3);
    let manifest: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert!(manifest["functions"][0].get("artifact").is_none());
    assert_eq!(manifest["findings"][0]["rule"], "handler-not-found");
    assert!(!project.out(&zip).exists());
}

#[test]
fn levels_are_the_configs_to_set() {
    let project = Project::empty();
    let config = |level: &str| {
        format!(
            "[functions.one]\npath = \".\"\nruntime = \"nodejs20.x\"\nhandler = \"index.handler\"\n[checks]\nruntime-deprecated = \"{level}\"\n"
        )
    };
    project.write("index.js", "exports.handler = async () => 1").write("lambda-pack.toml", &config("error"));
    assert_eq!(project.run(&["build"]).code, 3);
    project.write("lambda-pack.toml", &config("ignore"));
    assert_eq!(project.done(&["build"]).stderr, "");
    project.write("lambda-pack.toml", &config("warning"));
    insta::assert_snapshot!(project.done(&["build"]).stderr, @"
    warning[runtime-deprecated] one: nodejs20.x is deprecated since 2026-04-30 and gets no more security patches; new functions are refused from 2027-02-01
      hint: move to `nodejs24.x`
    ");
}

#[test]
fn wrong_words_exit_with_2() {
    let project = Project::empty();
    for args in [
        vec!["build", "--arch", "sparc"],
        vec!["build", "--jobs", "0"],
        vec!["--frob"],
        vec!["build", "--config", "gone.toml"],
    ] {
        let run = project.run(&args);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{args:?}: {}", run.stderr);
    }
    insta::assert_snapshot!(project.run(&["bild"]).transcript(), @"
    exit: 2
    --- stdout
    --- stderr
    error: `bild` does not exist
      hint: did you mean the subcommand `build`?
    ");
    insta::assert_snapshot!(project.run(&["build"]).transcript(), @"
    exit: 2
    --- stdout
    --- stderr
    error: cannot tell what `[PROJECT]` is: no file of it says which runtime it is for
      hint: looked for: Cargo.toml with a binary that depends on lambda_runtime or lambda_http; go.mod with a package main; package.json, *.mjs, *.js; requirements.txt, pyproject.toml, uv.lock, pylock.toml, *.py; pom.xml, build.gradle, build.gradle.kts; Gemfile, *.rb; *.csproj; an executable bootstrap
      hint: say it with `--runtime`; if functions are in folders below, `cargo lambda-pack init` writes a config of them
    ");
    assert_eq!(project.run(&["--version"]).stdout, concat!("cargo lambda-pack ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn init_writes_a_config_that_builds() {
    let project = Project::empty();
    project
        .write("services/api/app.py", APP)
        .write("services/web/index.mjs", "export const handler = async () => 1;\n")
        .write("services/web/package.json", "{}");
    let run = project.done(&["init"]);
    insta::assert_snapshot!(run.transcript(), @"
    exit: 0
    --- stdout
    --- stderr
    Wrote lambda-pack.toml. Look it over, then run `cargo lambda-pack`.
    ");
    insta::assert_snapshot!(project.read("lambda-pack.toml"), @r#"
    # Functions to pack for AWS Lambda, written by `cargo lambda-pack init`. Run `cargo lambda-pack` to pack them all, or
    # `cargo lambda-pack build FOLDER` for those at or below a folder. Paths are relative to this file.

    # What holds for every function that does not say otherwise.
    [defaults]
    # architecture = "arm64"                      # "x86_64" unless it is said
    # exclude = ["tests/", "*.md"]                # in gitignore syntax; a `.lambdaignore` file does the same
    # slim = true                                 # without tests, headers, stubs, … of packages
    # environment = { LOG_LEVEL = "info" }        # measured, checked, and there in `invoke`: your deployment sets it
    # timeout = 30                                # seconds; this and `memory`, `ephemeral-storage` (megabytes) are for `invoke`
    # allow-scripts = ["better-sqlite3"]          # npm packages whose install scripts are run
    # go = { tags = ["prod"], cgo = true }          # of programs that Go builds
    # aws-sdk = "runtime"                         # boto3 or @aws-sdk/* is left to the runtime, which has one; else "bundle"
    # layers = "shared"                           # packages that several functions have go to layers

    [functions.api]
    path = "services/api"
    runtime = "python3.13"
    handler = "app.handler"

    [functions.web]
    path = "services/web"
    runtime = "nodejs22.x"
    handler = "index.handler"

    # More that a function may have:
    # include = [{ from = "common/schemas", to = "schemas" }]   # files from elsewhere in the project
    # bin = "worker"                              # for Cargo packages and Go modules of several programs
    # extras = ["s3"]                             # of a Python project, beside what it needs anyway
    # groups = ["prod"]                           # its dependency groups, likewise
    # resolver = "go"                             # who packs it, where several could: docs/languages.md
    # build = "npm run bundle"                    # a command of your own, run in a copy of the folder
    # output = "dist"                             # the folder or zip that it leaves
    # package = "image"                           # a container image instead of a zip
    # base = "oci:../base"                        # what it is built on; else AWS's image of the runtime
    # layers = ["shared", "common"]               # also a layer of your own, or the ARN of one that exists
    # native = { collect = true }                 # brings the system's libraries along that the runtime lacks; also in layers

    # [layers.common]
    # path = "layers/common"                      # a folder laid out as a layer (python/, nodejs/, lib/, extensions/, …), or files
    # manifest = "layers/requirements.txt"        # packages; with `path`, both
    # runtime = ["python3.12", "python3.13"]

    # Rules may be set to "ignore", "note", "warning" or "error".
    # [checks]
    # secret-file = "error"
    "#);
    let manifest = project.build::<&str>(&[]);
    assert_eq!(manifest["functions"].as_array().unwrap().len(), 2);
    let again = project.run(&["init"]);
    assert_eq!(again.code, 2, "{}", again.stderr);
    project.done(&["init", "--force"]);
    // With a config, a path selects the functions at or below it.
    assert_eq!(project.build(&["services/web"])["functions"].as_array().unwrap().len(), 1);
}

#[test]
fn quiet_is_quiet_and_stdout_is_data() {
    let project = Project::empty();
    project.write("app.py", APP);
    let run = project.done(&["build", "-q"]);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""));
    let run = project.done(&["build", "--format", "json"]);
    assert_eq!(run.stderr, "");
    serde_json::from_str::<serde_json::Value>(&run.stdout).unwrap();
}

#[test]
fn a_trace_says_when_each_piece_of_work_was_done() {
    let project = Project::empty();
    project.write("app.py", APP);
    project.done(&["build", "--trace", "trace.json"]);
    let trace: serde_json::Value = serde_json::from_str(&project.read("trace.json")).unwrap();
    let named = |name: &str| trace["traceEvents"].as_array().unwrap().iter().filter(|e| e["name"] == name).count();
    assert_eq!((named("Checking"), named("Packing")), (1, 1), "{trace}");
}

#[test]
fn colours_only_where_they_are_wanted() {
    let project = Project::empty();
    project.write("app.py", APP);
    assert!(!project.done(&["build"]).stdout.contains('\x1b'));
    assert!(project.done(&["build", "--color", "always"]).stdout.contains('\x1b'));
}

#[test]
fn completions_and_the_store_are_told() {
    let project = Project::empty();
    assert!(project.done(&["completions", "bash"]).stdout.contains("cargo-lambda-pack"));
    let dir = project.done(&["cache", "dir"]).stdout;
    assert_eq!(std::path::Path::new(dir.trim()), common::store());
    project.done(&["cache", "size"]).stdout.trim().parse::<u64>().unwrap();
}

#[test]
fn what_stops_several_functions_is_told_once() {
    let project = Project::empty();
    let manifest = "[package]\nname = 'small'\nversion = '0.1.0'\nedition = '2024'\n[workspace]\n";
    project
        .write("Cargo.toml", manifest)
        .write("src/main.rs", "fn main() { no_such_function(); }\n")
        .write("lambda-pack.toml", "[functions.a]\npath = '.'\n[functions.b]\npath = '.'\n");
    let run = project.run(&["build"]);
    assert_eq!(run.code, 1, "{}", run.transcript());
    let first = "error: functions `a`, `b`: `cargo build --release` failed:\n  error[E0425]: cannot find function";
    assert!(run.stderr.starts_with(first), "{}", run.stderr);
    assert_eq!(run.stderr.matches("E0425]").count(), 1, "{}", run.stderr);
}

#[test]
fn what_was_packed_is_never_packed_again() {
    let project = Project::empty();
    project.write("app.py", APP);
    project.done(&["build", "--out-dir", "zips"]);
    let run = project.done(&["plan", "-v"]);
    assert!(run.stdout.contains("  - zips  output folder\n"), "{}", run.stdout);
    insta::assert_snapshot!(shown(&project.run(&["build", "--out-dir", "."])), @"
    exit: 2
    --- stdout
    --- stderr
    error: the output folder `[PROJECT]` is the folder of function `project`, which would be packed with it
      hint: name another with `--out-dir`; one below it is never packed
    ");
}

#[test]
fn dependencies_that_are_not_read_are_not_passed_over() {
    let project = Project::empty();
    project.write("app.py", APP).write("setup.py", "setup(name='x', install_requires=['idna'])\n");
    insta::assert_snapshot!(shown(&project.run(&["build"])), @"
    exit: 2
    --- stdout
    --- stderr
    error: setup.py: function `project`: `install_requires` is not read
      hint: run `uv pip compile setup.py --output-file requirements.txt`
    ");
}
