//! An image on its way into a repository: what is there is not sent, what may be mounted is mounted, the rest is streamed,
//! and the manifest comes last, so that a tag never names half an image. A second run finds what the first has brought.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;

use super::Registries;
use super::client::{Body, Client, Request, Trouble};
use super::host::Host;
use super::problem::Problem;
use super::reference::Repository;
use super::target::Target;
use super::upload::{Brought, Source, Upload};
use crate::aws::body::Progress;
use crate::error::{Error, Result};
use crate::image::{BuiltImage, Descriptor, Place};
use crate::report::{Event, Task, Unit};
use crate::store::Digest;

/// Blobs that are sent at once: enough to fill a line, few enough for ECR's connections (clowdhaus/ocync#104).
const AT_ONCE: usize = 4;
/// How often a manifest is sent while the registry does not yet see the blobs that it has taken.
const MANIFEST_ATTEMPTS: u32 = 8;

/// How an image got there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// `repository@digest`, as Lambda takes it.
    pub uri: String,
    /// Blobs that were sent.
    pub sent: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Blobs that were mounted.
    pub mounted: usize,
    /// Blobs that were there already.
    pub present: usize,
    /// Whether the manifest was sent, and not there already.
    pub is_new: bool,
}

/// Which repositories of a registry have a blob, as far as this run has seen it.
#[derive(Debug, Default)]
pub struct Known(HashMap<(Host, Digest), Repository>);

/// What is pushed.
pub(super) struct Parts {
    pub(super) manifest: Bytes,
    pub(super) descriptor: Descriptor,
    /// What it is asked for by.
    pub(super) selector: String,
    pub(super) blobs: Vec<(Descriptor, Origin)>,
}

/// Where the bytes of a blob are, before anything is opened.
#[derive(Clone)]
pub(super) enum Origin {
    Bytes(Bytes),
    Place(Place),
}

impl Registries {
    /// Pushes an image, and gives it a tag where one is named.
    ///
    /// # Errors
    /// When the registry refuses, the network fails for good, or a blob is not what it should be. What was sent stays, and
    /// the next run does not send it again.
    pub fn push(
        &self,
        target: &Target,
        image: &BuiltImage,
        tag: Option<&str>,
        known: &mut Known,
        label: &str,
    ) -> Result<Pushed> {
        let mut blobs: Vec<(Descriptor, Origin)> =
            image.layers.iter().map(|layer| (layer.descriptor.clone(), Origin::Place(layer.place.clone()))).collect();
        blobs.push((image.config_descriptor.clone(), Origin::Bytes(Bytes::from(image.config.clone()))));
        let parts = Parts {
            manifest: Bytes::from(image.manifest.clone()),
            descriptor: image.descriptor.clone(),
            selector: tag.map_or_else(|| image.descriptor.digest.to_string(), str::to_owned),
            blobs,
        };
        self.push_parts(target, &parts, Some(image), known, label)
    }

    pub(super) fn push_parts(
        &self,
        target: &Target,
        parts: &Parts,
        image: Option<&BuiltImage>,
        known: &mut Known,
        label: &str,
    ) -> Result<Pushed> {
        let client = &target.client;
        let runtime = Arc::clone(&client.network.runtime);
        let mut pushed = Pushed {
            uri: format!("{}@{}", target.repository(), parts.descriptor.digest),
            sent: 0,
            bytes: 0,
            mounted: 0,
            present: 0,
            is_new: false,
        };
        let missing = {
            let task = Task::begin(
                &client.events,
                format!("Looking for {label} in {}", client.repository.host),
                None,
                Unit::Items,
            );
            task.detail(client.repository.name.clone());
            runtime.block_on(target.missing(parts))?
        };
        let all: HashSet<&Digest> = parts.blobs.iter().map(|(descriptor, _)| &descriptor.digest).collect();
        let Some(missing) = missing else {
            pushed.present = all.len();
            remember(known, target, parts);
            return Ok(pushed);
        };
        pushed.present = all.len() - missing.len();
        // What signs in, or opens a file, does so before anything is sent.
        let uploads = missing
            .into_iter()
            .map(|at| self.upload(target, &parts.blobs[at], image, known))
            .collect::<Result<Vec<_>>>()?;
        let brought = runtime.block_on(send_all(client, &uploads, label))?;
        for (upload, brought) in uploads.iter().zip(brought) {
            match brought {
                Brought::Mounted => pushed.mounted += 1,
                Brought::Sent => {
                    pushed.sent += 1;
                    pushed.bytes += upload.descriptor.size;
                }
            }
        }
        pushed.is_new = runtime.block_on(client.put_manifest(parts))?;
        remember(known, target, parts);
        Ok(pushed)
    }

