//! Settings of integrations: stored and shown, refused, and inherited.

use anyhow::{Context, Result, ensure};
use postgres::Client;
use serde_json::{Value, json};

use crate::concurrency::{pid_of, settle};
use crate::database::cluster;
use crate::notification::inheritance::GROUPS;
use crate::notification::publish::{event, publish, told};
use crate::surface::refusal::refused;

pub(crate) fn json_of(client: &mut Client, query: &str) -> Result<Value> {
    let row = client
        .query_one(&format!("select ({query})::text"), &[])
        .context(query.to_owned())?;
    Ok(serde_json::from_str(row.get(0))?)
}

pub(crate) fn set(client: &mut Client, id: i64, settings: &Value) -> Result<Value> {
    json_of(
        client,
        &format!("select lockstep.set_slack_notifications({id}, '{settings}')"),
    )
}

fn defaults() -> Value {
    json!({
        "from": null, "channels": [], "event_channels": {}, "branches": "default", "labels": [], "all_labels": false,
        "only_broken_pipelines": true, "only_changed_pipelines": false, "child_pipelines": false, "updates": "separate", "own_actions": true, "muted_authors": [], "changes": [],
        "routes": [], "all_routes": false, "changes": [], "mentions": false, "user_groups": {}, "review_reminders": []
    })
}

fn with(mut settings: Value, changes: Value) -> Value {
    if let (Some(settings), Some(changes)) = (settings.as_object_mut(), changes.as_object()) {
        settings.extend(changes.clone());
    }
    settings
}

#[test]
fn what_is_given_is_merged() -> Result<()> {
    let mut client = told("settings_merge")?;
    client.batch_execute("delete from lockstep_internal.slack_notification")?;
    assert_eq!(
        json_of(&mut client, "select lockstep.slack_notifications(1)")?,
        defaults()
    );
    let mut expected = with(defaults(), json!({"from": 1}));
    assert_eq!(set(&mut client, 1, &json!({}))?, expected);
    for (given, kept) in [
        (
            json!({"channels": " #a, b ,, #a,C0123,U1"}),
            json!({"channels": ["#a", "#b", "C0123", "U1"]}),
        ),
        (
            json!({"channels": ["#a", " x ", "#a", ""]}),
            json!({"channels": ["#a", "#x"]}),
        ),
        (
            json!({"event_channels": {"push": "#p", "issue": ["#i", "#j"]}}),
            json!({"event_channels": {"push": ["#p"], "issue": ["#i", "#j"]}}),
        ),
        (
            json!({"event_channels": {"push": null, "note": "#n"}}),
            json!({"event_channels": {"note": ["#n"], "issue": ["#i", "#j"]}}),
        ),
        (
            json!({"event_channels": {"issue": []}}),
            json!({"event_channels": {"note": ["#n"]}}),
        ),
        (
            json!({"branches": "default_and_protected"}),
            json!({"branches": "default_and_protected"}),
        ),
        (
            json!({"labels": "~bug, ~very urgent,bug"}),
            json!({"labels": ["bug", "very urgent"]}),
        ),
        (
            json!({"labels": ["~x, y"], "all_labels": true}),
            json!({"labels": ["x, y"], "all_labels": true}),
        ),
        (
            json!({"only_broken_pipelines": false, "only_changed_pipelines": true}),
            json!({"only_broken_pipelines": false, "only_changed_pipelines": true}),
        ),
        (json!({"updates": "thread"}), json!({"updates": "thread"})),
        (
            json!({"updates": "update", "own_actions": false}),
            json!({"updates": "update", "own_actions": false}),
        ),
        (
            json!({"muted_authors": ["@bot", "bot", "root"]}),
            json!({"muted_authors": ["bot", "root"]}),
        ),
    ] {
        expected = with(expected, kept);
        assert_eq!(set(&mut client, 1, &given)?, expected, "{given}");
        assert_eq!(
            json_of(&mut client, "select lockstep.slack_notifications(1)")?,
            expected,
            "{given}"
        );
    }
    // Null restores the default.
    let mut reset = defaults();
    if let Some(settings) = reset.as_object_mut() {
        settings.remove("from");
        settings.values_mut().for_each(|value| *value = Value::Null);
    }
    assert_eq!(
        set(&mut client, 1, &reset)?,
        with(defaults(), json!({"from": 1}))
    );
    Ok(())
}

