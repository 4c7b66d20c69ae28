//! A lint over naga's IR: barriers must stand in uniform control flow. naga doesn't check it, browsers do, and some
//! drivers hang where it doesn't hold.
//!
//! Stricter than WGSL where that is simpler: a variable is non-uniform everywhere when it is so anywhere, and after a
//! divergent `continue` the rest of the loop is divergent. A called function is judged anew for every call.

use naga::{
    AddressSpace, Arena, Binding, Block, BuiltIn, Expression, Function, FunctionArgument, Handle, LocalVariable,
    Module, Statement, StorageAccess, TypeInner,
};
use std::collections::{HashMap, HashSet};

/// What is wrong with the barriers of a module's entry points; empty when nothing is.
pub(crate) fn violations(module: &Module) -> Vec<String> {
    let mut found = Vec::new();
    for entry in &module.entry_points {
        let uniform = |binding: Option<&Binding>| {
            use BuiltIn::{NumWorkGroups, WorkGroupId, WorkGroupSize};
            matches!(binding, Some(Binding::BuiltIn(WorkGroupId | WorkGroupSize | NumWorkGroups)))
        };
        let varies = |argument: &FunctionArgument| match &module.types[argument.ty].inner {
            TypeInner::Struct { members, .. } => !members.iter().all(|member| uniform(member.binding.as_ref())),
            _ => !uniform(argument.binding.as_ref()),
        };
        let arguments = entry.function.arguments.iter().map(varies).collect();
        let barriers = Walk::new(module, &entry.function, arguments).barriers(false);
        if barriers > 0 {
            found.push(format!("{barriers} barriers of {} in non-uniform control flow", entry.name));
        }
    }
    found
}

/// Which ways out of a block are taken by some invocations only.
#[derive(Debug, Clone, Copy, Default)]
struct Divergent {
    r#return: bool,
    r#break: bool,
    r#continue: bool,
}

impl Divergent {
    fn any(self) -> bool {
        self.r#return || self.r#break || self.r#continue
    }

    fn join(&mut self, other: Self) {
        self.r#return |= other.r#return;
        self.r#break |= other.r#break;
        self.r#continue |= other.r#continue;
    }
}

struct Walk<'m> {
    module: &'m Module,
    function: &'m Function,
    /// Which arguments differ between invocations.
    arguments: Vec<bool>,
    /// Variables that hold different values in different invocations.
    locals: HashSet<Handle<LocalVariable>>,
    /// Calls that give different results in different invocations.
    calls: HashSet<Handle<Expression>>,
    memo: HashMap<Handle<Expression>, bool>,
    /// Barriers under divergent control flow.
    barriers: usize,
}

impl<'m> Walk<'m> {
    fn new(module: &'m Module, function: &'m Function, arguments: Vec<bool>) -> Self {
        let (locals, calls, memo) = Default::default();
        Self { module, function, arguments, locals, calls, memo, barriers: 0 }
    }

    /// Barriers that stand under divergent control flow where the function is entered under such, or not.
    fn barriers(mut self, divergent: bool) -> usize {
        // What is non-uniform only grows, so this ends; what the last round finds is true of the final state.
        loop {
            let before = (self.locals.len(), self.calls.len());
            self.memo.clear();
            self.barriers = 0;
            self.block(&self.function.body, divergent);
            if (self.locals.len(), self.calls.len()) == before {
                return self.barriers;
            }
        }
    }

    fn block(&mut self, block: &Block, mut divergent: bool) -> Divergent {
        let mut ways = Divergent::default();
        for statement in block {
            let out = self.statement(statement, divergent);
            divergent |= out.any();
            ways.join(out);
        }
        ways
    }

