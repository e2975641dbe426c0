-- What the extension tells lockstep of itself; it takes it back when it is dropped.
-- A command of chatops that changed a flag has its row in the audit of flags as well.
insert into lockstep.retained (what, keep, in_table, since)
values ('chatops_command', interval '1 year', 'lockstep.chatops_command', 'ran_at'),
       ('integration_event', interval '90 days', 'lockstep.integration_event', 'recorded_at');
-- Whoever speaks to the network runs the jobs of the Slack app, and no others.
insert into lockstep.runner_limit (role, workers) values ('lockstep_sidecar', 'Slack::');
insert into lockstep.backfill_function (job, target_table, function)
values ('slack_workspaces', 'slack_integrations', 'lockstep.repair_slack_range(text, bigint, bigint)'::pg_catalog.regprocedure);
