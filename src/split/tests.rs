use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const KB: u64 = 1 << 10;
const MB: u64 = 1 << 20;
const LIMIT: u64 = 262_144_000;

fn item(name: &str, bytes: u64) -> Item {
    let package = name.split('@').next().unwrap_or(name);
    Item { id: name.to_owned(), bytes, claims: vec![package.to_owned()], requires: Vec::new() }
}

fn consumer(name: &str, policy: Policy, items: &[(&str, u64)]) -> Consumer {
    Consumer {
        name: name.to_owned(),
        scope: "python",
        policy,
        room: 5,
        bytes: 10 * KB + items.iter().map(|(_, bytes)| bytes).sum::<u64>(),
        claims: Vec::new(),
        items: items.iter().map(|(name, bytes)| item(name, *bytes)).collect(),
    }
}

/// `a b -> f g`: what is in a layer, and who gets it.
fn shown(consumers: &[Consumer], split: &Split) -> Vec<String> {
    let name = |users: &[usize]| users.iter().map(|u| consumers[*u].name.clone()).collect::<Vec<_>>().join(" ");
    split.groups.iter().map(|group| format!("{} -> {}", group.items.join(" "), name(&group.users))).collect()
}

fn decided(consumers: &[Consumer]) -> Vec<String> {
    let split = split(consumers, THRESHOLD, LIMIT);
    check(consumers, &split).unwrap();
    shown(consumers, &split)
}

/// What has to hold of any answer.
fn check(consumers: &[Consumer], split: &Split) -> Result<(), String> {
    let sizes: BTreeMap<(&str, &str), &Item> =
        consumers.iter().flat_map(|c| c.items.iter().map(|i| ((c.scope, i.id.as_str()), i))).collect();
    for (index, consumer) in consumers.iter().enumerate() {
        let mine: Vec<usize> = (0..split.groups.len()).filter(|g| split.groups[*g].users.contains(&index)).collect();
        if mine.len() > consumer.room {
            return Err(format!("{} has {} layers, room for {}", consumer.name, mine.len(), consumer.room));
        }
        // Everything that it sees, in the zip and in layers.
        let mut seen: Vec<&str> = Vec::new();
        let mut bytes = consumer.bytes;
        for (item, place) in consumer.items.iter().zip(&split.places[index]) {
            match place {
                None => seen.push(&item.id),
                Some(group) if !mine.contains(group) => return Err(format!("{} lacks {}", consumer.name, item.id)),
                Some(group) => {
                    if !split.groups[*group].items.contains(&item.id) {
                        return Err(format!("{} is not in its layer", item.id));
                    }
                    if let Some(lost) = item.requires.iter().find(|r| split.places[index][**r].is_none()) {
                        return Err(format!("{} is in a layer, its {} is not", item.id, consumer.items[*lost].id));
                    }
                }
            }
        }
        for group in &mine {
            if split.groups[*group].scope != consumer.scope {
                return Err(format!("{} has a layer of another language", consumer.name));
            }
            seen.extend(split.groups[*group].items.iter().map(String::as_str));
        }
        let unique: BTreeSet<&str> = seen.iter().copied().collect();
        if unique.len() != seen.len() {
            return Err(format!("{} sees something twice: {seen:?}", consumer.name));
        }
        let mut claims: Vec<&str> = consumer.claims.iter().map(String::as_str).collect();
        for id in &seen {
            claims.extend(sizes[&(consumer.scope, *id)].claims.iter().map(String::as_str));
            if !consumer.items.iter().any(|item| item.id == *id) {
                bytes += sizes[&(consumer.scope, *id)].bytes;
            }
        }
        let distinct: BTreeSet<&str> = claims.iter().copied().collect();
        if distinct.len() != claims.len() {
            return Err(format!("{} sees two that claim the same: {seen:?}", consumer.name));
        }
        if bytes >= LIMIT && consumer.bytes < LIMIT {
            return Err(format!("{} has {bytes} bytes", consumer.name));
        }
        if let Some((item, _)) = consumer.items.iter().zip(&split.places[index]).find(|(i, place)| {
            let users = consumers.iter().filter(|c| c.scope == consumer.scope && c.items.iter().any(|o| o.id == i.id));
            place.is_some() && consumer.policy == Policy::Shared && users.count() < 2
        }) {
            return Err(format!("{} shares {} with nobody", consumer.name, item.id));
        }
        if consumer.policy == Policy::None && !mine.is_empty() {
            return Err(format!("{} wants no layers", consumer.name));
        }
    }
    Ok(())
}

