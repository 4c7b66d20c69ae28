//! Values by their names.

use std::collections::HashMap;

/// Where something is, by its name. There is one kind of map here, whatever is named: each more would be a part of what a browser loads
/// to read files.
#[derive(Default)]
pub(crate) struct Places(HashMap<String, usize>);

impl Places {
    /// What the name said before.
    pub(crate) fn insert(&mut self, name: String, place: usize) -> Option<usize> {
        self.0.insert(name, place)
    }

    pub(crate) fn get(&self, name: &str) -> Option<usize> {
        self.0.get(name).copied()
    }
}

/// Values with a name each, in the order in which they came.
pub(crate) struct Named<T> {
    places: Places,
    values: Vec<(String, T)>,
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self { places: Places::default(), values: Vec::new() }
    }
}

impl<T> Named<T> {
    /// Of several with a name the last one counts, in the place of the first.
    pub(crate) fn insert(&mut self, name: String, value: T) {
        match self.get_mut(&name) {
            Some(known) => *known = value,
            None => {
                self.places.insert(name.clone(), self.values.len());
                self.values.push((name, value));
            }
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&T> {
        self.values.get(self.places.get(name)?).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut T> {
        self.values.get_mut(self.places.get(name)?).map(|(_, value)| value)
    }

    pub(crate) fn all(&self) -> &[(String, T)] {
        &self.values
    }

    pub(crate) fn all_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.values.iter_mut().map(|(_, value)| value)
    }
}

impl<T> Named<Vec<T>> {
    /// Adds to what is there under a name.
    pub(crate) fn push(&mut self, name: &str, value: T) {
        match self.get_mut(name) {
            Some(known) => known.push(value),
            None => self.insert(name.to_owned(), vec![value]),
        }
    }
}

impl<T> FromIterator<(String, T)> for Named<T> {
    fn from_iter<I: IntoIterator<Item = (String, T)>>(values: I) -> Self {
        let mut named = Self::default();
        values.into_iter().for_each(|(name, value)| named.insert(name, value));
        named
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_names() {
        let mut named: Named<Vec<u8>> =
            [("b", 1), ("a", 2), ("b", 3)].map(|(n, v)| (n.to_owned(), vec![v])).into_iter().collect();
        named.push("a", 4);
        named.push("c", 5);
        assert_eq!((named.get("b"), named.get("x")), (Some(&vec![3]), None));
        let all: Vec<_> = named.all().iter().map(|(name, values)| (name.as_str(), &values[..])).collect();
        assert_eq!(all, [("b", &[3][..]), ("a", &[2, 4]), ("c", &[5])]);
    }
}
