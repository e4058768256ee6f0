//! Requests to one repository: authorized, redirected where that is safe, and tried again while there is hope.

use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_types::body::SdkBody;
use bytes::Bytes;

use super::auth::Auth;
use super::network::{Answer, Call, Network};
use super::problem::Problem;
use super::reference::Repository;
use crate::aws::body::{self, Progress};
use crate::error::{Error, Result};
use crate::report::{Event, EventSender};

/// How often something is tried.
pub(super) const ATTEMPTS: u32 = 5;
/// Registries send to where their blobs are, once or twice.
const REDIRECTS: usize = 5;

/// Requests to one repository.
pub(super) struct Client {
    pub(super) repository: Repository,
    pub(super) network: Arc<Network>,
    pub(super) auth: Auth,
    pub(super) events: EventSender,
}

/// What is sent with a request.
pub(super) enum Body {
    Nothing,
    Bytes(Bytes),
    /// So many bytes of a file, from an offset on.
    File {
        file: Arc<File>,
        start: u64,
        length: u64,
        progress: Arc<Progress>,
    },
    /// What can be sent once.
    Once(Option<SdkBody>),
}

impl Body {
    fn make(&mut self) -> Option<SdkBody> {
        Some(match self {
            Self::Nothing => SdkBody::empty(),
            Self::Bytes(bytes) => SdkBody::from(bytes.clone()),
            Self::File { file, start, length, progress } => {
                body::of_part(Arc::clone(file), *start, *length, Arc::clone(progress))
            }
            Self::Once(body) => return body.take(),
        })
    }
}

/// A request.
pub(super) struct Request<'a> {
    pub(super) method: &'static str,
    pub(super) url: String,
    pub(super) scopes: Vec<String>,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Body,
    /// What tells whether the body moves.
    pub(super) progress: Option<&'a Progress>,
}

impl Request<'_> {
    /// One without a body.
    pub(super) fn new(method: &'static str, url: String, scopes: Vec<String>) -> Self {
        Self { method, url, scopes, headers: Vec::new(), body: Body::Nothing, progress: None }
    }
}

/// Why something was not done.
pub(super) enum Trouble {
    /// The registry, or the network; it may pass.
    Problem(Problem),
    /// What will not pass.
    Final(Error),
}

impl From<Problem> for Trouble {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

impl Client {
    /// What a request to this repository is for.
    pub(super) fn scopes(&self, pushes: bool) -> Vec<String> {
        vec![super::auth::scope(&self.repository.name, pushes)]
    }

    /// Sends a request once, or twice when the registry wants to know who asks. Answers of every status are answers.
    pub(super) async fn send(&self, mut request: Request<'_>) -> Result<Answer, Trouble> {
        let mut may_sign_in = true;
        loop {
            let is_own = origin(&request.url) == Some(self.repository.host.origin().as_str());
            // Where a blob is uploaded to may be another host; it has an address of its own to know who comes.
            let header = match is_own {
                true => self.auth.header(&self.network, &self.repository, &request.scopes).await?,
                false => None,
            };
            let Some(body) = request.body.make() else {
                return Err(Problem::unanswered("the registry wanted to know who asks in the middle of it").into());
            };
            let mut answer = self.call(&request, header.as_deref(), body).await?;
            if answer.status != 401 || !is_own || !may_sign_in {
                return Ok(answer);
            }
            let challenges = answer.headers("www-authenticate");
            if !self.auth.refused(&challenges, header.as_deref()).await {
                return Ok(answer);
            }
            // So that the connection can be used again.
            let _ = answer.bytes(1 << 16, self.network.silence).await;
            may_sign_in = false;
        }
    }

    /// Follows redirects of what has no body; only the registry itself hears who asks.
    async fn call(&self, request: &Request<'_>, header: Option<&str>, body: SdkBody) -> Result<Answer, Problem> {
        let call = Call {
            method: request.method,
            url: &request.url,
            headers: &request.headers,
            authorization: header,
            body,
            progress: request.progress,
        };
        let mut answer = self.network.send(call).await.map_err(Problem::unanswered)?;
        let mut at = request.url.clone();
        for _ in 0..REDIRECTS {
            let is_redirect = matches!(answer.status, 301 | 302 | 303 | 307 | 308);
            if !is_redirect || !matches!(request.method, "GET" | "HEAD") {
                return Ok(answer);
            }
            let next = answer.header("location").and_then(|location| resolve(&at, location));
            at = next.ok_or_else(|| Problem::unanswered("it is sent to an address that cannot be one"))?;
            if at.starts_with("http://") && !self.repository.host.is_loopback() {
                return Err(Problem::unanswered("it is sent to an address without TLS"));
            }
            let authorization = header.filter(|_| origin(&at) == Some(self.repository.host.origin().as_str()));
            let (method, headers, body) = (request.method, &request.headers, SdkBody::empty());
            let call = Call { method, url: &at, headers, authorization, body, progress: None };
            answer = self.network.send(call).await.map_err(Problem::unanswered)?;
        }
        Err(Problem::unanswered(format!("it is sent elsewhere more than {REDIRECTS} times")))
    }

    /// The problem of an answer that is none that was wanted.
    pub(super) async fn problem(&self, mut answer: Answer) -> Problem {
        Problem::of(&mut answer, self.network.silence).await
    }

