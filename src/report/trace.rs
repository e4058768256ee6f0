//! When each piece of work began and ended, in the format of Chrome's tracing, which Perfetto reads, too.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde_json::{Value, json};

use super::{Event, Reporter};

/// Hands events on, and remembers when they came.
pub struct Tracer<'a> {
    inner: &'a dyn Reporter,
    start: Instant,
    events: Mutex<Vec<Value>>,
}

impl<'a> Tracer<'a> {
    /// A tracer in front of another reporter. Its clock starts now.
    pub fn new(inner: &'a dyn Reporter) -> Self {
        Self { inner, start: Instant::now(), events: Mutex::default() }
    }

    /// The document so far: one `b` and one `e` event for each piece of work, times in microseconds.
    pub fn to_json(&self) -> String {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        json!({"displayTimeUnit": "ms", "traceEvents": *events}).to_string() + "\n"
    }

    fn note(&self, phase: &str, id: u64, fields: &Value) {
        let time = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mut event = json!({"ph": phase, "cat": "work", "id": id, "pid": 1, "tid": 1, "ts": time});
        if let (Some(event), Some(fields)) = (event.as_object_mut(), fields.as_object()) {
            event.extend(fields.clone());
        }
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }
}

impl Reporter for Tracer<'_> {
    fn event(&self, event: Event) {
        match &event {
            Event::Begin { id, label, .. } => self.note("b", *id, &json!({"name": crate::process::redact(label)})),
            Event::Detail { id, text } => {
                self.note("n", *id, &json!({"name": crate::process::redact(text)}));
            }
            Event::End { id } => self.note("e", *id, &json!({"name": ""})),
            Event::Advance { .. } | Event::Warning(_) | Event::Debug(_) => {}
        }
        self.inner.event(event);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Silent, Task, Unit};
    use super::*;

    #[test]
    fn every_piece_of_work_begins_and_ends() {
        let tracer = Tracer::new(&Silent);
        {
            let task = Task::begin(&tracer, "Fetching https://u:secret@h/x", None, Unit::Items);
            task.detail("one");
        }
        let document: Value = serde_json::from_str(&tracer.to_json()).unwrap();
        let events = document["traceEvents"].as_array().unwrap();
        let phases: Vec<_> = events.iter().map(|event| event["ph"].as_str().unwrap()).collect();
        assert_eq!(phases, ["b", "n", "e"]);
        assert_eq!(events[0]["name"], "Fetching https://***@h/x");
        assert_eq!(events[0]["id"], events[2]["id"]);
    }
}
