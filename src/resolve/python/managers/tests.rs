//! Locks written by hand, each with one trap.

use super::super::manifest::{PyProject, parse_toml};
use super::super::selection::Selection;
use super::*;
use crate::error::Kind;
use crate::lambda::{Architecture, find};
use proptest::prelude::*;

const HASH: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

fn target(runtime: &str) -> Target {
    Target::new(find(runtime).unwrap(), Architecture::Arm64).unwrap()
}

fn selection(extras: &[&str], groups: &[&str]) -> Selection {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Selection { extras: set(extras), groups: set(groups) }
}

fn project(folder: &Path, text: &str) -> PyProject {
    let mut read: PyProject = parse_toml(text, Path::new("pyproject.toml")).unwrap();
    read.path = folder.join("pyproject.toml");
    read
}

/// The lock in a folder of its own.
fn written(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fsio::write_atomic(&path, text.as_bytes()).unwrap();
    (folder, path)
}

fn labels(locked: Result<Locked>) -> Result<Vec<String>> {
    Ok(locked?.packages.iter().map(Package::label).collect())
}

fn poetry(text: &str, pyproject: &str, wanted: &Selection, runtime: &str) -> Result<Locked> {
    let (folder, path) = written("poetry.lock", text);
    poetry::Lock::read(&path)?.locked(&path, &project(folder.path(), pyproject), wanted, &target(runtime))
}

fn pdm(text: &str, pyproject: &str, wanted: &Selection, runtime: &str) -> Result<Locked> {
    let (folder, path) = written("pdm.lock", text);
    pdm::Lock::read(&path)?.locked(&path, &project(folder.path(), pyproject), wanted, &target(runtime))
}

fn pipfile(text: &str, wanted: &Selection, runtime: &str) -> Result<Locked> {
    let (_folder, path) = written("Pipfile.lock", text);
    pipfile::Lock::read(&path)?.locked(&path, wanted, &target(runtime))
}

fn entry(name: &str, version: &str, more: &str) -> String {
    let file = format!("{}-{version}-py3-none-any.whl", name.replace('-', "_"));
    format!(
        "[[package]]\nname = '{name}'\nversion = '{version}'\nfiles = [{{ file = '{file}', hash = '{HASH}' }}]\n{more}\n"
    )
}

const POETRY: &str = "[tool.poetry]\nname = 'svc'\n[tool.poetry.dependencies]\npython = '>=3.9'\nweb = { version = '^1', extras = ['fast'] }\n\
    tomli = { version = '*', python = '<3.11' }\nwin = { version = '*', platform = 'win32' }\nboto = { version = '*', optional = true }\n\
    num = [{ version = '<2', python = '<3.12' }, { version = '>=2', python = '>=3.12' }]\n\
    [tool.poetry.extras]\ns3 = ['boto']\n[tool.poetry.group.prod.dependencies]\nprobe = '*'\n[tool.poetry.dev-dependencies]\npytest = '*'\n";

fn old_poetry(lock_version: &str) -> String {
    [
        entry("web", "1.2", "[package.dependencies]\nbase = '>=1'\nfasthttp = { version = '*', optional = true, markers = \"extra == 'fast'\" }\n\
            slow = { version = '*', optional = true }\n[package.extras]\nfast = ['fasthttp (>=1)']\nslow = ['slow']"),
        entry("base", "1.0", ""),
        entry("fasthttp", "3", ""),
        entry("slow", "3", ""),
        entry("tomli", "2", ""),
        entry("win", "2", ""),
        entry("num", "1.9", "python-versions = '>=3.8'"),
        entry("num", "2.1", "python-versions = '>=3.12'"),
        entry("boto", "5", ""),
        entry("probe", "6", ""),
        entry("pytest", "7", ""),
        format!("[extras]\ns3 = ['boto']\n[metadata]\nlock-version = '{lock_version}'\npython-versions = '>=3.9'\n"),
    ]
    .join("")
}

