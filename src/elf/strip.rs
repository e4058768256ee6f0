//! Debug sections, taken out of a library without touching what is loaded.
//!
//! ```text
//! [ headers, segments: as they are ][ debug … ][ other sections, section table ]
//!                                    left out    moved up, told anew
//! ```
//!
//! Loaders go by segments, so everything up to the end of the last one stays byte for byte. Only where all debug sections lie
//! behind it, and no section that is loaded gets another number, is anything done; libraries that were patched after they were
//! linked often have segments at the end, and stay as they are.

/// `SHF_ALLOC`: part of a segment.
const ALLOC: u64 = 2;
/// `SHT_NOBITS`: nothing in the file.
const NOBITS: u32 = 8;
/// `SHT_SYMTAB`.
const SYMTAB: u32 = 2;
/// `SHT_SYMTAB_SHNDX`, of files with very many sections.
const SYMTAB_SHNDX: u32 = 18;
/// `SHF_INFO_LINK`: `sh_info` is the number of a section.
const INFO_LINK: u64 = 0x40;
/// From here on, numbers of sections mean something else; `SHN_ABS`.
const RESERVED: u16 = 0xff00;
const ABSOLUTE: u16 = 0xfff1;
/// Bytes of headers.
const HEADER: usize = 64;
const SECTION: usize = 64;
const SEGMENT: usize = 56;
const SYMBOL: usize = 24;
/// More sections than this nobody has.
const MOST: usize = 10_000;

#[derive(Debug, Clone, Copy)]
struct Section {
    name: u32,
    kind: u32,
    flags: u64,
    offset: usize,
    size: usize,
    link: u32,
    info: u32,
    align: usize,
}

/// What would be done.
struct Plan {
    sections: Vec<Section>,
    /// For each section, its new number; nothing for one that is left out.
    numbers: Vec<Option<usize>>,
    /// Where the last segment ends.
    loaded: usize,
    names: usize,
}

/// Bytes that [`strip`] would save.
pub(super) fn saved(bytes: &[u8]) -> u64 {
    let Some(plan) = Plan::of(bytes) else { return 0 };
    let out = plan.sections.iter().zip(&plan.numbers).filter(|(_, number)| number.is_none());
    out.map(|(section, _)| section.size as u64).sum()
}

/// The file without its debug sections; nothing when there are none, or it cannot be done safely.
pub fn strip(bytes: &[u8]) -> Option<Vec<u8>> {
    Plan::of(bytes)?.write(bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

fn size_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u64_at(bytes, at)?).ok()
}

impl Section {
    fn read(bytes: &[u8], at: usize) -> Option<Self> {
        Some(Self {
            name: u32_at(bytes, at)?,
            kind: u32_at(bytes, at + 4)?,
            flags: u64_at(bytes, at + 8)?,
            offset: size_at(bytes, at + 24)?,
            size: size_at(bytes, at + 32)?,
            link: u32_at(bytes, at + 40)?,
            info: u32_at(bytes, at + 44)?,
            align: size_at(bytes, at + 48)?,
        })
    }

    fn is_loaded(&self) -> bool {
        self.flags & ALLOC != 0
    }

    fn end(&self) -> Option<usize> {
        self.offset.checked_add(if self.kind == NOBITS { 0 } else { self.size })
    }

    fn is_debug(&self, names: &[u8]) -> bool {
        let from = usize::try_from(self.name).ok().and_then(|at| names.get(at..)).unwrap_or_default();
        let is = |start: &[u8]| from.starts_with(start);
        !self.is_loaded() && self.kind != NOBITS && (is(b".debug_") || is(b".zdebug_") || is(b".gdb_index\0"))
    }
}

