//! Claims of deliveries: which are handed out, with which data, at which pace.

use anyhow::{Context, Result};
use lockstep_tests::host::Layout;
use postgres::{Client, Row};

use crate::service_account::number;
use crate::slack::workspaces;

/// Channels 1 to 5 of team A, 6 and 7 of team B; and a function that adds a delivery.
const CHANNELS: &str = r##"
insert into lockstep_internal.slack_channel (schema, team_id, channel)
  select 'public', case when n < 6 then 'A' else 'B' end, '#' || n from generate_series(1, 7) n;
create function publish(channel bigint, integration bigint, payload json default '{"object_kind": "push"}') returns bigint language sql as $$
  with e as (insert into lockstep_internal.event (schema, key, payload) values ('public', gen_random_uuid()::text, payload) returning id)
  insert into lockstep_internal.slack_delivery (schema, event, integration_id, slack_integration_id, channel, lane)
    select 'public', e.id, integration, integration, channel, channel from e returning id $$;
"##;

/// A database with workspaces and their channels.
pub(crate) fn channels(name: &str) -> Result<Client> {
    let mut client = workspaces(name, Layout::Narrow)?;
    client.batch_execute(CHANNELS)?;
    Ok(client)
}

pub(crate) fn publish(client: &mut Client, channel: i64, integration: i64) -> Result<i64> {
    number(client, &format!("select publish({channel}, {integration})"))
}

/// What identifies a claimed delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) delivery: i64,
    pub(crate) lease: i64,
}

/// Claims at a pace that delays nobody.
pub(crate) fn claim(client: &mut Client, most: i32) -> Result<Vec<Claim>> {
    claim_at(client, most, 100_000)
}

pub(crate) fn claim_at(client: &mut Client, most: i32, per_minute: i32) -> Result<Vec<Claim>> {
    let rows = client.query(
        "select delivery, lease from lockstep_api.claim_deliveries($1, '1 hour', $2)",
        &[&most, &per_minute],
    )?;
    let read = |row: &Row| Claim {
        delivery: row.get(0),
        lease: row.get(1),
    };
    Ok(rows.iter().map(read).collect())
}

pub(crate) fn numbers(claims: &[Claim]) -> Vec<i64> {
    claims.iter().map(|it| it.delivery).collect()
}

/// Reports the same outcome for each.
pub(crate) fn finish(client: &mut Client, claims: &[Claim], rest: &str) -> Result<i64> {
    let results = claims.iter().map(|it| {
        format!(
            r#"{{"delivery": {}, "lease": {}, {rest}}}"#,
            it.delivery, it.lease
        )
    });
    let results: Vec<String> = results.collect();
    number(
        client,
        &format!(
            "select lockstep_api.finish_deliveries('[{}]')::bigint",
            results.join(",")
        ),
    )
}

/// Makes every channel due unless it is leased.
pub(crate) fn later(client: &mut Client) -> Result<()> {
    client.batch_execute("update lockstep_internal.slack_channel set not_before = '-infinity'")?;
    Ok(())
}

/// Makes all leases expire.
pub(crate) fn lapse(client: &mut Client) -> Result<()> {
    client.batch_execute(
        "update lockstep_internal.slack_channel set leased_until = clock_timestamp() - interval '1 second', not_before = '-infinity' where lease is not null",
    )?;
    Ok(())
}

pub(crate) fn text(client: &mut Client, query: &str) -> Result<String> {
    let row = client.query_one(query, &[]).context(query.to_owned())?;
    Ok(row.get::<_, Option<String>>(0).unwrap_or_default())
}

