-- A cache column on any two tables: here authors, and whether they have a published book.
\pset null null
create schema library;
set search_path = library;
create table authors (id integer generated always as identity primary key, name text, is_published boolean);
create table books (id bigint primary key, author_id integer references authors on delete cascade, state text, title text);
create index on books (author_id);
insert into authors (name) values ('Ada'), ('Bob');
insert into books values (1, 1, 'published', 'One'), (2, 2, 'draft', 'Two');

alter table lockstep_internal.cache_column_definition alter column id restart;
select lockstep.add_cache_column('authors', 'is_published', source => 'books', key => 'author_id', match => '{"state": "published"}');
select * from lockstep.cache_columns;

-- Existing values are checked on request.
select * from lockstep.cache_column_drift('authors', 'is_published') order by key;
select lockstep.repair_cache_column('authors', 'is_published');
select * from authors order by id;

-- Changes from now on are maintained.
update books set state = 'published' where id = 2;
update books set author_id = 2 where id = 1;
insert into authors (name) values ('Cem');
select * from authors order by id;
delete from books;
select * from authors order by id;

-- Other columns of the source cost nothing: no trigger fires for them.
insert into books values (3, 3, 'published', 'Three');
create temporary table before as select id, ctid as version from authors;
update books set title = 'Drei';
select count(*) as written from authors a join before b using (id) where a.ctid <> b.version;

-- One definition per column. It can only be replaced after it has been removed.
select lockstep.add_cache_column('authors', 'is_published', 'books', 'author_id', '{"state": "printed"}');
\echo :SQLSTATE
select lockstep.remove_cache_column('authors', 'is_published');
select lockstep.add_cache_column('authors', 'is_published', 'books', 'author_id', '{"state": "printed"}');
select match, state from lockstep.cache_columns;

-- A rollback leaves nothing behind, and the triggers work in the transaction that creates them.
begin;
select lockstep.remove_cache_column('authors', 'is_published');
update books set state = 'printed';
select lockstep.add_cache_column('authors', 'is_published', 'books', 'author_id', '{"state": "sold"}');
update books set state = 'sold';
select * from authors where id = 3;
rollback;
select match, state from lockstep.cache_columns;
update books set state = 'printed';
select * from authors where id = 3;
update books set state = 'lost';
select * from authors where id = 3;

-- remove keeps the column and its values, and no trigger.
update books set state = 'printed';
select lockstep.remove_cache_column('authors', 'is_published');
select * from authors order by id;
delete from books;
select * from authors order by id;
select count(*) as triggers from pg_trigger where tgname ~ 'lockstep';
select lockstep.remove_cache_column('authors', 'is_published');
\echo :SQLSTATE

set client_min_messages = warning;
drop schema library cascade;
