//! How much may go in and out. Source: "Lambda quotas" in the AWS Lambda Developer Guide; the hundred bytes beyond 6 MB are
//! what Lambda's own error names.

use std::time::Duration;

/// Bytes of an answer.
pub(super) const MAX_RESPONSE: u64 = 6 * 1024 * 1024 + 100;
/// Bytes of an answer that is streamed.
pub(super) const MAX_STREAMED: u64 = 200 * 1024 * 1024;
/// Bytes of an event that is waited for.
pub const MAX_EVENT: u64 = 6 * 1024 * 1024;
/// Bytes of an event that is not waited for.
pub const MAX_ASYNC_EVENT: u64 = 1024 * 1024;
/// How long a function may take to start, apart from its timeout.
pub(super) const INIT_LIMIT: Duration = Duration::from_secs(10);
/// Attempts after the first one that failed, of an event that is not waited for.
pub const RETRIES: usize = 2;
