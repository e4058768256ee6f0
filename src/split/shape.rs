//! What of a function's packages may be moved to a layer, and what must stay side by side.
//!
//! Python looks for a module in `/var/task`, then in `/opt/python`, and takes the first folder with an `__init__.py`: what
//! lies in the other is not seen. So packages that bring files into one such folder are moved together, and those that
//! bring files into one of the function's own are not moved. Folders without it (namespace packages) may be split.
//!
//! Node.js looks in the `node_modules` of the folders above the file that asks, then along `NODE_PATH`, in which `/opt` is
//! and `/var/task/node_modules` is not, and which ECMAScript modules do not use. So a package takes with it what it needs;
//! what an ECMAScript module in the function needs stays; and packages inside of a package stay inside.
//!
//! Java has one class path, with jars of layers behind those of the function: any jar may be moved.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use super::{Consumer, Item};
use crate::lambda::Family;
use crate::resolve::Package;
use crate::resolve::node::needs::{self, NodePackage, find, outermost};
use crate::tree::{Entry, Source, Tree};

/// A function's packages as they may be moved.
#[derive(Debug, Default)]
pub struct Shape {
    /// What may be moved, as indices of packages.
    pub movable: Vec<Vec<usize>>,
    /// For each of `movable`, those that have to be moved for it to work, as indices of `movable`.
    pub requires: Vec<Vec<usize>>,
    /// For each of `movable`, what only one of a function's packages may claim.
    pub claims: Vec<Vec<String>>,
    /// What the function's own files and the packages that stay claim.
    pub own_claims: Vec<String>,
    /// Why packages stay that the policy would move, in words.
    pub stays: Option<&'static str>,
}

/// The language whose functions share layers; nothing when packages are not looked for in layers, or are none.
pub fn scope(family: Family) -> Option<&'static str> {
    match family {
        Family::Python { .. } => Some("python"),
        Family::Node { .. } => Some("nodejs"),
        Family::Java { .. } => Some("java"),
        Family::Ruby { .. } => Some("ruby"),
        Family::Dotnet | Family::Go | Family::Provided => None,
    }
}

impl Shape {
    /// Of packages beside a function's own files.
    pub fn of(family: Family, packages: &[Package], own: &Tree) -> Self {
        match family {
            Family::Python { .. } => python(packages, own),
            Family::Node { .. } => node(packages, own),
            Family::Java { .. } => java(packages, own),
            Family::Ruby { .. } => ruby(packages),
            _ => Self::default(),
        }
    }

    /// The same as a question to [`super::split`]. `ids` tell the packages' contents apart.
    pub fn consumer(&self, base: Consumer, packages: &[Package], ids: &[String]) -> Consumer {
        let item = |at: usize| Item {
            id: self.movable[at].iter().map(|package| ids[*package].as_str()).collect::<Vec<_>>().join("+"),
            bytes: self.movable[at].iter().map(|package| packages[*package].tree.bytes()).sum(),
            claims: self.claims[at].clone(),
            requires: self.requires[at].clone(),
        };
        Consumer { claims: self.own_claims.clone(), items: (0..self.movable.len()).map(item).collect(), ..base }
    }
}

/// RubyGems looks along `GEM_PATH`, in which `/var/task` and `/opt` are, so that each gem may be moved alone.
fn ruby(packages: &[Package]) -> Shape {
    let movable: Vec<Vec<usize>> =
        packages.iter().enumerate().filter(|(_, package)| !is_local(&package.tree)).map(|(at, _)| vec![at]).collect();
    Shape {
        requires: movable.iter().map(|_| Vec::new()).collect(),
        claims: movable.iter().map(|at| vec![packages[at[0]].name.clone()]).collect(),
        movable,
        ..Shape::default()
    }
}

/// Whether something in it is read from this project's folders, where it is edited.
fn is_local(tree: &Tree) -> bool {
    tree.iter().any(|(_, entry)| matches!(entry, Entry::File { source: Source::Disk(_), .. }))
}

