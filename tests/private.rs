//! Packages from an index that wants to know who asks.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod common;

use std::path::Path;

/// A server that does not outlive the test.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A package index that wants `someone:Pr1vate/Index`, with one package; its process, its port, and the wheel's digest.
fn private_index(folder: &Path) -> (Running, u16, String) {
    let serve = "import base64, hashlib, http.server, io, zipfile\n\
                 wheel = io.BytesIO()\n\
                 with zipfile.ZipFile(wheel, 'w') as w:\n    \
                   w.writestr('secretlib.py', 'VALUE = 42\\n')\n    \
                   w.writestr('secretlib-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: secretlib\\nVersion: 1.0\\n')\n    \
                   w.writestr('secretlib-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n    \
                   w.writestr('secretlib-1.0.dist-info/RECORD', '')\n\
                 wheel = wheel.getvalue()\n\
                 name = 'secretlib-1.0-py3-none-any.whl'\n\
                 page = f'<a href=\"/files/{name}#sha256={hashlib.sha256(wheel).hexdigest()}\">{name}</a>'.encode()\n\
                 wanted = 'Basic ' + base64.b64encode(b'someone:Pr1vate/Index').decode()\n\
                 class Handler(http.server.BaseHTTPRequestHandler):\n    \
                   def do_GET(self):\n        \
                     known = self.headers.get('Authorization') == wanted\n        \
                     body = wheel if self.path.startswith('/files/') else page if '/secretlib' in self.path else b''\n        \
                     self.send_response(401 if not known else 200 if body else 404)\n        \
                     self.send_header('Content-Type', 'text/html')\n        \
                     self.send_header('Content-Length', str(len(body) if known else 0))\n        \
                     if not known: self.send_header('WWW-Authenticate', 'Basic')\n        \
                     self.end_headers()\n        \
                     if known and self.command == 'GET': self.wfile.write(body)\n    \
                   do_HEAD = do_GET\n    \
                   def log_message(self, *args): pass\n\
                 server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)\n\
                 print(server.server_port, hashlib.sha256(wheel).hexdigest(), flush=True)\n\
                 server.serve_forever()\n";
    let mut command = std::process::Command::new("python3");
    command
        .args(["-c", serve])
        .current_dir(folder)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null());
    let mut child = command.spawn().expect("python3 is missing: apt-get install python3");
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
    let (port, digest) = line.trim().split_once(' ').unwrap();
    (Running(child), port.parse().unwrap(), digest.to_owned())
}

/// Whether a password stands in what a run has written or said.
fn is_written(password: &str, folders: &[&Path], run: &common::Run) -> bool {
    let files = folders.iter().flat_map(walkdir::WalkDir::new).flatten().filter(|entry| entry.file_type().is_file());
    let texts = files.map(|entry| String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap()).into_owned());
    texts.chain([run.stdout.clone(), run.stderr.clone()]).any(|text| text.contains(password))
}

#[test]
fn a_private_index_is_read_with_what_the_tools_know_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, port, _) = private_index(folder.path());
    let host = format!("127.0.0.1:{port}");
    let named = format!("[[index]]\nname = \"our-own\"\nurl = \"http://{host}/simple\"\ndefault = true\n");
    let netrc = folder.path().join("netrc");
    std::fs::write(&netrc, "machine 127.0.0.1 login someone password Pr1vate/Index\n").unwrap();
    let ways = [
        ("a URL", "", vec![("UV_DEFAULT_INDEX", format!("http://someone:Pr1vate%2FIndex@{host}/simple"))]),
        (
            "variables of a named index",
            named.as_str(),
            vec![
                ("UV_INDEX_OUR_OWN_USERNAME", "someone".to_owned()),
                ("UV_INDEX_OUR_OWN_PASSWORD", "Pr1vate/Index".to_owned()),
            ],
        ),
        (
            "a .netrc",
            "",
            vec![("UV_DEFAULT_INDEX", format!("http://{host}/simple")), ("NETRC", netrc.display().to_string())],
        ),
    ];
    for (what, settings, variables) in ways {
        let project = common::Project::empty();
        project
            .write("app.py", "def handler(event, context):\n    return 1\n")
            .write("requirements.txt", "secretlib==1.0\n");
        if !settings.is_empty() {
            project.write("uv.toml", settings);
        }
        let mut command = project.command(&["build", "-vv"]);
        command
            .env("LAMBDA_PACK_CACHE_DIR", folder.path().join(what))
            .env("UV_CACHE_DIR", folder.path().join("uv").join(what));
        command.env_remove("UV_INDEX_URL").env_remove("PIP_INDEX_URL").envs(variables);
        let run = common::Run::of(&mut command, &project.path(""));
        assert_eq!(run.code, 0, "{what}: {}", run.transcript());
        assert!(project.unpack("project.zip").files().contains(&"secretlib.py".to_owned()), "{what}");
        let written = [folder.path().join(what), project.path("target")];
        assert!(
            !is_written("Pr1vate", &written.each_ref().map(AsRef::as_ref), &run),
            "{what}: the password was written"
        );
    }
}

