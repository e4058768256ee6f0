//! Registries of images: what a base is read from, and where an image is pushed to.
//!
//! ```text
//! reference ──► Remote: manifests and blobs of a base (image::Blobs), kept in the store
//! BuiltImage ──► Target: what is missing there, mounted, or streamed from disk or from the base's registry; manifest last
//! ```
//!
//! [`reference`] reads names, [`login`] and [`ecr`] find credentials, [`auth`] answers challenges, [`client`] sends requests
//! to one repository, [`pull`] and [`push`] are the two directions, [`referrer`] attaches what belongs to an image. The
//! protocol is the OCI distribution specification's; what ECR does otherwise is said where it matters, with its source.
//!
//! Connections, TLS and proxies are those of calls to AWS (`aws::http`), all on one runtime. Every answer is bounded, every
//! byte that has a digest is checked, and credentials go to nobody but the registry and its token service.

mod auth;
mod challenge;
mod client;
mod ecr;
mod host;
mod login;
mod network;
mod policy;
mod problem;
mod pull;
mod push;
mod reference;
mod referrer;
mod relay;
mod target;
mod upload;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use host::{EcrHost, Host};
pub use pull::Remote;
pub use push::{Known, Pushed};
pub use reference::{Reference, Repository, is_tag, names_host, tag_of, tag_part};
pub use target::{Target, Wanted, check as check_repository};

use auth::{Auth, Who};
use client::Client;
use ecr::Ecr;
use network::Network;

use crate::aws;
use crate::error::Result;
use crate::image::{Blobs, RawManifest};
use crate::report::EventSender;
use crate::store::{self, Store};

/// How registries are asked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Only what is in the store.
    pub offline: bool,
    /// Region and profile, for ECR.
    pub aws: aws::Settings,
    /// How long nothing may move before something is begun anew.
    pub silence: Duration,
}

/// The way to registries. Nothing is started before something needs the network; copies share what they know.
#[derive(Clone)]
pub struct Registries(Arc<Shared>);

struct Shared {
    settings: Settings,
    blobs: store::Blobs,
    events: EventSender,
    network: Mutex<Option<Arc<Network>>>,
    clients: Mutex<HashMap<Repository, Arc<Client>>>,
    /// By region; nothing for that of the functions.
    ecr: Mutex<HashMap<Option<String>, Arc<Ecr>>>,
    /// Manifests by the names that they were asked for: once in a run.
    manifests: Mutex<HashMap<String, RawManifest>>,
    /// Repositories of which has been told that Lambda takes no image from them.
    told: Mutex<HashSet<Repository>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An image in a registry as a base.
///
/// # Errors
/// When `reference` names none. Whether it is there is seen when it is read.
pub fn open(reference: &str, registries: &Registries) -> Result<Arc<dyn Blobs>> {
    Ok(Arc::new(Remote::new(Reference::parse(reference)?, registries.clone())))
}

impl Registries {
    /// Registries whose manifests and blobs are kept in `store`.
    pub fn new(store: &Store, settings: Settings, events: EventSender) -> Self {
        Self(Arc::new(Shared {
            settings,
            blobs: store.blobs(),
            events,
            network: Mutex::default(),
            clients: Mutex::default(),
            ecr: Mutex::default(),
            manifests: Mutex::default(),
            told: Mutex::default(),
        }))
    }

    /// The same registries, asked anew, with another store.
    #[must_use]
    pub fn with_store(&self, store: &Store) -> Self {
        Self::new(store, self.0.settings.clone(), self.0.events.clone())
    }

    fn network(&self) -> Result<Arc<Network>> {
        let mut network = lock(&self.0.network);
        if let Some(network) = &*network {
            return Ok(Arc::clone(network));
        }
        let settings = &self.0.settings;
        let made = Arc::new(Network::new(settings.silence, settings.aws.patience)?);
        *network = Some(Arc::clone(&made));
        Ok(made)
    }

    /// ECR in a region, or in that of the functions.
    fn ecr(&self, region: Option<&str>) -> Result<Arc<Ecr>> {
        let key = region.map(str::to_owned);
        if let Some(ecr) = lock(&self.0.ecr).get(&key) {
            return Ok(Arc::clone(ecr));
        }
        let mut settings = self.0.settings.aws.clone();
        settings.region = key.clone().or(settings.region);
        let runtime = Arc::clone(&self.network()?.runtime);
        let ecr = Arc::new(Ecr::connect(runtime, &settings, self.0.events.clone())?);
        lock(&self.0.ecr).insert(key, Arc::clone(&ecr));
        Ok(ecr)
    }

    /// Requests to a repository, with the credentials that there are for it.
    fn client(&self, repository: &Repository) -> Result<Arc<Client>> {
        if let Some(client) = lock(&self.0.clients).get(repository) {
            return Ok(Arc::clone(client));
        }
        let Some(ecr) = repository.host.ecr() else { return self.keep(repository, login(repository)) };
        let auth = match self.ecr(Some(&ecr.region)) {
            Ok(ecr) => Auth::new(Who::Ecr(ecr), Vec::new()),
            // Someone may have signed in for whoever runs this.
            Err(error) => match login(repository) {
                auth if auth.is_anonymous() => return Err(error.context(repository)),
                auth => auth,
            },
        };
        self.keep(repository, auth)
    }

    fn keep(&self, repository: &Repository, auth: Auth) -> Result<Arc<Client>> {
        let client = Arc::new(Client {
            repository: repository.clone(),
            network: self.network()?,
            auth,
            events: self.0.events.clone(),
        });
        lock(&self.0.clients).insert(repository.clone(), Arc::clone(&client));
        Ok(client)
    }
}

fn login(repository: &Repository) -> Auth {
    let login = login::find(repository);
    Auth::new(login.credentials.map_or(Who::Anybody, Who::Login), login.troubles)
}
