//! `cache dir`, `cache size`, `cache prune`.

use std::time::Duration;

use super::Exit;
use super::args::{CacheCommand, Color, OutputArgs, RemoteLayersArgs};
use super::print;
use super::progress::Terminal;
use crate::aws::{self, Aws};
use crate::error::Result;
use crate::publish::layers::Layers;
use crate::report::{self, Task, Unit, bytes, count};
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
        CacheCommand::Prune { remote, output, .. } if remote.remote_layers => {
            return match prune_layers(&remote, output) {
                Ok(()) => Exit::Done,
                Err(error) => print::failures(&error.into(), output),
            };
        }
        CacheCommand::Prune { days, output, .. } => {
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

/// How long an answer of AWS may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Lists layer versions that nobody has any more on stdout, and deletes them when that is asked for.
fn prune_layers(args: &RemoteLayersArgs, output: OutputArgs) -> Result<()> {
    let terminal = Terminal::new(output);
    let settings = aws::Settings { region: args.region.clone(), profile: args.profile.clone(), patience: PATIENCE };
    report::relay(&terminal, |events| {
        let aws = Aws::connect(&settings, events.clone())?;
        let layers = Layers::new(&aws);
        let unused = {
            let _task = Task::begin(&terminal, "Looking for layers that no function has", None, Unit::Items);
            layers.unused(&args.layer_name_prefix)?
        };
        for arn in &unused {
            if args.yes {
                layers.delete(arn)?;
            }
            print::stdout(&format!("{arn}\n"))?;
        }
        if !output.quiet {
            let versions = count(unused.len(), "layer version");
            print::stderr(&match (args.yes, unused.is_empty()) {
                (_, true) => "Every layer that packages were split into is in use\n".to_owned(),
                (true, false) => format!("Deleted {versions}\n"),
                (false, false) => format!("{versions} in no function; `--yes` deletes them\n"),
            });
        }
        Ok(())
    })
}
