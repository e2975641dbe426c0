//! Notifications end to end: a project's events in GitLab reach the Slack channels that want them.

use std::fs;

use anyhow::{Context, Result, ensure};
use lockstep_tests::gitlab::{Webhook, push, samples};
use lockstep_tests::http::Reply;
use lockstep_tests::root;
use lockstep_tests::slack::caller::Origin;
use lockstep_tests::slack::{App, Decision, Message, wrong_in_message};
use serde_json::{Value, json};

use crate::concurrency::PATIENCE;
use crate::slack::sdk::found;
use crate::slack_app::Stage;

/// The secret token of these tests' webhooks.
pub(crate) const TOKEN: &str = "secret-token-of-the-webhook";

const COLUMNS: [&str; 15] = [
    "push_events",
    "tag_push_events",
    "issues_events",
    "confidential_issues_events",
    "incident_events",
    "merge_requests_events",
    "note_events",
    "confidential_note_events",
    "pipeline_events",
    "wiki_page_events",
    "deployment_events",
    "alert_events",
    "vulnerability_events",
    "group_mention_events",
    "group_confidential_mention_events",
];

/// A sidecar that receives webhooks, and a workspace with the app to which project 1 is connected, with every event switched on.
pub(crate) struct Scene {
    pub(crate) stage: Stage,
    pub(crate) webhook: Webhook,
    pub(crate) team: String,
    pub(crate) ada: String,
}

impl Scene {
    pub(crate) fn new(name: &str) -> Result<Self> {
        Self::with(name, &[])
    }

    pub(crate) fn with(name: &str, arguments: &[&str]) -> Result<Self> {
        let token = format!("--gitlab-token={TOKEN}");
        let arguments: Vec<&str> = [&*token]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        let mut stage = Stage::set_with(name, App::default(), &arguments)?;
        let team = stage.slack.create_workspace("Acme").id;
        let ada = stage.slack.create_user(&team, "ada").id;
        stage.slack.decide(Decision::Approve {
            tenant: team.clone(),
            user: ada.clone(),
        });
        stage.connect(1)?;
        let webhook = Webhook::new(&stage.sidecar.base, PATIENCE).with_token(TOKEN);
        let mut scene = Self {
            stage,
            webhook,
            team,
            ada,
        };
        scene.switch_all_on()?;
        Ok(scene)
    }

    pub(crate) fn switch_all_on(&mut self) -> Result<()> {
        let columns: Vec<String> = COLUMNS
            .iter()
            .map(|column| format!("{column} = true"))
            .collect();
        let update = format!("update integrations set {}", columns.join(", "));
        Ok(self.stage.client.batch_execute(&update)?)
    }

    /// Connects another project, or a group, to the workspace, using its installation.
    pub(crate) fn connect(&mut self, owner: &str, id: i64) -> Result<()> {
        let connect = format!(
            "select lockstep.install_slack_workspace(s.team_id, s.team_name, s.user_id, s.bot_user_id, s.encrypted_bot_access_token,
                      s.encrypted_bot_access_token_iv, '{{chat:write, chat:write.public, commands}}', {owner} => {id})
               from slack_integrations s where s.team_id = '{}' order by s.id limit 1",
            self.team
        );
        self.stage.client.batch_execute(&connect)?;
        self.switch_all_on()
    }

    /// Sets the channels and filters of an owner's integration.
    pub(crate) fn set(&mut self, owner: &str, id: i64, settings: &Value) -> Result<()> {
        let query = format!(
            "select lockstep.set_slack_notifications(i.id, $1::text::jsonb) from integrations i where i.{owner} = {id}"
        );
        let rows = self.stage.client.query(&query, &[&settings.to_string()])?;
        ensure!(
            rows.len() == 1,
            "{owner} {id} has {} integrations",
            rows.len()
        );
        Ok(())
    }

    /// A public channel, by its id.
    pub(crate) fn channel(&self, name: &str) -> String {
        self.stage.slack.create_channel(&self.team, name).id
    }

    /// Sends an event that creates this many deliveries.
    pub(crate) fn tell(&self, event: &Value, deliveries: u64) -> Result<()> {
        assert_taken(&self.webhook.send(event)?, deliveries)
            .with_context(|| self.stage.sidecar.log())
    }

    /// Waits until everything has been sent.
    pub(crate) fn settle(&mut self) -> Result<()> {
        self.stage.wait_for(
            "select not exists (select from lockstep_internal.slack_delivery where status = 'waiting')",
        )
    }

    /// The messages of a channel after everything has been sent.
    pub(crate) fn settled(&mut self, channel: &str) -> Result<Vec<Message>> {
        self.settle()?;
        Ok(self.stage.slack.messages(channel))
    }

    /// The answer to `/gitlab group/one status`.
    pub(crate) fn status(&self) -> Result<String> {
        let origin = Origin {
            team_id: Some(self.team.clone()),
            user_id: self.ada.clone(),
            ..Origin::default()
        };
        let said = self.stage.say(&origin, "group/one status");
        said.with_context(|| self.stage.sidecar.log())
    }

    pub(crate) fn count(&mut self, from: &str) -> Result<i64> {
        let query = format!("select count(*) from {from}");
        Ok(self.stage.client.query_one(&query, &[])?.get(0))
    }
}

