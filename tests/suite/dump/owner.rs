//! The owner of the database, not a superuser, dumps it and restores it where a superuser has created the extension.

use anyhow::{Context, Result, ensure};
use lockstep_tests::host::{self, Layout};
use postgres::Client;

use crate::database::{cluster, empty};
use crate::dump::{PSQL, dump, restore};
use crate::job::denied;
use crate::service_account::number;

/// A row in every dumped table.
const FILLED: &str = "
insert into projects (id, namespace_id) select generate_series(1, 3), 1;
insert into integrations (project_id, active, category, type_new) values (1, true, 'common', 'Integrations::ExternalWiki');
insert into features (key, created_at, updated_at) values ('f', now(), now());
reset role;
insert into lockstep.backfill_job select 'j', 'public.projects', '{id}', 'update projects set name = name where {range}', '{\"search_path\": \"public\"}', now(), $owner;
insert into lockstep.feature_definition (name, default_enabled, type) values ('g', true, 'ops');
insert into lockstep.feature_group values ('staff', 'public.is_staff', $owner);
insert into lockstep_internal.worker values ('W', 3, true);
insert into lockstep_internal.worker_rename values ('A', 'B', 'f', 'public');
insert into lockstep_internal.retired_worker values ('Old');
select lockstep.limit_worker('W', 1), lockstep.limit_worker('W', 1, 10, '1 hour', by => 'key');
select lockstep.schedule_job('nightly', '@daily', 'W');
insert into lockstep_internal.job_runner (name, role, lease_for, leased_until) values ('r', current_user, '1 minute', now());
select lockstep.enqueue_job('W', '[1]');
insert into lockstep_internal.slack_installation (schema, team_id, team_name, user_id, scopes, encrypted_bot_access_token, encrypted_bot_access_token_iv,
                                         encrypted_refresh_token, encrypted_refresh_token_iv, expires_at)
  values ('public', 'T1', 'Team', 'U1', '{chat:write}', 'a', 'b', 'c', 'd', now());
insert into lockstep_internal.slack_notification (schema, integration_id) values ('public', 1);
insert into lockstep_internal.slack_person (schema, team_id, user_id, quiet_from, quiet_until, time_zone) values ('public', 'T1', 'U1', '22:00', '07:00', 'UTC');
insert into lockstep_internal.slack_manager (schema, integration_id, team_id, user_id) values ('public', 1, 'T1', 'U1');
insert into lockstep_internal.slack_subscription (schema, project_id, team_id, channel, workspace_id, user_id) values ('public', 1, 'T1', '#c', 'T1', 'U1');
insert into lockstep.slack_subscription_audit (schema, project_id, team_id, channel, change, events, routes) values ('public', 1, 'T1', '#c', 'subscribed', '{push}', '[]');
insert into lockstep_internal.event (schema, key, payload) values ('public', 'k', '{\"a\": 1}');
insert into lockstep_internal.slack_channel (schema, team_id, channel) values ('public', 'T1', '#c');
insert into lockstep_internal.slack_delivery (schema, event, integration_id, slack_integration_id, channel, lane) values ('public', 1, 1, 1, 1, 1);
insert into lockstep_internal.slack_channel_trouble (schema, integration_id, team_id, channel, error) values ('public', 1, 'T1', '#c', 'e');
insert into lockstep_internal.slack_message (channel, subject, ts, slack_channel) values (1, 's', '1.1', 'C1');
insert into lockstep_internal.pipeline_status (schema, project_id, ref, pipeline_id, status) values ('public', 1, 'main', 1, 'failed');
insert into lockstep.chatops_command (trigger_id, user_id, environment, team_id, user_name, channel_id, command, request)
  values ('t', 'U1', 'production', 'T1', 'ada', 'C1', 'set', 'r');
insert into lockstep.chatops_incident (title) values ('fire');
select lockstep.set_retention('dead_job', '1 year');
";

/// The dumped tables.
const DUMPED: &str = "
select c.oid::regclass::text from pg_extension e cross join lateral unnest(e.extconfig) d (oid) join pg_class c on c.oid = d.oid
 where e.extname in ('lockstep', 'lockstep_slack') and c.relkind = 'r' order by c.oid::regclass::text collate \"C\"";

