-- An example of each function that people call, below its name. They run in the order of the reference, in a database with a few rows, so
-- one may use what an earlier one has made. Lines after --> are the output. Lines after --! are wrong calls, each in a database without
-- what the examples make; the reference has their errors.

-- attach
-- Says what it would lock and do, and does nothing; then for one feature alone.
select * from lockstep.attach(dry_run => true);
select * from lockstep.attach(features => '{feature_flags}');
--! select lockstep.attach('nope')
--! select lockstep.attach(features => '{nope}')
--! reader: select lockstep.attach()

-- attach_slack
select * from lockstep.attach_slack();
--! select lockstep.attach_slack('nope')
--! select lockstep.attach_slack(features => '{nope}')

-- add_cache_column
alter table projects add column has_chat_integration boolean not null default false;
select lockstep.add_cache_column('projects', 'has_chat_integration', source => 'integrations', key => 'project_id',
                                 match => '{"active": true, "category": "chat"}');
--! select lockstep.add_cache_column('projects', 'nope', 'integrations', 'project_id', '{"active": true}')
--! select lockstep.add_cache_column('projects', 'name', 'integrations', 'project_id', '{"active": true}')
--! select lockstep.add_cache_column('projects', 'has_external_wiki', 'integrations', 'project_id', '{"active": true}')
--! alter table projects add is_listed boolean; select lockstep.add_cache_column('projects', 'is_listed', 'integrations', 'project_id', '{}')
--! alter table projects add is_listed boolean; select lockstep.add_cache_column('projects', 'is_listed', 'integrations', 'project_id', '{"active": "maybe"}')
--! alter table projects add is_listed boolean; select lockstep.add_cache_column('projects', 'is_listed', 'integrations', 'type_new', '{"active": true}')
--! create view active_ones as select * from integrations; alter table projects add is_listed boolean; select lockstep.add_cache_column('projects', 'is_listed', 'active_ones', 'project_id', '{"active": true}')
--! create table notes (project_id bigint, open boolean); alter table projects add is_listed boolean; select lockstep.add_cache_column('projects', 'is_listed', 'notes', 'project_id', '{"open": true}')
--! reader: select lockstep.add_cache_column('projects', 'is_listed', 'integrations', 'project_id', '{"active": true}')

-- repair_cache_column
select lockstep.repair_cache_column('projects', 'has_chat_integration', max_rows => 1000);
--! select lockstep.repair_cache_column('projects', 'name')
--! select lockstep.repair_cache_column('projects', 'has_external_wiki', -1)
--! reader: select lockstep.repair_cache_column('projects', 'has_external_wiki')

-- cache_column_drift
select * from lockstep.cache_column_drift('projects', 'has_chat_integration');
--! select lockstep.cache_column_drift('projects', 'name')
--! reader: select lockstep.cache_column_drift('projects', 'has_external_wiki')

-- remove_cache_column
select lockstep.remove_cache_column('projects', 'has_chat_integration');
--! select lockstep.remove_cache_column('projects', 'name')
--! reader: select lockstep.remove_cache_column('projects', 'has_external_wiki')

-- resolve_service_account
select lockstep.resolve_service_account(item_version_id => 10, workflow_definition => 'code_review', project_id => 42,
                                        namespace_id => null);
--! select lockstep.resolve_service_account(10, 'code_review', 42, null, schema => 'nope')
--! reader: select lockstep.resolve_service_account(10, 'code_review', 42, null)

-- explain_service_account
select * from lockstep.explain_service_account(1);
--! select lockstep.explain_service_account(99)

-- fill_service_accounts
select * from lockstep.fill_service_accounts(1, 1000);
--! select lockstep.fill_service_accounts(10, 1)
--! reader: select lockstep.fill_service_accounts(1, 10)

-- backfill
call lockstep.backfill('cache_columns', 'projects', '{"sub_batch_size": 500}');
--! call lockstep.backfill('cache_columns', 'projects')

