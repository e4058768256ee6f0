//! Every runtime identifier of Lambda: operating system, glibc, architectures, lifecycle, layer paths.
//!
//! Sources: "Lambda runtimes" in the AWS Lambda Developer Guide and cfn-lint's `LmbdRuntimeLifecycle.json`, both of
//! October 2026; identifiers from the Lambda API model (`Runtime`). AWS has moved the blocking dates several times: they
//! are data, and only compared with today's date.

use std::fmt;

use super::date::Date;

/// The processor a function runs on, by Lambda's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// 64-bit x86.
    #[serde(rename = "x86_64")]
    X86_64,
    /// 64-bit Arm (AWS Graviton).
    Arm64,
}

impl Architecture {
    /// Lambda's name: `x86_64` or `arm64`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        }
    }

    /// The name in wheel tags and Rust targets: `x86_64` or `aarch64`.
    pub const fn machine(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }

    /// The name Node.js has for it (`process.arch`): `x64` or `arm64`.
    pub const fn node_cpu(self) -> &'static str {
        match self {
            Self::X86_64 => "x64",
            Self::Arm64 => "arm64",
        }
    }

    /// From Lambda's name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::X86_64, Self::Arm64].into_iter().find(|a| a.as_str() == text)
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The language a runtime runs, with the version that resolvers need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Python 3.`minor` (2.7 is `major` 2).
    Python {
        /// 2 or 3.
        major: u8,
        /// The minor version.
        minor: u8,
    },
    /// Node.js by its major version.
    Node {
        /// The major version.
        major: u8,
    },
    /// Java by its version.
    Java {
        /// 8, 11, 17, …
        major: u8,
    },
    /// .NET or .NET Core.
    Dotnet,
    /// Ruby.
    Ruby {
        /// 2, 3 or 4.
        major: u8,
        /// The minor version.
        minor: u8,
    },
    /// The retired Go runtime.
    Go,
    /// A runtime that starts an executable named `bootstrap`.
    Provided,
}

/// Amazon Linux, which decides glibc and the libraries that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OperatingSystem {
    /// Amazon Linux (2018.03), glibc 2.17.
    AmazonLinux1,
    /// Amazon Linux 2, glibc 2.26.
    AmazonLinux2,
    /// Amazon Linux 2023, glibc 2.34.
    AmazonLinux2023,
}

impl OperatingSystem {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AmazonLinux1 => "Amazon Linux 1",
            Self::AmazonLinux2 => "Amazon Linux 2",
            Self::AmazonLinux2023 => "Amazon Linux 2023",
        }
    }

    /// The glibc version, major and minor.
    pub const fn glibc(self) -> (u16, u16) {
        match self {
            Self::AmazonLinux1 => (2, 17),
            Self::AmazonLinux2 => (2, 26),
            Self::AmazonLinux2023 => (2, 34),
        }
    }
}

/// When AWS stops caring for a runtime. `None`: no date is announced, or (with `retired`) it is long past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifecycle {
    /// No security patches from this day on.
    pub deprecated: Option<Date>,
    /// New functions are refused from this day on.
    pub create_blocked: Option<Date>,
    /// Updates of existing functions are refused from this day on.
    pub update_blocked: Option<Date>,
    /// Creating and updating have been refused for years.
    pub retired: bool,
    /// Announced, not yet generally available when this table was written.
    pub preview: bool,
}

/// Where a runtime stands on a given day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// In support.
    Supported,
    /// Deprecated since the date; functions can still be created and updated.
    Deprecated(Date),
    /// New functions have been refused since the date; updates still work.
    CreateBlocked(Date),
    /// Updates have been refused since the date, if it is known.
    UpdateBlocked(Option<Date>),
}

/// One runtime of Lambda.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Runtime {
    /// Lambda's identifier, such as `python3.13`.
    pub id: &'static str,
    /// The language.
    pub family: Family,
    /// The system below it.
    pub os: OperatingSystem,
    /// The processors it runs on.
    pub architectures: &'static [Architecture],
    /// Its dates.
    pub lifecycle: Lifecycle,
    /// Where in a layer's zip this runtime looks for libraries of its language; the first is ours to use.
    pub layer_paths: &'static [&'static str],
}

