//! Functions of Python.

use super::{Program, missing, other};
use crate::error::Result;
use crate::invoke::environment::Places;
use crate::invoke::{Function, interpreters};
use crate::tree::Tree;

const CLIENT: &str = include_str!("../clients/bootstrap.py");

pub(super) fn choose(function: &Function, minor: u8, task: &Tree, opt: &Tree, places: &Places) -> Result<Program> {
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
        files: vec![("bootstrap.py", CLIENT.as_bytes().into())],
        ..Program::default()
    };
    other(&mut program, function, "Python", &format!("3.{minor}"), &found);
    Ok(program)
}
