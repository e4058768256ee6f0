//! A store that a fleet shares: archives by their digest in a bucket of S3, beside the folder of this machine.
//!
//! It holds archives as their registries gave them, under `[prefix/]archives-v1/<alg>-<hex>`, so that whoever takes one
//! compares it with the digest that the lock names: a bucket that somebody else writes to is no more trusted than a
//! registry. What had to be fetched is written while the build goes on, where nothing stands yet. Whatever fails here is
//! told once and costs only the sharing.

use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::thread::JoinHandle;

use aws_sdk_s3::primitives::ByteStream;

use super::{Algorithm, Digest, hash_file};
use crate::aws::body::{self, Progress};
use crate::aws::problem::{self, Problem};
use crate::aws::watch::SignedBody;
use crate::aws::{Aws, Settings};
use crate::error::{Error, Result};
use crate::report::{Event, EventSender, Reporter, Task, Unit};

const BUCKET_OF_STORE: &str = "archives-v1";

/// A place in S3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The bucket.
    pub bucket: String,
    /// What keys begin with, without slashes at its ends.
    pub prefix: String,
}

impl Place {
    /// Reads `s3://bucket/prefix`.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("s3://")?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let plain = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
        let is_bucket = (3..=63).contains(&bucket.len()) && bucket.bytes().all(plain);
        let is_prefix = !prefix.chars().any(char::is_control) && prefix.len() < 512;
        (is_bucket && is_prefix)
            .then(|| Self { bucket: bucket.to_owned(), prefix: prefix.trim_matches('/').to_owned() })
    }

    fn key(&self, digest: &Digest) -> String {
        let name = format!("{BUCKET_OF_STORE}/{}-{}", digest.algorithm().as_str(), digest.hex());
        if self.prefix.is_empty() { name } else { format!("{}/{name}", self.prefix) }
    }
}

/// The shared store.
pub struct Mirror {
    shared: Arc<Shared>,
    writer: Mutex<Option<Writer>>,
}

struct Shared {
    place: Place,
    settings: Settings,
    aws: OnceLock<Result<Aws>>,
    /// Something has failed: it is not asked again in this run.
    is_off: AtomicBool,
    why: Mutex<Option<Error>>,
}

struct Writer {
    queue: mpsc::Sender<Parcel>,
    thread: JoinHandle<()>,
}

struct Parcel {
    digest: Digest,
    file: File,
    bytes: u64,
}

impl std::fmt::Debug for Mirror {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mirror").field("place", &self.shared.place).finish_non_exhaustive()
    }
}

impl Mirror {
    /// A mirror at this place. Nothing is asked before something is missing.
    pub fn new(place: Place, settings: Settings) -> Self {
        let shared =
            Shared { place, settings, aws: OnceLock::new(), is_off: AtomicBool::new(false), why: Mutex::default() };
        Self { shared: Arc::new(shared), writer: Mutex::default() }
    }

    /// Writes the archive of this digest to `out`, if it is there: at most `most` bytes. The caller compares the digest.
    pub fn get(&self, digest: &Digest, out: &mut dyn Write, most: u64) -> bool {
        let shared = &self.shared;
        let Some(aws) = shared.aws() else { return false };
        let got = aws.block_on(shared.read(aws, digest, out, most));
        got.unwrap_or_else(|error| {
            shared.turn_off(error);
            false
        })
    }

    /// Takes an archive whose bytes have this digest, to be written while the work goes on.
    pub fn put(&self, digest: &Digest, file: File, bytes: u64) {
        if self.shared.is_off.load(Ordering::Relaxed) {
            return;
        }
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let writer = writer.get_or_insert_with(|| {
            let (queue, parcels) = mpsc::channel::<Parcel>();
            let shared = Arc::clone(&self.shared);
            let thread = std::thread::spawn(move || parcels.iter().for_each(|parcel| shared.send(parcel)));
            Writer { queue, thread }
        });
        let _ = writer.queue.send(Parcel { digest: digest.clone(), file, bytes });
    }

