//! Deliveries of subscriptions: sent with the follower's token, failed when it is over, and what Slack says of the channel.

use anyhow::Result;
use postgres::Client;
use serde_json::Value;

use crate::delivery::claim::{claim, finish, later};
use crate::notification::filter::push;
use crate::subscription::{text, world};

/// Project 1 is followed by #f of F; its integration sends nothing.
fn follower(name: &str) -> Result<Client> {
    let mut client = world(name)?;
    client.batch_execute(
        "update integrations set active = false; select lockstep.subscribe_slack_channel(1, 'F', '#f')",
    )?;
    Ok(client)
}

fn publish(client: &mut Client, event: &Value) -> Result<()> {
    client.execute(
        "select lockstep.publish_event($1::text::jsonb)",
        &[&event.to_string()],
    )?;
    Ok(())
}

fn outcomes(client: &mut Client) -> Result<String> {
    text(
        client,
        "select string_agg(concat_ws(' ', status, error), ', ' order by id) from lockstep_internal.slack_delivery",
    )
}

#[test]
fn the_followers_token_is_used() -> Result<()> {
    let mut client = follower("subscription_token")?;
    client.batch_execute("update integrations set active = true")?;
    publish(&mut client, &push("refs/heads/main"))?;
    let claimed = "select string_agg(concat_ws(' ', team_id, channel, integration_id, encode(token, 'escape')), ', ' order by team_id)
                     from lockstep_api.claim_deliveries(10, '1 minute', 100)";
    assert_eq!(text(&mut client, claimed)?, "A #c 1 token, F #f tokenf");
    Ok(())
}

/// What waits for a channel is not sent once it does not follow the project any more.
#[test]
fn what_waits_ends_with_the_subscription() -> Result<()> {
    for (name, change, expected) in [
        (
            "ended",
            "select lockstep.unsubscribe_slack_channel(1, 'F', '#f')",
            "unsubscribed",
        ),
        (
            "uninstalled",
            "select lockstep.uninstall_slack_workspace('F')",
            "unsubscribed",
        ),
        (
            "again",
            "select lockstep.unsubscribe_slack_channel(1, 'F', '#f'), lockstep.subscribe_slack_channel(1, 'F', '#f')",
            "unsubscribed",
        ),
        (
            "without_token",
            "update lockstep_internal.slack_installation set encrypted_bot_access_token = null, encrypted_bot_access_token_iv = null where team_id = 'F'",
            "not_installed",
        ),
        (
            "archived",
            "update projects set archived = true where id = 1",
            "archived",
        ),
    ] {
        let mut client = follower(&format!("subscription_wait_{name}"))?;
        client.batch_execute("alter table projects add archived boolean")?;
        for _ in 0..2 {
            publish(&mut client, &push("refs/heads/main"))?;
        }
        client.batch_execute(change)?;
        assert_eq!(claim(&mut client, 10)?.len(), 0, "{name}");
        assert_eq!(
            outcomes(&mut client)?,
            format!("failed {expected}, failed {expected}"),
            "{name}"
        );
        // Only what somebody has to repair is a failure.
        let alarming = "select coalesce(lockstep.status_report() #>> '{failures,0,error}', '')";
        let is_wanted = expected == "not_installed";
        assert_eq!(
            text(&mut client, alarming)?,
            match is_wanted {
                true => expected,
                false => "",
            },
            "{name}"
        );
    }
    Ok(())
}

/// A channel has one order, whichever way leads there.
#[test]
fn a_channel_has_one_order() -> Result<()> {
    let mut client = world("subscription_order")?;
    client.batch_execute("select lockstep.subscribe_slack_channel(2, 'A', '#c')")?;
    client.batch_execute("update integrations set push_events = false where id = 2")?;
    let mut of_other = push("refs/heads/main");
    of_other["project"]["id"] = 2.into();
    for event in [
        &push("refs/heads/main"),
        &of_other,
        &push("refs/heads/main"),
    ] {
        publish(&mut client, event)?;
    }
    let mut order = Vec::new();
    for _ in 0..3 {
        let claimed = claim(&mut client, 10)?;
        order.extend(claimed.iter().map(|it| it.delivery));
        finish(
            &mut client,
            &claimed,
            r#""outcome": "delivered", "channel": "C1", "ts": "1.1""#,
        )?;
        later(&mut client)?;
    }
    assert_eq!(order, [1, 2, 3]);
    assert_eq!(outcomes(&mut client)?, "delivered, delivered, delivered");
    Ok(())
}

#[test]
fn what_slack_says_of_the_channel_is_shown_until_it_is_reached() -> Result<()> {
    let mut client = follower("subscription_trouble")?;
    let shown =
        "select concat_ws(' ', error, needed, failures) from lockstep.slack_subscriptions()";
    let send = |client: &mut Client, outcome: &str| -> Result<()> {
        publish(client, &push("refs/heads/main"))?;
        let claimed = claim(client, 10)?;
        assert_eq!(claimed.len(), 1);
        finish(client, &claimed, outcome)?;
        later(client)
    };
    let failed = r#""outcome": "failed", "error": "not_in_channel", "needed": "chat:write""#;
    for times in 1..3 {
        send(&mut client, failed)?;
        assert_eq!(
            text(&mut client, shown)?,
            format!("not_in_channel chat:write {times}")
        );
    }
    let status = "select concat_ws(' ', team_id, channel, last_error, needed) from lockstep.slack_delivery_status";
    assert_eq!(text(&mut client, status)?, "F #f not_in_channel chat:write");
    let report: Value = serde_json::from_str(&text(
        &mut client,
        "select (lockstep.status_report() -> 'troubles')::text",
    )?)?;
    assert_eq!(report[0]["error"], "not_in_channel");
    assert_eq!(report[0]["names"][0], "#f");
    assert_eq!(
        text(
            &mut client,
            "select error from lockstep_api.list_slack_subscriptions('F', null)"
        )?,
        "not_in_channel"
    );
    send(
        &mut client,
        r#""outcome": "delivered", "channel": "C1", "ts": "1.1""#,
    )?;
    assert_eq!(text(&mut client, shown)?, "0");
    assert_eq!(
        text(
            &mut client,
            "select (lockstep.status_report() -> 'troubles')::text"
        )?,
        "[]"
    );
    // All that failed is sent again on request.
    assert_eq!(
        text(&mut client, "select lockstep.retry_deliveries()::text")?,
        "2"
    );
    assert_eq!(claim(&mut client, 10)?.len(), 1);
    Ok(())
}
