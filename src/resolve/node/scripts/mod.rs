//! Install scripts of the packages that `allow-scripts` names, run as npm runs them: what they leave in a package's folder
//! is what is packed of it.
//!
//! ```text
//! layout ──► the package and all that it can require ──► key ──► kept today? ──────────────────► archive
//!                                                         └────► scratch folder, `npm rebuild` ──┘
//!                                                                (run)              (collect)
//! ```
//!
//! A package is known by the contents of all that lies in the scratch folder, npm's configuration, the environment, the
//! compilers on PATH, and the target; what its scripts download is taken for the same for as long as an answer is kept.
//! Packages that it can require come first, with what their own scripts have left.
//!
//! Packages with a `binding.gyp` are compiled with zig for the function, when it is here ([`compile`]); other compilers make
//! code for the machine that they run on. Machine code that scripts leave for another one than the function's is a finding,
//! whether it has just been made or was kept ([`machine`]).
//!
//! What it does not solve: files that a script writes into other folders than its package's are not packed; that is told.

mod collect;
mod compile;
mod machine;
mod run;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use super::graph::Graph;
use super::layout::{self, Layout};
use super::lock::{Lock, slot_name};
use super::manifest::Published;
use super::npmrc::{Config, Environment};
use super::platform::Target;
use super::source::Source;
use super::tools::{LocalNode, Tools};
use crate::error::{Error, Result};
use crate::finding::{Finding, Rule};
use crate::fresh::{self, Files, Key};
use crate::lambda::Family;
use crate::resolve::compile::Aim;
use crate::resolve::{Context, Request, environment};
use crate::store::{Archive, Digest, Form};
use crate::tree::{ArchivePath, Entry, Source as Bytes, Tree};
use compile::Compiled;
use run::Job;

/// Files of packages by the paths where these lie.
pub(super) type Trees = BTreeMap<String, Tree>;

/// How the note begins on a name that no package has.
pub(super) const UNUSED: &str = "`allow-scripts` names";

/// So many files that are not packed are named.
const SHOWN: usize = 3;

/// What scripts run for, and with what.
pub(super) struct Scripts<'a> {
    pub(super) lock: &'a Lock,
    pub(super) graph: &'a Graph,
    pub(super) layout: &'a Layout,
    pub(super) sources: &'a BTreeMap<String, Source>,
    pub(super) request: &'a Request<'a>,
    pub(super) context: &'a Context<'a>,
    pub(super) tools: &'a Tools,
    pub(super) target: Target,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Locations of packages whose scripts have run.
    pub(super) ran: BTreeSet<String>,
    /// What is wrong with what they left.
    pub(super) findings: Vec<Finding>,
    /// What a person should know.
    pub(super) notes: Vec<String>,
}

/// What scripts left of one package.
struct Built {
    archive: Arc<Archive>,
    /// Files outside of its folder.
    elsewhere: Vec<String>,
}

