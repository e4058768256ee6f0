//! `invoke FUNCTION`: builds it as `build` does, and runs what was packed. stdout is the answer and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rayon::prelude::*;

use super::Exit;
use super::args::{InvocationType, InvokeArgs, OutputArgs, ProjectArgs};
use super::build::with_session;
use super::print::{self, Style};
use crate::aws;
use crate::error::{Error, Result};
use crate::finding::{Finding, Level};
use crate::fsio;
use crate::invoke::{self, DeadLetters, Delivery, Function, Known, Outcome, Packed, Prepared, Service, Sink};
use crate::lambda;
use crate::pipeline::{self, Built, Failures, ManifestFunction, Session};
use crate::project::{self, Project};

/// How often it is looked whether something has changed.
const GLANCE: Duration = Duration::from_millis(500);

pub(super) fn run(args: &InvokeArgs) -> Exit {
    match invoke(args) {
        Ok(exit) => exit,
        Err(failures) => print::failures(&failures, args.project.output),
    }
}

fn invoke(args: &InvokeArgs) -> Result<Exit, Failures> {
    // First: what was typed wrong is said before anything is built.
    let event = event(args)?;
    let mut project_args = args.project.clone();
    project_args.functions.extend(args.function.clone());
    if let Some(address) = &args.serve {
        return serve(args, &project_args, address);
    }
    let ready = with_session(&project_args, &args.aws(), |loaded, session| {
        if loaded.functions.len() > 1 {
            let names: Vec<String> = loaded.functions.iter().map(|function| format!("`{}`", function.name)).collect();
            let error = Error::config(format!("the project has {} functions", names.len()));
            return Err(error.hint(format!("name one of {}", names.join(", "))).into());
        }
        args.ready(loaded, session, &Standing::new())
    })?;
    let Some(Ready { prepared, letters, .. }) = ready.and_then(|ready| ready.into_iter().next()) else {
        return Ok(Exit::Refused);
    };
    let (prepared, letters) = (&prepared, &letters);
    match args.invocation_type {
        InvocationType::DryRun => Ok(Exit::Done),
        InvocationType::RequestResponse => {
            let outcome = prepared.invoke(&event, &sink())?;
            print::answer(&outcome.payload)?;
            Ok(if outcome.is_error { Exit::Failed } else { Exit::Done })
        }
        InvocationType::Event => deliver(prepared, letters, &event, args.project.output),
    }
}

fn deliver(
    prepared: &Arc<Prepared>,
    letters: &DeadLetters,
    event: &[u8],
    output: OutputArgs,
) -> Result<Exit, Failures> {
    let sink = sink();
    match letters.deliver(prepared, event, || prepared.invoke(event, &sink))? {
        Delivery::Answered(Outcome { .. }) => Ok(Exit::Done),
        Delivery::Dead(path) => {
            let text = format!("three attempts have failed; the event is in `{}`", print::path(&path));
            Ok(print::failures(&Error::failed(text).into(), output))
        }
    }
}

/// What functions log.
fn sink() -> Arc<Sink> {
    Arc::new(print::stderr_bytes)
}

/// The event: a file, what comes on stdin, a sample, or an empty object.
fn event(args: &InvokeArgs) -> Result<Vec<u8>> {
    let limit = if args.invocation_type == InvocationType::Event { invoke::MAX_ASYNC_EVENT } else { invoke::MAX_EVENT };
    let (name, bytes) = match args.event.as_deref() {
        None => return Ok(b"{}".to_vec()),
        Some("-") => {
            let mut bytes = Vec::new();
            let read = std::io::stdin().lock().take(limit + 1).read_to_end(&mut bytes);
            read.map_err(|e| Error::failed("Failed to read the standard input").because(e))?;
            ("the standard input".to_owned(), bytes)
        }
        Some(text) => match text.strip_prefix('@') {
            Some(name) => return sample(name),
            None => {
                let path = Path::new(text);
                if !path.is_file() {
                    return Err(Error::config(format!("`--event {text}` names no file"))
                        .hint("name a file with an event, `-` for the standard input, or a sample such as `@sqs`"));
                }
                (format!("`{text}`"), fsio::read_bounded(path, limit.saturating_mul(4))?)
            }
        },
    };
    if bytes.len() as u64 > limit {
        return Err(Error::config(format!(
            "the event is too large: Request must be smaller than {limit} bytes for the InvokeFunction operation"
        )));
    }
    match serde_json::from_slice::<serde::de::IgnoredAny>(&bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => {
            Err(Error::config(format!("{name} is no event: Could not parse request body into json")).because(error))
        }
    }
}

