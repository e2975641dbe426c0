-- An example of each function that people call, below its name. They run in the order of the reference, in a database with a few rows, so
-- one may use what an earlier one has made. Lines after --> are the output.

-- attach
-- Says what it would lock and do, and does nothing; then for one feature alone.
select * from lockstep.attach(dry_run => true);
select * from lockstep.attach(features => '{feature_flags}');

-- attach_slack
select * from lockstep.attach_slack();

-- add_cache_column
alter table projects add column has_chat_integration boolean not null default false;
select lockstep.add_cache_column('projects', 'has_chat_integration', source => 'integrations', key => 'project_id',
                                 match => '{"active": true, "category": "chat"}');

-- repair_cache_column
select lockstep.repair_cache_column('projects', 'has_chat_integration', max_rows => 1000);

-- cache_column_drift
select * from lockstep.cache_column_drift('projects', 'has_chat_integration');

-- remove_cache_column
select lockstep.remove_cache_column('projects', 'has_chat_integration');

-- resolve_service_account
select lockstep.resolve_service_account(item_version_id => 10, workflow_definition => 'code_review', project_id => 42,
                                        namespace_id => null);

-- explain_service_account
select * from lockstep.explain_service_account(1);

-- fill_service_accounts
select * from lockstep.fill_service_accounts(1, 1000);

-- backfill
call lockstep.backfill('cache_columns', 'projects', '{"sub_batch_size": 500}');

-- start_backfill
select lockstep.start_backfill('cache_columns', 'projects', workers => 1, settings => '{"sub_batch_size": 1, "pause_ms": 3600000}');

-- alter_backfill
select lockstep.alter_backfill(2, '{"sub_batch_size": 500}', workers => 2);

-- pause_backfill
select lockstep.pause_backfill(2);

-- resume_backfill
select lockstep.resume_backfill(2);

-- resume_lost_backfills
select lockstep.resume_lost_backfills();

-- cancel_backfill
select lockstep.start_backfill('service_accounts', settings => '{"sub_batch_size": 1, "pause_ms": 3600000}');
select lockstep.cancel_backfill(3);

-- retry_backfill
select lockstep.retry_backfill(run) from lockstep.backfill_progress where status = 'failed';

-- backfill_batch
select * from lockstep.backfill_batch('service_accounts', 1, 1000);

-- preview_backfill
select * from lockstep.preview_backfill('service_accounts');

-- register_backfill_job
select lockstep.register_backfill_job('upper_names', 'projects', 'update projects set name = upper(name) where {range}');

-- unregister_backfill_job
select lockstep.unregister_backfill_job('upper_names');

-- set_feature
select lockstep.set_feature('new_editor', true);

-- set_feature_percentage
select lockstep.set_feature_percentage('new_search', 25);
select lockstep.set_feature_percentage('new_cache', 0.5, of => 'time');

-- enable_feature_for
select lockstep.enable_feature_for('new_search', 'Project:42');

-- disable_feature_for
select lockstep.disable_feature_for('new_search', 'Project:42');

-- opt_out_of_feature
select lockstep.opt_out_of_feature('new_editor', 'User:2');

-- remove_feature_opt_out
select lockstep.remove_feature_opt_out('new_editor', 'User:2');

-- feature_enabled
select lockstep.feature_enabled('new_editor', 'User:2');

-- feature_enabled_for_any
select lockstep.feature_enabled_for_any('new_search', array['User:2', 'Project:42']);

-- feature_decision
select lockstep.feature_decision('new_search');

-- register_feature_group
create function is_staff(actor text) returns boolean language sql stable return actor in ('User:2', 'User:7');
select lockstep.register_feature_group('staff', 'is_staff(text)');

-- enable_feature_for_group
select lockstep.enable_feature_for_group('new_search', 'staff');

-- disable_feature_for_group
select lockstep.disable_feature_for_group('new_search', 'staff');

-- unregister_feature_group
select lockstep.unregister_feature_group('staff');

-- remove_feature
select lockstep.remove_feature('new_cache');

-- define_feature
select lockstep.define_feature('new_editor', default_enabled => true, type => 'ops', "group" => 'group::source code');

-- undefine_feature
select lockstep.undefine_feature('new_editor');

-- enqueue_job
select lockstep.enqueue_job('Reports::ExportWorker', '{"project_id": 42}', unique_key => 'export 42',
                            run_at => now() + interval '1 hour');

-- retry_job
select lockstep.retry_job(job) from lockstep.dead_jobs where worker = 'Reports::ExportWorker';

-- retry_dead_jobs
select lockstep.retry_dead_jobs();

-- discard_job
select lockstep.discard_job(job) from lockstep.dead_jobs where died_at < now() - interval '1 month';

-- cancel_job
select lockstep.cancel_job(1);

-- schedule_job
select lockstep.schedule_job('nightly report', '30 2 * * MON-FRI', 'Reports::ExportWorker', '{"project_id": 42}',
                             time_zone => 'Europe/Berlin', missed => 'skip');

-- unschedule_job
select lockstep.unschedule_job('nightly report');

-- cron_times
select * from lockstep.cron_times('30 2 * * MON-FRI', 'Europe/Berlin', '2026-03-27 12:00+00', 3);

-- define_worker
select lockstep.define_worker('Reports::ExportWorker', retries => 3);

