//! Resolves with pip's dry run, whose report names the wheels that it would take, by URL and digest.
//!
//! pip takes platform tags literally, so all that the runtime loads are spelled out. It evaluates markers for the Python
//! that it runs in; see [`super::pip_markers`] for what is done about that. With a platform given it takes wheels only, so a
//! package that is published as source only is built first and offered beside the index.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::ask::Question;
use super::build::{Builder, Built};
use super::names::{self, normalize};
use super::pin::{Origin, Pin, RemoteFile};
use super::programs::{INSTALL_HINT, Programs};
use super::{pip_markers, select, stub};
use crate::error::{Error, Result};
use crate::finding::Finding;
use crate::fsio;
use crate::process::{Failure, Tool};
use crate::resolve::Context;
use crate::store::{Digest, percent_decode};

/// The first pip whose `install` has `--report` and `--dry-run`.
const OLDEST: (u32, u32) = (22, 2);
/// Packages without wheels in one file; each costs a call of pip.
const MAX_BUILDS: usize = 50;

/// pip, found and new enough.
pub(super) struct Pip<'a> {
    python: &'a Path,
    version: String,
    /// Itself, its Python, and the settings of that Python's folder.
    identity: String,
}

/// Says what pip is, and what it runs in; importing it is faster than having it say its version.
const WHO: &str =
    "import sys, pip; print(pip.__version__); print(sys.prefix); print(sys.executable, sys.version, pip.__file__)";

/// What `--report` writes.
#[derive(Debug, Deserialize)]
pub(super) struct Report {
    /// What it would install.
    pub(super) install: Vec<Item>,
    /// The markers of the Python that pip runs in.
    pub(super) environment: BTreeMap<String, String>,
}

/// One package of a report.
#[derive(Debug, Deserialize)]
pub(super) struct Item {
    download_info: Download,
    /// Whether a line of the file asks for it.
    #[serde(default)]
    pub(super) requested: bool,
    /// With which extras.
    #[serde(default)]
    pub(super) requested_extras: Vec<String>,
    /// Its core metadata.
    pub(super) metadata: Metadata,
}