    /// Where the bytes of a blob come from, and where it may be mounted from.
    fn upload(
        &self,
        target: &Target,
        (descriptor, origin): &(Descriptor, Origin),
        image: Option<&BuiltImage>,
        known: &Known,
    ) -> Result<Upload> {
        let host = &target.repository().host;
        let mut mount = known.0.get(&(host.clone(), descriptor.digest.clone())).cloned();
        // A layer of the base that is on this machine, too, need not go there again.
        let base = image.and_then(|image| image.base.as_ref()).and_then(|base| base.remote());
        if let Some(remote) = base.filter(|remote| remote.repository().host == *host)
            && mount.is_none()
            && remote.known_layers().contains(&descriptor.digest)
        {
            mount = Some(remote.repository().clone());
        }
        let source = match origin {
            Origin::Bytes(bytes) => Source::Bytes(bytes.clone()),
            Origin::Place(Place::Disk { path, offset }) => {
                let file = std::fs::File::open(path).map_err(|e| Error::io("read", path, &e))?;
                let length = file.metadata().map_err(|e| Error::io("read", path, &e))?.len();
                if length < offset + descriptor.size {
                    return Err(Error::failed(format!("`{}` is shorter than when it was built", path.display()))
                        .hint("another program has changed it meanwhile; run the same command again"));
                }
                Source::File { file: Arc::new(file), start: *offset }
            }
            Origin::Place(Place::Base) => {
                let base = image.and_then(|image| image.base.as_ref()).ok_or_else(|| {
                    Error::failed(format!("the layer {} is not here", descriptor.digest))
                        .hint("build the image again, so that its base is known")
                })?;
                match base.remote() {
                    Some(remote) => {
                        if remote.repository().host == *host && remote.repository() != target.repository() {
                            mount = mount.or_else(|| Some(remote.repository().clone()));
                        }
                        match remote.kept(descriptor) {
                            Some(file) => Source::File { file: Arc::new(file), start: 0 },
                            None => Source::Registry(remote.client()?),
                        }
                    }
                    None => Source::Base(Arc::clone(base)),
                }
            }
        };
        let mount = mount.filter(|from| from != target.repository());
        Ok(Upload { descriptor: descriptor.clone(), source, mount, is_missing: target.is_missing })
    }
}

fn remember(known: &mut Known, target: &Target, parts: &Parts) {
    let host = &target.repository().host;
    for (descriptor, _) in &parts.blobs {
        known.0.insert((host.clone(), descriptor.digest.clone()), target.repository().clone());
    }
}

/// Sends blobs, several at a time. After a failure nothing new is begun.
async fn send_all(client: &Arc<Client>, uploads: &[Upload], label: &str) -> Result<Vec<Brought>> {
    let total = uploads.iter().map(|upload| upload.descriptor.size).sum();
    let task = (!uploads.is_empty())
        .then(|| Task::begin(&client.events, format!("Pushing {label}"), Some(total), Unit::Bytes));
    let id = task.as_ref().map_or(0, Task::id);
    let failed = std::cell::Cell::new(false);
    let results = futures_util::stream::iter(uploads.iter().enumerate())
        .map(async |(index, upload)| {
            if failed.get() {
                return (index, None);
            }
            let progress = Progress::new(client.events.clone(), id);
            let result = client.upload(upload, &progress).await;
            failed.set(failed.get() || result.is_err());
            (index, Some(result))
        })
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    let mut brought: Vec<Option<Brought>> = vec![None; uploads.len()];
    for (index, result) in results {
        brought[index] = result.transpose()?;
    }
    Ok(brought.into_iter().flatten().collect())
}

impl Target {
    /// Which blobs are missing, each once, by their place in `parts`; nothing when the whole image is there.
    async fn missing(&self, parts: &Parts) -> Result<Option<Vec<usize>>> {
        let client = &self.client;
        let mut seen = HashSet::new();
        let wanted: Vec<usize> = (0..parts.blobs.len()).filter(|at| seen.insert(&parts.blobs[*at].0.digest)).collect();
        // A repository that is not there would only end connections.
        if self.is_missing {
            return Ok(Some(wanted));
        }
        if client.manifest_digest(&parts.selector).await?.as_ref() == Some(&parts.descriptor.digest) {
            return Ok(None);
        }
        let digests: Vec<Digest> = wanted.iter().map(|at| parts.blobs[*at].0.digest.clone()).collect();
        let listed = match client.auth.ecr() {
            Some(ecr) => ecr.available(self.named(), &digests).await,
            None => None,
        };
        let there = match listed {
            Some(there) => there,
            None => {
                let asked = futures_util::stream::iter(digests)
                    .map(async |digest| client.has_blob(&digest).await.map(|is_there| is_there.then_some(digest)))
                    .buffer_unordered(AT_ONCE)
                    .collect::<Vec<Result<Option<Digest>>>>()
                    .await;
                asked.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect()
            }
        };
        Ok(Some(wanted.into_iter().filter(|at| !there.contains(&parts.blobs[*at].0.digest)).collect()))
    }
}

