//! Groups whose traversal_ids are missing or outdated: their parents count.

use anyhow::Result;
use lockstep_tests::host::Layout;
use postgres::Client;
use serde_json::json;

use crate::notification::publish::{event, outcomes, told};
use crate::service_account::number;
use crate::slack::{text, workspaces};

/// Below group 1: 10 without traversal_ids, 11 in it without as well, 12 in 11 with outdated ones; 13 separate, with the same
/// name as 10; 14 and 15 in each other; 16 with a missing parent; 17 with traversal_ids and no parent, and 18 in it.
const GROUPS: &str = "
insert into namespaces (id, name, path, type, parent_id, traversal_ids, organization_id) values
  (10, 'old', 'old', 'Group', 1, '{}', 1), (11, 'deep', 'deep', 'Group', 10, '{}', 1), (12, 'moved', 'moved', 'Group', 11, '{13,12}', 1),
  (13, 'old', 'OLD', 'Group', null, '{13}', 1), (14, 'a', 'a', 'Group', 15, '{14}', 1), (15, 'b', 'b', 'Group', 14, '{15}', 1),
  (16, 'lost', 'lost', 'Group', 99, '{}', 1), (17, 'way', 'way', 'Group', null, '{1,17}', 1), (18, 'under', 'under', 'Group', 17, '{18}', 1);
insert into projects (id, path, namespace_id) select n + 20, 'p' || n, n from generate_series(10, 18) n;";

/// The full path of each project; None if unknown.
const PATHS: [(i64, Option<&str>); 9] = [
    (30, Some("group-1/old/p10")),
    (31, Some("group-1/old/deep/p11")),
    (32, Some("group-1/old/deep/moved/p12")),
    (33, Some("OLD/p13")),
    (34, None),
    (35, None),
    (36, None),
    (37, Some("group-1/way/p17")),
    (38, Some("group-1/way/under/p18")),
];

fn path(client: &mut Client, project: i64) -> Result<Option<String>> {
    let row = client.query_one("select lockstep_api.project_path($1)", &[&project])?;
    Ok(row.get(0))
}

#[test]
fn path_is_that_of_the_parents() -> Result<()> {
    for (name, layout) in [
        ("slack_paths", Layout::Narrow),
        ("slack_paths_older", Layout::Older),
    ] {
        let mut client = workspaces(name, layout)?;
        client.batch_execute(GROUPS)?;
        for (project, expected) in PATHS {
            assert_eq!(path(&mut client, project)?.as_deref(), expected);
        }
        // An installation gets that path as alias, and is listed with it.
        client.batch_execute(
            "select lockstep.install_slack_workspace('P', 'P', 'U', 'B', 't', 'i', '{}', project_id => 32);
             select lockstep.install_slack_workspace('P', 'P', 'U', 'B', 't', 'i', '{}', group_id => 12)",
        )?;
        assert_eq!(
            text(
                &mut client,
                "select string_agg(concat_ws(' ', alias, path), ', ' order by alias) from lockstep_api.list_slack_integrations('P', null)"
            )?,
            "group-1/old/deep/moved group-1/old/deep/moved, group-1/old/deep/moved/p12 group-1/old/deep/moved/p12"
        );
        // Older GitLab has no column for parents.
        client.batch_execute("alter table namespaces drop column parent_id; update namespaces set traversal_ids = '{1,10}' where id = 10")?;
        assert_eq!(path(&mut client, 30)?.as_deref(), Some("group-1/old/p10"));
        assert_eq!(path(&mut client, 33)?.as_deref(), Some("OLD/p13"));
    }
    Ok(())
}

/// As deep as GitLab allows, and with a limit.
#[test]
fn path_has_an_end() -> Result<()> {
    let mut client = workspaces("slack_paths_deep", Layout::Narrow)?;
    client.batch_execute(
        "insert into namespaces (id, name, path, type, parent_id, organization_id)
           select n, n, n, 'Group', n - 1, 1 from generate_series(101, 140) n;
         update namespaces set parent_id = null where id = 101;
         insert into projects (id, path, namespace_id) values (200, 'shallow', 121), (201, 'deep', 140)",
    )?;
    let shallow = path(&mut client, 200)?.unwrap_or_default();
    assert!(
        shallow.starts_with("101/102/") && shallow.ends_with("/121/shallow"),
        "{shallow}"
    );
    assert_eq!(path(&mut client, 201)?, None);
    Ok(())
}

#[test]
fn integrations_of_all_groups_above_are_told() -> Result<()> {
    let mut client = told("slack_paths_told")?;
    client.batch_execute(GROUPS)?;
    client.batch_execute(
        "insert into integrations (id, group_id, type_new, category, active, push_events)
           values (100, 1, 'Integrations::GitlabSlackApplication', 'chat', true, true);
         insert into slack_integrations (id, team_id, team_name, alias, user_id, created_at, updated_at, integration_id)
           values (100, 'T', 'T', 'app', 'U1', now(), now(), 100);
         select lockstep.set_slack_notifications(100, '{\"channels\": \"#c\"}')",
    )?;
    for (project, path) in PATHS {
        let push = event("push", project, json!({"ref": "refs/heads/main"}));
        let told: Vec<i64> = outcomes(&mut client, &push)?
            .into_iter()
            .map(|(id, _)| id)
            .collect();
        let is_below = path.is_some_and(|path| path.starts_with("group-1/"));
        assert_eq!(told, vec![100; usize::from(is_below)], "{project}");
    }
    Ok(())
}

#[test]
fn cluster_of_a_group_is_of_all_below_it() -> Result<()> {
    let mut client = workspaces("slack_paths_cluster", Layout::Narrow)?;
    client.batch_execute(GROUPS)?;
    client.batch_execute(
        "insert into clusters (id, name, cluster_type) values (1, 'one', 2), (2, 'two', 2);
         insert into cluster_groups (cluster_id, group_id) values (1, 1), (2, 14);
         delete from projects where id < 30",
    )?;
    let switch = |cluster: i64| {
        format!("select lockstep.set_cluster_integration({cluster}, 'prometheus', true)")
    };
    assert_eq!(number(&mut client, &switch(1))?, 5);
    assert_eq!(
        text(
            &mut client,
            "select string_agg(project_id::text, ' ' order by project_id) from integrations where type_new = 'Integrations::Prometheus'"
        )?,
        "30 31 32 37 38"
    );
    assert_eq!(number(&mut client, &switch(2))?, 2);
    Ok(())
}
