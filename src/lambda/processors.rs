//! What compilers may ask of Lambda's processors: names of processors (`-C target-cpu`, `-march`, `-mcpu`) and of features
//! that every one of them is sure to have, and of features that some lack.
//!
//! Sources: Amazon Linux 2023 needs x86-64-v2, and no level above it is promised ([`super::ISA_LEVEL`]; the levels are those
//! of the x86-64 psABI); arm64 functions have run on Graviton2 since they came (Neoverse N1: Armv8.2-A with crc, crypto, LSE,
//! dot product and half precision). Names are those of LLVM (`rustc --print target-cpus`) and GCC (the options `-march` and `-mcpu` in its
//! manual).

use super::Architecture;

/// x86-64 processors and levels that have nothing above x86-64-v2.
const X86_64: &[&str] = &[
    "generic",
    "x86-64",
    "x86-64-v2",
    "k8",
    "k8-sse3",
    "opteron",
    "opteron-sse3",
    "athlon64",
    "amdfam10",
    "barcelona",
    "btver1",
    "nocona",
    "core2",
    "penryn",
    "nehalem",
    "corei7",
    "westmere",
    "bonnell",
    "atom",
    "silvermont",
    "slm",
    "goldmont",
    "goldmont-plus",
];
/// 64-bit Arm processors and architectures that have nothing which Neoverse N1 lacks.
const ARM64: &[&str] = &[
    "generic",
    "armv8-a",
    "armv8.1-a",
    "armv8.2-a",
    "cortex-a35",
    "cortex-a53",
    "cortex-a55",
    "cortex-a57",
    "cortex-a72",
    "cortex-a73",
    "cortex-a75",
    "cortex-a76",
    "cortex-a76ae",
    "neoverse-e1",
    "neoverse-n1",
];
/// Features of x86-64-v3 and above.
const X86_64_FEATURES: &[&str] =
    &["avx", "bmi", "f16c", "fma", "lzcnt", "movbe", "amx", "vaes", "vpclmul", "gfni", "xop", "sha512"];
/// Features that Neoverse N1 lacks.
const ARM64_FEATURES: &[&str] = &[
    "sve", "sme", "sha3", "sha512", "sm4", "i8mm", "bf16", "fcma", "fhm", "fp16fml", "jsconv", "pauth", "paca",
    "flagm", "mte", "bti",
];

/// The best that every processor of an architecture is sure to be, by the name that compilers have for it.
pub const fn best_processor(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86_64 => "x86-64-v2",
        Architecture::Arm64 => "neoverse-n1",
    }
}

/// Whether every processor of Lambda runs what is compiled for this one. A name may have features behind it (`+crc`).
pub fn is_sure_processor(architecture: Architecture, name: &str) -> bool {
    let known = match architecture {
        Architecture::X86_64 => X86_64,
        Architecture::Arm64 => ARM64,
    };
    let mut parts = name.split('+');
    parts.next().is_some_and(|name| known.contains(&name))
        && parts.all(|feature| is_sure_feature(architecture, feature))
}

/// Whether every processor of Lambda has this feature, as far as it is known.
pub fn is_sure_feature(architecture: Architecture, feature: &str) -> bool {
    let lacking = match architecture {
        Architecture::X86_64 => X86_64_FEATURES,
        Architecture::Arm64 => ARM64_FEATURES,
    };
    // Of a kind there are several: `avx2`, `avx512f`.
    !lacking.iter().any(|start| feature.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_some_processors_lack_is_known() {
        use Architecture::{Arm64, X86_64};
        for (architecture, name, sure) in [
            (X86_64, "x86-64-v2", true),
            (X86_64, "nehalem", true),
            (X86_64, "x86-64-v3", false),
            (X86_64, "haswell", false),
            (X86_64, "native", false),
            (Arm64, "neoverse-n1", true),
            (Arm64, "armv8.2-a+crc+crypto", true),
            (Arm64, "armv8-a+sve", false),
            (Arm64, "neoverse-v1", false),
            (Arm64, "x86-64", false),
        ] {
            assert_eq!(is_sure_processor(architecture, name), sure, "{name}");
        }
        for architecture in [X86_64, Arm64] {
            assert!(is_sure_processor(architecture, best_processor(architecture)));
        }
        assert!(
            is_sure_feature(X86_64, "sse4.2") && is_sure_feature(X86_64, "popcnt") && is_sure_feature(Arm64, "lse")
        );
        assert!(!is_sure_feature(X86_64, "avx512f") && !is_sure_feature(Arm64, "sve2"));
    }
}
