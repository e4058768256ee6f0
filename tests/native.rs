//! Machine code that Lambda's loader would refuse is refused here, in the loader's words; what loads is not complained
//! about. Traps are built by the tests; what is to stay silent is real.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Project, tool};
use serde_json::Value;

const HANDLER: &str = "import native\n\ndef handler(event, context):\n    return 1\n";
const GCC: &str = "apt-get install gcc libc6-dev";

/// Compiles a shared library of one line of C.
fn library(out: &Path, code: &str, args: &[&str]) {
    let source = out.with_extension("c");
    std::fs::create_dir_all(out.parent().unwrap()).unwrap();
    std::fs::write(&source, code).unwrap();
    let mut all = vec!["-shared", "-fPIC", "-nostdlib", "-o", out.to_str().unwrap(), source.to_str().unwrap()];
    all.extend(args);
    tool("gcc", &all.iter().map(std::convert::AsRef::as_ref).collect::<Vec<_>>(), GCC);
    std::fs::remove_file(source).unwrap();
}

/// A library to link with that is called `soname`, and defines `symbol` in `version`, if there is one.
fn stand_in(dir: &Path, soname: &str, symbol: &str, version: Option<&str>) -> PathBuf {
    let out = dir.join(soname);
    let script = dir.join("versions");
    std::fs::write(&script, format!("{} {{ global: {symbol}; }};", version.unwrap_or("NONE_1"))).unwrap();
    let soname = format!("-Wl,-soname,{soname}");
    let versions = format!("-Wl,--version-script,{}", script.display());
    let args = if version.is_some() { vec![soname.as_str(), versions.as_str()] } else { vec![soname.as_str()] };
    library(&out, &format!("void {symbol}(void) {{}}"), &args);
    out
}

/// An extension module that needs `needed`, linked with a stand-in for it.
fn native(project: &Project, needed: &str, version: Option<&str>) -> PathBuf {
    let elsewhere = tempfile::tempdir().unwrap();
    let needed = stand_in(elsewhere.path(), needed, "shiny", version);
    let out = project.path("native.so");
    library(&out, "extern void shiny(void); void PyInit_native(void) { shiny(); }", &[needed.to_str().unwrap()]);
    out
}

fn python() -> Project {
    let project = Project::empty();
    project.write("app.py", HANDLER);
    project
}

/// Findings of a build as `level rule path`, and the messages.
fn findings(project: &Project, args: &[&str]) -> (Vec<String>, String) {
    let run = project.run(&[&["build", "--format", "json", "--handler", "app.handler"], args].concat());
    let manifest: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|e| panic!("{e}: {}", run.transcript()));
    let found = manifest["findings"].as_array().unwrap();
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let said = found.iter().map(|f| format!("{} {} {}", text(f, "level"), text(f, "rule"), text(f, "path"))).collect();
    let refused = found.iter().any(|f| f["level"] == "error");
    assert_eq!(run.code, if refused { 3 } else { 0 }, "{}", run.transcript());
    (said, found.iter().map(|f| text(f, "message") + "\n").collect())
}

#[track_caller]
fn refused(project: &Project, args: &[&str], expected: &str, words: &[&str]) {
    let (said, messages) = findings(project, args);
    assert_eq!(said, [expected], "{messages}");
    assert!(words.iter().all(|word| messages.contains(word)), "{messages}");
}

#[track_caller]
fn silent(project: &Project, args: &[&str]) {
    let (said, messages) = findings(project, args);
    assert!(said.is_empty(), "{messages}");
}

/// What this machine's own loader says of a library.
fn loader_says(path: &Path) -> String {
    let script = "import ctypes, sys\ntry:\n    ctypes.CDLL(sys.argv[1])\n    print('loaded')\nexcept OSError as e:\n    print(e)";
    tool("python3", &["-c".as_ref(), script.as_ref(), path.as_os_str()], "apt-get install python3")
}

/// Writes over some bytes of a file.
fn patch(path: &Path, at: usize, bytes: &[u8]) {
    let mut all = std::fs::read(path).unwrap();
    all[at..at + bytes.len()].copy_from_slice(bytes);
    std::fs::write(path, all).unwrap();
}

const X86: &[&str] = &["--runtime", "python3.13", "--arch", "x86_64"];

