//! `invoke`: what was packed answers here as on Lambda, and leaves nothing behind.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Project, Run, host_architecture, pythons};
use serde_json::{Value, json};

/// The newest interpreter of this machine that Lambda has a runtime of.
fn python() -> (u8, PathBuf) {
    pythons()
        .into_iter()
        .rfind(|(minor, _)| (9..=14).contains(minor))
        .expect("python3.9 to 3.14: apt-get install python3")
}

/// A handler that does what the event says.
const APP: &str = r#"
import json, os, sys

COUNT = 0

def handler(event, context):
    global COUNT
    COUNT += 1
    do = event.get("do")
    if do == "raise":
        raise ValueError("no good")
    if do == "write":
        said = []
        for path in ["/var/task/x", "/opt/x", "/x", "/usr/x", "/tmp/x"]:
            try:
                open(path, "w").close()
                said.append(None)
            except OSError as e:
                said.append(e.strerror)
        return said
    if do == "fill":
        with open("/tmp/full", "wb") as file:
            for _ in range(600):
                file.write(b"x" * (1 << 20))
    if do == "sleep":
        import time
        time.sleep(100)
    if do == "segv":
        import ctypes
        ctypes.string_at(0)
    if do == "exit":
        os._exit(7)
    if do == "quit":
        os._exit(0)
    if do == "big":
        return "x" * (7 << 20)
    if do == "set":
        return {1, 2}
    if do == "print":
        print("y" * (1 << 20))
        print("last line")
    if do == "fork":
        if os.fork() == 0:
            import time
            os.setsid()
            time.sleep(987654)
    if do == "state":
        return {
            "path": sys.path, "cwd": os.getcwd(), "uid": os.getuid(), "environment": dict(os.environ),
            "home": os.listdir("/"), "tmp": os.statvfs("/tmp").f_blocks * os.statvfs("/tmp").f_frsize,
            "arn": context.invoked_function_arn, "left": context.get_remaining_time_in_millis(),
            "passwd": open("/etc/passwd").read(),
        }
    return {"event": event, "count": COUNT, "id": context.aws_request_id}
"#;

/// One Python function `f` that does what it is told, with these lines in its table.
fn told(lines: &str) -> Project {
    let (minor, _) = python();
    let project = Project::empty();
    project.write("f/app.py", APP);
    project.write(
        "lambda-pack.toml",
        &format!(
            "[functions.f]\npath = 'f'\nruntime = 'python3.{minor}'\nhandler = 'app.handler'\narchitecture = '{}'\n{lines}",
            host_architecture()
        ),
    );
    project
}

/// Invokes with an event on the standard input.
fn invoke(project: &Project, args: &[&str], event: &str) -> Run {
    let mut all = vec!["invoke"];
    all.extend(args);
    all.extend(["--event", "-"]);
    let mut child = start(project.command(&all).stdin(Stdio::piped()));
    child.0.stdin.take().unwrap().write_all(event.as_bytes()).unwrap();
    let output = child.output();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Run { code: output.0, stdout: text(&output.1), stderr: text(&output.2) }
}

/// A child that does not outlive the test.
struct Running(Child);

impl Running {
    fn output(mut self) -> (i32, Vec<u8>, Vec<u8>) {
        let mut stderr = self.0.stderr.take().unwrap();
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            stderr.read_to_end(&mut bytes).unwrap();
            bytes
        });
        let mut stdout = Vec::new();
        self.0.stdout.take().unwrap().read_to_end(&mut stdout).unwrap();
        let status = self.0.wait().unwrap();
        (status.code().unwrap_or(-1), stdout, reader.join().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(command: &mut Command) -> Running {
    Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

fn json_of(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|e| panic!("{e}: {}\n{}", run.stdout, run.stderr))
}

/// Command lines of all processes of this machine.
fn processes() -> String {
    let mut out = String::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        if let Ok(bytes) = std::fs::read(entry.path().join("cmdline")) {
            out += &(String::from_utf8_lossy(&bytes).replace('\0', " ") + "\n");
        }
    }
    out
}

