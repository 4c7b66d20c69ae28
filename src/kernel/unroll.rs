//! Writes out the loops of WGSL that have a constant length.
//!
//! A register tile is an array that only constants index. Compilers make constants of loop variables by unrolling, each
//! by rules of its own, and keep the array in memory where they don't, which costs a factor of ten: LLVM leaves loops of
//! long bodies, naga puts a counter into every loop unless a native host vouches for the shader, and such a loop nothing
//! unrolls. So no compiler is asked: what reaches it has no such loops.

use std::collections::HashMap;

/// Loops that turn more often stay loops: they are no register tiles.
const MOST_TURNS: u64 = 16;

/// The source with each `for (var name = START; name < END; name++)`, or `name += STEP`, of constants written out as
/// blocks that begin with `const name = …;`. A loop begins and ends at lines of its own; `while` loops are left alone.
pub(super) fn unroll(source: &str) -> String {
    let constants = source.lines().filter_map(|line| line.strip_prefix("const ")?.strip_suffix(';')?.split_once(" = "));
    let constants = Constants(constants.collect());
    let lines: Vec<&str> = source.lines().collect();
    let mut out = String::with_capacity(2 * source.len());
    write(&lines, &constants, &mut out);
    out
}

fn write(lines: &[&str], constants: &Constants<'_>, out: &mut String) {
    let mut at = 0;
    while let Some(&line) = lines.get(at) {
        at += 1;
        let Some((name, turns)) = header(line, constants) else {
            out.push_str(line);
            out.push('\n');
            continue;
        };
        let end = at
            + lines[at..].iter().scan(1, |depth, line| Some(block_depth(depth, line))).take_while(|&d| d > 0).count();
        for turn in turns {
            out.push_str(&format!("{{ const {name} = {turn}u;\n"));
            write(&lines[at..end], constants, out);
            out.push_str("}\n");
        }
        at = end + 1;
    }
}

/// The depth of blocks behind a line.
fn block_depth(depth: &mut i32, line: &str) -> i32 {
    let code = line.split("//").next().unwrap_or("");
    *depth += code.matches('{').count() as i32 - code.matches('}').count() as i32;
    *depth
}

/// The variable and its values, if the line begins a loop that is written out.
fn header<'a>(line: &'a str, constants: &Constants<'_>) -> Option<(&'a str, Vec<u64>)> {
    let inner = line.trim_start().strip_prefix("for (var ")?.strip_suffix(") {")?;
    let [first, condition, step] = inner.split("; ").collect::<Vec<_>>().try_into().ok()?;
    let (name, start) = first.split_once(" = ")?;
    let end = condition.strip_prefix(name)?.strip_prefix(" < ")?;
    let step = step.strip_prefix(name)?;
    let step = if step == "++" { "1u" } else { step.strip_prefix(" += ")? };
    let [start, end, step] = [start, end, step].map(|text| constants.value(text));
    let (start, end, step) = (start?, end?, step.filter(|&step| step > 0)?);
    let turns: Vec<u64> = (start..end).step_by(step as usize).take(MOST_TURNS as usize + 1).collect();
    (turns.len() <= MOST_TURNS as usize).then_some((name, turns))
}

/// The source's `const` declarations of integers.
struct Constants<'a>(HashMap<&'a str, &'a str>);

impl Constants<'_> {
    /// The value of a constant expression; `None` where it isn't one, or not of integers.
    fn value(&self, text: &str) -> Option<u64> {
        let mut rest = Expression { constants: self, text: text.trim() };
        let value = rest.whole()?;
        rest.text.is_empty().then_some(value)
    }
}

/// What is left to read of an expression.
struct Expression<'a> {
    constants: &'a Constants<'a>,
    text: &'a str,
}

