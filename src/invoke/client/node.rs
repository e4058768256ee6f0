//! Functions of Node.js.

use super::{Program, missing, other};
use crate::error::Result;
use crate::invoke::environment::Places;
use crate::invoke::{Function, interpreters};
use crate::tree::Tree;

const CLIENT: &str = include_str!("../clients/bootstrap.mjs");
/// Where versions 4 and 3 of the package's own client begin.
const BROUGHT: [&str; 2] = ["node_modules/aws-lambda-ric/index.mjs", "node_modules/aws-lambda-ric/bin/index.mjs"];

/// The package's own client, if its machine code was compiled.
fn brought(task: &Tree) -> Option<&'static str> {
    let is_addon = |path: &str| path.starts_with("node_modules/aws-lambda-ric/") && path.ends_with(".node");
    let is_compiled = task.iter().any(|(path, _)| is_addon(path.as_str()));
    BROUGHT.into_iter().find(|client| is_compiled && task.contains(client))
}

pub(super) fn choose(function: &Function, major: u8, task: &Tree, places: &Places) -> Result<Program> {
    let found =
        interpreters::node(major).ok_or_else(|| missing(function, "Node.js", "install it and put it on PATH"))?;
    let mut program = Program {
        words: vec![found.program.display().to_string(), format!("{}/bootstrap.mjs", places.runtime)],
        seen: found.seen.clone(),
        files: vec![("bootstrap.mjs", CLIENT.as_bytes().into())],
        ..Program::default()
    };
    if let Some(client) = brought(task) {
        program.words.splice(1.., [format!("{}/{client}", places.task), function.handler.clone()]);
    }
    other(&mut program, function, "Node.js", &major.to_string(), &found);
    Ok(program)
}
