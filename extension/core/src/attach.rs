//! Finds and installs everything lockstep supports in a GitLab-shaped database with one call, and removes it with one.

use crate::error::{OrRaise, Result, required};
use crate::{cache_column, feature, home, service_account};
use lockstep_server::host::{self, Answer, Scope};
use pgrx::prelude::*;

/// Finds the application's tables in a schema and installs what lockstep supports there: one row per feature.
#[pg_extern(sql = r#"
create function lockstep.attach(
  schema text default 'public', disable_application_triggers boolean default false, features text[] default null,
  dry_run boolean default false)
returns table (feature text, status text, detail text)
language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.attach(text, boolean, text[], boolean) is
  'finds the application''s tables in a schema and from now on maintains their cache columns, fills service accounts and audits feature flag changes, or reports what it would do; returns one row per feature';
"#)]
fn attach(
    schema: Option<&str>,
    disable_application_triggers: Option<bool>,
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
    let disable_application_triggers =
        required(disable_application_triggers, "disable_application_triggers");
    let dry_run = required(dry_run, "dry_run");
    let answers = || -> Result<Vec<Answer>> {
        host::check_schema(schema)?;
        let of_accounts = service_account::feature();
        let mut known = cache_column::features();
        known.extend([of_accounts.clone(), feature::FEATURE.to_owned()]);
        let scope = Scope::new(features, dry_run, &known)?;
        let mut others = Vec::new();
        if scope.has(&of_accounts) {
            others.push(service_account::attach(schema, &scope)?);
        }
        if scope.has(feature::FEATURE) {
            others.push(feature::attach(schema, &scope)?);
        }
        if !scope.is_dry_run {
            home::settle()?;
        }
        // Last, because it blocks writers of the busiest tables until the transaction ends.
        let mut answers = cache_column::attach(schema, disable_application_triggers, &scope)?;
        answers.extend(others);
        Ok(answers)
    };
    TableIterator::new(host::reading_once(answers).or_raise())
}

/// Removes what `attach` installed in a schema, and enables the application triggers it disabled.
#[pg_extern(sql = r#"
create function lockstep.detach(schema text default 'public')
returns table (feature text, status text, detail text)
language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.detach(text) is
  'removes the triggers that lockstep.attach installed in a schema and enables those it disabled; one row per feature';
"#)]
fn detach(
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
        let mut answers = cache_column::detach(schema)?;
        answers.push(service_account::detach(schema)?);
        answers.push(feature::detach(schema)?);
        Ok(answers)
    };
    TableIterator::new(host::reading_once(answers).or_raise())
}
