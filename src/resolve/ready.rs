//! Functions that were built elsewhere, as `path` of a config or a template says: a zip, a jar, a single source file, or a folder
//! that is packed as it is.

use std::path::{Path, PathBuf};

use super::{Application, Context, Own, Request, Resolution, Resolver, Weight};
use crate::artifact;
use crate::error::{Error, Result};
use crate::fresh::Inputs;
use crate::tree::{ArchivePath, Entry, Source, Tree};

/// Its name.
pub(super) const NAME: &str = "ready";

/// See the module.
#[derive(Debug, Clone, Copy)]
pub struct Ready;

impl Resolver for Ready {
    fn name(&self) -> &'static str {
        NAME
    }

    fn weight(&self) -> Weight {
        Weight::Told
    }

    fn own(&self, request: &Request<'_>) -> Own {
        if request.function.ready.is_some() { Own::Nothing } else { Own::Folder(&[]) }
    }

    fn claims(&self, request: &Request<'_>) -> Option<PathBuf> {
        let folder = || request.function.is_built.then(|| request.function.path.clone());
        request.function.ready.clone().or_else(folder)
    }

    fn resolve(&self, requests: &[Request<'_>], context: &Context<'_>) -> Vec<Result<Resolution>> {
        requests.iter().map(|request| resolve_one(request, context)).collect()
    }
}

fn resolve_one(request: &Request<'_>, context: &Context<'_>) -> Result<Resolution> {
    let Some(file) = &request.function.ready else {
        return Ok(Resolution {
            application: Application::Folder { replaced: &[], filter: None },
            inputs: Some(Inputs::default()),
            resolved_by: "the folder as it is".to_owned(),
            ..Resolution::default()
        });
    };
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let inputs = Some(Inputs { files: vec![file.clone()], ..Inputs::default() });
    let (built, findings) = match is_archive(file) {
        true => archive(file, &name, context)?,
        false => (single(file, &name)?, Vec::new()),
    };
    let resolved_by = format!("`{name}` as it is");
    Ok(Resolution { built, findings, inputs, resolved_by, ..Resolution::default() })
}

/// Whether it is to be unpacked: Lambda does so with zips and jars.
pub(crate) fn is_archive(file: &Path) -> bool {
    file.extension().is_some_and(|ending| ending == "zip" || ending == "jar")
}

/// What is in a zip. Its files are kept in the store, packed anew once; links stay links.
fn archive(file: &Path, name: &str, context: &Context<'_>) -> Result<(Tree, Vec<crate::finding::Finding>)> {
    let (tree, findings) = artifact::open_zip(file)?;
    let kept = context.store.adopt_built(file, &format!("`{name}`"), None)?;
    let built = tree
        .iter()
        .filter_map(|(path, entry)| match entry {
            Entry::File { .. } => Some((path.clone(), Entry::member(&kept, kept.find(path.as_str())?))),
            other => Some((path.clone(), other.clone())),
        })
        .collect();
    Ok((built, findings))
}

fn single(file: &Path, name: &str) -> Result<Tree> {
    let size = std::fs::metadata(file).map_err(|e| Error::io("read", file, &e))?.len();
    let path = ArchivePath::new(name).map_err(|problem| Error::config(format!("`{name}` {problem}")).at(file, None))?;
    let entry = Entry::File { executable: false, size, source: Source::Disk(file.to_owned()) };
    Ok([(path, entry)].into_iter().collect())
}
