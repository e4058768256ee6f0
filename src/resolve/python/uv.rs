//! Resolves with `uv pip compile`, which reports in PEP 751's format: every file that it would take, by URL and digest.
//!
//! uv knows a few manylinux platforms only and leaves the wheels out that the named one cannot load. Amazon Linux 2 (glibc
//! 2.26) lies between two of them, so versions are resolved for the lower one, and then all wheels of these versions are
//! asked for with the higher: which of them is packed is for our own tags to say. uv takes a version without a wheel
//! that loads as long as it has a source; such packages are asked for once more with wheels only, and where that is
//! impossible the source is built.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::ask::{Question, scratch_file};
use super::pin::{Origin, Pin};
use super::programs::Programs;
use super::pylock;
use super::selection::Selection;
use super::target::Target;
use crate::error::{Error, Result};
use crate::finding::{Finding, Rule};
use crate::fresh::{self, Key};
use crate::fsio;
use crate::process::Failure;
use crate::store::Store;

/// Highest platform that uv knows; asked only to learn which wheels there are.
const ANY_GLIBC: &str = "manylinux_2_40";
const AL2023_GLIBC: &str = "manylinux_2_34";
const OLD_GLIBC: &str = "manylinux_2_17";

/// uv, found.
pub(super) struct Uv<'a> {
    program: &'a Path,
    python: Option<&'a Path>,
    version: String,
}

enum Answer {
    Pins(Vec<Pin>),
    Refused(String),
}

impl Answer {
    /// Whether an archive lies on this machine, where it may become another one without a new name.
    fn names_this_machine(&self) -> bool {
        matches!(self, Self::Pins(pins) if pins.iter().any(Pin::is_of_this_machine))
    }
}

impl<'a> Uv<'a> {
    /// Asks it for its version, unless it has told that today. `python` is for metadata that takes a build to know: without
    /// one, uv starts every interpreter on PATH to find the target's version, which need not be there.
    pub(super) fn new(program: &'a Path, python: Option<&'a Path>, store: &Store) -> Result<Self> {
        let key = Key::new().add("uv --version").add(fresh::tool(program)).finish();
        let said = match store.answer(&key) {
            Some(said) => said,
            None => {
                let said = Programs::call_uv(program, false).arg("--version").run().map_err(Error::from)?.text();
                let _ = store.keep_answer(&key, &said);
                said
            }
        };
        let version = said.split_whitespace().nth(1).unwrap_or("?").to_owned();
        Ok(Self { program, python, version })
    }

    /// `uv 0.9.9`.
    pub(super) fn name(&self) -> String {
        format!("uv {}", self.version)
    }

    /// The pins, or what no wheel and no source exists for.
    pub(super) fn resolve(&self, question: &Question<'_>) -> Result<(Vec<Pin>, Vec<Finding>)> {
        if let Some(pins) = self.known(question)? {
            return Ok((pins, Vec::new()));
        }
        self.resolve_now(question)
    }

    /// The pins when exact versions are asked for and uv has everything about them in its cache: what is published does not
    /// change, so no registry needs to be asked. Nothing when that is not so.
    fn known(&self, question: &Question<'_>) -> Result<Option<Vec<Pin>>> {
        let requirements = question.requirements;
        if question.offline || requirements.unpinned().is_some() || requirements.names_urls() {
            return Ok(None);
        }
        let first = asked(question, platform(question), &[], String::new());
        if question.answers.as_ref().is_some_and(|answers| answers.get(&first).is_some()) {
            return Ok(None); // the registry was asked today
        }
        let quick =
            Question { offline: true, input: question.input.clone(), answers: question.answers.clone(), ..*question };
        let Answer::Pins(pins) = self.attempt(&quick, &[])? else { return Ok(None) };
        let pinned = requirements.pinned_names();
        let is_all = pins.iter().all(|pin| pinned.contains(&pin.name)) && without_wheel(&pins, question).is_empty();
        Ok(is_all.then_some(pins))
    }

    fn resolve_now(&self, question: &Question<'_>) -> Result<(Vec<Pin>, Vec<Finding>)> {
        let mut pins = match self.attempt(question, &[])? {
            Answer::Pins(pins) => pins,
            Answer::Refused(said) => return self.explain(question, &said),
        };
        let lacking = without_wheel(&pins, question);
        if lacking.is_empty() {
            return Ok((pins, Vec::new()));
        }
        if let Answer::Pins(better) = self.attempt(question, &lacking)? {
            return Ok((better, Vec::new()));
        }
        let mut binary = Vec::new();
        if lacking.len() > 1 {
            for name in lacking {
                binary.push(name);
                match self.attempt(question, &binary)? {
                    Answer::Pins(better) => pins = better,
                    Answer::Refused(_) => drop(binary.pop()),
                }
            }
        }
        Ok((pins, Vec::new()))
    }

    /// Versions for the target, with all their wheels that might load there.
    fn attempt(&self, question: &Question<'_>, only_binary: &[String]) -> Result<Answer> {
        let glibc = question.target.glibc_minor();
        let mut answer = self.compile(question, platform(question), only_binary, None)?;
        if let Answer::Refused(_) = answer {
            // A version that must be has no wheel for this platform: it may have one just above.
            if let wider @ Answer::Pins(_) = self.compile(question, ANY_GLIBC, only_binary, None)? {
                answer = wider;
            }
        } else if (18..34).contains(&glibc)
            && let Answer::Pins(pins) = &mut answer
        {
            self.widen(question, only_binary, pins)?;
        }
        Ok(answer)
    }

