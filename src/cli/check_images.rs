//! `check` of images in registries, and of images that are written anew and pushed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::args::absolute;
use super::check_args::CheckArgs;
use crate::artifact::{self, Question, Verdict};
use crate::aws;
use crate::error::Result;
use crate::finding::Level;
use crate::image::{Blobs, BuiltImage};
use crate::registry::{self, Known, Reference, Registries, Wanted, names_host};
use crate::report::EventSender;
use crate::store::Store;

/// What looks at artifacts wherever they are.
pub(super) struct Artifacts<'a> {
    args: &'a CheckArgs,
    store: Store,
    registries: Registries,
}

impl<'a> Artifacts<'a> {
    pub(super) fn new(args: &'a CheckArgs, events: EventSender) -> Result<Self> {
        let store = Store::new(Store::default_root()?);
        let silence = super::publish::silence()?;
        let patience = silence.min(super::publish::PATIENCE);
        let aws = aws::Settings { region: args.region.clone(), profile: args.profile.clone(), patience };
        if let Some(repository) = &args.repository {
            let wanted = Wanted { repository, create: args.create_repository };
            registry::check_repository(&wanted, args.region.as_deref())?;
        }
        let registries = Registries::new(&store, registry::Settings { offline: false, aws, silence }, events);
        Ok(Self { args, store, registries })
    }

    /// Judges an artifact; with `--fix`, what an image was made into, which is pushed when Lambda would take it.
    pub(super) fn judge(&self, path: &Path, question: &Question<'_>) -> Result<Verdict> {
        let reference = named(path).map(|named| self.found(named)).transpose()?;
        let open = |reference: &Reference| registry::open(&reference.to_string(), &self.registries);
        if !self.args.fix {
            return match &reference {
                Some(reference) => artifact::judge_blobs(open(reference)?.as_ref(), &reference.to_string(), question),
                None => artifact::judge(path, question),
            };
        }
        let blobs = reference.as_ref().map(open).transpose()?;
        let (folder, name, image) = self.fixed(path, reference.as_ref(), blobs, question)?;
        let mut verdict = artifact::judge(&folder, question)?;
        if !verdict.findings.iter().any(|finding| finding.level == Level::Error) {
            verdict.image_uri = self.push(&name, image)?;
        }
        Ok(verdict)
    }

    /// Where an image is: as with `--repository`, a name without a host is one of the account's ECR.
    fn found(&self, named: Named) -> Result<Reference> {
        match named {
            Named::There(reference) => Ok(reference),
            Named::Own(reference) => {
                let wanted = Wanted { repository: &reference.repository.name, create: false };
                let repository = self.registries.target(&wanted)?.repository().clone();
                Ok(Reference { repository, ..reference })
            }
        }
    }

    /// Writes an image anew; gives the folder as whoever called names folders, a name, and the image.
    fn fixed(
        &self,
        path: &Path,
        reference: Option<&Reference>,
        blobs: Option<Arc<dyn Blobs>>,
        question: &Question<'_>,
    ) -> Result<(PathBuf, String, BuiltImage)> {
        let out_dir = self.args.out_dir.as_deref().map_or_else(|| absolute(Path::new(".")), absolute)?;
        let (folder, image) = match (blobs, reference) {
            (Some(blobs), Some(reference)) => {
                artifact::fix_blobs(blobs, &stem(reference), question.architecture, &self.store, &out_dir)?
            }
            _ => artifact::fix(path, question.architecture, &self.store, &out_dir)?,
        };
        let file = folder.file_name().unwrap_or_default();
        let name = file.to_string_lossy();
        let name = name.strip_suffix(".oci").unwrap_or(&name).to_owned();
        Ok((self.args.out_dir.as_deref().unwrap_or(Path::new("")).join(file), name, image))
    }

    /// Pushes an image where that is asked for.
    fn push(&self, name: &str, image: BuiltImage) -> Result<Option<String>> {
        let Some(repository) = &self.args.repository else { return Ok(None) };
        let target = self.registries.target(&Wanted { repository, create: self.args.create_repository })?;
        let tag = self.args.tag.clone().unwrap_or_else(|| registry::tag_of(name, &image.descriptor.digest));
        let pushed = self.registries.push(&target, &image, Some(&tag), &mut Known::default(), name)?;
        Ok(Some(pushed.uri))
    }
}

/// An image in a registry, as it is named.
#[derive(Debug, PartialEq)]
enum Named {
    /// With its host, or as Docker reads it.
    There(Reference),
    /// In the account's ECR: a reference whose host means nothing.
    Own(Reference),
}

/// The image in a registry that is named, when no file has that name.
fn named(path: &Path) -> Option<Named> {
    let text = path.to_str()?;
    if let Some(text) = text.strip_prefix("docker://") {
        return Reference::parse(text).ok().map(Named::There);
    }
    if path.exists() {
        return None;
    }
    // `./folder` and `../folder` are no hosts, and fail to be read as such.
    if names_host(text) {
        return Reference::parse(text).ok().map(Named::There);
    }
    let is_named = text.contains([':', '@']);
    is_named.then(|| Reference::parse(&format!("own.invalid/{text}")).ok().map(Named::Own)).flatten()
}

/// What the folder of an image is called that was in a registry.
fn stem(reference: &Reference) -> String {
    let name = reference.repository.name.rsplit('/').next().unwrap_or_default();
    match &reference.tag {
        Some(tag) => format!("{name}-{tag}"),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_may_be_an_image() {
        for (text, there, own) in [
            ("127.0.0.1:5000/fn:v1", Some("127.0.0.1:5000/fn:v1"), None),
            ("docker://ghcr.io/a/b", Some("ghcr.io/a/b"), None),
            ("docker://python:3.13", Some("docker.io/library/python:3.13"), None),
            ("team/fn:v1", None, Some("team/fn")),
            ("fn:v1", None, Some("fn")),
            ("missing.zip", None, None),
            ("./missing/a.zip", None, None),
            ("../a:b/c", None, None),
            ("Cargo.toml", None, None),
        ] {
            let (is_there, is_own) = match named(Path::new(text)) {
                Some(Named::There(reference)) => (Some(reference.to_string()), None),
                Some(Named::Own(reference)) => (None, Some(reference.repository.name)),
                None => (None, None),
            };
            assert_eq!((is_there.as_deref(), is_own.as_deref()), (there, own), "{text}");
        }
        assert_eq!(stem(&Reference::parse("ghcr.io/a/b:1").unwrap()), "b-1");
    }
}
