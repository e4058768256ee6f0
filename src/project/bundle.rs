//! How esbuild bundles a function: `bundle = true`, a table of settings, or a template's `BuildMethod: esbuild`.
//!
//! Settings have the names of esbuild's own options (its "API" page), and SAM's `BuildProperties` are the same ones in
//! capitals; all but those that decide more than the text of the bundle are handed on as they are.

use std::collections::BTreeMap;
use std::path::Path;

use super::reader::{Section, suggest};
use crate::error::Result;

/// What esbuild is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bundle {
    /// Source files, relative to the function's folder; the handler's file when there are none.
    pub entries: Vec<String>,
    /// Packages that stay packages, as names or patterns with `*`.
    pub external: Vec<String>,
    /// `cjs` or `esm`; nothing to go by `type` of `package.json`.
    pub format: Option<String>,
    /// `linked`, `inline`, `external` or `both`.
    pub sourcemap: Option<String>,
    /// Other options, as on esbuild's command line.
    pub flags: Vec<String>,
}

/// How an option is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `--minify`.
    Flag,
    /// `--sources-content=false`.
    Switch,
    /// `--target=node20`.
    Word,
    /// `--main-fields=module,main`.
    List,
    /// `--inject:a.js --inject:b.js`.
    Each,
    /// `--define:A=b`.
    Pairs,
}

/// Options that are handed on.
const OPTIONS: &[(&str, Kind)] = &[
    ("minify", Kind::Flag),
    ("minify-whitespace", Kind::Flag),
    ("minify-identifiers", Kind::Flag),
    ("minify-syntax", Kind::Flag),
    ("keep-names", Kind::Flag),
    ("ignore-annotations", Kind::Flag),
    ("sources-content", Kind::Switch),
    ("tree-shaking", Kind::Switch),
    ("target", Kind::List),
    ("main-fields", Kind::List),
    ("conditions", Kind::List),
    ("resolve-extensions", Kind::List),
    ("packages", Kind::Word),
    ("tsconfig", Kind::Word),
    ("charset", Kind::Word),
    ("legal-comments", Kind::Word),
    ("jsx", Kind::Word),
    ("jsx-import-source", Kind::Word),
    ("inject", Kind::Each),
    ("drop", Kind::Each),
    ("pure", Kind::Each),
    ("loader", Kind::Pairs),
    ("out-extension", Kind::Pairs),
    ("define", Kind::Pairs),
    ("alias", Kind::Pairs),
    ("banner", Kind::Pairs),
    ("footer", Kind::Pairs),
    ("log-override", Kind::Pairs),
];
/// Settings that are more than that.
const OWN: [&str; 5] = ["entry", "entry-points", "external", "format", "sourcemap"];
const FORMATS: [&str; 2] = ["cjs", "esm"];
const SOURCEMAPS: [&str; 4] = ["linked", "inline", "external", "both"];

impl Bundle {
    /// Whether an option of this name was set.
    pub fn has(&self, option: &str) -> bool {
        let start = format!("--{option}");
        self.flags
            .iter()
            .any(|flag| flag.strip_prefix(&start).is_some_and(|rest| rest.is_empty() || rest.starts_with(['=', ':'])))
    }

    /// Adds an option as it stands in a template: one word, or several. Says whether it is known.
    pub(crate) fn add(&mut self, option: &str, words: &[String]) -> bool {
        let first = words.first().map(String::as_str).unwrap_or_default();
        let is_true = first.eq_ignore_ascii_case("true");
        match option {
            "entry" | "entry-points" => self.entries.extend(words.iter().map(|path| relative(path))),
            "external" => self.external.extend(words.iter().cloned()),
            "format" => self.format = Some(first.to_owned()),
            "sourcemap" => {
                let kind = if is_true { "linked" } else { first };
                self.sourcemap = (!first.eq_ignore_ascii_case("false")).then(|| kind.to_owned());
            }
            _ => {
                let Some((_, kind)) = OPTIONS.iter().find(|(name, _)| *name == option) else { return false };
                match kind {
                    Kind::Flag if is_true => self.flags.push(format!("--{option}")),
                    Kind::Flag => {}
                    Kind::Switch => self.flags.push(format!("--{option}={}", first.to_lowercase())),
                    Kind::Word => self.flags.push(format!("--{option}={first}")),
                    Kind::List => self.flags.push(format!("--{option}={}", words.join(","))),
                    Kind::Each => self.flags.extend(words.iter().map(|word| format!("--{option}:{word}"))),
                    Kind::Pairs => self.flags.extend(words.iter().map(|pair| match option {
                        // Text without a file type is for JavaScript.
                        "banner" | "footer" if !pair.starts_with("js=") && !pair.starts_with("css=") => {
                            format!("--{option}:js={pair}")
                        }
                        _ => format!("--{option}:{pair}"),
                    })),
                }
            }
        }
        true
    }
}

/// A path as esbuild takes it for a file, and not for a package.
fn relative(path: &str) -> String {
    path.trim_start_matches("./").to_owned()
}

