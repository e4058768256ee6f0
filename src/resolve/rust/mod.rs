//! Rust: `cargo build`, and the executable becomes `bootstrap`.
//!
//! Functions of one workspace and one target are built by one run of Cargo, however many there are. Features of shared
//! dependencies are unified over the whole workspace, never over the functions that happen to be selected: with
//! `--function` a function must come out with the same bytes as without.
//!
//! The bytes depend on the sources, `Cargo.lock`, the compiler and its flags, and not on the checkout's folder, the target
//! folder or `CARGO_HOME` (see [`flags`]). What this does not solve: a crate that embeds its own absolute path (by
//! `env!("CARGO_MANIFEST_DIR")`), and a path dependency outside of the workspace, whose symbols Cargo names after its
//! absolute path.
//!
//! Nothing of the function's folder is packed beside the executable but what `include` names.

mod cargo_config;
mod cpu;
mod flags;
mod target;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cargo_metadata::Message;

use super::compile::{Aim, fit};
use super::{Application, Context, Own, Request, Resolution, Resolver};
use crate::elf::Image;
use crate::error::{Error, Result};
use crate::finding::Finding;
use crate::fsio;
use crate::lambda::UNZIPPED_LIMIT;
use crate::process::{Failure, Tool, first_lines};
use crate::project::{CargoBinary, cargo};
use crate::report::{Event, Task, Unit};
use crate::tree::{ArchivePath, Entry, Tree};
use cargo_config::CargoConfig;
use target::Target;

/// The resolver of functions that Cargo builds.
#[derive(Debug, Default, Clone, Copy)]
pub struct Rust;

/// Requests that one run of Cargo answers.
struct Group<'r, 'a> {
    workspace: &'a Path,
    target_dir: &'a Path,
    requests: Vec<(usize, &'r Request<'a>, &'a CargoBinary)>,
}

impl Resolver for Rust {
    fn name(&self) -> &'static str {
        "rust"
    }

    fn own(&self, _request: &Request<'_>) -> Own {
        Own::Nothing
    }

    fn claims(&self, request: &Request<'_>) -> Option<PathBuf> {
        request.function.cargo.as_ref().map(|cargo| cargo.manifest.clone())
    }

    fn resolve(&self, requests: &[Request<'_>], context: &Context<'_>) -> Vec<Result<Resolution>> {
        let mut results: Vec<Option<Result<Resolution>>> = requests.iter().map(|_| None).collect();
        for group in groups(requests) {
            match group.build(context) {
                Ok(built) => {
                    for ((index, ..), resolution) in group.requests.iter().zip(built) {
                        results[*index] = Some(resolution);
                    }
                }
                Err(error) => group.failed(&error, &mut results),
            }
        }
        let unclaimed = |request: &Request<'_>| Err(not_cargo(request));
        results
            .into_iter()
            .zip(requests)
            .map(|(result, request)| result.unwrap_or_else(|| unclaimed(request)))
            .collect()
    }
}

fn not_cargo(request: &Request<'_>) -> Error {
    Error::config(format!("function `{}` has no binary that Cargo builds", request.function.name))
}

/// Requests by workspace, architecture and operating system, in a fixed order.
fn groups<'r, 'a>(requests: &'r [Request<'a>]) -> Vec<Group<'r, 'a>> {
    let mut groups: BTreeMap<_, Group<'r, 'a>> = BTreeMap::new();
    for (index, request) in requests.iter().enumerate() {
        let Some(binary) = &request.function.cargo else { continue };
        // The operating system decides which glibc a cross linker links against.
        let key = (&binary.workspace_root, request.architecture, request.runtime.id);
        let group = groups.entry(key).or_insert_with(|| Group {
            workspace: &binary.workspace_root,
            target_dir: &binary.target_dir,
            requests: Vec::new(),
        });
        group.requests.push((index, request, binary));
    }
    groups.into_values().collect()
}

