//! Manifests and blobs of an image in a registry. What has a digest is kept in the store and not asked for again; what has a
//! tag is asked for once in a run, and offline is what it last was.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use super::client::{ATTEMPTS, Client, Request, Trouble};
use super::problem::Problem;
use super::reference::{Reference, Repository};
use super::{Registries, lock};
use crate::error::{Error, Result};
use crate::image::{
    Blobs, DOCKER_LIST, DOCKER_MANIFEST, Descriptor, MAX_DOCUMENT, OCI_INDEX, OCI_MANIFEST, Place, RawManifest, Wanted,
};
use crate::report::{Task, Unit};
use crate::store::{Digest, NewBlob, sha256};

/// A blob may come in so many parts, as long as each brings something.
const PARTS: u32 = 200;

/// An image in a registry, opened for one reference.
pub struct Remote {
    reference: Reference,
    registries: Registries,
}

impl Remote {
    pub(super) fn new(reference: Reference, registries: Registries) -> Self {
        Self { reference, registries }
    }

    /// Where it is.
    pub fn repository(&self) -> &Repository {
        &self.reference.repository
    }

    pub(super) fn client(&self) -> Result<Arc<Client>> {
        self.registries.client(self.repository())
    }

    /// A blob of the store, if it is there.
    pub(super) fn kept(&self, descriptor: &Descriptor) -> Option<File> {
        let file = self.registries.0.blobs.open(&descriptor.digest)?;
        file.metadata().is_ok_and(|metadata| metadata.len() == descriptor.size).then_some(file)
    }

    /// Digests of the layers of the image that it was opened for, as far as its manifest is in the store.
    pub(super) fn known_layers(&self) -> Vec<Digest> {
        let known = || {
            let bytes = self.registries.0.blobs.document(self.reference.digest.as_ref()?, MAX_DOCUMENT)?;
            let document: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
            let digest = |layer: &serde_json::Value| Digest::parse(layer.get("digest")?.as_str()?);
            Some(document.get("layers")?.as_array()?.iter().filter_map(digest).collect())
        };
        known().unwrap_or_default()
    }

    fn offline(&self, what: &str) -> Error {
        Error::failed(format!("{what} is not in the store, and `--offline` forbids fetching it"))
            .hint("run the same command once without `--offline`")
    }

    fn named(&self) -> Result<RawManifest> {
        let shared = &self.registries.0;
        let name = self.reference.to_string();
        if let Some(digest) = &self.reference.digest {
            return self.by_digest(digest, &name);
        }
        if let Some(known) = lock(&shared.manifests).get(&name) {
            return Ok(known.clone());
        }
        if shared.settings.offline {
            let digest = shared.blobs.last_known(&name).ok_or_else(|| self.offline(&format!("`{name}`")))?;
            return self.by_digest(&digest, &name);
        }
        let manifest = self.fetch_manifest(&self.reference.selector(), None)?;
        shared.blobs.keep_document(&manifest.digest, &manifest.bytes)?;
        shared.blobs.know(&name, &manifest.digest)?;
        lock(&shared.manifests).insert(name, manifest.clone());
        Ok(manifest)
    }

    fn by_digest(&self, digest: &Digest, name: &str) -> Result<RawManifest> {
        let shared = &self.registries.0;
        if let Some(bytes) = shared.blobs.document(digest, MAX_DOCUMENT) {
            let media_type = media_type(&bytes).unwrap_or_else(|| OCI_MANIFEST.to_owned());
            return Ok(RawManifest { digest: sha256(&bytes), bytes, media_type });
        }
        if shared.settings.offline {
            return Err(self.offline(&format!("`{name}`")));
        }
        let manifest = self.fetch_manifest(&digest.to_string(), Some(digest))?;
        shared.blobs.keep_document(digest, &manifest.bytes)?;
        Ok(manifest)
    }

    /// Whether this thread may wait for the network: one that is doing so already may not.
    fn may_wait(&self) -> Result<()> {
        match tokio::runtime::Handle::try_current() {
            Ok(_) => Err(Error::failed(format!("`{}` is read while another request is", self.reference))
                .hint("report this: it is a fault of this program")),
            Err(_) => Ok(()),
        }
    }

