//! Mentions as Slack sees them: of those whom a message is for, and of nobody else, whatever people write.

use anyhow::{Result, ensure};
use lockstep_tests::gitlab::{merge_request, pipeline};
use lockstep_tests::host;
use lockstep_tests::slack::Fault;
use lockstep_tests::slack::caller::Origin;
use serde_json::json;

use crate::notification::app::Scene;

impl Scene {
    /// What the app answers to that user.
    fn asked(&self, user: &str, text: &str) -> Result<String> {
        let origin = Origin {
            team_id: Some(self.team.clone()),
            user_id: user.to_owned(),
            ..Origin::default()
        };
        self.stage.say(&origin, text)
    }

    /// Bob has linked an account, and has a role in project 1.
    fn bob(&mut self) -> Result<String> {
        let bob = self.stage.slack.create_user(&self.team, "bob").id;
        host::run(&mut self.stage.client, host::MEMBERS)?;
        self.stage.client.batch_execute(&format!(
            "insert into users (id, username, organization_id) values (904, 'bob', 1);
             insert into chat_names (user_id, team_id, chat_id) values (904, '{}', '{bob}');
             insert into members (access_level, source_id, source_type, user_id) values (20, 1, 'Project', 904)",
            self.team
        ))?;
        Ok(bob)
    }
}

#[test]
fn people_are_mentioned_in_slack() -> Result<()> {
    let mut scene = Scene::new("notification_mention")?;
    let (general, bob) = (scene.channel("general"), scene.bob()?);
    scene.set(
        "project_id",
        1,
        &json!({ "channels": general, "mentions": true, "branches": "all" }),
    )?;
    let hostile = format!("<@{}> <!channel> <!subteam^S1> @bob", scene.ada);
    let mut opened = merge_request(1, 5, "open");
    opened["user"] = json!({ "id": 1, "name": hostile, "username": "<!here>" });
    opened["object_attributes"]["title"] = json!(hostile);
    opened["object_attributes"]["description"] = json!(hostile);
    opened["reviewers"] = json!([{ "id": 904, "name": hostile, "username": hostile }]);
    scene.tell(&opened, 1)?;
    // A message with a color.
    let mut failed = pipeline(1, 7, "failed");
    failed["user"] = json!({ "id": 904, "name": hostile, "username": hostile });
    failed["object_attributes"]["ref"] = json!("<!everyone>");
    scene.tell(&failed, 1)?;
    // One that is for nobody.
    let mut by_ada = merge_request(1, 6, "open");
    by_ada["object_attributes"]["title"] = json!(hostile);
    scene.tell(&by_ada, 1)?;
    let messages = scene.settled(&general)?;
    let mentions: Vec<Vec<String>> = messages.iter().map(|message| message.mentions()).collect();
    assert_eq!(mentions, [vec![bob.clone()], vec![bob], vec![]]);
    Ok(())
}

