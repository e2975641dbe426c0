//! Constraints that can be deferred: PostgreSQL refuses lockstep's writes to a table with one, so lockstep refuses the table.

use anyhow::{Result, ensure};
use lockstep_tests::host::{self, Layout};
use postgres::Client;

use crate::database;
use crate::surface::refusal::{error_of, refused};
use crate::writes::{DEFINE, ROOMS_AND_GUESTS, expect_rooms, with_rooms};

const WHY: &str = "deferrable constraint";

fn state(client: &mut Client) -> Result<String> {
    let row = client.query_one("select state from lockstep.cache_columns", &[])?;
    Ok(row.get(0))
}

/// What a call of attach says about a feature.
fn answer(client: &mut Client, call: &str, feature: &str) -> Result<(String, String)> {
    let query = format!("select status, detail from {call} where feature = '{feature}'");
    let row = client.query_one(&query, &[])?;
    Ok((row.get(0), row.get(1)))
}

/// A deferred application trigger prevents writes with another role's rights, and thus lockstep.
#[test]
fn deferred_trigger_of_the_target_is_told() -> Result<()> {
    let mut client = with_rooms("deferred_trigger", ROOMS_AND_GUESTS)?;
    let client = &mut client;
    client.batch_execute(
        "create function nothing() returns trigger language plpgsql as $$ begin return null; end $$;
         create constraint trigger at_commit after insert on rooms deferrable initially deferred for each row execute function nothing()",
    )?;
    assert_eq!(state(client)?, "active");
    client.batch_execute(
        "create constraint trigger at_commit_too after update on rooms deferrable initially deferred for each row execute function nothing()",
    )?;
    assert_eq!(
        state(client)?,
        "deferrable constraint \"at_commit_too\" of table \"public.rooms\" refuses lockstep's writes"
    );
    let error = error_of(client, "insert into guests values (1, 1, true)")?;
    assert_eq!(error.code().code(), "42501", "{error:?}");
    Ok(())
}

/// PostgreSQL checks a foreign key again for each update of a row that the transaction has written itself.
#[test]
fn deferrable_foreign_key_of_the_target_is_refused_and_told() -> Result<()> {
    let mut client = with_rooms("deferred_key", ROOMS_AND_GUESTS)?;
    let client = &mut client;
    // Neither who refers to the target counts, nor a unique key.
    client.batch_execute(
        "create table houses (id bigint primary key);
         create table keys (room_id bigint references rooms deferrable initially deferred);
         alter table rooms add house_id bigint constraint at_home references houses;
         alter table rooms add number bigint unique deferrable initially deferred;
         insert into houses values (1)",
    )?;
    assert_eq!(state(client)?, "active");
    let write =
        "begin; set constraints all deferred; insert into rooms (id, house_id) values (7, 1);
                 insert into guests values (7, 7, true); commit";
    expect_rooms(client, write, &[7])?;
    client.batch_execute("delete from rooms where id = 7")?;
    for when in [
        "deferrable initially deferred",
        "deferrable initially immediate",
    ] {
        client.batch_execute(&format!(
            "alter table rooms alter constraint at_home {when}"
        ))?;
        let error = error_of(client, write)?;
        assert_eq!(error.code().code(), "42501", "{error:?}");
        client.batch_execute("rollback")?;
        let state = state(client)?;
        ensure!(
            state.starts_with(WHY) && state.contains("at_home"),
            "{state}"
        );
        let (status, detail) = answer(client, "lockstep.attach()", "rooms.has_guest")?;
        ensure!(status == "skipped" && detail.starts_with(WHY), "{detail}");
    }
    client.batch_execute("select lockstep.remove_cache_column('rooms', 'has_guest')")?;
    let error = refused(client, DEFINE, "0A000", WHY)?;
    let mend = "alter table public.rooms alter constraint at_home not deferrable";
    ensure!(
        error.hint().is_some_and(|hint| hint.contains(mend)),
        "{error:?}"
    );
    client.batch_execute(mend)?;
    client.batch_execute(DEFINE)?;
    expect_rooms(client, write, &[7])
}

#[test]
fn deferrable_foreign_key_of_a_partition_is_told() -> Result<()> {
    let tables = ROOMS_AND_GUESTS.replace(
        "has_guest boolean);",
        "has_guest boolean) partition by range (id); create table rooms_all partition of rooms default;",
    );
    let mut client = with_rooms("deferred_partition", &tables)?;
    client.batch_execute(
        "create table houses (id bigint primary key);
         alter table rooms_all add constraint at_home foreign key (id) references houses deferrable not valid",
    )?;
    let state = state(&mut client)?;
    ensure!(
        state.contains("\"at_home\" of table \"public.rooms_all\""),
        "{state}"
    );
    Ok(())
}

/// Each feature that writes tables of the application.
#[test]
fn attach_skips_tables_with_a_deferrable_constraint() -> Result<()> {
    let mut client = database::empty("deferred_attach")?;
    let client = &mut client;
    host::create(client, Layout::Wide)?;
    client.batch_execute(
        "create extension lockstep_slack cascade;
         select lockstep.attach(features => array['feature_flags']);
         create function nothing() returns trigger language plpgsql as $$ begin return null; end $$",
    )?;
    let key = |table: &str, column: &str, other: &str| {
        format!(
            "alter table {table} add constraint later foreign key ({column}) references {other} (id) deferrable initially deferred"
        )
    };
    let of_slack = ("lockstep.attach_slack()", "slack_integrations");
    let cases = [
        (
            key("projects", "creator_id", "users"),
            ("lockstep.attach()", "projects.has_external_wiki"),
        ),
        (
            key("duo_workflows_workflows", "project_id", "projects"),
            (
                "lockstep.attach()",
                "duo_workflows_workflows.service_account_id",
            ),
        ),
        (
            "create constraint trigger later after delete on feature_gates deferrable for each row execute function nothing()"
                .to_owned(),
            ("lockstep.attach()", "feature_flags"),
        ),
        (key("slack_integrations", "integration_id", "integrations"), of_slack),
        (
            key("slack_integrations_scopes", "slack_api_scope_id", "slack_api_scopes"),
            of_slack,
        ),
        (key("integrations", "project_id", "projects"), of_slack),
    ];
    // Writes through a parent would not end with a flush.
    let inherits = "create table later (like slack_integrations); alter table slack_integrations inherit later";
    client.batch_execute(&format!("begin; {inherits}"))?;
    let (status, detail) = answer(client, of_slack.0, of_slack.1)?;
    client.batch_execute("rollback")?;
    ensure!(
        status == "skipped" && detail.contains("inherits"),
        "{status} {detail}"
    );
    for round in ["new", "attached"] {
        for (ddl, (call, feature)) in &cases {
            client.batch_execute(&format!(
                "begin; create table if not exists users (id bigint primary key); {ddl}"
            ))?;
            let (status, detail) = answer(client, call, feature)?;
            client.batch_execute("rollback")?;
            ensure!(
                status == "skipped" && detail.contains("\"later\""),
                "{round} {ddl}: {status} {detail}"
            );
        }
        client.batch_execute("select lockstep.attach(); select lockstep.attach_slack()")?;
    }
    Ok(())
}
