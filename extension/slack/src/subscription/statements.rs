//! The statements, and how they are run.

use crate::error::Result;
use lockstep_server::kept;
use lockstep_server::{Answer, OwnStatement};
use pgrx::pg_sys;

/// Statements on rows of our own.
pub(super) struct Own {
    pub(super) of_projects: OwnStatement,
    pub(super) following: OwnStatement,
    pub(super) of_team: OwnStatement,
    pub(super) listed: OwnStatement,
    pub(super) followed: OwnStatement,
    pub(super) any: OwnStatement,
    pub(super) teams: OwnStatement,
    pub(super) projects: OwnStatement,
    pub(super) followers: OwnStatement,
    pub(super) in_place: OwnStatement,
    pub(super) add: OwnStatement,
    pub(super) change: OwnStatement,
    pub(super) find: OwnStatement,
    pub(super) remove: OwnStatement,
    pub(super) remove_team: OwnStatement,
    pub(super) remove_projects: OwnStatement,
    pub(super) troubled: OwnStatement,
    pub(super) lock: OwnStatement,
    pub(super) unreached: OwnStatement,
    pub(super) trouble: OwnStatement,
    pub(super) end_trouble: OwnStatement,
}

const COLUMNS: &str = "s.id, s.project_id, s.team_id, s.channel, s.events, s.workspace_id, s.user_id, s.since, s.error, s.needed, s.failures, s.failing_since, s.failed_at, s.routes::text";

const LISTED: &str = "order by s.project_id, s.team_id collate \"C\", s.channel collate \"C\"";

/// A statement that changes rows, and records each change. `$1` is the schema; the last two parameters are the user who asked for it.
fn recorded(change: &str, statement: &str, parameters: &[pg_sys::Oid]) -> OwnStatement {
    let by = parameters.len() - 1;
    OwnStatement::new(
        &format!(
            "with changed as ({statement} returning s.id, s.project_id, s.team_id, s.channel, s.events, s.routes),
                  recorded as (
                    insert into lockstep.slack_subscription_audit (schema, project_id, team_id, channel, change, events, routes, workspace_id, user_id)
                    select $1, c.project_id, c.team_id, c.channel, '{change}', c.events, c.routes, ${by}, ${} from changed c order by c.id)
             select c.id from changed c",
            by + 1
        ),
        parameters,
    )
}

