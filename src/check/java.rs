//! `handler-not-found` and `handler-malformed` of Java, by the class files; and `java-class-too-new`.
//!
//! How the runtime finds a handler is in `HandlerInfo` and `EventHandlerLoader` of aws-lambda-java-runtime-interface-client,
//! whose words these are: a class alone must implement one of two interfaces, a method must be public, its own or inherited.
//! What extends something that is not on the class path may have any method, and nothing is said.

use std::collections::BTreeSet;

use super::Subject;
use crate::finding::{Finding, Rule};
use crate::jvm::class::Class;
use crate::jvm::path::{ClassPath, Found};
use crate::jvm::{class_version, java_version};
use crate::lambda::{Family, RUNTIMES};

/// What a class that is named alone implements.
const INTERFACES: [&str; 2] = [
    "com.amazonaws.services.lambda.runtime.RequestHandler",
    "com.amazonaws.services.lambda.runtime.RequestStreamHandler",
];
/// Classes and interfaces above a class that are looked at.
const MAX_ANCESTORS: usize = 1_000;
/// Findings of one kind.
const MAX_FINDINGS: usize = 10;

pub(super) fn check_handler(subject: &Subject<'_>, handler: &str) -> Vec<Finding> {
    let (class, method) = match handler.rsplit_once("::") {
        Some((class, method)) => (class, Some(method)),
        None => (handler, None),
    };
    if class.is_empty() || method == Some("") {
        return vec![Finding::new(
            Rule::HandlerMalformed,
            format!("Invalid handler: `{handler}'"),
            "write it as `package.Class::method`, or `package.Class` of one that implements RequestHandler",
        )];
    }
    let mut path = ClassPath::new(subject.tree, subject.opt);
    let problem = match path.find(class) {
        Found::Unknown => None,
        Found::Nowhere => Some((
            format!("Class not found: {class}: java.lang.ClassNotFoundException"),
            class_hint(&path, class, method),
        )),
        Found::Class(found) => problem(&found, method, &mut path),
    };
    let found = problem.map(|(message, hint)| Finding::new(Rule::HandlerNotFound, message, hint));
    found.into_iter().collect()
}

/// What keeps the runtime from calling a class that is there, and what to do.
fn problem(class: &Class, method: Option<&str>, path: &mut ClassPath<'_>) -> Option<(String, String)> {
    let name = &class.name;
    let ancestry = Ancestry::of(class, path);
    let Some(method) = method else {
        if ancestry.implements_handler() || !ancestry.is_whole {
            return no_constructor(class);
        }
        let hint = match ancestry.methods().iter().find(|m| m.starts_with("handle")) {
            Some(method) => format!("name its method, too: `{name}::{method}`"),
            None => "implement RequestHandler<I, O> or RequestStreamHandler, or name a method: `package.Class::method`"
                .to_owned(),
        };
        return Some((format!("Class does not implement an appropriate handler interface: {name}"), hint));
    };
    let is_it = |m: &crate::jvm::class::Method| m.is_public && m.name == method;
    if ancestry.all.iter().any(|class| class.methods.iter().any(is_it)) {
        // A static method needs no instance; which it is would have to be told apart by overload.
        return None;
    }
    if !ancestry.is_whole {
        return None;
    }
    let methods = ancestry.methods();
    let nearest = methods.iter().map(|m| (strsim::osa_distance(m, method), m)).filter(|(d, _)| *d <= 6).min();
    let hint = match nearest {
        Some((_, nearest)) => format!("did you mean `{name}::{nearest}`?"),
        None => format!("make `{method}` a public method of `{name}`"),
    };
    Some((format!("No public method named {method} with appropriate method signature found on class {name}"), hint))
}

/// The runtime makes one instance of a class that implements an interface.
fn no_constructor(class: &Class) -> Option<(String, String)> {
    let has = class.methods.iter().any(|m| m.is_public && m.name == "<init>" && m.descriptor == "()V");
    let name = &class.name;
    if class.is_abstract {
        let message = format!("Class {name} cannot be instantiated: java.lang.InstantiationException");
        return Some((message, "name a class that is neither abstract nor an interface".to_owned()));
    }
    (!has).then(|| {
        let message = format!("Class {name} has no public zero-argument constructor");
        (message, "add one, or take away the one with arguments".to_owned())
    })
}

/// A class with all that it extends and implements.
struct Ancestry {
    all: Vec<Class>,
    interfaces: BTreeSet<String>,
    /// Whether all that are not of Java itself were found.
    is_whole: bool,
}

