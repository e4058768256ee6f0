//! What `Gemfile.lock` says that decides how gems are packed: where they come from, and which Ruby wrote it.
//! Source of the form: `LockfileParser` of Bundler.

use std::path::{Path, PathBuf};

/// A lock file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lock {
    /// Folders of gems, as they are written, with the names of the gems in them.
    pub(super) paths: Vec<(PathBuf, Vec<String>)>,
    /// Gems from Git, with their repositories.
    pub(super) from_git: Vec<(String, String)>,
    /// Gems of a server, with their versions.
    pub(super) gems: Vec<(String, String)>,
}

impl Lock {
    /// Reads one. What is not understood is for Bundler to say.
    pub(super) fn parse(text: &str) -> Self {
        let mut out = Self::default();
        let (mut section, mut remote) = ("", String::new());
        for line in text.lines() {
            let indent = line.len() - line.trim_start().len();
            let words = line.trim();
            match indent {
                0 => {
                    section = words;
                    remote.clear();
                }
                2 if words.starts_with("remote: ") => {
                    remote = words.trim_start_matches("remote: ").to_owned();
                    if section == "PATH" {
                        out.paths.push((PathBuf::from(&remote), Vec::new()));
                    }
                }
                4 => {
                    let (name, version) = words.split_once(" (").unwrap_or((words, ""));
                    let version = version.trim_end_matches(')').to_owned();
                    match section {
                        "GEM" => out.gems.push((name.to_owned(), version)),
                        "GIT" => out.from_git.push((name.to_owned(), remote.clone())),
                        "PATH" => {
                            if let Some((_, names)) = out.paths.last_mut() {
                                names.push(name.to_owned());
                            }
                        }
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        // The project itself, when it is a gem.
        out.paths.retain(|(path, _)| path != Path::new("."));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gems_are_told_by_where_they_come_from() {
        let text = "GIT\n  remote: https://h/x.git\n  revision: abc\n  specs:\n    x (1.0)\n      rack\n\n\
            PATH\n  remote: ../shared\n  specs:\n    shared (0.1.0)\n      rack (>= 1)\n\nPATH\n  remote: .\n  specs:\n    app (1)\n\n\
            GEM\n  remote: https://h/\n  specs:\n    nokogiri (1.16.0-x86_64-linux)\n      racc (~> 1.4)\n    rack (3.0.8)\n\n\
            PLATFORMS\n  ruby\n\nDEPENDENCIES\n  rack\n  shared!\n\nBUNDLED WITH\n   2.3.15\n";
        let lock = Lock::parse(text);
        assert_eq!(lock.from_git, [("x".to_owned(), "https://h/x.git".to_owned())]);
        assert_eq!(lock.paths, [(PathBuf::from("../shared"), vec!["shared".to_owned()])]);
        let gems = [("nokogiri", "1.16.0-x86_64-linux"), ("rack", "3.0.8")];
        assert_eq!(lock.gems, gems.map(|(name, version)| (name.to_owned(), version.to_owned())));
        assert_eq!(Lock::parse("what?\n    x\n"), Lock::default());
    }
}
