//! `samconfig.toml`: what a project has told SAM stays told. Of its `default` environment, `global`, `build` and `package` are
//! read; the command line counts more.
//!
//! Source: "AWS SAM CLI configuration file" in the AWS SAM Developer Guide.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::fsio;

/// Its name.
pub(super) const NAME: &str = "samconfig.toml";
/// Commands whose settings are read, the later of which count more.
const COMMANDS: [&str; 3] = ["global", "build", "package"];

/// What it says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SamConfig {
    /// The template, absolute.
    pub template: Option<PathBuf>,
    /// Values of its parameters.
    pub parameters: BTreeMap<String, String>,
    /// The bucket.
    pub bucket: Option<String>,
    /// What keys begin with.
    pub prefix: Option<String>,
    /// The repository of images.
    pub repository: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// The profile.
    pub profile: Option<String>,
}

impl SamConfig {
    /// Reads the one in a folder, if there is one.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(NAME);
        if !path.is_file() {
            return Ok(None);
        }
        Self::parse(&path, &fsio::read_text(&path)?).map(Some)
    }

    fn parse(path: &Path, text: &str) -> Result<Self> {
        let document: toml::Table =
            text.parse().map_err(|e: toml::de::Error| Error::config(e.message().replace('\n', ", ")).at(path, None))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut out = Self::default();
        for command in COMMANDS {
            let parameters = document.get("default").and_then(|env| env.get(command)?.get("parameters")?.as_table());
            let text = |key: &str| parameters.and_then(|parameters| parameters.get(key)?.as_str()).map(str::to_owned);
            let template = text("template_file").or_else(|| text("template"));
            out.template = template.map(|file| fsio::normalize(folder, Path::new(&file))).or(out.template);
            out.bucket = text("s3_bucket").or(out.bucket);
            out.prefix = text("s3_prefix").or(out.prefix);
            out.repository = text("image_repository").or(out.repository);
            out.region = text("region").or(out.region);
            out.profile = text("profile").or(out.profile);
            match parameters.and_then(|parameters| parameters.get("parameter_overrides")) {
                Some(toml::Value::String(words)) => out.override_all(&words_of(words), path)?,
                Some(toml::Value::Array(items)) => {
                    let words: Vec<String> = items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect();
                    out.override_all(&words, path)?;
                }
                _ => {}
            }
        }
        Ok(out)
    }

    fn override_all(&mut self, words: &[String], path: &Path) -> Result<()> {
        for word in words {
            let (name, value) = parameter(word).ok_or_else(|| {
                Error::config(format!("`{word}` in `parameter_overrides` is not NAME=VALUE")).at(path, None)
            })?;
            self.parameters.insert(name, value);
        }
        Ok(())
    }
}

/// `NAME=VALUE`, or `ParameterKey=NAME,ParameterValue=VALUE`.
pub(crate) fn parameter(text: &str) -> Option<(String, String)> {
    let long = text.strip_prefix("ParameterKey=").and_then(|rest| rest.split_once(",ParameterValue="));
    let (name, value) = long.or_else(|| text.split_once('='))?;
    Some((name.to_owned(), value.to_owned()))
}

/// Words as a shell has them: blanks separate them unless they are quoted.
fn words_of(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let (mut word, mut quote, mut begun) = (String::new(), None, false);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => (quote, begun) = (Some(c), true),
            (Some('"') | None, '\\') => {
                word.extend(chars.next());
                begun = true;
            }
            (None, c) if c.is_whitespace() => {
                if begun {
                    out.push(std::mem::take(&mut word));
                    begun = false;
                }
            }
            (_, c) => {
                word.push(c);
                begun = true;
            }
        }
    }
    if begun {
        out.push(word);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sam_was_told_is_read() {
        let text = "version = 0.1\n[default.global.parameters]\nregion = 'eu-west-1'\ns3_prefix = 'x'\n\
                    [default.build.parameters]\ncached = true\ntemplate_file = 'infra/t.yaml'\nparameter_overrides = 'A=1 B=\"x y\" ParameterKey=C,ParameterValue=3'\n\
                    [default.package.parameters]\ns3_bucket = 'b'\ns3_prefix = 'y'\nimage_repository = 'r'\nparameter_overrides = ['A=2']\n[prod.package.parameters]\ns3_bucket = 'p'\n";
        let config = SamConfig::parse(Path::new("/p/samconfig.toml"), text).unwrap();
        assert_eq!(config.template, Some(PathBuf::from("/p/infra/t.yaml")));
        assert_eq!((config.bucket.as_deref(), config.prefix.as_deref()), (Some("b"), Some("y")));
        assert_eq!((config.region.as_deref(), config.repository.as_deref()), (Some("eu-west-1"), Some("r")));
        let parameters: Vec<(&str, &str)> = config.parameters.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(parameters, [("A", "2"), ("B", "x y"), ("C", "3")]);
        assert!(
            SamConfig::parse(Path::new("/p/samconfig.toml"), "a = ")
                .unwrap_err()
                .to_string()
                .starts_with("/p/samconfig.toml")
        );
        let bad = "[default.build.parameters]\nparameter_overrides = 'A'\n";
        assert!(
            SamConfig::parse(Path::new("x"), bad).unwrap_err().to_string().contains("`A` in `parameter_overrides`")
        );
    }
}
