//! npm's own configuration, as far as fetching needs it: which registry a package comes from, and who may read it.
//!
//! From the environment (`npm_config_…`), the project's `.npmrc`, the user's and the global one, in this order. Where
//! none names a registry, npm is asked, once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use base64::Engine as _;

use crate::error::{Error, Result};
use crate::fresh::Key;
use crate::fsio;
use crate::process::{Tool, find_program};

/// How to get npm, as a hint.
pub(super) const INSTALL_NPM: &str = "install Node.js with npm, for example `sudo apt-get install npm`";

/// npm's configuration for one project.
#[derive(Debug, Default)]
pub(super) struct Config {
    values: BTreeMap<String, String>,
    folder: PathBuf,
    asked: OnceLock<Result<String, String>>,
    built_in: OnceLock<Option<String>>,
}

/// Where configuration comes from, apart from the project.
#[derive(Debug, Default)]
pub(super) struct Environment {
    /// The environment variables.
    pub(super) variables: BTreeMap<String, String>,
    /// The user's `.npmrc` unless a variable names another.
    pub(super) user: Option<PathBuf>,
    /// The global `npmrc` unless a variable names another.
    pub(super) global: Option<PathBuf>,
}

impl Environment {
    /// This process's.
    pub(super) fn of_process() -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let user = etcetera::home_dir().ok().map(|home| home.join(".npmrc"));
        // npm lies in `bin` of its prefix, the global configuration in `etc`.
        let global = find_program("npm").and_then(|npm| Some(npm.parent()?.parent()?.join("etc/npmrc")));
        Self { variables, user, global }
    }

    /// The files that npm reads for the project in `folder`, the one that wins last.
    fn files(&self, folder: &Path) -> [Option<PathBuf>; 3] {
        let named = |key: &str, default: &Option<PathBuf>| self.npm(key).map(PathBuf::from).or(default.clone());
        [named("globalconfig", &self.global), named("userconfig", &self.user), Some(folder.join(".npmrc"))]
    }

    /// A variable of npm's, in whatever case it is written.
    fn npm(&self, key: &str) -> Option<&str> {
        let wanted = format!("npm_config_{key}");
        let found = self.variables.iter().find(|(name, value)| name.eq_ignore_ascii_case(&wanted) && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    }
}

impl Config {
    /// Reads the configuration for the project in `folder`.
    pub(super) fn read(folder: &Path, environment: &Environment) -> Result<Self> {
        let mut values = BTreeMap::new();
        for file in environment.files(folder).into_iter().flatten().filter(|file| file.is_file()) {
            let text = fsio::read_text(&file)?;
            values.extend(parse(&text, &environment.variables));
        }
        for (name, value) in environment.variables.iter().filter(|(_, value)| !value.is_empty()) {
            if let Some(prefix) = name.get(.."npm_config_".len())
                && prefix.eq_ignore_ascii_case("npm_config_")
            {
                values.insert(variable_key(&name[prefix.len()..]), value.clone());
            }
        }
        Ok(Self { values, folder: folder.to_owned(), ..Self::default() })
    }

    /// The same with what another package manager's own settings say, which come first.
    pub(super) fn with(mut self, settings: &BTreeMap<String, String>) -> Self {
        self.values.extend(settings.clone());
        self
    }

    /// A digest of all of it, variables expanded.
    pub(super) fn digest(&self) -> String {
        let mut key = Key::new();
        for (name, value) in &self.values {
            key.add(name).add(value);
        }
        key.finish()
    }

    /// A setting.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// The registry that is configured for a package: its scope's, or that of all.
    fn configured(&self, package: &str) -> Option<String> {
        let scoped = package.split_once('/').and_then(|(scope, _)| self.values.get(&format!("{scope}:registry")));
        scoped.or_else(|| self.values.get("registry")).map(|url| with_slash(url))
    }

    /// The registry of a package, with a slash at its end.
    pub(super) fn registry(&self, package: &str) -> Result<String> {
        match self.configured(package) {
            Some(url) => Ok(url),
            None => self.asked.get_or_init(|| ask(&self.folder).map_err(|e| e.to_string())).clone().map_err(|error| {
                Error::failed("Failed to find the registry of npm packages").because(error).hint(INSTALL_NPM)
            }),
        }
    }

