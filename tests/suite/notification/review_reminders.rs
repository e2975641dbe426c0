//! Reminders of reviews as a setting of integrations.

use anyhow::{Result, ensure};
use postgres::Client;
use serde_json::{Value, json};

use crate::notification::filter::set;
use crate::notification::publish::told;
use crate::notification::settings::json_of;
use crate::notification::settings_turns::version;
use crate::service_account::number;
use crate::surface::refusal::refused;

fn shown(client: &mut Client, integration: i64) -> Result<Value> {
    json_of(
        client,
        &format!("select lockstep.slack_notifications({integration}) -> 'review_reminders'"),
    )
}

/// Name, time, zone and arguments of each schedule.
fn scheduled(client: &mut Client) -> Result<Vec<String>> {
    let query = "select concat_ws(' | ', name, cron, time_zone, args::text) from lockstep.job_schedules order by name";
    Ok(client
        .query(query, &[])?
        .iter()
        .map(|row| row.get(0))
        .collect())
}

fn reminder(cron: &str, zone: &str, channels: &[&str]) -> Value {
    json!({"cron": cron, "time_zone": zone, "channels": channels})
}

#[test]
fn reminders_are_scheduled_as_they_are_set() -> Result<()> {
    let mut client = told("review_reminders")?;
    set(
        &mut client,
        json!({"channels": "#team", "review_reminders": [
            {"cron": "0  9 * * MON-FRI ", "time_zone": "Europe/Berlin", "channels": "review, #docs"}, {"cron": "@daily"}]}),
    )?;
    let first = reminder("0 9 * * MON-FRI", "Europe/Berlin", &["#review", "#docs"]);
    let second = reminder("@daily", "UTC", &[]);
    assert_eq!(shown(&mut client, 1)?, json!([first, second]));
    let one = "reviews of 1 in public, 1 | 0 9 * * MON-FRI | Europe/Berlin | {\"channel\": \"#review,#docs\", \"integration_id\": 1}";
    let two = "reviews of 1 in public, 2 | @daily | UTC | {\"integration_id\": 1}";
    assert_eq!(scheduled(&mut client)?, [one, two]);
    // What stays is not written, so that a time which is due is not skipped.
    let rows = "select string_agg(xmin::text, ' ' order by name) from lockstep_internal.job_schedule where name like '%1'";
    let row = |client: &mut Client| -> Result<String> { Ok(client.query_one(rows, &[])?.get(0)) };
    let before = row(&mut client)?;
    let third = reminder("5 4 * * *", "UTC", &["#late"]);
    set(&mut client, json!({"review_reminders": [third, first]}))?;
    assert_eq!(row(&mut client)?, before);
    assert_eq!(shown(&mut client, 1)?, json!([first, third]));
    set(&mut client, json!({"labels": ["x"]}))?;
    assert_eq!(shown(&mut client, 1)?, json!([first, third]));
    set(&mut client, json!({"review_reminders": null}))?;
    assert_eq!(scheduled(&mut client)?, Vec::<String>::new());
    Ok(())
}

#[test]
fn reminders_scheduled_by_sql_are_settings() -> Result<()> {
    let mut client = told("review_reminders_sql")?;
    client.batch_execute(
        "select lockstep.schedule_job('mine', '0 9 * * 1-5', 'Slack::ReviewReminderWorker', '{\"integration_id\": 1, \"channel\": \"review\"}', 'UTC');
         select lockstep.schedule_job('other', '0 9 * * 1-5', 'Slack::ReviewReminderWorker', '{\"integration_id\": 2}');
         select lockstep.schedule_job('elsewhere', '0 9 * * 1-5', 'Slack::ReviewReminderWorker', '{\"integration_id\": 1, \"schema\": \"gitlab\"}');
         select lockstep.schedule_job('odd', '0 9 * * 1-5', 'Slack::ReviewReminderWorker', '[]');
         select lockstep.schedule_job('reviews of 1 in public, 1', '0 9 * * 1-5', 'A', '{\"integration_id\": 1}')",
    )?;
    let mine = reminder("0 9 * * 1-5", "UTC", &["#review"]);
    assert_eq!(shown(&mut client, 1)?, json!([mine]));
    let more = reminder("0 10 * * *", "UTC", &["#a"]);
    set(&mut client, json!({"review_reminders": [mine, more]}))?;
    let names = "select string_agg(name, ';' order by name) from lockstep.job_schedules";
    let names =
        |client: &mut Client| -> Result<String> { Ok(client.query_one(names, &[])?.get(0)) };
    assert_eq!(
        names(&mut client)?,
        "elsewhere;mine;odd;other;reviews of 1 in public, 1;reviews of 1 in public, 2"
    );
    set(&mut client, json!({"review_reminders": [more]}))?;
    client.batch_execute("select lockstep.reset_slack_notifications(1)")?;
    assert_eq!(
        names(&mut client)?,
        "elsewhere;odd;other;reviews of 1 in public, 1"
    );
    // Those of integrations that the application has removed end as well.
    client.batch_execute("delete from integrations where id = 2")?;
    client.batch_execute("select lockstep.sweep_slack()")?;
    assert_eq!(
        names(&mut client)?,
        "elsewhere;odd;reviews of 1 in public, 1"
    );
    Ok(())
}

