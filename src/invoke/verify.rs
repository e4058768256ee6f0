//! `build --verify`: each handler is loaded once, in the surroundings in which it would be.

use std::sync::Arc;

use super::Prepared;
use super::instance::Instance;
use super::log::Log;
use crate::error::Result;
use crate::finding::{Finding, Level, Rule};
use crate::lambda::{self, Family, Runtime};

/// What is known of a function beyond its zip, for the hint.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Layers that exist elsewhere: their contents are not here.
    pub absent_layers: Vec<String>,
    /// Paths of its folder that a rule left out, with the rule.
    pub excluded: Vec<(String, String)>,
    /// What its packages were decided by, such as `requirements.txt`.
    pub resolved_by: String,
}

/// Loads a handler; a finding in the runtime's own words when that fails, nothing else.
///
/// # Errors
/// When the surroundings cannot be made.
pub fn verify(mut prepared: Prepared, known: &Known) -> Result<Option<Finding>> {
    let strict = prepared.program.strict.take();
    prepared.program.words.extend(strict.map(str::to_owned));
    let prepared = Arc::new(prepared);
    let log = Arc::new(Log::new(Arc::new(|_: &[u8]| {})));
    let instance = Instance::start(&prepared, log)?;
    let Some(document) = instance.init_failure() else { return Ok(None) };
    let (kind, message) = read(document);
    let missing = missing_module(&message).or_else(|| missing_class(&kind, &message));
    let missing = missing.as_deref();
    let function = prepared.function();
    if prepared.image.is_none() && missing.is_some_and(|module| is_of_the_runtime(function.runtime, module)) {
        // This machine need not have it.
        return Ok(None);
    }
    let message = match (kind.as_str(), message.as_str()) {
        (kind, "") => kind.to_owned(),
        ("", message) => message.to_owned(),
        (kind, message) => format!("{kind}: {message}"),
    };
    let hint = hint_of_modules(&message).map_or_else(|| hint(missing, known), str::to_owned);
    let finding = Finding::new(Rule::HandlerFailsToLoad, message, hint).function(&function.name);
    // What only another version or processor shows is no reason to refuse it.
    let differs = prepared.differs();
    Ok(Some(if differs.is_empty() {
        finding
    } else {
        let message = format!("{} ({})", finding.message, differs.join("; "));
        Finding { message, ..finding }.level(Level::Warning)
    }))
}

/// Type and message of an error document.
fn read(document: &[u8]) -> (String, String) {
    if document.is_empty() {
        return ("Sandbox.Timedout".to_owned(), "loading takes longer than the function's timeout".to_owned());
    }
    let value: serde_json::Value = serde_json::from_slice(document).unwrap_or_default();
    let text = |key: &str| value.get(key).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    // The id of a request that there is not.
    let message = text("errorMessage");
    let message = message.split_once(" Error: ").filter(|(id, _)| id.starts_with("RequestId: "));
    (text("errorType"), message.map_or_else(|| text("errorMessage"), |(_, rest)| rest.to_owned()))
}

/// The module that a message says is not there.
fn missing_module(message: &str) -> Option<String> {
    let quoted = ["No module named '", "Cannot find module '", "Cannot find package '"].iter().find_map(|words| {
        let (_, rest) = message.split_once(words)?;
        rest.split_once('\'').map(|(name, _)| name)
    });
    let required = || message.split_once("cannot load such file -- ").map(|(_, name)| name);
    quoted.or_else(required).map(str::to_owned)
}

/// The class that Java has not found: the last word, whatever stands before it. One that has failed before is there.
fn missing_class(kind: &str, message: &str) -> Option<String> {
    let is_it = kind.ends_with(".NoClassDefFoundError") || kind.ends_with(".ClassNotFoundException");
    let name = message.rsplit(' ').next().filter(|_| is_it && !message.contains("initialize class"));
    name.map(|name| name.replace('/', "."))
}

/// Whether a module is of the AWS SDK that a runtime has.
fn is_of_the_runtime(runtime: &Runtime, module: &str) -> bool {
    // The gems are called as what they are required by.
    let is_gem =
        matches!(runtime.family, Family::Ruby { .. }) && (module == "aws-sdk" || module.starts_with("aws-sdk-"));
    is_gem || lambda::sdk(runtime).is_some_and(|sdk| sdk.has(module) || sdk.has(&package_of(module)))
}

/// The package of a module: `boto3` of `boto3.session`, `@aws-sdk/` of `@aws-sdk/client-s3`.
fn package_of(module: &str) -> String {
    if module.starts_with('@') {
        module.to_owned()
    } else {
        module.split(['.', '/']).next().unwrap_or(module).to_owned()
    }
}

