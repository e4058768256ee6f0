//! What package managers other than npm have in files of their own: registries, and who may read them, in the words of an
//! `.npmrc`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Error, Result};
use crate::fsio;
use crate::template::yaml::{Document, Node};

type Settings = BTreeMap<String, String>;

/// `pnpm-workspace.yaml`: `registry`, and `registries` by scope.
pub(super) fn pnpm(folder: &Path) -> Result<Settings> {
    let mut out = Settings::new();
    let Some(document) = document(&folder.join("pnpm-workspace.yaml"))? else { return Ok(out) };
    if let Some(url) = document.root.get("registry").and_then(|node| node.text()) {
        out.insert("registry".to_owned(), url.to_owned());
    }
    for (scope, url) in document.root.get("registries").map(|node| node.entries()).unwrap_or_default() {
        if let (Some(scope), Some(url)) = (scope.text(), url.text()) {
            let key = if scope == "default" { "registry".to_owned() } else { format!("{scope}:registry") };
            out.insert(key, url.to_owned());
        }
    }
    Ok(out)
}

/// `.yarnrc` of Yarn 1: lines of a key and a value.
pub(super) fn yarn(folder: &Path) -> Result<Settings> {
    let path = folder.join(".yarnrc");
    if !path.is_file() {
        return Ok(Settings::new());
    }
    let unquoted = |text: &str| text.trim().trim_matches('"').to_owned();
    let text = fsio::read_text(&path)?;
    let pairs = text.lines().filter_map(|line| line.trim().split_once(' '));
    let pairs = pairs.map(|(key, value)| (unquoted(key), unquoted(value)));
    Ok(pairs.filter(|(key, value)| key.ends_with("registry") && value.contains("://")).collect())
}

/// `bunfig.toml`: `registry` and `scopes` of `[install]`.
pub(super) fn bun(folder: &Path) -> Result<Settings> {
    let path = folder.join("bunfig.toml");
    let mut out = Settings::new();
    if !path.is_file() {
        return Ok(out);
    }
    let table: toml::Table = fsio::read_text(&path)?
        .parse()
        .map_err(|e: toml::de::Error| Error::config(e.message().to_owned()).at(&path, None))?;
    let install = table.get("install").and_then(|value| value.as_table());
    let mut take = |key: String, value: &toml::Value| {
        let table = value.as_table();
        let word = |name: &str| table.and_then(|table| table.get(name)?.as_str());
        let Some(url) = value.as_str().or_else(|| word("url")) else { return };
        if let Some(token) = word("token") {
            out.insert(format!("{}/:_authToken", without_scheme(url)), expand(token));
        }
        out.insert(key, expand(url));
    };
    if let Some(registry) = install.and_then(|install| install.get("registry")) {
        take("registry".to_owned(), registry);
    }
    for (scope, value) in install.and_then(|install| install.get("scopes")?.as_table()).into_iter().flatten() {
        take(format!("@{}:registry", scope.trim_start_matches('@')), value);
    }
    Ok(out)
}

/// `.yarnrc.yml` of the project and of the user, as far as it is asked for.
#[derive(Debug, Default)]
pub(super) struct Berry {
    pub(super) settings: Settings,
    /// `nodeLinker`, if anything says it.
    pub(super) linker: Option<String>,
    /// `cacheFolder`.
    pub(super) cache: Option<String>,
    /// Ranges by catalog and name; the one without a name is empty.
    pub(super) catalogs: BTreeMap<(String, String), String>,
}

