//! Channels that cannot be notified, and the effect on others.

use anyhow::{Context, Result, ensure};
use lockstep_tests::gitlab::push;
use lockstep_tests::slack::{Fault, Message};
use serde_json::json;

use crate::notification::app::Scene;

pub(super) const POST: &str = "chat.postMessage";

/// The outcome of a delivery.
#[derive(Debug)]
pub(super) struct Fate {
    status: String,
    error: Option<String>,
    attempts: i32,
    uncertain: i32,
}

impl Fate {
    fn is_failed(&self, error: &str) -> bool {
        self.status == "failed" && self.error.as_deref() == Some(error)
    }
}

impl Scene {
    /// The outcomes of the deliveries to a channel by name, oldest first.
    pub(super) fn deliveries(&mut self, channel: &str) -> Result<Vec<Fate>> {
        let channel = format!("#{}", channel.trim_start_matches('#'));
        let query = "select d.status, d.error, d.attempts, d.uncertain
                       from lockstep_internal.slack_delivery d join lockstep_internal.slack_channel c on c.id = d.channel
                      where c.channel = $1 order by d.id";
        let rows = self.stage.client.query(query, &[&channel])?;
        Ok(rows
            .iter()
            .map(|row| Fate {
                status: row.get(0),
                error: row.get(1),
                attempts: row.get(2),
                uncertain: row.get(3),
            })
            .collect())
    }

    /// How many calls to Slack named a channel.
    pub(super) fn calls_for(&self, channel: &str) -> usize {
        let channel = format!("#{}", channel.trim_start_matches('#'));
        let calls = self.stage.slack.calls_of(POST);
        let of_channel = calls
            .iter()
            .filter(|call| call.arguments["channel"] == json!(channel));
        of_channel.count()
    }
}

#[test]
fn channel_that_is_closed_spares_the_others() -> Result<()> {
    let mut scene = Scene::new("notification_closed")?;
    let team = scene.team.clone();
    let general = scene.channel("general");
    let old = scene.channel("old");
    scene.stage.slack.archive(&old)?;
    let secret = scene.stage.slack.create_private_channel(&team, "secret").id;
    let settings = json!({ "channels": ["#old", "#secret", "#nowhere", "#general"] });
    scene.set("project_id", 1, &settings)?;
    scene.tell(&push(1, "Boil the water"), 4)?;
    assert_eq!(scene.settled(&general)?.len(), 1);
    for (channel, error) in [
        ("#old", "is_archived"),
        ("#secret", "channel_not_found"),
        ("#nowhere", "channel_not_found"),
    ] {
        let deliveries = scene.deliveries(channel)?;
        ensure!(
            deliveries.len() == 1 && deliveries[0].is_failed(error),
            "{channel}: {deliveries:?}"
        );
        // Permanent errors are not retried.
        assert_eq!(scene.calls_for(channel), 1, "{channel}");
    }
    assert_eq!(scene.count("lockstep_internal.slack_channel_trouble")?, 3);
    let status = scene.status()?;
    for words in [
        "#old",
        "is_archived",
        "#secret",
        "#nowhere",
        "channel_not_found",
    ] {
        ensure!(
            status.contains(words),
            "{words} is not in: {status}\n{}",
            scene.stage.sidecar.log()
        );
    }
    ensure!(!status.contains("#general"), "{status}");

    // Somebody invites the app: what failed there is sent now, and nothing is repeated elsewhere.
    let installation = scene
        .stage
        .slack
        .installation(&team)
        .context("not installed")?;
    scene.stage.slack.join(&secret, &installation.bot_user_id)?;
    scene
        .stage
        .client
        .batch_execute("select lockstep.retry_deliveries()")?;
    assert_eq!(scene.settled(&secret)?.len(), 1);
    assert_eq!(scene.stage.slack.messages(&general).len(), 1);
    assert_eq!(scene.calls_for("#general"), 1);
    let status = scene.status()?;
    ensure!(
        !status.contains("#secret") && status.contains("#old"),
        "{status}"
    );
    Ok(())
}

