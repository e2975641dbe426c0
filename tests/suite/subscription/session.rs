//! Sessions that change the same subscription at once.

use std::thread;

use anyhow::{Context, Result, ensure};

use crate::concurrency::{pid_of, wait_until_blocked};
use crate::database::cluster;
use crate::notification::filter::push;
use crate::subscription::{followed, recorded, subscribe, text, world};

/// The second one waits for the first, and finds what it has done, or takes its place.
#[test]
fn two_subscribe_the_same_channel_at_once() -> Result<()> {
    for (end, second, row, record) in [
        (
            "commit",
            "group-1/p1 #f unchanged",
            "1 F #f U3",
            "subscribed 1 F #f U3",
        ),
        (
            "rollback",
            "group-1/p1 #f subscribed",
            "1 F #f U5",
            "subscribed 1 F #f U5",
        ),
    ] {
        let name = format!("subscription_{end}");
        let mut client = world(&name)?;
        client.batch_execute("insert into members (access_level, source_id, source_type, user_id) values (40, 1, 'Project', 5)")?;
        let mut other = cluster()?.connect(&name)?;
        let pid = pid_of(&mut other)?;
        let mut first = cluster()?.connect(&name)?;
        first.batch_execute("begin")?;
        subscribe(&mut first, "U3", "group-1/p1", "#f")?;
        let answer = thread::scope(|scope| -> Result<String> {
            let waiting = scope.spawn(|| subscribe(&mut other, "U5", "group-1/p1", "#f"));
            wait_until_blocked(&mut client, pid)?;
            first.batch_execute(end)?;
            waiting
                .join()
                .map_err(|_| anyhow::anyhow!("the session panicked"))?
        })?;
        assert_eq!(answer, second);
        assert_eq!(followed(&mut client)?, row);
        assert_eq!(recorded(&mut client)?, record);
    }
    Ok(())
}

/// One ends it while the other does: one has done it.
#[test]
fn two_end_the_same_subscription_at_once() -> Result<()> {
    let name = "subscription_ends";
    let mut client = world(name)?;
    subscribe(&mut client, "U3", "group-1/p1", "#f")?;
    let end = "select lockstep.unsubscribe_slack_channel(1, 'F', '#f')::text";
    let mut other = cluster()?.connect(name)?;
    let pid = pid_of(&mut other)?;
    let mut first = cluster()?.connect(name)?;
    first.batch_execute("begin")?;
    assert_eq!(text(&mut first, end)?, "true");
    let answer = thread::scope(|scope| -> Result<String> {
        let waiting = scope.spawn(|| text(&mut other, end));
        wait_until_blocked(&mut client, pid)?;
        first.batch_execute("commit")?;
        waiting
            .join()
            .map_err(|_| anyhow::anyhow!("the session panicked"))?
    })?;
    assert_eq!(answer, "false");
    assert_eq!(
        recorded(&mut client)?,
        "subscribed 1 F #f U3, unsubscribed 1 F #f"
    );
    Ok(())
}

