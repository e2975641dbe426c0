//! A look for deliveries when none is due, beside very many channels that wait: for their own time, or for their workspace.

use std::time::Instant;

use anyhow::{Result, ensure};
use postgres::Client;

use super::row;
use super::scene::TEMPLATE;
use crate::Report;
use crate::figure::{Figure, Reach};
use crate::median::median;
use crate::server::Server;
use crate::size::Size;

pub(super) const NAME: &str = "notification/wait";

const FEW: u32 = 100;
const LOOKS: usize = 200;

/// Messages a minute and workspace.
const PACE: &str = "60";

const WAITS: [(&str, &str); 2] = [
    (
        "time",
        "update lockstep_internal.slack_channel set not_before = clock_timestamp() + interval '1 hour', paced_at = clock_timestamp()",
    ),
    (
        "team",
        "insert into lockstep_internal.slack_team_pace (schema, team_id, free_at)
           select distinct 'public', c.team_id, now() + interval '4 minutes' from lockstep_internal.slack_channel c
             on conflict (schema, team_id, method) do update set free_at = excluded.free_at",
    ),
];

/// Channels with a delivery each, a thousand in a workspace.
fn add(client: &mut Client, first: u32, last: u32) -> Result<()> {
    client.batch_execute(&format!(
        "insert into lockstep_internal.slack_channel (id, schema, team_id, channel) overriding system value
           select n, 'public', 'T' || n / 1000, 'C' || n from generate_series({first}, {last}) n;
         insert into lockstep_internal.slack_delivery (schema, event, integration_id, slack_integration_id, channel, lane)
           select 'public', n, n, n, n, n from generate_series({first}, {last}) n"
    ))?;
    Ok(())
}

/// The median of a look and the time until the next one, in microseconds.
fn look(client: &mut Client, channels: u32) -> Result<f64> {
    let claim = client.prepare(&format!(
        "select delivery from lockstep_api.claim_deliveries(50, '1 minute', {PACE})"
    ))?;
    let wait = client.prepare(&format!("select lockstep_api.delivery_wait({PACE})"))?;
    // The first ones park a thousand channels each.
    for _ in 0..10 + channels / 500 {
        ensure!(client.query(&claim, &[])?.is_empty(), "one is due");
    }
    for table in ["slack_delivery", "slack_channel"] {
        client.batch_execute(&format!("vacuum analyze lockstep_internal.{table}"))?;
    }
    let mut times = Vec::new();
    for _ in 0..LOOKS {
        let start = Instant::now();
        ensure!(client.query(&claim, &[])?.is_empty(), "one is due");
        client.query(&wait, &[])?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    Ok(median(times))
}

pub(super) fn run(server: &mut Server, size: Size, report: &mut Report) -> Result<()> {
    // 50,000 by default.
    let many = (size.rows / 2).max(10 * FEW);
    for (what, wait) in WAITS {
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..size.rounds {
            server.with_copy(TEMPLATE, |copy| {
                let client = &mut copy.client;
                add(client, 1, FEW)?;
                client.batch_execute(wait)?;
                times[0].push(look(client, FEW)?);
                add(client, FEW + 1, many)?;
                client.batch_execute(wait)?;
                times[1].push(look(client, many)?);
                Ok(())
            })?;
        }
        let [few, many_of] = times.map(median);
        for (channels, time) in [(FEW, few), (many, many_of)] {
            let what = format!("look, nothing due, {channels} channels wait for their {what}");
            row(report, &what, time, "us");
        }
        report.figures.push(Figure::with_reach(
            format!("{NAME}/{what}"),
            many_of / few,
            "ratio",
            Reach::AtMost(1.5),
        ));
    }
    Ok(())
}
