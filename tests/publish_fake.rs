//! `publish` against an S3 that misbehaves the way AWS does: the right object, or an error that says what to do, and never
//! a key that is not there.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod common;

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
fn an_error_that_passes_is_tried_again_and_told() {
    for fault in [
        Fault::Error(500, "InternalError"),
        Fault::Error(503, "SlowDown"),
        Fault::ResetAfter(10),
        Fault::Error(400, "RequestTimeout"),
    ] {
        let (project, fake) = (project(), Fake::start());
        fake.fail("PUT", "/box/", 1, fault.clone());
        let run = publish(&project, &fake, &["--format", "json", "-v"]);
        place(&project, &fake, &run);
        assert_eq!(fake.requests("PUT").len(), 2, "{fault:?}");
        if !matches!(fault, Fault::Error(400, _)) {
            assert!(run.stderr.contains("PutObject, attempt 1 of at most 2: "), "{fault:?}: {}", run.stderr);
        }
    }
}

#[test]
fn an_error_that_stays_is_told_after_a_bounded_number_of_attempts() {
    for (fault, words) in [
        (Fault::Error(500, "InternalError"), ["InternalError: The fake says InternalError.", "tried 2 times"]),
        (Fault::Error(503, "SlowDown"), ["SlowDown", "2 times in a row"]),
        (Fault::ResetAfter(10), ["Failed to upload `project/", "tried 2 times; check the network"]),
    ] {
        let (project, fake) = (project(), Fake::start());
        fake.fail("PUT", "/box/", 99, fault.clone());
        failed(&project, &publish(&project, &fake, &[]), &words);
        assert_eq!(fake.requests("PUT").len(), 2, "{fault:?}");
        // The next run finds what it needs.
        let fake = Fake::start();
        place(&project, &fake, &publish(&project, &fake, &["--format", "json"]));
    }
}

#[test]
fn a_conflict_is_tried_again_until_it_is_settled() {
    let (project, fake) = (project(), Fake::start());
    fake.fail("PUT", "/box/", 2, Fault::Error(409, "ConditionalRequestConflict"));
    let run = publish(&project, &fake, &["--format", "json", "-v"]);
    place(&project, &fake, &run);
    assert_eq!((fake.requests("PUT").len(), fake.requests("HEAD").len()), (3, 3));
    assert!(
        run.stderr.contains("somebody else writes it at the same time (ConditionalRequestConflict)"),
        "{}",
        run.stderr
    );

    let fake = Fake::start();
    fake.fail("PUT", "/box/", 99, Fault::Error(409, "ConditionalRequestConflict"));
    failed(&project, &publish(&project, &fake, &[]), &["at the same time (ConditionalRequestConflict) (4 times)"]);
    assert_eq!(fake.requests("PUT").len(), 4);
}

#[test]
fn a_lost_answer_is_found_again() {
    let (project, fake) = (project(), Fake::start());
    fake.fail("PUT", "/box/", 1, Fault::LostAnswer);
    let run = publish(&project, &fake, &["--format", "json"]);
    let (key, version) = place(&project, &fake, &run);
    // The second attempt was refused (412), and what stands there is what the first has written.
    assert_eq!((fake.versions(&key).len(), version.as_str()), (1, Some("version-1")));
    assert_eq!(fake.requests("PUT").len(), 2);
}

#[test]
fn whoever_is_faster_with_the_same_bytes_has_written_it_for_both() {
    let (project, fake) = (project(), Fake::start());
    project.done(&["build"]);
    let bytes: &'static [u8] = std::fs::read(project.out("project.zip")).unwrap().leak();
    fake.fail("PUT", "/box/", 1, Fault::Overtaken(bytes));
    let (key, version) = place(&project, &fake, &publish(&project, &fake, &["--format", "json"]));
    assert_eq!((fake.versions(&key).len(), version.as_str()), (1, Some("version-1")));
}

