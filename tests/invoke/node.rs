//! Functions of Node.js.

use super::*;

/// One Node.js function.
pub(crate) fn node(code: &[(&str, &str)], handler: &str, runtime: &str) -> Project {
    let project = Project::empty();
    for (file, text) in code {
        project.write(&format!("f/{file}"), text);
    }
    let arch = host_architecture();
    project.write(
        "lambda-pack.toml",
        &format!("[functions.f]\npath = 'f'\nruntime = '{runtime}'\nhandler = '{handler}'\narchitecture = '{arch}'\ntimeout = 20\n"),
    );
    project
}

#[test]
fn node_answers_in_every_form() {
    const SHOW: &str = "{ event, id: context.awsRequestId.length, name: context.functionName }";
    let wanted = json!({"event": {"a": 1}, "id": 36, "name": "f"});
    let promise = format!("exports.handler = async (event, context) => ({SHOW});\n");
    let module =
        format!("import fs from 'node:fs';\nawait 1;\nexport const handler = async (event, context) => {SHOW};\n")
            .replace("=> {", "=> ({")
            .replace("};", "});");
    let callback =
        format!("exports.a = {{ b: (event, context, callback) => setTimeout(() => callback(null, {SHOW}), 20) }};\n");
    let done = format!("exports.handler = (event, context) => {{ context.succeed({SHOW}); }};\n");
    for (file, code, handler, runtime) in [
        ("index.js", &promise, "index.handler", "nodejs22.x"),
        ("src/main.mjs", &module, "src/main.handler", "nodejs24.x"),
        ("index.cjs", &callback, "index.a.b", "nodejs22.x"),
        ("index.js", &done, "index.handler", "nodejs20.x"),
    ] {
        let project = node(&[(file, code)], handler, runtime);
        let run = invoke(&project, &["f"], r#"{"a": 1}"#);
        assert_eq!((run.code, json_of(&run)), (0, wanted.clone()), "{file}: {}", run.stderr);
    }
    // The folder is one of modules; what it needs comes from a package.
    let project = node(
        &[
            ("package.json", r#"{"type": "module"}"#),
            ("lib/value.js", "export default 'from a file';\n"),
            (
                "index.js",
                "import value from './lib/value.js';\nexport const handler = async () => { console.log('seen', value); };\n",
            ),
        ],
        "index.handler",
        "nodejs22.x",
    );
    let run = invoke(&project, &["f"], "{}");
    assert_eq!((run.code, run.stdout.as_str()), (0, "null"), "{}", run.stderr);
    assert!(run.stderr.contains("\tINFO\tseen from a file\n"), "{}", run.stderr);
}

#[test]
fn node_fails_as_on_lambda() {
    for (code, runtime, kind, message) in [
        ("exports.handler = async () => { throw new TypeError('bad'); };", "nodejs22.x", "TypeError", "bad"),
        ("exports.handler = (e, c, done) => done('text');", "nodejs22.x", "string", "text"),
        (
            "exports.handler = async () => { null.x; };",
            "nodejs22.x",
            "TypeError",
            "Cannot read properties of null (reading 'x')",
        ),
        ("throw new RangeError('at once');\nexports.handler = 1;", "nodejs22.x", "RangeError", "at once"),
        (
            "require('semver');\nexports.handler = async () => 1;",
            "nodejs22.x",
            "Runtime.ImportModuleError",
            "Error: Cannot find module 'semver'",
        ),
        ("exports.handler = async () => { throw undefined; };", "nodejs22.x", "string", "handled"),
        (
            "exports.handler = (event, context, callback) => callback();",
            "nodejs24.x",
            "Runtime.CallbackHandlerDeprecated",
            "ERROR: AWS Lambda has removed support for callback-based function handlers",
        ),
        (
            "exports.handler = async () => { setTimeout(() => { throw new Error('later'); }, 1); await new Promise(r => setTimeout(r, 5000)); };",
            "nodejs22.x",
            "Error",
            "later",
        ),
        (
            "exports.handler = async () => { Promise.reject(new Error('lost')); await new Promise(r => setTimeout(r, 5000)); };",
            "nodejs22.x",
            "Runtime.UnhandledPromiseRejection",
            "Error: lost",
        ),
    ] {
        let run = invoke(&node(&[("index.js", code)], "index.handler", runtime), &["f"], "{}");
        let document = json_of(&run);
        assert_eq!((run.code, &document["errorType"]), (1, &json!(kind)), "{document}\n{}", run.stderr);
        assert!(document["errorMessage"].as_str().unwrap().starts_with(message), "{document}");
        assert!(document["trace"].is_array());
    }
    // Nothing is left to do, and nobody has answered.
    let run = invoke(
        &node(&[("index.js", "exports.handler = () => new Promise(() => {});")], "index.handler", "nodejs22.x"),
        &["f"],
        "{}",
    );
    assert_eq!((run.code, run.stdout.as_str()), (0, "null"), "{}", run.stderr);
}

/// From Node.js 24 on, Lambda's client is another one: what it does not catch ends the process.
#[test]
fn node_24_is_called_by_another_client() {
    let answer = |files: &[(&str, &str)]| {
        let run = invoke(&node(files, "index.handler", "nodejs24.x"), &["f"], "{}");
        (run.code, json_of(&run), run.stderr)
    };
    for (code, kind, message) in [
        (
            "exports.handler = async () => { Promise.reject(new Error('lost')); await new Promise(r => setTimeout(r, 5000)); };",
            "Runtime.ExitError",
            "Runtime exited with error: exit status 1",
        ),
        (
            "exports.handler = async () => { setTimeout(() => { throw 1; }, 1); await new Promise(r => setTimeout(r, 5000)); };",
            "Runtime.ExitError",
            "Runtime exited with error: exit status 1",
        ),
        (
            "exports.handler = () => new Promise(() => {});",
            "Runtime.ExitError",
            "Runtime exited without providing a reason",
        ),
        (
            "exports.handler = async () => { const a = {}; a.a = a; return a; };",
            "Runtime.JSONStringifyError",
            "Unable to stringify response body",
        ),
        ("exports.handler = (event, context) => context.done(null, 1);", "TypeError", "context.done is not a function"),
    ] {
        let (exit, document, stderr) = answer(&[("index.js", code)]);
        assert_eq!((exit, &document["errorType"]), (1, &json!(kind)), "{document}\n{stderr}");
        assert!(document["errorMessage"].as_str().unwrap().ends_with(message), "{document}");
    }
    for (files, wanted) in [
        // It is not waited for what is left to do, and default exports have handlers, too.
        (
            [
                ("index.mjs", "export default { handler: () => void setTimeout(() => console.log('late'), 60000) };"),
                ("x", ""),
            ],
            json!(null),
        ),
        (
            [
                (
                    "index.js",
                    "exports.handler = async (e, c) => awslambda.InvokeStore.getRequestId() === c.awsRequestId;",
                ),
                ("x", ""),
            ],
            json!(true),
        ),
    ] {
        let (exit, document, stderr) = answer(&files);
        assert_eq!((exit, document), (0, wanted), "{stderr}");
    }
    // A folder of the name comes first, and is no module.
    let code = "exports.handler = async () => 1;";
    let project = node(&[("index.js", code), ("index/x.js", code)], "index.handler", "nodejs24.x");
    let run = project.run(&["build"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(
        run.stderr.contains("error[handler-not-found] f: Error: Directory import '/var/task/index' is not supported"),
        "{}",
        run.stderr
    );
    let (exit, document, stderr) = {
        let config = project.read("lambda-pack.toml");
        project.write("lambda-pack.toml", &format!("{config}[checks]\nhandler-not-found = 'ignore'\n"));
        let run = invoke(&project, &["f"], "{}");
        (run.code, json_of(&run), run.stderr)
    };
    assert_eq!((exit, &document["errorType"]), (1, &json!("Error")), "{stderr}");
    assert!(
        document["errorMessage"].as_str().unwrap().starts_with("Directory import '/var/task/index' is not"),
        "{document}"
    );
}

/// Lambda's Node.js does less with modules than one that is started by hand.
#[test]
fn modules_are_those_of_lambdas_node() {
    const MODULE: &str = "export const handler = async () => 'answer';";
    let requires = "exports.handler = require('./dep.mjs').handler;";
    let exports = "export default { handler: async () => 1 };";
    let esm = "require() of ES Module /var/task/dep.mjs from /var/task/index.js not supported.";
    for (files, runtime, kind, message) in [
        ([("index.js", requires), ("dep.mjs", MODULE)], "nodejs20.x", "Error", esm),
        ([("index.js", requires), ("dep.mjs", MODULE)], "nodejs24.x", "Error", esm),
        (
            [("index.js", MODULE), ("x", "")],
            "nodejs22.x",
            "Runtime.UserCodeSyntaxError",
            "SyntaxError: Unexpected token 'export'",
        ),
        (
            [("index.js", MODULE), ("x", "")],
            "nodejs24.x",
            "Runtime.UserCodeSyntaxError",
            "SyntaxError: Unexpected token 'export'",
        ),
        (
            [("index.mjs", "import 'semver';"), ("x", "")],
            "nodejs22.x",
            "Error",
            "Cannot find package 'semver' imported from /var/task/index.mjs",
        ),
        (
            [("index.mjs", exports), ("x", "")],
            "nodejs22.x",
            "Runtime.HandlerNotFound",
            "index.handler is undefined or not exported",
        ),
    ] {
        let project = node(&files, "index.handler", runtime);
        let config = project.read("lambda-pack.toml");
        project.write(
            "lambda-pack.toml",
            &format!("{config}[checks]\nhandler-not-found = 'ignore'\nruntime-deprecated = 'ignore'\n"),
        );
        let run = invoke(&project, &["f"], "{}");
        let document = json_of(&run);
        assert_eq!((run.code, &document["errorType"]), (1, &json!(kind)), "{runtime}: {document}\n{}", run.stderr);
        assert!(document["errorMessage"].as_str().unwrap().starts_with(message), "{runtime}: {document}");
    }
    let project = node(&[("index.js", requires), ("dep.mjs", MODULE)], "index.handler", "nodejs22.x");
    let verified = project.run(&["build", "--verify"]);
    assert!(
        verified.stderr.contains("[handler-fails-to-load] f: Error: require() of ES Module"),
        "{}",
        verified.stderr
    );
    assert!(
        verified.stderr.contains("`--experimental-require-module` in the function's environment"),
        "{}",
        verified.stderr
    );
    let config = project.read("lambda-pack.toml");
    project.write(
        "lambda-pack.toml",
        &format!("{config}environment = {{ NODE_OPTIONS = '--experimental-require-module' }}\n"),
    );
    let run = invoke(&project, &["f"], "{}");
    assert_eq!((run.code, run.stdout.as_str()), (0, "\"answer\""), "{}", run.stderr);
    // A folder with an index is a module before Node.js 24.
    let project = node(&[("src/index.js", "exports.handler = async () => 2;")], "src.handler", "nodejs22.x");
    let run = invoke(&project, &["f"], "{}");
    assert_eq!((run.code, run.stdout.as_str()), (0, "2"), "{}", run.stderr);
}

/// Three parts, of a size, with pauses, and failing at their end.
pub(crate) const STREAMS: &str = r#"
exports.handler = awslambda.streamifyResponse(async (event, stream, context) => {
  if (event.http) stream = awslambda.HttpResponseStream.from(stream, { statusCode: 201 });
  else stream.setContentType('text/plain');
  for (let n = 0; n < 3; n++) {
    stream.write(`part ${n} ${'x'.repeat(event.size ?? 1)}\n`);
    await new Promise((r) => setTimeout(r, event.pause ?? 5));
  }
  if (event.fail) throw new Error('half way');
  stream.end();
});
"#;

#[test]
fn node_streams() {
    let code = STREAMS;
    let project = node(&[("index.js", code)], "index.handler", "nodejs22.x");
    assert_eq!(invoke(&project, &["f"], "{}").stdout, "part 0 x\npart 1 x\npart 2 x\n");
    // More than an answer may have that is no stream.
    assert_eq!(invoke(&project, &["f"], r#"{"size": 3000000}"#).stdout.len(), 9_000_024);
    // More than a stream may have, and a good deal more.
    for size in [75_000_000, 110_000_000] {
        let document = json_of(&invoke(&project, &["f"], &format!(r#"{{"size": {size}}}"#)));
        assert_eq!(document["errorType"], "Function.ResponseSizeTooLarge");
    }
    let http = invoke(&project, &["f"], r#"{"http": true}"#);
    assert!(http.stdout.starts_with("{\"statusCode\":201}\0\0\0\0\0\0\0\0part 0 x\n"), "{:?}", http.stdout);
    let failed = invoke(&project, &["f"], r#"{"fail": true}"#);
    let document = json_of(&failed);
    assert_eq!(
        (failed.code, &document["errorType"], &document["errorMessage"]),
        (1, &json!("Error"), &json!("half way"))
    );
    // What was written and not waited for arrives before what went wrong; who does not end it is waited for.
    for (code, runtime, kind, message) in [
        (
            "(e, out) => { for (const n of [1, 2, 3]) out.write('x'); throw new Error('at once'); }",
            "nodejs22.x",
            "Error",
            "at once",
        ),
        (
            "(e, out) => { for (const n of [1, 2, 3]) out.write('x'); throw new Error('at once'); }",
            "nodejs24.x",
            "Error",
            "at once",
        ),
        (
            "(e, out) => { out.write('x'); out.setContentType('text/x'); }",
            "nodejs24.x",
            "Runtime.InvalidStreamingOperation",
            "Cannot set content-type, too late.",
        ),
        ("(e, out) => { out.write('x'); }", "nodejs22.x", "Sandbox.Timedout", "Task timed out after 2.00 seconds"),
    ] {
        let code = format!("exports.handler = awslambda.streamifyResponse(async {code});");
        let project = node(&[("index.js", &code)], "index.handler", runtime);
        let config = project.read("lambda-pack.toml").replace("timeout = 20", "timeout = 2");
        project.write("lambda-pack.toml", &config);
        let run = invoke(&project, &["f"], "{}");
        let document = json_of(&run);
        assert_eq!((run.code, &document["errorType"]), (1, &json!(kind)), "{document}\n{}", run.stderr);
        assert!(document["errorMessage"].as_str().unwrap().ends_with(message), "{document}");
        assert!(!run.stderr.contains("Uncaught Exception"), "{}", run.stderr);
    }
    let code = "exports.handler = awslambda.streamifyResponse((e, out) => out.end('x'));";
    let run = invoke(&node(&[("index.js", code)], "index.handler", "nodejs24.x"), &["f"], "{}");
    assert!(run.stderr.contains("Streaming does not support non-async handlers."), "{}", run.stderr);
}

/// An interpreter in a developer's own folder is seen, and the folder is not.
#[test]
fn what_lies_beside_an_interpreter_at_home_is_not_seen() {
    let home = tempfile::tempdir().unwrap();
    let place = home.path().join("bin/node");
    std::fs::create_dir(home.path().join("bin")).unwrap();
    let real = common::tool("node", &["-p".as_ref(), "process.execPath".as_ref()], "apt-get install nodejs");
    std::fs::copy(real.trim(), &place).unwrap();
    let secret = home.path().join("credentials");
    std::fs::write(&secret, "secret").unwrap();
    let code = format!(
        "exports.handler = async () => [process.execPath, require('fs').existsSync({:?}), require('fs').readdirSync({:?})];",
        secret.display().to_string(),
        home.path().display().to_string()
    );
    let project = node(&[("index.js", &code)], "index.handler", "nodejs22.x");
    let mut command = project.command(&["invoke", "f"]);
    let path = common::with_path(&home.path().join("bin"));
    let output = start(command.env("HOME", home.path()).env("PATH", path)).output();
    let stderr = String::from_utf8_lossy(&output.2).into_owned();
    assert_eq!(output.0, 0, "{}{stderr}", String::from_utf8_lossy(&output.1));
    if !stderr.contains("in a plain folder") {
        let seen: Value = serde_json::from_slice(&output.1).unwrap();
        assert_eq!(seen, json!([place, false, ["bin"]]), "{stderr}");
    }
}