    /// Adds to each pin the wheels of its version for a higher glibc; a few of them may load.
    fn widen(&self, question: &Question<'_>, only_binary: &[String], pins: &mut [Pin]) -> Result<()> {
        let fixed: String = pins
            .iter()
            .filter(|pin| matches!(pin.origin, Origin::Files { .. }) && !pin.version.is_empty())
            .map(|pin| format!("{}=={}\n", pin.name, pin.version))
            .collect();
        let constraints = scratch_file(question.scratch, "resolved.txt", &fixed)?;
        let Answer::Pins(wider) = self.compile(question, AL2023_GLIBC, only_binary, Some(&constraints))? else {
            return Ok(());
        };
        let mut wider: BTreeMap<(String, String), Pin> =
            wider.into_iter().map(|pin| ((pin.name.clone(), pin.version.clone()), pin)).collect();
        for pin in pins {
            let found = wider.remove(&(pin.name.clone(), pin.version.clone()));
            if let (Origin::Files { wheels, .. }, Some(Pin { origin: Origin::Files { wheels: more, .. }, .. })) =
                (&mut pin.origin, found)
            {
                wheels.extend(more);
                let mut seen = BTreeSet::new();
                wheels.retain(|wheel| seen.insert(wheel.url.clone()));
            }
        }
        Ok(())
    }

    fn compile(
        &self,
        question: &Question<'_>,
        platform: &str,
        only_binary: &[String],
        constraints: Option<&Path>,
    ) -> Result<Answer> {
        let target = question.target;
        let folder = question.shown.parent().unwrap_or(Path::new("."));
        let mut tool = Programs::call_uv(self.program, question.offline)
            .args(["pip", "compile", "--quiet", "--no-header", "--no-annotate", "--format", "pylock.toml"])
            .args(["--python-version", &target.full_version(), "--python-platform"])
            .arg(format!("{}-{platform}", target.architecture.machine()))
            .env("CC", "false")
            .env("CXX", "false")
            .cwd(folder);
        if let Some(python) = self.python {
            tool = tool.arg("--python").arg(python);
        }
        for name in only_binary {
            tool = tool.args(["--only-binary", name]);
        }
        if question.is_complete {
            tool = tool.arg("--no-deps");
            // Whichever index has a file of the lock will do. Of one alone, uv tells better why it does not answer.
            if question.requirements.index_options().iter().any(|option| option == "--extra-index-url") {
                tool = tool.args(["--index-strategy", "unsafe-best-match"]);
            }
        }
        tool = tool.args(question.added);
        if let Some(constraints) = constraints {
            tool = tool.arg("--constraints").arg(constraints);
        }
        let read = |text: &str| {
            pylock::pins(text, &folder.join("pylock.toml"), &Selection::default(), target).map(Answer::Pins)
        };
        let constraining = constraints.map(|path| fsio::read_text(path).unwrap_or_default()).unwrap_or_default();
        let asked = asked(question, platform, only_binary, constraining);
        if let Some(text) = question.answers.as_ref().and_then(|answers| answers.get(&asked)) {
            return read(&text);
        }
        match tool.arg(&question.input).run() {
            Ok(output) => {
                let text = output.text();
                let pins = read(&text)?;
                if let Some(answers) = question.answers.as_ref().filter(|_| !pins.names_this_machine()) {
                    answers.keep(&asked, &text);
                }
                Ok(pins)
            }
            Err(Failure::Status { stderr, .. }) => Ok(Answer::Refused(stderr)),
            Err(failure) => Err(failure.into()),
        }
    }

    /// A refusal: a finding when it is that a package has no wheel for this Python at all, else an error.
    fn explain(&self, question: &Question<'_>, said: &str) -> Result<(Vec<Pin>, Vec<Finding>)> {
        let error = question.refused(&self.name(), said);
        if !said.contains("has no wheels with a matching") {
            return Err(error);
        }
        let finding = Finding::new(
            Rule::NoCompatibleWheel,
            error.to_string(),
            format!("choose a version that has a wheel for {}, or another runtime", question.target.name()),
        );
        Ok((Vec::new(), vec![finding]))
    }
}

/// What an answer is known by, beside what all answers about these requirements have in common.
fn asked(question: &Question<'_>, platform: &str, only_binary: &[String], constraints: String) -> Vec<String> {
    let target = question.target;
    let what = [
        target.full_version(),
        format!("{}-{platform}", target.architecture.machine()),
        // What was answered without the network may be older than what the network says.
        format!("offline: {}", question.offline),
        format!("complete: {}", question.is_complete),
    ];
    [&what[..], only_binary, &[constraints], question.added].concat()
}

/// The platform that versions are resolved for.
fn platform(question: &Question<'_>) -> &'static str {
    if question.target.glibc_minor() >= 34 { AL2023_GLIBC } else { OLD_GLIBC }
}

/// Names of packages of which no wheel loads, unless the files themselves want them built.
fn without_wheel(pins: &[Pin], question: &Question<'_>) -> Vec<String> {
    let no_binary = question.requirements.no_binary();
    pins.iter()
        .filter(|pin| !no_binary.contains(&pin.name) && !no_binary.contains(":all:"))
        .filter(|pin| lacks_wheel(pin, question.target))
        .map(|pin| pin.name.clone())
        .collect()
}

fn lacks_wheel(pin: &Pin, target: &Target) -> bool {
    matches!(&pin.origin, Origin::Files { wheels, .. } if target.tags.best(wheels, |w| &w.file).is_none())
}
