//! What intrinsic functions of a template come to before it is deployed.
//!
//! Parameters have their defaults or what the command line says; mappings and conditions are what the template says.
//! What only a deployment knows (attributes, imports, account ids) is not known here, and said with its reason.
//!
//! Source: "Intrinsic function reference" and "Pseudo parameters reference" in the AWS CloudFormation User Guide.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::yaml::{Kind, Node};

/// Functions within functions: deeper than any template, and less than a stack holds.
const MAX_DEPTH: usize = 64;
/// Values that one question may look at; aliases may multiply what stands in a file.
const MAX_STEPS: usize = 200_000;
/// No text that a question is about is longer.
const MAX_TEXT: usize = 1 << 16;

/// What a value comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text, or anything else that is written as one word.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// Keys and values.
    Map(BTreeMap<String, Value>),
    /// A resource of the same template, by its logical id.
    Resource(String),
    /// No value (`AWS::NoValue`).
    Nothing,
    /// Only a deployment knows; why.
    Unknown(String),
}

impl Value {
    /// The text, when it is known.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// What a template says beside its resources.
#[derive(Debug, Default, Clone)]
pub struct Scope {
    /// Parameters with their values; those without one are not known.
    pub parameters: BTreeMap<String, Option<String>>,
    /// `Mappings`.
    pub mappings: Option<Arc<Node>>,
    /// `Conditions`.
    pub conditions: Option<Arc<Node>>,
    /// Values of `AWS::Region` and the like, as far as they are known.
    pub pseudo: BTreeMap<String, String>,
    /// What a loop (`Fn::ForEach`) has set.
    pub loops: BTreeMap<String, String>,
    /// Logical ids of resources.
    pub resources: Vec<String>,
}

impl Scope {
    /// What a node comes to.
    pub fn value(&self, node: &Node) -> Value {
        Evaluator { scope: self, steps: 0 }.value(node, 0)
    }

    /// Whether a condition holds; nothing when only a deployment knows.
    pub fn condition(&self, name: &str) -> Option<bool> {
        Evaluator { scope: self, steps: 0 }.named_condition(name, 0)
    }
}

struct Evaluator<'s> {
    scope: &'s Scope,
    steps: usize,
}

fn unknown(why: impl Into<String>) -> Value {
    Value::Unknown(why.into())
}

