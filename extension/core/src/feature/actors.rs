//! Changes of a flag for some actors or groups.

use super::change::Change;
use super::check_name;
use super::gates::OPT_OUT;
use super::group;
use crate::error::{FeatureError, OrRaise, Result, required};
use lockstep_server::attempt;
use lockstep_server::error::notice;
use pgrx::prelude::*;
use pgrx::spi::quote_literal;

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
  'takes back that a feature flag was turned on for one actor; a notice tells if a percentage or a group keeps it on. lockstep.opt_out_of_feature makes an exception';
"#)]
fn disable_feature_for(name: Option<&str>, actor: Option<&str>, schema: Option<&str>) {
    with_actor(name, actor, schema, |change, actor| {
        if disable_for(change, actor, &[])? {
            let name = change.name;
            let schema = change.tables.features.schema();
            let arguments = [name, actor, schema].map(quote_literal);
            notice(
                format!("feature \"{name}\" stays on for actor \"{actor}\""),
                "It is on for a percentage or a group that includes this actor.",
                format!(
                    "To turn it off for the actor: select lockstep.opt_out_of_feature({}).",
                    arguments.join(", ")
                ),
            );
        }
        Ok(())
    });
}

/// Whether a percentage or a group keeps it on for the actor. Groups that are `closing` do not.
fn disable_for(change: &Change, actor: &str, closing: &[String]) -> Result<bool> {
    change.refuse_if_fully_on("To make an exception, call lockstep.opt_out_of_feature.")?;
    change.close("actors", actor);
    let is_in_group = |group: &String| match closing.contains(group) {
        true => Ok(false),
        // A function that fails must not keep anybody from turning a flag off.
        false => attempt(|| group::contains(group, actor)).unwrap_or(Ok(false)),
    };
    change.gates.stays_open(change.name, actor, is_in_group)
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
    let change = Change::for_some(name, schema)?;
    let closing = if enabled { &[][..] } else { groups };
    let mut still_on = Vec::new();
    for actor in actors {
        match enabled {
            true => enable_for(&change, actor)?,
            false if disable_for(&change, actor, closing)? => still_on.push(actor.clone()),
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
    let change = Change::for_some(name, schema)?;
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
        work(&Change::for_some(name, schema)?, actor)
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
    check_is_registered(group)?;
    change.open("groups", group);
    Ok(())
}

fn check_is_registered(group: &str) -> Result<()> {
    match group::is_registered(group)? {
        true => Ok(()),
        false => Err(FeatureError::NoSuchGroup {
            name: group.to_owned(),
        }
        .into()),
    }
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
    match change.close("groups", group) {
        true => Ok(()),
        // The flag may be on for a group that has since been unregistered; any other name is most likely a typo.
        false => check_is_registered(group),
    }
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
        let change = Change::for_some(name, schema)?;
        work(&change, group)
    };
    run().or_raise();
}
