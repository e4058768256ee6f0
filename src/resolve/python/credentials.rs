//! Who may read a private index: what uv and pip know of it, since they name archives without saying it.
//!
//! A name and a password belong to an origin (scheme, host and port), and are sent to no other. They come from URLs in
//! requirements files, settings and variables (`https://user:secret@host/simple`), from `UV_INDEX_<NAME>_USERNAME` and
//! `…_PASSWORD` for the indexes that settings name, and from `.netrc`. Nothing of them is printed or kept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;

use crate::fsio;
use crate::store::percent_decode;

/// Variables that hold URLs of indexes, separated by spaces.
const URL_VARIABLES: &[&str] = &[
    "UV_DEFAULT_INDEX",
    "UV_INDEX",
    "UV_INDEX_URL",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
];

/// Authorizations.
#[derive(Default)]
pub(super) struct Credentials {
    /// By scheme, host and port.
    origins: BTreeMap<String, String>,
    /// By host alone, as `.netrc` has them.
    machines: BTreeMap<String, String>,
}

impl Credentials {
    /// Those of this process, and of `texts`: settings and requirements files.
    pub(super) fn find<'t>(texts: impl Iterator<Item = &'t str>) -> Self {
        let variables: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let netrc = variables.get("NETRC").map(PathBuf::from);
        let netrc = netrc.or_else(|| Some(etcetera::home_dir().ok()?.join(".netrc")));
        Self::of(texts, &variables, netrc.as_deref())
    }

    fn of<'t>(
        texts: impl Iterator<Item = &'t str>,
        variables: &BTreeMap<String, String>,
        netrc: Option<&Path>,
    ) -> Self {
        let mut out = Self::default();
        let texts: Vec<&str> = texts.collect();
        for name in URL_VARIABLES {
            out.of_text(variables.get(*name).map_or("", String::as_str));
        }
        for text in &texts {
            out.of_text(text);
        }
        for (name, url) in texts.iter().flat_map(|text| named_indexes(text)) {
            let variable = |what: &str| variables.get(&format!("UV_INDEX_{}_{what}", shouted(&name)));
            let password = variable("PASSWORD").map_or("", String::as_str);
            if let (Some(user), Some(origin)) = (variable("USERNAME"), origin(&url)) {
                out.origins.entry(origin).or_insert_with(|| basic(user, password));
            }
        }
        for (machine, user, password) in
            netrc.and_then(|path| fsio::read_text(path).ok()).iter().flat_map(|t| netrc_entries(t))
        {
            out.machines.entry(machine).or_insert_with(|| basic(&user, &password));
        }
        out
    }

    /// URLs with a user in them, wherever they stand in a text.
    fn of_text(&mut self, text: &str) {
        for (at, _) in text.match_indices("://") {
            let scheme = if text[..at].ends_with("https") { "https" } else { "http" };
            let rest = &text[at + 3..];
            let end = rest.find(|c: char| c.is_whitespace() || "/?#\"'\\<>,".contains(c)).unwrap_or(rest.len());
            let Some((user, host)) = rest[..end].rsplit_once('@') else { continue };
            let (user, password) = user.split_once(':').unwrap_or((user, ""));
            // `${TOKEN}` is for the tool that reads it.
            if !user.is_empty() && !user.contains('$') && !password.contains('$') {
                let basic = basic(&percent_decode(user), &percent_decode(password));
                self.origins.entry(format!("{scheme}://{}", host.to_lowercase())).or_insert(basic);
            }
        }
    }

    /// The value of an `Authorization` header for a URL.
    pub(super) fn of_url(&self, url: &str) -> Option<&str> {
        let origin = origin(url)?;
        let (_, authority) = origin.split_once("://")?;
        let host = authority.split(':').next().unwrap_or(authority);
        self.origins.get(&origin).or_else(|| self.machines.get(host)).map(String::as_str)
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}

