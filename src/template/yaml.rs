//! YAML and JSON with positions: a template is read once, and written again byte for byte but for what is replaced.
//!
//! Nodes that an alias names are shared and never copied, so that a document of a few lines cannot grow without end.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use crate::error::{Error, Result};
use crate::fsio;

/// CloudFormation takes 1 MB; a file that is larger is no template.
const MAX_BYTES: u64 = 16 << 20;
/// Deeper than any template: CloudFormation's own limit is below 50.
const MAX_DEPTH: usize = 200;
const BOM: &str = "\u{feff}";

/// A template's file.
#[derive(Debug)]
pub struct Document {
    /// Where it is.
    pub path: PathBuf,
    /// Its text as it stands in the file.
    pub text: String,
    /// What it says.
    pub root: Arc<Node>,
}

/// A value with its place.
#[derive(Debug)]
pub struct Node {
    /// Its first byte, that of its tag when it has one.
    pub start: usize,
    /// The byte behind its last.
    pub end: usize,
    /// Its tag, without the exclamation mark: `Ref`, `Sub`, `GetAtt`.
    pub tag: Option<String>,
    /// What it is.
    pub kind: Kind,
    /// How deep what is in it is nested, what aliases name included.
    depth: usize,
}

/// What a node is.
#[derive(Debug)]
pub enum Kind {
    /// Text, a number, a truth value, or nothing.
    Scalar {
        /// Its text, escapes resolved.
        text: String,
        /// Written without quotes.
        plain: bool,
    },
    /// A list.
    List(Vec<Arc<Node>>),
    /// Keys and values in the order of the file.
    Map {
        /// Each key with its value.
        entries: Vec<(Arc<Node>, Arc<Node>)>,
        /// Written with braces.
        flow: bool,
    },
}

impl Node {
    /// The text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The items of a list.
    pub fn items(&self) -> Option<&[Arc<Node>]> {
        match &self.kind {
            Kind::List(items) => Some(items),
            _ => None,
        }
    }

    /// Keys and values of a map; none of anything else.
    pub fn entries(&self) -> &[(Arc<Node>, Arc<Node>)] {
        match &self.kind {
            Kind::Map { entries, .. } => entries,
            _ => &[],
        }
    }

    /// The value under a key; that of a merged map (`<<`) when there is none.
    pub fn get(&self, key: &str) -> Option<&Arc<Node>> {
        self.find(key, &mut HashSet::new())
    }

    /// Maps that were merged in several ways are looked at once.
    fn find<'n>(&'n self, key: &str, seen: &mut HashSet<*const Node>) -> Option<&'n Arc<Node>> {
        let own = self.entries().iter().find(|(name, _)| name.text() == Some(key)).map(|(_, value)| value);
        own.or_else(|| {
            let merged = self.entries().iter().find(|(name, _)| name.text() == Some("<<")).map(|(_, value)| value)?;
            if !seen.insert(Arc::as_ptr(merged)) {
                return None;
            }
            match &merged.kind {
                Kind::List(items) => items
                    .iter()
                    .find_map(|item| if seen.insert(Arc::as_ptr(item)) { item.find(key, seen) } else { None }),
                _ => merged.find(key, seen),
            }
        })
    }
}

impl Document {
    /// Reads and parses a file.
    ///
    /// # Errors
    /// With line and column when it is not YAML, has a key twice, or is no single document.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = fsio::read_bounded(path, MAX_BYTES)?;
        let text = String::from_utf8(bytes)
            .map_err(|e| Error::config(format!("not UTF-8 at byte {}", e.utf8_error().valid_up_to())).at(path, None))?;
        Self::parse(path, text)
    }

    /// Parses `text`, which messages call `path`.
    ///
    /// # Errors
    /// See [`Document::read`].
    pub fn parse(path: &Path, text: String) -> Result<Self> {
        let bom = if text.starts_with(BOM) { BOM.len() } else { 0 };
        let root = Builder::new(path, &text[bom..], bom).run()?;
        Ok(Self { path: path.to_owned(), text, root })
    }

    /// Line and column of a byte, counted from 1, the column in characters.
    pub fn position(&self, byte: usize) -> (usize, usize) {
        let before = &self.text[..byte.min(self.text.len())];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before[line_start..].trim_start_matches(BOM).chars().count() + 1;
        (before.matches('\n').count() + 1, column)
    }

    /// A configuration error about a node.
    pub fn error(&self, node: &Node, message: impl Into<String>) -> Error {
        Error::config(message).at(&self.path, Some(self.position(node.start)))
    }
}