/// Checks that a webhook was accepted and creates this many deliveries.
pub(crate) fn assert_taken(reply: &Reply, deliveries: u64) -> Result<()> {
    ensure!(reply.status == 200, "{}: {}", reply.status, reply.text());
    let answer = reply.json()?;
    ensure!(answer == json!({ "deliveries": deliveries }), "{answer}");
    Ok(())
}

/// All blocks of a message, including those of its attachments.
fn blocks(message: &Message) -> Vec<Value> {
    let sent = &message.sent;
    let attachments = sent["attachments"].as_array();
    let lists = attachments
        .into_iter()
        .flatten()
        .map(|attachment| &attachment["blocks"]);
    [&sent["blocks"]]
        .into_iter()
        .chain(lists)
        .filter(|list| list.is_array())
        .cloned()
        .collect()
}

/// Checks that Slack's own library and the fake accept these messages, and that each has a text for clients without blocks.
fn assert_well_made(messages: &[Message]) -> Result<()> {
    let mut inputs = Vec::new();
    for message in messages {
        let mut fallbacks = message.sent["attachments"].as_array().into_iter().flatten();
        let is_said = |text: &Value| text.as_str().is_some_and(|text| !text.is_empty());
        ensure!(
            !message.text.is_empty()
                || fallbacks.any(|attachment| is_said(&attachment["fallback"])),
            "no words without blocks: {}",
            message.sent
        );
        assert_eq!(message.sent["unfurl_links"], json!(false));
        assert_eq!(message.sent["unfurl_media"], json!(false));
        assert!(message.mentions().is_empty(), "{}", message.sent);
        for list in blocks(message) {
            assert_eq!(wrong_in_message(&list), [""; 0], "{list}");
            inputs.push(json!({ "kind": "blocks", "value": list }));
        }
    }
    ensure!(inputs.len() >= messages.len(), "a message without blocks");
    for (input, wrong) in inputs.iter().zip(found(&inputs)?) {
        ensure!(wrong.is_empty(), "{wrong:?}: {input}");
    }
    Ok(())
}

#[test]
fn every_event_comes_to_its_channel() -> Result<()> {
    let mut scene = Scene::new("notification_events")?;
    scene.connect("group_id", 1)?;
    let samples = samples(1);
    let mut event_channels = json!({});
    let mut channels = Vec::new();
    for sample in &samples {
        event_channels[sample.event] = json!([format!("#about-{}", sample.event)]);
        channels.push(scene.channel(&format!("about-{}", sample.event)));
    }
    let settings = json!({ "event_channels": event_channels });
    scene.set("project_id", 1, &settings)?;
    scene.set("group_id", 1, &settings)?;
    for sample in &samples {
        scene.tell(&sample.payload, 1).context(sample.event)?;
    }
    scene.settle()?;
    let mut all = Vec::new();
    for (sample, channel) in samples.iter().zip(&channels) {
        let messages = scene.stage.slack.messages(channel);
        ensure!(
            messages.len() == 1,
            "{}: {messages:?}\n{}",
            sample.event,
            scene.stage.sidecar.log()
        );
        let said = messages[0].sent.to_string();
        ensure!(said.contains(sample.says), "{}: {said}", sample.event);
        all.extend(messages);
    }
    assert_well_made(&all)
}

/// Complete payloads from GitLab's documentation, as described and as shown, if they are available; with the event name of the
/// request.
fn recorded() -> Result<Vec<(String, String, Value)>> {
    let own = root().join("tests/webhooks");
    let documented = root().join("../shared/data/gitlab-webhooks");
    let mut recorded = Vec::new();
    for (of, folder) in [("own", own), ("documented", documented)] {
        if of == "documented" && !folder.is_dir() {
            continue;
        }
        let kinds: Value = serde_json::from_slice(&fs::read(folder.join("headers.json"))?)?;
        let kinds = kinds.as_object().context("headers.json is no object")?;
        ensure!(kinds.len() >= 9, "only {} payloads", kinds.len());
        for (file, kind) in kinds {
            let event = serde_json::from_slice(&fs::read(folder.join(file))?)?;
            let name = format!("{of}-{}", file.trim_end_matches(".json"));
            recorded.push((name, kind.as_str().unwrap_or_default().to_owned(), event));
        }
    }
    Ok(recorded)
}

