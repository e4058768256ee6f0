//! The folders in which a system's loader looks: those of `/etc/ld.so.conf` in its order, then the default ones
//! (`ld.so(8)`), with Debian's and Ubuntu's for each processor.

use std::fs;

use super::system::System;
use crate::fsio;
use crate::lambda::Architecture;

/// Files that include each other are followed so deep.
const MAX_DEPTH: usize = 8;
/// A system with more folders than this is none.
const MAX_FOLDERS: usize = 200;
/// No such file is larger.
const MAX_BYTES: u64 = 1 << 20;

/// What the loader is built to look into, on any distribution of this processor.
fn defaults(architecture: Architecture) -> Vec<String> {
    let triplet = format!("{}-linux-gnu", architecture.machine());
    let mut folders = vec![format!("/lib/{triplet}"), format!("/usr/lib/{triplet}")];
    folders.extend(["/lib64", "/usr/lib64", "/lib", "/usr/lib"].map(str::to_owned));
    folders
}

/// All folders, each once.
pub(super) fn of(system: &System, architecture: Architecture) -> Vec<String> {
    let mut folders = Vec::new();
    read(system, "/etc/ld.so.conf", 0, &mut folders);
    folders.extend(defaults(architecture));
    let mut seen = std::collections::BTreeSet::new();
    folders.retain(|folder| seen.insert(folder.clone()));
    folders
}

fn read(system: &System, path: &str, depth: usize, folders: &mut Vec<String>) {
    let bytes = system.host(path).and_then(|file| fsio::read_bounded(&file, MAX_BYTES).ok()).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    for line in text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()) {
        match line.strip_prefix("include").filter(|rest| rest.starts_with([' ', '\t'])) {
            Some(patterns) if depth < MAX_DEPTH => {
                for pattern in patterns.split_whitespace() {
                    included(system, path, pattern).iter().for_each(|file| read(system, file, depth + 1, folders));
                }
            }
            Some(_) => {}
            // What is for another C library, or an option, is no path.
            None if line.starts_with('/') && folders.len() < MAX_FOLDERS => {
                folders.push(line.trim_end_matches('/').to_owned());
            }
            None => {}
        }
    }
}

/// Files of a pattern whose last part has one `*`, as those of distributions have; sorted, as `glob(3)` gives them.
fn included(system: &System, from: &str, pattern: &str) -> Vec<String> {
    let beside = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    let pattern = if pattern.starts_with('/') { pattern.to_owned() } else { format!("{beside}/{pattern}") };
    let Some((folder, name)) = pattern.rsplit_once('/') else { return Vec::new() };
    let Some((start, end)) = name.split_once('*') else { return vec![pattern.clone()] };
    let entries = system.host(folder).and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let fits = |name: &String| {
        name.len() >= start.len() + end.len()
            && name.starts_with(start)
            && name.ends_with(end)
            && !name.starts_with('.')
    };
    let mut files: Vec<String> = names.filter(fits).map(|name| format!("{folder}/{name}")).collect();
    files.sort();
    files
}
