//! Shared libraries that a function finds on Lambda without bringing them, by SONAME, and how new they are.
//!
//! Sources: the package list of the Amazon Linux 2023 minimal container image, on which the runtimes are based (2023.6,
//! "Comparing packages installed on Amazon Linux 2023 container images" in the Amazon Linux 2023 User Guide); the package
//! list of the `amazonlinux:2` image; the files of glibc 2.17, 2.26 and 2.34; for `/var/lang/lib` how the language images
//! are built (`aws/aws-lambda-base-images`). Not on Amazon Linux 2023, though many expect them: `libcrypt.so.1` and
//! `.so.2`, `libexpat.so.1`, `libgomp.so.1`, `libgdbm`, `libpq.so.5`, `libmysqlclient`, `libGL.so.1`, X11, `libgfortran`.

use super::{Architecture, Family, OperatingSystem, Runtime};

/// glibc's own and the compiler's.
const BASE: &[&str] = &[
    "ld-linux-aarch64.so.1",
    "ld-linux-x86-64.so.2",
    "libBrokenLocale.so.1",
    "libanl.so.1",
    "libc.so.6",
    "libdl.so.2",
    "libgcc_s.so.1",
    "libm.so.6",
    "libnss_dns.so.2",
    "libnss_files.so.2",
    "libpthread.so.0",
    "libresolv.so.2",
    "librt.so.1",
    "libstdc++.so.6",
    "libthread_db.so.1",
    "libutil.so.1",
];

const AL2023: &[&str] = &[
    "libacl.so.1",
    "libarchive.so.13",
    "libattr.so.1",
    "libblkid.so.1",
    "libbz2.so.1",
    "libcap-ng.so.0",
    "libcap.so.2",
    "libcom_err.so.2",
    "libcrypto.so.3",
    "libcurl.so.4",
    "libffi.so.8",
    "libgcrypt.so.20",
    "libgio-2.0.so.0",
    "libglib-2.0.so.0",
    "libgmodule-2.0.so.0",
    "libgmp.so.10",
    "libgobject-2.0.so.0",
    "libgpg-error.so.0",
    "libgssapi_krb5.so.2",
    "libgthread-2.0.so.0",
    "libhistory.so.8",
    "libidn2.so.0",
    "libjson-c.so.5",
    "libk5crypto.so.3",
    "libkeyutils.so.1",
    "libkrb5.so.3",
    "libkrb5support.so.0",
    "liblua-5.4.so",
    "liblz4.so.1",
    "liblzma.so.5",
    "libmount.so.1",
    "libmpfr.so.6",
    "libncurses.so.6",
    "libncursesw.so.6",
    "libnghttp2.so.14",
    "libp11-kit.so.0",
    "libpcre2-8.so.0",
    "libpsl.so.5",
    "libreadline.so.8",
    "libselinux.so.1",
    "libsepol.so.2",
    "libsmartcols.so.1",
    "libsqlite3.so.0",
    "libssl.so.3",
    "libtasn1.so.6",
    "libtinfo.so.6",
    "libunistring.so.2",
    "libuuid.so.1",
    "libverto.so.1",
    "libxml2.so.2",
    "libyaml-0.so.2",
    "libz.so.1",
    "libzstd.so.1",
];

const AL2: &[&str] = &[
    "libacl.so.1",
    "libattr.so.1",
    "libblkid.so.1",
    "libbz2.so.1",
    "libcap.so.2",
    "libcom_err.so.2",
    "libcrypt.so.1",
    "libcrypto.so.10",
    "libcurl.so.4",
    "libdb-5.3.so",
    "libelf.so.1",
    "libexpat.so.1",
    "libffi.so.6",
    "libgcrypt.so.11",
    "libgdbm.so.4",
    "libglib-2.0.so.0",
    "libgmodule-2.0.so.0",
    "libgmp.so.10",
    "libgobject-2.0.so.0",
    "libgpg-error.so.0",
    "libgssapi_krb5.so.2",
    "libgthread-2.0.so.0",
    "libhistory.so.6",
    "libk5crypto.so.3",
    "libkeyutils.so.1",
    "libkrb5.so.3",
    "libkrb5support.so.0",
    "liblber-2.4.so.2",
    "libldap-2.4.so.2",
    "liblua-5.1.so",
    "liblzma.so.5",
    "libmagic.so.1",
    "libmount.so.1",
    "libncurses.so.6",
    "libncursesw.so.6",
    "libnghttp2.so.14",
    "libnsl.so.1",
    "libnspr4.so",
    "libnss3.so",
    "libnssutil3.so",
    "libpanel.so.6",
    "libpcre.so.1",
    "libplc4.so",
    "libplds4.so",
    "libpopt.so.0",
    "libpython2.7.so.1.0",
    "libreadline.so.6",
    "libsasl2.so.3",
    "libselinux.so.1",
    "libsepol.so.1",
    "libsmime3.so",
    "libsqlite3.so.0",
    "libssh2.so.1",
    "libssl.so.10",
    "libssl3.so",
    "libtinfo.so.6",
    "libuuid.so.1",
    "libverto.so.1",
    "libxml2.so.2",
    "libz.so.1",
];

