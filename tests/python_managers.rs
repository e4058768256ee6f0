//! Projects of Poetry, Pipenv, PDM and uv workspaces: locks that the real managers have made, and what these would install.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::Project;
use serde_json::Value;

/// Spaces and letters of more than one byte.
const FOLDER: &str = "Ünser Dienst/λ one";
const ELSEWHERE: &str = "an ders/wo ✓";

fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.tools/managers/bin")
}

/// Runs one of the managers in a folder, with nothing of this machine's settings; gives its standard output.
fn manager(folder: &Path, program: &str, args: &[&str]) -> String {
    manager_with(folder, program, args, &[])
}

fn manager_with(folder: &Path, program: &str, args: &[&str], settings: &[(&str, &str)]) -> String {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("managers");
    let mut command = Command::new(tools().join(program));
    command
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .env("POETRY_CACHE_DIR", kept.join("poetry"))
        .env("POETRY_VIRTUALENVS_CREATE", "false")
        .env("PIPENV_CACHE_DIR", kept.join("pipenv"))
        .env("WORKON_HOME", kept.join("environments"))
        .env("PIPENV_IGNORE_VIRTUALENVS", "1")
        .env("PIPENV_NOSPIN", "1")
        .env("PIPENV_PYTHON", tools().join("python"))
        .env("PDM_CACHE_DIR", kept.join("pdm"))
        .env("PDM_LOG_DIR", kept.join("pdm-log"))
        .env("PDM_USE_VENV", "0")
        .env("PDM_CHECK_UPDATE", "0")
        .envs(settings.iter().copied())
        .env("PATH", common::with_path(&tools()));
    let output = command.output().unwrap_or_else(|e| panic!("{program} cannot be run ({e}): run `make tools`"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {}{stderr}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).unwrap()
}

/// A folder with the managers' Python, and so with pip and without uv.
fn only_pip() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let python = folder.path().join("python3");
    std::fs::write(&python, format!("#!/bin/sh\nexec '{}' \"$@\"\n", tools().join("python").display())).unwrap();
    common::tool("chmod", &["755".as_ref(), python.as_os_str()], "apt-get install coreutils");
    folder
}

/// The Python of the managers, which Pipenv locks for.
fn host_minor() -> u8 {
    let said = common::tool(
        tools().join("python").to_str().unwrap(),
        &["-c".as_ref(), "import sys; print(sys.version_info[1])".as_ref()],
        "run `make tools`",
    );
    said.trim().parse().unwrap()
}

/// Reads exported requirements as an installer on the target would: `name version` of those whose markers hold.
fn wanted(exported: &str, minor: u8, architecture: &str) -> Vec<String> {
    const SCRIPT: &str = "import sys\n\
        from packaging.requirements import Requirement\n\
        from packaging.markers import Marker\n\
        from packaging.utils import canonicalize_name\n\
        minor, machine, text = sys.argv[1:]\n\
        env = dict(python_version='3.' + minor, python_full_version='3.' + minor + '.9', platform_machine=machine,\n    \
            sys_platform='linux', os_name='posix', platform_system='Linux', implementation_name='cpython',\n    \
            platform_python_implementation='CPython', extra='')\n\
        for line in text.splitlines():\n    \
            line = line.split(' --hash')[0].rstrip(' \\\\').strip()\n    \
            if not line or line.startswith(('-i ', '--', '#')): continue\n    \
            if line.startswith(('-e ', './')) or ' @ file:' in line:\n        \
                place, _, marker = line.partition(';')\n        \
                if not marker or Marker(marker.strip()).evaluate(env): print(place.strip().split('/')[-1] + ' 2.0')\n        \
                continue\n    \
            requirement = Requirement(line)\n    \
            if requirement.marker is None or requirement.marker.evaluate(env):\n        \
                print(canonicalize_name(requirement.name) + ' ' + str(requirement.specifier)[2:])\n";
    let machine = if architecture == "arm64" { "aarch64" } else { "x86_64" };
    let python = tools().join("python");
    let minor = minor.to_string();
    let args = ["-c", SCRIPT, &minor, machine, exported].map(AsRef::as_ref);
    let said = common::tool(python.to_str().unwrap(), &args, "run `make tools`");
    let mut lines: Vec<String> = said.lines().map(str::to_owned).collect();
    lines.sort();
    assert!(lines.len() > 3, "{exported}");
    lines
}

