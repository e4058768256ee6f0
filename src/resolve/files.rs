//! Functions that need nothing resolved: what is in the folder is what is packed.
//!
//! A `bootstrap` that was built elsewhere, or whatever a function of a custom runtime reads.

use std::path::PathBuf;

use super::{Application, Context, Request, Resolution, Resolver, Weight};
use crate::error::Result;
use crate::fresh::Inputs;

/// Its name, which a config may give for a folder that is to be packed as it is.
const NAME: &str = "files";

/// See the module.
#[derive(Debug, Clone, Copy)]
pub struct Files;

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
        requests.iter().map(|_| Ok(as_it_is())).collect()
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