#[derive(Debug, Deserialize)]
struct Download {
    url: String,
    archive_info: Option<ArchiveInfo>,
    dir_info: Option<serde_json::Value>,
    vcs_info: Option<VcsInfo>,
    subdirectory: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct ArchiveInfo {
    hash: Option<String>,
    #[serde(default)]
    hashes: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct VcsInfo {
    commit_id: String,
}

/// Core metadata, as JSON.
#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    /// The name as it is published.
    pub(super) name: String,
    /// The version.
    pub(super) version: String,
    /// Its own requirements.
    #[serde(default)]
    pub(super) requires_dist: Vec<String>,
    requires_python: Option<String>,
}

impl<'a> Pip<'a> {
    /// Asks for its version, each time: a Python on PATH may be a script that leads to another one tomorrow.
    ///
    /// # Errors
    /// When Python has no pip, or one without `--report`.
    pub(super) fn new(python: &'a Path) -> Result<Self> {
        let said = Tool::new(python)
            .args(["-c", WHO])
            .install_hint(INSTALL_HINT)
            .run()
            .map_err(|failure| Error::from(failure).context("neither uv nor pip is here").hint(INSTALL_HINT))?
            .text();
        let mut lines = said.lines();
        let version = lines.next().unwrap_or_default().to_owned();
        let settings = lines.next().and_then(|prefix| fsio::read_text(&Path::new(prefix).join("pip.conf")).ok());
        let identity = format!("{said}{}", settings.unwrap_or_default());
        let mut numbers = version.split('.').map(|n| n.parse::<u32>().unwrap_or(0));
        if (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < OLDEST {
            return Err(Error::failed(format!(
                "pip {version} is too old; 22.2 is the first that can report what it would install"
            ))
            .hint("update it with `python3 -m pip install --upgrade pip`, or install uv"));
        }
        Ok(Self { python, version, identity })
    }

    /// `pip 23.2.1`.
    pub(super) fn name(&self) -> String {
        format!("pip {}", self.version)
    }

    /// The pins, and findings about packages that need a compiler.
    pub(super) fn resolve(
        &self,
        question: &Question<'_>,
        builder: &Builder<'_>,
        context: &Context<'_>,
    ) -> Result<(Vec<Pin>, Vec<Finding>)> {
        let mut findings = Vec::new();
        let mut left_out = BTreeSet::new();
        let asked = self.asked(question);
        if let Some(report) = question.answers.as_ref().and_then(|answers| answers.get(&asked)) {
            return Ok((pins(&read(report.as_bytes())?, question, &left_out)?, findings));
        }
        let links = question.scratch.path().join("links");
        fsio::create_dir_all(&links)?;
        let mut ignore_python = false;
        let mut is_index_alone = true;
        for _ in 0..MAX_BUILDS {
            let install = self.install(question, &links);
            let install = if ignore_python { install.arg("--ignore-requires-python") } else { install };
            let said = match install.run() {
                Ok(output) => {
                    let pins = pins(&read(&output.stdout)?, question, &left_out)?;
                    // What was built meanwhile is no part of the question.
                    let is_told = is_index_alone && !pins.iter().any(Pin::is_of_this_machine);
                    if let Some(answers) = question.answers.as_ref().filter(|_| is_told) {
                        answers.keep(&asked, &output.text());
                    }
                    return Ok((pins, findings));
                }
                Err(Failure::Status { stderr, .. }) => stderr,
                Err(failure) => return Err(failure.into()),
            };
            // pip finds candidates for the target, but in the end compares `Requires-Python` with the Python it runs in.
            if !ignore_python && said.contains("requires a different Python") {
                ignore_python = true;
                continue;
            }
            is_index_alone = false;
            let refused = question.refused(&self.name(), &said);
            let Some(wanted) = missing(&said) else { return Err(refused) };
            let item = match self.source(question, wanted)? {
                Sourced::Item(item) => item,
                Sourced::Native(metadata) => {
                    let label = format!("{} {}", normalize(&metadata.name), metadata.version);
                    findings.push(select::native(
                        &label,
                        &[],
                        "its metadata cannot be made without a compiler",
                        question.target,
                    ));
                    stub::write(&links, &metadata)?;
                    left_out.insert(normalize(&metadata.name));
                    continue;
                }
                Sourced::Nothing => return Err(refused),
            };
            let name = normalize(&item.metadata.name);
            if !question.requirements.hashes().is_empty() {
                return Err(refused.hint(format!(
                    "{name} has no wheel; pip cannot build it and verify it at once, but uv can: {INSTALL_HINT}"
                )));
            }
            match select::build_sdist(&pin(&item)?, builder, question.target, context)? {
                Built::Wheel { path, .. } => copy_into(&path, &links)?,
                Built::Native(why) => {
                    findings.push(select::native(&pin(&item)?.label(), &[], &why, question.target));
                    stub::write(&links, &item.metadata)?;
                    left_out.insert(name);
                }
            }
        }
        Err(Error::failed(format!("`{}` needs more than {MAX_BUILDS} packages to be built", question.shown.display()))
            .hint(INSTALL_HINT))
    }

    /// What an answer is known by, beside what all answers about these requirements have in common.
    fn asked(&self, question: &Question<'_>) -> Vec<String> {
        let target = question.target;
        vec![
            "pip install --dry-run".to_owned(),
            self.identity.clone(),
            target.full_version(),
            target.tags.platforms().join(" "),
            // What was answered without the network may be older than what the network says.
            format!("offline: {}", question.offline),
            format!("complete: {}", question.is_complete),
        ]
    }

    fn call(&self, question: &Question<'_>) -> Tool {
        let target = question.target;
        let mut tool = Programs::call_pip(self.python)
            .args(["install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-", "--target"])
            .arg(question.scratch.path().join("target"))
            .args(["--python-version", &target.full_version(), "--implementation", "cp"])
            // Metadata of a source is made by its build backend, which is not to compile for this machine.
            .env("CC", "false")
            .env("CXX", "false")
            .env("RUSTC", "false")
            .cwd(question.shown.parent().unwrap_or(Path::new(".")));
        let own = if target.minor < 8 { format!("cp3{}m", target.minor) } else { format!("cp3{}", target.minor) };
        for abi in [own.as_str(), "abi3", "none"] {
            tool = tool.args(["--abi", abi]);
        }
        for platform in target.tags.platforms() {
            tool = tool.args(["--platform", platform]);
        }
        let tool = if question.is_complete { tool.arg("--no-deps") } else { tool };
        if question.offline { tool.arg("--no-index") } else { tool }
    }

    fn install(&self, question: &Question<'_>, links: &Path) -> Tool {
        // What is built here for the target says of its system only that it is Linux.
        let built = format!("linux_{}", question.target.architecture.machine());
        let tool = self.call(question).args(["--platform", &built, "--only-binary", ":all:", "--find-links"]);
        tool.arg(links).arg("-r").arg(&question.input)
    }

    /// The source distribution that meets a requirement, if there is one.
    fn source(&self, question: &Question<'_>, requirement: &str) -> Result<Sourced> {
        let requirement = requirement.split(" (from").next().unwrap_or(requirement);
        let name =
            requirement.split(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c))).next().unwrap_or_default();
        let call = self.call(question).args(["--no-deps", "--no-binary", name]);
        match call.args(question.requirements.index_options()).arg(requirement).run() {
            Ok(output) => Ok(read(&output.stdout)?
                .install
                .into_iter()
                .next()
                .map_or(Sourced::Nothing, |i| Sourced::Item(Box::new(i)))),
            // There is a source, but its backend fails; without an exact version nothing could stand in for it.
            Err(Failure::Status { stderr, .. }) if stderr.contains("metadata-generation-failed") => {
                let version =
                    requirement.split_once("==").map(|(_, version)| version.trim()).filter(|v| !v.contains(','));
                Ok(version.map_or(Sourced::Nothing, |version| {
                    let (name, version) = (name.to_owned(), version.to_owned());
                    Sourced::Native(Metadata { name, version, requires_dist: Vec::new(), requires_python: None })
                }))
            }
            Err(Failure::Status { .. }) => Ok(Sourced::Nothing),
            Err(failure) => Err(failure.into()),
        }
    }
}

