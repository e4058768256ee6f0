//! From a folder on disk to a tree: which paths are packed, and which rule decided.
//!
//! The rules in the order in which they decide: built-in exclusions, `.lambdaignore` files (of the project's root, then of
//! the folder), `exclude` of the config, what the resolver leaves out. `include` brings files in from elsewhere, or back.
//! `.gitignore` never decides, so that a generated file is not lost because it is not in version control.
//!
//! Links are never followed out of the project. A link to something that is packed stays a link; a link to something
//! else within the project becomes what it points to.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::{ArchivePath, Entry, Source, Tree};
use crate::error::{Error, Result};
use crate::finding::{Finding, Rule};
use crate::fsio;

/// Folders of version control and of tools, dropped wherever they are.
const TOOL_FOLDERS: &[&str] = &[
    ".git",
    ".hg",
    ".svn",
    ".bzr",
    ".venv",
    "__pycache__",
    ".aws-sam",
    ".serverless",
    "cdk.out",
    ".terraform",
    ".tox",
    ".nox",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".pdm-build",
    "__pypackages__",
    ".gradle",
    ".idea",
    ".vscode",
];
/// Settings of ours and of package managers (which may hold credentials), and litter, dropped wherever they are.
const SETTINGS_FILES: &[&str] = &[
    "lambda-pack.toml",
    ".lambdaignore",
    ".gitignore",
    ".gitattributes",
    ".npmrc",
    ".npmignore",
    ".yarnrc",
    ".yarnrc.yml",
    ".pypirc",
    ".pdm-python",
    "pdm.toml",
    "poetry.toml",
    ".DS_Store",
    "Thumbs.db",
];
/// The file that marks an output folder of ours: held locked while it is written to.
pub(crate) const OUTPUT_LOCK: &str = ".lambda-pack.lock";
/// Folders nested deeper than this are a loop or an attack.
const MAX_DEPTH: usize = 128;
/// More links than this are not followed, and none once so many paths are packed: folders whose links lead to each other
/// multiply with every round.
const MAX_FOLLOWED: usize = 10_000;
const MAX_PATHS: usize = 500_000;

/// Files to bring in from elsewhere in the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Include {
    /// Absolute path of a file or folder.
    pub from: PathBuf,
    /// Where it goes in the package; empty for the root.
    pub to: String,
}

/// What a resolver keeps of a folder, by archive path: `Some(rule)` names the rule that drops it.
pub type Filter<'a> = dyn Fn(&str) -> Option<&'static str> + Sync + 'a;

/// What to walk and by which rules.
pub struct Options<'a> {
    /// The folder, absolute.
    pub root: &'a Path,
    /// The project's root, absolute: nothing from outside it is packed.
    pub project_root: &'a Path,
    /// Folders that are never walked, such as the output folder.
    pub skip: &'a [PathBuf],
    /// Patterns of `exclude`, in gitignore syntax.
    pub exclude: &'a [String],
    /// What to bring in.
    pub include: &'a [Include],
    /// Names of folders that the resolver replaces, such as `node_modules`.
    pub replaced: &'a [&'a str],
    /// What the resolver leaves out.
    pub filter: Option<&'a Filter<'a>>,
    /// Nothing of the folder itself, only what is included.
    pub only_include: bool,
    /// Whether each file is opened, to find those that cannot be read.
    pub probe: bool,
}

/// What was decided about a path.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Decision {
    /// The path, relative to the folder; a dropped folder stands for all below it.
    pub path: String,
    /// Whether it is packed.
    pub kept: bool,
    /// The rule that decided.
    pub rule: String,
}

/// A walked folder.
#[derive(Debug, Default)]
pub struct Walked {
    /// What is packed.
    pub tree: Tree,
    /// What was decided, in the order of paths.
    pub decisions: Vec<Decision>,
    /// What cannot be packed.
    pub findings: Vec<Finding>,
}

