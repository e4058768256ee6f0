//! Any bytes as a class file: bounded facts or nothing; never a panic. Seed it with small classes.
#![no_main]

use lambda_pack::jvm::class::{Class, major};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for bytes in [bytes.to_vec(), [b"\xCA\xFE\xBA\xBE\0\0\0\x3D".as_slice(), bytes].concat()] {
        if let Some(class) = Class::of(&bytes) {
            assert_eq!(Some(class.major), major(&bytes));
            // A member takes eight bytes; names of the pool are told anew for each that has one.
            assert!(class.methods.len() <= bytes.len() / 8 && class.interfaces.len() <= bytes.len() / 2);
        }
    }
});
