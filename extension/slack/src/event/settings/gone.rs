//! Removes data about integrations that is no longer useful: settings, managers and troubles of integrations that the application
//! has removed, and troubles of channels that are no longer notified.

use super::effective as settings;
use super::review_reminder::{self, Reminders};
use crate::error::Result;
use crate::event::tables::{Tables, class};
use lockstep_server::kept;
use lockstep_server::{OwnStatement, View, datum, keys_argument};
use pgrx::pg_sys;
use std::collections::{BTreeMap, BTreeSet};

struct Own {
    integrations: OwnStatement,
    settings: OwnStatement,
    managers: OwnStatement,
    troubles: OwnStatement,
    end_troubles: OwnStatement,
}

kept! {
    static STATEMENTS: Own = Own {
        integrations: OwnStatement::new(
            "select n.integration_id from lockstep_internal.slack_notification n where n.schema = $1
              union select t.integration_id from lockstep_internal.slack_channel_trouble t where t.schema = $1
              union select m.integration_id from lockstep_internal.slack_manager m where m.schema = $1",
            &[pg_sys::TEXTOID],
        ),
        settings: OwnStatement::by_index(
            "delete from lockstep_internal.slack_notification n where n.schema = $1 and n.integration_id = any ($2)",
            &[pg_sys::TEXTOID, pg_sys::INT8ARRAYOID],
            &["schema"],
        ),
        managers: OwnStatement::by_index(
            "delete from lockstep_internal.slack_manager m where m.schema = $1 and m.integration_id = any ($2)",
            &[pg_sys::TEXTOID, pg_sys::INT8ARRAYOID],
            &["schema"],
        ),
        troubles: OwnStatement::new(
            "select t.integration_id, t.team_id, t.channel from lockstep_internal.slack_channel_trouble t where t.schema = $1",
            &[pg_sys::TEXTOID],
        ),
        // A sender may be writing one of them, and this waits for nobody.
        end_troubles: OwnStatement::by_index(
            "delete from lockstep_internal.slack_channel_trouble t using (
               select o.integration_id, o.team_id, o.channel from unnest($2, $3, $4) r (integration, team, channel)
                 join lockstep_internal.slack_channel_trouble o
                   on o.schema = $1 and o.integration_id = r.integration and o.team_id = r.team and o.channel = r.channel
                  for update of o skip locked) old
              where t.schema = $1 and t.integration_id = old.integration_id and t.team_id = old.team_id and t.channel = old.channel",
            &[
                pg_sys::TEXTOID,
                pg_sys::INT8ARRAYOID,
                pg_sys::TEXTARRAYOID,
                pg_sys::TEXTARRAYOID,
            ],
            &["schema"],
        ),
    };
}

/// Integration, team and channel.
type Trouble = (i64, String, String);

/// Removes at most `most` rows; returns how many.
pub(crate) fn sweep_gone(schema: &str, most: usize) -> Result<u64> {
    let tables = Tables::attached(schema)?;
    let mut kept: BTreeSet<i64> = BTreeSet::new();
    STATEMENTS.with(|own| {
        own.integrations
            .rows(&[datum(schema)], |row| kept.extend(row.get::<i64>(1)))
    })?;
    let reminders = review_reminder::all(schema)?;
    kept.extend(reminders.keys());
    if kept.is_empty() {
        return Ok(0);
    }
    // Read after our own data: an integration that our data mentions existed before that was written.
    let parents = parents(&tables, &kept);
    if parents.is_empty() {
        // It is more likely that the application's table is being restored than that all are gone at once.
        return Ok(0);
    }
    let gone = kept.into_iter().filter(|id| !parents.contains_key(id));
    let gone: Vec<i64> = gone.take(most).collect();
    let mut removed = 0;
    if !gone.is_empty() {
        let arguments = [datum(schema), keys_argument(&gone)];
        STATEMENTS.with(|own| -> Result<()> {
            removed += own.settings.run(&arguments)? + own.managers.run(&arguments)?;
            Ok(())
        })?;
        for id in gone.iter().filter(|id| reminders.contains_key(id)) {
            review_reminder::set(schema, *id, &Reminders::new())?;
            removed += 1;
        }
    }
    let troubles = untold(&tables, parents, &reminders)?;
    Ok(removed + end(&troubles[..troubles.len().min(most)], schema)?)
}

/// Which of these integrations exist, each with its parent.
pub(super) fn parents(tables: &Tables, integrations: &BTreeSet<i64>) -> BTreeMap<i64, Option<i64>> {
    let integrations: Vec<i64> = integrations.iter().copied().collect();
    let mut found = BTreeMap::new();
    tables.as_owner(|| {
        let query = &tables.statements.parents;
        query.rows(View::Own, &[keys_argument(&integrations), class()], |row| {
            if let Some(id) = row.get(1) {
                found.insert(id, row.get(2));
            }
        });
    });
    found
}

/// Troubles with channels that none of these integrations has.
fn untold(
    tables: &Tables,
    parents: BTreeMap<i64, Option<i64>>,
    reminders: &BTreeMap<i64, Reminders>,
) -> Result<Vec<Trouble>> {
    let mut troubles: Vec<Trouble> = Vec::new();
    STATEMENTS.with(|own| {
        own.troubles.rows(&[datum(tables.schema.as_str())], |row| {
            let of = row.get(1).zip(row.get(2)).zip(row.get(3));
            troubles.extend(of.map(|((integration, team), channel)| (integration, team, channel)));
        })
    })?;
    let troubled: BTreeSet<i64> = troubles.iter().map(|(id, ..)| *id).collect();
    let asked = parents.into_iter().filter(|(id, _)| troubled.contains(id));
    let settings = settings::effective(tables, asked)?;
    troubles.retain(
        |(integration, _, channel)| match settings.get(integration) {
            Some(found) => {
                let reminders = reminders.get(integration).into_iter();
                let mut reminded = reminders.flat_map(review_reminder::channels_of);
                !found.settings.all_channels().contains(&channel.as_str())
                    && reminded.all(|other| other != channel)
            }
            None => true,
        },
    );
    Ok(troubles)
}

fn end(troubles: &[Trouble], schema: &str) -> Result<u64> {
    if troubles.is_empty() {
        return Ok(0);
    }
    let integrations: Vec<i64> = troubles.iter().map(|(id, ..)| *id).collect();
    let teams: Vec<&str> = troubles.iter().map(|(_, team, _)| team.as_str()).collect();
    let channels: Vec<&str> = troubles.iter().map(|(.., name)| name.as_str()).collect();
    let arguments = [
        datum(schema),
        keys_argument(&integrations),
        datum(teams),
        datum(channels),
    ];
    STATEMENTS.with(|own| own.end_troubles.run(&arguments))
}
