-- What is removed by age, and after how long by default; null means never. Extensions that build on lockstep add their own rows.
create table lockstep_internal.retained (
  what text not null
    constraint retained_pkey primary key
    constraint retained_what_check check (pg_catalog.length(what) <= 63),
  keep interval
    constraint retained_keep_check check (keep > interval '0'),
  in_table regclass not null,
  -- The column that says since when a record is finished.
  since name not null,
  -- Which rows are such records, as a condition.
  which text not null default 'true'
);
comment on table lockstep_internal.retained is 'records that are removed by their age, with the defaults; see lockstep.retentions';
-- Flag changes are made by people, so they are few, and an audit should be complete: they stay until somebody decides otherwise.
-- Sidekiq keeps dead jobs for six months.
insert into lockstep_internal.retained (what, keep, in_table, since, which)
values ('feature_audit', null, 'lockstep.feature_audit', 'changed_at', 'true'),
       ('dead_job', interval '6 months', 'lockstep_internal.job', 'died_at', $$status = 'dead'$$);

-- A separate table, so that a dump contains the settings and not the extension's own rows.
create table lockstep_internal.retention (
  what text not null
    constraint retention_pkey primary key
    constraint retention_what_check check (pg_catalog.length(what) <= 63),
  -- Null: forever.
  keep interval
    constraint retention_keep_check check (keep > interval '0')
);
comment on table lockstep_internal.retention is 'how long records are kept, where it differs from the default; written by lockstep.set_retention';
select pg_catalog.pg_extension_config_dump('lockstep_internal.retention', '');

create view lockstep.retentions as
select d.what, case when r.what is null then d.keep else r.keep end as keep
  from lockstep_internal.retained d left join lockstep_internal.retention r on r.what = d.what;
comment on view lockstep.retentions is 'how long records are kept, null meaning forever; lockstep.sweep removes older ones';
comment on column lockstep.retentions.what is 'kind of record';
comment on column lockstep.retentions.keep is 'how long it is kept; null means forever';
grant select on lockstep.retentions to public;
