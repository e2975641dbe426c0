//! Statements that write in several places, and statements that fail halfway.

use anyhow::Result;

use crate::writes::{ROOMS_AND_GUESTS, expect_rooms, with_rooms};

#[test]
fn data_modifying_ctes_of_one_statement_are_flushed_together() -> Result<()> {
    let mut client = with_rooms("writes_cte", ROOMS_AND_GUESTS)?;
    expect_rooms(
        &mut client,
        "insert into guests values (1, 1, true), (3, 3, true), (5, 5, false)",
        &[1, 3],
    )?;
    expect_rooms(
        &mut client,
        "with gone as (delete from guests where id = 1 returning id),
              come as (insert into guests select 9, 2, true from gone returning id),
              moved as (update guests set room_id = 4 where id = 3 returning id)
         update guests set present = true where id = 5",
        &[2, 4, 5],
    )
}

#[test]
fn cte_writes_source_and_target_in_one_statement() -> Result<()> {
    let mut client = with_rooms("writes_cte_target", ROOMS_AND_GUESTS)?;
    expect_rooms(
        &mut client,
        "with built as (insert into rooms (id) values (7) returning id)
         insert into guests select 7, id, true from built",
        &[7],
    )?;
    expect_rooms(
        &mut client,
        "with gone as (delete from rooms where id = 7 returning id) insert into guests select 1, 1, true from gone",
        &[1],
    )
}

#[test]
fn merge_takes_every_branch_at_once() -> Result<()> {
    let mut client = with_rooms("writes_merge", ROOMS_AND_GUESTS)?;
    expect_rooms(
        &mut client,
        "insert into guests values (1, 1, true), (2, 2, false), (3, 3, true)",
        &[1, 3],
    )?;
    expect_rooms(
        &mut client,
        "merge into guests g using (values (1), (2), (3), (4)) v (id) on g.id = v.id
         when matched and v.id = 1 then delete
         when matched and v.id = 2 then update set present = true
         when matched then update set room_id = 5
         when not matched then insert values (v.id, 4, true)",
        &[2, 4, 5],
    )
}

/// The row triggers had noted the first row when the second failed its foreign key.
#[test]
fn statement_that_fails_after_a_savepoint_leaves_no_note() -> Result<()> {
    let mut client = with_rooms("writes_failed", ROOMS_AND_GUESTS)?;
    expect_rooms(&mut client, "insert into guests values (2, 2, true)", &[2])?;
    let mut transaction = client.transaction()?;
    let mut savepoint = transaction.savepoint("here")?;
    let failure = savepoint.batch_execute("insert into guests values (1, 1, true), (9, 999, true)");
    assert!(failure.is_err());
    savepoint.rollback()?;
    let mut savepoint = transaction.savepoint("here")?;
    savepoint.batch_execute("update guests set room_id = 3 where id = 2")?;
    savepoint.commit()?;
    transaction.commit()?;
    expect_rooms(&mut client, "select", &[3])
}

/// The flush itself fails, at its second row, and the exception is caught.
#[test]
fn flush_that_fails_is_undone_with_its_statement() -> Result<()> {
    let mut client = with_rooms("writes_failed_flush", ROOMS_AND_GUESTS)?;
    client.batch_execute(
        "alter table rooms add constraint rooms_closed_check check (not (id = 2 and has_guest))",
    )?;
    expect_rooms(
        &mut client,
        "do $$ begin
           for i in 1..3 loop
             begin
               insert into guests select 10 * i + k, k, true from generate_series(1, 3) k;
             exception when check_violation then
               insert into guests values (i, 3 + i, true);
             end;
           end loop;
         end $$",
        &[4, 5, 6],
    )
}

#[test]
fn exceptions_caught_at_several_depths_undo_only_their_own() -> Result<()> {
    let mut client = with_rooms("writes_exception", ROOMS_AND_GUESTS)?;
    expect_rooms(
        &mut client,
        "do $$ begin
           insert into guests values (1, 1, true);
           begin
             update guests set room_id = 2;
             begin
               delete from guests;
               insert into guests values (3, 3, true);
               raise division_by_zero;
             exception when division_by_zero then
               insert into guests values (4, 4, true);
             end;
             update guests set room_id = 5 where id = 1;
           exception when others then
             raise;
           end;
         end $$",
        &[4, 5],
    )
}

/// At the end of the statement the key exists again, which satisfies a foreign key without an action.
#[test]
fn target_is_deleted_and_inserted_again_by_one_statement() -> Result<()> {
    let tables = ROOMS_AND_GUESTS.replace("on delete cascade", "");
    let mut client = with_rooms("statement_replaced_target", &tables)?;
    expect_rooms(&mut client, "insert into guests values (1, 1, true)", &[1])?;
    expect_rooms(
        &mut client,
        "with gone as (delete from rooms where id = 1 returning id) insert into rooms (id) select id from gone",
        &[1],
    )
}

/// Two rooms swap their keys in one statement, so the referenced key exists at its end.
#[test]
fn keys_of_targets_are_shifted_by_one_statement() -> Result<()> {
    let tables = ROOMS_AND_GUESTS.replace("on delete cascade", "");
    let mut client = with_rooms("statement_shifted_keys", &tables)?;
    expect_rooms(
        &mut client,
        "delete from rooms where id <> 2; insert into guests values (1, 2, true)",
        &[2],
    )?;
    // The row with the higher key is stored first, so that it makes way for the other.
    client.batch_execute("vacuum full rooms")?;
    client.batch_execute("insert into rooms (id) values (1)")?;
    expect_rooms(&mut client, "update rooms set id = id + 1", &[2])
}
