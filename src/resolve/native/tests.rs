//! Systems of a few files below a temporary folder.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;
use crate::elf::testing::Sketch;
use crate::lambda;

/// A sysroot in the making.
struct Root(tempfile::TempDir);

impl Root {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().canonicalize().unwrap()
    }

    fn put(self, path: &str, bytes: impl AsRef<[u8]>) -> Self {
        let path = self.path().join(path);
        crate::fsio::write_atomic(&path, bytes.as_ref()).unwrap();
        self
    }

    fn library(self, path: &str, soname: &str, needed: &[&str]) -> Self {
        self.put(path, Sketch::library().soname(soname).needed(needed).bytes())
    }

    fn link(self, path: &str, target: &str) -> Self {
        let path = self.path().join(path);
        crate::fsio::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
        self
    }

    fn choice(&self, libraries: &[&str]) -> NativeChoice {
        NativeChoice {
            libraries: libraries.iter().map(|name| (*name).to_owned()).collect(),
            sysroot: Some(self.path()),
            ..NativeChoice::default()
        }
    }

    fn bring(&self, choice: &NativeChoice, missing: &[MissingLibrary]) -> Result<Brought> {
        bring(&Wanted {
            choice,
            runtime: lambda::find("python3.13").unwrap(),
            architecture: Architecture::X86_64,
            missing,
            is_there: &|name| name == "libhere.so.1",
            is_known: true,
        })
    }

    fn brought(&self, libraries: &[&str]) -> Brought {
        self.bring(&self.choice(libraries), &[]).unwrap()
    }
}

/// `path` or `path -> target` of everything.
fn shown(brought: &Brought) -> Vec<String> {
    use crate::tree::Entry;
    let one = |(path, entry): (&crate::tree::ArchivePath, &Entry)| match entry {
        Entry::Symlink { target } => format!("{path} -> {target}"),
        _ => path.to_string(),
    };
    brought.tree().iter().map(one).collect()
}

fn said(brought: &Brought) -> Vec<String> {
    brought.findings.iter().map(|f| format!("{} {}: {}", f.level, f.rule, f.message)).collect()
}

#[test]
fn a_library_comes_with_its_closure_and_without_what_the_runtime_has() {
    let root = Root::new()
        .library("usr/lib64/libpq.so.5.15", "libpq.so.5", &["libssl.so.3", "libldap.so.2", "libc.so.6", "libhere.so.1"])
        .link("usr/lib64/libpq.so.5", "libpq.so.5.15")
        // A cycle, which libraries may have.
        .library("usr/lib64/libldap.so.2", "libldap.so.2", &["liblber.so.2"])
        .library("usr/lib64/liblber.so.2", "liblber.so.2", &["libldap.so.2"])
        .library("usr/lib64/libssl.so.3", "libssl.so.3", &[]);
    let brought = root.brought(&["libpq.so.5"]);
    assert_eq!(shown(&brought), ["lib/liblber.so.2", "lib/libldap.so.2", "lib/libpq.so.5"]);
    assert_eq!(said(&brought), Vec::<String>::new());
    assert_eq!(brought.packages[0].label(), "libpq.so.5 5.15");
    let read = brought.packages[0].tree.get("lib/libpq.so.5").unwrap().read().unwrap();
    assert_eq!(read, fs::read(root.path().join("usr/lib64/libpq.so.5.15")).unwrap());
    let files = &brought.inputs.as_ref().unwrap().files;
    for looked in ["usr/lib64/libpq.so.5", "usr/lib64/libpq.so.5.15", "lib64/libpq.so.5"] {
        assert!(files.contains(&root.path().join(looked)), "{looked}: {files:?}");
    }
    // What the runtime has is not brought even when it is asked for, and that is said.
    let brought = root.brought(&["libssl.so.3"]);
    assert!(shown(&brought).is_empty() && brought.notes[0].ends_with("python3.13 has its own: libssl.so.3"));
}

