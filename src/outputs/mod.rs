//! What a deployment takes in: where each function's code is, in the forms that shells, GitHub Actions, CloudFormation
//! and Terraform read. A manifest flows in, text flows out; nothing is printed here.

mod names;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

pub use names::unique_parameters;
use names::{camel, lower, upper};

use crate::pack::Artifact;
use crate::pipeline::{Manifest, ManifestFunction, ManifestLayer, ManifestObject};
use crate::process::quote;

/// Something that a deployment wants to know of a function or layer, with its name in each form.
struct Fact {
    /// In `API_…` of shells, and in lower case of GitHub Actions.
    variable: &'static str,
    /// In `Api…` of CloudFormation's parameters. Nothing where a template has no place for it: a parameter that it does not
    /// declare would be refused.
    parameter: Option<&'static str>,
    value: String,
}

/// What is there of an object in S3.
fn object(s3: Option<&ManifestObject>) -> Vec<Fact> {
    let Some(s3) = s3 else { return Vec::new() };
    let facts = [
        ("S3_BUCKET", "S3Bucket", Some(s3.bucket.clone())),
        ("S3_KEY", "S3Key", Some(s3.key.clone())),
        ("S3_OBJECT_VERSION", "S3ObjectVersion", s3.version.clone()),
        ("S3_OBJECT_STORAGE_MODE", "S3ObjectStorageMode", s3.storage_mode.map(str::to_owned)),
    ];
    let given = |(variable, parameter, value)| Some(Fact { variable, parameter: Some(parameter), value: value? });
    facts.into_iter().filter_map(given).collect()
}

fn code_sha256(artifact: Option<&Artifact>) -> Option<Fact> {
    let value = artifact?.code_sha256.clone();
    Some(Fact { variable: "CODE_SHA256", parameter: None, value })
}

/// The image with its digest, as Lambda takes it.
fn image_uri(function: &ManifestFunction) -> Option<Fact> {
    let value = function.image.as_ref()?.uri.clone()?;
    Some(Fact { variable: "IMAGE_URI", parameter: Some("ImageUri"), value })
}

/// The versions of a function's layers in order; nothing unless all of them are known.
fn layer_arns<'m>(manifest: &'m Manifest, function: &ManifestFunction) -> Option<Vec<&'m str>> {
    let arn = |name: &String| manifest.layers.iter().find(|layer| layer.name == *name)?.arn.as_deref();
    function.layers.iter().map(arn).collect()
}

/// Names of functions and layers, each with what is known of it.
fn facts(manifest: &Manifest) -> Vec<(&str, Fact)> {
    let mut out = Vec::new();
    for function in &manifest.functions {
        let mut facts = object(function.s3.as_ref());
        facts.extend(code_sha256(function.artifact.as_ref()));
        facts.extend(image_uri(function));
        if let Some(arns) = layer_arns(manifest, function).filter(|arns| !arns.is_empty()) {
            facts.push(Fact { variable: "LAYER_ARNS", parameter: Some("LayerArns"), value: arns.join(",") });
        }
        out.extend(facts.into_iter().map(|fact| (function.name.as_str(), fact)));
    }
    // One that exists has nothing to be told.
    for layer in manifest.layers.iter().filter(|layer| layer.artifact.is_some()) {
        let mut facts = object(layer.s3.as_ref());
        facts.extend(code_sha256(layer.artifact.as_ref()));
        let arn = layer.arn.clone();
        facts.extend(arn.map(|value| Fact {
            variable: "LAYER_VERSION_ARN",
            parameter: Some("LayerVersionArn"),
            value,
        }));
        out.extend(facts.into_iter().map(|fact| (layer.name.as_str(), fact)));
    }
    out
}

/// `API_S3_KEY=…` lines for a shell to read (`. ./file`).
pub fn env(manifest: &Manifest) -> String {
    facts(manifest).iter().fold(String::new(), |mut out, (name, fact)| {
        let _ = writeln!(out, "{}_{}={}", upper(name), fact.variable, quote(&fact.value));
        out
    })
}

/// `api_s3_key=…` lines for the file that `GITHUB_OUTPUT` names. Values have no line breaks: a function's name, a
/// bucket, and a prefix without control characters are all that goes into them.
pub fn github(manifest: &Manifest) -> String {
    facts(manifest).iter().fold(String::new(), |mut out, (name, fact)| {
        let _ = writeln!(out, "{}_{}={}", lower(name), fact.variable.to_lowercase(), fact.value);
        out
    })
}

/// CloudFormation's parameters, as `aws cloudformation create-stack --parameters file://…` takes them. Those of layers that
/// packages were split into are left out: their names change with their contents, and a template names no such parameter.
pub fn cloudformation(manifest: &Manifest) -> String {
    let is_split = |name: &str| manifest.layers.iter().any(|layer| layer.name == name && !layer.is_own);
    let parameters: Vec<Value> = facts(manifest)
        .into_iter()
        .filter(|(name, _)| !is_split(name))
        .filter_map(|(name, fact)| {
            let key = format!("{}{}", camel(name), fact.parameter?);
            Some(json!({"ParameterKey": key, "ParameterValue": fact.value}))
        })
        .collect();
    pretty(&parameters.into())
}

/// Values of Terraform's variables, as a `.tfvars.json` file has them: an object for each function and layer.
pub fn tfvars(manifest: &Manifest) -> String {
    let variable = |function: &ManifestFunction| {
        if let Some(image) = &function.image {
            return json!({ "image_uri": image.uri });
        }
        let s3 = function.s3.as_ref();
        let mut out = json!({
            "s3_bucket": s3.map(|s3| &s3.bucket),
            "s3_key": s3.map(|s3| &s3.key),
            "s3_object_version": s3.and_then(|s3| s3.version.as_ref()),
            "source_code_hash": function.artifact.as_ref().map(|artifact| &artifact.code_sha256),
            "layers": layer_arns(manifest, function).map_or_else(|| json!(function.layers), |arns| json!(arns)),
        });
        if let Some(mode) = s3.and_then(|s3| s3.storage_mode) {
            out["s3_object_storage_mode"] = mode.into();
        }
        out
    };
    let of_layer = |layer: &ManifestLayer| {
        let s3 = layer.s3.as_ref();
        json!({
            "s3_bucket": s3.map(|s3| &s3.bucket),
            "s3_key": s3.map(|s3| &s3.key),
            "s3_object_version": s3.and_then(|s3| s3.version.as_ref()),
            "source_code_hash": layer.artifact.as_ref().map(|artifact| &artifact.code_sha256),
            "arn": layer.arn,
        })
    };
    let built = manifest.layers.iter().filter(|layer| layer.artifact.is_some());
    let variables: BTreeMap<&str, Value> = manifest
        .functions
        .iter()
        .map(|function| (function.name.as_str(), variable(function)))
        .chain(built.map(|layer| (layer.name.as_str(), of_layer(layer))))
        .collect();
    pretty(&json!(variables))
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).map(|json| json + "\n").unwrap_or_default()
}
