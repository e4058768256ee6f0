//! Functions of .NET: how they are started. There is no .NET here, so that a script stands for it, which speaks to the Runtime
//! API as the real one would.

use super::*;
use std::os::unix::fs::PermissionsExt as _;

/// Answers with what it was started with.
const DOTNET: &str = r#"#!/usr/bin/perl
use strict;
use IO::Socket::INET;
sub call {
    my ($head, $body) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => $ENV{AWS_LAMBDA_RUNTIME_API}) or exit 1;
    my $length = length $body;
    print $socket "$head HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: $length\r\n\r\n$body";
    local $/;
    return <$socket>;
}
my $root = '/2018-06-01/runtime/invocation';
while (1) {
    my ($head, $event) = split /\r\n\r\n/, call("GET $root/next", ''), 2;
    $head =~ /request-id: (\S+)/i or exit 1;
    my $args = join ',', map { "\"$_\"" } @ARGV;
    call("POST $root/$1/response", "{\"args\": [$args], \"event\": $event}");
}
"#;

/// A function whose package is ready, with these files.
fn dotnet(handler: &str, files: &[&str]) -> Project {
    let project = Project::empty();
    for file in files {
        project.write(&format!("f/{file}"), "{}");
    }
    let arch = host_architecture();
    project.write(
        "lambda-pack.toml",
        &format!("[functions.f]\npath = 'f'\nruntime = 'dotnet8'\nhandler = '{handler}'\narchitecture = '{arch}'\ntimeout = 20\n[checks]\nhandler-not-found = 'ignore'\n"),
    );
    project
}

/// What is said to an event, with that `dotnet` first on PATH.
fn ask(project: &Project) -> Run {
    let bin = tempfile::tempdir().unwrap();
    let program = bin.path().join("dotnet");
    std::fs::write(&program, DOTNET).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = project.command(&["invoke", "f", "--event", "-"]);
    command.env("PATH", common::with_path(bin.path())).stdin(Stdio::piped());
    let mut child = start(&mut command);
    child.0.stdin.take().unwrap().write_all(b"[1]").unwrap();
    let (code, stdout, stderr) = child.output();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Run { code, stdout: text(stdout), stderr: text(stderr) }
}

#[test]
fn dotnet_is_started_as_on_lambda() {
    let beside = ["Api.dll", "Api.deps.json", "Api.runtimeconfig.json"];
    let args = |run: &Run| {
        let said = json_of(run);
        assert_eq!((run.code, &said["event"]), (0, &json!([1])), "{}", run.stderr);
        said["args"].clone()
    };
    // A program.
    assert_eq!(args(&ask(&dotnet("Api", &beside))), json!(["exec", "/var/task/Api.dll"]));
    // A class library with what speaks to Lambda.
    let handler = "Api::Api.Function::Handle";
    let library = ["Api.dll", "Api.deps.json", "Other.runtimeconfig.json", "Amazon.Lambda.RuntimeSupport.dll"];
    assert_eq!(
        args(&ask(&dotnet(handler, &library))),
        json!([
            "exec",
            "--depsfile",
            "/var/task/Api.deps.json",
            "--runtimeconfig",
            "/var/task/Other.runtimeconfig.json",
            "/var/task/Amazon.Lambda.RuntimeSupport.dll",
            handler
        ])
    );
    // What cannot be started says what is missing.
    for (handler, files, said) in [
        (
            handler,
            &beside[..],
            "does not bring what speaks to Lambda, and Lambda's own is not here\n  hint: add a PackageReference to Amazon.Lambda.RuntimeSupport",
        ),
        (handler, &library[1..2], "does not bring what speaks to Lambda"),
        (handler, &library[2..], "is missing the required .deps.json file\n  hint: pack what `dotnet publish` leaves"),
        (
            "Other",
            &beside[..],
            "executable assembly /var/task/Other.dll or binary /var/task/Other not found.\n  hint: the handler of a program is",
        ),
    ] {
        let run = ask(&dotnet(handler, files));
        assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{}", run.stderr);
        assert!(run.stderr.contains(said), "{}", run.stderr);
    }
}
