//! Installing and uninstalling a workspace: owners, aliases, tickets and states, and refusals.

use anyhow::{Context, Result, ensure};
use lockstep_tests::host::Layout;
use postgres::Client;

use crate::database::with_slack;
use crate::service_account::number;
use crate::slack::{in_lockstep, state, workspaces};
use crate::surface::refusal::refused;

/// A call of install_slack_workspace for team A.
fn install(arguments: &str) -> String {
    format!(
        "select slack_integration_id, alias, written from lockstep.install_slack_workspace('A', 'Team A', 'U2', 'B2', 'token 2', 'iv 2',
                '{{commands,links:read}}', {arguments})"
    )
}

fn alias(client: &mut Client, arguments: &str) -> Result<String> {
    let row = client
        .query_one(&install(arguments), &[])
        .context(arguments.to_owned())?;
    Ok(row.get(1))
}

#[test]
fn aliases_are_found() -> Result<()> {
    let mut client = workspaces("slack_alias", Layout::Narrow)?;
    client.batch_execute(
        "insert into namespaces (id, name, path, type, traversal_ids, organization_id) values (3, 'sub', 'sub', 'Group', '{1,3}', 1),
                (4, 'lonely', 'lonely', 'Group', '{}', 1);
         insert into projects (id, path, namespace_id) values (20, 'deep', 3), (21, 'p7', 4)",
    )?;
    // An existing row keeps its alias, a new one gets the full path.
    assert_eq!(alias(&mut client, "project_id => 1")?, "a1");
    assert_eq!(alias(&mut client, "project_id => 7")?, "group-1/p7");
    assert_eq!(alias(&mut client, "project_id => 20")?, "group-1/sub/deep");
    assert_eq!(alias(&mut client, "group_id => 3")?, "group-1/sub");
    assert_eq!(alias(&mut client, "group_id => 4")?, "lonely");
    assert_eq!(
        alias(&mut client, "organization_id => 1")?,
        "_gitlab-instance"
    );
    assert_eq!(
        alias(&mut client, "organization_id => 2")?,
        "_gitlab-instance/o-2"
    );
    assert_eq!(
        alias(&mut client, "project_id => 1, alias => 'given'")?,
        "given"
    );
    client.batch_execute(
        "update slack_integrations set alias = 'lonely/p7' where alias = 'group-1/p7'",
    )?;
    assert_eq!(alias(&mut client, "project_id => 21")?, "lonely/p7/p-21");
    client.batch_execute(
        "update slack_integrations set alias = 'group-1/p8' where alias = 'given'",
    )?;
    client.batch_execute(
        "update slack_integrations set alias = 'group-1/p8/p-8' where alias = 'lonely'",
    )?;
    refused(
        &mut client,
        &install("project_id => 8"),
        "23505",
        "is taken",
    )?;
    for alias in ["x", ""] {
        refused(
            &mut client,
            &install(&format!("project_id => 8, alias => '{alias}'")),
            "22023",
            "alias",
        )?;
    }
    refused(
        &mut client,
        &install("project_id => 8, alias => repeat('x', 4097)"),
        "22023",
        "alias",
    )?;
    refused(
        &mut client,
        &install("project_id => 8, alias => 'lonely/p7'"),
        "23505",
        "is taken",
    )?;
    in_lockstep(&mut client)
}

#[test]
fn owners_are_checked() -> Result<()> {
    let mut client = workspaces("slack_owner", Layout::Narrow)?;
    for owner in ["project_id", "group_id", "organization_id"] {
        refused(
            &mut client,
            &install(&format!("{owner} => 999")),
            "P0002",
            "does not exist",
        )?;
    }
    refused(
        &mut client,
        &install("project_id => 1, group_id => 1"),
        "22023",
        "exactly one",
    )?;
    for (place, name) in [
        "team_id",
        "team_name",
        "user_id",
        "bot_user_id",
        "token",
        "token_iv",
        "scopes",
    ]
    .into_iter()
    .enumerate()
    {
        let mut values = ["'A'", "'A'", "'U'", "'B'", "'t'", "'i'", "'{}'"];
        values[place] = "null";
        let call = format!(
            "select lockstep.install_slack_workspace({})",
            values.join(", ")
        );
        refused(
            &mut client,
            &call,
            "22004",
            &format!("{name} must not be null"),
        )?;
    }
    refused(
        &mut client,
        "select lockstep.install_slack_workspace('', '', 'U', 'B', 't', 'i', '{}')",
        "22023",
        "team_id",
    )?;
    let mut bare = with_slack("slack_owner_bare", Layout::Services)?;
    for schema in ["public", "pg_catalog"] {
        refused(
            &mut bare,
            &format!("select * from lockstep_api.slack_bot('A', null, '{schema}')"),
            "55000",
            "no attached Slack integrations",
        )?;
    }
    refused(
        &mut bare,
        "select * from lockstep_api.slack_bot('A', null, 'none')",
        "3F000",
        "none",
    )?;
    let answer = bare.query_one(
        "select status, detail from lockstep.attach_slack() where feature = 'slack_integrations'",
        &[],
    )?;
    assert_eq!(answer.get::<_, String>(0), "skipped");
    // A disabled trigger counts as missing.
    client.batch_execute("alter table slack_integrations disable trigger lockstep_slack_note")?;
    refused(
        &mut client,
        &install("project_id => 1"),
        "55000",
        "no attached Slack integrations",
    )?;
    Ok(())
}

