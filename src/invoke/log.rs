//! What a function logs: passed on as it comes, and the last of it kept.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::{Mutex, PoisonError};

/// `X-Amz-Log-Result` has so many bytes.
const TAIL: usize = 4_096;

/// Takes what functions log; may be called from many threads at once.
pub type Sink = dyn Fn(&[u8]) + Send + Sync;

/// The log of one execution environment.
pub(super) struct Log {
    sink: std::sync::Arc<Sink>,
    tail: Mutex<VecDeque<u8>>,
}

impl Log {
    pub(super) fn new(sink: std::sync::Arc<Sink>) -> Self {
        Self { sink, tail: Mutex::default() }
    }

    /// Takes bytes of the function.
    pub(super) fn write(&self, bytes: &[u8]) {
        (self.sink)(bytes);
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend(&bytes[bytes.len().saturating_sub(TAIL)..]);
        let surplus = tail.len().saturating_sub(TAIL);
        tail.drain(..surplus);
    }

    /// A line of ours.
    pub(super) fn line(&self, text: &str) {
        self.write(format!("{text}\n").as_bytes());
    }

    /// The last of it.
    pub(super) fn tail(&self) -> Vec<u8> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    /// Takes what a pipe gives, to its end.
    pub(super) fn follow(&self, mut pipe: impl Read) {
        let mut buffer = vec![0; 64 << 10];
        let mut after_return = false;
        while let Ok(read @ 1..) = pipe.read(&mut buffer) {
            self.write(&lines(&buffer[..read], &mut after_return));
        }
    }
}

/// Clients end the lines of a message by a carriage return alone, so that CloudWatch takes it for one: here they are lines.
fn lines(bytes: &[u8], after_return: &mut bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'\r' => out.push(b'\n'),
            b'\n' if *after_return => {}
            other => out.push(*other),
        }
        *after_return = *byte == b'\r';
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_is_kept_and_lines_are_lines() {
        let log = Log::new(std::sync::Arc::new(|_: &[u8]| {}));
        log.write(&vec![b'a'; 10_000]);
        log.line("end");
        assert_eq!(log.tail().len(), TAIL);
        assert!(log.tail().ends_with(b"aend\n"));
        assert_eq!(lines(b"a\rb\r\nc\n", &mut false), b"a\nb\nc\n");
    }
}