impl Scripts<'_> {
    /// Runs the scripts of all packages that are allowed to, and puts what they left in the place of what was published.
    pub(super) fn run(&self, trees: &mut Trees) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let names = &self.request.function.allow_scripts;
        let mut unused: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        // By location, each at the first of its places: the others are copies.
        let mut chosen: BTreeMap<&str, &str> = BTreeMap::new();
        for (path, location) in self.layout {
            let mut wanted = names.iter().filter(|name| self.is_called(location, name)).peekable();
            if wanted.peek().is_some() && self.has_script(path, location, trees) {
                for name in wanted {
                    unused.remove(name.as_str());
                }
                chosen.entry(location).or_insert(path);
            }
        }
        let mut work = Work { scripts: self, chosen, trees, outcome: &mut outcome, begun: BTreeSet::new() };
        for path in work.chosen.values().copied().collect::<Vec<_>>() {
            work.package(path)?;
        }
        outcome.notes.extend(unused.iter().map(|name| {
            format!("{UNUSED} `{name}`, but no package of this name that the function needs has an install script.")
        }));
        Ok(outcome)
    }

    fn is_called(&self, location: &str, name: &str) -> bool {
        self.lock.name(location) == name || slot_name(location) == Some(name)
    }

    /// Whether npm would run something. What is a folder of the project is for the project's own build.
    fn has_script(&self, path: &str, location: &str, trees: &Trees) -> bool {
        let (false, Some(tree)) = (matches!(self.sources.get(location), Some(Source::Folder(_))), trees.get(path))
        else {
            return false;
        };
        let manifest = tree.get(&format!("{path}/package.json")).and_then(|entry| entry.read().ok());
        let published = Published::parse(&String::from_utf8_lossy(&manifest.unwrap_or_default()));
        published.has_install_script(tree.contains(&format!("{path}/binding.gyp")))
    }

    /// The path of a package with those of all that it can require, as they lie below the function's folder.
    fn closure<'p>(&'p self, path: &'p str) -> BTreeSet<&'p str> {
        let mut found = BTreeSet::new();
        let mut queue = VecDeque::from([path]);
        while let Some(at) = queue.pop_front() {
            if !found.insert(at) {
                continue;
            }
            let needs = self.layout.get(at).and_then(|location| self.graph.needs.get(location));
            let names = needs.into_iter().flat_map(BTreeMap::keys);
            queue.extend(names.filter_map(|name| layout::find(self.layout, at, name)));
        }
        found
    }

    /// What the result is known by, beside the files.
    fn facts(&self) -> Result<Vec<String>> {
        let mut facts = self.tools.facts(&self.lock.folder)?;
        facts.extend(environment::facts());
        facts.extend(environment::compilers());
        facts.push(format!("{} {}", self.request.runtime.id, self.target.architecture.node_cpu()));
        Ok(facts)
    }

    /// The Node.js that is here, with the headers that npm is configured to take, if it is.
    fn node(&self) -> Result<LocalNode> {
        let configured = Config::read(&self.lock.folder, &Environment::of_process())?.get("nodedir").map(PathBuf::from);
        let node = self.tools.node()?.clone();
        Ok(LocalNode { headers: configured.or(node.headers), ..node })
    }

    fn aim(&self) -> Aim {
        Aim { architecture: self.target.architecture, os: self.request.runtime.os }
    }

    fn major(&self) -> u8 {
        match self.request.runtime.family {
            Family::Node { major } => major,
            _ => 0,
        }
    }
}

struct Work<'s, 't> {
    scripts: &'s Scripts<'s>,
    chosen: BTreeMap<&'s str, &'s str>,
    trees: &'t mut Trees,
    outcome: &'t mut Outcome,
    begun: BTreeSet<&'s str>,
}

