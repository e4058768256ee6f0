//! From pins to packages: the wheel that is packed of each, or the build, or a finding that says why there is none.

use std::path::Path;
use std::sync::Arc;

use super::assemble::assemble;
use super::build::{Builder, Built};
use super::pin::{Origin, Pin, RemoteFile};
use super::tags::WheelName;
use super::target::Target;
use crate::error::{Error, Result};
use crate::finding::{Finding, Rule};
use crate::report::{Event, count};
use crate::resolve::compile::INSTALL_ZIG;
use crate::resolve::{Context, Package};
use crate::store::{Archive, Digest, Form, Remote};

/// So many tags are named in a finding.
const SHOWN_TAGS: usize = 8;

/// What becomes of a pin.
#[derive(Debug)]
pub(super) enum Choice {
    /// This wheel is fetched.
    Wheel(Remote),
    /// A source distribution is fetched and built.
    Sdist(Remote),
    /// A folder, a wheel of this machine, or a Git commit: nothing to fetch.
    Local,
    /// There is nothing that loads.
    Nothing(Finding),
}

/// Chooses among a pin's archives.
pub(super) fn choose(pin: &Pin, target: &Target, context: &Context<'_>) -> Choice {
    let Origin::Files { wheels, sdist } = &pin.origin else { return Choice::Local };
    let label = pin.label();
    if let Some(best) = target.tags.best(wheels, |wheel| &wheel.file) {
        context.reporter.event(Event::Debug(format!(
            "{label}: {} of {} for {}",
            best.file,
            count(wheels.len(), "wheel"),
            target.name()
        )));
        return Choice::Wheel(best.remote(&label, Form::Zip));
    }
    match sdist {
        Some(sdist) => match sdist_form(&sdist.file) {
            Some(form) => Choice::Sdist(sdist.remote(&format!("{label} (source)"), form)),
            None => Choice::Nothing(native(
                &label,
                wheels,
                &format!("its source `{}` is packed in a way that is not read", sdist.file),
                target,
            )),
        },
        None => Choice::Nothing(no_wheel(&label, wheels, "and no source", target)),
    }
}

/// How a source distribution of this name is packed, if it is read.
pub(super) fn sdist_form(file: &str) -> Option<Form> {
    let is = |end: &str| file.ends_with(end);
    if is(".tar.gz") || is(".tgz") { Some(Form::Tarball) } else { is(".zip").then_some(Form::Zip) }
}

/// Fetches and builds the source distribution of a pin.
pub(super) fn build_sdist(pin: &Pin, builder: &Builder<'_>, target: &Target, context: &Context<'_>) -> Result<Built> {
    let label = pin.label();
    let Origin::Files { sdist: Some(sdist), .. } = &pin.origin else {
        return Err(Error::failed(format!("{label} has neither a wheel nor a source that can be built")));
    };
    let Some(form) = sdist_form(&sdist.file) else {
        return Ok(Built::Native(format!("its source `{}` is packed in a way that is not read", sdist.file)));
    };
    let archive = context.fetcher.fetch(&sdist.remote(&format!("{label} (source)"), form))?;
    builder.sdist(&archive, &label, target)
}

/// A finding about a package whose source needs a compiler, which did not do.
pub(super) fn native(label: &str, wheels: &[RemoteFile], why: &str, target: &Target) -> Finding {
    let and = format!("and its source has native code, which cannot be compiled for it here: {why}");
    let finding = no_wheel(label, wheels, &and, target);
    let name = label.split(' ').next().unwrap_or(label);
    let zig = if why.starts_with("with zig") {
        String::new()
    } else {
        format!("; or {INSTALL_ZIG}, which compiles for every runtime and processor")
    };
    let (os, architecture) = (target.runtime.os.name(), target.architecture);
    let hint = format!(
        "choose a version of {name} that has such a wheel{zig}; or pack on {os} on {architecture}, such as in a container of its image"
    );
    Finding { hint, ..finding }
}

