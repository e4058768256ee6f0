//! `bundle install` in a copy of the function's folder, in which its neighbours lie where a `path:` of the Gemfile finds them.

use std::path::{Path, PathBuf};

use super::gems::Gems;
use super::lock::Lock;
use super::{needs_version, text_of};
use crate::error::{Error, Result};
use crate::fresh::Inputs;
use crate::fsio::{self, Scratch};
use crate::lambda::Architecture;
use crate::process::{Failure, Tool};
use crate::report::{Event, Task, Unit};
use crate::resolve::compile::{Aim, Compilers, Settings, Wrappers};
use crate::resolve::{Context, Request};

/// How to get it.
const INSTALL: &str = "install Ruby of the runtime's version with Bundler (rbenv, or `apt-get install ruby bundler`)";
/// What of the project's own settings of Bundler is ours to say.
const OURS: &[&str] = &[
    "PATH",
    "WITHOUT",
    "WITH",
    "DEPLOYMENT",
    "FROZEN",
    "BIN",
    "CLEAN",
    "DISABLE_SHARED_GEMS",
    "SYSTEM_BINDIR",
    "JOBS",
    "CACHE_PATH",
];
/// What a `bundle exec` around this program would impose.
const AROUND: &[&str] = &["BUNDLE_GEMFILE", "BUNDLE_BIN_PATH", "RUBYOPT", "RUBYLIB", "BUNDLER_VERSION", "BUNDLE_WITH"];
/// Folders that no installation needs.
const NOT_COPIED: &[&str] = &[".git", ".hg", ".svn", ".aws-sam", "node_modules"];

/// Where an installation takes place.
struct Place<'a> {
    scratch: Scratch,
    /// The copy of the function's folder, as deep below the scratch folder as it is in the project.
    source: PathBuf,
    compilers: Option<Wrappers>,
    context: &'a Context<'a>,
}

/// Installs, and gives the gems, what they depend on, and who has decided.
pub(super) fn install(
    request: &Request<'_>,
    abi: &str,
    context: &Context<'_>,
    notes: &mut Vec<String>,
) -> Result<(Gems, Option<Inputs>, String)> {
    let text = text_of(request, "Gemfile.lock")?;
    let lock = check_lock(request, text.as_deref(), context)?;
    let place = Place::open(request, &lock, context)?;
    let is_cached = request.function.path.join("vendor/cache").is_dir();
    let mut command = vec!["install"];
    if is_cached || context.offline {
        command.push("--local");
    }
    place.configure(text.is_some())?;
    place.run("bundle", &command, &place.source, &format!("Installing gems of {}", request.function.name))?;
    let bundle = place.bundle();
    let here = std::fs::read_dir(bundle.join("ruby")).ok().into_iter().flatten().flatten();
    // Without gems there is no folder.
    let Some(installed) = here.map(|entry| entry.path()).find(|path| path.is_dir()) else {
        return Ok((Gems::default(), place.inputs(&lock, false), "bundle install".to_owned()));
    };
    for (folder, names) in &lock.paths {
        place.build_gems(folder, names, &installed)?;
    }
    let version = installed.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let gems = Gems::read(&installed, abi, request, context)?;
    if version != abi {
        if let Some(gem) = &gems.compiled {
            return Err(needs_version(gem, "is compiled for one version of Ruby", &version, abi));
        }
        notes.push(format!(
            "gems were installed by Ruby {version}; all are of pure Ruby, and say that they run on the runtime's"
        ));
    }
    if let Some(gem) = gems.compiled.as_ref().filter(|_| request.architecture != host()) {
        let architecture = request.architecture;
        return Err(Error::failed(format!("gem `{gem}` is compiled, for the processor of this machine and not for {architecture}"))
            .hint(format!("pack on {architecture}, or commit a `vendor/bundle/ruby/{abi}` that was installed there; or take a version of it that brings prebuilt files")));
    }
    if text.is_none() {
        notes.push(
            "there is no `Gemfile.lock`: the newest gems of today were taken; run `bundle lock` and commit it"
                .to_owned(),
        );
    }
    let inputs =
        place.inputs(&lock, gems.compiled.is_some()).map(|inputs| Inputs { of_the_day: text.is_none(), ..inputs });
    let by = match (text.is_some(), is_cached) {
        (true, true) => "Gemfile.lock, vendor/cache (bundle install)",
        (true, false) => "Gemfile.lock (bundle install)",
        (false, _) => "Gemfile (bundle install)",
    };
    Ok((gems, inputs, by.to_owned()))
}

