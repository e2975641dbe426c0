//! What the sidecar's role may and may not do; whose rights functions and triggers run with; hostile search paths and operators.

use anyhow::{Context, Result, ensure};
use lockstep_tests::host::Layout;
use postgres::Client;

use crate::database::cluster;
use crate::service_account::number;
use crate::slack::{in_lockstep, state, workspaces};
use crate::surface::refusal::error_of;

/// A session of a login role that is only a member of lockstep_sidecar.
fn sidecar(database: &str) -> Result<Client> {
    let mut admin = cluster()?.connect(database)?;
    admin.batch_execute(&format!(
        "create role {database}_login login in role lockstep_sidecar"
    ))?;
    let mut config = cluster()?.config(database);
    config.user(&format!("{database}_login"));
    Ok(config.connect(postgres::NoTls)?)
}

#[test]
fn the_role_has_no_attributes() -> Result<()> {
    let mut client = workspaces("slack_role", Layout::Narrow)?;
    let attributes = "select count(*) from pg_roles where rolname = 'lockstep_sidecar' and not rolsuper and not rolcreaterole and not rolcreatedb
                         and not rolcanlogin and not rolreplication and not rolbypassrls";
    assert_eq!(number(&mut client, attributes)?, 1);
    let owned = "select count(*) from pg_class where relowner = 'lockstep_sidecar'::regrole";
    assert_eq!(number(&mut client, owned)?, 0);
    // Exactly these, and what everybody may call.
    let row = client.query_one(
        "select string_agg(distinct p.proname, ' ' order by p.proname) from pg_proc p
          where p.pronamespace::regnamespace::text ~ '^lockstep' and has_function_privilege('lockstep_sidecar', p.oid, 'execute')
            and not has_function_privilege('public', p.oid, 'execute')",
        &[],
    )?;
    assert_eq!(
        row.get::<_, String>(0),
        "begin_slack_install claim_deliveries claim_jobs claim_slack_token_refresh complete_jobs delivery_results delivery_wait drift_checks drift_report \
         enqueue_slack_job fail_job finish_deliveries finish_slack_install give_back_slack_token_refresh is_chatops_member is_project_within list_slack_followers list_slack_integrations list_slack_subscriptions list_slack_tokens \
         list_slack_workspaces managed_slack_integrations metrics_report publish_events receive_slack_event record_history release_jobs release_other_jobs remind_of_reviews replace_slack_token resume_lost_backfills runner_heartbeat \
         set_slack_integration_active set_slack_integration_settings set_slack_person slack_bot slack_channel_troubles slack_integrations_by_alias slack_workspace_notifications start_runner status_history status_report \
         stop_runner store_slack_token subscribe_slack_project sweep_slack take_slack_install test_slack_workspace_integration unsubscribe_slack_project"
    );
    // Nobody else may call the workspace functions.
    let of_public = "select count(*) from pg_proc p where p.pronamespace::regnamespace::text ~ '^lockstep' and p.proname ~ 'slack' and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
                        and p.proname not in ('attach_slack', 'detach_slack')
                        and has_function_privilege('public', p.oid, 'execute')";
    assert_eq!(number(&mut client, of_public)?, 0);
    Ok(())
}

/// A delivery that waits for integration 2.
const DELIVERY: &str = r##"
insert into lockstep_internal.event (schema, key, payload) values ('public', 'k', '{"object_kind": "pipeline", "project": {"id": 1}, "object_attributes": {"id": 1}}');
insert into lockstep_internal.slack_channel (schema, team_id, channel) values ('public', 'A', '#c');
insert into lockstep_internal.slack_delivery (schema, event, integration_id, slack_integration_id, channel, lane) values ('public', 1, 2, 2, 1, 1);
insert into lockstep_internal.slack_notification (schema, integration_id, updates) values ('public', 2, 'update');
"##;

