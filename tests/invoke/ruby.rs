//! Functions of Ruby.

use super::*;

/// A handler that does what the event says.
const APP: &str = r#"
# frozen_string_literal: true

module Shop
  class Api
    def self.answer(event:, context:)
      { class: name, event: event, left: context.get_remaining_time_in_millis.between?(1, 20_000) }
    end
  end
end

COUNT = [0]

def handler(event:, context:)
  COUNT[0] += 1
  case event['do']
  when 'raise' then raise ArgumentError, 'no good'
  when 'own' then raise Class.new(StandardError) { def self.to_s = 'Own::Error' }, 'own'
  when 'name' then undefined_name_of_mine
  when 'system' then raise NotImplementedError, 'deep'
  when 'exit' then exit! 7
  when 'sleep' then sleep
  when 'big' then 'x' * (7 << 20)
  when 'bytes' then StringIO.new('plain é')
  when 'binary' then { text: "\xff" }
  when 'gem' then require('webrick')
  when 'log'
    puts 'printed é'
    Logger.new($stdout).warn('logged')
    nil
  when 'state'
    {
      path: $LOAD_PATH, gems: Gem.path, environment: ENV.to_h, cwd: Dir.pwd, uid: Process.uid,
      arn: context.invoked_function_arn, memory: context.memory_limit_in_mb, group: context.log_group_name,
      client: context.client_context, identity: context.identity, version: RUBY_VERSION, function: context.function_name
    }
  else { event: event, count: COUNT[0], id: context.aws_request_id.size }
  end
end
"#;

/// One function of Ruby, with these lines in its table.
fn ruby(handler: &str, lines: &str) -> Project {
    let project = Project::empty();
    project.write("f/app.rb", APP);
    let arch = host_architecture();
    project.write(
        "lambda-pack.toml",
        &format!("[functions.f]\npath = 'f'\nruntime = 'ruby3.4'\nhandler = '{handler}'\narchitecture = '{arch}'\ntimeout = 4\n{lines}"),
    );
    project
}

