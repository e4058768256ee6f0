//! A bucket, as far as publishing needs it: where it is, whether it keeps versions, what stands under a key, and a new
//! object.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketVersioningStatus, ChecksumMode, ServerSideEncryption};

use super::Parcel;
use super::options::Options;
use crate::aws::body::{self, Progress, while_moving};
use crate::aws::problem::{Call, Problem};
use crate::aws::watch::SignedBody;
use crate::aws::{self, Aws};
use crate::error::{Error, Result};
use crate::report::{Event, duration};

/// The metadata that holds an object's SHA-256, for stores that keep no checksums.
const DIGEST: &str = "lambda-pack-sha256";
/// Who wrote an object.
const WRITER: &str = "lambda-pack-version";

/// Whether a bucket keeps versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versioning {
    /// It does.
    Enabled,
    /// It did; new objects have the version "null".
    Suspended,
    /// It never did.
    Never,
    /// It may not be asked, or does not know the question.
    Unknown,
}

/// What stands under a key.
#[derive(Debug)]
pub(super) enum Found {
    /// The same bytes.
    Same(Option<String>),
    /// Other bytes, of this length.
    Other(u64),
    /// Nothing.
    Absent,
    /// What may not be told: S3 says so of what is not there, too, to those who may not list the bucket.
    Hidden,
}

/// How an upload ended, beside well.
#[derive(Debug)]
pub(super) enum Sent {
    /// It is there now.
    Stored {
        /// Its version.
        version: Option<String>,
        /// The checksum that the service has made of what came.
        sha256: Option<String>,
    },
    /// Somebody was faster.
    Exists,
    /// Somebody does the same at the same time; try again.
    Conflict(Problem),
    /// The store does not know conditions.
    NoConditions,
    /// Nothing moved for so long.
    Silent(Duration),
}

/// A bucket that has been looked at.
pub struct Bucket<'a> {
    aws: &'a Aws,
    client: aws_sdk_s3::Client,
    name: String,
    region: String,
    versioning: Versioning,
    options: &'a Options,
}

impl<'a> Bucket<'a> {
    /// Looks at the bucket: finds the region that it is in, and whether it keeps versions.
    ///
    /// # Errors
    /// When it is not there, or the credentials are refused.
    pub fn open(aws: &'a Aws, name: &str, options: &'a Options) -> Result<Self> {
        let mut bucket = Self {
            aws,
            client: aws.s3(aws.region()),
            name: name.to_owned(),
            region: aws.region().to_owned(),
            versioning: Versioning::Unknown,
            options,
        };
        match aws.block_on(bucket.ask_versioning()) {
            Ok(versioning) => bucket.versioning = versioning,
            Err(problem) => match problem.region.clone().filter(|_| problem.is_elsewhere()) {
                Some(region) if region != bucket.region => {
                    aws.events().send(Event::Debug(format!("`{name}` is in {region}, not in {}", bucket.region)));
                    bucket.client = aws.s3(&region);
                    bucket.region = region;
                    bucket.versioning =
                        aws.block_on(bucket.ask_versioning()).map_err(|problem| bucket.failed_to_look(&problem))?;
                }
                _ => return Err(bucket.failed_to_look(&problem)),
            },
        }
        Ok(bucket)
    }

