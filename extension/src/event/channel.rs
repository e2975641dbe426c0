//! The rows of channels, which pace and order what is sent to each.

use crate::error::Result;
use crate::own_statement::OwnStatement;
use crate::statement::datum;
use pgrx::pg_sys;
use std::collections::{BTreeSet, HashMap};
use std::mem::ManuallyDrop;

struct Own {
    find: OwnStatement,
    create: OwnStatement,
}

const PARAMETERS: [pg_sys::Oid; 3] = [pg_sys::TEXTOID, pg_sys::TEXTARRAYOID, pg_sys::TEXTARRAYOID];

thread_local! {
    // Never dropped: at the end of the process the memory that the plans live in may be gone already.
    static STATEMENTS: ManuallyDrop<Own> = ManuallyDrop::new(Own {
        find: OwnStatement::by_index(
            "select c.id, t.place from unnest($2, $3) with ordinality t (team, channel, place)
               join lockstep.slack_channel c on c.schema = $1 and c.team_id = t.team and c.channel = t.channel",
            &PARAMETERS,
            &["schema"],
        ),
        create: OwnStatement::new(
            "insert into lockstep.slack_channel (schema, team_id, channel)
             select $1, t.team, t.channel from unnest($2, $3) t (team, channel)
             on conflict (schema, team_id, channel) do nothing",
            &PARAMETERS,
        ),
    });
}

/// Team and channel.
type Name<'a> = (&'a str, &'a str);

/// The ids of channels; those that have no row get one.
pub(super) fn ids<'a>(names: BTreeSet<Name<'a>>, schema: &str) -> Result<HashMap<Name<'a>, i64>> {
    let mut ids = HashMap::with_capacity(names.len());
    let mut missing: Vec<Name> = names.into_iter().collect();
    while !missing.is_empty() {
        let (teams, channels): (Vec<&str>, Vec<&str>) = missing.iter().copied().unzip();
        let arguments = [datum(schema), datum(teams), datum(channels)];
        STATEMENTS.with(|own| {
            own.find.rows(&arguments, |row| {
                let place = row
                    .get::<i64>(2)
                    .and_then(|place| usize::try_from(place).ok());
                let name = place.and_then(|place| missing.get(place.checked_sub(1)?));
                ids.extend(name.copied().zip(row.get(1)));
            })
        })?;
        missing.retain(|name| !ids.contains_key(name));
        if !missing.is_empty() {
            // In the order of their names, so that two who make the same ones do not wait for each other.
            let (teams, channels): (Vec<&str>, Vec<&str>) = missing.iter().copied().unzip();
            let arguments = [datum(schema), datum(teams), datum(channels)];
            STATEMENTS.with(|own| own.create.run(&arguments))?;
            pgrx::check_for_interrupts!();
        }
    }
    Ok(ids)
}