/// `name version` of what was packed, by function.
fn packed(manifest: &Value) -> BTreeMap<String, Vec<String>> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let names = |function: &Value| {
        let packages = function["packages"].as_array().unwrap();
        let mut names: Vec<String> =
            packages.iter().map(|p| format!("{} {}", text(&p["name"]), text(&p["version"]))).collect();
        names.sort();
        names
    };
    manifest["functions"].as_array().unwrap().iter().map(|f| (text(&f["name"]), names(f))).collect()
}

const HANDLER: &str = "import requests, socks, markupsafe._speedups, shared, idna\n\
    def handler(event, context):\n    return [requests.__version__, shared.VALUE + event['add']]\n";
const SHARED: &str = "[build-system]\nrequires = ['setuptools>=61']\nbuild-backend = 'setuptools.build_meta'\n\
    [project]\nname = 'shared'\nversion = '2.0'\ndependencies = ['idna>=3']\n";

/// A function with a project beside it that it needs.
fn service(manifest: (&str, &str), functions: &str) -> Project {
    let project = Project::empty();
    let at = |name: &str| format!("{FOLDER}/{name}");
    project
        .write(&at("app.py"), HANDLER)
        .write(&at("lib/shared/pyproject.toml"), SHARED)
        .write(&at("lib/shared/shared.py"), "VALUE = 40\n")
        .write(&at(manifest.0), manifest.1)
        .write(&at("lambda-pack.toml"), functions);
    project
}

/// A function for each target, for the manager's own Python, and one with more than the main dependencies.
fn functions(minor: u8, more: &str) -> String {
    let function = |name: &str, minor: u8, architecture: &str, more: &str| {
        format!(
            "[functions.{name}]\npath = '.'\nruntime = 'python3.{minor}'\narchitecture = '{architecture}'\nhandler = 'app.handler'\n{more}\n"
        )
    };
    [
        // So that locks of one content are zips of one content.
        "[defaults]\nexclude = ['*.lock', 'pylock.toml', 'pyproject.toml']\n".to_owned(),
        function("intel", minor, "x86_64", ""),
        function("graviton", minor, "arm64", ""),
        function("more", minor, common::host_architecture(), more),
    ]
    .concat()
}

/// Builds the folder, and once more under another name; both give the same bytes. Gives the manifest.
fn built_twice(project: &Project, args: &[&str]) -> Value {
    let output = |folder: &str| project.path(folder).join("target/lambda-pack");
    let manifest = project.build(&[&[FOLDER], args].concat());
    let other = project.path(ELSEWHERE);
    std::fs::create_dir_all(other.parent().unwrap()).unwrap();
    common::copy(&project.path(FOLDER), &other);
    project.build(&[&[ELSEWHERE], args].concat());
    for function in manifest["functions"].as_array().unwrap() {
        let name = function["artifact"]["path"].as_str().unwrap();
        let read = |folder: &str| std::fs::read(output(folder).join(name)).unwrap();
        assert!(read(FOLDER) == read(ELSEWHERE), "{name} is not the same from another folder");
    }
    manifest
}

/// What is in the zip of a function; its machine code is for its processor.
fn unpacked(project: &Project, folder: &str, function: &str, machine: &str) -> common::Unpacked {
    let zip = project.path(folder).join(format!("target/lambda-pack/{function}.zip"));
    let unpacked = common::Unpacked::of(&zip);
    let machines: Vec<&str> = unpacked
        .files()
        .iter()
        .filter_map(|f| common::elf_machine(&std::fs::read(unpacked.path(f)).unwrap()))
        .collect();
    assert!(!machines.is_empty() && machines.iter().all(|m| *m == machine), "{function}: {machines:?}");
    unpacked
}

