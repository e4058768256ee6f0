//! Bundles: esbuild makes one file of a function's sources and the packages that these import; what it leaves outside stays a
//! package.
//!
//! ```text
//! lock ──► packages, and those for development that the sources name ──► scratch/p/node_modules (modules)
//! project's files ──► links to them (shadow) ─────────────────────────► scratch/p
//! lock ──► esbuild for this machine (program) ──► run in scratch/p/<function> ──► files, and what it has read (metafile)
//! imports that stay outside ──► packages of the lock, as without a bundle
//! ```
//!
//! Nothing is installed, and an installed `node_modules` of the project is not looked at, so that the same lock gives the same
//! bytes everywhere: all that esbuild writes of paths is relative to the function's folder.

mod metafile;
mod modules;
mod program;
mod shadow;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use self::metafile::Metafile;
use self::modules::Modules;
pub(super) use self::program::{Program, in_lock};
use super::graph::Wanted;
use super::lock::Lock;
use super::manifest::Manifest;
use crate::error::{Error, Result};
use crate::fsio;
use crate::lambda::{self, Family};
use crate::process::{Failure, Tool, last_lines};
use crate::project::{AwsSdk, Bundle, bundle_handler};
use crate::resolve::{Package, Request};
use crate::store::Store;
use crate::tree::{ArchivePath, Entry, Tree};

/// Where esbuild writes to, below the function's folder in the scratch folder.
const OUT: &str = ".lambda-pack-out";
/// Modules for Node.js have no `require`, which packages in a bundle may want.
const REQUIRE: &str =
    "--banner:js=import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);";
/// Endings of sources, in the order in which they are looked for.
const EXTENSIONS: [&str; 8] = ["ts", "tsx", "mts", "cts", "js", "jsx", "mjs", "cjs"];

/// The folder whose `package.json` is a function's: its own or the nearest above it in the project.
pub(super) fn package_folder(request: &Request<'_>) -> PathBuf {
    let folder = &request.function.path;
    let above = folder.ancestors().take_while(|above| above.starts_with(request.project_root));
    above.into_iter().find(|above| above.join("package.json").is_file()).unwrap_or(folder).to_owned()
}

/// Packages for development, and those of the lock's own folder, that the project's sources name.
pub(super) fn named(
    request: &Request<'_>,
    manifest: &Manifest,
    lock: &Lock,
    importer: &str,
) -> Result<BTreeSet<String>> {
    let mut names: BTreeSet<&String> = manifest.needs.dev.keys().collect();
    if !importer.is_empty()
        && let Some(root) = lock.get("")
    {
        names.extend(root.needs.required.keys().chain(root.needs.optional.keys()));
    }
    let root_manifest = Manifest::read(&lock.folder.join("package.json")).unwrap_or_default();
    names.extend(root_manifest.needs.dev.keys());
    let own =
        |name: &&&String| manifest.needs.required.contains_key(**name) || manifest.needs.optional.contains_key(**name);
    let wanted: Vec<&String> = names.iter().filter(|name| !own(name)).copied().collect();
    let texts = shadow::sources(request)?;
    let is_named = |name: &str| {
        ['"', '\'', '`'].iter().any(|quote| {
            let start = format!("{quote}{name}");
            texts.iter().any(|text| {
                text.match_indices(&start).any(|(at, _)| text[at + start.len()..].starts_with([*quote, '/']))
            })
        })
    };
    Ok(wanted.into_par_iter().filter(|name| is_named(name)).cloned().collect())
}

/// What the lock has of these names for an importer.
pub(super) fn slots(lock: &Lock, importer: &str, names: &BTreeSet<String>) -> BTreeMap<String, String> {
    let find = |name: &String| lock.find(importer, name).or_else(|| lock.find("", name)).map(str::to_owned);
    names.iter().filter_map(|name| Some((name.clone(), find(name)?))).collect()
}

