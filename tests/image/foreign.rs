//! `check` of images that others have made, broken and hostile ones among them.

use super::*;

/// What `check` says of an image, and what it says after `--fix`.
fn checked(images: &[Image], args: &[&str]) -> (Vec<String>, Run) {
    let project = Project::empty();
    oci::layout(&project.path("image"), images);
    let run = project.run(&[&["check", "image", "--format", "json"], args].concat());
    (said(&run), run)
}

/// The config of an image that starts a program which is there.
fn starts() -> Value {
    json!({"Entrypoint": ["/app/run"], "WorkingDir": "/"})
}

#[test]
fn foreign_images_are_judged_and_written_anew() {
    let project = Project::empty();
    let program = elf();
    let below =
        [Entry::Folder("app", 0o755), Entry::File("app/run", 0o755, &program), Entry::File("gone", 0o644, b"x")];
    let over = [Entry::File(".wh.gone", 0o644, b""), Entry::File("data", 0o644, b"data")];
    let layers = |first, second| {
        vec![Layer { media_type: first, ..Layer::gzip(&below) }, Layer { media_type: second, ..Layer::gzip(&over) }]
    };
    let image = |arch, layers| Image { arch, config: starts(), layers };
    oci::layout(
        &project.path("many"),
        &[image("amd64", layers(oci::ZSTD, oci::TAR)), image("arm64", layers(oci::GZIP, oci::GZIP))],
    );
    let run = project.run(&["check", "many", "--arch", "x86_64", "--format", "json"]);
    let expected_machine = if oci::go_arch() == "amd64" { vec![] } else { vec!["error image-entrypoint /app/run"] };
    let expected = [
        vec!["error image-index -", "error image-layer-media-type -", "error image-layer-media-type -"],
        expected_machine,
    ]
    .concat();
    assert_eq!(said(&run), expected);
    assert!(run.stdout.contains("is not supported. It is an index"), "{}", run.stdout);
    assert!(run.stdout.contains("UnsupportedImageLayerDetected - Layer Digest sha256:"), "{}", run.stdout);
    let run = project.run(&[
        "check",
        "many",
        "--fix",
        "--out-dir",
        "fixed",
        "--arch",
        host_architecture(),
        "--format",
        "json",
    ]);
    assert_eq!(said(&run), Vec::<String>::new());
    let fixed = project.path("fixed/many.oci");
    let (manifest, config) = oci::documents(&fixed);
    assert_eq!((&manifest["mediaType"], &config["architecture"]), (&json!(oci::MANIFEST), &json!(oci::go_arch())));
    accepted(&fixed, &oci::sha(manifest.to_string().as_bytes()));
    let (_dir, root) = unpacked(&fixed);
    assert_eq!(contents(&root).into_keys().collect::<Vec<_>>(), ["app", "app/run", "data"]);
    // Without a processor it is not decided which.
    let run = project.run(&["check", "many", "--fix", "--out-dir", "fixed"]);
    assert_eq!(run.code, 2, "{}", run.transcript());
    assert!(
        run.stderr.contains("has no single image for one processor; it has linux/amd64, linux/arm64"),
        "{}",
        run.stderr
    );
    // As a base, the one of the function's processor is taken.
    project.write("fn/x.txt", "x").write("lambda-pack.toml", "[functions.f]\npath = 'fn'\nruntime = 'provided.al2023'\npackage = 'image'\nbase = 'oci:many'\narchitecture = 'arm64'\n[functions.f.image]\nentrypoint = ['/app/run']\n[checks]\nbootstrap-missing = 'ignore'\nimage-entrypoint = 'ignore'\n");
    project.build::<&str>(&[]);
    assert_eq!(oci::documents(&project.out("f.oci")).1["architecture"], "arm64");
}

