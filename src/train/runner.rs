//! What runs a training's programs.

use crate::Result;
use crate::program::Program;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A run of a program.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// The program. A runner keeps what it made for a program, which it recognises by its address.
    pub program: &'a Arc<Program>,
    /// Samples of the run.
    pub batch: u32,
    /// The program's inputs, by their names, of the lengths that the program says.
    pub inputs: &'a [(&'a str, &'a [f32])],
}

/// An executor that holds the parameters, states and gradients of a training in its own memory from run to run.
///
/// `cpu::Runner` and `headless::GpuRunner` are two. A host with a device of its own can write another.
#[expect(async_fn_in_trait, reason = "who uses it names the runner, so that its futures' own traits are known")]
pub trait Runner {
    /// Makes room for all parameters and states of `store`, all zero. What it held before, gradients too, is dropped.
    ///
    /// # Errors
    /// Where there is no memory, and those of the device.
    async fn hold(&mut self, store: &Program) -> Result<()>;

    /// Writes the values of a parameter or a state.
    ///
    /// # Errors
    /// [`Error::NoBuffer`](crate::Error::NoBuffer), [`Error::Length`](crate::Error::Length); those of the device.
    async fn write(&mut self, name: &str, values: &[f32]) -> Result<()>;

    /// Reads the values of a parameter, a state, or a gradient of a program that it ran.
    ///
    /// # Errors
    /// As [`Runner::write`].
    async fn read(&mut self, name: &str) -> Result<Vec<f32>>;

    /// Runs a program on what is held and gives the outputs, by their names. The program's gradients stay for later
    /// programs that have them; gradients that aren't there yet are made, zero.
    ///
    /// # Errors
    /// Those of the program and the device. What is held may have changed in part.
    async fn run(&mut self, run: Run<'_>) -> Result<BTreeMap<String, Vec<f32>>>;

    /// How many samples of a program fit its memory at once.
    ///
    /// # Errors
    /// If not even one sample fits.
    fn samples_at_once(&self, program: &Arc<Program>) -> Result<usize>;
}
