//! Walks the tar of a layer within bounds. Names and attributes that do not fit into a header come as members before the one
//! that they are of, and are held in memory: a layer may not bring as much of them as it likes.

use std::cell::Cell;
use std::io::{self, BufReader, Read};
use std::rc::Rc;

/// No layer has more entries.
pub(super) const MAX_ENTRIES: usize = 1_000_000;
/// Bytes of headers, long names and attributes before one entry.
const MAX_HEADERS: u64 = 1 << 20;
const BLOCK: u64 = 512;

/// An entry of a layer.
pub(super) type Member<'a, R> = tar::Entry<'a, Bounded<R>>;

/// Shows every entry of a tar to `visit`, in their order.
///
/// # Errors
/// When it is no tar, ends too early, has too many entries or too long names, or `visit` fails.
pub(super) fn each<R: Read>(tar: R, mut visit: impl FnMut(&mut Member<'_, R>) -> io::Result<()>) -> io::Result<()> {
    let (read, end) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(MAX_HEADERS)));
    let inner = BufReader::with_capacity(256 << 10, tar);
    let mut archive = tar::Archive::new(Bounded { inner, read: Rc::clone(&read), end: Rc::clone(&end) });
    for (count, entry) in archive.entries()?.enumerate() {
        let mut entry = entry.map_err(printable)?;
        if count >= MAX_ENTRIES {
            return Err(io::Error::other(format!("it has more than {MAX_ENTRIES} entries")));
        }
        // A sparse file is larger than what of it lies in the archive.
        let kind = entry.header().entry_type();
        let stored = if kind.is_gnu_sparse() { entry.header().entry_size().map_err(printable)? } else { entry.size() };
        end.set(u64::MAX);
        visit(&mut entry)?;
        // What was not looked at is read over on the way to the next one.
        let rest = entry.raw_file_position().saturating_add(stored).max(read.get());
        end.set(rest.saturating_add(BLOCK + MAX_HEADERS));
    }
    Ok(())
}

/// An error of the tar library, which puts names of the archive into its own as they are: a terminal is not to obey them.
fn printable(error: io::Error) -> io::Error {
    let text = error.to_string();
    let kept = |c: char| matches!(c, '\'' | '"' | '\\');
    if text.chars().all(|c| kept(c) || c.escape_debug().len() == 1) {
        return error;
    }
    let mut out = String::new();
    for c in text.chars() {
        if kept(c) { out.push(c) } else { out.extend(c.escape_debug()) }
    }
    io::Error::new(error.kind(), out)
}

/// Reads up to a place that may be moved.
pub(super) struct Bounded<R> {
    inner: BufReader<R>,
    read: Rc<Cell<u64>>,
    end: Rc<Cell<u64>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.read.set(self.read.get() + read as u64);
        if self.read.get() > self.end.get() {
            return Err(io::Error::other(format!(
                "it has more than {MAX_HEADERS} bytes of names and attributes of one file"
            )));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A member of any kind, and zeros without end after it.
    fn announced(kind: tar::EntryType, size: u64) -> impl Read {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        header.as_old_mut().name[..1].copy_from_slice(b"x");
        header.set_cksum();
        io::Cursor::new(header.as_bytes().to_vec()).chain(io::repeat(0))
    }

    #[test]
    fn names_and_attributes_without_end_are_not_held() {
        use tar::EntryType as T;
        for kind in [T::GNULongName, T::GNULongLink, T::XHeader] {
            let error = each(announced(kind, 1 << 40), |_| Ok(())).unwrap_err().to_string();
            assert!(error.contains("more than 1048576 bytes of names"), "{kind:?}: {error}");
        }
    }

    #[test]
    fn large_files_are_read_over() {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(3 << 20);
        for name in ["a", "b"] {
            builder.append_data(&mut header, name, io::repeat(1).take(3 << 20)).unwrap();
        }
        let bytes = builder.into_inner().unwrap();
        for taken in [0, 1, 3 << 20] {
            let mut seen = Vec::new();
            each(bytes.as_slice(), |entry| {
                seen.push(String::from_utf8_lossy(&entry.path_bytes()).into_owned());
                io::copy(&mut entry.take(taken), &mut io::sink()).map(drop)
            })
            .unwrap();
            assert_eq!(seen, ["a", "b"]);
        }
    }
}
