//! What the end-to-end tests share: a project copied to a place of its own, the binary run on it, and readers that are not
//! ours looking at what came out.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

pub mod docker_registry;
pub mod fake_registry;
pub mod fake_s3;
pub mod faults;
pub mod oci;
pub mod runtime_api;
pub mod s3;
pub mod server;

/// A day on which the runtimes of the tests stand where the tests expect them.
pub const TODAY: &str = "2026-11-23";

/// `requests` and what it needs, but for `idna`: what is released while tests run changes nothing.
pub const REQUESTS: &str = "requests==2.32.3\ncertifi==2024.8.30\ncharset-normalizer==3.4.0\nurllib3==2.2.3\n";

/// The folder of a fixture.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// Archives are fetched once for all tests; the store is what users have too.
pub fn store() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("store")
}

/// A project in a temporary folder.
pub struct Project {
    dir: tempfile::TempDir,
}

impl Project {
    pub fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("project")).unwrap();
        Self { dir }
    }

    /// A copy of a fixture, without what tools have left in it.
    pub fn copy_of(name: &str) -> Self {
        let project = Self::empty();
        copy(&fixture(name), &project.path(""));
        project
    }

    pub fn path(&self, below: &str) -> PathBuf {
        let root = self.dir.path().canonicalize().unwrap().join("project");
        if below.is_empty() { root } else { root.join(below) }
    }

    pub fn write(&self, below: &str, text: &str) -> &Self {
        let path = self.path(below);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    pub fn read(&self, below: &str) -> String {
        std::fs::read_to_string(self.path(below)).unwrap()
    }

    pub fn out(&self, file: &str) -> PathBuf {
        self.path("target/lambda-pack").join(file)
    }

    /// The command line, to be run in the project's folder.
    pub fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = binary();
        command.args(args).current_dir(self.path(""));
        command
    }

    pub fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Run {
        Run::of(&mut self.command(args), &self.path(""))
    }

    /// Runs, and expects that it is done.
    pub fn done<S: AsRef<OsStr>>(&self, args: &[S]) -> Run {
        let run = self.run(args);
        assert_eq!(run.code, 0, "stdout:\n{}\nstderr:\n{}", run.stdout, run.stderr);
        run
    }

    /// Builds into the default folder and gives the manifest.
    pub fn build<S: AsRef<OsStr>>(&self, args: &[S]) -> Value {
        let mut all = vec![OsStr::new("build"), OsStr::new("--format"), OsStr::new("json")];
        all.extend(args.iter().map(AsRef::as_ref));
        serde_json::from_str(&self.done(&all).stdout).unwrap()
    }

    /// Unpacks an artifact with `unzip` into a fresh folder.
    pub fn unpack(&self, artifact: &str) -> Unpacked {
        Unpacked::of(&self.out(artifact))
    }
}

/// The binary with an environment that does not depend on the machine.
pub fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-lambda-pack"));
    command
        .env("LAMBDA_PACK_CACHE_DIR", store())
        .env("LAMBDA_PACK_TODAY", TODAY)
        .env("PATH", path_with_tools())
        .env_remove("CARGO")
        .env_remove("CARGO_TARGET_DIR")
        // What is tested is not how fast the fixtures run.
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
        .env_remove("NO_COLOR")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_BUILD_TARGET")
        .stdin(Stdio::null());
    command
}

/// Lets a command talk to an endpoint of AWS's services with these keys, and with nothing that this machine has set.
pub fn aws<'c>(command: &'c mut Command, endpoint: &str, key: &str, secret: &str) -> &'c mut Command {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy().to_uppercase();
        if text.starts_with("AWS_") || text.ends_with("_PROXY") || text == "GITHUB_OUTPUT" {
            command.env_remove(&name);
        }
    }
    command
        .env("AWS_ENDPOINT_URL", endpoint)
        .env("AWS_ACCESS_KEY_ID", key)
        .env("AWS_SECRET_ACCESS_KEY", secret)
        .env("AWS_REGION", "eu-west-1")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("AWS_EC2_METADATA_DISABLED", "true")
}

/// `PATH` with the tools that `make tools` installs before the system's.
pub fn path_with_tools() -> std::ffi::OsString {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.tools/bin");
    assert!(tools.join("uv").exists(), "uv is missing: run `make tools`");
    with_path(&tools)
}

