//! Packs code of any language into what AWS Lambda accepts.
//!
//! ```text
//! project ──► resolve ──► check ──► pack ──► report
//! what to     dependency  would     zip      summary,
//! pack        trees       Lambda             manifest
//!                         take it?
//! ```
//!
//! One kind of value travels it: a [`tree::Tree`] of archive paths and what is to stand there. [`project`] says which
//! functions there are, [`resolve`] turns lock files into packages from the [`store`], [`check`] says what Lambda would
//! refuse, [`pack`] writes zips, and [`pipeline`] runs one after the other. [`cli`] is the only module that prints.

pub mod check;
pub mod cli;
pub mod error;
pub mod finding;
pub mod fsio;
pub mod interrupt;
pub mod lambda;
pub mod pack;
pub mod pipeline;
pub mod process;
pub mod project;
pub mod report;
pub mod resolve;
pub mod store;
pub mod tree;
