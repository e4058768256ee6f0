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

/// What Lambda starts it with, as far as this `version` knows it. That `require` takes no modules of ECMAScript, and that their
/// syntax makes no file one, a function can undo with `NODE_OPTIONS`.
///
/// Sources: "Experimental Node.js features" in the AWS Lambda Developer Guide, which says so of Node.js 20 and 22; of Node.js 24
/// nestjs/nest#17707 does, and the tests of aws-lambda-ric 4 run so.
fn options(function: &Function, major: u8, version: &str) -> Vec<String> {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or_default());
    let known = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let set = function.environment.get("NODE_OPTIONS").map(String::as_str).unwrap_or_default();
    let mut out = vec!["--expose-gc".to_owned(), "--max-http-header-size=81920".to_owned()];
    for (feature, since, is_known) in [
        ("experimental-require-module", 20, known >= (22, 0) || ((20, 17)..(21, 0)).contains(&known)),
        ("experimental-detect-module", 22, known >= (21, 1) || ((20, 10)..(21, 0)).contains(&known)),
    ] {
        if major >= since && is_known && !set.split_whitespace().any(|word| word == format!("--{feature}")) {
            out.push(format!("--no-{feature}"));
        }
    }
    out
}

pub(super) fn choose(function: &Function, major: u8, task: &Tree, places: &Places) -> Result<Program> {
    let found =
        interpreters::node(major).ok_or_else(|| missing(function, "Node.js", "install it and put it on PATH"))?;
    let client = match brought(task) {
        Some(client) => vec![format!("{}/{client}", places.task), function.handler.clone()],
        None => vec![format!("{}/bootstrap.mjs", places.runtime)],
    };
    let words = [found.program.display().to_string()].into_iter().chain(options(function, major, &found.version));
    let mut program = Program {
        words: words.chain(client).collect(),
        seen: found.seen.clone(),
        files: vec![("bootstrap.mjs", CLIENT.as_bytes().into())],
        ..Program::default()
    };
    other(&mut program, function, "Node.js", &major.to_string(), &found);
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lambdas_options_are_those_that_a_version_knows() {
        let mut function = Function::new("f", crate::lambda::find("nodejs24.x").unwrap(), "index.handler");
        let beyond = |function: &Function, major, version| options(function, major, version).split_off(2).join(" ");
        let both = "--no-experimental-require-module --no-experimental-detect-module";
        for (major, version, wanted) in [
            (24, "24.1.0", both),
            (22, "22.0.0", both),
            (22, "20.20.2", both),
            (20, "20.20.2", "--no-experimental-require-module"),
            (20, "20.16.0", ""),
            (24, "21.0.0", ""),
            (24, "18.19.0", ""),
            (18, "24.1.0", ""),
        ] {
            assert_eq!(beyond(&function, major, version), wanted, "{major} {version}");
        }
        function
            .environment
            .insert("NODE_OPTIONS".to_owned(), "--enable-source-maps  --experimental-require-module".to_owned());
        assert_eq!(beyond(&function, 24, "24.1.0"), "--no-experimental-detect-module");
    }
}
