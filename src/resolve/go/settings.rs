//! Settings of Go on this machine: `go env`, and `GOFLAGS`, whose tags and linker flags are joined with ours.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::INSTALL;
use crate::error::{Error, Result};
use crate::finding::{Finding, Rule};
use crate::fresh;
use crate::fsio;
use crate::lambda::{Architecture, best_processor};
use crate::process::{Tool, find_program};
use crate::project::GoChoice;
use crate::store::sha256;

/// The tag that leaves out of `aws-lambda-go` what only the retired runtime `go1.x` used.
/// Source: its README, "Building your function".
const NO_RPC: &str = "lambda.norpc";
/// Flags of the linker: no symbol table, no debug information, and no identifier that depends on more than the sources.
const LINKER: &str = "-s -w -buildid=";

/// What `go env` says.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) struct GoEnv {
    /// `go1.26.8`.
    pub(super) goversion: String,
    /// Where modules of others are.
    pub(super) gomodcache: PathBuf,
    goflags: String,
    #[serde(default)]
    goamd64: String,
    #[serde(default)]
    goarm64: String,
}

impl GoEnv {
    /// Asks Go in a folder, whose `go.mod` may choose another version.
    pub(super) fn ask(root: &Path, architecture: Architecture) -> Result<Self> {
        let names = ["GOVERSION", "GOMODCACHE", "GOFLAGS", "GOAMD64", "GOARM64"];
        let said = go(root, architecture).args(["env", "-json"]).args(names).run()?.text();
        serde_json::from_str(&said).map_err(|e| Error::failed("Failed to read what `go env` said").because(e))
    }

    /// The flags of builds.
    pub(super) fn flags(&self, choice: &GoChoice) -> Vec<String> {
        let goflags = words(&self.goflags);
        let mut tags = vec![NO_RPC.to_owned()];
        for word in values(&goflags, "tags").into_iter().chain(choice.tags.iter().map(String::as_str)) {
            tags.extend(word.split([',', ' ']).filter(|tag| !tag.is_empty()).map(str::to_owned));
        }
        let linker = [LINKER].into_iter().chain(values(&goflags, "ldflags")).chain([choice.ldflags.as_str()]);
        let linker: Vec<&str> = linker.map(str::trim).filter(|flags| !flags.is_empty()).collect();
        let mut flags = vec![
            "-trimpath".to_owned(),
            "-buildvcs=false".to_owned(),
            format!("-tags={}", tags.join(",")),
            format!("-ldflags={}", linker.join(" ")),
        ];
        if values(&goflags, "mod").contains(&"mod") {
            // It would write into the project.
            flags.push("-mod=readonly".to_owned());
        }
        flags
    }

    /// What of the settings asks for more than every processor of Lambda has.
    pub(super) fn findings(&self, architecture: Architecture) -> Vec<Finding> {
        let (name, level, is_sure) = match architecture {
            Architecture::X86_64 => ("GOAMD64", &self.goamd64, ["", "v1", "v2"].contains(&self.goamd64.as_str())),
            Architecture::Arm64 => {
                let sure =
                    self.goarm64.is_empty() || ["v8.0", "v8.1", "v8.2"].iter().any(|v| self.goarm64.starts_with(v));
                ("GOARM64", &self.goarm64, sure)
            }
        };
        if is_sure {
            return Vec::new();
        }
        let best = best_processor(architecture);
        let message = format!(
            "`{name}={level}` asks for more instructions than are sure to be there: every processor of {architecture} functions is \
             sure to be {best} and no more, and the function ends at the first instruction that it does not know"
        );
        let most = if architecture == Architecture::X86_64 { "v2" } else { "v8.2" };
        let hint = format!("set `{name}={most}` at most, or unset it (`go env -u {name}`)");
        vec![Finding::new(Rule::CpuLevelTooHigh, message, hint).path("bootstrap")]
    }
}

