//! Locks that are broken, hostile or odd, and registries that do not answer.

use std::io::{Read as _, Write as _};

use serde_json::json;

use super::{Manager, names};
use crate::common::{self, Project};

/// A project of one folder with a lock that somebody else has written.
fn with_lock(manager: Manager, manifest: &str, lock: &str) -> Project {
    let project = Project::empty();
    project
        .write("package.json", manifest)
        .write("index.js", "exports.handler = async () => 1;\n")
        .write(manager.lock(), lock);
    if manager == Manager::Berry {
        project.write(".yarnrc.yml", "nodeLinker: node-modules\n");
    }
    project
}

const MANIFEST: &str = r#"{"name": "p", "version": "1.0.0", "dependencies": {"a": "1.0.0"}}"#;
const BERRY: &str =
    "__metadata:\n  version: 8\n\n\"p@workspace:.\":\n  version: 0.0.0-use.local\n  resolution: \"p@workspace:.\"\n\n";

fn pnpm(package: &str) -> String {
    format!(
        "lockfileVersion: '9.0'\nimporters:\n  .:\n    dependencies:\n      a: {{specifier: 1.0.0, version: {package}}}\npackages:\n  a@1.0.0:\n    resolution: {{directory: ../../outside, type: directory}}\nsnapshots:\n  a@1.0.0: {{}}\n"
    )
}

