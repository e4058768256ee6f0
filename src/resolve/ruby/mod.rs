//! Ruby: gems by Bundler, as `vendor/bundle/ruby/X.Y.0`, where Lambda's Ruby looks for them (`GEM_PATH`).
//!
//! ```text
//! vendor/bundle of the runtime's version in the project ──────────────┐
//! else a copy of the folder ──► bundle install, without development   ├──► gems: one package each, less what a build left
//!                               and test groups (install)             ┘    (gems)
//! ```
//!
//! Bundler's own choice stands; `vendor/cache` and the lock file decide where they are. Gems of pure Ruby are the same for
//! every version, so that any Ruby of this machine installs them; gems with C are compiled by the Ruby that is here, which
//! then has to be of the runtime's version. What a gem says of versions of Ruby is compared with the runtime's.
//!
//! Lambda's Ruby knows nothing of Bundler: gems from a path are built as gems, those from Git are refused, and settings of
//! Bundler, which may hold credentials, stay out.

mod gems;
mod install;
mod lock;

use std::path::PathBuf;

use self::gems::Gems;
use super::{Application, Context, Own, Request, Resolution, Resolver, made};
use crate::error::{Error, Result};
use crate::fresh::{self, Inputs};
use crate::fsio;
use crate::lambda::Family;
use crate::process::find_program;

/// What is never packed of the folder itself: settings of Bundler.
const REPLACED: &[&str] = &[".bundle"];

/// The resolver of Ruby functions with a Gemfile.
#[derive(Debug, Default, Clone, Copy)]
pub struct Ruby;

/// A version of Ruby as its folders of gems bear it: `3.4.0`.
pub(super) fn abi(request: &Request<'_>) -> Option<String> {
    match request.runtime.family {
        Family::Ruby { major, minor } => Some(format!("{major}.{minor}.0")),
        _ => None,
    }
}

impl Resolver for Ruby {
    fn name(&self) -> &'static str {
        "ruby"
    }

    fn own(&self, _request: &Request<'_>) -> Own {
        Own::Folder(REPLACED)
    }

    fn facts(&self) -> Vec<String> {
        let programs = ["bundle", "ruby", "gem"].into_iter().filter_map(find_program);
        let variables = fresh::variables(&["BUNDLE_", "GEM_", "RUBY", "RBENV_"]);
        programs.map(|program| fresh::tool(&program)).chain(variables).collect()
    }

    fn claims(&self, request: &Request<'_>) -> Option<PathBuf> {
        abi(request)?;
        Some(request.function.path.join("Gemfile")).filter(|gemfile| gemfile.is_file())
    }

    fn resolve(&self, requests: &[Request<'_>], context: &Context<'_>) -> Vec<Result<Resolution>> {
        requests.iter().map(|request| resolve_one(request, context)).collect()
    }
}

fn resolve_one(request: &Request<'_>, context: &Context<'_>) -> Result<Resolution> {
    let abi = abi(request).unwrap_or_default();
    let vendored = request.function.path.join("vendor/bundle/ruby").join(&abi);
    let mut notes = Vec::new();
    let (gems, inputs, resolved_by) = if vendored.is_dir() {
        let gems = Gems::read(&vendored, &abi, request, context)?;
        (gems, Some(Inputs::default()), "`vendor/bundle` as it is".to_owned())
    } else {
        install::install(request, &abi, context, &mut notes)?
    };
    let is_of_bundler = |path: &str| {
        let is_below = |folder: &str| path == folder || path.starts_with(&format!("{folder}/"));
        (is_below("vendor/bundle") || is_below("vendor/cache")).then_some("gems are packed as `vendor/bundle`")
    };
    Ok(Resolution {
        application: Application::Folder { replaced: REPLACED, filter: Some(Box::new(is_of_bundler)) },
        packages: gems.packages,
        findings: gems.findings,
        notes,
        inputs,
        resolved_by,
        ..Resolution::default()
    })
}

/// Where the Ruby of this machine is not of the runtime's version, and that matters.
fn needs_version(gem: &str, why: &str, here: &str, abi: &str) -> Error {
    let version = abi.rsplit_once('.').map_or(abi, |(version, _)| version);
    Error::failed(format!("gem `{gem}` {why}, and this machine's Bundler runs on Ruby {here}, not on {version}"))
        .hint(format!("run with Ruby {version} on PATH (`rbenv install {version}`), or commit a `vendor/bundle/ruby/{abi}` that was installed by it for Lambda's system"))
}

/// The text of a file of the function's folder, if it is there.
fn text_of(request: &Request<'_>, name: &str) -> Result<Option<String>> {
    let path = request.function.path.join(name);
    if path.is_file() { fsio::read_text(&path).map(Some) } else { Ok(None) }
}

/// Keeps files of a scratch folder.
fn keep(
    folder: &std::path::Path,
    request: &Request<'_>,
    context: &Context<'_>,
) -> Result<(crate::tree::Tree, Vec<crate::finding::Finding>)> {
    made::keep(folder, &request.function.exclude, request, context)
}
