//! Who may subscribe a channel, and end it; and what a refusal tells.

use anyhow::Result;
use postgres::Client;

use crate::subscription::{followed, recorded, subscribe, text, world};
use crate::surface::refusal::refused;

fn call(team: &str, user: &str, project: &str) -> String {
    format!(
        "select outcome from lockstep_api.subscribe_slack_project('{team}', null, '{user}', '{project}', '#f')"
    )
}

fn end(user: &str, project: &str, channel: &str, is_manager: bool) -> String {
    format!(
        "select outcome from lockstep_api.unsubscribe_slack_project('F', null, '{user}', '{project}', '{channel}', {is_manager})"
    )
}

/// All that is answered.
fn refusal(client: &mut Client, user: &str, project: &str) -> Result<String> {
    let call = call("F", user, project).replace("outcome", "row_to_json(s)::text");
    text(client, &format!("{call} s"))
}

#[test]
fn only_maintainers_subscribe() -> Result<()> {
    let mut client = world("subscription_who")?;
    for (team, user, project, outcome) in [
        // A developer, a guest, a maintainer of another project, blocked, expired, and only asked for.
        ("F", "U4", "group-1/p1", "not_allowed"),
        ("F", "U6", "group-1/p1", "not_allowed"),
        ("F", "U5", "group-1/p1", "not_allowed"),
        ("F", "U7", "group-1/p1", "not_allowed"),
        ("F", "U8", "group-1/p1", "not_allowed"),
        ("F", "U10", "group-1/p1", "not_allowed"),
        // Linked in another workspace, and not at all.
        ("F", "U9", "group-1/p1", "not_linked"),
        ("F", "U99", "group-1/p1", "not_linked"),
        // A group, the former path that is a group's by now, and no project.
        ("F", "U3", "group-1", "not_allowed"),
        ("F", "U3", "taken/p1", "not_allowed"),
        ("F", "U3", "group-1/none", "not_allowed"),
        ("F", "U3", "", "not_allowed"),
        // The app is not in that workspace, or has no token there.
        ("Z", "U3", "group-1/p1", "not_installed"),
        ("B", "U3", "group-1/p1", "not_installed"),
    ] {
        let answer = text(&mut client, &call(team, user, project))?;
        assert_eq!(answer, outcome, "{team} {user} {project}");
    }
    assert_eq!(followed(&mut client)?, "");
    assert_eq!(recorded(&mut client)?, "");
    // Who has installed the app in A with a ticket manages its integrations, but maintains nothing.
    assert_eq!(
        text(&mut client, &call("A", "U1", "group-1/p1"))?,
        "not_linked"
    );
    for (user, project, channel, expected) in [
        ("U3", "group-1/p1", "#f", "group-1/p1 #f subscribed"),
        ("U3", "Group-1/P1", "#f", "group-1/p1 #f unchanged"),
        ("U3", "former/p1", "f", "group-1/p1 #f unchanged"),
        ("U3", "former/p1", "C0123", "group-1/p1 C0123 subscribed"),
        ("U5", "group-1/p2", "#f", "group-1/p2 #f subscribed"),
    ] {
        assert_eq!(subscribe(&mut client, user, project, channel)?, expected);
    }
    assert_eq!(followed(&mut client)?, "1 F #f U3, 1 F C0123 U3, 2 F #f U5");
    Ok(())
}

/// Nobody learns from a refusal which private projects there are.
#[test]
fn a_refusal_is_the_same_for_a_project_and_for_none() -> Result<()> {
    let mut client = world("subscription_probe")?;
    for user in ["U4", "U5", "U6", "U7"] {
        let of_project = refusal(&mut client, user, "group-1/p1")?;
        assert_eq!(of_project, refusal(&mut client, user, "group-1/px")?);
        assert_eq!(of_project, refusal(&mut client, user, "other/p10")?);
        assert_eq!(of_project, refusal(&mut client, user, "former/p1")?);
    }
    assert_eq!(
        refusal(&mut client, "U9", "group-1/p1")?,
        refusal(&mut client, "U9", "group-1/px")?
    );
    // Nor by ending what is not there.
    subscribe(&mut client, "U3", "group-1/p1", "#f")?;
    for project in ["group-1/p2", "group-1/px", "other/p10"] {
        assert_eq!(
            text(&mut client, &end("U4", project, "#f", false))?,
            "not_subscribed"
        );
    }
    Ok(())
}

