//! `publish --publish-layers` against a Lambda API that runs functions with their layers, judged by a client that is not
//! ours: published once, found again, one version after a bump, and cleared away when nobody has them.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod common;

use common::server::Running;
use common::{Project, REQUESTS, Run, pythons};
use serde_json::Value;

const KEYS: (&str, &str) = ("test", "test");

/// The Lambda API.
struct Server(Running);

impl Server {
    fn start() -> Self {
        Self(Running::start("lambda-server"))
    }

    fn run(&self, project: &Project, args: &[&str]) -> Run {
        let mut command = project.command(args);
        common::aws(&mut command, &self.0.endpoint, KEYS.0, KEYS.1);
        Run::of(&mut command, &project.path(""))
    }

    fn published(&self, project: &Project, args: &[&str]) -> Value {
        let run = self.run(project, &[&["publish", "--publish-layers", "--format", "json"], args].concat());
        assert_eq!(run.code, 0, "{}", run.transcript());
        serde_json::from_str(&run.stdout).unwrap()
    }

    fn boto(&self, args: &[&str], script: &str) -> Value {
        self.0.boto(KEYS, args, script)
    }

    /// Names of layers, each with its versions.
    fn layers(&self) -> Vec<(String, usize)> {
        let found = self.boto(
            &[],
            "answer = sorted([l['LayerName'], len(client.list_layer_versions(LayerName=l['LayerName'])['LayerVersions'])] for l in client.list_layers()['Layers'])",
        );
        let layer = |l: &Value| (l[0].as_str().unwrap().to_owned(), usize::try_from(l[1].as_u64().unwrap()).unwrap());
        found.as_array().unwrap().iter().map(layer).collect()
    }

    /// Makes or updates a function as the manifest says, and gives what it answers.
    fn deploy_and_invoke(&self, project: &Project, manifest: &Value, name: &str) -> Value {
        let function = function(manifest, name);
        let zip = project.out(function["artifact"]["path"].as_str().unwrap());
        let arns: Vec<&str> =
            function["layers"].as_array().unwrap().iter().map(|layer| arn(manifest, layer.as_str().unwrap())).collect();
        self.boto(
            &[name, function["runtime"].as_str().unwrap(), zip.to_str().unwrap(), &arns.join(",")],
            "name, runtime, zip, arns = args\n\
             code, layers = open(zip, 'rb').read(), [arn for arn in arns.split(',') if arn]\n\
             try:\n  \
               client.create_function(FunctionName=name, Runtime=runtime, Handler='app.handler', Role='arn:aws:iam::000000000000:role/x', Code={'ZipFile': code}, Layers=layers, Timeout=30)\n\
             except client.exceptions.ResourceConflictException:\n  \
               client.update_function_code(FunctionName=name, ZipFile=code)\n  \
               client.update_function_configuration(FunctionName=name, Layers=layers)\n\
             answer = json.load(client.invoke(FunctionName=name, Payload=b'{}')['Payload'])",
        )
    }
}

fn function<'m>(manifest: &'m Value, name: &str) -> &'m Value {
    manifest["functions"].as_array().unwrap().iter().find(|f| f["name"] == name).unwrap()
}

fn arn<'m>(manifest: &'m Value, layer: &str) -> &'m str {
    let found = manifest["layers"].as_array().unwrap().iter().find(|l| l["name"] == layer).unwrap();
    found["arn"].as_str().unwrap()
}

/// ARNs of all layers.
fn arns(manifest: &Value) -> Vec<String> {
    manifest["layers"].as_array().unwrap().iter().map(|l| l["arn"].as_str().unwrap().to_owned()).collect()
}

