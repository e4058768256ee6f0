//! The API as a runtime and an extension see it.

use std::io::{Read as _, Write as _};

use super::*;

fn api(extensions: usize) -> Api {
    Api::start(Told { function: "f".to_owned(), handler: "h".to_owned() }, extensions).unwrap()
}

fn ask(api: &Api, request: &str) -> String {
    let mut stream = std::net::TcpStream::connect(api.address()).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut out = String::new();
    stream.read_to_string(&mut out).unwrap();
    out
}

fn get(api: &Api, path: &str) -> String {
    ask(api, &format!("GET {path} HTTP/1.1\r\n\r\n"))
}

fn post(api: &Api, path: &str, headers: &str, body: &str) -> String {
    ask(api, &format!("POST {path} HTTP/1.1\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()))
}

fn task() -> Task {
    Task {
        request_id: "one".to_owned(),
        event: b"{}".to_vec(),
        deadline_ms: 7,
        trace: "Root=1".to_owned(),
        function_arn: "arn".to_owned(),
        client_context: Some("{\"a\": \"b\\r\\nc\"}".to_owned()),
        form: Form::Streamed(None),
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

#[test]
fn an_event_is_answered_once_by_its_id() {
    let api = api(0);
    api.offer(task());
    let next = get(&api, "/2018-06-01/runtime/invocation/next");
    assert!(next.starts_with("HTTP/1.1 200 OK\r\n") && next.ends_with("\r\n\r\n{}"), "{next}");
    for header in [
        "Lambda-Runtime-Aws-Request-Id: one",
        "Lambda-Runtime-Deadline-Ms: 7",
        "Lambda-Runtime-Invoked-Function-Arn: arn",
    ] {
        assert!(next.contains(&format!("{header}\r\n")), "{next}");
    }
    assert!(get(&api, "/2018-06-01/runtime/invocation/next").contains("403 Forbidden"));
    assert!(post(&api, "/2018-06-01/runtime/invocation/two/response", "", "1").contains("InvalidRequestID"));
    assert!(post(&api, "/2018-06-01/runtime/invocation/one/response", "", "1").starts_with("HTTP/1.1 202 Accepted"));
    assert!(post(&api, "/2018-06-01/runtime/invocation/one/response", "", "2").contains("InvalidRequestID"));
    match api.answer(soon()) {
        Waited::Done(Answer::Response { bytes, .. }) => assert_eq!(bytes, b"1"),
        other => panic!("{other:?}"),
    }
    assert!(get(&api, "/nothing").contains("404"));
}

#[test]
fn what_is_too_large_is_an_error_of_the_function() {
    let api = api(0);
    api.offer(task());
    get(&api, "/2018-06-01/runtime/invocation/next");
    let large = "x".repeat(usize::try_from(MAX_RESPONSE).unwrap() + 1);
    let said = post(&api, "/2018-06-01/runtime/invocation/one/response", "", &large);
    assert!(said.starts_with("HTTP/1.1 413 ") && said.contains("RequestEntityTooLarge"), "{said}");
    match api.answer(soon()) {
        Waited::Done(Answer::Error(document)) => assert!(is_size_error(&document)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn init_fails_ends_or_is_waited_for() {
    let failed = api(0);
    post(&failed, "/2018-06-01/runtime/init/error", "", "{\"errorType\": \"X\"}");
    assert!(matches!(failed.ready(soon()), Waited::Done(Some(document)) if document.starts_with(b"{\"errorType\"")));
    let ended = api(0);
    ended.shared.note_exit(Exit::Code(3));
    assert!(matches!(ended.ready(soon()), Waited::Exited(Exit::Code(3))));
    assert!(matches!(api(0).ready(Instant::now()), Waited::TimedOut));
}

#[test]
fn extensions_register_before_there_are_events() {
    let api = api(1);
    let register = "/2020-01-01/extension/register";
    assert!(post(&api, register, "", "{}").contains("Empty extension name"));
    let wants = "{\"events\": [\"INVOKE\"]}";
    let said = post(&api, register, "Lambda-Extension-Name: a\r\n", wants);
    assert!(said.contains("{\"functionName\":\"f\",\"functionVersion\":\"$LATEST\",\"handler\":\"h\"}"), "{said}");
    assert!(post(&api, register, "Lambda-Extension-Name: a\r\n", wants).contains("Extension.AlreadyRegistered"));
    let unknown = get(&api, "/2020-01-01/extension/event/next");
    assert!(unknown.contains("Extension.UnknownExtensionIdentifier"), "{unknown}");
    let id = said.lines().find_map(|line| line.strip_prefix("Lambda-Extension-Identifier: ")).unwrap();
    api.offer(task());
    let event = ask(
        &api,
        &format!("GET /2020-01-01/extension/event/next HTTP/1.1\r\nLambda-Extension-Identifier: {id}\r\n\r\n"),
    );
    assert!(event.contains("\"eventType\":\"INVOKE\"") && event.contains("\"requestId\":\"one\""), "{event}");
}
