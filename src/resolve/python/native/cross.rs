//! What a build must be told so that it builds for another Python than the one that runs it: variables of Python's build
//! (`_PYTHON_SYSCONFIGDATA_NAME`), the platform (`_PYTHON_HOST_PLATFORM`), and headers that are the target's. `CPython`
//! has these variables for building itself for other machines (`configure.ac`, `Lib/sysconfig`); setuptools, distutils,
//! cffi and Meson go by what they say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::interpreter::{Interpreter, Value};
use crate::error::{Error, Result};
use crate::fsio;
use crate::lambda::Architecture;
use crate::resolve::python::target::Target;

/// The module with the variables.
const DATA: &str = "_sysconfigdata_lambda_pack";
/// Variables that say how Python itself was compiled on this machine, and for what, with what they are instead. `-fwrapv`
/// and `NDEBUG` are what every `CPython` is compiled with.
const INSTEAD: &[(&str, &str)] = &[
    ("AR", "ar"),
    ("ARFLAGS", "rcs"),
    ("BASECFLAGS", ""),
    ("BLDSHARED", "cc -shared"),
    ("CC", "cc"),
    ("CCSHARED", "-fPIC"),
    ("CFLAGS", "-fwrapv -O2 -DNDEBUG"),
    ("CONFIGURE_CFLAGS", ""),
    ("CONFIGURE_CPPFLAGS", ""),
    ("CONFIGURE_LDFLAGS", ""),
    ("CONFIG_ARGS", ""),
    ("CPPFLAGS", ""),
    ("CXX", "c++"),
    ("LDCXXSHARED", "c++ -shared"),
    ("LDFLAGS", ""),
    ("LDSHARED", "cc -shared"),
    ("LINKCC", "cc"),
    ("OPT", "-O2 -DNDEBUG"),
    ("PY_CFLAGS", "-fwrapv -O2 -DNDEBUG"),
    ("PY_CORE_LDFLAGS", ""),
    ("PY_CPPFLAGS", ""),
    ("PY_LDFLAGS", ""),
    ("RANLIB", "ranlib"),
    ("SHLIB_SUFFIX", ".so"),
];

/// What `os.uname` says for other processors than this: many a `setup.py` chooses sources and flags by it.
const SITE: &str = "import os\n_uname = os.uname\n\n\ndef uname():\n    return os.uname_result(tuple(_uname())[:4] + (MACHINE,))\n\n\nos.uname = uname\n";

/// What Meson is told of another processor (its "Cross compilation").
const MESON: &str = "[binaries]\nc = 'cc'\ncpp = 'c++'\nar = 'ar'\n\n[properties]\nneeds_exe_wrapper = true\n\n\
    [host_machine]\nsystem = 'linux'\ncpu_family = 'MACHINE'\ncpu = 'MACHINE'\nendian = 'little'\n";

/// Folders that make a build one for the target.
#[derive(Debug)]
pub(super) struct Cross {
    /// For `PYTHONPATH`.
    pub(super) modules: PathBuf,
    /// Headers, which come before those of this machine.
    pub(super) include: PathBuf,
    /// Meson's description of the target, when programs for it do not start here.
    pub(super) meson: Option<PathBuf>,
}

impl Cross {
    /// Writes them below a folder.
    pub(super) fn write(folder: &Path, interpreter: &Interpreter, target: &Target) -> Result<Self> {
        let (modules, include) = (folder.join("modules"), folder.join("include"));
        let variables = serde_json::to_string(&variables(&interpreter.variables, target))
            .map_err(|e| Error::failed("Failed to describe the runtime's Python").because(e))?;
        // Texts and numbers of JSON are those of Python.
        let data = format!("build_time_vars = {variables}\n");
        fsio::write_atomic(&modules.join(format!("{DATA}.py")), data.as_bytes())?;
        let meson = (!target.aim().is_of_this_processor()).then(|| folder.join("cross.ini"));
        if let Some(meson) = &meson {
            let machine = target.architecture.machine();
            fsio::write_atomic(meson, MESON.replace("MACHINE", machine).as_bytes())?;
            let site = format!("MACHINE = {:?}\n{SITE}", target.architecture.machine());
            fsio::write_atomic(&modules.join("sitecustomize.py"), site.as_bytes())?;
        }
        headers(interpreter, target.architecture, &include)?;
        Ok(Self { modules, include, meson })
    }