/// A channel that fails for a while stays in trouble until the next successful message.
#[test]
fn trouble_ends_with_the_next_message() -> Result<()> {
    let mut scene = Scene::new("notification_trouble")?;
    let general = scene.channel("general");
    scene.set("project_id", 1, &json!({ "channels": ["#general"] }))?;
    scene
        .stage
        .slack
        .fail(POST, Fault::Error("restricted_action"), Some(2));
    for number in 1..=2 {
        scene.tell(&push(1, "Boil the water"), 1)?;
        scene.settle()?;
        let failures: i64 = scene
            .stage
            .client
            .query_one(
                "select failures from lockstep_internal.slack_channel_trouble",
                &[],
            )?
            .get(0);
        assert_eq!(failures, number);
    }
    ensure!(
        scene.status()?.contains("restricted_action"),
        "{}",
        scene.status()?
    );
    scene.tell(&push(1, "Pour it"), 1)?;
    let messages = scene.settled(&general)?;
    ensure!(
        messages.len() == 1 && messages[0].sent.to_string().contains("Pour it"),
        "{messages:?}"
    );
    assert_eq!(scene.count("lockstep_internal.slack_channel_trouble")?, 0);
    ensure!(
        !scene.status()?.contains("restricted_action"),
        "{}",
        scene.status()?
    );
    Ok(())
}

#[test]
fn errors_of_slack_are_told_apart() -> Result<()> {
    let mut scene = Scene::new("notification_errors")?;
    // Permanent errors: of the channel, the installation or the message.
    let permanent = [
        "channel_not_found",
        "not_in_channel",
        "is_archived",
        "restricted_action",
        "restricted_action_read_only_channel",
        "messages_tab_disabled",
        "ekm_access_denied",
        "missing_scope",
        "no_permission",
        "msg_too_long",
        "no_text",
        // An unknown error.
        "teapot_is_empty",
    ];
    let transient = [
        "ratelimited",
        "rate_limited",
        "internal_error",
        "fatal_error",
        "service_unavailable",
        "request_timeout",
        "team_added_to_org",
        "org_login_required",
    ];
    // Errors of the blocks: the text alone is enough.
    let too_much = [
        "invalid_blocks",
        "invalid_blocks_format",
        "invalid_attachments",
        "msg_blocks_too_long",
        "too_many_attachments",
        "attachment_payload_limit_exceeded",
    ];
    let all = permanent.iter().chain(&transient).chain(&too_much);
    let all: Vec<&str> = all.copied().collect();
    for (place, error) in (100..).zip(&all) {
        scene.channel(error);
        scene.stage.client.batch_execute(&format!(
            "insert into projects (id, name, path, namespace_id) values ({place}, '{place}', 'p{place}', 1)"
        ))?;
        scene.connect("project_id", place)?;
        scene.set("project_id", place, &json!({ "channels": [error] }))?;
        scene
            .stage
            .slack
            .fail_in(POST, &format!("#{error}"), Fault::Error(error), Some(1));
        scene.tell(&push(place, "Boil the water"), 1)?;
    }
    scene.settle()?;
    for error in permanent {
        let deliveries = scene.deliveries(error)?;
        ensure!(
            deliveries.len() == 1 && deliveries[0].is_failed(error),
            "{error}: {deliveries:?}"
        );
        assert_eq!(scene.calls_for(error), 1, "{error}");
    }
    for error in transient {
        let deliveries = scene.deliveries(error)?;
        ensure!(
            deliveries.len() == 1 && deliveries[0].status == "delivered",
            "{error}: {deliveries:?}"
        );
        assert_eq!(scene.calls_for(error), 2, "{error}");
    }
    for error in too_much {
        let deliveries = scene.deliveries(error)?;
        ensure!(
            deliveries.len() == 1 && deliveries[0].status == "delivered",
            "{error}: {deliveries:?}"
        );
        let messages = scene.messages_in(error)?;
        ensure!(
            messages.len() == 1
                && messages[0].sent["blocks"] == json!([])
                && messages[0].sent["attachments"] == json!([])
                && !messages[0].text.is_empty(),
            "{error}: {messages:?}"
        );
    }
    assert_eq!(
        scene.count("lockstep_internal.slack_channel_trouble")?,
        i64::try_from(permanent.len())?
    );
    Ok(())
}

#[test]
fn token_that_is_revoked_is_told() -> Result<()> {
    let mut scene = Scene::new("notification_revoked")?;
    let general = scene.channel("general");
    scene.set("project_id", 1, &json!({ "channels": ["#general"] }))?;
    let team = scene.team.clone();
    // Its event has not arrived yet.
    scene.stage.slack.revoke_tokens(&team)?;
    scene.tell(&push(1, "Boil the water"), 1)?;
    assert_eq!(scene.settled(&general)?, []);
    let deliveries = scene.deliveries("#general")?;
    ensure!(deliveries[0].is_failed("token_revoked"), "{deliveries:?}");
    let status = scene.status()?;
    ensure!(status.contains("token_revoked"), "{status}");
    Ok(())
}

