//! Lambda's endpoint, as far as invoking goes: `POST /2015-03-31/functions/NAME/invocations`, and its counterpart for answers
//! that are streamed. Execution environments stay warm, and there are as many as events that are answered at once.
//!
//! Source: "Invoke" in the AWS Lambda API Reference.

mod stream;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::http::{Connection, Handler, Head, Server};
use super::instance::{Instance, Request};
use super::limits::{MAX_ASYNC_EVENT, MAX_EVENT};
use super::log::Log;
use super::outcome::Outcome;
use super::runtime_api::Form;
use super::{DeadLetters, Prepared, Sink};
use crate::error::{Error, Result};

/// Environments of one function at once. More events than that are throttled.
const CONCURRENCY: usize = 10;
/// Events that nobody waits for, at once.
const MAX_ASYNC: usize = 100;

/// Functions that answer at an address.
pub struct Service {
    server: Server,
    stage: Arc<Stage>,
}

impl Service {
    /// Listens. What functions log goes to `sink`.
    ///
    /// # Errors
    /// When the address cannot be listened at.
    pub fn start(address: &str, functions: Vec<(Arc<Prepared>, DeadLetters)>, sink: Arc<Sink>) -> Result<Self> {
        let stage = Stage { functions: Mutex::new(BTreeMap::new()), sink };
        let stage = Arc::new(stage);
        functions.into_iter().for_each(|(prepared, letters)| stage.put(prepared, letters));
        let served = Arc::clone(&stage);
        let handler: Arc<Handler> =
            Arc::new(move |head: &Head, connection: &mut Connection| served.answer(head, connection));
        let server = Server::start(address, handler).map_err(|e| {
            Error::config(format!("Failed to listen at `{address}`"))
                .because(e)
                .hint("ADDR is HOST:PORT, such as 127.0.0.1:9001")
        })?;
        Ok(Self { server, stage })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Puts a new version of a function in the place of the one that is there. Events under way are answered by the old one.
    pub fn replace(&self, prepared: Arc<Prepared>, letters: DeadLetters) {
        self.stage.put(prepared, letters);
    }
}

struct Stage {
    functions: Mutex<BTreeMap<String, Arc<Function>>>,
    sink: Arc<Sink>,
}

/// A function with its environments.
struct Function {
    prepared: Arc<Prepared>,
    letters: DeadLetters,
    warm: Mutex<Warm>,
}

#[derive(Default)]
struct Warm {
    idle: Vec<Instance>,
    busy: usize,
    waiting: usize,
}

/// What is asked of Lambda.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Invoke,
    InvokeWithResponseStream,
}

/// The operations, with what stands before and behind a function's name.
const OPERATIONS: [(&str, &str, Operation); 2] = [
    ("/2015-03-31/functions/", "/invocations", Operation::Invoke),
    ("/2021-11-15/functions/", "/response-streaming-invocations", Operation::InvokeWithResponseStream),
];

/// An answer that is no outcome of a function.
struct Refusal(u16, &'static str, String);

impl Stage {
    fn put(&self, prepared: Arc<Prepared>, letters: DeadLetters) {
        let name = prepared.function().name.clone();
        let function = Function { prepared, letters, warm: Mutex::default() };
        let old = self.functions.lock().unwrap_or_else(PoisonError::into_inner).insert(name, Arc::new(function));
        drop(old);
    }

    fn answer(&self, head: &Head, connection: &mut Connection) -> io::Result<()> {
        let is_event = head.header("x-amz-invocation-type") == Some("Event");
        let limit = if is_event { MAX_ASYNC_EVENT } else { MAX_EVENT };
        let body = connection.body(head, limit + 1)?;
        let done = self.find(head).and_then(|(function, operation)| {
            if body.length > limit {
                let message = format!("Request must be smaller than {limit} bytes for the InvokeFunction operation");
                return Err(Refusal(413, "RequestTooLargeException", message));
            }
            let event = if body.bytes.is_empty() { b"{}".to_vec() } else { body.bytes };
            if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(&event) {
                let message = format!("Could not parse request body into json: {error}");
                return Err(Refusal(400, "InvalidRequestContentException", message));
            }
            let request = Request { id: None, event, client_context: client_context(head)?, form: Form::Buffered };
            self.carry_out(&function, operation, head, request, connection)
        });
        match done {
            Ok(answered) => answered,
            Err(Refusal(status, kind, message)) => {
                let document = json!({"Type": "User", "message": message, "Message": message}).to_string();
                let headers = [("Content-Type", "application/json"), ("x-amzn-ErrorType", kind)];
                connection.answer(status, &headers, document.as_bytes())
            }
        }
    }

    fn find(&self, head: &Head) -> Result<(Arc<Function>, Operation), Refusal> {
        // Pages in a browser of this machine may send requests, but not without saying where they come from.
        if head.header("origin").is_some() {
            return Err(Refusal(403, "AccessDeniedException", "requests of web pages are not answered".to_owned()));
        }
        let named = OPERATIONS.iter().find_map(|(before, behind, operation)| {
            Some((head.path.strip_prefix(before)?.strip_suffix(behind)?, *operation))
        });
        let Some((name, operation)) = named.filter(|_| head.method == "POST") else {
            let message = format!("`{} {}` is not answered here; functions are invoked", head.method, head.path);
            return Err(Refusal(404, "UnknownOperationException", message));
        };
        let name = name.replace("%3A", ":").replace("%3a", ":");
        let functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        // NAME, NAME:QUALIFIER, ACCOUNT:function:NAME, or an ARN.
        let known = |part: &str| functions.get(part).cloned();
        let named = match name.split_once(":function:") {
            Some((_, rest)) => known(rest.split(':').next().unwrap_or(rest)),
            None => known(name.split(':').next().unwrap_or(&name)),
        };
        let refusal = || Refusal(404, "ResourceNotFoundException", format!("Function not found: {name}"));
        named.map(|function| (function, operation)).ok_or_else(refusal)
    }

    fn carry_out(
        &self,
        function: &Arc<Function>,
        operation: Operation,
        head: &Head,
        request: Request,
        connection: &mut Connection,
    ) -> Result<io::Result<()>, Refusal> {
        let with_log = head.header("x-amz-log-type") == Some("Tail");
        match head.header("x-amz-invocation-type").unwrap_or("RequestResponse") {
            "RequestResponse" if operation == Operation::InvokeWithResponseStream => {
                stream::respond(function, request, with_log, &self.sink, connection)
            }
            "RequestResponse" => {
                let outcome = function.invoke(request, &self.sink)?;
                Ok(respond(&outcome, with_log, connection))
            }
            "DryRun" => Ok(connection.answer(204, &[], b"")),
            "Event" if operation == Operation::Invoke => {
                function.accept(request, &self.sink)?;
                Ok(connection.answer(202, &[("x-amzn-RequestId", &super::identifiers::uuid())], b""))
            }
            other => {
                let message = format!("`{other}` is no invocation type: RequestResponse, Event and DryRun are");
                Err(Refusal(400, "InvalidParameterValueException", message))
            }
        }
    }
}

fn client_context(head: &Head) -> Result<Option<String>, Refusal> {
    let Some(text) = head.header("x-amz-client-context") else { return Ok(None) };
    let decoded = STANDARD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let is_object = |text: &String| serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text).is_ok();
    let decoded = decoded.filter(is_object);
    let refusal = || {
        Refusal(
            400,
            "InvalidRequestContentException",
            "Client context must be a valid Base64-encoded JSON object.".to_owned(),
        )
    };
    decoded.map(Some).ok_or_else(refusal)
}

