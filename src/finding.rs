//! Findings: what a rule has to say about what would be packed.
//!
//! Rules have stable ids that scripts rely on; a config may override their level. `error` means that Lambda refuses the
//! result or that the function cannot start.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Worth knowing.
    Note,
    /// Works, but probably not as meant.
    Warning,
    /// Lambda refuses it, or the function cannot start.
    Error,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

macro_rules! rules {
    ($($variant:ident $id:literal $level:ident $doc:literal;)*) => {
        /// A rule, by what it looks for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $(#[doc = $doc] $variant,)*
        }

        impl Rule {
            /// Every rule there is.
            pub const ALL: &'static [Rule] = &[$(Rule::$variant,)*];

            /// The stable id.
            pub const fn id(self) -> &'static str {
                match self { $(Self::$variant => $id,)* }
            }

            /// The level unless the config says otherwise.
            pub const fn default_level(self) -> Level {
                match self { $(Self::$variant => Level::$level,)* }
            }

            /// What it looks for, in one sentence.
            pub const fn description(self) -> &'static str {
                match self { $(Self::$variant => $doc,)* }
            }
        }
    };
}

rules! {
    ZipTooLargeForDirectUpload "zip-too-large-for-direct-upload" Note "The zip is too large for the request and has to go through S3.";
    UnzippedTooLarge "unzipped-too-large" Error "Function and layers are too large when unzipped.";
    TooManyLayers "too-many-layers" Error "A function has more layers than Lambda takes.";
    LayerTooLarge "layer-too-large" Error "A layer is too large when unzipped.";
    LayerTwice "layer-twice" Error "A function has the same layer twice.";
    LayerSymlink "layer-symlink" Warning "A layer has a symbolic link, which Lambda may not be able to merge.";
    LayerIncompatible "layer-incompatible" Warning "A layer is for another runtime or processor than the function.";
    LayerNotImportable "layer-not-importable" Warning "The function's code does not find packages in layers.";
    ExtensionNotExecutable "extension-not-executable" Error "A Lambda extension may not be executed.";
    TemplateLeftAlone "template-left-alone" Warning "A function of the template is not packed.";
    ReservedConcurrency "reserved-concurrency" Warning "Functions reserve more concurrency than an account has unless that was raised.";
    AliasNotPublished "alias-not-published" Warning "A new version of the code is not published, since its place stays the same.";
    InlineCode "inline-code" Error "Code in a template is of a runtime that takes none, or too large.";
    EnvTooLarge "env-too-large" Error "The environment variables are larger than Lambda takes.";
    EnvReservedKey "env-reserved-key" Error "An environment variable has a key that Lambda keeps for itself.";
    EnvKeyMalformed "env-key-malformed" Error "An environment variable has a key that Lambda does not accept.";
    HandlerNotFound "handler-not-found" Error "The file or the name that the handler points to is not in the package.";
    HandlerFailsToLoad "handler-fails-to-load" Error "The handler does not load where it would run (`build --verify`).";
    HandlerMalformed "handler-malformed" Error "The handler does not have the form that the runtime expects.";
    RuntimeUnknown "runtime-unknown" Error "There is no runtime of this identifier.";
    RuntimeDeprecated "runtime-deprecated" Warning "The runtime gets no more security patches, or new functions are refused.";
    RuntimeBlocked "runtime-blocked" Error "Lambda refuses to update functions of this runtime.";
    BootstrapMissing "bootstrap-missing" Error "A provided runtime has no bootstrap at the root of the package.";
    BootstrapNotExecutable "bootstrap-not-executable" Error "The bootstrap may not be executed.";
    WrongArchitecture "wrong-architecture" Error "The runtime does not exist for the function's architecture, or a binary is for another one.";
    GlibcTooNew "glibc-too-new" Error "A native file needs a newer glibc than the runtime has.";
    LibstdcxxTooNew "libstdcxx-too-new" Error "A native file needs a newer libstdc++ than the runtime has.";
    MissingSharedLibrary "missing-shared-library" Error "A native file needs a library that neither the runtime nor the package has.";
    MuslLibrary "musl-library" Error "A native file is built for musl; the runtimes have glibc.";
    CpuLevelTooHigh "cpu-level-too-high" Warning "A native file needs more of the processor than Lambda promises.";
    FrameworkMissing "framework-missing" Error "A .NET function is for a framework that the runtime does not have.";
    JavaClassTooNew "java-class-too-new" Error "A class is compiled for a newer Java than the runtime's.";
    PythonAbiMismatch "python-abi-mismatch" Error "An extension module is for another Python or platform than the runtime's.";
    NativeFileDamaged "native-file-damaged" Error "A native file cannot be read.";
    NoCompatibleWheel "no-compatible-wheel" Error "A version of a package has no wheel that the runtime can load.";
    SymlinkEscapes "symlink-escapes" Error "A symbolic link leads out of the project.";
    SymlinkDangling "symlink-dangling" Warning "A symbolic link leads to nothing.";
    DuplicateEntry "duplicate-entry" Warning "Two packages bring the same path with different contents.";
    CaseCollision "case-collision" Warning "Two paths differ only in upper and lower case.";
    PathNotUtf8 "path-not-utf8" Error "A path is not UTF-8 and cannot be named in a zip.";
    PathUnreadable "path-unreadable" Error "A file or folder cannot be read.";
    PathMalformed "path-malformed" Error "A path in an archive leaves its root, or is none that Linux has.";
    ZipUnreadable "zip-unreadable" Error "Lambda cannot unzip it.";
    EmptyPackage "empty-package" Error "There is nothing to pack.";
    SecretFile "secret-file" Warning "A file that usually holds secrets would be packed.";
    DevDependencyIncluded "dev-dependency-included" Warning "A development dependency would be packed.";
    CrossRegionBucket "cross-region-bucket" Error "The bucket is in another region than the functions.";
    UnversionedBucket "unversioned-bucket" Warning "The bucket keeps no versions.";
    ImageIndex "image-index" Error "An image is an index, which Lambda does not take.";
    ImageLayerMediaType "image-layer-media-type" Error "A manifest, config or layer of an image has a media type or compression that Lambda does not take.";
    ImageLayerDamaged "image-layer-damaged" Error "A layer of an image cannot be read, or is not what the image says of it.";
    ImageArchitecture "image-architecture" Error "An image, or a native file in it, is for another platform than the function.";
    ImageEntrypoint "image-entrypoint" Error "Lambda cannot start what an image names as its entrypoint.";
    ImageCmdArity "image-cmd-arity" Error "An image of AWS is not given exactly one argument, the handler.";
    ImageTooManyLayers "image-too-many-layers" Error "An image has more layers than registries take.";
    ImageUnreadableFile "image-unreadable-file" Error "A file of the function may not be read by the user that Lambda runs it as.";
    ImageTooLarge "image-too-large" Error "The layers of an image are together larger than Lambda takes.";
    InstallScriptNotRun "install-script-not-run" Warning "A package has an install script, which is not run.";
}

