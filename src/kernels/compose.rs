//! Makes one WGSL text of a kernel's file: with what it imports, for its constants, its register loops written out.
//!
//! Lines that begin with a mark are for this page alone; one that can't be obeyed is an error, never left as it is.
//!
//! - `#import shared/window` stands for that file of `shaders/`, the first time that it is imported; with
//!   `with Unit = Input, …` behind it for that file with these letters replaced wherever they stand, one pair after the
//!   other.
//! - `#if A == B`, `#else` and `#end` keep the lines for which it holds, of constants.
//! - `alias Unit = vec4<f32>;` on a line of its own: the type stands wherever its name does, and the line is left out. naga keeps an
//!   alias as a type of its own beside the one that it names, and HLSL, which tells them not apart, is given some functions twice.
//! - `#unroll for (var name = START; name < END; name++) {`, or `name += STEP`, of constants, is written out as blocks
//!   that begin with `const name = …;`. The loop begins and ends at lines of its own.
//!
//! A register tile is an array that only constants index. Compilers make constants of loop variables by unrolling, each
//! by rules of its own, and keep the array in memory where they don't, which costs a factor of ten: LLVM leaves loops of
//! long bodies, naga puts a counter into every loop unless a native host vouches for the shader, and such a loop nothing
//! unrolls. So no compiler is asked: what reaches it has no such loops.

use super::expression::Constants;

/// Most turns of a loop that is written out: with more, its sums would be in no register anyway.
const MOST_TURNS: usize = 64;

macro_rules! shared {
    ($($name:literal),*) => {
        [$((concat!("shared/", $name), super::text::text!("../../shaders/shared/", $name, ".wgsl"))),*]
    };
}
/// Files that others import, those of layers alone and those of whole models and their training.
const SHARED: &[&[(&str, &str)]] = &[
    &shared![
        "accumulate",
        "activation",
        "activation_derivative",
        "bias",
        "cell",
        "cell_product",
        "change",
        "dense_columns",
        "dispatch",
        "elements",
        "finish_stored",
        "four",
        "gradient_product",
        "inputs",
        "join",
        "join_all",
        "readers",
        "scale",
        "sparse_index",
        "step",
        "tile",
        "tile_forward",
        "tile_grad_input",
        "tile_grad_weights",
        "tile_gradient",
        "tile_load",
        "tile_output",
        "units",
        "update",
        "update_elements",
        "weights",
        "weights_change",
        "window",
        "window_gradient",
        "workgroups"
    ],
    #[cfg(feature = "models")]
    &shared![
        "axes",
        "classes",
        "element_loss",
        "nan",
        "normal",
        "operands",
        "order",
        "philox",
        "place_of_largest",
        "pool_gradient",
        "probabilities",
        "row_statistics",
        "sums",
        "window_positions",
        "window_readers",
        "windows"
    ],
];

/// The text of `source` behind these constants, in capitals; in words, which mark can't be obeyed.
pub(super) fn compose(constants: &[(&str, u32)], source: &str) -> Result<String, String> {
    let mut text: String =
        constants.iter().map(|(name, value)| format!("const {} = {value}u;\n", name.to_ascii_uppercase())).collect();
    import(source, SHARED, &mut Vec::new(), &mut text)?;
    let lines: Vec<&str> = text.lines().collect();
    let lines = cases(&lines, &Constants::of(&lines))?;
    let text = without_aliases(&lines);
    let lines: Vec<&str> = text.lines().collect();
    let constants = Constants::of(&lines);
    let mut out = String::with_capacity(2 * text.len());
    write(&lines, &constants, &mut out)?;
    Ok(out)
}

/// Adds `source` with what it imports to `out`.
fn import(source: &str, files: &[&[(&str, &str)]], done: &mut Vec<String>, out: &mut String) -> Result<(), String> {
    for line in source.lines() {
        let Some(imported) = line.strip_prefix("#import ") else {
            out.push_str(line);
            out.push('\n');
            continue;
        };
        if done.iter().any(|done| done == imported) {
            continue;
        }
        done.push(imported.to_owned());
        let (path, words) = imported.split_once(" with ").unwrap_or((imported, ""));
        let (_, file) = files
            .iter()
            .copied()
            .flatten()
            .find(|(name, _)| *name == path)
            .ok_or_else(|| format!("there is no file: {line}"))?;
        let mut text = (*file).to_owned();
        for pair in words.split(", ").filter(|pair| !pair.is_empty()) {
            let (from, to) = pair.split_once(" = ").ok_or_else(|| format!("it replaces nothing: {line}"))?;
            text = text.replace(from, to);
        }
        import(&text, files, done, out)?;
    }
    Ok(())
}