/// Every table of the extensions, and whether a role may read it.
const READABLE: &str = "
select coalesce(string_agg(c.oid::regclass::text, ' ' order by c.oid::regclass::text collate \"C\"), '') from pg_class c
 where c.relnamespace::regnamespace::text ~ '^lockstep' and c.relkind = 'r' and has_table_privilege($1, c.oid, 'select')";

fn dumped(client: &mut Client) -> Result<Vec<String>> {
    let rows = client.query(DUMPED, &[])?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// All rows of these tables, as text. Who restored a record differs, and so does the database.
fn rows(client: &mut Client, tables: &[String]) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for table in tables.iter().filter(|table| !table.ends_with("home")) {
        let query = format!(
            "select coalesce(jsonb_agg(r order by r::text), '[]')::text from (select to_jsonb(t) - 'recorded_by' from {table} t) r (r)"
        );
        let text: String = client.query_one(&query, &[])?.get(0);
        ensure!(text != "[]", "{table} has no row");
        found.push((table.clone(), text));
    }
    Ok(found)
}

fn owner_of(name: &str) -> String {
    format!("{name}_owner")
}

/// An empty database of a role that is not a superuser, with the extension.
fn owned(name: &str, owner: &str) -> Result<Client> {
    let mut client = empty(name)?;
    client.batch_execute(&format!(
        "alter database {name} owner to {owner}; create extension lockstep_slack cascade"
    ))?;
    Ok(client)
}

fn source(name: &str) -> Result<Client> {
    let owner = owner_of(name);
    cluster()?
        .connect("postgres")?
        .batch_execute(&format!("create role {owner} login"))?;
    let mut client = owned(name, &owner)?;
    client.batch_execute(&format!("set role {owner}"))?;
    host::create(&mut client, Layout::Narrow)?;
    client.batch_execute(
        "create function is_staff(actor text) returns boolean language sql as 'select true';
         select * from lockstep.attach(); select * from lockstep.attach_slack()",
    )?;
    client.batch_execute(&FILLED.replace("$owner", &format!("'{owner}'")))?;
    Ok(client)
}

#[test]
fn the_owner_dumps_and_restores() -> Result<()> {
    let name = "dump_owner";
    let owner = owner_of(name);
    let mut client = source(name)?;
    let tables = dumped(&mut client)?;
    let before = rows(&mut client, &tables)?;
    for arguments in [&["--schema-only"][..], &["--no-privileges"], &[]] {
        let arguments = [arguments, &["--username", &owner]].concat();
        let text = String::from_utf8(dump(&arguments, name)?)?;
        // Nothing that only the owner of the extension may do.
        for line in text.lines() {
            let is_of_extension = line.contains("lockstep") && !line.starts_with("ALTER TRIGGER");
            let is_noise = ["GRANT", "REVOKE", "ALTER", "COMMENT"]
                .iter()
                .any(|word| line.starts_with(word));
            assert!(!(is_of_extension && is_noise), "{arguments:?}: {line}");
        }
    }
    for (to, program, of_dump, of_restore) in [
        ("dump_owner_plain", "psql", &[][..], &PSQL[..]),
        ("dump_owner_inserts", "psql", &["--inserts"], &PSQL),
        (
            "dump_owner_custom",
            "pg_restore",
            &["--format", "custom"],
            &["--exit-on-error"],
        ),
    ] {
        let mut restored = owned(to, &owner)?;
        let of_dump = [of_dump, &["--username", &owner]].concat();
        let of_restore = [of_restore, &["--username", &owner]].concat();
        let dumped = dump(&of_dump, name)?;
        // psql reports a notice that the extension already exists.
        let dumped = match program {
            "psql" => [b"set client_min_messages = warning;\n".to_vec(), dumped].concat(),
            _ => dumped,
        };
        restore(program, &of_restore, to, &dumped)?;
        assert_eq!(rows(&mut restored, &tables)?, before, "{to}");
        // A reader of a record can see that it was restored.
        let genuine =
            "select count(*) from lockstep.feature_audit where recorded_by = 'lockstep_owner'";
        assert_eq!(number(&mut restored, genuine)?, 0);
        assert_eq!(number(&mut client, genuine)?, 1);
        // Everything continues, with the next numbers.
        restored.batch_execute(&format!(
            "set role {owner}; select * from lockstep.attach(); select * from lockstep.attach_slack();
             update integrations set active = false; insert into features (key, created_at, updated_at) values ('h', now(), now())"
        ))?;
        restored.batch_execute("call lockstep.backfill('j')")?;
        restored.batch_execute("reset role; select lockstep.enqueue_job('W', '[2]')")?;
        for query in [
            "select count(*) from lockstep.cache_columns where state <> 'active'",
            "select count(*) from projects where has_external_wiki",
            "select count(*) - 2 from lockstep.feature_audit",
            "select count(*) - 2 from lockstep_internal.job",
        ] {
            assert_eq!(number(&mut restored, query)?, 0, "{to}: {query}");
        }
        restored.batch_execute(&format!(
            "set role {owner}; select * from lockstep.detach(); select * from lockstep.detach_slack(); reset role; drop extension lockstep cascade"
        ))?;
    }
    Ok(())
}

/// Who may read what: the owner everything in a dump, everybody what concerns everybody, and nobody the rest.
#[test]
fn secrets_stay_where_they_are() -> Result<()> {
    let name = "dump_secrets";
    let owner = owner_of(name);
    let mut client = source(name)?;
    client.batch_execute(&format!(
        "create role {name}_other; create role {name}_sidecar in role lockstep_sidecar; create role {name}_chatops in role lockstep_chatops"
    ))?;
    let readable = |client: &mut Client, role: &str| -> Result<String> {
        Ok(client.query_one(READABLE, &[&role])?.get(0))
    };
    let everybody = "lockstep.backfill_job lockstep.feature_definition lockstep.feature_group";
    for role in ["other", "sidecar", "chatops"] {
        let role = format!("{name}_{role}");
        assert_eq!(readable(&mut client, &role)?, everybody, "{role}");
    }
    assert_eq!(
        readable(&mut client, &owner)?,
        dumped(&mut client)?.join(" ")
    );
    // The owner of another database has no rights here.
    client.batch_execute(&format!("create role {name}_neighbour"))?;
    client.batch_execute(&format!(
        "create database {name}_next owner {name}_neighbour"
    ))?;
    assert_eq!(
        readable(&mut client, &format!("{name}_neighbour"))?,
        everybody
    );
    // They add what they restore, and change nothing.
    client.batch_execute(&format!("set role {owner}"))?;
    for table in dumped(&mut client)? {
        denied(&mut client, &format!("delete from {table}"))?;
        denied(&mut client, &format!("truncate {table}"))?;
        let column: String = client
            .query_one(
                "select attname::text from pg_attribute
                  where attrelid = $1::text::regclass and attnum > 0 and attidentity = '' limit 1",
                &[&table],
            )?
            .get(0);
        let update = format!("update {table} set \"{column}\" = \"{column}\"");
        denied(&mut client, &update)?;
    }
    Ok(())
}

/// Rows that would lend the owner another role's rights are skipped, as are rows of missing roles; all others are restored.
#[test]
fn rows_that_lend_rights_are_left_out() -> Result<()> {
    let name = "dump_rights";
    let owner = owner_of(name);
    let mut client = source(name)?;
    let job = |role: &str| {
        format!(
            "insert into lockstep.backfill_job values ('of_{role}', 'public.of_{role}', '{{id}}', 'update of_{role} set id = id where {{range}}', '{{}}', now(), '{name}_{role}')"
        )
    };
    let group = |role: &str| {
        format!(
            "insert into lockstep.feature_group values ('of_{role}', 'public.is_staff', '{name}_{role}')"
        )
    };
    client.batch_execute(&format!(
        "create role {name}_victim; create role {name}_parent; grant {name}_parent to {owner};
         create table precious (id bigint primary key, flag boolean); insert into precious values (1, false);
         alter table precious owner to {name}_victim;
         create table of_owner (id bigint primary key); alter table of_owner owner to {owner};
         create table of_parent (id bigint primary key); alter table of_parent owner to {name}_parent;
         create table of_victim (id bigint primary key); alter table of_victim owner to {name}_victim;
         set role {owner};
         create table mine (id bigint primary key, precious_id bigint, on_it boolean, flag boolean)"
    ))?;
    for role in ["owner", "parent", "victim", "gone"] {
        client.batch_execute(&job(role))?;
        client.batch_execute(&group(role))?;
    }
    client.batch_execute(
        "insert into lockstep_internal.cache_column_definition (id, target_table, target_column, source_table, key_column, match, target_name, source_name) values
           (77, 'precious', 'flag', 'mine', 'precious_id', '{\"on_it\": true}', '{public,precious}', '{public,mine}'),
           (78, 'mine', 'flag', 'precious', 'id', '{\"flag\": true}', '{public,mine}', '{public,precious}'),
           (79, 'mine', 'flag', 'mine', 'precious_id', '{\"on_it\": true}', '{public,mine}', '{public,mine}');
         insert into lockstep.feature_audit (role, schema, change, recorded_by) values ('postgres', 'public', 'insert', 'lockstep_owner');
         reset role",
    )?;
    let kept = "select string_agg(name, ' ' order by name) from lockstep.";
    for table in ["backfill_job", "feature_group"] {
        let names: String = client
            .query_one(&format!("{kept}{table} where name like 'of%' "), &[])?
            .get(0);
        assert_eq!(names, "of_owner of_parent", "{table}");
    }
    let ids = "select array_agg(id) from lockstep_internal.cache_column_definition where id > 70";
    assert_eq!(client.query_one(ids, &[])?.get::<_, Vec<i32>>(0), [79]);
    let forged = "select count(*) from lockstep.feature_audit where role = 'postgres' and recorded_by = 'lockstep_owner'";
    assert_eq!(number(&mut client, forged)?, 0, "a record was forged");

    // A superuser's restore has them all; rows of missing roles do nothing and harm nobody.
    client.batch_execute(&format!("{}; {}", job("gone"), group("gone")))?;
    let dumped = dump(&[], name)?;
    let to = "dump_rights_restored";
    let mut restored = empty(to)?;
    restore("psql", &PSQL, to, &dumped)?;
    restored.batch_execute("select * from lockstep.features")?;
    let refused = restored
        .batch_execute("call lockstep.backfill('of_gone')")
        .err()
        .context("a job of nobody runs")?;
    let refused = refused.as_db_error().context("no error of the server")?;
    assert_eq!(refused.code().code(), "42704", "{refused}");
    restored.batch_execute(
        "select lockstep.unregister_backfill_job('of_gone'); select lockstep.unregister_feature_group('of_gone')",
    )?;
    Ok(())
}

/// A dropped table only has an OID, which may be another table's elsewhere.
#[test]
fn definitions_of_dropped_tables_stay_behind() -> Result<()> {
    let name = "dump_dropped";
    let owner = owner_of(name);
    let mut client = source(name)?;
    client.batch_execute(&format!(
        "set role {owner};
         create table t (id bigint primary key, flag boolean); create table s (t_id bigint, active boolean); create index on s (t_id);
         select lockstep.add_cache_column('t', 'flag', 's', 't_id', '{{\"active\": true}}');
         reset role; set session_replication_role = replica; drop table t cascade; reset session_replication_role"
    ))?;
    let dumped = String::from_utf8(dump(&[], name)?)?;
    let mut rows = dumped
        .lines()
        .skip_while(|line| !line.starts_with("COPY lockstep_internal.cache_column_definition"))
        .skip(1)
        .take_while(|line| *line != "\\.")
        .map(|row| row.split('\t').nth(1).unwrap_or_default())
        .collect::<Vec<_>>();
    rows.dedup();
    assert_eq!(rows, ["public.projects"]);
    Ok(())
}
