//! What an earlier build has left stands only when this one would make the same: every way to a stale zip that we could
//! think of. Each ends with the zip being equal, byte for byte, to that of a build that knows nothing.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod common;

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use common::{Project, Run};
use serde_json::Value;

const APP: &str = "def handler(event, context):\n    return 1\n";

/// A project whose files have been at rest for an hour, as most have.
fn project() -> Project {
    let project = Project::empty();
    project.write("app.py", APP).write("data/a.txt", "one").write("data/b.txt", "two");
    rest(&project);
    project
}

/// Files that changed a moment ago are read again whatever their time; the tests are about those that are not.
fn rest(project: &Project) {
    for entry in walkdir::WalkDir::new(project.path("")) {
        let entry = entry.unwrap();
        if entry.file_type().is_file() {
            let file = File::options().read(true).open(entry.path()).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(3_600)).unwrap();
        }
    }
}

fn zip(project: &Project) -> Vec<u8> {
    fs::read(project.out("project.zip")).unwrap()
}

/// The inode of the zip: another one means that it was packed.
fn inode(project: &Project) -> u64 {
    fs::metadata(project.out("project.zip")).unwrap().ino()
}

/// What a build that knows nothing makes.
fn anew(project: &Project, args: &[&str]) -> Vec<u8> {
    let all = [&["build", "--out-dir", "target/anew", "-q"], args].concat();
    project.done(&all);
    let bytes = fs::read(project.path("target/anew/project.zip")).unwrap();
    fs::remove_dir_all(project.path("target/anew")).unwrap();
    bytes
}

/// Builds after a change: the zip must be what a build that knows nothing makes, and differ from the one before.
fn noticed(project: &Project, before: &[u8], args: &[&str], what: &str) {
    let run = project.run(&[&["build", "-q"], args].concat());
    assert_eq!(run.code, 0, "{what}: {}", run.transcript());
    assert!(zip(project) != before, "{what} was not noticed");
    assert!(zip(project) == anew(project, args), "{what}: not what a build that knows nothing makes");
}

#[test]
fn nothing_is_packed_when_nothing_has_changed() {
    let project = project();
    let first = project.build::<&str>(&[]);
    let before = inode(&project);
    let mut again = project.build::<&str>(&[]);
    assert_eq!(inode(&project), before);
    again["timings_ms"] = first["timings_ms"].clone();
    assert_eq!(again, first, "the manifest says the same");
    // A new time alone is looked into, and makes nothing new. Files that may still change in the same tick of the clock
    // are looked into as well: from then on none is left.
    let reads = |project: &Project| {
        let mut command = Command::new("strace");
        command.args(["-f", "-e", "trace=openat", env!("CARGO_BIN_EXE_cargo-lambda-pack"), "build"]);
        let run = Run::of(
            command
                .current_dir(project.path(""))
                .env("LAMBDA_PACK_CACHE_DIR", common::store())
                .env("LAMBDA_PACK_TODAY", common::TODAY)
                .env("PATH", common::path_with_tools()),
            &project.path(""),
        );
        assert_eq!(run.code, 0, "{}", run.stderr);
        run.stderr.lines().filter(|l| l.contains("data/") && l.contains(".txt")).count()
    };
    std::thread::sleep(Duration::from_millis(2_100));
    project.done(&["build"]);
    project.write("data/a.txt", "one");
    assert_eq!(reads(&project), 1, "only the file that was touched is read");
    std::thread::sleep(Duration::from_millis(2_100));
    project.done(&["build"]);
    assert_eq!(reads(&project), 0);
    assert_eq!(inode(&project), before);
}

