//! `pom.xml`, read as text: what it says of its module without asking Maven. Expressions (`${…}`) are only followed where
//! the properties of the module or its parents on disk say them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use roxmltree::{Document, Node, ParsingOptions};

use crate::error::{Error, Result};
use crate::fsio;

/// The file.
pub const NAME: &str = "pom.xml";
/// Parents of parents that are followed.
const MAX_PARENTS: usize = 32;
/// Elements and texts of a file that are read.
const MAX_NODES: u32 = 1_000_000;
/// An expression in the value of a property is followed so often.
const MAX_STEPS: usize = 16;

/// What a `pom.xml` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pom {
    /// The file.
    pub path: PathBuf,
    /// `artifactId`.
    pub artifact: String,
    /// `packaging`, `jar` unless it says otherwise.
    pub packaging: String,
    /// Folders or files of its modules as they are written, those of profiles among them.
    pub modules: Vec<String>,
    /// Where it says that its parent is; nothing when it has none, or says that it is in a repository.
    pub parent: Option<String>,
    /// `properties`, and those of `parent` that are not overridden.
    properties: BTreeMap<String, String>,
    /// `build/directory` and `build/outputDirectory`.
    directory: Option<String>,
    output: Option<String>,
    /// Artifact ids of its plugins.
    pub plugins: Vec<String>,
    /// `release`, `target` or `source` of its compiler plugin.
    compiler: Option<String>,
    /// `group:name` of its own dependencies, without those of tests and those that whoever runs it has.
    pub needs: Vec<String>,
    /// Versions of dependencies that no lock would accept, with their lines.
    pub floating: Vec<(usize, String)>,
}

