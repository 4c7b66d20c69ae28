//! Evaluates constant expressions of WGSL: integers and truth values, as far as the kernels use them.

/// The `const` declarations of a text.
pub(super) struct Constants<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Constants<'a> {
    /// The declarations in these lines.
    pub(super) fn of(lines: &[&'a str]) -> Self {
        let declared = |line: &&'a str| line.strip_prefix("const ")?.strip_suffix(';')?.split_once(" = ");
        Self(lines.iter().filter_map(declared).collect())
    }

    /// The value of a constant expression; `None` if it isn't one, or isn't an integer.
    pub(super) fn value(&self, text: &str) -> Option<u64> {
        let mut rest = Expression { constants: self, text: text.trim() };
        let value = rest.whole()?;
        rest.text.is_empty().then_some(value)
    }
}

/// The rest of an expression that is still to be read.
struct Expression<'a> {
    constants: &'a Constants<'a>,
    text: &'a str,
}

/// A token, and the operation on two values that it stands for; `None` where the operation has no result.
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

    /// Operands joined by these operators, from left to right.
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
            name => {
                // Of two the later one holds.
                let declared = self.constants.0.iter().rfind(|(declared, _)| *declared == name);
                self.constants.value(declared?.1)
            }
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
    use super::Constants;

    #[test]
    fn constant_expressions() {
        let constants = Constants::of(&[
            "const A = 4u * B;",
            "const B = select(1u, 2u, IS);",
            "const IS = true;",
            "const F = 1.5;",
        ]);
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