/// Two functions that share requests, and a layer of the project's own that one of them has.
fn project() -> Project {
    let (minor, _) = pythons().into_iter().rfind(|(minor, _)| (9..=14).contains(minor)).unwrap();
    let project = Project::empty();
    for name in ["a", "b"] {
        project.write(
            &format!("{name}/app.py"),
            "import idna, requests\ndef handler(event, context):\n    return [requests.__version__, idna.__version__]\n",
        );
        project.write(&format!("{name}/requirements.txt"), &format!("{REQUESTS}idna==3.9\n"));
    }
    project.write("b/app.py", "import common\ndef handler(event, context):\n    return common.VALUE\n");
    project.write("common/python/common.py", "VALUE = 1\n");
    let arch = common::host_architecture();
    project.write(
        "lambda-pack.toml",
        &format!(
            "[defaults]\nruntime = 'python3.{minor}'\nhandler = 'app.handler'\nlayers = 'shared'\narchitecture = '{arch}'\n\
             [functions.a]\npath = 'a'\n[functions.b]\npath = 'b'\nlayers = ['shared', 'common']\n\
             [layers.common]\npath = 'common'\nruntime = 'python3.{minor}'\n"
        ),
    );
    project
}

#[test]
fn layers_are_published_once_and_functions_answer_with_them() {
    let server = Server::start();
    let project = project();
    let first = server.published(&project, &[]);
    let shared = function(&first, "a")["layers"][0].as_str().unwrap().to_owned();
    assert_eq!(server.layers(), [("common".to_owned(), 1), (shared.clone(), 1)]);
    assert_eq!(server.deploy_and_invoke(&project, &first, "a"), serde_json::json!(["2.32.3", "3.9"]));
    assert_eq!(server.deploy_and_invoke(&project, &first, "b"), 1);
    // What Lambda has is what was built, for the runtime that it was built for.
    let described = server.boto(
        &[&arns(&first)[1]],
        "v = client.get_layer_version_by_arn(Arn=args[0])\nanswer = [v['Content']['CodeSha256'], v['CompatibleRuntimes'], v.get('CompatibleArchitectures'), v['Description']]",
    );
    let layer = &first["layers"][1];
    assert_eq!(described[0], layer["artifact"]["code_sha256"]);
    assert_eq!(described[1], layer["compatible_runtimes"]);
    assert_eq!(described[3], format!("cargo-lambda-pack sha256:{}", layer["content"].as_str().unwrap()));

    // Again, and from another folder: nothing is published, the same versions are named.
    assert_eq!(arns(&server.published(&project, &[])), arns(&first));
    assert_eq!(arns(&server.published(&self::project(), &["--no-cache"])), arns(&first));
    assert_eq!(server.layers(), [("common".to_owned(), 1), (shared.clone(), 1)]);
    let said = server.run(&project, &["publish", "--publish-layers"]);
    assert!(said.stdout.contains("nothing to publish: Lambda has 2 layer versions"), "{}", said.transcript());
    assert!(said.stdout.contains(&format!("LayerVersionArn     {}", arns(&first)[0])), "{}", said.stdout);

    // The outputs that deployments take.
    let env = server.run(&project, &["publish", "--publish-layers", "--format", "env"]).stdout;
    assert!(env.contains(&format!("\nB_LAYER_ARNS={},{}\n", arns(&first)[1], arns(&first)[0])), "{env}");
    assert!(env.contains(&format!("COMMON_LAYER_VERSION_ARN={}\n", arns(&first)[0])), "{env}");

    // A bump of one package: one new version, of a layer of a new name.
    for name in ["a", "b"] {
        project.write(&format!("{name}/requirements.txt"), &format!("{REQUESTS}idna==3.10\n"));
    }
    let bumped = server.published(&project, &[]);
    assert_eq!(server.layers().iter().map(|(_, versions)| versions).sum::<usize>(), 3, "{:?}", server.layers());
    assert_eq!(server.deploy_and_invoke(&project, &bumped, "a"), serde_json::json!(["2.32.3", "3.10"]));
    // A change in the layer of our own: a new version under the same name; and back again: the old version is found.
    project.write("common/python/common.py", "VALUE = 2\n");
    let changed = server.published(&project, &[]);
    assert!(arn(&changed, "common").ends_with(":common:2"), "{}", arn(&changed, "common"));
    assert_eq!(server.deploy_and_invoke(&project, &changed, "b"), 2);
    project.write("common/python/common.py", "VALUE = 1\n");
    assert!(arn(&server.published(&project, &[]), "common").ends_with(":common:1"));

    // What nobody has is listed, and deleted when that is asked for; layers of our own are never touched.
    let listed = server.run(&project, &["cache", "prune", "--remote-layers"]);
    assert_eq!(listed.stdout.trim(), arns(&first)[1], "{}", listed.transcript());
    assert!(listed.stderr.contains("1 layer version in no function; `--yes` deletes them"), "{}", listed.stderr);
    let elsewhere = server.run(&project, &["cache", "prune", "--remote-layers", "--layer-name-prefix", "team-"]);
    assert_eq!((elsewhere.code, elsewhere.stdout.as_str()), (0, ""));
    let deleted = server.run(&project, &["cache", "prune", "--remote-layers", "--yes"]);
    assert_eq!(deleted.stdout.trim(), arns(&first)[1]);
    assert_eq!(server.layers().iter().map(|(_, versions)| versions).sum::<usize>(), 3, "{:?}", server.layers());
    assert_eq!(server.run(&project, &["cache", "prune", "--remote-layers"]).stdout, "");
    // It is published again when it is needed again.
    for name in ["a", "b"] {
        project.write(&format!("{name}/requirements.txt"), &format!("{REQUESTS}idna==3.9\n"));
    }
    let back = server.published(&project, &[]);
    assert_eq!(server.deploy_and_invoke(&project, &back, "a"), serde_json::json!(["2.32.3", "3.9"]));
}

