//! From Slack: a second workspace follows a project, and its channel gets the project's events beside those of the first.

use anyhow::{Context, Result, ensure};
use lockstep_tests::gitlab::push;
use lockstep_tests::host;
use lockstep_tests::slack::caller::Origin;
use lockstep_tests::slack::{Decision, wrong_in_home};
use serde_json::json;

use crate::concurrency::PATIENCE;
use crate::notification::app::Scene;
use crate::slack_app::EVENTS;
use crate::subscription::text;

const PATHS: &str = "
create table routes (id bigserial primary key, source_id bigint not null, source_type varchar not null, path varchar not null);
create table redirect_routes (id bigserial primary key, source_id bigint not null, source_type varchar not null, path varchar not null);
insert into routes (source_id, source_type, path) values (1, 'Project', 'group/one'), (2, 'Project', 'group/two');";

/// Project 1 is connected to Acme. Globex has the app, too: Bob maintains project 1, Dee is a developer, Eli has no account.
struct Globex {
    scene: Scene,
    team: String,
    bob: String,
    dee: String,
    eli: String,
    channel: String,
}

impl Globex {
    fn new(name: &str) -> Result<Self> {
        let mut scene = Scene::with(name, &["--any-workspace"])?;
        let slack = &scene.stage.slack;
        let team = slack.create_workspace("Globex").id;
        let [bob, dee, eli] = ["bob", "dee", "eli"].map(|user| slack.create_user(&team, user).id);
        let channel = slack.create_channel(&team, "news").id;
        slack.decide(Decision::Approve {
            tenant: team.clone(),
            user: eli.clone(),
        });
        let installed = scene.stage.install("")?;
        ensure!(installed.status == 200, "{}", installed.text());
        host::run(&mut scene.stage.client, host::MEMBERS)?;
        scene.stage.client.batch_execute(PATHS)?;
        scene.stage.client.batch_execute(&format!(
            "insert into users (id, username, organization_id) values (3, 'bob', 1), (4, 'dee', 1);
             insert into chat_names (user_id, team_id, chat_id) values (3, '{team}', '{bob}'), (4, '{team}', '{dee}');
             insert into members (access_level, source_id, source_type, user_id) values (40, 1, 'Project', 3), (30, 1, 'Project', 4)",
        ))?;
        Ok(Self {
            scene,
            team,
            bob,
            dee,
            eli,
            channel,
        })
    }

    fn say_in(&self, user: &str, channel: &str, words: &str) -> Result<String> {
        let origin = Origin {
            team_id: Some(self.team.clone()),
            user_id: user.to_owned(),
            channel_id: channel.to_owned(),
            channel_name: "news".to_owned(),
            ..Origin::default()
        };
        let stage = &self.scene.stage;
        stage
            .say(&origin, words)
            .with_context(|| stage.sidecar.log())
    }

    fn say(&self, user: &str, words: &str) -> Result<String> {
        self.say_in(user, &self.channel, words)
    }
}