/// A case whose lines are being read.
struct Case {
    holds: bool,
    /// It is the one of `#if`, not of `#else`.
    first: bool,
}

/// The lines that are there, by `#if`.
fn cases<'a>(lines: &[&'a str], constants: &Constants<'_>) -> Result<Vec<&'a str>, String> {
    let mut kept = Vec::with_capacity(lines.len());
    let mut open: Vec<Case> = Vec::new();
    for &line in lines {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("#if", condition) => {
                let truth = constants.value(condition).filter(|&value| value <= 1);
                let holds = truth.ok_or_else(|| format!("no constants decide it: {line}"))? == 1;
                open.push(Case { holds, first: true });
            }
            ("#else", "") => match open.last_mut() {
                Some(case) if case.first => *case = Case { holds: !case.holds, first: false },
                _ => return Err("#else without #if".into()),
            },
            ("#end", "") => {
                open.pop().ok_or("#end without #if")?;
            }
            _ if open.iter().all(|case| case.holds) => kept.push(line),
            _ => {}
        }
    }
    if open.is_empty() { Ok(kept) } else { Err("#if without #end".into()) }
}

/// The lines with types in the place of their aliases.
fn without_aliases(lines: &[&str]) -> String {
    let declared = lines.iter().copied().filter_map(alias);
    let mut aliases: Vec<(&str, String)> = declared.map(|(name, of)| (name, of.to_owned())).collect();
    // A type may itself be named by others: after its turn an alias stands in none.
    for turn in 0..aliases.len() {
        let replaced = &[aliases[turn].clone()];
        aliases.iter_mut().for_each(|(_, of)| *of = with_types(of, replaced));
    }
    let rest = lines.iter().filter(|line| alias(line).is_none());
    rest.map(|line| with_types(line, &aliases) + "\n").collect()
}

/// The name and the type of a line that declares an alias.
fn alias(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("alias ")?.strip_suffix(';')?.split_once(" = ")
}

/// The line, each word that is an alias replaced; comments stay.
fn with_types(line: &str, aliases: &[(&str, String)]) -> String {
    let (code, comment) = line.split_at(line.find("//").unwrap_or(line.len()));
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut out = String::with_capacity(line.len());
    let mut rest = code;
    while let Some(start) = rest.find(is_word) {
        let length = rest[start..].find(|c| !is_word(c)).unwrap_or(rest.len() - start);
        let word = &rest[start..start + length];
        out.push_str(&rest[..start]);
        out.push_str(aliases.iter().find(|(name, _)| *name == word).map_or(word, |(_, of)| of));
        rest = &rest[start + length..];
    }
    out + rest + comment
}

/// Adds the lines to `out`, marked loops written out.
fn write(lines: &[&str], constants: &Constants<'_>, out: &mut String) -> Result<(), String> {
    let mut at = 0;
    while let Some(&line) = lines.get(at) {
        at += 1;
        if !line.trim_start().starts_with('#') {
            out.push_str(line);
            out.push('\n');
            continue;
        }
        let (name, turns) = header(line, constants).ok_or_else(|| format!("no mark to obey: {}", line.trim()))?;
        if turns.len() > MOST_TURNS {
            return Err(format!("more than {MOST_TURNS} turns: {}", line.trim()));
        }
        let end = at
            + lines[at..].iter().scan(1, |depth, line| Some(block_depth(depth, line))).take_while(|&d| d > 0).count();
        for turn in turns {
            out.push_str(&format!("{{ const {name} = {turn}u;\n"));
            write(&lines[at..end], constants, out)?;
            out.push_str("}\n");
        }
        at = end + 1;
    }
    Ok(())
}

/// The depth of blocks behind a line.
fn block_depth(depth: &mut i32, line: &str) -> i32 {
    let code = line.split("//").next().unwrap_or("");
    *depth += code.matches('{').count() as i32 - code.matches('}').count() as i32;
    *depth
}

