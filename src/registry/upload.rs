//! One blob on its way into a repository: mounted where that goes, else POST for a session and one PUT that streams it.
//!
//! ECR answers 201 to PATCH, says a stale `Range` after it (aws/containers-roadmap#2831), and refuses a session that is
//! begun anew (416, apple/containerization#790). So there is no PATCH here, and each attempt has a session of its own.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;

use super::auth::{query, scope};
use super::client::{ATTEMPTS, Body, Client, Request, Trouble, resolve};
use super::network::Answer;
use super::problem::Problem;
use super::reference::Repository;
use super::relay;
use crate::aws::body::Progress;
use crate::error::{Error, Result};
use crate::image::{Blobs, Descriptor};
use crate::report::Event;
use crate::store::Digest;

/// Where a blob's bytes are.
#[derive(Clone)]
pub(super) enum Source {
    Bytes(Bytes),
    File {
        file: Arc<File>,
        start: u64,
    },
    /// In another registry, or in another repository of this one.
    Registry(Arc<Client>),
    /// In something that is no registry.
    Base(Arc<dyn Blobs>),
}

/// A blob to be brought into a repository.
pub(super) struct Upload {
    pub(super) descriptor: Descriptor,
    pub(super) source: Source,
    /// A repository of the same registry that has it.
    pub(super) mount: Option<Repository>,
    /// ECR says that the repository is not there.
    pub(super) is_missing: bool,
}

/// How a blob got there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Brought {
    Sent,
    Mounted,
}

/// What a request to begin an upload led to.
enum Begun {
    Mounted,
    Session(String),
}

impl Client {
    /// Whether a blob is there. A registry that will not say is taken to have nothing.
    pub(super) async fn has_blob(&self, digest: &Digest) -> Result<bool> {
        let doing = format!("look for `{digest}` in `{}`", self.repository);
        self.retried(&doing, true, async || {
            let url = self.repository.url(&format!("blobs/{digest}"));
            let answer = self.send(Request::new("HEAD", url, self.scopes(true))).await?;
            match answer.status {
                200 => Ok(true),
                408 | 425 | 429 | 500..=599 => Err(self.problem(answer).await.into()),
                _ => Ok(false),
            }
        })
        .await
    }

    /// Brings a blob there.
    pub(super) async fn upload(&self, upload: &Upload, progress: &Arc<Progress>) -> Result<Brought> {
        let descriptor = &upload.descriptor;
        let doing = format!("send `{}` to `{}`", descriptor.digest, self.repository);
        let mut attempt = 1;
        loop {
            // An answer that was lost is found again before anything is sent twice.
            if attempt > 1 && self.has_blob(&descriptor.digest).await? {
                return Ok(Brought::Sent);
            }
            let mount = upload.mount.as_ref().filter(|_| attempt == 1);
            let problem = match self.attempt(upload, mount, progress).await {
                Ok(brought) => {
                    progress.finished(descriptor.size);
                    return Ok(brought);
                }
                Err(Trouble::Final(error)) => return Err(error),
                Err(Trouble::Problem(problem)) => problem,
            };
            // Where it is missing, and no template makes it, that is how ECR says so.
            let is_refused = upload.is_missing && problem.is_unanswered();
            let may_pass = !is_refused && (problem.passes() || is_session(&problem));
            if attempt == ATTEMPTS || !may_pass {
                return Err(self.error(&problem, &doing, attempt, true));
            }
            self.wait(&problem, &doing, attempt).await;
            attempt += 1;
        }
    }

    async fn attempt(
        &self,
        upload: &Upload,
        mount: Option<&Repository>,
        progress: &Arc<Progress>,
    ) -> Result<Brought, Trouble> {
        let session = match self.begin(&upload.descriptor.digest, mount).await? {
            Begun::Mounted => return Ok(Brought::Mounted),
            Begun::Session(session) => session,
        };
        let body = self.body(upload, progress).await?;
        let join = if session.contains('?') { '&' } else { '?' };
        let digest = upload.descriptor.digest.to_string();
        let mut request =
            Request::new("PUT", format!("{session}{join}{}", query(&[("digest", &digest)])), self.scopes(true));
        request.headers.push(("content-type", "application/octet-stream".to_owned()));
        request.body = body;
        request.progress = Some(progress);
        let answer = self.send(request).await?;
        if !matches!(answer.status, 200 | 201 | 204) {
            return Err(self.problem(answer).await.into());
        }
        self.agrees(&answer, &upload.descriptor.digest)?;
        Ok(Brought::Sent)
    }

