//! Flag tables with a malicious owner.

use crate::feature::flags;
use crate::mallory::{self, moves_in, noted};
use crate::service_account::number;
use crate::surface::refusal::{error_of, refused};
use anyhow::{Result, ensure};
use postgres::Client;

const CHANGES: [&str; 12] = [
    "set_feature('f', true, 'mallory')",
    "set_feature('f', false, 'mallory')",
    "set_feature_percentage('f', 5, schema => 'mallory')",
    "enable_feature_for('f', 'User:1', 'mallory')",
    "disable_feature_for('f', 'User:1', 'mallory')",
    "opt_out_of_feature('f', 'User:2', 'mallory')",
    "remove_feature_opt_out('f', 'User:2', 'mallory')",
    "enable_feature_for_group('f', 'g', 'mallory')",
    "disable_feature_for_group('f', 'g', 'mallory')",
    "enable_feature_for_group('f', 'hers', 'mallory')",
    "set_feature_percentage('f', 7, schema => 'mallory')",
    "remove_feature('f', 'mallory')",
];

const LOOKS: [&str; 3] = [
    "select lockstep.feature_enabled('f', 'User:9', 'mallory')",
    "select from lockstep.features",
    "select lockstep.status_report('mallory')",
];

/// Mallory with flag tables; `_other` may write them, `_page` is a sidecar.
fn with_mallory(name: &str) -> Result<Client> {
    let mut client = flags(name)?;
    moves_in(&mut client, name)?;
    let mallory = mallory::role(name);
    client.batch_execute(&format!(
        "create function public.nobody(actor text) returns boolean language sql as 'select false';
         select lockstep.register_feature_group('g', 'public.nobody(text)');
         create extension lockstep_slack; create role {name}_other; create role {name}_page in role lockstep_sidecar;
         grant execute on function lockstep.register_feature_group(text, regprocedure) to {mallory};
         set role {mallory}; select * from lockstep.attach('mallory');
         grant select, insert, update, delete on mallory.features, mallory.feature_gates to {name}_other; reset role"
    ))?;
    Ok(client)
}

#[test]
fn her_code_runs_as_her_alone() -> Result<()> {
    let name = "feature_hostile";
    let mut client = with_mallory(name)?;
    let mallory = mallory::role(name);
    client.batch_execute(&format!(
        "set role {mallory};
         create function mallory.contains(actor text) returns boolean language sql as $$ select mallory.spy('group') $$;
         select mallory.trap('mallory.features'); select mallory.trap('mallory.feature_gates');
         select lockstep.register_feature_group('hers', 'mallory.contains(text)');
         reset role; delete from mallory.seen; set search_path = mallory, pg_catalog"
    ))?;
    for role in ["none", &mallory, &format!("{name}_other")] {
        for call in [
            "attach('mallory')",
            "detach('mallory')",
            "attach('mallory')",
        ] {
            if !role.ends_with("other") {
                client.batch_execute(&format!(
                    "set role {role}; select lockstep.{call}; reset role"
                ))?;
                noted(&mut client, name)?;
            }
        }
        for call in CHANGES {
            client.batch_execute(&format!(
                "set role {role}; select lockstep.{call}; reset role"
            ))?;
            let what = noted(&mut client, name)?;
            ensure!(what.iter().any(|it| it == "before_row"), "{call}: {what:?}");
            if call.starts_with("enable_feature_for_group('f', 'hers'") {
                client.batch_execute(&format!("set role {role}; {}; reset role", LOOKS[0]))?;
                let mut what = noted(&mut client, name)?;
                // PostgreSQL computes an index's expression of constants whenever it has forgotten what it knew of the table.
                what.retain(|it| !it.starts_with("index "));
                ensure!(what == ["group", "group, having tried"], "{what:?}");
            }
            // The audit names the caller, not the owner that the change ran as.
            let recorded = "select array_agg(distinct role) from lockstep.feature_audit where schema = 'mallory'";
            let who: Vec<String> = client.query_one(recorded, &[])?.get(0);
            let expected: String = client
                .query_one(
                    "select coalesce(nullif($1, 'none'), current_user)",
                    &[&role],
                )?
                .get(0);
            ensure!(who == [expected], "{call} as {role}: {who:?}");
        }
        client.batch_execute("delete from lockstep.feature_audit")?;
    }
    client.batch_execute("select lockstep.enable_feature_for_group('f', 'hers', 'mallory')")?;
    noted(&mut client, name)?;
    for role in [
        "none",
        &mallory,
        &format!("{name}_other"),
        &format!("{name}_page"),
    ] {
        for look in LOOKS {
            if !look.contains("status_report") || role == "none" || role.ends_with("page") {
                client.batch_execute(&format!("set role {role}; {look}; reset role"))?;
                noted(&mut client, name)?;
            }
        }
    }
    Ok(())
}

