//! Which versions of a library's symbols a file needs: of each family the highest, with a symbol that asks for it.

use object::elf as abi;
use object::read::elf::{FileHeader, Sym as _};
use object::{Endianness, ReadRef as _};
use serde::{Deserialize, Serialize};

use super::read::{Dynamic, File, Strings};

/// More libraries with versions than this nobody needs.
const MOST_LIBRARIES: u64 = 1_000;
/// More versions of one library than this there are not.
const MOST_VERSIONS: u16 = 1_000;
/// More imported symbols than this are not looked through.
const MOST_SYMBOLS: u64 = 1 << 20;
/// `VER_FLG_WEAK`: the loader goes on without it.
const WEAK: u16 = 2;

/// Whose versions they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum VersionFamily {
    /// `GLIBC_2.34`.
    Glibc,
    /// `GLIBCXX_3.4.29`.
    Glibcxx,
    /// `CXXABI_1.3.13`.
    Cxxabi,
}

/// A version that a file needs of a library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionNeed {
    /// The library, by its SONAME.
    pub library: String,
    /// The family.
    pub family: VersionFamily,
    /// The version's numbers; those that are not there are 0.
    pub version: (u16, u16, u16),
    /// The version's name.
    pub name: String,
    /// A symbol that asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symbol: Option<String>,
}

/// Versions without a number, and the glibc that first has them (its `Versions.def` and NEWS).
const NAMED: &[(&str, (u16, u16, u16))] =
    &[("GLIBC_ABI_DT_RELR", (2, 36, 0)), ("GLIBC_ABI_GNU2_TLS", (2, 42, 0)), ("GLIBC_ABI_GNU_TLS", (2, 42, 0))];

/// Family and numbers of a version's name; nothing for those that are not counted (`GLIBC_PRIVATE`, `CXXABI_FLOAT128`).
fn parse(name: &str) -> Option<(VersionFamily, (u16, u16, u16))> {
    if let Some((_, version)) = NAMED.iter().find(|(named, _)| *named == name) {
        return Some((VersionFamily::Glibc, *version));
    }
    let (family, numbers) = name.split_once('_')?;
    let family = match family {
        "GLIBC" => VersionFamily::Glibc,
        "GLIBCXX" => VersionFamily::Glibcxx,
        "CXXABI" => VersionFamily::Cxxabi,
        _ => return None,
    };
    let mut parts = numbers.splitn(3, '.').map(|part| part.parse().ok());
    let mut next = || parts.next().unwrap_or(Some(0));
    Some((family, (next()?, next()?, next()?)))
}

/// What a file needs; damaged tables say less, never more than is bounded.
pub(super) fn needs<H: FileHeader<Endian = Endianness>>(
    dynamic: &Dynamic,
    file: &File<'_, H>,
    strings: &Strings<'_>,
) -> Vec<VersionNeed> {
    let mut found: Vec<(VersionNeed, u16)> = Vec::new();
    let Some((address, count)) = dynamic.version_needs else { return Vec::new() };
    let mut at = file.offset(address);
    for _ in 0..count.min(MOST_LIBRARIES) {
        let Some(offset) = at else { break };
        let Ok(need) = file.bytes.read_at::<abi::Verneed<Endianness>>(offset) else { break };
        let library = strings.get(need.vn_file.get(file.endian).into()).unwrap_or_default();
        let first = offset.checked_add(need.vn_aux.get(file.endian).into());
        versions_of(&library, first, need.vn_cnt.get(file.endian), file, strings, &mut found);
        at = step(offset, need.vn_next.get(file.endian));
    }
    let named =
        |(need, index): (VersionNeed, u16)| VersionNeed { symbol: symbol(index, dynamic, file, strings), ..need };
    found.into_iter().map(named).collect()
}

fn step(offset: u64, by: u32) -> Option<u64> {
    (by != 0).then(|| offset.checked_add(by.into())).flatten()
}

fn versions_of<H: FileHeader<Endian = Endianness>>(
    library: &str,
    first: Option<u64>,
    count: u16,
    file: &File<'_, H>,
    strings: &Strings<'_>,
    found: &mut Vec<(VersionNeed, u16)>,
) {
    let mut at = first;
    for _ in 0..count.min(MOST_VERSIONS) {
        let Some(offset) = at else { break };
        let Ok(aux) = file.bytes.read_at::<abi::Vernaux<Endianness>>(offset) else { break };
        at = step(offset, aux.vna_next.get(file.endian));
        let name = strings.get(aux.vna_name.get(file.endian).into()).unwrap_or_default();
        let Some((family, version)) = parse(&name) else { continue };
        if aux.vna_flags.get(file.endian).0 & WEAK != 0 {
            continue;
        }
        let index = aux.vna_other.get(file.endian).0 & 0x7fff;
        let need = VersionNeed { library: library.to_owned(), family, version, name, symbol: None };
        match found.iter_mut().find(|(known, _)| known.library == library && known.family == family) {
            Some((known, _)) if known.version >= version => {}
            Some(known) => *known = (need, index),
            None => found.push((need, index)),
        }
    }
}

/// The first imported symbol of a version.
fn symbol<H: FileHeader<Endian = Endianness>>(
    version: u16,
    dynamic: &Dynamic,
    file: &File<'_, H>,
    strings: &Strings<'_>,
) -> Option<String> {
    let versions = file.offset(dynamic.symbol_versions?)?;
    let symbols = file.offset(dynamic.symbols?)?;
    let hash = file.offset(dynamic.hash?)?;
    let word = |at: u64| Some(file.bytes.read_at::<object::U32<Endianness>>(at).ok()?.get(file.endian));
    let count = u64::from(word(hash.checked_add(4)?)?).min(MOST_SYMBOLS);
    let is_of_version = |index: &u64| {
        let at = versions.checked_add(index * 2);
        let found = at.and_then(|at| file.bytes.read_at::<object::U16<Endianness>>(at).ok());
        found.is_some_and(|found| found.get(file.endian) & 0x7fff == version)
    };
    let index = (1..count).find(is_of_version)?;
    let size = u64::try_from(size_of::<H::Sym>()).ok()?;
    let symbol = file.bytes.read_at::<H::Sym>(symbols.checked_add(index.checked_mul(size)?)?).ok()?;
    strings.get(symbol.st_name(file.endian).into()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_numbers() {
        use VersionFamily::*;
        for (name, parsed) in [
            ("GLIBC_2.2.5", Some((Glibc, (2, 2, 5)))),
            ("GLIBC_2.38", Some((Glibc, (2, 38, 0)))),
            ("GLIBCXX_3.4.30", Some((Glibcxx, (3, 4, 30)))),
            ("CXXABI_1.3", Some((Cxxabi, (1, 3, 0)))),
            ("GLIBC_ABI_DT_RELR", Some((Glibc, (2, 36, 0)))),
            ("GLIBC_PRIVATE", None),
            ("CXXABI_FLOAT128", None),
            ("CXXABI_TM_1", None),
            ("GCC_3.0", None),
            ("", None),
        ] {
            assert_eq!(parse(name), parsed, "{name}");
        }
    }
}
