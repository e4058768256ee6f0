//! Functions of Ruby.

use super::{Program, missing, other};
use crate::error::Result;
use crate::invoke::environment::Places;
use crate::invoke::{Function, interpreters};
use crate::tree::Tree;

const CLIENT: &str = include_str!("../clients/bootstrap.rb");

pub(super) fn choose(
    function: &Function,
    (major, minor): (u8, u8),
    task: &Tree,
    opt: &Tree,
    places: &Places,
) -> Result<Program> {
    let wanted = format!("{major}.{minor}");
    let hint = format!("install Ruby {wanted}, and put it on PATH");
    let found = interpreters::ruby(&wanted).ok_or_else(|| missing(function, "Ruby", &hint))?;
    let mut program = Program {
        words: vec![
            found.program.display().to_string(),
            // Lambda's locale, which this machine need not have.
            "-EUTF-8".to_owned(),
            format!("{}/bootstrap.rb", places.runtime),
            places.task.clone(),
        ],
        seen: found.seen.clone(),
        files: vec![("bootstrap.rb", CLIENT.as_bytes().into())],
        ..Program::default()
    };
    program.words.extend(
        brought(task, &places.task, &format!("vendor/bundle/ruby/{wanted}.0/gems/"))
            .or_else(|| brought(opt, &places.opt, &format!("ruby/gems/{wanted}.0/gems/"))),
    );
    other(&mut program, function, "Ruby", &wanted, &found);
    Ok(program)
}

/// The program of Lambda's own client, where gems lie.
fn brought(tree: &Tree, place: &str, gems: &str) -> Option<String> {
    let is_it = |path: &&str| {
        let rest = path.strip_prefix(gems).and_then(|rest| rest.strip_prefix("aws_lambda_ric-"));
        rest.is_some_and(|rest| rest.split_once('/').is_some_and(|(_, file)| file == "bin/aws_lambda_ric"))
    };
    let found = tree.iter().map(|(path, _)| path.as_str()).filter(is_it).last()?;
    Some(format!("{place}/{found}"))
}
