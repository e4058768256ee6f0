//! Python: packages are put together from wheels, chosen for the runtime and never for this machine.
//!
//! Of the files in a function's folder the first of these decides:
//!
//! 1. `uv.lock` with `pyproject.toml` (also the lock of a workspace above); read here, no tool runs;
//! 2. `pylock.toml` (PEP 751); read here, no tool runs;
//! 3. `poetry.lock` with `pyproject.toml`, 4. `pdm.lock` with `pyproject.toml`, 5. `Pipfile.lock`; read here ([`managers`]),
//!    and uv or pip is asked where the files are;
//! 6. `requirements.txt`; resolved by uv when it is on PATH, else by pip;
//! 7. `pyproject.toml` without a lock; resolved likewise;
//! 8. none: the function has no dependencies.
//!
//! What the main dependencies need is packed, and the extras and dependency groups that the config names ([`selection`]).
//!
//! All of them give pins ([`pin`]): name, version, and archives with digests. Which wheel of a version is packed is for
//! [`tags`] to say: the best that the runtime's Python, processor and glibc load, in the order of `PyPA`'s `packaging.tags`.
//! Wheels are fetched into the store, all of all functions at once, and their members laid out as an installer would
//! ([`assemble`]). What has no wheel is built from source when it has no machine code ([`build`]); otherwise it is a
//! finding and is left out, so that all such packages are told in one run.
//!
//! `--locked` takes the locks, when they agree with their manifests; a `requirements.txt` in which everything that is needed stands with an exact version;
//! and a project without dependencies. Anything else is refused.
//!
//! Modules below `src/` are not where Lambda looks: such a project's own wheel is built and packed, too. The launchers of
//! console scripts are not made.

mod answers;
mod ask;
mod assemble;
mod build;
mod credentials;
mod git;
mod input;
mod managers;
mod manifest;
mod names;
mod native;
pub(crate) mod needs;
mod pin;
mod pip;
mod pip_cache;
mod pip_markers;
mod plan;
mod programs;
mod pylock;
mod requirements;
mod select;
mod selection;
mod sources;
mod stub;
mod tags;
mod target;
mod uv;
mod uv_lock;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Application, Context, Package, Request, Resolution, Resolver};
use crate::error::Result;
use crate::finding::Finding;
use crate::fresh::Inputs;
use crate::lambda::{Architecture, Family};
use crate::store::Remote;
use build::Builder;
use credentials::Credentials;
use input::Input;
use pin::Pins;
use plan::Planner;
use requirements::Requirements;
use select::Choice;
use selection::Selection;
use target::Target;

pub use programs::Programs;

/// The resolver of Python functions.
#[derive(Debug, Clone)]
pub struct Python {
    programs: Programs,
}

impl Default for Python {
    fn default() -> Self {
        Self::with_programs(Programs::find())
    }
}

impl Python {
    /// A resolver that uses these programs, whatever is on PATH.
    pub fn with_programs(programs: Programs) -> Self {
        Self { programs }
    }
}

/// One distinct piece of work: an input on a target. Functions that share it share the answer.
struct Job {
    input: Input,
    selection: Selection,
    target: Target,
}

/// What a job gave.
#[derive(Clone)]
struct Answer {
    packages: Vec<Package>,
    findings: Vec<Finding>,
    notes: Vec<String>,
    inputs: Option<Inputs>,
    resolved_by: String,
}

