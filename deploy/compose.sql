-- Tables as GitLab has them, filled, and both extensions at work on them.
\set ON_ERROR_STOP on
\ir /sql/host/owners.sql
\ir /sql/host/projects.sql
\ir /sql/host/integrations.sql
\ir /sql/host/slack.sql
\ir /sql/host/demo.sql
create extension lockstep;
create extension lockstep_slack;
create role slack login password 'slack' in role lockstep_sidecar;
select * from lockstep.attach();
select * from lockstep.attach_slack();
call lockstep.backfill('cache_columns', 'projects');
