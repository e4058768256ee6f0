//! Sets of small numbers.

/// A set of numbers below a bound that its maker knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    pub(super) fn insert(&mut self, number: usize) {
        let word = number / 64;
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (number % 64);
    }

    pub(super) fn remove(&mut self, number: usize) {
        if let Some(word) = self.0.get_mut(number / 64) {
            *word &= !(1 << (number % 64));
        }
        // Equal sets have equal words.
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    pub(super) fn contains(&self, number: usize) -> bool {
        self.0.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub(super) fn add(&mut self, other: &Self) {
        if other.0.len() > self.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a |= b);
    }

    /// How many are in all three.
    pub(super) fn common(&self, other: &Self, third: &Self) -> usize {
        self.0.iter().zip(&other.0).zip(&third.0).map(|((a, b), c)| (a & b & c).count_ones() as usize).sum()
    }

    /// How many are here and not there.
    pub(super) fn count_without(&self, other: &Self) -> usize {
        let there = |at: usize| other.0.get(at).copied().unwrap_or(0);
        self.0.iter().enumerate().map(|(at, word)| (word & !there(at)).count_ones() as usize).sum()
    }

    pub(super) fn meets(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).any(|(a, b)| a & b != 0)
    }

    /// Whether every one here is there.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        self.count_without(other) == 0
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(at, word)| {
            let word = *word;
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| at * 64 + bit)
        })
    }
}

impl FromIterator<usize> for Bits {
    fn from_iter<I: IntoIterator<Item = usize>>(numbers: I) -> Self {
        let mut out = Self::default();
        numbers.into_iter().for_each(|number| out.insert(number));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_equal_whatever_was_in_them() {
        let mut set: Bits = [1, 70, 200].into_iter().collect();
        set.remove(200);
        set.remove(70);
        assert_eq!(set, [1].into_iter().collect());
        assert_eq!(set.iter().collect::<Vec<_>>(), [1]);
        set.remove(1);
        assert_eq!((set.is_empty(), set == Bits::default()), (true, true));
    }
}
