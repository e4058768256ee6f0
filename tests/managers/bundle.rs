//! TypeScript bundled with the project's own esbuild.

use std::path::Path;

use serde_json::{Value, json};

use super::{Manager, names};
use crate::common::{self, Project, Unpacked};

const INDEX: &str = "import { nanoid } from 'nanoid';
import sharp from 'sharp';
import { shared, Kind } from '@x/shared';
import { common } from '../../../common/common';
export const handler = async (event: { width: number }): Promise<object> => {
  const image = sharp({ create: { width: event.width, height: 4, channels: 3, background: 'red' } });
  const { width } = await sharp(await image.png().toBuffer()).metadata();
  return { width, id: nanoid().length, shared: shared(Kind.B), common: common() };
};
";

/// A workspace of pnpm whose sibling is TypeScript, with a native package that stays outside, and one for development that
/// does not.
fn workspace() -> Project {
    let project = Project::empty();
    let root = json!({"name": "root", "private": true, "devDependencies": {"esbuild": "0.25.0"}});
    let api = json!({"name": "@x/api", "version": "1.0.0", "dependencies": {"@x/shared": "workspace:*", "sharp": "0.33.5"},
        "devDependencies": {"nanoid": "3.3.7", "semver": "7.5.4"}});
    let shared = json!({"name": "@x/shared", "version": "1.0.0", "main": "src/index.ts", "files": ["dist"],
        "dependencies": {"ms": "2.1.3"}});
    project
        .write("package.json", &root.to_string())
        .write("pnpm-workspace.yaml", "packages:\n  - packages/*\n")
        .write("packages/api/package.json", &api.to_string())
        .write("packages/api/src/index.ts", INDEX)
        .write("packages/shared/package.json", &shared.to_string())
        .write("packages/shared/src/index.ts", "import ms from 'ms';\nexport enum Kind { A, B }\nexport const shared = (kind: Kind): string => `${Kind[kind]} ${ms(60000)}`;\n")
        .write("common/common.ts", "export const common = (): string => 'one';\n")
        .write("lambda-pack.toml", "[functions.api]\npath = 'packages/api'\nruntime = 'nodejs22.x'\nbundle = { external = ['sharp'], sourcemap = true }\n");
    Manager::Pnpm.run(&project.path(""), &["install", "--lockfile-only", "--ignore-scripts"]);
    project
}

