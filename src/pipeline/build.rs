//! Packs what a plan says, and writes `manifest.json` last.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::manifest::Manifest;
use super::{Failures, Plan, Session, plan, timed};
use crate::check;
use crate::error::{Error, Result};
use crate::fsio::{self, AtomicFile, PARTIAL_SUFFIX};
use crate::pack::{self, Artifact};
use crate::project::Project;
use crate::report::{Event, Task, Unit};
use crate::tree::walk::OUTPUT_LOCK;

/// The manifest's file name in the output folder.
const MANIFEST: &str = "manifest.json";

/// Plans and packs. Functions with a finding of level `error` are not packed, and an older zip of theirs is removed: what
/// has a final name is what Lambda takes.
///
/// # Errors
/// See [`plan`]; and when an artifact cannot be written. Zips get their final names only when all of them are finished.
pub fn build(project: &Project, session: Session<'_>) -> Result<Built, Failures> {
    let start = Instant::now();
    let mut plan = plan(project, session)?;
    let out_dir = &session.options.out_dir;
    fsio::create_dir_all(out_dir)?;
    let lock = lock(out_dir, session)?;
    remove_partials(out_dir);

    let mut pack_time = std::time::Duration::ZERO;
    let packed = timed(&mut pack_time, || pack_all(&mut plan, project, session))?;
    plan.timings.pack = pack_time;
    let mut artifacts: Vec<Option<Artifact>> = Vec::new();
    let mut files = Vec::new();
    for one in packed {
        let (file, artifact) = one.unzip();
        files.extend(file);
        artifacts.push(artifact);
    }
    // A manifest that is there speaks of zips that are about to be replaced.
    let manifest_path = out_dir.join(MANIFEST);
    match fs::remove_file(&manifest_path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io("replace", &manifest_path, &error).into());
        }
        _ => {}
    }
    for file in files {
        file.commit()?;
    }
    for (function, artifact) in plan.functions.iter().zip(&artifacts) {
        if artifact.is_none() {
            let _ = fs::remove_file(out_dir.join(zip_name(&function.spec.name)));
        }
    }
    plan.timings.total = start.elapsed();
    let manifest = Manifest::new(&plan, &artifacts);
    let built = Built { plan, manifest, manifest_path, _lock: lock };
    built.write_manifest()?;
    Ok(built)
}

/// What was built. While it lives, no other process writes into the output folder.
#[derive(Debug)]
pub struct Built {
    /// What was decided.
    pub plan: Plan,
    /// What was packed.
    pub manifest: Manifest,
    manifest_path: PathBuf,
    _lock: File,
}

impl Built {
    /// Writes the manifest as it is now.
    pub(super) fn write_manifest(&self) -> Result<()> {
        fsio::write_atomic(&self.manifest_path, self.manifest.to_json().as_bytes())
    }
}

fn zip_name(function: &str) -> String {
    format!("{function}.zip")
}

fn pack_all(plan: &mut Plan, project: &Project, session: Session<'_>) -> Result<Vec<Option<(AtomicFile, Artifact)>>> {
    let total: u64 = plan.functions.iter().filter(|f| !plan.is_refused(&f.spec.name)).map(|f| f.tree.bytes()).sum();
    let task = Task::begin(session.reporter, "Packing", Some(total), Unit::Bytes);
    let mut packed = Vec::new();
    let mut findings = Vec::new();
    for function in &plan.functions {
        let name = &function.spec.name;
        if plan.is_refused(name) {
            packed.push(None);
            continue;
        }
        task.detail(name.clone());
        let (file, artifact) = pack::pack(&function.tree, &session.options.out_dir.join(zip_name(name)), &task)
            .map_err(|e| e.context(format!("function `{name}`")))?;
        let found: Vec<_> = check::check_zip_size(artifact.bytes).into_iter().map(|f| f.function(name)).collect();
        let found = project.checks.apply(found);
        let refused = found.iter().any(|f| f.level == crate::finding::Level::Error);
        findings.extend(found);
        packed.push((!refused).then_some((file, artifact)));
    }
    plan.findings.extend(findings);
    // Once more through the same order, so that the place of a finding does not depend on the stage that made it.
    plan.findings = crate::finding::Overrides::default().apply(std::mem::take(&mut plan.findings));
    Ok(packed)
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
