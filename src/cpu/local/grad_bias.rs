//! `GradBias`: sums of the gradient by the output, in either data format.

use crate::config::{Bias, DataFormat};
use crate::cpu::shared::Shared;
use crate::cpu::team::{Span, Team};
use crate::ops::GradBias;
use pulp::{Simd, WithSimd};

/// Elements that are summed together over the batch.
const TOGETHER: usize = 256;

/// The sum of the gradient by the output over the batch, and over the locations that share a bias.
pub(in crate::cpu) fn grad_bias(team: &Team, o: &GradBias, grad_output: &[f32], grad_bias: &mut [f32]) {
    let (layer, accumulate) = (&*o.layer, o.accumulate);
    let sample = layer.outputs() as usize;
    let filters = layer.filters() as usize;
    let batch = grad_output.len() / sample;
    // How many sums lie side by side, how many rows of them a sample has, and the distance between rows.
    let (columns, rows, stride) = match (layer.config().bias, layer.config().data_format) {
        (Bias::None, _) => return,
        (Bias::PerLocation, _) => (sample, 1, sample),
        (Bias::PerFilter, DataFormat::ChannelsLast) => (filters, sample / filters, filters),
        (Bias::PerFilter, DataFormat::ChannelsFirst) => return each_filter(team, o, grad_output, grad_bias),
    };
    let grad_bias = Shared::new(grad_bias);
    let together = TOGETHER.min(columns);
    let nanoseconds = (batch * rows * together / 8) as u64;
    team.each(columns.div_ceil(together), nanoseconds, |span| Columns {
        span,
        together,
        columns,
        rows: batch * rows,
        stride,
        grad_output,
        accumulate,
        grad_bias,
    });
}

struct Columns<'a> {
    span: Span,
    together: usize,
    columns: usize,
    rows: usize,
    stride: usize,
    grad_output: &'a [f32],
    accumulate: bool,
    grad_bias: Shared<'a>,
}

impl WithSimd for Columns<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for index in self.span.first..self.span.end {
            let first = index * self.together;
            let width = self.together.min(self.columns - first);
            // In f64, since a sum may have as many terms as there are outputs.
            let mut sums = [0f64; TOGETHER];
            let sums = &mut sums[..width];
            for row in 0..self.rows {
                let grads = &self.grad_output[row * self.stride + first..][..width];
                for (sum, grad) in sums.iter_mut().zip(grads) {
                    *sum += f64::from(*grad);
                }
            }
            // SAFETY: columns are apart.
            let written = unsafe { self.grad_bias.part(first, width) };
            for (written, sum) in written.iter_mut().zip(sums) {
                put(written, *sum, self.accumulate);
            }
        }
    }
}

/// Writes a sum, or adds it to what is there.
fn put(written: &mut f32, sum: f64, accumulate: bool) {
    *written = if accumulate { (f64::from(*written) + sum) as f32 } else { sum as f32 };
}

/// A filter's outputs lie side by side in channels_first.
fn each_filter(team: &Team, o: &GradBias, grad_output: &[f32], grad_bias: &mut [f32]) {
    let (locations, filters, accumulate) = (o.layer.locations() as usize, o.layer.filters() as usize, o.accumulate);
    let grad_bias = Shared::new(grad_bias);
    let nanoseconds = (grad_output.len() / filters) as u64;
    team.each(filters, nanoseconds, |span| Filters { span, locations, filters, grad_output, accumulate, grad_bias });
}

struct Filters<'a> {
    span: Span,
    locations: usize,
    filters: usize,
    grad_output: &'a [f32],
    accumulate: bool,
    grad_bias: Shared<'a>,
}

impl WithSimd for Filters<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for filter in self.span.first..self.span.end {
            let samples = self.grad_output.chunks_exact(self.locations * self.filters);
            let values = samples.flat_map(|sample| &sample[filter * self.locations..][..self.locations]);
            let sum: f64 = values.map(|&grad| f64::from(grad)).sum();
            // SAFETY: filters are apart.
            if let [written] = unsafe { self.grad_bias.part(filter, 1) } {
                put(written, sum, self.accumulate);
            }
        }
    }
}
