//! Libraries and programs that functions and layers bring along from a system: they load where there is nothing but the
//! package and what the runtime has, and nothing that does not load there is shipped.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod common;

use std::path::{Path, PathBuf};

use common::{Project, Run, Unpacked, host_architecture, pythons, tool};
use lambda_pack::lambda;
use serde_json::Value;

const GCC: &str = "apt-get install gcc libc6-dev";
const LIBPQ: &str = "apt-get install libpq5";
const HANDLER: &str = "import ctypes\n\ndef handler(event, context):\n    return ctypes.CDLL('native.so').answer()\n";

/// Compiles one line of C.
fn compile(out: &Path, code: &str, args: &[&str]) {
    let source = out.with_extension("c");
    std::fs::create_dir_all(out.parent().unwrap()).unwrap();
    std::fs::write(&source, code).unwrap();
    let mut all = vec!["-fPIC", "-o", out.to_str().unwrap(), source.to_str().unwrap()];
    all.extend(args);
    tool("gcc", &all.iter().map(std::convert::AsRef::as_ref).collect::<Vec<_>>(), GCC);
    std::fs::remove_file(source).unwrap();
}

/// A library `libNAME.so.1` of a sysroot that answers, as distributions lay it out: its real file has a version.
fn library(project: &Project, name: &str, code: &str, args: &[&str]) -> PathBuf {
    let folder = project.path("../root/usr/lib64");
    let (real, soname) = (folder.join(format!("lib{name}.so.1.2.3")), format!("lib{name}.so.1"));
    let named = format!("-Wl,-soname,{soname}");
    compile(&real, code, &[&["-shared", "-nostdlib", named.as_str()], args].concat());
    let _ = std::fs::remove_file(folder.join(&soname));
    std::os::unix::fs::symlink(format!("lib{name}.so.1.2.3"), folder.join(&soname)).unwrap();
    real
}

/// A module of a function that asks `needed` for its answer, which is `symbol`.
fn native(project: &Project, symbol: &str, needed: &Path) {
    let code = format!("extern int {symbol}(void); int answer(void) {{ return {symbol}(); }}");
    compile(&project.path("fn/native.so"), &code, &["-shared", "-nostdlib", needed.to_str().unwrap()]);
}

/// A Python function `f` in `fn` with these settings, for an interpreter of this machine.
fn python(settings: &str) -> (Project, PathBuf) {
    // The module is loaded by `ctypes`, so that any interpreter stands in for the runtime's.
    let (_, python) = pythons().pop().expect("python3: apt-get install python3");
    let project = Project::empty();
    project.write("fn/app.py", HANDLER);
    project.write(
        "lambda-pack.toml",
        &format!(
            "[functions.f]\npath = 'fn'\nruntime = 'python3.13'\nhandler = 'app.handler'\narchitecture = '{}'\n{settings}",
            host_architecture()
        ),
    );
    (project, python)
}

const COLLECT: &str = "native = { collect = true, sysroot = '../root' }\n";

fn findings(run: &Run) -> Vec<String> {
    let manifest: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|e| panic!("{e}: {}", run.transcript()));
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let shown = |f: &Value| {
        format!(
            "{} {} {}: {} ({})",
            text(f, "level"),
            text(f, "rule"),
            text(f, "path"),
            text(f, "message"),
            text(f, "hint")
        )
    };
    manifest["findings"].as_array().unwrap().iter().map(shown).collect()
}

fn refused(project: &Project, words: &[&str]) {
    let run = project.run(&["build", "--format", "json"]);
    let said = findings(&run);
    assert_eq!(run.code, 3, "{}", run.transcript());
    assert!(said.len() == 1 && words.iter().all(|word| said[0].contains(word)), "{said:#?}");
    assert!(!project.out("f.zip").exists());
}

/// The libraries of this machine that the runtime has by the same name: all that a function may take from its system.
fn of_runtime(runtime: &str) -> Vec<PathBuf> {
    let runtime = lambda::find(runtime).unwrap();
    let architecture = lambda::Architecture::parse(host_architecture()).unwrap();
    let listed = tool("/sbin/ldconfig", &["-p".as_ref()], "apt-get install libc-bin");
    let paths = listed.lines().filter_map(|line| line.split(" => ").nth(1)).map(PathBuf::from);
    let is_there = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        // The interpreter of the machine is another one than the runtime's.
        lambda::has_library(runtime, architecture, name) && !name.starts_with("libpython")
    };
    paths.filter(is_there).collect()
}

