//! The app is installed for an organization (E), and then for one of its workspaces (T1) by itself.

use anyhow::Result;
use postgres::Client;

use crate::notification::filter::push;
use crate::subscription::{followed, text, world};

/// Ada maintains project 1 in both workspaces of E.
const ORGANIZATION: &str = "
select lockstep.install_slack_workspace('E', 'Everything', 'U3', 'BE', 'tokene', 'ive', '{commands,chat:write}');
insert into chat_names (user_id, team_id, chat_id) values (3, 'T1', 'U3'), (3, 'T2', 'U3')";

fn subscribe(client: &mut Client, workspace: &str, channel: &str) -> Result<String> {
    text(
        client,
        &format!(
            "select outcome from lockstep_api.subscribe_slack_project('{workspace}', 'E', 'U3', 'group-1/p1', '{channel}')"
        ),
    )
}

fn unsubscribe(client: &mut Client, workspace: &str, channel: &str) -> Result<String> {
    text(
        client,
        &format!(
            "select outcome from lockstep_api.unsubscribe_slack_project('{workspace}', 'E', 'U3', 'group-1/p1', '{channel}')"
        ),
    )
}

fn listed(client: &mut Client, workspace: &str) -> Result<String> {
    text(
        client,
        &format!(
            "select string_agg(channel, ',') from lockstep_api.list_slack_subscriptions('{workspace}', 'E')"
        ),
    )
}

#[test]
fn a_workspace_that_installs_by_itself_keeps_what_it_follows() -> Result<()> {
    let mut client = world("subscription_organization")?;
    client.batch_execute("update integrations set active = false")?;
    client.batch_execute(ORGANIZATION)?;
    for (workspace, channel) in [("T1", "#one"), ("T1", "#old"), ("T2", "#two")] {
        assert_eq!(subscribe(&mut client, workspace, channel)?, "subscribed");
    }
    assert_eq!(listed(&mut client, "T1")?, "#old,#one,#two");
    client.batch_execute(
        "select lockstep.install_slack_workspace('T1', 'One', 'U3', 'B1', 'token1', 'iv1', '{commands,chat:write}', enterprise_id => 'E')",
    )?;
    assert_eq!(subscribe(&mut client, "T1", "#new")?, "subscribed");
    // What the workspace subscribed before is still the organization's.
    assert_eq!(subscribe(&mut client, "T1", "#old")?, "unchanged");
    assert_eq!(
        followed(&mut client)?,
        "1 E #one U3, 1 E #old U3, 1 E #two U3, 1 T1 #new U3"
    );
    // Each with the token of the installation by which it was subscribed.
    let event = push("refs/heads/main").to_string();
    client.execute("select lockstep.publish_event($1::text::jsonb)", &[&event])?;
    let claimed = "select string_agg(concat_ws(' ', team_id, channel, encode(token, 'escape')), ', ' order by channel)
                     from lockstep_api.claim_deliveries(10, '1 minute', 1000)";
    assert_eq!(
        text(&mut client, claimed)?,
        "T1 #new token1, E #old tokene, E #one tokene, E #two tokene"
    );
    // The workspace sees and ends what its own users have subscribed; the others what is the organization's.
    assert_eq!(listed(&mut client, "T1")?, "#new,#old,#one");
    assert_eq!(listed(&mut client, "T2")?, "#old,#one,#two");
    assert_eq!(unsubscribe(&mut client, "T1", "#two")?, "not_subscribed");
    assert_eq!(unsubscribe(&mut client, "T1", "#old")?, "unsubscribed");
    assert_eq!(unsubscribe(&mut client, "T1", "#new")?, "unsubscribed");
    assert_eq!(listed(&mut client, "T1")?, "#one");
    // With the organization's installation, its subscriptions end.
    client.batch_execute("select lockstep.uninstall_slack_workspace('E')")?;
    assert_eq!(listed(&mut client, "T1")?, "");
    Ok(())
}