-- start_backfill
select lockstep.start_backfill('cache_columns', 'projects', workers => 1, settings => '{"sub_batch_size": 1, "pause_ms": 3600000}');
--! select lockstep.start_backfill('nope')
--! select lockstep.start_backfill('cache_columns', 'users')
--! select lockstep.start_backfill('cache_columns', 'projects', workers => 0)
--! select lockstep.start_backfill('cache_columns', 'projects', settings => '{"sub_batch_size": 0}')
--! select lockstep.start_backfill('cache_columns', 'projects', settings => '{"batch": 10}')
--! select lockstep.start_backfill('cache_columns', 'projects', settings => '{"hold_function": "nope"}')
--! reader: select lockstep.start_backfill('cache_columns', 'projects')

-- alter_backfill
select lockstep.alter_backfill(2, '{"sub_batch_size": 500}', workers => 2);
--! select lockstep.alter_backfill(99, workers => 2)

-- pause_backfill
select lockstep.pause_backfill(2);
--! select lockstep.pause_backfill(99)

-- resume_backfill
select lockstep.resume_backfill(2);
--! select lockstep.resume_backfill(99)

-- resume_lost_backfills
select lockstep.resume_lost_backfills();

-- cancel_backfill
select lockstep.start_backfill('service_accounts', settings => '{"sub_batch_size": 1, "pause_ms": 3600000}');
select lockstep.cancel_backfill(3);
--! select lockstep.cancel_backfill(99)

-- retry_backfill
select lockstep.retry_backfill(run) from lockstep.backfill_progress where status = 'failed';
--! select lockstep.retry_backfill(99)

-- backfill_batch
select * from lockstep.backfill_batch('service_accounts', 1, 1000);
--! select lockstep.backfill_batch('nope', 1, 10)
--! select lockstep.backfill_batch('service_accounts', 10, 1)
--! select lockstep.backfill_batch('service_accounts', 1, 10, sub_batch_size => 0)

-- preview_backfill
select * from lockstep.preview_backfill('service_accounts');
--! select lockstep.preview_backfill('nope')
--! select lockstep.preview_backfill('slack_workspaces')
--! select lockstep.preview_backfill('service_accounts', examples => -1)
--! reader: select lockstep.preview_backfill('service_accounts')

-- register_backfill_job
select lockstep.register_backfill_job('upper_names', 'projects', 'update projects set name = upper(name) where {range}');
--! select lockstep.register_backfill_job('Upper names', 'projects', 'update projects set name = upper(name) where {range}')
--! select lockstep.register_backfill_job('upper_names', 'projects', 'update projects set name = upper(name)')
--! select lockstep.register_backfill_job('service_accounts', 'projects', 'update projects set name = upper(name) where {range}')
--! select lockstep.register_backfill_job('upper_names', 'projects', 'update projects set name = upper(name) where {range}', key => '{name}')

-- unregister_backfill_job
select lockstep.unregister_backfill_job('upper_names');
--! select lockstep.unregister_backfill_job('nope')

-- set_feature
select lockstep.set_feature('new_editor', true);
--! select lockstep.set_feature('', true)
--! select lockstep.set_feature('new editor', true)
--! create schema empty; select lockstep.set_feature('new_editor', true, schema => 'empty')
--! reader: select lockstep.set_feature('new_editor', true)

-- set_feature_percentage
select lockstep.set_feature_percentage('new_search', 25);
select lockstep.set_feature_percentage('new_cache', 0.5, of => 'time');
--! select lockstep.set_feature_percentage('new_search', 101)
--! select lockstep.set_feature_percentage('new_search', 25, of => 'users')

-- enable_feature_for
select lockstep.enable_feature_for('new_search', 'Project:42');
--! select lockstep.enable_feature_for('new_search', 'ada')
--! select lockstep.set_feature('new_search', true); select lockstep.opt_out_of_feature('new_search', 'User:2'); select lockstep.enable_feature_for('new_search', 'User:2')

-- disable_feature_for
select lockstep.disable_feature_for('new_search', 'Project:42');
--! select lockstep.disable_feature_for('new_search', 'ada')

