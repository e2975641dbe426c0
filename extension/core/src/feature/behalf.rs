//! Flag changes that an extension makes for someone who is not a role, such as a chat user whose permission it has checked.

use super::audit::on_behalf_of;
use super::tables::Tables;
use super::{actors, change, group};
use crate::error::{FeatureError, OrRaise, Result, required};
use lockstep_server::Jsonb;
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;
use serde::Deserialize;

/// The requested state of a flag.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wish {
    /// On or off: for these actors and groups if there are any, otherwise for everybody.
    enabled: Option<bool>,
    actors: Vec<String>,
    groups: Vec<String>,
    percentage: Option<String>,
    /// What the percentage applies to: `actors` or `time`.
    of: Option<String>,
    /// Opts the actors out, or ends that.
    opt_out: Option<bool>,
    is_removed: bool,
}

/// Changes a flag.
#[pg_extern(sql = r#"
create function lockstep_internal.set_feature_on_behalf(role oid, actor text, source text, name text, wish jsonb, schema text default 'public')
returns text[] language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_internal.set_feature_on_behalf(oid, text, text, text, jsonb, text) is
  'sets or removes a feature flag with the rights of the owner of its tables, and records the role that asked for it, for whom, and how: for extensions that build on lockstep. wish has enabled with actors and groups, or percentage and of, or opt_out with actors, or is_removed. Returns the actors that it was turned off for but stays on';
revoke execute on function lockstep_internal.set_feature_on_behalf(oid, text, text, text, jsonb, text) from public;
"#)]
fn set_feature_on_behalf(
    role: Option<Oid>,
    actor: Option<&str>,
    source: Option<&str>,
    name: Option<&str>,
    wish: Option<Jsonb>,
    schema: Option<&str>,
) -> Vec<String> {
    let role = required(role, "role");
    let actor = required(actor, "actor");
    let source = required(source, "source");
    let name = required(name, "name");
    let wish = required(wish, "wish");
    let schema = required(schema, "schema");
    let set = || -> Result<Vec<String>> {
        let wish: Wish =
            serde_json::from_value(wish.0).map_err(|error| malformed(error.to_string()))?;
        on_behalf_of(schema, role, actor, source, || {
            Tables::of_schema(schema)?.as_owner(|| wish.grant(name, schema))
        })
    };
    set().or_raise()
}

impl Wish {
    fn grant(&self, name: &str, schema: &str) -> Result<Vec<String>> {
        let is_for_some = !self.actors.is_empty() || !self.groups.is_empty();
        match (
            self.is_removed,
            self.enabled,
            &self.percentage,
            self.opt_out,
        ) {
            (true, None, None, None) => change::remove(name, schema)?,
            (false, Some(enabled), None, None) if is_for_some => {
                return actors::set_for(name, enabled, &self.actors, &self.groups, schema);
            }
            (false, Some(enabled), None, None) => change::set(name, enabled, schema)?,
            (false, None, Some(percentage), None) if !is_for_some => {
                let of = self.of.as_deref().unwrap_or("actors");
                change::set_percentage(name, percentage, of, schema)?;
            }
            (false, None, None, Some(is_opted_out))
                if !self.actors.is_empty() && self.groups.is_empty() =>
            {
                actors::set_opt_out(name, is_opted_out, &self.actors, schema)?;
            }
            _ => {
                return Err(malformed(
                    "either enabled, or percentage without targets, or opt_out with actors is set"
                        .to_owned(),
                )
                .into());
            }
        }
        Ok(Vec::new())
    }
}

fn malformed(message: String) -> FeatureError {
    FeatureError::Wish { message }
}

/// Whether a group is registered.
#[pg_extern(sql = r#"
create function lockstep_internal.is_feature_group(name text)
returns boolean language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_internal.is_feature_group(text) is 'whether lockstep.register_feature_group has made a group known that can be asked, for extensions that build on lockstep';
revoke execute on function lockstep_internal.is_feature_group(text) from public;
"#)]
fn is_feature_group(name: Option<&str>) -> bool {
    group::is_registered(required(name, "name")).or_raise()
}
