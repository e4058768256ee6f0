//! `check ARTIFACT…`.

use std::fmt::Write as _;

use serde::Serialize;

use super::Exit;
use super::args::today;
use super::check_args::{CheckArgs, CheckFormat};
use super::check_images::Artifacts;
use super::print::{self, Style};
use super::progress::Terminal;
use crate::artifact::{Kind, Question, Verdict};
use crate::error::{Error, Result};
use crate::finding::{Finding, Level};
use crate::lambda::Architecture;
use crate::pipeline::{Failures, GENERATOR};
use crate::report::{self, bytes, count};

pub(super) fn run(args: &CheckArgs) -> Exit {
    match check_and_print(args) {
        Ok(true) => Exit::Refused,
        Ok(false) => Exit::Done,
        Err(failures) => print::failures(&failures, args.output),
    }
}

/// Whether Lambda would refuse one of them.
fn check_and_print(args: &CheckArgs) -> Result<bool, Failures> {
    let question = Question {
        runtime: args.runtime.as_deref(),
        architecture: args.arch.as_deref().and_then(Architecture::parse),
        handler: args.handler.as_deref(),
        layer: args.layer,
        today: today()?,
    };
    let mut verdicts = Vec::new();
    let mut errors: Vec<Error> = Vec::new();
    let terminal = Terminal::new(args.output);
    report::relay(&terminal, |events| {
        let artifacts = Artifacts::new(args, events)?;
        for path in &args.artifacts {
            match artifacts.judge(path, &question) {
                Ok(verdict) => verdicts.push(verdict),
                Err(error) => errors.push(error),
            }
        }
        Ok::<_, Error>(())
    })?;
    if !errors.is_empty() {
        return Err(Failures(errors));
    }
    match args.format {
        CheckFormat::Json => print::stdout(&json(&verdicts))?,
        CheckFormat::Text if args.output.quiet => {}
        CheckFormat::Text => print::stdout(&text(&verdicts, Style::stdout(args.output)))?,
    }
    let findings: Vec<Finding> = verdicts
        .iter()
        .flat_map(|verdict| verdict.findings.iter().map(|finding| finding.clone().function(&verdict.path)))
        .collect();
    print::findings(&findings, args.output);
    Ok(findings.iter().any(|finding| finding.level == Level::Error))
}

/// A finding with the artifact that it is about.
#[derive(Serialize)]
struct Told<'a> {
    artifact: &'a str,
    #[serde(flatten)]
    finding: &'a Finding,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    generator: &'static str,
    artifacts: &'a [Verdict],
    findings: Vec<Told<'a>>,
}

fn json(verdicts: &[Verdict]) -> String {
    let mut findings = Vec::new();
    for verdict in verdicts {
        findings.extend(verdict.findings.iter().map(|finding| Told { artifact: &verdict.path, finding }));
    }
    let document = Document { schema: 1, generator: GENERATOR, artifacts: verdicts, findings };
    serde_json::to_string_pretty(&document).map(|json| json + "\n").unwrap_or_default()
}

fn text(verdicts: &[Verdict], style: Style) -> String {
    let mut out = String::new();
    for verdict in verdicts {
        let kind = match verdict.kind {
            Kind::Function => "function",
            Kind::Layer => "layer",
            Kind::Image => "image",
        };
        let guessed = if verdict.guessed { " (as its files tell; `--runtime` and `--arch` say otherwise)" } else { "" };
        let _ = writeln!(
            out,
            "{}  {kind}{} · {}{}",
            style.bold(&verdict.path),
            if verdict.runtime.is_empty() { String::new() } else { format!(" · {}", verdict.runtime) },
            verdict.architecture,
            style.dim(guessed)
        );
        let zipped = verdict.bytes.map_or_else(String::new, |size| format!("{}, ", bytes(size)));
        let unpacked = if verdict.kind == Kind::Image { "uncompressed" } else { "unzipped" };
        let _ =
            writeln!(out, "  {zipped}{} {unpacked}, {}", bytes(verdict.unzipped_bytes), count(verdict.files, "file"));
        if let Some(uri) = &verdict.image_uri {
            let _ = writeln!(out, "  {} {uri}", style.bold("ImageUri"));
        }
        let _ = writeln!(out, "  {}", summary(&verdict.findings, style));
    }
    out
}

fn summary(findings: &[Finding], style: Style) -> String {
    let of = |level: Level| findings.iter().filter(|finding| finding.level == level).count();
    match (of(Level::Error), of(Level::Warning)) {
        (0, 0) => style.green("nothing to complain about"),
        (0, warnings) => count(warnings, "warning"),
        (errors, 0) => style.red(&count(errors, "error")),
        (errors, warnings) => format!("{}, {}", style.red(&count(errors, "error")), count(warnings, "warning")),
    }
}