impl Evaluator<'_> {
    fn value(&mut self, node: &Node, depth: usize) -> Value {
        self.steps += 1;
        if depth > MAX_DEPTH || self.steps > MAX_STEPS {
            return unknown("it is nested too deep");
        }
        if let Some(tag) = &node.tag {
            let name = if tag == "Ref" || tag == "Condition" { tag.clone() } else { format!("Fn::{tag}") };
            return self.function(&name, node, depth);
        }
        match &node.kind {
            Kind::Scalar { text, .. } if text.len() > MAX_TEXT => unknown("it is longer than any that is looked at"),
            Kind::Scalar { text, .. } => Value::Text(self.looped(text)),
            Kind::List(items) => Value::List(items.iter().map(|item| self.value(item, depth + 1)).collect()),
            Kind::Map { entries, .. } => match &entries[..] {
                [(key, argument)] if is_function(key.text()) => {
                    self.function(key.text().unwrap_or_default(), argument, depth)
                }
                _ => {
                    let one = |(key, value): &(Arc<Node>, Arc<Node>)| {
                        Some((self.looped(key.text()?), self.value(value, depth + 1)))
                    };
                    Value::Map(entries.iter().filter_map(one).collect())
                }
            },
        }
    }

    /// Text with the variables of loops filled in.
    fn looped(&self, text: &str) -> String {
        self.scope.loops.iter().fold(text.to_owned(), |text, (name, value)| {
            text.replace(&format!("${{{name}}}"), value).replace(&format!("&{{{name}}}"), value)
        })
    }

    fn function(&mut self, name: &str, argument: &Node, depth: usize) -> Value {
        let list = |evaluator: &mut Self| -> Vec<Value> {
            let items = argument.items().unwrap_or_default();
            items.iter().map(|item| evaluator.value(item, depth + 1)).collect()
        };
        match name {
            "Ref" => self.reference(argument.text().unwrap_or_default()),
            "Fn::Sub" => self.substitute(argument, depth),
            "Fn::Join" => join(&list(self)),
            "Fn::Split" => split(&list(self)),
            "Fn::Select" => select(&list(self)),
            "Fn::FindInMap" => {
                let arguments = list(self);
                self.find_in_map(&arguments)
            }
            "Fn::If" => self.choose(argument, depth),
            "Fn::GetAtt" => self.attribute(argument),
            "Fn::ImportValue" => unknown("`Fn::ImportValue` is known when it is deployed"),
            "Condition" | "Fn::Equals" | "Fn::And" | "Fn::Or" | "Fn::Not" => {
                match self.boolean(name, argument, depth) {
                    Some(holds) => Value::Text(holds.to_string()),
                    None => unknown(format!("`{name}` is known when it is deployed")),
                }
            }
            other => unknown(format!("`{other}` is known when it is deployed")),
        }
    }

    fn reference(&self, name: &str) -> Value {
        if let Some(value) = self.scope.loops.get(name) {
            return Value::Text(value.clone());
        }
        if name == "AWS::NoValue" {
            return Value::Nothing;
        }
        if let Some(value) = self.scope.pseudo.get(name) {
            return Value::Text(value.clone());
        }
        match self.scope.parameters.get(name) {
            Some(Some(value)) => Value::Text(value.clone()),
            Some(None) => {
                unknown(format!("parameter `{name}` has no default: name it with `--parameter-overrides {name}=…`"))
            }
            None if name.starts_with("AWS::") => unknown(format!("`{name}` is known when it is deployed")),
            None if self.scope.resources.iter().any(|resource| resource == name) => Value::Resource(name.to_owned()),
            None => unknown(format!("there is no parameter or resource `{name}`")),
        }
    }

    fn attribute(&self, argument: &Node) -> Value {
        let named = match &argument.kind {
            Kind::Scalar { text, .. } => text.split('.').next().unwrap_or_default().to_owned(),
            Kind::List(items) => items.first().and_then(|item| item.text()).unwrap_or_default().to_owned(),
            Kind::Map { .. } => String::new(),
        };
        unknown(format!("an attribute of `{named}` is known when it is deployed"))
    }

    fn substitute(&mut self, argument: &Node, depth: usize) -> Value {
        let (text, own) = match argument.items() {
            Some([text, values]) => (text.text(), Some(values)),
            _ => (argument.text(), None),
        };
        let Some(text) = text else { return unknown("`Fn::Sub` takes a string") };
        let (mut out, mut rest) = (String::new(), text);
        while let Some(at) = rest.find("${") {
            out.push_str(&rest[..at]);
            let Some(end) = rest[at..].find('}') else { break };
            let name = &rest[at + 2..at + end];
            rest = &rest[at + end + 1..];
            if let Some(literal) = name.strip_prefix('!') {
                out.push_str(&format!("${{{literal}}}"));
                continue;
            }
            let value = match own.and_then(|values| values.get(name)) {
                Some(node) => self.value(&Arc::clone(node), depth + 1),
                None if name.contains('.') => unknown(format!("`{name}` is known when it is deployed")),
                None => self.reference(name),
            };
            match value {
                Value::Text(text) if out.len() + text.len() > MAX_TEXT => {
                    return unknown("it is longer than any that is looked at");
                }
                Value::Text(text) => out.push_str(&text),
                Value::Unknown(why) => return Value::Unknown(why),
                _ => return unknown(format!("`${{{name}}}` is known when it is deployed")),
            }
        }
        out.push_str(rest);
        Value::Text(out)
    }

    fn find_in_map(&self, arguments: &[Value]) -> Value {
        let default = match arguments.get(3) {
            Some(Value::Map(options)) => options.get("DefaultValue").cloned(),
            _ => None,
        };
        let [Some(map), Some(top), Some(second)] =
            [0, 1, 2].map(|at| arguments.get(at).and_then(|argument| argument.text().map(str::to_owned)))
        else {
            return arguments
                .iter()
                .find(|argument| matches!(argument, Value::Unknown(_)))
                .cloned()
                .or(default)
                .unwrap_or_else(|| unknown("`Fn::FindInMap` takes three names"));
        };
        let mappings = self.scope.mappings.as_ref();
        let found = mappings.and_then(|mappings| mappings.get(&map)?.get(&top)?.get(&second).cloned());
        match found {
            Some(node) => match &node.kind {
                Kind::Scalar { text, .. } => Value::Text(text.clone()),
                Kind::List(items) => Value::List(
                    items.iter().filter_map(|item| item.text()).map(|text| Value::Text(text.to_owned())).collect(),
                ),
                Kind::Map { .. } => unknown(format!("`{map}.{top}.{second}` is no value")),
            },
            None => default.unwrap_or_else(|| unknown(format!("there is no `{map}.{top}.{second}` in `Mappings`"))),
        }
    }

    fn choose(&mut self, argument: &Node, depth: usize) -> Value {
        let Some([condition, yes, no]) = argument.items() else { return unknown("`Fn::If` takes three arguments") };
        let name = condition.text().unwrap_or_default();
        let (yes, no) = (Arc::clone(yes), Arc::clone(no));
        match self.named_condition(name, depth + 1) {
            Some(true) => self.value(&yes, depth + 1),
            Some(false) => self.value(&no, depth + 1),
            None => {
                let (a, b) = (self.value(&yes, depth + 1), self.value(&no, depth + 1));
                if a == b { a } else { unknown(format!("condition `{name}` is known when it is deployed")) }
            }
        }
    }

    fn named_condition(&mut self, name: &str, depth: usize) -> Option<bool> {
        let node = Arc::clone(self.scope.conditions.as_ref()?.get(name)?);
        self.holds(&node, depth + 1)
    }

    fn holds(&mut self, node: &Node, depth: usize) -> Option<bool> {
        match self.value(node, depth + 1) {
            Value::Text(text) => text.parse().ok(),
            _ => None,
        }
    }

    fn boolean(&mut self, name: &str, argument: &Node, depth: usize) -> Option<bool> {
        if depth > MAX_DEPTH {
            return None;
        }
        if name == "Condition" {
            return self.named_condition(argument.text()?, depth + 1);
        }
        let items: Vec<Arc<Node>> = argument.items()?.to_vec();
        if name == "Fn::Equals" {
            let [a, b] = &items[..] else { return None };
            let (a, b) = (self.value(a, depth + 1), self.value(b, depth + 1));
            return (a.text().is_some() && b.text().is_some()).then(|| a == b);
        }
        let all: Vec<Option<bool>> = items.iter().map(|item| self.holds(item, depth + 1)).collect();
        match name {
            "Fn::Not" => all.first().copied().flatten().map(|holds| !holds),
            "Fn::And" if all.contains(&Some(false)) => Some(false),
            "Fn::And" => all.into_iter().collect::<Option<Vec<bool>>>().map(|all| all.into_iter().all(|holds| holds)),
            _ if all.contains(&Some(true)) => Some(true),
            _ => all.into_iter().collect::<Option<Vec<bool>>>().map(|all| all.into_iter().any(|holds| holds)),
        }
    }
}