#[test]
fn other_names_of_a_library_are_links_to_its_soname() {
    let root = Root::new()
        .library("usr/lib64/libx.so.1.2.3", "libx.so.1", &[])
        .link("usr/lib64/libx.so", "libx.so.1")
        .link("usr/lib64/libx.so.1", "libx.so.1.2.3");
    assert_eq!(shown(&root.brought(&["libx.so"])), ["lib/libx.so -> libx.so.1", "lib/libx.so.1"]);
    assert_eq!(shown(&root.brought(&["libx.so.1", "libx.so"])), ["lib/libx.so -> libx.so.1", "lib/libx.so.1"]);
    assert_eq!(
        shown(&root.brought(&["/usr/lib64/libx.so.1.2.3"])),
        ["lib/libx.so.1", "lib/libx.so.1.2.3 -> libx.so.1"]
    );
}

#[test]
fn folders_are_those_of_the_loader() {
    let root = Root::new()
        .put("etc/ld.so.conf", "# of the distribution\ninclude ld.so.conf.d/*.conf\n/opt/first # first\n")
        .put("etc/ld.so.conf.d/b.conf", "/opt/second/\n")
        .put("etc/ld.so.conf.d/a.conf", "include /etc/ld.so.conf.d/a.conf\n/opt/second\nhwcap 1 nosegneg\n")
        .put("etc/ld.so.conf.d/readme.txt", "/opt/none\n")
        .library("opt/first/liba.so.1", "liba.so.1", &[])
        .library("opt/second/liba.so.1", "liba.so.1", &["libdeep.so.1"])
        // Folders that whoever needs it names come first.
        .put("opt/own/libdeep.so.1", Sketch::library().soname("libdeep.so.1").bytes())
        .put(
            "opt/own/bin/libasks.so.1",
            Sketch::library().soname("libasks.so.1").needed(&["libdeep.so.1"]).runpath("$ORIGIN/..").bytes(),
        );
    let system = System::new(Some(&root.path()), Architecture::Arm64);
    assert_eq!(
        system.folders(),
        [
            "/opt/second",
            "/opt/first",
            "/lib/aarch64-linux-gnu",
            "/usr/lib/aarch64-linux-gnu",
            "/lib64",
            "/usr/lib64",
            "/lib",
            "/usr/lib"
        ]
    );
    let brought = root.brought(&["/opt/own/bin/libasks.so.1"]);
    assert_eq!(shown(&brought), ["lib/libasks.so.1", "lib/libdeep.so.1"]);
    let brought = root.brought(&["liba.so.1"]);
    let said = said(&brought);
    assert!(said.len() == 1 && said[0].contains("libdeep.so.1: cannot open shared object file"), "{said:?}");
    assert!(said[0].contains("required by lib/liba.so.1, which is"), "{said:?}");
    assert!(said[0].contains("looked for in /opt/second, /opt/first, /lib/x86_64-linux-gnu"), "{said:?}");
}

#[test]
fn a_library_for_another_machine_is_passed_over_and_told_when_there_is_no_other() {
    let arm = Sketch::library().soname("libx.so.1").machine(183).bytes();
    let root = Root::new().put("lib64/libx.so.1", &arm).put("usr/lib64/liby.so.1", "GROUP ( libz.so )");
    let brought = root.brought(&["libx.so.1", "liby.so.1"]);
    let said = said(&brought);
    assert!(said[0].starts_with("error wrong-architecture: libx.so.1: cannot open shared object file"), "{said:?}");
    assert!(said[0].ends_with("lib64/libx.so.1 is for aarch64, the function for x86_64"), "{said:?}");
    assert!(said[1].starts_with("error missing-shared-library: liby.so.1: "), "{said:?}");
    let root = root.library("usr/lib64/libx.so.1", "libx.so.1", &[]);
    assert_eq!(shown(&root.brought(&["libx.so.1"])), ["lib/libx.so.1"]);
}

