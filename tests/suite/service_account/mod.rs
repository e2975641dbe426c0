//! The rules that determine a workflow's service account: the scenarios of GitLab's own job, and those it leaves undefined. Every
//! case is checked with everything that implements the rules: the function, the explanation, the trigger and filling existing
//! rows.

mod fill;
mod insert;
mod rights;

use anyhow::{Context, Result};
use lockstep_tests::host::Layout;
use postgres::Client;

use crate::database;
use crate::surface::refusal::refused;

/// Group 1 with subgroup 2; group 3; a namespace 4 without traversal_ids; group 5, whose consumer has no account. Rows that must
/// lose a tie are stored before those that must win.
pub(crate) const CATALOG: &str = "
insert into users (id, organization_id) select n, 1 from generate_series(7, 9) n;
insert into namespaces (id, name, path, type, traversal_ids, organization_id) values
  (2, 'sub', 'sub', 'Group', '{1,2}', 1), (3, 'three', 'three', 'Group', '{3}', 1), (4, 'old', 'old', 'Group', '{}', 1),
  (5, 'five', 'five', 'Group', '{5}', 1);
insert into projects (id, namespace_id) values (1, 1), (2, 2), (3, 3), (4, 4);
insert into ai_catalog_items (id, organization_id, foundational_flow_reference) values
  (1, 1, 'software_development'), (2, 1, 'other_flow'), (3, 1, null), (5, 1, 'tied'), (4, 1, 'tied');
insert into ai_catalog_item_versions (id, organization_id, ai_catalog_item_id) values (10, 1, 1), (20, 1, 2), (30, 1, 3);
insert into ai_catalog_item_consumers (id, ai_catalog_item_id, group_id, project_id, service_account_id) values
  (11, 1, 1, null, 7), (12, 1, 3, null, 8), (13, 1, 5, null, null),
  (14, 2, 2, null, 9), (15, 2, null, 3, 9),
  (43, 5, 1, null, 7), (42, 4, 1, null, 9), (41, 4, 1, null, 8), (40, 4, 1, null, null);
select setval('duo_workflows_workflows_id_seq', 100000);
create table expected (id bigint, version bigint, definition text, project bigint, namespace bigint, account bigint, ended text);
insert into expected values
  (1, null, 'software_development', null, 1, 7, 'resolved'),            -- by definition
  (2, null, 'unknown', null, 1, null, 'no_item'),
  (3, 10, 'unknown', null, 1, 7, 'resolved'),                           -- by version, of a group
  (4, 10, 'unknown', null, 2, 7, 'resolved'),                           -- of a subgroup
  (5, 10, 'unknown', 1, null, 7, 'resolved'),                           -- of a project
  (6, 10, 'unknown', 2, null, 7, 'resolved'),                           -- of a project in a subgroup
  (7, 10, 'unknown', 3, null, 8, 'resolved'),                           -- of a project of another root group
  (8, 10, 'unknown', null, 5, null, 'consumer_without_account'),
  (9, 30, 'software_development', null, 1, null, 'no_consumer'),        -- the version's item wins, though it leads nowhere
  (10, 99, 'software_development', null, 1, 7, 'resolved'),             -- a version that is gone
  (11, 99, 'unknown', null, 1, null, 'no_item'),
  (12, 20, 'software_development', null, 2, null, 'no_consumer'),       -- a subgroup's consumer does not count
  (13, 20, 'software_development', 3, null, null, 'no_consumer'),       -- nor does a project's
  (14, 10, 'unknown', null, 4, null, 'no_root_group'),                  -- empty traversal_ids
  (15, 10, 'unknown', 4, null, null, 'no_root_group'),
  (16, null, 'tied', null, 1, 8, 'resolved');                           -- lowest item, then lowest consumer with an account
";

/// The cases as workflows; `extra` is appended to the statement.
pub(crate) const INSERT: &str = "
insert into duo_workflows_workflows (id, user_id, ai_catalog_item_version_id, workflow_definition, project_id, namespace_id,
                                     created_at, updated_at, goal)
  select id, 1, version, definition, project, namespace, '2020-01-01', '2020-01-01', 'goal ' || id from expected order by id";

/// Cases whose workflow has a wrong account.
pub(crate) const WRONG: &str = "
select count(*) from expected e full join duo_workflows_workflows w using (id) where w.service_account_id is distinct from e.account";

pub(crate) fn catalog(name: &str) -> Result<Client> {
    let mut client = database::with_host(name, Layout::Narrow)?;
    client.batch_execute(CATALOG)?;
    Ok(client)
}

pub(crate) fn number(client: &mut Client, query: &str) -> Result<i64> {
    let row = client.query_one(query, &[]).context(query.to_owned())?;
    Ok(row.get(0))
}

