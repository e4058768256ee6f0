//! From files that a lock names by digest to where they are: uv or pip is asked for exactly these versions, without what
//! they need, and what it answers must have a digest of the lock. What is in the store already is not asked for.
//!
//! One question per index, so that no other index can offer a package in its place. An index that the lock does not name is
//! the one that uv or pip takes.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::answers::Answers;
use super::super::ask::{Question, scratch_file};
use super::super::pin::{Origin, Pin, Pins, RemoteFile};
use super::super::plan::{Planner, folder_of};
use super::super::requirements::Requirements;
use super::super::select::sdist_form;
use super::super::target::Target;
use super::{File, Index, Locked, Package, Place};
use crate::error::{Error, Result};
use crate::fsio;
use crate::store::Form;

impl Planner<'_> {
    /// The pins of a lock. `inputs` and `resolved_by` are left to the caller.
    pub(in super::super) fn locate(&self, locked: Locked, lock: &Path, target: &Target) -> Result<Pins> {
        let mut out = Pins { notes: locked.notes, ..Pins::default() };
        let mut asked: BTreeMap<Index, Vec<(Package, Vec<File>)>> = BTreeMap::new();
        for package in locked.packages {
            let found = match &package.place {
                Place::Known(origin) => Some(origin.clone()),
                Place::Index(_, files) => self.at_hand(files, target)?,
            };
            match (found, package.place.clone()) {
                (Some(origin), _) | (None, Place::Known(origin)) => {
                    out.pins.push(Pin { name: package.name, version: package.version, origin });
                }
                (None, Place::Index(index, files)) => asked.entry(index).or_default().push((package, files)),
            }
        }
        for (index, packages) in asked {
            self.ask_index(&index, &packages, lock, target, &mut out)?;
        }
        out.pins.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(out)
    }

    /// What needs no index: the file that would be packed is in the store, or there is none that could be.
    fn at_hand(&self, files: &[File], target: &Target) -> Result<Option<Origin>> {
        let named: Option<Vec<RemoteFile>> = files.iter().map(without_url).collect();
        let Some(named) = named else { return Ok(None) };
        let (wheels, others): (Vec<_>, Vec<_>) = named.into_iter().partition(|file| file.file.ends_with(".whl"));
        let is_there = |form: Form, file: &RemoteFile| -> Result<bool> {
            Ok(self.context.store.archive(form, &file.digest)?.is_some())
        };
        if let Some(best) = target.tags.best(&wheels, |wheel| &wheel.file) {
            let found = is_there(Form::Zip, best)?.then(|| best.clone());
            return Ok(found.map(|best| Origin::Files { wheels: vec![best], sdist: None }));
        }
        let Some((form, sdist)) = others.into_iter().find_map(|file| Some((sdist_form(&file.file)?, file))) else {
            return Ok(Some(Origin::Files { wheels, sdist: None }));
        };
        Ok(is_there(form, &sdist)?.then_some(Origin::Files { wheels, sdist: Some(sdist) }))
    }

    fn ask_index(
        &self,
        index: &Index,
        packages: &[(Package, Vec<File>)],
        lock: &Path,
        target: &Target,
        out: &mut Pins,
    ) -> Result<()> {
        let scratch = fsio::scratch_dir()?;
        let staged = scratch_file(&scratch, "0-requirements.txt", &question(index, packages))?;
        let mut requirements = Requirements::read(&staged)?;
        for (file, _) in &mut requirements.files {
            lock.clone_into(file);
        }
        let asked = Question {
            shown: lock,
            input: staged,
            requirements: &requirements,
            scratch: &scratch,
            target,
            offline: self.context.offline,
            answers: Answers::about(&requirements, folder_of(lock), self.programs, self.context.store),
            is_complete: true,
            added: &[],
        };
        let (pins, findings, _) = self.ask(&asked, None)?;
        for (package, files) in packages {
            // What no tool could take is told by a finding.
            let is_told = !findings.is_empty();
            match pins.iter().find(|pin| pin.name == package.name) {
                Some(pin) => out.pins.push(verified(pin.clone(), package, files, lock)?),
                None if is_told => {}
                None => {
                    return Err(Error::failed(format!("{} was not found in its index", package.label())).at(lock, None));
                }
            }
        }
        out.findings.extend(findings);
        out.index_urls.extend(index.url.iter().chain(&index.more).cloned());
        out._scratch.push(scratch);
        Ok(())
    }
}

fn without_url(file: &File) -> Option<RemoteFile> {
    let name = file.name.clone()?;
    // It is only asked for by its digest.
    Some(RemoteFile { url: name.clone(), file: name, digest: file.digest.clone(), size: None })
}

/// The requirements file that uv or pip is asked about.
fn question(index: &Index, packages: &[(Package, Vec<File>)]) -> String {
    let mut text = String::new();
    if let Some(url) = &index.url {
        text.push_str(&format!("--index-url {url}\n"));
    }
    for url in &index.more {
        text.push_str(&format!("--extra-index-url {url}\n"));
    }
    for (package, files) in packages {
        let hashes: String = files.iter().map(|file| format!(" --hash={}", file.digest)).collect();
        text.push_str(&format!("{}=={}{hashes}\n", package.name, package.version));
    }
    text
}

/// Keeps the archives that have a digest of the lock.
fn verified(mut pin: Pin, package: &Package, files: &[File], lock: &Path) -> Result<Pin> {
    let label = package.label();
    if let Origin::Files { wheels, sdist } = &mut pin.origin {
        let is_locked = |file: &RemoteFile| files.iter().any(|known| known.digest == file.digest);
        wheels.retain(is_locked);
        *sdist = sdist.take().filter(is_locked);
        if wheels.is_empty() && sdist.is_none() {
            return Err(Error::config(format!("no archive of {label} in its index has a digest of the lock"))
                .at(lock, None)
                .hint("if the package was published anew, look at why, and lock again"));
        }
    }
    Ok(pin)
}
