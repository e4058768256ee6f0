//! Walking real folders with every kind of thing in them.

use super::*;
use std::os::unix::fs::symlink;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join("project").join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fsio::write_atomic(&path, file.as_bytes()).unwrap();
        }
        fs::create_dir_all(dir.path().join("project/fn")).unwrap();
        Self(dir)
    }

    fn path(&self, below: &str) -> PathBuf {
        self.0.path().join("project").join(below)
    }

    fn ignore(&self, below: &str, text: &str) {
        fsio::write_atomic(&self.path(below), text.as_bytes()).unwrap();
    }

    fn walk(&self) -> Walked {
        self.walk_with(&[], &[])
    }

    fn walk_with(&self, exclude: &[&str], include: &[(&str, &str)]) -> Walked {
        let exclude: Vec<String> = exclude.iter().map(|s| (*s).to_owned()).collect();
        let include: Vec<Include> =
            include.iter().map(|(from, to)| Include { from: self.path(from), to: (*to).to_owned() }).collect();
        let options = Options {
            root: &self.path("fn"),
            project_root: &self.path(""),
            skip: &[self.path("fn/out")],
            exclude: &exclude,
            include: &include,
            replaced: &["node_modules"],
            filter: None,
            only_include: false,
            probe: true,
        };
        walk(&options).unwrap()
    }
}

fn shown(walked: &Walked) -> Vec<String> {
    walked
        .tree
        .iter()
        .map(|(path, entry)| match entry {
            Entry::File { executable: true, .. } => format!("{path}*"),
            Entry::File { .. } => path.to_string(),
            Entry::Symlink { target } => format!("{path} -> {target}"),
            Entry::Directory => format!("{path}/"),
        })
        .collect()
}

fn rules(walked: &Walked) -> Vec<(String, &'static str)> {
    walked.findings.iter().map(|f| (f.path.clone().unwrap_or_default(), f.rule.id())).collect()
}

#[test]
fn tools_settings_and_output_are_dropped_and_each_drop_has_a_rule() {
    let folder = Folder::new(&[
        "fn/app.py",
        "fn/.git/config",
        "fn/sub/__pycache__/app.pyc",
        "fn/.npmrc",
        "fn/myenv/pyvenv.cfg",
        "fn/target/x",
        "fn/lib/target/y",
        "fn/node_modules/x/index.js",
        "fn/out/app.zip",
        "fn/.hidden",
        "fn/.gitignore",
    ]);
    fs::create_dir(folder.path("fn/empty")).unwrap();
    let walked = folder.walk();
    assert_eq!(shown(&walked), [".hidden", "app.py", "empty/", "lib/target/y"]);
    let dropped: Vec<_> =
        walked.decisions.iter().filter(|d| !d.kept).map(|d| (d.path.as_str(), d.rule.as_str())).collect();
    assert_eq!(
        dropped,
        [
            (".git", "tool folder"),
            (".gitignore", "settings"),
            (".npmrc", "settings"),
            ("myenv", "tool folder"),
            ("node_modules", "replaced by resolved packages"),
            ("out", "output folder"),
            ("sub/__pycache__", "tool folder"),
            ("target", "build output"),
        ]
    );
}

#[test]
fn lambdaignore_and_exclude_decide_and_gitignore_never() {
    let folder = Folder::new(&["fn/a.py", "fn/b.log", "fn/keep.log", "fn/data/x.csv", "fn/docs/y.md", "fn/gen/z.py"]);
    folder.ignore(".lambdaignore", "*.log\n");
    folder.ignore("fn/.lambdaignore", "!keep.log\ndata/\n");
    folder.ignore("fn/.gitignore", "gen/\n");
    let walked = folder.walk_with(&["/docs"], &[]);
    assert_eq!(shown(&walked), ["a.py", "gen/z.py", "keep.log"]);
    let rule = |path: &str| walked.decisions.iter().find(|d| d.path == path).unwrap().rule.clone();
    assert_eq!(rule("b.log"), ".lambdaignore: *.log");
    assert_eq!(rule("data"), ".lambdaignore: data/");
    assert_eq!(rule("docs"), "exclude: /docs");
}

#[test]
fn include_brings_files_in_and_back_but_not_from_outside() {
    let folder = Folder::new(&["fn/a.py", "fn/data/x.csv", "common/schemas/s.json", "one.txt"]);
    let walked = folder.walk_with(
        &["data"],
        &[("common/schemas", "schemas"), ("fn/data", "data"), ("one.txt", ""), ("one.txt", "sub/")],
    );
    assert_eq!(shown(&walked), ["a.py", "data/x.csv", "one.txt", "schemas/s.json", "sub/one.txt"]);

    let outside = folder.0.path().join("secret");
    fsio::write_atomic(&outside, b"x").unwrap();
    let include = [Include { from: outside, to: String::new() }];
    let options = Options {
        root: &folder.path("fn"),
        project_root: &folder.path(""),
        skip: &[],
        exclude: &[],
        include: &include,
        replaced: &[],
        filter: None,
        only_include: false,
        probe: true,
    };
    assert!(walk(&options).unwrap_err().to_string().contains("outside the project"));
}