#[test]
fn what_lambda_would_not_start_is_refused() {
    let program = elf();
    let mut other = program.clone();
    other[18..20].copy_from_slice(&(if program[18] == 62 { 183_u16 } else { 62 }).to_le_bytes());
    let run = |mode, bytes| Entry::File("app/run", mode, bytes);
    let one = |config: Value, entries: &[Entry<'_>]| {
        checked(&[Image::new(config, vec![Layer::gzip(entries)])], &["--arch", host_architecture()])
    };
    for (why, entries, expected) in [
        ("good", vec![run(0o755, &program)], None),
        ("a script", vec![run(0o755, b"#!/app/sh\n"), Entry::File("app/sh", 0o755, &program)], None),
        (
            "through a folder that is a link",
            vec![Entry::File("real/run", 0o755, &program), Entry::Link("app", "real")],
            None,
        ),
        (
            "missing",
            vec![Entry::File("app/ran", 0o755, &program)],
            Some("fork/exec /app/run: no such file or directory"),
        ),
        ("a folder", vec![Entry::Folder("app/run", 0o755)], Some("fork/exec /app/run: no such file or directory")),
        ("not executable", vec![run(0o744, &program)], Some("fork/exec /app/run: permission denied")),
        ("another processor", vec![run(0o755, &other)], Some("fork/exec /app/run: exec format error (it is for")),
        ("no program", vec![run(0o755, b"text")], Some("fork/exec /app/run: exec format error (it is neither")),
        (
            "no interpreter",
            vec![run(0o755, b"#!/bin/bash\r\n")],
            Some("its interpreter `/bin/bash` is not in the image"),
        ),
        ("dangling", vec![Entry::Link("app/run", "/nowhere")], Some("fork/exec /app/run: no such file or directory")),
        ("a loop", vec![Entry::Link("app/run", "run")], Some("fork/exec /app/run: no such file or directory")),
        (
            "out of the root",
            vec![Entry::Link("app/run", "../../../../../../../etc/passwd")],
            Some("no such file or directory"),
        ),
    ] {
        let (said, run) = one(starts(), &entries);
        match expected {
            None => assert_eq!(said, Vec::<String>::new(), "{why}"),
            Some(expected) => {
                assert!(said.iter().any(|said| said.starts_with("error image-entrypoint ")), "{why}: {said:?}");
                assert!(run.stdout.contains(expected), "{why}: {}", run.stdout);
            }
        }
    }
    let (said, _) = one(starts(), &[Entry::Link("app/run", "real"), Entry::File("app/real", 0o755, &program)]);
    assert_eq!(said, ["warning image-entrypoint -"]);
    let (said, _) = one(json!({"Entrypoint": ["run"], "Env": ["PATH=/app"]}), &[run(0o755, &program)]);
    assert_eq!(said, ["warning image-entrypoint -"]);
    let (said, _) = one(json!({}), &[run(0o755, &program)]);
    assert_eq!(said, ["error image-entrypoint -"]);
    let (said, run) = one(json!({"Entrypoint": ["/app/run"], "WorkingDir": "/none"}), &[run(0o755, &program)]);
    assert_eq!(said, ["error image-entrypoint /none"]);
    assert!(run.stdout.contains("FunctionError.InvalidWorkingDirectory"), "{}", run.stdout);
    // AWS's entrypoint takes one argument.
    for (command, expected) in [(json!(["app.handler"]), 0), (json!([]), 1), (json!(["python", "app.handler"]), 1)] {
        let mut config = oci::aws_config();
        config["Cmd"] = command;
        config["WorkingDir"] = json!("/");
        let (said, run) = one(
            config,
            &[Entry::File("lambda-entrypoint.sh", 0o755, b"#!/bin/sh\n"), Entry::File("bin/sh", 0o755, &program)],
        );
        assert_eq!(said.len(), expected, "{said:?}");
        assert!(expected == 0 || run.stdout.contains("entrypoint requires the handler name to be the first argument"));
    }
}

#[test]
fn platforms_permissions_and_layers() {
    let program = elf();
    let good = || Layer::gzip(&[Entry::File("app/run", 0o755, &program)]);
    let (said, _) =
        checked(&[Image { arch: "s390x", config: starts(), layers: vec![good()] }], &["--arch", host_architecture()]);
    assert_eq!(said, ["error image-architecture -"]);
    let wrong = if oci::go_arch() == "amd64" { "arm64" } else { "x86_64" };
    let (said, _) = checked(&[Image::new(starts(), vec![good()])], &["--arch", wrong]);
    assert_eq!(
        said,
        ["error image-architecture -", "warning image-architecture /app/run", "error image-entrypoint /app/run"]
    );
    let secret = Layer::gzip(&[
        Entry::Folder("var/task/closed", 0o700),
        Entry::File("var/task/app.py", 0o600, b"x"),
        Entry::File("etc/shadow", 0o600, b"x"),
    ]);
    let (said, run) = checked(&[Image::new(starts(), vec![good(), secret])], &[]);
    assert_eq!(said, ["error image-unreadable-file /var/task/app.py", "error image-unreadable-file /var/task/closed"]);
    assert!(run.stdout.contains("[Errno 13] Permission denied: '/var/task/app.py'"), "{}", run.stdout);
    for (layers, expected) in
        [(100, vec![]), (101, vec!["warning image-too-many-layers -"]), (128, vec!["error image-too-many-layers -"])]
    {
        let (said, _) = checked(&[Image::new(starts(), vec![good(); layers])], &[]);
        assert_eq!(said, expected, "{layers}");
    }
}