/// A list or map that is not yet complete.
enum Open {
    List {
        start: usize,
        tag: Option<String>,
        anchor: usize,
        items: Vec<Arc<Node>>,
        flow: bool,
    },
    Map {
        start: usize,
        tag: Option<String>,
        anchor: usize,
        entries: Vec<(Arc<Node>, Arc<Node>)>,
        key: Option<Arc<Node>>,
        names: HashSet<String>,
        flow: bool,
    },
}

/// Makes nodes of events.
struct Builder<'t> {
    path: &'t Path,
    text: &'t str,
    /// Bytes before `text` in the file.
    shift: usize,
    /// For each character of a text that is not ASCII, its byte.
    offsets: Vec<usize>,
    open: Vec<Open>,
    anchors: HashMap<usize, Arc<Node>>,
    root: Option<Arc<Node>>,
}

impl<'t> Builder<'t> {
    fn new(path: &'t Path, text: &'t str, shift: usize) -> Self {
        let offsets = if text.is_ascii() { Vec::new() } else { text.char_indices().map(|(at, _)| at).collect() };
        Self { path, text, shift, offsets, open: Vec::new(), anchors: HashMap::new(), root: None }
    }

    /// The byte of a character.
    fn byte(&self, index: usize) -> usize {
        let byte =
            if self.offsets.is_empty() { index } else { self.offsets.get(index).copied().unwrap_or(self.text.len()) };
        byte.min(self.text.len())
    }

    fn error(&self, byte: usize, message: impl Into<String>) -> Error {
        let before = &self.text[..byte.min(self.text.len())];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let position = (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1);
        Error::config(message).at(self.path, Some(position))
    }

