//! GitLab's own cache columns.

use crate::cache_column::defined::Definition;
use crate::error::Result;
use lockstep_server::host::Relation;
use serde_json::json;

/// A boolean of `projects`, and which integrations make it true.
pub(super) struct Builtin {
    pub(super) column: &'static str,
    kind: Kind,
}

enum Kind {
    /// Of one type, by its name in `type_new` and in the older `type`.
    Type {
        new: &'static str,
        old: &'static str,
    },
    Category(&'static str),
}

pub(super) const BUILTINS: [Builtin; 2] = [
    Builtin {
        column: "has_external_wiki",
        kind: Kind::Type {
            new: "Integrations::ExternalWiki",
            old: "ExternalWikiService",
        },
    },
    Builtin {
        column: "has_external_issue_tracker",
        kind: Kind::Category("issue_tracker"),
    },
];

pub(super) const TARGET: &str = "projects";
/// The table's name today, and its name before GitLab 14.
pub(super) const SOURCES: [&str; 2] = ["integrations", "services"];
const KEY: &str = "project_id";

/// The names of the built-in cache columns.
pub(crate) fn features() -> Vec<String> {
    BUILTINS.iter().map(Builtin::feature).collect()
}

/// The definition that `attach` would add for a column of a table, if it is one of GitLab's.
pub(super) fn builtin_of(target: &Relation, column: &str) -> Result<Option<Definition>> {
    let [schema, name] = target.names();
    let builtin = BUILTINS.iter().find(|builtin| builtin.column == column);
    let (Some(builtin), TARGET) = (builtin, name.as_str()) else {
        return Ok(None);
    };
    Ok(find_source(&schema)?.map(|source| builtin.definition(target, &source)))
}

/// The table of integrations.
pub(super) fn find_source(schema: &str) -> Result<Option<Relation>> {
    for name in SOURCES {
        if let Some(source) = Relation::find_table(schema, name)? {
            return Ok(Some(source));
        }
    }
    Ok(None)
}

impl Builtin {
    pub(super) fn feature(&self) -> String {
        format!("{TARGET}.{}", self.column)
    }

    pub(super) fn definition(&self, target: &Relation, source: &Relation) -> Definition {
        let matches = match self.kind {
            Kind::Type { new, .. } if source.find_column("type_new").is_some() => {
                json!({"active": true, "type_new": new})
            }
            Kind::Type { old, .. } => json!({"active": true, "type": old}),
            Kind::Category(category) => json!({"active": true, "category": category}),
        };
        Definition {
            id: 0,
            target: target.oid,
            target_column: self.column.to_owned(),
            source: source.oid,
            key_column: KEY.to_owned(),
            matches,
            guard: false,
            fire_always: false,
            origin: "attach".to_owned(),
            disabled_triggers: Vec::new(),
            always_triggers: Vec::new(),
            target_name: target.names().into(),
            source_name: source.names().into(),
            partitions: Vec::new(),
        }
    }
}
