//! Errors that pass, errors that stay, and answers that are lost.

use super::*;

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
