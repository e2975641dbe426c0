//! The metrics of the database.

use anyhow::{Context, Result, ensure};
use lockstep_tests::host::Layout;
use postgres::Client;
use serde_json::{Value, json};

use crate::database::with_slack;
use crate::service_account::number;

fn report(client: &mut Client) -> Result<Value> {
    json_of(client, "select lockstep.metrics_report()::text")
}

pub(super) fn json_of(client: &mut Client, query: &str) -> Result<Value> {
    let text: String = client.query_one(query, &[])?.get(0);
    Ok(serde_json::from_str(&text)?)
}

fn worker<'a>(report: &'a Value, name: &str) -> Result<&'a Value> {
    let jobs = report["jobs"].as_array().context("no jobs")?;
    let found = jobs.iter().find(|it| it["worker"] == name);
    found.with_context(|| format!("no {name}: {report}"))
}

pub(super) fn attached(name: &str) -> Result<Client> {
    let mut client = with_slack(name, Layout::Narrow)?;
    client.batch_execute(
        "do $$begin perform lockstep.attach(); perform lockstep.attach_slack(); end$$",
    )?;
    Ok(client)
}

#[test]
fn jobs_are_counted_by_worker() -> Result<()> {
    let mut client = attached("monitoring_jobs")?;
    client.batch_execute(
        "do $$begin
           perform lockstep.enqueue_job('A') from generate_series(1, 3);
           perform lockstep.enqueue_job('B', priority => 1);
           perform lockstep.enqueue_job('B', run_at => now() + interval '1 hour');
         end$$;
         update lockstep_internal.job set run_at = now() - interval '100 seconds' where worker = 'B' and status = 'waiting';
         select lockstep.start_runner('x');
         select from lockstep.claim_jobs(1, '{A}', 1);
         update lockstep_internal.job set status = 'dead', runner = null, died_at = now() where status = 'running';
         select from lockstep.claim_jobs(1, '{A}', 1);
         select lockstep.limit_worker('C', 1, by => 'key'), lockstep.enqueue_job('C', concurrency_key => 'x') from generate_series(1, 3);
         select from lockstep.claim_jobs(1, '{C}', 9);
         update lockstep_internal.job set run_at = now() - interval '200 seconds' where status = 'blocked'",
    )?;
    let report = report(&mut client)?;
    let c = worker(&report, "C")?;
    assert_eq!(
        (&c["blocked"], &c["waiting"], &c["running"]),
        (&json!(2), &json!(0), &json!(1))
    );
    let oldest = c["oldest_seconds"].as_f64().unwrap_or_default();
    ensure!((200.0..1_000.0).contains(&oldest), "{report}");
    let a = worker(&report, "A")?;
    for (state, jobs) in [
        ("waiting", 1),
        ("running", 1),
        ("dead", 1),
        ("scheduled", 0),
    ] {
        assert_eq!(a[state], json!(jobs), "{state}: {report}");
    }
    let b = worker(&report, "B")?;
    assert_eq!((&b["waiting"], &b["scheduled"]), (&json!(1), &json!(1)));
    let oldest = b["oldest_seconds"].as_f64().unwrap_or_default();
    ensure!((100.0..1_000.0).contains(&oldest), "{report}");
    assert_eq!(report["runners"], json!(1));
    Ok(())
}