#[test]
fn a_second_workspace_follows_a_project() -> Result<()> {
    let mut globex = Globex::new("subscription_app")?;
    let (bob, news) = (globex.bob.clone(), globex.channel.clone());
    let general = globex.scene.channel("general");
    globex
        .scene
        .set("project_id", 1, &json!({ "channels": "#general" }))?;
    let answer = globex.say(&bob, "subscribe group/one")?;
    ensure!(
        answer.contains(&format!("<#{news}> now follows `group/one`: pushes, tags")),
        "{answer}"
    );
    let answer = globex.say(&bob, "group/one subscribe")?;
    ensure!(answer.contains("already follows"), "{answer}");
    let answer = globex.say(&bob, "subscribe group/one #nowhere push, issue")?;
    ensure!(
        answer.contains("#nowhere now follows `group/one`: pushes, issues."),
        "{answer}"
    );
    globex.scene.tell(&push(1, "Boil the water"), 3)?;
    assert_eq!(globex.scene.settled(&general)?.len(), 1);
    assert_eq!(globex.scene.settled(&news)?.len(), 1);
    let listed = globex.say(&bob, "subscriptions")?;
    ensure!(
        listed.contains(&format!("• `group/one` in <#{news}>: pushes, tags"))
            && listed.contains("• `group/one` in #nowhere: pushes, issues\n:x: "),
        "{listed}"
    );
    let stage = &globex.scene.stage;
    let opened = stage.slack.home_opened(&globex.team, &bob)?;
    let reply = stage.caller.event(EVENTS, &opened)?;
    ensure!(reply.status == 200, "{}", reply.text());
    ensure!(
        stage.slack.wait_for_calls("views.publish", 1, PATIENCE),
        "{}",
        stage.sidecar.log()
    );
    let view = stage.slack.home(&bob).context("no home")?.view;
    assert_eq!(wrong_in_home(&view), [""; 0]);
    ensure!(
        view.to_string().contains("`group/one` in #nowhere"),
        "{view}"
    );
    // Acme's Ada has connected the project: she sees who follows it.
    let answer = globex.scene.status()?;
    ensure!(
        answer.contains(&format!(
            "*Followed by*\n• `group/one` in `#nowhere` of Globex: pushes, issues, by bob\n• `group/one` in `{news}` of Globex: pushes"
        )),
        "{answer}"
    );
    let answer = globex.say(
        &bob,
        "subscribe group/one push, issue branches=release/*,main",
    )?;
    ensure!(
        answer.contains("still follows `group/one`: pushes, issues; if `branches=release/*,main`."),
        "{answer}"
    );
    globex.scene.tell(&push(1, "Warm the pot"), 3)?;
    assert_eq!(globex.scene.settled(&news)?.len(), 2);
    let answer = globex.say(&bob, "subscribe group/one push branches=release/*")?;
    ensure!(
        answer.contains("pushes; if `branches=release/*`."),
        "{answer}"
    );
    globex.scene.tell(&push(1, "Add the milk"), 2)?;
    let answer = globex.say(&bob, "unsubscribe group/one")?;
    ensure!(
        answer.contains(&format!("<#{news}> no longer follows `group/one`")),
        "{answer}"
    );
    let answer = globex.say(&bob, "unsubscribe group/one nowhere")?;
    ensure!(answer.contains("For example"), "{answer}");
    globex.say(&bob, "unsubscribe group/one #nowhere")?;
    globex.scene.tell(&push(1, "Drink the tea"), 1)?;
    assert_eq!(globex.scene.settled(&news)?.len(), 2);
    let listed = globex.say(&bob, "subscriptions")?;
    ensure!(listed.starts_with("No channel"), "{listed}");
    Ok(())
}

/// Whoever asks for a status waits for one read, unless somebody follows; and gets it also if the second one fails.
#[test]
fn a_status_does_not_depend_on_followers() -> Result<()> {
    let mut globex = Globex::new("subscription_status")?;
    let bob = globex.bob.clone();
    let list =
        "lockstep_api.list_slack_followers(text, text, bigint, text, boolean, integer, text)";
    let managed =
        "lockstep_api.managed_slack_integrations(text, text, text, bigint[], boolean, text)";
    globex.scene.stage.client.batch_execute(&format!(
        "alter function {list} rename to gone; alter function {managed} rename to gone"
    ))?;
    let answer = globex.scene.status()?;
    ensure!(answer.starts_with("*group/one*"), "{answer}");
    globex.say(&bob, "subscribe group/one push")?;
    let answer = globex.scene.status()?;
    ensure!(
        answer.starts_with("*group/one*") && !answer.contains("Followed by"),
        "{answer}"
    );
    // Once: the first status did not ask.
    let missed = "followers are not shown";
    globex.scene.stage.sidecar.wait_for_log(missed)?;
    let log = globex.scene.stage.sidecar.log();
    ensure!(log.matches(missed).count() == 1, "{log}");
    let list = list.replace("list_slack_followers", "gone");
    globex.scene.stage.client.batch_execute(&format!(
        "alter function {list} rename to list_slack_followers"
    ))?;
    let answer = globex.scene.status()?;
    ensure!(answer.contains("*Followed by*"), "{answer}");
    Ok(())
}

