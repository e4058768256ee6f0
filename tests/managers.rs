//! Locks that pnpm, Yarn and Bun have written, against what these install themselves: every package finds of each other
//! exactly the version that it would find there.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

#[path = "managers/broken.rs"]
mod broken;
#[path = "managers/bundle.rs"]
mod bundle;
mod common;

use std::path::Path;
use std::process::Command;

use common::{Project, Unpacked};
use serde_json::{Value, json};

/// A package manager of `tests/.tools`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manager {
    Pnpm,
    Pnpm8,
    Yarn,
    Berry,
    Bun,
}

impl Manager {
    fn lock(self) -> &'static str {
        match self {
            Self::Pnpm | Self::Pnpm8 => "pnpm-lock.yaml",
            Self::Yarn | Self::Berry => "yarn.lock",
            Self::Bun => "bun.lock",
        }
    }

    fn command(self) -> Command {
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.tools/node/node_modules");
        assert!(tools.is_dir(), "the package managers are missing: run `make tools`");
        let script = match self {
            Self::Pnpm => "pnpm/bin/pnpm.cjs",
            Self::Pnpm8 => "pnpm8/bin/pnpm.cjs",
            Self::Yarn => "yarn/bin/yarn.js",
            Self::Berry => "@yarnpkg/cli-dist/bin/yarn.js",
            Self::Bun => {
                // npm before 10.4 installs those of all C libraries.
                let platforms = std::fs::read_dir(tools.join("@oven")).unwrap().map(|entry| entry.unwrap().path());
                let mut binaries = platforms.filter(|path| !path.display().to_string().ends_with("-musl"));
                let binary = binaries.find_map(|path| Some(path.join("bin/bun")).filter(|bun| bun.is_file()));
                return Command::new(binary.expect("bun is missing: run `make tools`"));
            }
        };
        let mut command = Command::new("node");
        command.arg(tools.join(script));
        command
    }

    /// Runs it, with a cache that all tests of all runs share.
    fn run(self, folder: &Path, args: &[&str]) {
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("managers");
        let output = self
            .command()
            .args(args)
            .current_dir(folder)
            .env("YARN_CACHE_FOLDER", cache.join(format!("{self:?}")))
            .env("YARN_ENABLE_GLOBAL_CACHE", "false")
            .env("YARN_ENABLE_TELEMETRY", "0")
            .env("YARN_ENABLE_IMMUTABLE_INSTALLS", "false")
            .env("BUN_INSTALL_CACHE_DIR", cache.join("bun"))
            .env("npm_config_store_dir", cache.join(format!("{self:?}")))
            .env("npm_config_manage_package_manager_versions", "false")
            .env_remove("CI")
            .output()
            .expect("node is missing: apt-get install nodejs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{self:?} {args:?}\n{}\n{}", text(&output.stdout), text(&output.stderr));
    }

    /// Lets it write the lock and install.
    fn install(self, folder: &Path) {
        match self {
            Self::Pnpm | Self::Pnpm8 => self.run(folder, &["install", "--ignore-scripts", "--no-frozen-lockfile"]),
            Self::Yarn => self.run(folder, &["install", "--ignore-scripts", "--non-interactive", "--silent"]),
            Self::Berry => {
                std::fs::write(folder.join("yarn.lock"), "").unwrap();
                self.run(folder, &["install", "--mode=skip-build"]);
            }
            Self::Bun => self.run(folder, &["install", "--ignore-scripts", "--save-text-lockfile"]),
        }
    }
}

