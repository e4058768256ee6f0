//! What the servers that misbehave have in common: requests as they come, connections, and which request meets which fault.

use std::collections::HashMap;
use std::io::BufRead;
use std::net::{TcpListener, TcpStream};

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// Path and query; of a request to a proxy, the whole URL.
    pub target: String,
    pub headers: HashMap<String, String>,
    pub body: usize,
}

impl Request {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

#[derive(Debug)]
struct Rule<F> {
    method: &'static str,
    part: String,
    times: usize,
    fault: F,
}

/// Faults that are still to come.
#[derive(Debug)]
pub struct Rules<F>(Vec<Rule<F>>);

impl<F> Default for Rules<F> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<F: Clone> Rules<F> {
    /// The next `times` requests of this method whose target has `part` meet the fault.
    pub fn add(&mut self, method: &'static str, part: &str, times: usize, fault: F) {
        self.0.push(Rule { method, part: part.to_owned(), times, fault });
    }

    /// No faults from now on.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// What a request with this target meets.
    pub fn of(&mut self, method: &str, target: &str) -> Option<F> {
        let rule = self.0.iter_mut().find(|r| r.times > 0 && r.method == method && target.contains(&r.part))?;
        rule.times -= 1;
        Some(rule.fault.clone())
    }
}

/// Hands each connection to a port of this machine, with the port, to a thread of its own; gives the port.
pub fn listen(serve: impl Fn(u16, TcpStream) + Clone + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // Its connections inherit it. The system's own limit may be 32 MB, so that a slow reader could not be told from silence.
    socket2::SockRef::from(&listener).set_recv_buffer_size(256 << 10).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            std::thread::spawn(move || serve(port, stream));
        }
    });
    port
}

/// The first line and the headers.
pub fn head(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    Some(Request { method, target, headers, body: 0 })
}

/// Closes with data unread, which makes the system send a reset.
pub fn reset(stream: TcpStream) {
    drop(stream);
}
