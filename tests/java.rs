//! Java, Kotlin and Scala: from Maven, Gradle or a folder of jars to a package that Lambda's own runtime interface client
//! loads, in a sandbox with `/var/task` and `/opt` as Lambda has them.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use common::runtime_api::serve_one;
use common::{Project, Unpacked, fixture, tool};

/// The runtime interface client, as the base images of Lambda have it. Its version is any that is published.
const CLIENT: &str = "<project><modelVersion>4.0.0</modelVersion><groupId>test</groupId><artifactId>client</artifactId>\
     <version>1</version><dependencies><dependency><groupId>com.amazonaws</groupId>\
     <artifactId>aws-lambda-java-runtime-interface-client</artifactId><version>2.6.0</version></dependency></dependencies>\
     </project>";

/// A folder with the jars of the client.
fn client() -> &'static Path {
    static CLIENT_JARS: OnceLock<PathBuf> = OnceLock::new();
    CLIENT_JARS.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("java-client-2.6.0");
        if !folder.join("lib").is_dir() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("pom.xml"), CLIENT).unwrap();
            let copy = format!("-DoutputDirectory={}", folder.join("partial").display());
            let goal = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";
            let pom = folder.join("pom.xml");
            let args = ["-B".as_ref(), "-q".as_ref(), "-f".as_ref(), pom.as_os_str(), goal.as_ref(), copy.as_ref()];
            tool("mvn", &args, "apt-get install maven");
            fs::rename(folder.join("partial"), folder.join("lib")).unwrap();
        }
        folder
    })
}

/// Lambda's client loads the handler of an unpacked function, with layers at `/opt`, and gives it an event.
fn invoke(function: &Unpacked, layers: &[&Unpacked], handler: &str, event: &str) -> String {
    let mut command = Command::new("bwrap");
    command.args(["--unshare-ipc", "--unshare-pid", "--die-with-parent", "--proc", "/proc", "--dev", "/dev"]);
    for path in ["/usr", "/lib", "/lib64", "/bin", "/etc"] {
        command.args(["--ro-bind-try", path, path]);
    }
    command.args(["--tmpfs", "/tmp", "--ro-bind"]).arg(function.path("")).arg("/var/task");
    for layer in layers {
        command.arg("--ro-bind").arg(layer.path("")).arg("/opt");
    }
    command.arg("--ro-bind").arg(client().join("lib")).arg("/client").args(["--chdir", "/var/task"]);
    let main = "com.amazonaws.services.lambda.runtime.api.client.AWSLambda";
    command.args(["java", "-cp", "/client/*", main, handler]);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("LANG", "C.UTF-8").env("LAMBDA_TASK_ROOT", "/var/task");
    serve_one(command, event)
}

/// A copy of a fixture in a folder of another name, with a space and letters that are not ASCII.
fn elsewhere(name: &str) -> Project {
    let project = Project::empty();
    common::copy(&fixture(name), &project.path("çà et là"));
    project
}

/// Files below a folder, but for what this program writes.
fn sources(root: &Path) -> Vec<String> {
    let all = walkdir::WalkDir::new(root).into_iter().map(Result::unwrap);
    let shown = all.map(|entry| entry.path().strip_prefix(root).unwrap().display().to_string());
    let mut files: Vec<String> = shown.filter(|path| !path.starts_with("target")).collect();
    files.sort();
    files
}

