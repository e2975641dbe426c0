//! Code of a table's owner names things without a schema: it finds what lies beside its table, whoever's statement runs it, and
//! whether or not our function pins its own search path.

use anyhow::Result;
use postgres::Client;

use crate::database;
use crate::service_account::number;
use crate::surface::refusal::error_of;
use crate::writes::{DEFINE, ROOMS_AND_GUESTS};

/// Tables of `{owner}` whose triggers and functions use no schema; `{other}` may write them, and has a schema of its own.
const TABLES: &str = "
create table note (who text, what text); create table office (open boolean); insert into office values (false);
create table staff (who text); insert into staff values ('User:1');
create function jot() returns trigger language plpgsql as $$ begin insert into note values (current_user, tg_table_name); return null; end $$;
create trigger jot after update on rooms for each row execute function jot();
create trigger jot after insert or update on features for each row execute function jot();
create trigger jot after insert or update on feature_gates for each row execute function jot();
create function is_staff(actor text) returns boolean language sql as 'select exists (select from staff where who = actor)';
create function is_busy() returns text language sql as 'select ''office hours'' where (select open from office)';
select lockstep.register_feature_group('staff', 'is_staff(text)'); select lockstep.enable_feature_for_group('of_staff', 'staff');
grant select, insert, update, delete on guests, features, feature_gates to {other};
grant usage on all sequences in schema public to {other};
insert into rooms (id) values (1), (2); insert into guests values (1, 1, true); delete from note";

/// What `{other}` has under the same names.
const TRAPS: &str = "
create table SCHEMA.note (who text, what text); create table SCHEMA.staff (who text);
create function SCHEMA.spring() returns trigger language plpgsql as $$ begin insert into loot.loot values (current_user); return new; end $$;
create function SCHEMA.sprung() returns text language plpgsql as $$ begin insert into loot.loot values (current_user); return 'User:2'; end $$;
create trigger spring before insert on SCHEMA.note for each row execute function SCHEMA.spring();
drop table SCHEMA.staff; create view SCHEMA.staff as select SCHEMA.sprung() as who;
grant all on SCHEMA.note, SCHEMA.staff to public";

fn with_owner(name: &str) -> Result<Client> {
    let mut client = database::empty(name)?;
    let (owner, other) = (format!("{name}_owner"), format!("{name}_other"));
    let tables = TABLES.replace("{other}", &other);
    client.batch_execute(&format!(
        "create extension lockstep; create role {owner} in role lockstep_admin; create role {other}; grant create on schema public to {owner};
         create schema hers authorization {other}; grant usage on schema hers to public;
         create schema loot; grant usage on schema loot to public; create table loot.loot (who text); grant all on loot.loot to public;
         set role {owner}; {ROOMS_AND_GUESTS} {DEFINE}; select * from lockstep.attach(); {tables}; reset role"
    ))?;
    Ok(client)
}

/// How often the owner's code has noted something since the last call.
fn noted(client: &mut Client) -> Result<i64> {
    number(
        client,
        "with gone as (delete from public.note returning 1) select count(*) from gone",
    )
}

#[test]
fn other_roles_cannot_put_theirs_before_it() -> Result<()> {
    let name = "bare_names";
    let mut client = with_owner(name)?;
    let other = format!("{name}_other");
    client.batch_execute(&format!("set role {other}"))?;
    for schema in ["pg_temp", "hers"] {
        client.batch_execute(&TRAPS.replace("SCHEMA", schema))?;
    }
    // They work; otherwise this would prove nothing.
    client.batch_execute("insert into hers.note values ('', ''); insert into pg_temp.note values ('', ''); table hers.staff; reset role")?;
    assert_eq!(number(&mut client, "select count(*) from loot.loot")?, 3);
    for path in [
        "hers, public",
        "pg_temp, public",
        "public",
        "hers, pg_catalog",
    ] {
        for (call, is_noted) in [
            (
                "update public.guests set present = not present where id = 1",
                true,
            ),
            (
                "select lockstep.set_feature('f', true); select lockstep.set_feature('f', false)",
                true,
            ),
            (
                "select lockstep.set_feature_percentage('f', 5); select lockstep.set_feature('f', false)",
                true,
            ),
            (
                "select lockstep.enable_feature_for('f', 'User:1'); select lockstep.disable_feature_for('f', 'User:1')",
                true,
            ),
            (
                "select lockstep.feature_enabled('of_staff', 'User:1')",
                false,
            ),
            (
                "select lockstep.feature_enabled('of_staff', 'User:2')",
                false,
            ),
        ] {
            client.batch_execute(&format!(
                "set role {other}; set search_path = {path}; {call}; reset role; reset search_path"
            ))?;
            let found = number(
                &mut client,
                &format!("select count(*) from loot.loot where who <> '{other}'"),
            )?;
            assert_eq!(found, 0, "{path}: {call}");
            assert_eq!(noted(&mut client)? > 0, is_noted, "{path}: {call}");
        }
    }
    let query = "select count(*) from unnest(array['User:1', 'User:2']) a where lockstep.feature_enabled('of_staff', a)";
    client.batch_execute(&format!(
        "set role {other}; set search_path = pg_temp, hers, public"
    ))?;
    assert_eq!(
        number(&mut client, query)?,
        1,
        "User:1 is staff, User:2 is not"
    );
    Ok(())
}