#[test]
fn a_channel_is_sent_one_delivery_at_a_time_in_order() -> Result<()> {
    let mut client = channels("delivery_order")?;
    for (channel, integration) in [(2, 1), (1, 2), (2, 2), (1, 1), (6, 5), (2, 1)] {
        publish(&mut client, channel, integration)?;
    }
    let mut sent = Vec::new();
    for expected in [vec![2, 1, 5], vec![4, 3], vec![6], vec![]] {
        let claimed = claim(&mut client, 10)?;
        let mut found = numbers(&claimed);
        found.sort_unstable();
        let mut sorted = expected.clone();
        sorted.sort_unstable();
        assert_eq!(found, sorted);
        // A leased delivery is not given to anybody else, however late it is.
        later(&mut client)?;
        assert_eq!(claim(&mut client, 10)?, []);
        assert_eq!(
            finish(&mut client, &claimed, r#""outcome": "delivered""#)?,
            claimed.len() as i64
        );
        later(&mut client)?;
        sent.extend(found);
    }
    assert_eq!(sent.len(), 6);
    Ok(())
}

#[test]
fn the_longest_due_comes_first() -> Result<()> {
    let mut client = channels("delivery_due")?;
    for channel in 1..=5 {
        publish(&mut client, channel, 1)?;
    }
    client.batch_execute(
        "update lockstep_internal.slack_channel set not_before = clock_timestamp() - make_interval(hours => (array[2, 5, -1, 4, 1])[id::integer]) where id <= 5",
    )?;
    assert_eq!(numbers(&claim(&mut client, 3)?), [2, 4, 1]);
    assert_eq!(numbers(&claim(&mut client, 3)?), [5]);
    assert_eq!(claim(&mut client, 3)?, []);
    Ok(())
}

#[test]
fn the_next_begins_a_second_after_the_claim_at_the_earliest() -> Result<()> {
    let mut client = channels("delivery_second")?;
    publish(&mut client, 1, 1)?;
    client.batch_execute("create table before as select clock_timestamp() as at")?;
    claim(&mut client, 1)?;
    let within = "select count(*) from before b, lockstep_internal.slack_channel c
                   where c.id = 1 and c.not_before between b.at + interval '1 second' and clock_timestamp() + interval '1 second'
                     and c.leased_until between b.at + interval '1 hour' and clock_timestamp() + interval '1 hour'";
    assert_eq!(number(&mut client, within)?, 1);
    Ok(())
}

#[test]
fn a_claim_has_all_that_it_takes_to_send() -> Result<()> {
    let mut client = channels("delivery_columns")?;
    let payload = r#"{"object_kind":  "push", "b": "\u0000 \u00e4", "a": 1}"#;
    client.query("select publish(1, 2, $1::text::json)", &[&payload])?;
    publish(&mut client, 6, 5)?;
    let all = "select concat_ws('|', delivery, team_id, coalesce(enterprise_id, '-'), channel, integration_id, alias, event, attempts, uncertain, updates,
                                coalesce(subject, '-'), coalesce(ts, '-'), coalesce(slack_channel, '-'), coalesce(encode(token, 'escape'), '-'),
                                coalesce(encode(token_iv, 'escape'), '-'))
                 from lockstep_api.claim_deliveries(10, '1 minute', 1000) order by delivery";
    let rows = client.query(all, &[])?;
    let found: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(
        found,
        [
            format!("1|A|-|#1|2|a2|{payload}|0|0|separate|-|-|-|token|iv"),
            r#"2|B|-|#6|5|b5|{"object_kind": "push"}|0|0|separate|-|-|-|-|-"#.to_owned(),
        ]
    );
    // The installation's token is the newest; a workspace may belong to an enterprise.
    client.batch_execute(
        "select lockstep.install_slack_workspace('A', 'Team A', 'U1', 'B1', 'token 2', 'iv 2', '{}', enterprise_id => 'E1')",
    )?;
    lapse(&mut client)?;
    let row = client.query_one(
        &format!("select * from ({all}) x where concat_ws like '1|%'"),
        &[],
    )?;
    assert_eq!(
        row.get::<_, String>(0),
        format!("1|A|E1|#1|2|a2|{payload}|0|1|separate|-|-|-|token 2|iv 2")
    );
    Ok(())
}