/// A member of the role does all its work without a right on any table, and can do nothing else.
#[test]
fn the_sidecar_needs_no_other_right() -> Result<()> {
    let name = "slack_sidecar_role";
    let mut client = workspaces(name, Layout::Narrow)?;
    let ticket: String = client
        .query_one(
            "select lockstep.issue_slack_install_ticket(project_id => 8)",
            &[],
        )?
        .get(0);
    client.batch_execute(DELIVERY)?;
    let mut sidecar = sidecar(name)?;
    sidecar.batch_execute(&format!(
        "select lockstep_api.begin_slack_install('s', 'b', '{ticket}'); select lockstep_api.take_slack_install('s', 'b');
         select lockstep_api.finish_slack_install('s', 'A', 'Team A', 'U2', 'B2', 't', 'i', '{{commands}}', null, null, 'r', 'ri', now());
         select lockstep_api.receive_slack_event('1', 'app_home_opened', 'A', null, now(), '{{}}');
         select lockstep_api.enqueue_slack_job('Slack::X', '{{}}');
         select * from lockstep_api.slack_bot('A', null); select * from lockstep_api.list_slack_integrations('A', null);
         select * from lockstep_api.slack_integrations_by_alias('{{A}}', '{{null}}', '{{a1}}');
         select * from lockstep_api.set_slack_integration_active('A', null, 1, 'U1', false); select * from lockstep.list_slack_workspaces(); select lockstep_api.managed_slack_integrations('A', null, 'U2', '{{1}}');
         select lockstep_api.store_slack_token('A', c.lease, 't2', 'i2', 'r2', 'ri2', now()) from lockstep_api.claim_slack_token_refresh('1 hour', '1 hour') c;
         select lockstep_api.give_back_slack_token_refresh('A', 1, 'e', '1 hour'); select * from lockstep_api.list_slack_tokens('', 9);
         select lockstep_api.replace_slack_token('A', 'i2', 't3', 'i3', 'ri2', 'r3', 'ri3'); select lockstep.sweep_slack();
         select * from lockstep_api.set_slack_integration_settings('A', null, 1, 'U1', false, '{{\"channels\": \"#c\"}}', '{{\"push\": true, \"confidential_note\": false, \"confidential_issue\": false}}');
         select lockstep_api.set_slack_person('A', null, 'U1', '{{\"mentions\": false}}');
         select lockstep_api.slack_workspace_notifications('A', null, 1); select * from lockstep_api.test_slack_workspace_integration('A', null, 1, 'U1', true);
         select * from lockstep_api.publish_events('{{null}}', '{{k}}'); select lockstep_api.is_project_within(1, '{{group}}');
         do $$ declare runner bigint := lockstep.start_runner('x'); begin
           perform lockstep.runner_heartbeat(runner);
           perform lockstep.complete_jobs(runner, array_agg(job)) from lockstep.claim_jobs(runner, '{{Slack::AppHomeWorker}}', 10);
           perform lockstep.release_jobs(runner, '{{}}'), lockstep.release_other_jobs(runner, '{{}}'), lockstep.stop_runner(runner);
         end $$;
         select lockstep_api.delivery_wait(1000); select * from lockstep.slack_channel_troubles('A', null, 2); select * from lockstep.delivery_results('{{1}}');
         select lockstep_api.finish_deliveries(jsonb_build_array(jsonb_build_object('delivery', d.delivery, 'lease', d.lease, 'outcome', 'delivered')))
           from lockstep_api.claim_deliveries(10, '1 minute', 1000) d;
         select lockstep.status_report();
         select lockstep_api.receive_slack_event('2', 'app_uninstalled', 'B', null, now(), '{{}}')"
    ))?;
    let delivered =
        "select count(*) from lockstep_internal.slack_delivery where status = 'delivered'";
    assert_eq!(number(&mut client, delivered)?, 1);
    assert!(state(&mut client, "A")?.starts_with("U2 B2 t3 i3"));
    in_lockstep(&mut client)?;
    let install = "select lockstep.install_slack_workspace('A', 'A', 'U', 'B', 't', 'i', '{}')";
    let mut forbidden: Vec<String> = [
        install,
        "select lockstep.uninstall_slack_workspace('A')",
        "select lockstep.slack_workspace_drift()",
        "select lockstep.issue_slack_install_ticket(project_id => 1)",
        "select lockstep.enqueue_job('X')",
        "select lockstep.record_integration_event(1, '{}')",
        "select lockstep.publish_event('{}')",
        "select lockstep.set_slack_notifications(1, '{}')",
        "select lockstep.slack_notifications(1)",
        "select lockstep.test_slack_integration(1)",
        "select lockstep.list_integration_properties()",
        "select lockstep.set_cluster_integration(1, 'prometheus', true)",
        "select lockstep.retry_job(1)",
        "select lockstep.retry_deliveries()",
        "select lockstep.define_worker('X', 1)",
        "select * from lockstep.backfill_batch('slack_workspaces', 1, 9)",
        "select * from lockstep.attach(); select * from lockstep.attach_slack()",
        "select * from lockstep.detach(); select * from lockstep.detach_slack()",
        "create table public.t ()",
        "create function public.f() returns integer language sql return 1",
        "create temporary table t as select * from slack_integrations",
    ]
    .map(str::to_owned)
    .to_vec();
    let tables = client.query(
        "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where (n.nspname = 'public' or n.nspname ~ '^lockstep') and c.relkind in ('r', 'v', 'S') and not has_table_privilege('public', c.oid, 'select')",
        &[],
    )?;
    ensure!(tables.len() > 20, "{} tables", tables.len());
    forbidden.extend(
        tables
            .iter()
            .map(|row| format!("select * from {}", row.get::<_, String>(0))),
    );
    forbidden.extend(
        [
            "insert into slack_integrations default values",
            "update slack_integrations set user_id = 'x'",
            "delete from lockstep_internal.slack_installation",
            "truncate lockstep_internal.job",
            "update lockstep_internal.slack_event set job = 1",
            "update lockstep_internal.slack_delivery set status = 'waiting'",
        ]
        .map(str::to_owned),
    );
    for statement in forbidden {
        let error = error_of(&mut sidecar, &statement)?;
        assert_eq!(error.code().code(), "42501", "{statement}: {error:?}");
    }
    let owner: String = client.query_one("select current_user::text", &[])?.get(0);
    for statement in [
        format!("set role {owner}"),
        format!("set session authorization {owner}"),
    ] {
        let error = error_of(&mut sidecar, &statement)?;
        assert_eq!(error.code().code(), "42501", "{statement}: {error:?}");
    }
    // The role itself can be set, and has no other rights.
    sidecar.batch_execute("set role lockstep_sidecar")?;
    let error = error_of(&mut sidecar, install)?;
    assert_eq!(error.code().code(), "42501");
    Ok(())
}

