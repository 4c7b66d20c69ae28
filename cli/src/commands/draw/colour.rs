//! Colours: steps that look equally large, on both sides of 0 if values have a sign.
//!
//! A ramp is a straight line in Oklab (Ottosson, "A perceptual color space for image processing", 2020), in which equal
//! distances look equal. It starts at the page's own shade, so that 0 recedes on a light page and on a dark one.

/// Steps on either side of 0, or of a ramp that starts there.
const STEPS: u8 = 24;

/// With fewer values than these, the scale spans all of them.
const FEW: usize = 200;

/// What a ramp shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ramp {
    /// Values of both signs: blue below 0, orange above.
    Diverging,
    /// Values from 0 up.
    Sequential,
    /// What isn't the layer's own: its input.
    Grey,
}

/// How one cell is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fill {
    Level(Ramp, u8),
    Rgb([u8; 3]),
    /// Not a finite number.
    Unknown,
}

/// The page that a picture is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    Light,
    Dark,
}

/// Maps values to levels of a ramp.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    pub(super) ramp: Ramp,
    pub(super) low: f64,
    pub(super) high: f64,
    /// Whether some values lie beyond the ends, and take the ends' colours.
    pub(super) clipped: bool,
}

impl Scale {
    /// Cosines.
    pub(super) const COSINE: Self = Self { ramp: Ramp::Diverging, low: -1.0, high: 1.0, clipped: false };

    /// From -a to a, or from 0 to a if no value is negative. `a` is the 99th percentile of the magnitudes, so that a
    /// few large values don't make all others pale.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let (mut sizes, mut signed) = (Vec::new(), false);
        for value in values.into_iter().filter(|value| value.is_finite()) {
            signed |= value < 0.0;
            sizes.push(value.abs());
        }
        let ramp = if signed { Ramp::Diverging } else { Ramp::Sequential };
        Self::reaching(ramp, sizes)
    }

    /// From -a to a, even if all values have one sign.
    pub(super) fn around_zero(values: impl IntoIterator<Item = f64>) -> Self {
        Self::reaching(Ramp::Diverging, values.into_iter().filter(|v| v.is_finite()).map(f64::abs).collect())
    }

    /// From the least value to the largest, in grey.
    pub(super) fn grey(values: impl IntoIterator<Item = f64>) -> Self {
        let finite = values.into_iter().filter(|value| value.is_finite());
        let (low, high) = finite.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
        let (low, high) = if low < high { (low, high) } else { (0.0, 1.0) };
        Self { ramp: Ramp::Grey, low, high, clipped: false }
    }

    fn reaching(ramp: Ramp, mut sizes: Vec<f64>) -> Self {
        sizes.sort_by(f64::total_cmp);
        let largest = sizes.last().copied().unwrap_or(0.0);
        // Among a few values none counts as an outlier.
        let rank = if sizes.len() < FEW { sizes.len() } else { sizes.len() * 99 / 100 };
        let most = sizes.get(rank.saturating_sub(1)).copied().unwrap_or(0.0);
        let high = [most, largest, 1.0].into_iter().find(|&high| high > 0.0).unwrap_or(1.0);
        let low = if ramp == Ramp::Diverging { -high } else { 0.0 };
        Self { ramp, low, high, clipped: largest > high }
    }

    /// Where a value is on the scale, from 0 to 1.
    fn part(&self, value: f64) -> f64 {
        // Halved, so that the difference of the ends can't overflow.
        ((value / 2.0 - self.low / 2.0) / (self.high / 2.0 - self.low / 2.0)).clamp(0.0, 1.0)
    }

    pub(super) fn fill(&self, value: Option<f64>) -> Fill {
        match value {
            Some(value) if value.is_finite() => {
                Fill::Level(self.ramp, (self.part(value) * f64::from(self.levels() - 1)).round() as u8)
            }
            _ => Fill::Unknown,
        }
    }

    /// Three values as a red, green and blue colour.
    pub(super) fn rgb(&self, values: [f64; 3]) -> Fill {
        match values.iter().all(|value| value.is_finite()) {
            // In steps of 8, so that cells of one colour can be drawn at once.
            true => Fill::Rgb(values.map(|value| (self.part(value) * 31.0).round() as u8 * 8 + 3)),
            false => Fill::Unknown,
        }
    }

    pub(super) fn levels(&self) -> u8 {
        levels(self.ramp)
    }
}

fn levels(ramp: Ramp) -> u8 {
    if ramp == Ramp::Diverging { 2 * STEPS + 1 } else { STEPS + 1 }
}

