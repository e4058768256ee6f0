//! Node.js functions resolved from real packages of npm's registry, compared with what npm itself installs.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

#[path = "node/project.rs"]
mod project;

use std::fs;
use std::path::PathBuf;

use lambda_pack::error::{Error, Kind};
use lambda_pack::finding::Rule;
use lambda_pack::lambda::{self, Architecture};
use lambda_pack::process::Tool;
use lambda_pack::project::FunctionSpec;
use lambda_pack::report::Silent;
use lambda_pack::resolve::node::Node;
use lambda_pack::resolve::{Application, Context, Request, Resolver};
use lambda_pack::store::{Fetcher, Store};
use lambda_pack::tree::Entry;

use project::{How, Project, answer, assert_same, files, installed, names};

#[test]
fn express_is_what_npm_ci_installs() {
    let project = Project::fixture("node-express");
    let resolution = project.resolve("", Architecture::X86_64).unwrap();
    assert_eq!(resolution.resolved_by, "package-lock.json");
    assert!(resolution.findings.is_empty(), "{:?}", resolution.findings);
    let replaced = matches!(resolution.application, Application::Folder { replaced: ["node_modules"], filter: None });
    assert!(replaced);
    project.npm(&["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"]);
    let ours = files(&resolution);
    assert!(
        ours.contains_key("node_modules/express/package.json")
            && !ours.contains_key("node_modules/semver/package.json")
    );
    assert!(ours["node_modules/mime/cli.js"].1, "a command is executable");
    assert_same(&ours, &installed(project.root()));
}

#[test]
fn sharp_gets_exactly_the_binaries_of_its_target() {
    let project = Project::fixture("node-sharp");
    let version = |name: &str| {
        let lock: serde_json::Value = serde_json::from_str(&project.read("package-lock.json")).unwrap();
        lock["packages"][format!("node_modules/{name}")]["version"].as_str().unwrap().to_owned()
    };
    for (architecture, cpu) in [(Architecture::X86_64, "x64"), (Architecture::Arm64, "arm64")] {
        let resolution = project.resolve("", architecture).unwrap();
        let of_img: Vec<String> = names(&resolution).into_iter().filter(|name| name.starts_with("@img/")).collect();
        let expected = [format!("@img/sharp-libvips-linux-{cpu}"), format!("@img/sharp-linux-{cpu}")];
        let expected: Vec<String> = expected.iter().map(|name| format!("{name} {}", version(name))).collect();
        assert_eq!(of_img, expected);
        let scripts: Vec<_> = resolution.findings.iter().filter(|f| f.rule == Rule::InstallScriptNotRun).collect();
        assert_eq!(scripts.len(), 1);
        assert_eq!(scripts[0].path.as_deref(), Some("node_modules/sharp"));
        // Where npm can be told the target, it installs the same; older ones have no `--libc`.
        let target = [format!("--cpu={cpu}"), "--os=linux".to_owned(), "--libc=glibc".to_owned()];
        let mut args = vec!["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"];
        args.extend(target.iter().map(String::as_str));
        if npm_knows_targets() {
            project.npm(&args);
            assert_same(&files(&resolution), &installed(project.root()));
        }
    }
}

fn npm_knows_targets() -> bool {
    let output = Tool::new("npm").arg("--version").run().map_err(Error::from).unwrap();
    let version: Vec<u32> = output.text().trim().split('.').filter_map(|part| part.parse().ok()).collect();
    version >= vec![10, 4]
}

