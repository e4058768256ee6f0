//! What is in an image starts where AWS would start it.

use super::*;

#[test]
fn a_python_function_on_a_base_is_taken_by_everybody_and_answers() {
    let project =
        python("[functions.f.image]\nlabels = { team = 'a' }\nenvironment = { HOME = '/tmp' }\narchive = 'oci'\n");
    // Modes that Lambda's user could not read, a link, and a name that a header does not hold.
    fs::set_permissions(project.path("fn/app.py"), fs::Permissions::from_mode(0o600)).unwrap();
    let long = format!("fn/{}/deep.txt", ["a-folder-with-a-name"; 8].join("/"));
    project.write(&long, "deep").write("fn/run.sh", "#!/bin/sh\n");
    fs::set_permissions(project.path("fn/run.sh"), fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::symlink("app.py", project.path("fn/link.py")).unwrap();
    let manifest = project.build(&["--sbom"]);
    let function = &manifest["functions"][0];
    assert_eq!((&function["package_type"], &function["layers"]), (&json!("Image"), &json!([])));
    assert!(function.get("artifact").is_none() && function.get("upload").is_none(), "{function}");
    let image = &function["image"];
    let digest = image["digest"].as_str().unwrap();
    let layout = project.out(image["layout"].as_str().unwrap());
    accepted(&layout, digest);
    skopeo(&["inspect", &format!("oci-archive:{}", project.out(image["archive"].as_str().unwrap()).display())]);

    let (described, config) = oci::documents(&layout);
    assert_eq!(described["mediaType"], oci::MANIFEST);
    let (blobs, ids) = (described["layers"].as_array().unwrap(), config["rootfs"]["diff_ids"].as_array().unwrap());
    let history = config["history"].as_array().unwrap();
    assert_eq!((blobs.len(), ids.len(), history.len()), (5, 5, 5), "{described:#}\n{config:#}");
    let bytes: u64 = blobs.iter().map(|blob| blob["size"].as_u64().unwrap()).sum();
    let documents = described["config"]["size"].as_u64().unwrap() + described.to_string().len() as u64;
    assert_eq!(image["bytes"], bytes + documents);
    assert_eq!((&config["os"], &config["architecture"]), (&json!("linux"), &json!(oci::go_arch())));
    assert_eq!(config["created"], "1970-01-01T00:00:00Z");
    let started = &config["config"];
    assert_eq!(started["Entrypoint"], json!(["/lambda-entrypoint.sh"]));
    assert_eq!((&started["Cmd"], &started["WorkingDir"]), (&json!(["app.handler"]), &json!("/var/task")));
    assert_eq!(started["Labels"], json!({"team": "a"}));
    let environment = started["Env"].as_array().unwrap();
    assert!(
        environment.contains(&json!("HOME=/tmp")) && environment.contains(&json!("LAMBDA_RUNTIME_DIR=/var/runtime"))
    );
    assert_eq!(environment.len(), 7);

    // Every file of the tree, and of the base, is what it was.
    let (_dir, root) = unpacked(&layout);
    let (_base_dir, base) = unpacked(python_base().0);
    let zip = Project::empty();
    common::copy(&project.path("fn"), &zip.path("fn"));
    fs::copy(project.path("lambda-pack.toml"), zip.path("lambda-pack.toml")).unwrap();
    zip.build(&["--package", "zip"]);
    let task = contents(zip.unpack("f.zip").path("").as_path());
    let mut expected = contents(&base);
    for (path, what) in task {
        expected.insert(format!("var/task/{path}"), what);
    }
    for (folder, mode) in [("tmp", "1777"), ("proc", "755"), ("dev", "755")] {
        expected.insert(folder.to_owned(), format!("folder {mode}"));
    }
    let found = contents(&root);
    let differ: Vec<_> = expected
        .iter()
        .filter(|(path, what)| found.get(*path) != Some(what))
        // A zip has folders by their files alone, with whatever mode `unzip` gives them.
        .filter(|(path, what)| !(path.starts_with("var/task/") && what.starts_with("folder")))
        .collect();
    assert!(differ.is_empty(), "{differ:#?}");
    assert!(found.keys().all(|path| expected.contains_key(path)));
    assert!(
        found
            .iter()
            .all(|(path, what)| !path.starts_with("var/task/") || !what.starts_with("folder") || what == "folder 755")
    );

    let answer: Value = serde_json::from_str(&invoke(&root, &config, "{\"n\": 1}")).unwrap();
    assert_eq!(answer, json!({"requests": "2.32.3", "event": {"n": 1}}));

    let bill: Value =
        serde_json::from_slice(&fs::read(project.out(function["sbom"].as_str().unwrap())).unwrap()).unwrap();
    let urls: Vec<&str> = bill["components"].as_array().unwrap().iter().map(|c| c["purl"].as_str().unwrap()).collect();
    assert!(urls.contains(&"pkg:pypi/requests@2.32.3") && urls.len() == 5, "{urls:?}");
    assert_eq!((&bill["specVersion"], bill.get("serialNumber")), (&json!("1.6"), None));

    // What we have made is what we take.
    assert_eq!(said(&project.run(&["check", "--format", "json", layout.to_str().unwrap()])), Vec::<String>::new());
}

/// A program that answers one event, with nothing but the standard library.
const PROGRAM: &str = r#"
use std::io::{Read, Write};
fn call(head: String, body: &str) -> String {
    let api = std::env::var("AWS_LAMBDA_RUNTIME_API").unwrap();
    let mut stream = std::net::TcpStream::connect(&api).unwrap();
    write!(stream, "{head} HTTP/1.1\r\nHost: {api}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut text = String::new();
    let mut byte = [0];
    // The other side ends with the event, or hangs up.
    while !text.ends_with('}') && stream.read(&mut byte).unwrap_or(0) == 1 {
        text.push(char::from(byte[0]));
    }
    text
}
fn main() {
    let event = call("GET /2018-06-01/runtime/invocation/next".to_owned(), "");
    let event = event.split("\r\n\r\n").nth(1).unwrap().to_owned();
    call("POST /2018-06-01/runtime/invocation/1/response".to_owned(), &format!("rust {event}"));
}
"#;

/// A Cargo package whose binary is linked statically, or not.
fn rust(is_static: bool) -> Project {
    let project = Project::empty();
    let flags = if is_static { "[build]\nrustflags = ['-C', 'target-feature=+crt-static']\n" } else { "" };
    project
        .write("Cargo.toml", "[package]\nname = 'answers'\nversion = '0.1.0'\nedition = '2021'\n\n[package.metadata.lambda-pack.functions.answers]\npackage = 'image'\nbase = 'scratch'\n")
        .write(".cargo/config.toml", flags)
        .write("src/main.rs", PROGRAM);
    project
}

#[test]
fn a_rust_function_from_scratch_answers() {
    let project = rust(true);
    let manifest = project.build(&["--arch", host_architecture()]);
    let image = &manifest["functions"][0]["image"];
    let layout = project.out("answers.oci");
    accepted(&layout, image["digest"].as_str().unwrap());
    let (_, config) = oci::documents(&layout);
    assert_eq!(config["config"]["Entrypoint"], json!(["/var/runtime/bootstrap"]));
    assert!(config["config"].get("Cmd").is_none() || config["config"]["Cmd"] == json!(null));
    let (_dir, root) = unpacked(&layout);
    let files: Vec<String> =
        contents(&root).into_iter().filter(|(_, what)| what.starts_with("file")).map(|(path, _)| path).collect();
    assert_eq!(files, ["var/runtime/bootstrap"]);
    assert_eq!(invoke(&root, &config, "{\"n\": 2}"), "rust {\"n\": 2}");
}

#[test]
fn a_program_whose_loader_is_missing_is_refused() {
    let project = rust(false);
    let run = project.run(&["build", "--arch", host_architecture(), "--format", "json"]);
    assert_eq!(run.code, 3, "{}", run.transcript());
    let manifest: Value = serde_json::from_str(&run.stdout).unwrap();
    let messages: Vec<&str> =
        manifest["findings"].as_array().unwrap().iter().map(|f| f["message"].as_str().unwrap()).collect();
    assert!(
        messages.iter().any(|m| m.starts_with(
            "Runtime.InvalidEntrypoint: fork/exec /var/runtime/bootstrap: no such file or directory (its loader `/lib"
        )),
        "{messages:#?}"
    );
    assert!(!project.out("answers.oci").exists());
}

#[test]
fn a_bootstrap_goes_where_the_bases_of_aws_start_it() {
    let project = Project::empty();
    let base = [Entry::File("lambda-entrypoint.sh", 0o755, b"#!/bin/sh\n"), Entry::File("bin/sh", 0o755, &elf())];
    oci::layout(&project.path("base"), &[Image::new(oci::aws_config(), vec![Layer::gzip(&base)])]);
    project.write("fn/data.txt", "x").write(
        "lambda-pack.toml",
        &format!(
            "[functions.f]\npath = 'fn'\nruntime = 'provided.al2023'\narchitecture = '{}'\npackage = 'image'\nbase = 'oci:base:latest'\n",
            host_architecture()
        ),
    );
    fs::write(project.path("fn/bootstrap"), elf()).unwrap();
    fs::set_permissions(project.path("fn/bootstrap"), fs::Permissions::from_mode(0o755)).unwrap();
    project.build::<&str>(&[]);
    let (_, config) = oci::documents(&project.out("f.oci"));
    assert_eq!(
        (&config["config"]["Entrypoint"], &config["config"]["Cmd"]),
        (&json!(["/lambda-entrypoint.sh"]), &json!(["bootstrap"]))
    );
    let (_dir, root) = unpacked(&project.out("f.oci"));
    let found = contents(&root);
    assert!(found["var/runtime/bootstrap"].starts_with("file 755 ") && found.contains_key("var/task/data.txt"));
    assert!(!found.contains_key("var/task/bootstrap"));
    // The base's own file stays what it is, whatever is done to the image.
    let [base, built] = ["base", "target/lambda-pack/f.oci"].map(|name| project.path(name));
    let first = format!("blobs/sha256/{}", &oci::layers(&base)[0][7..]);
    assert_ne!(fs::metadata(base.join(&first)).unwrap().ino(), fs::metadata(built.join(&first)).unwrap().ino());
    // Damaged after it was read once: not taken for what it was.
    fs::write(base.join(&first), fs::read(base.join(&first)).unwrap().iter().map(|byte| byte ^ 1).collect::<Vec<_>>())
        .unwrap();
    let run = project.run(&["build", "--out-dir", "elsewhere"]);
    assert_eq!(run.code, 1, "{}", run.transcript());
    assert!(run.stderr.contains("it is damaged"), "{}", run.stderr);
}
