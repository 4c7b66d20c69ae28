//! Keras's layers that aren't locally connected: what each is in the library, and which weights a file has for it.

mod arguments;
mod convolution;
mod known;
mod merge;
mod moves;
mod noise;
mod normalisation;
mod pooling;

pub(crate) use arguments::Arguments;
pub(crate) use known::Known;
pub(crate) use noise::{noise, noise_to_keras};

use crate::error::Problem;

/// Describes a layer of a class, for inputs of known shapes.
type Describe = fn(&str, &Arguments<'_>, &[&[usize]]) -> Result<Known, Problem>;

/// What describes layers of a class; none if the class isn't known.
fn description(class: &str) -> Option<Describe> {
    Some(match class {
        "Conv1D" | "Conv2D" | "Conv3D" => convolution::convolution,
        "DepthwiseConv1D" | "DepthwiseConv2D" => convolution::depthwise,
        "SeparableConv1D" | "SeparableConv2D" => convolution::separable,
        "Dense" => convolution::dense,
        "MaxPooling1D" | "MaxPooling2D" | "MaxPooling3D" | "AveragePooling1D" | "AveragePooling2D"
        | "AveragePooling3D" => pooling::windows,
        "GlobalMaxPooling1D"
        | "GlobalMaxPooling2D"
        | "GlobalMaxPooling3D"
        | "GlobalAveragePooling1D"
        | "GlobalAveragePooling2D"
        | "GlobalAveragePooling3D" => pooling::whole,
        "BatchNormalization" => normalisation::batch,
        "LayerNormalization" => normalisation::layer,
        "GroupNormalization" => normalisation::group,
        "PReLU" => normalisation::prelu,
        "Softmax" => normalisation::softmax,
        "ZeroPadding1D" | "ZeroPadding2D" | "ZeroPadding3D" => moves::pad,
        "Cropping1D" | "Cropping2D" | "Cropping3D" => moves::crop,
        "UpSampling1D" | "UpSampling2D" | "UpSampling3D" => moves::up_sample,
        "Permute" => moves::permute,
        "RepeatVector" => moves::repeat,
        "Add" | "Subtract" | "Multiply" | "Average" | "Maximum" | "Minimum" => merge::merge,
        "Concatenate" => merge::concatenate,
        // Keras 1's layer for all modes.
        "Merge" => merge::keras1,
        _ => return None,
    })
}

/// What a layer of that class is, for inputs of these shapes; none if the class isn't known.
pub(crate) fn describe(class: &str, arguments: &Arguments<'_>, inputs: &[&[usize]]) -> Option<Result<Known, Problem>> {
    description(class).map(|describe| describe(class, arguments, inputs))
}

/// Whether layers of that class are known, for some shapes of inputs.
pub(crate) fn is_known(class: &str) -> bool {
    description(class).is_some()
}
