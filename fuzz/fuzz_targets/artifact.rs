//! Any bytes as an artifact that somebody has made: a verdict or an error, never a panic, and nothing written beside it.
#![no_main]

use lambda_pack::artifact::{Question, judge};
use lambda_pack::lambda::Date;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("artifact.zip");
    std::fs::write(&file, bytes).expect("a file");
    let question = Question {
        runtime: None,
        architecture: None,
        handler: Some("app.handler"),
        layer: false,
        today: Date::new(2026, 11, 23),
    };
    let _ = judge(&file, &question);
    let _ = judge(&file, &Question { handler: None, layer: true, ..question });
    assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 1);
});