/// The integration is found, switched on or created; its row gets the owner; rows without an owner stay without.
#[test]
fn integrations_are_found_or_made() -> Result<()> {
    let mut client = workspaces("slack_integration", Layout::Narrow)?;
    client.batch_execute("update integrations set active = false where id = 7; insert into projects (id, path, namespace_id) values (30, 'p30', 1)")?;
    client.batch_execute(&install("project_id => 7"))?;
    client.batch_execute(&install("project_id => 30"))?;
    client.batch_execute(&install("group_id => 1"))?;
    client.batch_execute(&install("organization_id => 1"))?;
    let query = "select string_agg(concat_ws(' ', coalesce(i.project_id, i.group_id, i.organization_id), i.active, i.instance, i.push_events,
                                             coalesce(s.project_id, s.group_id, s.organization_id)), ', ' order by i.id)
                   from integrations i join slack_integrations s on s.integration_id = i.id where i.id = 7 or i.id > 10";
    let row = client.query_one(query, &[])?;
    assert_eq!(
        row.get::<_, String>(0),
        "7 t f t 7, 30 t f f 30, 1 t f f 1, 1 t t f 1"
    );
    assert_eq!(
        number(
            &mut client,
            "select count(*) from slack_integrations_scopes where num_nonnulls(project_id, group_id, organization_id) = 1"
        )?,
        16
    );
    in_lockstep(&mut client)?;
    // An integration that was installed in another workspace moves.
    client.batch_execute(
        "select lockstep.install_slack_workspace('C', 'Team C', 'U3', 'B3', 'token 3', 'iv 3', '{commands}', project_id => 30)",
    )?;
    let row = client.query_one("select string_agg(team_id || ' ' || alias, ', ') from slack_integrations where project_id = 30", &[])?;
    assert_eq!(row.get::<_, String>(0), "C group-1/p30");
    in_lockstep(&mut client)?;
    // Links to scopes of each row's own organization.
    client.batch_execute(&install("project_id => 10"))?;
    let strays = "select count(*) from slack_integrations s join slack_integrations_scopes l on l.slack_integration_id = s.id
                    join slack_api_scopes c on c.id = l.slack_api_scope_id where c.organization_id <> case when s.integration_id = 10 then 2 else 1 end";
    assert_eq!(number(&mut client, strays)?, 0);
    in_lockstep(&mut client)
}

#[test]
fn uninstalling_removes_all() -> Result<()> {
    let mut client = workspaces("slack_uninstall", Layout::Narrow)?;
    client.batch_execute(&install("project_id => 1"))?;
    let of_b = state(&mut client, "B")?;
    let before = |age: &str| {
        format!(
            "select coalesce(lockstep.uninstall_slack_workspace('A', clock_timestamp() - interval '{age}'), -1)"
        )
    };
    assert_eq!(number(&mut client, &before("1 minute"))?, -1);
    assert_eq!(
        number(
            &mut client,
            "select count(*) from slack_integrations where team_id = 'A'"
        )?,
        4
    );
    // Events only have the second in which they happened.
    assert_eq!(number(&mut client, &before("0"))?, 4);
    assert_eq!(
        number(
            &mut client,
            "select count(*) from slack_integrations_scopes"
        )?,
        0
    );
    assert_eq!(
        number(
            &mut client,
            "select count(*) from lockstep_internal.slack_installation"
        )?,
        0
    );
    assert_eq!(
        number(
            &mut client,
            "select count(*) from integrations where active and id <= 4"
        )?,
        0
    );
    assert_eq!(
        number(
            &mut client,
            "select count(*) from integrations where active and id > 4"
        )?,
        6
    );
    assert_eq!(state(&mut client, "B")?, of_b);
    assert_eq!(
        number(
            &mut client,
            "select lockstep.uninstall_slack_workspace('A')"
        )?,
        0
    );
    Ok(())
}

const FINISH: &str = "select alias from lockstep_api.finish_slack_install('state', 'A', 'Team A', 'U2', 'B2', 'token 2', 'iv 2', '{commands}',
                                                                      null, null, null, null, null)";

fn one(client: &mut Client, query: &str) -> Result<Option<String>> {
    let row = client.query_one(query, &[]).context(query.to_owned())?;
    Ok(row.get(0))
}