impl Group<'_, '_> {
    /// Builds all of them; an error of the build is one for all, one of reading a result for its function alone.
    fn build(&self, context: &Context<'_>) -> Result<Vec<Result<Resolution>>> {
        let Some((_, first, _)) = self.requests.first() else { return Ok(Vec::new()) };
        let lock = self.workspace.join("Cargo.lock");
        if context.locked && !lock.is_file() {
            return Err(Error::config("`Cargo.lock` is missing, and `--locked` asks for it")
                .at(&lock, None)
                .hint("run `cargo generate-lockfile` and commit the file"));
        }
        let config = CargoConfig::read(self.workspace)?;
        let target = Target::choose(self.workspace, first.architecture, first.runtime, &config)?;
        let tool = self.command(&target, &config, context, lock.is_file())?;
        let asks_much = cpu::findings(&config, &target, first.architecture, self.workspace)?;
        let executables = run(&tool, &self.label(), context)?;
        let aim = Aim { architecture: first.architecture, os: first.runtime.os };
        let built = |binary: &CargoBinary| {
            let mut built = resolution(binary, &target, aim, &executables)?;
            built.findings.extend(asks_much.iter().cloned());
            Ok(built)
        };
        Ok(self.requests.iter().map(|(_, _, binary)| built(binary)).collect())
    }

    fn label(&self) -> String {
        let names: Vec<&str> = self.requests.iter().map(|(_, request, _)| request.function.name.as_str()).collect();
        format!("Building {}", names.join(", "))
    }

    fn command(&self, target: &Target, config: &CargoConfig, context: &Context<'_>, has_lock: bool) -> Result<Tool> {
        let mut bins: Vec<&str> = self.requests.iter().map(|(_, _, binary)| binary.bin.as_str()).collect();
        bins.sort_unstable();
        bins.dedup();
        let mut tool = target
            .cargo()
            .args(["--release", "--message-format=json-render-diagnostics", "--color", "never", "--workspace"])
            .args(bins.into_iter().flat_map(|bin| ["--bin", bin]))
            .args(["--target", &target.argument()])
            .cwd(self.workspace)
            // Its results depend on the builds before.
            .env("CARGO_INCREMENTAL", "0")
            .env("CARGO_TERM_PROGRESS_WHEN", "never");
        if has_lock {
            tool = tool.arg("--locked");
        }
        if context.offline {
            tool = tool.arg("--offline");
        }
        if !flags::chooses_strip(self.workspace, config)? {
            tool = tool.env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
        }
        tool = tool.args(target.linker_config());
        flags::apply(tool, target, config, self.workspace, self.target_dir)
    }

    /// All functions of the group bear the error; equal ones are told once.
    fn failed(&self, error: &Error, results: &mut [Option<Result<Resolution>>]) {
        for (index, ..) in &self.requests {
            results[*index] = Some(Err(error.clone()));
        }
    }
}

/// Executables by their package's manifest and their name.
type Executables = BTreeMap<(PathBuf, String), PathBuf>;

fn run(tool: &Tool, label: &str, context: &Context<'_>) -> Result<Executables> {
    let task = Task::begin(context.reporter, label, None, Unit::Items);
    context.reporter.event(Event::Debug(format!("running `{}`", tool.display())));
    let output = tool
        .run_with(&mut |line| {
            if is_progress(line) {
                task.detail(line.trim());
            }
        })
        .map_err(|failure| explain(tool, failure))?;
    let mut out = Executables::new();
    for message in Message::parse_stream(output.stdout.as_slice()) {
        let message = message.map_err(|e| Error::failed("Failed to read what `cargo build` said").because(e))?;
        if let Message::CompilerArtifact(artifact) = message
            && let Some(executable) = artifact.executable
        {
            out.insert((artifact.manifest_path.into(), artifact.target.name), executable.into());
        }
    }
    Ok(out)
}

