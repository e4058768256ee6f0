//! One request to a registry, on the connections and with the TLS that requests to AWS have.

use std::sync::Arc;
use std::time::Duration;

use aws_smithy_http_client::Connector;
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::http::Headers;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body_util::BodyExt as _;

use crate::aws::body::{Progress, while_moving};
use crate::aws::{self, problem};
use crate::error::Result;
use crate::report::duration;

/// Who asks.
const AGENT: &str = concat!("cargo-lambda-pack/", env!("CARGO_PKG_VERSION"));

/// The way to registries.
pub(super) struct Network {
    pub(super) runtime: Arc<tokio::runtime::Runtime>,
    connector: Connector,
    /// How long nothing may move.
    pub(super) silence: Duration,
    /// How long an answer to a request without much of a body may take.
    patience: Duration,
}

/// A request as it is sent.
pub(super) struct Call<'a> {
    pub(super) method: &'a str,
    pub(super) url: &'a str,
    pub(super) headers: &'a [(&'static str, String)],
    pub(super) authorization: Option<&'a str>,
    pub(super) body: SdkBody,
    /// What tells whether the body moves.
    pub(super) progress: Option<&'a Progress>,
}

/// An answer whose body has not been read.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    headers: Headers,
    body: SdkBody,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        match self.headers.try_get(name) {
            Some(Ok(value)) => Some(value),
            _ => None,
        }
    }

    /// All values of a header.
    pub(super) fn headers(&self, name: &str) -> Vec<&str> {
        let values = self.headers.get_all_bytes(name);
        values.filter_map(|value| std::str::from_utf8(value).ok()).collect()
    }

    /// Bytes of the body, when they are said.
    pub(super) fn length(&self) -> Option<u64> {
        self.header("content-length")?.trim().parse().ok()
    }

    /// The body as it comes.
    pub(super) fn into_body(self) -> SdkBody {
        self.body
    }

    /// The next piece of the body, or why it does not come.
    pub(super) async fn piece(&mut self, silence: Duration) -> Result<Option<Bytes>, String> {
        loop {
            match tokio::time::timeout(silence, self.body.frame()).await {
                Err(_) => return Err(format!("nothing came for {}", duration(silence))),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Err(problem::chain(&*error)),
                Ok(Some(Ok(frame))) => {
                    // Trailers are of no interest.
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// The whole body, when it has no more than `most` bytes.
    pub(super) async fn bytes(&mut self, most: u64, silence: Duration) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        while let Some(piece) = self.piece(silence).await? {
            if (out.len() + piece.len()) as u64 > most {
                return Err(format!("the answer has more than {most} bytes"));
            }
            out.extend_from_slice(&piece);
        }
        Ok(out)
    }
}

impl Network {
    pub(super) fn new(silence: Duration, patience: Duration) -> Result<Self> {
        Ok(Self { runtime: aws::runtime()?, connector: aws::http::connector()?, silence, patience })
    }

    /// Sends one request once; why there is no answer otherwise.
    pub(super) async fn send(&self, call: Call<'_>) -> Result<Answer, String> {
        let mut request = HttpRequest::new(call.body);
        request.set_method(call.method).map_err(|e| e.to_string())?;
        request.set_uri(call.url).map_err(|_| "the server has named an address that cannot be one".to_owned())?;
        let headers = request.headers_mut();
        let own = call.headers.iter().map(|(name, value)| (*name, value.as_str()));
        let authorization = call.authorization.map(|value| ("authorization", value));
        for (name, value) in own.chain(authorization).chain([("user-agent", AGENT)]) {
            // What cannot stand in a header is told by its name alone.
            headers.try_insert(name, value.to_owned()).map_err(|_| format!("no header `{name}` can be made of it"))?;
        }
        let answering = self.connector.call(request);
        let answer = match call.progress {
            Some(progress) => while_moving(answering, progress, self.silence)
                .await
                .ok_or_else(|| format!("nothing moved for {}", duration(self.silence)))?,
            None => tokio::time::timeout(self.patience, answering)
                .await
                .map_err(|_| format!("no answer came for {}", duration(self.patience)))?,
        };
        let mut answer = answer.map_err(|error| problem::chain(&error))?;
        let body = answer.take_body();
        Ok(Answer { status: answer.status().as_u16(), headers: answer.headers().clone(), body })
    }
}