    fn run(mut self) -> Result<Arc<Node>> {
        let mut documents = 0;
        for event in Parser::new_from_str(self.text) {
            let (event, span) = event.map_err(|error| {
                let marker = error.marker();
                Error::config(error.info().to_owned()).at(self.path, Some((marker.line(), marker.col() + 1)))
            })?;
            let at = self.byte(span.start.index());
            match event {
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        return Err(self.error(at, "a second document begins here; a template is one"));
                    }
                }
                event => self.take(event, span)?,
            }
        }
        self.root.take().ok_or_else(|| Error::config("the file is empty").at(self.path, None))
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<()> {
        let (start, end) = (self.byte(span.start.index()), self.byte(span.end.index()));
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                // The end may be told with the blanks behind it, and the start of a block without its indicator.
                let end = match style {
                    ScalarStyle::SingleQuoted => self.closed(start, '\'').unwrap_or(end),
                    ScalarStyle::DoubleQuoted => self.closed(start, '"').unwrap_or(end),
                    _ => start + self.text[start..end].trim_end().len(),
                };
                let start = if is_block { self.indicator(start) } else { start };
                let kind = Kind::Scalar { text: text.into_owned(), plain };
                let node = Arc::new(Node {
                    start: start + self.shift,
                    end: end + self.shift,
                    tag: name_of(tag.as_deref()),
                    kind,
                    depth: 1,
                });
                self.close(node, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                let (tag, flow) = (name_of(tag.as_deref()), self.begins(start, '['));
                self.begin(start, Open::List { start, tag, anchor, items: Vec::new(), flow })
            }
            Event::MappingStart(anchor, tag) => {
                let (tag, flow) = (name_of(tag.as_deref()), self.begins(start, '{'));
                self.begin(
                    start,
                    Open::Map { start, tag, anchor, entries: Vec::new(), key: None, names: HashSet::new(), flow },
                )
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(start, end),
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).cloned();
                let node = node.ok_or_else(|| self.error(start, "this alias names an anchor that is not complete"))?;
                self.close(node, 0)
            }
            _ => Ok(()),
        }
    }

    /// Behind the quote that ends a scalar, which the parser tells with the comment behind it.
    fn closed(&self, start: usize, quote: char) -> Option<usize> {
        let opened = start + self.text[start..].find(quote)? + 1;
        let mut rest = self.text[opened..].char_indices().peekable();
        while let Some((at, c)) = rest.next() {
            // Two single quotes are one, and a backslash takes what follows with it.
            let is_escape =
                c == '\\' && quote == '"' || c == '\'' && quote == '\'' && rest.peek().is_some_and(|(_, c)| *c == '\'');
            if is_escape {
                rest.next();
            } else if c == quote {
                return Some(opened + at + 1);
            }
        }
        None
    }

    /// Where the `|` or `>` of a block stands whose text begins at a byte; there, when it begins with it.
    fn indicator(&self, start: usize) -> usize {
        if self.text[start..].starts_with(['|', '>', '!', '&']) {
            return start;
        }
        let line = self.text[..start].trim_end_matches([' ', '\t', '\r', '\n']);
        let begun = line.rfind('\n').map_or(0, |at| at + 1);
        line[begun..].rfind(['|', '>']).map_or(start, |at| begun + at)
    }

    /// Whether what stands at a byte begins so, behind its tag and anchor.
    fn begins(&self, start: usize, bracket: char) -> bool {
        let mut rest = &self.text[start..];
        while rest.starts_with(['!', '&']) {
            rest = rest[rest.find(char::is_whitespace).unwrap_or(rest.len())..].trim_start();
        }
        rest.starts_with(bracket)
    }

    fn begin(&mut self, start: usize, open: Open) -> Result<()> {
        if self.open.len() >= MAX_DEPTH {
            return Err(self.error(start, format!("it is nested more than {MAX_DEPTH} deep")));
        }
        self.open.push(open);
        Ok(())
    }

    fn end(&mut self, start: usize, end: usize) -> Result<()> {
        let (node, anchor) = match self.open.pop() {
            Some(Open::List { start: begun, tag, anchor, items, flow }) => {
                let (start, end) =
                    self.extent(begun, if flow { end } else { start }, flow, items.first(), items.last());
                (Node { start, end, tag, depth: 1 + deepest(&items), kind: Kind::List(items) }, anchor)
            }
            Some(Open::Map { start: begun, tag, anchor, entries, flow, .. }) => {
                let (first, last) = (entries.first().map(|(key, _)| key), entries.last().map(|(_, value)| value));
                let (start, end) = self.extent(begun, if flow { end } else { start }, flow, first, last);
                let depth = 1 + entries.iter().map(|(key, value)| key.depth.max(value.depth)).max().unwrap_or(0);
                (Node { start, end, tag, depth, kind: Kind::Map { entries, flow } }, anchor)
            }
            None => return Ok(()),
        };
        self.close(Arc::new(node), anchor)
    }

    /// Where a list or map stands: with its brackets; else from its first part to its last.
    fn extent(
        &self,
        begun: usize,
        end: usize,
        flow: bool,
        first: Option<&Arc<Node>>,
        last: Option<&Arc<Node>>,
    ) -> (usize, usize) {
        match (first, last) {
            (Some(first), Some(last)) if !flow => (first.start.min(begun + self.shift), last.end),
            _ => (begun + self.shift, end + self.shift),
        }
    }

    /// Puts a complete node where it belongs.
    fn close(&mut self, node: Arc<Node>, anchor: usize) -> Result<()> {
        if node.depth > MAX_DEPTH {
            let at = node.start.saturating_sub(self.shift);
            return Err(self.error(at, format!("it is nested more than {MAX_DEPTH} deep")));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, Arc::clone(&node));
        }
        match self.open.last_mut() {
            None => {
                self.root.get_or_insert(node);
            }
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, names, .. }) => match key.take() {
                None => {
                    let twice = node.text().filter(|text| *text != "<<" && !names.insert((*text).to_owned()));
                    if let Some(text) = twice {
                        let message = format!("the key `{text}` is there twice");
                        return Err(self.error(node.start - self.shift, message));
                    }
                    *key = Some(node);
                }
                Some(name) => entries.push((name, node)),
            },
        }
        Ok(())
    }
}

fn deepest(items: &[Arc<Node>]) -> usize {
    items.iter().map(|item| item.depth).max().unwrap_or(0)
}

