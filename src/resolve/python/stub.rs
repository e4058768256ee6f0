//! A wheel with nothing but metadata, which stands for a package that cannot be built, so that pip resolves the rest and
//! everything that is wrong is told at once. It is never packed.

use std::io::Write as _;
use std::path::Path;

use super::names::normalize;
use super::pip::Metadata;
use crate::error::{Error, Result};
use crate::fsio::AtomicFile;
use crate::pack::zip::{Header, Method, ZipWriter};

/// Writes it into `folder`.
pub(super) fn write(folder: &Path, metadata: &Metadata) -> Result<()> {
    let stem = format!("{}-{}", normalize(&metadata.name).replace('-', "_"), metadata.version);
    let path = folder.join(format!("{stem}-py3-none-any.whl"));
    let requires: String = metadata.requires_dist.iter().map(|r| format!("Requires-Dist: {r}\n")).collect();
    let about = format!("Metadata-Version: 2.1\nName: {}\nVersion: {}\n{requires}", metadata.name, metadata.version);
    let wheel = "Wheel-Version: 1.0\nGenerator: stub\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
    let members = [("METADATA", about.as_str()), ("RECORD", ""), ("WHEEL", wheel)];
    let mut out = AtomicFile::create(&path)?;
    let mut zip = ZipWriter::new(&mut out);
    for (name, text) in members {
        let header = Header {
            name: &format!("{stem}.dist-info/{name}"),
            mode: 0o100_644,
            method: Method::Stored,
            crc32: crc32fast::hash(text.as_bytes()),
            compressed_size: text.len() as u64,
            size: text.len() as u64,
        };
        zip.add(header, &mut text.as_bytes()).map_err(|e| Error::io("write", &path, &e))?;
    }
    zip.finish().map_err(|e| Error::io("write", &path, &e))?;
    out.flush().map_err(|e| Error::io("write", &path, &e))?;
    out.commit()
}