#[test]
fn locks_of_poetry_1_are_walked_from_the_project() {
    for version in ["1.1", "2.0"] {
        let on = |wanted: &Selection, runtime| labels(poetry(&old_poetry(version), POETRY, wanted, runtime)).unwrap();
        let plain = selection(&[], &[]);
        assert_eq!(on(&plain, "python3.13"), ["base 1.0", "fasthttp 3", "num 2.1", "web 1.2"]);
        assert_eq!(on(&plain, "python3.10"), ["base 1.0", "fasthttp 3", "num 1.9", "tomli 2", "web 1.2"]);
        let more = on(&selection(&["s3"], &["prod"]), "python3.13");
        assert_eq!(more, ["base 1.0", "boto 5", "fasthttp 3", "num 2.1", "probe 6", "web 1.2"]);
        assert!(on(&selection(&[], &["dev"]), "python3.13").contains(&"pytest 7".to_owned()));
    }
}

#[test]
fn digests_of_poetry_1_1_stand_at_the_end() {
    let text = format!(
        "[[package]]\nname = 'Web'\nversion = '1'\n[metadata]\nlock-version = '1.1'\n[metadata.files]\nweb = [{{ file = 'web-1-py3-none-any.whl', hash = '{HASH}' }}]\n"
    );
    let locked = poetry(&text, "[tool.poetry.dependencies]\nweb = '*'\n", &selection(&[], &[]), "python3.13").unwrap();
    assert!(
        matches!(&locked.packages[0].place, Place::Index(_, files) if files[0].name.as_deref() == Some("web-1-py3-none-any.whl"))
    );
}

const POETRY_2: &str = "[project]\nname = 'svc'\nversion = '1'\nrequires-python = '>=3.9'\ndependencies = ['web', \"tomli; python_version < '3.11'\"]\n\
    [project.optional-dependencies]\ns3 = ['boto']\n[dependency-groups]\nprod = ['probe']\n";

#[test]
fn locks_of_poetry_2_say_for_whom_each_package_is() {
    let text = [
        entry("web", "1", "groups = ['main', 'dev']\nmarkers = { main = \"python_version >= '3.11'\", dev = \"python_version < '3.0'\" }"),
        entry("tomli", "2", "groups = ['main']\nmarkers = \"python_version < '3.11'\""),
        entry("boto", "5", "optional = true\ngroups = ['main']\nmarkers = \"extra == 's3'\""),
        entry("probe", "6", "groups = ['prod']"),
        "[extras]\ns3 = ['boto']\n[metadata]\nlock-version = '2.1'\npython-versions = '>=3.9'\n".to_owned(),
    ]
    .join("");
    let on = |wanted: &Selection, runtime| labels(poetry(&text, POETRY_2, wanted, runtime));
    assert_eq!(on(&selection(&[], &[]), "python3.13").unwrap(), ["web 1"]);
    assert_eq!(on(&selection(&[], &[]), "python3.10").unwrap(), ["tomli 2"]);
    assert_eq!(on(&selection(&["s3"], &["prod"]), "python3.13").unwrap(), ["boto 5", "probe 6", "web 1"]);
    let error = on(&selection(&[], &["prud"]), "python3.13").unwrap_err();
    assert!(error.to_string().contains("there is no group `prud`") && error.hints()[0].contains("`prod`"), "{error}");
    let error = on(&selection(&["s4"], &[]), "python3.13").unwrap_err();
    assert!(error.to_string().contains("there is no extra `s4`") && error.hints()[0].contains("`s3`"), "{error}");
    assert!(on(&selection(&[], &[]), "python3.8").unwrap_err().to_string().contains("leaves out python3.8"));
}

