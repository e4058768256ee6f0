//! What is packed is what Lambda loads: real projects, packed for real, judged by readers and interpreters that are not
//! ours.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod common;

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;
use std::time::{Duration, SystemTime};

use common::{Project, Run, call_node, call_python, pythons};
use serde_json::{Value, json};

#[test]
fn a_monorepo_of_three_languages() {
    let project = Project::copy_of("monorepo");
    let manifest = project.build::<&str>(&[]);
    let names: Vec<_> = manifest["functions"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["clock", "greet", "quote"]);
    assert_eq!(manifest["findings"].as_array().unwrap().len(), 0, "{:#}", manifest["findings"]);
    for function in manifest["functions"].as_array().unwrap() {
        let artifact = &function["artifact"];
        let path = project.out(artifact["path"].as_str().unwrap());
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(artifact["bytes"], bytes.len());
        let sum = common::tool("sha256sum", &[path.as_os_str()], "apt-get install coreutils");
        assert_eq!(sum.split(' ').next().unwrap(), artifact["sha256"]);
        assert_eq!(function["upload"], "direct");
    }
    assert_eq!(
        project.read("target/lambda-pack/manifest.json"),
        serde_json::to_string_pretty(&manifest).unwrap() + "\n"
    );

    let quote = project.unpack("quote.zip");
    let answer = call_node(&quote.path(""), "index.handler", r#"{"items": [{"price": 2, "count": 3}]}"#);
    assert_eq!(answer["body"], r#"{"total":6}"#);
    assert!(!quote.files().iter().any(|f| f.contains("is-number")), "a development dependency");

    let greet = project.unpack("greet.zip");
    if let Some((_, python)) = pythons().into_iter().find(|(minor, _)| *minor == 13) {
        assert_eq!(call_python(&python, &greet.path(""), "app.handler", r#"{"name": "you"}"#)["body"], "Hello, you!");
    } else {
        let core = greet.files().into_iter().find(|f| f.starts_with("pydantic_core/_pydantic_core.")).unwrap();
        assert!(core.ends_with("cpython-313-x86_64-linux-gnu.so"), "{core}");
    }
    let clock = project.unpack("clock.zip");
    assert_eq!(clock.files(), ["bootstrap"]);
    let answer: Value = serde_json::from_str(&common::runtime_api::invoke(&clock.path("bootstrap"), "{}")).unwrap();
    assert_eq!(answer["statusCode"], 200);
    assert!(answer["body"].as_str().unwrap().parse::<u64>().unwrap() > 1_700_000_000, "{answer}");

    assert_eq!(digests(&manifest), digests(&built_elsewhere("monorepo")));
}

/// The same project in another folder, under another umask and time zone, with one thread instead of two, newer files, and
/// a store that knows nothing yet.
fn built_elsewhere(fixture: &str) -> Value {
    let project = Project::empty();
    let script = format!(
        "umask 077; cp -r {} deep; cd deep; find . -exec touch -d 2031-05-06 {{}} +; exec \"$@\"",
        common::fixture(fixture).display()
    );
    let mut command = Command::new("sh");
    let args =
        ["-c", &script, "sh", env!("CARGO_BIN_EXE_cargo-lambda-pack"), "build", "--format", "json", "--jobs", "1"];
    command.args(args).current_dir(project.path(""));
    command
        .env("LAMBDA_PACK_CACHE_DIR", project.path("other store"))
        .env("LAMBDA_PACK_TODAY", common::TODAY)
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
        .env("TZ", "Pacific/Auckland");
    command.env("PATH", common::path_with_tools()).env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS");
    let run = Run::of(&mut command, &project.path(""));
    assert_eq!(run.code, 0, "{}", run.transcript());
    serde_json::from_str(&run.stdout).unwrap()
}

/// Names and digests of all artifacts.
fn digests(manifest: &Value) -> Vec<(String, String)> {
    let functions = manifest["functions"].as_array().unwrap();
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    functions.iter().map(|f| (text(&f["name"]), text(&f["artifact"]["sha256"]))).collect()
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let project = Project::copy_of("python-pure");
    let one = project.build(&["--jobs", "1"]);
    // Into another folder, where nothing stands yet.
    let two = project.build(&["--jobs", "2", "--out-dir", "target/two"]);
    assert_eq!(digests(&one), digests(&two));
    let shas = |m: &Value| digests(m).into_iter().map(|(_, sha)| sha).collect::<Vec<_>>();
    assert_eq!(shas(&one), shas(&built_elsewhere("python-pure")));
}

/// Everything that Python's reader sees of each entry, and what it does not look at: the local header's own version, flags,
/// method, time and date, and the length of its extra fields.
const READ_ZIP: &str = "
import json, struct, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as z, open(sys.argv[1], 'rb') as f:
    entries = []
    for i in z.infolist():
        f.seek(i.header_offset)
        sig, version, flags, method, time, date, crc, packed, size, name, extra = struct.unpack('<4s5H3I2H', f.read(30))
        assert sig == b'PK\\3\\4' and (crc, packed, size) == (i.CRC, i.compress_size, i.file_size)
        assert f.read(name) == i.filename.encode() and (flags, method) == (i.flag_bits, i.compress_type)
        entries.append({'name': i.filename, 'mode': oct(i.external_attr >> 16), 'dos': i.external_attr & 0xffff,
            'dates': [i.date_time, time, date], 'flags': i.flag_bits, 'method': i.compress_type, 'made': i.create_system,
            'extra': [len(i.extra), extra], 'versions': [version, i.extract_version, i.create_version],
            'comment': len(i.comment), 'text': z.read(i).decode() if i.file_size < 100 else ''})
    print(json.dumps({'entries': entries, 'comment': len(z.comment), 'end': f.seek(-22, 2) and f.read(4).hex()}))
";

#[test]
fn odd_names_modes_times_and_links() {
    let project = Project::empty();
    let long = "x".repeat(5_000);
    let files = [
        ("function/app.py", "def handler(event, context):\n    return 1\n", 0o600),
        ("function/späte Grüße/日本語 file.txt", "für später", 0o640),
        ("function/späte Grüße/z.txt", long.as_str(), 0o444),
        ("function/run me.sh", "#!/bin/sh\n", 0o700),
        ("function/for others.sh", "#!/bin/sh\n", 0o655),
        ("function/leer-2.txt", "", 0o644),
        ("function/leer.txt", "not empty", 0o644),
        ("function/Zoë", "capitals sort first", 0o644),
        ("common/shared.txt", "shared", 0o644),
        ("common/more/deep.txt", "deep", 0o755),
    ];
    let set = |path: &str, mode, seconds| {
        let file = File::options().read(true).open(project.path(path)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
        fs::set_permissions(project.path(path), Permissions::from_mode(mode)).unwrap();
    };
    for (path, text, mode) in files {
        project.write(path, text);
        // 1970 for some, 2110 for the others: a zip's clock starts in 1980 and ends in 2107.
        set(path, mode, if text.len() % 2 == 0 { 0 } else { 4_420_000_000 });
    }
    fs::create_dir_all(project.path("function/leer")).unwrap();
    fs::create_dir_all(project.path("function/tief/leer")).unwrap();
    for (target, link) in [
        ("app.py", "link to file"),
        ("späte Grüße/z.txt", "link to ü"),
        ("späte Grüße", "link to folder"),
        ("/opt/lib/libx.so.1", "link to opt"),
        ("../common/shared.txt", "link to outside.txt"),
        ("../common/more", "link to outside folder"),
    ] {
        symlink(target, project.path("function").join(link)).unwrap();
    }
    project.write(
        "lambda-pack.toml",
        "[functions.odd]\npath = 'function'\nruntime = 'python3.13'\nhandler = 'app.handler'\n",
    );
    let manifest = project.build::<&str>(&[]);
    assert_eq!(manifest["findings"], json!([]));

    let zip = project.out("odd.zip");
    let read = ["-I".as_ref(), "-c".as_ref(), READ_ZIP.as_ref(), zip.as_os_str()];
    let read: Value = serde_json::from_str(&common::tool("python3", &read, "apt-get install python3")).unwrap();
    assert_eq!((&read["comment"], &read["end"]), (&json!(0), &json!("504b0506")));
    let entries = read["entries"].as_array().unwrap();
    let shown: Vec<_> = entries.iter().map(|e| ["name", "mode", "text"].map(|key| e[key].as_str().unwrap())).collect();
    let (plain, executable, link, folder) = ("0o100644", "0o100755", "0o120777", "0o40755");
    assert_eq!(
        shown,
        [
            ["Zoë", plain, "capitals sort first"],
            ["app.py", plain, "def handler(event, context):\n    return 1\n"],
            ["for others.sh", plain, "#!/bin/sh\n"],
            ["leer-2.txt", plain, ""],
            ["leer.txt", plain, "not empty"],
            ["leer/", folder, ""],
            ["link to file", link, "app.py"],
            ["link to folder", link, "späte Grüße"],
            ["link to opt", link, "/opt/lib/libx.so.1"],
            ["link to outside folder/deep.txt", executable, "deep"],
            ["link to outside.txt", plain, "shared"],
            ["link to ü", link, "späte Grüße/z.txt"],
            ["run me.sh", executable, "#!/bin/sh\n"],
            ["späte Grüße/z.txt", plain, ""],
            ["späte Grüße/日本語 file.txt", plain, "für später"],
            ["tief/leer/", folder, ""],
        ]
    );
    for entry in entries {
        assert_eq!(entry["dates"], json!([[1980, 1, 1, 0, 0, 0], 0, 33]), "{entry}");
        assert_eq!(
            (&entry["flags"], &entry["made"], &entry["comment"]),
            (&json!(0x800), &json!(3), &json!(0)),
            "{entry}"
        );
        assert_eq!(entry["extra"], json!([0, 0]), "{entry}");
        assert_eq!(entry["versions"], json!([20, 20, 20]), "{entry}");
        assert!([json!(0), json!(8)].contains(&entry["method"]), "{entry}");
    }

    // Info-ZIP's reader says the same.
    let said = common::tool("unzip", &["-Zv".as_ref(), zip.as_os_str()], "apt-get install unzip");
    for line in [
        "file system or operating system of origin:      Unix",
        "version of encoding software:                   2.0",
        "file last modified on (DOS date/time):          1980 Jan 1 00:00:00",
        "length of extra field:                          0 bytes",
        "extended local header:                          no",
    ] {
        assert_eq!(said.matches(&format!("  {line}\n")).count(), entries.len(), "{line}\n{said}");
    }

    // `unzip` makes the same of it, and neither times nor what others may do change the bytes.
    let unpacked = project.unpack("odd.zip");
    assert_eq!(fs::read_link(unpacked.path("link to opt")).unwrap().to_str(), Some("/opt/lib/libx.so.1"));
    assert_eq!(fs::read_to_string(unpacked.path("link to folder/日本語 file.txt")).unwrap(), "für später");
    assert_eq!(fs::read_dir(unpacked.path("tief/leer")).unwrap().count(), 0);
    for (path, _, mode) in files {
        set(path, if mode & 0o100 == 0 { 0o664 } else { 0o711 }, 1_000_000_001);
    }
    assert_eq!(digests(&project.build(&["--out-dir", "target/again"])), digests(&manifest));
}