/// Runs a program that sees the interpreter `seen`, libraries that the runtime has, `/var/task` and `/opt`: nothing else.
fn sandboxed(task: &Unpacked, opt: Option<&Unpacked>, seen: &[&Path], program: &[&str]) -> (bool, String) {
    let mut command = common::sandbox();
    for library in of_runtime("python3.13") {
        let name = library.file_name().unwrap().to_str().unwrap();
        command.arg("--ro-bind").arg(library.canonicalize().unwrap()).arg(format!("/lib64/{name}"));
        // The loader has another place on Arm.
        if name.starts_with("ld-linux-aarch64") {
            command.arg("--ro-bind").arg(library.canonicalize().unwrap()).arg(format!("/lib/{name}"));
        }
    }
    for path in seen {
        common::bind(&mut command, path);
    }
    command.arg("--ro-bind").arg(task.path("")).arg("/var/task");
    if let Some(opt) = opt {
        command.arg("--ro-bind").arg(opt.path("")).arg("/opt");
    }
    command.args(["--chdir", "/var/task", "--setenv", "LD_LIBRARY_PATH"]);
    command.arg("/lib64:/usr/lib64:/var/task:/var/task/lib:/opt/lib").args(program);
    let output = common::run_sandboxed(command);
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text.trim().to_owned())
}

/// What a Python handler answers there.
fn call(task: &Unpacked, opt: Option<&Unpacked>, python: &Path) -> (bool, String) {
    let script = "import sys; sys.path.insert(0, '/var/task'); import app; print(app.handler(None, None))";
    let real = python.canonicalize().unwrap();
    let home = real.ancestors().nth(2).unwrap().to_owned();
    // A distribution's lies side by side with everything else: of that, only what the interpreter itself is made of.
    let seen: Vec<PathBuf> = match home == Path::new("/usr") {
        true => {
            let stdlib = home.join("lib").join(real.file_name().unwrap());
            let linked = tool("ldd", &[real.as_os_str()], "apt-get install libc-bin");
            let paths = linked.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from);
            paths.chain([real.clone(), stdlib]).collect()
        }
        false => vec![home],
    };
    let seen: Vec<&Path> = seen.iter().map(PathBuf::as_path).collect();
    sandboxed(task, opt, &seen, &[real.to_str().unwrap(), "-I", "-S", "-B", "-c", script])
}

#[test]
fn a_real_library_of_this_system_comes_with_what_it_needs() {
    let (project, python) = python("native = { collect = true }\n");
    let listed = tool("/sbin/ldconfig", &["-p".as_ref()], "apt-get install libc-bin");
    let libpq = listed.lines().find(|line| line.contains("libpq.so.5 ")).expect(LIBPQ).split(" => ").nth(1).unwrap();
    native(&project, "PQlibVersion", Path::new(libpq));
    let run = project.run(&["build", "--format", "json"]);
    // A distribution that is newer than Amazon Linux has libraries that do not load there: that is said, and right.
    if run.code == 3 {
        let said = findings(&run);
        assert!(said.iter().all(|said| said.contains("-too-new lib/")), "{said:#?}");
        assert!(
            said.iter().all(|said| said.contains("it was taken from /") && said.contains("`sysroot`")),
            "{said:#?}"
        );
        return;
    }
    let manifest: Value = serde_json::from_str(&run.stdout).unwrap();
    let packages = manifest["functions"][0]["packages"].as_array().unwrap();
    let of = |name: &str| packages.iter().find(|package| package["name"] == name);
    assert_eq!(of("libpq.so.5").unwrap()["from"], "system");
    assert!(of("libpq.so.5").unwrap()["version"].as_str().unwrap().starts_with("5."));
    assert!(of("libssl.so.3").is_none() && of("libc.so.6").is_none(), "the runtime has them");
    let task = project.unpack("f.zip");
    assert!(task.files().iter().any(|file| file.starts_with("lib/libldap")), "{:?}", task.files());
    let (done, said) = call(&task, None, &python);
    assert!(done && said.parse::<u32>().unwrap() >= 130_000, "{said}");
    // The sandbox has none of its own.
    std::fs::remove_dir_all(task.path("lib")).unwrap();
    let (done, said) = call(&task, None, &python);
    assert!(!done && said.contains("libpq.so.5: cannot open shared object file"), "{said}");
    let text = project.done(&["plan"]).stdout;
    assert!(
        text.contains("  brought along from /") && text.contains("libpq.so.5.") && text.contains("libpq.so.5 5."),
        "{text}"
    );
}