#[test]
fn sources_of_poetry_are_told_apart() {
    let with = |source: &str| {
        let text = format!(
            "{}[package.source]\n{source}\n[metadata]\nlock-version = '2.1'\n",
            entry("web", "1", "groups = ['main']")
        );
        Ok(poetry(&text, "", &selection(&[], &[]), "python3.13")?.packages.remove(0).place)
    };
    let legacy = with("type = 'legacy'\nurl = 'https://h/simple'\nreference = 'own'").unwrap();
    assert!(
        matches!(&legacy, Place::Index(Index { url: Some(url), .. }, _) if url == "https://h/simple"),
        "{legacy:?}"
    );
    let git = with(
        "type = 'git'\nurl = 'https://h/r.git'\nreference = 'main'\nresolved_reference = '0123'\nsubdirectory = 'py'",
    );
    let expected = Origin::Git { url: "https://h/r.git".into(), commit: "0123".into(), subdirectory: "py".into() };
    assert_eq!(git.unwrap(), Place::Known(expected));
    let url = with("type = 'url'\nurl = 'https://h/web-1-py3-none-any.whl'").unwrap();
    assert!(matches!(url, Place::Known(Origin::Files { wheels, sdist: None }) if wheels[0].digest.to_string() == HASH));
    for (source, said) in [
        ("type = 'hg'\nurl = 'https://h'", "comes from `hg`, which is not read"),
        ("type = 'directory'\nurl = '../absent'", "which web 1 comes from, is not there"),
        ("type = 'legacy'\nurl = 'ext::sh'", "is no URL of an index"),
        ("type = 'legacy'\nurl = \"https://h/\\n--extra-index-url=https://evil\"", "is no URL of an index"),
    ] {
        let error: Error = with(source).unwrap_err();
        assert!(error.to_string().contains(said), "{source}: {error}");
    }
}

#[test]
fn broken_locks_are_told_with_what_to_do() {
    let none = selection(&[], &[]);
    let good = [entry("web", "1", "groups = ['main']\n"), "[metadata]\nlock-version = '2.1'\n".to_owned()].join("");
    let other = |from: &str, to: &str| poetry(&good.replace(from, to), "", &none, "python3.13").unwrap_err();
    for (from, to, said, hint) in [
        ("2.1", "3.0", "a poetry.lock of version 3.0", "poetry lock"),
        ("2.1", "2.2", "a poetry.lock of version 2.2", "poetry export"),
        (HASH, "md5:00", "is no digest", "run `poetry lock`"),
        ("name = 'web'", "name = \"web\\n--index-url\"", "is no name of a package", ""),
        ("version = '1'", "version = '1 --hash'", "is no version of web", ""),
    ] {
        let error = other(from, to);
        assert!(error.to_string().contains(said) && error.kind() == Kind::Config, "{error}");
        assert!(hint.is_empty() || error.hints()[0].contains(hint), "{:?}", error.hints());
    }
    let error = other("files = [{", "nothing = [{");
    assert!(error.to_string().contains("web 1 has no digest in the lock"), "{error}");
    let error = poetry(&good[..40], "", &none, "python3.13").unwrap_err();
    assert!(error.to_string().contains("poetry.lock:"), "{error}");
    let stale = poetry(&good, "[tool.poetry.dependencies]\nnew = '*'\n", &none, "python3.13").unwrap_err();
    assert!(stale.to_string().contains("needs `new`, which the lock does not know"), "{stale}");

    let error = pdm("[metadata]\nlock_version = '5.0'\n", "", &none, "python3.13").unwrap_err();
    assert!(
        error.to_string().contains("a pdm.lock of version 5.0") && error.hints()[0].contains("pdm lock"),
        "{error}"
    );
    let error = pipfile("{\"_meta\": {\"pipfile-spec\": 7}}", &none, "python3.13").unwrap_err();
    assert!(error.to_string().contains("a Pipfile.lock of version 7"), "{error}");
    let error = pipfile("{\"_meta\": {\"pipfile-spec\": 6}, \"def", &none, "python3.13").unwrap_err();
    assert!(error.to_string().contains("Pipfile.lock:1:") && error.hints()[0] == "run `pipenv lock`", "{error}");
}

const PDM: &str = "[project]\nname = 'svc'\ndependencies = ['web[fast]', \"tomli; python_version < '3.11'\"]\n\
    [project.optional-dependencies]\ns3 = ['boto']\n[dependency-groups]\nprod = [{ include-group = 'probes' }]\nprobes = ['probe']\n";

