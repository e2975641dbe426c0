//! Settings that Slack users change, and properties that GitLab stores encrypted.

use crate::concurrency::{pid_of, settle};
use crate::database::cluster;
use crate::notification::publish::told;
use crate::notification::settings::json_of;
use crate::notification::settings_turns::version;
use crate::service_account::number;
use crate::surface::refusal::refused;
use anyhow::{Context, Result, ensure};
use postgres::Client;
use postgres::error::SqlState;
use serde_json::{Value, json};

#[test]
fn users_of_slack_change_their_own() -> Result<()> {
    let mut client = told("settings_slack")?;
    let call = |team: &str, row: i64, user: &str, manager: bool, settings: &str, events: &str| {
        format!(
            "select alias from lockstep_api.set_slack_integration_settings('{team}', null, {row}, '{user}', {manager}, {settings}, {events})"
        )
    };
    let alias: String = client
        .query_one(
            &call(
                "A",
                1,
                "U1",
                false,
                "'{\"branches\": \"all\"}'",
                "'{\"push\": false, \"issue\": true, \"confidential_note\": false}'",
            ),
            &[],
        )?
        .get(0);
    assert_eq!(alias, "a1");
    let row = client.query_one("select push_events, issues_events, confidential_note_events, note_events, updated_at > '2020-02-01' from integrations where id = 1", &[])?;
    assert_eq!(
        (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4)),
        (Some(false), Some(true), Some(false), true, Some(true))
    );
    let mut shown = json_of(
        &mut client,
        "select lockstep_api.slack_workspace_notifications('A', null, 1)",
    )?;
    // And GitLab's own columns.
    let events = shown.as_object_mut().and_then(|it| it.remove("events"));
    let inherited = shown.as_object_mut().and_then(|it| it.remove("inherited"));
    assert_eq!(inherited, Some(Value::Null));
    let version = shown.as_object_mut().and_then(|it| it.remove("version"));
    assert!(version.is_some_and(|it| it.is_string()));
    assert_eq!(
        events.as_ref().and_then(Value::as_array).map(Vec::len),
        Some(15)
    );
    assert_eq!(shown["branches"], json!("all"));
    assert_eq!(shown["channels"], json!(["#c"]));
    assert_eq!(
        json_of(&mut client, "select lockstep.slack_notifications(1)")?,
        shown
    );
    // Back to inherited settings, and own ones again.
    client.batch_execute("update integrations set inherit_from_id = 2 where id = 1")?;
    let inherited = |client: &mut Client| -> Result<(Value, Value)> {
        let shown = json_of(
            client,
            "select lockstep_api.slack_workspace_notifications('A', null, 1)",
        )?;
        Ok((shown["inherited"].clone(), shown["from"].clone()))
    };
    assert_eq!(inherited(&mut client)?, (json!(false), json!(1)));
    client.batch_execute(&call("A", 1, "U1", false, "'\"inherited\"'", "null"))?;
    assert_eq!(inherited(&mut client)?, (json!(true), json!(2)));
    client.batch_execute(&call(
        "A",
        1,
        "U1",
        false,
        "'{\"branches\": \"all\"}'",
        "null",
    ))?;
    assert_eq!(inherited(&mut client)?, (json!(false), json!(1)));
    client.batch_execute("update integrations set inherit_from_id = null where id = 1")?;
    assert_eq!(inherited(&mut client)?, (json!(null), json!(1)));
    // An empty change changes nothing, and current values are not written again.
    client.batch_execute(
        "create table before as select xmin::text as version from integrations where id = 1",
    )?;
    client.batch_execute(&call("A", 1, "U9", true, "null", "null"))?;
    client.batch_execute(&call("A", 1, "U9", true, "'{}'", "'{\"push\": false}'"))?;
    assert_eq!(
        number(
            &mut client,
            "select count(*) from integrations i, before b where i.id = 1 and i.xmin::text = b.version"
        )?,
        1
    );
    // A user who neither installed nor manages it may not; nor may users of another workspace.
    let all = "'{\"branches\": \"protected\"}'";
    let on = "'{\"push\": true}'";
    let before = json_of(&mut client, "select lockstep.slack_notifications(1)")?;
    refused(
        &mut client,
        &call("A", 1, "U9", false, all, on),
        "42501",
        "does not manage",
    )?;
    for team in ["B", "Z"] {
        refused(
            &mut client,
            &call(team, 1, "U1", true, all, on),
            "P0002",
            "no integration 1",
        )?;
        refused(
            &mut client,
            &format!("select lockstep_api.slack_workspace_notifications('{team}', null, 1)"),
            "P0002",
            "no integration 1",
        )?;
        refused(
            &mut client,
            &format!(
                "select lockstep_api.test_slack_workspace_integration('{team}', null, 1, 'U1', true)"
            ),
            "P0002",
            "no integration 1",
        )?;
    }
    for (settings, events, problem) in [
        (
            "null",
            "'{\"pushes\": true}'",
            "\"events.pushes\" is not an event",
        ),
        (
            "null",
            "'{\"push\": 1}'",
            "\"events.push\" is not a boolean",
        ),
        ("null", "'[]'", "\"events\" is not an object"),
        // If one value is invalid, valid ones are not saved either.
        ("'{\"x\": 1}'", on, "\"x\" is not a setting"),
    ] {
        refused(
            &mut client,
            &call("A", 1, "U1", false, settings, events),
            "22023",
            problem,
        )?;
    }
    refused(
        &mut client,
        "select lockstep_api.test_slack_workspace_integration('A', null, 1, 'U9', false)",
        "42501",
        "does not manage",
    )?;
    let events = |client: &mut Client| -> Result<bool> {
        let shown = json_of(
            client,
            "select lockstep_api.slack_workspace_notifications('A', null, 1)",
        )?;
        let events = shown["events"].as_array().context("no events")?;
        Ok(events.iter().any(|it| it == "alert"))
    };
    assert!(events(&mut client)?);
    client.batch_execute("alter table integrations drop column alert_events")?;
    assert!(!events(&mut client)?);
    // It is off anyway.
    client.batch_execute(&call("A", 1, "U1", false, "null", "'{\"alert\": false}'"))?;
    refused(
        &mut client,
        &call("A", 1, "U1", false, "null", "'{\"alert\": true}'"),
        "22023",
        "is not an event of this GitLab",
    )?;
    assert_eq!(
        json_of(&mut client, "select lockstep.slack_notifications(1)")?,
        before
    );
    assert_eq!(
        number(
            &mut client,
            "select count(*) from integrations where id = 1 and push_events"
        )?,
        0
    );
    Ok(())
}

