//! What the environment of this process may decide when a build or a script of somebody else runs here: all of it, but for
//! where and how a shell was started. That is taken from the program, so that it cannot matter, and everything else is part
//! of what its result is known by.

use crate::fresh;
use crate::process::{Tool, find_program};

/// Variables of a shell and its terminal.
const OF_THE_SHELL: &[&str] =
    &["_", "COLUMNS", "INIT_CWD", "LINES", "OLDPWD", "PWD", "SHLVL", "TERM", "TERM_SESSION_ID", "WINDOWID"];
/// Programs that such builds start by name. Another one under the same name is another result.
const COMPILERS: &[&str] =
    &["cc", "c++", "gcc", "g++", "clang", "clang++", "ld", "make", "cmake", "pkg-config", "python3"];

fn is_of_the_shell(name: &str) -> bool {
    OF_THE_SHELL.contains(&name)
}

/// The variables that the program sees, with digests of their values.
pub(super) fn facts() -> Vec<String> {
    let all = fresh::variables(&[""]).into_iter();
    all.filter(|fact| !is_of_the_shell(fact.split('=').next().unwrap_or_default())).collect()
}

/// The compilers that it would find.
pub(super) fn compilers() -> impl Iterator<Item = String> {
    COMPILERS.iter().filter_map(|name| find_program(name)).map(|path| fresh::tool(&path))
}

/// The program without what [`facts`] leaves out.
pub(super) fn without_shell(tool: Tool) -> Tool {
    OF_THE_SHELL.iter().fold(tool, |tool, name| tool.env_remove(*name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_not_seen() {
        let tool = without_shell(Tool::new("sh").args(["-c", "env"]));
        let seen = tool.run().unwrap().text();
        let facts = facts();
        // Values may have several lines, and a shell sets some variables for itself.
        let names = seen.lines().filter_map(|line| line.split_once('=').map(|(name, _)| name));
        for name in names.filter(|name| std::env::var_os(name).is_some() && !is_of_the_shell(name)) {
            assert!(facts.iter().any(|fact| fact.starts_with(&format!("{name}="))), "{name}");
        }
        assert!(facts.iter().any(|fact| fact.starts_with("PATH=")) && !facts.iter().any(|f| f.starts_with("PWD=")));
    }
}
