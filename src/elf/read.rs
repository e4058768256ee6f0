//! From bytes to the facts of an ELF file, by way of its program headers.

use object::elf as abi;
use object::read::elf::{Dyn as _, FileHeader, ProgramHeader as _};
use object::{Endianness, ReadRef as _};

use super::versions;
use super::{Elf, Kind, Machine};

/// More libraries than this nobody needs.
const MOST_NEEDED: usize = 1_000;
/// More folders than this nobody looks into.
const MOST_FOLDERS: usize = 100;
/// Longer strings are no names; Linux takes paths of 4,096 bytes.
const LONGEST: usize = 4_096;
/// `DF_1_PIE` of `DT_FLAGS_1`: a program, though its type is that of a library.
const DF_1_PIE: u64 = 0x0800_0000;
/// `GNU_PROPERTY_X86_ISA_1_NEEDED`, whose bits are the levels.
const X86_ISA_1_NEEDED: u32 = 0xc000_8002;

pub(super) fn read(bytes: &[u8]) -> Result<Elf, String> {
    match bytes.get(4).copied().map(abi::FileClass) {
        Some(abi::ELFCLASS32) => read_class::<abi::FileHeader32<Endianness>>(bytes, false),
        Some(abi::ELFCLASS64) => read_class::<abi::FileHeader64<Endianness>>(bytes, true),
        Some(class) => Err(format!("its class is {}", class.0)),
        None => Err("file too short".to_owned()),
    }
}

/// A file whose header was read.
pub(super) struct File<'a, H: FileHeader<Endian = Endianness>> {
    pub(super) bytes: &'a [u8],
    pub(super) endian: Endianness,
    segments: &'a [H::ProgramHeader],
}

impl<H: FileHeader<Endian = Endianness>> File<'_, H> {
    /// Where in the file what is loaded to an address lies.
    pub(super) fn offset(&self, address: u64) -> Option<u64> {
        self.segments.iter().filter(|s| s.p_type(self.endian) == abi::PT_LOAD).find_map(|segment| {
            let start: u64 = segment.p_vaddr(self.endian).into();
            let (offset, size) = segment.file_range(self.endian);
            let within = address.checked_sub(start).filter(|within| *within < size)?;
            offset.checked_add(within)
        })
    }
}

/// What the dynamic segment says, strings still as offsets.
#[derive(Default)]
pub(super) struct Dynamic {
    needed: Vec<u64>,
    soname: Option<u64>,
    rpath: Option<u64>,
    runpath: Option<u64>,
    flags_1: u64,
    strings: Option<(u64, u64)>,
    pub(super) symbols: Option<u64>,
    pub(super) symbol_versions: Option<u64>,
    pub(super) version_needs: Option<(u64, u64)>,
    /// Hash tables: the second word of both kinds bounds the symbols that are imported.
    pub(super) hash: Option<u64>,
}

impl Dynamic {
    fn add(&mut self, tag: abi::DynamicTag, value: u64) {
        let (address, size) = self.strings.unwrap_or_default();
        let (needs, count) = self.version_needs.unwrap_or_default();
        match tag {
            abi::DT_NEEDED if self.needed.len() < MOST_NEEDED => self.needed.push(value),
            abi::DT_HASH => self.hash = self.hash.or(Some(value)),
            abi::DT_GNU_HASH => self.hash = Some(value),
            abi::DT_STRTAB => self.strings = Some((value, size)),
            abi::DT_STRSZ => self.strings = Some((address, value)),
            abi::DT_SYMTAB => self.symbols = Some(value),
            abi::DT_SONAME => self.soname = Some(value),
            abi::DT_RPATH => self.rpath = Some(value),
            abi::DT_RUNPATH => self.runpath = Some(value),
            abi::DT_FLAGS_1 => self.flags_1 = value,
            abi::DT_VERSYM => self.symbol_versions = Some(value),
            abi::DT_VERNEED => self.version_needs = Some((value, count)),
            abi::DT_VERNEEDNUM => self.version_needs = Some((needs, value)),
            _ => {}
        }
    }
}

/// The string table.
pub(super) struct Strings<'a>(&'a [u8]);

impl Strings<'_> {
    /// The string at an offset, if it ends and is a name.
    pub(super) fn get(&self, offset: u64) -> Option<String> {
        let from = self.0.get(usize::try_from(offset).ok()?..)?;
        let end = from.iter().take(LONGEST).position(|byte| *byte == 0)?;
        Some(String::from_utf8_lossy(&from[..end]).into_owned())
    }
}

