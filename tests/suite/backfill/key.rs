//! Keys of backfills: sparse ones, negative ones, at the limits of their types, texts that look like parts of an array, several
//! columns, partitions.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use crate::backfill::times;
use crate::database::{self, cluster};
use crate::surface::refusal::refused;

/// The key's columns, and a query for its values.
const KEYS: [(&str, &str); 11] = [
    (
        "id date primary key",
        "select date '2020-01-01' + g from generate_series(1, 60) g",
    ),
    (
        "id bigint primary key",
        "select g * g * g * 1000 from generate_series(-60, 60) g",
    ),
    (
        "id bigint primary key",
        "values (-9223372036854775808), (-9223372036854775807), (0), (9223372036854775807)",
    ),
    (
        "id integer primary key",
        "values (-2147483648), (-2147483647), (5), (2147483646), (2147483647)",
    ),
    (
        "id smallint primary key",
        "values (-32768), (-1), (0), (32767)",
    ),
    (
        "id uuid primary key",
        "select gen_random_uuid() from generate_series(1, 100) union all select '00000000-0000-0000-0000-000000000000'",
    ),
    (
        "id text primary key",
        "values (''), ('NULL'), ('null'), ('{}'), ('\"'), ('\\'), ('a,b'), (' a '), ('ä'), ('Z'), ('a'), ($$'$$)",
    ),
    (
        "id text collate \"C\" primary key",
        "values ('b'), ('B'), ('ab'), ('a b'), ('{a,b}')",
    ),
    (
        "a text, b integer, primary key (a, b)",
        "select 'k' || g % 7, g from generate_series(-50, 50) g",
    ),
    (
        "at timestamptz, id bigint, primary key (at, id)",
        "select timestamptz '2020-01-01 00:00:00.123456+00' + g / 3 * interval '1 us', g from generate_series(1, 100) g",
    ),
    (
        "id numeric primary key",
        "select g / 7.0 from generate_series(-50, 50) g",
    ),
];

#[test]
fn each_row_is_done_once_along_any_key() -> Result<()> {
    let mut client = database::empty("backfill_keys")?;
    client.batch_execute(
        "create extension lockstep; set datestyle = 'German, DMY'; set timezone = 'Asia/Kathmandu'",
    )?;
    for (place, (columns, values)) in KEYS.into_iter().enumerate() {
        let table = format!("t{place}");
        client.batch_execute(&format!(
            "create table {table} ({columns}, n integer not null default 0);
             insert into {table} {values};
             select lockstep.register_backfill_job('{table}', '{table}', 'update {table} x set n = x.n + 1 where {{range}}')"
        ))?;
        let rows: i64 = client
            .query_one(&format!("select count(*) from {table}"), &[])?
            .get(0);
        for (round, (sub_batch, range)) in [(1, 2), (2, 3), (7, 1000), (1000, 1000)]
            .into_iter()
            .enumerate()
        {
            client.batch_execute(&format!(
                r#"call lockstep.backfill('{table}', settings => '{{"sub_batch_size": {sub_batch}, "range_size": {range}, "target_ms": 0}}')"#
            ))?;
            let expected = BTreeMap::from([(round as i32 + 1, rows)]);
            assert_eq!(
                times(&mut client, &table)?,
                expected,
                "{columns}, {sub_batch} of {range}"
            );
        }
    }
    Ok(())
}

#[test]
fn dates_are_the_same_under_another_style() -> Result<()> {
    let mut client = database::empty("backfill_dates")?;
    client.batch_execute(
        "create extension lockstep;
         create table days (id date primary key, n integer not null default 0);
         insert into days select date '2020-01-01' + g from generate_series(1, 400) g;
         select lockstep.register_backfill_job('days', 'days', 'update days set n = n + 1 where {range}');
         set datestyle = 'German, DMY'",
    )?;
    // The worker has the server's DateStyle.
    let settings = r#"{"sub_batch_size": 7, "range_size": 50, "target_ms": 0}"#;
    let run = crate::backfill::start(&mut client, "days", 1, settings)?;
    crate::backfill::finish(&mut client, run, 400)?;
    assert_eq!(times(&mut client, "days")?, BTreeMap::from([(1, 400)]));
    Ok(())
}

