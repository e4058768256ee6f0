//! Each rule with files that it is for, and with their neighbours that load.

use super::*;
use crate::elf::testing::Sketch;
use crate::lambda;
use crate::tree::{ArchivePath, Entry, Tree};

/// A tree in the making.
#[derive(Default, Clone)]
struct Files(Tree);

impl Files {
    fn put(mut self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.0.insert(ArchivePath::new(path).unwrap(), Entry::bytes(bytes.into(), !path.contains('.')));
        self
    }

    fn elf(self, path: &str, sketch: &Sketch) -> Self {
        self.put(path, sketch.bytes())
    }

    fn link(mut self, path: &str, target: &str) -> Self {
        self.0.insert(ArchivePath::new(path).unwrap(), Entry::Symlink { target: target.to_owned() });
        self
    }

    /// What is said, as `level rule path: message`.
    fn said(&self, runtime: &str) -> Vec<String> {
        self.said_with(runtime, Architecture::X86_64, None)
    }

    fn said_with(&self, runtime: &str, architecture: Architecture, layers: Option<&Self>) -> Vec<String> {
        let mut mounts = vec![Mount::task(&self.0)];
        mounts.extend(layers.map(|layers| Mount::layers(&layers.0)));
        let native = Native {
            runtime: lambda::find(runtime).unwrap(),
            architecture,
            mounts: &mounts,
            handler: Some("app.handler"),
            packages: &[],
        };
        let shown =
            |f: &Finding| format!("{} {} {}: {}", f.level, f.rule, f.path.clone().unwrap_or_default(), f.message);
        check_native(&native).iter().map(shown).collect()
    }

    #[track_caller]
    fn silent(&self, runtime: &str) {
        assert_eq!(self.said(runtime), Vec::<String>::new());
    }

    #[track_caller]
    fn says(&self, runtime: &str, parts: &[&str]) {
        let said = self.said(runtime);
        assert!(said.len() == 1 && parts.iter().all(|part| said[0].contains(part)), "{said:#?}");
    }
}

fn app() -> Files {
    Files::default().put("app.py", "import native\ndef handler(e, c): pass\n")
}

#[test]
fn a_library_that_needs_what_every_runtime_has_is_silent() {
    let sketch = Sketch::library()
        .needed(&["libm.so.6", "libstdc++.so.6", "libgcc_s.so.1", "libc.so.6", "ld-linux-x86-64.so.2"])
        .version("libc.so.6", "GLIBC_2.26", "f")
        .version("libstdc++.so.6", "GLIBCXX_3.4.24", "g");
    for runtime in ["python3.13", "python3.11", "nodejs22.x", "provided.al2"] {
        app().elf("native.so", &sketch).silent(runtime);
    }
}

#[test]
fn the_wrong_machine_is_told_in_the_loaders_words() {
    let arm = app().elf("native.so", &Sketch::library().machine(183));
    arm.says(
        "python3.13",
        &[
            "error wrong-architecture native.so: cannot open shared object file",
            "for aarch64, the function runs on x86_64",
        ],
    );
    assert!(arm.said_with("python3.13", Architecture::Arm64, None).is_empty());
    let mut narrow = Sketch::library().machine(3).bytes();
    narrow[4] = 1;
    // Read as 32-bit it is nonsense, which is as well.
    assert!(app().put("native.so", narrow).said("python3.13")[0].contains("native.so: "));
    Files::default()
        .elf("bootstrap", &Sketch::static_program().machine(183))
        .says("provided.al2023", &["error wrong-architecture bootstrap: exec format error"]);
    // A Mac's: `go build` without GOOS, `npm install` on the desk.
    let mac = [0xcf, 0xfa, 0xed, 0xfe, 7, 0, 0, 1];
    Files::default().put("bootstrap", mac).says("provided.al2023", &["exec format error: it is for macOS"]);
    app().put("build/x.node", mac).says("nodejs22.x", &["error wrong-architecture build/x.node: invalid ELF header"]);
    // Data of a test suite, and objects, are loaded by nobody.
    app().put("data.bin", mac).silent("python3.13");
    let mut object = Sketch::library().machine(247).bytes();
    object[16] = 1;
    app().put("probe.o", object).silent("python3.13");
}

