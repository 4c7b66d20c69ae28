//! What expressions are to each invocation, and the accesses to memory among them.

use super::arithmetic::{binary, converted, math, unary};
use super::column::{Column, Mask, Word, either};
use super::machine::{Machine, Pointer, Root, Value, of_type, scalars};
use naga::{
    ArraySize, BinaryOperator, Expression, Handle, Literal, MathFunction, RelationalFunction, ScalarKind, Type,
    TypeInner,
};
use std::rc::Rc;

fn literal(literal: Literal) -> u32 {
    match literal {
        Literal::U32(value) => value,
        Literal::I32(value) => value as u32,
        Literal::F32(value) => value.to_bits(),
        Literal::Bool(value) => value.into(),
        other => panic!("{other:?} isn't known here"),
    }
}

/// One for all elements, or one for each.
fn spread(columns: &[Column], at: usize) -> &Column {
    if columns.len() == 1 { &columns[0] } else { &columns[at] }
}

impl<'m> Machine<'m, '_> {
    pub(super) fn inner(&self, of: Handle<Expression>) -> &'m TypeInner {
        let frame = self.frames.last().expect("a function is called");
        frame.info[of].ty.inner_with(&self.module.types)
    }

    fn kind(&self, of: Handle<Expression>) -> ScalarKind {
        match self.inner(of) {
            TypeInner::Scalar(scalar) | TypeInner::Vector { scalar, .. } => scalar.kind,
            other => panic!("{other:?} isn't known here"),
        }
    }

    /// What was computed, or what needn't be.
    pub(super) fn value(&mut self, handle: Handle<Expression>) -> Value {
        match &self.frame().values[handle.index()] {
            Some(value) => value.clone(),
            None => self.evaluate(handle),
        }
    }

    pub(super) fn data(&mut self, handle: Handle<Expression>) -> Vec<Column> {
        match self.value(handle) {
            Value::Data(columns) => columns,
            Value::Pointer(pointer) => panic!("a pointer to {:?} is no data", pointer.root),
        }
    }

    pub(super) fn column(&mut self, handle: Handle<Expression>) -> Column {
        self.data(handle).swap_remove(0)
    }

    fn constant(&self, handle: Handle<Expression>) -> Vec<Column> {
        match &self.module.global_expressions[handle] {
            Expression::Literal(value) => vec![Column::known(literal(*value))],
            Expression::Constant(other) => self.constant(self.module.constants[*other].init),
            Expression::ZeroValue(ty) => self.zero(*ty),
            Expression::Compose { components, .. } => components.iter().flat_map(|&c| self.constant(c)).collect(),
            Expression::Splat { size, value } => vec![self.constant(*value).swap_remove(0); *size as usize],
            other => panic!("{other:?} isn't known here"),
        }
    }

    fn zero(&self, ty: Handle<Type>) -> Vec<Column> {
        vec![Column::known(0); of_type(self.module, ty) as usize]
    }

    pub(super) fn evaluate(&mut self, handle: Handle<Expression>) -> Value {
        let function = self.frame().function;
        let columns = match &function.expressions[handle] {
            Expression::Literal(value) => vec![Column::known(literal(*value))],
            Expression::Constant(constant) => self.constant(self.module.constants[*constant].init),
            Expression::ZeroValue(ty) => self.zero(*ty),
            Expression::Compose { components, .. } => components.iter().flat_map(|&c| self.data(c)).collect(),
            Expression::Splat { size, value } => vec![self.column(*value); *size as usize],
            Expression::Swizzle { size, vector, pattern } => {
                let columns = self.data(*vector);
                pattern[..*size as usize].iter().map(|&component| columns[component as usize].clone()).collect()
            }
            Expression::FunctionArgument(number) => return self.frame().arguments[*number as usize].clone(),
            Expression::GlobalVariable(global) => return self.pointer(Root::Global(*global)),
            Expression::LocalVariable(local) => {
                let depth = self.frames.len() - 1;
                return self.pointer(Root::Local(depth, *local));
            }
            Expression::Access { base, index } => {
                let index = self.column(*index);
                return self.access(*base, &index);
            }
            Expression::AccessIndex { base, index } => return self.member(*base, *index),
            Expression::Load { pointer } => {
                let length = scalars(self.module, self.inner(handle));
                self.load(*pointer, length)
            }
            Expression::Unary { op, expr } => {
                let kind = self.kind(*expr);
                self.data(*expr).iter().map(|column| column.map(|word| unary(*op, kind, word))).collect()
            }
            Expression::Binary { op, left, right } => {
                let kind = self.kind(*left);
                let (left, right) = (self.data(*left), self.data(*right));
                let each = (0..left.len().max(right.len()))
                    .map(|i| spread(&left, i).zip(spread(&right, i), |a, b| binary(*op, kind, a, b)));
                each.collect()
            }
            Expression::Select { condition, accept, reject } => {
                let (condition, accept, reject) = (self.data(*condition), self.data(*accept), self.data(*reject));
                (0..accept.len()).map(|i| self.select(spread(&condition, i), &accept[i], &reject[i])).collect()
            }
            Expression::Relational { fun, argument } => {
                let columns = self.data(*argument);
                let join = match fun {
                    RelationalFunction::All => BinaryOperator::LogicalAnd,
                    RelationalFunction::Any => BinaryOperator::LogicalOr,
                    other => panic!("{other:?} isn't known here"),
                };
                let joined = columns.into_iter().reduce(|a, b| a.zip(&b, |a, b| binary(join, ScalarKind::Bool, a, b)));
                joined.into_iter().collect()
            }
            Expression::Math { fun, arg, arg1, arg2, .. } => {
                let count = scalars(self.module, self.inner(handle)) as usize;
                self.math(*fun, [Some(*arg), *arg1, *arg2], count)
            }
            Expression::As { expr, kind, convert } => {
                let from = self.kind(*expr);
                let columns = self.data(*expr);
                match convert {
                    None => columns,
                    Some(_) => columns.iter().map(|column| column.map(|word| converted(from, *kind, word))).collect(),
                }
            }
            other => panic!("{other:?} isn't known here"),
        };
        Value::Data(columns)
    }

    fn pointer(&self, root: Root) -> Value {
        Value::Pointer(Pointer { root, at: Column::known(0), wrong: Vec::new() })
    }

    fn select(&self, condition: &Column, accept: &Column, reject: &Column) -> Column {
        if let Column::Same(Some(which)) = condition {
            return if *which == 1 { accept.clone() } else { reject.clone() };
        }
        let of = |lane| match condition.at(lane) {
            Some(1) => accept.at(lane),
            Some(_) => reject.at(lane),
            None => either(accept.at(lane), reject.at(lane)),
        };
        match (condition, accept, reject) {
            (Column::Same(_), Column::Same(_), Column::Same(_)) => Column::Same(of(0)),
            _ => Column::each((0..self.count).map(of).collect()),
        }
    }

    fn math(&mut self, fun: MathFunction, arguments: [Option<Handle<Expression>>; 3], count: usize) -> Vec<Column> {
        let kind = self.kind(arguments[0].expect("the first"));
        let [a, b, c] = arguments.map(|argument| argument.map(|handle| self.data(handle)));
        let a = a.expect("the first");
        // Not element by element: a product of vectors, halves in words.
        if a.len() != count || fun == MathFunction::Dot {
            return vec![Column::UNKNOWN; count];
        }
        let at = |of: &Option<Vec<Column>>, i| of.as_ref().map_or(Column::UNKNOWN, |of| spread(of, i).clone());
        let each = |i: usize| {
            let (b, c) = (at(&b, i), at(&c, i));
            match (&a[i], &b, &c) {
                (Column::Same(a), Column::Same(b), Column::Same(c)) => Column::Same(math(fun, kind, [*a, *b, *c])),
                (a, b, c) => {
                    let of = |lane| math(fun, kind, [a.at(lane), b.at(lane), c.at(lane)]);
                    Column::each((0..self.count).map(of).collect())
                }
            }
        };
        (0..count).map(each).collect()
    }

    /// Scalars of an element, and how many elements there are: of a value's type or of what a pointer's points to.
    fn elements(&self, of: &TypeInner, root: Option<Root>) -> (u32, u64) {
        match *of {
            TypeInner::Vector { size, .. } | TypeInner::ValuePointer { size: Some(size), .. } => (1, size as u64),
            TypeInner::Array { base, size: ArraySize::Constant(length), .. } => {
                (of_type(self.module, base), length.get().into())
            }
            TypeInner::Array { base, size: ArraySize::Dynamic, stride } => {
                let element = of_type(self.module, base);
                assert_eq!(stride, 4 * element, "elements lie side by side");
                let Some(Root::Global(global)) = root else { panic!("only a binding has no length of its own") };
                (element, self.bindings[&global].words / u64::from(element))
            }
            TypeInner::Pointer { base, .. } => self.elements(&self.module.types[base].inner, root),
            ref other => panic!("{other:?} has no elements"),
        }
    }

    /// An element whose number is computed.
    fn access(&mut self, base: Handle<Expression>, index: &Column) -> Value {
        let of = self.inner(base);
        let value = self.value(base);
        let root = if let Value::Pointer(pointer) = &value { Some(pointer.root) } else { None };
        let (size, length) = self.elements(of, root);
        let is_wrong = |word: Word| word.is_none_or(|word| u64::from(word) >= length);
        let wrong: Mask = match index {
            Column::Same(word) if !is_wrong(*word) => Mask::default(),
            _ => (0..self.count).filter(|&lane| is_wrong(index.at(lane))).collect(),
        };
        match value {
            Value::Pointer(mut pointer) => {
                if wrong.any() {
                    // One of those who use it; others among these may not.
                    for lane in wrong.lanes() {
                        let what = match index.at(lane) {
                            Some(word) => format!("element {word} of {length} of {}", self.name(pointer.root)),
                            None => format!("has a value decide an element of {}", self.name(pointer.root)),
                        };
                        pointer.wrong.push((Mask::from_iter([lane]), Rc::from(what)));
                    }
                }
                let place = |at: Word, index: Word| Some(at? + size * index.filter(|_| !is_wrong(index)).unwrap_or(0));
                Value::Pointer(Pointer { at: pointer.at.zip(index, place), ..pointer })
            }
            Value::Data(columns) => {
                if wrong.and(self.active).any() {
                    self.fault(wrong.and(self.active), &format!("{index:?} of a value's {length} elements"));
                }
                let of = |lane: usize, scalar: u32| {
                    let first = index.at(lane).filter(|&i| u64::from(i) < length).unwrap_or(0) * size;
                    columns[(first + scalar) as usize].at(lane)
                };
                let each = |scalar| match index {
                    Column::Same(Some(word)) if u64::from(*word) < length => {
                        columns[(word * size + scalar) as usize].clone()
                    }
                    _ => Column::each((0..self.count).map(|lane| of(lane, scalar)).collect()),
                };
                Value::Data((0..size).map(each).collect())
            }
        }
    }

    /// An element whose number the text says, or a struct's member.
    fn member(&mut self, base: Handle<Expression>, index: u32) -> Value {
        let of = match self.inner(base) {
            TypeInner::Pointer { base, .. } => &self.module.types[*base].inner,
            other => other,
        };
        let TypeInner::Struct { members, .. } = of else { return self.access(base, &Column::known(index)) };
        let first = members[..index as usize].iter().map(|member| of_type(self.module, member.ty)).sum::<u32>();
        match self.value(base) {
            Value::Pointer(pointer) => {
                let at = pointer.at.map(|at| Some(at? + first));
                Value::Pointer(Pointer { at, ..pointer })
            }
            Value::Data(columns) => {
                let length = of_type(self.module, members[index as usize].ty);
                Value::Data(columns[first as usize..(first + length) as usize].to_vec())
            }
        }
    }

    pub(super) fn name(&self, root: Root) -> String {
        let name = match root {
            Root::Local(depth, local) => &self.frames[depth].function.local_variables[local].name,
            Root::Global(global) => &self.module.global_variables[global].name,
        };
        name.clone().unwrap_or_default()
    }
}
