//! The rules that apply to an artifact by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use super::links::check_links;
use super::{Opened, guess, image, open};
use crate::check::{self, Mount, Native, Subject};
use crate::error::Result;
use crate::finding::{Finding, Overrides, Rule};
use crate::lambda::{self, Architecture, Date, Runtime};
use crate::tree::{Assembly, Tree};

/// What is said of an artifact, and what is to be guessed.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The runtime's identifier.
    pub runtime: Option<&'a str>,
    /// The architecture.
    pub architecture: Option<Architecture>,
    /// The handler; without one it is not looked for.
    pub handler: Option<&'a str>,
    /// It is a layer, whatever it looks like.
    pub layer: bool,
    /// Today.
    pub today: Date,
}

/// What an artifact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A function's package, which lies at `/var/task`.
    Function,
    /// A layer, which lies at `/opt`.
    Layer,
    /// A container image.
    Image,
}

/// What came out.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// The artifact as it was named.
    pub path: String,
    /// What it was judged as.
    pub kind: Kind,
    /// The runtime that it was judged for; nothing of an image, which brings its own.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub runtime: String,
    /// The architecture that it was judged for.
    pub architecture: Architecture,
    /// Whether one of these two was guessed.
    pub guessed: bool,
    /// The zip's bytes; absent of a folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Bytes unpacked.
    pub unzipped_bytes: u64,
    /// Files and links.
    pub files: usize,
    /// Where it was pushed to, as Lambda takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_uri: Option<String>,
    /// What the rules found, at their own levels.
    #[serde(skip)]
    pub findings: Vec<Finding>,
}

/// Judges a zip, a folder or an image.
///
/// # Errors
/// When it is none of these, or cannot be read. What Lambda would refuse is a finding.
pub fn judge(path: &Path, question: &Question<'_>) -> Result<Verdict> {
    if image::is_image(path) {
        return image::judge(path, question);
    }
    let Opened { tree, mut findings, zip_bytes, is_whole } = open(path)?;
    let is_layer = question.layer || (question.handler.is_none() && guess::is_layer(&tree));
    let kind = if is_layer { Kind::Layer } else { Kind::Function };
    let guessed = guess::runtime(&tree, question.today);
    let architecture = question.architecture.unwrap_or_else(|| guess::architecture(&tree));
    let (runtime, found) = match question.runtime {
        Some(id) => check::check_runtime(id, architecture, question.today),
        None => (Some(guessed), Vec::new()),
    };
    findings.extend(found);
    findings.extend(zip_bytes.and_then(check::check_zip_size));
    findings.extend(check_links(&tree, kind));
    let mut assembly = Assembly::default();
    assembly.add("the artifact", &tree);
    let (tree, met) = assembly.finish();
    findings.extend(met);
    // Of a zip that cannot be read nothing more is to be said.
    if let Some(runtime) = runtime.filter(|_| is_whole || !tree.is_empty()) {
        findings.extend(match kind {
            Kind::Function => of_function(&tree, runtime, architecture, question),
            Kind::Image => Vec::new(),
            Kind::Layer => of_layer(&tree, runtime, architecture, question),
        });
    }
    Ok(Verdict {
        path: path.display().to_string(),
        kind,
        runtime: question.runtime.unwrap_or(guessed.id).to_owned(),
        architecture,
        guessed: question.runtime.is_none() || question.architecture.is_none(),
        bytes: zip_bytes,
        unzipped_bytes: tree.bytes(),
        files: tree.files(),
        image_uri: None,
        findings: Overrides::default().apply(findings),
    })
}

fn of_function(
    tree: &Tree,
    runtime: &'static Runtime,
    architecture: Architecture,
    question: &Question<'_>,
) -> Vec<Finding> {
    let environment = BTreeMap::new();
    let alone = Subject::alone(runtime, architecture, tree, &environment, question.today);
    let findings = check::check(&Subject { handler: question.handler, ..alone });
    // A guess that it is a bootstrap's runtime is no reason to miss one.
    let findings = findings.into_iter().filter(|f| f.rule != Rule::BootstrapMissing || question.runtime.is_some());
    without_public(findings.collect(), tree)
}

fn of_layer(
    tree: &Tree,
    runtime: &'static Runtime,
    architecture: Architecture,
    question: &Question<'_>,
) -> Vec<Finding> {
    let environment = BTreeMap::new();
    let subject = Subject::alone(runtime, architecture, tree, &environment, question.today);
    let mut findings = without_public(check::check_files(&subject), tree);
    for finding in &mut findings {
        if finding.rule == Rule::UnzippedTooLarge {
            finding.rule = Rule::LayerTooLarge;
            finding.message = format!("{}; these are {} bytes", lambda::LAYERS_SIZE_MESSAGE, tree.bytes());
        }
    }
    let mounts = [Mount::layers(tree)];
    findings.extend(check::check_native(&Native {
        runtime,
        architecture,
        mounts: &mounts,
        handler: None,
        packages: &[],
    }));
    findings
}

/// Without secrets in what others have published: packages bring certificates and test keys of their own.
fn without_public(findings: Vec<Finding>, tree: &Tree) -> Vec<Finding> {
    if !findings.iter().any(|finding| finding.rule == Rule::SecretFile) {
        return findings;
    }
    let mut published = BTreeSet::new();
    for (path, entry) in tree.iter() {
        let Some(info) = path.as_str().strip_suffix(".dist-info/RECORD") else { continue };
        let root = info.rsplit_once('/').map_or(String::new(), |(root, _)| format!("{root}/"));
        let record = entry.read().unwrap_or_default();
        published.extend(
            String::from_utf8_lossy(&record)
                .lines()
                .map(|line| format!("{root}{}", line.split(',').next().unwrap_or_default())),
        );
    }
    let is_public = |path: &str| path.contains("node_modules/") || published.contains(path);
    findings.into_iter().filter(|f| f.rule != Rule::SecretFile || !f.path.as_deref().is_some_and(is_public)).collect()
}
