//! Packs what a plan says, and writes `manifest.json` last.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::manifest::{Manifest, ManifestFunction, ManifestLayer};
use super::packing::{self, Packer};
use super::templates::Places;
use super::{Earlier, Failures, Options, Plan, Session, images, plan, ready_images, sbom, templates, timed};
use crate::error::{Error, Result};
use crate::finding::{Finding, Overrides};
use crate::fresh::KeptLayer;
use crate::fsio::{self, PARTIAL_SUFFIX};
use crate::project::Project;
use crate::report::{Event, Task, Unit};
use crate::store::Store;
use crate::tree::walk::OUTPUT_LOCK;

/// The manifest's file name in the output folder.
const MANIFEST: &str = "manifest.json";

/// Plans and packs. What an earlier build has left and this one would make again stands. Functions with a finding of level
/// `error` are not packed, and an older zip of theirs is removed: what has a final name is what Lambda takes.
///
/// # Errors
/// See [`plan`](super::plan); and when an artifact cannot be written. Zips get their final names only when all of them are
/// finished.
pub fn build(project: &Project, session: Session<'_>) -> Result<Built, Failures> {
    let start = Instant::now();
    plan::apart(project, session)?;
    let out_dir = &session.options.out_dir;
    // Taken before anything is looked at that another build might replace. Without a folder there is nothing to look at.
    let early = out_dir.is_dir().then(|| lock(out_dir, session)).transpose()?;
    let earlier = Earlier::read(session, early.is_some());
    let mut plan = plan::plan_after(project, session, Some(&earlier))?;
    fsio::create_dir_all(out_dir)?;
    let lock = early.map_or_else(|| lock(out_dir, session), Ok)?;
    remove_partials(out_dir);

    let mut pack_time = std::time::Duration::ZERO;
    let outcomes = timed(&mut pack_time, || {
        let entries = session.store.entries();
        Packer { project, session, earlier: &earlier, entries }.pack_all(&mut plan)
    })?;
    plan.timings.pack = pack_time;
    let of_images = ready_images::make(project, session)?;
    if !of_images.is_empty() {
        plan.findings = Overrides::default().apply([std::mem::take(&mut plan.findings), of_images].concat());
    }
    // A manifest that is there speaks of zips that are about to be replaced.
    let manifest_path = out_dir.join(MANIFEST);
    match fs::remove_file(&manifest_path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io("replace", &manifest_path, &error).into());
        }
        _ => {}
    }
    let mut artifacts = Vec::new();
    let mut records = Vec::new();
    let mut layer_artifacts = Vec::new();
    let mut kept_layers = BTreeMap::new();
    // Layers first: a function that has its new name finds the layers that it needs.
    for (layer, outcome) in plan.layers.iter().zip(outcomes.layers) {
        let Some(outcome) = outcome else {
            kept_layers.insert(layer.name.clone(), packing::keep(layer));
            layer_artifacts.push(None);
            continue;
        };
        let (artifact, kept) = outcome.finish_layer(layer, out_dir, &earlier)?.unzip();
        kept_layers.extend(kept.flatten().map(|kept| (layer.name.clone(), kept)));
        layer_artifacts.push(artifact);
    }
    for (function, outcome) in plan.functions.iter().zip(outcomes.functions) {
        let record = outcome.finish(function, out_dir, &earlier)?;
        artifacts.push(record.as_ref().map(|(artifact, _)| artifact.clone()));
        records.push((function.spec.name.clone(), record.and_then(|(_, kept)| kept)));
    }
    plan.timings.total = start.elapsed();
    if project.is_whole {
        remove_replaced(&earlier, &kept_layers, out_dir);
    }
    let mut manifest = Manifest::new(&plan, &artifacts, &layer_artifacts);
    if session.options.sbom {
        let packed = manifest.name_sboms();
        sbom::write(&plan, |name| packed.contains(name), out_dir)?;
    }
    let built = Built { plan, manifest, manifest_path, places: Places::new(), _lock: lock };
    built.write(project, out_dir)?;
    if let Err(error) = earlier.write(records, kept_layers, plan::layered_set(project, session), out_dir) {
        // It only costs the next build some work.
        session.reporter.event(Event::Debug(error.to_string()));
    }
    Ok(built)
}

