//! The one module that writes to the terminal's streams, and how errors and findings look there.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::path::Path;

use super::Exit;
use super::args::{Color, OutputArgs};
use crate::error::{Error, Kind, Result};
use crate::finding::{Finding, Level};
use crate::fsio;
use crate::pipeline::Failures;

/// Colours, or none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    on: bool,
}

impl Style {
    pub(super) fn of(output: OutputArgs, stream: &dyn IsTerminalStream) -> Self {
        let on = match output.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                let asked_not_to = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
                let dumb = std::env::var_os("TERM").is_some_and(|t| t == "dumb");
                stream.is_a_terminal() && !asked_not_to && !dumb
            }
        };
        Self { on }
    }

    pub(super) fn stderr(output: OutputArgs) -> Self {
        Self::of(output, &std::io::stderr())
    }

    pub(super) fn stdout(output: OutputArgs) -> Self {
        Self::of(output, &std::io::stdout())
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(super) fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(super) fn red(self, text: &str) -> String {
        self.paint("31", text)
    }

    pub(super) fn level(self, level: Level, text: &str) -> String {
        self.paint(
            match level {
                Level::Error => "1;31",
                Level::Warning => "1;33",
                Level::Note => "1;36",
            },
            text,
        )
    }
}

/// Lets tests and both streams answer the one question.
pub(super) trait IsTerminalStream {
    fn is_a_terminal(&self) -> bool;
}

impl<T: IsTerminal> IsTerminalStream for T {
    fn is_a_terminal(&self) -> bool {
        self.is_terminal()
    }
}

/// Writes data to stdout. Whoever closed the pipe has read enough.
pub(super) fn stdout(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::failed("Failed to write to the standard output").because(error))
        }
        _ => Ok(()),
    }
}

/// Writes a function's answer to stdout, as it is; where a person reads it, a line break ends it.
pub(super) fn answer(bytes: &[u8]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let end: &[u8] = if out.is_terminal() && !bytes.ends_with(b"\n") { b"\n" } else { b"" };
    match out.write_all(bytes).and_then(|()| out.write_all(end)).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::failed("Failed to write to the standard output").because(error))
        }
        _ => Ok(()),
    }
}

/// Writes to stderr what others have written.
pub(super) fn stderr_bytes(bytes: &[u8]) {
    let _ = std::io::stderr().lock().write_all(bytes);
}

/// Writes words to stderr.
pub(super) fn stderr(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// A path as a person would type it from here.
pub(super) fn path(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let relative = fsio::relative_to(path, &here);
    let shorter = relative.components().count() < path.components().count();
    if shorter { relative.display().to_string() } else { path.display().to_string() }
}

/// Paths below the current folder as one would type them: shorter, and a click in most terminals still opens them.
fn from_here(text: &str) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    without_prefix(text, &format!("{}/", here.display()))
}

/// The text without `prefix` where a path begins with it.
fn without_prefix(text: &str, prefix: &str) -> String {
    if prefix.len() < 3 {
        return text.to_owned(); // the root: everything begins so
    }
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (at, _) in text.match_indices(prefix) {
        let begins = text[..at].chars().next_back().is_none_or(|c| c.is_whitespace() || "`'\"(".contains(c));
        if begins {
            out.push_str(&text[done..at]);
            done = at + prefix.len();
        }
    }
    out.push_str(&text[done..]);
    out
}

/// Says what stopped the work, and gives the exit code for it.
pub(super) fn failures(failures: &Failures, output: OutputArgs) -> Exit {
    let style = Style::stderr(output);
    let mut text = String::new();
    for error in &failures.0 {
        let _ = writeln!(text, "{}: {error}", style.level(Level::Error, "error"));
        for hint in error.hints() {
            let _ = writeln!(text, "  {}: {hint}", style.bold("hint"));
        }
    }
    stderr(&from_here(&text));
    match failures.kind() {
        Kind::Config => Exit::Config,
        Kind::Failed => Exit::Failed,
    }
}

/// Says what the rules found; notes only when asked for.
pub(super) fn findings(findings: &[Finding], output: OutputArgs) {
    let style = Style::stderr(output);
    let least = if output.verbose > 0 { Level::Note } else { Level::Warning };
    let mut text = String::new();
    for finding in findings.iter().filter(|f| f.level >= least) {
        let label = format!("{}[{}]", finding.level, finding.rule);
        let _ = write!(text, "{}", style.level(finding.level, &label));
        let (function, path) = (finding.function.as_deref(), finding.path.as_deref());
        for place in [function, finding.layer.as_deref(), path].into_iter().flatten() {
            let _ = write!(text, " {place}:");
        }
        let _ = writeln!(text, " {}", finding.message);
        let _ = writeln!(text, "  {}: {}", style.bold("hint"), finding.hint);
    }
    stderr(&from_here(&text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_beginning_of_a_path_is_left_out() {
        for (text, shown) in [
            ("/a/b/c.toml:1:2: x", "c.toml:1:2: x"),
            ("error: `/a/b/c` and `/x/a/b/c`", "error: `c` and `/x/a/b/c`"),
            ("`/a/b` --path=/a/b/c", "`/a/b` --path=/a/b/c"),
            ("/a/b//a/b/", "/a/b/"),
        ] {
            assert_eq!(without_prefix(text, "/a/b/"), shown);
        }
        assert_eq!(without_prefix("/x", "/"), "/x");
    }
}
