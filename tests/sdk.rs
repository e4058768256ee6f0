//! The AWS SDK that the runtime has stays out when the config says so, with what only it needs and nothing else.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod common;

use std::path::Path;
use std::process::Command;

use common::{Project, tool};
use serde_json::Value;

/// Names of the packages of a function.
fn packages(manifest: &Value, function: &str) -> Vec<String> {
    let function = manifest["functions"].as_array().unwrap().iter().find(|f| f["name"] == function).unwrap();
    let packages = function["packages"].as_array().unwrap();
    packages.iter().map(|package| package["name"].as_str().unwrap().to_owned()).collect()
}

fn python(settings: &str) -> Project {
    let project = Project::empty();
    for name in ["a", "b"] {
        project.write(
            &format!("{name}/app.py"),
            "import boto3, requests\n\ndef handler(event, context):\n    return [boto3.__name__, requests.__name__]\n",
        );
        project.write(&format!("{name}/requirements.txt"), "boto3==1.35.90\nbotocore==1.35.99\nrequests==2.32.3\n");
    }
    project.write(
        "lambda-pack.toml",
        &format!(
            "[defaults]\nruntime = 'python3.13'\nhandler = 'app.handler'\n{settings}[functions.a]\npath = 'a'\n[functions.b]\npath = 'b'\n"
        ),
    );
    project
}

const REQUESTS: &[&str] = &["certifi", "charset-normalizer", "idna", "requests", "urllib3"];

#[test]
fn boto3_is_left_to_the_runtime_and_its_bundling_is_told() {
    let project = python("");
    let said = project.done(&["build"]).stdout;
    let told = " MB: python3.13 has boto3, of which here are boto3 1.35.90, botocore 1.35.99 and 4 more\n";
    assert!(said.contains("`aws-sdk = \"runtime\"` would save ") && said.contains(told), "{said}");
    let project = python("aws-sdk = 'runtime'\n");
    let manifest = project.build::<&str>(&[]);
    assert_eq!(packages(&manifest, "a"), REQUESTS);
    let said = project.done(&["plan"]).stdout;
    assert!(said.contains("left to python3.13, which has boto3: boto3 1.35.90, botocore 1.35.99 and 4 more"), "{said}");
    // A boto3 of this machine stands in for the runtime's, behind the package as there.
    let task = project.unpack("a.zip");
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.tools/venv");
    let script = "import sys; sys.path.insert(0, sys.argv[1]); import app; print(*app.handler(None, None))";
    let mut python = Command::new(venv.join("bin/python"));
    python.args(["-B", "-c", script]).arg(task.path(""));
    let answer = python.output().expect("tests/.tools is missing: run `make tools`");
    assert_eq!(String::from_utf8_lossy(&answer.stdout).trim(), "boto3 requests", "{answer:?}");
}

#[test]
fn what_is_left_to_the_runtime_is_in_no_layer() {
    let project = python("aws-sdk = 'runtime'\nlayers = 'shared'\n");
    let manifest = project.build::<&str>(&[]);
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 1, "{layers:?}");
    let names: Vec<&str> =
        layers[0]["packages"].as_array().unwrap().iter().map(|package| package["name"].as_str().unwrap()).collect();
    assert_eq!(names, REQUESTS);
}

#[test]
fn the_sdk_for_javascript_is_left_to_the_runtime() {
    let project = Project::empty();
    project.write("index.js", "const ms = require('ms');\nexports.handler = async () => ms('1s');\n");
    project.write("package.json", r#"{"dependencies": {"@aws-sdk/types": "3.714.0", "ms": "2.1.3"}}"#);
    let config = "[functions.f]\npath = '.'\nruntime = 'nodejs22.x'\nhandler = 'index.handler'\n";
    project.write("lambda-pack.toml", config);
    assert_eq!(packages(&project.build::<&str>(&[]), "f"), ["@aws-sdk/types", "@smithy/types", "ms", "tslib"]);
    project.write("lambda-pack.toml", &format!("{config}aws-sdk = 'runtime'\n"));
    assert_eq!(packages(&project.build::<&str>(&[]), "f"), ["ms"]);
    tool("node", &["-e".as_ref(), "0".as_ref()], "apt-get install nodejs");
    assert_eq!(common::call_node(&project.unpack("f.zip").path(""), "index.handler", "{}"), 1000);
}

#[test]
fn a_runtime_without_an_sdk_is_refused_where_it_is_asked_for() {
    let project = Project::empty();
    project.write("f/bootstrap", "#!/bin/sh\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(project.path("f/bootstrap"), mode).unwrap();
    let config = "[functions.f]\npath = 'f'\nruntime = 'provided.al2023'\n";
    project.write("lambda-pack.toml", &format!("{config}aws-sdk = 'runtime'\n"));
    let run = project.run(&["build"]);
    assert_eq!(run.code, 2, "{}", run.transcript());
    assert!(
        run.stderr.contains("lambda-pack.toml:4:11: `aws-sdk = \"runtime\"`: `provided.al2023` has no AWS SDK"),
        "{}",
        run.stderr
    );
    // For all functions it means those that it can mean.
    project.write("lambda-pack.toml", &format!("[defaults]\naws-sdk = 'runtime'\n{config}"));
    project.done(&["build"]);
    project.write("lambda-pack.toml", &format!("{config}aws-sdk = 'runtme'\n"));
    assert!(project.run(&["build"]).stderr.contains("did you mean `runtime`?"));
}