/// What Java has in its own folders: JNI libraries need them, and the JVM has loaded them by then.
const JAVA: &[&str] = &["libjava.so", "libjawt.so", "libjli.so", "libjvm.so", "libnet.so", "libnio.so", "libverify.so"];

/// Whether the system or the runtime's language has a library of this name.
pub fn has_library(runtime: &Runtime, architecture: Architecture, soname: &str) -> bool {
    let of_system = match runtime.os {
        // What is known of its image is known of the next one, too.
        OperatingSystem::AmazonLinux1 | OperatingSystem::AmazonLinux2 => AL2,
        OperatingSystem::AmazonLinux2023 => AL2023,
    };
    BASE.contains(&soname)
        || of_system.contains(&soname)
        // glibc has vector mathematics for Arm from 2.38 on only.
        || (soname == "libmvec.so.1" && architecture == Architecture::X86_64 && runtime.os.glibc() >= (2, 22))
        || of_language(runtime.family, soname)
}

/// `/var/lang/lib`, where the interpreter is linked with the library of its language.
fn of_language(family: Family, soname: &str) -> bool {
    match family {
        Family::Python { major: 3, minor } => {
            soname == "libpython3.so"
                || soname == format!("libpython3.{minor}.so.1.0")
                || (minor < 8 && soname == format!("libpython3.{minor}m.so.1.0"))
        }
        Family::Python { major, minor } => soname == format!("libpython{major}.{minor}.so.1.0"),
        Family::Ruby { major, minor } => soname == format!("libruby.so.{major}.{minor}"),
        Family::Java { .. } => JAVA.contains(&soname),
        Family::Node { .. } | Family::Dotnet | Family::Go | Family::Provided => false,
    }
}

/// The folders that the loader looks into for the package's libraries (`LD_LIBRARY_PATH` as observed on the service:
/// `/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib`).
pub const LIBRARY_FOLDERS: &[&str] = &["/var/task", "/var/task/lib", "/opt/lib"];

/// The newest `GLIBCXX` and `CXXABI` of `libstdc++.so.6` that are sure to be there: gcc 7.3 on Amazon Linux 2, gcc 11 on
/// Amazon Linux 2023. The distribution has moved to gcc 14 since (2023.7); functions were still refused `GLIBCXX_3.4.30`
/// after that (amazonlinux/container-images issue 132). Of Amazon Linux 1 nothing is known for sure.
pub const fn libstdcxx(os: OperatingSystem) -> Option<[(u16, u16, u16); 2]> {
    match os {
        OperatingSystem::AmazonLinux1 => None,
        OperatingSystem::AmazonLinux2 => Some([(3, 4, 24), (1, 3, 11)]),
        OperatingSystem::AmazonLinux2023 => Some([(3, 4, 29), (1, 3, 13)]),
    }
}

/// The highest x86-64 level that every processor of Lambda is sure to have. Amazon Linux 2023 itself needs 2; AVX2 is
/// offered since 2020, the whole of level 3 is not promised, and functions have died of it.
pub const ISA_LEVEL: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lambda::find;

    #[test]
    fn libraries_differ_by_system_and_language() {
        use Architecture::{Arm64, X86_64};
        for (runtime, architecture, soname, there) in [
            ("python3.13", X86_64, "libcrypt.so.1", false),
            ("python3.11", X86_64, "libcrypt.so.1", true),
            ("provided.al2023", X86_64, "libssl.so.3", true),
            ("provided.al2", X86_64, "libssl.so.3", false),
            ("python3.13", Arm64, "libpython3.13.so.1.0", true),
            ("python3.13", Arm64, "libpython3.12.so.1.0", false),
            ("nodejs22.x", Arm64, "libpython3.12.so.1.0", false),
            ("nodejs22.x", X86_64, "libmvec.so.1", true),
            ("nodejs22.x", Arm64, "libmvec.so.1", false),
            ("ruby3.4", Arm64, "libruby.so.3.4", true),
            ("java21", Arm64, "libjvm.so", true),
            // Debian's name for it.
            ("python3.13", X86_64, "libbz2.so.1.0", false),
        ] {
            assert_eq!(has_library(find(runtime).unwrap(), architecture, soname), there, "{runtime} {soname}");
        }
    }

    #[test]
    fn the_lists_are_sorted_and_name_each_library_once() {
        for list in [BASE, AL2023, AL2, JAVA] {
            assert!(list.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }
}
