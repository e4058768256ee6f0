//! A function that is an image: its root, unpacked once and kept, and what is started in it.
//!
//! What Lambda shows beside the image's own files: `/proc`, `/dev`, a `/tmp` that may be written to, its user in `/etc/passwd`, and
//! what a network needs of `/etc`, which here are this machine's. For these there are places in the root, made when it is
//! unpacked, so that nothing has to be made in it when it is bound read-only.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::client::Program;
use super::entrypoint::{self, MOUNTS, Refusal, Start};
use super::walls::Walls;
use super::{Function, environment};
use crate::error::{Error, Result};
use crate::fsio::{self, Scratch};
use crate::image::{BuiltImage, Rooted, Starter, layout};
use crate::interrupt;
use crate::process::Tool;
use crate::report::{Reporter, Task, Unit, bytes};
use crate::store::{Root, Store};

/// Files of `/etc` that the sandbox puts its own over.
const ETC: [&str; 3] = ["etc/passwd", "etc/hosts", "etc/resolv.conf"];
const USER: &str = "sbx_user1051:x:993:990::/home/sbx_user1051:/sbin/nologin\n";
const EXTENSIONS: &str = "/opt/extensions";
/// Variables by which an image could have programs of this machine load something: where `unshare` changes the root, it has the
/// environment of the image already. These are set inside, by the image's own shell.
const LOADING: [&str; 5] = ["LD_", "GLIBC_TUNABLES", "GCONV_PATH", "LOCPATH", "NLSPATH"];
const SHELL: &str = "/bin/sh";
const SET_INSIDE: &str = r#"while [ "$1" != -- ]; do export "$1"; shift; done; shift; exec "$@""#;

/// Where an image lies, and how large it is.
#[derive(Debug, Clone, Copy)]
pub struct Packed<'a> {
    /// A folder in the OCI layout that this program has written.
    pub layout: &'a Path,
    /// Bytes of its layers unpacked; 0 when that is not known.
    pub bytes: u64,
}

/// See the module.
pub(super) struct Image {
    root: Root,
    rooted: Rooted,
    starter: Starter,
    /// Why it does not start.
    pub(super) refusal: Option<Refusal>,
}

impl Image {
    /// Unpacks an image where it is not unpacked yet.
    pub(super) fn open(
        function: &Function,
        packed: Packed<'_>,
        store: &Store,
        reporter: &dyn Reporter,
    ) -> Result<(Self, Program)> {
        let here = std::env::consts::ARCH;
        if here != function.architecture.machine() {
            return Err(Error::failed(format!(
                "`{}` is an image for {}, and this machine is {here}: it does not run here",
                function.name, function.architecture
            ))
            .hint("invoke it with `--arch`, if its code and its base can be had for this machine"));
        }
        let built = layout::read_built(packed.layout)?;
        let starter = built.starter()?;
        let roots = store.roots();
        let mut fill = |at: &Path| {
            check_space(function, packed.bytes, fsio::free_bytes(roots.folder()), roots.folder())?;
            let total = Some(packed.bytes).filter(|bytes| *bytes > 0);
            let label = format!("Unpacking the image of {}", function.name);
            let task = Task::begin(reporter, label, total, Unit::Bytes);
            let notes = unpack(&built, at, &task).map_err(|e| e.context(format!("`{}`", function.name)))?;
            make_places(&Rooted::new(at))?;
            Ok(notes)
        };
        let root = roots.root(&built.descriptor.digest, &mut fill)?;
        let rooted = Rooted::new(root.path());
        let mut program = Program {
            words: starter.entrypoint.iter().chain(&starter.command).cloned().collect(),
            notes: root.notes().to_vec(),
            extensions: entrypoint::programs(&rooted, EXTENSIONS),
            ..Program::default()
        };
        if !program.extensions.is_empty() && rooted.find(Path::new(SHELL)).is_none() {
            program.notes.push(format!(
                "extensions of `{}` are not started: here that needs a shell, and the image has no /bin/sh",
                function.name
            ));
            program.extensions.clear();
        }
        let variables = environment::of_image(function, &starter.environment, "");
        let start =
            Start { rooted: &rooted, starter: &starter, variables: &variables, architecture: function.architecture };
        let refusal = start.refusal();
        Ok((Self { root, rooted, starter, refusal }, program))
    }

