//! `cache dir`, `cache size`, `cache prune`.

use std::time::Duration;

use super::Exit;
use super::args::{CacheCommand, Color, OutputArgs};
use super::print;
use crate::report::{bytes, count};
use crate::store::Store;

pub(super) fn run(command: CacheCommand) -> Exit {
    let root = match Store::default_root() {
        Ok(root) => root,
        Err(error) => {
            return print::failures(&error.into(), OutputArgs { quiet: false, verbose: 0, color: Color::Auto });
        }
    };
    let store = Store::new(&root);
    match command {
        CacheCommand::Dir => return super::printed(&format!("{}\n", root.display())),
        CacheCommand::Size { output } => {
            let (size, files) = store.size();
            let printed = super::printed(&format!("{size}\n"));
            if !output.quiet {
                print::stderr(&format!(
                    "{} in {}\n",
                    bytes(size),
                    count(usize::try_from(files).unwrap_or(usize::MAX), "file")
                ));
            }
            return printed;
        }
        CacheCommand::Prune { days, output } => {
            let (size, files) = store.prune(Duration::from_secs(u64::from(days) * 86_400));
            if !output.quiet {
                print::stderr(&format!(
                    "Deleted {} of {}\n",
                    count(usize::try_from(files).unwrap_or(usize::MAX), "file"),
                    bytes(size)
                ));
            }
        }
    }
    Exit::Done
}
