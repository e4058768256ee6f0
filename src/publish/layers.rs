//! Layer versions: looked up by what is in them, published only when they are not there, and cleared away when no function
//! has them any more.
//!
//! A layer that packages were split into has a name made of its contents; a layer of the project's own keeps its name, and
//! its description carries the digest. So a version that is there is found without a state of our own, from any machine.

use std::collections::BTreeSet;
use std::path::PathBuf;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{Architecture, FunctionVersion, LayerVersionContentInput, LayerVersionsListItem, Runtime};

use crate::aws::Aws;
use crate::aws::problem::{Call, Problem, told};
use crate::error::{Error, Result};
use crate::fsio;
use crate::lambda::ZIP_DIRECT_LIMIT;

/// What descriptions of our layers begin with; the digest of the entries follows.
const MARK: &str = "cargo-lambda-pack sha256:";
/// Hexadecimal digits at the end of the name of a layer that packages were split into.
const DIGITS: usize = 16;

/// A layer to be published.
#[derive(Debug, Clone)]
pub struct Layer<'a> {
    /// Its name.
    pub name: &'a str,
    /// SHA-256 of its entries, in hexadecimal.
    pub content: &'a str,
    /// Runtimes that it is for.
    pub runtimes: &'a [String],
    /// Processors that it is for.
    pub architectures: Vec<&'static str>,
    /// Where its zip is.
    pub zip: Zip<'a>,
}

/// Where a layer's zip is.
#[derive(Debug, Clone)]
pub enum Zip<'a> {
    /// On disk, small enough for a request.
    Disk(PathBuf),
    /// In S3.
    S3 {
        /// The bucket.
        bucket: &'a str,
        /// The key.
        key: &'a str,
        /// The version, when the bucket keeps versions.
        version: Option<&'a str>,
    },
}

/// A version of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Its ARN.
    pub arn: String,
    /// Whether it was published now, and not there already.
    pub published: bool,
}

/// The layers of an account in a region.
pub struct Layers<'a> {
    aws: &'a Aws,
    client: Client,
}

impl<'a> Layers<'a> {
    /// The layers that these credentials reach.
    pub fn new(aws: &'a Aws) -> Self {
        Self { aws, client: aws.lambda() }
    }