/// What esbuild has made.
pub(super) struct Bundled {
    /// The files.
    pub(super) built: Tree,
    /// Names of packages that are imported and stay outside.
    pub(super) outside: BTreeSet<String>,
    /// Files of the project that decide.
    pub(super) inputs: Vec<PathBuf>,
    /// Bytes of the bundle by the path of the package that they are from, such as `node_modules/a`; empty for own code.
    pub(super) sizes: BTreeMap<String, u64>,
}

/// Bundles a function. `packages` are what its sources may import.
pub(super) fn run(
    request: &Request<'_>,
    bundle: &Bundle,
    packages: &[Package],
    program: &Program<'_>,
    store: &Store,
) -> Result<Bundled> {
    let modules = Modules::new(packages, store, |path| !is_never_read(path, bundle))?;
    // Files of the store that somebody has changed are unpacked again, once.
    match run_once(request, bundle, &modules, program)? {
        Some(bundled) => Ok(bundled),
        None => run_once(request, bundle, &modules, program)?
            .ok_or_else(|| Error::failed("files of packages change while they are bundled")),
    }
}

/// Bundles a function; nothing if files of packages were not what they have to be.
fn run_once(
    request: &Request<'_>,
    bundle: &Bundle,
    modules: &Modules<'_>,
    program: &Program<'_>,
) -> Result<Option<Bundled>> {
    let scratch = fsio::scratch_dir()?;
    let root = scratch.path().join("p");
    shadow::make(request, &root)?;
    modules.place(&root)?;
    let below = request.function.path.strip_prefix(request.project_root).unwrap_or(Path::new(""));
    let at = root.join(below);
    let call = Call { request, bundle, at: &at };
    let flags = call.flags()?;
    let meta = scratch.path().join("meta.json");
    let binary = program.place(scratch.path())?;
    let tool =
        Tool::new(binary).args(&flags).arg(format!("--metafile={}", meta.display())).cwd(&at).env_remove("NODE_PATH");
    if let Err(failure) = tool.run() {
        return if modules.are_whole(&root, &[]) { Err(call.failed(failure)) } else { Ok(None) };
    }
    let metafile = Metafile::read(&meta)?;
    if !modules.are_whole(&root, &metafile.of_packages(below)) {
        return Ok(None);
    }
    let mut built = Tree::new();
    for entry in walkdir::WalkDir::new(at.join(OUT)).sort_by_file_name() {
        let entry = entry.map_err(|e| Error::failed("Failed to read what esbuild wrote").because(e))?;
        if !entry.file_type().is_file() {
            continue;
        }
        let path = entry.path().strip_prefix(at.join(OUT)).unwrap_or(entry.path()).to_string_lossy().replace('\\', "/");
        let path = ArchivePath::new(&path)
            .map_err(|problem| Error::failed(format!("esbuild wrote {path:?}, which {problem}")))?;
        built.insert(path, Entry::bytes(fsio::read_bounded(entry.path(), 1 << 30)?, false));
    }
    Ok(Some(Bundled {
        outside: metafile.outside(),
        inputs: deciding(request, &metafile.inputs(below)),
        sizes: metafile.sizes(below),
        built,
    }))
}

/// Files that decide beside those that were read: others of the same name that would have come first, and what configures
/// each folder.
fn deciding(request: &Request<'_>, read: &[PathBuf]) -> Vec<PathBuf> {
    let mut out = BTreeSet::new();
    for path in read.iter().map(|path| request.project_root.join(path)) {
        out.extend(EXTENSIONS.iter().map(|extension| path.with_extension(extension)));
        let folders = path.ancestors().skip(1).take_while(|above| above.starts_with(request.project_root));
        out.extend(folders.flat_map(|folder| ["package.json", "tsconfig.json"].map(|name| folder.join(name))));
        out.insert(path);
    }
    out.into_iter().collect()
}

