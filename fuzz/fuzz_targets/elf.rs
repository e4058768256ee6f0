//! Any bytes as a native file: bounded facts, a reason, or nothing; never a panic. Seed it with small libraries.
#![no_main]

use lambda_pack::elf::Image;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for bytes in [bytes.to_vec(), [b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".as_slice(), bytes].concat()] {
        if let Some(image) = Image::of(&bytes) {
            let text = serde_json::to_string(&image).expect("facts can be written");
            assert!(text.len() < 64 << 20, "{} bytes of facts", text.len());
            assert_eq!(serde_json::from_str::<Image>(&text).expect("and read"), image);
        }
    }
});