/// `MainFields` as `main-fields`.
pub(crate) fn option_of(property: &str) -> String {
    let mut out = String::new();
    for c in property.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('-');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// Reads `bundle`: `true`, `false`, or a table. Nothing when it is not there.
pub(super) fn bundle(section: &Section<'_>) -> Result<Option<Option<Bundle>>> {
    if section.has_flag("bundle") {
        return Ok(section.flag("bundle")?.map(|flag| flag.then(Bundle::default)));
    }
    let Some(table) = section.section("bundle")? else { return Ok(None) };
    let known: Vec<&str> = OWN.into_iter().chain(OPTIONS.iter().map(|(name, _)| *name)).collect();
    table.only(&known)?;
    let mut out = Bundle::default();
    for key in table.keys() {
        let name = key.value.as_str();
        let kind = OPTIONS.iter().find(|(option, _)| *option == name).map(|(_, kind)| *kind);
        let words: Vec<String> = match kind {
            Some(Kind::Flag | Kind::Switch) => table.flag(name)?.into_iter().map(|flag| flag.to_string()).collect(),
            None if name == "sourcemap" && table.has_flag(name) => {
                table.flag(name)?.into_iter().map(|flag| flag.to_string()).collect()
            }
            Some(Kind::Pairs) if table.is_table(name) => pairs(&table, name)?,
            _ => table.text_or_texts(name)?.unwrap_or_default().into_iter().map(|text| text.value).collect(),
        };
        if let Some(values) =
            [("format", &FORMATS[..]), ("sourcemap", &SOURCEMAPS[..])].iter().find(|(n, _)| *n == name)
            && let Some(word) = words.first().filter(|word| !["true", "false"].contains(&word.as_str()))
            && !values.1.contains(&word.as_str())
        {
            return Err(suggest(key.error(format!("`{name}` cannot be `{word}`")), word, values.1, "values"));
        }
        for entry in words.iter().filter(|_| name.starts_with("entry")) {
            if Path::new(entry).is_absolute() || entry.split('/').any(|part| part == "..") {
                return Err(key.error(format!("the entry `{entry}` is outside of the function's folder")));
            }
        }
        out.add(name, &words);
    }
    Ok(Some(Some(out)))
}

fn pairs(table: &Section<'_>, name: &str) -> Result<Vec<String>> {
    let Some(section) = table.section(name)? else { return Ok(Vec::new()) };
    let mut out = BTreeMap::new();
    for key in section.keys() {
        if let Some(value) = section.text(&key.value)? {
            out.insert(key.value, value.value);
        }
    }
    Ok(out.into_iter().map(|(key, value)| format!("{key}={value}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::reader::Document;

    fn read(text: &str) -> Result<Option<Option<Bundle>>> {
        let document = Document::parse(Path::new("/p/lambda-pack.toml"), text.to_owned())?;
        bundle(&document.root())
    }

    #[test]
    fn settings_become_options_of_esbuild() {
        let text = "[bundle]\nentry = './src/index.ts'\nexternal = ['sharp', '@aws-sdk/*']\nminify = true\nkeep-names = false\n\
            sourcemap = true\nformat = 'esm'\ntarget = 'node20'\nmain-fields = ['module', 'main']\nsources-content = false\n\
            loader = { '.sql' = 'text' }\nbanner = 'const a = 1;'\ndefine = { A = '\"b\"' }\n";
        let bundle = read(text).unwrap().unwrap().unwrap();
        assert_eq!((bundle.entries.as_slice(), bundle.external.len()), (&["src/index.ts".to_owned()][..], 2));
        assert_eq!((bundle.format.as_deref(), bundle.sourcemap.as_deref()), (Some("esm"), Some("linked")));
        let mut flags = bundle.flags.clone();
        flags.sort();
        assert_eq!(
            flags,
            [
                "--banner:js=const a = 1;",
                "--define:A=\"b\"",
                "--loader:.sql=text",
                "--main-fields=module,main",
                "--minify",
                "--sources-content=false",
                "--target=node20",
            ]
        );
        assert!(bundle.has("minify") && bundle.has("banner") && !bundle.has("main"));
        assert_eq!(read("bundle = true\n").unwrap(), Some(Some(Bundle::default())));
        assert_eq!(read("bundle = false\n").unwrap(), Some(None));
    }

    #[test]
    fn what_is_not_known_is_an_error_with_its_line() {
        for (text, why) in [
            ("[bundle]\nminfy = true\n", "`minify`"),
            ("[bundle]\nformat = 'umd'\n", "cannot be `umd`"),
            ("[bundle]\nentry = '../x.ts'\n", "outside of the function's folder"),
            ("[bundle]\nminify = 'yes'\n", "must be a boolean"),
        ] {
            let error = read(text).unwrap_err();
            let said = format!("{error} {:?}", error.hints());
            assert!(said.contains(why) && said.contains("/p/lambda-pack.toml:2"), "{said}");
        }
    }

    #[test]
    fn properties_of_a_template_are_the_same_options() {
        assert_eq!(option_of("MainFields"), "main-fields");
        let mut bundle = Bundle::default();
        for (property, words) in [
            ("OutExtension", &[".js=.mjs"][..]),
            ("Minify", &["False"]),
            ("Sourcemap", &["true"]),
            ("Banner", &["js=x"]),
        ] {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            assert!(bundle.add(&option_of(property), &words), "{property}");
        }
        assert!(!bundle.add(&option_of("UseNpmCi"), &[]));
        assert_eq!(bundle.flags, ["--out-extension:.js=.mjs", "--banner:js=x"]);
        assert_eq!(bundle.sourcemap.as_deref(), Some("linked"));
    }
}
