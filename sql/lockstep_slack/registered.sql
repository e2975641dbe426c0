-- What the extension registers with lockstep, and removes when it is dropped. A chatops command that changed a flag is also
-- recorded in the audit of flags.
insert into lockstep.retained (what, keep, in_table, since)
values ('chatops_command', interval '1 year', 'lockstep.chatops_command', 'ran_at'),
       ('integration_event', interval '90 days', 'lockstep.integration_event', 'recorded_at');
-- The role that faces the network runs the Slack app's jobs and no others.
insert into lockstep.runner_limit (role, workers) values ('lockstep_sidecar', 'Slack::');
insert into lockstep.backfill_function (job, target_table, function_schema, function_name)
values ('slack_workspaces', 'slack_integrations', 'lockstep', 'repair_slack_range');
