//! Version constraints as Poetry writes them: PEP 440's, and `^1.2`, `~1.2`, `1.*`, `*`, `>=1,<2 || >=3`.

use pep508_rs::pep440_rs::{Version, VersionSpecifiers};

/// No constraint that a person writes is longer.
const LENGTH: usize = 4 << 10;

/// Whether a version meets a constraint; nothing when that cannot be read.
pub(super) fn admits(constraint: &str, version: &Version) -> Option<bool> {
    if constraint.len() > LENGTH {
        return None;
    }
    let alternatives = constraint.split("||").flat_map(|part| part.split('|'));
    let mut any = false;
    for alternative in alternatives.map(str::trim) {
        let mut all = true;
        for one in conditions(alternative) {
            all &= meets(&one, version)?;
        }
        any |= all;
    }
    Some(any)
}

/// The conditions of an alternative, without spaces.
fn conditions(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    // `>= 1.0 <2` is two conditions: a word that is only an operator belongs to the next one.
    let mut operator = String::new();
    for word in text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty()) {
        match word.chars().all(|c| "<>=!~^".contains(c)) {
            true => operator.push_str(word),
            false => out.push(std::mem::take(&mut operator) + word),
        }
    }
    out
}

fn meets(condition: &str, version: &Version) -> Option<bool> {
    if matches!(condition, "*" | "") {
        return Some(true);
    }
    if let Some(base) = condition.strip_prefix('^') {
        return between(base, |release| release.iter().position(|n| *n != 0).unwrap_or(release.len() - 1), version);
    }
    if let Some(base) = condition.strip_prefix('~').filter(|rest| !rest.starts_with('=')) {
        return between(base, |release| usize::from(release.len() > 1), version);
    }
    let has_operator = condition.starts_with(['<', '>', '=', '!', '~']);
    let text = match condition.strip_prefix('=').filter(|rest| !rest.starts_with('=')) {
        Some(rest) => format!("=={rest}"),
        None if has_operator => condition.to_owned(),
        None => format!("=={condition}"),
    };
    Some(text.parse::<VersionSpecifiers>().ok()?.contains(version))
}

/// From `base` up to, and without, what follows when the number at `place` is raised.
fn between(base: &str, place: impl Fn(&[u64]) -> usize, version: &Version) -> Option<bool> {
    let base: Version = base.parse().ok()?;
    let release: Vec<u64> = base.release().to_vec();
    let place = place(&release).min(release.len().saturating_sub(1));
    let mut end: Vec<u64> = release[..=place].to_vec();
    *end.last_mut()? = end.last()?.checked_add(1)?;
    Some(*version >= base && *version < Version::new(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn constraints_mean_what_poetry_says() {
        for (constraint, yes, no) in [
            ("*", "1.0", ""),
            ("^1.2.3", "1.9", "2.0"),
            ("^0.2.3", "0.2.9", "0.3"),
            ("^0.0.3", "0.0.3", "0.0.4"),
            ("^1", "1.5", "2"),
            ("~1.2.3", "1.2.9", "1.3"),
            ("~1.2", "1.2.9", "1.3"),
            ("~1", "1.9", "2"),
            ("~=1.4.2", "1.4.9", "1.5"),
            ("1.2.*", "1.2.7", "1.3"),
            ("1.2.3", "1.2.3", "1.2.4"),
            ("=1.2.3", "1.2.3", "1.2.4"),
            (">=1.5.6,<1.5.7 || >1.5.7", "1.6", "1.5.7"),
            (">= 1.0 <2", "1.5", "2.1"),
            (">=3.7, !=3.9.*", "3.8", "3.9.1"),
            ("==2.0", "2.0.0", "2.1"),
        ] {
            let admits = |version: &str| admits(constraint, &version.parse().unwrap());
            assert_eq!(admits(yes), Some(true), "{constraint} {yes}");
            if !no.is_empty() {
                assert_eq!(admits(no), Some(false), "{constraint} {no}");
            }
        }
        assert_eq!(admits("@branch", &"1".parse().unwrap()), None);
    }

    proptest! {
        #[test]
        fn constraints_never_panic(text in "[\\^~<>=!|, .*0-9a-z]{0,20}") {
            let _ = admits(&text, &"1.2.3".parse().unwrap());
        }
    }
}
