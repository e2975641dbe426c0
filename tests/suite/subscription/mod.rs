//! Channels that follow a project from another workspace than that of its integration.

mod audit;
mod delivery;
mod exclusion;
mod followers;
mod organization;
mod routes;
mod session;
mod slack;
mod told;
mod who;

use anyhow::{Context, Result};
use lockstep_tests::host;
use postgres::Client;

use crate::notification::publish::told;

/// Workspace F follows; project 1 is `group-1/p1`, which was `former/p1`. In F, Ada (U3) maintains group 1, Bob (U4) is a developer
/// of project 1 and Gus (U6) a guest, Cem (U5) maintains project 2, Dan (U7) is a blocked maintainer, the role of Fay (U8) has expired,
/// and Hal (U10) has only asked for a role. Eve (U9) maintains project 1, and has linked her account in A only.
const WORLD: &str = "
select lockstep.install_slack_workspace('F', 'Followers', 'U3', 'BF', 'tokenf', 'ivf', '{commands,chat:write}');
insert into users (id, username, organization_id)
  values (3, 'ada', 1), (4, 'bob', 1), (5, 'cem', 1), (6, 'gus', 1), (7, 'dan', 1), (8, 'fay', 1), (9, 'eve', 1), (10, 'hal', 1);
update users set state = 'blocked' where id = 7;
insert into chat_names (user_id, team_id, chat_id)
  select n, case when n = 9 then 'A' else 'F' end, 'U' || n from generate_series(3, 10) n;
insert into members (access_level, source_id, source_type, user_id, expires_at, requested_at)
  values (40, 1, 'Namespace', 3, null, null), (30, 1, 'Project', 4, null, null), (40, 2, 'Project', 5, null, null), (10, 1, 'Project', 6, null, null),
         (50, 1, 'Project', 7, null, null), (40, 1, 'Project', 8, now() - interval '2 days', null), (40, 1, 'Project', 9, null, null),
         (40, 1, 'Project', 10, null, now());
create table routes (id bigserial primary key, source_id bigint not null, source_type varchar not null, path varchar not null);
create table redirect_routes (id bigserial primary key, source_id bigint not null, source_type varchar not null, path varchar not null);
insert into routes (source_id, source_type, path)
  values (1, 'Project', 'group-1/p1'), (2, 'Project', 'group-1/p2'), (10, 'Project', 'other/p10'), (1, 'Namespace', 'group-1'),
         (2, 'Namespace', 'taken/p1');
insert into redirect_routes (source_id, source_type, path) values (1, 'Project', 'former/p1'), (1, 'Project', 'taken/p1');";

/// Integrations 1 to 4 of team A send everything to #c.
pub(crate) fn world(name: &str) -> Result<Client> {
    let mut client = told(name)?;
    host::run(&mut client, host::MEMBERS)?;
    client.batch_execute(WORLD)?;
    Ok(client)
}

/// As a user of workspace F: project's path, channel, and how it ended.
fn subscribe(client: &mut Client, user: &str, project: &str, channel: &str) -> Result<String> {
    text(
        client,
        &format!(
            "select concat_ws(' ', path, channel, outcome)
               from lockstep_api.subscribe_slack_project('F', null, '{user}', '{project}', '{channel}')"
        ),
    )
}

fn text(client: &mut Client, query: &str) -> Result<String> {
    let row = client.query_one(query, &[]).context(query.to_owned())?;
    Ok(row.get::<_, Option<String>>(0).unwrap_or_default())
}

/// What follows what: project, workspace, channel, user.
fn followed(client: &mut Client) -> Result<String> {
    text(
        client,
        "select string_agg(concat_ws(' ', project_id, team_id, channel, user_id), ', ' order by subscription_id) from lockstep.slack_subscriptions()",
    )
}

/// What was recorded: the change, project, workspace, channel, user.
fn recorded(client: &mut Client) -> Result<String> {
    text(
        client,
        "select string_agg(concat_ws(' ', change, project_id, team_id, channel, user_id), ', ' order by id) from lockstep.slack_subscription_audit",
    )
}
