//! The shapes that payloads share. Each takes whatever comes: what is of another type than expected is as good as missing.

use std::fmt::{self, Formatter};
use std::marker::PhantomData;
use std::ops::Deref;

use serde::de::value::MapAccessDeserializer;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// What is known of an event; of a payload that is no object, nothing.
pub(super) fn read<T: for<'de> Deserialize<'de> + Default>(event: &Value) -> T {
    Part::deserialize(event)
        .map(|Part(whole)| whole)
        .unwrap_or_default()
}

/// What a shape makes of each type of JSON. Unless it says so, it is missing.
trait Shape<'de>: Default {
    fn of_text(_text: &str) -> Self {
        Self::default()
    }

    fn of_number(_number: f64, _written: String) -> Self {
        Self::default()
    }

    fn of_flag(_flag: bool) -> Self {
        Self::default()
    }

    fn of_object<A: MapAccess<'de>>(mut fields: A) -> Result<Self, A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Self::default())
    }

    fn of_list<A: SeqAccess<'de>>(mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Self::default())
    }
}

struct Reader<S>(PhantomData<S>);

impl<'de, S: Shape<'de>> Visitor<'de> for Reader<S> {
    type Value = S;

    fn expecting(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<S, E> {
        Ok(S::of_flag(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<S, E> {
        Ok(S::of_number(number as f64, number.to_string()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<S, E> {
        Ok(S::of_number(number as f64, number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<S, E> {
        Ok(S::of_number(number, number.to_string()))
    }

    fn visit_str<E>(self, text: &str) -> Result<S, E> {
        Ok(S::of_text(text))
    }

    fn visit_unit<E>(self) -> Result<S, E> {
        Ok(S::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<S, A::Error> {
        S::of_object(fields)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<S, A::Error> {
        S::of_list(items)
    }
}

fn take<'de, S: Shape<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<S, D::Error> {
    deserializer.deserialize_any(Reader(PhantomData))
}

/// A text, or a number as it is written; empty if there is none.
#[derive(Clone, Debug, Default)]
pub(super) struct Text(String);

impl Text {
    /// Itself, or another if it is blank.
    pub(super) fn or<'a>(&'a self, other: &'a str) -> &'a str {
        match self.trim().is_empty() {
            true => other,
            false => self,
        }
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Shape<'_> for Text {
    fn of_text(text: &str) -> Self {
        Self(text.to_owned())
    }

    fn of_number(_number: f64, written: String) -> Self {
        Self(written)
    }
}

/// A number, also if it came as a text.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Number(pub(super) Option<f64>);

impl Shape<'_> for Number {
    fn of_text(text: &str) -> Self {
        Self(
            text.trim()
                .parse()
                .ok()
                .filter(|number: &f64| number.is_finite()),
        )
    }

    fn of_number(number: f64, _written: String) -> Self {
        Self(Some(number))
    }
}

/// Whether something is said to be so.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flag(pub(super) Option<bool>);

impl Flag {
    pub(super) fn is_set(self) -> bool {
        self.0 == Some(true)
    }
}

impl Shape<'_> for Flag {
    fn of_flag(flag: bool) -> Self {
        Self(Some(flag))
    }
}

/// An object; all of its fields are missing if it is none.
#[derive(Clone, Debug, Default)]
pub(super) struct Part<T>(T);

impl<T> Deref for Part<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<'de, T: Deserialize<'de> + Default> Shape<'de> for Part<T> {
    fn of_object<A: MapAccess<'de>>(fields: A) -> Result<Self, A::Error> {
        T::deserialize(MapAccessDeserializer::new(fields)).map(Self)
    }
}

/// A list; empty if it is none.
#[derive(Clone, Debug)]
pub(super) struct List<T>(Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Deref for List<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<'de, T: Deserialize<'de>> Shape<'de> for List<T> {
    fn of_list<A: SeqAccess<'de>>(mut items: A) -> Result<Self, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Self(list))
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        take(deserializer)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        take(deserializer)
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        take(deserializer)
    }
}

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for Part<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        take(deserializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        take(deserializer)
    }
}

/// Who did it, or is asked to.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct User {
    pub(super) name: Text,
    pub(super) username: Text,
}

/// Where it happened.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Project {
    pub(super) name: Text,
    pub(super) path_with_namespace: Text,
    pub(super) web_url: Text,
    pub(super) homepage: Text,
}

impl Project {
    pub(super) fn name(&self) -> &str {
        self.path_with_namespace.or(&self.name)
    }

    pub(super) fn url(&self) -> &str {
        self.web_url.or(&self.homepage)
    }

    /// The address of a page of the project; none if that of the project is not known.
    pub(super) fn page(&self, path: &str) -> String {
        match self.url().trim_end_matches('/') {
            "" => String::new(),
            url => format!("{url}/-/{path}"),
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Commit {
    pub(super) id: Text,
    pub(super) title: Text,
    pub(super) message: Text,
    pub(super) url: Text,
    pub(super) author: Part<User>,
}

impl Commit {
    pub(super) fn title(&self) -> &str {
        let first = self.message.trim().lines().next().unwrap_or_default();
        self.title.or(first)
    }

    pub(super) fn short_id(&self) -> &str {
        short(&self.id)
    }
}

/// So much of a commit's id as people read.
pub(super) fn short(id: &str) -> &str {
    &id[..id.floor_char_boundary(8)]
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Label {
    pub(super) title: Text,
}
