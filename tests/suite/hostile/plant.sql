-- How the things in things.rs are planted. All run with a search path that does not contain what they plant.

create procedure mallory.on_bases(statement text) language plpgsql as $$
declare
  found record;
  planted integer := 0;
begin
  for found in
    select c.oid::regclass as t, regexp_replace(c.relname, '_base$', '') as n, quote_ident(a.attname) as c
      from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum = 1
     where c.relnamespace = 'mallory'::regnamespace and c.relkind = 'r' and c.relname ~ '[^0-9]_base$' and c.relowner = current_user::regrole
  loop
    begin
      execute replace(replace(replace(statement, '{t}', found.t::text), '{n}', found.n), '{c}', found.c);
      planted := planted + 1;
    exception when others then
      raise log 'not planted: % on %: %', statement, found.t, sqlerrm;
    end;
  end loop;
  if planted = 0 then
    raise exception 'planted nowhere: %', statement;
  end if;
end $$;

create procedure mallory.domains(type regtype) language plpgsql as $$
begin
  call mallory.on_columns(type, format($s$
    create domain {d} as %s check (mallory.evil('domain of {n}') or value is not null);
    alter table {t} alter {c} type {d}$s$, type));
end $$;

-- Texts become enums of their values, which our functions cast to text and compare.
create procedure mallory.enums(type regtype) language plpgsql as $$
begin
  call mallory.on_columns(type, $s$
    do $do$ begin
      execute 'create type {d} as enum (' || (select string_agg(distinct quote_literal(v), ', ') from (
        select left({c}::text, 60) from {t} where {c} is not null
        union all select unnest('{yes,no,Integrations::Prometheus,monitoring,chat,T2,U2,B2,boolean,actors,groups,new,more}'::text[])) v (v)) || ')';
    end $do$;
    alter table {t} alter {c} drop default;
    alter table {t} alter {c} type {d} using {c}::text::{d};
    create function mallory.text({d}) returns text language plpgsql immutable as $do$ begin perform mallory.evil('cast of {n}'); return enum_out($1); end $do$;
    create function mallory.varchar({d}) returns varchar language plpgsql immutable as $do$ begin perform mallory.evil('cast of {n}'); return enum_out($1); end $do$;
    create function mallory.from_text(text, {d}) returns {d} language plpgsql immutable as $do$ begin perform mallory.evil('cast of {n}'); return enum_in($1::cstring, '{d}'::regtype); end $do$;
    create function mallory.to_enum_{n}_{c}(text) returns {d} language plpgsql immutable as $do$ begin perform mallory.evil('cast of {n}'); execute format('select %L::{d}', $1) into $1; return $1; end $do$;
    create cast ({d} as text) with function mallory.text({d}) as implicit;
    create cast ({d} as varchar) with function mallory.varchar({d}) as implicit;
    create cast (text as {d}) with function mallory.to_enum_{n}_{c}(text) as implicit;
    create function mallory.same({d}, {d}) returns boolean language plpgsql immutable as $do$ begin perform mallory.evil('operator of {n}'); return enum_eq($1, $2); end $do$;
    create function mallory.less({d}, {d}) returns boolean language plpgsql immutable as $do$ begin perform mallory.evil('operator of {n}'); return enum_lt($1, $2); end $do$;
    create function mallory.less_or_same({d}, {d}) returns boolean language plpgsql immutable as $do$ begin perform mallory.evil('operator of {n}'); return enum_le($1, $2); end $do$;
    create function mallory.more({d}, {d}) returns boolean language plpgsql immutable as $do$ begin perform mallory.evil('operator of {n}'); return enum_gt($1, $2); end $do$;
    create function mallory.more_or_same({d}, {d}) returns boolean language plpgsql immutable as $do$ begin perform mallory.evil('operator of {n}'); return enum_ge($1, $2); end $do$;
    create function mallory.compared({d}, {d}) returns integer language plpgsql immutable as $do$ begin perform mallory.evil('operator class of {n}'); return enum_cmp($1, $2); end $do$;
    create function mallory.hashed({d}) returns integer language plpgsql immutable as $do$ begin perform mallory.evil('operator class of {n}'); return hashenum($1); end $do$;
    create function mallory.same_text({d}, text) returns boolean language plpgsql immutable as $do$ begin perform mallory.evil('operator of {n}'); return enum_out($1)::text = $2; end $do$;
    create operator mallory.= (leftarg = {d}, rightarg = {d}, function = mallory.same, hashes, merges);
    create operator mallory.< (leftarg = {d}, rightarg = {d}, function = mallory.less);
    create operator mallory.<= (leftarg = {d}, rightarg = {d}, function = mallory.less_or_same);
    create operator mallory.> (leftarg = {d}, rightarg = {d}, function = mallory.more);
    create operator mallory.>= (leftarg = {d}, rightarg = {d}, function = mallory.more_or_same);
    create operator mallory.= (leftarg = {d}, rightarg = text, function = mallory.same_text)$s$);
end $$;

-- Only a superuser can create these.
create procedure mallory.operator_classes() language plpgsql as $$
declare
  of text;