/// What there is of a package without a wheel.
enum Sourced {
    /// A source distribution.
    Item(Box<Item>),
    /// One that cannot even tell its metadata here.
    Native(Metadata),
    /// Nothing.
    Nothing,
}

/// The pins of a report, checked against the target.
fn pins(report: &Report, question: &Question<'_>, left_out: &BTreeSet<String>) -> Result<Vec<Pin>> {
    check_python(report, question)?;
    let wanted = match question.is_complete {
        true => None,
        false => Some(pip_markers::reachable(report, question)?),
    };
    let items = report.install.iter().filter(|item| {
        let name = normalize(&item.metadata.name);
        wanted.as_ref().is_none_or(|wanted| wanted.contains(&name)) && !left_out.contains(&name)
    });
    items.map(pin).collect()
}

fn read(report: &[u8]) -> Result<Report> {
    serde_json::from_slice(report).map_err(|e| Error::failed("pip's report cannot be read").because(e))
}

/// Refuses packages that are not for the target's Python.
fn check_python(report: &Report, question: &Question<'_>) -> Result<()> {
    for item in &report.install {
        let Metadata { name, version, requires_python, .. } = &item.metadata;
        if let Some(requires) = requires_python.as_deref().filter(|requires| !question.target.admitted_by(requires)) {
            let target = question.target.runtime.id;
            return Err(Error::config(format!(
                "pip chose {name} {version}, which is for Python `{requires}`, not for {target}"
            ))
            .at(question.shown, None)
            .hint(format!("pin a version that is for {target}, or let uv resolve: {INSTALL_HINT}")));
        }
    }
    Ok(())
}

