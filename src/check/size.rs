//! `unzipped-too-large`, `empty-package`, and the note that a zip is too large for the request.

use super::Subject;
use crate::finding::{Finding, Rule};
use crate::lambda;

/// How many of the largest packages a finding names.
const NAMED: usize = 5;

pub(super) fn check_unzipped(subject: &Subject<'_>) -> Vec<Finding> {
    if subject.tree.files() == 0 {
        return vec![Finding::new(
            Rule::EmptyPackage,
            "there is no file to pack",
            "check `path` and the patterns in `.lambdaignore` and `exclude`; `plan -v` says which rule dropped what",
        )];
    }
    let bytes = subject.tree.bytes().saturating_add(subject.opt_bytes);
    if bytes < lambda::UNZIPPED_LIMIT {
        return Vec::new();
    }
    let said = if subject.opt_bytes == 0 {
        format!("{}; these are {bytes} bytes", lambda::UNZIPPED_MESSAGE)
    } else {
        format!("{} The actual size is {bytes} bytes", lambda::COMBINED_MESSAGE)
    };
    let mut parts: Vec<(u64, String)> =
        subject.packages.iter().map(|p| (p.tree.bytes(), format!("{} {}", p.name, p.version))).collect();
    let packed: u64 = parts.iter().map(|(bytes, _)| bytes).sum();
    if packed < bytes {
        parts.push((bytes - packed, "the function's own files".to_owned()));
    }
    parts.sort_by(|(a, name), (b, other)| b.cmp(a).then_with(|| name.cmp(other)));
    let largest: Vec<String> =
        parts.iter().take(NAMED).map(|(bytes, name)| format!("{name} ({})", megabytes(*bytes))).collect();
    vec![Finding::new(
        Rule::UnzippedTooLarge,
        format!("{said}, {} too many. The most is taken by {}", bytes - lambda::UNZIPPED_LIMIT + 1, largest.join(", ")),
        "leave out what the function does not need (`exclude`, `.lambdaignore`, smaller packages); layers do not help, they count too; a container image may have 10 GB",
    )]
}

/// The note that a finished zip has to go through S3.
pub fn check_zip_size(bytes: u64) -> Option<Finding> {
    (bytes >= lambda::ZIP_DIRECT_LIMIT).then(|| {
        Finding::new(
            Rule::ZipTooLargeForDirectUpload,
            format!("{} when sent with the request; this zip has {bytes}", lambda::ZIP_DIRECT_MESSAGE),
            "upload it to S3 and name the object in the deployment",
        )
    })
}

fn megabytes(bytes: u64) -> String {
    crate::report::bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::testing::check_tree;
    use super::*;
    use crate::tree::{ArchivePath, Entry, Source, Tree};

    fn tree_of(bytes: u64) -> Tree {
        let file = |size| Entry::File { executable: true, size, source: Source::Bytes([].into()) };
        [("bootstrap", 1000), ("data", bytes - 1000)]
            .into_iter()
            .map(|(p, n)| (ArchivePath::new(p).unwrap(), file(n)))
            .collect()
    }

    #[test]
    fn the_limit_is_exact() {
        assert_eq!(check_tree("provided.al2023", "bootstrap", &tree_of(262_143_999)), Vec::<String>::new());
        let said = check_tree("provided.al2023", "bootstrap", &tree_of(262_144_000));
        assert!(said[0].starts_with("unzipped-too-large: Unzipped size must be smaller than 262144000 bytes; these are 262144000 bytes, 1 too many"), "{said:?}");
    }

    #[test]
    fn the_zip_limit_is_exact() {
        assert!(check_zip_size(52_428_799).is_none());
        assert!(
            check_zip_size(52_428_800).unwrap().message.contains("Zipped size must be smaller than 52428800 bytes")
        );
    }
}
