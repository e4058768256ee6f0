//! How long it takes to decide which of 300 packages of 500 functions share layers. `cargo bench --bench split` prints it.
#![allow(clippy::print_stdout, missing_docs)]

use std::collections::BTreeSet;
use std::time::Instant;

use lambda_pack::split::{Consumer, Item, Policy, THRESHOLD, split};

/// Unpacked bytes of a function and its layers.
const LIMIT: u64 = 262_144_000;

fn main() {
    // Numbers that are the same everywhere.
    let mut seed = 1_u64;
    let mut random = move |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap_or(0) % below
    };
    let sizes: Vec<u64> = (0..300).map(|_| (random(2_000) as u64 + 1) << 10).collect();
    let consumers: Vec<Consumer> = (0..500)
        .map(|n| {
            let packages: BTreeSet<usize> = (0..40).map(|_| random(sizes.len())).collect();
            let item = |package: &usize| Item {
                id: format!("package{package:03}"),
                bytes: sizes[*package],
                claims: vec![format!("package{package:03}")],
                requires: Vec::new(),
            };
            let items: Vec<Item> = packages.iter().map(item).collect();
            Consumer {
                name: format!("function{n:03}"),
                scope: "python",
                policy: Policy::Shared,
                room: 5,
                bytes: items.iter().map(|item| item.bytes).sum(),
                claims: Vec::new(),
                items,
            }
        })
        .collect();
    let start = Instant::now();
    let decided = split(&consumers, THRESHOLD, LIMIT);
    let moved = decided.places.iter().flatten().filter(|place| place.is_some()).count();
    println!(
        "500 functions x 300 packages: {:?}, {} layers, {moved} packages moved",
        start.elapsed(),
        decided.groups.len()
    );
}
