//! Channels and filters: chosen in a modal of the App Home, and tested by a command.

mod open;
mod reminders;
mod routes;

use anyhow::{Context, Result, ensure};
use lockstep_tests::gitlab::{merge_request, push};
use lockstep_tests::slack::caller::{Origin, block_actions, view_submission};
use serde_json::{Value, json};

use crate::notification::app::Scene;
use crate::slack::sdk::found;
use crate::slack_app::INTERACTIONS;

impl Scene {
    fn origin(&self, user: &str) -> Origin {
        Origin {
            team_id: Some(self.team.clone()),
            user_id: user.to_owned(),
            trigger_id: self.stage.slack.trigger(&self.team),
            ..Origin::default()
        }
    }

    fn row(&mut self) -> Result<i64> {
        let query = "select min(id) from slack_integrations";
        Ok(self.stage.client.query_one(query, &[])?.get(0))
    }

    /// Clicks on the App Home's button; returns the modals that have opened.
    fn open_settings(&mut self, user: &str) -> Result<Vec<Value>> {
        let row = self.row()?;
        let action = json!([{ "type": "button", "action_id": "notification_settings", "block_id": format!("settings-{row}"),
                              "value": row.to_string(), "action_ts": "1700000000.1" }]);
        let payload = block_actions(&self.stage.slack.app(), &self.origin(user), None, &action);
        let reply = self.stage.caller.interaction(INTERACTIONS, &payload)?;
        ensure!(reply.status == 200, "{}: {}", reply.status, reply.text());
        let calls = self.stage.slack.calls_of("views.open");
        let refused = calls.iter().find(|call| call.error.is_some());
        ensure!(refused.is_none(), "{refused:?}");
        Ok(calls
            .into_iter()
            .map(|call| call.arguments["view"].clone())
            .collect())
    }

    /// Submits the modal with these values.
    fn save(&mut self, user: &str, view: &Value, values: &Value) -> Result<Value> {
        let mut view = view.clone();
        view["id"] = json!("V1");
        view["hash"] = json!("1700000000.abc");
        let app = self.stage.slack.app();
        let payload = view_submission(&app, &self.origin(user), &view, values);
        let reply = self.stage.caller.interaction(INTERACTIONS, &payload)?;
        ensure!(reply.status == 200, "{}: {}", reply.status, reply.text());
        match reply.body.is_empty() {
            true => Ok(Value::Null),
            false => Ok(reply.json()?),
        }
    }

    pub(crate) fn settings(&mut self) -> Result<Value> {
        let query = "select lockstep.slack_notifications(min(i.id))::text from integrations i where i.project_id = 1";
        let text: String = self.stage.client.query_one(query, &[])?.get(0);
        Ok(serde_json::from_str(&text)?)
    }

    /// The answer to `/gitlab`.
    fn say(&self, text: &str) -> Result<String> {
        self.stage.say(&self.origin(&self.ada), text)
    }
}

fn filled_in(channels: &str, event_channels: &str, events: &[&str]) -> Value {
    let chosen: Vec<Value> = events
        .iter()
        .map(|event| json!({ "value": event }))
        .collect();
    json!({
        "events": { "events": { "type": "multi_static_select", "selected_options": chosen } },
        "channels": { "channels": { "type": "plain_text_input", "value": channels } },
        "event_channels": { "event_channels": { "type": "plain_text_input", "value": event_channels } },
        "branches": { "branches": { "type": "static_select", "selected_option": { "value": "all" } } },
        "labels": { "labels": { "type": "plain_text_input", "value": null } },
        "updates": { "updates": { "type": "static_select", "selected_option": { "value": "thread" } } },
        "switches": { "switches": { "type": "checkboxes", "selected_options": [] } },
        "muted_authors": { "muted_authors": { "type": "plain_text_input", "value": "@bot" } },
    })
}

