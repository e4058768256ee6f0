//! Whether a lock was made from its manifest as it is now, by the digest that the manager has left in the lock.
//!
//! All three hash what Python's `json.dumps(…, sort_keys=True)` makes of the parts that matter. Sources:
//! `poetry.packages.locker.Locker._get_content_hash`, `plette.pipfiles.Pipfile.get_hash`, and
//! `pdm.project.project_file.PyProject.content_hash`. None of them is documented, so a difference is an error only with
//! `--locked`, and a note otherwise.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::super::manifest::read_toml;
use super::super::names::normalize;
use crate::error::{Error, Result};
use crate::store::sha256;

/// Whether a lock agrees with its manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Agreement {
    /// It does.
    Agrees,
    /// The manifest was changed since.
    Differs,
    /// The lock has no digest, or one that is made in another way.
    Untold,
}

impl Agreement {
    fn of(locked: Option<&str>, now: &[String]) -> Self {
        match locked {
            None => Self::Untold,
            Some(locked) if now.iter().any(|digest| digest == locked) => Self::Agrees,
            Some(_) => Self::Differs,
        }
    }

    /// With `--locked` a difference is refused; without, or when it cannot be told, it is a note.
    ///
    /// # Errors
    /// When `is_locked`, and the manifest was changed.
    pub(in super::super) fn told(
        self,
        is_locked: bool,
        manifest: &str,
        lock: &Path,
        command: &str,
    ) -> Result<Option<String>> {
        let name = lock.file_name().unwrap_or_default().to_string_lossy();
        match self {
            Self::Agrees => Ok(None),
            Self::Untold if is_locked => Ok(Some(format!(
                "{name} does not say which {manifest} it was made from, so `--locked` cannot compare them"
            ))),
            Self::Untold => Ok(None),
            Self::Differs if is_locked => Err(Error::config(format!(
                "`--locked` wants a lock that agrees with its manifest, but {manifest} was changed since"
            ))
            .at(lock, None)
            .hint(format!("run `{command}`"))),
            Self::Differs => {
                Ok(Some(format!("{manifest} was changed since {name} was made; `{command}` makes it anew")))
            }
        }
    }
}

/// Compares `poetry.lock` with its `pyproject.toml`.
pub(in super::super) fn poetry(locked: Option<&str>, pyproject: &Path) -> Result<Agreement> {
    let manifest = json_of(pyproject)?;
    // Poetry 2.3 was the first that looked at dependency groups; before 2.0 there was no `[project]` to look at.
    let now = [true, false].map(|with_groups| hash(&poetry_content(&manifest, with_groups), Spaces::Some));
    let old = hash(&poetry_legacy(&manifest["tool"]["poetry"]), Spaces::Some);
    Ok(Agreement::of(locked, &[&now[..], &[old]].concat()))
}

const POETRY_KEYS: [&str; 5] = ["dependencies", "source", "extras", "dev-dependencies", "group"];

fn poetry_content(manifest: &Value, with_groups: bool) -> Value {
    let project = picked(&manifest["project"], &["requires-python", "dependencies", "optional-dependencies"]);
    let groups = manifest["dependency-groups"].as_object().filter(|groups| with_groups && !groups.is_empty());
    let mut out = Map::new();
    if !project.is_empty() {
        out.insert("project".to_owned(), Value::Object(project));
    }
    if let Some(groups) = groups {
        out.insert("dependency-groups".to_owned(), Value::Object(groups.clone()));
    }
    if out.is_empty() {
        return poetry_legacy(&manifest["tool"]["poetry"]);
    }
    let poetry = picked(&manifest["tool"]["poetry"], &POETRY_KEYS);
    out.insert("tool".to_owned(), json!({ "poetry": poetry }));
    Value::Object(out)
}

/// Of what is not there, all but `group` are null.
fn poetry_legacy(poetry: &Value) -> Value {
    let mut out = picked(poetry, &POETRY_KEYS);
    for key in &POETRY_KEYS[..4] {
        out.entry(*key).or_insert(Value::Null);
    }
    Value::Object(out)
}

/// Compares `Pipfile.lock` with its `Pipfile`. Where that names no source, Pipenv takes its own, which is the lock's.
pub(in super::super) fn pipfile(locked: Option<&str>, lock_sources: &Value, pipfile: &Path) -> Result<Agreement> {
    const SECTIONS: [&str; 9] =
        ["source", "packages", "dev-packages", "requires", "scripts", "pipfile", "pipenv", "default", "develop"];
    let manifest = json_of(pipfile)?;
    let or_empty = |key: &str| manifest.get(key).cloned().unwrap_or_else(|| json!({}));
    let sources = manifest.get("source").unwrap_or(lock_sources);
    let mut content = Map::new();
    content.insert("_meta".to_owned(), json!({ "sources": sources, "requires": or_empty("requires") }));
    content.insert("default".to_owned(), or_empty("packages"));
    content.insert("develop".to_owned(), or_empty("dev-packages"));
    for (category, packages) in manifest.as_object().into_iter().flatten() {
        if !SECTIONS.contains(&category.as_str()) {
            content.insert(category.clone(), packages.clone());
        }
    }
    Ok(Agreement::of(locked, &[hash(&Value::Object(content), Spaces::None)]))
}

