//! What a function logs: passed on as it comes, and the last of it kept.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// `X-Amz-Log-Result` has so many bytes.
const TAIL: usize = 4_096;

/// Takes what functions log; may be called from many threads at once.
pub type Sink = dyn Fn(&[u8]) + Send + Sync;

/// The log of one execution environment.
pub(super) struct Log {
    sink: std::sync::Arc<Sink>,
    tail: Mutex<VecDeque<u8>>,
    /// Held while bytes go from a pipe to the sink.
    passing: Mutex<()>,
}

impl Log {
    pub(super) fn new(sink: std::sync::Arc<Sink>) -> Self {
        Self { sink, tail: Mutex::default(), passing: Mutex::default() }
    }

    /// Takes bytes of the function.
    pub(super) fn write(&self, bytes: &[u8]) {
        (self.sink)(bytes);
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend(&bytes[bytes.len().saturating_sub(TAIL)..]);
        let surplus = tail.len().saturating_sub(TAIL);
        tail.drain(..surplus);
    }

    /// An event begins: what was logged before is no part of its log.
    pub(super) fn begin(&self) {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).clear();
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
    pub(super) fn follow(&self, mut pipe: impl Pipe) {
        let mut buffer = vec![0; 64 << 10];
        let mut after_return = false;
        loop {
            pipe.wait();
            // What has left the pipe has been passed on when this is free.
            let passing = self.passing();
            let Ok(read @ 1..) = pipe.read(&mut buffer) else { return };
            self.write(&lines(&buffer[..read], &mut after_return));
            drop(passing);
        }
    }

    fn passing(&self) -> MutexGuard<'_, ()> {
        self.passing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until all that is in these pipes was passed on, for a second at most: a process may go on writing.
    pub(super) fn drain(&self, pipes: &[Watched]) {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(1) {
            let passing = self.passing();
            if pipes.iter().all(Watched::is_empty) {
                return;
            }
            drop(passing);
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// A pipe that is read from.
pub(super) trait Pipe: Read {
    /// Waits until there is something to read, or its end.
    fn wait(&self);
}

/// A pipe that another thread reads from.
#[derive(Debug)]
pub(super) struct Watched {
    #[cfg(unix)]
    pipe: std::os::fd::OwnedFd,
}

#[cfg(unix)]
mod unix {
    use std::io::Read;
    use std::os::fd::{AsFd, BorrowedFd};

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::{Pipe, Watched};

    impl<T: Read + AsFd> Pipe for T {
        fn wait(&self) {
            has_some(self.as_fd(), PollTimeout::NONE);
        }
    }

    impl Watched {
        /// Looks at a pipe without taking anything from it.
        pub(in crate::invoke) fn new(pipe: &impl AsFd) -> Option<Self> {
            Some(Self { pipe: pipe.as_fd().try_clone_to_owned().ok()? })
        }

        pub(super) fn is_empty(&self) -> bool {
            !has_some(self.pipe.as_fd(), PollTimeout::ZERO)
        }
    }

    /// Whether there is something to read.
    fn has_some(pipe: BorrowedFd<'_>, timeout: PollTimeout) -> bool {
        let mut polled = [PollFd::new(pipe, PollFlags::POLLIN)];
        let _ = poll(&mut polled, timeout);
        polled[0].revents().is_some_and(|events| events.contains(PollFlags::POLLIN))
    }
}

#[cfg(not(unix))]
mod elsewhere {
    use std::io::Read;

    use super::{Pipe, Watched};

    impl<T: Read> Pipe for T {
        fn wait(&self) {}
    }

    impl Watched {
        pub(in crate::invoke) fn new<T>(_pipe: &T) -> Option<Self> {
            None
        }

        pub(super) fn is_empty(&self) -> bool {
            true
        }
    }
}

/// Clients end the lines of a message by a carriage return alone, so that it is taken for one: here they are lines.
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