#[test]
fn what_is_wrong_is_refused_and_changes_nothing() -> Result<()> {
    let mut client = told("settings_wrong")?;
    let before = json_of(&mut client, "select lockstep.slack_notifications(1)")?;
    let many = |count: usize| (0..count).map(|n| format!("#c{n}")).collect::<Vec<_>>();
    let long = "x".repeat(81);
    for (settings, path, problem) in [
        (json!([]), "settings", "is not an object"),
        (json!({"channel": "#a"}), "channel", "is not a setting"),
        (
            json!({"channels": 1}),
            "channels",
            "neither a list nor a text",
        ),
        (
            json!({"channels": ["#a", 1]}),
            "channels[1]",
            "is not a text",
        ),
        (json!({"channels": many(11)}), "channels", "more than 10"),
        (
            json!({"event_channels": []}),
            "event_channels",
            "is not an object",
        ),
        (
            json!({"event_channels": {"pushes": "#a"}}),
            "event_channels.pushes",
            "is not an event",
        ),
        (
            json!({"event_channels": {"push": true}}),
            "event_channels.push",
            "neither",
        ),
        (
            json!({"event_channels": {"push": many(11).join(",")}}),
            "event_channels.push",
            "more than 10",
        ),
        (
            json!({"channels": ["#gen\u{200b}eral"]}),
            "channels",
            "neither a name nor an id",
        ),
        (
            json!({"event_channels": {"push": ["#\u{202e}lareneg"]}}),
            "event_channels.push",
            "neither a name nor an id",
        ),
        (
            json!({"channels": ["#x\u{e0041}"]}),
            "channels",
            "neither a name nor an id",
        ),
        (
            json!({"channels": ["two words"]}),
            "channels",
            "neither a name nor an id",
        ),
        (
            json!({"channels": ["a,b"]}),
            "channels",
            "neither a name nor an id",
        ),
        (
            json!({"channels": ["#"]}),
            "channels",
            "neither a name nor an id",
        ),
        (
            json!({"channels": ["##a"]}),
            "channels",
            "neither a name nor an id",
        ),
        (
            json!({"channels": ["@someone"]}),
            "channels",
            "neither a name nor an id",
        ),
        (
            json!({"channels": ["<!channel>"]}),
            "channels",
            "neither a name nor an id",
        ),
        (
            json!({"channels": [long]}),
            "channels",
            "neither a name nor an id",
        ),
        (
            json!({"branches": "some"}),
            "branches",
            "is none of all, default, protected, default_and_protected",
        ),
        (json!({"branches": 1}), "branches", "is none of"),
        (
            json!({"updates": "Thread"}),
            "updates",
            "is none of separate, update, thread",
        ),
        (
            json!({"all_labels": "yes"}),
            "all_labels",
            "is not a boolean",
        ),
        (json!({"own_actions": 0}), "own_actions", "is not a boolean"),
        (json!({"labels": many(101)}), "labels", "more than 100"),
        (
            json!({"labels": ["x".repeat(256)]}),
            "labels",
            "more than 255",
        ),
        (json!({"muted_authors": {}}), "muted_authors", "neither"),
        // A valid one before an invalid one.
        (
            json!({"branches": "all", "zzz": 1}),
            "zzz",
            "is not a setting",
        ),
    ] {
        let error = refused(
            &mut client,
            &format!(
                "select lockstep.set_slack_notifications(1, '{}')",
                settings.to_string().replace('\'', "''")
            ),
            "22023",
            problem,
        )?;
        ensure!(
            error.message().contains(&format!("\"{path}\"")),
            "{settings}: {error:?}"
        );
    }
    // At the limits.
    set(
        &mut client,
        2,
        &json!({"channels": many(10), "event_channels": {"push": ["x".repeat(80), format!("#{}", "ü".repeat(80))]}, "labels": many(100)}),
    )?;
    assert_eq!(
        json_of(&mut client, "select lockstep.slack_notifications(1)")?,
        before
    );
    client.batch_execute(
        "insert into integrations (id, project_id, type_new) values (99, 1, 'Integrations::Slack')",
    )?;
    for id in [98, 99] {
        for call in [
            "set_slack_notifications(ID, '{}')",
            "slack_notifications(ID)",
            "test_slack_integration(ID)",
        ] {
            let call = call.replace("ID", &id.to_string());
            refused(
                &mut client,
                &format!("select lockstep.{call}"),
                "P0002",
                "does not belong to the Slack app",
            )?;
        }
    }
    for call in [
        "set_slack_notifications(null, '{}')",
        "set_slack_notifications(1, null)",
        "slack_notifications(null)",
        "slack_notifications(1, null)",
    ] {
        refused(
            &mut client,
            &format!("select lockstep.{call}"),
            "22004",
            "must not be null",
        )?;
    }
    refused(
        &mut client,
        "select lockstep.slack_notifications(1, 'nowhere')",
        "3F000",
        "nowhere",
    )?;
    Ok(())
}

