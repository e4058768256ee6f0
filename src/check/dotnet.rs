//! Handlers of .NET (`handler-not-found`, `handler-malformed`), and `framework-missing`.
//!
//! Sources: `bootstrap.sh` of aws-lambda-dotnet, which starts `dotnet exec` with the files beside the assembly, or a program as it
//! is; "Select which .NET version to use" in the documentation of .NET, for what the host takes instead of a framework. Lambda's
//! runtimes have the one that they are named after, and ASP.NET Core of the same version (the Dockerfiles there).

use serde::Deserialize;

use super::Subject;
use super::handler::{malformed, nearest_hint, not_found};
use crate::finding::{Finding, Rule};
use crate::tree::{Entry, Tree};

/// Frameworks of the runtimes.
const FRAMEWORKS: [&str; 2] = ["Microsoft.NETCore.App", "Microsoft.AspNetCore.App"];

/// `ASSEMBLY::TYPE::METHOD`, or the name of an assembly that is a program.
pub(super) fn check_handler(subject: &Subject<'_>, handler: &str) -> Vec<Finding> {
    let tree = subject.tree;
    let parts: Vec<&str> = handler.split("::").collect();
    let (assembly, is_program) = match parts.as_slice() {
        [assembly] => (assembly.strip_suffix(".dll").unwrap_or(assembly), true),
        [assembly, _, _] if parts.iter().all(|part| !part.is_empty()) => (*assembly, false),
        _ => {
            return vec![malformed(
                format!(
                    "LambdaValidationException: Invalid lambda function handler: '{handler}'. The valid format is 'ASSEMBLY::TYPE::METHOD'."
                ),
                "write it as `Assembly::Namespace.Class::Method`, or as the assembly's name alone for a program",
            )];
        }
    };
    let wanted = format!("{assembly}.dll");
    if !tree.contains(&wanted) {
        if is_program && matches!(tree.get(handler), Some(Entry::File { executable: true, .. })) {
            return Vec::new(); // a program of machine code
        }
        return vec![not_found(
            format!(
                "Could not find the specified handler assembly with the file name '{assembly}' (looked for `{wanted}` at the root)"
            ),
            nearest_hint(tree, &wanted, ".dll", |file| {
                let found = file.trim_end_matches(".dll");
                if is_program { found.to_owned() } else { handler.replacen(assembly, found, 1) }
            }),
        )];
    }
    let config = beside_assembly(tree, assembly, ".runtimeconfig.json", is_program);
    // Without the other file, a program takes what lies beside it.
    let is_listed = is_program || beside_assembly(tree, assembly, ".deps.json", false).is_some();
    let missing = [(".deps.json", is_listed), (".runtimeconfig.json", config.is_some())];
    let mut findings: Vec<Finding> = missing
        .iter()
        .filter(|(_, is_there)| !is_there)
        .map(|(ending, _)| {
            not_found(
                format!(".NET binaries for Lambda function are not correctly installed in the /var/task directory: it is missing the required {ending} file"),
                "pack what `dotnet publish` leaves, and set `GenerateRuntimeConfigurationFiles` to `true` in the project".to_owned(),
            )
        })
        .collect();
    findings.extend(config.and_then(|path| check_framework(subject, &path)));
    findings
}