impl Resolver for Python {
    fn name(&self) -> &'static str {
        "python"
    }

    fn facts(&self) -> Vec<String> {
        self.programs.facts()
    }

    fn claims(&self, request: &Request<'_>) -> Option<PathBuf> {
        matches!(request.runtime.family, Family::Python { .. })
            .then(|| Input::find(&request.function.path, request.project_root).path().to_owned())
    }

    fn resolve(&self, requests: &[Request<'_>], context: &Context<'_>) -> Vec<Result<Resolution>> {
        let mut jobs = Vec::new();
        let mut known = HashMap::new();
        let indices: Vec<Result<usize>> = requests.iter().map(|request| job(request, &mut jobs, &mut known)).collect();
        let project_root = requests.first().map_or(Path::new("."), |request| request.project_root);
        let answers = run(&jobs, &self.programs, project_root, context);
        let give = |(request, index): (&Request<'_>, Result<usize>)| match &answers[index?] {
            Ok(answer) => Ok(resolution(answer.clone(), request, &self.programs)),
            Err(error) => Err(error.clone()),
        };
        requests.iter().zip(indices).map(give).collect()
    }
}

/// The index of the request's job, which is added when it is new.
fn job(
    request: &Request<'_>,
    jobs: &mut Vec<Job>,
    known: &mut HashMap<(String, &'static str, Architecture), usize>,
) -> Result<usize> {
    let target = Target::new(request.runtime, request.architecture)?;
    let input = Input::find(&request.function.path, request.project_root);
    let selection = Selection::of(request.function);
    let key = (format!("{}{}", input.key()?, selection.key()), request.runtime.id, request.architecture);
    // Whether there is nothing to resolve is for each folder to say.
    if let Some(index) = known.get(&key).filter(|_| !matches!(input, Input::Nothing(_))) {
        return Ok(*index);
    }
    jobs.push(Job { input, selection, target });
    known.insert(key, jobs.len() - 1);
    Ok(jobs.len() - 1)
}

/// Plans every job, fetches all that they need at once, and puts the packages together.
fn run(jobs: &[Job], programs: &Programs, project_root: &Path, context: &Context<'_>) -> Vec<Result<Answer>> {
    let builder = Builder::new(context, programs, project_root);
    let planner = Planner { context, programs, builder: &builder, project_root };
    let plans: Vec<Result<(Pins, Vec<Choice>)>> = each(jobs, |job| {
        let pins = planner.plan(&job.input, &job.selection, &job.target)?;
        let choices = pins.pins.iter().map(|pin| select::choose(pin, &job.target, context)).collect();
        Ok((pins, choices))
    });
    let remotes: Vec<_> = plans
        .iter()
        .flatten()
        .flat_map(|(_, choices)| choices)
        .filter_map(|choice| match choice {
            Choice::Wheel(remote) | Choice::Sdist(remote) => Some(remote.clone()),
            Choice::Local | Choice::Nothing(_) => None,
        })
        .collect();
    let settings: Vec<String> = jobs.iter().map(|job| answers::settings_text(folder_of(job))).collect();
    pip_cache::adopt(&remotes, &settings, context);
    let indexes = plans.iter().flatten().flat_map(|(pins, _)| pins.index_urls.iter().cloned());
    let remotes = authorized(remotes, jobs, settings.into_iter().chain(indexes).collect());
    let mut fetched = context.fetcher.fetch_all(&remotes).into_iter();
    let mut answers = Vec::new();
    for (job, plan) in jobs.iter().zip(plans) {
        answers.push(plan.and_then(|(pins, choices)| finish(pins, &choices, &mut fetched, job, &builder)));
    }
    answers
}

fn folder_of(job: &Job) -> &Path {
    job.input.path().parent().unwrap_or(Path::new("."))
}

/// The archives with what their indexes want to know of whoever fetches.
fn authorized(mut remotes: Vec<Remote>, jobs: &[Job], settings: Vec<String>) -> Vec<Remote> {
    let mut texts = settings;
    for job in jobs {
        if let Input::Requirements(path) = &job.input
            && let Ok(requirements) = Requirements::read(path)
        {
            texts.extend(requirements.files.into_iter().map(|(_, text)| text));
        }
    }
    // Each of the settings by itself: they are joined by a byte that no TOML has.
    let credentials = Credentials::find(texts.iter().flat_map(|text| text.split('\0')));
    for remote in &mut remotes {
        remote.authorization = credentials.of_url(&remote.url).map(str::to_owned);
    }
    remotes
}

/// Does several pieces of work at once, on threads of their own: they wait for tools, for locks, and for archives that the
/// workers of the pool are to check. On these workers, one that waits could be the one that is waited for.
fn each<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        while let Some((index, item)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, items.get(i)?)))
        {
            done.push((index, work(item)));
        }
        done
    };
    let mut all: Vec<(usize, R)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..items.len().min(rayon::current_num_threads())).map(|_| scope.spawn(worker)).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().flat_map(join).collect()
    });
    all.sort_by_key(|(index, _)| *index);
    all.into_iter().map(|(_, result)| result).collect()
}