/// `https://host:port` of a URL; nothing of one that has a user already.
fn origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    let is_web = scheme == "https" || scheme == "http";
    (is_web && !authority.contains('@')).then(|| format!("{scheme}://{}", authority.to_lowercase()))
}

/// As uv makes variables of names.
fn shouted(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

/// Names and URLs of the `[[index]]` tables of a `uv.toml` or a `pyproject.toml`.
fn named_indexes(text: &str) -> Vec<(String, String)> {
    let Ok(document) = text.parse::<toml::Table>() else { return Vec::new() };
    let of_uv = document.get("tool").and_then(|tool| tool.get("uv")).and_then(toml::Value::as_table);
    let indexes = of_uv.unwrap_or(&document).get("index").and_then(toml::Value::as_array);
    let named = |index: &toml::Value| {
        let text = |key: &str| Some(index.get(key)?.as_str()?.to_owned());
        Some((text("name")?, text("url")?))
    };
    indexes.into_iter().flatten().filter_map(named).collect()
}

/// Machine, login and password of each entry.
fn netrc_entries(text: &str) -> Vec<(String, String, String)> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let mut words = lines.flat_map(str::split_whitespace);
    let mut out: Vec<(String, String, String)> = Vec::new();
    while let Some(word) = words.next() {
        let mut next = || words.next().unwrap_or_default().to_owned();
        match (word, out.last_mut()) {
            ("machine", _) => out.push((next().to_lowercase(), String::new(), String::new())),
            ("login", Some(entry)) => entry.1 = next(),
            ("password", Some(entry)) => entry.2 = next(),
            // An entry for every host: it would be sent to whoever a lock names.
            ("default", _) => break,
            _ => {}
        }
    }
    out.retain(|(_, user, _)| !user.is_empty());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(credentials: &Credentials, url: &str) -> Option<String> {
        let value = credentials.of_url(url)?.strip_prefix("Basic ")?;
        String::from_utf8(base64::engine::general_purpose::STANDARD.decode(value).ok()?).ok()
    }

    #[test]
    fn each_origin_has_its_own() {
        let variables = BTreeMap::from([
            ("UV_INDEX_URL".to_owned(), "https://aws:t%2Fok@Private.Example/simple/".to_owned()),
            ("PIP_EXTRA_INDEX_URL".to_owned(), "http://a:b@one.example:8080/x https://c@two.example".to_owned()),
            ("UV_INDEX_MY_TEAM_USERNAME".to_owned(), "me".to_owned()),
            ("UV_INDEX_MY_TEAM_PASSWORD".to_owned(), "secret".to_owned()),
        ]);
        let settings = "[[tool.uv.index]]\nname = \"my-team\"\nurl = \"https://team.example/simple\"\n";
        let requirements =
            "--index-url https://r:s@file.example/simple\n-i https://${USER}:x@never.example/\nidna==3.10\n";
        let folder = tempfile::tempdir().unwrap();
        let netrc = folder.path().join("netrc");
        fsio::write_atomic(&netrc, b"# x\nmachine net.example login n password p\ndefault login d password d\n")
            .unwrap();
        let found = Credentials::of([settings, requirements].into_iter(), &variables, Some(&netrc));
        for (url, expected) in [
            ("https://private.example/a.whl", Some("aws:t/ok")),
            ("http://private.example/a.whl", None),
            ("https://private.example.evil.example/a.whl", None),
            ("http://one.example:8080/a.whl", Some("a:b")),
            ("http://one.example/a.whl", None),
            ("https://two.example/a.whl", Some("c:")),
            ("https://team.example/files/a.whl", Some("me:secret")),
            ("https://file.example/a.whl", Some("r:s")),
            ("https://never.example/a.whl", None),
            ("https://net.example/a.whl", Some("n:p")),
            ("https://net.example:8443/a.whl", Some("n:p")),
            ("https://private.example:8443/a.whl", None),
            ("https://other.example/a.whl", None),
            ("https://x:y@private.example/a.whl", None),
        ] {
            assert_eq!(decoded(&found, url).as_deref(), expected, "{url}");
        }
    }
}