/// glibc gets symbols with new versions; Amazon Linux 2023 stays at 2.34.
#[test]
fn a_library_for_a_newer_glibc() {
    let project = python();
    let path = native(&project, "libc.so.6", Some("GLIBC_2.99"));
    let words = "libc.so.6: version `GLIBC_2.99' not found (required by";
    assert!(loader_says(&path).contains(words), "{}", loader_says(&path));
    refused(&project, X86, "error glibc-too-new native.so", &[words, "for `shiny`", "python3.13 has glibc 2.34"]);
    // The boundary is exact, and of the runtime.
    native(&project, "libc.so.6", Some("GLIBC_2.34"));
    silent(&project, X86);
    let al2 = ["--runtime", "python3.11", "--arch", "x86_64"];
    refused(&project, &al2, "error glibc-too-new native.so", &["`GLIBC_2.34' not found", "python3.11 has glibc 2.26"]);
}

#[test]
fn a_library_for_a_newer_libstdcxx() {
    let project = python();
    native(&project, "libstdc++.so.6", Some("GLIBCXX_3.4.30"));
    let words = "/lib64/libstdc++.so.6: version `GLIBCXX_3.4.30' not found";
    refused(&project, X86, "error libstdcxx-too-new native.so", &[words]);
    native(&project, "libstdc++.so.6", Some("GLIBCXX_3.4.29"));
    silent(&project, X86);
}

/// What an installer takes on a Mac with an Arm processor, in a function for `x86_64`; and files that are no ELF at all.
#[test]
fn libraries_for_another_machine_say_what_the_loader_says() {
    let project = python();
    let path = native(&project, "libc.so.6", None);
    silent(&project, X86);
    let whole = std::fs::read(&path).unwrap();
    for (at, bytes, words) in [
        (18, &[183, 0][..], "cannot open shared object file: No such file or directory"),
        (4, &[1], "wrong ELF class: ELFCLASS32"),
        (0, &[0xcf, 0xfa, 0xed, 0xfe], "invalid ELF header"),
    ] {
        if std::env::consts::ARCH != "x86_64" {
            return;
        }
        std::fs::write(&path, &whole).unwrap();
        patch(&path, at, bytes);
        assert!(loader_says(&path).contains(words), "{}", loader_says(&path));
        refused(&project, X86, "error wrong-architecture native.so", &[words]);
    }
    std::fs::write(&path, &whole).unwrap();
    patch(&path, 18, &[183, 0]);
    silent(&project, &["--runtime", "python3.13", "--arch", "arm64"]);
}

/// Its dependency is on this machine and not on Lambda, which is how it gets there.
#[test]
fn a_library_that_needs_what_is_not_there() {
    let project = python();
    let path = native(&project, "libgone.so.1", None);
    let words = "libgone.so.1: cannot open shared object file: No such file or directory";
    assert!(loader_says(&path).contains(words));
    refused(&project, X86, "error missing-shared-library native.so", &[words]);
    // Nothing loads it: it will not stop the function from starting.
    project.write("app.py", "def handler(event, context): return 1\n");
    let (said, messages) = findings(&project, X86);
    assert_eq!(said, ["warning missing-shared-library native.so"], "{messages}");
    // libxcrypt was in Amazon Linux 2 and is not in Amazon Linux 2023.
    let project = python();
    native(&project, "libcrypt.so.1", None);
    refused(&project, X86, "error missing-shared-library native.so", &["libcrypt.so.1: cannot open"]);
    silent(&project, &["--runtime", "python3.11", "--arch", "x86_64"]);
}

/// Wheels keep their libraries in a folder of their own, which only `$ORIGIN` leads to.
#[test]
fn a_library_that_only_origin_leads_to() {
    let project = python();
    let needed = stand_in(&project.path(""), "libdep-1f2e.so.1", "shiny", None);
    std::fs::create_dir_all(project.path("native.libs")).unwrap();
    let moved = project.path("native.libs/libdep-1f2e.so.1");
    std::fs::rename(&needed, &moved).unwrap();
    std::fs::remove_file(project.path("versions")).unwrap();
    let code = "extern void shiny(void); void PyInit_native(void) { shiny(); }";
    let path = project.path("native.so");
    for origin in
        ["-Wl,--enable-new-dtags,-rpath,$ORIGIN/native.libs", "-Wl,--disable-new-dtags,-rpath,$ORIGIN/native.libs"]
    {
        library(&path, code, &[moved.to_str().unwrap(), origin]);
        assert_eq!(loader_says(&path).trim(), "loaded");
        silent(&project, X86);
    }
    library(&path, code, &[moved.to_str().unwrap()]);
    assert!(loader_says(&path).contains("libdep-1f2e.so.1: cannot open shared object file"));
    let (said, _) = findings(&project, X86);
    assert_eq!(said, ["error missing-shared-library native.so"]);
    // `lib/` is in LD_LIBRARY_PATH on Lambda.
    std::fs::create_dir_all(project.path("lib")).unwrap();
    std::fs::rename(&moved, project.path("lib/libdep-1f2e.so.1")).unwrap();
    silent(&project, X86);
}

