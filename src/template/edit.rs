//! A template with other text where code is named, and nothing else changed: comments, order, anchors, quotes and line
//! endings stay as they are.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use super::maps::{self, Table};
use super::model::{Form, Site};
use super::yaml::{Document, Kind, Node};
use crate::error::{Error, Result};

/// Where code is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A file, by its path relative to where the template is written.
    File(String),
    /// An address, of a nested template.
    Https(String),
    /// An object in S3.
    S3 {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
        /// The version, when the bucket keeps versions.
        version: Option<String>,
    },
}

/// One replacement.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Edit {
    start: usize,
    end: usize,
    text: String,
    /// The property that is written, of what is put between.
    key: Option<String>,
}

/// Replacements in one document.
#[derive(Debug, Default)]
pub struct Edits {
    edits: Vec<Edit>,
    /// What is to be named where.
    places: Vec<(Site, Place)>,
}

impl Edits {
    /// Says where the code of a site is. In a loop, one site is in several turns of it.
    pub fn place(&mut self, site: &Site, place: &Place) {
        self.places.push((site.clone(), place.clone()));
    }

    /// Writes the places down: what is the same in all turns of a loop as it is, what is not by a mapping.
    fn write_places(&mut self, document: &Document) -> Result<()> {
        let mut by_site: BTreeMap<(usize, &str), Vec<(Site, Place)>> = BTreeMap::new();
        for (site, place) in std::mem::take(&mut self.places) {
            by_site.entry((site.start(), site.key)).or_default().push((site, place));
        }
        let mut tables: Vec<Table> = Vec::new();
        for turns in by_site.into_values() {
            let Some((site, place)) = turns.first() else { continue };
            let value = if turns.iter().all(|(_, other)| other == place) {
                written(place, site.form, is_json(document))
            } else {
                let table = Table::of(document, &turns, tables.len() + 1)?;
                let value = table.reference(site.form, is_json(document));
                tables.push(table);
                value
            };
            self.write(document, site, value);
        }
        maps::add(document, &tables, self);
        Ok(())
    }

    fn write(&mut self, document: &Document, site: &Site, value: String) {
        match &site.value {
            Some(node) => {
                let (start, end) = (node.start, node.end);
                let value = if needs_line(document, node, start) { format!(" {value}") } else { value };
                self.edits.push(Edit { start, end, text: value, key: None });
            }
            None => self.insert_key(document, &site.properties, site.key, &value),
        }
    }

    /// A new key before the first of a map.
    pub(super) fn insert_key(&mut self, document: &Document, properties: &Node, key: &str, value: &str) {
        let edit = insertion(document, properties, key, value, is_json(document));
        self.edits.push(Edit { key: Some(key.to_owned()), ..edit });
    }

    /// Text between what stands there.
    pub(super) fn insert(&mut self, at: usize, key: &str, text: String) {
        self.edits.push(Edit { start: at, end: at, text, key: Some(key.to_owned()) });
    }

    /// The document with the replacements. Several of one place are one when they say the same.
    ///
    /// # Errors
    /// When two of them differ and no loop tells which of them is meant.
    pub fn apply(mut self, document: &Document) -> Result<String> {
        // What is added at one place stands in the order in which it was added.
        self.write_places(document)?;
        self.edits.sort_by_key(|edit| (edit.start, edit.end));
        self.edits.dedup();
        let mut out = String::with_capacity(document.text.len() + 256);
        let mut done = 0;
        let mut written: HashSet<(usize, &str)> = HashSet::new();
        for edit in &self.edits {
            let is_twice = edit.key.as_ref().is_some_and(|key| !written.insert((edit.start, key)));
            if edit.start < done || is_twice {
                return Err(maps::ambiguous(document, edit.start));
            }
            out.push_str(&document.text[done..edit.start]);
            out.push_str(&edit.text);
            done = edit.end;
        }
        out.push_str(&document.text[done..]);
        // Whatever the file looks like, what is written is a template.
        match Document::parse(&document.path, out.clone()) {
            Ok(_) => Ok(out),
            Err(error) => Err(Error::failed(format!(
                "`{}` is written in a way that cannot be changed safely",
                document.path.display()
            ))
            .because(error)
            .hint("write the places of code as `Key: value` in one line, and report this")),
        }
    }
}

/// Whether a document is written as JSON.
pub(super) fn is_json(document: &Document) -> bool {
    document.text.trim_start_matches('\u{feff}').trim_start().starts_with('{')
}

