//! `--serve`, asked by the AWS command line.

use super::*;

/// A server that answers until it is dropped.
pub(super) struct Served {
    child: Running,
    endpoint: String,
    pub(super) log: std::sync::Arc<std::sync::Mutex<String>>,
}

pub(super) fn serve(project: &Project, more: &[&str]) -> Served {
    let mut args = vec!["invoke", "--serve", "127.0.0.1:0"];
    args.extend(more);
    serve_by(&mut project.command(&args))
}

pub(super) fn serve_by(command: &mut Command) -> Served {
    let mut child = start(command);
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
    let endpoint = told.recv_timeout(Duration::from_secs(120)).unwrap_or_else(|_| panic!("{}", log.lock().unwrap()));
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

    /// The events that the SDK for Python gets of a streamed answer, each with the seconds since it has asked.
    fn streamed(&self, function: &str, event: &str) -> Vec<Value> {
        const ASK: &str = r#"
import boto3, json, sys, time
client = boto3.client("lambda", endpoint_url=sys.argv[1], region_name="eu-west-1")
begin = time.time()
answer = client.invoke_with_response_stream(FunctionName=sys.argv[2], Payload=sys.argv[3], LogType="Tail")
print(json.dumps({"status": answer["StatusCode"], "version": answer["ExecutedVersion"]}))
for event in answer["EventStream"]:
    (name, value), = event.items()
    text = value["Payload"].decode() if name == "PayloadChunk" else value
    print(json.dumps({"after": time.time() - begin, name: text}))
"#;
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.tools/venv/bin/python");
        let mut command = Command::new(&python);
        common::aws(&mut command, &self.endpoint, "key", "secret");
        let output = command.args(["-c", ASK, &self.endpoint, function, event]).output();
        let output = output.unwrap_or_else(|e| panic!("{} cannot be run ({e}): run `make tools`", python.display()));
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// An answer to bytes on a connection, without a client in between.
    pub(super) fn raw(&self, request: &str) -> String {
        let mut stream = std::net::TcpStream::connect(self.endpoint.strip_prefix("http://").unwrap()).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut out = Vec::new();
        stream.read_to_end(&mut out).unwrap();
        String::from_utf8_lossy(&out).into_owned()
    }
}

#[test]
fn the_aws_command_line_invokes_what_is_served() {
    let project = told("timeout = 20\n");
    let served = serve(&project, &["--watch"]);
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

/// The SDK for Python reads the parts while they are made, and how it has ended.
#[test]
fn streamed_answers_come_as_they_are_made() {
    let project = node::node(&[("index.js", node::STREAMS)], "index.handler", "nodejs22.x");
    let served = serve(&project, &["--watch"]);
    let events = served.streamed("f", r#"{"pause": 400}"#);
    assert_eq!(events[0], json!({"status": 200, "version": "$LATEST"}));
    let parts: Vec<&str> = events.iter().filter_map(|event| event["PayloadChunk"].as_str()).collect();
    assert_eq!(parts, ["part 0 x\n", "part 1 x\n", "part 2 x\n"]);
    // Not at once: there are 400 ms between one and the next.
    let after = |n: usize| events[n]["after"].as_f64().unwrap();
    assert!(after(3) - after(1) > 0.2, "{events:?}");
    let end = &events.last().unwrap()["InvokeComplete"];
    assert!(end.get("ErrorCode").is_none() && end["LogResult"].is_string(), "{end}");
    // More than an answer may have that is no stream.
    let events = served.streamed("f", r#"{"size": 3000000}"#);
    let bytes: usize = events.iter().filter_map(|event| event["PayloadChunk"].as_str()).map(str::len).sum();
    assert_eq!(bytes, 9_000_024);
    // Nor may it here, where the whole is waited for.
    let (ok, said, answer) = served.aws("f", &["--payload", r#"{"size": 3000000}"#]);
    assert!(ok && said.contains("\"FunctionError\": \"Unhandled\""), "{said}");
    let document: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(document["errorType"], "Function.ResponseSizeTooLarge");
    // What was sent before it has failed is there, and that it has.
    let events = served.streamed("f", r#"{"fail": true}"#);
    assert_eq!(events.iter().filter(|event| event.get("PayloadChunk").is_some()).count(), 3);
    let end = &events.last().unwrap()["InvokeComplete"];
    let details: Value = serde_json::from_str(end["ErrorDetails"].as_str().unwrap()).unwrap();
    assert_eq!((&end["ErrorCode"], &details["errorMessage"]), (&json!("Error"), &json!("half way")));
    // A function that streams nothing answers in one part, and fails without one.
    project.write(
        "f/index.js",
        "exports.handler = async (event) => { if (event.fail) throw new Error('no'); return {a: event.a}; };",
    );
    soon("it is not packed anew", || served.log.lock().unwrap().contains("packed anew"));
    let events = served.streamed("f", r#"{"a": 7}"#);
    assert_eq!((events.len(), &events[1]["PayloadChunk"]), (3, &json!("{\"a\":7}")));
    let events = served.streamed("f", r#"{"fail": 1}"#);
    assert_eq!((events.len(), &events[1]["InvokeComplete"]["ErrorCode"]), (2, &json!("Error")));
    // Clients that go away leave an environment that answers the next event.
    let head = "POST /2021-11-15/functions/f/response-streaming-invocations HTTP/1.1\r\n";
    project.write("f/index.js", node::STREAMS);
    soon("it is not packed anew", || served.log.lock().unwrap().matches("packed anew").count() == 2);
    for _ in 0..20 {
        let mut stream = std::net::TcpStream::connect(served.endpoint.strip_prefix("http://").unwrap()).unwrap();
        write!(stream, "{head}Content-Length: 17\r\n\r\n{{\"size\": 3000000}}").unwrap();
        stream.read_exact(&mut [0; 100]).unwrap();
    }
    // What is busy with these yet is not free for more.
    soon("it does not answer", || {
        let head = head.replace("HTTP/1.1", "HTTP/1.1\r\nConnection: close");
        let answer = served.raw(&format!("{head}Content-Length: 2\r\n\r\n{{}}"));
        answer.starts_with("HTTP/1.1 200") && answer.contains("x-amzn-RequestId: ")
    });
    assert_eq!(served.streamed("f", "{}").len(), 5);
    // It is not asked for what is not waited for; and refusals are what they are elsewhere.
    for (request, said) in [
        (format!("{head}X-Amz-Invocation-Type: Event\r\n"), "InvalidParameterValueException"),
        (head.replace("/f/", "/g/"), "ResourceNotFoundException"),
        (format!("{head}X-Amz-Client-Context: W10=\r\n"), "InvalidRequestContentException"),
    ] {
        let refused = served.raw(&format!("{request}Connection: close\r\nContent-Length: 2\r\n\r\n{{}}"));
        assert!(refused.contains(said), "{refused}");
    }
}
