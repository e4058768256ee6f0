//! What AWS Lambda says: runtimes, quotas, names, reserved variables. Data with its source beside it; no I/O.

mod date;
mod environment;
mod libraries;
mod limits;
mod processors;
mod runtimes;
mod sdk;

pub use date::Date;
pub use environment::{RESERVED_KEYS, is_reserved_key, is_well_formed_key, measured_environment_bytes};
pub use libraries::{ISA_LEVEL, LIBRARY_FOLDERS, has_library, libstdcxx};
pub use limits::*;
pub use processors::{best_processor, is_sure_feature, is_sure_processor};
pub use runtimes::{
    Architecture, Family, IMAGES, Lifecycle, OperatingSystem, RUNTIMES, Runtime, Status, find, nearest,
};
pub use sdk::{Sdk, sdk};
