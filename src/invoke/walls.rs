//! What stands between a function and this machine: a sandbox of bubblewrap's with the root that Lambda shows, or, where
//! none can be made, a folder and a word on what that does not reproduce.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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
    /// Nothing but a folder and an environment.
    Folder,
}

impl Walls {
    /// The best that works here, and what it does not reproduce.
    pub(super) fn find() -> (Self, Option<String>) {
        let Some(program) = find_program("bwrap") else {
            return (Self::Folder, Some(unwalled("bubblewrap (`bwrap`) is not installed")));
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
        (Self::Folder, Some(unwalled("bubblewrap (`bwrap`) cannot make a sandbox on this machine")))
    }

    /// Whether a program that does nothing runs in it.
    fn is_standing(&self) -> bool {
        let Self::Bubblewrap { program, .. } = self else { return true };
        let tool = Tool::new(program).args(self.options(1 << 20)).args(["--ro-bind", "/", "/x"]);
        SYSTEM.iter().fold(tool, |tool, path| tool.args(["--ro-bind-try", path, path])).arg("true").run().is_ok()
    }

    /// Where things lie, as the function sees it.
    pub(super) fn places(&self, scratch: &Path) -> Places {
        let below = |name: &str| scratch.join(name).display().to_string();
        match self {
            Self::Bubblewrap { .. } => Places::lambda(),
            Self::Folder => Places { task: below("task"), opt: below("opt"), runtime: below("runtime") },
        }
    }

    fn options(&self, storage: u64) -> Vec<String> {
        let Self::Bubblewrap { user, is_sized, .. } = self else { return Vec::new() };
        let mut out: Vec<String> = user.clone();
        let fixed = ["--unshare-pid", "--unshare-ipc", "--die-with-parent", "--clearenv", "--cap-drop", "ALL"];
        out.extend(fixed.map(str::to_owned));
        out.extend(["--proc", "/proc", "--dev", "/dev"].map(str::to_owned));
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
        let Self::Bubblewrap { program: bwrap, .. } = self else {
            let tmp = root.join("tmp");
            fsio::create_dir_all(&tmp)?;
            let mut tool = Tool::new(&program.words[0]).args(&program.words[1..]).without_environment();
            for (name, value) in variables {
                tool = tool.env(name, value);
            }
            return Ok(tool.env("TMPDIR", tmp).cwd(root.join("task")));
        };
        for (name, text) in [("passwd", PASSWD), ("group", GROUP)] {
            let path = root.join(name);
            if !path.exists() {
                fsio::write_new(&path, text.as_bytes(), false)?;
            }
        }
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
        for seen in program.seen.iter().filter(|seen| !is_there(seen)) {
            // What lies in /opt on this machine needs a place to be put in there.
            if let Ok(below) = seen.strip_prefix("/opt") {
                let place = root.join("opt").join(below);
                fsio::create_dir_all(if seen.is_dir() { &place } else { place.parent().unwrap_or(root) })?;
            }
            tool = tool.arg("--ro-bind").arg(seen).arg(seen);
        }
        // What was made to put all this into is not to be written to either.
        tool = tool.args(["--remount-ro", "/", "--chdir", "/var/task"]);
        for (name, value) in variables {
            tool = tool.arg("--setenv").arg(name).arg(value);
        }
        Ok(tool.arg("--").args(&program.words))
    }
}

fn unwalled(why: &str) -> String {
    format!(
        "{why}, so that the function runs in a plain folder: not reproduced are /var/task and /opt, what may not be written \
         outside of /tmp, the size of /tmp, the user, and that nothing else of this machine is seen; install `bubblewrap`"
    )
}

/// Whether a path is seen anyway.
fn is_there(path: &Path) -> bool {
    path == Path::new("/") || SYSTEM.iter().any(|system| path.starts_with(system))
}