    /// The environment of its process.
    pub(super) fn variables(&self, function: &Function, api: &str) -> BTreeMap<String, String> {
        environment::of_image(function, &self.starter.environment, api)
    }

    /// What Lambda logs of an image that does not start.
    pub(super) fn launch_error(&self, refusal: &Refusal) -> String {
        // The image's own words: nothing of them is for a terminal.
        let shown = |text: &str| text.replace(char::is_control, "?");
        let list = |words: &[String]| format!("[{}]", shown(&words.join(" ")));
        format!(
            "IMAGE\tLaunch error: {}\tEntrypoint: {}\tCmd: {}\tWorkingDir: [{}]",
            shown(&refusal.message),
            list(&self.starter.entrypoint),
            list(&self.starter.command),
            shown(&self.starter.working_dir)
        )
    }

    fn has_shell(&self) -> bool {
        self.rooted.find(Path::new(SHELL)).is_some()
    }

    /// What of its environment is held back by these walls.
    pub(super) fn held_back(&self, function: &Function, walls: &Walls) -> Option<String> {
        let variables = self.variables(function, "");
        let names: Vec<&str> = variables.keys().map(String::as_str).filter(|name| is_loading(name)).collect();
        let is_held = matches!(walls, Walls::Namespaces { .. }) && !names.is_empty() && !self.has_shell();
        is_held.then(|| {
            let names = names.join(", ");
            format!("{names} of the image is not set: that takes bubblewrap (`bwrap`), or a /bin/sh in the image")
        })
    }

    /// The tool that runs words in it. `scratch` is for what is put over the image's own files.
    pub(super) fn tool(
        &self,
        walls: &Walls,
        words: &[String],
        variables: &BTreeMap<String, String>,
        scratch: &Scratch,
        storage: u64,
    ) -> Result<Tool> {
        let passwd = scratch.path().join("passwd");
        if !passwd.exists() {
            fsio::write_new(&passwd, self.passwd().as_bytes(), false)?;
        }
        let over = [passwd, PathBuf::from("/etc/hosts"), PathBuf::from("/etc/resolv.conf")];
        let over = over.into_iter().zip(ETC).filter_map(|(from, name)| Some((from, self.place(name)?)));
        let over: Vec<_> = over.filter(|(from, _)| from.is_file()).collect();
        let folder = entrypoint::working_dir(&self.starter);
        match walls {
            Walls::Bubblewrap { program, .. } => {
                let tool = Tool::new(program).without_environment().arg("--ro-bind").arg(self.root.path()).arg("/");
                let tool = tool.args(walls.options(storage));
                let tool = over
                    .iter()
                    .fold(tool, |tool, (from, to)| tool.arg("--ro-bind").arg(from).arg(Path::new("/").join(to)));
                let set = variables.iter().flat_map(|(name, value)| ["--setenv", name, value]);
                Ok(tool.args(set).args(["--chdir", folder, "--"]).args(words))
            }
            Walls::Namespaces { program } => {
                let root = scratch.path().join("root");
                let tool = walls.namespaces(program).arg("image").arg(scratch.path()).arg(storage.to_string());
                let tool = tool.arg(self.root.path());
                let tool = over.iter().fold(tool, |tool, (from, to)| tool.arg(from).arg(to)).arg("--");
                let (inside, outside): (Vec<_>, Vec<_>) = variables.iter().partition(|(name, _)| is_loading(name));
                let text = |(name, value): (&String, &String)| format!("{name}={value}");
                let tool = tool.args(outside.into_iter().map(text)).arg(program);
                // A user in namespaces of its own may change the root, and has lost what it may when its program starts.
                let tool = tool.args(["--user", "--map-user=993", "--map-group=990"]);
                let tool = tool.arg(format!("--root={}", root.display())).arg(format!("--wd={folder}"));
                let tool = tool.arg("--");
                let tool = if inside.is_empty() || !self.has_shell() {
                    tool
                } else {
                    tool.args([SHELL, "-c", SET_INSIDE, "sh"]).args(inside.into_iter().map(text)).arg("--")
                };
                Ok(tool.args(words))
            }
            Walls::Folder => Err(no_walls()),
        }
    }