/// Both processors have the packages that the manager exports, and this machine's loads its handler.
fn packs_what_is_exported(project: &Project, manifest: &Value, minor: u8, exported: &str) {
    let all = packed(manifest);
    for (function, architecture, machine) in [("intel", "x86_64", "x86_64"), ("graviton", "arm64", "aarch64")] {
        assert_eq!(all[function], wanted(exported, minor, architecture), "{function}");
        let files = unpacked(project, FOLDER, function, machine);
        assert!(!files.files().iter().any(|file| file.starts_with("iniconfig") || file.starts_with("attr")));
        if architecture == common::host_architecture() && minor == host_minor() {
            let answer = common::call_python(&tools().join("python"), &files.path(""), "app.handler", "{\"add\": 2}");
            assert_eq!(answer, serde_json::json!(["2.32.3", 42]));
        }
    }
}

/// A change of the manifest is told, and refused with `--locked`.
fn changes_are_noticed(project: &Project, file: &str, from: &str, to: &str, command: &str) {
    let path = format!("{FOLDER}/{file}");
    let before = project.read(&path);
    assert!(before.contains(from));
    project.done(&["plan", FOLDER, "--locked"]);
    project.write(&path, &before.replace(from, to));
    let told = project.done(&["plan", FOLDER]);
    assert!(told.stdout.contains(&format!("{file} was changed since")), "{}", told.transcript());
    let refused = project.run(&["plan", FOLDER, "--locked"]);
    assert!(refused.code == 2 && refused.stderr.contains(&format!("run `{command}`")), "{}", refused.transcript());
    project.write(&path, &before);
}

const POETRY: &str = "[tool.poetry]\nname = 'svc'\nversion = '0.1.0'\npackage-mode = false\n\
    [tool.poetry.dependencies]\npython = '>=3.10,<4.0'\nrequests = { version = '2.32.3', extras = ['socks'] }\nmarkupsafe = '3.0.3'\n\
    tomli = { version = '^2.0', python = '<3.11' }\njmespath = { version = '*', optional = true }\n\
    shared = { path = 'lib/shared', develop = true }\n\
    [tool.poetry.extras]\ns3 = ['jmespath']\n\
    [tool.poetry.group.dev.dependencies]\niniconfig = '*'\n\
    [tool.poetry.group.prod]\noptional = true\n[tool.poetry.group.prod.dependencies]\nattrs = '*'\n";

#[test]
fn poetry() {
    // Poetry asks its default index for documents that mirrors do not have, so the index is named.
    let python = tools().join("python");
    let ask = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)";
    let index = common::tool(python.to_str().unwrap(), &["-c".as_ref(), ask.as_ref()], "run `make tools`");
    let source = format!("[[tool.poetry.source]]\nname = 'index'\nurl = '{}/'\npriority = 'primary'\n", index.trim());
    let minor = host_minor();
    let mut config = functions(minor, "extras = ['s3']\ngroups = ['prod']");
    config += "[functions.old]\npath = '.'\nruntime = 'python3.10'\nhandler = 'app.handler'\n";
    let project = service(("pyproject.toml", &format!("{POETRY}{source}")), &config);
    let folder = project.path(FOLDER);
    manager(&folder, "poetry", &["lock", "--quiet"]);

    let manifest = built_twice(&project, &["--locked"]);
    let export = |more: &[&str]| {
        manager(&folder, "poetry", &[&["export", "--without-hashes", "--format", "requirements.txt"], more].concat())
    };
    let main = export(&[]);
    packs_what_is_exported(&project, &manifest, minor, &main);
    let all = packed(&manifest);
    assert_eq!(all["old"], wanted(&main, 10, "x86_64"));
    assert!(all["old"].iter().any(|name| name.starts_with("tomli ")));
    assert_eq!(all["more"], wanted(&export(&["--extras", "s3", "--with", "prod"]), minor, common::host_architecture()));
    assert!(all["more"].iter().any(|name| name.starts_with("jmespath ")));

    // Where no source is written, the index is the one that uv and pip have; of both, pip is here alone.
    let lock = project.read(&format!("{FOLDER}/poetry.lock"));
    let source = lock.split("\n\n").find(|part| part.starts_with("[package.source]\ntype = \"legacy\"")).unwrap();
    project.write(&format!("{FOLDER}/poetry.lock"), &lock.replace(&format!("{source}\n\n"), ""));
    let only_pip = only_pip();
    let zip = |name: &str| std::fs::read(folder.join(format!("target/lambda-pack/{name}.zip"))).unwrap();
    let before = zip("intel");
    let mut command = project.command(&["build", FOLDER, "--function", "intel"]);
    command.env("LAMBDA_PACK_CACHE_DIR", only_pip.path().join("store"));
    command.env("PATH", format!("{}:/usr/bin:/bin", only_pip.path().display())).env_remove("PIP_FIND_LINKS");
    let run = common::Run::of(&mut command, &project.path(""));
    assert_eq!(run.code, 0, "{}", run.transcript());
    assert!(run.stderr.contains("poetry.lock") || run.stdout.contains("poetry.lock"), "{}", run.transcript());
    assert!(before == zip("intel"), "pip found other files than uv");
    changes_are_noticed(&project, "pyproject.toml", "= '3.0.3'", "= '>=3.0.3'", "poetry lock");
}

