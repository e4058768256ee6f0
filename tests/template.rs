//! A SAM or CloudFormation template as the project: built, published, and written again so that CloudFormation's and SAM's
//! own tools take it.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod common;

use std::process::Command;

use common::s3::server;
use common::server::python;
use common::{Project, Run};
use serde_json::Value;

const TEMPLATE: &str = "\
# A shop. Comments, order and quotes stay as they are.
AWSTemplateFormatVersion: '2010-09-09'
Transform: AWS::Serverless-2016-10-31
Parameters:
  Stage: {Type: String, Default: dev, AllowedValues: [dev, prod]}
Conditions:
  IsProd: !Equals [!Ref Stage, prod]
Mappings:
  Folders: {dev: {worker: worker}, prod: {worker: worker}}
Globals:
  Function:
    Timeout: 10
    Runtime: python3.13
    CodeUri: api/          # for those that say nothing else
Resources:
  Api:
    Type: AWS::Serverless::Function
    Properties:
      Handler: app.handler   # no CodeUri of its own
      Layers:
        - !Ref Common
      Environment:
        Variables: {STAGE: !Ref Stage}
  Second:
    Type: AWS::Serverless::Function
    Properties: {Handler: app.other, MemorySize: 256}
  Worker:
    Type: AWS::Lambda::Function
    Properties:
      Code: !FindInMap [Folders, !Ref Stage, worker]
      Handler: index.handler
      Runtime: nodejs22.x
      Role: !Sub 'arn:${AWS::Partition}:iam::${AWS::AccountId}:role/worker'
  OnlyProd:
    Type: AWS::Serverless::Function
    Condition: IsProd
    Properties: {Handler: app.handler, CodeUri: !If [IsProd, nowhere, api]}
  Inline:
    Type: AWS::Serverless::Function
    Properties: {Handler: index.handler, InlineCode: 'def handler(e, c): pass'}
  Common:
    Type: AWS::Serverless::LayerVersion
    Metadata: {BuildMethod: python3.13}
    Properties:
      ContentUri: \"common\"
      CompatibleRuntimes: [python3.13]
  Flow:
    Type: AWS::Serverless::StateMachine
    Properties:
      DefinitionUri: flow/flow.asl.json
      Role: !Sub 'arn:${AWS::Partition}:iam::${AWS::AccountId}:role/flow'
  Inner:
    Type: AWS::CloudFormation::Stack
    Properties:
      TemplateURL: inner/template.json
      Parameters: {Stage: !Ref Stage}
";

const INNER: &str = r#"{
  "Parameters": {"Stage": {"Type": "String"}},
  "Resources": {
    "Job": {
      "Type": "AWS::Lambda::Function",
      "Properties": {
        "Code": "job",
        "Handler": "app.handler",
        "Runtime": "python3.13",
        "Role": "arn:aws:iam::123456789012:role/job"
      }
    }
  }
}
"#;

fn shop() -> Project {
    let project = Project::empty();
    project
        .write("template.yaml", TEMPLATE)
        .write("api/app.py", "import idna\ndef handler(e, c):\n    return 1\ndef other(e, c):\n    return 2\n")
        .write("api/requirements.txt", "idna==3.10\n")
        .write("worker/index.js", "exports.handler = async () => 1;\n")
        .write("common/helper.py", "X = 1\n")
        .write("common/requirements.txt", "certifi==2024.8.30\n")
        .write("flow/flow.asl.json", "{\"StartAt\": \"A\", \"States\": {\"A\": {\"Type\": \"Succeed\"}}}\n")
        .write("inner/template.json", INNER)
        .write("inner/job/app.py", "def handler(e, c):\n    return 3\n");
    project
}

/// Lines of the second text that are not those of the first.
fn changed<'t>(before: &str, after: &'t str) -> Vec<&'t str> {
    let before: Vec<&str> = before.lines().collect();
    after.lines().filter(|line| !before.contains(line)).map(str::trim).collect()
}

