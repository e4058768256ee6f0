//! What a person reads at the end: per function the runtime, the packages, the sizes, and where the zip is.

use std::fmt::Write as _;
use std::path::Path;

use super::print::{self, Style};
use super::{summary_images, summary_layers};
use crate::finding::Level;
use crate::image::PlannedImage;
use crate::pack::Artifact;
use crate::pipeline::{Built, ManifestFunction, Plan, PlannedFunction, Sendings, Timings, Upload};
use crate::process::quote;
use crate::project::Project;
use crate::publish::Options;
use crate::report::{bytes, count, duration};

/// How many of the largest packages are named.
const LARGEST: usize = 3;

/// The summary of a build.
pub(super) fn build(project: &Project, built: &Built, out_dir: &Path, style: Style) -> String {
    let mut out = String::new();
    for (function, described) in built.plan.functions.iter().zip(&built.manifest.functions) {
        one(&mut out, function, described, out_dir, style);
        if described.upload == Some(Upload::S3) {
            let _ = writeln!(out, "  too large for a direct upload: goes through S3");
        }
        out.push('\n');
    }
    out.push_str(&summary_layers::built(&built.plan, &built.manifest.layers, out_dir, style, |_, _| {}));
    out + &total(project, built, out_dir, style)
}

/// The summary of a build whose zips were published.
pub(super) fn publish(
    project: &Project,
    built: &Built,
    options: &Options,
    sendings: Sendings,
    out_dir: &Path,
    style: Style,
) -> String {
    let refused = built.plan.findings.iter().any(|f| f.level == Level::Error);
    let mut out = String::new();
    for (function, described) in built.plan.functions.iter().zip(&built.manifest.functions) {
        one(&mut out, function, described, out_dir, style);
        match &described.artifact {
            Some(artifact) if !refused => place(&mut out, described, artifact, options, out_dir, style),
            _ => summary_images::place(&mut out, described, options, style),
        }
        out.push('\n');
    }
    out.push_str(&summary_layers::built(&built.plan, &built.manifest.layers, out_dir, style, |out, layer| {
        if !refused {
            summary_layers::place(out, layer, options, out_dir, style);
        }
    }));
    out.push_str(&total(project, built, out_dir, style));
    let images = summary_images::line(sendings.images).filter(|_| !refused);
    let has_zips = built.manifest.functions.iter().any(|function| function.image.is_none());
    if refused || has_zips || images.is_none() {
        out.push_str(&zips(refused, sendings, style));
    }
    if let Some(line) = images {
        let _ = writeln!(out, "{line}");
    }
    out
}

/// What became of zips and layers, in a line.
fn zips(refused: bool, sendings: Sendings, style: Style) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{}",
        match (refused, sendings) {
            (true, _) => style.red("nothing was published"),
            (false, Sendings { sent: 0, present: 0, published: 0, known: 0, .. }) => {
                "nothing has to go through S3".to_owned()
            }
            (false, Sendings { sent: 0, present: 0, published: 0, known, .. }) => {
                format!("nothing to publish: Lambda has {}", count(known, "layer version"))
            }
            (false, Sendings { sent: 0, present: 0, published, known, .. }) => layers_published(published, known),
            (false, Sendings { sent: 0, present, published: 0, .. }) => {
                format!("nothing to upload: {} there already", are(present))
            }
            (false, Sendings { sent, bytes: sum, present, published, known, .. }) => {
                let there = if present > 0 { format!(", {} there already", are(present)) } else { String::new() };
                let layers = match (published, known) {
                    (0, 0) => String::new(),
                    _ => format!("; {}", layers_published(published, known)),
                };
                format!("{} uploaded ({}){there}{layers}", count(sent, "zip"), bytes(sum))
            }
        }
    );
    out
}

/// `1 layer version published, 2 there already`.
fn layers_published(published: usize, known: usize) -> String {
    let there = if known > 0 { format!(", {known} there already") } else { String::new() };
    format!("{} published{there}", count(published, "layer version"))
}

/// `1 zip is`, `2 zips are`.
fn are(zips: usize) -> String {
    format!("{} {}", count(zips, "zip"), if zips == 1 { "is" } else { "are" })
}

/// Where the zip is, in the words of whoever deploys it.
fn place(
    out: &mut String,
    function: &ManifestFunction,
    artifact: &Artifact,
    options: &Options,
    out_dir: &Path,
    style: Style,
) {
    let mut facts = Vec::new();
    if let Some(s3) = &function.s3 {
        facts.push(("S3Bucket", s3.bucket.as_str()));
        facts.push(("S3Key", &s3.key));
        facts.extend(s3.version.as_deref().map(|version| ("S3ObjectVersion", version)));
        facts.extend(s3.storage_mode.map(|mode| ("S3ObjectStorageMode", mode)));
    }
    facts.push(("CodeSha256", &artifact.code_sha256));
    for (name, value) in facts {
        let _ = writeln!(out, "  {} {value}", style.bold(&format!("{name:<19}")));
    }
    if function.s3.is_none() {
        let mut command = format!(
            "aws lambda update-function-code --function-name {} --zip-file {}",
            function.name,
            quote(&format!("fileb://{}", print::path(&out_dir.join(&artifact.path))))
        );
        for (flag, value) in [("--region", &options.aws.region), ("--profile", &options.aws.profile)] {
            if let Some(value) = value {
                let _ = write!(command, " {flag} {}", quote(value));
            }
        }
        let _ = writeln!(out, "  small enough for a direct upload:\n    {command}");
    }
}

