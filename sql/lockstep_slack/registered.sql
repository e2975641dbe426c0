-- What the extension tells lockstep of itself; it takes it back when it is dropped.
-- A command of chatops that changed a flag has its row in the audit of flags as well.
insert into lockstep_internal.retained (what, keep, in_table, since)
values ('chatops_command', interval '1 year', 'lockstep.chatops_command', 'ran_at'),
       ('integration_event', interval '90 days', 'lockstep_internal.integration_event', 'recorded_at');
-- Whoever speaks to the network runs the jobs of the Slack app, and no others.
insert into lockstep_internal.runner_limit (role, workers) values ('lockstep_sidecar', 'Slack::');
insert into lockstep_internal.backfill_function (job, target_table, function_schema, function_name)
values ('slack_workspaces', 'slack_integrations', 'lockstep_internal', 'repair_slack_range');
