//! The node resolver.
