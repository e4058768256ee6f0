//! .NET: `dotnet publish` of the one project in a function's folder.
//!
//! For `dotnet8` and `dotnet10` what is published depends on the runtime's framework; for `provided.al2023` it is a program:
//! compiled ahead of time where the project says `PublishAot`, else with the framework in it. The program becomes
//! `bootstrap`. Builds take place in a scratch folder (`--artifacts-path`, SDK 8 and newer), so that no `bin` or `obj` appears
//! in the project. Paths of this machine are mapped away (`PathMap`).
//!
//! What a build of MSBuild reads cannot be said, so that it runs for each of ours.
//!
//! Sources: "Deploy C# Lambda functions" in the AWS Lambda Developer Guide; the options that Amazon.Lambda.Tools gives to
//! `dotnet publish`; "dotnet publish" and "Artifacts output layout" in the documentation of the .NET SDK.

mod lock;
mod packages;
mod project;
mod said;

use std::path::{Path, PathBuf};

use self::project::Project;
use super::{Application, Context, Own, Request, Resolution, Resolver, made};
use crate::error::{Error, Result};
use crate::fsio;
use crate::lambda::{Architecture, Family};
use crate::process::{Failure, Tool};
use crate::report::{Event, Task, Unit};
use crate::tree::{ArchivePath, Entry, Tree};

pub(crate) use project::framework_of;

/// SDK 8 and newer write the commit of the project's repository into assemblies and `pdb` files: each commit, of whatever, would
/// be another package, and a copy without `.git` another one still.
const WITHOUT_COMMIT: [&str; 3] = [
    "-p:EnableSourceControlManagerQueries=false",
    "-p:EnableSourceLink=false",
    "-p:IncludeSourceRevisionInInformationalVersion=false",
];

/// Where to get it.
const INSTALL: &str = "install the .NET SDK (https://dot.net)";

/// The resolver of .NET projects.
#[derive(Debug, Default, Clone, Copy)]
pub struct Dotnet;

impl Resolver for Dotnet {
    fn name(&self) -> &'static str {
        "dotnet"
    }

    fn own(&self, _request: &Request<'_>) -> Own {
        Own::Nothing
    }

    fn claims(&self, request: &Request<'_>) -> Option<PathBuf> {
        let is_one = request.runtime.family == Family::Dotnet || request.runtime.is_provided();
        is_one.then(|| project::files(&request.function.path).into_iter().next()).flatten()
    }

    fn resolve(&self, requests: &[Request<'_>], context: &Context<'_>) -> Vec<Result<Resolution>> {
        requests.iter().map(|request| publish(request, context)).collect()
    }
}

fn publish(request: &Request<'_>, context: &Context<'_>) -> Result<Resolution> {
    let project = Project::read(&request.function.path)?;
    let is_program = request.runtime.is_provided();
    if context.locked && !request.function.path.join("packages.lock.json").is_file() {
        return Err(Error::config("`packages.lock.json` is missing, and `--locked` asks for it")
            .at(&project.file, None)
            .hint(
                "set `RestorePackagesWithLockFile` to `true` in the project, run `dotnet restore`, and commit the file",
            ));
    }
    let scratch = fsio::scratch_dir()?;
    let out = scratch.path().join("out");
    let rid = match request.architecture {
        Architecture::X86_64 => "linux-x64",
        Architecture::Arm64 => "linux-arm64",
    };
    let mut tool = Tool::new("dotnet")
        .arg("publish")
        .arg(&project.file)
        .args(["--configuration", "Release", "--runtime", rid])
        .args(["--self-contained", if is_program { "true" } else { "false" }])
        .arg("--artifacts-path")
        .arg(scratch.path().join("artifacts"))
        .arg("--output")
        .arg(&out)
        .args([
            "-nologo",
            "-nodeReuse:false",
            "-p:UseSharedCompilation=false",
            "-p:GenerateRuntimeConfigurationFiles=true",
        ])
        .args(["-p:Deterministic=true", "-p:GenerateFullPaths=true"])
        .args(WITHOUT_COMMIT)
        .arg(format!("-p:PathMap={}", path_map(&folders(request, scratch.path()))));
    let locks = scratch.path().join("locks");
    let read_first = escaped(&lock::prepare(&locks)?.display().to_string());
    tool = tool.arg(format!("-p:CustomBeforeMicrosoftCommonProps={read_first}"));
    if context.offline {
        tool = tool.arg("-p:RestoreIgnoreFailedSources=true");
    }
    run(tool, request, context)?;
    let changed = lock::changed(&locks)?;
    if context.locked && !changed.is_empty() {
        return Err(Error::config(format!("`packages.lock.json` is not up to date: {}", changed.join(", ")))
            .at(&project.file, None)
            .hint("run `dotnet restore --force-evaluate`, and commit the file"));
    }
    let (mut tree, findings) = made::keep(&out, &request.function.exclude, request, context)?;
    if is_program {
        program(&mut tree, &project)?;
    }
    let (packages, built) = packages::split(tree, &project.assembly);
    let how = match (is_program, project.is_aot) {
        (false, _) => "depends on the runtime's framework",
        (true, true) => "compiled ahead of time",
        (true, false) => "with the framework in it",
    };
    Ok(Resolution {
        application: Application::Nothing,
        built,
        packages,
        findings,
        notes: [format!("`{}`, {how}, for {rid}", project.name())].into_iter().chain(outdated(&changed)).collect(),
        resolved_by: "dotnet publish".to_owned(),
        ..Resolution::default()
    })
}

