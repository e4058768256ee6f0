//! Events from code that may not borrow a reporter, such as what runs inside an HTTP client.

use std::sync::mpsc;

use super::{Event, Reporter};

/// Sends events to the reporter of a [`relay`]. Cheap to copy; what is sent after the relay has ended is lost.
#[derive(Debug, Clone)]
pub struct EventSender(mpsc::Sender<Option<Event>>);

impl EventSender {
    /// One that nobody hears.
    pub fn nowhere() -> Self {
        Self(mpsc::channel().0)
    }

    /// Sends one event.
    pub fn send(&self, event: Event) {
        let _ = self.0.send(Some(event));
    }
}

impl Reporter for EventSender {
    fn event(&self, event: Event) {
        self.send(event);
    }
}

/// Runs `work` with a sender whose events reach `reporter`, in their order, from a thread of their own.
pub fn relay<T>(reporter: &dyn Reporter, work: impl FnOnce(EventSender) -> T) -> T {
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel::<Option<Event>>();
        scope.spawn(move || receiver.iter().map_while(|event| event).for_each(|event| reporter.event(event)));
        // Ends the thread also when `work` panics, and when something keeps a copy of the sender.
        let _end = End(sender.clone());
        work(EventSender(sender))
    })
}

struct End(mpsc::Sender<Option<Event>>);

impl Drop for End {
    fn drop(&mut self) {
        let _ = self.0.send(None);
    }
}
