//! Files of packages in a scratch folder, for programs that want to find them there.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use crate::error::{Error, Result};
use crate::fsio;
use crate::tree::{Entry, Tree};

/// Writes a package's files below `home`, as they lie below the function's folder.
pub(super) fn write_tree(tree: &Tree, home: &Path) -> Result<()> {
    for (path, entry) in tree.iter() {
        let to = home.join(path.as_str());
        match entry {
            Entry::Directory => fsio::create_dir_all(&to)?,
            Entry::Symlink { target } => link(target, &to)?,
            Entry::File { executable, .. } => {
                write(&to, &entry.read()?)?;
                if *executable {
                    fsio::make_executable(&to)?;
                }
            }
        }
    }
    Ok(())
}

/// Writes a file where nobody looks before all of them are written, so that it needs no other name first.
pub(super) fn write(to: &Path, bytes: &[u8]) -> Result<()> {
    let create = || File::create(to);
    let file = create().or_else(|_| {
        // Most folders are there already.
        fsio::create_dir_all(to.parent().unwrap_or(Path::new("."))).map_err(std::io::Error::other)?;
        create()
    });
    file.and_then(|mut file| file.write_all(bytes)).map_err(|e| Error::io("write", to, &e))
}

/// Makes a link, and the folder that it is in.
#[cfg(unix)]
pub(super) fn link(target: &str, at: &Path) -> Result<()> {
    fsio::create_dir_all(at.parent().unwrap_or(Path::new(".")))?;
    std::os::unix::fs::symlink(target, at).map_err(|e| Error::io("write", at, &e))
}

#[cfg(not(unix))]
pub(super) fn link(_target: &str, at: &Path) -> Result<()> {
    Err(Error::failed(format!("`{}` is a link, which cannot be made here", at.display())))
}
