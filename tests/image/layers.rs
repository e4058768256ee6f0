//! The same inputs are the same layers, and what has not changed stays.

use super::*;

#[test]
fn the_same_image_from_another_folder_and_with_other_threads() {
    let digest = |project: &Project, args: &[&str]| project.build(args)["functions"][0]["image"]["digest"].clone();
    let (one, other) = (python(""), python(""));
    fs::set_permissions(other.path("fn/app.py"), fs::Permissions::from_mode(0o600)).unwrap();
    let first = digest(&one, &["--jobs", "1"]);
    // With a store that knows nothing.
    let store = tempfile::tempdir().unwrap();
    let mut command = other.command(&["build", "--format", "json", "--jobs", "2", "--out-dir", "elsewhere"]);
    let run = Run::of(command.env("LAMBDA_PACK_CACHE_DIR", store.path()), &other.path(""));
    assert_eq!(run.code, 0, "{}", run.transcript());
    let manifest: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(manifest["functions"][0]["image"]["digest"], first);
}

/// All files of an image's folder with their times.
fn files(layout: &Path) -> BTreeMap<PathBuf, (i64, i64, u64)> {
    walkdir::WalkDir::new(layout)
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), fs::metadata(&path).map(|m| (m.mtime(), m.mtime_nsec(), m.ino())).unwrap()))
        .collect()
}

#[test]
fn one_line_changes_one_layer_and_nothing_changes_nothing() {
    let project = python("");
    project.build::<&str>(&[]);
    // Files that are new may still change in the same tick.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    let layout = project.out("f.oci");
    project.done(&["build"]);
    let (before, old) = (files(&layout), oci::layers(&layout));
    assert!(project.done(&["build"]).stdout.contains("unchanged"));
    assert_eq!(files(&layout), before);
    project.write("fn/app.py", &format!("{APP}# changed\n"));
    project.build::<&str>(&[]);
    let new = oci::layers(&layout);
    assert_eq!(new.len(), old.len());
    let changed: Vec<usize> = (0..new.len()).filter(|at| new[*at] != old[*at]).collect();
    assert_eq!(changed, [new.len() - 1]);
    // What the folder holds: the layers, the config and the manifest, and nothing of the old image.
    assert_eq!(files(&layout.join("blobs")).len(), new.len() + 2);
    // A blob that somebody has deleted is put back.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    fs::remove_file(layout.join("blobs/sha256").join(&new[0][7..])).unwrap();
    project.done(&["build"]);
    assert_eq!(files(&layout.join("blobs")).len(), new.len() + 2);
    // Another base is another image.
    let base = tempfile::tempdir().unwrap();
    oci::layout(
        base.path(),
        &[Image::new(
            oci::aws_config(),
            vec![Layer::gzip(&[
                Entry::File("lambda-entrypoint.sh", 0o755, b"#!/bin/sh\n"),
                Entry::File("bin/sh", 0o755, &elf()),
            ])],
        )],
    );
    let config = project
        .read("lambda-pack.toml")
        .replace(&python_base().0.display().to_string(), &base.path().display().to_string());
    project.write("lambda-pack.toml", &config);
    project.build::<&str>(&[]);
    assert_eq!(oci::layers(&layout).len(), 1 + new.len() - 2);
    // From an image to a zip: the image is gone.
    let manifest = project.build(&["--package", "zip", "--sbom"]);
    assert!(!layout.exists() && project.out("f.zip").exists());
    assert!(project.out(manifest["functions"][0]["sbom"].as_str().unwrap()).exists());
    project.build::<&str>(&[]);
    assert!(layout.exists() && !project.out("f.zip").exists());
}

