//! What the kernels' files are written with.

#![cfg_attr(not(feature = "models"), allow(unused_imports, reason = "some of it is of kernels of whole models"))]

pub(super) use super::listed::{Access, Declared, Kernel, kernel};
pub(super) use super::sizes::*;
pub(super) use super::tile::{Sums, Tile, TileShape, tiled};
pub(super) use super::work::*;
pub(super) use super::{Params, THREADS};
pub(super) use crate::config::{How, WeightType, codes};
