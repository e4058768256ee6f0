//! Events that nobody waits for: two more attempts, then a dead letter.
//!
//! Source: "How Lambda handles errors and retries with asynchronous invocation" and "Capturing records of Lambda
//! asynchronous invocations" in the AWS Lambda Developer Guide. Lambda waits one and two minutes between attempts; here it
//! is not waited.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::identifiers::now_ms;
use super::{Outcome, Prepared, RETRIES};
use crate::error::Result;
use crate::fsio;

/// Where events go that no attempt has answered.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    /// The folder.
    pub folder: PathBuf,
}

/// What became of an event that nobody waits for.
#[derive(Debug)]
pub enum Delivery {
    /// An attempt was answered.
    Answered(Outcome),
    /// None was: the file that the event was written to.
    Dead(PathBuf),
}

impl DeadLetters {
    /// Attempts until one is answered, three times at most.
    ///
    /// # Errors
    /// When an attempt cannot be made, or the dead letter cannot be written.
    pub fn deliver(
        &self,
        prepared: &Prepared,
        event: &[u8],
        mut attempt: impl FnMut() -> Result<Outcome>,
    ) -> Result<Delivery> {
        let mut outcome = attempt()?;
        for _ in 0..RETRIES {
            if !outcome.is_error {
                return Ok(Delivery::Answered(outcome));
            }
            outcome = attempt()?;
        }
        if !outcome.is_error {
            return Ok(Delivery::Answered(outcome));
        }
        let path = self.folder.join(format!("{}.{}.dead-letter.json", prepared.function().name, outcome.request_id));
        let letter = serde_json::to_string_pretty(&letter(prepared, event, &outcome)).unwrap_or_default() + "\n";
        fsio::write_atomic(&path, letter.as_bytes())?;
        Ok(Delivery::Dead(path))
    }
}

/// The record that Lambda sends to an on-failure destination.
fn letter(prepared: &Prepared, event: &[u8], outcome: &Outcome) -> Value {
    let parsed = |bytes: &[u8]| {
        serde_json::from_slice(bytes).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()))
    };
    json!({
        "version": "1.0",
        "timestampMs": u64::try_from(now_ms()).unwrap_or(u64::MAX),
        "requestContext": {
            "requestId": outcome.request_id,
            "functionArn": format!("{}:$LATEST", prepared.function().arn()),
            "condition": "RetriesExhausted",
            "approximateInvokeCount": RETRIES + 1,
        },
        "requestPayload": parsed(event),
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "responsePayload": parsed(&outcome.payload),
    })
}
