//! Compiler flags that keep this machine's folders out of the executable, beside the user's own and never instead of them.
//!
//! Cargo takes flags from the first of these sources that says anything: `CARGO_ENCODED_RUSTFLAGS`; `RUSTFLAGS`; all of
//! `target.TRIPLE.rustflags` and matching `target.'cfg(…)'.rustflags` together; `build.rustflags`. So ours are appended to
//! the variable when one is set. Otherwise they are one more `target.TRIPLE.rustflags`, which Cargo joins with others of
//! `target`, and `build.rustflags` is repeated there when it would have been what decides.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cargo_metadata::cargo_platform::{Cfg, Platform};
use toml::Value;

use super::cargo_config::{CargoConfig, target_variable};
use super::rustc;
use super::target::Target;
use crate::error::{Error, Result};
use crate::fsio;
use crate::process::Tool;

/// What separates flags in `CARGO_ENCODED_RUSTFLAGS`.
pub(super) const SEPARATOR: &str = "\u{1f}";

/// The command with our flags added.
pub(super) fn apply(
    tool: Tool,
    target: &Target,
    config: &CargoConfig,
    workspace: &Path,
    target_dir: &Path,
) -> Result<Tool> {
    let mut ours = remap(target, config, workspace, target_dir);
    let of_environment = match (config.variable("CARGO_ENCODED_RUSTFLAGS"), config.variable("RUSTFLAGS")) {
        (Some(encoded), _) => Some(encoded.split(SEPARATOR).map(str::to_owned).collect()),
        (None, Some(plain)) => Some(words(&plain)),
        (None, None) => None,
    };
    if let Some(mut flags) = of_environment {
        flags.append(&mut ours);
        return Ok(tool.env("CARGO_ENCODED_RUSTFLAGS", flags.join(SEPARATOR)));
    }
    let mut flags = if target_has_flags(config, &target.triple, workspace)? { Vec::new() } else { build_flags(config) };
    flags.append(&mut ours);
    let list = Value::Array(flags.into_iter().map(Value::String).collect());
    Ok(tool.args(["--config".to_owned(), format!("target.{}.rustflags={list}", target.triple)]))
}

/// Of two prefixes of one path, the compiler takes the one that was given last: the inner ones come after the outer.
fn remap(target: &Target, config: &CargoConfig, workspace: &Path, target_dir: &Path) -> Vec<String> {
    let mut pairs: Vec<(PathBuf, String)> = Vec::new();
    let mut add = |path: &Path, name: &str| {
        pairs.push((path.to_owned(), name.to_owned()));
        // The compiler sees its working folder without links.
        if let Ok(real) = path.canonicalize()
            && real != path
        {
            pairs.push((real, name.to_owned()));
        }
    };
    add(workspace, "/workspace");
    add(target_dir, "/target");
    if let Some(home) = config.home() {
        add(home, "/cargo");
    }
    if let Some(commit) = &target.compiler_commit {
        // Sources of the standard library that are installed here are named as they are where they are not.
        add(&target.sysroot.join("lib/rustlib/src/rust"), &format!("/rustc/{commit}"));
    }
    pairs.sort_by_key(|(path, _)| path.components().count());
    pairs.into_iter().map(|(path, name)| format!("--remap-path-prefix={}={name}", path.display())).collect()
}

/// Whether flags of `target` are what decides, so that Cargo passes `build.rustflags` over.
pub(super) fn target_has_flags(config: &CargoConfig, triple: &str, workspace: &Path) -> Result<bool> {
    let of_variable = config.variable(&target_variable(triple, "rustflags")).is_some();
    Ok(of_variable || !targets_that_apply(config, triple, workspace)?.is_empty())
}

/// The keys of `[target]` with flags that apply to a triple: itself, and `cfg(…)` that hold of it.
pub(super) fn targets_that_apply(config: &CargoConfig, triple: &str, workspace: &Path) -> Result<BTreeSet<String>> {
    let named: BTreeSet<&str> = config.targets_with("rustflags").into_iter().collect();
    let platforms: Vec<(&str, Platform)> = named
        .iter()
        .filter(|name| name.starts_with("cfg("))
        .filter_map(|name| Some((*name, name.parse().ok()?)))
        .collect();
    let mut applying: BTreeSet<String> = named.contains(triple).then(|| triple.to_owned()).into_iter().collect();
    if !platforms.is_empty() {
        let output = rustc(workspace).args(["--print", "cfg", "--target", triple]).run().map_err(Error::from)?;
        let cfgs: Vec<Cfg> = output.text().lines().filter_map(|line| line.parse().ok()).collect();
        let holding = platforms.into_iter().filter(|(_, platform)| platform.matches(triple, &cfgs));
        applying.extend(holding.map(|(name, _)| name.to_owned()));
    }
    Ok(applying)
}

/// `build.rustflags`: Cargo joins the lists of all files, the nearest last, and the variable after them.
fn build_flags(config: &CargoConfig) -> Vec<String> {
    let mut flags: Vec<String> = config.all(&["build", "rustflags"]).into_iter().rev().flat_map(list).collect();
    flags.extend(config.variable("CARGO_BUILD_RUSTFLAGS").iter().flat_map(|text| words(text)));
    flags
}

