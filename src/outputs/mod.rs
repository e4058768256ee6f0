//! What a deployment takes in: where each function's code is, in the forms that shells, GitHub Actions, CloudFormation
//! and Terraform read. A manifest flows in, text flows out; nothing is printed here.

mod names;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

pub use names::unique_parameters;
use names::{camel, lower, upper};

use crate::pipeline::{Manifest, ManifestFunction};
use crate::process::quote;

/// Something that a deployment wants to know of a function, with its name in each form. Nothing where the form's
/// consumers do not take it.
struct Fact {
    /// In `API_…` of shells, and in lower case of GitHub Actions.
    variable: &'static str,
    /// In `Api…` of CloudFormation's parameters.
    parameter: Option<&'static str>,
    value: fn(&ManifestFunction) -> Option<&str>,
}

const FACTS: &[Fact] = &[
    Fact { variable: "S3_BUCKET", parameter: Some("S3Bucket"), value: |f| Some(&f.s3.as_ref()?.bucket) },
    Fact { variable: "S3_KEY", parameter: Some("S3Key"), value: |f| Some(&f.s3.as_ref()?.key) },
    Fact {
        variable: "S3_OBJECT_VERSION",
        parameter: Some("S3ObjectVersion"),
        value: |f| f.s3.as_ref()?.version.as_deref(),
    },
    Fact {
        variable: "S3_OBJECT_STORAGE_MODE",
        parameter: Some("S3ObjectStorageMode"),
        value: |f| f.s3.as_ref()?.storage_mode,
    },
    // A template has no place for it: a parameter that it does not declare would be refused.
    Fact { variable: "CODE_SHA256", parameter: None, value: |f| Some(&f.artifact.as_ref()?.code_sha256) },
];

/// Each fact that is there, of each function.
fn facts(manifest: &Manifest) -> impl Iterator<Item = (&ManifestFunction, &'static Fact, &str)> {
    let of = |function| FACTS.iter().filter_map(move |fact| Some((function, fact, (fact.value)(function)?)));
    manifest.functions.iter().flat_map(of)
}

/// `API_S3_KEY=…` lines for a shell to read (`. ./file`).
pub fn env(manifest: &Manifest) -> String {
    facts(manifest).fold(String::new(), |mut out, (function, fact, value)| {
        let _ = writeln!(out, "{}_{}={}", upper(&function.name), fact.variable, quote(value));
        out
    })
}

/// `api_s3_key=…` lines for the file that `GITHUB_OUTPUT` names. Values have no line breaks: a function's name, a
/// bucket, and a prefix without control characters are all that goes into them.
pub fn github(manifest: &Manifest) -> String {
    facts(manifest).fold(String::new(), |mut out, (function, fact, value)| {
        let _ = writeln!(out, "{}_{}={value}", lower(&function.name), fact.variable.to_lowercase());
        out
    })
}

/// CloudFormation's parameters, as `aws cloudformation create-stack --parameters file://…` takes them.
pub fn cloudformation(manifest: &Manifest) -> String {
    let parameters: Vec<Value> = facts(manifest)
        .filter_map(|(function, fact, value)| {
            let key = format!("{}{}", camel(&function.name), fact.parameter?);
            Some(json!({"ParameterKey": key, "ParameterValue": value}))
        })
        .collect();
    pretty(&parameters.into())
}

/// Values of Terraform's variables, as a `.tfvars.json` file has them: an object for each function.
pub fn tfvars(manifest: &Manifest) -> String {
    let variable = |function: &ManifestFunction| {
        let s3 = function.s3.as_ref();
        let mut out = json!({
            "s3_bucket": s3.map(|s3| &s3.bucket),
            "s3_key": s3.map(|s3| &s3.key),
            "s3_object_version": s3.and_then(|s3| s3.version.as_ref()),
            "source_code_hash": function.artifact.as_ref().map(|artifact| &artifact.code_sha256),
            "layers": function.layers,
        });
        if let Some(mode) = s3.and_then(|s3| s3.storage_mode) {
            out["s3_object_storage_mode"] = mode.into();
        }
        out
    };
    let variables: BTreeMap<&str, Value> =
        manifest.functions.iter().map(|function| (function.name.as_str(), variable(function))).collect();
    pretty(&json!(variables))
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).map(|json| json + "\n").unwrap_or_default()
}
