//! The binary: hands its arguments to the library, and ends with the exit code that comes back.

use std::process::ExitCode;

fn main() -> ExitCode {
    let _ = ctrlc::set_handler(|| {
        lambda_pack::interrupt::clean_up();
        // 130 is what a shell reports of a program that Ctrl-C ended.
        std::process::exit(130);
    });
    let exit = lambda_pack::cli::run(std::env::args_os());
    // The handler ends the process when it has cleaned up; what has failed because of that is no exit code.
    lambda_pack::interrupt::stay_if_ending();
    ExitCode::from(exit as u8)
}
