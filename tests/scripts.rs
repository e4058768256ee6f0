//! Install scripts, and packages that no digest of the lock proves: with real npm, on real packages and on traps.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test that cannot go on should say where")]

#[path = "node/project.rs"]
#[allow(dead_code)]
mod project;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex};

use lambda_pack::error::{Error, Kind};
use lambda_pack::finding::{Finding, Rule};
use lambda_pack::lambda::Architecture;
use lambda_pack::process::Tool;
use lambda_pack::resolve::Resolution;

use project::{How, Project, answer, files, names};

const HOST: Architecture = if cfg!(target_arch = "aarch64") { Architecture::Arm64 } else { Architecture::X86_64 };
const OTHER: Architecture = if cfg!(target_arch = "aarch64") { Architecture::X86_64 } else { Architecture::Arm64 };

/// Name, `package.json` and other files of a package.
type Package<'p> = (&'p str, &'p str, &'p [(&'p str, &'p str)]);

/// A project that depends on packages of its own, each packed by npm. Their `{COUNT}` is a file outside of the project that
/// scripts add a line to, so that one sees how often they have run.
struct Own {
    project: Project,
    outside: tempfile::TempDir,
}

impl Own {
    fn new(packages: &[Package<'_>]) -> Self {
        let own = Self { project: Project::empty(), outside: tempfile::tempdir().unwrap() };
        let count = own.outside.path().join("count").display().to_string();
        let mut needs = Vec::new();
        for (name, manifest, contents) in packages {
            own.project.write(&format!("src/{name}/package.json"), &manifest.replace("{COUNT}", &count));
            for (path, text) in *contents {
                own.project.write(&format!("src/{name}/{path}"), text);
            }
            own.project.npm(&["pack", &format!("./src/{name}"), "--ignore-scripts"]);
            needs.push(format!("\"{name}\": \"file:{name}-1.0.0.tgz\""));
        }
        own.project.write("package.json", &format!("{{\"name\": \"p\", \"dependencies\": {{{}}}}}", needs.join(", ")));
        fs::remove_dir_all(own.project.root().join("src")).unwrap();
        own.lock();
        own
    }

    fn lock(&self) {
        let _ = fs::remove_file(self.project.root().join("package-lock.json"));
        self.project.npm(&["install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund"]);
    }

    fn runs(&self) -> usize {
        fs::read_to_string(self.outside.path().join("count")).unwrap_or_default().lines().count()
    }

    fn store(&self) -> std::path::PathBuf {
        self.outside.path().join("store")
    }

    fn resolve(&self, allow_scripts: &[&str]) -> Result<Resolution, Error> {
        let store = self.store();
        self.project.resolve_as("", HOST, How { store: Some(&store), allow_scripts, ..How::default() })
    }
}

fn not_run(resolution: &Resolution) -> Vec<&Finding> {
    resolution.findings.iter().filter(|finding| finding.rule == Rule::InstallScriptNotRun).collect()
}

fn text<'f>(files: &'f BTreeMap<String, (Vec<u8>, bool)>, path: &str) -> &'f str {
    std::str::from_utf8(&files.get(path).unwrap_or_else(|| panic!("no {path} in {:?}", files.keys())).0).unwrap()
}

/// All files of a folder with their contents.
fn everything(folder: &Path) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
    let entries = walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap).filter(|e| e.file_type().is_file());
    entries.map(|entry| (entry.path().to_owned(), fs::read(entry.path()).unwrap())).collect()
}

/// The runtime of the Node.js that runs here, and one of another.
fn runtimes() -> (String, String) {
    let tool = Tool::new("node").args(["-p", "process.versions.node.split('.')[0]"]);
    let major: u8 = tool.run().map_err(Error::from).unwrap().text().trim().parse().unwrap();
    assert!([18, 20, 22, 24].contains(&major), "these tests need Node.js 18, 20, 22 or 24, not {major}");
    (format!("nodejs{major}.x"), format!("nodejs{}.x", if major == 22 { 20 } else { 22 }))
}