const PIPFILE: &str = "[packages]\nrequests = { version = '==2.32.3', extras = ['socks'] }\nmarkupsafe = '==3.0.3'\n\
    shared = { path = './lib/shared', editable = true }\ntomli = { version = '*', markers = \"python_version < '3.8'\" }\n\
    [dev-packages]\niniconfig = '*'\n[prod]\nattrs = '*'\n";

#[test]
fn pipenv() {
    let minor = host_minor();
    let project = service(("Pipfile", PIPFILE), &functions(minor, "groups = ['prod']"));
    let folder = project.path(FOLDER);
    manager(&folder, "pipenv", &["lock"]);
    let manifest = built_twice(&project, &["--locked"]);
    packs_what_is_exported(&project, &manifest, minor, &manager(&folder, "pipenv", &["requirements"]));
    let more = manager(&folder, "pipenv", &["requirements", "--categories", "packages prod"]);
    assert_eq!(packed(&manifest)["more"], wanted(&more, minor, common::host_architecture()));
    changes_are_noticed(&project, "Pipfile", "'==3.0.3'", "'>=3.0.3'", "pipenv lock");

    // A template's function in such a folder needs nothing more.
    std::fs::remove_file(folder.join("lambda-pack.toml")).unwrap();
    let template = format!(
        "Transform: AWS::Serverless-2016-10-31\nResources:\n  Api:\n    Type: AWS::Serverless::Function\n    Properties:\n      \
         CodeUri: {FOLDER}/\n      Handler: app.handler\n      Runtime: python3.{minor}\n"
    );
    project.write("template.yaml", &template);
    let before = manifest;
    let manifest = project.build::<&str>(&[]);
    let files = project.unpack("Api.zip").files();
    assert!(files.contains(&"shared.py".to_owned()) && files.contains(&"markupsafe/__init__.py".to_owned()));
    assert_eq!(packed(&manifest)["Api"], packed(&before)["intel"]);
}

const PDM: &str = "[project]\nname = 'svc'\nversion = '0.1.0'\nrequires-python = '>=3.10'\n\
    dependencies = ['requests[socks]==2.32.3', 'markupsafe==3.0.3', 'docopt==0.6.2', \"tomli; python_version < '3.11'\",\n\
    'shared @ file:///${PROJECT_ROOT}/lib/shared']\n\
    [project.optional-dependencies]\ns3 = ['jmespath']\n[dependency-groups]\ndev = ['iniconfig']\nprod = ['attrs']\n\
    [tool.pdm]\ndistribution = false\n";

