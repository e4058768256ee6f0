//! `publish` for functions that become images, from the command line to the registry: what is printed is what is there.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod common;

use std::io::Write as _;
use std::process::{Command, Stdio};

use common::docker_registry::{self, Registry};
use common::fake_registry::Fake;
use common::{Project, Run};
use serde_json::{Value, json};

const CONFIG: &str = "[defaults]\nruntime = 'provided.al2023'\npackage = 'image'\nbase = 'scratch'\narchitecture = 'x86_64'\n\
                      [functions.api]\npath = 'api'\n[functions.Worker]\npath = 'worker'\n";

/// Two functions whose programs need nothing but themselves.
fn project() -> Project {
    let project = Project::empty();
    project.write("lambda-pack.toml", CONFIG);
    for name in ["api", "worker"] {
        project.write(&format!("{name}/data.txt"), name);
        let program = project.path(&format!("{name}/bootstrap"));
        let mut compiler = Command::new("cc")
            .args(["-static", "-nostdlib", "-x", "c", "-", "-o"])
            .arg(&program)
            .stdin(Stdio::piped())
            .spawn()
            .expect("cc is missing: apt-get install gcc libc6-dev");
        compiler.stdin.take().unwrap().write_all(b"void _start(void) { for (;;); }").unwrap();
        assert!(compiler.wait().unwrap().success());
    }
    project
}

fn command(project: &Project, fake: &Fake, args: &[&str]) -> Command {
    let mut command = project.command(&["publish"]);
    common::aws(&mut command, "http://127.0.0.1:1", "AKIAFAKEFAKEFAKE0000", "fake/Secret").args(args);
    command.env("AWS_ENDPOINT_URL_ECR", fake.endpoint()).env_remove("AWS_ENDPOINT_URL").env("HOME", project.path(""));
    for name in ["DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"] {
        command.env_remove(name);
    }
    command.env("LAMBDA_PACK_CACHE_DIR", project.path(".cache"));
    command
}

fn publish(project: &Project, fake: &Fake, args: &[&str]) -> Run {
    Run::of(&mut command(project, fake, args), &project.path(""))
}

fn done(project: &Project, fake: &Fake, args: &[&str]) -> Run {
    let run = publish(project, fake, args);
    assert_eq!(run.code, 0, "{}", run.transcript());
    run
}

#[test]
fn images_are_pushed_and_every_output_says_where() {
    let (project, fake) = (project(), Fake::ecr(&[]));
    fake.mounts(true);
    let args = ["--repository", "team/{function}", "--create-repository", "--format"];
    let run = done(&project, &fake, &[&args[..], &["json"]].concat());
    let manifest: Value = serde_json::from_str(&run.stdout).unwrap();
    let uri = |index: usize| manifest["functions"][index]["image"]["uri"].as_str().unwrap().to_owned();
    let (worker, api) = (uri(0), uri(1));
    for (uri, repo, name) in [(&api, "team/api", "api"), (&worker, "team/worker", "Worker")] {
        let (place, digest) = uri.split_once('@').unwrap();
        assert_eq!(place, format!("{}/{repo}", fake.host()));
        let repo = fake.repo(repo).unwrap();
        let tag = format!("{name}-{}", &digest["sha256:".len()..][..12]);
        assert_eq!(repo.tags, [(tag, digest.to_owned())].into());
        assert!(repo.policy.unwrap().contains("lambda.amazonaws.com"));
    }
    // What is in the image's folder is what was pushed.
    let layout = project.out("api.oci/index.json");
    assert!(std::fs::read_to_string(layout).unwrap().contains(api.split_once('@').unwrap().1));

    let env = done(&project, &fake, &[&args[..], &["env"]].concat()).stdout;
    assert_eq!(env, format!("WORKER_IMAGE_URI={worker}\nAPI_IMAGE_URI={api}\n"));
    let github = done(&project, &fake, &[&args[..], &["github"]].concat()).stdout;
    assert_eq!(github, format!("worker_image_uri={worker}\napi_image_uri={api}\n"));
    let parameters: Value =
        serde_json::from_str(&done(&project, &fake, &[&args[..], &["cloudformation"]].concat()).stdout).unwrap();
    assert_eq!(
        parameters,
        json!([
            {"ParameterKey": "WorkerImageUri", "ParameterValue": worker},
            {"ParameterKey": "ApiImageUri", "ParameterValue": api},
        ])
    );
    let variables: Value =
        serde_json::from_str(&done(&project, &fake, &[&args[..], &["tfvars"]].concat()).stdout).unwrap();
    assert_eq!(variables, json!({"Worker": {"image_uri": worker}, "api": {"image_uri": api}}));

    let text = done(&project, &fake, &args[..3]).stdout;
    assert!(text.contains(&format!("ImageUri            {api}\n")), "{text}");
    assert!(text.contains(&format!("--function-name api --image-uri {api}")), "{text}");
    assert!(text.ends_with("nothing to push: 2 images are there already\n"), "{text}");
    // What was sent the first time was not sent again.
    let mut stored = fake.stored();
    stored.sort();
    let count = stored.len();
    stored.dedup();
    assert_eq!(stored.len(), count);
}

