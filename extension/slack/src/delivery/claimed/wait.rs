//! When there is something to claim.

use super::pace::{POST, Pace};
use crate::delivery::channel::{WAITING, WINDOW};
use crate::error::{OrRaise, Result, required};
use crate::held;
use crate::held::DELIVERIES;
use lockstep_server::kept;
use lockstep_server::waking;
use lockstep_server::{OwnStatement, datum};
use pgrx::pg_sys;
use pgrx::prelude::*;

kept! {
    // A day stands for everything further away, because infinite timestamps cannot be subtracted. One time for all teams: newer
    // planners would evaluate a subquery in its place again for each. Of parked channels that are not due the first one is enough:
    // if its workspace may not send then, the next claim parks it for that.
    static WAIT: OwnStatement = OwnStatement::by_index(
        &format!(
            "with recursive now (at) as materialized (select clock_timestamp()), {WAITING},
             lane (id) as materialized (
               select w.lane from waiting w where w.lane is not null
               union
               (select c.id from lockstep_internal.slack_channel c
                 where c.schema = $2 and c.due_at <= (select n.at from now n) order by c.due_at limit {WINDOW})
               union
               (select c.id from lockstep_internal.slack_channel c
                 where c.schema = $2 and c.parked_paced_at > (select n.at + interval '5 minutes' from now n) limit {WINDOW})),
             team as materialized (
               select c.team_id, min(case when c.paced_at <= now.at + interval '5 minutes' then greatest(c.not_before, c.leased_until) else now.at end) as due
                 from now cross join lane l join lockstep_internal.slack_channel c on c.id = l.id
                where c.schema = $2 group by c.team_id),
             due (at) as materialized (
               select greatest(t.due, case when p.free_at <= now.at + interval '5 minutes' then p.free_at end - $3 * interval '1 microsecond')
                 from now cross join team t
                 left join lockstep_internal.slack_team_pace p on p.schema = $2 and p.team_id = t.team_id and p.method = $4
               union all
               (select c.due_at from lockstep_internal.slack_channel c
                 where c.schema = $2 and c.due_at > (select n.at from now n) order by c.due_at limit 1)
               union all
               (select p.parked_free_at - $3 * interval '1 microsecond' from lockstep_internal.slack_team_pace p
                 where p.schema = $2 and p.parked_free_at is not null order by p.parked_free_at limit 1)
               union all
               (select n.at from now n cross join lockstep_internal.slack_team_pace p
                 where p.schema = $2 and p.parked_free_at > (select n.at + interval '5 minutes' from now n) limit 1))
             select extract(epoch from greatest(least(min(d.at), now.at + interval '1 day'), now.at) - now.at)::float8
               from now cross join due d group by now.at"
        ),
        &[
            pg_sys::INT8OID,
            pg_sys::TEXTOID,
            pg_sys::INT8OID,
            pg_sys::TEXTOID,
        ],
        &["lane", "id", "schema"],
    );
}

/// Seconds until the next channel is due.
#[pg_extern(sql = r#"
create function lockstep_api.delivery_wait(per_minute integer, schema text default 'public')
returns double precision language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.delivery_wait(integer, text) is
  'seconds until lockstep_api.claim_deliveries has something to claim, 0 if it has now, a day at most; null if nothing waits and no channel is parked. A session that listens to lockstep_delivery is notified of more from then on, until it claims';
revoke execute on function lockstep_api.delivery_wait(integer, text) from public;
"#)]
fn delivery_wait(per_minute: Option<i32>, schema: Option<&str>) -> Option<f64> {
    let per_minute = required(per_minute, "per_minute");
    let schema = required(schema, "schema");
    let wait = || -> Result<Option<f64>> {
        let pace = Pace::per_minute(per_minute)?;
        waking::wait(DELIVERIES)?;
        if held::is_of_another()? {
            return Ok(None);
        }
        let arguments = [
            datum(i64::MIN),
            datum(schema),
            datum(pace.ahead()),
            datum(POST),
        ];
        let mut seconds = None;
        WAIT.with(|statement| statement.rows(&arguments, |row| seconds = row.get(1)))?;
        Ok(seconds)
    };
    wait().or_raise()
}
