//! cargo-lambda-pack.

pub mod check;
pub mod error;
pub mod finding;
pub mod fsio;
pub mod interrupt;
pub mod lambda;
pub mod pack;
pub mod process;
pub mod project;
pub mod report;
pub mod resolve;
pub mod store;
pub mod tree;
