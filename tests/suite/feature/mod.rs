//! Feature flags: the same answer as Flipper's rules, what a session sees when, and concurrent changes.

mod default;
mod flippers;
mod group;
mod hostile;
mod parallel;
mod rights;

use std::collections::BTreeSet;

use anyhow::{Result, anyhow};
use postgres::Client;

use crate::concurrency::{pid_of, wait_until_blocked};
use crate::database::{self, cluster};
use crate::service_account::number;

fn flags(name: &str) -> Result<Client> {
    let mut client = database::empty(name)?;
    client.batch_execute("create extension lockstep; select * from lockstep.attach()")?;
    Ok(client)
}

fn is_on(client: &mut Client, name: &str, actor: Option<&str>) -> Result<bool> {
    let row = client.query_one("select lockstep.feature_enabled($1, $2)", &[&name, &actor])?;
    Ok(row.get(0))
}

#[test]
fn a_change_is_seen_by_the_next_statement() -> Result<()> {
    let name = "feature_seen";
    let mut client = flags(name)?;
    let mut other = cluster()?.connect(name)?;
    for round in 0..20 {
        let wanted = round % 2 == 0;
        other.execute("select lockstep.set_feature('f', $1)", &[&wanted])?;
        assert_eq!(is_on(&mut client, "f", None)?, wanted, "round {round}");
        assert_eq!(
            is_on(&mut client, "f", Some("User:1"))?,
            wanted,
            "round {round}"
        );
    }
    // Not before the commit, and never after a rollback.
    other.batch_execute("begin; select lockstep.set_feature('f', true)")?;
    assert!(is_on(&mut other, "f", None)?);
    assert!(!is_on(&mut client, "f", None)?);
    other.batch_execute("rollback")?;
    assert!(!is_on(&mut other, "f", None)?);
    assert!(!is_on(&mut client, "f", None)?);
    // At READ COMMITTED, each statement of a function sees the current state.
    client.batch_execute(
        "create function look_twice(out before boolean, out after boolean) language plpgsql as $$
         begin
           before := lockstep.feature_enabled('f');
           perform lockstep.set_feature('f', true);
           after := lockstep.feature_enabled('f');
         end $$",
    )?;
    let row = client.query_one("select * from look_twice()", &[])?;
    assert_eq!((row.get(0), row.get(1)), (false, true));
    Ok(())
}

/// A flag that is on is left unchanged, and nobody is recorded; but not by a transaction that does not see that it is off by now.
#[test]
fn what_is_on_is_turned_on_once() -> Result<()> {
    let name = "feature_once";
    let mut client = flags(name)?;
    let mut other = cluster()?.connect(name)?;
    let recorded = "select count(*) from lockstep.feature_audit";
    client.batch_execute("select lockstep.set_feature('f', true)")?;
    assert_eq!(number(&mut client, recorded)?, 2);
    client.batch_execute("select lockstep.set_feature('f', true)")?;
    assert_eq!(number(&mut client, recorded)?, 2);
    for level in ["repeatable read", "serializable"] {
        client.batch_execute(&format!("begin isolation level {level}"))?;
        assert!(is_on(&mut client, "f", None)?);
        other.batch_execute("select lockstep.set_feature('f', false)")?;
        // Whether there is something to change is decided by the current state, whatever the transaction sees.
        client.batch_execute("select lockstep.set_feature('f', true); commit")?;
        assert!(is_on(&mut client, "f", None)?, "{level}");
    }
    Ok(())
}

