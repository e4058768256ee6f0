//! What the last build of an output folder knew, in a file beside its zips.
//!
//! The first line is the digest of the rest: a file that was cut short or damaged is one that is not there.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::{Files, Inputs, Stat};
use crate::error::Result;
use crate::finding::Finding;
use crate::fsio;
use crate::lambda::Architecture;
use crate::pack::Artifact;
use crate::store::{ANSWER_AGE, sha256};

/// The file's name. Its version is that of its shape.
const NAME: &str = ".lambda-pack.state-1";
/// No such file is larger.
const MAX_STATE: u64 = 256 << 20;

/// What is known of an output folder.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct State {
    /// The program that wrote it.
    program: String,
    /// By name.
    functions: BTreeMap<String, Kept>,
    /// Layers of these functions, by name.
    layers: BTreeMap<String, KeptLayer>,
    /// What decided which function gets which of them.
    set: String,
    /// Files at rest, with their digests.
    files: BTreeMap<PathBuf, (Stat, String)>,
}

/// A function whose zip may still stand.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Kept {
    /// Digest of its settings, and of its own files.
    pub own: Option<String>,
    /// What its resolver has read: files with their digests, or nothing where there was no file; and facts.
    pub read: Vec<(PathBuf, Option<String>)>,
    /// Tools and settings.
    pub facts: Vec<String>,
    /// When newest versions were asked for, in seconds since 1970.
    pub asked_at: Option<u64>,
    /// Whether `read` and `facts` are all that its packages depend on.
    pub is_traced: bool,
    /// Digest of everything in the zip.
    pub tree: Option<String>,
    /// The zip as it was left; of an image, the file that names it.
    pub zip: Stat,
    /// The other files of an image, relative to the output folder.
    #[serde(default)]
    pub image: Vec<(PathBuf, Stat)>,
    /// What is said of it.
    pub artifact: Artifact,
    /// Its packages.
    pub packages: Vec<KeptPackage>,
    /// Names of its layers.
    pub layers: Vec<String>,
    /// Unpacked bytes of these.
    pub layers_bytes: u64,
    /// What a person should know.
    pub notes: Vec<String>,
    /// What decided the packages.
    pub resolved_by: String,
    /// What the rules found, before the config's levels.
    pub findings: Vec<Finding>,
}

/// A package of a function or layer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeptPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its unpacked bytes.
    pub bytes: u64,
    /// The layer that it is in.
    pub layer: Option<String>,
    /// Whether it was brought along from a system.
    #[serde(default)]
    pub is_native: bool,
}

/// A layer whose zip may still stand.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeptLayer {
    /// Its version, when it exists.
    pub arn: Option<String>,
    /// Whether the config names it.
    pub is_own: bool,
    /// Runtimes that it is for.
    pub runtimes: Vec<String>,
    /// Processors that it is for.
    pub architectures: Vec<Architecture>,
    /// Packages in it.
    pub packages: Vec<KeptPackage>,
    /// Functions that get it.
    pub users: Vec<String>,
    /// Unpacked bytes, when they are known.
    pub unzipped_bytes: Option<u64>,
    /// Digest of names, modes and contents.
    pub content: Option<String>,
    /// Digest of everything in the zip, as [`super::of_tree`] tells it.
    pub tree: Option<String>,
    /// The zip as it was left, and what is said of it; nothing for one that exists.
    pub zip: Option<(Stat, Artifact)>,
    /// What the rules found.
    pub findings: Vec<Finding>,
}

impl KeptLayer {
    /// Whether the zip is the one that was left.
    pub fn zip_stands(&self, out_dir: &Path) -> bool {
        match &self.zip {
            Some((stat, artifact)) => Stat::of(&out_dir.join(&artifact.path)) == Some(*stat),
            None => self.arn.is_some(),
        }
    }
}

impl State {
    /// Nothing is known.
    pub fn new(program: &str) -> Self {
        Self { program: program.to_owned(), ..Self::default() }
    }

