//! What became of an event, in Lambda's own documents.

use serde_json::json;

use super::runtime_api::Exit;

/// What a function has answered, or how it has failed.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The request's id.
    pub request_id: String,
    /// The answer, or Lambda's error document.
    pub payload: Vec<u8>,
    /// Of the answer.
    pub content_type: String,
    /// Whether the function has failed; Lambda says `Unhandled` then.
    pub is_error: bool,
    /// The last 4 KB of what it has logged.
    pub log_tail: Vec<u8>,
}

/// An error document of Lambda's own.
pub(super) fn document(kind: &str, message: &str) -> Vec<u8> {
    json!({"errorType": kind, "errorMessage": message}).to_string().into_bytes()
}

/// The type that an error document names.
pub(super) fn kind(document: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(document).unwrap_or_default();
    value.get("errorType").and_then(serde_json::Value::as_str).unwrap_or("Runtime.Unknown").to_owned()
}

/// `Sandbox.Timedout`.
pub(super) fn timed_out(request_id: &str, seconds: u64) -> Vec<u8> {
    document("Sandbox.Timedout", &format!("RequestId: {request_id} Error: Task timed out after {seconds}.00 seconds"))
}

/// `Runtime.ExitError`.
pub(super) fn exited(request_id: &str, exit: Exit) -> Vec<u8> {
    document("Runtime.ExitError", &format!("RequestId: {request_id} Error: {}", exit_text(exit)))
}

/// What cannot be started.
pub(super) fn refused(request_id: &str, kind: &str, message: &str) -> Vec<u8> {
    document(kind, &format!("RequestId: {request_id} Error: {message}"))
}

/// How Lambda says that a process has ended.
pub(super) fn exit_text(exit: Exit) -> String {
    match exit {
        Exit::Code(0) => "Runtime exited without providing a reason".to_owned(),
        Exit::Code(code) => format!("Runtime exited with error: exit status {code}"),
        Exit::Signal(signal) => format!("Runtime exited with error: signal: {}", signal_text(signal)),
    }
}

fn signal_text(signal: i32) -> String {
    match signal {
        4 => "illegal instruction".to_owned(),
        5 => "trace/breakpoint trap".to_owned(),
        6 => "aborted".to_owned(),
        7 => "bus error".to_owned(),
        8 => "floating point exception".to_owned(),
        9 => "killed".to_owned(),
        11 => "segmentation fault".to_owned(),
        13 => "broken pipe".to_owned(),
        15 => "terminated".to_owned(),
        other => other.to_string(),
    }
}

impl Exit {
    /// How a program has ended that another one has started for us: that says a signal as 128 and more.
    pub(super) fn of(status: std::process::ExitStatus) -> Self {
        #[cfg(unix)]
        if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
            return Self::Signal(signal);
        }
        match status.code() {
            Some(code @ (132..=137 | 139 | 141 | 143)) => Self::Signal(code - 128),
            code => Self::Code(code.unwrap_or(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_read_as_lambda_writes_them() {
        assert_eq!(exit_text(Exit::Signal(11)), "Runtime exited with error: signal: segmentation fault");
        assert_eq!(exit_text(Exit::Code(7)), "Runtime exited with error: exit status 7");
        assert_eq!(
            String::from_utf8(timed_out("x", 3)).unwrap(),
            r#"{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: x Error: Task timed out after 3.00 seconds"}"#
        );
    }
}