#[test]
fn states_are_good_once() -> Result<()> {
    let mut client = workspaces("slack_state", Layout::Narrow)?;
    let begin = "select owner from lockstep_api.begin_slack_install('state', 'browser')";
    assert_eq!(one(&mut client, begin)?, None);
    assert_eq!(one(&mut client, begin)?, None);
    refused(
        &mut client,
        "select lockstep_api.begin_slack_install('state', 'other')",
        "55000",
        "already used to start",
    )?;
    refused(&mut client, FINISH, "55000", "cannot be finished")?;
    let take = |state: &str, browser: &str| {
        format!("select lockstep_api.take_slack_install('{state}', '{browser}')")
    };
    for (state, browser, answer) in [
        ("none", "browser", "unknown"),
        ("state", "other", "other_browser"),
        ("state", "browser", "ok"),
        ("state", "browser", "unknown"),
        ("state", "other", "unknown"),
    ] {
        assert_eq!(
            one(&mut client, &take(state, browser))?.as_deref(),
            Some(answer)
        );
    }
    refused(&mut client, begin, "55000", "already used to start")?;
    // A failure uses nothing up.
    refused(
        &mut client,
        &FINISH.replace("'U2'", "null"),
        "22004",
        "user_id",
    )?;
    assert_eq!(one(&mut client, FINISH)?, None);
    assert!(state(&mut client, "A")?.starts_with("U2 B2 token 2 iv 2"));
    refused(&mut client, FINISH, "55000", "cannot be finished")?;
    client.batch_execute(
        "select lockstep_api.begin_slack_install('late', 'browser', valid_for => '1 microsecond')",
    )?;
    assert_eq!(
        one(&mut client, &take("late", "browser"))?.as_deref(),
        Some("expired")
    );
    for call in [
        "begin_slack_install('', 'b')",
        "begin_slack_install('s', '')",
    ] {
        refused(
            &mut client,
            &format!("select lockstep_api.{call}"),
            "22023",
            "must not be empty",
        )?;
    }
    // Nothing that was handed out is stored.
    let stored = "select count(*) from lockstep_internal.slack_install_state s where s::text like '%' || encode('late', 'hex') || '%'";
    assert_eq!(number(&mut client, stored)?, 0);
    Ok(())
}

#[test]
fn tickets_are_good_once() -> Result<()> {
    let mut client = workspaces("slack_ticket", Layout::Narrow)?;
    let issue =
        |arguments: &str| format!("select lockstep.issue_slack_install_ticket({arguments})");
    let ticket =
        one(&mut client, &issue("project_id => 8, alias => 'eight'"))?.context("no ticket")?;
    let other =
        one(&mut client, &issue("project_id => 8, alias => 'eight'"))?.context("no ticket")?;
    ensure!(ticket.len() >= 64 && ticket != other, "{ticket} {other}");
    let stored = format!(
        "select count(*) from lockstep_internal.slack_install_ticket t where t::text like '%{ticket}%'"
    );
    assert_eq!(number(&mut client, &stored)?, 0);
    let begin = |state: &str, ticket: &str| {
        format!(
            "select owner from lockstep_api.begin_slack_install('{state}', 'browser', '{ticket}')"
        )
    };
    for state in ["state", "twin"] {
        assert_eq!(
            one(&mut client, &begin(state, &ticket))?.as_deref(),
            Some("group-1/p8")
        );
        client.batch_execute(&format!(
            "select lockstep_api.take_slack_install('{state}', 'browser')"
        ))?;
    }
    assert_eq!(one(&mut client, FINISH)?.as_deref(), Some("eight"));
    refused(&mut client, &begin("again", &ticket), "P0002", "ticket")?;
    // A state started with the ticket before it was used up can no longer be finished.
    refused(
        &mut client,
        &FINISH.replace("'state'", "'twin'"),
        "55000",
        "cannot be finished",
    )?;
    refused(&mut client, &begin("again", "unknown"), "P0002", "ticket")?;
    let expired = one(
        &mut client,
        &issue("group_id => 1, valid_for => '1 microsecond'"),
    )?
    .context("no ticket")?;
    refused(&mut client, &begin("again", &expired), "P0002", "ticket")?;
    // A ticket is only valid in its schema.
    client.batch_execute(
        "create schema other; create table other.slack_integrations (like slack_integrations)",
    )?;
    refused(&mut client, &issue(""), "22023", "exactly one")?;
    refused(
        &mut client,
        &issue("project_id => 8, group_id => 1"),
        "22023",
        "exactly one",
    )?;
    refused(
        &mut client,
        &issue("project_id => 999"),
        "P0002",
        "does not exist",
    )?;
    refused(
        &mut client,
        &issue("project_id => 8, alias => 'x'"),
        "22023",
        "alias",
    )?;
    in_lockstep(&mut client)
}
