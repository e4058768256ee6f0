//! One execution environment: a process behind walls, and the API that it speaks to.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Prepared;
use super::identifiers;
use super::limits::INIT_LIMIT;
use super::log::{Log, Pipe, Watched};
use super::outcome::{self, Outcome};
use super::runtime_api::{Answer, Api, Exit, Form, Shared, Task, Told, Waited};
use crate::error::{Error, Result};
use crate::interrupt;
use crate::process::{Running, Tool};

/// How often it is looked whether a process has ended.
const GLANCE: Duration = Duration::from_millis(4);
/// How long extensions may take to end.
const FAREWELL: Duration = Duration::from_millis(2_000);

/// See the module. It ends when it is dropped, with every process in it.
pub(super) struct Instance {
    prepared: Arc<Prepared>,
    log: Arc<Log>,
    api: Api,
    process: Process,
    /// How long init took, until it was reported.
    init: Option<Duration>,
    /// What init has failed with: the answer to the first event.
    failed: Option<Vec<u8>>,
    is_spent: bool,
}

/// What is asked of a function.
#[derive(Debug, Clone, Default)]
pub(super) struct Request {
    /// Its id, where that was told already.
    pub(super) id: Option<String>,
    pub(super) event: Vec<u8>,
    pub(super) client_context: Option<String>,
    pub(super) form: Form,
}

impl Instance {
    /// Starts a process, and waits until it asks for events or has failed to.
    pub(super) fn start(prepared: &Arc<Prepared>, log: Arc<Log>) -> Result<Self> {
        let begin = Instant::now();
        let mut instance = Self::launch(prepared, &log)?;
        match instance.api.ready(begin + INIT_LIMIT) {
            Waited::Done(None) => {}
            Waited::Done(Some(document)) => instance.fail(document, begin.elapsed()),
            Waited::Exited(exit) => instance.fail(document_of(exit), begin.elapsed()),
            Waited::TimedOut => {
                // Lambda starts anew then, and counts that time as the function's.
                log.line(&format!(
                    "INIT_REPORT Init Duration: {} ms\tPhase: init\tStatus: timeout",
                    millis(INIT_LIMIT)
                ));
                drop(instance);
                let begin = Instant::now();
                let mut again = Self::launch(prepared, &log)?;
                let limit = prepared.function.timeout;
                match again.api.ready(begin + limit) {
                    Waited::Done(None) => {}
                    Waited::Done(Some(document)) => again.failed = Some(document),
                    Waited::Exited(exit) => again.failed = Some(document_of(exit)),
                    Waited::TimedOut => again.failed = Some(Vec::new()),
                }
                again.init = Some(begin.elapsed());
                return Ok(again);
            }
        }
        instance.init = Some(begin.elapsed());
        Ok(instance)
    }

    /// Init has failed with this document.
    fn fail(&mut self, document: Vec<u8>, took: Duration) {
        self.log.drain(&self.process.pipes);
        let kind = outcome::kind(&document);
        self.log.line(&format!(
            "INIT_REPORT Init Duration: {} ms\tPhase: init\tStatus: error\tError Type: {kind}",
            millis(took)
        ));
        self.failed = Some(document);
    }

    fn launch(prepared: &Arc<Prepared>, log: &Arc<Log>) -> Result<Self> {
        let function = &prepared.function;
        let told = Told { function: function.name.clone(), handler: function.handler.clone() };
        let api = Api::start(told, prepared.program.extensions.len())
            .map_err(|e| Error::failed("Failed to listen on 127.0.0.1").because(e))?;
        let process = match prepared.image.as_ref().and_then(|image| Some((image, image.refusal.as_ref()?))) {
            Some((image, refusal)) => {
                log.line(&image.launch_error(refusal));
                api.shared.note_init_error(outcome::refused(NO_ID, refusal.kind, &refusal.message));
                Process::none()
            }
            None => Process::start(prepared.tool(&api.address())?, Arc::clone(&api.shared), Arc::clone(log))?,
        };
        Ok(Self {
            prepared: Arc::clone(prepared),
            log: Arc::clone(log),
            api,
            process,
            init: None,
            failed: None,
            is_spent: false,
        })
    }