/// Our functions pin their search path, which is not that of the owner's triggers and functions.
#[test]
fn an_owners_code_works_in_each_of_our_functions() -> Result<()> {
    let name = "bare_names_own";
    let mut client = with_owner(name)?;
    let hold = r#"call lockstep.backfill('cache_columns', 'rooms', settings => '{"hold_function": "is_busy"}')"#;
    for role in [&format!("{name}_owner"), "none"] {
        client.batch_execute(&format!("set role {role}; set statement_timeout = '1min'"))?;
        for call in [
            "select lockstep.repair_cache_column('rooms', 'has_guest')",
            "call lockstep.backfill('cache_columns', 'rooms')",
            "select * from lockstep.backfill_batch('cache_columns', 1, 2, \"table\" => 'rooms')",
            hold,
            "select lockstep.set_feature('f', true)",
            "select lockstep.enable_feature_for_group('g', 'staff'); select lockstep.disable_feature_for_group('g', 'staff')",
            "select lockstep.set_feature('f', false); select lockstep.set_feature_percentage('f', 5)",
        ] {
            client.batch_execute("alter table rooms disable trigger jot; update rooms set has_guest = null where id = 1;
                                  alter table rooms enable trigger jot; delete from note")?;
            client.batch_execute(call)?;
            assert!(noted(&mut client)? > 0, "{role}: {call}");
        }
    }
    Ok(())
}

/// The function of a group runs as its owner. EXECUTE on it is not the right to lend the owner's rights to everybody.
#[test]
fn nobody_registers_a_group_for_someone_else() -> Result<()> {
    let name = "bare_names_group";
    let mut client = with_owner(name)?;
    client.batch_execute(&format!(
        "create role {name}_admin in role lockstep_admin;
         create function purge(actor text) returns boolean language plpgsql as $$ begin delete from loot.loot; return true; end $$;
         create function nobody(actor text) returns boolean language sql as 'select true'; alter function nobody(text) owner to {name}_owner;
         insert into loot.loot values ('kept'); set role {name}_admin"
    ))?;
    for function in ["purge(text)", "nobody(text)"] {
        let error = error_of(
            &mut client,
            &format!("select lockstep.register_feature_group('g', '{function}')"),
        )?;
        assert_eq!(error.code().code(), "42501", "{error:?}");
    }
    // Nor by a row that is restored, or that was right before the function changed hands.
    client.batch_execute(&format!(
        "reset role; insert into lockstep.feature_group values ('g', 'public.purge', '{name}_admin');
         set role {name}_owner; select lockstep.register_feature_group('h', 'nobody(text)'); reset role;
         insert into feature_gates (feature_key, key, value, created_at, updated_at) values ('f', 'groups', 'g', now(), now()), ('h', 'groups', 'h', now(), now())"
    ))?;
    let on = "select count(*) filter (where lockstep.feature_enabled('f', 'User:1')) * 10 + count(*) filter (where lockstep.feature_enabled('h', 'User:1')) from (select) s";
    assert_eq!(number(&mut client, on)?, 1);
    client.batch_execute("alter function nobody(text) owner to current_user")?;
    assert_eq!(number(&mut client, on)?, 0);
    assert_eq!(number(&mut client, "select count(*) from loot.loot")?, 1);
    Ok(())
}
