//! From a function's folder to the lock that decides for it, and whether the two agree.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fresh_lock;
use super::lock::Lock;
use super::managers::{self, Chosen};
use super::manifest::Manifest;
use super::tools::Tools;
use crate::error::{Error, Result};
use crate::resolve::Context;

/// The lock that decides for a function.
pub(super) struct Decided {
    /// The lock.
    pub(super) lock: Arc<Lock>,
    /// The function's location in it.
    pub(super) importer: String,
    /// The file and the tool, for the summary.
    pub(super) by: String,
    /// What a person should know.
    pub(super) notes: Vec<String>,
    /// npm has written the lock today.
    pub(super) is_fresh: bool,
}

/// Lock files that were read already; each is read once.
#[derive(Default)]
pub(super) struct Locks {
    read: BTreeMap<PathBuf, Arc<Lock>>,
    fresh: BTreeMap<PathBuf, Arc<Lock>>,
}

impl Locks {
    /// Finds the lock for the function in `folder`: its own, or that of a workspace above it within the project; else
    /// npm writes one.
    pub(super) fn decide(
        &mut self,
        folder: &Path,
        project_root: &Path,
        context: &Context<'_>,
        tools: &Tools,
    ) -> Result<Decided> {
        for above in folder.ancestors().take_while(|above| above.starts_with(project_root)) {
            let Some(chosen) = managers::choose(above) else { continue };
            let lock = self.read(&chosen, above)?;
            let Some(importer) = relative(folder, above).filter(|importer| lock.get(importer).is_some()) else {
                continue;
            };
            let by = chosen.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            return Ok(Decided { lock, importer, by, notes: chosen.notes, is_fresh: false });
        }
        self.make(folder, project_root, context, tools)
    }

    fn read(&mut self, chosen: &Chosen, folder: &Path) -> Result<Arc<Lock>> {
        if let Some(lock) = self.read.get(&chosen.path) {
            return Ok(Arc::clone(lock));
        }
        let lock = Arc::new(managers::read(chosen, folder)?);
        self.read.insert(chosen.path.clone(), Arc::clone(&lock));
        Ok(lock)
    }

    fn make(&mut self, folder: &Path, project_root: &Path, context: &Context<'_>, tools: &Tools) -> Result<Decided> {
        if context.locked {
            return Err(Error::config("there is no `package-lock.json`, and `--locked` forbids writing one")
                .at(folder.join("package.json"), None)
                .hint("run `npm install --package-lock-only` and commit the lock"));
        }
        let root = fresh_lock::npm_root(folder, project_root);
        let lock = match self.fresh.get(&root) {
            Some(lock) => Arc::clone(lock),
            None => Arc::new(fresh_lock::lock(&root, project_root, context, tools)?),
        };
        self.fresh.insert(root.clone(), Arc::clone(&lock));
        let importer = relative(folder, &root).filter(|importer| lock.get(importer).is_some()).ok_or_else(|| {
            Error::config("npm did not take the folder for one of the workspace's packages")
                .at(folder.join("package.json"), None)
                .hint(format!("name it in `workspaces` of `{}`", root.join("package.json").display()))
        })?;
        let notes = vec![
            "There is no package-lock.json, so npm chose the versions today and may choose others tomorrow; run `npm install --package-lock-only` and commit the lock.".to_owned(),
        ];
        Ok(Decided { lock, importer, by: "package.json (npm)".to_owned(), notes, is_fresh: true })
    }
}

/// A folder as a location in the lock of one above it.
pub(super) fn relative(folder: &Path, above: &Path) -> Option<String> {
    let parts: Option<Vec<&str>> = folder.strip_prefix(above).ok()?.iter().map(|part| part.to_str()).collect();
    parts.map(|parts| parts.join("/"))
}

/// Checks that the lock was written for what a `package.json` asks for. Development dependencies may differ.
pub(super) fn agree(lock: &Lock, location: &str, manifest: &Manifest, path: &Path) -> Result<()> {
    let Some(entry) = lock.get(location) else { return Ok(()) };
    for (field, asked, locked) in [
        ("dependencies", &manifest.needs.required, &entry.needs.required),
        ("optionalDependencies", &manifest.needs.optional, &entry.needs.optional),
        ("peerDependencies", &manifest.needs.peer, &entry.needs.peer),
    ] {
        let differs = asked.keys().chain(locked.keys()).find(|name| asked.get(*name) != locked.get(*name));
        if let Some(name) = differs {
            let say = |range: Option<&String>| range.map_or_else(|| "nothing".to_owned(), |range| format!("`{range}`"));
            let lock_name = lock.path.file_name().unwrap_or_default().to_string_lossy();
            return Err(Error::config(format!(
                "`{field}` asks for {} of `{name}`, but `{lock_name}` was written for {}",
                say(asked.get(name)),
                say(locked.get(name)),
            ))
            .at(path, None)
            .hint(format!(
                "run `{}` in `{}` and commit the lock",
                lock.manager.install(),
                lock.folder.display()
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_disagrees_is_named_with_both_values() {
        let text = r#"{"lockfileVersion": 3, "packages": {"": {"dependencies": {"a": "^1", "b": "1"}}}}"#;
        let lock = Lock::parse(text, Path::new("/p/package-lock.json"), Path::new("/p")).unwrap();
        let path = Path::new("/p/package.json");
        let check = |text: &str| agree(&lock, "", &Manifest::parse(text, path).unwrap(), path);
        check(r#"{"dependencies": {"b": "1", "a": "^1"}, "devDependencies": {"x": "1"}}"#).unwrap();
        let error = check(r#"{"dependencies": {"a": "^2", "b": "1"}}"#).unwrap_err();
        assert!(
            error.to_string().contains("asks for `^2` of `a`, but `package-lock.json` was written for `^1`"),
            "{error}"
        );
        assert!(error.hints()[0].contains("npm install"));
        let error = check(r#"{"dependencies": {"a": "^1"}}"#).unwrap_err();
        assert!(error.to_string().contains("asks for nothing of `b`"), "{error}");
    }
}
