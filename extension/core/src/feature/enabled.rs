//! Whether a flag is on.

use super::gates::{Gates, State};
use super::tables::Tables;
use super::{group, known};
use crate::error::{OrRaise, Result, required};
use lockstep_server::{View, random};
use pgrx::prelude::*;

/// Whether a flag is on for an actor, or without an actor.
// No pinned search path: setting it takes longer than answering, and every name is qualified. With a percentage of time, two
// calls in one statement may return different values; Flipper's do as well.
#[pg_extern(sql = r#"
create function lockstep.feature_enabled(name text, actor text default null, schema text default 'public')
returns boolean language c stable parallel restricted cost 10
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.feature_enabled(text, text, text) is
  'whether a feature flag is on, for an actor such as User:1 if one is given; by the rules of Flipper. null if only an expression of Flipper could tell, which needs what the application knows about the actor';
"#)]
fn feature_enabled(name: Option<&str>, actor: Option<&str>, schema: Option<&str>) -> Option<bool> {
    let name = required(name, "name");
    let schema = required(schema, "schema");
    decide(name, actor, schema).or_raise()
}

fn decide(name: &str, actor: Option<&str>, schema: &str) -> Result<Option<bool>> {
    let gates = known::gates(name, schema)?;
    let is_in_group = |group: &String| group::contains(group, actor.unwrap_or_default());
    gates.are_open(name, actor, random, is_in_group)
}

/// Whether a flag is certainly on, without an actor.
pub(crate) fn is_enabled(name: &str, schema: &str) -> Result<bool> {
    Ok(decide(name, None, schema)?.unwrap_or_default())
}

/// How a flag decides, for callers that check many actors.
#[pg_extern(sql = r#"
create function lockstep.feature_decision(name text, schema text default 'public')
returns text language c stable parallel restricted cost 10
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.feature_decision(text, text) is
  'on or off if the feature flag is the same for every actor, otherwise conditional; null if it is neither defined nor set';
"#)]
fn feature_decision(name: Option<&str>, schema: Option<&str>) -> Option<&'static str> {
    let gates = known::gates(required(name, "name"), required(schema, "schema")).or_raise();
    if !gates.is_defined && !gates.is_persisted {
        return None;
    }
    Some(match gates.state() {
        State::On if gates.actors.is_empty() => "on",
        State::Off => "off",
        State::On | State::Conditional => "conditional",
    })
}

/// Whether a flag is on for any of these actors, none of which has opted out.
#[pg_extern(sql = r#"
create function lockstep.feature_enabled_for_any(name text, actors text[], schema text default 'public')
returns boolean language c stable parallel restricted cost 10
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.feature_enabled_for_any(text, text[], text) is
  'whether a feature flag is on for one of these actors, and none of them has opted out; null if only an expression of Flipper could tell';
"#)]
fn feature_enabled_for_any(
    name: Option<&str>,
    actors: Option<Vec<Option<String>>>,
    schema: Option<&str>,
) -> Option<bool> {
    let name = required(name, "name");
    let actors = required(actors, "actors").into_iter().flatten().collect();
    is_on_for_any(name, actors, required(schema, "schema")).or_raise()
}

fn is_on_for_any(name: &str, actors: Vec<String>, schema: &str) -> Result<Option<bool>> {
    let gates = known::gates(name, schema)?;
    if actors.iter().any(|actor| gates.has_opted_out(actor)) {
        return Ok(Some(false));
    }
    // One random draw for all actors, otherwise a percentage of time would grow with their number.
    let time = random();
    let mut is_known = true;
    for actor in &actors {
        let is_in_group = |group: &String| group::contains(group, actor);
        match gates.are_open(name, Some(actor), || time, is_in_group)? {
            Some(true) => return Ok(Some(true)),
            None => is_known = false,
            Some(false) => {}
        }
    }
    Ok(is_known.then_some(false))
}

/// Whether a flag is on for everybody now: the caller may have waited since its statement began.
pub(crate) fn is_fully_on(name: &str, schema: &str) -> Result<bool> {
    let gates = Gates::read(name, Tables::find(schema)?.as_deref(), View::Newest)?;
    Ok(gates.state() == State::On)
}
