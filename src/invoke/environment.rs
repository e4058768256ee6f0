//! What stands in a function's environment, and where its runtime looks.
//!
//! Source: "Defined runtime environment variables" in the AWS Lambda Developer Guide; values as they were observed on the
//! service in January 2026.

use std::collections::BTreeMap;

use super::Function;
use super::identifiers;
use crate::lambda::{Date, Family};

/// Where the function, its layers and the runtime lie, as the function sees it.
#[derive(Debug, Clone)]
pub(super) struct Places {
    /// `/var/task`.
    pub(super) task: String,
    /// `/opt`.
    pub(super) opt: String,
    /// `/var/runtime`.
    pub(super) runtime: String,
}

impl Places {
    /// As on Lambda.
    pub(super) fn lambda() -> Self {
        Self { task: "/var/task".to_owned(), opt: "/opt".to_owned(), runtime: "/var/runtime".to_owned() }
    }
}

/// The environment of an image's process: what the image sets, what Lambda keeps to itself, what the function is configured with.
///
/// There are no search paths, no locale and no time zone but the image's own, and `_HANDLER` is empty: what is called is for
/// `CMD` to say. Sources: the environment of a function on Alpine's image, printed on the service in March 2022
/// (`bruceadams/run-command-on-aws-lambda`, demo); an image's `_HANDLER` that was empty on the service in November 2025
/// (aws/aws-lambda-ruby-runtime-interface-client#56).
pub(super) fn of_image(function: &Function, own: &[String], api: &str) -> BTreeMap<String, String> {
    let mut out: BTreeMap<String, String> = own
        .iter()
        .filter_map(|variable| variable.split_once('='))
        // Nothing that the programs which make the sandbox could take for an option, and names that a shell can set.
        .filter(|(name, _)| name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'))
        .filter(|(name, _)| !name.starts_with("LD_") || name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let places = Places::lambda();
    set_reserved(function, api, &mut |name, value| drop(out.insert(name.to_owned(), value)));
    out.insert("LAMBDA_TASK_ROOT".to_owned(), places.task);
    out.insert("LAMBDA_RUNTIME_DIR".to_owned(), places.runtime);
    out.insert("AWS_EXECUTION_ENV".to_owned(), "AWS_Lambda_Image".to_owned());
    out.insert("_HANDLER".to_owned(), String::new());
    out.extend(function.environment.clone());
    out
}

/// What Lambda tells every function.
fn set_reserved(function: &Function, api: &str, set: &mut dyn FnMut(&str, String)) {
    let today = Date::today();
    let stream = format!("{}/[$LATEST]{}", today.to_string().replace('-', "/"), identifiers::uuid().replace('-', ""));
    set("AWS_LAMBDA_FUNCTION_NAME", function.name.clone());
    set("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", function.memory.to_string());
    set("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned());
    set("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned());
    set("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", function.name));
    set("AWS_LAMBDA_LOG_STREAM_NAME", stream);
    set("AWS_LAMBDA_RUNTIME_API", api.to_owned());
    set("AWS_REGION", function.region.clone());
    set("AWS_DEFAULT_REGION", function.region.clone());
    set("AWS_XRAY_CONTEXT_MISSING", "LOG_ERROR".to_owned());
}

/// The environment of a function's process: Lambda's variables, then those that the function is configured with.
pub(super) fn variables(function: &Function, places: &Places, api: &str) -> BTreeMap<String, String> {
    let Places { task, opt, runtime } = places;
    let family = function.runtime.family;
    let is_provided = matches!(family, Family::Provided | Family::Go);
    let mut out: BTreeMap<String, String> = BTreeMap::new();
    let mut set = |name: &str, value: String| drop(out.insert(name.to_owned(), value));
    set_reserved(function, api, &mut set);
    set("LAMBDA_TASK_ROOT", task.clone());
    set("LAMBDA_RUNTIME_DIR", runtime.clone());
    set("LANG", "en_US.UTF-8".to_owned());
    set("TZ", ":UTC".to_owned());
    set("_HANDLER", function.handler.clone());
    let language = if is_provided { "" } else { "/var/lang/bin:" };
    set("PATH", format!("{language}/usr/local/bin:/usr/bin/:/bin:{opt}/bin"));
    let language = if is_provided { "" } else { "/var/lang/lib:" };
    set("LD_LIBRARY_PATH", format!("{language}/lib64:/usr/lib64:{runtime}:{runtime}/lib:{task}:{task}/lib:{opt}/lib"));
    if !is_provided {
        set("AWS_EXECUTION_ENV", format!("AWS_Lambda_{}", function.runtime.id));
    }
    match family {
        Family::Python { .. } => set("PYTHONPATH", runtime.clone()),
        Family::Node { major } => set(
            "NODE_PATH",
            format!(
                "{opt}/nodejs/node{major}/node_modules:{opt}/nodejs/node_modules:{runtime}/node_modules:{runtime}:{task}"
            ),
        ),
        Family::Ruby { major, minor } => {
            let abi = format!("{major}.{minor}.0");
            let gems = format!("{task}/vendor/bundle/ruby/{abi}:{opt}/ruby/gems/{abi}:{runtime}:{runtime}/ruby/{abi}");
            set("GEM_PATH", gems);
            set("GEM_HOME", runtime.clone());
            set("RUBYLIB", format!("{task}:{runtime}/lib:{opt}/ruby/lib"));
        }
        _ => {}
    }
    out.extend(function.environment.clone());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_functions_own_variables_win_where_lambda_lets_them() {
        let mut function = Function::new("f", crate::lambda::find("nodejs22.x").unwrap(), "index.handler");
        function.environment = BTreeMap::from([("TZ".to_owned(), "Europe/Berlin".to_owned())]);
        let set = variables(&function, &Places::lambda(), "127.0.0.1:1");
        assert_eq!(set["TZ"], "Europe/Berlin");
        assert_eq!(
            set["NODE_PATH"],
            "/opt/nodejs/node22/node_modules:/opt/nodejs/node_modules:/var/runtime/node_modules:/var/runtime:/var/task"
        );
        assert_eq!(
            set["LD_LIBRARY_PATH"],
            "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib"
        );
        assert_eq!(set["AWS_EXECUTION_ENV"], "AWS_Lambda_nodejs22.x");
        // A provided runtime has neither.
        function.runtime = crate::lambda::find("provided.al2023").unwrap();
        let set = variables(&function, &Places::lambda(), "127.0.0.1:1");
        assert!(!set.contains_key("NODE_PATH") && !set.contains_key("AWS_EXECUTION_ENV"));
        assert_eq!(set["PATH"], "/usr/local/bin:/usr/bin/:/bin:/opt/bin");
        function.runtime = crate::lambda::find("ruby3.4").unwrap();
        let set = variables(&function, &Places::lambda(), "127.0.0.1:1");
        assert_eq!(
            set["GEM_PATH"],
            "/var/task/vendor/bundle/ruby/3.4.0:/opt/ruby/gems/3.4.0:/var/runtime:/var/runtime/ruby/3.4.0"
        );
        assert_eq!(
            (set["GEM_HOME"].as_str(), set["RUBYLIB"].as_str()),
            ("/var/runtime", "/var/task:/var/runtime/lib:/opt/ruby/lib")
        );
    }
}
