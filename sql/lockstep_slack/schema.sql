select pg_catalog.set_config('lockstep.installing', 'lockstep_slack', true);

-- The database that owns the deliveries: as with jobs, a copy must not send what its original sends.
create table lockstep.slack_home (
  database oid not null
);
comment on table lockstep.slack_home is
  'the database that owns deliveries and tokens: those of another database are held; see lockstep.release_restored_slack and lockstep.discard_restored_slack';
insert into lockstep.slack_home (database)
select d.oid from pg_catalog.pg_database d where d.datname operator(pg_catalog.=) pg_catalog.current_database();
select pg_catalog.pg_extension_config_dump('lockstep.slack_home', '');
