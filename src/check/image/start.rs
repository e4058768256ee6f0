//! `image-entrypoint` and `image-cmd-arity`: what Lambda starts.

use super::ImageSubject;
use crate::elf::Machine;
use crate::finding::{Finding, Level, Rule};
use crate::image::{AWS_ENTRYPOINT, Node, What};

/// A chain of interpreters is followed so far: Linux gives up after as many.
const MAX_SCRIPTS: usize = 4;

pub(super) fn check_start(subject: &ImageSubject<'_>) -> Vec<Finding> {
    let starter = subject.starter;
    let Some(program) = starter.entrypoint.first().or(starter.command.first()) else {
        return vec![finding(
            "Runtime.InvalidEntrypoint: the image has neither `Entrypoint` nor `Cmd`",
            "name what starts a client of the Runtime API: `image = { entrypoint = [\"/usr/bin/python3\", \"-m\", \"awslambdaric\"] }`, or take a base of AWS, which has one",
        )];
    };
    let Some(path) = located(subject, program) else {
        return vec![
            finding(
                format!("Runtime.InvalidEntrypoint: fork/exec {program}: no such file or directory"),
                hint_missing(subject),
            )
            .path(program),
        ];
    };
    let mut findings = check_program(subject, &path, MAX_SCRIPTS);
    if !program.starts_with('/') {
        findings.push(
            finding(
                format!("`{program}` is no absolute path, as \"Create a Lambda function using a container image\" asks for; it is found as `/{path}`"),
                format!("write `/{path}`"),
            )
            .level(Level::Warning),
        );
    } else if subject.merged.at(&path).is_some_and(|node| matches!(node.listed.what, What::Link(_))) {
        let real = subject.merged.follow(&path).unwrap_or_default();
        findings.push(
            finding(
                format!("the entrypoint `/{path}` is a symbolic link, which \"Create a Lambda function using a container image\" warns of: `Runtime.InvalidEntrypoint`"),
                format!("write `/{real}`"),
            )
            .level(Level::Warning),
        );
    }
    findings
}

fn finding(message: impl Into<String>, hint: impl Into<String>) -> Finding {
    Finding::new(Rule::ImageEntrypoint, message, hint)
}

fn hint_missing(subject: &ImageSubject<'_>) -> &'static str {
    match subject.starter.entrypoint.first().map(String::as_str) {
        None => {
            "the base names nothing that starts functions: name a client of the Runtime API, such as `image = { entrypoint = [\"/usr/bin/python3\", \"-m\", \"awslambdaric\"] }`"
        }
        Some(AWS_ENTRYPOINT) => {
            "the base is none of AWS: name what starts the function with `image = { entrypoint = […] }`"
        }
        _ => "name a program that is in the image",
    }
}

/// The path of a program, without a slash before it; one without any slash is looked for on `PATH`.
fn located(subject: &ImageSubject<'_>, program: &str) -> Option<String> {
    let is_there = |path: &str| subject.merged.find(path).is_some_and(|node| node.listed.what != What::Folder);
    if program.starts_with('/') {
        return Some(program.trim_start_matches('/').to_owned()).filter(|path| is_there(path));
    }
    if program.contains('/') {
        let path = format!("{}/{program}", subject.starter.working_dir);
        return Some(path.trim_start_matches('/').to_owned()).filter(|path| is_there(path));
    }
    let variable = subject.starter.environment.iter().find_map(|variable| variable.strip_prefix("PATH="));
    variable
        .unwrap_or("/usr/local/bin:/usr/bin:/bin")
        .split(':')
        .map(|folder| format!("{}/{program}", folder.trim_matches('/')))
        .find(|path| is_there(path))
}

/// Whether the kernel would start it: a script by its interpreter, a program by its loader.
fn check_program(subject: &ImageSubject<'_>, path: &str, depth: usize) -> Vec<Finding> {
    let Some(node) = subject.merged.find(path) else { return Vec::new() };
    let said = |what: &str, hint: &str| {
        vec![finding(format!("Runtime.InvalidEntrypoint: fork/exec /{path}: {what}"), hint).path(format!("/{path}"))]
    };
    if !matches!(node.listed.what, What::File(_)) {
        return said("permission denied (it is no file)", "name a program");
    }
    if node.listed.mode & 0o001 == 0 {
        return said(
            "permission denied (others than its owner may not execute it)",
            "give it the mode 0755: Lambda starts it as a user of its own",
        );
    }
    if let Some(shebang) = &node.listed.shebang {
        let interpreter = shebang.split_whitespace().next().unwrap_or_default();
        return match located(subject, interpreter) {
            None => said(
                &format!(
                    "no such file or directory (its interpreter `{}` is not in the image)",
                    interpreter.escape_debug()
                ),
                "install the interpreter, or name one that is there behind `#!`; lines that end as on Windows do the same",
            ),
            Some(interpreter) if depth > 0 => check_program(subject, &interpreter, depth - 1),
            Some(_) => Vec::new(),
        };
    }
    check_binary(subject, path, node)
}

fn check_binary(subject: &ImageSubject<'_>, path: &str, node: &Node) -> Vec<Finding> {
    let said = |what: String, hint: &str| {
        vec![finding(format!("Runtime.InvalidEntrypoint: fork/exec /{path}: {what}"), hint).path(format!("/{path}"))]
    };
    let Some(machine) = node.listed.machine else {
        return said("exec format error (it is neither a program nor a script with `#!`)".to_owned(), "name a program");
    };
    if Machine(machine) != Machine::of(subject.architecture) {
        return said(
            format!(
                "exec format error (it is for {}, the image for {})",
                Machine(machine).name(),
                subject.architecture
            ),
            "build it for the processor of the function, or set `architecture`",
        );
    }
    match node.listed.elf.as_ref().and_then(|elf| elf.interpreter.as_deref()) {
        Some(loader) if subject.merged.find(loader).is_none() => said(
            format!("no such file or directory (its loader `{loader}` is not in the image)"),
            "link it statically (for Rust the target `x86_64-unknown-linux-musl`, for Go `CGO_ENABLED=0`), or take a base that has the loader",
        ),
        _ => Vec::new(),
    }
}

/// Lambda changes into the folder before it starts anything, and cannot make it.
pub(super) fn check_working_dir(subject: &ImageSubject<'_>) -> Vec<Finding> {
    let folder = &subject.starter.working_dir;
    if folder.is_empty() || subject.merged.is_folder(folder) {
        return Vec::new();
    }
    vec![
        finding(
            format!(
                "FunctionError.InvalidWorkingDirectory: `WorkingDir` is `{folder}`, which is no folder in the image"
            ),
            "make the folder in the image, or name another (`WORKDIR`, `image = { working-dir = \"…\" }`)",
        )
        .path(folder),
    ]
}

pub(super) fn check_command(subject: &ImageSubject<'_>) -> Vec<Finding> {
    let starter = subject.starter;
    if !matches!(starter.entrypoint.as_slice(), [only] if only == AWS_ENTRYPOINT) || starter.command.len() == 1 {
        return Vec::new();
    }
    vec![Finding::new(
        Rule::ImageCmdArity,
        format!(
            "entrypoint requires the handler name to be the first argument: {AWS_ENTRYPOINT} takes exactly one, and `Cmd` has {}; it would exit with status 142",
            starter.command.len()
        ),
        "set `Cmd` to the handler alone, such as [\"app.handler\"]",
    )]
}