#[test]
fn indexes_that_locks_name_are_read_with_what_their_managers_know_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, port, digest) = private_index(folder.path());
    let host = format!("127.0.0.1:{port}");
    let only_pip = tempfile::tempdir().unwrap();
    let python = only_pip.path().join("python3");
    std::fs::write(&python, format!("#!/bin/sh\nexec '{}' \"$@\"\n", common::server::python().display())).unwrap();
    common::tool("chmod", &["755".as_ref(), python.as_os_str()], "apt-get install coreutils");
    let poetry = format!(
        "[[package]]\nname = 'secretlib'\nversion = '1.0'\ngroups = ['main']\n\
         files = [{{ file = 'secretlib-1.0-py3-none-any.whl', hash = 'sha256:{digest}' }}]\n\
         [package.source]\ntype = 'legacy'\nurl = 'http://{host}/simple'\nreference = 'our-own'\n[metadata]\nlock-version = '2.1'\n"
    );
    let pipfile = format!(
        "{{\"_meta\": {{\"pipfile-spec\": 6, \"sources\": [{{\"name\": \"our-own\", \"url\": \"http://someone:${{INDEX_PASSWORD}}@{host}/simple\"}}]}}, \
         \"default\": {{\"secretlib\": {{\"version\": \"==1.0\", \"hashes\": [\"sha256:{digest}\"]}}}}}}"
    );
    let pdm = format!(
        "[metadata]\nlock_version = '4.5.0'\nstrategy = ['inherit_metadata']\n[[package]]\nname = 'secretlib'\nversion = '1.0'\ngroups = ['default']\n\
         files = [{{ file = 'secretlib-1.0-py3-none-any.whl', hash = 'sha256:{digest}' }}]\n"
    );
    let sources =
        format!("[[tool.pdm.source]]\nname = 'pypi'\nurl = 'http://someone:${{INDEX_PASSWORD}}@{host}/simple'\n");
    let poetrys = vec![
        ("POETRY_HTTP_BASIC_OUR_OWN_USERNAME", "someone"),
        ("POETRY_HTTP_BASIC_OUR_OWN_PASSWORD", "Pr1vate/Index"),
    ];
    let variable = vec![("INDEX_PASSWORD", "Pr1vate%2FIndex")];
    for (file, lock, sources, variables, refusal) in [
        ("poetry.lock", &poetry, "", &poetrys, "401"),
        ("Pipfile.lock", &pipfile, "", &variable, "`INDEX_PASSWORD` in the URL of an index is not set"),
        ("pdm.lock", &pdm, sources.as_str(), &variable, "`INDEX_PASSWORD` in the URL of an index is not set"),
    ] {
        let project = common::Project::empty();
        project.write("app.py", "def handler(event, context):\n    return 1\n").write(file, lock);
        if file != "Pipfile.lock" {
            project.write(
                "pyproject.toml",
                &format!("[project]\nname = 'f'\nversion = '1'\ndependencies = ['secretlib']\n{sources}"),
            );
        }
        let kept = folder.path().join(file);
        let run = |known: &[(&str, &str)]| {
            let mut command = project.command(&["build", "-vv", "--runtime", "python3.13"]);
            command
                .env("LAMBDA_PACK_CACHE_DIR", &kept)
                .env("UV_CACHE_DIR", folder.path().join("uv").join(file))
                .env("PIP_CACHE_DIR", folder.path().join("pip"))
                .env("NETRC", "/nowhere")
                .env_remove("PIP_FIND_LINKS")
                .envs(known.iter().copied());
            common::Run::of(&mut command, &project.path(""))
        };
        let refused = run(&[]);
        assert!(refused.code != 0 && refused.stderr.contains(refusal), "{file}: {}", refused.transcript());
        let wrong = run(&[
            ("POETRY_HTTP_BASIC_OUR_OWN_USERNAME", "someone"),
            ("POETRY_HTTP_BASIC_OUR_OWN_PASSWORD", "Wr0ng"),
            ("INDEX_PASSWORD", "Wr0ng"),
        ]);
        assert!(wrong.code == 1 && wrong.stderr.contains("401"), "{file}: {}", wrong.transcript());
        assert!(!is_written("Wr0ng", &[], &wrong), "{file}: {}", wrong.transcript());
        for path in [common::path_with_tools(), format!("{}:/usr/bin:/bin", only_pip.path().display()).into()] {
            let _ = std::fs::remove_dir_all(&kept);
            let _ = std::fs::remove_dir_all(project.path("target"));
            let path = path.to_str().unwrap();
            let done = run(&[&variables[..], &[("PATH", path)]].concat());
            assert_eq!(done.code, 0, "{file}: {}", done.transcript());
            assert!(project.unpack("project.zip").files().contains(&"secretlib.py".to_owned()), "{file}");
            let written = [kept.clone(), project.path("target")];
            let is_written = is_written("Pr1vate", &written.each_ref().map(AsRef::as_ref), &done);
            assert!(!is_written, "{file}: the password was written");
        }
    }
}
