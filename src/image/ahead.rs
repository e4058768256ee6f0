//! Inflating on a thread of its own, while what was inflated is hashed and written: together they take as long as the slower one.

use std::io::{self, BufWriter, Read, Write};
use std::sync::mpsc::{self, Receiver, SyncSender};

/// Bytes that are handed over at once.
const PIECE: usize = 256 << 10;
/// Pieces that wait.
const WAITING: usize = 8;

/// Runs `write` on another thread, and `read` on this one with what it writes.
///
/// # Errors
/// Those of `write` first: what `read` makes of an end that comes too early is no news. That `read` has ended is no error of `write`.
pub(super) fn ahead<T>(
    write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send,
    read: impl FnOnce(&mut dyn Read) -> io::Result<T>,
) -> io::Result<T> {
    let (sender, receiver) = mpsc::sync_channel(WAITING);
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || {
            let mut out = BufWriter::with_capacity(PIECE, Pieces(sender));
            write(&mut out).and_then(|()| out.flush())
        });
        let mut reader = Joined { receiver, piece: Vec::new(), at: 0 };
        let done = read(&mut reader);
        drop(reader);
        match writer.join() {
            Ok(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            Ok(_) => done,
            Err(_) => Err(io::Error::other("the thread that inflates has ended")),
        }
    })
}

struct Pieces(SyncSender<Vec<u8>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Joined {
    receiver: Receiver<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
}

impl Read for Joined {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.piece.len() {
            let Ok(piece) = self.receiver.recv() else { return Ok(0) };
            (self.piece, self.at) = (piece, 0);
        }
        let read = buffer.len().min(self.piece.len() - self.at);
        buffer[..read].copy_from_slice(&self.piece[self.at..self.at + read]);
        self.at += read;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_errors_are_those_that_came_first() {
        let long = vec![7; 10 * PIECE + 1];
        let all = |reader: &mut dyn Read| {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).map(|_| bytes)
        };
        assert_eq!(ahead(|out| out.write_all(&long), all).unwrap(), long);
        let failing = ahead(|out| out.write_all(b"x").and_then(|()| Err(io::Error::other("damaged"))), all);
        assert_eq!(failing.unwrap_err().to_string(), "damaged");
        // Whoever reads no more need not wait until all is written.
        assert!(ahead(|out| io::copy(&mut io::repeat(0), out).map(drop), |_| Ok(())).is_ok());
        let refused =
            ahead(|out| io::copy(&mut io::repeat(0), out).map(drop), |_| Err::<(), _>(io::Error::other("no")));
        assert_eq!(refused.unwrap_err().to_string(), "no");
    }
}
