//! Wheel file names and the choice among them: what the runtime's Python loads, in the order in which an installer there
//! would prefer it (the order of `PyPA`'s `packaging.tags`, with the platform tags of the runtime's glibc).

use std::collections::HashMap;

use super::names::normalize;

/// Legacy names of three glibc levels (PEP 600).
const LEGACY: &[(u16, &str)] = &[(17, "manylinux2014"), (12, "manylinux2010"), (5, "manylinux1")];

/// A wheel's file name, taken apart (`name-version[-build]-python-abi-platform.whl`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WheelName {
    /// The normalised project name.
    pub(super) name: String,
    /// The version as it is written there.
    pub(super) version: String,
    /// The build number and the rest of the build tag; no build tag sorts first.
    build: (u64, String),
    pythons: Vec<String>,
    abis: Vec<String>,
    platforms: Vec<String>,
}

impl WheelName {
    /// From a file name.
    pub(super) fn parse(file: &str) -> Option<Self> {
        let parts: Vec<&str> = file.strip_suffix(".whl")?.split('-').collect();
        let (name, version, build, tags) = match parts[..] {
            [name, version, ref tags @ ..] if tags.len() == 3 => (name, version, "", tags),
            [name, version, build, ref tags @ ..] if tags.len() == 3 => (name, version, build, tags),
            _ => return None,
        };
        let set = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
        let digits = build.find(|c: char| !c.is_ascii_digit()).unwrap_or(build.len());
        if name.is_empty()
            || version.is_empty()
            || parts.iter().any(|p| p.is_empty())
            || (!build.is_empty() && digits == 0)
        {
            return None;
        }
        Some(Self {
            name: normalize(name),
            version: version.to_owned(),
            build: (build[..digits].parse().unwrap_or(0), build[digits..].to_owned()),
            pythons: set(tags[0]),
            abis: set(tags[1]),
            platforms: set(tags[2]),
        })
    }

    /// The tags as they stand in the name: `cp313-cp313-manylinux_2_28_x86_64`.
    pub(super) fn tags(&self) -> String {
        format!("{}-{}-{}", self.pythons.join("."), self.abis.join("."), self.platforms.join("."))
    }

    /// Whether it holds no machine code by its own account.
    pub(super) fn is_pure(&self) -> bool {
        self.platforms == ["any"] && self.abis == ["none"]
    }
}

/// The tags that a Python loads, each with its rank.
#[derive(Debug)]
pub(super) struct Tags {
    ranks: HashMap<String, usize>,
    platforms: Vec<String>,
    machine: String,
}

impl Tags {
    /// The tags of `CPython` 3.`minor` with glibc 2.`glibc` on `machine`.
    pub(super) fn new(minor: u8, glibc: u16, machine: &str) -> Self {
        let platforms = platforms(glibc, machine);
        let mut ranks = HashMap::new();
        for tag in ordered(minor, &platforms) {
            let next = ranks.len();
            ranks.entry(tag).or_insert(next);
        }
        Self { ranks, platforms, machine: machine.to_owned() }
    }

    /// Platform tags, the newest first, as `pip --platform` wants them spelled out.
    pub(super) fn platforms(&self) -> &[String] {
        &self.platforms
    }

    /// How good a wheel is, the smaller the better; nothing when it does not load. `local` also admits the platform tag
    /// `linux_<machine>`, which says nothing about glibc: only what somebody built for this very purpose bears it.
    pub(super) fn rank(&self, wheel: &WheelName, local: bool) -> Option<usize> {
        let linux = format!("linux_{}", self.machine);
        let mut best = None;
        for platform in &wheel.platforms {
            // Ranked as the oldest platform there is.
            let stands_for = self.platforms.last().filter(|_| local && *platform == linux).unwrap_or(platform);
            for abi in &wheel.abis {
                for python in &wheel.pythons {
                    let rank = self.ranks.get(&format!("{python}-{abi}-{stands_for}")).copied();
                    best = [best, rank].into_iter().flatten().min();
                }
            }
        }
        best
    }