impl Client {
    /// The digest of the manifest that a tag or a digest names; nothing when there is none, or it may not be asked for.
    pub(super) async fn manifest_digest(&self, selector: &str) -> Result<Option<Digest>> {
        let doing = format!("look for `{selector}` in `{}`", self.repository);
        self.retried(&doing, true, async || {
            let url = self.repository.url(&format!("manifests/{selector}"));
            let mut request = Request::new("HEAD", url, self.scopes(true));
            let types = [crate::image::OCI_MANIFEST, crate::image::DOCKER_MANIFEST];
            request.headers.push(("accept", types.join(", ")));
            let answer = self.send(request).await?;
            match answer.status {
                200 => match answer.header("docker-content-digest") {
                    Some(text) => Ok(Digest::parse(text.trim())),
                    // Source: the OCI distribution specification lets a registry leave it out.
                    None => self.manifest(selector, None).await.map(|manifest| Some(manifest.digest)),
                },
                408 | 425 | 429 | 500..=599 => Err(self.problem(answer).await.into()),
                _ => Ok(None),
            }
        })
        .await
    }

    /// Sends a manifest; says whether it was not there yet.
    pub(super) async fn put_manifest(&self, parts: &Parts) -> Result<bool> {
        let digest = &parts.descriptor.digest;
        let doing = format!("send the manifest `{}` to `{}`", parts.selector, self.repository);
        let mut attempt = 1;
        loop {
            let problem = match self.put_manifest_once(parts).await {
                Ok(()) => return Ok(true),
                Err(Trouble::Final(error)) => return Err(error),
                Err(Trouble::Problem(problem)) => problem,
            };
            let is_taken = is_taken(&problem);
            // An answer may have been lost; and a tag that cannot be changed may name this very image.
            if (is_taken || problem.passes()) && self.manifest_digest(&parts.selector).await?.as_ref() == Some(digest) {
                return Ok(!is_taken);
            }
            if is_taken {
                return Err(self.error(&problem, &doing, 1, true).hint(format!(
                    "the tag `{}` names another image, and the repository keeps tags as they are: name another `--tag`, or leave it out for one that changes with the image",
                    parts.selector
                )));
            }
            let lags = lags_behind(&problem);
            let most = if lags { MANIFEST_ATTEMPTS } else { super::client::ATTEMPTS };
            if attempt >= most || !(lags || problem.passes()) {
                return Err(self.error(&problem, &doing, attempt, true));
            }
            if lags {
                self.events.send(Event::Debug(format!("{doing}, attempt {attempt}: {}", problem.code)));
                tokio::time::sleep(Duration::from_millis(150 << attempt.min(3))).await;
            } else {
                self.wait(&problem, &doing, attempt).await;
            }
            attempt += 1;
        }
    }

    async fn put_manifest_once(&self, parts: &Parts) -> Result<(), Trouble> {
        let url = self.repository.url(&format!("manifests/{}", parts.selector));
        let mut request = Request::new("PUT", url, self.scopes(true));
        request.headers.push(("content-type", parts.descriptor.media_type.clone()));
        request.body = Body::Bytes(parts.manifest.clone());
        let answer = self.send(request).await?;
        // ECR gives no `Location`, which is not looked for (apple/swift-container-plugin#27).
        if !matches!(answer.status, 200 | 201 | 202 | 204) {
            return Err(self.problem(answer).await.into());
        }
        self.agrees(&answer, &parts.descriptor.digest)?;
        Ok(())
    }
}

/// Whether the tag is there and may not be changed. Source: `ImageTagAlreadyExistsException` and
/// `ImageAlreadyExistsException` in the ECR API model; `TAG_INVALID` is what its registry says of them.
fn is_taken(problem: &Problem) -> bool {
    ["ImageTagAlreadyExistsException", "ImageAlreadyExistsException"].iter().any(|code| problem.is(code))
        || (problem.is("TAG_INVALID") && problem.message.contains("immutable"))
        || problem.message.contains("tag immutability")
}

/// Whether the registry does not yet see a blob that it has taken (clowdhaus/ocync#104).
fn lags_behind(problem: &Problem) -> bool {
    ["BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN", "LAYERS_NOT_FOUND", "LayersNotFoundException"]
        .iter()
        .any(|code| problem.is(code))
}