#[test]
fn wrong_reminders_are_refused() -> Result<()> {
    let mut client = told("review_reminders_wrong")?;
    set(
        &mut client,
        json!({"channels": null, "event_channels": null}),
    )?;
    let many: Vec<Value> = (0..11)
        .map(|minute| json!({"cron": format!("{minute} 9 * * *"), "channels": "#a"}))
        .collect();
    for (wrong, message) in [
        (json!("0 9 * * *"), "\"review_reminders\" is not a list"),
        (json!([7]), "\"review_reminders[0]\" is not an object"),
        (json!(many), "has more than 10 reminders"),
        (
            json!([{"channels": "#a"}]),
            "\"review_reminders[0]\" has no time",
        ),
        (
            json!([{"cron": "0 9 * * *", "channels": "#a"}, {"cron": "0 9 * *", "channels": "#a"}]),
            "\"review_reminders[1]\" has no time",
        ),
        (
            json!([{"cron": "0 0 30 2 *", "channels": "#a"}]),
            "is never due",
        ),
        (
            json!([{"cron": "0 9 * * *", "time_zone": "Berlin", "channels": "#a"}]),
            "\"Berlin\" is not a time zone",
        ),
        (
            json!([{"cron": 9, "channels": "#a"}]),
            "\"review_reminders[0].cron\" is not a text",
        ),
        (
            json!([{"cron": "0 9 * * *", "channel": "#a"}]),
            "\"review_reminders[0].channel\" is not a field of a reminder",
        ),
        (
            json!([{"cron": "0 9 * * *", "channels": "<!channel>"}]),
            "\"review_reminders[0].channels\" has",
        ),
        (
            json!([{"cron": "0 9 * * *"}]),
            "has a reminder without channels",
        ),
    ] {
        let statement = format!(
            "select lockstep.set_slack_notifications(1, '{}')",
            json!({"labels": ["lost"], "review_reminders": wrong})
        );
        refused(&mut client, &statement, "22023", message)?;
    }
    assert_eq!(
        number(&mut client, "select count(*) from lockstep.job_schedules")?,
        0
    );
    // It may lose its channel later.
    set(
        &mut client,
        json!({"event_channels": {"merge_request": "#review"}, "review_reminders": [{"cron": "0 9 * * *"}]}),
    )?;
    set(&mut client, json!({"event_channels": null}))?;
    Ok(())
}

/// An integration that inherits its settings has reminders of its own.
#[test]
fn reminders_are_not_inherited() -> Result<()> {
    let mut client = told("review_reminders_heir")?;
    client.batch_execute(
        "delete from lockstep_internal.slack_notification;
         update integrations set inherit_from_id = 2 where id = 1;
         select lockstep.set_slack_notifications(2, '{\"channels\": \"#group\", \"review_reminders\": [{\"cron\": \"@daily\"}]}');
         select lockstep.set_slack_notifications(1, '{\"review_reminders\": [{\"cron\": \"@hourly\"}]}')",
    )?;
    let settings = json_of(&mut client, "select lockstep.slack_notifications(1)")?;
    assert_eq!(settings["from"], 2);
    assert_eq!(
        settings["review_reminders"],
        json!([reminder("@hourly", "UTC", &[])])
    );
    client.batch_execute("select lockstep.set_slack_notifications(1, '{\"labels\": \"x\"}')")?;
    assert_eq!(
        shown(&mut client, 1)?,
        json!([reminder("@hourly", "UTC", &[])])
    );
    client.batch_execute("select lockstep.reset_slack_notifications(1)")?;
    assert_eq!(shown(&mut client, 1)?, json!([]));
    assert_eq!(
        shown(&mut client, 2)?,
        json!([reminder("@daily", "UTC", &[])])
    );
    Ok(())
}

/// People in Slack neither replace reminders that they have not seen, nor those that they left alone.
#[test]
fn reminders_are_not_replaced_unseen() -> Result<()> {
    let mut client = told("review_reminders_unseen")?;
    let save = |reminders: &Value, version: &str| {
        let settings = json!({"labels": ["saved"], "routes": [], "review_reminders": reminders});
        format!(
            "select * from lockstep_api.set_slack_integration_settings('A', null, 1, 'U1', false, '{settings}', null, '{version}')"
        )
    };
    let seen = version(&mut client)?;
    let other = reminder("0 8 * * *", "UTC", &["#other"]);
    set(&mut client, json!({"review_reminders": [other]}))?;
    let mine = json!([reminder("0 9 * * *", "UTC", &["#mine"])]);
    refused(
        &mut client,
        &save(&mine, &seen),
        "55000",
        "have changed since they were read",
    )?;
    // As they were shown.
    client.batch_execute(&save(&json!([]), &seen))?;
    assert_eq!(shown(&mut client, 1)?, json!([other]));
    let seen = version(&mut client)?;
    client.batch_execute(&save(&mine, &seen))?;
    assert_eq!(shown(&mut client, 1)?, mine);
    ensure!(seen != version(&mut client)?, "the version is the same");
    Ok(())
}

/// Who looks at the App Home still sees that a reminder does not reach its channel.
#[test]
fn troubles_of_a_reminder_are_kept() -> Result<()> {
    let mut client = told("review_reminders_trouble")?;
    set(
        &mut client,
        json!({"review_reminders": [reminder("@daily", "UTC", &["#review"])]}),
    )?;
    client.batch_execute(
        "insert into lockstep_internal.slack_channel_trouble (schema, integration_id, team_id, channel, error)
           values ('public', 1, 'A', '#review', 'not_in_channel'), ('public', 1, 'A', '#gone', 'not_in_channel')",
    )?;
    let left = "select string_agg(channel, ' ') from lockstep_internal.slack_channel_trouble";
    let left =
        |client: &mut Client| -> Result<Option<String>> { Ok(client.query_one(left, &[])?.get(0)) };
    client.batch_execute("select lockstep.sweep_slack()")?;
    assert_eq!(left(&mut client)?.as_deref(), Some("#review"));
    set(&mut client, json!({"labels": "x"}))?;
    assert_eq!(left(&mut client)?.as_deref(), Some("#review"));
    set(&mut client, json!({"review_reminders": []}))?;
    assert_eq!(left(&mut client)?, None);
    Ok(())
}
