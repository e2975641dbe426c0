-- What the extension registers with lockstep, and removes when it is dropped. A chatops command that changed a flag is also
-- recorded in the audit of flags. Subscriptions are few, and their audit should be complete.
insert into lockstep_internal.retained (what, keep, in_table, since)
values ('chatops_command', interval '1 year', 'lockstep.chatops_command', 'ran_at'),
       ('slack_subscription_audit', null, 'lockstep.slack_subscription_audit', 'changed_at'),
       ('integration_event', interval '90 days', 'lockstep_internal.integration_event', 'recorded_at');
-- The role that faces the network runs the Slack app's jobs and no others.
insert into lockstep_internal.runner_limit (role, workers) values ('lockstep_sidecar', 'Slack::');
insert into lockstep_internal.backfill_function (job, target_table, function_schema, function_name)
values ('slack_workspaces', 'slack_integrations', 'lockstep_internal', 'repair_slack_range');