#[test]
fn other_bytes_under_the_key_are_never_taken_for_ours() {
    let (project, fake) = (project(), Fake::start());
    fake.fail("PUT", "/box/", 1, Fault::Overtaken(b"other"));
    let run = publish(&project, &fake, &["--format", "json"]);
    let (_, version) = place(&project, &fake, &run);
    assert_eq!(version.as_str(), Some("version-2"));
    assert!(
        run.stderr.contains("warning: `project/") && run.stderr.contains("was written by something else"),
        "{}",
        run.stderr
    );

    let fake = Fake::start();
    fake.versioning("").fail("PUT", "/box/", 1, Fault::Overtaken(b"other"));
    let run = publish(&project, &fake, &[]);
    failed(&project, &run, &["an object with other bytes (5) stands there", "aws s3 rm s3://box/project/"]);
    assert_eq!(fake.versions(&fake.keys()[0])[0].bytes, b"other");
}

#[test]
fn silence_ends_in_an_error() {
    for fault in [Fault::StopAfter(20), Fault::StopAnswering] {
        let (project, fake) = (project(), Fake::start());
        fake.fail("PUT", "/box/", 99, fault);
        let start = Instant::now();
        let mut command = command(&project, &fake, &[]);
        let run = Run::of(command.env("LAMBDA_PACK_STALL_SECONDS", "1"), &project.path(""));
        failed(&project, &run, &["nothing moved for 1.00 s (4 times)"]);
        assert!(start.elapsed() < Duration::from_secs(30));
    }
}

#[test]
fn no_call_is_waited_for_without_end() {
    for (method, words) in [("GET", "Failed to look at the bucket `box`"), ("HEAD", "Failed to look up `project/")] {
        let (project, fake) = (project(), Fake::start());
        fake.fail(method, "/box", 99, Fault::StopAfter(0));
        let start = Instant::now();
        let mut command = command(&project, &fake, &[]);
        let run = Run::of(command.env("LAMBDA_PACK_STALL_SECONDS", "1"), &project.path(""));
        assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{}", run.transcript());
        assert!(run.stderr.contains(words), "{}", run.stderr);
        assert!(start.elapsed() < Duration::from_secs(30), "{method}");
    }
}