/// However many wait, what is read of them is bounded: the number is an estimate then, and the oldest is known.
#[test]
fn many_jobs_are_estimated() -> Result<()> {
    let mut client = attached("monitoring_many")?;
    client.batch_execute(
        "insert into lockstep_internal.job (worker, args, priority, run_at, status, retries, keeps_dead)
           select 'W' || g % 2, '{}', g % 2, now() - make_interval(secs => g), 'waiting', 25, true from generate_series(1, 120000) g;
         insert into lockstep_internal.job (worker, args, priority, run_at, status, retries, keeps_dead, died_at)
           select 'Rare', '{}', 0, now(), 'dead', 25, true, now() from generate_series(1, 3);
         insert into lockstep_internal.job (worker, args, priority, run_at, status, retries, keeps_dead)
           select 'Rare', '{}', 0, now(), 'waiting', 25, true from generate_series(1, 7)",
    )?;
    // Of a table that is read in part.
    let pages =
        "select pg_relation_size('lockstep_internal.job') / current_setting('block_size')::int";
    ensure!(number(&mut client, pages)? > 1_000);
    let report = report(&mut client)?;
    for name in ["W0", "W1"] {
        let it = worker(&report, name)?;
        let waiting = it["waiting"].as_f64().unwrap_or_default();
        ensure!((45_000.0..75_000.0).contains(&waiting), "{it}");
        let oldest = it["oldest_seconds"].as_f64().unwrap_or_default();
        ensure!(oldest >= 119_999.0, "{it}");
    }
    // What is rare is not lost in the sample.
    let rare = worker(&report, "Rare")?;
    assert_eq!((&rare["waiting"], &rare["dead"]), (&json!(7), &json!(3)));
    // A sample counts as a part of the table that is read, and nothing else is read but by an index.
    client.batch_execute("select pg_stat_force_next_flush()")?;
    let read = "select coalesce(sum(seq_tup_read), 0)::bigint from pg_stat_user_tables where relname = 'job'";
    let before = number(&mut client, read)?;
    self::report(&mut client)?;
    client.batch_execute("select pg_stat_force_next_flush()")?;
    let read = number(&mut client, read)? - before;
    ensure!(read > 0 && read < 100_000, "{read}");
    Ok(())
}

#[test]
fn deliveries_are_told_by_cause() -> Result<()> {
    let mut client = attached("monitoring_deliveries")?;
    client.batch_execute(
        "insert into lockstep_internal.slack_delivery (schema, event, integration_id, slack_integration_id, channel, lane, created_at)
           select 'public', g, 1, 1, g, g, now() - make_interval(secs => 50 * g) from generate_series(1, 3) g;
         insert into lockstep_internal.slack_delivery (schema, event, integration_id, slack_integration_id, channel, lane, status, error, done_at)
           select 'public', g, 1, 1, g, g, 'failed', case when g < 3 then 'is_archived' end, now() from generate_series(1, 3) g;
         insert into lockstep_internal.slack_delivery (schema, event, integration_id, slack_integration_id, channel, lane, status, done_at)
           select 'public', g, 1, 1, g, g, 'delivered', now() from generate_series(1, 30) g",
    )?;
    let report = report(&mut client)?;
    let deliveries = &report["deliveries"];
    assert_eq!(deliveries["waiting"], json!(3));
    assert_eq!(
        deliveries["failed"],
        json!({ "is_archived": 2, "unknown_error": 1 })
    );
    let oldest = deliveries["oldest_seconds"].as_f64().unwrap_or_default();
    ensure!((150.0..1_000.0).contains(&oldest), "{report}");
    Ok(())
}

/// The same error for want of another scope is another cause, in other channels.
#[test]
fn failures_name_their_own_channels() -> Result<()> {
    let mut client = attached("monitoring_channels")?;
    client.batch_execute(
        "insert into lockstep_internal.slack_channel (schema, team_id, channel) select 'public', 'T', '#c' || g from generate_series(1, 9) g;
         insert into lockstep_internal.slack_delivery (schema, event, integration_id, slack_integration_id, channel, lane, status, error, needed, done_at)
           select 'public', c.id, 1, 1, c.id, c.id, 'failed', f.error, f.needed, now()
             from lockstep_internal.slack_channel c
             join (values ('missing_scope', 'chat:write', 1, 2), ('missing_scope', 'chat:write', 1, 1), ('missing_scope', 'chat:write.public', 3, 8),
                          (null, null, 9, 9), ('unknown_error', null, 9, 9)) f (error, needed, first, last)
               on substr(c.channel, 3)::int between f.first and f.last",
    )?;
    let failures = json_of(
        &mut client,
        "select (lockstep.status_report() -> 'failures')::text",
    )?;
    let failures = failures.as_array().context("none")?;
    let told: Vec<Value> = failures
        .iter()
        .map(|it| {
            json!([
                it["error"],
                it["needed"],
                it["deliveries"],
                it["channels"],
                it["names"]
            ])
        })
        .collect();
    assert_eq!(
        json!(told),
        json!([
            [
                "missing_scope",
                "chat:write.public",
                6,
                6,
                ["#c3", "#c4", "#c5", "#c6", "#c7"]
            ],
            ["missing_scope", "chat:write", 3, 2, ["#c1", "#c2"]],
            ["unknown_error", null, 2, 1, ["#c9"]]
        ])
    );
    Ok(())
}

