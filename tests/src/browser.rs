//! A page in headless Chromium (see `tests/clients/browser.mjs`).

use crate::PATIENCE;
use crate::process::{Process, node};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::time::Instant;

/// A browser with one page. Dropping it ends it.
pub struct Browser {
    process: Process,
    console: RefCell<Vec<Value>>,
}

impl Browser {
    /// Opens a page, given as HTML. `/document/NAME` are the examples of the C Pro document.
    ///
    /// # Panics
    /// When there is no browser.
    #[must_use]
    pub fn open(html: &str) -> Self {
        let mut browser = Self { process: Process::start(node("browser.mjs")), console: RefCell::default() };
        browser.process.write([&json!({ "page": html })]);
        assert_eq!(browser.answer()["loaded"], true);
        browser
    }

    fn answer(&self) -> Value {
        let deadline = Instant::now() + PATIENCE;
        while let Some(line) = self.process.line_within(deadline.saturating_duration_since(Instant::now())) {
            let value: Value = serde_json::from_str(&line).expect("a line of JSON");
            if value["console"].is_array() {
                self.console.borrow_mut().push(value["console"].clone());
            } else if value["exception"].is_string() {
                panic!("{value}; the console has {:?}", self.console.borrow());
            } else {
                return value;
            }
        }
        panic!("no answer of the browser; the console has {:?}", self.console.borrow());
    }

    /// The value of an expression in the page.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        self.process.write([&json!({ "evaluate": expression })]);
        self.answer()["result"].clone()
    }

    /// Waits until an expression in the page is true.
    pub fn wait(&mut self, expression: &str) {
        self.process.write([&json!({ "wait": expression })]);
        self.answer();
    }

    /// What the page wrote to its console, each as its kind and its values.
    #[must_use]
    pub fn console(&self) -> Vec<Value> {
        self.console.borrow().clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It removes its profile when it ends by itself.
        self.process.end(None);
    }
}
