//! From a tree to a zip.

pub mod deflate;
pub mod zip;
