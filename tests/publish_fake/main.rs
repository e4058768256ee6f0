//! `publish` against an S3 that misbehaves the way AWS does: the right object, or an error that says what to do, and never
//! a key that is not there.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

#[path = "../common/mod.rs"]
mod common;
mod connection;
mod failures;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::fake_s3::{Fake, Fault};
use common::{Project, Run};
use serde_json::Value;

const KEY: &str = "AKIAFAKEFAKEFAKE0000";

const SECRET: &str = "fake/Secret+0123456789abcdef";

fn project() -> Project {
    let project = Project::empty();
    project.write("app.py", "def handler(event, context):\n    return 1\n");
    project
}

/// `publish --s3 always --bucket box` and more.
fn command(project: &Project, fake: &Fake, args: &[&str]) -> Command {
    let mut command = project.command(&["publish", "--s3", "always", "--bucket", "box"]);
    common::aws(&mut command, &fake.endpoint(), KEY, SECRET).env("AWS_MAX_ATTEMPTS", "2").args(args);
    command
}

fn publish(project: &Project, fake: &Fake, args: &[&str]) -> Run {
    Run::of(&mut command(project, fake, args), &project.path(""))
}

fn manifest(run: &Run) -> Value {
    assert_eq!(run.code, 0, "{}", run.transcript());
    serde_json::from_str(&run.stdout).unwrap()
}

/// Where the one function is, which must be where its bytes are.
fn place(project: &Project, fake: &Fake, run: &Run) -> (String, Value) {
    let manifest = manifest(run);
    let s3 = &manifest["functions"][0]["s3"];
    let key = s3["key"].as_str().unwrap().to_owned();
    let bytes = std::fs::read(project.out("project.zip")).unwrap();
    let versions = fake.versions(&key);
    let stored = match s3["version"].as_str() {
        Some(version) => versions.iter().find(|object| object.version == version),
        None => versions.last(),
    };
    assert!(stored.is_some_and(|object| object.bytes == bytes), "{s3}: {versions:?}");
    (key, s3["version"].clone())
}

/// The work failed, and nothing says that the zip is somewhere.
fn failed(project: &Project, run: &Run, words: &[&str]) {
    assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{}", run.transcript());
    for word in words {
        assert!(run.stderr.contains(word), "{word}\n{}", run.stderr);
    }
    let manifest: Value = serde_json::from_str(&project.read("target/lambda-pack/manifest.json")).unwrap();
    assert!(manifest["functions"][0].get("s3").is_none());
}

#[test]
fn a_store_without_checksums_is_asked_what_stands_there() {
    let (project, fake) = (project(), Fake::start());
    fake.forgets_checksums();
    place(&project, &fake, &publish(&project, &fake, &["--format", "json"]));
    // The digest in the metadata is enough to know it again.
    let again = publish(&project, &fake, &["--format", "json"]);
    place(&project, &fake, &again);
    assert_eq!((fake.requests("PUT").len(), fake.requests("HEAD").len()), (1, 3));

    let fake = Fake::start();
    fake.forgets_checksums().fail("PUT", "/box/", 99, Fault::Lie);
    failed(&project, &publish(&project, &fake, &[]), &["the service took it, and then said that nothing is there"]);
}

#[test]
fn a_store_without_conditions_is_written_without_them() {
    let (project, fake) = (project(), Fake::start());
    fake.fail("PUT", "/box/", 1, Fault::Error(501, "NotImplemented"));
    place(&project, &fake, &publish(&project, &fake, &["--format", "json"]));
    let conditions: Vec<String> = fake.requests("PUT").iter().map(|r| r.header("if-none-match").to_owned()).collect();
    assert_eq!(conditions, ["*", ""]);
}

#[test]
fn what_may_not_be_looked_up_is_not_taken_for_absent_without_a_word() {
    let (project, fake) = (project(), Fake::start());
    fake.fail("HEAD", "/box/", 99, Fault::Bare(403));
    let run = publish(&project, &fake, &["--format", "json"]);
    place(&project, &fake, &run);
    assert!(
        run.stderr.contains("may not be read (403), so it is sent; looking it up takes `s3:GetObject`"),
        "{}",
        run.stderr
    );
    // Now it stands there, and nobody can say which version it is.
    let again = publish(&project, &fake, &[]);
    failed(
        &project,
        &again,
        &["neither its digest nor its version may be read", "`s3:ListBucket` on `arn:aws:s3:::box`"],
    );
    assert_eq!(fake.keys().len(), 1);
}

