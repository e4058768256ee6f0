//! Brings artifacts where a deployment can use them.
//!
//! Zips flow in, where each one is flows out. A zip that fits into a request to Lambda needs nothing; another one becomes
//! an object in S3 ([`upload`]), in a bucket that is looked at first ([`bucket`]). Keys and what may be asked for are in
//! [`options`]. What is there already is not sent again, so every step may be repeated, by anybody, at any time.

mod bucket;
pub mod layers;
mod options;
mod upload;

use std::path::PathBuf;

use futures_util::StreamExt as _;

pub use bucket::{Bucket, Versioning};
pub use options::{KeyStyle, Options, S3Mode, StorageMode};

use crate::error::Error;
use crate::finding::{Finding, Level, Rule};
use crate::lambda;
use crate::report::{Reporter, Task, Unit};

/// Objects that are looked up or sent at once: enough to fill a line, few enough not to be asked to slow down.
const AT_ONCE: usize = 8;

/// A zip that is to be in S3.
#[derive(Debug, Clone)]
pub struct Parcel {
    /// The function, or the layer.
    pub name: String,
    /// Whether it is a layer.
    pub is_layer: bool,
    /// What keys end with: `.zip`, of other files their own.
    pub ending: String,
    /// The zip on disk.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256 in lower-case hexadecimal.
    pub sha256: String,
    /// The same in base64.
    pub code_sha256: String,
}

/// Where a zip is in S3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The key.
    pub key: String,
    /// The version, when the bucket keeps versions.
    pub version: Option<String>,
    /// Whether it was sent now, and not there already.
    pub sent: bool,
}

/// What is wrong with a bucket, before anything is written into it.
pub fn check_bucket(bucket: &Bucket<'_>, options: &Options) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (name, region) = (bucket.name(), bucket.region());
    // Lambda fetches a copied object with the region's own endpoint; a referenced one may be anywhere.
    // Source: "Deploying Lambda functions as .zip file archives", and of REFERENCE "Self-managed S3 code storage".
    if region != bucket.lambda_region() && options.storage == StorageMode::Copy {
        findings.push(Finding::new(
            Rule::CrossRegionBucket,
            format!(
                "Error occurred while GetObject. S3 Error Code: PermanentRedirect. S3 Error Message: The bucket is in this region: {region}. Please use this region to retry the request (`{name}` is in {region}, the functions are in {})",
                bucket.lambda_region()
            ),
            format!("use a bucket in {}, or deploy with `--region {region}`", bucket.lambda_region()),
        ));
    }
    findings.extend(check_versions(bucket, options));
    findings
}

fn check_versions(bucket: &Bucket<'_>, options: &Options) -> Option<Finding> {
    let name = bucket.name();
    let state = match bucket.versioning() {
        Versioning::Enabled => return None,
        Versioning::Suspended => format!("versioning of `{name}` is suspended"),
        Versioning::Never => format!("`{name}` keeps no versions"),
        Versioning::Unknown => format!("whether `{name}` keeps versions may not be read"),
    };
    let unknown = bucket.versioning() == Versioning::Unknown;
    let enable = if unknown {
        format!("allow `s3:GetBucketVersioning` on `{}`", bucket.arn())
    } else {
        format!(
            "enable them: `aws s3api put-bucket-versioning --bucket {name} --versioning-configuration Status=Enabled`"
        )
    };
    let finding = |message, hint| Finding::new(Rule::UnversionedBucket, message, hint);
    if options.key == KeyStyle::Name {
        return Some(
            finding(
                format!("{state}, and with `--key name` only S3ObjectVersion tells two uploads apart: CloudFormation and SAM compare S3Bucket, S3Key and S3ObjectVersion as text and would not see a change"),
                format!("{enable}; or use `--key content`, whose keys change with the bytes"),
            )
            .level(Level::Error),
        );
    }
    // What may not be read is told by the version that an upload gives.
    if unknown {
        return None;
    }
    if options.storage == StorageMode::Reference {
        return Some(
            finding(format!("{state}, and S3ObjectStorageMode REFERENCE needs S3ObjectVersion"), enable)
                .level(Level::Error),
        );
    }
    Some(finding(
        format!(
            "{state}: no S3ObjectVersion is printed (the key changes with the bytes, so a deployment still sees each change)"
        ),
        format!("{enable}; or set `unversioned-bucket = \"ignore\"` in `[checks]`"),
    ))
}

/// Sends what is not there yet, several at a time. After a failure nothing new is begun.
///
/// # Errors
/// One for each zip that failed. What was sent before stays, and is found by the next run.
pub fn send_all(
    bucket: &Bucket<'_>,
    parcels: &[Parcel],
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<Vec<Stored>, Vec<Error>> {
    let total = parcels.iter().map(|p| p.bytes).sum();
    let label = if parcels.len() == 1 { parcels[0].name.clone() } else { format!("{} zips", parcels.len()) };
    let task = Task::begin(reporter, format!("Uploading {label}"), Some(total), Unit::Bytes);
    let failed = std::cell::Cell::new(false);
    let results = bucket.aws().block_on(
        futures_util::stream::iter(parcels.iter().enumerate())
            .map(async |(index, parcel)| {
                if failed.get() {
                    return (index, None);
                }
                let result = upload::upload(bucket, parcel, options, bucket.aws().events(), task.id()).await;
                failed.set(failed.get() || result.is_err());
                let what = if parcel.is_layer { "layer" } else { "function" };
                (index, Some(result.map_err(|e| e.context(format!("{what} `{}`", parcel.name)))))
            })
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<_>>(),
    );
    let mut stored: Vec<Option<Stored>> = vec![None; parcels.len()];
    let mut errors = Vec::new();
    for (index, result) in results {
        match result {
            Some(Ok(one)) => stored[index] = Some(one),
            Some(Err(error)) => errors.push((index, error)),
            None => {}
        }
    }
    errors.sort_by_key(|(index, _)| *index);
    if errors.is_empty() {
        Ok(stored.into_iter().flatten().collect())
    } else {
        Err(errors.into_iter().map(|(_, error)| error).collect())
    }
}

/// Which zips go through S3.
///
/// # Errors
/// When one has to, and no bucket is named.
pub fn chosen(parcels: Vec<Parcel>, options: &Options) -> Result<Vec<Parcel>, Error> {
    let chosen: Vec<Parcel> = parcels.into_iter().filter(|parcel| options.through_s3(parcel.bytes)).collect();
    match chosen.first() {
        Some(first) if options.bucket.is_none() => Err(Error::config(format!(
            "`{}` has {} bytes, and {} with a request: it has to go through S3, and no bucket is named",
            first.path.display(),
            first.bytes,
            lambda::ZIP_DIRECT_MESSAGE.to_lowercase()
        ))
        .hint("name one in the functions' region with `--bucket`")),
        _ => Ok(chosen),
    }
}