/// Sets that are joined.
struct Sets(Vec<usize>);

impl Sets {
    fn root(&mut self, mut at: usize) -> usize {
        while self.0[at] != at {
            self.0[at] = self.0[self.0[at]];
            at = self.0[at];
        }
        at
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b)] = a.min(b);
    }
}

/// The folders of a path, the outermost first.
fn folders(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

/// What a Python tree means to its neighbours.
#[derive(Default)]
struct Modules<'t> {
    /// Folders with an `__init__`.
    regular: BTreeSet<&'t str>,
    folders: BTreeSet<&'t str>,
    /// The outermost regular folders, and files that are in none.
    claims: BTreeSet<&'t str>,
}

impl<'t> Modules<'t> {
    fn of(tree: &'t Tree) -> Self {
        let mut out = Self::default();
        for (path, _) in tree.iter() {
            let path = path.as_str();
            if let Some((folder, file)) = path.rsplit_once('/')
                && file.starts_with("__init__.")
            {
                out.regular.insert(folder);
            }
            out.folders.extend(folders(path));
        }
        for (path, _) in tree.iter() {
            let path = path.as_str();
            let outermost = folders(path).find(|folder| out.regular.contains(folder));
            // Of what pip notes of a package, its name says enough.
            let is_note = folders(path).next().is_some_and(|first| first.ends_with(".dist-info"));
            if !is_note {
                out.claims.insert(outermost.unwrap_or(path));
            }
        }
        out
    }
}

impl<'t> Modules<'t> {
    /// What can be imported by one word, and whether it is a file.
    fn tops(&self) -> impl Iterator<Item = (&'t str, bool)> {
        let folders = self.folders.iter().filter(|folder| !folder.contains('/') && !folder.ends_with(".dist-info"));
        let files = self.claims.iter().filter(|claim| !claim.contains('/'));
        let stem = |file: &'t str| file.split('.').next().unwrap_or(file);
        let files = files.filter(|file| file.contains('.')).map(move |file| (stem(file), true));
        folders.map(|folder| (*folder, false)).chain(files)
    }
}

fn python(packages: &[Package], own: &Tree) -> Shape {
    let modules: Vec<Modules<'_>> = packages.iter().map(|package| Modules::of(&package.tree)).collect();
    let mine = Modules::of(own);
    let mut sets = Sets((0..packages.len()).collect());
    // Folders that somebody has made a package, and who.
    let mut regular: HashMap<&str, usize> = HashMap::new();
    for (index, modules) in modules.iter().enumerate() {
        for folder in &modules.regular {
            let first = *regular.entry(folder).or_insert(index);
            sets.join(first, index);
        }
    }
    let mut claimed: HashMap<&str, usize> = HashMap::new();
    let mut stays: Vec<bool> = packages.iter().map(|package| is_local(&package.tree)).collect();
    for (index, modules) in modules.iter().enumerate() {
        for folder in &modules.folders {
            if let Some(first) = regular.get(folder) {
                sets.join(*first, index);
            }
            stays[index] |=
                mine.regular.contains(folder) || modules.regular.contains(folder) && mine.folders.contains(folder);
        }
        for claim in &modules.claims {
            let first = *claimed.entry(claim).or_insert(index);
            sets.join(first, index);
            stays[index] |= own.contains(claim);
        }
        // Of `x.py` and `x/` in two places, the one that comes first hides the other.
        stays[index] |= modules.tops().any(|(top, is_file)| mine.tops().any(|(own, is)| own == top && is != is_file));
    }
    let tops = |modules: &Modules<'_>| modules.tops().map(|(top, _)| format!("~{top}")).collect::<BTreeSet<_>>();
    let own_claims = mine.claims.iter().map(|claim| (*claim).to_owned()).chain(tops(&mine)).collect();
    // What nobody asked for may not even come near: it could make a package of a namespace that the function has.
    let claims = |index: usize| {
        let name = format!("={}", packages[index].name.to_lowercase());
        let of = &modules[index];
        of.claims.iter().map(|claim| (*claim).to_owned()).chain(tops(of)).chain([name]).collect::<Vec<_>>()
    };
    gather(packages.len(), &mut sets, &stays, own_claims, claims, |_| Vec::new())
}