fn pdm_lock(strategy: &str, metadata: &str) -> String {
    let marked = |group: &str, more: &str| {
        if strategy.is_empty() { more.replace("marker", "unused") } else { format!("groups = ['{group}']\n{more}") }
    };
    [
        entry("web", "1", &marked("default", "dependencies = ['base>=1']")),
        entry("web", "1", &marked("default", "extras = ['fast']\ndependencies = ['fasthttp', 'web==1']")),
        entry("base", "1", &marked("default", "")),
        entry("fasthttp", "2", &marked("default", "")),
        entry("tomli", "2", &marked("default", "marker = \"python_version < '3.11'\"")),
        entry("boto", "5", &marked("s3", "")),
        entry("probe", "6", &marked("prod", "requires_python = '>=3.8'")),
        entry("probe", "7", "requires_python = '>=4'"),
        format!("[metadata]\nlock_version = '4.5.0'\nstrategy = [{strategy}]\ngroups = ['default', 's3', 'prod']\n{metadata}\n"),
    ]
    .join("")
}

#[test]
fn locks_of_pdm_are_read_with_either_strategy() {
    for strategy in ["", "'inherit_metadata'"] {
        let lock = pdm_lock(strategy, "");
        let on = |wanted: &Selection, runtime| labels(pdm(&lock, PDM, wanted, runtime));
        let plain = selection(&[], &[]);
        assert_eq!(on(&plain, "python3.13").unwrap(), ["base 1", "fasthttp 2", "web 1"], "{strategy}");
        assert!(on(&plain, "python3.10").unwrap().contains(&"tomli 2".to_owned()));
        let more = on(&selection(&["s3"], &["prod"]), "python3.13").unwrap();
        assert_eq!(more, ["base 1", "boto 5", "fasthttp 2", "probe 6", "web 1"], "{strategy}");
        let error = on(&selection(&[], &["probes"]), "python3.13").unwrap_err();
        assert!(error.to_string().contains("`probes` was not locked"), "{error}");
        assert!(on(&selection(&[], &["x"]), "python3.13").unwrap_err().hints()[0].contains("`prod`"));
    }
}

#[test]
fn targets_of_pdm_are_compared() {
    let on = |metadata: &str| {
        labels(pdm(&pdm_lock("'inherit_metadata'", metadata), PDM, &selection(&[], &[]), "python3.13"))
    };
    for good in [
        "requires_python = '>=3.9'",
        "platform = 'manylinux_2_17_aarch64'",
        "platform = 'linux'\nimplementation = 'cpython'",
    ] {
        assert!(
            on(&format!("[[metadata.targets]]\nplatform = 'windows'\n[[metadata.targets]]\n{good}")).is_ok(),
            "{good}"
        );
    }
    for bad in [
        "requires_python = '<3.9'",
        "platform = 'manylinux_2_17_x86_64'",
        "platform = 'macos'",
        "implementation = 'pypy'",
    ] {
        let error = on(&format!("[[metadata.targets]]\n{bad}")).unwrap_err();
        assert!(error.to_string().contains("leaves out python3.13 on arm64"), "{error}");
    }
}

fn pipfile_lock(default: &str) -> String {
    format!(
        "{{\"_meta\": {{\"pipfile-spec\": 6, \"requires\": {{\"python_version\": \"3.11\"}}, \"sources\": [\
         {{\"name\": \"one\", \"url\": \"https://one/simple\"}}, {{\"name\": \"two\", \"url\": \"https://${{NO_SUCH_VARIABLE}}@two/simple\"}}]}}, \
         \"default\": {{{default}}}, \"develop\": {{\"pytest\": {{\"version\": \"==7\", \"hashes\": [\"{HASH}\"]}}}}, \
         \"prod\": {{\"probe\": {{\"version\": \"==6\", \"hashes\": [\"{HASH}\"]}}}}}}"
    )
}

