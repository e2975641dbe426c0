//! The triggers on the host's tables of Slack integrations: installed by `lockstep.attach`, removed by `lockstep.detach`.

use super::tables::{SLACK, Tables};
use super::trigger::TRIGGERS;
use crate::attach::Answer;
use crate::error::Result;
use crate::host::{Relation, change, check_is_owner, lock_tables, run_as_owner_of};

fn answer(status: &str, detail: impl Into<String>) -> Result<Answer> {
    Ok((SLACK.to_owned(), status.to_owned(), detail.into()))
}

/// Keeps the rows of each team identical from now on, if the schema has all that this takes.
pub(crate) fn attach(schema: &str) -> Result<Answer> {
    if Relation::find_table(schema, SLACK)?.is_none() {
        return answer("skipped", format!("schema {schema} has no table {SLACK}"));
    }
    let tables = match Tables::of_schema(schema) {
        Ok(tables) => tables,
        Err(error) => return answer("skipped", error.message()),
    };
    let ours = [&tables.slack, &tables.links];
    for table in ours {
        check_is_owner(table)?;
    }
    for table in ours {
        if let Err(error) = table.check_is_permanent_table() {
            return answer("skipped", error.message());
        }
        if table.is_partitioned() {
            let name = table.qualified_name();
            return answer("skipped", format!("table \"{name}\" is partitioned"));
        }
    }
    for (table, triggers) in ours.into_iter().zip(TRIGGERS.map(|(_, triggers)| triggers)) {
        let off = triggers
            .iter()
            .filter_map(|(name, ..)| table.trigger(name))
            .any(|trigger| !trigger.enabled);
        if off {
            return answer(
                "attached",
                format!(
                    "already attached, but disabled; to enable it: alter table {} enable trigger user",
                    table.qualified_name()
                ),
            );
        }
    }
    if ours
        .into_iter()
        .zip(TRIGGERS)
        .all(|(table, (_, triggers))| {
            triggers
                .iter()
                .all(|(name, ..)| table.trigger(name).is_some())
        })
    {
        return answer("attached", "already attached, nothing changed");
    }
    lock_tables(&ours);
    for (table, (_, triggers)) in ours.into_iter().zip(TRIGGERS) {
        // Somebody else may have attached while this waited for the lock.
        let now = Relation::describe(table.oid)?;
        let name = now.qualified_name();
        for (trigger, when, function) in triggers {
            if now.trigger(trigger).is_some() {
                continue;
            }
            let when = when.replace("{table}", &name);
            run_as_owner_of(
                &now,
                &[
                    format!(
                        "create trigger {trigger} {when} execute function lockstep.{function}()"
                    ),
                    format!("alter trigger {trigger} on {name} depends on extension lockstep"),
                ],
            )?;
        }
    }
    answer("attached", "the rows of a team are kept identical")
}

/// Removes the triggers; rows and installations stay.
pub(crate) fn detach(schema: &str) -> Result<Answer> {
    let mut is_attached = false;
    for (name, triggers) in TRIGGERS {
        let Some(table) = Relation::find_table(schema, name)? else {
            continue;
        };
        for (trigger, ..) in triggers {
            if table.trigger(trigger).is_some() {
                check_is_owner(&table)?;
                change(
                    table.owner,
                    &format!("drop trigger {trigger} on {}", table.qualified_name()),
                )?;
                is_attached = true;
            }
        }
    }
    match is_attached {
        true => answer("detached", "triggers removed; the rows stay"),
        false => answer("skipped", "not attached"),
    }
}