fn sample(name: &str) -> Result<Vec<u8>> {
    invoke::sample(name).map(|text| text.as_bytes().to_vec()).ok_or_else(|| {
        let names: Vec<String> = invoke::SAMPLES.iter().map(|(name, _)| format!("`@{name}`")).collect();
        Error::config(format!("there is no sample event `@{name}`")).hint(format!("there are {}", names.join(", ")))
    })
}

/// A function that lies ready, and what it was made of.
struct Ready {
    prepared: Arc<Prepared>,
    letters: DeadLetters,
    made_of: String,
}

/// What was made ready before, by name.
type Standing = BTreeMap<String, String>;

impl InvokeArgs {
    fn region_told(&self) -> String {
        self.region.clone().unwrap_or_else(region)
    }

    fn aws(&self) -> aws::Settings {
        aws::Settings { region: Some(self.region_told()), ..aws::Settings::default() }
    }

    /// Builds, and unpacks what was built and does not stand yet. Nothing when Lambda would refuse it, which was said then.
    fn ready(
        &self,
        loaded: &Project,
        session: Session<'_>,
        standing: &Standing,
    ) -> Result<Option<Vec<Ready>>, Failures> {
        let (output, region) = (self.project.output, self.region_told());
        let built = pipeline::build(loaded, session)?;
        if standing.is_empty() {
            print::findings(&built.plan.findings, output);
        }
        let mut refusals = built.plan.findings.iter().filter(|finding| finding.level == Level::Error).peekable();
        if refusals.peek().is_some() && standing.is_empty() {
            return Ok(None);
        }
        let refusal = |finding: &Finding| Error::failed(&finding.message).hint(&finding.hint);
        if refusals.peek().is_some() {
            return Err(Failures(refusals.map(refusal).collect()));
        }
        let out_dir = &session.options.out_dir;
        let (mut ready, mut said) = (Vec::new(), BTreeSet::new());
        for described in &built.manifest.functions {
            let mut function = function(&built, described, &region)?;
            function.environment.extend(self.variables()?);
            if let Some(seconds) = self.timeout {
                function.timeout = Duration::from_secs(seconds.into());
            }
            let made_of = format!("{:?} {function:?}", digests(&built, described));
            if standing.get(&described.name) == Some(&made_of) {
                continue;
            }
            let prepared = match prepare(&built, described, function, session) {
                // The others are served all the same.
                Err(error) if built.manifest.functions.len() > 1 => {
                    let why = format!("`{}` is not served: {error}", described.name);
                    warn(&[why], output);
                    continue;
                }
                prepared => prepared?,
            };
            let absent = absent_layers(&built, described);
            let mut notes = prepared.notes.clone();
            if !absent.is_empty() {
                notes.push(format!("layers that exist elsewhere are not here: {}", absent.join(", ")));
            }
            // What holds for all of them is said once.
            notes.retain(|note| said.insert(note.clone()));
            warn(&notes, output);
            let letters = DeadLetters { folder: out_dir.clone() };
            ready.push(Ready { prepared: Arc::new(prepared), letters, made_of });
        }
        Ok(Some(ready))
    }
}

/// The digests of what a function is unpacked from.
fn digests(built: &Built, described: &ManifestFunction) -> Vec<String> {
    let layers = described.layers.iter().filter_map(|name| built.manifest.layers.iter().find(|l| l.name == *name));
    let artifacts = described.artifact.iter().chain(layers.filter_map(|layer| layer.artifact.as_ref()));
    let image = described.image.iter().map(|image| image.digest.clone());
    artifacts.map(|artifact| artifact.sha256.clone()).chain(image).collect()
}

fn warn(notes: &[String], output: OutputArgs) {
    let label = Style::stderr(output).level(Level::Warning, "warning");
    for note in notes {
        print::stderr(&format!("{label}: {note}\n"));
    }
}

/// Where functions are told to be.
fn region() -> String {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    set("AWS_REGION").or_else(|| set("AWS_DEFAULT_REGION")).unwrap_or_else(|| "us-east-1".to_owned())
}

/// A packed function as it is configured.
fn function(built: &Built, described: &ManifestFunction, region: &str) -> Result<Function> {
    let runtime = lambda::find(&described.runtime)
        .ok_or_else(|| Error::config(format!("there is no runtime `{}`", described.runtime)))?;
    let mut function = Function::new(&described.name, runtime, described.handler.clone().unwrap_or_default());
    function.architecture = described.architecture;
    region.clone_into(&mut function.region);
    if let Some(planned) = built.plan.functions.iter().find(|planned| planned.spec.name == described.name) {
        let sizing = planned.spec.sizing;
        function.environment.clone_from(&planned.spec.environment);
        function.timeout = Duration::from_secs(sizing.timeout.unwrap_or(3).into());
        function.memory = sizing.memory.unwrap_or(128);
        function.storage = sizing.ephemeral_storage.unwrap_or(512);
    }
    Ok(function)
}

