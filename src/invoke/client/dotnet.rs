//! Functions of .NET, started as `bootstrap.sh` of Amazon.Lambda.RuntimeSupport does, whose words the errors are.

use super::{Program, missing};
use crate::error::{Error, Result};
use crate::invoke::Function;
use crate::invoke::environment::Places;
use crate::process::find_program;
use crate::tree::Tree;

/// What speaks to Lambda for a class library. A program brings it compiled in.
const SUPPORT: &str = "Amazon.Lambda.RuntimeSupport.dll";

pub(super) fn choose(function: &Function, task: &Tree, places: &Places) -> Result<Program> {
    let handler = function.handler.as_str();
    let root = &places.task;
    let dotnet = || {
        let found = find_program("dotnet").and_then(|program| program.canonicalize().ok());
        let hint = "install the .NET runtime that `TargetFramework` names, and put `dotnet` on PATH";
        found.ok_or_else(|| missing(function, "`dotnet`", hint))
    };
    let words = match handler.split_once(':') {
        None => {
            let assembly = if handler.ends_with(".dll") { handler.to_owned() } else { format!("{handler}.dll") };
            if task.contains(&assembly) {
                vec![format!("{root}/{assembly}")]
            } else if super::is_executable(task, handler) {
                return Ok(Program { words: vec![format!("{root}/{handler}")], ..Program::default() });
            } else {
                return Err(Error::failed(format!(
                    "`{}` cannot be run: executable assembly {root}/{assembly} or binary {root}/{handler} not found.",
                    function.name
                ))
                .hint("the handler of a program is the name of its assembly"));
            }
        }
        Some((assembly, _)) => {
            let assembly = function.environment.get("LAMBDA_DOTNET_MAIN_ASSEMBLY").map_or(assembly, String::as_str);
            let assembly = assembly.strip_suffix(".dll").unwrap_or(assembly);
            if !task.contains(SUPPORT) {
                return Err(Error::failed(format!(
                    "`{}` does not bring what speaks to Lambda, and Lambda's own is not here",
                    function.name
                ))
                .hint("add a PackageReference to Amazon.Lambda.RuntimeSupport to run a class library here; a program has it"));
            }
            let beside = |ending: &str| -> Result<String> {
                let file = one_of(task, assembly, ending).ok_or_else(|| absent(function, root, ending))?;
                Ok(format!("{root}/{file}"))
            };
            let (deps, config) = (beside(".deps.json")?, beside(".runtimeconfig.json")?);
            let support = format!("{root}/{SUPPORT}");
            ["--depsfile", &deps, "--runtimeconfig", &config, &support, handler].map(str::to_owned).to_vec()
        }
    };
    let program = dotnet()?;
    // Beside these, a folder of a user's own has certificates and caches.
    let folder = program.parent().unwrap_or(&program).to_owned();
    let seen = ["host", "shared"].map(|name| folder.join(name)).into_iter().filter(|path| path.is_dir());
    let seen = seen.chain([program.clone()]).collect();
    let begin = [program.display().to_string(), "exec".to_owned()];
    Ok(Program { words: begin.into_iter().chain(words).collect(), seen, ..Program::default() })
}

/// The assembly's own file, else the only one with this ending.
fn one_of(task: &Tree, assembly: &str, ending: &str) -> Option<String> {
    let own = format!("{assembly}{ending}");
    if task.contains(&own) {
        return Some(own);
    }
    let mut all = task.iter().map(|(path, _)| path.as_str()).filter(|p| !p.contains('/') && p.ends_with(ending));
    match (all.next(), all.next()) {
        (Some(only), None) => Some(only.to_owned()),
        _ => None,
    }
}

fn absent(function: &Function, root: &str, ending: &str) -> Error {
    Error::failed(format!(
        "`{}` cannot be run: .NET binaries for Lambda function are not correctly installed in the {root} directory: it is \
         missing the required {ending} file",
        function.name
    ))
    .hint("pack what `dotnet publish` leaves, and set `GenerateRuntimeConfigurationFiles` to `true` in the project")
}
