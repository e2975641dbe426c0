create view lockstep.features as
select f.schema, f.name, f.state, f.percentage_of_actors, f.percentage_of_time, f.actors, f.opted_out, f.groups, f.type,
       f.default_enabled, f.created_at, f.updated_at
  from lockstep.list_features() f;
comment on view lockstep.features is
  'feature flags of all schemas whose flags the caller may read, and those that are only defined, which have no schema';
grant select on lockstep.features to public;
