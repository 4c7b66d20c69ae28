//! The 50 cases that Keras computed, bit for bit.

use super::{EXECUTORS, passes};
use crate::common::{Operands, RESULTS};
use crate::goldens::cases;

#[test]
fn goldens_equal_keras_bit_for_bit() {
    for (case, index) in cases().iter().zip(0..) {
        let (geometry, layout) = (case.geometry(), case.layout());
        let weights = layout.to_canonical(&geometry, &case.kernel()).expect("Keras's shape");
        let operands = Operands { input: case.input(), weights, bias: case.bias(), grad_output: case.grad_output() };
        for (name, executor) in EXECUTORS.iter() {
            let mut found = passes(executor, &geometry, case.out_shape[0] as u32, &operands);
            found[2] = layout.from_canonical(&geometry, &found[2]).expect("canonical");
            for ((what, found), expected) in RESULTS.into_iter().zip(&found).zip(&case.expected()) {
                let differs = found.iter().zip(expected).position(|(a, b)| a != b);
                let at = differs.map(|at| (at, found[at], expected[at]));
                assert!(found == expected, "{what} of case {index} by {name}: at, found, expected: {at:?}");
            }
        }
    }
}
