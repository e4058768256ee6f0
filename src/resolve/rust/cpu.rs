//! `cpu-level-too-high`: flags that ask for instructions which some of Lambda's processors lack, by the place that they
//! stand in. The executable does not say so of itself: it dies of them where they are met.
//!
//! Of the sources of `rustflags`, those that Cargo goes by ([`flags`]) are looked at; flags for C are those that crates with
//! C sources go by (the `cc` crate), from the environment or Cargo's `[env]`.

use std::path::Path;

use super::cargo_config::{CargoConfig, target_variable};
use super::flags::{self, SEPARATOR, list, words};
use super::target::Target;
use crate::error::Result;
use crate::finding::{Finding, Rule};
use crate::lambda::{Architecture, best_processor, is_sure_feature, is_sure_processor};

/// Flags, and where they are.
type Place = (String, Vec<String>);

/// What flags ask too much of the function's processor.
pub(super) fn findings(
    config: &CargoConfig,
    target: &Target,
    architecture: Architecture,
    workspace: &Path,
) -> Result<Vec<Finding>> {
    let rust = rust_flags(config, &target.triple, workspace)?;
    let of_rust = rust.iter().flat_map(|(place, flags)| of_rustc(flags, architecture).map(move |flag| (place, flag)));
    let c = c_flags(config, &target.triple);
    let of_c = c.iter().flat_map(|(place, flags)| of_cc(flags, architecture).map(move |flag| (place, flag)));
    Ok(of_rust.chain(of_c).map(|(place, flag)| finding(place, &flag, architecture)).collect())
}

fn finding(place: &str, flag: &str, architecture: Architecture) -> Finding {
    let best = best_processor(architecture);
    let what = if flag.ends_with("=native") {
        "makes code for the processor of the machine that packs"
    } else {
        "asks for more instructions than are sure to be there"
    };
    let instead = match flag.starts_with("-m") {
        true if architecture == Architecture::X86_64 => format!("-march={best}"),
        true => format!("-mcpu={best}"),
        false => format!("-C target-cpu={best}"),
    };
    Finding::new(
        Rule::CpuLevelTooHigh,
        format!(
            "`{flag}` in {place} {what}: every processor of {architecture} functions is sure to be {best} and no more, and \
             the function ends at the first instruction that it does not know"
        ),
        format!("use `{instead}` at most, or leave it out"),
    )
    .path("bootstrap")
}

/// The sources of rustflags that Cargo goes by.
fn rust_flags(config: &CargoConfig, triple: &str, workspace: &Path) -> Result<Vec<Place>> {
    let variable = |name: &str| Some((format!("the variable `{name}`"), words(&config.variable(name)?)));
    if let Some(text) = config.variable("CARGO_ENCODED_RUSTFLAGS") {
        let flags = text.split(SEPARATOR).map(str::to_owned).collect();
        return Ok(vec![("the variable `CARGO_ENCODED_RUSTFLAGS`".to_owned(), flags)]);
    }
    if let Some(place) = variable("RUSTFLAGS") {
        return Ok(vec![place]);
    }
    let in_files = |keys: &[&str]| -> Vec<Place> {
        let found = config.all_with_files(keys).into_iter();
        found.map(|(file, value)| (format!("`{}`", file.display()), list(value))).collect()
    };
    if flags::target_has_flags(config, triple, workspace)? {
        let mut places: Vec<Place> = variable(&target_variable(triple, "rustflags")).into_iter().collect();
        for name in flags::targets_that_apply(config, triple, workspace)? {
            places.extend(in_files(&["target", &name, "rustflags"]));
        }
        return Ok(places);
    }
    Ok(in_files(&["build", "rustflags"]).into_iter().chain(variable("CARGO_BUILD_RUSTFLAGS")).collect())
}

/// The flags for C and C++.
fn c_flags(config: &CargoConfig, triple: &str) -> Vec<Place> {
    let mut places = Vec::new();
    for base in ["CFLAGS", "CXXFLAGS"] {
        for name in [
            base.to_owned(),
            format!("TARGET_{base}"),
            format!("{base}_{triple}"),
            format!("{base}_{}", triple.replace('-', "_")),
        ] {
            if let Some(text) = config.variable(&name) {
                places.push((format!("the variable `{name}`"), words(&text)));
            }
            for (file, value) in config.all_with_files(&["env", &name]) {
                let text = value.as_str().or_else(|| value.get("value")?.as_str()).unwrap_or_default();
                places.push((format!("`{}`", file.display()), words(text)));
            }
        }
    }
    places
}