#[test]
fn layers_go_through_s3_when_all_does_and_one_change_sends_one_zip() {
    let server = Server::start();
    let project = project();
    server.boto(
        &[],
        "s3.create_bucket(Bucket='bucket', CreateBucketConfiguration={'LocationConstraint': 'eu-west-1'})\n\
         s3.put_bucket_versioning(Bucket='bucket', VersioningConfiguration={'Status': 'Enabled'})\nanswer = None",
    );
    let objects = || {
        let script = "answer = sorted(v['Key'] for v in s3.list_object_versions(Bucket='bucket').get('Versions', []))";
        server.boto(&[], script).as_array().unwrap().iter().map(|k| k.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let to_s3 = ["--bucket", "bucket", "--s3", "always"];
    let first = server.published(&project, &to_s3);
    assert_eq!(objects().len(), 4, "{:?}", objects());
    for layer in first["layers"].as_array().unwrap() {
        let key = format!("{}/{}.zip", layer["name"].as_str().unwrap(), layer["artifact"]["sha256"].as_str().unwrap());
        assert_eq!(layer["s3"]["key"], key);
        assert!(objects().contains(&key));
    }
    assert_eq!(server.deploy_and_invoke(&project, &first, "b"), 1);
    // Without publishing, CloudFormation gets the coordinates of the layers that it can know by name.
    let run = server.run(&project, &["publish", "--bucket", "bucket", "--format", "cloudformation"]);
    let parameters: Vec<Value> = serde_json::from_str(&run.stdout).unwrap();
    let names: Vec<&str> = parameters.iter().map(|p| p["ParameterKey"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "AS3Bucket",
            "AS3Key",
            "AS3ObjectVersion",
            "BS3Bucket",
            "BS3Key",
            "BS3ObjectVersion",
            "CommonS3Bucket",
            "CommonS3Key",
            "CommonS3ObjectVersion"
        ]
    );
    // One line of one function.
    let before = objects();
    project.write("b/app.py", "import common\ndef handler(event, context):\n    return common.VALUE + 10\n");
    let changed = server.published(&project, &to_s3);
    let new: Vec<String> = objects().into_iter().filter(|key| !before.contains(key)).collect();
    assert_eq!(new, [function(&changed, "b")["s3"]["key"].as_str().unwrap()]);
    assert_eq!((arns(&changed), server.layers().len()), (arns(&first), 2));
    assert_eq!(server.deploy_and_invoke(&project, &changed, "b"), 11);
}