#[test]
fn files_of_other_platforms_beside_those_of_this_one_harm_nobody() {
    let (arm, fits) = (Sketch::library().machine(183), Sketch::library());
    Files::default()
        .elf("node_modules/bufferutil/prebuilds/linux-x64/a.node", &fits)
        .elf("node_modules/bufferutil/prebuilds/linux-arm64/a.node", &arm)
        .put("node_modules/bufferutil/prebuilds/darwin-x64+arm64/a.node", [0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 2])
        .elf(
            "node_modules/bufferutil/prebuilds/linux-x64/a.musl.node",
            &fits.clone().needed(&["libc.musl-x86_64.so.1"]),
        )
        .silent("nodejs22.x");
    Files::default()
        .elf("runtimes/linux-arm64/native/libx.so", &arm)
        .elf("runtimes/linux-x64/native/libx.so", &fits)
        .silent("dotnet8");
    // Without one for this platform the function may have to do without, which its maker may have thought of.
    app().elf("vendor/linux-arm64/tool.so", &arm).says("python3.13", &["warning wrong-architecture"]);
    // A name of its own is no excuse.
    app().elf("native_arm64.so", &arm).says("python3.13", &["error wrong-architecture"]);
    let tagged = "_x.cpython-313-aarch64-linux-gnu.so";
    app().elf(tagged, &arm).says("python3.13", &["error wrong-architecture _x.cpython-313-aarch64"]);
}

#[test]
fn musl_does_not_load_and_static_musl_does() {
    app()
        .elf("native.so", &Sketch::library().needed(&["libc.musl-x86_64.so.1"]))
        .says("python3.13", &["error musl-library native.so: libc.musl-x86_64.so.1: cannot open shared object file"]);
    Files::default().elf("bootstrap", &Sketch::program("/lib/ld-musl-x86_64.so.1")).says(
        "provided.al2023",
        &["error musl-library bootstrap: fork/exec /var/task/bootstrap: no such file or directory"],
    );
    Files::default().elf("bootstrap", &Sketch::static_program()).silent("provided.al2023");
}

#[test]
fn newer_versions_than_the_system_has_are_told_with_a_symbol() {
    let newer = Sketch::library().needed(&["libc.so.6"]).version("libc.so.6", "GLIBC_2.38", "__isoc23_strtol");
    app().elf("native.so", &newer).says(
        "python3.13",
        &[
            "error glibc-too-new native.so: /lib64/libc.so.6: version `GLIBC_2.38' not found",
            "required by /var/task/native.so, for `__isoc23_strtol`",
            "python3.13 has glibc 2.34",
        ],
    );
    let al2 = Sketch::library().version("libm.so.6", "GLIBC_2.29", "pow");
    app().elf("native.so", &al2).says("python3.11", &["/lib64/libm.so.6: version `GLIBC_2.29'", "glibc 2.26"]);
    app().elf("native.so", &al2).silent("python3.12");
    // Relative relocations in the compact form: the version has no number.
    let relr = Sketch::library().version("libc.so.6", "GLIBC_ABI_DT_RELR", "");
    app().elf("native.so", &relr).says("python3.13", &["version `GLIBC_ABI_DT_RELR' not found"]);
}