begin
  for of in select t.oid::regtype::text from pg_type t where t.typnamespace = 'mallory'::regnamespace and t.typtype = 'e' loop
    execute format(
      'create operator class mallory.%1$I default for type %2$s using btree as operator 1 mallory.< (%2$s, %2$s), operator 2 mallory.<= (%2$s, %2$s),
         operator 3 mallory.= (%2$s, %2$s), operator 4 mallory.>= (%2$s, %2$s), operator 5 mallory.> (%2$s, %2$s), function 1 mallory.compared(%2$s, %2$s);
       create operator class mallory.%1$I default for type %2$s using hash as operator 1 mallory.= (%2$s, %2$s), function 1 mallory.hashed(%2$s)',
      'of ' || of, of);
  end loop;
end $$;

create procedure mallory.foreign_tables() language plpgsql as $$
declare
  t record;
  file text;
begin
  for t in select c.oid, c.relname from pg_class c where c.relnamespace = 'mallory'::regnamespace and c.relkind = 'r' and c.relname not in ('trap') loop
    file := format('%s/hostile_%s_%s.csv', current_setting('data_directory'), (select oid from pg_database where datname = current_database()), t.relname);
    execute format('copy mallory.%I to %L csv', t.relname, file);
    execute format('alter table mallory.%I rename to %I', t.relname, t.relname || '_base');
    execute format('create domain mallory.%I as text check (mallory.evil(%L) or value is not null)', 'of_' || t.relname, 'domain of ' || t.relname);
    execute (
      select format('create foreign table mallory.%I (%s) server evil options (filename %L, format ''csv'')', t.relname,
                    string_agg(format('%I %s', a.attname, case when a.atttypid in ('text'::regtype, 'varchar'::regtype) then format('mallory.%I', 'of_' || t.relname)
                                                               else format_type(a.atttypid, a.atttypmod) end), ', ' order by a.attnum), file)
        from pg_attribute a where a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped);
    execute format('create trigger evil before insert or update or delete on mallory.%I for each row execute function mallory.evil_row()', t.relname);
    execute format('alter table mallory.%I owner to hostile_mallory', t.relname);
  end loop;
end $$;

create procedure mallory.shadows() language plpgsql as $$
declare
  of text[]; operator text; function text;
begin
  -- They must not trap themselves.
  foreach function in array array['saw(text)', 'spring()', 'as_none(text)', 'evil(text)', 'evil_of(anyelement, text)', 'evil_row()', 'in_group(text)'] loop
    execute format('alter function mallory.%s set search_path = pg_catalog', function);
  end loop;
  foreach of slice 1 in array array[
      ['bigint', 'bigint'], ['integer', 'integer'], ['integer', 'bigint'], ['bigint', 'integer'], ['text', 'text'], ['boolean', 'boolean'],
      ['varchar', 'varchar'], ['varchar', 'text'], ['text', 'varchar'], ['oid', 'oid'], ['name', 'name'], ['name', 'text'], ['smallint', 'smallint'],
      ['regclass', 'regclass'], ['oid', 'regclass'], ['bytea', 'bytea'], ['timestamptz', 'timestamptz'], ['anyelement', 'anyelement'], ['anyarray', 'anyarray']] loop
    foreach operator in array array['=', '<>', '<', '>', '<=', '>=', '~', '||'] loop
      execute format('create function mallory.%I(%s, %s) returns boolean language plpgsql set search_path = pg_catalog as %L',
                     'operator ' || operator, of[1], of[2], format('begin return mallory.evil(%L); end', 'operator ' || operator || of[1]));
      execute format('create operator mallory.%s (leftarg = %s, rightarg = %s, function = mallory.%I)', operator, of[1], of[2], 'operator ' || operator);
    end loop;
  end loop;
  foreach function in array array[
      'count(boolean)', 'unnest(bigint[])', 'unnest(anyarray)', 'format(text, text)', 'format(text, text, text)', 'quote_ident(text)',
      'quote_literal(text)', 'array_agg(bigint)', 'jsonb_agg(jsonb)', 'to_jsonb(anyelement)', 'text(name)', 'pg_has_role(name, oid, text)',
      'pg_has_role(oid, text)', 'pg_partition_ancestors(regclass)', 'int8(bigint)', 'text(boolean)', 'varchar(text)', 'current_schema()', 'lower(text)',
      'coalesce(text, text)', 'cardinality(anyarray)', 'now()', 'greatest(bigint, bigint)', 'clock_timestamp()', 'string_agg(text, text)'] loop
    execute format('create function mallory.%s returns boolean language plpgsql set search_path = pg_catalog as %L',
                   case when function like 'coalesce%' or function like 'greatest%' then '"' || split_part(function, '(', 1) || '"(' || split_part(function, '(', 2) else function end,
                   format('begin return mallory.evil(%L); end', function));
  end loop;
end $$;

-- One of each kind that does not keep the others from being reached.
create procedure mallory.all_kinds() language plpgsql as $$
begin
  call mallory.domains('text');
  call mallory.domains('varchar');
  call mallory.on_tables($s$alter table {t} add constraint evil check (mallory.evil_of({c}, 'check of {n}'))$s$);
  call mallory.on_tables($s$create index on {t} (mallory.evil_of({c}, 'index expression of {n}'))$s$);
  call mallory.on_tables($s$create trigger zz_evil after insert or update or delete on {t} for each row execute function mallory.evil_row()$s$);
  call mallory.on_tables($s$create trigger zy_evil before insert or update or delete on {t} for each statement execute function mallory.evil_row()$s$);
  call mallory.on_tables($s$alter table {t} enable row level security$s$);
  call mallory.on_tables($s$create policy evil on {t} using (mallory.evil('policy of {n}'))$s$);
end $$;
