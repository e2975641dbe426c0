//! Which integrations are notified of an event: the project's, its groups' or the instance's, and only if the flag is on.

use crate::notification::publish::{event, outcome, outcomes, publish, told};
use crate::surface::refusal::refused;
use anyhow::Result;
use postgres::Client;
use serde_json::json;

/// Groups 20, 21 in it, 22 in that, and 23 separate in its own organization; projects 30 to 33 in these.
pub(crate) const GROUPS: &str = "
insert into namespaces (id, name, path, type, traversal_ids, organization_id) values
  (20, 'root', 'root', 'Group', '{20}', 1), (21, 'sub', 'sub', 'Group', '{20,21}', 1), (22, 'deep', 'deep', 'Group', '{20,21,22}', 1),
  (23, 'apart', 'apart', 'Group', '{}', 2), (24, 'sub', 'sub', 'Group', '{23,24}', 2);
insert into projects (id, path, namespace_id) select n, 'p' || n, n - 10 from generate_series(30, 33) n;
create function app(id bigint, owner text, owner_id bigint, active boolean default true) returns void language plpgsql as $$
begin
  execute format('insert into integrations (id, %I, type_new, category, active, instance) values ($1, $2, ''Integrations::GitlabSlackApplication'', ''chat'', $3, $4)', owner)
    using id, owner_id, active, owner = 'organization_id';
  insert into slack_integrations (id, team_id, team_name, alias, user_id, created_at, updated_at, integration_id)
  values (id, 'T', 'T', 'app ' || id, 'U1', now(), now(), id);
  perform lockstep.set_slack_notifications(id, '{\"channels\": \"#c\"}');
end $$;";

#[test]
fn the_nearest_level_decides() -> Result<()> {
    let mut client = told("notify_level")?;
    client.batch_execute(GROUPS)?;
    // Other kinds of integrations do not belong to the Slack app.
    client.batch_execute("insert into integrations (id, project_id, type_new, active) select n, n, 'Integrations::Slack', true from generate_series(30, 33) n")?;
    let push = |project: i64| event("push", project, json!({"ref": "refs/heads/main"}));
    let ids = |client: &mut Client, project: i64| -> Result<Vec<i64>> {
        let told = outcomes(client, &push(project))?;
        Ok(told.into_iter().map(|(id, _)| id).collect())
    };
    let of_all = |client: &mut Client| {
        (30..34)
            .map(|project| ids(client, project))
            .collect::<Result<Vec<_>>>()
    };
    assert_eq!(of_all(&mut client)?, vec![Vec::<i64>::new(); 4]);
    client
        .batch_execute("select app(100, 'organization_id', 1), app(101, 'organization_id', 2)")?;
    assert_eq!(of_all(&mut client)?, [[100], [100], [100], [101]]);
    client.batch_execute("select app(102, 'group_id', 20)")?;
    assert_eq!(of_all(&mut client)?, [[102], [102], [102], [101]]);
    // GitLab's index allows a group to have two.
    client.batch_execute(
        "select app(103, 'group_id', 21), app(104, 'group_id', 21), app(105, 'group_id', 23)",
    )?;
    assert_eq!(
        of_all(&mut client)?,
        [vec![102], vec![103, 104], vec![103, 104], vec![105]]
    );
    // An integration that is off decides as well: it was switched off there.
    client.batch_execute("select app(106, 'project_id', 32, false)")?;
    assert_eq!(
        outcomes(&mut client, &push(32))?,
        [(106, "inactive".to_owned())]
    );
    client.batch_execute("delete from slack_integrations where integration_id = 103")?;
    let told = publish(&mut client, &push(31))?;
    assert_eq!(told[0], (103, None, vec![], "not_installed".to_owned()));
    assert_eq!(
        told[1],
        (104, Some(104), vec!["#c".to_owned()], "queued".to_owned())
    );
    // A project without a known organization is not notified through others' integrations.
    client.batch_execute(
        "alter table namespaces drop constraint check_2eae3bdf93; update namespaces set organization_id = null where id = 20;
         delete from integrations where group_id = 20",
    )?;
    assert_eq!(ids(&mut client, 30)?, Vec::<i64>::new());
    Ok(())
}

