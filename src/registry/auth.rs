//! What a registry is told of who asks: nothing until it wants to know, then what its challenge names.
//!
//! Source: the distribution project's "Token authentication specification" and "`OAuth2` token authentication"; for ECR
//! "Private registry authentication" in the Amazon ECR User Guide. Credentials go to the registry and to the token service
//! that it names, and to nobody else; none of them stands in a message.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_smithy_types::body::SdkBody;
use base64::Engine as _;
use futures_util::lock::Mutex;
use serde::Deserialize;

use super::challenge::Challenge;
use super::ecr::Ecr;
use super::host::Host;
use super::login::Credentials;
use super::network::{Call, Network};
use super::problem::Problem;
use super::reference::Repository;
use crate::error::{Error, Result};

/// No answer of a token service is longer.
const MOST: u64 = 1 << 20;
/// How long a token is good when nothing is said. Source: the token authentication specification, `expires_in`.
const TOKEN_AGE: Duration = Duration::from_secs(60);
/// A token is not used so shortly before its end.
const MARGIN: Duration = Duration::from_secs(10);
/// How often a token service is asked.
const ATTEMPTS: u32 = 4;

/// Who asks.
pub(super) enum Who {
    /// Nobody in particular.
    Anybody,
    /// Somebody who has signed in with Docker or Podman.
    Login(Credentials),
    /// Whoever has these credentials of AWS.
    Ecr(Arc<Ecr>),
}

/// Authorization of requests to one repository.
pub(super) struct Auth {
    who: Who,
    state: Mutex<State>,
    /// What was wrong with files and helpers that might have had credentials.
    troubles: Vec<String>,
}

#[derive(Default)]
struct State {
    challenge: Option<Challenge>,
    /// Headers by what they are for, and how long they are good.
    headers: HashMap<String, (String, Instant)>,
}

/// What tokens are for: `repository:NAME:pull`.
pub(super) fn scope(repository: &str, pushes: bool) -> String {
    format!("repository:{repository}:{}", if pushes { "pull,push" } else { "pull" })
}

impl Auth {
    pub(super) fn new(who: Who, troubles: Vec<String>) -> Self {
        Self { who, state: Mutex::default(), troubles }
    }

    /// ECR, when it is asked with credentials of AWS.
    pub(super) fn ecr(&self) -> Option<&Arc<Ecr>> {
        match &self.who {
            Who::Ecr(ecr) => Some(ecr),
            _ => None,
        }
    }

    /// The error with what is known of why nobody, or somebody else, was asked for.
    pub(super) fn explained(&self, error: Error) -> Error {
        let error = match self.who {
            Who::Anybody => error.hint(
                "nobody has signed in: neither Docker's `config.json` nor Podman's `auth.json` names this registry",
            ),
            _ => error,
        };
        self.troubles.iter().fold(error, |error, trouble| error.hint(trouble.clone()))
    }

    /// Whether anybody in particular asks.
    pub(super) fn is_anonymous(&self) -> bool {
        matches!(self.who, Who::Anybody)
    }

    /// The header for requests in these scopes; none while the registry has not asked for one.
    pub(super) async fn header(&self, network: &Network, at: &Repository, scopes: &[String]) -> Result<Option<String>> {
        if let Who::Ecr(ecr) = &self.who {
            return Ok(Some(ecr.token().await?.header));
        }
        let mut state = self.state.lock().await;
        let key = scopes.join(" ");
        if let Some((header, _)) = state.headers.get(&key).filter(|(_, until)| *until > Instant::now()) {
            return Ok(Some(header.clone()));
        }
        let (header, until) = match (&self.who, &state.challenge) {
            (_, None) => return Ok(None),
            (Who::Login(Credentials::Bearer(token)), _) => return Ok(Some(format!("Bearer {token}"))),
            (Who::Login(Credentials::Password(user, password)), Some(Challenge::Basic)) => {
                return Ok(Some(basic(user, password)));
            }
            (_, Some(Challenge::Basic)) => return Ok(None),
            (who, Some(Challenge::Bearer { realm, service, scope })) => {
                let service = TokenService { realm, service: service.as_deref(), scope: scope.as_deref() };
                service.token(who, network, at, scopes).await.map_err(|error| self.explained(error))?
            }
        };
        state.headers.insert(key, (header.clone(), until));
        Ok(Some(header))
    }

    /// The registry did not take `used`; whether something else can be tried.
    pub(super) async fn refused(&self, challenges: &[&str], used: Option<&str>) -> bool {
        if let Who::Ecr(ecr) = &self.who {
            ecr.forget_token(used.unwrap_or_default()).await;
            return true;
        }
        let mut state = self.state.lock().await;
        state.headers.retain(|_, (header, _)| Some(header.as_str()) != used);
        let Some(challenge) = challenges.iter().find_map(|header| Challenge::of(header)) else { return false };
        let is_new = match (&challenge, &self.who) {
            (Challenge::Bearer { .. }, Who::Login(Credentials::Bearer(_))) => used.is_none(),
            (Challenge::Bearer { .. }, _) => true,
            (Challenge::Basic, Who::Login(Credentials::Password(..) | Credentials::Bearer(_))) => used.is_none(),
            (Challenge::Basic, _) => false,
        };
        state.challenge = Some(challenge);
        is_new
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}

/// A token service as a challenge names it.
struct TokenService<'a> {
    realm: &'a str,
    service: Option<&'a str>,
    scope: Option<&'a str>,
}

