//! Deployments, drift and unchanged flags, viewed from Slack.

use anyhow::{Result, ensure};

use crate::chatops::{Room, with_deployments};

/// Each line with its project.
fn of_project(lines: &str) -> String {
    lines
        .replace("_mark: ", "_mark: group/one ")
        .replace("_square: ", "_square: group/one ")
}

#[test]
fn deployments_are_read_of_the_hosts_tables() -> Result<()> {
    let mut room = Room::set("chatops_deploy")?;
    // Times are shown in UTC, wherever the server is.
    room.stage
        .client
        .batch_execute("alter database chatops_deploy set timezone to 'Asia/Tokyo'")?;
    let said = room.say("run auto_deploy status 0123456789abcdef0123456789abcdef01234567")?;
    assert_eq!(
        said,
        "*0123456789abcdef0123456789abcdef01234567*\n:x: production: schema public has no table deployments. It is read from GitLab's tables."
    );
    with_deployments(&mut room.stage.client)?;
    room.stage.client.batch_execute(
        "insert into merge_requests (id, iid, target_project_id, title, state_id, merge_commit_sha, squash_commit_sha, merged_commit_sha) values
           (1, 11, 1, 'Rename <workers>', 3, 'aaaaaaaaaa000000000000000000000000000001', '\\xbbbbbbbbbb000000000000000000000000000001',
            '\\xaaaaaaaaaa000000000000000000000000000001'),
           (2, 12, 1, 'Not merged', 1, null, null, null),
           (3, 13, 4, 'Waiting', 3, 'aaaaaaaaaa000000000000000000000000000003', null, null),
           (4, 14, 1, 'Fast-forward', 3, null, null, '\\xffffffffff000000000000000000000000000001');
         insert into environments (id, project_id, name, slug, tier) values
           (1, 1, 'gstg', 'gstg', 1), (2, 1, 'gprd', 'gprd', 0), (3, 1, 'gprd-cny', 'cny', 0), (4, 1, 'release', 'release', 0),
           (5, 1, 'next', 'next', 0);
         insert into deployments (id, iid, project_id, environment_id, ref, tag, sha, status, created_at, finished_at) values
           (1, 1, 1, 1, '15-1-auto-deploy-2022060100', true, 'cccccccccc000000000000000000000000000001', 2, '2022-06-01 10:00', '2022-06-01 11:00+00'),
           (2, 2, 1, 3, '15-1-auto-deploy-2022060100', true, 'cccccccccc000000000000000000000000000001', 2, '2022-06-01 12:00', '2022-06-01 14:30+02'),
           (3, 3, 1, 2, '15-1-auto-deploy-2022060100', true, 'cccccccccc000000000000000000000000000001', 1, '2022-06-01 13:00', null),
           (4, 4, 1, 1, '15-1-auto-deploy-2022060200', true, 'cccccccccc000000000000000000000000000002', 2, '2022-06-02 10:00', '2022-06-02 11:00+00');
         insert into deployment_merge_requests (deployment_id, merge_request_id, environment_id) values (1, 1, 1), (2, 1, 3), (3, 1, 2), (4, 4, 1)",
    )?;
    let status = "\n:white_large_square: gprd: being deployed\n:white_check_mark: gprd-cny: deployed at 2022-06-01 12:30 UTC\n:white_check_mark: gstg: deployed at 2022-06-01 11:00 UTC";
    let of_one = of_project(status);
    let check = |room: &Room, cases: &[(&str, String)]| -> Result<()> {
        for (text, expected) in cases {
            let said = room.say(text)?;
            ensure!(
                said == *expected,
                "{text}\nexpected: {expected}\n     was: {said}"
            );
        }
        Ok(())
    };
    check(
        &room,
        &[
            // By the deployed commit, the merge request's commit, and the squashed commit, abbreviated and in upper case.
            ("run auto_deploy status cccccccccc000000000000000000000000000001", format!("*cccccccccc000000000000000000000000000001*{of_one}")),
            ("run auto_deploy status aaaaaaaaaa000000000000000000000000000001", format!("*aaaaaaaaaa000000000000000000000000000001*{of_one}")),
            ("run auto_deploy status bbbbbbbbbb000000000000000000000000000001", format!("*bbbbbbbbbb000000000000000000000000000001*{of_one}")),
            ("gitlab run auto_deploy status BBBBBBBBBB", format!("*BBBBBBBBBB*{of_one}")),
            ("run auto_deploy status bbbbbbb", format!("*bbbbbbb*{of_one}")),
            ("run auto_deploy status bbbbbbbbbb0000", format!("*bbbbbbbbbb0000*{of_one}")),
            ("run auto_deploy status aaaaaaaaaa00000000000000000000000000000", format!("*aaaaaaaaaa00000000000000000000000000000*{of_one}")),
            ("run auto_deploy status ccccccccccc", "*ccccccccccc*\n:white_large_square: not deployed".to_owned()),
            ("run auto_deploy status bbbbbbbbbbb", "*bbbbbbbbbbb*\n:white_large_square: not deployed".to_owned()),
            ("run auto_deploy status fffffff", "*fffffff*\n:white_check_mark: group/one gstg: deployed at 2022-06-02 11:00 UTC".to_owned()),
            ("run auto_deploy status ffffffffff000000000000000000000000000001", "*ffffffffff000000000000000000000000000001*\n:white_check_mark: group/one gstg: deployed at 2022-06-02 11:00 UTC".to_owned()),
            (
                "run auto_deploy status aaaaaaaaaa000000000000000000000000000003",
                "*aaaaaaaaaa000000000000000000000000000003*\n:white_large_square: not deployed".to_owned(),
            ),
            (
                "run auto_deploy status master",
                "*master*\n:x: production: \"master\" is not the SHA of a commit. A SHA has from 7 to 64 hexadecimal digits.".to_owned(),
            ),
            (
                "run release check https://gitlab.example/group/one/-/merge_requests/11 15.1",
                format!(":hourglass_flowing_sand: *group/one!11* (Rename &lt;workers&gt;) is merged, but not in 15.1 yet: no deployment of that release contains it.{status}"),
            ),
            (
                "run release check group/one!12 15.1",
                ":x: *group/one!12* (Not merged) is opened, so it is not in 15.1.\n:white_large_square: not deployed".to_owned(),
            ),
            (
                "run release check https://gitlab.example/group/one/-/merge_requests/99 15.1",
                ":x: production: merge request \"group/one!99\" does not exist. It is looked up in GitLab's tables.".to_owned(),
            ),
            (
                "run release check https://gitlab.example/group/nine/-/merge_requests/1 15.1",
                ":x: production: project \"group/nine\" does not exist. It is looked up in GitLab's tables.".to_owned(),
            ),
            (
                "run release check group/one!11 next",
                ":x: production: \"next\" is not a milestone. A milestone is a major and a minor version.".to_owned(),
            ),
            (
                "run release check 11 15.1",
                ":x: `11` is not the address of a merge request, such as `https://gitlab.example/group/project/-/merge_requests/1`.".to_owned(),
            ),
        ],
    )?;
    // The release's tag, and another one with the same beginning.
    room.stage.client.batch_execute(
        "insert into deployments (id, iid, project_id, environment_id, ref, tag, sha, status, created_at, finished_at) values
           (5, 5, 1, 5, 'v15.10.0-ee', true, 'cccccccccc000000000000000000000000000003', 2, '2022-06-22 10:00', '2022-06-22 11:00+00'),
           (6, 6, 1, 4, 'v15.1.0-ee', true, 'cccccccccc000000000000000000000000000004', 3, '2022-06-22 10:00', '2022-06-22 11:00+00');
         insert into deployment_merge_requests (deployment_id, merge_request_id, environment_id) values (5, 1, 5), (6, 1, 4)",
    )?;
    let said = room.say("run release check group/one!11 15.1")?;
    ensure!(said.starts_with(":hourglass_flowing_sand: "), "{said}");
    room.stage
        .client
        .batch_execute("update deployments set status = 2 where id = 6")?;
    check(
        &room,
        &[(
            "run release check <https://gitlab.example/group/one/-/merge_requests/11> 15.1",
            format!(
                ":white_check_mark: *group/one!11* (Rename &lt;workers&gt;) is in 15.1, deployed from `v15.1.0-ee`.{status}\n:white_check_mark: next: deployed at 2022-06-22 11:00 UTC\n:white_check_mark: release: deployed at 2022-06-22 11:00 UTC"
            ),
        )],
    )?;
    // Some GitLab versions store all of them as text, have no commit for a fast-forward, or times without time zone.
    room.stage.client.batch_execute(
        "alter table merge_requests drop column merged_commit_sha,
           alter column squash_commit_sha type character varying using encode(squash_commit_sha, 'hex');
         alter table deployments alter column finished_at type timestamp using timezone('utc', finished_at),
           alter column sha type bytea using decode(sha, 'hex')",
    )?;
    let all = of_project(&format!(
        "{status}\n:white_check_mark: next: deployed at 2022-06-22 11:00 UTC\n:white_check_mark: release: deployed at 2022-06-22 11:00 UTC"
    ));
    check(
        &room,
        &[
            (
                "run auto_deploy status bbbbbbbbbb000000000000000000000000000001",
                format!("*bbbbbbbbbb000000000000000000000000000001*{all}"),
            ),
            ("run auto_deploy status bbbbbbb", format!("*bbbbbbb*{all}")),
            (
                "run auto_deploy status cccccccccc000000000000000000000000000001",
                format!("*cccccccccc000000000000000000000000000001*{of_one}"),
            ),
            (
                "run auto_deploy status ccccccccccc",
                "*ccccccccccc*\n:white_large_square: not deployed".to_owned(),
            ),
            (
                "run auto_deploy status fffffff",
                "*fffffff*\n:white_large_square: not deployed".to_owned(),
            ),
        ],
    )?;
    room.stage
        .client
        .batch_execute("alter table deployments rename finished_at to ended_at")?;
    let said = room.say("run auto_deploy status cccccccccc")?;
    assert_eq!(
        said,
        "*cccccccccc*\n:x: production: schema public has no column finished_at of deployments. It is read from GitLab's tables."
    );
    let row = room.stage.client.query_one(
        "select status, detail from lockstep.attach_slack() where feature = 'deployments'",
        &[],
    )?;
    assert_eq!(
        (row.get::<_, String>(0), row.get::<_, String>(1)),
        (
            "skipped".to_owned(),
            "schema public has no column finished_at of deployments".to_owned()
        )
    );
    Ok(())
}