impl Pom {
    /// Reads the file by itself.
    ///
    /// # Errors
    /// At its line and column, when it is no XML.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fsio::read_text(path)?;
        let options = ParsingOptions { nodes_limit: MAX_NODES, ..ParsingOptions::default() };
        let document = Document::parse_with_options(&text, options).map_err(|e| {
            let at = e.pos();
            let position = (at.row.max(1) as usize, at.col.max(1) as usize);
            // The reader's words end with the position, too.
            let said = e.to_string();
            let said = said.strip_suffix(&format!(" at {at}")).unwrap_or(&said);
            Error::config("this is not well-formed XML").at(path, Some(position)).because(said)
        })?;
        let root = document.root_element();
        if root.tag_name().name() != "project" {
            return Err(Error::config("this is no project of Maven: it has no `<project>`").at(path, Some((1, 1))));
        }
        Ok(Self::of(root, path, &document))
    }

    fn of(root: Node<'_, '_>, path: &Path, document: &Document<'_>) -> Self {
        let parent = child(root, "parent").map(|parent| text(parent, "relativePath").unwrap_or("../pom.xml".into()));
        let build = child(root, "build");
        let profiles = || child(root, "profiles").into_iter().flat_map(|profiles| elements(profiles, "profile"));
        let modules = |of: Node<'_, '_>| -> Vec<String> {
            let all = child(of, "modules").into_iter().flat_map(|modules| elements(modules, "module"));
            all.filter_map(|module| Some(module.text()?.trim().to_owned())).collect()
        };
        let properties = child(root, "properties").into_iter().flat_map(|all| all.children().filter(Node::is_element));
        let plugins: Vec<Node<'_, '_>> = build
            .and_then(|build| child(build, "plugins"))
            .map(|plugins| elements(plugins, "plugin").collect())
            .unwrap_or_default();
        let managed = build
            .and_then(|build| child(build, "pluginManagement"))
            .and_then(|managed| child(managed, "plugins"))
            .into_iter()
            .flat_map(|plugins| elements(plugins, "plugin"));
        let is_compiler =
            |plugin: &Node<'_, '_>| text(*plugin, "artifactId").as_deref() == Some("maven-compiler-plugin");
        let compiler = plugins.iter().copied().chain(managed).filter(is_compiler).find_map(|plugin| {
            let configuration = child(plugin, "configuration")?;
            ["release", "target", "source"].iter().find_map(|name| text(configuration, name))
        });
        Self {
            path: path.to_owned(),
            artifact: text(root, "artifactId").unwrap_or_default(),
            packaging: text(root, "packaging").unwrap_or_else(|| "jar".to_owned()),
            modules: modules(root).into_iter().chain(profiles().flat_map(modules)).collect(),
            parent: parent.filter(|path| !path.is_empty()),
            properties: properties
                .map(|property| {
                    (property.tag_name().name().to_owned(), property.text().unwrap_or("").trim().to_owned())
                })
                .collect(),
            directory: build.and_then(|build| text(build, "directory")),
            output: build.and_then(|build| text(build, "outputDirectory")),
            plugins: plugins.iter().filter_map(|plugin| text(*plugin, "artifactId")).collect(),
            compiler,
            needs: needs(root),
            floating: floating(root, document),
        }
    }

    /// The folder that it is in.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    /// The `pom.xml` of its parent, when that is on disk and below `root`.
    pub fn parent_file(&self, root: &Path) -> Option<PathBuf> {
        let named = fsio::normalize(self.folder(), Path::new(self.parent.as_deref()?));
        let file = if named.is_dir() { named.join(NAME) } else { named };
        (file.is_file() && file.starts_with(root)).then_some(file)
    }

    /// The files of its modules.
    pub fn module_files(&self) -> impl Iterator<Item = PathBuf> {
        self.modules.iter().map(|module| {
            let named = fsio::normalize(self.folder(), Path::new(module));
            if named.is_file() { named } else { named.join(NAME) }
        })
    }

    /// Reads the file, and what its parents below `root` say where it says nothing.
    ///
    /// # Errors
    /// When one of them is no XML.
    pub fn with_parents(path: &Path, root: &Path) -> Result<(Self, Vec<PathBuf>)> {
        let mut pom = Self::read(path)?;
        let mut parents: Vec<PathBuf> = Vec::new();
        let mut next = pom.parent_file(root);
        while let Some(file) =
            next.filter(|file| file != path && !parents.contains(file) && parents.len() < MAX_PARENTS)
        {
            let parent = Self::read(&file)?;
            next = parent.parent_file(root);
            for (name, value) in parent.properties {
                pom.properties.entry(name).or_insert(value);
            }
            pom.directory = pom.directory.or(parent.directory);
            pom.output = pom.output.or(parent.output);
            pom.compiler = pom.compiler.or(parent.compiler);
            pom.plugins.extend(parent.plugins);
            pom.floating.extend(parent.floating);
            parents.push(file);
        }
        Ok((pom, parents))
    }

    /// A text with the properties that are known put in.
    fn value(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for _ in 0..MAX_STEPS {
            let Some((before, rest)) = out.split_once("${") else { break };
            let Some((name, after)) = rest.split_once('}') else { break };
            let known = match name {
                "project.basedir" | "basedir" => Some("."),
                "project.build.directory" => self.directory.as_deref().or(Some("target")),
                "project.artifactId" => Some(self.artifact.as_str()),
                name => self.properties.get(name).map(String::as_str),
            };
            let Some(known) = known else { break };
            out = format!("{before}{known}{after}");
        }
        out
    }

    /// The folder that its classes are compiled to, below its own.
    pub fn classes(&self) -> PathBuf {
        let written = self.output.clone().unwrap_or_else(|| "${project.build.directory}/classes".to_owned());
        fsio::normalize(Path::new(""), Path::new(&self.value(&written)))
    }

    /// The version of Java that it is compiled for, if it says so.
    pub fn java(&self) -> Option<u8> {
        let names = ["maven.compiler.release", "maven.compiler.target", "java.version", "maven.compiler.source"];
        let written =
            self.compiler.clone().or_else(|| names.iter().find_map(|name| self.properties.get(*name).cloned()))?;
        let value = self.value(&written);
        value.strip_prefix("1.").unwrap_or(&value).parse().ok()
    }
}

fn needs(root: Node<'_, '_>) -> Vec<String> {
    let all = child(root, "dependencies").into_iter().flat_map(|all| elements(all, "dependency"));
    let is_packed =
        |one: &Node<'_, '_>| !matches!(text(*one, "scope").as_deref(), Some("test" | "provided" | "system"));
    all.filter(is_packed)
        .filter_map(|one| Some(format!("{}:{}", text(one, "groupId")?, text(one, "artifactId")?)))
        .collect()
}

