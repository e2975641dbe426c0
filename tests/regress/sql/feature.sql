-- Feature flags: what the functions return, store and refuse.
\pset null null
create schema flags;
set search_path = flags;
select * from lockstep.attach('flags') where feature = 'feature_flags';
select * from lockstep.attach('flags') where feature = 'feature_flags';
create view gates as select feature_key, key, value from flags.feature_gates order by feature_key, key, value;
create function flag(name text, actor text default null) returns boolean language sql as $$
  select lockstep.feature_enabled(name, actor, 'flags')
$$;

-- neither set nor defined
select flag('f'), flag('f', 'User:1');
-- boolean: on removes all gates, and so does off; the flag stays
select lockstep.set_feature_percentage('f', 10, schema => 'flags');
select lockstep.enable_feature_for('f', 'User:1', 'flags');
select lockstep.enable_feature_for('f', 'User:1', 'flags');
table gates;
select flag('f'), flag('f', 'User:1');
select lockstep.set_feature('f', true, 'flags');
table gates;
select flag('f'), flag('f', 'User:1');
select lockstep.set_feature('f', false, 'flags');
table gates;
select key from features;
select flag('f'), flag('f', 'User:1');

-- percentage of actors: the vectors crc32('some_featureUser:1') = 4054109890 and crc32('some_featureGroup:1') = 2227455842
select lockstep.set_feature_percentage('some_feature', p, schema => 'flags'), flag('some_feature', 'User:1') as user,
       flag('some_feature', 'Group:1') as group, flag('some_feature') as nobody
  from unnest(array[9.89]) p;
select lockstep.set_feature_percentage('some_feature', 9.890, schema => 'flags');
select flag('some_feature', 'User:1') as user, flag('some_feature', 'Group:1') as group, flag('some_feature') as nobody;
select lockstep.set_feature_percentage('some_feature', 9.891, schema => 'flags');
select flag('some_feature', 'User:1') as user, flag('some_feature', 'Group:1') as group, flag('some_feature') as nobody;
select lockstep.set_feature_percentage('some_feature', 55.843, schema => 'flags');
select flag('some_feature', 'User:1') as user, flag('some_feature', 'Group:1') as group, flag('some_feature') as nobody;
table gates;
-- a whole number has no decimal point; 0 is a value too
select lockstep.set_feature_percentage('some_feature', 25.000, schema => 'flags');
select lockstep.set_feature_percentage('some_feature', 0, 'time', 'flags');
table gates;
select lockstep.set_feature_percentage('some_feature', 0, schema => 'flags');
select lockstep.set_feature_percentage('some_feature', 100, 'time', 'flags');
select bool_and(flag('some_feature')), bool_and(flag('some_feature', 'User:' || n)) from generate_series(1, 100) n;
table gates;

-- fully on: no percentage, no selective disable
select lockstep.set_feature('on', true, 'flags');
select lockstep.set_feature_percentage('on', 50, schema => 'flags');
\echo :SQLSTATE
select lockstep.set_feature_percentage('some_feature', 50, 'time', 'flags');
\echo :SQLSTATE
select lockstep.disable_feature_for('on', 'User:1', 'flags');
\echo :SQLSTATE
select lockstep.disable_feature_for_group('on', 'staff', 'flags');
\echo :SQLSTATE

-- opting out
select lockstep.opt_out_of_feature('on', 'User:1', 'flags');
select flag('on'), flag('on', 'User:1'), flag('on', 'User:2');
select lockstep.enable_feature_for('on', 'User:1', 'flags');
\echo :SQLSTATE
select lockstep.remove_feature_opt_out('on', 'User:2', 'flags');
\echo :SQLSTATE
select lockstep.remove_feature_opt_out('on', 'User:1', 'flags');
select flag('on', 'User:1');

-- groups
create function is_even(actor text) returns boolean language sql as $$ select substring(actor from '\d+')::integer % 2 = 0 $$;
select lockstep.enable_feature_for_group('grouped', 'even', 'flags');
select lockstep.register_feature_group('even', 'is_even(text)');
select lockstep.enable_feature_for_group('grouped', 'even', 'flags');
select flag('grouped'), flag('grouped', 'User:2'), flag('grouped', 'User:3');
select lockstep.disable_feature_for_group('grouped', 'even', 'flags');
select flag('grouped', 'User:2');
select lockstep.register_feature_group('odd', 'lower(text)');
\echo :SQLSTATE
select lockstep.register_feature_group('odd', 'flag(text, text)');
\echo :SQLSTATE
select lockstep.unregister_feature_group('even');
select lockstep.unregister_feature_group('even');
\echo :SQLSTATE