#[test]
fn sections_of_pipenv_are_groups() {
    let web = format!(
        "\"web\": {{\"version\": \"==1\", \"hashes\": [\"{HASH}\"], \"markers\": \"python_version >= '3.9'\"}}"
    );
    let tomli = "\"tomli\": {\"version\": \"*\", \"markers\": \"python_version < '3.11'\"}";
    let lock = pipfile_lock(&format!("{web}, {tomli}"));
    let on = |wanted: &Selection, runtime| pipfile(&lock, wanted, runtime);
    let plain = on(&selection(&[], &[]), "python3.11").unwrap();
    assert!(
        plain.notes.is_empty()
            && matches!(&plain.packages[0].place, Place::Index(Index { url: Some(url), .. }, _) if url == "https://one/simple")
    );
    assert!(on(&selection(&[], &[]), "python3.13").unwrap().notes[0].contains("what only python3.13 needs"));
    assert_eq!(labels(on(&selection(&[], &["dev", "prod"]), "python3.11")).unwrap(), ["probe 6", "pytest 7", "web 1"]);
    let error = on(&selection(&[], &[]), "python3.10").unwrap_err();
    assert!(
        error.to_string().contains("`tomli` has no exact version") && error.hints()[0].contains("--python 3.10"),
        "{error}"
    );
    assert!(
        on(&selection(&["s3"], &[]), "python3.11").unwrap_err().to_string().contains("a Pipfile has no extra `s3`")
    );
    for (entry, said) in [
        (
            format!("{{\"version\": \"==1\", \"index\": \"two\", \"hashes\": [\"{HASH}\"]}}"),
            "`NO_SUCH_VARIABLE` in the URL of an index is not set",
        ),
        (
            format!("{{\"version\": \"==1\", \"index\": \"three\", \"hashes\": [\"{HASH}\"]}}"),
            "`three` is not among the sources",
        ),
        ("{\"version\": \"==1\"}".to_owned(), "web 1 has no digest in the lock"),
        ("{\"path\": \"./absent\"}".to_owned(), "`./absent`, which web comes from, is not there"),
    ] {
        let error =
            pipfile(&pipfile_lock(&format!("\"web\": {entry}")), &selection(&[], &[]), "python3.11").unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[test]
fn two_versions_for_one_target_are_refused() {
    let text = [
        entry("web", "1", "groups = ['main']"),
        entry("web", "2", "groups = ['main']"),
        "[metadata]\nlock-version = '2.1'\n".to_owned(),
    ];
    let error = poetry(&text.join(""), "", &selection(&[], &[]), "python3.13").unwrap_err();
    assert!(error.to_string().contains("both web 1 and web 2"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn locks_never_panic(
        toml in "(\\[\\[package\\]\\]|\\[metadata\\]|\\[package.source\\]|name|version|files|groups|markers|lock[-_]version|type|url|=|'2.1'|'4.5'|'a'|\\{|\\}|\\[|\\]|\n| ){0,40}",
        json in "(\\{|\\}|\"_meta\": \\{\"pipfile-spec\": 6\\}|\"default\": |\"a\": |\"version\": |\"==1\"|\"hashes\": \\[|\\]|,){0,20}",
    ) {
        let none = selection(&[], &[]);
        let _ = poetry(&toml, POETRY, &none, "python3.13");
        let _ = pdm(&toml, PDM, &none, "python3.13");
        let _ = pipfile(&json, &none, "python3.13");
    }

    /// Any change of one character of a good lock is read or refused.
    #[test]
    fn damaged_locks_never_panic(at in 0..400_usize, with in "\\PC{0,3}") {
        let none = selection(&[], &[]);
        for text in [old_poetry("1.1"), pdm_lock("", ""), pipfile_lock(&format!("\"web\": {{\"version\": \"==1\", \"hashes\": [\"{HASH}\"]}}"))] {
            let mut chars: Vec<char> = text.chars().collect();
            let at = at.min(chars.len() - 1);
            chars.splice(at..=at, with.chars());
            let damaged: String = chars.into_iter().collect();
            let _ = poetry(&damaged, POETRY, &none, "python3.13");
            let _ = pdm(&damaged, PDM, &none, "python3.13");
            let _ = pipfile(&damaged, &none, "python3.13");
        }
    }
}
