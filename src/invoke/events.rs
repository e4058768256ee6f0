//! Sample events of common sources: `--event @sqs`.

/// Names and documents.
pub const SAMPLES: &[(&str, &str)] = &[
    ("apigw-v1", include_str!("../../templates/events/apigw-v1.json")),
    ("apigw-v2", include_str!("../../templates/events/apigw-v2.json")),
    ("dynamodb", include_str!("../../templates/events/dynamodb.json")),
    ("eventbridge", include_str!("../../templates/events/eventbridge.json")),
    ("kinesis", include_str!("../../templates/events/kinesis.json")),
    ("s3", include_str!("../../templates/events/s3.json")),
    ("sns", include_str!("../../templates/events/sns.json")),
    ("sqs", include_str!("../../templates/events/sqs.json")),
];

/// The sample of this name.
pub fn sample(name: &str) -> Option<&'static str> {
    SAMPLES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_documents_that_differ() {
        for (name, text) in SAMPLES {
            let value: serde_json::Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(value.is_object(), "{name}");
        }
        assert!(sample("sqs").unwrap().contains("aws:sqs") && sample("smtp").is_none());
    }
}