fn read_class<H: FileHeader<Endian = Endianness>>(bytes: &[u8], is_64: bool) -> Result<Elf, String> {
    let bad = |error: object::Error| error.to_string();
    let header = H::parse(bytes).map_err(bad)?;
    let endian = header.endian().map_err(bad)?;
    let segments = header.program_headers(endian, bytes).map_err(bad)?;
    let file = File::<H> { bytes, endian, segments };
    let mut elf = Elf {
        machine: Machine(header.e_machine(endian).0),
        is_64,
        is_little_endian: endian == Endianness::Little,
        kind: Kind::Other,
        interpreter: None,
        soname: None,
        needed: Vec::new(),
        rpath: Vec::new(),
        runpath: Vec::new(),
        versions: Vec::new(),
        isa_level: 0,
        is_go: false,
        debug: 0,
    };
    let mut dynamic = Dynamic::default();
    for segment in segments {
        if let Some(path) = segment.interpreter(endian, bytes).map_err(bad)? {
            let path = path.get(..LONGEST.min(path.len())).unwrap_or_default();
            elf.interpreter = Some(String::from_utf8_lossy(path).into_owned());
        }
        // Of two dynamic segments the loader takes the last.
        if let Some(entries) = segment.dynamic(endian, bytes).map_err(bad)? {
            dynamic = Dynamic::default();
            for entry in entries.iter().take_while(|entry| entry.tag(endian) != abi::DT_NULL) {
                dynamic.add(entry.tag(endian), entry.val(endian));
            }
        }
        read_notes(segment, &file, &mut elf);
    }
    name(&dynamic, &file, &mut elf)?;
    elf.kind = kind(header.e_type(endian), &dynamic, &elf);
    Ok(elf)
}

/// Takes strings and versions in.
fn name<H: FileHeader<Endian = Endianness>>(
    dynamic: &Dynamic,
    file: &File<'_, H>,
    elf: &mut Elf,
) -> Result<(), String> {
    let Some((address, size)) = dynamic.strings else { return Ok(()) };
    let table = file.offset(address).and_then(|offset| file.bytes.read_bytes_at(offset, size).ok());
    let strings = Strings(table.ok_or("its string table is not in the file")?);
    elf.needed = dynamic.needed.iter().filter_map(|at| strings.get(*at)).collect();
    elf.soname = dynamic.soname.and_then(|at| strings.get(at));
    elf.rpath = folders(dynamic.rpath, &strings);
    elf.runpath = folders(dynamic.runpath, &strings);
    elf.versions = versions::needs(dynamic, file, &strings);
    Ok(())
}

fn folders(at: Option<u64>, strings: &Strings<'_>) -> Vec<String> {
    let text = at.and_then(|at| strings.get(at)).unwrap_or_default();
    text.split(':').filter(|folder| !folder.is_empty()).take(MOST_FOLDERS).map(str::to_owned).collect()
}

fn kind(e_type: abi::FileType, dynamic: &Dynamic, elf: &Elf) -> Kind {
    match e_type {
        abi::ET_EXEC => Kind::Program,
        // Some libraries, glibc's own among them, can be started, too.
        abi::ET_DYN if dynamic.flags_1 & DF_1_PIE != 0 || (elf.interpreter.is_some() && elf.soname.is_none()) => {
            Kind::Program
        }
        abi::ET_DYN => Kind::Library,
        _ => Kind::Other,
    }
}

/// Go's build id, and the x86-64 level. Notes that cannot be read say nothing: the loader does not mind them, either.
fn read_notes<H: FileHeader<Endian = Endianness>>(segment: &H::ProgramHeader, file: &File<'_, H>, elf: &mut Elf) {
    let Ok(Some(mut notes)) = segment.notes(file.endian, file.bytes) else { return };
    while let Ok(Some(note)) = notes.next() {
        elf.is_go |= note.name() == b"Go";
        let Some(mut properties) = note.gnu_properties(file.endian) else { continue };
        while let Ok(Some(property)) = properties.next() {
            if property.pr_type().0 == X86_ISA_1_NEEDED
                && let Ok(bits) = property.data_u32(file.endian)
            {
                let level = u32::BITS - (bits & 0xf).leading_zeros();
                elf.isa_level = elf.isa_level.max(u8::try_from(level).unwrap_or(0));
            }
        }
    }
}
