//! `init`: writes a commented lambda-pack.toml.

use super::Exit;
use super::args::{InitArgs, absolute};
use super::print;
use crate::error::{Error, Result};
use crate::{fsio, project};

const FILE: &str = "lambda-pack.toml";

pub(super) fn run(args: &InitArgs) -> Exit {
    match write_config(args) {
        Ok(message) => {
            if !args.output.quiet {
                print::stderr(&message);
            }
            Exit::Done
        }
        Err(error) => print::failures(&error.into(), args.output),
    }
}

fn write_config(args: &InitArgs) -> Result<String> {
    let folder = absolute(&args.path)?;
    let target = folder.join(FILE);
    if target.exists() && !args.force {
        return Err(
            Error::config(format!("`{}` is there already", target.display())).hint("replace it with `init --force`")
        );
    }
    let text = project::init_config(&folder)?;
    fsio::write_atomic(&target, text.as_bytes())?;
    Ok(format!("Wrote {}. Look it over, then run `cargo lambda-pack`.\n", print::path(&target)))
}