#[test]
fn what_could_not_be_looked_up_is_looked_up_again_once_it_is_there() {
    let (project, fake) = (project(), Fake::start());
    project.done(&["build"]);
    let bytes: &'static [u8] = std::fs::read(project.out("project.zip")).unwrap().leak();
    // Who may not list a bucket hears 403 of what is not there, and sees what is.
    fake.fail("HEAD", "/box/", 2, Fault::Bare(403)).fail("PUT", "/box/", 1, Fault::Overtaken(bytes));
    let (key, version) = place(&project, &fake, &publish(&project, &fake, &["--format", "json"]));
    assert_eq!((fake.versions(&key).len(), version.as_str()), (1, Some("version-1")));
}

#[test]
fn an_object_from_before_the_bucket_kept_versions_gets_one() {
    let (project, fake) = (project(), Fake::start());
    project.done(&["build"]);
    let bytes = std::fs::read(project.out("project.zip")).unwrap();
    for args in [vec!["--key", "name"], vec![], vec!["--storage-mode", "reference"]] {
        let fake = Fake::start();
        let manifest: Value = serde_json::from_str(&project.read("target/lambda-pack/manifest.json")).unwrap();
        let sha256 = manifest["functions"][0]["artifact"]["sha256"].as_str().unwrap();
        let key = if args.contains(&"name") { "project.zip".to_owned() } else { format!("project/{sha256}.zip") };
        fake.store_unversioned(&key, &bytes);
        let (_, version) =
            place(&project, &fake, &publish(&project, &fake, &[&args[..], &["--format", "json"]].concat()));
        assert_eq!(version.as_str(), Some("version-2"), "{args:?}");
    }
    assert_eq!(fake.requests("PUT").len(), 0);
}

#[test]
fn a_checksum_that_only_kms_may_read_is_not_needed() {
    let (project, fake) = (project(), Fake::start());
    place(&project, &fake, &publish(&project, &fake, &["--format", "json"]));
    // The first question asks for the checksum, which needs kms:Decrypt; the second one does not.
    fake.fail("HEAD", "/box/", 1, Fault::Bare(403));
    let run = publish(&project, &fake, &["--format", "json"]);
    place(&project, &fake, &run);
    assert_eq!((fake.requests("PUT").len(), run.stderr.as_str()), (1, ""));
}

#[test]
fn a_bucket_in_another_region_is_refused_before_anything_is_written() {
    let (project, fake) = (project(), Fake::start());
    fake.only_region("us-west-2");
    let run = publish(&project, &fake, &["--format", "json"]);
    assert_eq!(run.code, 3, "{}", run.transcript());
    let found: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(found["findings"][0]["rule"], "cross-region-bucket");
    assert!(found["functions"][0].get("s3").is_none());
    assert!(
        run.stderr.contains("The bucket is in this region: us-west-2") && run.stderr.contains("--region us-west-2"),
        "{}",
        run.stderr
    );
    assert_eq!(fake.requests("PUT").len(), 0);

    // With the right region, with a rule that is set lower, and for Lambda to read where it is, it is sent there.
    for args in [vec!["--region", "us-west-2"], vec!["--storage-mode", "reference"]] {
        let fake = Fake::start();
        fake.only_region("us-west-2");
        place(&project, &fake, &publish(&project, &fake, &[&args[..], &["--format", "json"]].concat()));
    }
    project.write(
        "lambda-pack.toml",
        "[functions.project]\npath = '.'\nruntime = 'python3.13'\nhandler = 'app.handler'\n[checks]\ncross-region-bucket = 'warning'\n",
    );
    let run = publish(&project, &fake, &["--format", "json"]);
    place(&project, &fake, &run);
    assert!(run.stderr.starts_with("warning[cross-region-bucket] "), "{}", run.stderr);
}