impl Rule {
    /// The rule of this id.
    pub fn parse(id: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|r| r.id() == id)
    }
}

impl Serialize for Rule {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = String::deserialize(deserializer)?;
        Self::parse(&id).ok_or_else(|| serde::de::Error::custom(format!("unknown rule `{id}`")))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// What one rule found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// How bad it is, after overrides.
    pub level: Level,
    /// The function it is about, when it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// The layer it is about, when it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<Box<str>>,
    /// The file it is about: its path in the package, or on disk when it did not get there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What is wrong, in Lambda's own terms.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

impl Finding {
    /// A finding at the rule's own level.
    pub fn new(rule: Rule, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            rule,
            level: rule.default_level(),
            function: None,
            layer: None,
            path: None,
            message: crate::process::redact(&message.into()),
            hint: hint.into(),
        }
    }

    /// The same finding about a path.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// The same finding about a function.
    #[must_use]
    pub fn function(mut self, name: impl Into<String>) -> Self {
        self.function = Some(name.into());
        self
    }

    /// The same finding about a layer.
    #[must_use]
    pub fn layer(mut self, name: impl Into<Box<str>>) -> Self {
        self.layer = Some(name.into());
        self
    }

    /// The same finding at another level.
    #[must_use]
    pub fn level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }
}

/// What `[checks]` says of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Override {
    /// Do not look.
    Ignore,
    /// Report at this level.
    As(Level),
}

/// Levels of rules that the config overrides.
#[derive(Debug, Clone, Default)]
pub struct Overrides(pub BTreeMap<Rule, Override>);

impl Overrides {
    /// The findings that remain, at the levels wanted, in a fixed order: function, rule, path.
    pub fn apply(&self, findings: Vec<Finding>) -> Vec<Finding> {
        let mut kept: Vec<Finding> = findings
            .into_iter()
            .filter_map(|finding| match self.0.get(&finding.rule) {
                Some(Override::Ignore) => None,
                Some(Override::As(level)) => Some(finding.level(*level)),
                None => Some(finding),
            })
            .collect();
        kept.sort_by(|a, b| {
            (&a.function, &a.layer, a.rule, &a.path, &a.message).cmp(&(
                &b.function,
                &b.layer,
                b.rule,
                &b.path,
                &b.message,
            ))
        });
        kept.dedup();
        kept
    }
}
