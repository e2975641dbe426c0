//! How soon a job starts on an idle system: from the end of the enqueueing call, before its commit, to the worker's write. Both
//! times are the server's.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use lockstep_tests::host::{self, Layout};

use super::NAME;
use super::runners::{Peer, Runners};
use crate::Report;
use crate::figure::{Figure, Reach};
use crate::selection::Selection;
use crate::server::Server;
use crate::size::Size;

const TEMPLATE: &str = "idle";
const JOBS: usize = 500;
const WARM_UP: usize = 100;

pub(super) fn run(
    server: &mut Server,
    selection: &Selection,
    _size: Size,
    report: &mut Report,
) -> Result<()> {
    let name = format!("{NAME}/start");
    if !selection.includes(&name) {
        return Ok(());
    }
    server.create_template(TEMPLATE, |client| {
        host::create(client, Layout::Narrow)?;
        client.batch_execute(
            "create extension lockstep_slack cascade; insert into projects (id, namespace_id) values (1, 1);
             insert into integrations (id, project_id, type_new, active) values (1, 1, 'Integrations::Slack', true)",
        )?;
        Ok(())
    })?;
    let mut times: Vec<f64> = server.with_copy(TEMPLATE, |copy| {
        let _runners = Runners::start(copy, Peer::Lockstep)?;
        let client = &mut copy.client;
        client.batch_execute("create table asked (job bigint, at timestamptz)")?;
        // The first jobs warm up the runners' sessions; cache_column/session/first_write measures that.
        for jobs in [WARM_UP, JOBS] {
            client.batch_execute("truncate asked")?;
            for _ in 0..jobs {
                client.batch_execute(
                    "with job as materialized (select lockstep.enqueue_job('ProjectServiceWorker', '[1, {}]') as id)
                     insert into asked select id, clock_timestamp() from job",
                )?;
                sleep(Duration::from_millis(5));
            }
            let left = "select count(*) from asked where job not in (select job from lockstep_internal.integration_event where job is not null)";
            while client.query_one(left, &[])?.get::<_, i64>(0) > 0 {
                sleep(Duration::from_millis(20));
            }
        }
        let times = "select extract(epoch from e.recorded_at - a.at)::float8 * 1000
                       from asked a join lockstep_internal.integration_event e on e.job = a.job";
        let rows = client.query(times, &[])?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    })?;
    server.drop_database(TEMPLATE)?;
    times.sort_unstable_by(f64::total_cmp);
    for (part, share) in [("p50", 0.5), ("p99", 0.99)] {
        let place = (times.len() as f64 * share) as usize;
        let value = times.get(place).copied().unwrap_or(f64::NAN);
        report.table.push(vec![
            format!("enqueue to start, {part}"),
            "lockstep".to_owned(),
            format!("{value:.2}"),
            "ms".to_owned(),
        ]);
        let name = format!("{name}/{part}");
        report.figures.push(match part {
            "p99" => Figure::with_reach(name, value, "ms", Reach::AtMost(20.0)),
            _ => Figure::plain(name, value, "ms"),
        });
    }
    Ok(())
}
