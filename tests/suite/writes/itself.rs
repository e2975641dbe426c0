//! A table that is both source and target, and a target of several definitions.

use anyhow::Result;
use postgres::Client;

use crate::database;

fn with_nodes(name: &str, reference: &str) -> Result<Client> {
    let mut client = database::empty(name)?;
    client.batch_execute(&format!(
        "create extension lockstep;
         create table nodes (id bigint primary key, parent_id bigint {reference}, live boolean not null, has_child boolean);
         create index on nodes (parent_id);
         select lockstep.add_cache_column('nodes', 'has_child', 'nodes', 'parent_id', '{{\"live\": true}}')"
    ))?;
    Ok(client)
}

/// Fails unless exactly these nodes have a live child, in fact and in the column.
fn expect(client: &mut Client, statements: &str, parents: &[i64]) -> Result<()> {
    client.batch_execute(statements)?;
    let row = client.query_one(
        "select coalesce(array_agg(n.id order by n.id) filter (where n.has_child), '{}'),
                coalesce(array_agg(n.id order by n.id) filter (where exists (
                  select from nodes c where c.parent_id = n.id and c.live)), '{}')
           from nodes n",
        &[],
    )?;
    let (cached, actual): (Vec<i64>, Vec<i64>) = (row.get(0), row.get(1));
    assert_eq!(
        (cached, actual),
        (parents.to_vec(), parents.to_vec()),
        "{statements}"
    );
    Ok(())
}

#[test]
fn table_refers_to_itself() -> Result<()> {
    let mut client = with_nodes("writes_self", "references nodes on delete cascade")?;
    expect(
        &mut client,
        "insert into nodes values (2, 1, true), (1, null, true), (3, 2, true), (4, 4, true)",
        &[1, 2, 4],
    )?;
    expect(
        &mut client,
        "update nodes set parent_id = 3 where id = 2",
        &[2, 3, 4],
    )?;
    expect(&mut client, "update nodes set live = id = 2", &[3])?;
    expect(&mut client, "update nodes set live = not live", &[2, 4])?;
    expect(&mut client, "delete from nodes where id = 3", &[4])
}

/// Without a foreign key children may exist first, and a key can change.
#[test]
fn table_refers_to_itself_without_a_foreign_key() -> Result<()> {
    let mut client = with_nodes("writes_self_loose", "")?;
    expect(
        &mut client,
        "insert into nodes values (2, 1, true), (3, 2, true)",
        &[2],
    )?;
    expect(
        &mut client,
        "insert into nodes values (1, null, true)",
        &[1, 2],
    )?;
    expect(&mut client, "update nodes set id = id + 10", &[])?;
    expect(
        &mut client,
        "update nodes set parent_id = id, id = id - 10",
        &[],
    )?;
    expect(
        &mut client,
        "update nodes set id = parent_id where id = 3",
        &[13],
    )?;
    expect(&mut client, "truncate nodes", &[])
}

/// One statement affects both definitions, in the same rows and in different ones.
#[test]
fn two_columns_of_one_target_are_kept_by_one_statement() -> Result<()> {
    let mut client = database::empty("writes_two_columns")?;
    client.batch_execute(
        "create extension lockstep;
         create table rooms (id bigint primary key, has_cat boolean, has_dog boolean);
         create table pets (id bigint primary key, room_id bigint references rooms, kind text not null);
         create index on pets (room_id);
         select lockstep.add_cache_column('rooms', 'has_cat', 'pets', 'room_id', '{\"kind\": \"cat\"}');
         select lockstep.add_cache_column('rooms', 'has_dog', 'pets', 'room_id', '{\"kind\": \"dog\"}');
         insert into rooms values (1), (2), (3)",
    )?;
    let mut expect = |statement: &str, cats: &[i64], dogs: &[i64]| -> Result<()> {
        client.batch_execute(statement)?;
        let row = client.query_one(
            "select coalesce(array_agg(id order by id) filter (where has_cat), '{}'),
                    coalesce(array_agg(id order by id) filter (where has_dog), '{}') from rooms",
            &[],
        )?;
        let (has_cat, has_dog): (Vec<i64>, Vec<i64>) = (row.get(0), row.get(1));
        assert_eq!(
            (has_cat, has_dog),
            (cats.to_vec(), dogs.to_vec()),
            "{statement}"
        );
        Ok(())
    };
    expect(
        "insert into pets values (1, 1, 'cat'), (2, 1, 'dog'), (3, 2, 'cat'), (4, 3, 'dog')",
        &[1, 2],
        &[1, 3],
    )?;
    expect(
        "update pets set kind = case kind when 'cat' then 'dog' else 'cat' end",
        &[1, 3],
        &[1, 2],
    )?;
    expect(
        "update pets set room_id = 4 - room_id where id in (3, 4)",
        &[1],
        &[1, 2],
    )?;
    expect("delete from pets where id in (1, 2)", &[1], &[2])?;
    expect("truncate pets", &[], &[])
}
