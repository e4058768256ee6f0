//! `manifest.json`: what was packed, for scripts. Everything in it is deterministic but the timings and what the rules say
//! of runtimes' dates.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{Plan, PlannedFunction, PlannedLayer, PlannedPackage, Timings};
use super::{images, sbom};
use crate::finding::Finding;
use crate::lambda::{Architecture, ZIP_DIRECT_LIMIT};
use crate::pack::Artifact;

/// Who wrote the manifest.
pub const GENERATOR: &str = concat!("cargo-lambda-pack ", env!("CARGO_PKG_VERSION"));

/// The whole document.
#[derive(Debug, Clone, Serialize)]
pub struct Manifest {
    /// Version of this document's shape.
    pub schema: u32,
    /// Program and version.
    pub generator: &'static str,
    /// Functions in the order of their names.
    pub functions: Vec<ManifestFunction>,
    /// Layers; empty while functions stand alone.
    pub layers: Vec<ManifestLayer>,
    /// What the rules found.
    pub findings: Vec<Finding>,
    /// Milliseconds of each stage.
    pub timings_ms: TimingsMs,
}

/// One function.
#[derive(Debug, Clone, Serialize)]
pub struct ManifestFunction {
    /// Its name.
    pub name: String,
    /// `Zip` or `Image`.
    pub package_type: &'static str,
    /// Lambda's identifier.
    pub runtime: String,
    /// `x86_64` or `arm64`.
    pub architecture: Architecture,
    /// The handler, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handler: Option<String>,
    /// The zip; absent when Lambda would refuse it, and in a plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Artifact>,
    /// What the zip will have, about. Only in a plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimated_zip_bytes: Option<u64>,
    /// Names of layers, in order.
    pub layers: Vec<String>,
    /// Function and layers unpacked, in bytes.
    pub unzipped_total_bytes: u64,
    /// How it gets to Lambda; absent without an artifact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload: Option<Upload>,
    /// The object in S3; only after `publish`, and only for a zip that went there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3: Option<ManifestObject>,
    /// The image; absent for a zip, when Lambda would refuse it, and in a plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<ManifestImage>,
    /// What is in it, as CycloneDX: a file relative to the manifest. Only with `--sbom`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sbom: Option<String>,
    /// The file that decided the packages.
    pub resolved_by: String,
    /// Packages in the order of their names.
    pub packages: Vec<ManifestPackage>,
}

/// One layer.
#[derive(Debug, Clone, Serialize)]
pub struct ManifestLayer {
    /// Its name, or the ARN of a version that exists and has no other name here.
    pub name: String,
    /// Runtimes that it is for, at most 15; empty when that is not said.
    pub compatible_runtimes: Vec<String>,
    /// Processors that it is for; empty when that is not said.
    pub compatible_architectures: Vec<Architecture>,
    /// The zip; absent when Lambda would refuse it, when the layer exists, and in a plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Artifact>,
    /// Unpacked bytes, when they are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unzipped_bytes: Option<u64>,
    /// How it gets to Lambda; absent without an artifact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload: Option<Upload>,
    /// SHA-256 over names, modes and contents of its entries, which its name carries when packages were split into it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Functions that have it.
    pub functions: Vec<String>,
    /// Packages in it.
    pub packages: Vec<ManifestPackage>,
    /// The object in S3; only after `publish`, and only for a zip that went there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3: Option<ManifestObject>,
    /// What is in it, as CycloneDX: a file relative to the manifest. Only with `--sbom`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sbom: Option<String>,
    /// Its version: that which exists, or after `--publish-layers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arn: Option<String>,
    /// Whether the config names it; else packages were split into it.
    #[serde(skip)]
    pub is_own: bool,
    /// Whether it exists already.
    #[serde(skip)]
    pub exists: bool,
}

/// Where a zip is in S3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ManifestObject {
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// The version; nothing in a bucket that keeps none.
    pub version: Option<String>,
    /// `S3ObjectStorageMode`, when it is not Lambda's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_mode: Option<&'static str>,
}

/// A finished image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ManifestImage {
    /// `REPOSITORY@sha256:…`; only after `publish`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// The digest of its manifest.
    pub digest: String,
    /// The folder of its OCI layout, relative to the manifest.
    pub layout: String,
    /// Bytes of the manifest, the config and all layers.
    pub bytes: u64,
    /// Bytes of all layers unpacked, as far as they are known.
    pub uncompressed_bytes: u64,
    /// An archive of it, relative to the manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive: Option<String>,
}

/// How a zip gets to Lambda.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Upload {
    /// With the request.
    Direct,
    /// Through S3.
    S3,
}

impl Upload {
    /// What the size of a zip decides.
    pub fn of(bytes: u64) -> Self {
        if bytes < ZIP_DIRECT_LIMIT { Self::Direct } else { Self::S3 }
    }
}

