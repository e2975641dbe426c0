create view lockstep.features as
select f.schema, f.name, f.state, f.percentage_of_actors, f.percentage_of_time, f.actors, f.opted_out, f.groups, f.type,
       f.default_enabled, f.created_at, f.updated_at, f.expression
  from lockstep_internal.list_features() f;
comment on view lockstep.features is
  'feature flags of all schemas that the caller may read, and flags that are only defined, which have no schema';
comment on column lockstep.features.schema is 'schema of the flag''s tables; null for a flag that is only defined';
comment on column lockstep.features.name is 'name of the flag';
comment on column lockstep.features.state is 'on: for everybody; off: for nobody; conditional: for some, or for those whom an expression selects';
comment on column lockstep.features.percentage_of_actors is 'percentage of the actors that it is on for';
comment on column lockstep.features.percentage_of_time is 'percentage of the questions that are answered with yes';
comment on column lockstep.features.actors is 'actors that it is on for';
comment on column lockstep.features.opted_out is 'actors that it is off for, whatever else is set';
comment on column lockstep.features.groups is 'groups of actors that it is on for';
comment on column lockstep.features.type is 'type given to lockstep.define_feature; null if the flag is not defined';
comment on column lockstep.features.default_enabled is 'whether it is on while it is not set';
comment on column lockstep.features.created_at is 'when the flag was first set';
comment on column lockstep.features.updated_at is 'when the flag was last set';
comment on column lockstep.features.expression is 'expression of Flipper, which only the application can evaluate';
grant select on lockstep.features to public;
