//! The App Home: switches for permitted users, and a menu that finds projects.

use anyhow::{Context, Result, ensure};
use lockstep_tests::slack::caller::{Origin, block_actions, block_suggestion};
use lockstep_tests::slack::{App, Decision, User, wrong_in_home, wrong_in_options};
use serde_json::{Value, json};

use crate::concurrency::PATIENCE;
use crate::slack_app::{COMMANDS, INTERACTIONS, OPTIONS, Stage};

/// The third user of a new fake Slack.
const MANAGER: &str = "U0FAKE00004";

struct Home {
    stage: Stage,
    team: String,
    ada: User,
    bob: User,
}

impl Home {
    /// Ada has installed the app and connected project 1; Bob is in the workspace, and Cid is a manager.
    fn of(name: &str) -> Result<Self> {
        let mut stage =
            Stage::set_with(name, App::default(), &[&format!("--manager=U1,{MANAGER}")])?;
        let team = stage.slack.create_workspace("Acme").id;
        let ada = stage.slack.create_user(&team, "ada");
        let bob = stage.slack.create_user(&team, "bob");
        let cid = stage.slack.create_user(&team, "cid");
        ensure!(cid.id == MANAGER, "{cid:?}");
        stage.slack.decide(Decision::Approve {
            tenant: team.clone(),
            user: ada.id.clone(),
        });
        stage.connect(1)?;
        Ok(Self {
            stage,
            team,
            ada,
            bob,
        })
    }

    fn origin(&self, user: &str) -> Origin {
        Origin {
            team_id: Some(self.team.clone()),
            user_id: user.to_owned(),
            ..Origin::default()
        }
    }

    fn row(&mut self) -> Result<i64> {
        Ok(self
            .stage
            .client
            .query_one("select min(id) from slack_integrations", &[])?
            .get(0))
    }

    /// Sends an action and waits for the home that shows its result.
    fn act(&mut self, user: &str, action: Value) -> Result<Option<Value>> {
        let before = self.stage.slack.calls_of("views.publish").len();
        let payload = block_actions(
            &self.stage.slack.app(),
            &self.origin(user),
            None,
            &json!([action]),
        );
        let reply = self.stage.caller.interaction(INTERACTIONS, &payload)?;
        ensure!(
            reply.status == 200 && reply.body.is_empty(),
            "{} {}",
            reply.status,
            reply.text()
        );
        ensure!(
            self.stage
                .slack
                .wait_for_calls("views.publish", before + 1, PATIENCE),
            "{}",
            self.stage.sidecar.log()
        );
        self.stage.wait_for(
            "select not exists (select from lockstep_internal.job where status <> 'dead')",
        )?;
        let home = self.stage.slack.home(user).map(|home| home.view);
        if let Some(view) = &home {
            assert_eq!(wrong_in_home(view), [""; 0]);
        }
        Ok(home)
    }

    fn is_active(&mut self) -> Result<bool> {
        let query = "select active from integrations where project_id = 1";
        Ok(self.stage.client.query_one(query, &[])?.get(0))
    }
}

fn click(action: &str, row: i64, at: &str) -> Value {
    json!({ "type": "button", "action_id": action, "block_id": format!("integration-{row}"), "value": row.to_string(), "action_ts": at })
}

#[test]
fn whoever_connected_a_project_switches_it() -> Result<()> {
    let mut home = Home::of("app_switch")?;
    let (row, ada) = (home.row()?, home.ada.id.clone());
    for (action, says, is_active) in [
        ("switch_off", "`group/one` is switched off", false),
        // Again, like a click that Slack sends twice, or that was meant differently.
        ("switch_off", "`group/one` is switched off", false),
        ("switch_on", "`group/one` is active", true),
    ] {
        let view = home
            .act(&ada, click(action, row, "1700000000.1"))?
            .context("no home")?;
        ensure!(view.to_string().contains(says), "{view}");
        assert_eq!(home.is_active()?, is_active);
    }
    Ok(())
}

