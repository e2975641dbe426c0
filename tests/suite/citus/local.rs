//! Tables that Citus does not distribute by schema, and what only the coordinator knows.

use anyhow::{Result, ensure};
use postgres::error::SqlState;

use super::{Citus, answers, refused, start};

/// How the error about a cache column's tables ends.
const APART: &str = " apart from the other table of the cache column";

#[test]
fn what_citus_distributes_is_skipped_and_the_rest_attached() -> Result<()> {
    let Some(mut citus) = start("citus_skipped", 1)? else {
        return Ok(());
    };
    let client = &mut citus.coordinator;
    // Citus takes all tables along that foreign keys connect with it.
    client.batch_execute("do $$begin perform create_reference_table('projects'); end$$")?;
    for call in ["lockstep.attach(dry_run => true)", "lockstep.attach()"] {
        let answers = answers(client, call)?;
        let by_citus = |table| format!("skipped, table \"public.{table}\" is distributed by Citus");
        let apart = format!("{}{APART}", by_citus("projects"));
        for (feature, outcome) in [
            ("projects.has_external_wiki", apart.clone()),
            ("projects.has_external_issue_tracker", apart),
            (
                "duo_workflows_workflows.service_account_id",
                by_citus("duo_workflows_workflows"),
            ),
        ] {
            ensure!(
                answers.contains(&format!("{feature}: {outcome}")),
                "{call}: {answers:?}"
            );
        }
    }
    ensure!(answers(client, "lockstep.attach()")?[1].starts_with("feature_flags: attached"));
    let of_slack = answers(client, "lockstep.attach_slack()")?;
    ensure!(
        of_slack.iter().any(|answer| answer
            == "slack_integrations: skipped, table \"public.slack_integrations\" is distributed by Citus"),
        "{of_slack:?}"
    );
    let add = "select lockstep.add_cache_column('projects', 'has_external_wiki', 'integrations', 'project_id', '{\"active\": true}')";
    let (code, message) = refused(client, add)?;
    assert_eq!(code, SqlState::FEATURE_NOT_SUPPORTED);
    assert_eq!(
        message,
        format!("table \"public.projects\" is distributed by Citus{APART}")
    );
    Ok(())
}

#[test]
fn a_worker_refuses_what_only_the_coordinator_knows() -> Result<()> {
    let Some(mut citus) = start("citus_worker", 1)? else {
        return Ok(());
    };
    citus.coordinator.batch_execute(
        "do $$begin perform lockstep.attach(); perform lockstep.define_feature('new_editor'); end$$",
    )?;
    for call in [
        "select lockstep.feature_enabled('new_editor')",
        "select lockstep.enable_feature_for('new_editor', 'Project:1')",
        "select lockstep.enqueue_job('ProjectServiceWorker', '[1, {}]')",
        "select * from lockstep.attach()",
        "select * from lockstep.attach(dry_run => true)",
        "select * from lockstep.attach_slack()",
        "select * from lockstep.publish_event('{\"object_kind\": \"push\", \"project_id\": 1}')",
        "select lockstep.release_restored()",
        "select lockstep.resume_lost_backfills()",
    ] {
        let (code, message) = refused(&mut citus.workers[0], call)?;
        assert_eq!(
            (code, message.as_str()),
            (
                SqlState::FEATURE_NOT_SUPPORTED,
                "lockstep is used on the coordinator of Citus, and this server is a worker"
            ),
            "{call}"
        );
    }
    Ok(())
}

#[test]
fn attached_tables_are_not_distributed_before_they_are_detached() -> Result<()> {
    let Some(mut citus) = start("citus_attached", 1)? else {
        return Ok(());
    };
    let client = &mut citus.coordinator;
    client.batch_execute(
        "insert into projects (id, namespace_id) values (1, 1);
         do $$begin perform lockstep.attach(); perform lockstep.attach_slack(); end$$;
         insert into integrations (project_id, type_new, category, active) values (1, 'Integrations::ExternalWiki', 'common', true)",
    )?;
    let distribute = "select create_reference_table('projects')";
    let (_, message) = refused(client, distribute)?;
    ensure!(message.contains("triggers"), "{message}");
    client.batch_execute("update integrations set active = false")?;
    let has_wiki = "select has_external_wiki from projects";
    ensure!(!client.query_one(has_wiki, &[])?.get::<_, bool>(0));
    client.batch_execute(
        "do $$begin perform lockstep.detach(); perform lockstep.detach_slack(); perform create_reference_table('projects'); end$$",
    )?;
    Ok(())
}

#[test]
fn the_extensions_come_and_go_on_all_servers() -> Result<()> {
    let Some(mut citus) = start("citus_dropped", 1)? else {
        return Ok(());
    };
    let ours = "select count(*) from pg_extension where extname like 'lockstep%'";
    let on_both = |citus: &mut Citus| -> Result<[i64; 2]> {
        let here = citus.coordinator.query_one(ours, &[])?.get(0);
        Ok([here, citus.workers[0].query_one(ours, &[])?.get(0)])
    };
    assert_eq!(on_both(&mut citus)?, [2, 2]);
    let coordinator = &mut citus.coordinator;
    // Twice, since what one extension has registered with the other must be gone on each of them.
    coordinator.batch_execute("drop extension lockstep_slack; create extension lockstep_slack")?;
    coordinator.batch_execute("drop extension lockstep cascade")?;
    assert_eq!(on_both(&mut citus)?, [0, 0]);
    citus
        .coordinator
        .batch_execute("create extension lockstep_slack cascade")?;
    assert_eq!(on_both(&mut citus)?, [2, 2]);
    Ok(())
}
