//! Images that a template names as folders or archives: written anew as ones that Lambda takes, and judged. They are pushed
//! with those that are built here.

use std::path::{Path, PathBuf};

use super::Session;
use crate::artifact::{self, Question};
use crate::error::Result;
use crate::finding::Finding;
use crate::fsio;
use crate::image;
use crate::lambda::Architecture;
use crate::project::Project;
use crate::template::{Code, Template};

/// An image of a function of a template.
pub(super) struct ReadyImage<'t> {
    /// The function.
    pub(super) function: &'t str,
    path: &'t Path,
    architecture: Architecture,
}

/// All of them, those of nested stacks among them.
pub(super) fn all(project: &Project) -> Vec<ReadyImage<'_>> {
    let mut out = Vec::new();
    if let Some(template) = &project.template {
        collect(template, &mut out);
    }
    out
}

fn collect<'t>(template: &'t Template, out: &mut Vec<ReadyImage<'t>>) {
    for function in &template.functions {
        let Code::Image(path) = &function.code else { continue };
        let architecture = function.architecture.as_deref().and_then(Architecture::parse);
        let architecture = architecture.unwrap_or(Architecture::X86_64);
        out.push(ReadyImage { function: &function.id, path, architecture });
    }
    template.stacks.iter().for_each(|stack| collect(&stack.template, out));
}

/// The layout that the image of a function is written into.
pub(super) fn folder(out_dir: &Path, function: &str) -> PathBuf {
    out_dir.join(format!("{function}.oci"))
}

/// Writes each as a layout into the output folder; gives what Lambda would say of it.
///
/// # Errors
/// When one is no image, or cannot be written.
pub(super) fn make(project: &Project, session: Session<'_>) -> Result<Vec<Finding>> {
    let out_dir = &session.options.out_dir;
    let mut findings = Vec::new();
    for image in all(project) {
        if let Some(parent) = folder(out_dir, image.function).parent() {
            fsio::create_dir_all(parent)?;
        }
        let blobs = image::open_artifact(image.path)?;
        let (folder, _) = artifact::fix_blobs(blobs, image.function, Some(image.architecture), session.store, out_dir)
            .map_err(|error| error.context(format!("the image of function `{}`", image.function)))?;
        let question = Question {
            runtime: None,
            architecture: Some(image.architecture),
            handler: None,
            layer: false,
            today: session.options.today,
        };
        let found = artifact::judge(&folder, &question)?.findings;
        findings.extend(found.into_iter().map(|finding| finding.function(image.function)));
    }
    Ok(project.checks.apply(findings))
}
