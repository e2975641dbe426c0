//! Who may give commands, and what the role of chatops may do.

use anyhow::{Context, Result, ensure};
use lockstep_tests::slack::caller::Origin;

use crate::chatops::{Room, chatops_url, with_deployments};
use crate::database;
use crate::mallory::{self, moves_in, noted};
use crate::slack_app::{COMMANDS, Stage, command};
use crate::surface::refusal::refused;
use lockstep_tests::slack::App;

#[test]
fn members_of_a_group_may_give_commands() -> Result<()> {
    let mut room = Room::set_with("chatops_member", &["--chatops-group=group/sub"])?;
    let refused = ":no_entry: You may not give commands here, so nothing was done. Members of the group `group/sub` may, once they have linked their account with Slack.";
    let give = |room: &Room| -> Result<String> {
        Ok(room
            .give(
                &room.origin(&room.eve, &room.general),
                "run feature get f --staging",
            )?
            .text)
    };
    // GitLab has no such tables yet.
    assert_eq!(
        give(&room)?,
        ":warning: Your membership in the group `group/sub` cannot be checked at the moment, so nothing was done."
    );
    with_deployments(&mut room.stage.client)?;
    assert_eq!(give(&room)?, refused);
    let (team, eve) = (room.team.clone(), room.eve.id.clone());
    room.stage.client.execute(
        "insert into chat_names (user_id, team_id, chat_id) values (3, $1, $2)",
        &[&team, &eve],
    )?;
    assert_eq!(give(&room)?, refused);
    let insert = "insert into members (id, access_level, source_id, source_type, user_id, type) values (1, 30, 2, 'Namespace', 3, 'GroupMember')";
    room.stage.client.batch_execute(insert)?;
    assert_eq!(give(&room)?, "*f*\n• staging: not set, so off");
    room.stage
        .client
        .batch_execute("update members set expires_at = current_date + 2")?;
    assert_eq!(give(&room)?, "*f*\n• staging: not set, so off");
    for change in [
        "access_level = 5",
        "source_type = 'Project'",
        "source_id = 3",
        "requested_at = now()",
        "expires_at = current_date - 2",
        "user_id = 2",
        "state = 1",
        "state = null",
        "access_level = 9",
    ] {
        room.stage
            .client
            .batch_execute(&format!("update members set {change}"))?;
        ensure!(give(&room)? == refused, "{change}");
        room.stage
            .client
            .batch_execute(&format!("delete from members; {insert}"))?;
    }
    // Users whose account is not active may not either.
    for state in [
        "'blocked'",
        "'banned'",
        "'deactivated'",
        "'blocked_pending_approval'",
        "null",
    ] {
        room.stage
            .client
            .batch_execute(&format!("update users set state = {state} where id = 3"))?;
        ensure!(give(&room)? == refused, "{state}");
    }
    room.stage
        .client
        .batch_execute("update users set state = 'active' where id = 3")?;
    assert_eq!(give(&room)?, "*f*\n• staging: not set, so off");
    // Without these columns the members cannot be told apart.
    room.stage.client.batch_execute(
        "alter table members drop column state, drop column requested_at, drop column expires_at;
         alter table users drop column state",
    )?;
    assert_eq!(give(&room)?, "*f*\n• staging: not set, so off");
    // Membership in an ancestor group counts; the same Slack id in another workspace is another user.
    room.stage
        .client
        .batch_execute("update members set source_id = 1")?;
    assert_eq!(give(&room)?, "*f*\n• staging: not set, so off");
    room.stage
        .client
        .batch_execute("update chat_names set team_id = 'T9'")?;
    assert_eq!(give(&room)?, refused);
    // A user named in the configuration may give commands, even if GitLab's tables cannot be queried.
    ensure!(room.say("run feature get f --staging")?.starts_with("*f*"));
    Ok(())
}

