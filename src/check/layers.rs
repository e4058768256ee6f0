//! `too-many-layers`, `layer-twice`, `layer-incompatible`, `layer-not-importable`.
//!
//! Layers are merged at `/opt` in the order in which a function names them ("Managing Lambda dependencies with layers" in the
//! AWS Lambda Developer Guide). Lambda does not compare a function with the runtimes that a layer says it is for.

use std::collections::BTreeMap;

use super::Subject;
use crate::finding::{Finding, Rule};
use crate::lambda::{self, Architecture, Family};
use crate::split::shape;

/// A layer of a function.
#[derive(Debug, Clone, Copy)]
pub struct Attached<'a> {
    /// Its name, or its ARN.
    pub name: &'a str,
    /// Its version's ARN, when it exists.
    pub arn: Option<&'a str>,
    /// Whether the config names it.
    pub is_own: bool,
    /// Runtimes that it is for; empty when that is not said.
    pub runtimes: &'a [String],
    /// Processors that it is for; empty when that is not said.
    pub architectures: &'a [Architecture],
}

impl Attached<'_> {
    /// What is the same for all versions of a layer.
    fn layer(&self) -> &str {
        self.arn.and_then(|arn| arn.rsplit_once(':')).map_or(self.name, |(layer, _)| layer)
    }
}

pub(super) fn check_layers(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let count = subject.layers.len();
    if count > lambda::LAYERS_PER_FUNCTION {
        findings.push(Finding::new(
            Rule::TooManyLayers,
            format!("{} It has {count}", lambda::LAYERS_MESSAGE),
            "put what several of them hold into one layer",
        ));
    }
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for layer in subject.layers {
        if let Some(other) = seen.insert(layer.layer(), layer.name) {
            findings.push(Finding::new(
                Rule::LayerTwice,
                format!(
                    "Two different versions of the same layer are not allowed to be referenced in the same function. {other} and {} are versions of the same layer.",
                    layer.name
                ),
                "name it once in `layers`",
            ));
        }
        findings.extend(incompatible(subject, layer));
    }
    findings.extend(modules(subject));
    findings
}

fn incompatible(subject: &Subject<'_>, layer: &Attached<'_>) -> Option<Finding> {
    let (runtime, architecture) = (subject.runtime.id, subject.architecture);
    let fits = layer.runtimes.is_empty() || layer.runtimes.iter().any(|known| known == runtime);
    let runs = layer.architectures.is_empty() || layer.architectures.contains(&architecture);
    let (function, meant) = match (fits, runs) {
        (true, true) => return None,
        (false, _) => (runtime.to_owned(), layer.runtimes.join(", ")),
        (true, false) => {
            let meant: Vec<&str> = layer.architectures.iter().map(|architecture| architecture.as_str()).collect();
            (architecture.to_string(), meant.join(", "))
        }
    };
    Some(Finding::new(
        Rule::LayerIncompatible,
        format!(
            "layer `{}` is for {meant}, the function is for {function}; Lambda attaches it all the same, and what is in it may not load",
            layer.name
        ),
        "attach a layer that is made for it, or add it to `runtime` or `architecture` of the layer",
    ))
}

/// A layer of packages that the function's own code cannot import.
fn modules(subject: &Subject<'_>) -> Option<Finding> {
    let is_node = matches!(subject.runtime.family, Family::Node { .. });
    let own = subject.layers.iter().any(|layer| layer.is_own);
    if !is_node || !own || !subject.opt.contains_folder("nodejs") || !shape::is_made_of_modules(subject.tree) {
        return None;
    }
    Some(Finding::new(
        Rule::LayerNotImportable,
        format!("{}: `import` looks only in `node_modules` beside and above the file that asks", shape::ESM),
        "bring the packages into the function, load them with `createRequire(import.meta.url)`, or import them by their path below `/opt/nodejs/node_modules`",
    ))
}

/// That the policy moves nothing, and why.
pub fn packages_stay(why: &str) -> Finding {
    Finding::new(
        Rule::LayerNotImportable,
        format!("packages stay in the function: {why}"),
        "set `layers = \"none\"` for it, or compile it to CommonJS",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::tree;
    use crate::lambda::Date;

    fn said(runtime: &str, own: &[(&str, &str)], opt: &[(&str, &str)], layers: &[Attached<'_>]) -> Vec<Rule> {
        let (tree, opt) = (tree(own), tree(opt));
        let environment = BTreeMap::new();
        let runtime = lambda::find(runtime).unwrap();
        let alone = Subject::alone(runtime, Architecture::X86_64, &tree, &environment, Date::new(2026, 11, 23));
        let subject = Subject { layers, opt: &opt, opt_bytes: opt.bytes(), ..alone };
        check_layers(&subject).into_iter().map(|finding| finding.rule).collect()
    }

    fn layer<'a>(name: &'a str, arn: Option<&'a str>) -> Attached<'a> {
        Attached { name, arn, is_own: true, runtimes: &[], architectures: &[] }
    }

    #[test]
    fn five_layers_are_taken_and_six_are_not() {
        let layers: Vec<Attached<'_>> = ["a", "b", "c", "d", "e", "f"].iter().map(|name| layer(name, None)).collect();
        assert_eq!(said("python3.13", &[], &[], &layers[..5]), []);
        assert_eq!(said("python3.13", &[], &[], &layers), [Rule::TooManyLayers]);
    }

    #[test]
    fn two_versions_of_one_layer_are_told() {
        let arn = |version: &str| format!("arn:aws:lambda:eu-west-1:123456789012:layer:a:{version}");
        let (one, two) = (arn("1"), arn("2"));
        let layers = [layer(&one, Some(&one)), layer("other", Some(&two))];
        assert_eq!(said("python3.13", &[], &[], &layers), [Rule::LayerTwice]);
    }

    #[test]
    fn runtimes_and_processors_are_compared() {
        let runtimes = ["python3.12".to_owned(), "python3.13".to_owned()];
        let arm = [Architecture::Arm64];
        let fits = Attached { runtimes: &runtimes, ..layer("a", None) };
        assert_eq!(said("python3.13", &[], &[], &[fits]), []);
        assert_eq!(said("nodejs22.x", &[], &[], &[fits]), [Rule::LayerIncompatible]);
        assert_eq!(
            said("python3.13", &[], &[], &[Attached { architectures: &arm, ..fits }]),
            [Rule::LayerIncompatible]
        );
    }

    #[test]
    fn modules_and_layers_of_packages_do_not_go_together() {
        let opt = [("nodejs/node_modules/a/index.js", "")];
        let layers = [layer("a", None)];
        assert_eq!(said("nodejs22.x", &[("index.mjs", "")], &opt, &layers), [Rule::LayerNotImportable]);
        assert_eq!(said("nodejs22.x", &[("index.js", "")], &opt, &layers), []);
        assert_eq!(said("nodejs22.x", &[("index.mjs", "")], &[("bin/x", "")], &layers), []);
    }
}
