//! Access to lockstep's feature flags.

use crate::error::Result;
use lockstep_server::host::Relation;
use lockstep_server::kept;
use lockstep_server::lock::{self, Kind};
use lockstep_server::{OwnStatement, current_user, datum, nullable};
use pgrx::JsonB;
use pgrx::pg_sys;
use serde_json::Value;

/// A flag of an environment, by a hash of both.
const FLAG: Kind = Kind(0x4c57);

struct Statements {
    standings: OwnStatement,
    set: OwnStatement,
    is_group: OwnStatement,
}

kept! {
    static STATEMENTS: Statements = Statements {
        standings: OwnStatement::new(
            "select s.name, s.standing, s.stale_rows, s.age_seconds from lockstep_internal.feature_standings($1, $2) s",
            &[pg_sys::TEXTOID; 2],
        ),
        set: OwnStatement::new(
            "select lockstep_internal.set_feature_on_behalf($1, $2, $3, $4, $5::jsonb, $6)",
            &[pg_sys::OIDOID, pg_sys::TEXTOID, pg_sys::TEXTOID, pg_sys::TEXTOID, pg_sys::TEXTOID, pg_sys::TEXTOID],
        ),
        is_group: OwnStatement::new(
            "select 1 where lockstep_internal.is_feature_group($1)",
            &[pg_sys::TEXTOID],
        ),
    };
}

pub(super) struct Standing {
    pub(super) name: String,
    pub(super) value: Value,
    /// Gate rows without effect.
    pub(super) stale_rows: i64,
    /// How long its rows have been unchanged, in seconds.
    pub(super) age: Option<i64>,
}

/// The current state of flags: all that are set, or the named one, set or not.
pub(super) fn standings(schema: &str, name: Option<&str>) -> Result<Vec<Standing>> {
    let mut standings = Vec::new();
    let arguments = [Some(datum(schema)), nullable(name)];
    STATEMENTS.with(|statements| {
        statements.standings.rows_with_nulls(&arguments, |row| {
            standings.push(Standing {
                name: row.get(1).unwrap_or_default(),
                value: row.get::<JsonB>(2).map_or(Value::Null, |value| value.0),
                stale_rows: row.get(3).unwrap_or_default(),
                age: row.get(4),
            });
        })
    })?;
    Ok(standings)
}

pub(super) fn standing(name: &str, schema: &str) -> Result<Value> {
    let standing = standings(schema, Some(name))?.pop();
    Ok(standing.map_or(Value::Null, |it| it.value))
}

/// Changes a flag and audits on whose behalf; the role is the caller's.
/// Returns the actors that it was turned off for but stays on, because of a percentage.
pub(super) fn set(
    name: &str,
    wish: &Value,
    actor: &str,
    source: &str,
    schema: &str,
) -> Result<Vec<String>> {
    let role = datum(current_user());
    let texts = [actor, source, name, &wish.to_string(), schema].map(datum);
    let arguments: Vec<_> = std::iter::once(role).chain(texts).collect();
    let mut still_on = Vec::new();
    STATEMENTS.with(|statements| {
        statements.set.rows(&arguments, |row| {
            still_on = row.get(1).unwrap_or_default();
        })
    })?;
    Ok(still_on)
}

/// Whether a group is registered.
pub(super) fn is_group(name: &str) -> Result<bool> {
    let mut is_there = false;
    STATEMENTS.with(|statements| {
        statements
            .is_group
            .rows(&[datum(name)], |_| is_there = true)
    })?;
    Ok(is_there)
}

/// Waits until no other transaction holds the flag, and holds it until this one ends. Two environments in one database have
/// separate locks.
pub(super) fn hold(name: &str, environment: &str, schema: &str) -> Result<()> {
    // Without this table nobody can change a flag.
    if let Some(features) = Relation::find_table(schema, "features")? {
        let mut hash = crc32fast::Hasher::new();
        hash.update(environment.as_bytes());
        hash.update(&[0]);
        hash.update(name.as_bytes());
        let mode = pg_sys::ExclusiveLock;
        lock::take(FLAG, features.oid, hash.finalize(), mode);
    }
    Ok(())
}