/// The variable and its values, if the line begins a loop that can be written out; of too many turns one too many.
fn header<'a>(line: &'a str, constants: &Constants<'_>) -> Option<(&'a str, Vec<u64>)> {
    let inner = line.trim_start().strip_prefix("#unroll for (var ")?.strip_suffix(") {")?;
    let [first, condition, step] = inner.split("; ").collect::<Vec<_>>().try_into().ok()?;
    let (name, start) = first.split_once(" = ")?;
    let end = condition.strip_prefix(name)?.strip_prefix(" < ")?;
    let step = step.strip_prefix(name)?;
    let step = if step == "++" { "1u" } else { step.strip_prefix(" += ")? };
    let [start, end, step] = [start, end, step].map(|text| constants.value(text));
    let (start, end, step) = (start?, end?, step.filter(|&step| step > 0)?);
    Some((name, (start..end).step_by(step as usize).take(MOST_TURNS + 1).collect()))
}

#[cfg(test)]
mod tests {
    use super::{compose, import};

    #[test]
    fn marked_loops_are_written_out() {
        let source = "#unroll for (var i = 0u; i < N; i++) {\n\
            a[i] = 1; // } is no end\n\
            #unroll for (var j = 0u; j < 4u; j += N) {\nb[i][j] = 2;\n}\n\
            }\n\
            #unroll for (var i = 0u; i < 0u; i++) {\nnever();\n}\n\
            for (var k = 0u; k < N; k++) {\nc[k] = 3;\n}\n";
        let inner = "{ const j = 0u;\nb[i][j] = 2;\n}\n{ const j = 2u;\nb[i][j] = 2;\n}\n";
        let turn = |i: u32| format!("{{ const i = {i}u;\na[i] = 1; // }} is no end\n{inner}}}\n");
        let rest = "for (var k = 0u; k < N; k++) {\nc[k] = 3;\n}\n";
        assert_eq!(compose(&[("N", 2)], source), Ok(format!("const N = 2u;\n{}{}{rest}", turn(0), turn(1))));
    }

    #[test]
    fn cases_by_constants() {
        let source = "#if N == 1u\none\n#if 2u == 2u\ntoo\n#end\n#else\nmany\n#end\nall\n";
        assert_eq!(compose(&[("N", 1)], source).as_deref(), Ok("const N = 1u;\none\ntoo\nall\n"));
        assert_eq!(compose(&[("N", 2)], source).as_deref(), Ok("const N = 2u;\nmany\nall\n"));
    }

    #[test]
    fn imports_stand_once_and_by_other_words() {
        let files = [("a", "A of b\n#import b\n"), ("b", "B1\n")];
        let mut out = String::new();
        let source = "#import a\n#import b with B = C\n#import b with B = C, 1 = 2\n#import a\nend\n";
        assert_eq!(import(source, &[&files], &mut Vec::new(), &mut out), Ok(()));
        assert_eq!(out, "A of b\nB1\nC1\nC2\nend\n");
    }

    #[test]
    fn types_stand_in_the_place_of_their_aliases() {
        let source = "alias Values = array<Value, N>;\nalias Value = Unit;\n#if N == 4u\nalias Unit = vec4<f32>;\n#else\n\
            alias Unit = f32;\n#end\nvar v: Values; // of a Unit each\nlet u = Unit(Units[Unit_]);\n";
        let expected =
            |unit: &str| format!("var v: array<{unit}, N>; // of a Unit each\nlet u = {unit}(Units[Unit_]);\n");
        assert_eq!(compose(&[("N", 4)], source), Ok("const N = 4u;\n".to_owned() + &expected("vec4<f32>")));
        assert_eq!(compose(&[("N", 1)], source), Ok("const N = 1u;\n".to_owned() + &expected("f32")));
    }

    #[test]
    fn what_cannot_be_obeyed_is_an_error() {
        for source in [
            "#unroll for (var i = 0u; i < params.count; i++) {\n}\n",
            "#unroll for (var i = 0u; i < 65u; i++) {\n}\n",
            "#unroll for (var i = 0u; i < 4u; i += 0u) {\n}\n",
            "#unroll while (true) {\n}\n",
            "#unroll\nfor (var i = 0u; i < 4u; i++) {\n}\n",
            "#if params.count\n#end\n",
            "#if 1u == 1u\n",
            "#if 2u\n#end\n",
            "#if true\n#else\n#else\n#end\n",
            "#else\n",
            "#end\n",
            "#import shared/nothing\n",
            "#import shared/units with Unit\n",
            "  #import shared/units\n",
            "#other\n",
        ] {
            assert!(compose(&[], source).is_err(), "{source}");
        }
    }
}