impl<'s> Work<'s, '_> {
    /// Runs the scripts of the package at a path, after those of what it can require. Of packages that require each other,
    /// one has to be first.
    fn package(&mut self, path: &'s str) -> Result<()> {
        if !self.begun.insert(path) {
            return Ok(());
        }
        let scripts = self.scripts;
        let closure = scripts.closure(path);
        for below in &closure {
            let first = scripts.layout.get(*below).and_then(|location| self.chosen.get(location.as_str()));
            if let Some(first) = first.copied() {
                self.package(first)?;
            }
        }
        let location = &scripts.layout[path];
        let published = self.trees.get(path).cloned().unwrap_or_default();
        let compiled = Compiled::of(&published, path, scripts.aim());
        let built = self.built(path, &closure, compiled.as_ref())?;
        let tree = tree_of(&built.archive, path)?;
        self.outcome.findings.extend(self.foreign(path, &published, &tree, compiled.as_ref())?);
        self.outcome.notes.extend(self.note(location, &built.elsewhere));
        if let Some(compiled) = compiled.filter(|_| changed(&published, &tree).iter().any(|at| at.ends_with(".node"))) {
            self.outcome.notes.push(compiled.note(&scripts.lock.label(location), &scripts.node()?));
        }
        for (copy, _) in scripts.layout.iter().filter(|(_, at)| *at == location) {
            self.trees.insert(copy.clone(), tree_of(&built.archive, copy)?);
        }
        self.outcome.ran.insert(location.clone());
        Ok(())
    }

    /// What scripts have left today of the same package, else what they leave now.
    fn built(&self, path: &str, closure: &BTreeSet<&str>, compiled: Option<&Compiled>) -> Result<Built> {
        let scripts = self.scripts;
        let store = scripts.context.store;
        let parts: Vec<(&str, &Tree)> =
            closure.iter().filter_map(|path| Some((*path, self.trees.get(*path)?))).collect();
        let mut key = Key::new();
        key.add("install scripts").add(path);
        for fact in scripts.facts()?.into_iter().chain(compiled.into_iter().flat_map(Compiled::facts)) {
            key.add(fact);
        }
        for (path, tree) in &parts {
            let digest = fresh::of_tree(tree, &Files::default());
            key.add(path).add(digest.ok_or_else(|| Error::failed(format!("the files of `{path}` cannot be read")))?);
        }
        let key = key.finish();
        let kept = store.answer(&key).and_then(|answer| {
            let mut lines = answer.lines();
            let (algorithm, hex) = lines.next()?.split_once(':')?;
            let archive = store.archive(Form::Built, &Digest::from_hex(algorithm, hex)?).ok()??;
            Some(Built { archive, elsewhere: lines.map(str::to_owned).collect() })
        });
        if let Some(built) = kept {
            return Ok(built);
        }
        let (built, digest) = self.build(path, &parts, compiled)?;
        let lines = [&[digest.to_string()], built.elsewhere.as_slice()].concat().join("\n");
        // What cannot be kept is built again.
        let _ = store.keep_answer(&key, &lines);
        Ok(built)
    }

    fn build(&self, path: &str, parts: &[(&str, &Tree)], compiled: Option<&Compiled>) -> Result<(Built, Digest)> {
        let scripts = self.scripts;
        let label = scripts.lock.label(&scripts.layout[path]);
        if scripts.context.offline {
            return Err(Error::failed(format!("the install scripts of {label} may fetch, and `--offline` forbids it"))
                .hint("run the same command once without `--offline`; what they leave is kept for some hours"));
        }
        let npmrc = Some(scripts.lock.folder.join(".npmrc")).filter(|npmrc| npmrc.is_file());
        let node = scripts.node()?;
        let job = Job {
            label: &label,
            path,
            parts,
            target: scripts.target,
            major: scripts.major(),
            node: &node,
            npmrc: npmrc.as_deref(),
            compiled,
        };
        let done = run::run(&job, scripts.context)?;
        let (archive, digest) = scripts.context.store.adopt_made(&done.zip, &label)?;
        let tree = tree_of(&archive, path)?;
        let published = self.trees.get(path).cloned().unwrap_or_default();
        run::check_modules(&job, &tree, &changed(&published, &tree))?;
        let elsewhere = done.elsewhere.clone();
        Ok((Built { archive, elsewhere }, digest))
    }

    /// Machine code of another machine than the function's, and what was compiled here and needs a newer system.
    fn foreign(&self, path: &str, published: &Tree, tree: &Tree, compiled: Option<&Compiled>) -> Result<Vec<Finding>> {
        let architecture = self.scripts.target.architecture;
        let label = self.scripts.lock.label(&self.scripts.layout[path]);
        let mut findings = Vec::new();
        for at in changed(published, tree) {
            let Some(entry) = tree.get(at) else { continue };
            let bytes = entry.read()?;
            let Some((rule, message)) = machine::foreign(&bytes, at.ends_with(".node"), architecture)
                .map(|found| {
                    let message = format!(
                        "the install scripts of {label} left a file for {found}, but the function runs on {architecture}"
                    );
                    (Rule::WrongArchitecture, message)
                })
                .or_else(|| compiled.and_then(|compiled| compiled.misfit(&label, &bytes)))
            else {
                continue;
            };
            let hint = || {
                "pack on a machine of that architecture, or choose a version of the package that brings prebuilt files for it".to_owned()
            };
            let finding = Finding::new(rule, message, compiled.map_or_else(hint, Compiled::hint));
            findings.push(finding.path(at).function(&self.scripts.request.function.name));
        }
        Ok(findings)
    }

    fn note(&self, location: &str, elsewhere: &[String]) -> Option<String> {
        let more = elsewhere.len().saturating_sub(SHOWN);
        let shown: Vec<String> = elsewhere.iter().take(SHOWN).map(|path| format!("`{path}`")).collect();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        (!shown.is_empty()).then(|| {
            let label = self.scripts.lock.label(location);
            format!(
                "Install scripts of {label} also wrote {}{more} outside of its own folder, which is not packed.",
                shown.join(", ")
            )
        })
    }
}

/// The files of an archive as a package at `path`.
fn tree_of(archive: &Arc<Archive>, path: &str) -> Result<Tree> {
    let members = archive.members().iter().enumerate();
    members
        .map(|(index, member)| {
            let at = ArchivePath::new(&format!("{path}/{}", member.path))
                .map_err(|problem| Error::failed(format!("`{path}/{}` {problem}", member.path)))?;
            Ok((at, Entry::member(archive, index)))
        })
        .collect()
}

/// Files that were not published so.
fn changed<'t>(published: &Tree, tree: &'t Tree) -> Vec<&'t str> {
    let contents = |entry: &Entry| match entry {
        Entry::File { size, source: Bytes::Member(archive, index), .. } => {
            Some((*size, archive.members()[*index].crc32))
        }
        _ => None,
    };
    let is_changed = |path: &str, entry: &Entry| {
        let now = contents(entry);
        now.is_none() || published.get(path).and_then(contents) != now
    };
    tree.iter().filter(|(path, entry)| is_changed(path.as_str(), entry)).map(|(path, _)| path.as_str()).collect()
}