    /// Where to fetch the archive of a package that the lock says to be at `url`. Locks that were written with npm's built-in registry
    /// are fetched from the configured one, as npm does (`replace-registry-host`).
    pub(super) fn replaced(&self, package: &str, url: &str) -> String {
        let wanted = self.values.get("replace-registry-host").map_or("npmjs", String::as_str);
        let (Some(configured), false) = (self.configured(package), wanted == "never") else { return url.to_owned() };
        let (Some((host, path)), Some((own_host, _))) = (host_and_path(url), host_and_path(&configured)) else {
            return url.to_owned();
        };
        if host == own_host {
            return url.to_owned();
        }
        let replaced = match wanted {
            "always" => true,
            // Yarn's own name for the same registry stands in the locks of Yarn 1.
            "npmjs" if host.contains("yarnpkg") => true,
            "npmjs" => {
                let built_in = self.built_in.get_or_init(ask_built_in);
                built_in.as_deref().and_then(host_and_path).is_some_and(|(built_in, _)| built_in == host)
            }
            named => host_and_path(named).map_or(named, |(named, _)| named) == host,
        };
        if replaced { format!("{configured}{}", path.trim_start_matches('/')) } else { url.to_owned() }
    }

    /// The `Authorization` for a URL: that of the longest part of it that credentials are configured for.
    pub(super) fn authorization(&self, url: &str) -> Option<String> {
        let (host, path) = host_and_path(url)?;
        let mut at = format!("//{host}{}", path.split(['?', '#']).next().unwrap_or(path));
        loop {
            let value = |key: &str| {
                let slashed = self.values.get(&format!("{}/:{key}", at.trim_end_matches('/')));
                slashed.or_else(|| self.values.get(&format!("{}:{key}", at.trim_end_matches('/'))))
            };
            if let Some(token) = value("_authToken") {
                return Some(format!("Bearer {token}"));
            }
            if let Some(pair) = value("_auth") {
                return Some(format!("Basic {pair}"));
            }
            if let (Some(user), Some(password)) = (value("username"), value("_password")) {
                let engine = base64::engine::general_purpose::STANDARD;
                let password = engine.decode(password).ok().and_then(|bytes| String::from_utf8(bytes).ok())?;
                return Some(format!("Basic {}", engine.encode(format!("{user}:{password}"))));
            }
            let shorter = at.trim_end_matches('/').rfind('/').filter(|slash| *slash > 1)?;
            at.truncate(shorter);
        }
    }
}

/// Where the archive of a version is, by the convention of registries.
pub(super) fn tarball_url(registry: &str, name: &str, version: &str) -> String {
    let base = name.rsplit('/').next().unwrap_or(name);
    // A `+` starts build metadata, which is part of the version but of no archive's name.
    let version = version.split('+').next().unwrap_or(version);
    format!("{registry}{name}/-/{base}-{version}.tgz")
}

/// Where the description of a package is.
pub(super) fn document_url(registry: &str, name: &str) -> String {
    format!("{registry}{}", name.replace('/', "%2f"))
}

fn with_slash(url: &str) -> String {
    format!("{}/", url.trim_end_matches('/'))
}

fn host_and_path(url: &str) -> Option<(&str, &str)> {
    let (_, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = rest[..end].rsplit('@').next()?;
    Some((host, &rest[end..]))
}

/// A key as npm makes it of a variable's name: `_` between words is `-`, but not in keys of registries and scopes.
fn variable_key(name: &str) -> String {
    if name.starts_with("//") || name.starts_with('@') {
        return name.to_owned();
    }
    let name = name.to_lowercase();
    let (first, rest) = name.split_at(name.chars().next().map_or(0, char::len_utf8));
    format!("{first}{}", rest.replace('_', "-"))
}

/// The lines `key = value` of an `.npmrc`.
fn parse(text: &str, variables: &BTreeMap<String, String>) -> Vec<(String, String)> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with(['#', ';', '[']))
        .filter_map(|line| {
            let (key, value) = line.split_once('=')?;
            Some((expand(unquote(key.trim()), variables), expand(unquote(value.trim()), variables)))
        })
        .collect()
}

fn unquote(text: &str) -> &str {
    ['"', '\''].iter().find_map(|q| text.strip_prefix(*q)?.strip_suffix(*q)).unwrap_or(text)
}

/// `${NAME}` by its value; left as it is when there is none, and empty with `${NAME?}`.
fn expand(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let Some(length) = rest[start..].find('}') else { break };
        let whole = &rest[start..=start + length];
        let name = &whole[2..whole.len() - 1];
        let (name, may_miss) = name.strip_suffix('?').map_or((name, false), |name| (name, true));
        out.push_str(&rest[..start]);
        match variables.get(name) {
            Some(value) => out.push_str(value),
            None if may_miss => {}
            None => out.push_str(whole),
        }
        rest = &rest[start + length + 1..];
    }
    out.push_str(rest);
    out
}

