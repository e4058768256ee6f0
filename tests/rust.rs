//! From a Cargo workspace to `bootstrap`s that start.
//!
//! Builds run in processes of their own, since what Cargo does depends on the environment. Folders of builds are kept
//! between runs of the tests: only the first has to compile the dependencies.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test says so by panicking")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lambda_pack::lambda::find;
use lambda_pack::process::{Failure, Tool};
use lambda_pack::project::{Selection, load};
use lambda_pack::report::Silent;
use lambda_pack::resolve::rust::Rust;
use lambda_pack::resolve::{Application, Context, Request, Resolver};
use lambda_pack::store::{Fetcher, Store};
use lambda_pack::tree::Entry;

/// What a build in a process of its own is told.
const WORKSPACE: &str = "LAMBDA_PACK_TEST_WORKSPACE";
const OUT: &str = "LAMBDA_PACK_TEST_OUT";
const FUNCTION: &str = "LAMBDA_PACK_TEST_FUNCTION";
const LOCKED: &str = "LAMBDA_PACK_TEST_LOCKED";

/// Loads and resolves a workspace; writes the `bootstrap` of each function, or the error, into a folder.
#[test]
#[ignore = "other tests run it, in a process with an environment of its own"]
#[expect(clippy::disallowed_methods, reason = "results for the test that waits for this process")]
fn build_in_this_process() {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let out = variable(OUT).unwrap();
    let functions = variable(FUNCTION).map(|name| name.display().to_string()).into_iter().collect();
    let selection = Selection { path: variable(WORKSPACE).unwrap(), functions, ..Selection::default() };
    let project = load(&selection).unwrap();
    let request = |function| Request {
        function,
        runtime: find(&function.runtime).unwrap(),
        architecture: function.architecture,
        project_root: &project.root,
        skip: &[],
    };
    let requests: Vec<Request<'_>> = project.functions.iter().map(request).collect();
    assert!(requests.iter().all(|request| Rust.claims(request).is_some()));
    let store = Store::new(out.join("store"));
    let fetcher = Fetcher::new(&store, true, &Silent);
    let locked = variable(LOCKED).is_some();
    let context = Context { store: &store, fetcher: &fetcher, reporter: &Silent, offline: false, locked };
    for (request, result) in requests.iter().zip(Rust.resolve(&requests, &context)) {
        let name = &request.function.name;
        match result {
            Err(error) => {
                fs::write(out.join(format!("{name}.error")), format!("{error}\n{:?}", error.hints())).unwrap();
            }
            Ok(resolution) => {
                assert!(matches!(resolution.application, Application::Nothing));
                assert_eq!((resolution.built.len(), resolution.resolved_by.as_str()), (1, "cargo build"));
                let entry = resolution.built.get("bootstrap").unwrap();
                assert!(matches!(entry, Entry::File { executable: true, .. }));
                fs::write(out.join(name), entry.read().unwrap()).unwrap();
            }
        }
    }
}

/// A folder that stays between runs, and is used by one test at a time.
struct Place {
    root: PathBuf,
    _alone: MutexGuard<'static, ()>,
}

