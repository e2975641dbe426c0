//! Which release contains a change, where it is deployed, and how its commits are found.

use std::sync::{Arc, Mutex};

use anyhow::{Result, ensure};

use crate::chatops::answers::check;
use crate::chatops::{Room, with_deployments};
use crate::database::cluster;

const ONE: &str = "
  insert into merge_requests (id, iid, target_project_id, target_branch, title, state_id) values
    (1, 11, 1, 'master', 'Old', 3), (2, 12, 1, '15-0-stable-ee', 'Backport', 3);
  insert into environments (id, project_id, name, slug) values (1, 1, 'release', 'release');
  insert into deployments (id, iid, project_id, environment_id, ref, tag, sha, status, created_at, finished_at) values
    (1, 1, 1, 1, 'v15.0.0-ee', true, 'cccccccccc000000000000000000000000000001', 2, '2022-05-22 10:00', '2022-05-22 11:00+00'),
    (2, 2, 1, 1, 'v15.0.1-ee', true, 'cccccccccc000000000000000000000000000002', 2, '2022-05-23 10:00', '2022-05-23 11:00+00'),
    (3, 3, 1, 1, '15-1-stable-ee', false, 'cccccccccc000000000000000000000000000003', 2, '2022-06-22 10:00', '2022-06-22 11:00+00');
  insert into deployment_merge_requests (deployment_id, merge_request_id, environment_id) values (1, 1, 1), (2, 2, 1)";

/// GitLab links a merge request to the first deployment of an environment only; later ones contain it as well.
#[test]
fn what_was_released_stays_in() -> Result<()> {
    let mut room = Room::set("chatops_since")?;
    for client in [&mut room.staging, &mut room.stage.client] {
        with_deployments(client)?;
    }
    room.stage.client.batch_execute(ONE)?;
    room.staging.batch_execute(
        "insert into merge_requests (id, iid, target_project_id, title, state_id) values (7, 11, 1, 'Old', 3)",
    )?;
    let deployed = "\n:white_check_mark: release: deployed at 2022-05-22 11:00 UTC";
    check(
        &room,
        &[
            (
                "run release check group/one!11 15.0",
                &format!(
                    ":white_check_mark: *group/one!11* (Old) is in 15.0, deployed from `v15.0.0-ee`.{deployed}"
                ),
            ),
            (
                "run release check group/one!11 15.1",
                &format!(
                    ":white_check_mark: *group/one!11* (Old) is in 15.1, since 15.0 (`v15.0.0-ee`).{deployed}"
                ),
            ),
            (
                "run release check group/one!11 16.0",
                &format!(
                    ":white_check_mark: *group/one!11* (Old) is in 16.0, since 15.0 (`v15.0.0-ee`).{deployed}"
                ),
            ),
            (
                "run release check group/one!11 14.10",
                &format!(
                    ":hourglass_flowing_sand: *group/one!11* (Old) is merged, but not in 14.10 yet: no deployment of that release contains it.{deployed}"
                ),
            ),
            // What was merged to a release branch is in that release.
            (
                "run release check group/one!12 15.1",
                ":hourglass_flowing_sand: *group/one!12* (Backport) is merged, but not in 15.1 yet: no deployment of that release contains it.\n\
                 :white_check_mark: release: deployed at 2022-05-23 11:00 UTC",
            ),
            // Each database has its own.
            (
                "run release check group/one!11 15.0 --staging --production",
                &format!(
                    "In the database of staging:\n\
                     :hourglass_flowing_sand: *group/one!11* (Old) is merged, but not in 15.0 yet: no deployment of that release contains it.\n\
                     :white_large_square: not deployed\n\
                     In the database of production:\n\
                     :white_check_mark: *group/one!11* (Old) is in 15.0, deployed from `v15.0.0-ee`.{deployed}"
                ),
            ),
        ],
    )
}

