//! One locally connected layer with its weights.

use locally_connected::{Error, Geometry, KerasLayout, Result};

/// A locally connected layer with its weights, as the file stores them.
#[derive(Debug, Clone, PartialEq)]
pub struct Local {
    /// The configuration and the input shape it was built for.
    pub geometry: Geometry,
    /// The layout of `kernel`: that of one of Keras's implementations.
    pub layout: KerasLayout,
    /// The kernel in `layout`.
    pub kernel: Vec<f32>,
    /// The bias, of shape [`Geometry::bias_shape`]; none if the layer has none.
    pub bias: Option<Vec<f32>>,
    /// Whether the layer, and all that it is inside of, has Keras's `trainable` set.
    pub trainable: bool,
}

/// The most bytes that a kernel may grow to when its layout is changed. Keras's implementation 2 stores every pair of
/// input and output, so that a kernel of megabytes may need terabytes.
const CONVERSION_BUDGET: u64 = 8 << 30;

impl Local {
    /// Checks the lengths of the arrays.
    ///
    /// # Errors
    /// [`Error::Length`], and those of [`KerasLayout::check`].
    pub fn check(&self) -> Result<()> {
        self.layout.check(&self.geometry)?;
        self.layout.check_len(&self.geometry, self.kernel.len())?;
        let found = self.bias.as_ref().map_or(0, Vec::len) as u64;
        if found != self.geometry.biases() || self.bias.is_some() != self.geometry.bias_shape().is_some() {
            let (expected, shape) = (self.geometry.biases(), self.geometry.bias_shape().unwrap_or_default());
            return Err(Error::Length { what: "bias", expected, found, shape });
        }
        Ok(())
    }

    /// The kernel in canonical order.
    ///
    /// # Errors
    /// Those of [`KerasLayout::to_canonical`].
    pub fn canonical(&self) -> Result<Vec<f32>> {
        self.layout.to_canonical(&self.geometry, &self.kernel)
    }

    /// Replaces the kernel by canonical weights; it keeps its layout.
    ///
    /// # Errors
    /// Those of [`KerasLayout::from_canonical`].
    pub fn set_canonical(&mut self, canonical: &[f32]) -> Result<()> {
        self.kernel = self.layout.from_canonical(&self.geometry, canonical)?;
        Ok(())
    }

    /// Changes the kernel's layout.
    ///
    /// # Errors
    /// Those of [`KerasLayout::check`], and [`Error::OverBudget`] where the kernel would outgrow 8 GiB.
    pub fn set_layout(&mut self, layout: KerasLayout) -> Result<()> {
        if layout == self.layout {
            return Ok(());
        }
        layout.check(&self.geometry)?;
        let needed = layout.len(&self.geometry).saturating_mul(4);
        if needed > CONVERSION_BUDGET {
            let what = format!("the kernel of implementation {}", layout.number());
            return Err(Error::OverBudget { what, needed, budget: CONVERSION_BUDGET });
        }
        self.kernel = layout.from_canonical(&self.geometry, &self.canonical()?)?;
        self.layout = layout;
        Ok(())
    }

    /// Shape of the kernel as stored.
    #[must_use]
    pub fn kernel_shape(&self) -> Vec<usize> {
        self.layout.shape(&self.geometry)
    }
}
