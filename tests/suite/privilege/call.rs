//! Who may call what: the owner of both tables decides, and nobody else writes definitions or triggers.

use anyhow::Result;
use postgres::Client;

use crate::database;
use crate::surface::refusal::{error_of, refused};

/// A database with `<name>_owner`, who owns the application's tables, and `<name>_other`, who owns similar tables in another
/// schema.
fn with_roles(name: &str) -> Result<Client> {
    let mut client = database::empty(name)?;
    let tables = "
        create table projects (id bigint primary key, has_external_wiki boolean, has_external_issue_tracker boolean);
        create table integrations (id bigint primary key, project_id bigint references projects, active boolean, category varchar, type_new text);
        create index on integrations (project_id);";
    client.batch_execute(&format!(
        "create role {name}_owner; create role {name}_other;
         create extension lockstep;
         create schema app authorization {name}_owner;
         create schema their authorization {name}_other;
         grant usage on schema app to public;
         set role {name}_owner; set search_path = app; {tables}
         set role {name}_other; set search_path = their; {tables}
         reset role; reset search_path"
    ))?;
    Ok(client)
}

const ADD: &str = "lockstep.add_cache_column('app.projects', 'has_external_wiki', 'app.integrations', 'project_id', '{\"active\": true}')";

#[test]
fn owner_of_both_tables_needs_no_superuser() -> Result<()> {
    let name = "privilege_owner";
    let mut client = with_roles(name)?;
    client.batch_execute(&format!("set role {name}_owner"))?;
    let attached =
        "select count(*) from lockstep.attach('app') a where a.status = any (array['attached'])";
    // Both cache columns, and the tables of feature flags.
    assert_eq!(client.query_one(attached, &[])?.get::<_, i64>(0), 3);
    client.batch_execute(&format!(
        "insert into app.projects values (1);
         insert into app.integrations values (1, 1, true, 'issue_tracker');
         select * from lockstep.cache_column_drift('app.projects', 'has_external_wiki');
         select lockstep.repair_cache_column('app.projects', 'has_external_wiki');
         select * from lockstep.detach('app');
         select {ADD};
         select lockstep.remove_cache_column('app.projects', 'has_external_wiki')"
    ))?;
    let row = client.query_one("select has_external_issue_tracker from app.projects", &[])?;
    assert!(row.get::<_, bool>(0));
    Ok(())
}

#[test]
fn whoever_does_not_own_both_tables_is_refused() -> Result<()> {
    let name = "privilege_not_owner";
    let mut client = with_roles(name)?;
    client.batch_execute(&format!(
        "grant all on all tables in schema app to {name}_other; grant all on schema app to {name}_other; set role {name}_other"
    ))?;
    let of_neither = format!("select {ADD}");
    let of_target_only = of_neither.replace("'app.projects'", "'their.projects'");
    let of_source_only = of_neither.replace("'app.integrations'", "'their.integrations'");
    for (statement, table) in [
        (of_neither.as_str(), "app.projects"),
        (&of_target_only, "app.integrations"),
        (&of_source_only, "app.projects"),
        ("select lockstep.attach('app')", "app."),
    ] {
        refused(&mut client, statement, "42501", table)?;
    }
    client.batch_execute(&format!(
        "set role {name}_owner; select * from lockstep.attach('app'); set role {name}_other"
    ))?;
    for call in [
        "remove_cache_column('app.projects', 'has_external_wiki')",
        "repair_cache_column('app.projects', 'has_external_wiki')",
        "detach('app')",
        "attach('app')",
    ] {
        refused(
            &mut client,
            &format!("select lockstep.{call}"),
            "42501",
            "must be owner of table",
        )?;
    }
    // The source can get another owner later; then both must agree to the removal.
    client.batch_execute(&format!(
        "reset role; alter table app.integrations owner to {name}_other; set role {name}_owner"
    ))?;
    refused(
        &mut client,
        "select lockstep.remove_cache_column('app.projects', 'has_external_wiki')",
        "42501",
        "app.integrations",
    )?;
    Ok(())
}

#[test]
fn member_of_the_owning_role_may_call() -> Result<()> {
    let name = "privilege_member";
    let mut client = with_roles(name)?;
    client.batch_execute(&format!(
        "create role {name}_member in role {name}_owner; create role {name}_passive noinherit in role {name}_owner;
         set role {name}_passive"
    ))?;
    refused(
        &mut client,
        &format!("select {ADD}"),
        "42501",
        "must be owner",
    )?;
    client.batch_execute(&format!("set role {name}_member; select {ADD}"))?;
    Ok(())
}

#[test]
fn definitions_are_written_by_lockstep_alone() -> Result<()> {
    let name = "privilege_definitions";
    let mut client = with_roles(name)?;
    client.batch_execute(&format!("set role {name}_owner; select {ADD}"))?;
    for role in ["owner", "other"] {
        client.batch_execute(&format!("set role {name}_{role}"))?;
        for statement in [
            "insert into lockstep_internal.cache_column_definition (target_table, target_column, source_table, key_column, match)
             values ('app.projects', 'id', 'their.integrations', 'project_id', '{\"active\": true}')",
            "update lockstep_internal.cache_column_definition set source_table = 'their.integrations'",
            "delete from lockstep_internal.cache_column_definition",
            "truncate lockstep_internal.cache_column_definition",
            "select from lockstep_internal.cache_column_definition",
            "select nextval('lockstep_internal.cache_column_definition_id_seq')",
            "alter table lockstep_internal.cache_column_definition add column x text",
            "create table lockstep.mine ()",
            "update lockstep.cache_columns set guard = true",
        ] {
            let error = error_of(&mut client, statement)?;
            assert!(
                matches!(error.code().code(), "42501" | "55000"),
                "{statement}: {error:?}"
            );
        }
        let row = client.query_one("select count(*) from lockstep.cache_columns", &[])?;
        assert_eq!(row.get::<_, i64>(0), 1);
    }
    Ok(())
}

