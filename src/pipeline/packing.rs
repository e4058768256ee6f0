//! From a plan to zips under temporary names: what stands is left, what is the same is packed once, small zips are made side
//! by side, large ones one after the other.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::{Earlier, Plan, PlannedFunction, Session};
use crate::check;
use crate::error::{Error, Result};
use crate::finding::{Finding, Level, Overrides};
use crate::fresh::{self, Kept, Stat};
use crate::fsio::AtomicFile;
use crate::pack::{self, Artifact, Known, Packed};
use crate::project::Project;
use crate::report::{Task, Unit};
use crate::store::Entries;

/// A function of which so many bytes are deflated is packed by itself: its windows take all the memory that there is.
const LARGE: u64 = 8 << 20;

/// The file name of a function's zip.
fn zip_name(function: &str) -> String {
    format!("{function}.zip")
}

/// Packs what a plan says.
pub(super) struct Packer<'a> {
    pub(super) project: &'a Project,
    pub(super) session: Session<'a>,
    pub(super) earlier: &'a Earlier,
    pub(super) entries: Entries,
}

/// What became of a function.
pub(super) enum Outcome {
    /// Lambda would refuse it.
    Refused,
    /// The zip of an earlier build stands.
    Stands(Artifact, Option<String>),
    /// A new zip, and the digest of what is in it.
    Made(Box<Packed>, Option<String>),
}

/// What is to be done for a function.
enum Job<'p> {
    Done(Outcome),
    Pack(&'p PlannedFunction, Option<String>),
    /// The same as the function of this index.
    Copy(usize, &'p PlannedFunction, Option<String>),
}

impl Packer<'_> {
    /// One outcome for each function. The findings of finished zips are added to the plan's.
    pub(super) fn pack_all(&self, plan: &mut Plan) -> Result<Vec<Outcome>> {
        let jobs = self.jobs(plan);
        let bytes = |job: &Job<'_>| if let Job::Pack(function, _) = job { function.tree.bytes() } else { 0 };
        let task = Task::begin(self.session.reporter, "Packing", Some(jobs.iter().map(bytes).sum()), Unit::Bytes);
        let is_small = |job: &Job<'_>| !matches!(job, Job::Pack(f, _) if pack::deflated_bytes(&f.tree) > LARGE);
        let side_by_side: Vec<Option<Result<Packed>>> =
            jobs.par_iter().map(|job| is_small(job).then(|| self.pack(job, &task)).flatten()).collect();
        let mut made: Vec<Option<Packed>> = Vec::new();
        for (job, packed) in jobs.iter().zip(side_by_side) {
            made.push(packed.or_else(|| self.pack(job, &task)).transpose()?);
        }
        let outcomes = self.outcomes(jobs, made)?;
        self.entries.trim();
        self.judge(plan, outcomes)
    }

    fn jobs<'p>(&self, plan: &'p Plan) -> Vec<Job<'p>> {
        let mut same: HashMap<String, usize> = HashMap::new();
        let digests: Vec<Option<String>> = plan
            .functions
            .par_iter()
            .map(|function| match &function.kept {
                None if !plan.is_refused(&function.spec.name) => fresh::of_tree(&function.tree, &self.earlier.files),
                _ => None,
            })
            .collect();
        let decide = |(index, (function, digest)): (usize, (&'p PlannedFunction, Option<String>))| {
            let name = &function.spec.name;
            if plan.is_refused(name) {
                return Job::Done(Outcome::Refused);
            }
            if let Some(kept) = &function.kept {
                return Job::Done(Outcome::Stands(kept.artifact.clone(), kept.tree.clone()));
            }
            let Some(digest) = digest else { return Job::Pack(function, None) };
            if let Some(kept) = self.earlier.state.function(name)
                && kept.tree.as_ref() == Some(&digest)
                && kept.zip_stands(&self.session.options.out_dir)
            {
                return Job::Done(Outcome::Stands(kept.artifact.clone(), Some(digest)));
            }
            match same.get(&digest) {
                Some(first) => Job::Copy(*first, function, Some(digest)),
                None => {
                    same.insert(digest.clone(), index);
                    Job::Pack(function, Some(digest))
                }
            }
        };
        plan.functions.iter().zip(digests).enumerate().map(decide).collect()
    }

    fn target(&self, function: &PlannedFunction) -> PathBuf {
        self.session.options.out_dir.join(zip_name(&function.spec.name))
    }

    fn pack(&self, job: &Job<'_>, task: &Task<'_>) -> Option<Result<Packed>> {
        let Job::Pack(function, _) = job else { return None };
        let name = &function.spec.name;
        task.detail(name.clone());
        let known = Known { entries: &self.entries, files: &self.earlier.files };
        let packed = pack::pack_with(&function.tree, &self.target(function), task, Some(known));
        Some(packed.map_err(|e| e.context(format!("function `{name}`"))))
    }

    fn outcomes(&self, jobs: Vec<Job<'_>>, mut made: Vec<Option<Packed>>) -> Result<Vec<Outcome>> {
        // Copies first, while what they are copies of is still where it was made.
        for (index, job) in jobs.iter().enumerate() {
            if let Job::Copy(first, function, _) = job
                && let Some(original) = &made[*first]
            {
                made[index] = Some(copy(original, &self.target(function))?);
            }
        }
        let outcome = |(job, packed): (Job<'_>, Option<Packed>)| match (job, packed) {
            (Job::Done(outcome), _) => outcome,
            (Job::Pack(_, digest) | Job::Copy(_, _, digest), Some(packed)) => Outcome::Made(Box::new(packed), digest),
            (_, None) => Outcome::Refused,
        };
        Ok(jobs.into_iter().zip(made).map(outcome).collect())
    }

    /// What the rules say of finished zips; one that Lambda would refuse gets no name.
    fn judge(&self, plan: &mut Plan, outcomes: Vec<Outcome>) -> Result<Vec<Outcome>> {
        let mut found = Vec::new();
        let judged = plan
            .functions
            .iter()
            .zip(outcomes)
            .map(|(function, outcome)| {
                let Some(bytes) = outcome.artifact().map(|artifact| artifact.bytes) else { return outcome };
                let name = &function.spec.name;
                let findings: Vec<Finding> =
                    check::check_zip_size(bytes).into_iter().map(|finding| finding.function(name)).collect();
                let findings = self.project.checks.apply(findings);
                let refused = findings.iter().any(|finding| finding.level == Level::Error);
                found.extend(findings);
                if refused { Outcome::Refused } else { outcome }
            })
            .collect();
        plan.findings.extend(found);
        // Once more through the same order, so that the place of a finding does not depend on the stage that made it.
        plan.findings = Overrides::default().apply(std::mem::take(&mut plan.findings));
        Ok(judged)
    }
}