-- opt_out_of_feature
select lockstep.opt_out_of_feature('new_editor', 'User:2');
--! select lockstep.opt_out_of_feature('new_search', 'ada')

-- remove_feature_opt_out
select lockstep.remove_feature_opt_out('new_editor', 'User:2');
--! select lockstep.set_feature('new_search', true); select lockstep.remove_feature_opt_out('new_search', 'User:2')

-- feature_enabled
select lockstep.feature_enabled('new_editor', 'User:2');
--! select lockstep.feature_enabled('')
--! select lockstep.feature_enabled('new_search', schema => 'nope')

-- feature_enabled_for_any
select lockstep.feature_enabled_for_any('new_search', array['User:2', 'Project:42']);
--! select lockstep.feature_enabled_for_any('new_search', '{User:2}', schema => 'nope')

-- feature_decision
select lockstep.feature_decision('new_search');
--! select lockstep.feature_decision('new_search', schema => 'nope')

-- register_feature_group
create function is_staff(actor text) returns boolean language sql stable return actor in ('User:2', 'User:7');
select lockstep.register_feature_group('staff', 'is_staff(text)');
--! select lockstep.register_feature_group('staff', 'lower(text)')

-- enable_feature_for_group
select lockstep.enable_feature_for_group('new_search', 'staff');
--! select lockstep.enable_feature_for_group('new_search', 'nope')

-- disable_feature_for_group
select lockstep.disable_feature_for_group('new_search', 'staff');
--! select lockstep.disable_feature_for_group('new_search', 'nope')

-- unregister_feature_group
select lockstep.unregister_feature_group('staff');
--! select lockstep.unregister_feature_group('nope')

-- remove_feature
select lockstep.remove_feature('new_cache');
--! select lockstep.remove_feature('nope')

-- define_feature
select lockstep.define_feature('new_editor', default_enabled => true, type => 'ops', "group" => 'group::source code');
--! select lockstep.define_feature('new editor')
--! select lockstep.define_feature('new_editor', type => 'nope')
--! select lockstep.define_feature('new_editor', default_enabled => true)

-- undefine_feature
select lockstep.undefine_feature('new_editor');
--! select lockstep.undefine_feature('nope')

-- enqueue_job
select lockstep.enqueue_job('Reports::ExportWorker', '{"project_id": 42}', unique_key => 'export 42',
                            run_at => now() + interval '1 hour');
--! select lockstep.enqueue_job('')
--! select lockstep.enqueue_job('Mail::SendWorker', unique_key => '')
--! select lockstep.enqueue_job('Mail::SendWorker', unique_key => 'a', deduplicate => 'always')
--! select lockstep.enqueue_job('Mail::SendWorker', run_at => 'infinity')
--! select lockstep.enqueue_job('Mail::SendWorker', concurrency_key => '')

-- retry_job
select lockstep.retry_job(job) from lockstep.dead_jobs where worker = 'Reports::ExportWorker';
--! select lockstep.retry_job(99)

-- retry_dead_jobs
select lockstep.retry_dead_jobs();
--! select lockstep.retry_dead_jobs('Nope::Worker')

-- discard_job
select lockstep.discard_job(job) from lockstep.dead_jobs where died_at < now() - interval '1 month';
--! select lockstep.discard_job(99)

-- cancel_job
select lockstep.cancel_job(1);
--! select lockstep.cancel_job(99)

-- schedule_job
select lockstep.schedule_job('nightly report', '30 2 * * MON-FRI', 'Reports::ExportWorker', '{"project_id": 42}',
                             time_zone => 'Europe/Berlin', missed => 'skip');
--! select lockstep.schedule_job('nightly report', 'at night', 'Reports::ExportWorker')
--! select lockstep.schedule_job('nightly report', '0 0 30 2 *', 'Reports::ExportWorker')
--! select lockstep.schedule_job('nightly report', '@daily', 'Reports::ExportWorker', time_zone => 'Berlin')
--! select lockstep.schedule_job('nightly report', '@daily', 'Reports::ExportWorker', missed => 'run_all')
--! select lockstep.schedule_job('', '@daily', 'Reports::ExportWorker')

