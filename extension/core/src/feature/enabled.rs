//! Whether a flag is on.

use super::gates::{Gates, State};
use super::tables::Tables;
use super::{group, known};
use crate::error::{FeatureError, OrRaise, Result, required};
use lockstep_server::{View, random};
use pgrx::prelude::*;
use std::rc::Rc;

/// Whether a flag is on for an actor, or for nobody in particular.
// No pinned search path: to set one takes longer than to answer, and every name in a statement is qualified. Two answers of one
// statement may differ where a percentage of the time decides; the application's do as well.
#[pg_extern(sql = r#"
create function lockstep.feature_enabled(name text, actor text default null, schema text default 'public')
returns boolean language c stable parallel restricted cost 10
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.feature_enabled(text, text, text) is
  'whether a feature flag is on, for an actor such as User:1 if one is given; by the rules of Flipper';
"#)]
fn feature_enabled(name: Option<&str>, actor: Option<&str>, schema: Option<&str>) -> bool {
    let name = required(name, "name");
    let schema = required(schema, "schema");
    decide(name, actor, schema).or_raise()
}

fn decide(name: &str, actor: Option<&str>, schema: &str) -> Result<bool> {
    if name.is_empty() {
        return Err(FeatureError::Name.into());
    }
    let gates = known::gates(name, schema)?;
    let is_in_group = |group: &String| group::contains(group, actor.unwrap_or_default());
    gates.are_open(name, actor, random, is_in_group)
}

/// Whether a flag is on, for nobody in particular.
pub(crate) fn is_enabled(name: &str, schema: &str) -> Result<bool> {
    decide(name, None, schema)
}

/// A flag as the statement sees it that called us, to be asked for many actors.
pub(crate) struct Flag {
    name: &'static str,
    gates: Rc<Gates>,
}

impl Flag {
    pub(crate) fn read(name: &'static str, schema: &str) -> Result<Self> {
        let gates = known::gates(name, schema)?;
        Ok(Self { name, gates })
    }

    /// Whether anybody has defined it or set it.
    pub(crate) fn is_known(&self) -> bool {
        self.gates.is_defined || self.gates.is_persisted
    }

    /// Whether it is on, if that is the same for every actor.
    pub(crate) fn is_for_all(&self) -> Option<bool> {
        match self.gates.state() {
            State::Off => Some(false),
            State::On if self.gates.actors.is_empty() => Some(true),
            State::On | State::Conditional => None,
        }
    }

    /// Whether it is on for any of these, none of which has opted out.
    pub(crate) fn is_on_for_any(&self, actors: &[String]) -> Result<bool> {
        if actors.iter().any(|actor| self.gates.has_opted_out(actor)) {
            return Ok(false);
        }
        // One draw for all of them, or a share of the time would be more the more there are.
        let time = random();
        for actor in actors {
            let is_in_group = |group: &String| group::contains(group, actor);
            if self
                .gates
                .are_open(self.name, Some(actor), || time, is_in_group)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether a flag is on for everybody, as of now: the caller may have waited since his statement began.
pub(crate) fn is_fully_on(name: &str, schema: &str) -> Result<bool> {
    let gates = Gates::read(name, Tables::find(schema)?.as_deref(), View::Newest)?;
    Ok(gates.state() == State::On)
}
