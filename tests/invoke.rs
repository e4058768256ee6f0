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
        .rfind(|(minor, _)| (10..=14).contains(minor))
        .expect("python3.10 to 3.14: apt-get install python3")
}

/// A handler that does what the event says.
const APP: &str = r#"
import json, os, sys

COUNT = 0
BORN = open("/proc/sys/kernel/random/uuid").read()

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
    if do == "pause":
        import time
        time.sleep(1)
        return {"born": BORN}
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

/// Whether a process of this machine has this in its command line or its environment.
fn is_running(mark: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let has = |file: &str| {
            std::fs::read(entry.path().join(file)).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(mark))
        };
        entry.file_name() != std::process::id().to_string().as_str() && (has("cmdline") || has("environ"))
    })
}

fn signal(name: &str, process: u32) {
    common::tool("sh", &["-c".as_ref(), format!("kill -{name} {process}").as_ref()], "apt-get install dash");
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
            .starts_with("  File \"/var/task/app.py\", line 12, in handler\n    raise ValueError"),
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
    let mark = format!("MARK={name}/mark");
    let ask = |event: &str| {
        let mut command = project.command(&["invoke", "f", "--event", "-", "--timeout", "100", "--env", &mark]);
        let mut child = start(command.env("TMPDIR", &name).stdin(Stdio::piped()));
        child.0.stdin.take().unwrap().write_all(event.as_bytes()).unwrap();
        child
    };
    let child = ask(r#"{"do": "fork"}"#);
    soon("what is looked for cannot be seen", || is_running(&mark));
    assert_eq!(child.output().0, 0);
    soon("a forked process is still there", || !is_running(&mark));
    assert!(is_clean());

    // Ctrl-C while it works.
    let child = ask(r#"{"do": "sleep"}"#);
    soon("it does not start", || is_running(&format!("{name}/lambda-pack-")));
    std::thread::sleep(Duration::from_millis(500));
    signal("INT", child.0.id());
    let (code, stdout, _) = child.output();
    assert_eq!((code, stdout.len()), (130, 0));
    soon("a process is left", || !is_running(&mark));
    soon("a folder is left", is_clean);
}

/// Ten seconds of init are Lambda's; what takes longer is started again in the function's own time.
#[test]
fn a_slow_start_is_tried_again() {
    let project = told("timeout = 1\n");
    project.write("f/app.py", "import time\ntime.sleep(11)\ndef handler(event, context):\n    return 1\n");
    let run = invoke(&project, &["f"], "{}");
    assert_eq!((run.code, &json_of(&run)["errorType"]), (1, &json!("Sandbox.Timedout")), "{}", run.stderr);
    assert!(
        run.stderr.contains("INIT_REPORT Init Duration: 10000.00 ms\tPhase: init\tStatus: timeout\n"),
        "{}",
        run.stderr
    );
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

/// One Node.js function.
fn node(code: &[(&str, &str)], handler: &str, runtime: &str) -> Project {
    let project = Project::empty();
    for (file, text) in code {
        project.write(&format!("f/{file}"), text);
    }
    let arch = host_architecture();
    project.write(
        "lambda-pack.toml",
        &format!("[functions.f]\npath = 'f'\nruntime = '{runtime}'\nhandler = '{handler}'\narchitecture = '{arch}'\ntimeout = 20\n"),
    );
    project
}

#[test]
fn node_answers_in_every_form() {
    const SHOW: &str = "{ event, id: context.awsRequestId.length, name: context.functionName }";
    let wanted = json!({"event": {"a": 1}, "id": 36, "name": "f"});
    let promise = format!("exports.handler = async (event, context) => ({SHOW});\n");
    let module =
        format!("import fs from 'node:fs';\nawait 1;\nexport const handler = async (event, context) => {SHOW};\n")
            .replace("=> {", "=> ({")
            .replace("};", "});");
    let callback =
        format!("exports.a = {{ b: (event, context, callback) => setTimeout(() => callback(null, {SHOW}), 20) }};\n");
    let done = format!("exports.handler = (event, context) => {{ context.succeed({SHOW}); }};\n");
    for (file, code, handler, runtime) in [
        ("index.js", &promise, "index.handler", "nodejs22.x"),
        ("src/main.mjs", &module, "src/main.handler", "nodejs24.x"),
        ("index.cjs", &callback, "index.a.b", "nodejs22.x"),
        ("index.js", &done, "index.handler", "nodejs20.x"),
    ] {
        let project = node(&[(file, code)], handler, runtime);
        let run = invoke(&project, &["f"], r#"{"a": 1}"#);
        assert_eq!((run.code, json_of(&run)), (0, wanted.clone()), "{file}: {}", run.stderr);
    }
    // The folder is one of modules; what it needs comes from a package.
    let project = node(
        &[
            ("package.json", r#"{"type": "module"}"#),
            ("lib/value.js", "export default 'from a file';\n"),
            (
                "index.js",
                "import value from './lib/value.js';\nexport const handler = async () => { console.log('seen', value); };\n",
            ),
        ],
        "index.handler",
        "nodejs22.x",
    );
    let run = invoke(&project, &["f"], "{}");
    assert_eq!((run.code, run.stdout.as_str()), (0, "null"), "{}", run.stderr);
    assert!(run.stderr.contains("\tINFO\tseen from a file\n"), "{}", run.stderr);
}

#[test]
fn node_fails_as_on_lambda() {
    for (code, runtime, kind, message) in [
        ("exports.handler = async () => { throw new TypeError('bad'); };", "nodejs22.x", "TypeError", "bad"),
        ("exports.handler = (e, c, done) => done('text');", "nodejs22.x", "string", "text"),
        (
            "exports.handler = async () => { null.x; };",
            "nodejs22.x",
            "TypeError",
            "Cannot read properties of null (reading 'x')",
        ),
        ("throw new RangeError('at once');\nexports.handler = 1;", "nodejs22.x", "RangeError", "at once"),
        (
            "require('semver');\nexports.handler = async () => 1;",
            "nodejs22.x",
            "Runtime.ImportModuleError",
            "Error: Cannot find module 'semver'",
        ),
        (
            "exports.handler = (event, context, callback) => callback();",
            "nodejs24.x",
            "Runtime.CallbackHandlerDeprecated",
            "AWS Lambda has removed support for callback-based function handlers",
        ),
        (
            "exports.handler = async () => { setTimeout(() => { throw new Error('later'); }, 1); await new Promise(r => setTimeout(r, 5000)); };",
            "nodejs22.x",
            "Error",
            "later",
        ),
        (
            "exports.handler = async () => { Promise.reject(new Error('lost')); await new Promise(r => setTimeout(r, 5000)); };",
            "nodejs22.x",
            "Runtime.UnhandledPromiseRejection",
            "Error: lost",
        ),
    ] {
        let run = invoke(&node(&[("index.js", code)], "index.handler", runtime), &["f"], "{}");
        let document = json_of(&run);
        assert_eq!((run.code, &document["errorType"]), (1, &json!(kind)), "{document}\n{}", run.stderr);
        assert!(document["errorMessage"].as_str().unwrap().starts_with(message), "{document}");
        assert!(document["trace"].is_array());
    }
    // Nothing is left to do, and nobody has answered.
    let run = invoke(
        &node(&[("index.js", "exports.handler = () => new Promise(() => {});")], "index.handler", "nodejs22.x"),
        &["f"],
        "{}",
    );
    assert_eq!((run.code, run.stdout.as_str()), (0, "null"), "{}", run.stderr);
}

#[test]
fn node_streams() {
    let code = r#"
exports.handler = awslambda.streamifyResponse(async (event, stream, context) => {
  if (event.http) stream = awslambda.HttpResponseStream.from(stream, { statusCode: 201 });
  else stream.setContentType('text/plain');
  for (let n = 0; n < 3; n++) {
    stream.write(`part ${n} ${'x'.repeat(event.size ?? 1)}\n`);
    await new Promise((r) => setTimeout(r, 5));
  }
  if (event.fail) throw new Error('half way');
  stream.end();
});
"#;
    let project = node(&[("index.js", code)], "index.handler", "nodejs22.x");
    assert_eq!(invoke(&project, &["f"], "{}").stdout, "part 0 x\npart 1 x\npart 2 x\n");
    // More than an answer may have that is no stream.
    assert_eq!(invoke(&project, &["f"], r#"{"size": 3000000}"#).stdout.len(), 9_000_024);
    let http = invoke(&project, &["f"], r#"{"http": true}"#);
    assert!(http.stdout.starts_with("{\"statusCode\":201}\0\0\0\0\0\0\0\0part 0 x\n"), "{:?}", http.stdout);
    let failed = invoke(&project, &["f"], r#"{"fail": true}"#);
    let document = json_of(&failed);
    assert_eq!(
        (failed.code, &document["errorType"], &document["errorMessage"]),
        (1, &json!("Error"), &json!("half way"))
    );
}

#[test]
fn layers_and_extensions_are_there() {
    let (minor, python) = python();
    let python = python.canonicalize().unwrap();
    let project =
        told("timeout = 20\nlayers = ['one', 'two']\n[layers.one]\npath = 'one'\n[layers.two]\npath = 'two'\n");
    project.write("one/python/which.py", "VALUE = 'one'\n").write("one/python/only.py", "VALUE = 'only'\n");
    project.write(&format!("two/python/lib/python3.{minor}/site-packages/third.py"), "VALUE = 'third'\n");
    project.write("two/python/which.py", "VALUE = 'two'\n");
    let extension = format!(
        r#"#!{} -S
import http.client, json, os
api = os.environ["AWS_LAMBDA_RUNTIME_API"]
def call(method, path, headers, body=None):
    connection = http.client.HTTPConnection(api)
    connection.request(method, "/2020-01-01/extension/" + path, body, headers)
    answer = connection.getresponse()
    return answer.headers, json.loads(answer.read())
headers, told = call("POST", "register", {{"Lambda-Extension-Name": "watch"}}, '{{"events": ["INVOKE", "SHUTDOWN"]}}')
me = {{"Lambda-Extension-Identifier": headers["Lambda-Extension-Identifier"]}}
print("EXTENSION for", told["functionName"], told["handler"], flush=True)
while True:
    _, event = call("GET", "event/next", me)
    print("EXTENSION", event["eventType"], event.get("requestId"), event.get("shutdownReason"), flush=True)
    if event["eventType"] == "SHUTDOWN":
        break
"#,
        python.display()
    );
    project.write("two/extensions/watch", &extension);
    std::fs::set_permissions(project.path("two/extensions/watch"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    project.write(
        "f/app.py",
        "import which, only, third\ndef handler(event, context):\n    return [which.VALUE, only.VALUE, third.VALUE, context.aws_request_id]\n",
    );
    let run = project.done(&["invoke", "f"]);
    let answer = json_of(&run);
    assert_eq!(answer.as_array().unwrap()[..3], [json!("two"), json!("only"), json!("third")]);
    let invoked = format!("EXTENSION INVOKE {} None\n", answer[3].as_str().unwrap());
    for said in ["EXTENSION for f app.handler\n", &invoked, "EXTENSION SHUTDOWN None spindown\n"] {
        assert!(run.stderr.contains(said), "{}", run.stderr);
    }
}

/// A script that speaks to the Runtime API itself, and its fate without a bootstrap.
#[test]
fn a_bootstrap_is_run() {
    let (_, python) = python();
    let python = python.canonicalize().unwrap();
    let project = Project::empty();
    // The interpreter is one of the system, or lies in a layer's place.
    let body = "import http.client, os\napi = os.environ['AWS_LAMBDA_RUNTIME_API']\nwhile True:\n    c = http.client.HTTPConnection(api)\n    c.request('GET', '/2018-06-01/runtime/invocation/next')\n    r = c.getresponse()\n    body = r.read()\n    id = r.headers['Lambda-Runtime-Aws-Request-Id']\n    c.request('POST', '/2018-06-01/runtime/invocation/wrong/response', b'{}')\n    wrong = c.getresponse().read().decode()\n    c.request('POST', '/2018-06-01/runtime/invocation/' + id + '/response', b'{\"got\": ' + body + b', \"wrong\": ' + wrong.encode() + b'}')\n    c.getresponse().read()\n";
    project.write("f/bootstrap", &format!("#!{} -S\n{body}", python.display()));
    std::fs::set_permissions(project.path("f/bootstrap"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let arch = host_architecture();
    project.write(
        "lambda-pack.toml",
        &format!("[functions.f]\npath = 'f'\nruntime = 'provided.al2023'\narchitecture = '{arch}'\n"),
    );
    if python.starts_with("/usr") {
        let run = invoke(&project, &["f"], "[1]");
        assert_eq!((run.code, json_of(&run)["got"].clone()), (0, json!([1])), "{}", run.stderr);
        assert_eq!(json_of(&run)["wrong"]["errorType"], "InvalidRequestID");
    }
    // What it cannot run ends as on Lambda.
    project.write("f/bootstrap", "#!/no/such/interpreter\n");
    let run = invoke(&project, &["f"], "{}");
    assert_eq!((run.code, json_of(&run)["errorType"].clone()), (1, json!("Runtime.ExitError")), "{}", run.stderr);
    // Another processor's.
    let other = if arch == "arm64" { "x86_64" } else { "arm64" };
    project.write("lambda-pack.toml", &project.read("lambda-pack.toml").replace(arch, other));
    let run = project.run(&["invoke", "f"]);
    assert_eq!((run.code, run.stdout.as_str()), (1, ""));
    assert!(run.stderr.contains("its bootstrap does not run here"), "{}", run.stderr);
    project.write("f/app.rb", "def handler(event:, context:)\n  1\nend\n");
    project.write("lambda-pack.toml", "[functions.f]\npath = 'f'\nruntime = 'ruby3.4'\nhandler = 'app.handler'\n");
    let run = project.run(&["invoke", "f"]);
    assert!(
        run.code != 0 && run.stdout.is_empty() && run.stderr.contains("functions of `ruby3.4` are not run here"),
        "{}",
        run.stderr
    );
}

#[test]
fn without_a_sandbox_it_is_said_what_is_missing() {
    let (minor, python) = python();
    let project = told("timeout = 20\n");
    let bin = tempfile::tempdir().unwrap();
    let real = python.canonicalize().unwrap();
    std::os::unix::fs::symlink(&real, bin.path().join(format!("python3.{minor}"))).unwrap();
    let mut command = project.command(&["invoke", "f", "--event", "-"]);
    let mut child = start(command.env("PATH", bin.path()).stdin(Stdio::piped()));
    child.0.stdin.take().unwrap().write_all(br#"{"do": "state"}"#).unwrap();
    let (code, stdout, stderr) = child.output();
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("warning: bubblewrap (`bwrap`) is not installed, and `unshare` makes no sandbox either, so that the function runs in a plain folder: not reproduced are /var/task and /opt"), "{stderr}");
    let state: Value = serde_json::from_slice(&stdout).unwrap();
    assert_eq!(state["environment"]["LAMBDA_TASK_ROOT"], state["cwd"]);
    assert!(state["environment"].get("LAMBDA_PACK_CACHE_DIR").is_none());
    // A child in the same group ends with it.
    let mut command = project.command(&["invoke", "f", "--event", "-"]);
    project.write("f/app.py", "import subprocess, sys\ndef handler(e, c):\n    subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(876543)'])\n    return 1\n");
    let mut child = start(command.env("PATH", bin.path()).stdin(Stdio::piped()));
    child.0.stdin.take().unwrap().write_all(b"{}").unwrap();
    assert_eq!(child.output().1, b"1");
    soon("a child is left", || !is_running("time.sleep(876543)"));
}

/// Without bubblewrap, in namespaces that `unshare` makes: the same, but below a changed root, where there are none.
#[test]
fn without_bubblewrap_there_is_a_sandbox_all_the_same() {
    let (minor, python) = python();
    let project = told("timeout = 20\nephemeral-storage = 600\n");
    let bin = tempfile::tempdir().unwrap();
    let link = |from: &Path, name: &str| std::os::unix::fs::symlink(from, bin.path().join(name)).unwrap();
    link(&python.canonicalize().unwrap(), &format!("python3.{minor}"));
    let unshare = PathBuf::from("/usr/bin/unshare");
    link(&unshare, "unshare");
    let can = Command::new(&unshare).args(["--user", "--map-root-user", "--mount", "true"]).output().unwrap();
    let mark = format!("MARK={}", bin.path().display());
    let ask = |event: &str| {
        let mut command = project.command(&["invoke", "f", "--event", "-", "--env", &mark]);
        let mut child = start(command.env("PATH", bin.path()).stdin(Stdio::piped()));
        child.0.stdin.take().unwrap().write_all(event.as_bytes()).unwrap();
        let (_, stdout, stderr) = child.output();
        (serde_json::from_slice::<Value>(&stdout).unwrap(), String::from_utf8(stderr).unwrap())
    };
    let (state, stderr) = ask(r#"{"do": "state"}"#);
    assert_eq!(stderr.contains("in a plain folder"), !can.status.success(), "{stderr}");
    if can.status.success() {
        assert_eq!(
            (&state["cwd"], &state["uid"], &state["tmp"]),
            (&json!("/var/task"), &json!(993), &json!(600 << 20))
        );
        assert!(!state["home"].as_array().unwrap().contains(&json!("home")), "{}", state["home"]);
        let refused = json!("Read-only file system");
        assert_eq!(ask(r#"{"do": "write"}"#).0, json!([refused, refused, refused, refused, null]));
        let (ended, _) = ask(r#"{"do": "segv"}"#);
        assert!(ended["errorMessage"].as_str().unwrap().ends_with("signal: segmentation fault"), "{ended}");
        ask(r#"{"do": "fork"}"#);
        soon("a forked process is left", || !is_running(&mark));
    }
}

/// A server that answers until it is dropped.
struct Served {
    child: Running,
    endpoint: String,
    log: std::sync::Arc<std::sync::Mutex<String>>,
}

fn serve(project: &Project) -> Served {
    let mut child = start(&mut project.command(&["invoke", "--serve", "127.0.0.1:0", "--watch"]));
    let log = std::sync::Arc::<std::sync::Mutex<String>>::default();
    let (tell, told) = std::sync::mpsc::channel();
    let (stderr, seen) = (child.0.stderr.take().unwrap(), log.clone());
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if let Some((_, rest)) = line.split_once(" answer at ") {
                let _ = tell.send(rest.split(';').next().unwrap().to_owned());
            }
            *seen.lock().unwrap() += &(line + "\n");
        }
    });
    let endpoint = told.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|_| panic!("{}", log.lock().unwrap()));
    Served { child, endpoint, log }
}

impl Served {
    /// What the AWS command line says, and what it has written.
    fn aws(&self, function: &str, args: &[&str]) -> (bool, String, Vec<u8>) {
        let out = tempfile::tempdir().unwrap();
        let file = out.path().join("answer");
        let aws = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.tools/aws/bin/aws");
        let mut command = Command::new(&aws);
        common::aws(&mut command, &self.endpoint, "key", "secret").env("AWS_DEFAULT_REGION", "eu-west-1");
        command.args(["lambda", "invoke", "--function-name", function]).args(args).arg(&file);
        let output =
            command.output().unwrap_or_else(|e| panic!("{} cannot be run ({e}): run `make tools`", aws.display()));
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said, std::fs::read(&file).unwrap_or_default())
    }

    /// An answer to bytes on a connection, without a client in between.
    fn raw(&self, request: &str) -> String {
        let mut stream = std::net::TcpStream::connect(self.endpoint.strip_prefix("http://").unwrap()).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut out = String::new();
        stream.read_to_string(&mut out).unwrap();
        out
    }
}

#[test]
fn the_aws_command_line_invokes_what_is_served() {
    let project = told("timeout = 20\n");
    let served = serve(&project);
    let (ok, said, answer) = served.aws("f", &["--payload", r#"{"a": 1}"#, "--log-type", "Tail"]);
    assert!(ok, "{said}");
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!((&answer["event"], &answer["count"]), (&json!({"a": 1}), &json!(1)));
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&said["StatusCode"], &said["ExecutedVersion"]), (&json!(200), &json!("$LATEST")));
    let log = common::tool(
        "sh",
        &["-c".as_ref(), "printf %s \"$0\" | base64 -d".as_ref(), said["LogResult"].as_str().unwrap().as_ref()],
        "apt-get install coreutils",
    );
    assert!(log.contains("REPORT RequestId: "), "{log}");
    // Warm, and by its ARN.
    let (ok, said, answer) = served.aws("arn:aws:lambda:eu-west-1:123456789012:function:f:$LATEST", &[]);
    assert!(ok, "{said}");
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!((&answer["event"], &answer["count"]), (&json!({}), &json!(2)));
    // The other types.
    let (ok, said, answer) = served.aws("f", &["--invocation-type", "DryRun"]);
    assert!(ok && said.contains("\"StatusCode\": 204") && answer.is_empty(), "{said}");
    let (ok, said, _) = served.aws("f", &["--invocation-type", "Event", "--payload", r#"{"do": "raise"}"#]);
    assert!(ok && said.contains("\"StatusCode\": 202"), "{said}");
    soon("no dead letter", || {
        std::fs::read_dir(project.out(""))
            .unwrap()
            .flatten()
            .any(|e| e.file_name().to_string_lossy().ends_with(".dead-letter.json"))
    });
    // Failures.
    let (ok, said, answer) = served.aws("f", &["--payload", r#"{"do": "exit"}"#]);
    assert!(ok && said.contains("\"FunctionError\": \"Unhandled\""), "{said}");
    assert_eq!(serde_json::from_slice::<Value>(&answer).unwrap()["errorType"], "Runtime.ExitError");
    let (ok, said, _) = served.aws("f", &["--payload", "no json"]);
    assert!(
        !ok && said.contains("InvalidRequestContentException")
            && said.contains("Could not parse request body into json"),
        "{said}"
    );
    let (ok, said, _) = served.aws("g", &[]);
    assert!(!ok && said.contains("ResourceNotFoundException") && said.contains("Function not found: g"), "{said}");
    // What a page in a browser can send.
    let page = served.raw("POST /2015-03-31/functions/f/invocations HTTP/1.1\r\nOrigin: http://evil.example\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}");
    assert!(page.starts_with("HTTP/1.1 403 "), "{page}");
    // Two at once have an environment each.
    let both: Vec<Value> = std::thread::scope(|scope| {
        let ask = || {
            let sent = served.raw("POST /2015-03-31/functions/f/invocations HTTP/1.1\r\nConnection: close\r\nContent-Length: 16\r\n\r\n{\"do\": \"pause\"}\n");
            serde_json::from_str(sent.split("\r\n\r\n").nth(1).unwrap()).unwrap()
        };
        let others: Vec<_> = (0..2).map(|_| scope.spawn(ask)).collect();
        others.into_iter().map(|other| other.join().unwrap()).collect()
    });
    assert_ne!(both[0]["born"], both[1]["born"], "{both:?}");
    // What is changed is packed and answers, and what cannot be packed does not.
    project.write("f/app.py", "def other(event, context):\n    return 1\n");
    soon("it is not said", || served.log.lock().unwrap().contains("error: Handler 'handler' missing on module 'app'"));
    assert!(!served.log.lock().unwrap().contains("packed anew"));
    assert_eq!(serde_json::from_slice::<Value>(&served.aws("f", &[]).2).unwrap()["event"], json!({}));
    project.write("f/app.py", "def handler(event, context):\n    return 'new'\n");
    soon("the new version does not answer", || served.aws("f", &[]).2 == b"\"new\"");
    // It ends with all that it has started.
    let id = served.child.0.id();
    signal("TERM", id);
    soon("it does not end", || {
        !Path::new(&format!("/proc/{id}")).exists()
            || std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|s| s.contains(") Z "))
    });
    assert!(served.log.lock().unwrap().contains("START RequestId"));
}

/// What the emulator answers to an event, for the package in a folder.
fn emulator(folder: &Path, (minor, python): &(u8, PathBuf), handler: &str, event: &str) -> Value {
    let rie = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.tools/bin/aws-lambda-rie");
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (address, api) = (free(), free());
    let mut command = Command::new(&rie);
    command.args(["--runtime-interface-emulator-address", &address, "--runtime-api-address", &api]);
    command.arg(python).args(["-u", "-S", "-m", "awslambdaric", handler]);
    command.current_dir(folder).env_clear().env("PYTHONPATH", folder).env("LAMBDA_TASK_ROOT", folder);
    command
        .env("AWS_LAMBDA_FUNCTION_TIMEOUT", "2")
        .env("PATH", "/usr/bin:/bin")
        .env("AWS_EXECUTION_ENV", format!("AWS_Lambda_python3.{minor}"));
    let log = tempfile::tempfile().unwrap();
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    let _running =
        Running(command.spawn().unwrap_or_else(|e| panic!("{} cannot be run ({e}): run `make tools`", rie.display())));
    let begin = Instant::now();
    let mut stream = loop {
        match std::net::TcpStream::connect(&address) {
            Ok(stream) => break stream,
            Err(e) => assert!(begin.elapsed() < Duration::from_secs(20), "the emulator does not listen: {e}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let length = event.len();
    write!(
        stream,
        "POST /2015-03-31/functions/function/invocations HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{event}"
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let body = text.split_once("\r\n\r\n").unwrap().1;
    serde_json::from_str(body).unwrap_or_else(|_| json!(body))
}

/// Documents without what differs from request to request.
fn comparable(mut value: Value, folder: &str) -> Value {
    if let Some(map) = value.as_object_mut() {
        map.remove("requestId");
        map.remove("id");
        if let Some(message) = map.get("errorMessage").and_then(Value::as_str) {
            let message = message.split_once(" Error: ").map_or(message, |(_, rest)| rest).to_owned();
            map.insert("errorMessage".to_owned(), json!(message));
        }
    }
    let text = value.to_string();
    serde_json::from_str(&text.replace(folder, "/var/task")).unwrap()
}

/// Lambda's own client for Python, in the package and unmodified, and the emulator with it.
#[test]
fn the_emulator_and_lambdas_client_say_the_same() {
    let (minor, python) = python();
    let python = (minor, python.canonicalize().unwrap());
    let own = told("timeout = 2\n");
    let project = told("timeout = 2\n");
    project.write("f/requirements.txt", "awslambdaric==4.2.2\nsimplejson==4.3.0\nsnapshot-restore-py==1.0.0\n");
    project.build::<&str>(&[]);
    let unpacked = project.unpack("f.zip");
    let folder = unpacked.path("").display().to_string();
    let mut differences = Vec::new();
    for event in [
        r#"{"a": [1, "é", null]}"#,
        r#"{"do": "raise"}"#,
        r#"{"do": "set"}"#,
        r#"{"do": "exit"}"#,
        r#"{"do": "quit"}"#,
        r#"{"do": "big"}"#,
        r#"{"do": "sleep"}"#,
    ] {
        let theirs = comparable(emulator(&unpacked.path(""), &python, "app.handler", event), &folder);
        for (name, project) in [("our client", &own), ("awslambdaric", &project)] {
            let run = invoke(project, &["f"], event);
            let mut ours = comparable(json_of(&run), &folder);
            if event.contains("sleep") {
                // Here the emulator gives the bare message, which Lambda does not.
                assert_eq!(ours["errorType"], "Sandbox.Timedout");
                ours = ours["errorMessage"].take();
            }
            if ours != theirs {
                differences.push(format!("{event} {name}: {ours} | {theirs}"));
            }
        }
    }
    for project in [&own, &project] {
        project.write("f/app.py", "import nothing_like_this\n");
    }
    std::fs::write(unpacked.path("app.py"), "import nothing_like_this\n").unwrap();
    let theirs = comparable(emulator(&unpacked.path(""), &python, "app.handler", "{}"), &folder);
    for project in [&own, &project] {
        project.write(
            "lambda-pack.toml",
            &(project.read("lambda-pack.toml") + "[checks]\nhandler-not-found = 'ignore'\n"),
        );
        let ours = comparable(json_of(&invoke(project, &["f"], "{}")), &folder);
        if ours != theirs {
            differences.push(format!("import: {ours} | {theirs}"));
        }
    }
    assert_eq!(differences, Vec::<String>::new());
}

/// Three languages; one of them with Lambda's own runtime for Rust, another with machine code of packages.
#[test]
fn the_fixtures_answer() {
    let (minor, _) = python();
    let project = Project::copy_of("monorepo");
    let config = project.read("lambda-pack.toml").replace("python3.13", &format!("python3.{minor}"));
    project.write(
        "lambda-pack.toml",
        &format!("[defaults]\ntimeout = 30\narchitecture = '{}'\n{config}", host_architecture()),
    );
    for name in ["greet", "quote", "clock"] {
        let run = project.run(&["invoke", name]);
        assert_eq!(run.code, 0, "{name}: {}\n{}", run.stdout, run.stderr);
        assert!(json_of(&run).is_object(), "{name}: {}", run.stdout);
    }
    let several = project.run(&["invoke"]);
    assert_eq!((several.code, several.stdout.as_str()), (2, ""));
    assert!(several.stderr.contains("hint: name one of `clock`, `greet`, `quote`"), "{}", several.stderr);
}
