//! Reading TOML with positions: every error names the file, the line and the column, and what would have been right.
//!
//! `lambda-pack.toml` and the metadata tables of a `Cargo.toml` are read by the same few methods of [`Section`].

use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{Error, Position, Result};
use crate::fsio;

/// A TOML file.
#[derive(Debug)]
pub(crate) struct Document {
    path: PathBuf,
    text: String,
    root: Table,
}

/// A value and where it starts.
#[derive(Debug)]
struct Node {
    start: usize,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Text(String),
    Array(Vec<Node>),
    Table(Table),
    /// A whole number; nothing when it is none that counts something.
    Number(Option<u64>),
    Flag(bool),
    /// What no setting of ours is: only its name is needed, for the message.
    Other(&'static str),
}

#[derive(Debug)]
struct Table {
    start: usize,
    fields: Vec<Field>,
}

#[derive(Debug)]
struct Field {
    key: String,
    key_start: usize,
    node: Node,
}

/// Something read, with its place in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Located<T> {
    /// What was read.
    pub(crate) value: T,
    /// Where it stands.
    pub(crate) at: Position,
}

impl<T> Located<T> {
    /// A configuration error about it.
    pub(crate) fn error(&self, message: impl Into<String>) -> Error {
        Error::config(message).at(self.at.path.clone(), self.at.line_column)
    }
}

/// One table of a document, under the name that messages use for it.
#[derive(Debug, Clone)]
pub(crate) struct Section<'a> {
    document: &'a Document,
    table: &'a Table,
    name: String,
}

/// What an array of `include` holds.
#[derive(Debug, Clone)]
pub(crate) enum Item<'a> {
    /// A string.
    Text(Located<String>),
    /// An inline table.
    Section(Section<'a>),
}

impl Document {
    /// Reads and parses a file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        Self::parse(path, fsio::read_text(path)?)
    }

    /// Parses `text`, which messages call `path`.
    pub(crate) fn parse(path: &Path, text: String) -> Result<Self> {
        let root = match DeTable::parse(&text) {
            Ok(table) => convert_table(table.span().start, table.get_ref()),
            Err(error) => {
                let at = error.span().map(|span| line_column(&text, span.start));
                return Err(Error::config(error.message().replace('\n', ", ")).at(path, at));
            }
        };
        Ok(Self { path: path.to_owned(), text, root })
    }

    /// The whole document as a section.
    pub(crate) fn root(&self) -> Section<'_> {
        Section { document: self, table: &self.root, name: String::new() }
    }

    /// The folder that holds the file.
    pub(crate) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    fn position(&self, start: usize) -> Position {
        Position { path: self.path.clone(), line_column: Some(line_column(&self.text, start)) }
    }

    fn error(&self, start: usize, message: impl Into<String>) -> Error {
        Error::config(message).at(&self.path, Some(line_column(&self.text, start)))
    }

    fn located<T>(&self, start: usize, value: T) -> Located<T> {
        Located { value, at: self.position(start) }
    }
}

fn convert(node: &Spanned<DeValue<'_>>) -> Node {
    let start = node.span().start;
    let value = match node.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Array(items) => Value::Array(items.iter().map(convert).collect()),
        DeValue::Table(table) => Value::Table(convert_table(start, table)),
        DeValue::Integer(integer) => Value::Number(u64::from_str_radix(integer.as_str(), integer.radix()).ok()),
        DeValue::Float(_) => Value::Other("a float"),
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Datetime(_) => Value::Other("a date"),
    };
    Node { start, value }
}

fn convert_table(start: usize, table: &DeTable<'_>) -> Table {
    let mut fields: Vec<Field> = table
        .iter()
        .map(|(key, node)| Field { key: key.get_ref().to_string(), key_start: key.span().start, node: convert(node) })
        .collect();
    // In the order of the file, so that the first error is the topmost one.
    fields.sort_by_key(|field| field.key_start);
    Table { start, fields }
}

impl Node {
    fn kind(&self) -> &'static str {
        match &self.value {
            Value::Text(_) => "a string",
            Value::Array(_) => "an array",
            Value::Table(_) => "a table",
            Value::Number(_) => "an integer",
            Value::Flag(_) => "a boolean",
            Value::Other(kind) => kind,
        }
    }
}

impl<'a> Section<'a> {
    /// Its name in messages: `[functions.api]`, or nothing for the whole file.
    fn shown(&self) -> String {
        if self.name.is_empty() {
            format!("`{}`", self.document.path.file_name().unwrap_or_default().to_string_lossy())
        } else {
            format!("`[{}]`", self.name)
        }
    }

