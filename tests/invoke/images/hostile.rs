//! Layers that want to be written elsewhere.

use super::*;

#[test]
fn hostile_layers_reach_nothing_outside() {
    let mut escaping = oci::tar(&[Entry::File("xx/xx/outside", 0o644, b"x")]);
    escaping[..13].copy_from_slice(b"../../outside");
    escaping[148..156].copy_from_slice(b"        ");
    let sum: u32 = escaping[..512].iter().map(|byte| u32::from(*byte)).sum();
    escaping[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let probed = Probed::new(json!({}), &[&[Entry::File("x", 0o644, b"x")]], "");
    let secret = probed.project.path("secret");
    fs::write(&secret, "secret").unwrap();
    let hidden = secret.to_str().unwrap();
    let base = |layers: Vec<Layer>| {
        fs::remove_dir_all(probed.project.path("base")).unwrap();
        oci::layout(&probed.project.path("base"), &[Image::new(json!({}), layers)]);
    };
    base(vec![Layer { tar: escaping, media_type: oci::GZIP }]);
    let run = probed.ask_by(|_| (), &[], "x");
    assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{}", run.stderr);
    assert!(run.stderr.contains("the path `../../outside` leaves the image's root"), "{}", run.stderr);
    assert_eq!(probed.roots(), Vec::<PathBuf>::new());
    // Links to everywhere, written through by the same layer and the next.
    let up = "../../../../../../../../../..";
    let through = format!("up{hidden}");
    let beyond = format!("/proc/self/root/oldroot{}", probed.project.path("").display());
    let lower = [
        Entry::Link("up", up),
        Entry::File(&through, 0o644, b"mine"),
        Entry::Link("abs", "/"),
        // Where the root of whoever makes the sandbox is seen, while it is made.
        Entry::Link("etc", &beyond),
        Entry::Link("dev", "/var"),
        Entry::Link("direct", hidden),
    ];
    let through = format!("abs{hidden}");
    let upper = [
        Entry::File(&through, 0o644, b"mine, too"),
        Entry::File("direct", 0o644, b"replaced"),
        Entry::File("abs/.wh.x", 0o644, b""),
        Entry::File("etc/passwd", 0o644, b"me:x:0:0:::\n"),
    ];
    base(vec![Layer::gzip(&lower), Layer::gzip(&upper)]);
    assert_eq!(probed.ask("read /direct"), "replaced");
    // In the sandbox, /tmp hides it.
    let [root] = &probed.roots()[..] else { panic!("{:?}", probed.roots()) };
    assert_eq!(fs::read_to_string(format!("{}{hidden}", root.display())).unwrap(), "mine, too");
    assert_eq!(probed.ask("write /dev/null"), "ok");
    let here: Vec<_> = fs::read_dir(probed.project.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!here.iter().any(|name| ["passwd", "hosts", "resolv.conf"].iter().any(|other| name == other)), "{here:?}");
    assert_eq!(fs::read_to_string(&secret).unwrap(), "secret");
}

/// Variables of an image that programs which make the sandbox would take for theirs.
#[test]
fn a_hostile_environment_changes_nothing_of_the_sandbox() {
    let project_mark = tempfile::tempdir().unwrap();
    let mark = project_mark.path().join("mark");
    let split = format!("--split-string=sh -c \"echo x >{}\"", mark.display());
    let config = json!({"Env": [split, "-u=x", "LD_PRELOAD=/var/task/no.so", "LD_AUDIT=/var/task/no.so", "GOOD=1"]});
    let probed = Probed::new(config, &[&[Entry::File("x", 0o644, b"x")]], "");
    let bin = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/usr/bin/unshare", bin.path().join("unshare")).unwrap();
    let without = |command: &mut Command| {
        command.env("PATH", bin.path());
    };
    let with = |_: &mut Command| {};
    let walls: [&dyn Fn(&mut Command); 2] = [&with, &without];
    for change in walls {
        let run = probed.ask_by(change, &[], "arguments");
        // Below a changed root there are no namespaces, and so no images without bubblewrap.
        let is_run = run.code == 0 || run.stderr.contains("nothing here that can change into it");
        assert!(is_run && !run.stderr.contains("ld.so"), "{}", run.stderr);
        assert!(!mark.exists());
    }
}