/// Two who report results lock subscriptions in the order of their ids, whichever of them is reached and which is not: neither waits
/// for the other while the other waits for it.
#[test]
fn results_lock_subscriptions_in_one_order() -> Result<()> {
    let name = "subscription_finish";
    let mut client = world(name)?;
    client.batch_execute(
        "update integrations set active = false;
         select lockstep.subscribe_slack_channel(1, 'F', '#one'), lockstep.subscribe_slack_channel(1, 'F', '#two');
         update lockstep_internal.slack_subscription set error = 'is_archived', failures = 1, failing_since = now(), failed_at = now() where id = 2",
    )?;
    let event = push("refs/heads/main").to_string();
    client.execute("select lockstep.publish_event($1::text::jsonb)", &[&event])?;
    // The second one ends its trouble, which is written first; the first one has one from now on.
    let results = "select jsonb_agg(jsonb_build_object('delivery', c.delivery, 'lease', c.lease) || case c.channel
                            when '#one' then '{\"outcome\": \"failed\", \"error\": \"not_in_channel\"}'
                            else '{\"outcome\": \"delivered\", \"channel\": \"C2\", \"ts\": \"1.1\"}' end::jsonb order by c.channel desc)::text
                     from lockstep_api.claim_deliveries(10, '1 minute', 1000) c";
    let results = text(&mut client, results)?;
    let mut reporter = cluster()?.connect(name)?;
    let pid = pid_of(&mut reporter)?;
    let mut holder = cluster()?.connect(name)?;
    let lock = "select from lockstep_internal.slack_subscription where id = ";
    holder.batch_execute(&format!("begin; {lock} 1 for update"))?;
    let finish = "select lockstep_api.finish_deliveries($1::text::jsonb)";
    thread::scope(|scope| -> Result<()> {
        let waiting = scope.spawn(|| reporter.query_one(finish, &[&results]));
        wait_until_blocked(&mut client, pid)?;
        let free = holder.batch_execute(&format!("{lock} 2 for update nowait"));
        holder.batch_execute("rollback")?;
        let row = waiting
            .join()
            .map_err(|_| anyhow::anyhow!("the session panicked"))?;
        assert_eq!(row?.get::<_, i32>(0), 2);
        free.context("the second one is locked before the first")
    })?;
    let troubles = "select string_agg(concat_ws(' ', channel, error), ', ' order by channel) from lockstep.slack_subscriptions()";
    assert_eq!(text(&mut client, troubles)?, "#one not_in_channel, #two");
    Ok(())
}

/// Who subscribes while the app is uninstalled finds no token, and leaves nothing behind.
#[test]
fn nothing_is_subscribed_while_the_app_is_uninstalled() -> Result<()> {
    for (name, call) in [
        (
            "user",
            "select outcome from lockstep_api.subscribe_slack_project('F', null, 'U3', 'group-1/p1', '#f')",
        ),
        (
            "admin",
            "select lockstep.subscribe_slack_channel(1, 'F', '#f')::text",
        ),
    ] {
        let name = format!("subscription_uninstalling_{name}");
        let mut client = world(&name)?;
        let mut other = cluster()?.connect(&name)?;
        let pid = pid_of(&mut other)?;
        let mut first = cluster()?.connect(&name)?;
        first.batch_execute("begin; select lockstep.uninstall_slack_workspace('F')")?;
        let answer = thread::scope(|scope| -> Result<String> {
            let waiting = scope.spawn(|| match text(&mut other, call) {
                Ok(outcome) => outcome,
                Err(error) => format!("{error:?}"),
            });
            wait_until_blocked(&mut client, pid)?;
            first.batch_execute("commit")?;
            waiting
                .join()
                .map_err(|_| anyhow::anyhow!("the session panicked"))
        })?;
        ensure!(
            answer.contains("not_installed") || answer.contains("not installed"),
            "{answer}"
        );
        assert_eq!(followed(&mut client)?, "");
    }
    Ok(())
}

/// Ten channels, and not one more because two sessions count at once.
#[test]
fn two_do_not_subscribe_more_channels_than_one() -> Result<()> {
    let name = "subscription_eleventh";
    let mut client = world(name)?;
    for number in 0..9 {
        subscribe(&mut client, "U3", "group-1/p1", &format!("#f{number}"))?;
    }
    let mut other = cluster()?.connect(name)?;
    let pid = pid_of(&mut other)?;
    let mut first = cluster()?.connect(name)?;
    first.batch_execute("begin")?;
    subscribe(&mut first, "U3", "group-1/p1", "#tenth")?;
    let answer = thread::scope(|scope| -> Result<String> {
        let waiting = scope.spawn(|| subscribe(&mut other, "U3", "group-1/p1", "#eleventh"));
        wait_until_blocked(&mut client, pid)?;
        first.batch_execute("commit")?;
        waiting
            .join()
            .map_err(|_| anyhow::anyhow!("the session panicked"))?
    })?;
    assert_eq!(answer, "too_many");
    Ok(())
}