/// Walks a folder.
///
/// # Errors
/// When the folder itself cannot be read, or a pattern is not in gitignore syntax. What is wrong with single paths is in
/// [`Walked::findings`].
pub fn walk(options: &Options<'_>) -> Result<Walked> {
    fs::read_dir(options.root).map_err(|e| Error::io("read the folder", options.root, &e))?;
    let mut walker = Walker::new(options)?;
    if !options.only_include {
        walker.folder(options.root, "", 0);
    }
    for include in options.include {
        walker.include(include)?;
    }
    walker.resolve_links();
    let mut walked = walker.out;
    walked.decisions.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(walked)
}

struct Walker<'a> {
    options: &'a Options<'a>,
    real_project_root: PathBuf,
    ignores: Vec<(Gitignore, &'static str)>,
    links: BTreeMap<ArchivePath, (PathBuf, PathBuf)>,
    included: bool,
    followed: usize,
    /// `skip` of the options without links in it: the folder may have been reached by another name.
    real_skip: Vec<PathBuf>,
    out: Walked,
}

impl<'a> Walker<'a> {
    fn new(options: &'a Options<'a>) -> Result<Self> {
        let mut ignores = Vec::new();
        let mut roots = vec![options.project_root];
        if options.root != options.project_root {
            roots.push(options.root);
        }
        for root in roots {
            let file = root.join(".lambdaignore");
            if file.is_file() {
                let mut builder = GitignoreBuilder::new(root);
                if let Some(error) = builder.add(&file) {
                    return Err(Error::config("bad pattern in `.lambdaignore`").at(file, None).because(error));
                }
                ignores.push((build(builder)?, ".lambdaignore"));
            }
        }
        if !options.exclude.is_empty() {
            let mut builder = GitignoreBuilder::new(options.root);
            for pattern in options.exclude {
                builder
                    .add_line(None, pattern)
                    .map_err(|e| Error::config(format!("bad pattern `{pattern}` in `exclude`")).because(e))?;
            }
            ignores.push((build(builder)?, "exclude"));
        }
        let real_project_root =
            fs::canonicalize(options.project_root).map_err(|e| Error::io("read", options.project_root, &e))?;
        Ok(Self {
            options,
            real_project_root,
            ignores,
            links: BTreeMap::new(),
            included: false,
            followed: 0,
            real_skip: options.skip.iter().filter_map(|skip| fs::canonicalize(skip).ok()).collect(),
            out: Walked::default(),
        })
    }

    fn decide(&mut self, path: &str, kept: bool, rule: impl Into<String>) {
        self.out.decisions.push(Decision { path: path.to_owned(), kept, rule: rule.into() });
    }

    fn report(&mut self, finding: Finding) {
        self.out.findings.push(finding);
    }

