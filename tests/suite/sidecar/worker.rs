//! What each of the sidecar's workers does with a job.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::thread;

use anyhow::{Result, anyhow, ensure};
use lockstep_tests::host::Layout;
use postgres::Client;

use crate::database::with_slack;
use crate::service_account::number;
use crate::sidecar::work::{PUSH, enqueue, with_integration, work};

#[test]
fn events_are_recorded_once_under_either_name() -> Result<()> {
    let name = "work_execute";
    let mut client = with_integration(name)?;
    enqueue(&mut client, "ProjectServiceWorker", PUSH)?;
    client.batch_execute("select * from lockstep.attach(); select * from lockstep.attach_slack(); select lockstep.set_feature('rename_integrations_workers', true)")?;
    enqueue(
        &mut client,
        "ProjectServiceWorker",
        r#"{"integration_id": 1, "data": {"object_kind": "issue"}}"#,
    )?;
    // A removed integration is ignored, without an error.
    enqueue(&mut client, "Integrations::ExecuteWorker", "[2, {}]")?;
    let names = number(
        &mut client,
        "select count(distinct worker) from lockstep_internal.job",
    )?;
    assert_eq!(names, 2);
    let log = work(name, &["--worker", "ProjectServiceWorker"])?;
    ensure!(log.contains("done=3"), "{log}");
    let rows = client.query(
        "select event, integration_id from lockstep_internal.integration_event order by job",
        &[],
    )?;
    let events: Vec<(&str, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(events, [("push", 1), ("issue", 1)]);
    assert_eq!(
        number(&mut client, "select count(*) from lockstep_internal.job")?,
        0
    );
    assert_eq!(
        number(
            &mut client,
            "select count(*) from lockstep_internal.job_runner"
        )?,
        0
    );
    Ok(())
}

#[test]
fn clusters_switch_the_integration_of_all_their_projects() -> Result<()> {
    let name = "work_cluster";
    let mut client = with_slack(name, Layout::Narrow)?;
    // Cluster 1 belongs to projects 1 and 2, cluster 2 to group 10 with subgroup 11, projects 3 and 4, and no longer to project
    // 5's group.
    client.batch_execute(
        "insert into namespaces (id, name, path, type, traversal_ids, organization_id)
           values (10, 'g', 'g', 'Group', '{10}', 1), (11, 's', 's', 'Group', '{10,11}', 1), (12, 'o', 'o', 'Group', '{12}', 1);
         insert into projects (id, namespace_id) values (1, 1), (2, 1), (3, 10), (4, 11), (5, 12);
         insert into clusters (id, name, cluster_type) values (1, 'one', 3), (2, 'two', 2);
         insert into cluster_projects (cluster_id, project_id) values (1, 1), (1, 2);
         insert into cluster_groups (cluster_id, group_id) values (2, 10);
         insert into integrations (project_id, type_new, category, active)
           values (1, 'Integrations::Prometheus', 'monitoring', false), (2, 'Integrations::Slack', 'chat', false),
                  (5, 'Integrations::Prometheus', 'monitoring', true)",
    )?;
    let state = |client: &mut Client| -> Result<String> {
        let query = "select string_agg(project_id || case when active then ' on' else ' off' end, ', ' order by project_id)
                       from integrations where type_new = 'Integrations::Prometheus'";
        Ok(client.query_one(query, &[])?.get(0))
    };
    let old = "Clusters::Applications::ActivateServiceWorker";
    enqueue(&mut client, old, r#"[1, "prometheus"]"#)?;
    work(name, &[])?;
    assert_eq!(state(&mut client)?, "1 on, 2 on, 5 on");
    let new = "Clusters::Applications::ActivateIntegrationWorker";
    enqueue(&mut client, new, r#"[2, "prometheus"]"#)?;
    work(name, &[])?;
    assert_eq!(state(&mut client)?, "1 on, 2 on, 3 on, 4 on, 5 on");
    let categories = "select count(distinct category) from integrations where type_new = 'Integrations::Prometheus'";
    assert_eq!(number(&mut client, categories)?, 1);
    // Current values are not written again.
    let version = "select max(xmin::text::bigint) from integrations";
    let before = number(&mut client, version)?;
    enqueue(&mut client, new, r#"[2, "prometheus"]"#)?;
    work(name, &[])?;
    assert_eq!(number(&mut client, version)?, before);
    enqueue(
        &mut client,
        "Clusters::Applications::DeactivateServiceWorker",
        r#"[2, "prometheus"]"#,
    )?;
    // A missing cluster has no projects.
    enqueue(&mut client, new, r#"[7, "prometheus"]"#)?;
    work(name, &[])?;
    assert_eq!(state(&mut client)?, "1 on, 2 on, 3 off, 4 off, 5 on");
    Ok(())
}

#[test]
fn irkerd_is_told_over_tcp() -> Result<()> {
    let name = "work_irker";
    let mut client = with_slack(name, Layout::Narrow)?;
    let irkerd = TcpListener::bind("127.0.0.1:0")?;
    let port = irkerd.local_addr()?.port();
    let push = r##"{"ref": "refs/heads/main", "before": "aaaa", "after": "bbbb", "user_name": "Eve", "repository": {"name": "p"},
                    "commits": [{"id": "bbbb", "message": "Title\n", "author": {"name": "Eve"}, "url": "https://x/c"}]}"##;
    let args = format!(
        r##"[1, ["irc://irc.example/#dev"], false, {push}, {{"server_host": "127.0.0.1", "server_port": {port}}}]"##
    );
    enqueue(&mut client, "IrkerWorker", &args)?;
    let told = thread::spawn(move || -> Result<Vec<serde_json::Value>> {
        let (stream, _) = irkerd.accept()?;
        let lines = BufReader::new(stream).lines();
        lines
            .map(|line| Ok(serde_json::from_str(&line?)?))
            .collect()
    });
    work(name, &[])?;
    let told = told.join().map_err(|_| anyhow!("irkerd panicked"))??;
    assert_eq!(told.len(), 2);
    for line in &told {
        assert_eq!(line["to"], serde_json::json!(["irc://irc.example/#dev"]));
    }
    assert_eq!(told[1]["privmsg"], "[p] main bbbb Eve: Title https://x/c");
    // Nobody listens there any more.
    let job = enqueue(&mut client, "IrkerWorker", &args)?;
    work(name, &[])?;
    let row = client.query_one(
        "select status, failures, last_error from lockstep_internal.job where id = $1",
        &[&job],
    )?;
    assert_eq!(
        (row.get::<_, &str>(0), row.get::<_, i32>(1)),
        ("scheduled", 1)
    );
    let error: &str = row.get(2);
    ensure!(
        error.starts_with(&format!("irkerd at 127.0.0.1:{port}: ")),
        "{error}"
    );
    Ok(())
}

#[test]
fn arguments_that_are_none_are_a_failure() -> Result<()> {
    let name = "work_arguments";
    let mut client = with_integration(name)?;
    for (worker, args) in [
        ("Integrations::ExecuteWorker", "{}"),
        ("Integrations::IrkerWorker", "[1]"),
        (
            "Clusters::Applications::ActivateIntegrationWorker",
            r#"["prometheus"]"#,
        ),
        (
            "Clusters::Applications::DeactivateIntegrationWorker",
            r#"[1, "no such name"]"#,
        ),
    ] {
        let job = enqueue(&mut client, worker, args)?;
        let log = work(name, &[])?;
        let error: String = client
            .query_one(
                "select last_error from lockstep_internal.job where id = $1 and failures = 1",
                &[&job],
            )?
            .get(0);
        ensure!(
            error.contains("are not") || error.contains("is not a valid name"),
            "{worker}: {error}"
        );
        ensure!(log.contains("failed"), "{log}");
        // They may contain confidential data.
        ensure!(!log.contains("prometheus\""), "{log}");
    }
    Ok(())
}
