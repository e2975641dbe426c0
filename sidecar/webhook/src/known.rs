//! The names of all fields that are read, as serde knows them from the types.

use crate::event::{Attributes, Event};
use crate::object::{
    Change, Changes, Commit, Dependency, Group, Identifier, Integration, Job, Label, Location,
    Noteable, Package, Project, User, Waiting,
};
use serde::de::value::Error;
use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use serde::forward_to_deserialize_any;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Those of [`Event`] and of its objects, wherever they occur.
pub(crate) static FIELDS: LazyLock<BTreeSet<&'static str>> = LazyLock::new(|| {
    macro_rules! fields_of {
        ($($type:ty),* $(,)?) => {{
            let mut names = BTreeSet::new();
            // An object that is not there is an error, after its fields were named.
            $(let _ = <$type>::deserialize(Names(&mut names));)*
            names
        }};
    }
    let mut names = fields_of![
        Event,
        Attributes,
        Change<()>,
        Changes,
        Commit,
        Dependency,
        Group,
        Identifier,
        Integration,
        Job,
        Label,
        Location,
        Noteable,
        Package,
        Project,
        User,
        Waiting,
    ];
    // The kind of a system hook.
    names.insert("event_name");
    // Ours alone.
    names.remove("previous_sha");
    names
});

struct Names<'a>(&'a mut BTreeSet<&'static str>);

impl<'de> Deserializer<'de> for Names<'_> {
    type Error = Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.extend(fields);
        Err(Error::custom("nothing is there"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Error> {
        Err(Error::custom("nothing is there"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
        seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::FIELDS;

    #[test]
    fn fields_of_objects_in_objects_are_known() {
        for name in [
            "object_kind",
            "event_name",
            "ref",
            "duration",
            "previous",
            "package",
        ] {
            assert!(FIELDS.contains(name), "{name}");
        }
        for name in ["variables", "previous_sha", "reference"] {
            assert!(!FIELDS.contains(name), "{name}");
        }
    }

    /// A type that is missing in the list, or whose fields serde does not name, would lose its fields in every webhook.
    #[test]
    fn fields_of_all_types_are_known() {
        let mut fields = 0;
        for source in [include_str!("event.rs"), include_str!("object.rs")] {
            let mut renamed = None;
            for line in source.lines().map(str::trim) {
                if let Some(name) = line.strip_prefix("#[serde(rename = \"") {
                    renamed = name.split('"').next();
                    continue;
                }
                let field = line.strip_prefix("pub ").filter(|it| it.ends_with(','));
                let Some((name, _)) = field.and_then(|field| field.split_once(": ")) else {
                    continue;
                };
                let name = renamed.take().unwrap_or(name);
                assert!(FIELDS.contains(name) || name == "previous_sha", "{name}");
                fields += 1;
            }
        }
        assert!(fields > 150, "{fields}");
    }
}
