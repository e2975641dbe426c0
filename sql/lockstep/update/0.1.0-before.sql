-- 0.1.0 only had cache columns. Its objects and its triggers on the application's tables are dropped and today's objects created;
-- then the definitions return, and with them their triggers. Nobody can write the tables in the meantime, so no change is missed.
select pg_catalog.set_config('lockstep_script.definitions', coalesce(pg_catalog.jsonb_agg(d)::text, '[]'), true) from lockstep.cache_column_definition d;
select pg_catalog.set_config('lockstep_script.next_definition', (s.last_value + s.is_called::integer)::text, true) from lockstep.cache_column_definition_id_seq s;

drop view lockstep.cache_columns;
drop function lockstep.cache_column_drift(regclass, text);
drop function lockstep.cache_column_drift_query(regclass, text);
drop function lockstep.add_cache_column(regclass, text, regclass, text, jsonb, boolean, boolean);
drop function lockstep.remove_cache_column(regclass, text);
drop function lockstep.repair_cache_column(regclass, text, bigint);
drop function lockstep.attach(text, boolean);
drop function lockstep.detach(text);
drop function lockstep.flush(), lockstep.flush_truncated(), lockstep.note_arrived(), lockstep.note_gained(), lockstep.note_lost(),
  lockstep.set_false_on_insert() cascade;
-- So that a dump no longer includes it.
alter extension lockstep drop sequence lockstep.cache_column_definition_id_seq;
alter extension lockstep drop table lockstep.cache_column_definition;
drop table lockstep.cache_column_definition;

-- The schema stays, and may have got privileges by default ones.
do $$
declare
  given text;
begin
  for given in
    select distinct case a.grantee when 0 then 'public' else a.grantee::pg_catalog.regrole::text end
      from pg_catalog.pg_namespace n, pg_catalog.aclexplode(n.nspacl) a
     where n.nspname operator(pg_catalog.=) 'lockstep' and a.grantee operator(pg_catalog.<>) n.nspowner
  loop
    execute pg_catalog.format('revoke all on schema lockstep from %s', given);
  end loop;
end
$$;