    /// Whether it takes another event.
    pub(super) fn is_spent(&self) -> bool {
        self.is_spent
    }

    /// What its init has failed with, in Lambda's own document.
    pub(super) fn init_failure(&self) -> Option<&[u8]> {
        self.failed.as_deref()
    }

    /// Hands an event over and waits for the answer, at most as long as the function's timeout.
    pub(super) fn invoke(&mut self, request: Request) -> Outcome {
        let request_id = request.id.clone().unwrap_or_else(identifiers::uuid);
        let begin = Instant::now();
        let limit = self.prepared.function.timeout;
        self.log.begin();
        self.log.line(&format!("START RequestId: {request_id} Version: $LATEST"));
        let (payload, content_type, is_error, status) = match self.failed.take() {
            Some(document) => {
                self.is_spent = true;
                let (document, status) = if document.is_empty() {
                    (outcome::timed_out(&request_id, limit.as_secs()), "\tStatus: timeout")
                } else {
                    (with_id(&document, &request_id), "\tStatus: error")
                };
                (document, JSON.to_owned(), true, status)
            }
            None => self.ask(request, &request_id, begin + limit),
        };
        let took = begin.elapsed().min(limit);
        self.log.line(&format!("END RequestId: {request_id}"));
        self.log.line(&self.report(&request_id, took, status));
        self.init = None;
        if self.is_spent {
            self.process.stop();
        }
        Outcome { request_id, payload, content_type, is_error, log_tail: self.log.tail() }
    }

    fn ask(&mut self, request: Request, id: &str, until: Instant) -> (Vec<u8>, String, bool, &'static str) {
        self.api.offer(Task {
            request_id: id.to_owned(),
            event: request.event,
            deadline_ms: identifiers::now_ms() + until.saturating_duration_since(Instant::now()).as_millis(),
            trace: identifiers::trace(),
            function_arn: self.prepared.function.arn(),
            client_context: request.client_context,
            form: request.form,
        });
        match self.api.answer(until) {
            Waited::Done(Answer::Response { bytes, content_type }) => {
                self.settle(until);
                (bytes, content_type, false, "")
            }
            Waited::Done(Answer::Error(document)) => {
                self.settle(until);
                (document, JSON.to_owned(), true, "\tStatus: error")
            }
            Waited::Exited(exit) => {
                self.is_spent = true;
                self.log.line(&format!("RequestId: {id} Error: {}\nRuntime.ExitError", outcome::exit_text(exit)));
                (outcome::exited(id, exit), JSON.to_owned(), true, "\tStatus: error\tError Type: Runtime.ExitError")
            }
            Waited::TimedOut => {
                self.is_spent = true;
                self.log.drain(&self.process.pipes);
                let seconds = self.prepared.function.timeout.as_secs();
                self.log.line(&format!("RequestId: {id} Error: Task timed out after {seconds}.00 seconds"));
                (outcome::timed_out(id, seconds), JSON.to_owned(), true, "\tStatus: timeout")
            }
        }
    }

    /// An event is over when the runtime asks for the next one: until then it runs, as on Lambda.
    fn settle(&mut self, until: Instant) {
        if !matches!(self.api.ready(until), Waited::Done(None)) {
            self.is_spent = true;
        }
        self.log.drain(&self.process.pipes);
    }

    fn report(&self, id: &str, took: Duration, status: &str) -> String {
        let init = self.init.map_or_else(String::new, |init| format!("\tInit Duration: {} ms", millis(init)));
        let billed = (took + self.init.unwrap_or_default()).as_secs_f64() * 1000.0;
        // Of what has ended, nothing can be known.
        let used = match self.process.memory_megabytes() {
            0 => String::new(),
            used => format!("\tMax Memory Used: {used} MB"),
        };
        format!(
            "REPORT RequestId: {id}\tDuration: {} ms\tBilled Duration: {:.0} ms\tMemory Size: {} MB{used}{init}{status}",
            millis(took),
            billed.ceil(),
            self.prepared.function.memory,
        )
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if !self.is_spent {
            self.api.shut_down("spindown", FAREWELL);
        }
        self.process.stop();
    }
}

