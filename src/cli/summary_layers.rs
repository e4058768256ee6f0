//! The part of a summary that is about layers: what is in each, who has it, and what sharing would save.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::print::{self, Style};
use crate::lambda;
use crate::pipeline::{ManifestLayer, Plan, PlannedFunction, PlannedLayer, PlannedPackage, Upload};
use crate::process::quote;
use crate::publish::Options;
use crate::report::{bytes, count};
use crate::split::{Policy, shape};

/// How many functions or packages are named.
const NAMED: usize = 4;
/// Sharing that saves less is not worth a word, in bytes unpacked.
const WORTH_SAYING: u64 = 1 << 20;

/// Layers that were packed; `place` says where each one is.
pub(super) fn built(
    plan: &Plan,
    described: &[ManifestLayer],
    out_dir: &Path,
    style: Style,
    place: impl Fn(&mut String, &ManifestLayer),
) -> String {
    let mut out = String::new();
    for (layer, described) in plan.layers.iter().zip(described) {
        head(&mut out, layer, style);
        match (&described.artifact, &layer.arn) {
            (Some(artifact), _) => {
                let _ = writeln!(
                    out,
                    "  {}  {}, {} unzipped, {}",
                    style.green(&print::path(&out_dir.join(&artifact.path))),
                    bytes(artifact.bytes),
                    bytes(artifact.unzipped_bytes),
                    count(artifact.files, "file")
                );
            }
            (None, Some(_)) => exists(&mut out, layer),
            (None, None) => {
                let _ = writeln!(out, "  {}", style.red("not packed: Lambda would refuse it"));
            }
        }
        contents(&mut out, layer);
        notes(&mut out, layer, style);
        place(&mut out, described);
        out.push('\n');
    }
    out
}

/// Layers that would be packed, with all that is in them, and why.
pub(super) fn planned(plan: &Plan, style: Style) -> String {
    let mut out = String::new();
    for layer in &plan.layers {
        head(&mut out, layer, style);
        match &layer.arn {
            Some(_) => exists(&mut out, layer),
            None => {
                let _ =
                    writeln!(out, "  {} unzipped in {}", bytes(layer.tree.bytes()), count(layer.tree.files(), "file"));
            }
        }
        let width = layer.packages.iter().map(|p| p.label().len()).max().unwrap_or(0);
        for package in &layer.packages {
            let name = package.label();
            let _ = writeln!(
                out,
                "    {name:width$}  {:>9}  {}",
                bytes(package.bytes),
                style.dim(&why(plan, layer, package))
            );
        }
        notes(&mut out, layer, style);
        if !layer.is_own && layer.users.len() > 1 {
            let saved = layer.unzipped_bytes.unwrap_or_default() * (layer.users.len() as u64 - 1);
            let _ = writeln!(out, "  saves {} in {} together", bytes(saved), count(layer.users.len(), "zip"));
        }
        out.push('\n');
    }
    out
}

/// Why a package is in a layer.
fn why(plan: &Plan, layer: &PlannedLayer, package: &PlannedPackage) -> String {
    if layer.is_own {
        return "the layer's own".to_owned();
    }
    let has = |function: &&PlannedFunction| {
        function.packages.iter().any(|p| p.name == package.name && p.layer.as_deref() == Some(&layer.name))
    };
    let users: Vec<&PlannedFunction> = plan.functions.iter().filter(has).collect();
    match users[..] {
        [only] if only.spec.layers.policy == Policy::Deps => format!("`{}` keeps no packages", only.spec.name),
        _ if users.len() < layer.users.len() => {
            format!("needed by {} of {}", users.len(), layer.users.len())
        }
        _ => format!("shared by {}", users.len()),
    }
}

/// The layers of a function, if it has any.
pub(super) fn of_function(out: &mut String, function: &PlannedFunction) {
    if !function.layers.is_empty() {
        let _ = writeln!(
            out,
            "  {} ({} unzipped): {}",
            count(function.layers.len(), "layer"),
            bytes(function.layers_bytes),
            function.layers.join(", ")
        );
    }
}

fn head(out: &mut String, layer: &PlannedLayer, style: Style) {
    let mut facts = Vec::new();
    if !layer.runtimes.is_empty() {
        facts.push(layer.runtimes.join(", "));
    }
    facts.extend(layer.architectures.iter().map(ToString::to_string));
    facts.push(match layer.users.len() {
        0 => "no function has it".to_owned(),
        users => format!("for {}", named(&layer.users, users)),
    });
    let _ = writeln!(out, "{} {}  {}", style.dim("layer"), style.bold(&layer.name), facts.join(" · "));
}

