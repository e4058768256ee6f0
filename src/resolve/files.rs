//! Functions that need nothing resolved: what is in the folder is what is packed.
//!
//! A `bootstrap` that was built elsewhere, jars, a published .NET folder. A folder that holds the sources of a language
//! that is not resolved here is refused, so that nobody ships a `pom.xml` for a function.

use std::path::PathBuf;

use super::{Application, Context, Request, Resolution, Resolver, Weight};
use crate::error::{Error, Result};
use crate::fresh::Inputs;

/// Its name, which a config may give for a folder that is to be packed as it is.
const NAME: &str = "files";

/// See the module.
#[derive(Debug, Clone, Copy)]
pub struct Files;

/// Manifests of builds, with the command whose result can be packed.
const SOURCES: &[(&str, &str)] =
    &[("pom.xml", "mvn package"), ("build.gradle", "gradle build"), ("build.gradle.kts", "gradle build")];

impl Resolver for Files {
    fn name(&self) -> &'static str {
        NAME
    }

    fn weight(&self) -> Weight {
        Weight::Rest
    }

    fn claims(&self, request: &Request<'_>) -> Option<PathBuf> {
        Some(request.function.path.clone())
    }

    fn resolve(&self, requests: &[Request<'_>], _context: &Context<'_>) -> Vec<Result<Resolution>> {
        requests.iter().map(|request| check_sources(request).map(|()| as_it_is())).collect()
    }
}

fn as_it_is() -> Resolution {
    Resolution {
        application: Application::Folder { replaced: &[], filter: None },
        inputs: Some(Inputs::default()),
        resolved_by: "the folder as it is".to_owned(),
        ..Resolution::default()
    }
}

/// Refuses sources that nobody has built, unless the project wants them as they are.
fn check_sources(request: &Request<'_>) -> Result<()> {
    if request.function.build.resolver.as_deref() == Some(NAME) {
        return Ok(());
    }
    let path = &request.function.path;
    for (manifest, command) in SOURCES {
        if path.join(manifest).is_file() {
            return Err(not_built(path.join(manifest), command));
        }
    }
    Ok(())
}

fn not_built(manifest: PathBuf, command: &str) -> Error {
    Error::config("this version does not build such a project")
        .at(manifest, None)
        .hint(format!("build it first (`{command}`), and point `path` at the folder that holds the result"))
}