#[test]
fn pdm() {
    let minor = host_minor();
    let project = service(("pyproject.toml", PDM), &functions(minor, "extras = ['s3']\ngroups = ['prod']"));
    let folder = project.path(FOLDER);
    manager(&folder, "pdm", &["lock", "--quiet", "-G", ":all"]);
    let export = |more: &[&str]| manager(&folder, "pdm", &[&["export", "--prod", "--no-hashes"], more].concat());
    let manifest = built_twice(&project, &["--locked"]);
    packs_what_is_exported(&project, &manifest, minor, &export(&[]));
    let more = manager(&folder, "pdm", &["export", "--no-hashes", "-G", "s3", "--without", "dev"]);
    assert_eq!(packed(&manifest)["more"], wanted(&more, minor, common::host_architecture()));
    changes_are_noticed(&project, "pyproject.toml", "markupsafe==3.0.3", "markupsafe>=3.0.3", "pdm lock");

    // Other strategies are other locks of the same packages.
    let zips = || {
        ["intel", "graviton", "more"]
            .map(|name| std::fs::read(folder.join(format!("target/lambda-pack/{name}.zip"))).unwrap())
    };
    let before = zips();
    manager(&folder, "pdm", &["lock", "--quiet", "-G", ":all", "-S", "static_urls,no_inherit_metadata"]);
    project.build(&[FOLDER, "--locked", "--no-cache"]);
    assert!(before == zips(), "URLs and no groups");
    // So is the format that all managers share.
    std::fs::remove_file(folder.join("pdm.lock")).unwrap();
    manager_with(&folder, "pdm", &["lock", "--quiet", "-G", ":all"], &[("PDM_LOCK_FORMAT", "pylock")]);
    project.build(&[FOLDER, "--locked", "--no-cache"]);
    assert!(before == zips(), "pylock.toml");
}

const WORKSPACE: &str = "[project]\nname = 'all'\nversion = '0'\nrequires-python = '>=3.10'\n[tool.uv.workspace]\nmembers = ['services/*', 'packages/*']\n";
const MEMBER: &str = "[project]\nname = 'api'\nversion = '0.1.0'\nrequires-python = '>=3.10'\n\
    dependencies = ['requests[socks]==2.32.3', 'markupsafe==3.0.3', 'shared', 'vendored']\n\
    [project.optional-dependencies]\ns3 = ['jmespath']\n[dependency-groups]\ndev = ['iniconfig']\nprod = [{ include-group = 'probes' }]\nprobes = ['attrs']\n\
    [tool.uv.sources]\nshared = { workspace = true }\nvendored = { path = '../../vendored', editable = true }\n";