    /// What is known of an output folder; nothing when another program, or another version, has written it.
    pub fn read(out_dir: &Path, program: &str) -> Self {
        let read = || {
            let bytes = fsio::read_bounded(&out_dir.join(NAME), MAX_STATE).ok()?;
            let text = std::str::from_utf8(&bytes).ok()?;
            let (digest, rest) = text.split_once('\n')?;
            let state: Self = (digest == sha256(rest.as_bytes()).hex()).then(|| serde_json::from_str(rest).ok())??;
            (state.program == program).then_some(state)
        };
        read().unwrap_or_else(|| Self::new(program))
    }

    /// Digests of files that may be known still.
    pub fn known_files(&mut self) -> HashMap<PathBuf, (Stat, String)> {
        std::mem::take(&mut self.files).into_iter().collect()
    }

    /// A function as it was built last.
    pub fn function(&self, name: &str) -> Option<&Kept> {
        self.functions.get(name)
    }

    /// Layers as they were built last.
    pub fn layers(&self) -> impl Iterator<Item = (&String, &KeptLayer)> {
        self.layers.iter()
    }

    /// A layer as it was built last.
    pub fn layer(&self, name: &str) -> Option<&KeptLayer> {
        self.layers.get(name)
    }

    /// Whether all layers stand, decided by `set`.
    pub fn stands_as(&self, set: &str, out_dir: &Path) -> bool {
        self.set == set && self.layers.values().all(|layer| layer.zip_stands(out_dir))
    }

    /// Notes the layers that were built, and what decided them.
    pub fn note_layers(&mut self, layers: BTreeMap<String, KeptLayer>, set: String) {
        self.layers = layers;
        self.set = set;
    }

    /// Notes how a function was built; nothing when that is not known.
    pub fn note(&mut self, name: &str, kept: Option<Kept>) {
        match kept {
            Some(kept) => self.functions.insert(name.to_owned(), kept),
            None => self.functions.remove(name),
        };
    }

    /// Writes it, with what is known of files.
    ///
    /// # Errors
    /// When it cannot be written. A path that JSON cannot hold only means that nothing is known the next time.
    pub fn write(mut self, out_dir: &Path, files: &Files) -> Result<()> {
        self.files = files.settled();
        let path = out_dir.join(NAME);
        match serde_json::to_string(&self) {
            Ok(text) => fsio::write_atomic(&path, format!("{}\n{text}", sha256(text.as_bytes()).hex()).as_bytes()),
            Err(_) => {
                let _ = std::fs::remove_file(&path);
                Ok(())
            }
        }
    }
}

impl Kept {
    /// Whether the zip is the one that was left.
    pub fn zip_stands(&self, out_dir: &Path) -> bool {
        let has = |path: &Path, stat: &Stat| {
            // Blobs are shared with the store by hard links, whose number changes.
            Stat::of(&out_dir.join(path)).is_some_and(|now| now.same_contents(stat))
        };
        match self.image.is_empty() {
            true => Stat::of(&out_dir.join(&self.artifact.path)) == Some(self.zip),
            false => self.image.iter().all(|(path, stat)| has(path, stat)),
        }
    }

    /// Whether a build would give the same, told without resolving: `own` is the digest of settings and own files.
    pub fn stands(&self, own: Option<&str>, facts: &[String], files: &Files) -> bool {
        let fresh = |asked_at: u64| {
            let asked = SystemTime::UNIX_EPOCH + Duration::from_secs(asked_at);
            SystemTime::now().duration_since(asked).is_ok_and(|age| age < ANSWER_AGE)
        };
        self.is_traced
            && own.is_some()
            && self.own.as_deref() == own
            && self.facts == facts
            && self.asked_at.is_none_or(fresh)
            && self.read.iter().all(|(path, digest)| files.digest(path) == *digest)
    }

    /// What a resolver has read, with digests.
    pub fn trace(&mut self, inputs: Option<&Inputs>, files: &Files) {
        let Some(inputs) = inputs else {
            self.is_traced = false;
            return;
        };
        // A file that has changed meanwhile may have been read before or after.
        self.is_traced = inputs.files.iter().all(|path| files.is_untouched(path));
        self.read = inputs.files.iter().map(|path| (path.clone(), files.digest(path))).collect();
        self.facts.clone_from(&inputs.facts);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.asked_at = inputs.of_the_day.then_some(now.as_secs());
    }
}