#[test]
fn changes_of_files_are_noticed_whatever_their_times_say() {
    let project = project();
    // Long enough for the first build to take the stats for known.
    std::thread::sleep(Duration::from_millis(2_100));
    project.done(&["build"]);
    let before = zip(&project);
    let path = project.path("data/a.txt");
    let old = fs::metadata(&path).unwrap().modified().unwrap();
    let keep_time = || File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();

    // Another content of the same length with the old time: written in place, and renamed over it.
    fs::write(&path, "ONE").unwrap();
    keep_time();
    noticed(&project, &before, &[], "a change in place with the old time");
    let before = zip(&project);
    fs::write(project.path("data/new"), "oNe").unwrap();
    fs::rename(project.path("data/new"), &path).unwrap();
    keep_time();
    noticed(&project, &before, &[], "a renamed file with the old time");

    // A time in the past, one in the future.
    for seconds in [1, 4_000_000_000] {
        let before = zip(&project);
        fs::write(&path, format!("{seconds}")).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
        noticed(&project, &before, &[], "a change with an odd time");
    }

    // Twice in a row, as fast as it goes, with the same length.
    for round in 10..20 {
        let before = zip(&project);
        fs::write(&path, format!("{round}")).unwrap();
        noticed(&project, &before, &[], "a quick change");
    }

    for (what, change) in [
        (
            "a new file",
            Box::new(|p: &Project| {
                p.write("data/c.txt", "");
            }) as Box<dyn Fn(&Project)>,
        ),
        ("a file that is gone", Box::new(|p| fs::remove_file(p.path("data/b.txt")).unwrap())),
        ("an empty folder", Box::new(|p| fs::create_dir(p.path("empty")).unwrap())),
        (
            "the bit that lets a file be executed",
            Box::new(|p| fs::set_permissions(p.path("data/c.txt"), fs::Permissions::from_mode(0o755)).unwrap()),
        ),
        (
            "a link instead of a file",
            Box::new(|p| {
                fs::remove_file(p.path("data/a.txt")).unwrap();
                std::os::unix::fs::symlink("c.txt", p.path("data/a.txt")).unwrap();
            }),
        ),
        (
            "a link that leads elsewhere",
            Box::new(|p| {
                fs::remove_file(p.path("data/a.txt")).unwrap();
                std::os::unix::fs::symlink("../app.py", p.path("data/a.txt")).unwrap();
            }),
        ),
        (
            "a .lambdaignore",
            Box::new(|p| {
                p.write(".lambdaignore", "c.txt\n");
            }),
        ),
        (
            "another .lambdaignore",
            Box::new(|p| {
                p.write(".lambdaignore", "a.txt\n");
            }),
        ),
    ] {
        let before = zip(&project);
        change(&project);
        noticed(&project, &before, &[], what);
    }
}

#[test]
fn a_file_that_changes_and_changes_back_has_the_zip_of_its_content() {
    let project = project();
    project.done(&["build"]);
    let first = zip(&project);
    fs::write(project.path("data/a.txt"), "other").unwrap();
    noticed(&project, &first, &[], "a change");
    fs::write(project.path("data/a.txt"), "one").unwrap();
    project.done(&["build"]);
    assert!(zip(&project) == first);
}

#[test]
fn settings_are_noticed() {
    let project = project();
    let config = |rest: &str| {
        format!("[functions.project]\npath = '.'\nruntime = 'python3.13'\nhandler = 'app.handler'\n{rest}")
    };
    project.write("lambda-pack.toml", &config(""));
    project.done(&["build"]);
    project.write("other/x.txt", "x");
    for settings in
        ["exclude = ['other', 'b.txt']", "exclude = ['other']\ninclude = [{ from = 'data/b.txt', to = 'b.txt' }]"]
    {
        let before = zip(&project);
        project.write("lambda-pack.toml", &config(settings));
        noticed(&project, &before, &[], settings);
    }
    // What is included from elsewhere is watched, too.
    let before = zip(&project);
    fs::write(project.path("data/b.txt"), "changed").unwrap();
    noticed(&project, &before, &[], "an included file");

    // What does not change the zip changes what is said of it.
    let manifest = project.build(&["--arch", "arm64"]);
    assert_eq!(manifest["functions"][0]["architecture"], "arm64");
    let run = project.run(&["build", "--handler", "gone.handler", "--format", "json"]);
    assert_eq!(run.code, 3, "{}", run.transcript());
    assert!(!project.out("project.zip").exists());
    project.done(&["build"]);
    project.write("lambda-pack.toml", &config("environment = { AWS_REGION = 'x' }"));
    assert_eq!(project.run(&["build"]).code, 3);
    // Levels of rules are the config's, also over what was found before.
    project.write(".env", "A=b").write("lambda-pack.toml", &config(""));
    assert!(project.done(&["build"]).stderr.starts_with("warning[secret-file] "));
    assert!(project.done(&["build"]).stderr.starts_with("warning[secret-file] "));
    project.write("lambda-pack.toml", &config("[checks]\nsecret-file = 'error'"));
    assert_eq!(project.run(&["build"]).code, 3);
    project.write("lambda-pack.toml", &config("[checks]\nsecret-file = 'ignore'"));
    assert_eq!(project.done(&["build"]).stderr, "");
    // The day is today's.
    let late = Run::of(project.command(&["build"]).env("LAMBDA_PACK_TODAY", "2029-08-01"), &project.path(""));
    assert!(late.stderr.contains("runtime-deprecated"), "{}", late.transcript());
}

