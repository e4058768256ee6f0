//! Images into and out of registries: a real one, one that misbehaves, and ECR as it is documented to behave. What arrives is
//! complete or the error is clear, and nothing is sent twice.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod common;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use common::docker_registry::{self, Registry};
use common::fake_registry::{self, Fake, Fault};
use serde_json::{Value, json};

#[path = "registry/driver.rs"]
mod driver;

const SPEC: &str = "LAMBDA_PACK_TEST_SPEC";

#[test]
#[ignore = "the other tests run it, in a process of its own"]
fn drive() {
    let spec: Value = serde_json::from_str(&std::env::var(SPEC).unwrap()).unwrap();
    println!("\nANSWER{}", driver::run(&spec));
}

/// What came of a spec.
struct Outcome {
    value: Value,
    text: String,
    took: Duration,
}

impl Outcome {
    fn done(&self) -> &Value {
        assert!(self.value["done"].is_array(), "{}", self.text);
        &self.value["done"]
    }

    /// The one push.
    fn pushed(&self) -> &Value {
        &self.done()[0]
    }

    fn failed(&self, words: &[&str]) {
        assert!(self.value["error"].is_string(), "{}", self.text);
        for word in words {
            assert!(self.text.contains(word), "{word}\n{}", self.text);
        }
    }
}

/// Runs the library in a process of its own.
struct Run {
    command: Command,
    home: tempfile::TempDir,
}

const SECRET: &str = "fake/Secret+0123456789abcdef";

impl Run {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "drive", "--nocapture", "--test-threads=1"]);
        common::aws(&mut command, "http://127.0.0.1:1", "AKIAFAKEFAKEFAKE0000", SECRET);
        for name in ["DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"] {
            command.env_remove(name);
        }
        command.env("HOME", home.path()).env("AWS_MAX_ATTEMPTS", "2");
        Self { command, home }
    }

    /// With ECR at the fake.
    fn ecr(fake: &Fake) -> Self {
        let mut run = Self::new();
        run.command.env("AWS_ENDPOINT_URL_ECR", fake.endpoint()).env_remove("AWS_ENDPOINT_URL");
        run
    }

    fn docker_config(self, config: &Value) -> Self {
        let path = self.home.path().join(".docker/config.json");
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        std::fs::write(path, config.to_string()).unwrap();
        self
    }

    fn spec(&mut self, spec: &Value) -> Outcome {
        let start = Instant::now();
        let output = self.command.env(SPEC, spec.to_string()).output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        let line = stdout.lines().find_map(|line| line.strip_prefix("ANSWER"));
        let line = line.unwrap_or_else(|| panic!("{stdout}\n{}", String::from_utf8_lossy(&output.stderr)));
        let value: Value = serde_json::from_str(line).unwrap();
        let text = serde_json::to_string_pretty(&value).unwrap();
        assert!(!text.contains(SECRET) && !text.contains("secret-token"), "{text}");
        Outcome { value, text, took: start.elapsed() }
    }
}

/// Cases that mostly wait, all at once.
fn side_by_side<T: Sync>(cases: &[T], work: impl Fn(&T) + Sync) {
    std::thread::scope(|scope| {
        for case in cases {
            scope.spawn(|| work(case));
        }
    });
}

/// Two layers of 300 and 200 kB.
fn spec(repository: &str) -> Value {
    json!({"push": [repository], "tag": "v1", "layers": [[1, 300_000], [2, 200_000]]})
}

/// The spec with one more entry.
fn with(mut spec: Value, key: &str, value: Value) -> Value {
    spec[key] = value;
    spec
}

/// The image is there whole, under its tag, and nothing was stored twice.
fn complete(fake: &Fake, name: &str, outcome: &Outcome) {
    let uri = outcome.pushed()["uri"].as_str().unwrap();
    let digest = uri.split_once('@').unwrap().1;
    let repo = fake.repo(name).unwrap();
    assert_eq!(repo.tags.get("v1").map(String::as_str), Some(digest), "{}", outcome.text);
    let (media_type, manifest) = &repo.manifests[digest];
    assert_eq!(media_type, "application/vnd.oci.image.manifest.v1+json");
    let document: Value = serde_json::from_slice(manifest).unwrap();
    for entry in document["layers"].as_array().unwrap().iter().chain([&document["config"]]) {
        let digest = entry["digest"].as_str().unwrap();
        assert_eq!(fake_registry::digest(&repo.blobs[digest]), digest);
    }
    let mut stored = fake.stored();
    stored.sort();
    let count = stored.len();
    stored.dedup();
    assert_eq!(stored.len(), count, "stored twice: {:?}", fake.stored());
}

