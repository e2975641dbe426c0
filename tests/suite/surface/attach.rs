//! attach for some features, and as a dry run.

use anyhow::{Context, Result, ensure};
use lockstep_tests::host::Layout;
use postgres::Client;

use crate::database::{cluster, with_slack};
use crate::service_account::number;

const TRIGGERS: &str =
    "select count(*) from pg_trigger t where not t.tgisinternal and t.tgname ~ 'lockstep'";

fn answers(client: &mut Client, call: &str) -> Result<Vec<(String, String, String)>> {
    let rows = client.query(&format!("select * from lockstep.{call}"), &[])?;
    Ok(rows
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2)))
        .collect())
}

#[test]
fn a_dry_run_says_what_it_would_lock_and_locks_nothing() -> Result<()> {
    let name = "attach_dry_run";
    let mut client = with_slack(name, Layout::Narrow)?;
    // A call that needed one of these locks would wait forever.
    let mut writer = cluster()?.connect(name)?;
    writer.batch_execute(
        "begin; lock table projects, integrations, slack_integrations, slack_integrations_scopes in row exclusive mode",
    )?;
    let mut whole = client.transaction()?;
    whole.batch_execute("set local lock_timeout = '10s'")?;
    let mut said = Vec::new();
    for call in ["attach(dry_run => true)", "attach_slack(dry_run => true)"] {
        for row in whole.query(&format!("select * from lockstep.{call}"), &[])? {
            said.push((
                row.get::<_, String>(0),
                row.get::<_, String>(1),
                row.get::<_, String>(2),
            ));
        }
    }
    let strong =
        "select count(*) from pg_locks where pid = pg_backend_pid() and locktype = 'relation'
                     and mode not in ('AccessShareLock', 'RowShareLock')";
    let strong: i64 = whole.query_one(strong, &[])?.get(0);
    whole.commit()?;
    ensure!(strong == 0, "{strong} locks after {said:?}");
    let would: Vec<&str> = said
        .iter()
        .filter(|(_, status, _)| status == "would attach")
        .map(|(feature, ..)| feature.as_str())
        .collect();
    ensure!(
        would
            == [
                "projects.has_external_wiki",
                "projects.has_external_issue_tracker",
                "duo_workflows_workflows.service_account_id",
                "feature_flags",
                "slack_integrations"
            ],
        "{said:?}"
    );
    ensure!(
        said[0].2.contains("public.integrations, public.projects")
            && said[0].2.contains("share row exclusive"),
        "{said:?}"
    );
    assert_eq!(number(&mut client, TRIGGERS)?, 0);
    let tables = "select count(*) from pg_class where relname in ('features', 'feature_gates') and relkind = 'r'";
    assert_eq!(number(&mut client, tables)?, 0);
    writer.batch_execute("rollback")?;
    // Existing objects are reported, and removed ones would be restored.
    client.batch_execute(
        "select * from lockstep.attach(); drop trigger lockstep_feature_audit on features",
    )?;
    let again = answers(&mut client, "attach(dry_run => true)")?;
    let of = |feature: &str| {
        again
            .iter()
            .find(|it| it.0 == feature)
            .map(|it| it.1.as_str())
    };
    assert_eq!(of("projects.has_external_wiki"), Some("attached"));
    assert_eq!(of("feature_flags"), Some("would attach"));
    Ok(())
}

/// Rows as an application without lockstep leaves them: two wrong values of has_external_wiki, and a team whose rows differ.
const WRONG: &str = "
insert into projects (id, namespace_id, has_external_wiki) values (1, 1, false), (2, 1, true), (3, 1, false);
insert into integrations (id, project_id, active, category, type_new) values (1, 1, true, 'common', 'Integrations::ExternalWiki'),
  (2, 1, true, 'chat', 'Integrations::GitlabSlackApplication'), (3, 2, true, 'chat', 'Integrations::GitlabSlackApplication');