#[test]
fn links_stay_links_when_their_target_is_packed() {
    let folder = Folder::new(&["fn/real/x.txt", "fn/dropped.log", "common/c.txt"]);
    folder.ignore("fn/.lambdaignore", "*.log");
    let link = |target: &str, at: &str| symlink(target, folder.path(at)).unwrap();
    link("real/x.txt", "fn/to-file");
    link("real", "fn/to-folder");
    link("to-folder/x.txt", "fn/through-link");
    link("../common/c.txt", "fn/to-project");
    link("../common", "fn/to-project-folder");
    link("dropped.log", "fn/to-dropped");
    link("/opt/nodejs/node_modules", "fn/to-opt");
    link(folder.path("fn/real/x.txt").to_str().unwrap(), "fn/absolute");
    let walked = folder.walk();
    assert_eq!(
        shown(&walked),
        [
            "absolute -> real/x.txt",
            "real/x.txt",
            "through-link -> to-folder/x.txt",
            "to-dropped",
            "to-file -> real/x.txt",
            "to-folder -> real",
            "to-opt -> /opt/nodejs/node_modules",
            "to-project",
            "to-project-folder/c.txt",
        ]
    );
    assert!(walked.findings.is_empty(), "{:?}", walked.findings);
}

#[test]
fn links_that_leave_are_refused_and_loops_end() {
    let folder = Folder::new(&["fn/a.py"]);
    symlink("/etc/hostname", folder.path("fn/host")).unwrap();
    symlink("../../..", folder.path("fn/up")).unwrap();
    symlink("gone", folder.path("fn/dangling")).unwrap();
    symlink("..", folder.path("fn/loop")).unwrap();
    symlink("self", folder.path("fn/self")).unwrap();
    let walked = folder.walk();
    assert_eq!(shown(&walked), ["a.py", "dangling -> gone", "self -> self"]);
    let mut found = rules(&walked);
    found.sort();
    assert_eq!(
        found,
        [
            (folder.path("fn/loop").to_str().unwrap().to_owned(), "path-unreadable"),
            ("dangling".into(), "symlink-dangling"),
            ("host".into(), "symlink-escapes"),
            ("up".into(), "symlink-escapes"),
        ]
    );
}

#[test]
fn names_that_no_zip_can_hold_are_found() {
    use std::os::unix::ffi::OsStrExt;
    let folder = Folder::new(&["fn/a.py"]);
    let bad = folder.path("fn").join(std::ffi::OsStr::from_bytes(b"bad-\xff.txt"));
    fs::File::create(bad).unwrap();
    let fifo = folder.path("fn/fifo");
    crate::process::Tool::new("mkfifo").arg(fifo.as_os_str()).run().unwrap();
    let walked = folder.walk();
    assert_eq!(shown(&walked), ["a.py"]);
    assert_eq!(walked.findings[0].rule, Rule::PathNotUtf8);
    assert!(walked.findings[0].path.as_ref().unwrap().contains("bad-"));
    assert!(walked.decisions.iter().any(|d| d.path == "fifo" && !d.kept));
}

#[test]
fn the_owners_bit_decides_whether_a_file_may_be_executed() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new(&["fn/run", "fn/read"]);
    fs::set_permissions(folder.path("fn/run"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(folder.path("fn/read"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(shown(&folder.walk()), ["read", "run*"]);
}

#[test]
fn a_named_pipe_is_never_waited_for() {
    let folder = Folder::new(&["fn/app.py"]);
    let pipe = folder.path("fn/pipe");
    crate::process::Tool::new("mkfifo").arg(&pipe).run().unwrap();
    symlink("pipe", folder.path("fn/link")).unwrap();
    let walked = folder.walk();
    assert_eq!(shown(&walked), ["app.py"]);
    let dropped: Vec<_> = walked.decisions.iter().filter(|d| !d.kept).map(|d| d.path.as_str()).collect();
    assert_eq!(dropped, ["link", "pipe"]);
}

#[test]
fn folders_whose_links_multiply_are_given_up() {
    let folder = Folder::new(&["fn/app.py", "a/x", "b/y"]);
    for i in 0..8 {
        symlink("../b", folder.path(&format!("a/{i}"))).unwrap();
        symlink("../a", folder.path(&format!("b/{i}"))).unwrap();
    }
    symlink("../a", folder.path("fn/all")).unwrap();
    let walked = folder.walk();
    assert_eq!(walked.findings.iter().filter(|f| f.message.contains("more links")).count(), 1);
    assert!(walked.tree.len() < 2 * MAX_FOLLOWED, "{}", walked.tree.len());
}

#[test]
fn the_output_folder_is_known_by_any_name() {
    let folder = Folder::new(&["fn/app.py", "fn/out/app.zip"]);
    symlink(folder.path(""), folder.0.path().join("other")).unwrap();
    symlink("out", folder.path("fn/last")).unwrap();
    let root = folder.0.path().join("other/fn");
    let options = Options {
        root: &root,
        project_root: root.parent().unwrap(),
        skip: &[folder.path("fn/out")],
        exclude: &[],
        include: &[],
        replaced: &[],
        filter: None,
        only_include: false,
        probe: true,
    };
    assert_eq!(shown(&walk(&options).unwrap()), ["app.py"]);
}
