//! Whose rights a flush has: the target owner's for its writes, and the source owner's for its reads, like foreign-key actions.
//! Writers of the source need no right on the target.

use anyhow::Result;
use postgres::Client;

use crate::database;
use crate::surface::refusal::error_of;

/// A database with two roles, `<name>_t` and `<name>_s`, who own target and source without rights on each other's table, and
/// `<name>_writer`, who may only write the source.
fn with_owners(name: &str) -> Result<Client> {
    let mut client = database::empty(name)?;
    client.batch_execute(&format!(
        "create role {name}_t; create role {name}_s; create role {name}_writer;
         create extension lockstep;
         create table projects (id bigint primary key, has_wiki boolean);
         create table integrations (id bigint primary key, project_id bigint, active boolean, author name default current_user);
         create index on integrations (project_id);
         insert into projects select generate_series(1, 4), false;
         alter table projects owner to {name}_t;
         alter table integrations owner to {name}_s;
         grant select, insert, update (project_id, active), delete, truncate on integrations to {name}_writer;
         select lockstep.add_cache_column('projects', 'has_wiki', 'integrations', 'project_id', '{{\"active\": true}}', guard => true);
         revoke usage on schema lockstep from public"
    ))?;
    Ok(client)
}

fn one_owner(client: &mut Client, name: &str) -> Result<()> {
    Ok(client.batch_execute(&format!("alter table integrations owner to {name}_t"))?)
}

/// Makes the writer write in every way; returns the values of projects 1 to 4 after each.
fn write_as_writer(client: &mut Client, name: &str) -> Result<()> {
    let steps = [
        (
            "insert into integrations values (1, 1, true), (2, 2, true), (3, 2, true)",
            "1100",
        ),
        ("insert into integrations values (4, 3, true)", "1110"),
        (
            "update integrations set active = false where id in (1, 2)",
            "0110",
        ),
        (
            "update integrations set project_id = 4 where id = 3",
            "0011",
        ),
        ("delete from integrations where id = 4", "0001"),
        (
            "merge into integrations i using (values (1)) as v (id) on i.id = v.id when matched then update set active = true",
            "1001",
        ),
        ("truncate integrations", "0000"),
    ];
    for (statement, expected) in steps {
        client.batch_execute(&format!("set role {name}_writer"))?;
        client.batch_execute(statement)?;
        client.batch_execute("reset role")?;
        assert_eq!(values(client)?, expected, "after {statement}");
    }
    Ok(())
}

fn values(client: &mut Client) -> Result<String> {
    let row = client.query_one(
        "select string_agg(has_wiki::integer::text, '' order by id) from projects",
        &[],
    )?;
    Ok(row.get(0))
}

#[test]
fn writer_of_the_source_needs_no_right_on_the_target() -> Result<()> {
    let name = "privilege_writer";
    let mut client = with_owners(name)?;
    one_owner(&mut client, name)?;
    write_as_writer(&mut client, name)?;
    client.batch_execute(&format!("set role {name}_writer"))?;
    for statement in [
        "select from projects",
        "update projects set has_wiki = true",
        "select lockstep.attach()",
        "select from lockstep.cache_columns",
    ] {
        let error = error_of(&mut client, statement)?;
        assert_eq!(error.code().code(), "42501", "{statement}: {error:?}");
    }
    Ok(())
}

#[test]
fn owners_of_source_and_target_need_no_right_on_each_other() -> Result<()> {
    let name = "privilege_owners";
    let mut client = with_owners(name)?;
    write_as_writer(&mut client, name)?;
    // The target's owner writes the target: the guard and new rows must read the source.
    client.batch_execute("insert into integrations values (5, 5, true), (1, 1, true)")?;
    client.batch_execute(&format!("set role {name}_t"))?;
    client.batch_execute(
        "insert into projects values (5, null), (6, true); update projects set has_wiki = not has_wiki",
    )?;
    client.batch_execute("reset role")?;
    assert_eq!(values(&mut client)?, "100010");
    Ok(())
}

#[test]
fn repair_needs_no_right_on_the_source() -> Result<()> {
    let name = "privilege_repair";
    let mut client = with_owners(name)?;
    client.batch_execute(&format!(
        "grant usage on schema lockstep to {name}_t;
         alter table integrations disable trigger user;
         insert into integrations values (1, 1, true), (2, 2, false);
         alter table integrations enable trigger user"
    ))?;
    client.batch_execute(&format!("set role {name}_t"))?;
    let row = client.query_one(
        "select lockstep.repair_cache_column('projects', 'has_wiki')",
        &[],
    )?;
    assert_eq!(row.get::<_, i64>(0), 1);
    assert_eq!(values(&mut client)?, "1000");
    Ok(())
}