/// Builds once more, with a store and an output folder that know nothing, and compares.
///
/// # Errors
/// When a zip is another one: then something of an earlier build was taken for new that is not. And see [`build`].
pub fn self_check(project: &Project, session: Session<'_>, built: &Built) -> Result<(), Failures> {
    let scratch = fsio::scratch_dir()?;
    let store = Store::new(scratch.path().join("store"));
    let options = Options { out_dir: scratch.path().join("out"), no_cache: true, ..session.options.clone() };
    let registries = session.registries.with_store(&store);
    let again_session =
        Session { options: &options, store: &store, registries: &registries, reporter: session.reporter };
    let again = build(project, again_session)?;
    let digest = |function: &ManifestFunction| {
        let zip = function.artifact.as_ref().map(|artifact| artifact.sha256.clone());
        zip.or_else(|| function.image.as_ref().map(|image| image.digest.clone()))
    };
    let differ: Vec<String> = built
        .manifest
        .functions
        .iter()
        .zip(&again.manifest.functions)
        .filter(|(one, other)| digest(one) != digest(other))
        .map(|(one, _)| format!("`{}`", one.name))
        .collect();
    let layers = |built: &Built| -> BTreeMap<String, Option<String>> {
        let digest = |layer: &ManifestLayer| layer.artifact.as_ref().map(|artifact| artifact.sha256.clone());
        built.manifest.layers.iter().map(|layer| (layer.name.clone(), digest(layer))).collect()
    };
    let (before, after) = (layers(built), layers(&again));
    let differ: Vec<String> = differ
        .into_iter()
        .chain(
            before
                .iter()
                .filter(|(name, digest)| after.get(*name) != Some(digest))
                .map(|(name, _)| format!("`{name}`")),
        )
        .collect();
    if differ.is_empty() {
        return Ok(());
    }
    Err(Error::failed(format!("a build that knows nothing gives other zips of {}", differ.join(", ")))
        .hint("without a lock, newest versions may have appeared since; with one, it is a fault of this program: please report it, and build with `--no-cache` meanwhile")
        .into())
}

/// What was built. While it lives, no other process writes into the output folder.
#[derive(Debug)]
pub struct Built {
    /// What was decided.
    pub plan: Plan,
    /// What was packed.
    pub manifest: Manifest,
    manifest_path: PathBuf,
    /// Where other files of a template are, once they were sent.
    pub(super) places: Places,
    _lock: File,
}

impl Built {
    /// Adds what was found after packing. A function of which something is an error now has no artifact any more.
    ///
    /// # Errors
    /// When the manifest cannot be written.
    pub fn add_findings(&mut self, project: &Project, session: Session<'_>, findings: Vec<Finding>) -> Result<()> {
        if findings.is_empty() {
            return Ok(());
        }
        let out_dir = &session.options.out_dir;
        self.plan.findings.extend(findings);
        for function in self.manifest.functions.iter_mut().filter(|function| self.plan.is_refused(&function.name)) {
            if let Some(artifact) = function.artifact.take() {
                let path = out_dir.join(&artifact.path);
                fs::remove_file(&path).map_err(|e| Error::io("remove", &path, &e))?;
                function.upload = None;
            }
            if function.image.take().is_some() {
                images::remove(&function.name, out_dir);
            }
        }
        self.manifest.findings.clone_from(&self.plan.findings);
        self.write(project, out_dir)
    }

    /// Writes the manifest as it is now, and the template that it belongs to.
    pub(super) fn write(&self, project: &Project, out_dir: &Path) -> Result<()> {
        templates::write(project, &self.manifest, &self.places, out_dir)?;
        fsio::write_atomic(&self.manifest_path, self.manifest.to_json().as_bytes())
    }
}

/// Takes the output folder for this process; another one that builds into it is waited for.
fn lock(out_dir: &Path, session: Session<'_>) -> Result<File> {
    let path = out_dir.join(OUTPUT_LOCK);
    let file = File::create(&path).map_err(|e| Error::io("write", &path, &e))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        // A file system without locks (some NFS) is used without one.
        Err(std::fs::TryLockError::Error(error)) => {
            session.reporter.event(Event::Debug(format!("no lock on {}: {error}", path.display())));
            return Ok(file);
        }
        Err(std::fs::TryLockError::WouldBlock) => {}
    }
    let _task =
        Task::begin(session.reporter, "Waiting for another build into the same output folder", None, Unit::Items);
    file.lock().map_err(|e| Error::io("lock", &path, &e))?;
    Ok(file)
}

/// Deletes layers that packages were split into by an earlier build of all functions, and are split into no more. Their
/// names are made of their contents, so that they would pile up.
fn remove_replaced(earlier: &Earlier, now: &BTreeMap<String, KeptLayer>, out_dir: &Path) {
    for (name, kept) in earlier.state.layers().filter(|(name, kept)| !kept.is_own && !now.contains_key(*name)) {
        if let Some((_, artifact)) = kept.zip.as_ref().filter(|_| kept.zip_stands(out_dir)) {
            debug_assert!(artifact.path.starts_with(name.as_str()));
            let _ = fs::remove_file(out_dir.join(&artifact.path));
        }
    }
}

/// Deletes what a killed build has left. Only called with the folder's lock.
fn remove_partials(out_dir: &Path) {
    let Ok(entries) = fs::read_dir(out_dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') && name.ends_with(PARTIAL_SUFFIX) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