fn host() -> Architecture {
    if std::env::consts::ARCH == "aarch64" { Architecture::Arm64 } else { Architecture::X86_64 }
}

fn check_lock(request: &Request<'_>, text: Option<&str>, context: &Context<'_>) -> Result<Lock> {
    let file = request.function.path.join("Gemfile.lock");
    if text.is_none() && context.locked {
        return Err(Error::config("`Gemfile.lock` is missing, and `--locked` asks for it")
            .at(&file, None)
            .hint("run `bundle lock` and commit the file"));
    }
    let lock = text.map(Lock::parse).unwrap_or_default();
    if let Some((gem, repository)) = lock.from_git.first() {
        return Err(Error::config(format!("gem `{gem}` comes from Git (`{repository}`), where only Bundler finds it, and Lambda's Ruby does not use Bundler"))
            .at(&file, None)
            .hint("take a released version; or check it out into the project, and name its folder with `path:` in the Gemfile"));
    }
    Ok(lock)
}

/// Compilers also by the names that a Ruby of a distribution knows those of this machine by: it does not ask `CC`.
fn wrappers(folder: &Path, compilers: &Compilers, aim: Aim, settings: &Settings<'_>) -> Result<Wrappers> {
    let wrappers = Wrappers::write(folder, compilers, aim, settings)?;
    for (name, own) in [("cc", "gcc"), ("c++", "g++")] {
        let (from, to) = (folder.join(name), folder.join(format!("{}-linux-gnu-{own}", std::env::consts::ARCH)));
        if from.is_file() && !to.exists() {
            std::fs::copy(&from, &to).map_err(|e| Error::io("copy", &from, &e))?;
        }
    }
    Ok(wrappers)
}

impl<'a> Place<'a> {
    fn open(request: &Request<'_>, lock: &Lock, context: &'a Context<'a>) -> Result<Self> {
        let scratch = fsio::scratch_dir()?;
        let root = scratch.path().join("project");
        let folder = &request.function.path;
        let source = root.join(folder.strip_prefix(request.project_root).unwrap_or(Path::new("function")));
        let copy = |from: &Path, to: &Path| {
            fsio::Copy { from, root: request.project_root, skip: request.skip, skip_names: NOT_COPIED }.run(to)
        };
        copy(folder, &source)?;
        for (path, names) in &lock.paths {
            let from = fsio::normalize(folder, path);
            let Ok(below) = from.strip_prefix(request.project_root) else {
                return Err(Error::config(format!(
                    "gem `{}` comes from `{}`, outside of the project",
                    names.join("`, `"),
                    path.display()
                ))
                .at(folder.join("Gemfile.lock"), None)
                .hint("move the config up to a folder that holds both"));
            };
            if !from.starts_with(folder) && !root.join(below).exists() {
                copy(&from, &root.join(below))?;
            }
        }
        let aim = Aim { architecture: request.architecture, os: request.runtime.os };
        let python = crate::process::find_program("python3");
        let pythons: Vec<&Path> = python.as_deref().into_iter().collect();
        let renamed = [(scratch.path(), "/build")];
        let settings = Settings { include: None, renamed: &renamed };
        // A gem is linked with the Ruby that is here, so that it is for this processor in any case.
        let compilers = Compilers::choose(aim, &pythons).ok().filter(|_| aim.is_of_this_processor());
        let compilers = match compilers {
            Some(compilers) => Some(wrappers(&scratch.path().join("cc"), &compilers, aim, &settings)?),
            None => None,
        };
        Ok(Self { scratch, source, compilers, context })
    }

    /// Where gems are installed.
    fn bundle(&self) -> PathBuf {
        self.scratch.path().join("bundle")
    }

    /// Writes Bundler's settings: the project's own, such as mirrors and names, less what is ours to say. They come before
    /// the environment's.
    fn configure(&self, is_frozen: bool) -> Result<()> {
        let own = fsio::read_text(&self.source.join(".bundle/config")).unwrap_or_default();
        let is_ours = |line: &&str| {
            let key = line.strip_prefix("BUNDLE_").and_then(|rest| rest.split_once(':')).map(|(key, _)| key);
            key.is_some_and(|key| OURS.contains(&key)) || line.starts_with("---")
        };
        let mut text = "---\n".to_owned();
        for line in own.lines().filter(|line| !is_ours(line)) {
            text.push_str(line);
            text.push('\n');
        }
        // A string in double quotes is JSON's, too.
        let path = serde_json::Value::from(self.bundle().to_string_lossy()).to_string();
        text.push_str(&format!(
            "BUNDLE_PATH: {path}\nBUNDLE_WITHOUT: \"development:test\"\nBUNDLE_FROZEN: \"{is_frozen}\"\n"
        ));
        fsio::write_atomic(&self.scratch.path().join("settings/config"), text.as_bytes())
    }

