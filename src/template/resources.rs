//! The resources of a template that have code: functions and layers, what they are made of, and where that is written.
//!
//! Sources: `AWS::Serverless::Function`, `AWS::Serverless::LayerVersion` and "Globals section" in the AWS SAM Developer
//! Guide; `AWS::Lambda::Function` and `AWS::Lambda::LayerVersion` in the AWS CloudFormation template reference.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use super::eval::{Scope, Value};
use super::files::{self, LocalFile};
use super::loops::{self, Resource};
use super::model::{Build, Code, Deployment, Form, Function, Layer, LayerUse, Site, Stack, Template};
use super::yaml::{Document, Kind, Node};
use crate::error::{Error, Result};
use crate::fsio;

/// Nested stacks, all together.
const MAX_STACKS: usize = 500;

impl Template {
    /// Reads a template. `overrides` are values of parameters, `pseudo` those of `AWS::Region` and the like.
    ///
    /// # Errors
    /// With its place when it is no template, or a resource is not what its type has to be.
    pub fn read(path: &Path, overrides: &BTreeMap<String, String>, pseudo: &BTreeMap<String, String>) -> Result<Self> {
        Self::nested(Document::read(path)?, overrides, pseudo, &Around::default())
    }

    /// What a document says.
    ///
    /// # Errors
    /// See [`Template::read`].
    pub fn of(
        document: Document,
        overrides: &BTreeMap<String, String>,
        pseudo: &BTreeMap<String, String>,
    ) -> Result<Self> {
        Self::nested(document, overrides, pseudo, &Around::default())
    }

    fn nested(
        document: Document,
        overrides: &BTreeMap<String, String>,
        pseudo: &BTreeMap<String, String>,
        around: &Around,
    ) -> Result<Self> {
        let root = Arc::clone(&document.root);
        let Some(resources) = root.get("Resources").filter(|node| matches!(node.kind, Kind::Map { .. })) else {
            return Err(document.error(&root, "this is no template: it has no `Resources`"));
        };
        let mut scope = Scope {
            parameters: parameters(&document, overrides)?,
            mappings: root.get("Mappings").cloned(),
            conditions: root.get("Conditions").cloned(),
            pseudo: pseudo.clone(),
            ..Scope::default()
        };
        let listed = loops::list(&document, resources, &scope)?;
        scope.resources = listed.iter().map(|resource| resource.id.clone()).collect();
        let (functions, layers, files, stacks) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut template = Self { document, scope, functions, layers, files, stacks };
        let globals = root.get("Globals").and_then(|globals| globals.get("Function")).cloned();
        for resource in listed {
            template.take(&resource, globals.as_ref(), around)?;
        }
        let includes = files::includes(&template.document, template.folder(), &template.scope);
        template.files.extend(includes.into_iter().map(|file| around.file(file)));
        Ok(template)
    }

    /// Whether SAM translates it.
    pub fn is_serverless(&self) -> bool {
        let transform = self.document.root.get("Transform");
        let is_sam = |node: &Node| node.text().is_some_and(|text| text.starts_with("AWS::Serverless-"));
        transform.is_some_and(|node| is_sam(node) || node.items().is_some_and(|items| items.iter().any(|i| is_sam(i))))
    }

    /// The folder that paths are relative to.
    pub fn folder(&self) -> &Path {
        self.document.path.parent().unwrap_or(Path::new("."))
    }

    fn take(&mut self, resource: &Resource, globals: Option<&Arc<Node>>, around: &Around) -> Result<()> {
        let scope = Scope { loops: resource.loops.clone(), ..self.scope.clone() };
        // Also what has a condition that does not hold: it may hold when the same file is deployed with other parameters.
        let reader = Reader { document: &self.document, scope: &scope, resource, globals };
        match resource.kind.as_str() {
            "AWS::Serverless::Function" => self.functions.push(around.function(reader.function(true)?)),
            "AWS::Lambda::Function" => self.functions.push(around.function(reader.function(false)?)),
            "AWS::Serverless::LayerVersion" => self.layers.push(around.layer(reader.layer(true)?)),
            "AWS::Lambda::LayerVersion" => self.layers.push(around.layer(reader.layer(false)?)),
            kind => {
                let files = files::of_resource(&resource.id, kind, &resource.node, self.folder(), &scope);
                let stack = reader.stack(around)?;
                self.files.extend(files.into_iter().map(|file| around.file(file)));
                self.stacks.extend(stack);
            }
        }
        Ok(())
    }
}