    fn statement(&mut self, statement: &Statement, divergent: bool) -> Divergent {
        let mut ways = Divergent::default();
        match statement {
            Statement::ControlBarrier(_) | Statement::MemoryBarrier(_) | Statement::WorkGroupUniformLoad { .. } => {
                self.barriers += usize::from(divergent);
            }
            Statement::Return { .. } | Statement::Kill => ways.r#return = divergent,
            Statement::Break => ways.r#break = divergent,
            Statement::Continue => ways.r#continue = divergent,
            Statement::Block(block) => ways = self.block(block, divergent),
            Statement::If { condition, accept, reject } => {
                let divergent = divergent || self.varies(*condition);
                ways = self.block(accept, divergent);
                ways.join(self.block(reject, divergent));
            }
            Statement::Switch { selector, cases } => {
                let divergent = divergent || self.varies(*selector);
                for case in cases {
                    ways.join(self.block(&case.body, divergent));
                }
                // A break of a switch ends at its end.
                ways.r#break = false;
            }
            Statement::Loop { body, continuing, break_if } => {
                let mut all = divergent;
                loop {
                    let barriers = self.barriers;
                    ways = self.block(body, all);
                    ways.join(self.block(continuing, all || ways.any()));
                    ways.r#break |= break_if.is_some_and(|condition| all || self.varies(condition));
                    if all || !ways.any() {
                        break;
                    }
                    // Some invocations leave earlier than others, so every later round is divergent.
                    (all, self.barriers) = (true, barriers);
                }
                // All that left by break or continue meet again behind the loop.
                (ways.r#break, ways.r#continue) = (false, false);
            }
            Statement::Store { pointer, value } => {
                let varies = divergent || self.varies(*value) || self.varies(*pointer);
                if let (Some(local), true) = (self.root_local(*pointer), varies) {
                    self.locals.insert(local);
                }
            }
            Statement::Call { function, arguments, result } => {
                let callee = &self.module.functions[*function];
                let varying: Vec<bool> = arguments.iter().map(|&argument| self.varies(argument)).collect();
                let varies = divergent || varying.contains(&true) || !self.is_pure(callee);
                self.barriers += Walk::new(self.module, callee, varying).barriers(divergent);
                if varies {
                    self.calls.extend(result);
                    let written: Vec<_> = arguments.iter().filter_map(|&a| self.root_local(a)).collect();
                    self.locals.extend(written);
                }
            }
            // Their results are non-uniform wherever they stand.
            _ => {}
        }
        ways
    }

    /// Whether a function's result depends on its arguments and on uniform data alone.
    fn is_pure(&self, function: &Function) -> bool {
        let reads_uniform = function.expressions.iter().all(|(_, expression)| match expression {
            Expression::GlobalVariable(global) => is_uniform(self.module.global_variables[*global].space),
            Expression::AtomicResult { .. } | Expression::SubgroupBallotResult => false,
            Expression::SubgroupOperationResult { .. } => false,
            _ => true,
        });
        reads_uniform && calls(&function.body).iter().all(|&callee| self.is_pure(&self.module.functions[callee]))
    }

    fn root_local(&self, pointer: Handle<Expression>) -> Option<Handle<LocalVariable>> {
        match self.function.expressions[pointer] {
            Expression::LocalVariable(local) => Some(local),
            Expression::Access { base, .. } | Expression::AccessIndex { base, .. } => self.root_local(base),
            _ => None,
        }
    }

    /// Whether an expression differs between invocations of a workgroup. Of a pointer it is the address that counts.
    fn varies(&mut self, handle: Handle<Expression>) -> bool {
        if let Some(&known) = self.memo.get(&handle) {
            return known;
        }
        let function = self.function;
        let varies = match function.expressions[handle] {
            Expression::FunctionArgument(index) => self.arguments[index as usize],
            Expression::Load { pointer } => self.varies(pointer) || self.memory_varies(pointer),
            Expression::CallResult(_) => self.calls.contains(&handle),
            Expression::AtomicResult { .. }
            | Expression::SubgroupBallotResult
            | Expression::SubgroupOperationResult { .. } => true,
            Expression::WorkGroupUniformLoadResult { .. } => false,
            ref expression => operands(expression, &function.expressions).into_iter().any(|e| self.varies(e)),
        };
        self.memo.insert(handle, varies);
        varies
    }

    fn memory_varies(&self, pointer: Handle<Expression>) -> bool {
        match self.function.expressions[pointer] {
            Expression::GlobalVariable(global) => !is_uniform(self.module.global_variables[global].space),
            Expression::LocalVariable(local) => self.locals.contains(&local),
            Expression::Access { base, .. } | Expression::AccessIndex { base, .. } => self.memory_varies(base),
            _ => true,
        }
    }
}

fn is_uniform(space: AddressSpace) -> bool {
    match space {
        AddressSpace::Uniform => true,
        AddressSpace::Storage { access } => !access.contains(StorageAccess::STORE),
        _ => false,
    }
}

/// The expressions that an expression without rules of its own is made of.
fn operands(expression: &Expression, arena: &Arena<Expression>) -> Vec<Handle<Expression>> {
    match *expression {
        Expression::Literal(_)
        | Expression::Constant(_)
        | Expression::Override(_)
        | Expression::ZeroValue(_)
        | Expression::GlobalVariable(_)
        | Expression::LocalVariable(_)
        | Expression::ArrayLength(_) => Vec::new(),
        Expression::Compose { ref components, .. } => components.clone(),
        Expression::Access { base, index } => vec![base, index],
        Expression::AccessIndex { base, .. } => vec![base],
        Expression::Splat { value, .. } => vec![value],
        Expression::Swizzle { vector, .. } => vec![vector],
        Expression::Unary { expr, .. } | Expression::As { expr, .. } => vec![expr],
        Expression::Binary { left, right, .. } => vec![left, right],
        Expression::Select { condition, accept, reject } => vec![condition, accept, reject],
        Expression::Relational { argument, .. } => vec![argument],
        Expression::Math { arg, arg1, arg2, arg3, .. } => [Some(arg), arg1, arg2, arg3].into_iter().flatten().collect(),
        // Nothing that a compute kernel here has use for: whoever adds one decides what it means for uniformity.
        ref other => panic!("the uniformity lint doesn't know {other:?}, of {} expressions", arena.len()),
    }
}

fn nested(statement: &Statement) -> Vec<&Block> {
    match statement {
        Statement::Block(block) => vec![block],
        Statement::If { accept, reject, .. } => vec![accept, reject],
        Statement::Switch { cases, .. } => cases.iter().map(|case| &case.body).collect(),
        Statement::Loop { body, continuing, .. } => vec![body, continuing],
        _ => Vec::new(),
    }
}

fn calls(block: &Block) -> Vec<Handle<Function>> {
    let mut found = Vec::new();
    for statement in block {
        if let Statement::Call { function, .. } = statement {
            found.push(*function);
        }
        found.extend(nested(statement).into_iter().flat_map(calls));
    }
    found
}

/// The cases on which Tint's verdicts are known (docs/webgpu-notes.md §3), and some of this lint's own rules.
#[cfg(test)]
mod tests {
    use super::violations;

