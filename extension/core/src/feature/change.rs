//! Flag changes with the same effect as Flipper's. Changes of one flag are serialized by a lock on its row: otherwise two
//! percentages set at once would both stay.

use super::audit::by_caller;
use super::gates::{Gates, State};
use super::recorded::check_is_recorded;
use super::tables::Tables;
use super::{check_name, check_new_name};
use crate::error::{FeatureError, OrRaise, Result, required};
use lockstep_server::host::check_may;
use lockstep_server::{Statement, View, datum};
use pgrx::AnyNumeric;
use pgrx::prelude::*;
use std::rc::Rc;

/// A flag that is being changed.
pub(super) struct Change<'a> {
    pub(super) name: &'a str,
    pub(super) tables: Rc<Tables>,
    pub(super) gates: Gates,
}

impl<'a> Change<'a> {
    /// Begins a change for some. A flag that is on by default stays on for the others.
    pub(super) fn for_some(name: &'a str, schema: &str) -> Result<Self> {
        Self::begin(name, schema, true)
    }

    /// Creates the flag's row if it is missing, and locks it.
    fn begin(name: &'a str, schema: &str, keeps_default: bool) -> Result<Self> {
        check_name(name)?;
        let mut change = Self::of(name, schema, "insert")?;
        let is_new = change.run(|tables| &tables.create, &[]) > 0;
        if is_new {
            check_new_name(name)?;
        }
        change.run(|tables| &tables.lock, &[]);
        change.gates = Gates::read(name, Some(&change.tables), View::Newest)?;
        // With a row it has no default any more: whoever changes it for some must not change it for everybody.
        if is_new && change.gates.default_enabled && keeps_default {
            change.open("boolean", "true");
            change.gates.boolean = true;
        }
        Ok(change)
    }

    /// Writes run with the rights of the tables' owner, because triggers on them may run then. So the caller must have the
    /// necessary privileges, including this one on both tables.
    fn of(name: &'a str, schema: &str, privilege: &str) -> Result<Self> {
        let tables = Tables::of_schema(schema)?;
        check_is_recorded(&tables)?;
        check_may(&[&tables.features], &["select", "update", privilege])?;
        check_may(&[&tables.gates], &["select", "delete", privilege])?;
        Ok(Self {
            name,
            tables,
            gates: Gates::default(),
        })
    }

    fn run(&self, statement: impl Fn(&Tables) -> &Statement, arguments: &[&str]) -> u64 {
        let mut all = vec![datum(self.name)];
        all.extend(arguments.iter().copied().map(datum));
        by_caller(self.tables.features.schema(), || {
            self.tables
                .as_owner(|| statement(&self.tables).run_seeing(View::Newest, &all))
        })
    }

    pub(super) fn open(&self, gate: &str, value: &str) {
        self.run(|tables| &tables.open, &[gate, value]);
    }

    /// Whether there was anything to close.
    pub(super) fn close(&self, gate: &str, value: &str) -> bool {
        self.run(|tables| &tables.close, &[gate, value]) > 0
    }

    pub(super) fn refuse_if_fully_on(&self, hint: &'static str) -> Result<()> {
        match self.gates.state() {
            State::On => Err(FeatureError::FullyOn {
                name: self.name.to_owned(),
                hint,
            }
            .into()),
            _ => Ok(()),
        }
    }
}

/// Turns a flag on or off for everybody.
#[pg_extern(sql = r#"
create function lockstep.set_feature(name text, enabled boolean, schema text default 'public')
returns void language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.set_feature(text, boolean, text) is
  'turns a feature flag on or off for everybody; either removes all that was set for some';
"#)]
fn set_feature(name: Option<&str>, enabled: Option<bool>, schema: Option<&str>) {
    let name = required(name, "name");
    let enabled = required(enabled, "enabled");
    let schema = required(schema, "schema");
    set(name, enabled, schema).or_raise();
}

pub(super) fn set(name: &str, enabled: bool, schema: &str) -> Result<()> {
    let change = Change::begin(name, schema, false)?;
    // If nothing changes, nothing is written or audited, so the time since when it is on stays right.
    if enabled && change.gates.boolean && change.gates.rows == 1 {
        return Ok(());
    }
    change.run(|tables| &tables.clear, &[]);
    if enabled {
        change.open("boolean", "true");
    }
    Ok(())
}

/// Turns a flag on for a percentage of actors, or of the time.
#[pg_extern(sql = r#"
create function lockstep.set_feature_percentage(name text, percentage numeric, "of" text default 'actors', schema text default 'public')
returns void language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.set_feature_percentage(text, numeric, text, text) is
  'turns a feature flag on for a percentage of the actors, always the same ones, or of the time';
"#)]
fn set_feature_percentage(
    name: Option<&str>,
    percentage: Option<AnyNumeric>,
    of: Option<&str>,
    schema: Option<&str>,
) {
    let name = required(name, "name");
    let percentage = required(percentage, "percentage");
    let of = required(of, "of");
    let schema = required(schema, "schema");
    set_percentage(name, &percentage.to_string(), of, schema).or_raise();
}

pub(super) fn set_percentage(name: &str, percentage: &str, of: &str, schema: &str) -> Result<()> {
    let gate = match of {
        "actors" => "percentage_of_actors",
        "time" => "percentage_of_time",
        _ => return Err(FeatureError::PercentageOf { of: of.to_owned() }.into()),
    };
    let value = percentage_text(percentage)?;
    let change = Change::for_some(name, schema)?;
    change.refuse_if_fully_on("Turn it off first: that clears it, and what is set then counts.")?;
    change.run(|tables| &tables.clear_gate, &[gate]);
    change.open(gate, value);
    Ok(())
}

/// The number as Flipper stores it: 0 to 100, with at most three decimals, and a point only if there are any.
fn percentage_text(percentage: &str) -> Result<&str> {
    let text = match percentage.contains('.') {
        true => percentage.trim_end_matches('0').trim_end_matches('.'),
        false => percentage,
    };
    let decimals = text
        .split_once('.')
        .map_or(0, |(_, decimals)| decimals.len());
    let is_within = text
        .parse::<f64>()
        .is_ok_and(|number| (0.0..=100.0).contains(&number));
    match is_within && decimals <= 3 && !text.starts_with('-') {
        true => Ok(text),
        false => Err(FeatureError::Percentage {
            percentage: percentage.chars().take(50).collect(),
        }
        .into()),
    }
}

/// Removes a flag as if it had never been set.
#[pg_extern(sql = r#"
create function lockstep.remove_feature(name text, schema text default 'public')
returns void language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.remove_feature(text, text) is
  'removes a feature flag as if it had never been set; then its default counts';
"#)]
fn remove_feature(name: Option<&str>, schema: Option<&str>) {
    let name = required(name, "name");
    let schema = required(schema, "schema");
    remove(name, schema).or_raise();
}

pub(super) fn remove(name: &str, schema: &str) -> Result<()> {
    let change = Change::of(name, schema, "delete")?;
    // Lock first, so that a concurrent change is removed as well.
    change.run(|tables| &tables.lock, &[]);
    let removed =
        change.run(|tables| &tables.clear, &[]) + change.run(|tables| &tables.remove, &[]);
    match removed {
        0 => Err(FeatureError::NoSuchFeature {
            name: name.to_owned(),
        }
        .into()),
        _ => Ok(()),
    }
}
