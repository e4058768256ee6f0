//! uv, pip and Python as they are on this machine, and how they are called.

use std::path::{Path, PathBuf};

use crate::fresh;
use crate::process::{Tool, find_program, find_programs};

/// How to get uv or pip when neither is here.
pub(super) const INSTALL_HINT: &str =
    "install uv (https://docs.astral.sh/uv/), or pip with `python3 -m ensurepip`, and see that it is on PATH";

/// The tools of Python that are on PATH.
#[derive(Debug, Clone, Default)]
pub struct Programs {
    /// `uv`.
    pub uv: Option<PathBuf>,
    /// `python3`, which may or may not have pip.
    pub python: Option<PathBuf>,
}

impl Programs {
    /// Looks for them.
    pub fn find() -> Self {
        Self { uv: find_program("uv"), python: find_program("python3").or_else(|| find_program("python")) }
    }

    /// An interpreter for uv: the target's when it is here, else any. One that is a script is a version manager's, which
    /// uv would start anew each time, to find out where it leads today.
    pub(super) fn interpreter(&self, minor: u8) -> Option<PathBuf> {
        Self::interpreters(minor).into_iter().chain(find_programs("python3")).find(|path| starts_like_elf(path))
    }

    /// The interpreters of a version on PATH that are no scripts.
    pub(super) fn interpreters(minor: u8) -> Vec<PathBuf> {
        find_programs(&format!("python3.{minor}")).into_iter().filter(|path| starts_like_elf(path)).collect()
    }

    /// What these programs are, and which of their settings the environment has.
    pub(super) fn facts(&self) -> Vec<String> {
        let tools = [&self.uv, &self.python].into_iter().flatten().map(|path| fresh::tool(path));
        tools.chain(fresh::variables(&["UV_", "PIP_", "XDG_CONFIG", "HOME", "VIRTUAL_ENV"])).collect()
    }

    /// A call of uv that downloads no Python.
    pub(super) fn call_uv(uv: &Path, offline: bool) -> Tool {
        let tool = Tool::new(uv).env("UV_PYTHON_DOWNLOADS", "never").env("NO_COLOR", "1").env_remove("VIRTUAL_ENV");
        if offline { tool.arg("--offline") } else { tool }
    }

    /// A call of pip.
    pub(super) fn call_pip(python: &Path) -> Tool {
        Tool::new(python)
            .args(["-m", "pip"])
            .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
            .env("PIP_NO_INPUT", "1")
            .env("PIP_USER", "0")
            .env("PIP_REQUIRE_VIRTUALENV", "0")
            .env("NO_COLOR", "1")
            .install_hint(INSTALL_HINT)
    }
}

fn starts_like_elf(path: &Path) -> bool {
    use std::io::Read as _;
    let mut magic = [0; 4];
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == *b"\x7fELF"
}
