//! Class files, as far as it takes to tell whether Lambda finds a handler in them: version, names, methods.
//!
//! Source of the layout: chapter 4 of the Java Virtual Machine Specification. Bytes come from strangers: every read is
//! bounded, nothing is believed that is not needed, and what cannot be read is no class.

use std::collections::HashMap;

/// What a class file says of itself. Names have dots between their parts (`pkg.Outer$Inner`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// The major number of its version: 61 is Java 17.
    pub major: u16,
    /// Its name.
    pub name: String,
    /// Whether it is an interface, or abstract.
    pub is_abstract: bool,
    /// What it extends; nothing for `java.lang.Object`.
    pub parent: Option<String>,
    /// The interfaces that it names.
    pub interfaces: Vec<String>,
    /// Its own methods, constructors (`<init>`) among them.
    pub methods: Vec<Method>,
}

/// A method of a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Method {
    /// Its name.
    pub name: String,
    /// Parameters and result, such as `()V`.
    pub descriptor: String,
    /// Whether everybody may call it.
    pub is_public: bool,
    /// Whether the compiler made it for itself.
    pub is_synthetic: bool,
}

const PUBLIC: u16 = 0x0001;
const SYNTHETIC: u16 = 0x1000;
const INTERFACE: u16 = 0x0200;
const ABSTRACT: u16 = 0x0400;

/// The version of a class file from its first eight bytes; nothing when it is none.
pub fn major(bytes: &[u8]) -> Option<u16> {
    let mut input = Input(bytes);
    (input.u32()? == 0xCAFE_BABE).then_some(())?;
    input.u16()?;
    // A universal binary of macOS begins alike, with the number of its machines.
    input.u16().filter(|major| *major >= 45)
}

impl Class {
    /// Reads one; nothing when it is none, or damaged.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let major = major(bytes)?;
        let mut input = Input(bytes.get(8..)?);
        let pool = Pool::read(&mut input)?;
        let access = input.u16()?;
        let name = pool.class(input.u16()?)?;
        let parent = match input.u16()? {
            0 => None,
            index => Some(pool.class(index)?),
        };
        let interfaces = (0..input.u16()?).map(|_| pool.class(input.u16()?)).collect::<Option<Vec<_>>>()?;
        for _ in 0..input.u16()? {
            input.member()?; // a field
        }
        let mut methods = Vec::new();
        for _ in 0..input.u16()? {
            let (access, name, descriptor) = input.member()?;
            methods.push(Method {
                name: pool.text(name)?,
                descriptor: pool.text(descriptor)?,
                is_public: access & PUBLIC != 0,
                is_synthetic: access & SYNTHETIC != 0,
            });
        }
        let is_abstract = access & (INTERFACE | ABSTRACT) != 0;
        Some(Self { major, name, is_abstract, parent, interfaces, methods })
    }
}

/// What is left to read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    fn u8(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    /// A field or method: access, name, descriptor. Its attributes are passed over.
    fn member(&mut self) -> Option<(u16, u16, u16)> {
        let member = (self.u16()?, self.u16()?, self.u16()?);
        for _ in 0..self.u16()? {
            self.u16()?;
            let length = usize::try_from(self.u32()?).ok()?;
            self.take(length)?;
        }
        Some(member)
    }
}

/// The constants that names are in.
struct Pool<'a> {
    texts: HashMap<u16, &'a [u8]>,
    /// The index of a class's name.
    classes: HashMap<u16, u16>,
}

impl<'a> Pool<'a> {
    fn read(input: &mut Input<'a>) -> Option<Self> {
        let mut pool = Self { texts: HashMap::new(), classes: HashMap::new() };
        let count = input.u16()?;
        let mut index = 1;
        while index < count {
            // Two numbers take two places ("in retrospect, a poor choice", says the specification).
            let mut places = 1;
            match input.u8()? {
                1 => {
                    let length = input.u16()?;
                    pool.texts.insert(index, input.take(usize::from(length))?);
                }
                7 => {
                    pool.classes.insert(index, input.u16()?);
                }
                8 | 16 | 19 | 20 => drop(input.take(2)?),
                15 => drop(input.take(3)?),
                3 | 4 | 9..=12 | 17 | 18 => drop(input.take(4)?),
                5 | 6 => {
                    input.take(8)?;
                    places = 2;
                }
                _ => return None,
            }
            index = index.checked_add(places)?;
        }
        Some(pool)
    }