/// The colour of a level.
pub(super) fn colour(page: Page, ramp: Ramp, level: u8) -> [u8; 3] {
    let top = f64::from(levels(ramp) - 1);
    let part = f64::from(level) / top;
    // Where the ramp starts, and the lightness, chroma and hue where it ends.
    let (start, [lightness, chroma, hue]): (f64, [f64; 3]) = match (page, ramp) {
        (Page::Light, Ramp::Diverging) if part < 0.5 => (0.965, [0.42, 0.145, 258.0]),
        (Page::Light, Ramp::Diverging) => (0.965, [0.50, 0.150, 42.0]),
        (Page::Dark, Ramp::Diverging) if part < 0.5 => (0.255, [0.80, 0.105, 245.0]),
        (Page::Dark, Ramp::Diverging) => (0.255, [0.80, 0.135, 60.0]),
        (Page::Light, Ramp::Sequential) => (0.965, [0.36, 0.150, 310.0]),
        (Page::Dark, Ramp::Sequential) => (0.255, [0.87, 0.100, 320.0]),
        (Page::Light, Ramp::Grey) => (0.955, [0.22, 0.0, 0.0]),
        (Page::Dark, Ramp::Grey) => (0.265, [0.96, 0.0, 0.0]),
    };
    let way = if ramp == Ramp::Diverging { (2.0 * part - 1.0).abs() } else { part };
    let (sin, cos) = hue.to_radians().sin_cos();
    from_oklab([start + way * (lightness - start), way * chroma * cos, way * chroma * sin])
}

/// The matrices are Ottosson's.
fn from_oklab([l, a, b]: [f64; 3]) -> [u8; 3] {
    let [l, m, s] = [
        l + 0.396_337_777_4 * a + 0.215_803_757_3 * b,
        l - 0.105_561_345_8 * a - 0.063_854_172_8 * b,
        l - 0.089_484_177_5 * a - 1.291_485_548 * b,
    ]
    .map(|root| root * root * root);
    let linear = [
        4.076_741_662_1 * l - 3.307_711_591_3 * m + 0.230_969_929_2 * s,
        -1.268_438_004_6 * l + 2.609_757_401_1 * m - 0.341_319_396_5 * s,
        -0.004_196_086_3 * l - 0.703_418_614_7 * m + 1.707_614_701 * s,
    ];
    linear.map(|value| {
        let value = value.clamp(0.0, 1.0);
        let curved = if value <= 0.003_130_8 { 12.92 * value } else { 1.055 * value.powf(1.0 / 2.4) - 0.055 };
        (curved * 255.0).round() as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_of_values() {
        assert_eq!(Scale::around_zero([-2.0, 0.5]).high, 2.0);
        let many = std::iter::repeat_n(0.5, 300).chain([-2.0]);
        let scale = Scale::around_zero(many);
        assert_eq!((scale.low, scale.high), (-0.5, 0.5));
        assert!(scale.clipped);
        let level = |value| scale.fill(Some(value));
        assert_eq!(level(-9.0), Fill::Level(Ramp::Diverging, 0));
        assert_eq!(level(0.0), Fill::Level(Ramp::Diverging, STEPS));
        assert_eq!(level(9.0), Fill::Level(Ramp::Diverging, 2 * STEPS));
        assert_eq!(level(f64::NAN), Fill::Unknown);
        assert_eq!(scale.fill(None), Fill::Unknown);
        assert_eq!(Scale::of([1.0, 3.0]).ramp, Ramp::Sequential);
        // Without values, or with zeroes only, nothing is divided by 0.
        for values in [&[][..], &[0.0, -0.0], &[f64::NAN]] {
            assert_eq!(Scale::of(values.iter().copied()).high, 1.0);
        }
        let huge = Scale::around_zero([f64::MAX]);
        assert_eq!(huge.fill(Some(f64::MAX)), Fill::Level(Ramp::Diverging, 2 * STEPS));
    }

    /// 0 has nearly the page's colour, and both signs differ from it equally.
    #[test]
    fn ramps_start_at_the_page() {
        let light = |[r, g, b]: [u8; 3]| u32::from(r) + u32::from(g) + u32::from(b);
        for ramp in [Ramp::Diverging, Ramp::Sequential, Ramp::Grey] {
            let zero = if ramp == Ramp::Diverging { STEPS } else { 0 };
            let steps = |page| (zero..levels(ramp)).map(move |level| light(colour(page, ramp, level)));
            assert!(steps(Page::Light).is_sorted_by(|a, b| a > b), "{ramp:?}");
            assert!(steps(Page::Dark).is_sorted_by(|a, b| a < b), "{ramp:?}");
        }
        assert_ne!(colour(Page::Light, Ramp::Diverging, 0), colour(Page::Light, Ramp::Diverging, 2 * STEPS));
    }
}
