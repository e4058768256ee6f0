//! The python resolver.
mod manifest;
mod names;
mod pin;
mod pylock;
mod tags;
mod target;
mod uv_lock;
