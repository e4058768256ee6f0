//! Functions that a loop (`Fn::ForEach`) makes of one text have one place where their code is named. When that is not the
//! same for all of them, a mapping tells it by the value of the loop, as SAM does it.
//!
//! Source: "CloudFormation language extensions support" in the AWS SAM Developer Guide; "Mappings" in the AWS CloudFormation
//! User Guide for what keys may be.

use std::collections::{BTreeMap, BTreeSet};

use super::edit::{Edits, Place, is_json, quoted};
use super::model::{Form, Site};
use super::yaml::Document;
use crate::error::{Error, Result};

/// A key of a mapping has at most so many characters.
const MAX_KEY: usize = 255;
/// Where the file is, of one that is not in S3.
const PATH: &str = "Path";
/// Where a template of a nested stack is.
const URL: &str = "Url";

/// A mapping: where code is, by the value of a loop.
#[derive(Debug)]
pub(super) struct Table {
    name: String,
    /// What the loop calls its value.
    identifier: String,
    rows: BTreeMap<String, Place>,
}

impl Table {
    /// Of the turns of a loop at one site; `number` makes its name.
    ///
    /// # Errors
    /// When no loop alone tells which place is meant, or its values cannot be keys of a mapping.
    pub(super) fn of(document: &Document, turns: &[(Site, Place)], number: usize) -> Result<Self> {
        let start = turns.first().map_or(0, |(site, _)| site.start());
        let identifiers: BTreeSet<&String> = turns.iter().flat_map(|(site, _)| site.loops.keys()).collect();
        let found = identifiers.into_iter().find_map(|identifier| Some((identifier, rows(turns, identifier)?)));
        let Some((identifier, rows)) = found else { return Err(ambiguous(document, start)) };
        if let Some(value) = rows.keys().find(|value| !is_key(value)) {
            return Err(Error::config(format!("`{value}`, a value of this loop, cannot be the key of a mapping"))
                .at(&document.path, Some(document.position(start)))
                .hint("what a loop makes has different code by a mapping, whose keys are letters, digits, `-`, `_` and `.`"));
        }
        let taken = |name: &String| document.root.get("Mappings").is_some_and(|mappings| mappings.get(name).is_some());
        let names = (number..).map(|number| format!("LambdaPackCode{number}"));
        let name = names.into_iter().find(|name| !taken(name)).unwrap_or_default();
        Ok(Self { name, identifier: identifier.clone(), rows })
    }

    /// What stands at the site: the parts of the place, looked up.
    pub(super) fn reference(&self, form: Form, is_json: bool) -> String {
        let find = |key: &str| {
            if is_json {
                let (name, identifier, key) = (quoted(&self.name), quoted(&self.identifier), quoted(key));
                format!("{{\"Fn::FindInMap\": [{name}, {{\"Ref\": {identifier}}}, {key}]}}")
            } else {
                format!("!FindInMap [{}, !Ref {}, {key}]", self.name, self.identifier)
            }
        };
        let (bucket, has_version) = match self.rows.values().next() {
            Some(Place::S3 { bucket, version, .. }) => (bucket, version.is_some()),
            Some(Place::Https(_)) => return find(URL),
            _ => return find(PATH),
        };
        let Some([of_bucket, of_key, of_version]) = form.keys() else { return find(URL) };
        let name = |name: &str| if is_json { quoted(name) } else { name.to_owned() };
        let mut parts = vec![format!("{}: {}", name(of_bucket), quoted(bucket))];
        parts.push(format!("{}: {}", name(of_key), find("Key")));
        if has_version && !of_version.is_empty() {
            parts.push(format!("{}: {}", name(of_version), find("Version")));
        }
        format!("{{{}}}", parts.join(", "))
    }

