//! What the project's own builds leave, archives that are ready, and languages whose tools build: Makefiles and commands,
//! Ruby, .NET.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::SystemTime;

use common::{Project, Run};

fn project(files: &[(&str, &str)]) -> Project {
    let project = Project::empty();
    for (name, text) in files {
        project.write(name, text);
    }
    project
}

/// Every file of a project but what we write: contents and times.
fn state(project: &Project) -> BTreeMap<String, (Vec<u8>, SystemTime)> {
    let root = project.path("");
    let mut out = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
            let path = entry.path();
            if path == root.join("target") {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else {
                let modified = entry.metadata().unwrap().modified().unwrap();
                let below = path.strip_prefix(&root).unwrap().display().to_string();
                out.insert(below, (fs::read(&path).unwrap_or_default(), modified));
            }
        }
    }
    out
}

/// The same project in a folder with spaces and letters beyond ASCII; both zips of a function.
fn twice(project: &Project, name: &str) -> [Vec<u8>; 2] {
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("mit Leerzeichen, é und 日本");
    common::copy(&project.path(""), &copy);
    let _ = fs::remove_dir_all(copy.join("target"));
    let mut command = common::binary();
    command.arg("build").current_dir(&copy);
    let run = Run::of(&mut command, &copy);
    assert_eq!(run.code, 0, "{}", run.transcript());
    let zip = format!("{name}.zip");
    [fs::read(project.out(&zip)).unwrap(), fs::read(copy.join("target/lambda-pack").join(&zip)).unwrap()]
}

/// SAM's example: the target copies into ARTIFACTS_DIR. It writes beside its sources, too.
const MAKEFILE: &str = "build-Api:\n\
    \tprintf '#!/bin/sh\\necho %s\\n' \"$$(cat word.txt)\" > bootstrap\n\
    \tchmod +x bootstrap\n\
    \techo changed > word.txt\n\
    \tcp bootstrap $(ARTIFACTS_DIR)\n\
    \tln -s bootstrap $(ARTIFACTS_DIR)/other\n\
    \tmkdir $(ARTIFACTS_DIR)/empty\n";

const SAM: &str = "Resources:\n  Api:\n    Type: AWS::Serverless::Function\n    Metadata:\n      BuildMethod: makefile\n    \
    Properties:\n      Runtime: provided.al2023\n      Handler: bootstrap\n      CodeUri: api/\n";

#[test]
fn a_makefile_builds_in_a_copy_by_sams_convention() {
    let files = [("template.yaml", SAM), ("api/Makefile", MAKEFILE), ("api/word.txt", "hello\n")];
    let with_template = project(&files);
    let before = state(&with_template);
    let run = with_template.done(&["build"]);
    assert!(run.stdout.contains("`make build-Api`"), "{}", run.stdout);
    assert_eq!(state(&with_template), before, "the project is as it was");
    let unpacked = with_template.unpack("Api.zip");
    assert_eq!(unpacked.files(), ["bootstrap", "other"]);
    let said = Command::new(unpacked.path("bootstrap")).output().unwrap();
    assert_eq!(said.stdout, b"hello\n");
    let [first, second] = twice(&with_template, "Api");
    assert!(first == second);
    // The same by a config.
    let config = "[functions.Api]\npath = 'api'\nresolver = 'makefile'\nruntime = 'provided.al2023'\n";
    let with_config = project(&[("lambda-pack.toml", config), files[1], files[2]]);
    with_config.done(&["build"]);
    assert!(fs::read(with_config.out("Api.zip")).unwrap() == first);
}

