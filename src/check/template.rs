//! `reserved-concurrency`, `alias-not-published`, `inline-code`, and of functions of a template that are not packed, what can
//! be said without their code: runtime, environment, handler of inline code, number of layers.

use super::environment;
use super::runtime::check_runtime;
use crate::finding::{Finding, Rule};
use crate::lambda::{self, Architecture, Date, Family};
use crate::template::{Code, Function, Template};

/// What CloudFormation or Lambda would say of a template, and what they would not say and people find out too late.
pub fn check_template(template: &Template, today: Date) -> Vec<Finding> {
    let mut all = Vec::new();
    collect(template, &mut all);
    let mut findings: Vec<Finding> = reserved_concurrency(&all).into_iter().collect();
    for function in all {
        let mut found = Vec::new();
        found.extend(alias_not_published(function));
        if matches!(function.code, Code::Inline | Code::Remote) {
            found.extend(not_packed(function, today));
        }
        findings.extend(found.into_iter().map(|finding| finding.function(&function.id)));
    }
    findings
}

fn collect<'t>(template: &'t Template, out: &mut Vec<&'t Function>) {
    out.extend(&template.functions);
    template.stacks.iter().for_each(|stack| collect(&stack.template, out));
}

/// Reservations are subtracted from what the account has in the region, whichever stacks they are in.
fn reserved_concurrency(functions: &[&Function]) -> Option<Finding> {
    let reserved = functions.iter().filter_map(|function| function.deployment.reserved_concurrency);
    let sum = reserved.fold(0_u64, u64::saturating_add);
    let left = lambda::CONCURRENCY - lambda::UNRESERVED_CONCURRENCY;
    (sum > left).then(|| {
        Finding::new(
            Rule::ReservedConcurrency,
            format!(
                "{} The functions of this template reserve {sum}; an account has {} unless that was raised",
                lambda::CONCURRENCY_MESSAGE,
                lambda::CONCURRENCY
            ),
            format!(
                "reserve {left} at most, all functions of the account and region together, or have the quota raised"
            ),
        )
        .path("Resources")
    })
}

/// SAM publishes a version when the text of `CodeUri` changes, not when the object there does.
fn alias_not_published(function: &Function) -> Option<Finding> {
    let told = &function.deployment;
    if function.code != Code::Remote || !told.publishes_alias || told.tells_versions {
        return None;
    }
    let finding = Finding::new(
        Rule::AliasNotPublished,
        "SAM publishes a version for `AutoPublishAlias` when `CodeUri` changes; this one stays the same whatever is in the object, so that the alias stays at the old code",
        "name the object's `Version`, or a digest of it in `AutoPublishCodeSha256`; code that is packed here gets a place that changes with it",
    );
    Some(finding.path(format!("Resources.{}.Properties.CodeUri", function.id)))
}

fn not_packed(function: &Function, today: Date) -> Vec<Finding> {
    let mut findings = environment::of_variables(&function.environment);
    let count = function.layers.len();
    if count > lambda::LAYERS_PER_FUNCTION {
        let message = format!("{} It has {count}", lambda::LAYERS_MESSAGE);
        findings.push(Finding::new(Rule::TooManyLayers, message, "put what several of them hold into one layer"));
    }
    let mut family = None;
    if let Some(id) = &function.runtime {
        let architecture =
            function.architecture.as_deref().and_then(Architecture::parse).unwrap_or(Architecture::X86_64);
        let (runtime, found) = check_runtime(id, architecture, today);
        findings.extend(found);
        family = runtime.map(|runtime| (id, runtime.family));
    }
    if let (Some(bytes), Some((id, family))) = (function.deployment.inline_bytes, family) {
        findings.extend(inline(function, bytes, id, family));
    }
    findings
}

