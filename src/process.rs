//! The one way to run another program: nothing on its standard input, both streams drained, and a failure that quotes the
//! command, the status and what the program said. Credentials in URLs are masked before they reach a message.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};

use crate::error::{Error, Result};
use crate::interrupt::{self, RememberedGroup};

/// A program to run, with its arguments.
#[derive(Debug, Clone)]
pub struct Tool {
    program: OsString,
    args: Vec<OsString>,
    envs: Vec<(OsString, Option<OsString>)>,
    cwd: Option<PathBuf>,
    input: Option<String>,
    install: Option<String>,
    /// It says on standard output what others say on standard error.
    speaks_on_stdout: bool,
    is_bare: bool,
}

/// What makes Git work on another repository than the one of its folder. Git sets them where it runs hooks.
const REPOSITORY_VARIABLES: &[&str] = &[
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_GRAFT_FILE",
    "GIT_CONFIG",
];

/// What a program that succeeded wrote.
#[derive(Debug)]
pub struct Output {
    /// Standard output, as it came.
    pub stdout: Vec<u8>,
    /// Standard error, as text.
    pub stderr: String,
}

impl Output {
    /// Standard output as text, invalid UTF-8 replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// Why a program did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// It could not be started, most often because it is not installed.
    NotStarted(Error),
    /// It ended with another status than 0; the standard error is kept for whoever can read something from it.
    Status {
        /// The error to show.
        error: Error,
        /// Standard error as text.
        stderr: String,
    },
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotStarted(error) | Failure::Status { error, .. } => error,
        }
    }
}

