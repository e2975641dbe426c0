//! Triggers on shards carry their definition, and anyone can write a trigger's argument.

use anyhow::{Result, ensure};

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
    let shard = |client: &mut postgres::Client, table: &str| -> Result<i64> {
        let query = "select shardid from pg_dist_shard where logicalrelid = $1::text::regclass";
        Ok(client.query_one(query, &[&table])?.get(0))
    };
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
        let argument = format!(
            "{{\"definition\": 1, \"target\": {}, \"column\": \"has_external_wiki\", \"source\": {}, \"key\": \"project_id\", \"match\": {{\"active\": true}}}}",
            shard(client, &format!("{target}.{projects}"))?,
            shard(client, &format!("{source}.{integrations}"))?,
        );
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
