//! Requirements files in all their notations.

use super::*;
use proptest::prelude::*;

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    fsio::write_atomic(&path, text.as_bytes()).unwrap();
    path
}

fn read(text: &str) -> (tempfile::TempDir, Result<Requirements>) {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "libs/greet/pyproject.toml", "[project]\nname='greet'\n");
    write(dir.path(), "more.txt", "idna==3.7\n");
    let path = write(dir.path(), "requirements.txt", text);
    let read = Requirements::read(&path);
    (dir, read)
}

#[test]
fn every_notation_is_understood() {
    let text = "# c\n--index-url https://h/simple\n-r more.txt\n-cmore.txt\nrequests[socks] == 2.0 \\\n    --hash=sha256:00 # why\n\
        tomli; python_version < '3.11'\n./libs/greet[x] ; os_name == 'posix'\n-e libs/greet\ngreet @ file:./libs/greet\n\
        thing @ https://h/thing-1.tar.gz\nhttps://h/x-1-py3-none-any.whl\n--no-binary=Foo_Bar,b\n-f libs\n${X}\n";
    let (dir, read) = read(text);
    let read = read.unwrap();
    let named: Vec<String> = read
        .lines
        .iter()
        .filter_map(|l| match &l.kind {
            Kind::Named(r, hashed) => Some(format!(
                "{}{}{}",
                r.name,
                if !hashed.is_empty() { "#" } else { "" },
                if l.constraint { "?" } else { "" }
            )),
            _ => None,
        })
        .collect();
    assert_eq!(named, ["idna", "idna?", "requests#", "tomli", "thing"]);
    let locals: Vec<_> = read.locals().map(|l| (l.extras.as_str(), l.marker.as_str())).collect();
    assert_eq!(locals, [("[x]", "os_name == 'posix'"), ("", ""), ("", "")]);
    assert_eq!(read.no_binary().into_iter().collect::<Vec<_>>(), ["b", "foo-bar"]);
    assert_eq!(read.unpinned().as_deref(), Some("tomli ; python_full_version < '3.11'"));
    let links = dir.path().join("libs").display().to_string();
    assert_eq!(read.index_options(), ["--index-url", "https://h/simple", "-f", &links]);

    let scratch = tempfile::tempdir().unwrap();
    let staged = read.stage(scratch.path(), |l| Some(format!("greet{} @ W", l.extras))).unwrap();
    let new = std::fs::read_to_string(&staged).unwrap();
    assert_eq!(new.lines().count(), text.lines().count(), "lines keep their numbers");
    assert!(new.contains("greet[x] @ W") && new.contains("requests[socks] == 2.0 \\\n    --hash"), "{new}");
    assert!(new.contains("-r ") && new.contains("-c ") && !new.contains("libs/greet"), "{new}");
    let said = read.unstage(scratch.path(), &format!("in {}:3", staged.display()));
    assert_eq!(said, format!("in {}:3", dir.path().join("requirements.txt").display()));
}

#[test]
fn mistakes_have_a_place() {
    for (text, said) in [
        ("idna\nrequests==\n", "requirements.txt:2:"),
        ("idna\n\n  foo bar\n", "requirements.txt:3:"),
        ("-r absent.txt\n", "requirements.txt:1:1: it includes `absent.txt`"),
        ("idna\n-é\n", "requirements.txt:2:"),
        ("./absent\n", "requirements.txt:1:1: `./absent` is not there"),
        ("./libs\n", "neither pyproject.toml nor setup.py"),
        ("-r requirements.txt\n", "without end"),
    ] {
        let error = read(text).1.unwrap_err();
        assert!(error.to_string().contains(said), "{text:?}: {error}");
        assert_eq!(error.kind(), crate::error::Kind::Config);
    }
}

proptest! {
    #[test]
    fn reading_never_panics(text in "(-r|-e|-|--|a|\\.|/|@|;|\\[|\\]|=|#|\\\\|\n| |é|file:){0,20}") {
        let _ = logical_lines(&text);
        let _ = option(&text);
        let _ = local(&text, Path::new("/nowhere"));
        let _ = read(&text);
    }
}

#[test]
fn short_options_are_taken_apart() {
    for (line, expected) in [
        ("-r a.txt", Some(("-r", "a.txt"))),
        ("-ra.txt", Some(("-r", "a.txt"))),
        ("-e", Some(("-e", ""))),
        ("-", Some(("-", ""))),
        ("-é", None),
        ("-é=x", None),
        ("a", None),
    ] {
        assert_eq!(option(line), expected, "{line}");
    }
}

#[test]
fn files_that_double_with_every_include_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..25 {
        let next = i + 1;
        let text = format!("-r {next}.txt\n-r {next}.txt\n");
        crate::fsio::write_atomic(&dir.path().join(format!("{i}.txt")), text.as_bytes()).unwrap();
    }
    crate::fsio::write_atomic(&dir.path().join("25.txt"), b"a==1\n").unwrap();
    let error = Requirements::read(&dir.path().join("0.txt")).unwrap_err().to_string();
    assert!(error.contains("more than 1000 requirements files"), "{error}");
}
