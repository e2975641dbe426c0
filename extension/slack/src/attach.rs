//! What lockstep_slack knows of a GitLab-shaped database, found and installed with one call, and removed with one.

use crate::error::{OrRaise, Result, required};
use crate::{chatops, held, slack_workspace};
use lockstep_server::host::{self, Answer};
use pgrx::prelude::*;

/// Finds the host's tables in a schema and installs what keeps them: one row a feature.
#[pg_extern(sql = r#"
create function lockstep.attach_slack(schema text default 'public')
returns table (feature text, status text, detail text)
language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.attach_slack(text) is
  'finds the tables of the host in a schema, and keeps its Slack workspaces in lockstep from now on; one row a feature';
"#)]
fn attach_slack(
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
        let answers = vec![slack_workspace::attach(schema)?, chatops::attach(schema)?];
        held::settle()?;
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
  'removes the triggers that lockstep.attach_slack installed in a schema; one row a feature';
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
