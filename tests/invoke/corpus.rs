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
            let message = message.lines().next().unwrap_or_default().to_owned();
            map.insert("errorMessage".to_owned(), json!(message));
        }
    }
    value
}

#[test]
fn lambdas_client_for_node_and_the_emulator_say_the_same() {
    let version = common::tool("node", &["--version".as_ref()], "apt-get install nodejs");
    let major: u32 = version.trim_start_matches('v').split('.').next().unwrap().parse().unwrap();
    let client = if major >= 22 { "4.0.2" } else { "3.3.0" };
    for tool in ["cmake", "autoconf", "automake", "libtoolize"] {
        common::tool(tool, &["--version".as_ref()], "apt-get install cmake autoconf automake libtool");
    }
    let runtime = format!("nodejs{major}.x");
    let own = node::node(&[("index.js", CODE)], "index.handler", &runtime);
    let theirs = node::node(&[("index.js", CODE)], "index.handler", &runtime);
    theirs.write(
        "f/package.json",
        &format!(r#"{{"name": "f", "version": "1.0.0", "dependencies": {{"aws-lambda-ric": "{client}"}}}}"#),
    );
    for project in [&own, &theirs] {
        let config = project.read("lambda-pack.toml").replace("timeout = 20", "timeout = 2");
        project.write("lambda-pack.toml", &format!("{config}allow-scripts = ['aws-lambda-ric']\n[checks]\nruntime-deprecated = 'ignore'\nruntime-blocked = 'ignore'\n"));
    }
    theirs.build::<&str>(&[]);
    let unpacked = theirs.unpack("f.zip");
    let folder = unpacked.path("");
    let entry = if major >= 22 { "index.mjs" } else { "bin/index.mjs" };
    let entry = folder.join("node_modules/aws-lambda-ric").join(entry);
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
    ] {
        let mut runtime = Command::new("node");
        runtime.arg(&entry).arg(handler).env("AWS_LAMBDA_FUNCTION_NAME", "f");
        runtime.env("AWS_EXECUTION_ENV", format!("AWS_Lambda_nodejs{major}.x")).env("_HANDLER", handler);
        let emulated = comparable(&emulator::asked(runtime, &folder, event));
        for (name, project) in [("our client", &own), ("aws-lambda-ric", &theirs)] {
            let config = project.read("lambda-pack.toml");
            let changed =
                config.replace("index.handler", handler).replace("[checks]", "[checks]\nhandler-not-found = 'ignore'");
            project.write("lambda-pack.toml", &changed);
            let mut ours = comparable(&invoke(project, &["f"], event).stdout);
            project.write("lambda-pack.toml", &config);
            if event.contains("sleep") {
                // The emulator gives the bare message, which Lambda does not.
                assert_eq!(ours["errorType"], "Sandbox.Timedout");
                ours = ours["errorMessage"].take();
            }
            println!("{name} {handler} {event}: {}", emulated.to_string().chars().take(150).collect::<String>());
            if ours != emulated {
                differences.push(format!("{handler} {event} {name}: {ours} | {emulated}"));
            }
        }
    }
    assert_eq!(differences, Vec::<String>::new());
}
