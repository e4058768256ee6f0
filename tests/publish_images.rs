//! `publish` for functions that become images, from the command line to the registry: what is printed is what is there.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod common;

use std::io::Write as _;
use std::process::{Command, Stdio};

use common::docker_registry::{self, Registry};
use common::fake_registry::{Fake, Fault};
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
fn a_base_that_was_read_once_is_judged_where_it_is() {
    let (project, registry, fake) = (project(), Registry::start(), Fake::ecr(&["fn"]));
    let base = format!("{}/base", registry.host);
    done(&project, &fake, &["--repository", &base, "--function", "api", "--tag", "1"]);
    let cache = project.path(".cache");
    std::fs::remove_dir_all(&cache).unwrap();
    let config = CONFIG.replace("'scratch'", &format!("'{base}:1'"));
    project
        .write("lambda-pack.toml", &format!("{config}[functions.Worker.image]\nentrypoint = ['/no/such/program']\n"));
    let build = |args: &[&str]| {
        let mut command = project.command(args);
        Run::of(command.env("LAMBDA_PACK_CACHE_DIR", &cache), &project.path(""))
    };
    let refused = build(&["build", "--function", "Worker"]);
    assert_eq!(refused.code, 3, "{}", refused.transcript());
    // Its layers may have gone; what was in them is known.
    for entry in std::fs::read_dir(cache.join("blobs-v1")).unwrap().map(Result::unwrap) {
        if entry.path().extension().is_none() && entry.metadata().unwrap().len() > 2_000 {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    let run = publish(&project, &fake, &["--repository", "fn", "--function", "Worker"]);
    assert_eq!(run.code, 3, "{}", run.transcript());
    assert!(run.stderr.contains("image-entrypoint"), "{}", run.stderr);
    assert!(fake.repo("fn").unwrap().blobs.is_empty());
}

#[test]
fn a_template_says_itself_what_its_functions_become() {
    let project = Project::empty();
    project.write("app.py", "def handler(event, context):\n    return 1\n").write(
        "template.yaml",
        "Transform: AWS::Serverless-2016-10-31\nResources:\n  Api:\n    Type: AWS::Serverless::Function\n    Properties: {CodeUri: ., Runtime: python3.13, Handler: app.handler}\n",
    );
    let run = project.run(&["build", "--package", "image"]);
    assert_eq!(run.code, 2, "{}", run.transcript());
    assert!(
        run.stderr.contains("`Api` of the template is a zip") && run.stderr.contains("`ImageUri`"),
        "{}",
        run.stderr
    );
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

#[test]
fn layers_of_a_base_stay_where_they_are_and_a_list_of_packages_leaves_the_image_as_it_is() {
    let (project, from, fake) = (project(), Registry::start(), Fake::ecr(&["fn"]));
    let base = format!("{}/base", from.host);
    done(&project, &fake, &["--repository", &base, "--function", "api", "--tag", "1"]);
    let cache = project.path(".cache");
    std::fs::remove_dir_all(&cache).unwrap();
    project.write("lambda-pack.toml", &CONFIG.replace("'scratch'", &format!("'{base}:1'")));
    let args = ["--repository", "fn", "--function", "Worker", "--tag", "v1", "--format", "json"];
    let manifest: Value = serde_json::from_str(&done(&project, &fake, &args).stdout).unwrap();
    let digest = manifest["functions"][0]["image"]["digest"].as_str().unwrap().to_owned();
    let repo = fake.repo("fn").unwrap();
    let document: Value = serde_json::from_slice(&repo.manifests[&digest].1).unwrap();
    let layers: Vec<&str> =
        document["layers"].as_array().unwrap().iter().map(|layer| layer["digest"].as_str().unwrap()).collect();
    assert!(layers.iter().all(|layer| repo.blobs.contains_key(*layer)));
    // What only the base has went from registry to registry.
    let is_here = |layer: &&&str| cache.join("blobs-v1").join(&layer["sha256:".len()..]).exists();
    let here = layers.iter().filter(is_here).count();
    assert!((1..layers.len()).contains(&here), "{layers:?}");

    let run = done(&project, &fake, &[&args[..], &["--sbom"]].concat());
    let with_sbom: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(with_sbom["functions"][0]["image"]["digest"], digest.as_str());
    let repo = fake.repo("fn").unwrap();
    assert_eq!((repo.tags.len(), repo.tags["v1"].as_str()), (1, digest.as_str()));
    let referrers: Vec<Value> =
        repo.manifests.values().map(|(_, bytes)| serde_json::from_slice(bytes).unwrap()).collect();
    let referrer = referrers.iter().find(|document| document["subject"]["digest"] == digest.as_str()).unwrap();
    let sbom = repo.blobs[referrer["layers"][0]["digest"].as_str().unwrap()].clone();
    let file = with_sbom["functions"][0]["sbom"].as_str().unwrap();
    assert_eq!(sbom, std::fs::read(project.out(file)).unwrap());

    // A registry that takes no such thing is told of, and the image is there.
    fake.fail("PUT", "/manifests/sha256:", 9, Fault::Error(405, "UNSUPPORTED"));
    project.write("worker/data.txt", "changed");
    let run = done(&project, &fake, &[&args[..], &["--sbom"]].concat());
    assert!(run.stderr.contains("could not be attached to the image, which is there all the same"), "{}", run.stderr);
}

/// Puts a manifest into a registry as others would.
fn put_manifest(host: &str, name: &str, tag: &str, media_type: &str, body: &str) {
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    write!(
        stream,
        "PUT /v2/{name}/manifests/{tag} HTTP/1.1\r\nhost: {host}\r\ncontent-type: {media_type}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
}

#[test]
fn images_of_a_registry_are_judged_and_mended_where_they_are() {
    let (project, registry, fake) = (project(), Registry::start(), Fake::ecr(&[]));
    let repository = format!("{}/team/fn", registry.host);
    let pushed =
        done(&project, &fake, &["--repository", &repository, "--function", "api", "--tag", "v1", "--format", "json"]);
    let manifest: Value = serde_json::from_str(&pushed.stdout).unwrap();
    let image = &manifest["functions"][0]["image"];
    let check = |args: &[&str]| {
        let mut command = project.command(&["check"]);
        common::aws(&mut command, "http://127.0.0.1:1", "AKIAFAKEFAKEFAKE0000", "fake/Secret").args(args);
        command.env("HOME", project.path("")).env("LAMBDA_PACK_CACHE_DIR", project.path(".cache"));
        Run::of(&mut command, &project.path(""))
    };
    let good = check(&[&format!("{repository}:v1")]);
    assert_eq!(good.code, 0, "{}", good.transcript());
    assert!(good.stdout.contains(&format!("{repository}:v1  image · x86_64")), "{}", good.stdout);

    // What `docker buildx` makes of one processor with its attestations: an index, which Lambda refuses.
    let bytes =
        docker_registry::skopeo(&["inspect", "--raw", "--tls-verify=false", &format!("docker://{repository}:v1")]);
    let oci = "application/vnd.oci.image.manifest.v1+json";
    let index = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": oci, "digest": image["digest"], "size": bytes.len(),
            "platform": {"os": "linux", "architecture": "amd64"},
        }],
    });
    let media_type = "application/vnd.oci.image.index.v1+json";
    put_manifest(&registry.host, "team/fn", "index", media_type, &index.to_string());
    let bad = check(&[&format!("{repository}:index"), "--format", "json"]);
    assert_eq!(bad.code, 3, "{}", bad.transcript());
    let found: Value = serde_json::from_str(&bad.stdout).unwrap();
    assert_eq!(found["findings"][0]["rule"], "image-index", "{}", bad.stdout);

    let target = format!("{}/team/fixed", registry.host);
    let args =
        [&format!("{repository}:index"), "--fix", "--out-dir", "fixed", "--repository", &target, "--format", "json"];
    let fixed = check(&args);
    assert_eq!(fixed.code, 0, "{}", fixed.transcript());
    let fixed: Value = serde_json::from_str(&fixed.stdout).unwrap();
    let uri = fixed["artifacts"][0]["image_uri"].as_str().unwrap();
    assert!(uri.starts_with(&format!("{target}@sha256:")) && project.path("fixed/fn-index.oci/index.json").is_file());
    let folder = tempfile::tempdir().unwrap();
    docker_registry::copy_to_layout(uri, folder.path());
    assert_eq!(check(&[uri]).code, 0);

    // A name without a host is one of the account's ECR.
    let fake = Fake::ecr(&["team/own"]);
    done(&project, &fake, &["--repository", "team/own", "--function", "api", "--tag", "v1"]);
    let mut command = project.command(&["check", "team/own:v1"]);
    common::aws(&mut command, "http://127.0.0.1:1", "AKIAFAKEFAKEFAKE0000", "fake/Secret");
    command.env("AWS_ENDPOINT_URL_ECR", fake.endpoint()).env_remove("AWS_ENDPOINT_URL");
    let own = Run::of(&mut command, &project.path(""));
    assert!(own.code == 0 && own.stdout.contains("/team/own:v1  image"), "{}", own.transcript());

    let missing = check(&[&format!("{repository}:none")]);
    assert_eq!(missing.code, 1, "{}", missing.transcript());
    assert!(missing.stderr.contains("there is no such image"), "{}", missing.stderr);
}