    /// Where it begins.
    pub(crate) fn at(&self) -> Position {
        self.document.position(self.table.start)
    }

    /// An error about the section itself.
    pub(crate) fn error(&self, message: impl Into<String>) -> Error {
        self.document.error(self.table.start, message)
    }

    fn field(&self, key: &str) -> Option<&'a Field> {
        self.table.fields.iter().find(|field| field.key == key)
    }

    /// Whether the key is there.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.field(key).is_some()
    }

    /// Where a key stands; where the section does when it has no such key.
    pub(crate) fn at_key(&self, key: &str) -> Position {
        self.keys().find(|found| found.value == key).map_or_else(|| self.at(), |found| found.at)
    }

    /// Its keys, in the order of the file.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Located<String>> + use<'_, 'a> {
        self.table.fields.iter().map(|field| self.document.located(field.key_start, field.key.clone()))
    }

    /// Refuses every key that is not one of `known`.
    pub(crate) fn only(&self, known: &[&str]) -> Result<()> {
        match self.keys().find(|key| !known.contains(&key.value.as_str())) {
            None => Ok(()),
            Some(key) => {
                let error = key.error(format!("unknown key `{}` in {}", key.value, self.shown()));
                Err(suggest(error, &key.value, known, "keys"))
            }
        }
    }

    fn wrong_type<T>(&self, key: &str, node: &Node, wanted: &str) -> Result<T> {
        Err(self.document.error(node.start, format!("`{key}` must be {wanted}, not {}", node.kind())))
    }

    /// The string under `key`.
    pub(crate) fn text(&self, key: &str) -> Result<Option<Located<String>>> {
        let Some(field) = self.field(key) else { return Ok(None) };
        match &field.node.value {
            Value::Text(text) => Ok(Some(self.document.located(field.node.start, text.clone()))),
            _ => self.wrong_type(key, &field.node, "a string"),
        }
    }

    /// The number of something under `key`.
    pub(crate) fn count(&self, key: &str) -> Result<Option<u64>> {
        let Some(field) = self.field(key) else { return Ok(None) };
        match &field.node.value {
            Value::Number(Some(number)) => Ok(Some(*number)),
            Value::Number(None) => {
                Err(self.document.error(field.node.start, format!("`{key}` must be a number of bytes, from 0 on")))
            }
            _ => self.wrong_type(key, &field.node, "an integer"),
        }
    }

    /// `true` or `false` under `key`.
    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>> {
        let Some(field) = self.field(key) else { return Ok(None) };
        match &field.node.value {
            Value::Flag(flag) => Ok(Some(*flag)),
            _ => self.wrong_type(key, &field.node, "a boolean"),
        }
    }

    /// The string, or the strings of an array, under `key`. Nothing when it is absent.
    pub(crate) fn text_or_texts(&self, key: &str) -> Result<Option<Vec<Located<String>>>> {
        match self.field(key).map(|field| &field.node.value) {
            None => Ok(None),
            Some(Value::Text(_)) => Ok(Some(self.text(key)?.into_iter().collect())),
            Some(_) => self.texts(key).map(Some),
        }
    }

    /// Whether a boolean is under `key`.
    pub(crate) fn has_flag(&self, key: &str) -> bool {
        self.field(key).is_some_and(|field| matches!(field.node.value, Value::Flag(_)))
    }

    /// Whether a table is under `key`.
    pub(crate) fn is_table(&self, key: &str) -> bool {
        self.field(key).is_some_and(|field| matches!(field.node.value, Value::Table(_)))
    }

    /// The table under `key`.
    pub(crate) fn section(&self, key: &str) -> Result<Option<Section<'a>>> {
        let Some(field) = self.field(key) else { return Ok(None) };
        match &field.node.value {
            Value::Table(table) => Ok(Some(self.inner(table, key))),
            _ => self.wrong_type(key, &field.node, "a table"),
        }
    }

    fn inner(&self, table: &'a Table, key: &str) -> Section<'a> {
        let name = if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) };
        Section { document: self.document, table, name }
    }

    /// The array under `key`: strings, and tables where the caller knows what to do with them. Nothing when it is absent.
    pub(crate) fn items(&self, key: &str) -> Result<Vec<Item<'a>>> {
        let Some(field) = self.field(key) else { return Ok(Vec::new()) };
        let Value::Array(nodes) = &field.node.value else {
            return self.wrong_type(key, &field.node, "an array");
        };
        nodes
            .iter()
            .map(|node| match &node.value {
                Value::Text(text) => Ok(Item::Text(self.document.located(node.start, text.clone()))),
                Value::Table(table) => Ok(Item::Section(self.inner(table, key))),
                _ => self.wrong_type(key, node, "an array of strings"),
            })
            .collect()
    }

    /// The array of strings under `key`.
    pub(crate) fn texts(&self, key: &str) -> Result<Vec<Located<String>>> {
        self.items(key)?
            .into_iter()
            .map(|item| match item {
                Item::Text(text) => Ok(text),
                Item::Section(section) => {
                    Err(section.error(format!("`{key}` must be an array of strings, not of tables")))
                }
            })
            .collect()
    }
}

