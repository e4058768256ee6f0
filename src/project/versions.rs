//! Which version of a runtime a folder asks for. Defaults are fixed, not the newest of the day, so that the same folder
//! gives the same package next year.

use std::path::Path;

use pep508_rs::pep440_rs::{Version, VersionSpecifiers};

use super::reader::Document;
use crate::error::{Error, Result};
use crate::fsio;
use crate::jvm::{self, pom::Pom};
use crate::lambda::{Family, RUNTIMES, Runtime, find};

/// The runtime of Python functions that do not ask for a version.
pub(crate) const DEFAULT_PYTHON: &str = "python3.13";
/// The runtime of Node.js functions that do not ask for a version.
pub(crate) const DEFAULT_NODE: &str = "nodejs22.x";
/// The runtime of Ruby functions that do not ask for a version.
pub(crate) const DEFAULT_RUBY: &str = "ruby3.4";
/// The runtime of .NET functions that do not ask for a version.
pub(crate) const DEFAULT_DOTNET: &str = "dotnet10";
/// The runtime of what brings its own `bootstrap`.
pub(crate) const DEFAULT_PROVIDED: &str = "provided.al2023";

/// The runtime of Java functions that do not ask for a version.
pub(crate) const DEFAULT_JAVA: &str = "java21";
/// The Ruby runtime that `.ruby-version` or `Gemfile.lock` asks for.
pub(crate) fn ruby(dir: &Path) -> Result<String> {
    let file = dir.join(".ruby-version");
    if let Some(version) = first_line(&file)? {
        let number = version.strip_prefix("ruby-").unwrap_or(&version);
        return ruby_of(number).ok_or_else(|| no_runtime(&format!("Ruby `{version}`"), "ruby").at(&file, Some((1, 1))));
    }
    let file = dir.join("Gemfile.lock");
    let lock = if file.is_file() { fsio::read_text(&file)? } else { String::new() };
    // It is written below a line of its own: `   ruby 3.3.0p0`.
    let asked = lock.lines().skip_while(|line| *line != "RUBY VERSION").nth(1);
    let Some(version) = asked.and_then(|line| line.trim().strip_prefix("ruby ")) else {
        return Ok(DEFAULT_RUBY.to_owned());
    };
    ruby_of(version).ok_or_else(|| no_runtime(&format!("Ruby `{version}`"), "ruby").at(&file, None))
}

fn ruby_of(version: &str) -> Option<String> {
    let mut parts = version.split(['.', 'p']);
    let id = format!("ruby{}.{}", parts.next()?, parts.next()?);
    find(&id).map(|runtime| runtime.id.to_owned())
}

/// The .NET runtime that `TargetFramework` of a folder's project asks for.
pub(crate) fn dotnet(dir: &Path) -> Result<String> {
    let Some(version) = crate::resolve::dotnet::framework_of(dir) else { return Ok(DEFAULT_DOTNET.to_owned()) };
    let found = find(&format!("dotnet{version}")).map(|runtime| runtime.id.to_owned());
    found.ok_or_else(|| no_runtime(&format!("`net{version}.0`"), "dotnet"))
}

/// Code names of long-term support versions, as `.nvmrc` may have them. Source: the release schedule of Node.js.
const LTS_NAMES: [(&str, u64); 8] = [
    ("erbium", 12),
    ("fermium", 14),
    ("gallium", 16),
    ("hydrogen", 18),
    ("iron", 20),
    ("jod", 22),
    ("krypton", 24),
    ("lts", 22),
];

/// The Python runtime that `.python-version` or `requires-python` asks for.
pub(crate) fn python(dir: &Path) -> Result<String> {
    let file = dir.join(".python-version");
    if let Some(version) = first_line(&file)? {
        return python_of(&version)
            .ok_or_else(|| no_runtime(&format!("Python `{version}`"), "python").at(&file, Some((1, 1))));
    }
    let file = dir.join("pyproject.toml");
    if !file.is_file() {
        return Ok(DEFAULT_PYTHON.to_owned());
    }
    let document = Document::read(&file)?;
    // What is wrong with the rest of the manifest is for its own tool to say.
    let project = document.root().section("project").ok().flatten();
    let Some(requires) = project.and_then(|p| p.text("requires-python").ok().flatten()) else {
        return Ok(DEFAULT_PYTHON.to_owned());
    };
    let specifiers: VersionSpecifiers = requires
        .value
        .parse()
        .map_err(|e| requires.error(format!("bad `requires-python = \"{}\"`", requires.value)).because(e))?;
    choose(DEFAULT_PYTHON, |runtime| match runtime.family {
        Family::Python { major, minor } => python_satisfies(&specifiers, major, minor),
        _ => false,
    })
    .ok_or_else(|| {
        let error = no_runtime(&format!("`requires-python = \"{}\"`", requires.value), "python");
        error.at(requires.at.path.clone(), requires.at.line_column)
    })
}

