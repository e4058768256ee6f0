//! Credentials that Docker and Podman keep for registries: `config.json`, `auth.json`, and the helpers that they name.
//!
//! Sources: "docker login" in Docker's command line reference and its credential-helpers' protocol; containers-auth.json(5)
//! of Podman.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use base64::Engine as _;
use serde::Deserialize;

use super::reference::Repository;
use crate::error::Result;
use crate::fsio;
use crate::process::{self, Tool};

/// No such file is larger.
const MOST: u64 = 4 << 20;
/// The user name by which a helper says that its secret is an identity token.
const TOKEN_USER: &str = "<token>";

/// What a registry is told of who asks.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Credentials {
    /// User name and password.
    Password(String, String),
    /// A token that a token service changes into others.
    Identity(String),
    /// A token for the registry itself.
    Bearer(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(***)")
    }
}

/// What was found for a repository.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) credentials: Option<Credentials>,
    /// Files that could not be used, and helpers that failed: told when the registry wants credentials.
    pub(super) troubles: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Config {
    auths: BTreeMap<String, Kept>,
    #[serde(rename = "credsStore")]
    store: Option<String>,
    #[serde(rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Kept {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    #[serde(rename = "identitytoken")]
    identity: Option<String>,
    #[serde(rename = "registrytoken")]
    registry: Option<String>,
}

/// Looks for credentials in the files of Docker and Podman, in this order: `REGISTRY_AUTH_FILE`, `DOCKER_CONFIG` or
/// `~/.docker`, `XDG_RUNTIME_DIR`, `XDG_CONFIG_HOME`.
pub(super) fn find(repository: &Repository) -> Login {
    let mut login = Login::default();
    for path in files().into_iter().filter(|path| path.is_file()) {
        match read(&path) {
            Ok(config) => config.look_up(repository, &mut login),
            Err(why) => login.troubles.push(why),
        }
        if login.credentials.is_some() {
            break;
        }
    }
    login
}