/// Takes the plan's archives off `fetched` and makes packages of them.
fn finish(
    pins: Pins,
    choices: &[Choice],
    fetched: &mut impl Iterator<Item = Result<std::sync::Arc<crate::store::Archive>>>,
    job: &Job,
    builder: &Builder<'_>,
) -> Result<Answer> {
    // Every archive is taken, also after an error, since those of the next plan follow.
    let archives: Vec<_> = choices
        .iter()
        .map(|choice| match choice {
            Choice::Wheel(_) | Choice::Sdist(_) => fetched.next().transpose(),
            Choice::Local | Choice::Nothing(_) => Ok(None),
        })
        .collect();
    let mut answer = Answer {
        packages: Vec::new(),
        findings: pins.findings,
        notes: pins.notes,
        inputs: pins.inputs,
        resolved_by: pins.resolved_by,
    };
    for ((pin, choice), archive) in pins.pins.iter().zip(choices).zip(archives) {
        match select::package(pin, choice, archive?, &job.target, builder)? {
            Ok((package, note)) => {
                answer.packages.push(package);
                // Which compilers are here, and what they find, cannot be named in a few words.
                answer.inputs = answer.inputs.filter(|_| note.is_none());
                answer.notes.extend(note);
            }
            Err(finding) => answer.findings.push(finding),
        }
    }
    answer.packages.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(answer)
}

/// Files of a folder that decide which of them decides, or refuse, when they appear.
const DECIDING: &[&str] = &[
    "uv.lock",
    "pyproject.toml",
    "pylock.toml",
    "requirements.txt",
    "Pipfile",
    "Pipfile.lock",
    "poetry.lock",
    "pdm.lock",
    "setup.py",
    "setup.cfg",
];

/// What the answer depends on as seen from this function, which may share it with another one: its own files, and what
/// decides in its folder and above. They are named here as well as in the function's own digest, which leaves out what
/// `exclude` does.
fn of_request(mut inputs: Inputs, request: &Request<'_>, programs: &Programs) -> Option<Inputs> {
    let folder = &request.function.path;
    if let Input::Requirements(path) = Input::find(folder, request.project_root) {
        inputs = answers::inputs(&Requirements::read(&path).ok()?, &path, programs)?;
    }
    inputs.files.extend(DECIDING.iter().map(|name| folder.join(name)));
    let above = folder.ancestors().skip(1).take_while(|above| above.starts_with(request.project_root));
    inputs.files.extend(above.map(|above| above.join("uv.lock")));
    Some(inputs)
}

fn resolution(mut answer: Answer, request: &Request<'_>, programs: &Programs) -> Resolution {
    let input = Input::find(&request.function.path, request.project_root);
    let others = input.passed_over(&request.function.path);
    if !others.is_empty() {
        let decides = input.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        answer.notes.push(format!("{decides} decides; {} beside it is not read", others.join(" and ")));
    }
    Resolution {
        application: Application::Folder { replaced: &[], filter: None },
        packages: answer.packages,
        findings: answer.findings.into_iter().map(|finding| finding.function(&request.function.name)).collect(),
        notes: answer.notes,
        inputs: answer.inputs.and_then(|inputs| of_request(inputs, request, programs)),
        resolved_by: answer.resolved_by,
        ..Resolution::default()
    }
}
