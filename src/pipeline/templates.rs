//! `packaged.yaml`: the project's template with the places of code replaced by where it is now; and the same of nested
//! stacks, each in a folder of its name.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Manifest, ManifestLayer, ManifestObject, ready_images};
use crate::error::{Error, Result};
use crate::finding::Level;
use crate::fsio;
use crate::pack::{self, Artifact};
use crate::project::Project;
use crate::report::{Silent, Task, Unit};
use crate::template::edit::{Edits, Place, relative, value};
use crate::template::grow::{NewLayer, logical_id};
use crate::template::{Code, Form, LocalFile, Template};
use crate::tree::walk;

/// Its file name in the output folder, whatever the template's own form is.
pub(super) const PACKAGED: &str = "packaged.yaml";

/// Where things are that are no functions or layers: by the names of files and nested stacks.
pub(super) type Places = BTreeMap<String, Place>;

/// Writes templates; removes older ones when something is refused, so that nobody deploys half of it.
///
/// # Errors
/// When one place in a template would have to name two zips, or a file cannot be written.
pub(super) fn write(project: &Project, manifest: &Manifest, places: &Places, out_dir: &Path) -> Result<()> {
    let Some(template) = &project.template else { return Ok(()) };
    let writer = Writer { manifest, out_dir, places };
    bundle(project, template, out_dir)?;
    if is_refused(manifest) {
        return writer.remove(template, "");
    }
    writer.write_all(template, "")
}

fn is_refused(manifest: &Manifest) -> bool {
    manifest.findings.iter().any(|finding| finding.level == Level::Error)
        || manifest.functions.iter().any(|function| function.artifact.is_none())
        || manifest.layers.iter().any(|layer| layer.artifact.is_none() && !layer.exists)
}

/// Where a file of a template is on this machine: a folder as the zip that [`bundle`] makes of it.
pub(super) fn on_disk(file: &LocalFile, out_dir: &Path) -> PathBuf {
    if file.path.is_dir() { out_dir.join(format!("{}.zip", file.name)) } else { file.path.clone() }
}

/// Zips folders that are no functions or layers, such as the sources of an application of Elastic Beanstalk: all of the
/// folder but what is never packed.
fn bundle(project: &Project, template: &Template, out_dir: &Path) -> Result<()> {
    for file in template.files.iter().filter(|file| file.path.is_dir()) {
        let skip = [out_dir.to_owned()];
        let walked = walk::walk(&walk::Options {
            root: &file.path,
            project_root: &project.root,
            skip: &skip,
            exclude: &[],
            include: &[],
            replaced: &[],
            filter: None,
            only_include: false,
            probe: false,
        })?;
        if let Some(finding) = walked.findings.iter().find(|finding| finding.level == Level::Error) {
            let what = format!("`{}` cannot be packed: {}", file.path.display(), finding.message);
            return Err(Error::failed(what).hint(finding.hint.clone()));
        }
        let target = on_disk(file, out_dir);
        let task = Task::begin(&Silent, "Packing", None, Unit::Bytes);
        if let Some(folder) = target.parent() {
            fsio::create_dir_all(folder)?;
        }
        pack::pack(&walked.tree, &target, &task)?.file.commit()?;
    }
    template.stacks.iter().try_for_each(|stack| bundle(project, &stack.template, out_dir))
}

/// Nested stacks, the innermost first, each with its name and template.
pub(super) fn nested<'t>(template: &'t Template, out: &mut Vec<(&'t str, &'t Template)>) {
    for stack in &template.stacks {
        nested(&stack.template, out);
        out.push((&stack.id, &stack.template));
    }
}

/// Writes templates of one project.
pub(super) struct Writer<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) out_dir: &'a Path,
    pub(super) places: &'a Places,
}

type Found<'m> = Option<(Option<&'m Artifact>, Option<&'m ManifestObject>)>;