/// Whether a map of this one key is a function.
fn is_function(key: Option<&str>) -> bool {
    key.is_some_and(|key| {
        key == "Ref" || key == "Condition" || key.starts_with("Fn::") && !key.starts_with("Fn::ForEach")
    })
}

fn first_unknown(values: &[Value]) -> Option<Value> {
    values.iter().find(|value| matches!(value, Value::Unknown(_))).cloned()
}

fn join(arguments: &[Value]) -> Value {
    let [Value::Text(by), Value::List(items)] = arguments else {
        return first_unknown(arguments).unwrap_or_else(|| unknown("`Fn::Join` takes a text and a list"));
    };
    match items.iter().map(Value::text).collect::<Option<Vec<&str>>>() {
        Some(items) if items.iter().map(|item| item.len() + by.len()).sum::<usize>() > MAX_TEXT => {
            unknown("it is longer than any that is looked at")
        }
        Some(items) => Value::Text(items.join(by)),
        None => first_unknown(items).unwrap_or_else(|| unknown("`Fn::Join` joins what is known when it is deployed")),
    }
}

fn split(arguments: &[Value]) -> Value {
    match arguments {
        [Value::Text(by), Value::Text(text)] if !by.is_empty() => {
            Value::List(text.split(by.as_str()).map(|part| Value::Text(part.to_owned())).collect())
        }
        _ => first_unknown(arguments).unwrap_or_else(|| unknown("`Fn::Split` takes two texts")),
    }
}