#[test]
fn a_real_registry_takes_images_and_others_read_them() {
    let registry = Registry::start();
    let name = format!("{}/team/fn", registry.host);
    let first = Run::new().spec(&spec(&name));
    let pushed = first.pushed();
    assert_eq!((&pushed["sent"], &pushed["present"], &pushed["new"]), (&json!(3), &json!(0), &json!(true)));
    assert_eq!(pushed["bytes"], pushed["size"]);
    let digest = pushed["uri"].as_str().unwrap().split_once('@').unwrap().1;
    for reference in [format!("{name}:v1"), format!("{name}@{digest}")] {
        let inspected = docker_registry::skopeo(&["inspect", "--tls-verify=false", &format!("docker://{reference}")]);
        let inspected: Value = serde_json::from_str(&inspected).unwrap();
        assert_eq!((inspected["Digest"].as_str(), inspected["Layers"].as_array().unwrap().len()), (Some(digest), 2));
        let folder = tempfile::tempdir().unwrap();
        docker_registry::copy_to_layout(&reference, folder.path());
        assert!(folder.path().join("blobs/sha256").join(digest.strip_prefix("sha256:").unwrap()).is_file());
    }
    // Nothing the second time; one layer and the config when one layer changes.
    let again = Run::new().spec(&spec(&name));
    assert_eq!(
        (&again.pushed()["sent"], &again.pushed()["present"], &again.pushed()["new"]),
        (&json!(0), &json!(3), &json!(false))
    );
    let changed = Run::new().spec(&with(spec(&name), "layers", json!([[1, 300_000], [3, 1_000]])));
    assert_eq!((&changed.pushed()["sent"], &changed.pushed()["present"]), (&json!(2), &json!(1)));
    assert!(changed.pushed()["bytes"].as_u64().unwrap() < 2_500, "{}", changed.text);
    // What another repository of the registry has is mounted, be it the base's or one that was pushed to before.
    let on_base = json!({"push": [format!("{}/other", registry.host), format!("{}/third", registry.host)], "base": format!("{name}:v1"), "layers": [[9, 5_000]]});
    let mounted = Run::new().spec(&on_base);
    let [other, third] = [&mounted.done()[0], &mounted.done()[1]];
    assert_eq!((&other["mounted"], &other["sent"]), (&json!(2), &json!(2)), "{}", mounted.text);
    assert_eq!((&third["mounted"], &third["sent"]), (&json!(4), &json!(0)), "{}", mounted.text);
    let folder = tempfile::tempdir().unwrap();
    docker_registry::copy_to_layout(third["uri"].as_str().unwrap(), folder.path());
}

#[test]
fn only_what_is_missing_is_sent_counted_where_it_arrives() {
    let fake = Fake::plain();
    let name = format!("{}/fn", fake.host());
    let first = Run::new().spec(&spec(&name));
    complete(&fake, "fn", &first);
    assert_eq!(fake.bytes() as u64, first.pushed()["bytes"].as_u64().unwrap());
    // One POST and one PUT for each blob, with its length; no PATCH.
    let puts = fake.requests("PUT", "/blobs/");
    assert_eq!((puts.len(), fake.requests("POST", "").len(), fake.requests("PATCH", "").len()), (3, 3, 0));
    assert!(puts.iter().all(|put| put.header("content-length").parse::<usize>() == Ok(put.body) && put.body > 0));

    fake.forget_requests();
    Run::new().spec(&spec(&name)).done();
    let requests: Vec<String> = fake.all_requests().iter().map(|r| format!("{} {}", r.method, r.target)).collect();
    assert_eq!(requests, ["HEAD /v2/fn/manifests/v1"]);

    fake.forget_requests();
    let changed = Run::new().spec(&with(spec(&name), "layers", json!([[1, 300_000], [3, 1_000]])));
    complete(&fake, "fn", &changed);
    assert_eq!(fake.requests("PUT", "").iter().map(|r| r.target.contains("/manifests/")).filter(|is| *is).count(), 1);
    assert_eq!(fake.stored().len(), 2);
    assert_eq!(fake.bytes() as u64, changed.pushed()["bytes"].as_u64().unwrap());
    assert!(fake.bytes() < 2_500);
}