/// Forks have the commits of their origin.
#[test]
fn environments_are_told_by_project() -> Result<()> {
    let mut room = Room::set("chatops_forks")?;
    with_deployments(&mut room.stage.client)?;
    room.stage.client.batch_execute(
        "insert into environments (id, project_id, name, slug) values (1, 4, 'production', 'p'), (2, 1, 'production', 'p'), (3, 1, 'canary', 'c');
         insert into deployments (id, iid, project_id, environment_id, ref, tag, sha, status, created_at, finished_at) values
           (1, 1, 4, 1, 'main', false, 'cccccccccc000000000000000000000000000001', 2, '2022-06-01 10:00', '2022-06-01 11:00+00'),
           (2, 1, 1, 2, 'main', false, 'cccccccccc000000000000000000000000000001', 1, '2022-06-01 10:00', null),
           (3, 2, 1, 3, 'main', false, 'cccccccccc000000000000000000000000000001', 2, '2022-06-01 10:00', '2022-06-01 12:00+00')",
    )?;
    let told = "*ccccccccc*\n\
         :white_check_mark: group/one canary: deployed at 2022-06-01 12:00 UTC\n\
         :white_large_square: group/one production: being deployed\n\
         :white_check_mark: group/sub/Four production: deployed at 2022-06-01 11:00 UTC";
    assert_eq!(room.say("run auto_deploy status ccccccccc")?, told);
    // GitLab keeps paths in a separate table, except for very old versions.
    room.stage.client.batch_execute(
        "create table if not exists routes (id bigserial primary key, source_id bigint not null, source_type varchar not null, path varchar not null);
         delete from routes where source_type = 'Project';
         insert into routes (source_id, source_type, path) values (1, 'Project', 'group/one'), (4, 'Project', 'group/sub/Four')",
    )?;
    assert_eq!(room.say("run auto_deploy status ccccccccc")?, told);
    Ok(())
}

/// Full and abbreviated commits are looked up in indexes that have the status in between, with any collation.
#[test]
fn commits_are_found_by_an_index() -> Result<()> {
    if !cluster()?.has_module("auto_explain") {
        return Ok(());
    }
    let name = "chatops_indexed";
    let mut room = Room::set(name)?;
    let client = &mut room.stage.client;
    with_deployments(client)?;
    client.batch_execute(
        "insert into environments (id, project_id, name, slug) select n, 1, 'e' || n, 'e' || n from generate_series(1, 20) n;
         insert into deployments (id, iid, project_id, environment_id, ref, tag, sha, status, created_at)
         select n, n, 1, 1 + n % 20, 'main', false, encode(sha256(n::text::bytea), 'hex'), n % 7, '2022-06-01' from generate_series(1, 5000) n;
         insert into deployments (id, iid, project_id, environment_id, ref, tag, sha, status, created_at)
         values (6000, 6000, 1, 1, 'main', false, 'baaa000000000000000000000000000000000001', 2, '2022-06-01');
         analyze deployments, environments",
    )?;
    let plan_of = |sha: &str| -> Result<String> {
        let plans = Arc::new(Mutex::new(String::new()));
        let told = Arc::clone(&plans);
        let mut config = cluster()?.config(name);
        let mut client = config
            .notice_callback(move |notice| {
                if let Ok(mut plans) = told.lock() {
                    plans.push_str(notice.message());
                }
            })
            .connect(postgres::NoTls)?;
        client.batch_execute(
            "load 'auto_explain'; set auto_explain.log_min_duration = 0; set auto_explain.log_nested_statements = on;
             set auto_explain.log_level = notice; set enable_seqscan = off; set enable_bitmapscan = off",
        )?;
        client.execute("select lockstep_api.chatops_deployments($1)", &[&sha])?;
        Ok(plans.lock().map(|plans| plans.clone()).unwrap_or_default())
    };
    let index = "index_deployments_on_environment_status_sha";
    for (sha, compares) in [
        ("baaa000000000000000000000000000000000001", "(sha)::text = "),
        ("baaa000", "(sha)::text >= "),
    ] {
        let plan = plan_of(sha)?;
        let conditions = plan
            .split(index)
            .skip(1)
            .filter_map(|rest| rest.lines().nth(1));
        let conditions: Vec<&str> = conditions.collect();
        let has_all = |it: &str| {
            ["Index Cond: ((environment_id = ", " (status = ", compares]
                .iter()
                .all(|part| it.contains(part))
        };
        ensure!(
            conditions.len() == 1 && conditions.iter().all(|it| has_all(it)),
            "{sha}: {conditions:?}\n{plan}"
        );
    }
    // In Danish, aa is a letter after z. Not every server build knows that collation.
    let collations = "select quote_ident(collname) from pg_collation where collname in ('C', 'da-x-icu') order by 1";
    for row in room.stage.client.query(collations, &[])? {
        let collation: String = row.get(0);
        room.stage.client.batch_execute(&format!(
            "alter table deployments alter column sha type character varying collate {collation}"
        ))?;
        for sha in ["baa0000", "baaa000", "baaa00000000"] {
            let said = room.say(&format!("run auto_deploy status {sha}"))?;
            let has_it = said.contains("group/one e1: ");
            ensure!(
                has_it == sha.starts_with("baaa"),
                "{collation} {sha}: {said}"
            );
        }
    }
    Ok(())
}
