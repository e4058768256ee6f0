//! `handler-not-found`, `handler-malformed`, `bootstrap-missing`, `bootstrap-not-executable`.
//!
//! How each runtime reads its handler is in "Define Lambda function handler" for each language in the AWS Lambda Developer
//! Guide and in the runtime interface clients (awslambdaric for Python, aws-lambda-ric for Node.js). The name inside the
//! file is looked for as a word; where a file gets its names from elsewhere (`from x import *`, `module.exports =
//! require(…)`), nothing is said.

use super::Subject;
use crate::finding::{Finding, Rule};
use crate::lambda::{self, Family};
use crate::tree::{Entry, Tree};

/// Handler files larger than this (bundles) are not searched for the name.
const MAX_SOURCE: u64 = 16 << 20;

pub(super) fn check_handler(subject: &Subject<'_>) -> Vec<Finding> {
    if subject.tree.files() == 0 {
        return Vec::new(); // `empty-package` says it
    }
    if subject.runtime.is_provided() {
        return check_bootstrap(subject);
    }
    let Some(handler) = subject.handler else { return Vec::new() };
    if handler.is_empty() || handler.chars().count() > lambda::HANDLER_LENGTH || handler.contains(char::is_whitespace) {
        return vec![malformed(
            format!(
                "Value '{handler}' at 'handler' failed to satisfy constraint: Member must satisfy regular expression pattern [^\\s]+ and have length less than or equal to 128"
            ),
            "a handler has 1 to 128 characters and no white space",
        )];
    }
    let mut findings = match subject.runtime.family {
        Family::Python { .. } => check_python(subject.tree, handler),
        Family::Node { major } => check_node(subject.tree, handler, major),
        Family::Ruby { .. } => check_ruby(subject.tree, handler),
        Family::Java { .. } => super::java::check_handler(subject, handler),
        Family::Dotnet => super::dotnet::check_handler(subject, handler),
        Family::Go | Family::Provided => Vec::new(),
    };
    if !subject.opt_is_known || is_in_layer(subject, handler) {
        findings.retain(|finding| finding.rule != Rule::HandlerNotFound);
    }
    findings
}

/// Whether the handler's module comes from a layer.
fn is_in_layer(subject: &Subject<'_>, handler: &str) -> bool {
    let Family::Python { minor, .. } = subject.runtime.family else { return false };
    let module = handler.rsplit_once('.').map_or(handler, |(module, _)| module).replace('.', "/");
    let folders = ["python".to_owned(), format!("python/lib/python3.{minor}/site-packages")];
    let is_there = |folder: &String| {
        subject.opt.contains(&format!("{folder}/{module}.py"))
            || subject.opt.contains(&format!("{folder}/{module}/__init__.py"))
    };
    // What the function has itself comes first, with what is wrong with it.
    let own = [format!("{module}.py"), format!("{module}/__init__.py")];
    folders.iter().any(is_there) && !own.iter().any(|path| subject.tree.contains(path))
}

pub(super) fn malformed(message: String, hint: &str) -> Finding {
    Finding::new(Rule::HandlerMalformed, message, hint)
}

pub(super) fn not_found(message: String, hint: String) -> Finding {
    Finding::new(Rule::HandlerNotFound, message, hint)
}

fn check_bootstrap(subject: &Subject<'_>) -> Vec<Finding> {
    // That in the function comes first.
    match subject.tree.get("bootstrap").or_else(|| subject.opt.get("bootstrap")) {
        Some(Entry::File { executable: true, .. } | Entry::Symlink { .. }) => Vec::new(),
        Some(Entry::File { .. }) => vec![
            Finding::new(
                Rule::BootstrapNotExecutable,
                "Runtime.InvalidEntrypoint: fork/exec /var/task/bootstrap: permission denied",
                "make it executable: `chmod +x bootstrap`",
            )
            .path("bootstrap"),
        ],
        _ if !subject.opt_is_known => Vec::new(), // It may be in a layer that exists.
        _ => vec![Finding::new(
            Rule::BootstrapMissing,
            "Runtime.InvalidEntrypoint: Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]",
            "put an executable file named `bootstrap` at the root of the function's folder, or point `path` at the folder that has it",
        )],
    }
}

