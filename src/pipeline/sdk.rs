//! The AWS SDK of a function whose runtime has one, too: left out when the config says so, else told when it is large.

use std::collections::BTreeSet;

use crate::lambda::Runtime;
use crate::project::{AwsSdk, FunctionSpec};
use crate::report::bytes;
use crate::resolve::{Package, Resolution, sdk};
use crate::tree::Tree;

/// What leaving it out would save is not worth a word below this, in bytes unpacked.
const WORTH_SAYING: u64 = 1 << 20;
/// So many packages are named.
const NAMED: usize = 2;

/// Leaves out of what was resolved for a function with these `own` files what its runtime has.
pub(super) fn settle(spec: &FunctionSpec, runtime: &'static Runtime, own: &Tree, resolution: &mut Resolution) {
    let Some(spare) = sdk::spare(&resolution.packages, own, runtime, spec.architecture) else { return };
    let size: u64 = spare.packages.iter().map(|at| resolution.packages[*at].tree.bytes()).sum();
    let told = self::told(&resolution.packages, &spare.packages);
    match spec.aws_sdk {
        AwsSdk::Runtime => {
            let has = spare.sdk.name;
            resolution.notes.push(format!("left to {}, which has {has}: {told}, {}", runtime.id, bytes(size)));
            if !spare.asked_by.is_empty() {
                let who = self::told(&resolution.packages, &spare.asked_by);
                resolution.notes.push(format!(
                    "the version of {} decides for {who}: check that it is one that they ask for",
                    runtime.id
                ));
            }
            let mut at = 0..;
            resolution.packages.retain(|_| at.next().is_none_or(|at| !spare.packages.contains(&at)));
        }
        AwsSdk::Bundle if size >= WORTH_SAYING => resolution.notes.push(format!(
            "`aws-sdk = \"runtime\"` would save {}: {} has {}, of which here are {told}",
            bytes(size),
            runtime.id,
            spare.sdk.name
        )),
        AwsSdk::Bundle => {}
    }
}

/// `boto3 1.35.0, botocore 1.35.0 and 5 more`.
fn told(packages: &[Package], spare: &BTreeSet<usize>) -> String {
    let first: Vec<String> = spare.iter().take(NAMED).map(|at| packages[*at].label()).collect();
    match spare.len().saturating_sub(NAMED) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}
