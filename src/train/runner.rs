//! What runs a training's programs.

use crate::Result;
use crate::program::Program;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A run of a program.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// What is run. A runner keeps what it made for a program, and knows it again by the address.
    pub program: &'a Arc<Program>,
    /// Samples of the run.
    pub batch: u32,
    /// The program's inputs, by their names, of the lengths that it says.
    pub inputs: &'a [(&'a str, &'a [f32])],
}

/// An executor with the parameters, states and gradients of a training, which stay where it computes from run to run.
///
/// `cpu::Runner` and `headless::GpuRunner` are two; whoever drives a device of their own writes a third.
#[expect(async_fn_in_trait, reason = "who uses it names the runner, so that its futures' own traits are known")]
pub trait Runner {
    /// Makes room for all parameters and states of `store`, all zero, in place of those that it held, and of gradients.
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

    /// Runs a program on what it holds: the outputs, by their names. Gradients of the program stay for others that have them; those that
    /// aren't there yet are made, zero.
    ///
    /// # Errors
    /// Those of the program and the device. What is held may have changed in part.
    async fn run(&mut self, run: Run<'_>) -> Result<BTreeMap<String, Vec<f32>>>;

    /// How many samples it runs a program on at once, within its memory.
    ///
    /// # Errors
    /// Where not even one fits.
    fn samples_at_once(&self, program: &Program) -> Result<usize>;
}
