//! A function that becomes a container image: `package = "image"`, `base = "…"`, and `image = { … }` for what its config says
//! when it is not what the base and the runtime make of it.

use std::collections::BTreeMap;

use super::config::Scope;
use super::reader::{Located, Section, suggest};
use crate::error::{Error, Result};
use crate::image::BaseReference;

/// What a function becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PackageType {
    /// A zip.
    #[default]
    Zip,
    /// A container image.
    Image,
}

impl PackageType {
    /// The words of the config and of `--package`.
    pub const NAMES: [&'static str; 2] = ["zip", "image"];

    /// From its word.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "zip" => Some(Self::Zip),
            "image" => Some(Self::Image),
            _ => None,
        }
    }
}

/// An archive of an image, beside its folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ImageArchive {
    /// What `docker load` takes: `NAME.docker.tar`.
    Docker,
    /// The layout in a tar: `NAME.oci.tar`.
    Oci,
}

impl ImageArchive {
    /// The words of the config, in the order of the variants.
    pub const NAMES: [&'static str; 2] = ["docker", "oci"];
}

/// How a function's image is made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageSpec {
    /// What it is built on; nothing for AWS's image of the runtime.
    pub base: Option<BaseReference>,
    /// `Entrypoint` instead of the base's.
    pub entrypoint: Option<Vec<String>>,
    /// `Cmd` instead of the handler.
    pub command: Option<Vec<String>>,
    /// `WorkingDir` instead of `/var/task`.
    pub working_dir: Option<String>,
    /// Variables that are part of the image.
    pub environment: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// An archive that is written, too.
    pub archive: Option<ImageArchive>,
}

/// What is written of images.
#[derive(Debug, Clone, Default)]
pub(crate) struct WrittenImage {
    pub(crate) package: Option<PackageType>,
    pub(crate) base: Option<Located<BaseReference>>,
    pub(crate) image: Option<Located<ImageSpec>>,
}

impl WrittenImage {
    /// These where they say something, else `defaults`.
    pub(crate) fn over(self, defaults: &Self) -> Self {
        Self {
            package: self.package.or(defaults.package),
            base: self.base.or_else(|| defaults.base.clone()),
            image: self.image.or_else(|| defaults.image.clone()),
        }
    }

    /// What the function becomes: nothing for a zip. `chosen` is what the command line says.
    pub(crate) fn spec(&self, chosen: Option<PackageType>) -> Option<ImageSpec> {
        match chosen.or(self.package).unwrap_or_default() {
            PackageType::Zip => None,
            PackageType::Image => {
                let written = self.image.as_ref().map(|image| image.value.clone()).unwrap_or_default();
                Some(ImageSpec { base: self.base.as_ref().map(|base| base.value.clone()), ..written })
            }
        }
    }
}

/// Reads `package`, `base` and `image`.
pub(super) fn image(section: &Section<'_>, scope: &Scope<'_>) -> Result<WrittenImage> {
    let package = section.text("package")?.map(|text| {
        PackageType::parse(&text.value).ok_or_else(|| {
            let error = text.error(format!("`package` cannot be `{}`", text.value));
            suggest(error, &text.value, &PackageType::NAMES, "values")
        })
    });
    let base = section.text("base")?.map(|text| match BaseReference::parse(&text.value, scope.base) {
        Ok(value) => Ok(Located { value, at: text.at }),
        Err(error) => {
            let located = text.error(error.message());
            Err(error.hints().iter().fold(located, Error::hint))
        }
    });
    Ok(WrittenImage {
        package: package.transpose()?,
        base: base.transpose()?,
        image: section.section("image")?.map(|section| settings(&section)).transpose()?,
    })
}

fn settings(section: &Section<'_>) -> Result<Located<ImageSpec>> {
    section.only(&["entrypoint", "command", "working-dir", "environment", "labels", "archive"])?;
    let texts = |key: &str| -> Result<Option<Vec<String>>> {
        let given = section.has(key).then(|| section.texts(key)).transpose()?;
        Ok(given.map(|texts| texts.into_iter().map(|text| text.value).collect()))
    };
    let table = |key: &str| -> Result<BTreeMap<String, String>> {
        let mut out = BTreeMap::new();
        if let Some(table) = section.section(key)? {
            for key in table.keys() {
                if let Some(value) = table.text(&key.value)? {
                    out.insert(key.value, value.value);
                }
            }
        }
        Ok(out)
    };
    let archive = section.text("archive")?.map(|text| match text.value.as_str() {
        "docker" => Ok(ImageArchive::Docker),
        "oci" => Ok(ImageArchive::Oci),
        other => {
            let error = text.error(format!("`archive` cannot be `{other}`"));
            Err(suggest(error, other, &ImageArchive::NAMES, "values"))
        }
    });
    let value = ImageSpec {
        base: None,
        entrypoint: texts("entrypoint")?,
        command: texts("command")?,
        working_dir: section.text("working-dir")?.map(|text| absolute(&text)).transpose()?,
        environment: table("environment")?,
        labels: table("labels")?,
        archive: archive.transpose()?,
    };
    Ok(Located { value, at: section.at() })
}

fn absolute(text: &Located<String>) -> Result<String> {
    if text.value.starts_with('/') {
        return Ok(text.value.clone());
    }
    Err(text.error(format!("`working-dir` has to be a path in the image: `{}` does not begin with `/`", text.value)))
}