/// A place as it is written in a document.
pub fn value(document: &Document, place: &Place, form: Form) -> String {
    written(place, form, is_json(document))
}

/// The place as a value in the form that a property takes.
pub(super) fn written(place: &Place, form: Form, is_json: bool) -> String {
    let (bucket, object, version) = match place {
        Place::File(path) => {
            let is_plain =
                path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c)) && !path.starts_with('-');
            return if is_plain && !is_json { path.clone() } else { quoted(path) };
        }
        Place::Https(url) => return quoted(url),
        Place::S3 { bucket, key, version } => (bucket, key, version.as_ref()),
    };
    let Some([of_bucket, of_key, of_version]) = form.keys() else {
        return quoted(&format!("s3://{bucket}/{object}"));
    };
    let name = |name: &str| if is_json { quoted(name) } else { name.to_owned() };
    let version = version.filter(|_| !of_version.is_empty()).map(|version| (of_version, version));
    let parts = [(of_bucket, bucket), (of_key, object)].into_iter().chain(version);
    let parts: Vec<String> = parts.map(|(key, value)| format!("{}: {}", name(key), quoted(value))).collect();
    format!("{{{}}}", parts.join(", "))
}

/// A string of JSON, which YAML reads alike.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// How lines end.
pub(super) fn newline(document: &Document) -> &'static str {
    if document.text.contains("\r\n") { "\r\n" } else { "\n" }
}

/// Whether the value stands on lines of its own below its key: then what replaces it begins there, too, which is right for
/// text in one line.
fn needs_line(document: &Document, node: &Node, start: usize) -> bool {
    matches!(node.kind, Kind::Map { .. } | Kind::List(_)) && document.text[..start].ends_with(':')
}

/// A new key before the first of `properties`.
fn insertion(document: &Document, properties: &Node, key: &str, value: &str, is_json: bool) -> Edit {
    let newline = newline(document);
    let key = if is_json { quoted(key) } else { key.to_owned() };
    match (&properties.kind, properties.entries().first()) {
        (Kind::Map { flow: false, .. }, Some((first, _))) => {
            let column = document.position(first.start).1 - 1;
            let text = format!("{key}: {value}{newline}{}", " ".repeat(column));
            Edit { start: first.start, end: first.start, text, key: None }
        }
        (_, Some((first, _))) => {
            let before = &document.text[properties.start + 1..first.start];
            // Each key on its own line, or all on one.
            let gap = if before.contains('\n') { before } else { " " };
            Edit { start: first.start, end: first.start, text: format!("{key}: {value},{gap}"), key: None }
        }
        (_, None) => {
            Edit { start: properties.start + 1, end: properties.start + 1, text: format!("{key}: {value}"), key: None }
        }
    }
}