fn respond(outcome: &Outcome, with_log: bool, connection: &mut Connection) -> io::Result<()> {
    let log = STANDARD.encode(&outcome.log_tail);
    let mut headers = vec![
        ("Content-Type", outcome.content_type.as_str()),
        ("x-amzn-RequestId", outcome.request_id.as_str()),
        ("X-Amz-Executed-Version", "$LATEST"),
    ];
    if outcome.is_error {
        headers.push(("X-Amz-Function-Error", "Unhandled"));
    }
    if with_log {
        headers.push(("X-Amz-Log-Result", &log));
    }
    connection.answer(200, &headers, &outcome.payload)
}

impl Function {
    fn warm(&self) -> std::sync::MutexGuard<'_, Warm> {
        self.warm.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers an event in an environment that is free, or in a new one.
    fn invoke(&self, request: Request, sink: &Arc<Sink>) -> Result<Outcome, Refusal> {
        let free = {
            let mut warm = self.warm();
            if warm.busy >= CONCURRENCY {
                return Err(Refusal(429, "TooManyRequestsException", "Rate Exceeded.".to_owned()));
            }
            warm.busy += 1;
            warm.idle.pop()
        };
        let started = free.map_or_else(|| Instance::start(&self.prepared, Arc::new(Log::new(Arc::clone(sink)))), Ok);
        let answered = started.map(|mut instance| {
            let outcome = instance.invoke(request);
            (outcome, instance)
        });
        let mut warm = self.warm();
        warm.busy -= 1;
        match answered {
            Ok((outcome, instance)) => {
                if !instance.is_spent() {
                    warm.idle.push(instance);
                }
                Ok(outcome)
            }
            Err(error) => Err(Refusal(500, "ServiceException", error.to_string())),
        }
    }

    /// Takes an event that nobody waits for.
    fn accept(self: &Arc<Self>, request: Request, sink: &Arc<Sink>) -> Result<(), Refusal> {
        let throttled = || Refusal(429, "TooManyRequestsException", "Rate Exceeded.".to_owned());
        {
            let mut warm = self.warm();
            if warm.waiting >= MAX_ASYNC {
                return Err(throttled());
            }
            warm.waiting += 1;
        }
        let (function, sink) = (Arc::clone(self), Arc::clone(sink));
        let work = move || {
            let event = request.event.clone();
            let told = function.letters.deliver(&function.prepared, &event, || {
                loop {
                    match function.invoke(request.clone(), &sink) {
                        // Lambda keeps what it cannot run at once.
                        Err(Refusal(429, ..)) => std::thread::sleep(std::time::Duration::from_millis(100)),
                        Err(Refusal(_, _, message)) => return Err(Error::failed(message)),
                        Ok(outcome) => return Ok(outcome),
                    }
                }
            });
            if let Err(error) = told {
                (sink)(format!("{error}\n").as_bytes());
            }
            function.warm().waiting -= 1;
        };
        std::thread::Builder::new().name("event".to_owned()).spawn(work).map(drop).map_err(|_| throttled())
    }
}
