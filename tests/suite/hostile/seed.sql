-- What a DBA adds after attaching: settings, jobs, runs and deliveries for the calls to find.
select lockstep.set_slack_notifications(1, '{"channels": "#one", "branches": "all", "labels": "~bug"}', 'mallory');
select lockstep.set_slack_notifications(5, '{"channels": "#all", "branches": "protected"}', 'mallory');
select lockstep.install_slack_workspace('T1', 'Team', 'U1', 'B1', 'token', 'iv', '{commands,chat:write}', refresh_token => 'refresh', refresh_token_iv => 'riv',
                                        expires_at => now() + interval '1 minute', schema => 'mallory');
select lockstep.subscribe_slack_channel(1, 'T1', '#four', schema => 'mallory'), lockstep.subscribe_slack_channel(2, 'T1', '#four', schema => 'mallory');
select lockstep.publish_event('{"object_kind": "push", "ref": "refs/heads/main", "project": {"id": 1, "default_branch": "main"}, "user_username": "ada"}', 'first', 'mallory');
select lockstep_api.begin_slack_install(sha256('1'), sha256('2'), lockstep.issue_slack_install_ticket(project_id => 1, schema => 'mallory'), schema => 'mallory');
select lockstep_api.begin_slack_install(sha256('3'), sha256('4'), lockstep.issue_slack_install_ticket(project_id => 3, schema => 'mallory'), schema => 'mallory');
select lockstep_api.take_slack_install(sha256('3'), sha256('4'), 'mallory');
select lockstep.define_worker('W', 0, true);
select lockstep.start_runner('seed', '1 hour');
select lockstep.enqueue_job('W') from generate_series(1, 5);
select lockstep.claim_jobs(1, '{W}', 3);
select lockstep.fail_job(1, 3, 'no');
select lockstep.rename_worker('Old', 'New', 'on', 'mallory');
select lockstep.define_feature('defined', true, 'ops', 'group::one');
insert into lockstep.chatops_incident (title, severity) values ('seen', 3);
update lockstep_internal.backfill_run set status = 'failed' where id = 2;
insert into lockstep_internal.backfill_run overriding system value
  select (jsonb_populate_record(r, '{"id": 1000, "status": "finished", "target_table": "mallory.counted"}')).* from lockstep_internal.backfill_run r where id = 1;
set session_replication_role = replica;
update mallory.projects set has_external_wiki = null;
reset session_replication_role;
grant all on all tables in schema mallory to hostile_other, lockstep_chatops;
grant all on all sequences in schema mallory to hostile_other, lockstep_chatops;