/// How code in S3 is named by SAM, and by CloudFormation.
fn form(is_serverless: bool) -> Form {
    if is_serverless { Form::Uri } else { Form::Code }
}

/// The stacks around a template.
#[derive(Debug, Default, Clone)]
struct Around {
    /// `Outer/` before names.
    prefix: String,
    /// Their templates, so that none holds itself.
    files: Vec<PathBuf>,
    /// How many templates were read, all together.
    count: Rc<Cell<usize>>,
}

impl Around {
    fn named(&self, id: &str) -> String {
        format!("{}{id}", self.prefix)
    }

    fn function(&self, function: Function) -> Function {
        let named = |layer| match layer {
            LayerUse::Here(id) => LayerUse::Here(self.named(&id)),
            other => other,
        };
        let layers = function.layers.into_iter().map(named).collect();
        Function { id: self.named(&function.id), layers, ..function }
    }

    fn layer(&self, layer: Layer) -> Layer {
        Layer { id: self.named(&layer.id), ..layer }
    }

    fn file(&self, file: LocalFile) -> LocalFile {
        LocalFile { name: self.named(&file.name), ..file }
    }
}

/// Parameters with their values: what the command line says, else their defaults.
fn parameters(document: &Document, overrides: &BTreeMap<String, String>) -> Result<BTreeMap<String, Option<String>>> {
    let mut out = BTreeMap::new();
    for (name, node) in document.root.get("Parameters").map_or(&[][..], |parameters| parameters.entries()) {
        let Some(name) = name.text() else { continue };
        let default = node.get("Default").and_then(|default| default.text()).map(str::to_owned);
        out.insert(name.to_owned(), overrides.get(name).cloned().or(default));
    }
    match overrides.keys().find(|name| !out.contains_key(*name)) {
        None => Ok(out),
        Some(name) => {
            let known: Vec<&str> = out.keys().map(String::as_str).collect();
            let error = Error::config(format!("`{}` has no parameter `{name}`", document.path.display()));
            Err(error.hint(format!("it has: {}", if known.is_empty() { "none".to_owned() } else { known.join(", ") })))
        }
    }
}

/// Reads one resource.
struct Reader<'t> {
    document: &'t Document,
    scope: &'t Scope,
    resource: &'t Resource,
    globals: Option<&'t Arc<Node>>,
}