/// Puts sets of packages together: those of which nobody stays are movable.
fn gather(
    count: usize,
    sets: &mut Sets,
    stays: &[bool],
    own_claims: Vec<String>,
    claims: impl Fn(usize) -> Vec<String>,
    requires: impl Fn(usize) -> Vec<usize>,
) -> Shape {
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for index in 0..count {
        members.entry(sets.root(index)).or_default().push(index);
    }
    let (kept, movable): (Vec<_>, Vec<_>) =
        members.into_values().partition(|set| set.iter().any(|index| stays[*index]));
    let claims_of = |set: &Vec<usize>| {
        let all: BTreeSet<String> = set.iter().flat_map(|index| claims(*index)).collect();
        all.into_iter().collect::<Vec<_>>()
    };
    let item_of: HashMap<usize, usize> =
        movable.iter().enumerate().flat_map(|(at, set)| set.iter().map(move |index| (*index, at))).collect();
    // What requires something that stays cannot be moved; `usize::MAX` stands for it until then.
    let needs = |(at, set): (usize, &Vec<usize>)| -> Vec<usize> {
        let mut out: Vec<usize> = set
            .iter()
            .flat_map(|index| requires(*index))
            .map(|index| item_of.get(&index).copied().unwrap_or(usize::MAX))
            .filter(|required| *required != at)
            .collect();
        out.sort_unstable();
        out.dedup();
        out
    };
    let mut shape = Shape {
        claims: movable.iter().map(claims_of).collect(),
        requires: movable.iter().enumerate().map(needs).collect(),
        own_claims: own_claims.into_iter().chain(kept.iter().flat_map(claims_of)).collect(),
        movable,
        stays: None,
    };
    shape.drop_blocked();
    shape
}

impl Shape {
    /// Leaves out what requires something that is not there.
    fn drop_blocked(&mut self) {
        loop {
            let blocked: BTreeSet<usize> =
                (0..self.movable.len()).filter(|at| self.requires[*at].contains(&usize::MAX)).collect();
            if blocked.is_empty() {
                return;
            }
            let number = |at: usize| match blocked.contains(&at) || at == usize::MAX {
                true => usize::MAX,
                false => at - blocked.range(..at).count(),
            };
            let mut keep = (0..self.movable.len()).map(|at| !blocked.contains(&at));
            self.movable.retain(|_| keep.next().unwrap_or(false));
            let mut at = 0;
            let gone: Vec<Vec<String>> =
                self.claims.iter().enumerate().filter(|(i, _)| blocked.contains(i)).map(|(_, c)| c.clone()).collect();
            self.own_claims.extend(gone.into_iter().flatten());
            self.claims.retain(|_| {
                at += 1;
                !blocked.contains(&(at - 1))
            });
            at = 0;
            self.requires.retain(|_| {
                at += 1;
                !blocked.contains(&(at - 1))
            });
            for requires in &mut self.requires {
                requires.iter_mut().for_each(|required| *required = number(*required));
            }
        }
    }
}

/// Each jar by itself. Of one artifact, a function sees one version only.
fn java(packages: &[Package], own: &Tree) -> Shape {
    let stays: Vec<bool> =
        packages.iter().map(|package| package.tree.iter().any(|(path, _)| own.contains(path.as_str()))).collect();
    let claims = |index: usize| {
        let paths = packages[index].tree.iter().map(|(path, _)| path.to_string());
        std::iter::once(format!("={}", packages[index].name)).chain(paths).collect()
    };
    gather(packages.len(), &mut Sets((0..packages.len()).collect()), &stays, Vec::new(), claims, |_| Vec::new())
}