/// The function and the explanation, for all cases at once; the trigger, by rows of one statement and by single-row statements;
/// filling, for the whole range and one row at a time.
pub(crate) fn check_all_ways(client: &mut Client) -> Result<()> {
    let wrong = "
        select count(*) from expected
        where account is distinct from lockstep.resolve_service_account(
          version, definition, project, namespace, item_id => (to_jsonb(expected) ->> 'item')::bigint)";
    assert_eq!(number(client, wrong)?, 0, "resolve_service_account");

    let has_items = "select count(*) from pg_attribute where attrelid = 'expected'::regclass and attname = 'item'";
    let insert = match number(client, has_items)? {
        0 => INSERT.to_owned(),
        _ => INSERT
            .replace("user_id,", "user_id, ai_catalog_item_id,")
            .replace("id, 1,", "id, 1, item,"),
    };
    client.batch_execute(&insert)?;
    let fill = "
        select array[f.scanned, f.updated, f.no_item, f.no_root_group, f.no_consumer, f.consumer_without_account]
             = (select array[count(*), count(account), count(*) filter (where ended = 'no_item'), count(*) filter (where ended = 'no_root_group'),
                             count(*) filter (where ended = 'no_consumer'), count(*) filter (where ended = 'consumer_without_account')]
                from expected)
        from lockstep.fill_service_accounts(1, 99) f";
    assert!(
        client.query_one(fill, &[])?.get::<_, bool>(0),
        "counts of fill_service_accounts"
    );
    assert_eq!(number(client, WRONG)?, 0, "fill_service_accounts");
    let wrong = "
        select count(*) from expected e
        cross join lateral (select (array_agg(x.step))[count(*)] as step, (array_agg(x.found))[count(*)] as found
                            from lockstep.explain_service_account(e.id) x) x
        where x.step <> e.ended or x.found is distinct from e.account";
    assert_eq!(number(client, wrong)?, 0, "explain_service_account");

    client.batch_execute("update duo_workflows_workflows set service_account_id = null")?;
    client.batch_execute("select lockstep.fill_service_accounts(id, id) from expected")?;
    assert_eq!(number(client, WRONG)?, 0, "filled one by one");

    client.batch_execute("delete from duo_workflows_workflows; select * from lockstep.attach()")?;
    client.batch_execute(&insert)?;
    assert_eq!(number(client, WRONG)?, 0, "inserted at once");
    client.batch_execute("delete from duo_workflows_workflows")?;
    for id in 1..=number(client, "select count(*) from expected")? {
        client.batch_execute(&insert.replace("order by id", &format!("where id = {id}")))?;
    }
    assert_eq!(number(client, WRONG)?, 0, "inserted one by one");
    Ok(())
}

#[test]
fn rules() -> Result<()> {
    let mut client = catalog("service_account_rules")?;
    check_all_ways(&mut client)
}

/// Since 18.10 a workflow may name its item itself.
#[test]
fn rules_with_items_of_workflows() -> Result<()> {
    for kind in ["bigint", "integer"] {
        let mut client = catalog(&format!("service_account_items_{kind}"))?;
        // The trigger also notices a column that is added later.
        client.batch_execute(&format!(
            "select * from lockstep.attach(); insert into duo_workflows_workflows (id, user_id, namespace_id) values (1, 1, 1);
             alter table duo_workflows_workflows add ai_catalog_item_id {kind}"
        ))?;
        let insert = "insert into duo_workflows_workflows (id, user_id, namespace_id, workflow_definition, ai_catalog_item_id)
                      values (2, 1, 1, 'unknown', 1) returning service_account_id";
        assert_eq!(
            client.query_one(insert, &[])?.get::<_, Option<i64>>(0),
            Some(7)
        );
        client.batch_execute(
            "delete from duo_workflows_workflows; select * from lockstep.detach_service_accounts();
             alter table expected add item bigint;
             insert into expected values
               (17, null, 'unknown', null, 1, 7, 'resolved', 1),
               (18, 20, 'software_development', null, 1, null, 'no_consumer', 1),     -- the version's wins
               (19, 99, 'unknown', 2, null, 7, 'resolved', 1),                        -- a version that is gone
               (20, null, 'software_development', null, 1, null, 'no_consumer', 3),   -- wins over the definition
               (21, null, 'unknown', 4, null, null, 'no_root_group', 1),
               (22, null, 'unknown', null, 3, 8, 'resolved', 1)",
        )?;
        check_all_ways(&mut client)?;
        let steps = "select array_agg(step || ':' || coalesce(found::text, '')) from lockstep.explain_service_account(17)";
        assert_eq!(
            client.query_one(steps, &[])?.get::<_, Vec<String>>(0),
            [
                "workflow:17",
                "version:",
                "item:1",
                "namespace:1",
                "root_group:1",
                "consumer:11",
                "resolved:7"
            ]
        );
    }
    Ok(())
}

/// GitLab's tables had integer keys until they were converted.
#[test]
fn rules_on_integer_columns() -> Result<()> {
    let mut client = catalog("service_account_integer")?;
    client.batch_execute(
        "alter table projects alter column namespace_id type integer, alter column id type integer;
         alter table namespaces alter column traversal_ids type integer[] using traversal_ids::integer[], alter column id type integer;
         alter table ai_catalog_items alter column id type integer;
         alter table ai_catalog_item_versions alter column id type integer, alter column ai_catalog_item_id type integer;
         alter table ai_catalog_item_consumers alter column id type integer, alter column ai_catalog_item_id type integer,
           alter column group_id type integer, alter column service_account_id type integer;
         alter table duo_workflows_workflows alter column id type integer, alter column project_id type integer,
           alter column namespace_id type integer, alter column ai_catalog_item_version_id type integer,
           alter column service_account_id type integer, alter column workflow_definition type varchar(255)",
    )?;
    check_all_ways(&mut client)
}

