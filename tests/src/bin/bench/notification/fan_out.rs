//! An event that matches a thousand integrations: how long it takes to enqueue a delivery for each, including the commit.

use std::time::Instant;

use anyhow::{Result, ensure};
use lockstep_tests::gitlab::push;
use postgres::Client;

use super::row;
use super::scene::TEMPLATE;
use crate::Report;
use crate::figure::{Figure, Reach};
use crate::median::median;
use crate::server::Server;
use crate::size::Size;

pub(super) const NAME: &str = "notification/fan_out";

/// A project has one integration of each kind, a group any number: all of these apply to the project through its group.
const FILL: &str = "
insert into integrations (id, group_id, type_new, category, active, push_events)
  select n, 1, 'Integrations::GitlabSlackApplication', 'chat', true, true from generate_series(1, 1000) n;
insert into slack_integrations (team_id, team_name, alias, user_id, bot_user_id, encrypted_bot_access_token, encrypted_bot_access_token_iv,
                                created_at, updated_at, integration_id, group_id)
  select 'T' || n % 10, 'Team', 'alias-' || n, 'U0123456789', 'B0123456789', sha256('a'), '0123456789ab', now(), now(), n, 1
    from generate_series(1, 1000) n;
select count(lockstep.set_slack_notifications(n, jsonb_build_object('channels', jsonb_build_array('#channel-' || n))))
  from generate_series(1, 1000) n;
analyze";

const PUBLISH: &str = "
select count(*) filter (where outcome = 'queued') from lockstep.publish_event($1::text::jsonb)";

fn publish(client: &mut Client, number: usize) -> Result<f64> {
    let event = push(1, &format!("event-{number:06}")).to_string();
    let begun = Instant::now();
    let queued: i64 = client.query_one(PUBLISH, &[&event])?.get(0);
    let took = begun.elapsed().as_secs_f64() * 1e3;
    ensure!(queued == 1_000, "{queued} were queued");
    Ok(took)
}

pub(super) fn run(server: &mut Server, size: Size, report: &mut Report) -> Result<()> {
    let mut times = Vec::new();
    let mut firsts = Vec::new();
    for _ in 0..size.rounds {
        server.with_copy(TEMPLATE, |copy| {
            copy.client.batch_execute(FILL)?;
            copy.settle()?;
            // The first publication also creates the channels' rows.
            firsts.push(publish(&mut copy.client, 0)?);
            let mut of_round = Vec::new();
            for number in 1..=20 {
                of_round.push(publish(&mut copy.client, number)?);
            }
            let deliveries = "select count(*) from lockstep_internal.slack_delivery";
            let count: i64 = copy.client.query_one(deliveries, &[])?.get(0);
            ensure!(count == 21_000, "{count} deliveries");
            times.push(median(of_round));
            Ok(())
        })?;
    }
    let (time, first) = (median(times), median(firsts));
    row(report, "event of 1,000 integrations, enqueue", time, "ms");
    row(report, "the first one in new channels", first, "ms");
    report.figures.extend([
        Figure::with_reach(NAME.to_owned(), time, "ms", Reach::AtMost(20.0)),
        Figure::plain(format!("{NAME}/first"), first, "ms"),
    ]);
    Ok(())
}
