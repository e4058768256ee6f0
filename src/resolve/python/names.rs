//! Names, requirements and markers as Python's packaging standards write them.

use std::str::FromStr;

use pep508_rs::{ExtraName, MarkerEnvironment, MarkerTree, PackageName, Requirement, VerbatimUrl};

/// A project name in its one normal form (PEP 503): lower case, runs of `-`, `_` and `.` become `-`.
pub(super) fn normalize(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '-' | '_' | '.' if out.ends_with('-') => {}
            '-' | '_' | '.' => out.push('-'),
            c => out.extend(c.to_lowercase()),
        }
    }
    out
}

/// Whether a marker holds. Empty text holds always.
///
/// # Errors
/// The parser's own words when it is no marker.
pub(super) fn holds(marker: &str, environment: &MarkerEnvironment, extras: &[ExtraName]) -> Result<bool, String> {
    if marker.trim().is_empty() {
        return Ok(true);
    }
    bounded(marker)?;
    let tree = MarkerTree::parse_str::<VerbatimUrl>(marker).map_err(|e| e.message.to_string())?;
    Ok(tree.evaluate(environment, extras))
}

/// A marker as messages quote it: what a person writes as it is, the beginning of what only a program does.
pub(super) fn shortened(marker: &str) -> String {
    const SHOWN: usize = 200;
    match marker.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &marker[..end]),
        None => marker.to_owned(),
    }
}

/// A requirement, or what is wrong with it and at which byte.
pub(super) fn requirement(text: &str) -> Result<Requirement, (String, usize)> {
    bounded(text).map_err(|why| (why, 0))?;
    well_named(text)?;
    Requirement::from_str(text).map_err(|e| (e.message.to_string(), e.start))
}

/// Refuses what the parser, which calls itself for every bracket and takes a level for every name that is compared, would
/// overflow its stack on.
fn bounded(text: &str) -> Result<(), String> {
    const LENGTH: usize = 16 << 10;
    const DEPTH: usize = 64;
    if text.len() > LENGTH {
        return Err(format!("it is longer than {LENGTH} bytes"));
    }
    let mut depth = 0_usize;
    for byte in text.bytes() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH {
            return Err(format!("its brackets are nested deeper than {DEPTH}"));
        }
    }
    Ok(())
}

/// Refuses names and extras that do not end in a letter or digit: the parser panics on them.
fn well_named(text: &str) -> Result<(), (String, usize)> {
    let start = text.len() - text.trim_start().len();
    let in_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let check = |from: usize| {
        let rest = &text[from..];
        let end = rest.find(|c| !in_name(c)).unwrap_or(rest.len());
        match rest[..end].ends_with(['-', '_', '.']) {
            true => Err((format!("`{}` does not end in a letter or digit", &rest[..end]), from)),
            false => Ok(from + end),
        }
    };
    let mut at = check(start)?;
    let gap = text[at..].len() - text[at..].trim_start().len();
    if text[at + gap..].starts_with('[') {
        let close = text[at..].find(']').map_or(text.len(), |close| at + close);
        while at < close {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
            at = check(at)?.max(at);
        }
    }
    Ok(())
}

/// Extras as names; what is no name is left out.
pub(super) fn extras<'a>(names: impl IntoIterator<Item = &'a String>) -> Vec<ExtraName> {
    names.into_iter().filter_map(|name| ExtraName::from_str(name).ok()).collect()
}

/// Whether a text is a project name.
pub(super) fn is_name(text: &str) -> bool {
    PackageName::from_str(text).is_ok()
}

/// The last component of a URL's path, percent-decoded as far as file names of packages need it (`%2B` in local versions).
pub(super) fn file_name(url: &str) -> String {
    let path = url.split(['#', '?']).next().unwrap_or(url);
    path.rsplit('/').next().unwrap_or(path).replace("%2B", "+").replace("%2b", "+")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_have_one_form() {
        assert_eq!(normalize("Foo._-Bar"), "foo-bar");
        assert_eq!(file_name("https://h/a/torch-1%2Bcpu-py3-none-any.whl#sha256=1"), "torch-1+cpu-py3-none-any.whl");
    }

    #[test]
    fn deep_markers_are_refused_instead_of_overflowing_the_stack() {
        let deep = format!("{}os_name == 'posix'{}", "(".repeat(100_000), ")".repeat(100_000));
        assert!(requirement(&format!("a ; {deep}")).is_err());
        let target = super::super::target::Target::new(
            crate::lambda::find("python3.13").unwrap(),
            crate::lambda::Architecture::Arm64,
        );
        let markers = target.unwrap().markers;
        for marker in [deep, "(".repeat(1_000), vec!["extra == 'x'"; 10_000].join(" or ")] {
            assert!(holds(&marker, &markers, &[]).is_err());
        }
        assert_eq!(shortened(&"é".repeat(500)), format!("{}…", "é".repeat(200)));
        let nested = format!("{}os_name == 'posix'{}", "(".repeat(60), ")".repeat(60));
        assert_eq!(holds(&nested, &markers, &[]), Ok(true));
    }

    proptest! {
        #[test]
        fn requirements_never_panic(text in "[a-z\\[\\]<>=!~;@ .0-9'\"(é]{0,30}") {
            let _ = requirement(&text);
            let _ = MarkerTree::parse_str::<VerbatimUrl>(&text);
        }
    }
}
