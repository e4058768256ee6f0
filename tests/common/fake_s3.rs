//! An S3 that misbehaves on request. What it keeps, it keeps as S3 does; a [`Fault`] replaces an answer.
//!
//! Sources, all in the Amazon S3 documentation: `PutObject`, `HeadObject` and `GetBucketVersioning` of the API reference
//! for what is kept and answered, "Error responses" for codes and their status, "How to prevent object overwrites with
//! conditional writes" for 409 and 412, "Checking object integrity" for checksums.

use std::collections::HashMap;
use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use base64::Engine as _;
use sha2::Digest as _;

use super::faults::{Request, Rules, head, listen, reset};

/// An object.
#[derive(Debug, Clone)]
pub struct Object {
    pub bytes: Vec<u8>,
    pub metadata: Vec<(String, String)>,
    pub version: String,
}

/// What happens instead of an answer.
#[derive(Debug, Clone)]
pub enum Fault {
    /// An error with this status and code, in a document.
    Error(u16, &'static str),
    /// An error whose headers are these, too.
    ErrorWith(u16, &'static str, &'static [(&'static str, &'static str)]),
    /// A status without a body, as every answer to HEAD.
    Bare(u16),
    /// An answer with this body, whatever it is.
    Body(u16, &'static str),
    /// An error whose body never ends.
    Endless(u16),
    /// The object is stored, and the connection reset before the answer.
    LostAnswer,
    /// The connection is reset after so many bytes of the body.
    ResetAfter(usize),
    /// Nothing more is read after so many bytes of the body, and nothing is said.
    StopAfter(usize),
    /// The answer begins, and does not go on.
    StopAnswering,
    /// It is stored, and the answer has the checksum of something else.
    WrongChecksum,
    /// It is said to be stored, without a checksum, and is not.
    Lie,
    /// Somebody else is faster, with these bytes; the answer is 412.
    Overtaken(&'static [u8]),
}

#[derive(Debug, Default)]
struct State {
    /// `Enabled`, `Suspended`, or nothing.
    versioning: &'static str,
    /// The only region that signatures may be for.
    region: Option<&'static str>,
    /// Keeps no checksums, as some stores do.
    forgets_checksums: bool,
    objects: HashMap<String, Vec<Object>>,
    rules: Rules<Fault>,
    requests: Vec<Request>,
}

/// The server; it ends with the test's process.
#[derive(Clone)]
pub struct Fake {
    pub port: u16,
    state: Arc<Mutex<State>>,
    arrived: Arc<Condvar>,
}

impl Fake {
    /// A server with one bucket, `box`, that keeps versions.
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State { versioning: "Enabled", ..State::default() }));
        let arrived = Arc::<Condvar>::default();
        let own = (Arc::clone(&state), Arc::clone(&arrived));
        let port = listen(move |port, stream| {
            Self { port, state: Arc::clone(&own.0), arrived: Arc::clone(&own.1) }.serve(stream);
        });
        Self { port, state, arrived }
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn versioning(&self, state: &'static str) -> &Self {
        self.state.lock().unwrap().versioning = state;
        self
    }

    pub fn only_region(&self, region: &'static str) -> &Self {
        self.state.lock().unwrap().region = Some(region);
        self
    }

    pub fn forgets_checksums(&self) -> &Self {
        self.state.lock().unwrap().forgets_checksums = true;
        self
    }

    /// The next `times` requests of this method whose target has `part` meet the fault.
    pub fn fail(&self, method: &'static str, part: &str, times: usize, fault: Fault) -> &Self {
        self.state.lock().unwrap().rules.add(method, part, times, fault);
        self
    }

    /// An object from before the bucket kept versions.
    pub fn store_unversioned(&self, key: &str, bytes: &[u8]) {
        let object = Object { bytes: bytes.to_vec(), metadata: Vec::new(), version: "null".to_owned() };
        self.state.lock().unwrap().objects.insert(key.to_owned(), vec![object]);
    }

    /// No faults from now on.
    pub fn mend(&self) {
        self.state.lock().unwrap().rules.clear();
    }

    pub fn requests(&self, method: &str) -> Vec<Request> {
        self.state.lock().unwrap().requests.iter().filter(|r| r.method == method).cloned().collect()
    }

    /// Versions of the object under a key.
    pub fn versions(&self, key: &str) -> Vec<Object> {
        self.state.lock().unwrap().objects.get(key).cloned().unwrap_or_default()
    }

    pub fn keys(&self) -> Vec<String> {
        self.state.lock().unwrap().objects.keys().cloned().collect()
    }

    /// Waits for a request of this method.
    pub fn wait_for(&self, method: &str) {
        let state = self.state.lock().unwrap();
        let there = |s: &mut State| !s.requests.iter().any(|r| r.method == method);
        let (_state, timeout) = self.arrived.wait_timeout_while(state, Duration::from_secs(20), there).unwrap();
        assert!(!timeout.timed_out(), "no {method} came");
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while let Some(mut request) = head(&mut reader) {
            if request.header("expect") == "100-continue" {
                let _ = stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            let fault = self.state.lock().unwrap().rules.of(&request.method, &request.target);
            let length: usize = request.header("content-length").parse().unwrap_or(0);
            let wanted = match fault {
                Some(Fault::ResetAfter(n) | Fault::StopAfter(n)) => n.min(length),
                _ => length,
            };
            let mut body = vec![0; wanted];
            if reader.read_exact(&mut body).is_err() {
                return;
            }
            request.body = length;
            {
                let mut state = self.state.lock().unwrap();
                state.requests.push(request.clone());
                self.arrived.notify_all();
            }
            match fault {
                Some(Fault::ResetAfter(_)) => return reset(stream),
                Some(Fault::StopAfter(_)) => return std::thread::sleep(Duration::from_secs(120)),
                Some(Fault::StopAnswering) => {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n<half");
                    return std::thread::sleep(Duration::from_secs(120));
                }
                Some(Fault::Endless(status)) => {
                    let _ = write!(stream, "HTTP/1.1 {status} X\r\nTransfer-Encoding: chunked\r\n\r\n");
                    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
                    while stream.write_all(chunk.as_bytes()).is_ok() {}
                    return;
                }
                Some(Fault::LostAnswer) => {
                    self.answer(&request, body, None);
                    return reset(stream);
                }
                other => {
                    let answer = self.answer(&request, body, other);
                    if stream.write_all(&answer.bytes(&request.method)).is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn answer(&self, request: &Request, body: Vec<u8>, fault: Option<Fault>) -> Answer {
        let mut state = self.state.lock().unwrap();
        if let Some(answer) = state.elsewhere(request) {
            return answer;
        }
        let key = key(&request.target);
        match fault {
            Some(Fault::Error(status, code)) => return Answer::error(status, code),
            Some(Fault::ErrorWith(status, code, headers)) => {
                let mut answer = Answer::error(status, code);
                answer.headers.extend(headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
                return answer;
            }
            Some(Fault::Bare(status)) => return Answer { status, ..Answer::default() },
            Some(Fault::Body(status, body)) => return Answer { status, body: body.to_owned(), ..Answer::default() },
            Some(Fault::Lie) => return Answer { status: 200, ..Answer::default() },
            Some(Fault::Overtaken(other)) => {
                store(&mut state, &key, other.to_vec(), Vec::new());
                return Answer::error(412, "PreconditionFailed");
            }
            Some(Fault::WrongChecksum) => {
                let mut answer = state.put(request, &key, body);
                answer.headers.retain(|(name, _)| name != CHECKSUM);
                answer.headers.push((CHECKSUM.to_owned(), digest(b"something else")));
                return answer;
            }
            _ => {}
        }
        match request.method.as_str() {
            "GET" if request.target.contains("?versioning") => state.versioning(),
            "PUT" => state.put(request, &key, body),
            "HEAD" => state.head(request, &key),
            _ => Answer::error(501, "NotImplemented"),
        }
    }
}

const CHECKSUM: &str = "x-amz-checksum-sha256";

impl State {
    /// Buckets are in one region, and a request that is signed for another one is sent there.
    fn elsewhere(&self, request: &Request) -> Option<Answer> {
        let region =
            self.region.filter(|region| !request.header("authorization").contains(&format!("/{region}/s3/")))?;
        let mut answer = Answer::error(301, "PermanentRedirect");
        answer.headers.push(("x-amz-bucket-region".into(), region.into()));
        Some(answer)
    }

    fn versioning(&self) -> Answer {
        let status = match self.versioning {
            "" => String::new(),
            state => format!("<Status>{state}</Status>"),
        };
        let body = format!("<VersioningConfiguration>{status}</VersioningConfiguration>");
        Answer { status: 200, body, ..Answer::default() }
    }

    fn put(&mut self, request: &Request, key: &str, body: Vec<u8>) -> Answer {
        let declared = request.header(CHECKSUM);
        if !declared.is_empty() && declared != digest(&body) {
            return Answer::error(400, "BadDigest");
        }
        if request.header("if-none-match") == "*" && self.objects.get(key).is_some_and(|versions| !versions.is_empty())
        {
            return Answer::error(412, "PreconditionFailed");
        }
        let metadata = request.headers.iter().filter(|(name, _)| name.starts_with("x-amz-meta-"));
        let metadata = metadata.map(|(name, value)| (name.clone(), value.clone())).collect();
        let sum = digest(&body);
        let version = store(self, key, body, metadata);
        let mut headers = self.version_header(&version);
        if !self.forgets_checksums {
            headers.push((CHECKSUM.to_owned(), sum));
        }
        Answer { status: 200, headers, ..Answer::default() }
    }

    fn head(&self, request: &Request, key: &str) -> Answer {
        let Some(object) = self.objects.get(key).and_then(|versions| versions.last()) else {
            return Answer { status: 404, ..Answer::default() };
        };
        let mut headers = self.version_header(&object.version);
        headers.extend(object.metadata.iter().cloned());
        // Only who asks for it gets it.
        if request.header("x-amz-checksum-mode") == "ENABLED" && !self.forgets_checksums {
            headers.push((CHECKSUM.to_owned(), digest(&object.bytes)));
        }
        Answer { status: 200, headers, length: Some(object.bytes.len()), ..Answer::default() }
    }

    fn version_header(&self, version: &str) -> Vec<(String, String)> {
        match self.versioning {
            "" => Vec::new(),
            "Suspended" => vec![("x-amz-version-id".into(), "null".into())],
            _ => vec![("x-amz-version-id".into(), version.into())],
        }
    }
}

fn store(state: &mut State, key: &str, bytes: Vec<u8>, metadata: Vec<(String, String)>) -> String {
    let keeps = state.versioning == "Enabled";
    let versions = state.objects.entry(key.to_owned()).or_default();
    let version = format!("version-{}", versions.len() + 1);
    if !keeps {
        versions.clear();
    }
    versions.push(Object { bytes, metadata, version: version.clone() });
    version
}

fn digest(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(bytes))
}

/// The key of `/box/some/key?x-id=…`.
fn key(target: &str) -> String {
    let path = target.split_once("://").map_or(target, |(_, rest)| &rest[rest.find('/').unwrap_or(0)..]);
    let path = path.split('?').next().unwrap_or_default();
    let key = path.trim_start_matches('/').split_once('/').map_or("", |(_, key)| key);
    let mut bytes = Vec::new();
    let mut rest = key.bytes();
    while let Some(byte) = rest.next() {
        let hex = |b: Option<u8>| char::from(b.unwrap()).to_digit(16).unwrap();
        bytes.push(if byte == b'%' { u8::try_from(hex(rest.next()) * 16 + hex(rest.next())).unwrap() } else { byte });
    }
    String::from_utf8(bytes).unwrap()
}

#[derive(Debug, Default)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
    /// Of the object, in an answer to HEAD.
    length: Option<usize>,
}

impl Answer {
    fn error(status: u16, code: &str) -> Self {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>The fake says {code}.</Message><RequestId>FAKE1</RequestId></Error>"
        );
        Self { status, body, ..Self::default() }
    }

    fn bytes(&self, method: &str) -> Vec<u8> {
        let length = self.length.unwrap_or(self.body.len());
        let mut out = format!("HTTP/1.1 {} X\r\nContent-Length: {length}\r\n", self.status);
        for (name, value) in &self.headers {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
        out.push_str("\r\n");
        if method != "HEAD" {
            out.push_str(&self.body);
        }
        out.into_bytes()
    }
}
