//! A server of `tests/` in Python, and clients of it that are not ours.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::Value;

/// A server that runs. It ends when its standard input is closed, which the end of this process does.
pub struct Running {
    /// The line of JSON with which it says that it is ready.
    pub ready: Value,
    pub endpoint: String,
    _alive: ChildStdin,
    _process: Child,
}

/// The Python that has the servers and boto3.
pub fn python() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.tools/venv/bin/python")
}

impl Running {
    /// Starts a script of `tests/` and waits until it is ready.
    pub fn start(script: &str) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(script);
        let mut child = Command::new(python())
            .arg(&script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the tools are missing: run `make tools`");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{script:?} is not ready: {line}"));
        let endpoint = ready["endpoint"].as_str().unwrap().to_owned();
        Self { ready, endpoint, _alive: child.stdin.take().unwrap(), _process: child }
    }

    /// Runs a script with boto3's clients `client` (of Lambda) and `s3`, and `args`; gives what it assigns to `answer`.
    pub fn boto(&self, (key, secret): (&str, &str), args: &[&str], script: &str) -> Value {
        let code = format!(
            "import boto3, json, sys\nclient = boto3.client('lambda')\ns3 = boto3.client('s3')\nargs = sys.argv[1:]\n{script}\nprint(json.dumps(answer, default=str))"
        );
        let mut command = Command::new(python());
        command.arg("-c").arg(code).args(args);
        super::aws(&mut command, &self.endpoint, key, secret).env("AWS_DEFAULT_REGION", "eu-west-1");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}