/// Writers of rows need no right on the other tables; row security of the owner hides nothing; the rows' owner must have rights
/// on the rest, which lockstep does not lend.
#[test]
fn triggers_work_with_the_rights_of_the_owner() -> Result<()> {
    let name = "slack_writer";
    let mut client = workspaces(name, Layout::Narrow)?;
    client.batch_execute(&format!(
        "create role {name}_owner; create role {name}_user;
         alter table slack_integrations owner to {name}_owner; alter table slack_integrations_scopes owner to {name}_owner;
         alter table slack_api_scopes owner to {name}_owner; alter table integrations owner to {name}_owner;
         alter table projects owner to {name}_owner; alter table namespaces owner to {name}_owner;
         alter table if exists organizations owner to {name}_owner; alter table slack_integrations enable row level security;
         alter table slack_integrations force row level security;
         create policy own on slack_integrations using (current_user = '{name}_user' and id = 1) with check (true);
         grant select, insert, update on slack_integrations to {name}_user;
         set role {name}_user; update slack_integrations set user_id = 'UW'; reset role"
    ))?;
    assert!(state(&mut client, "A")?.starts_with("UW"));
    in_lockstep(&mut client)?;
    client.batch_execute("alter table slack_integrations disable row level security")?;
    // The installation is updated, although only the extension may write its table.
    client.batch_execute(&format!(
        "select lockstep.install_slack_workspace('A', 'A', 'U2', 'B2', 't', 'i', '{{commands}}');
         set role {name}_user; update slack_integrations set encrypted_bot_access_token = 'other' where id = 2; reset role"
    ))?;
    let followed = "select count(*) from lockstep_internal.slack_installation where encode(encrypted_bot_access_token, 'escape') = 'other'";
    assert_eq!(number(&mut client, followed)?, 1);
    // Tables that are read together must have one owner, otherwise one owner's code would run as another.
    client.batch_execute("alter table slack_api_scopes owner to current_user")?;
    let error = error_of(
        &mut client,
        "insert into slack_integrations_scopes (slack_integration_id, slack_api_scope_id, project_id) values (1, 3, 1)",
    )?;
    assert_eq!(error.code().code(), "42501", "{error:?}");
    // Only the owner may attach.
    client.batch_execute(&format!(
        "select * from lockstep.detach(); select * from lockstep.detach_slack(); grant usage on schema lockstep to {name}_user"
    ))?;
    client.batch_execute(&format!("set role {name}_user"))?;
    let error = error_of(
        &mut client,
        "select * from lockstep.attach(); select * from lockstep.attach_slack()",
    )?;
    assert_eq!(error.code().code(), "42501", "{error:?}");
    Ok(())
}