fn named(users: &[String], count_of: usize) -> String {
    let shown = users.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    if count_of > NAMED { format!("{shown} and {} more", count_of - NAMED) } else { shown }
}

fn exists(out: &mut String, layer: &PlannedLayer) {
    let size = match layer.unzipped_bytes {
        Some(size) => format!("{} unzipped", bytes(size)),
        None => "its size is not known here: name it with `unzipped-bytes`".to_owned(),
    };
    let _ = writeln!(out, "  exists; {size}");
}

fn notes(out: &mut String, layer: &PlannedLayer, style: Style) {
    for note in &layer.notes {
        let _ = writeln!(out, "  {}", style.dim(note));
    }
}

fn contents(out: &mut String, layer: &PlannedLayer) {
    if layer.packages.is_empty() {
        return;
    }
    let mut largest: Vec<&PlannedPackage> = layer.packages.iter().collect();
    largest.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    let named: Vec<String> = largest.iter().take(NAMED).map(|p| p.label()).collect();
    let more = if largest.len() > NAMED { ", …" } else { "" };
    let _ = writeln!(out, "  {}: {}{more}", count(largest.len(), "package"), named.join(", "));
}

/// The command that publishes a layer, when it is not done here.
pub(super) fn place(out: &mut String, layer: &ManifestLayer, options: &Options, out_dir: &Path, style: Style) {
    let mut facts = Vec::new();
    if let Some(s3) = &layer.s3 {
        facts.push(("S3Bucket", s3.bucket.as_str()));
        facts.push(("S3Key", &s3.key));
        facts.extend(s3.version.as_deref().map(|version| ("S3ObjectVersion", version)));
    }
    facts.extend(layer.arn.as_deref().map(|arn| ("LayerVersionArn", arn)));
    for (name, value) in facts {
        let _ = writeln!(out, "  {} {value}", style.bold(&format!("{name:<19}")));
    }
    if let Some(artifact) =
        layer.artifact.as_ref().filter(|_| layer.arn.is_none() && layer.upload == Some(Upload::Direct))
    {
        let mut command = format!(
            "aws lambda publish-layer-version --layer-name {} --zip-file {}",
            layer.name,
            quote(&format!("fileb://{}", print::path(&out_dir.join(&artifact.path))))
        );
        for (flag, values) in [
            ("--compatible-runtimes", layer.compatible_runtimes.join(" ")),
            (
                "--compatible-architectures",
                layer.compatible_architectures.iter().map(|a| a.as_str()).collect::<Vec<_>>().join(" "),
            ),
            ("--region", options.aws.region.clone().unwrap_or_default()),
            ("--profile", options.aws.profile.clone().unwrap_or_default()),
        ] {
            if !values.is_empty() {
                let _ = write!(command, " {flag} {values}");
            }
        }
        let _ = writeln!(out, "  `--publish-layers` publishes it, or:\n    {command}");
    }
}

/// What `--layers shared` would take out of zips that stand alone; nothing when it is not worth a word.
pub(super) fn would_save(plan: &Plan) -> Option<String> {
    let mut copies: BTreeMap<(&str, &str, &str, u64), u64> = BTreeMap::new();
    for function in plan.functions.iter().filter(|function| function.spec.layers.policy == Policy::None) {
        let Some(scope) = lambda::find(&function.spec.runtime).and_then(|runtime| shape::scope(runtime.family)) else {
            continue;
        };
        for package in function.packages.iter().filter(|package| !package.is_native && !package.is_bundled) {
            *copies.entry((scope, &package.name, &package.version, package.bytes)).or_default() += 1;
        }
    }
    let shared = copies.iter().filter(|(_, copies)| **copies > 1);
    let (packages, saved) = shared.fold((0, 0), |(n, sum), ((.., bytes), copies)| (n + 1, sum + bytes * (copies - 1)));
    (saved >= WORTH_SAYING).then(|| {
        format!(
            "{} in several zips: `--layers shared` would take up to {} (unzipped) out of them",
            if packages == 1 { "1 package is".to_owned() } else { format!("{packages} packages are") },
            bytes(saved)
        )
    })
}
