-- A case-insensitive type compares by its own operator. (The other expected file is for a server without citext.)
select count(*) = 0 as citext_is_missing from pg_available_extensions where name = 'citext' \gset
\if :citext_is_missing
  \q
\endif
create schema ci;
create extension citext schema ci;
create table ci.target (id bigint primary key, cached boolean);
create table ci.source (key bigint references ci.target, kind ci.citext);
create index on ci.source (key);
-- The schema of the type and its operator is not on the search path.
select lockstep.add_cache_column('ci.target', 'cached', 'ci.source', 'key', '{"kind": "Wiki"}') > 0 as added;
insert into ci.target values (1);
insert into ci.source values (1, 'wIKI');
table ci.target;
update ci.source set kind = 'WIKI';
table ci.target;
update ci.source set kind = 'wik';
table ci.target;
select * from lockstep.cache_column_drift('ci.target', 'cached');
select lockstep.remove_cache_column('ci.target', 'cached');
set client_min_messages = warning;
drop schema ci cascade;
