//! Lambda's Runtime API and Extensions API, for one execution environment.
//!
//! ```text
//! runtime    GET  …/invocation/next ──► waits for an event   POST …/{id}/response, …/{id}/error, …/init/error
//! extensions POST …/register, GET …/event/next
//! ```
//!
//! Sources: "Using the Lambda runtime API for custom runtimes", "Using the Lambda Extensions API to create extensions" and
//! "Response streaming" in the AWS Lambda Developer Guide; statuses and error types as the Runtime Interface Emulator gives
//! them.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};

use super::http::{Body, Connection, Head, Server};
use super::identifiers;
use super::limits::{MAX_RESPONSE, MAX_STREAMED};
use super::log::Sink;

const RUNTIME: &str = "/2018-06-01/runtime/";
const EXTENSIONS: &str = "/2020-01-01/extension/";
/// Error documents are bounded like answers.
const JSON: &[(&str, &str)] = &[("Content-Type", "application/json")];

/// An event on its way to the runtime.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) request_id: String,
    pub(super) event: Vec<u8>,
    /// Milliseconds since 1970.
    pub(super) deadline_ms: u128,
    pub(super) trace: String,
    pub(super) function_arn: String,
    pub(super) client_context: Option<String>,
    pub(super) form: Form,
}

/// How an answer is wanted.
#[derive(Debug, Clone, Default)]
pub(super) enum Form {
    /// As `Invoke` gives it: whole, and no larger than answers are, also when the function streams it.
    #[default]
    Buffered,
    /// As large as streams may be; as it comes to whoever takes it, whole where nobody does.
    Streamed(Option<Stream>),
}

/// Takes parts of an answer, and may make whoever brings them wait.
#[derive(Clone)]
pub(super) struct Stream(pub(super) Arc<Sink>);

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stream")
    }
}

/// What a runtime has said to an event.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// It has answered; without bytes when a [`Stream`] has them.
    Response { bytes: Vec<u8>, content_type: String },
    /// The function has failed: its error document.
    Error(Vec<u8>),
}

/// How a process has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    Code(i32),
    Signal(i32),
}

/// What was waited for.
#[derive(Debug)]
pub(super) enum Waited<T> {
    Done(T),
    Exited(Exit),
    TimedOut,
}

#[derive(Debug, Default)]
struct State {
    pending: Option<Task>,
    /// The event that the runtime works on.
    current: Option<Task>,
    answer: Option<Answer>,
    /// The runtime waits for an event.
    is_idle: bool,
    init_error: Option<Vec<u8>>,
    exit: Option<Exit>,
    extensions: Vec<Extension>,
    /// Extensions that have to register before the first event.
    expected: usize,
    is_closed: bool,
}

#[derive(Debug)]
struct Extension {
    id: String,
    name: String,
    wants: Vec<String>,
    queue: Vec<Value>,
    is_waiting: bool,
}

impl State {
    fn is_ready(&self) -> bool {
        self.is_idle && self.extensions.len() >= self.expected && self.extensions.iter().all(|e| e.is_waiting)
    }
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process that was started has ended.
    pub(super) fn note_exit(&self, exit: Exit) {
        self.lock().exit = Some(exit);
        self.changed.notify_all();
    }

    /// Init has failed before anything was started.
    pub(super) fn note_init_error(&self, document: Vec<u8>) {
        self.lock().init_error = Some(document);
        self.changed.notify_all();
    }