#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
fn what_is_packed_runs() {
    let express = Project::fixture("node-express");
    let resolution = express.resolve("", Architecture::X86_64).unwrap();
    let script = "require('./index').handler({ rawPath: '/hello/you' }).then((r) => console.log(r.statusCode, r.body))";
    let said = answer(&express, "", &["index.js"], &resolution, script);
    assert_eq!(said, r#"200 {"hello":"you","query":{}}"#);
    let sharp = Project::fixture("node-sharp");
    let resolution = sharp.resolve("", Architecture::X86_64).unwrap();
    let script =
        "import('./index.mjs').then((m) => m.handler({ width: 32 })).then((r) => console.log(r.width, r.format))";
    assert_eq!(answer(&sharp, "", &["index.mjs"], &resolution, script), "32 png");
}

#[test]
fn a_lock_without_libc_still_leaves_musl_out() {
    let project = Project::fixture("node-sharp");
    let mut lock: serde_json::Value = serde_json::from_str(&project.read("package-lock.json")).unwrap();
    for (_, entry) in lock["packages"].as_object_mut().unwrap() {
        entry.as_object_mut().unwrap().remove("libc");
    }
    project.write("package-lock.json", &lock.to_string());
    let resolution = project.resolve("", Architecture::Arm64).unwrap();
    assert!(!names(&resolution).iter().any(|name| name.contains("musl")), "{:?}", names(&resolution));
    assert!(names(&resolution).iter().any(|name| name.starts_with("@img/sharp-linux-arm64")));
}

#[test]
fn a_workspace_is_flattened_and_runs() {
    let project = Project::fixture("node-workspace");
    let resolution = project.resolve("packages/api", Architecture::X86_64).unwrap();
    let ours = files(&resolution);
    let of = |path: &str| String::from_utf8(ours[&format!("node_modules/{path}/package.json")].0.clone()).unwrap();
    assert!(of("ms").contains("\"2.1.3\""));
    assert!(of("debug/node_modules/ms").contains("\"2.0.0\""));
    assert!(of("@fixture/shared/node_modules/ms").contains("\"1.0.0\""));
    assert!(ours.contains_key("node_modules/@fixture/shared/lib/index.js"));
    assert!(!ours.keys().any(|path| path.contains("shared/test") || path.contains("semver")));
    let Application::Folder { filter: Some(filter), .. } = &resolution.application else { panic!("no filter") };
    let dropped = |path: &str| filter(path);
    assert_eq!(dropped("index.js"), None);
    assert_eq!(dropped("package.json"), None);
    assert_eq!(dropped("lib/versions.js"), None);
    assert_eq!(dropped("lib/versions.test.js"), Some("not in package.json files"));
    assert_eq!(dropped("notes.txt"), Some("not in package.json files"));

    let script = "require('./index').handler({}).then((r) => console.log(JSON.stringify(r.versions)))";
    let said = answer(&project, "packages/api", &["index.js", "lib/versions.js"], &resolution, script);
    assert_eq!(said, r#"{"api":"2.1.3","debug":"2.0.0","shared":"1.0.0"}"#);
}

#[test]
fn a_project_without_lock_gets_one_that_is_not_kept() {
    let project = Project::empty();
    project.write(
        "package.json",
        r#"{"name": "p", "dependencies": {"ms": "2.1.3", "lib": "file:lib"}, "devDependencies": {"debug": "*"}}"#,
    );
    project.write(
        "lib/package.json",
        r#"{"name": "lib", "version": "0.1.0", "bin": "run.js", "dependencies": {"ms": "2.0.0"}}"#,
    );
    project.write("lib/run.js", "#!/usr/bin/env node\n");
    let how = How { locked: true, ..How::default() };
    let error = project.resolve_as("", Architecture::X86_64, how).err().unwrap();
    assert!(error.kind() == Kind::Config && error.to_string().contains("--locked"), "{error}");
    let resolution = project.resolve("", Architecture::X86_64).unwrap();
    assert_eq!(names(&resolution), ["lib 0.1.0", "ms 2.0.0", "ms 2.1.3"]);
    assert!(files(&resolution)["node_modules/lib/run.js"].1, "the command of a folder is executable");
    assert!(resolution.notes[0].contains("commit the lock"));
    assert!(!project.root().join("package-lock.json").exists());
}

#[test]
fn a_workspace_without_lock_is_resolved_from_its_root() {
    let project = Project::fixture("node-workspace");
    fs::remove_file(project.root().join("package-lock.json")).unwrap();
    let resolution = project.resolve("packages/api", Architecture::X86_64).unwrap();
    let shared = ["@fixture/shared 1.0.0", "ms 1.0.0"];
    assert_eq!(names(&resolution)[..2], shared);
    assert_eq!(resolution.resolved_by, "package.json (npm)");
}

#[test]
fn locks_that_leave_the_project_are_refused() {
    let project = Project::empty();
    project.write("in/package.json", r#"{"dependencies": {"x": "file:../out"}}"#);
    project.write("out/package.json", r#"{"name": "x"}"#);
    let lock = serde_json::json!({"lockfileVersion": 3, "packages": {"": {"dependencies": {"x": "file:../out"}},
        "../out": {}, "node_modules/x": {"link": true, "resolved": "../out"}}});
    project.write("in/package-lock.json", &lock.to_string());
    // Beside the lock, but within the project.
    assert_eq!(names(&project.resolve("in", Architecture::X86_64).unwrap()), ["x 0.0.0"]);
    let inner = Project::empty();
    inner.write("package.json", &project.read("in/package.json"));
    inner.write("package-lock.json", &project.read("in/package-lock.json"));
    let error = inner.resolve("", Architecture::X86_64).err().unwrap();
    assert!(error.kind() == Kind::Config && error.to_string().contains("outside the project"), "{error}");
}

#[test]
fn local_tarballs_and_shrinkwraps_are_read() {
    let project = Project::empty();
    project.write("src/package.json", r#"{"name": "packed", "version": "1.2.3"}"#);
    project.write("src/index.js", "module.exports = 1;\n");
    project.npm(&["pack", "./src", "--pack-destination", "."]);
    project.write(
        "package.json",
        r#"{"name": "p", "dependencies": {"packed": "file:packed-1.2.3.tgz", "alias": "npm:ms@2.0.0"}}"#,
    );
    project.npm(&["install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund"]);
    fs::rename(project.root().join("package-lock.json"), project.root().join("npm-shrinkwrap.json")).unwrap();
    project.write("package-lock.json", "not even JSON");
    let resolution = project.resolve("", Architecture::Arm64).unwrap();
    assert_eq!(resolution.resolved_by, "npm-shrinkwrap.json");
    assert_eq!(names(&resolution), ["ms 2.0.0", "packed 1.2.3"]);
    let ours = files(&resolution);
    assert!(ours.contains_key("node_modules/packed/index.js") && ours.contains_key("node_modules/alias/index.js"));
}

#[test]
fn folders_without_dependencies_need_no_npm_and_no_lock() {
    let project = Project::empty();
    project.write("plain/index.js", "");
    project.write("node_modules/x/index.js", "");
    let how = How { offline: true, locked: true, empty_store: true, ..How::default() };
    let resolution = project.resolve_as("plain", Architecture::X86_64, how).unwrap();
    assert!(matches!(resolution.application, Application::Folder { replaced: [], filter: None }));
    project.write("package.json", r#"{"devDependencies": {"x": "*"}}"#);
    let resolution = project.resolve_as("", Architecture::X86_64, how).unwrap();
    assert!(resolution.packages.is_empty() && resolution.notes[0].contains("node_modules"), "{:?}", resolution.notes);
}

#[test]
fn offline_says_what_is_missing() {
    let project = Project::fixture("node-express");
    // Digests that npm's own cache has nothing of either.
    let lock = project.read("package-lock.json");
    let unknown = |line: &str| match line.split_once("sha512-") {
        Some((key, digest)) => format!("{key}sha512-{}{}\n", "b".repeat(20), &digest[20..]),
        None => format!("{line}\n"),
    };
    project.write("package-lock.json", &lock.lines().map(unknown).collect::<String>());
    let how = How { offline: true, empty_store: true, ..How::default() };
    let error = project.resolve_as("", Architecture::X86_64, how).err().unwrap();
    assert!(
        error.to_string().contains("packages could not be fetched") && error.to_string().contains("--offline"),
        "{error}"
    );
}

#[test]
fn what_npm_has_fetched_is_not_fetched_again() {
    let project = Project::fixture("node-express");
    project.npm(&["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"]);
    // An empty store and no network: npm's cache has everything, by digest.
    let how = How { offline: true, empty_store: true, ..How::default() };
    assert!(names(&project.resolve_as("", Architecture::X86_64, how).unwrap()).len() > 10);
}

#[test]
fn a_lock_of_another_system_is_mended_by_the_command_that_the_error_prints() {
    let project = Project::fixture("node-sharp");
    let mut lock: serde_json::Value = serde_json::from_str(&project.read("package-lock.json")).unwrap();
    lock["packages"].as_object_mut().unwrap().retain(|key, _| !key.contains("@img/") || key.contains("darwin"));
    project.write("package-lock.json", &lock.to_string());
    let error = project.resolve("", Architecture::Arm64).err().unwrap();
    assert!(error.kind() == Kind::Config && error.to_string().contains("lacks `@img/sharp-"), "{error}");
    let command = error.hints().iter().find_map(|hint| hint.split('`').find(|part| part.starts_with("rm "))).unwrap();
    Tool::new("sh").args(["-c", command]).cwd(project.root()).run().map_err(Error::from).unwrap();
    assert!(names(&project.resolve("", Architecture::Arm64).unwrap()).iter().any(|n| n.contains("sharp-linux-arm64")));
}

#[test]
fn functions_of_one_workspace_are_resolved_together() {
    let project = Project::fixture("node-workspace");
    let store = Store::new(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("node-store"));
    let fetcher = Fetcher::new(&store, false, &Silent);
    let context = Context { store: &store, fetcher: &fetcher, reporter: &Silent, offline: false, locked: true };
    let functions: Vec<FunctionSpec> = ["packages/api", "packages/shared", "", "packages/none"]
        .iter()
        .map(|folder| FunctionSpec::new("f", project.root().join(folder), "nodejs22.x"))
        .collect();
    project.write("packages/none/package.json", "{\"dependencies\": 1}");
    let requests: Vec<Request<'_>> = functions
        .iter()
        .map(|function| Request {
            function,
            runtime: lambda::find("nodejs22.x").unwrap(),
            architecture: Architecture::Arm64,
            project_root: project.root(),
            skip: &[],
        })
        .collect();
    let mut answers = Node.resolve(&requests, &context);
    let error = answers.pop().unwrap().err().unwrap();
    assert!(error.to_string().contains("none/package.json:1:"), "{error}");
    let root = answers.pop().unwrap().unwrap();
    assert_eq!(names(&root), ["ms 2.0.0"]);
    assert_eq!(names(&answers.pop().unwrap().unwrap()), ["ms 1.0.0"]);
    let api = names(&answers.pop().unwrap().unwrap());
    assert_eq!(api, ["@fixture/shared 1.0.0", "ms 1.0.0", "debug 2.6.9", "ms 2.0.0", "ms 2.1.3"]);
}

/// A registry on this machine that wants a token and keeps its one archive at an address of its own.
fn registry(archive: Vec<u8>) -> String {
    use std::io::{BufRead, BufReader, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/npm", listener.local_addr().unwrap());
    let own = address.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let head: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            let known = head.iter().any(|line| line.eq_ignore_ascii_case("authorization: Bearer the-token"));
            let (status, body) = match head.first().and_then(|line| line.split(' ').nth(1)) {
                _ if !known => ("401 Unauthorized", Vec::new()),
                Some("/npm/@own%2fodd") => {
                    let dist = serde_json::json!({"tarball": format!("{own}/elsewhere/odd.tgz")});
                    ("200 OK", serde_json::json!({"versions": {"1.0.0": {"dist": dist}}}).to_string().into_bytes())
                }
                Some("/npm/elsewhere/odd.tgz") => ("200 OK", archive.clone()),
                _ => ("404 Not Found", Vec::new()),
            };
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)).unwrap();
        }
    });
    address
}

/// An archive whose root folder is not called `package`, with its integrity.
fn archive() -> (Vec<u8>, String) {
    use base64::Engine as _;
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    let files = [
        ("package.json", r#"{"name": "@own/odd", "version": "1.0.0", "bin": "./cli"}"#),
        ("cli", "#!"),
        (".npmrc", ""),
    ];
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, format!("odd-abc123/{path}"), text.as_bytes()).unwrap();
    }
    let bytes = tar.into_inner().unwrap().finish().unwrap();
    let mut hasher = lambda_pack::store::Hasher::new(lambda_pack::store::Algorithm::Sha512);
    hasher.update(&bytes);
    let hex = hasher.finish().hex();
    let digest: Vec<u8> = (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect();
    (bytes, format!("sha512-{}", base64::engine::general_purpose::STANDARD.encode(digest)))
}

#[test]
fn a_private_registry_is_asked_with_its_token_for_what_lies_elsewhere() {
    let (bytes, integrity) = archive();
    let registry = registry(bytes);
    let project = Project::empty();
    project.write("package.json", r#"{"dependencies": {"@own/odd": "1.0.0"}}"#);
    let lock = serde_json::json!({"lockfileVersion": 3, "packages": {"": {"dependencies": {"@own/odd": "1.0.0"}},
        "node_modules/@own/odd": {"version": "1.0.0", "integrity": integrity}}});
    project.write("package-lock.json", &lock.to_string());
    let how = How { empty_store: true, ..How::default() };
    project.write(".npmrc", &format!("@own:registry={registry}\n"));
    let error = project.resolve_as("", Architecture::X86_64, how).err().unwrap();
    assert!(error.to_string().contains("the server answered 401"), "{error}");
    let host = registry.trim_start_matches("http:");
    project.write(".npmrc", &format!("@own:registry={registry}\n{host}/:_authToken=the-token\n"));
    let resolution = project.resolve_as("", Architecture::X86_64, how).unwrap();
    let tree = &resolution.packages[0].tree;
    assert_eq!(
        tree.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(),
        ["node_modules/@own/odd/cli", "node_modules/@own/odd/package.json"]
    );
    assert!(matches!(tree.get("node_modules/@own/odd/cli"), Some(Entry::File { executable: true, .. })));
}

#[test]
fn a_changed_archive_is_refused() {
    let project = Project::empty();
    let integrity = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    project.write("package.json", r#"{"dependencies": {"ms": "2.0.0"}}"#);
    let lock = serde_json::json!({"lockfileVersion": 3, "packages": {"": {"dependencies": {"ms": "2.0.0"}},
        "node_modules/ms": {"version": "2.0.0", "integrity": integrity}}});
    project.write("package-lock.json", &lock.to_string());
    let error = project.resolve("", Architecture::X86_64).err().unwrap();
    assert!(error.to_string().contains("does not have the digest that its lock names"), "{error}");
}