    /// What a registry says that it has stored must be what was sent.
    pub(super) fn agrees(&self, answer: &Answer, digest: &Digest) -> Result<()> {
        match answer.header("docker-content-digest").and_then(|text| Digest::parse(text.trim())) {
            Some(other) if other.algorithm() == digest.algorithm() && other != *digest => Err(Error::failed(format!(
                "`{}` says that it has stored {other}, and {digest} was sent",
                self.repository
            ))
            .hint("do not deploy it; something on the way or the registry itself changes bytes")),
            _ => Ok(()),
        }
    }

    async fn begin(&self, digest: &Digest, mount: Option<&Repository>) -> Result<Begun, Trouble> {
        let mut url = self.repository.url("blobs/uploads/");
        let mut scopes = self.scopes(true);
        if let Some(from) = mount {
            url = format!("{url}?{}", query(&[("mount", &digest.to_string()), ("from", &from.name)]));
            scopes.push(scope(&from.name, false));
        }
        let answer = self.send(Request::new("POST", url.clone(), scopes)).await?;
        match answer.status {
            201 if mount.is_some() => Ok(Begun::Mounted),
            // 202 is also what a mount that is not done leads to: the session is one for an upload.
            // Source: the OCI distribution specification, "Mounting a blob from another repository".
            201 | 202 => {
                if mount.is_some() && self.auth.ecr().is_some() {
                    // Source: "Blob mounting" in the Amazon ECR User Guide: off unless the account has it on.
                    let text = format!(
                        "ECR does not mount `{digest}`; it does when the account says so (`aws ecr put-account-setting --name BLOB_MOUNTING --value ENABLED`), the keys are the same, and an image there has it"
                    );
                    self.events.send(Event::Debug(text));
                }
                let location = answer.header("location").and_then(|location| resolve(&url, location));
                let session =
                    location.ok_or_else(|| Problem::unanswered("the registry does not say where to send it"))?;
                if session.starts_with("http://") && !self.repository.host.is_loopback() {
                    return Err(Error::failed(format!("Failed to send `{digest}` to `{}`", self.repository))
                        .because("the registry wants it at an address without TLS")
                        .into());
                }
                Ok(Begun::Session(session))
            }
            _ if mount.is_some() => {
                // Some refuse what they do not know (google/go-containerregistry#1404).
                let problem = self.problem(answer).await;
                if problem.passes() { Err(problem.into()) } else { Box::pin(self.begin(digest, None)).await }
            }
            _ => Err(self.problem(answer).await.into()),
        }
    }

    async fn body(&self, upload: &Upload, progress: &Arc<Progress>) -> Result<Body, Trouble> {
        let descriptor = &upload.descriptor;
        Ok(match &upload.source {
            Source::Bytes(bytes) => Body::Bytes(bytes.clone()),
            Source::File { file, start } => Body::File {
                file: Arc::clone(file),
                start: *start,
                length: descriptor.size,
                progress: Arc::clone(progress),
            },
            Source::Registry(client) => {
                let url = client.repository.url(&format!("blobs/{}", descriptor.digest));
                let answer = client.send(Request::new("GET", url, client.scopes(false))).await?;
                if answer.status != 200 {
                    let problem = client.problem(answer).await;
                    if problem.passes() {
                        return Err(problem.into());
                    }
                    let doing = format!("read `{}` of `{}`", descriptor.digest, client.repository);
                    return Err(client.error(&problem, &doing, 1, false).into());
                }
                if let Some(other) = answer.length().filter(|length| *length != descriptor.size) {
                    let (digest, at, size) = (&descriptor.digest, &client.repository, descriptor.size);
                    let what = format!("`{digest}` of `{at}` has {other} bytes, and its manifest says {size}");
                    return Err(Error::failed(what).into());
                }
                Body::Once(Some(relay::of_answer(answer, descriptor, Arc::clone(progress))))
            }
            Source::Base(base) => {
                let reader = base.blob(descriptor)?;
                Body::Once(Some(relay::of_reader(reader, descriptor, Arc::clone(progress))))
            }
        })
    }
}

/// Whether a new session may mend it: the old one was lost, or what arrived is not what was sent.
/// Sources: "Error codes" of the OCI distribution specification; apple/containerization#790 for 416.
fn is_session(problem: &Problem) -> bool {
    matches!(problem.status, Some(416))
        || ["BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID", "DIGEST_INVALID", "SIZE_INVALID"]
            .contains(&problem.code.as_str())
        || (problem.status == Some(404) && problem.code.is_empty())
}
