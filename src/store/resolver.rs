//! Looks each host up once. Connections start in parallel, and a burst of equal questions is what small name servers
//! (of containers, of CI runners) drop, which costs five seconds each.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// The system's resolver, asked once per host.
#[derive(Debug, Default)]
pub(super) struct Once {
    system: DefaultResolver,
    known: Mutex<HashMap<String, Vec<SocketAddr>>>,
}

impl Resolver for Once {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let host = format!("{}://{}", uri.scheme_str().unwrap_or_default(), uri.authority().map_or("", |a| a.as_str()));
        // Held while asking, so that the others wait for the answer instead of asking too.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(addresses) = known.get(&host) {
            let mut out = self.empty();
            addresses.iter().for_each(|address| out.push(*address));
            return Ok(out);
        }
        let found = self.system.resolve(uri, config, timeout)?;
        known.insert(host, found.iter().copied().collect());
        Ok(found)
    }
}
