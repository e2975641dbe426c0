//! Whatever the statistics say: what the queue and deliveries run reads about as much if their tables had a single row when they were
//! analyzed, or when the session made its plans, as with statistics that are right.

use anyhow::{Context, Result, ensure};
use lockstep_tests::cluster::Cluster;
use lockstep_tests::host::{self, Layout};
use postgres::Client;
use serde_json::{Value, json};

use crate::job::pages as pages_of;
use crate::notification::publish::{event, switch};
use crate::slack::{MANAGERS, ROWS};

/// Rows of each table.
const MANY: i64 = 20_000;

/// The most that a call may read, of what it reads with the better plans.
const MOST: i64 = 3;

/// A few pages more are no other plan.
const SLACK: i64 = 100;

/// Jobs; a third of those that run have a key, which they take again when they are given back.
const JOBS: &str = "
insert into lockstep_internal.job (id, worker, unique_worker, unique_key, args, priority, run_at, status, runner, retries, keeps_dead, died_at)
overriding system value
select n, case when n % 10 < 8 then 'W' else 'V' end, 'W', case when s.status <> 'running' or n % 3 = 0 then 'k' || n end, '[]', 0, case s.status when 'scheduled' then now() + interval '1 day' else now() end, s.status, case s.status when 'running' then 1 end, 25, true,
       case s.status when 'dead' then now() end
  from generate_series({first}, {last}) n
 cross join lateral (select (array['waiting', 'running', 'dead', 'scheduled'])[1 + n % 4] as status) s";

/// Keys with a limit, and what counts against it.
const LIMITED: &str = "
insert into lockstep_internal.job (id, worker, args, priority, run_at, status, runner, retries, keeps_dead, concurrency_key) overriding system value
select 100000 + n, 'L', '[]', 0, now(), s.status, case s.status when 'running' then 2 end, 25, true, 'k' || n % 1000
  from generate_series({first}, {last}) n
 cross join lateral (select (array['waiting', 'running', 'blocked', 'waiting'])[1 + n % 4] as status) s;
insert into lockstep_internal.worker_limit_use (worker, concurrency_key, jobs, started_at)
select 'L', 'k' || n, 1, now() from generate_series({first}, {last}) n";

const DELIVERIES: &str = r##"
insert into lockstep_internal.slack_channel (id, schema, team_id, channel, lease, leased_until, delivery) overriding system value
  select n, 'public', 'A', '#x' || n, case when n % 100 = 0 then 7 end, case when n % 100 = 0 then now() + interval '1 hour' end,
         case when n % 100 = 0 then n end from generate_series({first}, {last}) n;
insert into lockstep_internal.slack_team_pace (schema, team_id, free_at) select 'public', 'T' || n, now() from generate_series({first}, {last}) n;
insert into lockstep_internal.pipeline_status (schema, project_id, ref, pipeline_id, status)
  select 'public', 1 + n % 6, 'branch-' || n, 1, 'failed' from generate_series({first}, {last}) n;
insert into lockstep_internal.event (id, schema, key, payload) overriding system value
  select n, 'public', 'e' || n, '{"object_kind": "push"}' from generate_series({first}, {last}) n;
insert into lockstep_internal.slack_delivery (id, schema, event, integration_id, slack_integration_id, channel, lane) overriding system value
  select n, 'public', n, 1, 1, n, n from generate_series({first}, {last}) n;
insert into lockstep_internal.slack_message (channel, subject, ts, slack_channel) select n, 's', '1.2', 'C' from generate_series({first}, {last}) n;
insert into lockstep_internal.slack_channel_trouble (schema, integration_id, team_id, channel, error)
  select 'public', 1 + n % 100, 'A', '#x' || n, 'gone' from generate_series({first}, {last}) n;
insert into lockstep_internal.slack_delivery (id, schema, event, integration_id, slack_integration_id, channel, lane, status, done_at) overriding system value
  select 100000 + n, 'public', n, case when n % 100 = 0 then 2 else 3 end, 1, n, n, case when n % 2 = 0 then 'failed' else 'delivered' end,
         now() - case when n % 50 < 2 then interval '2 days' else interval '1 minute' end from generate_series({first}, {last}) n;
insert into lockstep_internal.slack_message (channel, subject, ts, slack_channel, at)
  select n, 'old', '1.2', 'C', now() - interval '15 days' from generate_series({first}, {last}) n where n % 50 = 0;
