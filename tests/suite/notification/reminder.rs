//! Reminders of merge requests that wait for a review.

use anyhow::{Result, ensure};
use lockstep_tests::host;
use postgres::Client;
use serde_json::{Value, json};

use crate::notification::app::Scene;
use crate::notification::filter::set;
use crate::notification::publish::told;
use crate::notification::settings::json_of;
use crate::service_account::number;
use crate::surface::refusal::refused;

/// Of project 1: two wait for Ada, one of them for Bob as well; others are reviewed, drafts, or closed. One of project 2 waits.
const REQUESTS: &str = "
insert into users (id, username, organization_id) values (3, 'ada', 1), (4, 'bob', 1);
insert into merge_requests (id, iid, target_project_id, title, state_id) values
  (1, 1, 1, 'Boil', 1), (2, 2, 1, 'Draft: pour', 1), (3, 3, 1, 'Closed', 2), (4, 4, 1, 'Reviewed', 1), (5, 5, 1, '<!channel> stir', 1), (6, 1, 2, 'Other', 1);
insert into merge_request_reviewers (merge_request_id, user_id, state) values (1, 3, 0), (2, 3, 0), (3, 3, 0), (4, 3, 1), (5, 3, 0), (5, 4, 0), (6, 4, 0)";

fn waiting(name: &str) -> Result<Client> {
    let mut client = told(name)?;
    host::run(&mut client, host::DEPLOYMENTS)?;
    client.batch_execute(REQUESTS)?;
    Ok(client)
}

fn remind(client: &mut Client, integration: i64, channel: &str) -> Result<i64> {
    client.batch_execute(
        "delete from lockstep_internal.event; delete from lockstep_internal.slack_delivery",
    )?;
    number(
        client,
        &format!(
            "select lockstep_api.remind_of_reviews({integration}, {channel}, 'https://gitlab.example.com')"
        ),
    )
}

/// Path, number and reviewers of each that is listed.
fn listed(client: &mut Client) -> Result<Vec<String>> {
    let event = json_of(client, "select payload::jsonb from lockstep_internal.event")?;
    let requests = event["merge_requests"].as_array().into_iter().flatten();
    let line = |it: &Value| {
        let reviewers = it["reviewers"].as_array().into_iter().flatten();
        let reviewers: Vec<&str> = reviewers.filter_map(|it| it["username"].as_str()).collect();
        format!(
            "{}!{} {}",
            it["path_with_namespace"].as_str().unwrap_or_default(),
            it["iid"],
            reviewers.join(",")
        )
    };
    Ok(requests.map(line).collect())
}

#[test]
fn what_waits_is_listed() -> Result<()> {
    let mut client = waiting("reminder_list")?;
    let channels = "select string_agg(c.channel, ' ' order by c.channel) from lockstep_internal.slack_delivery d join lockstep_internal.slack_channel c on c.id = d.channel";
    set(
        &mut client,
        json!({"event_channels": {"merge_request": "#review"}}),
    )?;
    assert_eq!(remind(&mut client, 1, "null")?, 2);
    let path: String = client
        .query_one("select 'group-1/' || path from projects where id = 1", &[])?
        .get(0);
    assert_eq!(
        listed(&mut client)?,
        [format!("{path}!1 ada"), format!("{path}!5 ada,bob")]
    );
    assert_eq!(
        client.query_one(channels, &[])?.get::<_, String>(0),
        "#review"
    );
    assert_eq!(remind(&mut client, 1, "'team'")?, 2);
    assert_eq!(
        client.query_one(channels, &[])?.get::<_, String>(0),
        "#team"
    );
    // A group's integration lists those of its projects that have none of their own, as it is notified of their events.
    client.batch_execute(
        "insert into integrations (id, group_id, type_new, category, active) values (50, 1, 'Integrations::GitlabSlackApplication', 'chat', true);
         insert into slack_integrations (id, team_id, team_name, alias, user_id, created_at, updated_at, integration_id)
           values (50, 'A', 'Team A', 'g', 'U1', now(), now(), 50)",
    )?;
    assert_eq!(remind(&mut client, 50, "'#g'")?, 0);
    client.batch_execute("delete from integrations where id = 2")?;
    assert_eq!(remind(&mut client, 50, "'#g'")?, 1);
    assert_eq!(listed(&mut client)?, ["group-1/p2!1 bob"]);
    // Nor where the feature flag keeps events back.
    client.batch_execute(
        "select lockstep.set_feature('integration_slack_app_notifications', false)",
    )?;
    assert_eq!(remind(&mut client, 50, "'#g'")?, 0);
    client.batch_execute(
        "select lockstep.enable_feature_for('integration_slack_app_notifications', 'Project:2')",
    )?;
    assert_eq!(remind(&mut client, 50, "'#g'")?, 1);
    client.batch_execute("delete from feature_gates; delete from features")?;
    // One that has no workspace uses that of the integration that it inherits from, as for events.
    client.batch_execute(
        "insert into integrations (id, project_id, type_new, category, active, inherit_from_id)
           values (51, 2, 'Integrations::GitlabSlackApplication', 'chat', true, 50)",
    )?;
    assert_eq!(remind(&mut client, 50, "'#g'")?, 0);
    assert_eq!(remind(&mut client, 51, "'#g'")?, 1);
    let sender = "select slack_integration_id from lockstep_internal.slack_delivery";
    assert_eq!(number(&mut client, sender)?, 50);
    client.batch_execute("update integrations set active = false where id = 51")?;
    assert_eq!(remind(&mut client, 51, "'#g'")?, 0);
    client.batch_execute("delete from integrations where id = 51")?;
    // Nothing is sent where nothing waits, or in an archived project.
    client
        .batch_execute("update merge_request_reviewers set state = 3 where merge_request_id = 6")?;
    assert_eq!(remind(&mut client, 50, "'#c'")?, 0);
    assert_eq!(
        number(&mut client, "select count(*) from lockstep_internal.event")?,
        0
    );
    client.batch_execute("alter table projects add column if not exists archived boolean; update projects set archived = true where id = 1")?;
    assert_eq!(remind(&mut client, 1, "'#c'")?, 0);
    Ok(())
}

