//! Names, numbers and values that are most likely typos: each is an error that says what would be right.

use anyhow::{Result, ensure};
use lockstep_tests::host::Layout;

use crate::database::with_slack;
use crate::surface::refusal::refused;

const MISTAKES: [(&str, &str, &str); 27] = [
    (
        "lockstep.set_feature_percentage('new hook', 12)",
        "42602",
        "\"new hook\"",
    ),
    (
        "lockstep.set_feature(e'new\\thook', true)",
        "42602",
        "is not a valid name",
    ),
    (
        "lockstep.enable_feature_for('new hook', 'User:1')",
        "42602",
        "\"new hook\"",
    ),
    (
        "lockstep.enable_feature_for_group('f', 'nobody')",
        "42704",
        "\"nobody\" is not registered",
    ),
    (
        "lockstep.undefine_feature('nope')",
        "42704",
        "\"nope\" has no definition that you can remove",
    ),
    ("lockstep.retry_deliveries(-1)", "P0002", "integration -1"),
    (
        "lockstep.retry_dead_jobs('Nope')",
        "42704",
        "worker \"Nope\"",
    ),
    (
        "lockstep.fill_service_accounts(10, 1)",
        "22023",
        "start_id is greater than end_id",
    ),
    (
        "lockstep.start_backfill('cache_columns', 'projects', settings => '{\"paus_ms\": 1}')",
        "22023",
        "there is no \"paus_ms\"",
    ),
    (
        "lockstep.start_backfill('cache_columns', 'projects', settings => '{\"pause_ms\": \"1\"}')",
        "22023",
        "pause_ms must be a whole number, but is \"1\"",
    ),
    (
        "lockstep.start_backfill('cache_columns', 'projects', settings => '{\"pause_ms\": 3000000000}')",
        "22023",
        "pause_ms must be a whole number, but is 3000000000",
    ),
    (
        "lockstep.attach(features => '{nope}')",
        "22023",
        "no feature \"nope\"",
    ),
    (
        "lockstep.add_cache_column('projects', 'name', 'integrations', 'project_id', '{\"active\": true}')",
        "42804",
        "of type character varying",
    ),
    (
        "lockstep.backfill_batch('service_accounts', 10, 1)",
        "22023",
        "start_id is greater than end_id",
    ),
    (
        "lockstep.define_feature('new hook')",
        "42602",
        "\"new hook\"",
    ),
    (
        "lockstep.disable_feature_for_group('f', 'nobody')",
        "42704",
        "\"nobody\" is not registered",
    ),
    (
        "lockstep.feature_enabled('f', schema => 'nope')",
        "3F000",
        "\"nope\"",
    ),
    (
        "lockstep.retry_deliveries(schema => 'nope')",
        "3F000",
        "\"nope\"",
    ),
    (
        "lockstep.status_report(schema => 'nope')",
        "3F000",
        "\"nope\"",
    ),
    (
        "lockstep.status_history(schema => 'nope')",
        "3F000",
        "\"nope\"",
    ),
    (
        "lockstep.drift_checks(schema => 'nope')",
        "3F000",
        "\"nope\"",
    ),
    (
        "lockstep.metrics_report(schema => 'nope')",
        "3F000",
        "\"nope\"",
    ),
    (
        "lockstep.issue_slack_install_ticket(1, valid_for => '-1 day')",
        "22023",
        "valid_for must be positive",
    ),
    (
        "lockstep.set_retention('feature_audit', '1 month -40 days')",
        "22023",
        "keep must be positive",
    ),
    (
        "lockstep.set_retention('feature_audit', '300000 years')",
        "22023",
        "at most 1000 years",
    ),
    (
        "lockstep.uninstall_slack_workspace('')",
        "22023",
        "team_id must not be empty",
    ),
    (
        "lockstep.attach(features => '{feature_flags, null}')",
        "22023",
        "no feature \"\"",
    ),
];

#[test]
fn typing_errors_are_errors() -> Result<()> {
    let mut client = with_slack("surface_typing", Layout::Narrow)?;
    client.batch_execute(
        "alter table projects add if not exists name varchar;
         select * from lockstep.attach(); select * from lockstep.attach_slack()",
    )?;
    for (call, sqlstate, words) in MISTAKES {
        let error = refused(
            &mut client,
            &format!("select * from {call}"),
            sqlstate,
            words,
        )?;
        let all = format!("{error:?}");
        ensure!(
            !all.contains("unknown field") && !all.contains("README") && !all.contains("i32"),
            "{all}"
        );
    }
    // Names that the application itself uses are accepted.
    client.batch_execute(
        "insert into features (key, created_at, updated_at) values ('new hook', now(), now());
         select lockstep.set_feature('new hook', true); select lockstep.retry_dead_jobs('IrkerWorker')",
    )?;
    // So is a group that has been unregistered since the flag was turned on for it.
    client.batch_execute(
        "create function is_staff(actor text) returns boolean language sql as 'select true';
         select lockstep.register_feature_group('staff', 'is_staff(text)'); select lockstep.enable_feature_for_group('f', 'staff');
         select lockstep.unregister_feature_group('staff'); select lockstep.disable_feature_for_group('f', 'staff')",
    )?;
    Ok(())
}
