//! Finds and installs everything lockstep_slack supports in a GitLab-shaped database with one call, and removes it with one.

use crate::error::{OrRaise, Result, required};
use crate::{chatops, held, slack_workspace};
use lockstep_server::host::{self, Answer, Scope};
use pgrx::prelude::*;

/// Finds the application's tables in a schema and installs the triggers: one row per feature.
#[pg_extern(sql = r#"
create function lockstep.attach_slack(
  schema text default 'public', features text[] default null, dry_run boolean default false)
returns table (feature text, status text, detail text)
language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.attach_slack(text, text[], boolean) is
  'finds the application''s tables in a schema and keeps its Slack workspaces consistent from now on, or reports what it would do; returns one row per feature';
"#)]
fn attach_slack(
    schema: Option<&str>,
    features: Option<Vec<Option<String>>>,
    dry_run: Option<bool>,
) -> TableIterator<
    'static,
    (
        name!(feature, String),
        name!(status, String),
        name!(detail, String),
    ),
> {
    let schema = required(schema, "schema");
    let dry_run = required(dry_run, "dry_run");
    let answers = || -> Result<Vec<Answer>> {
        host::check_schema(schema)?;
        let known = [slack_workspace::FEATURE, chatops::FEATURE].map(str::to_owned);
        let scope = Scope::new(features, dry_run, &known)?;
        let mut answers = Vec::new();
        if scope.has(slack_workspace::FEATURE) {
            answers.push(slack_workspace::attach(schema, &scope)?);
        }
        if scope.has(chatops::FEATURE) {
            answers.push(chatops::attach(schema)?);
        }
        if !scope.is_dry_run {
            held::settle()?;
        }
        Ok(answers)
    };
    TableIterator::new(host::reading_once(answers).or_raise())
}

/// Removes what `attach_slack` installed in a schema.
#[pg_extern(sql = r#"
create function lockstep.detach_slack(schema text default 'public')
returns table (feature text, status text, detail text)
language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.detach_slack(text) is
  'removes the triggers that lockstep.attach_slack installed in a schema; one row per feature';
"#)]
fn detach_slack(
    schema: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(feature, String),
        name!(status, String),
        name!(detail, String),
    ),
> {
    let schema = required(schema, "schema");
    let answers = || -> Result<Vec<Answer>> {
        host::check_schema(schema)?;
        Ok(vec![slack_workspace::detach(schema)?])
    };
    TableIterator::new(host::reading_once(answers).or_raise())
}