/// Fetches a wheel as it is for some platform, and unpacks it beside a handler that imports it.
fn with_wheel(package: &str, platform: &str, minor: &str) -> Project {
    let project = python();
    project.write("app.py", &format!("import {package}\n\ndef handler(event, context):\n    return 1\n"));
    let pip = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.tools/venv/bin/pip");
    let target = project.path("");
    let args = ["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:", "--platform"];
    let mut command = Command::new(pip);
    command.args(args).args([platform, "--python-version", minor, "--target"]).arg(target).arg(package);
    assert!(command.status().expect("pip is missing: run `make tools`").success());
    project
}

/// A real wheel of Alpine Linux: its machine code needs musl's C library.
#[test]
fn a_musl_wheel() {
    let project = with_wheel("markupsafe", "musllinux_1_2_x86_64", "3.13");
    let (said, messages) = findings(&project, X86);
    assert!(said.len() == 1 && said[0].starts_with("error musl-library markupsafe/_speedups."), "{said:?} {messages}");
    assert!(messages.contains("libc.musl-x86_64.so.1: cannot open shared object file"), "{messages}");
    assert!(messages.contains("markupsafe "), "who brings it: {messages}");
}

/// A real wheel of the Python before: the interpreter does not even look at its file.
#[test]
fn an_extension_for_another_python() {
    let project = with_wheel("markupsafe", "manylinux2014_x86_64", "3.12");
    let (said, messages) = findings(&project, X86);
    assert!(
        said.len() == 1 && said[0].starts_with("error python-abi-mismatch markupsafe/_speedups.cpython-312"),
        "{said:?}"
    );
    assert!(
        messages.contains("No module named 'markupsafe._speedups'") && messages.contains("CPython 3.12"),
        "{messages}"
    );
    silent(&project, &["--runtime", "python3.12", "--arch", "x86_64"]);
    let arm = findings(&project, &["--runtime", "python3.12", "--arch", "arm64"]).0;
    assert!(arm.len() == 1 && arm[0].starts_with("error wrong-architecture markupsafe/_speedups."), "{arm:?}");
}

/// Popular packages with machine code, pinned so that what they need is known.
const DATA: &str = "numpy==2.1.3\npandas==2.2.3\npyarrow==18.0.0\npython-dateutil==2.9.0.post0\npytz==2024.2\n\
                    tzdata==2024.2\nsix==1.16.0\n";
const SERVICES: &str = "cryptography==43.0.3\npydantic-core==2.27.0\ntyping-extensions==4.12.2\n\
                        psycopg2-binary==2.9.10\nlxml==5.3.0\npillow==11.0.0\norjson==3.10.11\nargon2-cffi==23.1.0\n\
                        argon2-cffi-bindings==21.2.0\ncffi==1.17.1\npycparser==2.22\n";

/// Where a package has its machine code, and the newest `GLIBC_2.N` that this needs in the wheels for python3.11, which runs
/// on Amazon Linux 2 with glibc 2.26, and in those for python3.13 (Amazon Linux 2023, glibc 2.34). Glibc for arm64 begins with
/// 2.17, so nothing there needs less.
const ARGUED: &[(&str, &str, u32, u32)] = &[
    (DATA, "numpy/", 14, 14),
    (DATA, "numpy.libs/", 17, 17),
    (DATA, "pandas/", 14, 14),
    (DATA, "pyarrow/", 17, 28),
    (SERVICES, "PIL/", 14, 14),
    (SERVICES, "pillow.libs/", 17, 27),
    (SERVICES, "_argon2_cffi_bindings/", 14, 14),
    (SERVICES, "_cffi_backend.", 14, 14),
    (SERVICES, "cryptography/", 17, 28),
    (SERVICES, "lxml/", 14, 28),
    (SERVICES, "orjson/", 14, 14),
    (SERVICES, "psycopg2/", 14, 14),
    (SERVICES, "psycopg2_binary.libs/", 17, 17),
    (SERVICES, "pydantic_core/", 14, 14),
];