#[test]
fn layers_of_a_base_go_from_registry_to_registry_and_leave_nothing_here() {
    let (from, to) = (Registry::start(), Fake::plain());
    let base = format!("{}/base", from.host);
    Run::new().spec(&spec(&base)).done();
    let cache = tempfile::tempdir().unwrap();
    let on_base = json!({
        "push": [format!("{}/fn", to.host())], "tag": "v1", "base": format!("{base}:v1"), "layers": [[9, 5_000]],
        "cache": cache.path(),
    });
    let outcome = Run::new().spec(&on_base);
    complete(&to, "fn", &outcome);
    assert_eq!(outcome.pushed()["sent"], 4);
    // The manifest, and which one the tag was.
    let kept: Vec<u64> = walkdir::WalkDir::new(cache.path())
        .into_iter()
        .map(Result::unwrap)
        .filter(|e| e.file_type().is_file())
        .map(|e| e.metadata().unwrap().len())
        .collect();
    assert!(kept.len() == 2 && kept.iter().all(|bytes| *bytes < 2_000), "{kept:?}");
    // What the target has is not asked for again.
    to.forget_requests();
    let again = Run::new().spec(&with(on_base, "layers", json!([[8, 5_000]])));
    assert_eq!((&again.pushed()["sent"], &again.pushed()["present"]), (&json!(2), &json!(2)));
}

#[test]
fn a_mount_that_is_not_done_is_an_upload_in_the_same_session() {
    let fake = Fake::plain();
    let base = format!("{}/base", fake.host());
    Run::new().spec(&spec(&base)).done();
    let on_base = |name: &str| json!({"push": [format!("{}/{name}", fake.host())], "tag": "v1", "base": format!("{base}:v1"), "layers": [[9, 5_000]]});
    fake.forget_requests();
    let outcome = Run::new().spec(&on_base("mounted"));
    assert_eq!((&outcome.pushed()["mounted"], &outcome.pushed()["sent"]), (&json!(2), &json!(2)));
    assert_eq!((fake.requests("POST", "mount=").len(), fake.requests("GET", "/blobs/").len()), (2, 0));
    complete(&fake, "mounted", &outcome);

    fake.mounts(false).forget_requests();
    let outcome = Run::new().spec(&on_base("refused"));
    assert_eq!((&outcome.pushed()["mounted"], &outcome.pushed()["sent"]), (&json!(0), &json!(4)));
    assert_eq!((fake.requests("POST", "").len(), fake.requests("PUT", "/blobs/").len()), (4, 4));
    complete(&fake, "refused", &outcome);
}

#[test]
fn what_passes_is_tried_again_and_nothing_is_stored_twice() {
    let cases = [
        ("PUT", "/blobs/", 1, Fault::Error(500, "UNKNOWN")),
        ("PUT", "/blobs/", 2, Fault::ResetAfter(70_000)),
        ("PUT", "/blobs/", 1, Fault::ResetAfter(0)),
        ("PUT", "/blobs/", 1, Fault::LostAnswer),
        ("PUT", "/blobs/", 1, Fault::LostSession),
        // apple/containerization#790: a session that is begun anew.
        ("PUT", "/blobs/", 1, Fault::Error(416, "BLOB_UPLOAD_INVALID")),
        ("PUT", "/blobs/", 1, Fault::Error(400, "DIGEST_INVALID")),
        ("POST", "/blobs/", 1, Fault::With(429, &[("retry-after", "1")])),
        ("POST", "/blobs/", 1, Fault::Error(429, "TOOMANYREQUESTS")),
        ("POST", "/blobs/", 1, Fault::LostAnswer),
        ("HEAD", "/manifests/", 1, Fault::Error(503, "")),
        ("PUT", "/manifests/", 1, Fault::LostAnswer),
        ("PUT", "/manifests/", 1, Fault::Error(502, "")),
        ("PUT", "/manifests/", 3, Fault::Error(404, "BLOB_UNKNOWN")),
    ];
    side_by_side(&cases, |(method, part, times, fault)| {
        for fake in [Fake::plain(), Fake::ecr(&["fn"])] {
            fake.fail(method, part, *times, fault.clone());
            let name = if fake.repo("fn").is_some() { "fn".to_owned() } else { format!("{}/fn", fake.host()) };
            let outcome = Run::ecr(&fake).spec(&spec(&name));
            complete(&fake, "fn", &outcome);
            let heard = outcome.value["heard"].to_string();
            assert!(heard.contains("attempt 1") || matches!(fault, Fault::LostAnswer), "{method} {fault:?}: {heard}");
        }
    });
}