-- defaults: any row of the flag overrides them, even an empty one
select lockstep.define_feature('standard', true, 'beta');
select flag('standard'), flag('standard', 'User:1');
select lockstep.set_feature('standard', false, 'flags');
select flag('standard'), flag('standard', 'User:1');
select lockstep.remove_feature('standard', 'flags');
select flag('standard');
-- Whoever changes it for one changes it for nobody else.
select lockstep.enable_feature_for('standard', 'User:1', 'flags');
select flag('standard'), flag('standard', 'User:1');
select lockstep.remove_feature('standard', 'flags');
select lockstep.define_feature('new', true);
\echo :SQLSTATE
select lockstep.define_feature('new', true, 'experiment');
\echo :SQLSTATE
select lockstep.define_feature('new', true, 'toggle');
\echo :SQLSTATE
select lockstep.define_feature('rename_integrations_workers', true, 'ops');
\echo :SQLSTATE
select lockstep.undefine_feature('new');
\echo :SQLSTATE

-- values that the application or another writer has stored
insert into feature_gates (feature_key, key, value, created_at, updated_at)
select f.name, f.key, f.value, now(), now()
  from (values ('one', 'boolean', '1'), ('yes', 'boolean', 'yes'), ('none', 'boolean', null),
               ('all', 'percentage_of_actors', '100'), ('more', 'percentage_of_actors', ' 100.5 %'), ('word', 'percentage_of_actors', 'all'),
               ('less', 'percentage_of_actors', '-5'), ('whole', 'percentage_of_actors', '100abc'), ('half', 'percentage_of_actors', '.5'),
               ('future', 'expression', '{}')) f (name, key, value);
select g.feature_key, g.value, flag(g.feature_key, 'User:1') from feature_gates g
 where g.feature_key in ('one', 'yes', 'none', 'all', 'more', 'word', 'less', 'whole', 'half', 'future') order by g.id;
delete from feature_gates where feature_key in ('one', 'yes', 'none', 'all', 'more', 'word', 'less', 'whole', 'half', 'future');

-- the view, and who changed what
select schema, name, state, percentage_of_actors as actors_percentage, percentage_of_time, actors, opted_out, groups, type, default_enabled
  from lockstep.features where schema = 'flags' or name = 'standard' order by name;
select feature, change, gate, before, after, role = current_user as is_me, schema
  from lockstep.feature_audit where feature in ('f', 'on') and schema = 'flags' order by id;
update feature_gates set value = '30' where feature_key = 'some_feature' and key = 'percentage_of_time';
update feature_gates set updated_at = now();
update features set key = 'renamed' where key = 'f';
truncate feature_gates;
select feature, change, gate, before, after from lockstep.feature_audit where schema = 'flags' order by id desc limit 4;
select lockstep.remove_feature('renamed', 'flags');
select lockstep.remove_feature('renamed', 'flags');
\echo :SQLSTATE

-- refusals
select lockstep.feature_enabled('');
\echo :SQLSTATE
select lockstep.feature_enabled(null);
\echo :SQLSTATE
select lockstep.set_feature('', true, 'flags');
\echo :SQLSTATE
select lockstep.set_feature(repeat('x', 256), true, 'flags');
\echo :SQLSTATE
select lockstep.set_feature('f', true, 'nowhere');
\echo :SQLSTATE
select lockstep.set_feature('f', true, 'lockstep');
\echo :SQLSTATE
-- a percentage keeps it on for an actor, unless it has opted out
select lockstep.set_feature_percentage('shared', 100, schema => 'flags');
select lockstep.disable_feature_for('shared', 'User:1', 'flags');
select lockstep.opt_out_of_feature('shared', 'User:1', 'flags');
select lockstep.disable_feature_for('shared', 'User:1', 'flags');
select lockstep.set_feature_percentage('f', p, schema => 'flags') from unnest(array[-1]) p;
\echo :SQLSTATE
select lockstep.set_feature_percentage('f', 100.001, schema => 'flags');
\echo :SQLSTATE
select lockstep.set_feature_percentage('f', 0.0001, schema => 'flags');
\echo :SQLSTATE
select lockstep.set_feature_percentage('f', 'nan', schema => 'flags');
\echo :SQLSTATE
select lockstep.set_feature_percentage('f', 5, 'people', 'flags');
\echo :SQLSTATE
select lockstep.enable_feature_for('f', 'everybody', 'flags');
\echo :SQLSTATE
select lockstep.enable_feature_for('f', 'User:', 'flags');
\echo :SQLSTATE
select lockstep.enable_feature_for('f', 'User:1:opt_out', 'flags');
\echo :SQLSTATE
select lockstep.enable_feature_for('f', 'Organizations::Organization:1', 'flags');
alter table feature_gates disable trigger lockstep_feature_audit;
select lockstep.set_feature('f', true, 'flags');
\echo :SQLSTATE
select * from lockstep.attach('flags') where feature = 'feature_flags';
select * from lockstep.detach('flags') where feature = 'feature_flags';
select lockstep.set_feature('f', true, 'flags');
\echo :SQLSTATE
drop table feature_gates cascade;
select * from lockstep.attach('flags') where feature = 'feature_flags';
select flag('standard'), flag('f');
select lockstep.undefine_feature('standard');
set client_min_messages = warning;
drop schema flags cascade;