#[test]
fn a_checksum_that_is_not_the_zips_is_an_error() {
    let (project, fake) = (project(), Fake::start());
    fake.fail("PUT", "/box/", 99, Fault::WrongChecksum);
    let run = publish(&project, &fake, &[]);
    failed(&project, &run, &["the service's checksum of what it stored is", "do not deploy that object"]);
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
fn redirects_and_odd_answers_are_told_and_not_followed() {
    let bomb = "<?xml version=\"1.0\"?><!DOCTYPE e [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;\">\
                <!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;\">]><Error><Code>&c;</Code><Message>&c;</Message></Error>";
    for (method, fault, words) in [
        (
            "PUT",
            Fault::ErrorWith(307, "TemporaryRedirect", &[("location", "http://127.0.0.1:1/")]),
            "another region than eu-west-1",
        ),
        (
            "PUT",
            Fault::ErrorWith(301, "PermanentRedirect", &[("x-amz-bucket-region", "us-west-2")]),
            "`box` is in us-west-2",
        ),
        ("PUT", Fault::Body(403, bomb), "Failed to upload"),
        ("PUT", Fault::Endless(503), "Failed to upload"),
        ("GET", Fault::Body(200, bomb), "Failed to look at the bucket `box`"),
        ("GET", Fault::Endless(200), "Failed to look at the bucket `box`"),
        ("GET", Fault::Body(200, "not even XML"), "Failed to look at the bucket `box`"),
    ] {
        let (project, fake) = (project(), Fake::start());
        project.done(&["build"]);
        fake.fail(method, "/box", 99, fault.clone());
        let start = Instant::now();
        let run = publish(&project, &fake, &[]);
        failed(&project, &run, &[words]);
        assert!(run.stderr.len() < 2_000, "{fault:?}: {}", run.stderr);
        assert!(start.elapsed() < Duration::from_secs(20), "{fault:?}");
    }
}

#[test]
fn refusals_come_with_the_next_step() {
    for (status, code, words) in [
        (404, "NoSuchBucket", "aws s3 mb s3://box --region eu-west-1"),
        (400, "ExpiredToken", "sign in again"),
        (403, "InvalidAccessKeyId", "check AWS_ACCESS_KEY_ID"),
        (403, "SignatureDoesNotMatch", "check AWS_SECRET_ACCESS_KEY"),
        (400, "InvalidToken", "check AWS_SESSION_TOKEN"),
    ] {
        let (project, fake) = (project(), Fake::start());
        fake.fail("GET", "?versioning", 99, Fault::Error(status, code));
        let run = publish(&project, &fake, &[]);
        assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{}", run.transcript());
        assert!(
            run.stderr.contains(&format!("{code}: The fake says {code}. (request "))
                || run.stderr.contains(&format!("{code}: The fake says {code}.")),
            "{}",
            run.stderr
        );
        assert!(run.stderr.contains(words), "{}", run.stderr);
        // It is told before the build, which may take minutes.
        assert!(!project.out("project.zip").exists());
    }
    for (fault, args, words) in [
        (Fault::Error(403, "AccessDenied"), vec![], "`s3:PutObject` on `arn:aws:s3:::box/project/"),
        (Fault::Error(403, "AccessDenied"), vec!["--object-tag", "a=b"], "`s3:PutObject` and `s3:PutObjectTagging`"),
        (
            Fault::Error(403, "AccessDenied"),
            vec!["--expected-bucket-owner", "111122223333"],
            "`--expected-bucket-owner 111122223333`",
        ),
        (Fault::Error(403, "AccessDenied"), vec!["--kms-key-id", "alias/x"], "`kms:GenerateDataKey`"),
        (
            Fault::Error(400, "KMS.DisabledException"),
            vec!["--kms-key-id", "alias/x"],
            "`alias/x` has to be enabled, in eu-west-1",
        ),
        (
            Fault::ErrorWith(403, "RequestTimeTooSkewed", &[("date", "Tue, 24 Nov 2020 06:00:00 GMT")]),
            vec![],
            "this machine's clock is ",
        ),
    ] {
        let (project, fake) = (project(), Fake::start());
        fake.fail("PUT", "/box/", 99, fault);
        failed(&project, &publish(&project, &fake, &args), &[words]);
    }
}

#[test]
fn one_failure_among_many_stops_new_uploads_and_is_told_by_name() {
    let fake = Fake::start();
    let project = Project::empty();
    let mut config = String::new();
    for n in 10..50 {
        project.write(&format!("f{n}/app.py"), &format!("def handler(event, context):\n    return {n}\n"));
        config.push_str(&format!("[functions.f{n}]\npath = 'f{n}'\nruntime = 'python3.13'\nhandler = 'app.handler'\n"));
    }
    project.write("lambda-pack.toml", &config);
    fake.fail("PUT", "/box/f12/", 99, Fault::Error(403, "AccessDenied"));
    let run = publish(&project, &fake, &[]);
    assert_eq!(run.code, 1, "{}", run.transcript());
    assert!(run.stderr.starts_with("error: function `f12`: Failed to upload `f12/"), "{}", run.stderr);
    assert!(fake.requests("PUT").len() < 40);
    // What was sent stays, and is found by the next run.
    let sent = fake.keys().len();
    assert!(sent > 0);
    let tried = fake.requests("PUT").len();
    fake.mend();
    let run = publish(&project, &fake, &["--format", "json"]);
    assert_eq!(manifest(&run)["functions"].as_array().unwrap().len(), 40);
    assert_eq!((fake.keys().len(), fake.requests("PUT").len() - tried), (40, 40 - sent));
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

#[test]
fn the_way_to_aws_is_told_when_it_is_missing() {
    let project = project();
    let run = |change: &dyn Fn(&mut Command)| {
        let fake = Fake::start();
        let mut command = command(&project, &fake, &[]);
        change(&mut command);
        let run = Run::of(&mut command, &project.path(""));
        assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{}", run.transcript());
        run.stderr
    };
    let unset = |names: &[&str]| {
        run(&|command| {
            for name in names {
                command.env_remove(name);
            }
        })
    };
    let endpoint = |url: &str| {
        run(&|command| {
            command.env("AWS_ENDPOINT_URL", url);
        })
    };
    insta::assert_snapshot!(unset(&["AWS_ACCESS_KEY_ID"]), @"
    error: no AWS credentials were found
      hint: sign in (`aws sso login`), name a profile with `--profile` or AWS_PROFILE, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
    ");
    insta::assert_snapshot!(unset(&["AWS_ENDPOINT_URL", "AWS_REGION"]), @"
    error: no AWS region is set
      hint: name it with `--region`, AWS_REGION, or `region` in the profile (`aws configure set region …`)
    ");
    insta::assert_snapshot!(endpoint("http://no-such-host.invalid"), @"
    error: Failed to look at the bucket `box`: io error: client error (Connect): dns error: failed to lookup address information: Name or service not known
      hint: there is no such host: check the region (eu-west-1), AWS_ENDPOINT_URL_S3, and the network
    ");
    insta::assert_snapshot!(endpoint("http://127.0.0.1:1"), @"
    error: Failed to look at the bucket `box`: io error: client error (Connect): tcp connect error: Connection refused (os error 111)
      hint: nothing listens there; it was tried 2 times: check AWS_ENDPOINT_URL_S3, HTTPS_PROXY and NO_PROXY
    ");
}

#[test]
fn a_profile_that_is_named_counts_more_than_the_environment() {
    let (project, fake) = (project(), Fake::start());
    project.write(
        "aws-config",
        "[profile team]\nregion = eu-west-1\naws_access_key_id = AKIATEAMTEAMTEAM0000\naws_secret_access_key = x\n\
         [profile broken]\nregion = eu-west-1\ncredential_process = false\n",
    );
    let run = |profile: &str| {
        let mut command = command(&project, &fake, &["--format", "json", "--profile", profile]);
        command.env("AWS_CONFIG_FILE", project.path("aws-config"));
        Run::of(&mut command, &project.path(""))
    };
    place(&project, &fake, &run("team"));
    assert!(fake.requests("PUT")[0].header("authorization").contains("AKIATEAMTEAMTEAM0000"));
    for (profile, words) in [("gone", "profile `gone` was not defined"), ("broken", "external process exited")] {
        let run = run(profile);
        assert_eq!(run.code, 1, "{}", run.transcript());
        assert!(run.stderr.contains(words) && run.stderr.contains("`--profile`"), "{}", run.stderr);
    }
}

#[test]
fn proxies_are_used_and_their_passwords_kept() {
    let (project, fake) = (project(), Fake::start());
    let proxy = format!("http://someone:Pr0xyPassw0rd@127.0.0.1:{}", fake.port);
    let with_proxy = |no_proxy: &str| {
        let mut command = command(&project, &fake, &["--format", "json", "-vv"]);
        command
            .env("AWS_ENDPOINT_URL", "http://s3.example.internal")
            .env("HTTP_PROXY", &proxy)
            .env("NO_PROXY", no_proxy);
        Run::of(&mut command, &project.path(""))
    };
    place(&project, &fake, &with_proxy(""));
    let put = &fake.requests("PUT")[0];
    assert!(put.target.starts_with("http://s3.example.internal/box/project/"), "{}", put.target);
    assert!(put.header("proxy-authorization").starts_with("Basic "));
    // Without the proxy, nobody knows the host.
    let run = with_proxy("example.internal");
    assert_eq!(run.code, 1, "{}", run.transcript());
    assert!(run.stderr.contains("there is no such host") && !run.stderr.contains("Pr0xyPassw0rd"), "{}", run.stderr);
}

#[test]
fn no_secret_is_ever_said() {
    const TOKEN: &str = "FakeSessionToken//Zm9vYmFy";
    let faults: [(&str, Fault); 6] = [
        ("PUT", Fault::Error(500, "InternalError")),
        ("PUT", Fault::Error(403, "SignatureDoesNotMatch")),
        ("PUT", Fault::ResetAfter(5)),
        ("GET", Fault::Error(403, "InvalidAccessKeyId")),
        ("HEAD", Fault::Bare(400)),
        ("PUT", Fault::Error(404, "never")),
    ];
    for (method, fault) in faults {
        let (project, fake) = (project(), Fake::start());
        fake.fail(method, "/box", if matches!(fault, Fault::Error(404, _)) { 0 } else { 99 }, fault);
        let mut command = command(&project, &fake, &["-vvv"]);
        let endpoint = format!("http://user:EndpointPassw0rd@127.0.0.1:{}", fake.port);
        command.env("AWS_SESSION_TOKEN", TOKEN).env("AWS_ENDPOINT_URL", endpoint).env("RUST_LOG", "trace");
        let run = Run::of(&mut command, &project.path(""));
        // Some fail before the build.
        let written = std::fs::read_to_string(project.out("manifest.json")).unwrap_or_default();
        for said in [&run.stdout, &run.stderr, &written] {
            for secret in [SECRET, TOKEN, KEY, "EndpointPassw0rd", "Signature=", "X-Amz-Credential", "AWS4-HMAC"] {
                assert!(!said.contains(secret), "{secret}\n{said}");
            }
        }
    }
}

#[test]
fn ctrl_c_leaves_no_manifest_that_names_what_is_not_there() {
    let (project, fake) = (project(), Fake::start());
    fake.fail("PUT", "/box/", 99, Fault::StopAfter(20));
    let mut command = command(&project, &fake, &[]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    fake.wait_for("PUT");
    let pid = child.id().to_string();
    common::tool("sh", &["-c".as_ref(), "kill -INT \"$0\"".as_ref(), pid.as_ref()], "apt-get install dash");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let manifest: Value = serde_json::from_str(&project.read("target/lambda-pack/manifest.json")).unwrap();
    assert!(manifest["functions"][0].get("s3").is_none());
}

/// A server that speaks TLS in front of the fake, with a certificate of an authority that nobody knows; its port.
fn behind_tls(fake: &Fake, folder: &std::path::Path) -> (std::process::Child, u16) {
    let make = "exec 2>/dev/null; openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=ca && \
                openssl req -newkey rsa:2048 -nodes -keyout key.pem -out request -subj /CN=localhost && \
                echo subjectAltName=DNS:localhost >names && \
                openssl x509 -req -in request -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out cert.pem";
    let made = Command::new("sh").args(["-c", make]).current_dir(folder).status().unwrap();
    assert!(made.success(), "openssl is missing: run `make tools`");
    let serve = "import socket, ssl, sys, threading\n\
                 context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n\
                 context.load_cert_chain('cert.pem', 'key.pem')\n\
                 listener = socket.create_server(('127.0.0.1', 0))\n\
                 print(listener.getsockname()[1], flush=True)\n\
                 def pipe(a, b):\n    \
                   try:\n        \
                     while data := a.recv(65536): b.sendall(data)\n    \
                   except OSError: pass\n    \
                   finally: b.close()\n\
                 def serve(raw):\n    \
                   try: client = context.wrap_socket(raw, server_side=True)\n    \
                   except OSError: return\n    \
                   server = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n    \
                   threading.Thread(target=pipe, args=(client, server), daemon=True).start()\n    \
                   threading.Thread(target=pipe, args=(server, client), daemon=True).start()\n\
                 while True:\n    \
                   # A client that is gone before it is taken is an error here, and no reason to stop.\n    \
                   try: raw = listener.accept()[0]\n    \
                   except OSError: continue\n    \
                   threading.Thread(target=serve, args=(raw,), daemon=True).start()\n";
    let mut command = Command::new(common::server::python());
    command.args(["-c", serve, &fake.port.to_string()]).current_dir(folder).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
    (child, line.trim().parse().unwrap())
}

#[test]
fn certificates_are_those_that_the_usual_variables_name() {
    let (project, fake) = (project(), Fake::start());
    let folder = tempfile::tempdir().unwrap();
    let (mut server, port) = behind_tls(&fake, folder.path());
    let run = |variable: &str, file: &str| {
        let mut command = command(&project, &fake, &["--format", "json"]);
        command.env("AWS_ENDPOINT_URL", format!("https://localhost:{port}"));
        Run::of(command.env(variable, folder.path().join(file)), &project.path(""))
    };
    for variable in ["AWS_CA_BUNDLE", "SSL_CERT_FILE"] {
        place(&project, &fake, &run(variable, "ca.pem"));
    }
    let unknown = run("UNUSED", "ca.pem");
    assert_eq!(unknown.code, 1, "{}", unknown.transcript());
    assert!(unknown.stderr.contains("name the certificates to trust"), "{}", unknown.stderr);
    std::fs::write(folder.path().join("cut.pem"), "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
        .unwrap();
    std::fs::write(folder.path().join("bad.pem"), "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n")
        .unwrap();
    for (file, words) in
        [("key.pem", "holds no certificate"), ("cut.pem", "cannot be used"), ("bad.pem", "cannot be read")]
    {
        let run = run("AWS_CA_BUNDLE", file);
        assert_eq!(run.code, 1, "{}", run.transcript());
        assert!(run.stderr.contains(words), "{file}: {}", run.stderr);
    }
    let _ = server.kill();
    let _ = server.wait();
}