/// Repair by a superuser also runs with the owners' rights, and no owner may read both tables.
#[test]
fn superuser_repairs_tables_of_two_owners() -> Result<()> {
    let name = "privilege_superuser_repair";
    let mut client = with_owners(name)?;
    client.batch_execute(
        "alter table integrations disable trigger user;
         insert into integrations values (1, 1, true);
         alter table integrations enable trigger user;
         select lockstep.repair_cache_column('projects', 'has_wiki')",
    )?;
    assert_eq!(values(&mut client)?, "1000");
    Ok(())
}

#[test]
fn row_security_of_the_target_does_not_hinder_a_flush() -> Result<()> {
    for (name, same_owner) in [
        ("privilege_target_rls", true),
        ("privilege_target_rls_two", false),
    ] {
        let mut client = with_owners(name)?;
        if same_owner {
            one_owner(&mut client, name)?;
        }
        // Even the owner sees and writes nothing directly.
        client.batch_execute(
            "alter table projects enable row level security;
             alter table projects force row level security;
             create policy nothing on projects using (false) with check (false)",
        )?;
        write_as_writer(&mut client, name)?;
    }
    Ok(())
}

/// A writer who sees only their own rows must not turn the column false while another row still matches.
#[test]
fn row_security_of_the_source_does_not_hide_rows_from_a_flush() -> Result<()> {
    for (name, same_owner) in [
        ("privilege_source_rls", true),
        ("privilege_source_rls_two", false),
    ] {
        let mut client = with_owners(name)?;
        if same_owner {
            one_owner(&mut client, name)?;
        }
        client.batch_execute(
            "alter table integrations enable row level security;
             alter table integrations force row level security;
             create policy own on integrations using (author = current_user)",
        )?;
        write_as_writer(&mut client, name)?;
        client.batch_execute(&format!(
            "insert into integrations values (10, 1, true);
             set role {name}_writer;
             insert into integrations values (11, 1, true), (12, 2, true);
             update integrations set active = false;
             reset role"
        ))?;
        let row = client.query_one("select count(*) from integrations where active", &[])?;
        assert_eq!(row.get::<_, i64>(0), 1, "{name}");
        assert_eq!(values(&mut client)?, "1000", "{name}");
        // Repair is not misled either: the owner would see none of these rows.
        client.batch_execute(
            "alter table projects disable trigger user; update projects set has_wiki = null;
             alter table projects enable trigger user;
             select lockstep.repair_cache_column('projects', 'has_wiki')",
        )?;
        assert_eq!(values(&mut client)?, "1000", "{name}");
    }
    Ok(())
}

/// What application triggers on the target see of a flush, and that the writer's identity is restored afterwards.
#[test]
fn flush_runs_as_the_owner_of_the_target_and_ends_as_the_writer() -> Result<()> {
    let name = "privilege_current_user";
    let mut client = with_owners(name)?;
    client.batch_execute(&format!(
        "create table seen (by name, acting_for name);
         grant insert on seen to {name}_t;
         create function see() returns trigger language plpgsql as $$
         begin
           insert into seen values (current_user, session_user);
           if new.id = 4 then raise exception 'refused'; end if;
           return new;
         end $$;
         create trigger see before update on projects for each row execute function see();
         set role {name}_writer;
         insert into integrations values (1, 1, true)"
    ))?;
    let user = "select current_user::text";
    assert_eq!(
        client.query_one(user, &[])?.get::<_, String>(0),
        format!("{name}_writer")
    );
    // An error in the middle of a flush ends it, and restores the role.
    client.batch_execute("begin; savepoint a")?;
    let error = error_of(&mut client, "insert into integrations values (4, 4, true)")?;
    assert_eq!(error.message(), "refused");
    client.batch_execute("rollback to a")?;
    assert_eq!(
        client.query_one(user, &[])?.get::<_, String>(0),
        format!("{name}_writer")
    );
    client.batch_execute("commit; reset role")?;
    let row = client.query_one("select by::text, acting_for::text from seen", &[])?;
    let seen: (String, String) = (row.get(0), row.get(1));
    assert_eq!(seen, (format!("{name}_t"), "postgres".to_owned()));
    Ok(())
}

/// A session that has flushed before notices that a table has a new owner.
#[test]
fn change_of_owner_is_noticed_by_open_sessions() -> Result<()> {
    let name = "privilege_new_owner";
    let mut client = with_owners(name)?;
    client.batch_execute("insert into integrations values (1, 1, true)")?;
    let mut other = database::cluster()?.connect(name)?;
    other.batch_execute(&format!(
        "create role {name}_new;
         reassign owned by {name}_t, {name}_s to {name}_new;
         drop owned by {name}_t, {name}_s, {name}_writer;
         drop role {name}_t, {name}_s, {name}_writer"
    ))?;
    client.batch_execute(
        "insert into integrations values (2, 2, true); delete from integrations where id = 1",
    )?;
    assert_eq!(values(&mut client)?, "0100");
    Ok(())
}
