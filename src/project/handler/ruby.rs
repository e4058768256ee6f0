//! Handlers of Ruby functions: `file.method`, or `file.Class.method` for a method of a class or module.

use std::path::Path;

use super::MissingHandler;
use crate::fsio;

/// Files and methods by convention, the likeliest first: what the console, SAM and examples use.
const CONVENTIONS: [(&str, &str); 8] = [
    ("lambda_function", "lambda_handler"),
    ("app", "lambda_handler"),
    ("app", "handler"),
    ("function", "handler"),
    ("handler", "handler"),
    ("main", "handler"),
    ("index", "handler"),
    ("lambda_function", "handler"),
];

/// The first convention that the folder follows.
pub(super) fn find(dir: &Path) -> Result<String, MissingHandler> {
    for (file, method) in CONVENTIONS {
        let Ok(text) = fsio::read_text(&dir.join(format!("{file}.rb"))) else { continue };
        if let Some(class) = owner(&text, method) {
            return Ok(if class.is_empty() { format!("{file}.{method}") } else { format!("{file}.{class}.{method}") });
        }
    }
    Err(MissingHandler { looked: "looked for `lambda_handler` and `handler` in `lambda_function.rb`, `app.rb`, `function.rb`, `handler.rb`, `main.rb` and `index.rb`".to_owned(), hint: None })
}

/// The classes and modules that a method is defined in, `A::B`; empty for the top level, nothing when it is not defined
/// where Lambda could call it.
fn owner(text: &str, method: &str) -> Option<String> {
    let mut around: Vec<(usize, &str)> = Vec::new();
    for line in text.lines().take_while(|line| *line != "__END__") {
        let words = line.trim_start();
        let indent = line.len() - words.len();
        if words.is_empty() || words.starts_with('#') {
            continue;
        }
        // Ruby's own tools indent; what does not is found only at the top level.
        around.retain(|(outer, _)| *outer < indent);
        let named = ["class ", "module "].iter().find_map(|keyword| words.strip_prefix(keyword));
        if let Some(name) = named.map(|rest| rest.split([' ', '<', ';', '\n']).next().unwrap_or(rest)) {
            around.push((indent, name));
        }
        let Some(rest) = words.strip_prefix("def ") else { continue };
        let name = rest.strip_prefix("self.").unwrap_or(rest);
        let is_method = name
            .strip_prefix(method)
            .is_some_and(|after| !after.starts_with(|c: char| c.is_alphanumeric() || "_?!=".contains(c)));
        let is_static = rest.starts_with("self.");
        if is_method && is_static != around.is_empty() {
            return Some(around.iter().map(|(_, name)| *name).collect::<Vec<_>>().join("::"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_of_the_top_level_and_of_classes_are_handlers() {
        for (text, class) in [
            ("require 'json'\n\ndef handler(event:, context:)\nend\n", Some("")),
            ("def handler event: nil\n", Some("")),
            (
                "module App\n  class Api < Base\n    def self.handler(event:, context:)\n    end\n  end\nend\n",
                Some("App::Api"),
            ),
            ("class Api\n  def handler\n  end\nend\n", None),
            ("def handler_of\nend\n# def handler\n", None),
            ("class A\n  def self.other\n  end\nend\ndef handler(event:, context:)\nend\n", Some("")),
            ("__END__\ndef handler\n", None),
        ] {
            assert_eq!(owner(text, "handler").as_deref(), class, "{text}");
        }
    }

    #[test]
    fn the_likeliest_file_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        assert!(find(dir.path()).is_err());
        fsio::write_atomic(&dir.path().join("app.rb"), b"module M\n  def self.handler(event:, context:); end\nend\n")
            .unwrap();
        assert_eq!(find(dir.path()).as_deref(), Ok("app.M.handler"));
    }
}