impl Tool {
    /// A program, found on `PATH` unless it has a slash.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            envs: Vec::new(),
            cwd: None,
            input: None,
            install: None,
            speaks_on_stdout: false,
            is_bare: false,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item = S>, S: Into<OsString>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable of the program.
    #[must_use]
    pub fn env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.envs.push((key.into(), Some(value.into())));
        self
    }

    /// Takes an environment variable away from the program.
    #[must_use]
    pub fn env_remove(mut self, key: impl Into<OsString>) -> Self {
        self.envs.push((key.into(), None));
        self
    }

    /// Gives the program nothing of this process's environment.
    #[must_use]
    pub fn without_environment(mut self) -> Self {
        self.is_bare = true;
        self
    }

    /// Sets the working folder.
    #[must_use]
    pub fn cwd(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cwd = Some(dir.into());
        self
    }

    /// What the program gets on its standard input, instead of nothing: a line or two, which a pipe holds.
    #[must_use]
    pub fn input(mut self, text: impl Into<String>) -> Self {
        self.input = Some(text.into());
        self
    }

    /// Takes away what makes Git work on another repository than that of its folder.
    #[must_use]
    pub fn in_no_repository(self) -> Self {
        REPOSITORY_VARIABLES.iter().fold(self, |tool, name| tool.env_remove(*name))
    }

    /// What to do when the program is missing, as a hint.
    #[must_use]
    pub fn install_hint(mut self, hint: impl Into<String>) -> Self {
        self.install = Some(hint.into());
        self
    }

    /// For a program that tells progress and errors on its standard output, as Maven does: that is what is listened to, and
    /// what a failure has as `stderr`, followed by what came on standard error.
    #[must_use]
    pub fn speaks_on_stdout(mut self) -> Self {
        self.speaks_on_stdout = true;
        self
    }

    /// The command as one would type it, credentials masked.
    pub fn display(&self) -> String {
        let mut words = vec![self.program.to_string_lossy().into_owned()];
        words.extend(self.args.iter().map(|a| quote(&a.to_string_lossy())));
        redact(&words.join(" "))
    }

    /// Runs to the end.
    pub fn run(&self) -> Result<Output, Failure> {
        self.run_with(&mut |_| {})
    }

    /// Runs to the end, handing each line of standard error to `on_line` as it comes.
    pub fn run_with(&self, on_line: &mut dyn FnMut(&str)) -> Result<Output, Failure> {
        let mut command = self.command();
        if self.input.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn().map_err(|e| self.not_started(&e))?;
        if let (Some(mut pipe), Some(input)) = (child.stdin.take(), &self.input) {
            // A program that reads nothing may have ended already.
            let _ = pipe.write_all(input.as_bytes());
        }
        let (stdout, stderr) = (child.stdout.take().map(boxed), child.stderr.take().map(boxed));
        let (listened, mut silent) = if self.speaks_on_stdout { (stdout, stderr) } else { (stderr, stdout) };
        let rest = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(pipe) = silent.as_mut() {
                let _ = pipe.read_to_end(&mut bytes);
            }
            bytes
        });
        let mut said = String::new();
        if let Some(pipe) = listened {
            let mut reader = BufReader::new(pipe);
            let mut line = Vec::new();
            while matches!(reader.read_until(b'\n', &mut line), Ok(n) if n > 0) {
                let text = plain(&line);
                on_line(text.trim_end());
                said.push_str(&text);
                line.clear();
            }
        }
        let status = child.wait().map_err(|e| self.not_started(&e))?;
        let mut stdout = rest.join().unwrap_or_default();
        let mut stderr = said;
        if self.speaks_on_stdout {
            stderr.push_str(&plain(&std::mem::take(&mut stdout)));
        }
        if status.success() {
            return Ok(Output { stdout, stderr });
        }
        let said = if stderr.trim().is_empty() { plain(&stdout) } else { stderr.clone() };
        let error = Error::failed(format!("`{}` failed ({status})", self.display())).because(last_lines(&said, 30));
        Err(Failure::Status { error, stderr })
    }

    /// Starts the program in a process group of its own and lets it run. It ends when what is given back is dropped.
    ///
    /// The thread that calls this should live as long as the program does: sandboxes end with the thread that has started
    /// them.
    pub fn start(&self) -> Result<Running, Failure> {
        let mut command = self.command();
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().map_err(|e| self.not_started(&e))?;
        let group = interrupt::remember_group(child.id());
        Ok(Running { child, group: Some(group) })
    }

    fn command(&self) -> Command {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that starts processes")]
        let mut command = Command::new(&self.program);
        command.args(&self.args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if self.is_bare {
            command.env_clear();
        }
        for (key, value) in &self.envs {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        if let Some(cwd) = &self.cwd {
            command.current_dir(cwd);
        }
        command
    }

    fn not_started(&self, cause: &std::io::Error) -> Failure {
        let program = self.program.to_string_lossy();
        let error = if cause.kind() == std::io::ErrorKind::NotFound {
            Error::failed(format!("`{program}` was not found on PATH"))
        } else {
            Error::failed(format!("Failed to run `{}`", self.display())).because(cause)
        };
        Failure::NotStarted(match &self.install {
            Some(hint) => error.hint(hint.clone()),
            None => error,
        })
    }
}

fn boxed(pipe: impl Read + Send + 'static) -> Box<dyn Read + Send> {
    Box::new(pipe)
}

/// What a program says, without colours and what else is for terminals: some colour also what goes into a pipe, and what is
/// quoted in an error may end in a log.
fn plain(said: &[u8]) -> String {
    anstream::adapter::strip_str(&String::from_utf8_lossy(said)).to_string()
}

/// A program that runs beside this one. When it is dropped the program is killed, with all that is in its process group.
#[derive(Debug)]
pub struct Running {
    child: Child,
    group: Option<RememberedGroup>,
}

impl Running {
    /// Its standard output and standard error, once.
    pub fn outputs(&mut self) -> (Option<ChildStdout>, Option<ChildStderr>) {
        (self.child.stdout.take(), self.child.stderr.take())
    }

    /// The id of the process, which is that of its group.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it has ended, if it has. What it has left in its group is killed then.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().ok().flatten()?;
        if let Some(group) = self.group.take() {
            group.kill();
        }
        Some(status)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = self.group.take() {
            group.kill();
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A word as a shell reads it.
pub(crate) fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// The first `count` lines but those that are left out, on lines of their own: a compiler's first error is mostly what causes
/// the others.
pub fn first_lines(text: &str, count: usize, is_left_out: impl Fn(&str) -> bool) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !is_left_out(line)).collect();
    let mut out = String::new();
    for line in lines.iter().take(count) {
        out.push_str("\n  ");
        out.push_str(line);
    }
    if lines.len() > count {
        out.push_str(&format!("\n  … {} more lines", lines.len() - count));
    }
    out
}

/// The last `count` lines, on lines of their own.
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let from = lines.len().saturating_sub(count);
    let mut out = String::new();
    if from > 0 {
        out.push_str(&format!("\n  … {from} lines before"));
    }
    for line in &lines[from..] {
        out.push_str("\n  ");
        out.push_str(&without_versions(line));
    }
    out
}

