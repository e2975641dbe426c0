-- The role of chatops in each database that is an environment, once a DBA has made a login role a member: its functions and
-- nothing else. Roles are shared by all databases of a server, so it may already exist, and another database may be creating it.
do $$
begin
  if not exists (select from pg_catalog.pg_roles r where r.rolname operator(pg_catalog.=) 'lockstep_chatops') then
    create role lockstep_chatops nologin;
  end if;
exception when duplicate_object or unique_violation then
  null;
end
$$;

grant usage on schema lockstep_api to lockstep_chatops;
grant execute on function
  lockstep_api.chatops_set_feature(jsonb, text, jsonb, text),
  lockstep_api.chatops_delete_feature(jsonb, text, boolean, text),
  lockstep_api.chatops_hold_feature(text, text, text),
  lockstep_api.chatops_feature(text, text),
  lockstep_api.chatops_features(text, bigint, integer, text),
  lockstep_api.chatops_declare_incident(jsonb, text, integer),
  lockstep_api.chatops_close_incident(jsonb, bigint),
  lockstep_api.chatops_incidents(),
  lockstep_api.chatops_rollout(text, text),
  lockstep_api.chatops_deployments(text, text),
  lockstep_api.chatops_release(text, bigint, text, text),
  lockstep_api.chatops_backfills(bigint),
  lockstep_api.chatops_start_backfill(jsonb, text, integer),
  lockstep_api.chatops_control_backfill(jsonb, bigint, text),
  lockstep_api.chatops_workers(),
  lockstep_api.chatops_retire_worker(jsonb, text),
  lockstep_api.chatops_drift(text),
  lockstep_api.chatops_was_done(jsonb)
to lockstep_chatops;

-- Linked accounts are in the database of the Slack app.
grant execute on function lockstep_api.is_chatops_member(text, text, text, text) to lockstep_sidecar;