/// Ids belong to one workspace: the same id in another one is another user or channel.
#[test]
fn ids_of_another_workspace_are_somebody_elses() -> Result<()> {
    let room = Room::set_with("chatops_workspace", &["--chatops-user=T0OTHER:U0OTHER"])?;
    let mut origin = room.origin(&room.ada, &room.production_channel);
    origin.team_id = Some("T0OTHER".to_owned());
    let said = room.give(&origin, "run feature get f --staging")?;
    assert_eq!(
        said.text,
        ":no_entry: You may not give commands here, so nothing was done. The app's operator can allow you with `--chatops-user`."
    );
    origin.user_id = "U0OTHER".to_owned();
    let said = room.give(&origin, "run feature get f --staging")?;
    assert_eq!(said.text, "*f*\n• staging: not set, so off");
    let said = room.give(&origin, "run feature set f true --staging --production")?;
    assert_eq!(
        said.text,
        ":no_entry: Nothing was changed: production can only be changed in a channel of another workspace. For another environment add its option, such as `--staging`."
    );
    Ok(())
}

/// The role may call its functions and nothing else; and no other role may call them.
#[test]
fn the_role_has_its_functions_alone() -> Result<()> {
    let mut room = Room::set("chatops_role")?;
    let functions = "
        select string_agg(p.proname, ' ' order by p.proname) from pg_proc p
         where p.pronamespace = 'lockstep_api'::regnamespace and p.proname ~ '^(is_)?chatops_' and has_function_privilege($1, p.oid, 'execute')";
    let of = |room: &mut Room, role: &str| -> Result<Option<String>> {
        Ok(room.stage.client.query_one(functions, &[&role])?.get(0))
    };
    let all = of(&mut room, "lockstep_chatops")?.context("none")?;
    assert_eq!(all.split(' ').count(), 18, "{all}");
    ensure!(!all.contains("is_chatops_member"));
    assert_eq!(
        of(&mut room, "lockstep_sidecar")?.as_deref(),
        Some("is_chatops_member")
    );
    assert_eq!(of(&mut room, "public")?, None);
    let denied = "
        select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where (n.nspname = 'public' or n.nspname ~ '^lockstep') and c.relkind in ('r', 'p')
           and has_table_privilege('lockstep_chatops', c.oid, 'select, insert, update, delete')
           and not has_table_privilege('public', c.oid, 'select')";
    let count: i64 = room.stage.client.query_one(denied, &[])?.get(0);
    assert_eq!(count, 0);
    // Flags are set through its function only.
    let mut client = chatops_url("chatops_role")?
        .parse::<postgres::Config>()?
        .connect(postgres::NoTls)?;
    for statement in [
        "select lockstep.set_feature('f', true)",
        "select from features",
        "select from lockstep.chatops_command",
        "select lockstep.retire_worker('IrkerWorker')",
        "insert into lockstep.chatops_incident (title) values ('x')",
    ] {
        let code = client
            .batch_execute(statement)
            .err()
            .and_then(|error| error.code().cloned());
        ensure!(
            code == Some(postgres::error::SqlState::INSUFFICIENT_PRIVILEGE),
            "{statement}: {code:?}"
        );
    }
    Ok(())
}

