//! Two rollouts from start to end, as their owners run them.

use anyhow::{Result, ensure};
use postgres::Client;

use crate::chatops::{Room, with_deployments};
use crate::service_account::number;

/// Gives a command; the answer must contain all of the words.
fn say(room: &Room, text: &str, words: &[&str]) -> Result<()> {
    let said = room.say(text)?;
    for word in words {
        ensure!(
            said.contains(word),
            "{text}: no {word:?} in\n{said}\n{}",
            room.stage.sidecar.log()
        );
    }
    Ok(())
}

fn is_on(client: &mut Client, flag: &str, actor: Option<&str>) -> Result<bool> {
    Ok(client
        .query_one("select lockstep.feature_enabled($1, $2)", &[&flag, &actor])?
        .get(0))
}

/// Moves the last change into the past.
fn let_time_pass(client: &mut Client, flag: &str, time: &str) -> Result<()> {
    client.execute(
        "update lockstep.feature_audit set changed_at = changed_at - $2::text::interval where feature = $1",
        &[&flag, &time],
    )?;
    Ok(())
}

/// `integration_slack_app_notifications`: for some actors, by percentage, for all, cleaned up.
#[test]
fn integration_slack_app_notifications_is_rolled_out() -> Result<()> {
    let mut room = Room::set("chatops_story_flag")?;
    let flag = "integration_slack_app_notifications";
    // As at the time: off until somebody set it. lockstep now has it on by default.
    for client in [&mut room.pre, &mut room.staging, &mut room.stage.client] {
        client.execute(
            "insert into lockstep.feature_definition (name, default_enabled, type, \"group\") values ($1, false, 'beta', 'group::integrations')
             on conflict (name) do update set default_enabled = false, \"group\" = excluded.\"group\"",
            &[&flag],
        )?;
    }
    with_deployments(&mut room.stage.client)?;
    room.stage.client.batch_execute(
        "insert into merge_requests (id, iid, target_project_id, title, state_id, merge_commit_sha)
         values (1, 98663, 1, 'Add the GitLab for Slack app notifications', 3, 'f00dfacef00dfacef00dfacef00dfacef00dface');
         insert into environments (id, project_id, name, slug) values (1, 1, 'gprd-cny', 'cny'), (2, 1, 'gprd', 'gprd');
         insert into deployments (id, iid, project_id, environment_id, ref, tag, sha, status, created_at, finished_at) values
           (1, 1, 1, 1, '15-6-auto-deploy', true, 'f00dfacef00dfacef00dfacef00dfacef00dface', 2, '2022-11-01 09:00', '2022-11-01 10:00'),
           (2, 2, 1, 2, '15-6-auto-deploy', true, 'f00dfacef00dfacef00dfacef00dfacef00dface', 2, '2022-11-01 11:00', '2022-11-01 12:00');
         insert into deployment_merge_requests (deployment_id, merge_request_id) values (1, 1), (2, 1)",
    )?;

    // Preparation before production rollout: the code has been deployed to production and canary.
    say(
        &room,
        "gitlab run auto_deploy status f00dfacef00dfacef00dfacef00dfacef00dface",
        &[
            ":white_check_mark: group/one gprd-cny: deployed at 2022-11-01 10:00 UTC",
            ":white_check_mark: group/one gprd: deployed at 2022-11-01 12:00 UTC",
        ],
    )?;

    // Rollout on non-production environments.
    say(
        &room,
        &format!("gitlab run feature set {flag} true --pre --staging"),
        &[
            "• pre: not set, so off → on",
            "• staging: not set, so off → on",
        ],
    )?;
    say(
        &room,
        &format!("run rollout {flag}"),
        &[
            ":white_check_mark: on outside production: pre: on; staging: on",
            ":white_large_square: on for some in production",
        ],
    )?;

    // Specific rollout on production: for some actors first.
    say(
        &room,
        &format!("gitlab run feature set --project=group/one,group/two {flag} true"),
        &["• production: not set, so off → on for Project:1, Project:2"],
    )?;
    say(
        &room,
        &format!("gitlab run feature set --group=group/sub {flag} true"),
        &["→ on for Group:2, Project:1, Project:2"],
    )?;
    say(
        &room,
        &format!("gitlab run feature set --user=ada {flag} true"),
        &["#integrations, the channel of `group::integrations`, was notified"],
    )?;
    let production = &mut room.stage.client;
    assert!(
        is_on(production, flag, Some("Project:1"))? && is_on(production, flag, Some("User:2"))?
    );
    assert!(!is_on(production, flag, Some("Project:3"))? && !is_on(production, flag, None)?);

    // Global rollout on production: by percentage, between which one waits at least 15 minutes.
    for percentage in [25, 50, 75] {
        say(
            &room,
            &format!("gitlab run feature set {flag} {percentage} --actors"),
            &[&format!(
                "→ on for {percentage} % of the actors, Group:2, Project:1"
            )],
        )?;
        say(
            &room,
            &format!("run rollout {flag}"),
            &[
                ":white_check_mark: on for some in production, first at ",
                &format!(":white_check_mark: now on for {percentage} % of the actors"),
                ":white_large_square: on for everybody in production",
            ],
        )?;
        let seen = number(
            &mut room.stage.client,
            &format!(
                "select count(*) from generate_series(1000, 1999) n where lockstep.feature_enabled('{flag}', 'Project:' || n)"
            ),
        )?;
        ensure!(
            (seen - percentage * 10).abs() < 70,
            "{seen} of 1000 at {percentage} %"
        );
    }

    // An incident happens in between.
    say(
        &room,
        "run incident declare “Slack’s API is slow”",
        &["incident 1 of severity 2 is open"],
    )?;
    say(
        &room,
        &format!("gitlab run feature set {flag} true"),
        &[":no_entry: Incident 1 of severity 2 is open: Slack’s API is slow."],
    )?;
    assert!(!is_on(&mut room.stage.client, flag, None)?);
    say(&room, "run incident close 1", &["incident 1 is closed"])?;

    say(
        &room,
        &format!("gitlab run feature set {flag} true"),
        &[
            "• production: on for 75 % of the actors, ",
            " → on\n",
            "#integrations, the channel of `group::integrations`, was notified",
        ],
    )?;
    assert!(is_on(&mut room.stage.client, flag, None)?);
    assert_eq!(room.told().len(), 7);
    say(
        &room,
        &format!("run rollout {flag} --merge-request=group/one!98663"),
        &[
            ":white_check_mark: on for everybody in production since ",
            ":white_large_square: a day without a change while it is on for everybody",
            ":white_check_mark: the code in group/one!98663 is deployed: gprd: deployed at 2022-11-01 12:00 UTC; gprd-cny: deployed at ",
        ],
    )?;

    // Verify the feature works as expected, at least for one day.
    let_time_pass(&mut room.stage.client, flag, "25 hours")?;
    say(
        &room,
        &format!("run rollout {flag}"),
        &[
            ":white_check_mark: a day without a change (the last at ",
            &format!("`/chatops run feature delete {flag} --pre --staging --production`"),
        ],
    )?;

    // Release the feature: the removal of the flag is in the milestone's package; then it is cleaned up.
    say(
        &room,
        "gitlab run release check https://gitlab.example/group/one/-/merge_requests/98663 15.6",
        &["is merged, but not in 15.6 yet"],
    )?;
    room.stage
        .client
        .batch_execute("update deployments set ref = '15-6-stable-ee' where id = 2")?;
    say(
        &room,
        "gitlab run release check https://gitlab.example/group/one/-/merge_requests/98663 15.6",
        &["is in 15.6, deployed from `15-6-stable-ee`"],
    )?;
    say(
        &room,
        &format!("gitlab run feature delete {flag} --pre --staging --production"),
        &[
            "• pre: on → not set, so off",
            "• staging: on → not set, so off",
            "• production: on → not set, so off",
        ],
    )?;
    say(
        &room,
        &format!("run rollout {flag}"),
        &[
            ":white_check_mark: deleted in production at ",
            ":white_check_mark: cleaned up: it is not set anywhere",
        ],
    )?;
    for client in [&mut room.staging, &mut room.pre, &mut room.stage.client] {
        assert_eq!(
            number(
                client,
                "select (select count(*) from features) + (select count(*) from feature_gates)"
            )?,
            0
        );
    }
    // Each change has its user.
    let unknown =
        "select count(*) from lockstep.feature_audit where actor is null or source is null";
    assert_eq!(number(&mut room.stage.client, unknown)?, 0);
    Ok(())
}

