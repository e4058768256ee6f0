//! A base whose entrypoint is a script that starts the runtime, as those of AWS have it.

use super::*;

const PYTHON: &str = r#"
import json, os, subprocess
def handler(event, context):
    if event == "import":
        import nothing_such
    return {"search": os.environ.get("LD_LIBRARY_PATH"), "event": event, "cwd": os.getcwd(), "handler": os.environ["_HANDLER"], "uid": os.getuid()}
"#;

#[test]
fn a_python_function_on_a_base_like_those_of_aws() {
    let base = tempfile::tempdir().unwrap();
    let minor = oci::python_base(base.path());
    let project = Project::empty();
    let extension = format!(
        "#!/usr/bin/python3.{minor}\nimport http.client, json, os\napi = os.environ['AWS_LAMBDA_RUNTIME_API']\ndef call(method, path, headers, body=None):\n    connection = http.client.HTTPConnection(api)\n    connection.request(method, '/2020-01-01/extension/' + path, body, headers)\n    answer = connection.getresponse()\n    return answer.headers, json.loads(answer.read())\nheaders, told = call('POST', 'register', {{'Lambda-Extension-Name': 'watch'}}, '{{\"events\": [\"INVOKE\"]}}')\nme = {{'Lambda-Extension-Identifier': headers['Lambda-Extension-Identifier']}}\nwhile True:\n    _, event = call('GET', 'event/next', me)\n    print('EXTENSION', event['eventType'], flush=True)\n"
    );
    project.write("layer/extensions/watch", &extension).write("f/app.py", PYTHON);
    fs::set_permissions(project.path("layer/extensions/watch"), fs::Permissions::from_mode(0o755)).unwrap();
    project.write(
        "lambda-pack.toml",
        &format!(
            "[functions.f]\npath = 'f'\nruntime = 'python3.{minor}'\nhandler = 'app.handler'\narchitecture = '{}'\ntimeout = 20\n\
             package = 'image'\nbase = 'oci:{}'\nlayers = ['watch']\nenvironment = {{ LD_LIBRARY_PATH = '/var/task/own' }}\n[layers.watch]\npath = 'layer'\n",
            host_architecture(),
            base.path().display()
        ),
    );
    let store = tempfile::tempdir().unwrap();
    let mut command = project.command(&["invoke", "--serve", "127.0.0.1:0", "--watch"]);
    let served = serve::serve_by(command.env("LAMBDA_PACK_CACHE_DIR", store.path()));
    let post = |event: &str, kind: &str| {
        let length = event.len();
        served.raw(&format!(
            "POST /2015-03-31/functions/f/invocations HTTP/1.1\r\nX-Amz-Invocation-Type: {kind}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{event}"
        ))
    };
    let answer = |text: &str| serde_json::from_str::<Value>(text.split_once("\r\n\r\n").unwrap().1).unwrap();
    let first = post("[1]", "RequestResponse");
    assert!(first.starts_with("HTTP/1.1 200 "), "{first}");
    let said = answer(&first);
    assert_eq!(
        (&said["event"], &said["cwd"], &said["handler"]),
        (&json!([1]), &json!("/var/task"), &json!("app.handler"))
    );
    soon("the extension says nothing", || served.log.lock().unwrap().contains("EXTENSION INVOKE"));
    assert!(post("{}", "DryRun").starts_with("HTTP/1.1 204 "));
    assert!(post("{}", "Event").starts_with("HTTP/1.1 202 "));
    project.write("f/app.py", &PYTHON.replace("\"event\": event", "\"event\": 'new'"));
    soon("it is not packed anew", || served.log.lock().unwrap().contains("f is packed anew"));
    assert_eq!(answer(&post("[1]", "RequestResponse"))["event"], "new");
    drop(served);

    // Where the loader looks is for the function to say, also where this machine's `unshare` changes the root.
    let bin = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/usr/bin/unshare", bin.path().join("unshare")).unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    for path in [path, bin.path().into()] {
        let mut command = project.command(&["invoke", "f"]);
        let mut child = start(command.env("LAMBDA_PACK_CACHE_DIR", store.path()).env("PATH", path));
        child.0.stdin.take();
        let (code, stdout, stderr) = child.output();
        let stderr = String::from_utf8_lossy(&stderr).into_owned();
        // Below a changed root there are no namespaces, and so no images without bubblewrap.
        if !stderr.contains("nothing here that can change into it") {
            assert_eq!(code, 0, "{stderr}");
            assert_eq!(serde_json::from_slice::<Value>(&stdout).unwrap()["search"], "/var/task/own", "{stderr}");
            assert!(!stderr.contains("is not set"), "{stderr}");
        }
    }

    // Loaded where it would run: what is not in the image is not there, whatever AWS's runtimes have.
    let verify = || {
        let mut command = project.command(&["build", "--verify", "--format", "json"]);
        Run::of(command.env("LAMBDA_PACK_CACHE_DIR", store.path()), &project.path(""))
    };
    let run = verify();
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{}", run.stderr);
    project.write("f/app.py", &format!("raise ImportError('at once')\n{PYTHON}"));
    let run = verify();
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("error[handler-fails-to-load] f: Runtime.ExitError"), "{}", run.stderr);
    let manifest: Value = serde_json::from_str(&run.stdout).unwrap();
    assert!(manifest["functions"][0].get("image").is_none() && !project.out("f.oci").exists());
}
