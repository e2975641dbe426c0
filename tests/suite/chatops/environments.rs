//! Environments other than staging and production, exact worker names, and commands that are delivered again later.

use anyhow::{Result, ensure};
use lockstep_tests::host::Layout;

use crate::chatops::answers::check;
use crate::chatops::{Room, chatops_url};
use crate::database::with_slack;
use crate::service_account::number;

#[test]
fn dev_ops_and_staging_ref_are_environments_of_their_own() -> Result<()> {
    let name = "chatops_six";
    let mut arguments = Vec::new();
    let mut others = Vec::new();
    for environment in ["dev", "ops", "staging-ref"] {
        let database = format!("{name}_{}", environment.replace('-', "_"));
        let mut client = with_slack(&database, Layout::Narrow)?;
        client.batch_execute(
            "do $$begin perform lockstep.attach(); perform lockstep.attach_slack(); end$$",
        )?;
        arguments.push(format!(
            "--environment={environment}={}",
            chatops_url(&database)?
        ));
        others.push(client);
    }
    let given: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let room = Room::set_with(name, &given)?;
    check(
        &room,
        &[
            (
                "run feature set f true --staging-ref --ops --dev",
                "@ada: `/chatops run feature set f true --staging-ref --ops --dev`\n\
                 • dev: not set, so off → on\n• ops: not set, so off → on\n• staging-ref: not set, so off → on",
            ),
            (
                "run feature set f 25 --actors --ops",
                "@ada: `/chatops run feature set f 25 --actors --ops`\n\
                 :x: ops: nothing was changed: feature \"f\" is on for everybody. A setting for some actors would have no effect.",
            ),
            (
                "run feature delete f --staging-ref",
                "@ada: `/chatops run feature delete f --staging-ref`\n• staging-ref: on → not set, so off",
            ),
            (
                "run feature get f --dev --ops --pre --staging --staging-ref --production",
                "*f*\n• dev: on\n• ops: on\n• pre: not set, so off\n• staging: not set, so off\n• staging-ref: not set, so off\n• production: not set, so off",
            ),
            (
                "run rollout f",
                "*Rollout of f*\n\
                 :white_large_square: on outside production: dev: on; ops: on; pre: not set, so off; staging: not set, so off; staging-ref: not set, so off\n\
                 :white_large_square: on for some in production\n\
                 :white_large_square: now not set, so off\n\
                 :white_large_square: on for everybody in production\n\
                 :white_large_square: cleaned up, once the code no longer uses it: `/chatops run feature delete f --dev --ops`",
            ),
        ],
    )?;
    // Staging-ref does not count for the agreement of staging and production.
    for (client, gates) in others.iter_mut().zip([1, 1, 0]) {
        assert_eq!(number(client, "select count(*) from feature_gates")?, gates);
        assert_eq!(
            number(
                client,
                "select count(distinct environment) from lockstep.chatops_command"
            )?,
            1
        );
    }
    Ok(())
}

/// Incidents only block flags in production, and answers elsewhere do not mention them.
#[test]
fn an_incident_elsewhere_holds_nothing() -> Result<()> {
    let room = Room::set("chatops_incident_else")?;
    check(
        &room,
        &[
            (
                "run incident declare slow --pre --production",
                "@ada: `/chatops run incident declare slow --pre --production`\n\
                 • pre: incident 1 of severity 2 is open: it blocks nothing, because flags are only blocked in production\n\
                 • production: incident 1 of severity 2 is open: no flag can be changed there until it is closed",
            ),
            (
                "run feature set f true --pre",
                "@ada: `/chatops run feature set f true --pre`\n• pre: not set, so off → on",
            ),
        ],
    )
}