/// The session that registered the job determines what a literal means, whoever runs it and where.
#[test]
fn literals_are_read_as_when_the_job_was_registered() -> Result<()> {
    let name = "backfill_literals";
    let mut client = database::empty(name)?;
    client.batch_execute(
        r"create extension lockstep;
         create table texts (id date primary key, day text, length text, d date, at timestamptz, i text, s text, b text, f text, q tsvector);
         insert into texts select date '2020-01-01' + g, '03/04/2024', '1 2:00' from generate_series(1, 40) g;
         set datestyle = 'SQL, DMY'; set intervalstyle = 'sql_standard'; set timezone = 'Asia/Kathmandu'; set bytea_output = 'escape';
         set standard_conforming_strings = off; set escape_string_warning = off; set backslash_quote = on;
         set extra_float_digits = 0; set default_text_search_config = 'pg_catalog.english';
         select lockstep.register_backfill_job('read', 'texts', $$
           update texts set d = day::date, at = (day || ' 12:00')::timestamptz, i = length::interval::text, s = 'a\'b',
             b = decode('ff', 'hex')::text, f = (0.1::float8 + 0.2::float8)::text, q = to_tsvector('the cats') where {range}$$)",
    )?;
    let right = r"select count(*) from texts where d = make_date(2024, 4, 3) and at = make_timestamptz(2024, 4, 3, 6, 15, 0, 'UTC')
        and i = '1 2:00:00' and s = E'a\'b' and b = E'\\377' and f = '0.3' and q = to_tsvector('english', 'the cats')";
    for settings in [
        "set datestyle = 'ISO, MDY'; set intervalstyle = 'postgres'; set timezone = 'UTC'; set standard_conforming_strings = on",
        "set datestyle = 'German, YMD'; set bytea_output = 'hex'; set extra_float_digits = 1",
    ] {
        let mut other = cluster()?.connect(name)?;
        other.batch_execute(&format!(
            "{settings}; update texts set d = null, at = null, i = null, s = null, b = null, f = null"
        ))?;
        other.batch_execute("call lockstep.backfill('read')")?;
        assert_eq!(crate::service_account::number(&mut other, right)?, 40);
        other.batch_execute("update texts set d = null, i = null")?;
        let run = crate::backfill::start(&mut other, "read", 1, "{}")?;
        crate::backfill::finish(&mut other, run, 40)?;
        assert_eq!(crate::service_account::number(&mut other, right)?, 40);
    }
    Ok(())
}

#[test]
fn partitions_are_one_table() -> Result<()> {
    let mut client = database::empty("backfill_partitions")?;
    client.batch_execute(
        "create extension lockstep;
         create table parts (id bigint primary key, n integer not null default 0) partition by hash (id);
         create table parts_0 partition of parts for values with (modulus 2, remainder 0);
         create table parts_1 partition of parts for values with (modulus 2, remainder 1);
         insert into parts select generate_series(1, 500);
         select lockstep.register_backfill_job('parts', 'parts', 'update parts set n = n + 1 where {range}')",
    )?;
    client.batch_execute(
        r#"call lockstep.backfill('parts', settings => '{"sub_batch_size": 30, "range_size": 100, "target_ms": 0}')"#,
    )?;
    assert_eq!(times(&mut client, "parts")?, BTreeMap::from([(1, 500)]));
    Ok(())
}