/// The requirement that pip found nothing for.
fn missing(said: &str) -> Option<&str> {
    said.lines().find_map(|line| line.split_once("No matching distribution found for ").map(|(_, rest)| rest.trim()))
}

fn copy_into(wheel: &Path, folder: &Path) -> Result<()> {
    let to = folder.join(wheel.file_name().unwrap_or_default());
    std::fs::copy(wheel, &to).map_err(|e| Error::io("copy", wheel, &e))?;
    Ok(())
}

fn pin(item: &Item) -> Result<Pin> {
    let (name, version) = (normalize(&item.metadata.name), item.metadata.version.clone());
    let label = format!("{name} {version}");
    let origin = origin(&item.download_info, &label)?;
    Ok(Pin { name, version, origin })
}

fn origin(download: &Download, label: &str) -> Result<Origin> {
    let local = download.url.strip_prefix("file://").map(|path| PathBuf::from(percent_decode(path)));
    if let Some(vcs) = &download.vcs_info {
        let subdirectory = download.subdirectory.clone().unwrap_or_default();
        return Ok(Origin::Git { url: download.url.clone(), commit: vcs.commit_id.clone(), subdirectory });
    }
    let file = names::file_name(&download.url);
    match local {
        Some(folder) if download.dir_info.is_some() => return Ok(Origin::Folder(folder)),
        Some(path) if file.ends_with(".whl") => return Ok(Origin::Wheel(path, None)),
        _ => {}
    }
    let info = download.archive_info.as_ref();
    let hashes = info.into_iter().flat_map(|info| {
        let old = info.hash.as_deref().and_then(|hash| hash.split_once('='));
        info.hashes.iter().map(|(a, hex)| (a.as_str(), hex.as_str())).chain(old)
    });
    let digest = hashes.filter_map(|(algorithm, hex)| Digest::from_hex(algorithm, hex)).max_by_key(Digest::algorithm);
    let digest = digest.ok_or_else(|| {
        Error::failed(format!("the index names no digest for `{file}` of {label}, so it cannot be verified"))
    })?;
    let file = RemoteFile { file, url: download.url.clone(), digest, size: None };
    Ok(match file.file.ends_with(".whl") {
        true => Origin::Files { wheels: vec![file], sdist: None },
        false => Origin::Files { wheels: Vec::new(), sdist: Some(file) },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_read() {
        let said =
            "ERROR: Could not find a version\nERROR: No matching distribution found for docopt==0.6.2 (from a)\n";
        assert_eq!(missing(said), Some("docopt==0.6.2 (from a)"));
    }

    #[test]
    fn origins_are_told_apart() {
        let read = |json: &str| origin(&serde_json::from_str(json).unwrap(), "a 1");
        assert_eq!(read(r#"{"url":"file:///p/a","dir_info":{}}"#).unwrap(), Origin::Folder("/p/a".into()));
        assert_eq!(read(r#"{"url":"file:///p/%C3%A9%20a","dir_info":{}}"#).unwrap(), Origin::Folder("/p/é a".into()));
        assert_eq!(
            read(r#"{"url":"file:///p/a-1-py3-none-any.whl"}"#).unwrap(),
            Origin::Wheel("/p/a-1-py3-none-any.whl".into(), None)
        );
        let hash = "0".repeat(64);
        let sdist =
            read(&format!(r#"{{"url":"https://h/a-1.tar.gz","archive_info":{{"hash":"sha256={hash}"}}}}"#)).unwrap();
        assert!(matches!(sdist, Origin::Files { sdist: Some(_), .. }));
        assert!(
            read(r#"{"url":"https://h/a-1.tar.gz","archive_info":{}}"#).unwrap_err().to_string().contains("no digest")
        );
    }
}