#[test]
fn functions_share_the_layers_of_their_packages_and_layers_come_to_opt() {
    let (base, minor) = python_base();
    let project = Project::empty();
    let mut config = format!(
        "[defaults]\nruntime = 'python3.{minor}'\nhandler = 'app.handler'\narchitecture = '{}'\npackage = 'image'\nbase = 'oci:{}'\n",
        host_architecture(),
        base.display()
    );
    for name in ["a", "b"] {
        project
            .write(&format!("{name}/app.py"), &format!("{APP}# {name}\n"))
            .write(&format!("{name}/requirements.txt"), REQUESTS);
        config += &format!("[functions.{name}]\npath = '{name}'\nlayers = ['common']\n");
    }
    config += "[layers.common]\npath = 'common'\n";
    project
        .write("common/python/shared.py", "X = 1\n")
        .write("common/extensions/ext", "#!/bin/sh\n")
        .write("lambda-pack.toml", &config);
    fs::set_permissions(project.path("common/extensions/ext"), fs::Permissions::from_mode(0o755)).unwrap();
    let manifest = project.build::<&str>(&[]);
    assert_eq!(manifest["functions"][0]["layers"], json!([]));
    let [a, b] = ["a.oci", "b.oci"].map(|name| oci::layers(&project.out(name)));
    let own: Vec<bool> = a.iter().zip(&b).map(|(a, b)| a == b).collect();
    assert_eq!(own.iter().filter(|same| !**same).count(), 1, "only the code differs: {a:?} {b:?}");
    let (_dir, root) = unpacked(&project.out("a.oci"));
    let found = contents(&root);
    assert!(found["opt/extensions/ext"].starts_with("file 755 ") && found.contains_key("opt/python/shared.py"));
    // A layer that exists cannot be looked into.
    let arn = format!("arn:aws:lambda:eu-west-1:123456789012:layer:{}:1", "x");
    project.write("lambda-pack.toml", &config.replace("['common']", &format!("['{arn}']")));
    let run = project.run(&["build"]);
    assert_eq!(run.code, 2, "{}", run.transcript());
    assert!(
        run.stderr.contains("Lambda layers are not supported for functions created with container images"),
        "{}",
        run.stderr
    );
}

#[test]
fn archives_are_bases_and_what_they_hold_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let shell =
        [Entry::File("bin/sh", 0o755, &elf()), Entry::Link("usr-bin", "bin"), Entry::Hard("bin/again", "bin/sh")];
    let config = json!({"Entrypoint": ["/bin/sh"], "Env": ["A=b"]});
    let layout = dir.path().join("layout");
    oci::layout(&layout, &[Image::new(config, vec![Layer::gzip(&shell)])]);
    let from = format!("oci:{}:latest", layout.display());
    let [docker, archive] = ["docker.tar", "oci.tar"].map(|name| dir.path().join(name).display().to_string());
    skopeo(&["copy", "--quiet", &from, &format!("docker-archive:{docker}:base:1")]);
    skopeo(&["copy", "--quiet", &from, &format!("oci-archive:{archive}:latest")]);
    let project = Project::empty();
    project.write("fn/data.txt", "x");
    let mut seen = Vec::new();
    for base in [
        format!("oci:{}", layout.display()),
        format!("docker-archive:{docker}:base:1"),
        format!("oci-archive:{archive}"),
    ] {
        let text = format!(
            "[functions.f]\npath = 'fn'\nruntime = 'python3.13'\nhandler = 'app.handler'\narchitecture = '{}'\npackage = 'image'\nbase = '{base}'\n\
             [functions.f.image]\narchive = 'docker'\n[checks]\nhandler-not-found = 'ignore'\n",
            host_architecture()
        );
        project.write("lambda-pack.toml", &text);
        project.build::<&str>(&[]);
        let (_, config) = oci::documents(&project.out("f.oci"));
        assert_eq!(config["config"]["Entrypoint"], json!(["/bin/sh"]));
        seen.push(config["rootfs"]["diff_ids"].clone());
        let saved = format!("docker-archive:{}", project.out("f.docker.tar").display());
        let inspected: Value = serde_json::from_str(&skopeo(&["inspect", "--config", &saved])).unwrap();
        assert_eq!(inspected["rootfs"]["diff_ids"], seen[0]);
        assert_eq!(
            said(&project.run(&["check", "--format", "json", project.out("f.docker.tar").to_str().unwrap()])),
            Vec::<String>::new()
        );
    }
    assert!(seen.iter().all(|ids| ids == &seen[0]), "{seen:#?}");
}
