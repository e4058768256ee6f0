//! The policy of a repository that lets Lambda take images from it.
//!
//! Source: "Amazon ECR permissions" and "Amazon ECR cross-account permissions" in the AWS Lambda Developer Guide.

use serde_json::{Value, json};

use crate::aws::partition;

/// What Lambda, and whoever creates the function, do with an image.
const ACTIONS: [&str; 2] = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"];
const LAMBDA: &str = "lambda.amazonaws.com";
/// Names of the statements, as the guide has them.
const RETRIEVAL: &str = "LambdaECRImageRetrievalPolicy";
const CROSS_ACCOUNT: &str = "CrossAccountPermission";
const CROSS_ACCOUNT_RETRIEVAL: &str = "LambdaECRImageCrossAccountRetrievalPolicy";

/// Who takes images from a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Users<'a> {
    /// The region of both.
    pub(super) region: &'a str,
    /// The account that the repository belongs to.
    pub(super) owner: &'a str,
    /// The account of the functions.
    pub(super) functions: &'a str,
}

impl Users<'_> {
    fn statements(&self) -> Vec<Value> {
        let partition = partition(self.region);
        let source = format!("arn:{partition}:lambda:{}:{}:function:*", self.region, self.functions);
        let retrieval = |sid: &str| {
            json!({
                "Sid": sid, "Effect": "Allow", "Action": ACTIONS,
                "Principal": {"Service": LAMBDA},
                "Condition": {"StringLike": {"aws:sourceArn": source}},
            })
        };
        if self.owner == self.functions {
            return vec![retrieval(RETRIEVAL)];
        }
        let account = json!({
            "Sid": CROSS_ACCOUNT, "Effect": "Allow", "Action": ACTIONS,
            "Principal": {"AWS": format!("arn:{partition}:iam::{}:root", self.functions)},
        });
        vec![account, retrieval(CROSS_ACCOUNT_RETRIEVAL)]
    }
}

/// The policy with what is missing in it; nothing when nothing is.
///
/// # Errors
/// When the policy that is there is no document that can be added to.
pub(super) fn completed(policy: Option<&str>, users: &Users<'_>) -> Result<Option<String>, String> {
    let mut document: Value = match policy {
        Some(text) => serde_json::from_str(text).map_err(|_| "the repository's policy is no JSON".to_owned())?,
        None => json!({"Version": "2012-10-17", "Statement": []}),
    };
    let statements = match document.get_mut("Statement") {
        Some(Value::Array(statements)) => statements,
        // One statement may stand by itself.
        Some(one @ Value::Object(_)) => {
            *one = json!([one.take()]);
            one.as_array_mut().ok_or("the repository's policy has no statements")?
        }
        _ => return Err("the repository's policy has no statements".to_owned()),
    };
    let missing: Vec<Value> =
        users.statements().into_iter().filter(|wanted| !statements.iter().any(|there| covers(there, wanted))).collect();
    if missing.is_empty() {
        return Ok(None);
    }
    // A name is in a policy once.
    statements.retain(|there| !missing.iter().any(|wanted| wanted["Sid"] == there["Sid"]));
    statements.extend(missing);
    Ok(Some(document.to_string()))
}

/// Whether a statement allows what another one does, as far as that can be told without evaluating conditions.
fn covers(there: &Value, wanted: &Value) -> bool {
    let condition = |statement: &Value| statement.get("Condition").cloned().unwrap_or(Value::Null);
    there["Effect"] == "Allow"
        && texts(&there["Principal"][principal(wanted)]).iter().any(|principal| is_principal(principal, wanted))
        && ACTIONS.iter().all(|action| texts(&there["Action"]).iter().any(|has| matches(has, action)))
        && (condition(there).is_null() || lower(&condition(there)) == lower(&condition(wanted)))
}

fn principal(statement: &Value) -> &'static str {
    if statement["Principal"].get("Service").is_some() { "Service" } else { "AWS" }
}

fn is_principal(principal: &str, wanted: &Value) -> bool {
    let [wanted] = texts(&wanted["Principal"][self::principal(wanted)])[..] else { return false };
    // An account may be named by its id alone.
    principal == wanted || wanted.split(':').nth(4).is_some_and(|account| account == principal)
}

/// Keys of conditions, and ARNs of regions and accounts, are the same in either case.
fn lower(value: &Value) -> String {
    value.to_string().to_lowercase()
}

fn matches(pattern: &str, action: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => action.to_lowercase().starts_with(&prefix.to_lowercase()),
        None => pattern.eq_ignore_ascii_case(action),
    }
}

/// One text or several.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAME: Users<'_> = Users { region: "eu-west-1", owner: "111122223333", functions: "111122223333" };
    const CROSS: Users<'_> = Users { region: "cn-north-1", owner: "444455556666", functions: "111122223333" };

    fn added(policy: Option<&str>, users: &Users<'_>) -> Option<Value> {
        completed(policy, users).unwrap().map(|text| serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn a_new_policy_has_what_lambda_needs_and_is_complete() {
        let policy = added(None, &SAME).unwrap();
        assert_eq!(
            policy,
            json!({"Version": "2012-10-17", "Statement": [{
                "Sid": "LambdaECRImageRetrievalPolicy", "Effect": "Allow",
                "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
                "Principal": {"Service": "lambda.amazonaws.com"},
                "Condition": {"StringLike": {"aws:sourceArn": "arn:aws:lambda:eu-west-1:111122223333:function:*"}},
            }]})
        );
        assert_eq!(added(Some(&policy.to_string()), &SAME), None);
        let policy = added(None, &CROSS).unwrap();
        assert_eq!(policy["Statement"][0]["Principal"]["AWS"], "arn:aws-cn:iam::111122223333:root");
        assert_eq!(policy["Statement"][1]["Sid"], "LambdaECRImageCrossAccountRetrievalPolicy");
        assert_eq!(added(Some(&policy.to_string()), &CROSS), None);
        // The other direction is another matter.
        assert!(added(Some(&policy.to_string()), &Users { functions: "777788889999", ..CROSS }).is_some());
    }

    #[test]
    fn what_others_have_written_stays() {
        let theirs =
            r#"{"Version":"2008-10-17","Statement":{"Sid":"x","Effect":"Allow","Principal":"*","Action":"ecr:*"}}"#;
        let policy = added(Some(theirs), &SAME).unwrap();
        assert_eq!(policy["Version"], "2008-10-17");
        assert_eq!(
            (policy["Statement"][0]["Sid"].as_str(), policy["Statement"].as_array().unwrap().len()),
            (Some("x"), 2)
        );
        for enough in [
            r#"{"Statement":[{"Effect":"Allow","Principal":{"Service":["lambda.amazonaws.com"]},"Action":"ecr:*"}]}"#,
            r#"{"Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":["ecr:Get*","ecr:batchgetimage"]}]}"#,
        ] {
            assert_eq!(added(Some(enough), &SAME), None, "{enough}");
        }
        for little in [
            r#"{"Statement":[{"Effect":"Deny","Principal":{"Service":"lambda.amazonaws.com"},"Action":"ecr:*"}]}"#,
            r#"{"Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"ecr:Get*"}]}"#,
            r#"{"Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"ecr:*","Condition":{"StringLike":{"aws:sourceArn":"arn:aws:lambda:eu-west-1:1:function:x"}}}]}"#,
        ] {
            assert!(added(Some(little), &SAME).is_some(), "{little}");
        }
        for broken in ["", "[]", r#"{"Statement": 1}"#] {
            assert!(completed(Some(broken), &SAME).is_err(), "{broken}");
        }
    }
}