#[test]
fn a_rollback_to_a_savepoint_is_seen() -> Result<()> {
    let name = "feature_savepoint";
    let mut client = flags(name)?;
    client.batch_execute("begin; savepoint s; select lockstep.set_feature('f', true)")?;
    // A later transaction ends earlier, so that no snapshot limit reveals the rollback.
    cluster()?
        .connect(name)?
        .batch_execute("select pg_current_xact_id()")?;
    assert!(is_on(&mut client, "f", None)?);
    client.batch_execute("rollback to s")?;
    assert!(!is_on(&mut client, "f", None)?);
    client.batch_execute("commit")?;
    // The same with rows written by hand, and with an error caught by a block.
    client.batch_execute(
        "create function caught() returns boolean language plpgsql as $$
         declare inside boolean;
         begin
           begin
             insert into feature_gates (feature_key, key, value, created_at, updated_at) values ('g', 'boolean', 'true', now(), now());
             inside := lockstep.feature_enabled('g');
             raise 'undo';
           exception when raise_exception then null;
           end;
           return inside and not lockstep.feature_enabled('g');
         end $$",
    )?;
    assert!(client.query_one("select caught()", &[])?.get::<_, bool>(0));
    Ok(())
}

#[test]
fn a_frozen_snapshot_stays_as_it_is() -> Result<()> {
    let name = "feature_frozen";
    let mut client = flags(name)?;
    let mut other = cluster()?.connect(name)?;
    for level in ["repeatable read", "serializable"] {
        other.batch_execute("select lockstep.set_feature('f', false)")?;
        client.batch_execute(&format!("begin isolation level {level}"))?;
        assert!(!is_on(&mut client, "f", None)?);
        other.batch_execute("select lockstep.set_feature('f', true)")?;
        assert!(!is_on(&mut client, "f", None)?, "{level}");
        client.batch_execute("commit")?;
        assert!(is_on(&mut client, "f", None)?, "{level}");
    }
    // A cursor sees the state when it was opened, whatever was read in between.
    client.batch_execute("begin; declare c cursor for select lockstep.feature_enabled('f') from generate_series(1, 3)")?;
    assert!(client.query_one("fetch c", &[])?.get::<_, bool>(0));
    other.batch_execute("select lockstep.set_feature('f', false)")?;
    assert!(!is_on(&mut client, "f", None)?);
    assert!(client.query_one("fetch c", &[])?.get::<_, bool>(0));
    assert!(!is_on(&mut client, "f", None)?);
    client.batch_execute("commit")?;
    Ok(())
}

/// Two transactions that each turn off what the other has read: one of them must fail.
#[test]
fn serializable_transactions_are_seen_reading() -> Result<()> {
    let name = "feature_serializable";
    let mut one = flags(name)?;
    let mut two = cluster()?.connect(name)?;
    one.batch_execute(
        "select lockstep.set_feature('a', true); select lockstep.set_feature('b', true)",
    )?;
    for client in [&mut one, &mut two] {
        client.batch_execute("set default_transaction_isolation = 'serializable'")?;
        // So that both have read the flags before.
        assert!(is_on(client, "a", None)? && is_on(client, "b", None)?);
    }
    one.batch_execute("begin")?;
    two.batch_execute("begin")?;
    assert!(is_on(&mut one, "a", None)?);
    assert!(is_on(&mut two, "b", None)?);
    let outcomes = [
        one.batch_execute("select lockstep.set_feature('b', false); commit"),
        two.batch_execute("select lockstep.set_feature('a', false); commit"),
    ];
    let codes: Vec<_> = outcomes
        .iter()
        .filter_map(|outcome| {
            outcome
                .as_ref()
                .err()?
                .code()
                .map(|code| code.code().to_owned())
        })
        .collect();
    assert_eq!(codes, ["40001"]);
    Ok(())
}

#[test]
fn changes_of_one_flag_take_turns() -> Result<()> {
    let name = "feature_turns";
    let mut client = flags(name)?;
    let mut one = cluster()?.connect(name)?;
    let mut two = cluster()?.connect(name)?;
    for first in [
        "select lockstep.set_feature_percentage('f', 1)",
        "select lockstep.set_feature_percentage('f', 10)",
    ] {
        one.batch_execute(&format!("begin; {first}"))?;
        let pid = pid_of(&mut two)?;
        std::thread::scope(|scope| -> Result<()> {
            let waiting = scope
                .spawn(|| two.batch_execute("select lockstep.set_feature_percentage('f', 20)"));
            wait_until_blocked(&mut client, pid)?;
            one.batch_execute("commit")?;
            waiting
                .join()
                .map_err(|_| anyhow!("a session panicked"))??;
            Ok(())
        })?;
        let rows = client.query(
            "select value from feature_gates where feature_key = 'f'",
            &[],
        )?;
        let values: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(values, ["20"]);
    }
    Ok(())
}

