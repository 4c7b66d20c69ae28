//! What JavaScript asks for by one of Keras's names, with arguments: an optimizer, a loss, an initializer, a layer.

use crate::error::of_library;
use locally_connected::{Error, Result};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

/// A name and its arguments, as the TypeScript has read them (`web/src/named.ts`).
#[wasm_bindgen]
#[derive(Debug, Clone, Default)]
pub struct Named {
    name: String,
    arguments: Vec<(String, Argument)>,
}

/// An argument's value.
#[derive(Debug, Clone)]
enum Argument {
    /// Truth is 1.
    Number(f64),
    Numbers(Vec<f64>),
    Text(String),
    Named(Named),
}

#[wasm_bindgen]
impl Named {
    /// Without arguments.
    #[wasm_bindgen(constructor)]
    #[must_use]
    pub fn new(name: String) -> Self {
        Self { name, arguments: Vec::new() }
    }

    /// Adds a number, or a truth value as 0 or 1.
    pub fn number(&mut self, argument: String, value: f64) {
        self.arguments.push((argument, Argument::Number(value)));
    }

    /// Adds a list of numbers.
    pub fn numbers(&mut self, argument: String, values: Vec<f64>) {
        self.arguments.push((argument, Argument::Numbers(values)));
    }

    /// Adds a text.
    pub fn text(&mut self, argument: String, value: String) {
        self.arguments.push((argument, Argument::Text(value)));
    }

    /// Adds what has arguments itself.
    pub fn named(&mut self, argument: String, value: Named) {
        self.arguments.push((argument, Argument::Named(value)));
    }
}

impl Argument {
    fn shown(&self) -> String {
        match self {
            Self::Number(value) => value.to_string(),
            Self::Numbers(values) => {
                let shown: Vec<String> = values.iter().map(f64::to_string).collect();
                format!("[{}]", shown.join(", "))
            }
            Self::Text(value) => format!("\"{value}\""),
            Self::Named(value) => value.name.clone(),
        }
    }
}

fn wrong(argument: &'static str, expected: &'static str, value: &Argument) -> Error {
    Error::UnknownValue { argument, expected, value: value.shown() }
}

/// The most that a whole number may be to be one in a 64-bit float.
const WHOLE: f64 = 9_007_199_254_740_992.0;

impl Named {
    /// The name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn take(&mut self, argument: &str) -> Option<Argument> {
        let at = self.arguments.iter().position(|(name, _)| name == argument)?;
        Some(self.arguments.swap_remove(at).1)
    }

    /// What isn't asked for afterwards is an argument that there isn't: [`Named::done`].
    pub(crate) fn number_of(&mut self, argument: &'static str) -> Result<Option<f64>> {
        match self.take(argument) {
            None => Ok(None),
            Some(Argument::Number(value)) => Ok(Some(value)),
            Some(other) => Err(wrong(argument, "a number", &other)),
        }
    }

    /// Sets a number that is given.
    pub(crate) fn double(&mut self, argument: &'static str, to: &mut f64) -> Result<()> {
        if let Some(value) = self.number_of(argument)? {
            *to = value;
        }
        Ok(())
    }

    /// As [`Named::double`].
    pub(crate) fn float(&mut self, argument: &'static str, to: &mut f32) -> Result<()> {
        if let Some(value) = self.number_of(argument)? {
            *to = value as f32;
        }
        Ok(())
    }

    /// As [`Named::double`].
    pub(crate) fn flag(&mut self, argument: &'static str, to: &mut bool) -> Result<()> {
        match self.number_of(argument)? {
            None => Ok(()),
            Some(value) if value == 0.0 || value == 1.0 => {
                *to = value == 1.0;
                Ok(())
            }
            Some(value) => Err(wrong(argument, "true or false", &Argument::Number(value))),
        }
    }

    /// A whole number.
    pub(crate) fn integer(&mut self, argument: &'static str) -> Result<Option<i64>> {
        match self.number_of(argument)? {
            None => Ok(None),
            Some(value) if value.fract() == 0.0 && value.abs() <= WHOLE => Ok(Some(value as i64)),
            Some(value) => Err(wrong(argument, "a whole number", &Argument::Number(value))),
        }
    }

    /// A whole number from 0 on.
    pub(crate) fn count(&mut self, argument: &'static str) -> Result<Option<u64>> {
        let Some(value) = self.integer(argument)? else { return Ok(None) };
        let refused = |_| wrong(argument, "a whole number from 0 on", &Argument::Number(value as f64));
        u64::try_from(value).map(Some).map_err(refused)
    }

    /// A list of numbers; a number alone is one of one.
    pub(crate) fn list(&mut self, argument: &'static str) -> Result<Option<Vec<f64>>> {
        match self.take(argument) {
            None => Ok(None),
            Some(Argument::Number(value)) => Ok(Some(vec![value])),
            Some(Argument::Numbers(values)) => Ok(Some(values)),
            Some(other) => Err(wrong(argument, "a list of numbers", &other)),
        }
    }

    /// A text.
    pub(crate) fn text_of(&mut self, argument: &'static str) -> Result<Option<String>> {
        match self.take(argument) {
            None => Ok(None),
            Some(Argument::Text(value)) => Ok(Some(value)),
            Some(other) => Err(wrong(argument, "a text", &other)),
        }
    }

    /// What has a name of its own: with arguments, or by its name alone.
    pub(crate) fn named_of(&mut self, argument: &'static str) -> Result<Option<Self>> {
        Ok(match self.take(argument) {
            Some(Argument::Named(value)) => Some(value),
            Some(Argument::Text(name)) => Some(Self::new(name)),
            // It is asked for as something else afterwards.
            Some(other) => {
                self.arguments.push((argument.to_owned(), other));
                None
            }
            None => None,
        })
    }

    /// Takes arguments that have no say here.
    pub(crate) fn ignore(&mut self, arguments: &[&str]) {
        arguments.iter().for_each(|argument| drop(self.take(argument)));
    }

    /// Refuses an argument that nobody asked for.
    pub(crate) fn done(self) -> Result<()> {
        match self.arguments.into_iter().next() {
            None => Ok(()),
            Some((argument, _)) => Err(Error::UnknownArgument { of: self.name, argument, meant: None }),
        }
    }

    /// What `read` makes of it, all of whose arguments it is to ask for.
    pub(crate) fn read<T>(mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> std::result::Result<T, JsValue> {
        let found = read(&mut self).map_err(of_library)?;
        self.done().map_err(of_library)?;
        Ok(found)
    }
}