/// Two who have seen the same routes save at the same time.
#[test]
fn routes_are_not_replaced_unseen() -> Result<()> {
    let name = "settings_unseen";
    let mut client = told(name)?;
    client.batch_execute("delete from lockstep_internal.slack_notification")?;
    let call = |settings: &str, version: &str| {
        format!(
            "select * from lockstep_api.set_slack_integration_settings('A', null, 1, 'U1', false, '{settings}', null, '{version}')"
        )
    };
    let changed = "have changed since they were read";
    // At first there is no row to lock.
    for (one, second) in [("#one", "#two"), ("#three", "#four")] {
        let seen = version(&mut client)?;
        let mut first = cluster()?.connect(name)?;
        let mut other = cluster()?.connect(name)?;
        let pid = pid_of(&mut other)?;
        let route = |channel: &str| {
            call(
                &json!({"routes": [{"channels": [channel]}]}).to_string(),
                &seen,
            )
        };
        let mut changing = first.transaction()?;
        changing.batch_execute(&route(one))?;
        std::thread::scope(|scope| -> Result<()> {
            let session = scope.spawn(|| other.batch_execute(&route(second)));
            ensure!(settle(&session, &mut client, pid)?, "it does not wait");
            changing.commit()?;
            let said = session
                .join()
                .map_err(|_| anyhow::anyhow!("a session panicked"))?;
            let error = said.err().context("it did not see the other's")?;
            ensure!(
                error.code() == Some(&SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE),
                "{error:?}"
            );
            Ok(())
        })?;
        let routes = json_of(
            &mut client,
            "select lockstep.slack_notifications(1) -> 'routes'",
        )?;
        assert_eq!(routes, json!([{"channels": [one]}]));
        // Other settings, and the same routes again, lose nothing.
        client.batch_execute(&call(r#"{"branches": "all"}"#, &seen))?;
        client.batch_execute(&route(one))?;
        assert_ne!(version(&mut client)?, seen);
    }
    // Their order and which of them count are part of what was seen.
    let mut versions = vec![version(&mut client)?];
    for settings in [
        r##"{"routes": [{"channels": "#a"}, {"channels": "#b"}]}"##,
        r##"{"routes": [{"channels": "#b"}, {"channels": "#a"}]}"##,
        r##"{"routes": [{"channels": "#b"}, {"channels": "#a", "tags": true}]}"##,
        r#"{"all_routes": true}"#,
    ] {
        let before = versions.last().cloned().unwrap_or_default();
        client.batch_execute(&call(settings, &before))?;
        let now = version(&mut client)?;
        ensure!(!versions.contains(&now), "{settings}");
        versions.push(now);
        let stale = call(r##"{"routes": [{"channels": "#c"}]}"##, &before);
        refused(&mut client, &stale, "55000", changed)?;
    }
    // Nor is what was not seen removed; nothing of its own is nothing to lose.
    let stale = versions[0].clone();
    client.batch_execute("update integrations set inherit_from_id = 2 where id = 1")?;
    refused(
        &mut client,
        &call("\"inherited\"", &stale),
        "55000",
        changed,
    )?;
    let seen = version(&mut client)?;
    client.batch_execute(&call("\"inherited\"", &seen))?;
    client.batch_execute(&call("\"inherited\"", &stale))?;
    // What is inherited is seen as well.
    client.batch_execute("select lockstep.set_slack_notifications(2, '{\"all_routes\": true}')")?;
    let seen = version(&mut client)?;
    client
        .batch_execute("select lockstep.set_slack_notifications(2, '{\"all_routes\": false}')")?;
    let own = |seen: &str| call(r##"{"routes": [{"channels": "#own"}]}"##, seen);
    refused(&mut client, &own(&seen), "55000", changed)?;
    let seen = version(&mut client)?;
    client.batch_execute(&own(&seen))?;
    Ok(())
}

#[test]
fn encrypted_properties_are_listed() -> Result<()> {
    let mut client = told("settings_properties")?;
    client.batch_execute(
        "update integrations set encrypted_properties = convert_to('p' || id, 'UTF8'), encrypted_properties_iv = convert_to('i' || id, 'UTF8')
              where id in (2, 4, 6);
             update integrations set encrypted_properties_iv = null where id = 6;
             insert into integrations (id, project_id, type_new, encrypted_properties) values (99, 1, 'Integrations::Slack', 'p')",
    )?;
    type Listed = Vec<(i64, Vec<u8>, Option<Vec<u8>>)>;
    let list = |client: &mut Client, arguments: &str| -> Result<Listed> {
        let rows = client.query(
            &format!("select integration_id, properties, iv from lockstep.list_integration_properties({arguments})"),
            &[],
        )?;
        Ok(rows
            .iter()
            .map(|row| (row.get(0), row.get(1), row.get(2)))
            .collect())
    };
    let row = |id: i64| {
        (
            id,
            format!("p{id}").into_bytes(),
            (id != 6).then(|| format!("i{id}").into_bytes()),
        )
    };
    assert_eq!(list(&mut client, "")?, [row(2), row(4), row(6)]);
    assert_eq!(list(&mut client, "2, 1")?, [row(4)]);
    assert_eq!(list(&mut client, "6")?, []);
    // GitLab has copied inherited properties.
    client.batch_execute("update integrations set inherit_from_id = 2 where id = 4")?;
    assert_eq!(list(&mut client, "")?, [row(2), row(6)]);
    refused(
        &mut client,
        "select lockstep.list_integration_properties(0, -1)",
        "22023",
        "negative",
    )?;
    client.batch_execute("alter table integrations drop column encrypted_properties")?;
    assert_eq!(list(&mut client, "")?, []);
    Ok(())
}

/// GitLab copies an integration's saved values to those that inherit from it, so switching by Slack users does the same.
#[test]
fn heirs_are_switched_along() -> Result<()> {
    let mut client = told("settings_heirs")?;
    // Even if they inherit from each other.
    client.batch_execute(
        "update integrations set active = true, push_events = true, note_events = true;
         update integrations set inherit_from_id = 1 where id = 2; update integrations set inherit_from_id = 2 where id = 3;
         update integrations set inherit_from_id = 3 where id = 1; update integrations set active = false where id = 3",
    )?;
    let switched = |client: &mut Client, column: &str| -> Result<String> {
        let query = format!(
            "select string_agg(id::text, ' ' order by id) from integrations where id <= 4 and {column}"
        );
        Ok(client.query_one(&query, &[])?.get(0))
    };
    client.batch_execute(
        "select lockstep_api.set_slack_integration_settings('A', null, 1, 'U1', false, null, '{\"push\": false}')",
    )?;
    assert_eq!(switched(&mut client, "push_events")?, "4");
    assert_eq!(switched(&mut client, "note_events")?, "1 2 3 4");
    let set = |active: bool| {
        format!(
            "select changed from lockstep_api.set_slack_integration_active('A', null, 1, 'U1', {active})"
        )
    };
    for (active, changed, left) in [
        (true, true, "1 2 3 4"),
        (true, false, "1 2 3 4"),
        (false, true, "4"),
    ] {
        assert_eq!(
            client.query_one(&set(active), &[])?.get::<_, bool>(0),
            changed
        );
        assert_eq!(switched(&mut client, "active")?, left);
    }
    // An older GitLab without inheritance.
    client.batch_execute("alter table integrations drop column inherit_from_id")?;
    assert!(client.query_one(&set(true), &[])?.get::<_, bool>(0));
    assert_eq!(switched(&mut client, "active")?, "1 4");
    Ok(())
}
