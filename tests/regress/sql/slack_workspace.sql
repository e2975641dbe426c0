-- Slack workspaces: whoever writes one row of a team, all its rows have the same token, bot, user, updated_at and scopes.
\pset null null
begin;
create view team as
select s.team_id as team, s.alias, s.user_id as "user", s.bot_user_id as bot, encode(s.encrypted_bot_access_token, 'escape') as token,
       count(*) over same = count(*) over (partition by s.team_id) as in_lockstep,
       (select string_agg(c.name || '@' || c.organization_id, ' ' order by c.name) from slack_integrations_scopes l
          join slack_api_scopes c on c.id = l.slack_api_scope_id where l.slack_integration_id = s.id) as scopes
  from slack_integrations s
window same as (partition by s.team_id, s.user_id, s.bot_user_id, s.encrypted_bot_access_token, s.encrypted_bot_access_token_iv, s.updated_at)
 order by s.team_id, s.alias collate "C";

insert into organizations (id, name, path) values (2, 'Other', 'other');
insert into namespaces (id, name, path, type, traversal_ids, organization_id) values (2, 'sub', 'sub', 'Group', '{1,2}', 1), (3, 'far', 'far', 'Group', '{3}', 2);
insert into projects (id, path, namespace_id) values (1, 'one', 1), (2, 'two', 2), (3, 'three', 3);
select * from lockstep.attach_slack() where feature ~ '^slack';
select tgrelid::regclass as on_table, tgname as trigger, substring(pg_get_triggerdef(oid) from '((?:BEFORE|AFTER) .*) ON') as fires,
       substring(pg_get_triggerdef(oid) from 'FOR EACH (ROW|STATEMENT)') as for_each, tgfoid::regproc as function
from pg_trigger where tgname ~ '^lockstep_slack' order by 1, tgname collate "C";

-- Three owners in one workspace, one of them in another organization, and an unrelated one.
select alias, written from lockstep.install_slack_workspace('T1', 'One', 'U1', 'B1', 'token', 'iv', '{commands,chat:write}', project_id => 1);
select alias, written from lockstep.install_slack_workspace('T1', 'One', 'U2', 'B2', 'token 2', 'iv 2', '{commands,chat:write}', group_id => 2);
select alias, written from lockstep.install_slack_workspace('T1', 'One', 'U3', 'B3', 'token 3', 'iv 3', '{commands}', organization_id => 2, alias => 'all');
select alias, written from lockstep.install_slack_workspace('T2', 'Two', 'U9', 'B9', 'token 9', 'iv 9', '{commands}', project_id => 3);
table team;
select l.project_id, l.group_id, l.organization_id from slack_integrations_scopes l order by l.slack_integration_id;
select i.project_id, i.group_id, i.organization_id, i.category, i.active, i.instance, i.push_events, i.note_events from integrations i order by i.id;
-- The same again writes nothing.
select alias, written from lockstep.install_slack_workspace('T1', 'One', 'U3', 'B3', 'token 3', 'iv 3', '{commands}', organization_id => 2);
-- Without an owner.
select * from lockstep.install_slack_workspace('T1', 'One', 'U4', 'B4', 'token 4', 'iv 4', '{commands,chat:write}');
select * from lockstep.install_slack_workspace('E1', 'Enterprise', 'U4', 'B4', 'token 4', 'iv 4', '{commands}', enterprise_id => 'E1');
table team;

-- Plain writes. The last row that carries a change wins.
update slack_integrations set user_id = 'U5', encrypted_bot_access_token = ('token ' || alias)::bytea where team_id = 'T1' and alias <> 'all';
table team;
-- A legacy row takes over the existing values.
insert into integrations (id, project_id, type_new) values (100, 2, 'Integrations::GitlabSlackApplication');
insert into slack_integrations (id, team_id, team_name, alias, user_id, created_at, updated_at, integration_id, project_id)
values (100, 'T1', 'One', 'legacy', 'U0', now(), now(), 100, 2);
table team;
-- A row with a new token passes it on to all.
update slack_integrations set encrypted_bot_access_token = 'token 6', bot_user_id = null where alias = 'legacy';
select distinct token, bot, in_lockstep from team where team = 'T1';
insert into slack_integrations_scopes (slack_integration_id, slack_api_scope_id, project_id)
select 100, c.id, 2 from slack_api_scopes c where c.name = 'chat:write' and c.organization_id = 1 on conflict do nothing;
delete from slack_integrations_scopes l using slack_api_scopes c where c.id = l.slack_api_scope_id and c.name = 'commands' and l.slack_integration_id = 100;
table team;
-- A row that moves to another team.
update slack_integrations set team_id = 'T2' where alias = 'legacy';
table team;
-- A deleted scope takes its links along. Another organization still has one with that name, so it is created again; then it is
-- gone.
delete from slack_api_scopes where name = 'chat:write' and organization_id = 1;
table team;
delete from slack_api_scopes where name = 'chat:write';
insert into slack_integrations_scopes (slack_integration_id, slack_api_scope_id, project_id)
select 100, c.id, 2 from slack_api_scopes c where c.name = 'commands' and c.organization_id = 1
on conflict do nothing;
table team;
select team_id, encode(encrypted_bot_access_token, 'escape') as token, scopes from lockstep_internal.slack_installation order by team_id;

-- Rows that were already wrong.
alter table slack_integrations disable trigger user;
alter table slack_integrations_scopes disable trigger user;
update slack_integrations set user_id = 'U7', updated_at = '2001-01-01' where alias = 'all';
delete from slack_integrations_scopes where slack_integration_id = 100;
alter table slack_integrations enable trigger user;
alter table slack_integrations_scopes enable trigger user;
select s.team_id, alias, differs from lockstep.slack_workspace_drift() d join slack_integrations s on s.id = d.slack_integration_id order by 1, 2;
select * from lockstep.backfill_batch('slack_workspaces', 1, 1000);
select * from lockstep.slack_workspace_drift();
table team;

select lockstep.uninstall_slack_workspace('T1', now() - interval '1 minute') as later, lockstep.uninstall_slack_workspace('T1') as removed,
       lockstep.uninstall_slack_workspace('T0') as never_there;
table team;
select i.project_id, i.group_id, i.active from integrations i order by i.id;
select * from lockstep.detach_slack() where feature ~ '^slack';
rollback;
