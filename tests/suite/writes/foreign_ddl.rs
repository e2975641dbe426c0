//! The locks of DDL on tables that lockstep does not use: the same as without lockstep.

use anyhow::{Context, Result, ensure};
use lockstep_tests::host::{self, Layout};
use postgres::Client;

use crate::database;
use crate::writes::ROOMS_AND_GUESTS;

/// Another user's schema, next to the tables of definitions.
const OTHERS: &str = "
create schema other; set search_path = other, public;
create table parent (id integer primary key, note text, twin integer unique);
create table child (id integer primary key, parent_id integer references parent on delete cascade, room_id bigint);
create table p (id integer, region text) partition by list (region);
create table p_north partition of p for values in ('north');
create table p_south (id integer, region text);
create table plain (id integer, room_id bigint);
create index plain_room on plain (room_id);
create sequence numbers;
create view seen as select id from plain;
create materialized view kept as select id from plain;
create type mood as enum ('calm');
create domain positive as integer check (value > 0);
create function nothing() returns trigger language plpgsql as $$ begin return null; end $$;
create trigger lockstep_changed after insert on plain for each row execute function nothing();
create trigger lockstep_flush after insert on plain for each statement execute function nothing();
create rule quiet as on delete to plain do also nothing;
alter table plain enable row level security;
create policy everyone on plain using (true);
";

const DDL: [&str; 44] = [
    "create temp table scratch (id integer primary key)",
    "create temp table scratch (id integer primary key); drop table scratch",
    "create table fresh (id integer primary key, parent_id integer references parent)",
    "create table fresh as select 1 as id",
    "create unlogged table fresh (like parent including all)",
    "drop table child",
    "drop table parent cascade",
    "drop table plain cascade",
    "alter table plain add column x integer",
    "alter table plain add column x timestamptz default clock_timestamp()",
    "alter table plain drop column id cascade",
    "alter table plain rename to plainer",
    "alter table plain rename column id to number",
    "alter table plain set schema public",
    "alter table plain alter column room_id type integer",
    "alter table plain add primary key (id)",
    "alter table plain add constraint sensible check (id > 0) not valid",
    "alter table plain disable trigger all",
    "alter table plain enable always trigger lockstep_flush",
    "alter table child drop constraint child_parent_id_fkey",
    "alter table child add foreign key (parent_id) references parent (twin)",
    "alter table p attach partition p_south for values in ('south')",
    "alter table p detach partition p_north",
    "create table p_east partition of p for values in ('east')",
    "create table p_rest partition of p default",
    "drop table p_north",
    "drop table p",
    "create index on plain (id)",
    "drop index plain_room",
    "reindex table plain",
    "cluster plain using plain_room",
    "create view more as select * from plain",
    "drop view seen",
    "drop materialized view kept",
    "create trigger mine before update on plain for each row execute function nothing()",
    "drop trigger lockstep_changed on plain",
    "drop trigger lockstep_flush on plain; drop function nothing() cascade",
    "create or replace function nothing() returns trigger language plpgsql as $$ begin return new; end $$",
    "create type pair as (a integer, b integer); drop type mood; drop domain positive",
    "truncate plain, child",
    "comment on table plain is 'plain'; grant select on plain to public; analyze plain",
    "drop policy everyone on plain; drop rule quiet on plain",
    "drop schema other cascade",
    "create schema another; create sequence another.numbers; drop sequence numbers",
];

/// The transaction's locks by name; the name of a TOAST table contains an OID, which differs.
const LOCKS: &str = "
select coalesce(string_agg(distinct l.locktype || ' '
         || coalesce(regexp_replace(l.relation::regclass::text, '[0-9]{4,}', 'N'), l.classid::regclass::text, '') || ' ' || l.mode, e'\\n'), '')
  from pg_locks l where l.pid = pg_backend_pid() and l.locktype not in ('virtualxid', 'transactionid', 'object')
   and l.database = (select oid from pg_database where datname = current_database())";

fn locks_of(client: &mut Client, ddl: &str) -> Result<String> {
    client.batch_execute("begin")?;
    client.batch_execute(ddl).with_context(|| ddl.to_owned())?;
    let locks = client.query_one(LOCKS, &[])?.get(0);
    client.batch_execute("rollback")?;
    Ok(locks)
}

#[test]
fn others_ddl_takes_no_lock_of_ours() -> Result<()> {
    let mut without = database::empty("foreign_ddl_without")?;
    let mut with = database::empty("foreign_ddl_with")?;
    with.batch_execute("create extension lockstep")?;
    for client in [&mut without, &mut with] {
        client.batch_execute(ROOMS_AND_GUESTS)?;
        client.batch_execute(
            "create table visits (id bigint, room_id bigint, present boolean, region text) partition by list (region);
             create table visits_1 partition of visits for values in ('1');
             create index on visits (room_id);
             alter table rooms add column visited boolean;",
        )?;
        client.batch_execute(OTHERS)?;
    }
    with.batch_execute(crate::writes::DEFINE)?;
    with.batch_execute(
        "select lockstep.add_cache_column('rooms', 'visited', 'visits', 'room_id', '{\"present\": true}', guard => true);
         insert into rooms values (1); insert into guests values (1, 1, true); insert into visits values (1, 1, true, '1')",
    )?;
    for ddl in DDL {
        let (expected, found) = (locks_of(&mut without, ddl)?, locks_of(&mut with, ddl)?);
        ensure!(!expected.is_empty(), "{ddl}: nothing is locked");
        ensure!(
            expected == found,
            "{ddl}\ntakes {found}\ninstead of {expected}"
        );
    }
    Ok(())
}

#[test]
fn attach_has_no_reader_wait() -> Result<()> {
    let mut client = database::empty("attach_locks")?;
    host::create(&mut client, Layout::Wide)?;
    client.batch_execute("create extension lockstep_slack cascade")?;
    client.batch_execute("create table before as select oid from pg_class")?;
    client.batch_execute("begin")?;
    let attached = client.query(
        "select feature from lockstep.attach() where status = 'attached'
         union all select feature from lockstep.attach_slack() where status = 'attached'",
        &[],
    )?;
    ensure!(attached.len() >= 5, "only {} are attached", attached.len());
    let locks =
        "select coalesce(string_agg(distinct l.relation::regclass || ' ' || l.mode, ', '), '')
                   from pg_locks l join before b on b.oid = l.relation
                  where l.pid = pg_backend_pid() and l.mode = 'AccessExclusiveLock'";
    let locks: String = client.query_one(locks, &[])?.get(0);
    ensure!(locks.is_empty(), "readers wait for {locks}");
    let left = "select count(*) from pg_trigger g join pg_class c on c.oid = g.tgrelid join pg_proc p on p.oid = g.tgfoid
                 where p.pronamespace = 'lockstep_internal'::regnamespace";
    ensure!(client.query_one(left, &[])?.get::<_, i64>(0) > 10);
    // They are still dropped with the extension.
    client.batch_execute("drop extension lockstep cascade; commit")?;
    let left =
        "select count(*) from pg_trigger g where not g.tgisinternal and g.tgname like 'lockstep%'";
    ensure!(client.query_one(left, &[])?.get::<_, i64>(0) == 0);
    Ok(())
}
