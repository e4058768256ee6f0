//! Functions of Java: by Lambda's own client for it, unmodified from Maven Central, and by ours.

use super::*;

/// What is asked: a handler of the fixture (`::method` of its class, `$Class` inside of it, or a whole name) and an event.
fn questions() -> Vec<(&'static str, String)> {
    let order = json!({
        "customer": "Zoë", "open": "o", "fixed": "changed", "hidden": "h", "paid": true, "checked": false, "kind": "LARGE",
        "items": [{"name": "a", "count": 2, "unknown": [1]}, {"name": null}], "tags": {"a": 1, "b": null}, "raw": "aGVsbG8=",
        "price": 1.50, "weight": 2, "total": 12_345_678_901_u64, "letter": "y", "exact": 1.10, "day": 1_700_000_000_000_u64,
        "at": "2025-11-24T16:00:00.5Z", "date": "2025-11-24", "moment": "2025-11-24T16:00:01", "takes": "PT90S", "note": "n",
        "id": "7d3a2c54-3a5c-4d0f-9a61-0f5d5b7f4b11", "link": "https://example.com/a?b", "URL": "https://example.com",
        "numbers": [1, 2], "names": ["b", "a"], "page": {"values": [{"name": "x"}]}, "secret": "s", "twice": 3,
        "point": {"x": 1, "names": ["a"]},
        "any": {"a": [1, 2.5, 12_345_678_901_u64, "t", null, true]}, "Customer": "no",
    });
    let coerced = json!({
        "kind": "OTHER", "items": {"name": "single"}, "numbers": 5, "customer": 12, "total": "34", "paid": "true", "price": "2.5",
        "names": "one", "link": "", "page": "", "day": "2025-11-24T16:00:00.000+00:00", "at": 1_764_000_000.25, "letter": 65,
        "exact": "1.5", "raw": [1, 2, 255], "takes": 90.5, "checked": 1,
    });
    let mut all: Vec<(&str, String)> = vec![("::order", order.to_string()), ("::order", coerced.to_string())];
    for event in [
        r#"{"total": 1.9, "items": [], "kind": 1, "huge": 123456789012345678901234567890}"#,
        r#"{"items": [[{"name": "in"}]]}"#,
        r#"{"total": "x"}"#,
        r#"{"price": true}"#,
        r#"{"letter": "long"}"#,
        r#"{"numbers": [99999999999]}"#,
        r#"{"day": "2025-11-24"}"#,
        r#"{"twice": "t"}"#,
        r#"[{"customer": "in an array"}]"#,
        "[]",
        "null",
        "\"\"",
        "\"text\"",
    ] {
        all.push(("::order", event.to_owned()));
    }
    for event in [r#"{"a": [1, {"b": null}]}"#, "[1, 2.0, null, 10000000000000000000]", "\"t\"", "3", "null", "1e5"] {
        all.push(("::any", event.to_owned()));
    }
    for event in [r#""é\u0001\n\"\\ \u2028😀/""#, "{\"a\": 1}", "12.50", "true", "[\"one\"]", "null"] {
        all.push(("::text", event.to_owned()));
    }
    for event in ["41", "\"41\"", "null", "1.9", "99999999999", "true", "\"\""] {
        all.push(("::number", event.to_owned()));
    }
    let others = [
        // Types.
        ("::bytes", "\"aGVsbG8=\""),
        ("::map", r#"{"LARGE": [1, null], "SMALL": 3}"#),
        ("::generic", r#"{"values": [{"name": "a"}]}"#),
        // Forms.
        ("::nothing", "{}"),
        ("::context", "{}"),
        ("::fixed", "\"e\""),
        ("::many", "\"e\""),
        ("::whole", r#"{"a": 1}"#),
        ("$Stream", r#"{"a": 1}"#),
        ("$Typed", r#"{"item": {"name": "t"}}"#),
        // Ends.
        ("::fails", "\"e\""),
        ("::failsToWrite", "\"e\""),
        ("::lacks", "\"e\""),
        ("::sleeps", "\"e\""),
        ("::exits", "\"e\""),
        ("::big", "\"e\""),
        // What is no handler.
        ("::absent", "\"e\""),
        ("com.example.Nowhere", "\"e\""),
        ("com.example.Handlers", "\"e\""),
        ("$Raw", "{}"),
        ("$FailsAtOnce", "\"e\""),
        ("$FailsToLoad", "\"e\""),
        ("$Lacks", "\"e\""),
        ("$Arguments", "\"e\""),
        // Events of aws-lambda-java-events.
        ("::sqs", "@sqs"),
        ("::sns", "@sns"),
        ("::s3", "@s3"),
        ("::kinesis", "@kinesis"),
        ("::dynamodb", "@dynamodb"),
        ("::scheduled", "@eventbridge"),
        ("::v2", "@apigw-v2"),
        ("::answer", "@apigw-v2"),
    ];
    all.extend(others.map(|(handler, event)| (handler, sample(event))));
    all
}

/// An event, or the sample of this name.
fn sample(event: &str) -> String {
    match event.strip_prefix('@') {
        Some(name) => {
            let file = format!("templates/events/{name}.json");
            std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
        }
        None => event.to_owned(),
    }
}

/// The handler as it is configured.
fn whole(name: &str) -> String {
    match name.chars().next() {
        Some(':' | '$') => format!("com.example.Handlers{name}"),
        _ => name.to_owned(),
    }
}

/// The fixture with a function for each of these handlers, `f0` and so on.
fn handlers(names: &[&str], lines: &str) -> Project {
    let project = Project::copy_of("java-handlers");
    let arch = host_architecture();
    let mut config = format!("[defaults]\nruntime = 'java17.al2023'\narchitecture = '{arch}'\ntimeout = 8\n{lines}\n");
    for (at, name) in names.iter().enumerate() {
        config += &format!("[functions.f{at}]\npath = '.'\nhandler = '{}'\n", whole(name));
    }
    project.write("lambda-pack.toml", &config);
    project
}

/// Puts Lambda's client into the package, which brings what handlers need of it.
fn with_lambdas_client(project: &Project) {
    let pom = project.read("pom.xml");
    let of_core =
        "<artifactId>aws-lambda-java-core</artifactId>\n      <version>1.2.3</version>\n      <scope>provided</scope>";
    let of_client = "<artifactId>aws-lambda-java-runtime-interface-client</artifactId>\n      <version>2.6.0</version>";
    assert!(pom.contains(of_core));
    project.write("pom.xml", &pom.replace(of_core, of_client));
}

/// Answers of a project's functions, with whether they are errors.
fn answers(project: &Project, names: &[&str], asked: &[(&str, String)]) -> Vec<(bool, Value)> {
    let served = serve::serve(project, &[]);
    let answer = |(handler, event): &(&str, String)| {
        let at = names.iter().position(|name| name == handler).unwrap();
        let length = event.len();
        let head = format!("POST /2015-03-31/functions/f{at}/invocations HTTP/1.1\r\nConnection: close\r\n");
        let said = served.raw(&format!("{head}Content-Length: {length}\r\n\r\n{event}"));
        let (head, body) = said.split_once("\r\n\r\n").unwrap();
        let is_error = head.to_ascii_lowercase().contains("x-amz-function-error");
        let body: Value = serde_json::from_str(body).unwrap_or_else(|e| panic!("{handler} {e}: {said}"));
        (is_error, comparable(body))
    };
    asked.iter().map(answer).collect()
}

/// Without what differs from request to request, and from class loader to class loader.
fn comparable(mut value: Value) -> Value {
    if let Some(message) = value.get_mut("errorMessage") {
        let text = message.as_str().unwrap_or_default();
        let text = text.split_once(" Error: ").filter(|(id, _)| id.starts_with("RequestId: ")).map_or(text, |(_, t)| t);
        let text = text.split(" is in unnamed module of loader ").next().unwrap_or(text);
        *message = json!(text);
    }
    value
}

#[test]
fn our_client_and_lambdas_say_the_same() {
    let asked = questions();
    let mut names: Vec<&str> = asked.iter().map(|(handler, _)| *handler).collect();
    names.sort_unstable();
    names.dedup();
    // The rules would refuse some of them.
    let own = handlers(&names, "[checks]\nhandler-not-found = 'ignore'\n");
    let lambdas = handlers(&names, "[checks]\nhandler-not-found = 'ignore'\n");
    with_lambdas_client(&lambdas);
    let (ours, theirs) = std::thread::scope(|scope| {
        let ours = scope.spawn(|| answers(&own, &names, &asked));
        let theirs = answers(&lambdas, &names, &asked);
        (ours.join().unwrap(), theirs)
    });
    let differences: Vec<String> = asked
        .iter()
        .zip(ours.iter().zip(&theirs))
        .filter(|(_, (ours, theirs))| ours != theirs)
        .map(|((handler, event), (ours, theirs))| format!("{handler} {event}\n ours   {ours:?}\n theirs {theirs:?}"))
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    // The emulator, with Lambda's client and the same package.
    let unpacked = lambdas.unpack("f0.zip");
    let folder = unpacked.path("");
    let java = common::on_path("java");
    let emulated: Vec<&str> =
        ["::fails", "::exits", "::big", "::bytes", "$Typed", "com.example.Nowhere", "$FailsAtOnce"].into();
    for handler in emulated {
        let at = asked.iter().position(|(name, _)| *name == handler).unwrap();
        let mut client = Command::new(&java);
        client.arg("-cp").arg(format!("{0}:{0}/lib/*", folder.display()));
        client.arg("com.amazonaws.services.lambda.runtime.api.client.AWSLambda").arg(whole(handler));
        client.env("AWS_EXECUTION_ENV", "AWS_Lambda_java17");
        let body = emulator::asked(client, &folder, &asked[at].1);
        let body: Value = serde_json::from_str(&body).unwrap_or_else(|e| panic!("{handler} {e}: {body}"));
        assert_eq!(comparable(body), ours[at].1, "{handler}");
    }
    // That they say something.
    let said = |handler: &str| ours[asked.iter().position(|(name, _)| *name == handler).unwrap()].clone();
    let error = |kind: &str, message: &str| json!({"errorType": kind, "errorMessage": message});
    let mut failed = said("::fails").1;
    let stack = failed["stackTrace"].take();
    assert!(stack[0].as_str().unwrap().starts_with("com.example.Handlers.fails(Handlers.java:"), "{stack}");
    assert_eq!(
        (&failed["errorType"], &failed["errorMessage"]),
        (&json!("java.lang.IllegalArgumentException"), &json!("no good: e"))
    );
    for (handler, wanted) in [
        ("::exits", error("Runtime.ExitError", "Runtime exited with error: exit status 7")),
        ("::sleeps", error("Sandbox.Timedout", "Task timed out after 8.00 seconds")),
        ("com.example.Nowhere", error("java.lang.ClassNotFoundException", "Class not found: com.example.Nowhere")),
        ("$FailsAtOnce", error("java.lang.IllegalStateException", "cannot be made")),
        (
            "::absent",
            json!({"errorMessage": "No public method named absent with appropriate method signature found on class com.example.Handlers"}),
        ),
    ] {
        assert_eq!(said(handler), (true, wanted), "{handler}");
    }
    assert_eq!(said("::big").1["errorType"], "Function.ResponseSizeTooLarge");
    assert_eq!(said("::many"), (false, json!("two e")));
    assert_eq!(said("::sqs").1["Records"][0]["eventSourceARN"], "arn:aws:sqs:us-east-1:123456789012:orders");
    assert_eq!(said("::v2").1["requestContext"]["http"]["method"].as_str().map(str::len), Some(4));
}

/// From the command line: with the log, the options of the virtual machine, another Java where there is no such one, and what
/// Lambda only tells the first event, which is found before there is one.
#[test]
fn java_is_run_and_verified() {
    let mut lines =
        "environment = { JAVA_TOOL_OPTIONS = '-Dfrom.tools=yes' }\n[checks]\nhandler-not-found = 'ignore'\n".to_owned();
    for version in ["21", "25"] {
        let handler = "com.example.Handlers::version";
        lines += &format!("[functions.v{version}]\npath = '.'\nhandler = '{handler}'\nruntime = 'java{version}'\n");
    }
    let names = ["::version", "::context", "::fails", "$Lacks", "$LacksAtOnce", "$FailsAtOnce", "com.example.Nowhere"];
    let project = handlers(&names, &lines);
    let verified = project.run(&["build", "--verify"]);
    assert_eq!(verified.code, 3, "{}", verified.stderr);
    for said in [
        "f3: java.lang.NoClassDefFoundError: Error loading class com.example.Handlers$Lacks: javax/servlet/ServletContextListener\n  \
         hint: `javax.servlet.ServletContextListener` is not packed: add it to what pom.xml is made from, or into a layer of the function\n",
        "f4: java.lang.NoClassDefFoundError: javax/servlet/http/Cookie\n  hint: `javax.servlet.http.Cookie` is not packed",
        "f5: java.lang.IllegalStateException: cannot be made\n  hint: `invoke` runs it with its log",
        "f6: java.lang.ClassNotFoundException: Class not found: com.example.Nowhere\n  hint: `com.example.Nowhere` is not packed",
    ] {
        assert!(verified.stderr.contains(&format!("error[handler-fails-to-load] {said}")), "{said}{}", verified.stderr);
    }
    assert!(!verified.stderr.contains(" f0: ") && !verified.stderr.contains(" v21: "), "{}", verified.stderr);
    project.done(&["build"]);
    let context = invoke(&project, &["f1"], "{}");
    assert!(context.stderr.contains("a line of the log: é\nEND RequestId: "), "{}", context.stderr);
    assert!(context.stderr.contains("Picked up JAVA_TOOL_OPTIONS: -Dfrom.tools=yes\n"), "{}", context.stderr);
    let failed = invoke(&project, &["f2"], "\"e\"");
    assert_eq!((failed.code, json_of(&failed)["errorMessage"].clone()), (1, json!("no good: e")));
    for said in [
        "no good: e: java.lang.IllegalArgumentException\njava.lang.IllegalArgumentException: no good: e\n\tat com.example.Handlers.fails",
        "Caused by: java.io.IOException: for a reason\n",
    ] {
        assert!(failed.stderr.contains(said), "{}", failed.stderr);
    }
    assert!(!failed.stderr.contains("lambdapack"), "{}", failed.stderr);
    for (name, runtime, wanted) in [("f0", "java17.al2023", "17"), ("v21", "java21", "21"), ("v25", "java25", "25")] {
        let run = invoke(&project, &[name], "{}");
        assert_eq!((run.code, json_of(&run)[1].clone()), (0, json!("yes")), "{}", run.stderr);
        let used = json_of(&run)[0].as_str().unwrap().to_owned();
        let said = format!("Java {used} is used, since there is no Java {wanted} here, which `{runtime}` has\n");
        assert_eq!(run.stderr.contains(&said), used != wanted, "{used}: {}", run.stderr);
    }
}

/// From Maven, Gradle and Kotlin, with classes in the function, in its jars and in a layer.
#[test]
fn what_java_projects_pack_answers() {
    let arch = host_architecture();
    let one = |fixture: &str, path: &str, handler: &str, event: &str| {
        let project = Project::copy_of(fixture);
        let table = format!(
            "[functions.f]\npath = '{path}'\nruntime = 'java17.al2023'\nhandler = '{handler}'\narchitecture = '{arch}'\ntimeout = 20\n"
        );
        project.write("lambda-pack.toml", &table);
        let run = invoke(&project, &["f"], event);
        assert_eq!(run.code, 0, "{fixture}: {}\n{}", run.stdout, run.stderr);
        json_of(&run)
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let said = one("java-gradle", "api", "com.example.Stock::look", "\"tea\"");
            assert_eq!(said, "\"in stock: tea\"");
        });
        scope.spawn(|| {
            let said = one("java-maven", ".", "com.example.Orders", r#"{"customer": "Zoë"}"#);
            assert_eq!(said, "\"orders of Zoë\"");
            assert_eq!(one("java-kotlin", ".", "com.example.Invoice", r#"{"sum": 7}"#), "sum 7");
        });
        scope.spawn(|| {
            let project = Project::copy_of("java-multi-module");
            let config = project.read("lambda-pack.toml");
            let config = config.replace(
                "[defaults]\n",
                &format!("[defaults]\narchitecture = '{arch}'\nlayers = 'shared'\ntimeout = 20\n"),
            );
            project.write("lambda-pack.toml", &config);
            project.done(&["build"]);
            for name in ["api", "worker"] {
                let run = invoke(&project, &[name], "\"Ana\"");
                assert_eq!(
                    (run.code, json_of(&run)),
                    (0, json!({"greeting": format!("Grüß dich, {name} of Ana")})),
                    "{}",
                    run.stderr
                );
            }
        });
    });
}
