select pg_catalog.set_config('lockstep.installing', 'lockstep_slack', true);

-- As with those of lockstep, one that exists already is not accepted.
create schema lockstep_api;
comment on schema lockstep_api is 'what the sidecar calls, and nobody else';

-- The database that owns the deliveries: as with jobs, a copy must not send what its original sends.
create table lockstep_internal.slack_home (
  database oid not null
);
comment on table lockstep_internal.slack_home is
  'the database that owns deliveries and tokens: those of another database are held; see lockstep.release_restored_slack and lockstep.discard_restored_slack';
insert into lockstep_internal.slack_home (database)
select d.oid from pg_catalog.pg_database d where d.datname operator(pg_catalog.=) pg_catalog.current_database();
select pg_catalog.pg_extension_config_dump('lockstep_internal.slack_home', '');