insert into lockstep_internal.slack_channel (id, schema, team_id, channel, not_before, parked) overriding system value
  select 100000 + n, 'public', 'A', '#p' || n, now() + interval '1 hour', case when n % 2 = 0 then 'time' else 'team' end from generate_series({first}, {last}) n;
insert into lockstep_internal.slack_person (schema, team_id, user_id) select 'public', 'A', 'U' || n from generate_series({first}, {last}) n"##;

/// Every hundredth number, up to a hundred of them, of those that leave this rest.
fn numbers(rest: i64) -> [i64; 100] {
    std::array::from_fn(|n| (n as i64 + 1) * 100 + rest)
}

fn array(numbers: &[i64]) -> String {
    let texts: Vec<String> = numbers.iter().map(i64::to_string).collect();
    format!("'{{{}}}'", texts.join(","))
}

fn calls() -> Vec<(&'static str, String)> {
    let running = array(&numbers(1));
    let call = |text: &str| text.to_owned();
    let pushes = (1..=6).map(|project| event("push", project, json!({"ref": "refs/heads/main"})));
    let pipelines = (1..=40).map(|n| {
        let attributes =
            json!({"id": n, "status": "success", "ref": format!("branch-{}", n * 100)});
        event(
            "pipeline",
            1 + n * 100 % 6,
            json!({"object_attributes": attributes}),
        )
    });
    let events: Vec<String> = pushes
        .chain(pipelines)
        .map(|it| format!("'{it}'"))
        .collect();
    let keys: Vec<String> = (0..events.len()).map(|n| format!("'new{n}'")).collect();
    let results: Vec<Value> = numbers(0)
        .iter()
        .map(|n| json!({"delivery": n, "lease": 7, "outcome": "delivered", "ts": "1.2", "channel": format!("C{n}")}))
        .collect();
    vec![
        (
            "claim_jobs",
            call("select count(*) from lockstep.claim_jobs(1, '{W, V}', 100)"),
        ),
        (
            "complete_jobs",
            format!("select lockstep.complete_jobs(1, {running})"),
        ),
        (
            "release_jobs",
            format!("select lockstep.release_jobs(1, {running})"),
        ),
        ("fail_job", call("select lockstep.fail_job(1, 5001, 'no')")),
        ("retry_job", call("select lockstep.retry_job(5002)")),
        ("discard_job", call("select lockstep.discard_job(5002)")),
        ("retry_dead_jobs", call("select lockstep.retry_dead_jobs()")),
        (
            "enqueue_job",
            call(
                "select lockstep.enqueue_job('W', unique_key => 'k' || n) from generate_series(5000, 5099) n",
            ),
        ),
        (
            "runner_heartbeat",
            call("select lockstep.runner_heartbeat(1)"),
        ),
        ("stop_runner", call("select lockstep.stop_runner(1)")),
        (
            "publish_events",
            format!(
                "select count(*) from lockstep_api.publish_events(array[{}]::json[], array[{}])",
                events.join(","),
                keys.join(",")
            ),
        ),
        (
            "claim_deliveries",
            call("select count(*) from lockstep_api.claim_deliveries(50, '1 minute', 100000)"),
        ),
        (
            "delivery_wait",
            call("select lockstep_api.delivery_wait(100000)"),
        ),
        (
            "claim_jobs of a limited worker",
            call("select count(*) from lockstep.claim_jobs(2, '{L}', 100)"),
        ),
        (
            "complete_jobs of a limited worker",
            format!(
                "select lockstep.complete_jobs(2, {})",
                array(&numbers(1).map(|it| it + 100_000))
            ),
        ),
        (
            "limit_worker",
            call("select lockstep.limit_worker('L', 7, by => 'key')"),
        ),
        ("cancel_job", call("select lockstep.cancel_job(5001)")),
        (
            "release_other_jobs",
            format!("select lockstep.release_other_jobs(1, {running})"),
        ),
        (
            "enqueue_job, replacing",
            call(
                "select lockstep.enqueue_job('W', unique_key => 'k' || n, deduplicate => 'replace') from generate_series(5000, 5099) n",
            ),
        ),
        (
            "start_runner, beside one that was lost",
            call("select count(*) from lockstep.claim_jobs(3, '{X}', 10)"),
        ),
        ("sweep", call("select lockstep.sweep()")),
        ("sweep_slack", call("select lockstep.sweep_slack()")),
        (
            "retry_deliveries",
            call("select lockstep.retry_deliveries(2)"),
        ),
        (
            "delivery_results",
            format!("select count(*) from lockstep.delivery_results({running})"),
        ),
        (
            "slack_channel_troubles",
            call("select count(*) from lockstep.slack_channel_troubles('A', null, 1)"),
        ),
        (
            "set_slack_person",
            call(
                r#"select lockstep_api.set_slack_person('A', null, 'U500', '{"direct_messages": false}')"#,
            ),
        ),
        ("status_history", call("select lockstep.status_history()")),
        ("metrics_report", call("select lockstep.metrics_report()")),
        (
            "slack_delivery_status",
            call("select count(*) from lockstep.slack_delivery_status"),
        ),
        (
            "worker_status",
            call("select count(*) from lockstep.worker_status"),
        ),
        ("dead_jobs", call("select count(*) from lockstep.dead_jobs")),
        (
            "finish_deliveries",
            format!(
                "select lockstep_api.finish_deliveries('{}')",
                Value::from(results)
            ),
        ),
    ]
}

