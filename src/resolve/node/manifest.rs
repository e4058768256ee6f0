//! `package.json`: what a package says of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::lock::Platform;
use crate::error::{Error, Result};
use crate::fsio;

/// What a package needs, by name and the range it asks for.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Needs {
    /// `dependencies`, without those that are optional.
    pub(super) required: BTreeMap<String, String>,
    /// `optionalDependencies`.
    pub(super) optional: BTreeMap<String, String>,
    /// `peerDependencies`.
    pub(super) peer: BTreeMap<String, String>,
    /// Those of `peer` that may be missing.
    pub(super) optional_peers: BTreeSet<String>,
    /// `devDependencies`, of the project's own folders. Not every lock says them.
    pub(super) dev: BTreeMap<String, String>,
}

impl Needs {
    pub(super) fn new(
        required: Option<BTreeMap<String, String>>,
        optional: Option<BTreeMap<String, String>>,
        peer: Option<BTreeMap<String, String>>,
        peer_meta: BTreeMap<String, Value>,
    ) -> Self {
        let optional = optional.unwrap_or_default();
        // npm takes a name that stands in both for optional.
        let required = required.unwrap_or_default().into_iter().filter(|(n, _)| !optional.contains_key(n)).collect();
        let optional_peers = peer_meta
            .into_iter()
            .filter(|(_, meta)| meta.get("optional").and_then(Value::as_bool) == Some(true))
            .map(|(name, _)| name)
            .collect();
        Self { required, optional, peer: peer.unwrap_or_default(), optional_peers, dev: BTreeMap::new() }
    }

    /// Whether nothing is needed.
    pub(super) fn is_empty(&self) -> bool {
        self.required.is_empty() && self.optional.is_empty() && self.peer.is_empty()
    }
}

/// A list of words that may be written as one word. Anything else counts as nothing, as for npm.
#[derive(Debug, Default)]
pub(super) struct Words(pub(super) Option<Vec<String>>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(|value| Self(words(&value)))
    }
}

