use super::*;
use crate::error::Kind;

fn failure(stderr: &str) -> Failure {
    Failure::Status { error: Error::failed("x"), stderr: stderr.to_owned() }
}

#[test]
fn the_user_sees_what_cargo_said_without_its_progress() {
    let stderr = "   Compiling api v0.1.0 (/x)\nerror[E0425]: cannot find value `x`\n --> src/main.rs:1:1\n";
    let error = explain(&Tool::new("cargo").arg("build"), failure(stderr));
    assert_eq!(
        error.to_string(),
        "`cargo build` failed:\n  error[E0425]: cannot find value `x`\n   --> src/main.rs:1:1"
    );
    assert_eq!(error.kind(), Kind::Failed);
}

#[test]
fn a_stale_lock_file_is_for_the_user_to_update() {
    let stderr = "error: cannot update the lock file /x/Cargo.lock because --locked was passed to prevent this\n";
    let error = explain(&Tool::new("cargo"), failure(stderr));
    assert_eq!(error.kind(), Kind::Config);
    assert_eq!(error.hints(), ["run `cargo update --workspace` and commit `Cargo.lock`"]);
}

#[test]
fn a_command_is_told_without_what_only_this_program_needs() {
    let command = "/home/me/.cargo/bin/cargo build --release --message-format=json --bin a";
    assert_eq!(short(command), "cargo build --release");
    assert_eq!(short("cargo zigbuild --release"), "cargo zigbuild --release");
}
