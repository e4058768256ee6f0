//! Reads `requirements.txt` and what it includes, as far as we must understand it: syntax errors get a place, projects on
//! this machine are found so that they can be built from a copy, and `--locked` can tell whether everything is pinned.
//! Resolving is left to uv or pip, to which options such as `--index-url` go untouched.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pep508_rs::{Requirement, VersionOrUrl};

use super::names::{self, normalize};
use crate::error::{Error, Result};
use crate::fsio;

/// Files may include each other this deep.
const MAX_DEPTH: usize = 32;
/// So many files may be included, counted each time: a chain in which each includes the next twice doubles with every link.
const MAX_FILES: usize = 1_000;

/// A requirements file with all that it includes.
#[derive(Debug, Default)]
pub(super) struct Requirements {
    /// The files with their texts, the outermost first.
    pub(super) files: Vec<(PathBuf, String)>,
    /// What stands in them, in order.
    pub(super) lines: Vec<Line>,
}

/// A logical line.
#[derive(Debug)]
pub(super) struct Line {
    /// Index of the file.
    pub(super) file: usize,
    /// First and last physical line, from 0.
    pub(super) span: (usize, usize),
    /// Whether it stands in a constraints file and so asks for nothing itself.
    pub(super) constraint: bool,
    /// What it says.
    pub(super) kind: Kind,
}

impl Line {
    /// Whether what it means depends on where its file is.
    pub(super) fn is_relative(&self) -> bool {
        match &self.kind {
            Kind::Local(_) | Kind::Opaque => true,
            Kind::Option(option, value) => {
                let is_index = matches!(option.as_str(), "-i" | "--index-url" | "--extra-index-url");
                !(is_index && (value.starts_with("https://") || value.starts_with("http://")))
            }
            Kind::Include(..) | Kind::Named(..) => false,
        }
    }

    /// Whether it adds no package.
    pub(super) fn asks_for_nothing(&self) -> bool {
        self.constraint || matches!(self.kind, Kind::Include(..) | Kind::Option(..))
    }
}

/// What a line says.
#[derive(Debug)]
pub(super) enum Kind {
    /// `-r` or `-c` of the file with this index.
    Include(usize, bool),
    /// A project folder on this machine.
    Local(Local),
    /// A requirement by name or URL, and the digests that `--hash` allows (`sha256:…`).
    Named(Box<Requirement>, Vec<String>),
    /// An option with its value, for the tool.
    Option(String, String),
    /// Something that only the tool understands.
    Opaque,
}

/// A project folder that a line names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Local {
    /// The folder, absolute.
    pub(super) folder: PathBuf,
    /// `[a,b]` or empty.
    pub(super) extras: String,
    /// The marker or empty.
    pub(super) marker: String,
}

