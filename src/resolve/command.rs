//! What a command of the project builds: `build = "…"`, run by the shell in a copy of the function's folder, so that nothing
//! is written into the project. `output` names what it leaves there; without it, the command fills `ARTIFACTS_DIR`.
//!
//! What such a command reads cannot be said, so that it runs for each build; what it leaves is packed only when it is new.

use std::ffi::OsString;
use std::path::PathBuf;

use super::made::Workshop;
use super::{COMMAND, Context, Own, Request, Resolution, Resolver, Weight};
use crate::error::{Error, Result};

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(super) struct Command;

impl Resolver for Command {
    fn name(&self) -> &'static str {
        COMMAND
    }

    fn weight(&self) -> Weight {
        Weight::Told
    }

    fn own(&self, _request: &Request<'_>) -> Own {
        Own::Nothing
    }

    fn claims(&self, request: &Request<'_>) -> Option<PathBuf> {
        request.function.build.command.as_ref().map(|_| request.function.path.clone())
    }

    fn resolve(&self, requests: &[Request<'_>], context: &Context<'_>) -> Vec<Result<Resolution>> {
        requests.iter().map(|request| build(request, context)).collect()
    }
}

fn build(request: &Request<'_>, context: &Context<'_>) -> Result<Resolution> {
    let choice = &request.function.build;
    let command = choice.command.as_deref().unwrap_or_default();
    let workshop = Workshop::open(request)?;
    let shell = if cfg!(windows) { ["cmd", "/C"] } else { ["sh", "-c"] };
    let words = shell.into_iter().map(OsString::from).chain([command.into()]).collect();
    workshop.run(words, command, &workshop.source(), request, context)?;
    let made = match &choice.output {
        Some(output) => {
            let made = workshop.source().join(output);
            if !made.exists() {
                return Err(Error::failed(format!("`{command}` left no `{}`", output.display()))
                    .hint("`output` is a folder or a zip, relative to the function's folder, that the command makes"));
            }
            made
        }
        None => workshop.artifacts(),
    };
    let resolution = workshop.finish(&made, format!("`{command}`"), request, context)?;
    if choice.output.is_none() && resolution.built.is_empty() {
        return Err(Error::failed(format!("`{command}` left nothing in the folder that `ARTIFACTS_DIR` names"))
            .hint("name the folder that it makes with `output = \"dist\"`, or let it write to \"$ARTIFACTS_DIR\""));
    }
    Ok(resolution)
}