#[test]
fn mentions_go_to_the_group() -> Result<()> {
    let mut client = told("notify_mention")?;
    client.batch_execute(GROUPS)?;
    client.batch_execute(
        "select app(100, 'organization_id', 2), app(101, 'group_id', 20), app(102, 'group_id', 21)",
    )?;
    client.batch_execute("update integrations set group_mention_events = true")?;
    for (mentioned, told) in [
        (json!({"mentioned": {"id": 22}}), 102),
        (json!({"mentioned": {"name": "root/sub/deep"}}), 102),
        (
            json!({"mentioned": {"full_path": "root"}, "group": {"id": 21}}),
            101,
        ),
        (json!({"group": {"full_path": "root/sub"}}), 102),
        (json!({"group_id": 20}), 101),
        // With the same last name elsewhere; its instance has one.
        (json!({"mentioned": {"name": "apart/sub"}}), 100),
        (json!({"group": {"id": 23}}), 100),
    ] {
        let mut mention = json!({"object_kind": "group_mention"});
        if let (Some(mention), Some(mentioned)) = (mention.as_object_mut(), mentioned.as_object()) {
            mention.extend(mentioned.clone());
        }
        assert_eq!(
            outcomes(&mut client, &mention)?,
            [(told, "queued".to_owned())],
            "{mention}"
        );
    }
    for path in ["sub", "root/deep", "apart/sub/sub", "", "/"] {
        let mention =
            json!({"object_kind": "group_mention", "mentioned": {"name": path}}).to_string();
        refused(
            &mut client,
            &format!("select lockstep.publish_event('{mention}')"),
            "P0002",
            "does not exist",
        )?;
    }
    Ok(())
}

#[test]
fn the_flag_is_for_project_group_or_author() -> Result<()> {
    let mut client = told("notify_flag")?;
    client.batch_execute(GROUPS)?;
    client.batch_execute("select app(100, 'group_id', 20); select * from lockstep.attach(); select * from lockstep.attach_slack()")?;
    let push = event("push", 32, json!({"ref": "refs/heads/main"}));
    let by_nobody = json!({"object_kind": "push", "ref": "refs/heads/main", "project": {"id": 32, "default_branch": "main"}});
    let flag = "'integration_slack_app_notifications'";
    // Not set: GitLab has enabled it for everybody.
    assert_eq!(outcome(&mut client, &push)?, "queued");
    client.batch_execute(&format!("select lockstep.set_feature({flag}, false)"))?;
    assert_eq!(outcome(&mut client, &push)?, "feature_off");
    for (actor, told, told_by_nobody) in [
        ("Project:32", "queued", "queued"),
        ("Project:31", "feature_off", "feature_off"),
        ("Group:20", "queued", "queued"),
        ("Group:21", "queued", "queued"),
        ("Group:22", "queued", "queued"),
        ("Group:23", "feature_off", "feature_off"),
        ("User:1", "queued", "feature_off"),
        ("User:2", "feature_off", "feature_off"),
    ] {
        client.batch_execute(&format!(
            "select lockstep.enable_feature_for({flag}, '{actor}')"
        ))?;
        assert_eq!(outcome(&mut client, &push)?, told, "{actor}");
        assert_eq!(
            outcome(&mut client, &by_nobody)?,
            told_by_nobody,
            "{actor}, by nobody"
        );
        client.batch_execute(&format!("select lockstep.set_feature({flag}, false)"))?;
    }
    client.batch_execute(&format!("select lockstep.set_feature({flag}, true)"))?;
    assert_eq!(outcome(&mut client, &push)?, "queued");
    // An opt-out wins over everything else.
    client.batch_execute(&format!(
        "select lockstep.opt_out_of_feature({flag}, 'Group:21')"
    ))?;
    assert_eq!(outcome(&mut client, &push)?, "feature_off");
    client.batch_execute("delete from feature_gates; delete from features")?;
    assert_eq!(outcome(&mut client, &push)?, "queued");
    Ok(())
}
