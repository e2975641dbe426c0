//! What a check found, and where.

use std::fmt::Display;

use serde_json::Value;

/// Collects problems, each with a JSON pointer to its place.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    path: Vec<String>,
    messages: Vec<String>,
}

impl Findings {
    pub(crate) fn into_messages(self) -> Vec<String> {
        self.messages
    }

    pub(crate) fn note(&mut self, what: &str) {
        self.messages.push(format!(
            "[ERROR] {what} [json-pointer:/{}]",
            self.path.join("/")
        ));
    }

    /// Runs a check on the part with that name or number.
    pub(crate) fn at(&mut self, part: impl Display, check: impl FnOnce(&mut Self)) {
        self.path.push(part.to_string());
        check(self);
        self.path.pop();
    }

    /// Checks a field if it is there.
    pub(crate) fn optional(
        &mut self,
        object: &Value,
        name: &str,
        check: impl FnOnce(&Value, &mut Self),
    ) {
        if let Some(value) = object.get(name) {
            self.at(name, |findings| check(value, findings));
        }
    }

    /// Checks a field that must be there.
    pub(crate) fn required(
        &mut self,
        object: &Value,
        name: &str,
        check: impl FnOnce(&Value, &mut Self),
    ) {
        match object.get(name) {
            Some(value) => self.at(name, |findings| check(value, findings)),
            None => self.note(&format!("missing required field: {name}")),
        }
    }

    /// Checks each item of a field that must be a list with a certain number of items.
    pub(crate) fn list(
        &mut self,
        object: &Value,
        name: &str,
        fewest: usize,
        most: usize,
        check: impl Fn(&Value, &mut Self),
    ) {
        self.required(object, name, |value, findings| {
            let Some(items) = value.as_array() else {
                findings.note("must be an array");
                return;
            };
            if items.len() > most {
                findings.note(&format!("no more than {most} items allowed"));
            }
            if items.len() < fewest {
                findings.note(&format!("no less than {fewest} items allowed"));
            }
            for (number, item) in items.iter().enumerate() {
                findings.at(number, |findings| check(item, findings));
            }
        });
    }

    /// A field that is a plain JSON string.
    pub(crate) fn optional_text(&mut self, object: &Value, name: &str, longest: usize) {
        self.optional(object, name, |value, findings| {
            findings.length(value, longest);
        });
    }

    pub(crate) fn required_text(&mut self, object: &Value, name: &str, longest: usize) {
        self.required(object, name, |value, findings| {
            findings.length(value, longest);
        });
    }

    /// A text with 1 to `longest` characters.
    pub(crate) fn length(&mut self, value: &Value, longest: usize) {
        // Slack counts characters like JavaScript.
        match value.as_str().map(|text| text.encode_utf16().count()) {
            None => self.note("must be a string"),
            Some(0) => self.note("must be more than 0 characters"),
            Some(length) if length > longest => {
                self.note(&format!("must be less than {} characters", longest + 1));
            }
            Some(_) => {}
        }
    }

    /// Slack rejects unknown fields.
    pub(crate) fn only_fields(&mut self, object: &Value, common: &[&str], own: &[&str]) {
        let Some(fields) = object.as_object() else {
            self.note("must be an object");
            return;
        };
        for name in fields.keys() {
            if !common.contains(&name.as_str()) && !own.contains(&name.as_str()) {
                self.note(&format!("invalid additional property: {name}"));
            }
        }
    }
}