-- unschedule_job
select lockstep.unschedule_job('nightly report');
--! select lockstep.unschedule_job('nope')

-- cron_times
select * from lockstep.cron_times('30 2 * * MON-FRI', 'Europe/Berlin', '2026-03-27 12:00+00', 3);
--! select lockstep.cron_times('at night')
--! select lockstep.cron_times('@daily', most => 0)

-- define_worker
select lockstep.define_worker('Reports::ExportWorker', retries => 3);
--! select lockstep.define_worker('Mail::SendWorker', retries => 101)

-- limit_worker
select lockstep.limit_worker('Reports::ExportWorker', 2);
select lockstep.limit_worker('Reports::ExportWorker', rate => 100, period => '1 minute', by => 'key');
--! select lockstep.limit_worker('Mail::SendWorker', 0)
--! select lockstep.limit_worker('Mail::SendWorker', rate => 0, period => '1 hour')
--! select lockstep.limit_worker('Mail::SendWorker', rate => 10)
--! select lockstep.limit_worker('Mail::SendWorker', 1, by => 'queue')

-- rename_worker
select lockstep.rename_worker('Reports::ExportWorker', 'Exports::ReportWorker', feature => 'rename_export_worker');
--! select lockstep.rename_worker('Mail::SendWorker', 'Mail::SendWorker', feature => 'rename_mail')

-- retire_worker
select lockstep.retire_worker('Reports::ExportWorker');
--> 1: ERROR:  worker "Reports::ExportWorker" cannot be retired: feature "rename_export_worker" is not fully on
--> DETAIL:  Jobs are still enqueued under the old name.
--> HINT:  Turn it on, wait until the worker has drained, then retire it: select lockstep.set_feature('rename_export_worker', true).
--! select lockstep.retire_worker('Nope::Worker')

-- remove_worker_rename
select lockstep.remove_worker_rename('Reports::ExportWorker');
--! select lockstep.remove_worker_rename('Nope::Worker')

-- start_runner
select lockstep.start_runner('worker 1 on host a', lease_for => '1 minute');
--! select lockstep.start_runner('worker 1', lease_for => '0 seconds')
--! select lockstep.start_runner(repeat('a', 256))

-- runner_heartbeat
select lockstep.runner_heartbeat(1);
--! select lockstep.runner_heartbeat(99)

-- claim_jobs
select lockstep.enqueue_job('Mail::SendWorker', jsonb_build_object('user_id', n)) from generate_series(1, 9) n;
select * from lockstep.claim_jobs(runner => 1, workers => '{Mail::SendWorker}', most => 7);
--! select lockstep.claim_jobs(99, '{Mail::SendWorker}')
--! select lockstep.claim_jobs(lockstep.start_runner('worker 1'), '{Mail::SendWorker}', most => 0)

-- complete_job
select lockstep.complete_job(runner => 1, job => 2);
--! select lockstep.complete_job(99, 1)

-- complete_jobs
select lockstep.complete_jobs(runner => 1, jobs => '{3, 4}');
--! select lockstep.complete_jobs(99, null)

-- fail_job
select lockstep.fail_job(runner => 1, job => 5, error => 'connection refused', retry_after => '30 seconds');
--! select lockstep.fail_job(99, 1, 'connection refused')
--! select lockstep.fail_job(lockstep.start_runner('worker 1'), 1, 'connection refused', retry_after => '-1 second')

-- release_jobs
select lockstep.release_jobs(runner => 1, jobs => '{6}');
--! select lockstep.release_jobs(99, null)

-- release_other_jobs
select lockstep.release_other_jobs(runner => 1, jobs => '{7}');
--! select lockstep.release_other_jobs(99, '{1}')

-- stop_runner
select lockstep.stop_runner(1);
--! select lockstep.stop_runner(null)