/// An ECR that is not ours: what it says of an image that was pushed.
#[test]
fn another_implementation_of_ecr_takes_an_image() {
    let server = common::server::Running::start("lambda-server");
    let host = server.endpoint.strip_prefix("http://").unwrap().to_owned();
    let keys = ("test", "test");
    server.boto(keys, &[], "ecr = boto3.client('ecr')\nanswer = ecr.create_repository(repositoryName='team/fn')");
    let (project, fake) = (project(), Fake::ecr(&[]));
    let repository = format!("{host}/team/fn");
    let args = ["--repository", &repository, "--function", "api", "--tag", "v1", "--format", "json"];
    let run = done(&project, &fake, &args);
    let manifest: Value = serde_json::from_str(&run.stdout).unwrap();
    let image = &manifest["functions"][0]["image"];
    let images = server.boto(
        keys,
        &[],
        "ecr = boto3.client('ecr')\nanswer = ecr.describe_images(repositoryName='team/fn')['imageDetails']",
    );
    assert_eq!((&images[0]["imageDigest"], &images[0]["imageTags"]), (&image["digest"], &json!(["v1"])), "{images}");
}

/// What `ImageUri` names as a folder or archive is pushed, and the template then names it by its digest.
#[test]
fn images_that_a_template_names_as_files_are_pushed() {
    let (project, fake) = (project(), Fake::ecr(&["team/fn"]));
    let built = project.run(&["build", "--out-dir", "images"]);
    assert_eq!(built.code, 0, "{}", built.transcript());
    // A folder that is no image bears the name of one that Docker may have.
    project.write("stack/oddly/file.txt", "");
    let template = "Transform: AWS::Serverless-2016-10-31\nResources:\n  Api:\n    Type: AWS::Serverless::Function\n    \
                    Properties: {PackageType: Image, ImageUri: ../images/api.oci} # ours\n  Raw:\n    \
                    Type: AWS::Lambda::Function\n    Properties:\n      PackageType: Image\n      Role: r\n      \
                    Code: {ImageUri: ../images/Worker.oci}\n  There:\n    Type: AWS::Serverless::Function\n    \
                    Properties: {PackageType: Image, ImageUri: oddly}\n";
    project.write(".git/HEAD", "").write("stack/template.yaml", template);
    let run = project.run(&["build", "--template", "stack/template.yaml"]);
    assert_eq!(run.code, 0, "{}", run.transcript());
    let packaged = project.read("stack/target/lambda-pack/packaged.yaml");
    assert!(packaged.contains("ImageUri: Api.oci} # ours") && packaged.contains("ImageUri: oddly}"), "{packaged}");
    let args = ["--template", "stack/template.yaml", "--repository", "team/fn", "--format", "json"];
    done(&project, &fake, &args);
    let tags = fake.repo("team/fn").unwrap().tags;
    assert_eq!(tags.len(), 2, "{tags:?}");
    let packaged = project.read("stack/target/lambda-pack/packaged.yaml");
    for (name, digest) in &tags {
        let uri = format!("ImageUri: \"{}/team/fn@{digest}\"}}", fake.host());
        assert!(packaged.contains(&uri), "{name}: {packaged}");
    }
    // Once more, nothing is sent; and what Lambda would refuse is pushed nowhere.
    let puts = || fake.requests("PUT", "/v2/team/fn/").len();
    let before = puts();
    done(&project, &fake, &args);
    assert_eq!(puts(), before);
    project.write(
        "stack/template.yaml",
        &template
            .replace("PackageType: Image, ImageUri: ../", "PackageType: Image, Architectures: [arm64], ImageUri: ../"),
    );
    let run = publish(&project, &fake, &args);
    assert!(run.code == 3 && run.stderr.contains("error[image-architecture] Api:"), "{}", run.transcript());
    assert_eq!(puts(), before);
    assert!(!project.path("stack/target/lambda-pack/packaged.yaml").exists());
}