#[test]
fn channels_are_chosen_in_the_home() -> Result<()> {
    let mut scene = Scene::new("notification_modal")?;
    let (general, review) = (scene.channel("general"), scene.channel("review"));
    let ada = scene.ada.clone();
    let views = scene.open_settings(&ada)?;
    let view = views.first().context("no modal")?;
    assert_eq!(
        found(&[json!({ "kind": "modal", "value": view })])?,
        [[""; 0]]
    );
    // Initially: all events, no channels.
    let events = &view["blocks"][1]["element"]["initial_options"];
    assert_eq!(events.as_array().map(Vec::len), Some(15), "{events}");

    let values = filled_in(
        "#general",
        "merge requests: #review",
        &["push", "merge_request"],
    );
    assert_eq!(scene.save(&ada, view, &values)?, Value::Null);
    let settings = scene.settings()?;
    assert_eq!(settings["channels"], json!(["#general"]));
    assert_eq!(
        settings["event_channels"],
        json!({ "merge_request": ["#review"] })
    );
    assert_eq!(settings["updates"], "thread");
    assert_eq!(settings["muted_authors"], json!(["bot"]));
    scene.tell(&push(1, "Boil the water"), 1)?;
    scene.tell(&merge_request(1, 71, "open"), 1)?;
    assert_eq!(scene.settled(&general)?.len(), 1);
    assert_eq!(scene.settled(&review)?.len(), 1);
    // The others are off.
    let query = "select count(*) from integrations where project_id = 1 and push_events and merge_requests_events
                   and not (note_events or issues_events or pipeline_events or alert_events)";
    assert_eq!(
        scene.stage.client.query_one(query, &[])?.get::<_, i64>(0),
        1
    );

    // Removing a line removes its channel.
    let values = filled_in("#general", "push: #review\nmerge request:", &["push"]);
    ensure!(
        scene.save(&ada, view, &values)?["errors"]["event_channels"].is_string(),
        "no such event"
    );
    let values = filled_in("#general", "push: #review\nmerge requests:", &["push"]);
    scene.save(&ada, view, &values)?;
    let settings = scene.settings()?;
    assert_eq!(settings["event_channels"], json!({ "push": ["#review"] }));
    let values = filled_in("#general", "merge_request: #review", &["push"]);
    scene.save(&ada, view, &values)?;

    // The modal shows the chosen settings.
    let views = scene.open_settings(&ada)?;
    let view = views.last().context("no modal")?.to_string();
    for words in [
        "\"initial_value\":\"#general\"",
        "merge_request: #review",
        "\"initial_value\":\"bot\"",
    ] {
        ensure!(view.contains(words), "{words}: {view}");
    }
    Ok(())
}

/// Removing a group's line removes its user group.
#[test]
fn user_groups_are_removed_with_their_lines() -> Result<()> {
    let mut scene = Scene::new("notification_modal_groups")?;
    let ada = scene.ada.clone();
    let view = scene.open_settings(&ada)?.remove(0);
    let mut values = filled_in("#general", "", &["push"]);
    for (lines, groups) in [
        (
            "tea/green: S1\ntea/black: S2",
            json!({ "tea/green": "S1", "tea/black": "S2" }),
        ),
        ("tea/black: S2", json!({ "tea/black": "S2" })),
        ("", json!({})),
    ] {
        values["user_groups"] =
            json!({ "user_groups": { "type": "plain_text_input", "value": lines } });
        assert_eq!(scene.save(&ada, &view, &values)?, Value::Null);
        assert_eq!(scene.settings()?["user_groups"], groups, "{lines}");
    }
    Ok(())
}

#[test]
fn mistakes_are_shown_beside_their_fields() -> Result<()> {
    let mut scene = Scene::new("notification_modal_wrong")?;
    let ada = scene.ada.clone();
    let before = scene.settings()?;
    let view = scene.open_settings(&ada)?.remove(0);
    let eleven: Vec<String> = (0..11).map(|number| format!("#c{number}")).collect();
    for (channels, event_channels, field) in [
        ("<!channel>", "", "channels"),
        (&*eleven.join(" "), "", "channels"),
        ("#a", "tea: #b", "event_channels"),
        ("#a", "push #b", "event_channels"),
        // The database has the exact rules for names.
        ("#a\u{200b}b", "", "channels"),
        ("#a", "push: #b\u{202e}c", "event_channels"),
    ] {
        let answer = scene.save(&ada, &view, &filled_in(channels, event_channels, &["push"]))?;
        assert_eq!(
            answer["response_action"], "errors",
            "{channels} {event_channels}"
        );
        let errors = answer["errors"].as_object().context("no errors")?;
        assert_eq!(errors.keys().collect::<Vec<_>>(), [field]);
    }
    assert_eq!(scene.settings()?, before);
    Ok(())
}