/// GitLab has an index on each column used for lookups; without any, the result is the same, but slower.
#[test]
fn rules_without_indexes() -> Result<()> {
    let mut client = catalog("service_account_unindexed")?;
    client.batch_execute(
        "drop index index_ai_catalog_items_on_foundational_flow_reference, index_ai_catalog_item_consumers_on_group_id,
           index_ai_catalog_item_consumers_on_ai_catalog_item_id",
    )?;
    check_all_ways(&mut client)
}

#[test]
fn rules_in_another_schema() -> Result<()> {
    let mut client = catalog("service_account_schema")?;
    client.batch_execute(
        "create schema \"Other\"; alter table ai_catalog_items set schema \"Other\"; alter table ai_catalog_item_versions set schema \"Other\";
         alter table ai_catalog_item_consumers set schema \"Other\"; alter table duo_workflows_workflows set schema \"Other\";
         alter table projects set schema \"Other\"; alter table namespaces set schema \"Other\";
         set search_path = public, \"Other\"",
    )?;
    client.batch_execute("select * from lockstep.attach('Other')")?;
    client.batch_execute(INSERT)?;
    assert_eq!(number(&mut client, WRONG)?, 0);
    for call in [
        "resolve_service_account(1, 'a', 1, 1)",
        "explain_service_account(1)",
        "fill_service_accounts(1, 2)",
    ] {
        refused(
            &mut client,
            &format!("select lockstep.{call}"),
            "42P01",
            "has no table duo_workflows_workflows",
        )?;
    }
    let wrong = "
        select count(*) from expected
        where account is distinct from lockstep.resolve_service_account(version, definition, project, namespace, 'Other')";
    assert_eq!(number(&mut client, wrong)?, 0);
    Ok(())
}

#[test]
fn refusals() -> Result<()> {
    let mut client = catalog("service_account_refusals")?;
    for (call, sqlstate, message) in [
        (
            "explain_service_account(1)",
            "P0002",
            "workflow 1 does not exist",
        ),
        ("explain_service_account(null)", "22004", "workflow_id"),
        ("explain_service_account(1, null)", "22004", "schema"),
        ("explain_service_account(1, 'nowhere')", "3F000", "nowhere"),
        (
            "resolve_service_account(1, 'a', 1, 1, null)",
            "22004",
            "schema",
        ),
        (
            "resolve_service_account(1, 'a', 1, 1, 'nowhere')",
            "3F000",
            "nowhere",
        ),
        ("fill_service_accounts(null, 1)", "22004", "start_id"),
        ("fill_service_accounts(1, null)", "22004", "end_id"),
        ("fill_service_accounts(1, 1, 'nowhere')", "3F000", "nowhere"),
        ("detach_service_accounts(null)", "22004", "schema"),
        ("detach_service_accounts('nowhere')", "3F000", "nowhere"),
    ] {
        refused(
            &mut client,
            &format!("select lockstep.{call}"),
            sqlstate,
            message,
        )?;
    }
    // A value that does not fit into the column.
    client.batch_execute(
        "alter table duo_workflows_workflows alter column service_account_id type integer;
         insert into users (id, organization_id) values (3000000000, 1);
         update ai_catalog_item_consumers set service_account_id = 3000000000 where id = 11;
         select * from lockstep.attach()",
    )?;
    refused(&mut client, INSERT, "22003", "service account 3000000000")?;
    // The tables are changed while the trigger is installed.
    client.batch_execute("alter table ai_catalog_item_consumers rename to consumers")?;
    refused(
        &mut client,
        INSERT,
        "42P01",
        "has no table ai_catalog_item_consumers",
    )?;
    client.batch_execute(
        "alter table consumers rename to ai_catalog_item_consumers; alter table namespaces rename traversal_ids to path_ids",
    )?;
    refused(&mut client, INSERT, "42703", "traversal_ids")?;
    client.batch_execute("alter table namespaces rename path_ids to traversal_ids; update ai_catalog_item_consumers set service_account_id = 7 where id = 11")?;
    client.batch_execute(INSERT)?;
    assert_eq!(number(&mut client, WRONG)?, 0);
    // The function in somebody else's trigger.
    client.batch_execute("create table mine (id bigint); create trigger mine before insert on mine for each row execute function lockstep_internal.set_service_account()")?;
    refused(
        &mut client,
        "insert into mine values (1)",
        "55000",
        "\"mine\"",
    )?;
    client.batch_execute("create trigger mine after insert on duo_workflows_workflows for each row execute function lockstep_internal.set_service_account()")?;
    refused(
        &mut client,
        "insert into duo_workflows_workflows (user_id, project_id) values (1, 1)",
        "55000",
        "\"mine\"",
    )?;
    Ok(())
}