/// awslambdaric: `rsplit(".", 1)`, then `/` becomes `.` and the module is imported.
fn check_python(tree: &Tree, handler: &str) -> Vec<Finding> {
    let Some((module, function)) = handler.rsplit_once('.').filter(|(m, f)| !m.is_empty() && !f.is_empty()) else {
        return vec![malformed(
            format!("Bad handler '{handler}': not enough values to unpack (expected 2, got 1)"),
            "write it as `file.function`, for example `app.handler`",
        )];
    };
    let path = module.replace('.', "/");
    let candidates = [format!("{path}.py"), format!("{path}/__init__.py")];
    let Some(file) = candidates.iter().find(|c| tree.contains(c)) else {
        if has_extension_module(tree, &path) {
            return Vec::new();
        }
        let dotted = path.replace('/', ".");
        return vec![not_found(
            format!(
                "Unable to import module '{module}': No module named '{dotted}' (looked for {})",
                quoted(&candidates)
            ),
            nearest_hint(tree, &candidates[0], ".py", |file| {
                format!("{}.{function}", file.trim_end_matches(".py").replace('/', "."))
            }),
        )];
    };
    let indirect = |text: &str| {
        text.contains("import *")
            || text.contains("__getattr__")
            || text.contains("globals()")
            || text.contains("exec(")
    };
    missing_name(tree, file, function, indirect)
        .map(|finding| Finding { message: format!("Handler '{function}' missing on module '{module}'"), ..finding })
        .into_iter()
        .collect()
}

/// A module that is compiled: `app.cpython-313-x86_64-linux-gnu.so`, `app.abi3.so`, `app.so`.
fn has_extension_module(tree: &Tree, path: &str) -> bool {
    let prefix = format!("{path}.");
    tree.iter().any(|(p, _)| p.as_str().starts_with(&prefix) && p.as_str().ends_with(".so"))
}

/// aws-lambda-ric: the base name up to its first dot is the file, the rest the export.
fn check_node(tree: &Tree, handler: &str, major: u8) -> Vec<Finding> {
    let (folder, base) = handler.rsplit_once('/').map_or(("", handler), |(folder, base)| (folder, base));
    if handler.split('/').any(|part| part == "..") {
        return vec![malformed(
            format!(
                "'{handler}' is not a valid handler name. Use absolute paths when specifying root directories in handler names."
            ),
            "a handler stays within the package: remove the `..`",
        )];
    }
    let Some((file, export)) = base.split_once('.').filter(|(f, e)| !f.is_empty() && !e.is_empty()) else {
        return vec![malformed(
            format!("Bad handler: '{handler}' has no dot between file and export"),
            "write it as `file.export`, for example `index.handler`",
        )];
    };
    let folder = folder.trim_start_matches("./").trim_matches('/');
    let module = if folder.is_empty() || folder == "." { file.to_owned() } else { format!("{folder}/{file}") };
    // From Node.js 24 on a folder is imported before a file beside it, as aws-lambda-ric 4 does.
    if major >= 24 && tree.contains_folder(&module) {
        return vec![not_found(
            format!("Error: Directory import '/var/task/{module}' is not supported resolving ES modules"),
            format!(
                "Lambda's client takes the folder `{module}` for the module, also where `{module}.js` is: name the file that is meant, such as \
                 `{module}/index.{export}`, or give one of them another name"
            ),
        )];
    }
    let candidates: Vec<String> = ["", ".js", ".mjs", ".cjs", "/index.js", "/package.json"]
        .iter()
        .map(|suffix| format!("{module}{suffix}"))
        .collect();
    let Some(found) = candidates.iter().find(|c| tree.contains(c)) else {
        if tree.contains_folder(&format!("node_modules/{module}")) {
            return Vec::new();
        }
        return vec![not_found(
            format!(
                "Runtime.ImportModuleError: Error: Cannot find module '{module}' (looked for {})",
                quoted(&candidates[1..4])
            ),
            typescript_hint(tree, &module).unwrap_or_else(|| {
                nearest_hint(tree, &candidates[1], "js", |file| {
                    format!("{}.{export}", file.rsplit_once('.').map_or(file, |(stem, _)| stem))
                })
            }),
        )];
    };
    if found.ends_with("/package.json") {
        return Vec::new();
    }
    let name = export.split('.').next().unwrap_or(export);
    // Bundles and CommonJS modules that re-export are not searched: their names come from elsewhere.
    let indirect = |text: &str| {
        text.contains("export *")
            || text.contains("module.exports = require")
            || text.contains("__exportStar")
            || text.contains("module.exports=require")
            || text.contains("Object.assign(exports")
    };
    missing_name(tree, found, name, indirect)
        .map(|finding| Finding {
            message: format!("Runtime.HandlerNotFound: {handler} is undefined or not exported"),
            ..finding
        })
        .into_iter()
        .collect()
}

