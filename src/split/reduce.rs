//! From what may be moved to groups, and from groups to so few that every function has room for its own.

use std::collections::BTreeMap;

use super::bits::Bits;
use super::{BIG, Group, Policy, Problem, Split};

/// Items that are in one layer for all of their users.
struct Unit {
    users: Bits,
    items: Bits,
    claims: Bits,
    bytes: u64,
    /// Whether small packages are in it, which change often.
    has_tail: bool,
}

/// See the module.
pub(super) struct Reduction<'a> {
    problem: &'a Problem<'a>,
    /// For each function and item, whether it is in a layer.
    moved: Vec<Vec<bool>>,
    /// Units; those without users are gone.
    units: Vec<Unit>,
    /// For each function, its units.
    attached: Vec<Bits>,
    /// For each function, everything in it and in its layers, bytes and claims.
    bytes: Vec<u64>,
    claims: Vec<Bits>,
    limit: u64,
}

impl<'a> Reduction<'a> {
    pub(super) fn new(problem: &'a Problem<'a>, moved: Vec<Vec<bool>>, limit: u64) -> Self {
        let mut users: Vec<Bits> = problem.items.iter().map(|_| Bits::default()).collect();
        for (consumer, (numbers, moved)) in problem.numbers.iter().zip(&moved).enumerate() {
            let is_moved = numbers.iter().zip(moved).filter(|(_, moved)| **moved);
            is_moved.for_each(|(number, _)| users[*number].insert(consumer));
        }
        // By users, and by the number of a large item, which stands alone.
        let mut groups: BTreeMap<(Bits, Option<usize>), Bits> = BTreeMap::new();
        for (number, users) in users.into_iter().enumerate().filter(|(_, users)| !users.is_empty()) {
            let alone = (problem.items[number].bytes >= BIG).then_some(number);
            groups.entry((users, alone)).or_default().insert(number);
        }
        let mut units: Vec<Unit> = Vec::new();
        for ((users, alone), items) in groups {
            let mut unit = Unit { users, items, claims: Bits::default(), bytes: 0, has_tail: alone.is_none() };
            unit.measure(problem);
            units.push(unit);
        }
        // In the order of what is in them: users only tell functions apart.
        units.sort_by(|a, b| a.items.iter().cmp(b.items.iter()));
        let attached = (0..problem.consumers.len())
            .map(|consumer| {
                units.iter().enumerate().filter(|(_, u)| u.users.contains(consumer)).map(|(n, _)| n).collect()
            })
            .collect();
        Self {
            problem,
            moved,
            units,
            attached,
            bytes: problem.consumers.iter().map(|consumer| consumer.bytes).collect(),
            claims: problem.claims.clone(),
            limit,
        }
    }

    pub(super) fn run(&mut self, threshold: u64) {
        self.drop_small(threshold);
        self.merge_while_crowded();
        self.give_back_while_crowded();
        self.drop_small(threshold);
    }

    /// Groups that are not worth a layer join one whose users all have it, or go back.
    fn drop_small(&mut self, threshold: u64) {
        let mut kept = Bits::default();
        loop {
            let small = (0..self.units.len()).filter(|n| {
                let unit = &self.units[*n];
                !unit.users.is_empty() && unit.bytes < threshold && !kept.contains(*n)
            });
            let Some(small) = small.min_by_key(|n| (self.units[*n].bytes, *n)) else { return };
            if self.wants_deps(&self.units[small].users) {
                kept.insert(small);
                continue;
            }
            let host = self.host(small);
            let leavers: Vec<usize> = match host {
                Some(host) => self.units[small].users.iter().filter(|u| !self.units[host].users.contains(*u)).collect(),
                None => self.units[small].users.iter().collect(),
            };
            leavers.into_iter().for_each(|consumer| self.give_back(consumer, small));
            if let Some(host) = host
                && self.units[small].users == self.units[host].users
            {
                self.merge(host, small);
            }
        }
    }

    fn wants_deps(&self, users: &Bits) -> bool {
        users.iter().any(|consumer| self.problem.consumers[consumer].policy == Policy::Deps)
    }

    /// The group with the most users, all of which have `small`, too.
    fn host(&self, small: usize) -> Option<usize> {
        let users = &self.units[small].users;
        let fits = |n: &usize| {
            let unit = &self.units[*n];
            *n != small
                && !unit.users.is_empty()
                && unit.bytes >= self.units[small].bytes
                && unit.users.is_within(users)
        };
        (0..self.units.len()).filter(fits).max_by_key(|n| {
            let unit = &self.units[*n];
            (unit.users.len(), unit.has_tail, unit.bytes, usize::MAX - n)
        })
    }