    fn fetch_manifest(&self, selector: &str, digest: Option<&Digest>) -> Result<RawManifest> {
        self.may_wait()?;
        let client = self.client()?;
        let task =
            Task::begin(&client.events, format!("Asking {} for an image", client.repository.host), None, Unit::Items);
        task.detail(self.reference.to_string());
        let doing = format!("read the manifest of `{}`", self.reference);
        client.network.runtime.block_on(client.retried(&doing, false, async || client.manifest(selector, digest).await))
    }

    fn fetch(&self, descriptor: &Descriptor) -> Result<()> {
        self.may_wait()?;
        let client = self.client()?;
        let label = format!("Fetching a layer of {}", self.reference);
        let task = Task::begin(&client.events, label, Some(descriptor.size), Unit::Bytes);
        let mut blob = self.registries.0.blobs.fetching(&descriptor.digest)?;
        client.network.runtime.block_on(client.fetch(descriptor, &mut blob, &task))?;
        match blob.finish()? {
            Ok(()) => Ok(()),
            Err(actual) => Err(Error::failed(format!(
                "`{}` of `{}` has the digest {actual}",
                descriptor.digest,
                self.repository()
            ))
            .hint(
                "the registry's copy is damaged, or a proxy answered in its place; do not use it before you know which",
            )),
        }
    }
}

impl Blobs for Remote {
    fn name(&self) -> String {
        self.reference.to_string()
    }

    fn manifest(&self, wanted: Wanted<'_>) -> Result<RawManifest> {
        match wanted {
            Wanted::Named => self.named(),
            Wanted::Child(descriptor) => {
                self.by_digest(&descriptor.digest, &format!("{}@{}", self.repository(), descriptor.digest))
            }
        }
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>> {
        if let Some(file) = self.kept(descriptor) {
            return Ok(Box::new(file));
        }
        if self.registries.0.settings.offline {
            return Err(self.offline(&format!("`{}` of `{}`", descriptor.digest, self.repository())));
        }
        self.fetch(descriptor)?;
        let path = self.registries.0.blobs.path(&descriptor.digest);
        Ok(Box::new(File::open(&path).map_err(|e| Error::io("read", &path, &e))?))
    }

    fn place(&self, descriptor: &Descriptor) -> Option<Place> {
        self.kept(descriptor)?;
        Some(Place::Disk { path: self.registries.0.blobs.path(&descriptor.digest), offset: 0 })
    }

    fn remote(&self) -> Option<&Remote> {
        Some(self)
    }
}

impl Client {
    /// One attempt at a manifest.
    pub(super) async fn manifest(&self, selector: &str, digest: Option<&Digest>) -> Result<RawManifest, Trouble> {
        let url = self.repository.url(&format!("manifests/{selector}"));
        let mut request = Request::new("GET", url, self.scopes(false));
        request.headers.push(("accept", [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST].join(", ")));
        let mut answer = self.send(request).await?;
        if answer.status != 200 {
            return Err(self.problem(answer).await.into());
        }
        let header =
            |name: &str| answer.header(name).map(|value| value.split(';').next().unwrap_or(value).trim().to_owned());
        let (said, announced) = (header("content-type"), header("docker-content-digest"));
        let bytes = answer.bytes(MAX_DOCUMENT, self.network.silence).await.map_err(Problem::unanswered)?;
        let actual = sha256(&bytes);
        let expected = digest.cloned().or_else(|| Digest::parse(&announced?));
        if let Some(expected) = expected {
            let mut hasher = expected.hasher();
            hasher.update(&bytes);
            let got = hasher.finish();
            if got != expected {
                let at = &self.repository;
                return Err(Error::failed(format!("the manifest `{selector}` of `{at}` has the digest {got}, not {expected}"))
                    .hint("the registry's copy is damaged, or a proxy answered in its place; do not use it before you know which")
                    .into());
            }
        }
        let known = |text: &String| [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST].contains(&text.as_str());
        let media_type = said.filter(known).or_else(|| media_type(&bytes)).unwrap_or_else(|| OCI_MANIFEST.to_owned());
        Ok(RawManifest { bytes, media_type, digest: actual })
    }

