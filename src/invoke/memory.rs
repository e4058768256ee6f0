//! How much memory processes have had.

/// The peaks of a process and of all that it has started, summed, in kilobytes; 0 where that cannot be known.
#[cfg(target_os = "linux")]
pub(super) fn peak_kilobytes(root: u32) -> u64 {
    let mut parents: Vec<(u32, u32)> = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some(parent) = status(id, "PPid:") {
            parents.push((id, u32::try_from(parent).unwrap_or(0)));
        }
    }
    let mut family = vec![root];
    let mut at = 0;
    while let Some(parent) = family.get(at).copied() {
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(id, _)| *id));
        at += 1;
    }
    family.into_iter().filter_map(|id| status(id, "VmHWM:")).sum()
}

#[cfg(target_os = "linux")]
fn status(id: u32, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(not(target_os = "linux"))]
pub(super) fn peak_kilobytes(_root: u32) -> u64 {
    0
}
