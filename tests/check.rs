//! `check ARTIFACT…`: zips and folders that others have made.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod common;

use std::path::PathBuf;

use common::{Project, Run, tool};
use serde_json::Value;

/// A zip as Python's own writer makes it. `body` sees `z`, the open file.
fn zip(project: &Project, name: &str, body: &str) -> PathBuf {
    let path = project.path(name);
    let script = format!(
        "import sys, zipfile, warnings; warnings.simplefilter('ignore')\n\
         def put(name, text=b'x', mode=0o100644, system=3, method=8):\n    \
             i = zipfile.ZipInfo(name); i.external_attr = mode << 16; i.create_system = system; i.compress_type = method; z.writestr(i, text)\n\
         with zipfile.ZipFile(sys.argv[1], 'w') as z:\n    {body}\n"
    );
    tool("python3", &["-c".as_ref(), script.as_ref(), path.as_os_str()], "apt-get install python3");
    path
}

/// Levels and rules that a check gives.
fn said(run: &Run) -> Vec<String> {
    let document: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|e| panic!("{e}: {}", run.transcript()));
    let findings = document["findings"].as_array().unwrap();
    let refused = findings.iter().any(|f| f["level"] == "error");
    assert_eq!(run.code, if refused { 3 } else { 0 }, "{}", run.transcript());
    let said = |f: &Value| {
        format!(
            "{} {} {}",
            f["level"].as_str().unwrap(),
            f["rule"].as_str().unwrap(),
            f["path"].as_str().unwrap_or("-")
        )
    };
    findings.iter().map(said).collect()
}

const APP: &str = "put('app.py', b'def handler(event, context): return 1')";

#[test]
fn a_good_zip_is_good() {
    let project = Project::empty();
    // Stored, so that its size does not depend on Python's zlib.
    zip(&project, "good.zip", &APP.replace("1')", "1', method=0)"));
    let run =
        project.run(&["check", "good.zip", "--runtime", "python3.13", "--arch", "arm64", "--handler", "app.handler"]);
    insta::assert_snapshot!(run.transcript(), @r"
    exit: 0
    --- stdout
    good.zip  function · python3.13 · arm64
      147 B, 37 B unzipped, 1 file
      nothing to complain about
    --- stderr
    ");
    let run = project.run(&["check", "good.zip", "--handler", "ap.handler", "--runtime", "python3.13"]);
    assert_eq!(run.code, 3);
    insta::assert_snapshot!(run.transcript(), @r"
    exit: 3
    --- stdout
    good.zip  function · python3.13 · x86_64 (as its files tell; `--runtime` and `--arch` say otherwise)
      147 B, 37 B unzipped, 1 file
      1 error
    --- stderr
    error[handler-not-found] good.zip: Unable to import module 'ap': No module named 'ap' (looked for `ap.py`, `ap/__init__.py`)
      hint: did you mean `app.handler`? Otherwise check that no rule leaves the file out (`plan -v`)
    ");
}

#[test]
fn one_document_for_several_artifacts() {
    let project = Project::empty();
    zip(&project, "a.zip", APP);
    project.write("folder/index.mjs", "export const handler = 1").write("folder/.env", "A=1");
    let run = project.run(&["check", "a.zip", "folder", "--format", "json"]);
    assert_eq!(said(&run), ["warning secret-file .env"]);
    let document: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&document["schema"], &document["findings"][0]["artifact"]), (&Value::from(1), &Value::from("folder")));
    let artifacts = document["artifacts"].as_array().unwrap();
    assert_eq!(
        (&artifacts[0]["runtime"], &artifacts[0]["kind"]),
        (&Value::from("python3.14"), &Value::from("function"))
    );
    assert_eq!((&artifacts[1]["runtime"], artifacts[1].get("bytes")), (&Value::from("nodejs24.x"), None));
    assert_eq!(artifacts[1]["files"], 2);
}