/// The same zip for another function.
fn copy(original: &Packed, target: &Path) -> Result<Packed> {
    let mut file = AtomicFile::create(target)?;
    let mut from = original.file.file();
    from.rewind()
        .and_then(|()| io::copy(&mut from, &mut file.file()))
        .and_then(|_| file.flush())
        .map_err(|e| Error::io("write", target, &e))?;
    let path = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Packed { file, artifact: Artifact { path, ..original.artifact.clone() }, read: original.read.clone() })
}

impl Outcome {
    fn artifact(&self) -> Option<&Artifact> {
        match self {
            Self::Refused => None,
            Self::Stands(artifact, _) => Some(artifact),
            Self::Made(packed, _) => Some(&packed.artifact),
        }
    }

    /// Gives the zip its final name, or takes that from an older one. Also what the next build may know of it.
    pub(super) fn finish(
        self,
        function: &PlannedFunction,
        out_dir: &Path,
        earlier: &Earlier,
    ) -> Result<Option<(Artifact, Option<Kept>)>> {
        let path = out_dir.join(zip_name(&function.spec.name));
        let (artifact, tree, as_planned) = match self {
            Self::Refused => {
                let _ = fs::remove_file(path);
                return Ok(None);
            }
            Self::Stands(artifact, tree) => (artifact, tree, true),
            Self::Made(packed, tree) => {
                let Packed { file, artifact, read } = *packed;
                file.commit()?;
                // What was packed is what was looked at, unless somebody has written to it in between.
                let as_planned = read.iter().all(|(path, digest)| earlier.files.digest(path).as_ref() == Some(digest));
                (artifact, tree, as_planned)
            }
        };
        if let Some(kept) = &function.kept {
            return Ok(Some((artifact, Some((**kept).clone()))));
        }
        let kept = Stat::of(&path).filter(|_| as_planned).map(|zip| {
            let mut kept = Kept {
                own: function.trace.own.clone(),
                read: Vec::new(),
                facts: Vec::new(),
                asked_at: None,
                is_traced: false,
                tree,
                zip,
                artifact: artifact.clone(),
                packages: function.packages.iter().map(|p| (p.name.clone(), p.version.clone(), p.bytes)).collect(),
                notes: function.notes.clone(),
                resolved_by: function.resolved_by.clone(),
                findings: function.trace.findings.clone(),
            };
            kept.trace(function.trace.inputs.as_ref(), &earlier.files);
            kept
        });
        Ok(Some((artifact, kept)))
    }
}
