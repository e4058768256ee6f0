//! The command line: arguments → options → library call → print. The only place that prints.

mod args;
mod build;
mod cache;
mod check;
mod check_args;
mod check_images;
mod init;
mod invoke;
mod output;
mod print;
mod progress;
mod publish;
mod summary;
mod summary_images;
mod summary_layers;

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches};

use args::{Cli, Command, OutputArgs};

/// Exit codes, as documented in the README.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// The work failed: a tool, the network, the file system.
    Failed = 1,
    /// The command line or the config is wrong.
    Config = 2,
    /// Lambda would refuse the result: at least one finding of level `error`.
    Refused = 3,
}

/// Runs the command line `args`, the program's name included.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Exit {
    let mut args: Vec<OsString> = args.into_iter().collect();
    // `cargo lambda-pack …` runs `cargo-lambda-pack lambda-pack …`.
    if args.get(1).is_some_and(|a| a == "lambda-pack") {
        args.remove(1);
    }
    let parsed = Cli::command().try_get_matches_from(&args).and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { Exit::Config } else { Exit::Done };
        }
    };
    match cli.command {
        None => build::run(&cli.build),
        Some(Command::Build(args)) => build::run(&args),
        Some(Command::Publish(args)) => publish::run(&args),
        Some(Command::Plan(args)) => build::plan(&args.project),
        Some(Command::Invoke(args)) => invoke::run(&args),
        Some(Command::Check(args)) => check::run(&args),
        Some(Command::Init(args)) => init::run(&args),
        Some(Command::Cache(command)) => cache::run(command),
        Some(Command::Completions { shell }) => completions(shell),
    }
}

/// Prints data, and gives the exit code.
fn printed(text: &str) -> Exit {
    match print::stdout(text) {
        Ok(()) => Exit::Done,
        Err(error) => print::failures(&error.into(), OutputArgs { quiet: false, verbose: 0, color: args::Color::Auto }),
    }
}

fn completions(shell: clap_complete::Shell) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command().bin_name("cargo-lambda-pack"), "cargo-lambda-pack", &mut script);
    printed(&String::from_utf8_lossy(&script))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