/// Lambda has the newest patch of a version, whichever that is: one that would do is enough.
fn python_satisfies(specifiers: &VersionSpecifiers, major: u8, minor: u8) -> bool {
    (0..=30).any(|patch| specifiers.contains(&Version::new([u64::from(major), u64::from(minor), patch])))
}

fn python_of(version: &str) -> Option<String> {
    let version = version.strip_prefix("cpython-").or_else(|| version.strip_prefix("cpython@")).unwrap_or(version);
    let mut parts = version.split('.');
    let id = match (parts.next()?, parts.next()) {
        ("3", None) => DEFAULT_PYTHON.to_owned(),
        (major, Some(minor)) => format!("python{major}.{minor}"),
        _ => return None,
    };
    find(&id).map(|runtime| runtime.id.to_owned())
}

/// The Node.js runtime that `.nvmrc`, `.node-version` or `engines.node` of `package.json` asks for.
pub(crate) fn node(dir: &Path) -> Result<String> {
    for name in [".nvmrc", ".node-version"] {
        let file = dir.join(name);
        if let Some(version) = first_line(&file)? {
            return node_of(&version)
                .ok_or_else(|| no_runtime(&format!("Node.js `{version}`"), "nodejs").at(&file, Some((1, 1))));
        }
    }
    let file = dir.join("package.json");
    let Some(range) = package_json(dir)?.and_then(|json| json["engines"]["node"].as_str().map(str::to_owned)) else {
        return Ok(DEFAULT_NODE.to_owned());
    };
    // A range in a form that is not understood is left to the package manager, which checks it.
    let Some(alternatives) = node_range(&range) else { return Ok(DEFAULT_NODE.to_owned()) };
    choose(DEFAULT_NODE, |runtime| match runtime.family {
        Family::Node { major } => alternatives.iter().any(|(low, high)| (*low..=*high).contains(&u64::from(major))),
        _ => false,
    })
    .ok_or_else(|| no_runtime(&format!("`engines.node = \"{range}\"`"), "nodejs").at(&file, None))
}

/// The `package.json` of a folder, when there is one.
pub(crate) fn package_json(dir: &Path) -> Result<Option<serde_json::Value>> {
    let file = dir.join("package.json");
    if !file.is_file() {
        return Ok(None);
    }
    serde_json::from_str(&fsio::read_text(&file)?)
        .map(Some)
        .map_err(|e| Error::config("bad `package.json`").at(&file, Some((e.line(), e.column().max(1)))).because(e))
}

fn node_of(version: &str) -> Option<String> {
    let version = version.trim_start_matches('v').to_lowercase();
    if ["node", "stable", "lts/*"].contains(&version.as_str()) {
        return Some(DEFAULT_NODE.to_owned());
    }
    let name = version.strip_prefix("lts/").unwrap_or(&version);
    let major = LTS_NAMES.iter().find(|(lts, _)| *lts == name).map(|(_, major)| *major);
    let major = major.or_else(|| version.split('.').next()?.parse().ok())?;
    find(&format!("nodejs{major}.x")).map(|runtime| runtime.id.to_owned())
}

/// The majors that a range of npm allows, as inclusive intervals; nothing when its form is not understood.
fn node_range(range: &str) -> Option<Vec<(u64, u64)>> {
    range.split("||").map(node_interval).collect()
}

fn node_interval(text: &str) -> Option<(u64, u64)> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match words.last_mut() {
            // An operator may stand apart from its version.
            Some(last) if last.chars().all(|c| "<>=^~".contains(c)) => last.push_str(word),
            _ => words.push(word.to_owned()),
        }
    }
    if let [low, dash, high] = words.as_slice()
        && dash == "-"
    {
        return Some((comparator(low)?.0, comparator(high)?.1));
    }
    let mut interval = (0, u64::MAX);
    for word in &words {
        let (low, high) = comparator(word)?;
        interval = (interval.0.max(low), interval.1.min(high));
    }
    Some(interval)
}

/// The majors of which some version satisfies one comparator.
fn comparator(word: &str) -> Option<(u64, u64)> {
    let version = word.trim_start_matches(['<', '>', '=', '^', '~']);
    let operator = &word[..word.len() - version.len()];
    let mut parts = version.trim_start_matches('v').split('.');
    let first = parts.next()?;
    if ["*", "x", "X", ""].contains(&first) {
        return version_is_wild(operator).then_some((0, u64::MAX));
    }
    let major: u64 = first.parse().ok()?;
    let rest: Vec<&str> = parts.collect();
    let zero = rest.iter().all(|part| *part == "0");
    match operator {
        "" | "=" | "^" | "~" => Some((major, major)),
        ">=" => Some((major, u64::MAX)),
        ">" if rest.is_empty() => Some((major + 1, u64::MAX)),
        ">" => Some((major, u64::MAX)),
        "<=" => Some((0, major)),
        "<" if zero => Some((0, major.checked_sub(1)?)),
        "<" => Some((0, major)),
        _ => None,
    }
}

fn version_is_wild(operator: &str) -> bool {
    ["", "=", ">=", "<=", "^", "~"].contains(&operator)
}