#[test]
fn jobs_are_checked_when_they_are_registered() -> Result<()> {
    let mut client = database::empty("backfill_register")?;
    client.batch_execute(
        "create extension lockstep;
         create table t (id bigint primary key, a integer, b integer not null, n integer, p point);
         create unique index on t (a); create unique index on t (b) where n > 0; create index on t (n);
         create table other (id bigint primary key, n integer);
         create table keyless (id bigint);
         create table pointed (p box);
         create view v as select * from t;
         select lockstep.register_backfill_job('taken', 't', 'update t set n = 1 where {range}')",
    )?;
    let cases = [
        (
            "'j', 't', 'update t set n = 1 -- {range}'",
            "22023",
            "not one of a condition",
        ),
        (
            "'j', 't', $$update t set n = length('{range}')$$",
            "22023",
            "not one of a condition",
        ),
        (
            "'j', 't', 'update t set n = 1'",
            "22023",
            "no place for the range",
        ),
        (
            "'j', 't', 'update t set n = 1 where {range} and {range}'",
            "22023",
            "more than one place",
        ),
        (
            "'j', 't', 'update t set id = id + 1000 where {range}'",
            "22023",
            "changes the key",
        ),
        (
            "'j', 't', 'update t set (n, id) = (select 1, t.id + 1000) where {range}'",
            "22023",
            "changes the key",
        ),
        (
            "'j', 't', 'update t set n = 1 where {range}; drop table other'",
            "22023",
            "not one update",
        ),
        (
            "'j', 't', 'delete from t where {range}'",
            "22023",
            "not one update",
        ),
        (
            "'j', 't', 'select 1 from t where {range}'",
            "22023",
            "not one update",
        ),
        (
            "'j', 't', 'with d as (delete from other returning id) update t set n = 1 where {range}'",
            "22023",
            "not one update",
        ),
        (
            "'j', 't', 'update other set n = 1 where {range}'",
            "22023",
            "another table",
        ),
        (
            "'j', 't', 'update t set n = 1 where {range}', '{a}'",
            "42P10",
            "not a unique key",
        ),
        (
            "'j', 't', 'update t set n = 1 where {range}', '{b}'",
            "42P10",
            "not a unique key",
        ),
        (
            "'j', 't', 'update t set n = 1 where {range}', '{n}'",
            "42P10",
            "not a unique key",
        ),
        (
            "'j', 't', 'update t set n = 1 where {range}', '{}'",
            "42P10",
            "not a unique key",
        ),
        (
            "'j', 't', 'update t set n = 1 where {range}', '{gone}'",
            "42703",
            "gone",
        ),
        (
            "'j', 'keyless', 'update keyless set id = 1 where {range}'",
            "55000",
            "primary key",
        ),
        (
            "'j', 'v', 'update v set n = 1 where {range}'",
            "42809",
            "not a table",
        ),
        (
            "'taken', 't', 'update t set n = 1 where {range}'",
            "42710",
            "already exists",
        ),
        (
            "'service_accounts', 't', 'update t set n = 1 where {range}'",
            "42710",
            "already exists",
        ),
        (
            "'No Name', 't', 'update t set n = 1 where {range}'",
            "42602",
            "not a valid name",
        ),
        (
            "null, 't', 'update t set n = 1 where {range}'",
            "22004",
            "name",
        ),
    ];
    for (arguments, sqlstate, message) in cases {
        let call = format!("select lockstep.register_backfill_job({arguments})");
        refused(&mut client, &call, sqlstate, message)?;
    }
    // Each of these could write a row more than once, or never.
    for condition in [
        "where {range} or true",
        "where ({range}) or (true)",
        "where n = 1 or a = 1 and {range}",
        "where not {range}",
        "where {range} is not null",
        "where {range} = true",
        "where {range} is distinct from false",
        "where coalesce({range}, true)",
        "where case when {range} then true else true end",
        "where exists (select where {range})",
        "where n in (select o.n from other o where {range})",
        "from other o where o.id = t.n and exists (select from other p where p.id = o.id and {range})",
        "from other o left join other p on {range} where o.id = t.n",
        "from other o join other p on p.id = o.id and {range} where o.id = t.n",
        "from (select o.id, {range} as r from other o) o where o.id = t.n",
        "where true returning {range}",
    ] {
        let call = format!(
            "select lockstep.register_backfill_job('j', 't', 'update t set n = 1 {condition}')"
        );
        refused(
            &mut client,
            &call,
            "22023",
            "condition that all its rows meet",
        )
        .with_context(|| condition.to_owned())?;
    }
    for condition in [
        "n = case when {range} then 1 end",
        "n = (select 1 where {range})",
    ] {
        let call =
            format!("select lockstep.register_backfill_job('j', 't', 'update t set {condition}')");
        refused(
            &mut client,
            &call,
            "22023",
            "condition that all its rows meet",
        )?;
    }
    for fine in [
        "update t set n = 1 where {range}and n is null",
        "update t set n = 1 where n is null and (a > 0 and ({range})) and (a = 1 or b = 2)",
        "update t x set n = o.n from other o left join other p on p.id = o.n where o.id = x.id and {range}",
        "with o as (select 1 as n) update t set n = o.n from o where {range} returning t.id",
    ] {
        client.batch_execute(&format!(
            "select lockstep.register_backfill_job('fine', 't', '{fine}');
             select lockstep.backfill_batch('fine', 1, 2); select lockstep.unregister_backfill_job('fine')"
        ))?;
    }
    for broken in [
        "update t set gone = 1 where {range}",
        "updat t where {range}",
        "update t set n = 1 where $1 is null and {range}",
    ] {
        let call = format!("select lockstep.register_backfill_job('j', 't', '{broken}')");
        assert!(client.batch_execute(&call).is_err(), "{broken}");
    }
    let jobs = client.query("select name from lockstep.backfill_job", &[])?;
    assert_eq!(jobs.len(), 1);
    client.batch_execute("select lockstep.unregister_backfill_job('taken')")?;
    refused(
        &mut client,
        "select lockstep.start_backfill('taken')",
        "42704",
        "does not exist",
    )?;
    refused(
        &mut client,
        "select lockstep.unregister_backfill_job('taken')",
        "42704",
        "does not exist",
    )?;
    Ok(())
}