fn select(arguments: &[Value]) -> Value {
    match arguments {
        [Value::Text(index), Value::List(items)] => {
            match index.parse::<usize>().ok().and_then(|index| items.get(index)) {
                Some(item) => item.clone(),
                None => unknown(format!("`Fn::Select` has no item {index}")),
            }
        }
        [Value::Text(index), Value::Text(text)] => {
            // The value of a parameter that is a list.
            let item = index.parse::<usize>().ok().and_then(|index| text.split(',').nth(index));
            item.map_or_else(
                || unknown(format!("`Fn::Select` has no item {index}")),
                |item| Value::Text(item.trim().to_owned()),
            )
        }
        _ => first_unknown(arguments).unwrap_or_else(|| unknown("`Fn::Select` takes an index and a list")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::yaml::Document;
    use std::path::Path;

    const TEMPLATE: &str = "
Mappings:
  Sizes: {prod: {memory: 1024, zones: [a, b]}}
Conditions:
  IsProd: !Equals [!Ref Stage, prod]
  Never: !And [!Condition IsProd, !Not [!Condition IsProd]]
  Loop: !Condition Loop
  Later: !Equals [!Ref AWS::AccountId, '1']
V:
  ref: !Ref Stage
  long: {Ref: Stage}
  sub: !Sub '${Stage}-${AWS::Region}-${!Literal}'
  own: !Sub ['${x}/${Stage}', {x: !Ref Stage}]
  map: !FindInMap [Sizes, !Ref Stage, memory]
  default: !FindInMap [Sizes, none, memory, {DefaultValue: 7}]
  if: !If [IsProd, yes-it-is, no]
  never: !If [Never, a, b]
  loop: !If [Loop, a, b]
  later: !If [Later, a, b]
  alike: !If [Later, a, a]
  join: !Join ['/', [src, !Ref Stage]]
  select: !Select [1, !Split [',', 'a,b,c']]
  resource: !Ref Layer
  attribute: !GetAtt Layer.Arn
  missing: !Ref NoDefault
  nothing: !Ref AWS::NoValue
";

    fn value(key: &str) -> Value {
        let document = Document::parse(Path::new("t.yaml"), TEMPLATE.to_owned()).unwrap();
        let scope = Scope {
            parameters: [("Stage".to_owned(), Some("prod".to_owned())), ("NoDefault".to_owned(), None)].into(),
            mappings: document.root.get("Mappings").cloned(),
            conditions: document.root.get("Conditions").cloned(),
            pseudo: [("AWS::Region".to_owned(), "eu-west-1".to_owned())].into(),
            resources: vec!["Layer".to_owned()],
            ..Scope::default()
        };
        scope.value(document.root.get("V").unwrap().get(key).unwrap())
    }

    #[test]
    fn what_is_known_is_told() {
        for (key, expected) in [
            ("ref", "prod"),
            ("long", "prod"),
            ("sub", "prod-eu-west-1-${Literal}"),
            ("own", "prod/prod"),
            ("map", "1024"),
            ("default", "7"),
            ("if", "yes-it-is"),
            ("never", "b"),
            ("alike", "a"),
            ("join", "src/prod"),
            ("select", "b"),
        ] {
            assert_eq!(value(key), Value::Text(expected.to_owned()), "{key}");
        }
        assert_eq!(value("resource"), Value::Resource("Layer".to_owned()));
        assert_eq!(value("nothing"), Value::Nothing);
    }

    #[test]
    fn what_is_not_known_says_why() {
        for (key, why) in [
            ("later", "condition `Later` is known when it is deployed"),
            ("loop", "condition `Loop` is known when it is deployed"),
            ("attribute", "an attribute of `Layer` is known when it is deployed"),
            ("missing", "parameter `NoDefault` has no default: name it with `--parameter-overrides NoDefault=…`"),
        ] {
            assert_eq!(value(key), Value::Unknown(why.to_owned()), "{key}");
        }
    }
}
