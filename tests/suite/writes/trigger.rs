//! Application triggers that write to the source or target in between: nested statements, with flushes of their own.

use anyhow::{Context, Result};
use postgres::Client;

use crate::writes::{ROOMS_AND_GUESTS, expect_rooms, with_rooms};

/// An application trigger on guests: depending on its name it fires before or after lockstep's, and undoes what the statement
/// did, either directly or in a subtransaction.
fn contrary(client: &mut Client, name: &str, level: &str, body: &str) -> Result<()> {
    client.batch_execute(&format!(
        "create or replace function contradict() returns trigger language plpgsql as $$
         begin
           if pg_trigger_depth() = 1 then {body} end if;
           return null;
         end $$;
         create trigger {name} after insert or update on guests for each {level} execute function contradict()"
    ))?;
    Ok(())
}

const BODIES: [&str; 3] = [
    "update guests set present = false;",
    "begin update guests set present = false; exception when division_by_zero then null; end;",
    "begin
       begin update guests set present = false; raise division_by_zero; exception when division_by_zero then null; end;
       delete from guests;
     exception when division_by_zero then null; end;",
];

#[test]
fn trigger_of_the_host_takes_back_what_a_statement_gained() -> Result<()> {
    let mut client = with_rooms("writes_contrary", ROOMS_AND_GUESTS)?;
    for name in ["aaa", "zzz"] {
        for level in ["row", "statement"] {
            for body in BODIES {
                let mut check = || -> Result<()> {
                    client.batch_execute("delete from guests")?;
                    contrary(&mut client, name, level, body)?;
                    expect_rooms(
                        &mut client,
                        "insert into guests values (1, 1, true), (2, 2, true)",
                        &[],
                    )?;
                    expect_rooms(
                        &mut client,
                        "delete from guests; insert into guests values (1, 1, false)",
                        &[],
                    )?;
                    expect_rooms(&mut client, "update guests set present = true", &[])?;
                    Ok(client.batch_execute(&format!("drop trigger {name} on guests"))?)
                };
                check().with_context(|| format!("{name}, each {level}: {body}"))?;
            }
        }
    }
    Ok(())
}

/// The other way round: the trigger gains what the statement lost.
#[test]
fn trigger_of_the_host_brings_back_what_a_statement_lost() -> Result<()> {
    let mut client = with_rooms("writes_restore", ROOMS_AND_GUESTS)?;
    for name in ["aaa", "zzz"] {
        for level in ["row", "statement"] {
            for body in [
                "update guests set present = true;",
                "begin update guests set present = true; exception when division_by_zero then null; end;",
            ] {
                let mut check = || -> Result<()> {
                    client.batch_execute(
                        "delete from guests; insert into guests values (1, 1, true)",
                    )?;
                    contrary(&mut client, name, level, body)?;
                    expect_rooms(&mut client, "update guests set present = false", &[1])?;
                    expect_rooms(
                        &mut client,
                        "update guests set room_id = 2, present = false",
                        &[2],
                    )?;
                    Ok(client.batch_execute(&format!("drop trigger {name} on guests"))?)
                };
                check().with_context(|| format!("{name}, each {level}: {body}"))?;
            }
        }
    }
    Ok(())
}

/// A flush writes rooms, which fires an application trigger, which writes guests: a flush within a flush.
#[test]
fn trigger_on_the_target_writes_to_the_source_in_the_middle_of_a_flush() -> Result<()> {
    let mut client = with_rooms("writes_nested_flush", ROOMS_AND_GUESTS)?;
    client.batch_execute(
        "create function send_on() returns trigger language plpgsql as $$
         begin
           update guests set room_id = new.id + 1 where room_id = new.id and new.id < 6;
           return null;
         end $$;
         create trigger send_on after update of has_guest on rooms for each row when (new.has_guest)
           execute function send_on()",
    )?;
    expect_rooms(&mut client, "insert into guests values (1, 1, true)", &[6])?;
    expect_rooms(
        &mut client,
        "insert into guests values (2, 2, true), (3, 4, true)",
        &[6],
    )?;
    expect_rooms(&mut client, "delete from guests", &[])
}

/// The trigger redirects an insert to another room.
#[test]
fn row_changed_by_a_before_insert_trigger_counts_as_it_is_stored() -> Result<()> {
    let mut client = with_rooms("writes_before_insert", ROOMS_AND_GUESTS)?;
    client.batch_execute(
        "create function redirect() returns trigger language plpgsql as $$
         begin
           new.room_id := new.room_id + 1;
           return new;
         end $$;
         create trigger redirect before insert on guests for each row execute function redirect()",
    )?;
    expect_rooms(
        &mut client,
        "insert into guests values (1, 1, true), (2, 4, true)",
        &[2, 5],
    )
}

/// The flush of the second definition writes the room, and an application trigger then deletes all pets; the first definition
/// must no longer consider its key gained.
#[test]
fn trigger_on_the_target_contradicts_a_flush_of_two_definitions() -> Result<()> {
    let mut client = crate::database::empty("trigger_two_definitions")?;
    client.batch_execute(
        "create extension lockstep;
         create table rooms (id bigint primary key, has_cat boolean, has_dog boolean);
         create table pets (id bigint primary key, room_id bigint references rooms, kind text not null);
         create index on pets (room_id);
         select lockstep.add_cache_column('rooms', 'has_cat', 'pets', 'room_id', '{\"kind\": \"cat\"}');
         select lockstep.add_cache_column('rooms', 'has_dog', 'pets', 'room_id', '{\"kind\": \"dog\"}');
         insert into rooms values (1);
         create function evict() returns trigger language plpgsql as $$
         begin
           delete from pets where room_id = new.id;
           return null;
         end $$;
         create trigger evict after update on rooms for each row when (new.has_cat or new.has_dog) execute function evict();
         insert into pets values (1, 1, 'cat'), (2, 1, 'dog')",
    )?;
    let row = client.query_one(
        "select has_cat, has_dog, exists (select from pets) from rooms",
        &[],
    )?;
    assert_eq!((row.get(0), row.get(1), row.get(2)), (false, false, false));
    Ok(())
}

/// A rule that replaces updates also replaces those of the column.
#[test]
fn rule_on_the_target_shows_in_the_state() -> Result<()> {
    let mut client = with_rooms("writes_rule", ROOMS_AND_GUESTS)?;
    let state = "select state from lockstep.cache_columns";
    for (rule, expected) in [
        ("on insert to rooms do also nothing", "active"),
        ("on update to rooms do also select 1", "active"),
        (
            "on update to rooms where new.id = 3 do instead nothing",
            "rule on the target replaces its writes",
        ),
        (
            "on update to rooms do instead delete from rooms where id = old.id",
            "rule on the target replaces its writes",
        ),
    ] {
        client.batch_execute(&format!("create rule odd as {rule}"))?;
        let found: String = client.query_one(state, &[])?.get(0);
        assert_eq!(found, expected, "{rule}");
        client.batch_execute("select lockstep.attach(); alter table rooms disable rule odd")?;
        let found: String = client.query_one(state, &[])?.get(0);
        assert_eq!(found, "active", "{rule}, disabled");
        client.batch_execute("drop rule odd on rooms")?;
    }
    Ok(())
}
