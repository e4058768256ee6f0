//! From folders on disk to projects.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test says so by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use lambda_pack::error::{Error, Kind};
use lambda_pack::finding::{Level, Override, Rule};
use lambda_pack::lambda::Architecture;
use lambda_pack::project::{FunctionSpec, Project, Selection, init_config, load};
use tempfile::TempDir;

/// A folder with these files; a name that ends with a slash is a folder.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        write(dir.path(), name, text);
    }
    dir
}

#[expect(clippy::disallowed_methods, reason = "a fixture, which nobody else reads meanwhile")]
fn write(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    if name.ends_with('/') {
        return fs::create_dir_all(path).unwrap();
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn at(path: impl Into<PathBuf>) -> Selection {
    Selection { path: path.into(), ..Selection::default() }
}

fn names(project: &Project) -> Vec<&str> {
    project.functions.iter().map(|f| f.name.as_str()).collect()
}

/// The error with the scratch folder's path taken away, and its hints.
fn fails(root: &Path, selection: &Selection) -> (String, Vec<String>) {
    let error: Error = load(selection).unwrap_err();
    assert_eq!(error.kind(), Kind::Config, "{error}");
    let shown =
        |text: &str| text.replace(&format!("{}/", root.display()), "").replace(&root.display().to_string(), ".");
    (shown(&error.to_string()), error.hints().iter().map(|hint| shown(hint)).collect())
}

/// The error of a `lambda-pack.toml` beside a Python function in `api`.
fn config_error(text: &str) -> (String, Vec<String>) {
    let dir = folder(&[("lambda-pack.toml", text), ("api/app.py", "")]);
    fails(dir.path(), &at(dir.path()))
}

#[test]
fn a_bare_folder_is_one_function() {
    for (files, runtime) in [
        ([("app.py", ""), ("x.js", "")].as_slice(), "python3.13"),
        (&[("requirements.txt", "")], "python3.13"),
        (&[("index.mjs", "")], "nodejs22.x"),
        (&[("package.json", r#"{"engines": {"node": ">=24"}}"#)], "nodejs24.x"),
    ] {
        let dir = folder(files);
        let project = load(&at(dir.path())).unwrap();
        let [function] = project.functions.as_slice() else { panic!("one function") };
        assert_eq!((function.runtime.as_str(), function.handler.as_deref()), (runtime, None));
        assert_eq!(function.architecture, Architecture::X86_64);
        assert_eq!((project.origin.as_str(), project.root.as_path()), ("detection", dir.path()));
        assert_eq!(project.default_out_dir, dir.path().join("target/lambda-pack"));
    }
}

#[cfg(unix)]
#[test]
fn a_bootstrap_that_may_be_executed_is_a_function() {
    use std::os::unix::fs::PermissionsExt;
    let dir = folder(&[("svc/bootstrap", "#!/bin/sh\n")]);
    let path = dir.path().join("svc");
    assert!(load(&at(&path)).is_err());
    fs::set_permissions(path.join("bootstrap"), fs::Permissions::from_mode(0o755)).unwrap();
    let function = load(&at(&path)).unwrap().functions.remove(0);
    assert_eq!((function.name.as_str(), function.runtime.as_str()), ("svc", "provided.al2023"));
    assert_eq!(function.handler.as_deref(), Some("bootstrap"));
}

#[test]
fn a_folder_of_no_or_several_languages_needs_to_be_told() {
    let dir = folder(&[("both/package.json", "{}"), ("both/app.py", ""), ("go/go.mod", "")]);
    let (message, hints) = fails(dir.path(), &at(dir.path().join("both")));
    assert_eq!(message, "`both` is of several languages: Python (`app.py`), Node.js (`package.json`)");
    assert_eq!(hints, ["say which with `--runtime`, or `runtime` in `lambda-pack.toml`"]);
    let (message, hints) = fails(dir.path(), &at(dir.path().join("go")));
    assert_eq!(message, "cannot tell what `go` is: no file of it says which runtime it is for");
    assert!(hints[0].starts_with("looked for: Cargo.toml") && hints[1].contains("`go.mod` is Go's"), "{hints:?}");
    let selection = Selection { runtime: Some("nodejs24.x".to_owned()), ..at(dir.path().join("both")) };
    assert_eq!(load(&selection).unwrap().functions[0].runtime, "nodejs24.x");
    let (message, _) = fails(dir.path(), &at(dir.path().join("gone")));
    assert_eq!(message, "`gone` does not exist");
}

const MONOREPO: &str = r#"
[defaults]
architecture = "arm64"
exclude = ["*.md"]
allow-scripts = ["esbuild"]
environment = { STAGE = "test", LEVEL = "info" }
package = "zip"
layers = "none"

[functions.api]
path = "services/api"
runtime = "python3.12"
handler = "app.handler"
environment = { LEVEL = "debug" }
include = ["common/schemas", { from = "common/x.txt", to = "data/x.txt" }]
exclude = ["tests/"]
allow-scripts = ["@own/native"]

[functions.web]
path = "services/web"
architecture = "x86_64"

[checks]
case-collision = "error"
secret-file = "ignore"
env-too-large = "note"
"#;

fn monorepo() -> TempDir {
    folder(&[
        ("lambda-pack.toml", MONOREPO),
        ("services/api/app.py", ""),
        ("services/web/index.mjs", ""),
        ("other/", ""),
    ])
}

#[test]
fn a_config_describes_functions() {
    let dir = monorepo();
    let project = load(&at(dir.path())).unwrap();
    assert_eq!((project.origin.as_str(), names(&project)), ("lambda-pack.toml", vec!["api", "web"]));
    assert_eq!(project.default_out_dir, dir.path().join("target/lambda-pack"));
    let [api, web] = project.functions.as_slice() else { panic!("two functions") };
    assert_eq!(api.path, dir.path().join("services/api"));
    assert_eq!((api.runtime.as_str(), api.handler.as_deref()), ("python3.12", Some("app.handler")));
    assert_eq!((api.architecture, web.architecture), (Architecture::Arm64, Architecture::X86_64));
    assert_eq!(api.exclude, ["*.md", "tests/"]);
    assert_eq!(
        (api.allow_scripts.join(" "), web.allow_scripts.join(" ")),
        ("esbuild @own/native".into(), "esbuild".into())
    );
    let environment: Vec<_> = api.environment.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(environment, ["LEVEL=debug", "STAGE=test"]);
    let include: Vec<_> = api.include.iter().map(|i| (i.from.clone(), i.to.as_str())).collect();
    let common = dir.path().join("common");
    assert_eq!(include, [(common.join("schemas"), "schemas"), (common.join("x.txt"), "data/x.txt")]);
    assert_eq!(api.defined_at.as_ref().unwrap().line_column, Some((10, 12)));
    assert_eq!((web.runtime.as_str(), web.handler.as_deref()), ("nodejs22.x", None));
    let level = |rule: Rule| project.checks.0.get(&rule).copied();
    assert_eq!(level(Rule::CaseCollision), Some(Override::As(Level::Error)));
    assert_eq!(level(Rule::SecretFile), Some(Override::Ignore));
    assert_eq!(level(Rule::EnvTooLarge), Some(Override::As(Level::Note)));
}

#[test]
fn a_path_selects_the_functions_at_or_below_it() {
    let dir = monorepo();
    let below = |path: &str| load(&at(dir.path().join(path))).map(|p| names(&p).join(" "));
    assert_eq!(below("services").unwrap(), "api web");
    assert_eq!(below("services/api").unwrap(), "api");
    let (message, hints) = fails(dir.path(), &at(dir.path().join("other")));
    assert_eq!(message, "no function of `lambda-pack.toml` is at or below `other`");
    assert_eq!(hints, ["functions: api (services/api), web (services/web)"]);
}

#[test]
fn a_config_that_is_named_is_read_from_anywhere() {
    let dir = monorepo();
    let elsewhere = tempfile::tempdir().unwrap();
    let config = Some(dir.path().join("lambda-pack.toml"));
    assert_eq!(names(&load(&Selection { config, ..at(elsewhere.path()) }).unwrap()), ["api", "web"]);
}

#[test]
fn a_config_that_is_not_there_is_an_error() {
    let dir = folder(&[("app.py", "")]);
    let selection = Selection { config: Some(dir.path().join("x.toml")), ..at(dir.path()) };
    assert_eq!(fails(dir.path(), &selection).0, "the config `x.toml` does not exist");
}

#[test]
fn init_says_what_cargo_says_of_a_bad_manifest() {
    let dir = folder(&[("Cargo.toml", "[package]\nname = 'x'\nedition = '1999'\n")]);
    let error = init_config(dir.path()).unwrap_err().to_string();
    assert!(error.contains("cargo metadata") && error.contains("edition"), "{error}");
}

#[test]
fn names_select_and_the_command_line_overrides() {
    let dir = monorepo();
    let functions = vec!["web".to_owned()];
    let selection = Selection {
        functions,
        runtime: Some("nodejs24.x".to_owned()),
        handler: Some("x.y".to_owned()),
        architecture: Some(Architecture::Arm64),
        ..at(dir.path())
    };
    let project = load(&selection).unwrap();
    let [web] = project.functions.as_slice() else { panic!("one function") };
    assert_eq!((web.name.as_str(), web.runtime.as_str(), web.handler.as_deref()), ("web", "nodejs24.x", Some("x.y")));
    assert_eq!(web.architecture, Architecture::Arm64);
    let wanted = |name: &str| fails(dir.path(), &Selection { functions: vec![name.to_owned()], ..at(dir.path()) });
    let (message, hints) = wanted("wep");
    assert_eq!((message.as_str(), hints), ("there is no function `wep`", vec!["did you mean `web`?".to_owned()]));
    assert_eq!(wanted("zzzzzz").1, ["functions: api (services/api), web (services/web)"]);
}

#[test]
fn config_errors_name_the_key_the_line_and_the_nearest() {
    for (text, message, hint) in [
        (
            "[functions.api]\npath = 'api'\nruntme = 'x'\n",
            "lambda-pack.toml:3:1: unknown key `runtme` in `[functions.api]`",
            "did you mean `runtime`?",
        ),
        (
            "[function.api]\npath = 'api'\n",
            "lambda-pack.toml:1:2: unknown key `function` in `lambda-pack.toml`",
            "did you mean `functions`?",
        ),
        ("[defaults]\npath = 'api'\n", "lambda-pack.toml:2:1: unknown key `path` in `[defaults]`", ""),
        (
            "[functions.api]\npath = 'api'\nruntime = 3.13\n",
            "lambda-pack.toml:3:11: `runtime` must be a string, not a float",
            "",
        ),
        ("[functions]\napi = 'x'\n", "lambda-pack.toml:2:7: `api` must be a table, not a string", ""),
        (
            "[functions.api]\npath = 'api'\ninclude = [{ form = 'x' }]\n",
            "lambda-pack.toml:3:14: unknown key `form` in `[functions.api.include]`",
            "did you mean `from`?",
        ),
        (
            "[functions.api]\npath = 'api'\nenvironment = { A = 1 }\n",
            "lambda-pack.toml:3:21: `A` must be a string, not an integer",
            "",
        ),
        (
            "[functions.api]\npath = 'api'\narchitecture = 'aarch64'\n",
            "lambda-pack.toml:3:16: `architecture` cannot be `aarch64`",
            "Lambda calls it `arm64`",
        ),
        (
            "[functions.api]\npath = 'api'\npackage = 'imgae'\n",
            "lambda-pack.toml:3:11: `package` cannot be `imgae`",
            "did you mean `image`?",
        ),
        (
            "[functions.api]\npath = 'api'\nlayers = 'share'\n",
            "lambda-pack.toml:3:10: `layers` cannot be `share`: there is no layer of that name",
            "did you mean `shared`?",
        ),
        (
            "[functions.api]\npath = 'api'\nlayers = ['shared', 'deps']\n",
            "lambda-pack.toml:3:21: `layers` cannot be both `shared` and `deps`",
            "",
        ),
        (
            "[functions.api]\npath = 'api'\nlayers = ['arn:aws:lambda:eu-west-1:123456789012:layer:x']\n",
            "lambda-pack.toml:3:11: `layers` cannot be `arn:aws:lambda:eu-west-1:123456789012:layer:x`: there is no layer of that name",
            "`none`, `shared` or `deps`, and names of `[layers.NAME]` tables or ARNs: none, shared, deps",
        ),
        (
            "[functions.api]\npath = 'api'\n[layers.x]\npath = 'x'\n",
            "lambda-pack.toml:4:8: `x` does not exist",
            "paths are relative to the file that holds them",
        ),
        (
            "[functions.api]\npath = 'api'\n[layers.x]\npaht = 'x'\n",
            "lambda-pack.toml:4:1: unknown key `paht` in `[layers.x]`",
            "did you mean `path`?",
        ),
        (
            "[functions.api]\npath = 'api'\n[layers.x]\nruntime = 'python3.13'\n",
            "lambda-pack.toml:3:1: a layer needs a `path`, a `manifest`, `native` or an `arn`",
            "`path` is a folder, `manifest` a file such as requirements.txt, `native` names libraries of a system, `arn` a layer that exists",
        ),
        (
            "[functions.api]\npath = 'api'\n[layers.api]\npath = 'api'\n",
            "lambda-pack.toml:3:9: `api` and `api` collide: both are `API_…` in what `publish` prints",
            "rename one of them",
        ),
        (
            "[functions.api]\npath = 'api'\n[layers.shared]\npath = 'api'\n",
            "lambda-pack.toml:3:9: `shared` cannot name a layer",
            "",
        ),
        (
            "[functions.api]\npath = 'api'\n[layers.x]\narn = 'arn:aws:lambda:eu-west-1:123456789012:layer:x'\n",
            "lambda-pack.toml:4:7: `arn:aws:lambda:eu-west-1:123456789012:layer:x` is not the ARN of a version of a layer",
            "it ends with the version: `arn:aws:lambda:REGION:ACCOUNT:layer:NAME:VERSION`",
        ),
        (
            "[defaults]\nlayer-threshold = -1\n[functions.api]\npath = 'api'\n",
            "lambda-pack.toml:2:19: `layer-threshold` must be a number of bytes, from 0 on",
            "",
        ),
        (
            "[checks]\nsecret-fil = 'error'\n",
            "lambda-pack.toml:2:1: unknown rule `secret-fil`",
            "did you mean `secret-file`?",
        ),
        (
            "[checks]\nsecret-file = 'warn'\n",
            "lambda-pack.toml:2:15: `secret-file` cannot be `warn`",
            "levels: ignore, note, warning, error",
        ),
        (
            "[functions.api]\nruntime = 'python3.13'\n",
            "lambda-pack.toml:1:12: function `api` has no `path`",
            "name its folder, such as `path = \"services/api\"`",
        ),
        (
            "[functions.api]\npath = 'apis'\n",
            "lambda-pack.toml:2:8: `apis` does not exist",
            "paths are relative to the file that holds them",
        ),
        ("[functions.api]\npath = 'api/app.py'\n", "lambda-pack.toml:2:8: `api/app.py` is not a folder", ""),
        (
            "[functions.api]\npath = '../x'\n",
            "lambda-pack.toml:2:8: `path = \"../x\"` leaves the project `.`",
            "move the config up to a folder that holds both",
        ),
        (
            "[functions.'my api']\npath = 'api'\n",
            "lambda-pack.toml:1:12: `my api` cannot name a function: Lambda takes 1 to 64 letters, digits, `-` and `_`",
            "",
        ),
        (
            "[functions.a-b]\npath = 'api'\n[functions.A_B]\npath = 'api'\n",
            "lambda-pack.toml:3:12: `a-b` and `A_B` collide: both are `A_B_…` in what `publish` prints",
            "rename one of them",
        ),
        (
            "[functions.api]\npath = 'api'\nbin = 'x'\n",
            "lambda-pack.toml:3:7: `bin` is for functions that Cargo builds",
            "",
        ),
        (
            "[functions.api]\npath = \n",
            "lambda-pack.toml:2:8: string values must be quoted, expected literal string",
            "",
        ),
    ] {
        let (actual, hints) = config_error(text);
        assert_eq!(actual, message, "{text}");
        if !hint.is_empty() {
            assert_eq!(hints, [hint], "{text}");
        }
    }
}

#[test]
fn a_config_without_functions_sets_defaults_for_what_is_detected() {
    let dir = folder(&[("lambda-pack.toml", "[defaults]\narchitecture = 'arm64'\n"), ("svc/app.py", "")]);
    let project = load(&at(dir.path().join("svc"))).unwrap();
    assert_eq!((names(&project), project.root.as_path()), (vec!["svc"], dir.path()));
    assert_eq!(project.functions[0].architecture, Architecture::Arm64);
}

#[cfg(unix)]
#[test]
fn a_link_does_not_lead_out_of_the_project() {
    let dir = folder(&[("p/lambda-pack.toml", "[functions.api]\npath = 'api'\n"), ("api/app.py", "")]);
    std::os::unix::fs::symlink(dir.path().join("api"), dir.path().join("p/api")).unwrap();
    let (message, _) = fails(dir.path(), &at(dir.path().join("p")));
    assert_eq!(message, "p/lambda-pack.toml:2:8: `api` is a link that leaves the project `p`");
}

const LIB: &str = "[package]\nname = 'util'\nversion = '0.1.0'\nedition = '2024'\n";

fn package(name: &str, rest: &str) -> String {
    let dependencies = "[dependencies]\nlambda_runtime = '1'\n";
    format!("[package]\nname = '{name}'\nversion = '0.1.0'\nedition = '2024'\n{rest}\n{dependencies}")
}

fn workspace(root: &str, a: &str, b: &str) -> TempDir {
    let root = format!("[workspace]\nmembers = ['crates/*']\nresolver = '3'\n{root}");
    let two =
        format!("{b}[[bin]]\nname = 'two'\npath = 'src/main.rs'\n[[bin]]\nname = 'three'\npath = 'src/main.rs'\n");
    folder(&[
        ("Cargo.toml", &root),
        ("crates/a/Cargo.toml", &package("one", a)),
        ("crates/a/src/main.rs", "fn main() {}"),
        ("crates/b/Cargo.toml", &package("b", &two)),
        ("crates/b/src/main.rs", "fn main() {}"),
        ("crates/util/Cargo.toml", LIB),
        ("crates/util/src/lib.rs", ""),
        ("scripts/tool.py", ""),
    ])
}

fn function<'p>(project: &'p Project, name: &str) -> &'p FunctionSpec {
    project.functions.iter().find(|f| f.name == name).unwrap()
}

#[test]
fn the_table_of_a_package_holds_when_its_workspace_is_packed() {
    let dir = workspace("", "[package.metadata.lambda-pack.defaults]\narchitecture = 'arm64'\n", "");
    let project = load(&at(dir.path())).unwrap();
    assert_eq!((names(&project), project.origin.as_str()), (vec!["one", "three", "two"], "Cargo.toml"));
    assert_eq!(function(&project, "one").architecture, Architecture::Arm64);
    assert_eq!(function(&project, "two").architecture, Architecture::X86_64);
}

#[test]
fn binaries_that_use_lambda_are_functions() {
    let dir = workspace("", "", "");
    let project = load(&at(dir.path())).unwrap();
    assert_eq!((names(&project), project.origin.as_str()), (vec!["one", "three", "two"], "detection"));
    let one = function(&project, "one");
    assert_eq!((one.runtime.as_str(), one.handler.as_deref()), ("provided.al2023", Some("bootstrap")));
    let cargo = one.cargo.as_ref().unwrap();
    assert_eq!((cargo.package.as_str(), cargo.bin.as_str()), ("one", "one"));
    assert_eq!((&cargo.workspace_root, &cargo.manifest), (&dir.path().into(), &dir.path().join("crates/a/Cargo.toml")));
    let member = load(&at(dir.path().join("crates/b"))).unwrap();
    assert_eq!((names(&member), member.root.as_path()), (vec!["three", "two"], dir.path()));
    let python = load(&at(dir.path().join("scripts"))).unwrap();
    assert_eq!(python.functions[0].runtime, "python3.13");
}

#[test]
fn a_config_names_one_of_several_binaries() {
    let dir = workspace("", "", "");
    write(
        dir.path(),
        "lambda-pack.toml",
        "[functions.two]\npath = 'crates/b'\n[functions.x]\npath = 'crates/b'\nbin = 'three'\n",
    );
    let project = load(&at(dir.path())).unwrap();
    let bin = |name: &str| function(&project, name).cargo.as_ref().unwrap().bin.clone();
    assert_eq!((bin("two").as_str(), bin("x").as_str()), ("two", "three"));
    write(dir.path(), "lambda-pack.toml", "[functions.x]\npath = 'crates/b'\n");
    let (message, hints) = fails(dir.path(), &at(dir.path()));
    assert_eq!(message, "which binary is function `x`? `crates/b` has three, two");
    assert_eq!(hints, ["name one with `bin = \"three\"`"]);
    write(dir.path(), "lambda-pack.toml", "[functions.x]\npath = 'crates/b'\nbin = 'thre'\n");
    let (message, hints) = fails(dir.path(), &at(dir.path()));
    assert_eq!(
        (message.as_str(), hints[0].as_str()),
        ("lambda-pack.toml:3:7: there is no binary `thre`", "did you mean `three`?")
    );
    // From the workspace's root too, when it is the only one of its name.
    write(dir.path(), "crates/util/src/bin/three.rs", "fn main() {}");
    write(dir.path(), "lambda-pack.toml", "[functions.x]\npath = '.'\nbin = 'three'\n");
    let (message, hints) = fails(dir.path(), &at(dir.path()));
    assert_eq!(message, "several packages have a binary `three`: b, util");
    assert_eq!(hints, ["point `path` at the folder of one of them"]);
    write(dir.path(), "lambda-pack.toml", "[functions.x]\npath = '.'\nbin = 'two'\n");
    assert_eq!(function(&load(&at(dir.path())).unwrap(), "x").cargo.as_ref().unwrap().package, "b");
}

#[test]
fn metadata_of_manifests_is_a_config() {
    let dir = workspace(
        "[workspace.metadata.lambda-pack.defaults]\narchitecture = 'arm64'\n[workspace.metadata.lambda-pack.checks]\nsecret-file = 'error'\n",
        "[package.metadata.lambda-pack.functions.uno]\nenvironment = { A = 'b' }\n",
        "[package.metadata.lambda-pack.defaults]\narchitecture = 'x86_64'\n",
    );
    let project = load(&at(dir.path())).unwrap();
    assert_eq!((names(&project), project.origin.as_str()), (vec!["three", "two", "uno"], "Cargo.toml"));
    assert_eq!(function(&project, "uno").architecture, Architecture::Arm64);
    assert_eq!(function(&project, "uno").cargo.as_ref().unwrap().bin, "one");
    assert_eq!(function(&project, "two").architecture, Architecture::X86_64);
    assert_eq!(project.checks.0.len(), 1);
    assert_eq!(names(&load(&at(dir.path().join("crates/a"))).unwrap()), ["uno"]);
    let (message, hints) = fails(dir.path(), &at(dir.path().join("scripts")));
    assert_eq!(message, "no function of `Cargo.toml` is at or below `scripts`");
    assert_eq!(hints, ["functions: three (crates/b), two (crates/b), uno (crates/a)"]);
}

#[test]
fn metadata_without_functions_sets_defaults_for_what_is_detected() {
    let dir = workspace("[workspace.metadata.lambda-pack.defaults]\narchitecture = 'arm64'\n", "", "");
    for (path, expected) in [(".", "one three two"), ("crates/b", "three two"), ("scripts", "scripts")] {
        let project = load(&at(dir.path().join(path))).unwrap();
        assert_eq!((names(&project).join(" ").as_str(), project.origin.as_str()), (expected, "Cargo.toml"));
        assert!(project.functions.iter().all(|f| f.architecture == Architecture::Arm64));
    }
}

#[test]
fn metadata_errors_have_lines_too() {
    let dir = workspace("[workspace.metadata.lambda-pack.defaults]\narch = 'arm64'\n", "", "");
    let (message, hints) = fails(dir.path(), &at(dir.path().join("crates/a")));
    assert_eq!(message, "Cargo.toml:5:1: unknown key `arch` in `[workspace.metadata.lambda-pack.defaults]`");
    assert!(hints[0].starts_with("keys: runtime, handler, architecture"), "{hints:?}");
    let dir = workspace("", "[package.metadata.lambda-pack.checks]\nsecret-file = 'error'\n", "");
    let (message, _) = fails(dir.path(), &at(dir.path().join("crates/a")));
    assert!(message.starts_with("crates/a/Cargo.toml:5:"), "{message}");
    assert!(message.ends_with("`checks` holds for the whole project, not for one package of it"), "{message}");
}

/// `init` in a folder, written there; the project that it then is.
fn init(dir: &Path) -> (String, Project) {
    let text = init_config(dir).unwrap();
    write(dir, "lambda-pack.toml", &text);
    (text, load(&at(dir)).unwrap())
}

#[test]
fn init_writes_what_is_found_below_a_folder() {
    let dir = folder(&[
        ("package.json", "{}"),
        ("README.md", ""),
        ("services/api/app.py", "def handler(event, context):\n    pass\n"),
        ("services/api/.python-version", "3.12"),
        ("services/web/package.json", r#"{"type": "module"}"#),
        ("services/web/src/index.js", "export const handler = 1"),
        ("jobs/api/lambda_function.py", "def lambda_handler(event, context):\n    pass\n"),
        ("packages/common/package.json", "{}"),
        ("services/api/.venv/app.py", "handler = 1"),
        ("node_modules/x/index.js", "exports.handler = 1"),
    ]);
    let (text, project) = init(dir.path());
    let shown: Vec<String> = project
        .functions
        .iter()
        .map(|f| {
            let path = f.path.strip_prefix(dir.path()).unwrap().display();
            format!("{} {path} {} {}", f.name, f.runtime, f.handler.as_deref().unwrap_or("-"))
        })
        .collect();
    assert_eq!(
        shown,
        [
            "jobs-api jobs/api python3.13 lambda_function.lambda_handler",
            "services-api services/api python3.12 app.handler",
            "web services/web nodejs22.x src/index.handler",
        ]
    );
    assert!(text.contains("# packages/common: nodejs22.x, but no handler by convention\n"), "{text}");
}

#[test]
fn init_of_a_workspace_gives_the_functions_that_are_detected() {
    let dir = workspace("", "", "");
    let detected = load(&at(dir.path())).unwrap();
    let (_, project) = init(dir.path());
    let bins = |project: &Project| -> Vec<_> {
        project.functions.iter().map(|f| (f.name.clone(), f.path.clone(), f.runtime.clone(), f.cargo.clone())).collect()
    };
    assert_eq!(bins(&project), bins(&detected));
}

#[test]
fn init_of_one_function_and_of_none() {
    let dir = folder(&[("my svc/strange.py", "")]);
    let (text, project) = init(&dir.path().join("my svc"));
    assert_eq!((names(&project), project.functions[0].path.as_path()), (vec!["my-svc"], &*dir.path().join("my svc")));
    assert!(text.contains("# handler = "), "{text}");
    let empty = folder(&[("docs/readme.txt", "")]);
    let error = init_config(empty.path()).unwrap_err();
    assert!(error.to_string().starts_with("cannot tell what `"), "{error}");
}

#[test]
fn the_template_of_init_is_valid_when_its_comments_are_taken_away() {
    let dir = folder(&[
        ("app.py", "handler = 1"),
        ("common/schemas/", ""),
        ("layers/common/", ""),
        ("layers/requirements.txt", ""),
    ]);
    let text = init_config(dir.path()).unwrap();
    let prose = |line: &str| line.starts_with("# ") && !line.contains(" = ") && !line.starts_with("# [");
    let settings: Vec<&str> =
        text.lines().filter(|l| !prose(l) && !l.contains("bin =")).map(|l| l.trim_start_matches("# ")).collect();
    write(dir.path(), "lambda-pack.toml", &settings.join("\n"));
    let project = load(&at(dir.path())).unwrap();
    assert_eq!(project.functions[0].architecture, Architecture::Arm64);
    assert_eq!((project.checks.0.len(), project.functions[0].include.len()), (1, 1));
    assert_eq!((project.layers.len(), &project.functions[0].layers.attached), (1, &vec!["common".to_owned()]));
}

#[test]
fn an_include_that_would_leave_the_project_is_taken_from_the_functions_folder() {
    let config = "[functions.worker]\npath = \"crates/worker\"\nruntime = \"python3.13\"\n\
                  include = [{ from = \"../common/schemas\", to = \"schemas\" }]\n";
    let dir = folder(&[("crates/worker/", ""), ("crates/common/schemas/", ""), ("lambda-pack.toml", config)]);
    let project = load(&at(dir.path())).unwrap();
    assert_eq!(project.functions[0].include[0].from, dir.path().join("crates/common/schemas"));
}

#[test]
fn a_member_of_an_npm_workspace_belongs_to_it() {
    let handler = "exports.handler = async () => 1;";
    let dir = folder(&[
        ("packages/api/index.js", handler),
        ("other/index.js", handler),
        ("package.json", r#"{"workspaces": ["packages/*"]}"#),
    ]);
    let root_of = |below: &str| load(&at(dir.path().join(below))).unwrap().root;
    assert_eq!(root_of("packages/api"), dir.path());
    assert_eq!(root_of("other"), dir.path().join("other"));
}