#[derive(Deserialize)]
struct Given {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl TokenService<'_> {
    async fn token(
        &self,
        who: &Who,
        network: &Network,
        at: &Repository,
        scopes: &[String],
    ) -> Result<(String, Instant)> {
        self.may_be_asked(&at.host)?;
        let doing = format!("get a token for `{at}` from `{}`", self.realm.split('?').next().unwrap_or_default());
        let mut attempt = 1;
        loop {
            let problem = match self.ask(who, network, scopes).await {
                Ok(given) => {
                    return self
                        .read(given)
                        .ok_or_else(|| Problem::unanswered("the answer has none").error(&doing, at, 1));
                }
                Err(problem) => problem,
            };
            if attempt == ATTEMPTS || !problem.passes() {
                return Err(problem.error(&doing, at, attempt));
            }
            tokio::time::sleep(super::client::pause(&problem, attempt)).await;
            attempt += 1;
        }
    }

    /// A registry may name whom it likes; passwords go there, so it has to be by TLS.
    fn may_be_asked(&self, registry: &Host) -> Result<()> {
        let address = |scheme: &str| {
            let rest = self.realm.strip_prefix(scheme)?;
            Host::parse(&rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())]).ok()
        };
        let is_safe = address("https://").is_some()
            || address("http://").is_some_and(|host| host.is_loopback() && registry.is_loopback());
        if is_safe {
            return Ok(());
        }
        Err(Error::failed(format!("`{registry}` names a token service that is not asked: `{}`", self.realm))
            .hint("a token service has to be an `https:` address"))
    }

    async fn ask(&self, who: &Who, network: &Network, scopes: &[String]) -> Result<Given, Problem> {
        // A service that has scopes of its own, as ECR's public gallery, is asked for these.
        let own = self.scope.filter(|scope| !scope.starts_with("repository:"));
        let scopes: Vec<&str> = own.map_or_else(|| scopes.iter().map(String::as_str).collect(), |own| vec![own]);
        let mut pairs: Vec<(&str, &str)> = self.service.map(|service| ("service", service)).into_iter().collect();
        pairs.extend(scopes.iter().map(|scope| ("scope", *scope)));
        let (method, url, body, header) = match who {
            Who::Login(Credentials::Identity(token)) => {
                let joined = scopes.join(" ");
                let mut form = vec![("grant_type", "refresh_token"), ("client_id", "cargo-lambda-pack")];
                form.extend(pairs.iter().filter(|(key, _)| *key == "service"));
                form.extend([("scope", joined.as_str()), ("refresh_token", token.as_str())]);
                ("POST", self.realm.to_owned(), query(&form), None)
            }
            who => {
                let join = if self.realm.contains('?') { '&' } else { '?' };
                let header = match who {
                    Who::Login(Credentials::Password(user, password)) => Some(basic(user, password)),
                    _ => None,
                };
                ("GET", format!("{}{join}{}", self.realm, query(&pairs)), String::new(), header)
            }
        };
        let mut headers = vec![("accept", "application/json".to_owned())];
        if method == "POST" {
            headers.push(("content-type", "application/x-www-form-urlencoded".to_owned()));
        }
        let call = Call {
            method,
            url: &url,
            headers: &headers,
            authorization: header.as_deref(),
            body: if body.is_empty() { SdkBody::empty() } else { SdkBody::from(body) },
            progress: None,
        };
        let mut answer = network.send(call).await.map_err(Problem::unanswered)?;
        if answer.status != 200 {
            return Err(Problem::of(&mut answer, network.silence).await);
        }
        let bytes = answer.bytes(MOST, network.silence).await.map_err(Problem::unanswered)?;
        // Without what the parser says: it may quote the token.
        serde_json::from_slice(&bytes).map_err(|_| Problem {
            status: Some(200),
            message: "the answer is no token".to_owned(),
            ..Problem::default()
        })
    }

    fn read(&self, given: Given) -> Option<(String, Instant)> {
        let token = given.token.or(given.access_token).filter(|token| !token.is_empty())?;
        let good = given.expires_in.map_or(TOKEN_AGE, Duration::from_secs).min(Duration::from_secs(86_400));
        let until = Instant::now() + good.saturating_sub(MARGIN).max(Duration::from_secs(1));
        token.bytes().all(|b| b.is_ascii_graphic()).then(|| (format!("Bearer {token}"), until))
    }
}

/// Pairs as a query, or as a form.
pub(super) fn query(pairs: &[(&str, &str)]) -> String {
    let encode = |text: &str| {
        text.bytes().fold(String::new(), |mut out, byte| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                out.push(char::from(byte));
            } else {
                out.push_str(&format!("%{byte:02X}"));
            }
            out
        })
    };
    pairs.iter().map(|(key, value)| format!("{key}={}", encode(value))).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_go_by_tls_or_stay_on_this_machine() {
        for (registry, realm, is_safe) in [
            ("r.io", "https://auth.io/token", true),
            ("r.io", "http://auth.io/token", false),
            ("r.io", "http://127.0.0.1/token", false),
            ("127.0.0.1:5000", "http://127.0.0.1:5001/token?x", true),
            ("127.0.0.1:5000", "http://auth.io/token", false),
            ("r.io", "https://user@auth.io/token", false),
            ("r.io", "file:///etc/passwd", false),
            ("r.io", "", false),
        ] {
            let service = TokenService { realm, service: None, scope: None };
            assert_eq!(service.may_be_asked(&Host::parse(registry).unwrap()).is_ok(), is_safe, "{registry} {realm}");
        }
    }

    #[test]
    fn queries_hold_what_they_are_given() {
        let pairs = [("service", "r.io"), ("scope", "repository:a/b:pull,push")];
        assert_eq!(query(&pairs), "service=r.io&scope=repository%3Aa%2Fb%3Apull%2Cpush");
    }
}