#[test]
fn a_workspace_of_typescript_becomes_one_file_and_what_stays_outside() {
    let project = workspace();
    let arch = common::host_architecture();
    let manifest = project.build(&["--arch", arch]);
    let function = &manifest["functions"][0];
    assert_eq!(
        (&function["handler"], &function["resolved_by"]),
        (&json!("src/index.handler"), &json!("pnpm-lock.yaml"))
    );
    let bundled: Vec<&Value> =
        function["packages"].as_array().unwrap().iter().filter(|package| package["from"] == "bundle").collect();
    let named: Vec<&str> = bundled.iter().map(|package| package["name"].as_str().unwrap()).collect();
    assert_eq!(named, ["@x/shared", "ms", "nanoid"], "{function}");
    assert!(bundled.iter().all(|package| package["bytes"].as_u64().unwrap() > 50));
    let unpacked = project.unpack("api.zip");
    let files = unpacked.files();
    let own: Vec<&String> = files.iter().filter(|file| !file.starts_with("node_modules/")).collect();
    assert_eq!(own, ["src/index.js", "src/index.js.map"]);
    for (package, there) in [
        ("sharp", true),
        ("@img/sharp-libvips-linux-x64", arch == "x86_64"),
        ("ms", false),
        ("nanoid", false),
        ("esbuild", false),
    ] {
        assert_eq!(files.iter().any(|file| file.starts_with(&format!("node_modules/{package}/"))), there, "{package}");
    }
    let said = common::call_node(&unpacked.path(""), "src/index.handler", r#"{"width": 7}"#);
    assert_eq!(said, json!({"width": 7, "id": 21, "shared": "B 1m", "common": "one"}));
    let map: Value =
        serde_json::from_str(&std::fs::read_to_string(unpacked.path("src/index.js.map")).unwrap()).unwrap();
    assert!(map["sources"].as_array().unwrap().contains(&json!("../../../../common/common.ts")), "{}", map["sources"]);
    // What is installed beside the sources is not what is bundled, and the folder's name does not matter.
    let there = project.path("../ein Ordner ü");
    common::copy(&project.path(""), &there);
    std::fs::create_dir_all(there.join("packages/api/node_modules/nanoid")).unwrap();
    std::fs::write(there.join("packages/api/node_modules/nanoid/index.js"), "exports.nanoid = () => 'installed';")
        .unwrap();
    let run = common::Run::of(project.command(&["build", "--arch", arch]).current_dir(&there), &there);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let bytes = |root: &Path| std::fs::read(root.join("target/lambda-pack/api.zip")).unwrap();
    assert!(bytes(&project.path("")) == bytes(&there));
    for (arch, cpu) in [("arm64", "arm64"), ("x86_64", "x64")] {
        let manifest = project.build(&["--arch", arch]);
        assert!(names(&manifest).contains(&format!("@img/sharp-linux-{cpu} 0.33.5")), "{manifest}");
    }
}

#[test]
fn a_bundle_is_made_anew_when_something_that_it_is_made_of_changes() {
    let project = workspace();
    let answer = || {
        project.done(&["build"]);
        let text = std::fs::read_to_string(project.unpack("api.zip").path("src/index.js")).unwrap();
        text.contains("\"two\"")
    };
    assert!(!answer());
    assert!(
        project.done(&["build"]).stderr.contains("unchanged") || project.done(&["build"]).stdout.contains("unchanged")
    );
    project.write("common/common.ts", "export const common = (): string => 'two';\n");
    assert!(answer());
    // What would be found first.
    std::fs::rename(project.path("common/common.ts"), project.path("common/common.js")).unwrap();
    project.write("common/common.js", "exports.common = () => 'three';\n");
    assert!(!answer());
    project.write("common/common.ts", "export const common = (): string => 'two';\n");
    assert!(answer());
    // Files of packages that were unpacked and that somebody has changed.
    let store = project.path("../store");
    let with_store = |project: &Project| {
        std::fs::remove_dir_all(project.path("target")).unwrap();
        let run = common::Run::of(project.command(&["build"]).env("LAMBDA_PACK_CACHE_DIR", &store), &project.path(""));
        assert_eq!(run.code, 0, "{}", run.stderr);
        std::fs::read_to_string(project.unpack("api.zip").path("src/index.js")).unwrap()
    };
    let right = with_store(&project);
    let spoilt = walkdir::WalkDir::new(store.join("trees-v1")).into_iter().map(Result::unwrap);
    let spoilt = { spoilt }.find(|entry| entry.path().ends_with("node_modules/ms/index.js")).unwrap();
    std::fs::write(spoilt.path(), "module.exports = () => 'spoilt';").unwrap();
    project.write("common/common.ts", "export const common = (): string => 'two'; // again\n");
    assert!(with_store(&project) == right);
}

#[test]
fn what_cannot_be_bundled_is_said_with_the_next_step() {
    let project = workspace();
    let fails = |config: &str, code: i32, why: &str, hint: &str| {
        project.write(
            "lambda-pack.toml",
            &format!("[functions.api]\npath = 'packages/api'\nruntime = 'nodejs22.x'\n{config}\n"),
        );
        let run = project.run(&["build"]);
        assert_eq!(run.code, code, "{}", run.stderr);
        assert!(run.stderr.contains(why) && run.stderr.contains(hint), "{}", run.stderr);
    };
    project
        .write("packages/api/src/own.node", "")
        .write("packages/api/src/native.ts", "import './own.node';\nexport const handler = 1;\n");
    fails("bundle = true\nhandler = 'src/native.handler'", 1, "No loader is configured for \".node\"", "`external`");
    project
        .write("lambda-pack.toml", "[functions.api]\npath = 'packages/api'\nruntime = 'nodejs22.x'\nbundle = true\n");
    let said = project.done(&["build"]).stdout;
    assert!(said.contains("The bundle has `sharp`, whose machine code stays behind: name it in `external`"), "{said}");
    fails("bundle = { minfy = true }", 2, "unknown key `minfy`", "`minify`");
    fails("bundle = { entry = 'src/gone.ts' }\nhandler = 'src/gone.handler'", 1, "src/gone.ts", "Could not resolve");
    fails("handler = 'src/gone.handler'\nbundle = true", 2, "of which there is no source", "`entry`");
    fails("handler = 'src/index.handler'", 3, "Cannot find module 'src/index'", "set `bundle = true`");
    project.write("packages/api/src/index.ts", "import 'not-there';\nexport const handler = 1;\n");
    fails("bundle = true", 1, "Could not resolve \"not-there\"", "add `not-there` to the dependencies");
    project.write("lambda-pack.toml", "[functions.p]\npath = 'packages'\nruntime = 'python3.13'\nbundle = true\n");
    let run = project.run(&["build"]);
    assert!(run.code == 2 && run.stderr.contains("`bundle` is for functions of Node.js"), "{}", run.stderr);
}

#[test]
fn a_project_without_esbuild_says_how_to_get_it() {
    let project = Project::empty();
    project.write("index.ts", "export const handler = async (): Promise<number> => 1;\n");
    project.write("lambda-pack.toml", "[functions.f]\npath = '.'\nruntime = 'nodejs22.x'\nbundle = true\n");
    let mut command = project.command(&["build"]);
    let run = common::Run::of(command.env("PATH", "/nowhere"), &project.path(""));
    assert!(run.code == 2 && run.stderr.contains("npm install --save-dev esbuild"), "{}", run.stderr);
}

#[test]
fn properties_of_sam_are_those_of_esbuild() {
    let project = Project::empty();
    let manifest = json!({"name": "sam", "version": "1.0.0", "dependencies": {"ms": "2.1.3", "nanoid": "3.3.7"}, "devDependencies": {"esbuild": "0.25.0"}});
    project
        .write("src/package.json", &manifest.to_string())
        .write("src/lib/app.ts", "import ms from 'ms';\nimport { nanoid } from 'nanoid';\nimport text from './a.sql';\nexport const lambdaHandler = async (): Promise<object> => ({ ms: ms(1000), id: nanoid().length, text, level: LEVEL });\ndeclare const LEVEL: string;\n")
        .write("src/lib/a.sql", "select 1")
        .write("template.yaml", "Transform: AWS::Serverless-2016-10-31
Resources:
  Esm:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: src/, Handler: app.lambdaHandler, Runtime: nodejs22.x}
    Metadata:
      BuildMethod: esbuild
      BuildProperties:
        EntryPoints: [lib/app.ts]
        Format: esm
        OutExtension: [.js=.mjs]
        Minify: false
        Sourcemap: true
        Target: es2022
        External: [nanoid]
        Loader: [.sql=text]
        Define: {LEVEL: '\"high\"'}
        MainFields: [module, main]
  Plain:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: src/
      Handler: lib/app.lambdaHandler
      Runtime: nodejs22.x
      Environment: {Variables: {NODE_OPTIONS: --enable-source-maps}}
    Metadata: {BuildMethod: esbuild, BuildProperties: {Loader: [.sql=text], Define: [LEVEL=1]}}
");
    let at = project.path("src");
    let npm = std::process::Command::new("npm")
        .args(["install", "--package-lock-only", "--silent"])
        .current_dir(&at)
        .status();
    assert!(npm.expect("npm is missing: apt-get install npm").success());
    let run = project.done(&["build"]);
    assert!(run.stdout.contains("NODE_OPTIONS=--enable-source-maps"), "{}", run.stdout);
    let esm = project.unpack("Esm.zip");
    let own = |unpacked: &Unpacked| {
        let files = unpacked.files();
        files.into_iter().filter(|file| !file.starts_with("node_modules/")).collect::<Vec<_>>()
    };
    assert_eq!(own(&esm), ["app.mjs", "app.mjs.map"]);
    assert!(esm.path("node_modules/nanoid/package.json").is_file() && !esm.path("node_modules/ms").exists());
    let said = common::call_node(&esm.path(""), "app.lambdaHandler", "{}");
    assert_eq!(said, json!({"ms": "1s", "id": 21, "text": "select 1", "level": "high"}));
    let plain = project.unpack("Plain.zip");
    assert_eq!(own(&plain), ["lib/app.js", "lib/app.js.map"], "maps as `NODE_OPTIONS` asks for them");
    assert!(std::fs::read_to_string(plain.path("lib/app.js")).unwrap().lines().count() < 12, "SAM minifies");
    let said = common::call_node(&plain.path(""), "lib/app.lambdaHandler", "{}");
    assert_eq!(said["level"], 1);
}
