//! Archives that pip has fetched before, looked up where it keeps them, without running it.
//!
//! ```text
//! <cache>/http-v2/a/b/c/d/e/abcde…        what the server said
//! <cache>/http-v2/a/b/c/d/e/abcde….body   the archive as it came
//! ```
//!
//! The name is the SHA-224 of the URL. Source: `pip._internal.network.cache`, since pip 23.3; before, heads and bodies were
//! one file, which is not read here. A body is taken only when it has the digest that is asked for, so that a layout that
//! changes costs no more than fetching.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use sha2::{Digest as _, Sha224};

use crate::resolve::Context;
use crate::store::{Remote, encode_hex};

/// Takes into the store what it lacks of these and pip has.
pub(super) fn adopt(remotes: &[Remote], settings: &[String], context: &Context<'_>) {
    let Some(folder) = folder(settings).map(|cache| cache.join("http-v2")).filter(|folder| folder.is_dir()) else {
        return;
    };
    remotes.par_iter().for_each(|remote| {
        let body = body(&folder, &remote.url);
        if body.is_file() && matches!(context.store.archive(remote.form, &remote.digest), Ok(None)) {
            context.adopt_copy(remote.form, &remote.digest, &body, &remote.label);
        }
    });
}

/// pip's cache: as a variable or a setting has it, else in the user's cache folder.
fn folder(settings: &[String]) -> Option<PathBuf> {
    use etcetera::BaseStrategy as _;
    let named = std::env::var_os("PIP_CACHE_DIR").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let written = || settings.iter().flat_map(|text| text.lines()).find_map(setting);
    let own = || {
        let home = etcetera::home_dir().ok()?;
        if cfg!(target_os = "macos") {
            return Some(home.join("Library/Caches/pip"));
        }
        Some(etcetera::choose_base_strategy().ok()?.cache_dir().join("pip"))
    };
    named.or_else(written).or_else(own)
}

/// The value of a line `cache-dir = …`.
fn setting(line: &str) -> Option<PathBuf> {
    let (key, value) = line.split_once(['=', ':'])?;
    let is_it = key.trim().replace('_', "-") == "cache-dir";
    (is_it && Path::new(value.trim()).is_absolute()).then(|| PathBuf::from(value.trim()))
}

/// Where the body of what a URL gave would be.
fn body(folder: &Path, url: &str) -> PathBuf {
    let hex = encode_hex(&Sha224::digest(key(url).as_bytes()));
    let folders = hex.chars().take(5).map(|c| c.to_string());
    folder.join(folders.collect::<PathBuf>()).join(format!("{hex}.body"))
}

/// The URL as pip's cache has it: no fragment, scheme and host in lower case, at least `/` for a path.
fn key(url: &str) -> String {
    let url = url.split('#').next().unwrap_or(url);
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    let slash = if path.starts_with('/') { "" } else { "/" };
    format!("{}://{}{slash}{path}", scheme.to_lowercase(), host.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_pip() {
        // `printf %s https://files.test/a-1.whl | sha224sum`
        let hex = "387b55de096f188a2071e77945247f4440fb01afeb2d09b52d08153d";
        let expected = PathBuf::from("/c/3/8/7/b/5").join(format!("{hex}.body"));
        assert_eq!(body(Path::new("/c"), "HTTPS://Files.Test/a-1.whl#sha256=1"), expected);
        assert_eq!(key("https://h?x"), "https://h/?x");
    }

    #[test]
    fn the_folder_may_be_written_down() {
        assert_eq!(setting("cache-dir = /var/pip"), Some("/var/pip".into()));
        assert_eq!(setting("cache_dir: /var/pip"), Some("/var/pip".into()));
        assert_eq!(setting("cache-dir = pip"), None);
        assert_eq!(setting("no-cache-dir = true"), None);
    }
}