impl Berry {
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let mut out = Self::default();
        let home = etcetera::home_dir().ok();
        for folder in home.as_deref().into_iter().chain([folder]) {
            if let Some(document) = document(&folder.join(".yarnrc.yml"))? {
                out.take(&document.root);
            }
        }
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if let Some(linker) = variable("YARN_NODE_LINKER") {
            out.linker = Some(linker);
        }
        if let Some(url) = variable("YARN_NPM_REGISTRY_SERVER") {
            out.settings.insert("registry".to_owned(), url);
        }
        if let (Some(token), Some(url)) = (variable("YARN_NPM_AUTH_TOKEN"), out.settings.get("registry").cloned()) {
            out.settings.insert(format!("{}/:_authToken", without_scheme(&url)), token);
        }
        Ok(out)
    }

    fn take(&mut self, root: &Node) {
        let word = |key: &str| root.get(key).and_then(|node| node.text()).map(expand);
        self.linker = word("nodeLinker").or(self.linker.take());
        self.cache = word("cacheFolder").or(self.cache.take());
        self.registry(root, "registry");
        for (scope, settings) in entries(root, "npmScopes") {
            self.registry(settings, &format!("@{scope}:registry"));
        }
        for (url, settings) in entries(root, "npmRegistries") {
            self.credentials(settings, url);
        }
        for (name, range) in entries(root, "catalog") {
            self.catalog("", name, range);
        }
        for (catalog, names) in entries(root, "catalogs") {
            for (name, range) in names.entries() {
                if let Some(name) = name.text() {
                    self.catalog(catalog, name, range);
                }
            }
        }
    }

    fn catalog(&mut self, catalog: &str, name: &str, range: &Node) {
        if let Some(range) = range.text() {
            self.catalogs.insert((catalog.to_owned(), name.to_owned()), range.to_owned());
        }
    }

    fn registry(&mut self, node: &Node, key: &str) {
        if let Some(url) = node.get("npmRegistryServer").and_then(|node| node.text()).map(expand) {
            self.settings.insert(key.to_owned(), url);
        }
        if let Some(url) = self.settings.get(key).or_else(|| self.settings.get("registry")).cloned() {
            self.credentials(node, &url);
        }
    }

    fn credentials(&mut self, node: &Node, url: &str) {
        let word = |key: &str| node.get(key).and_then(|node| node.text()).map(expand);
        if let Some(token) = word("npmAuthToken") {
            self.settings.insert(format!("{}/:_authToken", without_scheme(url)), token);
        }
        if let Some(pair) = word("npmAuthIdent") {
            use base64::Engine as _;
            let encoded =
                if pair.contains(':') { base64::engine::general_purpose::STANDARD.encode(pair) } else { pair };
            self.settings.insert(format!("{}/:_auth", without_scheme(url)), encoded);
        }
    }
}

fn entries<'n>(node: &'n Node, key: &str) -> Vec<(&'n str, &'n Node)> {
    let entries = node.get(key).map(|node| node.entries()).unwrap_or_default();
    entries.iter().filter_map(|(key, value)| Some((key.text()?, &**value))).collect()
}

/// `//host/path` of `https://host/path/`.
fn without_scheme(url: &str) -> String {
    let rest = url.split_once("://").map_or(url.trim_start_matches('/'), |(_, rest)| rest);
    format!("//{}", rest.trim_end_matches('/'))
}

/// `${NAME}`, `${NAME-default}` and `${NAME:-default}` by what the environment says.
fn expand(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, (inner, after))) =
        rest.split_once("${").and_then(|(before, after)| Some((before, after.split_once('}')?)))
    {
        let (name, default) = inner.split_once(":-").or_else(|| inner.split_once('-')).unwrap_or((inner, ""));
        out.push_str(before);
        out.push_str(&std::env::var(name).unwrap_or_else(|_| default.to_owned()));
        rest = after;
    }
    out.push_str(rest);
    out
}

fn document(path: &Path) -> Result<Option<Document>> {
    if !path.is_file() || fsio::read_text(path)?.trim().is_empty() {
        return Ok(None);
    }
    Document::read(path).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_and_credentials_of_all_managers_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fsio::write_atomic(&dir.path().join(name), text.as_bytes()).unwrap();
        write(
            ".yarnrc",
            "# x\nregistry \"https://r.test/npm/\"\n\"@s:registry\" \"https://s.test\"\nlastUpdateCheck 1\n",
        );
        write(
            "pnpm-workspace.yaml",
            "packages: ['*']\nregistries:\n  default: https://r.test/\n  '@s': https://s.test/\n",
        );
        write(
            "bunfig.toml",
            "[install]\nregistry = {url = \"https://r.test/npm/\", token = \"${NOT_THERE:-t}\"}\n[install.scopes]\ns = \"https://s.test\"\n",
        );
        write(
            ".yarnrc.yml",
            "nodeLinker: node-modules\nnpmRegistryServer: https://r.test\nnpmAuthToken: t\ncatalog:\n  a: ^1\nnpmScopes:\n  s:\n    npmRegistryServer: https://s.test/x\n    npmAuthIdent: u:p\n",
        );
        assert_eq!(yarn(dir.path()).unwrap()["registry"], "https://r.test/npm/");
        assert_eq!(yarn(dir.path()).unwrap()["@s:registry"], "https://s.test");
        assert_eq!(pnpm(dir.path()).unwrap()["@s:registry"], "https://s.test/");
        let of_bun = bun(dir.path()).unwrap();
        assert_eq!((&*of_bun["//r.test/npm/:_authToken"], &*of_bun["@s:registry"]), ("t", "https://s.test"));
        let berry = Berry::read(dir.path()).unwrap();
        assert_eq!(berry.linker.as_deref(), Some("node-modules"));
        assert_eq!(berry.settings["//r.test/:_authToken"], "t");
        assert_eq!(berry.settings["//s.test/x/:_auth"], "dTpw");
        assert_eq!(berry.catalogs[&(String::new(), "a".to_owned())], "^1");
    }
}