/// `rename_integrations_workers`: for all at once, because jobs have no actor; drained; old workers retired; flag deleted.
#[test]
fn rename_integrations_workers_is_rolled_out() -> Result<()> {
    let mut room = Room::set("chatops_story_worker")?;
    let flag = "rename_integrations_workers";
    let old = [
        "ProjectServiceWorker",
        "IrkerWorker",
        "Clusters::Applications::ActivateServiceWorker",
        "Clusters::Applications::DeactivateServiceWorker",
    ];
    room.stage
        .client
        .batch_execute("select lockstep.enqueue_job('ProjectServiceWorker', '[1, {}]')")?;

    // On staging, then in production.
    say(
        &room,
        &format!("gitlab run feature set {flag} true"),
        &[":no_entry: Nothing was changed: `rename_integrations_workers` is off in staging"],
    )?;
    say(
        &room,
        &format!("gitlab run feature set {flag} true --staging"),
        &["• staging: not set, so off → on"],
    )?;
    say(
        &room,
        "run workers retire ProjectServiceWorker",
        &[":x: production: nothing was changed: "],
    )?;
    say(
        &room,
        &format!("gitlab run feature set {flag} true"),
        &[
            "• production: not set, so off → on",
            "#integrations, the channel of `group::integrations`, was notified",
        ],
    )?;

    // From now on jobs have the new name; those with the old one drain.
    let job = "select lockstep.enqueue_job('ProjectServiceWorker', '[2, {}]')";
    let id: i64 = room.stage.client.query_one(job, &[])?.get(0);
    let worker: String = room
        .stage
        .client
        .query_one(
            "select worker from lockstep_internal.job where id = $1",
            &[&id],
        )?
        .get(0);
    assert_eq!(worker, "Integrations::ExecuteWorker");
    say(
        &room,
        "run workers status",
        &[
            "• `ProjectServiceWorker` → `Integrations::ExecuteWorker`: 1 enqueued, 0 running, 0 dead",
            "• `IrkerWorker` → `Integrations::IrkerWorker`: drained",
            "• `Integrations::ExecuteWorker`: 1 enqueued, 0 running, 0 dead",
        ],
    )?;
    say(
        &room,
        "run workers retire ProjectServiceWorker",
        &[
            ":x: production: nothing was changed: ",
            "ProjectServiceWorker",
        ],
    )?;
    room.stage.client.batch_execute(
        "do $$
         declare r bigint := lockstep.start_runner('test');
         begin
           perform lockstep.complete_jobs(r, array(select job from lockstep.claim_jobs(r, array['ProjectServiceWorker'], 10)));
           perform lockstep.stop_runner(r);
         end $$",
    )?;
    say(
        &room,
        "run workers status",
        &["• `ProjectServiceWorker` → `Integrations::ExecuteWorker`: drained"],
    )?;

    // The old names are retired.
    for worker in old {
        say(
            &room,
            &format!("run workers retire {worker}"),
            &[&format!("• production: `{worker}` is retired")],
        )?;
    }
    say(
        &room,
        "run workers status",
        &["• `ProjectServiceWorker` → `Integrations::ExecuteWorker`: retired at "],
    )?;

    // A day later the flag is deleted everywhere.
    let_time_pass(&mut room.stage.client, flag, "25 hours")?;
    say(
        &room,
        &format!("run rollout {flag}"),
        &[
            ":white_large_square: on outside production: pre: not set, so off; staging: on",
            ":white_check_mark: on for everybody in production since ",
            ":white_check_mark: a day without a change (the last at ",
        ],
    )?;
    say(
        &room,
        &format!("gitlab run feature delete {flag} --staging --production"),
        &[
            "• staging: on → not set, so off",
            "• production: on → not set, so off",
        ],
    )?;
    say(
        &room,
        &format!("run rollout {flag}"),
        &[
            ":white_check_mark: deleted in production at ",
            ":white_check_mark: cleaned up: it is not set anywhere",
        ],
    )?;
    // Jobs keep the new name.
    let id: i64 = room.stage.client.query_one(job, &[])?.get(0);
    let worker: String = room
        .stage
        .client
        .query_one(
            "select worker from lockstep_internal.job where id = $1",
            &[&id],
        )?
        .get(0);
    assert_eq!(worker, "Integrations::ExecuteWorker");
    Ok(())
}
