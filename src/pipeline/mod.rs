//! The pipeline in one place: project → resolve → check → pack → report.
//!
//! [`plan`] decides everything and packs nothing; [`build`] packs what a plan says; [`publish`] builds and brings the zips
//! to where a deployment can use them. All give plain values that the command line prints.

mod build;
mod draft;
mod images;
mod layers;
mod manifest;
mod native;
mod own;
mod own_layers;
mod packing;
mod parts;
mod plan;
mod planned;
mod publish;
mod push;
mod ready_images;
mod sbom;
mod sdk;
mod templates;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use build::{Built, build, self_check};
pub use layers::PlannedLayer;
pub use manifest::{
    GENERATOR, Manifest, ManifestFunction, ManifestImage, ManifestLayer, ManifestObject, ManifestPackage, Upload,
};
pub use plan::plan;
pub use planned::{Plan, PlannedFunction, PlannedPackage};
pub use publish::{Sendings, publish};
pub use push::Pushes;

use crate::error::{Error, Kind, Result};
use crate::fresh::{self, Files, Kept, KeptLayer, State};
use crate::lambda::Date;
use crate::registry::Registries;
use crate::report::Reporter;
use crate::store::Store;

/// How to work.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where artifacts go. Absolute.
    pub out_dir: PathBuf,
    /// No network.
    pub offline: bool,
    /// Lock files must exist and agree.
    pub locked: bool,
    /// Nothing of an earlier build stands.
    pub no_cache: bool,
    /// The day that lifecycle dates are compared with.
    pub today: Date,
    /// What the names of layers begin with that packages are split into.
    pub layer_prefix: String,
    /// Write what is in each artifact beside it.
    pub sbom: bool,
    /// Layers of a base in a registry stay there: images are pushed, and their layouts need not be whole.
    pub shallow_bases: bool,
}

/// What a run works with.
#[derive(Clone, Copy)]
pub struct Session<'a> {
    /// How to work.
    pub options: &'a Options,
    /// The content store.
    pub store: &'a Store,
    /// Where bases are read from, and images are pushed to.
    pub registries: &'a Registries,
    /// Hears what happens.
    pub reporter: &'a dyn Reporter,
}

/// What earlier builds into the same output folder knew.
struct Earlier {
    state: State,
    files: Files,
}

impl Earlier {
    /// What is known of the output folder; nothing when that is not to be looked at.
    fn read(session: Session<'_>, is_locked: bool) -> Self {
        let program = fresh::program();
        let mut state = if is_locked && !session.options.no_cache {
            State::read(&session.options.out_dir, &program)
        } else {
            State::new(&program)
        };
        let files = Files::new(state.known_files());
        Self { state, files }
    }

    /// Nothing is known.
    fn nothing() -> Self {
        Self { state: State::new(""), files: Files::new(HashMap::new()) }
    }

    /// Writes what is known now.
    fn write(
        mut self,
        records: Vec<(String, Option<Kept>)>,
        layers: BTreeMap<String, KeptLayer>,
        set: String,
        out_dir: &Path,
    ) -> Result<()> {
        for (name, kept) in records {
            self.state.note(&name, kept);
        }
        self.state.note_layers(layers, set);
        self.state.write(out_dir, &self.files)
    }
}

/// Everything that stopped the work, so that it can be mended in one go.
#[derive(Debug)]
pub struct Failures(pub Vec<Error>);

impl Failures {
    /// Who has to act: the config is wrong as soon as one error says so.
    pub fn kind(&self) -> Kind {
        if self.0.iter().any(|e| e.kind() == Kind::Config) { Kind::Config } else { Kind::Failed }
    }
}

impl From<Error> for Failures {
    fn from(error: Error) -> Self {
        Self(vec![error])
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            write!(f, "{}{error}", if i == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Failures {}

/// How long each stage took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timings {
    /// Dependencies and what had to be built.
    pub resolve: Duration,
    /// What goes to which layer.
    pub split: Duration,
    /// Rules, and walking the functions' folders.
    pub check: Duration,
    /// Deflating and writing.
    pub pack: Duration,
    /// Looking up and sending.
    pub upload: Duration,
    /// From beginning to end.
    pub total: Duration,
}

/// Adds the time that `work` takes to `slot`.
fn timed<T>(slot: &mut Duration, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let value = work();
    *slot += start.elapsed();
    value
}