#[test]
fn libstdcxx_of_the_system_and_of_the_package() {
    let newer = Sketch::library().needed(&["libstdc++.so.6"]).version("libstdc++.so.6", "GLIBCXX_3.4.30", "_ZSt1x");
    app().elf("native.so", &newer).says(
        "python3.13",
        &["error libstdcxx-too-new native.so: /lib64/libstdc++.so.6: version `GLIBCXX_3.4.30' not found"],
    );
    app().elf("native.so", &Sketch::library().version("libstdc++.so.6", "CXXABI_1.3.13", "f")).silent("python3.13");
    app()
        .elf("native.so", &Sketch::library().version("libstdc++.so.6", "CXXABI_1.3.13", "f"))
        .says("python3.11", &["CXXABI_1.3.13"]);
    // `DT_RPATH` comes before the system's folders, `DT_RUNPATH` behind them.
    let own = Sketch::library().soname("libstdc++.so.6");
    app().elf("native.so", &newer.clone().rpath("$ORIGIN/lib")).elf("lib/libstdc++.so.6", &own).silent("python3.13");
    let behind = app().elf("native.so", &newer.runpath("$ORIGIN/lib")).elf("lib/libstdc++.so.6", &own);
    behind.says("python3.13", &["libstdcxx-too-new"]);
}

#[test]
fn what_is_needed_is_looked_for_where_the_loader_looks() {
    let needs = |name: &str| Sketch::library().needed(&[name, "libc.so.6"]);
    let library = |name: &str| Sketch::library().soname(name);
    app()
        .elf("native.so", &needs("libcrypt.so.1"))
        .says("python3.13", &["error missing-shared-library native.so: libcrypt.so.1: cannot open shared object file: No such file or directory (required by /var/task/native.so)"]);
    app().elf("native.so", &needs("libcrypt.so.1")).silent("python3.11");
    for (path, needs) in [
        ("lib/liba.so.1", needs("liba.so.1")),
        ("liba.so.1", needs("liba.so.1")),
        ("deep/liba.so.1", needs("liba.so.1").runpath("$ORIGIN/deep")),
        ("deep/liba.so.1", needs("liba.so.1").rpath("/nowhere:${ORIGIN}/./deep")),
    ] {
        app().elf("native.so", &needs).elf(path, &library("liba.so.1")).silent("python3.13");
    }
    // A link with the name that is needed, as libraries are installed.
    app()
        .elf("native.so", &needs("liba.so.1"))
        .elf("lib/liba.so.1.2.3", &library("liba.so.1"))
        .link("lib/liba.so.1", "liba.so.1.2.3")
        .silent("python3.13");
    // The loader passes over a file for another machine.
    let other = app().elf("native.so", &needs("liba.so")).elf("lib/liba.so", &library("liba.so").machine(183));
    let said = other.said("python3.13");
    assert!(said.iter().any(|s| s.contains("missing-shared-library native.so: liba.so")), "{said:#?}");
    // In a folder that nobody names.
    app()
        .elf("native.so", &needs("liba.so"))
        .elf("vendor/liba.so", &library("liba.so"))
        .says("python3.13", &["missing-shared-library native.so: liba.so"]);
    // In a layer.
    let layer = Files::default().elf("lib/liba.so", &library("liba.so"));
    let said = app().elf("native.so", &needs("liba.so")).said_with("python3.13", Architecture::X86_64, Some(&layer));
    assert!(said.is_empty(), "{said:#?}");
}