    /// The best of some wheels: the best tag, then the highest build number, then the file name, so that the order in
    /// which they are listed does not matter.
    pub(super) fn best<'a, T>(&self, wheels: &'a [T], name: impl Fn(&T) -> &str) -> Option<&'a T> {
        wheels
            .iter()
            .filter_map(|wheel| {
                let parsed = WheelName::parse(name(wheel))?;
                Some((self.rank(&parsed, false)?, std::cmp::Reverse(parsed.build), name(wheel).to_owned(), wheel))
            })
            .min_by(|a, b| (a.0, &a.1, &a.2).cmp(&(b.0, &b.1, &b.2)))
            .map(|(_, _, _, wheel)| wheel)
    }
}

/// Every manylinux tag up to the glibc given, newest first. On other machines than `x86_64` they begin at 2.17 (PEP 599).
fn platforms(glibc: u16, machine: &str) -> Vec<String> {
    let oldest = if machine == "x86_64" { 5 } else { 17 };
    let mut out = Vec::new();
    for minor in (oldest..=glibc).rev() {
        out.push(format!("manylinux_2_{minor}_{machine}"));
        out.extend(LEGACY.iter().filter(|(m, _)| *m == minor).map(|(_, legacy)| format!("{legacy}_{machine}")));
    }
    out
}