/// The zip with these requirements; its machine code needs what is argued above, and so nothing is said of it.
fn argued(requirements: &str, runtime: &str, arch: &str) -> Project {
    let project = Project::empty();
    project.write("app.py", "def handler(event, context):\n    return 1\n").write("requirements.txt", requirements);
    // With their tests, the large three are over 250 MB.
    project.write("lambda-pack.toml", "[functions.project]\npath = '.'\nhandler = 'app.handler'\nslim = true\n");
    let (said, messages) = findings(&project, &["--runtime", runtime, "--arch", arch]);
    let of_size = "note zip-too-large-for-direct-upload ";
    assert!(said.iter().all(|finding| finding == of_size), "{messages}");
    let unpacked = project.unpack("project.zip");
    let is_native = |file: &String| common::elf_machine(&std::fs::read(unpacked.path(file)).unwrap()).is_some();
    let (natives, machines): (Vec<_>, _) =
        (unpacked.files().into_iter().filter(is_native).collect(), machines(&project));
    assert!(machines.len() > 20 && machines.iter().all(|m| *m == if arch == "arm64" { "aarch64" } else { "x86_64" }));
    let mut explained = 0;
    for (_, folder, on_311, on_313) in ARGUED.iter().filter(|row| row.0 == requirements) {
        let of_package: Vec<String> = natives.iter().filter(|file| file.starts_with(folder)).cloned().collect();
        let expected = if runtime == "python3.11" { *on_311 } else { *on_313 };
        let expected = if arch == "arm64" { expected.max(17) } else { expected };
        assert_eq!(common::newest_glibc(&unpacked.path(""), &of_package), Some(expected), "{folder} {runtime} {arch}");
        explained += of_package.len();
    }
    assert_eq!(explained, natives.len(), "every file is argued for: {natives:#?}");
    project
}

/// Real packages, each bringing its libraries in its own way: folders beside the package (numpy, pillow, psycopg2-binary), one
/// file with everything (cryptography, pydantic-core), libraries in the package itself (pyarrow). Lambda loads all of them.
/// The same zips of python3.13 on python3.11 are refused: modules for their Python, and what has a stable ABI (cryptography,
/// pyarrow's own libraries) for its glibc.
#[test]
fn verdicts_on_real_wheels_are_deserved() {
    for arch in ["x86_64", "arm64"] {
        for requirements in [DATA, SERVICES] {
            argued(requirements, "python3.11", arch);
            let newer = argued(requirements, "python3.13", arch);
            let zip = newer.out("project.zip");
            let run = newer.run(&[
                "check",
                zip.to_str().unwrap(),
                "--runtime",
                "python3.11",
                "--arch",
                arch,
                "--format",
                "json",
            ]);
            assert_eq!(run.code, 3, "{}", run.transcript());
            let said: Value = serde_json::from_str(&run.stdout).unwrap();
            let errors = |rule: &str| -> Vec<(String, String)> {
                let all = said["findings"].as_array().unwrap().iter();
                let chosen = all.filter(|f| f["rule"] == rule && f["level"] == "error");
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                chosen.map(|f| (text(&f["path"]), text(&f["message"]))).collect()
            };
            let old = errors("glibc-too-new");
            let (file, symbol) = if requirements == DATA {
                ("pyarrow/libarrow.so.1800", "GLIBC_2.28")
            } else {
                (
                    "cryptography/hazmat/bindings/_rust.abi3.so",
                    "GLIBC_2.28' not found (required by /var/task/cryptography/hazmat/bindings/_rust.abi3.so, for `statx`); python3.11 has glibc 2.26",
                )
            };
            assert!(matches!(&old[..], [(path, message)] if path == file && message.contains(symbol)), "{old:#?}");
            let modules = errors("python-abi-mismatch");
            assert!(
                modules.len() > 10 && modules.iter().all(|(path, _)| path.contains(".cpython-313-")),
                "{modules:#?}"
            );
            assert_eq!(
                said["findings"].as_array().unwrap().iter().filter(|f| f["level"] == "error").count(),
                old.len() + modules.len()
            );
        }
    }
}