#[test]
fn locks_that_cannot_be_right_are_refused_with_the_next_step() {
    let outside = pnpm("link:../../outside");
    let folder = pnpm("1.0.0");
    let unnamed = pnpm("1.0.0").replace("  a@1.0.0: {}\n", "");
    let of_bun = |package: &str| {
        format!(
            r#"{{"lockfileVersion": 1, "workspaces": {{"": {{"name": "p", "dependencies": {{"a": "1.0.0"}}}}}}, "packages": {{{package}}}}}"#
        )
    };
    let of_berry = |entry: &str| format!("{BERRY}\"a@npm:1.0.0\":\n  version: 1.0.0\n  resolution: \"{entry}\"\n");
    for (manager, lock, why, hint) in [
        (
            Manager::Pnpm,
            "lockfileVersion: '9.0'\nimporters:\n  .: {dependencies: {a".to_owned(),
            "pnpm-lock.yaml:4:",
            "",
        ),
        (Manager::Pnpm, "lockfileVersion: 5.4\n".to_owned(), "6.0 and 9.0 are read", "pnpm install --lockfile-only"),
        (Manager::Pnpm, outside, "outside the project", ""),
        (Manager::Pnpm, folder, "outside the project", ""),
        (Manager::Pnpm, unnamed, "needs `a`, which the lock does not hold", "pnpm install --lockfile-only"),
        (
            Manager::Pnpm,
            pnpm("1.0.0").replace("specifier: 1.0.0", "specifier: ^2.0.0"),
            "was written for `^2.0.0`",
            "pnpm install",
        ),
        (
            Manager::Pnpm,
            pnpm("1.0.0(patch_hash=x)").replace("  a@1.0.0: {}", "  a@1.0.0(patch_hash=x): {}"),
            "is patched",
            "depend on a release",
        ),
        (
            Manager::Yarn,
            "a@1.0.0:\n  version \"1.0.0\"\n  resolved \"file:../../x.tgz#aa\"\n".to_owned(),
            "outside the project",
            "",
        ),
        (Manager::Yarn, "a@1.0.0:\n  version\n".to_owned(), "yarn.lock:2:3", "yarn install"),
        (
            Manager::Yarn,
            "b@1.0.0:\n  version \"1.0.0\"\n".to_owned(),
            "needs `a`, which the lock does not hold",
            "yarn install",
        ),
        (
            Manager::Yarn,
            "a@1.0.0:\n  version \"1.0.0\"\n  resolved \"git+ext::sh -c x#aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"\n"
                .to_owned(),
            "no address in Git",
            "",
        ),
        (Manager::Berry, of_berry("a@portal:../../x"), "outside the project", ""),
        (Manager::Berry, of_berry("a@patch:a@npm%3A1.0.0#./x.patch"), "is patched", "yarn install"),
        (Manager::Berry, of_berry(""), "no `resolution` that names a package", "yarn install"),
        (Manager::Bun, of_bun(r#""a": ["a@file:../../x"]"#), "outside the project", ""),
        (
            Manager::Bun,
            of_bun(r#""a": ["a@1.0.0", "ftp://x/a.tgz", {}, "sha512-AA=="]"#),
            "has an integrity that cannot be read",
            "",
        ),
        (Manager::Bun, "{\"workspaces\": {".to_owned(), "bun.lock:1:", ""),
    ] {
        let project = with_lock(manager, MANIFEST, &lock);
        let run = project.run(&["build", "--runtime", "nodejs22.x", "--offline"]);
        assert!(
            run.code != 0 && !project.path("target/lambda-pack").join("project.zip").exists(),
            "{lock}\n{}",
            run.stdout
        );
        assert!(run.stderr.contains(why) && run.stderr.contains(hint), "{manager:?} {why}\n{lock}\n{}", run.stderr);
    }
}

#[test]
fn managers_that_cannot_be_read_say_the_setting_to_change() {
    let project = with_lock(Manager::Berry, MANIFEST, BERRY);
    for config in ["", "nodeLinker: pnp\n"] {
        project.write(".yarnrc.yml", config);
        let run = project.run(&["build", "--runtime", "nodejs22.x"]);
        assert!(run.code == 2 && run.stderr.contains("set `nodeLinker: node-modules`"), "{}", run.stderr);
    }
    let project = Project::empty();
    project.write("package.json", MANIFEST).write("bun.lockb", "\0\u{1}");
    let run = project.run(&["build", "--runtime", "nodejs22.x"]);
    assert!(run.code == 2 && run.stderr.contains("bun install --save-text-lockfile"), "{}", run.stderr);
}

/// What a registry has answered to, with a status for all of it.
fn registry(status: &'static str) -> (u16, std::sync::Arc<std::sync::Mutex<Vec<String>>>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = std::sync::Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut buffer = [0; 4096];
            let length = stream.read(&mut buffer).unwrap_or(0);
            heard.lock().unwrap().push(String::from_utf8_lossy(&buffer[..length]).to_lowercase());
            let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    (port, asked)
}

#[test]
fn a_registry_that_wants_to_know_who_asks_is_asked_with_what_each_manager_has() {
    const SRI: &str = "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==";
    let pnpm = format!(
        "lockfileVersion: '9.0'\nimporters:\n  .:\n    dependencies:\n      a: {{specifier: 1.0.0, version: 1.0.0}}\npackages:\n  a@1.0.0:\n    resolution: {{integrity: {SRI}}}\nsnapshots:\n  a@1.0.0: {{}}\n"
    );
    let bun = json!({"workspaces": {"": {"name": "p", "dependencies": {"a": "1.0.0"}}}, "packages": {"a": ["a@1.0.0", "", {}, SRI]}});
    let berry =
        format!("{BERRY}\"a@npm:1.0.0\":\n  version: 1.0.0\n  resolution: \"a@npm:1.0.0\"\n  checksum: 10c0/aa\n");
    for (manager, lock, file, settings) in [
        (
            Manager::Pnpm,
            pnpm,
            ".npmrc",
            "registry=http://127.0.0.1:PORT/npm/\n//127.0.0.1:PORT/npm/:_authToken=s3cret\n",
        ),
        (
            Manager::Bun,
            bun.to_string(),
            "bunfig.toml",
            "[install]\nregistry = {url = 'http://127.0.0.1:PORT/npm/', token = 's3cret'}\n",
        ),
        (
            Manager::Berry,
            berry,
            ".yarnrc.yml",
            "nodeLinker: node-modules\nunsafeHttpWhitelist: ['*']\nnpmRegistryServer: http://127.0.0.1:PORT/npm\nnpmAuthToken: s3cret\n",
        ),
        (
            Manager::Yarn,
            format!(
                "a@1.0.0:\n  version \"1.0.0\"\n  resolved \"http://127.0.0.1:PORT/npm/a/-/a-1.0.0.tgz#aa\"\n  integrity {SRI}\n"
            ),
            ".npmrc",
            "//127.0.0.1:PORT/npm/:_authToken=s3cret\n",
        ),
    ] {
        let (port, asked) = registry("401 Unauthorized");
        let project = with_lock(manager, MANIFEST, &lock.replace("PORT", &port.to_string()));
        project.write(file, &settings.replace("PORT", &port.to_string()));
        let run = project.run(&["build", "--runtime", "nodejs22.x"]);
        assert_eq!(run.code, 1, "{manager:?} {}", run.stderr);
        assert!(
            run.stderr.contains("401")
                && run.stderr.contains("the registry wants credentials")
                && !run.stderr.contains("s3cret"),
            "{manager:?} {}",
            run.stderr
        );
        let asked = asked.lock().unwrap();
        assert!(asked.iter().all(|request| request.contains("authorization: bearer s3cret")), "{manager:?} {asked:?}");
        assert!(!asked.is_empty());
    }
}

#[test]
fn yarns_zips_are_packages_only_if_the_lock_proves_them() {
    let project = Project::empty();
    project
        .write("package.json", r#"{"name": "p", "version": "1.0.0", "dependencies": {"ms": "2.1.3", "ms-of-patch": "patch:ms@npm%3A2.1.2#./own.patch"}}"#)
        .write(".yarnrc.yml", "nodeLinker: node-modules\nenableGlobalCache: false\n")
        .write("own.patch", "diff --git a/index.js b/index.js\n--- a/index.js\n+++ b/index.js\n@@ -1,4 +1,5 @@\n+// patched\n /**\n  * Helpers.\n  */\n \n")
        .write("index.js", "exports.handler = async () => [require('ms')(1000), require('fs').readFileSync(require.resolve('ms-of-patch'), 'utf8').slice(0, 10)];\n");
    std::fs::write(project.path("yarn.lock"), "").unwrap();
    let cache = project.path(".yarn/cache");
    let yarn = |args: &[&str]| {
        let mut command = Manager::Berry.command();
        command
            .args(args)
            .current_dir(project.path(""))
            .env("YARN_CACHE_FOLDER", &cache)
            .env("YARN_ENABLE_TELEMETRY", "0")
            .env("YARN_ENABLE_GLOBAL_CACHE", "false")
            .env("YARN_ENABLE_IMMUTABLE_INSTALLS", "false");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    };
    yarn(&["install", "--mode=skip-build"]);
    let build = |offline: bool| {
        let mut command = project.command(&["build", "--runtime", "nodejs22.x", "--format", "json"]);
        let store = tempfile::tempdir().unwrap();
        command
            .env("LAMBDA_PACK_CACHE_DIR", store.path())
            .env("HOME", store.path())
            .env("npm_config_cache", store.path());
        if offline {
            command.arg("--offline");
        }
        common::Run::of(&mut command, &project.path(""))
    };
    let run = build(true);
    assert_eq!(run.code, 0, "the cache is enough: {}", run.stderr);
    let said = common::call_node(&project.unpack("project.zip").path(""), "index.handler", "{}");
    assert_eq!(said, json!(["1s", "// patched"]));
    let zips = std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path());
    let zip = { zips }.find(|path| path.to_str().unwrap().contains("/ms-npm-2.1.3")).unwrap();
    let whole = std::fs::read(&zip).unwrap();
    let mut spoilt = whole.clone();
    spoilt[200] ^= 1;
    std::fs::write(&zip, spoilt).unwrap();
    let run = build(true);
    assert!(run.code == 1 && run.stderr.contains("ms 2.1.3 is not in Yarn's cache"), "{}", run.stderr);
    let run = build(false);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(names(&serde_json::from_str(&run.stdout).unwrap()).len(), 2);
}

#[test]
fn what_comes_from_git_archives_and_folders_is_packed() {
    let project = Project::empty();
    let own = project.path("own");
    std::fs::create_dir_all(&own).unwrap();
    std::fs::write(own.join("package.json"), r#"{"name": "own", "version": "1.2.3", "main": "i.js"}"#).unwrap();
    std::fs::write(own.join("i.js"), "module.exports = 'own';").unwrap();
    let npm = std::process::Command::new("npm")
        .args(["pack", "--silent", "./own"])
        .current_dir(project.path(""))
        .output()
        .unwrap();
    assert!(npm.status.success());
    project.write("index.js", "exports.handler = async () => [require('tar'), require('dir')];\n");
    for manager in [Manager::Pnpm, Manager::Pnpm8, Manager::Yarn, Manager::Berry, Manager::Bun] {
        for file in ["pnpm-lock.yaml", "yarn.lock", "bun.lock", "pnpm-workspace.yaml", ".yarnrc.yml"] {
            let _ = std::fs::remove_file(project.path(file));
        }
        let _ = std::fs::remove_dir_all(project.path("node_modules"));
        project.write(
            "package.json",
            r#"{"name": "p", "version": "1.0.0", "dependencies": {"tar": "file:own-1.2.3.tgz", "dir": "file:./own"}}"#,
        );
        if manager == Manager::Berry {
            project.write(".yarnrc.yml", "nodeLinker: node-modules\n");
        }
        manager.install(&project.path(""));
        let run = project.run(&["build", "--runtime", "nodejs22.x"]);
        assert_eq!(run.code, 0, "{manager:?} {}", run.stderr);
        let said = common::call_node(&project.unpack("project.zip").path(""), "index.handler", "{}");
        assert_eq!(said, json!(["own", "own"]), "{manager:?}");
    }
}

#[test]
fn of_several_locks_the_one_that_package_json_names_decides() {
    let project = with_lock(Manager::Yarn, r#"{"name": "p", "dependencies": {}}"#, "# yarn lockfile v1\n");
    project.write("pnpm-lock.yaml", "lockfileVersion: '9.0'\nimporters:\n  .: {}\n");
    let run = project.done(&["build", "--runtime", "nodejs22.x"]);
    assert!(run.stdout.contains("`pnpm-lock.yaml` decides; `yarn.lock` is not read"), "{}", run.stdout);
    project.write("package.json", r#"{"name": "p", "packageManager": "yarn@1.22.22"}"#);
    let run = project.done(&["build", "--runtime", "nodejs22.x"]);
    assert!(run.stdout.contains("`yarn.lock` decides, as `packageManager` in package.json says"), "{}", run.stdout);
}
