//! The one error type of the library: what went wrong, where, and what to do next.
//!
//! An [`Error`] carries facts (message, file position, cause) and, apart from them, hints that say the next step.
//! Its [`Kind`] decides the exit code. Nothing here prints; `cli::print` renders errors.

use std::fmt;
use std::path::{Path, PathBuf};

/// Shorthand for results of this library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Who has to act: the person who wrote the configuration, or whoever runs the tools and the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The command line, the config or a manifest is wrong (exit code 2).
    Config,
    /// The work failed: a tool, the network, the file system (exit code 1).
    Failed,
}

/// A position in a text file, lines and columns counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The file.
    pub path: PathBuf,
    /// Line and column, when known.
    pub line_column: Option<(usize, usize)>,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some((line, column)) = self.line_column {
            write!(f, ":{line}:{column}")?;
        }
        Ok(())
    }
}

/// An error with its facts, its cause and the next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(Box<Inner>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Inner {
    kind: Kind,
    message: String,
    position: Option<Position>,
    cause: Option<String>,
    hints: Vec<String>,
}

impl Error {
    fn new(kind: Kind, message: impl Into<String>) -> Self {
        let message = crate::process::redact(&message.into());
        Self(Box::new(Inner { kind, message, position: None, cause: None, hints: Vec::new() }))
    }

    /// The command line, the config or a manifest is wrong.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(Kind::Config, message)
    }

    /// The work failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, message)
    }

    /// Failed to do `action` on `path` because of an I/O error: `Failed to read `x`: No such file …`.
    pub fn io(action: &str, path: &Path, cause: &std::io::Error) -> Self {
        let error = Self::failed(format!("Failed to {action} `{}`", path.display())).because(cause);
        match cause.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                error.hint("free some space, or choose another place with `--out-dir` or LAMBDA_PACK_CACHE_DIR")
            }
            _ => error,
        }
    }

    /// The same error, told to be in `path`, at a line and column counted from 1 when they are known.
    #[must_use]
    pub fn at(mut self, path: impl Into<PathBuf>, line_column: Option<(usize, usize)>) -> Self {
        self.0.position = Some(Position { path: path.into(), line_column });
        self
    }

    /// The same error with its cause, said in the cause's own words.
    #[must_use]
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.0.cause = Some(crate::process::redact(&cause.to_string()));
        self
    }

    /// The same error with one more next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hints.push(hint.into());
        self
    }

    /// The same error, with `context` put before its message.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.0.message = format!("{context}: {}", self.0.message);
        self
    }

    /// Who has to act.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// What to do next, one sentence each.
    pub fn hints(&self) -> &[String] {
        &self.0.hints
    }

    /// The bare message, without position and cause.
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(position) = &self.0.position {
            write!(f, "{position}: ")?;
        }
        f.write_str(&self.0.message)?;
        if let Some(cause) = &self.0.cause {
            // What begins on a line of its own needs no space before it.
            write!(f, "{}{cause}", if cause.starts_with('\n') { ":" } else { ": " })?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_masked_wherever_they_stand() {
        let error = Error::config("`https://u:p@h/x` is no requirement").because("see https://u:p@h");
        assert_eq!(error.to_string(), "`https://***@h/x` is no requirement: see https://***@h");
    }
}