#[test]
fn recorded_webhooks_come_through() -> Result<()> {
    let mut scene = Scene::new("notification_recorded")?;
    let mut channels = Vec::new();
    for (place, (name, kind, mut event)) in (100..).zip(recorded()?) {
        // Most of them are from one project, and a channel accepts one message per second.
        event["project"]["id"] = json!(place);
        event["project_id"] = json!(place);
        scene.stage.client.batch_execute(&format!(
            "insert into projects (id, name, path, namespace_id) values ({place}, '{place}', 'p{place}', 1)"
        ))?;
        scene.connect("project_id", place)?;
        let channel = scene.channel(&name);
        let settings =
            json!({ "channels": [name], "branches": "all", "only_broken_pipelines": false });
        scene.set("project_id", place, &settings)?;
        let body = event.to_string();
        let reply = scene
            .webhook
            .post(&scene.webhook.key(), &kind, body.as_bytes())?;
        assert_taken(&reply, 1).context(name.clone())?;
        channels.push((name, channel));
    }
    scene.settle()?;
    let mut all = Vec::new();
    for (name, channel) in channels {
        let messages = scene.stage.slack.messages(&channel);
        ensure!(messages.len() == 1, "{name}: {messages:?}");
        all.extend(messages);
    }
    assert_well_made(&all)
}

#[test]
fn channels_are_named_in_every_way() -> Result<()> {
    let mut scene = Scene::new("notification_names")?;
    let by_name = scene.channel("by-name");
    let by_hash = scene.channel("by-hash");
    let by_id = scene.channel("by-id");
    let ada = scene.ada.clone();
    let settings = json!({ "channels": ["by-name", "#by-hash", by_id, ada] });
    scene.set("project_id", 1, &settings)?;
    scene.tell(&push(1, "Boil the water"), 4)?;
    scene.settle()?;
    let direct = scene
        .stage
        .slack
        .direct(&ada)
        .context("nobody wrote to Ada")?;
    for channel in [by_name, by_hash, by_id, direct.id] {
        assert_eq!(scene.stage.slack.messages(&channel).len(), 1, "{channel}");
    }
    Ok(())
}

#[test]
fn what_is_switched_off_is_not_told() -> Result<()> {
    let mut scene = Scene::new("notification_off")?;
    let general = scene.channel("general");
    // Without a channel nobody is notified.
    scene.tell(&push(1, "Boil the water"), 0)?;
    scene.set("project_id", 1, &json!({ "channels": ["#general"] }))?;
    // Project 2 is not connected.
    scene.tell(&push(2, "Boil the water"), 0)?;
    for (off, on) in [
        (
            "update integrations set push_events = false",
            "update integrations set push_events = true",
        ),
        (
            "update integrations set active = false",
            "update integrations set active = true",
        ),
    ] {
        scene.stage.client.batch_execute(off)?;
        scene.tell(&push(1, "Boil the water"), 0).context(off)?;
        scene.stage.client.batch_execute(on)?;
    }
    assert_eq!(scene.settled(&general)?, []);
    assert_eq!(scene.stage.slack.calls_of("chat.postMessage"), []);
    scene.tell(&push(1, "Boil the water"), 1)?;
    assert_eq!(scene.settled(&general)?.len(), 1);
    Ok(())
}

/// User text is text wherever it appears: it mentions nobody, and no link hides its address.
#[test]
fn words_of_users_call_nobody() -> Result<()> {
    let mut scene = Scene::new("notification_words")?;
    let general = scene.channel("general");
    scene.set("project_id", 1, &json!({ "channels": ["#general"] }))?;
    let title = "<!channel> <@U0FAKE00002> <https://evil.example|GitLab> & [here](https://evil.example) @here";
    let mut event = push(1, title);
    event["user_name"] = json!("<!here> & co");
    scene.tell(&event, 1)?;
    let messages = scene.settled(&general)?;
    ensure!(messages.len() == 1, "{messages:?}");
    let sent = messages[0].sent.to_string();
    for live in [
        "<!channel>",
        "<!here>",
        "<@U0",
        "<https://evil.example",
        "(https://evil",
    ] {
        ensure!(!sent.contains(live), "{live} is alive: {sent}");
    }
    // Harmless text is there, escaped as Slack requires.
    ensure!(sent.contains("&amp; co"), "not there: {sent}");
    assert_well_made(&messages)
}