#[test]
fn what_is_loaded_already_is_found_by_its_name() {
    // The program brings both; the library does not say where the other is.
    Files::default()
        .elf(
            "bootstrap",
            &Sketch::program("/lib64/ld-linux-x86-64.so.2").needed(&["liba.so", "libb.so"]).runpath("$ORIGIN/x"),
        )
        .elf("x/liba.so", &Sketch::library().soname("liba.so").needed(&["libb.so"]))
        .elf("x/libb.so", &Sketch::library().soname("libb.so"))
        .silent("provided.al2023");
    // `DT_RPATH` is handed down, `DT_RUNPATH` is not.
    let chain = |first: Sketch| {
        Files::default()
            .elf("bootstrap", &first.needed(&["liba.so"]))
            .elf("x/liba.so", &Sketch::library().soname("liba.so").needed(&["libb.so"]))
            .elf("x/libb.so", &Sketch::library().soname("libb.so"))
    };
    let program = || Sketch::program("/lib64/ld-linux-x86-64.so.2");
    chain(program().rpath("$ORIGIN/x")).silent("provided.al2023");
    chain(program().runpath("$ORIGIN/x")).says("provided.al2023", &["error missing-shared-library x/liba.so: libb.so"]);
    // Two folders of one wheel, where the package's own Python loads one before the other.
    app()
        .put("pkg-1.0.dist-info/RECORD", "pkg/_x.abi3.so,,\npkg.libs/libdep-1f.so,,\n")
        .put("app.py", "import pkg")
        .elf("pkg/_x.abi3.so", &Sketch::library().needed(&["libdep-1f.so"]))
        .elf("pkg.libs/libdep-1f.so", &Sketch::library().soname("libdep-1f.so"))
        .silent("python3.13");
}

#[test]
fn what_nothing_loads_is_a_warning() {
    let lacking = Sketch::library().needed(&["libGL.so.1"]);
    let with = |text: &str| {
        Files::default()
            .put("app.py", text)
            .put("pkg/__init__.py", "try:\n    from . import _gui\nexcept ImportError:\n    _gui = None\n")
            .put("other/__init__.py", "from ._x import f\n")
    };
    let gui = "pkg/_gui.cpython-313-x86_64-linux-gnu.so";
    with("import pkg")
        .elf(gui, &lacking)
        .says("python3.13", &["warning missing-shared-library", "nothing that was seen"]);
    let x = "other/_x.abi3.so";
    with("import other").elf(x, &lacking).says("python3.13", &["error missing-shared-library other/_x"]);
    with("import pkg").elf(x, &lacking).says("python3.13", &["warning missing-shared-library other/_x"]);
    with("import pkg, other").elf(x, &lacking).says("python3.13", &["error missing-shared-library"]);
    // A plugin that nothing names; and one that the handler names.
    with("import pkg").elf("pkg/plugins/libgl.so", &lacking).says("python3.13", &["warning missing-shared-library"]);
    with("import ctypes; ctypes.CDLL('pkg/plugins/libgl.so')")
        .elf("pkg/plugins/libgl.so", &lacking)
        .says("python3.13", &["error missing-shared-library"]);
    // .NET goes on without its tracing.
    let tracing = Sketch::library().needed(&["liblttng-ust.so.0"]);
    Files::default().elf("libcoreclrtraceptprovider.so", &tracing).silent("provided.al2023");
}

#[test]
fn a_program_of_another_distribution_has_no_loader() {
    let nix = Sketch::program("/nix/store/x-glibc-2.40/lib/ld-linux-x86-64.so.2").needed(&["libc.so.6"]);
    Files::default().elf("bootstrap", &nix).says(
        "provided.al2023",
        &["error missing-shared-library bootstrap: fork/exec /var/task/bootstrap: no such file", "/nix/store"],
    );
}

#[test]
fn levels_of_the_processor() {
    app().elf("native.so", &Sketch::library().isa_level(3)).says(
        "python3.13",
        &["warning cpu-level-too-high native.so: CPU ISA level is lower than required", "x86-64-v3"],
    );
    app().elf("native.so", &Sketch::library().isa_level(2)).silent("python3.13");
    app().elf("lib/glibc-hwcaps/x86-64-v3/libx.so", &Sketch::library().isa_level(3)).silent("python3.13");
}