    /// Does something until it is done, or there is no hope.
    pub(super) async fn retried<T>(
        &self,
        doing: &str,
        pushes: bool,
        mut work: impl AsyncFnMut() -> Result<T, Trouble>,
    ) -> Result<T> {
        let mut attempt = 1;
        loop {
            let problem = match work().await {
                Ok(value) => return Ok(value),
                Err(Trouble::Final(error)) => return Err(error),
                Err(Trouble::Problem(problem)) => problem,
            };
            if !problem.passes() || attempt == ATTEMPTS {
                return Err(self.error(&problem, doing, attempt, pushes));
            }
            self.wait(&problem, doing, attempt).await;
            attempt += 1;
        }
    }

    /// Tells of an attempt that failed, and waits as long as seems right.
    pub(super) async fn wait(&self, problem: &Problem, doing: &str, attempt: u32) {
        let why = if problem.code.is_empty() { &problem.message } else { &problem.code };
        self.events.send(Event::Debug(format!("{doing}, attempt {attempt} of at most {ATTEMPTS}: {why}")));
        tokio::time::sleep(pause(problem, attempt)).await;
    }

    /// The error to show.
    pub(super) fn error(&self, problem: &Problem, doing: &str, attempts: u32, pushes: bool) -> Error {
        let mut error = problem.error(doing, &self.repository, attempts);
        let is_ecr = self.auth.ecr().is_some() || self.repository.host.ecr().is_some();
        // Sources: aws/containers-roadmap#1970, CircleCI-Public/aws-ecr-orb#259.
        if is_ecr && pushes && problem.is_unanswered() {
            error = error.hint(format!(
                "ECR ends the connection without a word when the repository `{}` does not exist (`--create-repository` makes it), or when an action is not allowed",
                self.repository.name
            ));
        }
        if is_ecr && pushes && matches!(problem.status, Some(401 | 403)) {
            error = error.hint("a push takes `ecr:BatchCheckLayerAvailability`, `ecr:InitiateLayerUpload`, `ecr:UploadLayerPart`, `ecr:CompleteLayerUpload`, `ecr:PutImage` and `ecr:BatchGetImage` on the repository");
        }
        if matches!(problem.status, Some(401 | 403)) {
            error = self.auth.explained(error);
        }
        error
    }
}

/// Longer with each attempt, not the same for all who wait for the same thing, and as long as the server says.
pub(super) fn pause(problem: &Problem, attempt: u32) -> Duration {
    let base: u64 = if problem.status == Some(429) { 500 } else { 200 };
    let most = base << attempt.min(8);
    let own = Duration::from_millis(most / 2 + RandomState::new().hash_one(attempt) % (most / 2));
    problem.after.map_or(own, |asked| asked + own / 4)
}

/// Scheme, host and port of an address.
pub(super) fn origin(url: &str) -> Option<&str> {
    let start = url.find("://")? + 3;
    let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |at| start + at);
    Some(&url[..end])
}

/// Where a `Location` leads from an address.
pub(super) fn resolve(from: &str, location: &str) -> Option<String> {
    let location = location.split('#').next().unwrap_or_default();
    if location.starts_with("https://") || location.starts_with("http://") {
        // Names in an address would be sent as its credentials.
        let authority = origin(location)?;
        return (!authority.contains('@')).then(|| location.to_owned());
    }
    if let Some(rest) = location.strip_prefix("//") {
        let scheme = from.split("://").next()?;
        return resolve(from, &format!("{scheme}://{rest}"));
    }
    let origin = origin(from)?;
    if location.starts_with('/') {
        return Some(format!("{origin}{location}"));
    }
    if location.contains("://") || location.is_empty() {
        return None;
    }
    let path = from[origin.len()..].split(['?', '#']).next().unwrap_or_default();
    let folder = path.rfind('/').map_or("/", |at| &path[..=at]);
    Some(format!("{origin}{folder}{location}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_lead_where_they_say() {
        let from = "https://r.io/v2/a/blobs/uploads/?x=/y";
        for (location, to) in [
            ("/v2/b?c=d", Some("https://r.io/v2/b?c=d")),
            ("e?f", Some("https://r.io/v2/a/blobs/uploads/e?f")),
            ("https://s.io:1/x#y", Some("https://s.io:1/x")),
            ("//s.io/x", Some("https://s.io/x")),
            ("https://r.io@evil.io/x", None),
            ("ftp://s.io/x", None),
            ("", None),
        ] {
            assert_eq!(resolve(from, location).as_deref(), to, "{location}");
        }
        assert_eq!(origin("https://r.io?x"), Some("https://r.io"));
        assert_eq!(origin("http://h:1/x"), Some("http://h:1"));
        assert_eq!(origin("x"), None);
    }

    #[test]
    fn pauses_grow_and_servers_are_obeyed() {
        let problem = |status, after| Problem { status: Some(status), after, ..Problem::default() };
        for _ in 0..20 {
            assert!((200..400).contains(&pause(&problem(500, None), 1).as_millis()));
            assert!((4_000..8_000).contains(&pause(&problem(429, None), 4).as_millis()));
            assert!(pause(&problem(429, Some(Duration::from_secs(7))), 1).as_secs_f64() >= 7.0);
        }
    }
}