    /// Walks one folder; `prefix` is its path in the package. Returns whether anything below it is packed.
    fn folder(&mut self, dir: &Path, prefix: &str, depth: usize) -> bool {
        if depth > MAX_DEPTH {
            self.report(unreadable(dir, &format!("folders are nested deeper than {MAX_DEPTH}")));
            return false;
        }
        let mut entries = match fs::read_dir(dir).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
            Ok(entries) => entries,
            Err(error) => {
                self.report(unreadable(dir, &error.to_string()));
                return false;
            }
        };
        entries.sort_by_key(fs::DirEntry::file_name);
        let mut kept = false;
        for entry in entries {
            kept |= self.entry(&entry.path(), prefix, depth);
        }
        kept
    }

    fn entry(&mut self, disk: &Path, prefix: &str, depth: usize) -> bool {
        let name = disk.file_name().unwrap_or_default();
        let path = match ArchivePath::from_disk(Path::new(name)) {
            Ok(path) => path.below(prefix),
            Err(problem) => {
                let shown = disk.to_string_lossy().into_owned();
                self.report(
                    Finding::new(
                        Rule::PathNotUtf8,
                        format!("the name of `{shown}` {problem} and cannot stand in a zip"),
                        "rename the file, or leave it out with a pattern in `.lambdaignore`",
                    )
                    .path(shown),
                );
                return false;
            }
        };
        let metadata = match fs::symlink_metadata(disk) {
            Ok(metadata) => metadata,
            Err(error) => {
                self.report(unreadable(disk, &error.to_string()));
                return false;
            }
        };
        if let Some(rule) = self.dropped(disk, &path, metadata.is_dir()) {
            self.decide(path.as_str(), false, rule);
            return false;
        }
        if metadata.is_dir() {
            let before = self.out.findings.len();
            let kept = self.folder(disk, path.as_str(), depth + 1);
            if !kept && self.out.findings.len() == before && self.is_really_empty(disk) {
                self.decide(path.as_str(), true, "empty folder");
                self.out.tree.insert(path, Entry::Directory);
                return true;
            }
            kept
        } else if metadata.is_symlink() {
            self.link(disk, path);
            true
        } else if metadata.is_file() {
            self.file(disk, path, &metadata)
        } else {
            self.decide(path.as_str(), false, "not a file, folder or link");
            false
        }
    }

    fn is_skipped(&self, dir: &Path) -> bool {
        self.options.skip.iter().any(|skip| skip == dir)
            || self.real_skip.iter().any(|skip| {
                skip.file_name() == dir.file_name() && fs::canonicalize(dir).is_ok_and(|real| real == *skip)
            })
    }

    fn is_really_empty(&self, dir: &Path) -> bool {
        fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none())
    }

    fn file(&mut self, disk: &Path, path: ArchivePath, metadata: &fs::Metadata) -> bool {
        // Opening a named pipe waits for whoever writes to it.
        if !metadata.is_file() {
            self.decide(path.as_str(), false, "not a file, folder or link");
            return false;
        }
        if self.options.probe
            && let Err(error) = fs::File::open(disk)
        {
            self.report(unreadable(disk, &error.to_string()));
            return false;
        }
        let rule = if self.included { "include" } else { "in the function's folder" };
        self.decide(path.as_str(), true, rule);
        let source = Source::Disk(disk.to_owned());
        self.out
            .tree
            .insert(path, Entry::File { executable: is_executable(disk, metadata), size: metadata.len(), source });
        true
    }

    /// The rule that drops a path, if one does.
    fn dropped(&self, disk: &Path, path: &ArchivePath, is_dir: bool) -> Option<String> {
        let name = path.file_name();
        if is_dir && self.is_skipped(disk) {
            return Some("output folder".to_owned());
        }
        // Another output folder of ours, of another `--out-dir`: packed zips would be packed again and again.
        if is_dir && disk.join(OUTPUT_LOCK).is_file() {
            return Some("output folder".to_owned());
        }
        if is_dir {
            if TOOL_FOLDERS.contains(&name) || disk.join("pyvenv.cfg").is_file() {
                return Some("tool folder".to_owned());
            }
            // A build's output, not a folder of sources that happens to be called so.
            if name == "target" && (path.as_str() == "target" || disk.join("CACHEDIR.TAG").is_file()) {
                return Some("build output".to_owned());
            }
            if self.options.replaced.contains(&name) {
                return Some("replaced by resolved packages".to_owned());
            }
        } else if SETTINGS_FILES.contains(&name) {
            return Some("settings".to_owned());
        }
        if self.included {
            return None;
        }
        let mut verdict = None;
        for (ignore, rule) in &self.ignores {
            if !disk.starts_with(ignore.path()) {
                continue;
            }
            let matched = ignore.matched(disk, is_dir);
            if matched.is_ignore() {
                let pattern = matched.inner().map_or("", |glob| glob.original());
                verdict = Some(format!("{rule}: {pattern}"));
            } else if matched.is_whitelist() {
                verdict = None;
            }
        }
        if verdict.is_none()
            && !is_dir
            && let Some(filter) = self.options.filter
        {
            verdict = filter(path.as_str()).map(str::to_owned);
        }
        verdict
    }

    fn include(&mut self, include: &Include) -> Result<()> {
        let shown = include.from.display();
        let real = fs::canonicalize(&include.from).map_err(|e| {
            Error::config(format!("`include` names `{shown}`, which cannot be read"))
                .because(e)
                .hint("paths are relative to the file that holds them")
        })?;
        if !real.starts_with(&self.real_project_root) {
            return Err(Error::config(format!(
                "`include` names `{shown}`, which is outside the project `{}`",
                self.options.project_root.display()
            ))
            .hint("copy it into the project, or move `lambda-pack.toml` up to a folder that holds both"));
        }
        self.included = true;
        if real.is_dir() {
            let to = match include.to.trim_matches('/') {
                "" | "." => String::new(),
                to => ArchivePath::new(to).map_err(|problem| bad_to(to, problem))?.as_str().to_owned(),
            };
            self.folder(&include.from, &to, 0);
        } else {
            let name = include.from.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            let to = match include.to.as_str() {
                "" | "." => name.to_owned(),
                to if to.ends_with('/') => format!("{to}{name}"),
                to => to.to_owned(),
            };
            let path = ArchivePath::new(&to).map_err(|problem| bad_to(&to, problem))?;
            let metadata = fs::metadata(&real).map_err(|e| Error::io("read", &real, &e))?;
            self.file(&real, path, &metadata);
        }
        self.included = false;
        Ok(())
    }

    /// Remembers a link until it is known what is packed.
    fn link(&mut self, disk: &Path, path: ArchivePath) {
        match fs::read_link(disk) {
            Ok(target) => {
                self.links.insert(path, (disk.to_owned(), target));
            }
            Err(error) => self.report(unreadable(disk, &error.to_string())),
        }
    }

    fn resolve_links(&mut self) {
        // What a link points to may bring more links; each is looked at once.
        let mut rounds = 0;
        while !self.links.is_empty() {
            rounds += 1;
            let links = std::mem::take(&mut self.links);
            let paths: Vec<String> = links.keys().map(|p| p.as_str().to_owned()).collect();
            for (path, (disk, target)) in links {
                if rounds > 16 {
                    self.report(unreadable(&disk, "links lead to links without end"));
                } else {
                    self.resolve_link(path, &disk, &target, &paths);
                }
            }
        }
    }

    fn resolve_link(&mut self, path: ArchivePath, disk: &Path, target: &Path, links: &[String]) {
        let Some(text) = target.to_str() else {
            self.report(
                Finding::new(Rule::PathNotUtf8, "the target of the link is not UTF-8", "rename the target")
                    .path(path.as_str()),
            );
            return;
        };
        let parent = disk.parent().unwrap_or(disk);
        // Where it leads by name, below the walked folder: then the link can stay, if what it names is packed.
        let named = fsio::normalize(parent, target);
        let inside = named.strip_prefix(self.options.root).ok().and_then(|p| ArchivePath::from_disk(p).ok());
        let at_home = disk.strip_prefix(self.options.root).is_ok_and(|p| p.to_str() == Some(path.as_str()));
        if let Some(inside) = inside.as_ref().filter(|_| at_home) {
            let through_link =
                links.iter().any(|l| inside.as_str() == l || inside.as_str().starts_with(&format!("{l}/")));
            if through_link || self.out.tree.contains(inside.as_str()) || self.out.tree.contains_folder(inside.as_str())
            {
                let target = if target.is_absolute() { relative_link(&path, inside) } else { text.to_owned() };
                self.decide(path.as_str(), true, "link within the package");
                self.out.tree.insert(path, Entry::Symlink { target });
                return;
            }
        }
        self.followed += 1;
        if self.followed > MAX_FOLLOWED || self.out.tree.len() > MAX_PATHS {
            if self.followed <= MAX_FOLLOWED + 1 {
                self.followed = MAX_FOLLOWED + 1;
                self.report(unreadable(disk, "the folder has more links to other folders than are followed"));
            }
            return;
        }
        match fs::canonicalize(disk) {
            Ok(real) if real.is_dir() && self.is_skipped(&real) => self.decide(path.as_str(), false, "output folder"),
            Ok(real) if real.starts_with(&self.real_project_root) => {
                if real.is_dir() {
                    if disk.starts_with(&real) || parent.canonicalize().is_ok_and(|p| p.starts_with(&real)) {
                        self.report(unreadable(disk, "the link leads to a folder that holds it"));
                    } else {
                        self.folder(&real, path.as_str(), 1);
                    }
                } else if let Ok(metadata) = fs::metadata(&real) {
                    self.file(&real, path, &metadata);
                }
            }
            _ if text.starts_with("/opt/") || text.starts_with("/var/") || text == "/opt" || text == "/var" => {
                self.decide(path.as_str(), true, "link into Lambda's file system");
                self.out.tree.insert(path, Entry::Symlink { target: text.to_owned() });
            }
            Ok(_) => self.report(
                Finding::new(
                    Rule::SymlinkEscapes,
                    format!("the link leads to `{text}`, outside the project; on Lambda it would lead to nothing"),
                    "copy the file into the project, or leave the link out with a pattern in `.lambdaignore`",
                )
                .path(path.as_str()),
            ),
            Err(_) if inside.is_some() && !target.is_absolute() => {
                self.report(
                    Finding::new(Rule::SymlinkDangling, format!("the link leads to `{text}`, which does not exist"), "remove the link, or create its target")
                        .path(path.as_str()),
                );
                self.decide(path.as_str(), true, "link to nothing");
                self.out.tree.insert(path, Entry::Symlink { target: text.to_owned() });
            }
            Err(_) => self.report(
                Finding::new(
                    Rule::SymlinkEscapes,
                    format!("the link leads to `{text}`, outside the project"),
                    "remove the link, or leave it out with a pattern in `.lambdaignore`; links into /opt and /var are kept",
                )
                .path(path.as_str()),
            ),
        }
    }
}

