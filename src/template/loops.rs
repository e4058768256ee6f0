//! The resources of a template by their logical ids, `Fn::ForEach` turned into what it stands for.
//!
//! Source: "`Fn::ForEach`" in the AWS CloudFormation User Guide.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::eval::{Scope, Value};
use super::yaml::{Document, Node};
use crate::error::Result;

/// Loops may multiply resources: more than CloudFormation takes in a stack.
const MAX_RESOURCES: usize = 2_000;

/// A resource, with what loops around it have set.
pub(super) struct Resource {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) node: Arc<Node>,
    pub(super) loops: BTreeMap<String, String>,
}

/// Resources, those of loops among them.
pub(super) fn list(document: &Document, resources: &Node, scope: &Scope) -> Result<Vec<Resource>> {
    let mut out = Vec::new();
    spread(document, resources, scope, &mut out, &mut 0)?;
    Ok(out)
}

fn spread(
    document: &Document,
    resources: &Node,
    scope: &Scope,
    out: &mut Vec<Resource>,
    turns: &mut usize,
) -> Result<()> {
    for (key, node) in resources.entries() {
        let Some(id) = key.text() else { continue };
        if out.len() > MAX_RESOURCES {
            return Err(document.error(key, format!("there are more than {MAX_RESOURCES} resources")));
        }
        if id.starts_with("Fn::ForEach") {
            each(document, node, scope, out, turns)?;
            continue;
        }
        let id = scope.loops.iter().fold(id.to_owned(), |id, (name, value)| {
            let plain: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
            id.replace(&format!("${{{name}}}"), value).replace(&format!("&{{{name}}}"), &plain)
        });
        // Names of files are made of it.
        if !(1..=255).contains(&id.len()) || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            let what = format!("`{id}` is no logical id: these have 1 to 255 letters and digits");
            return Err(document.error(key, what).hint("CloudFormation refuses it, too: rename the resource"));
        }
        if let Some(kind) = node.get("Type").and_then(|kind| kind.text()) {
            out.push(Resource { id, kind: kind.to_owned(), node: Arc::clone(node), loops: scope.loops.clone() });
        }
    }
    Ok(())
}

/// `Fn::ForEach::Name: [Identifier, [values], {"${Identifier}…": resource}]`.
fn each(document: &Document, node: &Node, scope: &Scope, out: &mut Vec<Resource>, turns: &mut usize) -> Result<()> {
    let Some([identifier, values, body]) = node.items() else {
        return Err(document.error(node, "`Fn::ForEach` takes an identifier, a list and a map"));
    };
    let values = match scope.value(values) {
        Value::List(values) => values.iter().map(|value| value.text().map(str::to_owned)).collect::<Option<Vec<_>>>(),
        Value::Text(list) => Some(list.split(',').map(|item| item.trim().to_owned()).collect()),
        _ => None,
    };
    let Some(values) = values else {
        return Err(document
            .error(node, "what this loop goes over is known only when it is deployed")
            .hint("give the parameter that it goes over a value with `--parameter-overrides`"));
    };
    for value in values {
        *turns += 1;
        if *turns > MAX_RESOURCES {
            return Err(document.error(node, format!("loops turn more than {MAX_RESOURCES} times")));
        }
        let mut inner = scope.clone();
        inner.loops.insert(identifier.text().unwrap_or_default().to_owned(), value);
        spread(document, body, &inner, out, turns)?;
    }
    Ok(())
}