#[test]
fn a_subscription_is_ended_by_its_user_a_maintainer_or_a_manager() -> Result<()> {
    let mut client = world("subscription_end")?;
    client.batch_execute("update members set access_level = 40 where user_id = 4")?;
    for (user, is_manager, is_allowed) in [
        ("U6", false, false),
        ("U99", false, false),
        ("U5", false, false),
        // Who subscribed, who has lost the role since; a maintainer of the group; named in the configuration.
        ("U4", false, true),
        ("U3", false, true),
        ("U99", true, true),
    ] {
        client.batch_execute("update members set access_level = 40 where user_id = 4")?;
        subscribe(&mut client, "U4", "group-1/p1", "#f")?;
        client.batch_execute("update members set access_level = 10 where user_id = 4")?;
        let end = end(user, "former/p1", "f", is_manager);
        match is_allowed {
            true => {
                assert_eq!(text(&mut client, &end)?, "unsubscribed");
                assert_eq!(followed(&mut client)?, "", "{user}");
            }
            false => {
                assert_eq!(text(&mut client, &end)?, "not_allowed");
                assert_eq!(followed(&mut client)?, "1 F #f U4", "{user}");
            }
        }
    }
    assert_eq!(
        text(
            &mut client,
            "select string_agg(concat_ws(' ', change, user_id), ', ' order by id) from lockstep.slack_subscription_audit"
        )?,
        "subscribed U4, unsubscribed U4, subscribed U4, unsubscribed U3, subscribed U4, unsubscribed U99"
    );
    Ok(())
}

#[test]
fn users_subscribe_ten_channels_of_a_workspace() -> Result<()> {
    let mut client = world("subscription_many")?;
    for number in 0..10 {
        subscribe(&mut client, "U3", "group-1/p1", &format!("#f{number}"))?;
    }
    let eleventh = call("F", "U3", "group-1/p1");
    assert_eq!(text(&mut client, &eleventh)?, "too_many");
    assert_eq!(
        subscribe(&mut client, "U3", "group-1/p1", "#f9")?,
        "group-1/p1 #f9 unchanged"
    );
    subscribe(&mut client, "U3", "group-1/p2", "#f")?;
    client.batch_execute("select lockstep.subscribe_slack_channel(1, 'F', '#g')")?;
    client.batch_execute(&end("U3", "group-1/p1", "#f0", false))?;
    client.batch_execute(&end("U3", "group-1/p1", "#f1", false))?;
    assert_eq!(text(&mut client, &eleventh)?, "subscribed");
    Ok(())
}

/// The list shows whose subscriptions nobody would allow any more.
#[test]
fn a_lost_role_is_shown_and_keeps_the_subscription() -> Result<()> {
    let mut client = world("subscription_lost")?;
    subscribe(&mut client, "U3", "group-1/p1", "#f")?;
    client.batch_execute("select lockstep.subscribe_slack_channel(2, 'F', '#admin')")?;
    let allowed = "select string_agg(concat_ws(' ', path, coalesce(is_allowed::text, 'administrator'), state), ', ' order by path) from lockstep.slack_subscriptions()";
    for (change, expected) in [
        ("select 1", "true"),
        ("update users set state = 'blocked' where id = 3", "false"),
        (
            "update users set state = 'active' where id = 3; update members set access_level = 30 where user_id = 3",
            "false",
        ),
        ("delete from members where user_id = 3", "false"),
        (
            "insert into members (access_level, source_id, source_type, user_id) values (40, 1, 'Project', 3); delete from chat_names where user_id = 3",
            "false",
        ),
    ] {
        client.batch_execute(change)?;
        assert_eq!(
            text(&mut client, allowed)?,
            format!("group-1/p1 {expected} active, group-1/p2 administrator active"),
            "{change}"
        );
    }
    Ok(())
}