    fn crowded(&self) -> Bits {
        let is_crowded = |n: &usize| self.attached[*n].len() > self.problem.consumers[*n].room;
        (0..self.attached.len()).filter(is_crowded).collect()
    }

    /// Merges the two groups that cost least for what they relieve, until nobody is crowded or nothing can be merged.
    fn merge_while_crowded(&mut self) {
        let count = self.units.len();
        let mut costs: Vec<Option<(u128, u128)>> = vec![None; count * count];
        let mut refused = Bits::default();
        loop {
            let crowded = self.crowded();
            let candidates: Vec<usize> = (0..count).filter(|n| self.units[*n].users.meets(&crowded)).collect();
            let mut best: Option<(Score, usize, usize)> = None;
            for (at, a) in candidates.iter().copied().enumerate() {
                for b in candidates[at + 1..].iter().copied() {
                    let relief = self.units[a].users.common(&self.units[b].users, &crowded);
                    if relief == 0 || refused.contains(a * count + b) {
                        continue;
                    }
                    let (needless, churn) = *costs[a * count + b].get_or_insert_with(|| self.cost(a, b));
                    let score = Score { needless, churn, relief: relief as u128 };
                    if best.as_ref().is_none_or(|(best, ..)| score.is_better(best)) {
                        best = Some((score, a, b));
                    }
                }
            }
            let Some((_, a, b)) = best else { return };
            if !self.may_merge(a, b) {
                refused.insert(a * count + b);
                continue;
            }
            self.merge(a, b);
            for n in 0..count {
                costs[a.min(n) * count + a.max(n)] = None;
            }
        }
    }

    /// Bytes that reach functions without need, and bytes that are published again when something in the other changes.
    fn cost(&self, a: usize, b: usize) -> (u128, u128) {
        let (a, b) = (&self.units[a], &self.units[b]);
        let without = |users: &Bits, others: &Bits| users.count_without(others) as u128;
        let needless =
            u128::from(a.bytes) * without(&b.users, &a.users) + u128::from(b.bytes) * without(&a.users, &b.users);
        let churn = match (a.has_tail, b.has_tail) {
            (true, true) => 0,
            (false, false) => a.bytes.min(b.bytes),
            (true, false) => b.bytes.max(BIG) * 2,
            (false, true) => a.bytes.max(BIG) * 2,
        };
        (needless, u128::from(churn))
    }

    /// Whether everybody could live with it: no function passes the limit, gets more needless bytes than it has itself, or
    /// sees two packages that claim the same.
    fn may_merge(&self, a: usize, b: usize) -> bool {
        let newcomers = |from: usize, to: usize| {
            let users = self.units[from].users.iter();
            users.filter(move |consumer| !self.units[to].users.contains(*consumer)).map(move |consumer| (consumer, to))
        };
        newcomers(a, b).chain(newcomers(b, a)).all(|(consumer, brought)| {
            let brought = &self.units[brought];
            let own = self.problem.consumers[consumer].bytes;
            let after = self.bytes[consumer].saturating_add(brought.bytes);
            after < self.limit && after - own <= own && !self.claims[consumer].meets(&brought.claims)
        })
    }

    /// Puts `b` into `a`.
    fn merge(&mut self, a: usize, b: usize) {
        let other = std::mem::replace(
            &mut self.units[b],
            Unit { users: Bits::default(), items: Bits::default(), claims: Bits::default(), bytes: 0, has_tail: false },
        );
        let unit = &mut self.units[a];
        unit.users.add(&other.users);
        unit.items.add(&other.items);
        unit.has_tail |= other.has_tail;
        unit.measure(self.problem);
        for consumer in unit.users.iter() {
            self.attached[consumer].remove(b);
            self.attached[consumer].insert(a);
            self.claims[consumer].add(&unit.claims);
        }
        let users: Vec<usize> = self.units[a].users.iter().collect();
        users.into_iter().for_each(|consumer| self.weigh(consumer));
    }

    /// Back into the zip goes what a function has least of, as long as it has more layers than it may have.
    fn give_back_while_crowded(&mut self) {
        loop {
            let crowded = self.crowded();
            let choices =
                crowded.iter().flat_map(|consumer| self.attached[consumer].iter().map(move |unit| (consumer, unit)));
            let cheapest = choices.min_by_key(|(consumer, unit)| (self.own_bytes(*consumer, *unit), *unit, *consumer));
            let Some((consumer, unit)) = cheapest else { return };
            self.give_back(consumer, unit);
        }
    }

    /// Bytes in a group that the function itself needs.
    fn own_bytes(&self, consumer: usize, unit: usize) -> u64 {
        let items = &self.units[unit].items;
        let mine = self.problem.numbers[consumer].iter().filter(|number| items.contains(**number));
        mine.map(|number| self.problem.items[*number].bytes).sum()
    }

