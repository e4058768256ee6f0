//! ELF files made for the tests: as small as the loader's view of them allows.

/// An ELF file to be: 64-bit, little-endian, one segment that holds all.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sketch {
    machine: u16,
    e_type: u16,
    interpreter: Option<String>,
    is_dynamic: bool,
    soname: Option<String>,
    needed: Vec<String>,
    rpath: Option<String>,
    runpath: Option<String>,
    versions: Vec<(String, String, String)>,
    isa_level: u8,
}

impl Sketch {
    pub(crate) fn library() -> Self {
        Self { machine: 62, e_type: 3, is_dynamic: true, ..Self::default() }
    }

    pub(crate) fn program(interpreter: &str) -> Self {
        Self { interpreter: Some(interpreter.to_owned()), ..Self::library() }
    }

    pub(crate) fn static_program() -> Self {
        Self { machine: 62, e_type: 2, ..Self::default() }
    }

    pub(crate) fn machine(mut self, machine: u16) -> Self {
        self.machine = machine;
        self
    }

    pub(crate) fn soname(mut self, name: &str) -> Self {
        self.soname = Some(name.to_owned());
        self
    }

    pub(crate) fn needed(mut self, names: &[&str]) -> Self {
        self.needed = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    pub(crate) fn rpath(mut self, folders: &str) -> Self {
        self.rpath = Some(folders.to_owned());
        self
    }

    pub(crate) fn runpath(mut self, folders: &str) -> Self {
        self.runpath = Some(folders.to_owned());
        self
    }

    /// Imports a symbol of a version of a library.
    pub(crate) fn version(mut self, library: &str, version: &str, symbol: &str) -> Self {
        self.versions.push((library.to_owned(), version.to_owned(), symbol.to_owned()));
        self
    }

    pub(crate) fn isa_level(mut self, level: u8) -> Self {
        self.isa_level = level;
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = Layout { bytes: vec![0; 64 + 5 * 56], strings: vec![0], ..Layout::default() };
        if let Some(interpreter) = &self.interpreter {
            let at = out.put(&[interpreter.as_bytes(), b"\0"].concat());
            out.segment(3, at, interpreter.len() as u64 + 1);
        }
        if self.isa_level > 0 {
            let bits = 1_u32 << (self.isa_level - 1);
            let words = [4, 16, 5, u32::from_le_bytes(*b"GNU\0"), 0xc000_8002, 4, bits, 0];
            let note: Vec<u8> = words.iter().flat_map(|word: &u32| word.to_le_bytes()).collect();
            let at = out.put(&note);
            out.segment(4, at, note.len() as u64);
        }
        if self.is_dynamic {
            self.dynamic(&mut out);
        }
        let end = out.bytes.len() as u64;
        out.segment(1, 0, end);
        out.header(self.e_type, self.machine);
        out.bytes
    }

    fn dynamic(&self, out: &mut Layout) {
        let mut entries: Vec<(u64, u64)> = self.needed.iter().map(|name| (1, out.string(name))).collect();
        for (tag, value) in [(14, &self.soname), (15, &self.rpath), (29, &self.runpath)] {
            entries.extend(value.as_ref().map(|text| (tag, out.string(text))));
        }
        self.symbols(out, &mut entries);
        let strings = std::mem::take(&mut out.strings);
        let at = out.put(&strings);
        entries.extend([(5, at), (10, strings.len() as u64), (0, 0)]);
        let table: Vec<u8> =
            entries.iter().flat_map(|(tag, value)| [tag.to_le_bytes(), value.to_le_bytes()]).flatten().collect();
        let at = out.put(&table);
        out.segment(2, at, table.len() as u64);
    }

    /// Symbols, their versions, a hash table that counts them, and the versions that are needed.
    fn symbols(&self, out: &mut Layout, entries: &mut Vec<(u64, u64)>) {
        if self.versions.is_empty() {
            return;
        }
        let (mut symbols, mut indices, mut needs) = (vec![0; 24], vec![0, 0], Vec::new());
        for (i, (library, version, symbol)) in self.versions.iter().enumerate() {
            let index = i as u16 + 2;
            symbols.extend((out.string(symbol) as u32).to_le_bytes());
            symbols.extend([0; 20]);
            indices.extend(index.to_le_bytes());
            let next = if i + 1 == self.versions.len() { 0 } else { 32_u32 };
            let (file, name) = (out.string(library) as u32, out.string(version) as u32);
            needs.extend([1_u16, 1].iter().flat_map(|half| half.to_le_bytes()));
            needs.extend([file, 16, next, 0].iter().flat_map(|word| word.to_le_bytes()));
            needs.extend([0, index].iter().flat_map(|half: &u16| half.to_le_bytes()));
            needs.extend([name, 0].iter().flat_map(|word| word.to_le_bytes()));
        }
        let count = self.versions.len() as u64;
        let hash: Vec<u8> = [1, count as u32 + 1].iter().flat_map(|word: &u32| word.to_le_bytes()).collect();
        for (tag, table) in [(6, &symbols), (0x6fff_fff0, &indices), (0x6fff_fffe, &needs), (4, &hash)] {
            let at = out.put(table);
            entries.push((tag, at));
        }
        entries.push((0x6fff_ffff, count));
    }
}

#[derive(Default)]
struct Layout {
    bytes: Vec<u8>,
    strings: Vec<u8>,
    segments: u16,
}

impl Layout {
    fn put(&mut self, part: &[u8]) -> u64 {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        let at = self.bytes.len() as u64;
        self.bytes.extend_from_slice(part);
        at
    }

    fn string(&mut self, text: &str) -> u64 {
        let at = self.strings.len() as u64;
        self.strings.extend_from_slice(text.as_bytes());
        self.strings.push(0);
        at
    }

    fn segment(&mut self, p_type: u32, offset: u64, size: u64) {
        let mut header = [p_type, 4].iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        header.extend([offset, offset, offset, size, size, 8].iter().flat_map(|word| word.to_le_bytes()));
        let at = 64 + usize::from(self.segments) * 56;
        self.bytes[at..at + 56].copy_from_slice(&header);
        self.segments += 1;
    }

    fn header(&mut self, e_type: u16, machine: u16) {
        let mut header = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        header.extend([e_type, machine].iter().flat_map(|half| half.to_le_bytes()));
        header.extend(1_u32.to_le_bytes());
        header.extend([0_u64, 64, 0].iter().flat_map(|word| word.to_le_bytes()));
        header.extend(0_u32.to_le_bytes());
        header.extend([64, 56, self.segments, 64, 0, 0].iter().flat_map(|half: &u16| half.to_le_bytes()));
        self.bytes[..64].copy_from_slice(&header);
    }
}