/// What to do about a handler that is there as TypeScript.
fn typescript_hint(tree: &Tree, module: &str) -> Option<String> {
    let source = ["ts", "mts", "cts", "tsx"]
        .map(|extension| format!("{module}.{extension}"))
        .into_iter()
        .find(|path| tree.contains(path))?;
    Some(format!(
        "`{source}` is TypeScript, which Lambda does not run: set `bundle = true` for the function, which has the project's own esbuild compile it, or build it first"
    ))
}

/// The Ruby runtime: `require` of everything before the first dot.
fn check_ruby(tree: &Tree, handler: &str) -> Vec<Finding> {
    let Some((file, method)) = handler.split_once('.').filter(|(file, method)| !file.is_empty() && !method.is_empty())
    else {
        return vec![malformed(
            format!("Invalid handler {handler}, must be of form FILENAME.METHOD or FILENAME.CLASS.METHOD"),
            "write it as `file.method`, for example `app.handler`",
        )];
    };
    let wanted = format!("{file}.rb");
    if tree.contains(&wanted) {
        // Its methods may come from other files of the function, or from a module.
        let indirect = |text: &str| {
            let words =
                ["require_relative", "load", "autoload", "define_method", "method_missing", "include", "extend"];
            words.iter().any(|word| has_word(text, word))
                || text.contains("alias")
                || text.contains("require '.")
                || text.contains("require \".")
        };
        let name = method.rsplit('.').next().unwrap_or(method);
        return missing_name(tree, &wanted, name, indirect)
            .map(|finding| Finding { message: format!("undefined method '{name}' of handler '{handler}'"), ..finding })
            .into_iter()
            .collect();
    }
    vec![not_found(
        format!("cannot load such file -- {file} (looked for `{wanted}`)"),
        nearest_hint(tree, &wanted, ".rb", |found| {
            format!("{}.{}", found.trim_end_matches(".rb"), handler.split_once('.').map_or("", |(_, m)| m))
        }),
    )]
}

/// A finding without a message when `name` is surely not defined in `file`.
fn missing_name(tree: &Tree, file: &str, name: &str, indirect: impl Fn(&str) -> bool) -> Option<Finding> {
    let entry = tree.get(file).filter(|e| matches!(e, Entry::File { .. }) && e.size() <= MAX_SOURCE)?;
    let text = String::from_utf8(entry.read().ok()?).ok()?;
    (!has_word(&text, name) && !indirect(&text))
        .then(|| not_found(String::new(), format!("define `{name}` in `{file}`, or name another handler")).path(file))
}

fn has_word(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    text.match_indices(word).any(|(at, _)| {
        !text[..at].chars().next_back().is_some_and(part) && !text[at + word.len()..].chars().next().is_some_and(part)
    })
}

fn quoted(paths: &[String]) -> String {
    paths.iter().map(|p| format!("`{p}`")).collect::<Vec<_>>().join(", ")
}

