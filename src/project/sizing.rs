//! How long a function may take and how much it gets. Nothing of it changes what is packed.

use super::reader::Section;
use crate::error::Result;

/// Settings of a function that runs; nothing stands for Lambda's default.
///
/// Limits: `Timeout`, `MemorySize` and `EphemeralStorage` in the Lambda API model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sizing {
    /// Seconds, 1 to 900; Lambda's default is 3.
    pub timeout: Option<u32>,
    /// Megabytes, 128 to 10,240; Lambda's default is 128.
    pub memory: Option<u32>,
    /// Megabytes of `/tmp`, 512 to 10,240; Lambda's default is 512.
    pub ephemeral_storage: Option<u32>,
}

impl Sizing {
    /// These where they say something, else `defaults`.
    pub(super) fn over(self, defaults: Self) -> Self {
        Self {
            timeout: self.timeout.or(defaults.timeout),
            memory: self.memory.or(defaults.memory),
            ephemeral_storage: self.ephemeral_storage.or(defaults.ephemeral_storage),
        }
    }

    pub(super) fn read(section: &Section<'_>) -> Result<Self> {
        Ok(Self {
            timeout: number(section, "timeout", "seconds", 1..=900)?,
            memory: number(section, "memory", "megabytes", 128..=10_240)?,
            ephemeral_storage: number(section, "ephemeral-storage", "megabytes", 512..=10_240)?,
        })
    }
}

fn number(section: &Section<'_>, key: &str, unit: &str, range: std::ops::RangeInclusive<u32>) -> Result<Option<u32>> {
    let Some(number) = section.count(key)? else { return Ok(None) };
    let fits = u32::try_from(number).ok().filter(|number| range.contains(number));
    let place = section.keys().find(|name| name.value == key);
    let error = |text: String| place.map_or_else(|| section.error(text.clone()), |place| place.error(text.clone()));
    fits.map(Some).ok_or_else(|| {
        error(format!("`{key}` cannot be {number}: Lambda takes {} to {} {unit}", range.start(), range.end()))
    })
}