/// Rows without which no call does anything.
fn lay_out(client: &mut Client) -> Result<()> {
    host::create(client, Layout::Narrow)?;
    client.batch_execute(
        "create extension lockstep_slack cascade;
         do $$begin perform lockstep.attach(); perform lockstep.attach_slack(); end$$;",
    )?;
    client.batch_execute(ROWS)?;
    client.batch_execute(MANAGERS)?;
    switch(client, true)?;
    client.batch_execute(
        r##"select lockstep.set_slack_notifications(id, jsonb_build_object('channels', (select jsonb_agg('#c' || n) from generate_series(1, 10) n)))
              from integrations where id <= 6;
            select lockstep.limit_worker('L', 20, 100, '1 hour', by => 'key'), lockstep.limit_worker('L', 10000);
            select lockstep.start_runner('test', '12:00:00') from generate_series(1, 3)"##,
    )?;
    for table in ["job", "event", "slack_channel", "slack_delivery"] {
        client.batch_execute(&format!(
            "alter table lockstep_internal.{table} alter id restart with 1000000"
        ))?;
    }
    Ok(())
}

fn fill(client: &mut Client, first: i64, last: i64) -> Result<()> {
    for rows in [JOBS, LIMITED, DELIVERIES] {
        let rows = rows
            .replace("{first}", &first.to_string())
            .replace("{last}", &last.to_string());
        client.batch_execute(&rows)?;
    }
    Ok(())
}

/// Makes the plans of each call. Nothing of it stays, and where there is nothing to do it with it fails.
fn plan(client: &mut Client) -> Result<()> {
    for (_, call) in calls() {
        client.batch_execute(&format!(
            "begin; do $do$begin perform from ({call}) c; exception when others then null; end$do$; rollback"
        ))?;
    }
    Ok(())
}

/// The pages that each call reads with these plans.
fn pages(client: &mut Client) -> Result<Vec<i64>> {
    let mut pages = Vec::new();
    for (name, call) in calls() {
        let mut transaction = client.transaction()?;
        pages.push(pages_of(&mut transaction, &call).context(name)?);
    }
    Ok(pages)
}

fn pages_of_new_session(cluster: &Cluster) -> Result<Vec<i64>> {
    let mut client = cluster.connect("app")?;
    plan(&mut client)?;
    pages(&mut client)
}

#[test]
fn calls_read_no_more_than_with_the_best_plans() -> Result<()> {
    let cluster = Cluster::start("statistics", &[("autovacuum", "off")])?;
    let mut client = cluster.create_database("app")?;
    lay_out(&mut client)?;
    fill(&mut client, 1, 1)?;
    client.batch_execute("analyze")?;
    let mut early = cluster.connect("app")?;
    plan(&mut early)?;
    fill(&mut client, 2, MANY)?;
    // With plans from before, with statistics from before, and with new ones.
    let of_early = pages(&mut early)?;
    let of_stale = pages_of_new_session(&cluster)?;
    client.batch_execute("analyze")?;
    let of_right = pages_of_new_session(&cluster)?;
    let mut worse = Vec::new();
    for (place, (name, _)) in calls().iter().enumerate() {
        let read = [of_early[place], of_stale[place], of_right[place]];
        println!("{name}: {read:?}");
        let best = read.iter().min().copied().unwrap_or_default();
        ensure!(best > 0, "{name} does nothing: {read:?}");
        if read.iter().any(|read| *read > MOST * best + SLACK) {
            worse.push(format!("{name}: {read:?}"));
        }
    }
    ensure!(worse.is_empty(), "{}", worse.join("\n"));
    Ok(())
}