/// A line of pip's without the list of all versions that there are, which may be hundreds: the last one is kept.
pub fn without_versions(line: &str) -> String {
    const LIST: &str = "(from versions: ";
    let shortened = || {
        let (before, rest) = line.split_once(LIST)?;
        let (versions, after) = rest.split_once(')')?;
        let (_, newest) = versions.rsplit_once(", ")?;
        Some(format!("{before}{LIST}…, {newest}){after}"))
    };
    shortened().unwrap_or_else(|| line.to_owned())
}

/// Masks user names and passwords in URLs (`https://user:secret@host` becomes `https://***@host`).
pub fn redact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("://") {
        let (before, after) = rest.split_at(start + 3);
        out.push_str(before);
        let authority = after.find(|c: char| c.is_whitespace() || "/?#\"<>`".contains(c)).unwrap_or(after.len());
        match after[..authority].rfind('@') {
            Some(at) => {
                out.push_str("***");
                rest = &after[at..];
            }
            None => rest = after,
        }
    }
    out.push_str(rest);
    out
}

/// The full path of a program on `PATH`, if there is one that may be executed.
pub fn find_program(name: &str) -> Option<PathBuf> {
    find_programs(name).into_iter().next()
}

/// The full paths of all programs of this name on `PATH`, in its order.
pub fn find_programs(name: &str) -> Vec<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let names: Vec<OsString> = if cfg!(windows) {
        ["exe", "cmd", "bat"].iter().map(|ext| OsString::from(format!("{name}.{ext}"))).collect()
    } else {
        vec![OsStr::new(name).to_owned()]
    };
    std::env::split_paths(&paths)
        .flat_map(|dir| names.iter().map(move |n| dir.join(n)).collect::<Vec<_>>())
        .filter(|p| is_executable(p))
        .collect()
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(path: &Path) -> bool {
    path.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_masked() {
        assert_eq!(redact("get https://u:p@h/x?y=http://t@h2 end"), "get https://***@h/x?y=http://***@h2 end");
        assert_eq!(redact("https://h/a@b"), "https://h/a@b");
        assert_eq!(redact("'https://u:it's@h/x'"), "'https://***@h/x'");
    }

    #[test]
    fn a_failure_quotes_command_status_and_output() {
        let tool = Tool::new("sh").args(["-c", "echo out; echo 'bad thing' >&2; exit 3"]);
        let Err(Failure::Status { error, stderr }) = tool.run() else { panic!("must fail") };
        assert_eq!(stderr, "bad thing\n");
        let text = error.to_string();
        assert!(text.contains("sh -c") && text.contains("exit status: 3") && text.contains("bad thing"), "{text}");
    }

    #[test]
    fn a_program_that_speaks_on_stdout_is_heard() {
        let tool = Tool::new("sh").args(["-c", "echo one; echo two >&2; exit 1"]).speaks_on_stdout();
        let mut heard = Vec::new();
        let Err(Failure::Status { stderr, .. }) = tool.run_with(&mut |line| heard.push(line.to_owned())) else {
            panic!("must fail")
        };
        assert_eq!((heard, stderr.as_str()), (vec!["one".to_owned()], "one\ntwo\n"));
    }

    #[test]
    fn colours_are_not_quoted() {
        let script = r"printf '[\033[1;31mERROR\033[m] a\tb\007\n\033]0;title\007ü\n' >&2; exit 1";
        let mut heard = Vec::new();
        let failed = Tool::new("sh").args(["-c", script]).run_with(&mut |line| heard.push(line.to_owned()));
        let Err(Failure::Status { error, stderr }) = failed else { panic!("must fail") };
        assert_eq!((stderr.as_str(), heard), ("[ERROR] a\tb\nü\n", vec!["[ERROR] a\tb".to_owned(), "ü".to_owned()]));
        // What follows is what was said; the command before it may hold what it likes.
        assert!(error.to_string().ends_with("\n  [ERROR] a\tb\n  ü"), "{error}");
    }

    #[test]
    fn lists_of_versions_are_shortened() {
        let line = "ERROR: no x<2 (from versions: 0.1, 0.2rc1, 3.0) here";
        assert_eq!(without_versions(line), "ERROR: no x<2 (from versions: …, 3.0) here");
        assert_eq!(without_versions("(from versions: none)"), "(from versions: none)");
    }

    #[test]
    fn a_missing_program_says_how_to_get_it() {
        let error: Error = Tool::new("no-such-tool").install_hint("install it with `x`").run().unwrap_err().into();
        assert_eq!(error.to_string(), "`no-such-tool` was not found on PATH");
        assert_eq!(error.hints(), ["install it with `x`"]);
    }
}