/// A closure with a cycle, in which every file is found by its SONAME alone.
fn with_cycle(settings: &str) -> (Project, PathBuf) {
    let (project, python) = python(settings);
    // Linked first against a stand-in, since each needs the other.
    library(&project, "deep", "int deep(void) { return 42; }", &[]);
    let deep = project.path("../root/usr/lib64/libdeep.so.1");
    let top =
        library(&project, "top", "extern int deep(void); int top(void) { return deep(); }", &[deep.to_str().unwrap()]);
    library(&project, "deep", "int deep(void) { return 42; }", &["-Wl,--no-as-needed", top.to_str().unwrap()]);
    native(&project, "top", &top);
    (project, python)
}

#[test]
fn libraries_of_a_sysroot_load_and_are_the_same_everywhere() {
    let (project, python) = with_cycle(COLLECT);
    let manifest = project.build::<&str>(&[]);
    let task = project.unpack("f.zip");
    assert_eq!(task.files(), ["app.py", "lib/libdeep.so.1", "lib/libtop.so.1", "native.so"]);
    assert!(std::fs::symlink_metadata(task.path("lib/libtop.so.1")).unwrap().is_file());
    assert_eq!(call(&task, None, &python), (true, "42".to_owned()));
    let (elsewhere, _) = with_cycle(COLLECT);
    for file in ["libdeep.so.1.2.3", "libtop.so.1.2.3"] {
        let below = format!("../root/usr/lib64/{file}");
        std::fs::copy(project.path(&below), elsewhere.path(&below)).unwrap();
    }
    std::fs::copy(project.path("fn/native.so"), elsewhere.path("fn/native.so")).unwrap();
    assert_eq!(elsewhere.build::<&str>(&[])["functions"], manifest["functions"]);
}

#[test]
fn a_changed_library_of_the_system_is_a_new_zip() {
    let (project, python) = with_cycle(COLLECT);
    project.build::<&str>(&[]);
    // Files that are new may still change in the same tick.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    project.done(&["build"]);
    assert!(project.done(&["build"]).stdout.contains("unchanged"));
    // The link leads to another version.
    let folder = project.path("../root/usr/lib64");
    let code = "int deep(void) { return 43; }";
    compile(&folder.join("libdeep.so.1.3.0"), code, &["-shared", "-nostdlib", "-Wl,-soname,libdeep.so.1"]);
    std::fs::remove_file(folder.join("libdeep.so.1")).unwrap();
    std::os::unix::fs::symlink("libdeep.so.1.3.0", folder.join("libdeep.so.1")).unwrap();
    assert!(!project.done(&["build"]).stdout.contains("unchanged"));
    assert_eq!(call(&project.unpack("f.zip"), None, &python), (true, "43".to_owned()));
    // One that was nowhere appears where it is looked for first.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    project.done(&["build"]);
    assert!(project.done(&["build"]).stdout.contains("unchanged"));
    std::fs::create_dir_all(project.path("../root/lib64")).unwrap();
    std::fs::rename(folder.join("libdeep.so.1.2.3"), project.path("../root/lib64/libdeep.so.1")).unwrap();
    assert!(!project.done(&["build"]).stdout.contains("unchanged"));
    // And so with the folders themselves.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    project.done(&["build"]);
    assert!(project.done(&["build"]).stdout.contains("unchanged"));
    project.write("../root/etc/ld.so.conf", "/opt/first\n");
    project.write("../root/opt/first/readme", "");
    std::fs::rename(folder.join("libdeep.so.1.3.0"), project.path("../root/opt/first/libdeep.so.1")).unwrap();
    assert!(!project.done(&["build"]).stdout.contains("unchanged"));
    assert_eq!(call(&project.unpack("f.zip"), None, &python), (true, "43".to_owned()));
}