#[test]
fn hostile_images_are_refused() {
    let project = Project::empty();
    let program = elf();
    let layer = Layer::gzip(&[Entry::File("app/run", 0o755, &program)]);
    let fresh = |name: &str| {
        let root = project.path(name);
        oci::layout(&root, &[Image::new(starts(), vec![layer.clone()])]);
        root
    };
    // A blob with other bytes, a shorter one, a longer one.
    for (name, change) in [("other", 0), ("short", 1), ("long", 2)] {
        let root = fresh(name);
        let blob = root.join("blobs/sha256").join(&oci::layers(&root)[0][7..]);
        let mut bytes = fs::read(&blob).unwrap();
        match change {
            0 => *bytes.last_mut().unwrap() ^= 1,
            1 => drop(bytes.pop()),
            _ => bytes.push(0),
        }
        fs::write(&blob, bytes).unwrap();
        let run = project.run(&["check", name, "--format", "json"]);
        assert!(said(&run).iter().any(|said| said == "error image-layer-damaged -"), "{name}: {}", run.transcript());
        let run = project.run(&["check", name, "--fix", "--out-dir", "fixed"]);
        assert_eq!(run.code, 1, "{name}: {}", run.transcript());
        assert!(!project.path(&format!("fixed/{name}.oci/index.json")).exists());
    }
    // A digest that is a path, a manifest of 5 MB, an index in itself, and a config that says another tar.
    let root = fresh("path");
    let index = fs::read_to_string(root.join("index.json")).unwrap();
    let digest = index.split("sha256:").nth(1).unwrap()[..64].to_owned();
    fs::write(root.join("index.json"), index.replace(&digest, "../../../../etc/passwd")).unwrap();
    let root = fresh("large");
    oci::name(&root, oci::blob(&root, oci::MANIFEST, &vec![b' '; 5 << 20]));
    let root = fresh("deep");
    let (manifest, _) = oci::documents(&root);
    let mut inner = oci::blob(&root, oci::MANIFEST, manifest.to_string().as_bytes());
    for _ in 0..6 {
        inner = oci::blob(&root, oci::INDEX, json!({"schemaVersion": 2, "manifests": [inner]}).to_string().as_bytes());
    }
    oci::name(&root, inner);
    for (name, expected) in
        [("path", "cannot be read"), ("large", "at most 4194304 are read"), ("deep", "is an index of indexes")]
    {
        let run = project.run(&["check", name]);
        assert_eq!(run.code, 1, "{name}: {}", run.transcript());
        assert!(run.stderr.contains(expected), "{name}: {}", run.stderr);
    }
    // Paths and links that lead out of the root, as nobody's tar library writes them.
    let mut tar = layer.tar.clone();
    let escaped = oci::tar(&[Entry::File("xx/xx/outside", 0o644, b"x"), Entry::Link("up", "../../../../etc")]);
    tar.truncate(tar.len() - 1024);
    let mut escaped = escaped;
    escaped[..13].copy_from_slice(b"../../outside");
    fix_checksum(&mut escaped);
    tar.extend(escaped);
    let escaping = Layer { tar, media_type: oci::GZIP };
    oci::layout(&project.path("escapes"), &[Image::new(starts(), vec![escaping.clone()])]);
    let run = project.run(&["check", "escapes", "--format", "json"]);
    assert_eq!(said(&run), ["error image-layer-damaged -"]);
    assert!(run.stdout.contains("the path `../../outside` leaves the image's root"), "{}", run.stdout);
    // A tar that is none, and one that is cut short.
    for (name, bytes) in [("noise", vec![7; 5000]), ("cut", escaping.tar[..700].to_vec())] {
        oci::layout(&project.path(name), &[Image::new(starts(), vec![Layer { tar: bytes, media_type: oci::GZIP }])]);
        let run = project.run(&["check", name, "--format", "json"]);
        assert!(said(&run).iter().any(|said| said == "error image-layer-damaged -"), "{name}: {}", run.transcript());
    }
    assert!(!project.path("../outside").exists() && !project.path("outside").exists());
}

/// Writes the checksum of a tar's first header.
fn fix_checksum(tar: &mut [u8]) {
    tar[148..156].copy_from_slice(b"        ");
    let sum: u32 = tar[..512].iter().map(|byte| u32::from(*byte)).sum();
    tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}
