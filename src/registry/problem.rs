//! What a registry says when it refuses, in a person's words and with the next step.
//!
//! Source of the codes: "Error codes" of the OCI distribution specification; those that only ECR has are said to be.

use std::time::{Duration, SystemTime};

use serde::Deserialize;

use super::network::Answer;
use super::reference::Repository;
use crate::aws::problem::http_date;
use crate::error::Error;

/// No error that is read is longer.
const MOST: u64 = 64 << 10;
/// Characters of a message that are quoted.
const QUOTED: usize = 400;
/// No server is waited for longer than this, whatever it says.
const MOST_PAUSE: Duration = Duration::from_secs(120);

/// Why a request was not done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Problem {
    /// HTTP status, when there was an answer.
    pub(super) status: Option<u16>,
    /// The registry's code, such as `NAME_UNKNOWN`.
    pub(super) code: String,
    /// Its message, or the cause when nothing was answered.
    pub(super) message: String,
    /// How long it asks to wait.
    pub(super) after: Option<Duration>,
}

#[derive(Deserialize)]
struct Document {
    errors: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

impl Problem {
    /// Of a request that nobody answered.
    pub(super) fn unanswered(why: impl Into<String>) -> Self {
        Self { message: why.into(), ..Self::default() }
    }

    /// Of an answer; its body is read.
    pub(super) async fn of(answer: &mut Answer, silence: Duration) -> Self {
        let after = answer.header("retry-after").and_then(pause);
        let status = answer.status;
        let body = answer.bytes(MOST, silence).await.unwrap_or_default();
        let (code, message) = said(&body).unwrap_or_default();
        let message = if message.is_empty() { format!("the server answered {status}") } else { message };
        Self { status: Some(status), code, message, after }
    }

    pub(super) fn is(&self, code: &str) -> bool {
        self.code == code
    }

    /// Whether no answer came at all.
    pub(super) fn is_unanswered(&self) -> bool {
        self.status.is_none()
    }

    /// Whether the same request may succeed a moment later.
    pub(super) fn passes(&self) -> bool {
        self.status.is_none_or(|status| matches!(status, 408 | 425 | 429 | 500..=599))
    }

    /// The error to show.
    pub(super) fn error(&self, doing: &str, repository: &Repository, attempts: u32) -> Error {
        let cause =
            if self.code.is_empty() { self.message.clone() } else { format!("{}: {}", self.code, self.message) };
        let error = Error::failed(format!("Failed to {doing}")).because(cause);
        match self.hint(repository, attempts) {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }

    fn hint(&self, repository: &Repository, attempts: u32) -> Option<String> {
        let host = &repository.host;
        let again = "run the same command again: what was sent is not sent again";
        let tried = if attempts > 1 { format!("it was tried {attempts} times; ") } else { String::new() };
        Some(match (self.status, self.code.as_str()) {
            (None, _) => {
                let text = self.message.to_lowercase();
                if text.contains("certificate") || text.contains("tls") {
                    "name the certificates to trust, such as your proxy's, with AWS_CA_BUNDLE or SSL_CERT_FILE"
                        .to_owned()
                } else if text.contains("dns") || text.contains("lookup address") {
                    format!("there is no such host: check the name `{host}`, and the network")
                } else if text.contains("refused") {
                    format!("nothing listens at {host}; {tried}check the name, HTTPS_PROXY and NO_PROXY")
                } else {
                    format!("{tried}check the network, HTTPS_PROXY and NO_PROXY, then {again}")
                }
            }
            (_, "NAME_UNKNOWN") => {
                format!("the repository `{}` is not in {host}: check its name, or create it", repository.name)
            }
            (_, "MANIFEST_UNKNOWN") | (Some(404), _) => format!("there is no such image in `{repository}`"),
            (Some(401), _) => format!("sign in to it: `docker login {host}` writes what is read here"),
            (Some(403), _) => {
                format!("the credentials may not do that in `{repository}`")
            }
            (Some(429), _) => format!("{tried}the registry was asked too much: wait a while, then {again}"),
            (Some(500..=599), _) => format!("{tried}{again}"),
            _ => return None,
        })
    }
}

/// Code and message of an error's document; the beginning of another text.
fn said(body: &[u8]) -> Option<(String, String)> {
    let text = String::from_utf8_lossy(body);
    if let Ok(document) = serde_json::from_str::<Document>(&text) {
        let first = document.errors.into_iter().next()?;
        return Some((line(&first.code), line(&first.message)));
    }
    // A page of a proxy says nothing that fits into a line.
    let is_text = !text.trim_start().starts_with('<') && !text.trim_start().starts_with('{');
    Some((String::new(), if is_text { line(&text) } else { String::new() }))
}

/// One line, of bounded length, without what a terminal would obey.
fn line(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(QUOTED).collect();
    plain.trim().to_owned()
}

/// How long `Retry-After` asks to wait: seconds, or a date.
fn pause(text: &str) -> Option<Duration> {
    let wanted = match text.trim().parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => http_date(text.trim())?.duration_since(SystemTime::now()).unwrap_or_default(),
    };
    Some(wanted.min(MOST_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_and_other_texts_are_quoted_in_one_line() {
        let read = |text: &str| said(text.as_bytes()).unwrap();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(read(r#"{"errors":[{"code":"X","message":"a\nb\u001b[31m","detail":{}}]}"#), pair("X", "a b [31m"));
        assert_eq!(read("toomanyrequests: Rate exceeded\n"), pair("", "toomanyrequests: Rate exceeded"));
        assert_eq!(read("<html>…"), pair("", ""));
        assert_eq!(read(&"x".repeat(9_999)).1.len(), QUOTED);
        assert_eq!(said(br#"{"errors":[]}"#), None);
    }

    #[test]
    fn pauses_are_bounded() {
        assert_eq!(pause("3"), Some(Duration::from_secs(3)));
        assert_eq!(pause("99999"), Some(MOST_PAUSE));
        assert_eq!(pause("Tue, 24 Nov 2020 06:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(pause("Fri, 31 Dec 9999 23:59:59 GMT"), Some(MOST_PAUSE));
        assert_eq!(pause("soon"), None);
    }
}
