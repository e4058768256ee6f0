//! Facts of the Java virtual machine's world that need nothing to be run: what a class file says of itself, what a `pom.xml`
//! says of its module, and which folders are one build.

pub mod class;
pub mod path;
pub mod pom;
pub mod project;

/// The number that class files of a Java version bear, of which each runtime takes its own and all before it. Source: table
/// 4.1-A of the Java Virtual Machine Specification.
pub const fn class_version(java: u8) -> u16 {
    44 + java as u16
}

/// The Java version that class files of this number are made for.
pub const fn java_version(class: u16) -> u16 {
    class.saturating_sub(44)
}