impl Runtime {
    /// Where it stands on `day`.
    pub fn status(&self, day: Date) -> Status {
        let past = |date: Option<Date>| date.filter(|d| *d <= day);
        let life = self.lifecycle;
        if life.retired {
            Status::UpdateBlocked(None)
        } else if let Some(date) = past(life.update_blocked) {
            Status::UpdateBlocked(Some(date))
        } else if let Some(date) = past(life.create_blocked) {
            Status::CreateBlocked(date)
        } else if let Some(date) = past(life.deprecated) {
            Status::Deprecated(date)
        } else {
            Status::Supported
        }
    }

    /// The image of AWS that has this runtime, if there is one ("AWS base images for Lambda" in the AWS Lambda Developer Guide):
    /// `python3.13` is `python:3.13`, `nodejs22.x` is `nodejs:22`, `provided.al2023` is `provided:al2023`.
    pub fn image(&self) -> Option<String> {
        let at = self.id.find(|c: char| !c.is_ascii_lowercase())?;
        let (language, version) = self.id.split_at(at);
        let version = version.trim_start_matches('.');
        let version = version.strip_suffix(".x").unwrap_or(version);
        let exists = !self.lifecycle.retired && self.os != OperatingSystem::AmazonLinux1 && !version.is_empty();
        exists.then(|| format!("{IMAGES}/{language}:{version}"))
    }

    /// Whether this is `provided.*`.
    pub fn is_provided(&self) -> bool {
        self.family == Family::Provided
    }
}

/// Where AWS has its images.
pub const IMAGES: &str = "public.ecr.aws/lambda";

/// The runtime of this identifier.
pub fn find(id: &str) -> Option<&'static Runtime> {
    RUNTIMES.iter().find(|r| r.id == id)
}

/// The identifier nearest to `id` that can be used on `day`: same language first, then by spelling.
pub fn nearest(id: &str, day: Date) -> &'static Runtime {
    let usable = |r: &&Runtime| matches!(r.status(day), Status::Supported) && !r.lifecycle.preview;
    let language: String = id.to_lowercase().chars().take_while(char::is_ascii_alphabetic).collect();
    let language = match language.as_str() {
        "node" | "nodejs" | "js" => "nodejs",
        "py" | "python" => "python",
        "rust" | "go" | "cpp" | "provided" => "provided",
        other => other,
    };
    let of_language = |r: &&&Runtime| !language.is_empty() && r.id.starts_with(language);
    let usable: Vec<&Runtime> = RUNTIMES.iter().filter(usable).collect();
    let same: Vec<&Runtime> = usable.iter().filter(of_language).copied().collect();
    let pool = if same.is_empty() { &usable } else { &same };
    // Of equally near spellings, the table's later one, which is the newer version.
    pool.iter().copied().min_by_key(|r| strsim::osa_distance(r.id, id)).unwrap_or(&RUNTIMES[0])
}

use Architecture::{Arm64, X86_64};
use OperatingSystem::{AmazonLinux1 as AL1, AmazonLinux2 as AL2, AmazonLinux2023 as AL2023};

const BOTH: &[Architecture] = &[X86_64, Arm64];
const ONLY_X86: &[Architecture] = &[X86_64];
const NATIVE_PATHS: &[&str] = &["lib", "bin"];
const JAVA_PATHS: &[&str] = &["java/lib"];

const fn life(deprecated: Date, create: Date, update: Date) -> Lifecycle {
    Lifecycle {
        deprecated: Some(deprecated),
        create_blocked: Some(create),
        update_blocked: Some(update),
        retired: false,
        preview: false,
    }
}
const RETIRED: Lifecycle =
    Lifecycle { deprecated: None, create_blocked: None, update_blocked: None, retired: true, preview: false };
