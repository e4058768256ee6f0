//! Lambda's client for Node.js, compiled from its package, beside ours and below the emulator. It takes minutes to compile,
//! so this is a part of `make test-corpus`.

use super::*;

const CODE: &str = r#"
require('fs');
exports.handler = async (event, context) => {
  switch (event.do) {
    case 'raise': throw new TypeError('no good');
    case 'text': throw 'a text';
    case 'exit': process.exit(7);
    case 'sleep': await new Promise((done) => setTimeout(done, 100000));
    case 'never': return new Promise(() => {});
    case 'big': return 'x'.repeat(7 << 20);
    case 'circle': { const a = {}; a.a = a; return a; }
    case 'nothing': return;
  }
  return { event, name: context.functionName, version: context.functionVersion, left: context.getRemainingTimeInMillis() > 0 };
};
exports.back = (event, context, done) => setTimeout(() => done(event.do ? new RangeError('back') : null, event), 5);
exports.sync = (event) => event;
exports.lost = async (event) => { Promise.reject(new Error('lost')); await new Promise((done) => setTimeout(done, 1000)); };
exports.thrown = async (event) => { setTimeout(() => { throw new Error('thrown'); }); await new Promise((done) => setTimeout(done, 1000)); };
exports.esm = async () => require('./dep.mjs').x;
exports.object = { handler: 1 };
exports.context = async (event, context) => Object.keys(context).sort();
exports.flat = awslambda.streamifyResponse((event, out) => out.end('flat'));
exports.open = awslambda.streamifyResponse(async (event, out) => { out.write('open'); });
exports.late = awslambda.streamifyResponse(async (event, out) => { out.write('x'); out.setContentType('text/x'); });
exports.http = awslambda.streamifyResponse(async (event, out) => {
  out = awslambda.HttpResponseStream.from(out, { statusCode: 201 });
  out.write({ not: 'text' });
  out.end('end');
});
exports.stream = awslambda.streamifyResponse(async (event, out) => {
  out.setContentType('text/plain');
  for (let n = 0; n < 3; n++) out.write(`part ${n}\n`);
  if (event.do) throw new Error('half way');
  out.end();
});
"#;

/// A document without what differs from one client's files to another's, and from request to request.
fn comparable(text: &str) -> Value {
    let mut value: Value = serde_json::from_str(text).unwrap_or_else(|_| json!(text));
    if let Some(map) = value.as_object_mut() {
        map.remove("trace");
        if let Some(message) = map.get("errorMessage").and_then(Value::as_str) {
            let message = message.split_once(" Error: ").map_or(message, |(_, rest)| rest);
            let message = message.lines().next().unwrap_or_default();
            // Who imports it is the client's own file, when it is not the function's.
            let client = |file: &&str| file.starts_with("/var/runtime/") || file.contains("/aws-lambda-ric/");
            let message = match message.rsplit_once(" imported from ") {
                Some((before, file)) if client(&file) => before,
                _ => message,
            };
            let message = message.to_owned();
            map.insert("errorMessage".to_owned(), json!(message));
        }
    }
    value
}

/// Files beside it, of each kind.
const OTHERS: [(&str, &str); 9] = [
    ("index.js", CODE),
    ("dep.mjs", "export const x = 'of a module';"),
    ("gone.mjs", "import 'nowhere';\nexport const handler = 1;"),
    ("wrong.js", "exports.handler = async ("),
    ("syntax.js", "export const handler = async () => 1;"),
    ("needs.js", "require('nowhere');"),
    ("default.mjs", "export default { handler: async () => 'default' };"),
    ("both.js", "exports.handler = async () => 'of the file';"),
    ("both/index.js", "exports.handler = async () => 'of the folder';"),
];

#[test]
fn lambdas_clients_for_node_and_the_emulator_say_the_same() {
    for tool in ["cmake", "autoconf", "automake", "libtoolize", "xz"] {
        common::tool(tool, &["--version".as_ref()], "make tools, or tests/setup corpus");
    }
    let version = common::tool("node", &["-p".as_ref(), "process.versions.node".as_ref()], "apt-get install nodejs");
    let own = common::tool("node", &["-p".as_ref(), "process.execPath".as_ref()], "apt-get install nodejs");
    let major: u32 = version.split('.').next().unwrap().parse().unwrap();
    let mut all = vec![(major, PathBuf::from(own.trim()))];
    // Those that Lambda has besides, of npm.
    let brought = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.tools/nodes/node_modules");
    for other in [22, 24].into_iter().filter(|other| *other != major) {
        let program = brought.join(format!("node{other}/bin/node"));
        assert!(program.exists(), "{} is not there: run tests/setup corpus", program.display());
        all.push((other, program));
    }
    let differences: Vec<String> = all.iter().flat_map(|(major, node)| differences(*major, node)).collect();
    assert_eq!(differences, Vec::<String>::new());
}

