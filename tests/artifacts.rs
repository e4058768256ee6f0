//! What is packed is what Lambda loads: real projects, packed for real, judged by readers and interpreters that are not
//! ours.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod common;

use std::process::Command;

use common::{Project, Run, call_node, call_python, pythons};
use serde_json::Value;

#[test]
fn a_monorepo_of_three_languages() {
    let project = Project::copy_of("monorepo");
    let manifest = project.build::<&str>(&[]);
    let names: Vec<_> = manifest["functions"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["clock", "greet", "quote"]);
    assert_eq!(manifest["findings"].as_array().unwrap().len(), 0, "{:#}", manifest["findings"]);
    for function in manifest["functions"].as_array().unwrap() {
        let artifact = &function["artifact"];
        let path = project.out(artifact["path"].as_str().unwrap());
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(artifact["bytes"], bytes.len());
        let sum = common::tool("sha256sum", &[path.as_os_str()], "apt-get install coreutils");
        assert_eq!(sum.split(' ').next().unwrap(), artifact["sha256"]);
        assert_eq!(function["upload"], "direct");
    }
    assert_eq!(
        project.read("target/lambda-pack/manifest.json"),
        serde_json::to_string_pretty(&manifest).unwrap() + "\n"
    );

    let quote = project.unpack("quote.zip");
    let answer = call_node(&quote.path(""), "index.handler", r#"{"items": [{"price": 2, "count": 3}]}"#);
    assert_eq!(answer["body"], r#"{"total":6}"#);
    assert!(!quote.files().iter().any(|f| f.contains("is-number")), "a development dependency");

    let greet = project.unpack("greet.zip");
    if let Some((_, python)) = pythons().into_iter().find(|(minor, _)| *minor == 13) {
        assert_eq!(call_python(&python, &greet.path(""), "app.handler", r#"{"name": "you"}"#)["body"], "Hello, you!");
    } else {
        let core = greet.files().into_iter().find(|f| f.starts_with("pydantic_core/_pydantic_core.")).unwrap();
        assert!(core.ends_with("cpython-313-x86_64-linux-gnu.so"), "{core}");
    }
    assert_eq!(project.unpack("clock.zip").files(), ["bootstrap"]);

    assert_eq!(digests(&manifest), digests(&built_elsewhere("monorepo")));
}

/// The same project in another folder, under another umask and time zone, with one thread instead of two, newer files, and
/// a store that knows nothing yet.
fn built_elsewhere(fixture: &str) -> Value {
    let project = Project::empty();
    let script = format!(
        "umask 077; cp -r {} deep; cd deep; find . -exec touch -d 2031-05-06 {{}} +; exec \"$@\"",
        common::fixture(fixture).display()
    );
    let mut command = Command::new("sh");
    let args =
        ["-c", &script, "sh", env!("CARGO_BIN_EXE_cargo-lambda-pack"), "build", "--format", "json", "--jobs", "1"];
    command.args(args).current_dir(project.path(""));
    command
        .env("LAMBDA_PACK_CACHE_DIR", project.path("other store"))
        .env("LAMBDA_PACK_TODAY", common::TODAY)
        .env("TZ", "Pacific/Auckland");
    command.env("PATH", common::path_with_tools()).env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS");
    let run = Run::of(&mut command, &project.path(""));
    assert_eq!(run.code, 0, "{}", run.transcript());
    serde_json::from_str(&run.stdout).unwrap()
}

/// Names and digests of all artifacts.
fn digests(manifest: &Value) -> Vec<(String, String)> {
    let functions = manifest["functions"].as_array().unwrap();
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    functions.iter().map(|f| (text(&f["name"]), text(&f["artifact"]["sha256"]))).collect()
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let project = Project::copy_of("python-pure");
    let one = project.build(&["--jobs", "1"]);
    let two = project.build(&["--jobs", "2"]);
    assert_eq!(digests(&one), digests(&two));
    let shas = |m: &Value| digests(m).into_iter().map(|(_, sha)| sha).collect::<Vec<_>>();
    assert_eq!(shas(&one), shas(&built_elsewhere("python-pure")));
}
