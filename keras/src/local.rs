//! One locally connected layer with its weights.

use locally_connected::{Error, Geometry, KerasLayout, Result};

/// A locally connected layer with its weights, as the file stores them.
#[derive(Debug, Clone, PartialEq)]
pub struct Local {
    /// The configuration and the input shape it was built for.
    pub geometry: Geometry,
    /// The layout of `kernel`: that of Keras's `implementation`.
    pub layout: KerasLayout,
    /// The kernel in `layout`.
    pub kernel: Vec<f32>,
    /// The bias, of shape [`Geometry::bias_shape`]; none without.
    pub bias: Option<Vec<f32>>,
    /// Keras's `trainable`, of the layer and of all that it is in.
    pub trainable: bool,
}

/// The most bytes that a kernel may grow to when it changes its layout. Keras's implementation 2 stores every pair of
/// input and output units, so that a kernel of megabytes may ask for terabytes.
const CONVERSION_BUDGET: u64 = 8 << 30;

impl Local {
    /// Checks that the arrays are as long as the geometry asks for.
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

    /// The kernel in the canonical layout that the GPU layer takes.
    ///
    /// # Errors
    /// Those of [`KerasLayout::to_canonical`].
    pub fn canonical(&self) -> Result<Vec<f32>> {
        self.layout.to_canonical(&self.geometry, &self.kernel)
    }

    /// Replaces the kernel by canonical weights, stored in the layer's own layout.
    ///
    /// # Errors
    /// Those of [`KerasLayout::from_canonical`].
    pub fn set_canonical(&mut self, canonical: &[f32]) -> Result<()> {
        self.kernel = self.layout.from_canonical(&self.geometry, canonical)?;
        Ok(())
    }

    /// Stores the kernel in another layout.
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
