//! The rust resolver.
