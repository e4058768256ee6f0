//! What happens while it happens: the library tells a [`Reporter`], and only the command line draws.

mod relay;
mod trace;
mod units;

pub use relay::{EventSender, relay};
pub use trace::Tracer;
pub use units::{bytes, count, duration};

use std::sync::atomic::{AtomicU64, Ordering};

/// What the library tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A piece of work begins. `total` is in `unit`s when it is known.
    Begin {
        /// Identifies the piece of work in later events.
        id: u64,
        /// What it is, such as `fetch numpy 2.3.4`.
        label: String,
        /// How much there is to do.
        total: Option<u64>,
        /// What is counted.
        unit: Unit,
    },
    /// So much more of it is done.
    Advance {
        /// Which piece of work.
        id: u64,
        /// How much more.
        by: u64,
    },
    /// A word on where it is, such as the crate that is being compiled.
    Detail {
        /// Which piece of work.
        id: u64,
        /// The word.
        text: String,
    },
    /// It is over, successful or not.
    End {
        /// Which piece of work.
        id: u64,
    },
    /// Something that everybody should know.
    Warning(String),
    /// Something for `-v`.
    Debug(String),
}

/// What a piece of work counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Things.
    Items,
}

/// Takes events; may be called from many threads at once.
pub trait Reporter: Send + Sync {
    /// Takes one event.
    fn event(&self, event: Event);
}

/// Hears nothing.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Reporter for Silent {
    fn event(&self, _event: Event) {}
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A piece of work that ends when dropped, however that comes.
pub struct Task<'a> {
    reporter: &'a dyn Reporter,
    id: u64,
}

impl<'a> Task<'a> {
    /// Begins a piece of work.
    pub fn begin(reporter: &'a dyn Reporter, label: impl Into<String>, total: Option<u64>, unit: Unit) -> Self {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        reporter.event(Event::Begin { id, label: label.into(), total, unit });
        Self { reporter, id }
    }

    /// What identifies it in events that are sent on its behalf.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// So much more is done.
    pub fn advance(&self, by: u64) {
        self.reporter.event(Event::Advance { id: self.id, by });
    }

    /// A word on where it is.
    pub fn detail(&self, text: impl Into<String>) {
        self.reporter.event(Event::Detail { id: self.id, text: text.into() });
    }
}

impl Drop for Task<'_> {
    fn drop(&mut self) {
        self.reporter.event(Event::End { id: self.id });
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! A reporter that remembers.

    use std::sync::Mutex;

    use super::{Event, Reporter};

    #[derive(Default)]
    pub(crate) struct Recorder(Mutex<Vec<Event>>);

    impl Recorder {
        pub(crate) fn events(&self) -> Vec<Event> {
            self.0.lock().unwrap().clone()
        }
    }

    impl Reporter for Recorder {
        fn event(&self, event: Event) {
            self.0.lock().unwrap().push(event);
        }
    }
}
