//! Java, Kotlin and Scala: what Maven or Gradle compiles, at the root of the package, and what it needs as jars in `lib/`.
//!
//! ```text
//! sources ──copy──► mvn / gradle ──► folders of classes    ──► the package's root, modules beside it as jars of ours
//!                                └─► runtime class path    ──► lib/group.name-version.jar, from the local repository
//! ```
//!
//! Lambda has `/var/task` itself, `/var/task/lib/*.jar` and `/opt/java/lib/*.jar` on its class path, in this order. Functions
//! of one reactor or one Gradle build are built by one run, in a copy that is thrown away: nothing is left in the project.
//! The bytes depend on what the compiler makes of the sources, not on jars that the build would write. What this does not
//! solve: a build that writes the time or its folder into a class or a resource.
//!
//! A folder without sources that has jars is packed as it is, but that jars at its root go to `lib/`.

mod explain;
mod folder;
mod gradle;
mod jars;
mod maven;
mod sources;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Application, Context, Own, Package, Request, Resolution, Resolver, environment};
use crate::error::{Error, Result};
use crate::fresh::{self, Inputs};
use crate::fsio;
use crate::jvm::project::{self, Kind};
use crate::lambda::Family;
use crate::process::{Failure, Output, Tool, find_program, redact};
use crate::report::{Event, Task, Unit};
use crate::tree::{ArchivePath, Entry, Source, Tree};
use jars::Artifact;
use sources::Layout;

/// 1980-01-01, for what asks for a time (`SOURCE_DATE_EPOCH`).
const EPOCH: &str = "315532800";
/// What the copy is called: names of modules, which Gradle takes from folders, must not depend on the checkout's.
const COPY: &str = "project";
/// Programs that decide.
const PROGRAMS: &[&str] = &["mvn", "gradle", "java", "javac"];

/// The resolver of functions for the Java virtual machine.
#[derive(Debug, Default, Clone, Copy)]
pub struct Java;

/// What makes a folder a function of Java.
enum Claim {
    Build(Kind, PathBuf),
    Jars(PathBuf),
    /// Two tools could build it.
    Both(PathBuf, PathBuf),
}

fn claim(request: &Request<'_>) -> Option<Claim> {
    if !matches!(request.runtime.family, Family::Java { .. }) {
        return None;
    }
    let folder = &request.function.path;
    let is_kept = |file: &PathBuf| !is_excluded(file, request);
    let maven = project::maven_file(folder).filter(is_kept);
    match (maven, project::gradle_file(folder, request.project_root).filter(is_kept)) {
        (Some(maven), Some(gradle)) if gradle.parent() == Some(folder) => Some(Claim::Both(maven, gradle)),
        (Some(maven), _) => Some(Claim::Build(Kind::Maven, maven)),
        (None, Some(gradle)) => Some(Claim::Build(Kind::Gradle, gradle)),
        (None, None) => folder::first_jar(folder).map(Claim::Jars),
    }
}

/// Whether `exclude` names a file: that is how one says which of two tools builds a folder.
fn is_excluded(file: &Path, request: &Request<'_>) -> bool {
    let mut builder = ignore::gitignore::GitignoreBuilder::new(&request.function.path);
    for pattern in &request.function.exclude {
        let _ = builder.add_line(None, pattern);
    }
    file.starts_with(&request.function.path) && builder.build().is_ok_and(|all| all.matched(file, false).is_ignore())
}

impl Resolver for Java {
    fn name(&self) -> &'static str {
        "java"
    }

    fn own(&self, request: &Request<'_>) -> Own {
        match claim(request) {
            Some(Claim::Jars(_)) => Own::Folder(&[]),
            _ => Own::Nothing,
        }
    }

    fn sources(&self, request: &Request<'_>) -> Option<Vec<PathBuf>> {
        match claim(request) {
            Some(Claim::Build(kind, _)) => layout(kind, request).ok()?.files(request.project_root),
            _ => Some(Vec::new()),
        }
    }

    fn facts(&self) -> Vec<String> {
        let programs = PROGRAMS.iter().filter_map(|name| find_program(name));
        programs.map(|program| fresh::tool(&program)).chain(environment::facts()).collect()
    }

    fn claims(&self, request: &Request<'_>) -> Option<PathBuf> {
        Some(match claim(request)? {
            Claim::Build(_, file) | Claim::Jars(file) | Claim::Both(file, _) => file,
        })
    }

    fn resolve(&self, requests: &[Request<'_>], context: &Context<'_>) -> Vec<Result<Resolution>> {
        let mut results: Vec<Option<Result<Resolution>>> = requests.iter().map(|_| None).collect();
        let mut groups: BTreeMap<(Kind, Layout), Vec<usize>> = BTreeMap::new();
        for (index, request) in requests.iter().enumerate() {
            match claim(request) {
                Some(Claim::Build(kind, _)) => match layout(kind, request) {
                    Ok(layout) => groups.entry((kind, layout)).or_default().push(index),
                    Err(error) => results[index] = Some(Err(error)),
                },
                Some(Claim::Both(maven, gradle)) => results[index] = Some(Err(both(&maven, &gradle))),
                Some(Claim::Jars(_)) => results[index] = Some(folder::resolve(request)),
                None => {}
            }
        }
        for ((kind, layout), indices) in &groups {
            let group: Vec<&Request<'_>> = indices.iter().map(|index| &requests[*index]).collect();
            match build(*kind, layout, &group, context) {
                Ok(built) => {
                    for (index, resolution) in indices.iter().zip(built) {
                        results[*index] = Some(Ok(resolution));
                    }
                }
                Err(error) => indices.iter().for_each(|index| results[*index] = Some(Err(error.clone()))),
            }
        }
        let unclaimed =
            |request: &Request<'_>| Error::config(format!("function `{}` has no build", request.function.name));
        results
            .into_iter()
            .zip(requests)
            .map(|(result, request)| result.unwrap_or_else(|| Err(unclaimed(request))))
            .collect()
    }
}

