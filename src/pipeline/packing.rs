//! From a plan to zips under temporary names: what stands is left, what is the same is packed once, small zips are made side
//! by side, large ones one after the other.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::images::{self, StagedImage};
use super::{Earlier, Plan, PlannedFunction, PlannedLayer, Session};
use crate::check;
use crate::error::{Error, Result};
use crate::finding::{Finding, Level, Overrides};
use crate::fresh::{self, Kept, KeptLayer, KeptPackage, Stat};
use crate::fsio::AtomicFile;
use crate::image::PlannedImage;
use crate::pack::{self, Artifact, Known, Packed};
use crate::project::{ImageArchive, Project};
use crate::report::{Task, Unit};
use crate::store::Entries;
use crate::tree::Tree;

/// A function of which so many bytes are deflated is packed by itself: its windows take all the memory that there is.
const LARGE: u64 = 8 << 20;

/// The file name of the zip of a function or layer; no two have the same name.
fn zip_name(name: &str) -> String {
    format!("{name}.zip")
}

/// A function or layer, as far as packing is concerned.
struct Subject<'p> {
    name: &'p str,
    is_layer: bool,
    tree: &'p Tree,
    is_refused: bool,
    /// An earlier zip that is what this one would be.
    kept: Option<(&'p Artifact, Option<&'p String>)>,
    /// What an earlier build has left: the digest of what is in it, the zip, and whether that is as it was.
    left: Option<(Option<&'p String>, &'p Artifact)>,
    /// The image that it becomes.
    image: Option<(&'p PlannedImage, Option<ImageArchive>)>,
}

impl<'p> Subject<'p> {
    fn function(function: &'p PlannedFunction, plan: &Plan, earlier: &'p Earlier, out_dir: &Path) -> Self {
        let name = &function.spec.name;
        let left = earlier.state.function(name).filter(|kept| kept.zip_stands(out_dir));
        Self {
            name,
            is_layer: false,
            tree: &function.tree,
            is_refused: plan.is_refused(name),
            kept: function.kept.as_ref().map(|kept| (&kept.artifact, kept.tree.as_ref())),
            left: left.map(|kept| (kept.tree.as_ref(), &kept.artifact)),
            image: function.image.as_deref().map(|image| (image, images::archive(&function.spec))),
        }
    }

    /// Nothing for a layer that exists.
    fn layer(layer: &'p PlannedLayer, plan: &Plan, earlier: &'p Earlier, out_dir: &Path) -> Option<Self> {
        let left = earlier.state.layer(&layer.name).filter(|kept| kept.zip_stands(out_dir));
        let zip = |kept: &'p KeptLayer| kept.zip.as_ref().map(|(_, artifact)| (kept.tree.as_ref(), artifact));
        layer.arn.is_none().then(|| Self {
            name: &layer.name,
            is_layer: true,
            tree: &layer.tree,
            is_refused: plan.is_layer_refused(&layer.name),
            kept: layer.kept.as_ref().and_then(|kept| zip(kept)).map(|(tree, artifact)| (artifact, tree)),
            left: left.and_then(zip),
            image: None,
        })
    }
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
    /// A new image, and the digest of what is in it.
    Image(Box<StagedImage>, Option<String>),
}

/// What is to be done for a function or layer.
enum Job<'p> {
    Done(Outcome),
    Pack(&'p Subject<'p>, Option<String>),
    Image(&'p Subject<'p>, &'p PlannedImage, Option<ImageArchive>, Option<String>),
    /// The same as that of this index.
    Copy(usize, &'p Subject<'p>, Option<String>),
}

/// What became of functions and of layers. A layer that exists has no outcome.
pub(super) struct Outcomes {
    pub(super) functions: Vec<Outcome>,
    pub(super) layers: Vec<Option<Outcome>>,
}