insert into slack_integrations (id, team_id, team_name, alias, user_id, integration_id, created_at, updated_at)
  values (1, 'T', 'Team', 'one', 'U1', 2, now(), now() - interval '1 day'), (2, 'T', 'Team', 'two', 'U2', 3, now(), now());
update projects set has_external_issue_tracker = false";

#[test]
fn a_dry_run_counts_what_is_wrong_unless_that_takes_long() -> Result<()> {
    let name = "attach_wrong";
    let mut client = with_slack(name, Layout::Narrow)?;
    client.batch_execute(WRONG)?;
    let said = |client: &mut Client, feature: &str| -> Result<String> {
        let mut all = answers(client, "attach(dry_run => true)")?;
        all.extend(answers(client, "attach_slack(dry_run => true)")?);
        let found = all.into_iter().find(|it| it.0 == feature);
        let (_, status, detail) = found.context("no answer")?;
        ensure!(status == "would attach", "{feature}: {status}, {detail}");
        Ok(detail)
    };
    let counts = "to count the rows that are wrong today: select count(*) from lockstep.cache_column_drift('public.projects', 'has_external_wiki')";
    let lists = "lockstep.slack_workspace_drift lists the rows that differ once this is attached";
    for (feature, ending) in [
        ("projects.has_external_wiki", "; 2 rows are wrong today"),
        (
            "projects.has_external_issue_tracker",
            "; no row is wrong today",
        ),
        (
            "slack_integrations",
            "; 1 row differs from the newest of its team today",
        ),
    ] {
        let said = said(&mut client, feature)?;
        ensure!(said.ends_with(ending), "{feature}: {said}");
    }
    // It waits for no lock.
    let mut other = cluster()?.connect(name)?;
    other.batch_execute("begin; lock table integrations, slack_integrations")?;
    client.batch_execute("set lock_timeout = '10s'")?;
    ensure!(said(&mut client, "projects.has_external_wiki")?.ends_with(counts));
    ensure!(said(&mut client, "slack_integrations")?.ends_with(lists));
    other.batch_execute("rollback")?;
    // Tables that are large by PostgreSQL's estimate are not read.
    client.batch_execute(
        "update pg_class set reltuples = 1e6 where oid in ('projects'::regclass, 'slack_integrations'::regclass)",
    )?;
    ensure!(said(&mut client, "projects.has_external_wiki")?.ends_with(counts));
    ensure!(said(&mut client, "slack_integrations")?.ends_with(lists));
    // The call in the answer counts them.
    let call = counts.split_once(": ").context("no call")?.1;
    assert_eq!(number(&mut client, call)?, 2);
    Ok(())
}

#[test]
fn features_can_be_attached_one_by_one() -> Result<()> {
    let mut client = with_slack("attach_features", Layout::Narrow)?;
    let one = answers(
        &mut client,
        "attach(features => '{projects.has_external_wiki}')",
    )?;
    assert_eq!(one.len(), 1);
    assert_eq!(one[0].1, "attached", "{one:?}");
    let columns = "select count(*) from lockstep.cache_columns";
    assert_eq!(number(&mut client, columns)?, 1);
    let tables = "select count(*) from pg_class where relname in ('features', 'feature_gates') and relkind = 'r'";
    assert_eq!(number(&mut client, tables)?, 0);
    client.batch_execute("select * from lockstep.attach_slack(features => '{deployments}')")?;
    let of_slack = "select count(*) from pg_trigger where tgrelid = 'slack_integrations'::regclass and tgname ~ 'lockstep'";
    assert_eq!(number(&mut client, of_slack)?, 0);
    // An empty list means none.
    assert!(answers(&mut client, "attach(features => '{}')")?.is_empty());
    let all = answers(&mut client, "attach()")?;
    assert_eq!(all[0].2, "already attached, nothing changed");
    assert_eq!(number(&mut client, columns)?, 2);
    Ok(())
}

