//! Settings of integrations: what is kept and shown, what is refused, who may change them, and the message that tries them.

use anyhow::{Context, Result, ensure};
use postgres::Client;
use serde_json::{Value, json};

use crate::concurrency::{pid_of, settle};
use crate::database::cluster;
use crate::notification_publish::{GROUPS, event, publish, told};
use crate::service_account::number;
use crate::surface_refusal::refused;

fn json_of(client: &mut Client, query: &str) -> Result<Value> {
    let row = client
        .query_one(&format!("select ({query})::text"), &[])
        .context(query.to_owned())?;
    Ok(serde_json::from_str(row.get(0))?)
}

fn set(client: &mut Client, id: i64, settings: &Value) -> Result<Value> {
    json_of(
        client,
        &format!("select lockstep.set_slack_notifications({id}, '{settings}')"),
    )
}

fn defaults() -> Value {
    json!({
        "from": null, "channels": [], "event_channels": {}, "branches": "default", "labels": [], "all_labels": false,
        "only_broken_pipelines": true, "only_changed_pipelines": false, "updates": "separate", "own_actions": true, "muted_authors": []
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
    client.batch_execute("delete from lockstep.slack_notification")?;
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
    // Null brings the default back.
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
        // A right one before a wrong one.
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
                "is not one of the Slack app",
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
         delete from lockstep.slack_notification where integration_id >= 100",
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
    // From as far up as there are any.
    for (id, channel) in [(100, "#instance"), (101, "#root"), (102, "#sub")] {
        set(&mut client, id, &json!({"channels": channel}))?;
        assert_eq!(
            from(&mut client, 103)?,
            with(defaults(), json!({"from": id, "channels": [channel]}))
        );
        assert_eq!(channels(&mut client)?, [channel]);
    }
    // To give what is inherited makes it nobody's own.
    let inherited = from(&mut client, 103)?;
    let mut same = inherited.clone();
    same.as_object_mut().context("no object")?.remove("from");
    assert_eq!(set(&mut client, 103, &same)?, inherited);
    // Whoever changes one of them keeps the rest.
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
    // Rows that inherit from each other end nowhere.
    client.batch_execute("delete from lockstep.slack_notification; update integrations set inherit_from_id = 103 where id = 101")?;
    assert_eq!(from(&mut client, 103)?, defaults());
    assert_eq!(channels(&mut client)?, Vec::<String>::new());
    Ok(())
}

#[test]
fn two_who_change_settings_take_turns() -> Result<()> {
    let name = "settings_turns";
    let mut client = told(name)?;
    client.batch_execute("delete from lockstep.slack_notification")?;
    // At first there is no row that could be locked.
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

#[test]
fn users_of_slack_change_their_own() -> Result<()> {
    let mut client = told("settings_slack")?;
    let call = |team: &str, row: i64, user: &str, manager: bool, settings: &str, events: &str| {
        format!(
            "select alias from lockstep.set_slack_integration_settings('{team}', null, {row}, '{user}', {manager}, {settings}, {events})"
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
        "select lockstep.slack_workspace_notifications('A', null, 1)",
    )?;
    // And what the host has.
    let events = shown.as_object_mut().and_then(|it| it.remove("events"));
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
    // Nothing given, nothing changed; nor is anything written that is so already.
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
    // Who neither installed it nor manages may not; nor may those of another workspace.
    let all = "'{\"branches\": \"protected\"}'";
    let on = "'{\"push\": true}'";
    let before = json_of(&mut client, "select lockstep.slack_notifications(1)")?;
    refused(
        &mut client,
        &call("A", 1, "U9", false, all, on),
        "42501",
        "only who installed",
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
            &format!("select lockstep.slack_workspace_notifications('{team}', null, 1)"),
            "P0002",
            "no integration 1",
        )?;
        refused(
            &mut client,
            &format!(
                "select lockstep.test_slack_workspace_integration('{team}', null, 1, 'U1', true)"
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
        // What is right beside what is wrong is not changed either.
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
        "select lockstep.test_slack_workspace_integration('A', null, 1, 'U9', false)",
        "42501",
        "only who installed",
    )?;
    let events = |client: &mut Client| -> Result<bool> {
        let shown = json_of(
            client,
            "select lockstep.slack_workspace_notifications('A', null, 1)",
        )?;
        let events = shown["events"].as_array().context("no events")?;
        Ok(events.iter().any(|it| it == "alert"))
    };
    assert!(events(&mut client)?);
    client.batch_execute("alter table integrations drop column alert_events")?;
    assert!(!events(&mut client)?);
    // Off it is in any case.
    client.batch_execute(&call("A", 1, "U1", false, "null", "'{\"alert\": false}'"))?;
    refused(
        &mut client,
        &call("A", 1, "U1", false, "null", "'{\"alert\": true}'"),
        "22023",
        "the host has",
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

/// A channel that was written wrong is nobody's trouble once it is put right, nor is one of those who inherit it.
#[test]
fn troubles_end_with_the_channel() -> Result<()> {
    let mut client = told("settings_trouble")?;
    set(&mut client, 1, &json!({"channels": "#depolys, #old"}))?;
    client.batch_execute(
        "insert into lockstep.slack_channel_trouble (schema, integration_id, team_id, channel, error)
         values ('public', 1, 'A', '#depolys', 'channel_not_found'), ('public', 1, 'A', '#old', 'is_archived'),
                ('public', 2, 'A', '#depolys', 'channel_not_found')",
    )?;
    let troubles = |client: &mut Client| -> Result<Vec<String>> {
        let query = "select channel from lockstep.slack_channel_troubles('A', null, 1)";
        let rows = client.query(query, &[])?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    };
    assert_eq!(troubles(&mut client)?, ["#depolys", "#old"]);
    set(&mut client, 1, &json!({"channels": "#deploys, #old"}))?;
    assert_eq!(troubles(&mut client)?, ["#old"]);
    assert_eq!(
        number(
            &mut client,
            "select count(*) from lockstep.slack_channel_trouble"
        )?,
        2
    );
    // Those of channels that it inherits no more are there, and not told.
    client.batch_execute(
        "delete from lockstep.slack_notification where integration_id = 1; update integrations set inherit_from_id = 2 where id = 1",
    )?;
    set(&mut client, 2, &json!({"channels": "#new"}))?;
    assert_eq!(troubles(&mut client)?, Vec::<String>::new());
    set(&mut client, 2, &json!({"channels": "#old"}))?;
    assert_eq!(troubles(&mut client)?, ["#old"]);
    Ok(())
}

/// Deliveries with their channel and workspace.
fn tried(client: &mut Client, query: &str) -> Result<Vec<(String, String)>> {
    let mut tried = Vec::new();
    for row in client.query(&format!("select delivery, channel from {query}"), &[])? {
        // Not in the same statement, which does not see what the function writes.
        let delivery = client.query_one(
            "select c.channel, c.team_id from lockstep.slack_delivery d join lockstep.slack_channel c on c.id = d.channel
               join lockstep.event e on e.id = d.event and e.payload ->> 'object_kind' = 'lockstep_test'
              where d.id = $1 and d.status = 'waiting' and d.integration_id = 1",
            &[&row.get::<_, i64>(0)],
        )?;
        ensure!(
            delivery.get::<_, &str>(0) == row.get::<_, &str>(1),
            "{query}"
        );
        tried.push((delivery.get(0), delivery.get(1)));
    }
    Ok(tried)
}

#[test]
fn each_channel_is_tried_once() -> Result<()> {
    let mut client = told("settings_test")?;
    set(
        &mut client,
        1,
        &json!({"channels": "#a, #b", "event_channels": {"note": "#n", "push": "#b, #p", "alert": "#a"}}),
    )?;
    let row = |channel: &str, team: &str| (channel.to_owned(), team.to_owned());
    let all = "lockstep.test_slack_integration(1)";
    assert_eq!(
        tried(&mut client, all)?,
        [
            row("#a", "A"),
            row("#b", "A"),
            row("#p", "A"),
            row("#n", "A")
        ]
    );
    // In each of its workspaces; from one of these only there.
    client.batch_execute(
        "insert into slack_integrations (id, team_id, team_name, alias, user_id, created_at, updated_at, integration_id)
         values (200, 'C', 'C', 'again', 'U1', now(), now(), 1)",
    )?;
    set(
        &mut client,
        1,
        &json!({"event_channels": null, "channels": "#a"}),
    )?;
    assert_eq!(tried(&mut client, all)?, [row("#a", "A"), row("#a", "C")]);
    assert_eq!(
        tried(
            &mut client,
            "lockstep.test_slack_workspace_integration('C', null, 200, 'U1', false)"
        )?,
        [row("#a", "C")]
    );
    let payload = json_of(
        &mut client,
        "select payload from lockstep.event order by id desc limit 1",
    )?;
    assert_eq!(
        payload,
        json!({"object_kind": "lockstep_test", "integration": {"id": 1, "alias": "again"}})
    );
    let many: Vec<String> = (0..9).map(|n| format!("#c{n}")).collect();
    set(
        &mut client,
        1,
        &json!({"channels": many, "event_channels": {"push": "#x, #y, #z"}}),
    )?;
    let channels = tried(
        &mut client,
        "lockstep.test_slack_workspace_integration('A', null, 1, 'U9', true) where delivery is not null",
    )?;
    assert_eq!(channels.len(), 10);
    assert_eq!(channels[9], row("#x", "A"));
    // The others are named.
    let untried = client.query(
        "select channel from lockstep.test_slack_workspace_integration('A', null, 1, 'U1', false) where delivery is null",
        &[],
    )?;
    let untried: Vec<&str> = untried.iter().map(|row| row.get(0)).collect();
    assert_eq!(untried, ["#y", "#z"]);
    set(
        &mut client,
        1,
        &json!({"channels": null, "event_channels": null}),
    )?;
    refused(
        &mut client,
        &format!("select {all}"),
        "55000",
        "has no channels",
    )?;
    refused(
        &mut client,
        "select lockstep.test_slack_integration(8)",
        "55000",
        "not installed",
    )?;
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
    // What is inherited the host has copied.
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