#[test]
fn links_lead_where_they_would_in_the_system() {
    let root = Root::new()
        .library("usr/lib64/libx.so.1.0", "libx.so.1", &[])
        .link("lib64", "usr/lib64")
        .link("usr/lib64/libx.so.1", "/etc/alternatives/libx")
        .link("etc/alternatives/libx", "/usr/lib64/libx.so.1.0")
        .link("usr/lib64/libout.so.1", "../../../../../../usr/lib64/libx.so.1.0")
        .link("usr/lib64/libloop.so.1", "libloop.so.1");
    let brought = root.brought(&["libx.so.1"]);
    assert_eq!(shown(&brought), ["lib/libx.so.1"]);
    // This machine would follow them elsewhere, so that looking at files by their names does not tell of changes.
    assert!(brought.inputs.is_none());
    assert_eq!(shown(&root.brought(&["libout.so.1"])), ["lib/libout.so.1 -> libx.so.1", "lib/libx.so.1"]);
    assert!(said(&root.brought(&["libloop.so.1"]))[0].starts_with("error missing-shared-library"));
}

#[test]
fn programs_come_with_their_libraries() {
    let program = Sketch::program("/lib64/ld-linux-x86-64.so.2").needed(&["libx.so.1", "libc.so.6"]).bytes();
    let root = Root::new()
        .put("usr/bin/tool-6", &program)
        .link("usr/bin/tool", "tool-6")
        .library("usr/lib64/libx.so.1", "libx.so.1", &[])
        .put("usr/bin/script", "#!/bin/sh\n");
    let with = |name: &str| NativeChoice { executables: vec![name.to_owned()], ..root.choice(&[]) };
    for name in ["tool", "/usr/bin/tool"] {
        let brought = root.bring(&with(name), &[]).unwrap();
        assert_eq!(shown(&brought), ["bin/tool", "lib/libx.so.1"]);
        assert!(matches!(brought.tree().get("bin/tool"), Some(crate::tree::Entry::File { executable: true, .. })));
    }
    let error = root.bring(&with("none"), &[]).unwrap_err();
    assert!(error.message().starts_with("the program `none` is not there below") && !error.hints().is_empty());
    assert!(root.bring(&with("script"), &[]).unwrap_err().message().contains("is no program of Linux"));
}

#[test]
fn what_is_collected_is_refused_only_when_something_loads_it() {
    let root = Root::new().library("usr/lib64/libx.so.1", "libx.so.1", &["libdeep.so.1"]);
    let missing = |is_loaded: bool| MissingLibrary {
        library: "libx.so.1".to_owned(),
        needed_by: "native.so".to_owned(),
        is_loaded,
    };
    let choice = NativeChoice { collect: true, ..root.choice(&[]) };
    for (is_loaded, level) in [(true, "error"), (false, "warning")] {
        let brought = root.bring(&choice, &[missing(is_loaded)]).unwrap();
        assert_eq!(shown(&brought), ["lib/libx.so.1"]);
        assert!(said(&brought)[0].starts_with(&format!("{level} missing-shared-library: libdeep.so.1: ")));
    }
    let not_asked = NativeChoice { collect: false, ..choice };
    assert!(shown(&root.bring(&not_asked, &[missing(true)]).unwrap()).is_empty());
}

#[test]
fn this_system_has_the_library_that_this_program_runs_with() {
    let choice = NativeChoice::default();
    assert!(facts(&choice, Architecture::X86_64).is_empty());
    let choice = NativeChoice { executables: vec!["sh".to_owned()], ..choice };
    assert_eq!(facts(&choice, Architecture::X86_64).len(), 2);
    let mut system = System::new(None, Architecture::X86_64);
    let found = system.file(Path::new("/bin/../bin/sh").to_str().unwrap()).unwrap();
    assert_eq!(found.host, Path::new("/bin/sh").canonicalize().unwrap());
}
