//! Go: `go build`, and each program becomes a `bootstrap`.
//!
//! ```text
//! programs ──► groups: one module or workspace, one processor, the same settings
//!    group ──► go list: which files they are made of, and whether go.sum is complete   (list)
//!          ──► go build -o FOLDER/ ./a ./b …   (run)
//! ```
//!
//! The result depends on the sources, `go.sum`, the Go that builds and its settings, and not on folders: `-trimpath`,
//! `-buildvcs=false`, and no build identifier. Symbol tables and debug information are left out (`-s -w`); stack traces do
//! not need them. Tags and linker flags of `GOFLAGS` and of the config are joined with ours, since of two `-tags` only the
//! last would count.
//!
//! Without C there is nothing of this machine in the result, so that any Go builds for both processors. `go = { cgo = true }`
//! compiles C with what `resolve/compile` finds for the function's glibc.
//!
//! A project in which none of these files has changed is not built again. Go writes nothing into the project: `go.mod` and
//! `go.sum` are only read; where `go.sum` lacks something, and `--locked` does not ask for it, copies of both are completed.

mod list;
mod run;
mod settings;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use self::run::{Built, Run};
use super::compile::{Aim, INSTALL_ZIG, fit};
use super::{Application, Context, Own, Request, Resolution, Resolver};
use crate::elf::Image;
use crate::error::{Error, Result};
use crate::finding::Finding;
use crate::fsio;
use crate::project::{GoChoice, GoMain};
use crate::tree::{ArchivePath, Entry, Tree};

/// Where to get it.
const INSTALL: &str = "install Go (https://go.dev/dl, or `apt-get install golang-go`)";

/// The resolver of functions that Go builds.
#[derive(Debug, Default, Clone, Copy)]
pub struct Go;

/// Requests that one run of Go answers.
struct Group<'r, 'a> {
    root: &'a Path,
    choice: &'a GoChoice,
    aim: Aim,
    requests: Vec<(usize, &'r Request<'a>, &'a GoMain)>,
}

impl Resolver for Go {
    fn name(&self) -> &'static str {
        "go"
    }

    fn own(&self, _request: &Request<'_>) -> Own {
        Own::Nothing
    }

    fn facts(&self) -> Vec<String> {
        settings::facts()
    }

    fn claims(&self, request: &Request<'_>) -> Option<PathBuf> {
        let main = request.function.build.go_main.as_ref().filter(|_| request.runtime.is_provided());
        main.map(|main| main.module.join("go.mod"))
    }

    fn resolve(&self, requests: &[Request<'_>], context: &Context<'_>) -> Vec<Result<Resolution>> {
        let mut results: Vec<Option<Result<Resolution>>> = requests.iter().map(|_| None).collect();
        for group in groups(requests) {
            let built = group.build(context);
            for (index, _, main) in &group.requests {
                results[*index] = Some(match &built {
                    Ok(built) => group.resolution(main, built),
                    Err(error) => Err(error.clone()),
                });
            }
        }
        let unclaimed = |request: &Request<'_>| {
            Err(Error::config(format!("function `{}` is no program that Go builds", request.function.name)))
        };
        results
            .into_iter()
            .zip(requests)
            .map(|(result, request)| result.unwrap_or_else(|| unclaimed(request)))
            .collect()
    }
}

/// Requests by what one run of Go answers, in a fixed order.
fn groups<'r, 'a>(requests: &'r [Request<'a>]) -> Vec<Group<'r, 'a>> {
    let mut groups: BTreeMap<_, Group<'r, 'a>> = BTreeMap::new();
    for (index, request) in requests.iter().enumerate() {
        let Some(main) = &request.function.build.go_main else { continue };
        let choice = &request.function.build.go;
        // The system decides which glibc C is linked against.
        let system = choice.cgo.then_some(request.runtime.id);
        let group = groups.entry((&main.root, request.architecture, system, choice)).or_insert_with(|| Group {
            root: &main.root,
            choice,
            aim: Aim { architecture: request.architecture, os: request.runtime.os },
            requests: Vec::new(),
        });
        group.requests.push((index, request, main));
    }
    groups.into_values().collect()
}

impl Group<'_, '_> {
    /// Builds all of them; an error is one for all.
    fn build(&self, context: &Context<'_>) -> Result<Built> {
        let names: Vec<&str> = self.requests.iter().map(|(_, request, _)| request.function.name.as_str()).collect();
        let mut packages: Vec<&Path> = self.requests.iter().map(|(.., main)| main.package.as_path()).collect();
        packages.sort_unstable();
        packages.dedup();
        let label = format!("Building {}", names.join(", "));
        Run::new(self.root, self.choice, self.aim, context)?.build(&packages, &label)
    }

    fn resolution(&self, main: &GoMain, built: &Built) -> Result<Resolution> {
        let program = built.program(&main.package)?;
        let misfit = Image::of(&program.bytes).and_then(|image| fit::misfit(&image, self.aim)).map(|(rule, said)| {
            let message = format!("the program `{}`, as it is linked here, {said}", program.import_path);
            let hint = format!("{INSTALL_ZIG}, or build without C: `go = {{ cgo = false }}`");
            Finding::new(rule, message, hint).path("bootstrap")
        });
        let mut tree = Tree::new();
        let name = ArchivePath::new("bootstrap").map_err(|e| Error::failed(format!("`bootstrap` {e}")))?;
        tree.insert(name, Entry::bytes(program.bytes.clone(), true));
        let with = if self.choice.cgo { " with C" } else { "" };
        let below = fsio::relative_to(&main.package, self.root);
        let mut notes = vec![format!(
            "program `{}` (`{}`), built for {} by {}{with}",
            program.import_path,
            below.display(),
            self.aim.architecture,
            built.version
        )];
        notes.extend(built.notes.iter().cloned());
        Ok(Resolution {
            application: Application::Nothing,
            built: tree,
            findings: built.findings.iter().cloned().chain(misfit).collect(),
            notes,
            inputs: program.inputs.clone(),
            resolved_by: "go build".to_owned(),
            ..Resolution::default()
        })
    }
}
