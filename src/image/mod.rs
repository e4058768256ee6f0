//! Container images: from a tree and a base to an image that Lambda takes, without a daemon.
//!
//! A base is anything that gives manifests and blobs ([`Blobs`]); what is built is a plain value ([`BuiltImage`]) that
//! says of each layer where its bytes are, so that whoever pushes it need not know how it came to be.

pub mod base;
mod types;
mod verify;

pub use base::BaseReference;
pub use types::*;
pub use verify::Verified;