#[test]
fn workers_are_told_word_for_word() -> Result<()> {
    let mut room = Room::set("chatops_workers")?;
    room.staging.batch_execute(
        "do $$begin
           perform lockstep.enqueue_job('IrkerWorker', '[1]');
           perform lockstep.enqueue_job('Other<Worker>', '[]');
           perform lockstep.set_feature('rename_integrations_workers', true);
         end$$",
    )?;
    let said = room.say("run workers status --staging")?;
    assert_eq!(
        said,
        "*staging*\n\
         • `Clusters::Applications::ActivateIntegrationWorker`: no job\n\
         • `Clusters::Applications::ActivateServiceWorker` → `Clusters::Applications::ActivateIntegrationWorker`: drained\n\
         • `Clusters::Applications::DeactivateIntegrationWorker`: no job\n\
         • `Clusters::Applications::DeactivateServiceWorker` → `Clusters::Applications::DeactivateIntegrationWorker`: drained\n\
         • `Integrations::ExecuteWorker`: no job\n\
         • `Integrations::IrkerWorker`: no job\n\
         • `IrkerWorker` → `Integrations::IrkerWorker`: 1 enqueued, 0 running, 0 dead\n\
         • `Other&lt;Worker&gt;`: 1 enqueued, 0 running, 0 dead\n\
         • `ProjectServiceWorker` → `Integrations::ExecuteWorker`: drained\n\
         • `Slack::AppHomeWorker`: no job\n\
         • `Slack::InteractionWorker`: no job\n\
         • `Slack::ReplyWorker`: no job\n\
         • `Slack::TeamWorker`: no job"
    );
    let said = room.say("run workers retire IrkerWorker --staging")?;
    assert_eq!(
        said,
        "@ada: `/chatops run workers retire IrkerWorker --staging`\n:x: staging: nothing was changed: worker \"IrkerWorker\" cannot be retired: jobs under that name remain. Enqueued: 1, running: 0, dead: 0."
    );
    room.staging
        .batch_execute("delete from lockstep_internal.job where worker = 'IrkerWorker'")?;
    let retire = "run workers retire IrkerWorker --staging";
    let said = room.say(retire)?;
    assert_eq!(
        said,
        "@ada: `/chatops run workers retire IrkerWorker --staging`\n• staging: `IrkerWorker` is retired"
    );
    let said = room.say("run workers retire NoWorker --staging --pre")?;
    assert_eq!(
        said,
        "@ada: `/chatops run workers retire NoWorker --staging --pre`\n:x: pre: nothing was changed: worker \"NoWorker\" is not the old name of a renamed worker. There is no new name to replace it.\n\
         :x: staging: nothing was changed: worker \"NoWorker\" is not the old name of a renamed worker. There is no new name to replace it."
    );
    Ok(())
}

/// A command that was executed says so when it is delivered again, whatever the answer would be now.
#[test]
fn a_command_that_comes_again_is_not_refused() -> Result<()> {
    let mut room = Room::set("chatops_later")?;
    let origin = room.origin(&room.ada, &room.production_channel);
    let twice = "Slack delivered this command twice. It was already done the first time.";
    let command = "run feature set f true --staging --production";
    room.give(&origin, command)?;
    room.stage.client.batch_execute(
        "insert into lockstep.chatops_incident (title, severity) values ('down', 1)",
    )?;
    assert_eq!(room.give_again(&origin, command)?.text, twice);
    // Another command is refused.
    let said = room.say(command)?;
    ensure!(
        said.starts_with(":no_entry: Incident 1 of severity 1 is open"),
        "{said}"
    );
    room.stage
        .client
        .batch_execute("update lockstep.chatops_incident set closed_at = now()")?;
    // So is one that the other environment would refuse by now.
    let origin = room.origin(&room.ada, &room.production_channel);
    let command = "run feature set f 20 --actors";
    room.say("run feature set f false --staging --production")?;
    room.say("run feature set f 10 --actors --staging")?;
    room.give(&origin, command)?;
    room.staging
        .batch_execute("select lockstep.set_feature('f', false)")?;
    assert_eq!(room.give_again(&origin, command)?.text, twice);
    let said = room.say(command)?;
    ensure!(said.contains("is off in staging"), "{said}");
    Ok(())
}
