//! One zip on its way into a bucket: looked up first, sent when it is not there, and never believed to be there before the
//! service says so.

use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::Duration;

use super::bucket::{Bucket, Found, Sent, Versioning};
use super::options::{KeyStyle, Options};
use super::{Parcel, Stored};
use crate::aws::body::Progress;
use crate::error::{Error, Result};
use crate::report::{Event, EventSender};

/// How often an upload is begun anew after a conflict or a silence. Answers of the service such as 500 and 503 have the
/// client's own count.
const ATTEMPTS: u32 = 4;

/// Brings a parcel into the bucket.
pub(super) async fn upload(
    bucket: &Bucket<'_>,
    parcel: &Parcel,
    options: &Options,
    events: &EventSender,
    task: u64,
) -> Result<Stored> {
    let key = options.key(&parcel.name, &parcel.sha256, &parcel.ending);
    let progress = Progress::new(events.clone(), task);
    let upload = Upload { bucket, parcel, options, events, key: &key, progress };
    let file = Arc::new(upload.opened()?);
    let mut conditions = options.key == KeyStyle::Content;
    for attempt in 1..=ATTEMPTS {
        let keeps_versions = bucket.versioning() == Versioning::Enabled;
        let (only_new, hidden) = match upload.bucket.find(&key, None, parcel).await? {
            // Written before the bucket kept versions: it gets one now.
            Found::Same(None) if keeps_versions => (false, false),
            Found::Same(version) => {
                upload.progress.finished(parcel.bytes);
                return upload.stored(version, attempt > 1);
            }
            Found::Absent => (conditions, false),
            Found::Hidden => {
                upload.tell_hidden();
                (conditions, true)
            }
            Found::Other(bytes) => {
                upload.may_replace(bytes)?;
                (false, false)
            }
        };
        let sent = upload.bucket.put(&key, parcel, &file, &upload.progress, only_new).await?;
        match sent {
            Sent::Stored { version, sha256 } => {
                upload.verify(sha256.as_deref(), version.as_deref(), hidden).await?;
                return upload.stored(version, true);
            }
            // What is there now may be readable, although that nothing was there was not.
            Sent::Exists if hidden && matches!(upload.bucket.find(&key, None, parcel).await?, Found::Hidden) => {
                return Err(upload.unreadable());
            }
            Sent::NoConditions => conditions = false,
            Sent::Exists | Sent::Conflict(_) | Sent::Silent(_) if attempt == ATTEMPTS => {
                return Err(upload.failed(&format!("{} ({ATTEMPTS} times)", sent.why())));
            }
            Sent::Exists => {}
            Sent::Conflict(_) | Sent::Silent(_) => tokio::time::sleep(pause(attempt)).await,
        }
        events.send(Event::Debug(format!("`{key}`: {}; looking again", sent.why())));
    }
    Err(upload.failed("it could not be written"))
}

struct Upload<'a> {
    bucket: &'a Bucket<'a>,
    parcel: &'a Parcel,
    options: &'a Options,
    events: &'a EventSender,
    key: &'a str,
    progress: Arc<Progress>,
}

impl Upload<'_> {
    fn opened(&self) -> Result<File> {
        let path = &self.parcel.path;
        let file = File::open(path).map_err(|e| Error::io("read", path, &e))?;
        let bytes = file.metadata().map_err(|e| Error::io("read", path, &e))?.len();
        if bytes == self.parcel.bytes {
            return Ok(file);
        }
        Err(Error::failed(format!("`{}` has {bytes} bytes, and {} were packed", path.display(), self.parcel.bytes))
            .hint("another program has changed it meanwhile; run the same command again"))
    }

    fn stored(&self, version: Option<String>, sent: bool) -> Result<Stored> {
        if version.is_none() && self.options.storage == super::StorageMode::Reference {
            return Err(self
                .failed("the bucket gave it no version, and S3ObjectStorageMode REFERENCE needs S3ObjectVersion")
                .hint("enable versioning of the bucket"));
        }
        Ok(Stored { key: self.key.to_owned(), version, sent })
    }

    /// Other bytes stand under the key. By name that is what an update is; by content it is a fault, which a bucket that
    /// keeps versions survives.
    fn may_replace(&self, bytes: u64) -> Result<()> {
        if self.options.key == KeyStyle::Name {
            return Ok(());
        }
        if self.bucket.versioning() == Versioning::Enabled {
            self.events.send(Event::Warning(format!(
                "`{}` in `{}` was written by something else: its {bytes} bytes do not have the digest in its name; a new version with the right bytes is added",
                self.key,
                self.bucket.name()
            )));
            return Ok(());
        }
        Err(self
            .failed(&format!("an object with other bytes ({bytes}) stands there, and the bucket keeps no versions"))
            .hint(format!(
                "see who wrote it, then delete it (`aws s3 rm s3://{}/{}`), or use another `--prefix`",
                self.bucket.name(),
                self.key
            )))
    }

    fn tell_hidden(&self) {
        self.events.send(Event::Warning(format!(
            "whether `{}` is in `{}` already may not be read (403), so it is sent; looking it up takes `s3:GetObject` on `{}/*`, and `s3:ListBucket` on the bucket",
            self.key,
            self.bucket.name(),
            self.bucket.arn()
        )));
    }

    fn unreadable(&self) -> Error {
        self.failed("an object stands there already, and neither its digest nor its version may be read").hint(format!(
            "allow `s3:GetObject` on `{}/*` and `s3:ListBucket` on `{}`",
            self.bucket.arn(),
            self.bucket.arn()
        ))
    }

    /// The service's own checksum must be the zip's. A store that gives none is asked what stands there.
    async fn verify(&self, sha256: Option<&str>, version: Option<&str>, hidden: bool) -> Result<()> {
        let expected = &self.parcel.code_sha256;
        let wrong = |got: &str| {
            Err(self
                .failed(&format!("the service's checksum of what it stored is {got}, and the zip's is {expected}"))
                .hint("do not deploy that object; something on the way or the store itself changes bytes"))
        };
        match sha256 {
            Some(got) if got == *expected => Ok(()),
            Some(got) => wrong(got),
            None if hidden => Ok(()),
            None => match self.bucket.find(self.key, version, self.parcel).await? {
                Found::Same(_) | Found::Hidden => Ok(()),
                Found::Other(bytes) => wrong(&format!("that of {bytes} other bytes")),
                Found::Absent => Err(self.failed("the service took it, and then said that nothing is there")),
            },
        }
    }

    fn failed(&self, why: &str) -> Error {
        Error::failed(format!("Failed to {}", self.bucket.put_call(self.key).doing)).because(why)
    }
}

/// Longer with each attempt, and not the same for all who wait for the same thing.
fn pause(attempt: u32) -> Duration {
    let most = 200_u64 << attempt;
    Duration::from_millis(most / 2 + RandomState::new().hash_one(attempt) % (most / 2))
}
