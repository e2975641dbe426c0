//! Triggers that others created, and lockstep's own triggers tampered with: a clear error, never a wrong value.

use anyhow::{Context, Result};
use postgres::Client;

use crate::database;
use crate::surface::refusal::{error_of, refused};

const TABLES: &str = "
create table projects (id bigint primary key, has_wiki boolean);
create table integrations (project_id bigint, active boolean);
create index on integrations (project_id);
create table mine (id bigint primary key, project_id bigint, active boolean, has_wiki boolean);
alter table lockstep_internal.cache_column_definition alter column id restart;
select lockstep.add_cache_column('projects', 'has_wiki', 'integrations', 'project_id', '{\"active\": true}');
insert into projects values (1);
";

fn with_tables(name: &str) -> Result<Client> {
    let mut client = database::empty(name)?;
    client.batch_execute("create extension lockstep")?;
    client.batch_execute(TABLES)?;
    Ok(client)
}

fn has_wiki(client: &mut Client) -> Result<bool> {
    Ok(client
        .query_one("select has_wiki from projects where id = 1", &[])?
        .get(0))
}

/// A user who could note a key for another user's definition could write that user's table.
#[test]
fn trigger_on_a_table_of_ones_own_is_refused_when_it_fires() -> Result<()> {
    let mut client = with_tables("surface_own_trigger")?;
    for (fires, function) in [
        ("after insert", "note_changed"),
        ("before insert", "note_changed"),
        ("after insert", "note_arrived"),
        ("before insert", "set_false_on_insert"),
    ] {
        client.batch_execute(&format!(
            "create trigger forged {fires} on mine for each row execute function lockstep_internal.{function}('1')"
        ))?;
        refused(
            &mut client,
            "insert into mine values (1, 1, true)",
            "55000",
            "\"forged\"",
        )?;
        client.batch_execute("drop trigger forged on mine")?;
    }
    assert!(!has_wiki(&mut client)?);
    Ok(())
}

#[test]
fn trigger_without_the_number_of_a_definition_is_refused_when_it_fires() -> Result<()> {
    let mut client = with_tables("surface_trigger_number")?;
    let cases = [
        ("", "22023", "\"\""),
        ("'one'", "22023", "\"one\""),
        ("'77', 'two'", "22023", "is not the number of a definition"),
        ("'99999999999'", "22023", "\"99999999999\""),
        ("'77'", "55000", "definition 77 does not exist"),
    ];
    for function in ["note_changed", "note_arrived"] {
        for (arguments, sqlstate, message) in cases {
            client.batch_execute(&format!(
                "create trigger forged after insert on mine for each row execute function lockstep_internal.{function}({arguments})"
            ))?;
            refused(
                &mut client,
                "insert into mine values (1, 1, true)",
                sqlstate,
                message,
            )?;
            client.batch_execute("drop trigger forged on mine")?;
        }
    }
    Ok(())
}

/// The statement triggers do nothing if nothing was noted and nothing is defined.
#[test]
fn statement_triggers_on_a_table_of_ones_own_do_nothing() -> Result<()> {
    let mut client = with_tables("surface_own_statement_trigger")?;
    client.batch_execute(
        "create trigger forged after insert on mine for each statement execute function lockstep_internal.flush();
         create trigger forged_too after truncate on mine for each statement execute function lockstep_internal.flush_truncated();
         update projects set has_wiki = true;
         insert into mine values (1, 1, true);
         truncate mine",
    )?;
    assert!(has_wiki(&mut client)?);
    Ok(())
}

/// Row triggers need rows; a trigger without one is refused before reading.
#[test]
fn row_function_in_a_statement_trigger_is_refused() -> Result<()> {
    let mut client = with_tables("surface_rowless")?;
    client.batch_execute(
        "create trigger forged after insert on integrations for each statement execute function lockstep_internal.note_changed('1')"
    )?;
    let error = error_of(&mut client, "insert into integrations values (1, true)")?;
    assert_eq!(error.code().code(), "55000", "{error:?}");
    client.batch_execute("drop trigger forged on integrations")?;
    assert!(!has_wiki(&mut client)?);
    Ok(())
}

#[test]
fn trigger_functions_refuse_to_be_called_directly() -> Result<()> {
    let mut client = with_tables("surface_direct_call")?;
    for function in [
        "flush",
        "flush_truncated",
        "note_changed",
        "note_arrived",
        "set_false_on_insert",
    ] {
        error_of(
            &mut client,
            &format!("select lockstep_internal.{function}()"),
        )
        .with_context(|| format!("{function} has answered"))?;
    }
    Ok(())
}

/// Without its statement trigger enabled, notes would be lost: the transaction cannot commit.
#[test]
fn transaction_with_unflushed_keys_does_not_commit() -> Result<()> {
    let mut client = with_tables("surface_unflushed")?;
    client.batch_execute("alter table integrations disable trigger lockstep_flush")?;
    refused(
        &mut client,
        "insert into integrations values (1, true)",
        "55000",
        "not flushed",
    )?;
    client.batch_execute("begin; insert into integrations values (1, true)")?;
    refused(
        &mut client,
        "prepare transaction 'unflushed'",
        "55000",
        "not flushed",
    )?;
    client.batch_execute("rollback")?;
    // Rolled-back changes need no flush.
    client.batch_execute(
        "begin; savepoint a; insert into integrations values (1, true); rollback to a; commit",
    )?;
    // If it is dropped instead of disabled, the row triggers flush by themselves.
    client.batch_execute(
        "drop trigger lockstep_flush on integrations; insert into integrations values (1, true)",
    )?;
    assert!(has_wiki(&mut client)?);
    Ok(())
}

/// The triggers exist without their definition, as after a restore of the schema only.
#[test]
fn write_without_its_definition_is_refused() -> Result<()> {
    let mut client = with_tables("surface_undefined")?;
    client.batch_execute("delete from lockstep_internal.cache_column_definition")?;
    // A session that has written before may still know it.
    let mut client = database::cluster()?.connect("surface_undefined")?;
    refused(
        &mut client,
        "insert into integrations values (1, true)",
        "55000",
        "definition 1 does not exist",
    )?;
    refused(
        &mut client,
        "insert into projects values (2)",
        "55000",
        "definition 1 does not exist",
    )?;
    // Without the definition nothing says what matches.
    refused(
        &mut client,
        "insert into integrations values (1, false)",
        "55000",
        "definition 1 does not exist",
    )?;
    Ok(())
}