const PREVIEW: Lifecycle =
    Lifecycle { deprecated: None, create_blocked: None, update_blocked: None, retired: false, preview: true };
const fn d(year: u16, month: u8, day: u8) -> Date {
    Date::new(year, month, day)
}

/// Deprecated runtimes whose blocking AWS has last moved to 2027-02-01 (create) and 2027-03-03 (update).
const fn postponed(deprecated: Date) -> Lifecycle {
    life(deprecated, d(2027, 2, 1), d(2027, 3, 3))
}
/// In support until 2029-06-30.
const UNTIL_2029: Lifecycle = life(d(2029, 6, 30), d(2029, 7, 31), d(2029, 8, 31));

const fn rt(
    id: &'static str,
    family: Family,
    os: OperatingSystem,
    architectures: &'static [Architecture],
    lifecycle: Lifecycle,
    layer_paths: &'static [&'static str],
) -> Runtime {
    Runtime { id, family, os, architectures, lifecycle, layer_paths }
}
const fn py(minor: u8) -> Family {
    Family::Python { major: 3, minor }
}
const fn node(major: u8) -> Family {
    Family::Node { major }
}
const fn java(major: u8) -> Family {
    Family::Java { major }
}
const fn ruby(major: u8, minor: u8) -> Family {
    Family::Ruby { major, minor }
}

