//! `runtime-unknown`, `runtime-blocked`, `runtime-deprecated`, and an architecture that the runtime does not have.

use crate::finding::{Finding, Rule};
use crate::lambda::{self, Architecture, Date, Runtime, Status};

/// The runtime of an identifier with what is to be said of it, or nothing when it cannot be used.
pub fn check_runtime(id: &str, architecture: Architecture, today: Date) -> (Option<&'static Runtime>, Vec<Finding>) {
    let nearest = lambda::nearest(id, today).id;
    let Some(runtime) = lambda::find(id) else {
        let finding = Finding::new(
            Rule::RuntimeUnknown,
            format!("Value {id} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set"),
            format!("did you mean `{nearest}`?"),
        );
        return (None, vec![finding]);
    };
    let mut findings = Vec::new();
    match runtime.status(today) {
        Status::Supported if runtime.lifecycle.preview => findings.push(
            Finding::new(Rule::RuntimeDeprecated, format!("{id} was announced, but is not known to be generally available"), format!("use `{nearest}` until it is"))
                .level(crate::finding::Level::Note),
        ),
        Status::Supported => {}
        Status::Deprecated(since) => findings.push(Finding::new(
            Rule::RuntimeDeprecated,
            match runtime.lifecycle.create_blocked {
                Some(blocked) => format!("{id} is deprecated since {since} and gets no more security patches; new functions are refused from {blocked}"),
                None => format!("{id} is deprecated since {since} and gets no more security patches"),
            },
            format!("move to `{nearest}`"),
        )),
        Status::CreateBlocked(since) => findings.push(Finding::new(
            Rule::RuntimeDeprecated,
            match runtime.lifecycle.update_blocked {
                Some(blocked) => format!("Lambda has refused new functions of {id} since {since}, and will refuse updates from {blocked}"),
                None => format!("Lambda has refused new functions of {id} since {since}"),
            },
            format!("move to `{nearest}`"),
        )),
        Status::UpdateBlocked(since) => {
            let when = since.map(|date| format!(" (since {date})")).unwrap_or_default();
            findings.push(Finding::new(
                Rule::RuntimeBlocked,
                format!("The runtime parameter of {id} is no longer supported for creating or updating AWS Lambda functions{when}"),
                format!("move to `{nearest}`"),
            ));
            return (None, findings);
        }
    }
    if !runtime.architectures.contains(&architecture) {
        findings.push(Finding::new(
            Rule::WrongArchitecture,
            format!("{id} does not run on {architecture}"),
            format!("use `x86_64`, or move to `{nearest}`, which runs on both"),
        ));
        return (None, findings);
    }
    (Some(runtime), findings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Level;

    fn said(id: &str, architecture: Architecture) -> (bool, Vec<(Rule, Level, String)>) {
        let (runtime, findings) = check_runtime(id, architecture, Date::new(2026, 11, 23));
        (
            runtime.is_some(),
            findings.into_iter().map(|f| (f.rule, f.level, format!("{} | {}", f.message, f.hint))).collect(),
        )
    }

    #[test]
    fn each_state_of_a_runtime_has_its_word() {
        use Architecture::{Arm64, X86_64};
        assert_eq!(said("python3.13", Arm64), (true, vec![]));
        let (usable, findings) = said("nodejs20.x", X86_64);
        assert!(usable && findings[0].0 == Rule::RuntimeDeprecated && findings[0].1 == Level::Warning);
        assert!(findings[0].2.contains("2026-04-30") && findings[0].2.contains("nodejs24.x"), "{findings:?}");
        let (usable, findings) = said("nodejs14.x", X86_64);
        assert!(
            usable && findings[0].0 == Rule::RuntimeDeprecated && findings[0].2.contains("2024-01-09"),
            "{findings:?}"
        );
        let (usable, findings) = said("nodejs12.x", X86_64);
        assert!(!usable && findings[0].0 == Rule::RuntimeBlocked && findings[0].1 == Level::Error);
        let (usable, findings) = said("pyton3.13", X86_64);
        assert!(
            !usable && findings[0].0 == Rule::RuntimeUnknown && findings[0].2.contains("`python3.13`"),
            "{findings:?}"
        );
        let (usable, findings) = said("python3.7", Arm64);
        assert!(!usable && findings[1].0 == Rule::WrongArchitecture);
    }
}