#[test]
fn what_is_given_is_checked() -> Result<()> {
    let mut client = world("subscription_given")?;
    for (channel, events, words) in [
        ("#a,#b", "null", "is not one channel"),
        ("", "null", "is not one channel"),
        ("D0123", "null", "a conversation with a person"),
        ("U0123", "null", "a conversation with a person"),
        ("<!channel>", "null", "neither a name nor an id"),
        ("#f", "'{push,nope}'", "\"nope\""),
        ("#f", "'{group_mention}'", "\"group_mention\""),
    ] {
        for call in [
            format!("lockstep.subscribe_slack_channel(1, 'F', '{channel}', {events})"),
            format!(
                "lockstep_api.subscribe_slack_project('F', null, 'U3', 'group-1/p1', '{channel}', {events})"
            ),
        ] {
            refused(&mut client, &format!("select {call}"), "22023", words)?;
        }
    }
    for (call, sqlstate) in [
        ("subscribe_slack_channel(99, 'F', '#f')", "P0002"),
        ("subscribe_slack_channel(1, 'Z', '#f')", "55000"),
        (
            "subscribe_slack_channel(1, 'F', '#f', schema => 'nowhere')",
            "3F000",
        ),
        ("unsubscribe_slack_channel(1, 'F', '#a,#b')", "22023"),
        ("subscribe_slack_channel(null, 'F', '#f')", "22004"),
        (
            "subscribe_slack_channel(1, 'F', '#f', '{push,null}')",
            "22004",
        ),
    ] {
        refused(
            &mut client,
            &format!("select lockstep.{call}"),
            sqlstate,
            "",
        )?;
    }
    assert_eq!(followed(&mut client)?, "");
    let events = "select array_to_string(events, ' ') from lockstep.slack_subscriptions()";
    for (given, expected) in [
        (
            "null",
            "push tag_push issue merge_request note pipeline wiki_page deployment",
        ),
        ("'{issue, push,issue}'", "push issue"),
        ("null", "push issue"),
        ("'{confidential_issue,job}'", "confidential_issue job"),
        (
            "'{}'",
            "push tag_push issue merge_request note pipeline wiki_page deployment",
        ),
    ] {
        client.batch_execute(&format!(
            "select lockstep.subscribe_slack_channel(1, 'F', '#f', {given})"
        ))?;
        assert_eq!(text(&mut client, events)?, expected, "{given}");
    }
    assert_eq!(
        recorded(&mut client)?,
        "subscribed 1 F #f, changed 1 F #f, changed 1 F #f, changed 1 F #f"
    );
    let ended = |client: &mut Client, channel: &str| {
        text(
            client,
            &format!("select lockstep.unsubscribe_slack_channel(1, 'F', '{channel}')::text"),
        )
    };
    assert_eq!(ended(&mut client, "#g")?, "false");
    // By the id that Slack has told.
    client.batch_execute("insert into lockstep_internal.slack_channel (schema, team_id, channel, slack_id) values ('public', 'F', '#f', 'C7'), ('public', 'A', '#f', 'C8')")?;
    assert_eq!(ended(&mut client, "C8")?, "false");
    assert_eq!(ended(&mut client, "C7")?, "true");
    assert_eq!(ended(&mut client, "C7")?, "false");
    Ok(())
}

/// A channel that was subscribed by its name is the same under its id, once Slack has told it.
#[test]
fn the_names_of_a_channel_are_one_subscription() -> Result<()> {
    let mut client = world("subscription_same")?;
    let learn = "insert into lockstep_internal.slack_channel (schema, team_id, channel, slack_id) values ('public', 'F', '#f', 'C7')";
    client.batch_execute(learn)?;
    for (first, second) in [("#f", "C7"), ("C7", "#f")] {
        subscribe(&mut client, "U3", "group-1/p1", first)?;
        assert_eq!(
            subscribe(&mut client, "U3", "group-1/p1", second)?,
            format!("group-1/p1 {first} unchanged")
        );
        client.batch_execute(&format!(
            "select lockstep.subscribe_slack_channel(1, 'F', '{second}', '{{push}}')"
        ))?;
        assert_eq!(followed(&mut client)?, format!("1 F {first}"));
        assert_eq!(
            text(&mut client, &end("U3", "group-1/p1", second, false))?,
            "unsubscribed"
        );
        assert_eq!(followed(&mut client)?, "");
    }
    // Both were there before: they end together, if all may be ended.
    for is_own in [true, false] {
        client.batch_execute("delete from lockstep_internal.slack_channel")?;
        let other = match is_own {
            true => "lockstep_api.subscribe_slack_project('F', null, 'U3', 'group-1/p1', 'C7')",
            false => "lockstep.subscribe_slack_channel(1, 'F', 'C7')",
        };
        subscribe(&mut client, "U3", "group-1/p1", "#f")?;
        client.batch_execute(&format!("select {other}"))?;
        client.batch_execute(learn)?;
        client.batch_execute("update members set access_level = 10 where user_id = 3")?;
        let ended = text(&mut client, &end("U3", "group-1/p1", "#f", false))?;
        client.batch_execute("update members set access_level = 40 where user_id = 3")?;
        match is_own {
            true => assert_eq!(ended, "unsubscribed"),
            false => {
                assert_eq!(ended, "not_allowed");
                client.batch_execute("select lockstep.unsubscribe_slack_channel(1, 'F', '#f')")?;
            }
        }
        assert_eq!(followed(&mut client)?, "");
    }
    Ok(())
}
