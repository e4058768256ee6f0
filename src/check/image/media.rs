//! `image-index` and `image-layer-media-type`: what Lambda looks at before it looks into an image.

use std::collections::BTreeSet;

use crate::finding::{Finding, Rule};
use crate::image::{
    DOCKER_CONFIG, DOCKER_LAYER_GZIP, DOCKER_MANIFEST, OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST, is_gzip_layer,
};
use crate::lambda::{IMAGE_LAYER_MESSAGE, IMAGE_MEDIA_TYPE_MESSAGE};

/// Media types of an image as its documents name them.
pub(crate) struct Media<'a> {
    /// Whether what is named is an index.
    pub(crate) is_index: bool,
    /// Of the manifest.
    pub(crate) manifest: &'a str,
    /// Of the config.
    pub(crate) config: &'a str,
    /// Of each layer.
    pub(crate) layers: Vec<LayerMedia<'a>>,
}

/// What a layer says that it is, and what it is.
pub(crate) struct LayerMedia<'a> {
    /// Its digest.
    pub(crate) digest: String,
    /// Its media type.
    pub(crate) media_type: &'a str,
    /// How it is compressed: `gzip`, `zstd`, `no compression`.
    pub(crate) compression: &'static str,
}

const FIX: &str = "`cargo lambda-pack check --fix --out-dir DIR` writes it anew as Lambda takes it";

pub(crate) fn check_media(media: &Media<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if media.is_index {
        findings.push(Finding::new(
            Rule::ImageIndex,
            format!("{IMAGE_MEDIA_TYPE_MESSAGE} It is an index: Lambda does not take images for several platforms, nor attestations beside one"),
            format!("{FIX}; `docker buildx build --platform linux/amd64 --provenance=false` makes none"),
        ));
    }
    for (what, media_type, known) in [
        ("manifest", media.manifest, [OCI_MANIFEST, DOCKER_MANIFEST]),
        ("config", media.config, [OCI_CONFIG, DOCKER_CONFIG]),
    ] {
        if !known.contains(&media_type) {
            findings.push(Finding::new(
                Rule::ImageLayerMediaType,
                format!("{IMAGE_MEDIA_TYPE_MESSAGE} The {what} is `{}`", media_type.escape_debug()),
                FIX,
            ));
        }
    }
    findings.extend(media.layers.iter().filter_map(of_layer).take(super::MOST));
    let families: BTreeSet<bool> = [media.manifest, media.config]
        .into_iter()
        .chain(media.layers.iter().map(|layer| layer.media_type))
        .map(|media_type| media_type.contains("vnd.docker."))
        .collect();
    if findings.is_empty() && families.len() > 1 {
        findings.push(Finding::new(
            Rule::ImageLayerMediaType,
            format!("{IMAGE_MEDIA_TYPE_MESSAGE} Its parts have media types of Docker and of OCI, which registries refuse when they are mixed"),
            FIX,
        ));
    }
    findings
}

fn of_layer(layer: &LayerMedia<'_>) -> Option<Finding> {
    if !is_gzip_layer(layer.media_type) {
        let said = format!(
            "{IMAGE_LAYER_MESSAGE} {}): the layer is `{}`, and Lambda takes `{OCI_LAYER_GZIP}` and `{DOCKER_LAYER_GZIP}`",
            layer.digest,
            layer.media_type.escape_debug()
        );
        return Some(Finding::new(Rule::ImageLayerMediaType, said, FIX));
    }
    (layer.compression != "gzip").then(|| {
        let said = format!(
            "{IMAGE_LAYER_MESSAGE} {}): the layer is said to be gzipped and has {}",
            layer.digest, layer.compression
        );
        Finding::new(Rule::ImageLayerMediaType, said, FIX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(manifest: &str, config: &str, layers: &[(&str, &'static str)]) -> Vec<String> {
        let layers = layers
            .iter()
            .map(|(media_type, compression)| LayerMedia { digest: "sha256:1".to_owned(), media_type, compression })
            .collect();
        let media = Media { is_index: false, manifest, config, layers };
        check_media(&media).iter().map(|finding| finding.message.clone()).collect()
    }

    #[test]
    fn both_families_are_taken_and_mixtures_are_not() {
        let none = Vec::<String>::new();
        assert_eq!(said(OCI_MANIFEST, OCI_CONFIG, &[(OCI_LAYER_GZIP, "gzip")]), none);
        assert_eq!(said(DOCKER_MANIFEST, DOCKER_CONFIG, &[(DOCKER_LAYER_GZIP, "gzip")]), none);
        assert!(said(OCI_MANIFEST, OCI_CONFIG, &[(DOCKER_LAYER_GZIP, "gzip")])[0].contains("mixed"));
        let zstd = said(OCI_MANIFEST, OCI_CONFIG, &[("application/vnd.oci.image.layer.v1.tar+zstd", "zstd")]);
        assert!(
            zstd[0]
                .starts_with("InvalidImage(ImageLayerFailure: UnsupportedImageLayerDetected - Layer Digest sha256:1)")
        );
        assert!(
            said(OCI_MANIFEST, OCI_CONFIG, &[(OCI_LAYER_GZIP, "zstd")])[0]
                .contains("is said to be gzipped and has zstd")
        );
        assert!(said(OCI_MANIFEST, "application/vnd.oci.empty.v1+json", &[])[0].contains("The config is"));
    }
}
