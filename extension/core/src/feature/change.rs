//! Flag changes with the same effect as Flipper's. Changes of one flag are serialized by a lock on its row: otherwise two
//! percentages set at once would both stay.

use super::audit::by_caller;
use super::check_name;
use super::gates::{Gates, OPT_OUT, State};
use super::group;
use super::recorded::check_is_recorded;
use super::tables::Tables;
use crate::error::{FeatureError, OrRaise, Result, required};
use lockstep_server::error::notice;
use lockstep_server::host::check_may;
use lockstep_server::{Statement, View, datum};
use pgrx::AnyNumeric;
use pgrx::prelude::*;
use pgrx::spi::quote_literal;
use std::rc::Rc;

/// A flag that is being changed.
struct Change<'a> {
    name: &'a str,
    tables: Rc<Tables>,
    gates: Gates,
}

impl<'a> Change<'a> {
    /// Creates the flag's row if it is missing, and locks it.
    fn begin(name: &'a str, schema: &str) -> Result<Self> {
        check_name(name)?;
        let mut change = Self::of(name, schema, "insert")?;
        let is_new = change.run(|tables| &tables.create, &[]) > 0;
        // The application may have flags with any name.
        if is_new && name.contains(|sign: char| sign.is_whitespace() || sign.is_control()) {
            return Err(FeatureError::NewName {
                name: name.to_owned(),
            }
            .into());
        }
        change.run(|tables| &tables.lock, &[]);
        change.gates = Gates::read(name, Some(&change.tables), View::Newest)?;
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

    fn open(&self, gate: &str, value: &str) {
        self.run(|tables| &tables.open, &[gate, value]);
    }

    fn close(&self, gate: &str, value: &str) {
        self.run(|tables| &tables.close, &[gate, value]);
    }

    fn refuse_if_fully_on(&self, hint: &'static str) -> Result<()> {
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
    let change = Change::begin(name, schema)?;
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
    let change = Change::begin(name, schema)?;
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

/// Turns a flag on for one actor.
#[pg_extern(sql = r#"
create function lockstep.enable_feature_for(name text, actor text, schema text default 'public')
returns void language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.enable_feature_for(text, text, text) is
  'turns a feature flag on for one actor, such as User:1, Group:22 or Project:333';
"#)]
fn enable_feature_for(name: Option<&str>, actor: Option<&str>, schema: Option<&str>) {
    with_actor(name, actor, schema, enable_for);
}

fn enable_for(change: &Change, actor: &str) -> Result<()> {
    if change.gates.has_opted_out(actor) {
        return Err(FeatureError::OptedOut {
            name: change.name.to_owned(),
            actor: actor.to_owned(),
        }
        .into());
    }
    change.open("actors", actor);
    Ok(())
}

/// Turns a flag off for one actor.
#[pg_extern(sql = r#"
create function lockstep.disable_feature_for(name text, actor text, schema text default 'public')
returns void language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.disable_feature_for(text, text, text) is
  'takes back that a feature flag was turned on for one actor; a notice tells if a percentage keeps it on. lockstep.opt_out_of_feature makes an exception';
"#)]
fn disable_feature_for(name: Option<&str>, actor: Option<&str>, schema: Option<&str>) {
    with_actor(name, actor, schema, |change, actor| {
        if disable_for(change, actor)? {
            let name = change.name;
            let schema = change.tables.features.schema();
            let arguments = [name, actor, schema].map(quote_literal);
            notice(
                format!("feature \"{name}\" stays on for actor \"{actor}\""),
                "It is on for a percentage, which includes this actor.",
                format!(
                    "To turn it off for the actor: select lockstep.opt_out_of_feature({}).",
                    arguments.join(", ")
                ),
            );
        }
        Ok(())
    });
}

/// Whether a percentage keeps it on for the actor.
fn disable_for(change: &Change, actor: &str) -> Result<bool> {
    change.refuse_if_fully_on("To make an exception, call lockstep.opt_out_of_feature.")?;
    change.close("actors", actor);
    Ok(change.gates.stays_open(change.name, actor))
}

/// Turns a flag on or off for some actors and groups; returns the actors that it was turned off for but stays on.
pub(super) fn set_for(
    name: &str,
    enabled: bool,
    actors: &[String],
    groups: &[String],
    schema: &str,
) -> Result<Vec<String>> {
    for actor in actors {
        check_actor(actor)?;
    }
    for group in groups {
        check_name(group)?;
    }
    let change = Change::begin(name, schema)?;
    let mut still_on = Vec::new();
    for actor in actors {
        match enabled {
            true => enable_for(&change, actor)?,
            false if disable_for(&change, actor)? => still_on.push(actor.clone()),
            false => {}
        }
    }
    for group in groups {
        match enabled {
            true => enable_for_group(&change, group)?,
            false => disable_for_group_of(&change, group)?,
        }
    }
    Ok(still_on)
}

/// Opts actors out, or ends that.
pub(super) fn set_opt_out(
    name: &str,
    is_opted_out: bool,
    actors: &[String],
    schema: &str,
) -> Result<()> {
    for actor in actors {
        check_actor(actor)?;
    }
    let change = Change::begin(name, schema)?;
    actors.iter().try_for_each(|actor| match is_opted_out {
        true => opt_out(&change, actor),
        false => remove_opt_out(&change, actor),
    })
}

/// Excludes one actor.
#[pg_extern(sql = r#"
create function lockstep.opt_out_of_feature(name text, actor text, schema text default 'public')
returns void language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.opt_out_of_feature(text, text, text) is
  'keeps a feature flag off for one actor, however it is turned on';
"#)]
fn opt_out_of_feature(name: Option<&str>, actor: Option<&str>, schema: Option<&str>) {
    with_actor(name, actor, schema, opt_out);
}

fn opt_out(change: &Change, actor: &str) -> Result<()> {
    change.open("actors", &format!("{actor}{OPT_OUT}"));
    Ok(())
}

/// Ends the exclusion of one actor.
#[pg_extern(sql = r#"
create function lockstep.remove_feature_opt_out(name text, actor text, schema text default 'public')
returns void language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.remove_feature_opt_out(text, text, text) is
  'ends the exception that lockstep.opt_out_of_feature made';
"#)]
fn remove_feature_opt_out(name: Option<&str>, actor: Option<&str>, schema: Option<&str>) {
    with_actor(name, actor, schema, remove_opt_out);
}

fn remove_opt_out(change: &Change, actor: &str) -> Result<()> {
    if !change.gates.has_opted_out(actor) {
        return Err(FeatureError::NotOptedOut {
            name: change.name.to_owned(),
            actor: actor.to_owned(),
        }
        .into());
    }
    change.close("actors", &format!("{actor}{OPT_OUT}"));
    Ok(())
}

fn with_actor(
    name: Option<&str>,
    actor: Option<&str>,
    schema: Option<&str>,
    work: impl FnOnce(&Change, &str) -> Result<()>,
) {
    let name = required(name, "name");
    let actor = required(actor, "actor");
    let schema = required(schema, "schema");
    let run = || {
        check_actor(actor)?;
        work(&Change::begin(name, schema)?, actor)
    };
    run().or_raise();
}

/// `Class:id`, as the application names actors.
fn check_actor(actor: &str) -> Result<()> {
    let is_actor = !actor.ends_with(OPT_OUT)
        && !actor.chars().any(char::is_whitespace)
        && actor.rsplit_once(':').is_some_and(|(class, id)| {
            !id.is_empty() && class.starts_with(|letter: char| letter.is_ascii_uppercase())
        });
    match is_actor {
        true => Ok(()),
        false => Err(FeatureError::Actor {
            actor: actor.chars().take(100).collect(),
        }
        .into()),
    }
}

/// Turns a flag on for a group of actors.
#[pg_extern(sql = r#"
create function lockstep.enable_feature_for_group(name text, "group" text, schema text default 'public')
returns void language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.enable_feature_for_group(text, text, text) is
  'turns a feature flag on for the actors of a group that lockstep.register_feature_group has made known';
"#)]
fn enable_feature_for_group(name: Option<&str>, group: Option<&str>, schema: Option<&str>) {
    with_group(name, group, schema, enable_for_group);
}

fn enable_for_group(change: &Change, group: &str) -> Result<()> {
    if !group::is_registered(group)? {
        return Err(FeatureError::NoSuchGroup {
            name: group.to_owned(),
        }
        .into());
    }
    change.open("groups", group);
    Ok(())
}

/// Turns a flag off for a group.
#[pg_extern(sql = r#"
create function lockstep.disable_feature_for_group(name text, "group" text, schema text default 'public')
returns void language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.disable_feature_for_group(text, text, text) is
  'takes back that a feature flag was turned on for a group';
"#)]
fn disable_feature_for_group(name: Option<&str>, group: Option<&str>, schema: Option<&str>) {
    with_group(name, group, schema, disable_for_group_of);
}

fn disable_for_group_of(change: &Change, group: &str) -> Result<()> {
    change.refuse_if_fully_on("To make exceptions, call lockstep.opt_out_of_feature.")?;
    change.close("groups", group);
    Ok(())
}

fn with_group(
    name: Option<&str>,
    group: Option<&str>,
    schema: Option<&str>,
    work: impl FnOnce(&Change, &str) -> Result<()>,
) {
    let name = required(name, "name");
    let group = required(group, "group");
    let schema = required(schema, "schema");
    let run = || -> Result<()> {
        check_name(group)?;
        let change = Change::begin(name, schema)?;
        work(&change, group)
    };
    run().or_raise();
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
