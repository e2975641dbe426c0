//! Where very many channels wait, a look for deliveries reads as much as where few do, and finds each when it is due.

mod senders;

use std::thread;

use anyhow::{Result, anyhow, ensure};
use postgres::Client;

use crate::concurrency::{pid_of, settle};
use crate::database::cluster;
use crate::delivery::claim::{
    Claim, channels, claim, claim_at, finish, later, numbers, publish, text,
};
use crate::job::fewest_pages;
use crate::service_account::number;

/// A pace with a burst of 6.
const SLOW: i32 = 60;

/// Channels from 11 on, in the order of their numbers, each with two deliveries.
fn crowd(name: &str, channels_of_crowd: i64) -> Result<Client> {
    let mut client = channels(name)?;
    // Plans and statistics of small tables.
    client.batch_execute("analyze")?;
    add(&mut client, 11, 10 + channels_of_crowd)?;
    Ok(client)
}

fn add(client: &mut Client, first: i64, last: i64) -> Result<()> {
    client.batch_execute(&format!(
        "insert into lockstep_internal.slack_channel (id, schema, team_id, channel, not_before) overriding system value
           select n, 'public', 'A', 'C' || n, timestamptz '2020-01-01' + n * interval '1 second' from generate_series({first}, {last}) n;
         select publish(n, 1) from generate_series({first}, {last}) n;
         select publish(n, 1) from generate_series({first}, {last}) n"
    ))?;
    Ok(())
}

fn parked(client: &mut Client) -> Result<String> {
    text(
        client,
        "select string_agg(concat_ws(' ', p.parked, p.count), ', ' order by p.parked)
           from (select c.parked, count(*) from lockstep_internal.slack_channel c where c.parked is not null group by c.parked) p",
    )
}

fn hold(client: &mut Client) -> Result<()> {
    client.batch_execute(
        "update lockstep_internal.slack_channel set not_before = clock_timestamp() + interval '1 hour', paced_at = clock_timestamp()",
    )?;
    Ok(())
}

/// Looks that find nothing, as many as it takes to park all.
fn look(client: &mut Client, per_minute: i32) -> Result<()> {
    for _ in 0..10 {
        let found = claim_at(client, 50, per_minute)?;
        ensure!(found.is_empty(), "{found:?} are due");
    }
    Ok(())
}

