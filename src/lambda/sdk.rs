//! AWS SDKs that runtimes bring along, by the names of their packages.
//!
//! Sources: "Runtime-included SDK versions" in the Python and Node.js chapters of the AWS Lambda Developer Guide: boto3 and
//! botocore in every Python runtime, the SDK for JavaScript v3 from Node.js 18 on, v2 before. That `@smithy/*` comes with v3
//! is what the AWS CDK relies on when it leaves the SDK out of a bundle (`aws-lambda-nodejs`). Ruby's runtimes have the
//! gems, which are not resolved here; Java, .NET, Go and `provided` have none: what they use is built in.

use super::{Family, Runtime};

/// An SDK that a runtime has.
#[derive(Debug, PartialEq, Eq)]
pub struct Sdk {
    /// What it is called.
    pub name: &'static str,
    /// Its packages; one that ends in `/` stands for all of that scope.
    pub packages: &'static [&'static str],
}

const BOTO3: Sdk = Sdk { name: "boto3", packages: &["boto3", "botocore"] };
const JAVASCRIPT_3: Sdk = Sdk { name: "the AWS SDK for JavaScript v3", packages: &["@aws-sdk/", "@smithy/"] };
const JAVASCRIPT_2: Sdk = Sdk { name: "the AWS SDK for JavaScript v2", packages: &["aws-sdk"] };

/// The SDK that a runtime has, as far as packages of it may be left out.
pub const fn sdk(runtime: &Runtime) -> Option<&'static Sdk> {
    match runtime.family {
        Family::Python { .. } => Some(&BOTO3),
        Family::Node { major } if major >= 18 => Some(&JAVASCRIPT_3),
        Family::Node { .. } => Some(&JAVASCRIPT_2),
        _ => None,
    }
}

impl Sdk {
    /// Whether a package is of it.
    pub fn has(&self, package: &str) -> bool {
        self.packages.iter().any(|name| match name.ends_with('/') {
            true => package.starts_with(name),
            false => package == *name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lambda::find;

    #[test]
    fn runtimes_have_the_sdk_of_their_language() {
        let has = |runtime: &str, package: &str| sdk(find(runtime).unwrap()).is_some_and(|sdk| sdk.has(package));
        assert!(has("python3.13", "boto3") && has("python3.8", "botocore") && !has("python3.13", "boto3-stubs"));
        assert!(has("nodejs22.x", "@aws-sdk/client-s3") && has("nodejs18.x", "@smithy/types"));
        assert!(
            !has("nodejs16.x", "@aws-sdk/client-s3") && has("nodejs16.x", "aws-sdk") && !has("nodejs22.x", "aws-sdk")
        );
        assert!(sdk(find("provided.al2023").unwrap()).is_none() && sdk(find("java21").unwrap()).is_none());
    }
}
