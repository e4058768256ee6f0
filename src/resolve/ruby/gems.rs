//! Installed gems as packages: one for each specification, without what only an installation needs.

use std::collections::BTreeMap;
use std::path::Path;

use super::{keep, needs_version};
use crate::error::{Error, Result};
use crate::finding::Finding;
use crate::resolve::{Context, Package, Request};
use crate::tree::{ArchivePath, Entry, Tree};

/// Gems of one folder.
#[derive(Default)]
pub(super) struct Gems {
    /// One package each.
    pub(super) packages: Vec<Package>,
    /// What cannot be packed.
    pub(super) findings: Vec<Finding>,
    /// A gem that was compiled for one version of Ruby.
    pub(super) compiled: Option<String>,
}

/// What a specification says of a gem.
#[derive(Debug, PartialEq, Eq)]
struct Specification {
    name: String,
    version: String,
    /// `>= 2.7`, `< 4`.
    ruby: Vec<String>,
}

impl Gems {
    /// Reads a folder of gems (`…/ruby/3.4.0`) for the runtime of version `abi`.
    pub(super) fn read(folder: &Path, abi: &str, request: &Request<'_>, context: &Context<'_>) -> Result<Self> {
        let (all, findings) = keep(folder, request, context)?;
        let here = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut out = Self { findings, ..Self::default() };
        let mut trees: BTreeMap<String, Tree> = BTreeMap::new();
        let mut specifications: BTreeMap<String, Specification> = BTreeMap::new();
        for (path, entry) in all.iter() {
            let Some(gem) = gem_of(path.as_str()).filter(|_| !is_litter(path.as_str())) else { continue };
            let is_library = path.as_str().ends_with(".so");
            if is_library && !is_for_version(path.as_str(), abi) || path.as_str().starts_with("extensions/") {
                out.compiled.get_or_insert_with(|| gem.to_owned());
            }
            let mut entry = entry.clone();
            if path.as_str().starts_with("specifications/") {
                let text = String::from_utf8_lossy(&entry.read()?).into_owned();
                let specification = Specification::parse(&text)
                    .ok_or_else(|| Error::failed(format!("the specification of gem `{gem}` is not understood")))?;
                check_version(&specification, abi, &here)?;
                specifications.insert(gem.to_owned(), specification);
                entry = Entry::bytes(portable(&text).into_bytes(), false);
            }
            let to = moved(path.as_str(), abi, &here);
            let to = ArchivePath::new(&to).map_err(|problem| Error::failed(format!("`{to}` {problem}")))?;
            trees.entry(gem.to_owned()).or_default().insert(to, entry);
        }
        for (gem, tree) in trees {
            let specification = specifications.remove(&gem);
            let (name, version) = specification.map_or((gem, String::new()), |found| (found.name, found.version));
            out.packages.push(Package { name, version, tree });
        }
        Ok(out)
    }
}

/// The gem that a path belongs to, by its full name: `rack-3.0.8`.
fn gem_of(path: &str) -> Option<&str> {
    let mut parts = path.split('/');
    match parts.next()? {
        "gems" => parts.next(),
        "specifications" => parts.next()?.strip_suffix(".gemspec"),
        "extensions" => parts.nth(2),
        // Archives, documentation, programs that name this machine's Ruby.
        _ => None,
    }
}

/// What a compiler needed, or noted of this machine.
fn is_litter(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let is_note = ["gem_make.out", "mkmf.log"].contains(&name);
    let is_built = path.starts_with("gems/")
        && path.split('/').nth(2) == Some("ext")
        && (name == "Makefile" || name.ends_with(".o"));
    is_note || is_built
}

/// Whether a library lies in a folder of one version, as gems do that bring several.
fn is_for_version(path: &str, abi: &str) -> bool {
    let version = abi.rsplit_once('.').map_or(abi, |(version, _)| version);
    let is_version = |part: &str| part.chars().all(|c| c.is_ascii_digit() || c == '.') && part.contains('.');
    path.split('/').any(|part| part == version) || path.split('/').any(|part| is_version(part) && part != version)
}

/// Where it is packed.
fn moved(path: &str, abi: &str, here: &str) -> String {
    // `extensions/x86_64-linux/3.1.0/…`; only gems that are compiled for the version have them.
    let path = if here == abi { path.to_owned() } else { path.replace(&format!("/{here}/"), &format!("/{abi}/")) };
    format!("vendor/bundle/ruby/{abi}/{path}")
}

/// A specification without what names the RubyGems that installed it.
fn portable(text: &str) -> String {
    text.lines().filter(|line| !line.contains("installed_by_version")).map(|line| format!("{line}\n")).collect()
}

