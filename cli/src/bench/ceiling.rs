//! The most that a device can do, to which rows are compared.

use super::workloads::LeastWork;
use serde::{Deserialize, Serialize};

/// What the device reaches on the simplest of kernels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ceiling {
    /// Bytes read and written a second by a copy of more than the caches hold.
    pub(crate) copy_gb_s: f64,
    /// Multiplications and additions of f32 a second.
    pub(crate) f32_gflop_s: f64,
}

/// What passes find in the caches: something else, or what the pass before left there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Cache {
    #[default]
    Cold,
    Hot,
}

/// Rates of moving memory of one size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Footprint {
    pub(crate) bytes: u64,
    pub(crate) read_gb_s: f64,
    pub(crate) write_gb_s: f64,
    pub(crate) copy_gb_s: f64,
}

/// A ceiling with rates for several sizes of memory: caches move small ones faster, and starting a kernel counts for
/// more of their time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Roof {
    /// The adapter that was measured.
    pub(crate) adapter: String,
    pub(crate) ceiling: Ceiling,
    pub(crate) cache: Cache,
    /// None if only the copy's rate was measured.
    pub(crate) footprints: Vec<Footprint>,
}

impl Cache {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Hot => "hot",
        }
    }
}

impl Footprint {
    /// The best of the three rates: whatever a kernel reads and writes, it doesn't move bytes faster.
    fn best(&self) -> f64 {
        self.read_gb_s.max(self.write_gb_s).max(self.copy_gb_s)
    }
}

impl Roof {
    /// The least milliseconds for so much work on this device: for reading what is read, for writing what is written,
    /// for moving all of it in the best way, and for multiplying.
    pub(crate) fn milliseconds(&self, work: LeastWork) -> f64 {
        let moving = [
            (work.bytes - work.written, self.gb_s(work.bytes - work.written, |footprint| footprint.read_gb_s)),
            (work.written, self.gb_s(work.written, |footprint| footprint.write_gb_s)),
            (work.bytes, self.gb_s(work.bytes, Footprint::best)),
        ];
        let moving = moving.map(|(bytes, gb_s)| gb_s.map_or(0.0, |gb_s| bytes as f64 / (gb_s * 1e6)));
        let copying = work.bytes as f64 / (self.ceiling.copy_gb_s * 1e6);
        let moving = if self.footprints.is_empty() { copying } else { moving.into_iter().fold(0.0, f64::max) };
        moving.max(work.flops as f64 / (self.ceiling.f32_gflop_s * 1e6))
    }

    /// Takes over faster rates from another look at the same device. A row over the first look's ceilings may be below
    /// the second's, if the machine was busy then.
    pub(crate) fn raise(&mut self, other: &Self) {
        let best = |this: &mut f64, other: f64| *this = this.max(other);
        best(&mut self.ceiling.copy_gb_s, other.ceiling.copy_gb_s);
        best(&mut self.ceiling.f32_gflop_s, other.ceiling.f32_gflop_s);
        for footprint in &other.footprints {
            match self.footprints.iter_mut().find(|known| known.bytes == footprint.bytes) {
                None => self.footprints.push(*footprint),
                Some(known) => {
                    best(&mut known.read_gb_s, footprint.read_gb_s);
                    best(&mut known.write_gb_s, footprint.write_gb_s);
                    best(&mut known.copy_gb_s, footprint.copy_gb_s);
                }
            }
        }
    }

    /// The rate for so many bytes: the better one of the nearest measured sizes below and above.
    fn gb_s(&self, bytes: u64, rate: impl Fn(&Footprint) -> f64) -> Option<f64> {
        let below = self.footprints.iter().filter(|footprint| footprint.bytes <= bytes).max_by_key(|f| f.bytes);
        let above = self.footprints.iter().filter(|footprint| footprint.bytes >= bytes).min_by_key(|f| f.bytes);
        below.into_iter().chain(above).map(rate).max_by(f64::total_cmp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roof(footprints: Vec<Footprint>) -> Roof {
        let ceiling = Ceiling { copy_gb_s: 10.0, f32_gflop_s: 100.0 };
        Roof { adapter: String::new(), ceiling, cache: Cache::Hot, footprints }
    }

    #[test]
    fn the_roof_is_the_slower_of_both() {
        assert_eq!(roof(Vec::new()).milliseconds(LeastWork { bytes: 10_000_000, written: 0, flops: 1_000 }), 1.0);
        assert_eq!(roof(Vec::new()).milliseconds(LeastWork { bytes: 10, written: 0, flops: 200_000_000 }), 2.0);
    }

    #[test]
    fn a_second_look_raises_the_roof() {
        let footprint = |bytes, rate| Footprint { bytes, read_gb_s: rate, write_gb_s: rate, copy_gb_s: rate };
        let mut first = roof(vec![footprint(1000, 40.0), footprint(100, 5.0)]);
        let mut second = roof(vec![footprint(1000, 30.0), footprint(100, 8.0), footprint(10, 1.0)]);
        second.ceiling = Ceiling { copy_gb_s: 11.0, f32_gflop_s: 90.0 };
        first.raise(&second);
        assert_eq!(first.ceiling, Ceiling { copy_gb_s: 11.0, f32_gflop_s: 100.0 });
        assert_eq!(first.footprints, [footprint(1000, 40.0), footprint(100, 8.0), footprint(10, 1.0)]);
    }

    #[test]
    fn the_roof_is_that_of_the_footprint() {
        let footprint = |bytes, read_gb_s, write_gb_s| Footprint { bytes, read_gb_s, write_gb_s, copy_gb_s: 10.0 };
        let roof = roof(vec![footprint(1000, 40.0, 20.0), footprint(100, 5.0, 8.0)]);
        let best = |bytes| roof.gb_s(bytes, Footprint::best);
        assert_eq!([1, 100, 101, 1000, 2000].map(best), [10.0, 10.0, 40.0, 40.0, 40.0].map(Some));
        // 4000 bytes at 40 GB/s, or 3000 written bytes at 20 GB/s, which takes longer.
        let work = LeastWork { bytes: 4000, written: 3000, flops: 0 };
        assert_eq!(roof.milliseconds(work), 3000.0 / 20e6);
    }
}
