-- What attach and add_cache_column of 0.1.0 made, on the host's tables: taken from a database of that version.
insert into lockstep.cache_column_definition (id, target_table, target_column, source_table, key_column, match, guard, origin)
values (1, 'projects', 'has_external_wiki', 'integrations', 'project_id', '{"active": true, "type_new": "Integrations::ExternalWiki"}', false, 'attach'),
       (2, 'projects', 'has_external_issue_tracker', 'integrations', 'project_id', '{"active": true, "category": "issue_tracker"}', false, 'attach'),
       (3, 'projects', 'has_chat', 'integrations', 'project_id', '{"category": "chat"}', true, 'add_cache_column');
select setval('lockstep.cache_column_definition_id_seq', 3);

create trigger lockstep_1_default before insert on projects for each row when (new.has_external_wiki is null)
  execute function lockstep.set_false_on_insert('1');
create trigger lockstep_2_default before insert on projects for each row when (new.has_external_issue_tracker is null)
  execute function lockstep.set_false_on_insert('2');
create trigger lockstep_3_default before insert on projects for each row when (new.has_chat is not false)
  execute function lockstep.set_false_on_insert('3');
create trigger lockstep_3_guard after update of has_chat on projects for each row when ((old.has_chat = new.has_chat) is not true)
  execute function lockstep.note_arrived('3');
create trigger lockstep_flush after update of has_chat on projects for each statement execute function lockstep.flush();

create trigger lockstep_1_inserted after insert on integrations for each row
  when (new.active and new.type_new = 'Integrations::ExternalWiki') execute function lockstep.note_gained('1');
create trigger lockstep_1_gained after update of active, project_id, type_new on integrations for each row
  when (new.active and new.type_new = 'Integrations::ExternalWiki') execute function lockstep.note_gained('1');
create trigger lockstep_1_lost after update of active, project_id, type_new on integrations for each row
  when (old.active and old.type_new = 'Integrations::ExternalWiki') execute function lockstep.note_lost('1');
create trigger lockstep_1_deleted after delete on integrations for each row
  when (old.active and old.type_new = 'Integrations::ExternalWiki') execute function lockstep.note_lost('1');
create trigger lockstep_2_inserted after insert on integrations for each row
  when (new.active and new.category = 'issue_tracker') execute function lockstep.note_gained('2');
create trigger lockstep_2_gained after update of active, category, project_id on integrations for each row
  when (new.active and new.category = 'issue_tracker') execute function lockstep.note_gained('2');
create trigger lockstep_2_lost after update of active, category, project_id on integrations for each row
  when (old.active and old.category = 'issue_tracker') execute function lockstep.note_lost('2');
create trigger lockstep_2_deleted after delete on integrations for each row
  when (old.active and old.category = 'issue_tracker') execute function lockstep.note_lost('2');
create trigger lockstep_3_inserted after insert on integrations for each row
  when (new.category = 'chat') execute function lockstep.note_gained('3');
create trigger lockstep_3_gained after update of category, project_id on integrations for each row
  when (new.category = 'chat') execute function lockstep.note_gained('3');
create trigger lockstep_3_lost after update of category, project_id on integrations for each row
  when (old.category = 'chat') execute function lockstep.note_lost('3');
create trigger lockstep_3_deleted after delete on integrations for each row
  when (old.category = 'chat') execute function lockstep.note_lost('3');
create trigger lockstep_flush after insert or delete or update of active, category, project_id, type_new on integrations
  for each statement execute function lockstep.flush();
create trigger lockstep_truncated after truncate on integrations for each statement execute function lockstep.flush_truncated();
