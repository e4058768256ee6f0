//! What a template says: functions, layers, files and nested stacks, each with where its code is named.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::eval::Scope;
use super::files::LocalFile;
use super::yaml::{Document, Node};

/// A template, read.
#[derive(Debug)]
pub struct Template {
    /// The file.
    pub document: Document,
    /// What it says beside its resources.
    pub scope: Scope,
    /// Functions in the order of the file.
    pub functions: Vec<Function>,
    /// Layers in the order of the file.
    pub layers: Vec<Layer>,
    /// Other files that it names.
    pub files: Vec<LocalFile>,
    /// Stacks whose templates are files.
    pub stacks: Vec<Stack>,
}

/// A nested stack.
#[derive(Debug)]
pub struct Stack {
    /// Its logical id, with those of the stacks around it: `Outer/Inner`.
    pub id: String,
    /// Where its template is named.
    pub site: Site,
    /// The template.
    pub template: Template,
}

/// How a property names an object in S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `S3Bucket`, `S3Key`, `S3ObjectVersion`.
    Code,
    /// `Bucket`, `Key`, `Version`.
    Uri,
    /// `s3://bucket/key`.
    Url,
    /// `https://…`, of a template.
    Https,
    /// `S3Bucket`, `S3Key`.
    Bundle,
    /// `Bucket`, `Key`, `ObjectVersion`.
    Commit,
}

impl Form {
    /// The keys of bucket, key and version; the last is empty where no version can be named. Nothing of an address.
    pub(super) fn keys(self) -> Option<[&'static str; 3]> {
        match self {
            Self::Code => Some(["S3Bucket", "S3Key", "S3ObjectVersion"]),
            Self::Uri => Some(["Bucket", "Key", "Version"]),
            Self::Bundle => Some(["S3Bucket", "S3Key", ""]),
            Self::Commit => Some(["Bucket", "Key", "ObjectVersion"]),
            Self::Url | Self::Https => None,
        }
    }
}

/// Where something is written, to be replaced.
#[derive(Debug, Clone)]
pub struct Site {
    /// The key: `CodeUri`, `Code`, `ContentUri`, `Content`, …
    pub key: &'static str,
    /// How an object in S3 is named there.
    pub form: Form,
    /// What stands under it; nothing when it comes from `Globals`.
    pub value: Option<Arc<Node>>,
    /// `Properties`.
    pub properties: Arc<Node>,
    /// What loops around it have set.
    pub loops: BTreeMap<String, String>,
}

impl Site {
    /// Where it stands in the file, in bytes.
    pub(super) fn start(&self) -> usize {
        self.value.as_ref().map_or(self.properties.start, |value| value.start)
    }
}

/// What a function or layer is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Code {
    /// A path, absolute: a folder, a zip or jar, or a single source file.
    Local(PathBuf),
    /// It stands in the template.
    Inline,
    /// It is somewhere else already: S3, a registry.
    Remote,
    /// A container image that a Dockerfile describes.
    Dockerfile,
    /// A container image that was built, absolute: an OCI layout, or an archive.
    Image(PathBuf),
    /// Only a deployment knows; why.
    Unknown(String),
}

/// A layer that a function names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayerUse {
    /// A resource of the template.
    Here(String),
    /// A version that exists.
    Arn(String),
    /// Only a deployment knows; why.
    Unknown(String),
}

/// A function.
#[derive(Debug, Clone)]
pub struct Function {
    /// Its logical id.
    pub id: String,
    /// `AWS::Serverless::Function`, and not `AWS::Lambda::Function`.
    pub is_serverless: bool,
    /// What it is made of.
    pub code: Code,
    /// Where that is written.
    pub site: Site,
    /// Its runtime.
    pub runtime: Option<String>,
    /// Its handler.
    pub handler: Option<String>,
    /// `x86_64` or `arm64`.
    pub architecture: Option<String>,
    /// Its layers in order.
    pub layers: Vec<LayerUse>,
    /// Environment variables whose values are known.
    pub environment: BTreeMap<String, String>,
    /// `Metadata`.
    pub build: Build,
    /// What the deployment is told beside its code.
    pub deployment: Deployment,
}

/// What a function's deployment is told beside its code, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deployment {
    /// `ReservedConcurrentExecutions`.
    pub reserved_concurrency: Option<u64>,
    /// Whether SAM publishes a version when `CodeUri` has changed (`AutoPublishAlias`).
    pub publishes_alias: bool,
    /// Whether the place of code changes with the code: it has a version, or `AutoPublishCodeSha256` or
    /// `AutoPublishAliasAllProperties` say when to publish.
    pub tells_versions: bool,
    /// Bytes of code that stands in the template; of a text with values to be put in, of the text.
    pub inline_bytes: Option<usize>,
    /// `Timeout`, in seconds.
    pub timeout: Option<u32>,
    /// `MemorySize`, in megabytes.
    pub memory: Option<u32>,
    /// `EphemeralStorage`, in megabytes.
    pub ephemeral_storage: Option<u32>,
}

/// How `Metadata` says that something is built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Build {
    /// `BuildMethod`.
    pub method: Option<String>,
    /// `BuildProperties.Binary`, of `rust-cargolambda`.
    pub binary: Option<String>,
    /// `SkipBuild`.
    pub skip: bool,
    /// `ContextPath`, of `makefile`: the folder of the Makefile, relative to the template.
    pub context: Option<String>,
    /// `WorkingDirectory`, of `makefile`, relative to the template.
    pub working_directory: Option<String>,
    /// `BuildProperties` of `esbuild`: each with its words.
    pub properties: Vec<(String, Vec<String>)>,
}

/// A layer.
#[derive(Debug, Clone)]
pub struct Layer {
    /// Its logical id.
    pub id: String,
    /// `AWS::Serverless::LayerVersion`, and not `AWS::Lambda::LayerVersion`.
    pub is_serverless: bool,
    /// What it is made of.
    pub code: Code,
    /// Where that is written.
    pub site: Site,
    /// Runtimes that it is for.
    pub runtimes: Vec<String>,
    /// Processors that it is for.
    pub architectures: Vec<String>,
    /// `Metadata`.
    pub build: Build,
}
