//! SAM and CloudFormation templates: read as projects, and written again with only the places of code replaced.
//!
//! ```text
//! file ──► yaml (nodes with places) ──► resources (functions, layers, local files) ──► project
//!              │                                                                          │
//!              └────────────────────────► edit ◄── where each zip is ◄── manifest ◄───────┘
//! ```
//!
//! What a function is may depend on parameters, mappings and conditions ([`eval`]); what only a deployment knows is said with
//! its path in the template, and left as it is.

pub mod edit;
pub mod eval;
pub mod files;
pub mod grow;
mod loops;
mod maps;
mod model;
pub mod resources;
pub mod yaml;

pub use files::LocalFile;
pub use model::{Build, Code, Deployment, Form, Function, Layer, LayerUse, Site, Stack, Template};
