-- What is removed by its age, and after how long if nobody says otherwise; null: never. An extension that builds on lockstep adds its own.
create table lockstep_internal.retained (
  what text not null
    constraint retained_pkey primary key
    constraint retained_what_check check (pg_catalog.length(what) <= 63),
  keep interval
    constraint retained_keep_check check (keep > interval '0'),
  in_table regclass not null,
  -- The column that tells since when a record is over.
  since name not null,
  -- Which rows are records, as a condition.
  which text not null default 'true'
);
comment on table lockstep_internal.retained is 'records that are removed by their age, with the defaults; see lockstep.retentions';
-- Changes of flags are few, as people make them, and an audit is to be complete: they stay until somebody says otherwise. Sidekiq keeps
-- dead jobs for six months.
insert into lockstep_internal.retained (what, keep, in_table, since, which)
values ('feature_audit', null, 'lockstep.feature_audit', 'changed_at', 'true'),
       ('dead_job', interval '6 months', 'lockstep_internal.job', 'died_at', $$status = 'dead'$$);

-- Apart, so that a dump has the settings and not what the extension brings along.
create table lockstep_internal.retention (
  what text not null
    constraint retention_pkey primary key
    constraint retention_what_check check (pg_catalog.length(what) <= 63),
  -- Null: for ever.
  keep interval
    constraint retention_keep_check check (keep > interval '0')
);
comment on table lockstep_internal.retention is 'how long records are kept, where that is not the default; written by lockstep.set_retention';
select pg_catalog.pg_extension_config_dump('lockstep_internal.retention', '');

create view lockstep.retentions as
select d.what, case when r.what is null then d.keep else r.keep end as keep
  from lockstep_internal.retained d left join lockstep_internal.retention r on r.what = d.what;
comment on view lockstep.retentions is 'how long records are kept, null for ever; lockstep.sweep removes those that are older';
comment on column lockstep.retentions.what is 'kind of record';
comment on column lockstep.retentions.keep is 'how long it is kept; null for ever';
grant select on lockstep.retentions to public;