/// Compares `pdm.lock` with its `pyproject.toml`.
pub(in super::super) fn pdm(locked: Option<&str>, pyproject: &Path) -> Result<Agreement> {
    let manifest = json_of(pyproject)?;
    let (project, pdm) = (&manifest["project"], &manifest["tool"]["pdm"]);
    // Of projects without `[project]`, PDM makes one.
    let Some(locked) = locked.and_then(|text| text.strip_prefix("sha256:")).filter(|_| project.is_object()) else {
        return Ok(Agreement::Untold);
    };
    let or = |value: &Value, else_: Value| if value.is_null() { else_ } else { value.clone() };
    let mut groups: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for table in [&manifest["dependency-groups"], &pdm["dev-dependencies"]] {
        for (name, needs) in table.as_object().into_iter().flatten() {
            groups.entry(normalize(name)).or_default().extend(needs.as_array().cloned().unwrap_or_default());
        }
    }
    let content = json!({
        "sources": or(&pdm["source"], json!([])),
        "dependencies": or(&project["dependencies"], json!([])),
        "dev-dependencies": groups,
        "optional-dependencies": or(&project["optional-dependencies"], json!({})),
        "requires-python": or(&project["requires-python"], json!("")),
        "resolution": or(&pdm["resolution"], json!({})),
    });
    Ok(Agreement::of(Some(locked), &[hash(&content, Spaces::Some)]))
}

fn json_of(path: &Path) -> Result<Value> {
    let table: toml::Table = read_toml(path)?;
    serde_json::to_value(table)
        .map_err(|e| Error::failed("a TOML document that JSON cannot hold").because(e).at(path, None))
}

fn picked(table: &Value, keys: &[&str]) -> Map<String, Value> {
    let found = keys.iter().filter_map(|key| Some(((*key).to_owned(), table.get(*key)?.clone())));
    found.collect()
}

/// Whether there are spaces behind `,` and `:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spaces {
    Some,
    None,
}

fn hash(value: &Value, spaces: Spaces) -> String {
    let mut out = String::new();
    dump(value, spaces, &mut out);
    sha256(out.as_bytes()).hex()
}

/// As Python's `json.dumps(value, sort_keys=True)` writes it: keys in the order of code points, nothing but ASCII.
fn dump(value: &Value, spaces: Spaces, out: &mut String) {
    let (comma, colon) = if spaces == Spaces::Some { (", ", ": ") } else { (",", ":") };
    match value {
        Value::String(text) => quote(text, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { comma });
                dump(item, spaces, out);
            }
            out.push(']');
        }
        Value::Object(table) => {
            let sorted: BTreeMap<&String, &Value> = table.iter().collect();
            out.push('{');
            for (index, (key, item)) in sorted.into_iter().enumerate() {
                out.push_str(if index == 0 { "" } else { comma });
                quote(key, out);
                out.push_str(colon);
                dump(item, spaces, out);
            }
            out.push('}');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => out.push_str(&value.to_string()),
    }
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing to a string cannot fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_python() {
        // python3 -c 'import json; print(json.dumps({"b": ["é𝄞\x7f", 1, True, None], "a": {}}, sort_keys=True))'
        let mut out = String::new();
        dump(&json!({ "b": ["é𝄞\u{7f}", 1, true, null], "a": {} }), Spaces::Some, &mut out);
        assert_eq!(out, r#"{"a": {}, "b": ["\u00e9\ud834\udd1e\u007f", 1, true, null]}"#);
    }

    #[test]
    fn a_difference_is_an_error_only_when_a_lock_is_wanted() {
        let lock = Path::new("/p/poetry.lock");
        let told = |agreement: Agreement, locked| agreement.told(locked, "pyproject.toml", lock, "poetry lock");
        assert_eq!(told(Agreement::Agrees, true).unwrap(), None);
        assert!(told(Agreement::Untold, true).unwrap().unwrap().contains("cannot compare"));
        assert!(told(Agreement::Differs, false).unwrap().unwrap().contains("was changed since poetry.lock was made"));
        let error = told(Agreement::Differs, true).unwrap_err();
        assert_eq!(error.hints(), ["run `poetry lock`"]);
    }
}
