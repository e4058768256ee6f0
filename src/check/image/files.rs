//! Files of an image as Lambda's user finds them: may it read them, and does the loader take them?

use std::collections::BTreeSet;

use super::{ImageSubject, at_most};
use crate::elf::{Elf, Kind, Machine, VersionFamily};
use crate::finding::{Finding, Rule};
use crate::image::{Node, What};

/// Where functions, their layers and their runtimes are. What a system has elsewhere is its own business.
const FUNCTION: &[&str] = &["var/task/", "opt/", "var/runtime/", "function/", "app/"];

fn is_of_function(path: &str) -> bool {
    FUNCTION.iter().any(|folder| path.starts_with(folder))
}

/// `image-unreadable-file`.
pub(super) fn check_readable(subject: &ImageSubject<'_>) -> Vec<Finding> {
    let unreadable = |path: &str, node: &Node| match node.listed.what {
        What::File(_) => node.listed.mode & 0o004 == 0,
        What::Folder => node.listed.mode & 0o001 == 0,
        _ => false,
    } && is_of_function(&format!("{path}/"));
    let said = |(path, node): (&str, &Node)| {
        Finding::new(
            Rule::ImageUnreadableFile,
            format!(
                "[Errno 13] Permission denied: '/{path}': its mode is {:04o}, and Lambda runs functions as a user of its own, whatever `USER` says",
                node.listed.mode
            ),
            "give files the mode 0644 and folders 0755 before they are copied (`COPY --chmod=755`)",
        )
        .path(format!("/{path}"))
    };
    at_most(subject.merged.iter().filter(|(path, node)| unreadable(path, node)).map(said).collect())
}

/// `image-architecture`, `glibc-too-new`, `missing-shared-library` of what the function brings.
pub(super) fn check_machine_code(subject: &ImageSubject<'_>) -> Vec<Finding> {
    let names: BTreeSet<&str> =
        subject.merged.iter().map(|(path, _)| path.rsplit('/').next().unwrap_or(path)).collect();
    let glibc = subject.merged.glibc();
    let (mut machines, mut versions, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    for (path, node) in subject.merged.iter().filter(|(path, _)| is_of_function(path)) {
        let Some(machine) = node.listed.machine.map(Machine) else { continue };
        if machine != Machine::of(subject.architecture) {
            machines.push(of_another_machine(subject, path, machine));
        } else if let Some(elf) = node.listed.elf.as_deref().filter(|_| subject.judges_libraries)
            && elf.kind != Kind::Other
        {
            versions.extend(glibc.and_then(|glibc| too_new(path, elf, glibc)));
            missing.extend(not_there(path, elf, &names, subject));
        }
    }
    // Packages bring files for several processors; that the function's own is not among them is another matter.
    if !subject.judges_libraries {
        machines.clear();
    }
    [at_most(machines), at_most(versions), at_most(missing)].concat()
}

fn of_another_machine(subject: &ImageSubject<'_>, path: &str, machine: Machine) -> Finding {
    Finding::new(
        Rule::ImageArchitecture,
        format!("it is for {}, and the image for {}: `exec format error`, or `cannot open shared object file`", machine.name(), subject.architecture),
        "install for the processor of the function; a package that brings files for several can stay as it is (`[checks] image-architecture = \"ignore\"`)",
    )
    .path(format!("/{path}"))
    .level(crate::finding::Level::Warning)
}

fn too_new(path: &str, elf: &Elf, (major, minor): (u16, u16)) -> Option<Finding> {
    let need = elf
        .versions
        .iter()
        .find(|need| need.family == VersionFamily::Glibc && (need.version.0, need.version.1) > (major, minor))?;
    let said = format!(
        "/lib64/libc.so.6: version `{}' not found (required by /{path}): the image has glibc {major}.{minor}",
        need.name
    );
    let hint = "take a base whose glibc is as new, or a build for an older one";
    Some(Finding::new(Rule::GlibcTooNew, said, hint).path(format!("/{path}")))
}

/// A library that is nowhere in the image, wherever the loader may look.
fn not_there(path: &str, elf: &Elf, names: &BTreeSet<&str>, subject: &ImageSubject<'_>) -> Option<Finding> {
    // What starts is certain; of the rest it is not known whether anything loads it.
    let starts = subject.starter.entrypoint.first().is_some_and(|program| program.trim_start_matches('/') == path);
    // Of what starts, `image-entrypoint` tells it.
    let loader = elf.interpreter.as_deref().filter(|loader| !starts && subject.merged.find(loader).is_none());
    let name = |needed: &str| needed.rsplit('/').next().unwrap_or(needed).to_owned();
    let missing: Vec<&str> =
        elf.needed.iter().map(String::as_str).filter(|needed| !names.contains(name(needed).as_str())).collect();
    let said = match (loader, missing.split_first()) {
        (None, None) => return None,
        (Some(loader), _) => format!("no such file or directory: its loader `{loader}` is not in the image"),
        (None, Some((first, _))) => {
            format!("{first}: cannot open shared object file: No such file or directory (required by /{path})")
        }
    };
    let hint = "take a base that has it, or let `native = { collect = true }` take it from a system";
    let finding = Finding::new(Rule::MissingSharedLibrary, said, hint).path(format!("/{path}"));
    Some(if starts { finding } else { finding.level(crate::finding::Level::Warning) })
}