/// GitLab without some event column, and a project that inherits its group's settings until it gets its own.
#[test]
fn what_is_not_ones_own_is_left_as_it_is() -> Result<()> {
    let mut scene = Scene::new("notification_modal_inherited")?;
    let ada = scene.ada.clone();
    scene.connect("group_id", 1)?;
    scene.set(
        "group_id",
        1,
        &json!({ "channels": ["#group"], "labels": ["bug"] }),
    )?;
    scene.stage.client.batch_execute(
        "alter table integrations drop column alert_events;
         update integrations set inherit_from_id = (select id from integrations where group_id = 1) where project_id = 1",
    )?;
    let view = scene.open_settings(&ada)?.remove(0);
    ensure!(
        view["blocks"][0].to_string().contains("of its group"),
        "{view}"
    );
    let offered = view["blocks"][1]["element"]["options"]
        .as_array()
        .map(Vec::len);
    assert_eq!(offered, Some(14));
    // Saved unchanged, except for an event.
    let mut values = filled_in("#group", "", &["push"]);
    values["labels"]["labels"]["value"] = json!("bug");
    values["branches"]["branches"]["selected_option"]["value"] = json!("default");
    values["updates"]["updates"]["selected_option"]["value"] = json!("separate");
    values["switches"]["switches"]["selected_options"] =
        json!([{ "value": "only_broken_pipelines" }]);
    values["muted_authors"]["muted_authors"]["value"] = Value::Null;
    assert_eq!(scene.save(&ada, &view, &values)?, Value::Null);
    scene.set("group_id", 1, &json!({ "channels": ["#new"] }))?;
    assert_eq!(scene.settings()?["channels"], json!(["#new"]));
    // Its own settings, and back to inherited ones.
    values["channels"]["channels"]["value"] = json!("#own");
    assert_eq!(scene.save(&ada, &view, &values)?, Value::Null);
    assert_eq!(scene.settings()?["channels"], json!(["#own"]));
    let view = scene.open_settings(&ada)?.pop().context("no modal")?;
    assert_eq!(view["blocks"][1]["block_id"], "inherited");
    assert_eq!(
        found(&[json!({ "kind": "modal", "value": view })])?,
        [[""; 0]]
    );
    values["inherited"] = json!({ "inherited": { "type": "checkboxes", "selected_options": [{ "value": "inherited" }] } });
    assert_eq!(scene.save(&ada, &view, &values)?, Value::Null);
    assert_eq!(scene.settings()?["channels"], json!(["#new"]));
    Ok(())
}

#[test]
fn only_who_installed_the_app_changes_settings() -> Result<()> {
    let mut scene = Scene::new("notification_modal_rights")?;
    let bob = scene.stage.slack.create_user(&scene.team, "bob").id;
    let before = scene.settings()?;
    assert_eq!(scene.open_settings(&bob)?, [Value::Null; 0]);
    // A forged id.
    let ada = scene.ada.clone();
    let view = scene.open_settings(&ada)?.remove(0);
    scene.save(&bob, &view, &filled_in("#bobs", "", &["push"]))?;
    assert_eq!(scene.settings()?, before);
    // Nor about a project that is connected to another workspace.
    let other = scene.stage.slack.create_workspace("Other").id;
    let eve = scene.stage.slack.create_user(&other, "eve").id;
    scene.team = other;
    assert_eq!(scene.open_settings(&eve)?.len(), 1);
    scene.save(&eve, &view, &filled_in("#eves", "", &["push"]))?;
    assert_eq!(scene.settings()?, before);
    Ok(())
}

