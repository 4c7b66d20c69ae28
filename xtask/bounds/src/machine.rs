//! Runs a workgroup's invocations through naga's IR, all of them statement by statement, and looks at every access to memory.
//!
//! What a storage buffer holds is unknown, unless it is a constant of the plan or said to be known; so is whatever is computed of it.
//! A branch that an unknown decides is taken both ways, and what then differs is unknown. An unknown that decides an address or
//! how often a loop turns is a fault: no value of a host's may.

use super::column::{Column, Mask, either};
use super::device::{Binding, Device};
use super::memory::Shared;
use naga::valid::{FunctionInfo, ModuleInfo};
use naga::{
    AddressSpace, ArraySize, Binding as Place, Block, BuiltIn, Expression, Function, GlobalVariable, Handle,
    LocalVariable, Module, Statement, SwitchValue, Type, TypeInner,
};
use std::collections::HashMap;
use std::rc::Rc;

/// Turns after which a loop is taken to have no end.
const MOST_TURNS: u32 = 1 << 22;

/// What a pointer points into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Root {
    /// A variable of the function that is so many calls deep.
    Local(usize, Handle<LocalVariable>),
    Global(Handle<GlobalVariable>),
}

/// A place in each invocation, in words from the start of what it points into.
#[derive(Debug, Clone)]
pub(super) struct Pointer {
    pub(super) root: Root,
    pub(super) at: Column,
    /// Who must not use it, and why.
    pub(super) wrong: Vec<(Mask, Rc<str>)>,
}

/// A value of every invocation: its scalars, whatever vectors, arrays and structs they are of.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Data(Vec<Column>),
    Pointer(Pointer),
}

/// The variables of a function.
type Locals = HashMap<Handle<LocalVariable>, Vec<Column>>;

/// A call of a function.
pub(super) struct Frame<'m> {
    pub(super) function: &'m Function,
    pub(super) info: &'m FunctionInfo,
    pub(super) arguments: Vec<Value>,
    pub(super) values: Vec<Option<Value>>,
    pub(super) locals: Locals,
    result: Option<Vec<Column>>,
    has_result: Mask,
}

/// A function with what the validator knows of it.
#[derive(Clone, Copy)]
struct Callee<'m> {
    function: &'m Function,
    info: &'m FunctionInfo,
}

/// A branch, who takes it and of whom that isn't known.
struct Branch<'m> {
    accept: &'m Block,
    reject: &'m Block,
    yes: Mask,
    unknown: Mask,
}

/// A switch.
struct Switch<'m> {
    selector: Handle<Expression>,
    cases: &'m [naga::SwitchCase],
}

/// A loop.
struct Turns<'m> {
    body: &'m Block,
    continuing: &'m Block,
    break_if: Option<Handle<Expression>>,
}

/// Who left a block for the end of a loop or switch, and for a loop's next turn.
#[derive(Debug, Clone, Copy, Default)]
struct Exits {
    broken: Mask,
    continued: Mask,
}

pub(super) struct Machine<'m, 'd> {
    pub(super) module: &'m Module,
    pub(super) info: &'m ModuleInfo,
    pub(super) device: &'d mut Device,
    pub(super) bindings: &'d HashMap<Handle<GlobalVariable>, Binding>,
    pub(super) shared: HashMap<Handle<GlobalVariable>, Shared>,
    /// Invocations of a workgroup.
    pub(super) count: usize,
    pub(super) workgroup: [u32; 3],
    /// The number of the first invocation in the dispatch.
    pub(super) first: u32,
    pub(super) frames: Vec<Frame<'m>>,
    /// Who runs the present statement.
    pub(super) active: Mask,
    /// Who may or may not run it.
    pub(super) in_doubt: Mask,
    /// Who may or may not have come to the innermost loop.
    pub(super) in_doubt_before: Mask,
    /// Barriers so far.
    pub(super) barriers: u32,
}

/// Scalars of a type.
pub(super) fn scalars(module: &Module, inner: &TypeInner) -> u32 {
    match inner {
        TypeInner::Scalar(_) | TypeInner::Atomic(_) => 1,
        TypeInner::Vector { size, .. } => *size as u32,
        TypeInner::Array { base, size: ArraySize::Constant(length), .. } => length.get() * of_type(module, *base),
        TypeInner::Struct { members, .. } => members.iter().map(|member| of_type(module, member.ty)).sum(),
        other => panic!("{other:?} isn't known here"),
    }
}

pub(super) fn of_type(module: &Module, ty: Handle<Type>) -> u32 {
    scalars(module, &module.types[ty].inner)
}

