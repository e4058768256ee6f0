//! Whether a native file is loaded once the function has started, as far as reading texts can tell.
//!
//! From the handler's file on, a package counts as reached when its name stands anywhere in the Python that is reached
//! already. A module whose imports all stand below a `try` is optional: its package goes on without it. A library counts as
//! loaded when something loaded needs it, or its name stands in the Python. What cannot be told counts as loaded.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use super::python::Extension;
use super::view::Binary;
use super::{Judge, site_root};
use crate::elf::Kind;
use crate::lambda::Family;
use crate::tree::Entry;

/// Larger files of Python hold data.
const MAX_TEXT: u64 = 4 << 20;
/// More text than this is not read; then nothing can be told.
const MAX_TEXTS: usize = 256 << 20;

/// The Python that is reached, read when somebody asks.
#[derive(Default)]
pub(super) struct Reach(OnceCell<Reached>);

#[derive(Default)]
struct Reached {
    units: BTreeSet<String>,
    texts: Vec<String>,
    /// Not all was read.
    is_cut: bool,
}

impl Judge<'_> {
    /// See the module.
    pub(super) fn is_loaded(&self, binary: &Binary<'_>) -> bool {
        !self.may_ask() || self.is_loaded_by(binary, &mut BTreeSet::new())
    }

    fn is_loaded_by<'b>(&'b self, binary: &'b Binary<'_>, seen: &mut BTreeSet<&'b str>) -> bool {
        if binary.is_started() {
            return true;
        }
        let is_loaded = match self.native.runtime.family {
            Family::Python { .. } => self.python_loads(binary),
            Family::Node { .. } => binary.name().ends_with(".node") || !binary.path.contains("/node_modules/"),
            _ => true,
        };
        if is_loaded || !seen.insert(&binary.path) {
            return is_loaded;
        }
        let needing: Vec<&Binary<'_>> = self.needing(binary).map(|(loader, _)| loader).collect();
        needing.into_iter().any(|loader| self.is_loaded_by(loader, seen))
    }

    fn python_loads(&self, binary: &Binary<'_>) -> bool {
        let reached = self.reached();
        if reached.is_cut {
            return true;
        }
        let unit = unit_of(&binary.path);
        let extension = Extension::parse(binary.name());
        let is_program = binary.elf().is_some_and(|elf| elf.kind == Kind::Program);
        match extension.filter(|_| !is_program) {
            Some(extension) if extension.is_tagged() => {
                reached.units.contains(unit) && !reached.is_optional(extension.module)
            }
            Some(extension) => reached.mentions(extension.module) && !reached.is_optional(extension.module),
            None => reached.mentions(stem(binary.name())),
        }
    }

    /// Whether a library's name stands in the Python that is reached: then that may load it before it is needed.
    pub(super) fn is_mentioned(&self, library: &str) -> bool {
        let is_python = matches!(self.native.runtime.family, Family::Python { .. });
        is_python && self.may_ask() && self.reached().mentions(stem(library))
    }

    fn reached(&self) -> &Reached {
        self.reach.0.get_or_init(|| {
            let mut sources: BTreeMap<String, Vec<&Entry>> = BTreeMap::new();
            for (path, entry) in self.view.entries() {
                let entries = sources.entry(unit_of(&path).to_owned()).or_default();
                if path.ends_with(".py") && entry.size() <= MAX_TEXT {
                    entries.push(entry);
                }
            }
            let handler = self.native.handler.map(|handler| handler.split(['.', '/']).next().unwrap_or_default());
            let first = match handler.filter(|unit| sources.contains_key(*unit)) {
                Some(unit) => vec![unit.to_owned()],
                None => sources.keys().cloned().collect(),
            };
            Reached::from(first, &sources)
        })
    }
}

impl Reached {
    fn from(first: Vec<String>, sources: &BTreeMap<String, Vec<&Entry>>) -> Self {
        let mut reached = Self::default();
        let mut left = first;
        let mut read = 0;
        while let Some(unit) = left.pop() {
            if read >= MAX_TEXTS {
                reached.is_cut = true;
                break;
            }
            if !reached.units.insert(unit.clone()) {
                continue;
            }
            for entry in sources.get(&unit).into_iter().flatten() {
                let Ok(bytes) = entry.read() else { continue };
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let names = text.split(|c: char| !is_word(c)).filter(|word| sources.contains_key(*word));
                left.extend(names.filter(|word| !reached.units.contains(*word)).map(str::to_owned));
                read += text.len();
                reached.texts.push(text);
            }
        }
        reached
    }

    fn mentions(&self, name: &str) -> bool {
        self.texts.iter().any(|text| text.contains(name))
    }

    /// Whether a module is imported, and each time in a way that may fail.
    fn is_optional(&self, module: &str) -> bool {
        let imports: Vec<bool> = self.texts.iter().flat_map(|text| guarded_imports(text, module)).collect();
        !imports.is_empty() && imports.iter().all(|guarded| *guarded)
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Of each line that imports a module, whether it stands below a `try`.
fn guarded_imports(text: &str, module: &str) -> Vec<bool> {
    // Texts without the name are most of them.
    if !text.contains(module) {
        return Vec::new();
    }
    let lines: Vec<&str> = text.lines().collect();
    let imports = |line: &str| {
        let line = line.trim_start();
        (line.starts_with("import ") || line.starts_with("from "))
            && line.split(|c: char| !is_word(c)).any(|word| word == module)
    };
    let numbers = (0..lines.len()).filter(|number| imports(lines[*number]));
    numbers.map(|number| is_guarded(&lines[..number], indent(lines[number]))).collect()
}

fn is_guarded(above: &[&str], depth: usize) -> bool {
    let mut depth = depth;
    for line in above.iter().rev().filter(|line| !line.trim().is_empty()) {
        let outer = indent(line);
        if outer < depth {
            if line.trim_start().starts_with("try:") {
                return true;
            }
            depth = outer;
        }
    }
    false
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// `libx` of `libx.so.1`.
fn stem(library: &str) -> &str {
    library.split(".so").next().unwrap_or(library)
}

/// The top-level module or package that a file belongs to: `numpy` of `/var/task/numpy/core.py`, `app` of
/// `/var/task/app.py`.
fn unit_of(path: &str) -> &str {
    let below = path.strip_prefix(site_root(path)).unwrap_or(path).trim_start_matches('/');
    let first = below.split('/').next().unwrap_or(below);
    if first.len() == below.len() { first.split('.').next().unwrap_or(first) } else { first }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_below_a_try_are_optional() {
        for (text, guarded) in [
            ("import _x\n", vec![false]),
            ("try:\n    from . import _x\nexcept ImportError:\n    pass\n", vec![true]),
            ("try:\n    if True:\n\n        from pkg._x import f\nexcept Exception:\n    f = None\n", vec![true]),
            ("def f():\n    import pkg._x\n", vec![false]),
            ("try:\n    pass\nfinally:\n    pass\nimport _x\n", vec![false]),
            ("import _xy\nx = '_x'\n", vec![]),
        ] {
            assert_eq!(guarded_imports(text, "_x"), guarded, "{text}");
        }
    }

    #[test]
    fn files_belong_to_what_is_imported() {
        for (path, unit) in [
            ("/var/task/app.py", "app"),
            ("/var/task/numpy/core/_x.so", "numpy"),
            ("/var/task/_x.abi3.so", "_x"),
            ("/opt/python/numpy/__init__.py", "numpy"),
            ("/opt/python/lib/python3.13/site-packages/numpy/__init__.py", "numpy"),
        ] {
            assert_eq!(unit_of(path), unit, "{path}");
        }
    }
}
