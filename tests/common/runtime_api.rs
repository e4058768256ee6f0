//! Lambda's Runtime API, as far as a custom runtime needs it to answer one event.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// A child that does not outlive the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a `bootstrap` as Lambda does, gives it one event, and returns what it answers.
pub fn invoke(bootstrap: &Path, event: &str) -> String {
    invoke_by(event, |address| {
        let mut command = Command::new(bootstrap);
        command.env_clear().env("AWS_LAMBDA_RUNTIME_API", address);
        for (name, value) in [("NAME", "api"), ("MEMORY_SIZE", "128"), ("VERSION", "1")] {
            command.env(format!("AWS_LAMBDA_FUNCTION_{name}"), value);
        }
        command.env("AWS_LAMBDA_LOG_GROUP_NAME", "group").env("AWS_LAMBDA_LOG_STREAM_NAME", "stream");
        command
    })
}

/// The same by a command of the test's own, which gets the address of the Runtime API.
pub fn invoke_by(event: &str, command: impl FnOnce(&str) -> Command) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut command = command(&address);
    let spawned = command.stdin(Stdio::null()).spawn();
    let _running = Running(spawned.unwrap_or_else(|e| panic!("{command:?} does not start: {e}")));
    let (sender, receiver) = mpsc::channel();
    let event = event.to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let sender = sender.clone();
            let event = event.clone();
            std::thread::spawn(move || serve(stream.unwrap(), &event, &sender));
        }
    });
    receiver.recv_timeout(Duration::from_secs(30)).expect("the function asks for an event and answers it")
}

/// The Runtime API on one connection.
fn serve(mut stream: TcpStream, event: &str, answers: &mpsc::Sender<String>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let body = body(&mut reader);
        if line.starts_with("GET /2018-06-01/runtime/invocation/next ") {
            let headers = "Lambda-Runtime-Aws-Request-Id: 1\r\nLambda-Runtime-Deadline-Ms: 9999999999999\r\n\
                           Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:eu-west-1:1:function:api\r\n";
            let length = event.len();
            write!(stream, "HTTP/1.1 200 OK\r\n{headers}Content-Length: {length}\r\n\r\n{event}").unwrap();
        } else {
            assert!(line.starts_with("POST /2018-06-01/runtime/invocation/1/response "), "{line}: {body}");
            let _ = answers.send(body);
            return;
        }
    }
}

/// The body of a request whose first line was read.
fn body(reader: &mut impl BufRead) -> String {
    let mut length = 0;
    let mut chunked = false;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        let header = header.trim().to_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        chunked |= header == "transfer-encoding: chunked";
    }
    if chunked {
        let mut size = String::new();
        reader.read_line(&mut size).unwrap();
        length = usize::from_str_radix(size.trim(), 16).unwrap();
    }
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}
