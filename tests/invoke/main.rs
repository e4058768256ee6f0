//! `invoke`: what was packed answers here as on Lambda, and leaves nothing behind.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod answers;
#[path = "../common/mod.rs"]
mod common;
#[cfg(feature = "corpus")]
mod corpus;
mod dotnet;
mod emulator;
mod images;
mod java;
mod node;
mod ruby;
mod sandbox;
mod serve;

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
    said(&mut project.command(&all), event)
}

/// What a command says that is given an event.
fn said(command: &mut Command, event: &str) -> Run {
    let mut child = start(command.stdin(Stdio::piped()));
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