/// All tags in the order of preference.
fn ordered(minor: u8, platforms: &[String]) -> Vec<String> {
    let own = format!("cp3{minor}");
    // Until 3.7 the ABI tag told that the interpreter was built with pymalloc.
    let abi = if minor < 8 { format!("{own}m") } else { own.clone() };
    let generic: Vec<String> = [format!("py3{minor}"), "py3".to_owned()]
        .into_iter()
        .chain((0..minor).rev().map(|older| format!("py3{older}")))
        .collect();
    let mut heads = vec![format!("{own}-{abi}"), format!("{own}-abi3"), format!("{own}-none")];
    heads.extend((2..minor).rev().map(|older| format!("cp3{older}-abi3")));
    heads.extend(generic.iter().map(|python| format!("{python}-none")));
    let mut out: Vec<String> =
        heads.iter().flat_map(|head| platforms.iter().map(move |platform| format!("{head}-{platform}"))).collect();
    out.push(format!("{own}-none-any"));
    out.extend(generic.iter().map(|python| format!("{python}-none-any")));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lambda::{Family, RUNTIMES};
    use crate::process::Tool;
    use proptest::prelude::*;

    fn best<'a>(tags: &Tags, wheels: &'a [&'a str]) -> Option<&'a str> {
        tags.best(wheels, |w| w).copied()
    }

    #[test]
    fn the_newest_platform_that_loads_wins() {
        let al2 = Tags::new(11, 26, "x86_64");
        let wheels = [
            "n-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
            "n-1-cp311-cp311-manylinux_2_24_x86_64.whl",
            "n-1-cp311-cp311-manylinux_2_28_x86_64.whl",
            "n-1-cp311-cp311-musllinux_1_2_x86_64.whl",
            "n-1-cp311-cp311-manylinux_2_24_aarch64.whl",
            "n-1-py3-none-any.whl",
        ];
        assert_eq!(best(&al2, &wheels), Some(wheels[1]));
        assert_eq!(best(&Tags::new(11, 34, "x86_64"), &wheels), Some(wheels[2]));
        assert_eq!(best(&Tags::new(12, 34, "x86_64"), &wheels), Some(wheels[5]));
        assert_eq!(best(&Tags::new(11, 34, "aarch64"), &wheels), Some(wheels[4]));
    }

    #[test]
    fn abi3_and_none_have_a_minimum() {
        let tags = Tags::new(12, 34, "x86_64");
        for (file, loads) in [
            ("c-1-cp311-abi3-manylinux_2_34_x86_64.whl", true),
            ("c-1-cp313-abi3-manylinux_2_34_x86_64.whl", false),
            ("c-1-cp313-cp313t-manylinux_2_34_x86_64.whl", false),
            ("c-1-cp312-cp312t-manylinux_2_34_x86_64.whl", false),
            ("c-1-py312-none-any.whl", true),
            ("c-1-py313-none-any.whl", false),
            ("c-1-py2.py3-none-any.whl", true),
            ("c-1-py2-none-any.whl", false),
            ("c-1-py3-none-manylinux_2_35_x86_64.whl", false),
            ("c-1-py3-none-manylinux1_x86_64.whl", true),
            ("c-1-cp312-none-any.whl", true),
            ("c-1-pp310-pypy310_pp73-manylinux_2_17_x86_64.whl", false),
            ("c-1-py3-none-linux_x86_64.whl", false),
            ("c-1-py3-none-win_amd64.whl", false),
        ] {
            assert_eq!(tags.rank(&WheelName::parse(file).unwrap(), false).is_some(), loads, "{file}");
        }
        let local = WheelName::parse("c-1-py3-none-linux_x86_64.whl").unwrap();
        assert!(tags.rank(&local, true).is_some());
    }

    #[test]
    fn of_equal_tags_the_highest_build_number_wins() {
        let tags = Tags::new(13, 34, "x86_64");
        let wheels = ["a-1-py3-none-any.whl", "a-1-9-py3-none-any.whl", "a-1-10b-py3-none-any.whl"];
        assert_eq!(best(&tags, &wheels), Some(wheels[2]));
    }

    #[test]
    fn names_are_taken_apart() {
        let name = WheelName::parse("Foo_Bar-1.0+cu1-2x-cp39.cp310-abi3-any.whl").unwrap();
        assert_eq!((name.name.as_str(), name.version.as_str(), name.build.0), ("foo-bar", "1.0+cu1", 2));
        assert_eq!(name.tags(), "cp39.cp310-abi3-any");
        assert!(!name.is_pure());
        for bad in
            ["a.whl", "a-1-py3-none.whl", "a-1-x-py3-none-any.whl", "a-1-py3-none-any.zip", "-1-py3-none-any.whl"]
        {
            assert_eq!(WheelName::parse(bad), None, "{bad}");
        }
    }

    /// `PyPA`'s own code is asked for the tags of every runtime, told only its version and glibc.
    #[test]
    fn order_is_that_of_packaging() {
        const ASK: &str = r#"
import sys
from pip._vendor.packaging import tags, _manylinux
minor, glibc, machine = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
for name in ("_get_glibc_version",):
    setattr(_manylinux, name, lambda: (2, glibc))
sys.modules["_manylinux"] = None
call = _manylinux.platform_tags
if call.__code__.co_varnames[0] == "archs":
    platforms = list(call([machine]))
else:
    platforms = list(call("linux_" + machine, machine))
abi = "cp3%d%s" % (minor, "m" if minor < 8 else "")
found = list(tags.cpython_tags((3, minor), [abi], platforms))
found += list(tags.compatible_tags((3, minor), "cp3%d" % minor, platforms))
print("\n".join(str(tag) for tag in found))
"#;
        for runtime in RUNTIMES {
            let Family::Python { major: 3, minor } = runtime.family else { continue };
            for architecture in runtime.architectures {
                let (glibc, machine) = (runtime.os.glibc().1, architecture.machine());
                let args = ["-c", ASK, &minor.to_string(), &glibc.to_string(), machine];
                let said = Tool::new("python3").args(args).run().map_err(crate::error::Error::from).unwrap().text();
                let ours = ordered(minor, &platforms(glibc, machine));
                assert_eq!(ours, said.lines().collect::<Vec<_>>(), "{} {machine}", runtime.id);
            }
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(file in "[a-z0-9._é-]{0,40}(\\.whl)?") {
            if let Some(name) = WheelName::parse(&file) {
                let _ = Tags::new(13, 34, "x86_64").rank(&name, true);
            }
        }
    }
}