/// Why packages of a function of ECMAScript modules stay.
pub const ESM: &str = "its own code is made of ECMAScript modules, which do not find packages in layers";

fn node(packages: &[Package], own: &Tree) -> Shape {
    let read: Vec<Option<NodePackage<'_>>> = packages.iter().map(|package| needs::package(&package.tree)).collect();
    let by_folder: HashMap<&str, usize> =
        read.iter().enumerate().filter_map(|(index, package)| Some((package.as_ref()?.folder, index))).collect();
    let mut sets = Sets((0..packages.len()).collect());
    let mut stays: Vec<bool> = packages.iter().map(|package| is_local(&package.tree)).collect();
    let mut requires: Vec<Vec<usize>> = vec![Vec::new(); packages.len()];
    for (index, package) in read.iter().enumerate() {
        let Some(package) = package else {
            stays[index] = true; // It is not known what it needs.
            continue;
        };
        if let Some(outer) = outermost(package.folder).and_then(|outer| by_folder.get(outer)) {
            sets.join(*outer, index);
        }
        stays[index] |= own.contains_folder(package.folder);
        for needed in package.needs.iter().filter_map(|name| find(&by_folder, package.folder, name)) {
            requires[index].push(needed);
            if package.is_module {
                // Left in the function, it would not find this one in a layer.
                requires[needed].push(index);
            }
        }
    }
    let claims = |index: usize| vec![read[index].as_ref().map_or("", |package| package.folder).to_owned()];
    gather(packages.len(), &mut sets, &stays, Vec::new(), claims, |index| requires[index].clone())
}

/// Whether no package of a function may be moved, since its own code would not find it.
pub fn stays_for(family: Family, own: &Tree) -> bool {
    matches!(family, Family::Node { .. }) && is_made_of_modules(own)
}

/// Larger files of a function are bundles, which bring what they need, or cannot be looked at.
const MAX_SOURCE: u64 = 4 << 20;

/// Whether a function's own code asks for packages as ECMAScript modules do: by its files' names, by a `package.json`, or by
/// what it says, which may be a dynamic `import()`.
pub fn is_made_of_modules(own: &Tree) -> bool {
    own.iter().any(|(path, entry)| {
        let name = path.as_str().rsplit('/').next().unwrap_or_default();
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
        let text = || entry.read().ok().and_then(|bytes| String::from_utf8(bytes).ok());
        match ending {
            "mjs" | "mts" => true,
            "json" if name == "package.json" => {
                let manifest: Option<Value> = text().and_then(|text| serde_json::from_str(&text).ok());
                manifest.is_some_and(|manifest| manifest.get("type").and_then(Value::as_str) == Some("module"))
            }
            "js" | "cjs" | "ts" | "cts" => {
                entry.size() > MAX_SOURCE || text().is_some_and(|text| speaks_of_imports(&text))
            }
            _ => false,
        }
    })
}