/// A change of a message notifies nobody, so whoever it is for is mentioned in its thread.
#[test]
fn whom_an_updated_message_is_for_is_mentioned_in_its_thread() -> Result<()> {
    let mut scene = Scene::new("notification_mention_update")?;
    let (general, bob) = (scene.channel("general"), scene.bob()?);
    scene.set(
        "project_id",
        1,
        &json!({ "channels": general, "mentions": true, "updates": "update" }),
    )?;
    let bobs = json!([{ "id": 904, "name": "Bob", "username": "bob" }]);
    scene.tell(&merge_request(1, 5, "open"), 1)?;
    let mut asked = merge_request(1, 5, "update");
    asked["reviewers"] = bobs.clone();
    asked["changes"] = json!({ "reviewers": { "previous": [], "current": bobs } });
    scene.tell(&asked, 1)?;
    // The end is for nobody with an account.
    scene.tell(&merge_request(1, 5, "merge"), 1)?;
    let messages = scene.settled(&general)?;
    let first = &messages[0];
    assert_eq!((messages.len(), first.updates), (2, 2), "{messages:?}");
    assert_eq!(messages[1].thread_ts.as_deref(), Some(first.ts.as_str()));
    assert_eq!(messages[1].mentions(), [bob.as_str()]);
    assert_eq!(messages[1].updates, 0);
    // The reply fails for a while: it is sent once.
    scene
        .stage
        .slack
        .fail("chat.postMessage", Fault::RateLimited(1), Some(1));
    asked["changes"]["reviewers"]["previous"] = json!([]);
    asked["object_attributes"]["updated_at"] = json!("2026-01-02 03:04:05 UTC");
    scene.tell(&asked, 1)?;
    let messages = scene.settled(&general)?;
    assert_eq!(messages.len(), 3, "{messages:?}");
    assert_eq!(messages[2].mentions(), [bob.as_str()]);
    // An update that is only accepted as plain text has a plain reply.
    scene
        .stage
        .slack
        .fail("chat.update", Fault::Error("invalid_blocks"), Some(1));
    asked["object_attributes"]["updated_at"] = json!("2026-01-02 04:04:05 UTC");
    scene.tell(&asked, 1)?;
    let messages = scene.settled(&general)?;
    assert_eq!(messages.len(), 4, "{messages:?}");
    assert_eq!(messages[3].sent["attachments"], json!([]));
    // The reply is refused for good: the message shows the change all the same, and nothing older afterwards.
    scene.stage.slack.fail(
        "chat.postMessage",
        Fault::Error("restricted_action"),
        Some(1),
    );
    asked["object_attributes"]["updated_at"] = json!("2026-01-02 06:04:05 UTC");
    asked["object_attributes"]["title"] = json!("The newest title");
    scene.tell(&asked, 1)?;
    scene.settled(&general)?;
    let mut older = merge_request(1, 5, "approved");
    older["object_attributes"]["updated_at"] = json!("2026-01-02 05:04:05 UTC");
    scene.tell(&older, 1)?;
    let messages = scene.settled(&general)?;
    assert_eq!(messages.len(), 4, "{messages:?}");
    let shown = messages[0].sent.to_string();
    assert!(shown.contains("The newest title"), "{shown}");
    assert!(!scene.status()?.contains("restricted_action"));
    Ok(())
}

#[test]
fn people_choose_by_a_command() -> Result<()> {
    let mut scene = Scene::new("notification_notify_me")?;
    let (general, bob) = (scene.channel("general"), scene.bob()?);
    scene.set(
        "project_id",
        1,
        &json!({ "channels": general, "mentions": true }),
    )?;
    let mut opened = merge_request(1, 5, "open");
    opened["reviewers"] = json!([{ "id": 904 }]);
    let shown = scene.asked(&bob, "notify me")?;
    ensure!(
        shown.contains("Messages mention you if") && !shown.contains("not linked"),
        "{shown}"
    );
    let shown = scene.asked(&scene.ada, "notify me")?;
    ensure!(shown.contains("not linked"), "{shown}");
    let shown = scene.asked(&bob, "notify me mentions off")?;
    ensure!(shown.contains("do not mention you"), "{shown}");
    let shown = scene.asked(&bob, "notify me direct on")?;
    ensure!(
        shown.contains("also get these events as direct messages"),
        "{shown}"
    );
    scene.tell(&opened, 2)?;
    let messages = scene.settled(&general)?;
    assert_eq!(messages.len(), 1);
    assert!(messages[0].mentions().is_empty());
    // The other message went to Bob.
    let calls = scene.stage.slack.calls_of("chat.postMessage");
    let to: Vec<&str> = calls
        .iter()
        .filter_map(|call| call.arguments["channel"].as_str())
        .collect();
    assert!(to.len() == 2 && to.contains(&bob.as_str()), "{to:?}");
    let shown = scene.asked(&bob, "notify me quiet 22-7:30 Europe/Berlin")?;
    ensure!(shown.contains("22:00 to 07:30, `Europe/Berlin`"), "{shown}");
    let refused = scene.asked(&bob, "notify me quiet 22-7 Berlin")?;
    ensure!(refused.contains("not a time zone"), "{refused}");
    for unclear in [
        "notify me everything",
        "notify me quiet",
        "notify me mentions",
    ] {
        let usage = scene.asked(&bob, unclear)?;
        ensure!(
            usage.starts_with("*Change it*") && usage.contains("`/gitlab notify me direct on`"),
            "{usage}"
        );
    }
    let shown = scene.asked(&bob, "notify me quiet off")?;
    ensure!(
        shown.contains("no quiet hours") && shown.contains("direct messages"),
        "{shown}"
    );
    let help = scene.asked(&bob, "help")?;
    ensure!(help.contains("`/gitlab notify me`"), "{help}");
    Ok(())
}
