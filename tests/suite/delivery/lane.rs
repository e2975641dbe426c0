//! A channel with several names has one order and one pace, once Slack has reported that they are the same.

use anyhow::{Result, ensure};
use postgres::Client;

use crate::database::cluster;
use crate::delivery::claim::{channels, claim, finish, later, numbers, publish, text};

const SAME: &str = "select string_agg(concat_ws(' ', id, coalesce(slack_id, '-'), coalesce(same_as::text, '-')), ', ' order by id)
                      from lockstep_internal.slack_channel where slack_id is not null";
const LANES: &str = "select string_agg(concat_ws(' ', id, channel, lane), ', ' order by id) from lockstep_internal.slack_delivery where status = 'waiting'";

/// Sends the first waiting delivery of a channel, and lets Slack respond with this id.
fn deliver(client: &mut Client, delivery: i64, slack_id: &str) -> Result<()> {
    later(client)?;
    let mut claimed = claim(client, 10)?;
    if claimed.is_empty() {
        // It waited where another row is the lane by now.
        claimed = claim(client, 10)?;
    }
    let own: Vec<_> = claimed
        .iter()
        .copied()
        .filter(|it| it.delivery == delivery)
        .collect();
    ensure!(own.len() == 1, "{delivery} is not among {claimed:?}");
    finish(
        client,
        &own,
        &format!(r#""outcome": "delivered", "channel": "{slack_id}""#),
    )?;
    let others: Vec<_> = claimed
        .into_iter()
        .filter(|it| it.delivery != delivery)
        .collect();
    finish(client, &others, r#""outcome": "release""#)?;
    Ok(())
}

/// Claims repeatedly until nothing is left.
fn drain(client: &mut Client) -> Result<Vec<Vec<i64>>> {
    let mut rounds = Vec::new();
    for _ in 0..20 {
        later(client)?;
        let claimed = claim(client, 10)?;
        finish(client, &claimed, r#""outcome": "delivered""#)?;
        if !claimed.is_empty() {
            rounds.push(numbers(&claimed));
        }
    }
    Ok(rounds)
}

#[test]
fn names_of_one_channel_have_one_order() -> Result<()> {
    let mut client = channels("lane_order")?;
    let first = publish(&mut client, 1, 1)?;
    let second = publish(&mut client, 2, 1)?;
    deliver(&mut client, first, "C9")?;
    assert_eq!(text(&mut client, SAME)?, "1 C9 -");
    // Nobody could know it before.
    publish(&mut client, 2, 1)?;
    publish(&mut client, 1, 1)?;
    publish(&mut client, 2, 1)?;
    publish(&mut client, 3, 2)?;
    deliver(&mut client, second, "C9")?;
    assert_eq!(text(&mut client, SAME)?, "1 C9 -, 2 C9 1");
    // What waits under the other name is in the one lane at once, ahead of new publications, and keeps its name.
    assert_eq!(text(&mut client, LANES)?, "3 2 1, 4 1 1, 5 2 1, 6 3 3");
    assert_eq!(drain(&mut client)?, [vec![3, 6], vec![4], vec![5]]);
    let called = "select string_agg(channel::text, ' ' order by id) from lockstep_internal.slack_delivery where id between 3 and 5";
    assert_eq!(text(&mut client, called)?, "2 1 2");
    // A delivery that was published without this knowledge is found by the first claim, and sent after it.
    later(&mut client)?;
    publish(&mut client, 2, 1)?;
    assert_eq!(claim(&mut client, 10)?, []);
    assert_eq!(text(&mut client, LANES)?, "7 2 1");
    let name = "select channel from lockstep_api.claim_deliveries(10, '1 hour', 100000)";
    assert_eq!(text(&mut client, name)?, "#2");
    Ok(())
}

#[test]
fn names_of_one_channel_have_one_pace() -> Result<()> {
    let mut client = channels("lane_pace")?;
    let first = publish(&mut client, 1, 1)?;
    deliver(&mut client, first, "C9")?;
    client.batch_execute("update lockstep_internal.slack_channel set not_before = '2020-01-01'")?;
    // Slack has rate-limited the other one, and the message that waited there was sent after all.
    publish(&mut client, 2, 1)?;
    later(&mut client)?;
    let claimed = claim(&mut client, 10)?;
    finish(
        &mut client,
        &claimed,
        r#""outcome": "delivered", "channel": "C9", "ago": 0"#,
    )?;
    let pace = "select string_agg((not_before > clock_timestamp() - interval '1 minute')::text, ' ' order by id)
                  from lockstep_internal.slack_channel where id <= 3";
    assert_eq!(text(&mut client, pace)?, "true true false");
    Ok(())
}

/// A name is given to another channel: it is a lane of its own again, and so are the names that had joined it.
#[test]
fn a_name_may_move_to_another_channel() -> Result<()> {
    let mut client = channels("lane_move")?;
    for channel in 1..=3 {
        let delivery = publish(&mut client, channel, 1)?;
        deliver(&mut client, delivery, "C9")?;
    }
    assert_eq!(text(&mut client, SAME)?, "1 C9 -, 2 C9 1, 3 C9 1");
    // The same in another workspace.
    let delivery = publish(&mut client, 6, 5)?;
    deliver(&mut client, delivery, "C9")?;
    assert_eq!(text(&mut client, SAME)?, "1 C9 -, 2 C9 1, 3 C9 1, 6 C9 -");
    let delivery = publish(&mut client, 1, 1)?;
    deliver(&mut client, delivery, "C8")?;
    // The others learn it with their next message.
    assert_eq!(text(&mut client, SAME)?, "1 C8 -, 2 C9 1, 3 C9 1, 6 C9 -");
    for channel in [3, 2] {
        let delivery = publish(&mut client, channel, 1)?;
        deliver(&mut client, delivery, "C9")?;
    }
    assert_eq!(text(&mut client, SAME)?, "1 C8 -, 2 C9 -, 3 C9 2, 6 C9 -");
    Ok(())
}

/// Waiting deliveries move when a name moves, except those being sent, and those under other names stay.
#[test]
fn what_waits_moves_with_its_name() -> Result<()> {
    let mut client = channels("lane_leave")?;
    for channel in 1..=3 {
        let delivery = publish(&mut client, channel, 1)?;
        deliver(&mut client, delivery, "C9")?;
    }
    let delivery = publish(&mut client, 1, 1)?;
    deliver(&mut client, delivery, "C8")?;
    // Under names 2 and 3, while they belong to another channel.
    for channel in [2, 2, 1, 3, 2] {
        publish(&mut client, channel, 1)?;
    }
    client.batch_execute(
        "update lockstep_internal.slack_delivery set lane = 1 where status = 'waiting'",
    )?;
    later(&mut client)?;
    let claimed = claim(&mut client, 10)?;
    assert_eq!(numbers(&claimed), [5]);
    finish(
        &mut client,
        &claimed,
        r#""outcome": "delivered", "channel": "C9", "ago": 0"#,
    )?;
    assert_eq!(text(&mut client, SAME)?, "1 C8 -, 2 C9 -, 3 C9 2");
    assert_eq!(text(&mut client, LANES)?, "6 2 2, 7 1 1, 8 3 2, 9 2 2");
    // And the pace.
    assert_eq!(claim(&mut client, 10)?, []);
    assert_eq!(drain(&mut client)?, [vec![7, 6], vec![8], vec![9]]);
    Ok(())
}

/// The row known first may be the last that Slack reports.
#[test]
fn names_are_joined_with_those_that_were_learnt_before() -> Result<()> {
    let mut client = channels("lane_late")?;
    for channel in [3, 2, 1] {
        let delivery = publish(&mut client, channel, 1)?;
        deliver(&mut client, delivery, "C9")?;
    }
    assert_eq!(text(&mut client, SAME)?, "1 C9 -, 2 C9 1, 3 C9 1");
    Ok(())
}

/// Two results for one name and integration, which was in two lanes.
#[test]
fn two_results_of_one_name_are_taken() -> Result<()> {
    let mut client = channels("lane_twice")?;
    publish(&mut client, 2, 1)?;
    publish(&mut client, 2, 1)?;
    client.batch_execute("update lockstep_internal.slack_delivery set lane = 1 where id = 1")?;
    let claimed = claim(&mut client, 10)?;
    assert_eq!(claimed.len(), 2);
    assert_eq!(
        finish(
            &mut client,
            &claimed,
            r#""outcome": "failed", "error": "is_archived""#
        )?,
        2
    );
    let troubles = "select string_agg(channel || ' ' || error || ' ' || failures, ', ') from lockstep_internal.slack_channel_trouble";
    assert_eq!(text(&mut client, troubles)?, "#2 is_archived 1");
    client.batch_execute("select lockstep.retry_deliveries()")?;
    later(&mut client)?;
    let claimed = claim(&mut client, 10)?;
    client.batch_execute(
        "update lockstep_internal.slack_channel set subject = 'merge_request 7' where lease is not null",
    )?;
    let told = r#""outcome": "delivered", "channel": "C9", "ts": "1.1""#;
    assert_eq!(finish(&mut client, &claimed, told)?, 2);
    let messages = "select string_agg(channel || ' ' || subject || ' ' || ts, ', ') from lockstep_internal.slack_message";
    assert_eq!(text(&mut client, messages)?, "2 merge_request 7 1.1");
    Ok(())
}

/// Two senders learn it for two names at the same time, and neither sees what the other has written.
#[test]
fn names_are_joined_however_they_were_learnt() -> Result<()> {
    let mut client = channels("lane_race")?;
    let mut other = cluster()?.connect("lane_race")?;
    publish(&mut client, 1, 1)?;
    publish(&mut client, 2, 1)?;
    let claimed = claim(&mut client, 10)?;
    assert_eq!(numbers(&claimed), [1, 2]);
    let told = r#""outcome": "delivered", "channel": "C9""#;
    client.batch_execute("begin")?;
    finish(&mut client, &claimed[..1], told)?;
    finish(&mut other, &claimed[1..], told)?;
    client.batch_execute("commit")?;
    assert_eq!(text(&mut client, SAME)?, "1 C9 -, 2 C9 -");
    let delivery = publish(&mut client, 2, 1)?;
    deliver(&mut client, delivery, "C9")?;
    assert_eq!(text(&mut client, SAME)?, "1 C9 -, 2 C9 1");
    Ok(())
}

/// A sender that reports waits for nobody who has locked a name's row, and the name is learned the next time.
#[test]
fn a_name_that_is_locked_is_passed_by() -> Result<()> {
    let mut client = channels("lane_locked")?;
    let mut other = cluster()?.connect("lane_locked")?;
    for channel in [1, 2] {
        let delivery = publish(&mut client, channel, 1)?;
        deliver(&mut client, delivery, "C9")?;
    }
    assert_eq!(text(&mut client, SAME)?, "1 C9 -, 2 C9 1");
    publish(&mut client, 2, 1)?;
    later(&mut client)?;
    // The first claim sees in which lane it belongs.
    assert_eq!(claim(&mut client, 10)?, []);
    let claimed = claim(&mut client, 10)?;
    other.batch_execute(
        "begin; select from lockstep_internal.slack_channel where id = 2 for no key update",
    )?;
    client.batch_execute("set lock_timeout = '10s'")?;
    let told = r#""outcome": "delivered", "channel": "C8""#;
    assert_eq!(finish(&mut client, &claimed, told)?, 1);
    other.batch_execute("rollback")?;
    assert_eq!(text(&mut client, SAME)?, "1 C9 -, 2 C9 1");
    let delivery = publish(&mut client, 2, 1)?;
    deliver(&mut client, delivery, "C8")?;
    assert_eq!(text(&mut client, SAME)?, "1 C9 -, 2 C8 -");
    Ok(())
}