#[test]
fn channels_are_tried_out() -> Result<()> {
    let mut scene = Scene::new("notification_tried")?;
    let general = scene.channel("general");
    let old = scene.channel("old");
    scene.stage.slack.archive(&old)?;
    ensure!(
        scene
            .say("group/one test")?
            .starts_with("No channels are chosen")
    );
    ensure!(
        scene
            .say("group/none test")?
            .starts_with("No project or group with the alias")
    );
    ensure!(scene.say("test")?.starts_with("Which one?"));
    let settings = json!({ "channels": ["#general", "#old"], "event_channels": { "push": ["#general", "#gone"] } });
    scene.set("project_id", 1, &settings)?;
    let said = scene.say("group/one test")?;
    for words in [
        ":white_check_mark: `#general` received it",
        ":x: `#old`: the channel is archived",
        ":x: `#gone`: the channel does not exist",
    ] {
        ensure!(said.contains(words), "{words}: {said}");
    }
    let settled = scene.settled(&general)?;
    assert_eq!(settled.len(), 1);
    // Its readers know which project it is about.
    let told = &settled[0].text;
    ensure!(told.ends_with("in group/one"), "{told}");
    // A channel that is not tried is named.
    let many: Vec<String> = (0..10).map(|number| format!("#gone{number}")).collect();
    scene.set(
        "project_id",
        1,
        &json!({ "channels": many, "event_channels": { "push": "#late" } }),
    )?;
    let said = scene.say("group/one test")?;
    ensure!(said.contains("first ten channels: `#late`"), "{said}");
    scene.set("project_id", 1, &settings)?;
    // Not everybody may do this: it writes to others.
    let stranger = scene.stage.slack.create_user(&scene.team, "mallory").id;
    let said = scene
        .stage
        .say(&scene.origin(&stranger), "group/one test")?;
    ensure!(said.starts_with(":no_entry: Only users who"), "{said}");
    assert_eq!(scene.settled(&general)?.len(), 1);
    // From SQL as well.
    let tried = scene.stage.client.query(
        "select t.channel from integrations i, lockstep.test_slack_integration(i.id) t where i.project_id = 1 order by t.delivery",
        &[],
    )?;
    let tried: Vec<String> = tried.iter().map(|row| row.get(0)).collect();
    assert_eq!(tried, ["#general", "#old", "#gone"]);
    assert_eq!(scene.settled(&general)?.len(), 2);
    Ok(())
}

/// Settings that do not fit into the form are neither shown partly nor saved that way.
#[test]
fn settings_that_are_too_long_stay() -> Result<()> {
    let mut scene = Scene::new("notification_modal_long")?;
    let ada = scene.ada.clone();
    let labels: Vec<String> = (0..100).map(|number| format!("{number:0>40}")).collect();
    let settings = json!({ "channels": ["#general"], "labels": labels, "muted_authors": ["bot"] });
    scene.set("project_id", 1, &settings)?;
    let view = scene.open_settings(&ada)?.remove(0);
    assert_eq!(
        found(&[json!({ "kind": "modal", "value": view })])?,
        [[""; 0]]
    );
    let text = view.to_string();
    ensure!(
        text.contains("too long for this form") && !text.contains(&*labels[0]),
        "{text}"
    );
    let mut values = filled_in("#other", "", &["push"]);
    values
        .as_object_mut()
        .context("no object")?
        .remove("labels");
    assert_eq!(scene.save(&ada, &view, &values)?, Value::Null);
    let settings = scene.settings()?;
    assert_eq!(settings["labels"], json!(labels));
    assert_eq!(settings["channels"], json!(["#other"]));
    // Clearing a field is different.
    scene.save(&ada, &view, &filled_in("#other", "", &["push"]))?;
    assert_eq!(scene.settings()?["labels"], json!([]));
    Ok(())
}

/// If the App Home cannot be refreshed, the settings are still reported as saved.
#[test]
fn what_is_saved_is_told_as_saved() -> Result<()> {
    let mut scene = Scene::new("notification_modal_saved")?;
    let ada = scene.ada.clone();
    let view = scene.open_settings(&ada)?.remove(0);
    scene.stage.client.batch_execute(
        "alter function lockstep_api.enqueue_slack_job(text, jsonb, text, text) rename to enqueue_nothing",
    )?;
    let answer = scene.save(&ada, &view, &filled_in("#general", "", &["push"]))?;
    assert_eq!(answer["response_action"], "update", "{answer}");
    ensure!(answer.to_string().contains("are saved"), "{answer}");
    let view = json!({ "kind": "modal", "value": answer["view"] });
    assert_eq!(found(&[view])?, [[""; 0]]);
    assert_eq!(scene.settings()?["channels"], json!(["#general"]));
    Ok(())
}