fn outdated(changed: &[String]) -> Option<String> {
    (!changed.is_empty()).then(|| format!("`packages.lock.json` is not up to date: {}", changed.join(", ")))
}

fn run(tool: Tool, request: &Request<'_>, context: &Context<'_>) -> Result<()> {
    let tool = tool
        .cwd(&request.function.path)
        .env("DOTNET_CLI_TELEMETRY_OPTOUT", "1")
        .env("DOTNET_NOLOGO", "1")
        .env("DOTNET_CLI_UI_LANGUAGE", "en")
        // The first run of an SDK would make a certificate for web servers, and a file in /etc/profile.d.
        .env("DOTNET_GENERATE_ASPNET_CERTIFICATE", "false")
        .env("DOTNET_ADD_GLOBAL_TOOLS_TO_PATH", "false")
        .install_hint(INSTALL);
    let task = Task::begin(context.reporter, format!("Building {}", request.function.name), None, Unit::Items);
    context.reporter.event(Event::Debug(format!("running `{}`", tool.display())));
    match tool.speaks_on_stdout().run_with(&mut |line| task.detail(line.trim())) {
        Ok(_) => Ok(()),
        Err(Failure::NotStarted(error)) => Err(error),
        Err(Failure::Status { stderr, .. }) => Err(said::failed(&stderr, request.project_root)),
    }
}

/// Folders that a build reads sources from, and what is written of them. References lead out of the project's folder, too: what is
/// above it is named by how far.
fn folders(request: &Request<'_>, scratch: &Path) -> Vec<(String, String)> {
    let packages = std::env::var_os("NUGET_PACKAGES").map(PathBuf::from);
    let packages = packages.or_else(|| Some(etcetera::home_dir().ok()?.join(".nuget/packages")));
    // Some SDKs generate sources in there, wherever the project is.
    let temporary = std::env::temp_dir();
    let mut all = vec![(scratch.to_owned(), "/build".to_owned())];
    all.extend(packages.map(|packages| (packages, "/nuget".to_owned())));
    let above = request.project_root.ancestors().filter(|folder| folder.parent().is_some() && *folder != temporary);
    all.extend(above.enumerate().map(|(up, folder)| (folder.to_owned(), format!("/src{}", "/..".repeat(up)))));
    all.push((temporary.clone(), "/temporary".to_owned()));
    all.into_iter().map(|(folder, name)| (folder.display().to_string(), name)).collect()
}

/// `PathMap` takes pairs with commas between them; commas in paths are doubled, and MSBuild's own characters escaped.
fn path_map(pairs: &[(String, String)]) -> String {
    let from = |path: &str| escaped(&path.replace(',', ",,").replace('=', "=="));
    pairs.iter().map(|(folder, to)| format!("{}={to}", from(folder))).collect::<Vec<_>>().join("%2C")
}

/// Text as MSBuild takes it in the value of a property.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        match c {
            '%' | ';' | '$' | '@' | '(' | ')' | '*' | '?' | '\'' | ',' => {
                out.push_str(&format!("%{:02X}", u32::from(c)));
            }
            other => out.push(other),
        }
        out
    })
}

/// Gives the program the name that Lambda starts.
fn program(tree: &mut Tree, project: &Project) -> Result<()> {
    if tree.contains("bootstrap") {
        return Ok(());
    }
    let Some(entry) = tree.remove(&project.assembly) else {
        return Err(Error::failed(format!("`dotnet publish` made no program `{}`", project.assembly))
            .at(&project.file, None)
            .hint("a function for `provided.al2023` has `<OutputType>Exe</OutputType>` and a `Main`; or set the runtime to `dotnet10`"));
    };
    let name = ArchivePath::new("bootstrap").map_err(|e| Error::failed(format!("`bootstrap` {e}")))?;
    let entry = match entry {
        Entry::File { size, source, .. } => Entry::File { executable: true, size, source },
        other => other,
    };
    tree.insert(name, entry);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_mapped_whatever_they_are_called() {
        let pairs = [("/a b/c,d;e=f", "/src"), ("/t", "/build")].map(|(from, to)| (from.to_owned(), to.to_owned()));
        assert_eq!(path_map(&pairs), "/a b/c%2C%2Cd%3Be==f=/src%2C/t=/build");
    }
}
