//! What a graph's program is for.

use crate::hash::fnv;

/// What a graph's program is for. Keras calls it `training`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// For predictions: noise does nothing, and batch normalisation goes by its moving statistics.
    #[default]
    Inference,
    /// For a training step: noise and dropout are drawn, and batch normalisation goes by its batch's own statistics,
    /// unless it is frozen, and averages them into the moving ones. A program that draws numbers has an input
    /// [`names::STEP`](super::names::STEP).
    Training {
        /// The seed of layers that have none of their own.
        seed: u64,
    },
}

impl Mode {
    /// The seed of a call's random numbers; none at inference. It is the layer's own, mixed with the call's name if it
    /// isn't the layer's first call; or the training's, mixed with the call's name.
    pub(super) fn seed(self, own: Option<u64>, layer: &str, call: &str) -> Option<u64> {
        let Self::Training { seed } = self else { return None };
        Some(match own {
            Some(own) if layer == call => own,
            Some(own) => mixed(own, call),
            None => mixed(seed, call),
        })
    }
}

/// Mixes a seed with a name: FNV-1a of the name, and the last steps of splitmix64.
fn mixed(seed: u64, name: &str) -> u64 {
    let z = seed ^ fnv(name.bytes());
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_have_seeds_of_their_own() {
        assert_eq!(Mode::Inference.seed(Some(1), "a", "a"), None);
        let training = |seed| Mode::Training { seed };
        assert_eq!(training(7).seed(Some(1), "a", "a"), Some(1));
        let others = [
            training(7).seed(None, "a", "a"),
            training(7).seed(None, "b", "b"),
            training(8).seed(None, "a", "a"),
            training(7).seed(None, "a", "a:1"),
            training(7).seed(Some(1), "a", "a:1"),
            training(7).seed(Some(2), "a", "a:1"),
        ];
        let distinct: std::collections::BTreeSet<_> = others.iter().collect();
        assert_eq!(distinct.len(), others.len());
        // These seeds decide what a training with a given seed gives, so they must not change.
        assert_eq!(training(7).seed(None, "dropout", "dropout"), Some(0xae30_9f62_ff9c_4ac6));
    }
}
