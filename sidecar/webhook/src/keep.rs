//! Reads an event while skipping what no message shows, so that this part uses no memory, however large.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::known::FIELDS;
use crate::trim::{LONGEST_LIST, LONGEST_TEXT, shorten};

/// The maximum size of what is kept of an event, in bytes; GitLab's events need less than half.
const MOST: usize = 1 << 20;
/// The size of a value besides its text.
const VALUE: usize = 64;

/// The known part of an event; otherwise unchanged, like the result of [`trim`](crate::trim()).
pub fn kept(body: &[u8]) -> serde_json::Result<Value> {
    let room = Cell::new(MOST);
    let mut reader = serde_json::Deserializer::from_slice(body);
    let event = Keep(&room).deserialize(&mut reader)?;
    reader.end()?;
    Ok(event)
}

#[derive(Clone, Copy)]
struct Keep<'a>(&'a Cell<usize>);

impl Keep<'_> {
    fn take(self, bytes: usize) {
        self.0.set(self.0.get().saturating_sub(bytes));
    }

    fn has_room(self) -> bool {
        self.0.get() > 0
    }
}

/// The size of a value, as counted here.
fn size(value: &Value) -> usize {
    VALUE
        + match value {
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(size).sum(),
            Value::Object(fields) => fields.values().map(|value| VALUE + size(value)).sum(),
            _ => 0,
        }
}

impl<'de> DeserializeSeed<'de> for Keep<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.take(VALUE);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Keep<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("an event")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(flag.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        let text = &text[..text.floor_char_boundary(LONGEST_TEXT)];
        self.take(text.len());
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while self.has_room() {
            let Some(item) = list.next_element_seed(self)? else {
                shorten(&mut items);
                return Ok(items.into());
            };
            items.push(item);
            if items.len() == 2 * LONGEST_LIST {
                let before: usize = items.iter().map(size).sum();
                shorten(&mut items);
                let after: usize = items.iter().map(size).sum();
                self.0.set(self.0.get() + before.saturating_sub(after));
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        shorten(&mut items);
        Ok(items.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = object.next_key_seed(Name)? {
            match name.filter(|_| self.has_room()) {
                Some(name) => {
                    self.take(VALUE);
                    let value = object.next_value_seed(self)?;
                    fields.insert(name.to_owned(), value);
                }
                None => {
                    object.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(fields.into())
    }
}

/// The name of a field, if it is known.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<&'static str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<&'static str>;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(FIELDS.get(name).copied())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{MOST, kept, size};

    fn of(event: &Value) -> Value {
        kept(event.to_string().as_bytes()).unwrap_or_default()
    }

    #[test]
    fn only_what_is_known_is_kept() {
        let event = json!({
            "object_kind": "pipeline", "variables": [{ "key": "PASSWORD" }], "": {},
            "object_attributes": { "id": 7, "duration": 1.5, "tag": false, "finished_at": null, "email": "a@example.com" },
            "builds": [{ "id": 1, "runner": {} }, 2, "3", null],
        });
        let expected = json!({
            "object_kind": "pipeline",
            "object_attributes": { "id": 7, "duration": 1.5, "tag": false, "finished_at": null },
            "builds": [{ "id": 1 }, 2, "3", null],
        });
        assert_eq!(of(&event), expected);
        for text in ["", "{", "[1,]", "{} {}", "{\"id\": 01}"] {
            assert!(kept(text.as_bytes()).is_err(), "{text}");
        }
        let deep = "[".repeat(200_000);
        assert!(kept(deep.as_bytes()).is_err());
    }

    /// For any event: long, wide or deep, in known fields.
    #[test]
    fn what_is_kept_is_bounded() {
        let wide = format!("[{}0]", "{\"id\": 1},".repeat(500_000));
        let long = format!("\"{}\"", "x".repeat(5 << 20));
        let many = (0..3_000).map(|_| json!({ "title": "x".repeat(4_000), "issues": [{}, {}] }));
        let many = Value::from(many.collect::<Vec<_>>()).to_string();
        let nested = format!("{}{}", "{\"issues\": [".repeat(50), "]}".repeat(50));
        for text in [wide, long, many, nested] {
            for name in ["commits", "unknown"] {
                let event = format!("{{\"{name}\": {text}, \"object_kind\": \"push\"}}");
                let event = kept(event.as_bytes()).unwrap_or_default();
                assert!(size(&event) <= MOST + 8_192, "{name}: {}", size(&event));
            }
        }
    }

    /// A pipeline with thousands of jobs shows which one failed, wherever it is.
    #[test]
    fn jobs_that_failed_are_kept() {
        let job = |id: usize| json!({ "id": id, "name": format!("job {id}"), "status": if id == 4_200 { "failed" } else { "success" } });
        let event = of(&json!({ "builds": (0..5_000).map(job).collect::<Vec<_>>() }));
        let builds = event["builds"].as_array().cloned().unwrap_or_default();
        assert_eq!(builds.len(), 500);
        assert!(builds.iter().any(|job| job["id"] == 4_200));
    }
}
