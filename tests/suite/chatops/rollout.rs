//! The progress of a rollout if not everything is visible.

use anyhow::{Result, ensure};

use crate::chatops::{Room, with_deployments};
use crate::service_account::number;

/// A step that cannot be checked is not shown as done.
#[test]
fn an_environment_that_is_not_seen_is_not_done() -> Result<()> {
    let mut room = Room::set("chatops_unseen")?;
    room.staging
        .batch_execute("select lockstep.set_feature('f', true)")?;
    room.reach("pre", false)?;
    let said = room.say("run rollout f")?;
    ensure!(
        said.contains(":white_large_square: on outside production: pre: cannot be read at the moment; staging: on\n")
            && said.contains("`/chatops run feature delete f --staging`; pre cannot be read at the moment\n"),
        "{said}"
    );
    let said = room.say("run rollout g")?;
    ensure!(
        said.contains(
            ":white_large_square: cleaned up: whether it is set in pre cannot be read at the moment\n"
        ),
        "{said}"
    );
    room.reach("pre", true)?;
    // The sidecar itself needs production's database, so only the role of chatops is denied access.
    room.stage.client.batch_execute(
        "revoke execute on function lockstep_api.chatops_rollout(text, text) from lockstep_chatops",
    )?;
    let said = room.say("run rollout g")?;
    assert_eq!(
        said,
        "*Rollout of g*\n\
         :white_large_square: on outside production: pre: not set, so off; staging: not set, so off\n\
         :white_large_square: on in production: that cannot be read at the moment\n\
         :white_large_square: cleaned up: whether it is set in production cannot be read at the moment\n\
         :x: production: the role of chatops may not do that there: permission denied for function chatops_rollout"
    );
    Ok(())
}

/// An opt-out turns a flag on for nobody.
#[test]
fn an_exception_is_no_step() -> Result<()> {
    let mut room = Room::set("chatops_exception")?;
    for client in [&mut room.pre, &mut room.staging, &mut room.stage.client] {
        client.batch_execute("select lockstep.opt_out_of_feature('f', 'User:9')")?;
    }
    let said = room.say("run rollout f")?;
    let steps: Vec<&str> = said.lines().skip(1).take(4).collect();
    assert_eq!(
        steps,
        [
            ":white_large_square: on outside production: pre: off, but never for User:9; staging: off, but never for User:9",
            ":white_large_square: on for some in production",
            ":white_large_square: now off, but never for User:9",
            ":white_large_square: on for everybody in production",
        ]
    );
    Ok(())
}

/// Repeating a command keeps the time since when a flag is on, and a command without effect is not recorded.
#[test]
fn what_is_on_already_is_not_turned_on_again() -> Result<()> {
    let mut room = Room::set("chatops_again")?;
    room.say("run feature set f true --staging --production")?;
    room.stage.client.batch_execute(
        "update lockstep.feature_audit set changed_at = changed_at - interval '30 hours'",
    )?;
    let said = room.say("run rollout f")?;
    let recorded = "select count(*) from lockstep.feature_audit";
    let before = number(&mut room.stage.client, recorded)?;
    let again = room.say("run feature set f true")?;
    ensure!(again.contains("• production: on, as before\n"), "{again}");
    assert_eq!(number(&mut room.stage.client, recorded)?, before);
    assert_eq!(room.say("run rollout f")?, said);
    ensure!(said.contains(", so ready to clean up"), "{said}");
    // Additional settings for some actors are still removed.
    room.stage.client.batch_execute(
        "insert into feature_gates (feature_key, key, value, created_at, updated_at) values ('f', 'actors', 'User:9:opt_out', now(), now())",
    )?;
    let said = room.say("run feature set f true")?;
    ensure!(
        said.contains("• production: on, but never for User:9 → on\n"),
        "{said}"
    );
    Ok(())
}

/// There may be more unchanged flags than are shown.
#[test]
fn flags_that_nobody_changes_are_found_by_name() -> Result<()> {
    let mut room = Room::set("chatops_stale_match")?;
    room.staging.batch_execute(
        "select lockstep.set_feature('old_' || n, true) from generate_series(100, 160) n;
         update lockstep.feature_audit set changed_at = changed_at - interval '61 days'",
    )?;
    let said = room.say("run rollout")?;
    ensure!(
        said.contains("*staging*: 61 flags\n")
            && said.contains("\n… and 11 more; `--match` finds some of them\n"),
        "{said}"
    );
    assert_eq!(
        room.say("run rollout --match=D_16")?,
        "Unchanged for two months:\n*pre*: no flag\n*staging*: 1 flag\n• `old_160`: on\n*production*: no flag"
    );
    let said = room.say("run rollout f --match=x")?;
    ensure!(said.contains("cannot be used with"), "{said}");
    Ok(())
}

/// The code must be deployed before the flag is turned on.
#[test]
fn the_deployment_of_the_code_is_a_step() -> Result<()> {
    let mut room = Room::set("chatops_code")?;
    with_deployments(&mut room.stage.client)?;
    room.stage.client.batch_execute(
        "insert into merge_requests (id, iid, target_project_id, title, state_id) values (1, 11, 1, 'Add f', 3);
         insert into environments (id, project_id, name, slug, tier) values (1, 1, 'gstg', 'gstg', 1), (2, 1, 'gprd', 'gprd', 0);
         insert into deployments (id, iid, project_id, environment_id, ref, tag, sha, status, created_at, finished_at) values
           (1, 1, 1, 1, 'auto', true, 'a', 2, '2022-06-01 10:00', '2022-06-01 11:00+00'),
           (2, 2, 1, 2, 'auto', true, 'a', 1, '2022-06-01 12:00', null)",
    )?;
    let step = |room: &Room| -> Result<String> {
        let said = room.say("run rollout f --merge-request=group/one!11")?;
        Ok(said.lines().nth(1).unwrap_or_default().to_owned())
    };
    assert_eq!(
        step(&room)?,
        ":white_large_square: the code in group/one!11 is deployed: not deployed"
    );
    room.stage.client.batch_execute(
        "insert into deployment_merge_requests (deployment_id, merge_request_id, environment_id) values (1, 1, 1), (2, 1, 2)",
    )?;
    assert_eq!(
        step(&room)?,
        ":white_large_square: the code in group/one!11 is deployed: gprd: being deployed; gstg: deployed at 2022-06-01 11:00 UTC"
    );
    room.stage.client.batch_execute(
        "update deployments set status = 2, finished_at = '2022-06-01 13:00+00' where id = 2",
    )?;
    assert_eq!(
        step(&room)?,
        ":white_check_mark: the code in group/one!11 is deployed: gprd: deployed at 2022-06-01 13:00 UTC; gstg: deployed at 2022-06-01 11:00 UTC"
    );
    Ok(())
}
