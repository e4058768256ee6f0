//! Checks out a commit of a Git repository.

use std::path::Path;

use crate::error::{Error, Result};
use crate::fsio;
use crate::process::Tool;

/// Puts the files of a commit into a new folder.
pub(super) fn checkout(url: &str, commit: &str, to: &Path) -> Result<()> {
    // Locks come from other people: nothing in them may become an option of Git, or a command (`ext::…`).
    let helper = url.split_once("::").is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_alphanumeric()));
    if url.is_empty() || url.starts_with('-') || helper {
        return Err(Error::config(format!("`{url}` is no address of a Git repository")));
    }
    if !matches!(commit.len(), 40 | 64) || !commit.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Error::config(format!("`{commit}` is no full id of a commit, so nothing proves what it is"))
            .hint("lock again; both uv and pip write full ids"));
    }
    let git = |args: &[&str]| {
        let tool = Tool::new("git").args(["-c", "core.autocrlf=false"]).args(args).env("GIT_TERMINAL_PROMPT", "0");
        tool.in_no_repository().install_hint("install Git, or depend on a published version").run().map_err(Error::from)
    };
    fsio::create_dir_all(to)?;
    let folder = to.display().to_string();
    git(&["init", "--quiet", &folder])?;
    // Servers that refuse to give out single commits give out everything.
    if git(&["-C", &folder, "fetch", "--quiet", "--depth", "1", url, commit]).is_err() {
        git(&["-C", &folder, "fetch", "--quiet", url, "+refs/*:refs/fetched/*"])?;
    }
    git(&["-C", &folder, "checkout", "--quiet", "--detach", commit])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_cannot_give_options_to_git() {
        let dir = tempfile::tempdir().unwrap();
        let made = dir.path().join("made");
        let to = dir.path().join("clone");
        let commit = "0".repeat(40);
        for (url, commit) in [
            (format!("--upload-pack=touch {};", made.display()), "."),
            (format!("--upload-pack=touch {};", made.display()), &commit),
            (format!("ext::touch {}", made.display()), &commit),
            (dir.path().display().to_string(), "main"),
            (dir.path().display().to_string(), "--force"),
        ] {
            assert_eq!(checkout(&url, commit, &to).unwrap_err().kind(), crate::error::Kind::Config, "{url} {commit}");
        }
        assert!(!made.exists() && !to.exists());
    }
}
