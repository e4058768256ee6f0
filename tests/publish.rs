//! `publish` against a real S3 server, which verifies signatures, checksums and conditions, and keeps versions; judged by
//! a client that is not ours. And what it prints, read by those it is printed for.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod common;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use common::s3::{Server, server};
use common::server::python;
use common::{Project, Run};
use serde_json::Value;

const APP: &str = "def handler(event, context):\n    return 1\n";

fn project() -> Project {
    let project = Project::empty();
    project.write("app.py", APP);
    project
}

/// A project of functions `names`, each of one file.
fn functions(names: &[String]) -> Project {
    let project = Project::empty();
    let mut config = String::new();
    for name in names {
        project.write(&format!("{name}/app.py"), &format!("{APP}# {name}\n"));
        config.push_str(&format!(
            "[functions.{name}]\npath = '{name}'\nruntime = 'python3.13'\nhandler = 'app.handler'\n"
        ));
    }
    project.write("lambda-pack.toml", &config);
    project
}

fn command(project: &Project, user: &str, args: &[&str]) -> Command {
    let mut command = project.command(&["publish"]);
    server().sign_in(&mut command, user).args(args);
    command
}

fn publish(project: &Project, args: &[&str]) -> Run {
    Run::of(&mut command(project, "owner", args), &project.path(""))
}

fn published(project: &Project, args: &[&str]) -> Value {
    let run = publish(project, &[args, &["--format", "json"]].concat());
    assert_eq!(run.code, 0, "{}", run.transcript());
    serde_json::from_str(&run.stdout).unwrap()
}

/// `(key, version, sha256)` of each function in a manifest.
fn places(manifest: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("none").to_owned();
    let functions = manifest["functions"].as_array().unwrap();
    functions
        .iter()
        .map(|f| (text(&f["s3"]["key"]), text(&f["s3"]["version"]), text(&f["artifact"]["sha256"])))
        .collect()
}

#[test]
fn what_is_in_the_bucket_is_what_is_on_disk_and_is_sent_once() {
    let bucket = server().bucket("once", true);
    let project = functions(&["one".into(), "two".into()]);
    let args = ["--bucket", &bucket, "--s3", "always"];
    let first = published(&project, &args);
    // Read back by boto3: the same keys, versions and bytes, and nothing else.
    let stored = server().versions(&bucket);
    assert_eq!(stored, places(&first));
    for (function, (key, _, sha256)) in first["functions"].as_array().unwrap().iter().zip(places(&first)) {
        assert_eq!(key, format!("{}/{sha256}.zip", function["name"].as_str().unwrap()));
        let sum =
            common::tool("sha256sum", &[project.out(function["artifact"]["path"].as_str().unwrap()).as_os_str()], "");
        assert!(sum.starts_with(&sha256));
    }
    assert_eq!(project.read("target/lambda-pack/manifest.json"), serde_json::to_string_pretty(&first).unwrap() + "\n");

    // The second run sends nothing, and says the same.
    let run = publish(&project, &args);
    assert!(run.stdout.ends_with("\nnothing to upload: 2 zips are there already\n"), "{}", run.stdout);
    assert_eq!(places(&published(&project, &args)), places(&first));
    assert_eq!(server().versions(&bucket).len(), 2);

    // One line changed: one zip.
    project.write("two/app.py", &format!("{APP}# changed\n"));
    let run = publish(&project, &args);
    assert!(
        run.stdout.contains("\n1 zip uploaded (") && run.stdout.ends_with(", 1 zip is there already\n"),
        "{}",
        run.stdout
    );
    assert_eq!(server().versions(&bucket).len(), 3);
}

#[test]
fn a_name_as_key_has_a_version_for_each_content() {
    let bucket = server().bucket("by-name", true);
    let project = project();
    let args = ["--bucket", &bucket, "--s3", "always", "--key", "name", "--prefix", "/team/"];
    let first = places(&published(&project, &args));
    assert_eq!(places(&published(&project, &args)), first, "the same bytes are the same version");
    project.write("app.py", &format!("{APP}# changed\n"));
    let second = places(&published(&project, &args));
    assert_eq!((first[0].0.as_str(), second[0].0.as_str()), ("team/project.zip", "team/project.zip"));
    assert_ne!(first[0].1, second[0].1);
    let mut both = [first, second].concat();
    both.sort();
    assert_eq!(server().versions(&bucket), both);
}

