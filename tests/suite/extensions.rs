//! Two extensions: lockstep works alone, and lockstep_slack can be created and dropped in any order.

use anyhow::{Result, ensure};
use lockstep_tests::host::{self, Layout};
use postgres::Client;

use crate::database::empty;
use crate::service_account::number;
use crate::surface::refusal::error_of;

const TRIGGERS: &str =
    "select count(*) from pg_trigger t join pg_proc p on p.oid = t.tgfoid where p.pronamespace = 'lockstep_internal'::regnamespace and not t.tgisinternal
        and t.tgrelid::regclass::text not like 'lockstep%'";

fn host(name: &str) -> Result<Client> {
    let mut client = empty(name)?;
    host::create(&mut client, Layout::Narrow)?;
    Ok(client)
}

/// Rows that make the cache columns true, and two differing rows of one team.
const ROWS: &str = "
insert into projects (id, namespace_id) values (1, 1), (2, 1);
insert into integrations (id, project_id, active, category, type_new) values (1, 1, true, 'issue_tracker', 'Integrations::Jira'),
  (2, 1, true, 'chat', 'Integrations::GitlabSlackApplication'), (3, 2, true, 'chat', 'Integrations::GitlabSlackApplication');
insert into slack_integrations (id, team_id, team_name, alias, user_id, integration_id, encrypted_bot_access_token, encrypted_bot_access_token_iv,
                                created_at, updated_at)
  values (1, 'T', 'Team', 'one', 'U', 2, 'old', 'iv', now(), now() - interval '1 day');
insert into slack_integrations (id, team_id, team_name, alias, user_id, integration_id, encrypted_bot_access_token, encrypted_bot_access_token_iv,
                                created_at, updated_at)
  values (2, 'T', 'Team', 'two', 'U', 3, 'new', 'iv', now(), now())";

fn kept(client: &mut Client) -> Result<[i64; 2]> {
    let columns = number(
        client,
        "select count(*) from projects where has_external_issue_tracker",
    )?;
    let tokens = number(
        client,
        "select count(distinct encrypted_bot_access_token) from slack_integrations",
    )?;
    Ok([columns, tokens])
}

#[test]
fn lockstep_alone_knows_nothing_of_slack() -> Result<()> {
    let mut client = host("extensions_alone")?;
    let roles = "select count(*) from pg_proc p where p.pronamespace::regnamespace::text ~ '^lockstep' and (p.proname ~ 'slack|chatops' or p.prosrc ~* 'slack|chatops')";
    client.batch_execute("create extension lockstep; select * from lockstep.attach()")?;
    assert_eq!(number(&mut client, roles)?, 0);
    let tables = "select count(*) from pg_class c where c.relnamespace::regnamespace::text ~ '^lockstep' and c.relname ~ 'slack|chatops|deliver'";
    assert_eq!(number(&mut client, tables)?, 0);
    let grants = "select count(*) from pg_shdepend d join pg_roles r on r.oid = d.refobjid
                   where d.dbid = (select oid from pg_database where datname = current_database()) and r.rolname in ('lockstep_sidecar', 'lockstep_chatops')";
    assert_eq!(number(&mut client, grants)?, 0);
    client.batch_execute(ROWS)?;
    assert_eq!(kept(&mut client)?, [1, 2]);
    // All of its features work.
    client.batch_execute(
        "select lockstep.set_feature('f', true);
         select lockstep.complete_jobs(r.r, array(select j.job from lockstep.claim_jobs(r.r, '{W}') j))
           from (select lockstep.enqueue_job('W')) j, lateral (select lockstep.start_runner('r')) r (r);
         select lockstep.sweep();
         select * from lockstep.detach(); drop extension lockstep",
    )?;
    Ok(())
}

