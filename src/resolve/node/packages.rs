//! From a layout to packages with their files.
//!
//! Commands (`bin`) become executable, as npm makes them. Links in `node_modules/.bin` are not made: they serve a shell's
//! PATH, which Lambda does not set to it.

use std::collections::BTreeMap;

use super::fetch::{Archives, Fetched};
use super::files::{Files, RULE};
use super::graph::Graph;
use super::layout::Layout;
use super::lock::{Lock, slot_name};
use super::manifest::{Manifest, Published};
use super::prebuilds::{self, LeftOut};
use super::project;
use super::scripts::{Outcome, Scripts, Trees};
use super::source::Source;
use crate::error::{Error, Result};
use crate::finding::{Finding, Rule};
use crate::resolve::{Package, Request};
use crate::tree::{ArchivePath, Entry, Tree, walk};

/// What packages are made from.
pub(super) struct Parts<'a> {
    pub(super) lock: &'a Lock,
    pub(super) graph: &'a Graph,
    pub(super) layout: &'a Layout,
    pub(super) sources: &'a BTreeMap<String, Source>,
    pub(super) archives: &'a Archives,
    pub(super) request: &'a Request<'a>,
    /// Folders of the project with all that is in them, not only what they would publish.
    pub(super) whole: bool,
}

impl Parts<'_> {
    /// The packages in the order of their paths, and what scripts, what is wrong and what a person should know.
    pub(super) fn assemble(&self, scripts: &Scripts<'_>) -> Result<(Vec<Package>, Outcome)> {
        let mut findings = Vec::new();
        let mut trees = Trees::new();
        for (path, location) in self.layout {
            trees.insert(path.clone(), self.tree(path, location, &mut findings)?);
        }
        let mut outcome = scripts.run(&mut trees)?;
        let mut packages = Vec::new();
        let mut left_out = LeftOut::default();
        let mut said: Vec<&str> = Vec::new();
        for (path, location) in self.layout {
            let (tree, out) = prebuilds::leave_out(trees.remove(path).unwrap_or_default(), self.request.architecture);
            left_out.add(out);
            let has_script = self.lock.get(location).is_some_and(|e| e.install_script);
            if has_script && !outcome.ran.contains(location) && !said.contains(&location.as_str()) {
                findings.push(self.not_run(path, location, &tree)?);
                said.push(location);
            }
            let version = self.lock.get(location).and_then(|entry| entry.version.clone());
            packages.push(Package {
                name: self.package_name(location),
                version: version.unwrap_or_else(|| "0.0.0".to_owned()),
                tree,
            });
        }
        outcome.findings.append(&mut findings);
        outcome.notes.extend(left_out.note(self.request.architecture));
        Ok((packages, outcome))
    }

    /// The files of the package at a path as they were published.
    fn tree(&self, path: &str, location: &str, findings: &mut Vec<Finding>) -> Result<Tree> {
        match self.source(location)? {
            Source::Archive(digest) => self.member_tree(path, location, self.archives.get(digest)?, ""),
            Source::Bundled { owner, folder } => match self.source(owner)? {
                Source::Archive(digest) => self.member_tree(path, location, self.archives.get(digest)?, folder),
                _ => Err(Error::failed(format!("`{owner}` bundles `{location}`, but has no archive"))),
            },
            Source::Folder(folder) => self.folder_tree(path, location, folder, findings),
            Source::Unlisted(_) => Err(Error::failed(format!("`{location}` was not fetched"))),
        }
    }

    fn source(&self, location: &str) -> Result<&Source> {
        let lost = || Error::failed(format!("`{location}` was not resolved"));
        self.sources.get(location).ok_or_else(lost)
    }

    fn package_name(&self, location: &str) -> String {
        let own = self.lock.get(location).and_then(|entry| entry.name.as_deref());
        let name = own.or_else(|| slot_name(location)).or_else(|| self.graph.slot_of(location));
        name.map_or_else(|| self.lock.name(location), str::to_owned)
    }

    /// The files of a package in an archive, below `folder` in it, without those of packages that lie in it.
    fn member_tree(&self, path: &str, location: &str, fetched: &Fetched, folder: &str) -> Result<Tree> {
        let own;
        let published = if folder.is_empty() {
            &fetched.published
        } else {
            own = fetched.archive.read_text(&format!("{folder}/package.json")).unwrap_or_default();
            &Published::parse(&own)
        };
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let mut tree = Tree::new();
        for (index, member) in fetched.archive.members().iter().enumerate() {
            let Some(below) = member.path.as_str().strip_prefix(&prefix) else { continue };
            if self.is_of_another(path, location, below) {
                continue;
            }
            let Some(name) = installed_name(below) else { continue };
            let at = ArchivePath::new(&format!("{path}/{name}"))
                .map_err(|problem| Error::failed(format!("`{path}/{name}` {problem}")))?;
            let mut entry = Entry::member(&fetched.archive, index);
            if let Entry::File { executable, .. } = &mut entry {
                *executable |= published.is_command(below);
            }
            // A `.gitignore` under its new name gives way to a `.npmignore` of the package.
            if name == below || !tree.contains(at.as_str()) {
                tree.insert(at, entry);
            }
        }
        Ok(tree)
    }

    /// Whether a file in a package's archive belongs to a package that lies in it, or to one in its archive that the lock
    /// has and the function does not need.
    fn is_of_another(&self, path: &str, location: &str, below: &str) -> bool {
        let mut end = 0;
        while let Some(at) = below[end..].find("node_modules/") {
            let start = end + at + "node_modules/".len();
            let named = |name: &str| start + name.len();
            let mut parts = below[start..].splitn(3, '/');
            let Some(first) = parts.next() else { return false };
            end = match parts.next() {
                Some(second) if first.starts_with('@') => named(first) + 1 + second.len(),
                _ => named(first),
            };
            let folder = &below[..end];
            let locked = format!("{location}/{folder}");
            if self.layout.contains_key(&format!("{path}/{folder}"))
                || (self.lock.get(&locked).is_some() && !self.graph.slots.contains_key(&locked))
            {
                return true;
            }
        }
        false
    }

    fn folder_tree(
        &self,
        path: &str,
        location: &str,
        folder: &std::path::Path,
        findings: &mut Vec<Finding>,
    ) -> Result<Tree> {
        let manifest_path = folder.join("package.json");
        let manifest = Manifest::read(&manifest_path)?;
        project::agree(self.lock, location, &manifest, &manifest_path)?;
        let files = Files::new(&manifest, folder)?;
        let files = files.filter(|_| !self.whole);
        let filter = |path: &str| files.as_ref().filter(|files| !files.keeps(path)).map(|_| RULE);
        let walked = walk::walk(&walk::Options {
            root: folder,
            project_root: self.request.project_root,
            skip: self.request.skip,
            exclude: &[],
            include: &[],
            replaced: &["node_modules"],
            filter: Some(&filter),
            only_include: false,
            probe: true,
        })?;
        findings.extend(walked.findings.into_iter().map(|mut finding| {
            finding.path = finding.path.map(|below| format!("{path}/{below}"));
            finding.function(&self.request.function.name)
        }));
        let executable = |below: &str| manifest.commands.iter().any(|command| command == below);
        let tree = walked.tree.into_iter().map(|(below, mut entry)| {
            if let Entry::File { executable: bit, .. } = &mut entry {
                *bit |= executable(below.as_str());
            }
            (below.below(path), entry)
        });
        Ok(tree.collect())
    }

    fn not_run(&self, path: &str, location: &str, tree: &Tree) -> Result<Finding> {
        let (label, source) = (self.lock.label(location), self.source(location)?);
        let compiles = matches!(source, Source::Archive(_)) && tree.contains(&format!("{path}/binding.gyp"));
        let (what, hint) = if matches!(source, Source::Folder(_)) {
            (
                "it is a folder of the project, which is packed as it is",
                "run it in your own build, before packing".to_owned(),
            )
        } else if compiles {
            let (what, name) = (has_binary(tree), self.package_name(location));
            (
                if what {
                    "it compiles native code, of which the package brings a prebuilt `.node` file"
                } else {
                    "it compiles native code, and the package itself brings no prebuilt `.node` file"
                },
                format!(
                    "if loading it fails on Lambda, look for a version with prebuilt binaries, have it run with `allow-scripts = [\"{name}\"]`, or build it for Amazon Linux and bring the `.node` file in with `include`"
                ),
            )
        } else {
            (
                "what it would download or generate is not in the package",
                format!(
                    "most such scripts only check, or repair what is missing; if the function misses a file, have it run with `allow-scripts = [\"{}\"]`",
                    self.package_name(location)
                ),
            )
        };
        let finding = Finding::new(
            Rule::InstallScriptNotRun,
            format!("{label} has an install script, which is not run: {what}"),
            hint,
        );
        Ok(finding.path(path).function(&self.request.function.name))
    }
}

