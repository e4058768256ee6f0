//! Which packages leave a function's zip for a layer, and which layers they share.
//!
//! ```text
//! functions, each with what may be moved ──► groups of the same users ──► groups, few enough for every function
//!                                  settle    (units)              reduce
//! ```
//!
//! What may be moved is an [`Item`]: a package, or several that only work side by side. An item goes to a layer when its
//! function's policy says so and all that it requires goes, too. Items with the same users make a group, in which packages
//! of [`BIG`] bytes stand alone, so that the bump of a small one does not rewrite them. A group below the threshold is not
//! worth a layer. A function that would have more layers than it has room for gets groups merged: those two first that
//! bring the fewest needless bytes; where that would bring a function more than it has itself, or past Lambda's limit, the
//! smallest of its groups goes back into its zip.
//!
//! No I/O, and nothing depends on the order of functions or packages: the answer is a value that `plan` explains.

mod bits;
pub mod layout;
mod reduce;
pub mod shape;

use std::collections::{BTreeMap, HashMap};

use bits::Bits;

/// A package of this size is a layer of its own where there is room.
pub const BIG: u64 = 10 << 20;
/// Unless the config says otherwise, a smaller group is not worth a layer.
pub const THRESHOLD: u64 = 256 << 10;

/// Which of a function's packages go to layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// None: the zip stands alone.
    #[default]
    None,
    /// Those that another function has, too.
    Shared,
    /// All.
    Deps,
}

impl Policy {
    /// The words of the config, in the order of the variants.
    pub const NAMES: [&'static str; 3] = ["none", "shared", "deps"];

    /// From the word in a config.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::None, Self::Shared, Self::Deps]
            .into_iter()
            .zip(Self::NAMES)
            .find(|(_, name)| *name == text)
            .map(|(p, _)| p)
    }
}

/// A function, as far as layers are concerned.
#[derive(Debug, Clone)]
pub struct Consumer {
    /// Its name, which decides between equals.
    pub name: String,
    /// Only functions of the same scope share layers: the name of their language.
    pub scope: &'static str,
    /// What it wants.
    pub policy: Policy,
    /// Layers that it may get beside those that its config names.
    pub room: usize,
    /// Unpacked bytes of everything in it and in the layers that its config names.
    pub bytes: u64,
    /// What its own files and what stays in it take: no needless package may claim the same (see [`Item::claims`]).
    pub claims: Vec<String>,
    /// What may be moved.
    pub items: Vec<Item>,
}

/// What is moved as a whole.
#[derive(Debug, Clone)]
pub struct Item {
    /// The same for the same contents.
    pub id: String,
    /// Unpacked bytes.
    pub bytes: u64,
    /// Names and import paths that only one package of a function may have.
    pub claims: Vec<String>,
    /// Items of the same function that have to be in a layer for this one to work in a layer.
    pub requires: Vec<usize>,
}

/// A layer to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Whose.
    pub scope: &'static str,
    /// Ids of its items, sorted.
    pub items: Vec<String>,
    /// Indices of the functions that get it.
    pub users: Vec<usize>,
}

/// What goes where.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Split {
    /// Layers, in the order of what is in them.
    pub groups: Vec<Group>,
    /// For each function and each of its items, the group that it is in; nothing when it stays in the zip.
    pub places: Vec<Vec<Option<usize>>>,
}

/// Decides.
pub fn split(consumers: &[Consumer], threshold: u64, limit: u64) -> Split {
    // The order of names, so that the order of the arguments does not matter.
    let mut order: Vec<usize> = (0..consumers.len()).collect();
    order.sort_by(|a, b| (consumers[*a].scope, &consumers[*a].name).cmp(&(consumers[*b].scope, &consumers[*b].name)));
    let sorted: Vec<&Consumer> = order.iter().map(|index| &consumers[*index]).collect();
    let problem = Problem::new(&sorted);
    let mut moved = problem.wanted();
    problem.settle(&mut moved);
    let mut reduction = reduce::Reduction::new(&problem, moved, limit);
    reduction.run(threshold);
    reduction.finish(&order)
}

/// The question with numbers in place of names.
struct Problem<'a> {
    consumers: &'a [&'a Consumer],
    /// By number: what is moved.
    items: Vec<Known<'a>>,
    /// For each function, the numbers of its items.
    numbers: Vec<Vec<usize>>,
    /// For each function, what it claims.
    claims: Vec<Bits>,
}

/// An item, whoever has it.
struct Known<'a> {
    id: &'a str,
    bytes: u64,
    claims: Bits,
}

impl<'a> Problem<'a> {
    fn new(consumers: &'a [&'a Consumer]) -> Self {
        // In the order of scopes and ids.
        let mut known: BTreeMap<(&str, &str), &Item> = BTreeMap::new();
        for consumer in consumers {
            known.extend(consumer.items.iter().map(|item| ((consumer.scope, item.id.as_str()), item)));
        }
        let numbers: HashMap<(&str, &str), usize> = known.keys().enumerate().map(|(n, key)| (*key, n)).collect();
        let mut words: HashMap<(&str, &'a str), usize> = HashMap::new();
        let mut claim = |scope: &'static str, texts: &'a [String]| -> Bits {
            let next = |words: &HashMap<_, _>| words.len();
            texts
                .iter()
                .map(|text| {
                    let number = next(&words);
                    *words.entry((scope, text.as_str())).or_insert(number)
                })
                .collect()
        };
        let mut claims: Vec<Bits> = consumers.iter().map(|c| claim(c.scope, &c.claims)).collect();
        let mut items: Vec<Option<Known<'a>>> = known.keys().map(|_| None).collect();
        let mut of_consumers = Vec::new();
        for (consumer, claims) in consumers.iter().zip(&mut claims) {
            let mut mine = Vec::new();
            for item in &consumer.items {
                let number = numbers[&(consumer.scope, item.id.as_str())];
                let taken = claim(consumer.scope, &item.claims);
                claims.add(&taken);
                items[number].get_or_insert(Known { id: &item.id, bytes: item.bytes, claims: taken });
                mine.push(number);
            }
            of_consumers.push(mine);
        }
        Self { consumers, items: items.into_iter().flatten().collect(), numbers: of_consumers, claims }
    }

    /// What each policy would move at most.
    fn wanted(&self) -> Vec<Vec<bool>> {
        let wants = |consumer: &&Consumer| consumer.policy != Policy::None && consumer.room > 0;
        self.consumers.iter().map(|consumer| vec![wants(consumer); consumer.items.len()]).collect()
    }

    /// Takes back what cannot be moved until what is left can be: what requires something that stays, and what a function
    /// that only wants to share does not share.
    fn settle(&self, moved: &mut [Vec<bool>]) {
        loop {
            let mut users = vec![0_usize; self.items.len()];
            for (numbers, moved) in self.numbers.iter().zip(moved.iter()) {
                numbers.iter().zip(moved).filter(|(_, moved)| **moved).for_each(|(number, _)| users[*number] += 1);
            }
            let mut changed = false;
            for ((consumer, numbers), moved) in self.consumers.iter().zip(&self.numbers).zip(moved.iter_mut()) {
                for (at, item) in consumer.items.iter().enumerate() {
                    let alone = consumer.policy == Policy::Shared && users[numbers[at]] < 2;
                    if moved[at] && (alone || item.requires.iter().any(|required| !moved[*required])) {
                        moved[at] = false;
                        changed = true;
                    }
                }
            }
            if !changed {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