impl Writer<'_> {
    /// The file of the template of a stack; that of the project has no name.
    pub(super) fn file(&self, stack: &str) -> PathBuf {
        if stack.is_empty() { self.out_dir.join(PACKAGED) } else { self.out_dir.join(stack).join(PACKAGED) }
    }

    fn write_all(&self, template: &Template, stack: &str) -> Result<()> {
        for inner in &template.stacks {
            self.write_all(&inner.template, &inner.id)?;
        }
        self.write_one(template, stack)
    }

    /// Writes one template.
    pub(super) fn write_one(&self, template: &Template, stack: &str) -> Result<()> {
        fsio::write_atomic(&self.file(stack), self.packaged(template, stack)?.as_bytes())
    }

    fn remove(&self, template: &Template, stack: &str) -> Result<()> {
        let path = self.file(stack);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("replace", &path, &error));
            }
            _ => {}
        }
        template.stacks.iter().try_for_each(|inner| self.remove(&inner.template, &inner.id))
    }

    fn packaged(&self, template: &Template, stack: &str) -> Result<String> {
        let file = self.file(stack);
        let folder = file.parent().unwrap_or(self.out_dir);
        let mut edits = Edits::default();
        let functions = template.functions.iter().map(|function| {
            let found = self.manifest.functions.iter().find(|described| described.name == function.id);
            (&function.code, &function.site, found.map(|f| (f.artifact.as_ref(), f.s3.as_ref())))
        });
        let layers = template.layers.iter().map(|layer| {
            let found = self.manifest.layers.iter().find(|described| described.name == layer.id);
            (&layer.code, &layer.site, found.map(|l| (l.artifact.as_ref(), l.s3.as_ref())))
        });
        for (code, site, found) in functions.chain(layers) {
            if let Some(place) = self.place(code, found, folder) {
                edits.place(site, &place);
            }
        }
        for function in template.functions.iter().filter(|function| matches!(function.code, Code::Image(_))) {
            let here = || Place::File(relative(folder, &ready_images::folder(self.out_dir, &function.id)));
            edits.place(&function.site, &self.places.get(&function.id).cloned().unwrap_or_else(here));
        }
        for file in &template.files {
            let here = || Place::File(relative(folder, &on_disk(file, self.out_dir)));
            let place = self.places.get(&file.name).cloned().unwrap_or_else(here);
            edits.place(&file.site, &place);
        }
        for inner in &template.stacks {
            let here = || Place::File(relative(folder, &self.file(&inner.id)));
            let place = self.places.get(&inner.id).cloned().unwrap_or_else(here);
            edits.place(&inner.site, &place);
        }
        self.add_layers(template, folder, &mut edits)?;
        edits.apply(&template.document)
    }

    /// Layers that packages were split into: a resource for each, and a reference in each function that has it.
    fn add_layers(&self, template: &Template, folder: &Path, edits: &mut Edits) -> Result<()> {
        let mut added: BTreeMap<&str, NewLayer> = BTreeMap::new();
        for function in &template.functions {
            let Some(described) = self.manifest.functions.iter().find(|described| described.name == function.id) else {
                continue;
            };
            let split =
                self.manifest.layers.iter().filter(|layer| !layer.is_own && described.layers.contains(&layer.name));
            let mut ids = Vec::new();
            for layer in split {
                let Some(place) = self.layer_place(layer, folder) else { continue };
                let new = new_layer(layer, &place, template);
                ids.push(new.id.clone());
                added.insert(&layer.name, new);
            }
            if !ids.is_empty() {
                edits.add_layers(&template.document, &function.site.properties, &ids)?;
            }
        }
        let added: Vec<NewLayer> = added.into_values().collect();
        edits.add_resources(&template.document, &added);
        Ok(())
    }

    fn layer_place(&self, layer: &ManifestLayer, folder: &Path) -> Option<Place> {
        match (&layer.s3, &layer.artifact) {
            (Some(object), _) => {
                let (bucket, key, version) = (object.bucket.clone(), object.key.clone(), object.version.clone());
                Some(Place::S3 { bucket, key, version })
            }
            (None, Some(artifact)) => Some(Place::File(relative(folder, &self.out_dir.join(&artifact.path)))),
            (None, None) => None,
        }
    }

    /// Where code is now; nothing when that has not changed.
    fn place(&self, code: &Code, found: Found<'_>, folder: &Path) -> Option<Place> {
        let Code::Local(path) = code else { return None };
        Some(match found {
            Some((_, Some(object))) => {
                let (bucket, key, version) = (object.bucket.clone(), object.key.clone(), object.version.clone());
                Place::S3 { bucket, key, version }
            }
            Some((Some(artifact), None)) => Place::File(relative(folder, &self.out_dir.join(&artifact.path))),
            // Not selected: what the template has, told from here.
            _ => Place::File(relative(folder, path)),
        })
    }
}

/// A layer as a resource of a template.
fn new_layer(layer: &ManifestLayer, place: &Place, template: &Template) -> NewLayer {
    let is_serverless = template.is_serverless();
    NewLayer {
        id: logical_id(&layer.name),
        name: layer.name.clone(),
        content: value(&template.document, place, if is_serverless { Form::Uri } else { Form::Code }),
        is_serverless,
        runtimes: layer.compatible_runtimes.clone(),
        architectures: layer.compatible_architectures.iter().map(ToString::to_string).collect(),
    }
}
