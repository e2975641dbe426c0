//! Who may change flags, and with whose rights groups are evaluated.

use crate::feature::{flags, is_on};
use crate::job::denied;
use crate::service_account::number;
use crate::surface::refusal::error_of;
use anyhow::Result;

#[test]
fn who_may_what() -> Result<()> {
    let name = "feature_rights";
    let mut client = flags(name)?;
    client.batch_execute(&format!(
        "select lockstep.set_feature('f', true); create role {name}_other; create role {name}_writer;
         grant create on database {name} to {name}_other;
         grant select, insert, update, delete on features, feature_gates to {name}_writer;
         grant usage on sequence features_id_seq, feature_gates_id_seq to {name}_writer;
         set role {name}_other"
    ))?;
    // Users affected by a flag learn whether it is on, and nothing more.
    assert!(is_on(&mut client, "f", Some("User:1"))?);
    for call in [
        "set_feature('f', false)",
        "set_feature_percentage('f', 1)",
        "enable_feature_for('f', 'User:1')",
        "disable_feature_for('f', 'User:1')",
        "opt_out_of_feature('f', 'User:1')",
        "remove_feature_opt_out('f', 'User:1')",
        "enable_feature_for_group('f', 'g')",
        "disable_feature_for_group('f', 'g')",
        "remove_feature('f')",
        "define_feature('f')",
        "undefine_feature('f')",
        "register_feature_group('g', 'pg_catalog.texticlike(text, text)')",
        "unregister_feature_group('g')",
    ] {
        denied(&mut client, &format!("select lockstep.{call}"))?;
    }
    denied(&mut client, "select from lockstep.feature_audit")?;
    denied(
        &mut client,
        "insert into lockstep.feature_audit (role, schema, change) values ('me', 'public', 'insert')",
    )?;
    assert_eq!(
        number(
            &mut client,
            "select count(*) from lockstep.features where schema is not null"
        )?,
        0
    );
    // Nor does their search path have any effect.
    client.batch_execute(
        "create schema trap;
         create function trap.equal(text, text) returns boolean language plpgsql as $$ begin raise 'trapped'; end $$;
         create operator trap.= (leftarg = text, rightarg = text, function = trap.equal);
         create function trap.equal(varchar, text) returns boolean language plpgsql as $$ begin raise 'trapped'; end $$;
         create operator trap.= (leftarg = varchar, rightarg = text, function = trap.equal);
         create function trap.now() returns timestamptz language plpgsql as $$ begin raise 'trapped'; end $$;
         grant usage on schema trap to public; set search_path = trap, pg_catalog",
    )?;
    assert!(is_on(&mut client, "f", Some("User:2"))?);
    assert!(!is_on(&mut client, "never", Some("User:2"))?);
    client.batch_execute(&format!("reset role; set role {name}_writer"))?;
    // They need no right on the audit.
    client.batch_execute("select lockstep.set_feature('f', false); select lockstep.enable_feature_for('f', 'User:3')")?;
    assert!(is_on(&mut client, "f", Some("User:3"))?);
    client.batch_execute("reset role; reset search_path")?;
    let rows = client.query(
        "select role, session_role, change, gate, before, after from lockstep.feature_audit where role like 'feature_rights%' order by id",
        &[],
    )?;
    let changes: Vec<_> = rows
        .iter()
        .map(|row| {
            assert_ne!(row.get::<_, &str>(1), row.get::<_, &str>(0));
            (
                row.get::<_, &str>(2),
                row.get::<_, Option<&str>>(4),
                row.get::<_, Option<&str>>(5),
            )
        })
        .collect();
    assert_eq!(
        changes,
        [
            ("delete", Some("true"), None),
            ("insert", None, Some("User:3"))
        ]
    );
    Ok(())
}

/// The function of a group has only the rights of the role that registered it.
#[test]
fn a_group_has_the_rights_of_its_owner() -> Result<()> {
    let name = "feature_group";
    let mut client = flags(name)?;
    client.batch_execute(&format!(
        "create role {name}_owner; grant execute on function lockstep.register_feature_group(text, regprocedure) to {name}_owner;
         create table secrets (t text); insert into secrets values ('s');
         create table members (actor text); insert into members values ('User:1'); grant select on members to {name}_owner;
         create schema theirs authorization {name}_owner;
         set role {name}_owner;
         create function theirs.is_member(actor text) returns boolean language sql as
           $$ select exists (select from public.members m where m.actor = is_member.actor) $$;
         create function theirs.steal(actor text) returns boolean language plpgsql as
           $$ begin perform from public.secrets; return true; end $$;
         select lockstep.register_feature_group('members', 'theirs.is_member(text)');
         select lockstep.register_feature_group('thieves', 'theirs.steal(text)');
         reset role;
         select lockstep.enable_feature_for_group('f', 'members'); select lockstep.enable_feature_for_group('g', 'thieves')"
    ))?;
    assert!(is_on(&mut client, "f", Some("User:1"))?);
    assert!(!is_on(&mut client, "f", Some("User:2"))?);
    let error = error_of(
        &mut client,
        "select lockstep.feature_enabled('g', 'User:1')",
    )?;
    assert_eq!(error.code().code(), "42501", "{error}");
    Ok(())
}

/// Everybody may read these tables, and nothing keeps their owner from changing them.
#[test]
fn changed_tables_of_a_stranger_hide_nobodys_flags() -> Result<()> {
    let name = "feature_changed";
    let mut client = flags(name)?;
    client.batch_execute(&format!(
        "select lockstep.set_feature('mine', true);
         create role {name}_stranger; create schema strange authorization {name}_stranger; grant usage on schema strange to public;
         grant usage on sequence features_id_seq, feature_gates_id_seq to {name}_stranger;
         grant select on features, feature_gates to {name}_stranger; set role {name}_stranger;
         create table strange.features (like public.features including all);
         create table strange.feature_gates (like public.feature_gates including all);
         grant select on all tables in schema strange to public;
         select lockstep.attach('strange', features => '{{feature_flags}}'); reset role"
    ))?;
    let all = "select string_agg(name, ' ') from lockstep.features where schema is not null";
    for change in [
        "alter table strange.features rename column key to k",
        "alter table strange.features rename column k to key; alter table strange.features alter column updated_at type text",
        "drop table strange.feature_gates; create view strange.feature_gates as select 1 as id",
    ] {
        client.batch_execute(&format!("set role {name}_stranger; {change}; reset role"))?;
        let seen: String = client.query_one(all, &[])?.get(0);
        assert_eq!(seen, "mine", "{change}");
    }
    Ok(())
}