/// Slack has more names of errors than anybody wants series.
#[test]
fn causes_are_few() -> Result<()> {
    let mut client = attached("monitoring_causes")?;
    client.batch_execute(
        "insert into lockstep_internal.slack_delivery (schema, event, integration_id, slack_integration_id, channel, lane, status, error, done_at)
           select 'public', g, 1, 1, g, g, 'failed', 'e' || g % 40, now() from generate_series(1, 80) g",
    )?;
    let report = report(&mut client)?;
    let failed = report["deliveries"]["failed"].as_object().context("none")?;
    assert_eq!(failed.len(), 21);
    assert_eq!(failed["other"], json!(40));
    Ok(())
}

/// The last run of each job and table counts, and its reason to wait has no numbers in it.
#[test]
fn backfills_are_told_by_job_and_table() -> Result<()> {
    let mut client = attached("monitoring_backfills")?;
    client.batch_execute(
        "insert into projects (id, name, path, namespace_id) values (1, 'One', 'one', 1), (2, 'Two', 'two', 1);
         ",
    )?;
    client.batch_execute("call lockstep.backfill('cache_columns', 'projects')")?;
    let run = report(&mut client)?["backfills"][0].clone();
    for (field, expected) in [
        ("job", json!("cache_columns")),
        ("table", json!("public.projects")),
        ("status", json!("finished")),
        ("percent", json!(100)),
        ("scanned", json!(2)),
        ("set_aside", json!(0)),
        ("held_by", json!(null)),
    ] {
        assert_eq!(run[field], expected, "{field}: {run}");
    }
    client.batch_execute(
        "insert into lockstep_internal.backfill_run (job, target_table, workers, settings, last_key, rows_estimated)
           select job, target_table, 1, settings, last_key, 10 from lockstep_internal.backfill_run",
    )?;
    let run = report(&mut client)?["backfills"][0].clone();
    assert_eq!(
        (&run["status"], &run["held_by"]),
        (&json!("running"), &json!("no_worker")),
        "{run}"
    );
    Ok(())
}

/// Drift is as it was when it was last counted, and says when that was; what was never counted says so.
#[test]
fn drift_is_remembered_with_its_age() -> Result<()> {
    let mut client = attached("monitoring_drift")?;
    client.batch_execute(
        "insert into projects (id, name, path, namespace_id) select g, g, g, 1 from generate_series(1, 1005) g",
    )?;
    let wiki = "public.projects.has_external_wiki";
    let drift = |report: &Value| {
        let all = report["drift"].as_array().cloned().unwrap_or_default();
        all.into_iter()
            .find(|it| it["what"] == wiki)
            .unwrap_or_default()
    };
    let never = drift(&report(&mut client)?);
    assert_eq!(
        never,
        json!({ "what": wiki, "rows": null, "checked_at": null })
    );
    client.batch_execute(
        "set session_replication_role = replica; update projects set has_external_wiki = true; reset session_replication_role;
         select lockstep.drift_report()",
    )?;
    let counted = drift(&report(&mut client)?);
    assert_eq!(counted["rows"], json!(1_000), "{counted}");
    ensure!(counted["checked_at"].is_f64(), "{counted}");
    let status = json_of(
        &mut client,
        "select (lockstep.status_report() -> 'drift')::text",
    )?;
    ensure!(
        status.as_array().is_some_and(|all| all.iter().any(|it| {
            it["what"] == wiki && it["is_more"] == true && it["age_seconds"].is_number()
        })),
        "{status}"
    );
    // Reading does not count again.
    client.batch_execute("call lockstep.backfill('cache_columns', 'projects')")?;
    assert_eq!(drift(&report(&mut client)?), counted);
    client.batch_execute("select lockstep_api.chatops_drift()")?;
    assert_eq!(drift(&report(&mut client)?)["rows"], json!(0));
    // A dropped column is no longer reported, and a read-only transaction stores nothing.
    client.batch_execute("begin read only; select lockstep.drift_report(); commit")?;
    client.batch_execute(
        "select lockstep.remove_cache_column('projects', 'has_external_wiki'); select lockstep.drift_report()",
    )?;
    assert_eq!(drift(&report(&mut client)?), Value::Null);
    Ok(())
}