/// A package that is made when it is installed, with the command of another one.
const MADE: &str = r#"{"name": "made", "version": "1.0.0", "bin": "run.js", "dependencies": {"helper": "1.0.0"}, "scripts": {
    "preinstall": "echo preinstall > events.txt", "install": "helper install && echo x >> {COUNT}",
    "postinstall": "node make.js"}}"#;
const HELPER: &str = r#"{"name": "helper", "version": "1.0.0", "bin": "helper.js", "scripts": {"install": "exit 9"}}"#;

fn made() -> Own {
    let helper = "#!/usr/bin/env node\nrequire('fs').appendFileSync('events.txt', process.argv[2] + '\\n');\n";
    let make = "const fs = require('fs');
        const { npm_config_platform: os, npm_config_arch: arch, npm_config_libc: libc } = process.env;
        fs.appendFileSync('events.txt', 'postinstall\\n');
        fs.writeFileSync('target.json', JSON.stringify({ os, arch, libc }));
        fs.writeFileSync('tool', '#!/bin/sh\\n', { mode: 0o755 });
        fs.unlinkSync('make.js');\n";
    Own::new(&[
        ("helper", HELPER, &[("helper.js", helper)]),
        ("made", MADE, &[("make.js", make), ("run.js", "#!/usr/bin/env node\n"), ("lib/kept.js", "1")]),
    ])
}

#[test]
fn a_package_is_packed_as_its_scripts_leave_it() {
    let own = made();
    let before = everything(own.project.root());
    let published = own.resolve(&[]).unwrap();
    let paths: Vec<_> = not_run(&published).iter().map(|finding| finding.path.clone().unwrap()).collect();
    assert_eq!(paths, ["node_modules/helper", "node_modules/made"]);
    assert!(not_run(&published)[1].hint.contains("allow-scripts = [\"made\"]"), "{:?}", not_run(&published));
    assert!(files(&published).contains_key("node_modules/made/make.js") && own.runs() == 0);

    let resolution = own.resolve(&["made"]).unwrap();
    let ours = files(&resolution);
    assert_eq!(text(&ours, "node_modules/made/events.txt"), "preinstall\ninstall\npostinstall\n");
    let cpu = HOST.node_cpu();
    let target = format!(r#"{{"os":"linux","arch":"{cpu}","libc":"glibc"}}"#);
    assert_eq!(text(&ours, "node_modules/made/target.json"), target);
    assert!(ours["node_modules/made/tool"].1 && ours["node_modules/made/run.js"].1);
    assert!(!ours["node_modules/made/lib/kept.js"].1 && !ours.contains_key("node_modules/made/make.js"));
    // The script of what it needs is not allowed, and nothing but its own files belongs to the package.
    assert_eq!(not_run(&resolution).len(), 1);
    assert!(!ours.keys().any(|path| path.contains(".bin") || path.contains("made/node_modules")), "{:?}", ours.keys());
    assert!(resolution.inputs.is_none() && resolution.notes.is_empty(), "{:?}", resolution.notes);
    assert_eq!(everything(own.project.root()), before, "the project is left as it was");
}

#[test]
fn what_scripts_left_is_kept_by_all_that_they_were_given() {
    let own = made();
    let first = files(&own.resolve(&["made"]).unwrap());
    assert_eq!((files(&own.resolve(&["made"]).unwrap()) == first, own.runs()), (true, 1));
    // Without what was kept it is the same.
    fs::remove_dir_all(own.store()).unwrap();
    assert_eq!((files(&own.resolve(&["made"]).unwrap()) == first, own.runs()), (true, 2));
    // What is damaged in the store is not taken.
    let built = own.store().join("archives-v1/built");
    for path in everything(&built).into_keys().filter(|path| path.extension().is_some_and(|e| e == "zip")) {
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
    }
    assert_eq!((files(&own.resolve(&["made"]).unwrap()) == first, own.runs()), (true, 3));
    // Another target, another configuration, another version of what it needs.
    let store = own.store();
    let how = How { store: Some(&store), allow_scripts: &["made"], ..How::default() };
    let other = files(&own.project.resolve_as("", OTHER, how).unwrap());
    assert!(text(&other, "node_modules/made/target.json").contains(OTHER.node_cpu()) && own.runs() == 4);
    own.project.write(".npmrc", "some-setting=1\n");
    own.resolve(&["made"]).unwrap();
    assert_eq!(own.runs(), 5);
    own.project.write("again/package.json", &HELPER.replace("exit 9", "exit 8"));
    own.project
        .write("again/helper.js", "#!/usr/bin/env node\nrequire('fs').writeFileSync('events.txt', 'other\\n');\n");
    own.project.npm(&["pack", "./again", "--ignore-scripts"]);
    fs::remove_dir_all(own.project.root().join("again")).unwrap();
    own.lock();
    let again = files(&own.resolve(&["made"]).unwrap());
    assert_eq!((text(&again, "node_modules/made/events.txt"), own.runs()), ("other\npostinstall\n", 6));
    // Kept results need no network; what is not kept may.
    let offline = How { offline: true, ..how };
    assert!(own.project.resolve_as("", HOST, offline).is_ok());
    own.project.write(".npmrc", "some-setting=2\n");
    let error = own.project.resolve_as("", HOST, offline).err().unwrap();
    assert!(error.to_string().contains("the install scripts of made 1.0.0 may fetch"), "{error}");
    assert_eq!(own.runs(), 6);
}

#[test]
fn a_script_that_fails_is_named() {
    let bad = r#"{"name": "bad", "version": "1.0.0", "scripts": {
        "preinstall": "echo fine", "install": "echo the last words >&2; exit 3", "postinstall": "echo x >> {COUNT}"}}"#;
    let own = Own::new(&[("bad", bad, &[])]);
    let error = own.resolve(&["bad"]).err().unwrap();
    assert_eq!(error.kind(), Kind::Failed);
    let said = error.to_string();
    assert!(said.starts_with("the script `install` of bad 1.0.0 failed:"), "{said}");
    assert!(said.contains("the last words") && !said.contains("npm info"), "{said}");
    assert!(error.hints()[0].contains("`npm rebuild bad`") && own.runs() == 0);
    // Nothing of it is kept.
    assert!(own.resolve(&["bad"]).is_err());
}

