//! Functions of Java: Lambda's own client if the package brings it, else ours, which the machine's JDK compiles once a day.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Program, missing, other};
use crate::error::{Error, Result};
use crate::fsio;
use crate::invoke::Function;
use crate::invoke::environment::Places;
use crate::invoke::interpreters::{self, Interpreter};
use crate::pack::zip::{Header, Method, ZipWriter};
use crate::process::Tool;
use crate::tree::Tree;

const BROUGHT: &str = "com/amazonaws/services/lambda/runtime/api/client/AWSLambda";
const BROUGHT_JAR: &str = "aws-lambda-java-runtime-interface-client-";
const JAR: &str = "client.jar";
/// As Lambda starts it: a quick start is worth more than fast code later ("Customize serialization and JVM startup behaviour",
/// AWS Lambda Developer Guide); and text is UTF-8 also where this machine lacks Lambda's locale.
const OPTIONS: [&str; 4] = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-Dfile.encoding=UTF-8"];

macro_rules! sources {
    ($($name:literal)*) => {
        &[$(($name, include_str!(concat!("../clients/java/", $name, ".java")))),*]
    };
}

/// What a handler needs of aws-lambda-java-core, and the client.
const SOURCES: &[(&str, &str)] = sources! {
    "core/Client" "core/ClientContext" "core/CognitoIdentity" "core/Context" "core/CustomPojoSerializer" "core/LambdaLogger"
    "core/LambdaRuntime" "core/LambdaRuntimeInternal" "core/LogFormat" "core/LogLevel" "core/RequestHandler"
    "core/RequestStreamHandler"
    "client/Api" "client/Bean" "client/Bootstrap" "client/Codec" "client/Events" "client/Fault" "client/Handler"
    "client/Handlers" "client/Invocation" "client/Json" "client/Log" "client/Reader" "client/Record" "client/Scalars" "client/Types"
    "client/Writer"
};

pub(super) fn choose(function: &Function, major: u8, task: &Tree, opt: &Tree, places: &Places) -> Result<Program> {
    let found = interpreters::java(major);
    let hint = format!("install a JDK, of Java {major} if there is one, and put its `java` on PATH");
    let found = found.ok_or_else(|| missing(function, "Java", &hint))?;
    let jars = |tree: &Tree, folder: &str, place: &str| -> Vec<String> {
        let names = tree.iter().filter_map(|(path, _)| path.as_str().strip_prefix(folder));
        let jars = names.filter(|name| !name.contains('/') && name.ends_with(".jar"));
        jars.map(|name| format!("{place}/{folder}{name}")).collect()
    };
    // The order of Lambda's class loader: the function's classes, its jars, those of layers, each by name.
    let mut path = vec![format!("{}/", places.task)];
    path.extend(jars(task, "lib/", &places.task));
    path.extend(jars(opt, "java/lib/", &places.opt));
    let is_brought = task.contains(&format!("{BROUGHT}.class")) || path.iter().any(|jar| jar.contains(BROUGHT_JAR));
    let mut program = Program { seen: found.seen.clone(), ..Program::default() };
    program.words.push(found.program.display().to_string());
    program.words.extend(OPTIONS.map(str::to_owned));
    program.words.push("-cp".to_owned());
    if is_brought {
        program.words.extend([path.join(":"), BROUGHT.replace('/', "."), function.handler.clone()]);
    } else {
        let client = format!("{}/{JAR}", places.runtime);
        let main = "lambdapack.Bootstrap".to_owned();
        program.words.extend([client, main, places.task.clone(), places.opt.clone()]);
        program.files = vec![(JAR, compiled(function, &found)?.into())];
        program.strict = Some("verify");
    }
    other(&mut program, function, "Java", &major.to_string(), &found);
    Ok(program)
}