#[test]
fn policies_and_deferred_triggers_of_hers_run_for_nobody_else() -> Result<()> {
    let name = "feature_policy";
    let mut client = with_mallory(name)?;
    let mallory = mallory::role(name);
    client.batch_execute(&format!(
        "select lockstep.set_feature('f', false, 'mallory'); select lockstep.register_feature_group('hers', 'public.nobody(text)');
         set role {mallory}; select mallory.hide('mallory.features'); select mallory.hide('mallory.feature_gates'); reset role;
         delete from mallory.seen"
    ))?;
    let shown = "select count(*) from lockstep.features where schema = 'mallory'";
    for role in [&mallory, &format!("{name}_other")] {
        client.batch_execute(&format!("set role {role}"))?;
        for call in CHANGES {
            refused(
                &mut client,
                &format!("select lockstep.{call}"),
                "42501",
                "row security",
            )?;
        }
        assert_eq!(
            number(&mut client, shown)?,
            0,
            "some of the rows are hidden"
        );
        client.batch_execute(LOOKS[0])?;
        client.batch_execute("reset role")?;
        assert_eq!(noted(&mut client, name)?, [""; 0]);
    }
    for call in CHANGES {
        client.batch_execute(&format!("select lockstep.{call}"))?;
    }
    client.batch_execute("select lockstep.set_feature('f', false, 'mallory')")?;
    assert_eq!(number(&mut client, shown)?, 1);
    let status = "select jsonb_path_query_array(lockstep.status_report('mallory'), '$.features[*].name') ? 'f'";
    client.batch_execute(&format!("set role {name}_page"))?;
    assert!(client.query_one(status, &[])?.get::<_, bool>(0));
    client.batch_execute("reset role")?;
    assert_eq!(noted(&mut client, name)?, [""; 0]);
    // Code that would run at the end of the transaction, as its user.
    client.batch_execute(&format!(
        "set role {mallory}; alter table mallory.features disable row level security; alter table mallory.feature_gates disable row level security;
         select mallory.defer('mallory.features'); select mallory.defer('mallory.feature_gates'); reset role"
    ))?;
    for role in ["none", &mallory, &format!("{name}_other")] {
        client.batch_execute(&format!("set role {role}"))?;
        for call in [
            "set_feature('f', true, 'mallory')",
            "remove_feature('f', 'mallory')",
        ] {
            let error = error_of(&mut client, &format!("select lockstep.{call}"))?;
            ensure!(error.code().code() == "42501", "{error}");
        }
        client.batch_execute("reset role")?;
        assert_eq!(noted(&mut client, name)?, [""; 0]);
    }
    Ok(())
}