#[test]
fn who_loses_the_lease_may_have_sent() -> Result<()> {
    let mut client = channels("delivery_lapse")?;
    for channel in [1, 1, 2] {
        publish(&mut client, channel, 1)?;
    }
    let first = claim(&mut client, 10)?;
    assert_eq!(numbers(&first), [1, 3]);
    lapse(&mut client)?;
    // Nobody has taken over: the result counts.
    assert_eq!(
        finish(&mut client, &first[1..], r#""outcome": "delivered""#)?,
        1
    );
    let second = claim(&mut client, 10)?;
    assert_eq!(numbers(&second), [1]);
    assert_ne!(second[0].lease, first[0].lease);
    let counts = "select string_agg(concat_ws(' ', id, status, attempts, uncertain), ', ' order by id) from lockstep_internal.slack_delivery";
    assert_eq!(
        text(&mut client, counts)?,
        "1 waiting 0 1, 2 waiting 0 0, 3 delivered 0 0"
    );
    for outcome in ["delivered", "failed", "retry", "uncertain", "release"] {
        let rest = format!(r#""outcome": "{outcome}""#);
        assert_eq!(finish(&mut client, &first, &rest)?, 0, "{outcome}");
    }
    assert_eq!(
        text(&mut client, counts)?,
        "1 waiting 0 1, 2 waiting 0 0, 3 delivered 0 0"
    );
    lapse(&mut client)?;
    let third = claim(&mut client, 10)?;
    assert_eq!(finish(&mut client, &third, r#""outcome": "delivered""#)?, 1);
    assert_eq!(
        text(&mut client, counts)?,
        "1 delivered 0 2, 2 waiting 0 0, 3 delivered 0 0"
    );
    Ok(())
}

/// What cannot be sent fails, and what waits behind it is sent.
#[test]
fn integrations_that_are_gone_hold_nobody_up() -> Result<()> {
    let mut client = channels("delivery_gone")?;
    for (channel, integration) in [
        (1, 1),
        (1, 2),
        (1, 1),
        (1, 3),
        (2, 4),
        (3, 3),
        (4, 5),
        (5, 1),
        // Behind a delivery of an integration that no longer has the row.
        (2, 4),
    ] {
        publish(&mut client, channel, integration)?;
    }
    client.batch_execute(
        "update integrations set active = false where id = 1; delete from slack_integrations where id = 2;
         update lockstep_internal.slack_delivery set integration_id = 9 where id = 5; update lockstep_internal.event set payload = null where id = 6",
    )?;
    let mut claimed = numbers(&claim(&mut client, 10)?);
    claimed.sort_unstable();
    assert_eq!(claimed, [4, 9]);
    let counts = "select string_agg(concat_ws(' ', id, status, error), ', ' order by id) from lockstep_internal.slack_delivery";
    assert_eq!(
        text(&mut client, counts)?,
        "1 failed inactive, 2 failed not_installed, 3 failed inactive, 4 waiting, 5 failed not_installed, 6 failed no_event, \
         7 failed not_installed, 8 failed inactive, 9 waiting"
    );
    assert_eq!(
        number(
            &mut client,
            "select count(*) from lockstep_internal.slack_channel where lease is not null"
        )?,
        2
    );
    Ok(())
}

#[test]
fn other_schemas_are_left_alone() -> Result<()> {
    let mut client = channels("delivery_schema")?;
    publish(&mut client, 1, 1)?;
    publish(&mut client, 2, 1)?;
    client.batch_execute(
        "update lockstep_internal.slack_channel set schema = 'other' where id = 1",
    )?;
    assert_eq!(numbers(&claim(&mut client, 10)?), [2]);
    // Nor does a delivery whose channel is gone keep others from being sent.
    client.batch_execute(
        "delete from lockstep_internal.slack_channel where id = 1; select publish(3, 1)",
    )?;
    assert_eq!(numbers(&claim(&mut client, 10)?), [3]);
    Ok(())
}
