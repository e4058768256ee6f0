//! Gradle: the project's own wrapper, else `gradle`, in a copy of the build. An init script has each module that is a function
//! compiled, and writes down where its classes are and what its `runtimeClasspath` holds.

use std::path::{Path, PathBuf};

use super::explain;
use super::jars::{Artifact, named};
use super::maven::Replaced;
use super::sources::{self, Layout};
use crate::error::{Error, Result};
use crate::fsio;
use crate::jvm::project;
use crate::process::Tool;
use crate::resolve::{Context, Request, environment};

const WRAPPER: &str = "gradlew";
const INSTALL: &str = "add the project's wrapper with `gradle wrapper`, or install Gradle";
/// What Gradle is asked, in the Groovy that all versions from 4 on understand.
const SCRIPT: &str = include_str!("list.gradle");
/// The task that it adds.
const TASK: &str = "lambdaPackList";

/// What Gradle said of one module.
pub(super) struct Module {
    /// Folders of its classes and resources, in the copy, in the order of its class path.
    pub(super) classes: Vec<PathBuf>,
    /// What it needs.
    pub(super) artifacts: Vec<Artifact>,
}

/// What is built together with the module in a function's folder.
pub(super) fn layout(request: &Request<'_>) -> Layout {
    let root = project::gradle_root(&request.function.path, request.project_root);
    let others: Vec<PathBuf> = sources::wrapper_folder(&root, request.project_root, WRAPPER).into_iter().collect();
    Layout { base: project::common(&root, &others), root, beside: Vec::new(), skip: request.skip.to_vec() }
}

/// Settings of Gradle that are no part of the project.
pub(super) fn settings_files() -> Vec<PathBuf> {
    let home = std::env::var_os("GRADLE_USER_HOME")
        .map_or_else(|| std::env::home_dir().unwrap_or_default().join(".gradle"), PathBuf::from);
    ["gradle.properties", "init.gradle", "init.gradle.kts"].iter().map(|name| home.join(name)).collect()
}

/// Builds the modules of `requests`, which have one layout, in the copy at `root`. One answer per request, in their order.
///
/// # Errors
/// When one of them cannot be built.
pub(super) fn build(
    requests: &[&Request<'_>],
    layout: &Layout,
    root: &Path,
    copy: &Path,
    context: &Context<'_>,
) -> Result<Vec<Module>> {
    requests.iter().try_for_each(|request| locked(request, layout, context))?;
    let answers = fsio::scratch_dir()?;
    let script = answers.path().join("list.gradle");
    fsio::write_atomic(&script, SCRIPT.as_bytes())?;
    let in_copy =
        |request: &Request<'_>| root.join(request.function.path.strip_prefix(&layout.root).unwrap_or(Path::new("")));
    let mut folders: Vec<PathBuf> = requests.iter().map(|request| in_copy(request)).collect();
    folders.sort();
    folders.dedup();
    let wanted: Vec<String> = folders.iter().map(|folder| real(folder).display().to_string()).collect();
    fsio::write_atomic(&answers.path().join("wanted"), wanted.join("\n").as_bytes())?;
    let wrapper = layout.wrapper_tool(WRAPPER, copy);
    let mut tool = wrapper.map_or_else(|| Tool::new("gradle").install_hint(INSTALL), |(tool, _)| tool);
    tool = environment::without_shell(tool)
        .args(["--no-daemon", "--console=plain", "--quiet", "--init-script"])
        .arg(script.as_os_str())
        // What the script asks is not for a cache of configurations.
        .args(["-Dorg.gradle.configuration-cache=false", "-Dorg.gradle.unsafe.isolated-projects=false"])
        .arg(format!("-DlambdaPack={}", answers.path().display()))
        .arg(TASK)
        .cwd(root)
        .env("LC_ALL", "C.UTF-8")
        .env("SOURCE_DATE_EPOCH", super::EPOCH);
    if std::env::var_os("GRADLE_OPTS").is_none() {
        tool = tool.env("GRADLE_OPTS", "-XX:TieredStopAtLevel=1");
    }
    if context.offline {
        tool = tool.arg("--offline");
    }
    let names: Vec<&str> = requests.iter().map(|request| request.function.name.as_str()).collect();
    super::run(&tool, &format!("Building {}", names.join(", ")), context)
        .map_err(|failure| explain::gradle(failure, &Replaced { copy, base: &layout.base }, context))?;
    let answer = |request: &&Request<'_>| {
        let at = folders.iter().position(|folder| *folder == in_copy(request)).unwrap_or_default();
        let text = fsio::read_text(&answers.path().join(format!("answer-{at}"))).map_err(|_| {
            Error::config(format!("Gradle knows no module in `{}`", request.function.path.display()))
                .hint("`settings.gradle` must include it, and it must be one of Java, Kotlin, Scala or Groovy")
        })?;
        module(&text)
    };
    requests.iter().map(answer).collect()
}

