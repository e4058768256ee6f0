//! Locks written by hand, each with one trap.

use super::super::manifest::parse_toml;
use super::*;
use crate::lambda::{Architecture, find};

fn target(runtime: &str) -> Target {
    Target::new(find(runtime).unwrap(), Architecture::X86_64).unwrap()
}

fn lock(text: &str) -> Lock {
    let mut lock: Lock = parse_toml(text, Path::new("/p/uv.lock")).unwrap();
    lock.path = PathBuf::from("/p/uv.lock");
    lock
}

fn project(dependencies: &str) -> PyProject {
    let text = format!("[project]\nname = 'demo'\ndependencies = {dependencies}\n");
    let mut read: PyProject = parse_toml(&text, Path::new("pyproject.toml")).unwrap();
    read.path = PathBuf::from("/p/pyproject.toml");
    read
}

const FORKED: &str = r#"
version = 1
requires-python = ">=3.9"
[[package]]
name = "demo"
source = { virtual = "." }
dependencies = [
  { name = "num" },
  { name = "old", marker = "python_full_version < '3.11'" },
  { name = "web", extra = ["fast"] },
]
[package.dev-dependencies]
dev = [{ name = "tests" }]
[package.optional-dependencies]
more = [{ name = "tests" }, { name = "old", marker = "extra == 'extra-4-demo-more'" }]
[package.metadata]
requires-dist = [
  { name = "num", specifier = ">=1" },
  { name = "old", marker = "python_full_version < '3.11'" },
  { name = "tests", marker = "extra == 'more'" },
  { name = "web", extras = ["fast"] },
]
[[package]]
name = "num"
version = "1.0"
source = { registry = "x" }
resolution-markers = ["python_full_version < '3.12'"]
[[package]]
name = "num"
version = "2.0"
source = { registry = "x" }
resolution-markers = ["python_full_version >= '3.13'", "python_full_version == '3.12.*'"]
[[package]]
name = "old"
version = "1"
source = { registry = "x" }
[[package]]
name = "tests"
version = "1"
source = { registry = "x" }
[[package]]
name = "web"
version = "1"
source = { registry = "x" }
[package.optional-dependencies]
fast = [{ name = "fasthttp", marker = "platform_machine == 'x86_64'" }, { name = "win", marker = "sys_platform == 'win32'" }]
[[package]]
name = "fasthttp"
version = "3"
source = { registry = "x" }
[[package]]
name = "win"
version = "3"
source = { registry = "x" }
"#;
const WANTED: &str = r#"["num>=1", "old; python_version < '3.11'", "web[fast]"]"#;

#[test]
fn extras_and_groups_are_packed_when_they_are_named() {
    let on = |selection: &Selection| {
        let pins = lock(FORKED).pins(
            &project(&format!("{WANTED}\noptional-dependencies.more = ['tests']")),
            selection,
            &target("python3.13"),
        );
        Ok::<_, Error>(pins?.iter().map(Pin::label).collect::<Vec<_>>())
    };
    let named = |name: &str| std::collections::BTreeSet::from([name.to_owned()]);
    let extra = Selection { extras: named("more"), ..Selection::default() };
    // uv marks what only some of extras that exclude each other need.
    assert_eq!(on(&extra).unwrap(), ["fasthttp 3", "num 2.0", "old 1", "tests 1", "web 1"]);
    let group = Selection { groups: named("dev"), ..Selection::default() };
    assert_eq!(on(&group).unwrap(), ["fasthttp 3", "num 2.0", "tests 1", "web 1"]);
    let error = on(&Selection { groups: named("prod"), ..Selection::default() }).unwrap_err();
    assert!(error.to_string().contains("there is no group `prod`") && error.hints()[0].contains("`dev`"), "{error}");
}

fn labels(runtime: &str, wanted: &str) -> Result<Vec<String>> {
    Ok(lock(FORKED).pins(&project(wanted), &Selection::default(), &target(runtime))?.iter().map(Pin::label).collect())
}

#[test]
fn forks_extras_and_markers_are_the_targets() {
    assert_eq!(labels("python3.13", WANTED).unwrap(), ["fasthttp 3", "num 2.0", "web 1"]);
    assert_eq!(labels("python3.10", WANTED).unwrap(), ["fasthttp 3", "num 1.0", "old 1", "web 1"]);
}

#[test]
fn a_runtime_that_the_lock_leaves_out_is_told() {
    let error = labels("python3.8", WANTED).unwrap_err();
    assert!(error.to_string().contains("`>=3.9`") && error.to_string().contains("python3.8"), "{error}");
}

#[test]
fn a_lock_that_disagrees_with_its_project_names_the_difference() {
    for (wanted, said) in [
        (r#"["num>=2", "web[fast]"]"#, "needs `num>=2`, but `num>=1` was locked"),
        (r#"["num >= 1", "web[fast]", "extra-one"]"#, "needs `extra-one`, which the lock does not know"),
        (r#"["num>=1"]"#, "made with `web`, which pyproject.toml no longer needs"),
    ] {
        let error = labels("python3.13", wanted).unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!(error.hints(), ["run `uv lock`"]);
    }
}

#[test]
fn an_archive_without_digest_is_refused() {
    let text = FORKED.replacen(
        "version = \"1\"\nsource = { registry = \"x\" }\n[package.opt",
        "version = \"1\"\nsource = { registry = \"x\" }\nwheels = [{ url = \"file:///web-1-py3-none-any.whl\" }]\n[package.opt",
        1,
    );
    let error = lock(&text).pins(&project(WANTED), &Selection::default(), &target("python3.13")).unwrap_err();
    assert!(error.to_string().contains("web-1-py3-none-any.whl") && error.to_string().contains("no digest"), "{error}");
}

#[test]
fn projects_on_this_machine_are_built() {
    let text = r#"
version = 1
[[package]]
name = "demo"
source = { editable = "app" }
dependencies = [{ name = "lib" }, { name = "tool" }, { name = "file" }]
[package.metadata]
requires-dist = [{ name = "lib", editable = "lib" }, { name = "tool", git = "https://h/r" }, { name = "file", path = "f.whl" }]
[[package]]
name = "lib"
version = "1"
source = { editable = "lib" }
[[package]]
name = "tool"
version = "1"
source = { git = "https://h/r?rev=main#0123456789abcdef0123456789abcdef01234567", subdirectory = "py" }
[[package]]
name = "file"
version = "1"
source = { path = "f-1-py3-none-any.whl" }
wheels = [{ filename = "f-1-py3-none-any.whl", hash = "sha256:00" }]
"#;
    let mut pyproject = project(r#"["lib>=3", "tool", "file"]"#);
    pyproject.path = PathBuf::from("/p/app/pyproject.toml");
    let pins = lock(text).pins(&pyproject, &Selection::default(), &target("python3.13")).unwrap();
    let origins: Vec<_> = pins.into_iter().map(|pin| pin.origin).collect();
    assert_eq!(
        origins,
        [
            Origin::Wheel("/p/f-1-py3-none-any.whl".into(), None),
            Origin::Folder("/p/lib".into()),
            Origin::Git {
                url: "https://h/r".into(),
                commit: "0123456789abcdef0123456789abcdef01234567".into(),
                subdirectory: "py".into()
            }
        ]
    );
}
