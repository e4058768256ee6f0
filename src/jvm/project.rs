//! Which folders are one build: Maven's reactor and Gradle's build above a module, never above the project's root.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::pom::{self, Pom};
use crate::error::Result;
use crate::fsio;

/// Files that tell Gradle of a module.
pub const GRADLE_BUILDS: [&str; 2] = ["build.gradle", "build.gradle.kts"];
/// Files that tell Gradle where a build begins.
pub const GRADLE_SETTINGS: [&str; 2] = ["settings.gradle", "settings.gradle.kts"];

/// What builds a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Maven.
    Maven,
    /// Gradle.
    Gradle,
}

/// The file that says that Maven builds a folder.
pub fn maven_file(folder: &Path) -> Option<PathBuf> {
    Some(folder.join(pom::NAME)).filter(|file| file.is_file())
}

/// The file that says that Gradle builds a folder: its own, or, where the build above says all, that build's.
pub fn gradle_file(folder: &Path, root: &Path) -> Option<PathBuf> {
    first_file(folder, &GRADLE_BUILDS).or_else(|| first_file(folder, &GRADLE_SETTINGS)).or_else(|| {
        let above = folder.join("src/main").is_dir().then(|| gradle_root(folder, root))?;
        (above != folder).then(|| first_file(&above, &GRADLE_SETTINGS))?
    })
}

fn first_file(folder: &Path, names: &[&str]) -> Option<PathBuf> {
    names.iter().map(|name| folder.join(name)).find(|file| file.is_file())
}

/// A folder and those above it, up to `root`.
fn up_to<'p>(folder: &'p Path, root: &'p Path) -> impl Iterator<Item = &'p Path> {
    folder.ancestors().take_while(move |above| above.starts_with(root))
}

/// Where Gradle's build of a folder begins: the nearest folder with settings.
pub fn gradle_root(folder: &Path, root: &Path) -> PathBuf {
    let has_settings = |above: &&Path| first_file(above, &GRADLE_SETTINGS).is_some();
    up_to(folder, root).find(has_settings).unwrap_or(folder).to_owned()
}

/// Modules of Maven that are built together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reactor {
    /// The outermost folder whose `pom.xml` has the module among its own.
    pub root: PathBuf,
    /// Poms of parents that are outside of `root`, which Maven reads by their path.
    pub parents: Vec<PathBuf>,
}

/// The reactor of the module in `folder`.
///
/// # Errors
/// When a `pom.xml` that decides is no XML.
pub fn reactor(folder: &Path, root: &Path) -> Result<Reactor> {
    let mut top = folder.to_owned();
    for above in up_to(folder, root).skip(1) {
        let Some(file) = maven_file(above) else { continue };
        // That of somebody else may be anything.
        if let Ok(pom) = Pom::read(&file)
            && lists(&pom, &top, root, &mut BTreeSet::new())
        {
            top = above.to_owned();
        }
    }
    let (_, mut parents) = Pom::with_parents(&folder.join(pom::NAME), root)?;
    if let Some(file) = maven_file(&top).filter(|_| top != folder) {
        parents.extend(Pom::with_parents(&file, root)?.1);
    }
    parents.retain(|parent| !parent.starts_with(&top));
    parents.sort();
    parents.dedup();
    Ok(Reactor { root: top, parents })
}

/// Whether a module is among those of a `pom.xml`, or of its modules.
fn lists(pom: &Pom, module: &Path, root: &Path, seen: &mut BTreeSet<PathBuf>) -> bool {
    pom.module_files().filter(|file| file.starts_with(root)).any(|file| {
        let is_new = seen.insert(file.clone());
        file.parent() == Some(module)
            || is_new && file.is_file() && Pom::read(&file).is_ok_and(|inner| lists(&inner, module, root, seen))
    })
}

/// The folder that everything of a build lies below: its root, or one above it that also has its parents.
pub fn common(root: &Path, others: &[PathBuf]) -> PathBuf {
    let has_all = |above: &&Path| others.iter().all(|other| other.starts_with(above));
    fsio::normalize(root, Path::new("")).ancestors().find(has_all).unwrap_or(root).to_owned()
}