/// A workspace in the manner of a manager: a function, a sibling, two versions of `react` with packages that want the one of
/// their user, an alias, a circle, an optional package with binaries, and what only development needs.
fn workspace(manager: Manager) -> Project {
    let project = Project::empty();
    let is_pnpm = matches!(manager, Manager::Pnpm | Manager::Pnpm8);
    let mut root = json!({"name": "root", "version": "1.0.0", "private": true, "devDependencies": {"is-odd": "3.0.1"}});
    if !is_pnpm {
        root["workspaces"] = json!(["packages/*"]);
    }
    let sibling = if manager == Manager::Yarn { "1.0.0" } else { "workspace:*" };
    let lodash = if manager == Manager::Pnpm { "catalog:" } else { "^4.17.20" };
    let api = json!({
        "name": "@x/api", "version": "1.0.0",
        "dependencies": {
            "@x/shared": sibling, "debug": "4.3.4", "ms": "2.1.3", "react": "17.0.2", "react-dom": "17.0.2",
            "old": "npm:lodash@3.10.1", "lodash": lodash, "express": "4.18.2",
        },
        "optionalDependencies": {"sharp": "0.33.5"},
        "devDependencies": {"semver": "7.5.4"},
    });
    let shared = json!({
        "name": "@x/shared", "version": "1.0.0",
        "dependencies": {"ms": "1.0.0", "react": "18.2.0", "react-dom": "18.2.0", "use-sync-external-store": "1.2.0"},
    });
    project
        .write("package.json", &root.to_string())
        .write("packages/api/package.json", &api.to_string())
        .write("packages/shared/package.json", &shared.to_string())
        .write("packages/api/index.js", API)
        .write("packages/shared/index.js", SHARED);
    if is_pnpm {
        project.write("pnpm-workspace.yaml", "packages:\n  - 'packages/*'\ncatalog:\n  lodash: ^4.17.20\n");
    }
    if manager == Manager::Berry {
        project.write(".yarnrc.yml", "nodeLinker: node-modules\n");
    }
    project
}

const API: &str = "const shared = require('@x/shared');
exports.handler = async () => ({
  ms: require('ms/package.json').version, react: require('react').version, dom: require('react-dom').version,
  old: require('old').VERSION, lodash: require('lodash').VERSION.split('.')[0], debug: typeof require('debug'), shared,
});
";
const SHARED: &str = "module.exports = {
  ms: require('ms/package.json').version, react: require('react').version, dom: require('react-dom').version,
  same: require('use-sync-external-store/shim').useSyncExternalStore === require('react').useSyncExternalStore,
};
";