/// Changes to one's own tables keep nobody else from seeing flags, and show nobody what they may not see.
#[test]
fn flags_are_shown_where_they_are_recorded() -> Result<()> {
    let name = "feature_shown";
    let mut client = with_mallory(name)?;
    let mallory = mallory::role(name);
    client.batch_execute(
        "select lockstep.set_feature('f', true, 'mallory'); select lockstep.set_feature('f', true)",
    )?;
    let shown = "select count(*) from lockstep.features where schema = 'mallory'";
    let all = "select count(*) from lockstep.features where schema is not null";
    let as_role = |client: &mut Client, role: &str, query: &str| -> Result<i64> {
        client.batch_execute(&format!("set role {role}"))?;
        let number = number(client, query)?;
        client.batch_execute("reset role")?;
        Ok(number)
    };
    for (role, count) in [
        ("none".to_owned(), 1),
        (mallory.clone(), 1),
        (format!("{name}_other"), 1),
        (format!("{name}_page"), 0),
    ] {
        assert_eq!(as_role(&mut client, &role, shown)?, count, "{role}");
    }
    // Both tables matter, and so does the schema.
    for (take, give) in [
        (
            "revoke select on mallory.feature_gates from {other}",
            "grant select on mallory.feature_gates to {other}",
        ),
        (
            "revoke usage on schema mallory from public",
            "grant usage on schema mallory to public",
        ),
    ] {
        let other = format!("{name}_other");
        client.batch_execute(&take.replace("{other}", &other))?;
        assert_eq!(as_role(&mut client, &other, shown)?, 0, "{take}");
        let error = {
            client.batch_execute(&format!("set role {other}"))?;
            let error = error_of(
                &mut client,
                "select lockstep.set_feature('f', false, 'mallory')",
            )?;
            client.batch_execute("reset role")?;
            error
        };
        ensure!(error.code().code() == "42501", "{error}");
        client.batch_execute(&give.replace("{other}", &other))?;
    }
    for (hide, show) in [
        ("alter table mallory.features disable trigger lockstep_feature_audit", "alter table mallory.features enable trigger lockstep_feature_audit"),
        (
            "drop trigger lockstep_feature_audit_truncate on mallory.feature_gates",
            "select lockstep.attach('mallory')",
        ),
        // A trigger with that name that does something else.
        (
            "drop trigger lockstep_feature_audit on mallory.features;
             create trigger lockstep_feature_audit after insert or update or delete on mallory.features for each row execute function mallory.watch()",
            "drop trigger lockstep_feature_audit on mallory.features; select lockstep.attach('mallory')",
        ),
        // Only her own report is wrong.
        ("revoke select on mallory.features from {mallory}", "grant select on mallory.features to {mallory}"),
    ] {
        let hers = |statements: &str| format!("set role {mallory}; {}; reset role", statements.replace("{mallory}", &mallory));
        client.batch_execute(&hers(hide))?;
        assert_eq!(number(&mut client, all)?, 1, "{hide}");
        if !hide.starts_with("revoke") {
            refused(&mut client, "select lockstep.set_feature('f', true, 'mallory')", "55000", "not recorded")?;
        }
        client.batch_execute(&hers(show))?;
        assert_eq!(number(&mut client, all)?, 2, "{show}");
    }
    // Tables of two owners are ignored.
    client.batch_execute(&format!(
        "alter table mallory.feature_gates owner to {name}_other"
    ))?;
    assert_eq!(number(&mut client, all)?, 1);
    for call in [
        "set_feature('f', true, 'mallory')",
        "feature_enabled('f', null, 'mallory')",
    ] {
        refused(
            &mut client,
            &format!("select lockstep.{call}"),
            "42501",
            "same owner",
        )?;
    }
    Ok(())
}

