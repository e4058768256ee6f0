//! What may be typed, and what it means once the environment is taken in.
#![expect(clippy::doc_markdown, reason = "these comments are the help texts, where backticks would stand as they are")]

use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

use super::check_args::CheckArgs;
use crate::error::{Error, Result};
use crate::lambda::{Architecture, Date};
use crate::pipeline::Options;
use crate::project::{self, PackageType, Project, Selection};
use crate::split::Policy;

/// Packs code of any language into what AWS Lambda accepts: no Docker, no framework.
#[derive(Debug, Parser)]
#[command(name = "cargo lambda-pack", bin_name = "cargo lambda-pack", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// `build` when no subcommand is named.
    #[command(flatten)]
    pub(crate) build: BuildArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Resolve, check and pack; write the zips and manifest.json into the output folder
    Build(BuildArgs),
    /// Build, upload what needs uploading, and print where it is
    Publish(Box<PublishArgs>),
    /// Decide everything and pack nothing: functions, packages, sizes, what each rule left out and why
    Plan(PlanArgs),
    /// Run a packed function here, as Lambda would
    Invoke(InvokeArgs),
    /// Judge zips, folders and layer zips that anyone has made against Lambda's rules
    Check(CheckArgs),
    /// Write a commented lambda-pack.toml from what is detected
    Init(InitArgs),
    /// The content store
    #[command(subcommand)]
    Cache(CacheCommand),
    /// Print shell completions
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    #[command(flatten)]
    pub(crate) project: ProjectArgs,

    /// Only say what would be packed, as `plan` does
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Build once more with nothing that an earlier run has kept, and compare
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) self_check: bool,

    /// Load each handler once, where it would run, and say what fails
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) verify: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) project: ProjectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PublishArgs {
    #[command(flatten)]
    pub(crate) project: ProjectArgs,

    /// The bucket, in the functions' region
    #[arg(long, value_name = "B", help_heading = "S3", env = "LAMBDA_PACK_BUCKET")]
    pub(crate) bucket: Option<String>,

    /// What every key begins with
    #[arg(long, value_name = "P", default_value = "", hide_default_value = true, help_heading = "S3")]
    pub(crate) prefix: String,

    /// Which zips go through S3 [default: auto]
    #[arg(long, value_enum, value_name = "WHEN", help_heading = "S3")]
    pub(crate) s3: Option<S3Arg>,

    /// How objects are named
    #[arg(long, value_enum, default_value = "content", help_heading = "S3")]
    pub(crate) key: KeyArg,

    /// What Lambda does with an object (S3ObjectStorageMode)
    #[arg(long, value_enum, default_value = "copy", value_name = "MODE", help_heading = "S3")]
    pub(crate) storage_mode: StorageArg,

    /// Encrypt objects with this KMS key instead of the bucket's default
    #[arg(long, value_name = "K", help_heading = "S3")]
    pub(crate) kms_key_id: Option<String>,

    /// The account that the bucket must belong to
    #[arg(long, value_name = "ID", help_heading = "S3")]
    pub(crate) expected_bucket_owner: Option<String>,

    /// Tag new objects (repeatable)
    #[arg(long = "object-tag", value_name = "KEY=VALUE", value_parser = tag, help_heading = "S3")]
    pub(crate) object_tags: Vec<(String, String)>,

    /// Publish layers of which Lambda has no version yet, and print each LayerVersionArn
    #[arg(long, help_heading = "AWS")]
    pub(crate) publish_layers: bool,

    /// Where images are pushed to: a repository of the account's ECR, or host and repository; {function} stands for the
    /// function's name
    #[arg(long, value_name = "REPO", help_heading = "Images", env = "LAMBDA_PACK_REPOSITORY")]
    pub(crate) repository: Option<String>,

    /// The tag of an image, in which {function} stands for the function's name [default: the function's name and the
    /// beginning of the digest]
    #[arg(long, value_name = "T", help_heading = "Images")]
    pub(crate) tag: Option<String>,

    /// Create the repository in ECR when it is missing, and let Lambda take images from it
    #[arg(long, requires = "repository", help_heading = "Images")]
    pub(crate) create_repository: bool,

    /// Region instead of that of AWS_REGION and the profile
    #[arg(long, value_name = "R", help_heading = "AWS")]
    pub(crate) region: Option<String>,

    /// Profile instead of AWS_PROFILE
    #[arg(long, value_name = "P", help_heading = "AWS")]
    pub(crate) profile: Option<String>,

    /// Only say what would be packed, as `plan` does
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct InvokeArgs {
    /// The function; where there is but one it need not be named
    #[arg(value_name = "FUNCTION")]
    pub(crate) function: Option<String>,

    #[command(flatten)]
    pub(crate) project: ProjectArgs,

    /// A file with the event, `-` for the standard input, or a sample such as @sqs [default: {}]
    #[arg(long, value_name = "FILE", help_heading = "Invoke")]
    pub(crate) event: Option<String>,

    /// Wait for the answer, try up to three times and keep the event if all fail, or only build and check
    #[arg(long, value_name = "TYPE", value_parser = InvocationType::parse, default_value = "RequestResponse", help_heading = "Invoke")]
    pub(crate) invocation_type: InvocationType,

    /// Answer POST /2015-03-31/functions/NAME/invocations at HOST:PORT, until Ctrl-C
    #[arg(long, value_name = "ADDR", conflicts_with_all = ["event", "invocation_type"], help_heading = "Invoke")]
    pub(crate) serve: Option<String>,

    /// Build again when something changes, and let the new version answer
    #[arg(long, requires = "serve", help_heading = "Invoke")]
    pub(crate) watch: bool,

    /// Seconds instead of the configured timeout
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=900), help_heading = "Invoke")]
    pub(crate) timeout: Option<u16>,

    /// One more environment variable, such as AWS_PROFILE=dev; NAME alone takes the value that it has here (repeatable)
    #[arg(long = "env", value_name = "NAME=VALUE", help_heading = "Invoke")]
    pub(crate) env: Vec<String>,

    /// The region that the function is told to be in [default: AWS_REGION, or us-east-1]
    #[arg(long, value_name = "R", help_heading = "Invoke")]
    pub(crate) region: Option<String>,
}

