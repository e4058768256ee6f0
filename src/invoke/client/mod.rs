//! What speaks to the Runtime API for a function: its own `bootstrap`, the runtime interface client that the package brings,
//! or a small one of ours that finds and calls handlers as Lambda's does.

mod dotnet;
mod java;
mod node;
mod python;
mod ruby;

use std::borrow::Cow;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Function;
use super::environment::Places;
use super::interpreters::Interpreter;
use crate::error::{Error, Result};
use crate::lambda::Family;
use crate::store::{Store, sha256};
use crate::tree::{Entry, Tree};

/// What is started for a function.
#[derive(Debug, Clone, Default)]
pub(super) struct Program {
    /// Program and arguments, as the function's side sees them.
    pub(super) words: Vec<String>,
    /// What it needs to see of this machine.
    pub(super) seen: Vec<PathBuf>,
    /// Variables that it needs here, unless the function has them.
    pub(super) variables: Vec<(&'static str, String)>,
    /// Files of ours for `/var/runtime`.
    pub(super) files: Vec<(&'static str, Cow<'static, [u8]>)>,
    /// What is not as on Lambda.
    pub(super) notes: Vec<String>,
    /// Executables in `/opt/extensions`, by name.
    pub(super) extensions: Vec<String>,
    /// A further argument, with which it says at init whatever keeps the handler from being called, also what Lambda only
    /// tells the first event.
    pub(super) strict: Option<&'static str>,
}

/// Chooses what runs a function, from what is in its package and its layers.
pub(super) fn choose(function: &Function, task: &Tree, opt: &Tree, places: &Places) -> Result<Program> {
    let mut program = match function.runtime.family {
        Family::Provided | Family::Go => bootstrap(function, task, opt, places)?,
        Family::Python { major: 3, minor } => python::choose(function, minor, task, opt, places)?,
        Family::Node { major } => node::choose(function, major, task, places)?,
        Family::Java { major } => java::choose(function, major, task, opt, places)?,
        Family::Ruby { major, minor } => ruby::choose(function, (major, minor), task, opt, places)?,
        Family::Dotnet => dotnet::choose(function, task, places)?,
        Family::Python { .. } => return Err(not_run(function)),
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
    Error::failed(format!("functions of `{}` are not run here", function.runtime.id))
        .hint("Lambda has retired it: `runtime` names the one that the function is packed for")
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

/// A client of ours that a tool of this machine compiles, known by what it is compiled with and from. It is kept for some hours:
/// compiling takes longer than most functions.
fn compiled(
    language: &str,
    with: &[&str],
    sources: &[(&str, &str)],
    compile: impl FnOnce() -> Result<Vec<u8>>,
) -> Result<Vec<u8>> {
    let mut key = with.join("\n");
    sources.iter().for_each(|(_, text)| key += &format!("\n{text}"));
    let key = format!("{language}-client-{}", sha256(key.as_bytes()).hex());
    let store = Store::default_root().ok().map(Store::new);
    let kept = store.as_ref().and_then(|store| STANDARD.decode(store.answer(&key)?.trim()).ok());
    if let Some(client) = kept {
        return Ok(client);
    }
    let client = compile()?;
    if let Some(store) = store {
        // It can be compiled again.
        let _ = store.keep_answer(&key, &STANDARD.encode(&client));
    }
    Ok(client)
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
