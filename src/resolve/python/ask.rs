//! What both tools are asked, and how their refusals are told.

use std::path::{Path, PathBuf};

use super::answers::Answers;
use super::requirements::Requirements;
use super::target::Target;
use crate::error::{Error, Kind, Result};
use crate::fsio::Scratch;
use crate::process::without_versions;

/// A question for uv or pip: what does this file need on the target?
#[derive(Debug)]
pub(super) struct Question<'a> {
    /// The file as a person knows it, for messages.
    pub(super) shown: &'a Path,
    /// The file for the tool: the same, or one that was written anew.
    pub(super) input: PathBuf,
    /// What stands in it; empty for a `pyproject.toml`.
    pub(super) requirements: &'a Requirements,
    /// For scratch files.
    pub(super) scratch: &'a Scratch,
    /// For which Python.
    pub(super) target: &'a Target,
    /// No network.
    pub(super) offline: bool,
    /// What was answered before, unless the question depends on more than can be told.
    pub(super) answers: Option<Answers<'a>>,
    /// Everything that is needed stands in it, with digests: nothing else is looked for, and any index will do.
    pub(super) is_complete: bool,
    /// Arguments that name extras and groups of a `pyproject.toml`, which uv reads itself.
    pub(super) added: &'a [String],
}

impl Question<'_> {
    /// The refusal of a tool, in its own words without progress and warnings. A refusal of what the file asks for is the
    /// file's mistake; anything else is a failure.
    pub(super) fn refused(&self, tool: &str, said: &str) -> Error {
        let said = self.requirements.unstage(self.scratch.path(), said);
        let useful = useful_lines(&said);
        let message = format!("`{}` cannot be resolved for {} ({tool})", self.shown.display(), self.target.name());
        let error = match kind(&useful) {
            Kind::Config => Error::config(message),
            Kind::Failed => Error::failed(message),
        };
        let error = error.because(useful.trim_end());
        let error = match DENIED.iter().any(|word| useful.contains(word)) {
            true => error.hint(
                "the index wants a name and a password: in `.netrc`, in its URL, or in variables of the tool that names it (`UV_INDEX_…`, `POETRY_HTTP_BASIC_…`)",
            ),
            false => error,
        };
        if self.offline { error.hint("run once without `--offline`, or commit a `uv.lock`") } else { error }
    }
}

/// Beginnings of lines that explain nothing.
const NOISE: &[&str] = &[
    "warning:",
    "deprecation:",
    "[notice]",
    "looking in",
    "[end of output]",
    "note: this error originates from a subprocess",
    "╰─> see above for output",
];

/// What explains the refusal: from the first error on, warnings left out.
fn useful_lines(said: &str) -> String {
    let is_noise = |line: &&str| {
        let line = line.trim_start().to_lowercase();
        line.is_empty() || NOISE.iter().any(|start| line.starts_with(start))
    };
    let lines: Vec<&str> = said.lines().filter(|line| !is_noise(line)).collect();
    // Of Git, which pip runs, the reason comes before pip's own error.
    let begins = |line: &&str| line.to_lowercase().starts_with("error") || line.trim_start().starts_with("fatal: ");
    let first = lines.iter().position(begins).unwrap_or(0);
    // The rest of a long traceback explains less than its end.
    let first = first.max(lines.len().saturating_sub(40));
    lines[first..].iter().map(|line| format!("\n  {}", without_versions(line))).collect()
}

/// What uv and pip say of an index that does not answer just anybody.
const DENIED: &[&str] =
    &["401 Unauthorized", "403 Forbidden", "401 Client Error", "403 Client Error", "HTTP error 401", "HTTP error 403"];

fn kind(said: &str) -> Kind {
    const MISTAKES: &[&str] = &[
        "No solution found",
        "No matching distribution found",
        "ResolutionImpossible",
        "Couldn't parse",
        "Invalid requirement",
        "do not match the hashes",
        "DO NOT MATCH THE HASHES",
        "require-hashes",
        "Hash mismatch",
    ];
    const NETWORK: &[&str] = &[
        "Connection",
        "Temporary failure",
        "dns error",
        "Failed to fetch",
        "timed out",
        "--offline",
        "network was disabled",
    ];
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if says(MISTAKES) && !says(NETWORK) && !says(DENIED) { Kind::Config } else { Kind::Failed }
}

/// Writes `text` below the scratch folder.
pub(super) fn scratch_file(scratch: &Scratch, name: &str, text: &str) -> Result<PathBuf> {
    let path = scratch.path().join(name);
    crate::fsio::write_atomic(&path, text.as_bytes())?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mistake_is_told_without_noise() {
        let said = "warning: x\nerror: No solution found\n  cause: there is no version of a==9\n";
        assert_eq!(useful_lines(said), "\n  error: No solution found\n    cause: there is no version of a==9");
        assert_eq!(kind(said), Kind::Config);
        let said = "  Running command git clone\n  fatal: no such host\n  error: subprocess-exited-with-error\n";
        assert_eq!(useful_lines(said), "\n    fatal: no such host\n    error: subprocess-exited-with-error");
        assert_eq!(kind("error: No solution found, Connection refused"), Kind::Failed);
        assert_eq!(
            kind("error: No solution found\nhint: lack of valid authentication (401 Unauthorized)"),
            Kind::Failed
        );
    }
}
