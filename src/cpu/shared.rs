//! One array that several threads write, each in its own places.

use std::marker::PhantomData;

/// A borrowed array whose parts are handed out by place instead of being split in advance: the places that one thread
/// writes may be a row of each sample.
#[derive(Clone, Copy)]
pub(super) struct Shared<'a, T = f32> {
    first: *mut T,
    length: usize,
    borrowed: PhantomData<&'a mut [T]>,
}

// SAFETY: elements are reached only through `Shared::part`, whose callers vouch that no two parts overlap, copies or not.
unsafe impl<T: Send> Send for Shared<'_, T> {}
// SAFETY: elements are reached only through `Shared::part`, whose callers vouch that no two parts overlap.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub(super) fn new(values: &'a mut [T]) -> Self {
        Self { first: values.as_mut_ptr(), length: values.len(), borrowed: PhantomData }
    }

    /// The `length` elements from `start` on. Bounds are checked in every build.
    ///
    /// # Safety
    /// While the part lives, no other part that overlaps it may live.
    #[inline(always)]
    pub(super) unsafe fn part(&self, start: usize, length: usize) -> &'a mut [T] {
        assert!(start <= self.length && length <= self.length - start, "a part within the array");
        // SAFETY: within the array that is borrowed mutably for 'a; the caller vouches that nothing else has these elements.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(start), length) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_of_the_array() {
        let mut values = [0.0; 5];
        let shared = Shared::new(&mut values);
        // SAFETY: they don't overlap.
        let (a, b) = unsafe { (shared.part(0, 2), shared.part(2, 3)) };
        a.fill(1.0);
        b.fill(2.0);
        assert_eq!(values, [1.0, 1.0, 2.0, 2.0, 2.0]);
    }

    #[test]
    #[should_panic(expected = "within the array")]
    fn parts_end_with_the_array() {
        let mut values = [0.0; 5];
        // SAFETY: there is one.
        unsafe { Shared::new(&mut values).part(3, 3) };
    }
}
