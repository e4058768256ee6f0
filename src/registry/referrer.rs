//! What belongs to an image and is no part of it, such as the list of its packages: a manifest of its own whose `subject` is
//! the image, so that the image, its digest and its tag stay what they are.
//!
//! Source: the OCI distribution specification 1.1, "Pushing manifests with subject" and "Referrers tag schema"; the OCI
//! image specification 1.1, "Guidelines for artifact usage".

use bytes::Bytes;
use serde_json::{Value, json};

use super::client::Trouble;
use super::push::{Known, Origin, Parts};
use super::target::Target;
use super::{Registries, client::Client};
use crate::error::{Error, Result};
use crate::image::{Descriptor, OCI_INDEX, OCI_MANIFEST};
use crate::store::{Digest, sha256};

const EMPTY: &str = "application/vnd.oci.empty.v1+json";

impl Registries {
    /// Attaches a document to an image that has been pushed. `media_type` says what it is. Says whether anything was sent.
    ///
    /// # Errors
    /// When the registry refuses. The image is there all the same.
    pub fn attach(&self, target: &Target, subject: &Descriptor, media_type: &str, bytes: &[u8]) -> Result<bool> {
        let (manifest, parts) = parts(subject, media_type, bytes);
        let pushed = self.push_parts(target, &parts, None, &mut Known::default(), "what belongs to it")?;
        let client = &target.client;
        let runtime = std::sync::Arc::clone(&client.network.runtime);
        let listed = runtime.block_on(client.list_referrer(&subject.digest, &manifest))?;
        Ok(pushed.is_new || listed)
    }
}

/// The manifest as an entry of an index, and what is pushed of it.
fn parts(subject: &Descriptor, media_type: &str, bytes: &[u8]) -> (Value, Parts) {
    let describe = |media_type: &str, bytes: &[u8]| Descriptor {
        media_type: media_type.to_owned(),
        digest: sha256(bytes),
        size: bytes.len() as u64,
    };
    let entry = |descriptor: &Descriptor| {
        json!({
            "mediaType": descriptor.media_type,
            "digest": descriptor.digest.to_string(),
            "size": descriptor.size,
        })
    };
    let (config, layer) = (describe(EMPTY, b"{}"), describe(media_type, bytes));
    let document = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": media_type,
        "config": entry(&config),
        "layers": [entry(&layer)],
        "subject": entry(subject),
    })
    .to_string();
    let descriptor = describe(OCI_MANIFEST, document.as_bytes());
    let mut listed = entry(&descriptor);
    listed["artifactType"] = media_type.into();
    let parts = Parts {
        selector: descriptor.digest.to_string(),
        manifest: Bytes::from(document),
        descriptor,
        blobs: vec![
            (layer, Origin::Bytes(Bytes::copy_from_slice(bytes))),
            (config, Origin::Bytes(Bytes::from_static(b"{}"))),
        ],
    };
    (listed, parts)
}

impl Client {
    /// Where the registry keeps no list of what refers to an image, keeps one under the image's tag for it. Says whether it
    /// was changed.
    async fn list_referrer(&self, subject: &Digest, entry: &Value) -> Result<bool> {
        if self.keeps_referrers(subject).await? {
            return Ok(false);
        }
        let tag = format!("{}-{}", subject.algorithm().as_str(), subject.hex());
        let doing = format!("read the list `{tag}` of `{}`", self.repository);
        let there = self
            .retried(&doing, true, async || match self.manifest(&tag, None).await {
                Ok(manifest) => Ok(Some(manifest)),
                Err(Trouble::Problem(problem)) if problem.status == Some(404) => Ok(None),
                Err(trouble) => Err(trouble),
            })
            .await?;
        let mut index: Value = match &there {
            Some(manifest) => serde_json::from_slice(&manifest.bytes)
                .map_err(|_| Error::failed(format!("`{tag}` of `{}` is no list", self.repository)))?,
            None => json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}),
        };
        let Some(entries) = index.get_mut("manifests").and_then(Value::as_array_mut) else {
            return Err(Error::failed(format!("`{tag}` of `{}` is no list", self.repository)).hint(
                "something else has that tag, which the OCI distribution specification keeps for lists of referrers",
            ));
        };
        if entries.iter().any(|other| other["digest"] == entry["digest"]) {
            return Ok(false);
        }
        entries.push(entry.clone());
        let document = index.to_string();
        let descriptor = Descriptor {
            media_type: OCI_INDEX.to_owned(),
            digest: sha256(document.as_bytes()),
            size: document.len() as u64,
        };
        let parts = Parts { manifest: Bytes::from(document), descriptor, selector: tag, blobs: Vec::new() };
        self.put_manifest(&parts).await
    }

    /// Whether the registry lists what refers to an image by itself.
    async fn keeps_referrers(&self, subject: &Digest) -> Result<bool> {
        let doing = format!("ask `{}` what refers to an image", self.repository);
        self.retried(&doing, true, async || {
            let url = self.repository.url(&format!("referrers/{subject}"));
            let answer = self.send(super::client::Request::new("GET", url, self.scopes(true))).await?;
            match answer.status {
                // Source: the specification; a page of something else may also be 200.
                200 => Ok(answer.header("content-type").is_some_and(|text| text.starts_with(OCI_INDEX))),
                408 | 425 | 429 | 500..=599 => Err(self.problem(answer).await.into()),
                _ => Ok(false),
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_names_its_subject_and_depends_on_nothing_else() {
        let subject = Descriptor { media_type: OCI_MANIFEST.to_owned(), digest: sha256(b"image"), size: 5 };
        let (entry, made) = parts(&subject, "application/vnd.cyclonedx+json", b"{\"x\":1}");
        let document: Value = serde_json::from_slice(&made.manifest).unwrap();
        assert_eq!(document["subject"]["digest"], subject.digest.to_string());
        assert_eq!(document["artifactType"], "application/vnd.cyclonedx+json");
        assert_eq!(document["layers"][0]["size"], 7);
        assert_eq!(
            document["config"]["digest"],
            "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        );
        assert_eq!(entry["digest"], made.descriptor.digest.to_string());
        assert_eq!(parts(&subject, "application/vnd.cyclonedx+json", b"{\"x\":1}").1.manifest, made.manifest);
    }
}
