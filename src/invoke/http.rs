//! As much of HTTP/1.1 as Lambda's own endpoints need: heads are read by `httparse`, bodies are bounded, chunks may have
//! trailers, connections are kept. Threads instead of tasks: there are never more than some dozens of connections.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Heads with more bytes than this are refused: error traces go through a header (`Lambda-Runtime-Function-XRay-Error-Cause`),
/// for which clients keep below 1 MiB.
const MAX_HEAD: usize = (1 << 20) + (64 << 10);
/// Headers of one head.
const MAX_HEADERS: usize = 128;
/// Connections that are served at once.
const MAX_CONNECTIONS: usize = 256;
/// Whoever reads nothing for so long is given up.
const PATIENCE: Duration = Duration::from_secs(300);

/// A request without its body.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) method: String,
    /// The path, without what follows `?`.
    pub(super) path: String,
    headers: Vec<(String, String)>,
}

impl Head {
    /// A header by its name in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// The body of a request.
#[derive(Debug, Default)]
pub(super) struct Body {
    /// Its bytes, at most as many as were wanted.
    pub(super) bytes: Vec<u8>,
    /// How many there were.
    pub(super) length: u64,
    trailers: Vec<(String, String)>,
}

impl Body {
    /// A header that came after the body, by its name in lower case.
    pub(super) fn trailer(&self, name: &str) -> Option<&str> {
        find(&self.trailers, name)
    }
}

/// A connection of a client.
pub(super) struct Connection {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

fn bad(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.to_owned())
}

impl Connection {
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let writer = stream.try_clone()?;
        Ok(Self { reader: BufReader::with_capacity(64 << 10, stream), writer })
    }

    /// The next request; nothing when the client has closed the connection.
    fn head(&mut self) -> io::Result<Option<Head>> {
        let mut text = Vec::new();
        loop {
            let before = text.len();
            let room = (MAX_HEAD - before) as u64;
            if self.reader.by_ref().take(room).read_until(b'\n', &mut text)? == 0 {
                return if text.is_empty() { Ok(None) } else { Err(bad("the head is cut off, or too long")) };
            }
            let line = &text[before..];
            if line == b"\r\n" || line == b"\n" {
                if before == 0 {
                    text.clear(); // a line break between requests
                    continue;
                }
                break;
            }
        }
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        request.parse(&text).map_err(|e| bad(&e.to_string()))?;
        let target = request.path.unwrap_or("/");
        Ok(Some(Head {
            method: request.method.unwrap_or_default().to_owned(),
            path: target.split('?').next().unwrap_or(target).to_owned(),
            headers: owned(request.headers),
        }))
    }

    /// The body of the request, of which at most `limit` bytes are kept. What is too large is read to its end, so that whoever
    /// sends it gets an answer.
    pub(super) fn body(&mut self, head: &Head, limit: u64) -> io::Result<Body> {
        let mut bytes = Vec::new();
        let body = self.body_to(head, limit, &mut |part| bytes.extend_from_slice(part))?;
        Ok(Body { bytes, ..body })
    }

