//! From a Cargo workspace to `bootstrap`s that start.
//!
//! Folders of builds are kept between runs of the tests: only the first has to compile the dependencies.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::runtime_api::invoke;
use common::{Run, Unpacked, binary};

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

    fn write(&self, name: &str, text: &str) {
        let path = self.workspace().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn out(&self, file: &str) -> PathBuf {
        self.root.join("out").join(file)
    }

    /// The command that builds the workspace.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = binary();
        command.arg("build").arg("--out-dir").arg(self.root.join("out")).args(args).current_dir(self.workspace());
        command
    }

    fn run(&self, args: &[&str]) -> Run {
        Run::of(&mut self.command(args), &self.workspace())
    }

    /// Builds the workspace with these variables, and expects that it is done.
    fn build(&self, args: &[&str], variables: &[(&str, &str)]) -> Run {
        let mut command = self.command(args);
        command.envs(variables.iter().copied());
        let run = Run::of(&mut command, &self.workspace());
        assert_eq!(run.code, 0, "{}", run.transcript());
        run
    }

    fn zip(&self, name: &str) -> Vec<u8> {
        fs::read(self.out(&format!("{name}.zip"))).unwrap()
    }

    /// A function's zip, in which there is a `bootstrap` and nothing else.
    fn unpack(&self, name: &str) -> Unpacked {
        let unpacked = Unpacked::of(&self.out(&format!("{name}.zip")));
        assert_eq!(unpacked.files(), ["bootstrap"]);
        let mode = unpacked.path("bootstrap").symlink_metadata().unwrap().permissions().mode();
        assert_eq!(mode, 0o100_755, "{mode:o}");
        unpacked
    }

    fn bootstrap(&self, name: &str) -> Vec<u8> {
        fs::read(self.unpack(name).path("bootstrap")).unwrap()
    }
}

