//! What a build of the project's own leaves: the build runs in a copy of the function's folder, and what it made is kept in
//! the store before the copy goes.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::{Application, Context, Request, Resolution, environment};
use crate::artifact;
use crate::error::{Error, Result};
use crate::finding::Finding;
use crate::fsio::{self, AtomicFile, Scratch};
use crate::lambda::UNZIPPED_LIMIT;
use crate::pack::zip::{Header, Method, ZipWriter};
use crate::process::{Failure, Tool, last_lines};
use crate::report::{Event, Task, Unit};
use crate::tree::walk::{self, Walked};
use crate::tree::{Entry, Source, Tree};

/// Folders that no build needs, and that may be large.
const NOT_COPIED: &[&str] = &[".git", ".hg", ".svn", ".aws-sam"];
/// Variables by which one `make` speaks to another one below it.
const OF_MAKE: &[&str] = &["MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES"];

/// A copy of a function's folder to build in, and an empty folder for what is built.
pub(super) struct Workshop {
    scratch: Scratch,
}

impl Workshop {
    /// Copies the function's folder.
    pub(super) fn open(request: &Request<'_>) -> Result<Self> {
        let workshop = Self { scratch: fsio::scratch_dir()? };
        let copy = fsio::Copy {
            from: &request.function.path,
            root: request.project_root,
            skip: request.skip,
            skip_names: NOT_COPIED,
        };
        copy.run(&workshop.source())?;
        fsio::create_dir_all(&workshop.artifacts())?;
        Ok(workshop)
    }

    /// The copy.
    pub(super) fn source(&self) -> PathBuf {
        self.scratch.path().join("source")
    }

    /// The folder that `ARTIFACTS_DIR` names.
    pub(super) fn artifacts(&self) -> PathBuf {
        self.scratch.path().join("artifacts")
    }

    /// Runs a program of the project. `shown` is how the project wrote it.
    pub(super) fn run(
        &self,
        words: Vec<OsString>,
        shown: &str,
        folder: &Path,
        request: &Request<'_>,
        context: &Context<'_>,
    ) -> Result<()> {
        // Builds complain on either stream: both become one, in order.
        let tool = if cfg!(windows) {
            let mut words = words.into_iter();
            Tool::new(words.next().unwrap_or_default()).args(words)
        } else {
            Tool::new("sh").args(["-c", "exec \"$@\" >&2", "sh"]).args(words)
        };
        let tool = environment::without_shell(tool)
            .cwd(folder)
            .env("ARTIFACTS_DIR", self.artifacts())
            .env("SOURCE_DIR", &request.function.path)
            .env("LAMBDA_FUNCTION", &request.function.name)
            .env("LAMBDA_RUNTIME", request.runtime.id)
            .env("LAMBDA_ARCHITECTURE", request.architecture.as_str());
        let tool = OF_MAKE.iter().fold(tool, |tool, name| tool.env_remove(*name));
        let task = Task::begin(context.reporter, format!("Building {}", request.function.name), None, Unit::Items);
        context.reporter.event(Event::Debug(format!("running `{shown}`")));
        match tool.run_with(&mut |line| task.detail(line.trim())) {
            Ok(_) => Ok(()),
            Err(Failure::NotStarted(error)) => Err(error),
            Err(Failure::Status { error, stderr }) => {
                let status = error.message().rsplit_once(" (").map_or("", |(_, status)| status.trim_end_matches(')'));
                let error = Error::failed(format!("`{shown}` failed ({status})"));
                Err(if stderr.trim().is_empty() { error } else { error.because(last_lines(&stderr, 30)) })
            }
        }
    }

    /// What was left at a path: a folder, or a zip that is unpacked.
    pub(super) fn finish(
        &self,
        made: &Path,
        resolved_by: String,
        request: &Request<'_>,
        context: &Context<'_>,
    ) -> Result<Resolution> {
        let (built, findings) = match made.is_dir() {
            true => keep(made, &request.function.exclude, request, context)?,
            false => unpacked(made, request, context)?,
        };
        Ok(Resolution { application: Application::Nothing, built, findings, resolved_by, ..Resolution::default() })
    }
}

/// Takes a folder's files into the store: by the rules by which a function's own folder is packed, and what a build of a
/// function made for it.
pub(super) fn keep(
    folder: &Path,
    exclude: &[String],
    request: &Request<'_>,
    context: &Context<'_>,
) -> Result<(Tree, Vec<Finding>)> {
    // By its real name: what links in it lead to is compared with that.
    let folder = folder.canonicalize().map_err(|e| Error::io("read", folder, &e))?;
    let Walked { tree, findings, .. } = walk::walk(&walk::Options {
        root: &folder,
        project_root: &folder,
        skip: &[],
        exclude,
        include: &[],
        replaced: &[],
        filter: None,
        only_include: false,
        probe: true,
    })?;
    Ok((store(tree, &format!("what was built of `{}`", request.function.name), context)?, findings))
}

/// The same tree with its files in the store.
pub(super) fn store(tree: Tree, label: &str, context: &Context<'_>) -> Result<Tree> {
    if tree.files() == 0 {
        return Ok(tree);
    }
    let scratch = fsio::scratch_dir()?;
    let zip = scratch.path().join("made.zip");
    write_zip(&tree, &zip)?;
    let (archive, _) = context.store.adopt_made(&zip, label)?;
    let kept = |path: &str, entry: Entry| match entry {
        Entry::File { source: Source::Disk(_), .. } => {
            archive.find(path).map(|index| Entry::member(&archive, index)).unwrap_or(entry)
        }
        other => other,
    };
    Ok(tree.into_iter().map(|(path, entry)| (path.clone(), kept(path.as_str(), entry))).collect())
}

fn write_zip(tree: &Tree, to: &Path) -> Result<()> {
    let mut out = AtomicFile::create(to)?;
    let mut zip = ZipWriter::new(&mut out);
    let mut left = UNZIPPED_LIMIT * 4;
    for (name, entry) in tree.iter() {
        let Entry::File { executable, source: Source::Disk(path), .. } = entry else { continue };
        let bytes = fsio::read_bounded(path, left)?;
        left -= bytes.len() as u64;
        let size = bytes.len() as u64;
        let header = Header {
            name: name.as_str(),
            mode: if *executable { 0o100_755 } else { 0o100_644 },
            method: Method::Stored,
            crc32: crc32fast::hash(&bytes),
            compressed_size: size,
            size,
        };
        zip.add(header, &mut bytes.as_slice()).map_err(|e| Error::io("write", to, &e))?;
    }
    zip.finish().map_err(|e| Error::io("write", to, &e))?;
    out.flush().map_err(|e| Error::io("write", to, &e))?;
    out.commit()
}

fn unpacked(file: &Path, request: &Request<'_>, context: &Context<'_>) -> Result<(Tree, Vec<Finding>)> {
    let (tree, findings) = artifact::open_zip(file)?;
    let kept = context.store.adopt_built(file, &format!("what was built of `{}`", request.function.name), None)?;
    let built = tree
        .iter()
        .filter_map(|(path, entry)| match entry {
            Entry::File { .. } => Some((path.clone(), Entry::member(&kept, kept.find(path.as_str())?))),
            other => Some((path.clone(), other.clone())),
        })
        .collect();
    Ok((built, findings))
}