impl Packer<'_> {
    /// One outcome for each function and layer. The findings of finished zips are added to the plan's.
    pub(super) fn pack_all(&self, plan: &mut Plan) -> Result<Outcomes> {
        let out_dir = &self.session.options.out_dir;
        let functions = plan.functions.iter().map(|f| Subject::function(f, plan, self.earlier, out_dir));
        let layers: Vec<Option<Subject<'_>>> =
            plan.layers.iter().map(|layer| Subject::layer(layer, plan, self.earlier, out_dir)).collect();
        let built: Vec<bool> = layers.iter().map(Option::is_some).collect();
        let subjects: Vec<Subject<'_>> = functions.chain(layers.into_iter().flatten()).collect();
        let outcomes = self.outcomes_of(&subjects)?;
        let (mut outcomes, found) = self.judge(&subjects, outcomes);
        let mut rest = outcomes.split_off(plan.functions.len()).into_iter();
        let layers = built.into_iter().map(|is_built| is_built.then(|| rest.next()).flatten()).collect();
        plan.findings.extend(found);
        // Once more through the same order, so that the place of a finding does not depend on the stage that made it.
        plan.findings = Overrides::default().apply(std::mem::take(&mut plan.findings));
        Ok(Outcomes { functions: outcomes, layers })
    }

    fn outcomes_of(&self, subjects: &[Subject<'_>]) -> Result<Vec<Outcome>> {
        let jobs = self.jobs(subjects);
        let bytes = |job: &Job<'_>| match job {
            Job::Pack(subject, _) | Job::Image(subject, ..) => subject.tree.bytes(),
            Job::Done(_) | Job::Copy(..) => 0,
        };
        let task = Task::begin(self.session.reporter, "Packing", Some(jobs.iter().map(bytes).sum()), Unit::Bytes);
        let is_small = |job: &Job<'_>| !matches!(job, Job::Pack(s, _) if pack::deflated_bytes(s.tree) > LARGE);
        let side_by_side: Vec<Option<Result<Packed>>> =
            jobs.par_iter().map(|job| is_small(job).then(|| self.pack(job, &task)).flatten()).collect();
        let mut made: Vec<Option<Packed>> = Vec::new();
        for (job, packed) in jobs.iter().zip(side_by_side) {
            made.push(packed.or_else(|| self.pack(job, &task)).transpose()?);
        }
        // One after the other: each works on all cores.
        let images = jobs.iter().map(|job| self.stage(job, &task)).collect::<Result<Vec<_>>>()?;
        let outcomes = self.outcomes(jobs, made, images)?;
        self.entries.trim();
        Ok(outcomes)
    }

    fn jobs<'p>(&self, subjects: &'p [Subject<'p>]) -> Vec<Job<'p>> {
        let mut same: HashMap<String, usize> = HashMap::new();
        let digests: Vec<Option<String>> = subjects
            .par_iter()
            .map(|subject| match &subject.kept {
                None if !subject.is_refused => match subject.image {
                    Some((image, archive)) => image
                        .digest(&self.earlier.files)
                        .map(|digest| format!("{archive:?} {} {digest}", self.session.options.shallow_bases)),
                    None => fresh::of_tree(subject.tree, &self.earlier.files),
                },
                _ => None,
            })
            .collect();
        let decide = |(index, (subject, digest)): (usize, (&'p Subject<'p>, Option<String>))| {
            if subject.is_refused {
                return Job::Done(Outcome::Refused);
            }
            if let Some((artifact, tree)) = subject.kept {
                return Job::Done(Outcome::Stands(artifact.clone(), tree.cloned()));
            }
            let Some(digest) = digest else {
                return match subject.image {
                    Some((image, archive)) => Job::Image(subject, image, archive, None),
                    None => Job::Pack(subject, None),
                };
            };
            if let Some((tree, artifact)) = subject.left
                && tree == Some(&digest)
            {
                return Job::Done(Outcome::Stands(artifact.clone(), Some(digest)));
            }
            if let Some((image, archive)) = subject.image {
                return Job::Image(subject, image, archive, Some(digest));
            }
            match same.get(&digest) {
                Some(first) => Job::Copy(*first, subject, Some(digest)),
                None => {
                    same.insert(digest.clone(), index);
                    Job::Pack(subject, Some(digest))
                }
            }
        };
        subjects.iter().zip(digests).enumerate().map(decide).collect()
    }

    fn target(&self, subject: &Subject<'_>) -> PathBuf {
        self.session.options.out_dir.join(zip_name(subject.name))
    }

    fn pack(&self, job: &Job<'_>, task: &Task<'_>) -> Option<Result<Packed>> {
        let Job::Pack(subject, _) = job else { return None };
        let name = subject.name;
        task.detail(name.to_owned());
        let known = Known { entries: &self.entries, files: &self.earlier.files };
        let packed = pack::pack_with(subject.tree, &self.target(subject), task, Some(known));
        let packed = packed.map(|packed| named(packed, name));
        let what = if subject.is_layer { "layer" } else { "function" };
        Some(packed.map_err(|e| e.context(format!("{what} `{name}`"))))
    }

    fn stage(&self, job: &Job<'_>, task: &Task<'_>) -> Result<Option<StagedImage>> {
        let Job::Image(subject, image, archive, _) = job else { return Ok(None) };
        let staged = StagedImage::make(
            image,
            *archive,
            subject.name,
            subject.tree.files(),
            self.session,
            &self.earlier.files,
            task,
        );
        staged.map(Some).map_err(|e| e.context(format!("function `{}`", subject.name)))
    }

    fn outcomes(
        &self,
        jobs: Vec<Job<'_>>,
        mut made: Vec<Option<Packed>>,
        images: Vec<Option<StagedImage>>,
    ) -> Result<Vec<Outcome>> {
        // Copies first, while what they are copies of is still where it was made.
        for (index, job) in jobs.iter().enumerate() {
            if let Job::Copy(first, subject, _) = job
                && let Some(original) = &made[*first]
            {
                made[index] = Some(named(copy(original, &self.target(subject))?, subject.name));
            }
        }
        let outcome =
            |((job, packed), image): ((Job<'_>, Option<Packed>), Option<StagedImage>)| match (job, packed, image) {
                (Job::Done(outcome), ..) => outcome,
                (Job::Pack(_, digest) | Job::Copy(_, _, digest), Some(packed), _) => {
                    Outcome::Made(Box::new(packed), digest)
                }
                (Job::Image(.., digest), _, Some(image)) => Outcome::Image(Box::new(image), digest),
                _ => Outcome::Refused,
            };
        Ok(jobs.into_iter().zip(made).zip(images).map(outcome).collect())
    }

    /// What the rules say of finished zips; one that Lambda would refuse gets no name.
    fn judge(&self, subjects: &[Subject<'_>], outcomes: Vec<Outcome>) -> (Vec<Outcome>, Vec<Finding>) {
        let mut found = Vec::new();
        let judge = |(subject, outcome): (&Subject<'_>, Outcome)| {
            let zip = outcome.artifact().filter(|artifact| !images::is_layout(&artifact.path));
            let Some(bytes) = zip.map(|artifact| artifact.bytes) else { return outcome };
            let findings = check::check_zip_size(bytes).into_iter().map(|finding| match subject.is_layer {
                true => finding.layer(subject.name),
                false => finding.function(subject.name),
            });
            let findings = self.project.checks.apply(findings.collect());
            let refused = findings.iter().any(|finding| finding.level == Level::Error);
            found.extend(findings);
            if refused { Outcome::Refused } else { outcome }
        };
        let judged = subjects.iter().zip(outcomes).map(judge).collect();
        (judged, found)
    }
}

/// With the path from the output folder, in which nested stacks have folders of their own.
fn named(packed: Packed, name: &str) -> Packed {
    Packed { artifact: Artifact { path: zip_name(name), ..packed.artifact }, ..packed }
}

/// The same zip for another function.
fn copy(original: &Packed, target: &Path) -> Result<Packed> {
    let mut file = AtomicFile::create(target)?;
    let mut from = original.file.file();
    from.rewind()
        .and_then(|()| io::copy(&mut from, &mut file.file()))
        .and_then(|_| file.flush())
        .map_err(|e| Error::io("write", target, &e))?;
    Ok(Packed { file, artifact: original.artifact.clone(), read: original.read.clone() })
}

impl Outcome {
    fn artifact(&self) -> Option<&Artifact> {
        match self {
            Self::Refused => None,
            Self::Stands(artifact, _) => Some(artifact),
            Self::Made(packed, _) => Some(&packed.artifact),
            Self::Image(image, _) => Some(&image.artifact),
        }
    }

    /// Gives the zip its final name, or takes that from an older one. Also the digest of what is in it, and the zip as it is
    /// left, when the next build may know it.
    fn settle(self, name: &str, out_dir: &Path, earlier: &Earlier) -> Result<Option<(Artifact, Option<Left>)>> {
        let path = out_dir.join(zip_name(name));
        let (artifact, tree, as_planned) = match self {
            Self::Refused => {
                let _ = fs::remove_file(path);
                images::remove(name, out_dir);
                return Ok(None);
            }
            Self::Stands(artifact, tree) => {
                let image = images::is_layout(&artifact.path);
                // What is known of its files stays.
                let kept = earlier.state.function(name).filter(|_| image);
                let left = match kept {
                    Some(kept) => Some(Left { zip: kept.zip, image: kept.image.clone(), tree }),
                    None => Stat::of(&path).map(|zip| Left { zip, image: Vec::new(), tree }),
                };
                return Ok(Some((artifact, left)));
            }
            Self::Image(image, tree) => {
                let _ = fs::remove_file(path);
                let as_planned =
                    image.read.iter().all(|(path, digest)| earlier.files.digest(path).as_ref() == Some(digest));
                let (artifact, files) = image.finish(out_dir)?;
                let first = files.first().filter(|_| as_planned).map(|(_, stat)| *stat);
                return Ok(Some((artifact, first.map(|zip| Left { zip, image: files, tree }))));
            }
            Self::Made(packed, tree) => {
                let Packed { file, artifact, read } = *packed;
                file.commit()?;
                images::remove(name, out_dir);
                // What was packed is what was looked at, unless somebody has written to it in between.
                let as_planned = read.iter().all(|(path, digest)| earlier.files.digest(path).as_ref() == Some(digest));
                (artifact, tree, as_planned)
            }
        };
        let left = Stat::of(&path).filter(|_| as_planned).map(|zip| Left { zip, image: Vec::new(), tree });
        Ok(Some((artifact, left)))
    }

    /// See [`Outcome::settle`]; and what the next build may know of a function.
    pub(super) fn finish(
        self,
        function: &PlannedFunction,
        out_dir: &Path,
        earlier: &Earlier,
    ) -> Result<Option<(Artifact, Option<Kept>)>> {
        let Some((artifact, left)) = self.settle(&function.spec.name, out_dir, earlier)? else { return Ok(None) };
        if let Some(kept) = &function.kept {
            return Ok(Some((artifact, Some((**kept).clone()))));
        }
        let kept = left.map(|left| {
            let mut kept = Kept {
                own: function.trace.own.clone(),
                read: Vec::new(),
                facts: Vec::new(),
                asked_at: None,
                is_traced: false,
                tree: left.tree,
                zip: left.zip,
                image: left.image,
                artifact: artifact.clone(),
                packages: function.packages.iter().map(kept_package).collect(),
                layers: function.layers.clone(),
                layers_bytes: function.layers_bytes,
                notes: function.notes.clone(),
                resolved_by: function.resolved_by.clone(),
                findings: function.trace.findings.clone(),
            };
            kept.trace(function.trace.inputs.as_ref(), &earlier.files);
            kept
        });
        Ok(Some((artifact, kept)))
    }

    /// The same of a layer.
    pub(super) fn finish_layer(
        self,
        layer: &PlannedLayer,
        out_dir: &Path,
        earlier: &Earlier,
    ) -> Result<Option<(Artifact, Option<KeptLayer>)>> {
        let Some((artifact, left)) = self.settle(&layer.name, out_dir, earlier)? else { return Ok(None) };
        if let Some(kept) = &layer.kept {
            return Ok(Some((artifact, Some((**kept).clone()))));
        }
        let kept =
            left.map(|left| KeptLayer { tree: left.tree, zip: Some((left.zip, artifact.clone())), ..keep(layer) });
        Ok(Some((artifact, kept)))
    }
}

/// A zip as it was left.
struct Left {
    zip: Stat,
    image: Vec<(PathBuf, Stat)>,
    tree: Option<String>,
}

fn kept_package(package: &super::PlannedPackage) -> KeptPackage {
    let super::PlannedPackage { name, version, bytes, layer, is_native } = package.clone();
    KeptPackage { name, version, bytes, layer, is_native }
}

/// What the next build may know of a layer, its zip apart.
pub(super) fn keep(layer: &PlannedLayer) -> KeptLayer {
    KeptLayer {
        arn: layer.arn.clone(),
        is_own: layer.is_own,
        runtimes: layer.runtimes.clone(),
        architectures: layer.architectures.clone(),
        packages: layer.packages.iter().map(kept_package).collect(),
        users: layer.users.clone(),
        unzipped_bytes: layer.unzipped_bytes,
        content: layer.content.clone(),
        tree: None,
        zip: None,
        findings: layer.findings.clone(),
    }
}