/// The fixture, checked out in a place of its own and built with the user's Cargo home.
fn fixture(name: &str) -> Place {
    let place = Place::new(name);
    common::copy(&common::fixture("rust-workspace"), &place.workspace());
    place
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn the_bytes_do_not_depend_on_folders_and_both_functions_answer() {
    let first = fixture("rust-first");
    let run = first.build(&[], &[]);
    assert_eq!(run.stdout.matches("\n  cargo build\n").count(), 2, "{}", run.stdout);
    let (api, worker) = (first.zip("api"), first.zip("worker"));
    assert!(!first.out("tool.zip").exists(), "a binary that does not use Lambda is no function");
    for name in ["api", "worker"] {
        let bytes = first.bootstrap(name);
        assert!(bytes.starts_with(b"\x7fELF"));
        assert!(!contains(&bytes, env!("CARGO_TARGET_TMPDIR")), "{name} names the folder it was built in");
        assert!(!contains(&bytes, ".symtab"), "{name} is not stripped");
    }
    // One alone: features of dependencies must not depend on which functions are built together.
    fs::remove_file(first.out("worker.zip")).unwrap();
    first.build(&["--function", "worker"], &[]);
    assert!(first.zip("worker") == worker, "`worker` alone is not `worker` with `api`");
    let answer = |name: &str, event| invoke(&first.unpack(name).path("bootstrap"), event);
    assert_eq!(answer("api", r#"{"name": "you"}"#), r#"{"greeting":"hello you"}"#);
    assert_eq!(answer("worker", r#"{"Records": [1, 2]}"#), r#"{"records":2}"#);
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
    second.build(&[], &variables);
    assert!(target.is_dir() && !second.workspace().join("target").exists());
    assert!(second.zip("api") == api, "`api` depends on where it is built");
    assert!(second.zip("worker") == worker, "`worker` depends on where it is built");
}

fn cargo_home() -> PathBuf {
    std::env::var_os("CARGO_HOME").map_or_else(|| etcetera::home_dir().unwrap().join(".cargo"), PathBuf::from)
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
    let run = place.run(&[]);
    assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{}", run.transcript());
    let error = run.stderr;
    assert!(error.starts_with("error: functions `a`, `b`: `cargo build --release"), "{error}");
    assert_eq!(error.matches("error[E0425]: cannot find function `no_such_function`").count(), 1, "{error}");
    assert!(!error.contains("Compiling small"), "{error}");
    assert_eq!(error.matches("error: function").count(), 1, "{error}");
    assert!(!place.out("a.zip").exists() && !place.out("b.zip").exists());
}

#[test]
fn a_lock_file_is_made_unless_it_has_to_be_there() {
    let place = Place::new("rust-lock");
    small(&place, "fn main() {}\n");
    let run = place.run(&["--locked"]);
    assert_eq!(run.code, 2, "{}", run.transcript());
    assert!(run.stderr.contains("`Cargo.lock` is missing, and `--locked` asks for it"), "{}", run.stderr);
    assert!(!place.workspace().join("Cargo.lock").exists());
    place.build(&[], &[]);
    assert!(place.zip("a") == place.zip("b") && place.workspace().join("Cargo.lock").is_file());
    place.build(&["--locked"], &[]);
    place.write("Cargo.toml", "[package]\nname = 'small'\nversion = '0.2.0'\nedition = '2024'\n[workspace]\n");
    let run = place.run(&[]);
    assert_eq!(run.code, 2, "{}", run.transcript());
    let error = run.stderr;
    assert!(error.starts_with("error: functions `a`, `b`: `Cargo.lock` does not agree with the manifests"), "{error}");
    assert!(error.contains("cargo update --workspace"), "{error}");
}

#[test]
fn flags_and_the_target_of_the_user_are_respected() {
    let place = Place::new("rust-flags");
    small(&place, "fn main() { #[cfg(mine)] println!(\"built with my flag\"); }\n");
    place.write(".cargo/config.toml", "[build]\nrustflags = ['--cfg', 'mine', '--check-cfg', 'cfg(mine)']\n");
    place.build(&[], &[]);
    assert!(contains(&place.bootstrap("a"), "built with my flag"));
    place.build(&[], &[("RUSTFLAGS", "--cfg theirs")]);
    assert!(!contains(&place.bootstrap("a"), "built with my flag"), "RUSTFLAGS come instead of the file's");
}

#[test]
fn what_another_architecture_needs_is_named_at_once() {
    let place = Place::new("rust-cross");
    small(&place, "fn main() {}\n");
    let (foreign, triple) = match common::host_architecture() {
        "arm64" => ("x86_64", "x86_64-unknown-linux-gnu"),
        _ => ("arm64", "aarch64-unknown-linux-gnu"),
    };
    let libdir = common::tool(
        "rustc",
        &["--print", "target-libdir", "--target", triple].map(AsRef::as_ref),
        "https://rustup.rs",
    );
    let has_std = Path::new(libdir.trim()).is_dir();
    // Cargo and its compiler, but neither a cross compiler nor zig, whatever this machine has.
    let bin = tempfile::tempdir().unwrap();
    for name in ["cargo", "rustc"] {
        std::os::unix::fs::symlink(common::on_path(name), bin.path().join(name)).unwrap();
    }
    let home = tempfile::tempdir().unwrap();
    let mut command = place.command(&["--arch", foreign]);
    command.env("PATH", bin.path()).env("CARGO_HOME", home.path());
    command.env_remove(format!("CARGO_TARGET_{}_LINKER", triple.to_uppercase().replace('-', "_")));
    let run = Run::of(&mut command, &place.workspace());
    let missing =
        if has_std { "a linker is missing" } else { "the target's standard library and a linker are missing" };
    let said = format!("error: functions `a`, `b`: cannot build for {foreign} on this machine: {missing}\n");
    assert!(run.code == 1 && run.stderr.starts_with(&said), "{}", run.transcript());
    assert_eq!(run.stderr.contains(&format!("run `rustup target add {triple}`")), !has_std, "{}", run.stderr);
    assert!(run.stderr.contains("or install `cargo-zigbuild` and zig"), "{}", run.stderr);
}
