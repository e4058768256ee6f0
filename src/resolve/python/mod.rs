//! The python resolver.
