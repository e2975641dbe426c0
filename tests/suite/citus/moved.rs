//! Citus moves a schema to another node, also one that was added later, while clients write.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Result, ensure};
use lockstep_tests::cluster::PORT;

use super::{run_each, start, triggers_on_shards};

#[test]
fn a_schema_stays_right_while_it_moves_under_writes() -> Result<()> {
    let Some(mut citus) = start("citus_moved", 1)? else {
        return Ok(());
    };
    citus.attach_tenant("tenant")?;
    citus.add_worker()?;
    let is_over = AtomicBool::new(false);
    let sessions = [citus.session(0)?, citus.session(0)?, citus.session(1)?];
    let written = thread::scope(|scope| -> Result<usize> {
        let writers: Vec<_> = sessions
            .into_iter()
            .enumerate()
            .map(|(number, mut client)| {
                let is_over = &is_over;
                scope.spawn(move || {
                    let mut written = 0;
                    for turn in number..number + 1_000_000 {
                        if is_over.load(Ordering::Relaxed) && written >= 20 {
                            break;
                        }
                        let project = turn % 20 + 1;
                        let statement = match turn % 3 {
                            0 => format!("delete from tenant.integrations where project_id = {project}"),
                            _ => format!(
                                "insert into tenant.integrations (project_id, type_new, category, active)
                                 values ({project}, 'Integrations::ExternalWiki', 'issue_tracker', true)
                                 on conflict (project_id, type_new) do update set active = not integrations.active"
                            ),
                        };
                        // A move can end a statement with an error, and so can a deadlock.
                        written += usize::from(client.batch_execute(&statement).is_ok());
                    }
                    written
                })
            })
            .collect();
        let moved = [
            (2, "force_logical"),
            (1, "block_writes"),
            (2, "block_writes"),
            (1, "force_logical"),
            (2, "auto"),
        ]
        .into_iter()
        .try_for_each(|(node, mode)| citus.move_tenant("tenant", node, mode));
        is_over.store(true, Ordering::Relaxed);
        let written = writers
            .into_iter()
            .map(|writer| writer.join().unwrap_or_default())
            .sum();
        moved?;
        Ok(written)
    })?;
    ensure!(written >= 60, "{written} statements");
    citus.check("tenant", "moves")?;
    // On a worker, and on the coordinator itself. From the first move on TRUNCATE finds a copy of its trigger on the shard.
    let socket = citus.clusters[0].socket();
    citus.coordinator.batch_execute(&format!(
        "do $$begin perform citus_set_node_property('{}', {PORT}, 'shouldhaveshards', true); end$$",
        socket.display()
    ))?;
    for home in [2, 0] {
        if citus.node_of("tenant")? != home {
            citus.move_tenant("tenant", home, "block_writes")?;
        }
        assert_eq!(citus.states()?, ["active", "active"]);
        for node in 0..3 {
            let mut client = citus.session(node)?;
            client.batch_execute(
                "delete from tenant.integrations;
                 insert into tenant.integrations (project_id, type_new, active)
                 select n, 'Integrations::ExternalWiki', true from generate_series(1, 5) n;
                 update tenant.projects set has_external_wiki = not has_external_wiki",
            )?;
            assert_eq!(citus.check("tenant", "insert")?, 5);
            client.batch_execute(
                "begin; update tenant.integrations set active = false where project_id < 3; savepoint one;
                 delete from tenant.integrations; rollback to one; commit",
            )?;
            assert_eq!(citus.check("tenant", "update")?, 3);
            client.batch_execute("truncate tenant.integrations cascade")?;
            assert_eq!(citus.check("tenant", "truncate")?, 0);
        }
    }
    Ok(())
}

#[test]
fn nothing_is_left_on_any_node_after_detach_or_drop_extension() -> Result<()> {
    let Some(mut citus) = start("citus_left", 2)? else {
        return Ok(());
    };
    citus.attach_tenant("tenant")?;
    for leave in [
        ["do $$begin perform lockstep.detach('tenant'); end$$"].as_slice(),
        &["drop extension lockstep_slack", "drop extension lockstep"],
    ] {
        citus
            .coordinator
            .batch_execute("do $$begin perform lockstep.attach('tenant'); end$$")?;
        for node in [1, 2] {
            if citus.node_of("tenant")? != node {
                citus.move_tenant("tenant", node, "block_writes")?;
            }
        }
        citus
            .coordinator
            .batch_execute("call citus_cleanup_orphaned_resources()")?;
        let here = citus.node_of("tenant")?;
        let triggers = triggers_on_shards(&mut citus.workers[here - 1])?;
        ensure!(
            triggers
                .iter()
                .any(|it| it.starts_with("truncated_by_lockstep")),
            "{triggers:?}"
        );
        run_each(&mut citus.coordinator, leave)?;
        for worker in &mut citus.workers {
            assert_eq!(triggers_on_shards(worker)?, [""; 0]);
        }
        citus.coordinator.batch_execute(
            "insert into tenant.integrations (project_id, type_new, active) values (3, 'Integrations::ExternalWiki', true);
             delete from tenant.integrations; truncate tenant.integrations cascade",
        )?;
    }
    let ours = "select count(*) from pg_extension where extname like 'lockstep%'";
    for worker in &mut citus.workers {
        assert_eq!(worker.query_one(ours, &[])?.get::<_, i64>(0), 0);
    }
    Ok(())
}
