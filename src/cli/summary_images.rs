//! What a person reads of images that were pushed.

use std::fmt::Write as _;

use super::print::Style;
use crate::pipeline::{ManifestFunction, Pushes};
use crate::process::quote;
use crate::publish::Options;
use crate::report::{bytes, count};

/// Where the image is, in the words of whoever deploys it.
pub(super) fn place(out: &mut String, function: &ManifestFunction, options: &Options, style: Style) {
    let Some(uri) = function.image.as_ref().and_then(|image| image.uri.as_deref()) else { return };
    let _ = writeln!(out, "  {} {uri}", style.bold(&format!("{:<19}", "ImageUri")));
    let mut command =
        format!("aws lambda update-function-code --function-name {} --image-uri {}", function.name, quote(uri));
    for (flag, value) in [("--region", &options.aws.region), ("--profile", &options.aws.profile)] {
        if let Some(value) = value {
            let _ = write!(command, " {flag} {}", quote(value));
        }
    }
    let _ = writeln!(out, "    {command}");
}

/// `1 image pushed (3 blobs, 12 MB), 2 there already`; nothing when there were no images.
pub(super) fn line(pushes: Pushes) -> Option<String> {
    let Pushes { pushed, present, blobs, bytes: sum, mounted } = pushes;
    match (pushed, present) {
        (0, 0) => None,
        (0, present) => {
            let are = if present == 1 { "is" } else { "are" };
            Some(format!("nothing to push: {} {are} there already", count(present, "image")))
        }
        (pushed, present) => {
            let sent =
                if blobs == 0 { "no blobs".to_owned() } else { format!("{}, {}", count(blobs, "blob"), bytes(sum)) };
            let mounted = if mounted > 0 { format!(", {mounted} mounted") } else { String::new() };
            let there = if present > 0 { format!(", {present} there already") } else { String::new() };
            Some(format!("{} pushed ({sent}{mounted}){there}", count(pushed, "image")))
        }
    }
}