/// A schema of operators and functions that a query with unqualified names would call, first in the path; each call leaves a
/// trace that survives a rollback.
pub(crate) const EVIL: &str = r#"
create schema evil;
create sequence evil.calls;
grant usage on schema evil to public;
grant all on sequence evil.calls to public;
create function evil.called(what text) returns boolean language plpgsql set search_path = pg_catalog as $$
begin
  perform nextval('evil.calls');
  return true;
end $$;
do $$
declare of text[]; operator text; function text;
begin
  foreach of slice 1 in array array[
      ['bigint', 'bigint'], ['bigint', 'integer'], ['integer', 'bigint'], ['integer', 'integer'], ['text', 'text'], ['varchar', 'varchar'], ['varchar', 'text'],
      ['text', 'varchar'], ['bytea', 'bytea'], ['timestamp', 'timestamp'], ['boolean', 'boolean'], ['timestamptz', 'timestamptz']] loop
    foreach operator in array array['=', '<>', '<', '>', '<=', '>=', '||', '+'] loop
      execute format('create function evil.%I(%s, %s) returns boolean language sql as %L', 'operator ' || operator, of[1], of[2],
                     format('select evil.called(%L)', operator || of::text));
      execute format('create operator evil.%s (leftarg = %s, rightarg = %s, function = evil.%I)', operator, of[1], of[2], 'operator ' || operator);
    end loop;
  end loop;
  foreach function in array array['unnest(bigint[])', 'unnest(text[])', 'min(bigint)', 'count(bigint)', 'now()', 'clock_timestamp()', 'timezone(text, timestamptz)',
      'lower(text)', 'lower(varchar)', 'strpos(text, text)', 'cardinality(bigint[])', 'concat_ws(text, text, varchar)', 'array_remove(text[], text)',
      'sha256(bytea)', 'convert_to(text, name)'] loop
    execute format('create function evil.%s returns boolean language sql as %L', function, format('select evil.called(%L)', function));
  end loop;
end $$;
create table evil.slack_integrations (like public.slack_integrations);
create table evil.slack_api_scopes (like public.slack_api_scopes);
create table evil.integrations (like public.integrations);
"#;