fn one(out: &mut String, function: &PlannedFunction, described: &ManifestFunction, out_dir: &Path, style: Style) {
    head(out, function, style);
    packed(out, described, out_dir, style);
    packages(out, function);
    summary_layers::of_function(out, function);
    for note in &function.notes {
        let _ = writeln!(out, "  {}", style.dim(note));
    }
}

fn total(project: &Project, built: &Built, out_dir: &Path, style: Style) -> String {
    let Built { plan, manifest, .. } = built;
    let mut out = String::new();
    let packed = manifest.functions.iter().filter(|f| f.artifact.is_some() || f.image.is_some()).count();
    let refused = manifest.functions.len() - packed;
    let mut line = format!("{} packed{}", count(packed, "function"), from(project));
    let stand = plan.functions.iter().filter(|f| f.kept.is_some()).count();
    if stand > 0 && stand == packed {
        line.push_str(", unchanged,");
    } else if stand > 0 {
        let _ = write!(line, ", {stand} of them unchanged,");
    }
    if refused > 0 {
        let _ = write!(line, ", {}", style.red(&format!("{refused} refused")));
    }
    if let Some(saving) = summary_layers::would_save(plan) {
        let _ = writeln!(out, "{}", style.dim(&saving));
    }
    let _ = writeln!(out, "{line} in {} {}", duration(plan.timings.total), style.dim(&stages(plan.timings)));
    let _ = writeln!(out, "{}", style.dim(&format!("manifest: {}", print::path(&out_dir.join("manifest.json")))));
    if project.template.is_some() && refused == 0 {
        let packaged = print::path(&out_dir.join("packaged.yaml"));
        let _ = writeln!(out, "{}", style.dim(&format!("template: {packaged}")));
    }
    out
}

/// The decisions of a plan; with `verbose`, of every path.
pub(super) fn plan(project: &Project, plan: &Plan, verbose: bool, style: Style) -> String {
    let mut out = String::new();
    for function in &plan.functions {
        head(&mut out, function, style);
        let _ = match &function.image {
            Some(image) => writeln!(out, "{}", planned_image(image, style)),
            None => writeln!(
                out,
                "  {} unzipped in {}, about {} zipped",
                bytes(function.tree.bytes()),
                count(function.tree.files(), "file"),
                bytes(function.estimated_zip_bytes())
            ),
        };
        all_packages(&mut out, function);
        summary_layers::of_function(&mut out, function);
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
    out.push_str(&summary_layers::planned(plan, style));
    if let Some(saving) = summary_layers::would_save(plan) {
        let _ = writeln!(out, "{}", style.dim(&saving));
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

/// The layers of an image, those of the base together.
fn planned_image(image: &PlannedImage, style: Style) -> String {
    let mut out = format!(
        "  image on {}: {} ({} of the base), {} uncompressed",
        image.base.name,
        count(image.layers(), "layer"),
        image.base.layers.len(),
        bytes(image.uncompressed_bytes())
    );
    for piece in &image.pieces {
        let _ = write!(out, "\n    {:>9}  {}", bytes(piece.tree.bytes()), style.dim(&shortened(&piece.label)));
    }
    out
}

/// A layer of the tail may hold very many packages.
fn shortened(label: &str) -> String {
    let names: Vec<&str> = label.split(", ").collect();
    match names.len() {
        0..=6 => label.to_owned(),
        all => format!("{}, … ({all} packages)", names[..5].join(", ")),
    }
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
    if let Some(image) = &function.image {
        let _ = writeln!(
            out,
            "  {}  {}, {} uncompressed",
            style.green(&print::path(&out_dir.join(&image.layout))),
            bytes(image.bytes),
            bytes(image.uncompressed_bytes)
        );
        let _ = writeln!(out, "  {}", style.dim(&image.digest));
        return;
    }
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
}

fn packages(out: &mut String, function: &PlannedFunction) {
    let mut largest: Vec<_> = function.packages.iter().filter(|package| !package.is_native).collect();
    if largest.is_empty() {
        if !function.resolved_by.is_empty() {
            let _ = writeln!(out, "  {}", function.resolved_by);
        }
        return;
    }
    let total: u64 = largest.iter().map(|p| p.bytes).sum();
    largest.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    let named: Vec<String> = largest.iter().take(LARGEST).map(|p| format!("{} {}", p.name, bytes(p.bytes))).collect();
    let more = if largest.len() > LARGEST { ", …" } else { "" };
    let _ = writeln!(
        out,
        "  {} ({}) from {}: {}{more}",
        count(largest.len(), "package"),
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
    let resolved = function.packages.iter().filter(|package| !package.is_native).count();
    match resolved {
        0 => writeln!(out, "  {}", function.resolved_by),
        resolved => writeln!(out, "  {} from {}:", count(resolved, "package"), function.resolved_by),
    }
    .unwrap_or_default();
    let width = function.packages.iter().map(|p| p.label().chars().count()).max().unwrap_or(0);
    for package in &function.packages {
        let bundled = if package.is_bundled { "  in the bundle" } else { "" };
        let place = package.layer.as_deref().map_or_else(|| bundled.to_owned(), |layer| format!("  in {layer}"));
        let _ = writeln!(out, "    {:width$}  {:>9}{place}", package.label(), bytes(package.bytes));
    }
}

fn stages(timings: Timings) -> String {
    let mut stages = vec![("resolve", timings.resolve), ("check", timings.check), ("pack", timings.pack)];
    if timings.split.as_millis() > 0 {
        stages.insert(1, ("split", timings.split));
    }
    if !timings.upload.is_zero() {
        stages.push(("upload", timings.upload));
    }
    let said: Vec<String> = stages.iter().map(|(stage, time)| format!("{stage} {}", duration(*time))).collect();
    format!("({})", said.join(", "))
}