pub(super) fn list(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => words(text),
        Value::Array(items) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

pub(super) fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Whether the flags that apply name a linker.
pub(super) fn name_a_linker(config: &CargoConfig, triple: &str) -> bool {
    let variables = ["CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS"].map(str::to_owned);
    let variables = variables.into_iter().chain([target_variable(triple, "rustflags")]);
    let mut flags: Vec<String> = variables.filter_map(|name| config.variable(&name)).collect();
    for keys in [["target", triple, "rustflags"].as_slice(), &["build", "rustflags"]] {
        flags.extend(config.all(keys).into_iter().flat_map(list));
    }
    flags.iter().any(|flag| flag.contains("linker="))
}

/// Whether the user has decided on `profile.release.strip`; symbols are taken away otherwise, as nothing in Lambda reads
/// them.
pub(super) fn chooses_strip(workspace: &Path, config: &CargoConfig) -> Result<bool> {
    const KEYS: [&str; 3] = ["profile", "release", "strip"];
    if config.variable("CARGO_PROFILE_RELEASE_STRIP").is_some() || !config.all(&KEYS).is_empty() {
        return Ok(true);
    }
    let manifest = workspace.join("Cargo.toml");
    let table: toml::Table = fsio::read_text(&manifest)?
        .parse()
        .map_err(|e: toml::de::Error| Error::config("bad manifest").at(&manifest, None).because(e))?;
    let value = KEYS.iter().try_fold(&Value::Table(table), |value, key| value.get(*key)).is_some();
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(files: &[(&str, &str)], variables: &[(&str, &str)]) -> (tempfile::TempDir, CargoConfig) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fsio::write_atomic(&dir.path().join(name), text.as_bytes()).unwrap();
        }
        let variables: Vec<(String, String)> =
            variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let find = move |name: &str| variables.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone());
        let home = Some(dir.path().join("home"));
        let config = CargoConfig::with(&dir.path().join("ws/inner"), home, Box::new(find)).unwrap();
        (dir, config)
    }

    fn applied(config: &CargoConfig) -> String {
        let target = Target::new("x86_64-unknown-linux-gnu");
        let tool = Tool::new("cargo");
        format!("{:?}", apply(tool, &target, config, Path::new("/w"), Path::new("/w/target")).unwrap())
    }

    #[test]
    fn flags_of_variables_are_appended_to() {
        let (_dir, config) = config(&[], &[("RUSTFLAGS", "-C target-cpu=x86-64-v3")]);
        let shown = applied(&config);
        assert!(shown.contains("-C\\u{1f}target-cpu=x86-64-v3\\u{1f}--remap-path-prefix=/w=/workspace"), "{shown}");
        assert!(!shown.contains("--config"), "{shown}");
    }

    #[test]
    fn flags_of_the_build_table_are_kept_when_they_decide() {
        let near = ("ws/.cargo/config.toml", "build.rustflags = ['-Cb']\n");
        let far = (".cargo/config.toml", "build.rustflags = '-Ca -Cx'\n");
        let (_dir, plain) = config(&[near, far], &[]);
        assert_eq!(build_flags(&plain), ["-Ca", "-Cx", "-Cb"]);
        assert!(
            applied(&plain).contains("rustflags=[\\\"-Ca\\\", \\\"-Cx\\\", \\\"-Cb\\\", \\\"--remap"),
            "{}",
            applied(&plain)
        );
        let target = ("home/config.toml", "target.x86_64-unknown-linux-gnu.rustflags = ['-Cc']\n");
        let (_dir, of_target) = config(&[near, target], &[]);
        assert!(!applied(&of_target).contains("-Cb"));
        let cfg = ("home/config.toml", "[target.'cfg(target_os = \"linux\")']\nrustflags = ['-Cc']\n");
        let (_dir, of_cfg) = config(&[near, cfg], &[]);
        assert!(target_has_flags(&of_cfg, "x86_64-unknown-linux-gnu", Path::new(".")).unwrap());
        let cfg = ("home/config.toml", "[target.'cfg(windows)']\nrustflags = ['-Cc']\n");
        let (_dir, of_other) = config(&[near, cfg], &[]);
        assert!(!target_has_flags(&of_other, "x86_64-unknown-linux-gnu", Path::new(".")).unwrap());
    }

    #[test]
    fn included_files_count() {
        let files = [
            ("ws/.cargo/config.toml", "include = ['more.toml']\nbuild.target = 'near'\n"),
            ("ws/.cargo/more.toml", "build.target = 'far'\nprofile.release.strip = false\n"),
            ("ws/inner/Cargo.toml", "[package]\n"),
        ];
        let (dir, config) = config(&files, &[]);
        assert_eq!(config.build_target().as_deref(), Some("near"));
        assert!(chooses_strip(&dir.path().join("ws/inner"), &config).unwrap());
    }

    #[test]
    fn inner_folders_are_remapped_after_outer_ones() {
        let (_dir, config) = config(&[], &[]);
        let flags = remap(&Target::new("x"), &config, Path::new("/a/b"), Path::new("/a"));
        let position = |text: &str| flags.iter().position(|flag| flag.contains(text)).unwrap();
        assert!(position("=/a=/target") < position("=/a/b=/workspace"), "{flags:?}");
    }
}
