insert into lockstep_internal.cache_column_definition (id, target_table, target_column, source_table, key_column, match, guard, fire_always, origin,
                                              disabled_triggers, created_at, target_name, source_name)
select d.id, d.target_table, d.target_column, d.source_table, d.key_column, d.match, d.guard, d.fire_always, d.origin, d.disabled_triggers, d.created_at,
       n.target, n.source
  from pg_catalog.jsonb_to_recordset(pg_catalog.current_setting('lockstep_script.definitions')::jsonb)
       as d (id integer, target_table regclass, target_column name, source_table regclass, key_column name, match jsonb, guard boolean,
             fire_always boolean, origin text, disabled_triggers name[], created_at timestamptz)
  cross join lateral (
    select coalesce(max(array[n.nspname, c.relname]) filter (where c.oid operator(pg_catalog.=) d.target_table), '{}'),
           coalesce(max(array[n.nspname, c.relname]) filter (where c.oid operator(pg_catalog.=) d.source_table), '{}')
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) c.relnamespace
     where c.oid in (d.target_table, d.source_table)) n (target, source);
select pg_catalog.setval('lockstep_internal.cache_column_definition_id_seq', pg_catalog.current_setting('lockstep_script.next_definition')::bigint, false);
select lockstep_internal.mend_cache_columns();
