//! What becomes of subscriptions with their project and their workspace, and what is recorded.

use anyhow::Result;

use crate::subscription::{followed, recorded, subscribe, text, world};

#[test]
fn a_workspace_takes_its_subscriptions_with_it() -> Result<()> {
    let mut client = world("subscription_uninstall")?;
    subscribe(&mut client, "U3", "group-1/p1", "#f")?;
    subscribe(&mut client, "U5", "group-1/p2", "C7")?;
    client.batch_execute("select lockstep.subscribe_slack_channel(1, 'A', '#d')")?;
    // An older event of Slack than the installation.
    client.batch_execute("select lockstep.uninstall_slack_workspace('F', '2020-01-01')")?;
    assert_eq!(followed(&mut client)?, "1 F #f U3, 2 F C7 U5, 1 A #d");
    client.batch_execute("select lockstep.uninstall_slack_workspace('F')")?;
    assert_eq!(followed(&mut client)?, "1 A #d");
    client.batch_execute("select lockstep.install_slack_workspace('F', 'Followers', 'U9', 'BF', 'token3', 'iv3', '{commands,chat:write}')")?;
    assert_eq!(followed(&mut client)?, "1 A #d");
    assert_eq!(
        recorded(&mut client)?,
        "subscribed 1 F #f U3, subscribed 2 F C7 U5, subscribed 1 A #d, uninstalled 1 F #f, uninstalled 2 F C7"
    );
    Ok(())
}

#[test]
fn a_project_takes_its_subscriptions_with_it() -> Result<()> {
    let mut client = world("subscription_gone")?;
    subscribe(&mut client, "U3", "group-1/p1", "#f")?;
    subscribe(&mut client, "U5", "group-1/p2", "#f")?;
    client.batch_execute("delete from projects where id = 1")?;
    let state = "select string_agg(concat_ws(' ', path, state), ', ' order by subscription_id) from lockstep.slack_subscriptions()";
    assert_eq!(text(&mut client, state)?, "project_gone, group-1/p2 active");
    client.batch_execute("select lockstep.sweep_slack()")?;
    assert_eq!(followed(&mut client)?, "2 F #f U5");
    assert_eq!(
        recorded(&mut client)?,
        "subscribed 1 F #f U3, subscribed 2 F #f U5, project_gone 1 F #f"
    );
    // While the table is being restored, it is empty.
    client.batch_execute("create table kept as select * from projects; delete from projects")?;
    client.batch_execute("select lockstep.sweep_slack()")?;
    assert_eq!(followed(&mut client)?, "2 F #f U5");
    Ok(())
}

/// A project that is renamed is followed under its new path.
#[test]
fn a_renamed_project_is_still_followed() -> Result<()> {
    let mut client = world("subscription_renamed")?;
    subscribe(&mut client, "U3", "group-1/p1", "#f")?;
    client.batch_execute(
        "update projects set path = 'new' where id = 1;
         update routes set path = 'group-1/new' where source_id = 1 and source_type = 'Project';
         insert into redirect_routes (source_id, source_type, path) values (1, 'Project', 'group-1/p1')",
    )?;
    let listed = "select concat_ws(' ', path, channel, user_id, state) from lockstep_api.list_slack_subscriptions('F', null)";
    assert_eq!(text(&mut client, listed)?, "group-1/new #f U3 active");
    assert_eq!(
        text(
            &mut client,
            "select concat_ws(' ', path, channel) from lockstep_api.unsubscribe_slack_project('F', null, 'U3', 'group-1/p1', '#f')"
        )?,
        "group-1/new #f"
    );
    Ok(())
}
