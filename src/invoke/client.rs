//! What speaks to the Runtime API for a function: its own `bootstrap`, the runtime interface client that the package brings,
//! or, for Python and Node.js, a small one of ours that finds and calls handlers as Lambda's does.

use std::path::PathBuf;

use super::Function;
use super::environment::Places;
use super::interpreters::{self, Interpreter};
use crate::error::{Error, Result};
use crate::lambda::Family;
use crate::tree::{Entry, Tree};

const PYTHON: &str = include_str!("clients/bootstrap.py");
const NODE: &str = include_str!("clients/bootstrap.mjs");
const JAVA_CLIENT: &str = "com/amazonaws/services/lambda/runtime/api/client/AWSLambda";
const JAVA_JAR: &str = "aws-lambda-java-runtime-interface-client-";

/// What is started for a function.
#[derive(Debug, Clone, Default)]
pub(super) struct Program {
    /// Program and arguments, as the function's side sees them.
    pub(super) words: Vec<String>,
    /// What it needs to see of this machine.
    pub(super) seen: Vec<PathBuf>,
    /// Files of ours for `/var/runtime`.
    pub(super) files: Vec<(&'static str, &'static str)>,
    /// What is not as on Lambda.
    pub(super) notes: Vec<String>,
    /// Executables in `/opt/extensions`, by name.
    pub(super) extensions: Vec<String>,
}

/// Chooses what runs a function, from what is in its package and its layers.
pub(super) fn choose(function: &Function, task: &Tree, opt: &Tree, places: &Places) -> Result<Program> {
    let mut program = match function.runtime.family {
        Family::Provided | Family::Go => bootstrap(function, task, opt, places)?,
        Family::Python { major: 3, minor } => python(function, minor, task, opt, places)?,
        Family::Node { major } => node(function, major, task, places)?,
        Family::Java { major } => java(function, major, task, opt, places)?,
        Family::Python { .. } | Family::Ruby { .. } | Family::Dotnet => return Err(not_run(function)),
    };
    let here = std::env::consts::ARCH;
    if here != function.architecture.machine() {
        if function.runtime.is_provided() {
            return Err(Error::failed(format!(
                "`{}` is for {}, and this machine is {here}: its bootstrap does not run here",
                function.name, function.architecture
            ))
            .hint("invoke it with `--arch`, if its code can be built for this machine"));
        }
        program.notes.push(format!(
            "`{}` is for {}, and this machine is {here}: what is machine code in it does not load here",
            function.name, function.architecture
        ));
    }
    program.extensions = executables(opt);
    if let Some(wrapper) = function.environment.get("AWS_LAMBDA_EXEC_WRAPPER").filter(|w| !w.is_empty())
        && !function.runtime.is_provided()
    {
        program.words.insert(0, wrapper.clone());
    }
    Ok(program)
}

fn not_run(function: &Function) -> Error {
    Error::failed(format!("functions of `{}` are not run here by this version", function.runtime.id)).hint(
        "`invoke` runs Python, Node.js, provided runtimes, and Java with its runtime interface client in the package",
    )
}

fn is_executable(tree: &Tree, path: &str) -> bool {
    matches!(tree.get(path), Some(Entry::File { executable: true, .. } | Entry::Symlink { .. }))
}

fn executables(opt: &Tree) -> Vec<String> {
    let names = opt.iter().filter_map(|(path, _)| path.as_str().strip_prefix("extensions/"));
    names
        .filter(|name| !name.contains('/') && is_executable(opt, &format!("extensions/{name}")))
        .map(str::to_owned)
        .collect()
}

fn bootstrap(function: &Function, task: &Tree, opt: &Tree, places: &Places) -> Result<Program> {
    for (tree, place) in [(task, &places.task), (opt, &places.opt)] {
        if tree.contains("bootstrap") {
            return Ok(Program { words: vec![format!("{place}/bootstrap")], ..Program::default() });
        }
    }
    Err(Error::failed(format!(
        "`{}` cannot be run: Runtime.InvalidEntrypoint: Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]",
        function.name
    ))
    .hint("a runtime that is no layer of this project cannot be had here: put its `bootstrap` into one of your own layers"))
}

fn missing(function: &Function, what: &str, hint: &str) -> Error {
    Error::failed(format!("`{}` needs {what} to run, and there is none here", function.name)).hint(hint)
}

/// Says that another version is used.
fn other(program: &mut Program, function: &Function, name: &str, wanted: &str, used: &Interpreter) {
    if used.version != wanted && !used.version.starts_with(&format!("{wanted}.")) {
        program.notes.push(format!(
            "{name} {} is used, since there is no {name} {wanted} here, which `{}` has",
            used.version, function.runtime.id
        ));
    }
}