/// cfn-lint's findings of level error; and for a template of SAM, what SAM's own translator makes of it.
fn judged(template: &std::path::Path) -> Value {
    let script = "
import json, sys
import cfnlint.decode
from samtranslator.translator.transform import transform
template, matches = cfnlint.decode.decode(sys.argv[1])
assert not matches, matches
class Policies:
    def load(self): return {}
plain = json.loads(json.dumps(template))
print(json.dumps(transform(plain, {'Stage': 'dev'}, Policies())))
";
    let lint = Command::new(python().with_file_name("cfn-lint"))
        .args(["--non-zero-exit-code", "error", "--region", "eu-west-1", "--"])
        .arg(template)
        .output()
        .unwrap();
    assert!(
        lint.status.success(),
        "{}{}",
        String::from_utf8_lossy(&lint.stdout),
        String::from_utf8_lossy(&lint.stderr)
    );
    let output = Command::new(python())
        .args(["-c", script])
        .arg(template)
        .env("AWS_DEFAULT_REGION", "eu-west-1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_build_writes_the_template_with_paths_that_are_right_from_there() {
    let project = shop();
    let manifest = project.build::<&str>(&[]);
    let names: Vec<&str> =
        manifest["functions"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Api", "Inner/Job", "OnlyProd", "Second", "Worker"]);
    assert_eq!(manifest["functions"][0]["layers"], serde_json::json!(["Common"]));
    let packaged = project.read("target/lambda-pack/packaged.yaml");
    assert_eq!(
        changed(TEMPLATE, &packaged),
        [
            "CodeUri: Api.zip",
            "Properties: {CodeUri: Second.zip, Handler: app.other, MemorySize: 256}",
            "Code: Worker.zip",
            "Properties: {Handler: app.handler, CodeUri: OnlyProd.zip}",
            "ContentUri: Common.zip",
            "DefinitionUri: ../../flow/flow.asl.json",
            "TemplateURL: Inner/packaged.yaml",
        ]
    );
    // Nothing else: without what was put in, it is the user's file.
    assert_eq!(packaged.lines().count(), TEMPLATE.lines().count() + 1);
    let inner = project.read("target/lambda-pack/Inner/packaged.yaml");
    assert_eq!(changed(INNER, &inner), ["\"Code\": \"Job.zip\","]);
    for file in ["Api.zip", "Inner/Job.zip", "../../flow/flow.asl.json"] {
        assert!(project.out(file).exists(), "{file}");
    }
    let layer = project.unpack("Common.zip").files();
    assert!(
        layer.contains(&"python/helper.py".to_owned()) && layer.contains(&"python/certifi/__init__.py".to_owned()),
        "{layer:?}"
    );
    // What is refused leaves no template that somebody could deploy.
    project.write("api/app.py", "def nothing(e, c):\n    return 1\n");
    assert_eq!(project.run(&["build"]).code, 3);
    assert!(!project.out("packaged.yaml").exists());
}

#[test]
fn publish_names_objects_that_are_there() {
    let bucket = server().bucket("template", true);
    let project = shop();
    let mut command = project.command(&["publish", "--bucket", &bucket, "--prefix", "shop", "--format", "json"]);
    let run = Run::of(server().sign_in(&mut command, "owner"), &project.path(""));
    assert_eq!(run.code, 0, "{}", run.transcript());
    let manifest: Value = serde_json::from_str(&run.stdout).unwrap();
    let stored = server().versions(&bucket);
    let keys: Vec<&str> = stored.iter().map(|(key, ..)| key.as_str()).collect();
    for start in
        ["shop/Api/", "shop/Common/", "shop/Flow/", "shop/Inner/", "shop/Inner/Job/", "shop/Second/", "shop/Worker/"]
    {
        assert!(keys.iter().any(|key| key.starts_with(start)), "{start}: {keys:?}");
    }
    let translated = judged(&project.out("packaged.yaml"));
    for (name, properties) in [("Api", "S3Key"), ("Worker", "S3Key")] {
        let code = &translated["Resources"][name]["Properties"]["Code"];
        let function = manifest["functions"].as_array().unwrap().iter().find(|f| f["name"] == name).unwrap();
        assert_eq!(code[properties], function["s3"]["key"], "{code}");
        assert_eq!(code["S3ObjectVersion"], function["s3"]["version"], "{code}");
        assert_eq!(code["S3Bucket"], bucket);
    }
    let flow = &translated["Resources"]["Flow"]["Properties"]["DefinitionS3Location"];
    assert!(keys.contains(&flow["Key"].as_str().unwrap()), "{flow}");
    let url = translated["Resources"]["Inner"]["Properties"]["TemplateURL"].as_str().unwrap().to_owned();
    let inner = keys.iter().find(|key| key.starts_with("shop/Inner/") && key.ends_with(".template")).unwrap();
    assert!(url.ends_with(&format!("/{bucket}/{inner}")), "{url}");
    // Once more: nothing is sent.
    let mut command = project.command(&["publish", "--bucket", &bucket, "--prefix", "shop"]);
    let again = Run::of(server().sign_in(&mut command, "owner"), &project.path(""));
    assert!(again.stdout.contains("nothing to upload"), "{}", again.transcript());
    assert_eq!(server().versions(&bucket), stored);
}

#[test]
fn layers_of_packages_become_resources_that_functions_name() {
    let bucket = server().bucket("template-layers", true);
    let project = shop();
    let args = ["publish", "--bucket", &bucket, "--layers", "deps", "--format", "json"];
    let run = Run::of(server().sign_in(&mut project.command(&args), "owner"), &project.path(""));
    assert_eq!(run.code, 0, "{}", run.transcript());
    let manifest: Value = serde_json::from_str(&run.stdout).unwrap();
    let name = manifest["functions"][0]["layers"][0].as_str().unwrap().to_owned();
    assert!(name.starts_with("python-deps-"), "{name}");
    let translated = judged(&project.out("packaged.yaml"));
    let resources = translated["Resources"].as_object().unwrap();
    // The translator names layers after what is in them, too.
    let (id, layer) = resources.iter().find(|(_, r)| r["Properties"]["LayerName"] == name).unwrap();
    let described = manifest["layers"].as_array().unwrap().iter().find(|l| l["name"] == name).unwrap();
    assert_eq!(layer["Properties"]["Content"]["S3Key"], described["s3"]["key"]);
    for function in ["Api", "Second"] {
        let layers = resources[function]["Properties"]["Layers"].as_array().unwrap();
        assert_eq!(layers[0], serde_json::json!({"Ref": id}), "{layers:?}");
    }
    assert_eq!(resources["Api"]["Properties"]["Layers"].as_array().unwrap().len(), 2);
    assert!(!project.unpack("Api.zip").files().iter().any(|file| file.starts_with("idna/")));
}

#[test]
fn what_sam_was_told_is_enough_to_publish() {
    let bucket = server().bucket("samconfig", true);
    let project = shop();
    std::fs::rename(project.path("template.yaml"), project.path("shop.yaml")).unwrap();
    let config = format!(
        "version = 0.1\n[default.global.parameters]\nregion = 'eu-west-1'\n[default.build.parameters]\ncached = true\nparallel = true\ntemplate_file = 'shop.yaml'\nparameter_overrides = 'Stage=dev'\n[default.package.parameters]\ns3_bucket = '{bucket}'\ns3_prefix = 'p'\n"
    );
    project.write("samconfig.toml", &config);
    let mut command = project.command(&["publish", "--format", "json"]);
    let run = Run::of(server().sign_in(&mut command, "owner").env_remove("AWS_REGION"), &project.path(""));
    assert_eq!(run.code, 0, "{}", run.transcript());
    assert!(server().versions(&bucket).iter().all(|(key, ..)| key.starts_with("p/")));
    assert!(
        judged(&project.out("packaged.yaml"))["Resources"]["Api"]["Properties"]["Code"]["S3Bucket"] == bucket.as_str()
    );
    project.write("samconfig.toml", &config.replace("shop.yaml", "none.yaml"));
    let run = project.run(&["build"]);
    assert_eq!((run.code, run.stderr.contains("`samconfig.toml` names it")), (2, true), "{}", run.stderr);
}

#[test]
fn parameters_decide_and_what_is_not_known_is_told() {
    let project = shop();
    let template = ["--template", "template.yaml"];
    let run = project.run(&[&["build"], &template[..], &["--parameter-overrides", "Stage=prod"]].concat());
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("template.yaml:37:49: "), "{}", run.stderr);
    assert!(run.stderr.contains("`nowhere`, the code of `OnlyProd`, does not exist"), "{}", run.stderr);
    let run = project.run(&[&["build"], &template[..], &["--parameter-overrides", "Stge=prod"]].concat());
    assert!(run.stderr.contains("has no parameter `Stge`"), "{}", run.stderr);
    let loops = "Parameters: {Where: {Type: String}}\nResources:\n  F:\n    Type: AWS::Serverless::Function\n    Properties: {Handler: a.b, Runtime: python3.13, CodeUri: !Sub 'x/${Where}'}\n  G:\n    Type: AWS::Serverless::Function\n    Metadata: {Dockerfile: Dockerfile, DockerContext: .}\n    Properties: {PackageType: Image}\n";
    project.write("other.yaml", loops);
    let run = project.done(&["build", "--template", "other.yaml"]);
    assert!(run.stderr.contains("warning[template-left-alone] F: Resources.F.Properties.CodeUri: where its code is cannot be told: parameter `Where` has no default"), "{}", run.stderr);
    assert!(run.stderr.contains("warning[template-left-alone] G: "), "{}", run.stderr);
    assert_eq!(project.read("target/lambda-pack/packaged.yaml"), loops);
}

#[test]
fn what_was_built_elsewhere_is_packed_as_it_is() {
    let project = Project::empty();
    project.write("src/App.class", "x").write("single.py", "def handler(e, c):\n    return 1\n").write("other.txt", "");
    let zip = project.path("ready.jar");
    common::tool(
        "python3",
        &["-m".as_ref(), "zipfile".as_ref(), "-c".as_ref(), zip.as_os_str(), project.path("src/App.class").as_os_str()],
        "apt-get install python3",
    );
    project.write(
        "template.json",
        r#"{"Resources": {
  "Jar": {"Type": "AWS::Serverless::Function", "Properties": {"Runtime": "java21", "Handler": "App::handle", "CodeUri": "ready.jar"}},
  "One": {"Type": "AWS::Serverless::Function", "Properties": {"Runtime": "python3.13", "Handler": "single.handler", "CodeUri": "single.py"}}
}}"#,
    );
    let first = project.build::<&str>(&[]);
    assert_eq!(project.unpack("Jar.zip").files(), ["App.class"]);
    assert_eq!(project.unpack("One.zip").files(), ["single.py"]);
    assert_eq!(project.build(&["--no-cache", "--out-dir", "target/x"])["functions"], first["functions"]);
    // Another jar under the same name is another zip.
    project.write("src/App.class", "yy");
    common::tool(
        "python3",
        &["-m".as_ref(), "zipfile".as_ref(), "-c".as_ref(), zip.as_os_str(), project.path("src/App.class").as_os_str()],
        "apt-get install python3",
    );
    assert_ne!(
        project.build::<&str>(&[])["functions"][0]["artifact"]["sha256"],
        first["functions"][0]["artifact"]["sha256"]
    );
}

