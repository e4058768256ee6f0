//! Functions of .NET, started as `bootstrap.sh` of Amazon.Lambda.RuntimeSupport does, whose words the errors are. A program has
//! what speaks to Lambda compiled in. For a class library it is a client of ours, which the machine's SDK compiles once a day:
//! the assembly of the package Amazon.Lambda.RuntimeSupport has no entry point, and is called by ours.

use std::path::Path;

use super::{Program, missing, other};
use crate::check;
use crate::error::{Error, Result};
use crate::fsio;
use crate::invoke::Function;
use crate::invoke::environment::Places;
use crate::invoke::interpreters::{self, Dotnet};
use crate::process::Tool;
use crate::tree::Tree;

/// Our client for class libraries.
const CLIENT: &str = "LambdaPack.Client.dll";

macro_rules! sources {
    ($($name:literal)*) => {
        &[$(($name, include_str!(concat!("../clients/dotnet/", $name)))),*]
    };
}

const SOURCES: &[(&str, &str)] = sources! { "Api.cs" "Context.cs" "Handler.cs" "Program.cs" "Serializer.cs" };

pub(super) fn choose(function: &Function, task: &Tree, places: &Places) -> Result<Program> {
    let handler = function.handler.as_str();
    let root = &places.task;
    let wanted = function.runtime.id.trim_start_matches("dotnet").trim_start_matches("core");
    let major = wanted.split('.').next().and_then(|major| major.parse().ok()).unwrap_or_default();
    let found = interpreters::dotnet(major);
    let dotnet = || {
        let hint = format!("install the .NET SDK, of version {wanted} if there is one, and put `dotnet` on PATH");
        found.as_ref().ok_or_else(|| missing(function, "`dotnet`", &hint))
    };
    let mut program = Program::default();
    let words = match handler.split_once(':') {
        None => {
            let assembly = if handler.ends_with(".dll") { handler.to_owned() } else { format!("{handler}.dll") };
            if task.contains(&assembly) {
                vec![format!("{root}/{assembly}")]
            } else if super::is_executable(task, handler) {
                // It may look for the framework by itself.
                if let Some(dotnet) = &found {
                    show(&mut program, dotnet);
                }
                program.words = vec![format!("{root}/{handler}")];
                return Ok(program);
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
            let beside = |ending: &str| -> Result<String> {
                let file = check::beside_assembly(task, assembly, ending, false)
                    .ok_or_else(|| absent(function, root, ending))?;
                Ok(format!("{root}/{file}"))
            };
            let (deps, config) = (beside(".deps.json")?, beside(".runtimeconfig.json")?);
            program.files = vec![(CLIENT, compiled(function, dotnet()?)?.into())];
            let client = format!("{}/{CLIENT}", places.runtime);
            ["--depsfile", &deps, "--runtimeconfig", &config, &client, handler].map(str::to_owned).to_vec()
        }
    };
    let dotnet = dotnet()?;
    show(&mut program, dotnet);
    other(&mut program, function, ".NET", wanted, &dotnet.found);
    program.words = vec![dotnet.found.program.display().to_string(), "exec".to_owned()];
    if !program.notes.is_empty() {
        // What is for an older one is not started without.
        program.words.extend(["--roll-forward", "Major"].map(str::to_owned));
    }
    program.words.extend(words);
    Ok(program)
}

/// Lets a function see a .NET.
fn show(program: &mut Program, dotnet: &Dotnet) {
    program.seen.clone_from(&dotnet.found.seen);
    program.variables = vec![("DOTNET_ROOT", dotnet.root().display().to_string())];
}

/// Our client, compiled.
fn compiled(function: &Function, dotnet: &Dotnet) -> Result<Vec<u8>> {
    let compiler = dotnet.compiler().ok_or_else(|| {
        missing(function, "a C# compiler for what speaks to Lambda", "install the .NET SDK, not its runtime alone")
    })?;
    let framework = dotnet.framework();
    let with = [compiler.display().to_string(), framework.display().to_string()];
    super::compiled("dotnet", &with.each_ref().map(String::as_str), SOURCES, || compile(dotnet, &compiler, &framework))
}

fn compile(dotnet: &Dotnet, compiler: &Path, framework: &Path) -> Result<Vec<u8>> {
    let scratch = fsio::scratch_dir()?;
    let out = scratch.path().join(CLIENT);
    let mut options = vec!["-target:exe".to_owned(), format!("-out:\"{}\"", out.display())];
    let entries = std::fs::read_dir(framework).map_err(|e| Error::io("read", framework, &e))?;
    let assemblies =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.extension() == Some("dll".as_ref()));
    options.extend(assemblies.map(|assembly| format!("-r:\"{}\"", assembly.display())));
    for (name, text) in SOURCES {
        let file = scratch.path().join(name);
        fsio::write_new(&file, text.as_bytes(), false)?;
        options.push(format!("\"{}\"", file.display()));
    }
    let response = scratch.path().join("options.rsp");
    fsio::write_new(&response, options.join("\n").as_bytes(), false)?;
    // By what was asked for it: a script may know how to start it here.
    let tool = Tool::new(&dotnet.asked).arg("exec").arg(compiler);
    let tool = tool.args(["-nologo", "-noconfig", "-deterministic", "-optimize"]);
    tool.arg(format!("@{}", response.display())).run()?;
    std::fs::read(&out).map_err(|e| Error::io("read", &out, &e))
}

fn absent(function: &Function, root: &str, ending: &str) -> Error {
    Error::failed(format!(
        "`{}` cannot be run: .NET binaries for Lambda function are not correctly installed in the {root} directory: it is \
         missing the required {ending} file",
        function.name
    ))
    .hint("pack what `dotnet publish` leaves, and set `GenerateRuntimeConfigurationFiles` to `true` in the project")
}