/// Files of packages that no bundle is made of.
fn is_never_read(path: &str, bundle: &Bundle) -> bool {
    let ends = |endings: &[&str]| endings.iter().any(|ending| path.ends_with(ending));
    ends(&[".d.ts", ".d.mts", ".d.cts", ".md"])
        || (bundle.sourcemap.is_none() && ends(&[".js.map", ".mjs.map", ".cjs.map"]))
}

struct Call<'c> {
    request: &'c Request<'c>,
    bundle: &'c Bundle,
    at: &'c Path,
}

impl Call<'_> {
    fn flags(&self) -> Result<Vec<String>> {
        let (bundle, function) = (self.bundle, self.request.function);
        let handler = function.handler.clone().or_else(|| bundle_handler(&function.path, bundle).ok());
        let module = handler.as_deref().map(module_of);
        let entries = match (bundle.entries.is_empty(), &module) {
            (false, _) => bundle.entries.clone(),
            (true, Some(module)) => vec![self.entry(module)?],
            (true, None) => return Err(self.no_entry("no handler is named, and none was found")),
        };
        let is_named = module.is_some_and(|module| entries.iter().any(|entry| stem(entry) == module));
        let is_esm = match &bundle.format {
            Some(format) => format == "esm",
            None => self.is_module(&entries),
        };
        let mut flags: Vec<String> = entries.iter().map(|entry| format!("./{entry}")).collect();
        flags.extend(
            ["--bundle", "--platform=node", "--log-level=error", "--color=false", "--preserve-symlinks"]
                .map(str::to_owned),
        );
        flags.push(format!("--outdir={OUT}"));
        flags.push(format!("--format={}", if is_esm { "esm" } else { bundle.format.as_deref().unwrap_or("cjs") }));
        if is_named {
            // The handler names the file with its folder.
            flags.push("--outbase=.".to_owned());
        }
        if let (false, Family::Node { major }) = (bundle.has("target"), self.request.runtime.family) {
            flags.push(format!("--target=node{major}"));
        }
        if is_esm && !bundle.has("out-extension") {
            flags.push("--out-extension:.js=.mjs".to_owned());
        }
        if is_esm && !bundle.has("banner") {
            flags.push(REQUIRE.to_owned());
        }
        match bundle.sourcemap.as_deref() {
            None => {}
            Some("linked") => flags.push("--sourcemap".to_owned()),
            Some(kind) => flags.push(format!("--sourcemap={kind}")),
        }
        flags.extend(bundle.external.iter().map(|name| format!("--external:{name}")));
        flags.extend(of_runtime(self.request).iter().map(|name| format!("--external:{name}")));
        flags.extend(bundle.flags.iter().cloned());
        Ok(flags)
    }

    /// The source of a handler's module.
    fn entry(&self, module: &str) -> Result<String> {
        let candidates = EXTENSIONS.iter().map(|extension| format!("{module}.{extension}"));
        let found = { candidates }.find(|file| self.at.join(file).is_file());
        found.ok_or_else(|| {
            self.no_entry(&format!(
                "the handler names `{module}`, of which there is no source (.{})",
                EXTENSIONS.join(", .")
            ))
        })
    }

    fn no_entry(&self, what: &str) -> Error {
        Error::config(format!("function `{}` cannot be bundled: {what}", self.request.function.name))
            .hint("name the source file with `entry` in its `bundle`, or correct the handler")
    }

    /// Whether sources are modules by their name or their `package.json`.
    fn is_module(&self, entries: &[String]) -> bool {
        if entries.iter().any(|entry| entry.ends_with(".mts") || entry.ends_with(".mjs")) {
            return true;
        }
        if entries.iter().any(|entry| entry.ends_with(".cts") || entry.ends_with(".cjs")) {
            return false;
        }
        let text = fsio::read_text(&package_folder(self.request).join("package.json")).unwrap_or_default();
        let manifest: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        manifest.get("type").and_then(|kind| kind.as_str()) == Some("module")
    }

    fn failed(&self, failure: Failure) -> Error {
        let what = format!("esbuild cannot bundle function `{}`", self.request.function.name);
        let stderr = match failure {
            Failure::NotStarted(error) => return error.context(what),
            Failure::Status { stderr, .. } => stderr,
        };
        let error = Error::failed(what).because(last_lines(&stderr, 30));
        let missing = stderr.split("Could not resolve \"").nth(1).and_then(|rest| rest.split('"').next());
        if let Some(name) = missing.filter(|name| !name.starts_with('.')) {
            return error.hint(format!(
                "add `{name}` to the dependencies and the lock, or, if the runtime or a layer has it, to `external` of the function's `bundle`"
            ));
        }
        if stderr.contains("No loader is configured for \".node\"") {
            return error.hint("machine code stays in its package: name the package that loads it in `external` of the function's `bundle`");
        }
        if stderr.contains("Top-level await") {
            return error.hint("set `format = \"esm\"` in the function's `bundle`");
        }
        error
    }
}

