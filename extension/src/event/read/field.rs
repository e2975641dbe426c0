//! Fields of a payload that take whatever is there: a field of the wrong type matters only if somebody asks for it, and is then told by
//! its path.

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// What is there in the place of a value; null is nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Field<T> {
    #[default]
    Absent,
    Wrong,
    Is(T),
}

/// The path of a field that is missing or has the wrong type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadField(pub(crate) String);

impl<T> Field<T> {
    /// The value, if there is one.
    pub(super) fn at(&self, path: &str) -> Result<Option<&T>, BadField> {
        match self {
            Self::Is(value) => Ok(Some(value)),
            Self::Absent => Ok(None),
            Self::Wrong => Err(BadField(path.to_owned())),
        }
    }

    pub(super) fn required(&self, path: &str) -> Result<&T, BadField> {
        match self {
            Self::Is(value) => Ok(value),
            _ => Err(BadField(path.to_owned())),
        }
    }

    pub(super) fn is_there(&self) -> bool {
        !matches!(self, Self::Absent)
    }
}

/// What can be in a field: each takes what it is, and leaves the rest.
pub(super) trait Shape<'de>: Sized {
    fn text(_text: Cow<'de, str>) -> Option<Self> {
        None
    }

    fn number(_number: i64) -> Option<Self> {
        None
    }

    fn truth(_truth: bool) -> Option<Self> {
        None
    }

    fn object<A: MapAccess<'de>>(mut fields: A) -> Result<Option<Self>, A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn list<A: SeqAccess<'de>>(mut items: A) -> Result<Option<Self>, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

impl<'de: 'a, 'a> Shape<'de> for Cow<'a, str> {
    // A NUL has no place in a text of PostgreSQL.
    fn text(text: Cow<'de, str>) -> Option<Self> {
        (!text.contains('\0')).then_some(text)
    }
}

impl Shape<'_> for i64 {
    fn number(number: i64) -> Option<Self> {
        Some(number)
    }
}

impl Shape<'_> for bool {
    fn truth(truth: bool) -> Option<Self> {
        Some(truth)
    }
}

impl<'de, T: Shape<'de>> Shape<'de> for Vec<Field<T>> {
    fn list<A: SeqAccess<'de>>(mut items: A) -> Result<Option<Self>, A::Error> {
        let mut list = Self::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Some(list))
    }
}

/// An object, by the fields that are asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Part<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Shape<'de> for Part<T> {
    fn object<A: MapAccess<'de>>(fields: A) -> Result<Option<Self>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(fields)).map(|part| Some(Self(part)))
    }
}

/// What nobody looks at, but for whether it is there.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Anything;

impl Shape<'_> for Anything {}

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
        Ok(Field::Absent)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Self::Value, E> {
        Ok(field(T::truth(truth)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(field(T::number(number)))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        let number = i64::try_from(number).ok();
        Ok(field(number.and_then(T::number)))
    }

    fn visit_f64<E>(self, _number: f64) -> Result<Self::Value, E> {
        Ok(Field::Wrong)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(field(T::text(Cow::Borrowed(text))))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(field(T::text(Cow::Owned(text.to_owned()))))
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Self::Value, A::Error> {
        T::object(fields).map(field)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
        T::list(items).map(field)
    }
}

fn field<T>(value: Option<T>) -> Field<T> {
    value.map_or(Field::Wrong, Field::Is)
}
