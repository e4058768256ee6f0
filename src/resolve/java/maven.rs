//! Maven: one run for all functions of a reactor, in a copy of it.
//!
//! `prepare-package` compiles and runs what code generators are bound to, and stops before anything is put into jars or
//! shaded: classes are packed from where the compiler left them, so that no time stamp of a jar matters. The same run lists
//! what each module needs while it runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::explain;
use super::jars::Artifact;
use super::sources::{self, Layout};
use crate::error::{Error, Result};
use crate::jvm::pom::{self, Pom};
use crate::jvm::project::{self, Reactor};
use crate::process::Tool;
use crate::resolve::{Context, Request, environment};

/// The plugin's goal that lists dependencies, at a version whose form is known.
const LIST: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:list";
/// The file that it writes into each module's folder of the copy.
const LISTED: &str = ".lambda-pack-dependencies";
/// Lines that it may have.
const MAX_LINES: usize = 100_000;
const WRAPPER: &str = "mvnw";
/// How Maven is installed.
const INSTALL: &str =
    "install Maven (`apt-get install maven`, `brew install maven`), or add its wrapper with `mvn wrapper:wrapper`";

/// What Maven said of one module.
pub(super) struct Module {
    /// The folder of its classes, in the copy, if there are any.
    pub(super) classes: Option<PathBuf>,
    /// What it needs.
    pub(super) artifacts: Vec<Artifact>,
    /// What a person should know.
    pub(super) notes: Vec<String>,
}

/// What is built together with the module in a function's folder.
///
/// # Errors
/// When a `pom.xml` that decides is no XML.
pub(super) fn layout(request: &Request<'_>) -> Result<Layout> {
    let Reactor { root, parents } = project::reactor(&request.function.path, request.project_root)?;
    let mut others = parents.clone();
    others.extend(sources::wrapper_folder(&root, request.project_root, WRAPPER));
    let base = project::common(&root, &others);
    Ok(Layout { base, root, beside: parents, skip: request.skip.to_vec() })
}

/// Settings of Maven that are no part of the project.
pub(super) fn settings_files() -> Vec<PathBuf> {
    let home = std::env::home_dir().unwrap_or_default();
    let global = std::env::var_os("MAVEN_HOME").or_else(|| std::env::var_os("M2_HOME")).map(PathBuf::from);
    let installed = crate::process::find_program("mvn")
        .and_then(|mvn| Some(mvn.canonicalize().ok()?.parent()?.parent()?.to_owned()));
    let mut files: Vec<PathBuf> = ["settings.xml", "settings-security.xml", "toolchains.xml", "extensions.xml"]
        .iter()
        .map(|name| home.join(".m2").join(name))
        .collect();
    files.push(home.join(".mavenrc"));
    for folder in [global, installed].into_iter().flatten() {
        files.extend(["conf/settings.xml", "conf/toolchains.xml"].iter().map(|name| folder.join(name)));
    }
    files
}

