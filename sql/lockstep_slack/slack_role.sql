-- The sidecar's role, once a DBA has made its login role a member: the functions it needs and nothing else. Roles are shared by
-- all databases of a server, so it may already exist, and another database may be creating it right now.
do $$
begin
  if not exists (select from pg_catalog.pg_roles r where r.rolname operator(pg_catalog.=) 'lockstep_sidecar') then
    create role lockstep_sidecar nologin;
  end if;
exception when duplicate_object or unique_violation then
  null;
end
$$;

grant usage on schema lockstep_api to lockstep_sidecar;
grant execute on function
  lockstep_api.begin_slack_install(bytea, bytea, text, interval, text),
  lockstep_api.take_slack_install(bytea, bytea, text),
  lockstep_api.finish_slack_install(bytea, text, text, text, text, bytea, bytea, text[], text, text, bytea, bytea, timestamptz, boolean, text),
  lockstep_api.receive_slack_event(text, text, text, text, timestamptz, jsonb, text),
  lockstep_api.enqueue_slack_job(text, jsonb, text, text),
  lockstep_api.slack_bot(text, text, text),
  lockstep_api.list_slack_integrations(text, text, text, text, bigint, integer, text),
  lockstep_api.slack_integrations_by_alias(text[], text[], text[], text),
  lockstep_api.set_slack_integration_active(text, text, bigint, text, boolean, boolean, text),
  lockstep_api.managed_slack_integrations(text, text, text, bigint[], boolean, text),
  lockstep.list_slack_workspaces(integer, text),
  lockstep_api.claim_slack_token_refresh(interval, interval, text),
  lockstep_api.store_slack_token(text, bigint, bytea, bytea, bytea, bytea, timestamptz, text),
  lockstep_api.give_back_slack_token_refresh(text, bigint, text, interval, text),
  lockstep_api.list_slack_tokens(text, integer, text),
  lockstep_api.replace_slack_token(text, bytea, bytea, bytea, bytea, bytea, bytea, text),
  lockstep.sweep_slack(text),
  lockstep_api.is_project_within(bigint, text[], text),
  lockstep_api.publish_events(json[], text[], text[], text),
  lockstep_api.remind_of_reviews(bigint, text, text, bigint, text),
  lockstep_api.slack_workspace_notifications(text, text, bigint, text),
  lockstep_api.set_slack_person(text, text, text, jsonb, text),
  lockstep_api.set_slack_integration_settings(text, text, bigint, text, boolean, jsonb, jsonb, text, text),
  lockstep_api.list_slack_followers(text, text, bigint, text, boolean, integer, text),
  lockstep_api.list_slack_subscriptions(text, text, integer, text),
  lockstep_api.subscribe_slack_project(text, text, text, text, text, text[], jsonb, text),
  lockstep_api.unsubscribe_slack_project(text, text, text, text, text, boolean, text),
  lockstep_api.test_slack_workspace_integration(text, text, bigint, text, boolean, text),
  lockstep_api.claim_deliveries(integer, interval, integer, text),
  lockstep_api.delivery_wait(integer, text),
  lockstep_api.finish_deliveries(jsonb, text),
  lockstep.slack_channel_troubles(text, text, bigint, text),
  lockstep.delivery_results(bigint[]),
  lockstep.metrics_report(text),
  lockstep.status_report(text),
  lockstep.status_history(text),
  lockstep_api.record_history(text),
  lockstep.drift_checks(text),
  lockstep.drift_report(text),
  lockstep.resume_lost_backfills(),
  lockstep.start_runner(text, interval),
  lockstep.runner_heartbeat(bigint),
  lockstep.claim_jobs(bigint, text[], integer),
  lockstep.complete_jobs(bigint, bigint[]),
  lockstep.fail_job(bigint, bigint, text, interval),
  lockstep.release_jobs(bigint, bigint[]),
  lockstep.release_other_jobs(bigint, bigint[]),
  lockstep.stop_runner(bigint)
to lockstep_sidecar;