/// A package in a function.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ManifestPackage {
    /// Its name in its registry.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its unpacked bytes.
    pub bytes: u64,
    /// The layer that it is in, or `function`.
    #[serde(rename = "in")]
    pub place: String,
    /// `system` for a file that was brought along from one: its name is that of a library or a program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<&'static str>,
}

/// Milliseconds of each stage.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct TimingsMs {
    resolve: u64,
    split: u64,
    check: u64,
    pack: u64,
    upload: u64,
    total: u64,
}

impl From<Timings> for TimingsMs {
    fn from(timings: Timings) -> Self {
        let ms = |d: std::time::Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        Self {
            resolve: ms(timings.resolve),
            split: ms(timings.split),
            check: ms(timings.check),
            pack: ms(timings.pack),
            upload: ms(timings.upload),
            total: ms(timings.total),
        }
    }
}

impl Manifest {
    /// Of a plan and, for each of its functions and layers, the zip that was packed.
    pub fn new(plan: &Plan, artifacts: &[Option<Artifact>], layers: &[Option<Artifact>]) -> Self {
        let functions = plan
            .functions
            .iter()
            .enumerate()
            .map(|(i, function)| {
                let artifact = artifacts.get(i).cloned().flatten();
                if let Some(spec) = &function.spec.image {
                    let image = artifact.map(|artifact| images::described(artifact, spec, &function.spec.name));
                    return ManifestFunction { image, package_type: "Image", ..describe(function) };
                }
                let upload = artifact.as_ref().map(|a| Upload::of(a.bytes));
                ManifestFunction { artifact, upload, ..describe(function) }
            })
            .collect();
        Self {
            schema: 1,
            generator: GENERATOR,
            functions,
            layers: plan
                .layers
                .iter()
                .enumerate()
                .map(|(at, layer)| describe_layer(layer, layers.get(at).cloned().flatten()))
                .collect(),
            findings: plan.findings.clone(),
            timings_ms: plan.timings.into(),
        }
    }

    /// Of a plan that is not packed: sizes of zips are estimates.
    pub fn of_plan(plan: &Plan) -> Self {
        let mut manifest = Self::new(plan, &[], &[]);
        for (described, function) in manifest.functions.iter_mut().zip(&plan.functions) {
            described.estimated_zip_bytes = function.spec.image.is_none().then(|| function.estimated_zip_bytes());
        }
        manifest
    }

    /// Says of everything that is packed where its bill is; gives the names of what that is.
    pub(super) fn name_sboms(&mut self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for function in self.functions.iter_mut().filter(|f| f.artifact.is_some() || f.image.is_some()) {
            function.sbom = Some(sbom::file_name(&function.name));
            names.insert(function.name.clone());
        }
        for layer in self.layers.iter_mut().filter(|layer| layer.artifact.is_some()) {
            layer.sbom = Some(sbom::file_name(&layer.name));
            names.insert(layer.name.clone());
        }
        names
    }

    /// Indented JSON with a line break at the end.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).map(|json| json + "\n").unwrap_or_default()
    }
}

fn packages(packages: &[PlannedPackage], place: &str) -> Vec<ManifestPackage> {
    let mut out: Vec<ManifestPackage> = packages
        .iter()
        .map(|p| ManifestPackage {
            name: p.name.clone(),
            version: p.version.clone(),
            bytes: p.bytes,
            from: p.is_native.then_some("system"),
            place: p.layer.clone().unwrap_or_else(|| place.to_owned()),
        })
        .collect();
    out.sort();
    out
}

fn describe_layer(layer: &PlannedLayer, artifact: Option<Artifact>) -> ManifestLayer {
    ManifestLayer {
        name: layer.name.clone(),
        compatible_runtimes: layer.runtimes.clone(),
        compatible_architectures: layer.architectures.clone(),
        upload: artifact.as_ref().map(|artifact| Upload::of(artifact.bytes)),
        artifact,
        unzipped_bytes: layer.unzipped_bytes,
        content: layer.content.clone(),
        functions: layer.users.clone(),
        packages: packages(&layer.packages, &layer.name),
        s3: None,
        sbom: None,
        // Of one in a template, only its name may be known.
        arn: layer.arn.clone().filter(|arn| arn.starts_with("arn:")),
        is_own: layer.is_own,
        exists: layer.arn.is_some(),
    }
}

fn describe(function: &PlannedFunction) -> ManifestFunction {
    ManifestFunction {
        name: function.spec.name.clone(),
        package_type: "Zip",
        runtime: function.spec.runtime.clone(),
        architecture: function.spec.architecture,
        handler: function.handler.clone(),
        artifact: None,
        estimated_zip_bytes: None,
        layers: function.layers.clone(),
        unzipped_total_bytes: function.unzipped_bytes() + function.layers_bytes,
        upload: None,
        s3: None,
        image: None,
        sbom: None,
        // Without the tool and its version, which are this machine's.
        resolved_by: function.resolved_by.split(" (").next().unwrap_or_default().to_owned(),
        packages: packages(&function.packages, "function"),
    }
}