impl Requirements {
    /// Reads a file and what it includes.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let mut out = Self::default();
        out.add(path, false, 0)?;
        Ok(out)
    }

    fn add(&mut self, path: &Path, constraint: bool, depth: usize) -> Result<usize> {
        if depth > MAX_DEPTH {
            return Err(Error::config("requirements files include each other without end").at(path, None));
        }
        let file = self.files.len();
        if file >= MAX_FILES {
            return Err(
                Error::config(format!("more than {MAX_FILES} requirements files include each other")).at(path, None)
            );
        }
        let text = fsio::read_text(path)?;
        self.files.push((path.to_owned(), text.clone()));
        for (span, line) in logical_lines(&text) {
            let kind = self.kind(path, &line, span.0, constraint, depth)?;
            self.lines.push(Line { file, span, constraint, kind });
        }
        Ok(file)
    }

    fn kind(&mut self, path: &Path, line: &str, at: usize, constraint: bool, depth: usize) -> Result<Kind> {
        let folder = path.parent().unwrap_or(Path::new("."));
        if line.contains("${") {
            return Ok(Kind::Opaque);
        }
        if let Some((option, value)) = option(line) {
            let include = match option {
                "-r" | "--requirement" => Some(constraint),
                "-c" | "--constraint" => Some(true),
                _ => None,
            };
            return match include {
                Some(_) if value.contains("://") => Ok(Kind::Opaque),
                Some(as_constraint) => {
                    let included = fsio::normalize(folder, Path::new(value));
                    let file = self.add(&included, as_constraint, depth + 1).map_err(|e| match included.is_file() {
                        true => e,
                        false => Error::config(format!("it includes `{value}`, which cannot be read"))
                            .at(path, Some((at + 1, 1))),
                    })?;
                    Ok(Kind::Include(file, as_constraint))
                }
                None if matches!(option, "-e" | "--editable") => Ok(local(value, folder)
                    .map_err(|e| e.at(path, Some((at + 1, 1))))?
                    .map_or(Kind::Opaque, Kind::Local)),
                None => Ok(Kind::Option(option.to_owned(), value.to_owned())),
            };
        }
        let (text, hashes) = without_options(line);
        if let Some(local) = local(text, folder).map_err(|e| e.at(path, Some((at + 1, 1))))? {
            return Ok(Kind::Local(local));
        }
        let is_file = text.split_whitespace().next().is_some_and(|word| {
            word.contains("://") || word.contains('/') || [".whl", ".zip", ".gz"].iter().any(|end| word.ends_with(end))
        });
        if is_file {
            return Ok(Kind::Opaque);
        }
        let requirement = names::requirement(text).map_err(|(why, byte)| {
            let column = text.get(..byte).unwrap_or(text).chars().count() + 1;
            let why = why.lines().next().unwrap_or_default().to_owned();
            Error::config(format!("`{text}` is no requirement: {why}")).at(path, Some((at + 1, column)))
        })?;
        Ok(Kind::Named(Box::new(requirement), hashes))
    }

    /// The project folders on this machine.
    pub(super) fn locals(&self) -> impl Iterator<Item = &Local> {
        self.lines.iter().filter_map(|line| match &line.kind {
            Kind::Local(local) => Some(local),
            _ => None,
        })
    }

    /// Names for which the files forbid wheels; `:all:` stands for all.
    pub(super) fn no_binary(&self) -> BTreeSet<String> {
        let values = self.lines.iter().filter_map(|line| match &line.kind {
            Kind::Option(option, value) if option == "--no-binary" => Some(value),
            _ => None,
        });
        values
            .flat_map(|v| v.split(','))
            .map(|name| if name == ":all:" { name.to_owned() } else { normalize(name) })
            .collect()
    }

    /// Options that say where packages are, as arguments for a tool. Paths are made absolute.
    pub(super) fn index_options(&self) -> Vec<String> {
        const OPTIONS: &[&str] =
            &["-i", "--index-url", "--extra-index-url", "--no-index", "-f", "--find-links", "--trusted-host", "--pre"];
        let mut out = Vec::new();
        for line in &self.lines {
            if let Kind::Option(option, value) = &line.kind
                && OPTIONS.contains(&option.as_str())
            {
                out.push(option.clone());
                out.extend((!value.is_empty()).then(|| self.absolute(line.file, option, value)));
            }
        }
        out
    }

    fn absolute(&self, file: usize, option: &str, value: &str) -> String {
        let folder = self.files[file].0.parent().unwrap_or(Path::new("."));
        let path = folder.join(value);
        let is_path = matches!(option, "-f" | "--find-links") && path.exists();
        if is_path { path.display().to_string() } else { value.to_owned() }
    }

    /// What keeps the files from being a lock, if something does: `--locked` wants exact versions of everything.
    pub(super) fn unpinned(&self) -> Option<String> {
        self.lines.iter().filter(|line| !line.constraint).find_map(|line| match &line.kind {
            Kind::Named(requirement, _) if !is_exact(requirement) => Some(requirement.to_string()),
            _ => None,
        })
    }

    /// Whether a line names a URL: what that gives may change, be it a branch or a file that is replaced.
    pub(super) fn names_urls(&self) -> bool {
        self.lines.iter().any(|line| {
            matches!(&line.kind, Kind::Named(requirement, _) if matches!(requirement.version_or_url, Some(VersionOrUrl::Url(_))))
        })
    }

    /// Normalised names that stand in the files with an exact version or URL.
    pub(super) fn pinned_names(&self) -> BTreeSet<String> {
        let named = self.lines.iter().filter_map(|line| match &line.kind {
            Kind::Named(requirement, _) if is_exact(requirement) => Some(normalize(requirement.name.as_ref())),
            _ => None,
        });
        named.collect()
    }

    /// The digests that `--hash` allows, by normalised name. When a line has some, both tools want some for every package.
    pub(super) fn hashes(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut out: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for line in &self.lines {
            if let Kind::Named(requirement, hashes) = &line.kind
                && !hashes.is_empty()
            {
                out.entry(normalize(requirement.name.as_ref())).or_default().extend(hashes.iter().cloned());
            }
        }
        out
    }

    /// Writes the files anew into `folder` with `replacement` in the place of every local project (its lines are left
    /// empty when there is none), and returns the outermost. Lines keep their numbers, so that what a tool says of them
    /// stays right.
    pub(super) fn stage(&self, folder: &Path, replacement: impl Fn(&Local) -> Option<String>) -> Result<PathBuf> {
        let staged = |file: usize| folder.join(format!("{file}-requirements.txt"));
        let mut texts: Vec<Vec<String>> =
            self.files.iter().map(|(_, text)| text.lines().map(str::to_owned).collect()).collect();
        for line in &self.lines {
            let new = match &line.kind {
                Kind::Include(file, true) => format!("-c {}", staged(*file).display()),
                Kind::Include(file, false) => format!("-r {}", staged(*file).display()),
                Kind::Local(local) => replacement(local).unwrap_or_default(),
                Kind::Option(option, value) if matches!(option.as_str(), "-f" | "--find-links") => {
                    format!("{option} {}", self.absolute(line.file, option, value))
                }
                Kind::Named(..) | Kind::Option(..) | Kind::Opaque => continue,
            };
            let (first, last) = line.span;
            texts[line.file][first] = new;
            texts[line.file][first + 1..=last].fill(String::new());
        }
        for (file, lines) in texts.iter().enumerate() {
            fsio::write_atomic(&staged(file), (lines.join("\n") + "\n").as_bytes())?;
        }
        Ok(staged(0))
    }

    /// What a tool said of staged files, told of the files that a person knows.
    pub(super) fn unstage(&self, folder: &Path, said: &str) -> String {
        let mut said = said.to_owned();
        for (file, (path, _)) in self.files.iter().enumerate() {
            let name = folder.join(format!("{file}-requirements.txt")).display().to_string();
            said = said.replace(&name, &path.display().to_string());
        }
        said
    }
}