    /// The same, and its first `limit` bytes are handed over as they come instead of kept.
    pub(super) fn body_to(&mut self, head: &Head, limit: u64, each: &mut dyn FnMut(&[u8])) -> io::Result<Body> {
        if head.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
            self.writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let mut body = Body::default();
        match (head.header("transfer-encoding"), head.header("content-length")) {
            (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") => self.chunks(&mut body, limit, each)?,
            (Some(_), _) => return Err(bad("it has another coding than chunks, or a length beside one")),
            (None, Some(length)) => {
                let length = length.trim().parse().map_err(|_| bad("its length is none"))?;
                self.take(&mut body, length, limit, each)?;
            }
            (None, None) => {}
        }
        Ok(body)
    }

    fn take(&mut self, body: &mut Body, length: u64, limit: u64, each: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let mut wanted = length.min(limit.saturating_sub(body.length));
        body.length = body.length.saturating_add(length);
        let rest = length - wanted;
        while wanted > 0 {
            let there = self.reader.fill_buf()?;
            let part = &there[..there.len().min(usize::try_from(wanted).unwrap_or(usize::MAX))];
            if part.is_empty() {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            each(part);
            let read = part.len();
            self.reader.consume(read);
            wanted -= read as u64;
        }
        let drained = io::copy(&mut self.reader.by_ref().take(rest), &mut io::sink())?;
        if drained == rest { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
    }

    fn chunks(&mut self, body: &mut Body, limit: u64, each: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        loop {
            let line = self.line()?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16).map_err(|_| bad("a chunk has no size"))?;
            if size == 0 {
                break;
            }
            self.take(body, size, limit, each)?;
            if !self.line()?.is_empty() {
                return Err(bad("a chunk is longer than it says"));
            }
        }
        let mut text = Vec::new();
        loop {
            let before = text.len();
            let room = (MAX_HEAD - before) as u64;
            if self.reader.by_ref().take(room).read_until(b'\n', &mut text)? == 0 {
                return Err(bad("the trailers are cut off, or too long"));
            }
            if matches!(&text[before..], b"\r\n" | b"\n") {
                break;
            }
        }
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        match httparse::parse_headers(&text, &mut headers) {
            Ok(httparse::Status::Complete((_, headers))) => body.trailers = owned(headers),
            Ok(httparse::Status::Partial) => return Err(bad("the trailers are cut off")),
            Err(error) => return Err(bad(&error.to_string())),
        }
        Ok(())
    }

    /// A short line, without its end.
    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.reader.by_ref().take(4_096).read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Err(bad("a line is cut off"));
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        String::from_utf8(line).map_err(|_| bad("a line is not UTF-8"))
    }

    /// Sends an answer.
    pub(super) fn answer(&mut self, status: u16, headers: &[(&str, &str)], body: &[u8]) -> io::Result<()> {
        let mut text = head_of(status, headers);
        if status != 204 {
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(body);
        self.writer.write_all(&bytes)
    }

    /// Begins an answer that comes in parts: each by [`Self::part`], and an empty one ends it.
    pub(super) fn begin(&mut self, status: u16, headers: &[(&str, &str)]) -> io::Result<()> {
        let text = head_of(status, headers) + "Transfer-Encoding: chunked\r\n\r\n";
        self.writer.write_all(text.as_bytes())
    }

    pub(super) fn part(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
        chunk.extend_from_slice(bytes);
        chunk.extend_from_slice(b"\r\n");
        self.writer.write_all(&chunk)
    }
}

fn head_of(status: u16, headers: &[(&str, &str)]) -> String {
    let mut text = format!("HTTP/1.1 {status} {}\r\n", reason(status));
    for (name, value) in headers {
        // What comes from elsewhere may not begin another header.
        let value: String = value.chars().filter(|c| !c.is_control()).collect();
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text
}

fn owned(headers: &[httparse::Header<'_>]) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    headers.iter().map(|header| (header.name.to_ascii_lowercase(), text(header.value))).collect()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        204 => "No Content",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        410 => "Gone",
        413 => "Payload Too Large",
        _ => "Error",
    }
}

/// What answers requests. An error closes the connection.
pub(super) type Handler = dyn Fn(&Head, &mut Connection) -> io::Result<()> + Send + Sync;

/// A server on an address of this machine, until it is dropped.
pub(super) struct Server {
    address: SocketAddr,
    shared: Arc<Open>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Open {
    is_closed: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

impl Open {
    /// Takes a stream in, if there is room; those that are closed make some.
    fn admit(&self, stream: &TcpStream) -> bool {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_closed.load(Ordering::Acquire) || streams.len() >= MAX_CONNECTIONS {
            return false;
        }
        stream.try_clone().is_ok_and(|clone| {
            streams.push(clone);
            true
        })
    }

    fn leave(&self, peer: Option<SocketAddr>) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.retain(|stream| stream.peer_addr().ok() != peer);
    }
}

impl Server {
    /// Listens, and answers each request by `handler`, on threads of its own.
    pub(super) fn start(address: &str, handler: Arc<Handler>) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Open::default());
        let open = Arc::clone(&shared);
        let acceptor = std::thread::Builder::new().name("accept".to_owned()).spawn(move || {
            for stream in listener.incoming() {
                if open.is_closed.load(Ordering::Acquire) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                if !open.admit(&stream) {
                    continue;
                }
                let (handler, here) = (Arc::clone(&handler), Arc::clone(&open));
                let peer = stream.peer_addr().ok();
                let serve = move || {
                    let _ = serve(stream, &*handler);
                    here.leave(peer);
                };
                if std::thread::Builder::new().name("serve".to_owned()).spawn(serve).is_err() {
                    open.leave(peer);
                }
            }
        })?;
        Ok(Self { address, shared, acceptor: Some(acceptor) })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

fn serve(stream: TcpStream, handler: &Handler) -> io::Result<()> {
    let mut connection = Connection::new(stream)?;
    loop {
        match connection.head() {
            Ok(Some(head)) => {
                handler(&head, &mut connection)?;
                if head.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
                    return Ok(());
                }
            }
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::InvalidData => return connection.answer(400, &[], b""),
            Err(error) => return Err(error),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.is_closed.store(true, Ordering::Release);
        for stream in self.shared.streams.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        // Wakes up whoever accepts.
        let here = SocketAddr::new(
            if self.address.ip().is_unspecified() { std::net::Ipv4Addr::LOCALHOST.into() } else { self.address.ip() },
            self.address.port(),
        );
        drop(TcpStream::connect_timeout(&here, Duration::from_secs(1)));
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes back for these bytes, of a server that says what it has got.
    fn said(request: &[u8], limit: u64) -> String {
        let handler = move |head: &Head, connection: &mut Connection| {
            let body = connection.body(head, limit)?;
            let trailer = body.trailer("x-after").unwrap_or("-").to_owned();
            let text = format!("{} {} {} {trailer}", head.method, head.path, body.length);
            connection.answer(
                200,
                &[("X-Kept", &body.bytes.len().to_string()), ("X-Bad", "a\r\nb: c")],
                text.as_bytes(),
            )
        };
        let server = Server::start("127.0.0.1:0", Arc::new(handler)).unwrap();
        let mut stream = TcpStream::connect(server.address()).unwrap();
        let _ = stream.write_all(request).and_then(|()| stream.shutdown(std::net::Shutdown::Write));
        let mut out = Vec::new();
        // A server that ends the connection with bytes unread resets it.
        let _ = stream.read_to_end(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn bodies_come_whole_or_in_chunks_and_are_bounded() {
        let whole = said(b"POST /a?b HTTP/1.1\r\nContent-Length: 5\r\n\r\nhelloGET /c HTTP/1.1\r\n\r\n", 9);
        assert!(
            whole.contains("POST /a 5 -") && whole.contains("GET /c 0 -") && whole.contains("X-Bad: ab: c\r\n"),
            "{whole}"
        );
        let chunks = said(
            b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-After: yes\r\n\r\n",
            4,
        );
        assert!(chunks.contains("POST /a 5 yes") && chunks.contains("X-Kept: 4\r\n"), "{chunks}");
        let waited = said(b"POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx", 9);
        assert!(waited.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK"), "{waited}");
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

        /// Whatever comes, it is answered or the connection ends.
        #[test]
        fn any_bytes_come_to_an_end(
            method in "(GET|POST|G\\x00T|)", headers in "((content-length|transfer-encoding|expect|x): (5|-1|chunked|100-continue|18446744073709551615)\r\n){0,3}",
            body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40),
        ) {
            let mut bytes = format!("{method} / HTTP/1.1\r\n{headers}\r\n").into_bytes();
            bytes.extend(body);
            said(&bytes, 9);
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for bytes in [&b"\x16\x03\x01\r\n\r\n"[..], b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n"] {
            assert!(said(bytes, 9).starts_with("HTTP/1.1 400"), "{bytes:?}");
        }
        for bytes in [
            &b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc"[..],
            b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n0\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        ] {
            assert!(!said(bytes, 9).contains("200 OK"), "{bytes:?}");
        }
    }
}