#[test]
fn a_job_that_is_registered_anew_is_another() -> Result<()> {
    let mut client = database::empty("backfill_anew")?;
    client.batch_execute(
        "create extension lockstep; create table t (id bigint primary key, n integer); insert into t values (1);
         select lockstep.register_backfill_job('job', 't', 'update t set n = 1 where {range}');
         select lockstep.backfill_batch('job', 1, 1);
         select lockstep.unregister_backfill_job('job')",
    )?;
    client.batch_execute(
        "select lockstep.register_backfill_job('job', 't', 'update t set n = 2 where {range}')",
    )?;
    client.batch_execute("select lockstep.backfill_batch('job', 1, 1)")?;
    assert_eq!(times(&mut client, "t")?, BTreeMap::from([(2, 1)]));
    Ok(())
}

#[test]
fn ids_at_the_limits_of_the_keys_type() -> Result<()> {
    let mut client = database::empty("backfill_limits")?;
    client.batch_execute(
        "create extension lockstep; create table t (id integer primary key, n integer not null default 0);
         insert into t values (-2147483648), (0), (2147483647);
         select lockstep.register_backfill_job('job', 't', 'update t set n = n + 1 where {range}')",
    )?;
    for (start, end, rows) in [
        (i64::MIN, i64::MAX, 3_i64),
        (-2_147_483_648, -2_147_483_648, 1),
        (2_147_483_647, 2_147_483_647, 1),
        (3_000_000_000, 4_000_000_000, 0),
        (-4_000_000_000, -3_000_000_000, 0),
    ] {
        let query = format!("select scanned from lockstep.backfill_batch('job', {start}, {end})");
        let scanned: i64 = client.query_one(&query, &[])?.get(0);
        assert_eq!(scanned, rows, "{start} to {end}");
    }
    Ok(())
}
