//! A match is an object of columns and constants that can be compared.

use anyhow::Result;
use postgres::Client;

use crate::database;
use crate::surface::refusal::refused;

const TABLES: &str = r#"
create type mood as enum ('calm');
create domain positive as integer check (value > 0);
create table target (id bigint primary key, cached boolean, active boolean, parent_id bigint);
create index on target (parent_id);
create table source (
  key bigint, active boolean, text text, small smallint, number integer, numeric numeric, double double precision,
  date date, uuid uuid, mood mood, positive positive, money money, json json, point point
);
create index on source (key);
"#;

fn with_tables(name: &str) -> Result<Client> {
    let mut client = database::empty(name)?;
    client.batch_execute("create extension lockstep")?;
    client.batch_execute(TABLES)?;
    Ok(client)
}

/// Every match is refused with this SQLSTATE and message.
fn refuse_all(name: &str, cases: &[(&str, &str, &str)]) -> Result<()> {
    let mut client = with_tables(name)?;
    for (matches, sqlstate, message) in cases {
        let statement = format!(
            "select lockstep.add_cache_column('target', 'cached', 'source', 'key', '{matches}')"
        );
        refused(&mut client, &statement, sqlstate, message)?;
    }
    // The session still works.
    client.batch_execute(
        "select lockstep.add_cache_column('target', 'cached', 'source', 'key', '{\"active\": true}')",
    )?;
    Ok(())
}

#[test]
fn match_is_an_object_with_columns() -> Result<()> {
    refuse_all(
        "surface_match_object",
        &[
            ("null", "22023", "not null"),
            ("true", "22023", "not boolean"),
            ("1", "22023", "not number"),
            ("\"active\"", "22023", "not string"),
            ("[{\"active\": true}]", "22023", "not array"),
            ("{}", "22023", "at least one column"),
        ],
    )
}

#[test]
fn constants_are_scalars() -> Result<()> {
    refuse_all(
        "surface_match_scalar",
        &[
            ("{\"active\": null}", "22023", "must not be null"),
            (
                "{\"text\": [\"a\", \"b\"]}",
                "22023",
                "not an array or object",
            ),
            (
                "{\"text\": {\"in\": [\"a\"]}}",
                "22023",
                "not an array or object",
            ),
            ("{\"active\": true, \"text\": []}", "22023", "\"text\""),
        ],
    )
}

#[test]
fn columns_of_the_match_are_those_of_the_source() -> Result<()> {
    refuse_all(
        "surface_match_column",
        &[
            ("{\"nothing\": true}", "42703", "column \"nothing\""),
            ("{\"Active\": true}", "42703", "column \"Active\""),
            ("{\"\": true}", "42703", "column \"\""),
            ("{\"ctid\": \"(0,1)\"}", "42703", "column \"ctid\""),
            (
                "{\"active = true or true\": true}",
                "42703",
                "does not exist",
            ),
        ],
    )
}

/// A constant has the JSON type that fits its column, so that "true" and true are not confused.
#[test]
fn constant_of_another_form_is_refused() -> Result<()> {
    refuse_all(
        "surface_match_form",
        &[
            ("{\"active\": \"true\"}", "42804", "is a JSON string"),
            ("{\"active\": 1}", "42804", "is a JSON number"),
            ("{\"text\": true}", "42804", "is a JSON boolean"),
            ("{\"text\": 1}", "42804", "is a JSON number"),
            ("{\"number\": \"1\"}", "42804", "is a JSON string"),
            ("{\"number\": true}", "42804", "is a JSON boolean"),
            ("{\"mood\": 1}", "42804", "is a JSON number"),
            ("{\"date\": 20240101}", "42804", "is a JSON number"),
        ],
    )
}

#[test]
fn constant_that_is_no_value_of_the_type_is_refused() -> Result<()> {
    refuse_all(
        "surface_match_value",
        &[
            ("{\"small\": 70000}", "22P02", "\"small\""),
            ("{\"number\": 1.5}", "22P02", "\"number\""),
            ("{\"number\": 3000000000}", "22P02", "\"number\""),
            ("{\"double\": 1e400}", "22P02", "\"double\""),
            ("{\"date\": \"2024-02-30\"}", "22P02", "\"date\""),
            ("{\"uuid\": \"x\"}", "22P02", "\"uuid\""),
            ("{\"mood\": \"angry\"}", "22P02", "\"mood\""),
            ("{\"active\": true, \"mood\": \"\"}", "22P02", "\"mood\""),
        ],
    )
}

/// Some types have no equality, so they cannot be matched.
#[test]
fn type_without_equality_is_refused() -> Result<()> {
    refuse_all(
        "surface_match_equality",
        &[
            ("{\"json\": \"{}\"}", "42883", "json"),
            ("{\"point\": \"(1,2)\"}", "42883", "point"),
        ],
    )
}

