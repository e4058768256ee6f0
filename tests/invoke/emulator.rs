//! What Lambda's emulator and its client for Python say of the same functions.

use super::*;

/// What the emulator answers to an event: for a program that is a runtime, with the package in a folder.
pub(crate) fn asked(mut runtime: Command, folder: &Path, event: &str) -> String {
    let rie = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.tools/bin/aws-lambda-rie");
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (address, api) = (free(), free());
    let mut command = Command::new(&rie);
    command.args(["--runtime-interface-emulator-address", &address, "--runtime-api-address", &api]);
    command.arg(runtime.get_program()).args(runtime.get_args()).current_dir(folder).env_clear();
    runtime.env("LAMBDA_TASK_ROOT", folder).env("AWS_LAMBDA_FUNCTION_TIMEOUT", "2").env("PATH", "/usr/bin:/bin");
    command.envs(runtime.get_envs().filter_map(|(name, value)| Some((name, value?))));
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
    text.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// What it answers for a handler and Lambda's client for Python.
fn emulator(folder: &Path, (minor, python): &(u8, PathBuf), handler: &str, event: &str) -> Value {
    let mut client = Command::new(python);
    client.args(["-u", "-S", "-m", "awslambdaric", handler]).env("PYTHONPATH", folder);
    client.env("AWS_EXECUTION_ENV", format!("AWS_Lambda_python3.{minor}"));
    let body = asked(client, folder, event);
    serde_json::from_str(&body).unwrap_or_else(|_| json!(body))
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

/// A runtime that streams what it is told to, as it is documented for runtimes of one's own.
const STREAMS: &str = r#"
import base64, http.client, json, os, time
host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
while True:
    c = http.client.HTTPConnection(host, int(port))
    c.request("GET", "/2018-06-01/runtime/invocation/next")
    r = c.getresponse()
    event, id = json.loads(r.read()), r.headers["Lambda-Runtime-Aws-Request-Id"]
    c.close()
    c = http.client.HTTPConnection(host, int(port))
    c.putrequest("POST", "/2018-06-01/runtime/invocation/%s/response" % id)
    for name, value in [("Lambda-Runtime-Function-Response-Mode", "streaming"), ("Transfer-Encoding", "chunked"),
                        ("Content-Type", "text/plain"),
                        ("Trailer", "Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body")]:
        c.putheader(name, value)
    c.endheaders()
    for n in range(event["parts"]):
        part = ("part %d %s\n" % (n, "x" * event.get("size", 1))).encode()
        c.send(b"%x\r\n%s\r\n" % (len(part), part))
        time.sleep(event.get("pause", 0))
    end = b"0\r\n"
    if "fail" in event:
        body = base64.b64encode(json.dumps({"errorMessage": event["fail"], "errorType": "Half.Way"}).encode())
        end += b"Lambda-Runtime-Function-Error-Type: Half.Way\r\nLambda-Runtime-Function-Error-Body: " + body + b"\r\n"
    c.send(end + b"\r\n")
    c.getresponse().read()
"#;

/// What is streamed is the same to whoever waits for the whole of it.
#[test]
fn the_emulator_says_the_same_of_streams() {
    let (minor, python) = python();
    let python = python.canonicalize().unwrap();
    let project = told("timeout = 2\n");
    // A client of the package's own, in the place of Lambda's.
    project.write("f/awslambdaric/__init__.py", "").write("f/runtime_client.py", "");
    project.write("f/awslambdaric/__main__.py", &format!("def main(args):\n    exec({STREAMS:?})\n"));
    project.build::<&str>(&[]);
    let unpacked = project.unpack("f.zip");
    let folder = unpacked.path("");
    let both = |event: &str| {
        let mut runtime = Command::new(&python);
        runtime.args(["-u", "-S", "-c", "import awslambdaric.__main__ as m; m.main([])"]).env("PYTHONPATH", &folder);
        runtime.env("AWS_EXECUTION_ENV", format!("AWS_Lambda_python3.{minor}"));
        (invoke(&project, &["f"], event), asked(runtime, &folder, event))
    };
    for event in [r#"{"parts": 3, "pause": 0.1}"#, r#"{"parts": 0}"#, r#"{"parts": 2, "size": 3000000}"#] {
        let (ours, theirs) = both(event);
        assert_eq!(ours.code, 0, "{}", ours.stderr);
        assert!(ours.stdout == theirs, "{event}: {} bytes, {}", ours.stdout.len(), &theirs[..theirs.len().min(300)]);
    }
    // Nothing follows what was sent when the time is over; the emulator gives the bare message here, too.
    let (ours, theirs) = both(r#"{"parts": 4, "pause": 1}"#);
    let message = json_of(&ours)["errorMessage"].as_str().unwrap().to_owned();
    assert_eq!(message.split_once(" Error: ").unwrap().1, theirs);
    // The emulator forgets what comes behind the parts. Lambda tells of it: "Response streaming" for custom runtimes.
    let (ours, theirs) = both(r#"{"parts": 1, "fail": "no more"}"#);
    assert_eq!(theirs, "part 0 x\n");
    assert_eq!((ours.code, json_of(&ours)), (1, json!({"errorMessage": "no more", "errorType": "Half.Way"})));
}

/// The same of programs that bring Lambda's own runtime.
fn same_as_emulated(project: &Project, questions: &[(&str, &str)]) -> Vec<(i32, Value)> {
    let mut answers = Vec::new();
    for (name, event) in questions {
        let run = invoke(project, &[name], event);
        let unpacked = project.unpack(&format!("{name}.zip"));
        let folder = unpacked.path("");
        let theirs = asked(Command::new(folder.join("bootstrap")), &folder, event);
        let theirs: Value = serde_json::from_str(&theirs).unwrap_or_else(|e| panic!("{name} {e}: {theirs}"));
        assert_eq!(comparable(json_of(&run), "/"), comparable(theirs, "/"), "{name} {event}");
        answers.push((run.code, json_of(&run)));
    }
    answers
}

/// Programs of a Cargo workspace, with Lambda's own runtime for Rust.
#[test]
fn rust_programs_answer() {
    let project = Project::copy_of("rust-workspace");
    let main = project.read("worker/src/main.rs");
    let count = "    let records =";
    let ends = "    match event.payload[\"do\"].as_str() {\n        Some(\"fail\") => return Err(\"no good\".into()),\n        \
                Some(\"panic\") => panic!(\"not at all\"),\n        Some(\"exit\") => std::process::exit(7),\n        \
                Some(\"big\") => return Ok(json!(\"x\".repeat(7 << 20))),\n        _ => {}\n    }\n";
    assert!(main.contains(count));
    project.write("worker/src/main.rs", &main.replace(count, &format!("{ends}{count}")));
    let arch = host_architecture();
    let table = "runtime = 'provided.al2023'\nhandler = 'bootstrap'\n";
    project.write(
        "lambda-pack.toml",
        &format!("[functions.worker]\npath = 'worker'\n{table}architecture = '{arch}'\ntimeout = 20\n"),
    );
    let answers = same_as_emulated(
        &project,
        &[
            "{\"Records\": [1, 2]}",
            "{\"do\": \"fail\"}",
            "{\"do\": \"panic\"}",
            "{\"do\": \"exit\"}",
            "{\"do\": \"big\"}",
        ]
        .map(|event| ("worker", event)),
    );
    assert_eq!(answers[0], (0, json!({"records": 2})));
    assert_eq!((answers[1].0, &answers[1].1["errorMessage"]), (1, &json!("no good")));
    assert_eq!((answers[2].0, &answers[2].1["errorMessage"]), (1, &json!("Lambda panicked: not at all")));
    assert_eq!((answers[3].0, &answers[3].1["errorType"]), (1, &json!("Runtime.ExitError")));
    assert_eq!((answers[4].0, &answers[4].1["errorType"]), (1, &json!("Function.ResponseSizeTooLarge")));
}

/// Programs of a Go module, which bring Lambda's own runtime for Go.
#[test]
fn go_programs_answer() {
    let project = Project::copy_of("go-module");
    let arch = host_architecture();
    project.write(
        "lambda-pack.toml",
        &format!(
            "[defaults]\narchitecture = '{arch}'\ntimeout = 20\n[functions.api]\npath = 'cmd/api'\n[functions.worker]\npath = 'cmd/worker'\n"
        ),
    );
    let answers = same_as_emulated(
        &project,
        &[("api", r#"{"name": "Zoë"}"#), ("worker", r#"{"Records": [1, 2]}"#), ("worker", r#"{"Records": 1}"#)],
    );
    assert_eq!(answers[0], (0, json!({"greeting": "hello Zoë"})));
    assert_eq!(answers[1], (0, json!({"records": 2})));
    assert_eq!((answers[2].0, &answers[2].1["errorType"]), (1, &json!("UnmarshalTypeError")));
}
