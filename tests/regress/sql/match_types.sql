-- A match compares columns of any built-in type with an equality operator to constants.
create schema types;
set search_path = types, public;
create type mood as enum ('calm', 'it''s "odd"\');
create domain positive as integer check (value > 0);
create table target (id bigint primary key, cached boolean);
insert into target values (1);
create table source (
  id bigint generated always as identity primary key,
  key bigint references target,
  text text, "varchar" varchar, "limited" varchar(3), "char" char(5), "name" name,
  yes boolean, no boolean,
  "smallint" smallint, "integer" integer, "bigint" bigint, "numeric" numeric, "double" double precision,
  enum mood, domain positive, uuid uuid, "date" date, "timestamp" timestamp, bytea bytea, bits bit(3), "array" integer[],
  generated boolean generated always as ("integer" > 5) stored
);
create index on source (key);
insert into source (key) values (1);

-- Defines cached by one column, then makes the row match, stop matching, match again, and deletes it.
create function try(match jsonb, matching text, other text) returns text language plpgsql as $$
declare
  "column" text := (select quote_ident(c) from jsonb_object_keys(match) c);
  answer text := '';
  value text;
begin
  perform lockstep.add_cache_column('target', 'cached', 'source', 'key', match);
  foreach value in array array[other, matching, other, matching, 'null', matching] loop
    execute format('update source set %s = %s', "column", value);
    answer := answer || (select case when cached then 't' else 'f' end from target);
  end loop;
  delete from source;
  answer := answer || (select case when cached then 't' else 'f' end from target);
  execute format('insert into source (key, %s) values (1, %s)', "column", matching);
  answer := answer || (select case when cached then 't' else 'f' end from target)
    || case when exists (select from lockstep.cache_column_drift('target', 'cached')) then ' and drift' else '' end;
  perform lockstep.remove_cache_column('target', 'cached');
  delete from source;
  insert into source (key) values (1);
  update target set cached = false;
  return answer;
end $$;

-- All should return ftftftft.
select try('{"text": "a"}', $$'a'$$, $$'A'$$) as text;
select try('{"text": ""}', $$''$$, $$' '$$) as empty_text;
select try('{"text": "true"}', $$'true'$$, $$'t'$$) as text_that_looks_boolean;
select try('{"text": "it''s a \"quote\" and a \\ backslash \\n $$ %s $1"}', $$'it''s a "quote" and a \ backslash \n $'||'$ %s $1'$$, $$'its'$$) as quotes;
select try('{"text": "snow ☃ 😀"}', $$'snow ☃ 😀'$$, $$'snow'$$) as unicode;
select try(jsonb_build_object('text', repeat('long ', 100000)), $$repeat('long ', 100000)$$, $$'long'$$) as long;
select try('{"varchar": "a"}', $$'a'$$, $$'b'$$) as varchar;
select try('{"limited": "abc"}', $$'abc'$$, $$'ab'$$) as limited;
select try('{"char": "ab"}', $$'ab   '$$, $$'abc'$$) as "char";
select try('{"name": "ab"}', $$'ab'$$, $$'abc'$$) as name;
select try('{"yes": true}', 'true', 'false') as true;
select try('{"no": false}', 'false', 'true') as false;
select try('{"smallint": -3}', '-3', '3') as smallint;
select try('{"integer": 2147483647}', '2147483647', '0') as integer;
select try('{"bigint": 9223372036854775807}', '9223372036854775807', '9223372036854775806') as bigint;
select try('{"bigint": -9223372036854775808}', '-9223372036854775808', '0') as smallest_bigint;
select try('{"numeric": 1.10}', '1.1', '1.11') as numeric;
select try('{"numeric": 12345678901234567890.5}', '12345678901234567890.5', '12345678901234567000') as long_numeric;
select try('{"double": 0.1}', '0.1', '0.2') as double;
select try('{"enum": "it''s \"odd\"\\"}', $$'it''s "odd"\'$$, $$'calm'$$) as enum;
select lockstep.add_cache_column('target', 'cached', 'source', 'key', '{"domain": 7}');
select try('{"uuid": "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"}', $$'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'$$, $$'00000000-0000-0000-0000-000000000000'$$) as uuid;
select try('{"date": "2024-02-29"}', $$'2024-02-29'$$, $$'2024-03-01'$$) as date;
select try('{"timestamp": "2024-02-29 12:00"}', $$'2024-02-29 12:00'$$, $$'2024-02-29'$$) as timestamp;
select try('{"bytea": "\\x00ff"}', $$'\x00ff'$$, $$'\xff'$$) as bytea;
select try('{"bits": "101"}', $$b'101'$$, $$b'100'$$) as bits;
select try('{"array": "{1,2}"}', $$'{1,2}'$$, $$'{2,1}'$$) as "array";

-- A generated column changes with the columns it is computed from.
select lockstep.add_cache_column('target', 'cached', 'source', 'key', '{"generated": true}') > 0 as added;
update source set "integer" = 6;
table target;
update source set "integer" = 5;
table target;
select lockstep.remove_cache_column('target', 'cached');

-- Several columns: all must match.
select lockstep.add_cache_column('target', 'cached', 'source', 'key', '{"yes": true, "no": false, "text": "a", "integer": 1}') > 0 as added;
update source set yes = true, no = false, text = 'a', "integer" = 2;
table target;
update source set "integer" = 1;
table target;
update source set no = true;
table target;
select lockstep.remove_cache_column('target', 'cached');

-- A constant keeps the meaning it had when it was defined, in every session and under any settings.
alter table source add column moment timestamptz;
set timezone = 'America/New_York';
set datestyle = 'iso, dmy';
select lockstep.add_cache_column('target', 'cached', 'source', 'key', '{"moment": "2024-01-01 00:00", "date": "02/03/2024"}') > 0 as added;
\c
set search_path = types;
set timezone = 'Asia/Tokyo';
set datestyle = 'iso, mdy';
update source set moment = '2024-01-01 00:00-05', date = '2024-03-02';
table target;
select * from lockstep.cache_column_drift('target', 'cached');
select lockstep.remove_cache_column('target', 'cached');

set client_min_messages = warning;
drop schema types cascade;