/// Code that CloudFormation writes into `index.py` or `index.js`, and zips.
fn inline(function: &Function, bytes: usize, runtime: &str, family: Family) -> Option<Finding> {
    let at = if function.is_serverless { "InlineCode" } else { "Code" };
    let path = format!("Resources.{}.Properties.{at}", function.id);
    let file = match family {
        Family::Python { .. } => "index.py",
        Family::Node { .. } => "index.js",
        _ => {
            let message =
                format!("ZipFile can only be used when Runtime is set to either of nodejs, python; this is {runtime}");
            let hint = "put the code into a folder, and name that in `CodeUri` or `Code`";
            return Some(Finding::new(Rule::InlineCode, message, hint).path(path));
        }
    };
    if bytes > lambda::INLINE_LIMIT {
        let message = format!("inline code may have {} bytes; this has {bytes}", lambda::INLINE_LIMIT);
        return Some(Finding::new(Rule::InlineCode, message, "put the code into a folder, and name that").path(path));
    }
    let handler = function.handler.as_deref()?;
    let (module, name) = handler.rsplit_once('.').unwrap_or((handler, ""));
    (module != "index").then(|| {
        let message = format!("inline code becomes `{file}`; `{handler}` looks for another file");
        Finding::new(Rule::HandlerNotFound, message, format!("write `index.{name}`")).path(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::yaml::Document;
    use std::collections::BTreeMap;
    use std::path::Path;

    fn said(resources: &str) -> Vec<String> {
        let text = format!("Transform: AWS::Serverless-2016-10-31\nResources:\n{resources}");
        let document = Document::parse(Path::new("/t.yaml"), text).unwrap();
        let template = Template::of(document, &BTreeMap::new(), &BTreeMap::new()).unwrap();
        let findings = check_template(&template, Date::new(2026, 11, 23));
        findings.iter().map(|f| format!("{} {}", f.rule.id(), f.function.as_deref().unwrap_or("-"))).collect()
    }

    fn function(id: &str, properties: &str) -> String {
        format!("  {id}: {{Type: AWS::Serverless::Function, Properties: {{{properties}}}}}\n")
    }

    const INLINE: &str = "InlineCode: 'def f(e, c): return 1', Runtime: python3.13, Handler: index.f";

    #[test]
    fn a_hundred_executions_stay_unreserved() {
        let reserve = |n: u64, m: u64| {
            let with = |n: u64| format!("{INLINE}, ReservedConcurrentExecutions: {n}");
            said(&(function("A", &with(n)) + &function("B", &with(m))))
        };
        assert!(reserve(500, 400).is_empty());
        assert_eq!(reserve(500, 401), ["reserved-concurrency -"]);
        assert_eq!(reserve(u64::MAX, u64::MAX), ["reserved-concurrency -"]);
        let unknown = function("A", &format!("{INLINE}, ReservedConcurrentExecutions: !ImportValue x"));
        assert!(said(&unknown).is_empty());
    }

    #[test]
    fn an_alias_of_a_place_that_never_changes() {
        let of = |code: &str| {
            said(&function("A", &format!("Runtime: python3.13, Handler: a.b, AutoPublishAlias: live, {code}")))
        };
        assert_eq!(of("CodeUri: 's3://b/k.zip'"), ["alias-not-published A"]);
        assert_eq!(of("CodeUri: {Bucket: b, Key: k}"), ["alias-not-published A"]);
        for code in [
            "CodeUri: {Bucket: b, Key: k, Version: v}",
            "CodeUri: 's3://b/k.zip', AutoPublishCodeSha256: !Ref X",
            "CodeUri: 's3://b/k.zip?versionId=1'",
            "InlineCode: 'x', Handler: index.b",
        ] {
            let code = code.replace("InlineCode: 'x', Handler: index.b", "InlineCode: 'x'");
            let found = of(&code);
            assert!(!found.contains(&"alias-not-published A".to_owned()), "{code}: {found:?}");
        }
        assert!(said(&function("A", "Runtime: python3.13, Handler: a.b, CodeUri: 's3://b/k.zip'")).is_empty());
    }

    #[test]
    fn inline_code_is_small_and_of_two_languages() {
        assert!(said(&function("A", INLINE)).is_empty());
        assert_eq!(said(&function("A", &INLINE.replace("python3.13", "ruby3.3"))), ["inline-code A"]);
        assert_eq!(said(&function("A", &INLINE.replace("index.f", "app.f"))), ["handler-not-found A"]);
        let raw =
            "  A: {Type: AWS::Lambda::Function, Properties: {Code: {ZipFile: 'x'}, Runtime: java21, Handler: a.B}}\n";
        assert_eq!(said(raw), ["inline-code A"]);
        let limit = "x".repeat(lambda::INLINE_LIMIT);
        let large = |code: &str| function("A", &format!("InlineCode: {code}, Runtime: nodejs22.x, Handler: index.f"));
        assert!(said(&large(&limit)).is_empty());
        assert_eq!(said(&large(&(limit + "x"))), ["inline-code A"]);
    }

    #[test]
    fn what_is_not_packed_is_looked_at_as_far_as_it_is_known() {
        let remote = |rest: &str| said(&function("A", &format!("CodeUri: 's3://b/k.zip', Handler: a.b, {rest}")));
        assert_eq!(remote("Runtime: nodejs20.x"), ["runtime-deprecated A"]);
        assert_eq!(remote("Runtime: pyton3.13"), ["runtime-unknown A"]);
        assert_eq!(remote("Runtime: python3.13, Environment: {Variables: {AWS_REGION: x}}"), ["env-reserved-key A"]);
        let large = "x".repeat(5_000);
        assert_eq!(
            remote(&format!("Runtime: python3.13, Environment: {{Variables: {{AB: {large}}}}}")),
            ["env-too-large A"]
        );
        let layers = |n: usize| {
            (1..=n)
                .map(|i| format!("'arn:aws:lambda:eu-west-1:123456789012:layer:l{i}:1'"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        assert!(remote(&format!("Runtime: python3.13, Layers: [{}]", layers(5))).is_empty());
        assert_eq!(remote(&format!("Runtime: python3.13, Layers: [{}]", layers(6))), ["too-many-layers A"]);
        assert!(said(&function("A", "PackageType: Image, ImageUri: 'x'")).is_empty());
    }
}
