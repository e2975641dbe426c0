//! Direct messages that wait for the end of quiet hours, when their reader chooses otherwise meanwhile.

use crate::error::Result;
use crate::held::DELIVERIES;
use lockstep_server::kept;
use lockstep_server::waking::wake;
use lockstep_server::{OwnStatement, datum, keys_argument};
use pgrx::pg_sys;

struct Own {
    lock: OwnStatement,
    end: OwnStatement,
    let_go: OwnStatement,
    release: OwnStatement,
}

/// Early ones: no sender has them.
const EARLY: &str = "d.lane = any ($1) and d.channel = $2 and d.status = 'waiting' and d.not_before > clock_timestamp()";

kept! {
    static STATEMENTS: Own = Own {
        // Whoever changes deliveries of a channel has locked it.
        lock: OwnStatement::by_index(
            "select c.id, l.id from lockstep_internal.slack_channel c
               join lockstep_internal.slack_channel l on l.id = c.id or l.id = c.same_as
              where c.schema = $1 and c.team_id = $2 and c.channel = $3 order by l.id for no key update of l",
            &[pg_sys::TEXTOID, pg_sys::TEXTOID, pg_sys::TEXTOID],
            &["schema"],
        ),
        end: OwnStatement::by_index(
            &format!(
                "update lockstep_internal.slack_delivery d
                    set status = 'failed', error = 'no_access', needed = null, done_at = clock_timestamp() where {EARLY}"
            ),
            &[pg_sys::INT8ARRAYOID, pg_sys::INT8OID],
            &["lane"],
        ),
        // Only a channel that waits for one of them: others wait for Slack.
        let_go: OwnStatement::by_index(
            &format!(
                "update lockstep_internal.slack_channel c set not_before = clock_timestamp(), paced_at = clock_timestamp()
                  where c.id = any ($1) and exists (
                    select from lockstep_internal.slack_delivery d
                     where {EARLY} and c.not_before between d.not_before and d.not_before + interval '1 minute')"
            ),
            &[pg_sys::INT8ARRAYOID, pg_sys::INT8OID],
            &["id", "lane"],
        ),
        release: OwnStatement::by_index(
            &format!("update lockstep_internal.slack_delivery d set not_before = clock_timestamp() + $3 * interval '1 microsecond' where {EARLY}"),
            &[pg_sys::INT8ARRAYOID, pg_sys::INT8OID, pg_sys::INT8OID],
            &["lane"],
        ),
    };
}

/// Ends those of a Slack user who wants none any more, or lets them wait until the quiet hours are over, which are in so many
/// microseconds.
pub(super) fn settle(
    schema: &str,
    team: &str,
    user: &str,
    are_wanted: bool,
    left: Option<i64>,
) -> Result<()> {
    let mut channel = None;
    let mut lanes: Vec<i64> = Vec::new();
    let arguments = [schema, team, user].map(datum);
    STATEMENTS.with(|own| {
        own.lock.rows(&arguments, |row| {
            channel = row.get::<i64>(1);
            lanes.extend(row.get::<i64>(2));
        })
    })?;
    let Some(channel) = channel else {
        return Ok(());
    };
    let arguments = [keys_argument(&lanes), datum(channel)];
    // What waits behind them need not wait either.
    STATEMENTS.with(|own| own.let_go.run(&arguments))?;
    STATEMENTS.with(|own| match are_wanted {
        true => own
            .release
            .run(&[arguments[0], arguments[1], datum(left.unwrap_or(0))]),
        false => own.end.run(&arguments),
    })?;
    wake(DELIVERIES);
    Ok(())
}