impl Ancestry {
    fn of(class: &Class, path: &mut ClassPath<'_>) -> Self {
        let mut out = Self { all: vec![class.clone()], interfaces: BTreeSet::new(), is_whole: true };
        let mut seen: BTreeSet<String> = BTreeSet::from([class.name.clone()]);
        let mut at = 0;
        while at < out.all.len() && out.all.len() < MAX_ANCESTORS {
            let class = &out.all[at];
            out.interfaces.extend(class.interfaces.iter().cloned());
            let above: Vec<String> = class.parent.iter().chain(&class.interfaces).cloned().collect();
            for name in above.into_iter().filter(|name| seen.insert(name.clone())) {
                match path.find(&name) {
                    Found::Class(class) => out.all.push(*class),
                    // The runtime brings these.
                    _ if name == "java.lang.Object" || INTERFACES.contains(&name.as_str()) => {}
                    _ => out.is_whole = false,
                }
            }
            at += 1;
        }
        out
    }

    fn implements_handler(&self) -> bool {
        INTERFACES.iter().any(|interface| self.interfaces.contains(*interface))
    }

    /// Names of public methods that could be a handler.
    fn methods(&self) -> Vec<&str> {
        let methods = self.all.iter().flat_map(|class| &class.methods);
        let mut names: Vec<&str> = methods
            .filter(|m| m.is_public && !m.is_synthetic && !m.name.starts_with('<'))
            .map(|m| m.name.as_str())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// Names the class that is spelt most like the one that is missing: first those of the same name in another package.
fn class_hint(path: &ClassPath<'_>, missing: &str, method: Option<&str>) -> String {
    let handler = |class: &str| method.map_or_else(|| class.to_owned(), |method| format!("{class}::{method}"));
    if let Some((class, method)) = missing.rsplit_once(':').filter(|(class, _)| !class.ends_with(':')) {
        return format!("a method stands behind two colons: `{class}::{method}`");
    }
    let names = path.names();
    let simple = |name: &str| name.rsplit(['.', '/']).next().unwrap_or_default().to_owned();
    let same = names.iter().find(|name| simple(name) == simple(missing));
    let nearest =
        || names.iter().map(|name| (strsim::osa_distance(name, missing), name)).filter(|(d, _)| *d <= 6).min();
    match same.or_else(|| nearest().map(|(_, name)| name)) {
        Some(name) => format!("did you mean `{}`?", handler(name)),
        None => "check the handler's name, and that the class is in the package (`plan -v`)".to_owned(),
    }
}

/// `java-class-too-new`: the runtime's Java refuses classes that were made for a newer one.
pub(super) fn check_versions(subject: &Subject<'_>) -> Vec<Finding> {
    let Family::Java { major } = subject.runtime.family else { return Vec::new() };
    let limit = class_version(major);
    let mut found = ClassPath::new(subject.tree, subject.opt).newer_than(limit);
    found.truncate(MAX_FINDINGS);
    let finding = |class: crate::jvm::path::Versioned| {
        let java = java_version(class.major);
        let able =
            RUNTIMES.iter().find(|r| r.family == (Family::Java { major: u8::try_from(java).unwrap_or(u8::MAX) }));
        let compile = format!(
            "compile it for Java {major} (`maven.compiler.release`, or `options.release` of Gradle's JavaCompile)"
        );
        let hint = match (able, class.path.ends_with(".jar")) {
            (Some(runtime), true) => format!("choose `{}`, or a version of the jar for Java {major}", runtime.id),
            (None, true) => format!("choose a version of the jar for Java {major}"),
            (Some(runtime), false) => format!("choose `{}`, or {compile}", runtime.id),
            (None, false) => compile,
        };
        let message = format!(
            "java.lang.UnsupportedClassVersionError: {} has been compiled by a more recent version of the Java Runtime (class \
             file version {}.0), this version of the Java Runtime only recognizes class file versions up to {limit}.0",
            class.class, class.major
        );
        Finding::new(Rule::JavaClassTooNew, message, hint).path(class.path)
    };
    found.into_iter().map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::check_tree;
    use crate::jvm::class::testing::class;
    use crate::tree::{ArchivePath, Entry, Tree};

    const HANDLER: &str = "com.amazonaws.services.lambda.runtime.RequestHandler";
    const INIT: (&str, &str) = ("<init>", "()V");

    /// Classes `(name, parent, interfaces, methods, access)` as a package, and what the rules say of a handler.
    fn said(handler: &str, classes: &[Vec<u8>]) -> Vec<String> {
        let tree: Tree = classes
            .iter()
            .map(|bytes| {
                let name = crate::jvm::class::Class::of(bytes).unwrap().name.replace('.', "/");
                (ArchivePath::new(&format!("{name}.class")).unwrap(), Entry::bytes(bytes.clone(), false))
            })
            .collect();
        check_tree("java21", handler, &tree)
    }

    fn java(name: &str, parent: &str, interfaces: &[&str], methods: &[(&str, &str)]) -> Vec<u8> {
        class(61, name, parent, interfaces, methods, 1)
    }

    #[test]
    fn handlers_that_the_runtime_finds() {
        let good = java("ex.Handler", "java.lang.Object", &[HANDLER], &[INIT, ("handleRequest", "()V")]);
        let base = java("ex.Base", "java.lang.Object", &[HANDLER], &[INIT, ("handle", "()V")]);
        let derived = java("ex.Derived", "ex.Base", &[], &[INIT]);
        let foreign = java("ex.Foreign", "org.framework.Base", &[], &[INIT]);
        let all = [good, base, derived, foreign];
        for handler in [
            "ex.Handler",
            "ex.Handler::handleRequest",
            "ex.Derived",
            "ex.Derived::handle",
            "ex.Foreign",
            "ex.Foreign::any",
        ] {
            assert_eq!(said(handler, &all), Vec::<String>::new(), "{handler}");
        }
    }

    #[test]
    fn handlers_that_it_does_not_find() {
        let all = [
            java("ex.Handler", "java.lang.Object", &[], &[INIT, ("handle", "()V")]),
            java("ex.NoInit", "java.lang.Object", &[HANDLER], &[("<init>", "(I)V")]),
            class(61, "ex.Abstract", "java.lang.Object", &[HANDLER], &[INIT], 0x401),
        ];
        for (handler, start) in [
            ("ex.Handler", "handler-not-found: Class does not implement an appropriate handler interface: ex.Handler"),
            (
                "ex.Handler::handel",
                "handler-not-found: No public method named handel with appropriate method signature found",
            ),
            ("Handler::handle", "handler-not-found: Class not found: Handler"),
            ("ex.NoInit", "handler-not-found: Class ex.NoInit has no public zero-argument constructor"),
            ("ex.Abstract", "handler-not-found: Class ex.Abstract cannot be instantiated"),
            ("::handle", "handler-malformed: Invalid handler: `::handle'"),
            ("ex.Handler::", "handler-malformed: Invalid handler"),
        ] {
            let found = said(handler, &all);
            assert!(found.len() == 1 && found[0].starts_with(start), "{handler}: {found:?}");
        }
    }

    #[test]
    fn hints_name_the_nearest() {
        use super::super::{Subject, check};
        let bytes = java("ex.Handler", "java.lang.Object", &[], &[INIT, ("handle", "()V")]);
        let tree: Tree =
            [(ArchivePath::new("ex/Handler.class").unwrap(), Entry::bytes(bytes, false))].into_iter().collect();
        let environment = std::collections::BTreeMap::new();
        let runtime = crate::lambda::find("java21").unwrap();
        let today = crate::lambda::Date::new(2026, 11, 23);
        let hint = |handler: &str| {
            let alone = Subject::alone(runtime, crate::lambda::Architecture::Arm64, &tree, &environment, today);
            check(&Subject { handler: Some(handler), ..alone }).remove(0).hint
        };
        assert_eq!(hint("Handler::handle"), "did you mean `ex.Handler::handle`?");
        assert_eq!(hint("ex.Handlr"), "did you mean `ex.Handler`?");
        assert_eq!(hint("ex.Handler::handl"), "did you mean `ex.Handler::handle`?");
        assert_eq!(hint("ex.Handler:handle"), "a method stands behind two colons: `ex.Handler::handle`");
        assert_eq!(hint("ex.Handler"), "name its method, too: `ex.Handler::handle`");
    }

    #[test]
    fn classes_for_a_newer_java_are_refused() {
        let new = class(65, "ex.Handler", "java.lang.Object", &[HANDLER], &[INIT], 1);
        let tree: Tree =
            [(ArchivePath::new("ex/Handler.class").unwrap(), Entry::bytes(new, false))].into_iter().collect();
        let found = check_tree("java17", "ex.Handler", &tree);
        assert!(
            found[0].starts_with("java-class-too-new: java.lang.UnsupportedClassVersionError: ex/Handler"),
            "{found:?}"
        );
        assert!(found[0].contains("(class file version 65.0)") && found[0].ends_with("up to 61.0"), "{found:?}");
        assert_eq!(check_tree("java21", "ex.Handler", &tree), Vec::<String>::new());
    }
}