-- install_slack_workspace
select * from lockstep.install_slack_workspace('T0123', 'Example', user_id => 'U0123', bot_user_id => 'B0123',
  token => '\x01', token_iv => '\x02', scopes => '{chat:write, commands}', project_id => 42, alias => 'docs');
--! select lockstep.install_slack_workspace('T0123', 'Example', 'U0123', 'B0123', '\x01', '\x02', '{commands}', project_id => 42, group_id => 1)
--! select lockstep.install_slack_workspace('T0123', 'Example', 'U0123', 'B0123', '\x01', '\x02', '{commands}', project_id => 99)
--! select lockstep.install_slack_workspace('T0123', 'Example', 'U0123', 'B0123', '', '\x02', '{commands}', project_id => 42)

-- list_slack_workspaces
select team_id, team_name from lockstep.list_slack_workspaces(max_rows => 10);
--! select lockstep.list_slack_workspaces(-1)

-- issue_slack_install_ticket
select lockstep.issue_slack_install_ticket(project_id => 42, valid_for => '1 hour');
--! select lockstep.issue_slack_install_ticket()
--! select lockstep.issue_slack_install_ticket(project_id => 99)
--! select lockstep.issue_slack_install_ticket(project_id => 42, alias => 'd')
--! select lockstep.issue_slack_install_ticket(project_id => 42, valid_for => '-1 day')

-- project_id
select lockstep.project_id('group/project');
--! select lockstep.project_id('group/project', schema => 'nope')

-- slack_workspace_drift
select * from lockstep.slack_workspace_drift();
--! create schema empty; select lockstep.slack_workspace_drift(schema => 'empty')

-- set_slack_notifications
select lockstep.set_slack_notifications(8, '{"channels": "#builds", "only_broken_pipelines": true}');
--! select lockstep.set_slack_notifications(99, '{"channels": "#builds"}')
--! select lockstep.set_slack_notifications(5, '{"channels": "#builds"}')
--! select lockstep.set_slack_notifications(8, '{"channel": "#builds"}')

-- slack_notifications
select lockstep.slack_notifications(8);
--! select lockstep.slack_notifications(99)

-- publish_event
select * from lockstep.publish_event('{"object_kind": "pipeline", "project": {"id": 42, "default_branch": "main"},
  "object_attributes": {"id": 7, "ref": "main", "status": "failed"}}', key => 'pipeline 7');
--! select lockstep.publish_event('{"object_kind": "nope"}')
--! select lockstep.publish_event('{"object_kind": "pipeline"}')
--! select lockstep.publish_event('{"object_kind": "pipeline", "project": {"id": 99}, "object_attributes": {"id": 7, "status": "failed"}}')

-- explain_event
select * from lockstep.explain_event('{"object_kind": "pipeline", "project": {"id": 42, "default_branch": "main"},
  "object_attributes": {"id": 8, "ref": "main", "status": "failed"}}');
--! select lockstep.explain_event('{"object_kind": "nope"}')

-- test_slack_integration
select * from lockstep.test_slack_integration(8);
--! select lockstep.test_slack_integration(8)
--! select lockstep.test_slack_integration(99)

-- delivery_results
select * from lockstep.delivery_results('{1, 2}');
--! select lockstep.delivery_results(null)

-- slack_channel_troubles
select * from lockstep.slack_channel_troubles('T0123', null, 1);
--! select lockstep.slack_channel_troubles(null, null, 1)
--! select lockstep.slack_channel_troubles('T0123', null, 99)

-- retry_deliveries
select lockstep.retry_deliveries(8);
--! select lockstep.retry_deliveries(99)
--! select lockstep.retry_deliveries(schema => 'nope')

-- reset_slack_notifications
select lockstep.reset_slack_notifications(8);
--! select lockstep.reset_slack_notifications(99)

