//! Handlers of Node.js functions.

use std::iter::Peekable;
use std::path::Path;
use std::str::Chars;

use super::MissingHandler;
use crate::fsio;
use crate::project::versions::package_json;

/// Names of handlers by convention: of most examples, and of SAM's.
const NAMES: [&str; 2] = ["handler", "lambdaHandler"];
const STEMS: [&str; 5] = ["index", "app", "handler", "main", "lambda"];
const FOLDERS: [&str; 4] = ["", "src/", "dist/", "build/"];
const EXTENSIONS: [&str; 3] = ["js", "mjs", "cjs"];

/// The first convention that the folder follows; `main` of `package.json` comes before all others.
pub(super) fn find(dir: &Path) -> Result<String, MissingHandler> {
    let manifest = package_json(dir).ok().flatten();
    let is_module = manifest.as_ref().is_some_and(|json| json["type"] == "module");
    let main = manifest.as_ref().and_then(|json| json["main"].as_str()).map(|main| main.trim_start_matches("./"));
    let mut files: Vec<String> = main.into_iter().flat_map(main_files).collect();
    for folder in FOLDERS {
        for stem in STEMS {
            files.extend(EXTENSIONS.iter().map(|extension| format!("{folder}{stem}.{extension}")));
        }
    }
    for file in &files {
        let Some((stem, extension)) = file.rsplit_once('.') else { continue };
        // Lambda splits a handler at the first dot of its last component, so such a file could not be named.
        if stem.rsplit('/').next().is_none_or(|name| name.contains('.')) {
            continue;
        }
        let system = match extension {
            "mjs" => System::Module,
            "cjs" => System::CommonJs,
            _ if is_module => System::Module,
            _ => System::Either,
        };
        let Ok(text) = fsio::read_text(&dir.join(file)) else { continue };
        if let Some(name) = NAMES.iter().find(|name| exports(&text, name, system)) {
            return Ok(format!("{stem}.{name}"));
        }
    }
    let built = main.map(|main| format!("`{main}` (`main` of package.json), ")).unwrap_or_default();
    Err(MissingHandler {
        looked: format!(
            "looked for an exported `{}` in {built}`{}` (.js, .mjs, .cjs), here and in `src`, `dist`, `build`",
            NAMES.join("` or `"),
            STEMS.join("`, `")
        ),
        hint: not_built(dir, manifest.as_ref(), main),
    })
}

/// The first convention that the sources of a bundle follow; those that are named are looked at alone.
pub(super) fn find_source(dir: &Path, entries: &[String]) -> Result<String, MissingHandler> {
    const FOLDERS: [&str; 2] = ["", "src/"];
    const EXTENSIONS: [&str; 8] = ["ts", "tsx", "mts", "cts", "js", "jsx", "mjs", "cjs"];
    let stems = FOLDERS.iter().flat_map(|folder| STEMS.iter().map(move |stem| format!("{folder}{stem}")));
    let files = stems.flat_map(|stem| EXTENSIONS.iter().map(move |extension| format!("{stem}.{extension}")));
    let files: Vec<String> = if entries.is_empty() { files.collect() } else { entries.to_vec() };
    for file in &files {
        let Some((stem, _)) = file.rsplit_once('.') else { continue };
        let Ok(text) = fsio::read_text(&dir.join(file)) else { continue };
        if let Some(name) = NAMES.iter().find(|name| exports(&text, name, System::Either)) {
            return Ok(format!("{stem}.{name}"));
        }
    }
    let places = match entries {
        [] => format!("`{}` (.{}), here and in `src`", STEMS.join("`, `"), EXTENSIONS.join(", .")),
        entries => format!("`{}`", entries.join("`, `")),
    };
    Err(MissingHandler { looked: format!("looked for an exported `{}` in {places}", NAMES.join("` or `")), hint: None })
}

/// What to do when the file that is meant is made by a build that has not run.
fn not_built(dir: &Path, manifest: Option<&serde_json::Value>, main: Option<&str>) -> Option<String> {
    let missing = main.filter(|main| !main_files(main).iter().any(|file| dir.join(file).is_file()));
    let is_typescript = || {
        dir.join("tsconfig.json").is_file()
            || FOLDERS.iter().any(|folder| STEMS.iter().any(|stem| dir.join(format!("{folder}{stem}.ts")).is_file()))
    };
    let why = match missing {
        Some(main) => format!("`main` of package.json names `{main}`, which is not there: build it first"),
        None if is_typescript() => {
            "TypeScript is compiled with `bundle = true` (by the project's own esbuild), or build it first".to_owned()
        }
        None => return None,
    };
    let script = manifest.is_some_and(|json| json["scripts"]["build"].is_string());
    Some(if script { format!("{why} with `npm run build`") } else { why })
}

