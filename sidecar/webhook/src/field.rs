//! Fields that accept any type, so that a wrong type only affects those who use the field.

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

/// A value, or the type's default.
#[derive(Clone, Debug, Default)]
pub struct Field<T> {
    value: T,
    found: Found,
}

/// What was found instead of a value; null counts as missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Found {
    #[default]
    Nothing,
    Wrong,
    /// Another type with the same meaning: a number instead of a text, or the other way round.
    Like,
    It,
}

pub type Text<'a> = Field<Cow<'a, str>>;
pub type Object<T> = Field<Part<T>>;
pub type List<T> = Field<Vec<Object<T>>>;

/// The path of a field that is missing or has the wrong type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadField(pub String);

impl<T> Field<T> {
    /// The value, if there is one; anything else except null is an error.
    pub fn at(&self, path: &str) -> Result<Option<&T>, BadField> {
        match self.found {
            Found::It => Ok(Some(&self.value)),
            Found::Nothing => Ok(None),
            Found::Wrong | Found::Like => Err(BadField(path.to_owned())),
        }
    }

    pub fn required(&self, path: &str) -> Result<&T, BadField> {
        self.at(path)?.ok_or_else(|| BadField(path.to_owned()))
    }

    /// The value, or its equivalent.
    pub fn get(&self) -> Option<&T> {
        matches!(self.found, Found::It | Found::Like).then_some(&self.value)
    }

    /// Something is there, of any type.
    pub fn is_there(&self) -> bool {
        self.found != Found::Nothing
    }

    pub(crate) fn into_value(self) -> T {
        self.value
    }
}

impl Field<i64> {
    /// In digits; empty if missing.
    pub fn written(&self) -> String {
        self.get().map(i64::to_string).unwrap_or_default()
    }
}

impl Text<'_> {
    /// Itself, or the other one if it is blank.
    pub fn or<'a>(&'a self, other: &'a str) -> &'a str {
        match self.trim().is_empty() {
            true => other,
            false => self,
        }
    }
}

impl<T> Deref for Field<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

fn it<T>(value: T) -> Field<T> {
    let found = Found::It;
    Field { value, found }
}

fn like<T: Default>(value: Option<T>) -> Field<T> {
    value.map_or_else(wrong, |value| Field {
        value,
        found: Found::Like,
    })
}

fn wrong<T: Default>() -> Field<T> {
    Field {
        value: T::default(),
        found: Found::Wrong,
    }
}

/// What a type makes of each JSON type. By default that is an error.
pub trait Shape<'de>: Default {
    fn of_text(_text: Cow<'de, str>) -> Field<Self> {
        wrong()
    }

    /// A number, and its integer value if it has one.
    fn of_number(_number: f64, _whole: Option<i64>) -> Field<Self> {
        wrong()
    }

    fn of_flag(_flag: bool) -> Field<Self> {
        wrong()
    }

    fn of_object<A: MapAccess<'de>>(mut fields: A) -> Result<Field<Self>, A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(wrong())
    }

    fn of_list<A: SeqAccess<'de>>(mut items: A) -> Result<Field<Self>, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(wrong())
    }
}

impl<'de: 'a, 'a> Shape<'de> for Cow<'a, str> {
    // PostgreSQL's texts cannot contain a NUL.
    fn of_text(text: Cow<'de, str>) -> Field<Self> {
        match text.contains('\0') {
            true => like(Some(text)),
            false => it(text),
        }
    }

    fn of_number(number: f64, whole: Option<i64>) -> Field<Self> {
        let written = whole.map_or_else(|| number.to_string(), |whole| whole.to_string());
        like(Some(Cow::Owned(written)))
    }
}

/// What started a pipeline. A merge request has an object of that name, which is not read.
#[derive(Clone, Debug, Default)]
pub struct Source<'a>(Cow<'a, str>);

impl Deref for Source<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Shape<'de> for Source<'a> {
    fn of_text(text: Cow<'de, str>) -> Field<Self> {
        it(Self(text))
    }

    fn of_object<A: MapAccess<'de>>(mut fields: A) -> Result<Field<Self>, A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(it(Self::default()))
    }
}

/// The name of a release's tag, or whether a job is of a tag.
#[derive(Clone, Debug, Default)]
pub struct Tag<'a> {
    pub name: Cow<'a, str>,
    pub is_it: bool,
}

impl<'de: 'a, 'a> Shape<'de> for Tag<'a> {
    fn of_text(name: Cow<'de, str>) -> Field<Self> {
        it(Self { name, is_it: false })
    }

    fn of_flag(is_it: bool) -> Field<Self> {
        let name = Cow::default();
        it(Self { name, is_it })
    }
}

impl Shape<'_> for i64 {
    fn of_text(text: Cow<str>) -> Field<Self> {
        like(text.trim().parse().ok())
    }

    fn of_number(_number: f64, whole: Option<i64>) -> Field<Self> {
        whole.map_or_else(wrong, it)
    }
}

impl Shape<'_> for f64 {
    fn of_text(text: Cow<str>) -> Field<Self> {
        let number = text.trim().parse().ok();
        like(number.filter(|number: &f64| number.is_finite()))
    }

    fn of_number(number: f64, _whole: Option<i64>) -> Field<Self> {
        it(number)
    }
}

impl Shape<'_> for bool {
    fn of_flag(flag: bool) -> Field<Self> {
        it(flag)
    }
}

impl<'de, T: Shape<'de>> Shape<'de> for Vec<Field<T>> {
    fn of_list<A: SeqAccess<'de>>(mut items: A) -> Result<Field<Self>, A::Error> {
        let mut list = Self::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(it(list))
    }
}

/// An object with the requested fields.
#[derive(Clone, Debug, Default)]
pub struct Part<T>(pub(crate) T);

impl<T> Deref for Part<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<'de, T: Deserialize<'de> + Default> Shape<'de> for Part<T> {
    fn of_object<A: MapAccess<'de>>(fields: A) -> Result<Field<Self>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(fields)).map(|fields| it(Self(fields)))
    }
}

impl<'de, T: Shape<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader(PhantomData))
    }
}

struct Reader<T>(PhantomData<T>);

impl<'de, T: Shape<'de>> Visitor<'de> for Reader<T> {
    type Value = Field<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Field::default())
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(T::of_flag(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(T::of_number(number as f64, Some(number)))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(T::of_number(number as f64, i64::try_from(number).ok()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(T::of_number(number, None))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(T::of_text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(T::of_text(Cow::Owned(text.to_owned())))
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Self::Value, A::Error> {
        T::of_object(fields)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
        T::of_list(items)
    }
}