#[test]
fn ruby_answers_in_every_form() {
    let project = ruby("app.handler", "environment = { STAGE = 'dev' }\n");
    let run = invoke(&project, &["f"], r#"{"a": ["é", null, 1.5]}"#);
    assert_eq!(
        (run.code, json_of(&run)),
        (0, json!({"event": {"a": ["é", null, 1.5]}, "count": 1, "id": 36})),
        "{}",
        run.stderr
    );
    let log = invoke(&project, &["f"], r#"{"do": "log"}"#);
    assert_eq!(log.stdout, "null");
    assert!(log.stderr.contains("\nprinted é\nW, [") && log.stderr.contains(" -- : logged\n"), "{}", log.stderr);
    assert_eq!(invoke(&project, &["f"], r#"{"do": "bytes"}"#).stdout, "plain é");
    let state = json_of(&invoke(&project, &["f"], r#"{"do": "state"}"#));
    assert_eq!(
        state["gems"],
        json!([
            "/var/task/vendor/bundle/ruby/3.4.0",
            "/opt/ruby/gems/3.4.0",
            "/var/runtime",
            "/var/runtime/ruby/3.4.0"
        ])
    );
    let path: Vec<&str> = state["path"].as_array().unwrap().iter().map(|p| p.as_str().unwrap()).collect();
    assert_eq!(path[..3], ["/var/task", "/var/runtime/lib", "/opt/ruby/lib"]);
    assert!(!path.iter().any(|folder| folder.contains("site_ruby")), "{path:?}");
    assert_eq!((&state["cwd"], &state["environment"]["STAGE"]), (&json!("/var/task"), &json!("dev")));
    assert_eq!(
        [&state["function"], &state["memory"], &state["group"], &state["client"], &state["identity"]],
        [&json!("f"), &json!("128"), &json!("/aws/lambda/f"), &Value::Null, &Value::Null]
    );
    let used = state["version"].as_str().unwrap();
    let said = format!("warning: Ruby {used} is used, since there is no Ruby 3.4 here, which `ruby3.4` has\n");
    assert_eq!(run.stderr.contains(&said), !used.starts_with("3.4."), "{}", run.stderr);
    // A method of a class.
    let run = invoke(&ruby("app.Shop::Api.answer", ""), &["f"], "[1]");
    assert_eq!(
        (run.code, json_of(&run)),
        (0, json!({"class": "Shop::Api", "event": [1], "left": true})),
        "{}",
        run.stderr
    );
    // A file in a folder.
    let project = ruby("lib/main.run", "");
    project.write("f/lib/main.rb", "require 'lib/other'\ndef run(event:, context:) = OTHER\n");
    project.write("f/lib/other.rb", "OTHER = 'other'\n");
    assert_eq!(invoke(&project, &["f"], "{}").stdout, "\"other\"");
}

#[test]
fn ruby_fails_as_on_lambda() {
    let project = ruby("app.handler", "");
    for (event, kind, message) in [
        ("raise", "Function<ArgumentError>", "no good"),
        ("own", "Function<Own::Error>", "own"),
        ("name", "Function<NameError>", "undefined local variable or method `undefined_name_of_mine'"),
        ("system", "Function<NotImplementedError>", "deep"),
        ("binary", "Function<JSON::GeneratorError>", "source"),
        ("exit", "Runtime.ExitError", "Runtime exited with error: exit status 7"),
        ("sleep", "Sandbox.Timedout", "Task timed out after 4.00 seconds"),
        ("big", "Function.ResponseSizeTooLarge", "Response payload size exceeded maximum allowed payload size"),
        ("gem", "Function<LoadError>", "cannot load such file -- webrick"),
    ] {
        // Debian has put this one where RubyGems lies.
        if event == "gem" && Path::new("/usr/lib/ruby/vendor_ruby/webrick.rb").exists() {
            continue;
        }
        let run = invoke(&project, &["f"], &json!({"do": event}).to_string());
        let document = json_of(&run);
        assert_eq!((run.code, &document["errorType"]), (1, &json!(kind)), "{event}: {document}\n{}", run.stderr);
        let said = document["errorMessage"].as_str().unwrap();
        let quotes = |text: &str| text.replace('`', "'");
        assert!(quotes(said).contains(&quotes(message)), "{event}: {said}");
        if event == "raise" {
            let stack: Vec<&str> =
                document["stackTrace"].as_array().unwrap().iter().map(|l| l.as_str().unwrap()).collect();
            assert_eq!(stack.len(), 1, "{stack:?}");
            assert!(stack[0].starts_with("/var/task/app.rb:17:in "), "{stack:?}");
            assert!(
                run.stderr.contains("Error raised from handler method\n{\n  \"errorMessage\": \"no good\",\n"),
                "{}",
                run.stderr
            );
        }
        assert_eq!(
            run.stderr.contains("Critical exception from handler\n"),
            ["name", "system", "gem"].contains(&event),
            "{}",
            run.stderr
        );
    }
}

/// What does not load is said with the hint that fits, before anything is invoked.
#[test]
fn ruby_handlers_are_verified() {
    let project = ruby("app.handler", "exclude = ['helper.rb']\n");
    assert!(!project.done(&["build", "--verify"]).stderr.contains("handler-fails-to-load"));
    // The runtime has it, wherever this is.
    project.write("f/app.rb", &format!("require 'aws-sdk-s3'\n{APP}"));
    assert!(!project.done(&["build", "--verify"]).stderr.contains("handler-fails-to-load"));
    project.write("f/helper.rb", "");
    for (code, said, hint) in [
        (
            "require 'no_such_gem'\n",
            "Init<LoadError>: cannot load such file -- no_such_gem",
            "`no_such_gem` is not packed: put it into the folder, or into a layer of the function",
        ),
        ("require 'helper'\n", "Init<LoadError>: cannot load such file -- helper", "`helper.rb` is left out by"),
        ("raise 'at once'\n", "Init<RuntimeError>: at once", "`invoke` runs it with its log"),
    ] {
        project.write("f/app.rb", &format!("{code}{APP}"));
        let run = project.run(&["build", "--verify"]);
        assert!(run.stderr.contains(&format!("[handler-fails-to-load] f: {said}")), "{}", run.stderr);
        assert!(run.stderr.contains(&format!("hint: {hint}")), "{}", run.stderr);
        let init = invoke(&project, &["f"], "{}");
        assert_eq!(init.code, 1);
        assert!(
            init.stderr.contains("Init error when loading handler app.handler\n")
                && init.stderr.contains("Phase: init\tStatus: error\tError Type: Init<"),
            "{}",
            init.stderr
        );
    }
}

/// A folder as Bundler leaves it, whose gems are of no version of Ruby in particular, and a layer with one more.
#[test]
fn gems_of_the_package_and_of_layers_are_found() {
    let gem = |folder: &str, name: &str, code: &str| {
        let spec = format!(
            "Gem::Specification.new do |s|\n  s.name = '{name}'\n  s.version = '1.0.0'\n  s.summary = 'x'\n  s.authors = ['x']\n  s.require_paths = ['lib']\nend\n"
        );
        [
            (format!("{folder}/specifications/{name}-1.0.0.gemspec"), spec),
            (format!("{folder}/gems/{name}-1.0.0/lib/{name}.rb"), code.to_owned()),
        ]
    };
    let project = ruby("app.handler", "layers = ['more']\n[layers.more]\npath = 'more'\nruntime = 'ruby3.4'\n");
    let own = gem("f/vendor/bundle/ruby/3.4.0", "words", "module Words\n  HELLO = 'hello'\nend\n");
    let layer = gem("more/ruby/gems/3.4.0", "names", "module Names\n  ANA = 'Ana'\nend\n");
    for (path, text) in own.iter().chain(&layer) {
        project.write(path, text);
    }
    project.write("more/ruby/lib/plain.rb", "PLAIN = 'plain'\n");
    project.write(
        "f/app.rb",
        "require 'words'\nrequire 'names'\nrequire 'plain'\ndef handler(event:, context:) = [Words::HELLO, Names::ANA, PLAIN]\n",
    );
    let run = invoke(&project, &["f"], "{}");
    assert_eq!((run.code, json_of(&run)), (0, json!(["hello", "Ana", "plain"])), "{}", run.stderr);
}

/// A gem with the layout and the entry point that those of `aws_lambda_ric` have: it is started with the handler.
#[test]
fn the_packages_own_client_is_run() {
    let project = ruby("app.handler", "");
    let root = "f/vendor/bundle/ruby/3.4.0/gems/aws_lambda_ric-3.0.0";
    let client = r"
require 'net/http'
require 'json'
api = URI(%(http://#{ENV.fetch('AWS_LAMBDA_RUNTIME_API')}/2018-06-01/runtime/invocation/))
loop do
  event = Net::HTTP.get_response(api + 'next')
  id = event['Lambda-Runtime-Aws-Request-Id']
  said = JSON.generate(handler: ARGV, cwd: Dir.pwd, program: __dir__)
  Net::HTTP.post(api + %(#{id}/response), said)
end
";
    project.write(&format!("{root}/lib/aws_lambda_ric/bootstrap.rb"), client);
    project.write(
        &format!("{root}/bin/aws_lambda_ric"),
        "#! /usr/bin/env ruby\nrequire_relative '../lib/aws_lambda_ric/bootstrap'\n",
    );
    let run = invoke(&project, &["f"], "{}");
    let program = "/var/task/vendor/bundle/ruby/3.4.0/gems/aws_lambda_ric-3.0.0/lib/aws_lambda_ric";
    assert_eq!(
        (run.code, json_of(&run)),
        (0, json!({"handler": ["app.handler"], "cwd": "/var/task", "program": program})),
        "{}",
        run.stderr
    );
    // One that needs what is not there.
    project.write(&format!("{root}/bin/aws_lambda_ric"), "require 'nothing_like_this'\n");
    let run = invoke(&project, &["f"], "{}");
    assert_eq!((run.code, json_of(&run)["count"].clone()), (0, json!(1)), "{}", run.stderr);
    assert!(
        run.stderr.contains("aws_lambda_ric of the package does not load (cannot load such file -- nothing_like_this"),
        "{}",
        run.stderr
    );
}
