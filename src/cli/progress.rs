//! Progress on stderr while it works: a line for each piece of work that takes long enough to be seen. Nothing when
//! stderr is not a terminal.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::args::OutputArgs;
use super::print::Style;
use crate::finding::Level;
use crate::process::redact;
use crate::report::{Event, Reporter, Unit};

/// Draws events.
pub(super) struct Terminal {
    bars: MultiProgress,
    open: Mutex<HashMap<u64, ProgressBar>>,
    drawn: bool,
    verbose: bool,
    style: Style,
}

impl Terminal {
    pub(super) fn new(output: OutputArgs) -> Self {
        let drawn = !output.quiet && std::io::stderr().is_terminal();
        let target = if drawn { ProgressDrawTarget::stderr_with_hz(10) } else { ProgressDrawTarget::hidden() };
        Self {
            bars: MultiProgress::with_draw_target(target),
            open: Mutex::default(),
            drawn,
            verbose: output.verbose > 0,
            style: Style::stderr(output),
        }
    }

    fn begin(&self, id: u64, label: String, total: Option<u64>, unit: Unit) {
        if !self.drawn {
            return;
        }
        let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        let template = match (total, unit) {
            (Some(_), Unit::Bytes) => {
                "{spinner} {prefix} {wide_msg:.dim} {decimal_bytes} of {decimal_total_bytes}, {decimal_bytes_per_sec}"
            }
            (Some(_), Unit::Items) => "{spinner} {prefix} {wide_msg:.dim} {pos} of {len}",
            (None, Unit::Bytes) => "{spinner} {prefix} {wide_msg:.dim} {decimal_bytes}, {decimal_bytes_per_sec}",
            (None, Unit::Items) => "{spinner} {prefix} {wide_msg:.dim} {elapsed}",
        };
        let bar = bar
            .with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner()))
            .with_prefix(label);
        let bar = self.bars.add(bar);
        bar.enable_steady_tick(Duration::from_millis(120));
        self.open().insert(id, bar);
    }

    fn open(&self) -> std::sync::MutexGuard<'_, HashMap<u64, ProgressBar>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reporter for Terminal {
    fn event(&self, event: Event) {
        match event {
            Event::Begin { id, label, total, unit } => self.begin(id, label, total, unit),
            Event::Advance { id, by } => {
                if let Some(bar) = self.open().get(&id) {
                    bar.inc(by);
                }
            }
            Event::Detail { id, text } => {
                if let Some(bar) = self.open().get(&id) {
                    bar.set_message(redact(&text));
                }
            }
            Event::End { id } => {
                let bar = self.open().remove(&id);
                if let Some(bar) = bar {
                    bar.finish_and_clear();
                    self.bars.remove(&bar);
                }
            }
            Event::Warning(text) => {
                let label = self.style.level(Level::Warning, "warning");
                self.bars.suspend(|| super::print::stderr(&format!("{label}: {}\n", redact(&text))));
            }
            Event::Debug(text) if self.verbose => {
                self.bars.suspend(|| super::print::stderr(&format!("{}\n", redact(&text))));
            }
            Event::Debug(_) => {}
        }
    }
}
