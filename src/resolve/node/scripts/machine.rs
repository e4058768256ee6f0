//! What machine code is for, as far as its headers and names tell: scripts compile for the machine that they run on.
//!
//! ELF, `e_machine` at byte 18: <https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html>. Mach-O begins with one
//! of its magic numbers, Windows' files with `MZ`.

use crate::lambda::Architecture;

/// Versions of the interface to native modules, by the major version of Node.js.
/// Source: `doc/abi_version_registry.json` of Node.js.
const ABIS: &[(u8, &str)] = &[(12, "72"), (14, "83"), (16, "93"), (18, "108"), (20, "115"), (22, "127"), (24, "137")];

/// What a file is for when that is another machine than the function's; nothing for what is no machine code.
/// `is_module` is about a `.node` file, which is machine code whatever it looks like.
pub(super) fn foreign(bytes: &[u8], is_module: bool, architecture: Architecture) -> Option<String> {
    const MACH: [[u8; 4]; 5] = [
        [0xfe, 0xed, 0xfa, 0xce],
        [0xfe, 0xed, 0xfa, 0xcf],
        [0xce, 0xfa, 0xed, 0xfe],
        [0xcf, 0xfa, 0xed, 0xfe],
        [0xca, 0xfe, 0xba, 0xbe],
    ];
    if let Some(machine) = elf_machine(bytes) {
        let wanted = match architecture {
            Architecture::X86_64 => 62,
            Architecture::Arm64 => 183,
        };
        return (machine != wanted).then(|| machine_name(machine));
    }
    if !is_module {
        return None;
    }
    let found = if MACH.iter().any(|magic| bytes.starts_with(magic)) {
        "macOS"
    } else if bytes.starts_with(b"MZ") {
        "Windows"
    } else {
        "no machine that Lambda has"
    };
    Some(found.to_owned())
}

fn elf_machine(bytes: &[u8]) -> Option<u16> {
    let header: [u8; 2] = bytes.get(18..20)?.try_into().ok()?;
    let big_endian = bytes.get(5) == Some(&2);
    bytes
        .starts_with(b"\x7fELF")
        .then(|| if big_endian { u16::from_be_bytes(header) } else { u16::from_le_bytes(header) })
}

fn machine_name(machine: u16) -> String {
    match machine {
        3 => "x86 (32 bit)".to_owned(),
        40 => "arm (32 bit)".to_owned(),
        62 => "x86_64".to_owned(),
        183 => "arm64".to_owned(),
        other => format!("machine {other} of ELF's list"),
    }
}

/// Whether a native module can only be loaded by the Node.js that it was compiled for, and that is surely another one than
/// `major`. Modules of Node-API have no such tie; others call V8, and name the version that they were made for, or, when
/// they are old, were made for the one that runs here (`local_abi`).
pub(super) fn is_for_another_node(module: &[u8], major: u8, local_abi: &str) -> bool {
    let Some((_, wanted)) = ABIS.iter().find(|(known, _)| *known == major) else { return false };
    if !contains(module, b"_ZN2v8") {
        return false;
    }
    const NAMED: &[u8] = b"node_register_module_v";
    let names = |abi: &str| contains(module, &[NAMED, abi.as_bytes(), b"\0"].concat());
    if contains(module, NAMED) { !names(wanted) } else { local_abi != *wanted }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(machine: u16) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0".to_vec();
        bytes.extend(machine.to_le_bytes());
        bytes
    }

    #[test]
    fn machines_are_told_apart() {
        for (bytes, is_module, arm, x86) in [
            (elf(62), true, Some("x86_64"), None),
            (elf(183), false, None, Some("arm64")),
            (elf(3), false, Some("x86 (32 bit)"), Some("x86 (32 bit)")),
            (b"\x7fELF".to_vec(), true, Some("no machine that Lambda has"), Some("no machine that Lambda has")),
            (b"\xcf\xfa\xed\xfe rest".to_vec(), true, Some("macOS"), Some("macOS")),
            (b"MZ\x90".to_vec(), true, Some("Windows"), Some("Windows")),
            (b"MZ, a text".to_vec(), false, None, None),
            (b"module.exports = 1".to_vec(), false, None, None),
        ] {
            let of = |architecture| foreign(&bytes, is_module, architecture);
            assert_eq!(of(Architecture::Arm64).as_deref(), arm, "{bytes:?}");
            assert_eq!(of(Architecture::X86_64).as_deref(), x86, "{bytes:?}");
        }
    }

    #[test]
    fn modules_are_tied_to_a_version_of_node_or_not() {
        let named = b"..\0_ZN2v84Type\0node_register_module_v115\0..";
        assert!(is_for_another_node(named, 22, "115") && !is_for_another_node(named, 20, "127"));
        let old = b"..\0_ZN2v84Type\0..";
        assert!(is_for_another_node(old, 22, "115") && !is_for_another_node(old, 22, "127"));
        assert!(!is_for_another_node(b"napi_register_module_v1", 22, "115"));
        // Of a version that is not known here nothing can be said.
        assert!(!is_for_another_node(named, 99, "115"));
    }
}