#[test]
fn what_a_script_does_beside_its_package_is_told() {
    let stray = r#"{"name": "stray", "version": "1.0.0", "scripts": {
        "postinstall": "mkdir -p ../.made && echo 1 > ../.made/client.js && ln -s /etc/hostname away"}}"#;
    let own = Own::new(&[("stray", stray, &[])]);
    let error = own.resolve(&["stray"]).err().unwrap().to_string();
    assert!(error.contains("the link `away` leads to `/etc/hostname`"), "{error}");
    let stray = stray.replace(" && ln -s /etc/hostname away", "");
    let own = Own::new(&[("stray", &stray, &[])]);
    for _ in 0..2 {
        let resolution = own.resolve(&["stray", "unknown"]).unwrap();
        assert_eq!(resolution.notes.len(), 2, "{:?}", resolution.notes);
        assert!(resolution.notes[0].contains("stray 1.0.0 also wrote `node_modules/.made/client.js`"));
        assert!(resolution.notes[1].contains("`allow-scripts` names `unknown`"));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn native_code_is_compiled_for_the_function_or_refused() {
    let project = Project::empty();
    // It calls V8, and has no install script but its `binding.gyp`.
    project.write("package.json", r#"{"name": "p", "dependencies": {"unix-dgram": "2.0.7"}}"#);
    project.npm(&["install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund"]);
    let (runtime, other) = runtimes();
    let (own, another) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let how = How { allow_scripts: &["unix-dgram"], runtime: Some(&runtime), ..How::default() };
    let first = How { store: Some(own.path()), ..how };
    let resolution = project.resolve_as("", HOST, first).unwrap();
    let ours = files(&resolution);
    assert!(resolution.findings.is_empty(), "{:?}", resolution.findings);
    let built: Vec<_> = ours.keys().filter(|path| path.starts_with("node_modules/unix-dgram/build/")).collect();
    assert_eq!(built, ["node_modules/unix-dgram/build/Release/unix_dgram.node"]);
    project.write("index.js", "");
    let script =
        "const s = require('unix-dgram').createSocket('unix_dgram', () => {}); console.log(typeof s.send); s.close()";
    assert_eq!(answer(&project, "", &["index.js"], &resolution, script), "function");
    // Made once more, in another folder, it is the same to the byte.
    let again = project.resolve_as("", HOST, How { store: Some(another.path()), ..how }).unwrap();
    assert!(files(&again) == ours, "two builds of the same package differ");

    let error = project.resolve_as("", HOST, How { runtime: Some(&other), ..how }).err().unwrap();
    let said = error.to_string();
    assert!(error.kind() == Kind::Failed && said.contains("unix-dgram 2.0.7"), "{said}");
    // Headers of that Node.js cannot be had everywhere; with those of this one, the module is for this one.
    assert!(said.contains("for another Node.js than") || said.contains("the script `install`"), "{said}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_downloaded_binary_of_another_machine_is_a_finding() {
    let project = Project::empty();
    project.write("package.json", r#"{"name": "p", "dependencies": {"esbuild": "0.25.12"}}"#);
    project.npm(&["install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund"]);
    let how = How { allow_scripts: &["esbuild"], ..How::default() };
    let resolution = project.resolve_as("", HOST, how).unwrap();
    assert!(resolution.findings.is_empty(), "{:?}", resolution.findings);
    assert!(files(&resolution)["node_modules/esbuild/bin/esbuild"].0.starts_with(b"\x7fELF"));
    // Its script looks at the processor that it runs on.
    for _ in 0..2 {
        let resolution = project.resolve_as("", OTHER, how).unwrap();
        let wrong: Vec<_> = resolution.findings.iter().filter(|f| f.rule == Rule::WrongArchitecture).collect();
        assert!(wrong.iter().any(|f| f.path.as_deref() == Some("node_modules/esbuild/bin/esbuild")), "{wrong:?}");
        let (host, other) = (HOST.as_str(), OTHER.as_str());
        let message =
            format!("the install scripts of esbuild 0.25.12 left a file for {host}, but the function runs on {other}");
        assert_eq!(wrong[0].message, message);
    }
}

fn git(folder: &Path, args: &[&str]) -> String {
    let author = ["-c", "user.name=t", "-c", "user.email=t@example.test", "-c", "init.defaultBranch=main"];
    let tool = Tool::new("git").args(author).args(args).cwd(folder).in_no_repository();
    tool.run().map_err(Error::from).unwrap().text().trim().to_owned()
}

#[test]
fn commits_are_packed_as_npm_packs_them() {
    let own = Own { project: Project::empty(), outside: tempfile::tempdir().unwrap() };
    let project = &own.project;
    let manifest = r#"{"name": "from-git", "version": "2.0.0", "files": ["index.js", "dist"],
        "scripts": {"prepare": "mkdir -p dist && cp index.js dist/built.js"}}"#;
    project.write("repo/package.json", manifest);
    project.write("repo/index.js", "module.exports = 1;\n");
    project.write("repo/left-out.js", "");
    let repo = project.root().join("repo");
    git(&repo, &["init", "--quiet"]);
    git(&repo, &["add", "."]);
    git(&repo, &["commit", "--quiet", "-m", "one"]);
    let commit = git(&repo, &["rev-parse", "HEAD"]);
    let url = format!("git+file://{}#{commit}", repo.display());
    project.write("app/package.json", &format!(r#"{{"name": "p", "dependencies": {{"from-git": "{url}"}}}}"#));
    let lock = serde_json::json!({"lockfileVersion": 3, "packages": {"": {"dependencies": {"from-git": url}},
        "node_modules/from-git": {"version": "2.0.0", "resolved": url}}});
    project.write("app/package-lock.json", &lock.to_string());
    let store = own.store();
    let how = How { store: Some(&store), ..How::default() };
    let resolve = |how: How<'_>| project.resolve_as("app", HOST, how);

    let resolution = resolve(how).unwrap();
    assert_eq!(names(&resolution), ["from-git 2.0.0"]);
    let ours = files(&resolution);
    let mut expected = vec!["node_modules/from-git/index.js", "node_modules/from-git/package.json"];
    // Whatever it is told, npm before 10 runs `prepare` of what it fetches from Git.
    let npm = Tool::new("npm").args(["--version"]).run().map_err(Error::from).unwrap();
    if npm.text().split('.').next().and_then(|major| major.trim().parse::<u8>().ok()).is_some_and(|major| major < 10) {
        expected.insert(0, "node_modules/from-git/dist/built.js");
    }
    assert_eq!(ours.keys().collect::<Vec<_>>(), expected);
    assert!(not_run(&resolution)[0].message.contains("a `prepare` script, which is not run"));
    assert!(resolution.inputs.is_none());

    let allowed = How { allow_scripts: &["from-git"], ..how };
    let prepared = resolve(allowed).unwrap();
    assert_eq!(text(&files(&prepared), "node_modules/from-git/dist/built.js"), "module.exports = 1;\n");
    assert!(not_run(&prepared).is_empty(), "{:?}", prepared.findings);

    // A commit does not change: nothing is fetched again that day.
    fs::rename(&repo, project.root().join("gone")).unwrap();
    fs::create_dir(&repo).unwrap();
    assert!(files(&resolve(how).unwrap()) == ours);
    assert!(files(&resolve(allowed).unwrap()) == files(&prepared));
    let error = resolve(How { empty_store: true, ..How::default() }).err().unwrap().to_string();
    assert!(error.contains("from-git 2.0.0 cannot be fetched from `git+file:"), "{error}");
}

/// Serves one archive, which a test may change.
fn serve(body: &Arc<Mutex<Vec<u8>>>) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/odd.tgz", listener.local_addr().unwrap());
    let body = Arc::clone(body);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            lines.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
            let body = body.lock().unwrap().clone();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    url
}

fn tarball(index: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for (path, text) in [("package.json", r#"{"name": "odd", "version": "1.0.0"}"#), ("index.js", index)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, format!("package/{path}"), text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

#[test]
fn archives_without_integrity_are_fetched_each_time_and_told() {
    let body = Arc::new(Mutex::new(tarball("one")));
    let url = serve(&body);
    let own = Own { project: Project::empty(), outside: tempfile::tempdir().unwrap() };
    own.project.write("local.tgz", "");
    own.project.write_bytes("local.tgz", &tarball("local"));
    let needs = serde_json::json!({"odd": url, "ms": "2.0.0", "local": "file:local.tgz"});
    own.project.write("package.json", &serde_json::json!({"dependencies": needs}).to_string());
    let lock = serde_json::json!({"lockfileVersion": 3, "packages": {"": {"dependencies": needs},
        "node_modules/odd": {"version": "1.0.0", "resolved": url}, "node_modules/ms": {"version": "2.0.0"},
        "node_modules/local": {"version": "1.0.0", "resolved": "file:local.tgz"}}});
    own.project.write("package-lock.json", &lock.to_string());
    let resolution = own.resolve(&[]).unwrap();
    assert_eq!(names(&resolution), ["local 1.0.0", "ms 2.0.0", "odd 1.0.0"]);
    let ours = files(&resolution);
    assert_eq!(
        (text(&ours, "node_modules/odd/index.js"), text(&ours, "node_modules/local/index.js")),
        ("one", "local")
    );
    assert!(ours.contains_key("node_modules/ms/package.json"));
    assert_eq!(resolution.notes.iter().filter(|note| note.contains("has no integrity in the lock")).count(), 2);
    assert!(resolution.inputs.is_none());
    *body.lock().unwrap() = tarball("two");
    own.project.write_bytes("local.tgz", &tarball("other"));
    let ours = files(&own.resolve(&[]).unwrap());
    assert_eq!(
        (text(&ours, "node_modules/odd/index.js"), text(&ours, "node_modules/local/index.js")),
        ("two", "other")
    );
    let store = own.store();
    let how = How { store: Some(&store), offline: true, ..How::default() };
    let error = own.project.resolve_as("", HOST, how).err().unwrap().to_string();
    assert!(error.contains("without a digest, and `--offline` forbids"), "{error}");
}