#[test]
fn what_is_wrong_with_a_zip_is_told() {
    let project = Project::empty();
    let link = "put('link', b'TARGET', 0o120777)";
    for (body, expected) in [
        ("pass".to_owned(), vec!["error empty-package -"]),
        (format!("{APP}; put('app.py', b'other')"), vec!["warning duplicate-entry app.py"]),
        (format!("{APP}; put('../../etc/passwd')"), vec!["error path-malformed ../../etc/passwd"]),
        (format!("{APP}; put('/etc/passwd')"), vec!["error path-malformed /etc/passwd"]),
        (format!("{APP}; {}", link.replace("TARGET", "../../etc/passwd")), vec!["error symlink-escapes link"]),
        (format!("{APP}; {}", link.replace("TARGET", "app.py")), vec![]),
        (format!("{APP}; {}", link.replace("TARGET", "/opt/lib/x.so")), vec![]),
        (format!("{APP}; put('App.py')"), vec!["warning case-collision app.py"]),
        (format!("{APP}; put('x'); put('x/y')"), vec!["error duplicate-entry x"]),
        (format!("{APP}; put('.env')"), vec!["warning secret-file .env"]),
        (format!("{APP}; put('node_modules/x/.env')"), vec![]),
        (format!("{APP}; put('p/k.p12'); put('p-1.dist-info/RECORD', b'p/k.p12,,')"), vec![]),
        (format!("{APP}; put('hidden', mode=0o100600)"), vec!["warning path-unreadable hidden"]),
        // 300 MB of nothing in a small zip: told by its directory, and not inflated.
        (format!("{APP}; put('zeros', bytes(300_000_000))"), vec!["error unzipped-too-large -"]),
        ("put('bootstrap', mode=0o100755)".to_owned(), vec![]),
        ("put('bootstrap')".to_owned(), vec!["error bootstrap-not-executable bootstrap"]),
        // Made on Windows: there are no modes in it.
        ("put('bootstrap', system=0)".to_owned(), vec!["error bootstrap-not-executable bootstrap"]),
    ] {
        zip(&project, "x.zip", &body);
        assert_eq!(said(&project.run(&["check", "x.zip", "--format", "json"])), expected, "{body}");
    }
}

#[test]
fn damaged_and_hostile_zips_are_refused() {
    let project = Project::empty();
    let path = zip(&project, "x.zip", &format!("{APP}; put('data', b'y' * 10000)"));
    let whole = std::fs::read(&path).unwrap();
    let check = || said(&project.run(&["check", "x.zip", "--format", "json"]));
    let put = |bytes: &[u8]| std::fs::write(&path, bytes).unwrap();
    put(&whole[..whole.len() - 30]);
    assert_eq!(check(), ["error zip-unreadable -"]);
    // A byte of packed data; a method that Lambda does not know; a password.
    let (data, directory) = (40, find(&whole, b"PK\x01\x02"));
    for (at, byte, expected) in [
        (data, whole[data] ^ 0x55, "error zip-unreadable -"),
        (directory + 10, 12, "error zip-unreadable app.py"),
        (directory + 8, 1, "error zip-unreadable app.py"),
    ] {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        put(&bytes);
        assert!(check().contains(&expected.to_owned()), "byte {at}: {:?}", check());
    }
    // A name that is not UTF-8, in both places.
    let mut bytes = whole.clone();
    for at in [30, directory + 46] {
        bytes[at] = 0xff;
    }
    put(&bytes);
    assert_eq!(check(), ["error path-not-utf8 \u{fffd}pp.py"]);
    // Something before it, as of a program that unpacks itself.
    put(&[b"#!/bin/sh\n".as_slice(), &whole].concat());
    assert_eq!(check(), Vec::<String>::new());
    assert_eq!(std::fs::read_dir(project.path("")).unwrap().count(), 1, "nothing is written beside it");
}

fn find(bytes: &[u8], part: &[u8]) -> usize {
    bytes.windows(part.len()).position(|window| window == part).unwrap()
}

#[test]
fn layers_are_known_by_their_folders() {
    let project = Project::empty();
    zip(&project, "layer.zip", "put('python/x.py'); put('lib/liba.so.1'); put('lib/liba.so', b'liba.so.1', 0o120777)");
    let run = project.run(&["check", "layer.zip", "--format", "json"]);
    assert_eq!(said(&run), ["warning layer-symlink lib/liba.so"]);
    assert!(run.stdout.contains(r#""kind": "layer""#));
    zip(&project, "layer.zip", "put('python/x', bytes(300_000_000))");
    assert_eq!(said(&project.run(&["check", "layer.zip", "--format", "json"])), ["error layer-too-large -"]);
    zip(&project, "x.zip", "put('x.py')");
    assert!(project.run(&["check", "x.zip", "--layer", "--format", "json"]).stdout.contains(r#""kind": "layer""#));
}

#[test]
fn what_is_neither_a_zip_nor_a_folder_is_a_mistake() {
    let project = Project::empty();
    project.write("x.tar", "not a zip");
    for artifact in ["x.tar", "gone.zip"] {
        let run = project.run(&["check", artifact]);
        assert_eq!(run.code, 2, "{}", run.transcript());
        assert!(run.stderr.contains("is not a zip, a folder or an image"), "{}", run.transcript());
    }
    assert_eq!(project.run::<&str>(&["check"]).code, 2);
}

#[test]
fn an_unknown_runtime_is_told() {
    let project = Project::empty();
    zip(&project, "x.zip", APP);
    let run = project.run(&["check", "x.zip", "--format", "json", "--runtime", "pyton3.13"]);
    assert_eq!(said(&run), ["error runtime-unknown -"]);
}