impl InvokeArgs {
    /// What `--env` says.
    pub(crate) fn variables(&self) -> Result<Vec<(String, String)>> {
        let variable = |text: &String| match text.split_once('=') {
            Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
            None => std::env::var(text).map(|value| (text.clone(), value)).map_err(|_| {
                Error::config(format!("`--env {text}`: there is no such variable here"))
                    .hint("write `--env NAME=VALUE`")
            }),
        };
        self.env.iter().map(variable).collect()
    }
}

/// By Lambda's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InvocationType {
    RequestResponse,
    Event,
    DryRun,
}

impl InvocationType {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "RequestResponse" => Ok(Self::RequestResponse),
            "Event" => Ok(Self::Event),
            "DryRun" => Ok(Self::DryRun),
            _ => Err("it has to be RequestResponse, Event or DryRun".to_owned()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum S3Arg {
    /// Those that are too large for a request to Lambda
    Auto,
    /// All
    Always,
    /// None; one that is too large is refused
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyArg {
    /// [prefix/]NAME/SHA256.zip
    Content,
    /// [prefix/]NAME.zip, in a bucket that keeps versions
    Name,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StorageArg {
    /// Keep a copy
    Copy,
    /// Read the object itself, in a bucket that keeps versions
    Reference,
}

/// What may begin the name of a layer, with room for the rest of it.
fn layer_prefix(text: &str) -> Result<String, String> {
    let is_taken = text.len() <= 100 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    is_taken.then(|| text.to_owned()).ok_or_else(|| "at most 100 letters, digits, `-` and `_`".to_owned())
}

/// `NAME=VALUE`, or SAM's `ParameterKey=NAME,ParameterValue=VALUE`.
fn parameter(text: &str) -> Result<(String, String), String> {
    project::parameter(text).ok_or_else(|| "it has to be NAME=VALUE".to_owned())
}

/// `KEY=VALUE`.
fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if (1..=128).contains(&key.chars().count()) && value.chars().count() <= 256 => {
            Ok((key.to_owned(), value.to_owned()))
        }
        _ => Err("it has to be KEY=VALUE, with at most 128 and 256 characters".to_owned()),
    }
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ProjectArgs {
    /// A function's folder, a Cargo workspace, or a folder at or below a lambda-pack.toml
    #[arg(default_value = ".", hide_default_value = true)]
    pub(crate) path: PathBuf,

    /// Use this config file instead of the nearest lambda-pack.toml
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// A SAM or CloudFormation template as the project
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    pub(crate) template: Option<PathBuf>,

    /// Values of the template's parameters (repeatable)
    #[arg(long, value_name = "NAME=VALUE", num_args = 1.., value_parser = parameter)]
    pub(crate) parameter_overrides: Vec<(String, String)>,

    /// Only this function (repeatable)
    #[arg(long = "function", value_name = "NAME")]
    pub(crate) functions: Vec<String>,

    /// Runtime identifier, such as python3.13
    #[arg(long, value_name = "ID")]
    pub(crate) runtime: Option<String>,

    /// Handler, such as app.handler
    #[arg(long, value_name = "H")]
    pub(crate) handler: Option<String>,

    /// Architecture of the function
    #[arg(long, value_name = "ARCH", value_parser = ["x86_64", "arm64"])]
    pub(crate) arch: Option<String>,

    /// What a function becomes
    #[arg(long, value_name = "TYPE", value_parser = PackageType::NAMES)]
    pub(crate) package: Option<String>,

    /// What goes into layers
    #[arg(long, value_name = "POLICY", value_parser = Policy::NAMES)]
    pub(crate) layers: Option<String>,

    /// What the names of layers begin with that packages are split into
    #[arg(long, value_name = "P", default_value = "", hide_default_value = true, value_parser = layer_prefix)]
    pub(crate) layer_name_prefix: String,

    /// Where artifacts go [default: target/lambda-pack beside the config, or beside PATH]
    #[arg(long, value_name = "DIR")]
    pub(crate) out_dir: Option<PathBuf>,

    /// Write what is in each artifact beside it, as CycloneDX (NAME.cdx.json)
    #[arg(long)]
    pub(crate) sbom: bool,

    /// What stdout gets
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: Format,

    /// Do not use the network
    #[arg(long)]
    pub(crate) offline: bool,

    /// Lock files must exist, agree with their manifests, and stay as they are
    #[arg(long)]
    pub(crate) locked: bool,

    /// How many threads work at once [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: Option<u16>,

    /// Write when each piece of work began and ended, for chrome://tracing or Perfetto
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,

    /// Use nothing that an earlier run has kept
    #[arg(long)]
    pub(crate) no_cache: bool,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct OutputArgs {
    /// Only errors and warnings
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Say more: what was kept and dropped, and why
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    /// When to use colours
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) color: Color,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A summary for people
    Text,
    /// One JSON document: the manifest
    Json,
    /// API_S3_KEY=… lines for a shell
    Env,
    /// api_s3_key=… lines, appended to the file that GITHUB_OUTPUT names
    Github,
    /// A JSON array of CloudFormation's parameters
    Cloudformation,
    /// JSON for a .tfvars.json file of Terraform
    Tfvars,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Where to look, and where lambda-pack.toml goes
    #[arg(default_value = ".", hide_default_value = true)]
    pub(crate) path: PathBuf,

    /// Replace a lambda-pack.toml that is there
    #[arg(long)]
    pub(crate) force: bool,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum CacheCommand {
    /// Print where the store is
    Dir,
    /// Print how large the store is, in bytes
    Size {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Delete what has not been used for a while
    Prune {
        /// Delete what has not been used for so many days
        #[arg(long, default_value_t = 30, value_name = "N")]
        days: u16,
        #[command(flatten)]
        remote: RemoteLayersArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RemoteLayersArgs {
    /// Instead, list published layer versions that packages were split into and no function of the account has
    #[arg(long)]
    pub(crate) remote_layers: bool,

    /// Delete those that are listed
    #[arg(long, requires = "remote_layers")]
    pub(crate) yes: bool,

    /// Only layers whose names begin so
    #[arg(long, value_name = "P", default_value = "", hide_default_value = true, requires = "remote_layers")]
    pub(crate) layer_name_prefix: String,

    /// Region instead of that of AWS_REGION and the profile
    #[arg(long, value_name = "R", requires = "remote_layers")]
    pub(crate) region: Option<String>,

    /// Profile instead of AWS_PROFILE
    #[arg(long, value_name = "P", requires = "remote_layers")]
    pub(crate) profile: Option<String>,
}

impl ProjectArgs {
    /// What the project is asked for.
    pub(crate) fn selection(&self, region: Option<&str>) -> Result<Selection> {
        if !self.path.exists() {
            return Err(missing(&self.path));
        }
        if let Some(config) = self.config.as_ref().filter(|c| !c.is_file()) {
            return Err(Error::config(format!("`--config {}` names no file", config.display())));
        }
        if let Some(template) = self.template.as_ref().filter(|file| !file.is_file()) {
            return Err(Error::config(format!("`--template {}` names no file", template.display())));
        }
        Ok(Selection {
            template: self.template.as_deref().map(absolute).transpose()?,
            parameters: self.parameter_overrides.iter().cloned().collect(),
            pseudo: project::pseudo(region),
            path: absolute(&self.path)?,
            config: self.config.as_deref().map(absolute).transpose()?,
            functions: self.functions.clone(),
            runtime: self.runtime.clone(),
            handler: self.handler.clone(),
            architecture: self.arch.as_deref().and_then(Architecture::parse),
            layers: self.layers.as_deref().and_then(Policy::parse),
            package: self.package.as_deref().and_then(PackageType::parse),
        })
    }

    /// How to work on a project.
    pub(crate) fn options(&self, project: &Project) -> Result<Options> {
        Ok(Options {
            out_dir: self.out_dir.as_deref().map_or_else(|| Ok(project.default_out_dir.clone()), absolute)?,
            offline: self.offline,
            locked: self.locked,
            no_cache: self.no_cache,
            today: today()?,
            layer_prefix: self.layer_name_prefix.clone(),
            sbom: self.sbom,
            shallow_bases: false,
        })
    }
}

/// PATH does not exist; perhaps a subcommand was meant.
fn missing(path: &Path) -> Error {
    let error = Error::config(format!("`{}` does not exist", path.display()));
    let typed = path.to_string_lossy();
    let commands = Cli::command();
    let near =
        commands.get_subcommands().map(clap::Command::get_name).find(|name| strsim::osa_distance(name, &typed) <= 2);
    match near {
        Some(name) => error.hint(format!("did you mean the subcommand `{name}`?")),
        None => error.hint("PATH is a function's folder, a Cargo workspace, or a folder with a lambda-pack.toml"),
    }
}

/// Today, or the day that `LAMBDA_PACK_TODAY` names (so that what was said on a day can be said again).
pub(crate) fn today() -> Result<Date> {
    match std::env::var("LAMBDA_PACK_TODAY") {
        Ok(text) if !text.is_empty() => {
            text.parse().map_err(|e: String| Error::config(format!("LAMBDA_PACK_TODAY: {e}")))
        }
        _ => Ok(Date::today()),
    }
}

/// An absolute path without `.` and `..`.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf> {
    let absolute = std::path::absolute(path).map_err(|e| Error::io("find", path, &e))?;
    Ok(crate::fsio::normalize(&absolute, Path::new("")))
}