fn has_binary(tree: &Tree) -> bool {
    tree.iter().any(|(path, _)| path.as_str().ends_with(".node"))
}

/// The name that npm gives a file of an archive; nothing for what is never packed.
fn installed_name(below: &str) -> Option<String> {
    let (folder, name) = below.rsplit_once('/').map_or(("", below), |(folder, name)| (folder, name));
    match name {
        ".npmrc" | ".package-lock.json" => None,
        ".gitignore" if folder.is_empty() => Some(".npmignore".to_owned()),
        ".gitignore" => Some(format!("{folder}/.npmignore")),
        _ => Some(below.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_get_the_names_that_npm_gives_them() {
        for (below, name) in [
            ("index.js", Some("index.js")),
            (".npmrc", None),
            ("sub/.npmrc", None),
            (".gitignore", Some(".npmignore")),
            ("sub/.gitignore", Some("sub/.npmignore")),
            ("node_modules/.package-lock.json", None),
        ] {
            assert_eq!(installed_name(below).as_deref(), name, "{below}");
        }
    }

    #[test]
    fn what_lies_in_an_archive_belongs_to_the_package_that_it_is_of() {
        let text = r#"{"lockfileVersion": 3, "packages": {"": {"dependencies": {"a": "1"}},
            "node_modules/a": {"dependencies": {"b": "1", "@s/c": "1"}},
            "node_modules/a/node_modules/b": {"inBundle": true},
            "node_modules/a/node_modules/@s/c": {"inBundle": true},
            "node_modules/a/node_modules/mac": {"inBundle": true, "os": ["darwin"]}}}"#;
        let folder = std::path::Path::new("/p");
        let lock = Lock::parse(text, &folder.join("package-lock.json"), folder).unwrap();
        let target = super::super::platform::Target { architecture: crate::lambda::Architecture::Arm64 };
        let graph = super::super::graph::needed(
            &lock,
            "",
            target,
            &std::collections::BTreeSet::new(),
            &super::super::graph::Wanted::default(),
        )
        .unwrap();
        let layout = super::super::layout::lay_out(&graph, "").unwrap();
        let function = crate::project::FunctionSpec::new("f", folder, "nodejs22.x");
        let runtime = crate::lambda::find("nodejs22.x").unwrap();
        let architecture = target.architecture;
        let request = Request { function: &function, runtime, architecture, project_root: folder, skip: &[] };
        let (sources, archives) = (BTreeMap::new(), Archives::default());
        let parts = Parts {
            lock: &lock,
            graph: &graph,
            layout: &layout,
            sources: &sources,
            archives: &archives,
            request: &request,
            whole: false,
        };
        for (below, of_another) in [
            ("index.js", false),
            ("node_modules/b/index.js", true),
            ("node_modules/@s/c/index.js", true),
            ("node_modules/mac/index.js", true),
            ("node_modules/vendored/index.js", false),
            ("my_node_modules/b/index.js", false),
            ("node_modules/", false),
            ("node_modules/@s/", false),
        ] {
            assert_eq!(parts.is_of_another("node_modules/a", "node_modules/a", below), of_another, "{below}");
        }
    }
}