fn python(function: &Function, minor: u8, task: &Tree, opt: &Tree, places: &Places) -> Result<Program> {
    let hint = format!("install python3.{minor}, or run `uv python install 3.{minor}` and put it on PATH");
    let found = interpreters::python(minor).ok_or_else(|| missing(function, "Python 3", &hint))?;
    let site = format!("python/lib/python3.{minor}/site-packages/awslambdaric/__main__.py");
    let brings_client = task.contains("awslambdaric/__main__.py")
        || opt.contains("python/awslambdaric/__main__.py")
        || opt.contains(&site);
    let client = if brings_client { "awslambdaric" } else { "own" };
    let mut program = Program {
        words: vec![
            found.program.display().to_string(),
            // Neither the packages of this machine nor those of its user; byte code has nowhere to go; and what is written
            // is not held back, so that nothing of it is lost when the process is ended.
            "-u".to_owned(),
            "-S".to_owned(),
            "-s".to_owned(),
            "-B".to_owned(),
            format!("{}/bootstrap.py", places.runtime),
            client.to_owned(),
            places.task.clone(),
            format!("{}/python/lib/python3.{minor}/site-packages", places.opt),
            format!("{}/python", places.opt),
        ],
        seen: found.seen.clone(),
        files: vec![("bootstrap.py", PYTHON)],
        ..Program::default()
    };
    other(&mut program, function, "Python", &format!("3.{minor}"), &found);
    Ok(program)
}

/// Where versions 4 and 3 of the package's own client begin.
const NODE_CLIENT: [&str; 2] = ["node_modules/aws-lambda-ric/index.mjs", "node_modules/aws-lambda-ric/bin/index.mjs"];

/// The package's own client, if its machine code was compiled.
fn node_client(task: &Tree) -> Option<&'static str> {
    let is_addon = |path: &str| path.starts_with("node_modules/aws-lambda-ric/") && path.ends_with(".node");
    let is_compiled = task.iter().any(|(path, _)| is_addon(path.as_str()));
    NODE_CLIENT.into_iter().find(|client| is_compiled && task.contains(client))
}

fn node(function: &Function, major: u8, task: &Tree, places: &Places) -> Result<Program> {
    let found =
        interpreters::node(major).ok_or_else(|| missing(function, "Node.js", "install it and put it on PATH"))?;
    let mut program = Program {
        words: vec![found.program.display().to_string(), format!("{}/bootstrap.mjs", places.runtime)],
        seen: found.seen.clone(),
        files: vec![("bootstrap.mjs", NODE)],
        ..Program::default()
    };
    if let Some(client) = node_client(task) {
        program.words.splice(1.., [format!("{}/{client}", places.task), function.handler.clone()]);
    }
    other(&mut program, function, "Node.js", &major.to_string(), &found);
    Ok(program)
}

fn java(function: &Function, major: u8, task: &Tree, opt: &Tree, places: &Places) -> Result<Program> {
    let found =
        interpreters::java().ok_or_else(|| missing(function, "Java", "install a JDK and put `java` on PATH"))?;
    let jars = |tree: &Tree, folder: &str, place: &str| -> Vec<String> {
        let names = tree.iter().filter_map(|(path, _)| path.as_str().strip_prefix(folder));
        let jars = names.filter(|name| !name.contains('/') && name.ends_with(".jar"));
        jars.map(|name| format!("{place}/{folder}{name}")).collect()
    };
    // The order of Lambda's class loader: the function's classes, its jars, those of layers, each by name.
    let mut path = vec![format!("{}/", places.task)];
    path.extend(jars(task, "lib/", &places.task));
    path.extend(jars(opt, "java/lib/", &places.opt));
    let is_there = task.contains(&format!("{JAVA_CLIENT}.class")) || path.iter().any(|jar| jar.contains(JAVA_JAR));
    if !is_there {
        return Err(Error::failed(format!(
            "`{}` does not bring what speaks to Lambda, and Lambda's own is not here",
            function.name
        ))
        .hint("add com.amazonaws:aws-lambda-java-runtime-interface-client to its dependencies to run it here"));
    }
    let mut program = Program {
        words: vec![
            found.program.display().to_string(),
            "-cp".to_owned(),
            path.join(":"),
            JAVA_CLIENT.replace('/', "."),
            function.handler.clone(),
        ],
        seen: found.seen.clone(),
        ..Program::default()
    };
    other(&mut program, function, "Java", &major.to_string(), &found);
    Ok(program)
}