/// The trigger functions do no harm in the hands of users who may not create a trigger on the tables.
#[test]
fn triggers_are_attached_to_tables_of_ones_own_only() -> Result<()> {
    let name = "privilege_triggers";
    let mut client = with_roles(name)?;
    client.batch_execute(&format!(
        "alter table lockstep_internal.cache_column_definition alter column id restart;
         set role {name}_owner; select {ADD}; insert into app.projects values (1); grant select, insert on app.integrations to {name}_other;
         set role {name}_other"
    ))?;
    for (function, table) in [
        ("note_changed", "integrations"),
        ("note_arrived", "projects"),
    ] {
        let create = |schema: &str| {
            format!(
                "create trigger forged after insert on {schema}.{table} for each row execute function lockstep_internal.{function}('1')"
            )
        };
        let error = error_of(&mut client, &create("app"))?;
        assert_eq!(error.code().code(), "42501", "{error:?}");
        client.batch_execute(&create("their"))?;
        refused(
            &mut client,
            &format!("insert into their.{table} (id) values (1)"),
            "55000",
            "\"forged\"",
        )?;
    }
    // Nor by attaching their table to another user's as a partition.
    let error = error_of(
        &mut client,
        "alter table their.integrations inherit app.integrations",
    )?;
    assert_eq!(error.code().code(), "42501", "{error:?}");
    Ok(())
}

/// Before anything is attached, drift shows what the application's triggers have left wrong.
#[test]
fn drift_is_asked_before_attaching() -> Result<()> {
    let name = "privilege_early_drift";
    let mut client = with_roles(name)?;
    client.batch_execute(&format!(
        "set role {name}_owner;
         insert into app.projects values (1, true, true), (2, null, true), (3, false, false);
         insert into app.integrations values (1, 1, true, 'issue_tracker', 'Integrations::ExternalWiki'),
           (2, 3, true, 'issue_tracker', null)"
    ))?;
    let mut drift = |column: &str| -> Result<Vec<String>> {
        let query = format!(
            "select coalesce(array_agg(concat_ws(' ', key, coalesce(cached::text, 'null'), actual) order by key), '{{}}')
               from lockstep.cache_column_drift('app.projects', '{column}')"
        );
        Ok(client.query_one(&query, &[])?.get(0))
    };
    assert_eq!(drift("has_external_wiki")?, ["2 null f"]);
    assert_eq!(
        drift("has_external_issue_tracker")?,
        ["2 true f", "3 false t"]
    );
    for target in ["app.projects", "app.integrations"] {
        let column = if target == "app.projects" {
            "id"
        } else {
            "has_external_wiki"
        };
        let call = format!("select * from lockstep.cache_column_drift('{target}', '{column}')");
        refused(&mut client, &call, "42704", "is not a cache column")?;
    }
    client.batch_execute(&format!("set role {name}_other"))?;
    let call = "select * from lockstep.cache_column_drift('app.projects', 'has_external_wiki')";
    refused(&mut client, call, "42501", "permission denied")?;
    Ok(())
}

/// Users under row security do not see drift; the owner could lift it at any time.
#[test]
fn drift_is_not_for_those_whom_row_security_concerns() -> Result<()> {
    let name = "privilege_drift_rows";
    let mut client = with_roles(name)?;
    client.batch_execute(&format!(
        "set role {name}_owner; select {ADD}; grant select on app.projects, app.integrations to {name}_other;
         alter table app.integrations enable row level security; alter table app.integrations force row level security"
    ))?;
    let drift = "select * from lockstep.cache_column_drift('app.projects', 'has_external_wiki')";
    client.batch_execute(drift)?;
    client.batch_execute(&format!("set role {name}_other"))?;
    refused(&mut client, drift, "42501", "app.integrations")?;
    Ok(())
}

/// Drift shows nobody what they could not read themselves.
#[test]
fn drift_is_for_those_who_may_read_both_tables() -> Result<()> {
    let name = "privilege_drift";
    let mut client = with_roles(name)?;
    client.batch_execute(&format!("set role {name}_owner; select {ADD}"))?;
    let drift = "select * from lockstep.cache_column_drift('app.projects', 'has_external_wiki')";
    for grant in ["projects", "integrations"] {
        client.batch_execute(&format!("set role {name}_other"))?;
        let error = error_of(&mut client, drift)?;
        assert_eq!(error.code().code(), "42501", "{error:?}");
        client.batch_execute(&format!(
            "set role {name}_owner; grant select on app.{grant} to {name}_other"
        ))?;
    }
    client.batch_execute(&format!("set role {name}_other; {drift}"))?;
    Ok(())
}