    /// Waits for what is still to be written, and tells what has failed.
    pub fn finish(&self, reporter: &dyn Reporter) {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Writer { queue, thread }) = writer {
            let _task = Task::begin(reporter, "Sharing what was fetched", None, Unit::Items);
            drop(queue);
            let _ = thread.join();
        }
        if let Some(error) = self.shared.why.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let place = &self.shared.place;
            let hints: String = error.hints().iter().map(|hint| format!("; {hint}")).collect();
            reporter.event(Event::Warning(format!(
                "the shared store s3://{}/{} was not used: {error}{hints}",
                place.bucket, place.prefix
            )));
        }
    }
}

impl Shared {
    fn aws(&self) -> Option<&Aws> {
        if self.is_off.load(Ordering::Relaxed) {
            return None;
        }
        match self.aws.get_or_init(|| Aws::connect(&self.settings, EventSender::nowhere())) {
            Ok(aws) => Some(aws),
            Err(error) => {
                self.turn_off(error.clone());
                None
            }
        }
    }

    fn turn_off(&self, error: Error) {
        if !self.is_off.swap(true, Ordering::Relaxed) {
            *self.why.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
    }

    async fn read(&self, aws: &Aws, digest: &Digest, out: &mut dyn Write, most: u64) -> Result<bool> {
        let failed = |why: String| Error::failed(format!("Failed to read from `{}`", self.place.bucket)).because(why);
        let key = self.place.key(digest);
        let asked = aws.s3(aws.region()).get_object().bucket(&self.place.bucket).key(key).send().await;
        let mut body = match asked {
            Ok(answer) => answer.body,
            Err(error) => {
                let problem = Problem::of(&error);
                let is_absent = problem.status == Some(404) && !problem.is("NoSuchBucket");
                // Who may not list a bucket hears the same of what is not there.
                if is_absent || problem.is_denied() {
                    return Ok(false);
                }
                return Err(failed(format!("{} {}", problem.code.as_deref().unwrap_or_default(), problem.message)));
            }
        };
        let mut left = most;
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|e| failed(problem::chain(&e)))?;
            let Some(rest) = left.checked_sub(chunk.len() as u64) else { return Ok(false) };
            left = rest;
            out.write_all(&chunk).map_err(|e| failed(e.to_string()))?;
        }
        Ok(true)
    }

    fn send(&self, mut parcel: Parcel) {
        let Some(aws) = self.aws() else { return };
        let failed = |why: String| Error::failed(format!("Failed to write to `{}`", self.place.bucket)).because(why);
        let Ok(sha256) = hash_file(&mut parcel.file, Algorithm::Sha256) else { return };
        let body = body::of_file(Arc::new(parcel.file), parcel.bytes, Progress::new(EventSender::nowhere(), 0));
        let request = aws
            .s3(aws.region())
            .put_object()
            .bucket(&self.place.bucket)
            .key(self.place.key(&parcel.digest))
            .body(ByteStream::new(body))
            .content_length(i64::try_from(parcel.bytes).unwrap_or(i64::MAX))
            .checksum_sha256(sha256.base64())
            .if_none_match("*")
            .customize()
            .interceptor(SignedBody::new(sha256.hex()));
        if let Err(error) = aws.block_on(request.send()) {
            let problem = Problem::of(&error);
            // Somebody else has written the same, or does so now.
            if !matches!(problem.status, Some(409 | 412)) {
                self.turn_off(failed(format!("{} {}", problem.code.as_deref().unwrap_or_default(), problem.message)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_s3() {
        let place = Place::parse("s3://my-bucket/team/store/").unwrap();
        let digest = Digest::from_hex("sha256", &"ab".repeat(32)).unwrap();
        assert_eq!(place.key(&digest), format!("team/store/archives-v1/sha256-{}", "ab".repeat(32)));
        assert_eq!(Place::parse("s3://my-bucket").unwrap().prefix, "");
        for wrong in ["my-bucket/x", "s3://ab", "s3://a b c/x", "https://x/y", "s3://bucket/a\nb"] {
            assert!(Place::parse(wrong).is_none(), "{wrong}");
        }
    }
}