/// What a build made, as one jar of this name in `lib/`: that is how it gets into a layer.
///
/// # Errors
/// When it cannot be read.
pub fn own_jar(name: &str, built: &Tree) -> Result<(ArchivePath, Entry)> {
    let path = format!("{}/{name}.jar", jars::LIB);
    let path = ArchivePath::new(&path).map_err(|problem| Error::config(format!("`{path}` {problem}")))?;
    Ok((path, Entry::bytes(jars::jar(built)?, false)))
}

fn both(maven: &Path, gradle: &Path) -> Error {
    let name = |file: &Path| file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Error::config(format!("both Maven (`{}`) and Gradle (`{}`) could build this folder", name(maven), name(gradle)))
        .at(maven, None)
        .hint(format!(
            "say which does not: `exclude = [\"{}\"]` leaves it to Maven, `exclude = [\"{}\"]` to Gradle",
            name(gradle),
            name(maven)
        ))
}

fn layout(kind: Kind, request: &Request<'_>) -> Result<Layout> {
    match kind {
        Kind::Maven => maven::layout(request),
        Kind::Gradle => Ok(gradle::layout(request)),
    }
}

/// What a tool has made of one function.
struct Made {
    classes: Vec<PathBuf>,
    artifacts: Vec<Artifact>,
    notes: Vec<String>,
    settings: Vec<PathBuf>,
    resolved_by: &'static str,
}

fn build(kind: Kind, layout: &Layout, requests: &[&Request<'_>], context: &Context<'_>) -> Result<Vec<Resolution>> {
    let Some(first) = requests.first() else { return Ok(Vec::new()) };
    let scratch = fsio::scratch_dir()?;
    // As the tools will call it.
    let copy = scratch.path().canonicalize().unwrap_or_else(|_| scratch.path().to_owned()).join(COPY);
    let root = layout.copy(first.project_root, &copy)?;
    let made: Vec<Made> = match kind {
        Kind::Maven => {
            let by = if layout.wrapper("mvnw").is_some() { "pom.xml (mvnw)" } else { "pom.xml (mvn)" };
            let of = |module: maven::Module| Made {
                classes: module.classes.into_iter().collect(),
                artifacts: module.artifacts,
                notes: module.notes,
                settings: maven::settings_files(),
                resolved_by: by,
            };
            maven::build(requests, layout, &root, &copy, context)?.into_iter().map(of).collect()
        }
        Kind::Gradle => {
            let by =
                if layout.wrapper("gradlew").is_some() { "build.gradle (gradlew)" } else { "build.gradle (gradle)" };
            let of = |module: gradle::Module| Made {
                classes: module.classes,
                artifacts: module.artifacts,
                notes: Vec::new(),
                settings: gradle::settings_files(),
                resolved_by: by,
            };
            gradle::build(requests, layout, &root, &copy, context)?.into_iter().map(of).collect()
        }
    };
    // Jars of the project itself stay where they are; what the build made will be gone.
    let place = |path: &Path| match path.strip_prefix(&copy) {
        Ok(below) => Some(layout.base.join(below)).filter(|path| path.is_file()),
        Err(_) => Some(path.to_owned()),
    };
    made.into_iter().map(|made| resolution(made, &place)).collect()
}

fn resolution(made: Made, place: &dyn Fn(&Path) -> Option<PathBuf>) -> Result<Resolution> {
    let built: Tree = jars::classes(&made.classes)?;
    let packages: Vec<Package> = made.artifacts.iter().map(|a| a.package(place)).collect::<Result<_>>()?;
    let on_disk = packages.iter().flat_map(|package| package.tree.iter()).filter_map(|(_, entry)| match entry {
        Entry::File { source: Source::Disk(path), .. } => Some(path.clone()),
        _ => None,
    });
    // Snapshots and plugins without a version are others from day to day.
    let inputs = Inputs { files: on_disk.chain(made.settings).collect(), of_the_day: true, ..Inputs::default() };
    Ok(Resolution {
        application: Application::Nothing,
        built,
        packages,
        notes: made.notes,
        inputs: Some(inputs),
        resolved_by: made.resolved_by.to_owned(),
        ..Resolution::default()
    })
}

/// Runs a build tool, telling what it does.
fn run(tool: &Tool, label: &str, context: &Context<'_>) -> Result<Output, Failure> {
    let task = Task::begin(context.reporter, label, None, Unit::Items);
    context.reporter.event(Event::Debug(format!("running `{}`", tool.display())));
    tool.run_with(&mut |line| {
        let said = line.trim_start_matches("[INFO] ").trim_start_matches("--- ");
        if said.starts_with("Building ") || said.starts_with("Download") || said.starts_with("> Task") {
            // Maven tells whole addresses of what it fetches.
            task.detail(redact(said));
        }
    })
}
