//! What stdout gets: a summary, the manifest, or the outputs that a deployment takes in.

use std::io::Write as _;

use super::args::{Format, OutputArgs};
use super::print;
use crate::error::{Error, Result};
use crate::outputs;
use crate::pipeline::Manifest;

/// Prints a manifest in the form that was asked for; `summary` is what a person reads.
pub(super) fn print(
    format: Format,
    manifest: &Manifest,
    output: OutputArgs,
    summary: impl FnOnce() -> String,
) -> Result<()> {
    match format {
        Format::Text if output.quiet => Ok(()),
        Format::Text => print::stdout(&summary()),
        Format::Json => print::stdout(&manifest.to_json()),
        Format::Env => print::stdout(&outputs::env(manifest)),
        Format::Github => github(&outputs::github(manifest)),
        Format::Cloudformation => print::stdout(&outputs::cloudformation(manifest)),
        Format::Tfvars => print::stdout(&outputs::tfvars(manifest)),
    }
}

/// Appends to the file that `GITHUB_OUTPUT` names; without one, prints.
fn github(lines: &str) -> Result<()> {
    let Some(path) = std::env::var_os("GITHUB_OUTPUT").filter(|path| !path.is_empty()) else {
        return print::stdout(lines);
    };
    let path = std::path::Path::new(&path);
    let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
    file.and_then(|mut file| file.write_all(lines.as_bytes())).map_err(|e| {
        Error::io("append to", path, &e).hint("GITHUB_OUTPUT names it; unset that to have the lines on stdout")
    })
}