const JSON: &str = "application/json";

fn millis(duration: Duration) -> String {
    format!("{:.2}", duration.as_secs_f64() * 1000.0)
}

/// An init that has ended, as the document that stands for any request.
fn document_of(exit: Exit) -> Vec<u8> {
    outcome::exited(NO_ID, exit)
}

const NO_ID: &str = "@request-id@";

/// The document with the id of the request that it answers.
fn with_id(document: &[u8], id: &str) -> Vec<u8> {
    match std::str::from_utf8(document) {
        Ok(text) if text.contains(NO_ID) => text.replace(NO_ID, id).into_bytes(),
        _ => document.to_vec(),
    }
}

/// A process with what it writes. A thread of its own starts it and stays until it has ended.
struct Process {
    stop: mpsc::Sender<()>,
    watcher: Option<JoinHandle<()>>,
    id: u32,
    pipes: Vec<Watched>,
}

impl Process {
    fn start(tool: Tool, shared: Arc<Shared>, log: Arc<Log>) -> Result<Self> {
        let (stop, stopped) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        let watch = move || {
            let mut running = match tool.start() {
                Ok(running) => running,
                Err(failure) => return drop(tell.send(Err(Error::from(failure)))),
            };
            let (relays, pipes) = relays(&mut running, &log);
            let _ = tell.send(Ok((running.id(), pipes)));
            loop {
                if let Some(status) = running.ended() {
                    // On Ctrl-C it is we who have ended it, which is no answer; the process ends at once.
                    while interrupt::is_ending() {
                        std::thread::park();
                    }
                    join(relays);
                    return shared.note_exit(Exit::of(status));
                }
                match stopped.recv_timeout(GLANCE) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            drop(running);
            join(relays);
        };
        let watcher = std::thread::Builder::new()
            .name("watch".to_owned())
            .spawn(watch)
            .map_err(|e| Error::failed("Failed to start a thread").because(e))?;
        let (id, pipes) = told.recv().map_err(|e| Error::failed("Failed to start the function").because(e))??;
        Ok(Self { stop, watcher: Some(watcher), id, pipes })
    }

    /// For what cannot be started.
    fn none() -> Self {
        Self { stop: mpsc::channel().0, watcher: None, id: 0, pipes: Vec::new() }
    }

    /// Kills it, and waits until what it has written was passed on.
    fn stop(&mut self) {
        let _ = self.stop.send(());
        if let Some(watcher) = self.watcher.take() {
            let _ = watcher.join();
        }
    }

    /// The most memory that its processes have had at once, about: each one's own peak, summed.
    fn memory_megabytes(&self) -> u64 {
        self.watcher.as_ref().map_or(0, |_| super::memory::peak_kilobytes(self.id).div_ceil(1024))
    }
}

/// Threads that pass on what a process writes; each says when it is done.
fn relays(running: &mut Running, log: &Arc<Log>) -> (Vec<mpsc::Receiver<()>>, Vec<Watched>) {
    let (stdout, stderr) = running.outputs();
    let watched = [stdout.as_ref().and_then(Watched::new), stderr.as_ref().and_then(Watched::new)];
    let relays = stdout.map(|pipe| relay(pipe, log)).into_iter().chain(stderr.map(|pipe| relay(pipe, log)));
    (relays.collect(), watched.into_iter().flatten().collect())
}

fn relay(pipe: impl Pipe + Send + 'static, log: &Arc<Log>) -> mpsc::Receiver<()> {
    let (done, finished) = mpsc::channel();
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        log.follow(pipe);
        let _ = done.send(());
    });
    finished
}

/// Waits for the rest of what was written. A process that has left its group may hold the pipe open: it is not waited for.
fn join(relays: Vec<mpsc::Receiver<()>>) {
    for relay in relays {
        let _ = relay.recv_timeout(Duration::from_millis(500));
    }
}