fn build(builder: GitignoreBuilder) -> Result<Gitignore> {
    builder.build().map_err(|e| Error::config("bad ignore patterns").because(e))
}

fn bad_to(to: &str, problem: super::PathProblem) -> Error {
    Error::config(format!("`to = \"{to}\"` of an `include` {problem}"))
        .hint("`to` is a path below the package's root, such as `schemas`")
}

fn unreadable(disk: &Path, why: &str) -> Finding {
    Finding::new(
        Rule::PathUnreadable,
        format!("cannot be read: {why}"),
        "make it readable, or leave it out with a pattern in `.lambdaignore`",
    )
    .path(disk.to_string_lossy())
}

/// The target of a link at `path` that leads to `to`, both in one package.
fn relative_link(path: &ArchivePath, to: &ArchivePath) -> String {
    let parent = Path::new(path.as_str()).parent().unwrap_or(Path::new(""));
    let relative = fsio::relative_to(&Path::new("/").join(to.as_str()), &Path::new("/").join(parent));
    relative.to_string_lossy().into_owned()
}

#[cfg(unix)]
pub(crate) fn is_executable(_disk: &Path, metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o100 != 0
}

/// Windows has no such bit: scripts and ELF files are what Linux would execute.
#[cfg(not(unix))]
pub(crate) fn is_executable(disk: &Path, _metadata: &fs::Metadata) -> bool {
    use std::io::Read;
    let mut magic = [0; 4];
    let read = fs::File::open(disk).and_then(|mut f| f.read(&mut magic)).unwrap_or(0);
    magic[..read].starts_with(b"#!") || magic[..read].starts_with(b"\x7fELF")
}

#[cfg(test)]
mod tests;