/// With `--locked`, a module must have the file that Gradle locks versions in.
fn locked(request: &Request<'_>, layout: &Layout, context: &Context<'_>) -> Result<()> {
    let folder = &request.function.path;
    let has_lock = || folder.join("gradle.lockfile").is_file() || layout.root.join("gradle/dependency-locks").is_dir();
    if !context.locked || has_lock() {
        return Ok(());
    }
    Err(Error::config("`gradle.lockfile` is missing, and `--locked` asks for it")
        .at(folder.join("gradle.lockfile"), None)
        .hint("turn on Gradle's dependency locking, run `gradle dependencies --write-locks`, and commit the file"))
}

fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// What the script has written: lines of fields that tabs part, the path last.
fn module(text: &str) -> Result<Module> {
    let mut module = Module { classes: Vec::new(), artifacts: Vec::new() };
    for line in text.lines() {
        match line.split('\t').collect::<Vec<_>>().as_slice() {
            ["classes", path] => module.classes.push(PathBuf::from(path)),
            ["artifact", group, name, version, classifier, path] => module.artifacts.push(Artifact {
                group: (*group).to_owned(),
                name: (*name).to_owned(),
                version: if *version == "unspecified" { String::new() } else { (*version).to_owned() },
                classifier: (*classifier).to_owned(),
                files: vec![PathBuf::from(path)],
            }),
            // Another module of the build, whose jar holds times: its folders instead.
            ["module", group, name, version, paths @ ..] => module.artifacts.push(Artifact {
                group: (*group).to_owned(),
                name: (*name).to_owned(),
                version: if *version == "unspecified" { String::new() } else { (*version).to_owned() },
                classifier: String::new(),
                files: paths.iter().map(PathBuf::from).filter(|path| path.is_dir()).collect(),
            }),
            ["file", path] => {
                let stem = Path::new(path).file_stem().unwrap_or_default().to_string_lossy().into_owned();
                let (name, version) = named(&stem);
                let files = vec![PathBuf::from(path)];
                module.artifacts.push(Artifact {
                    group: String::new(),
                    name,
                    version,
                    classifier: String::new(),
                    files,
                });
            }
            _ => return Err(Error::failed(format!("Gradle answered `{line}`, which is not understood"))),
        }
    }
    module.classes.retain(|folder| folder.is_dir());
    module.artifacts.retain(|artifact| !artifact.files.is_empty());
    module.artifacts.sort();
    module.artifacts.dedup();
    Ok(module)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gradle_answers() {
        let dir = tempfile::tempdir().unwrap();
        let here = dir.path().display();
        let text = format!(
            "classes\t{here}\nclasses\t/none\nartifact\tg\ta\t1\tlinux\t/x.jar\nmodule\tg\tcommon\tunspecified\t{here}\t/none\n\
             file\t/libs/tool-2.0.jar\nmodule\tg\tempty\t1\n"
        );
        let read = module(&text).unwrap();
        assert_eq!(read.classes, [dir.path()]);
        let shown: Vec<_> = read
            .artifacts
            .iter()
            .map(|a| format!("{}:{}:{}:{}:{}", a.group, a.name, a.version, a.classifier, a.files.len()))
            .collect();
        assert_eq!(shown, [":tool:2.0::1", "g:a:1:linux:1", "g:common:::1"]);
        assert!(module("what?").is_err());
    }
}