/// Which version each package finds of what it asks for, from a function's folder on, as Node.js looks it up. Packages for
/// another libc are not looked at: not every manager leaves them out.
fn edges(root: &Path, folder: &Path) -> Vec<String> {
    let script = "
const fs = require('fs'), path = require('path');
const root = fs.realpathSync(process.argv[1]), start = fs.realpathSync(process.argv[2]);
const read = (dir) => JSON.parse(fs.readFileSync(path.join(dir, 'package.json'), 'utf8'));
const find = (from, name) => {
  for (let dir = from; dir.startsWith(root); dir = path.dirname(dir)) {
    if (path.basename(dir) === 'node_modules') continue;
    const there = path.join(dir, 'node_modules', name);
    if (fs.existsSync(path.join(there, 'package.json'))) return fs.realpathSync(there);
  }
};
const seen = new Set(), edges = new Set(), queue = [start];
while (queue.length) {
  const at = queue.pop();
  if (seen.has(at)) continue;
  seen.add(at);
  const m = read(at), optional = m.peerDependenciesMeta || {};
  const peers = Object.keys(m.peerDependencies || {}).filter((name) => !(optional[name] || {}).optional);
  const names = [...Object.keys(m.dependencies || {}), ...Object.keys(m.optionalDependencies || {}), ...peers];
  for (const name of new Set(names)) {
    const to = find(at, name);
    if (!to || name.includes('musl')) continue;
    const n = read(to);
    edges.add(`${m.name}@${m.version} ${name} -> ${n.name}@${n.version}`);
    queue.push(to);
  }
}
console.log([...edges].sort().join('\\n'));";
    let output = Command::new("node").arg("-e").arg(script).arg(root).arg(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn names(manifest: &Value) -> Vec<String> {
    let packages = manifest["functions"][0]["packages"].as_array().unwrap();
    packages.iter().map(|p| format!("{} {}", p["name"].as_str().unwrap(), p["version"].as_str().unwrap())).collect()
}

fn build(project: &Project, args: &[&str]) -> Value {
    project.build(&[&["packages/api", "--runtime", "nodejs22.x", "--out-dir", "out"], args].concat())
}

/// Whatever a manager has installed, each finds in the zip what it finds there, and the function runs.
fn is_what_is_installed(manager: Manager) {
    let project = workspace(manager);
    manager.install(&project.path(""));
    let manifest = build(&project, &["--arch", common::host_architecture()]);
    let artifact = project.path("out").join(manifest["functions"][0]["artifact"]["path"].as_str().unwrap());
    let unpacked = Unpacked::of(&artifact);
    let expected = edges(&project.path(""), &project.path("packages/api"));
    assert!(expected.len() > 90, "{expected:?}");
    let ours = edges(&unpacked.path(""), &unpacked.path(""));
    let lost: Vec<_> = expected.iter().filter(|edge| !ours.contains(edge)).collect();
    let more: Vec<_> = ours.iter().filter(|edge| !expected.contains(edge)).collect();
    assert!(lost.is_empty() && more.is_empty(), "{manager:?}\nlost: {lost:#?}\nmore: {more:#?}");
    let said = common::call_node(&unpacked.path(""), "index.handler", "{}");
    let shared = json!({"ms": "1.0.0", "react": "18.2.0", "dom": "18.2.0", "same": true});
    let wanted = json!({"ms": "2.1.3", "react": "17.0.2", "dom": "17.0.2", "old": "3.10.1", "lodash": "4", "debug": "function", "shared": shared});
    assert_eq!(said, wanted, "{manager:?}");
    let files = unpacked.files();
    assert!(
        !files.iter().any(|f| f.contains("is-odd") || f.contains("musl") || f.contains("node_modules/.")),
        "{manager:?}"
    );
    assert!(!walkdir::WalkDir::new(unpacked.path("")).into_iter().any(|e| e.unwrap().path_is_symlink()));
    again_elsewhere(manager, &project, &std::fs::read(&artifact).unwrap());
    for_the_other_processor(manager, &project);
}

/// The same bytes from a folder with another name, without anything installed.
fn again_elsewhere(manager: Manager, project: &Project, there: &[u8]) {
    let other = Project::empty();
    let at = other.path("ein Ordner ü");
    std::fs::create_dir(&at).unwrap();
    let mut files = vec!["package.json", manager.lock(), "packages/api/package.json", "packages/api/index.js"];
    files.extend(["packages/shared/package.json", "packages/shared/index.js"]);
    files.extend(["pnpm-workspace.yaml", ".yarnrc.yml"].iter().filter(|file| project.path(file).is_file()));
    for file in files {
        let to = at.join(file);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(project.path(file), to).unwrap();
    }
    let args = ["build", "packages/api", "--runtime", "nodejs22.x", "--arch", common::host_architecture()];
    let args = [&args[..], &["--locked", "--format", "json", "--out-dir", "out"]].concat();
    let run = common::Run::of(other.command(&args).current_dir(&at), &at);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let manifest: Value = serde_json::from_str(&run.stdout).unwrap();
    let artifact = manifest["functions"][0]["artifact"]["path"].as_str().unwrap();
    let here = std::fs::read(at.join("out").join(artifact)).unwrap();
    assert!(here == there, "{manager:?}: {} and {} bytes", here.len(), there.len());
}

fn for_the_other_processor(manager: Manager, project: &Project) {
    let (arch, cpu) = if common::host_architecture() == "arm64" { ("x86_64", "x64") } else { ("arm64", "arm64") };
    let manifest = build(project, &["--arch", arch]);
    let of_img: Vec<String> = names(&manifest).into_iter().filter(|name| name.starts_with("@img/")).collect();
    let expected = [format!("@img/sharp-libvips-linux-{cpu} 1.0.4"), format!("@img/sharp-linux-{cpu} 0.33.5")];
    assert_eq!(of_img, expected, "{manager:?}");
}

#[test]
fn pnpm() {
    is_what_is_installed(Manager::Pnpm);
}

#[test]
fn pnpm_8() {
    is_what_is_installed(Manager::Pnpm8);
}

#[test]
fn yarn_1() {
    is_what_is_installed(Manager::Yarn);
}

#[test]
fn yarn_berry() {
    is_what_is_installed(Manager::Berry);
}

#[test]
fn bun() {
    is_what_is_installed(Manager::Bun);
}
