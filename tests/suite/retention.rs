//! Records older than their retention are removed in batches.

use anyhow::Result;

use crate::database::empty;
use crate::service_account::number;
use crate::surface::refusal::error_of;

/// 25,000 old records of each kind, and a current one.
const RECORDS: &str = "
insert into lockstep.feature_audit (changed_at, role, schema, change)
  select now() - interval '800 days' - n * interval '1 second', 'r', 'public', 'insert' from generate_series(1, 25000) n
  union all select now(), 'r', 'public', 'insert';
insert into lockstep.chatops_command (trigger_id, user_id, environment, team_id, user_name, channel_id, command, request, ran_at)
  select n::text, 'U', 'e', 'T', 'ada', 'C', 'set', 'r', case n when 0 then now() else now() - interval '2 years' end from generate_series(0, 25000) n;
insert into lockstep_internal.integration_event (integration_id, recorded_at)
  select n, case n when 0 then now() else now() - interval '91 days' end from generate_series(0, 25000) n;
insert into lockstep_internal.job (worker, args, priority, run_at, status, retries, keeps_dead, died_at)
  select 'W', '[]', 0, now(), 'dead', 0, true, case n when 0 then now() else now() - interval '7 months' end from generate_series(0, 25000) n;
insert into lockstep_internal.job (worker, args, priority, run_at, status, retries, keeps_dead, enqueued_at)
  select 'W', '[]', 0, now() - interval '2 years', 'waiting', 0, true, now() - interval '2 years';
analyze lockstep.feature_audit, lockstep.chatops_command, lockstep_internal.integration_event, lockstep_internal.job";

#[test]
fn old_records_go_in_batches() -> Result<()> {
    let mut client = empty("retention")?;
    client.batch_execute("create extension lockstep_slack cascade")?;
    client.batch_execute(RECORDS)?;
    let sweep = "select lockstep.sweep()";
    // An audit is kept until somebody sets a retention.
    for removed in [30_000, 30_000, 15_000, 0] {
        assert_eq!(number(&mut client, sweep)?, removed);
    }
    let left = |client: &mut postgres::Client| -> Result<Vec<i64>> {
        [
            "lockstep.feature_audit",
            "lockstep.chatops_command",
            "lockstep_internal.integration_event",
            "lockstep_internal.job",
        ]
        .iter()
        .map(|table| number(client, &format!("select count(*) from {table}")))
        .collect()
    };
    assert_eq!(left(&mut client)?, [25_001, 1, 1, 2]);
    client.batch_execute("select lockstep.set_retention('feature_audit', '400 days')")?;
    for removed in [10_000, 10_000, 5_000, 0] {
        assert_eq!(number(&mut client, sweep)?, removed);
    }
    assert_eq!(left(&mut client)?, [1, 1, 1, 2]);

    // Forever, and limited again.
    client.batch_execute(
        "select lockstep.set_retention('dead_job', null);
         update lockstep_internal.job set died_at = now() - interval '20 years' where status = 'dead'",
    )?;
    assert_eq!(number(&mut client, sweep)?, 0);
    client.batch_execute("select lockstep.set_retention('dead_job', '19 years')")?;
    assert_eq!(number(&mut client, sweep)?, 1);
    let kept = "select string_agg(format('%s %s', what, coalesce(keep::text, 'ever')), ', ' order by what) from lockstep.retentions";
    assert_eq!(
        client.query_one(kept, &[])?.get::<_, String>(0),
        "backfill_history 7 days, chatops_command 1 year, dead_job 19 years, delivery_history 7 days, drift_history 90 days, feature_audit 400 days, \
         integration_event 90 days, slack_subscription_audit ever"
    );
    for call in [
        "set_retention('dead_job', '0')",
        "set_retention('dead_job', '-1 day')",
        "set_retention('jobs', '1 day')",
    ] {
        let error = error_of(&mut client, &format!("select lockstep.{call}"))?;
        assert_eq!(error.code().code(), "22023", "{call}: {error}");
    }

    // Only the owner of the database may set it.
    client.batch_execute(
        "create role retention_owner; create role retention_other; alter database retention owner to retention_owner;
         set role retention_owner; select lockstep.set_retention('dead_job', '1 year'), lockstep.sweep(); set role retention_other",
    )?;
    for call in ["set_retention('dead_job', '1 day')", "sweep()"] {
        crate::job::denied(&mut client, &format!("select lockstep.{call}"))?;
    }
    Ok(())
}