#[test]
fn a_changed_line_sends_the_layer_of_code_the_config_and_the_manifest() {
    let (project, fake) = (project(), Fake::ecr(&["fn"]));
    project.write("api/libs/large.bin", &"0123456789abcdef".repeat(40_000));
    let args = ["--repository", "fn", "--function", "api", "--tag", "live", "--format", "json"];
    done(&project, &fake, &args);
    let before = fake.repo("fn").unwrap();
    fake.forget_requests();
    project.write("api/data.txt", "changed");
    done(&project, &fake, &args);
    let after = fake.repo("fn").unwrap();
    assert_ne!(before.tags["live"], after.tags["live"]);
    let layers = |digest: &str| -> Vec<String> {
        let manifest: Value = serde_json::from_slice(&after.manifests[digest].1).unwrap();
        manifest["layers"].as_array().unwrap().iter().map(|l| l["digest"].as_str().unwrap().to_owned()).collect()
    };
    let old = layers(&before.tags["live"]);
    let new: Vec<String> = layers(&after.tags["live"]).into_iter().filter(|layer| !old.contains(layer)).collect();
    // The layers that are new and the config; nothing that was there.
    assert_eq!((new.len() + 1, fake.requests("PUT", "/manifests/").len()), (fake.stored().len(), 1));
    let sizes: usize = fake.stored().iter().map(|digest| after.blobs[digest].len()).sum();
    assert_eq!(fake.bytes(), sizes);
}

#[test]
fn an_image_on_an_image_of_the_same_registry_is_mounted() {
    let (project, registry, fake) = (project(), Registry::start(), Fake::ecr(&[]));
    let repository = |name: &str| format!("{}/{name}", registry.host);
    done(&project, &fake, &["--repository", &repository("base"), "--function", "api", "--tag", "1"]);
    project.write("lambda-pack.toml", &format!("{CONFIG}base = '{}:1'\n", repository("base")));
    let run =
        done(&project, &fake, &["--repository", &repository("fn"), "--function", "Worker", "--format", "json", "-v"]);
    let manifest: Value = serde_json::from_str(&run.stdout).unwrap();
    let uri = manifest["functions"][0]["image"]["uri"].as_str().unwrap();
    let mounted = run.stderr.lines().find(|line| line.contains(" mounted, ")).unwrap();
    assert!(!mounted.contains(" 0 mounted"), "{mounted}");
    let folder = tempfile::tempdir().unwrap();
    docker_registry::copy_to_layout(uri, folder.path());
    assert_eq!(fake.all_requests().len(), 0);
}

#[test]
fn what_cannot_be_meant_is_refused_before_anything_is_built() {
    let (project, fake) = (project(), Fake::ecr(&["fn"]));
    for (args, words) in [
        (vec![], "becomes an image, and no repository is named"),
        (vec!["--repository", "fn", "--tag", "v1"], "the images of `Worker` and `api` would both be `fn:v1`"),
        (vec!["--repository", "fn", "--tag", "a/{function}"], "is no tag"),
        (vec!["--repository", "fn:v1"], "leave out the tag: `--tag` names it"),
        (vec!["--repository", "public.ecr.aws/a/fn"], "Provide a valid source image."),
        (vec!["--repository", "ghcr.io/a/fn", "--create-repository"], "ghcr.io is none"),
        (
            vec!["--repository", "111122223333.dkr.ecr.us-east-1.amazonaws.com/fn", "--region", "eu-west-1"],
            "deploy with `--region us-east-1`",
        ),
        (vec!["--create-repository"], "--repository"),
    ] {
        let run = publish(&project, &fake, &args);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{args:?}: {}", run.transcript());
        assert!(run.stderr.contains(words), "{args:?}: {}", run.stderr);
        assert!(!project.out("manifest.json").exists());
    }
    assert_eq!(fake.all_requests().len(), 0);
}

#[test]
fn an_image_that_lambda_would_refuse_is_not_pushed() {
    let (project, fake) = (project(), Fake::ecr(&["fn"]));
    project.write("api/bootstrap", "#!/usr/bin/python3\n");
    let run = publish(&project, &fake, &["--repository", "fn", "--format", "json"]);
    assert_eq!(run.code, 3, "{}", run.transcript());
    let manifest: Value = serde_json::from_str(&run.stdout).unwrap();
    assert!(manifest["functions"].as_array().unwrap().iter().all(|f| f["image"].get("uri").is_none()));
    assert_eq!((fake.requests("PUT", "").len(), fake.requests("POST", "/blobs/").len()), (0, 0));
}
