//! Whether sessions that enqueue wait for each other's commits.

use anyhow::Result;

use super::NAME;
use crate::Report;
use crate::commit::{self, Comparison};
use crate::selection::Selection;
use crate::server::Server;
use crate::size::Size;

const TEMPLATE: &str = "enqueuers";

/// Clients, and waiting jobs for each row of the measured size.
const CASES: [(&str, usize, u32); 2] = [("commit", 16, 0), ("commit_long_queue", 64, 10)];

pub(super) fn run(
    server: &mut Server,
    selection: &Selection,
    size: Size,
    report: &mut Report,
) -> Result<()> {
    for (part, clients, share) in CASES {
        let name = format!("{NAME}/{part}");
        if selection.includes(&name) {
            compare(server, size, report, name, clients, size.rows * share)?;
        }
    }
    Ok(())
}

fn compare(
    server: &mut Server,
    size: Size,
    report: &mut Report,
    name: String,
    clients: usize,
    jobs: u32,
) -> Result<()> {
    server.create_template(TEMPLATE, |client| {
        client.batch_execute(&format!(
            "create extension lockstep; create table plain (like lockstep_internal.job including all);
             insert into plain (worker, args, priority, run_at, status, retries, keeps_dead)
               select 'B', '[]', 0, now(), 'waiting', 25, true from generate_series(1, {jobs});
             select count(lockstep.enqueue_job('B')) from generate_series(1, {jobs});
             select lockstep.start_runner('bench', '1 hour')"
        ))?;
        Ok(())
    })?;
    let comparison = Comparison {
        name,
        template: TEMPLATE,
        clients,
        plain: "insert into plain (worker, args, priority, run_at, status, retries, keeps_dead)
                values ('A', '{}', 0, now(), 'waiting', 25, true)",
        ours: "select lockstep.enqueue_job('A')",
        // Asks for jobs, gets none, and waits to be notified of the next ones, repeatedly.
        wait: [
            "listen lockstep_job",
            "select lockstep.claim_jobs(1, '{A}')",
        ],
        least: 0.8,
        row: &|report, what, rate| {
            let queue = match jobs {
                0 => String::new(),
                _ => format!(", {jobs} jobs wait"),
            };
            report.table.push(vec![
                format!("enqueue, {clients} clients, slow commits{queue}"),
                what.to_owned(),
                format!("{rate:.0}"),
                "1/s".to_owned(),
            ]);
        },
    };
    commit::run(server, size, report, &comparison)?;
    server.drop_database(TEMPLATE)
}