    fn run(&self, program: &str, args: &[&str], folder: &Path, label: &str) -> Result<()> {
        let tool = Tool::new(program).args(args.iter().copied()).cwd(folder).install_hint(INSTALL);
        let tool = AROUND.iter().fold(tool, |tool, name| tool.env_remove(*name));
        let tool =
            tool.env("BUNDLE_APP_CONFIG", self.scratch.path().join("settings")).env("BUNDLE_SILENCE_ROOT_WARNING", "1");
        let tool = match &self.compilers {
            Some(compilers) => compilers.used_by(tool, &[]),
            None => tool,
        };
        let task = Task::begin(self.context.reporter, label, None, Unit::Items);
        self.context.reporter.event(Event::Debug(format!("running `{}`", tool.display())));
        match tool.run_with(&mut |line| task.detail(line.trim())) {
            Ok(_) => Ok(()),
            Err(Failure::Status { stderr, error }) => {
                let shown = format!("{program} {}", args.join(" "));
                // What it prints of folders in the copy is of no use to anybody.
                let said = stderr.replace(&format!("{}/", self.source.display()), "");
                if said.trim().is_empty() {
                    return Err(error);
                }
                let error = Error::failed(format!("`{shown}` failed")).because(first_words(&said));
                Err(match hint(&said) {
                    Some(hint) => error.hint(hint),
                    None => error,
                })
            }
            Err(failure) => Err(failure.into()),
        }
    }

    /// Installs gems of a folder as gems: where `path:` leads, only Bundler would look.
    fn build_gems(&self, folder: &Path, names: &[String], installed: &Path) -> Result<()> {
        let folder = fsio::normalize(&self.source, folder);
        for name in names {
            let specification = format!("{name}.gemspec");
            if !folder.join(&specification).is_file() {
                return Err(Error::config(format!("gem `{name}` has no `{specification}` at the root of its folder"))
                    .hint("Bundler makes one up, and nobody else does: write it"));
            }
            let gem = self.scratch.path().join(format!("{name}.gem")).display().to_string();
            let label = format!("Building gem {name}");
            self.run("gem", &["build", &specification, "--output", &gem], &folder, &label)?;
            let to = installed.display().to_string();
            let args = ["install", "--local", "--ignore-dependencies", "--no-document", "--install-dir", &to, &gem];
            self.run("gem", &args, &folder, &label)?;
        }
        Ok(())
    }

    /// What the gems depend on, beside the folder itself.
    fn inputs(&self, lock: &Lock, is_compiled: bool) -> Option<Inputs> {
        (lock.paths.is_empty() && !is_compiled).then(Inputs::default)
    }
}

/// What was said, from the first words on: what a compiler said comes before Bundler's account of it. Without the way that
/// Bundler's own code took there.
fn first_words(said: &str) -> String {
    const SHOWN: usize = 40;
    let is_trace = |line: &str| {
        let is_place =
            line.contains(".rb:") && (line.ends_with(":in") || line.contains(":in `") || line.contains(":in '"));
        is_place || line.ends_with('\'') && (line.starts_with('`') || !line.contains(' '))
    };
    let lines: Vec<&str> =
        said.lines().map(str::trim_end).filter(|line| !line.is_empty() && !is_trace(line.trim())).collect();
    let mut out = String::new();
    for line in lines.iter().take(SHOWN) {
        out.push_str("\n  ");
        out.push_str(line);
    }
    if lines.len() > SHOWN {
        out.push_str(&format!("\n  … {} more lines", lines.len() - SHOWN));
    }
    out
}

fn hint(said: &str) -> Option<&'static str> {
    if said.contains("in frozen mode") || said.contains("frozen") && said.contains("lockfile") {
        return Some("run `bundle lock` and commit `Gemfile.lock`");
    }
    if said.contains("Could not find") || said.contains("not available locally") {
        return Some(
            "with `vendor/cache` or `--offline`, only gems that are here are taken: run `bundle cache` with the network, and commit what it fetches",
        );
    }
    if said.contains("Authentication is required") || said.contains("401") || said.contains("Bad username or password")
    {
        return Some(
            "Bundler takes names and passwords from `bundle config`, or from variables such as BUNDLE_GEMS__EXAMPLE__COM",
        );
    }
    None
}
