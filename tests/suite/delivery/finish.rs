//! The outcome of deliveries: rows, channels and messages afterwards.

use anyhow::{Result, ensure};
use postgres::Client;

use crate::delivery::claim::{Claim, channels, claim, finish, later, numbers, publish, text};
use crate::service_account::number;
use crate::surface::refusal::refused;

const ROW: &str = "select concat_ws(' ', status, attempts, uncertain, coalesce(error, '-'), coalesce(needed, '-'), done_at is not null)
                     from lockstep_internal.slack_delivery where id = 1";

/// Each outcome: the report, the row afterwards, and when the channel is due, in seconds from the time of the call.
const OUTCOMES: [(&str, &str, f64); 16] = [
    (r#""outcome": "delivered""#, "delivered 0 0 - - t", 1.0),
    (
        r#""outcome": "delivered", "ago": 0.25"#,
        "delivered 0 0 - - t",
        0.75,
    ),
    (
        r#""outcome": "delivered", "ago": 100, "wait": 50"#,
        "delivered 0 0 - - t",
        0.0,
    ),
    (
        r#""outcome": "retry", "error": "internal_error", "wait": 20, "ago": 0.5"#,
        "waiting 1 0 internal_error - f",
        20.0,
    ),
    (
        r#""outcome": "retry", "wait": 0.1, "ago": 0.5"#,
        "waiting 1 0 - - f",
        0.5,
    ),
    (
        r#""outcome": "retry", "wait": -5, "ago": -5"#,
        "waiting 1 0 - - f",
        1.0,
    ),
    (
        r#""outcome": "retry", "wait": 1e300"#,
        "waiting 1 0 - - f",
        604_800.0,
    ),
    (
        r#""outcome": "uncertain", "error": "hang_up", "wait": 7"#,
        "waiting 0 1 hang_up - f",
        7.0,
    ),
    (
        r#""outcome": "rate_limited", "error": "ratelimited", "wait": 30, "ago": 0.1"#,
        "waiting 0 0 - - f",
        30.0,
    ),
    (
        r#""outcome": "rate_limited", "wait": 0"#,
        "waiting 0 0 - - f",
        1.0,
    ),
    (
        r#""outcome": "failed", "error": "missing_scope", "needed": "chat:write.public", "ago": 0.5"#,
        "failed 0 0 missing_scope chat:write.public t",
        0.5,
    ),
    (
        r#""outcome": "failed", "error": "no_token""#,
        "failed 0 0 no_token - t",
        0.0,
    ),
    (r#""outcome": "failed""#, "failed 0 0 - - t", 0.0),
    (
        r#""outcome": "lost_message", "ago": 0.4"#,
        "waiting 0 0 - - f",
        0.6,
    ),
    (
        r#""outcome": "release", "ago": 0.4, "wait": 10"#,
        "waiting 0 0 - - f",
        0.0,
    ),
    (
        r#""outcome": "release", "error": "x""#,
        "waiting 0 0 - - f",
        0.0,
    ),
];

#[test]
fn each_outcome_has_its_consequences() -> Result<()> {
    let mut client = channels("delivery_outcome")?;
    publish(&mut client, 1, 1)?;
    client.batch_execute("create table before (at timestamptz)")?;
    for (said, row, due) in OUTCOMES {
        client.batch_execute(
            "update lockstep_internal.slack_delivery set status = 'waiting', attempts = 0, uncertain = 0, error = null, needed = null, done_at = null;
             update lockstep_internal.slack_channel set not_before = '-infinity'",
        )?;
        let claimed = claim(&mut client, 1)?;
        assert_eq!(numbers(&claimed), [1], "{said}");
        // As if the claim had been long ago, so that only the effect of the outcome is visible.
        client.batch_execute("update lockstep_internal.slack_channel set not_before = '-infinity'; delete from before; insert into before values (clock_timestamp())")?;
        assert_eq!(finish(&mut client, &claimed, said)?, 1, "{said}");
        assert_eq!(text(&mut client, ROW)?, row, "{said}");
        let channel = client.query_one(
            "select num_nonnulls(lease, leased_until, delivery, subject), extract(epoch from c.not_before - b.at)::float8,
                    extract(epoch from c.not_before - clock_timestamp())::float8
               from lockstep_internal.slack_channel c, before b where c.id = 1",
            &[],
        )?;
        assert_eq!(channel.get::<_, i32>(0), 0, "{said}");
        let (least, most): (f64, f64) = (channel.get(1), channel.get(2));
        ensure!(
            most <= due + 1e-3 && due <= least + 1e-3,
            "{said}: due in {most} to {least}, not {due}"
        );
        // Reporting the same again has no effect.
        assert_eq!(finish(&mut client, &claimed, said)?, 0, "{said}");
        assert_eq!(text(&mut client, ROW)?, row, "{said}");
    }
    Ok(())
}

/// Several at once, some of which the caller does not hold.
#[test]
fn results_are_taken_from_the_holder_alone() -> Result<()> {
    let mut client = channels("delivery_holder")?;
    for channel in [1, 2, 3, 4] {
        publish(&mut client, channel, 1)?;
    }
    let claimed = claim(&mut client, 3)?;
    let [one, two, three] = claimed[..] else {
        anyhow::bail!("{claimed:?}")
    };
    let results = [
        one,
        one,
        Claim {
            lease: two.lease ^ 1,
            ..two
        },
        Claim { delivery: 4, ..one },
        Claim {
            delivery: 999,
            ..one
        },
        three,
    ];
    assert_eq!(
        finish(&mut client, &results, r#""outcome": "delivered""#)?,
        2
    );
    let statuses =
        "select string_agg(status, ' ' order by id) from lockstep_internal.slack_delivery";
    assert_eq!(
        text(&mut client, statuses)?,
        "delivered waiting delivered waiting"
    );
    assert_eq!(finish(&mut client, &[], "")?, 0);
    // In a schema where it is a holder.
    let elsewhere = format!(
        r#"select lockstep_api.finish_deliveries('[{{"delivery": 2, "lease": {}, "outcome": "delivered"}}]', 'other')::bigint"#,
        two.lease
    );
    assert_eq!(number(&mut client, &elsewhere)?, 0);
    assert_eq!(finish(&mut client, &[two], r#""outcome": "delivered""#)?, 1);
    Ok(())
}

#[test]
fn malformed_results_change_nothing() -> Result<()> {
    let mut client = channels("delivery_malformed")?;
    publish(&mut client, 1, 1)?;
    let claimed = claim(&mut client, 1)?;
    let good = format!(
        r#"{{"delivery": 1, "lease": {}, "outcome": "delivered"}}"#,
        claimed[0].lease
    );
    for (results, message) in [
        (
            "{}".to_owned(),
            "results must be an array, but is of type object",
        ),
        ("null".to_owned(), "of type null"),
        (format!("[{good}, 1]"), "result 2 is malformed"),
        (format!("[{good}, {{}}]"), "result 2 is malformed"),
        (
            r#"[{"delivery": "1", "lease": 1, "outcome": "delivered"}]"#.to_owned(),
            "result 1",
        ),
        (
            r#"[{"delivery": 1, "lease": 1.5, "outcome": "delivered"}]"#.to_owned(),
            "result 1",
        ),
        (
            r#"[{"delivery": 1, "lease": 1, "outcome": "sent"}]"#.to_owned(),
            "unknown variant",
        ),
        (
            r#"[{"delivery": 1, "lease": 1, "outcome": "delivered", "x": 1}]"#.to_owned(),
            "unknown field",
        ),
        (
            r#"[{"delivery": 1, "lease": 1, "outcome": "retry", "wait": "1"}]"#.to_owned(),
            "result 1",
        ),
    ] {
        refused(
            &mut client,
            &format!("select lockstep_api.finish_deliveries('{results}')"),
            "22023",
            message,
        )?;
    }
    refused(
        &mut client,
        "select lockstep_api.finish_deliveries(null)",
        "22004",
        "results must not be null",
    )?;
    assert_eq!(text(&mut client, ROW)?, "waiting 0 0 - - f");
    assert_eq!(
        finish(&mut client, &claimed, r#""outcome": "delivered""#)?,
        1
    );
    Ok(())
}

#[test]
fn the_message_of_a_subject_is_kept_until_it_is_lost() -> Result<()> {
    let mut client = channels("delivery_message")?;
    client.batch_execute(
        r#"insert into lockstep_internal.slack_notification (schema, integration_id, updates) values ('public', 1, 'thread');
           select publish(c, 1, '{"object_kind": "pipeline", "project": {"id": 8}, "object_attributes": {"id": 31}}') from generate_series(1, 2) c, generate_series(1, 4)"#,
    )?;
    let messages = "select string_agg(concat_ws(' ', channel, subject, ts, slack_channel), ', ' order by channel) from lockstep_internal.slack_message";
    let mut step = |said: &str| -> Result<String> {
        let claimed = claim(&mut client, 10)?;
        assert_eq!(claimed.len(), 2, "{said}");
        assert_eq!(finish(&mut client, &claimed[..1], said)?, 1);
        finish(&mut client, &claimed[1..], r#""outcome": "release""#)?;
        later(&mut client)?;
        client.batch_execute("update lockstep_internal.slack_channel set not_before = clock_timestamp() - interval '1 second' where id = 2")?;
        text(&mut client, messages)
    };
    assert_eq!(
        step(r#""outcome": "failed", "error": "x", "ts": "1.0", "channel": "C1""#)?,
        ""
    );
    assert_eq!(step(r#""outcome": "delivered""#)?, "");
    let kept = "1 pipeline:8:31 1.1 C1";
    assert_eq!(
        step(r#""outcome": "delivered", "ts": "1.1", "channel": "C1""#)?,
        kept
    );
    client.batch_execute("update lockstep_internal.slack_message set at = at - interval '1 hour'; create table former as select at from lockstep_internal.slack_message; select publish(1, 1, payload) from lockstep_internal.event where id = 1")?;
    let step = |client: &mut Client, said: &str| -> Result<String> {
        let claimed = claim(client, 1)?;
        assert_eq!(finish(client, &claimed, said)?, 1);
        later(client)?;
        text(client, messages)
    };
    // A thread depends on its first message, and lives as long as anything is posted in it.
    assert_eq!(
        step(
            &mut client,
            r#""outcome": "retry", "ts": "1.2", "channel": "C1""#
        )?,
        kept
    );
    assert_eq!(
        step(
            &mut client,
            r#""outcome": "delivered", "ts": "1.2", "channel": "C1""#
        )?,
        kept
    );
    let renewed =
        "select count(*) from lockstep_internal.slack_message m, former f where m.at > f.at";
    assert_eq!(number(&mut client, renewed)?, 1);
    assert_eq!(step(&mut client, r#""outcome": "lost_message""#)?, "");
    assert_eq!(
        step(
            &mut client,
            r#""outcome": "delivered", "ts": "1.3", "channel": "C1""#
        )?,
        "1 pipeline:8:31 1.3 C1"
    );
    Ok(())
}
