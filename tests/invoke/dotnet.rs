//! Functions of .NET: class libraries by our client and by the one that they bring, and programs, with a real .NET; how they are
//! started, with a fake one.

use super::*;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::OnceLock;

/// What the real SDK makes of the fixture, by function; once for all tests.
fn made(bin: &Path) -> &'static Path {
    static MADE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let make = || {
        let project = Project::copy_of("dotnet-handlers");
        let mut config = "[defaults]\nruntime = 'dotnet8'\narchitecture = 'x86_64'\n".to_owned();
        for (name, handler) in [
            ("library", "Library::Example.Handlers::Take"),
            ("brought", "Brought::Brought.Function::Handle"),
            ("program", "Worker"),
        ] {
            config += &format!("[functions.{name}]\npath = '{name}'\nhandler = '{handler}'\n");
        }
        project.write("lambda-pack.toml", &config);
        let run = Run::of(project.command(&["build"]).env("PATH", common::with_path(bin)), &project.path(""));
        assert_eq!(run.code, 0, "{}", run.transcript());
        let dir = tempfile::tempdir().unwrap();
        for name in ["library", "brought", "program"] {
            common::copy(&project.unpack(&format!("{name}.zip")).path(""), &dir.path().join(name));
        }
        dir
    };
    MADE.get_or_init(make).path()
}

/// Functions `f0` and so on of these packages and handlers.
fn ready(bin: &Path, all: &[(&str, &str)], lines: &str) -> Project {
    let project = Project::empty();
    let mut config = format!("[defaults]\nruntime = 'dotnet8'\narchitecture = 'x86_64'\ntimeout = 8\n{lines}");
    for (at, (name, handler)) in all.iter().enumerate() {
        if !project.path(name).exists() {
            common::copy(&made(bin).join(name), &project.path(name));
        }
        config += &format!("[functions.f{at}]\npath = '{name}'\nhandler = '{handler}'\n");
    }
    project.write("lambda-pack.toml", &config);
    project
}

const HANDLERS: &str = "Library::Example.Handlers::";

