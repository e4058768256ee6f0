//! Runs what was packed, here, as Lambda would: no Docker, no account.
//!
//! ```text
//! zip, layers ──► unpacked, merged ──► walls (bubblewrap, or a folder) ──► runtime client ──► Runtime API
//! image       ──► unpacked, kept       what Lambda shows of itself         bootstrap, the     in this process
//!                                                                          package's, ours,
//!                                                                          the entrypoint
//! ```
//!
//! [`Prepared`] is a function that lies ready; [`Prepared::invoke`] answers an event in an execution environment of its own,
//! [`Service`] keeps some and answers as Lambda's endpoint does. What a function has started ends with its environment, and on
//! Ctrl-C. Memory is not limited, and of the processor as much is there as this machine has.

mod client;
mod entrypoint;
mod environment;
mod events;
mod http;
mod identifiers;
mod image;
mod instance;
mod interpreters;
mod letters;
mod limits;
mod log;
mod memory;
mod outcome;
mod runtime_api;
mod serve;
mod unpack;
mod verify;
mod walls;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use events::{SAMPLES, sample};
pub use image::Packed;
pub use letters::{DeadLetters, Delivery};
pub use limits::{MAX_ASYNC_EVENT, MAX_EVENT, RETRIES};
pub use log::Sink;
pub use outcome::Outcome;
pub use serve::Service;
pub use verify::{Known, verify};

use client::Program;
use image::Image;
use instance::{Instance, Request};
use log::Log;
use runtime_api::Form;
use walls::Walls;

use crate::error::Result;
use crate::fsio::{self, Scratch};
use crate::lambda::{Architecture, Runtime};
use crate::process::Tool;
use crate::report::Reporter;
use crate::store::Store;

/// The account of functions that are in none.
const ACCOUNT: &str = "123456789012";

/// A function, and how it is configured.
#[derive(Debug, Clone)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Its runtime.
    pub runtime: &'static Runtime,
    /// Its handler.
    pub handler: String,
    /// Its processor.
    pub architecture: Architecture,
    /// Its own environment variables.
    pub environment: BTreeMap<String, String>,
    /// How long it may take, in whole seconds.
    pub timeout: Duration,
    /// Its memory, in megabytes. It is told, not enforced.
    pub memory: u32,
    /// The size of `/tmp`, in megabytes.
    pub storage: u32,
    /// The region that it is told to be in.
    pub region: String,
}

impl Function {
    /// A function with Lambda's defaults.
    pub fn new(name: impl Into<String>, runtime: &'static Runtime, handler: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            runtime,
            handler: handler.into(),
            architecture: Architecture::X86_64,
            environment: BTreeMap::new(),
            timeout: Duration::from_secs(3),
            memory: 128,
            storage: 512,
            region: "us-east-1".to_owned(),
        }
    }

    fn arn(&self) -> String {
        format!("arn:aws:lambda:{}:{ACCOUNT}:function:{}", self.region, self.name)
    }
}

/// A function that lies unpacked, with what runs it.
pub struct Prepared {
    function: Function,
    program: Program,
    /// Its root, when it is an image.
    image: Option<Image>,
    walls: Walls,
    scratch: Scratch,
    /// What is not as on Lambda.
    pub notes: Vec<String>,
}

impl Prepared {
    /// Unpacks a function's zip and its layers' zips, in their order, and chooses what runs it.
    ///
    /// # Errors
    /// When a zip cannot be unpacked, or nothing on this machine runs functions of its runtime.
    pub fn new(function: Function, zip: &std::path::Path, layers: &[PathBuf]) -> Result<Self> {
        let (walls, mut notes) = {
            let (walls, note) = Walls::find();
            (walls, Vec::from_iter(note))
        };
        let scratch = fsio::scratch_dir()?;
        let (task, opt) = (unpack::open(zip)?, unpack::merge(layers)?);
        let places = walls.places(scratch.path());
        let program = client::choose(&function, &task, &opt, &places)?;
        unpack::write(&task, &scratch.path().join("task"))?;
        unpack::write(&opt, &scratch.path().join("opt"))?;
        let runtime = scratch.path().join("runtime");
        fsio::create_dir_all(&runtime)?;
        for (name, bytes) in &program.files {
            fsio::write_new(&runtime.join(name), bytes, false)?;
        }
        notes.extend(program.notes.iter().cloned());
        Ok(Self { function, program, image: None, walls, scratch, notes })
    }

    /// Unpacks a function's image into the store, unless it is there, to be started as its config says.
    ///
    /// # Errors
    /// When it cannot be unpacked, is for another processor, or nothing on this machine makes a sandbox. That it does not start is
    /// an answer, and no error.
    pub fn of_image(function: Function, packed: Packed<'_>, store: &Store, reporter: &dyn Reporter) -> Result<Self> {
        let (walls, note) = Walls::find();
        if matches!(walls, Walls::Folder) {
            return Err(image::no_walls().context(format!("`{}` cannot be run", function.name)));
        }
        let (image, program) = Image::open(&function, packed, store, reporter)?;
        let held_back = image.held_back(&function, &walls);
        let notes = note.into_iter().chain(program.notes.iter().cloned()).chain(held_back).collect();
        // What is called is for the image to say.
        let function = Function { handler: String::new(), ..function };
        Ok(Self { function, program, image: Some(image), walls, scratch: fsio::scratch_dir()?, notes })
    }

    /// What it is.
    pub fn function(&self) -> &Function {
        &self.function
    }

    /// What of the interpreter or the processor is another than on Lambda.
    fn differs(&self) -> &[String] {
        &self.program.notes
    }

    /// What starts it. `api` is the address of the Runtime API.
    fn tool(&self, api: &str) -> Result<Tool> {
        let places = match self.image {
            Some(_) => environment::Places::lambda(),
            None => self.walls.places(self.scratch.path()),
        };
        let mut program = self.program.clone();
        if !program.extensions.is_empty() {
            // Extensions share the runtime's sandbox, and start before it.
            let script =
                format!("for e in {}/extensions/*; do [ -x \"$e\" ] && \"$e\" & done; exec \"$@\"", places.opt);
            let shell = ["/bin/sh".to_owned(), "-c".to_owned(), script, "sh".to_owned()];
            program.words = shell.into_iter().chain(program.words).collect();
        }
        let storage = u64::from(self.function.storage) << 20;
        match &self.image {
            Some(image) => {
                let variables = image.variables(&self.function, api);
                image.tool(&self.walls, &program.words, &variables, &self.scratch, storage)
            }
            None => {
                let mut variables = environment::variables(&self.function, &places, api);
                for (name, value) in &program.variables {
                    variables.entry((*name).to_owned()).or_insert_with(|| value.clone());
                }
                self.walls.tool(&program, &variables, &self.scratch, storage)
            }
        }
    }

    /// Answers one event in an execution environment of its own, as `InvokeWithResponseStream` does: an answer that is
    /// streamed may have 200 MB. What the function logs goes to `sink`.
    ///
    /// # Errors
    /// When the environment cannot be made; that the function fails is no error of ours.
    pub fn invoke(self: &Arc<Self>, event: &[u8], sink: &Arc<Sink>) -> Result<Outcome> {
        let mut instance = Instance::start(self, Arc::new(Log::new(Arc::clone(sink))))?;
        let form = Form::Streamed(None);
        Ok(instance.invoke(Request { event: event.to_vec(), form, ..Request::default() }))
    }
}
