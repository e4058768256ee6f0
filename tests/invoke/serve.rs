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
    let mut child = start(&mut project.command(&args));
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

    /// An answer to bytes on a connection, without a client in between.
    pub(super) fn raw(&self, request: &str) -> String {
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