/// Versions that are another from day to day: snapshots, ranges, and words for the newest.
fn floating(root: Node<'_, '_>, document: &Document<'_>) -> Vec<(usize, String)> {
    let dependencies = root.descendants().filter(|node| node.tag_name().name() == "dependency");
    let versions = dependencies.filter_map(|dependency| child(dependency, "version"));
    let is_floating = |text: &str| {
        text.starts_with(['[', '(']) || text.ends_with("-SNAPSHOT") || matches!(text, "LATEST" | "RELEASE")
    };
    versions
        .filter_map(|version| Some((version, version.text()?.trim())))
        .filter(|(_, text)| is_floating(text))
        .map(|(version, text)| (document.text_pos_at(version.range().start).row as usize, text.to_owned()))
        .collect()
}

fn elements<'a, 'i>(of: Node<'a, 'i>, name: &'static str) -> impl Iterator<Item = Node<'a, 'i>> {
    of.children().filter(move |node| node.tag_name().name() == name)
}

fn child<'a, 'i>(of: Node<'a, 'i>, name: &'static str) -> Option<Node<'a, 'i>> {
    elements(of, name).next()
}

/// The text of a child, which may be empty.
fn text(of: Node<'_, '_>, name: &'static str) -> Option<String> {
    child(of, name).map(|node| node.text().unwrap_or("").trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pom(text: &str) -> Result<Pom> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        fsio::write_atomic(&path, text.as_bytes()).unwrap();
        Pom::read(&path)
    }

    #[test]
    fn what_a_module_says_of_itself() {
        let read = pom(
            "<project xmlns='http://maven.apache.org/POM/4.0.0'><artifactId> api </artifactId><parent><artifactId>p</artifactId>\
             </parent><modules><module>a</module></modules><properties><java.version>21</java.version>\
             <maven.compiler.release>${java.version}</maven.compiler.release><out>o</out></properties>\
             <build><outputDirectory>${project.build.directory}/${out}</outputDirectory><plugins><plugin>\
             <artifactId>maven-shade-plugin</artifactId></plugin></plugins></build><profiles><profile><modules><module>b\
             </module></modules></profile></profiles><dependencies><dependency><version>[1,2)</version></dependency>\
             <dependency><version>1.0</version></dependency></dependencies></project>",
        )
        .unwrap();
        assert_eq!((read.artifact.as_str(), read.packaging.as_str()), ("api", "jar"));
        assert_eq!((read.modules.as_slice(), read.java()), (&["a".to_owned(), "b".to_owned()][..], Some(21)));
        assert_eq!((read.parent.as_deref(), read.classes()), (Some("../pom.xml"), PathBuf::from("target/o")));
        assert_eq!(
            (read.plugins, read.floating),
            (vec!["maven-shade-plugin".to_owned()], vec![(1, "[1,2)".to_owned())])
        );
    }

    #[test]
    fn the_compilers_own_setting_decides_and_old_numbers_are_read() {
        let plugin = "<project><properties><java.version>21</java.version></properties><build><pluginManagement><plugins><plugin>\
                      <artifactId>maven-compiler-plugin</artifactId><configuration><target>1.8</target></configuration>\
                      </plugin></plugins></pluginManagement></build></project>";
        assert_eq!(pom(plugin).unwrap().java(), Some(8));
        assert_eq!(
            pom("<project><properties><java.version>${x}</java.version></properties></project>").unwrap().java(),
            None
        );
        assert_eq!(
            pom("<project><properties><a>${b}</a><b>${a}</b></properties></project>").unwrap().value("${a}").len(),
            4
        );
    }

    #[test]
    fn what_is_no_pom_says_where() {
        let error = pom("<project>\n  <a></b>\n</project>").unwrap_err().to_string();
        assert!(error.contains("pom.xml:2:6: this is not well-formed XML"), "{error}");
        assert!(pom("<html/>").unwrap_err().to_string().contains("no project of Maven"));
    }
}
