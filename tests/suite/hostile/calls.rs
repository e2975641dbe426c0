//! A call of each function of the schema, on tables of somebody with bad intent.

/// How a function is reached.
pub(super) enum Way {
    /// SQL that anybody might run; what he may not, fails.
    Call(&'static str),
    /// Statements that refuse to be part of a transaction.
    Alone(&'static [&'static str]),
    /// It is the function of a trigger, which the writes fire.
    Trigger,
}

use Way::{Alone, Call, Trigger};

/// Every function of the schema by its name, as often as there is one of that name.
pub(super) const CALLS: &[(&str, Way)] = &[
    ("add_cache_column", Call("select lockstep.add_cache_column('mallory.projects', 'has_more', 'mallory.integrations', 'project_id', '{\"active\": true, \"category\": \"chat\"}', true)")),
    ("alter_backfill", Call("select lockstep.alter_backfill(1, '{\"pause_ms\": 1}')")),
    ("attach", Call("select * from lockstep.detach('mallory'); select * from lockstep.attach('mallory'); select * from lockstep.attach('mallory')")),
    ("audit_feature", Trigger),
    ("backfill", Alone(&["call lockstep.backfill('counted', 'mallory.counted')"])),
    ("backfill_batch", Call("select * from lockstep.backfill_batch('service_accounts', 1, 40, \"table\" => 'mallory.duo_workflows_workflows');
                             select * from lockstep.backfill_batch('counted', 1, 40, \"table\" => 'mallory.counted')")),
    ("backfill_step", Alone(&["select lockstep.open_backfill('counted', 'mallory.counted')", "select lockstep.backfill_step((select max(p.run) from lockstep.backfill_progress p where p.status operator(pg_catalog.=) 'running'))"])),
    ("before_drop", Trigger),
    ("begin_cache_column_drift", Call("select lockstep.begin_cache_column_drift('mallory.projects', 'has_external_wiki')")),
    ("begin_slack_install", Call("select lockstep.begin_slack_install(sha256('5'), sha256('6'), lockstep.issue_slack_install_ticket(project_id => 1, schema => 'mallory'), schema => 'mallory');
                                  select lockstep.begin_slack_install(sha256('7'), sha256('6'), schema => 'mallory')")),
    ("cache_column_drift", Call("select * from lockstep.cache_column_drift('mallory.projects', 'has_external_wiki')")),
    ("cache_column_drift_rows", Call("select * from lockstep.cache_column_drift_rows('mallory.projects', 'has_external_wiki')")),
    ("cache_column_state", Call("select lockstep.cache_column_state(1)")),
    ("cancel_backfill", Call("select lockstep.cancel_backfill(1)")),
    ("chatops_backfills", Call("select lockstep.chatops_backfills(); select lockstep.chatops_backfills(1)")),
    ("chatops_close_incident", Call("select lockstep.chatops_close_incident({command}, 1)")),
    ("chatops_control_backfill", Call("select lockstep.chatops_control_backfill({command}, 1, 'resume')")),
    ("chatops_declare_incident", Call("select lockstep.chatops_declare_incident({command}, 'x', 3)")),
    ("chatops_delete_feature", Call("select lockstep.chatops_delete_feature({command}, 'some', schema => 'mallory')")),
    ("chatops_deployments", Call("select lockstep.chatops_deployments(repeat('a', 40), 'mallory'); select lockstep.chatops_deployments(repeat('a', 8), 'mallory')")),
    ("chatops_drift", Call("select lockstep.chatops_drift('mallory')")),
    ("chatops_feature", Call("select lockstep.chatops_feature('some', 'mallory')")),
    ("chatops_features", Call("select lockstep.chatops_features(schema => 'mallory')")),
    ("chatops_hold_feature", Call("select lockstep.chatops_hold_feature('some', 'staging', 'mallory')")),
    ("chatops_incidents", Call("select lockstep.chatops_incidents()")),
    ("chatops_release", Call("select lockstep.chatops_release('group-1/one', 1, '15.1', 'mallory')")),
    ("chatops_retire_worker", Call("select lockstep.chatops_retire_worker({command}, 'Old')")),
    ("chatops_rollout", Call("select lockstep.chatops_rollout('some', 'mallory')")),
    ("chatops_set_feature", Call("select lockstep.chatops_set_feature({command}, 'some', '{\"enabled\": true, \"projects\": [\"group-1/one\"], \"groups\": [\"group-1\"], \"users\": [\"ada\"]}', 'mallory')")),
    ("chatops_start_backfill", Call("select lockstep.chatops_start_backfill({command}, 'counted')")),
    ("chatops_was_done", Call("select lockstep.chatops_was_done({command})")),
    ("chatops_workers", Call("select lockstep.chatops_workers()")),
    ("check_restored", Trigger),
    ("claim_deliveries", Call("select * from lockstep.claim_deliveries(10, '1 minute', 300, 'mallory')")),
    ("claim_jobs", Call("select * from lockstep.claim_jobs(1, '{W}', 10)")),
    ("claim_slack_token_refresh", Call("select * from lockstep.claim_slack_token_refresh('1 hour', '1 hour', 'mallory')")),
    ("complete_job", Call("select lockstep.complete_job(1, 1)")),
    ("complete_jobs", Call("select lockstep.complete_jobs(1, '{1,2}')")),
    ("define_feature", Call("select lockstep.define_feature('more', true, 'ops')")),
    ("define_worker", Call("select lockstep.define_worker('V', 1)")),
    ("delivery_results", Call("select * from lockstep.delivery_results('{1,2}')")),
    ("delivery_wait", Call("select lockstep.delivery_wait(300, 'mallory')")),
    ("detach", Call("select * from lockstep.detach('mallory')")),
    ("detach_service_accounts", Call("select * from lockstep.detach_service_accounts('mallory')")),
    ("disable_feature_for", Call("select lockstep.disable_feature_for('some', 'Project:1', 'mallory')")),
    ("disable_feature_for_group", Call("select lockstep.disable_feature_for_group('some', 'mine', 'mallory')")),
    ("discard_job", Call("select lockstep.discard_job(5)")),
    ("discard_restored", Call("delete from lockstep.home; select * from lockstep.discard_restored()")),
    ("drift_report", Call("select lockstep.drift_report('mallory')")),
    ("enable_feature_for", Call("select lockstep.enable_feature_for('some', 'Project:2', 'mallory'); select lockstep.enable_feature_for('new', 'Project:2', 'mallory')")),
    ("enable_feature_for_group", Call("select lockstep.enable_feature_for_group('on', 'mine', 'mallory')")),
    ("enqueue_job", Call("select lockstep.enqueue_job('W', unique_key => 'k'); select lockstep.enqueue_job('Old')")),
    ("enqueue_slack_job", Call("select lockstep.enqueue_slack_job('Slack::AppHomeWorker', '{}', 'k', 'mallory')")),
    ("explain_service_account", Call("select lockstep.explain_service_account(1, 'mallory'); select lockstep.explain_service_account(21, 'mallory')")),
    ("fail_job", Call("select lockstep.fail_job(1, 1, 'no')")),
    ("feature_enabled", Call("select lockstep.feature_enabled('some', 'Project:1', 'mallory'); select lockstep.feature_enabled('theirs', 'Project:2', 'mallory');
                              select lockstep.feature_enabled('some', schema => 'mallory')")),
    ("fill_service_accounts", Call("select * from lockstep.fill_service_accounts(1, 40, 'mallory')")),
    ("finish_deliveries", Call("select lockstep.finish_deliveries(jsonb_build_array(jsonb_build_object('delivery', c.delivery, 'lease', c.lease, 'outcome', 'delivered', 'ts', '1.2', 'channel', 'C1')), 'mallory')
                                  from lockstep.claim_deliveries(10, '1 minute', 300, 'mallory') c;
                                select lockstep.finish_deliveries('[{\"delivery\": 1, \"lease\": 1, \"outcome\": \"failed\"}]', 'mallory')")),
    ("finish_slack_install", Call("select * from lockstep.finish_slack_install(sha256('3'), 'T2', 'Other', 'U2', 'B2', 'token', 'iv', '{commands,new}', null, null, null, null, null, 'mallory')")),
    ("flush", Trigger),
    ("flush_slack", Trigger),
    ("flush_truncated", Trigger),
    ("give_back_slack_token_refresh", Call("select lockstep.give_back_slack_token_refresh('T1', c.lease, 'no', '1 hour', 'mallory') from lockstep.claim_slack_token_refresh('1 hour', '1 hour', 'mallory') c;
                                            select lockstep.give_back_slack_token_refresh('T1', 1, 'no', '1 hour', 'mallory')")),
    ("install_slack_workspace", Call("select * from lockstep.install_slack_workspace('T1', 'Team', 'U3', 'B3', 'token 3', 'iv 3', '{commands,new}', project_id => 3, schema => 'mallory')")),
    ("is_chatops_member", Call("select lockstep.is_chatops_member('T1', 'UADA', 'group-1/sub', 'mallory')")),
    ("issue_slack_install_ticket", Call("select lockstep.issue_slack_install_ticket(project_id => 2, schema => 'mallory'); select lockstep.issue_slack_install_ticket(group_id => 2, schema => 'mallory');
                                         select lockstep.issue_slack_install_ticket(organization_id => 1, schema => 'mallory')")),
    ("list_features", Call("select * from lockstep.list_features()")),
    ("list_integration_properties", Call("select * from lockstep.list_integration_properties(schema => 'mallory')")),
    ("list_slack_integrations", Call("select * from lockstep.list_slack_integrations('T1', null, schema => 'mallory'); select * from lockstep.list_slack_integrations('T1', null, search => 'o', schema => 'mallory')")),
    ("list_slack_tokens", Call("select * from lockstep.list_slack_tokens('', 10, 'mallory')")),
    ("list_slack_workspaces", Call("select * from lockstep.list_slack_workspaces(schema => 'mallory')")),
    ("lock_slack_team", Trigger),
    ("lock_slack_teams", Trigger),
    ("note_arrived", Trigger),
    ("note_changed", Trigger),
    ("note_slack_row", Trigger),
    ("open_backfill", Alone(&["select lockstep.open_backfill('counted', 'mallory.counted')", "select lockstep.open_backfill('service_accounts', 'mallory.duo_workflows_workflows')"])),
    ("opt_out_of_feature", Call("select lockstep.opt_out_of_feature('some', 'Project:1', 'mallory')")),
    ("pause_backfill", Call("select lockstep.resume_backfill(1); select lockstep.pause_backfill(1)")),
    ("project_path", Call("select lockstep.project_path(2, 'mallory')")),
    ("publish_event", Call("select * from lockstep.publish_event('{push}', schema => 'mallory'); select * from lockstep.publish_event('{pipeline}', schema => 'mallory')")),
    ("publish_events", Call("select * from lockstep.publish_events(array['{push}', '{pipeline}', '{issue}']::json[], array['a', 'b', 'c'], 'mallory')")),
    ("receive_slack_event", Call("select lockstep.receive_slack_event('E1', 'tokens_revoked', 'T1', null, clock_timestamp() + interval '1 minute', '{\"tokens\": {\"bot\": [\"B1\"]}}', 'mallory');
                                  select lockstep.receive_slack_event('E2', 'app_home_opened', 'T1', null, now(), '{}', 'mallory')")),
    ("record_integration_event", Call("select lockstep.record_integration_event(1, '{\"object_kind\": \"push\"}', schema => 'mallory')")),
    ("register_backfill_job", Call("select lockstep.register_backfill_job('more', 'mallory.counted', 'update mallory.counted c set n = n + 1 where {range}')")),
    ("register_feature_group", Call("select lockstep.register_feature_group('more', 'mallory.in_group(text)')")),
    ("release_jobs", Call("select lockstep.release_jobs(1, '{1}')")),
    ("release_other_jobs", Call("select lockstep.release_other_jobs(1, '{1}')")),
    ("release_restored", Call("select * from lockstep.release_restored()")),
    ("remove_cache_column", Call("select lockstep.remove_cache_column('mallory.projects'::text, 'has_external_issue_tracker')")),
    ("remove_cache_column", Call("select lockstep.remove_cache_column('mallory.projects'::regclass, 'has_external_wiki')")),
    ("remove_feature", Call("select lockstep.remove_feature('some', 'mallory')")),
    ("remove_feature_opt_out", Call("select lockstep.opt_out_of_feature('some', 'Project:1', 'mallory'); select lockstep.remove_feature_opt_out('some', 'Project:1', 'mallory')")),
    ("remove_worker_rename", Call("select lockstep.remove_worker_rename('Old')")),
    ("rename_worker", Call("select lockstep.rename_worker('W', 'X', 'on', 'mallory'); select lockstep.enqueue_job('W')")),
    ("repair_cache_column", Call("select lockstep.repair_cache_column('mallory.projects', 'has_external_wiki')")),
    ("replace_slack_token", Call("select lockstep.replace_slack_token('T1', 'iv', 'token 4', 'iv 4', 'riv', 'refresh 4', 'riv 4', 'mallory')")),
    ("report_backfill", Call("select lockstep.report_backfill(1000)")),
    ("reset_slack_notifications", Call("select lockstep.reset_slack_notifications(1, 'mallory')")),
    ("resolve_service_account", Call("select lockstep.resolve_service_account(10, 'flow', 2, null, 'mallory'); select lockstep.resolve_service_account(null, 'flow', null, 2, 'mallory')")),
    ("resume_backfill", Call("select lockstep.resume_backfill(1)")),
    ("retire_worker", Call("select lockstep.retire_worker('Old')")),
    ("retry_backfill", Call("select lockstep.retry_backfill(2)")),
    ("retry_dead_jobs", Call("select lockstep.retry_dead_jobs('W')")),
    ("retry_deliveries", Call("select lockstep.retry_deliveries(1, 'mallory')")),
    ("retry_job", Call("select lockstep.retry_job(3)")),
    ("runner_heartbeat", Call("select lockstep.runner_heartbeat(1)")),
    ("set_cluster_integration", Call("select lockstep.set_cluster_integration(1, 'prometheus', true, 'mallory'); select lockstep.set_cluster_integration(2, 'prometheus', false, 'mallory')")),
    ("set_false_on_insert", Trigger),
    ("set_feature", Call("select lockstep.set_feature('on', false, 'mallory'); select lockstep.set_feature('new', true, 'mallory')")),
    ("set_feature_percentage", Call("select lockstep.set_feature_percentage('some', 20, schema => 'mallory')")),
    ("set_retention", Call("select lockstep.set_retention('dead_job', '1 day')")),
    ("set_service_account", Trigger),
    ("set_slack_integration_active", Call("select * from lockstep.set_slack_integration_active('T1', null, 1, 'U1', false, true, 'mallory'); select * from lockstep.set_slack_integration_active('T1', null, 3, 'U1', false, true, 'mallory')")),
    ("set_slack_integration_settings", Call("select * from lockstep.set_slack_integration_settings('T1', null, 1, 'U1', true, '{\"channels\": \"#two\"}', '{\"push\": false}', 'mallory');
                                             select * from lockstep.set_slack_integration_settings('T1', null, 3, 'U1', true, '{\"labels\": \"~x\"}', '{\"push\": false}', 'mallory')")),
    ("set_slack_notifications", Call("select lockstep.set_slack_notifications(1, '{\"channels\": \"#two\"}', 'mallory')")),
    ("slack_bot", Call("select * from lockstep.slack_bot('T1', null, 'mallory'); select * from lockstep.slack_bot('T3', null, 'mallory')")),
    ("slack_channel_troubles", Call("select * from lockstep.slack_channel_troubles('T1', null, 1, 'mallory')")),
    ("slack_notifications", Call("select lockstep.slack_notifications(1, 'mallory'); select lockstep.slack_notifications(4, 'mallory')")),
    ("slack_workspace_drift", Call("select * from lockstep.slack_workspace_drift('mallory')")),
    ("slack_workspace_notifications", Call("select lockstep.slack_workspace_notifications('T1', null, 1, 'mallory')")),
    ("start_backfill", Call("select lockstep.start_backfill('counted', 'mallory.counted'); select lockstep.start_backfill('service_accounts', 'mallory.duo_workflows_workflows')")),
    ("start_runner", Call("select lockstep.start_runner('more')")),
    ("status_report", Call("select lockstep.status_report('mallory')")),
    ("stop_runner", Call("select lockstep.stop_runner(1)")),
    ("store_slack_token", Call("select lockstep.store_slack_token('T1', c.lease, 'token 5', 'iv 5', 'refresh 5', 'riv 5', now(), 'mallory') from lockstep.claim_slack_token_refresh('1 hour', '1 hour', 'mallory') c")),
    ("sweep", Call("select lockstep.sweep()")),
    ("sweep_slack", Call("select lockstep.sweep_slack('mallory')")),
    ("take_slack_install", Call("select lockstep.take_slack_install(sha256('1'), sha256('2'), 'mallory')")),
    ("test_slack_integration", Call("select * from lockstep.test_slack_integration(1, 'mallory')")),
    ("test_slack_workspace_integration", Call("select * from lockstep.test_slack_workspace_integration('T1', null, 1, 'U1', true, 'mallory')")),
    ("undefine_feature", Call("select lockstep.undefine_feature('defined')")),
    ("uninstall_slack_workspace", Call("select lockstep.uninstall_slack_workspace('T1', schema => 'mallory')")),
    ("unregister_backfill_job", Call("select lockstep.unregister_backfill_job('counted')")),
    ("unregister_feature_group", Call("select lockstep.unregister_feature_group('mine')")),
    ("wait_for_backfill", Alone(&["select lockstep.open_backfill('counted', 'mallory.counted')", "do $$ declare run bigint := (select max(p.run) from lockstep.backfill_progress p where p.status operator(pg_catalog.=) 'running'); begin call lockstep.wait_for_backfill(run, 1); end $$"])),
];

/// What {command}, {push}, {pipeline} and {issue} stand for.
pub(super) fn spelled_out(call: &str) -> String {
    call.replace("{command}", COMMAND)
        .replace("{push}", PUSH)
        .replace("{pipeline}", PIPELINE)
        .replace("{issue}", ISSUE)
}

const COMMAND: &str = r#"'{"trigger_id": "t", "request": "r", "user_id": "UADA", "user_name": "ada", "team_id": "T1", "channel_id": "C1", "environment": "staging", "text": "x"}'"#;
const PUSH: &str = r#"{"object_kind": "push", "ref": "refs/heads/main", "project": {"id": 2}, "user_username": "ada", "user_id": 2}"#;
const PIPELINE: &str = r#"{"object_kind": "pipeline", "project": {"id": 1, "default_branch": "main"}, "object_attributes": {"id": 7, "ref": "main", "status": "failed"}, "user": {"username": "ada"}}"#;
const ISSUE: &str = r#"{"object_kind": "issue", "project": {"id": 1}, "object_attributes": {"id": 7, "iid": 1, "action": "open"}, "labels": [{"title": "bug"}], "user": {"username": "ada"}}"#;