#[test]
fn faults_are_overcome_and_counted() -> Result<()> {
    let mut scene = Scene::new("notification_faults")?;
    let faults = [
        // Whether something was done before the error is unknown.
        ("status", Fault::Status(500), (0, 1), 1),
        ("bad-gateway", Fault::Status(502), (0, 1), 1),
        ("unavailable", Fault::Status(503), (1, 0), 1),
        ("before", Fault::ClosedBefore, (0, 1), 1),
        // Accepted without a response: it must be sent again.
        ("after", Fault::ClosedAfter, (0, 1), 2),
        ("garbage", Fault::Garbage, (0, 1), 2),
        ("limited", Fault::RateLimited(1), (0, 0), 1),
    ];
    for (place, (name, fault, ..)) in (100..).zip(&faults) {
        scene.channel(name);
        scene.stage.client.batch_execute(&format!(
            "insert into projects (id, name, path, namespace_id) values ({place}, '{place}', 'p{place}', 1)"
        ))?;
        scene.connect("project_id", place)?;
        scene.set("project_id", place, &json!({ "channels": [name] }))?;
        scene
            .stage
            .slack
            .fail_in(POST, &format!("#{name}"), fault.clone(), Some(1));
        scene.tell(&push(place, "Boil the water"), 1)?;
    }
    scene.settle()?;
    for (name, fault, (attempts, uncertain), messages) in faults {
        let deliveries = scene.deliveries(name)?;
        let fate = deliveries.first().context(name)?;
        assert_eq!(
            (
                deliveries.len(),
                &*fate.status,
                fate.attempts,
                fate.uncertain
            ),
            (1, "delivered", attempts, uncertain),
            "{fault:?}"
        );
        let posted: Vec<_> = scene
            .stage
            .slack
            .calls_of(POST)
            .into_iter()
            .filter(|call| call.arguments["channel"] == json!(format!("#{name}")))
            .collect();
        assert_eq!(posted.len(), 2, "{fault:?}");
        let taken = scene.messages_in(name)?.len();
        assert_eq!(taken, messages, "{fault:?}");
    }
    assert_eq!(scene.stage.slack.faults_given().values().sum::<usize>(), 7);
    Ok(())
}

impl Scene {
    /// The messages in the channel with that name.
    fn messages_in(&self, name: &str) -> Result<Vec<Message>> {
        let channels = self.stage.slack.channels();
        let channel = channels.iter().find(|channel| channel.name == name);
        let id = &channel.context(name.to_owned())?.id;
        Ok(self.stage.slack.messages(id))
    }
}

#[test]
fn test_of_an_integration_names_what_fails() -> Result<()> {
    let mut scene = Scene::new("notification_test")?;
    let general = scene.channel("general");
    let old = scene.channel("old");
    scene.stage.slack.archive(&old)?;
    let settings = json!({
        "channels": ["#general"],
        "event_channels": { "push": ["#general", "#old"], "issue": ["#nowhere"] },
    });
    scene.set("project_id", 1, &settings)?;
    let query = "select t.delivery, t.channel from integrations i, lockstep.test_slack_integration(i.id) t where i.project_id = 1";
    let rows = scene.stage.client.query(query, &[])?;
    let mut channels: Vec<String> = rows.iter().map(|row| row.get(1)).collect();
    channels.sort();
    assert_eq!(channels, ["#general", "#nowhere", "#old"]);
    assert_eq!(scene.settled(&general)?.len(), 1);
    let deliveries: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
    let query = "select r.delivery, r.status, r.error from lockstep.delivery_results($1) r";
    for result in scene.stage.client.query(query, &[&deliveries])? {
        let place = deliveries
            .iter()
            .position(|delivery| *delivery == result.get::<_, i64>(0))
            .context("of another")?;
        let channel: String = rows[place].get(1);
        let expected = match &*channel {
            "#general" => ("delivered", None),
            "#old" => ("failed", Some("is_archived")),
            _ => ("failed", Some("channel_not_found")),
        };
        let status: String = result.get(1);
        let error: Option<String> = result.get(2);
        assert_eq!((&*status, error.as_deref()), expected, "{channel}");
    }
    Ok(())
}
