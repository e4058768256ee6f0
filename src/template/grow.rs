//! What is added to a template when packages are split into layers: a resource for each layer, and a reference to it in each
//! function, in the style that the file has.

use super::edit::{Edits, is_json, newline, quoted};
use super::yaml::{Document, Kind, Node};
use crate::error::Result;

/// A layer to be added.
#[derive(Debug, Clone)]
pub struct NewLayer {
    /// Its logical id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `ContentUri` or `Content`, as it is to be written.
    pub content: String,
    /// Of SAM, and not of CloudFormation.
    pub is_serverless: bool,
    /// Runtimes that it is for.
    pub runtimes: Vec<String>,
    /// Processors that it is for.
    pub architectures: Vec<String>,
}

/// The logical id of a layer: letters and digits only.
pub fn logical_id(name: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
    };
    name.split(|c: char| !c.is_ascii_alphanumeric()).map(word).collect()
}

impl Edits {
    /// Names layers first in a function's `Layers`.
    ///
    /// # Errors
    /// When these are not a list that something can be added to.
    pub fn add_layers(&mut self, document: &Document, properties: &Node, ids: &[String]) -> Result<()> {
        let json = is_json(document);
        let reference = |id: &String| if json { format!("{{\"Ref\": {}}}", quoted(id)) } else { format!("!Ref {id}") };
        let references: Vec<String> = ids.iter().map(reference).collect();
        let Some(layers) = properties.get("Layers") else {
            self.insert_key(document, properties, "Layers", &format!("[{}]", references.join(", ")));
            return Ok(());
        };
        let Some(items) = layers.items().filter(|_| layers.tag.is_none()) else {
            return Err(document
                .error(layers, "layers cannot be added to this: it is no plain list")
                .hint("write `Layers` as a list, or leave `--layers` out"));
        };
        let flow = document.text[layers.start..].starts_with('[');
        match items.first() {
            Some(first) if flow => self.insert(first.start, "Layers", format!("{}, ", references.join(", "))),
            None => self.insert(layers.start + 1, "Layers", references.join(", ")),
            Some(_) => {
                let column = document.position(layers.start).1 - 1;
                let gap = format!("{}{}", newline(document), " ".repeat(column));
                let lines: String = references.iter().map(|reference| format!("- {reference}{gap}")).collect();
                self.insert(layers.start, "Layers", lines);
            }
        }
        Ok(())
    }

    /// Adds resources behind the last one.
    pub fn add_resources(&mut self, document: &Document, layers: &[NewLayer]) {
        let Some(resources) = document.root.get("Resources") else { return };
        let Kind::Map { entries, flow } = &resources.kind else { return };
        let Some((last, value)) = entries.last() else { return };
        let column = document.position(last.start).1 - 1;
        let text: String = layers.iter().map(|layer| written(document, layer, column, *flow)).collect();
        self.insert(value.end, "Resources", text);
    }
}

/// A resource, with what separates it from the one before.
fn written(document: &Document, layer: &NewLayer, column: usize, flow: bool) -> String {
    let (kind, content) = match layer.is_serverless {
        true => ("AWS::Serverless::LayerVersion", "ContentUri"),
        false => ("AWS::Lambda::LayerVersion", "Content"),
    };
    let list = |items: &[String]| format!("[{}]", items.iter().map(|item| quoted(item)).collect::<Vec<_>>().join(", "));
    let mut properties = vec![("LayerName", quoted(&layer.name)), (content, layer.content.clone())];
    if !layer.runtimes.is_empty() {
        properties.push(("CompatibleRuntimes", list(&layer.runtimes)));
    }
    if !layer.architectures.is_empty() {
        properties.push(("CompatibleArchitectures", list(&layer.architectures)));
    }
    let gap = |depth: usize| format!("{}{}", newline(document), " ".repeat(column + 2 * depth));
    if flow || is_json(document) {
        let inner: Vec<String> = properties.iter().map(|(key, value)| format!("{}: {value}", quoted(key))).collect();
        let body = format!("{{\"Type\": {}, \"Properties\": {{{}}}}}", quoted(kind), inner.join(", "));
        return format!(",{}{}: {body}", gap(0), quoted(&layer.id));
    }
    let mut out = format!("{}{}:{}Type: {kind}{}Properties:", gap(0), layer.id, gap(1), gap(1));
    for (key, value) in properties {
        out.push_str(&format!("{}{key}: {value}", gap(2)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn grown(text: &str) -> String {
        let document = Document::parse(Path::new("t.yaml"), text.to_owned()).unwrap();
        let resources = document.root.get("Resources").unwrap();
        let properties = resources.get("F").unwrap().get("Properties").unwrap();
        let mut edits = Edits::default();
        edits.add_layers(&document, properties, &["A".into(), "B".into()]).unwrap();
        let layer = NewLayer {
            id: "A".into(),
            name: "a-1".into(),
            content: "a.zip".into(),
            is_serverless: true,
            runtimes: vec!["python3.13".into()],
            architectures: Vec::new(),
        };
        edits.add_resources(&document, &[NewLayer { content: quoted("a.zip"), ..layer }]);
        let after = edits.apply(&document).unwrap();
        let again = Document::parse(Path::new("t.yaml"), after.clone()).unwrap();
        let resources = again.root.get("Resources").unwrap();
        assert_eq!(
            resources.get("A").unwrap().get("Properties").unwrap().get("ContentUri").unwrap().text(),
            Some("a.zip")
        );
        let layers = resources.get("F").unwrap().get("Properties").unwrap().get("Layers").unwrap();
        assert!(layers.items().unwrap().len() >= 2, "{after}");
        after
    }

    #[test]
    fn layers_are_added_in_the_style_of_the_file() {
        let added = "  A:\n    Type: AWS::Serverless::LayerVersion\n    Properties:\n      LayerName: \"a-1\"\n      ContentUri: \"a.zip\"\n      CompatibleRuntimes: [\"python3.13\"]\n";
        assert_eq!(
            grown(
                "Resources:\n  F:\n    Properties:\n      X: 1\n      Layers:\n        - !Ref C  # own\n  G: {}\nOutputs: {}\n"
            ),
            format!(
                "Resources:\n  F:\n    Properties:\n      X: 1\n      Layers:\n        - !Ref A\n        - !Ref B\n        - !Ref C  # own\n  G: {{}}\n{added}Outputs: {{}}\n"
            )
        );
        assert_eq!(
            grown("Resources:\n  F:\n    Properties: {Layers: [x]}\n"),
            format!("Resources:\n  F:\n    Properties: {{Layers: [!Ref A, !Ref B, x]}}\n{added}")
        );
        assert_eq!(
            grown("Resources:\n  F:\n    Properties:\n      X: 1\n"),
            format!("Resources:\n  F:\n    Properties:\n      Layers: [!Ref A, !Ref B]\n      X: 1\n{added}")
        );
        grown(
            "Resources:\n  F:\n    Properties:\n      X: 1\n      Description: |\n        text\n        more\n\nOutputs: {}\n",
        );
        grown("{\"Resources\": {\n  \"F\": {\"Properties\": {\"X\": 1}}\n}}\n");
    }

    #[test]
    fn logical_ids_have_letters_and_digits() {
        assert_eq!(logical_id("team_x-python-deps-1f3a"), "TeamXPythonDeps1f3a");
    }
}
