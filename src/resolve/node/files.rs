//! `files` of `package.json`: what a package publishes, by npm's reading of it.
//!
//! Patterns as in `.gitignore`, the other way round: what matches is kept, `!` takes back, the last that matches decides.
//! A name of a file or folder counts from the package's root. `package.json`, readme and licence, `main` and commands
//! stay whatever is written.

use std::path::Path;

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::manifest::{Manifest, clean};
use crate::error::{Error, Result};

/// The rule that drops what is not published.
pub(super) const RULE: &str = "not in package.json files";

/// npm never publishes these from a package's root.
const NEVER: [&str; 5] = ["package-lock.json", "yarn.lock", "pnpm-lock.yaml", "bun.lockb", "npm-debug.log"];
const ALWAYS: [&str; 9] = [
    "/package.json",
    "/readme",
    "/readme.*",
    "/copying",
    "/copying.*",
    "/license",
    "/license.*",
    "/licence",
    "/licence.*",
];

/// What a package publishes.
pub(super) struct Files {
    always: Gitignore,
    named: Gitignore,
}

impl Files {
    /// What the package in `folder` publishes; nothing when its `package.json` does not say.
    pub(super) fn new(manifest: &Manifest, folder: &Path) -> Result<Option<Self>> {
        let Some(files) = &manifest.files else { return Ok(None) };
        let (mut always, mut named) = (Vec::new(), Vec::new());
        for pattern in files {
            let plain = clean(pattern);
            if !pattern.starts_with('!') && folder.join(&plain).is_file() {
                // A file by its name stays, even if a later pattern would take it back.
                always.push(format!("/{}", escape(&plain)));
            } else {
                named.extend(lines(pattern));
            }
        }
        always.extend(ALWAYS.map(str::to_owned));
        for entry in &manifest.entry_points {
            let entry = escape(&clean(entry));
            always.extend(["", ".js", ".json", "/index.js", "/index.json"].map(|end| format!("/{entry}{end}")));
        }
        Ok(Some(Self { always: build(&always, folder)?, named: build(&named, folder)? }))
    }

    /// Whether a file, by its path in the package, is published.
    pub(super) fn keeps(&self, path: &str) -> bool {
        if self.always.matched(path, false).is_ignore() {
            return true;
        }
        !NEVER.contains(&path) && self.named.matched(path, false).is_ignore()
    }
}

/// One pattern as lines in gitignore's syntax, where matching means keeping.
fn lines(pattern: &str) -> Vec<String> {
    let (negation, pattern) = pattern.strip_prefix('!').map_or(("", pattern), |rest| ("!", rest));
    let anchored = negation.is_empty() || pattern.trim_end_matches('/').contains('/');
    let plain = clean(pattern);
    if plain.is_empty() {
        return vec![format!("{negation}/**")];
    }
    let start = if anchored { "/" } else { "**/" };
    vec![format!("{negation}{start}{plain}"), format!("{negation}{start}{plain}/**")]
}

fn escape(path: &str) -> String {
    path.chars().fold(String::new(), |mut out, c| {
        if "*?[]{}!\\#".contains(c) {
            out.push('\\');
        }
        out.push(c);
        out
    })
}

fn build(lines: &[String], folder: &Path) -> Result<Gitignore> {
    let bad = |error| Error::config("bad pattern in `files`").at(folder.join("package.json"), None).because(error);
    // Rooted nowhere: paths are given relative to the package.
    let mut builder = GitignoreBuilder::new("");
    builder.case_insensitive(true).map_err(bad)?;
    for line in lines {
        builder.add_line(None, line).map_err(bad)?;
    }
    builder.build().map_err(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(files: &[&str], paths: &[&str]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        for path in paths {
            crate::fsio::write_atomic(&dir.path().join(path), b"").unwrap();
        }
        let text = serde_json::json!({"files": files, "main": "./src/main"}).to_string();
        let manifest = Manifest::parse(&text, Path::new("package.json")).unwrap();
        let files = Files::new(&manifest, dir.path()).unwrap().unwrap();
        paths.iter().filter(|path| files.keeps(path)).map(|path| (*path).to_owned()).collect()
    }

    #[test]
    fn what_npm_publishes_is_kept() {
        let all = [
            "package.json",
            "README.md",
            "LICENSE",
            "src/main.js",
            "src/other.js",
            "index.js",
            "sub/index.js",
            "dist/a.js",
            "dist/a.test.js",
            "dist/deep/b.js",
            "package-lock.json",
        ];
        let always = ["package.json", "README.md", "LICENSE", "src/main.js"];
        let with = |more: &[&str]| -> Vec<String> {
            all.iter().filter(|p| always.contains(p) || more.contains(p)).map(|p| (*p).to_owned()).collect()
        };
        assert_eq!(kept(&[], &all), with(&[]));
        assert_eq!(kept(&["index.js"], &all), with(&["index.js"]));
        assert_eq!(kept(&["dist"], &all), with(&["dist/a.js", "dist/a.test.js", "dist/deep/b.js"]));
        assert_eq!(kept(&["dist/", "!*.test.js"], &all), with(&["dist/a.js", "dist/deep/b.js"]));
        assert_eq!(kept(&["./dist/*.js", "!dist/*.test.js"], &all), with(&["dist/a.js"]));
        assert_eq!(kept(&["!dist/a.js", "dist"], &all), with(&["dist/a.js", "dist/a.test.js", "dist/deep/b.js"]));
        assert_eq!(kept(&["dist", "!dist/deep"], &all), with(&["dist/a.js", "dist/a.test.js"]));
        assert_eq!(kept(&["dist/a.js", "!dist/a.js"], &all), with(&["dist/a.js"]));
        assert_eq!(kept(&["**/*.js"], &all).len(), 10);
        assert_eq!(kept(&["*"], &all).len(), 10);
        assert_eq!(kept(&["./"], &all).len(), 10);
    }
}