    fn written(&self) -> String {
        let row = |place: &Place| match place {
            Place::File(path) => format!("{{\"{PATH}\": {}}}", quoted(path)),
            Place::Https(url) => format!("{{\"{URL}\": {}}}", quoted(url)),
            Place::S3 { bucket, key, version } => {
                let version = version.as_ref().map(|version| format!(", \"Version\": {}", quoted(version)));
                let url = quoted(&format!("s3://{bucket}/{key}"));
                format!("{{\"Key\": {}, \"{URL}\": {url}{}}}", quoted(key), version.unwrap_or_default())
            }
        };
        let rows: Vec<String> =
            self.rows.iter().map(|(value, place)| format!("{}: {}", quoted(value), row(place))).collect();
        format!("{{{}}}", rows.join(", "))
    }
}

/// Places by the value of one loop; nothing when a value has several, or places of several kinds.
fn rows(turns: &[(Site, Place)], identifier: &str) -> Option<BTreeMap<String, Place>> {
    let mut rows: BTreeMap<String, Place> = BTreeMap::new();
    let kind = |place: &Place| match place {
        Place::S3 { bucket, version, .. } => (2, bucket.clone(), version.is_some()),
        Place::Https(_) => (1, String::new(), false),
        Place::File(_) => (0, String::new(), false),
    };
    for (site, place) in turns {
        let value = site.loops.get(identifier)?;
        let before = rows.insert(value.clone(), place.clone());
        if before.is_some_and(|before| before != *place) || kind(place) != kind(&turns.first()?.1) {
            return None;
        }
    }
    Some(rows)
}