/// What `pom.xml` must be for its module to be a function.
fn check(pom: &Pom, request: &Request<'_>, context: &Context<'_>) -> Result<()> {
    if pom.packaging == "pom" {
        let modules: Vec<String> = pom.modules.iter().map(|module| format!("`{module}`")).collect();
        let error =
            Error::config("this `pom.xml` has `<packaging>pom</packaging>`: it makes no classes").at(&pom.path, None);
        return Err(match modules.is_empty() {
            true => error.hint("point `path` at the folder of a module that does"),
            false => error.hint(format!("point `path` at one of its modules: {}", modules.join(", "))),
        });
    }
    if pom.plugins.iter().any(|plugin| plugin == "quarkus-maven-plugin") {
        return Err(Error::config("Quarkus makes a package of its own, without which its classes do not start")
            .at(&pom.path, None)
            .hint("set `build = 'mvn package'` and `output = 'target/function.zip'` for the function, which packs what Quarkus leaves"));
    }
    if let Some((line, version)) = pom.floating.first().filter(|_| context.locked) {
        return Err(Error::config(format!(
            "`--locked` asks for versions that stay the same, and `{version}` of function `{}` does not",
            request.function.name
        ))
        .at(&pom.path, Some((*line, 1)))
        .hint("name one version that was released"));
    }
    Ok(())
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
    let mut poms = Vec::new();
    for request in requests {
        let (pom, _) = Pom::with_parents(&request.function.path.join(pom::NAME), request.project_root)?;
        check(&pom, request, context)?;
        poms.push(pom);
    }
    let mut modules: Vec<String> = poms.iter().map(|pom| selector(pom, layout)).collect();
    modules.sort();
    modules.dedup();
    let (mut tool, wrapper) = match layout.wrapper_tool(WRAPPER, copy) {
        Some((tool, folder)) => (tool, Some(folder)),
        None => (Tool::new("mvn").install_hint(INSTALL), None),
    };
    tool = environment::without_shell(tool)
        .args(["-B", "-Dstyle.color=never", "-Dmaven.test.skip=true", "prepare-package", LIST])
        .args(["-DincludeScope=runtime", "-DoutputAbsoluteArtifactFilename=true"])
        .arg(format!("-DoutputFile={LISTED}"))
        .cwd(root)
        .speaks_on_stdout()
        .env("LC_ALL", "C.UTF-8")
        .env("SOURCE_DATE_EPOCH", super::EPOCH);
    // Twice as fast for the few seconds that most builds take: the second compiler of the machine never pays off.
    if std::env::var_os("MAVEN_OPTS").is_none() {
        tool = tool.env("MAVEN_OPTS", "-XX:TieredStopAtLevel=1");
    }
    if let Some(folder) = wrapper.filter(|folder| folder != root) {
        tool = tool.env("MAVEN_BASEDIR", folder.as_os_str());
    }
    if modules.iter().any(|module| module != ".") {
        tool = tool.args(["-pl", &modules.join(","), "-am"]);
    }
    if context.offline {
        tool = tool.arg("-o");
    }
    let names: Vec<&str> = requests.iter().map(|request| request.function.name.as_str()).collect();
    super::run(&tool, &format!("Building {}", names.join(", ")), context)
        .map_err(|failure| explain::maven(failure, &Replaced { copy, base: &layout.base }, context))?;
    poms.iter()
        .map(|pom| {
            let module = module(pom, layout, root)?;
            fixed(&module, pom, context)?;
            Ok(module)
        })
        .collect()
}

/// With `--locked`, refuses a snapshot that something brings; other modules of the reactor may be ones.
fn fixed(module: &Module, pom: &Pom, context: &Context<'_>) -> Result<()> {
    let is_snapshot = |artifact: &&Artifact| {
        artifact.version.ends_with("-SNAPSHOT") && artifact.files.iter().any(|file| file.is_file())
    };
    match module.artifacts.iter().find(is_snapshot).filter(|_| context.locked) {
        None => Ok(()),
        Some(found) => Err(Error::config(format!(
            "`--locked` asks for versions that stay the same, and `{}:{}:{}` does not",
            found.group, found.name, found.version
        ))
        .at(&pom.path, None)
        .hint("name one version that was released")),
    }
}

/// Where a folder of the copy is in the project.
pub(super) struct Replaced<'a> {
    /// The copy.
    pub(super) copy: &'a Path,
    /// What it is a copy of.
    pub(super) base: &'a Path,
}

/// How `-pl` names a module: by its folder, or its name where that could mean something else.
fn selector(pom: &Pom, layout: &Layout) -> String {
    let below = pom.folder().strip_prefix(&layout.root).unwrap_or(Path::new("")).to_string_lossy().replace('\\', "/");
    match below.as_str() {
        "" => ".".to_owned(),
        odd if odd.contains(',') || odd.starts_with(['!', '-', '+', '?', ':']) || odd.trim() != odd => {
            format!(":{}", pom.artifact)
        }
        below => below.to_owned(),
    }
}

