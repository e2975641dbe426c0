//! The rows of channels, which hold the pace and order of messages.

use crate::error::Result;
use lockstep_server::kept;
use lockstep_server::{OwnStatement, datum};
use pgrx::pg_sys;
use std::collections::{BTreeSet, HashMap};

struct Own {
    known: OwnStatement,
    find: OwnStatement,
    create: OwnStatement,
}

const PARAMETERS: [pg_sys::Oid; 3] = [pg_sys::TEXTOID, pg_sys::TEXTARRAYOID, pg_sys::TEXTARRAYOID];

kept! {
    static STATEMENTS: Own = Own {
        known: OwnStatement::by_index(
            "select t.place, coalesce(c.same_as, c.id), c.slack_id from unnest($2, $3) with ordinality t (team, channel, place)
               join lockstep_internal.slack_channel c on c.schema = $1 and c.team_id = t.team and c.channel = t.channel",
            &PARAMETERS,
            &["schema"],
        ),
        find: OwnStatement::by_index(
            "select c.id, t.place, coalesce(c.same_as, c.id) from unnest($2, $3) with ordinality t (team, channel, place)
               join lockstep_internal.slack_channel c on c.schema = $1 and c.team_id = t.team and c.channel = t.channel",
            &PARAMETERS,
            &["schema"],
        ),
        create: OwnStatement::by_index(
            // A channel addressed by id may already be known by name.
            "insert into lockstep_internal.slack_channel (schema, team_id, channel, slack_id, same_as)
             select $1, t.team, t.channel, s.slack_id, s.id from unnest($2, $3) with ordinality t (team, channel, place)
               left join lateral (
                 select o.slack_id, o.id from lockstep_internal.slack_channel o
                  where o.slack_id = t.channel and o.team_id = t.team and o.schema = $1 order by o.id limit 1) s on true
              order by t.place
             on conflict (schema, team_id, channel) do nothing",
            &PARAMETERS,
            &["slack_id"],
        ),
    };
}

/// Team and channel.
type Name<'a> = (&'a str, &'a str);

/// The row of a channel name, and the row that holds its order and pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Channel {
    pub(crate) id: i64,
    pub(crate) lane: i64,
}

/// What is known of a channel that has got messages before: the row that holds its order, and Slack's id.
pub(crate) struct Known {
    pub(crate) lane: i64,
    pub(crate) slack_id: Option<String>,
}

/// Those of these channels that have a row.
pub(crate) fn known<'a>(
    names: BTreeSet<Name<'a>>,
    schema: &str,
) -> Result<HashMap<Name<'a>, Known>> {
    let mut found = HashMap::with_capacity(names.len());
    let names: Vec<Name> = names.into_iter().collect();
    let (teams, channels): (Vec<&str>, Vec<&str>) = names.iter().copied().unzip();
    let arguments = [datum(schema), datum(teams), datum(channels)];
    STATEMENTS.with(|own| {
        own.known.rows(&arguments, |row| {
            let place = row
                .get::<i64>(1)
                .and_then(|place| usize::try_from(place).ok());
            let name = place.and_then(|place| names.get(place.checked_sub(1)?));
            let known = row.get(2).map(|lane| Known {
                lane,
                slack_id: row.get(3),
            });
            found.extend(name.copied().zip(known));
        })
    })?;
    Ok(found)
}

/// The channels' rows; missing ones are created.
pub(crate) fn rows<'a>(
    names: BTreeSet<Name<'a>>,
    schema: &str,
) -> Result<HashMap<Name<'a>, Channel>> {
    let mut channels = HashMap::with_capacity(names.len());
    let mut missing: Vec<Name> = names.into_iter().collect();
    while !missing.is_empty() {
        let (teams, names): (Vec<&str>, Vec<&str>) = missing.iter().copied().unzip();
        let arguments = [datum(schema), datum(teams), datum(names)];
        STATEMENTS.with(|own| {
            own.find.rows(&arguments, |row| {
                let place = row
                    .get::<i64>(2)
                    .and_then(|place| usize::try_from(place).ok());
                let name = place.and_then(|place| missing.get(place.checked_sub(1)?));
                let channel = row.get(1).zip(row.get(3));
                let channel = channel.map(|(id, lane)| Channel { id, lane });
                channels.extend(name.copied().zip(channel));
            })
        })?;
        missing.retain(|name| !channels.contains_key(name));
        if !missing.is_empty() {
            // In the order of their names, so that two sessions that create the same ones do not deadlock.
            let (teams, names): (Vec<&str>, Vec<&str>) = missing.iter().copied().unzip();
            let arguments = [datum(schema), datum(teams), datum(names)];
            STATEMENTS.with(|own| own.create.run(&arguments))?;
            pgrx::check_for_interrupts!();
        }
    }
    Ok(channels)
}