#[test]
fn a_module_of_maven_is_the_same_anywhere_and_lambdas_client_loads_it() {
    let here = Project::copy_of("java-maven");
    let before = sources(&here.path(""));
    let manifest = here.build(&["--function", "project"]);
    assert_eq!(sources(&here.path("")), before, "the project is left as it was");
    let function = &manifest["functions"][0];
    assert_eq!(
        (function["runtime"].as_str(), function["handler"].as_str()),
        (Some("java17.al2023"), Some("com.example.Orders"))
    );
    assert_eq!(manifest["findings"], serde_json::json!([]));

    let unpacked = here.unpack("project.zip");
    assert_eq!(
        unpacked.files(),
        [
            "com/example/Orders.class",
            "lib/com.amazonaws.aws-lambda-java-core-1.2.3.jar",
            "lib/com.fasterxml.jackson.core.jackson-core-2.17.2.jar",
            "lib/org.slf4j.slf4j-api-1.7.36.jar",
            "lib/org.slf4j.slf4j-nop-1.7.36.jar",
            "orders.properties",
        ],
        "of dependencies, those that it has at run time"
    );
    let zip = fs::read(here.out("project.zip")).unwrap();
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(&zip)).unwrap();
    let jar = archive.by_name("lib/com.fasterxml.jackson.core.jackson-core-2.17.2.jar").unwrap();
    assert_eq!(jar.compression(), zip::CompressionMethod::Stored, "a jar is not deflated again");
    drop(jar);

    let event = r#"{"customer": "Zoë"}"#;
    for handler in ["com.example.Orders", "com.example.Orders::handleRequest"] {
        assert_eq!(invoke(&unpacked, &[], handler, event), r#""\"orders of Zoë\"""#);
    }

    let there = elsewhere("java-maven");
    let out = there.path("out");
    there.done(&["build", "çà et là", "--out-dir", "out", "--offline"]);
    let other: Vec<PathBuf> = fs::read_dir(out).unwrap().map(|entry| entry.unwrap().path()).collect();
    let other = other.iter().find(|path| path.extension().is_some_and(|ending| ending == "zip")).unwrap();
    assert!(fs::read(other).unwrap() == zip, "another folder, other bytes");

    // Nothing is run where nothing has changed. (The first build may have fetched what it read.)
    here.done(&["build", "--function", "project"]);
    let again = here.done(&["build", "--function", "project"]);
    assert!(again.stdout.contains("unchanged"), "{}", again.transcript());
}