#[test]
fn a_layer_holds_the_libraries_that_its_functions_miss() {
    let layer = "layers = ['system']\n[layers.system]\nnative = { collect = true, sysroot = '../root' }\n";
    let (project, python) = with_cycle(layer);
    let manifest = project.build::<&str>(&[]);
    let task = project.unpack("f.zip");
    assert_eq!(task.files(), ["app.py", "native.so"]);
    let opt = project.unpack("system.zip");
    assert_eq!(opt.files(), ["lib/libdeep.so.1", "lib/libtop.so.1"]);
    assert_eq!(call(&task, Some(&opt), &python), (true, "42".to_owned()));
    let layer = manifest["layers"].as_array().unwrap().iter().find(|layer| layer["name"] == "system").unwrap();
    assert_eq!(layer["packages"][0]["name"], "libdeep.so.1");
    assert_eq!(layer["packages"][0]["version"], "1.2.3");
    // A change of the system is a change of the layer, whatever else stands.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    project.done(&["build"]);
    compile(
        &project.path("../root/usr/lib64/libdeep.so.1.2.3"),
        "int deep(void) { return 44; }",
        &["-shared", "-nostdlib", "-Wl,-soname,libdeep.so.1"],
    );
    project.done(&["build"]);
    assert_eq!(call(&project.unpack("f.zip"), Some(&project.unpack("system.zip")), &python), (true, "44".to_owned()));
}

