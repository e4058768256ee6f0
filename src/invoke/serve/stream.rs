//! Answers as they come: `POST /2021-11-15/functions/NAME/response-streaming-invocations`.
//!
//! ```text
//! Runtime API ──► parts ──► PayloadChunk, PayloadChunk, …, InvokeComplete   (application/vnd.amazon.eventstream)
//! ```
//!
//! Source: `InvokeWithResponseStream` in the AWS Lambda API Reference. What `ErrorCode` and `ErrorDetails` hold is not said
//! there: here they are the type of Lambda's error document, and the document.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::super::http::Connection;
use super::super::identifiers;
use super::super::instance::Request;
use super::super::outcome::{self, Outcome};
use super::super::runtime_api::{Form, Stream};
use super::{Function, Refusal, Sink};

/// Parts that wait for a client that is slower than the function.
const WAITING: usize = 16;
/// Bytes of one event; frames have at most 16 MiB.
const MOST: usize = 1 << 20;

/// What comes of an event.
enum Part {
    Bytes(Vec<u8>),
    End(Result<Outcome, Refusal>),
}

/// Has an event answered and passes the answer on while it is made.
pub(super) fn respond(
    function: &Arc<Function>,
    request: Request,
    with_log: bool,
    sink: &Arc<Sink>,
    connection: &mut Connection,
) -> Result<io::Result<()>, Refusal> {
    let (tell, told) = sync_channel(WAITING);
    let parts = tell.clone();
    let stream = Stream(Arc::new(move |bytes| {
        // A client that has gone keeps no function from ending.
        let _ = parts.send(Part::Bytes(bytes.to_vec()));
    }));
    let id = identifiers::uuid();
    let request = Request { id: Some(id.clone()), form: Form::Streamed(Some(stream)), ..request };
    let (function, sink) = (Arc::clone(function), Arc::clone(sink));
    let work = move || answer(&function, request, &sink, &tell);
    std::thread::Builder::new()
        .name("stream".to_owned())
        .spawn(work)
        .map_err(|e| Refusal(500, "ServiceException", e.to_string()))?;
    pass_on(&told, &id, with_log, connection)
}

fn answer(function: &Function, request: Request, sink: &Arc<Sink>, tell: &SyncSender<Part>) {
    let outcome = function.invoke(request, sink);
    let _ = tell.send(Part::End(outcome));
}

fn pass_on(
    told: &Receiver<Part>,
    id: &str,
    with_log: bool,
    connection: &mut Connection,
) -> Result<io::Result<()>, Refusal> {
    let mut has_begun = false;
    for part in told {
        let done = match part {
            Part::End(Err(refusal)) if !has_begun => return Err(refusal),
            Part::End(Err(Refusal(_, kind, message))) => finish(connection, Some((kind, &message)), None),
            Part::End(Ok(outcome)) => end(&outcome, with_log, has_begun, connection),
            Part::Bytes(bytes) => {
                let begun = if has_begun { Ok(()) } else { begin(id, connection) };
                has_begun = true;
                match begun.and_then(|()| chunks(connection, &bytes)) {
                    Ok(()) => continue,
                    failed => failed,
                }
            }
        };
        return Ok(done);
    }
    Ok(Err(io::ErrorKind::UnexpectedEof.into()))
}

fn begin(id: &str, connection: &mut Connection) -> io::Result<()> {
    let headers = [
        ("Content-Type", "application/vnd.amazon.eventstream"),
        ("x-amzn-RequestId", id),
        ("X-Amz-Executed-Version", "$LATEST"),
    ];
    connection.begin(200, &headers)
}

fn end(outcome: &Outcome, with_log: bool, has_begun: bool, connection: &mut Connection) -> io::Result<()> {
    if !has_begun {
        begin(&outcome.request_id, connection)?;
    }
    let log = with_log.then(|| STANDARD.encode(&outcome.log_tail));
    let text = String::from_utf8_lossy(&outcome.payload);
    if outcome.is_error {
        return finish(connection, Some((&outcome::kind(&outcome.payload), &text)), log);
    }
    // What a function that streams nothing has answered.
    chunks(connection, &outcome.payload)?;
    finish(connection, None, log)
}

fn chunks(connection: &mut Connection, bytes: &[u8]) -> io::Result<()> {
    bytes.chunks(MOST).try_for_each(|bytes| connection.part(&frame("PayloadChunk", "application/octet-stream", bytes)?))
}

fn finish(connection: &mut Connection, error: Option<(&str, &str)>, log: Option<String>) -> io::Result<()> {
    let mut said = serde_json::Map::new();
    if let Some((code, details)) = error {
        said.insert("ErrorCode".to_owned(), json!(code));
        said.insert("ErrorDetails".to_owned(), json!(details));
    }
    said.extend(log.map(|log| ("LogResult".to_owned(), json!(log))));
    let text = serde_json::Value::Object(said).to_string();
    connection.part(&frame("InvokeComplete", "application/json", text.as_bytes())?)?;
    connection.part(b"")
}

/// One event as it goes over the wire.
fn frame(event: &'static str, content_type: &'static str, payload: &[u8]) -> io::Result<Vec<u8>> {
    let text = |value: &'static str| HeaderValue::String(value.into());
    let message = Message::new(payload.to_vec())
        .add_header(Header::new(":message-type", text("event")))
        .add_header(Header::new(":event-type", text(event)))
        .add_header(Header::new(":content-type", text(content_type)));
    let mut out = Vec::with_capacity(payload.len() + 128);
    write_message_to(&message, &mut out).map_err(io::Error::other)?;
    Ok(out)
}
