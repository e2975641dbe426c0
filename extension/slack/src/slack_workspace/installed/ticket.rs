//! Tickets: the application issues one to a user who may install the app for a project, group or organization, and the user
//! presents it to the sidecar. Only its SHA-256 is stored.

use super::write::check_alias;
use crate::error::{OrRaise, Result, SlackError, check_positive, required};
use crate::slack_workspace::host::{Owner, Tables};
use lockstep_server::kept;
use lockstep_server::{OwnStatement, datum, nullable, random_bytes};
use pgrx::datum::Interval;
use pgrx::pg_sys;
use pgrx::prelude::*;

/// Random bytes in a ticket.
const BYTES: usize = 32;

kept! {
    static ISSUE: OwnStatement = OwnStatement::new(
        "insert into lockstep_internal.slack_install_ticket (token_digest, schema, project_id, group_id, organization_id, alias, expires_at)
         values (sha256(convert_to($1, 'UTF8')), $2, $3, $4, $5, $6, clock_timestamp() + $7)",
        &[
            pg_sys::TEXTOID,
            pg_sys::TEXTOID,
            pg_sys::INT8OID,
            pg_sys::INT8OID,
            pg_sys::INT8OID,
            pg_sys::TEXTOID,
            pg_sys::INTERVALOID,
        ],
    );
}

/// Issues a ticket for one owner.
#[pg_extern(sql = r#"
create function lockstep.issue_slack_install_ticket(project_id bigint default null, group_id bigint default null, organization_id bigint default null,
  alias text default null, valid_for interval default '1 day', schema text default 'public')
returns text language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.issue_slack_install_ticket(bigint, bigint, bigint, text, interval, text) is
  'a ticket, good once, to install the Slack app for one project, group or organization; it cannot be read again';
revoke execute on function lockstep.issue_slack_install_ticket(bigint, bigint, bigint, text, interval, text) from public;
grant execute on function lockstep.issue_slack_install_ticket(bigint, bigint, bigint, text, interval, text) to lockstep_admin;
"#)]
fn issue_slack_install_ticket(
    project_id: Option<i64>,
    group_id: Option<i64>,
    organization_id: Option<i64>,
    alias: Option<&str>,
    valid_for: Option<Interval>,
    schema: Option<&str>,
) -> String {
    let valid_for = required(valid_for, "valid_for");
    let schema = required(schema, "schema");
    let owner = Owner::of(project_id, group_id, organization_id);
    issue(owner, alias, valid_for, schema).or_raise()
}

fn issue(
    owner: Result<Option<Owner>>,
    alias: Option<&str>,
    valid_for: Interval,
    schema: &str,
) -> Result<String> {
    let owner = owner?.ok_or(SlackError::Owners)?;
    alias.map_or(Ok(()), check_alias)?;
    check_positive(&valid_for, "valid_for")?;
    let tables = Tables::attached(schema)?;
    owner.path(&tables)?;
    let bytes = random_bytes::<BYTES>().ok_or(SlackError::NoChance)?;
    let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let [project, group, organization] = owner.columns();
    let arguments = [
        Some(datum(token.as_str())),
        Some(datum(schema)),
        nullable(project),
        nullable(group),
        nullable(organization),
        nullable(alias),
        Some(datum(valid_for)),
    ];
    ISSUE.with(|statement| statement.run_with_nulls(&arguments))?;
    Ok(token)
}
