//! Transcripts of the command line: exit code, stdout and stderr as a user sees them.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod common;

use common::{Project, Run};

const APP: &str = "def handler(event, context):\n    return 1\n";

/// The transcript without what differs from run to run.
fn shown(run: &Run) -> String {
    let mut out = String::new();
    for line in run.transcript().lines() {
        match line.split_once(" in ").filter(|_| line.contains(" packed from ") || line.contains(" planned from ")) {
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
    insta::assert_snapshot!(shown(&run), @"");
    // `cargo lambda-pack` hands its own name on; no subcommand means build.
    let same = project.done(&["lambda-pack"]);
    assert_eq!(shown(&same), shown(&run));
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
    insta::assert_snapshot!(shown(&run), @"");
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
    insta::assert_snapshot!(shown(&run), @"");
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
    insta::assert_snapshot!(project.done(&["build"]).stderr, @"");
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
    insta::assert_snapshot!(project.run(&["bild"]).transcript(), @"");
    insta::assert_snapshot!(project.run(&["build"]).transcript(), @"");
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
    insta::assert_snapshot!(run.transcript(), @"");
    insta::assert_snapshot!(project.read("lambda-pack.toml"), @"");
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