/// Patterns of what the runtime brings itself, if it is left to it.
fn of_runtime(request: &Request<'_>) -> Vec<String> {
    let sdk = lambda::sdk(request.runtime).filter(|_| request.function.aws_sdk == AwsSdk::Runtime);
    let packages = sdk.map(|sdk| sdk.packages).unwrap_or_default();
    packages.iter().map(|name| if name.ends_with('/') { format!("{name}*") } else { (*name).to_owned() }).collect()
}

/// `src/app` of `src/app.handler`.
fn module_of(handler: &str) -> String {
    let (folder, base) = handler.rsplit_once('/').map_or(("", handler), |(folder, base)| (folder, base));
    let file = base.split('.').next().unwrap_or(base);
    let folder = folder.trim_start_matches("./");
    if folder.is_empty() { file.to_owned() } else { format!("{folder}/{file}") }
}

/// A path without its ending.
fn stem(path: &str) -> String {
    Path::new(path).with_extension("").to_string_lossy().into_owned()
}

/// The packages that stay outside: what the bundle imports, and what the config names that the function depends on.
pub(super) struct Outside {
    pub(super) wanted: Wanted,
    /// What a person should know.
    pub(super) notes: Vec<String>,
}

/// Finds them in the lock.
pub(super) fn outside(request: &Request<'_>, bundled: &Bundled, lock: &Lock, importer: &str) -> Outside {
    let needs = lock.get(importer).map(|entry| entry.needs.clone()).unwrap_or_default();
    let is_own = |name: &String| {
        needs.required.contains_key(name) || needs.optional.contains_key(name) || needs.peer.contains_key(name)
    };
    let named = request.function.bundle.iter().flat_map(|bundle| &bundle.external).filter(|name| is_own(name));
    let names: BTreeSet<String> = bundled.outside.iter().chain(named).cloned().collect();
    let sdk = lambda::sdk(request.runtime);
    let left = |name: &String| request.function.aws_sdk == AwsSdk::Runtime && sdk.is_some_and(|sdk| sdk.has(name));
    let names: BTreeSet<String> = names.into_iter().filter(|name| !left(name)).collect();
    let (only, others): (BTreeSet<String>, BTreeSet<String>) = names.into_iter().partition(is_own);
    let more = slots(lock, importer, &others);
    let missing =
        others.iter().filter(|name| !more.contains_key(*name)).filter(|name| !sdk.is_some_and(|sdk| sdk.has(name)));
    let notes = missing.map(|name| {
        format!("The bundle imports `{name}`, which stays outside and is no package of the lock: it has to come from a layer, or from nowhere if it is optional.")
    });
    let notes = notes.collect();
    Outside { wanted: Wanted { more, only: Some(only) }, notes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handlers_name_modules() {
        for (handler, module) in [("app.handler", "app"), ("src/app.a.b", "src/app"), ("./x/y.z", "x/y")] {
            assert_eq!(module_of(handler), module);
        }
        assert_eq!(stem("src/app.ts"), "src/app");
    }
}
