//! Container images that anyone has made: a layout, or one of the two archives. Layers are read as they lie there; nothing is
//! unpacked to disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::judge::{Kind, Question, Verdict};
use crate::check::{ImageSubject, LayerMedia, Media, check_image, check_media};
use crate::error::{Error, Result};
use crate::finding::{Finding, Overrides, Rule};
use crate::fsio;
use crate::image::{self, Blobs, BuiltImage, Opened};
use crate::lambda::Architecture;
use crate::store::Store;

/// Whether a path is an image, told by its names.
pub(super) fn is_image(path: &Path) -> bool {
    path.join(image::layout::MARKER).is_file() || (path.is_file() && image::is_archive(path))
}

/// Judges an image.
pub(super) fn judge(path: &Path, question: &Question<'_>) -> Result<Verdict> {
    let blobs = image::open_artifact(path)?;
    judge_blobs(blobs.as_ref(), &path.display().to_string(), question)
}

/// Judges an image wherever it is.
///
/// # Errors
/// When it is none, or is damaged.
pub fn judge_blobs(blobs: &dyn Blobs, shown: &str, question: &Question<'_>) -> Result<Verdict> {
    let opened = Opened::read(blobs, question.architecture)?;
    let mut findings = Vec::new();
    let layers = opened
        .layers
        .iter()
        .map(|layer| LayerMedia {
            digest: layer.descriptor.digest.to_string(),
            media_type: &layer.descriptor.media_type,
            compression: layer.compression,
        })
        .collect();
    let media =
        Media { is_index: opened.is_index, manifest: &opened.manifest_type, config: &opened.config_type, layers };
    findings.extend(check_media(&media));
    findings.extend(of_platform(&opened, question.architecture));
    findings.extend(
        opened
            .layers
            .iter()
            .filter_map(|layer| layer.problem.clone())
            .map(|problem| Finding::new(Rule::ImageLayerDamaged, problem, "build or pull the image again")),
    );
    findings.extend(opened.merged.problems.iter().map(|problem| {
        Finding::new(
            Rule::ImageLayerDamaged,
            problem.clone(),
            "build the image again: no layer may lead out of its root",
        )
    }));
    let architecture = question.architecture.or(opened.architecture).unwrap_or(Architecture::X86_64);
    findings.extend(check_image(&ImageSubject {
        architecture,
        starter: &opened.starter,
        merged: &opened.merged,
        layers: opened.layers.len(),
        bytes: opened.layers.iter().map(|layer| layer.plain_bytes).sum(),
        judges_libraries: true,
    }));
    Ok(Verdict {
        path: shown.to_owned(),
        kind: Kind::Image,
        runtime: String::new(),
        architecture,
        guessed: question.architecture.is_none() && opened.architecture.is_none(),
        bytes: Some(opened.layers.iter().map(|layer| layer.descriptor.size).sum()),
        unzipped_bytes: opened.layers.iter().map(|layer| layer.plain_bytes).sum(),
        files: opened.merged.files(),
        image_uri: None,
        findings: Overrides::default().apply(findings),
    })
}

/// `image-architecture`, by what the config says.
fn of_platform(opened: &Opened, wanted: Option<Architecture>) -> Option<Finding> {
    let said = format!("{}/{}", opened.os, opened.arch);
    let (message, hint) = match (opened.os.as_str(), opened.architecture, wanted) {
        ("linux", Some(_), None) => return None,
        ("linux", Some(is), Some(wanted)) if is == wanted => return None,
        ("linux", Some(_), Some(wanted)) => (
            format!(
                "the image says that it is for {said}, and the function is for {wanted}: `Runtime.InvalidEntrypoint: exec format error`"
            ),
            "build it for that processor (`--platform`), or set the function's `Architectures`",
        ),
        _ => (
            format!("the image says that it is for `{said}`; Lambda runs linux/amd64 and linux/arm64"),
            "build it for one of these (`--platform`)",
        ),
    };
    Some(Finding::new(Rule::ImageArchitecture, message, hint))
}

/// Writes an image anew as Lambda takes it, as an OCI layout in `out_dir`; gives the folder and the image.
///
/// # Errors
/// When it is no image, or has none for the processor.
pub fn fix(
    path: &Path,
    architecture: Option<Architecture>,
    store: &Store,
    out_dir: &Path,
) -> Result<(PathBuf, BuiltImage)> {
    let stem = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = stem.strip_suffix(".tar").unwrap_or(&stem);
    let target = target(stem, out_dir);
    if fs::canonicalize(&target).ok().is_some_and(|there| fs::canonicalize(path).ok() == Some(there)) {
        return Err(Error::config(format!("`{}` would be written over itself", path.display()))
            .hint("name another folder with `--out-dir`"));
    }
    fix_blobs(image::open_artifact(path)?, stem, architecture, store, out_dir)
}

fn target(stem: &str, out_dir: &Path) -> PathBuf {
    out_dir.join(if stem.ends_with(".oci") { stem.to_owned() } else { format!("{stem}.oci") })
}

/// The same of an image wherever it is; the folder is named after `stem`.
///
/// # Errors
/// As [`fix`].
pub fn fix_blobs(
    blobs: Arc<dyn Blobs>,
    stem: &str,
    architecture: Option<Architecture>,
    store: &Store,
    out_dir: &Path,
) -> Result<(PathBuf, BuiltImage)> {
    let image = image::rewrite(blobs, architecture, store)?;
    let target = target(stem, out_dir);
    fsio::create_dir_all(out_dir)?;
    let staged = image::layout::stage(&image, &target, store.root())?;
    image::layout::finish(&image, &target, &staged)?;
    Ok((target, image))
}
