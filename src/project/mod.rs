//! From what is on disk to a [`Project`]: a config file, Cargo metadata, or detection.
//!
//! The first of these that there is describes the project: the file that `--config` names or the nearest
//! `lambda-pack.toml` upwards; the `lambda-pack` table in the `metadata` of a `Cargo.toml`; the folder itself, which is
//! one function, or a Cargo workspace of some. Whatever described them, functions end up as the same [`FunctionSpec`];
//! nothing of what is packed is read here.

mod builds;
mod bundle;
mod cargo;
mod config;
mod detect;
mod functions;
mod go;
mod handler;
mod image;
mod init;
mod layers;
mod native;
mod reader;
mod samconfig;
mod shares;
mod sizing;
mod sources;
mod spec;
mod template;
mod versions;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use builds::{BuildChoice, GoChoice, MakeTarget};
pub use bundle::Bundle;
pub use go::GoMain;
pub use handler::{MissingHandler, bundle_handler, find_handler};
pub use image::{ImageArchive, ImageSpec, PackageType};
pub use init::init_config;
pub use native::NativeChoice;
pub use sizing::Sizing;
pub use spec::{AwsSdk, CargoBinary, FunctionSpec, LayerChoice, LayerSource, LayerSpec, Project};

pub(crate) use builds::several;
pub(crate) use cargo::cargo;
pub use samconfig::SamConfig;
pub(crate) use samconfig::parameter;
pub(crate) use template::pseudo;

use crate::error::{Error, Result};
use crate::fsio;
use crate::lambda::Architecture;
use crate::split::Policy;

/// The name of the config file.
pub const CONFIG_FILE: &str = "lambda-pack.toml";

/// What the command line says about the project.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// The folder to look at. Absolute.
    pub path: PathBuf,
    /// The config file instead of the nearest one. Absolute.
    pub config: Option<PathBuf>,
    /// Names of the functions wanted; empty for all.
    pub functions: Vec<String>,
    /// The runtime instead of what is written or detected.
    pub runtime: Option<String>,
    /// The handler instead of what is written or found by convention.
    pub handler: Option<String>,
    /// The architecture instead of what is written.
    pub architecture: Option<Architecture>,
    /// What functions become, instead of what is written.
    pub package: Option<PackageType>,
    /// The template that describes the project. Absolute.
    pub template: Option<PathBuf>,
    /// Values of a template's parameters.
    pub parameters: BTreeMap<String, String>,
    /// Values of a template's pseudo parameters, such as `AWS::Region`.
    pub pseudo: BTreeMap<String, String>,
    /// What goes into layers, instead of what is written. Layers that functions name stay theirs.
    pub layers: Option<Policy>,
}

/// Reads the project.
///
/// # Errors
/// When the config is wrong (with its line), nothing describes the folder, or no function is selected.
pub fn load(selection: &Selection) -> Result<Project> {
    let path = fsio::normalize(Path::new("/"), &selection.path);
    if !path.is_dir() {
        let problem = if path.exists() { "is not a folder" } else { "does not exist" };
        return Err(Error::config(format!("`{}` {problem}", path.display())));
    }
    functions::Loader::new(selection, path).load()
}