#[test]
fn what_does_not_pass_is_told_after_a_bounded_number_of_attempts() {
    let cases = [
        ("PUT", "/blobs/", Fault::Error(500, "UNKNOWN"), 5, vec!["Failed to send `sha256:", "tried 5 times"]),
        ("PUT", "/blobs/", Fault::ResetAfter(9), 5, vec!["tried 5 times; check the network"]),
        (
            "PUT",
            "/blobs/",
            Fault::Error(400, "DIGEST_INVALID"),
            5,
            vec!["DIGEST_INVALID: The fake says DIGEST_INVALID."],
        ),
        ("POST", "/blobs/", Fault::Error(403, "DENIED"), 1, vec!["DENIED", "nobody has signed in"]),
        (
            "PUT",
            "/manifests/",
            Fault::Error(400, "MANIFEST_INVALID"),
            1,
            vec!["Failed to send the manifest `v1`", "MANIFEST_INVALID"],
        ),
        ("PUT", "/manifests/", Fault::Error(404, "BLOB_UNKNOWN"), 8, vec!["BLOB_UNKNOWN"]),
    ];
    side_by_side(&cases, |(method, part, fault, attempts, words)| {
        let fake = Fake::plain();
        fake.fail(method, part, 999, fault.clone());
        // One blob at a time, so that attempts can be counted.
        let one = with(spec(&format!("{}/fn", fake.host())), "layers", json!([]));
        let outcome = Run::new().spec(&one);
        outcome.failed(words);
        assert_eq!(fake.requests(method, part).len(), *attempts, "{fault:?}");
        assert!(fake.repo("fn").is_none_or(|repo| repo.tags.is_empty()));
    });
}

#[test]
fn an_interrupted_push_goes_on_where_it_ended() {
    let fake = Fake::ecr(&["fn"]);
    fake.fail("PUT", "/manifests/", 99, Fault::Error(403, "DENIED"));
    Run::ecr(&fake).spec(&spec("fn")).failed(&["DENIED", "`ecr:PutImage`"]);
    assert_eq!(fake.stored().len(), 3);
    fake.forget_requests();
    let mended = Fake::clone(&fake);
    mended.mend();
    let outcome = Run::ecr(&fake).spec(&spec("fn"));
    complete(&fake, "fn", &outcome);
    assert_eq!((fake.bytes(), &outcome.pushed()["sent"], &outcome.pushed()["present"]), (0, &json!(0), &json!(3)));
}

#[test]
fn silence_ends_an_upload_and_slowness_does_not() {
    let fake = Fake::plain();
    let name = format!("{}/fn", fake.host());
    // Eight parts of 3 MB in 3.2 s, and the configuration, which may come first. What the system's buffers hold (some 5 MB)
    // looks like silence until it is read, below a second: far from the limit, which the whole is above.
    fake.fail("PUT", "/blobs/", 2, Fault::Slow(400));
    let large = with(with(spec(&name), "layers", json!([[1, 24_000_000]])), "silence", json!(2_500));
    let outcome = Run::new().spec(&large);
    complete(&fake, "fn", &outcome);
    assert!(outcome.took > Duration::from_millis(3_200) && !outcome.text.contains("nothing moved"), "{}", outcome.text);

    let fake = Fake::plain();
    fake.fail("PUT", "/blobs/", 99, Fault::StopAfter(20));
    let name = format!("{}/fn", fake.host());
    let outcome = Run::new().spec(&with(spec(&name), "silence", json!(300)));
    outcome.failed(&["nothing moved for 300 ms", "tried 5 times"]);
    assert!(outcome.took < Duration::from_secs(30));
}

#[test]
fn ecr_is_asked_as_it_wants_to_be() {
    let fake = Fake::ecr(&["team/fn"]);
    let outcome = Run::ecr(&fake).spec(&spec("team/fn"));
    complete(&fake, "team/fn", &outcome);
    assert!(outcome.pushed()["uri"].as_str().unwrap().starts_with(&format!("{}/team/fn@sha256:", fake.host())));
    // One token, and one question for all layers instead of one for each.
    assert_eq!((fake.calls("GetAuthorizationToken"), fake.calls("BatchCheckLayerAvailability")), (1, 1));
    assert_eq!(fake.requests("HEAD", "/blobs/").len(), 0);

    // A token that has ended is renewed once, also in the middle.
    for method in ["POST", "PUT"] {
        let fake = Fake::ecr(&["team/fn"]);
        fake.fail(method, "/blobs/", 1, Fault::Expire);
        let outcome = Run::ecr(&fake).spec(&spec("team/fn"));
        complete(&fake, "team/fn", &outcome);
        assert_eq!(fake.calls("GetAuthorizationToken"), 2);
    }

    // More layers than one question takes.
    let fake = Fake::ecr(&["fn"]);
    let layers: Vec<Value> = (0..120).map(|seed| json!([seed, 10])).collect();
    let outcome = Run::ecr(&fake).spec(&with(spec("fn"), "layers", json!(layers)));
    complete(&fake, "fn", &outcome);
    assert_eq!((fake.calls("BatchCheckLayerAvailability"), &outcome.pushed()["sent"]), (2, &json!(121)));

    // Who may not ask that asks one by one.
    let fake = Fake::ecr(&["fn"]);
    fake.fail("POST", "BatchCheckLayerAvailability", 9, Fault::Api("AccessDeniedException"));
    fake.fail("POST", "DescribeRepositories", 9, Fault::Api("AccessDeniedException"));
    let outcome = Run::ecr(&fake).spec(&spec("fn"));
    complete(&fake, "fn", &outcome);
    assert_eq!(fake.requests("HEAD", "/blobs/").len(), 3);
}