#[test]
fn what_two_functions_have_is_shared_and_what_one_has_stays() {
    let consumers = [
        consumer("a", Policy::Shared, &[("requests", 300 * KB), ("only-a", MB)]),
        consumer("b", Policy::Shared, &[("requests", 300 * KB)]),
        consumer("c", Policy::None, &[("requests", 300 * KB)]),
    ];
    assert_eq!(decided(&consumers), ["requests -> a b"]);
    assert_eq!(decided(&consumers[1..]), Vec::<String>::new());
}

#[test]
fn deps_moves_all_also_what_is_small() {
    let consumers =
        [consumer("a", Policy::Deps, &[("six", 10 * KB)]), consumer("b", Policy::Shared, &[("six", 10 * KB)])];
    assert_eq!(decided(&consumers[..1]), ["six -> a"]);
    assert_eq!(decided(&consumers), ["six -> a b"]);
}

#[test]
fn small_groups_are_not_worth_a_layer() {
    let small = [("six", 10 * KB), ("idna", 200 * KB)];
    let pair = [consumer("a", Policy::Shared, &small), consumer("b", Policy::Shared, &small)];
    assert_eq!(decided(&pair), Vec::<String>::new());
    // With something larger that fewer have, it goes along with that.
    let large = [("six", 10 * KB), ("numpy", 30 * MB), ("attrs", 300 * KB)];
    let consumers = [
        consumer("a", Policy::Shared, &large),
        consumer("b", Policy::Shared, &large),
        consumer("c", Policy::Shared, &small[..1]),
    ];
    assert_eq!(decided(&consumers), ["attrs six -> a b", "numpy -> a b"]);
}

#[test]
fn large_packages_stand_alone() {
    let items = [("numpy", 30 * MB), ("pandas", 50 * MB), ("six", 10 * KB), ("requests", 300 * KB)];
    let consumers = [consumer("a", Policy::Shared, &items), consumer("b", Policy::Shared, &items)];
    assert_eq!(decided(&consumers), ["numpy -> a b", "pandas -> a b", "requests six -> a b"]);
    // With less room, large ones go together first.
    let tight: Vec<Consumer> = consumers.into_iter().map(|c| Consumer { room: 2, ..c }).collect();
    assert_eq!(decided(&tight), ["numpy pandas -> a b", "requests six -> a b"]);
}

#[test]
fn groups_are_merged_where_it_costs_least() {
    let shared = [("x1", MB), ("x2", 2 * MB), ("x3", 3 * MB)];
    let consumers = [
        Consumer { room: 2, ..consumer("all", Policy::Shared, &shared) },
        consumer("one", Policy::Shared, &shared[..1]),
        consumer("two", Policy::Shared, &shared[1..2]),
        consumer("three", Policy::Shared, &shared[2..]),
    ];
    // `x1` would double what `two` has, and `x2` more than double what `one` has: nobody gets more than it has itself.
    assert_eq!(decided(&consumers), ["x2 -> all two", "x3 -> all three"]);
    let roomy: Vec<Consumer> = consumers.into_iter().map(|c| Consumer { bytes: c.bytes + 10 * MB, ..c }).collect();
    assert_eq!(decided(&roomy), ["x1 x2 -> all one two", "x3 -> all three"]);
}

#[test]
fn nobody_gets_another_version_of_what_it_has() {
    let consumers = [
        Consumer { room: 1, ..consumer("a", Policy::Shared, &[("x@1", MB), ("y@1", MB)]) },
        consumer("b", Policy::Shared, &[("x@1", MB), ("y@2", MB)]),
        consumer("c", Policy::Shared, &[("y@1", MB), ("x@2", MB)]),
    ];
    // Merged, `b` would see both `y`. One of them goes back into the zip of `a`.
    assert_eq!(decided(&consumers).len(), 1);
}

#[test]
fn what_requires_something_that_stays_stays() {
    let mut a = consumer("a", Policy::Shared, &[("express", MB), ("debug@1", MB)]);
    let mut b = consumer("b", Policy::Shared, &[("express", MB), ("debug@2", MB)]);
    a.items[0].requires = vec![1];
    b.items[0].requires = vec![1];
    assert_eq!(decided(&[a.clone(), b.clone()]), Vec::<String>::new());
    a.policy = Policy::Deps;
    b.policy = Policy::Deps;
    assert_eq!(decided(&[a, b]), ["debug@1 -> a", "debug@2 -> b", "express -> a b"]);
}