/// Names the file of the package that is spelt most like the one that is missing, as the handler that it would be.
pub(super) fn nearest_hint(tree: &Tree, missing: &str, suffix: &str, handler_of: impl Fn(&str) -> String) -> String {
    let own = tree.iter().map(|(p, _)| p.as_str()).filter(|p| p.ends_with(suffix) && !p.starts_with("node_modules/"));
    let nearest = own.map(|p| (strsim::osa_distance(p, missing), p)).filter(|(distance, _)| *distance <= 6).min();
    match nearest {
        Some((_, file)) => {
            format!("did you mean `{}`? Otherwise check that no rule leaves the file out (`plan -v`)", handler_of(file))
        }
        None => "check the handler's name, and that no rule leaves the file out (`plan -v`)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check_files, check_tree, tree};
    use super::*;
    use crate::tree::ArchivePath;

    fn python(handler: &str, files: &[(&str, &str)]) -> Vec<String> {
        check_files("python3.13", handler, files)
    }

    fn node(handler: &str, files: &[(&str, &str)]) -> Vec<String> {
        check_files("nodejs22.x", handler, files)
    }

    #[test]
    fn python_handlers() {
        let good = ("app.py", "def handler(event, context): ...");
        assert_eq!(python("app.handler", &[good]), Vec::<String>::new());
        assert_eq!(python("src/app.handler", &[("src/app.py", "handler = x")]), Vec::<String>::new());
        assert_eq!(python("pkg.handler", &[("pkg/__init__.py", "from .x import *")]), Vec::<String>::new());
        assert_eq!(python("app.handler", &[("app.abi3.so", "")]), Vec::<String>::new());
        assert!(python("handler", &[good])[0].starts_with("handler-malformed: Bad handler 'handler'"));
        assert!(
            python("ap.handler", &[good])[0]
                .starts_with("handler-not-found: Unable to import module 'ap': No module named 'ap'")
        );
        assert_eq!(python("app.handle", &[good]), ["handler-not-found: Handler 'handle' missing on module 'app'"]);
        assert!(python("app.han dler", &[good])[0].starts_with("handler-malformed: Value"));
    }

    #[test]
    fn node_handlers() {
        let good = ("index.js", "exports.handler = async () => {}");
        assert_eq!(node("index.handler", &[good]), Vec::<String>::new());
        assert_eq!(node("src/app.api.handler", &[("src/app.mjs", "export const api = {}")]), Vec::<String>::new());
        assert_eq!(node("index.handler", &[("index.js", "module.exports = require('./x')")]), Vec::<String>::new());
        assert!(node("index", &[good])[0].starts_with("handler-malformed"));
        assert!(node("../index.handler", &[good])[0].starts_with("handler-malformed"));
        assert!(node("app.handler", &[good])[0].contains("Cannot find module 'app'"));
        assert_eq!(
            node("index.handle", &[good]),
            ["handler-not-found: Runtime.HandlerNotFound: index.handle is undefined or not exported"]
        );
    }

    #[test]
    fn a_bootstrap_is_there_and_executable() {
        let with = |executable| {
            [(ArchivePath::new("bootstrap").unwrap(), Entry::bytes(b"x".as_slice(), executable))].into_iter().collect()
        };
        assert_eq!(check_tree("provided.al2023", "x", &with(true)), Vec::<String>::new());
        assert!(check_tree("provided.al2023", "x", &with(false))[0].starts_with("bootstrap-not-executable"));
        assert!(check_tree("provided.al2023", "x", &tree(&[("a", "")]))[0].starts_with("bootstrap-missing"));
        assert!(check_files("ruby3.4", "app.handler", &[("a.rb", "")])[0].starts_with("handler-not-found"));
    }

    #[test]
    fn ruby_handlers() {
        let ruby = |handler: &str, text: &str| check_files("ruby3.4", handler, &[("app.rb", text)]);
        assert_eq!(ruby("app.handler", "def handler(event:, context:)\nend"), Vec::<String>::new());
        assert_eq!(ruby("app.A::B.handler", "class A\ndef self.handler; end\nend"), Vec::<String>::new());
        assert_eq!(ruby("app.handler", "require_relative 'x'"), Vec::<String>::new());
        assert_eq!(
            ruby("app.handle", "require 'json'\ndef handler; end"),
            ["handler-not-found: undefined method 'handle' of handler 'app.handle'"]
        );
        assert!(ruby("app.", "def handler; end")[0].starts_with("handler-malformed"));
    }

    #[test]
    fn the_hint_names_the_nearest_file() {
        let tree = tree(&[("lambda_function.py", ""), ("zzz.py", "")]);
        assert!(nearest_hint(&tree, "lamda_function.py", ".py", str::to_owned).contains("lambda_function.py"));
    }
}
