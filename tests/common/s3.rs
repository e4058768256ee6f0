//! A real S3 server, one for each test binary, and a client of it that is not ours.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// The server. It ends when its standard input is closed, which the end of this process does.
pub struct Server {
    pub endpoint: String,
    users: Value,
    _alive: ChildStdin,
    _process: Child,
}

pub fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/s3-server");
        let mut child = Command::new(python())
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the tools are missing: run `make tools`");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).expect("the S3 server says that it is ready");
        Server {
            endpoint: ready["endpoint"].as_str().unwrap().to_owned(),
            users: ready["users"].clone(),
            _alive: child.stdin.take().unwrap(),
            _process: child,
        }
    })
}

/// The Python that has boto3.
pub fn python() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.tools/venv/bin/python")
}

impl Server {
    /// A user's access key and secret.
    pub fn keys(&self, user: &str) -> (&str, &str) {
        let key = |name: &str| self.users[user][name].as_str().unwrap();
        (key("access_key"), key("secret_key"))
    }

    /// Lets a command talk to this server as a user.
    pub fn sign_in<'c>(&self, command: &'c mut Command, user: &str) -> &'c mut Command {
        let (key, secret) = self.keys(user);
        super::aws(command, &self.endpoint, key, secret)
    }

    /// Runs a script with `s3` (boto3's client), `args`, and gives what it assigns to `answer`.
    pub fn boto(&self, args: &[&str], script: &str) -> Value {
        let code = format!(
            "import boto3, json, sys\ns3 = boto3.client('s3')\nargs = sys.argv[1:]\n{script}\nprint(json.dumps(answer, default=str))"
        );
        let mut command = Command::new(python());
        command.arg("-c").arg(code).args(args);
        let output = self.sign_in(&mut command, "owner").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// A new bucket; with `versions`, one that keeps them.
    pub fn bucket(&self, name: &str, versions: bool) -> String {
        self.boto(
            &[name, if versions { "Enabled" } else { "" }],
            "s3.create_bucket(Bucket=args[0], CreateBucketConfiguration={'LocationConstraint': 'eu-west-1'})\n\
             if args[1]: s3.put_bucket_versioning(Bucket=args[0], VersioningConfiguration={'Status': args[1]})\n\
             answer = None",
        );
        name.to_owned()
    }

    /// Every version in a bucket, as `(key, version, sha256 of its bytes)`, sorted.
    pub fn versions(&self, bucket: &str) -> Vec<(String, String, String)> {
        let found = self.boto(
            &[bucket],
            "import hashlib\nanswer = []\n\
             for page in s3.get_paginator('list_object_versions').paginate(Bucket=args[0]):\n  \
               for v in page.get('Versions', []):\n    \
                 body = s3.get_object(Bucket=args[0], Key=v['Key'], VersionId=v['VersionId'])['Body'].read()\n    \
                 answer.append([v['Key'], v['VersionId'], hashlib.sha256(body).hexdigest()])\n\
             answer.sort()",
        );
        let text = |v: &Value| v.as_str().unwrap().to_owned();
        found.as_array().unwrap().iter().map(|v| (text(&v[0]), text(&v[1]), text(&v[2]))).collect()
    }
}
