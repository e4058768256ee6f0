//! A class path, as Lambda makes it: the package itself, then jars of its `lib/`, then jars of `/opt/java/lib`, each in the
//! order of their names. Source: `CustomerClassLoader` of aws-lambda-java-runtime-interface-client.

use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek};

use zip::ZipArchive;

use super::class::{self, Class};
use crate::tree::{Entry, Source, Tree};

/// Larger class files are not looked into: the format's own bounds make one of a megabyte a curiosity.
const MAX_CLASS: u64 = 16 << 20;
/// Of a jar, so many classes tell for which Java it was compiled.
const SAMPLE: usize = 5;
/// Of the package's own classes, so many are looked at.
const OWN_SAMPLE: usize = 256;

trait Readable: Read + Seek {}
impl<T: Read + Seek> Readable for T {}

/// A jar of the path.
struct Jar {
    /// Its path: `lib/x.jar`, or `/opt/java/lib/x.jar`.
    path: String,
    archive: ZipArchive<Box<dyn Readable>>,
}

/// See the module.
pub struct ClassPath<'a> {
    root: &'a Tree,
    jars: Vec<Jar>,
    /// Whether every jar could be opened.
    is_whole: bool,
}

/// What was found of a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It.
    Class(Box<Class>),
    /// A file that is no class, or a jar that cannot be read may have it.
    Unknown,
    /// It is nowhere.
    Nowhere,
}

/// A class that is too new for some runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// Where it is: the class file in the package, or the jar.
    pub path: String,
    /// Its name.
    pub class: String,
    /// The number that it bears.
    pub major: u16,
}

impl<'a> ClassPath<'a> {
    /// Of a package, and what its layers bring to `/opt`.
    pub fn new(root: &'a Tree, opt: &Tree) -> Self {
        let mut path = Self { root, jars: Vec::new(), is_whole: true };
        for (tree, folder, shown) in [(root, "lib/", "lib/"), (opt, "java/lib/", "/opt/java/lib/")] {
            for (at, entry) in tree.iter() {
                let Some(name) = at.as_str().strip_prefix(folder).filter(|n| !n.contains('/') && n.ends_with(".jar"))
                else {
                    continue;
                };
                match open(entry) {
                    Some(archive) => path.jars.push(Jar { path: format!("{shown}{name}"), archive }),
                    None => path.is_whole = false,
                }
            }
        }
        path
    }

    /// A class by its name (`pkg.Outer$Inner`).
    pub fn find(&mut self, name: &str) -> Found {
        let file = format!("{}.class", name.replace('.', "/"));
        let read = |bytes: Vec<u8>| Class::of(&bytes).map_or(Found::Unknown, |class| Found::Class(Box::new(class)));
        if let Some(entry) = self.root.get(&file) {
            let is_small = entry.size() <= MAX_CLASS;
            return entry.read().ok().filter(|_| is_small).map_or(Found::Unknown, read);
        }
        for jar in &mut self.jars {
            if jar.archive.index_for_name(&file).is_some() {
                return jar.read(&file, MAX_CLASS).map_or(Found::Unknown, read);
            }
        }
        if self.is_whole { Found::Nowhere } else { Found::Unknown }
    }

    /// Names of the package's own classes, and of those in its smaller jars.
    pub fn names(&self) -> Vec<String> {
        const SMALL: usize = 2_000;
        let own = own_classes(self.root).map(|(path, _)| path.to_owned());
        let in_jars = self.jars.iter().filter(|jar| jar.archive.len() <= SMALL).flat_map(Jar::classes);
        own.chain(in_jars).filter_map(|path| Some(path.strip_suffix(".class")?.replace('/', "."))).collect()
    }

    /// Classes that are made for a newer Java than `limit`: some of the package's own, and one for each jar of which all that
    /// are looked at are.
    pub fn newer_than(&mut self, limit: u16) -> Vec<Versioned> {
        let own: Vec<(&str, &Entry)> = own_classes(self.root).collect();
        let step = own.len().div_ceil(OWN_SAMPLE).max(1);
        let mut out: Vec<Versioned> = own
            .iter()
            .step_by(step)
            .filter_map(|(path, entry)| {
                let major = match entry {
                    Entry::File { source: Source::Bytes(bytes), .. } => class::major(bytes),
                    _ => class::major(&entry.read().ok()?),
                };
                Some(versioned(path, path, major?))
            })
            .filter(|found| found.major > limit)
            .take(1)
            .collect();
        out.extend(self.jars.iter_mut().filter_map(|jar| jar.newer_than(limit)));
        out
    }
}

fn versioned(path: &str, file: &str, major: u16) -> Versioned {
    Versioned { path: path.to_owned(), class: file.trim_end_matches(".class").to_owned(), major }
}

/// Versions for other Javas (`META-INF/versions`) and descriptions of modules decide nothing.
fn is_class(path: &str) -> bool {
    path.ends_with(".class") && !path.starts_with("META-INF/") && !path.ends_with("module-info.class")
}