-- limit_worker
select lockstep.limit_worker('Reports::ExportWorker', 2);

-- rename_worker
select lockstep.rename_worker('Reports::ExportWorker', 'Exports::ReportWorker', feature => 'rename_export_worker');

-- retire_worker
select lockstep.retire_worker('Reports::ExportWorker');
--> 1: ERROR:  worker "Reports::ExportWorker" cannot be retired: feature "rename_export_worker" is not fully on
--> DETAIL:  Jobs are still enqueued under the old name.
--> HINT:  Turn it on, wait until the worker has drained, then retire it: select lockstep.set_feature('rename_export_worker', true).

-- remove_worker_rename
select lockstep.remove_worker_rename('Reports::ExportWorker');

-- start_runner
select lockstep.start_runner('worker 1 on host a', lease_for => '1 minute');

-- runner_heartbeat
select lockstep.runner_heartbeat(1);

-- claim_jobs
select lockstep.enqueue_job('Mail::SendWorker', jsonb_build_object('user_id', n)) from generate_series(1, 9) n;
select * from lockstep.claim_jobs(runner => 1, workers => '{Mail::SendWorker}', most => 7);

-- complete_job
select lockstep.complete_job(runner => 1, job => 2);

-- complete_jobs
select lockstep.complete_jobs(runner => 1, jobs => '{3, 4}');

-- fail_job
select lockstep.fail_job(runner => 1, job => 5, error => 'connection refused', retry_after => '30 seconds');

-- release_jobs
select lockstep.release_jobs(runner => 1, jobs => '{6}');

-- release_other_jobs
select lockstep.release_other_jobs(runner => 1, jobs => '{7}');

-- stop_runner
select lockstep.stop_runner(1);

-- install_slack_workspace
select * from lockstep.install_slack_workspace('T0123', 'Example', user_id => 'U0123', bot_user_id => 'B0123',
  token => '\x01', token_iv => '\x02', scopes => '{chat:write, commands}', project_id => 42, alias => 'docs');

-- list_slack_workspaces
select team_id, team_name from lockstep.list_slack_workspaces(max_rows => 10);

-- issue_slack_install_ticket
select lockstep.issue_slack_install_ticket(project_id => 42, valid_for => '1 hour');

-- project_id
select lockstep.project_id('group/project');

-- slack_workspace_drift
select * from lockstep.slack_workspace_drift();

-- set_slack_notifications
select lockstep.set_slack_notifications(8, '{"channels": "#builds", "only_broken_pipelines": true}');

-- slack_notifications
select lockstep.slack_notifications(8);

-- publish_event
select * from lockstep.publish_event('{"object_kind": "pipeline", "project": {"id": 42, "default_branch": "main"},
  "object_attributes": {"id": 7, "ref": "main", "status": "failed"}}', key => 'pipeline 7');

-- explain_event
select * from lockstep.explain_event('{"object_kind": "pipeline", "project": {"id": 42, "default_branch": "main"},
  "object_attributes": {"id": 8, "ref": "main", "status": "failed"}}');

-- test_slack_integration
select * from lockstep.test_slack_integration(8);

-- delivery_results
select * from lockstep.delivery_results('{1, 2}');

-- slack_channel_troubles
select * from lockstep.slack_channel_troubles('T0123', null, 1);

-- retry_deliveries
select lockstep.retry_deliveries(8);

-- reset_slack_notifications
select lockstep.reset_slack_notifications(8);

-- uninstall_slack_workspace
select lockstep.uninstall_slack_workspace('T0123');

-- record_integration_event
select lockstep.record_integration_event(5, '{"object_kind": "wiki_page"}');

-- set_cluster_integration
select lockstep.set_cluster_integration(1, 'prometheus', active => true);

-- list_integration_properties
select integration_id, has_settings from lockstep.list_integration_properties(most => 100);

-- status_report
select jsonb_pretty(lockstep.status_report() -> 'deliveries');

-- status_history
select jsonb_pretty(lockstep.status_history() -> 'backfills');

-- metrics_report
select jsonb_pretty(lockstep.metrics_report() -> 'deliveries');

-- drift_report
select jsonb_pretty(lockstep.drift_report());

-- drift_checks
select what, rows, clock_timestamp() - checked_at as age from lockstep.drift_checks();

-- sweep
select lockstep.sweep();

-- sweep_slack
select lockstep.sweep_slack();

-- set_retention
select lockstep.set_retention('feature_audit', '2 years');

-- release_restored
select lockstep.release_restored();

-- discard_restored
select lockstep.discard_restored();
--> 1: ERROR:  nothing is held in this database
--> DETAIL:  Jobs can only be discarded this way in a database that was restored from a dump or created from a template.
--> HINT:  To discard a single job, call lockstep.discard_job.

-- release_restored_slack
select * from lockstep.release_restored_slack();

-- discard_restored_slack
select * from lockstep.discard_restored_slack();
--> 1: ERROR:  nothing is held in this database
--> DETAIL:  Deliveries can only be discarded this way in a database that was restored from a dump or created from a template.
--> HINT:  There is nothing to do.

-- detach
select * from lockstep.detach();

-- detach_service_accounts
select * from lockstep.detach_service_accounts();

-- detach_slack
select * from lockstep.detach_slack();