/// Our client as a jar that this Java runs.
fn compiled(function: &Function, java: &Interpreter) -> Result<Vec<u8>> {
    let (compiler, of_version) = interpreters::javac(java).ok_or_else(|| no_compiler(function, java))?;
    super::compiled("java", &[&compiler.display().to_string(), &of_version, &java.version], SOURCES, || {
        compile(&compiler, &of_version, &java.version)
    })
}

fn no_compiler(function: &Function, java: &Interpreter) -> Error {
    Error::failed(format!(
        "`{}` does not bring what speaks to Lambda, and ours cannot be compiled: there is Java {} here, and no `javac`",
        function.name, java.version
    ))
    .hint(
        "install a JDK of that version or a newer one; or add com.amazonaws:aws-lambda-java-runtime-interface-client to the \
         function's dependencies",
    )
}

fn compile(compiler: &Path, of_version: &str, version: &str) -> Result<Vec<u8>> {
    let scratch = fsio::scratch_dir()?;
    let classes = scratch.path().join("classes");
    fsio::create_dir_all(&classes)?;
    let mut tool =
        Tool::new(compiler).args(["-J-XX:TieredStopAtLevel=1", "-J-XX:+UseSerialGC", "-proc:none", "-nowarn"]);
    tool = tool.args(["-encoding", "UTF-8", "-d"]).arg(&classes);
    if of_version != version {
        tool = tool.args(["--release", version]);
    }
    for (name, text) in SOURCES {
        let file = scratch.path().join(name).with_extension("java");
        fsio::create_dir_all(file.parent().unwrap_or(scratch.path()))?;
        fsio::write_new(&file, text.as_bytes(), false)?;
        tool = tool.arg(file);
    }
    // Nothing that its result is not known by.
    let others = ["JDK_JAVAC_OPTIONS", "JAVA_TOOL_OPTIONS", "CLASSPATH"];
    others.into_iter().fold(tool, Tool::env_remove).run()?;
    jar(&classes).map_err(|e| Error::io("pack the classes of", &classes, &e))
}

/// The files of a folder as a jar.
fn jar(folder: &Path) -> std::io::Result<Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in walkdir::WalkDir::new(folder) {
        let entry = entry?;
        if entry.file_type().is_file() {
            let name = entry.path().strip_prefix(folder).unwrap_or(entry.path()).display().to_string();
            files.insert(name.replace('\\', "/"), std::fs::read(entry.path())?);
        }
    }
    let mut out = ZipWriter::new(Vec::new());
    for (name, bytes) in files {
        let size = bytes.len() as u64;
        let crc32 = crc32fast::hash(&bytes);
        let header =
            Header { name: &name, mode: 0o100_644, method: Method::Stored, crc32, compressed_size: size, size };
        out.add(header, &mut bytes.as_slice())?;
    }
    Ok(out.finish()?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_compiler_it_is_said_what_to_install() {
        let function = Function::new("f", crate::lambda::find("java21").unwrap(), "App");
        // No compiler of this machine is as new as that.
        let java = Interpreter { program: "/nowhere/bin/java".into(), version: "9999".to_owned(), seen: Vec::new() };
        let error = compiled(&function, &java).unwrap_err().to_string();
        assert!(error.contains("there is Java 9999 here, and no `javac`"), "{error}");
    }

    #[test]
    fn classes_lie_in_the_jar_by_their_packages() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b/C.class", "a/B.class", "A.class"] {
            fsio::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
            fsio::write_new(&dir.path().join(name), name.as_bytes(), false).unwrap();
        }
        let mut jar = zip::ZipArchive::new(std::io::Cursor::new(jar(dir.path()).unwrap())).unwrap();
        let names: Vec<String> = jar.file_names().map(|name| name.unwrap().into_owned()).collect();
        assert_eq!(names, ["A.class", "a/B.class", "b/C.class"]);
        let mut text = String::new();
        std::io::Read::read_to_string(&mut jar.by_name("a/B.class").unwrap(), &mut text).unwrap();
        assert_eq!(text, "a/B.class");
    }
}