/// The files that `main` may mean, as Node.js looks for them.
fn main_files(main: &str) -> Vec<String> {
    let main = main.trim_end_matches('/');
    let extension = Path::new(main).extension();
    if extension.is_some_and(|e| EXTENSIONS.iter().any(|known| e == *known)) {
        return vec![main.to_owned()];
    }
    let with = |suffix: &str| EXTENSIONS.iter().map(move |e| format!("{suffix}.{e}")).collect::<Vec<_>>();
    [with(main), with(&format!("{main}/index"))].concat()
}

/// How a file exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum System {
    Module,
    CommonJs,
    /// A `.js` file outside of a package of modules: Node.js tells by its syntax.
    Either,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Mark(char),
}

fn exports(text: &str, name: &str, system: System) -> bool {
    let tokens = tokens(text);
    let at = |index: usize| tokens.get(index);
    (0..tokens.len()).any(|i| {
        let module = || system != System::CommonJs && is_word(at(i), "export") && exported(&tokens[i + 1..], name);
        let common = || system != System::Module && common_js(&tokens[i..], name);
        module() || common()
    })
}

fn is_word(token: Option<&Token>, word: &str) -> bool {
    matches!(token, Some(Token::Word(w)) if w == word)
}

fn is_mark(token: Option<&Token>, mark: char) -> bool {
    token == Some(&Token::Mark(mark))
}

/// What follows `export`: a declaration, or a list in braces.
fn exported(rest: &[Token], name: &str) -> bool {
    if is_mark(rest.first(), '{') {
        return braces(rest).split(|t| *t == Token::Mark(',')).any(|part| is_word(part.last(), name));
    }
    let declared = rest.iter().take(4).find(|token| {
        let keyword = |w: &String| ["const", "let", "var", "async", "function", "class"].contains(&w.as_str());
        !matches!(token, Token::Word(w) if keyword(w)) && **token != Token::Mark('*')
    });
    is_word(declared, name)
}

/// `exports.handler = `, `module.exports = { … handler … }`, `Object.defineProperty(exports, "handler"`.
fn common_js(rest: &[Token], name: &str) -> bool {
    let at = |index: usize| rest.get(index);
    if is_word(at(0), "defineProperty") && is_mark(at(1), '(') && is_word(at(2), "exports") {
        return at(4) == Some(&Token::Text(name.to_owned()));
    }
    if !is_word(at(0), "exports") {
        return false;
    }
    let assigns = |index: usize| is_mark(at(index), '=') && !is_mark(at(index + 1), '=');
    if is_mark(at(1), '.') && is_word(at(2), name) {
        return assigns(3);
    }
    if assigns(1) && is_mark(at(2), '{') {
        let parts = braces(&rest[2..]);
        return parts.split(|t| *t == Token::Mark(',')).any(|part| {
            let part = if is_word(part.first(), "async") && part.len() > 1 { &part[1..] } else { part };
            matches!(part.first(), Some(Token::Word(w) | Token::Text(w)) if w == name)
        });
    }
    false
}

/// What is directly between the braces that `tokens` starts with; what is nested deeper is left out.
fn braces(tokens: &[Token]) -> Vec<Token> {
    let mut depth = 0;
    let mut out = Vec::new();
    for token in tokens {
        match token {
            Token::Mark('{' | '(' | '[') => depth += 1,
            Token::Mark('}' | ')' | ']') => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            token if depth == 1 => out.push(token.clone()),
            _ => {}
        }
    }
    out
}

