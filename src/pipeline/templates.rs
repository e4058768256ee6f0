//! `packaged.yaml`: the project's template with the places of code replaced by where it is now.

use std::fs;
use std::path::Path;

use super::{Manifest, ManifestObject};
use crate::error::{Error, Result};
use crate::fsio;
use crate::pack::Artifact;
use crate::project::Project;
use crate::template::edit::{Edits, Place, relative};
use crate::template::{Code, Template};

/// Its file name in the output folder, whatever the template's own form is.
pub(super) const PACKAGED: &str = "packaged.yaml";

/// Writes it; removes an older one when something is refused, so that nobody deploys half of it.
///
/// # Errors
/// When one place in the template would have to name two zips, or the file cannot be written.
pub(super) fn write(project: &Project, manifest: &Manifest, out_dir: &Path) -> Result<()> {
    let Some(template) = &project.template else { return Ok(()) };
    let path = out_dir.join(PACKAGED);
    let refused = manifest.functions.iter().any(|function| function.artifact.is_none())
        || manifest.layers.iter().any(|layer| layer.artifact.is_none() && layer.arn.is_none());
    if refused {
        return match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("replace", &path, &error)),
            _ => Ok(()),
        };
    }
    fsio::write_atomic(&path, packaged(template, manifest, out_dir)?.as_bytes())
}

fn packaged(template: &Template, manifest: &Manifest, out_dir: &Path) -> Result<String> {
    let mut edits = Edits::default();
    let functions = template.functions.iter().map(|function| {
        let found = manifest.functions.iter().find(|described| described.name == function.id);
        (&function.code, &function.site, found.map(|f| (f.artifact.as_ref(), f.s3.as_ref())))
    });
    let layers = template.layers.iter().map(|layer| {
        let found = manifest.layers.iter().find(|described| described.name == layer.id);
        (&layer.code, &layer.site, found.map(|l| (l.artifact.as_ref(), l.s3.as_ref())))
    });
    for (code, site, found) in functions.chain(layers) {
        if let Some(place) = place(code, found, out_dir) {
            edits.place(&template.document, site, &place);
        }
    }
    edits.apply(&template.document)
}

type Found<'m> = Option<(Option<&'m Artifact>, Option<&'m ManifestObject>)>;

/// Where code is now; nothing when that has not changed.
fn place(code: &Code, found: Found<'_>, out_dir: &Path) -> Option<Place> {
    let Code::Local(path) = code else { return None };
    Some(match found {
        Some((_, Some(object))) => {
            Place::S3 { bucket: object.bucket.clone(), key: object.key.clone(), version: object.version.clone() }
        }
        Some((Some(artifact), None)) => Place::File(artifact.path.clone()),
        // Not selected: what the template has, told from here.
        _ => Place::File(relative(out_dir, path)),
    })
}