fn is_exact(requirement: &Requirement) -> bool {
    match &requirement.version_or_url {
        Some(VersionOrUrl::Url(_)) => true,
        Some(VersionOrUrl::VersionSpecifier(specifiers)) => specifiers.iter().any(|one| {
            let text = one.to_string();
            text.starts_with("==") && !text.ends_with(".*")
        }),
        None => false,
    }
}

/// Lines joined at backslashes, without comments, each with its first and last line number from 0.
fn logical_lines(text: &str) -> Vec<((usize, usize), String)> {
    let mut out = Vec::new();
    let mut open: Option<(usize, String)> = None;
    let count = text.lines().count();
    for (number, line) in text.lines().enumerate() {
        let (first, mut joined) = open.take().unwrap_or((number, String::new()));
        let comment = line.trim_start().starts_with('#');
        match line.strip_suffix('\\') {
            Some(part) if !comment && number + 1 < count => {
                joined.push_str(part);
                open = Some((first, joined));
                continue;
            }
            _ => joined.push_str(line),
        }
        let bare = without_comment(&joined).trim();
        if !bare.is_empty() {
            out.push(((first, number), bare.to_owned()));
        }
    }
    out
}

fn without_comment(line: &str) -> &str {
    let at = line.char_indices().find(|(i, c)| *c == '#' && (*i == 0 || line[..*i].ends_with(char::is_whitespace)));
    at.map_or(line, |(i, _)| &line[..i])
}

/// Takes `-r file`, `-rfile`, `--requirement=file` and the like apart.
fn option(line: &str) -> Option<(&str, &str)> {
    if line.starts_with("--") {
        let end = line.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(line.len());
        return Some((&line[..end], line[end..].trim_start_matches('=').trim()));
    }
    let letter = line.strip_prefix('-')?.chars().next().unwrap_or('\0');
    // Of one ASCII letter; anything else is no option of pip's, and is told as the requirement that it is not.
    let end = if letter.is_ascii() { line.len().min(2) } else { return None };
    Some((&line[..end], line[end..].trim_start_matches('=').trim()))
}

/// A requirement without the options behind it, and the values of `--hash` among them.
fn without_options(line: &str) -> (&str, Vec<String>) {
    let at = line.find(" --").or_else(|| line.find("\t--")).unwrap_or(line.len());
    let words = line[at..].split(|c: char| c.is_whitespace() || c == '=').skip_while(|word| *word != "--hash");
    let hashes = words.filter(|word| word.contains(':')).map(str::to_lowercase).collect();
    (line[..at].trim_end(), hashes)
}

/// A project folder on this machine, if the text names one: a path, `file:` URL, or `name @` one of them.
fn local(text: &str, folder: &Path) -> Result<Option<Local>> {
    let (rest, marker) = match text.split_once(';') {
        Some((rest, marker)) => (rest.trim(), marker.trim()),
        None => (text.trim(), ""),
    };
    let (head, place) = rest.split_once('@').map_or(("", rest), |(name, place)| (name.trim(), place.trim()));
    let head_is_name = names::is_name(head.split('[').next().unwrap_or(head).trim());
    let (head, place) = if head_is_name { (head, place) } else { ("", rest) };
    let place = place.split('#').next().unwrap_or(place);
    let has_scheme = place.contains("://") || place.starts_with("git+");
    let path = place.strip_prefix("file://").or_else(|| place.strip_prefix("file:"));
    let looks_like_path = place.starts_with('.') || place.contains('/') || place.contains('\\');
    let Some(path) = path.or_else(|| (!has_scheme && looks_like_path).then_some(place)) else { return Ok(None) };
    let (path, extras) = match path.strip_suffix(']').and_then(|p| p.rsplit_once('[')) {
        Some((path, extras)) => (path, format!("[{extras}]")),
        None => (path, head.find('[').map_or(String::new(), |at| head[at..].to_owned())),
    };
    let found = fsio::normalize(folder, Path::new(path));
    if found.is_file() {
        return Ok(None);
    }
    if !found.is_dir() {
        return Err(
            Error::config(format!("`{path}` is not there")).hint("paths are relative to the file that names them")
        );
    }
    if !found.join("pyproject.toml").is_file() && !found.join("setup.py").is_file() {
        return Err(Error::config(format!(
            "`{path}` is no Python project: it has neither pyproject.toml nor setup.py"
        )));
    }
    Ok(Some(Local { folder: found, extras, marker: marker.to_owned() }))
}

#[cfg(test)]
mod tests;