#[test]
fn drift_is_counted() -> Result<()> {
    let mut room = Room::set("chatops_drift")?;
    let said = room.say("run drift")?;
    assert_eq!(
        said,
        "*production*\n• `public.projects.has_external_wiki`: :white_check_mark: no drift\n\
         • `public.projects.has_external_issue_tracker`: :white_check_mark: no drift\n\
         • `slack_integrations`: :white_check_mark: no drift"
    );
    room.staging.batch_execute(
        "update projects set has_external_issue_tracker = true where id < 3; update projects set has_external_wiki = null where id = 4;
         drop table slack_integrations cascade",
    )?;
    room.reach("pre", false)?;
    let said = room.say("run drift --staging --pre")?;
    assert_eq!(
        said,
        ":warning: pre: unreachable\n*staging*\n• `public.projects.has_external_wiki`: :warning: 1 row differs\n\
         • `public.projects.has_external_issue_tracker`: :warning: 2 rows differ"
    );
    Ok(())
}

/// Flags changed since in any environment are left out.
#[test]
fn flags_that_nobody_changes_are_listed() -> Result<()> {
    let mut room = Room::set("chatops_stale")?;
    for client in [&mut room.staging, &mut room.stage.client] {
        client.batch_execute(
            "select lockstep.set_feature('old', true), lockstep.set_feature('new', true)",
        )?;
    }
    room.staging.batch_execute(
        "update lockstep.feature_audit set changed_at = changed_at - interval '61 days' where feature = 'old'",
    )?;
    room.stage.client.batch_execute(
        "update lockstep.feature_audit set changed_at = changed_at - interval '59 days' where feature = 'old'",
    )?;
    room.reach("pre", false)?;
    assert_eq!(
        room.say("run rollout")?,
        "Unchanged for two months:\n:warning: pre: unreachable\n*staging*: 1 flag\n• `old`: on\n*production*: no flag"
    );
    let said = room.say("run rollout old")?;
    ensure!(
        said.ends_with(
            "\n:white_large_square: cleaned up, once the code no longer uses it: `/chatops run feature delete old --staging --production`; pre cannot be read at the moment\n\
             :warning: staging: unchanged for 61 days\n:warning: pre: unreachable"
        ),
        "{said}"
    );
    Ok(())
}