#[test]
fn a_bucket_without_versions() {
    let bucket = server().bucket("no-versions", false);
    let project = project();
    let run = publish(&project, &["--bucket", &bucket, "--s3", "always", "--format", "json"]);
    assert_eq!(run.code, 0, "{}", run.transcript());
    let manifest: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(manifest["functions"][0]["s3"]["version"], Value::Null);
    assert_eq!(manifest["findings"][0]["rule"], "unversioned-bucket");
    insta::assert_snapshot!(run.stderr, @"
    warning[unversioned-bucket] `no-versions` keeps no versions: no S3ObjectVersion is printed (the key changes with the bytes, so a deployment still sees each change)
      hint: enable them: `aws s3api put-bucket-versioning --bucket no-versions --versioning-configuration Status=Enabled`; or set `unversioned-bucket = \"ignore\"` in `[checks]`
    ");
    let run = publish(&project, &["--bucket", &bucket, "--s3", "always", "--format", "env"]);
    assert!(run.stdout.contains("PROJECT_S3_KEY=") && !run.stdout.contains("VERSION"), "{}", run.stdout);

    let run = publish(&project, &["--bucket", &bucket, "--s3", "always", "--key", "name"]);
    assert_eq!(run.code, 3, "{}", run.transcript());
    assert!(
        run.stderr.starts_with("error[unversioned-bucket] `no-versions` keeps no versions, and with `--key name`"),
        "{}",
        run.stderr
    );
    let keys = server().boto(&[&bucket], "answer = [o['Key'] for o in s3.list_objects_v2(Bucket=args[0])['Contents']]");
    assert_eq!(keys.as_array().unwrap().len(), 1, "{keys}");
}

#[test]
fn other_bytes_under_the_key_get_a_version_of_the_right_ones_or_stay() {
    let project = project();
    project.done(&["build"]);
    let key =
        format!("project/{}.zip", project.build::<&str>(&[])["functions"][0]["artifact"]["sha256"].as_str().unwrap());
    let put = "answer = s3.put_object(Bucket=args[0], Key=args[1], Body=b'other bytes').get('VersionId')";
    for (name, versions) in [("taken-versions", true), ("taken-plain", false)] {
        let bucket = server().bucket(name, versions);
        let other = server().boto(&[&bucket, &key], put);
        let run = publish(&project, &["--bucket", &bucket, "--s3", "always", "--format", "json"]);
        if versions {
            let manifest: Value = serde_json::from_str(&run.stdout).unwrap();
            assert_ne!(manifest["functions"][0]["s3"]["version"], other);
            assert!(server().versions(&bucket).contains(&places(&manifest)[0]));
            assert!(run.stderr.contains("was written by something else"), "{}", run.stderr);
        } else {
            assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{}", run.transcript());
            assert!(run.stderr.contains("an object with other bytes (11) stands there"), "{}", run.stderr);
            let bytes = server()
                .boto(&[&bucket, &key], "answer = s3.get_object(Bucket=args[0], Key=args[1])['Body'].read().decode()");
            assert_eq!(bytes, "other bytes");
        }
    }
}

#[test]
fn two_publishers_at_once_end_with_one_object_and_one_version() {
    let bucket = server().bucket("two-at-once", true);
    let names: Vec<String> = (0..12).map(|n| format!("f{n:02}")).collect();
    let (one, other) = (functions(&names), functions(&names));
    let args = ["--bucket", bucket.as_str(), "--s3", "always", "--format", "json"];
    let start = |project: &Project| {
        command(project, "owner", &args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let (first, second) = (start(&one), start(&other));
    let answers = [first, second].map(|child| {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        places(&serde_json::from_slice(&output.stdout).unwrap())
    });
    assert_eq!(answers[0], answers[1]);
    let stored = server().versions(&bucket);
    assert_eq!(stored, answers[0]);
}

#[test]
fn two_hundred_functions_in_one_run() {
    let bucket = server().bucket("two-hundred", true);
    let names: Vec<String> = (0..200).map(|n| format!("f{n:03}")).collect();
    let project = functions(&names);
    let manifest = published(&project, &["--bucket", &bucket, "--s3", "always"]);
    assert_eq!(manifest["functions"].as_array().unwrap().len(), 200);
    let stored = server().versions(&bucket);
    assert_eq!(stored, places(&manifest));
}

#[test]
fn a_large_zip_goes_through_s3_by_itself_and_takes_little_memory() {
    let bucket = server().bucket("large", true);
    let project = Project::empty();
    project.write("bootstrap", "#!/bin/sh\n");
    common::tool("chmod", &["+x".as_ref(), project.path("bootstrap").as_os_str()], "apt-get install coreutils");
    common::tool(
        "sh",
        &["-c".as_ref(), "head -c 240000000 /dev/urandom > \"$0\"".as_ref(), project.path("model.bin").as_os_str()],
        "apt-get install coreutils",
    );
    // Without a bucket it is refused, and the zip stays for whoever wants to upload it by other means.
    let refused = publish(&project, &[]);
    assert_eq!((refused.code, refused.stdout.as_str()), (2, ""), "{}", refused.transcript());
    assert!(
        refused.stderr.contains("it has to go through S3, and no bucket is named")
            && refused.stderr.contains("--bucket"),
        "{}",
        refused.stderr
    );
    let never = publish(&project, &["--s3", "never", "--format", "json"]);
    assert_eq!(never.code, 3, "{}", never.stderr);
    assert!(
        never.stderr.starts_with(
            "error[zip-too-large-for-direct-upload] project: Zipped size must be smaller than 52428800 bytes"
        ),
        "{}",
        never.stderr
    );
    assert!(!project.out("project.zip").exists());

    // Its own peak, as the system has counted it.
    let script = "import resource, subprocess, sys\n\
                  code = subprocess.run(sys.argv[1:], stdout=sys.stderr).returncode\n\
                  print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)";
    let run = command(&project, "owner", &["--bucket", &bucket, "--format", "json"]);
    let mut measured = Command::new(python());
    measured.arg("-c").arg(script).arg(run.get_program()).args(run.get_args()).current_dir(project.path(""));
    for (name, value) in run.get_envs() {
        match value {
            Some(value) => measured.env(name, value),
            None => measured.env_remove(name),
        };
    }
    let output = measured.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let (code, peak) = std::str::from_utf8(&output.stdout).unwrap().trim().split_once(' ').unwrap();
    assert_eq!(code, "0", "{said}");
    let kilobytes: u64 = peak.parse().unwrap();
    assert!(kilobytes < 100_000, "{kilobytes} kB");
    let manifest: Value = serde_json::from_str(&project.read("target/lambda-pack/manifest.json")).unwrap();
    assert_eq!(manifest["functions"][0]["upload"], "s3");
    assert_eq!(server().versions(&bucket), places(&manifest));
}

#[test]
fn what_the_server_refuses_is_told_with_its_reason() {
    let bucket = server().bucket("refused", true);
    let project = project();
    let said_of = |bucket: &str, change: &dyn Fn(&mut Command)| {
        let mut command = command(&project, "owner", &["--bucket", bucket, "--s3", "always"]);
        change(&mut command);
        let run = Run::of(&mut command, &project.path(""));
        assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{}", run.transcript());
        run.stderr
    };
    let said = |change: &dyn Fn(&mut Command)| said_of(&bucket, change);
    let (_, secret) = server().keys("owner");
    let wrong = said(&|c| {
        c.env("AWS_SECRET_ACCESS_KEY", "wrong");
    });
    assert!(wrong.contains("SignatureDoesNotMatch: ") && wrong.contains("check AWS_SECRET_ACCESS_KEY"), "{wrong}");
    let unknown = said(&|c| {
        c.env("AWS_ACCESS_KEY_ID", "AKIAUNKNOWN000000000");
    });
    assert!(unknown.contains("InvalidAccessKeyId: ") && unknown.contains("check AWS_ACCESS_KEY_ID"), "{unknown}");
    let gone = said_of("gone", &|_| {});
    assert!(gone.contains("NoSuchBucket: ") && gone.contains("aws s3 mb s3://gone"), "{gone}");
    let guest = said(&|c| {
        server().sign_in(c, "guest");
    });
    assert!(
        guest.contains("AccessDenied: ")
            && guest.contains("the credentials need `s3:PutObject` on `arn:aws:s3:::refused/project/"),
        "{guest}"
    );
    for text in [wrong, unknown, gone, guest] {
        assert!(!text.contains(secret), "{text}");
    }
    assert_eq!(server().versions(&bucket).len(), 0);
}

#[test]
fn a_small_zip_needs_no_bucket_and_no_aws() {
    let project = project();
    let run = project.done(&["publish", "--region", "eu-west-1"]);
    let direct = "  small enough for a direct upload:\n    aws lambda update-function-code --function-name project \
                  --zip-file fileb://target/lambda-pack/project.zip --region eu-west-1\n";
    assert!(run.stdout.contains(direct), "{}", run.stdout);
    let env = project.done(&["publish", "--format", "env"]).stdout;
    assert!(env.starts_with("PROJECT_CODE_SHA256=") && env.lines().count() == 1, "{env}");
    // What is built says as much.
    assert_eq!(project.done(&["build", "--format", "env"]).stdout, env);
    for (args, words) in [
        (vec!["publish", "--s3", "always"], "no bucket is named"),
        (vec!["publish", "--format", "cloudformation"], "no bucket is named"),
        (vec!["publish", "--format", "tfvars", "--s3", "never", "--bucket", "box"], "`--s3 never` makes none"),
        (vec!["publish", "--bucket", "s3://box/team"], "write `--bucket box --prefix team`"),
        (vec!["publish", "--object-tag", "x"], "KEY=VALUE"),
        (vec!["build", "--format", "cloudformation"], "which only `publish` knows"),
        (vec!["plan", "--format", "env"], "which only `publish` knows"),
    ] {
        let run = project.run(&args);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{}", run.transcript());
        assert!(run.stderr.contains(words), "{}", run.stderr);
    }
    assert!(project.done(&["publish", "--dry-run"]).stdout.contains("nothing was packed"));
}

#[test]
fn the_summary_of_a_publish() {
    let bucket = server().bucket("summary", true);
    let project = project();
    let run = publish(&project, &["--bucket", &bucket, "--s3", "always"]);
    let version = places(&published(&project, &["--bucket", &bucket, "--s3", "always"]))[0].1.clone();
    let mut shown = String::new();
    for line in run.stdout.lines() {
        let line = if line.contains(" packed in ") { "1 function packed in [TIME]" } else { line };
        shown.push_str(&format!("{}\n", line.replace(&version, "[VERSION]")));
    }
    insta::assert_snapshot!(shown, @"
    project  python3.13 · x86_64 · app.handler
      target/lambda-pack/project.zip  152 B, 42 B unzipped, 1 file
      no dependencies
      S3Bucket            summary
      S3Key               project/caf4b0bf2db06b14f297a6efd194be6468b225c15f25e0d14a99d69dd61bddbf.zip
      S3ObjectVersion     [VERSION]
      CodeSha256          yvSwvy2waxTyl6bv0ZS+ZGiyJcFfJeDRSpnWndYb3b8=

    1 function packed in [TIME]
    manifest: target/lambda-pack/manifest.json
    1 zip uploaded (152 B)
    ");
}

#[test]
fn a_store_that_others_share() {
    let bucket = server().bucket("shared-store", false);
    let project = Project::copy_of("node-express");
    project.write("lambda-pack.toml", &format!("[store]\nremote = 's3://{bucket}/team'\n"));
    let build = |store: &str, change: &dyn Fn(&mut Command)| {
        let (key, secret) = server().keys("owner");
        let mut command = project.command(&["build", "-q"]);
        command
            .env("LAMBDA_PACK_CACHE_DIR", project.path("..").join(store))
            .env("npm_config_cache", project.path("../no-npm-cache"))
            .env("AWS_ENDPOINT_URL", server().endpoint())
            .env("AWS_ACCESS_KEY_ID", key)
            .env("AWS_SECRET_ACCESS_KEY", secret)
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_MAX_ATTEMPTS", "1")
            .env("AWS_EC2_METADATA_DISABLED", "true");
        change(&mut command);
        let _ = std::fs::remove_dir_all(project.path("target"));
        let run = Run::of(&mut command, &project.path(""));
        assert_eq!(run.code, 0, "{store}: {}", run.transcript());
        (std::fs::read(project.out("project.zip")).unwrap(), run.stderr)
    };
    let (first, said) = build("one", &|_| {});
    assert_eq!(said, "");
    // What was fetched is there, as the registry gave it, by its digest.
    let script = "import hashlib\nanswer = []\n\
                  for o in s3.list_objects_v2(Bucket=args[0])['Contents']:\n  \
                    body = s3.get_object(Bucket=args[0], Key=o['Key'])['Body'].read()\n  \
                    algorithm, digest = o['Key'].rsplit('/', 1)[1].split('-')\n  \
                    assert hashlib.new(algorithm, body).hexdigest() == digest, o\n  \
                    answer.append(o['Key'])";
    let keys = server().boto(&[&bucket], script);
    let keys: Vec<&str> = keys.as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
    assert!(keys.len() > 10 && keys.iter().all(|key| key.starts_with("team/archives-v1/sha512-")), "{keys:?}");

    // Another machine needs no registry.
    let no_registry = |command: &mut Command| {
        command.env("HTTPS_PROXY", "http://127.0.0.1:1").env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
    };
    let (second, said) = build("two", &no_registry);
    assert!(second == first);
    assert_eq!(said, "");

    // An object that somebody has replaced is not taken, and a shared store that is not there only costs the sharing.
    let put = "s3.put_object(Bucket=args[0], Key=args[1], Body=b'other')\nanswer = None";
    server().boto(&[&bucket, keys[0]], put);
    let (third, said) = build("three", &|_| {});
    assert!(third == first);
    assert!(said.contains("in the shared store does not have its digest"), "{said}");
    let (fourth, said) = build("four", &|command| {
        command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    });
    assert!(fourth == first);
    assert_eq!(said.matches("warning: the shared store s3://shared-store/team was not used: ").count(), 1, "{said}");
}

/// A project whose names and keys are as odd as they may be, and what `publish --format …` prints of it.
fn odd(format: &str, server: &Server, bucket: &str) -> (Project, Run, Value) {
    let project = functions(&["my-api_2".into(), "Worker".into()]);
    let prefix = "team's $HOME `x` \"q\" a&b=c;é";
    let args = ["--bucket", bucket, "--s3", "always", "--prefix", prefix];
    let manifest = published(&project, &args);
    let mut command = command(&project, "owner", &args);
    command.args(["--format", format]);
    let run = Run::of(&mut command, &project.path(""));
    assert_eq!(run.code, 0, "{}", run.transcript());
    assert_eq!(server.versions(bucket).len(), 2);
    (project, run, manifest)
}

/// Hands text to a program; gives what it prints.
fn fed(program: &Path, args: &[&str], input: &str) -> String {
    fed_in(Path::new("."), program, args, input)
}

/// The same in a folder.
fn fed_in(folder: &Path, program: &Path, args: &[&str], input: &str) -> String {
    let mut command = Command::new(program);
    command.current_dir(folder).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{}: {e}: run `make tools`", program.display()));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}\n{input}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_shell_reads_env() {
    let bucket = server().bucket("format-env", true);
    let (project, run, manifest) = odd("env", server(), &bucket);
    project.write("outputs.env", &run.stdout);
    let script = ". ./outputs.env; printf '%s\\n' \"$MY_API_2_S3_BUCKET\" \"$MY_API_2_S3_KEY\" \"$MY_API_2_S3_OBJECT_VERSION\" \
                  \"$MY_API_2_CODE_SHA256\" \"$WORKER_S3_KEY\"";
    let mut shell = Command::new("sh");
    let said = Run::of(shell.args(["-euc", script]).current_dir(project.path("")), &project.path(""));
    assert_eq!(said.stderr, "");
    let function = |n: usize| &manifest["functions"][n];
    let expected = [
        &function(1)["s3"]["bucket"],
        &function(1)["s3"]["key"],
        &function(1)["s3"]["version"],
        &function(1)["artifact"]["code_sha256"],
        &function(0)["s3"]["key"],
    ];
    assert_eq!(said.stdout.lines().collect::<Vec<_>>(), expected.map(|v| v.as_str().unwrap()));
}

#[test]
fn jq_reads_json() {
    let bucket = server().bucket("format-json", true);
    let (_, run, manifest) = odd("json", server(), &bucket);
    let filter = ".functions[] | select(.name == \"Worker\") | .s3.key";
    let key = fed(Path::new("jq"), &["-r", filter], &run.stdout);
    assert_eq!(key.trim_end(), manifest["functions"][0]["s3"]["key"].as_str().unwrap());
}

#[test]
fn github_reads_its_output_file() {
    let bucket = server().bucket("format-github", true);
    let (project, run, manifest) = odd("github", server(), &bucket);
    let args =
        ["--bucket", &bucket, "--s3", "always", "--prefix", "team's $HOME `x` \"q\" a&b=c;é", "--format", "github"];
    project.write("github-output", "before=1\n");
    let mut command = command(&project, "owner", &args);
    let appended = Run::of(command.env("GITHUB_OUTPUT", project.path("github-output")), &project.path(""));
    assert_eq!((appended.code, appended.stdout.as_str()), (0, ""), "{}", appended.transcript());
    assert_eq!(project.read("github-output"), format!("before=1\n{}", run.stdout));
    // As the runner reads it: a name, the first `=`, and the rest of the line; `<<` before that begins a block.
    let mut outputs = std::collections::HashMap::new();
    for line in run.stdout.lines() {
        let (name, value) = line.split_once('=').unwrap();
        assert!(
            !name.contains("<<") && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
            "{line}"
        );
        outputs.insert(name, value);
    }
    assert_eq!(outputs["my_api_2_s3_key"], manifest["functions"][1]["s3"]["key"]);
    assert_eq!(outputs["worker_s3_object_version"], manifest["functions"][0]["s3"]["version"]);
    assert_eq!(outputs["worker_code_sha256"], manifest["functions"][0]["artifact"]["code_sha256"]);
}

#[test]
fn cloudformation_takes_its_parameters() {
    let bucket = server().bucket("format-cfn", true);
    let (_, run, manifest) = odd("cloudformation", server(), &bucket);
    // The model of the service, as the AWS command line has it, judges what `--parameters file://…` would send.
    let script = "import botocore.session, botocore.validate, json, sys\n\
                  model = botocore.session.get_session().get_service_model('cloudformation')\n\
                  shape = model.operation_model('CreateStack').input_shape\n\
                  parameters = json.load(sys.stdin)\n\
                  report = botocore.validate.ParamValidator().validate({'StackName': 'x', 'Parameters': parameters}, shape)\n\
                  assert not report.has_errors(), report.generate_report()\n\
                  assert all(p['ParameterKey'].isalnum() for p in parameters)\n\
                  print(json.dumps({p['ParameterKey']: p['ParameterValue'] for p in parameters}))";
    let parameters: Value = serde_json::from_str(&fed(&python(), &["-c", script], &run.stdout)).unwrap();
    let (api, worker) = (&manifest["functions"][1]["s3"], &manifest["functions"][0]["s3"]);
    assert_eq!(
        parameters,
        serde_json::json!({
            "WorkerS3Bucket": worker["bucket"], "WorkerS3Key": worker["key"], "WorkerS3ObjectVersion": worker["version"],
            "MyApi2S3Bucket": api["bucket"], "MyApi2S3Key": api["key"], "MyApi2S3ObjectVersion": api["version"],
        })
    );
    // Names that differ only for others.
    let twins = functions(&["my-api".into(), "MyApi".into()]);
    let run = publish(&twins, &["--bucket", &bucket, "--format", "cloudformation"]);
    assert_eq!(run.code, 2, "{}", run.transcript());
    assert!(run.stderr.contains("are both `MyApi…` among CloudFormation's parameters"), "{}", run.stderr);
}

#[test]
fn terraform_reads_tfvars() {
    let bucket = server().bucket("format-tfvars", true);
    let (_, run, manifest) = odd("tfvars", server(), &bucket);
    let checker = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tfvars");
    let said = fed_in(&checker, Path::new("go"), &["run", "."], &run.stdout);
    let variables: Value = serde_json::from_str(&said).unwrap();
    let worker = &manifest["functions"][0];
    assert_eq!(
        variables["Worker"],
        serde_json::json!({
            "s3_bucket": worker["s3"]["bucket"],
            "s3_key": worker["s3"]["key"],
            "s3_object_version": worker["s3"]["version"],
            "source_code_hash": worker["artifact"]["code_sha256"],
            "layers": [],
        })
    );
    assert_eq!(variables["my-api_2"]["s3_key"], manifest["functions"][1]["s3"]["key"]);
}