/// Every order of creating, attaching and dropping; after each step each extension maintains its own features, and nothing else.
#[test]
fn each_comes_and_goes_in_any_order() -> Result<()> {
    let mut client = host("extensions_orders")?;
    let (core, slack) = ("lockstep.attach()", "lockstep.attach_slack()");
    for attached in [[core, slack], [slack, core]] {
        for left in [
            ["detach", "detach_slack"],
            ["detach_slack", "detach"],
            ["", ""],
        ] {
            let case = format!("{attached:?} {left:?}");
            client.batch_execute("begin; create extension lockstep_slack cascade")?;
            for attach in attached {
                client.batch_execute(&format!("select * from {attach}"))?;
            }
            client.batch_execute(ROWS)?;
            assert_eq!(kept(&mut client)?, [1, 1], "{case}");
            let [first, second] = left;
            if first.is_empty() {
                // The second needs the first.
                client.batch_execute("savepoint before")?;
                let error = error_of(&mut client, "drop extension lockstep")?;
                assert_eq!(error.code().code(), "2BP01", "{case}: {error}");
                client.batch_execute("rollback to before; drop extension lockstep_slack")?;
                // What is left is lockstep, and works; the tokens are gone.
                client.batch_execute(
                    "update slack_integrations set encrypted_bot_access_token = alias::bytea;
                     update integrations set active = false where id = 1",
                )?;
                assert_eq!(kept(&mut client)?, [0, 2], "{case}");
                client.batch_execute("rollback")?;
                continue;
            }
            client.batch_execute(&format!("select * from lockstep.{first}()"))?;
            let others = number(&mut client, TRIGGERS)?;
            ensure!(others > 0, "{case}");
            client.batch_execute(&format!("select * from lockstep.{second}()"))?;
            assert_eq!(number(&mut client, TRIGGERS)?, 0, "{case}");
            client.batch_execute("drop extension lockstep cascade")?;
            client.batch_execute("rollback")?;
        }
    }
    Ok(())
}

/// What lockstep_slack registered with lockstep is removed with it, so that it can be created again.
#[test]
fn slack_leaves_no_trace_in_lockstep() -> Result<()> {
    let mut client = host("extensions_trace")?;
    client.batch_execute("create extension lockstep")?;
    let told = "select string_agg(distinct t, ' ' order by t) from (
                  select what from lockstep_internal.retained union all select role from lockstep_internal.runner_limit
                  union all select job from lockstep_internal.backfill_function
                  union all select name from lockstep_internal.host_worker where name ~ '^Slack') t (t)";
    let told_of =
        |client: &mut Client| -> Result<String> { Ok(client.query_one(told, &[])?.get(0)) };
    assert_eq!(told_of(&mut client)?, "dead_job feature_audit");
    for _ in 0..2 {
        client.batch_execute("create extension lockstep_slack")?;
        assert_eq!(
            told_of(&mut client)?,
            "Slack::AppHomeWorker Slack::InteractionWorker Slack::ReplyWorker Slack::TeamWorker backfill_history chatops_command dead_job \
             delivery_history drift_history feature_audit integration_event lockstep_sidecar slack_subscription_audit slack_workspaces"
        );
        client.batch_execute("select * from lockstep.attach_slack()")?;
        client.batch_execute("call lockstep.backfill('slack_workspaces')")?;
        client.batch_execute("drop extension lockstep_slack")?;
        assert_eq!(told_of(&mut client)?, "dead_job feature_audit");
        assert_eq!(number(&mut client, TRIGGERS)?, 0);
        let error = error_of(&mut client, "call lockstep.backfill('slack_workspaces')")?;
        assert_eq!(error.code().code(), "42704", "{error}");
    }
    Ok(())
}

/// PostgreSQL refuses to update and delete in a published table that has neither a key nor another replica identity.
#[test]
fn a_publication_of_all_tables_hinders_nothing() -> Result<()> {
    let mut client = host("extensions_published")?;
    client.batch_execute(
        "create extension lockstep_slack cascade; create publication everything for all tables;
         select lockstep.limit_worker('W', concurrency => 1, rate => 5, period => '1 minute', by => 'key');
         select lockstep.enqueue_job('W', concurrency_key => 'k'), lockstep.start_runner('r'), lockstep.start_runner('s')",
    )?;
    for runner in [1, 2] {
        client.batch_execute(&format!(
            "select lockstep.complete_jobs({runner}, array(select job from lockstep.claim_jobs({runner}, '{{W}}', 10)))"
        ))?;
    }
    client.batch_execute("select lockstep.limit_worker('W'), lockstep.limit_worker('W', by => 'key'); select lockstep.release_restored()")?;
    let unpublished: String = client
        .query_one(
            "select coalesce(string_agg(c.oid::regclass::text, ' '), '') from pg_class c
              where c.relnamespace::regnamespace::text ~ '^lockstep' and c.relkind in ('r', 'p') and c.relpersistence = 'p' and c.relreplident <> 'f'
                and not exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary)",
            &[],
        )?
        .get(0);
    assert_eq!(unpublished, "");
    Ok(())
}