fn ask(folder: &Path) -> Result<String> {
    let output = Tool::new("npm").args(["config", "get", "registry"]).cwd(folder).install_hint(INSTALL_NPM).run()?;
    let text = output.text();
    let url = text.trim();
    if host_and_path(url).is_none() {
        return Err(Error::failed(format!("npm says that its registry is {url:?}, which is no URL")));
    }
    Ok(with_slash(url))
}

/// The registry that npm has when nothing is configured.
fn ask_built_in() -> Option<String> {
    let empty = fsio::scratch_dir().ok()?;
    // npm refuses to take one file for both.
    let none = |name: &str| empty.path().join(name);
    let mut tool = Tool::new("npm").args(["config", "get", "registry"]).cwd(empty.path());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().to_lowercase().starts_with("npm_config_") {
            tool = tool.env_remove(name);
        }
    }
    let output =
        tool.env("npm_config_userconfig", none("user")).env("npm_config_globalconfig", none("global")).run().ok()?;
    Some(output.text().trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(npmrc: &str, variables: &[(&str, &str)]) -> Config {
        let dir = tempfile::tempdir().unwrap();
        fsio::write_atomic(&dir.path().join("user"), b"registry=https://user.test/\n@s:registry=https://scope.test")
            .unwrap();
        fsio::write_atomic(&dir.path().join(".npmrc"), npmrc.as_bytes()).unwrap();
        let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let environment = Environment { variables, user: Some(dir.path().join("user")), global: None };
        Config::read(dir.path(), &environment).unwrap()
    }

    #[test]
    fn the_nearest_configuration_names_the_registry() {
        assert_eq!(config("", &[]).registry("x").unwrap(), "https://user.test/");
        assert_eq!(config("", &[]).registry("@s/x").unwrap(), "https://scope.test/");
        let project = config("; comment\nregistry = \"https://${HOST}/npm\"\n", &[("HOST", "project.test")]);
        assert_eq!(project.registry("x").unwrap(), "https://project.test/npm/");
        let variable = config("registry=https://project.test", &[("NPM_CONFIG_REGISTRY", "http://variable.test")]);
        assert_eq!(variable.registry("@t/x").unwrap(), "http://variable.test/");
    }

    #[test]
    fn credentials_go_only_below_their_prefix() {
        let config = config(
            "//a.test/npm/:_authToken=${TOKEN}\n//b.test/:_auth=cGFpcg==\n//c.test/:username=me\n//c.test/:_password=cA==\n//d.test:8080/:_authToken=d\n",
            &[("TOKEN", "t")],
        );
        for (url, expected) in [
            ("https://a.test/npm/x/-/x-1.tgz", Some("Bearer t")),
            ("https://a.test/npm", Some("Bearer t")),
            ("https://a.test/npmx/x", None),
            ("https://a.test/", None),
            ("https://b.test/x", Some("Basic cGFpcg==")),
            ("https://c.test/x", Some("Basic bWU6cA==")),
            ("http://d.test:8080/x", Some("Bearer d")),
            ("http://d.test/x", None),
            ("https://e.test/https://a.test/npm/x", None),
        ] {
            assert_eq!(config.authorization(url).as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn archives_are_where_registries_have_them() {
        assert_eq!(tarball_url("https://r.test/", "@s/x", "1.0.0"), "https://r.test/@s/x/-/x-1.0.0.tgz");
        assert_eq!(document_url("https://r.test/", "@s/x"), "https://r.test/@s%2fx");
        let always = config("replace-registry-host=always\nregistry=https://mirror.test/npm/", &[]);
        assert_eq!(always.replaced("x", "https://other.test/x/-/x-1.tgz"), "https://mirror.test/npm/x/-/x-1.tgz");
        assert_eq!(always.replaced("@s/x", "https://other.test/x"), "https://scope.test/x");
        assert_eq!(always.replaced("x", "https://mirror.test/y"), "https://mirror.test/y");
        let named = config("replace-registry-host=other.test\nregistry=https://mirror.test/npm/", &[]);
        assert_eq!(named.replaced("x", "https://other.test/x"), "https://mirror.test/npm/x");
        assert_eq!(named.replaced("x", "https://third.test/x"), "https://third.test/x");
    }

    #[test]
    fn variables_are_expanded_and_missing_ones_stay() {
        let variables = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        for (text, expected) in [("${A}b", "1b"), ("${B}", "${B}"), ("${B?}x", "x"), ("${A", "${A"), ("$A", "$A")] {
            assert_eq!(expand(text, &variables), expected);
        }
    }
}
