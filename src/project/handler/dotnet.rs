//! Handlers of .NET functions, as the tools of AWS note them beside a project.

use std::path::Path;

use super::MissingHandler;
use crate::fsio;

/// The file in which `dotnet lambda` and Visual Studio keep what they were told.
const DEFAULTS: &str = "aws-lambda-tools-defaults.json";

/// The handler that it names.
pub(super) fn find(dir: &Path) -> Result<String, MissingHandler> {
    let named = || {
        let text = fsio::read_text(&dir.join(DEFAULTS)).ok()?;
        let defaults: serde_json::Value = serde_json::from_str(&text).ok()?;
        defaults["function-handler"].as_str().filter(|handler| !handler.is_empty()).map(str::to_owned)
    };
    named()
        .ok_or_else(|| MissingHandler { looked: format!("looked for `function-handler` in `{DEFAULTS}`"), hint: None })
}