fn words(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(word) => Some(vec![word.clone()]),
        Value::Array(list) => Some(list.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
        _ => None,
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawManifest {
    main: Value,
    browser: Value,
    bin: Value,
    files: Option<Vec<String>>,
    workspaces: Value,
    dependencies: Option<BTreeMap<String, String>>,
    dev_dependencies: Option<BTreeMap<String, String>>,
    optional_dependencies: Option<BTreeMap<String, String>>,
    peer_dependencies: Option<BTreeMap<String, String>>,
    peer_dependencies_meta: Option<BTreeMap<String, Value>>,
}

/// The `package.json` of the project's own folders.
#[derive(Debug, Default)]
pub(super) struct Manifest {
    /// What is published, if it says so.
    pub(super) files: Option<Vec<String>>,
    /// `main`, `browser` and `bin`: files that are published whatever `files` says.
    pub(super) entry_points: Vec<String>,
    /// Files that are commands.
    pub(super) commands: Vec<String>,
    /// Folders of workspaces, as patterns.
    pub(super) workspaces: Vec<String>,
    /// What it needs to run, and to be developed.
    pub(super) needs: Needs,
}

impl Manifest {
    /// Reads a `package.json`.
    pub(super) fn read(path: &Path) -> Result<Self> {
        Self::parse(&fsio::read_text(path)?, path)
    }

    /// Reads the text of a `package.json`.
    pub(super) fn parse(text: &str, path: &Path) -> Result<Self> {
        let raw: RawManifest = parse_json(text, path)?;
        let commands = commands(&raw.bin);
        let named = [&raw.main, &raw.browser].into_iter().filter_map(Value::as_str).map(str::to_owned);
        let entry_points = named.chain(commands.iter().cloned()).collect();
        let workspaces = words(raw.workspaces.get("packages").unwrap_or(&raw.workspaces)).unwrap_or_default();
        let needs = Needs::new(
            raw.dependencies,
            raw.optional_dependencies,
            raw.peer_dependencies,
            raw.peer_dependencies_meta.unwrap_or_default(),
        );
        let needs = Needs { dev: raw.dev_dependencies.unwrap_or_default(), ..needs };
        Ok(Self { files: raw.files, entry_points, commands, workspaces, needs })
    }
}

/// What the `package.json` in an archive says, read leniently: published packages hold all sorts of things.
#[derive(Debug, Default)]
pub(super) struct Published {
    pub(super) platform: Platform,
    /// Files that are commands, relative to the package.
    pub(super) commands: Vec<String>,
    /// A folder whose files are all commands.
    pub(super) command_folder: Option<String>,
    /// What it wants its user to have.
    pub(super) peers: Vec<String>,
    /// Names of its scripts.
    pub(super) scripts: Vec<String>,
    /// `gypfile`: whether `binding.gyp` stands for a script, if it says so.
    pub(super) gypfile: Option<bool>,
}

impl Published {
    /// Reads the text of a `package.json`; nonsense says nothing.
    pub(super) fn parse(text: &str) -> Self {
        let value: Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap_or_default();
        let words = |key: &str| value.get(key).and_then(words);
        let platform = Platform { os: words("os"), cpu: words("cpu"), libc: words("libc") };
        let bin = value.get("bin").unwrap_or(&Value::Null);
        let folder = value.pointer("/directories/bin").and_then(Value::as_str).filter(|_| bin.is_null());
        let scripts = value.get("scripts").and_then(Value::as_object);
        let is_script = |(_, command): &(&String, &Value)| command.as_str().is_some_and(|text| !text.is_empty());
        Self {
            platform,
            commands: commands(bin),
            command_folder: folder.map(clean),
            peers: value
                .get("peerDependencies")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
                .map(|(n, _)| n.clone())
                .collect(),
            scripts: scripts.into_iter().flatten().filter(is_script).map(|(name, _)| name.clone()).collect(),
            gypfile: value.get("gypfile").and_then(Value::as_bool),
        }
    }

    /// Whether it has a script of one of these names.
    pub(super) fn has_script(&self, names: &[&str]) -> bool {
        self.scripts.iter().any(|script| names.contains(&script.as_str()))
    }

    /// Whether npm runs something when it is installed: a script, or node-gyp, if there is a `binding.gyp`.
    pub(super) fn has_install_script(&self, has_binding: bool) -> bool {
        self.has_script(&["preinstall", "install", "postinstall"]) || (has_binding && self.gypfile != Some(false))
    }

    /// Whether a file of the package is a command, which npm makes executable.
    pub(super) fn is_command(&self, path: &str) -> bool {
        let in_folder = |folder: &String| path.strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/'));
        self.commands.iter().any(|command| command == path) || self.command_folder.as_ref().is_some_and(in_folder)
    }
}

fn commands(bin: &Value) -> Vec<String> {
    match bin {
        Value::String(path) => vec![clean(path)],
        Value::Object(map) => map.values().filter_map(Value::as_str).map(clean).collect(),
        Value::Array(list) => list.iter().filter_map(Value::as_str).map(clean).collect(),
        _ => Vec::new(),
    }
}

/// `./bin/x.js` and `/bin/x.js` as `bin/x.js`.
pub(super) fn clean(path: &str) -> String {
    path.split('/').filter(|part| !part.is_empty() && *part != ".").collect::<Vec<_>>().join("/")
}

/// Parses JSON; what is wrong is told with line and column.
pub(super) fn parse_json<T: DeserializeOwned>(text: &str, path: &Path) -> Result<T> {
    serde_json::from_str(text).map_err(|error| {
        let position = (error.line() > 0).then_some((error.line(), error.column()));
        let said = error.to_string();
        let said = said.rsplit_once(" at line ").map_or(said.as_str(), |(what, _)| what);
        Error::config(said).at(path, position)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_says_what_it_needs() {
        let text = r#"{"dependencies": {"a": "1", "b": "2"}, "optionalDependencies": {"b": "3"},
            "peerDependencies": {"c": "4", "d": "5"}, "peerDependenciesMeta": {"d": {"optional": true}},
            "bin": {"x": "./bin/x.js"}, "main": "lib", "workspaces": {"packages": ["p/*"]}}"#;
        let manifest = Manifest::parse(text, Path::new("package.json")).unwrap();
        assert_eq!(manifest.needs.required.keys().collect::<Vec<_>>(), ["a"]);
        assert_eq!(manifest.needs.optional["b"], "3");
        assert!(manifest.needs.optional_peers.contains("d"));
        assert_eq!(manifest.entry_points, ["lib", "bin/x.js"]);
        assert_eq!(manifest.workspaces, ["p/*"]);
    }

    #[test]
    fn what_is_wrong_has_a_place() {
        let error = Manifest::parse("{\n \"dependencies\": [\"x\"]}", Path::new("/p/package.json")).unwrap_err();
        assert!(error.to_string().starts_with("/p/package.json:2:"), "{error}");
    }

    #[test]
    fn what_npm_would_run_is_known() {
        for (text, has_binding, runs) in [
            (r#"{"scripts": {"install": "x"}}"#, false, true),
            (r#"{"scripts": {"postinstall": "x"}, "gypfile": false}"#, true, true),
            (r#"{"scripts": {"install": "", "test": "x", "prepare": "x"}}"#, false, false),
            ("{}", true, true),
            (r#"{"gypfile": false}"#, true, false),
            (r#"{"scripts": ["x"]}"#, false, false),
        ] {
            assert_eq!(Published::parse(text).has_install_script(has_binding), runs, "{text}");
        }
    }

    #[test]
    fn commands_are_known_however_they_are_written() {
        for (text, path) in [
            (r#"{"bin": "./cli.js"}"#, "cli.js"),
            (r#"{"bin": {"a": "/bin/a"}}"#, "bin/a"),
            (r#"{"directories": {"bin": "./bin"}}"#, "bin/tool"),
        ] {
            assert!(Published::parse(text).is_command(path), "{text}");
            assert!(!Published::parse(text).is_command("binary"), "{text}");
        }
        assert!(!Published::parse("[1]").is_command(""));
    }
}
