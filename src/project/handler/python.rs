//! Handlers of Python functions.

use std::path::Path;

use super::MissingHandler;
use crate::fsio;
use crate::project::detect::PYTHON_FILES;

/// Modules and names by convention, the likeliest first: what the console, SAM and the frameworks' examples use.
const CONVENTIONS: [(&str, &str); 10] = [
    ("lambda_function", "lambda_handler"),
    ("app", "handler"),
    ("app", "lambda_handler"),
    ("main", "handler"),
    ("handler", "handler"),
    ("index", "handler"),
    ("handler", "lambda_handler"),
    ("main", "lambda_handler"),
    ("lambda_function", "handler"),
    ("index", "lambda_handler"),
];

/// The first convention that the folder follows.
pub(super) fn find(dir: &Path) -> Result<String, MissingHandler> {
    for folder in ["", "src/"] {
        for (module, name) in CONVENTIONS {
            let handler = format!("{folder}{module}.{name}");
            let text = fsio::read_text(&dir.join(format!("{folder}{module}.py")));
            if text.is_ok_and(|text| defines(&text, name)) {
                return Ok(handler);
            }
        }
    }
    let mut found = in_packages(dir);
    if found.len() == 1
        && let Some(handler) = found.pop()
    {
        return Ok(handler);
    }
    Err(MissingHandler {
        looked: format!(
            "looked for {} in {}, here, in `src`, and in packages",
            quoted(CONVENTIONS.iter().map(|(_, name)| *name)),
            quoted(CONVENTIONS.iter().map(|(module, _)| *module)),
        ),
        hint: (!found.is_empty()).then(|| format!("there are several: `{}`", found.join("`, `"))),
    })
}

/// The handler of each package of the folder that has one, as in `app/main.py` of many frameworks' examples. A package
/// with dependencies of its own is a function of its own.
fn in_packages(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir).into_iter().flatten().flatten().filter_map(|e| e.file_name().into_string().ok());
    let mut packages: Vec<String> = names
        .filter(|name| !name.starts_with('.') && !["test", "tests"].contains(&name.as_str()))
        .filter(|name| dir.join(name).join("__init__.py").is_file())
        .filter(|name| !PYTHON_FILES.iter().any(|file| dir.join(name).join(file).is_file()))
        .collect();
    packages.sort();
    let handler_of = |package: String| {
        let defines_it = |(module, name): &&(&str, &str)| {
            fsio::read_text(&dir.join(&package).join(format!("{module}.py"))).is_ok_and(|text| defines(&text, name))
        };
        CONVENTIONS.iter().find(defines_it).map(|(module, name)| format!("{package}.{module}.{name}"))
    };
    packages.into_iter().filter_map(handler_of).collect()
}

/// Each name once, in quotes.
fn quoted<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let mut once: Vec<String> = Vec::new();
    for name in names.map(|name| format!("`{name}`")) {
        if !once.contains(&name) {
            once.push(name);
        }
    }
    once.join(", ")
}

/// Whether a module binds `name` at its top level: a function, a class, an assignment or an import.
fn defines(text: &str, name: &str) -> bool {
    statements(text).iter().any(|statement| binds(statement, name))
}

fn binds(statement: &str, name: &str) -> bool {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    if let Some(rest) = statement.strip_prefix("def ").or_else(|| statement.strip_prefix("class ")) {
        return identifier(rest.trim_start()) == name;
    }
    if let Some(rest) = statement.strip_prefix("from ") {
        let Some((_, imported)) = rest.split_once(" import ") else { return false };
        let names = imported.trim().trim_start_matches('(').trim_end_matches(')').to_owned();
        return names.split(',').any(|part| words(part).last().is_some_and(|last| last == name));
    }
    // `name = …`, `name: Type = …`, `other = name = …`; not `name == …`.
    let mut targets = statement.split('=').map(|part| part.split(':').next().unwrap_or("").trim()).collect::<Vec<_>>();
    targets.pop();
    let compares = statement.contains("==") && !statement.contains(&format!("{name} = "));
    !compares && targets.contains(&name)
}