/// Mallory's tables, with code on them, that chatops reads and whose flags it sets.
#[test]
fn code_of_an_owner_runs_as_the_owner_alone() -> Result<()> {
    let name = "chatops_hostile";
    let mut client = database::empty(name)?;
    client.batch_execute("create extension lockstep_slack cascade")?;
    moves_in(&mut client, name)?;
    let mallory = mallory::role(name);
    client.batch_execute(&format!(
        "create role {name}_chatops in role lockstep_chatops; create role {name}_page in role lockstep_sidecar;
         set role {mallory}; set search_path = mallory, pg_catalog;
         create type label as (t text);
         create function to_text(label) returns text language plpgsql as $$ begin perform mallory.spy('cast'); return ($1).t; end $$;
         create cast (label as text) with function to_text(label);
         create table projects (id bigint, path label, namespace_id bigint, is_right boolean);
         create table namespaces (id bigint, path label, parent_id bigint, type text);
         create table users (id bigint, username label); create table members (user_id bigint, source_id bigint, source_type label, access_level int);
         create table chat_names (user_id bigint, team_id label, chat_id label);
         create table environments (id bigint, project_id bigint, name text);
         create table deployments (id bigint, environment_id bigint, ref text, sha text, status smallint, created_at timestamp, finished_at timestamp);
         create table deployment_merge_requests (deployment_id bigint, merge_request_id bigint);
         create table merge_requests (id bigint, iid bigint, target_project_id bigint, title text, state_id smallint, merge_commit_sha text,
           squash_commit_sha text);
         insert into namespaces values (1, row('g'), null, 'Group'); insert into projects values (1, row('p'), 1);
         insert into users values (1, row('ada')); insert into chat_names values (1, row('T1'), row('U1'));
         insert into members values (1, 1, row('Namespace'), 30); insert into environments values (1, 1, 'production');
         insert into deployments values (1, 1, 'main', repeat('ab', 20), 2, now(), now());
         insert into merge_requests values (1, 1, 1, 'mr', 3, repeat('ab', 20)); insert into deployment_merge_requests values (1, 1);
         create table items (id bigint primary key, project_id bigint, active boolean);
         alter table projects add primary key (id); create index on items (project_id);
         select lockstep.add_cache_column('projects', 'is_right', 'items', 'project_id', '{{\"active\": true}}');
         select * from lockstep.attach('mallory'); select * from lockstep.attach_slack('mallory');
         select mallory.trap('features'), mallory.trap('feature_gates'), mallory.trap('projects'), mallory.trap('items');
         select mallory.hide(oid) from pg_class where relnamespace = 'mallory'::regnamespace and relkind = 'r' and relname <> 'seen';
         reset role; delete from seen"
    ))?;
    let command = |number: usize| {
        format!(
            "'{{\"trigger_id\": \"{number}\", \"request\": \"1\", \"team_id\": \"T1\", \"user_id\": \"U1\", \"text\": \"\"}}'"
        )
    };
    let wish = "'{\"enabled\": true, \"projects\": [\"g/p\"], \"users\": [\"ada\", \"<@U1>\"], \"namespaces\": [\"g\"]}'";
    let calls = [
        (
            "chatops",
            format!(
                "lockstep_api.chatops_set_feature({}, 'f', {wish}, 'mallory')",
                command(1)
            ),
            true,
        ),
        (
            "chatops",
            format!(
                "lockstep_api.chatops_set_feature({}, 'f', '{{\"percentage\": \"5\"}}', 'mallory')",
                command(2)
            ),
            true,
        ),
        (
            "chatops",
            "lockstep_api.chatops_feature('f', 'mallory')".to_owned(),
            false,
        ),
        (
            "chatops",
            "lockstep_api.chatops_hold_feature('f', '', 'mallory')".to_owned(),
            false,
        ),
        (
            "chatops",
            "lockstep_api.chatops_features(schema => 'mallory')".to_owned(),
            false,
        ),
        (
            "chatops",
            "lockstep_api.chatops_rollout('f', 'mallory')".to_owned(),
            false,
        ),
        (
            "chatops",
            "lockstep_api.chatops_deployments(repeat('ab', 20), 'mallory')".to_owned(),
            true,
        ),
        (
            "chatops",
            "lockstep_api.chatops_release('g/p', 1, '15.1', 'mallory')".to_owned(),
            true,
        ),
        (
            "chatops",
            "lockstep_api.chatops_drift('mallory')".to_owned(),
            false,
        ),
        (
            "chatops",
            format!(
                "lockstep_api.chatops_delete_feature({}, 'f', false, 'mallory')",
                command(3)
            ),
            true,
        ),
        (
            "page",
            "lockstep_api.is_chatops_member('T1', 'U1', 'g', 'mallory')".to_owned(),
            true,
        ),
        ("page", "lockstep.drift_report('mallory')".to_owned(), false),
        (
            "page",
            "lockstep.status_report('mallory')".to_owned(),
            false,
        ),
    ];
    for (role, call, runs_code) in calls {
        client
            .batch_execute(&format!(
                "set role {name}_{role}; select {call}; reset role"
            ))
            .with_context(|| call.clone())?;
        let what = noted(&mut client, name).with_context(|| call.clone())?;
        ensure!(
            !runs_code || !what.is_empty(),
            "{call}: none of her code has run"
        );
    }
    let recorded = "select array_agg(distinct role || ' ' || coalesce(actor, '')) from lockstep.feature_audit where schema = 'mallory'";
    let who: Vec<String> = client.query_one(recorded, &[])?.get(0);
    assert_eq!(who, [format!("{name}_chatops U1")]);
    // Tables of several owners are not read together.
    client.batch_execute(&format!("create role {name}_other; alter table members owner to {name}_other; alter table environments owner to {name}_other"))?;
    for call in [
        "lockstep_api.is_chatops_member('T1', 'U1', 'g', 'mallory')",
        "lockstep_api.chatops_deployments(repeat('ab', 20), 'mallory')",
    ] {
        refused(
            &mut client,
            &format!("select {call}"),
            "42501",
            "same owner",
        )?;
    }
    Ok(())
}