#[test]
fn hostile_paths_change_nothing() -> Result<()> {
    let mut client = workspaces("slack_evil", Layout::Narrow)?;
    client.batch_execute(EVIL)?;
    client.batch_execute(DELIVERY)?;
    client.batch_execute(
        "create temporary table slack_integrations (like public.slack_integrations); create temporary table slack_api_scopes ();
         set search_path = pg_temp, evil, pg_catalog, public;
         update public.slack_integrations s set user_id = 'UE', encrypted_bot_access_token = 'evil' where s.id operator(pg_catalog.=) 1;
         insert into public.slack_integrations (team_id, team_name, alias, user_id, created_at, updated_at, integration_id)
         values ('A', 'A', 'fresh', 'U0', pg_catalog.now(), pg_catalog.now(), 8);
         insert into public.slack_integrations_scopes (slack_integration_id, slack_api_scope_id, project_id) values (1, 3, 1);
         delete from public.slack_api_scopes s where s.id operator(pg_catalog.=) 3;
         select lockstep.install_slack_workspace('A', 'A', 'U2', 'B2', 't', 'i', '{commands,new}', project_id => 9, refresh_token => 'r', refresh_token_iv => 'ri',
                                                 expires_at => pg_catalog.now());
         select lockstep.install_slack_workspace('A', 'A', 'U2', 'B2', 't2', 'i', '{commands}', group_id => 1);
         select lockstep_api.begin_slack_install('s', 'b', lockstep.issue_slack_install_ticket(organization_id => 1)); select lockstep_api.take_slack_install('s', 'b');
         select lockstep_api.finish_slack_install('s', 'A', 'A', 'U2', 'B2', 't', 'i', '{commands}', null, null, 'r', 'ri', pg_catalog.now());
         select lockstep_api.receive_slack_event('1', 'app_home_opened', 'A', null, pg_catalog.now(), '{}');
         select * from lockstep_api.slack_bot('A', null); select * from lockstep_api.list_slack_integrations('A', null, search => 'a');
         select * from lockstep_api.slack_integrations_by_alias('{A,A}', '{null,null}', '{a1,group/a}');
         select * from lockstep_api.set_slack_integration_active('A', null, 1, 'U1', false); select * from lockstep.list_slack_workspaces();
         select lockstep_api.store_slack_token('A', c.lease, 't2', 'i2', 'r2', 'ri2', pg_catalog.now()) from lockstep_api.claim_slack_token_refresh('1 hour', '1 hour') c;
         select * from lockstep_api.list_slack_tokens('', 9); select lockstep_api.replace_slack_token('A', 'i2', 't3', 'i3', 'ri2', 'r3', 'ri3');
         select lockstep_api.delivery_wait(1000); select * from lockstep.slack_channel_troubles('A', null, 2);
         create temporary table claimed as select * from lockstep_api.claim_deliveries(10, '1 minute', 1000);
         select lockstep_api.finish_deliveries(pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_object('delivery', d.delivery, 'lease', d.lease, 'outcome', o, 'ts', '1', 'channel', 'C')))
           from pg_temp.claimed d, (values ('retry'), ('delivered')) o (o);
         select lockstep.status_report(); select lockstep_api.is_project_within(1, '{{group}}'); select * from lockstep.delivery_results('{1}'); select lockstep.retry_deliveries(); table lockstep.slack_delivery_status;
         select lockstep.sweep_slack(); select * from lockstep.slack_workspace_drift(); select * from lockstep.backfill_batch('slack_workspaces', 1, 1000, \"table\" => 'public.slack_integrations');
         select lockstep.uninstall_slack_workspace('B')",
    )?;
    let calls = client.query_one(
        "select last_value::pg_catalog.int8, is_called from evil.calls",
        &[],
    )?;
    assert!(!calls.get::<_, bool>(1), "{} calls", calls.get::<_, i64>(0));
    client.batch_execute("set search_path = public")?;
    let tried = "select count(*) from lockstep_internal.slack_delivery where attempts = 1";
    assert_eq!(number(&mut client, tried)?, 1);
    assert_eq!(
        number(&mut client, "select count(*) from evil.slack_integrations")?,
        0
    );
    client.batch_execute("drop table pg_temp.slack_integrations, pg_temp.slack_api_scopes")?;
    in_lockstep(&mut client)?;
    assert!(state(&mut client, "A")?.starts_with("U2 B2 t3 i3"));
    Ok(())
}