fn identifier(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// Statements that start in the first column, those in brackets joined to one line, without comments and strings.
fn statements(text: &str) -> Vec<String> {
    let code = without_strings(text);
    let mut out: Vec<String> = Vec::new();
    let mut open = 0_i64;
    for line in code.lines() {
        if open > 0 {
            if let Some(last) = out.last_mut() {
                last.push(' ');
                last.push_str(line.trim());
            }
        } else if line.starts_with([' ', '\t', '#']) || line.trim().is_empty() {
            // Inside something else; its brackets matter only to itself.
            open = 0;
            continue;
        } else {
            out.push(line.trim_end().replace('\\', ""));
        }
        open += line.chars().map(|c| i64::from("([{".contains(c)) - i64::from(")]}".contains(c))).sum::<i64>();
    }
    out
}

/// The text with comments left out and every string literal emptied.
fn without_strings(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if first == '#' {
            rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
        } else if first == '"' || first == '\'' {
            let triple = ["\"\"\"", "'''"].iter().any(|quotes| rest.starts_with(quotes));
            let quote = &rest[..if triple { 3 } else { 1 }];
            out.push_str("\"\"");
            rest = after_string(&rest[quote.len()..], quote);
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    out
}

/// What follows a string whose opening quote was read; a plain one ends at the line's end at the latest.
fn after_string<'t>(text: &'t str, quote: &str) -> &'t str {
    let mut chars = text.char_indices();
    while let Some((index, c)) = chars.next() {
        if c == '\\' {
            chars.next();
        } else if text[index..].starts_with(quote) {
            return &text[index + quote.len()..];
        } else if c == '\n' && quote.len() == 1 {
            return &text[index..];
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_binds_a_name() {
        for text in [
            "def handler(event, context):\n    pass\n",
            "import x\nhandler = Mangum(app)\n",
            "handler: Handler = make()\n",
            "from .api import handler\n",
            "from api import (\n    other,\n    main as handler,  # ours\n)\n",
            "class handler:\n    pass\n",
            "'''doc'''\n\ndef handler(\n    event,\n    context,\n):\n    pass",
            "x = {\n 'a': 1,\n}\nlambda_handler = handler = make(a=1)\n",
        ] {
            assert!(defines(text, "handler"), "{text}");
        }
    }

    #[test]
    fn the_handler_of_the_only_package_that_has_one() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fsio::write_atomic(&dir.path().join(name), text.as_bytes()).unwrap();
        let handler = "handler = Mangum(app)\n";
        write("app/main.py", handler);
        let said = find(dir.path()).unwrap_err();
        assert_eq!(
            said.looked,
            "looked for `lambda_handler`, `handler` in `lambda_function`, `app`, `main`, `handler`, `index`, here, in \
             `src`, and in packages"
        );
        assert_eq!(said.hint, None, "a folder that is no package may be anything");
        write("app/__init__.py", "");
        write("tests/__init__.py", "");
        write("tests/main.py", handler);
        assert_eq!(find(dir.path()).unwrap(), "app.main.handler");
        write("worker/__init__.py", "");
        write("worker/main.py", handler);
        assert_eq!(
            find(dir.path()).unwrap_err().hint.unwrap(),
            "there are several: `app.main.handler`, `worker.main.handler`"
        );
        write("worker/requirements.txt", "");
        assert_eq!(find(dir.path()).unwrap(), "app.main.handler");
    }

    #[test]
    fn what_does_not() {
        for text in [
            "# def handler(): pass\n",
            "'''\ndef handler(event, context):\n    pass\n'''\n",
            "class A:\n    def handler(self): pass\n",
            "def handler_of(x): pass\n",
            "print(handler)\n",
            "x(\ndef_handler=1)\n",
            "async def handler(e, c): pass\n",
            "from handler import other\n",
            "f(\nhandler=1)\n",
            "assert handler == 1",
        ] {
            assert!(!defines(text, "handler"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn scanning_never_panics(text in "\\PC*", code in "[a-d'\"#\\\\\n =(é)]{0,40}") {
            defines(&text, "handler");
            defines(&code, "a");
        }
    }
}