#[test]
fn uv_workspaces() {
    let minor = host_minor();
    let config = functions(minor, "extras = ['s3']\ngroups = ['prod']").replace("path = '.'", "path = 'services/api'");
    let project = service(("pyproject.toml", WORKSPACE), &config);
    let at = |name: &str| format!("{FOLDER}/{name}");
    std::fs::remove_dir_all(project.path(&at("lib"))).unwrap();
    std::fs::remove_file(project.path(&at("app.py"))).unwrap();
    project
        .write(&at("services/api/pyproject.toml"), MEMBER)
        .write(&at("services/api/app.py"), &HANDLER.replace("import requests", "import vendored, requests"))
        .write(&at("services/other/pyproject.toml"), "[project]\nname = 'other'\nversion = '1'\nrequires-python = '>=3.10'\ndependencies = ['idna==3.10', 'tomli']\n")
        .write(&at("packages/shared/pyproject.toml"), SHARED)
        .write(&at("packages/shared/shared.py"), "VALUE = 40\n")
        .write(&at("vendored/pyproject.toml"), &SHARED.replace("'shared'", "'vendored'"))
        .write(&at("vendored/vendored.py"), "");
    let uv = |args: &[&str]| {
        let mut command = Command::new("uv");
        command.args(args).current_dir(project.path(FOLDER)).env("PATH", common::path_with_tools());
        let output = command.env("UV_PYTHON_DOWNLOADS", "never").output().expect("uv is missing: run `make tools`");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    uv(&["lock", "--quiet"]);
    let manifest = built_twice(&project, &["--locked"]);
    let export = |more: &[&str]| {
        let export =
            ["export", "--quiet", "--package", "api", "--no-dev", "--no-emit-project", "--no-hashes", "--no-annotate"];
        uv(&[&export[..], more].concat())
    };
    packs_what_is_exported(&project, &manifest, minor, &export(&[]));
    let more = export(&["--extra", "s3", "--group", "prod"]);
    assert_eq!(packed(&manifest)["more"], wanted(&more, minor, common::host_architecture()));
    // What a member says is compared with the lock at the root, selected groups among it.
    project.write(&at("services/api/pyproject.toml"), &MEMBER.replace("['attrs']", "['six']"));
    let refused = project.run(&["plan", FOLDER]);
    assert!(
        refused.code == 2 && refused.stderr.contains("needs `six`, which the lock does not know"),
        "{}",
        refused.transcript()
    );
    // A function outside of the root's folder alone has no lock to see: the member's sources lead out.
    project.write(&at("services/api/pyproject.toml"), MEMBER);
    let alone = project.run(&["plan", &at("services/api"), "--function", "more"]);
    assert_eq!(alone.code, 0, "{}", alone.transcript());
}

#[test]
fn the_first_of_several_locks_decides_and_the_summary_says_so() {
    let project = Project::empty();
    let hash = "0".repeat(64);
    project
        .write("app.py", "def handler(event, context): pass\n")
        .write("pyproject.toml", "[project]\nname = 'a'\nversion = '1'\nrequires-python = '>=3.9'\ndependencies = ['idna==3.10']\n")
        .write("poetry.lock", "[metadata]\nlock-version = '2.1'\npython-versions = '>=3.9'\n")
        .write("Pipfile.lock", &format!("{{\"_meta\": {{\"pipfile-spec\": 6}}, \"default\": {{\"idna\": {{\"version\": \"==3.10\", \"hashes\": [\"sha256:{hash}\"]}}}}}}"))
        .write("requirements.txt", "idna==3.10\n")
        .write("lambda-pack.toml", "[functions.f]\npath = '.'\nruntime = 'python3.13'\nhandler = 'app.handler'\n");
    let run = project.run(&["plan"]);
    assert!(
        run.code == 2 && run.stderr.contains("pyproject.toml needs `idna`, which the lock does not know"),
        "{}",
        run.transcript()
    );
    std::fs::remove_file(project.path("poetry.lock")).unwrap();
    // No archive of the index has this digest.
    let run = project.run(&["plan"]);
    assert!(
        run.code == 2 && run.stderr.contains("no archive of idna 3.10 in its index has a digest of the lock"),
        "{}",
        run.transcript()
    );
    std::fs::remove_file(project.path("Pipfile.lock")).unwrap();
    let run = project.done(&["plan"]);
    assert!(!run.stdout.contains("is not read"), "{}", run.transcript());
    project.write(
        "uv.lock",
        "version = 1\nrequires-python = '>=3.9'\n[[package]]\nname = 'a'\nversion = '1'\nsource = { virtual = '.' }\n\
        [package.metadata]\nrequires-dist = [{ name = 'idna', specifier = '==3.10' }]\n",
    );
    let run = project.done(&["plan"]);
    assert!(run.stdout.contains("uv.lock decides; requirements.txt beside it is not read"), "{}", run.transcript());
}

#[test]
fn a_lock_names_nothing_outside_of_the_project() {
    let lock = |source: &str| {
        format!(
            "[[package]]\nname = 'a'\nversion = '1'\nfiles = []\ngroups = ['main']\n[package.source]\n{source}\n[metadata]\nlock-version = '2.1'\n"
        )
    };
    let project = Project::empty();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("pyproject.toml"), SHARED).unwrap();
    project
        .write("app.py", "def handler(event, context): pass\n")
        .write("pyproject.toml", "[project]\nname = 'a'\nversion = '1'\n")
        .write("lambda-pack.toml", "[functions.f]\npath = '.'\nruntime = 'python3.13'\nhandler = 'app.handler'\n");
    let outside = outside.path().display();
    for source in [
        format!("type = 'directory'\nurl = '{outside}'"),
        format!("type = 'git'\nurl = 'file://{outside}'\nresolved_reference = '{}'", "0".repeat(40)),
    ] {
        project.write("poetry.lock", &lock(&source));
        let run = project.run(&["plan"]);
        assert!(run.code == 2 && run.stderr.contains("lies outside the project"), "{}", run.transcript());
    }
    // The same with the other two.
    std::fs::remove_file(project.path("poetry.lock")).unwrap();
    project.write(
        "Pipfile.lock",
        &format!("{{\"_meta\": {{\"pipfile-spec\": 6}}, \"default\": {{\"a\": {{\"path\": \"{outside}\"}}}}}}"),
    );
    let run = project.run(&["plan"]);
    assert!(run.code == 2 && run.stderr.contains("lies outside the project"), "{}", run.transcript());
    std::fs::remove_file(project.path("Pipfile.lock")).unwrap();
    project.write("pdm.lock", &format!("[metadata]\nlock_version = '4.5'\nstrategy = ['inherit_metadata']\n[[package]]\nname = 'a'\nversion = '1'\ngroups = ['default']\npath = '{outside}'\n"));
    let run = project.run(&["plan"]);
    assert!(run.code == 2 && run.stderr.contains("lies outside the project"), "{}", run.transcript());
}