/// Of flags for rustc those that ask too much, as one would write them.
fn of_rustc(flags: &[String], architecture: Architecture) -> impl Iterator<Item = String> + '_ {
    let option = move |index: usize| -> Option<String> {
        let flag = flags[index].as_str();
        let option = match flag {
            "-C" | "--codegen" => flags.get(index + 1)?.as_str(),
            _ => flag.strip_prefix("-C").or_else(|| flag.strip_prefix("--codegen="))?,
        };
        let (name, value) = option.split_once('=')?;
        let asks = match name {
            "target-cpu" => !is_sure_processor(architecture, value),
            "target-feature" => {
                value.split(',').filter_map(|f| f.strip_prefix('+')).any(|f| !is_sure_feature(architecture, f))
            }
            _ => false,
        };
        asks.then(|| format!("-C {option}"))
    };
    (0..flags.len()).filter_map(option)
}

/// The same of flags for C.
fn of_cc(flags: &[String], architecture: Architecture) -> impl Iterator<Item = String> + '_ {
    let asks = move |flag: &&String| {
        let named = flag.strip_prefix("-march=").or_else(|| flag.strip_prefix("-mcpu="));
        let feature = flag.strip_prefix("-m").filter(|_| architecture == Architecture::X86_64);
        match (named, feature) {
            (Some(name), _) => !is_sure_processor(architecture, name),
            (None, Some(feature)) => !is_sure_feature(architecture, feature),
            (None, None) => false,
        }
    };
    flags.iter().filter(asks).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fsio;

    const X86: &str = "x86_64-unknown-linux-gnu";

    fn said(files: &[(&str, &str)], variables: &[(&str, &str)], architecture: Architecture) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fsio::write_atomic(&dir.path().join(name), text.as_bytes()).unwrap();
        }
        let variables: Vec<(String, String)> =
            variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let find = move |name: &str| variables.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone());
        let config = CargoConfig::with(dir.path(), None, Box::new(find)).unwrap();
        let triple = format!("{}-unknown-linux-gnu", architecture.machine());
        let found = findings(&config, &Target::new(&triple), architecture, dir.path()).unwrap();
        found.into_iter().map(|f| f.message.replace(&dir.path().display().to_string(), "")).collect()
    }

    #[test]
    fn flags_that_ask_too_much_are_named_with_their_place() {
        let config = format!(
            "[target.{X86}]\nrustflags = ['-C', 'target-cpu=native']\n[build]\nrustflags = '-Ctarget-cpu=x86-64-v4'\n"
        );
        let found = said(&[(".cargo/config.toml", &config)], &[], Architecture::X86_64);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("`-C target-cpu=native` in `/.cargo/config.toml` makes code for the processor of")
        );
        // The variable decides, and nothing of the file.
        let found =
            said(&[(".cargo/config.toml", &config)], &[("RUSTFLAGS", "-Ctarget-cpu=x86-64-v3")], Architecture::X86_64);
        assert!(found[0].starts_with("`-C target-cpu=x86-64-v3` in the variable `RUSTFLAGS` asks") && found.len() == 1);
        assert!(said(&[], &[("RUSTFLAGS", "-C target-cpu=x86-64-v2 -Copt-level=3")], Architecture::X86_64).is_empty());
        let features = [("CARGO_BUILD_RUSTFLAGS", "-Ctarget-feature=-sse3,+avx2")];
        assert_eq!(said(&[], &features, Architecture::X86_64).len(), 1);
    }

    #[test]
    fn flags_for_c_count_too() {
        let env = (".cargo/config.toml", "[env]\nCFLAGS = { value = '-O2 -march=haswell' }\n");
        let found = said(&[env], &[("CXXFLAGS", "-mavx2 -mtune=native")], Architecture::X86_64);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].contains("`-march=haswell` in `/.cargo/config.toml`")
                && found[1].contains("`-mavx2` in the variable")
        );
        let found = said(&[], &[("CFLAGS_aarch64_unknown_linux_gnu", "-mcpu=neoverse-v2")], Architecture::Arm64);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(said(&[], &[("CFLAGS", "-mcpu=neoverse-n1 -mabi=lp64")], Architecture::Arm64).is_empty());
    }
}