/// The machines of all ELF files in the zip, as a reader that is not ours finds them.
fn machines(project: &Project) -> Vec<&'static str> {
    let unpacked = project.unpack("project.zip");
    unpacked
        .files()
        .iter()
        .filter_map(|file| common::elf_machine(&std::fs::read(unpacked.path(file)).unwrap()))
        .collect()
}

/// sharp's addon finds libvips in a sibling package, by a run path that leads out of its own.
#[test]
fn real_addons_are_silent() {
    for arch in ["x86_64", "arm64"] {
        let project = Project::copy_of("node-sharp");
        let run = project.run(&["build", "--format", "json", "--runtime", "nodejs22.x", "--arch", arch]);
        let manifest: Value = serde_json::from_str(&run.stdout).unwrap();
        let found = manifest["findings"].as_array().unwrap();
        // The install script of sharp checks, and builds where there is no prebuilt; that it is not run is said apart.
        let native: Vec<_> = found.iter().filter(|f| f["rule"] != "install-script-not-run").collect();
        assert!(native.is_empty(), "{native:#?}");
    }
}

/// argon2 brings addons for eleven platforms, and loads the one of the platform and C library that it runs on: that one is
/// packed, which needs no more than glibc 2.34.
#[test]
fn of_prebuilt_addons_the_targets_is_packed() {
    for (arch, addon) in [("x86_64", "linux-x64/argon2.glibc.node"), ("arm64", "linux-arm64/argon2.armv8.glibc.node")] {
        let project = Project::empty();
        let dependencies = r#"{"name": "p", "version": "1.0.0", "dependencies": {"argon2": "0.41.1"}}"#;
        project.write("package.json", dependencies);
        project
            .write("index.js", "const argon2 = require('argon2');\nexports.handler = async () => argon2.hash('x');\n");
        let run = project.run(&[
            "build",
            "--format",
            "json",
            "--runtime",
            "nodejs22.x",
            "--handler",
            "index.handler",
            "--arch",
            arch,
        ]);
        let manifest: Value = serde_json::from_str(&run.stdout).unwrap();
        let found = manifest["findings"].as_array().unwrap();
        let said: Vec<_> = found.iter().filter(|f| f["rule"] != "install-script-not-run").collect();
        assert!(said.is_empty(), "{said:#?}");
        let unpacked = project.unpack("project.zip");
        let addons: Vec<_> = unpacked.files().into_iter().filter(|file| file.ends_with(".node")).collect();
        assert_eq!(addons, [format!("node_modules/argon2/prebuilds/{addon}")]);
        assert!(common::newest_glibc(&unpacked.path(""), &addons).unwrap() <= 34);
        if arch == common::host_architecture() {
            let answer = common::call_node(&unpacked.path(""), "index.handler", "{}");
            assert!(answer.as_str().unwrap().starts_with("$argon2"), "{answer}");
        }
    }
}

/// Static binaries of Go need nothing; those for the wrong processor do not start.
#[test]
fn go_binaries() {
    let project = Project::empty();
    project
        .write("src/main.go", "package main\n\nfunc main() { println(\"x\") }\n")
        .write("src/go.mod", "module m\n\ngo 1.18\n");
    for (arch, goarch) in [("x86_64", "amd64"), ("arm64", "arm64")] {
        let out = project.path(&format!("{arch}/bootstrap"));
        let mut go = Command::new("go");
        go.args(["build", "-o"]).arg(&out).arg(".").current_dir(project.path("src"));
        go.env("CGO_ENABLED", "0").env("GOOS", "linux").env("GOARCH", goarch).env("GOFLAGS", "-mod=mod");
        assert!(go.status().expect("go is missing: apt-get install golang-go").success());
    }
    let check = |folder: &str, arch: &str| project.run(&["check", folder, "--runtime", "provided.al2", "--arch", arch]);
    assert_eq!(check("x86_64", "x86_64").code, 0);
    assert_eq!(check("arm64", "arm64").code, 0);
    let run = check("arm64", "x86_64");
    assert_eq!(run.code, 3);
    assert!(
        run.stderr.contains("error[wrong-architecture] arm64: bootstrap: exec format error"),
        "{}",
        run.transcript()
    );
}