/// A token and what it makes of two values; `None` where they have no such result.
type Operator = (&'static str, fn(u64, u64) -> Option<u64>);

impl<'a> Expression<'a> {
    fn take(&mut self, token: &str) -> bool {
        let rest = self.text.strip_prefix(token);
        self.text = rest.unwrap_or(self.text).trim_start();
        rest.is_some()
    }

    fn word(&mut self) -> &'a str {
        let end = self.text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.text.len());
        let (word, rest) = self.text.split_at(end);
        self.text = rest.trim_start();
        word
    }

    fn whole(&mut self) -> Option<u64> {
        self.chain(Self::sum, &[("==", |a, b| Some(u64::from(a == b)))])
    }

    fn sum(&mut self) -> Option<u64> {
        self.chain(Self::product, &[("+", u64::checked_add), ("-", u64::checked_sub)])
    }

    fn product(&mut self) -> Option<u64> {
        self.chain(Self::operand, &[("*", u64::checked_mul), ("/", u64::checked_div), ("%", u64::checked_rem)])
    }

    /// Operands with these operators between them, from the left.
    fn chain(&mut self, operand: fn(&mut Self) -> Option<u64>, operators: &[Operator]) -> Option<u64> {
        let mut value = operand(self)?;
        while let Some((_, apply)) = operators.iter().find(|(token, _)| self.take(token)) {
            value = apply(value, operand(self)?)?;
        }
        Some(value)
    }

    fn operand(&mut self) -> Option<u64> {
        if self.take("(") {
            let value = self.whole()?;
            return self.take(")").then_some(value);
        }
        let word = self.word();
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            return word.strip_suffix('u')?.parse().ok();
        }
        match word {
            "true" => Some(1),
            "false" => Some(0),
            "min" | "max" | "select" => {
                let arguments = self.arguments()?;
                match (word, arguments.as_slice()) {
                    ("min", [a, b]) => Some(*a.min(b)),
                    ("max", [a, b]) => Some(*a.max(b)),
                    ("select", [no, yes, which]) => Some(if *which == 0 { *no } else { *yes }),
                    _ => None,
                }
            }
            name => self.constants.value(self.constants.0.get(name)?),
        }
    }

    fn arguments(&mut self) -> Option<Vec<u64>> {
        let mut arguments = Vec::new();
        if !self.take("(") {
            return None;
        }
        loop {
            arguments.push(self.whole()?);
            if !self.take(",") {
                return self.take(")").then_some(arguments);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Constants, unroll};

    #[test]
    fn loops_of_constant_length_are_written_out() {
        let source = "const N = 2u;\n\
            for (var i = 0u; i < N; i++) {\n\
            a[i] = 1; // } is no end\n\
            for (var j = 0u; j < 4u; j += N) {\nb[i][j] = 2;\n}\n\
            }\n\
            for (var k = 0u; k < params.count; k++) {\nc[k] = 3;\n}\n";
        let inner = "{ const j = 0u;\nb[i][j] = 2;\n}\n{ const j = 2u;\nb[i][j] = 2;\n}\n";
        let turn = |i: u32| format!("{{ const i = {i}u;\na[i] = 1; // }} is no end\n{inner}}}\n");
        let rest = "for (var k = 0u; k < params.count; k++) {\nc[k] = 3;\n}\n";
        assert_eq!(unroll(source), format!("const N = 2u;\n{}{}{rest}", turn(0), turn(1)));
    }

    #[test]
    fn long_loops_and_loops_that_never_turn() {
        let long = "for (var i = 0u; i < 17u; i++) {\na();\n}\n";
        assert_eq!(unroll(long), long);
        assert_eq!(unroll("for (var i = 0u; i < 0u; i++) {\na();\n}\nb();\n"), "b();\n");
    }

    #[test]
    fn constant_expressions() {
        let constants = Constants([("A", "4u * B"), ("B", "select(1u, 2u, IS)"), ("IS", "true"), ("F", "1.5")].into());
        for (text, value) in [
            ("A", Some(8)),
            ("(A + 1u) % 5u", Some(4)),
            ("min(A, max(B, 3u)) - 1u", Some(2)),
            ("A / 3u * 2u", Some(4)),
            ("select(A, B, B == 1u + 1u)", Some(2)),
            ("A / (B - 2u)", None),
            ("B - 3u", None),
            ("params.batch", None),
            ("min(A, params.batch)", None),
            ("F", None),
            ("A B", None),
            ("min(A)", None),
            ("", None),
        ] {
            assert_eq!(constants.value(text), value, "{text}");
        }
    }
}