/// The Java runtime for what `pom.xml` or Gradle's build says that it compiles for: that of its version, else the next.
pub(crate) fn java(dir: &Path) -> Result<String> {
    let asked = match jvm::project::maven_file(dir) {
        Some(file) => Pom::with_parents(&file, Path::new("/"))?.0.java().map(|java| (java, file)),
        None => jvm::project::gradle_java(dir),
    };
    let Some((asked, file)) = asked else { return Ok(DEFAULT_JAVA.to_owned()) };
    let usable = RUNTIMES.iter().filter(|r| !r.lifecycle.preview && !r.lifecycle.retired);
    let able = usable.filter_map(|runtime| match runtime.family {
        Family::Java { major } if major >= asked => Some((major, runtime.id)),
        _ => None,
    });
    // Of two systems, the identifier without one is the newer where it is not the only one.
    let nearest = able.min_by_key(|(major, id)| (*major, std::cmp::Reverse(id.len())));
    nearest.map(|(_, id)| id.to_owned()).ok_or_else(|| no_runtime(&format!("Java {asked}"), "java").at(&file, None))
}

/// The default when it will do, else the newest that does and can be had.
fn choose(default: &'static str, will_do: impl Fn(&Runtime) -> bool) -> Option<String> {
    let usable = RUNTIMES.iter().filter(|r| !r.lifecycle.preview && !r.lifecycle.retired && will_do(r));
    let ids: Vec<&str> = usable.map(|runtime| runtime.id).collect();
    if ids.contains(&default) { Some(default.to_owned()) } else { ids.first().map(|id| (*id).to_owned()) }
}

fn no_runtime(asked: &str, prefix: &str) -> Error {
    let usable = RUNTIMES.iter().filter(|r| r.id.starts_with(prefix) && !r.lifecycle.retired && !r.lifecycle.preview);
    let ids: Vec<&str> = usable.map(|runtime| runtime.id).collect();
    Error::config(format!("Lambda has no runtime for {asked}"))
        .hint(format!("choose one with `--runtime`: {}", ids.join(", ")))
}

/// The first line of a version file that says something.
fn first_line(file: &Path) -> Result<Option<String>> {
    if !file.is_file() {
        return Ok(None);
    }
    let text = fsio::read_text(file)?;
    let line = text.lines().map(|line| line.split('#').next().unwrap_or("").trim()).find(|line| !line.is_empty());
    Ok(line.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fsio::write_atomic(&dir.path().join(name), text.as_bytes()).unwrap();
        }
        dir
    }

    #[test]
    fn python_follows_what_the_folder_asks_for() {
        let python = |name: &str, text: &str| python(folder(&[(name, text)]).path()).unwrap();
        assert_eq!(python("x", ""), "python3.13");
        assert_eq!(python(".python-version", "# ours\n3.12.4\n"), "python3.12");
        assert_eq!(python(".python-version", "3.9"), "python3.9");
        for (requires, expected) in [
            (">=3.11", "python3.13"),
            (">=3.11,<3.13", "python3.12"),
            (">=3.14", "python3.14"),
            ("==3.12.*", "python3.12"),
            (">=3.13.1", "python3.13"),
            ("~=3.10", "python3.13"),
        ] {
            let text = format!("[project]\nname = 'x'\nrequires-python = '{requires}'\n");
            assert_eq!(python("pyproject.toml", &text), expected, "{requires}");
        }
    }

    #[test]
    fn a_python_that_lambda_lacks_is_an_error_at_its_line() {
        let dir = folder(&[("pyproject.toml", "[project]\nrequires-python = '>=3.99'\n")]);
        let error = python(dir.path()).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("pyproject.toml:2:19: Lambda has no runtime for `requires-python = \">=3.99\"`"),
            "{error}"
        );
        let dir = folder(&[(".python-version", "pypy3.10")]);
        assert!(python(dir.path()).unwrap_err().to_string().contains("Python `pypy3.10`"));
    }

    #[test]
    fn node_follows_what_the_folder_asks_for() {
        let node = |name: &str, text: &str| node(folder(&[(name, text)]).path()).unwrap();
        assert_eq!(node("package.json", "{}"), "nodejs22.x");
        assert_eq!(node(".nvmrc", "v20.11.1\n"), "nodejs20.x");
        assert_eq!(node(".nvmrc", "lts/krypton"), "nodejs24.x");
        assert_eq!(node(".node-version", "lts/*"), "nodejs22.x");
        for (range, expected) in [
            (">=18", "nodejs22.x"),
            (">= 18.12 <21", "nodejs20.x"),
            ("^24.0.0", "nodejs24.x"),
            (">22", "nodejs24.x"),
            (">22.1", "nodejs22.x"),
            ("<22.0.0", "nodejs20.x"),
            ("18 - 20", "nodejs20.x"),
            ("18.x || 20.x", "nodejs20.x"),
            ("*", "nodejs22.x"),
            ("what?", "nodejs22.x"),
        ] {
            let text = format!("{{\"engines\": {{\"node\": \"{range}\"}}}}");
            assert_eq!(node("package.json", &text), expected, "{range}");
        }
    }
}