    /// Variables of the environment.
    pub(super) fn environment(&self, target: &Target) -> [(&'static str, String); 3] {
        [
            ("PYTHONPATH", self.modules.display().to_string()),
            ("_PYTHON_SYSCONFIGDATA_NAME", DATA.to_owned()),
            ("_PYTHON_HOST_PLATFORM", format!("linux-{}", target.architecture.machine())),
        ]
    }
}

fn variables(of_host: &BTreeMap<String, Value>, target: &Target) -> BTreeMap<String, Value> {
    let text = |value: &str| Value::Text(value.to_owned());
    let tag = target.extension_tag();
    let multiarch = format!("{}-linux-gnu", target.architecture.machine());
    let mut all = of_host.clone();
    all.extend(INSTEAD.iter().map(|(name, value)| ((*name).to_owned(), text(value))));
    all.extend(
        [
            ("EXT_SUFFIX", text(&format!(".{tag}.so"))),
            // Python 3.7's own distutils still reads the old name.
            ("SO", text(&format!(".{tag}.so"))),
            ("SOABI", text(&tag)),
            ("MULTIARCH", text(&multiarch)),
            ("HOST_GNU_TYPE", text(&multiarch)),
            // An extension module finds Python in the process that loads it.
            ("Py_ENABLE_SHARED", Value::Number(0)),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    all
}

/// A copy of Python's headers. `pyconfig.h` says what the compiler's machine is like; of the two that Lambda has, it is the
/// same but for these lines of `configure.ac`.
fn headers(interpreter: &Interpreter, architecture: Architecture, to: &Path) -> Result<()> {
    for entry in walkdir::WalkDir::new(&interpreter.include).follow_links(true).into_iter().flatten() {
        if entry.file_type().is_file() {
            let below = entry.path().strip_prefix(&interpreter.include).unwrap_or(entry.path());
            let at = to.join(below);
            fsio::create_dir_all(at.parent().unwrap_or(to))?;
            std::fs::copy(entry.path(), &at).map_err(|e| Error::io("copy", entry.path(), &e))?;
        }
    }
    let mut config = fsio::read_text(&interpreter.config)?;
    // Until 3.9 `Python.h` includes a header that is glibc's no longer, for nothing that extensions call.
    config.push_str("\n#undef HAVE_CRYPT_H\n");
    config.push_str(match architecture {
        Architecture::X86_64 => "#define VA_LIST_IS_ARRAY 1\n",
        Architecture::Arm64 => "#undef VA_LIST_IS_ARRAY\n#undef HAVE_GCC_ASM_FOR_X64\n#undef HAVE_GCC_ASM_FOR_X87\n",
    });
    fsio::write_atomic(&to.join("pyconfig.h"), config.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lambda::find as find_runtime;

    #[test]
    fn variables_are_the_targets_and_the_rest_is_kept() {
        let text = |value: &str| Value::Text(value.to_owned());
        let host = BTreeMap::from([
            ("CC".to_owned(), text("gcc -pthread")),
            ("LDFLAGS".to_owned(), text("-L/home/me/lib")),
            ("SIZEOF_LONG".to_owned(), Value::Number(8)),
        ]);
        let target = Target::new(find_runtime("python3.11").unwrap(), Architecture::Arm64).unwrap();
        let all = variables(&host, &target);
        for (name, value) in [
            ("CC", text("cc")),
            ("LDFLAGS", text("")),
            ("EXT_SUFFIX", text(".cpython-311-aarch64-linux-gnu.so")),
            ("SOABI", text("cpython-311-aarch64-linux-gnu")),
            ("SIZEOF_LONG", Value::Number(8)),
        ] {
            assert_eq!(all[name], value, "{name}");
        }
    }
}
