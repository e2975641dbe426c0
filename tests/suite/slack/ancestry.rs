//! Groups whose traversal_ids are missing or outdated: their parents count.

use anyhow::Result;
use lockstep_tests::host::Layout;
use postgres::Client;
use serde_json::json;

use crate::database::cluster;
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

fn is_within(client: &mut Client, project: i64, paths: &[&str]) -> Result<bool> {
    let query = "select lockstep_api.is_project_within($1, $2)";
    Ok(client.query_one(query, &[&project, &paths])?.get(0))
}

#[test]
fn path_is_that_of_the_parents() -> Result<()> {
    for (name, layout) in [
        ("slack_paths", Layout::Narrow),
        ("slack_paths_older", Layout::Older),
    ] {
        let mut client = workspaces(name, layout)?;
        client.batch_execute(GROUPS)?;
        let all: Vec<&str> = PATHS.into_iter().filter_map(|(_, path)| path).collect();
        for (project, expected) in PATHS {
            let others: Vec<&str> = all
                .iter()
                .copied()
                .filter(|it| Some(*it) != expected)
                .collect();
            assert!(!is_within(&mut client, project, &others)?, "{project}");
            assert_eq!(is_within(&mut client, project, &all)?, expected.is_some());
        }
        for (project, path, expected) in [
            (30, "group-1/old", true),
            (30, "Group-1", true),
            (30, "old", false),
            (30, "group-1/ol", false),
            (30, "group-1/old/p10/x", false),
            (30, "", false),
            (33, "old", true),
            (99, "group-1", false),
        ] {
            assert_eq!(is_within(&mut client, project, &[path])?, expected);
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
        assert!(is_within(&mut client, 30, &["group-1/old/p10"])?);
        assert!(is_within(&mut client, 33, &["OLD/p13"])?);
        assert!(!is_within(&mut client, 33, &["group-1"])?);
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
    let groups: Vec<String> = (101..=121).map(|id| id.to_string()).collect();
    let shallow = format!("{}/shallow", groups.join("/"));
    assert!(is_within(&mut client, 200, &[&shallow])?);
    assert!(!is_within(&mut client, 201, &["101", "140"])?);
    Ok(())
}

/// A path that was renamed leads to what has another one now, unless somebody else has taken it.
#[test]
fn former_paths_count() -> Result<()> {
    let mut client = workspaces("slack_paths_former", Layout::Narrow)?;
    client.batch_execute(GROUPS)?;
    // Without these tables nothing was ever renamed.
    assert!(!is_within(&mut client, 30, &["before/p10", "before"])?);
    client.batch_execute(
        "create table routes (id bigserial primary key, source_id bigint not null, source_type varchar not null, path varchar not null);
         create table redirect_routes (id bigserial primary key, source_id bigint not null, source_type varchar not null, path varchar not null);
         insert into routes (source_id, source_type, path) values (30, 'Project', 'group-1/old/p10'), (13, 'Namespace', 'taken');
         insert into redirect_routes (source_id, source_type, path) values
           (30, 'Project', 'before/p10'), (10, 'Namespace', 'group-1/ancient'), (10, 'Namespace', 'taken'), (30, 'Project', 'other/p10'),
           (30, 'Release', 'odd')",
    )?;
    let mut client = cluster()?.connect("slack_paths_former")?;
    for (project, path, expected) in [
        (30, "before/p10", true),
        (30, "Before/P10", true),
        // A group that the project once was in has no say any more.
        (30, "before", false),
        (30, "other", false),
        (30, "group-1/ancient", true),
        (31, "group-1/ancient", true),
        (37, "group-1/ancient", false),
        (30, "group-1/ancient/p10", false),
        (30, "taken", false),
        (31, "before/p10", false),
        (30, "odd", false),
    ] {
        assert_eq!(
            is_within(&mut client, project, &[path])?,
            expected,
            "{path}"
        );
    }
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