#[test]
fn extension_modules_for_another_python() {
    let good = Sketch::library();
    app().elf("pkg/_x.cpython-312-x86_64-linux-gnu.so", &good).says(
        "python3.13",
        &["error python-abi-mismatch pkg/_x.cpython-312", "No module named 'pkg._x'", "is for CPython 3.12"],
    );
    app().elf("pkg/_x.cpython-312-x86_64-linux-gnu.so", &good).silent("python3.12");
    app().elf("pkg/_x.abi3.so", &good).silent("python3.13");
    // Both, as a package for several has them; and one that Python stands in for.
    app()
        .elf("pkg/_x.cpython-312-x86_64-linux-gnu.so", &good)
        .elf("pkg/_x.cpython-313-x86_64-linux-gnu.so", &good)
        .silent("python3.13");
    app()
        .elf("pkg/x.cpython-312-x86_64-linux-gnu.so", &good)
        .put("pkg/x.py", "")
        .says("python3.13", &["warning python-abi-mismatch"]);
    // Not ELF at all: a wheel of macOS, one of Windows.
    app()
        .put("_x.cpython-313-darwin.so", [0xcf, 0xfa, 0xed, 0xfe, 0, 0, 0, 0])
        .says("python3.13", &["error python-abi-mismatch"]);
    app().put("_x.cp313-win_amd64.pyd", "MZ").says("python3.13", &["CPython 3.13 (win_amd64)"]);
    app().elf("pkg/_x.cpython-312-x86_64-linux-gnu.so", &good).silent("nodejs22.x");
    app().elf("_x.cpython-313-aarch64-linux-gnu.so", &good).says("python3.13", &["error python-abi-mismatch"]);
}

#[test]
fn damaged_files_are_told_where_they_are_loaded() {
    let cut = &Sketch::library().needed(&["libc.so.6"]).bytes()[..80];
    app().put("native.so", cut).says("python3.13", &["error native-file-damaged native.so: invalid ELF header"]);
    app().put("testdata", cut).silent("python3.13");
}

#[test]
fn many_of_a_kind_are_counted() {
    let files = (0..50).fold(app(), |files, i| files.elf(&format!("x{i:02}.so"), &Sketch::library().machine(183)));
    let said = files.said("python3.13");
    assert_eq!(said.len(), MOST);
    assert!(said[MOST - 1].ends_with("so it is with 30 more files"), "{}", said[MOST - 1]);
}

#[test]
fn a_package_that_chooses_for_itself_is_left_to() {
    // debugpy's wheel for every platform brings modules of Windows, and goes on without.
    let universal = |tag: &str| {
        app()
            .put("pkg-1.0.dist-info/RECORD", "pkg/_x.cp39-win_amd64.pyd,,\npkg/attach_arm64.so,,\n")
            .put("pkg-1.0.dist-info/WHEEL", format!("Wheel-Version: 1.0\nTag: {tag}\n"))
            .put("pkg/_x.cp39-win_amd64.pyd", "MZ")
            .elf("pkg/attach_arm64.so", &Sketch::library().machine(183))
    };
    universal("py3-none-any").silent("python3.13");
    assert_eq!(universal("cp39-cp39-win_amd64").said("python3.13").len(), 2);
    // One that was tagged so by mistake is refused all the same: its name says nothing.
    universal("py3-none-any")
        .elf("pkg/other.so", &Sketch::library().machine(183))
        .says("python3.13", &["error wrong-architecture pkg/other.so"]);
    // zeromq has several addons for one platform, and a list of its own that says which is for whom.
    let newer = Sketch::library().version("libc.so.6", "GLIBC_2.38", "f");
    let addons = Files::default().elf("node_modules/z/build/glibc-115/addon.node", &newer);
    addons.says("nodejs22.x", &["error glibc-too-new"]);
    addons
        .elf("node_modules/z/build/115/addon.node", &Sketch::library())
        .says("nodejs22.x", &["warning glibc-too-new"]);
    // Android's libraries have other names; nobody on Linux goes by that folder.
    Files::default()
        .elf("node_modules/z/native/android-x64/a.bare", &Sketch::library().needed(&["libm.so", "libc.so"]))
        .silent("nodejs22.x");
}
