//! `env-too-large`, `env-reserved-key`, `env-key-malformed`. Values are never quoted: they may be secrets.

use std::collections::BTreeMap;

use super::Subject;
use crate::finding::{Finding, Rule};
use crate::lambda;

pub(super) fn check_environment(subject: &Subject<'_>) -> Vec<Finding> {
    of_variables(subject.environment)
}

/// What is to be said of variables.
pub(super) fn of_variables(environment: &BTreeMap<String, String>) -> Vec<Finding> {
    if environment.is_empty() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let measured = lambda::measured_environment_bytes(environment);
    if measured > lambda::ENVIRONMENT_LIMIT {
        findings.push(Finding::new(
            Rule::EnvTooLarge,
            format!(
                "{} The map measures {measured} bytes as JSON; {} are allowed",
                lambda::ENVIRONMENT_MESSAGE,
                lambda::ENVIRONMENT_LIMIT
            ),
            "move large values to SSM Parameter Store, Secrets Manager or a file in the package",
        ));
    }
    for key in environment.keys() {
        if lambda::is_reserved_key(key) {
            findings.push(Finding::new(
                Rule::EnvReservedKey,
                format!("{} {key}", lambda::RESERVED_KEY_MESSAGE),
                format!("rename `{key}`; Lambda sets it itself"),
            ));
        } else if !lambda::is_well_formed_key(key) {
            findings.push(Finding::new(
                Rule::EnvKeyMalformed,
                format!("Value '{key}' at 'environment.variables' failed to satisfy constraint: Map keys must satisfy constraint: [a-zA-Z]([a-zA-Z0-9_])+"),
                "start with a letter, and use at least two letters, digits and underscores",
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Subject, testing};
    use crate::lambda::Date;

    fn rules(variables: &[(&str, &str)]) -> Vec<&'static str> {
        let environment: BTreeMap<String, String> =
            variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let tree = testing::tree(&[("app.py", "")]);
        let runtime = lambda::find("python3.13").unwrap();
        let architecture = lambda::Architecture::X86_64;
        let subject = Subject::alone(runtime, architecture, &tree, &environment, Date::new(2026, 1, 1));
        check_environment(&subject).iter().map(|f| f.rule.id()).collect()
    }

    #[test]
    fn the_limit_counts_the_json_and_is_exact() {
        let fits = "x".repeat(4096 - r#"{"KEY":""}"#.len());
        assert_eq!(rules(&[("KEY", &fits)]), Vec::<&str>::new());
        assert_eq!(rules(&[("KEY", &format!("{fits}x"))]), ["env-too-large"]);
    }

    #[test]
    fn keys_are_checked() {
        assert_eq!(rules(&[("AWS_REGION", "eu-west-1"), ("LANG", "C"), ("TZ", "UTC")]), ["env-reserved-key"]);
        assert_eq!(rules(&[("A", "1"), ("1B", ""), ("A-B", ""), ("OK_1", "")]), ["env-key-malformed"; 3]);
    }
}
