//! From what is on disk to a [`Project`]: a config file, Cargo metadata, or detection.

mod spec;

pub use spec::{CargoBinary, FunctionSpec, Project};