/// `Ref` of `!Ref`; tags of YAML itself say nothing here.
fn name_of(tag: Option<&Tag>) -> Option<String> {
    tag.filter(|tag| tag.handle == "!").map(|tag| tag.suffix.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Document {
        Document::parse(Path::new("t.yaml"), text.to_owned()).unwrap()
    }

    /// What the file has at a node.
    fn at<'d>(document: &'d Document, node: &Node) -> &'d str {
        &document.text[node.start..node.end]
    }

    #[test]
    fn nodes_know_where_they_stand() {
        for newline in ["\n", "\r\n"] {
            let text = "\u{feff}# é\nA:\n  Uri:  src/é   # why\n  Quoted: 'it''s'\n  Sub: !Sub \"${A}-x\"\n  Flow: {Bucket: b, Key: [1, 2]}\n  Tagged: !Select [1, [a, b]]\n  Map:\n    Bucket: b\n    Key: k  # c\n  List:\n    - a\n    - !Ref B\nEnd: last";
            let document = parse(&text.replace('\n', newline));
            let a = document.root.get("A").unwrap();
            let shown = |key: &str| at(&document, a.get(key).unwrap()).replace(newline, "|");
            assert_eq!(shown("Uri"), "src/é");
            assert_eq!(shown("Quoted"), "'it''s'");
            assert_eq!(a.get("Quoted").unwrap().text(), Some("it's"));
            assert_eq!(shown("Sub"), "!Sub \"${A}-x\"");
            assert_eq!(a.get("Sub").unwrap().tag.as_deref(), Some("Sub"));
            assert_eq!(shown("Flow"), "{Bucket: b, Key: [1, 2]}");
            assert_eq!(shown("Tagged"), "!Select [1, [a, b]]");
            assert_eq!(shown("Map"), "Bucket: b|    Key: k");
            assert_eq!(shown("List"), "- a|    - !Ref B");
            assert_eq!(at(&document, document.root.get("End").unwrap()), "last");
            assert_eq!(document.position(a.get("Uri").unwrap().start), (3, 9));
        }
    }

    #[test]
    fn json_is_read_too() {
        let document = parse("{\"A\": {\"B\": \"x\\u0041\", \"C\": [true, null]}}\n");
        let a = document.root.get("A").unwrap();
        assert_eq!(a.get("B").unwrap().text(), Some("xA"));
        assert_eq!(at(&document, a), "{\"B\": \"x\\u0041\", \"C\": [true, null]}");
    }

    #[test]
    fn what_is_no_template_is_refused_with_its_place() {
        for (text, said) in [
            ("A: 1\nB: 2\nA: 3\n", "t.yaml:3:1: the key `A` is there twice"),
            ("A: [1, 2\n", "t.yaml:2:1: "),
            ("A:\n\tB: 1\n", "t.yaml:2:"),
            ("A: 1\n---\nB: 2\n", "t.yaml:2:1: a second document begins here"),
            ("", "t.yaml: the file is empty"),
            ("A: *x\n", "t.yaml:1:"),
        ] {
            let error = Document::parse(Path::new("t.yaml"), text.to_owned()).unwrap_err().to_string();
            assert!(error.starts_with(said), "{text:?}: {error}");
        }
        let deep = "[".repeat(1_000);
        assert!(Document::parse(Path::new("t.yaml"), deep).is_err());
    }

    #[test]
    fn anchors_are_shared_and_merged() {
        let mut text = "a0: &a0 {x: 1}\n".to_owned();
        for n in 1..40 {
            text += &format!("a{n}: &a{n} [*a{m}, *a{m}, *a{m}, *a{m}]\n", m = n - 1);
        }
        assert!(parse(&text).root.get("a39").is_some());
        let document = parse("base: &base {Runtime: python3.13, Timeout: 3}\nF:\n  <<: *base\n  Timeout: 5\n");
        let f = document.root.get("F").unwrap();
        assert_eq!(
            (f.get("Runtime").unwrap().text(), f.get("Timeout").unwrap().text()),
            (Some("python3.13"), Some("5"))
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "([a-c]: |- |\\[|\\]|\\{|\\}|, |\n|  |\"|'|!Ref |&a |\\*a|#|é|\t|\\|\n|>\n){0,30}") {
            if let Ok(document) = Document::parse(Path::new("t.yaml"), text) {
                prop_assert!(document.root.end <= document.text.len());
                prop_assert!(document.text.is_char_boundary(document.root.start));
            }
        }
    }
}
