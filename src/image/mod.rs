//! Container images: from a tree and a base to an image that Lambda takes, without a daemon.
//!
//! A base is anything that gives manifests and blobs ([`Blobs`]); what is built is a plain value ([`BuiltImage`]) that
//! says of each layer where its bytes are, so that whoever pushes it need not know how it came to be.

#[cfg(unix)]
mod ahead;
mod archive;
pub mod base;
mod build;
mod compression;
mod document;
mod group;
mod gzip;
mod inspect;
pub mod layout;
mod listing;
mod members;
mod merged;
mod opened;
mod rooted;
mod save;
mod tar;
mod types;
#[cfg(unix)]
mod unpack;
mod verify;

pub use base::BaseReference;
pub use build::{Built, PlannedImage, Starter, build};
pub(crate) use group::Part;
pub use group::PlannedPiece;
pub use inspect::Opened;
pub(crate) use inspect::{is_archive, open_artifact, rewrite};
pub(crate) use listing::What;
pub(crate) use merged::{Merged, Node};
pub use opened::Base;
pub(crate) use rooted::Rooted;
pub(crate) use save::save;
pub use types::*;
#[cfg(unix)]
pub(crate) use unpack::unpack;
pub use verify::Verified;

/// What the images of AWS are started by. It takes exactly one argument, the handler, and starts `/var/runtime/bootstrap`.
pub const AWS_ENTRYPOINT: &str = "/lambda-entrypoint.sh";
/// Where functions are.
pub const TASK_ROOT: &str = "/var/task";