#[test]
fn a_class_library_answers_in_every_form() {
    let Some(bin) = common::dotnet() else { return };
    let names: Vec<String> =
        ["Take", "Raw", "Nothing", "Fails", "Ends", "Twice", "System.String Twice(System.String)", "Absent", "State"]
            .iter()
            .map(|method| format!("{HANDLERS}{method}"))
            .chain(
                ["Library::Example.Nowhere::Take", "Library::Example.NotMade::Take", "Lib::Example.Handlers::Take"]
                    .map(str::to_owned),
            )
            .collect();
    let all: Vec<(&str, &str)> = names.iter().map(|name| ("library", name.as_str())).collect();
    // The rules would refuse one of them, and a handler with a space in it.
    let project = ready(&bin, &all, "[checks]\nhandler-not-found = 'ignore'\nhandler-malformed = 'ignore'\n");
    let served =
        serve::serve_by(project.command(&["invoke", "--serve", "127.0.0.1:0"]).env("PATH", common::with_path(&bin)));
    let answer = |at: usize, event: &str| {
        // {"custom":{"a":"b"},"client":{"app_title":"t"}}
        let context = "eyJjdXN0b20iOnsiYSI6ImIifSwiY2xpZW50Ijp7ImFwcF90aXRsZSI6InQifX0=";
        let head = format!(
            "POST /2015-03-31/functions/f{at}/invocations HTTP/1.1\r\nConnection: close\r\nX-Amz-Client-Context: {context}\r\n"
        );
        let said = served.raw(&format!("{head}Content-Length: {}\r\n\r\n{event}", event.len()));
        let (head, body) = said.split_once("\r\n\r\n").unwrap();
        let mut body: Value = serde_json::from_str(body).unwrap_or_else(|_| json!(body));
        let stack = body.as_object_mut().and_then(|body| body.remove("stackTrace")).unwrap_or_default();
        (head.to_ascii_lowercase().contains("x-amz-function-error"), body, stack)
    };
    let order = r#"{"Customer": "Zo", "Count": 1}"#;
    assert_eq!(answer(0, order).1, json!({"Customer": "Zoé", "Count": 2}));
    // The environment is warm.
    assert_eq!(answer(0, order).1, json!({"Customer": "Zoé", "Count": 3}));
    assert_eq!(answer(1, r#"["as it is"]"#).1, json!(["as it is"]));
    assert_eq!(answer(2, "{}").1, json!(""));
    assert_eq!(answer(6, "\"one\"").1, json!("one"));
    let state = answer(8, "1").1;
    assert_eq!((&state["custom"], &state["title"]), (&json!("b"), &json!("t")), "{state}");
    let (is_error, failed, stack) = answer(3, "\"e\"");
    assert!(
        is_error
            && stack[0]
                .as_str()
                .unwrap()
                .contains("Example.Handlers.Fails(String input) in /src/library/Handlers.cs:line "),
        "{stack}"
    );
    assert!(!stack.to_string().contains("LambdaPack"), "{stack}");
    let mut cause = failed["cause"].clone();
    cause.as_object_mut().unwrap().remove("stackTrace");
    assert_eq!(cause, json!({"errorType": "IOException", "errorMessage": "for a reason"}));
    assert_eq!((&failed["errorType"], &failed["errorMessage"]), (&json!("ArgumentException"), &json!("no good: e")));
    assert_eq!(answer(0, r#"{"Count": "one"}"#).1["errorType"], "JsonException");
    for (at, event, kind, message) in [
        (4, "\"sleep\"", "Sandbox.Timedout", "Task timed out after 8.00 seconds"),
        (4, "\"exit\"", "Runtime.ExitError", "Runtime exited with error: exit status 7"),
        (4, "\"big\"", "Function.ResponseSizeTooLarge", "Response payload size exceeded maximum allowed payload size"),
        (
            5,
            "\"e\"",
            "LambdaValidationException",
            "The method 'Twice' in type 'Example.Handlers' appears to have a number of overloads.",
        ),
        (7, "\"e\"", "LambdaValidationException", "Found no methods matching method name 'Absent'"),
        (9, "\"e\"", "LambdaValidationException", "Unable to load type 'Example.Nowhere' from assembly 'Library'."),
        (10, "\"e\"", "InvalidOperationException", "cannot be made"),
        (
            11,
            "\"e\"",
            "LambdaValidationException",
            "Could not find the specified handler assembly with the file name 'Lib",
        ),
    ] {
        let (is_error, body, _) = answer(at, event);
        assert!(is_error && body["errorType"] == kind, "{at} {event} {body}");
        assert!(body["errorMessage"].as_str().unwrap().contains(message), "{at} {event} {body}");
    }
}

/// With bubblewrap, with `unshare` alone, and with neither.
#[test]
fn dotnet_runs_behind_every_wall() {
    let Some(bin) = common::dotnet() else { return };
    let state = format!("{HANDLERS}State");
    let all = [("library", state.as_str()), ("brought", "Brought::Brought.Function::Handle"), ("program", "Worker")];
    let project = ready(&bin, &all, "");
    let only_unshare = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/usr/bin/unshare", only_unshare.path().join("unshare")).unwrap();
    let can = Command::new("unshare").args(["--user", "--map-root-user", "--mount", "true"]).output().unwrap();
    let paths = [
        common::with_path(&bin),
        std::env::join_paths([bin.as_path(), only_unshare.path()]).unwrap(),
        bin.as_os_str().to_owned(),
    ];
    for (at, path) in paths.iter().enumerate() {
        let args = ["invoke", "f0", "--event", "-"];
        let run = said(project.command(&args).env("PATH", path), r#"{"a": [1]}"#);
        assert_eq!(run.code, 0, "{at} {}", run.transcript());
        let is_walled = at == 0 || at == 1 && can.status.success();
        assert_eq!(run.stderr.contains("in a plain folder"), !is_walled, "{}", run.stderr);
        assert!(run.stderr.contains("a line of the log: é\nEND RequestId: "), "{}", run.stderr);
        let note = "warning: .NET 3.1.2 is used, since there is no .NET 8 here, which `dotnet8` has\n";
        assert!(run.stderr.contains(note), "{}", run.stderr);
        let mut said = json_of(&run);
        let cwd = said.as_object_mut().unwrap().remove("cwd").unwrap();
        let refused = said.as_object_mut().unwrap().remove("refused").unwrap();
        if is_walled {
            assert_eq!((cwd, refused), (json!("/var/task"), json!("Read-only file system")), "{}", run.stderr);
        }
        assert_eq!(
            said,
            json!({"input": {"a": [1]}, "id": 36, "function": "f0", "arn": "arn:aws:lambda:us-east-1:123456789012:function:f0",
                "memory": 128, "left": true, "custom": null, "title": null, "identity": true, "execution": "AWS_Lambda_dotnet8"})
        );
    }
    let brought = said(project.command(&["invoke", "f1", "--event", "-"]).env("PATH", &paths[0]), "[1]");
    assert_eq!(json_of(&brought), json!(["Brought::Brought.Function::Handle", [1], 1]), "{}", brought.stderr);
    for path in &paths {
        let program = said(project.command(&["invoke", "f2", "--event", "-"]).env("PATH", path), "[1]");
        assert_eq!(json_of(&program), json!(["program Worker", [1], 1]), "{}", program.stderr);
    }
}

/// A host that answers with what it was started with, and a compiler that leaves something.
const DOTNET: &str = r#"#!/usr/bin/perl
use strict;
use IO::Socket::INET;
use Cwd qw(abs_path);
my $root = abs_path($0);
$root =~ s{/[^/]*$}{};
if ($ARGV[0] eq '--list-runtimes') {
    print "Microsoft.AspNetCore.App 8.0.11 [$root/shared/Microsoft.AspNetCore.App]\n";
    print "Microsoft.NETCore.App $_ [$root/shared/Microsoft.NETCore.App]\n" for '6.0.1', '8.0.11';
    exit;
}
if ($ARGV[1] =~ /csc\.dll$/) {
    open my $options, '<', substr $ARGV[-1], 1;
    my ($out) = map { /^-out:"(.*)"$/ } <$options>;
    open my $client, '>', $out;
    exit;
}
sub call {
    my ($head, $body) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => $ENV{AWS_LAMBDA_RUNTIME_API}) or exit 1;
    my $length = length $body;
    print $socket "$head HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: $length\r\n\r\n$body";
    local $/;
    return <$socket>;
}
my $next = '/2018-06-01/runtime/invocation';
while (1) {
    my ($head, $event) = split /\r\n\r\n/, call("GET $next/next", ''), 2;
    $head =~ /request-id: (\S+)/i or exit 1;
    my $args = join ',', map { "\"$_\"" } @ARGV;
    call("POST $next/$1/response", "{\"args\": [$args], \"event\": $event, \"root\": \"$ENV{DOTNET_ROOT}\"}");
}
"#;

/// A function of a runtime whose package is ready, with these files.
fn packed(runtime: &str, handler: &str, files: &[&str]) -> Project {
    let project = Project::empty();
    for file in files {
        project.write(&format!("f/{file}"), "{}");
    }
    let arch = host_architecture();
    project.write(
        "lambda-pack.toml",
        &format!("[functions.f]\npath = 'f'\nruntime = '{runtime}'\nhandler = '{handler}'\narchitecture = '{arch}'\ntimeout = 20\n[checks]\nhandler-not-found = 'ignore'\n"),
    );
    project
}

#[test]
fn dotnet_is_started_as_on_lambda() {
    // Where it is installed, `PATH` leads to it by a link.
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap().join("net 8");
    for folder in [
        "host",
        "shared/Microsoft.NETCore.App/8.0.11",
        "shared/Microsoft.NETCore.App/6.0.1",
        "sdk/8.0.404/Roslyn/bincore",
    ] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    std::fs::write(root.join("sdk/8.0.404/Roslyn/bincore/csc.dll"), "").unwrap();
    let program = root.join("dotnet");
    std::fs::write(&program, DOTNET).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::create_dir(dir.path().join("bin")).unwrap();
    std::os::unix::fs::symlink(&program, dir.path().join("bin/dotnet")).unwrap();
    let run = |project: &Project| {
        let path = common::with_path(&dir.path().join("bin"));
        said(project.command(&["invoke", "f", "--event", "-"]).env("PATH", path), "[1]")
    };
    let args = |run: &Run| {
        let said = json_of(run);
        let told = (run.code, &said["event"], &said["root"]);
        assert_eq!(told, (0, &json!([1]), &json!(root)), "{}", run.stderr);
        said["args"].clone()
    };
    let beside = ["Api.dll", "Api.deps.json", "Api.runtimeconfig.json"];
    // A program.
    let run_of_program = run(&packed("dotnet8", "Api", &beside));
    assert_eq!(args(&run_of_program), json!(["exec", "/var/task/Api.dll"]));
    assert!(!run_of_program.stderr.contains(" is used, since "), "{}", run_of_program.stderr);
    // For a version that is not here.
    let run_of_other = run(&packed("dotnet10", "Api", &beside));
    assert_eq!(args(&run_of_other), json!(["exec", "--roll-forward", "Major", "/var/task/Api.dll"]));
    let note = "warning: .NET 8.0.11 is used, since there is no .NET 10 here, which `dotnet10` has\n";
    assert!(run_of_other.stderr.contains(note), "{}", run_of_other.stderr);
    // A class library with what speaks to Lambda.
    let handler = "Api::Api.Function::Handle";
    let library = ["Api.dll", "Api.deps.json", "Other.runtimeconfig.json"];
    let (deps, config) = ("/var/task/Api.deps.json", "/var/task/Other.runtimeconfig.json");
    assert_eq!(
        args(&run(&packed("dotnet8", handler, &library))),
        json!(["exec", "--depsfile", deps, "--runtimeconfig", config, "/var/runtime/LambdaPack.Client.dll", handler])
    );
    // What cannot be started says what is missing.
    for (handler, files, said) in [
        (
            handler,
            &library[..2],
            "is missing the required .runtimeconfig.json file\n  hint: pack what `dotnet publish` leaves",
        ),
        (
            "Other",
            &beside[..],
            "executable assembly /var/task/Other.dll or binary /var/task/Other not found.\n  hint: the handler of a program is",
        ),
    ] {
        let run = run(&packed("dotnet8", handler, files));
        assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{}", run.stderr);
        assert!(run.stderr.contains(said), "{}", run.stderr);
    }
    std::fs::remove_dir_all(root.join("sdk")).unwrap();
    let without = run(&packed("dotnet8", handler, &library));
    assert!(
        without.stderr.contains(
            "needs a C# compiler for what speaks to Lambda to run, and there is none here\n  hint: install the .NET SDK"
        ),
        "{}",
        without.stderr
    );
}