/// Its code would run with every write, and when the definition is read: of a domain, a type based on one, a cast or an operator.
#[test]
fn type_that_is_not_built_in_is_refused() -> Result<()> {
    let mut client = with_tables("surface_match_builtin")?;
    client.batch_execute(
        "create sequence calls;
         create function evil(value text) returns boolean language plpgsql as $$ begin return true; end $$;
         create domain odd as text check (evil(value));
         create type range_of_odd as range (subtype = odd);
         create type pair as (a odd);
         create function to_text(mood) returns text language plpgsql as $$ begin perform nextval('calls'); return 'calm'; end $$;
         create cast (mood as text) with function to_text(mood) as implicit;
         alter table source add odd odd, add odds odd[], add range range_of_odd, add pair pair, add moods mood[];
         insert into target (id) values (1)",
    )?;
    for (column, constant) in [
        ("odd", "x"),
        ("odds", "{x}"),
        ("range", "[a,b)"),
        ("pair", "(x)"),
        ("moods", "{calm}"),
        ("positive", "1"),
    ] {
        let statement = format!(
            "select lockstep.add_cache_column('target', 'cached', 'source', 'key', '{{\"{column}\": \"{constant}\"}}')"
        );
        let (code, words) = match column {
            "positive" => ("42804", "is a JSON string"),
            _ => ("0A000", "is not built in"),
        };
        refused(&mut client, &statement, code, words)?;
    }
    let positive = "select lockstep.add_cache_column('target', 'cached', 'source', 'key', '{\"positive\": 1}')";
    refused(&mut client, positive, "0A000", "is not built in")?;
    // An enum is as good as built in: code that somebody defined for it is not called.
    client.batch_execute(
        "select lockstep.add_cache_column('target', 'cached', 'source', 'key', '{\"mood\": \"calm\"}');
         insert into source (key, mood) values (1, 'calm');
         select lockstep.repair_cache_column('target', 'cached');
         select * from lockstep.cache_column_drift('target', 'cached')",
    )?;
    let row = client.query_one(
        "select cached, (select is_called from calls) from target",
        &[],
    )?;
    assert!(row.get::<_, bool>(0));
    assert!(!row.get::<_, bool>(1));
    Ok(())
}

/// New sessions cannot read the constant any more; the state says so.
#[test]
fn label_of_an_enum_is_renamed() -> Result<()> {
    let mut client = with_tables("surface_match_label")?;
    client.batch_execute(
        "select lockstep.add_cache_column('target', 'cached', 'source', 'key', '{\"mood\": \"calm\"}');
         alter type mood rename value 'calm' to 'quiet'",
    )?;
    let mut fresh = database::cluster()?.connect("surface_match_label")?;
    let state: String = fresh
        .query_one("select state from lockstep.cache_columns", &[])?
        .get(0);
    assert!(
        state.contains("is not a value of type public.mood"),
        "{state}"
    );
    refused(
        &mut fresh,
        "insert into source (key, mood) values (1, 'quiet')",
        "22P02",
        "match for column \"mood\" is not a value of type public.mood",
    )?;
    client.batch_execute("alter type mood rename value 'quiet' to 'calm'")?;
    let state: String = fresh
        .query_one("select state from lockstep.cache_columns", &[])?
        .get(0);
    assert_eq!(state, "active");
    Ok(())
}

#[test]
fn column_cannot_depend_on_itself() -> Result<()> {
    let mut client = with_tables("surface_match_itself")?;
    for matches in [
        "{\"cached\": true}",
        "{\"active\": true, \"cached\": false}",
    ] {
        let statement = format!(
            "select lockstep.add_cache_column('target', 'cached', 'target', 'parent_id', '{matches}')"
        );
        refused(
            &mut client,
            &statement,
            "22023",
            "the cache column \"cached\" itself",
        )?;
    }
    Ok(())
}

/// Large constants are valid: stored and compared completely.
#[test]
fn large_constant_is_kept_whole() -> Result<()> {
    let mut client = with_tables("surface_match_large")?;
    client.batch_execute(
        "select lockstep.add_cache_column('target', 'cached', 'source', 'key', jsonb_build_object('text', repeat('x', 1000000)));
         insert into target (id) values (1), (2);
         insert into source (key, text) values (1, repeat('x', 999999)), (2, repeat('x', 1000000))",
    )?;
    let row = client.query_one("select array_agg(cached order by id) from target", &[])?;
    assert_eq!(row.get::<_, Vec<bool>>(0), [false, true]);
    Ok(())
}