fn speaks_of_imports(text: &str) -> bool {
    let is_statement = |line: &str| {
        let line = line.trim_start();
        ["import ", "import{", "import\"", "import'", "export ", "export{"].iter().any(|word| line.starts_with(word))
    };
    text.contains("import(") || text.lines().any(is_statement)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::ArchivePath;

    fn tree(files: &[(&str, &str)]) -> Tree {
        let entry =
            |(path, text): &(&str, &str)| (ArchivePath::new(path).unwrap(), Entry::bytes(text.as_bytes(), false));
        files.iter().map(entry).collect()
    }

    fn package(name: &str, files: &[(&str, &str)]) -> Package {
        Package { name: name.into(), version: "1".into(), tree: tree(files) }
    }

    /// What may be moved, by names; `a+b` for those that go together.
    fn moved(family: Family, packages: &[Package], own: &Tree) -> Vec<String> {
        let shape = Shape::of(family, packages, own);
        let names = |set: &Vec<usize>| set.iter().map(|i| packages[*i].name.as_str()).collect::<Vec<_>>().join("+");
        let needs = |at: usize| {
            shape.requires[at].iter().map(|r| format!(" needs {}", names(&shape.movable[*r]))).collect::<String>()
        };
        (0..shape.movable.len()).map(|at| names(&shape.movable[at]) + &needs(at)).collect()
    }

    const PYTHON: Family = Family::Python { major: 3, minor: 13 };
    const NODE: Family = Family::Node { major: 22 };

    #[test]
    fn python_packages_that_share_a_regular_folder_stay_together() {
        let packages = [
            package("a", &[("google/__init__.py", ""), ("google/a/x.py", "")]),
            package("b", &[("google/b/__init__.py", ""), ("b-1.dist-info/METADATA", "")]),
            package("c", &[("azure/c/__init__.py", "")]),
            package("d", &[("azure/d/__init__.py", ""), ("six.py", "")]),
        ];
        assert_eq!(moved(PYTHON, &packages, &Tree::new()), ["a+b", "c", "d"]);
    }

    #[test]
    fn python_packages_that_share_a_folder_with_the_function_stay() {
        let packages = [
            package("a", &[("shop/__init__.py", "")]),
            package("b", &[("azure/b/__init__.py", "")]),
            package("c", &[("tools/c.py", "")]),
            package("d", &[("six.py", "")]),
        ];
        let own = tree(&[("shop/own.py", ""), ("azure/own.py", ""), ("tools/__init__.py", ""), ("six.py", "")]);
        assert_eq!(moved(PYTHON, &packages, &own), ["b"]);
    }

    #[test]
    fn jars_are_moved_one_by_one() {
        let packages = [package("g:a", &[("lib/g.a-1.jar", "")]), package("g:b", &[("lib/g.b-1.jar", "")])];
        let java = Family::Java { major: 21 };
        assert_eq!(moved(java, &packages, &Tree::new()), ["g:a", "g:b"]);
        assert_eq!(moved(java, &packages, &tree(&[("lib/g.a-1.jar", "mine")])), ["g:b"]);
    }

    fn npm(path: &str, manifest: &str) -> Package {
        package(
            path.rsplit('/').next().unwrap(),
            &[(&format!("{path}/package.json"), manifest), (&format!("{path}/lib/package.json"), "{}")],
        )
    }

    #[test]
    fn node_packages_take_along_what_they_need_and_what_is_inside() {
        let packages = [
            npm("node_modules/a", r#"{"dependencies": {"b": "1"}, "peerDependencies": {"none": "*"}}"#),
            npm("node_modules/a/node_modules/b", r#"{"dependencies": {"c": "1"}}"#),
            npm("node_modules/b", "{}"),
            npm("node_modules/c", "{}"),
        ];
        assert_eq!(moved(NODE, &packages, &Tree::new()), ["a+b needs c", "b", "c"]);
    }

    #[test]
    fn what_a_module_needs_is_not_moved_without_it() {
        let packages =
            [npm("node_modules/a", r#"{"type": "module", "dependencies": {"b": "1"}}"#), npm("node_modules/b", "{}")];
        assert_eq!(moved(NODE, &packages, &Tree::new()), ["a needs b", "b needs a"]);
        for own in [
            tree(&[("index.mjs", "")]),
            tree(&[("package.json", r#"{"type": "module"}"#)]),
            tree(&[("index.js", ""), ("src/package.json", r#"{"type": "module"}"#)]),
            tree(&[("index.js", "const a = await import('a');")]),
            tree(&[("index.js", "  import a from 'a';\n")]),
        ] {
            assert!(stays_for(NODE, &own) && !stays_for(PYTHON, &own));
        }
    }

    #[test]
    fn what_needs_something_that_stays_stays() {
        let packages = [
            npm("node_modules/a", r#"{"dependencies": {"b": "1"}}"#),
            npm("node_modules/b", "{}"),
            npm("node_modules/c", "{}"),
        ];
        let own = tree(&[("node_modules/b/patch.js", "")]);
        assert_eq!(moved(NODE, &packages, &own), ["c"]);
    }
}