#[test]
fn languages_do_not_mix() {
    let a = consumer("a", Policy::Shared, &[("x", MB)]);
    let b = Consumer { scope: "nodejs", ..consumer("b", Policy::Shared, &[("x", MB)]) };
    assert_eq!(decided(&[a, b]), Vec::<String>::new());
}

/// A function as it is drawn: policy, room, whether it is Node, packages with versions, requirements, its own size.
type Drawn = (usize, usize, bool, BTreeMap<usize, usize>, Vec<(usize, usize)>, u64);

/// Functions with random packages, versions, sizes, requirements, policies and rooms.
fn consumers() -> impl Strategy<Value = Vec<Consumer>> {
    let function = (
        0..3_usize,
        0..6_usize,
        any::<bool>(),
        prop::collection::btree_map(0..12_usize, 0..2_usize, 0..9),
        prop::collection::vec((0..9_usize, 0..9_usize), 0..4),
        0..200_u64,
    );
    (prop::collection::vec(function, 1..9), prop::collection::vec(0..40_u64, 12)).prop_map(|(functions, sizes)| {
        let make = |(index, (policy, room, node, packages, requires, own)): (usize, Drawn)| {
            let mut items: Vec<Item> = packages
                .iter()
                .map(|(p, v)| item(&format!("p{p}@{v}"), (sizes[*p] * sizes[*p] * 20 + *v as u64 + 1) * KB))
                .collect();
            let count = items.len();
            for (a, b) in requires.into_iter().filter(|_| count > 0) {
                items[a % count].requires.push(b % count);
            }
            Consumer {
                name: format!("f{index}"),
                scope: if node { "nodejs" } else { "python" },
                policy: [Policy::None, Policy::Shared, Policy::Deps][policy],
                room,
                bytes: own * MB + items.iter().map(|i| i.bytes).sum::<u64>(),
                claims: Vec::new(),
                items,
            }
        };
        functions.into_iter().enumerate().map(make).collect()
    })
}

proptest! {
    #[test]
    fn limits_hold_and_each_function_sees_each_package_once(consumers in consumers()) {
        let split = split(&consumers, THRESHOLD, LIMIT);
        prop_assert_eq!(check(&consumers, &split), Ok(()));
    }

    #[test]
    fn the_order_does_not_matter(consumers in consumers(), turn in 0..9_usize) {
        let mut other = consumers.clone();
        other.rotate_left(turn % consumers.len());
        other.iter_mut().for_each(|consumer| {
            let count = consumer.items.len();
            consumer.items.reverse();
            consumer.items.iter_mut().for_each(|i| i.requires.iter_mut().for_each(|r| *r = count - 1 - *r));
        });
        let named = |consumers: &[Consumer]| {
            let split = split(consumers, THRESHOLD, LIMIT);
            let mut groups: Vec<(String, Vec<String>, BTreeSet<String>)> = split.groups.iter().map(|g| {
                (g.scope.to_owned(), g.items.clone(), g.users.iter().map(|u| consumers[*u].name.clone()).collect())
            }).collect();
            groups.sort();
            groups
        };
        prop_assert_eq!(named(&consumers), named(&other));
    }
}

#[test]
fn many_functions_with_many_packages_end() {
    // A generator of its own, so that the numbers are the same everywhere.
    let mut seed = 1_u64;
    let mut random = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let sizes: Vec<u64> = (0..60).map(|_| (random(2000) + 1) * KB).collect();
    let make = |n: usize, random: &mut dyn FnMut(u64) -> u64| {
        let packages: BTreeSet<usize> = (0..15).map(|_| usize::try_from(random(60)).unwrap()).collect();
        let names: Vec<(String, u64)> = packages.iter().map(|p| (format!("p{p}"), sizes[*p])).collect();
        let items: Vec<(&str, u64)> = names.iter().map(|(n, b)| (n.as_str(), *b)).collect();
        consumer(&format!("f{n:03}"), Policy::Shared, &items)
    };
    let consumers: Vec<Consumer> = (0..100).map(|n| make(n, &mut random)).collect();
    let split = split(&consumers, THRESHOLD, LIMIT);
    check(&consumers, &split).unwrap();
    assert!(!split.groups.is_empty());
}
