//! What the project's own builds leave, archives that are ready, and languages whose tools build: Makefiles and commands,
//! Ruby, .NET.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod common;
#[path = "languages/dotnet.rs"]
mod dotnet;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
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

/// SAM's example: the target copies into `ARTIFACTS_DIR`. It writes beside its sources, too.
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

/// A gem as its author builds it, for `vendor/cache`.
fn gem(to: &Path, name: &str, version: &str, more: &str, files: &[(&str, &str)]) {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let listed: Vec<&str> = files.iter().map(|(path, _)| *path).collect();
    fs::write(
        dir.path().join("x.gemspec"),
        format!(
            "Gem::Specification.new do |s|\n  s.name = '{name}'\n  s.version = '{version}'\n  s.summary = 'x'\n  s.authors = ['x']\n  \
             s.files = {listed:?}\n  s.date = '2026-01-01'\n  {more}\nend\n"
        ),
    )
    .unwrap();
    fs::create_dir_all(to).unwrap();
    let output = Command::new("gem")
        .args(["build", "--quiet", "x.gemspec", "--output"])
        .arg(to.join(format!("{name}-{version}.gem")))
        .current_dir(dir.path())
        .output()
        .unwrap_or_else(|e| panic!("gem is missing ({e}): apt-get install ruby bundler"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

const GEMFILE: &str = "source 'https://gems.example'\n\ngem 'hello_gem'\n\ngroup :test do\n  gem 'only_tests'\nend\n\
    group :development do\n  gem 'only_development'\nend\n";
const GEM_LOCK: &str = "GEM\n  remote: https://gems.example/\n  specs:\n    hello_gem (1.2.0)\n      words_gem (>= 1)\n    only_development (1.0.0)\n    \
    only_tests (1.0.0)\n    words_gem (1.0.1)\n\nPLATFORMS\n  ruby\n\nDEPENDENCIES\n  hello_gem\n  only_development\n  only_tests\n\nBUNDLED WITH\n   2.3.15\n";
const RUBY_APP: &str = "require 'hello_gem'\n\nmodule App\n  class Api\n    def self.handler(event:, context:)\n      HelloGem.hello(event['name'])\n    end\n  end\nend\n";

/// A function with gems in `vendor/cache`; those of tests and development are not there.
fn ruby_project() -> Project {
    let project = project(&[
        ("app.rb", RUBY_APP),
        ("Gemfile", GEMFILE),
        ("Gemfile.lock", GEM_LOCK),
        (".ruby-version", "3.4.1\n"),
        (
            ".bundle/config",
            "---\nBUNDLE_GEMS__EXAMPLE: \"me:secret\"\nBUNDLE_PATH: \"elsewhere\"\nBUNDLE_WITH: \"test\"\n",
        ),
    ]);
    let cache = project.path("vendor/cache");
    let hello = "require 'words_gem'\nmodule HelloGem\n  def self.hello(name) = \"#{WordsGem::HELLO} #{name}\"\nend\n";
    gem(
        &cache,
        "hello_gem",
        "1.2.0",
        "s.required_ruby_version = ['>= 2.7', '< 5']; s.add_dependency 'words_gem', '>= 1'",
        &[("lib/hello_gem.rb", hello)],
    );
    gem(&cache, "words_gem", "1.0.1", "", &[("lib/words_gem.rb", "module WordsGem\n  HELLO = 'hello'\nend\n")]);
    project
}

/// What the handler answers where Lambda's Ruby would look for gems.
fn ruby_answer(task: &Path, gems: &Path) -> String {
    let script = "require 'app'; print App::Api.handler(event: { 'name' => 'you' }, context: nil)";
    let output = Command::new("ruby")
        .args(["-e", script])
        .env("GEM_PATH", gems)
        .env("GEM_HOME", task.join("none"))
        .env("RUBYLIB", task)
        .output()
        .unwrap_or_else(|e| panic!("ruby is missing ({e}): apt-get install ruby"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn gems_are_where_lambdas_ruby_looks_for_them() {
    let project = ruby_project();
    let before = state(&project);
    let manifest = project.build::<&str>(&[]);
    assert_eq!(state(&project), before, "the project is as it was");
    let function = &manifest["functions"][0];
    assert_eq!(
        (function["runtime"].as_str(), function["handler"].as_str()),
        (Some("ruby3.4"), Some("app.App::Api.handler"))
    );
    let packages: Vec<String> = function["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| format!("{} {}", package["name"].as_str().unwrap(), package["version"].as_str().unwrap()))
        .collect();
    assert_eq!(packages, ["hello_gem 1.2.0", "words_gem 1.0.1"]);
    let unpacked = project.unpack("project.zip");
    let gems = "vendor/bundle/ruby/3.4.0";
    let expected = [
        ".ruby-version".to_owned(),
        "Gemfile".to_owned(),
        "Gemfile.lock".to_owned(),
        "app.rb".to_owned(),
        format!("{gems}/gems/hello_gem-1.2.0/lib/hello_gem.rb"),
        format!("{gems}/gems/words_gem-1.0.1/lib/words_gem.rb"),
        format!("{gems}/specifications/hello_gem-1.2.0.gemspec"),
        format!("{gems}/specifications/words_gem-1.0.1.gemspec"),
    ];
    assert_eq!(unpacked.files(), expected);
    assert_eq!(ruby_answer(&unpacked.path(""), &unpacked.path(gems)), "hello you");
    project.write("lambda-pack.toml", "[functions.f]\npath = '.'\n").done(&["build"]);
    let [first, second] = twice(&project, "f");
    assert!(first == second);
    // Nothing has changed: Bundler is not asked again.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    project.done(&["build"]);
    assert!(!project.done(&["build", "-v"]).stderr.contains("running `bundle"));
}

#[test]
fn gems_go_to_layers() {
    let project = ruby_project();
    project.write(
        "lambda-pack.toml",
        "[functions.f]\npath = '.'\nlayers = 'deps'\nexclude = ['own']\n[layers.own]\nmanifest = 'Gemfile'\nruntime = 'ruby3.4'\n",
    );
    let manifest = project.build::<&str>(&[]);
    assert_eq!(project.unpack("f.zip").files(), [".ruby-version", "Gemfile", "Gemfile.lock", "app.rb"]);
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 2, "{layers:?}");
    for layer in layers {
        let unpacked = project.unpack(layer["artifact"]["path"].as_str().unwrap());
        let files = unpacked.files();
        assert!(files.iter().all(|file| file.starts_with("ruby/gems/3.4.0/")) && files.len() == 4, "{files:?}");
        assert_eq!(ruby_answer(&project.unpack("f.zip").path(""), &unpacked.path("ruby/gems/3.4.0")), "hello you");
    }
}

#[test]
fn gems_that_do_not_run_there_are_refused() {
    let project = ruby_project();
    let cache = project.path("vendor/cache");
    let words = &[("lib/words_gem.rb", "module WordsGem\n  HELLO = 'hello'\nend\n")];
    gem(&cache, "words_gem", "1.0.1", "s.required_ruby_version = '< 3.4'", words);
    let run = project.run(&["build"]);
    assert_eq!(run.code, 1, "{}", run.transcript());
    assert!(
        run.stderr.contains("gem `words_gem` asks for Ruby `< 3.4`") && run.stderr.contains("not on 3.4"),
        "{}",
        run.stderr
    );
    // Compiled by this machine's Ruby, which is of no runtime's version.
    let extension = "#include <ruby.h>\nvoid Init_words_gem_native(void) { rb_define_module(\"WordsGem\"); }\n";
    gem(
        &cache,
        "words_gem",
        "1.0.1",
        "s.extensions = ['ext/extconf.rb']",
        &[
            ("ext/extconf.rb", "require 'mkmf'\ncreate_makefile 'words_gem_native'\n"),
            ("ext/words.c", extension),
            words[0],
        ],
    );
    let run = project.run(&["build"]);
    assert_eq!(run.code, 1, "{}", run.transcript());
    assert!(run.stderr.contains("gem `words_gem-1.0.1` is compiled for one version of Ruby"), "{}", run.stderr);
    assert!(run.stderr.contains("`rbenv install 3.4`"), "{}", run.stderr);
    let broken = [("ext/extconf.rb", "require 'mkmf'\nabort 'no libthing here'\n"), words[0]];
    gem(&cache, "words_gem", "1.0.1", "s.extensions = ['ext/extconf.rb']", &broken);
    let run = project.run(&["build"]);
    assert!(run.code == 1 && run.stderr.contains("no libthing here"), "{}", run.transcript());
    assert!(!run.stderr.contains(".rb:"), "{}", run.stderr);
    // Bundler's own words.
    fs::remove_file(cache.join("words_gem-1.0.1.gem")).unwrap();
    let run = project.run(&["build"]);
    assert_eq!(run.code, 1, "{}", run.transcript());
    assert!(run.stderr.contains("function `project`: `bundle install --local` failed:\n"), "{}", run.stderr);
    assert!(
        run.stderr.contains("words_gem") && run.stderr.contains("run `bundle cache` with the network"),
        "{}",
        run.stderr
    );
    assert!(!run.stderr.contains("secret"), "{}", run.stderr);
    fs::remove_file(project.path("Gemfile.lock")).unwrap();
    let run = project.run(&["build", "--locked"]);
    assert!(
        run.code == 2 && run.stderr.contains("`Gemfile.lock` is missing, and `--locked` asks for it"),
        "{}",
        run.transcript()
    );
}

#[test]
fn gems_of_the_project_are_built_and_those_of_git_refused() {
    let project = project(&[
        ("services/api/app.rb", RUBY_APP),
        ("services/api/Gemfile", "gem 'hello_gem', path: '../../gems/hello'\n"),
        (
            "services/api/Gemfile.lock",
            "PATH\n  remote: ../../gems/hello\n  specs:\n    hello_gem (0.1.0)\n\nGEM\n  specs:\n\nPLATFORMS\n  ruby\n\nDEPENDENCIES\n  hello_gem!\n\nBUNDLED WITH\n   2.3.15\n",
        ),
        (
            "gems/hello/hello_gem.gemspec",
            "Gem::Specification.new do |s|\n  s.name = 'hello_gem'\n  s.version = '0.1.0'\n  s.summary = 'x'\n  s.authors = ['x']\n  s.date = '2026-01-01'\n  s.files = Dir['lib/**/*']\nend\n",
        ),
        ("gems/hello/lib/hello_gem.rb", "module HelloGem\n  def self.hello(name) = \"bonjour #{name}\"\nend\n"),
        ("lambda-pack.toml", "[functions.api]\npath = 'services/api'\n"),
    ]);
    let before = state(&project);
    project.done(&["build"]);
    assert_eq!(state(&project), before, "the project is as it was");
    let unpacked = project.unpack("api.zip");
    assert_eq!(ruby_answer(&unpacked.path(""), &unpacked.path("vendor/bundle/ruby/3.4.0")), "bonjour you");
    let lock = project.read("services/api/Gemfile.lock");
    project.write(
        "services/api/Gemfile.lock",
        &lock.replace("PATH\n  remote: ../../gems/hello", "GIT\n  remote: https://h.example/x.git\n  revision: abc"),
    );
    let run = project.run(&["build"]);
    assert!(
        run.code == 2 && run.stderr.contains("gem `hello_gem` comes from Git (`https://h.example/x.git`)"),
        "{}",
        run.transcript()
    );
}

#[test]
fn vendored_gems_of_the_runtimes_version_are_taken_as_they_are() {
    let project = ruby_project();
    project.done(&["build"]);
    let unpacked = project.unpack("project.zip");
    common::copy(&unpacked.path("vendor/bundle"), &project.path("vendor/bundle"));
    project.write("vendor/bundle/ruby/3.4.0/cache/hello_gem-1.2.0.gem", "");
    fs::remove_dir_all(project.path("vendor/cache")).unwrap();
    let before = fs::read(project.out("project.zip")).unwrap();
    let run = project.done(&["build"]);
    assert!(run.stdout.contains("`vendor/bundle` as it is"), "{}", run.stdout);
    assert!(fs::read(project.out("project.zip")).unwrap() == before);
}
