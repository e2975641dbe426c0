//! Triggers on shards carry their definition, and anyone can write a trigger's argument.

use anyhow::{Result, ensure};
use postgres::Client;
use serde_json::{Value, json};

use super::{refused, run_each, start};

#[test]
fn a_forged_definition_changes_and_shows_nothing_of_others() -> Result<()> {
    let Some(mut citus) = start("citus_forged", 1)? else {
        return Ok(());
    };
    citus.attach_tenant("tenant")?;
    let client = &mut citus.coordinator;
    run_each(
        client,
        &[
            "create role mallory login",
            "create schema mallory",
            "create table mallory.integrations (id bigint primary key, project_id bigint, active boolean)",
            "create table mallory.projects (id bigint primary key, has_external_wiki boolean)",
            "alter table mallory.integrations owner to mallory",
            "alter table mallory.projects owner to mallory",
            "alter schema mallory owner to mallory",
            "do $$begin perform citus_schema_distribute('mallory'); end$$",
            "insert into tenant.integrations (project_id, type_new, active) values (1, 'Integrations::ExternalWiki', true)",
        ],
    )?;
    let [projects, integrations] = ["projects", "integrations"];
    for (target, source, on, function, write) in [
        (
            "tenant",
            "mallory",
            integrations,
            "note_changed",
            "insert into mallory.integrations values (1, 2, true)",
        ),
        (
            "mallory",
            "tenant",
            projects,
            "note_arrived",
            "insert into mallory.projects values (1, false)",
        ),
    ] {
        let (target, source) = (
            format!("{target}.{projects}"),
            format!("{source}.{integrations}"),
        );
        let argument = definition(client, 1, &target, "has_external_wiki", &source)?;
        let forge = format!(
            "create trigger forged after insert on mallory.{on} for each row execute function lockstep_internal.{function}('{argument}')"
        );
        run_each(client, &["set role mallory", &forge])?;
        let (_, message) = refused(client, write)?;
        ensure!(
            message.starts_with("trigger \"forged_")
                && message.contains("is not one that lockstep installed"),
            "{message}"
        );
        client.batch_execute("reset role")?;
    }
    assert_eq!(citus.check("tenant", "forged triggers")?, 1);
    Ok(())
}

/// The argument of a trigger that claims a column of the target follows the source.
fn definition(
    client: &mut Client,
    number: i32,
    target: &str,
    column: &str,
    source: &str,
) -> Result<Value> {
    let mut shard = |table: &str| -> Result<i64> {
        let query = "select shardid from pg_dist_shard where logicalrelid = $1::text::regclass";
        Ok(client.query_one(query, &[&table])?.get(0))
    };
    Ok(json!({
        "definition": number,
        "target": shard(target)?,
        "column": column,
        "source": shard(source)?,
        "key": "project_id",
        "match": { "active": true },
    }))
}

#[test]
fn the_privilege_to_create_triggers_is_not_the_owner_s_agreement() -> Result<()> {
    let Some(mut citus) = start("citus_agreed", 1)? else {
        return Ok(());
    };
    citus.attach_tenant("tenant")?;
    let client = &mut citus.coordinator;
    run_each(
        client,
        &[
            "create role mallory login",
            "alter table tenant.projects add column archived boolean default false",
            "grant usage, create on schema tenant to mallory",
            "grant trigger on tenant.projects, tenant.integrations to mallory",
            "insert into tenant.integrations (project_id, type_new, active) values (1, 'Integrations::ExternalWiki', true)",
            "set role mallory",
            "create table tenant.my_integrations (id bigint primary key, project_id bigint, active boolean)",
            "create table tenant.my_projects (id bigint primary key, archived boolean)",
        ],
    )?;
    for (target, source, write) in [
        (
            "projects",
            "my_integrations",
            "insert into tenant.my_integrations values (1, 2, true)",
        ),
        (
            "my_projects",
            "integrations",
            "insert into tenant.my_projects values (1, false)",
        ),
    ] {
        let (on_target, on_source) = (format!("tenant.{target}"), format!("tenant.{source}"));
        let argument = definition(client, 9, &on_target, "archived", &on_source)?;
        let forge = |name: &str, event: &str, table: &str, function: &str| {
            format!(
                "create trigger {name} {event} on tenant.{table} for each row execute function lockstep_internal.{function}('{argument}')"
            )
        };
        run_each(
            client,
            &[
                &forge("forged_1", "before insert", target, "set_false_on_insert"),
                &forge("forged_2", "after insert or update", target, "note_arrived"),
                &forge(
                    "forged_3",
                    "after insert or delete or update",
                    source,
                    "note_changed",
                ),
            ],
        )?;
        let (_, message) = refused(client, write)?;
        ensure!(
            message.contains("is not one that lockstep installed"),
            "{message}"
        );
        run_each(
            client,
            &[
                "reset role",
                &format!("drop trigger forged_1 on tenant.{target}"),
                &format!("drop trigger forged_2 on tenant.{target}"),
                &format!("drop trigger forged_3 on tenant.{source}"),
                "set role mallory",
            ],
        )?;
    }
    Ok(())
}

#[test]
fn the_number_of_a_carried_definition_is_no_argument() -> Result<()> {
    let Some(mut citus) = start("citus_numbers", 1)? else {
        return Ok(());
    };
    citus.attach_tenant("tenant")?;
    citus.coordinator.batch_execute(
        "create trigger forged after insert on tenant.integrations for each row execute function lockstep_internal.note_changed('-1')",
    )?;
    // The shards are on this node, so the session itself has the definition after its first write.
    let mut client = citus.session(1)?;
    client.batch_execute(
        "insert into tenant.projects (id, namespace_id, has_external_wiki) values (30, 1, true)",
    )?;
    let add = "insert into tenant.integrations (project_id, type_new, active) values (1, 'Integrations::ExternalWiki', true)";
    let (_, message) = refused(&mut client, add)?;
    assert_eq!(
        message,
        "trigger argument \"-1\" is not the number of a definition"
    );
    client.batch_execute("reset role")?;
    let state = "do $$begin perform lockstep_internal.cache_column_state(-1); end$$";
    let (_, message) = refused(&mut client, state)?;
    assert_eq!(message, "cache column definition -1 does not exist");
    Ok(())
}
