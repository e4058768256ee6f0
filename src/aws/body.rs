//! A file as the body of a request: read piece by piece, as often as attempts need it, with its progress told.

use std::fs::File;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::report::{Event, EventSender};

/// Bytes that are read at once. Also what memory an upload takes, beside what the network layer holds.
const PIECE: usize = 128 << 10;

/// How far a body has been sent.
#[derive(Debug)]
pub struct Progress {
    events: EventSender,
    task: u64,
    /// The furthest that any attempt came: what is sent again is not told again.
    furthest: AtomicU64,
    /// Pieces handed to the network, over all attempts: stands still when nothing moves.
    moved: AtomicU64,
}

impl Progress {
    /// Progress that is told as bytes of `task`.
    pub fn new(events: EventSender, task: u64) -> Arc<Self> {
        Arc::new(Self { events, task, furthest: AtomicU64::new(0), moved: AtomicU64::new(0) })
    }

    /// A number that changes whenever something has moved.
    pub fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    /// Nothing is left to send.
    pub fn finished(&self, length: u64) {
        self.reached(length);
    }

    pub(crate) fn reached(&self, offset: u64) {
        self.moved.fetch_add(1, Ordering::Relaxed);
        let before = self.furthest.fetch_max(offset, Ordering::Relaxed);
        if offset > before {
            self.events.send(Event::Advance { id: self.task, by: offset - before });
        }
    }
}

/// The answer of a request, or nothing when no byte moved for as long as `silence`.
pub(crate) async fn while_moving<T>(
    request: impl Future<Output = T>,
    progress: &Progress,
    silence: Duration,
) -> Option<T> {
    let mut request = std::pin::pin!(request);
    let (mut moved, mut since) = (progress.moved(), Instant::now());
    loop {
        match tokio::time::timeout(silence / 8, &mut request).await {
            Ok(answer) => return Some(answer),
            Err(_) if progress.moved() != moved => (moved, since) = (progress.moved(), Instant::now()),
            Err(_) if since.elapsed() >= silence => return None,
            Err(_) => {}
        }
    }
}

/// A body of the first `length` bytes of a file that stays open, so that every attempt sends the same file, whatever has
/// its name by then.
pub fn of_file(file: Arc<File>, length: u64, progress: Arc<Progress>) -> SdkBody {
    of_part(file, 0, length, progress)
}

/// The same of `length` bytes from `start` on.
pub(crate) fn of_part(file: Arc<File>, start: u64, length: u64, progress: Arc<Progress>) -> SdkBody {
    SdkBody::retryable(move || {
        let (file, progress) = (Arc::clone(&file), Arc::clone(&progress));
        SdkBody::from_body_1_x(FileBody { file, start, offset: 0, length, progress })
    })
}

struct FileBody {
    file: Arc<File>,
    /// Where its first byte is in the file.
    start: u64,
    offset: u64,
    length: u64,
    progress: Arc<Progress>,
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    // Reads while it is polled: a local file that was written a moment ago answers faster than another thread would.
    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let left = self.length - self.offset;
        if left == 0 {
            return Poll::Ready(None);
        }
        let mut piece = vec![0; usize::try_from(left).unwrap_or(PIECE).min(PIECE)];
        match read_at(&self.file, &mut piece, self.start + self.offset) {
            Ok(0) => Poll::Ready(Some(Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("the file ended at byte {} of {}", self.offset, self.length),
            )))),
            Ok(read) => {
                piece.truncate(read);
                self.offset += read as u64;
                self.progress.reached(self.offset);
                Poll::Ready(Some(Ok(Frame::data(Bytes::from(piece)))))
            }
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.offset == self.length
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length - self.offset)
    }
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::report;

    #[test]
    fn each_attempt_sends_the_whole_file_and_progress_never_counts_twice() {
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..300_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
        file.write_all(&bytes).unwrap();
        let heard = report::testing::Recorder::default();
        report::relay(&heard, |events| {
            let progress = Progress::new(events, 7);
            let body = of_file(Arc::new(file), 300_000, Arc::clone(&progress));
            for _ in 0..2 {
                let sent = read(body.try_clone().unwrap());
                assert!(sent.unwrap() == bytes);
            }
            assert_eq!(progress.moved(), 6);
        });
        let advanced: u64 =
            heard.events().iter().map(|e| if let Event::Advance { by, .. } = e { *by } else { 0 }).sum();
        assert_eq!(advanced, 300_000);
    }

    #[test]
    fn a_file_that_got_shorter_is_an_error() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"short").unwrap();
        report::relay(&report::Silent, |events| {
            let body = of_file(Arc::new(file), 10, Progress::new(events, 1));
            assert!(read(body).unwrap_err().to_string().contains("byte 5 of 10"));
        });
    }

    fn read(body: SdkBody) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        use http_body_util::BodyExt as _;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Ok(runtime.block_on(body.collect())?.to_bytes().to_vec())
    }
}
