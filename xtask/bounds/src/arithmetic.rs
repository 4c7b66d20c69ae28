//! WGSL's arithmetic on words that may be unknown. Of floats it knows what classes of targets need; the others are unknown.

use super::column::Word;
use naga::{BinaryOperator, MathFunction, ScalarKind, UnaryOperator};

fn float(word: u32) -> f32 {
    f32::from_bits(word)
}

/// A float's word. Which NaN it is depends on the device.
fn of_float(value: f32) -> Word {
    (!value.is_nan()).then_some(value.to_bits())
}

fn flag(value: bool) -> Word {
    Some(u32::from(value))
}

pub(super) fn unary(op: UnaryOperator, kind: ScalarKind, a: Word) -> Word {
    let a = a?;
    match (op, kind) {
        (UnaryOperator::LogicalNot, _) => flag(a == 0),
        (UnaryOperator::BitwiseNot, _) => Some(!a),
        (UnaryOperator::Negate, ScalarKind::Float) => Some(a ^ 0x8000_0000),
        (UnaryOperator::Negate, _) => Some(a.wrapping_neg()),
    }
}

pub(super) fn binary(op: BinaryOperator, kind: ScalarKind, a: Word, b: Word) -> Word {
    use BinaryOperator as B;
    // What one operand decides alone.
    match op {
        B::And | B::LogicalAnd if a == Some(0) || b == Some(0) => return Some(0),
        B::Multiply if kind != ScalarKind::Float && (a == Some(0) || b == Some(0)) => return Some(0),
        B::LogicalOr if a == Some(1) || b == Some(1) => return Some(1),
        B::InclusiveOr if kind == ScalarKind::Bool && (a == Some(1) || b == Some(1)) => return Some(1),
        _ => {}
    }
    let (a, b) = (a?, b?);
    let ordered = |order: Option<std::cmp::Ordering>| match op {
        B::Equal => flag(order.is_some_and(|o| o.is_eq())),
        B::NotEqual => flag(order.is_none_or(|o| o.is_ne())),
        B::Less => flag(order.is_some_and(|o| o.is_lt())),
        B::LessEqual => flag(order.is_some_and(|o| o.is_le())),
        B::Greater => flag(order.is_some_and(|o| o.is_gt())),
        B::GreaterEqual => flag(order.is_some_and(|o| o.is_ge())),
        _ => panic!("{op:?} of {kind:?} isn't known here"),
    };
    match (op, kind) {
        (B::Add, ScalarKind::Float) => of_float(float(a) + float(b)),
        (B::Subtract, ScalarKind::Float) => of_float(float(a) - float(b)),
        (B::Multiply, ScalarKind::Float) => of_float(float(a) * float(b)),
        (B::Divide | B::Modulo, ScalarKind::Float) => None,
        (B::Add, _) => Some(a.wrapping_add(b)),
        (B::Subtract, _) => Some(a.wrapping_sub(b)),
        (B::Multiply, _) => Some(a.wrapping_mul(b)),
        (B::Divide, ScalarKind::Sint) => Some((a as i32).checked_div(b as i32).map_or(a, |c| c as u32)),
        (B::Modulo, ScalarKind::Sint) => Some((a as i32).checked_rem(b as i32).map_or(0, |c| c as u32)),
        (B::Divide, _) => Some(a.checked_div(b).unwrap_or(a)),
        (B::Modulo, _) => Some(a.checked_rem(b).unwrap_or(0)),
        (B::And | B::LogicalAnd, _) => Some(a & b),
        (B::InclusiveOr | B::LogicalOr, _) => Some(a | b),
        (B::ExclusiveOr, _) => Some(a ^ b),
        (B::ShiftLeft, _) => Some(a << (b % 32)),
        (B::ShiftRight, ScalarKind::Sint) => Some(((a as i32) >> (b % 32)) as u32),
        (B::ShiftRight, _) => Some(a >> (b % 32)),
        (_, ScalarKind::Float) => ordered(float(a).partial_cmp(&float(b))),
        (_, ScalarKind::Sint) => ordered(Some((a as i32).cmp(&(b as i32)))),
        _ => ordered(Some(a.cmp(&b))),
    }
}

/// Functions of each element alone; unknown is what addresses don't need.
pub(super) fn math(fun: MathFunction, kind: ScalarKind, [a, b, c]: [Word; 3]) -> Word {
    use MathFunction as M;
    let a = a?;
    match (fun, kind) {
        (M::Abs, ScalarKind::Float) => Some(a & 0x7fff_ffff),
        (M::Abs, ScalarKind::Sint) => Some((a as i32).unsigned_abs()),
        (M::Abs, _) => Some(a),
        (M::Trunc, ScalarKind::Float) => of_float(float(a).trunc()),
        (M::Min, ScalarKind::Float) => of_float(float(a).min(float(b?))),
        (M::Max, ScalarKind::Float) => of_float(float(a).max(float(b?))),
        (M::Min, ScalarKind::Sint) => Some((a as i32).min(b? as i32) as u32),
        (M::Max, ScalarKind::Sint) => Some((a as i32).max(b? as i32) as u32),
        (M::Clamp, ScalarKind::Sint) => Some((a as i32).max(b? as i32).min(c? as i32) as u32),
        (M::Min, _) => Some(a.min(b?)),
        (M::Max, _) => Some(a.max(b?)),
        (M::Clamp, ScalarKind::Uint) => Some(a.max(b?).min(c?)),
        _ => None,
    }
}

/// A conversion by value; without one it is by bits, which stay.
pub(super) fn converted(from: ScalarKind, to: ScalarKind, a: Word) -> Word {
    let a = a?;
    match (from, to) {
        (ScalarKind::Float, ScalarKind::Uint) => (!float(a).is_nan()).then_some(float(a) as u32),
        (ScalarKind::Float, ScalarKind::Sint) => (!float(a).is_nan()).then_some(float(a) as i32 as u32),
        (ScalarKind::Float, ScalarKind::Bool) => flag(float(a) != 0.0),
        (ScalarKind::Sint, ScalarKind::Float) => of_float(a as i32 as f32),
        (_, ScalarKind::Float) if from != ScalarKind::Float => of_float(a as f32),
        (_, ScalarKind::Bool) => flag(a != 0),
        _ => Some(a),
    }
}