    /// Waits until `done` has something, the process has ended, or it is too late.
    fn wait<T>(&self, until: Instant, mut done: impl FnMut(&mut State) -> Option<T>) -> Waited<T> {
        let mut state = self.lock();
        loop {
            if let Some(value) = done(&mut state) {
                return Waited::Done(value);
            }
            if let Some(exit) = state.exit {
                return Waited::Exited(exit);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Waited::TimedOut;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// What the API tells extensions of the function.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) function: String,
    pub(super) handler: String,
}

/// The API of one execution environment.
pub(super) struct Api {
    pub(super) shared: Arc<Shared>,
    server: Server,
}

impl Api {
    /// Listens on an address of its own. `extensions` have to register before there are events.
    pub(super) fn start(told: Told, extensions: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        shared.lock().expected = extensions;
        let served = Arc::clone(&shared);
        let handler = move |head: &Head, connection: &mut Connection| {
            Handler { shared: &served, told: &told }.answer(head, connection)
        };
        Ok(Self { server: Server::start("127.0.0.1:0", Arc::new(handler))?, shared })
    }

    /// `AWS_LAMBDA_RUNTIME_API`.
    pub(super) fn address(&self) -> String {
        self.server.address().to_string()
    }

    /// Waits until the runtime asks for events. Nothing when it is ready, the error document when its init has failed.
    pub(super) fn ready(&self, until: Instant) -> Waited<Option<Vec<u8>>> {
        self.shared.wait(until, |state| match state.init_error.take() {
            Some(error) => Some(Some(error)),
            None => state.is_ready().then_some(None),
        })
    }

    /// Hands an event to the runtime.
    pub(super) fn offer(&self, task: Task) {
        let mut state = self.shared.lock();
        state.answer = None;
        let event = json!({
            "eventType": "INVOKE",
            "deadlineMs": u64::try_from(task.deadline_ms).unwrap_or(u64::MAX),
            "requestId": task.request_id,
            "invokedFunctionArn": task.function_arn,
            "tracing": {"type": "X-Amzn-Trace-Id", "value": task.trace},
        });
        for extension in state.extensions.iter_mut().filter(|e| e.wants.iter().any(|w| w == "INVOKE")) {
            extension.queue.push(event.clone());
        }
        state.pending = Some(task);
        self.shared.changed.notify_all();
    }

    /// Waits for the answer to the event.
    pub(super) fn answer(&self, until: Instant) -> Waited<Answer> {
        self.shared.wait(until, |state| state.answer.take())
    }

    /// Tells extensions that it is over, and gives them a moment.
    pub(super) fn shut_down(&self, reason: &str, patience: Duration) {
        let mut state = self.shared.lock();
        let deadline = identifiers::now_ms() + patience.as_millis();
        let event = json!({
            "eventType": "SHUTDOWN",
            "shutdownReason": reason,
            "deadlineMs": u64::try_from(deadline).unwrap_or(u64::MAX),
        });
        let mut told = false;
        for extension in state.extensions.iter_mut().filter(|e| e.wants.iter().any(|w| w == "SHUTDOWN")) {
            extension.queue.push(event.clone());
            told = true;
        }
        drop(state);
        self.shared.changed.notify_all();
        if told {
            // They end when they are done; the sandbox ends with the runtime, which is not told.
            std::thread::sleep(patience.min(Duration::from_millis(300)));
        }
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.changed.notify_all();
    }
}

struct Handler<'a> {
    shared: &'a Shared,
    told: &'a Told,
}

impl Handler<'_> {
    fn answer(&self, head: &Head, connection: &mut Connection) -> io::Result<()> {
        let form = self.form(head);
        let limit = if matches!(form, Form::Streamed(_)) { MAX_STREAMED } else { MAX_RESPONSE };
        let body = match (head.method.as_str(), form) {
            ("GET", _) => connection.body(head, 0)?,
            (_, Form::Streamed(Some(stream))) => connection.body_to(head, limit, &mut |part| (stream.0)(part))?,
            _ => connection.body(head, limit)?,
        };
        if let Some(call) = head.path.strip_prefix(RUNTIME) {
            return self.runtime(call, head, body, limit, connection);
        }
        if let Some(call) = head.path.strip_prefix(EXTENSIONS) {
            return self.extensions(call, head, &body, connection);
        }
        match head.path.as_str() {
            "/2020-08-15/logs" => refuse(connection, 202, "Logs.NotSupported", "Logs API is not supported"),
            "/2022-07-01/telemetry" => {
                refuse(connection, 202, "Telemetry.NotSupported", "Telemetry API is not supported")
            }
            _ => connection.answer(404, &[], b"404 page not found\n"),
        }
    }

    /// How the body of this request is wanted: streamed, if it is a stream that answers an event which may be.
    fn form(&self, head: &Head) -> Form {
        let call = head.path.strip_prefix(RUNTIME).filter(|_| is_streamed(head));
        let id = call.and_then(|call| call.strip_prefix("invocation/")?.strip_suffix("/response"));
        let state = self.shared.lock();
        let current = state.current.as_ref().filter(|task| id == Some(&task.request_id));
        current.map(|task| task.form.clone()).unwrap_or_default()
    }

    fn runtime(&self, call: &str, head: &Head, body: Body, limit: u64, connection: &mut Connection) -> io::Result<()> {
        match (head.method.as_str(), call) {
            ("GET", "invocation/next") => self.next(connection),
            ("POST", "init/error") => {
                let mut state = self.shared.lock();
                state.init_error = Some(body.bytes);
                drop(state);
                self.shared.changed.notify_all();
                accepted(connection)
            }
            // Snapshots are not made: it goes on at once.
            ("GET", "restore/next") => connection.answer(200, JSON, b""),
            ("POST", call) => match call.strip_prefix("invocation/").and_then(|rest| rest.split_once('/')) {
                Some((id, "response")) => self.done(id, response(head, body, limit), connection),
                Some((id, "error")) => self.done(id, Answer::Error(body.bytes), connection),
                _ => connection.answer(404, &[], b"404 page not found\n"),
            },
            _ => connection.answer(405, &[], b""),
        }
    }

    fn next(&self, connection: &mut Connection) -> io::Result<()> {
        let mut state = self.shared.lock();
        if state.current.is_some() {
            drop(state);
            return refuse(connection, 403, "InvalidStateTransition", "the event before this one was not answered");
        }
        state.is_idle = true;
        self.shared.changed.notify_all();
        let task = loop {
            if state.is_closed {
                return connection.answer(410, JSON, b"");
            }
            if let Some(task) = state.pending.take() {
                break task;
            }
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        state.is_idle = false;
        state.current = Some(task.clone());
        drop(state);
        let deadline = task.deadline_ms.to_string();
        let mut headers = vec![
            ("Content-Type", "application/json"),
            ("Lambda-Runtime-Aws-Request-Id", task.request_id.as_str()),
            ("Lambda-Runtime-Deadline-Ms", deadline.as_str()),
            ("Lambda-Runtime-Invoked-Function-Arn", task.function_arn.as_str()),
            ("Lambda-Runtime-Trace-Id", task.trace.as_str()),
        ];
        if let Some(context) = &task.client_context {
            headers.push(("Lambda-Runtime-Client-Context", context));
        }
        connection.answer(200, &headers, &task.event)
    }

    fn done(&self, id: &str, answer: Answer, connection: &mut Connection) -> io::Result<()> {
        let mut state = self.shared.lock();
        if state.current.as_ref().is_none_or(|task| task.request_id != id) {
            drop(state);
            return refuse(connection, 400, "InvalidRequestID", "Invalid request ID");
        }
        let is_too_large = matches!(&answer, Answer::Error(document) if is_size_error(document));
        state.current = None;
        state.answer = Some(answer);
        drop(state);
        self.shared.changed.notify_all();
        if is_too_large {
            let message = format!("Exceeded maximum allowed payload size ({MAX_RESPONSE} bytes).");
            return refuse(connection, 413, "RequestEntityTooLarge", &message);
        }
        accepted(connection)
    }

    fn extensions(&self, call: &str, head: &Head, body: &Body, connection: &mut Connection) -> io::Result<()> {
        match (head.method.as_str(), call) {
            ("POST", "register") => self.register(head, body, connection),
            ("GET", "event/next") => self.event(head, connection),
            ("POST", "init/error" | "exit/error") => accepted(connection),
            _ => connection.answer(404, &[], b"404 page not found\n"),
        }
    }

    fn register(&self, head: &Head, body: &Body, connection: &mut Connection) -> io::Result<()> {
        let Some(name) = head.header("lambda-extension-name").filter(|name| !name.is_empty()) else {
            return refuse(connection, 403, "Extension.InvalidExtensionName", "Empty extension name");
        };
        let wants = serde_json::from_slice::<Value>(&body.bytes).ok();
        let wants = wants.as_ref().and_then(|value| value.get("events")).and_then(Value::as_array);
        let wants: Vec<String> = wants.into_iter().flatten().filter_map(|w| w.as_str().map(str::to_owned)).collect();
        let id = identifiers::uuid();
        let mut state = self.shared.lock();
        if state.extensions.iter().any(|e| e.name == name) || state.extensions.len() >= 10 {
            drop(state);
            return refuse(connection, 403, "Extension.AlreadyRegistered", "Extension already registered");
        }
        let extension =
            Extension { id: id.clone(), name: name.to_owned(), wants, queue: Vec::new(), is_waiting: false };
        state.extensions.push(extension);
        drop(state);
        let told =
            json!({"functionName": self.told.function, "functionVersion": "$LATEST", "handler": self.told.handler});
        let headers = [("Content-Type", "application/json"), ("Lambda-Extension-Identifier", id.as_str())];
        connection.answer(200, &headers, told.to_string().as_bytes())
    }

    fn event(&self, head: &Head, connection: &mut Connection) -> io::Result<()> {
        let id = head.header("lambda-extension-identifier").unwrap_or_default();
        let mut state = self.shared.lock();
        let Some(at) = state.extensions.iter().position(|e| e.id == id) else {
            drop(state);
            return refuse(connection, 403, "Extension.UnknownExtensionIdentifier", "Unknown extension identifier");
        };
        state.extensions[at].is_waiting = true;
        self.shared.changed.notify_all();
        let event = loop {
            if !state.extensions[at].queue.is_empty() {
                break state.extensions[at].queue.remove(0);
            }
            if state.is_closed {
                return connection.answer(410, JSON, b"");
            }
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        state.extensions[at].is_waiting = false;
        drop(state);
        let event_id = identifiers::uuid();
        let headers = [("Content-Type", "application/json"), ("Lambda-Extension-Event-Identifier", event_id.as_str())];
        connection.answer(200, &headers, event.to_string().as_bytes())
    }
}

fn is_streamed(head: &Head) -> bool {
    head.header("lambda-runtime-function-response-mode").is_some_and(|mode| mode.eq_ignore_ascii_case("streaming"))
}

const TOO_LARGE: &str = "Function.ResponseSizeTooLarge";

fn is_size_error(document: &[u8]) -> bool {
    document.starts_with(format!("{{\"errorType\":\"{TOO_LARGE}\"").as_bytes())
}

/// What a response is: the bytes, or the error that came after them, or that they are too many.
fn response(head: &Head, body: Body, limit: u64) -> Answer {
    if body.length > limit {
        let message = format!("Response payload size exceeded maximum allowed payload size ({limit} bytes).");
        return Answer::Error(super::outcome::document(TOO_LARGE, &message));
    }
    if let Some(kind) = body.trailer("lambda-runtime-function-error-type") {
        let document = body.trailer("lambda-runtime-function-error-body");
        let decoded = document.and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok());
        return Answer::Error(decoded.unwrap_or_else(|| super::outcome::document(kind, "")));
    }
    let content_type = head.header("content-type").unwrap_or("application/json").to_owned();
    Answer::Response { bytes: body.bytes, content_type }
}

fn accepted(connection: &mut Connection) -> io::Result<()> {
    connection.answer(202, JSON, b"{\"status\":\"OK\"}\n")
}

fn refuse(connection: &mut Connection, status: u16, kind: &str, message: &str) -> io::Result<()> {
    let document = json!({"errorMessage": message, "errorType": kind}).to_string();
    connection.answer(status, JSON, document.as_bytes())
}

#[cfg(test)]
mod tests;