impl Plan {
    fn of(bytes: &[u8]) -> Option<Self> {
        // 64 bits, little-endian, a program or library.
        let is_known = super::is_elf(bytes) && bytes.get(4..6)? == [2, 1] && matches!(u16_at(bytes, 16)?, 2 | 3);
        let table = size_at(bytes, 40)?;
        let (entry, count, names) =
            (u16_at(bytes, 58)?, usize::from(u16_at(bytes, 60)?), usize::from(u16_at(bytes, 62)?));
        if !is_known || usize::from(entry) != SECTION || count == 0 || count > MOST || names >= count {
            return None;
        }
        let sections =
            (0..count).map(|n| Section::read(bytes, table.checked_add(n * SECTION)?)).collect::<Option<Vec<_>>>()?;
        let loaded = loaded_end(bytes)?;
        let texts = bytes.get(sections[names].offset..sections[names].end()?)?;
        let last_loaded = sections.iter().rposition(Section::is_loaded).unwrap_or(0);
        let mut numbers = Vec::with_capacity(count);
        let mut next = 0;
        for (number, section) in sections.iter().enumerate() {
            let end = section.end()?;
            if section.is_loaded() && end > loaded || end > bytes.len() || section.kind == SYMTAB_SHNDX {
                return None;
            }
            if section.is_debug(texts) {
                if section.offset < loaded || number < last_loaded {
                    return None;
                }
                numbers.push(None);
            } else {
                numbers.push(Some(next));
                next += 1;
            }
        }
        let plan = Self { sections, numbers, loaded, names };
        (next < count && plan.is_closed()).then_some(plan)
    }

    /// Whether nothing that stays goes by the number of something that is left out.
    fn is_closed(&self) -> bool {
        let stays = |number: u32| {
            usize::try_from(number).ok().and_then(|number| self.numbers.get(number)).is_some_and(Option::is_some)
        };
        let kept = self.sections.iter().zip(&self.numbers).filter(|(_, number)| number.is_some());
        kept.map(|(section, _)| section)
            .all(|section| stays(section.link) && (section.flags & INFO_LINK == 0 || stays(section.info)))
    }

    fn write(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut out = bytes.get(..self.loaded)?.to_vec();
        let mut table = Vec::new();
        for section in self.sections.iter().zip(&self.numbers).filter_map(|(s, number)| number.map(|_| s)) {
            let mut moved = *section;
            if section.kind != NOBITS && section.size > 0 && section.end()? > self.loaded {
                if section.offset < self.loaded {
                    return None; // Half of it is loaded.
                }
                pad(&mut out, section.align.clamp(1, 4096));
                moved.offset = out.len();
                let mut content = bytes.get(section.offset..section.end()?)?.to_vec();
                if section.kind == SYMTAB {
                    self.renumber(&mut content)?;
                }
                out.append(&mut content);
            }
            table.push((moved, *section));
        }
        pad(&mut out, 8);
        let start = out.len();
        for (at, (moved, _)) in table.iter().enumerate() {
            let old = self.numbers.iter().position(|number| *number == Some(at))?;
            let from = size_at(bytes, 40)? + old * SECTION;
            let mut entry = bytes.get(from..from + SECTION)?.to_vec();
            entry[24..32].copy_from_slice(&(moved.offset as u64).to_le_bytes());
            entry[40..44].copy_from_slice(&self.number(moved.link)?.to_le_bytes());
            if moved.flags & INFO_LINK != 0 {
                entry[44..48].copy_from_slice(&self.number(moved.info)?.to_le_bytes());
            }
            out.extend_from_slice(&entry);
        }
        out[40..48].copy_from_slice(&(start as u64).to_le_bytes());
        out[60..62].copy_from_slice(&u16::try_from(table.len()).ok()?.to_le_bytes());
        let names = self.number(u32::try_from(self.names).ok()?)?;
        out[62..64].copy_from_slice(&u16::try_from(names).ok()?.to_le_bytes());
        (out.len() < bytes.len()).then_some(out)
    }

    fn number(&self, old: u32) -> Option<u32> {
        u32::try_from((*self.numbers.get(usize::try_from(old).ok()?)?)?).ok()
    }

