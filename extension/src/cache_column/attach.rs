//! The cache columns that a GitLab-shaped database has from the start, found and installed.

use super::definition::Definition;
use super::install::{add, remove};
use super::triggers::{row_triggers, shared_triggers};
use crate::attach::Answer;
use crate::error::Result;
use crate::host::{Relation, check_is_owner, run};
use pgrx::spi::{quote_identifier, quote_literal};
use serde_json::json;

/// A boolean of `projects`, and what an integration has to be to make it true.
struct Builtin {
    column: &'static str,
    kind: Kind,
}

enum Kind {
    /// Of one type, by the name the type has in `type_new`, and in the older `type`.
    Type {
        new: &'static str,
        old: &'static str,
    },
    Category(&'static str),
}

const BUILTINS: [Builtin; 2] = [
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

const TARGET: &str = "projects";
/// The table's name today, and the one it had before version 14.
const SOURCES: [&str; 2] = ["integrations", "services"];
const KEY: &str = "project_id";

/// Keeps the cache columns of a schema from now on.
pub(crate) fn attach(schema: &str, disable_application_triggers: bool) -> Result<Vec<Answer>> {
    let host = HostTables::find(schema)?;
    BUILTINS
        .iter()
        .map(|builtin| attach_one(&host, builtin, disable_application_triggers))
        .collect()
}

/// Removes what `attach` installed, and enables again what it disabled.
pub(crate) fn detach(schema: &str) -> Result<Vec<Answer>> {
    let host = HostTables::find(schema)?;
    BUILTINS
        .iter()
        .map(|builtin| detach_one(&host, builtin))
        .collect()
}

/// The host's tables in one schema, as far as they are there.
struct HostTables {
    schema: String,
    target: Option<Relation>,
    source: Option<Relation>,
}

impl HostTables {
    fn find(schema: &str) -> Result<Self> {
        let mut source = None;
        for name in SOURCES {
            if source.is_none() {
                source = Relation::find_table(schema, name)?;
            }
        }
        Ok(Self {
            schema: schema.to_owned(),
            target: Relation::find_table(schema, TARGET)?,
            source,
        })
    }
}

fn attach_one(
    host: &HostTables,
    builtin: &Builtin,
    disable_application_triggers: bool,
) -> Result<Answer> {
    let feature = format!("{TARGET}.{}", builtin.column);
    let skipped = |detail: String| Ok((feature.clone(), "skipped".to_owned(), detail));
    let attached = |detail: String| Ok((feature.clone(), "attached".to_owned(), detail));

    let schema = &host.schema;
    let Some(target) = &host.target else {
        return skipped(format!("schema {schema} has no table {TARGET}"));
    };
    let Some(source) = &host.source else {
        return skipped(format!(
            "schema {schema} has neither a table {}",
            SOURCES.join(" nor ")
        ));
    };
    check_is_owner(target)?;
    check_is_owner(source)?;
    let rivals = application_triggers(source, builtin.column);
    let offer = format!(
        "the application's own triggers on {} write this column: {}; to disable them, call \
         lockstep.attach({}, disable_application_triggers => true)",
        source.qualified_name(),
        rivals.join(", "),
        quote_literal(schema),
    );
    let may_install = rivals.is_empty() || disable_application_triggers;
    let mut definition = builtin.definition(target, source);
    let present = Definition::of_column(target.oid, builtin.column)?;
    let done = match present {
        Some(present) if present.origin != "attach" => {
            return attached(format!(
                "defined by lockstep.add_cache_column as number {}",
                present.id
            ));
        }
        Some(present)
            if (rivals.is_empty() || !disable_application_triggers) && is_intact(&present)? =>
        {
            return attached(match rivals.as_slice() {
                [] => "already attached, nothing changed".to_owned(),
                _ => format!("already attached, but {offer}"),
            });
        }
        Some(present) => {
            remove(&present)?;
            definition.disabled_triggers = present.disabled_triggers;
            "installed again"
        }
        None => {
            let checked = definition
                .clone()
                .resolve()
                .and_then(|mut resolved| resolved.prepare_to_install());
            if let Err(error) = checked {
                return skipped(error.message());
            }
            if !may_install {
                return skipped(offer);
            }
            "kept"
        }
    };
    let mut detail = format!("{done} from {}", source.qualified_name());
    if may_install && !rivals.is_empty() {
        detail.push_str(&format!("; disabled {}", rivals.join(", ")));
        for rival in rivals {
            switch_trigger(source, &rival, "disable")?;
            if !definition.disabled_triggers.contains(&rival) {
                definition.disabled_triggers.push(rival);
            }
        }
    }
    add(definition)?;
    attached(detail)
}

fn detach_one(host: &HostTables, builtin: &Builtin) -> Result<Answer> {
    let feature = format!("{TARGET}.{}", builtin.column);
    let present = match &host.target {
        Some(target) => Definition::of_column(target.oid, builtin.column)?,
        None => None,
    };
    let Some(present) = present.filter(|definition| definition.origin == "attach") else {
        return Ok((feature, "skipped".to_owned(), "not attached".to_owned()));
    };
    remove(&present)?;
    let mut enabled = Vec::new();
    if let Ok(source) = Relation::describe(present.source) {
        for name in &present.disabled_triggers {
            if source.trigger(name).is_some_and(|trigger| !trigger.enabled) {
                switch_trigger(&source, name, "enable")?;
                enabled.push(name.as_str());
            }
        }
    }
    let detail = match enabled.as_slice() {
        [] => "triggers removed".to_owned(),
        names => format!("triggers removed; enabled {}", names.join(", ")),
    };
    Ok((feature, "detached".to_owned(), detail))
}

impl Builtin {
    fn definition(&self, target: &Relation, source: &Relation) -> Definition {
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
        }
    }
}

/// Whether every trigger that the definition needs is there, on partitions that were attached later too.
fn is_intact(definition: &Definition) -> Result<bool> {
    let Ok(resolved) = definition.clone().resolve() else {
        return Ok(false);
    };
    let mut needed = row_triggers(&resolved);
    for table in [&resolved.source, &resolved.target] {
        needed.extend(shared_triggers(table, &Definition::of_table(table.oid)?)?);
    }
    for trigger in needed {
        if !trigger.is_installed()? || trigger.is_outdated()? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// `action` is enable or disable.
fn switch_trigger(table: &Relation, trigger: &str, action: &str) -> Result<()> {
    let (table, trigger) = (table.qualified_name(), quote_identifier(trigger));
    run(&format!("alter table {table} {action} trigger {trigger}"))
}

/// The application's own triggers that write the column: they are named after it.
fn application_triggers(source: &Relation, column: &str) -> Vec<String> {
    let prefix = format!("trigger_{column}");
    let rivals = source
        .triggers()
        .iter()
        .filter(|trigger| trigger.enabled && trigger.name.starts_with(&prefix));
    rivals.map(|trigger| trigger.name.clone()).collect()
}