#[test]
fn what_is_asked_for_is_sent() {
    let (project, fake) = (project(), Fake::start());
    let args = [
        "--prefix",
        "team a/x",
        "--kms-key-id",
        "arn:aws:kms:eu-west-1:1:key/k",
        "--expected-bucket-owner",
        "111122223333",
        "--object-tag",
        "cost center=a&b",
        "--object-tag",
        "env=test",
        "--format",
        "json",
    ];
    let (key, _) = place(&project, &fake, &publish(&project, &fake, &args));
    assert!(key.starts_with("team a/x/project/"), "{key}");
    let put = &fake.requests("PUT")[0];
    let manifest: Value = serde_json::from_str(&project.read("target/lambda-pack/manifest.json")).unwrap();
    let artifact = &manifest["functions"][0]["artifact"];
    for (header, value) in [
        ("x-amz-checksum-sha256", artifact["code_sha256"].as_str().unwrap()),
        ("x-amz-content-sha256", artifact["sha256"].as_str().unwrap()),
        ("x-amz-meta-lambda-pack-sha256", artifact["sha256"].as_str().unwrap()),
        ("x-amz-server-side-encryption", "aws:kms"),
        ("x-amz-server-side-encryption-aws-kms-key-id", "arn:aws:kms:eu-west-1:1:key/k"),
        ("x-amz-expected-bucket-owner", "111122223333"),
        ("x-amz-tagging", "cost%20center=a%26b&env=test"),
        ("if-none-match", "*"),
        ("content-type", "application/zip"),
    ] {
        assert_eq!(put.header(header), value, "{header}");
    }
    assert_eq!(put.header("content-length"), put.body.to_string());
    for request in fake.requests("HEAD").iter().chain(&fake.requests("GET")) {
        assert_eq!(request.header("x-amz-expected-bucket-owner"), "111122223333");
    }
}

#[test]
fn an_object_that_lambda_reads_itself_needs_its_version() {
    let (project, fake) = (project(), Fake::start());
    let run = publish(&project, &fake, &["--storage-mode", "reference", "--format", "json"]);
    assert_eq!(manifest(&run)["functions"][0]["s3"]["storage_mode"], "REFERENCE");
    let run = publish(&project, &fake, &["--storage-mode", "reference", "--format", "env"]);
    assert!(run.stdout.contains("PROJECT_S3_OBJECT_STORAGE_MODE=REFERENCE\n"), "{}", run.stdout);
    let run = publish(&project, &fake, &["--storage-mode", "reference"]);
    assert!(run.stdout.contains("  S3ObjectStorageMode REFERENCE\n"), "{}", run.stdout);

    for versioning in ["", "Suspended"] {
        let fake = Fake::start();
        fake.versioning(versioning);
        let run = publish(&project, &fake, &["--storage-mode", "reference"]);
        assert_eq!((run.code, fake.requests("PUT").len()), (3, 0), "{}", run.transcript());
        assert!(
            run.stderr.contains("error[unversioned-bucket] ") && run.stderr.contains("REFERENCE needs S3ObjectVersion"),
            "{}",
            run.stderr
        );
    }
    let run = publish(&project, &fake, &["--storage-mode", "reference", "--s3", "never"]);
    assert_eq!(run.code, 2, "{}", run.transcript());
}

#[test]
fn a_name_as_key_needs_a_bucket_that_is_known_to_keep_versions() {
    let (project, fake) = (project(), Fake::start());
    let (key, _) = place(&project, &fake, &publish(&project, &fake, &["--key", "name", "--format", "json"]));
    assert_eq!(key, "project.zip");
    for (fault, words) in [
        (Fault::Body(200, "<VersioningConfiguration/>"), "keeps no versions"),
        (
            Fault::Body(200, "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>"),
            "is suspended",
        ),
        (Fault::Error(403, "AccessDenied"), "may not be read"),
    ] {
        let fake = Fake::start();
        fake.fail("GET", "?versioning", 1, fault);
        let run = publish(&project, &fake, &["--key", "name"]);
        assert_eq!((run.code, fake.requests("PUT").len()), (3, 0), "{}", run.transcript());
        assert!(run.stderr.contains("error[unversioned-bucket] ") && run.stderr.contains(words), "{}", run.stderr);
        assert!(run.stdout.ends_with("nothing was published\n"), "{}", run.stdout);
    }
    // It is no matter of taste.
    project.write(
        "lambda-pack.toml",
        "[functions.project]\npath = '.'\nruntime = 'python3.13'\nhandler = 'app.handler'\n[checks]\nunversioned-bucket = 'ignore'\n",
    );
    let fake = Fake::start();
    fake.versioning("");
    assert_eq!((publish(&project, &fake, &["--key", "name"]).code, fake.requests("PUT").len()), (3, 0));
    assert_eq!(publish(&project, &fake, &["--format", "json"]).stderr, "");
    std::fs::remove_file(project.path("lambda-pack.toml")).unwrap();
    // A key of the content needs nobody to know.
    let fake = Fake::start();
    fake.fail("GET", "?versioning", 1, Fault::Error(403, "AccessDenied"));
    let run = publish(&project, &fake, &["--format", "json"]);
    assert_eq!((place(&project, &fake, &run).1.as_str(), run.stderr.as_str()), (Some("version-1"), ""));
}
