//! .NET: by a real SDK, and by a fake one what that one is too old for (other processors, programs with the framework in them).

use super::*;

/// Runs with the real `dotnet`, which keeps packages in a folder of the test.
fn real(bin: &Path, folder: &Path, packages: &Path, args: &[&str]) -> Run {
    let mut command = common::binary();
    command.args(args).current_dir(folder).env("PATH", common::with_path(bin)).env("NUGET_PACKAGES", packages);
    // A folder that an SDK has not been started in yet: it would write there.
    Run::of(command.env("HOME", packages.parent().unwrap()), folder)
}

/// Makes the package of the fixture, of this version.
fn pack(bin: &Path, project: &Project, packages: &Path, version: &str) {
    let scratch = tempfile::tempdir().unwrap();
    let mut command = Command::new(bin.join("dotnet"));
    command.args(["pack", "text", "-nologo", "-nodeReuse:false", "--output", "feed", "--artifacts-path"]);
    command.arg(scratch.path()).arg(format!("-p:Version={version}")).env("NUGET_PACKAGES", packages);
    let output = command.current_dir(project.path("")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// What it needs of NuGet, and of the project beside it, with the lock that `dotnet restore` writes; the same bytes in another
/// folder, nothing of this machine in them, and nothing written into the project.
#[test]
fn a_real_sdk_builds_what_a_class_library_needs() {
    let Some(bin) = common::dotnet() else { return };
    let project = Project::copy_of("dotnet-library");
    let home = tempfile::tempdir().unwrap();
    let packages = home.path().join("packages");
    let build = |args: &[&str]| real(&bin, &project.path(""), &packages, args);
    pack(&bin, &project, &packages, "1.2.0");
    // No lock, and none is left; with `--locked` one is asked for.
    let before = state(&project);
    let run = build(&["build"]);
    assert_eq!(run.code, 0, "{}", run.transcript());
    assert_eq!(state(&project), before);
    assert_eq!(build(&["build", "--locked"]).code, 2);
    let first = fs::read(project.out("api.zip")).unwrap();
    let mut restore = Command::new(bin.join("dotnet"));
    restore.args(["restore", "api", "-nologo"]).env("NUGET_PACKAGES", &packages).current_dir(project.path(""));
    assert!(restore.output().unwrap().status.success());
    for made in ["api/obj", "shared/obj"] {
        fs::remove_dir_all(project.path(made)).unwrap();
    }
    // That lock has no section for the processor.
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("deeper/mit Leerzeichen; é und 日本 %");
    common::copy(&project.path(""), &copy);
    let before = state(&project);
    let run = real(&bin, &copy, &packages, &["build", "--locked", "--offline"]);
    assert_eq!(run.code, 0, "{}", run.transcript());
    assert!(run.stdout.contains("1 package (") && run.stdout.contains("Example.Text"), "{}", run.stdout);
    assert!(!run.stdout.contains("not up to date"), "{}", run.stdout);
    assert!(fs::read(copy.join("target/lambda-pack/api.zip")).unwrap() == first, "it depends on its folder");
    let unpacked = project.unpack("api.zip");
    let files = [
        "Api.deps.json",
        "Api.dll",
        "Api.pdb",
        "Api.runtimeconfig.json",
        "Example.Text.dll",
        "Shared.dll",
        "Shared.pdb",
    ];
    assert_eq!(unpacked.files(), files);
    for file in files {
        let bytes = fs::read(unpacked.path(file)).unwrap();
        for folder in [project.path(""), home.path().to_owned()] {
            let name = folder.display().to_string();
            assert!(!bytes.windows(name.len()).any(|part| part == name.as_bytes()), "{file} names {name}");
        }
    }
    // A lock that is not right, which stays as it is.
    pack(&bin, &project, &packages, "1.3.0");
    let csproj = project.read("api/Api.csproj").replace("1.2.0", "1.3.0");
    project.write("api/Api.csproj", &csproj);
    let said = "`packages.lock.json` is not up to date: Example.Text (1.3.0, was 1.2.0) of Api";
    let run = build(&["build", "--locked"]);
    assert!(run.code == 2 && run.stderr.contains(said), "{}", run.transcript());
    let lock = "api/packages.lock.json";
    assert_eq!(state(&project)[lock], before[lock]);
}

/// Errors are those of the compiler, by file and line; what only fails on Lambda is found.
#[test]
fn a_real_sdk_says_what_is_wrong() {
    let Some(bin) = common::dotnet() else { return };
    let project = Project::copy_of("dotnet-library");
    fs::create_dir(project.path("feed")).unwrap();
    let home = tempfile::tempdir().unwrap();
    let build = || real(&bin, &project.path(""), &home.path().join("packages"), &["build"]);
    let run = build();
    assert_eq!(run.code, 1, "{}", run.transcript());
    assert!(run.stderr.contains("error NU1101: Unable to find package Example.Text"), "{}", run.stderr);
    assert!(run.stderr.contains("  hint: name the package's source in a `nuget.config`"), "{}", run.stderr);
    let csproj = project.read("api/Api.csproj");
    let csproj = csproj.replace("    <PackageReference Include=\"Example.Text\" Version=\"1.2.0\" />\n", "");
    project.write("api/Api.csproj", &csproj.replace("    <RollForward>Major</RollForward>\n", ""));
    project.write("shared/Greeting.cs", "namespace Shared\n{\n    class Greeting { Missing x; }\n}\n");
    let run = build();
    assert_eq!(
        run.stderr,
        "error: function `api`: `dotnet publish` failed:\n  shared/Greeting.cs(3,22): error CS0246: The type or namespace name \
         'Missing' could not be found (are you missing a using directive or an assembly reference?)\n"
    );
    project.write("shared/Greeting.cs", "");
    project.write("api/Function.cs", "");
    let run = build();
    assert_eq!(run.code, 3, "{}", run.transcript());
    assert!(
        run.stderr.contains("error[framework-missing] api: Api.runtimeconfig.json: You must install or update .NET"),
        "{}",
        run.stderr
    );
}

/// A `dotnet` that notes what it was asked, and leaves what the real one does.
const DOTNET: &str = r#"#!/bin/sh
printf '%s\n' "$@" > "$RECORD"
while [ $# -gt 0 ]; do
  case $1 in --output) out=$2 ;; esac
  shift
done
case $FAKE in
  fails) echo "Function.cs(3,9): error CS0103: The name 'x' does not exist"; exit 1 ;;
esac
mkdir -p "$out" && cp -r "$LEAVES"/. "$out"
"#;

/// Builds with that `dotnet`, which leaves these files; the arguments that it was given.
fn fake(project: &Project, leaves: &[(&str, &str)], args: &[&str], how: &str) -> (Run, Vec<String>) {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &Path, text: &str| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    write(&dir.path().join("bin/dotnet"), DOTNET);
    fs::create_dir_all(dir.path().join("leaves")).unwrap();
    leaves.iter().for_each(|(name, text)| write(&dir.path().join("leaves").join(name), text));
    let record = dir.path().join("record");
    let mut command = project.command(args);
    command.env("PATH", common::with_path(&dir.path().join("bin")));
    command.env("RECORD", &record).env("LEAVES", dir.path().join("leaves")).env("FAKE", how);
    let run = Run::of(&mut command, &project.path(""));
    (run, fs::read_to_string(record).unwrap_or_default().lines().map(str::to_owned).collect())
}

const DEPS: &str = r#"{"targets": {"net8.0/linux-arm64": {"Api/1.0.0": {"runtime": {"Api.dll": {}}},
    "Newtonsoft.Json/13.0.3": {"runtime": {"lib/net6.0/Newtonsoft.Json.dll": {}}}}},
    "libraries": {"Api/1.0.0": {"type": "project"}, "Newtonsoft.Json/13.0.3": {"type": "package"}}}"#;

