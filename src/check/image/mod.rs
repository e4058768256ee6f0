//! Rules on container images: would Lambda take it, and would the function start? `image-index`, `image-layer-media-type`,
//! `image-architecture`, `image-entrypoint`, `image-cmd-arity`, `image-too-many-layers`, `image-unreadable-file`,
//! `image-too-large`; and of the rules on machine code those that a merged file system can tell.
//!
//! Sources of the words: errors as people have reported them of `CreateFunction`, of functions that came to `State=Failed`,
//! and of first invocations; "Create a Lambda function using a container image" in the AWS Lambda Developer Guide.

mod files;
mod media;
mod start;

use crate::finding::{Finding, Rule};
use crate::image::{Merged, Starter};
use crate::lambda::{self, Architecture};
use crate::report::bytes;

pub(crate) use media::{LayerMedia, Media, check_media};

/// From so many layers on, it is told that there are few left.
const MANY_LAYERS: usize = 100;
/// At most so many findings of one rule.
const MOST: usize = 20;

/// What these rules look at.
pub(crate) struct ImageSubject<'a> {
    /// The processor that it is to run on.
    pub(crate) architecture: Architecture,
    /// How it is started.
    pub(crate) starter: &'a Starter,
    /// All of its files.
    pub(crate) merged: &'a Merged,
    /// Layers, those of the base among them.
    pub(crate) layers: usize,
    /// Bytes of all layers unpacked, as far as they are known.
    pub(crate) bytes: u64,
    /// Whether the libraries of the files in `/var/task` and `/opt` are judged here; else the tables of a runtime do it.
    pub(crate) judges_libraries: bool,
}

/// Runs every rule on an image.
pub(crate) fn check_image(subject: &ImageSubject<'_>) -> Vec<Finding> {
    let rules: [fn(&ImageSubject<'_>) -> Vec<Finding>; 7] = [
        check_size,
        check_layers,
        start::check_start,
        start::check_working_dir,
        start::check_command,
        files::check_readable,
        files::check_machine_code,
    ];
    rules.iter().flat_map(|rule| rule(subject)).collect()
}

/// Of one rule and level at most so many; the last says how many there are.
fn at_most(mut findings: Vec<Finding>) -> Vec<Finding> {
    let more = findings.len().saturating_sub(MOST);
    findings.truncate(MOST);
    if let Some(last) = findings.last_mut().filter(|_| more > 0) {
        last.message.push_str(&format!("; so it is with {more} more files"));
    }
    findings
}

fn check_size(subject: &ImageSubject<'_>) -> Vec<Finding> {
    if subject.bytes <= lambda::IMAGE_LIMIT {
        return Vec::new();
    }
    vec![Finding::new(
        Rule::ImageTooLarge,
        format!(
            "{}; the layers of this one have {} ({} bytes) together, what later ones hide counted too",
            lambda::IMAGE_SIZE_MESSAGE,
            bytes(subject.bytes),
            subject.bytes
        ),
        "leave out what the function does not need (`exclude`, `slim`, smaller packages, a smaller base); data can be fetched from S3 or EFS when the function starts",
    )]
}

fn check_layers(subject: &ImageSubject<'_>) -> Vec<Finding> {
    let said = |message: String| {
        Finding::new(
            Rule::ImageTooManyLayers,
            message,
            "build the image with fewer steps, or on a base that has fewer layers",
        )
    };
    match subject.layers {
        0..=MANY_LAYERS => Vec::new(),
        layers if layers > lambda::IMAGE_LAYERS => vec![said(format!(
            "it has {layers} layers: registries say `Limit on number of layers per image exceeded`, and Docker takes {}",
            lambda::IMAGE_LAYERS
        ))],
        layers => vec![
            said(format!("it has {layers} of the {} layers that Docker and registries take", lambda::IMAGE_LAYERS))
                .level(crate::finding::Level::Warning),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_exact() {
        let starter = Starter::default();
        let said = |bytes: u64| {
            let subject = ImageSubject {
                architecture: Architecture::X86_64,
                starter: &starter,
                merged: &Merged::default(),
                layers: 1,
                bytes,
                judges_libraries: true,
            };
            check_size(&subject).into_iter().map(|finding| finding.message).collect::<Vec<_>>()
        };
        assert_eq!(said(10_737_418_240), Vec::<String>::new());
        assert!(said(10_737_418_241)[0].starts_with(
            "InvalidImage(SizeLimitExceeded: Uncompressed container image size exceeds 10 GiB limit); the layers of this one have"
        ));
    }
}