fn is_key(value: &str) -> bool {
    (1..=MAX_KEY).contains(&value.len())
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Adds mappings to a document.
pub(super) fn add(document: &Document, tables: &[Table], edits: &mut Edits) {
    if tables.is_empty() {
        return;
    }
    let mappings = document.root.get("Mappings");
    if let Some(mappings) = mappings.filter(|mappings| !mappings.entries().is_empty()) {
        tables.iter().for_each(|table| edits.insert_key(document, mappings, &table.name, &table.written()));
        return;
    }
    let is_json = is_json(document);
    let name = |name: &str| if is_json { quoted(name) } else { name.to_owned() };
    let all: Vec<String> = tables.iter().map(|table| format!("{}: {}", name(&table.name), table.written())).collect();
    let all = all.join(", ");
    match mappings {
        Some(empty) => edits.insert(empty.start + 1, "Mappings", all),
        None => edits.insert_key(document, &document.root, "Mappings", &format!("{{{all}}}")),
    }
}

/// One place in a file would have to name two files.
pub(super) fn ambiguous(document: &Document, start: usize) -> Error {
    Error::config("functions that a loop makes of this have different code")
        .at(&document.path, Some(document.position(start)))
        .hint("write them as resources of their own, or let one loop alone decide which code they have")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::Template;
    use std::path::Path;

    const LOOP: &str = "Fn::ForEach::All:\n    - Name\n    - [one, two]\n    - F${Name}:\n        Type: AWS::Serverless::Function\n        \
                        Properties: {CodeUri: !Sub './${Name}', Handler: a.b}\n";

    fn s3(name: &str) -> Place {
        Place::S3 { bucket: "b".into(), key: format!("{name}.zip"), version: Some(format!("v-{name}")) }
    }

    fn mapped(text: &str, place: impl Fn(&str) -> Place) -> Result<String> {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["one", "two", "o e"] {
            crate::fsio::create_dir_all(&dir.path().join(folder)).unwrap();
        }
        let document = Document::parse(&dir.path().join("t.yaml"), text.to_owned()).unwrap();
        let none = BTreeMap::new();
        let template = Template::of(document, &none, &none).unwrap();
        let mut edits = Edits::default();
        for function in &template.functions {
            edits.place(&function.site, &place(&function.id));
        }
        edits.apply(&template.document)
    }

    #[test]
    fn what_differs_by_a_loops_value_is_looked_up() {
        let after = mapped(&format!("Resources:\n  {LOOP}"), s3).unwrap();
        let expected = "Mappings: {LambdaPackCode1: {\"one\": {\"Key\": \"Fone.zip\", \"Url\": \"s3://b/Fone.zip\", \"Version\": \"v-Fone\"}, \
                        \"two\": {\"Key\": \"Ftwo.zip\", \"Url\": \"s3://b/Ftwo.zip\", \"Version\": \"v-Ftwo\"}}}\nResources:";
        assert!(after.starts_with(expected), "{after}");
        let reference = "CodeUri: {Bucket: \"b\", Key: !FindInMap [LambdaPackCode1, !Ref Name, Key], \
                         Version: !FindInMap [LambdaPackCode1, !Ref Name, Version]}, Handler";
        assert!(after.contains(reference), "{after}");
        // The same file is read back as the functions that it says.
        let again = Document::parse(Path::new("t.yaml"), after).unwrap();
        assert!(Template::of(again, &BTreeMap::new(), &BTreeMap::new()).is_ok());
    }

    #[test]
    fn a_mapping_stands_beside_those_that_are_there() {
        let text = format!("Mappings:\n  LambdaPackCode1: {{a: {{b: c}}}}\nResources:\n  {LOOP}");
        let file = |name: &str| Place::File(format!("{name}.zip"));
        let after = mapped(&text, file).unwrap();
        let expected = "Mappings:\n  LambdaPackCode2: {\"one\": {\"Path\": \"Fone.zip\"}, \"two\": {\"Path\": \"Ftwo.zip\"}}\n  \
                        LambdaPackCode1: {a: {b: c}}\n";
        assert!(
            after.starts_with(expected) && after.contains("CodeUri: !FindInMap [LambdaPackCode2, !Ref Name, Path]")
        );
        let after = mapped(&format!("Mappings: {{}}\nResources:\n  {LOOP}"), file).unwrap();
        assert!(after.starts_with("Mappings: {LambdaPackCode1: {\"one\""), "{after}");
        let json = "{\"Resources\": {\"Fn::ForEach::All\": [\"Name\", [\"one\", \"two\"], {\"F${Name}\": {\"Type\": \"AWS::Lambda::Function\", \
                    \"Properties\": {\"Code\": {\"Fn::Sub\": \"${Name}\"}, \"Handler\": \"a.b\"}}}]}}";
        let after = mapped(json, s3).unwrap();
        let reference = "\"Code\": {\"S3Bucket\": \"b\", \"S3Key\": {\"Fn::FindInMap\": [\"LambdaPackCode1\", {\"Ref\": \"Name\"}, \"Key\"]}";
        assert!(after.contains(reference) && serde_json::from_str::<serde_json::Value>(&after).is_ok(), "{after}");
    }

    #[test]
    fn the_same_code_needs_no_mapping() {
        let after = mapped(&format!("Resources:\n  {LOOP}"), |_| Place::File("x.zip".into())).unwrap();
        assert!(after.contains("CodeUri: x.zip, Handler") && !after.contains("Mappings"), "{after}");
    }

    #[test]
    fn what_no_single_value_decides_is_refused() {
        let text = "Resources:\n  Fn::ForEach::A:\n    - A\n    - [one, two]\n    - Fn::ForEach::B:\n        - B\n        - [x, y]\n        \
                    - F${A}${B}:\n            Type: AWS::Serverless::Function\n            \
                    Properties: {CodeUri: !Sub '${A}', Handler: a.b}\n";
        assert!(mapped(text, |name| s3(&name[..4])).is_ok(), "by A alone");
        let error = mapped(text, s3).unwrap_err().to_string();
        assert!(error.contains("t.yaml:10:35: functions that a loop makes of this have different code"), "{error}");
        let spaced = format!("Resources:\n  {}", LOOP.replace("one", "'o e'").replace("F${Name}", "F&{Name}"));
        let error = mapped(&spaced, s3).unwrap_err().to_string();
        assert!(error.contains("`o e`, a value of this loop, cannot be the key of a mapping"), "{error}");
    }
}