#[test]
fn modules_of_a_reactor_share_a_layer_and_a_sibling() {
    let project = Project::copy_of("java-multi-module");
    let run = project.done(&["build", "--layers", "shared", "-v", "--format", "json"]);
    assert_eq!(run.stderr.matches("running `mvn ").count(), 1, "one run for all functions: {}", run.stderr);
    let manifest: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let layer = manifest["layers"][0]["artifact"]["path"].as_str().unwrap();
    let shared = project.unpack(layer);
    assert_eq!(
        shared.files(),
        [
            "java/lib/com.amazonaws.aws-lambda-java-core-1.2.3.jar",
            "java/lib/com.example.common-1.0.0.jar",
            "java/lib/com.fasterxml.jackson.core.jackson-core-2.17.2.jar",
            "java/lib/org.slf4j.slf4j-api-1.7.36.jar",
        ]
    );
    for (name, class, handler) in
        [("api", "Api", "com.example.Api"), ("worker", "Worker", "com.example.Worker::handleRequest")]
    {
        let function = project.unpack(&format!("{name}.zip"));
        assert_eq!(function.files(), [format!("com/example/{class}.class")]);
        let said = invoke(&function, &[&shared], handler, "\"Ana\"");
        assert_eq!(said, format!(r#"{{"greeting":"Grüß dich, {name} of Ana"}}"#));
    }

    // What a module reads of another is noticed, and so is a new file of it.
    let names = || -> Vec<String> {
        let function = project.unpack("api.zip");
        let sibling = fs::File::open(function.path("lib/com.example.common-1.0.0.jar")).unwrap();
        let mut jar = zip::ZipArchive::new(sibling).unwrap();
        let mut text = String::new();
        jar.by_name("wörter/greeting.txt").unwrap().read_to_string(&mut text).unwrap();
        let mut names: Vec<String> = jar.file_names().map(|name| name.unwrap().into_owned()).collect();
        names.push(text.trim().to_owned());
        names
    };
    project
        .write("common/src/main/resources/wörter/greeting.txt", "Hej")
        .write("common/src/main/resources/new.txt", "");
    project.build(&["--function", "api", "--offline"]);
    assert_eq!(names(), ["com/example/Greeting.class", "new.txt", "wörter/greeting.txt", "Hej"]);
}

/// Gives a module of Gradle a jar that lies beside it, and one that only a classifier tells from another.
fn with_tool(project: &Project, module: &str) {
    let build = format!("{module}/build.gradle");
    let needs = "dependencies {\n    runtimeOnly files('libs/tool-2.0.jar')\n    \
                 runtimeOnly 'org.xerial.snappy:snappy-java:1.1.2:sources'\n}\n";
    project.write(&build, &(project.read(&build) + needs));
    fs::create_dir_all(project.path(&format!("{module}/libs"))).unwrap();
    let jar = client().join("lib/aws-lambda-java-serialization-1.1.2.jar");
    fs::copy(jar, project.path(&format!("{module}/libs/tool-2.0.jar"))).unwrap();
}

#[test]
fn a_module_of_gradle_is_the_same_anywhere_and_lambdas_client_loads_it() {
    let here = Project::copy_of("java-gradle");
    with_tool(&here, "api");
    let before = sources(&here.path(""));
    let build = ["build", "api", "--handler", "com.example.Stock::look", "--out-dir", "target"];
    here.done(&build);
    assert_eq!(sources(&here.path("")), before, "the project is left as it was");
    let unpacked = Unpacked::of(&here.path("target/api.zip"));
    assert_eq!(
        unpacked.files(),
        [
            "com/example/Stock.class",
            "lib/com.amazonaws.aws-lambda-java-core-1.2.3.jar",
            "lib/com.example.common-1.0.0.jar",
            "lib/com.fasterxml.jackson.core.jackson-core-2.17.2.jar",
            "lib/org.slf4j.slf4j-api-1.7.36.jar",
            "lib/org.slf4j.slf4j-nop-1.7.36.jar",
            "lib/org.xerial.snappy.snappy-java-1.1.2-sources.jar",
            "lib/tool-2.0.jar",
        ]
    );
    assert_eq!(invoke(&unpacked, &[], "com.example.Stock::look", "\"tea\""), r#""\"in stock: tea\"""#);
    let there = elsewhere("java-gradle");
    with_tool(&there, "çà et là/api");
    there.write("çà et là/gradlew", "#!/bin/sh\necho \"$0\" >\"$(dirname \"$0\")/used\"\nexec gradle \"$@\"\n");
    let run = there.done(&[
        "build",
        "çà et là/api",
        "--handler",
        "com.example.Stock::look",
        "--out-dir",
        "target",
        "--offline",
    ]);
    assert!(run.stdout.contains("build.gradle (gradlew)"), "{}", run.transcript());
    assert!(!there.path("çà et là/used").exists(), "the wrapper wrote into the copy");
    assert!(fs::read(there.path("target/api.zip")).unwrap() == fs::read(here.path("target/api.zip")).unwrap());
}

#[test]
fn kotlin_is_compiled_by_its_plugin() {
    let project = Project::copy_of("java-kotlin");
    // It is not executable, and writes where it lies, which is in the copy.
    project.write("mvnw", "#!/bin/sh\necho >\"$(dirname \"$0\")/src/main/written\"\nexec mvn \"$@\"\n");
    let run = project.done(&["build"]);
    assert!(run.stdout.contains("pom.xml (mvnw)"), "the project's own wrapper: {}", run.transcript());
    assert!(!project.path("src/main/written").exists());
    let unpacked = project.unpack("project.zip");
    assert!(unpacked.path("lib/org.jetbrains.kotlin.kotlin-stdlib-2.0.21.jar").is_file());
    assert_eq!(invoke(&unpacked, &[], "com.example.Invoice", r#"{"sum": 7}"#), r#""sum 7""#);
}

#[test]
fn what_the_tools_say_is_what_one_sees() {
    let project = Project::copy_of("java-multi-module");
    let source = "services/api/src/main/java/com/example/Api.java";
    project.write(source, &project.read(source).replace("Greeting.to(", "Greeting.too("));
    let run = project.run(&["build", "--function", "api"]);
    assert_eq!(run.code, 1, "{}", run.transcript());
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert!(lines[0].ends_with("function `api`: `mvn` failed:"), "{}", run.stderr);
    assert!(lines[1].contains(&format!("{source}:[15,30] cannot find symbol")), "{}", run.stderr);
    assert!(!run.stderr.contains("[Help 1]") && !run.stderr.contains("lambda-pack-"), "{}", run.stderr);

    let project = Project::copy_of("java-maven");
    let pom = project.read("pom.xml");
    project.write("pom.xml", &pom.replace("2.17.2", "99.99"));
    let run = project.run(&["build", "--offline"]);
    assert_eq!(run.code, 1);
    assert!(
        run.stderr.contains("jackson-core:jar:99.99") && run.stderr.contains("hint: build once with the network"),
        "{}",
        run.stderr
    );

    project.write("pom.xml", &pom.replacen("</dependency>", "</dependenci>", 1));
    let run = project.run(&["build"]);
    assert_eq!(run.code, 2);
    assert!(
        run.stderr.contains("pom.xml:16:5: this is not well-formed XML: expected 'dependency' tag"),
        "{}",
        run.stderr
    );

    project.write("pom.xml", &pom.replace("<version>2.17.2<", "<version>[2.17,)<"));
    let run = project.run(&["build", "--locked"]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("pom.xml:20:1") && run.stderr.contains("`[2.17,)` of function"), "{}", run.stderr);

    let project = Project::copy_of("java-multi-module");
    fs::remove_file(project.path("lambda-pack.toml")).unwrap();
    let run = project.run(&["build", "--runtime", "java17"]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("one of its modules: `common`, `services/api`, `services/worker`"), "{}", run.stderr);

    let project = Project::copy_of("java-maven");
    project.write("build.gradle", "");
    let run = project.run(&["build"]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("both Maven (`pom.xml`) and Gradle (`build.gradle`)"), "{}", run.stderr);
}

#[test]
fn a_repository_that_wants_a_user() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let head = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            let _ = stream.write_all(head.as_bytes());
        }
    });
    let project = Project::copy_of("java-maven");
    let repository = format!(
        "<repositories><repository><id>ours</id><url>http://build:s3cret@{address}/maven</url></repository></repositories>\n  <dependencies>\
         <dependency><groupId>org.ours</groupId><artifactId>secret</artifactId><version>{}</version></dependency>",
        // What was not found is not asked for again.
        address.port()
    );
    project.write("pom.xml", &project.read("pom.xml").replacen("<dependencies>", &repository, 1));
    let run = project.run(&["build"]);
    assert_eq!(run.code, 1, "{}", run.transcript());
    assert!(run.stderr.contains("401") && run.stderr.contains("org.ours:secret"), "{}", run.stderr);
    assert!(run.stderr.contains("hint: the repository wants a user"), "{}", run.stderr);
    assert!(!run.stderr.contains("s3cret"), "{}", run.stderr);
}

/// Compiles a class into a folder.
fn compile(project: &Project, into: &str, release: &str, name: &str, text: &str) {
    project.write(&format!("src/{name}.java"), text);
    let (into, source) = (project.path(into), project.path(&format!("src/{name}.java")));
    let classes = client().join("lib/*");
    let args =
        ["--release".as_ref(), release.as_ref(), "-cp".as_ref(), classes.as_os_str(), "-d".as_ref(), into.as_os_str()];
    tool("javac", &[&args[..], &[source.as_os_str()]].concat(), "apt-get install default-jdk-headless");
}

#[test]
fn a_folder_of_jars_and_the_rules_that_look_into_it() {
    let project = Project::empty();
    let class = "package ex; public class Hello { public String say(String name) { return \"hello \" + name; } }";
    compile(&project, "classes", "17", "Hello", class);
    fs::create_dir_all(project.path("function")).unwrap();
    let (jar, classes) = (project.path("function/hello-1.2.jar"), project.path("classes"));
    let args =
        ["--create".as_ref(), "--file".as_ref(), jar.as_os_str(), "-C".as_ref(), classes.as_os_str(), ".".as_ref()];
    tool("jar", &args, "apt-get install default-jdk-headless");
    project.write("function/settings.properties", "a = b");
    let build = |runtime: &str, handler: &str| {
        project.run(&["build", "function", "--runtime", runtime, "--handler", handler, "--out-dir", "out"])
    };

    let run = build("java17", "ex.Hello::say");
    assert_eq!(run.code, 0, "{}", run.transcript());
    let unpacked = Unpacked::of(&project.path("out/function.zip"));
    assert_eq!(unpacked.files(), ["lib/hello-1.2.jar", "settings.properties"]);
    assert_eq!(invoke(&unpacked, &[], "ex.Hello::say", "\"you\""), "\"hello you\"");

    for (runtime, handler, rule, said, hint) in [
        ("java17", "ex.Hello::sya", "handler-not-found", "No public method named sya", "did you mean `ex.Hello::say`?"),
        ("java17", "Hello::say", "handler-not-found", "Class not found: Hello", "did you mean `ex.Hello::say`?"),
        (
            "java17",
            "ex.Hello",
            "handler-not-found",
            "does not implement an appropriate handler interface",
            "RequestHandler",
        ),
        ("java17", "ex.Hello::", "handler-malformed", "Invalid handler: `ex.Hello::'", "package.Class::method"),
        ("java11.al2023", "ex.Hello::say", "java-class-too-new", "(class file version 61.0)", "choose `java17"),
    ] {
        let run = build(runtime, handler);
        assert_eq!(run.code, 3, "{}", run.transcript());
        for part in [rule, said, hint] {
            assert!(run.stderr.contains(part), "{part}: {}", run.transcript());
        }
    }
}

#[test]
fn a_template_and_init_know_java() {
    let project = Project::copy_of("java-multi-module");
    fs::remove_file(project.path("lambda-pack.toml")).unwrap();
    let config = project.done(&["init"]);
    let config = if config.stdout.contains("[functions") { config.stdout } else { project.read("lambda-pack.toml") };
    for part in [
        "[functions.api]",
        "path = \"services/api\"",
        "runtime = \"java17.al2023\"",
        "handler = \"com.example.Api\"",
        "\nlayers = \"shared\"",
    ] {
        assert!(config.contains(part), "{part}: {config}");
    }
    let _ = fs::remove_file(project.path("lambda-pack.toml"));
    project.write(
        "template.yaml",
        "Transform: AWS::Serverless-2016-10-31\nResources:\n  Api:\n    Type: AWS::Serverless::Function\n    Metadata:\n      BuildMethod: java17\n    \
         Properties:\n      Runtime: java17\n      Handler: com.example.Api\n      CodeUri: services/api\n  Common:\n    \
         Type: AWS::Serverless::LayerVersion\n    Metadata:\n      BuildMethod: java17\n    Properties:\n      \
         ContentUri: common\n      CompatibleRuntimes: [java17]\n",
    );
    let run = project.done(&["build", "-v"]);
    assert_eq!(run.stderr.matches("running `mvn ").count(), 1, "one run for functions and layers: {}", run.stderr);
    assert!(project.unpack("Api.zip").files().contains(&"lib/com.example.common-1.0.0.jar".to_owned()));
    let needs = ["com.fasterxml.jackson.core.jackson-core-2.17.2.jar", "org.slf4j.slf4j-api-1.7.36.jar"];
    let expected = ["Common.jar", needs[0], needs[1]].map(|name| format!("java/lib/{name}"));
    assert_eq!(project.unpack("Common.zip").files(), expected);
}