    /// Fetches a blob; what has come already is not asked for again.
    async fn fetch(&self, descriptor: &Descriptor, blob: &mut NewBlob, task: &Task<'_>) -> Result<()> {
        let doing = format!("fetch `{}` of `{}`", descriptor.digest, self.repository);
        let mut failed = 0;
        for _ in 0..PARTS {
            let before = blob.bytes();
            let problem = match self.fetch_part(descriptor, blob, task).await {
                Ok(()) => return Ok(()),
                Err(Trouble::Final(error)) => return Err(error),
                Err(Trouble::Problem(problem)) => problem,
            };
            // Whoever gets further has not failed.
            failed = if blob.bytes() > before { 1 } else { failed + 1 };
            if failed == ATTEMPTS || !problem.passes() {
                return Err(self.error(&problem, &doing, failed, false));
            }
            self.wait(&problem, &doing, failed).await;
        }
        Err(Error::failed(format!("Failed to {doing}")).because(format!("it came in more than {PARTS} parts")))
    }

    async fn fetch_part(&self, descriptor: &Descriptor, blob: &mut NewBlob, task: &Task<'_>) -> Result<(), Trouble> {
        let mut request =
            Request::new("GET", self.repository.url(&format!("blobs/{}", descriptor.digest)), self.scopes(false));
        if blob.bytes() > 0 {
            request.headers.push(("range", format!("bytes={}-", blob.bytes())));
        }
        let mut answer = self.send(request).await?;
        let mut passed_over = match answer.status {
            200 => blob.bytes(),
            206 if starts_at(answer.header("content-range"), blob.bytes()) => 0,
            206 => return Err(Problem::unanswered("another part of it came than was asked for").into()),
            _ => return Err(self.problem(answer).await.into()),
        };
        while let Some(piece) = answer.piece(self.network.silence).await.map_err(Problem::unanswered)? {
            let skipped = passed_over.min(piece.len() as u64);
            passed_over -= skipped;
            let piece = piece.slice(usize::try_from(skipped).unwrap_or(piece.len())..);
            if blob.bytes() + piece.len() as u64 > descriptor.size {
                let at = &self.repository;
                let what = format!(
                    "`{}` of `{at}` is longer than its manifest says ({} bytes)",
                    descriptor.digest, descriptor.size
                );
                return Err(Error::failed(what).into());
            }
            blob.take(&piece)?;
            task.advance(piece.len() as u64);
        }
        if blob.bytes() < descriptor.size {
            let why = format!("the connection ended at byte {} of {}", blob.bytes(), descriptor.size);
            return Err(Problem::unanswered(why).into());
        }
        Ok(())
    }
}

/// Whether `bytes 5-9/10` starts there.
fn starts_at(range: Option<&str>, offset: u64) -> bool {
    let first = range.and_then(|range| range.trim().strip_prefix("bytes")?.trim_start().split('-').next());
    first.and_then(|first| first.trim().parse::<u64>().ok()) == Some(offset)
}

/// The media type that a document names for itself, or that its shape tells.
fn media_type(bytes: &[u8]) -> Option<String> {
    let document: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    let own = document.get("mediaType").and_then(serde_json::Value::as_str).map(str::to_owned);
    own.or_else(|| document.get("manifests").map(|_| OCI_INDEX.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_start_where_they_say() {
        for (range, offset, is) in [
            (Some("bytes 5-9/10"), 5, true),
            (Some("bytes 0-9/10"), 5, false),
            (Some("bytes */10"), 0, false),
            (Some("5-9"), 5, false),
            (None, 0, false),
        ] {
            assert_eq!(starts_at(range, offset), is, "{range:?}");
        }
    }

    #[test]
    fn documents_say_what_they_are() {
        assert_eq!(media_type(br#"{"mediaType":"x"}"#).as_deref(), Some("x"));
        assert_eq!(media_type(br#"{"manifests":[]}"#).as_deref(), Some(OCI_INDEX));
        assert_eq!(media_type(br#"{"layers":[]}"#), None);
        assert_eq!(media_type(b"x"), None);
    }
}