/// A trigger of the application may have a name of ours: the feature is skipped and says which, everything else is attached.
#[test]
fn a_trigger_with_a_name_of_ours_skips_the_feature_alone() -> Result<()> {
    let mut client = with_slack("attach_trigger_name", Layout::Narrow)?;
    client.batch_execute(
        "create function nothing() returns trigger language plpgsql as $$ begin return null; end $$;
         create table features (id bigserial primary key, key varchar not null unique, created_at timestamp, updated_at timestamp);
         create table feature_gates (id bigserial primary key, feature_key varchar not null, key varchar not null, value text,
                                     created_at timestamp, updated_at timestamp, unique (feature_key, key, value))",
    )?;
    for (table, attach, skipped, attached) in [
        ("integrations", "attach()", 2, 2),
        ("projects", "attach()", 2, 2),
        ("duo_workflows_workflows", "attach()", 1, 3),
        ("feature_gates", "attach()", 1, 3),
        ("slack_integrations", "attach_slack()", 1, 0),
        ("slack_integrations_scopes", "attach_slack()", 1, 0),
    ] {
        client.batch_execute(&format!(
            "create trigger lockstep_flush after update on {table} execute function nothing()"
        ))?;
        let says = format!(
            "trigger \"lockstep_flush\" of table public.{table} does not belong to lockstep"
        );
        let rows = answers(&mut client, attach)?;
        let of_it = rows
            .iter()
            .filter(|(_, status, detail)| status == "skipped" && *detail == says);
        ensure!(of_it.count() == skipped, "{table}: {rows:?}");
        let others = rows.iter().filter(|(_, status, _)| status == "attached");
        ensure!(others.count() == attached, "{table}: {rows:?}");
        client.batch_execute(&format!(
            "drop trigger lockstep_flush on {table}; select lockstep.detach(); select lockstep.detach_slack()"
        ))?;
    }
    // What is attached stays so; a trigger of ours that is missing cannot come back under a name that is taken.
    client.batch_execute(
        "select lockstep.attach();
         create trigger lockstep_other after update on integrations execute function nothing();
         create trigger lockstep_other after update on features execute function nothing()",
    )?;
    let rows = answers(&mut client, "attach()")?;
    ensure!(rows.iter().all(|row| row.1 == "attached"), "{rows:?}");
    client.batch_execute(
        "drop trigger lockstep_other on integrations; drop trigger lockstep_flush on integrations;
         create trigger lockstep_flush after update on integrations execute function nothing()",
    )?;
    let says =
        "trigger \"lockstep_flush\" of table public.integrations does not belong to lockstep";
    for attach in ["attach(dry_run => true)", "attach()"] {
        let rows = answers(&mut client, attach)?;
        let skipped = rows
            .iter()
            .filter(|row| row.1 == "skipped" && row.2.starts_with(says));
        ensure!(skipped.count() == 2, "{rows:?}");
    }
    client.batch_execute("select lockstep.detach()")?;
    let add = "select lockstep.add_cache_column('projects', 'has_external_wiki', 'integrations', 'project_id', '{\"active\": true}')";
    let error = client.batch_execute(add).err().context("it was added")?;
    let error = error.as_db_error().context("not from the server")?;
    assert_eq!(error.code().code(), "42710");
    assert_eq!(
        error.hint(),
        Some("Rename it: alter trigger lockstep_flush on public.integrations rename to ...")
    );
    Ok(())
}

/// The feature is skipped, everything else is attached.
#[test]
fn a_view_with_the_name_of_a_table_skips_the_feature_alone() -> Result<()> {
    let mut client = with_slack("attach_view_name", Layout::Narrow)?;
    for name in ["features", "feature_gates"] {
        client.batch_execute(&format!("create view {name} as select 1 as id"))?;
        let rows = answers(&mut client, "attach()")?;
        let skipped: Vec<_> = rows
            .iter()
            .filter(|(_, status, _)| status == "skipped")
            .collect();
        ensure!(
            matches!(skipped[..], [(feature, _, detail)] if feature == "feature_flags"
                && *detail == format!("\"public.{name}\" is not a table")),
            "{rows:?}"
        );
        client.batch_execute(&format!("drop view {name}"))?;
    }
    Ok(())
}