    fn verdict(body: &str) -> Vec<String> {
        let source = format!(
            "@group(0) @binding(0) var<uniform> n: u32;
             @group(0) @binding(1) var<storage, read_write> data: array<u32>;
             @group(0) @binding(2) var<storage, read> table: array<u32>;
             var<workgroup> shared_data: array<u32, 64>;
             fn twice(i: u32) -> u32 {{ return 2u * i; }}
             fn of_data(i: u32) -> u32 {{ return data[i]; }}
             @compute @workgroup_size(64)
             fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {{ {body} }}"
        );
        violations(&naga::front::wgsl::parse_str(&source).expect(body))
    }

    #[track_caller]
    fn good(body: &str) {
        assert_eq!(verdict(body), [""; 0], "{body}");
    }

    #[track_caller]
    fn bad(body: &str) {
        assert_eq!(verdict(body).len(), 1, "{body}");
    }

    #[test]
    fn uniform_loop_is_good() {
        good("for (var k = 0u; k < n; k++) { shared_data[lane] = k; workgroupBarrier(); }");
    }

    #[test]
    fn return_on_workgroup_id_is_good() {
        good("if (group.x + group.y * 3u >= n) { return; } workgroupBarrier();");
    }

    #[test]
    fn return_on_lane_is_bad() {
        bad("if (lane >= n) { return; } workgroupBarrier();");
    }

    #[test]
    fn loop_started_at_lane_is_bad() {
        bad("for (var k = lane; k < n; k += 64u) { shared_data[k] = k; workgroupBarrier(); }");
    }

    #[test]
    fn condition_on_writable_storage_is_bad() {
        bad("if (data[0] > 0u) { workgroupBarrier(); }");
    }

    #[test]
    fn what_reads_are_uniform() {
        good("if (table[group.x] > 0u) { workgroupBarrier(); }");
        bad("if (table[lane] > 0u) { workgroupBarrier(); }");
        bad("if (shared_data[0] > 0u) { workgroupBarrier(); }");
        good("if (workgroupUniformLoad(&shared_data[0]) > 0u) { workgroupBarrier(); }");
    }

    #[test]
    fn lanes_meet_again_behind_branches_and_loops() {
        good("if (lane < n) { shared_data[lane] = 0u; } workgroupBarrier();");
        good("for (var k = lane; k < n; k += 64u) { shared_data[k] = k; } workgroupBarrier();");
        good("for (var k = 0u; k < n; k++) { if (k == lane) { break; } } workgroupBarrier();");
        good("switch (lane) { case 0u: { data[0] = n; } default: {} } workgroupBarrier();");
    }

    #[test]
    fn divergent_exits_are_bad() {
        bad("for (var k = 0u; k < n; k++) { if (k == lane) { break; } workgroupBarrier(); }");
        bad("for (var k = 0u; k < n; k++) { workgroupBarrier(); if (k == lane) { break; } }");
        bad("for (var k = 0u; k < n; k++) { if (k == lane) { return; } } workgroupBarrier();");
        bad("switch (lane) { case 0u: { workgroupBarrier(); } default: {} }");
        bad("loop { workgroupBarrier(); continuing { break if lane > 3u; } }");
    }

    #[test]
    fn variables_and_calls_carry_it() {
        bad("var k = 0u; if (lane > 3u) { k = 1u; } if (k == 1u) { workgroupBarrier(); }");
        bad("var a: array<u32, 4>; a[lane % 4u] = 1u; if (a[0] == 1u) { workgroupBarrier(); }");
        good("if (twice(group.x) > n) { return; } workgroupBarrier();");
        bad("if (twice(lane) > n) { return; } workgroupBarrier();");
        bad("if (of_data(0u) > n) { return; } workgroupBarrier();");
    }
}