/// What is broken, and how.
type Damage<'a> = (&'a str, Box<dyn Fn() + 'a>);

#[test]
fn what_stands_in_the_output_folder_is_looked_at() {
    let project = project();
    project.done(&["build"]);
    let good = zip(&project);
    let out = project.out("project.zip");
    let state = project.out(".lambda-pack.state-1");
    let kept = fs::read(&state).unwrap();
    let damages: Vec<Damage<'_>> = vec![
        ("a zip that is gone", Box::new(|| fs::remove_file(&out).unwrap())),
        ("a zip that was cut short", Box::new(|| fs::write(&out, &good[..10]).unwrap())),
        (
            "other bytes of the same length and time",
            Box::new(|| {
                let time = fs::metadata(&out).unwrap().modified().unwrap();
                fs::write(&out, vec![0; good.len()]).unwrap();
                File::options().write(true).open(&out).unwrap().set_modified(time).unwrap();
            }),
        ),
        ("a state that is gone", Box::new(|| fs::remove_file(&state).unwrap())),
        ("a state of garbage", Box::new(|| fs::write(&state, noise(&kept)).unwrap())),
        ("a state that was cut short", Box::new(|| fs::write(&state, &kept[..kept.len() / 2]).unwrap())),
        ("a manifest that is gone", Box::new(|| fs::remove_file(project.out("manifest.json")).unwrap())),
    ];
    for (what, damage) in damages {
        damage();
        project.done(&["build"]);
        assert!(zip(&project) == good, "{what}");
        let manifest: Value = serde_json::from_str(&project.read("target/lambda-pack/manifest.json")).unwrap();
        assert_eq!(manifest["functions"][0]["artifact"]["bytes"], good.len(), "{what}");
    }
    // A digit of a digest in the state: the line that proves it is wrong then.
    let text = String::from_utf8(fs::read(&state).unwrap()).unwrap();
    fs::write(&state, text.replacen("\"own\":\"", "\"own\":\"0", 1)).unwrap();
    let before = inode(&project);
    project.done(&["build"]);
    assert_ne!(inode(&project), before);
    // Asked not to look, it does not.
    let before = inode(&project);
    project.done(&["build", "--no-cache"]);
    assert_ne!(inode(&project), before);
    assert!(zip(&project) == good);
}

#[test]
fn a_self_check_tells_a_zip_that_is_not_what_a_new_build_makes() {
    let project = project();
    project.done(&["build", "--self-check"]);
    // What no file system does: the zip says something else, and the state swears that it is the one that was left.
    let out = project.out("project.zip");
    let stat = |path: &Path| fs::metadata(path).unwrap();
    let old = stat(&out);
    let state = project.out(".lambda-pack.state-1");
    let text = fs::read_to_string(&state).unwrap();
    let (_, rest) = text.split_once('\n').unwrap();
    let manifest: Value = serde_json::from_str(&project.read("target/lambda-pack/manifest.json")).unwrap();
    let sha256 = manifest["functions"][0]["artifact"]["sha256"].as_str().unwrap();
    let forged = rest.replace(sha256, &"0".repeat(64));
    let digest = {
        use sha2::Digest as _;
        sha2::Sha256::digest(forged.as_bytes()).iter().map(|b| format!("{b:02x}")).collect::<String>()
    };
    fs::write(&state, format!("{digest}\n{forged}")).unwrap();
    assert_eq!(stat(&out).ino(), old.ino());
    let run = project.run(&["build", "--self-check"]);
    assert_eq!(run.code, 1, "{}", run.transcript());
    assert!(run.stderr.contains("a build that knows nothing gives other zips of `project`"), "{}", run.stderr);
}

fn noise(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|b| b.wrapping_mul(31).wrapping_add(7)).collect()
}

