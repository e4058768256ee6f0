//! A blob on its way from one registry to another: never on disk, never whole in memory, and never longer or other than it
//! was said to be.

use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::network::Answer;
use crate::aws::body::Progress;
use crate::aws::problem;
use crate::image::Descriptor;
use crate::store::{Digest, Hasher};

/// Bytes that are read at once of what is not a network.
const PIECE: usize = 128 << 10;

/// Where the bytes come from.
enum From {
    Registry(SdkBody),
    Reader(Box<dyn Read + Send>),
}

/// A body that ends in an error when it is not the blob that it should be, so that the request it is in fails.
struct Relayed {
    from: std::sync::Mutex<From>,
    hasher: Option<Hasher>,
    digest: Digest,
    sent: u64,
    length: u64,
    progress: Arc<Progress>,
}

/// The body of an answer, for another request.
pub(super) fn of_answer(answer: Answer, descriptor: &Descriptor, progress: Arc<Progress>) -> SdkBody {
    relayed(From::Registry(answer.into_body()), descriptor, progress)
}

/// What a reader gives.
pub(super) fn of_reader(reader: Box<dyn Read + Send>, descriptor: &Descriptor, progress: Arc<Progress>) -> SdkBody {
    relayed(From::Reader(reader), descriptor, progress)
}

fn relayed(from: From, descriptor: &Descriptor, progress: Arc<Progress>) -> SdkBody {
    SdkBody::from_body_1_x(Relayed {
        from: std::sync::Mutex::new(from),
        hasher: Some(descriptor.digest.hasher()),
        digest: descriptor.digest.clone(),
        sent: 0,
        length: descriptor.size,
        progress,
    })
}

impl Relayed {
    fn next(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let from = self.from.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        match from {
            From::Registry(body) => match Pin::new(body).poll_frame(context) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(None) => Poll::Ready(None),
                Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(io::Error::other(problem::chain(&*error))))),
                Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(frame.into_data().unwrap_or_default()))),
            },
            // Reads while it is polled, as `aws::body` does: what is read is a file of this machine.
            From::Reader(reader) => {
                let mut piece = vec![0; PIECE];
                Poll::Ready(match reader.read(&mut piece) {
                    Ok(0) => None,
                    Ok(read) => {
                        piece.truncate(read);
                        Some(Ok(Bytes::from(piece)))
                    }
                    Err(error) => Some(Err(error)),
                })
            }
        }
    }

    fn wrong(&self, what: &str) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, format!("the blob {} {what}", self.digest))
    }

    /// Takes a piece in. The last one is given on only when the whole has its digest.
    fn taken(&mut self, piece: Bytes) -> io::Result<Bytes> {
        self.sent += piece.len() as u64;
        if self.sent > self.length {
            return Err(self.wrong("is longer than it was said to be"));
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&piece);
        }
        if self.sent == self.length {
            let actual = self.hasher.take().map(Hasher::finish);
            if actual.is_some_and(|actual| actual != self.digest) {
                return Err(self.wrong("does not have its digest where it comes from"));
            }
        }
        self.progress.reached(self.sent);
        Ok(piece)
    }
}

impl Body for Relayed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.sent == self.length {
            return Poll::Ready(None);
        }
        match self.next(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => Poll::Ready(Some(Err(self.wrong("ends too early")))),
            Poll::Ready(Some(piece)) => Poll::Ready(Some(piece.and_then(|piece| self.taken(piece)).map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.sent == self.length
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length - self.sent)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::report::EventSender;
    use crate::store::sha256;

    #[test]
    fn only_the_blob_that_was_meant_is_sent_to_its_end() {
        let sent = |bytes: &'static [u8], said: &[u8]| {
            let (media_type, digest) = ("x".to_owned(), sha256(said));
            let descriptor = Descriptor { media_type, digest, size: said.len() as u64 };
            let body = of_reader(Box::new(bytes), &descriptor, Progress::new(EventSender::nowhere(), 1));
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(body.collect()).map(|all| all.to_bytes().to_vec()).map_err(|e| e.to_string())
        };
        assert_eq!(sent(b"abc", b"abc").unwrap(), b"abc");
        assert!(sent(b"abd", b"abc").unwrap_err().contains("does not have its digest"));
        assert!(sent(b"abcd", b"abc").unwrap_err().contains("longer"));
        assert!(sent(b"ab", b"abc").unwrap_err().contains("too early"));
        assert_eq!(sent(b"", b"").unwrap(), b"");
    }
}