#[test]
fn refusals_say_what_to_do_and_nothing_else() -> Result<()> {
    let mut globex = Globex::new("subscription_refused")?;
    let (bob, dee, eli) = (globex.bob.clone(), globex.dee.clone(), globex.eli.clone());
    for (user, words, expected) in [
        (&eli, "subscribe group/one", "Link your GitLab account"),
        (
            &dee,
            "subscribe group/one",
            "There is no project `group/one` that you maintain",
        ),
        (
            &dee,
            "subscribe group/none",
            "There is no project `group/none` that you maintain",
        ),
        (
            &bob,
            "subscribe group/two",
            "There is no project `group/two` that you maintain",
        ),
        (
            &bob,
            "subscribe <!channel>/x",
            "There is no project `&lt;!channel&gt;/x` that you maintain",
        ),
        (
            &bob,
            "subscribe group/one #c all",
            "`all` is not an event of a project. These are: push, tag_push",
        ),
        (
            &bob,
            "subscribe group/one #c branch=main",
            "`branch=main` is not a condition. These are: branches, labels",
        ),
        (
            &bob,
            "subscribe group/one #c drafts=no",
            "`drafts=no` has to be `true` or `false`",
        ),
        (
            &bob,
            "subscribe group/one #c push,branches=main,,dev",
            "`branches=main,,dev` has an empty value",
        ),
        (
            &bob,
            "subscribe group/one #c group_mention",
            "not every event is one of a project",
        ),
        (&bob, "subscribe group/one #a<b", "is not a channel"),
        (
            &bob,
            "subscribe",
            "For example `/gitlab subscribe group/project #channel`",
        ),
        (&bob, "unsubscribe group/one", "does not follow `group/one`"),
        (
            &dee,
            "unsubscribe group/none",
            "does not follow `group/none`",
        ),
    ] {
        let answer = globex.say(user, words)?;
        ensure!(answer.contains(expected), "{words}: {answer}");
    }
    // Another word for the default, and the channel by the name that Slack gives it.
    globex.say(&bob, "subscribe group/one #news push")?;
    let answer = globex.say(&bob, "subscribe group/one default")?;
    ensure!(
        answer.contains(&format!(
            "<#{}> still follows `group/one`: pushes, tags",
            globex.channel
        )),
        "{answer}"
    );
    let answer = globex.say(&bob, "unsubscribe group/one #news")?;
    ensure!(answer.contains("no longer follows"), "{answer}");
    // By its name from elsewhere, which nobody knows to be this channel before the first message.
    globex.say_in(&bob, "D0123", "subscribe group/one #news")?;
    globex.say(&bob, "subscribe group/one push")?;
    let answer = globex.say(&bob, "unsubscribe group/one")?;
    ensure!(answer.contains("no longer follows"), "{answer}");
    let listed = globex.say(&bob, "subscriptions")?;
    ensure!(listed.starts_with("No channel"), "{listed}");
    let answer = globex.say_in(&bob, "D0123", "subscribe group/one")?;
    ensure!(answer.contains("a conversation cannot follow"), "{answer}");
    globex.say(&bob, "subscribe group/one")?;
    let answer = globex.say(&dee, "unsubscribe group/one")?;
    ensure!(
        answer.contains("Only who subscribed the channel"),
        "{answer}"
    );
    let client = &mut globex.scene.stage.client;
    let recorded =
        "select string_agg(change || ' ' || user_id, ',') from lockstep.slack_subscription_audit";
    assert_eq!(
        text(client, recorded)?,
        format!(
            "subscribed {bob},changed {bob},unsubscribed {bob},subscribed {bob},subscribed {bob},unsubscribed {bob},unsubscribed {bob},subscribed {bob}"
        )
    );
    Ok(())
}