/// The table, newest first within a language.
#[rustfmt::skip]
pub const RUNTIMES: &[Runtime] = &[
    rt("nodejs26.x", node(26), AL2023, BOTH, PREVIEW, &["nodejs/node_modules", "nodejs/node26/node_modules"]),
    rt("nodejs24.x", node(24), AL2023, BOTH, life(d(2028, 4, 30), d(2028, 6, 1), d(2028, 7, 1)), &["nodejs/node_modules", "nodejs/node24/node_modules"]),
    rt("nodejs22.x", node(22), AL2023, BOTH, life(d(2027, 4, 30), d(2027, 6, 1), d(2027, 7, 1)), &["nodejs/node_modules", "nodejs/node22/node_modules"]),
    rt("nodejs20.x", node(20), AL2023, BOTH, postponed(d(2026, 4, 30)), &["nodejs/node_modules", "nodejs/node20/node_modules"]),
    rt("nodejs18.x", node(18), AL2, BOTH, postponed(d(2025, 9, 1)), &["nodejs/node_modules", "nodejs/node18/node_modules"]),
    rt("nodejs16.x", node(16), AL2, BOTH, postponed(d(2024, 6, 12)), &["nodejs/node_modules", "nodejs/node16/node_modules"]),
    rt("nodejs14.x", node(14), AL2, BOTH, life(d(2023, 12, 4), d(2024, 1, 9), d(2027, 3, 3)), &["nodejs/node_modules", "nodejs/node14/node_modules"]),
    rt("nodejs12.x", node(12), AL2, BOTH, RETIRED, &["nodejs/node_modules"]),
    rt("nodejs10.x", node(10), AL2, ONLY_X86, RETIRED, &["nodejs/node_modules"]),
    rt("nodejs8.10", node(8), AL1, ONLY_X86, RETIRED, &["nodejs/node_modules"]),
    rt("nodejs6.10", node(6), AL1, ONLY_X86, RETIRED, &["nodejs/node_modules"]),
    rt("nodejs4.3", node(4), AL1, ONLY_X86, RETIRED, &["nodejs/node_modules"]),
    rt("nodejs4.3-edge", node(4), AL1, ONLY_X86, RETIRED, &["nodejs/node_modules"]),
    rt("nodejs", node(0), AL1, ONLY_X86, RETIRED, &["nodejs/node_modules"]),
    rt("python3.15", py(15), AL2023, BOTH, PREVIEW, &["python", "python/lib/python3.15/site-packages"]),
    rt("python3.14", py(14), AL2023, BOTH, UNTIL_2029, &["python", "python/lib/python3.14/site-packages"]),
    rt("python3.13", py(13), AL2023, BOTH, UNTIL_2029, &["python", "python/lib/python3.13/site-packages"]),
    rt("python3.12", py(12), AL2023, BOTH, life(d(2028, 10, 31), d(2028, 11, 30), d(2029, 1, 10)), &["python", "python/lib/python3.12/site-packages"]),
    rt("python3.11", py(11), AL2, BOTH, life(d(2027, 6, 30), d(2027, 7, 31), d(2027, 8, 31)), &["python", "python/lib/python3.11/site-packages"]),
    rt("python3.10", py(10), AL2, BOTH, postponed(d(2026, 10, 31)), &["python", "python/lib/python3.10/site-packages"]),
    rt("python3.9", py(9), AL2, BOTH, postponed(d(2025, 12, 15)), &["python", "python/lib/python3.9/site-packages"]),
    rt("python3.8", py(8), AL2, BOTH, postponed(d(2024, 10, 14)), &["python", "python/lib/python3.8/site-packages"]),
    rt("python3.7", py(7), AL1, ONLY_X86, life(d(2023, 12, 4), d(2024, 1, 9), d(2027, 3, 3)), &["python", "python/lib/python3.7/site-packages"]),
    rt("python3.6", py(6), AL1, ONLY_X86, RETIRED, &["python"]),
    rt("python2.7", Family::Python { major: 2, minor: 7 }, AL1, ONLY_X86, RETIRED, &["python"]),
    rt("java25", java(25), AL2023, BOTH, UNTIL_2029, JAVA_PATHS),
    rt("java21", java(21), AL2023, BOTH, UNTIL_2029, JAVA_PATHS),
    rt("java17.al2023", java(17), AL2023, BOTH, UNTIL_2029, JAVA_PATHS),
    rt("java11.al2023", java(11), AL2023, BOTH, UNTIL_2029, JAVA_PATHS),
    rt("java8.al2023", java(8), AL2023, BOTH, UNTIL_2029, JAVA_PATHS),
    rt("java17", java(17), AL2, BOTH, life(d(2027, 6, 30), d(2027, 7, 31), d(2027, 8, 31)), JAVA_PATHS),
    rt("java11", java(11), AL2, BOTH, life(d(2027, 6, 30), d(2027, 7, 31), d(2027, 8, 31)), JAVA_PATHS),
    rt("java8.al2", java(8), AL2, BOTH, life(d(2027, 6, 30), d(2027, 7, 31), d(2027, 8, 31)), JAVA_PATHS),
    rt("java8", java(8), AL1, ONLY_X86, life(d(2024, 1, 8), d(2024, 2, 8), d(2027, 3, 3)), JAVA_PATHS),
    rt("dotnet10", Family::Dotnet, AL2023, BOTH, life(d(2028, 11, 14), d(2028, 12, 14), d(2029, 1, 15)), NATIVE_PATHS),
    rt("dotnet8", Family::Dotnet, AL2023, BOTH, postponed(d(2026, 11, 10)), NATIVE_PATHS),
    rt("dotnet6", Family::Dotnet, AL2, BOTH, postponed(d(2024, 12, 20)), NATIVE_PATHS),
    rt("dotnetcore3.1", Family::Dotnet, AL2, BOTH, RETIRED, NATIVE_PATHS),
    rt("dotnetcore2.1", Family::Dotnet, AL1, ONLY_X86, RETIRED, NATIVE_PATHS),
    rt("dotnetcore2.0", Family::Dotnet, AL1, ONLY_X86, RETIRED, NATIVE_PATHS),
    rt("dotnetcore1.0", Family::Dotnet, AL1, ONLY_X86, RETIRED, NATIVE_PATHS),
    rt("ruby4.0", ruby(4, 0), AL2023, BOTH, life(d(2029, 3, 31), d(2029, 4, 30), d(2029, 5, 31)), &["ruby/gems/4.0.0", "ruby/lib"]),
    rt("ruby3.4", ruby(3, 4), AL2023, BOTH, life(d(2028, 3, 31), d(2028, 4, 30), d(2028, 5, 31)), &["ruby/gems/3.4.0", "ruby/lib"]),
    rt("ruby3.3", ruby(3, 3), AL2023, BOTH, life(d(2027, 3, 31), d(2027, 4, 30), d(2027, 5, 31)), &["ruby/gems/3.3.0", "ruby/lib"]),
    rt("ruby3.2", ruby(3, 2), AL2, BOTH, postponed(d(2026, 3, 31)), &["ruby/gems/3.2.0", "ruby/lib"]),
    rt("ruby2.7", ruby(2, 7), AL2, BOTH, RETIRED, &["ruby/gems/2.7.0", "ruby/lib"]),
    rt("ruby2.5", ruby(2, 5), AL1, ONLY_X86, RETIRED, &["ruby/gems/2.5.0", "ruby/lib"]),
    rt("provided.al2023", Family::Provided, AL2023, BOTH, UNTIL_2029, NATIVE_PATHS),
    rt("provided.al2", Family::Provided, AL2, BOTH, postponed(d(2026, 7, 31)), NATIVE_PATHS),
    rt("provided", Family::Provided, AL1, ONLY_X86, life(d(2024, 1, 8), d(2024, 2, 8), d(2027, 3, 3)), NATIVE_PATHS),
    rt("go1.x", Family::Go, AL1, ONLY_X86, life(d(2024, 1, 8), d(2024, 2, 8), d(2027, 3, 3)), NATIVE_PATHS),
];

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Date = Date::new(2026, 11, 23);

    #[test]
    fn images_of_aws_are_named_after_runtimes() {
        let image = |id: &str| find(id).unwrap().image();
        for (id, expected) in [
            ("python3.13", "python:3.13"),
            ("nodejs22.x", "nodejs:22"),
            ("java21", "java:21"),
            ("java8.al2", "java:8.al2"),
            ("provided.al2023", "provided:al2023"),
            ("provided.al2", "provided:al2"),
            ("ruby3.3", "ruby:3.3"),
            ("dotnet8", "dotnet:8"),
        ] {
            assert_eq!(image(id), Some(format!("public.ecr.aws/lambda/{expected}")));
        }
        assert_eq!((image("go1.x"), image("provided"), image("python2.7")), (None, None, None));
    }

    #[test]
    fn lifecycle_is_compared_with_the_day() {
        let status = |id: &str, day: Date| find(id).unwrap().status(day);
        assert_eq!(status("python3.13", DAY), Status::Supported);
        assert_eq!(status("python3.10", DAY), Status::Deprecated(d(2026, 10, 31)));
        assert_eq!(status("python3.10", d(2026, 10, 30)), Status::Supported);
        assert_eq!(status("nodejs14.x", DAY), Status::CreateBlocked(d(2024, 1, 9)));
        assert_eq!(status("nodejs14.x", d(2027, 3, 3)), Status::UpdateBlocked(Some(d(2027, 3, 3))));
        assert_eq!(status("nodejs12.x", DAY), Status::UpdateBlocked(None));
    }

    #[test]
    fn the_nearest_is_of_the_same_language_and_usable() {
        for (typed, expected) in [
            ("python3.31", "python3.13"),
            ("python3.1", "python3.14"),
            ("node22", "nodejs22.x"),
            ("nodejs22", "nodejs22.x"),
            ("nodejs12.x", "nodejs22.x"),
            ("go1.x", "provided.al2023"),
            ("provided.al2024", "provided.al2023"),
            ("ruby2.7", "ruby4.0"),
            ("jave21", "java21"),
        ] {
            assert_eq!(nearest(typed, DAY).id, expected, "for {typed}");
        }
    }

    #[test]
    fn identifiers_are_unique() {
        let mut ids: Vec<_> = RUNTIMES.iter().map(|r| r.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), RUNTIMES.len());
    }
}
