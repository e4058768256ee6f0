//! A zip that anyone has made, as a tree, with what is wrong with it as a zip. Nothing is unpacked to disk.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use super::Opened;
use super::directory::{self, Listed};
use crate::error::{Error, Result};
use crate::finding::{Finding, Level, Rule};
use crate::lambda::UNZIP_MESSAGE;
use crate::pack::zip::Method;
use crate::store::{Archive, Member};
use crate::tree::{ArchivePath, Entry, PathProblem, Tree};

/// Targets of links longer than this are none (`PATH_MAX`).
const MAX_TARGET: u64 = 4_096;
/// Of each kind so many findings are told.
const MOST: usize = 20;

/// Reads a zip. What Lambda would refuse is a finding; only a file that cannot be read is an error.
pub(super) fn open(path: &Path) -> Result<Opened> {
    let mut file = File::open(path).map_err(|e| Error::io("read", path, &e))?;
    let zip_bytes = file.metadata().map_err(|e| Error::io("read", path, &e))?.len();
    let listed = match directory::read(&mut file) {
        Ok(listed) => listed,
        Err(problem) => {
            return Ok(Opened {
                zip_bytes: Some(zip_bytes),
                findings: vec![unreadable(&problem)],
                is_whole: false,
                ..Opened::default()
            });
        }
    };
    let mut reader =
        Reader { file, findings: Vec::new(), members: BTreeMap::new(), links: Vec::new(), hidden: Vec::new() };
    listed.iter().for_each(|entry| reader.take(entry));
    let mut opened = reader.finish(path);
    opened.zip_bytes = Some(zip_bytes);
    Ok(opened)
}

fn unreadable(why: &str) -> Finding {
    Finding::new(
        Rule::ZipUnreadable,
        format!("{UNZIP_MESSAGE} {why}"),
        "make the zip anew, stored or deflated, without a password",
    )
}

struct Reader {
    file: File,
    findings: Vec<Finding>,
    members: BTreeMap<ArchivePath, Member>,
    links: Vec<ArchivePath>,
    /// Files that only their owner may read.
    hidden: Vec<ArchivePath>,
}

impl Reader {
    fn take(&mut self, listed: &Listed) {
        let Some(path) = self.path(listed) else { return };
        if listed.is_folder() {
            return;
        }
        if listed.is_encrypted() {
            return self.findings.push(unreadable("it is encrypted").path(path.as_str()));
        }
        let method = match listed.method {
            0 => Method::Stored,
            8 => Method::Deflated,
            other => {
                return self
                    .findings
                    .push(unreadable(&format!("it is compressed by method {other}, not deflate")).path(path.as_str()));
            }
        };
        let Some(offset) = listed.data(&mut self.file) else {
            return self.findings.push(unreadable("its bytes are not in the zip").path(path.as_str()));
        };
        let member = Member {
            path: path.clone(),
            method,
            crc32: listed.crc32,
            compressed_size: listed.compressed_size,
            size: listed.size,
            executable: listed.mode & 0o111 != 0,
            offset,
        };
        if listed.is_link() {
            self.links.push(path.clone());
        } else if listed.mode & 0o777 != 0 && listed.mode & 0o004 == 0 {
            self.hidden.push(path.clone());
        }
        if self.members.insert(path.clone(), member).is_some() {
            self.findings.push(
                Finding::new(
                    Rule::DuplicateEntry,
                    "this path is in the zip twice; which of them is unpacked depends on who unpacks it",
                    "make the zip anew instead of adding to it",
                )
                .path(path.as_str()),
            );
        }
    }

    fn path(&mut self, listed: &Listed) -> Option<ArchivePath> {
        let Ok(name) = std::str::from_utf8(&listed.name) else {
            let shown = String::from_utf8_lossy(&listed.name).into_owned();
            self.findings.push(
                Finding::new(
                    Rule::PathNotUtf8,
                    "the name is not UTF-8; on Lambda the file has another name than was meant, or none",
                    "rename the file, and make the zip with a tool that writes UTF-8",
                )
                .path(shown),
            );
            return None;
        };
        match ArchivePath::new(name) {
            Ok(path) => Some(path),
            Err(PathProblem::Empty) => None,
            Err(problem) => {
                let level = if problem == PathProblem::BadByte { Level::Warning } else { Level::Error };
                self.findings.push(
                    Finding::new(
                        Rule::PathMalformed,
                        format!("the path {problem}; {UNZIP_MESSAGE}"),
                        "make the zip with paths relative to the function's root, and `/` between their parts",
                    )
                    .path(name.escape_debug().to_string())
                    .level(level),
                );
                None
            }
        }
    }

    fn finish(self, path: &Path) -> Opened {
        let mut findings = self.findings;
        let (archive, verified) = Archive::of_stranger(path, self.members.into_values().collect());
        let is_whole = verified.is_ok();
        if let Err(error) = verified {
            findings.push(unreadable(&error.to_string()));
        }
        let archive = Arc::new(archive);
        let mut tree = Tree::new();
        for (index, member) in archive.members().iter().enumerate() {
            let target = || archive.read(index).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let entry = match self.links.contains(&member.path) {
                true if member.size > MAX_TARGET => None,
                true => target().map(|target| Entry::Symlink { target }),
                false => Some(Entry::member(&archive, index)),
            };
            match entry {
                Some(entry) => drop(tree.insert(member.path.clone(), entry)),
                None => findings.push(unreadable("the target of the link cannot be read").path(member.path.as_str())),
            }
        }
        findings.extend(hidden(&self.hidden));
        findings.truncate(MOST * 4);
        Opened { tree, findings, zip_bytes: None, is_whole }
    }
}

fn hidden(paths: &[ArchivePath]) -> Option<Finding> {
    let first = paths.first()?;
    let more = if paths.len() > 1 { format!(", and {} more", paths.len() - 1) } else { String::new() };
    let finding = Finding::new(
        Rule::PathUnreadable,
        format!("only its owner may read it{more}; functions run as another user, who may be told `Permission denied`"),
        "give files the mode 0644 and programs 0755 before they are zipped",
    );
    Some(finding.path(first.as_str()).level(Level::Warning))
}