#[test]
fn without_an_environment_chatops_is_off() -> Result<()> {
    let stage = Stage::set("chatops_off")?;
    let origin = Origin {
        team_id: Some("T1".to_owned()),
        user_id: "U1".to_owned(),
        ..Origin::default()
    };
    let reply = stage
        .caller
        .command(COMMANDS, &origin, "/chatops", "run feature list")?;
    assert_eq!(
        reply.json()?["text"],
        "Chatops is off: no environment is configured. The app's operator can set `--environment`."
    );
    assert_eq!(reply.json()?["response_type"], "ephemeral");
    Ok(())
}

#[test]
fn check_tells_what_an_environment_lacks() -> Result<()> {
    let room = Room::set("chatops_check")?;
    let slack = lockstep_tests::slack::FakeSlack::start(App::default())?;
    let check = |more: &[String]| -> Result<String> {
        let output = command("check", &room.stage.url, &slack)
            .arg("--public-url=https://slack.example")
            .args(more)
            .output()?;
        Ok(String::from_utf8(output.stdout)? + &String::from_utf8(output.stderr)?)
    };
    let arguments = |url: String| {
        vec![
            format!("--environment=staging={url}"),
            "--chatops-user=T1:U1".to_owned(),
        ]
    };
    let fine = check(&arguments(chatops_url("chatops_check_staging")?))?;
    ensure!(fine.contains("ok: the environment staging\n"), "{fine}");
    // `check` does not report rights that only two commands need.
    ensure!(
        fine.contains(
            "note: auto_deploy and release check do nothing in staging: error: schema public has no table deployments"
        ),
        "{fine}"
    );
    // The sidecar's role has none of these rights.
    let wrong = check(&arguments(room.stage.url.clone()))?;
    ensure!(
        wrong.contains("wrong: the environment staging: its role may not call chatops_backfills, ")
            && wrong.contains("grant lockstep_chatops to that role"),
        "{wrong}"
    );
    let mut grouped = arguments(chatops_url("chatops_check_staging")?);
    grouped.push("--chatops-group=group".to_owned());
    let wrong = check(&grouped)?;
    ensure!(
        wrong.contains("wrong: the group group, whose members may give commands: error: schema public has no table chat_names"),
        "{wrong}"
    );
    let wrong = check(&arguments(
        "host=127.0.0.1 port=1 user=x dbname=y password=secret1".to_owned(),
    ))?;
    ensure!(
        wrong.contains("wrong: the environment staging: error: cannot connect")
            && !wrong.contains("secret1"),
        "{wrong}"
    );
    Ok(())
}