    fn call(&self, doing: String, actions: &[&'static str], arn: String) -> Call {
        Call {
            doing,
            actions: actions.to_vec(),
            arn,
            bucket: String::new(),
            region: self.aws.region().to_owned(),
            kms_key: None,
            expected_owner: None,
            attempts: self.aws.attempts(),
        }
    }

    fn arn(&self, name: &str) -> String {
        let region = self.aws.region();
        format!("arn:{}:lambda:{region}:*:layer:{name}", crate::aws::partition(region))
    }

    /// The version that holds the same, or a new one.
    ///
    /// # Errors
    /// When Lambda refuses, or a zip cannot be read.
    pub fn ensure(&self, layer: &Layer<'_>) -> Result<Version> {
        if let Some(arn) = self.find(layer)? {
            return Ok(Version { arn, published: false });
        }
        Ok(Version { arn: self.publish(layer)?, published: true })
    }

    /// The newest version whose description has the digest.
    fn find(&self, layer: &Layer<'_>) -> Result<Option<String>> {
        let description = describe(layer.content);
        let versions = self.versions(layer.name)?;
        let same = versions.into_iter().find(|version| version.description() == Some(&description));
        Ok(same.and_then(|version| version.layer_version_arn().map(str::to_owned)))
    }

    /// All versions of a layer, the newest first; none when there is no such layer.
    fn versions(&self, name: &str) -> Result<Vec<LayerVersionsListItem>> {
        let call = self.call(format!("list versions of layer `{name}`"), &["lambda:ListLayerVersions"], self.arn(name));
        let mut out = Vec::new();
        let mut marker = None;
        loop {
            let request = self.client.list_layer_versions().layer_name(name).set_marker(marker).send();
            let page = match self.aws.block_on(request) {
                // Source: ListLayerVersions in the Lambda API model.
                Err(error) if Problem::of(&error).is("ResourceNotFoundException") => return Ok(out),
                answer => told(answer, &call)?,
            };
            marker = page.next_marker().filter(|marker| !marker.is_empty()).map(str::to_owned);
            out.extend(page.layer_versions.unwrap_or_default());
            if marker.is_none() {
                return Ok(out);
            }
        }
    }

    fn publish(&self, layer: &Layer<'_>) -> Result<String> {
        let content = LayerVersionContentInput::builder();
        let content = match &layer.zip {
            Zip::Disk(path) => content.zip_file(Blob::new(fsio::read_bounded(path, ZIP_DIRECT_LIMIT)?)),
            Zip::S3 { bucket, key, version } => {
                content.s3_bucket(*bucket).s3_key(*key).set_s3_object_version(version.map(str::to_owned))
            }
        };
        let mut request = self
            .client
            .publish_layer_version()
            .layer_name(layer.name)
            .description(describe(layer.content))
            .content(content.build());
        for runtime in layer.runtimes {
            request = request.compatible_runtimes(Runtime::from(runtime.as_str()));
        }
        for architecture in &layer.architectures {
            request = request.compatible_architectures(Architecture::from(*architecture));
        }
        let call =
            self.call(format!("publish layer `{}`", layer.name), &["lambda:PublishLayerVersion"], self.arn(layer.name));
        let answer = told(self.aws.block_on(request.send()), &call)?;
        answer
            .layer_version_arn()
            .map(str::to_owned)
            .ok_or_else(|| Error::failed(format!("Lambda published layer `{}` and named no version", layer.name)))
    }

    /// Versions of layers that packages were split into, with names that begin with `prefix`, that no version of any
    /// function of the account has.
    ///
    /// # Errors
    /// When they may not be listed.
    pub fn unused(&self, prefix: &str) -> Result<Vec<String>> {
        let mut ours = Vec::new();
        for name in self.names()?.iter().filter(|name| is_content_name(name, prefix)) {
            let versions = self.versions(name)?;
            let marked = versions.iter().filter(|v| v.description().is_some_and(|text| text.starts_with(MARK)));
            ours.extend(marked.filter_map(|version| version.layer_version_arn().map(str::to_owned)));
        }
        if ours.is_empty() {
            return Ok(ours);
        }
        let used = self.used()?;
        ours.retain(|arn| !used.contains(arn));
        ours.sort();
        Ok(ours)
    }

    fn names(&self) -> Result<Vec<String>> {
        let call = self.call("list layers".to_owned(), &["lambda:ListLayers"], "*".to_owned());
        let mut out = Vec::new();
        let mut marker = None;
        loop {
            let page = told(self.aws.block_on(self.client.list_layers().set_marker(marker).send()), &call)?;
            marker = page.next_marker().filter(|marker| !marker.is_empty()).map(str::to_owned);
            out.extend(page.layers.unwrap_or_default().into_iter().filter_map(|layer| layer.layer_name));
            if marker.is_none() {
                return Ok(out);
            }
        }
    }

    /// The layers of all versions of all functions.
    fn used(&self) -> Result<BTreeSet<String>> {
        let call = self.call("list functions".to_owned(), &["lambda:ListFunctions"], "*".to_owned());
        let mut out = BTreeSet::new();
        let mut marker = None;
        loop {
            let request = self.client.list_functions().function_version(FunctionVersion::All).set_marker(marker);
            let page = told(self.aws.block_on(request.send()), &call)?;
            marker = page.next_marker().filter(|marker| !marker.is_empty()).map(str::to_owned);
            let functions = page.functions.unwrap_or_default();
            out.extend(functions.into_iter().flat_map(|f| f.layers.unwrap_or_default()).filter_map(|layer| layer.arn));
            if marker.is_none() {
                return Ok(out);
            }
        }
    }

    /// Deletes a version.
    ///
    /// # Errors
    /// When Lambda refuses, or `arn` is none.
    pub fn delete(&self, arn: &str) -> Result<()> {
        let not_one = || Error::failed(format!("`{arn}` is not the ARN of a version of a layer"));
        let (layer, version) = arn.rsplit_once(':').ok_or_else(not_one)?;
        let (_, name) = layer.rsplit_once(':').ok_or_else(not_one)?;
        let version: i64 = version.parse().map_err(|_| not_one())?;
        let call = self.call(format!("delete `{arn}`"), &["lambda:DeleteLayerVersion"], arn.to_owned());
        let request = self.client.delete_layer_version().layer_name(name).version_number(version).send();
        told(self.aws.block_on(request), &call).map(|_| ())
    }
}

fn describe(content: &str) -> String {
    format!("{MARK}{content}")
}

/// `…-deps-` and 16 digits: what `split` calls layers.
fn is_content_name(name: &str, prefix: &str) -> bool {
    let Some((rest, digits)) = name.rsplit_once('-') else { return false };
    name.starts_with(prefix)
        && rest.ends_with("-deps")
        && digits.len() == DIGITS
        && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_made_of_contents_are_ours() {
        for (name, is_ours) in [
            ("python-deps-1f3a9c0d2b4e6f80", true),
            ("team-python-deps-1f3a9c0d2b4e6f80", true),
            ("python-deps-1F3A9C0D2B4E6F80", false),
            ("python-deps-1f3a", false),
            ("common-1f3a9c0d2b4e6f80", false),
        ] {
            assert_eq!(is_content_name(name, ""), is_ours, "{name}");
        }
        assert!(!is_content_name("python-deps-1f3a9c0d2b4e6f80", "team-"));
    }
}
