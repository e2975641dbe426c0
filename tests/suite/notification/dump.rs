//! A dump contains everything that notifications need to continue: settings, waiting deliveries, channels with their names,
//! messages, troubles, pipelines.

use anyhow::Result;
use serde_json::json;

use crate::database;
use crate::dump::{PSQL, dump, restore};
use crate::notification::publish::{event, publish_as, told};

const KEPT: &str = "select jsonb_pretty(jsonb_build_object(
  'settings', (select jsonb_agg(t order by t.integration_id) from lockstep_internal.slack_notification t),
  'events', (select jsonb_agg(t order by t.id) from lockstep_internal.event t),
  'channels', (select jsonb_agg(t order by t.id) from lockstep_internal.slack_channel t),
  'deliveries', (select jsonb_agg(t order by t.id) from lockstep_internal.slack_delivery t),
  'troubles', (select jsonb_agg(t order by t.channel) from lockstep_internal.slack_channel_trouble t),
  'messages', (select jsonb_agg(t order by t.channel) from lockstep_internal.slack_message t),
  'pipelines', (select jsonb_agg(t) from lockstep_internal.pipeline_status t)))";

#[test]
fn notifications_come_along() -> Result<()> {
    let mut client = told("dump_notifications")?;
    client.batch_execute(
        "select lockstep.set_slack_notifications(1, '{\"channels\": \"#a, #b, #C\", \"updates\": \"thread\", \"labels\": \"~bug\"}')",
    )?;
    let pipeline = json!({"object_attributes": {"id": 1, "ref": "main", "status": "failed"}});
    publish_as(&mut client, &event("pipeline", 1, pipeline), Some("one"))?;
    let push = event("push", 1, json!({"ref": "refs/heads/main"}));
    publish_as(&mut client, &push, Some("two"))?;
    // The first of #a has been sent, that of #b cannot be, and the next of #a is in flight.
    let finish = "select lockstep_api.finish_deliveries((
        select jsonb_agg(jsonb_build_object('delivery', d.delivery, 'lease', d.lease, 'ago', 1000, 'outcome',
                                            case d.channel when '#a' then 'delivered' when '#b' then 'failed' else 'release' end,
                                            'error', 'not_in_channel', 'ts', '1.1', 'channel', 'C1'))
          from lockstep_api.claim_deliveries(10, '1 minute', 60000) d))";
    client.batch_execute(finish)?;
    client.batch_execute("update lockstep_internal.slack_channel set not_before = '-infinity'")?;
    let claim = "select delivery, channel, event ->> 'object_kind', ts, settled from (
                   select d.*, exists (select from lockstep_internal.slack_channel c where c.channel = d.channel and c.slack_id = 'C1') as settled
                     from lockstep_api.claim_deliveries(10, '1 minute', 60000) d) d order by delivery";
    let before: String = client.query_one(KEPT, &[])?.get(0);
    for part in [
        "#b",
        "is_archived",
        "thread",
        "not_in_channel",
        "pipeline:1",
        "waiting",
        "delivered",
    ] {
        let is_there = before.contains(part);
        assert_eq!(is_there, part != "is_archived", "{part}: {before}");
    }
    let dumped = dump(&[], "dump_notifications")?;
    let mut restored = database::empty("dump_notifications_restored")?;
    restore("psql", &PSQL, "dump_notifications_restored", &dumped)?;
    assert_eq!(restored.query_one(KEPT, &[])?.get::<_, String>(0), before);
    // It continues where the original would have, once an administrator releases it.
    restored.batch_execute("select lockstep.release_restored_slack()")?;
    let mut claimed = Vec::new();
    for database in [&mut client, &mut restored] {
        let rows = database.query(claim, &[])?;
        let rows = rows.iter().map(|row| {
            let (delivery, channel, kind): (i64, String, String) =
                (row.get(0), row.get(1), row.get(2));
            (
                delivery,
                channel,
                kind,
                row.get::<_, Option<String>>(3),
                row.get::<_, bool>(4),
            )
        });
        claimed.push(rows.collect::<Vec<_>>());
    }
    assert_eq!(claimed[0].len(), 3);
    assert_eq!(claimed[0], claimed[1]);
    // An earlier event still counts once, and a new one gets the next number.
    assert_eq!(publish_as(&mut restored, &push, Some("two"))?, []);
    publish_as(&mut restored, &push, Some("three"))?;
    let id = "select max(id) from lockstep_internal.event";
    assert!(restored.query_one(id, &[])?.get::<_, i64>(0) > 2);
    Ok(())
}