#[test]
fn two_builds_at_once_and_a_killed_one_leave_what_a_new_build_makes() {
    let project = project();
    project.done(&["build"]);
    fs::write(project.path("data/a.txt"), "changed").unwrap();
    let start = || project.command(&["build"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let builds: Vec<_> = (0..4).map(|_| start()).collect();
    for mut build in builds {
        assert!(build.wait().unwrap().success());
    }
    assert!(zip(&project) == anew(&project, &[]));
    for delay in [0, 2, 4, 8, 16] {
        fs::write(project.path("data/a.txt"), format!("killed after {delay}")).unwrap();
        let mut build = start();
        std::thread::sleep(Duration::from_millis(delay));
        let _ = build.kill();
        let _ = build.wait();
        project.done(&["build"]);
        assert!(zip(&project) == anew(&project, &[]), "after {delay} ms");
    }
}

#[test]
fn a_file_that_changes_while_it_is_packed_is_packed_again() {
    let project = project();
    let big = |byte: u8| fs::write(project.path("data/big.bin"), vec![byte; 60 << 20]).unwrap();
    big(b'a');
    project.done(&["build"]);
    let first = zip(&project);
    // Written to over and over while builds run: whatever each has packed, the last one has what is there.
    for round in 0..4_u64 {
        let mut build = project.command(&["build"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(20 + 40 * round));
        big(b'b');
        let _ = build.wait().unwrap();
        big(b'a');
        project.done(&["build"]);
        assert!(zip(&project) == first, "round {round}");
        fs::write(project.path("data/a.txt"), format!("round {round}")).unwrap();
        project.done(&["build"]);
        fs::write(project.path("data/a.txt"), "one").unwrap();
    }
}

#[test]
fn a_full_disk_leaves_nothing_that_is_taken_for_the_new_one() {
    let project = project();
    fs::create_dir_all(project.path("target/out")).unwrap();
    // A file system of 2 MB that only this process sees, filled by hand after the first build.
    let script = "mount -t tmpfs -o size=2m tmpfs target/out || exit 77; \"$@\" || exit 70; \
                  echo changed > data/a.txt; head -c 4000000 /dev/zero > target/out/filler 2>/dev/null; \"$@\" && exit 71; \
                  rm target/out/filler; \"$@\" || exit 72; cp target/out/project.zip packed.zip";
    let mut command = Command::new("unshare");
    command.arg("--mount");
    if common::tool("id", &["-u".as_ref()], "apt-get install coreutils").trim() != "0" {
        command.arg("--map-root-user");
    }
    command.args([
        "sh",
        "-c",
        script,
        "sh",
        env!("CARGO_BIN_EXE_cargo-lambda-pack"),
        "build",
        "--out-dir",
        "target/out",
    ]);
    command.env("LAMBDA_PACK_CACHE_DIR", common::store()).current_dir(project.path(""));
    let run = Run::of(&mut command, &project.path(""));
    assert_ne!(run.code, 71, "the build on a full disk succeeded: {}", run.transcript());
    assert_eq!(run.code, 0, "{}", run.transcript());
    fs::rename(project.path("packed.zip"), project.path("..").join("packed.zip")).unwrap();
    let packed = fs::read(project.path("..").join("packed.zip")).unwrap();
    assert!(packed == anew(&project, &[]));
}

#[test]
fn another_tool_is_asked_again() {
    let project = Project::empty();
    project.write("app.py", APP).write("requirements.txt", "idna==3.10\n");
    let real = common::on_path("uv").canonicalize().unwrap();
    // A uv that counts how often it resolves.
    fs::create_dir_all(project.path("../bin")).unwrap();
    let wrapper = |comment: &str| {
        let script = format!(
            "#!/bin/sh\n# {comment}\ncase \"$*\" in *compile*) echo x >> '{}';; esac\nexec '{}' \"$@\"\n",
            project.path("../calls").display(),
            real.display()
        );
        fs::write(project.path("../bin/uv"), script).unwrap();
        fs::set_permissions(project.path("../bin/uv"), fs::Permissions::from_mode(0o755)).unwrap();
    };
    let calls = || fs::read_to_string(project.path("../calls")).unwrap_or_default().len() / 2;
    let store = project.path("../store");
    let build = |variables: &[(&str, &str)]| {
        let mut command = project.command(&["build", "--format", "json"]);
        command.env("PATH", common::with_path(&project.path("../bin"))).env("LAMBDA_PACK_CACHE_DIR", &store);
        command.envs(variables.iter().copied());
        let run = Run::of(&mut command, &project.path(""));
        assert_eq!(run.code, 0, "{}", run.transcript());
    };
    wrapper("first");
    build(&[]);
    let once = calls();
    assert!(once > 0);
    build(&[]);
    assert_eq!(calls(), once, "nothing has changed");
    // A change of the code asks nothing of the resolver.
    project.write("app.py", &format!("{APP}# more\n"));
    build(&[]);
    assert_eq!(calls(), once, "the requirements are the same");
    for (what, change) in [
        ("another uv", Box::new(|| wrapper("second")) as Box<dyn Fn()>),
        (
            "other requirements",
            Box::new(|| {
                project.write("requirements.txt", "idna==3.9\n");
            }),
        ),
        (
            "settings of uv beside them",
            Box::new(|| {
                project.write("uv.toml", "offline = false\n");
            }),
        ),
    ] {
        let before = calls();
        change();
        build(&[]);
        assert!(calls() > before, "{what} was not noticed");
    }
    let before = calls();
    build(&[("UV_HTTP_TIMEOUT", "60")]);
    assert!(calls() > before, "a variable of uv's was not noticed");
    // A lock that appears decides from now on.
    project.write("pylock.toml", "lock-version = \"1.0\"\ncreated-by = \"x\"\npackages = []\n");
    let before = calls();
    build(&[]);
    assert_eq!(calls(), before);
    let manifest: Value = serde_json::from_str(&project.read("target/lambda-pack/manifest.json")).unwrap();
    assert_eq!(manifest["functions"][0]["resolved_by"], "pylock.toml");
}

/// Builds a function `name` of a config and gives its zip.
fn zip_of(project: &Project, name: &str) -> Vec<u8> {
    project.done(&["build"]);
    fs::read(project.out(&format!("{name}.zip"))).unwrap()
}

#[test]
fn what_decides_is_watched_also_where_it_is_not_packed() {
    let project = Project::empty();
    project.write("app.py", APP).write(".lambdaignore", "requirements.txt\n*.toml\n");
    let before = zip_of(&project, "project");
    project.write("requirements.txt", "idna==3.10\n");
    let with_idna = zip_of(&project, "project");
    assert!(with_idna.len() > before.len() + 10_000, "a requirements.txt that is left out was not noticed");
    project.write("pylock.toml", "lock-version = \"1.0\"\ncreated-by = \"x\"\npackages = []\n");
    assert!(zip_of(&project, "project") == before, "a lock that is left out was not noticed");
}

#[test]
fn functions_that_share_an_answer_are_watched_each_for_itself() {
    let project = Project::empty();
    let mut config = String::new();
    for name in ["a", "b"] {
        project
            .write(&format!("{name}/base.txt"), "idna==3.10\n")
            .write(&format!("{name}/function/requirements.txt"), "-r ../base.txt\n")
            .write(&format!("{name}/function/app.py"), APP);
        config.push_str(&format!(
            "[functions.{name}]\npath = '{name}/function'\nruntime = 'python3.13'\nhandler = 'app.handler'\n"
        ));
    }
    project.write("lambda-pack.toml", &config);
    let before = zip_of(&project, "b");
    project.write("b/base.txt", "idna==3.9\n");
    assert!(zip_of(&project, "b") != before);
    assert!(fs::read(project.out("a.zip")).unwrap() == before);
}

#[test]
fn wheels_on_this_machine_are_looked_at_each_time() {
    let project = Project::empty();
    let make = "import sys, zipfile\n\
                with zipfile.ZipFile('wheels/mylib-1.0-py3-none-any.whl', 'w') as w:\n    \
                  w.writestr('mylib.py', f'VALUE = {sys.argv[1]!r}\\n')\n    \
                  w.writestr('mylib-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: mylib\\nVersion: 1.0\\n')\n    \
                  w.writestr('mylib-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n    \
                  w.writestr('mylib-1.0.dist-info/RECORD', '')\n";
    let wheel = |value: &str| {
        let run = Command::new("python3").args(["-c", make, value]).current_dir(project.path("")).status().unwrap();
        assert!(run.success());
    };
    project.write("app.py", APP).write("requirements.txt", "mylib==1.0\n").write(
        "uv.toml",
        "find-links = [\"wheels\"]\nno-index = true\ncache-keys = [{ file = \"wheels/mylib-1.0-py3-none-any.whl\" }]\n",
    );
    project.write(".lambdaignore", "wheels\n");
    fs::create_dir(project.path("wheels")).unwrap();
    wheel("one");
    let before = zip_of(&project, "project");
    wheel("another");
    assert!(zip_of(&project, "project") != before);
}

#[test]
fn many_files_that_were_packed_before_need_few_open_at_once() {
    let project = project();
    for n in 0..600_u32 {
        let line = format!("file {n}\n");
        project.write(&format!("many/{n}.txt"), &line.repeat(5_000));
    }
    project.done(&["build"]);
    project.write("app.py", &format!("{APP}# changed\n"));
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -n 128; exec \"$0\" build -q", env!("CARGO_BIN_EXE_cargo-lambda-pack")])
        .env("LAMBDA_PACK_CACHE_DIR", common::store())
        .env("LAMBDA_PACK_TODAY", common::TODAY)
        .current_dir(project.path(""));
    let run = Run::of(&mut command, &project.path(""));
    assert_eq!(run.code, 0, "{}", run.transcript());
    assert!(zip(&project) == anew(&project, &["--no-cache"]));
}

#[test]
fn locks_and_manifests_above_the_function_are_noticed() {
    let project = Project::copy_of("node-workspace");
    project.write(
        "lambda-pack.toml",
        "[functions.project]\npath = 'packages/api'\nruntime = 'nodejs22.x'\nhandler = 'index.handler'\n",
    );
    project.done(&["build"]);
    let before = zip(&project);
    let inode_before = inode(&project);
    project.done(&["build"]);
    assert_eq!(inode(&project), inode_before);
    // A file of a package that is linked into the function, in another folder of the workspace.
    let linked = "packages/shared/lib/index.js";
    project.write(linked, &format!("{}// changed\n", project.read(linked)));
    noticed(&project, &before, &[], linked);
    // The lock, which lies above the function's folder.
    let lock = project.read("package-lock.json");
    project.write("package-lock.json", &lock.replacen("\"packages/shared\"", "\"packages/gone\"", 1));
    let run = project.run(&["build"]);
    assert_eq!(run.code, 2, "{}", run.transcript());
}

#[test]
fn a_store_of_garbage_is_filled_again() {
    let project = Project::copy_of("python-pure");
    // What shrinks and what does not, each large enough to be kept when it was packed once.
    fs::write(project.path("shrinks.txt"), "packed once\n".repeat(10_000)).unwrap();
    fs::write(
        project.path("noise.bin"),
        (0..100_000_u32).flat_map(|n| n.wrapping_mul(n ^ 0x9e37_79b9).to_le_bytes()).collect::<Vec<_>>(),
    )
    .unwrap();
    let store = project.path("../own-store");
    let build = |project: &Project| {
        let mut command = project.command(&["build", "--format", "json"]);
        let run = Run::of(command.env("LAMBDA_PACK_CACHE_DIR", &store), &project.path(""));
        assert_eq!(run.code, 0, "{}", run.transcript());
        let manifest: Value = serde_json::from_str(&run.stdout).unwrap();
        fs::read(project.out(manifest["functions"][0]["artifact"]["path"].as_str().unwrap())).unwrap()
    };
    let good = build(&project);
    let files = |below: &Path| {
        let entries = walkdir::WalkDir::new(below).into_iter().flatten().filter(|e| e.file_type().is_file());
        entries.map(walkdir::DirEntry::into_path).collect::<Vec<_>>()
    };
    let kept = files(&store.join("entries-v1")).len();
    assert!(kept >= 2, "{kept} packed files are kept");
    fs::remove_dir_all(project.path("target")).unwrap();
    assert!(build(&project) == good, "what was packed once is the same");
    for damage in [
        |path: &Path| fs::write(path, "garbage").unwrap(),
        |path: &Path| {
            let mut bytes = fs::read(path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(path, bytes).unwrap();
        },
        |path: &Path| fs::write(path, "").unwrap(),
    ] {
        files(&store).iter().for_each(|path| damage(path));
        fs::remove_dir_all(project.path("target")).unwrap();
        assert!(build(&project) == good);
    }
}