    /// The way to AWS that it was opened by.
    pub fn aws(&self) -> &Aws {
        self.aws
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The region that it is in.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The address of an object, as `TemplateURL` takes it.
    pub fn url(&self, key: &str) -> String {
        let suffix = if self.region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let of_aws = || format!("https://s3.{}.{suffix}", self.region);
        let endpoint = self.aws.own_endpoint().map_or_else(of_aws, |own| own.trim_end_matches('/').to_owned());
        format!("{endpoint}/{}/{}", self.name, percent_encoded(key))
    }

    /// The region that functions are deployed to.
    pub fn lambda_region(&self) -> &str {
        self.aws.region()
    }

    /// Whether it keeps versions.
    pub fn versioning(&self) -> Versioning {
        self.versioning
    }

    /// Its ARN.
    pub fn arn(&self) -> String {
        format!("arn:{}:s3:::{}", aws::partition(&self.region), self.name)
    }

    async fn ask_versioning(&self) -> Result<Versioning, Problem> {
        let asked = self
            .client
            .get_bucket_versioning()
            .bucket(&self.name)
            .set_expected_bucket_owner(self.options.expected_owner.clone())
            .send()
            .await;
        match asked.as_ref().map_err(Problem::of) {
            Ok(answer) => Ok(match answer.status() {
                Some(BucketVersioningStatus::Enabled) => Versioning::Enabled,
                Some(_) => Versioning::Suspended,
                None => Versioning::Never,
            }),
            Err(problem) if problem.is_denied() || problem.status == Some(501) => {
                let why = problem.code.as_deref().unwrap_or("denied");
                self.aws.events().send(Event::Debug(format!("whether `{}` keeps versions: {why}", self.name)));
                Ok(Versioning::Unknown)
            }
            Err(problem) => Err(problem),
        }
    }

    fn call(&self, doing: String, actions: &[&'static str], key: Option<&str>) -> Call {
        let arn = match key {
            Some(key) => format!("{}/{key}", self.arn()),
            None => self.arn(),
        };
        Call {
            doing,
            actions: actions.to_vec(),
            arn,
            bucket: self.name.clone(),
            region: self.region.clone(),
            kms_key: self.options.kms_key.clone(),
            expected_owner: self.options.expected_owner.clone(),
            attempts: self.aws.attempts(),
        }
    }

    fn failed_to_look(&self, problem: &Problem) -> Error {
        problem.error(&self.call(format!("look at the bucket `{}`", self.name), &["s3:GetBucketVersioning"], None))
    }

    /// What stands under a key, compared with a parcel.
    /// Without `version`, the newest.
    pub(super) async fn find(&self, key: &str, version: Option<&str>, parcel: &Parcel) -> Result<Found> {
        let mut asked = self.head(key, version, true).await;
        // The checksum of an object that KMS has encrypted takes `kms:Decrypt`; its metadata does not.
        if asked.as_ref().is_err_and(Problem::is_denied) {
            asked = self.head(key, version, false).await;
        }
        let problem = match asked {
            Ok(object) => return Ok(object.compared(parcel)),
            Err(problem) => problem,
        };
        match problem.status {
            Some(404) if !problem.is("NoSuchBucket") => Ok(Found::Absent),
            _ if problem.is_denied() => Ok(Found::Hidden),
            _ => Err(problem.error(&self.call(
                format!("look up `{key}` in `{}`", self.name),
                &["s3:GetObject"],
                Some(key),
            ))),
        }
    }

    async fn head(&self, key: &str, version: Option<&str>, checksum: bool) -> Result<Object, Problem> {
        let answer = self
            .client
            .head_object()
            .bucket(&self.name)
            .key(key)
            .set_version_id(version.map(str::to_owned))
            .set_checksum_mode(checksum.then_some(ChecksumMode::Enabled))
            .set_expected_bucket_owner(self.options.expected_owner.clone())
            .send()
            .await
            .map_err(|error| Problem::of(&error))?;
        Ok(Object {
            bytes: answer.content_length().and_then(|n| u64::try_from(n).ok()).unwrap_or_default(),
            sha256: answer.checksum_sha256().map(str::to_owned),
            said: answer.metadata().and_then(|m| m.get(DIGEST)).cloned(),
            version: real_version(answer.version_id()),
        })
    }

    /// Sends a parcel in one request, so that the checksum that S3 keeps is that of the whole zip, which is Lambda's
    /// `CodeSha256`. With `only_new`, only where nothing stands yet.
    pub(super) async fn put(
        &self,
        key: &str,
        parcel: &Parcel,
        file: &Arc<File>,
        progress: &Arc<Progress>,
        only_new: bool,
    ) -> Result<Sent> {
        let request = self
            .client
            .put_object()
            .bucket(&self.name)
            .key(key)
            .body(ByteStream::new(body::of_file(Arc::clone(file), parcel.bytes, Arc::clone(progress))))
            .content_length(i64::try_from(parcel.bytes).unwrap_or(i64::MAX))
            .content_type("application/zip")
            .checksum_sha256(&parcel.code_sha256)
            .metadata(DIGEST, &parcel.sha256)
            .metadata(WRITER, env!("CARGO_PKG_VERSION"))
            .set_if_none_match(only_new.then(|| "*".to_owned()))
            .set_tagging(tagging(&self.options.tags))
            .set_server_side_encryption(self.options.kms_key.as_ref().map(|_| ServerSideEncryption::AwsKms))
            .set_ssekms_key_id(self.options.kms_key.clone())
            .set_expected_bucket_owner(self.options.expected_owner.clone())
            .customize()
            // However long the zip takes: what moves is watched.
            .config_override(
                aws_sdk_s3::config::Config::builder()
                    .timeout_config(TimeoutConfig::builder().disable_operation_attempt_timeout().build()),
            )
            .interceptor(SignedBody::new(&parcel.sha256));
        let Some(answer) = while_moving(request.send(), progress, self.options.silence).await else {
            return Ok(Sent::Silent(self.options.silence));
        };
        let problem = match answer.as_ref().map_err(Problem::of) {
            Ok(answer) => {
                return Ok(Sent::Stored {
                    version: real_version(answer.version_id()),
                    sha256: answer.checksum_sha256().map(str::to_owned),
                });
            }
            Err(problem) => problem,
        };
        // Source: PutObject in the Amazon S3 API reference, `If-None-Match`.
        Ok(match problem.status {
            Some(412) if only_new => Sent::Exists,
            Some(409) if only_new => Sent::Conflict(problem),
            Some(501) if only_new => Sent::NoConditions,
            _ => return Err(problem.error(&self.put_call(key))),
        })
    }

    /// An upload, for messages.
    pub(super) fn put_call(&self, key: &str) -> Call {
        let mut actions = vec!["s3:PutObject"];
        if !self.options.tags.is_empty() {
            actions.push("s3:PutObjectTagging");
        }
        self.call(format!("upload `{key}` to `{}`", self.name), &actions, Some(key))
    }
}

/// What HEAD says of an object.
struct Object {
    bytes: u64,
    sha256: Option<String>,
    said: Option<String>,
    version: Option<String>,
}

impl Object {
    fn compared(self, parcel: &Parcel) -> Found {
        let same = match &self.sha256 {
            Some(sha256) => *sha256 == parcel.code_sha256,
            // The metadata was written with the object, in a request that was refused unless its bytes had that digest.
            None => self.said.as_ref() == Some(&parcel.sha256),
        };
        if same && self.bytes == parcel.bytes { Found::Same(self.version) } else { Found::Other(self.bytes) }
    }
}

/// A version that tells objects apart: what was written while versioning is suspended has "null".
fn real_version(id: Option<&str>) -> Option<String> {
    id.filter(|id| !id.is_empty() && *id != "null").map(str::to_owned)
}

/// Tags as the header takes them: a query string.
fn tagging(tags: &[(String, String)]) -> Option<String> {
    let pair = |(key, value): &(String, String)| format!("{}={}", percent_encode(key), percent_encode(value));
    (!tags.is_empty()).then(|| tags.iter().map(pair).collect::<Vec<_>>().join("&"))
}

fn percent_encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

impl Sent {
    /// Why it has to be tried again, for `-v` and for the error when that does not help.
    pub(super) fn why(&self) -> String {
        match self {
            Self::Stored { .. } => "it is there".to_owned(),
            Self::Exists => "somebody else has written it in the meantime".to_owned(),
            Self::Conflict(problem) => {
                format!("somebody else writes it at the same time ({})", problem.code.as_deref().unwrap_or("409"))
            }
            Self::NoConditions => "the store knows no conditions".to_owned(),
            Self::Silent(silence) => format!("nothing moved for {}", duration(*silence)),
        }
    }
}

/// A key in the path of an address.
fn percent_encoded(key: &str) -> String {
    use std::fmt::Write as _;
    key.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_become_a_query() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(tagging(&[]), None);
        assert_eq!(tagging(&[pair("team", "a b"), pair("ü", "x&y=z")]).as_deref(), Some("team=a%20b&%C3%BC=x%26y%3Dz"));
    }

    #[test]
    fn the_service_checksum_counts_more_than_what_metadata_says() {
        let parcel = Parcel {
            is_layer: false,
            ending: ".zip".into(),
            name: "a".into(),
            path: "a.zip".into(),
            bytes: 3,
            sha256: "00ff".into(),
            code_sha256: "AP8=".into(),
        };
        let object = |sha256: Option<&str>, said: Option<&str>, bytes| Object {
            bytes,
            sha256: sha256.map(str::to_owned),
            said: said.map(str::to_owned),
            version: Some("v".into()),
        };
        let same = |object: Object| matches!(object.compared(&parcel), Found::Same(_));
        assert!(same(object(Some("AP8="), None, 3)));
        assert!(same(object(None, Some("00ff"), 3)));
        assert!(!same(object(Some("xxx="), Some("00ff"), 3)));
        assert!(!same(object(None, Some("00ff"), 4)));
        assert!(!same(object(None, None, 3)));
        assert_eq!((real_version(Some("null")), real_version(Some("v1"))), (None, Some("v1".into())));
    }
}