#[test]
fn a_package_of_poetry_with_src_is_built() {
    let project = Project::empty();
    project
        .write(
            "pyproject.toml",
            "[build-system]\nrequires = ['poetry-core']\nbuild-backend = 'poetry.core.masonry.api'\n\
             [tool.poetry]\nname = 'svc'\nversion = '1.5'\ndescription = ''\nauthors = []\npackages = [{ include = 'svc', from = 'src' }]\n\
             [tool.poetry.dependencies]\npython = '>=3.9'\n",
        )
        .write("poetry.lock", "package = []\n[metadata]\nlock-version = '2.1'\npython-versions = '>=3.9'\n")
        .write("src/svc/__init__.py", "")
        .write("src/svc/app.py", "def handler(event, context):\n    return 'built'\n")
        .write("lambda-pack.toml", "[functions.f]\npath = '.'\nruntime = 'python3.13'\nhandler = 'svc.app.handler'\n");
    let manifest = project.build::<&str>(&[]);
    assert_eq!(packed(&manifest)["f"], ["svc 1.5"]);
    let files = project.unpack("f.zip");
    let (_, python) = &common::pythons()[0];
    assert_eq!(common::call_python(python, &files.path(""), "svc.app.handler", "{}"), "built");
    // What is not a package is packed as it lies.
    let text = project.read("pyproject.toml").replace("authors", "package-mode = false\nauthors");
    project.write("pyproject.toml", &text);
    let plan = project.run(&["plan"]);
    assert!(
        plan.stdout.contains("handler-not-found") || plan.stderr.contains("handler-not-found"),
        "{}",
        plan.transcript()
    );
}

#[test]
fn extras_and_groups_of_a_project_without_lock() {
    let project = Project::empty();
    let config = "[functions.f]\npath = '.'\nruntime = 'python3.13'\nhandler = 'app.handler'\nextras = ['s3']\ngroups = ['prod']\n";
    project
        .write("app.py", "def handler(event, context): pass\n")
        .write(
            "pyproject.toml",
            "[project]\nname = 'a'\nversion = '1'\nrequires-python = '>=3.10'\ndependencies = ['idna==3.10']\n\
             [project.optional-dependencies]\ns3 = ['jmespath==1.1.0']\n[dependency-groups]\nprod = [{ include-group = 'probes' }]\nprobes = ['attrs==26.1.0']\n",
        )
        .write("lambda-pack.toml", config);
    let only_pip = only_pip();
    for path in [common::path_with_tools(), format!("{}:/usr/bin:/bin", only_pip.path().display()).into()] {
        let mut command = project.command(&["build", "--format", "json"]);
        let run = common::Run::of(command.env("PATH", path).env_remove("PIP_FIND_LINKS"), &project.path(""));
        assert_eq!(run.code, 0, "{}", run.transcript());
        let manifest: Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(packed(&manifest)["f"], ["attrs 26.1.0", "idna 3.10", "jmespath 1.1.0"]);
    }
    project.write("lambda-pack.toml", &config.replace("'prod'", "'prud'"));
    let run = project.run(&["plan"]);
    assert!(run.code == 2 && run.stderr.contains("the groups are `probes`, `prod`"), "{}", run.transcript());
    project.write("requirements.txt", "idna==3.10\n");
    let run = project.run(&["plan"]);
    assert!(run.code == 2 && run.stderr.contains("a requirements.txt has no extra `s3`"), "{}", run.transcript());
}
