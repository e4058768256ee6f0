//! A program for images that hold nothing else: it does what an event says, a JSON string, and answers with one.
use std::io::{Read, Write};

fn call(head: &str, body: &str) -> Option<(String, String)> {
    let api = std::env::var("AWS_LAMBDA_RUNTIME_API").ok()?;
    let mut stream = std::net::TcpStream::connect(&api).ok()?;
    let length = body.len();
    write!(stream, "{head} HTTP/1.1\r\nHost: {api}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head.to_owned(), body.to_owned()))
}

fn said<T>(result: std::io::Result<T>) -> String {
    result.map_or_else(|e| format!("{:?}", e.kind()), |_| "ok".to_owned())
}

fn act(event: &str) -> String {
    let (what, path) = event.split_once(' ').unwrap_or((event, ""));
    match what {
        "environment" => {
            let mut set: Vec<String> = std::env::vars().map(|(name, value)| format!("{name}={value}")).collect();
            set.sort();
            set.join("\n")
        }
        "arguments" => format!("{:?} in {:?}", std::env::args().collect::<Vec<_>>(), std::env::current_dir().unwrap()),
        "read" => std::fs::read_to_string(path).unwrap_or_else(|e| format!("{:?}", e.kind())),
        "write" => said(std::fs::write(path, "x")),
        "list" => {
            let names = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let mut names: Vec<String> = names.collect();
            names.sort();
            names.join(" ")
        }
        "sleep" => loop {
            std::thread::sleep(std::time::Duration::from_secs(1));
        },
        "exit" => std::process::exit(7),
        _ => event.to_owned(),
    }
}

fn main() {
    while let Some((head, event)) = call("GET /2018-06-01/runtime/invocation/next", "") {
        let id = head.lines().find_map(|line| line.to_lowercase().strip_prefix("lambda-runtime-aws-request-id: ").map(str::to_owned));
        let answer = act(event.trim().trim_matches('"'));
        let answer = answer.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('\t', "\\t");
        call(&format!("POST /2018-06-01/runtime/invocation/{}/response", id.unwrap()), &format!("\"{answer}\""));
    }
}