#[test]
fn a_repository_of_ecr_that_is_missing_is_told_or_made() {
    let fake = Fake::ecr(&[]);
    let outcome = Run::ecr(&fake).spec(&spec("team/fn"));
    outcome.failed(&["the repository `team/fn` does not exist (`--create-repository` makes it)"]);
    assert!(outcome.took < Duration::from_secs(20), "{:?}", outcome.took);
    // Those that were begun at once, and none again.
    assert!(fake.requests("POST", "/blobs/").len() <= 3, "{}", outcome.text);

    let create = with(spec("team/fn"), "create", json!(true));
    let outcome = Run::ecr(&fake).spec(&create);
    complete(&fake, "team/fn", &outcome);
    let policy =
        |fake: &Fake| -> Value { serde_json::from_str(&fake.repo("team/fn").unwrap().policy.unwrap()).unwrap() };
    let statement = &policy(&fake)["Statement"][0];
    assert_eq!(statement["Principal"]["Service"], "lambda.amazonaws.com");
    assert_eq!(statement["Action"], json!(["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]));
    // The second time there is nothing to be made.
    Run::ecr(&fake).spec(&create).done();
    assert_eq!((fake.calls("CreateRepository"), fake.calls("SetRepositoryPolicy")), (1, 1));

    // Functions of another account need more.
    let fake = Fake::ecr(&["team/fn"]);
    fake.caller("999988887777");
    Run::ecr(&fake).spec(&create).done();
    let statements = policy(&fake)["Statement"].clone();
    assert_eq!(statements[0]["Principal"]["AWS"], "arn:aws:iam::999988887777:root");
    assert_eq!(
        statements[1]["Condition"]["StringLike"]["aws:sourceArn"],
        "arn:aws:lambda:eu-west-1:999988887777:function:*"
    );
    // Whoever may not do it hears what it takes.
    let fake = Fake::ecr(&[]);
    fake.fail("POST", "CreateRepository", 9, Fault::Api("AccessDeniedException"));
    Run::ecr(&fake).spec(&create).failed(&[
        "Failed to create the repository `team/fn`",
        "`ecr:CreateRepository` on `arn:aws:ecr:eu-west-1:*:repository/team/fn`",
    ]);
}

#[test]
fn tags_that_may_not_be_changed_are_no_trouble_while_they_name_the_same() {
    let fake = Fake::ecr(&["fn"]);
    fake.immutable("fn");
    let outcome = Run::ecr(&fake).spec(&spec("fn"));
    complete(&fake, "fn", &outcome);
    // As if the question had been asked before somebody else was done.
    fake.fail("HEAD", "/manifests/", 1, Fault::Error(404, "MANIFEST_UNKNOWN"));
    let again = Run::ecr(&fake).spec(&spec("fn"));
    assert_eq!((&again.pushed()["new"], &again.pushed()["sent"]), (&json!(false), &json!(0)), "{}", again.text);
    let before = fake.repo("fn").unwrap().tags["v1"].clone();
    let other = Run::ecr(&fake).spec(&with(spec("fn"), "layers", json!([[5, 5]])));
    other.failed(&["TAG_INVALID", "the tag `v1` names another image", "leave it out"]);
    assert_eq!(fake.repo("fn").unwrap().tags["v1"], before);
}

#[test]
fn a_validator_that_lags_is_waited_for() {
    let fake = Fake::ecr(&["fn"]);
    fake.lags(3);
    let outcome = Run::ecr(&fake).spec(&spec("fn"));
    complete(&fake, "fn", &outcome);
    assert_eq!(fake.requests("PUT", "/manifests/").len(), 4);
}

#[test]
fn a_region_that_lambda_could_not_take_it_from_is_refused_before_anything_is_asked() {
    let fake = Fake::ecr(&["fn"]);
    let name = "111122223333.dkr.ecr.us-east-1.amazonaws.com/fn";
    for region in [json!("eu-west-1"), Value::Null] {
        let outcome = Run::ecr(&fake).spec(&with(spec(name), "region", region));
        outcome.failed(&["is in us-east-1, and the functions are in eu-west-1", "--region us-east-1"]);
        assert_eq!(outcome.value["config"], true);
    }
    let outcome = Run::ecr(&fake).spec(&spec("public.ecr.aws/x/fn"));
    outcome.failed(&["Source image public.ecr.aws/x/fn is not valid. Provide a valid source image."]);
    assert_eq!(fake.all_requests().len(), 0);
}

#[test]
fn whoever_has_signed_in_gets_tokens_for_what_is_asked() {
    let fake = Fake::with_tokens("me", "Pa:ss word");
    let config = |password: &str| {
        let auth = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("me:{password}"));
        json!({"auths": {fake.host(): {"auth": auth}}})
    };
    let name = format!("{}/fn", fake.host());
    let outcome = Run::new().docker_config(&config("Pa:ss word")).spec(&spec(&name));
    complete(&fake, "fn", &outcome);
    // The password goes to the token service, and tokens to the registry; one token for all.
    assert_eq!(fake.requests("GET", "/token").len(), 1);
    let others = fake.all_requests().into_iter().filter(|r| !r.target.starts_with("/token"));
    assert!(others.map(|r| r.header("authorization").to_owned()).all(|h| h.is_empty() || h.starts_with("Bearer ")));
    // A mount takes a token for the other repository, too.
    let on_base =
        json!({"push": [format!("{}/other", fake.host())], "tag": "v1", "base": format!("{name}:v1"), "layers": []});
    let outcome = Run::new().docker_config(&config("Pa:ss word")).spec(&on_base);
    assert_eq!(outcome.pushed()["mounted"], 2, "{}", outcome.text);
    // A token that has ended.
    fake.fail("POST", "/blobs/", 1, Fault::Expire);
    let renamed = with(spec(&format!("{}/renamed", fake.host())), "layers", json!([[7, 7]]));
    complete(&fake, "renamed", &Run::new().docker_config(&config("Pa:ss word")).spec(&renamed));

    let wrong = Run::new().docker_config(&config("wrong-word")).spec(&spec(&name));
    wrong.failed(&["get a token", "docker login"]);
    assert!(!wrong.text.contains("wrong-word"), "{}", wrong.text);
    Run::new().spec(&spec(&name)).failed(&["get a token"]);
    let broken = Run::new().docker_config(&json!({"auths": 1})).spec(&spec(&name));
    broken.failed(&["get a token", "is not what `docker login` writes"]);
}

#[test]
fn a_helper_is_asked_for_the_registry_and_its_secret_stays_with_it() {
    let fake = Fake::with_tokens("me", "from-the-helper");
    let bin = tempfile::tempdir().unwrap();
    let helper = bin.path().join("docker-credential-fake");
    let script = format!(
        "#!/bin/sh\nread server\n[ \"$1\" = get ] && [ \"$server\" = {} ] || {{ echo credentials not found in native keychain; exit 1; }}\necho '{{\"Username\": \"me\", \"Secret\": \"from-the-helper\"}}'\n",
        fake.host()
    );
    std::fs::write(&helper, script).unwrap();
    std::fs::set_permissions(&helper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    for config in [json!({"credHelpers": {fake.host(): "fake"}}), json!({"credsStore": "fake"})] {
        let mut run = Run::new().docker_config(&config);
        run.command.env("PATH", common::with_path(bin.path()));
        let outcome = run.spec(&spec(&format!("{}/fn", fake.host())));
        complete(&fake, "fn", &outcome);
        assert!(!outcome.text.contains("from-the-helper"));
    }
}

/// A base in a fake: its name, and the digests of its manifest and layers.
fn base(fake: &Fake, layers: &[&[u8]]) -> Vec<String> {
    let entry = |bytes: &&[u8]| json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": fake_registry::digest(bytes), "size": bytes.len()});
    let manifest = json!({"schemaVersion": 2, "layers": layers.iter().map(entry).collect::<Vec<_>>()}).to_string();
    fake.put("base", "1", "application/vnd.oci.image.manifest.v1+json", manifest.as_bytes(), layers);
    let mut digests =
        vec![fake_registry::digest(manifest.as_bytes()), "application/vnd.oci.image.manifest.v1+json".to_owned()];
    digests.extend(layers.iter().map(|layer| fake_registry::digest(layer)));
    digests
}

fn pull(fake: &Fake, cache: &Path) -> Value {
    json!({"pull": format!("{}/base:1", fake.host()), "cache": cache})
}

#[test]
fn a_base_is_asked_for_once_and_kept() {
    let fake = Fake::plain();
    let layers: [&[u8]; 2] = [&[1; 100_000], &[2; 50_000]];
    let digests = base(&fake, &layers);
    let cache = tempfile::tempdir().unwrap();
    let pull = pull(&fake, cache.path());
    let outcome = Run::new().spec(&with(pull.clone(), "times", json!(3)));
    assert_eq!(outcome.done(), &json!(digests));
    assert_eq!((fake.requests("GET", "/manifests/").len(), fake.requests("GET", "/blobs/").len()), (1, 2));
    // Another run asks what the tag is now, and fetches nothing.
    Run::new().spec(&pull).done();
    assert_eq!((fake.requests("GET", "/manifests/").len(), fake.requests("GET", "/blobs/").len()), (2, 2));
    // By digest, and offline by what the tag last was, nobody is asked.
    fake.forget_requests();
    let by_digest = with(pull.clone(), "pull", json!(format!("{}/base@{}", fake.host(), digests[0])));
    assert_eq!(Run::new().spec(&by_digest).done(), &json!(digests));
    assert_eq!(Run::new().spec(&with(pull.clone(), "offline", json!(true))).done(), &json!(digests));
    assert_eq!(fake.all_requests().len(), 0);
    // A damaged blob of the store is fetched again.
    let kept = cache.path().join("blobs-v1").join(digests[3].strip_prefix("sha256:").unwrap());
    std::fs::write(&kept, [3; 50_000]).unwrap();
    assert_eq!(Run::new().spec(&pull).done(), &json!(digests));
    assert_eq!(fake.requests("GET", "/blobs/").len(), 1);
    let elsewhere = tempfile::tempdir().unwrap();
    let offline = with(with(pull, "offline", json!(true)), "cache", json!(elsewhere.path()));
    Run::new().spec(&offline).failed(&["is not in the store, and `--offline` forbids fetching it"]);
}

#[test]
fn a_blob_that_breaks_off_goes_on_where_it_ended() {
    let large: Vec<u8> = (0..400_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let cases = [
        (Fault::CutAfter(150_000), 2),
        (Fault::CutAfter(0), 2),
        (Fault::Error(503, "UNAVAILABLE"), 2),
        (Fault::With(429, &[("retry-after", "1")]), 1),
        (Fault::Drip(450), 1),
    ];
    side_by_side(&cases, |(fault, times)| {
        let (fake, cache) = (Fake::plain(), tempfile::tempdir().unwrap());
        let digests = base(&fake, &[&large]);
        fake.fail("GET", "/blobs/", *times, fault.clone());
        let outcome = Run::new().spec(&with(pull(&fake, cache.path()), "silence", json!(3_000)));
        assert_eq!(outcome.done(), &json!(digests), "{fault:?}");
        let requests = fake.requests("GET", "/blobs/");
        if matches!(fault, Fault::CutAfter(150_000)) {
            let ranges: Vec<&str> = requests.iter().map(|r| r.header("range")).collect();
            assert_eq!(ranges, ["", "bytes=150000-", "bytes=300000-"]);
        }
    });
}

#[test]
fn what_is_not_what_it_should_be_is_never_kept() {
    let cases = [
        ("/blobs/", Fault::Damaged, vec!["has the digest sha256:", "do not use it"]),
        ("/manifests/", Fault::Damaged, vec!["the manifest `1` of", "do not use it"]),
        ("/blobs/", Fault::Error(404, "BLOB_UNKNOWN"), vec!["BLOB_UNKNOWN"]),
        ("/manifests/", Fault::Error(404, "MANIFEST_UNKNOWN"), vec!["there is no such image"]),
        ("/blobs/", Fault::CutAfter(0), vec!["tried 5 times"]),
        ("/blobs/", Fault::StopAfter(0), vec!["no answer came for 300 ms"]),
    ];
    side_by_side(&cases, |(part, fault, words)| {
        let (fake, cache) = (Fake::plain(), tempfile::tempdir().unwrap());
        base(&fake, &[b"{}layer"]);
        fake.fail("GET", part, 99, fault.clone());
        Run::new().spec(&with(pull(&fake, cache.path()), "silence", json!(300))).failed(words);
        let blob =
            cache.path().join("blobs-v1").join(fake_registry::digest(b"{}layer").strip_prefix("sha256:").unwrap());
        assert!(!blob.exists(), "{fault:?}");
    });
}

#[test]
fn credentials_do_not_follow_to_other_hosts() {
    let (fake, other) = (Fake::with_tokens("me", "pass"), Fake::plain());
    let layer: &[u8] = &[5; 9_000];
    let digests = base(&fake, &[layer]);
    other.put("base", "1", "x", b"{}", &[layer]);
    let location: &'static str = format!("{}/v2/base/blobs/{}?X-Signature=abc", other.endpoint(), digests[2]).leak();
    fake.fail("GET", "/blobs/", 9, Fault::With(307, vec![("location", location)].leak()));
    let config = json!({"auths": {fake.host(): {"username": "me", "password": "pass"}}});
    let cache = tempfile::tempdir().unwrap();
    let outcome = Run::new().docker_config(&config).spec(&pull(&fake, cache.path()));
    assert_eq!(outcome.done(), &json!(digests));
    let reached = other.requests("GET", "/blobs/");
    assert!(reached.len() == 1 && reached[0].header("authorization").is_empty(), "{reached:?}");
    assert!(fake.requests("GET", "/blobs/")[0].header("authorization").starts_with("Bearer "));
    // The same when a registry wants a blob somewhere else; signatures in addresses are not told.
    let session: &'static str = format!("{}/v2/base/blobs/uploads/1?_state=abc", other.endpoint()).leak();
    other.session("uploads/1");
    fake.fail("POST", "/blobs/", 1, Fault::With(202, vec![("location", session)].leak()));
    let name = format!("{}/base", fake.host());
    let outcome = Run::new().docker_config(&config).spec(&with(spec(&name), "layers", json!([])));
    let puts = other.requests("PUT", "/blobs/");
    assert!(puts.len() == 1 && puts[0].header("authorization").is_empty(), "{puts:?} {}", outcome.text);
    assert!(!outcome.text.contains("_state"), "{}", outcome.text);
}

#[test]
fn what_belongs_to_an_image_leaves_it_as_it_is() {
    let sbom = r#"{"bomFormat":"CycloneDX"}"#;
    let referrer = |document: &Value| document["manifests"][0]["digest"].as_str().unwrap().to_owned();
    // A registry without a list of referrers keeps one under a tag.
    let registry = Registry::start();
    let name = format!("{}/fn", registry.host);
    let plain = Run::new().spec(&spec(&name));
    let with_sbom = with(spec(&name), "attach", json!(sbom));
    let attached = Run::new().spec(&with_sbom);
    assert_eq!((&attached.pushed()["uri"], &attached.pushed()["attached"]), (&plain.pushed()["uri"], &json!(true)));
    assert_eq!(Run::new().spec(&with_sbom).pushed()["attached"], false);
    let raw = |reference: &str| {
        docker_registry::skopeo(&["inspect", "--raw", "--tls-verify=false", &format!("docker://{reference}")])
    };
    let digest = plain.pushed()["uri"].as_str().unwrap().split_once('@').unwrap().1.to_owned();
    let index: Value = serde_json::from_str(&raw(&format!("{name}:{}", digest.replace(':', "-")))).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 1);
    assert_eq!(index["manifests"][0]["artifactType"], "application/vnd.cyclonedx+json");
    let manifest: Value = serde_json::from_str(&raw(&format!("{name}@{}", referrer(&index)))).unwrap();
    assert_eq!(manifest["subject"]["digest"], digest);
    assert_eq!(manifest["layers"][0]["size"], sbom.len());
    // Another one comes beside it.
    Run::new().spec(&with(spec(&name), "attach", json!("{}"))).done();
    let index: Value = serde_json::from_str(&raw(&format!("{name}:{}", digest.replace(':', "-")))).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 2);

    let fake = Fake::ecr(&["fn"]);
    let outcome = Run::ecr(&fake).spec(&with(spec("fn"), "attach", json!(sbom)));
    assert_eq!(outcome.pushed()["attached"], true);
    let repo = fake.repo("fn").unwrap();
    assert_eq!((repo.manifests.len(), repo.tags.len()), (2, 1), "{:?}", repo.tags);
}

#[test]
fn a_registry_that_is_not_ecr_is_told_to_be_none_that_lambda_reads() {
    // Nothing listens there; what is looked at is what is said before.
    let mut run = Run::new();
    run.command.env("HTTPS_PROXY", "http://127.0.0.1:1");
    let outcome = run.spec(&spec("registry.invalid/fn"));
    outcome.failed(&["warning: Lambda takes images only from a private repository of ECR in its region", "Failed to"]);
}