impl<'m> Machine<'m, '_> {
    /// Runs one workgroup.
    pub(super) fn run(&mut self) {
        let entry = &self.module.entry_points[0];
        for (handle, global) in self.module.global_variables.iter() {
            if global.space == AddressSpace::WorkGroup {
                self.shared.insert(handle, Shared::new(of_type(self.module, global.ty) as usize));
            }
        }
        let [x, y, z] = self.workgroup.map(Column::known);
        let lanes = Column::each((0..self.count as u32).map(Some).collect());
        let arguments = entry.function.arguments.iter().map(|argument| match argument.binding {
            Some(Place::BuiltIn(BuiltIn::WorkGroupId)) => Value::Data(vec![x.clone(), y.clone(), z.clone()]),
            Some(Place::BuiltIn(BuiltIn::LocalInvocationIndex)) => Value::Data(vec![lanes.clone()]),
            ref other => panic!("{other:?} isn't known here"),
        });
        let arguments = arguments.collect();
        let everyone = Mask::first(self.count);
        let callee = Callee { function: &entry.function, info: self.info.get_entry_point(0) };
        self.call(callee, arguments, everyone);
    }

    fn call(&mut self, callee: Callee<'m>, arguments: Vec<Value>, mask: Mask) -> Option<Vec<Column>> {
        let Callee { function, info } = callee;
        let values = vec![None; function.expressions.len()];
        let (locals, result, has_result) = (HashMap::new(), None, Mask::default());
        self.frames.push(Frame { function, info, arguments, values, locals, result, has_result });
        for (handle, local) in function.local_variables.iter() {
            let initial = match local.init {
                Some(init) => self.data(init),
                None => vec![Column::known(0); of_type(self.module, local.ty) as usize],
            };
            self.frame().locals.insert(handle, initial);
        }
        self.block(&function.body, mask, &mut Exits::default());
        self.frames.pop().and_then(|frame| frame.result)
    }

    pub(super) fn frame(&mut self) -> &mut Frame<'m> {
        self.frames.last_mut().expect("a function is called")
    }

    /// Runs a block; who is at its end.
    fn block(&mut self, block: &'m Block, mut mask: Mask, exits: &mut Exits) -> Mask {
        for statement in block {
            // Nothing after a fault is worth looking at.
            if !mask.any() || !self.device.faults.is_empty() {
                return Mask::default();
            }
            mask = self.statement(statement, mask, exits);
        }
        mask
    }

    fn statement(&mut self, statement: &'m Statement, mask: Mask, exits: &mut Exits) -> Mask {
        self.active = mask;
        match statement {
            Statement::Emit(range) => {
                for handle in range.clone() {
                    let value = self.evaluate(handle);
                    self.frame().values[handle.index()] = Some(value);
                }
                mask
            }
            Statement::Block(block) => self.block(block, mask, exits),
            Statement::If { condition, accept, reject } => {
                let condition = self.column(*condition);
                let (yes, unknown) = condition.lanes_with(1, mask);
                if unknown.any() {
                    return self.both_ways(Branch { accept, reject, yes, unknown }, mask, exits);
                }
                let accepted = self.block(accept, yes, exits);
                accepted.or(self.block(reject, mask.without(yes), exits))
            }
            Statement::Switch { selector, cases } => self.switch(Switch { selector: *selector, cases }, mask, exits),
            Statement::Loop { body, continuing, break_if } => {
                self.turns(Turns { body, continuing, break_if: *break_if }, mask)
            }
            Statement::Break => {
                self.must_be_certain(mask);
                exits.broken = exits.broken.or(mask);
                Mask::default()
            }
            Statement::Continue => {
                self.must_be_certain(mask);
                exits.continued = exits.continued.or(mask);
                Mask::default()
            }
            Statement::Return { value } => {
                if let Some(value) = value {
                    let value = self.data(*value);
                    self.give(value, mask);
                }
                Mask::default()
            }
            Statement::ControlBarrier(_) => {
                self.barriers += 1;
                mask
            }
            Statement::Store { pointer, value } => {
                let value = self.data(*value);
                self.store(*pointer, value);
                mask
            }
            Statement::Call { function, arguments, result } => {
                let arguments = arguments.iter().map(|&argument| self.value(argument)).collect();
                let callee = Callee { function: &self.module.functions[*function], info: &self.info[*function] };
                let given = self.call(callee, arguments, mask);
                if let Some(result) = result {
                    self.frame().values[result.index()] = given.map(Value::Data);
                }
                mask
            }
            other => panic!("{other:?} isn't known here"),
        }
    }

    /// A branch that is taken both ways by those of whom it isn't known which they take.
    fn both_ways(&mut self, branch: Branch<'m>, mask: Mask, exits: &mut Exits) -> Mask {
        let Branch { accept, reject, yes, unknown } = branch;
        let doubted = self.in_doubt;
        self.in_doubt = doubted.or(unknown);
        let before = self.locals();
        let accepted = self.block(accept, yes.or(unknown), exits);
        let after = self.locals();
        self.restore(&before, unknown);
        let rejected = self.block(reject, mask.without(yes), exits);
        self.join(&after, unknown);
        self.in_doubt = doubted;
        accepted.or(rejected)
    }

    /// All variables of all functions that are called.
    fn locals(&self) -> Vec<Locals> {
        self.frames.iter().map(|frame| frame.locals.clone()).collect()
    }

    /// Makes of variables what `apply` makes of them and of what they were, of these lanes.
    fn with_locals(&mut self, others: &[Locals], lanes: Mask, apply: impl Fn(&Column, &Column) -> Column) {
        let count = self.count;
        for (frame, others) in self.frames.iter_mut().zip(others) {
            for (variable, columns) in &mut frame.locals {
                for (column, other) in columns.iter_mut().zip(&others[variable]) {
                    *column = column.replaced(&apply(column, other), lanes, count);
                }
            }
        }
    }

    fn restore(&mut self, before: &[Locals], lanes: Mask) {
        self.with_locals(before, lanes, |_, before| before.clone());
    }

    fn join(&mut self, others: &[Locals], lanes: Mask) {
        self.with_locals(others, lanes, |column, other| column.zip(other, either));
    }

    /// How often a loop turns must not be in doubt.
    fn must_be_certain(&mut self, mask: Mask) {
        let doubted = mask.and(self.in_doubt).without(self.in_doubt_before);
        if doubted.any() {
            self.fault(doubted, "has a value decide how often a loop turns");
        }
    }

    fn switch(&mut self, switch: Switch<'m>, mask: Mask, exits: &mut Exits) -> Mask {
        let Switch { selector, cases } = switch;
        let selector = self.column(selector);
        let value = |case: &naga::SwitchCase| match case.value {
            SwitchValue::U32(value) => Some(value),
            SwitchValue::I32(value) => Some(value as u32),
            SwitchValue::Default => None,
        };
        let (mut others, mut unknown) = (mask, Mask::default());
        for value in cases.iter().filter_map(value) {
            let (own, of_none) = selector.lanes_with(value, mask);
            (others, unknown) = (others.without(own), unknown.or(of_none));
        }
        others = others.without(unknown);
        let (doubted, before) = (self.in_doubt, self.locals());
        let mut joined: Option<Vec<Locals>> = None;
        let (mut through, mut done) = (Mask::default(), Mask::default());
        for case in cases {
            let own = value(case).map_or(others, |value| selector.lanes_with(value, mask).0);
            if unknown.any() {
                // They take every case, as they came.
                assert!(!case.fall_through, "a case that falls through is not known here");
                self.restore(&before, unknown);
                self.in_doubt = doubted.or(unknown);
            }
            let mut inner = Exits::default();
            let reached = self.block(&case.body, own.or(through).or(unknown), &mut inner);
            if unknown.any() {
                if let Some(joined) = &joined {
                    self.join(joined, unknown);
                }
                joined = Some(self.locals());
                self.in_doubt = doubted;
            }
            exits.continued = exits.continued.or(inner.continued);
            done = done.or(inner.broken);
            through = if case.fall_through { reached } else { Mask::default() };
            if !case.fall_through {
                done = done.or(reached);
            }
        }
        done.or(through)
    }

    fn turns(&mut self, turns: Turns<'m>, mut mask: Mask) -> Mask {
        let Turns { body, continuing, break_if } = turns;
        let before = std::mem::replace(&mut self.in_doubt_before, self.in_doubt);
        let mut done = Mask::default();
        for turn in 0.. {
            if !mask.any() || !self.device.faults.is_empty() {
                break;
            }
            if turn == MOST_TURNS {
                self.fault(mask, "is in a loop without an end");
                break;
            }
            let mut exits = Exits::default();
            let reached = self.block(body, mask, &mut exits);
            done = done.or(exits.broken);
            mask = self.block(continuing, reached.or(exits.continued), &mut Exits::default());
            if let Some(condition) = break_if.filter(|_| mask.any()) {
                let (ends, unknown) = self.column(condition).lanes_with(1, mask);
                if unknown.any() {
                    self.fault(unknown, "has a value decide how often a loop turns");
                }
                done = done.or(ends).or(unknown);
                mask = mask.without(ends).without(unknown);
            }
        }
        self.in_doubt_before = before;
        done
    }

    /// Some invocations return.
    fn give(&mut self, value: Vec<Column>, mask: Mask) {
        let count = self.count;
        let frame = self.frame();
        let again = mask.and(frame.has_result);
        frame.has_result = frame.has_result.or(mask);
        frame.result = Some(match frame.result.take() {
            None => value,
            Some(before) => {
                let given = before.iter().zip(&value).map(|(before, value)| {
                    let value = value.replaced(&before.zip(value, either), again, count);
                    before.replaced(&value, mask, count)
                });
                given.collect()
            }
        });
    }

    pub(super) fn fault(&mut self, lanes: Mask, what: &str) {
        let lane = lanes.lanes().next().unwrap_or_default();
        let function = self.frames.last().and_then(|frame| frame.function.name.as_deref()).unwrap_or("main");
        self.device.faults.push(format!("workgroup {:?}, invocation {lane}, {function}: {what}", self.workgroup));
    }
}
