//! What a person reads at the end: per function the runtime, the packages, the sizes, and where the zip is.

use std::fmt::Write as _;
use std::path::Path;

use super::print::{self, Style};
use crate::pipeline::{Manifest, ManifestFunction, Plan, PlannedFunction, Timings, Upload};
use crate::project::Project;
use crate::report::{bytes, count, duration};

/// How many of the largest packages are named.
const LARGEST: usize = 3;

/// The summary of a build.
pub(super) fn build(project: &Project, plan: &Plan, manifest: &Manifest, out_dir: &Path, style: Style) -> String {
    let mut out = String::new();
    for (function, described) in plan.functions.iter().zip(&manifest.functions) {
        head(&mut out, function, style);
        packed(&mut out, described, out_dir, style);
        packages(&mut out, function);
        for note in &function.notes {
            let _ = writeln!(out, "  {}", style.dim(note));
        }
        out.push('\n');
    }
    let packed = manifest.functions.iter().filter(|f| f.artifact.is_some()).count();
    let refused = manifest.functions.len() - packed;
    let mut line = format!("{} packed{}", count(packed, "function"), from(project));
    if refused > 0 {
        let _ = write!(line, ", {}", style.red(&format!("{refused} refused")));
    }
    let _ = writeln!(out, "{line} in {} {}", duration(plan.timings.total), style.dim(&stages(plan.timings)));
    let _ = writeln!(out, "{}", style.dim(&format!("manifest: {}", print::path(&out_dir.join("manifest.json")))));
    out
}

/// The decisions of a plan; with `verbose`, of every path.
pub(super) fn plan(project: &Project, plan: &Plan, verbose: bool, style: Style) -> String {
    let mut out = String::new();
    for function in &plan.functions {
        head(&mut out, function, style);
        let _ = writeln!(
            out,
            "  {} unzipped in {}, about {} zipped",
            bytes(function.tree.bytes()),
            count(function.tree.files(), "file"),
            bytes(function.estimated_zip_bytes())
        );
        all_packages(&mut out, function);
        let dropped: Vec<_> = function.decisions.iter().filter(|d| !d.kept).collect();
        if verbose {
            for decision in &function.decisions {
                let sign = if decision.kept { style.green("+") } else { style.red("-") };
                let _ = writeln!(out, "  {sign} {}  {}", decision.path, style.dim(&decision.rule));
            }
        } else if !dropped.is_empty() {
            let _ = writeln!(out, "  left out: {} (`plan -v` says which, and why)", count(dropped.len(), "path"));
        }
        for note in &function.notes {
            let _ = writeln!(out, "  {}", style.dim(note));
        }
        out.push('\n');
    }
    let _ = writeln!(
        out,
        "{} planned{} in {}; nothing was packed",
        count(plan.functions.len(), "function"),
        from(project),
        duration(plan.timings.total)
    );
    out
}

/// The config that said what to pack, if one did.
fn from(project: &Project) -> String {
    if project.is_detected() { String::new() } else { format!(" from {}", project.origin) }
}

fn head(out: &mut String, function: &PlannedFunction, style: Style) {
    let spec = &function.spec;
    let mut facts = vec![spec.runtime.clone(), spec.architecture.to_string()];
    facts.extend(function.handler.clone());
    let _ = writeln!(out, "{}  {}", style.bold(&spec.name), facts.join(" · "));
}

fn packed(out: &mut String, function: &ManifestFunction, out_dir: &Path, style: Style) {
    let Some(artifact) = &function.artifact else {
        let _ = writeln!(out, "  {}", style.red("not packed: Lambda would refuse it"));
        return;
    };
    let _ = writeln!(
        out,
        "  {}  {}, {} unzipped, {}",
        style.green(&print::path(&out_dir.join(&artifact.path))),
        bytes(artifact.bytes),
        bytes(artifact.unzipped_bytes),
        count(artifact.files, "file")
    );
    if function.upload == Some(Upload::S3) {
        let _ = writeln!(out, "  too large for a direct upload: goes through S3");
    }
}

fn packages(out: &mut String, function: &PlannedFunction) {
    if function.packages.is_empty() {
        if !function.resolved_by.is_empty() {
            let _ = writeln!(out, "  {}", function.resolved_by);
        }
        return;
    }
    let total: u64 = function.packages.iter().map(|p| p.bytes).sum();
    let mut largest: Vec<_> = function.packages.iter().collect();
    largest.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    let named: Vec<String> = largest.iter().take(LARGEST).map(|p| format!("{} {}", p.name, bytes(p.bytes))).collect();
    let more = if largest.len() > LARGEST { ", …" } else { "" };
    let _ = writeln!(
        out,
        "  {} ({}) from {}: {}{more}",
        count(function.packages.len(), "package"),
        bytes(total),
        function.resolved_by,
        named.join(", ")
    );
}

fn all_packages(out: &mut String, function: &PlannedFunction) {
    if function.packages.is_empty() {
        let _ = writeln!(out, "  {}", function.resolved_by);
        return;
    }
    let _ = writeln!(out, "  {} from {}:", count(function.packages.len(), "package"), function.resolved_by);
    let name = |p: &crate::pipeline::PlannedPackage| format!("{} {}", p.name, p.version);
    let width = function.packages.iter().map(|p| name(p).chars().count()).max().unwrap_or(0);
    for package in &function.packages {
        let _ = writeln!(out, "    {:width$}  {:>9}", name(package), bytes(package.bytes));
    }
}

fn stages(timings: Timings) -> String {
    format!(
        "(resolve {}, check {}, pack {})",
        duration(timings.resolve),
        duration(timings.check),
        duration(timings.pack)
    )
}