#[test]
fn settings_are_inherited() -> Result<()> {
    let mut client = told("settings_inherit")?;
    client.batch_execute(GROUPS)?;
    client.batch_execute(
        "select app(100, 'organization_id', 1), app(101, 'group_id', 20), app(102, 'group_id', 21), app(103, 'project_id', 32);
         update integrations set inherit_from_id = id - 1 where id between 101 and 103;
         delete from lockstep_internal.slack_notification where integration_id >= 100",
    )?;
    let from = |client: &mut Client, id: i64| {
        json_of(
            client,
            &format!("select lockstep.slack_notifications({id})"),
        )
    };
    let channels = |client: &mut Client| -> Result<Vec<String>> {
        let mut told = publish(
            client,
            &event("push", 32, json!({"ref": "refs/heads/main"})),
        )?;
        Ok(told.remove(0).2)
    };
    assert_eq!(from(&mut client, 103)?, defaults());
    assert_eq!(channels(&mut client)?, Vec::<String>::new());
    // From the nearest ancestor that has any.
    for (id, channel) in [(100, "#instance"), (101, "#root"), (102, "#sub")] {
        set(&mut client, id, &json!({"channels": channel}))?;
        assert_eq!(
            from(&mut client, 103)?,
            with(defaults(), json!({"from": id, "channels": [channel]}))
        );
        assert_eq!(channels(&mut client)?, [channel]);
    }
    // No ancestor has settings yet: the result is the defaults, and stays inherited.
    client.batch_execute(
        "delete from lockstep_internal.slack_notification where integration_id >= 100",
    )?;
    assert_eq!(set(&mut client, 103, &json!({"channels": []}))?, defaults());
    set(&mut client, 102, &json!({"channels": "#sub"}))?;
    // Setting the inherited value does not make it the integration's own.
    let inherited = from(&mut client, 103)?;
    let mut same = inherited.clone();
    same.as_object_mut().context("no object")?.remove("from");
    assert_eq!(set(&mut client, 103, &same)?, inherited);
    // Changing one setting keeps the others.
    let own = set(&mut client, 103, &json!({"updates": "thread"}))?;
    assert_eq!(
        own,
        with(
            defaults(),
            json!({"from": 103, "channels": ["#sub"], "updates": "thread"})
        )
    );
    set(&mut client, 102, &json!({"channels": "#other"}))?;
    assert_eq!(channels(&mut client)?, ["#sub"]);
    // And back.
    let reset = json_of(
        &mut client,
        "select lockstep.reset_slack_notifications(103)",
    )?;
    assert_eq!(
        reset,
        with(defaults(), json!({"from": 102, "channels": ["#other"]}))
    );
    assert_eq!(channels(&mut client)?, ["#other"]);
    refused(
        &mut client,
        "select lockstep.reset_slack_notifications(9999)",
        "P0002",
        "9999",
    )?;
    // Rows that inherit from each other do not loop forever.
    client.batch_execute("delete from lockstep_internal.slack_notification; update integrations set inherit_from_id = 103 where id = 101")?;
    assert_eq!(from(&mut client, 103)?, defaults());
    assert_eq!(channels(&mut client)?, Vec::<String>::new());
    Ok(())
}

#[test]
fn two_who_change_settings_take_turns() -> Result<()> {
    let name = "settings_turns";
    let mut client = told(name)?;
    client.batch_execute("delete from lockstep_internal.slack_notification")?;
    // At first there is no row to lock.
    for (one, other) in [("push", "note"), ("issue", "alert")] {
        let mut first = cluster()?.connect(name)?;
        let mut second = cluster()?.connect(name)?;
        let pid = pid_of(&mut second)?;
        let change = |event: &str| {
            format!(
                "select lockstep.set_slack_notifications(1, '{{\"event_channels\": {{\"{event}\": \"#x\"}}}}')"
            )
        };
        let mut changing = first.transaction()?;
        changing.batch_execute(&change(one))?;
        std::thread::scope(|scope| -> Result<()> {
            let session = scope.spawn(|| second.batch_execute(&change(other)));
            ensure!(settle(&session, &mut client, pid)?, "it does not wait");
            changing.commit()?;
            session
                .join()
                .map_err(|_| anyhow::anyhow!("a session panicked"))??;
            Ok(())
        })?;
    }
    let settings = json_of(&mut client, "select lockstep.slack_notifications(1)")?;
    let x = json!(["#x"]);
    assert_eq!(
        settings["event_channels"],
        json!({"push": x, "note": x, "issue": x, "alert": x})
    );
    Ok(())
}