/// The Java that Gradle's build in a folder compiles for, as far as its text tells: a toolchain, a release, or a
/// compatibility; with the file that says it.
pub fn gradle_java(folder: &Path) -> Option<(u8, PathBuf)> {
    const WORDS: [&str; 6] = [
        "JavaLanguageVersion.of",
        "jvmToolchain",
        "options.release",
        "targetCompatibility",
        "jvmTarget",
        "sourceCompatibility",
    ];
    let root = gradle_root(folder, Path::new("/"));
    let files =
        GRADLE_BUILDS.iter().map(|name| folder.join(name)).chain(GRADLE_BUILDS.iter().map(|name| root.join(name)));
    let texts: Vec<(PathBuf, String)> =
        files.filter_map(|file| Some((file.clone(), fsio::read_text(&file).ok()?))).collect();
    WORDS.iter().find_map(|word| {
        texts.iter().find_map(|(file, text)| {
            let behind = text.split_once(word)?.1.lines().next()?;
            let number = behind.trim_start_matches(|c: char| !c.is_ascii_digit());
            let number = number.strip_prefix("1.").or_else(|| number.strip_prefix("1_")).unwrap_or(number);
            let digits = number.split(|c: char| !c.is_ascii_digit()).next()?;
            Some((digits.parse().ok()?, file.clone()))
        })
    })
}

/// The root of the build that a folder is a module of, wherever that begins; the folder itself when it is none.
pub fn workspace(folder: &Path) -> PathBuf {
    let everywhere = Path::new("/");
    if maven_file(folder).is_some() {
        return reactor(folder, everywhere).map_or_else(|_| folder.to_owned(), |r| common(&r.root, &r.parents));
    }
    match gradle_file(folder, everywhere) {
        Some(_) => gradle_root(folder, everywhere),
        None => folder.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fsio::write_atomic(&dir.path().join(name), text.as_bytes()).unwrap();
        }
        dir
    }

    #[test]
    fn the_outermost_pom_that_has_the_module_is_the_reactor() {
        let modules = |names: &[&str]| {
            let all: String = names.iter().map(|name| format!("<module>{name}</module>")).collect();
            format!("<project><modules>{all}</modules></project>")
        };
        let leaf = "<project><parent><relativePath>../../parent</relativePath></parent></project>";
        let dir = folder(&[
            ("pom.xml", &modules(&["none"])),
            ("all/pom.xml", &modules(&["services"])),
            ("all/services/pom.xml", &modules(&["api", "../../parent"])),
            (
                "all/services/api/pom.xml",
                "<project><parent><relativePath>../../../parent</relativePath></parent></project>",
            ),
            ("parent/pom.xml", "<project/>"),
            ("alone/x/pom.xml", leaf),
        ]);
        let root = dir.path();
        let of = |path: &str| reactor(&root.join(path), root).unwrap();
        let found = of("all/services/api");
        assert_eq!((found.root, found.parents), (root.join("all"), vec![root.join("parent/pom.xml")]));
        let found = of("alone/x");
        assert_eq!(found.root, root.join("alone/x"));
        assert_eq!(common(&found.root, &found.parents), root);
        // Nothing above the project's root is looked at.
        assert_eq!(
            reactor(&root.join("all/services/api"), &root.join("all/services")).unwrap().root,
            root.join("all/services")
        );
        assert_eq!(workspace(&root.join("all/services/api")), root);
    }

    #[test]
    fn modules_that_are_each_others_end() {
        let dir = folder(&[
            ("pom.xml", "<project><modules><module>a</module></modules></project>"),
            ("a/pom.xml", "<project><modules><module>..</module></modules></project>"),
            ("b/pom.xml", "<project><parent><relativePath>.</relativePath></parent></project>"),
        ]);
        assert_eq!(reactor(&dir.path().join("b"), dir.path()).unwrap().root, dir.path().join("b"));
    }

    #[test]
    fn gradles_text_tells_its_java() {
        for (text, expected) in [
            ("java { toolchain { languageVersion = JavaLanguageVersion.of(21) } }", Some(21)),
            ("kotlin {\n  jvmToolchain(17)\n}", Some(17)),
            ("sourceCompatibility = JavaVersion.VERSION_1_8", Some(8)),
            ("targetCompatibility = '11'", Some(11)),
            ("options.release = javaVersion", None),
            ("", None),
        ] {
            let dir = folder(&[("build.gradle", text)]);
            assert_eq!(gradle_java(dir.path()).map(|(java, _)| java), expected, "{text}");
        }
    }

    #[test]
    fn gradle_begins_at_its_settings() {
        let dir = folder(&[
            ("settings.gradle.kts", ""),
            ("api/src/main/java/A.java", ""),
            ("lib/build.gradle", ""),
            ("x/y", ""),
        ]);
        let root = dir.path();
        assert_eq!(gradle_file(&root.join("api"), root), Some(root.join("settings.gradle.kts")));
        assert_eq!(gradle_file(&root.join("lib"), root), Some(root.join("lib/build.gradle")));
        assert_eq!(gradle_file(&root.join("x"), root), None);
        assert_eq!(gradle_root(&root.join("lib"), root), root);
        assert_eq!(gradle_root(&root.join("lib"), &root.join("lib")), root.join("lib"));
    }
}