/// The assembly's own file with this ending, else the only one, but not for a program.
pub(crate) fn beside_assembly(tree: &Tree, assembly: &str, ending: &str, is_program: bool) -> Option<String> {
    let own = format!("{assembly}{ending}");
    if is_program || tree.contains(&own) {
        return tree.contains(&own).then_some(own);
    }
    let mut all = tree.iter().map(|(path, _)| path.as_str()).filter(|p| !p.contains('/') && p.ends_with(ending));
    match (all.next(), all.next()) {
        (Some(only), None) => Some(only.to_owned()),
        _ => None,
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    runtime_options: Options,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Options {
    framework: Option<Framework>,
    frameworks: Vec<Framework>,
    roll_forward: String,
}

#[derive(Debug, Deserialize)]
struct Framework {
    name: String,
    version: String,
    #[serde(default, rename = "rollForward")]
    roll_forward: String,
}

fn check_framework(subject: &Subject<'_>, path: &str) -> Option<Finding> {
    let Options { framework, frameworks, roll_forward } =
        serde_json::from_slice::<Config>(&subject.tree.get(path)?.read().ok()?).ok()?.runtime_options;
    let major = |version: &str| version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    let runtime = subject.runtime.id.trim_start_matches("dotnet").trim_start_matches("core");
    let has = major(runtime)?;
    // What is set from outside wins.
    let set = subject.environment.get("DOTNET_ROLL_FORWARD").cloned();
    let goes_up = |own: &str| {
        let how = set.as_deref().unwrap_or(if own.is_empty() { &roll_forward } else { own }).to_ascii_lowercase();
        how == "major" || how == "latestmajor"
    };
    let lacks = |wanted: &Framework| match major(&wanted.version) {
        _ if !FRAMEWORKS.contains(&wanted.name.as_str()) => true,
        Some(version) => version > has || version < has && !goes_up(&wanted.roll_forward),
        None => false,
    };
    let wanted = framework.into_iter().chain(frameworks).find(lacks)?;
    let (name, version) = (&wanted.name, &wanted.version);
    let message = format!(
        "You must install or update .NET to run this application. Framework: '{name}', version '{version}'; `{}` has version {runtime}",
        subject.runtime.id
    );
    let hint = match major(version) {
        Some(older) if older < has => "set `TargetFramework` to that of the runtime, or `RollForward` to `Major`",
        _ => "set `TargetFramework` to that of the runtime, or choose the runtime of that version",
    };
    Some(Finding::new(Rule::FrameworkMissing, message, hint).path(path))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check_files, check_tree};
    use crate::tree::{ArchivePath, Entry};

    #[test]
    fn dotnet_handlers() {
        let dotnet = |handler: &str, files: &[&str]| {
            let files: Vec<(&str, &str)> = files.iter().map(|file| (*file, "")).collect();
            check_files("dotnet8", handler, &files)
        };
        let all = ["Api.dll", "Api.deps.json", "Api.runtimeconfig.json"];
        for handler in ["Api::Api.Function::Handle", "Api", "Api.dll"] {
            assert_eq!(dotnet(handler, &all), Vec::<String>::new(), "{handler}");
        }
        assert!(dotnet("Ap::Api.Function::Handle", &all)[0].contains("Could not find the specified handler assembly"));
        assert!(dotnet("Api::Handle", &all)[0].starts_with("handler-malformed"));
        let missing = dotnet("Api::Api.Function::Handle", &all[..2]);
        assert!(missing.len() == 1 && missing[0].contains("the required .runtimeconfig.json file"), "{missing:?}");
        // A program needs no list of what lies beside it; a class library may have another one's.
        assert_eq!(dotnet("Api", &[all[0], all[2]]), Vec::<String>::new());
        assert_eq!(dotnet("Api", &[all[0], "Other.runtimeconfig.json"]).len(), 1);
        assert_eq!(dotnet("Api::A::B", &[all[0], all[1], "Other.runtimeconfig.json"]), Vec::<String>::new());
        let program = [(ArchivePath::new("Api").unwrap(), Entry::bytes(b"x".as_slice(), true))].into_iter().collect();
        assert_eq!(check_tree("dotnet8", "Api", &program), Vec::<String>::new());
    }

    #[test]
    fn a_framework_is_that_of_the_runtime_or_rolls_forward() {
        let check = |options: &str| {
            let config = format!("{{\"runtimeOptions\": {{{options}}}}}");
            check_files("dotnet8", "Api", &[("Api.dll", ""), ("Api.runtimeconfig.json", &config)])
        };
        let of = |version: &str| {
            format!("\"framework\": {{\"name\": \"Microsoft.NETCore.App\", \"version\": \"{version}\"}}")
        };
        assert_eq!(check(&of("8.0.0")), Vec::<String>::new());
        let newer = check(&of("10.0.0"));
        assert_eq!(
            newer,
            [
                "framework-missing: You must install or update .NET to run this application. Framework: 'Microsoft.NETCore.App', version '10.0.0'; `dotnet8` has version 8"
            ]
        );
        assert_eq!(check(&of("6.0.0")).len(), 1);
        assert_eq!(check(&format!("{}, \"rollForward\": \"Major\"", of("6.0.0"))), Vec::<String>::new());
        assert_eq!(check(&format!("{}, \"rollForward\": \"Major\"", of("10.0.0"))).len(), 1);
        let desktop = r#""frameworks": [{"name": "Microsoft.WindowsDesktop.App", "version": "8.0.0"}]"#;
        assert_eq!(check(desktop).len(), 1);
        assert_eq!(check(&desktop.replace("WindowsDesktop", "AspNetCore")), Vec::<String>::new());
    }
}