#[test]
fn manager_switches_any_project() -> Result<()> {
    let mut home = Home::of("app_manager")?;
    let row = home.row()?;
    let view = home.act(MANAGER, click("switch_off", row, "1700000000.1"))?;
    ensure!(!home.is_active()?);
    ensure!(view.is_some_and(|view| view.to_string().contains("Switch on")));
    Ok(())
}

/// Project names are plain text to Slack, and mention nobody.
#[test]
fn names_are_escaped() -> Result<()> {
    let mut home = Home::of("app_escaped")?;
    home.stage
        .client
        .batch_execute("update slack_integrations set alias = '<!channel>&'")?;
    let ada = home.ada.id.clone();
    let origin = home.origin(&ada);
    let text = home.stage.say(&origin, "status")?;
    ensure!(text.starts_with("*&lt;!channel&gt;&amp;*"), "{text}");
    // Slack escapes what people type, and it is still found.
    home.stage
        .client
        .batch_execute("update slack_integrations set alias = 'a&b'")?;
    let text = home.stage.say(&origin, "a&b status")?;
    ensure!(text.starts_with("*a&amp;b*"), "{text}");
    home.stage
        .client
        .batch_execute("update slack_integrations set alias = '<!channel>&'")?;
    let row = home.row()?;
    let view = home
        .act(&ada, click("switch_off", row, "1700000000.1"))?
        .context("no home")?;
    ensure!(
        !view.to_string().contains("<!channel>") && view.to_string().contains("&lt;!channel&gt;"),
        "{view}"
    );
    Ok(())
}