    /// Gives symbols the new numbers of their sections.
    fn renumber(&self, symbols: &mut [u8]) -> Option<()> {
        for symbol in symbols.chunks_exact_mut(SYMBOL) {
            let old = u16_at(symbol, 6)?;
            if old < RESERVED {
                let new = self.number(u32::from(old)).and_then(|new| u16::try_from(new).ok()).unwrap_or(ABSOLUTE);
                symbol[6..8].copy_from_slice(&new.to_le_bytes());
            }
        }
        Some(())
    }
}

/// Where headers and segments end.
fn loaded_end(bytes: &[u8]) -> Option<usize> {
    let (start, entry, count) = (size_at(bytes, 32)?, u16_at(bytes, 54)?, usize::from(u16_at(bytes, 56)?));
    if usize::from(entry) != SEGMENT {
        return None;
    }
    let mut end = start.checked_add(count * SEGMENT)?.max(HEADER);
    for n in 0..count {
        let at = start.checked_add(n * SEGMENT)?;
        end = end.max(size_at(bytes, at + 8)?.checked_add(size_at(bytes, at + 32)?)?);
    }
    (end <= bytes.len()).then_some(end)
}

fn pad(out: &mut Vec<u8>, align: usize) {
    out.resize(out.len().next_multiple_of(align), 0);
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::disallowed_methods,
        reason = "a compiler and readers that are not ours are judged by the test itself"
    )]

    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    /// A library compiled with debug information.
    fn library() -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let (source, library) = (dir.path().join("a.c"), dir.path().join("liba.so"));
        crate::fsio::write_atomic(&source, b"int answer(int x) { int y = x * 2; return y + 1; }\n").unwrap();
        let gcc =
            Command::new("gcc").args(["-g3", "-O1", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
        assert!(gcc.expect("gcc is missing: apt-get install gcc").success());
        crate::fsio::read_bounded(&library, 1 << 20).unwrap()
    }

    #[test]
    fn debug_sections_go_and_what_is_loaded_stays() {
        let before = library();
        let after = strip(&before).unwrap();
        assert!(after.len() < before.len() && saved(&before) > 1_000, "{} {}", before.len(), after.len());
        let loaded = loaded_end(&before).unwrap();
        // But for what the header says of the section table.
        assert_eq!((&before[64..loaded], loaded_end(&after)), (&after[64..loaded], Some(loaded)));
        assert_eq!(super::super::Image::of(&before).map(|_| ()), super::super::Image::of(&after).map(|_| ()));
        assert!(strip(&after).is_none(), "nothing is left to do");
        let dir = tempfile::tempdir().unwrap();
        let library = dir.path().join("liba.so");
        crate::fsio::write_atomic(&library, &after).unwrap();
        let script = "import ctypes, sys; print(ctypes.CDLL(sys.argv[1]).answer(20))";
        let run = Command::new("python3").args(["-c", script]).arg(&library).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&run.stdout).trim(), "41", "{}", String::from_utf8_lossy(&run.stderr));
        // A reader that is not ours finds every section where the table says.
        let read = Command::new("readelf").args(["--wide", "--sections", "--symbols"]).arg(&library).output().unwrap();
        let (said, wrong) = (String::from_utf8_lossy(&read.stdout), String::from_utf8_lossy(&read.stderr));
        assert!(said.contains(" answer") && !said.contains(".debug_") && wrong.is_empty(), "{said}{wrong}");
    }

    proptest! {
        #[test]
        fn damaged_files_are_left_or_stripped(at in 0..9_000_usize, value: u8) {
            thread_local!(static LIBRARY: Vec<u8> = library());
            let mut bytes = LIBRARY.with(Clone::clone);
            let at = at % bytes.len();
            bytes[at] = value;
            let _ = (saved(&bytes), strip(&bytes));
            let _ = strip(&bytes[..at]);
        }
    }
}
