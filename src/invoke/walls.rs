//! What stands between a function and this machine: a sandbox with the root that Lambda shows, by bubblewrap or, without it,
//! `unshare`; where none can be made, a folder and a word on what that does not reproduce.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::client::Program;
use super::environment::Places;
use crate::error::Result;
use crate::fsio::{self, Scratch};
use crate::process::{Tool, find_program};

/// Lambda's user, `sbx_user1051`.
const USER: [&str; 5] = ["--unshare-user", "--uid", "993", "--gid", "990"];
const PASSWD: &str = "root:x:0:0:root:/root:/sbin/nologin\nsbx_user1051:x:993:990::/home/sbx_user1051:/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nsbx_user1051:x:990:\n";
/// What programs of this machine need of it to run; nothing in there is a developer's.
const SYSTEM: [&str; 8] = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32", "/etc/alternatives", "/etc/ssl"];
const SYSTEM_FILES: [&str; 7] = [
    "/etc/pki",
    "/etc/ca-certificates",
    "/etc/ld.so.cache",
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
];

/// How functions are kept apart here.
#[derive(Debug, Clone)]
pub(super) enum Walls {
    /// bubblewrap, with the options that work on this machine.
    Bubblewrap { program: PathBuf, user: Vec<String>, is_sized: bool },
    /// `unshare` of util-linux, and a script that mounts.
    Namespaces { program: PathBuf },
    /// Nothing but a folder and an environment.
    Folder,
}

const SCRIPT: &str = include_str!("clients/walls.sh");
/// New namespaces, in which the program is Lambda's user and may mount.
const UNSHARE: [&str; 8] =
    ["--user", "--map-user=993", "--map-group=990", "--keep-caps", "--mount", "--pid", "--ipc", "--fork"];

impl Walls {
    /// The best that works here, and what it does not reproduce. It is looked for once.
    pub(super) fn find() -> (Self, Option<String>) {
        static FOUND: OnceLock<(Walls, Option<String>)> = OnceLock::new();
        FOUND.get_or_init(Self::try_out).clone()
    }

    fn try_out() -> (Self, Option<String>) {
        let Some(program) = find_program("bwrap") else {
            return Self::without_bubblewrap("bubblewrap (`bwrap`) is not installed");
        };
        let as_user: Vec<String> = USER.map(str::to_owned).to_vec();
        // Below a changed root there are no user namespaces, but whoever may change it needs none.
        for (user, is_sized) in [(&as_user, true), (&as_user, false), (&Vec::new(), true), (&Vec::new(), false)] {
            let walls = Self::Bubblewrap { program: program.clone(), user: user.clone(), is_sized };
            if walls.is_standing() {
                let mut missing = Vec::new();
                missing.extend(user.is_empty().then_some("the user of functions"));
                missing.extend((!is_sized).then_some("the size of /tmp (bubblewrap before 0.7 cannot set it)"));
                let note = (!missing.is_empty()).then(|| format!("not reproduced here: {}", missing.join(", ")));
                return (walls, note);
            }
        }
        Self::without_bubblewrap("bubblewrap (`bwrap`) cannot make a sandbox on this machine")
    }

    fn without_bubblewrap(why: &str) -> (Self, Option<String>) {
        let walls = find_program("unshare").map(|program| Self::Namespaces { program });
        match walls.filter(Self::is_standing) {
            Some(walls) => (walls, None),
            None => (Self::Folder, Some(unwalled(why))),
        }
    }