#[test]
fn others_may_not() -> Result<()> {
    let mut home = Home::of("app_no_switch")?;
    let (row, bob) = (home.row()?, home.bob.id.clone());
    let view = home
        .act(&bob, click("switch_off", row, "1700000000.1"))?
        .context("no home")?;
    ensure!(
        view.to_string().contains("Only managers of a project"),
        "{view}"
    );
    ensure!(!view.to_string().contains("Switch off"), "{view}");
    ensure!(home.is_active()?);
    // An id of another workspace, or an unknown one.
    let ada = home.ada.id.clone();
    home.stage.client.batch_execute("
        insert into integrations (id, project_id, type_new, active) values (77, 3, 'Integrations::GitlabSlackApplication', true);
        insert into slack_integrations (id, team_id, team_name, alias, user_id, integration_id, project_id, created_at, updated_at)
        values (77, 'TOTHER', 'Other', 'group/three', 'U1', 77, 3, now(), now())")?;
    for row in [77, 9_999] {
        let view = home
            .act(&ada, click("switch_off", row, "1700000000.1"))?
            .context("no home")?;
        ensure!(view.to_string().contains("no longer connected"), "{view}");
    }
    let query = "select active from integrations where id = 77";
    ensure!(home.stage.client.query_one(query, &[])?.get::<_, bool>(0));
    Ok(())
}

#[test]
fn menu_finds_projects_by_what_is_typed() -> Result<()> {
    let mut home = Home::of("app_picker")?;
    home.stage.client.batch_execute(&format!("
        insert into projects (id, name, path, namespace_id)
          select id, 'P', 'p' || id, 1 from generate_series(100, 260) id;
        insert into integrations (id, project_id, type_new, active)
          select id, id, 'Integrations::GitlabSlackApplication', true from generate_series(100, 260) id;
        insert into slack_integrations (team_id, team_name, alias, user_id, integration_id, project_id, created_at, updated_at)
          select '{}', 'Acme', 'group/p' || id || repeat('x', 80), 'U1', id, id, now(), now() from generate_series(100, 260) id;",
        home.team
    ))?;
    let app = home.stage.slack.app();
    let ask = |home: &Home, typed: &str| -> Result<Value> {
        let payload = block_suggestion(
            &app,
            &home.origin(&home.ada.id),
            None,
            "more",
            "project_picker",
            typed,
        );
        let reply = home.stage.caller.interaction(OPTIONS, &payload)?;
        ensure!(reply.status == 200, "{}", reply.text());
        let answer = reply.json()?;
        assert_eq!(wrong_in_options(&answer), [""; 0]);
        Ok(answer)
    };
    let count = |answer: &Value| answer["options"].as_array().map_or(0, Vec::len);
    assert_eq!(count(&ask(&home, "p1")?), 100);
    assert_eq!(count(&ask(&home, "P26")?), 1);
    assert_eq!(count(&ask(&home, "%")?), 0);
    assert_eq!(count(&ask(&home, "nothing")?), 0);
    let other = block_suggestion(
        &app,
        &home.origin(&home.ada.id),
        None,
        "b",
        "another_menu",
        "p",
    );
    assert_eq!(
        home.stage.caller.interaction(OPTIONS, &other)?.json()?,
        json!({ "options": [] })
    );

    let found = ask(&home, "p260")?;
    let ada = home.ada.id.clone();
    let choice = json!({ "type": "external_select", "action_id": "project_picker", "block_id": "more", "selected_option": found["options"][0], "action_ts": "1700000000.2" });
    let view = home.act(&ada, choice)?.context("no home")?;
    let first = view["blocks"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|block| {
            block["block_id"]
                .as_str()
                .is_some_and(|id| id.starts_with("integration-"))
                || block["text"]["text"]
                    .as_str()
                    .is_some_and(|text| text.contains("group/p"))
        });
    ensure!(
        first.is_some_and(|block| block.to_string().contains("group/p260")),
        "{view}"
    );
    Ok(())
}

/// A button that only opens a link, and what other apps might send.
#[test]
fn unknown_interactions_are_acknowledged() -> Result<()> {
    let mut home = Home::of("app_unknown_actions")?;
    let origin = home.origin(&home.ada.id.clone());
    let app = home.stage.slack.app();
    let link =
        json!({ "type": "button", "action_id": "a link", "block_id": "b", "action_ts": "1.1" });
    for payload in [
        block_actions(&app, &origin, None, &json!([link])),
        json!({ "type": "shortcut", "callback_id": "x", "team": { "id": home.team }, "user": { "id": home.ada.id } }),
        json!({ "type": "view_closed", "team": { "id": home.team }, "user": { "id": home.ada.id }, "view": { "id": "V1" } }),
    ] {
        let reply = home.stage.caller.interaction(INTERACTIONS, &payload)?;
        ensure!(
            reply.status == 200 && reply.body.is_empty(),
            "{}",
            reply.text()
        );
    }
    let jobs = home
        .stage
        .client
        .query_one("select count(*) from lockstep_internal.job", &[])?
        .get::<_, i64>(0);
    assert_eq!(jobs, 0);
    Ok(())
}

/// What `/gitlab <alias> status` says of channels that messages do not reach, the App Home says as well.
#[test]
fn channels_in_trouble_are_named() -> Result<()> {
    let mut home = Home::of("app_home_trouble")?;
    let (row, ada) = (home.row()?, home.ada.id.clone());
    home.stage.client.batch_execute(&format!(
        "insert into lockstep_internal.slack_channel_trouble (schema, integration_id, team_id, channel, error, failures)
           select 'public', s.integration_id, s.team_id, '#old', 'is_archived', 4 from slack_integrations s where s.id = {row};
         update integrations set active = true, push_events = true;
         do $$begin perform lockstep.set_slack_notifications(integration_id, '{{\"channels\": [\"#old\"]}}') from slack_integrations where id = {row}; end$$"
    ))?;
    let view = home
        .act(&ada, click("switch_on", row, "1700000000.1"))?
        .context("no home")?
        .to_string();
    let origin = home.origin(&ada);
    let reply = home
        .stage
        .caller
        .command(COMMANDS, &origin, "/gitlab", "group/one status")?
        .text();
    for words in [
        "`#old`: the channel is archived",
        "4 messages were not sent",
    ] {
        ensure!(view.contains(words), "{words}: {view}");
        ensure!(reply.contains(words), "{words}: {reply}");
    }
    ensure!(
        view.contains("active, but some messages do not arrive"),
        "{view}"
    );
    Ok(())
}
