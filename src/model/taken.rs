//! Names of which each may be given once.

use std::collections::{BTreeMap, BTreeSet};

/// The names that are taken. Each question takes about as long for thousands of names as for ten: files name them.
#[derive(Debug, Clone, Default)]
pub(super) struct Taken {
    names: BTreeSet<String>,
    /// By what stands before a number: the last number that was looked at. All before it are taken.
    last: BTreeMap<String, u32>,
}

impl Taken {
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    pub(super) fn take(&mut self, name: &str) {
        if !self.has(name) {
            self.names.insert(name.to_owned());
        }
    }

    /// Gives back what was taken last.
    pub(super) fn give_back(&mut self, name: &str) {
        self.names.remove(name);
    }

    /// `name`, or if that is taken `name_1` or the next that is free.
    pub(super) fn free(&mut self, name: &str) -> String {
        if self.has(name) { self.numbered(&format!("{name}_")) } else { name.to_owned() }
    }

    /// `stem` with the first number from 1 on that makes a free name.
    pub(super) fn numbered(&mut self, stem: &str) -> String {
        let mut number = self.last.get(stem).copied().unwrap_or(1);
        let mut name = format!("{stem}{number}");
        while self.has(&name) {
            number += 1;
            name = format!("{stem}{number}");
        }
        self.last.insert(stem.to_owned(), number);
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_free_number_is_found_again() {
        let mut taken = Taken::default();
        ["a", "a_2", "b:1"].into_iter().for_each(|name| taken.take(name));
        for expected in ["a_1", "a_3", "a_4"] {
            let name = taken.free("a");
            assert_eq!(name, expected);
            taken.take(&name);
        }
        taken.give_back("a_4");
        assert_eq!((taken.free("a").as_str(), taken.free("c").as_str()), ("a_4", "c"));
        assert_eq!(taken.numbered("b:"), "b:2");
    }
}
