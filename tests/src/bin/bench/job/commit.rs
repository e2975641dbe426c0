//! Whether sessions that enqueue wait for each other's commits.

use anyhow::Result;

use super::NAME;
use crate::Report;
use crate::commit::{self, Comparison};
use crate::selection::Selection;
use crate::server::Server;
use crate::size::Size;

const TEMPLATE: &str = "enqueuers";

pub(super) fn run(
    server: &mut Server,
    selection: &Selection,
    size: Size,
    report: &mut Report,
) -> Result<()> {
    let name = format!("{NAME}/commit");
    if !selection.includes(&name) {
        return Ok(());
    }
    server.create_template(TEMPLATE, |client| {
        client.batch_execute(
            "create extension lockstep; create table plain (like lockstep_internal.job including all);
             select lockstep.start_runner('bench', '1 hour')",
        )?;
        Ok(())
    })?;
    let comparison = Comparison {
        name,
        template: TEMPLATE,
        plain: "insert into plain (worker, args, priority, run_at, status, retries, keeps_dead)
                values ('A', '{}', 0, now(), 'waiting', 25, true)",
        ours: "select lockstep.enqueue_job('A')",
        // Asks for jobs, gets none, and waits to be notified of the next ones, repeatedly.
        wait: [
            "listen lockstep_job",
            "select lockstep.claim_jobs(1, '{A}')",
        ],
        least: 0.8,
        row: |report, what, rate| {
            report.table.push(vec![
                "enqueue, 16 clients, slow commits".to_owned(),
                what.to_owned(),
                format!("{rate:.0}"),
                "1/s".to_owned(),
            ]);
        },
    };
    commit::run(server, size, report, &comparison)?;
    server.drop_database(TEMPLATE)
}
