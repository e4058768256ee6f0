//! What a function answers, and how it fails.

use super::*;

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
}
