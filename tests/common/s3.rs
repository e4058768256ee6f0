//! A real S3 server, one for each test binary, and a client of it that is not ours.

use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use super::server::Running;

/// The server.
pub struct Server(Running);

pub fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server(Running::start("s3-server")))
}

impl Server {
    /// A user's access key and secret.
    pub fn keys(&self, user: &str) -> (&str, &str) {
        let key = |name: &str| self.0.ready["users"][user][name].as_str().unwrap();
        (key("access_key"), key("secret_key"))
    }

    /// Lets a command talk to this server as a user.
    pub fn sign_in<'c>(&self, command: &'c mut Command, user: &str) -> &'c mut Command {
        let (key, secret) = self.keys(user);
        super::aws(command, self.endpoint(), key, secret)
    }

    pub fn endpoint(&self) -> &str {
        &self.0.endpoint
    }

    /// What a script of boto3 assigns to `answer`, see [`Running::boto`].
    pub fn boto(&self, args: &[&str], script: &str) -> Value {
        self.0.boto(self.keys("owner"), args, script)
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
