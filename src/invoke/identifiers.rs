//! Request ids, traces and times, in Lambda's forms.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970.
pub(super) fn now_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis())
}

/// 32 hexadecimal digits that are another each time. Nothing here is a secret.
fn hex() -> String {
    use std::hash::{BuildHasher as _, Hasher as _};
    let half = || std::collections::hash_map::RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", half(), half())
}

/// A random UUID (version 4).
pub(super) fn uuid() -> String {
    let hex = hex();
    format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}

/// `X-Amzn-Trace-Id` of an event that is not traced.
pub(super) fn trace() -> String {
    let (root, parent) = (hex(), hex());
    let seconds = now_ms() / 1000;
    format!("Root=1-{seconds:08x}-{};Parent={};Sampled=0;Lineage=1:{}:0", &root[..24], &parent[..16], &root[24..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_have_their_forms_and_differ() {
        let (one, other) = (uuid(), uuid());
        assert_ne!(one, other);
        assert_eq!(one.len(), 36);
        assert_eq!(one.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert!(trace().starts_with("Root=1-"));
    }
}
