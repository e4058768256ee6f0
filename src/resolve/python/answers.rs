//! What uv and pip have answered today, so that the same question is not asked twice.
//!
//! A question is known by everything that the answer depends on: the tool itself, its arguments and settings, and the contents of
//! the files that it reads. What refers to other files of this machine is always asked anew.

use std::path::{Path, PathBuf};

use super::programs::Programs;
use super::requirements::{Line, Requirements};
use crate::fresh::{Inputs, Key};
use crate::fsio;
use crate::process::redact;
use crate::store::Store;

/// Where answers are kept, and what they depend on beside the arguments.
#[derive(Debug, Clone)]
pub(super) struct Answers<'a> {
    store: &'a Store,
    base: String,
}

impl<'a> Answers<'a> {
    /// Answers about `requirements` of the project in `folder`; nothing when they depend on more than can be told.
    pub(super) fn about(
        requirements: &Requirements,
        folder: &Path,
        programs: &Programs,
        store: &'a Store,
    ) -> Option<Self> {
        let settings = settings_text(folder);
        if !is_told(requirements, &settings, programs) {
            return None;
        }
        let mut key = Key::new();
        for fact in programs.facts() {
            key.add(fact);
        }
        for (_, text) in &requirements.files {
            key.add(text);
        }
        key.add(settings);
        Some(Self { store, base: key.finish() })
    }

    fn key(&self, question: &[String]) -> String {
        let mut key = Key::new();
        key.add(&self.base);
        for part in question {
            key.add(part);
        }
        key.finish()
    }

    /// What was answered.
    pub(super) fn get(&self, question: &[String]) -> Option<String> {
        self.store.answer(&self.key(question))
    }

    /// Keeps an answer. One that cannot be kept is asked for again; so is one with a name and password in a URL, as pip has
    /// them of an index that wants some.
    pub(super) fn keep(&self, question: &[String], answer: &str) {
        if redact(answer) != answer {
            return;
        }
        let _ = self.store.keep_answer(&self.key(question), answer);
    }
}

/// Whether the answer depends on nothing but what is read here: no URL, whose contents may change, and no folder of archives
/// on this machine.
fn is_told(requirements: &Requirements, settings: &str, programs: &Programs) -> bool {
    let links = std::env::var_os(if programs.uv.is_some() { "UV_FIND_LINKS" } else { "PIP_FIND_LINKS" }).is_some();
    let local = ["find-links", "find_links", "file:"].iter().any(|word| settings.contains(word));
    !links && !local && !requirements.names_urls() && !requirements.lines.iter().any(Line::is_relative)
}

/// The contents of all of [`settings`].
pub(super) fn settings_text(folder: &Path) -> String {
    settings(folder).iter().filter_map(|file| fsio::read_text(file).ok()).map(|text| text + "\0").collect()
}

/// Files that uv and pip may take settings from, for a project in `folder`.
pub(super) fn settings(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        folder.ancestors().flat_map(|above| ["uv.toml", "pyproject.toml"].map(|name| above.join(name))).collect();
    let home = etcetera::home_dir().ok();
    let configs = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).or(home.as_ref().map(|h| h.join(".config")));
    let shared = std::env::var_os("XDG_CONFIG_DIRS").unwrap_or_default();
    let shared = std::env::split_paths(&shared).filter(|folder| !folder.as_os_str().is_empty());
    for config in configs.into_iter().chain(shared).chain(["/etc".into(), "/etc/xdg".into()]) {
        files.extend(["uv/uv.toml", "pip/pip.conf"].map(|name| config.join(name)));
    }
    files.extend(home.map(|home| home.join(".pip/pip.conf")));
    files.push("/etc/pip.conf".into());
    files.extend(std::env::var_os("VIRTUAL_ENV").map(|home| PathBuf::from(home).join("pip.conf")));
    for name in [
        "UV_CONFIG_FILE",
        "UV_CONSTRAINT",
        "UV_OVERRIDE",
        "UV_BUILD_CONSTRAINT",
        "UV_EXCLUDE",
        "PIP_CONFIG_FILE",
        "PIP_CONSTRAINT",
        "PIP_REQUIREMENT",
    ] {
        let value = std::env::var(name).unwrap_or_default();
        files.extend(value.split_whitespace().map(|file| folder.join(file)));
    }
    files
}

/// What an answer about `requirements` depends on; nothing when a source on this machine is part of it.
pub(super) fn inputs(requirements: &Requirements, path: &Path, programs: &Programs) -> Option<Inputs> {
    let folder = path.parent().unwrap_or(Path::new("."));
    if !is_told(requirements, &settings_text(folder), programs) {
        return None;
    }
    let mut files: Vec<PathBuf> = requirements.files.iter().map(|(file, _)| file.clone()).collect();
    files.push(path.to_owned());
    files.extend(settings(folder));
    Some(Inputs { files, of_the_day: true, ..Inputs::default() })
}