/// Words, strings and other characters; comments and white space left out.
fn tokens(text: &str) -> Vec<Token> {
    let mut out = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '/' if chars.peek() == Some(&'/') => while chars.next().is_some_and(|c| c != '\n') {},
            '/' if chars.peek() == Some(&'*') => skip_comment(&mut chars),
            '"' | '\'' | '`' => out.push(Token::Text(string(&mut chars, c))),
            c if c.is_alphanumeric() || c == '_' || c == '$' => {
                let mut word = c.to_string();
                while let Some(c) = chars.next_if(|c| c.is_alphanumeric() || *c == '_' || *c == '$') {
                    word.push(c);
                }
                out.push(Token::Word(word));
            }
            c if c.is_whitespace() => {}
            c => out.push(Token::Mark(c)),
        }
    }
    out
}

fn skip_comment(chars: &mut Peekable<Chars<'_>>) {
    let mut last = ' ';
    chars.next();
    for c in chars.by_ref() {
        if last == '*' && c == '/' {
            return;
        }
        last = c;
    }
}

/// The rest of a string; all but template strings end at the line's end at the latest.
fn string(chars: &mut Peekable<Chars<'_>>, quote: char) -> String {
    let mut out = String::new();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            c if c == quote => break,
            '\n' if quote != '`' => break,
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn commonjs_exports() {
        for text in [
            "exports.handler = async (event) => {};",
            "module.exports.handler = main",
            "module.exports = { handler }",
            "module.exports = { other: { x: 1 }, handler: async () => {} }",
            "module.exports = { async handler(event) {} };",
            "0 && (module.exports = {\n  handler\n});",
            "Object.defineProperty(exports, \"handler\", { enumerable: true })",
        ] {
            assert!(exports(text, "handler", System::CommonJs), "{text}");
            assert!(exports(text, "handler", System::Either), "{text}");
            assert!(!exports(text, "handler", System::Module), "{text}");
        }
    }

    #[test]
    fn module_exports() {
        for text in [
            "export const handler = async () => {}",
            "export async function handler(event) {}",
            "export function handler() {}",
            "export { handler };",
            "export { main as handler, other } from './x.js';",
        ] {
            assert!(exports(text, "handler", System::Module), "{text}");
            assert!(!exports(text, "handler", System::CommonJs), "{text}");
        }
    }

    #[test]
    fn what_exports_nothing() {
        for text in [
            "// exports.handler = 1",
            "/* export const handler = 1 */",
            "const s = `export const handler = 1`",
            "exports.handler === 1",
            "export { handler as other }",
            "export const handlers = 1",
            "module.exports = { x: { handler } }",
            "export default handler",
        ] {
            assert!(!exports(text, "handler", System::Either), "{text}");
        }
    }

    #[test]
    fn main_comes_first_and_unnameable_files_are_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fsio::write_atomic(&dir.path().join(name), text.as_bytes()).unwrap();
        write("index.js", "exports.handler = 1");
        assert_eq!(find(dir.path()).unwrap(), "index.handler");
        write("package.json", r#"{"main": "./dist/app.js"}"#);
        write("dist/app.js", "exports.lambdaHandler = 1");
        assert_eq!(find(dir.path()).unwrap(), "dist/app.lambdaHandler");
        write("package.json", r#"{"main": "app.bundle.js"}"#);
        write("app.bundle.js", "exports.handler = 1");
        assert_eq!(find(dir.path()).unwrap(), "index.handler");
        write("package.json", r#"{"type": "module"}"#);
        assert!(find(dir.path()).unwrap_err().looked.starts_with("looked for an exported `handler` or"));
    }

    #[test]
    fn what_is_not_built_yet_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fsio::write_atomic(&dir.path().join(name), text.as_bytes()).unwrap();
        let hint = || find(dir.path()).unwrap_err().hint;
        assert_eq!(hint(), None);
        write("src/index.ts", "export const handler = 1");
        assert_eq!(
            hint().unwrap(),
            "TypeScript is compiled with `bundle = true` (by the project's own esbuild), or build it first"
        );
        write("package.json", r#"{"main": "dist/index.js", "scripts": {"build": "tsc"}}"#);
        let said =
            "`main` of package.json names `dist/index.js`, which is not there: build it first with `npm run build`";
        assert_eq!(hint().unwrap(), said);
        write("dist/index.js", "exports.handler = 1");
        assert_eq!(find(dir.path()).unwrap(), "dist/index.handler");
    }

    proptest! {
        #[test]
        fn scanning_never_panics(text in "\\PC*", code in "[a-c'\"`/*{}(),.=\n é]{0,40}") {
            exports(&text, "handler", System::Either);
            exports(&code, "a", System::Either);
        }
    }
}