#[test]
fn a_makefile_elsewhere_and_another_working_directory_are_understood() {
    let template = SAM.replace(
        "BuildMethod: makefile",
        "BuildMethod: makefile\n      ContextPath: build\n      WorkingDirectory: api/deep",
    ) + "  Tools:\n    Type: AWS::Serverless::LayerVersion\n    Metadata:\n      BuildMethod: makefile\n    \
         Properties:\n      ContentUri: tools/\n      CompatibleRuntimes: [provided.al2023]\n";
    let project = project(&[
        ("template.yaml", &template),
        (
            "build/Makefile",
            "build-Api:\n\tcp bootstrap $(ARTIFACTS_DIR)\n\tchmod +x $(ARTIFACTS_DIR)/bootstrap\n\ttouch here\n",
        ),
        ("api/deep/bootstrap", "#!/bin/sh\n"),
        ("tools/Makefile", "build-Tools:\n\tmkdir -p $(ARTIFACTS_DIR)/bin\n\tcp tool $(ARTIFACTS_DIR)/bin\n"),
        ("tools/tool", "tool\n"),
    ]);
    let before = state(&project);
    project.done(&["build"]);
    assert_eq!(state(&project), before);
    assert_eq!(project.unpack("Api.zip").files(), ["bootstrap"]);
    assert_eq!(project.unpack("Tools.zip").files(), ["bin/tool"]);
    // Outside of the function's folder there is no copy, as with SAM.
    let outside = template.replace("WorkingDirectory: api/deep", "WorkingDirectory: api/../work");
    project.write("template.yaml", &outside).write("work/bootstrap", "#!/bin/sh\n");
    let run = project.done(&["build"]);
    assert!(
        run.stdout.contains("`make` ran in `work`, as `WorkingDirectory` says, and may have written there"),
        "{}",
        run.stdout
    );
    assert!(project.path("work/here").exists());
}

#[test]
fn what_a_makefile_lacks_is_said() {
    let project = project(&[("template.yaml", SAM), ("api/x", "")]);
    let run = project.run(&["build"]);
    assert!(run.code == 2 && run.stderr.contains("there is no Makefile in"), "{}", run.transcript());
    project.write("api/Makefile", "build-Other:\n\ttrue\n");
    let run = project.run(&["build"]);
    assert_eq!(run.code, 1, "{}", run.transcript());
    assert!(run.stderr.contains("`make build-Api` failed (exit status: 2)"), "{}", run.stderr);
    assert!(run.stderr.contains("No rule to make target 'build-Api'"), "{}", run.stderr);
    project.write("api/Makefile", "build-Api:\n\ttrue\n");
    let run = project.run(&["build"]);
    assert!(run.code == 1 && run.stderr.contains("`make build-Api` left nothing"), "{}", run.transcript());
}

#[test]
fn a_command_builds_in_a_copy_and_leaves_a_folder_or_fills_artifacts() {
    let config = "[functions.bundle]\npath = 'app'\nruntime = 'nodejs22.x'\nhandler = 'index.handler'\n\
        build = \"mkdir -p dist && sed s/WORD/built/ src.js > dist/index.js && echo x > left-behind && cp -r ../../ignored dist 2>/dev/null; rm src.js\"\n\
        output = 'dist'\n\
        [functions.filled]\npath = 'app'\nruntime = 'nodejs22.x'\nhandler = 'index.handler'\nexclude = ['*.map']\n\
        build = 'cp src.js \"$ARTIFACTS_DIR/index.js\" && touch $ARTIFACTS_DIR/index.js.map && echo \"$LAMBDA_FUNCTION $LAMBDA_RUNTIME $LAMBDA_ARCHITECTURE\" > $ARTIFACTS_DIR/told && cat \"$SOURCE_DIR/../shared/x\" >> $ARTIFACTS_DIR/told'\n\
        [functions.zipped]\npath = 'app'\nruntime = 'nodejs22.x'\nhandler = 'index.handler'\n\
        build = 'cp src.js index.js && python3 -m zipfile -c app.zip index.js'\noutput = 'app.zip'\n";
    let project = project(&[
        ("lambda-pack.toml", config),
        ("app/src.js", "exports.handler = async () => 'WORD'\n"),
        ("shared/x", "shared\n"),
    ]);
    let before = state(&project);
    let run = project.done(&["build"]);
    assert_eq!(state(&project), before, "the project is as it was");
    assert!(run.stdout.contains("`mkdir -p dist &&"), "{}", run.stdout);
    let bundle = project.unpack("bundle.zip");
    assert_eq!(bundle.files(), ["index.js"]);
    assert!(fs::read_to_string(bundle.path("index.js")).unwrap().contains("'built'"));
    let filled = project.unpack("filled.zip");
    assert_eq!(filled.files(), ["index.js", "told"]);
    assert_eq!(fs::read_to_string(filled.path("told")).unwrap(), "filled nodejs22.x x86_64\nshared\n");
    assert_eq!(project.unpack("zipped.zip").files(), ["index.js"]);
    let [first, second] = twice(&project, "filled");
    assert!(first == second);
}