    /// Whether a program that does nothing runs in it.
    fn is_standing(&self) -> bool {
        let stands = || -> Result<bool> {
            let scratch = fsio::scratch_dir()?;
            for name in ["task", "opt", "runtime"] {
                fsio::create_dir_all(&scratch.path().join(name))?;
            }
            let program = Program { words: vec!["true".to_owned()], ..Program::default() };
            let path = BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]);
            Ok(self.tool(&program, &path, &scratch, 1 << 20)?.run().is_ok())
        };
        stands().unwrap_or(false)
    }

    /// Where things lie, as the function sees it.
    pub(super) fn places(&self, scratch: &Path) -> Places {
        let below = |name: &str| scratch.join(name).display().to_string();
        match self {
            Self::Bubblewrap { .. } | Self::Namespaces { .. } => Places::lambda(),
            Self::Folder => Places { task: below("task"), opt: below("opt"), runtime: below("runtime") },
        }
    }

    /// `unshare`, up to the arguments of the script.
    pub(super) fn namespaces(&self, unshare: &Path) -> Tool {
        let tool = Tool::new(unshare).without_environment().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        tool.args(UNSHARE).args(["--kill-child", "sh", "-c", SCRIPT, "walls"])
    }

    pub(super) fn options(&self, storage: u64) -> Vec<String> {
        let Self::Bubblewrap { user, is_sized, .. } = self else { return Vec::new() };
        let mut out: Vec<String> = user.clone();
        let fixed = ["--unshare-pid", "--unshare-ipc", "--die-with-parent", "--clearenv", "--cap-drop", "ALL"];
        out.extend(fixed.map(str::to_owned));
        // No shared memory: what is not `/tmp` is not written to.
        out.extend(["--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev"].map(str::to_owned));
        if *is_sized {
            out.extend(["--size".to_owned(), storage.to_string()]);
        }
        out.extend(["--tmpfs", "/tmp"].map(str::to_owned));
        out
    }

    /// The tool that runs `program` in there.
    pub(super) fn tool(
        &self,
        program: &Program,
        variables: &BTreeMap<String, String>,
        scratch: &Scratch,
        storage: u64,
    ) -> Result<Tool> {
        let root = scratch.path();
        if matches!(self, Self::Folder) {
            let tmp = root.join("tmp");
            fsio::create_dir_all(&tmp)?;
            let tool = Tool::new(&program.words[0]).args(&program.words[1..]).without_environment();
            let tool = variables.iter().fold(tool, |tool, (name, value)| tool.env(name, value));
            return Ok(tool.env("TMPDIR", tmp).cwd(root.join("task")));
        }
        for (name, text) in [("passwd", PASSWD), ("group", GROUP)] {
            let path = root.join(name);
            if !path.exists() {
                fsio::write_new(&path, text.as_bytes(), false)?;
            }
        }
        let mut seen = Vec::new();
        for path in program.seen.iter().filter(|seen| !is_there(seen)) {
            // What lies in /opt on this machine needs a place to be put in there.
            if let Ok(below) = path.strip_prefix("/opt") {
                let place = root.join("opt").join(below);
                fsio::create_dir_all(if path.is_dir() { &place } else { place.parent().unwrap_or(root) })?;
            }
            seen.push(path.as_path());
        }
        Ok(match self {
            Self::Namespaces { program: unshare } => {
                let tool = self
                    .namespaces(unshare)
                    .arg("function")
                    .arg(root)
                    .arg(storage.to_string())
                    .args(SYSTEM)
                    .args(SYSTEM_FILES)
                    .args(seen)
                    .arg("--");
                let set = variables.iter().map(|(name, value)| format!("{name}={value}"));
                tool.args(set).args(&program.words)
            }
            _ => self.bubblewrap(program, variables, root, storage, &seen),
        })
    }

    fn bubblewrap(
        &self,
        program: &Program,
        variables: &BTreeMap<String, String>,
        root: &Path,
        storage: u64,
        seen: &[&Path],
    ) -> Tool {
        let Self::Bubblewrap { program: bwrap, .. } = self else { return Tool::new("bwrap") };
        let mut tool = Tool::new(bwrap).args(self.options(storage)).without_environment();
        for path in SYSTEM.iter().chain(&SYSTEM_FILES) {
            tool = tool.args(["--ro-bind-try", path, path]);
        }
        for (from, to) in [
            ("task", "/var/task"),
            ("opt", "/opt"),
            ("runtime", "/var/runtime"),
            ("passwd", "/etc/passwd"),
            ("group", "/etc/group"),
        ] {
            tool = tool.arg("--ro-bind").arg(root.join(from)).arg(to);
        }
        for path in seen {
            tool = tool.arg("--ro-bind").arg(path).arg(path);
        }
        // What was made to put all this into is not to be written to either.
        tool = tool.args(["--remount-ro", "/", "--chdir", "/var/task"]);
        for (name, value) in variables {
            tool = tool.arg("--setenv").arg(name).arg(value);
        }
        tool.arg("--").args(&program.words)
    }
}

fn unwalled(why: &str) -> String {
    format!(
        "{why}, and `unshare` makes no sandbox either, so that the function runs in a plain folder: not reproduced are /var/task and /opt, what may not be written \
         outside of /tmp, the size of /tmp, the user, and that nothing else of this machine is seen; install `bubblewrap`"
    )
}

/// Whether a path is seen anyway.
fn is_there(path: &Path) -> bool {
    path == Path::new("/") || SYSTEM.iter().any(|system| path.starts_with(system))
}