/// The folder of a `dotnet` that is real, to be first on `PATH`: nothing on machines of other processors, for which no registry has
/// an SDK. There, fakes alone tell what is asked of it.
#[allow(clippy::print_stderr)]
pub fn dotnet() -> Option<PathBuf> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    if host_architecture() != "x86_64" {
        eprintln!("not tested here: there is no .NET SDK for this processor");
        return None;
    }
    assert!(tests.join(".tools/dotnet/installed").exists(), "the .NET SDK is missing: run `make tools`");
    Some(tests.join("dotnet"))
}

/// `PATH` with one more folder before it.
pub fn with_path(first: &Path) -> std::ffi::OsString {
    let rest = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(std::iter::once(first.to_owned()).chain(std::env::split_paths(&rest))).unwrap()
}

/// Where a program is, those of the tests' own tools first.
pub fn on_path(name: &str) -> PathBuf {
    let found = std::env::split_paths(&path_with_tools()).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not on PATH: run `make tools`"))
}

/// What a run of the binary said. Paths of the temporary folder read `[PROJECT]`.
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    pub fn of(command: &mut Command, project: &Path) -> Self {
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| {
            String::from_utf8(bytes.to_vec()).unwrap().replace(&project.display().to_string(), "[PROJECT]")
        };
        Self { code: output.status.code().unwrap_or(-1), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// The whole transcript, for a snapshot.
    pub fn transcript(&self) -> String {
        format!("exit: {}\n--- stdout\n{}--- stderr\n{}", self.code, self.stdout, self.stderr)
    }
}

/// An artifact that `unzip` has unpacked.
pub struct Unpacked {
    dir: tempfile::TempDir,
}

impl Unpacked {
    pub fn of(zip: &Path) -> Self {
        tool(
            "python3",
            &["-m".as_ref(), "zipfile".as_ref(), "-t".as_ref(), zip.as_os_str()],
            "apt-get install python3",
        );
        let dir = tempfile::tempdir().unwrap();
        // It fails, too, when a checksum is not right.
        tool(
            "unzip",
            &["-q".as_ref(), zip.as_os_str(), "-d".as_ref(), dir.path().as_os_str()],
            "apt-get install unzip",
        );
        Self { dir }
    }

    pub fn path(&self, below: &str) -> PathBuf {
        if below.is_empty() { self.dir.path().to_owned() } else { self.dir.path().join(below) }
    }

    /// Paths of all files, sorted.
    pub fn files(&self) -> Vec<String> {
        let mut files: Vec<String> = walkdir::WalkDir::new(self.dir.path())
            .into_iter()
            .map(Result::unwrap)
            .filter(|e| !e.file_type().is_dir())
            .map(|e| e.path().strip_prefix(self.dir.path()).unwrap().to_str().unwrap().to_owned())
            .collect();
        files.sort();
        files
    }
}

/// The processor of this machine by Lambda's name.
pub fn host_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    }
}

/// What a machine-code file is for: `e_machine` of its ELF header, as the name Linux has for it. `None` for other files.
pub fn elf_machine(bytes: &[u8]) -> Option<&'static str> {
    if !bytes.starts_with(b"\x7fELF") {
        return None;
    }
    match u16::from_le_bytes([bytes[18], bytes[19]]) {
        62 => Some("x86_64"),
        183 => Some("aarch64"),
        other => panic!("e_machine {other}"),
    }
}

/// The newest `GLIBC_2.N` that these files below a folder name.
pub fn newest_glibc(root: &Path, files: &[String]) -> Option<u32> {
    let mut command = Command::new("grep");
    command.args(["-aohE", "GLIBC_2\\.[0-9]+", "--"]).args(files).current_dir(root).env("LC_ALL", "C");
    let output = command.stdin(Stdio::null()).output().expect("grep is missing: apt-get install grep");
    // 1: it has found nothing.
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).unwrap();
    names.lines().map(|name| name.strip_prefix("GLIBC_2.").unwrap().parse().unwrap()).max()
}