    /// Where a file is in the root, if something can be put over it. What links lead to in `/proc` is another thing once that is
    /// mounted: `/proc/self/root` would be the root of whoever makes the sandbox.
    fn place(&self, name: &str) -> Option<PathBuf> {
        let place = self.rooted.follow(Path::new(name)).ok()?;
        if MOUNTS.iter().any(|mount| place.starts_with(mount)) {
            return None;
        }
        fs::symlink_metadata(self.root.path().join(&place)).ok().filter(fs::Metadata::is_file).map(|_| place)
    }

    /// The image's users, and Lambda's.
    fn passwd(&self) -> String {
        let own = self.place(ETC[0]).and_then(|place| fsio::read_bounded(&self.root.path().join(place), 1 << 20).ok());
        let own = own.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let mut text =
            own.filter(|text| !text.is_empty()).unwrap_or_else(|| "root:x:0:0:root:/root:/sbin/nologin\n".to_owned());
        if !text.lines().any(|line| line.starts_with("sbx_user1051:")) {
            if !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(USER);
        }
        text
    }
}

/// Whether a variable is one of [`LOADING`].
fn is_loading(name: &str) -> bool {
    LOADING.iter().any(|begin| name.starts_with(begin))
}

/// Without a sandbox there is nothing to run an image in.
pub(super) fn no_walls() -> Error {
    Error::failed("an image has a root of its own, and there is nothing here that can change into it")
        .hint("install `bubblewrap` (`bwrap`), or let users make namespaces, which `unshare` needs")
}

/// Whether an image has room where it is to be unpacked.
fn check_space(function: &Function, needed: u64, free: Option<u64>, folder: &Path) -> Result<()> {
    match free {
        Some(free) if free < needed => Err(Error::failed(format!(
            "the image of `{}` is {} when it is unpacked, and {} are free in `{}`",
            function.name,
            bytes(needed),
            bytes(free),
            folder.display()
        ))
        .hint("free some space (`cargo lambda-pack cache prune`), or choose another place with LAMBDA_PACK_CACHE_DIR")),
        _ => Ok(()),
    }
}

/// Makes what things are mounted at.
fn make_places(rooted: &Rooted) -> Result<()> {
    // Nothing comes back where Ctrl-C has had it deleted.
    let _whole = interrupt::hold();
    let told = |place: &Path| {
        let place = place.to_owned();
        move |e: std::io::Error| Error::io("write", &place, &e)
    };
    for name in MOUNTS {
        let place = rooted.root().join(name);
        match fs::symlink_metadata(&place) {
            Ok(there) if there.is_dir() => continue,
            Ok(_) => fs::remove_file(&place).map_err(told(&place))?,
            Err(_) => {}
        }
        fs::create_dir(&place).map_err(told(&place))?;
    }
    for name in ETC {
        // A link in a circle has no place; the sandbox goes without.
        let Ok(place) = rooted.follow(Path::new(name)) else { continue };
        let place = rooted.root().join(place);
        let is_free = fs::symlink_metadata(&place).is_err();
        if is_free && place.parent().is_some_and(|folder| fs::create_dir_all(folder).is_ok()) {
            fsio::write_new(&place, b"", false)?;
        }
    }
    Ok(())
}

#[cfg(unix)]
fn unpack(image: &BuiltImage, at: &Path, task: &Task<'_>) -> Result<Vec<String>> {
    crate::image::unpack(image, at, task)
}

#[cfg(not(unix))]
fn unpack(_image: &BuiltImage, _at: &Path, _task: &Task<'_>) -> Result<Vec<String>> {
    Err(no_walls())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_has_no_room_is_refused_before_it_is_unpacked() {
        let function = Function::new("f", crate::lambda::find("provided.al2023").unwrap(), "");
        let check = |needed, free| check_space(&function, needed, free, Path::new("/store"));
        assert!(check(5_000_000_000, Some(5_000_000_000)).is_ok() && check(1, None).is_ok());
        assert_eq!(
            check(9_100_000_000, Some(3_000_000_000)).unwrap_err().message(),
            "the image of `f` is 9.1 GB when it is unpacked, and 3.0 GB are free in `/store`"
        );
    }
}
