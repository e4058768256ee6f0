//! Packs code of any language into what AWS Lambda accepts.
//!
//! ```text
//! project ──► resolve ──► check ──► pack ──► publish ──► report
//! what to     dependency  would     zip      S3          summary, manifest,
//! pack        trees       Lambda                         outputs
//!                         take it?
//! ```
//!
//! One kind of value travels it: a [`tree::Tree`] of archive paths and what is to stand there. [`project`] says which
//! functions there are, [`resolve`] turns lock files into packages from the [`store`], [`check`] says what Lambda would
//! refuse, [`pack`] writes zips, [`image`] container images, [`publish`] brings them to S3 by way of [`aws`], and [`pipeline`] runs one after the
//! other. [`outputs`] says what a deployment takes in. [`cli`] is the only module that prints.

pub mod artifact;
pub mod aws;
pub mod check;
pub mod cli;
pub mod elf;
pub mod error;
pub mod finding;
pub mod fresh;
pub mod fsio;
pub mod image;
pub mod interrupt;
pub mod invoke;
pub mod jvm;
pub mod lambda;
pub mod outputs;
pub mod pack;
pub mod pipeline;
pub mod process;
pub mod project;
pub mod publish;
pub mod registry;
pub mod report;
pub mod resolve;
pub mod split;
pub mod store;
pub mod template;
pub mod tree;