/// Any user may put the trigger on a table of their own: it audits into that table's schema, or fails.
#[test]
fn a_trigger_that_somebody_else_has_made() -> Result<()> {
    let name = "feature_forged";
    let mut client = flags(name)?;
    moves_in(&mut client, name)?;
    let mallory = mallory::role(name);
    let forge = |columns: &str| {
        format!(
            "set role {mallory}; drop table if exists mallory.feature_gates; create table mallory.feature_gates ({columns});
             create trigger forged after insert or update or delete on mallory.feature_gates for each row execute function lockstep_internal.audit_feature();
             create trigger empty after insert on mallory.feature_gates for each statement execute function lockstep_internal.audit_feature();
             create trigger forged_first before insert on mallory.feature_gates for each row when (new.key is null)
               execute function lockstep_internal.audit_feature()"
        )
    };
    client.batch_execute(&forge("feature_key text, key text, value text"))?;
    client.batch_execute(
        "insert into mallory.feature_gates values ('f', 'boolean', 'true'), (null, null, null)",
    )?;
    client.batch_execute("reset role")?;
    let rows = client.query(
        "select distinct schema, role from lockstep.feature_audit",
        &[],
    )?;
    let rows: Vec<(String, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(rows, [("mallory".to_owned(), mallory.clone())]);
    for columns in [
        "feature_key text, key text, value bigint",
        "feature_key text, key mallory.watched, value text",
        "feature_key text[], key text, value text",
    ] {
        client.batch_execute(&forge(columns))?;
        refused(
            &mut client,
            "insert into mallory.feature_gates default values",
            "42804",
            "not text",
        )?;
        client.batch_execute("reset role")?;
    }
    client.batch_execute(&forge("feature_key text, key text"))?;
    refused(
        &mut client,
        "insert into mallory.feature_gates default values",
        "42703",
        "value",
    )?;
    client.batch_execute(
        "create table mallory.other (key text); create trigger forged after insert on mallory.other for each row execute function lockstep_internal.audit_feature()",
    )?;
    refused(
        &mut client,
        "insert into mallory.other values ('f')",
        "55000",
        "not a feature flag table",
    )?;
    // Tables with types that are not built in are not accepted.
    client.batch_execute("reset role; drop table mallory.feature_gates")?;
    client.batch_execute(&format!(
        "set role {mallory}; create domain mallory.name as text check (mallory.spy('name'));
         create table mallory.features (id bigint, key mallory.name, created_at timestamp, updated_at timestamp);
         create table mallory.feature_gates (id bigint, feature_key text, key text, value text, created_at timestamp, updated_at timestamp)"
    ))?;
    let row = client.query_one(
        "select status, detail from lockstep.attach('mallory') where feature = 'feature_flags'",
        &[],
    )?;
    assert_eq!(row.get::<_, &str>(0), "skipped");
    assert!(
        row.get::<_, &str>(1)
            .contains("is of type mallory.name, not text")
    );
    refused(
        &mut client,
        "select lockstep.feature_enabled('f', null, 'mallory')",
        "42804",
        "not text",
    )?;
    client.batch_execute("reset role")?;
    assert_eq!(noted(&mut client, name)?, [""; 0]);
    Ok(())
}

/// Whoever locks flag tables keeps nobody else from reading theirs.
#[test]
fn locked_tables_of_hers_keep_nobody_from_reading() -> Result<()> {
    let name = "feature_locked";
    let mut client = with_mallory(name)?;
    client.batch_execute("select lockstep.set_feature('mine', true)")?;
    let mut hers = crate::database::cluster()?.connect(name)?;
    hers.batch_execute("begin; lock table mallory.features, mallory.feature_gates")?;
    client.batch_execute("set statement_timeout = '30s'")?;
    for (timeout, count) in [("0", 1), ("10ms", 1)] {
        client.batch_execute(&format!("set lock_timeout = '{timeout}'"))?;
        let mine = "select count(*) from lockstep.features where name = 'mine'";
        assert_eq!(number(&mut client, mine)?, count, "{timeout}");
    }
    Ok(())
}

/// Anybody may put the trigger on a table; what that writes is bounded.
#[test]
fn the_audit_takes_no_temporary_tables_and_no_long_texts() -> Result<()> {
    let name = "feature_audited";
    let mut client = with_mallory(name)?;
    let mallory = mallory::role(name);
    client.batch_execute(&format!(
        "set role {mallory}; create temp table features (key text);
         create trigger t after insert on pg_temp.features for each row execute function lockstep_internal.audit_feature()"
    ))?;
    refused(
        &mut client,
        "insert into pg_temp.features values ('f')",
        "55000",
        "not a feature flag table",
    )?;
    client.batch_execute(
        "insert into mallory.features (key, created_at, updated_at) values (repeat('ä', 2000), now(), now());
         insert into mallory.feature_gates (feature_key, key, value, created_at, updated_at)
           values ('f', repeat('k', 2000), repeat('v', 100000), now(), now())",
    )?;
    let longest = "select max(pg_catalog.length(a::text))::bigint from lockstep.feature_audit a where schema = 'mallory'";
    client.batch_execute("reset role")?;
    let longest = number(&mut client, longest)?;
    ensure!((10_000..12_000).contains(&longest), "{longest}");
    Ok(())
}