impl Place {
    /// A place with an empty folder for the workspace and one for results.
    fn new(name: &str) -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        for folder in ["checkout", "out"].map(|folder| root.join(folder)) {
            fs::create_dir_all(&folder).unwrap();
            for entry in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
                // Dependencies that are compiled already.
                if !entry.ends_with("target") {
                    fs::remove_dir_all(&entry).or_else(|_| fs::remove_file(&entry)).unwrap();
                }
            }
        }
        Self { root, _alone: alone }
    }

    fn workspace(&self) -> PathBuf {
        self.root.join("checkout")
    }

    #[expect(clippy::disallowed_methods, reason = "a fixture, which nobody else reads meanwhile")]
    fn write(&self, name: &str, text: &str) {
        let path = self.workspace().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Builds the workspace with these variables.
    fn build(&self, variables: &[(&str, &str)]) {
        let mut tool = Tool::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "build_in_this_process", "--nocapture"])
            .env(WORKSPACE, self.workspace())
            .env(OUT, self.root.join("out"));
        for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO_TARGET_DIR"] {
            tool = tool.env_remove(name);
        }
        for (name, value) in variables {
            tool = tool.env(name, value);
        }
        if let Err(Failure::Status { error, .. } | Failure::NotStarted(error)) = tool.run() {
            panic!("{error}");
        }
    }

    fn result(&self, name: &str) -> Vec<u8> {
        fs::read(self.root.join("out").join(name)).unwrap_or_else(|_| {
            let error = fs::read_to_string(self.root.join("out").join(format!("{name}.error")));
            panic!("no `{name}`: {}", error.unwrap_or_default())
        })
    }

    fn error(&self, name: &str) -> String {
        fs::read_to_string(self.root.join("out").join(format!("{name}.error"))).unwrap()
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            if entry.file_name() != "target" {
                copy(&entry.path(), &to);
            }
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// The fixture, checked out in a place of its own and built with the user's Cargo home.
fn fixture(name: &str) -> Place {
    let place = Place::new(name);
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/rust-workspace"), &place.workspace());
    place
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[cfg(unix)]
#[test]
fn the_bytes_do_not_depend_on_folders_and_both_functions_answer() {
    let first = fixture("rust-first");
    first.build(&[]);
    let (api, worker) = (first.result("api"), first.result("worker"));
    assert!(!first.root.join("out/tool").exists(), "a binary that does not use Lambda is no function");
    for (name, bytes) in [("api", &api), ("worker", &worker)] {
        assert!(bytes.starts_with(b"\x7fELF"));
        assert!(!contains(bytes, env!("CARGO_TARGET_TMPDIR")), "{name} names the folder it was built in");
        assert!(!contains(bytes, ".symtab"), "{name} is not stripped");
    }
    // One alone: features of dependencies must not depend on which functions are built together.
    fs::remove_file(first.root.join("out/worker")).unwrap();
    first.build(&[(FUNCTION, "worker")]);
    assert!(first.result("worker") == worker, "`worker` alone is not `worker` with `api`");
    let api_path = executable(&first.root.join("out/api"));
    assert_eq!(invoke(&api_path, r#"{"name": "you"}"#), r#"{"greeting":"hello you"}"#);
    let worker_path = executable(&first.root.join("out/worker"));
    assert_eq!(invoke(&worker_path, r#"{"Records": [1, 2]}"#), r#"{"records":2}"#);
    drop(first);

    let second = fixture("rust-second-in-a-longer-folder");
    let home = second.root.join("cargo-home");
    fs::create_dir_all(home.join("registry")).unwrap();
    for name in ["index", "cache"] {
        // What was fetched is shared; the sources are unpacked anew, in another folder.
        let link = home.join("registry").join(name);
        if link.symlink_metadata().is_err() {
            std::os::unix::fs::symlink(cargo_home().join("registry").join(name), link).unwrap();
        }
    }
    let target = second.root.join("builds elsewhere");
    let variables = [("CARGO_HOME", &home), ("CARGO_TARGET_DIR", &target)].map(|(k, v)| (k, v.to_str().unwrap()));
    second.build(&variables);
    assert!(target.is_dir() && !second.workspace().join("target").exists());
    assert!(second.result("api") == api, "`api` depends on where it is built");
    assert!(second.result("worker") == worker, "`worker` depends on where it is built");
}

fn cargo_home() -> PathBuf {
    std::env::var_os("CARGO_HOME").map_or_else(|| etcetera::home_dir().unwrap().join(".cargo"), PathBuf::from)
}

#[cfg(unix)]
fn executable(path: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_owned()
}

/// A child that does not outlive the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a `bootstrap` as Lambda does, gives it one event, and returns what it answers.
fn invoke(bootstrap: &Path, event: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    #[expect(clippy::disallowed_methods, reason = "it has to run while the test answers it")]
    let mut command = std::process::Command::new(bootstrap);
    command.env_clear().env("AWS_LAMBDA_RUNTIME_API", &address).stdin(Stdio::null());
    for (name, value) in [("NAME", "api"), ("MEMORY_SIZE", "128"), ("VERSION", "1")] {
        command.env(format!("AWS_LAMBDA_FUNCTION_{name}"), value);
    }
    command.env("AWS_LAMBDA_LOG_GROUP_NAME", "group").env("AWS_LAMBDA_LOG_STREAM_NAME", "stream");
    let _running = Running(command.spawn().unwrap());
    let (sender, receiver) = mpsc::channel();
    let event = event.to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let sender = sender.clone();
            let event = event.clone();
            std::thread::spawn(move || serve(stream.unwrap(), &event, &sender));
        }
    });
    receiver.recv_timeout(Duration::from_secs(30)).expect("the function asks for an event and answers it")
}

/// The Runtime API on one connection.
fn serve(mut stream: TcpStream, event: &str, answers: &mpsc::Sender<String>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let body = body(&mut reader);
        if line.starts_with("GET /2018-06-01/runtime/invocation/next ") {
            let headers = "Lambda-Runtime-Aws-Request-Id: 1\r\nLambda-Runtime-Deadline-Ms: 9999999999999\r\n\
                           Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:eu-west-1:1:function:api\r\n";
            let length = event.len();
            write!(stream, "HTTP/1.1 200 OK\r\n{headers}Content-Length: {length}\r\n\r\n{event}").unwrap();
        } else {
            assert!(line.starts_with("POST /2018-06-01/runtime/invocation/1/response "), "{line}: {body}");
            let _ = answers.send(body);
            return;
        }
    }
}

/// The body of a request whose first line was read.
fn body(reader: &mut impl BufRead) -> String {
    let mut length = 0;
    let mut chunked = false;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        let header = header.trim().to_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        chunked |= header == "transfer-encoding: chunked";
    }
    if chunked {
        let mut size = String::new();
        reader.read_line(&mut size).unwrap();
        length = usize::from_str_radix(size.trim(), 16).unwrap();
    }
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// A package without dependencies that is a function by its config.
fn small(place: &Place, main: &str) {
    place.write("Cargo.toml", "[package]\nname = 'small'\nversion = '0.1.0'\nedition = '2024'\n[workspace]\n");
    place.write("src/main.rs", main);
    place.write("lambda-pack.toml", "[functions.a]\npath = '.'\n[functions.b]\npath = '.'\n");
}

#[test]
fn a_build_that_fails_says_what_the_compiler_said_once() {
    let place = Place::new("rust-broken");
    small(&place, "fn main() { no_such_function(); }\n");
    place.build(&[]);
    let error = place.error("a");
    assert!(error.starts_with("`cargo build --release` failed:\n"), "{error}");
    assert!(error.contains("error[E0425]: cannot find function `no_such_function`"), "{error}");
    assert!(!error.contains("Compiling small"), "{error}");
    assert_eq!(place.error("b"), error, "equal errors are told once");
}

#[test]
fn a_lock_file_is_made_unless_it_has_to_be_there() {
    let place = Place::new("rust-lock");
    small(&place, "fn main() {}\n");
    place.build(&[(LOCKED, "1")]);
    let error = place.error("a");
    assert!(error.contains("`Cargo.lock` is missing, and `--locked` asks for it"), "{error}");
    place.build(&[]);
    assert!(place.result("a") == place.result("b") && place.workspace().join("Cargo.lock").is_file());
    place.write("Cargo.toml", "[package]\nname = 'small'\nversion = '0.2.0'\nedition = '2024'\n[workspace]\n");
    place.build(&[]);
    let error = place.error("a");
    assert!(error.starts_with("`Cargo.lock` does not agree with the manifests"), "{error}");
    assert!(error.contains("cargo update --workspace"), "{error}");
}

#[test]
fn flags_and_the_target_of_the_user_are_respected() {
    let place = Place::new("rust-flags");
    small(&place, "fn main() { #[cfg(mine)] println!(\"built with my flag\"); }\n");
    place.write(".cargo/config.toml", "[build]\nrustflags = ['--cfg', 'mine', '--check-cfg', 'cfg(mine)']\n");
    place.build(&[]);
    assert!(contains(&place.result("a"), "built with my flag"));
    place.build(&[("RUSTFLAGS", "--cfg theirs")]);
    assert!(!contains(&place.result("a"), "built with my flag"), "RUSTFLAGS come instead of the file's");
}
