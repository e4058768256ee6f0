//! The handler of a Java, Kotlin or Scala project by convention: the one class that implements `RequestHandler` or
//! `RequestStreamHandler`, told from the text of the sources.

use std::path::Path;

use walkdir::WalkDir;

use super::MissingHandler;
use crate::fsio;

const SOURCES: [&str; 3] = ["java", "kt", "scala"];
const INTERFACES: [&str; 2] = ["RequestHandler", "RequestStreamHandler"];
/// Sources that are looked at.
const MAX_FILES: usize = 10_000;

/// Finds it below `src/main`.
pub(super) fn find(dir: &Path) -> Result<String, MissingHandler> {
    let main = dir.join("src/main");
    let is_source = |path: &Path| path.extension().is_some_and(|ending| SOURCES.iter().any(|source| ending == *source));
    let files = WalkDir::new(&main).sort_by_file_name().into_iter().flatten().map(walkdir::DirEntry::into_path);
    let mut found: Vec<String> = files
        .filter(|path| is_source(path))
        .take(MAX_FILES)
        .filter_map(|path| fsio::read_text(&path).ok())
        .flat_map(|text| handlers(&text))
        .collect();
    found.sort();
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(MissingHandler {
            looked: "looked for a class in `src/main` that implements RequestHandler or RequestStreamHandler"
                .to_owned(),
            hint: None,
        }),
        [first, ..] => Err(MissingHandler {
            looked: format!("several classes implement RequestHandler or RequestStreamHandler: {}", found.join(", ")),
            hint: Some(format!("choose one, such as `{first}`")),
        }),
    }
}

/// Classes of a source that implement one of the interfaces.
fn handlers(text: &str) -> Vec<String> {
    let code = without_comments(text);
    let words: Vec<&str> = words(&code).collect();
    let package = words.windows(2).find(|pair| pair[0] == "package").map_or("", |pair| pair[1]);
    let mut out = Vec::new();
    for (at, word) in words.iter().enumerate().filter(|(_, word)| **word == "class") {
        let Some(name) = words.get(at + 1).filter(|name| is_name(name)) else { continue };
        let head = words[at + 2..].iter().take_while(|word| !["{", "class"].contains(*word));
        let implements = head.filter(|word| INTERFACES.iter().any(|i| word.rsplit('.').next() == Some(i))).count() > 0;
        let is_abstract =
            words[..at].iter().rev().take_while(|word| !["{", "}", ";"].contains(*word)).any(|w| *w == "abstract");
        if implements && !is_abstract {
            out.push(if package.is_empty() { (*name).to_owned() } else { format!("{package}.{name}") });
        }
        let _ = word;
    }
    out
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Names with their dots, and every other character by itself.
fn words(code: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '$' || c == '.';
    let mut rest = code;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let first = rest.chars().next()?;
        let end = if is_part(first) { rest.find(|c| !is_part(c)).unwrap_or(rest.len()) } else { first.len_utf8() };
        let (word, after) = rest.split_at(end);
        rest = after;
        Some(word)
    })
}

/// The code without comments and what stands in quotes.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['/', '"']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        rest = if let Some(comment) = from.strip_prefix("//") {
            comment.find('\n').map_or("", |end| &comment[end..])
        } else if let Some(comment) = from.strip_prefix("/*") {
            comment.find("*/").map_or("", |end| &comment[end + 2..])
        } else if let Some(quoted) = from.strip_prefix('"') {
            let mut escaped = false;
            let end = quoted.find(|c| {
                let ends = !escaped && (c == '"' || c == '\n');
                escaped = !escaped && c == '\\';
                ends
            });
            end.map_or("", |end| &quoted[end + 1..])
        } else {
            &from[1..]
        };
        out.push(' ');
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_that_implement_an_interface_are_handlers() {
        for (text, expected) in [
            ("package a.b;\npublic class H implements RequestHandler<Map<String, Object>, String> { }", vec!["a.b.H"]),
            ("package a\n\nclass H(val x: Int) : Base(), RequestStreamHandler {\n}", vec!["a.H"]),
            ("package a\nclass H extends com.amazonaws.services.lambda.runtime.RequestHandler[A, B]:\n", vec!["a.H"]),
            ("class H implements Other { RequestHandler<A, B> x; }", vec![]),
            (
                "// class H implements RequestHandler<A, B> {\nclass H { String s = \"class X implements RequestHandler {\"; }",
                vec![],
            ),
            (
                "package a; abstract class Base implements RequestHandler<A, B> { } final class C extends Base { }",
                vec![],
            ),
            (
                "/* package x; */ package a; class A implements RequestHandler<A,B> {} class B implements RequestStreamHandler {}",
                vec!["a.A", "a.B"],
            ),
        ] {
            assert_eq!(handlers(text), expected, "{text}");
        }
    }

    #[test]
    fn one_is_taken_and_several_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fsio::write_atomic(&dir.path().join(name), text.as_bytes()).unwrap();
        assert!(find(dir.path()).unwrap_err().looked.contains("src/main"));
        write("src/main/java/a/H.java", "package a; class H implements RequestHandler<A, B> {}");
        write("src/test/java/a/T.java", "package a; class T implements RequestHandler<A, B> {}");
        assert_eq!(find(dir.path()).unwrap(), "a.H");
        write("src/main/kotlin/K.kt", "class K : RequestHandler<A, B> {}");
        assert!(find(dir.path()).unwrap_err().looked.ends_with("K, a.H"));
    }
}