/// The error with a hint at the nearest of `known`, or at all of them when none is near.
pub(crate) fn suggest(error: Error, typed: &str, known: &[&str], what: &str) -> Error {
    match nearest(typed, known) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint(format!("{what}: {}", known.join(", "))),
    }
}

/// What was probably meant, if anything is near enough.
pub(crate) fn nearest<'k>(typed: &str, known: &[&'k str]) -> Option<&'k str> {
    let distance = |k: &str| strsim::osa_distance(&typed.to_lowercase(), &k.to_lowercase());
    let near = known.iter().copied().min_by_key(|k| distance(k))?;
    (distance(near) <= 1 + typed.chars().count() / 4).then_some(near)
}

/// Line and column of a byte, counted from 1, the column in characters.
fn line_column(text: &str, byte: usize) -> (usize, usize) {
    let mut end = byte.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn document(text: &str) -> Document {
        Document::parse(Path::new("lambda-pack.toml"), text.to_owned()).unwrap()
    }

    #[test]
    fn syntax_errors_have_a_line_and_a_column() {
        let error = Document::parse(Path::new("x.toml"), "a = 1\nb = [1,\n".to_owned()).unwrap_err();
        assert!(error.to_string().starts_with("x.toml:3:1: ") || error.to_string().starts_with("x.toml:2:"), "{error}");
        let error = Document::parse(Path::new("x.toml"), "é = 1\na = 1\na = 2\n".to_owned()).unwrap_err();
        assert!(error.to_string().starts_with("x.toml:"), "{error}");
    }

    #[test]
    fn columns_count_characters() {
        assert_eq!(line_column("é = x", 5), (1, 5));
        assert_eq!(line_column("a\nbc", 3), (2, 2));
        assert_eq!(line_column("a", 99), (1, 2));
    }

    #[test]
    fn the_topmost_unknown_key_is_named_with_the_nearest() {
        let doc = document("zzz = 1\nruntme = 'x'\n");
        let error = doc.root().only(&["runtime", "zz"]).unwrap_err();
        assert_eq!(error.to_string(), "lambda-pack.toml:1:1: unknown key `zzz` in `lambda-pack.toml`");
        assert_eq!(error.hints(), ["did you mean `zz`?"]);
        assert_eq!(nearest("runtme", &["runtime", "handler"]), Some("runtime"));
        assert_eq!(nearest("x", &["runtime", "handler"]), None);
    }

    #[test]
    fn wrong_types_are_named() {
        let doc = document("a = 1\n[b]\nc = ['x', 2]\n");
        assert_eq!(
            doc.root().text("a").unwrap_err().to_string(),
            "lambda-pack.toml:1:5: `a` must be a string, not an integer"
        );
        let b = doc.root().section("b").unwrap().unwrap();
        assert_eq!(
            b.texts("c").unwrap_err().to_string(),
            "lambda-pack.toml:3:11: `c` must be an array of strings, not an integer"
        );
        assert_eq!(
            doc.root().text("b").unwrap_err().to_string(),
            "lambda-pack.toml:2:1: `b` must be a string, not a table"
        );
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "\\PC*", toml in "[a-c\\[\\]{}.=\"',#\\n 1é-]{0,60}") {
            for text in [text, toml] {
                if let Ok(doc) = Document::parse(Path::new("x"), text) {
                    let _ = doc.root().only(&["a"]);
                    let _ = doc.root().text("a");
                    let _ = doc.root().items("a");
                    let _ = doc.root().section("a").map(|s| s.map(|s| s.texts("b")));
                }
            }
        }
    }
}
