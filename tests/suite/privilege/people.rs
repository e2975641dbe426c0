//! The owner of the application's tables who administers lockstep needs no superuser; nor does the application that runs jobs.

use anyhow::{Context, Result};
use lockstep_tests::host::Layout;

use crate::database::cluster;
use crate::service_account::number;
use crate::slack::workspaces;
use crate::surface::refusal::error_of;

/// What README and docs call, and by whom.
const OF_ADMINISTRATOR: &str = "
select * from lockstep.attach(); select * from lockstep.attach_slack();
select lockstep.define_feature('told', false, 'ops'); select lockstep.set_feature('told', true); table lockstep.features; table lockstep.feature_audit;
select lockstep.set_feature_percentage('shared', 25); select lockstep.undefine_feature('told');
create function public.is_even(actor text) returns boolean language sql as $$ select actor ~ '[02468]$' $$;
select lockstep.register_feature_group('even', 'public.is_even(text)'); select lockstep.enable_feature_for_group('told', 'even');
select lockstep.unregister_feature_group('even');
select lockstep.define_worker('X', 3, true); select lockstep.enqueue_job('X'); select lockstep.discard_job(1);
select lockstep.rename_worker('Old', 'New', 'rename'); select lockstep.remove_worker_rename('Old');
table lockstep.worker_status; table lockstep.dead_jobs; select lockstep.retry_dead_jobs();
select lockstep.set_retention('feature_audit', interval '90 days'); select lockstep.sweep(); table lockstep.retentions;
select lockstep.set_slack_notifications(2, '{\"channels\": [\"#c\"]}'); select lockstep.slack_notifications(2);
select lockstep.reset_slack_notifications(2); select lockstep.issue_slack_install_ticket(project_id => 8);
select lockstep.publish_event('{\"object_kind\": \"pipeline\", \"project\": {\"id\": 1}, \"object_attributes\": {\"id\": 1, \"status\": \"failed\", \"ref\": \"x\"}}');
select * from lockstep.slack_workspace_drift(); table lockstep.slack_delivery_status; select lockstep.retry_deliveries();
select * from lockstep.list_slack_workspaces(); select lockstep.status_report(); select lockstep.status_history();
select lockstep.drift_report(); select * from lockstep.preview_backfill('cache_columns', 'projects');
select * from lockstep.sweep_slack(); select lockstep.uninstall_slack_workspace('B');
select * from lockstep.cache_column_drift('projects', 'has_external_wiki');
select * from lockstep.repair_cache_column('projects', 'has_external_wiki');
call lockstep.backfill('slack_workspaces', 'slack_integrations'); table lockstep.backfill_progress;
select * from lockstep.detach_slack(); select * from lockstep.detach(); select * from lockstep.attach(dry_run => true)";

const OF_APPLICATION: &str = "
do $$
declare
  runner bigint := lockstep.start_runner('app');
begin
  perform lockstep.define_worker('Mine', 3, true), lockstep.enqueue_job('Mine'), lockstep.enqueue_job('Mine'), lockstep.runner_heartbeat(runner);
  perform lockstep.complete_job(runner, c.job) from lockstep.claim_jobs(runner, '{Mine}', 1) c;
  perform lockstep.fail_job(runner, c.job, 'no') from lockstep.claim_jobs(runner, '{Mine}', 1) c;
  perform lockstep.stop_runner(runner), lockstep.feature_enabled('told', 'User:1');
end $$";

#[test]
fn owner_and_application_need_no_superuser() -> Result<()> {
    let name = "privilege_people";
    let mut client = workspaces(name, Layout::Narrow)?;
    client.batch_execute(&format!(
        "create role {name}_owner login in role lockstep_admin; create role {name}_app login in role lockstep_app;
         create role {name}_nobody login; grant create on schema public to {name}_owner;
         do $$ declare t regclass; begin
           for t in select c.oid from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') loop
             execute format('alter table %s owner to {name}_owner', t);
           end loop;
         end $$"
    ))?;
    let session = |role: &str| {
        let mut config = cluster()?.config(name);
        anyhow::Ok(
            config
                .user(&format!("{name}_{role}"))
                .connect(postgres::NoTls)?,
        )
    };
    let (mut owner, mut app, mut nobody) = (session("owner")?, session("app")?, session("nobody")?);
    for statement in OF_ADMINISTRATOR.split(';').map(str::trim) {
        // None of these texts contains a semicolon.
        owner
            .batch_execute(statement)
            .with_context(|| statement.to_owned())?;
    }
    app.batch_execute(OF_APPLICATION)?;
    assert_eq!(
        number(&mut client, "select count(*) from lockstep_internal.job")?,
        1
    );
    for (session, calls) in [
        (
            &mut app,
            [
                "lockstep.set_retention('feature_audit', '1 day')",
                "lockstep.retry_dead_jobs()",
                "lockstep.define_feature('x', false, 'ops')",
                "lockstep_api.list_slack_tokens('', 9)",
            ],
        ),
        (
            &mut nobody,
            [
                "lockstep.enqueue_job('X')",
                "lockstep.define_worker('X', 3, true)",
                "lockstep.publish_event('{}')",
                "lockstep.status_report()",
            ],
        ),
        (
            &mut owner,
            [
                "lockstep_api.list_slack_tokens('', 9)",
                "lockstep_api.chatops_set_feature('{}', 'f', '{}')",
                "lockstep_internal.set_feature_on_behalf(10, 'x', 'x', 'f', '{}')",
                "lockstep_internal.feature_standings('f')",
            ],
        ),
    ] {
        for call in calls {
            let error = error_of(session, &format!("select {call}"))?;
            assert_eq!(error.code().code(), "42501", "{call}: {error}");
        }
    }
    Ok(())
}