fn prepare(built: &Built, described: &ManifestFunction, function: Function, session: Session<'_>) -> Result<Prepared> {
    let out_dir = &session.options.out_dir;
    if let Some(image) = &described.image {
        let layout = out_dir.join(&image.layout);
        let packed = Packed { layout: &layout, bytes: image.uncompressed_bytes };
        return Prepared::of_image(function, packed, session.store, session.reporter);
    }
    let zip = |artifact: Option<&crate::pack::Artifact>| artifact.map(|artifact| out_dir.join(&artifact.path));
    let own = zip(described.artifact.as_ref())
        .ok_or_else(|| Error::failed(format!("`{}` was not packed", described.name)))?;
    let layers: Vec<PathBuf> = described
        .layers
        .iter()
        .filter_map(|name| built.manifest.layers.iter().find(|layer| layer.name == *name))
        .filter_map(|layer| zip(layer.artifact.as_ref()))
        .collect();
    Prepared::new(function, &own, &layers)
}

fn absent_layers(built: &Built, described: &ManifestFunction) -> Vec<String> {
    let is_here = |name: &&String| built.manifest.layers.iter().any(|l| l.name == **name && l.artifact.is_some());
    described.layers.iter().filter(|name| !is_here(name)).cloned().collect()
}

/// Loads the handler of every function that was built; gives what the rules have to say of that.
pub(super) fn verify(
    project: &Project,
    built: &Built,
    session: Session<'_>,
    output: OutputArgs,
) -> Result<Vec<Finding>> {
    let is_packed = |described: &&ManifestFunction| described.artifact.is_some() || described.image.is_some();
    let packed = built.manifest.functions.par_iter().filter(is_packed);
    let looked: Result<Vec<_>> = packed.map(|described| verify_one(built, described, session)).collect();
    let mut findings = Vec::new();
    for looked in looked? {
        match looked {
            Looked::At(finding) => findings.extend(finding),
            Looked::Not(why) => warn(&[why], output),
        }
    }
    Ok(project.checks.apply(findings))
}

/// What became of looking whether a handler loads.
enum Looked {
    At(Option<Finding>),
    Not(String),
}

fn verify_one(built: &Built, described: &ManifestFunction, session: Session<'_>) -> Result<Looked> {
    let function = function(built, described, &region())?;
    let prepared = match prepare(built, described, function, session) {
        Ok(prepared) => prepared,
        Err(error) => return Ok(Looked::Not(format!("`{}` was not verified: {error}", described.name))),
    };
    let planned = built.plan.functions.iter().find(|planned| planned.spec.name == described.name);
    let decisions = planned.map(|planned| &planned.decisions[..]).unwrap_or_default();
    let known = Known {
        absent_layers: absent_layers(built, described),
        excluded: decisions.iter().filter(|d| !d.kept).map(|d| (d.path.clone(), d.rule.clone())).collect(),
        resolved_by: described.resolved_by.clone(),
    };
    invoke::verify(prepared, &known).map(Looked::At)
}

fn serve(args: &InvokeArgs, project: &ProjectArgs, address: &str) -> Result<Exit, Failures> {
    with_session(project, &args.aws(), |loaded, session| {
        let Some(ready) = args.ready(loaded, session, &Standing::new())? else { return Ok(Exit::Refused) };
        let mut standing: Standing = ready.iter().map(Ready::entry).collect();
        let names: Vec<String> = standing.keys().cloned().collect();
        let functions = ready.into_iter().map(|ready| (ready.prepared, ready.letters)).collect();
        let service = Service::start(address, functions, sink())?;
        print::stderr(&format!("{} answer at http://{}; Ctrl-C ends it\n", names.join(", "), service.address()));
        let mut said = String::new();
        loop {
            std::thread::sleep(GLANCE);
            if !args.watch {
                continue;
            }
            // A build of what has not changed is what tells whether something has.
            let again = project::load(&project.selection(Some(&args.region_told()))?).map_err(Failures::from);
            match again.and_then(|loaded| args.ready(&loaded, session, &standing)) {
                Ok(ready) => {
                    said.clear();
                    for ready in ready.into_iter().flatten() {
                        print::stderr(&format!("{} is packed anew\n", ready.prepared.function().name));
                        standing.extend([ready.entry()]);
                        service.replace(ready.prepared, ready.letters);
                    }
                }
                // What was there before goes on answering.
                Err(failures) if failures.to_string() != said => {
                    said = failures.to_string();
                    print::failures(&failures, project.output);
                }
                Err(_) => {}
            }
        }
    })
}

impl Ready {
    fn entry(&self) -> (String, String) {
        (self.prepared.function().name.clone(), self.made_of.clone())
    }
}