kept! {
    pub(super) static STATEMENTS: Own = Own {
        of_projects: OwnStatement::by_index(
            &format!(
                "select {COLUMNS} from lockstep_internal.slack_subscription s
                  where s.schema = $1 and s.project_id = any ($2) order by s.id"
            ),
            &[pg_sys::TEXTOID, pg_sys::INT8ARRAYOID],
            &["schema"],
        ),
        following: OwnStatement::by_index(
            &format!(
                "select {COLUMNS} from lockstep_internal.slack_subscription s
                  where s.schema = $1 and s.project_id = any ($2) {LISTED} limit $3"
            ),
            &[pg_sys::TEXTOID, pg_sys::INT8ARRAYOID, pg_sys::INT8OID],
            &["schema"],
        ),
        of_team: OwnStatement::by_index(
            &format!(
                "select {COLUMNS} from lockstep_internal.slack_subscription s
                  where s.schema = $1 and s.team_id = $2 and ($3 is null or s.workspace_id = $3) {LISTED} limit $4"
            ),
            &[
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::INT8OID,
            ],
            &["schema"],
        ),
        listed: OwnStatement::new(
            &format!(
                "select {COLUMNS} from lockstep_internal.slack_subscription s
                  where s.schema = $1 and ($2 is null or s.project_id = $2) and ($3 is null or s.team_id = $3) {LISTED}"
            ),
            &[pg_sys::TEXTOID, pg_sys::INT8OID, pg_sys::TEXTOID],
        ),
        followed: OwnStatement::by_index(
            "select distinct s.project_id from lockstep_internal.slack_subscription s where s.schema = $1 and s.project_id = any ($2)",
            &[pg_sys::TEXTOID, pg_sys::INT8ARRAYOID],
            &["schema"],
        ),
        any: OwnStatement::by_index(
            "select s.id from lockstep_internal.slack_subscription s where s.schema = $1 limit 1",
            &[pg_sys::TEXTOID],
            &["schema"],
        ),
        teams: OwnStatement::by_index(
            "select s.id, s.team_id from lockstep_internal.slack_subscription s where s.id = any ($1)",
            &[pg_sys::INT8ARRAYOID],
            &["id"],
        ),
        projects: OwnStatement::new(
            "select distinct s.project_id from lockstep_internal.slack_subscription s where s.schema = $1",
            &[pg_sys::TEXTOID],
        ),
        followers: OwnStatement::new(
            "select distinct s.team_id from lockstep_internal.slack_subscription s where s.schema = $1",
            &[pg_sys::TEXTOID],
        ),
        in_place: OwnStatement::by_index(
            "select count(*) from lockstep_internal.slack_subscription s where s.schema = $1 and s.project_id = $2 and s.team_id = $3",
            &[pg_sys::TEXTOID, pg_sys::INT8OID, pg_sys::TEXTOID],
            &["schema"],
        ),
        // Waits for another session that subscribes the same channel, and takes its place if that one rolls back.
        add: recorded(
            "subscribed",
            "insert into lockstep_internal.slack_subscription as s (schema, project_id, team_id, channel, events, routes, workspace_id, user_id)
             values ($1, $2, $3, $4, coalesce($5, '{}'), coalesce($6::jsonb, '[]'), $7, $8) on conflict (schema, project_id, team_id, channel) do nothing",
            &[
                pg_sys::TEXTOID,
                pg_sys::INT8OID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTARRAYOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
            ],
        ),
        // Who chose the events answers for them.
        change: recorded(
            "changed",
            "update lockstep_internal.slack_subscription s set events = coalesce($5, s.events), routes = coalesce($6::jsonb, s.routes), workspace_id = $7, user_id = $8
              where s.schema = $1 and s.project_id = $2 and s.team_id = $3 and s.channel = $4 and (s.events <> $5 or s.routes <> $6::jsonb)",
            &[
                pg_sys::TEXTOID,
                pg_sys::INT8OID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTARRAYOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
            ],
        ),
        // A channel may have been subscribed by its name, and by now be known by its id, or the other way round: then by both, too.
        find: OwnStatement::new(
            &format!(
                "select {COLUMNS} from lockstep_internal.slack_subscription s
                   left join lockstep_internal.slack_channel o on o.schema = $1 and o.team_id = $3 and o.channel = s.channel
                   left join lockstep_internal.slack_channel g on g.schema = $1 and g.team_id = $3 and g.channel = $4
                  where s.schema = $1 and s.project_id = $2 and s.team_id = $3
                    and coalesce(o.slack_id, s.channel) = coalesce(g.slack_id, $4)
                  order by s.channel = $4 desc, s.id"
            ),
            &[
                pg_sys::TEXTOID,
                pg_sys::INT8OID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
            ],
        ),
        remove: recorded(
            "unsubscribed",
            "delete from lockstep_internal.slack_subscription s
              where s.id = any (array(
                select o.id from lockstep_internal.slack_subscription o where o.schema = $1 and o.id = any ($2) order by o.id for update))",
            &[
                pg_sys::TEXTOID,
                pg_sys::INT8ARRAYOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
            ],
        ),
        // In a fixed order, because senders write several of them.
        remove_team: recorded(
            "uninstalled",
            "delete from lockstep_internal.slack_subscription s
              where s.id = any (array(
                select o.id from lockstep_internal.slack_subscription o where o.schema = $1 and o.team_id = $2 order by o.id for update))",
            &[
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
            ],
        ),
        remove_projects: recorded(
            "project_gone",
            "delete from lockstep_internal.slack_subscription s
              where s.id = any (array(
                select o.id from lockstep_internal.slack_subscription o where o.schema = $1 and o.project_id = any ($2)
                 order by o.id for update))",
            &[
                pg_sys::TEXTOID,
                pg_sys::INT8ARRAYOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
            ],
        ),
        troubled: OwnStatement::new(
            &format!(
                "select {COLUMNS} from lockstep_internal.slack_subscription s
                  where s.schema = $1 and s.error is not null order by s.failed_at desc limit $2"
            ),
            &[pg_sys::TEXTOID, pg_sys::INT8OID],
        ),
        lock: OwnStatement::by_index(
            "select from lockstep_internal.slack_subscription s where s.id = any ($1) order by s.id for no key update",
            &[pg_sys::INT8ARRAYOID],
            &["id"],
        ),
        unreached: OwnStatement::by_index(
            "select s.id from lockstep_internal.slack_subscription s where s.id = any ($1) and s.error is not null",
            &[pg_sys::INT8ARRAYOID],
            &["id"],
        ),
        trouble: OwnStatement::by_index(
            "update lockstep_internal.slack_subscription s
                set error = t.error, needed = t.needed, failures = s.failures + 1,
                    failing_since = coalesce(s.failing_since, clock_timestamp()), failed_at = clock_timestamp()
               from (select o.id, r.error, r.needed from unnest($1, $2, $3) r (id, error, needed)
                       join lockstep_internal.slack_subscription o on o.id = r.id order by o.id for no key update of o) t
              where s.id = t.id",
            &[
                pg_sys::INT8ARRAYOID,
                pg_sys::TEXTARRAYOID,
                pg_sys::TEXTARRAYOID,
            ],
            &["id"],
        ),
        end_trouble: OwnStatement::by_index(
            "update lockstep_internal.slack_subscription s
                set error = null, needed = null, failures = 0, failing_since = null, failed_at = null
              where s.id = any (array(
                select o.id from lockstep_internal.slack_subscription o where o.id = any ($1) and o.error is not null
                 order by o.id for no key update))",
            &[pg_sys::INT8ARRAYOID],
            &["id"],
        ),
    };
}

/// What a statement finds, in its order.
pub(super) fn read<T>(
    statement: fn(&Own) -> &OwnStatement,
    arguments: &[pg_sys::Datum],
    of: impl Fn(&Answer) -> T,
) -> Result<Vec<T>> {
    let arguments: Vec<Option<pg_sys::Datum>> = arguments.iter().copied().map(Some).collect();
    read_with_nulls(statement, &arguments, of)
}

pub(super) fn read_with_nulls<T>(
    statement: fn(&Own) -> &OwnStatement,
    arguments: &[Option<pg_sys::Datum>],
    of: impl Fn(&Answer) -> T,
) -> Result<Vec<T>> {
    let mut found = Vec::new();
    STATEMENTS.with(|own| statement(own).rows_with_nulls(arguments, |row| found.push(of(row))))?;
    Ok(found)
}

pub(super) fn id(
    statement: &OwnStatement,
    arguments: &[Option<pg_sys::Datum>],
) -> Result<Option<i64>> {
    let mut id = None;
    statement.rows_with_nulls(arguments, |row| id = row.get(1))?;
    Ok(id)
}
