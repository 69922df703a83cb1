//! Values on their way through the functions of a mapping.

use crate::error::{ErrorKind, ScriptError};
use crate::mapping::{Conversion, Key, Mapping};
use crate::program::Program;
use crate::rest::Resting;
use crate::scripts::{Conversions, Direction, Item};
use crate::session::May;
use crate::value;
use serde_json::Value;
use std::cell::RefCell;
use std::time::Instant;

/// A job of many conversions may take as long as so many slow ones; what is left then fails.
const SLOW_CALLS: u32 = 5;

/// A mapping's program, and which of its functions rest.
pub(crate) struct Converter {
    program: Program,
    resting: RefCell<Resting>,
}

impl Converter {
    pub(crate) fn new(program: Program) -> Self {
        Self { program, resting: RefCell::default() }
    }

    /// Converts values; every one fails or succeeds alone.
    pub(crate) fn all(&self, mapping: &Mapping, direction: Direction, items: &[Item]) -> Conversions {
        let begun = Instant::now();
        let budget = self.program.engines().deadline() * SLOW_CALLS;
        let convert = |item: &Item| {
            let Some(key) = mapping.key(&item.key) else {
                return refused(mapping.file(), format!("there is no key `{}`", item.key));
            };
            let now = Instant::now();
            if now - begun > budget {
                return Err(ScriptError::busy(mapping.file()));
            }
            let Conversion::Function(function, _) = key.conversion(direction) else {
                return one(&self.program, key, direction, item);
            };
            if let Some(error) = self.resting.borrow_mut().error(function, now) {
                return Err(error);
            }
            one(&self.program, key, direction, item).inspect_err(|error| {
                let after = Instant::now();
                self.resting.borrow_mut().note(function, error, after - now, after);
            })
        };
        items.iter().map(convert).collect()
    }
}

fn refused(file: &str, message: String) -> Result<Value, ScriptError> {
    Err(ScriptError { kind: ErrorKind::Refused, ..ScriptError::whole(file, message) })
}

/// Converts one value by the key's function, if it has one for that direction.
pub(crate) fn one(
    program: &Program,
    key: &Key,
    direction: Direction,
    item: &Item,
) -> Result<Value, ScriptError> {
    let refuse = |message| refused(&program.file, message);
    let value = match direction {
        Direction::In => match key.check(&item.value) {
            Ok(value) => value,
            Err(message) => return refuse(message),
        },
        Direction::Out => item.value.clone(),
    };
    let Conversion::Function(function, params) = key.conversion(direction) else { return Ok(value) };
    let size = program.engines().size;
    let mut args = match value::to_dynamic(&value, size) {
        Ok(value) => vec![value],
        Err(message) => return refuse(message),
    };
    if *params == 2 {
        let current = item.current.as_ref().unwrap_or(&Value::Null);
        match value::to_dynamic(current, size) {
            Ok(current) => args.push(current),
            Err(message) => return refuse(message),
        }
    }
    let result = program.call(function, None, &|| args.clone(), May::Compute)?;
    crate::effect::log_all(&program.file, &program.engines().session.take_effects());
    value::to_json(&result).map_err(|e| {
        program.error_in(
            function,
            format!("`{function}` gives no value: {e}: give a number, a text, true or false"),
        )
    })
}