    /// Takes a group away from a function, with all that does not work without it; its packages stay in the zip. Who is
    /// left alone with a group, and only wants to share, gives it back, too.
    fn give_back(&mut self, consumer: usize, unit: usize) {
        let mut work = vec![(consumer, unit)];
        while let Some((consumer, unit)) = work.pop() {
            if !self.units[unit].users.contains(consumer) {
                continue;
            }
            self.units[unit].users.remove(consumer);
            self.attached[consumer].remove(unit);
            self.take_back(consumer, unit);
            work.extend(self.broken(consumer).into_iter().map(|unit| (consumer, unit)));
            self.forget_unused(unit);
            let left: Vec<usize> = self.units[unit].users.iter().take(2).collect();
            if let [last] = left[..]
                && self.problem.consumers[last].policy == Policy::Shared
            {
                work.push((last, unit));
            }
            self.weigh(consumer);
        }
    }

    fn take_back(&mut self, consumer: usize, unit: usize) {
        for (at, number) in self.problem.numbers[consumer].iter().enumerate() {
            if self.units[unit].items.contains(*number) {
                self.moved[consumer][at] = false;
            }
        }
    }

    /// Groups of a function in which something requires what is no longer in a layer.
    fn broken(&self, consumer: usize) -> Vec<usize> {
        let items = self.problem.consumers[consumer].items.iter().enumerate();
        let moved = &self.moved[consumer];
        let lost = items.filter(|(at, item)| moved[*at] && item.requires.iter().any(|required| !moved[*required]));
        let numbers: Bits = lost.map(|(at, _)| self.problem.numbers[consumer][at]).collect();
        self.attached[consumer].iter().filter(|unit| self.units[*unit].items.meets(&numbers)).collect()
    }

    /// What no user of a group needs any more is no part of it.
    fn forget_unused(&mut self, unit: usize) {
        let mut used = Bits::default();
        for consumer in self.units[unit].users.iter() {
            let numbers = self.problem.numbers[consumer].iter().zip(&self.moved[consumer]);
            numbers.filter(|(_, moved)| **moved).for_each(|(number, _)| used.insert(*number));
        }
        let items = &self.units[unit].items;
        let left: Bits = items.iter().filter(|number| used.contains(*number)).collect();
        if left != *items {
            self.units[unit].items = left;
            self.units[unit].measure(self.problem);
            let users: Vec<usize> = self.units[unit].users.iter().collect();
            users.into_iter().for_each(|consumer| self.weigh(consumer));
        }
    }

    /// What is in a function and its layers: its own, and what others need.
    fn weigh(&mut self, consumer: usize) {
        let needless = |unit: usize| self.units[unit].bytes - self.own_bytes(consumer, unit);
        let more: u64 = self.attached[consumer].iter().map(needless).sum();
        self.bytes[consumer] = self.problem.consumers[consumer].bytes.saturating_add(more);
    }

    pub(super) fn finish(self, order: &[usize]) -> Split {
        let alive: Vec<usize> = (0..self.units.len()).filter(|n| !self.units[*n].users.is_empty()).collect();
        let mut places = vec![Vec::new(); order.len()];
        for (at, index) in order.iter().enumerate() {
            let place = |number: &usize| {
                let has =
                    |unit: &usize| self.units[*unit].users.contains(at) && self.units[*unit].items.contains(*number);
                alive.iter().position(has)
            };
            places[*index] = self.problem.numbers[at].iter().map(place).collect();
        }
        let groups = alive.iter().map(|n| {
            let unit = &self.units[*n];
            let first = unit.users.iter().next().unwrap_or_default();
            let mut users: Vec<usize> = unit.users.iter().map(|at| order[at]).collect();
            users.sort_unstable();
            let items = unit.items.iter().map(|number| self.problem.items[number].id.to_owned()).collect();
            Group { scope: self.problem.consumers[first].scope, items, users }
        });
        Split { groups: groups.collect(), places }
    }
}

impl Unit {
    fn measure(&mut self, problem: &Problem<'_>) {
        self.bytes = self.items.iter().map(|number| problem.items[number].bytes).sum();
        self.claims = Bits::default();
        self.items.iter().for_each(|number| self.claims.add(&problem.items[number].claims));
    }
}

/// What a merge costs, for each function that it relieves.
struct Score {
    needless: u128,
    churn: u128,
    relief: u128,
}

impl Score {
    fn is_better(&self, other: &Self) -> bool {
        let scaled = |score: &Self, other: &Self| (score.needless * other.relief, score.churn * other.relief);
        scaled(self, other) < scaled(other, self)
    }
}
