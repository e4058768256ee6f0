//! The project as every source of it (config file, Cargo metadata, detection) describes it: functions and their settings.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::samconfig::SamConfig;
use super::sizing::Sizing;
use super::{BuildChoice, Bundle, ImageSpec, NativeChoice};
use crate::error::Position;
use crate::finding::{Finding, Overrides};
use crate::lambda::Architecture;
use crate::resolve::slim::Slim;
use crate::split::Policy;
use crate::store::Place;
use crate::template::Template;
use crate::tree::walk::Include;

/// The origin of a project that no config describes.
pub(super) const DETECTION: &str = "detection";

/// What is packed, and where to.
#[derive(Debug, Clone)]
pub struct Project {
    /// Nothing from outside this folder is packed. Absolute.
    pub root: PathBuf,
    /// Where the description came from, for the summary: `lambda-pack.toml`, `Cargo.toml`, `detection`.
    pub origin: String,
    /// The output folder unless `--out-dir` names another: `target/lambda-pack` beside the config, or beside PATH.
    pub default_out_dir: PathBuf,
    /// Functions in the order of their names.
    pub functions: Vec<FunctionSpec>,
    /// Levels of rules.
    pub checks: Overrides,
    /// The store that others share.
    pub store: Option<Place>,
    /// Layers of the project's own, in the order of their names.
    pub layers: Vec<LayerSpec>,
    /// Whether every function of the project was selected.
    pub is_whole: bool,
    /// Functions that were not selected, but decide with the others what is shared in layers.
    pub neighbours: Vec<FunctionSpec>,
    /// A smaller group of packages is not worth a layer, in bytes unpacked.
    pub layer_threshold: u64,
    /// The template that describes it.
    pub template: Option<Arc<Template>>,
    /// What SAM was told of it, when that describes the project.
    pub sam: Option<SamConfig>,
    /// What was found while it was read.
    pub findings: Vec<Finding>,
}

/// A layer that the config names.
#[derive(Debug, Clone)]
pub struct LayerSpec {
    /// Its name, or its ARN when it is one that exists and has no other name here.
    pub name: String,
    /// What it is.
    pub source: LayerSource,
    /// Runtimes that it is for; empty when that is not said.
    pub runtimes: Vec<String>,
    /// Processors that it is for; empty when that is not said.
    pub architectures: Vec<Architecture>,
    /// What it brings along from a system.
    pub native: NativeChoice,
    /// Where the config defines it.
    pub defined_at: Option<Position>,
}

/// What a layer is made of.
#[derive(Debug, Clone)]
pub enum LayerSource {
    /// It exists, as this version.
    Existing {
        /// `arn:aws:lambda:REGION:ACCOUNT:layer:NAME:VERSION`.
        arn: String,
        /// Its unpacked bytes, when the config says it.
        unzipped_bytes: Option<u64>,
    },
    /// It is built, once for each runtime and processor: all must give the same.
    Built {
        /// The folder whose files are in it, as a function that needs no packages.
        folder: Option<Box<FunctionSpec>>,
        /// What is resolved for it.
        resolved: Vec<FunctionSpec>,
        /// Where in the layer the folder's files go, or the binary of a Cargo package.
        to: Option<String>,
    },
}

/// Whether the AWS SDK is packed that the runtime has, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AwsSdk {
    /// It is packed: the version that was tested is the one that runs.
    #[default]
    Bundle,
    /// It stays out, with what only it needs.
    Runtime,
}

impl AwsSdk {
    /// The words of the config, in the order of the variants.
    pub const NAMES: [&'static str; 2] = ["bundle", "runtime"];
}

/// Which layers a function gets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LayerChoice {
    /// What of its packages leaves the zip.
    pub policy: Policy,
    /// Names of [`Project::layers`], in order.
    pub attached: Vec<String>,
}

/// One function.
#[derive(Debug, Clone)]
pub struct FunctionSpec {
    /// Lambda's name for it, and the artifact's: `[a-zA-Z0-9-_]{1,64}`.
    pub name: String,
    /// Its folder. Absolute.
    pub path: PathBuf,
    /// Identifier of the runtime as it was written or detected; it may be unknown.
    pub runtime: String,
    /// The handler as it was written; nothing when it is to be found by convention.
    pub handler: Option<String>,
    /// The processor.
    pub architecture: Architecture,
    /// Files from elsewhere, or brought back in.
    pub include: Vec<Include>,
    /// Patterns of what to leave out, in gitignore syntax.
    pub exclude: Vec<String>,
    /// Names of packages whose install scripts are run.
    pub allow_scripts: Vec<String>,
    /// Names of the Python project's extras that are packed, too.
    pub extras: Vec<String>,
    /// Names of the Python project's dependency groups that are packed, too.
    pub groups: Vec<String>,
    /// Environment variables that the deployment will set; measured, checked, and there when it is invoked here.
    pub environment: BTreeMap<String, String>,
    /// How long it may take and how much it gets, which only matters when it runs.
    pub sizing: Sizing,
    /// What is left out of packages.
    pub slim: Slim,
    /// Whether the AWS SDK is packed.
    pub aws_sdk: AwsSdk,
    /// The binary, for a function that Cargo builds.
    pub cargo: Option<CargoBinary>,
    /// Its layers.
    pub layers: LayerChoice,
    /// A zip, a jar or a single source file that is all there is of it, instead of the folder.
    pub ready: Option<PathBuf>,
    /// The folder is packed as it is: nothing is resolved or built.
    pub is_built: bool,
    /// How esbuild bundles it, if it is to.
    pub bundle: Option<Bundle>,
    /// What it brings along from a system.
    pub native: NativeChoice,
    /// How it is built.
    pub build: BuildChoice,
    /// How its image is made; nothing for a zip.
    pub image: Option<ImageSpec>,
    /// Where the config defines it.
    pub defined_at: Option<Position>,
}

/// A binary of a Cargo workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CargoBinary {
    /// The workspace's root folder. Absolute.
    pub workspace_root: PathBuf,
    /// The package's manifest. Absolute.
    pub manifest: PathBuf,
    /// The package's name.
    pub package: String,
    /// The binary target's name.
    pub bin: String,
    /// The target folder as `cargo metadata` says it. Absolute.
    pub target_dir: PathBuf,
}

impl FunctionSpec {
    /// A function with nothing but a name, a folder and a runtime.
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>, runtime: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            path: path.into(),
            runtime: runtime.into(),
            handler: None,
            architecture: Architecture::X86_64,
            include: Vec::new(),
            exclude: Vec::new(),
            allow_scripts: Vec::new(),
            extras: Vec::new(),
            groups: Vec::new(),
            environment: BTreeMap::new(),
            sizing: Sizing::default(),
            slim: Slim::default(),
            cargo: None,
            layers: LayerChoice::default(),
            ready: None,
            is_built: false,
            aws_sdk: AwsSdk::default(),
            bundle: None,
            native: NativeChoice::default(),
            build: BuildChoice::default(),
            image: None,
            defined_at: None,
        }
    }
}

impl Project {
    /// Whether no config described it.
    pub fn is_detected(&self) -> bool {
        self.origin == DETECTION
    }
}
