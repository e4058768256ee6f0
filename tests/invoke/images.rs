//! Images: their root, what starts in it, and what is left of them.

mod hostile;
mod like_aws;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::sync::OnceLock;

use super::*;
use common::oci::{self, Entry, Image, Layer};

/// `probe.rs`, linked statically.
fn probe() -> &'static [u8] {
    static PROBE: OnceLock<Vec<u8>> = OnceLock::new();
    PROBE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("probe");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/invoke/probe.rs");
        let args = ["--edition=2021", "-Ctarget-feature=+crt-static", "-o"].map(AsRef::as_ref);
        common::tool("rustc", &[&args[..], &[program.as_os_str(), source.as_os_str()]].concat(), "https://rustup.rs");
        fs::read(program).unwrap()
    })
}

/// A function `f` whose `bootstrap` is the probe, on a base of these layers, with a store of its own.
struct Probed {
    project: Project,
    store: tempfile::TempDir,
}

impl Probed {
    fn new(config: Value, layers: &[&[Entry<'_>]], settings: &str) -> Self {
        let project = Project::empty();
        let layers = layers.iter().map(|entries| Layer::gzip(entries)).collect();
        oci::layout(&project.path("base"), &[Image::new(config, layers)]);
        let probed = Self { project, store: tempfile::tempdir().unwrap() };
        probed.project.write("f/data.txt", "data").write(
            "lambda-pack.toml",
            &format!(
                "[functions.f]\npath = 'f'\nruntime = 'provided.al2023'\npackage = 'image'\nbase = 'oci:base'\narchitecture = '{}'\ntimeout = 20\n{settings}",
                host_architecture()
            ),
        );
        fs::write(probed.project.path("f/bootstrap"), probe()).unwrap();
        fs::set_permissions(probed.project.path("f/bootstrap"), fs::Permissions::from_mode(0o755)).unwrap();
        probed
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.project.command(args);
        command.env("LAMBDA_PACK_CACHE_DIR", self.store.path()).stdin(Stdio::piped());
        command
    }

    fn ask_by(&self, change: impl Fn(&mut Command), args: &[&str], event: &str) -> Run {
        let mut command = self.command(&[&["invoke", "f", "--event", "-"], args].concat());
        change(&mut command);
        let mut child = start(&mut command);
        child.0.stdin.take().unwrap().write_all(json!(event).to_string().as_bytes()).unwrap();
        let (code, stdout, stderr) = child.output();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Run { code, stdout: text(stdout), stderr: text(stderr) }
    }

    /// The answer to an event.
    fn ask(&self, event: &str) -> String {
        let run = self.ask_by(|_| (), &[], event);
        assert_eq!(run.code, 0, "{}", run.stderr);
        json_of(&run).as_str().unwrap().to_owned()
    }

    /// What there is where images are unpacked.
    fn beside(&self) -> Vec<String> {
        let entries = fs::read_dir(self.store.path().join("roots-v1")).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// Whether an image is unpacked just now.
    fn is_unpacking(&self) -> bool {
        self.roots().iter().any(|path| path.file_name().unwrap().to_string_lossy().starts_with("partial-"))
    }

    /// Roots of images in the store.
    fn roots(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.store.path().join("roots-v1")).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect()
    }
}

/// Paths below a folder, each with its mode and contents, or its target, and which are the same file.
fn contents(root: &Path) -> BTreeMap<String, (u32, String)> {
    let describe = |path: &Path| {
        let metadata = fs::symlink_metadata(path).unwrap();
        let what = if metadata.is_symlink() {
            format!("-> {}", fs::read_link(path).unwrap().display())
        } else if metadata.is_dir() {
            "folder".to_owned()
        } else {
            format!("file {} {}", metadata.nlink(), String::from_utf8_lossy(&fs::read(path).unwrap()))
        };
        (metadata.mode() & 0o7777, what)
    };
    let paths = walkdir::WalkDir::new(root).min_depth(1).into_iter().map(|entry| entry.unwrap().into_path());
    paths.map(|path| (path.strip_prefix(root).unwrap().display().to_string(), describe(&path))).collect()
}

#[test]
fn an_image_lies_as_others_unpack_it_and_sees_what_lambda_shows() {
    let lower = [
        Entry::Folder("etc", 0o755),
        Entry::File("etc/passwd", 0o644, b"root:x:0:0::/root:/bin/sh\n"),
        Entry::File("etc/shadow", 0o600, b"secret"),
        Entry::Link("etc/resolv.conf", "../run/resolv.conf"),
        Entry::Folder("usr/lib", 0o755),
        Entry::Link("lib", "usr/lib"),
        Entry::Folder("old", 0o755),
        Entry::File("old/a", 0o644, b"a"),
        Entry::File("old/b", 0o644, b"b"),
        Entry::Folder("opaque", 0o755),
        Entry::File("opaque/gone", 0o644, b"gone"),
        Entry::File("one", 0o644, b"one"),
        Entry::Hard("two", "one"),
        Entry::File("becomes", 0o644, b"a folder"),
        Entry::Folder("tmp", 0o1777),
        Entry::Folder("private", 0o711),
    ];
    let middle = [
        Entry::File("old/.wh.a", 0o644, b""),
        Entry::File("opaque/.wh..wh..opq", 0o644, b""),
        Entry::File("opaque/new", 0o644, b"new"),
        // Through a link of the layer below.
        Entry::File("lib/x.so", 0o755, b"x"),
        Entry::Hard("lib/y.so", "lib/x.so"),
        Entry::Folder("becomes", 0o750),
        Entry::File("becomes/in", 0o444, b"in"),
    ];
    let upper = [Entry::File("one", 0o4755, b"changed"), Entry::Hard("three", "two"), Entry::Link("up", "../../../..")];
    let config =
        json!({"Env": ["PATH=/bin", "LANG=C.UTF-8", "OF_IMAGE=1", "STAGE=image", "_HANDLER=mine", "AWS_REGION=x"]});
    let probed = Probed::new(
        config,
        &[&lower, &middle, &upper],
        "environment = { STAGE = 'dev' }\nephemeral-storage = 600\n[functions.f.image]\ncommand = ['x', 'y z']\n",
    );
    let set = probed.ask("environment");
    let set: BTreeMap<&str, &str> = set.lines().filter_map(|line| line.split_once('=')).collect();
    for (name, value) in [
        ("PATH", "/bin"),
        ("LANG", "C.UTF-8"),
        ("OF_IMAGE", "1"),
        ("STAGE", "dev"),
        ("_HANDLER", ""),
        ("AWS_REGION", "us-east-1"),
        ("AWS_EXECUTION_ENV", "AWS_Lambda_Image"),
        ("AWS_LAMBDA_FUNCTION_NAME", "f"),
        ("LAMBDA_TASK_ROOT", "/var/task"),
        ("LAMBDA_RUNTIME_DIR", "/var/runtime"),
    ] {
        assert_eq!(set[name], value, "{name}");
    }
    assert!(["HOME", "TZ", "LAMBDA_PACK_CACHE_DIR", "USER"].iter().all(|name| !set.contains_key(name)), "{set:?}");

    // What umoci makes of it, but for owners' modes and what is mounted over.
    let [root] = &probed.roots()[..] else { panic!("{:?}", probed.roots()) };
    let bundle = tempfile::tempdir().unwrap();
    let image = format!("{}:latest", probed.project.out("f.oci").display());
    let target = bundle.path().join("bundle");
    let args = ["unpack", "--rootless", "--image", &image].map(AsRef::as_ref);
    common::tool("umoci", &[&args[..], &[target.as_os_str()]].concat(), "apt-get install umoci");
    let mut expected = contents(&target.join("rootfs"));
    for (mode, what) in expected.values_mut() {
        *mode = match what.as_str() {
            what if what.starts_with("->") => 0o777,
            "folder" => *mode & 0o1777 | 0o700,
            _ => *mode & 0o277 | (*mode & 0o005) << 6,
        };
    }
    expected.insert("etc/hosts".to_owned(), (0o644, "file 1 ".to_owned()));
    expected.insert("run".to_owned(), (0o755, "folder".to_owned()));
    expected.insert("run/resolv.conf".to_owned(), (0o644, "file 1 ".to_owned()));
    assert_eq!(contents(root), expected);

    // As it looks from inside, also without bubblewrap.
    let bin = tempfile::tempdir().unwrap();
    let unshare = Path::new("/usr/bin/unshare");
    std::os::unix::fs::symlink(unshare, bin.path().join("unshare")).unwrap();
    let can = Command::new(unshare).args(["--user", "--map-root-user", "--mount", "true"]).output().unwrap();
    let without = |command: &mut Command| {
        command.env("PATH", bin.path());
    };
    let with = |_: &mut Command| {};
    let mut walls: Vec<&dyn Fn(&mut Command)> = vec![&with];
    if can.status.success() {
        walls.push(&without);
    }
    for (at, change) in walls.iter().enumerate() {
        let ask = |event: &str| {
            let run = probed.ask_by(change, &[], event);
            assert_eq!(run.code, 0, "{at}: {}", run.stderr);
            json_of(&run).as_str().unwrap().to_owned()
        };
        assert_eq!(ask("arguments"), r#"["/var/runtime/bootstrap", "x", "y z"] in "/var/task""#);
        assert_eq!(ask("list /"), "becomes dev etc lib old one opaque private proc run three tmp two up usr var");
        let refused = "ReadOnlyFilesystem";
        for (path, said) in [("/x", refused), ("/var/task/x", refused), ("/etc/x", refused), ("/tmp/x", "ok")] {
            assert_eq!(ask(&format!("write {path}")), said, "{at} {path}");
        }
        let users = ask("read /etc/passwd");
        assert!(users.starts_with("root:x:0:0::/root:/bin/sh\nsbx_user1051:x:993:990:"), "{users}");
        assert_eq!(ask("read /etc/hosts"), fs::read_to_string("/etc/hosts").unwrap());
        assert_eq!(ask("read /etc/resolv.conf"), fs::read_to_string("/etc/resolv.conf").unwrap());
        // As for Lambda's user, though all of it is this user's.
        assert_eq!(ask("read /etc/shadow"), "PermissionDenied");
        assert_eq!(ask("list /up"), ask("list /"));
        let mine = env!("CARGO_MANIFEST_DIR");
        let seen = ask(&format!("read /proc/1/root{mine}/Cargo.toml"));
        assert!(["PermissionDenied", "NotFound"].contains(&seen.as_str()), "{seen}");
        assert_eq!(ask("list /tmp"), "");
        let status = ask("read /proc/self/status");
        let line = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).unwrap().trim().to_owned();
        assert_eq!(line("CapEff:"), "0000000000000000");
        assert_eq!(line("NoNewPrivs:"), "1");
        if can.status.success() {
            assert_eq!(line("Uid:"), "993\t993\t993\t993");
        }
        let run = probed.ask_by(change, &[], "exit");
        assert_eq!(run.code, 1);
        let said = json_of(&run)["errorMessage"].as_str().unwrap().to_owned();
        assert!(said.ends_with("Runtime exited with error: exit status 7"), "{said}");
    }

    // It was unpacked once, and is again when something is not as it was.
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    let before = inode(&root.join("one"));
    probed.ask("x");
    assert_eq!((probed.roots(), inode(&root.join("one"))), (vec![root.clone()], before));
    fs::write(root.join("old/b"), "other").unwrap();
    assert_eq!(probed.ask("read /old/b"), "b");
    assert_eq!(&probed.roots(), std::slice::from_ref(root));

    // Nothing to run it in.
    let nothing = |command: &mut Command| {
        command.env("PATH", "/nowhere");
    };
    let run = probed.ask_by(nothing, &[], "x");
    assert_eq!((run.code, run.stdout.as_str()), (1, ""));
    assert!(run.stderr.contains("`f` cannot be run: an image has a root of its own"), "{}", run.stderr);
    assert!(run.stderr.contains("hint: install `bubblewrap`"), "{}", run.stderr);

    let mut prune = probed.command(&["cache", "prune", "--days", "0"]);
    assert!(prune.output().unwrap().status.success());
    assert_eq!(probed.roots(), Vec::<PathBuf>::new());
}

#[test]
fn what_does_not_start_is_said_in_lambdas_words() {
    let text = |place| Entry::File(place, 0o755, b"no program");
    let probed = Probed::new(json!({}), &[&[text("text"), text("tmp/w/text")]], "");
    let config = probed.project.read("lambda-pack.toml");
    let other = if oci::go_arch() == "amd64" { "arm64" } else { "x86_64" };
    probed.project.write("f/other.sh", "#!/no/such/shell\n");
    fs::set_permissions(probed.project.path("f/other.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    for (image, kind, said) in [
        ("entrypoint = ['/nope']", "Runtime.InvalidEntrypoint", "fork/exec /nope: no such file or directory"),
        (
            "entrypoint = ['/var/task/data.txt']",
            "Runtime.InvalidEntrypoint",
            "fork/exec /var/task/data.txt: permission denied",
        ),
        ("entrypoint = ['/text']", "Runtime.InvalidEntrypoint", "fork/exec /text: exec format error"),
        (
            "entrypoint = ['/var/task/other.sh']",
            "Runtime.InvalidEntrypoint",
            "fork/exec /var/task/other.sh: no such file or directory",
        ),
        ("working-dir = '/none'", "Runtime.InvalidWorkingDir", "the working directory doesn't exist: /none"),
        // Something is mounted over what the image has there.
        ("working-dir = '/tmp/w'", "Runtime.InvalidWorkingDir", "the working directory doesn't exist: /tmp/w"),
        (
            "entrypoint = ['/tmp/w/text']",
            "Runtime.InvalidEntrypoint",
            "fork/exec /tmp/w/text: no such file or directory",
        ),
    ] {
        let table = format!("{config}[functions.f.image]\n{image}\n[checks]\nimage-entrypoint = 'ignore'\n");
        probed.project.write("lambda-pack.toml", &table);
        let run = probed.ask_by(|_| (), &[], "x");
        let document = json_of(&run);
        assert_eq!((run.code, &document["errorType"]), (1, &json!(kind)), "{image}: {}", run.stderr);
        let message = document["errorMessage"].as_str().unwrap();
        assert!(message.starts_with("RequestId: ") && message.ends_with(&format!(" Error: {said}")), "{message}");
        assert!(run.stderr.contains(&format!("IMAGE\tLaunch error: {said}\tEntrypoint: [")), "{}", run.stderr);
        assert!(run.stderr.contains(&format!("Status: error\tError Type: {kind}")), "{}", run.stderr);
    }
    // With the rule, it comes to no run.
    probed.project.write("lambda-pack.toml", &format!("{config}[functions.f.image]\nentrypoint = ['/nope']\n"));
    let run = probed.ask_by(|_| (), &[], "x");
    assert_eq!((run.code, run.stdout.as_str()), (3, ""), "{}", run.stderr);
    // Another processor's.
    let table =
        config.replace(&format!("'{}'", host_architecture()), &format!("'{other}'")).replace("oci:base", "scratch");
    probed.project.write(
        "lambda-pack.toml",
        &format!("{table}[checks]\nimage-entrypoint = 'ignore'\nwrong-architecture = 'ignore'\n"),
    );
    let run = probed.ask_by(|_| (), &[], "x");
    assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{}", run.stderr);
    assert!(run.stderr.contains(&format!("`f` is an image for {other}, and this machine is ")), "{}", run.stderr);
}

#[test]
fn nothing_of_an_image_is_left() {
    let probed = Probed::new(json!({}), &[], "");
    let scratch = tempfile::tempdir().unwrap();
    let name = scratch.path().display().to_string();
    let is_clean = || fs::read_dir(scratch.path()).unwrap().count() == 0;
    let mark = format!("MARK={name}");
    let in_scratch = |command: &mut Command| {
        command.env("TMPDIR", &name);
    };
    let run = probed.ask_by(in_scratch, &["--env", &mark, "--timeout", "1"], "sleep");
    assert_eq!(json_of(&run)["errorType"], "Sandbox.Timedout");
    // Processes of a PID namespace may outlive whoever has made it by a moment.
    soon("something is left", || is_clean() && !is_running(&mark));
    // Ctrl-C while it works.
    let mut command = probed.command(&["invoke", "f", "--event", "-", "--env", &mark]);
    let mut child = start(command.env("TMPDIR", &name));
    child.0.stdin.take().unwrap().write_all(b"\"sleep\"").unwrap();
    soon("it does not start", || is_running("AWS_EXECUTION_ENV=AWS_Lambda_Image") && is_running(&mark));
    signal("INT", child.0.id());
    assert_eq!(child.output().0, 130);
    soon("a process is left", || !is_running(&mark));
    soon("a folder is left", is_clean);
    // Ctrl-C while it is unpacked.
    let zeros = vec![0; 256 << 20];
    oci::layout(
        &probed.project.path("base"),
        &[Image::new(json!({}), vec![Layer::gzip(&[Entry::File("zeros", 0o644, &zeros)])])],
    );
    let before = probed.roots();
    let mut child = start(probed.command(&["invoke", "f"]).env("TMPDIR", &name).stdin(Stdio::null()));
    soon("it is not unpacked", || probed.is_unpacking());
    signal("INT", child.0.id());
    drop(child.0.stdin.take());
    assert_eq!(child.output().0, 130);
    soon("a folder is left", || is_clean() && probed.roots() == before);
    assert!(!probed.beside().iter().any(|name| name.starts_with("partial-")), "{:?}", probed.beside());
}

#[test]
fn nothing_is_left_of_an_image_with_many_files() {
    let names: Vec<String> = (0..20_000).map(|number| format!("many/{}/{number}", number % 100)).collect();
    let entries: Vec<_> = names.iter().map(|name| Entry::File(name, 0o644, b"x")).collect();
    let probed = Probed::new(json!({}), &[&entries], "");
    for wait in [0, 40, 150] {
        let child = start(probed.command(&["invoke", "f"]).stdin(Stdio::null()));
        soon("it is not unpacked", || probed.is_unpacking());
        std::thread::sleep(Duration::from_millis(wait));
        signal("INT", child.0.id());
        let (code, stdout, stderr) = child.output();
        assert_eq!((code, stdout), (130, Vec::new()), "{}", String::from_utf8_lossy(&stderr));
        assert_eq!(probed.beside(), Vec::<String>::new());
    }
}