/// Application triggers fired by the functions' writes find the application's tables by their bare names, as with its own writes.
#[test]
fn host_triggers_find_their_tables() -> Result<()> {
    let mut client = workspaces("slack_path", Layout::Narrow)?;
    client.batch_execute(
        "create table log (what text);
         create function log() returns trigger language plpgsql as $$ begin insert into log values (tg_table_name); return null; end $$;
         create trigger log after insert or update or delete on slack_integrations for each row execute function log();
         create trigger log after insert or update or delete on integrations for each row execute function log();
         create trigger log after insert or update or delete on slack_integrations_scopes for each row execute function log();
         create trigger log after insert or update or delete on slack_api_scopes for each row execute function log()",
    )?;
    client
        .batch_execute(
            "set search_path = pg_catalog;
             select lockstep.install_slack_workspace('A', 'A', 'U2', 'B2', 't', 'i', '{commands,new}', group_id => 1, refresh_token => 'r', refresh_token_iv => 'ri',
                                                     expires_at => now());
             select lockstep_api.set_slack_integration_active('A', null, 1, 'U1', false);
             select lockstep_api.store_slack_token('A', c.lease, 't2', 'i2', null, null, null) from lockstep_api.claim_slack_token_refresh('1 hour', '1 hour') c;
             select lockstep.uninstall_slack_workspace('A'); set search_path = public",
        )
        .context("with an empty path")?;
    assert_eq!(
        number(&mut client, "select count(distinct what) from log")?,
        4
    );
    Ok(())
}

/// A user's own schema with tables that look like the application's: functions run there with that user's rights, not the
/// caller's.
#[test]
fn a_schema_of_somebodys_own_gets_no_rights() -> Result<()> {
    let name = "slack_mallory";
    let mut client = workspaces(name, Layout::Narrow)?;
    client.batch_execute(&format!(
        "create role {name}; create schema mine authorization {name};
         do $$ declare t text; begin
           foreach t in array '{{organizations,namespaces,projects,integrations,slack_integrations,slack_api_scopes,slack_integrations_scopes}}'::text[] loop
             execute format('create table mine.%1$I (like public.%1$I including all)', t);
             execute format('alter table mine.%I owner to {name}', t);
           end loop; end $$;
         grant usage on all sequences in schema public to {name}"
    ))?;
    client.batch_execute(&format!(
        "reset role; set search_path = public; insert into mine.organizations (id, name, path) values (1, 'x', 'x');
         set role {name}; select * from lockstep.attach('mine'); select * from lockstep.attach_slack('mine');
         create table mine.grabbed (who text);
         create function mine.grab() returns trigger language plpgsql as $$ begin insert into mine.grabbed values (current_user); return null; end $$;
         create trigger grab after insert on mine.integrations for each row execute function mine.grab();
         reset role;
         select lockstep.install_slack_workspace('A', 'A', 'U2', 'B2', 't', 'i', '{{}}', organization_id => 1, schema => 'mine')"
    ))?;
    let row = client.query_one("select string_agg(who, ', ') from mine.grabbed", &[])?;
    assert_eq!(row.get::<_, String>(0), name);
    // Nor does an installation there affect one of the same team here.
    assert!(state(&mut client, "A")?.starts_with("U1 B1"));
    client.batch_execute(&format!("set role {name}"))?;
    let error = error_of(&mut client, "select lockstep.slack_workspace_drift('mine')")?;
    assert_eq!(error.code().code(), "42501", "{error:?}");
    Ok(())
}
