-- A type from an extension is refused: its code would run with every write. (The other expected file is for servers without
-- citext.)
select count(*) = 0 as citext_is_missing from pg_available_extensions where name = 'citext' \gset
\if :citext_is_missing
  \q
\endif
create schema ci;
create extension citext schema ci;
create table ci.target (id bigint primary key, cached boolean);
create table ci.source (key bigint references ci.target, kind ci.citext);
create index on ci.source (key);
select lockstep.add_cache_column('ci.target', 'cached', 'ci.source', 'key', '{"kind": "Wiki"}') > 0 as added;
set client_min_messages = warning;
drop schema ci cascade;