fn files() -> Vec<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = etcetera::home_dir().ok();
    let below_home = |below: &str| home.as_ref().map(|home| home.join(below));
    [
        variable("REGISTRY_AUTH_FILE"),
        variable("DOCKER_CONFIG").or_else(|| below_home(".docker")).map(|dir| dir.join("config.json")),
        variable("XDG_RUNTIME_DIR").map(|dir| dir.join("containers/auth.json")),
        variable("XDG_CONFIG_HOME").or_else(|| below_home(".config")).map(|dir| dir.join("containers/auth.json")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn read(path: &std::path::Path) -> Result<Config, String> {
    let bytes = fsio::read_bounded(path, MOST).map_err(|e| e.to_string())?;
    // Without what the parser says: it may quote what it has read.
    serde_json::from_slice(&bytes)
        .map_err(|e| format!("`{}` is not what `docker login` writes (line {})", path.display(), e.line()))
}

impl Config {
    fn look_up(&self, repository: &Repository, login: &mut Login) {
        let host_names = repository.host.logins();
        let host_keys = |key: &&String| host_names.iter().any(|name| normal(name) == normal(key));
        let helper = self.helpers.keys().find(host_keys).and_then(|key| self.helpers.get(key)).or(self.store.as_ref());
        if let Some(helper) = helper {
            for server in &host_names {
                match ask(helper, server) {
                    Ok(Some(credentials)) => {
                        login.credentials = Some(credentials);
                        return;
                    }
                    Ok(None) => {}
                    Err(why) => {
                        login.troubles.push(why);
                        break;
                    }
                }
            }
        }
        login.credentials = self.kept(repository).and_then(Kept::credentials);
    }

    /// The entry of the repository, of what it is below, or of its host: the longest name counts.
    fn kept(&self, repository: &Repository) -> Option<&Kept> {
        let hosts: Vec<String> = repository.host.logins().iter().map(|name| normal(name)).collect();
        let is_for = |key: &str| {
            let key = normal(key);
            hosts.iter().any(|host| {
                let whole = format!("{host}/{}/", repository.name);
                key == *host || whole.starts_with(&format!("{key}/")) && key.starts_with(&format!("{host}/"))
            })
        };
        let entries = self.auths.iter().filter(|(key, _)| is_for(key));
        entries.max_by_key(|(key, _)| normal(key).len()).map(|(_, kept)| kept)
    }
}

/// A name in such a file without scheme, version of the API, and slashes at its end.
fn normal(key: &str) -> String {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let key = key.trim_end_matches('/');
    let key = key.strip_suffix("/v1").or_else(|| key.strip_suffix("/v2")).unwrap_or(key);
    key.to_lowercase()
}

impl Kept {
    fn credentials(&self) -> Option<Credentials> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if let Some(token) = given(&self.identity) {
            return Some(Credentials::Identity(token));
        }
        if let Some(token) = given(&self.registry) {
            return Some(Credentials::Bearer(token));
        }
        let decoded = given(&self.auth).and_then(|auth| {
            let bytes = base64::engine::general_purpose::STANDARD.decode(auth.trim()).ok()?;
            let text = String::from_utf8(bytes).ok()?;
            let (user, password) = text.trim_end_matches('\0').split_once(':')?;
            Some(Credentials::Password(user.to_owned(), password.to_owned()))
        });
        decoded.or_else(|| Some(Credentials::Password(given(&self.username)?, given(&self.password)?)))
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Username", default)]
    user: String,
    #[serde(rename = "Secret", default)]
    secret: String,
}

/// Asks a helper, `docker-credential-NAME`.
fn ask(helper: &str, server: &str) -> Result<Option<Credentials>, String> {
    let is_name = !helper.is_empty() && helper.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if !is_name {
        return Err(format!("`{helper}` is no name of a credential helper"));
    }
    let program = format!("docker-credential-{helper}");
    // What it says when it fails is not told: it may be anything.
    let output = match Tool::new(&program).arg("get").input(server).run() {
        Ok(output) => output,
        Err(process::Failure::NotStarted(error)) => return Err(error.to_string()),
        Err(process::Failure::Status { .. }) => return Ok(None),
    };
    let answer: Answer =
        serde_json::from_slice(&output.stdout).map_err(|_| format!("`{program} get` gave no credentials"))?;
    Ok(match (answer.user.as_str(), answer.secret) {
        (_, secret) if secret.is_empty() => None,
        (TOKEN_USER, secret) => Some(Credentials::Identity(secret)),
        (user, secret) => Some(Credentials::Password(user.to_owned(), secret)),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn login(config: &str, repository: &str) -> Login {
        let config: Config = serde_json::from_str(config).unwrap();
        let mut login = Login::default();
        config.look_up(&Repository::parse(repository).unwrap(), &mut login);
        login
    }

    fn user(config: &str, repository: &str) -> Option<String> {
        match login(config, repository).credentials? {
            Credentials::Password(user, password) => Some(format!("{user}/{password}")),
            Credentials::Identity(token) => Some(format!("identity {token}")),
            Credentials::Bearer(token) => Some(format!("bearer {token}")),
        }
    }

    #[test]
    fn entries_are_found_by_host_and_by_what_a_repository_is_below() {
        let hub = r#"{"auths": {"https://index.docker.io/v1/": {"auth": "bWU6cEBzczp3b3Jk"}}}"#;
        assert_eq!(user(hub, "python").as_deref(), Some("me/p@ss:word"));
        assert_eq!(user(hub, "docker.io/a/b").as_deref(), Some("me/p@ss:word"));
        assert_eq!(user(hub, "ghcr.io/a/b"), None);
        let many = r#"{"auths": {
            "r.io": {"username": "host", "password": "1"},
            "r.io/team": {"username": "team", "password": "2"},
            "r.io/team/api": {"identitytoken": "3"},
            "https://s.io/v2/": {"registrytoken": "4"},
            "r.io.evil": {"username": "x", "password": "y"}
        }}"#;
        for (repository, expected) in [
            ("r.io/x", "host/1"),
            ("r.io/team", "team/2"),
            ("r.io/teams/x", "host/1"),
            ("r.io/team/api", "identity 3"),
            ("r.io/team/api/x", "identity 3"),
            ("s.io/x", "bearer 4"),
        ] {
            assert_eq!(user(many, repository).as_deref(), Some(expected), "{repository}");
        }
        assert_eq!(user(many, "r.io:5000/x"), None);
        assert_eq!(user(r#"{"auths": {"r.io": {"auth": "no base64!"}}}"#, "r.io/x"), None);
    }

    #[test]
    fn a_helper_that_is_missing_is_told_and_other_entries_count() {
        let config = r#"{"auths": {"r.io": {"username": "u", "password": "p"}}, "credHelpers": {"r.io": "no-such-helper-here"}}"#;
        let found = login(config, "r.io/x");
        assert!(found.credentials.is_some());
        assert!(found.troubles[0].contains("docker-credential-no-such-helper-here"), "{:?}", found.troubles);
        let hostile = login(r#"{"credsStore": "../../bin/sh"}"#, "r.io/x");
        assert!(hostile.troubles[0].contains("no name of a credential helper"), "{:?}", hostile.troubles);
    }

    #[test]
    fn credentials_are_never_shown() {
        let shown = format!("{:?}", login(r#"{"auths": {"r.io": {"username": "u", "password": "secret"}}}"#, "r.io/x"));
        assert!(!shown.contains("secret"), "{shown}");
    }

    proptest! {
        #[test]
        fn any_password_is_read_as_it_was_written(name in "[a-z]{1,8}", password in "[ -~]{1,40}") {
            let auth = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
            let config = serde_json::json!({"auths": {"r.io": {"auth": auth}}}).to_string();
            prop_assert_eq!(user(&config, "r.io/x"), Some(format!("{name}/{password}")));
        }

        #[test]
        fn whatever_stands_in_the_file_is_no_panic(text in "\\PC{0,60}") {
            let _ = serde_json::from_str::<Config>(&text);
            let _ = normal(&text);
        }
    }
}