fn own_classes(tree: &Tree) -> impl Iterator<Item = (&str, &Entry)> {
    tree.iter().map(|(path, entry)| (path.as_str(), entry)).filter(|(path, _)| is_class(path))
}

fn open(entry: &Entry) -> Option<ZipArchive<Box<dyn Readable>>> {
    let bytes: Box<dyn Readable> = match entry {
        Entry::File { source: Source::Disk(path), .. } => Box::new(BufReader::new(File::open(path).ok()?)),
        Entry::File { .. } => Box::new(Cursor::new(entry.read().ok()?)),
        _ => return None,
    };
    ZipArchive::new(bytes).ok()
}

impl Jar {
    fn classes(&self) -> Vec<String> {
        self.archive.file_names().flatten().filter(|path| is_class(path)).map(std::borrow::Cow::into_owned).collect()
    }

    fn read(&mut self, file: &str, limit: u64) -> Option<Vec<u8>> {
        let member = self.archive.by_name(file).ok()?;
        let mut bytes = Vec::new();
        member.take(limit).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    fn newer_than(&mut self, limit: u16) -> Option<Versioned> {
        let mut classes = self.classes();
        classes.sort();
        let step = classes.len().div_ceil(SAMPLE).max(1);
        let mut first = None;
        for class in classes.iter().step_by(step) {
            let major = self.read(class, 8).and_then(|head| class::major(&head))?;
            if major <= limit {
                return None;
            }
            first.get_or_insert_with(|| versioned(&self.path, class, major));
        }
        first
    }
}

#[cfg(test)]
mod tests {
    use super::super::class::testing::class;
    use super::*;
    use crate::pack::zip::{Header, Method, ZipWriter};
    use crate::tree::ArchivePath;

    pub(crate) fn jar(files: &[(&str, &[u8])]) -> Entry {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in files {
            let (size, crc32) = (bytes.len() as u64, crc32fast::hash(bytes));
            let header = Header { name, mode: 0o100_644, method: Method::Stored, crc32, compressed_size: size, size };
            zip.add(header, &mut &**bytes).unwrap();
        }
        Entry::bytes(zip.finish().unwrap().0.into_inner(), false)
    }

    fn tree(files: Vec<(&str, Entry)>) -> Tree {
        files.into_iter().map(|(path, entry)| (ArchivePath::new(path).unwrap(), entry)).collect()
    }

    fn named(name: &str, major: u16) -> Vec<u8> {
        class(major, name, "java.lang.Object", &[], &[], 1)
    }

    #[test]
    fn the_package_comes_before_its_jars_and_these_before_layers() {
        let a = |major| named("a.A", major);
        let (root, lib, opt) = (a(61), a(55), a(52));
        let b = named("a.B", 52);
        let task = tree(vec![
            ("a/A.class", Entry::bytes(root, false)),
            ("lib/x.jar", jar(&[("a/A.class", &lib)])),
            ("lib/deep/y.jar", jar(&[("a/C.class", &lib)])),
        ]);
        let layer = tree(vec![("java/lib/z.jar", jar(&[("a/A.class", &opt), ("a/B.class", &b)]))]);
        let mut path = ClassPath::new(&task, &layer);
        let mut major = |name: &str| match path.find(name) {
            Found::Class(class) => Ok(class.major),
            other => Err(other),
        };
        assert_eq!((major("a.A"), major("a.B"), major("a.C")), (Ok(61), Ok(52), Err(Found::Nowhere)));
        let names = path.names();
        assert!(names.contains(&"a.A".to_owned()) && names.contains(&"a.B".to_owned()), "{names:?}");
        let broken = tree(vec![("lib/x.jar", Entry::bytes(b"no zip".as_slice(), false))]);
        assert_eq!(ClassPath::new(&broken, &layer).find("a.C"), Found::Unknown);
    }

    #[test]
    fn classes_that_are_too_new() {
        let (old, new) = (named("a.A", 61), named("a.A", 65));
        let task = tree(vec![
            ("a/A.class", Entry::bytes(new.clone(), false)),
            ("META-INF/versions/25/a/A.class", Entry::bytes(named("a.A", 69), false)),
            ("lib/new.jar", jar(&[("META-INF/versions/25/a/A.class", &new), ("a/A.class", &new), ("a/B.class", &new)])),
            ("lib/old.jar", jar(&[("a/A.class", &old), ("a/B.class", &new), ("module-info.class", &new)])),
        ]);
        let found = ClassPath::new(&task, &Tree::new()).newer_than(61);
        let shown: Vec<_> = found.iter().map(|f| (f.path.as_str(), f.class.as_str(), f.major)).collect();
        assert_eq!(shown, [("a/A.class", "a/A", 65), ("lib/new.jar", "a/A", 65)]);
        assert_eq!(ClassPath::new(&task, &Tree::new()).newer_than(65), []);
    }
}