/// Ten are listed, whose reviewers alone are mentioned; who is blocked reviews nothing.
#[test]
fn those_are_mentioned_who_are_listed() -> Result<()> {
    let mut client = waiting("reminder_listed")?;
    host::run(&mut client, host::MEMBERS)?;
    client.batch_execute(
        "insert into users (id, username, state, organization_id) values (5, 'cem', 'active', 1), (6, 'dan', 'blocked', 1);
         insert into chat_names (user_id, team_id, chat_id) values (3, 'A', 'U3'), (5, 'A', 'U5'), (6, 'A', 'U6');
         insert into merge_requests (id, iid, target_project_id, title, state_id) select n, n, 1, 'Stir', 1 from generate_series(10, 19) n;
         insert into merge_request_reviewers (merge_request_id, user_id, state) select n, case when n < 19 then 3 else 5 end, 0 from generate_series(10, 19) n;
         insert into merge_request_reviewers (merge_request_id, user_id, state) values (4, 6, 0), (1, 6, 0)",
    )?;
    set(&mut client, json!({"mentions": true}))?;
    assert_eq!(remind(&mut client, 1, "'#c'")?, 12);
    let listed = listed(&mut client)?;
    assert_eq!(listed.len(), 10);
    ensure!(listed[0].ends_with("!1 ada"), "{listed:?}");
    let mentions = "select d.mentions from lockstep_internal.slack_delivery d";
    let mentions: Option<String> = client.query_one(mentions, &[])?.get(0);
    assert_eq!(mentions.as_deref(), Some("U3"));
    Ok(())
}

/// A job that runs again after a crash posts nothing again.
#[test]
fn a_job_reminds_once() -> Result<()> {
    let mut client = waiting("reminder_once")?;
    let mut sent = |job: i64| -> Result<i64> {
        number(
            &mut client,
            &format!("select lockstep_api.remind_of_reviews(1, '#c', job_id => {job})"),
        )?;
        number(
            &mut client,
            "select count(*) from lockstep_internal.slack_delivery",
        )
    };
    assert_eq!([sent(7)?, sent(7)?, sent(8)?], [1, 1, 2]);
    Ok(())
}

#[test]
fn reminders_are_refused_with_a_reason() -> Result<()> {
    let mut client = told("reminder_refused")?;
    let call = |integration: i64, channel: &str| {
        format!("select lockstep_api.remind_of_reviews({integration}, {channel})")
    };
    refused(
        &mut client,
        &call(1, "'#c'"),
        "42P01",
        "no table merge_requests",
    )?;
    refused(
        &mut client,
        &call(999, "'#c'"),
        "P0002",
        "does not belong to the Slack app",
    )?;
    refused(
        &mut client,
        &call(1, "'<!channel>'"),
        "22023",
        "neither a name nor an id",
    )?;
    set(&mut client, json!({"channels": null}))?;
    refused(&mut client, &call(1, "null"), "55000", "has no channels")?;
    Ok(())
}

/// A recurring job sends it, with links and mentions as people have chosen.
#[test]
fn a_job_reminds_a_channel() -> Result<()> {
    let mut scene = Scene::with(
        "notification_reminder",
        &[
            "--gitlab-url=http://127.0.0.1:1",
            "--gitlab-external-url=https://example.com/gitlab",
        ],
    )?;
    let review = scene.channel("review");
    let bob = scene.stage.slack.create_user(&scene.team, "bob").id;
    scene.set(
        "project_id",
        1,
        &json!({ "channels": "#general", "mentions": true }),
    )?;
    let client = &mut scene.stage.client;
    host::run(client, host::DEPLOYMENTS)?;
    host::run(client, host::MEMBERS)?;
    client.batch_execute(REQUESTS)?;
    client.batch_execute(&format!(
        "insert into chat_names (user_id, team_id, chat_id) values (4, '{}', '{bob}');
         select lockstep.schedule_job('reviews', '0 9 * * 1-5', 'Slack::ReviewReminderWorker',
           jsonb_build_object('integration_id', (select min(id) from integrations where project_id = 1), 'channel', '#review'), 'Europe/Berlin');
         select lockstep.enqueue_job(s.worker, s.args) from lockstep.job_schedules s",
        scene.team
    ))?;
    scene
        .stage
        .wait_for("select exists (select from lockstep_internal.slack_delivery)")?;
    let messages = scene.settled(&review)?;
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].mentions(), [bob]);
    let sent = messages[0].sent.to_string();
    ensure!(
        sent.contains("2 merge requests wait for a review")
            && sent.contains(
                "https://example.com/gitlab/group/one/-/merge_requests/5|!5 &lt;!channel&gt; stir"
            ),
        "{sent}"
    );
    Ok(())
}
