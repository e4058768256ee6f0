//! What may be typed behind `check`.
#![expect(clippy::doc_markdown, reason = "these comments are the help texts, where backticks would stand as they are")]

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::args::OutputArgs;

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Zips, folders that are to be zipped, and images: OCI layouts, `docker save` and OCI archives, and images in
    /// registries: REPOSITORY:TAG in the account's ECR, or HOST/REPOSITORY:TAG
    #[arg(required = true, value_name = "ARTIFACT")]
    pub(crate) artifacts: Vec<PathBuf>,

    /// Runtime identifier, such as python3.13 [default: what the files tell]
    #[arg(long, value_name = "ID")]
    pub(crate) runtime: Option<String>,

    /// Architecture [default: that of most native files]
    #[arg(long, value_name = "ARCH", value_parser = ["x86_64", "arm64"])]
    pub(crate) arch: Option<String>,

    /// Handler, such as app.handler; without one it is not looked for
    #[arg(long, value_name = "H", conflicts_with = "layer")]
    pub(crate) handler: Option<String>,

    /// They are layers [default: where nothing but folders of layers is at the root]
    #[arg(long)]
    pub(crate) layer: bool,

    /// Write images anew as Lambda takes them (one manifest, gzipped layers), and judge these
    #[arg(long, conflicts_with_all = ["layer", "handler"])]
    pub(crate) fix: bool,

    /// Where images go that are written anew, as NAME.oci [default: the current folder]
    #[arg(long, value_name = "DIR", requires = "fix")]
    pub(crate) out_dir: Option<PathBuf>,

    /// Push images that were written anew: to a repository of the account's ECR, or to host and repository
    #[arg(long, value_name = "REPO", requires = "fix")]
    pub(crate) repository: Option<String>,

    /// Their tag [default: the artifact's name and the beginning of the digest]
    #[arg(long, value_name = "T", requires = "repository")]
    pub(crate) tag: Option<String>,

    /// Create the repository in ECR when it is missing, and let Lambda take images from it
    #[arg(long, requires = "repository")]
    pub(crate) create_repository: bool,

    /// Region of ECR instead of that of AWS_REGION and the profile
    #[arg(long, value_name = "R")]
    pub(crate) region: Option<String>,

    /// Profile instead of AWS_PROFILE
    #[arg(long, value_name = "P")]
    pub(crate) profile: Option<String>,

    /// What stdout gets
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: CheckFormat,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckFormat {
    /// A line for each artifact; findings go to stderr
    Text,
    /// One JSON document
    Json,
}
