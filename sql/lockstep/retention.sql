-- How long what is over is kept. In a table of its own are only the settings, so that a dump has them and not what the extension brings along.
create table lockstep.retention (
  what text not null
    constraint retention_pkey primary key
    constraint retention_what_check check (what in ('feature_audit', 'chatops_command', 'integration_event', 'dead_job')),
  -- Null: for ever.
  keep interval
    constraint retention_keep_check check (keep > interval '0')
);
comment on table lockstep.retention is 'how long records are kept, where that is not the default; written by lockstep.set_retention';
select pg_catalog.pg_extension_config_dump('lockstep.retention', '');

-- Changes of flags are few, as people make them, and an audit is to be complete: they stay until somebody says otherwise. A command of
-- chatops that changed a flag has its row in there as well. Sidekiq keeps dead jobs for six months.
create view lockstep.retentions as
select d.what, case when r.what is null then d.keep else r.keep end as keep
  from (values ('feature_audit', null::interval), ('chatops_command', interval '1 year'), ('integration_event', interval '90 days'),
               ('dead_job', interval '6 months')) d (what, keep)
  left join lockstep.retention r on r.what = d.what;
comment on view lockstep.retentions is 'how long records are kept, null for ever; lockstep.sweep removes those that are older';
grant select on lockstep.retentions to public;
