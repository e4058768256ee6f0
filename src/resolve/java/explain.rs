//! What Maven and Gradle say when they fail, without what they say each time, and with paths of the project instead of the
//! copy that was built.

use super::maven::Replaced;
use crate::error::Error;
use crate::process::{Failure, redact};
use crate::resolve::Context;

/// Lines that are shown.
const SHOWN: usize = 40;
/// What Maven says at the end of every failure.
const ALWAYS: &[&str] = &[
    "To see the full stack trace",
    "Re-run Maven using",
    "For more information about the errors",
    "[Help ",
    "After correcting the problems",
    "mvn <args> -rf",
    "COMPILATION ERROR",
    "Some problems were encountered while processing the POMs",
    "The build could not read",
];

/// Maven's own words, the telling ones first.
pub(super) fn maven(failure: Failure, replaced: &Replaced<'_>, context: &Context<'_>) -> Error {
    let Failure::Status { error, stderr: all } = failure else { return failure.into() };
    let mut said: Vec<String> = Vec::new();
    for line in all.lines() {
        let Some(line) = level(line).map(|line| level(line).unwrap_or(line)) else { continue };
        let line = line.split_once(" -> [Help ").map_or(line, |(before, _)| before).trim_end();
        let line = line.strip_prefix(' ').unwrap_or(line);
        let text = line.trim_start();
        let counts = text.starts_with("The project ") && text.contains(" has ") && text.contains(" error");
        if text.is_empty() || counts || ALWAYS.iter().any(|always| text.starts_with(always)) {
            continue;
        }
        let line = replaced.named(line);
        if !said.iter().any(|before| before.trim() == line.trim()) {
            said.push(line);
        }
    }
    if said.is_empty() {
        return error.because(crate::process::last_lines(&replaced.named(&all), SHOWN));
    }
    // What went wrong stands before the summary that names the goal, unless that is all there is.
    said.sort_by_key(|line| line.starts_with("Failed to execute goal") && !line.contains("Could not "));
    let error = Error::failed("`mvn` failed").because(lines(&said));
    hinted(error, &said.join("\n"), context)
}

/// What stands behind a level that tells of an error.
fn level(line: &str) -> Option<&str> {
    ["[ERROR]", "[FATAL]"].iter().find_map(|level| line.trim().strip_prefix(level))
}

/// Gradle's own words.
pub(super) fn gradle(failure: Failure, replaced: &Replaced<'_>, context: &Context<'_>) -> Error {
    let Failure::Status { error, stderr } = failure else { return failure.into() };
    let mut said: Vec<String> = Vec::new();
    for line in stderr.lines() {
        let line = line.trim_end();
        let is_always = ["* Try:", "* Get more help", "BUILD FAILED", "Run with --", "> Run with --", "FAILURE: "];
        let is_version = line.starts_with("openjdk version") || line.starts_with("OpenJDK ");
        if line.is_empty() || is_version || is_always.iter().any(|always| line.starts_with(always)) {
            continue;
        }
        said.push(replaced.named(line));
    }
    if said.is_empty() {
        return error;
    }
    let error = Error::failed("`gradle` failed").because(lines(&said));
    hinted(error, &said.join("\n"), context)
}

fn lines(said: &[String]) -> String {
    let mut text: String = said.iter().take(SHOWN).map(|line| format!("\n  {}", redact(line))).collect();
    if said.len() > SHOWN {
        text.push_str(&format!("\n  … {} more lines", said.len() - SHOWN));
    }
    text
}

/// The next step for what is known to go wrong.
fn hinted(error: Error, said: &str, context: &Context<'_>) -> Error {
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if context.offline && has(&["offline mode", "in offline", "No cached version"]) {
        return error.hint("build once with the network, or leave `--offline` out");
    }
    if has(&["401", "Unauthorized", "403 Forbidden", "status code: 403", "Not authorized"]) {
        return error.hint(
            "the repository wants a user: name it in `~/.m2/settings.xml` (`<server>` with the repository's id), or for Gradle in `~/.gradle/gradle.properties`",
        );
    }
    if has(&[
        "release version",
        "invalid target release",
        "invalid source release",
        "Unsupported class file major version",
    ]) {
        return error.hint("the JDK that was found cannot do so: install another, and set JAVA_HOME to it");
    }
    if has(&["Source option 5 is no longer supported", "Source option 6 is no longer supported"]) {
        return error.hint("say in `pom.xml` which Java it is for: `<properties><maven.compiler.release>21</maven.compiler.release></properties>`");
    }
    if has(&["No compiler is provided in this environment", "No Java compiler found"]) {
        return error.hint("install a JDK: what was found can only run Java, not compile it");
    }
    if has(&["was cached in the local repository"]) {
        return error.hint("if it is there now, `mvn -U dependency:resolve` lets Maven look again");
    }
    if has(&["Non-resolvable parent POM"]) {
        return error.hint(
            "a parent that is on disk must lie in the project: move `lambda-pack.toml` up to a folder that holds both",
        );
    }
    error
}

impl Replaced<'_> {
    /// A text with paths of the project.
    fn named(&self, text: &str) -> String {
        let base = self.base.display().to_string();
        let mut out = text.to_owned();
        let real = self.copy.canonicalize().ok();
        for copy in [real.as_deref(), Some(self.copy)].into_iter().flatten() {
            out = out.replace(&copy.display().to_string(), &base);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn paths_are_those_of_the_project() {
        let replaced = Replaced { copy: Path::new("/no/copy"), base: Path::new("/home/ü x") };
        assert_eq!(replaced.named("at /no/copy/a/B.java:[3,4]"), "at /home/ü x/a/B.java:[3,4]");
    }
}
