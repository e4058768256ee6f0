//! Other local files that a template names: state machines, API definitions, schemas, included snippets. `aws cloudformation
//! package` uploads them; so does `publish`, and `build` keeps their paths right.
//!
//! Source: "package" in the AWS CLI Command Reference of `aws cloudformation`, and for the form that each property takes, its
//! page in the AWS CloudFormation template reference or the AWS SAM Developer Guide.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::eval::{Scope, Value};
use super::model::{Form, Site};
use super::yaml::{Document, Kind, Node};
use crate::fsio;

/// Nodes that are looked at for includes.
const MAX_NODES: usize = 500_000;

/// A file that a template names.
#[derive(Debug, Clone)]
pub struct LocalFile {
    /// What it is called in outputs: the logical id, and the property when that is not the only one.
    pub name: String,
    /// The file, absolute; or a folder, which is sent as a zip.
    pub path: PathBuf,
    /// Where it is written.
    pub site: Site,
}

/// Type, path of the property, form.
const PROPERTIES: &[(&str, &[&str], Form)] = &[
    ("AWS::ApiGateway::RestApi", &["BodyS3Location"], Form::Uri),
    ("AWS::ApiGatewayV2::Api", &["BodyS3Location"], Form::Uri),
    ("AWS::Serverless::Api", &["DefinitionUri"], Form::Uri),
    ("AWS::Serverless::HttpApi", &["DefinitionUri"], Form::Uri),
    ("AWS::Serverless::StateMachine", &["DefinitionUri"], Form::Uri),
    ("AWS::StepFunctions::StateMachine", &["DefinitionS3Location"], Form::Uri),
    ("AWS::AppSync::GraphQLSchema", &["DefinitionS3Location"], Form::Url),
    ("AWS::AppSync::Resolver", &["RequestMappingTemplateS3Location"], Form::Url),
    ("AWS::AppSync::Resolver", &["ResponseMappingTemplateS3Location"], Form::Url),
    ("AWS::AppSync::Resolver", &["CodeS3Location"], Form::Url),
    ("AWS::AppSync::FunctionConfiguration", &["RequestMappingTemplateS3Location"], Form::Url),
    ("AWS::AppSync::FunctionConfiguration", &["ResponseMappingTemplateS3Location"], Form::Url),
    ("AWS::AppSync::FunctionConfiguration", &["CodeS3Location"], Form::Url),
    ("AWS::Serverless::GraphQLApi", &["SchemaUri"], Form::Url),
    ("AWS::Glue::Job", &["Command", "ScriptLocation"], Form::Url),
    ("AWS::ElasticBeanstalk::ApplicationVersion", &["SourceBundle"], Form::Bundle),
    ("AWS::CodeCommit::Repository", &["Code", "S3"], Form::Commit),
];

/// Properties that name the template of a nested stack.
pub(super) const STACKS: &[(&str, &str)] =
    &[("AWS::CloudFormation::Stack", "TemplateURL"), ("AWS::Serverless::Application", "Location")];

/// The files that one resource names.
pub(super) fn of_resource(id: &str, kind: &str, node: &Node, folder: &Path, scope: &Scope) -> Vec<LocalFile> {
    let Some(properties) = node.get("Properties") else { return Vec::new() };
    let mut out = Vec::new();
    for (_, path, form) in PROPERTIES.iter().filter(|(of, ..)| *of == kind) {
        let [above @ .., key] = path else { continue };
        let Some(holder) = above.iter().try_fold(properties, |node, key| node.get(key)) else { continue };
        let Some(value) = holder.get(key) else { continue };
        let is_bundle = matches!(form, Form::Bundle | Form::Commit);
        let path = if is_bundle { existing(value, folder, scope) } else { local(value, folder, scope) };
        if let Some(path) = path {
            let (value, properties) = (Some(Arc::clone(value)), Arc::clone(holder));
            let site = Site { key, form: *form, value, properties, loops: scope.loops.clone() };
            let name =
                if *key == "DefinitionUri" || path_is_only(kind) { id.to_owned() } else { format!("{id}.{key}") };
            out.push(LocalFile { name, path, site });
        }
    }
    out
}

/// Whether a type names one file at most.
fn path_is_only(kind: &str) -> bool {
    PROPERTIES.iter().filter(|(of, ..)| *of == kind).count() == 1
}

/// The file that a value names, when it is a path of one that is there.
pub(super) fn local(value: &Node, folder: &Path, scope: &Scope) -> Option<PathBuf> {
    existing(value, folder, scope).filter(|path| path.is_file())
}

/// The file or folder that a value names, when it is a path of one that is there.
pub(super) fn existing(value: &Node, folder: &Path, scope: &Scope) -> Option<PathBuf> {
    let Value::Text(text) = scope.value(value) else { return None };
    if text.is_empty() || text.contains("://") {
        return None;
    }
    let path = fsio::normalize(folder, Path::new(&text));
    path.exists().then_some(path)
}

/// Files that `AWS::Include` brings in, wherever that stands.
pub(super) fn includes(document: &Document, folder: &Path, scope: &Scope) -> Vec<LocalFile> {
    let mut out = Vec::new();
    let mut seen = HashSet::new();
    let mut open = vec![&document.root];
    while let Some(node) = open.pop() {
        if seen.len() > MAX_NODES || !seen.insert(Arc::as_ptr(node)) {
            continue;
        }
        if let Some(parameters) = include(node)
            && let Some(location) = parameters.get("Location")
            && let Some(path) = local(location, folder, scope)
        {
            let site = Site {
                key: "Location",
                form: Form::Url,
                value: Some(Arc::clone(location)),
                properties: Arc::clone(parameters),
                loops: scope.loops.clone(),
            };
            out.push(LocalFile { name: format!("Include{}", out.len() + 1), path, site });
        }
        match &node.kind {
            Kind::List(items) => open.extend(items.iter()),
            Kind::Map { entries, .. } => open.extend(entries.iter().map(|(_, value)| value)),
            Kind::Scalar { .. } => {}
        }
    }
    // In the order of the file.
    out.sort_by_key(|file| file.site.value.as_ref().map(|value| value.start));
    out
}

/// The parameters of an `AWS::Include`, in one of its forms: `Fn::Transform`, `Transform`, or the tag.
fn include(node: &Arc<Node>) -> Option<&Arc<Node>> {
    let is_include = |node: &Arc<Node>| node.get("Name").and_then(|name| name.text()) == Some("AWS::Include");
    if node.tag.as_deref() == Some("Transform") && is_include(node) {
        return node.get("Parameters");
    }
    let under = node.get("Fn::Transform").or_else(|| node.get("Transform"))?;
    if is_include(under) { under.get("Parameters") } else { None }
}