/// What three say of the same events: our client, Lambda's in the package, and the emulator with that.
#[allow(clippy::print_stdout)]
fn differences(major: u32, program: &Path) -> Vec<String> {
    // From Node.js 24 on Lambda has another client.
    let (client, entry) = if major >= 24 { ("4.0.2", "index.mjs") } else { ("3.3.0", "bin/index.mjs") };
    let path = common::with_path(program.parent().unwrap());
    let runtime = format!("nodejs{major}.x");
    let own = node::node(&OTHERS, "index.handler", &runtime);
    let theirs = node::node(&OTHERS, "index.handler", &runtime);
    theirs.write(
        "f/package.json",
        &format!(r#"{{"name": "f", "version": "1.0.0", "dependencies": {{"aws-lambda-ric": "{client}"}}}}"#),
    );
    // It is compiled for this machine.
    let ignored = [
        "runtime-deprecated",
        "runtime-blocked",
        "glibc-too-new",
        "libstdcxx-too-new",
        "handler-not-found",
        "handler-malformed",
    ];
    let ignored: String = ignored.iter().map(|rule| format!("{rule} = 'ignore'\n")).collect();
    for project in [&own, &theirs] {
        let config = project.read("lambda-pack.toml").replace("timeout = 20", "timeout = 2");
        project.write("lambda-pack.toml", &format!("{config}allow-scripts = ['aws-lambda-ric']\n[checks]\n{ignored}"));
        let built = Run::of(project.command(&["build"]).env("PATH", &path), &project.path(""));
        assert_eq!(built.code, 0, "{}", built.stderr);
    }
    let unpacked = theirs.unpack("f.zip");
    let folder = unpacked.path("");
    let entry = folder.join("node_modules/aws-lambda-ric").join(entry);
    let flags = match major {
        20 => vec!["--no-experimental-require-module"],
        21.. => vec!["--no-experimental-require-module", "--no-experimental-detect-module"],
        _ => Vec::new(),
    };
    let mut differences = Vec::new();
    for (handler, event) in [
        ("index.handler", r#"{"a": [1, "é", null]}"#),
        ("index.handler", r#"{"do": "raise"}"#),
        ("index.handler", r#"{"do": "text"}"#),
        ("index.handler", r#"{"do": "exit"}"#),
        ("index.handler", r#"{"do": "sleep"}"#),
        ("index.handler", r#"{"do": "never"}"#),
        ("index.handler", r#"{"do": "big"}"#),
        ("index.handler", r#"{"do": "circle"}"#),
        ("index.handler", r#"{"do": "nothing"}"#),
        ("index.back", "{}"),
        ("index.back", r#"{"do": "fail"}"#),
        ("index.nothing", "{}"),
        ("gone.handler", "{}"),
        ("index.stream", "{}"),
        ("index.stream", r#"{"do": "fail"}"#),
        ("index.flat", "{}"),
        ("index.open", "{}"),
        ("index.late", "{}"),
        ("index.http", "{}"),
        ("index.sync", "{}"),
        ("index.lost", "{}"),
        ("index.thrown", "{}"),
        ("index.esm", "{}"),
        ("index.object", "{}"),
        ("index.object.handler", "{}"),
        ("index.context", "{}"),
        ("wrong.handler", "{}"),
        ("syntax.handler", "{}"),
        ("needs.handler", "{}"),
        ("default.handler", "{}"),
        ("both.handler", "{}"),
        ("index", "{}"),
        ("../index.handler", "{}"),
    ] {
        let mut runtime = Command::new(program);
        runtime.args(&flags).arg(&entry).arg(handler).env("AWS_LAMBDA_FUNCTION_NAME", "f");
        runtime.env("AWS_EXECUTION_ENV", format!("AWS_Lambda_nodejs{major}.x")).env("_HANDLER", handler);
        let text = emulator::asked(runtime, &folder, event);
        // It runs the package where it lies.
        let text = text.replace(folder.to_str().unwrap().trim_end_matches('/'), "/var/task");
        let emulated = comparable(&text);
        for (name, project) in [("our client", &own), ("aws-lambda-ric", &theirs)] {
            let config = project.read("lambda-pack.toml");
            project.write("lambda-pack.toml", &config.replace("index.handler", handler));
            let mut ours =
                comparable(&said(project.command(&["invoke", "f", "--event", "-"]).env("PATH", &path), event).stdout);
            project.write("lambda-pack.toml", &config);
            if ours["errorType"] == "Sandbox.Timedout" {
                // The emulator gives the bare message, which Lambda does not.
                ours = ours["errorMessage"].take();
            }
            println!(
                "{major} {name} {handler} {event}: {}",
                emulated.to_string().chars().take(150).collect::<String>()
            );
            // The emulator gives what a stream had sent before it failed; Lambda tells the failure.
            let fails_late = handler == "index.late" || (handler, event) == ("index.stream", r#"{"do": "fail"}"#);
            if fails_late {
                assert!(ours["errorType"].is_string(), "{ours}");
            } else if ours != emulated {
                differences.push(format!("{major} {handler} {event} {name}: {ours} | {emulated}"));
            }
        }
    }
    differences
}
