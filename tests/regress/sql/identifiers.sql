-- Names that need quoting: mixed case, spaces, reserved words, quotes, backslashes, and the maximum length.
create schema "Weird ""Schema""";
set search_path = "Weird ""Schema""";
create table "Group" (
  "primary" bigint primary key,
  "Has ""Wiki""?" boolean,
  "it's \cached\" boolean,
  "a_name_of_sixty_three_bytes_which_is_the_longest_there_can_be__" boolean
);
create table "order" (
  "id" bigint primary key,
  "select" bigint references "Group" on delete cascade,
  "Is; drop table ""Group""" boolean,
  "where" text
);
create index on "order" ("select");

select lockstep.add_cache_column('"Group"', 'Has "Wiki"?', '"order"', 'select', '{"Is; drop table \"Group\"": true}') > 0 as added;
select lockstep.add_cache_column('"Group"', 'it''s \cached\', '"order"', 'select', '{"where": "it''s \\ \"here\""}', guard => true) > 0 as added;
select lockstep.add_cache_column('"Group"', 'a_name_of_sixty_three_bytes_which_is_the_longest_there_can_be__', '"order"', 'select',
                                 '{"where": "a"}', fire_always => true) > 0 as added;
select target_table, target_column, source_table, key_column, match, state from lockstep.cache_columns order by id;

insert into "Group" values (1), (2);
insert into "order" values (1, 1, true, 'it''s \ "here"'), (2, 1, false, 'a'), (3, null, true, 'a');
select * from "Group" order by 1;
update "order" set "select" = 2 where id = 1;
update "Group" set "it's \cached\" = null;
select * from "Group" order by 1;
truncate "order";
select * from "Group" order by 1;

update "Group" set "Has ""Wiki""?" = true;
select * from lockstep.cache_column_drift('"Group"', 'Has "Wiki"?') order by key;
select lockstep.repair_cache_column('"Group"', 'Has "Wiki"?');
select * from lockstep.cache_column_drift('"Group"', 'Has "Wiki"?') order by key;

-- Messages quote names as in SQL, so that hints can be copied.
select lockstep.add_cache_column('"Group"', 'Has "Wiki"?', '"order"', 'select', '{"where": "b"}');
select lockstep.add_cache_column('"Group"', 'it''s \cached\', '"order"', 'select', '{"where": "b"}');
create table "No Index" ("Key" bigint, active boolean);
alter table "Group" add column "More" boolean;
select lockstep.add_cache_column('"Group"', 'More', '"No Index"', 'Key', '{"active": true}');

select lockstep.remove_cache_column('"Group"', 'Has "Wiki"?');
select lockstep.remove_cache_column('"Group"', 'it''s \cached\');
select lockstep.remove_cache_column('"Group"', 'a_name_of_sixty_three_bytes_which_is_the_longest_there_can_be__');
select count(*) as triggers from pg_trigger where tgname ~ 'lockstep';

-- attach in such a schema.
create table projects (id bigint primary key, has_external_wiki boolean, has_external_issue_tracker boolean);
create table integrations (id bigint primary key, project_id bigint, active boolean, category varchar, type_new text);
create index on integrations (project_id);
select * from lockstep.attach('Weird "Schema"');
select * from lockstep.detach('Weird "Schema"');

set client_min_messages = warning;
drop schema "Weird ""Schema""" cascade;
