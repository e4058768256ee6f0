//! The AWS SDK that the runtime has, too: which of a function's packages need not be packed.
//!
//! ```text
//! packages, who needs whom ──► the SDK's packages and what only they need ──► left to the runtime, or told
//! ```
//!
//! What another package needs stays, and so does what the function's own code names: an import in Python, a dependency or a
//! quoted name in JavaScript. That a `requirements.txt` lists a package says nothing: one that a tool has written lists all.

use std::collections::{BTreeSet, VecDeque};

use super::{Package, node, python};
use crate::lambda::{self, Architecture, Family, Runtime, Sdk};
use crate::tree::Tree;

/// Larger texts are data.
const MAX_TEXT: u64 = 4 << 20;

/// What may be left to the runtime.
#[derive(Debug)]
pub struct Spare {
    /// The SDK.
    pub sdk: &'static Sdk,
    /// Packages, by their indices.
    pub packages: BTreeSet<usize>,
    /// Packages that stay and ask for the SDK: they get the runtime's version, whatever they want.
    pub asked_by: BTreeSet<usize>,
}

/// The packages that the runtime's SDK makes needless, beside a function's `own` files. Nothing when there are none.
pub fn spare(packages: &[Package], own: &Tree, runtime: &'static Runtime, architecture: Architecture) -> Option<Spare> {
    let sdk = lambda::sdk(runtime)?;
    let roots: Vec<usize> = (0..packages.len()).filter(|at| sdk.has(&packages[*at].name)).collect();
    if roots.is_empty() {
        return None;
    }
    let (closure, needs): (BTreeSet<usize>, Vec<Vec<usize>>) = match runtime.family {
        Family::Python { .. } => {
            let needs = python::needs::Needs::read(packages, runtime, architecture).ok()?;
            (needs.closure(&roots), (0..packages.len()).map(|at| needs.all(at)).collect())
        }
        _ => {
            let needs = node::needs::of(packages);
            (reach(roots.iter().copied(), &needs, |_| false), needs)
        }
    };
    let own = Own::read(own, runtime.family);
    let is_sdk = |at: usize| roots.contains(&at);
    let is_kept = |at: &usize| !is_sdk(*at) && (!closure.contains(at) || own.names(&packages[*at]));
    let kept = reach((0..packages.len()).filter(is_kept), &needs, is_sdk);
    let asks = |at: &&usize| needs[**at].iter().any(|needed| is_sdk(*needed));
    Some(Spare {
        sdk,
        packages: closure.difference(&kept).copied().collect(),
        asked_by: kept.iter().filter(asks).copied().collect(),
    })
}

/// What is reached from these, themselves among it, without passing `stops`.
fn reach(from: impl Iterator<Item = usize>, needs: &[Vec<usize>], stops: impl Fn(usize) -> bool) -> BTreeSet<usize> {
    let mut left: VecDeque<usize> = from.collect();
    let mut reached = BTreeSet::new();
    while let Some(at) = left.pop_front() {
        if !stops(at) && reached.insert(at) {
            left.extend(&needs[at]);
        }
    }
    reached
}

/// A function's own code.
struct Own {
    family: Family,
    texts: Vec<String>,
}

impl Own {
    fn read(tree: &Tree, family: Family) -> Self {
        let endings: &[&str] = match family {
            Family::Python { .. } => &[".py"],
            // Also `package.json`, whose dependencies are names in quotes.
            _ => &[".js", ".mjs", ".cjs", ".ts", ".mts", ".cts", "package.json"],
        };
        let is_code = |path: &str| endings.iter().any(|ending| path.ends_with(ending));
        let code = tree.iter().filter(|(path, entry)| is_code(path.as_str()) && entry.size() <= MAX_TEXT);
        let read = code.filter_map(|(_, entry)| entry.read().ok());
        Self { family, texts: read.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect() }
    }

    fn names(&self, package: &Package) -> bool {
        match self.family {
            Family::Python { .. } => modules(&package.tree).iter().any(|module| self.imports(module)),
            _ => ['\'', '"', '`'].iter().any(|quote| {
                let ends = [format!("{quote}{}{quote}", package.name), format!("{quote}{}/", package.name)];
                self.texts.iter().any(|text| ends.iter().any(|end| text.contains(end)))
            }),
        }
    }

    fn imports(&self, module: &str) -> bool {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let lines = self.texts.iter().flat_map(|text| text.lines()).map(str::trim_start);
        let is_import = |line: &&str| {
            line.starts_with("import ")
                || line.starts_with("from ")
                || line.contains("import_module")
                || line.contains("__import__")
        };
        let mut imports = lines.filter(is_import);
        imports.any(|line| line.split(|c| !is_word(c)).any(|word| word == module))
    }
}