fn no_wheel(label: &str, wheels: &[RemoteFile], and: &str, target: &Target) -> Finding {
    let mut tags: Vec<String> =
        wheels.iter().filter_map(|w| WheelName::parse(&w.file)).map(|name| name.tags()).collect();
    tags.sort();
    let more = tags.len().saturating_sub(SHOWN_TAGS);
    tags.truncate(SHOWN_TAGS);
    let there_is = match (tags.is_empty(), more) {
        (true, _) => "none was offered".to_owned(),
        (false, 0) => format!("there are {}", tags.join(", ")),
        (false, more) => format!("there are {} and {more} more", tags.join(", ")),
    };
    let newest = target.tags.platforms().first().map_or("", String::as_str);
    Finding::new(
        Rule::NoCompatibleWheel,
        format!(
            "{label} has no wheel that {} can load: {there_is}; it loads cp3{minor}, abi3 up to cp3{minor}, and py3 wheels up to \
             {newest}; {and}",
            target.name(),
            minor = target.minor
        ),
        format!(
            "choose a version of {} that has such a wheel, or another runtime",
            label.split(' ').next().unwrap_or(label)
        ),
    )
}

/// A package, and what a person should know of how it was built.
type Chosen = (Package, Option<String>);

/// The package of a pin, from its fetched archive or by building it.
pub(super) fn package(
    pin: &Pin,
    choice: &Choice,
    fetched: Option<Arc<Archive>>,
    target: &Target,
    builder: &Builder<'_>,
) -> Result<Result<Chosen, Finding>> {
    let label = pin.label();
    let built = match (choice, &pin.origin, fetched) {
        (Choice::Nothing(finding), ..) => return Ok(Err(finding.clone())),
        (Choice::Wheel(_), _, Some(archive)) => return Ok(Ok((from_wheel(pin, &archive, target)?, None))),
        (_, Origin::Wheel(path, digest), _) => return local_wheel(pin, path, digest.as_ref(), target, builder),
        (Choice::Sdist(_), _, Some(archive)) => builder.sdist(&archive, &label, target)?,
        (_, Origin::Folder(folder), _) => builder.folder(folder, target)?,
        (_, Origin::Git { url, commit, subdirectory }, _) => builder.git(url, commit, subdirectory, &label, target)?,
        (_, Origin::Files { .. }, None) | (Choice::Local, Origin::Files { .. }, _) => {
            return Err(Error::failed(format!("{label} was not fetched")));
        }
    };
    let wheels: &[RemoteFile] = match &pin.origin {
        Origin::Files { wheels, .. } => wheels,
        _ => &[],
    };
    match built {
        Built::Native(why) => Ok(Err(native(&label, wheels, &why, target))),
        Built::Wheel { archive, name, note, .. } => {
            if target.tags.rank(&name, true).is_none() {
                return Ok(Err(no_wheel(&label, &[], &format!("building it gives `{}`", name.tags()), target)));
            }
            let pin = Pin { version: name.version.clone(), ..pin.clone() };
            Ok(Ok((from_wheel(&pin, &archive, target)?, note)))
        }
    }
}

fn local_wheel(
    pin: &Pin,
    path: &Path,
    digest: Option<&Digest>,
    target: &Target,
    builder: &Builder<'_>,
) -> Result<Result<Chosen, Finding>> {
    let name = path.file_name().and_then(|n| n.to_str()).and_then(WheelName::parse);
    let name = name.ok_or_else(|| Error::config(format!("`{}` has no wheel's name", path.display())))?;
    if target.tags.rank(&name, true).is_none() {
        let finding = no_wheel(&pin.label(), &[], &format!("`{}` is for `{}`", path.display(), name.tags()), target);
        return Ok(Err(finding));
    }
    let archive = builder.adopt(path, &pin.label(), digest)?;
    let pin = Pin { version: name.version.clone(), ..pin.clone() };
    Ok(Ok((from_wheel(&pin, &archive, target)?, None)))
}

fn from_wheel(pin: &Pin, archive: &Arc<Archive>, target: &Target) -> Result<Package> {
    let tree = assemble(archive, &pin.label(), target.minor)?;
    Ok(Package { name: pin.name.clone(), version: pin.version.clone(), tree })
}