/// What to do where Lambda's Node.js does less with modules than that of a developer.
fn hint_of_modules(message: &str) -> Option<&'static str> {
    if message.contains("require() of ES Module ") {
        return Some(
            "Lambda starts Node.js so that `require` takes no modules of ECMAScript: set `bundle = true`, load it with `await import()`, or \
             set `NODE_OPTIONS` to `--experimental-require-module` in the function's environment",
        );
    }
    let is_syntax = ["Unexpected token 'export'", "Cannot use import statement outside a module"];
    is_syntax.iter().any(|words| message.contains(words)).then_some(
        "Lambda takes a file for a module by its name alone: call it `.mjs`, or write `\"type\": \"module\"` into `package.json`",
    )
}

fn hint(missing: Option<&str>, known: &Known) -> String {
    let Some(module) = missing else {
        return "`invoke` runs it with its log; what is at fault is in the function's own code or its packages"
            .to_owned();
    };
    let name = module.rsplit('/').next().unwrap_or(module);
    let file = name.split('.').next().unwrap_or(name);
    let class = module.replace('.', "/");
    let is_it = |path: &str| {
        let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or(path);
        let is_class = class.contains('/') && path.split('.').next().is_some_and(|path| path.ends_with(&class));
        last == name || last.split('.').next() == Some(file) || is_class
    };
    if let Some((path, rule)) = known.excluded.iter().find(|(path, _)| is_it(path)) {
        return format!("`{path}` is left out by {rule}: bring it back with `include`, or mend the pattern");
    }
    if !known.absent_layers.is_empty() {
        return format!(
            "layers that exist elsewhere are not here to look into ({}): if `{module}` is in one of them, set \
             `handler-fails-to-load` to `ignore`; else add it",
            known.absent_layers.join(", ")
        );
    }
    // A folder that has no list of packages is what it is made from.
    let place = match known.resolved_by.strip_suffix(" as it is") {
        Some(folder) => format!("put it into {folder}"),
        None => format!("add it to what {} is made from", known.resolved_by),
    };
    format!("`{module}` is not packed: {place}, or into a layer of the function")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_is_what_fits() {
        let mut known = Known { resolved_by: "requirements.txt".to_owned(), ..Known::default() };
        let python = missing_module("Unable to import module 'app': No module named 'yaml'");
        let python = python.as_deref();
        assert_eq!(python, Some("yaml"));
        assert!(hint(python, &known).contains("`yaml` is not packed: add it to what requirements.txt"));
        known.absent_layers = vec!["arn:x".to_owned()];
        assert!(hint(python, &known).contains("arn:x"));
        known.excluded = vec![("lib/yaml.py".to_owned(), "`exclude`".to_owned())];
        assert!(hint(python, &known).starts_with("`lib/yaml.py` is left out by `exclude`"));
        let named = |message: &str| missing_module(message).unwrap_or_default();
        assert_eq!(named("Error: Cannot find module './x'\nRequire stack:"), "./x");
        assert_eq!(named("cannot load such file -- nokogiri"), "nokogiri");
        let class = |message: &str| missing_class("java.lang.NoClassDefFoundError", message).unwrap_or_default();
        assert_eq!(class("Error loading class App: org/slf4j/Logger"), "org.slf4j.Logger");
        assert_eq!(class("Could not initialize class com.example.App"), "");
        assert_eq!(missing_class("ValueError", "no good"), None);
        known.excluded = vec![("src/com/example/App.class".to_owned(), "`exclude`".to_owned())];
        assert!(hint(Some("com.example.App"), &known).starts_with("`src/com/example/App.class` is left out by"));
        let has = |runtime: &str, module: &str| is_of_the_runtime(lambda::find(runtime).unwrap(), module);
        assert!(
            has("ruby3.4", "aws-sdk-s3")
                && has("python3.13", "boto3.session")
                && has("nodejs22.x", "@aws-sdk/client-s3")
        );
        assert!(!has("ruby3.4", "aws-xray-sdk") && !has("java21", "aws-sdk-s3"));
        assert_eq!(package_of("boto3.session"), "boto3");
    }

    #[test]
    fn documents_lose_the_id_of_a_request_that_there_is_not() {
        let document = br#"{"errorType":"Runtime.ExitError","errorMessage":"RequestId: @x@ Error: Runtime exited with error: exit status 3"}"#;
        assert_eq!(
            read(document),
            ("Runtime.ExitError".to_owned(), "Runtime exited with error: exit status 3".to_owned())
        );
    }
}