    /// The specification's own UTF-8 differs for characters that names in handlers cannot have on a command line anyway.
    fn text(&self, index: u16) -> Option<String> {
        Some(String::from_utf8_lossy(self.texts.get(&index)?).into_owned())
    }

    fn class(&self, index: u16) -> Option<String> {
        Some(self.text(*self.classes.get(&index)?)?.replace('/', "."))
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! Class files for tests.

    /// A class file of a class that extends and implements others, with these public methods (`name`, `descriptor`).
    pub(crate) fn class(
        major: u16,
        name: &str,
        parent: &str,
        interfaces: &[&str],
        methods: &[(&str, &str)],
        access: u16,
    ) -> Vec<u8> {
        let mut pool: Vec<u8> = Vec::new();
        let mut count = 1_u16;
        let mut text = |text: &str| {
            pool.push(1);
            pool.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
            pool.extend(text.as_bytes());
            count += 1;
            count - 1
        };
        let names: Vec<u16> =
            [&[name, parent], interfaces].concat().iter().map(|n| text(&n.replace('.', "/"))).collect();
        let methods: Vec<(u16, u16)> = methods.iter().map(|(name, form)| (text(name), text(form))).collect();
        // A long, which takes two places.
        pool.extend([5, 0, 0, 0, 0, 0, 0, 0, 1]);
        count += 2;
        let mut classes = Vec::new();
        for name in names {
            pool.push(7);
            pool.extend(name.to_be_bytes());
            classes.push(count);
            count += 1;
        }
        let mut out = vec![0xCA, 0xFE, 0xBA, 0xBE, 0, 0];
        let mut put = |number: u16| out.extend(number.to_be_bytes());
        put(major);
        put(count);
        out.extend(pool);
        let mut put = |number: u16| out.extend(number.to_be_bytes());
        put(access);
        put(classes[0]);
        put(classes[1]);
        put(u16::try_from(interfaces.len()).unwrap());
        classes[2..].iter().for_each(|class| put(*class));
        put(0);
        put(u16::try_from(methods.len()).unwrap());
        for (name, form) in methods {
            [1, name, form, 0].into_iter().for_each(&mut put);
        }
        put(0);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::testing::class;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_class_says_what_it_is() {
        let bytes = class(61, "ex.Handler", "ex.Base", &["ex.I"], &[("<init>", "()V"), ("handle", "(I)V")], 0x21);
        let read = Class::of(&bytes).unwrap();
        assert_eq!((read.major, read.name.as_str(), read.parent.as_deref()), (61, "ex.Handler", Some("ex.Base")));
        assert_eq!((read.interfaces, read.is_abstract), (vec!["ex.I".to_owned()], false));
        let methods: Vec<_> = read.methods.iter().map(|m| (m.name.as_str(), m.descriptor.as_str())).collect();
        assert_eq!(methods, [("<init>", "()V"), ("handle", "(I)V")]);
        assert!(read.methods.iter().all(|method| method.is_public && !method.is_synthetic));
        assert!(Class::of(&class(61, "ex.I", "java.lang.Object", &[], &[], 0x0601)).unwrap().is_abstract);
    }

    #[test]
    fn what_is_no_class_is_none() {
        let bytes = class(61, "a", "b", &[], &[("m", "()V")], 1);
        assert!((0..bytes.len() - 2).all(|end| Class::of(&bytes[..end]).is_none()));
        // Two machines in one binary of macOS.
        assert_eq!(major(&[0xCA, 0xFE, 0xBA, 0xBE, 0, 0, 0, 2]), None);
        assert_eq!(major(b"PK\x03\x04...."), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_class_or_none(at in 0_usize..80, bytes in proptest::collection::vec(any::<u8>(), 0..24)) {
            let mut class = class(65, "ex.Handler", "ex.Base", &["ex.I"], &[("m", "()V")], 1);
            let at = at.min(class.len());
            class.splice(at..(at + bytes.len()).min(class.len()), bytes.iter().copied());
            if let Some(read) = Class::of(&class) {
                prop_assert!(read.methods.len() <= class.len() && read.name.len() <= 3 * class.len());
            }
            let _ = Class::of(&bytes);
        }
    }
}
