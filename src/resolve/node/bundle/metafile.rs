//! What esbuild says that it has read and written (`--metafile`). Paths are relative to the folder that it ran in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::super::manifest::parse_json;
use crate::error::Result;
use crate::fsio;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Metafile {
    inputs: BTreeMap<String, serde_json::Value>,
    outputs: BTreeMap<String, Output>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Output {
    inputs: BTreeMap<String, Share>,
    imports: Vec<Import>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Share {
    bytes_in_output: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Import {
    path: String,
    external: bool,
}

/// Modules that are part of Node.js (`module.builtinModules` of Node.js 24).
const BUILT_IN: &[&str] = &[
    "assert",
    "async_hooks",
    "buffer",
    "child_process",
    "cluster",
    "console",
    "constants",
    "crypto",
    "dgram",
    "diagnostics_channel",
    "dns",
    "domain",
    "events",
    "fs",
    "http",
    "http2",
    "https",
    "inspector",
    "module",
    "net",
    "os",
    "path",
    "perf_hooks",
    "process",
    "punycode",
    "querystring",
    "readline",
    "repl",
    "stream",
    "string_decoder",
    "sys",
    "timers",
    "tls",
    "trace_events",
    "tty",
    "url",
    "util",
    "v8",
    "vm",
    "wasi",
    "worker_threads",
    "zlib",
];

impl Metafile {
    pub(super) fn read(path: &Path) -> Result<Self> {
        parse_json(&fsio::read_text(path)?, path)
    }

    /// Names of packages that the bundle imports and does not hold.
    pub(super) fn outside(&self) -> BTreeSet<String> {
        let imports = self.outputs.values().flat_map(|output| &output.imports).filter(|import| import.external);
        let names = imports.filter_map(|import| package_of(&import.path));
        names.filter(|name| !BUILT_IN.contains(name)).map(str::to_owned).collect()
    }

    /// The project's own files that were read, relative to the project; `below` is the folder that esbuild ran in.
    pub(super) fn inputs(&self, below: &Path) -> Vec<PathBuf> {
        let paths = self.inputs.keys().map(|path| fsio::normalize(below, Path::new(path)));
        paths.filter(|path| !path.iter().any(|part| part == "node_modules")).collect()
    }

    /// Files of packages that were read, relative to the project.
    pub(super) fn of_packages(&self, below: &Path) -> Vec<String> {
        let paths = self.inputs.keys().map(|path| fsio::normalize(below, Path::new(path)));
        let paths = paths.map(|path| path.to_string_lossy().replace('\\', "/"));
        paths.filter(|path| path.starts_with("node_modules/")).collect()
    }

    /// Bytes in the bundle by the path of the package that they are from; empty for own code.
    pub(super) fn sizes(&self, below: &Path) -> BTreeMap<String, u64> {
        let mut out = BTreeMap::new();
        for (path, share) in self.outputs.values().flat_map(|output| &output.inputs) {
            let path = fsio::normalize(below, Path::new(path)).to_string_lossy().replace('\\', "/");
            *out.entry(folder_of(&path).to_owned()).or_default() += share.bytes_in_output;
        }
        out
    }
}

/// `@s/a` of `@s/a/lib/x.js`; nothing for what is no package.
fn package_of(path: &str) -> Option<&str> {
    if path.starts_with(['.', '/']) || path.contains(':') {
        return None;
    }
    let mut slashes = path.match_indices('/').map(|(at, _)| at);
    let end = if path.starts_with('@') { slashes.nth(1) } else { slashes.next() };
    Some(&path[..end.unwrap_or(path.len())])
}

/// `node_modules/a/node_modules/@s/b` of a file in that package.
fn folder_of(path: &str) -> &str {
    const FOLDER: &str = "node_modules/";
    let Some(at) = path.rfind("/node_modules/").map(|at| at + 1).or_else(|| path.starts_with(FOLDER).then_some(0))
    else {
        return "";
    };
    let start = at + FOLDER.len();
    let name = package_of(&path[start..]).unwrap_or(&path[start..]);
    &path[..start + name.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metafile_is_read() {
        let text = r#"{"inputs": {"index.ts": {"bytes": 1}, "../common/x.ts": {}, "../../node_modules/a/i.js": {}},
            "outputs": {".out/index.js": {"bytes": 9, "imports": [{"path": "node:fs", "external": true}, {"path": "fs/promises", "external": true},
            {"path": "@s/n/x", "external": true}, {"path": "sharp", "external": true}, {"path": "chunk.js"}],
            "inputs": {"index.ts": {"bytesInOutput": 3}, "../../node_modules/a/i.js": {"bytesInOutput": 4},
            "../../node_modules/a/node_modules/@s/b/x/y.js": {"bytesInOutput": 5}}}}}"#;
        let metafile: Metafile = serde_json::from_str(text).unwrap();
        let below = Path::new("packages/api");
        assert_eq!(metafile.outside().into_iter().collect::<Vec<_>>(), ["@s/n", "sharp"]);
        let inputs: Vec<_> = metafile.inputs(below).iter().map(|path| path.display().to_string()).collect();
        assert_eq!(inputs, ["packages/common/x.ts", "packages/api/index.ts"]);
        let sizes: Vec<_> = metafile.sizes(below).into_iter().collect();
        let sizes: Vec<_> = sizes.iter().map(|(path, bytes)| (path.as_str(), *bytes)).collect();
        assert_eq!(sizes, [("", 3), ("node_modules/a", 4), ("node_modules/a/node_modules/@s/b", 5)]);
    }
}