#[test]
fn the_view_shows_states_as_flipper_calls_them() -> Result<()> {
    let mut client = flags("feature_view")?;
    client.batch_execute(
        "select lockstep.set_feature('on', true); select lockstep.set_feature('off', false);
         select lockstep.set_feature_percentage('always', 100, 'time'); select lockstep.set_feature_percentage('all', 100);
         select lockstep.set_feature_percentage('none', 0); select lockstep.enable_feature_for('some', 'User:1');
         select lockstep.define_feature('standard', true, 'ops')",
    )?;
    let rows = client.query(
        "select name, state from lockstep.features order by name",
        &[],
    )?;
    let states: BTreeSet<(String, String)> =
        rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let expected = [
        ("all", "conditional"),
        ("always", "on"),
        ("none", "off"),
        ("off", "off"),
        ("on", "on"),
        ("rename_integrations_workers", "off"),
        ("some", "conditional"),
        ("standard", "on"),
    ];
    assert_eq!(
        states,
        expected
            .map(|(name, state)| (name.to_owned(), state.to_owned()))
            .into()
    );
    Ok(())
}

/// Whom an expression selects depends on what the application knows, so the answer is neither on nor off.
#[test]
fn what_only_an_expression_could_tell_is_not_known() -> Result<()> {
    let mut client = flags("feature_expression")?;
    client.batch_execute(
        r#"select lockstep.set_feature('f', false); select lockstep.enable_feature_for('f', 'User:1'); select lockstep.opt_out_of_feature('f', 'User:2');
           insert into feature_gates (feature_key, key, value, created_at, updated_at)
             values ('f', 'expression', '{"Equal": [{"Property": ["plan"]}, "basic"]}', now(), now())"#,
    )?;
    let answer = |client: &mut Client, query: &str| -> Result<Option<bool>> {
        Ok(client
            .query_one(&format!("select lockstep.{query}"), &[])?
            .get(0))
    };
    for (query, expected) in [
        ("feature_enabled('f')", None),
        ("feature_enabled('f', 'User:1')", Some(true)),
        ("feature_enabled('f', 'User:2')", Some(false)),
        ("feature_enabled('f', 'User:3')", None),
        (
            "feature_enabled_for_any('f', '{User:3,User:1}')",
            Some(true),
        ),
        ("feature_enabled_for_any('f', '{User:3,User:4}')", None),
        (
            "feature_enabled_for_any('f', '{User:3,User:2}')",
            Some(false),
        ),
        ("feature_enabled_for_any('f', '{}')", Some(false)),
        ("feature_decision('f') = 'conditional'", Some(true)),
    ] {
        assert_eq!(answer(&mut client, query)?, expected, "{query}");
    }
    let shown = client.query_one(
        "select state, expression like '{\"Equal\"%' from lockstep.features where name = 'f'",
        &[],
    )?;
    assert_eq!(
        (shown.get::<_, &str>(0), shown.get::<_, bool>(1)),
        ("conditional", true)
    );
    // What is on for everybody needs no expression, and a worker's rename waits for that.
    client.batch_execute(
        "select lockstep.rename_worker('Old', 'New', 'f'); select lockstep.enqueue_job('New')",
    )?;
    client.batch_execute(
        "update feature_gates set key = 'boolean', value = 'true' where value = 'User:1'",
    )?;
    assert_eq!(
        answer(&mut client, "feature_enabled('f', 'User:3')")?,
        Some(true)
    );
    client.batch_execute("select lockstep.enqueue_job('Old')")?;
    let names: String = client
        .query_one(
            "select string_agg(worker, ' ' order by id) from lockstep_internal.job",
            &[],
        )?
        .get(0);
    assert_eq!(names, "Old New");
    Ok(())
}