/// A call of Go for Lambda.
pub(super) fn go(root: &Path, architecture: Architecture) -> Tool {
    let goarch = match architecture {
        Architecture::X86_64 => "amd64",
        Architecture::Arm64 => "arm64",
    };
    Tool::new("go")
        .cwd(root)
        .env("GOOS", "linux")
        .env("GOARCH", goarch)
        .env("CGO_ENABLED", "0")
        .install_hint(INSTALL)
        .in_no_repository()
}

/// What of this machine decides what is built: Go itself, the environment, and what `go env -w` has written.
pub(super) fn facts() -> Vec<String> {
    let mut facts: Vec<String> = find_program("go").map(|path| fresh::tool(&path)).into_iter().collect();
    facts.extend(fresh::variables(&["GO", "CGO_"]));
    let written = std::env::var_os("GOENV").filter(|path| !path.is_empty()).map(PathBuf::from).or_else(user_settings);
    let text = written.and_then(|path| fsio::read_text(&path).ok());
    facts.extend(text.map(|text| format!("go env -w: {}", sha256(text.as_bytes()))));
    facts
}

/// `go/env` in the user's folder of settings, by the rules of Go's `os.UserConfigDir`.
fn user_settings() -> Option<PathBuf> {
    let home = etcetera::home_dir().ok()?;
    let folder = match std::env::consts::OS {
        "macos" => home.join("Library/Application Support"),
        "windows" => std::env::var_os("AppData").map(PathBuf::from)?,
        _ => std::env::var_os("XDG_CONFIG_HOME").map_or_else(|| home.join(".config"), PathBuf::from),
    };
    Some(folder.join("go/env"))
}

/// The words of `GOFLAGS`: separated by white space, with quotes around words that have some.
fn words(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (word, after) = match first {
            '\'' | '"' => rest[1..].split_once(first).unwrap_or((&rest[1..], "")),
            _ => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        out.push(word.to_owned());
        rest = after.trim_start();
    }
    out
}

/// The values of a flag.
fn values<'w>(words: &'w [String], name: &str) -> Vec<&'w str> {
    let value = |word: &'w String| {
        let word = word.strip_prefix("--").or_else(|| word.strip_prefix('-'))?;
        word.strip_prefix(name)?.strip_prefix('=')
    };
    words.iter().filter_map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(goflags: &str) -> GoEnv {
        GoEnv {
            goversion: "go1.22.1".to_owned(),
            gomodcache: "/m".into(),
            goflags: goflags.to_owned(),
            goamd64: "v1".to_owned(),
            goarm64: String::new(),
        }
    }

    #[test]
    fn tags_and_linker_flags_are_joined() {
        let none = GoChoice::default();
        assert_eq!(
            env("").flags(&none),
            ["-trimpath", "-buildvcs=false", "-tags=lambda.norpc", "-ldflags=-s -w -buildid="]
        );
        let choice = GoChoice { tags: vec!["c".to_owned()], ldflags: "-X main.v=1".to_owned(), cgo: false };
        let flags = env("-tags=a,b '-ldflags=-X main.w=a b' -mod=mod -race").flags(&choice);
        assert_eq!(
            flags[2..],
            ["-tags=lambda.norpc,a,b,c", "-ldflags=-s -w -buildid= -X main.w=a b -X main.v=1", "-mod=readonly"]
        );
        assert_eq!(words(" a  \"b c\"\t'd' 'e"), ["a", "b c", "d", "e"]);
    }

    #[test]
    fn levels_that_some_processors_lack_are_found() {
        assert!(env("").findings(Architecture::X86_64).is_empty() && env("").findings(Architecture::Arm64).is_empty());
        let high = GoEnv { goamd64: "v3".to_owned(), goarm64: "v9.0".to_owned(), ..env("") };
        assert!(high.findings(Architecture::X86_64)[0].message.starts_with("`GOAMD64=v3` asks"));
        assert!(high.findings(Architecture::Arm64)[0].hint.contains("GOARM64=v8.2"));
    }
}
