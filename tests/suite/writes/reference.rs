//! Statements that free a key of the target and take it again, under every rule that a foreign key may have.

use anyhow::{Result, ensure};
use postgres::{Client, SimpleQueryMessage};

use crate::writes::{DEFINE, with_rooms};

const RULES: [&str; 5] = [
    "no action",
    "restrict",
    "cascade",
    "set null",
    "set default",
];

const KINDS: [&str; 2] = [
    "create table rooms (id bigint primary key, has_guest boolean);",
    "create table rooms (id bigint primary key, has_guest boolean) partition by range (id);
     create table rooms_low partition of rooms for values from (0) to (100);
     create table rooms_high partition of rooms for values from (100) to (200);",
];

/// Room 7 is the default of guests.
const GUESTS: [&str; 4] = ["1", "2", "7", "1, 2, 7"];

const STATEMENTS: [&str; 15] = [
    "update rooms set id = 3 where id = 1",
    "update rooms set id = 150 where id = 1",
    "update rooms set id = 151 - id where id = 1",
    "delete from rooms where id = 1",
    "with freed as (update rooms set id = 3 where id = 1 returning id) insert into rooms select 1 from freed",
    "with freed as (update rooms set id = 150 where id = 1 returning id) insert into rooms select 1 from freed",
    "with freed as (update rooms set id = 3 where id = 1 returning id) insert into rooms select 1, true from freed",
    "with freed as (delete from rooms where id = 1 returning id) insert into rooms select id from freed",
    "with freed as (delete from rooms where id = 1 returning *) insert into rooms select * from freed",
    "with freed as (delete from rooms where id = 7 returning id) insert into rooms select id from freed",
    "with freed as (delete from rooms where id = 2 returning id) update rooms set id = freed.id from freed where rooms.id = 1",
    "with freed as (delete from rooms where id = 7 returning id) update rooms set id = freed.id from freed where rooms.id = 1",
    "with freed as (update rooms set id = 3 where id = 2 returning id) update rooms set id = 2 from freed where rooms.id = 1",
    "with freed as (update rooms set id = 160 where id = 7 returning id) update rooms set id = 7 from freed where rooms.id = 1",
    "merge into rooms using (values (1, 3), (99, 1)) as it (before, after) on rooms.id = it.before
       when matched then update set id = it.after when not matched then insert (id) values (it.after)",
];

/// The rooms whose value is wrong, by a query of its own.
const WRONG: &str = "
select string_agg(id || ' ' || coalesce(has_guest::text, 'null'), ', ' order by id) from rooms
 where has_guest is distinct from exists (select from guests where room_id = rooms.id and present)";

/// Runs a statement and undoes it; what is wrong after it, if it can be run.
fn wrong_after(client: &mut Client, statement: &str) -> Result<Option<Option<String>>> {
    client.batch_execute("begin")?;
    let mut wrong = None;
    if client.batch_execute(statement).is_ok() {
        for message in client.simple_query(WRONG)? {
            if let SimpleQueryMessage::Row(row) = message {
                wrong = Some(row.get(0).map(str::to_owned));
            }
        }
    }
    client.batch_execute("rollback")?;
    Ok(wrong)
}

fn check(kind: usize) -> Result<()> {
    let guests = |on_delete, on_update| {
        format!(
            "create table guests (room_id bigint default 7 references rooms on delete {on_delete} on update {on_update}, present boolean);
             create index on guests (room_id);"
        )
    };
    let name = format!("writes_reference_{kind}");
    let tables = format!("{}{}", KINDS[kind], guests(RULES[0], RULES[0]));
    let mut client = with_rooms(&name, &tables)?;
    client.batch_execute("insert into rooms values (7)")?;
    let (mut run, mut found) = (0, Vec::new());
    for on_delete in RULES {
        for on_update in RULES {
            client.batch_execute(&format!(
                "select lockstep.remove_cache_column('rooms', 'has_guest'); drop table guests; {} {DEFINE}",
                guests(on_delete, on_update)
            ))?;
            for guests in GUESTS {
                client.batch_execute(&format!(
                    "truncate guests; insert into guests select unnest(array[{guests}]), true"
                ))?;
                for statement in STATEMENTS {
                    let Some(wrong) = wrong_after(&mut client, statement)? else {
                        continue;
                    };
                    run += 1;
                    if let Some(wrong) = wrong {
                        found.push(format!(
                            "on delete {on_delete} on update {on_update}, guests {guests}: {statement}: {wrong}"
                        ));
                    }
                }
            }
        }
    }
    ensure!(
        found.is_empty(),
        "{} of {run}:\n{}",
        found.len(),
        found.join("\n")
    );
    ensure!(run > 700, "only {run} statements could be run");
    Ok(())
}

#[test]
fn keys_are_freed_and_taken_again() -> Result<()> {
    check(0)
}

#[test]
fn keys_of_a_partitioned_target_are_freed_and_taken_again() -> Result<()> {
    check(1)
}
