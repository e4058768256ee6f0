//! The way to AWS: profiles, proxies, certificates, and secrets that nobody hears.

use super::*;

#[test]
fn the_way_to_aws_is_told_when_it_is_missing() {
    let project = project();
    let run = |change: &dyn Fn(&mut Command)| {
        let fake = Fake::start();
        let mut command = command(&project, &fake, &[]);
        change(&mut command);
        let run = Run::of(&mut command, &project.path(""));
        assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{}", run.transcript());
        run.stderr
    };
    let unset = |names: &[&str]| {
        run(&|command| {
            for name in names {
                command.env_remove(name);
            }
        })
    };
    let endpoint = |url: &str| {
        run(&|command| {
            command.env("AWS_ENDPOINT_URL", url);
        })
    };
    insta::assert_snapshot!(unset(&["AWS_ACCESS_KEY_ID"]), @"
    error: no AWS credentials were found
      hint: sign in (`aws sso login`), name a profile with `--profile` or AWS_PROFILE, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
    ");
    insta::assert_snapshot!(unset(&["AWS_ENDPOINT_URL", "AWS_REGION"]), @"
    error: no AWS region is set
      hint: name it with `--region`, AWS_REGION, or `region` in the profile (`aws configure set region …`)
    ");
    insta::assert_snapshot!(endpoint("http://no-such-host.invalid"), @"
    error: Failed to look at the bucket `box`: io error: client error (Connect): dns error: failed to lookup address information: Name or service not known
      hint: there is no such host: check the region (eu-west-1), AWS_ENDPOINT_URL_S3, and the network
    ");
    insta::assert_snapshot!(endpoint("http://127.0.0.1:1"), @"
    error: Failed to look at the bucket `box`: io error: client error (Connect): tcp connect error: Connection refused (os error 111)
      hint: nothing listens there; it was tried 2 times: check AWS_ENDPOINT_URL_S3, HTTPS_PROXY and NO_PROXY
    ");
}

#[test]
fn a_profile_that_is_named_counts_more_than_the_environment() {
    let (project, fake) = (project(), Fake::start());
    project.write(
        "aws-config",
        "[profile team]\nregion = eu-west-1\naws_access_key_id = AKIATEAMTEAMTEAM0000\naws_secret_access_key = x\n\
         [profile broken]\nregion = eu-west-1\ncredential_process = false\n",
    );
    let run = |profile: &str| {
        let mut command = command(&project, &fake, &["--format", "json", "--profile", profile]);
        command.env("AWS_CONFIG_FILE", project.path("aws-config"));
        Run::of(&mut command, &project.path(""))
    };
    place(&project, &fake, &run("team"));
    assert!(fake.requests("PUT")[0].header("authorization").contains("AKIATEAMTEAMTEAM0000"));
    for (profile, words) in [("gone", "profile `gone` was not defined"), ("broken", "external process exited")] {
        let run = run(profile);
        assert_eq!(run.code, 1, "{}", run.transcript());
        assert!(run.stderr.contains(words) && run.stderr.contains("`--profile`"), "{}", run.stderr);
    }
}

#[test]
fn proxies_are_used_and_their_passwords_kept() {
    let (project, fake) = (project(), Fake::start());
    let proxy = format!("http://someone:Pr0xyPassw0rd@127.0.0.1:{}", fake.port);
    let with_proxy = |no_proxy: &str| {
        let mut command = command(&project, &fake, &["--format", "json", "-vv"]);
        command
            .env("AWS_ENDPOINT_URL", "http://s3.example.internal")
            .env("HTTP_PROXY", &proxy)
            .env("NO_PROXY", no_proxy);
        Run::of(&mut command, &project.path(""))
    };
    place(&project, &fake, &with_proxy(""));
    let put = &fake.requests("PUT")[0];
    assert!(put.target.starts_with("http://s3.example.internal/box/project/"), "{}", put.target);
    assert!(put.header("proxy-authorization").starts_with("Basic "));
    // Without the proxy, nobody knows the host.
    let run = with_proxy("example.internal");
    assert_eq!(run.code, 1, "{}", run.transcript());
    assert!(run.stderr.contains("there is no such host") && !run.stderr.contains("Pr0xyPassw0rd"), "{}", run.stderr);
}

#[test]
fn no_secret_is_ever_said() {
    const TOKEN: &str = "FakeSessionToken//Zm9vYmFy";
    let faults: [(&str, Fault); 6] = [
        ("PUT", Fault::Error(500, "InternalError")),
        ("PUT", Fault::Error(403, "SignatureDoesNotMatch")),
        ("PUT", Fault::ResetAfter(5)),
        ("GET", Fault::Error(403, "InvalidAccessKeyId")),
        ("HEAD", Fault::Bare(400)),
        ("PUT", Fault::Error(404, "never")),
    ];
    for (method, fault) in faults {
        let (project, fake) = (project(), Fake::start());
        fake.fail(method, "/box", if matches!(fault, Fault::Error(404, _)) { 0 } else { 99 }, fault);
        let mut command = command(&project, &fake, &["-vvv"]);
        let endpoint = format!("http://user:EndpointPassw0rd@127.0.0.1:{}", fake.port);
        command.env("AWS_SESSION_TOKEN", TOKEN).env("AWS_ENDPOINT_URL", endpoint).env("RUST_LOG", "trace");
        let run = Run::of(&mut command, &project.path(""));
        // Some fail before the build.
        let written = std::fs::read_to_string(project.out("manifest.json")).unwrap_or_default();
        for said in [&run.stdout, &run.stderr, &written] {
            for secret in [SECRET, TOKEN, KEY, "EndpointPassw0rd", "Signature=", "X-Amz-Credential", "AWS4-HMAC"] {
                assert!(!said.contains(secret), "{secret}\n{said}");
            }
        }
    }
}

/// A server that speaks TLS in front of the fake, with a certificate of an authority that nobody knows; its port.
fn behind_tls(fake: &Fake, folder: &std::path::Path) -> (std::process::Child, u16) {
    let make = "exec 2>/dev/null; openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=ca && \
                openssl req -newkey rsa:2048 -nodes -keyout key.pem -out request -subj /CN=localhost && \
                echo subjectAltName=DNS:localhost >names && \
                openssl x509 -req -in request -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out cert.pem";
    let made = Command::new("sh").args(["-c", make]).current_dir(folder).status().unwrap();
    assert!(made.success(), "openssl is missing: run `make tools`");
    let serve = "import socket, ssl, sys, threading\n\
                 context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n\
                 context.load_cert_chain('cert.pem', 'key.pem')\n\
                 listener = socket.create_server(('127.0.0.1', 0))\n\
                 print(listener.getsockname()[1], flush=True)\n\
                 def pipe(a, b):\n    \
                   try:\n        \
                     while data := a.recv(65536): b.sendall(data)\n    \
                   except OSError: pass\n    \
                   finally: b.close()\n\
                 def serve(raw):\n    \
                   try: client = context.wrap_socket(raw, server_side=True)\n    \
                   except OSError: return\n    \
                   server = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n    \
                   threading.Thread(target=pipe, args=(client, server), daemon=True).start()\n    \
                   threading.Thread(target=pipe, args=(server, client), daemon=True).start()\n\
                 while True:\n    \
                   # A client that is gone before it is taken is an error here, and no reason to stop.\n    \
                   try: raw = listener.accept()[0]\n    \
                   except OSError: continue\n    \
                   threading.Thread(target=serve, args=(raw,), daemon=True).start()\n";
    let mut command = Command::new(common::server::python());
    command.args(["-c", serve, &fake.port.to_string()]).current_dir(folder).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
    (child, line.trim().parse().unwrap())
}

#[test]
fn certificates_are_those_that_the_usual_variables_name() {
    let (project, fake) = (project(), Fake::start());
    let folder = tempfile::tempdir().unwrap();
    let (mut server, port) = behind_tls(&fake, folder.path());
    let run = |variable: &str, file: &str| {
        let mut command = command(&project, &fake, &["--format", "json"]);
        command.env("AWS_ENDPOINT_URL", format!("https://localhost:{port}"));
        Run::of(command.env(variable, folder.path().join(file)), &project.path(""))
    };
    for variable in ["AWS_CA_BUNDLE", "SSL_CERT_FILE"] {
        place(&project, &fake, &run(variable, "ca.pem"));
    }
    let unknown = run("UNUSED", "ca.pem");
    assert_eq!(unknown.code, 1, "{}", unknown.transcript());
    assert!(unknown.stderr.contains("name the certificates to trust"), "{}", unknown.stderr);
    std::fs::write(folder.path().join("cut.pem"), "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
        .unwrap();
    std::fs::write(folder.path().join("bad.pem"), "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n")
        .unwrap();
    for (file, words) in
        [("key.pem", "holds no certificate"), ("cut.pem", "cannot be used"), ("bad.pem", "cannot be read")]
    {
        let run = run("AWS_CA_BUNDLE", file);
        assert_eq!(run.code, 1, "{}", run.transcript());
        assert!(run.stderr.contains(words), "{file}: {}", run.stderr);
    }
    let _ = server.kill();
    let _ = server.wait();
}