const LOOP: &str = "\
# Functions by a loop, each with its own code.
Transform: AWS::LanguageExtensions
Resources:
  Role: {Type: AWS::IAM::Role, Properties: {AssumeRolePolicyDocument: {Version: '2012-10-17', Statement: []}}}
  Fn::ForEach::Services:
    - Name
    - [orders, users]
    - Service${Name}:
        Type: AWS::Lambda::Function
        Properties:
          Code: !Sub './services/${Name}'   # one place for two
          Handler: app.handler
          Runtime: python3.13
          Role: !GetAtt Role.Arn
          Layers: [!Ref Packed]
  Packed:
    Type: AWS::Lambda::LayerVersion
    Properties: {Content: layer.zip, CompatibleRuntimes: [python3.13]}
  Site: {Type: AWS::ElasticBeanstalk::Application, Properties: {}}
  SiteVersion:
    Type: AWS::ElasticBeanstalk::ApplicationVersion
    Properties: {ApplicationName: !Ref Site, SourceBundle: site}
";

/// The template after `AWS::LanguageExtensions`, as cfn-lint expands it: what CloudFormation would deploy.
fn expanded(template: &std::path::Path) -> Value {
    let script = "
import json, sys
import cfnlint.decode
from cfnlint.template import Template
from cfnlint.template.transforms._language_extensions import language_extension
template, matches = cfnlint.decode.decode(sys.argv[1])
assert not matches, matches
matches, done = language_extension(Template(sys.argv[1], template, regions=['eu-west-1']))
assert not matches, matches
print(json.dumps(done))
";
    let lint = Command::new(python().with_file_name("cfn-lint"))
        .args(["--non-zero-exit-code", "error", "--region", "eu-west-1", "--"])
        .arg(template)
        .output()
        .unwrap();
    assert!(lint.status.success(), "{}", String::from_utf8_lossy(&lint.stdout));
    let output = Command::new(python()).args(["-c", script]).arg(template).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A value, looked up where it is to be looked up in a mapping.
fn found<'t>(template: &'t Value, value: &'t Value) -> &'t str {
    let Some(path) = value.get("Fn::FindInMap") else { return value.as_str().unwrap() };
    let [table, row, column] = [0, 1, 2].map(|index| path[index].as_str().unwrap());
    template["Mappings"][table][row][column].as_str().unwrap()
}

#[test]
fn loops_zips_of_layers_and_folders_of_others_are_published() {
    let project = Project::empty();
    project.write("template.yaml", LOOP).write("site/index.html", "hello\n").write("site/.git/config", "");
    for name in ["orders", "users"] {
        project.write(&format!("services/{name}/app.py"), &format!("def handler(e, c):\n    return '{name}'\n"));
    }
    project.write("made/python/shared.py", "X = 1\n");
    let make = ["-c", "cd made && zip -qr ../layer.zip python"];
    let made = Command::new("sh").args(make).current_dir(project.path("")).status().unwrap();
    assert!(made.success(), "apt-get install zip");
    let manifest = project.build::<&str>(&[]);
    assert_eq!(manifest["layers"][0]["name"], "Packed");
    assert_eq!(project.unpack("Packed.zip").files(), ["python/shared.py"]);
    assert_eq!(project.unpack("SiteVersion.zip").files(), ["index.html"]);
    let built = expanded(&project.out("packaged.yaml"));
    for name in ["orders", "users"] {
        let code = found(&built, &built["Resources"][format!("Service{name}")]["Properties"]["Code"]);
        assert_eq!(code, format!("Service{name}.zip"));
    }
    // What a loop does not change is as it was.
    let packaged = project.read("target/lambda-pack/packaged.yaml");
    let reference = "Code: !FindInMap [LambdaPackCode1, !Ref Name, Path]   # one place for two";
    let lines = changed(LOOP, &packaged);
    assert_eq!(
        lines[1..3],
        [reference, "Properties: {Content: Packed.zip, CompatibleRuntimes: [python3.13]}"],
        "{lines:#?}"
    );

    let bucket = server().bucket("template-loops", true);
    let mut command = project.command(&["publish", "--bucket", &bucket, "--format", "json"]);
    let run = Run::of(server().sign_in(&mut command, "owner"), &project.path(""));
    assert_eq!(run.code, 0, "{}", run.transcript());
    let published = expanded(&project.out("packaged.yaml"));
    let stored = server().versions(&bucket);
    let is_there = |key: &str| stored.iter().any(|(stored, ..)| stored == key);
    for name in ["orders", "users"] {
        let code = &published["Resources"][format!("Service{name}")]["Properties"]["Code"];
        let key = found(&published, &code["S3Key"]);
        assert!(key.starts_with(&format!("Service{name}/")) && is_there(key), "{key}");
        let version = found(&published, &code["S3ObjectVersion"]);
        assert!(stored.iter().any(|(_, stored, ..)| stored == version), "{version}: {stored:?}");
    }
    let bundle = &published["Resources"]["SiteVersion"]["Properties"]["SourceBundle"];
    assert!(is_there(bundle["S3Key"].as_str().unwrap()) && bundle["S3Bucket"] == bucket, "{bundle}");
}

#[test]
fn what_a_template_gets_wrong_beside_its_code_is_told() {
    let project = Project::empty();
    project.write("api/app.py", "def handler(e, c):\n    return 1\n").write(
        "template.yaml",
        "Transform: AWS::Serverless-2016-10-31\nResources:\n  Api:\n    Type: AWS::Serverless::Function\n    Properties:\n      \
         Runtime: python3.13\n      Handler: app.handler\n      CodeUri: api\n      ReservedConcurrentExecutions: 950\n  Old:\n    \
         Type: AWS::Serverless::Function\n    Properties:\n      Runtime: python3.13\n      Handler: app.handler\n      \
         CodeUri: s3://box/old.zip\n      AutoPublishAlias: live\n",
    );
    let run = project.run(&["build"]);
    assert_eq!(run.code, 0, "{}", run.transcript());
    let said = &run.stderr;
    assert!(said.contains("warning[reserved-concurrency]") && said.contains("reserve 950"), "{said}");
    assert!(said.contains("warning[alias-not-published] Old: Resources.Old.Properties.CodeUri: "), "{said}");
    let inline =
        "  Bad: {Type: AWS::Serverless::Function, Properties: {Runtime: ruby3.3, Handler: x.y, InlineCode: 'x'}}\n";
    project.write("template.yaml", &(project.read("template.yaml") + inline));
    let run = project.run(&["build"]);
    assert_eq!(run.code, 3, "{}", run.transcript());
    assert!(run.stderr.contains("ZipFile can only be used when Runtime is set to either of nodejs, python"));
    assert!(!project.out("packaged.yaml").exists());
}

#[test]
fn hostile_templates_are_refused() {
    let project = Project::empty();
    project.write("api/app.py", "def handler(e, c):\n    return 1\n");
    let function = "    Type: AWS::Serverless::Function\n    Properties: {Handler: app.handler, Runtime: python3.13, CodeUri: api}\n";
    let mut bomb = "A0: &a0 {x: 1}\n".to_owned();
    for n in 1..60 {
        bomb += &format!("A{n}: &a{n} [*a{m}, *a{m}, *a{m}, *a{m}, *a{m}]\n", m = n - 1);
    }
    for (text, said) in [
        (format!("{bomb}Resources:\n  F:\n{function}  F:\n{function}"), "the key `F` is there twice"),
        (format!("Resources:\n\tF:\n{function}"), "template.yaml:2:"),
        (format!("Resources:\n  F:\n{function}---\n"), "a second document begins here"),
        (
            format!("Resources:\n  F:\n{}", function.replace("CodeUri: api", "CodeUri: ../../../../../../../../etc")),
            "leaves the project",
        ),
        (
            "Resources:\n  S:\n    Type: AWS::CloudFormation::Stack\n    Properties: {TemplateURL: template.yaml}\n"
                .to_owned(),
            "the template of `S` is one of those that it is nested in",
        ),
        (
            format!("Resources:\n  F:\n    Metadata: {{BuildMethod: cobol}}\n{function}"),
            "`BuildMethod: cobol` of function `F` is not built by this version",
        ),
        ("Resources: 5\n".to_owned(), "this is no template: it has no `Resources`"),
        (format!("Resources:\n  ../../../escaped:\n{function}"), "`../../../escaped` is no logical id"),
        (
            format!(
                "Parameters: {{Arch: {{Type: String}}}}\nResources:\n  F:\n{}",
                function.replace("CodeUri: api", "CodeUri: api, Architectures: [!Ref Arch]")
            ),
            "the `Architectures` of function `F` cannot be told: parameter `Arch` has no default",
        ),
        (
            format!(
                "Globals: {{Function: {{CodeUri: api}}}}\nResources:\n  Fn::ForEach::L:\n    - N\n    - {}\n    - F${{N}}:\n        Type: AWS::Serverless::Function\n",
                (0..3000).map(|n| n.to_string()).collect::<Vec<_>>().join(",")
            ),
            "loops turn more than",
        ),
        (
            (1..60).fold("A0: &a0 {x: 1}\n".to_owned(), |text, n| {
                format!("{text}A{n}: &a{n} {{<<: [*a{m}, *a{m}]}}\n", m = n - 1)
            }) + "Resources: {F: {Properties: *a59, Type: AWS::Serverless::Function}}\n",
            "function `F` has no `CodeUri`",
        ),
        (
            (1..9000).fold("A0: &a0 [1]\n".to_owned(), |text, n| format!("{text}A{n}: &a{n} [*a{m}]\n", m = n - 1)),
            "it is nested more than",
        ),
    ] {
        project.write("template.yaml", &text);
        let run = project.run(&["build", "--template", "template.yaml"]);
        assert_eq!(run.code, 2, "{text}\n{}", run.stderr);
        assert!(run.stderr.contains(said), "{said}\n{}", run.stderr);
    }
    // Aliases that multiply cost nothing, and a byte order mark and CRLF stay.
    let odd = format!("\u{feff}{bomb}Resources:\n  F:\n{function}").replace('\n', "\r\n");
    project.write("template.yaml", &odd);
    project.done(&["build", "--template", "template.yaml"]);
    assert_eq!(project.read("target/lambda-pack/packaged.yaml"), odd.replace("CodeUri: api}", "CodeUri: F.zip}"));
}