/// Runs a tool that must be there and succeed; gives its standard output.
pub fn tool(program: &str, args: &[&OsStr], install: &str) -> String {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|e| panic!("{program} cannot be run ({e}): {install}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {args:?}: {}\n{}\n{stderr}",
        output.status,
        String::from_utf8_lossy(&output.stdout)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A sandbox without network, environment or files: what the program may see is bound by the caller.
pub fn sandbox() -> Command {
    let mut command = Command::new("bwrap");
    command.args([
        "--unshare-ipc",
        "--unshare-pid",
        "--unshare-net",
        "--unshare-uts",
        "--die-with-parent",
        "--clearenv",
    ]);
    command.args(["--proc", "/proc", "--dev", "/dev"]);
    command
}

/// Makes a sandbox run its program as Lambda's user, where this system lets one: not below a changed root, where the kernel
/// makes no user namespaces ("unshare(2)", `EPERM`). There the user stays, without what makes it more than others.
pub fn as_lambdas_user(command: &mut Command) {
    static CAN: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    let can = *CAN.get_or_init(|| {
        let mut probe = Command::new("bwrap");
        probe.args(["--ro-bind", "/", "/", "--unshare-user", "--uid", "993", "true"]).stderr(Stdio::null());
        probe.status().expect("bwrap is missing: apt-get install bubblewrap").success()
    });
    match can {
        true => command.args(["--unshare-user", "--uid", "993", "--gid", "990"]),
        false => command.args(["--cap-drop", "ALL"]),
    };
}

/// Binds a file or folder where it lies, to be read.
pub fn bind(command: &mut Command, path: &Path) {
    command.arg("--ro-bind").arg(path).arg(path);
}

/// What a sandboxed program says and how it ends.
pub fn run_sandboxed(mut command: Command) -> std::process::Output {
    command.output().expect("bwrap is missing: apt-get install bubblewrap")
}

/// Copies a folder, without what tools leave behind.
pub fn copy(from: &Path, to: &Path) {
    for entry in walkdir::WalkDir::new(from)
        .into_iter()
        .filter_entry(|e| !["target", "node_modules", "__pycache__"].contains(&e.file_name().to_str().unwrap()))
    {
        let entry = entry.unwrap();
        let target = to.join(entry.path().strip_prefix(from).unwrap());
        if entry.file_type().is_dir() {
            std::fs::create_dir_all(target).unwrap();
        } else if entry.file_type().is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(entry.path()).unwrap(), target).unwrap();
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Interpreters `python3.X` on this machine that really start, as (minor, path).
pub fn pythons() -> Vec<(u8, PathBuf)> {
    let mut found = Vec::new();
    for minor in 8..=15_u8 {
        let name = format!("python3.{minor}");
        let mut candidates: Vec<PathBuf> =
            std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).map(|d| d.join(&name)).collect();
        // Interpreters that a version manager keeps beside the one it has put on PATH.
        if let Some(home) = std::env::var_os("PYENV_ROOT") {
            let versions = std::fs::read_dir(Path::new(&home).join("versions")).into_iter().flatten().flatten();
            candidates.extend(versions.map(|v| v.path().join("bin").join(&name)));
        }
        let works =
            |p: &PathBuf| p.exists() && Command::new(p).arg("-c").arg("").output().is_ok_and(|o| o.status.success());
        found.extend(candidates.into_iter().find(works).map(|p| (minor, p)));
    }
    assert!(!found.is_empty(), "no python3.X on PATH: apt-get install python3");
    found
}

/// Imports a handler with nothing on its path but a folder, calls it with `event`, and gives its answer as JSON.
pub fn call_python(python: &Path, root: &Path, handler: &str, event: &str) -> Value {
    let (module, function) = handler.rsplit_once('.').unwrap();
    let script = format!(
        "import sys, json, importlib; sys.path.insert(0, {root:?}); m = importlib.import_module({module:?}.replace('/', '.')); \
         print('ANSWER' + json.dumps(getattr(m, {function:?})(json.loads({event:?}), None)))",
        root = root.display().to_string()
    );
    // -I: neither the environment nor the user's folders; -S: not even site-packages.
    let output = Command::new(python).args(["-I", "-S", "-B", "-c", &script]).output().unwrap();
    answer(&output)
}

/// Loads a handler with Node.js from a folder, calls it with `event`, and gives its answer.
pub fn call_node(root: &Path, handler: &str, event: &str) -> Value {
    let (file, export) = handler.rsplit_once('.').unwrap();
    let found = ["js", "mjs", "cjs"].iter().map(|ext| root.join(format!("{file}.{ext}"))).find(|p| p.exists()).unwrap();
    let script = format!(
        "import({:?}).then(async m => {{ const h = m[{export:?}] ?? m.default[{export:?}]; console.log('ANSWER' + JSON.stringify(await h(JSON.parse({event:?})))) }})",
        format!("file://{}", found.display())
    );
    let output = Command::new("node").args(["-e", &script]).current_dir(root).env_remove("NODE_PATH").output();
    answer(&output.expect("node is missing: apt-get install nodejs"))
}

fn answer(output: &std::process::Output) -> Value {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let line = stdout.lines().find_map(|l| l.strip_prefix("ANSWER"));
    let line = line.unwrap_or_else(|| {
        panic!("no answer: {}\n{stdout}\n{}", output.status, String::from_utf8_lossy(&output.stderr))
    });
    serde_json::from_str(line).unwrap()
}
