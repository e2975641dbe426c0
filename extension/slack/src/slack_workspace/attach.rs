//! The triggers on the application's tables of Slack integrations: installed by `lockstep.attach_slack`, removed by
//! `lockstep.detach_slack`.

use super::host::{LINKS, SLACK, Tables};
use super::identical::{TRIGGERS_OF_LINKS, TRIGGERS_OF_ROWS, differing_today};
use crate::error::Result;
use lockstep_server::host::{
    Answer, Relation, Scope, Writes, check_is_owner, install_triggers, remove_triggers,
};

pub(crate) const FEATURE: &str = SLACK;

fn answer(status: &str, detail: impl Into<String>) -> Result<Answer> {
    Ok((FEATURE.to_owned(), status.to_owned(), detail.into()))
}

/// Keeps the rows of each team identical from now on, if the schema has all that this needs.
pub(crate) fn attach(schema: &str, scope: &Scope) -> Result<Answer> {
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
        let checked = table
            .check_is_permanent_table()
            .and_then(|()| table.check_is_no_child());
        if let Err(error) = checked {
            return answer("skipped", error.message());
        }
        if table.is_partitioned() {
            let name = table.qualified_name();
            return answer("skipped", format!("table \"{name}\" is partitioned"));
        }
    }
    let written = [
        (&tables.slack, Writes::Rows),
        (&tables.links, Writes::Rows),
        (&tables.scopes, Writes::RowsCome),
        (&tables.integrations, Writes::RowsCome),
    ];
    for (table, writes) in written {
        if let Err(error) = table.check_defers_nothing(writes) {
            return answer("skipped", error.message());
        }
    }
    let installed = install_triggers(
        scope,
        &[
            (&tables.slack, &TRIGGERS_OF_ROWS),
            (&tables.links, &TRIGGERS_OF_LINKS),
        ],
    )?;
    let mut answer = installed.answer(FEATURE.to_owned(), "the rows of a team are kept identical");
    if answer.1 == "would attach" {
        answer.2.push_str(&differing_today(&tables));
    }
    Ok(answer)
}

/// Removes the triggers; rows and installations stay.
pub(crate) fn detach(schema: &str) -> Result<Answer> {
    let tables: [(_, &[_]); 2] = [(SLACK, &TRIGGERS_OF_ROWS), (LINKS, &TRIGGERS_OF_LINKS)];
    match remove_triggers(schema, &tables)? {
        true => answer("detached", "triggers removed; the rows stay"),
        false => answer("skipped", "not attached"),
    }
}