/// What a Python package can be imported as: `six`, `dateutil`.
fn modules(tree: &Tree) -> BTreeSet<&str> {
    let first = tree.iter().filter_map(|(path, _)| {
        let first = path.as_str().split('/').next().unwrap_or_default();
        match first.len() == path.as_str().len() {
            true => first.strip_suffix(".py").or_else(|| first.ends_with(".so").then(|| first.split('.').next())?),
            false => (!first.contains('.')).then_some(first),
        }
    });
    first.filter(|name| *name != "bin").collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{ArchivePath, Entry};

    fn tree(files: &[(&str, &str)]) -> Tree {
        let entry =
            |(path, text): &(&str, &str)| (ArchivePath::new(path).unwrap(), Entry::bytes(text.as_bytes(), false));
        files.iter().map(entry).collect()
    }

    fn wheel(name: &str, module: &str, headers: &str) -> Package {
        let metadata =
            format!("Metadata-Version: 2.1\nName: {name}\n{headers}\nRequires-Dist: text-below-is-no-header\n");
        let files = [(format!("{name}-1.dist-info/METADATA"), metadata), (module.to_owned(), String::new())];
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        Package { name: name.into(), version: "1".into(), tree: tree(&files) }
    }

    fn boto() -> Vec<Package> {
        vec![
            wheel(
                "boto3",
                "boto3/__init__.py",
                "Requires-Dist: botocore (<2,>=1)\nRequires-Dist: jmespath\nRequires-Dist: s3transfer\nProvides-Extra: crt\nRequires-Dist: botocore[crt]; extra == 'crt'\n",
            ),
            wheel(
                "botocore",
                "botocore/__init__.py",
                "Requires-Dist: jmespath\nRequires-Dist: python-dateutil>=2.1\nRequires-Dist: urllib3 <2 ; python_version < \"3.10\"\nRequires-Dist: urllib3 >=1.25 ; python_version >= \"3.10\"\nProvides-Extra: crt\nRequires-Dist: awscrt; extra == \"crt\"\n",
            ),
            wheel("s3transfer", "s3transfer/__init__.py", "Requires-Dist: botocore\n"),
            wheel("jmespath", "jmespath/__init__.py", ""),
            wheel("python_dateutil", "dateutil/__init__.py", "Requires-Dist: six\n"),
            wheel("six", "six.py", ""),
            wheel("urllib3", "urllib3/__init__.py", ""),
            wheel("awscrt", "awscrt/__init__.py", ""),
        ]
    }

    fn left_out(runtime: &str, packages: &[Package], own: &[(&str, &str)]) -> Vec<String> {
        let spare = spare(packages, &tree(own), lambda::find(runtime).unwrap(), Architecture::X86_64);
        let names = |spare: Spare| spare.packages.iter().map(|at| packages[*at].name.clone()).collect();
        spare.map_or_else(Vec::new, names)
    }

    #[test]
    fn what_only_boto3_needs_goes_with_it() {
        let all = ["boto3", "botocore", "s3transfer", "jmespath", "python_dateutil", "six", "urllib3"];
        let own = [("app.py", "import boto3\n# six and urllib3 are not imported, which a comment may say\n")];
        // Whoever wants awscrt has asked for it: the runtime is not known to have it.
        assert_eq!(left_out("python3.13", &boto(), &own), all);
        assert!(
            left_out("nodejs22.x", &boto(), &own).is_empty() && left_out("provided.al2023", &boto(), &[]).is_empty()
        );
    }

    #[test]
    fn who_gets_another_version_than_it_asks_for_is_known() {
        let mut packages = boto();
        packages.push(wheel("aiobotocore", "aiobotocore/__init__.py", "Requires-Dist: botocore<1.35.9,>=1.35.8\n"));
        let runtime = lambda::find("python3.13").unwrap();
        let spare = spare(&packages, &Tree::new(), runtime, Architecture::X86_64).unwrap();
        assert_eq!(spare.asked_by.iter().map(|at| packages[*at].name.as_str()).collect::<Vec<_>>(), ["aiobotocore"]);
    }

    #[test]
    fn what_others_need_or_the_code_imports_stays() {
        let mut packages = boto();
        packages.push(wheel("requests", "requests/__init__.py", "Requires-Dist: urllib3<3\n"));
        packages.push(wheel(
            "moto",
            "moto/__init__.py",
            "Requires-Dist: boto3\nRequires-Dist: jmespath; extra == 'all'\nProvides-Extra: all\n",
        ));
        packages.push(wheel("old", "old.py", "Requires-Dist: six; python_version < '3'\n"));
        let own = [("app.py", "def f():\n    from dateutil.parser import parse\n")];
        assert_eq!(left_out("python3.13", &packages, &own), ["boto3", "botocore", "s3transfer"]);
        assert_eq!(
            left_out("python3.13", &packages, &[]),
            ["boto3", "botocore", "s3transfer", "python_dateutil", "six"]
        );
    }

    fn npm(path: &str, manifest: &str) -> Package {
        let name = path.rsplit("node_modules/").next().unwrap();
        Package { name: name.into(), version: "1".into(), tree: tree(&[(&format!("{path}/package.json"), manifest)]) }
    }

    #[test]
    fn the_sdk_for_javascript_goes_with_what_only_it_needs() {
        let packages = [
            npm(
                "node_modules/@aws-sdk/client-s3",
                r#"{"dependencies": {"@smithy/core": "1", "tslib": "2", "uuid": "9"}}"#,
            ),
            npm("node_modules/@smithy/core", r#"{"dependencies": {"tslib": "2", "fast-xml-parser": "4"}}"#),
            npm("node_modules/tslib", "{}"),
            npm("node_modules/fast-xml-parser", r#"{"dependencies": {"strnum": "1"}}"#),
            npm("node_modules/strnum", "{}"),
            npm("node_modules/uuid", "{}"),
            npm("node_modules/@aws-sdk/client-s3/node_modules/uuid", "{}"),
            npm("node_modules/rxjs", r#"{"dependencies": {"tslib": "2"}}"#),
        ];
        let own = [("package.json", r#"{"dependencies": {"@aws-sdk/client-s3": "3", "rxjs": "7"}}"#)];
        let sdk = ["@aws-sdk/client-s3", "@smithy/core", "fast-xml-parser", "strnum", "uuid"];
        assert_eq!(left_out("nodejs22.x", &packages, &own), sdk);
        let own = [own[0], ("index.mjs", "import { XMLParser } from 'fast-xml-parser';\n")];
        assert_eq!(left_out("nodejs22.x", &packages, &own), ["@aws-sdk/client-s3", "@smithy/core", "uuid"]);
        assert!(left_out("nodejs16.x", &packages, &own).is_empty());
    }
}