#[test]
fn a_command_that_fails_is_told_in_its_own_last_words() {
    let config = |build: &str| {
        format!("[functions.f]\npath = 'app'\nruntime = 'nodejs22.x'\nhandler = 'index.handler'\n{build}\n")
    };
    let project = project(&[("app/index.js", "exports.handler = 1\n")]);
    let run = |build: &str| {
        project.write("lambda-pack.toml", &config(build));
        project.run(&["build"])
    };
    // On either stream.
    let failed = run("build = 'seq 1 40; echo src/x.ts:1: error; exit 3'");
    assert_eq!(failed.code, 1, "{}", failed.transcript());
    let said = failed.stderr;
    assert!(said.contains("function `f`: `seq 1 40; echo src/x.ts:1: error; exit 3` failed (exit status: 3):\n  … 11 lines before\n  12\n"), "{said}");
    assert!(said.contains("  src/x.ts:1: error\n"), "{said}");
    let none = run("build = 'true'\noutput = 'dist'");
    assert!(none.code == 1 && none.stderr.contains("`true` left no `dist`"), "{}", none.transcript());
    let empty = run("build = 'true'");
    assert!(empty.code == 1 && empty.stderr.contains("left nothing"), "{}", empty.transcript());
    for (build, said) in [
        ("output = 'dist'", "lambda-pack.toml:5:10: `output` is what `build` leaves, and there is no `build`"),
        (
            "build = 'x'\noutput = '../dist'",
            "lambda-pack.toml:6:10: `output = \"../dist\"` leaves the function's folder",
        ),
        (
            "build = 'x'\nresolver = 'node'",
            "lambda-pack.toml:5:9: `build` and `resolver = \"node\"` exclude each other",
        ),
        ("build = ' '", "lambda-pack.toml:5:9: `build` is empty"),
    ] {
        let wrong = run(build);
        assert!(wrong.code == 2 && wrong.stderr.contains(said), "{}", wrong.transcript());
    }
}

#[test]
fn an_archive_at_path_is_packed_as_it_is() {
    let project = project(&[
        ("lambda-pack.toml", "[functions.f]\npath = 'dist/app.zip'\nruntime = 'python3.13'\nhandler = 'app.handler'\n"),
        ("src/app.py", "def handler(event, context): ...\n"),
        ("src/requirements.txt", "no-such-package-of-anybody\n"),
    ]);
    fs::create_dir(project.path("dist")).unwrap();
    let zip = |project: &Project| {
        let made = Command::new("python3")
            .args(["-m", "zipfile", "-c", "../dist/app.zip", "app.py", "requirements.txt"])
            .current_dir(project.path("src"))
            .status();
        assert!(made.unwrap().success());
    };
    zip(&project);
    let run = project.done(&["build"]);
    assert!(run.stdout.contains("`app.zip` as it is"), "{}", run.stdout);
    assert_eq!(project.unpack("f.zip").files(), ["app.py", "requirements.txt"]);
    let before = fs::read(project.out("f.zip")).unwrap();
    project.write("src/app.py", "def handler(event, context): return 1\n");
    zip(&project);
    project.done(&["build"]);
    assert!(fs::read(project.out("f.zip")).unwrap() != before);
    project.write("lambda-pack.toml", "[functions.f]\npath = 'dist/app.zip'\n");
    let run = project.run(&["build"]);
    assert!(run.code == 2 && run.stderr.contains("name its `runtime`"), "{}", run.transcript());
    project.write("lambda-pack.toml", "[functions.f]\npath = 'dist/none.zip'\nruntime = 'python3.13'\n");
    let run = project.run(&["build"]);
    assert!(run.code == 2 && run.stderr.contains("`dist/none.zip` does not exist"), "{}", run.transcript());
    // A folder of sources, as it is.
    project.write("lambda-pack.toml", "[functions.f]\npath = 'src'\nresolver = 'files'\nruntime = 'python3.13'\n");
    assert!(project.done(&["build"]).stdout.contains("the folder as it is"));
}