/// A path from one folder to a file, with `/` between its parts.
pub fn relative(from: &Path, to: &Path) -> String {
    let (from, to): (Vec<_>, Vec<_>) = (from.components().collect(), to.components().collect());
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..".to_owned(), from.len() - shared);
    let down = to[shared..].iter().map(|part| part.as_os_str().to_string_lossy().into_owned());
    let parts: Vec<String> = up.chain(down).collect();
    if parts.is_empty() { ".".to_owned() } else { parts.join("/") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn edited(text: &str, place: &Place) -> String {
        let document = Document::parse(Path::new("t.yaml"), text.to_owned()).unwrap();
        let properties = Arc::clone(document.root.get("P").unwrap());
        let value = properties.get("CodeUri").cloned();
        let mut edits = Edits::default();
        let loops = BTreeMap::new();
        edits.place(&Site { key: "CodeUri", form: Form::Uri, value, properties, loops }, place);
        let after = edits.apply(&document).unwrap();
        let again = Document::parse(Path::new("t.yaml"), after.clone()).unwrap();
        assert!(again.root.get("P").unwrap().get("CodeUri").is_some(), "{after}");
        after
    }

    #[test]
    fn only_the_place_of_code_changes() {
        let file = Place::File("../api.zip".into());
        let s3 = Place::S3 { bucket: "b".into(), key: "k: 1".into(), version: Some("v".into()) };
        for (before, after_file, after_s3) in [
            (
                "P:\n  CodeUri: src/ # why\n  X: &x 1\n",
                "P:\n  CodeUri: ../api.zip # why\n  X: &x 1\n",
                "P:\n  CodeUri: {Bucket: \"b\", Key: \"k: 1\", Version: \"v\"} # why\n  X: &x 1\n",
            ),
            (
                "P:\n  CodeUri: 'src/it''s'   # why\n  X: 1\n",
                "P:\n  CodeUri: ../api.zip   # why\n  X: 1\n",
                "P:\n  CodeUri: {Bucket: \"b\", Key: \"k: 1\", Version: \"v\"}   # why\n  X: 1\n",
            ),
            (
                "P:\n  CodeUri: !Sub \"a\\\"b\" # why\n  # more\n  X: 1\n",
                "P:\n  CodeUri: ../api.zip # why\n  # more\n  X: 1\n",
                "P:\n  CodeUri: {Bucket: \"b\", Key: \"k: 1\", Version: \"v\"} # why\n  # more\n  X: 1\n",
            ),
            (
                "P:\r\n  CodeUri: !Sub 'src/${A}'\r\n",
                "P:\r\n  CodeUri: ../api.zip\r\n",
                "P:\r\n  CodeUri: {Bucket: \"b\", Key: \"k: 1\", Version: \"v\"}\r\n",
            ),
            (
                "P:\n    Handler: a\n    Runtime: b\n",
                "P:\n    CodeUri: ../api.zip\n    Handler: a\n    Runtime: b\n",
                "P:\n    CodeUri: {Bucket: \"b\", Key: \"k: 1\", Version: \"v\"}\n    Handler: a\n    Runtime: b\n",
            ),
            (
                "{\"P\": {\n  \"Handler\": \"a\"\n}}",
                "{\"P\": {\n  \"CodeUri\": \"../api.zip\",\n  \"Handler\": \"a\"\n}}",
                "{\"P\": {\n  \"CodeUri\": {\"Bucket\": \"b\", \"Key\": \"k: 1\", \"Version\": \"v\"},\n  \"Handler\": \"a\"\n}}",
            ),
            (
                "P: {Handler: a, CodeUri: src}\n",
                "P: {Handler: a, CodeUri: ../api.zip}\n",
                "P: {Handler: a, CodeUri: {Bucket: \"b\", Key: \"k: 1\", Version: \"v\"}}\n",
            ),
            (
                "P:\n  CodeUri: >-\n    src\n  Handler: a\n",
                "P:\n  CodeUri: ../api.zip\n  Handler: a\n",
                "P:\n  CodeUri: {Bucket: \"b\", Key: \"k: 1\", Version: \"v\"}\n  Handler: a\n",
            ),
            (
                "P:\n  CodeUri: # コード　&場所 is !important\n    src\n",
                "P:\n  CodeUri: # コード　&場所 is !important\n    ../api.zip\n",
                "P:\n  CodeUri: # コード　&場所 is !important\n    {Bucket: \"b\", Key: \"k: 1\", Version: \"v\"}\n",
            ),
            (
                "P:\n  CodeUri:\n    Fn::Sub: src\n  Handler: a\n",
                "P:\n  CodeUri:\n    ../api.zip\n  Handler: a\n",
                "P:\n  CodeUri:\n    {Bucket: \"b\", Key: \"k: 1\", Version: \"v\"}\n  Handler: a\n",
            ),
        ] {
            assert_eq!(edited(before, &file), after_file);
            assert_eq!(edited(before, &s3), after_s3);
        }
    }

    #[test]
    fn one_place_cannot_name_two() {
        let document = Document::parse(Path::new("t.yaml"), "P: {CodeUri: src}".to_owned()).unwrap();
        let properties = Arc::clone(document.root.get("P").unwrap());
        let (value, loops) = (properties.get("CodeUri").cloned(), BTreeMap::new());
        let site = Site { key: "CodeUri", form: Form::Uri, value, properties, loops };
        let mut edits = Edits::default();
        edits.place(&site, &Place::File("a.zip".into()));
        edits.place(&site, &Place::File("a.zip".into()));
        edits.place(&site, &Place::File("b.zip".into()));
        assert!(edits.apply(&document).unwrap_err().to_string().contains("different code"));
        let site = Site { value: None, ..site };
        let mut edits = Edits::default();
        edits.place(&site, &Place::File("a.zip".into()));
        edits.place(&site, &Place::File("b.zip".into()));
        assert!(edits.apply(&document).unwrap_err().to_string().contains("different code"));
    }

    #[test]
    fn paths_lead_from_folder_to_folder() {
        for (from, to, path) in [("/p/target/x", "/p/src", "../../src"), ("/p", "/p", "."), ("/p", "/p/a.zip", "a.zip")]
        {
            assert_eq!(relative(Path::new(from), Path::new(to)), path);
        }
    }
}
