//! A template of any bytes: read or refused with its place, and written again, never a panic.
#![no_main]

use std::collections::BTreeMap;
use std::path::Path;

use lambda_pack::template::Template;
use lambda_pack::template::edit::{Edits, Place};
use lambda_pack::template::yaml::Document;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(document) = Document::parse(Path::new("/none/template.yaml"), text.to_owned()) else { return };
    let Ok(template) = Template::of(document, &BTreeMap::new(), &BTreeMap::new()) else { return };
    let mut edits = Edits::default();
    for function in &template.functions {
        edits.place(&function.site, &Place::File("function.zip".to_owned()));
    }
    let _ = edits.apply(&template.document);
});