fn in_order(client: &mut Client, claims: &[Claim]) -> Result<Vec<i64>> {
    let query = "select lane from lockstep_internal.slack_delivery where id = any ($1) order by array_position($1, id)";
    let rows = client.query(query, &[&numbers(claims)])?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// The channels of their own time, and a workspace that has used up its pace.
#[test]
fn a_look_when_nothing_is_due_reads_as_much_beside_many_channels() -> Result<()> {
    for (name, wait) in [
        ("parked_pages_time", "update lockstep_internal.slack_channel set not_before = clock_timestamp() + interval '1 hour'"),
        (
            "parked_pages_team",
            "insert into lockstep_internal.slack_team_pace (schema, team_id, free_at) values ('public', 'A', clock_timestamp() + interval '4 minutes')
               on conflict (schema, team_id, method) do update set free_at = excluded.free_at",
        ),
    ] {
        let mut client = crowd(name, 100)?;
        let mut all = Vec::new();
        for last in [110, 5_010] {
            if last > 110 {
                add(&mut client, 111, last)?;
            }
            client.batch_execute(wait)?;
            look(&mut client, SLOW)?;
            client.batch_execute("vacuum lockstep_internal.slack_delivery, lockstep_internal.slack_channel, lockstep_internal.slack_team_pace")?;
            look(&mut client, SLOW)?;
            let look = fewest_pages(&mut client, &format!("select * from lockstep_api.claim_deliveries(50, '1 minute', {SLOW})"))?;
            let wait = fewest_pages(&mut client, &format!("select lockstep_api.delivery_wait({SLOW})"))?;
            all.push((look, wait));
        }
        println!("{name}: {all:?}, parked {}", parked(&mut client)?);
        let [few, many] = all[..] else { continue };
        ensure!(
            2 * many.0 <= 3 * few.0 && 2 * many.1 <= 3 * few.1,
            "{name}: {few:?} pages, then {many:?}"
        );
    }
    Ok(())
}

/// Each channel that is due is asked for what waits there, and nothing else is.
#[test]
fn a_claim_when_one_is_due_reads_as_much_beside_many_channels() -> Result<()> {
    let name = "parked_pages_due";
    let mut client = crowd(name, 100)?;
    let mut all = Vec::new();
    for last in [110, 5_010] {
        if last > 110 {
            add(&mut client, 111, last)?;
        }
        hold(&mut client)?;
        look(&mut client, SLOW)?;
        park_rest(&mut client)?;
        client.batch_execute("vacuum lockstep_internal.slack_delivery, lockstep_internal.slack_channel, lockstep_internal.slack_team_pace")?;
        look(&mut client, SLOW)?;
        client.batch_execute("update lockstep_internal.slack_channel set not_before = clock_timestamp() where id = 20")?;
        let claim = format!("select * from lockstep_api.claim_deliveries(50, '1 minute', {SLOW})");
        all.push(fewest_pages(&mut client, &claim)?);
        client.batch_execute(&format!("begin; {claim}"))?;
        assert_eq!(leased(&mut client)?, "20");
        client.batch_execute("rollback")?;
    }
    println!("{name}: {all:?}, parked {}", parked(&mut client)?);
    let [few, many] = all[..] else { return Ok(()) };
    ensure!(2 * many <= 3 * few, "{few} pages, then {many}");
    Ok(())
}

/// As looks do it, but all of them.
fn park_rest(client: &mut Client) -> Result<()> {
    client.batch_execute(
        "update lockstep_internal.slack_channel set parked = 'time' where id > 10 and parked is null;
         update lockstep_internal.slack_delivery set is_parked = true where lane > 10 and status = 'waiting' and not is_parked",
    )?;
    Ok(())
}

fn leased(client: &mut Client) -> Result<String> {
    text(
        client,
        "select string_agg(id::text, ' ' order by id) from lockstep_internal.slack_channel where lease is not null",
    )
}

/// A claim of few reads few channels of each workspace that may send, however many of them are due.
#[test]
fn a_claim_reads_no_whole_burst_of_each_workspace() -> Result<()> {
    let name = "parked_pages_teams";
    let mut client = channels(name)?;
    client.batch_execute("analyze")?;
    client.batch_execute(
        "insert into lockstep_internal.slack_team_pace (schema, team_id, free_at, has_parked)
           select 'public', 'T' || n, '-infinity', true from generate_series(1, 40) n",
    )?;
    let mut all = Vec::new();
    for (first, last) in [(1, 2), (3, 30)] {
        client.batch_execute(&format!(
            "insert into lockstep_internal.slack_channel (id, schema, team_id, channel, parked) overriding system value
               select 100 * t + n, 'public', 'T' || t, 'C' || n, 'team' from generate_series(1, 40) t, generate_series({first}, {last}) n;
             select publish(100 * t + n, 1) from generate_series(1, 40) t, generate_series({first}, {last}) n;
             update lockstep_internal.slack_delivery set is_parked = true where not is_parked"
        ))?;
        client.batch_execute("vacuum lockstep_internal.slack_delivery, lockstep_internal.slack_channel, lockstep_internal.slack_team_pace")?;
        let claim = "select * from lockstep_api.claim_deliveries(1, '1 minute', 300)";
        all.push(fewest_pages(&mut client, claim)?);
    }
    println!("{name}: {all:?}");
    let [few, many] = all[..] else { return Ok(()) };
    ensure!(2 * many <= 3 * few, "{few} pages, then {many}");
    Ok(())
}

/// In each of these ways a parked channel comes to be due; what it waits for before is sent first.
#[test]
fn a_parked_channel_is_found_when_it_is_due() -> Result<()> {
    const WAYS: [(&str, &str); 8] = [
        ("its time has come", "update lockstep_internal.slack_channel set not_before = clock_timestamp() where id = {}"),
        ("a clock that was ahead", "update lockstep_internal.slack_channel set paced_at = clock_timestamp() + interval '1 day' where id = {}"),
        (
            "a sender that was lost",
            "update lockstep_internal.slack_channel set not_before = '-infinity', lease = 1, leased_until = clock_timestamp() - interval '1 second',
                    delivery = (select min(id) from lockstep_internal.slack_delivery where lane = {}) where id = {}",
        ),
        (
            "published to meanwhile",
            "select publish({}, 1); update lockstep_internal.slack_channel set not_before = clock_timestamp() where id = {}",
        ),
        (
            "also known by another name",
            "insert into lockstep_internal.slack_channel (id, schema, team_id, channel) overriding system value values (9, 'public', 'A', 'C9');
             update lockstep_internal.slack_channel set same_as = 9, not_before = clock_timestamp() where id = {}",
        ),
        (
            "what was before it has failed",
            "update lockstep_internal.slack_channel set not_before = clock_timestamp() where id = {};
             update lockstep_internal.slack_delivery set integration_id = 99
               where id = (select min(id) from lockstep_internal.slack_delivery where lane = {})",
        ),
        (
            "restored",
            "truncate lockstep_internal.slack_team_pace;
             update lockstep_internal.slack_channel set parked = 'team', not_before = '-infinity' where id = {};
             insert into lockstep_internal.slack_home (database) values (1); select lockstep.release_restored_slack()",
        ),
        (
            "delivered by hand, and published to again",
            "update lockstep_internal.slack_delivery set status = 'delivered', done_at = now() where lane = {};
             update lockstep_internal.slack_channel set not_before = clock_timestamp() where id = {};
             select count(*) from lockstep_api.claim_deliveries(50, '1 minute', 60);
             select publish({}, 1)",
        ),
    ];
    let mut client = crowd("parked_due", 300)?;
    hold(&mut client)?;
    look(&mut client, SLOW)?;
    assert_eq!(parked(&mut client)?, "time 300");
    for ((way, act), channel) in WAYS.into_iter().zip(20_i64..) {
        let wait = "select lockstep_api.delivery_wait(60)::text";
        ensure!(text(&mut client, wait)?.parse::<f64>()? > 3_000.0, "{way}");
        client.batch_execute(&act.replace("{}", &channel.to_string()))?;
        ensure!(text(&mut client, wait)?.parse::<f64>()? == 0.0, "{way}");
        let first = number(
            &mut client,
            &format!(
                "select min(id) from lockstep_internal.slack_delivery where channel = {channel} and status = 'waiting' and integration_id <> 99"
            ),
        )?;
        let mut claimed = claim_at(&mut client, 50, SLOW)?;
        if claimed.is_empty() {
            // It has moved to its other name.
            claimed = claim_at(&mut client, 50, SLOW)?;
        }
        assert_eq!(numbers(&claimed), [first], "{way}");
        finish(&mut client, &claimed, r#""outcome": "delivered""#)?;
        client.batch_execute(
            "update lockstep_internal.slack_channel set not_before = clock_timestamp() + interval '1 hour', paced_at = clock_timestamp() where parked = 'time' or id = 9;
             update lockstep_internal.slack_team_pace set free_at = '-infinity'",
        )?;
    }
    // A claim that is undone leaves everything as it was.
    client.batch_execute("update lockstep_internal.slack_channel set not_before = '-infinity'")?;
    let waiting = "select count(*) from lockstep_internal.slack_delivery where status = 'waiting'";
    let count = number(&mut client, waiting)?;
    client.batch_execute("begin")?;
    ensure!(!claim(&mut client, 50)?.is_empty(), "nothing is due");
    client.batch_execute("rollback")?;
    let mut sent = 0;
    for _ in 0..1_000 {
        let claimed = claim(&mut client, 1_000)?;
        sent += finish(&mut client, &claimed, r#""outcome": "delivered""#)?;
        later(&mut client)?;
        if claimed.is_empty() && number(&mut client, waiting)? == 0 {
            break;
        }
    }
    assert_eq!(sent, count);
    claim(&mut client, 1)?;
    assert_eq!(parked(&mut client)?, "");
    Ok(())
}

/// The longest due comes first, whether it is parked or not, and the pace is that of the claim.
#[test]
fn parked_channels_of_a_workspace_have_its_pace() -> Result<()> {
    let mut client = crowd("parked_team", 400)?;
    assert_eq!(in_order_at(&mut client, SLOW)?, [11, 12, 13, 14, 15, 16]);
    let state = parked(&mut client)?;
    ensure!(state.starts_with("team 39"), "{state}");
    // To a channel that was never told anything, and to those that have waited longest.
    publish(&mut client, 1, 1)?;
    let free_at = |client: &mut Client, time: &str| {
        client.batch_execute(&format!(
            "update lockstep_internal.slack_team_pace set free_at = {time} where team_id = 'A'"
        ))
    };
    free_at(&mut client, "'-infinity'")?;
    assert_eq!(in_order_at(&mut client, SLOW)?, [1, 17, 18, 19, 20, 21]);
    // Another workspace is not concerned.
    free_at(&mut client, "clock_timestamp() + interval '4 minutes'")?;
    publish(&mut client, 6, 5)?;
    assert_eq!(in_order_at(&mut client, SLOW)?, [6]);
    // A clock that was ahead mutes nobody, and a higher pace counts at once.
    free_at(&mut client, "clock_timestamp() + interval '1 day'")?;
    let many = claim_at(&mut client, 100, 100_000)?;
    assert_eq!(
        in_order(&mut client, &many)?,
        (22..122).collect::<Vec<i64>>()
    );
    let marked = "select count(*) from lockstep_internal.slack_team_pace where has_parked";
    assert_eq!(number(&mut client, marked)?, 1);
    for _ in 0..100 {
        let claimed = claim(&mut client, 1_000)?;
        finish(&mut client, &claimed, r#""outcome": "delivered""#)?;
        client.batch_execute("update lockstep_internal.slack_channel set not_before = '-infinity', lease = null, leased_until = null, delivery = null")?;
    }
    assert_eq!(parked(&mut client)?, "");
    assert_eq!(number(&mut client, marked)?, 0);
    Ok(())
}

/// A channel that is found twice, by its time and by what was published to it meanwhile, takes one place.
#[test]
fn a_claim_is_full_of_parked_channels_published_to_again() -> Result<()> {
    let mut client = crowd("parked_again", 300)?;
    hold(&mut client)?;
    look(&mut client, SLOW)?;
    assert_eq!(parked(&mut client)?, "time 300");
    client.batch_execute(
        "select publish(n, 1) from generate_series(11, 110) n;
         update lockstep_internal.slack_channel set not_before = timestamptz '2020-01-01' + id * interval '1 second' where id between 11 and 110",
    )?;
    let claimed = claim(&mut client, 20)?;
    assert_eq!(
        in_order(&mut client, &claimed)?,
        (11..31).collect::<Vec<i64>>()
    );
    Ok(())
}

/// A session parks a lane while another, which has not locked it, moves a name's deliveries from there to a lane that is not parked.
#[test]
fn what_moves_while_its_lane_is_parked_is_claimed() -> Result<()> {
    let name = "parked_moved";
    let mut client = channels(name)?;
    publish(&mut client, 1, 1)?;
    let claimed = claim(&mut client, 1)?;
    add(&mut client, 11, 310)?;
    hold(&mut client)?;
    // Lane 20 was the channel C9 once, and this name of it has not learned yet that it no longer is.
    client.batch_execute(
        "insert into lockstep_internal.slack_channel (id, schema, team_id, channel, slack_id, same_as) overriding system value
           values (9000, 'public', 'A', '#old', 'C9', 20)",
    )?;
    let moved = publish(&mut client, 9_000, 1)?;
    client.execute(
        "update lockstep_internal.slack_delivery set lane = 20 where id = $1",
        &[&moved],
    )?;
    let mut other = cluster()?.connect(name)?;
    let mut witness = cluster()?.connect(name)?;
    other.batch_execute("set lock_timeout = '60s'")?;
    let pid = pid_of(&mut other)?;
    client.batch_execute("begin")?;
    finish(
        &mut client,
        &claimed,
        r#""outcome": "delivered", "channel": "C9""#,
    )?;
    thread::scope(|scope| -> Result<()> {
        let look = scope.spawn(|| claim_at(&mut other, 50, SLOW));
        settle(&look, &mut witness, pid)?;
        client.batch_execute("commit")?;
        let found = look.join().map_err(|_| anyhow!("the look panicked"))??;
        ensure!(found.is_empty(), "{found:?} are due");
        Ok(())
    })?;
    let state = "select string_agg(concat_ws(' ', c.id, c.parked), ', ' order by c.id) from lockstep_internal.slack_channel c where c.id in (1, 20)";
    assert_eq!(text(&mut client, state)?, "1, 20 time");
    client.batch_execute(
        "update lockstep_internal.slack_channel set not_before = '-infinity' where id = 1",
    )?;
    assert_eq!(numbers(&claim(&mut client, 50)?), [moved]);
    Ok(())
}

/// Channels of a workspace whose pace somebody else has locked are parked all the same, and found.
#[test]
fn channels_are_parked_while_their_workspace_is_locked() -> Result<()> {
    let name = "parked_locked";
    let mut client = crowd(name, 300)?;
    client.batch_execute(
        "insert into lockstep_internal.slack_team_pace (schema, team_id, free_at) values ('public', 'A', clock_timestamp() + interval '4 minutes');
         set lock_timeout = '10s'",
    )?;
    let mut other = cluster()?.connect(name)?;
    other
        .batch_execute("begin; select from lockstep_internal.slack_team_pace for no key update")?;
    look(&mut client, SLOW)?;
    // All but the one whose turn is in a second.
    assert_eq!(parked(&mut client)?, "time 299");
    other.batch_execute("rollback")?;
    look(&mut client, SLOW)?;
    assert_eq!(parked(&mut client)?, "team 299");
    client.batch_execute("update lockstep_internal.slack_team_pace set free_at = '-infinity'")?;
    assert_eq!(in_order_at(&mut client, SLOW)?, [11, 12, 13, 14, 15, 16]);
    Ok(())
}

fn in_order_at(client: &mut Client, per_minute: i32) -> Result<Vec<i64>> {
    let claimed = claim_at(client, 50, per_minute)?;
    in_order(client, &claimed)
}
