//! What a function sees of this machine, and what it leaves on it.

use super::*;

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