fn module(pom: &Pom, layout: &Layout, root: &Path) -> Result<Module> {
    let folder = root.join(pom.folder().strip_prefix(&layout.root).unwrap_or(Path::new("")));
    let listed = folder.join(LISTED);
    let text = crate::fsio::read_text(&listed).map_err(|_| {
        Error::failed("Maven did not list what the module needs")
            .at(&pom.path, None)
            .hint("check that nothing in the pom skips maven-dependency-plugin (`mdep.skip`)")
    })?;
    let (artifacts, others) = artifacts(&text)?;
    let classes = folder.join(pom.classes());
    // What has no sources, such as the dependencies of a layer, has no classes either.
    if !classes.is_dir() && folder.join("src/main").is_dir() {
        let shown = pom.classes();
        return Err(Error::failed(format!("Maven made no classes: there is no `{}`", shown.display()))
            .at(&pom.path, None)
            .hint("are there sources in `src/main/java`? A plugin for another language must be bound to `compile`"));
    }
    let mut notes = Vec::new();
    if pom.plugins.iter().any(|plugin| plugin == "maven-shade-plugin" || plugin == "maven-assembly-plugin") {
        notes.push("dependencies are packed as jars in `lib/`, which Lambda has on its class path; what the pom shades or assembles is not made".to_owned());
    }
    if !others.is_empty() {
        notes.push(format!("left out, since a class path holds jars alone: {}", others.join(", ")));
    }
    let classes = Some(classes).filter(|classes| classes.is_dir());
    Ok(Module { classes, artifacts, notes })
}

/// What the plugin has listed, and names of what is no jar.
fn artifacts(text: &str) -> Result<(Vec<Artifact>, Vec<String>)> {
    let mut found: BTreeMap<PathBuf, Artifact> = BTreeMap::new();
    let mut others = Vec::new();
    for line in text.lines().take(MAX_LINES) {
        let line = line.trim();
        if line.is_empty() || line == "none" || line.starts_with("The following files") {
            continue;
        }
        let Some((artifact, path)) = artifact(line) else {
            return Err(Error::failed(format!("Maven listed `{line}`, which is no dependency that is understood")));
        };
        if path.is_dir() || path.extension().is_some_and(|ending| ending == "jar") {
            found.insert(path, artifact);
        } else if path.extension().is_none_or(|ending| ending != "pom") {
            others.push(line.split(':').take(2).collect::<Vec<_>>().join(":"));
        }
    }
    let mut artifacts: Vec<Artifact> = found.into_values().collect();
    artifacts.sort();
    Ok((artifacts, others))
}

/// `group:name:type[:classifier]:version:scope[ (optional)]:path[ -- module …]`.
fn artifact(line: &str) -> Option<(Artifact, PathBuf)> {
    let line = line.rsplit_once(" -- module ").map_or(line, |(before, _)| before);
    let fields: Vec<&str> = line.split(':').collect();
    let is_scope = |field: &&str| {
        matches!(field.split_whitespace().next(), Some("compile" | "runtime" | "provided" | "test" | "system"))
    };
    let scope = (4..=5).find(|at| fields.get(*at).is_some_and(is_scope))?;
    let path = PathBuf::from(fields.get(scope + 1..)?.join(":").trim());
    let classifier = if scope == 5 { fields[3] } else { "" };
    let artifact = Artifact {
        group: fields[0].to_owned(),
        name: fields[1].to_owned(),
        version: fields[scope - 1].to_owned(),
        classifier: classifier.to_owned(),
        files: vec![path.clone()],
    };
    (!path.as_os_str().is_empty()).then_some((artifact, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_maven_lists() {
        let text = "\nThe following files have been resolved:\n   org.x:b:jar:linux-x86_64:1.2:runtime:/m2/b-1.2-linux.jar\n\
                    \x20  org.x:a:jar:2:compile (optional) :/m2/a b:c-2.jar -- module org.x.a (auto)\n\
                    \x20  org.x:bom:pom:2:compile:/m2/bom.pom\n   org.x:native:zip:2:compile:/m2/native.zip\n\n";
        let (found, others) = artifacts(text).unwrap();
        let shown: Vec<_> = found
            .iter()
            .map(|a| format!("{} {} {} {} {}", a.group, a.name, a.version, a.classifier, a.files[0].display()))
            .collect();
        assert_eq!(shown, ["org.x a 2  /m2/a b:c-2.jar", "org.x b 1.2 linux-x86_64 /m2/b-1.2-linux.jar"]);
        assert_eq!(others, ["org.x:native"]);
        assert_eq!(artifacts("The following files have been resolved:\n   none\n").unwrap().0, []);
        assert!(artifacts("what?").unwrap_err().to_string().contains("`what?`"));
    }
}