/// What a layer holds does not depend on which of its functions are built.
#[test]
fn a_layer_is_the_same_for_some_of_its_functions_as_for_all() {
    let arch = host_architecture();
    let g = format!(
        "[functions.g]\npath = 'g'\nruntime = 'nodejs22.x'\nhandler = 'index.handler'\narchitecture = '{arch}'\n"
    );
    let layer = "layers = ['system']\n";
    let table = "[layers.system]\nnative = { collect = true, sysroot = '../root' }\n";
    let (project, _) = with_cycle(&format!("{layer}{g}{layer}{table}"));
    let other = library(&project, "other", "int other(void) { return 1; }", &[]);
    project.write("g/index.js", "exports.handler = async () => 1;\n");
    let code = "extern int other(void); int answer(void) { return other(); }";
    compile(&project.path("g/native.node"), code, &["-shared", "-nostdlib", other.to_str().unwrap()]);
    let all = project.build::<&str>(&[]);
    let opt = project.unpack("system.zip");
    assert_eq!(opt.files(), ["lib/libdeep.so.1", "lib/libother.so.1", "lib/libtop.so.1"]);
    for name in ["f", "g"] {
        let some = project.build(&["--function", name, "--out-dir", "target/some"]);
        assert_eq!(some["layers"][0]["content"], all["layers"][0]["content"], "{name}");
        assert_eq!(some["functions"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn programs_run_and_other_runtimes_bring_libraries_too() {
    let arch = host_architecture();
    let project = Project::empty();
    let greet = library(&project, "greet", "const char *greet(void) { return \"hello\"; }", &[]);
    let code = "#include <stdio.h>\nextern const char *greet(void); int main(void) { puts(greet()); return 0; }";
    compile(&project.path("../root/usr/bin/tool"), code, &[greet.to_str().unwrap()]);
    std::fs::create_dir_all(project.path("rust")).unwrap();
    std::fs::copy(project.path("../root/usr/bin/tool"), project.path("rust/bootstrap")).unwrap();
    project.write("node/index.js", "exports.handler = async () => 1;\n");
    project.write(
        "lambda-pack.toml",
        &format!(
            "[defaults]\narchitecture = '{arch}'\n\
             [functions.node]\npath = 'node'\nruntime = 'nodejs22.x'\nhandler = 'index.handler'\n\
             native = {{ executables = ['tool'], sysroot = '../root' }}\n\
             [functions.custom]\npath = 'rust'\nruntime = 'provided.al2023'\n{COLLECT}"
        ),
    );
    project.build::<&str>(&[]);
    let task = project.unpack("node.zip");
    assert_eq!(task.files(), ["bin/tool", "index.js", "lib/libgreet.so.1"]);
    assert_eq!(sandboxed(&task, None, &[], &["/var/task/bin/tool"]), (true, "hello".to_owned()));
    let task = project.unpack("custom.zip");
    assert_eq!(task.files(), ["bootstrap", "lib/libgreet.so.1"]);
    assert_eq!(sandboxed(&task, None, &[], &["/var/task/bootstrap"]), (true, "hello".to_owned()));
}

#[test]
fn what_is_not_there_is_refused_and_says_where_it_was_looked_for() {
    let (project, _) = with_cycle(COLLECT);
    std::fs::remove_file(project.path("../root/usr/lib64/libdeep.so.1")).unwrap();
    refused(
        &project,
        &[
            "error missing-shared-library lib/libdeep.so.1: libdeep.so.1: cannot open shared object file",
            "required by lib/libtop.so.1, which is ",
            "looked for in /lib/",
            ", /usr/lib64, /lib, /usr/lib below ",
        ],
    );
    std::fs::remove_file(project.path("../root/usr/lib64/libtop.so.1")).unwrap();
    refused(&project, &["lib/libtop.so.1: libtop.so.1: cannot open", "(required by native.so); looked for in "]);
}

#[test]
fn what_would_not_load_there_is_refused() {
    let (project, _) = with_cycle(COLLECT);
    // For another processor.
    let deep = project.path("../root/usr/lib64/libdeep.so.1.2.3");
    let whole = std::fs::read(&deep).unwrap();
    let mut bytes = whole.clone();
    bytes[18] = if bytes[18] == 62 { 183 } else { 62 };
    std::fs::write(&deep, &bytes).unwrap();
    refused(
        &project,
        &["error wrong-architecture lib/libdeep.so.1: ", "libdeep.so.1.2.3 is for ", ", the function for "],
    );
    // Built where glibc is newer than the runtime's.
    let elsewhere = tempfile::tempdir().unwrap();
    let libc = elsewhere.path().join("libc.so.6");
    let script = elsewhere.path().join("versions");
    std::fs::write(&script, "GLIBC_2.99 { global: shiny; };").unwrap();
    let versions = format!("-Wl,--version-script,{}", script.display());
    compile(&libc, "void shiny(void) {}", &["-shared", "-nostdlib", "-Wl,-soname,libc.so.6", &versions]);
    let code = "extern void shiny(void); int deep(void) { shiny(); return 1; }";
    library(&project, "deep", code, &[libc.to_str().unwrap()]);
    refused(
        &project,
        &[
            "error glibc-too-new lib/libdeep.so.1: ",
            "version `GLIBC_2.99' not found (required by /var/task/lib/libdeep.so.1, for `shiny`)",
            "it was taken from ",
            "(take it from Amazon Linux 2023: build there",
            "`sysroot`",
        ],
    );
    // The same in a layer is the layer's fault, and said once.
    let config = project.read("lambda-pack.toml");
    project.write(
        "lambda-pack.toml",
        &config.replace(COLLECT, &format!("layers = ['system']\n[layers.system]\n{COLLECT}")),
    );
    let run = project.run(&["build", "--format", "json"]);
    let said = findings(&run);
    assert!(
        run.code == 3 && said.len() == 1 && said[0].starts_with("error glibc-too-new lib/libdeep.so.1"),
        "{said:#?}"
    );
    assert!(!project.out("system.zip").exists());
}

#[test]
fn what_the_config_may_not_say_is_told_with_its_line() {
    let (project, _) = python("[functions.f.native]\n");
    let config = project.read("lambda-pack.toml");
    for (line, words) in [
        ("", "`native` brings nothing along"),
        ("librarys = []", "unknown key `librarys` in `[functions.f.native]`"),
        ("libraries = ['libpq']", "`libpq` is not the name of a shared library"),
        ("libraries = ['vendor/libpq.so.5']", "is neither a name nor the path of a file of the system"),
        ("collect = 'yes'", "`collect` must be a boolean, not a string"),
        ("collect = true\nsysroot = 'nowhere'", "the sysroot `nowhere` does not exist"),
        ("executables = ['no-such-program-anywhere']", "the program `no-such-program-anywhere` is not there"),
    ] {
        project.write("lambda-pack.toml", &format!("{config}{line}\n"));
        let run = project.run(&["build"]);
        assert!(run.code == 2 && run.stderr.contains(words), "{}", run.transcript());
    }
}