impl Reader<'_> {
    fn properties(&self) -> Result<Arc<Node>> {
        let found = self.resource.node.get("Properties").filter(|node| matches!(node.kind, Kind::Map { .. }));
        found.cloned().ok_or_else(|| {
            let what = format!("`{}` ({}) has no `Properties`", self.resource.id, self.resource.kind);
            self.document.error(&self.resource.node, what)
        })
    }

    /// A property of the resource, else of `Globals`.
    fn property(&self, properties: &Arc<Node>, key: &str, is_serverless: bool) -> Option<Arc<Node>> {
        let global = || self.globals.filter(|_| is_serverless).and_then(|globals| globals.get(key));
        properties.get(key).or_else(global).cloned()
    }

    fn text(&self, node: Option<Arc<Node>>) -> Option<String> {
        node.and_then(|node| self.scope.value(&node).text().map(str::to_owned))
    }

    /// A text, or the first of a list; refused when only a deployment knows it, since packing needs it.
    fn known(&self, key: &str, node: &Node) -> Result<Option<String>> {
        let value = match self.scope.value(node) {
            Value::List(items) => items.into_iter().next().unwrap_or(Value::Nothing),
            other => other,
        };
        match value {
            Value::Text(text) => Ok(Some(text)),
            Value::Nothing => Ok(None),
            Value::Unknown(why) => {
                let what = format!("the `{key}` of function `{}` cannot be told: {why}", self.resource.id);
                Err(self
                    .document
                    .error(node, what)
                    .hint("write it as it is, or give parameters a value with `--parameter-overrides NAME=VALUE`"))
            }
            _ => Err(self.document.error(node, format!("the `{key}` of function `{}` is no text", self.resource.id))),
        }
    }

    fn function(&self, is_serverless: bool) -> Result<Function> {
        let properties = self.properties()?;
        let of = |key: &str| self.property(&properties, key, is_serverless);
        let key = if is_serverless { "CodeUri" } else { "Code" };
        let is_image = self.text(of("PackageType")).as_deref() == Some("Image");
        let metadata = self.resource.node.get("Metadata");
        let image = self.image(&properties, is_serverless);
        let code = match of(key) {
            _ if is_image
                && metadata.is_some_and(|m| m.get("Dockerfile").is_some() || m.get("DockerContext").is_some()) =>
            {
                Code::Dockerfile
            }
            _ if is_image || properties.get("ImageUri").is_some() => {
                image.as_ref().map_or(Code::Remote, |(path, _)| Code::Image(path.clone()))
            }
            _ if is_serverless && properties.get("InlineCode").is_some() => Code::Inline,
            Some(node) if node.get("ZipFile").is_some() => Code::Inline,
            Some(node) => self.code(&node)?,
            None => {
                let what = format!("function `{}` has no `{key}`", self.resource.id);
                return Err(self.document.error(&self.resource.node, what));
            }
        };
        let is_packed = matches!(code, Code::Local(_) | Code::Image(_));
        let known = |key: &str| -> Result<Option<String>> {
            match of(key) {
                Some(node) if is_packed => self.known(key, &node),
                // What only a deployment knows is not asked of what is not packed.
                node => Ok(node.and_then(|node| self.known(key, &node).ok().flatten())),
            }
        };
        let (runtime, handler, architecture) = (known("Runtime")?, known("Handler")?, known("Architectures")?);
        Ok(Function {
            id: self.resource.id.clone(),
            is_serverless,
            code,
            runtime,
            handler,
            architecture,
            layers: self.layers(&properties, is_serverless),
            environment: self.environment(&properties, is_serverless),
            build: self.build(),
            deployment: self.deployment(&properties, is_serverless),
            site: image.map_or_else(
                || Site {
                    key,
                    form: form(is_serverless),
                    value: properties.get(key).cloned(),
                    properties: Arc::clone(&properties),
                    loops: self.resource.loops.clone(),
                },
                |(_, site)| site,
            ),
        })
    }

    /// The image that is named, when it is here; and where it is named.
    fn image(&self, properties: &Arc<Node>, is_serverless: bool) -> Option<(PathBuf, Site)> {
        let holder = if is_serverless { properties } else { properties.get("Code")? };
        let value = holder.get("ImageUri")?;
        let folder = self.document.path.parent().unwrap_or(Path::new("."));
        let path = files::existing(value, folder, self.scope)?;
        // A folder may bear the name of an image that Docker has.
        let is_image = path.join("oci-layout").is_file() || path.extension().is_some_and(|ending| ending == "tar");
        let site = Site {
            key: "ImageUri",
            form: Form::Url,
            value: Some(Arc::clone(value)),
            properties: Arc::clone(holder),
            loops: self.resource.loops.clone(),
        };
        is_image.then_some((path, site))
    }

    fn deployment(&self, properties: &Arc<Node>, is_serverless: bool) -> Deployment {
        let of = |key: &str| self.property(properties, key, is_serverless);
        let sam = |key: &str| of(key).filter(|_| is_serverless);
        let code = of(if is_serverless { "CodeUri" } else { "Code" });
        let place = self.text(code.clone()).unwrap_or_default();
        let has_version =
            code.as_ref().is_some_and(|code| code.get("Version").is_some()) || place.contains("versionId=");
        let zip_file = code.as_ref().and_then(|code| code.get("ZipFile")).cloned();
        let bytes = |node: Arc<Node>| match &node.kind {
            Kind::Scalar { text, .. } => Some(text.len()),
            _ => self.scope.value(&node).text().map(str::len),
        };
        let number = |node: Option<Arc<Node>>| self.text(node).and_then(|text| text.parse().ok());
        Deployment {
            timeout: number(of("Timeout")),
            memory: number(of("MemorySize")),
            ephemeral_storage: number(of("EphemeralStorage").and_then(|node| node.get("Size").cloned())),
            reserved_concurrency: self.text(of("ReservedConcurrentExecutions")).and_then(|text| text.parse().ok()),
            publishes_alias: sam("AutoPublishAlias").is_some(),
            tells_versions: has_version
                || sam("AutoPublishCodeSha256").is_some()
                || sam("AutoPublishAliasAllProperties").is_some(),
            inline_bytes: sam("InlineCode").or(zip_file).and_then(bytes),
        }
    }

    /// Lists of `Globals` come first, as SAM joins them.
    fn layers(&self, properties: &Arc<Node>, is_serverless: bool) -> Vec<LayerUse> {
        let global = self.globals.filter(|_| is_serverless).and_then(|globals| globals.get("Layers")).cloned();
        let lists = [global, properties.get("Layers").cloned()];
        let mut out = Vec::new();
        for node in lists.into_iter().flatten() {
            match self.scope.value(&node) {
                Value::List(items) => out.extend(items.into_iter().filter_map(|item| match item {
                    Value::Resource(id) => Some(LayerUse::Here(id)),
                    Value::Text(arn) => Some(LayerUse::Arn(arn)),
                    Value::Nothing => None,
                    Value::Unknown(why) => Some(LayerUse::Unknown(why)),
                    _ => Some(LayerUse::Unknown("it is no text".to_owned())),
                })),
                Value::Unknown(why) => out.push(LayerUse::Unknown(why)),
                _ => {}
            }
        }
        out
    }

    fn environment(&self, properties: &Arc<Node>, is_serverless: bool) -> BTreeMap<String, String> {
        let global = self.globals.filter(|_| is_serverless).and_then(|globals| globals.get("Environment")).cloned();
        let mut out = BTreeMap::new();
        for node in [global, properties.get("Environment").cloned()].into_iter().flatten() {
            for (name, value) in node.get("Variables").map_or(&[][..], |variables| variables.entries()) {
                if let (Some(name), Value::Text(value)) = (name.text(), self.scope.value(value)) {
                    out.insert(name.to_owned(), value);
                }
            }
        }
        out
    }

    fn build(&self) -> Build {
        let metadata = self.resource.node.get("Metadata");
        let of = |key: &str| metadata.and_then(|metadata| metadata.get(key)).cloned();
        let properties = of("BuildProperties");
        let words = |node: &Arc<Node>| match node.items() {
            Some(items) => items.iter().filter_map(|item| self.text(Some(Arc::clone(item)))).collect(),
            None if !node.entries().is_empty() => {
                let pairs = node.entries().iter();
                pairs
                    .filter_map(|(key, value)| Some(format!("{}={}", key.text()?, self.text(Some(Arc::clone(value)))?)))
                    .collect()
            }
            None => self.text(Some(Arc::clone(node))).into_iter().collect(),
        };
        let entries = properties.as_ref().map(|properties| properties.entries()).unwrap_or_default();
        let entries = entries.iter().filter_map(|(key, value)| Some((key.text()?.to_owned(), words(value))));
        Build {
            properties: entries.collect(),
            method: self.text(of("BuildMethod")),
            binary: self.text(properties.and_then(|properties| properties.get("Binary").cloned())),
            skip: self.text(of("SkipBuild")).is_some_and(|text| text.eq_ignore_ascii_case("true")),
            context: self.text(of("ContextPath")),
            working_directory: self.text(of("WorkingDirectory")),
        }
    }

    fn layer(&self, is_serverless: bool) -> Result<Layer> {
        let properties = self.properties()?;
        let key = if is_serverless { "ContentUri" } else { "Content" };
        let Some(node) = properties.get(key) else {
            let what = format!("layer `{}` has no `{key}`", self.resource.id);
            return Err(self.document.error(&self.resource.node, what));
        };
        let texts = |key: &str| match properties.get(key).map(|node| self.scope.value(node)) {
            Some(Value::List(items)) => items.iter().filter_map(|item| item.text().map(str::to_owned)).collect(),
            _ => Vec::new(),
        };
        Ok(Layer {
            id: self.resource.id.clone(),
            is_serverless,
            code: self.code(node)?,
            runtimes: texts("CompatibleRuntimes"),
            architectures: texts("CompatibleArchitectures"),
            build: self.build(),
            site: Site {
                key,
                form: form(is_serverless),
                value: Some(Arc::clone(node)),
                properties: Arc::clone(&properties),
                loops: self.resource.loops.clone(),
            },
        })
    }

    /// The nested stack that the resource is, when its template is a file.
    fn stack(&self, around: &Around) -> Result<Option<Stack>> {
        let Some((_, key)) = files::STACKS.iter().find(|(kind, _)| *kind == self.resource.kind) else {
            return Ok(None);
        };
        let Some(properties) = self.resource.node.get("Properties") else { return Ok(None) };
        let Some(node) = properties.get(key) else { return Ok(None) };
        let folder = self.document.path.parent().unwrap_or(Path::new("."));
        let Some(path) = files::local(node, folder, self.scope) else {
            return match self.scope.value(node) {
                Value::Text(text) if !text.contains("://") => {
                    let what = format!("`{text}`, the template of `{}`, does not exist", self.resource.id);
                    Err(self.document.error(node, what).hint("paths are relative to the template's folder"))
                }
                _ => Ok(None),
            };
        };
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let mut inner = around.clone();
        inner.files.push(real(&self.document.path));
        if inner.files.contains(&real(&path)) {
            let what = format!("the template of `{}` is one of those that it is nested in", self.resource.id);
            return Err(self.document.error(node, what));
        }
        inner.prefix = format!("{}/", around.named(&self.resource.id));
        inner.count.set(inner.count.get() + 1);
        if inner.count.get() > MAX_STACKS {
            return Err(self.document.error(node, format!("there are more than {MAX_STACKS} nested stacks")));
        }
        let document = Document::read(&path)?;
        let known = parameters(&document, &BTreeMap::new())?;
        let passed = properties.get("Parameters").map_or(&[][..], |parameters| parameters.entries());
        let passed = passed.iter().filter_map(|(name, value)| {
            let name = name.text().filter(|name| known.contains_key(*name))?;
            Some((name.to_owned(), self.scope.value(value).text()?.to_owned()))
        });
        let template = Template::nested(document, &passed.collect(), &self.scope.pseudo, &inner)?;
        let (value, properties) = (Some(Arc::clone(node)), Arc::clone(properties));
        let site = Site { key, form: Form::Https, value, properties, loops: self.resource.loops.clone() };
        Ok(Some(Stack { id: around.named(&self.resource.id), site, template }))
    }

    /// A place of code: a path, or S3.
    fn code(&self, node: &Arc<Node>) -> Result<Code> {
        match self.scope.value(node) {
            Value::Text(text) if text.starts_with("s3://") || text.starts_with("https://") => Ok(Code::Remote),
            Value::Text(text) => {
                let folder = self.document.path.parent().unwrap_or(Path::new("."));
                let path = fsio::normalize(folder, Path::new(&text));
                if path.exists() {
                    return Ok(Code::Local(path));
                }
                let what = format!("`{text}`, the code of `{}`, does not exist", self.resource.id);
                Err(self.document.error(node, what).hint("paths are relative to the template's folder"))
            }
            Value::Unknown(why) => Ok(Code::Unknown(why)),
            _ => Ok(Code::Remote),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, overrides: &[(&str, &str)]) -> Result<Template> {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["api", "worker", "common", "dev"] {
            fsio::create_dir_all(&dir.path().join(folder)).unwrap();
        }
        let document = Document::parse(&dir.path().join("template.yaml"), text.to_owned())?;
        let overrides = overrides.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Template::of(document, &overrides, &BTreeMap::new())
    }

    const TEMPLATE: &str = "
Transform: AWS::Serverless-2016-10-31
Parameters:
  Stage: {Type: String, Default: dev}
  Names: {Type: CommaDelimitedList, Default: 'one,two'}
Conditions:
  IsProd: !Equals [!Ref Stage, prod]
Globals:
  Function:
    Runtime: python3.13
    CodeUri: api
    Layers: [!Ref Common]
    Environment: {Variables: {STAGE: !Ref Stage, LATER: !GetAtt Common.Arn}}
Resources:
  Common:
    Type: AWS::Serverless::LayerVersion
    Metadata: {BuildMethod: python3.13}
    Properties: {ContentUri: common, CompatibleRuntimes: [python3.13]}
  Api:
    Type: AWS::Serverless::Function
    Properties:
      Handler: app.handler
      Layers: ['arn:aws:lambda:eu-west-1:123456789012:layer:x:1', !ImportValue y]
      Environment: {Variables: {MORE: '1'}}
  OnlyProd:
    Type: AWS::Serverless::Function
    Condition: IsProd
    Properties: {Handler: a.b, CodeUri: !Sub '${Stage}'}
  Plain:
    Type: AWS::Lambda::Function
    Properties: {Handler: a.b, Runtime: python3.12, Code: worker, Architectures: [arm64]}
  Inline:
    Type: AWS::Lambda::Function
    Properties: {Handler: index.b, Runtime: python3.12, Code: {ZipFile: 'x'}}
  Remote:
    Type: AWS::Serverless::Function
    Properties: {Handler: a.b, CodeUri: {Bucket: b, Key: k}}
  Image:
    Type: AWS::Serverless::Function
    Metadata: {Dockerfile: Dockerfile, DockerContext: .}
    Properties: {PackageType: Image}
  Rust:
    Type: AWS::Serverless::Function
    Metadata: {BuildMethod: rust-cargolambda, BuildProperties: {Binary: x}}
    Properties: {Handler: bootstrap, Runtime: provided.al2023, CodeUri: worker}
  Fn::ForEach::Loop:
    - Name
    - !Ref Names
    - Loop${Name}:
        Type: AWS::Serverless::Function
        Properties: {Handler: !Sub 'app.${Name}', CodeUri: worker}
";

    #[test]
    fn functions_are_what_the_template_says() {
        let template = read(TEMPLATE, &[]).unwrap();
        let shown: Vec<String> = template
            .functions
            .iter()
            .map(|f| {
                let code = match &f.code {
                    Code::Local(path) => path.file_name().unwrap().to_str().unwrap().to_owned(),
                    other => format!("{other:?}"),
                };
                format!("{} {code} {}", f.id, f.handler.clone().unwrap_or_default())
            })
            .collect();
        assert_eq!(
            shown,
            [
                "Api api app.handler",
                "OnlyProd dev a.b",
                "Plain worker a.b",
                "Inline Inline index.b",
                "Remote Remote a.b",
                "Image Dockerfile ",
                "Rust worker bootstrap",
                "Loopone worker app.one",
                "Looptwo worker app.two",
            ]
        );
        let api = &template.functions[0];
        assert_eq!(
            api.layers[..2],
            [LayerUse::Here("Common".into()), LayerUse::Arn("arn:aws:lambda:eu-west-1:123456789012:layer:x:1".into())]
        );
        assert!(matches!(api.layers[2], LayerUse::Unknown(_)));
        let variables: Vec<&str> = api.environment.keys().map(String::as_str).collect();
        assert_eq!(variables, ["MORE", "STAGE"]);
        assert!(api.site.value.is_none());
        assert_eq!(template.functions[2].architecture.as_deref(), Some("arm64"));
        assert_eq!(template.functions[6].build.binary.as_deref(), Some("x"));
        assert_eq!((template.layers.len(), template.layers[0].build.method.as_deref()), (1, Some("python3.13")));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let error = |text: &str, overrides: &[(&str, &str)]| {
            let error = read(text, overrides).unwrap_err();
            error
                .to_string()
                .rsplit_once("template.yaml")
                .map_or_else(|| error.to_string(), |(_, rest)| rest.to_owned())
        };
        assert!(
            error(TEMPLATE, &[("Stage", "prod")]).ends_with(":28:41: `prod`, the code of `OnlyProd`, does not exist"),
            "{}",
            error(TEMPLATE, &[("Stage", "prod")])
        );
        assert!(error(TEMPLATE, &[("Stag", "prod")]).contains("has no parameter `Stag`"));
        assert_eq!(error("A: 1\n", &[]), ":1:1: this is no template: it has no `Resources`");
        assert_eq!(
            error("Resources:\n  F:\n    Type: AWS::Serverless::Function\n", &[]),
            ":3:5: `F` (AWS::Serverless::Function) has no `Properties`"
        );
    }
}
