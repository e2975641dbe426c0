//! Those who manage a project see who follows it.

use anyhow::Result;
use postgres::Client;

use crate::notification::inheritance::GROUPS;
use crate::subscription::{subscribe, text, world};
use crate::surface::refusal::refused;

fn followers(client: &mut Client, of: &str) -> Result<String> {
    text(
        client,
        &format!(
            "select string_agg(concat_ws(' ', path, team_id, team_name, channel, events, routes, username, state), '; ')
               from lockstep_api.list_slack_followers({of})"
        ),
    )
}

#[test]
fn managers_see_who_follows_their_project() -> Result<()> {
    let mut client = world("subscription_followers")?;
    let of_first = "'A', null, 1, 'U1', false";
    assert_eq!(followers(&mut client, of_first)?, "");
    subscribe(&mut client, "U3", "group-1/p1", "#f")?;
    subscribe(&mut client, "U3", "group-1/p2", "#other")?;
    client.batch_execute(
        r#"select lockstep.subscribe_slack_channel(1, 'F', '#f', '{push}'),
                  lockstep.subscribe_slack_channel(1, 'A', '#a', '{push}', '[{"branches": "main"}]')"#,
    )?;
    assert_eq!(
        followers(&mut client, of_first)?,
        r##"group-1/p1 A #a {push} [{"branches": ["main"]}] active; group-1/p1 F Followers #f {push} [] active"##
    );
    subscribe(&mut client, "U3", "group-1/p1", "#g")?;
    let all = followers(&mut client, of_first)?;
    assert!(
        all.contains("F Followers #g {") && all.contains("} [] ada active"),
        "{all}"
    );
    // As a maintainer with a linked account, or named in the configuration; not so others.
    for (user, is_manager) in [("U9", false), ("U99", true)] {
        let of = format!("'A', null, 1, '{user}', {is_manager}");
        assert_eq!(followers(&mut client, &of)?, all, "{user}");
    }
    assert_eq!(
        followers(&mut client, "'A', null, 1, 'U1', false, 1")?
            .matches("active")
            .count(),
        1
    );
    // Neither who does not manage it, nor of an integration of another workspace or one that is gone.
    for of in [
        "'A', null, 1, 'U99', false",
        "'A', null, 5, 'U1', true",
        "'F', null, 1, 'U3', true",
        "'A', null, 999, 'U1', true",
    ] {
        assert_eq!(followers(&mut client, of)?, "", "{of}");
    }
    for (of, sqlstate) in [
        ("'A', null, 1, 'U1', true, -1", "22023"),
        ("'A', null, null, 'U1', true", "22004"),
    ] {
        let call = format!("select lockstep_api.list_slack_followers({of})");
        refused(&mut client, &call, sqlstate, "")?;
    }
    Ok(())
}

/// Of a group, those of the projects in it, also further down. Of the whole instance none: who manages its integration in a workspace
/// need not see all projects.
#[test]
fn a_group_shows_those_of_its_projects() -> Result<()> {
    let mut client = world("subscription_group_followers")?;
    client.batch_execute(GROUPS)?;
    client.batch_execute(
        "select app(100, 'group_id', 20), app(101, 'group_id', 21), app(102, 'organization_id', 1);
         select lockstep.subscribe_slack_channel(p, 'F', '#f' || p) from unnest('{1,30,32,33}'::int[]) p",
    )?;
    for (integration, expected) in [(100, "#f30,#f32"), (101, "#f32"), (102, "")] {
        let query = format!(
            "select string_agg(channel, ',') from lockstep_api.list_slack_followers('T', null, {integration}, 'U1', true)"
        );
        assert_eq!(text(&mut client, &query)?, expected, "{integration}");
    }
    let query = "select string_agg(channel, ',') from lockstep_api.list_slack_followers('T', null, 100, 'U1', true, 1)";
    assert_eq!(text(&mut client, query)?, "#f30");
    Ok(())
}

/// Without a second question.
#[test]
fn a_list_of_integrations_says_which_may_have_followers() -> Result<()> {
    let mut client = world("subscription_has_followers")?;
    client.batch_execute(GROUPS)?;
    client.batch_execute(
        "select app(100, 'group_id', 20), app(101, 'project_id', 30), app(102, 'project_id', 32), app(103, 'organization_id', 1)",
    )?;
    let have = "select coalesce(string_agg(slack_integration_id::text, ' ' order by slack_integration_id), '')
                  from lockstep_api.list_slack_integrations('T', null) where has_followers";
    assert_eq!(text(&mut client, have)?, "");
    client.batch_execute("select lockstep.subscribe_slack_channel(30, 'F', '#f')")?;
    assert_eq!(text(&mut client, have)?, "100 101");
    client.batch_execute("select lockstep.unsubscribe_slack_channel(30, 'F', '#f'), lockstep.subscribe_slack_channel(1, 'F', '#f')")?;
    // Of a group it is a guess that is quickly made.
    assert_eq!(text(&mut client, have)?, "100");
    Ok(())
}
