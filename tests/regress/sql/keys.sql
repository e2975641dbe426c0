-- The source's key and the target's primary key are integers of any size.
create schema keys;
set search_path = keys;

-- Nine pairs of tables: target2_8 has a smallint primary key, its source a bigint key.
create procedure each_pair(command text) language plpgsql as $$
declare
  target text; source text;
begin
  foreach target in array array['smallint', 'integer', 'bigint'] loop
    foreach source in array array['smallint', 'integer', 'bigint'] loop
      execute replace(replace(replace(command, 'PAIR', target || '_' || source), 'TARGET', target), 'SOURCE', source);
    end loop;
  end loop;
end $$;
call each_pair('create table target_PAIR (id TARGET primary key, cached boolean);
                create table source_PAIR (key SOURCE, active boolean);
                create index on source_PAIR (key)');
call each_pair($$select lockstep.add_cache_column('target_PAIR', 'cached', 'source_PAIR', 'key', '{"active": true}')$$);
create table every_target (pair text, id bigint, cached boolean);
create procedure look() language plpgsql as $$
begin
  truncate every_target;
  call each_pair('insert into every_target select ''PAIR'', id, cached from target_PAIR');
end $$;
create view looked_at as
  select pair, string_agg(id || case when cached then ' true' else ' false' end, ', ' order by id) as rows
  from every_target group by pair order by pair;

call each_pair('insert into target_PAIR values (-32768), (0), (1), (32767)');
-- A single row, then several in one statement: a flush handles a single key differently.
call each_pair('insert into source_PAIR values (-32768, true)');
call each_pair('insert into source_PAIR values (0, true), (1, false), (32767, true)');
call look();
table looked_at;
call each_pair('update source_PAIR set key = 1 where key = 0');
call each_pair('delete from source_PAIR where key in (-32768, 32767)');
call look();
table looked_at;

-- The limits of the larger types, and a key too large for the target, which has no such row.
insert into target_bigint_bigint values (9223372036854775807), (-9223372036854775808);
insert into source_bigint_bigint values (9223372036854775807, true), (-9223372036854775808, true);
select * from target_bigint_bigint order by id;
insert into source_smallint_bigint values (65537, true), (4294967297, true);
insert into source_integer_bigint values (4294967297, true);
call look();
select * from looked_at where pair in ('smallint_bigint', 'integer_bigint');

-- Null belongs to no target, whether it is inserted, kept or deleted.
insert into source_bigint_bigint values (null, true), (null, false);
update source_bigint_bigint set active = not active where key is null;
update source_bigint_bigint set key = 0 where key is null and active;
select * from target_bigint_bigint where id = 0;
update source_bigint_bigint set key = null where key = 0;
select * from target_bigint_bigint where id = 0;
delete from source_bigint_bigint where key is null;

-- A null in a matched column does not match, nor does it match the opposite.
update source_bigint_bigint set key = 0, active = true where key = 1;
select * from target_bigint_bigint where id = 0;
update source_bigint_bigint set active = null where key = 0;
select * from target_bigint_bigint where id = 0;
update source_bigint_bigint set active = true where key = 0;
select * from target_bigint_bigint where id = 0;
update source_bigint_bigint set active = null, key = null where key = 0;
select * from target_bigint_bigint where id = 0;

call each_pair($$do 'begin if exists (select from lockstep.cache_column_drift(''keys.target_PAIR'', ''cached'')) then raise ''drift in PAIR''; end if; end'$$);
call each_pair($$select lockstep.remove_cache_column('target_PAIR', 'cached')$$);
set client_min_messages = warning;
drop schema keys cascade;