impl Specification {
    /// From what RubyGems writes (`Gem::Specification#to_ruby`).
    fn parse(text: &str) -> Option<Self> {
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(key)?.trim_start().strip_prefix('='))?;
            Some(line.trim())
        };
        let quoted = |line: &str| -> Vec<String> { line.split('"').skip(1).step_by(2).map(str::to_owned).collect() };
        Some(Self {
            name: quoted(value("s.name")?).into_iter().next()?,
            version: quoted(value("s.version")?).into_iter().next()?,
            ruby: value("s.required_ruby_version").map(quoted).unwrap_or_default(),
        })
    }
}

/// Refuses a gem that does not run on the runtime's Ruby.
fn check_version(specification: &Specification, abi: &str, here: &str) -> Result<()> {
    let Some(wanted) = specification.ruby.iter().find(|wanted| !satisfies(abi, wanted)) else { return Ok(()) };
    let why = format!("asks for Ruby `{wanted}`");
    let error = needs_version(&specification.name, &why, here, abi);
    Err(error.hint("or lock a version of it that runs on the runtime's Ruby"))
}

/// Whether some patch of a version satisfies a requirement.
fn satisfies(abi: &str, requirement: &str) -> bool {
    let (operator, version) = requirement.split_once(' ').unwrap_or(("=", requirement));
    let numbers = |text: &str| -> Vec<u32> { text.split('.').map_while(|part| part.parse().ok()).take(2).collect() };
    let (have, want) = (numbers(abi), numbers(version));
    let [major, minor] = have[..] else { return true };
    let Some(first) = want.first().copied() else { return true };
    let second = want.get(1).copied();
    let wanted = (first, second.unwrap_or(0));
    let have = (major, minor);
    // Of `3.4.1` any patch may do; `3.4` and `3.4.0` are its beginning.
    let begins = version.split('.').skip(2).all(|part| part == "0" || part == "dev" || part == "a");
    match operator {
        ">=" | ">" => have >= wanted,
        "<" => have < wanted || have == wanted && !begins,
        "<=" => have <= wanted,
        "=" => have == wanted,
        "~>" if version.split('.').count() <= 2 => major == first && have >= wanted,
        "~>" => have == wanted,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_belong_to_gems() {
        for (path, gem) in [
            ("gems/rack-3.0.8/lib/rack.rb", Some("rack-3.0.8")),
            ("specifications/rack-3.0.8.gemspec", Some("rack-3.0.8")),
            ("extensions/x86_64-linux/3.4.0/json-2.7/json/ext/parser.so", Some("json-2.7")),
            ("cache/rack-3.0.8.gem", None),
            ("bin/rackup", None),
        ] {
            assert_eq!(gem_of(path), gem, "{path}");
        }
        assert!(is_litter("gems/json-2.7/ext/json/parser.o") && is_litter("extensions/x/3.4.0/json-2.7/gem_make.out"));
        assert!(
            !is_litter("gems/json-2.7/lib/ext/x.o") && !is_litter("extensions/x/3.4.0/json-2.7/gem.build_complete")
        );
        assert!(is_for_version("gems/nokogiri-1-x/lib/nokogiri/3.4/nokogiri.so", "3.4.0"));
        assert!(!is_for_version("gems/json-2.7/lib/json/ext/parser.so", "3.4.0"));
        assert_eq!(moved("gems/a-1/x.rb", "3.4.0", "3.1.0"), "vendor/bundle/ruby/3.4.0/gems/a-1/x.rb");
    }

    #[test]
    fn specifications_say_name_version_and_ruby() {
        let text = "# stub: x\nGem::Specification.new do |s|\n  s.name = \"a_b\".freeze\n  s.version = \"1.2.0\"\n\n  \
            s.required_ruby_version = Gem::Requirement.new([\">= 2.7\".freeze, \"< 4\".freeze])\n  s.installed_by_version = \"3.3\" if s\nend\n";
        let found = Specification::parse(text).unwrap();
        assert_eq!((found.name.as_str(), found.version.as_str()), ("a_b", "1.2.0"));
        assert_eq!(found.ruby, [">= 2.7", "< 4"]);
        assert!(!portable(text).contains("installed_by") && portable(text).ends_with("end\n"));
        assert_eq!(Specification::parse("nothing"), None);
    }

    #[test]
    fn requirements_are_compared_with_the_runtimes_version() {
        for (requirement, fits) in [
            (">= 2.7", true),
            (">= 3.5", false),
            ("< 3.4.dev", false),
            ("< 3.5.dev", true),
            ("< 3.4.2", true),
            ("~> 3.1", true),
            ("~> 2.7", false),
            ("~> 3.4.1", true),
            ("~> 3.3.0", false),
            (">= 0", true),
            ("= 3.4.1", true),
        ] {
            assert_eq!(satisfies("3.4.0", requirement), fits, "{requirement}");
        }
    }
}