/// Lines such as `   Compiling serde v1.0.228`: right-aligned words of what is being done.
fn is_progress(line: &str) -> bool {
    let words =
        ["Compiling", "Downloading", "Downloaded", "Updating", "Locking", "Blocking", "Fresh", "Finished", "Adding"];
    line.starts_with(' ') && line.split_whitespace().next().is_some_and(|word| words.contains(&word))
}

/// Cargo's own words, from the first of them on: the first error is mostly what causes the others.
fn explain(tool: &Tool, failure: Failure) -> Error {
    const SHOWN: usize = 100;
    let Failure::Status { stderr, .. } = failure else { return failure.into() };
    let text = first_lines(&stderr, SHOWN, is_progress);
    if stderr.contains("--locked was passed") || stderr.contains("the lock file") && stderr.contains("--locked") {
        return Error::config("`Cargo.lock` does not agree with the manifests")
            .because(text)
            .hint("run `cargo update --workspace` and commit `Cargo.lock`");
    }
    let error = Error::failed(format!("`{}` failed", short(&tool.display()))).because(text);
    if stderr.contains("--offline was specified") || stderr.contains("in offline mode") {
        return error.hint("run `cargo fetch` once with the network, or leave `--offline` out");
    }
    error
}

/// The command without the arguments that only this program needs; `-v` shows them all.
fn short(command: &str) -> &str {
    let (command, _) = command.split_once(" --message-format").unwrap_or((command, ""));
    let program = command.split(' ').next().unwrap_or(command);
    &command[program.rfind('/').map_or(0, |slash| slash + 1)..]
}

fn resolution(binary: &CargoBinary, target: &Target, aim: Aim, executables: &Executables) -> Result<Resolution> {
    let missing = || Error::failed(format!("`cargo build` made no executable of the binary `{}`", binary.bin));
    let path = executables
        .get(&(binary.manifest.clone(), binary.bin.clone()))
        .or_else(|| same_file(executables, binary))
        .ok_or_else(missing)?;
    // Copied into memory: the next build, of an IDE perhaps, may replace the file before it is packed.
    let bytes = fsio::read_bounded(path, UNZIPPED_LIMIT * 2)?;
    let misfit = Image::of(&bytes).and_then(|image| fit::misfit(&image, aim)).map(|(rule, said)| {
        let message = format!("the binary `{}`, as it is linked here, {said}", binary.bin);
        Finding::new(rule, message, target.too_new_hint(aim.os)).path("bootstrap")
    });
    let mut built = Tree::new();
    let name = ArchivePath::new("bootstrap").map_err(|e| Error::failed(format!("`bootstrap` {e}")))?;
    built.insert(name, Entry::bytes(bytes, true));
    Ok(Resolution {
        application: Application::Nothing,
        built,
        findings: misfit.into_iter().collect(),
        notes: vec![format!("binary `{}` of package `{}`, built for {}", binary.bin, binary.package, target.triple)],
        resolved_by: target.resolved_by().to_owned(),
        ..Resolution::default()
    })
}

/// The same manifest by another name, as a link in its path gives it.
fn same_file<'e>(executables: &'e Executables, binary: &CargoBinary) -> Option<&'e PathBuf> {
    let real = binary.manifest.canonicalize().ok()?;
    let same = |manifest: &Path| manifest.canonicalize().is_ok_and(|other| other == real);
    executables.iter().find(|((manifest, bin), _)| *bin == binary.bin && same(manifest)).map(|(_, path)| path)
}

/// The compiler that Cargo will use in `workspace`.
fn rustc(workspace: &Path) -> Tool {
    let program = std::env::var_os("RUSTC").filter(|p| !p.is_empty()).unwrap_or_else(|| "rustc".into());
    Tool::new(program)
        .install_hint("install Rust with rustup, then run `rustup toolchain install stable`")
        .cwd(workspace)
}

#[cfg(test)]
mod tests;