/// Waits until this holds.
fn soon(what: &str, holds: impl Fn() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_was_packed_answers() {
    let project = told("environment = { STAGE = 'dev', TZ = 'Europe/Berlin' }\ntimeout = 20\nmemory = 256\n");
    let run = invoke(&project, &["f"], r#"{"a": 1}"#);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let answer = json_of(&run);
    assert_eq!((&answer["event"], &answer["count"]), (&json!({"a": 1}), &json!(1)));
    let id = answer["id"].as_str().unwrap();
    for line in [
        format!("START RequestId: {id} Version: $LATEST\n"),
        format!("END RequestId: {id}\nREPORT RequestId: {id}\tDuration: "),
    ] {
        assert!(run.stderr.contains(&line), "{}", run.stderr);
    }
    assert!(
        run.stderr.contains("\tMemory Size: 256 MB\tMax Memory Used: ") && run.stderr.contains("\tInit Duration: "),
        "{}",
        run.stderr
    );
    // It is the zip that runs: what has changed since is packed first, and what has not stands.
    let zip = project.out("f.zip");
    let written = std::fs::metadata(&zip).unwrap().modified().unwrap();
    assert_eq!(invoke(&project, &[], "{}").code, 0);
    assert_eq!(std::fs::metadata(&zip).unwrap().modified().unwrap(), written);
    project.write("f/app.py", "def handler(event, context):\n    return 'new'\n");
    assert_eq!(invoke(&project, &["f"], "{}").stdout, "\"new\"");
}

#[test]
fn it_sees_what_lambda_shows_and_nothing_of_the_developer() {
    let project = told("environment = { STAGE = 'dev' }\ntimeout = 20\nephemeral-storage = 600\n");
    let mut command =
        project.command(&["invoke", "f", "--event", "-", "--env", "MORE=1", "--env", "GIVEN", "--region", "eu-west-3"]);
    command.env("GIVEN", "on").env("SECRET_OF_MINE", "x").env("PYTHONPATH", "/nowhere").stdin(Stdio::piped());
    let mut child = start(&mut command);
    child.0.stdin.take().unwrap().write_all(br#"{"do": "state"}"#).unwrap();
    let (code, stdout, stderr) = child.output();
    assert_eq!(code, 0, "{}", String::from_utf8_lossy(&stderr));
    let state: Value = serde_json::from_slice(&stdout).unwrap();
    let set = &state["environment"];
    for (name, value) in [
        ("STAGE", "dev"),
        ("MORE", "1"),
        ("GIVEN", "on"),
        ("TZ", ":UTC"),
        ("LANG", "en_US.UTF-8"),
        ("LAMBDA_TASK_ROOT", "/var/task"),
        ("_HANDLER", "app.handler"),
        ("AWS_REGION", "eu-west-3"),
        ("AWS_LAMBDA_FUNCTION_NAME", "f"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
        (
            "LD_LIBRARY_PATH",
            "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
        ),
    ] {
        assert_eq!(set[name], value, "{name}");
    }
    for name in ["SECRET_OF_MINE", "HOME", "USER", "LAMBDA_PACK_CACHE_DIR", "AWS_ACCESS_KEY_ID"] {
        assert!(set.get(name).is_none(), "{name}");
    }
    assert_eq!(
        (&state["cwd"], &state["arn"]),
        (&json!("/var/task"), &json!("arn:aws:lambda:eu-west-3:123456789012:function:f"))
    );
    assert_eq!(state["tmp"], 600 << 20);
    assert!(state["passwd"].as_str().unwrap().contains("sbx_user1051"));
    let path: Vec<&str> = state["path"].as_array().unwrap().iter().map(|p| p.as_str().unwrap()).collect();
    let (minor, _) = python();
    assert_eq!(
        path[..4],
        ["/var/task", &format!("/opt/python/lib/python3.{minor}/site-packages"), "/opt/python", "/var/runtime"]
    );
    assert!(!path.iter().any(|p| p.contains("site-packages") && !p.starts_with("/opt")), "{path:?}");
    assert!(!state["home"].as_array().unwrap().contains(&json!("work")), "{}", state["home"]);
    let left = state["left"].as_i64().unwrap();
    assert!((1..=20_000).contains(&left), "{left}");
}

#[test]
fn failures_are_lambdas_own() {
    let project = told("timeout = 20\n");
    let run = |event: &str| invoke(&project, &["f"], event);
    // The function's own error.
    let raised = run(r#"{"do": "raise"}"#);
    assert_eq!(raised.code, 1);
    let document = json_of(&raised);
    assert_eq!((&document["errorType"], &document["errorMessage"]), (&json!("ValueError"), &json!("no good")));
    assert_eq!(document["stackTrace"].as_array().unwrap().len(), 1, "{document}");
    assert!(
        document["stackTrace"][0]
            .as_str()
            .unwrap()
            .starts_with("  File \"/var/task/app.py\", line 11, in handler\n    raise ValueError"),
        "{document}"
    );
    assert!(
        raised.stderr.contains("[ERROR] ValueError: no good\nTraceback (most recent call last):\n"),
        "{}",
        raised.stderr
    );
    // What is no JSON.
    let marshal = json_of(&run(r#"{"do": "set"}"#));
    assert_eq!(marshal["errorType"], "Runtime.MarshalError");
    assert_eq!(marshal["errorMessage"], "Unable to marshal response: Object of type set is not JSON serializable");
    // Endings.
    for (event, said) in [
        (r#"{"do": "exit"}"#, "Runtime exited with error: exit status 7"),
        (r#"{"do": "quit"}"#, "Runtime exited without providing a reason"),
        (r#"{"do": "segv"}"#, "Runtime exited with error: signal: segmentation fault"),
    ] {
        let run = run(event);
        let document = json_of(&run);
        assert_eq!((run.code, &document["errorType"]), (1, &json!("Runtime.ExitError")), "{event}");
        let message = document["errorMessage"].as_str().unwrap();
        assert!(message.starts_with("RequestId: ") && message.ends_with(&format!(" Error: {said}")), "{message}");
    }
    // Too much.
    let big = json_of(&run(r#"{"do": "big"}"#));
    assert_eq!(big["errorType"], "Function.ResponseSizeTooLarge");
    assert_eq!(big["errorMessage"], "Response payload size exceeded maximum allowed payload size (6291556 bytes).");
    let full = json_of(&run(r#"{"do": "fill"}"#));
    assert_eq!(full["errorMessage"], "[Errno 28] No space left on device");
    let printed = run(r#"{"do": "print"}"#);
    assert_eq!(printed.code, 0);
    assert!(
        printed.stderr.contains(&"y".repeat(1 << 20)) && printed.stderr.contains("last line\nEND RequestId"),
        "not all was passed on"
    );
    // Only /tmp is written to.
    let written = json_of(&run(r#"{"do": "write"}"#));
    let refused = json!("Read-only file system");
    assert_eq!(written, json!([refused, refused, refused, refused, null]));
}

#[test]
fn nothing_outlives_a_function() {
    let project = told("timeout = 2\n");
    let scratch = tempfile::tempdir().unwrap();
    let is_clean = || std::fs::read_dir(scratch.path()).unwrap().count() == 0;
    let mut command = project.command(&["invoke", "f", "--event", "-"]);
    let mut child = start(command.env("TMPDIR", scratch.path()).stdin(Stdio::piped()));
    child.0.stdin.take().unwrap().write_all(br#"{"do": "sleep"}"#).unwrap();
    let (code, stdout, stderr) = child.output();
    let document: Value = serde_json::from_slice(&stdout).unwrap();
    assert_eq!((code, &document["errorType"]), (1, &json!("Sandbox.Timedout")));
    assert!(
        document["errorMessage"].as_str().unwrap().ends_with(" Error: Task timed out after 2.00 seconds"),
        "{document}"
    );
    assert!(String::from_utf8_lossy(&stderr).contains("\tStatus: timeout"));
    assert!(is_clean());

    // A child that has left its session.
    let name = scratch.path().display().to_string();
    let mut child = start(project.command(&["invoke", "f", "--event", "-"]).env("TMPDIR", &name).stdin(Stdio::piped()));
    child.0.stdin.take().unwrap().write_all(br#"{"do": "fork"}"#).unwrap();
    assert_eq!(child.output().0, 0);
    soon("a forked process is still there", || !processes().contains(&name));
    assert!(is_clean());

    // Ctrl-C while it works.
    let mut command = project.command(&["invoke", "f", "--event", "-", "--timeout", "100"]);
    let mut child = start(command.env("TMPDIR", &name).stdin(Stdio::piped()));
    child.0.stdin.take().unwrap().write_all(br#"{"do": "sleep"}"#).unwrap();
    soon("it does not start", || processes().lines().any(|line| line.contains(&name) && line.contains("/var/task")));
    std::thread::sleep(Duration::from_millis(300));
    common::tool("kill", &["-INT".as_ref(), child.0.id().to_string().as_ref()], "apt-get install procps");
    assert_eq!(child.output().0, 130);
    soon("a process is left", || !processes().contains(&name));
    soon("a folder is left", is_clean);
}

#[test]
fn what_is_typed_wrong_is_said_before_anything_is_built() {
    let project = told("");
    for (args, said) in [
        (&["invoke", "f", "--event", "nothing.json"][..], "error: `--event nothing.json` names no file"),
        (
            &["invoke", "f", "--event", "@smtp"],
            "error: there is no sample event `@smtp`\n  hint: there are `@apigw-v1`, ",
        ),
        (
            &["invoke", "f", "--event", "lambda-pack.toml"],
            "error: `lambda-pack.toml` is no event: Could not parse request body into json: ",
        ),
        (&["invoke", "f", "--invocation-type", "Later"], "it has to be RequestResponse, Event or DryRun"),
    ] {
        let run = project.run(args);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{args:?}");
        assert!(run.stderr.contains(said), "{}", run.stderr);
        assert!(!project.path("target").exists());
    }
    let dry = project.done(&["invoke", "f", "--invocation-type", "DryRun"]);
    assert_eq!(dry.stdout, "");
    assert!(!dry.stderr.contains("START"), "{}", dry.stderr);
    // What Lambda would refuse does not run.
    project.write("lambda-pack.toml", &project.read("lambda-pack.toml").replace("app.handler", "app.nothing"));
    let refused = project.run(&["invoke", "f"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (3, ""));
    assert!(refused.stderr.contains("error[handler-not-found]"), "{}", refused.stderr);
    for (line, said) in [
        ("timeout = 901\n", "`timeout` cannot be 901: Lambda takes 1 to 900 seconds"),
        ("memory = 64\n", "`memory` cannot be 64: Lambda takes 128 to 10240 megabytes"),
    ] {
        let run = told(line).run(&["invoke", "f"]);
        assert_eq!(run.code, 2);
        assert!(run.stderr.contains(said), "{}", run.stderr);
    }
}

#[test]
fn samples_are_events_of_their_sources() {
    let project = told("timeout = 20\n");
    let answer = json_of(&project.done(&["invoke", "f", "--event", "@sqs"]));
    assert_eq!(answer["event"]["Records"][0]["eventSource"], "aws:sqs");
}

#[test]
fn what_nobody_waits_for_is_tried_three_times() {
    let project = told("timeout = 20\n");
    let run = invoke(&project, &["f", "--invocation-type", "Event"], r#"{"do": "raise"}"#);
    assert_eq!((run.code, run.stdout.as_str()), (1, ""));
    assert_eq!(run.stderr.matches("START RequestId").count(), 3, "{}", run.stderr);
    let letters: Vec<PathBuf> = std::fs::read_dir(project.out("")).unwrap().flatten().map(|e| e.path()).collect();
    let letter = letters.iter().find(|p| p.display().to_string().ends_with(".dead-letter.json")).unwrap();
    let letter: Value = serde_json::from_str(&std::fs::read_to_string(letter).unwrap()).unwrap();
    assert_eq!(letter["requestPayload"], json!({"do": "raise"}));
    assert_eq!(letter["requestContext"]["condition"], "RetriesExhausted");
    assert_eq!(letter["responsePayload"]["errorType"], "ValueError");
    let done = invoke(&project, &["f", "--invocation-type", "Event"], "{}");
    assert_eq!((done.code, done.stdout.as_str(), done.stderr.matches("START").count()), (0, "", 1));
}

/// A module that only this machine has, and one that the package has.
#[test]
fn handlers_are_verified_where_they_would_run() {
    let project = told("exclude = ['helper.py']\n");
    assert_eq!(project.done(&["build", "--verify"]).stderr, "");
    // pip is a package of every interpreter of the tests.
    for (code, said, hint) in [
        (
            "import pip\n",
            "Runtime.ImportModuleError: Unable to import module 'app': No module named 'pip'",
            "`pip` is not packed",
        ),
        (
            "import helper\n",
            "Runtime.ImportModuleError: Unable to import module 'app': No module named 'helper'",
            "`helper.py` is left out by",
        ),
        ("raise OSError('at once')\n", "OSError: at once", "`invoke` runs it with its log"),
        ("import os; os._exit(3)\n", "Runtime.ExitError: Runtime exited with error: exit status 3", "`invoke`"),
    ] {
        project.write("f/app.py", &format!("{code}{APP}"));
        project.write("f/helper.py", "");
        let run = project.run(&["build", "--verify", "--format", "json"]);
        assert_eq!(run.code, 3, "{}", run.stderr);
        assert!(run.stderr.contains(&format!("error[handler-fails-to-load] f: {said}\n")), "{}", run.stderr);
        assert!(run.stderr.contains(&format!("hint: {hint}")), "{}", run.stderr);
        let manifest: Value = serde_json::from_str(&run.stdout).unwrap();
        assert!(manifest["functions"][0].get("artifact").is_none() && !project.out("f.zip").exists());
        assert_eq!(manifest["findings"][0]["rule"], "handler-fails-to-load");
        // Without it, nothing is known of that.
        project.done(&["build"]);
    }
    // The runtime has it, wherever this is.
    project.write("f/app.py", &format!("import boto3\n{APP}"));
    project.done(&["build", "--verify"]);
}