-- subscribe_slack_channel
select lockstep.subscribe_slack_channel(42, 'T0123', '#docs', '{push,release}');
--! select lockstep.subscribe_slack_channel(99, 'T0123', '#docs')
--! select lockstep.subscribe_slack_channel(42, 'T0999', '#docs')
--! select lockstep.subscribe_slack_channel(42, 'T0123', '#docs,#more')
--! select lockstep.subscribe_slack_channel(42, 'T0123', '#docs', '{nope}')
--! select lockstep.subscribe_slack_channel(42, 'T0123', '#docs', routes => '[{"branch": "main"}]')

-- slack_subscriptions
select path, channel, events, state from lockstep.slack_subscriptions(project_id => 42);
--! select lockstep.slack_subscriptions(schema => 'nope')

-- unsubscribe_slack_channel
select lockstep.unsubscribe_slack_channel(42, 'T0123', '#docs');
--! select lockstep.unsubscribe_slack_channel(42, 'T0123', 'D0123')

-- uninstall_slack_workspace
select lockstep.uninstall_slack_workspace('T0123');
--! select lockstep.uninstall_slack_workspace('')
--! create schema empty; select lockstep.uninstall_slack_workspace('T0123', schema => 'empty')

-- record_integration_event
select lockstep.record_integration_event(5, '{"object_kind": "wiki_page"}');
--! select lockstep.record_integration_event(5, '{}', schema => 'nope')

-- set_cluster_integration
select lockstep.set_cluster_integration(1, 'prometheus', active => true);
--! select lockstep.set_cluster_integration(1, 'Prometheus!', active => true)

-- list_integration_properties
select integration_id, has_settings from lockstep.list_integration_properties(most => 100);
--! select lockstep.list_integration_properties(most => -1)
--! select lockstep.list_integration_properties(schema => 'nope')

-- status_report
select jsonb_pretty(lockstep.status_report() -> 'deliveries');
--! select lockstep.status_report('nope')
--! reader: select lockstep.status_report()

-- status_history
select jsonb_pretty(lockstep.status_history() -> 'backfills');
--! select lockstep.status_history('nope')
--! reader: select lockstep.status_history()

-- metrics_report
select jsonb_pretty(lockstep.metrics_report() -> 'deliveries');
--! select lockstep.metrics_report('nope')
--! reader: select lockstep.metrics_report()

-- drift_report
select jsonb_pretty(lockstep.drift_report());
--! reader: select lockstep.drift_report()

-- drift_checks
select what, rows, clock_timestamp() - checked_at as age from lockstep.drift_checks();
--! select lockstep.drift_checks('nope')
--! reader: select lockstep.drift_checks()

-- sweep
select lockstep.sweep();
--! reader: select lockstep.sweep()

-- sweep_slack
select lockstep.sweep_slack();
--! reader: select lockstep.sweep_slack()

-- set_retention
select lockstep.set_retention('feature_audit', '2 years');
--! select lockstep.set_retention('nope', '1 year')
--! select lockstep.set_retention('feature_audit', '-1 day')

-- release_restored
select lockstep.release_restored();
--! reader: select lockstep.release_restored()

-- discard_restored
select lockstep.discard_restored();
--> 1: ERROR:  nothing is held in this database
--> DETAIL:  Jobs can only be discarded this way in a database that was restored from a dump or created from a template.
--> HINT:  To discard a single job, call lockstep.discard_job.
--! select lockstep.discard_restored()

-- release_restored_slack
select * from lockstep.release_restored_slack();
--! reader: select lockstep.release_restored_slack()

-- discard_restored_slack
select * from lockstep.discard_restored_slack();
--> 1: ERROR:  nothing is held in this database
--> DETAIL:  Deliveries can only be discarded this way in a database that was restored from a dump or created from a template.
--> HINT:  There is nothing to do.
--! select lockstep.discard_restored_slack()

-- detach
select * from lockstep.detach();
--! select lockstep.detach('nope')
--! reader: select lockstep.detach()

-- detach_service_accounts
select * from lockstep.detach_service_accounts();
--! select lockstep.detach_service_accounts('nope')

-- detach_slack
select * from lockstep.detach_slack();
--! select lockstep.detach_slack('nope')