#[test]
fn dotnet_publishes_for_the_runtimes_framework() {
    let csproj = "<Project Sdk=\"Microsoft.NET.Sdk\"><PropertyGroup><TargetFramework>net8.0</TargetFramework></PropertyGroup></Project>";
    let project = project(&[
        ("Api.csproj", csproj),
        ("Function.cs", "class Function { }\n"),
        ("aws-lambda-tools-defaults.json", "{\"function-handler\": \"Api::Api.Function::Handle\"}"),
    ]);
    let leaves = [
        ("Api.dll", "dll"),
        ("Api.deps.json", DEPS),
        ("Api.runtimeconfig.json", "{}"),
        ("Newtonsoft.Json.dll", "json"),
    ];
    let (run, asked) = fake(&project, &leaves, &["build", "--arch", "arm64"], "");
    assert_eq!(run.code, 0, "{}", run.transcript());
    assert!(run.stdout.starts_with("project  dotnet8 · arm64 · Api::Api.Function::Handle\n"), "{}", run.stdout);
    assert!(run.stdout.contains("1 package") && run.stdout.contains("Newtonsoft.Json"), "{}", run.stdout);
    assert_eq!(
        project.unpack("project.zip").files(),
        ["Api.deps.json", "Api.dll", "Api.runtimeconfig.json", "Newtonsoft.Json.dll"]
    );
    assert_eq!(asked[..2], ["publish".to_owned(), project.path("Api.csproj").display().to_string()]);
    for (option, value) in [("--configuration", "Release"), ("--runtime", "linux-arm64"), ("--self-contained", "false")]
    {
        assert!(asked.windows(2).any(|pair| pair == [option, value]), "{asked:?}");
    }
    let map = format!("%2C{}=/src%2C", project.path("").display());
    assert!(asked.iter().any(|argument| argument.starts_with("-p:PathMap=") && argument.contains(&map)), "{asked:?}");
    // Not what the real one leaves.
    let (run, _) = fake(&project, &leaves[..2], &["build"], "");
    assert!(run.code == 3 && run.stderr.contains("the required .runtimeconfig.json file"), "{}", run.transcript());
    let (run, _) = fake(&project, &leaves[1..], &["build"], "");
    assert!(
        run.code == 3 && run.stderr.contains("Could not find the specified handler assembly"),
        "{}",
        run.transcript()
    );
    let (run, _) = fake(&project, &leaves, &["build"], "fails");
    assert!(run.code == 1 && run.stderr.contains("error CS0103: The name 'x' does not exist"), "{}", run.transcript());
    let (run, _) = fake(&project, &leaves, &["build", "--locked"], "");
    assert!(run.code == 2 && run.stderr.contains("`packages.lock.json` is missing"), "{}", run.transcript());
}

#[test]
fn a_dotnet_program_becomes_bootstrap() {
    let csproj = "<Project Sdk=\"Microsoft.NET.Sdk\"><PropertyGroup><OutputType>Exe</OutputType><PublishAot>true</PublishAot></PropertyGroup></Project>";
    let project = project(&[("Worker.csproj", csproj), ("Program.cs", "")]);
    let args = ["build", "--runtime", "provided.al2023"];
    let (run, asked) = fake(&project, &[("Worker", "#!/bin/sh\n"), ("appsettings.json", "{}")], &args, "");
    assert_eq!(run.code, 0, "{}", run.transcript());
    assert!(run.stdout.contains("`Worker.csproj`, compiled ahead of time, for linux-x64"), "{}", run.stdout);
    assert!(asked.windows(2).any(|pair| pair == ["--self-contained", "true"]), "{asked:?}");
    assert_eq!(project.unpack("project.zip").files(), ["appsettings.json", "bootstrap"]);
    let (run, _) = fake(&project, &[("Worker.dll", "")], &args, "");
    assert!(run.code == 1 && run.stderr.contains("made no program `Worker`"), "{}", run.transcript());
}
