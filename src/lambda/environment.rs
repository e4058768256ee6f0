//! How Lambda counts environment variables, and which it keeps for itself.

use std::collections::BTreeMap;

/// Keys that Lambda refuses to have set. Source: "Defined runtime environment variables" in the AWS Lambda Developer Guide.
pub const RESERVED_KEYS: [&str; 21] = [
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_LAMBDA_RUNTIME_API",
    "LAMBDA_TASK_ROOT",
    "LAMBDA_RUNTIME_DIR",
    "AWS_LAMBDA_MAX_CONCURRENCY",
    "AWS_LAMBDA_METADATA_API",
    "AWS_LAMBDA_METADATA_TOKEN",
];

/// Whether Lambda keeps this key for itself.
pub fn is_reserved_key(key: &str) -> bool {
    RESERVED_KEYS.contains(&key)
}

/// Whether a key has the form `[a-zA-Z]([a-zA-Z0-9_])+` (`EnvironmentVariableName` in the Lambda API model).
pub fn is_well_formed_key(key: &str) -> bool {
    key.len() >= 2
        && key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The bytes that Lambda measures: the compact UTF-8 JSON of the map, with quotes, commas and braces (observed on the
/// service: 4,096 are accepted, 4,097 are not).
pub fn measured_environment_bytes(variables: &BTreeMap<String, String>) -> usize {
    serde_json::to_string(variables).map_or(0, |json| json.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_json_not_keys_and_values() {
        let one = |k: &str, v: &str| measured_environment_bytes(&BTreeMap::from([(k.to_owned(), v.to_owned())]));
        assert_eq!(measured_environment_bytes(&BTreeMap::new()), 2);
        assert_eq!(one("KEY", "v"), r#"{"KEY":"v"}"#.len());
        assert_eq!(one("KEY", "\"\n"), r#"{"KEY":"\"\n"}"#.len());
        assert_eq!(one("KEY", "é"), 12);
    }
}
