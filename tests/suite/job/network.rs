//! The roles of the network: what they may call, and that no call, with any text and at any isolation level, gets in the way of
//! others.

use anyhow::{Context, Result, ensure};
use lockstep_tests::host::Layout;
use postgres::Client;

use crate::database::cluster;
use crate::service_account::number;
use crate::slack::workspaces;
use crate::surface::refusal::error_of;

/// A session of a login role that is a member of the role.
fn member(database: &str, role: &str) -> Result<Client> {
    let login = format!("{database}_{role}");
    let mut admin = cluster()?.connect(database)?;
    admin.batch_execute(&format!("create role {login} login in role {role}"))?;
    session(database, &login)
}

fn session(database: &str, login: &str) -> Result<Client> {
    let mut config = cluster()?.config(database);
    Ok(config.user(login).connect(postgres::NoTls)?)
}

fn queue(name: &str) -> Result<Client> {
    let mut client = crate::job::queue(name)?;
    client.batch_execute("create extension lockstep_slack")?;
    Ok(client)
}

fn denied(client: &mut Client, statement: &str) -> Result<()> {
    let error = error_of(client, statement)?;
    ensure!(error.code().code() == "42501", "{statement}: {error}");
    Ok(())
}

#[test]
fn the_network_runs_its_own_jobs_by_runners_of_its_own() -> Result<()> {
    let name = "network_jobs";
    let mut client = queue(name)?;
    client.batch_execute(&format!(
        "create role {name}_payroll login; grant usage on schema lockstep to {name}_payroll;
         grant execute on function lockstep.start_runner, lockstep.claim_jobs, lockstep.complete_jobs, lockstep.stop_runner to {name}_payroll;
         select lockstep.enqueue_job('Payroll::PayWorker') from generate_series(1, 3);
         select lockstep.enqueue_job('Slack::X') from generate_series(1, 3)"
    ))?;
    let mut payroll = session(name, &format!("{name}_payroll"))?;
    let theirs = number(&mut payroll, "select lockstep.start_runner('payroll')")?;
    let claim =
        format!("select count(*) from lockstep.claim_jobs({theirs}, '{{Payroll::PayWorker}}', 2)");
    assert_eq!(number(&mut payroll, &claim)?, 2);
    let mut sidecar = member(name, "lockstep_sidecar")?;
    let own = number(
        &mut sidecar,
        "select lockstep.start_runner('x', '23:59:00')",
    )?;
    for statement in [
        format!("select * from lockstep.claim_jobs({own}, '{{Payroll::PayWorker}}', 10000)"),
        format!(
            "select * from lockstep.claim_jobs({own}, '{{Slack::X, Payroll::PayWorker}}', 10000)"
        ),
        format!("select * from lockstep.claim_jobs({theirs}, '{{Slack::X}}')"),
        format!("select lockstep.complete_jobs({theirs}, '{{1, 2}}')"),
        format!("select lockstep.fail_job({theirs}, 1, 'no')"),
        format!("select lockstep.release_jobs({theirs}, '{{1}}')"),
        format!("select lockstep.release_other_jobs({theirs}, '{{}}')"),
        format!("select lockstep.runner_heartbeat({theirs})"),
        format!("select lockstep.stop_runner({theirs})"),
    ] {
        denied(&mut sidecar, &statement)?;
    }
    // Its own runner has none of them.
    let refused =
        format!("select cardinality(lockstep.complete_jobs({own}, '{{1, 2, 3}}'))::bigint");
    assert_eq!(number(&mut sidecar, &refused)?, 3);
    // Nor may others act for the network's runners.
    denied(&mut payroll, &format!("select lockstep.stop_runner({own})"))?;
    let running = "select count(*) from lockstep_internal.job where worker = 'Payroll::PayWorker' and status = 'running'";
    assert_eq!(number(&mut client, running)?, 2);
    // Another session of the role, as behind a pooler, continues with the runner.
    let mut second = session(name, &format!("{name}_lockstep_sidecar"))?;
    let claim = format!("select count(*) from lockstep.claim_jobs({own}, '{{Slack::X}}', 10)");
    assert_eq!(number(&mut second, &claim)?, 3);
    let complete =
        format!("select cardinality(lockstep.complete_jobs({own}, '{{4, 5, 6}}'))::bigint");
    assert_eq!(number(&mut sidecar, &complete)?, 0);
    // A superuser may do anything.
    client.batch_execute(&format!("select lockstep.stop_runner({theirs})"))?;
    Ok(())
}

/// What each role may call in addition to what everybody may. The security model contains this table.
const MAY_CALL: [(&str, &[(&str, &str)]); 4] = [
    (
        "lockstep_sidecar",
        &[
            (
                "lockstep_api",
                "begin_slack_install claim_deliveries claim_slack_token_refresh delivery_wait enqueue_slack_job finish_deliveries finish_slack_install \
                 give_back_slack_token_refresh is_chatops_member is_project_within list_slack_followers list_slack_integrations list_slack_subscriptions list_slack_tokens managed_slack_integrations \
                 publish_events receive_slack_event record_history remind_of_reviews replace_slack_token set_slack_integration_active set_slack_integration_settings set_slack_person slack_bot slack_integrations_by_alias \
                 slack_workspace_notifications store_slack_token subscribe_slack_project take_slack_install test_slack_workspace_integration unsubscribe_slack_project",
            ),
            (
                "lockstep",
                "claim_jobs complete_jobs delivery_results drift_checks drift_report fail_job list_slack_workspaces metrics_report release_jobs release_other_jobs resume_lost_backfills \
                 runner_heartbeat slack_channel_troubles start_runner status_history status_report stop_runner sweep_slack",
            ),
        ],
    ),
    (
        "lockstep_chatops",
        &[(
            "lockstep_api",
            "chatops_backfills chatops_close_incident chatops_control_backfill chatops_declare_incident chatops_delete_feature chatops_deployments \
                 chatops_drift chatops_feature chatops_features chatops_hold_feature chatops_incidents chatops_release chatops_retire_worker \
                 chatops_rollout chatops_set_feature chatops_start_backfill chatops_was_done chatops_workers",
        )],
    ),
    (
        "lockstep_admin",
        &[(
            "lockstep",
            "cancel_job cron_times define_feature define_worker delivery_results discard_job discard_restored discard_restored_slack \
                 drift_checks drift_report enqueue_job explain_event install_slack_workspace issue_slack_install_ticket limit_worker \
                 list_integration_properties list_slack_workspaces metrics_report project_id publish_event record_integration_event \
                 register_feature_group release_restored release_restored_slack remove_worker_rename rename_worker reset_slack_notifications \
                 resume_lost_backfills retire_worker retry_dead_jobs retry_deliveries retry_job schedule_job set_cluster_integration set_retention \
                 set_slack_notifications slack_channel_troubles slack_notifications slack_subscriptions slack_workspace_drift status_history status_report subscribe_slack_channel sweep sweep_slack \
                 test_slack_integration undefine_feature uninstall_slack_workspace unregister_feature_group unschedule_job unsubscribe_slack_channel",
        )],
    ),
    (
        "lockstep_app",
        &[(
            "lockstep",
            "cancel_job claim_jobs complete_job complete_jobs cron_times define_worker enqueue_job fail_job limit_worker publish_event \
                 record_integration_event release_jobs release_other_jobs resume_lost_backfills runner_heartbeat schedule_job start_runner stop_runner unschedule_job",
        )],
    ),
];

const SECURITY_MODEL: &str = include_str!("../../../docs/security.md");

const CALLS: &str = "
select p.pronamespace::regnamespace || '.' || p.proname, p.proname::text,
       coalesce((select array_agg(format_type(t.oid, null) order by a.place) from unnest(p.proargtypes) with ordinality a (oid, place)
                   join pg_type t on t.oid = a.oid), '{}'),
       coalesce(p.proargnames, '{}')
  from pg_proc p
 where p.pronamespace = $2::text::regnamespace and p.prokind = 'f' and p.prorettype <> 'trigger'::regtype
   and has_function_privilege($1, p.oid, 'execute') and not has_function_privilege('public', p.oid, 'execute')
 order by p.proname";

/// A text that cannot be compressed.
pub(crate) fn noise(length: usize, seed: &mut u32) -> String {
    let mut text = String::with_capacity(length);
    while text.len() < length {
        *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text += &format!("{:06x}", *seed >> 8);
    }
    text.truncate(length);
    text
}

/// A value of a type that contains this text everywhere.
fn value(kind: &str, argument: &str, text: &str) -> Result<String> {
    Ok(match (kind, argument) {
        ("text", "worker") => "'Slack::X'".to_owned(),
        ("text", "event_type") => "'app_home_opened'".to_owned(),
        ("text", _) => format!("'{text}'"),
        ("text[]", "workers") => format!("'{{Slack::{text}}}'"),
        ("text[]", _) => format!("'{{{text}}}'"),
        ("jsonb", "command") => format!(
            r#"'{{"trigger_id": "{text}", "request": "{text}", "team_id": "{text}", "user_id": "{text}", "text": "{text}", "environment": "{text}"}}'"#
        ),
        ("jsonb", "results") => format!(
            r#"'[{{"delivery": 1, "lease": 1, "outcome": "delivered", "ts": "{text}", "channel": "{text}"}}]'"#
        ),
        ("jsonb", _) => format!(r#"'{{"enabled": true, "projects": ["{text}"]}}'"#),
        ("json[]", _) => format!(
            r#"array['{{"object_kind": "pipeline", "project": {{"id": 1}}, "object_attributes": {{"id": 1, "status": "failed", "ref": "{text}"}}}}']::json[]"#
        ),
        ("bytea", _) => format!("decode('{}', 'escape')", &text[..32]),
        ("bigint" | "integer", _) => "1".to_owned(),
        ("regprocedure", _) => "'pg_catalog.md5(text)'".to_owned(),
        ("bigint[]", _) => "'{1}'".to_owned(),
        ("boolean", _) => "true".to_owned(),
        ("interval", _) => "'1 minute'".to_owned(),
        ("timestamp with time zone", _) => "now()".to_owned(),
        other => anyhow::bail!("no value of {other:?}"),
    })
}

#[test]
fn whatever_the_roles_pass_is_taken_or_refused() -> Result<()> {
    let name = "network_texts";
    let mut client = workspaces(name, Layout::Narrow)?;
    let mut seed = 16;
    for (role, schemas) in MAY_CALL {
        let mut functions = Vec::new();
        for (schema, expected) in schemas {
            let found = client.query(CALLS, &[&role, &schema])?;
            let names: Vec<String> = found.iter().map(|row| row.get(1)).collect();
            assert_eq!(names.join(" "), *expected, "{role}, {schema}");
            for function in &names {
                ensure!(
                    SECURITY_MODEL.contains(&format!("`{function}`")),
                    "{function}"
                );
            }
            functions.extend(found);
        }
        let mut session = member(name, role)?;
        for level in ["read committed", "repeatable read", "serializable"] {
            session.batch_execute(&format!("set default_transaction_isolation = '{level}'"))?;
            for function in &functions {
                let function_name: &str = function.get(0);
                let kinds: Vec<String> = function.get(2);
                let arguments: Vec<String> = function.get(3);
                // A million characters behave the same at each level, and take long.
                let longest = if level == "serializable" {
                    1_000_000
                } else {
                    5_000
                };
                for length in [100, 4_000, longest] {
                    let text = noise(length, &mut seed);
                    let mut given = Vec::new();
                    for (kind, argument) in kinds.iter().zip(&arguments) {
                        if argument != "schema" {
                            let value = value(kind, argument, &text)
                                .with_context(|| function_name.to_owned())?;
                            given.push(format!("\"{argument}\" => {value}"));
                        }
                    }
                    let call = format!("select * from {function_name}({})", given.join(", "));
                    let Err(error) = session.batch_execute(&call) else {
                        continue;
                    };
                    let code = error.code().map_or("", |code| code.code());
                    // Invalid data, a wrong state, a missing right, an unknown name.
                    let is_refused = [
                        "22", "42602", "42501", "55000", "P0002", "42704", "42P01", "0A000",
                        "40001", "42710",
                    ]
                    .iter()
                    .any(|class| code.starts_with(class));
                    ensure!(
                        is_refused,
                        "{function_name} of texts of {length} characters, {level}: {error:?}"
                    );
                }
            }
        }
    }
    Ok(())
}

/// Text columns in indexes have a length check, so that no index rejects a row; or the index is on a digest or a part.
#[test]
fn no_text_is_too_long_for_an_index() -> Result<()> {
    let mut client = queue("network_indexes")?;
    let rows = client.query(
        "select i.indexrelid::regclass::text, a.attname::text,
                (select min(coalesce(m[1]::integer, 63)) from pg_constraint c,
                        regexp_matches(pg_get_constraintdef(c.oid), 'length\\((?:\\()?\"?' || a.attname || '\"?\\)?\\) <= (\\d+)|[(]' || a.attname || ' = ANY') m
                  where c.conrelid = i.indrelid and c.contype = 'c')
           from pg_index i join pg_class t on t.oid = i.indrelid
           join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
          where t.relnamespace::regnamespace::text ~ '^lockstep' and a.atttypid in ('text'::regtype, 'varchar'::regtype, 'jsonb'::regtype)
            -- Names of schemas that exist; names of jobs, which a pattern bounds.
            and a.attname <> 'schema' and t.relname <> 'backfill_job' order by 1, 2",
        &[],
    )?;
    ensure!(rows.len() > 20, "{} columns", rows.len());
    let mut bytes: std::collections::BTreeMap<String, i32> = Default::default();
    for row in rows {
        let (index, column): (String, String) = (row.get(0), row.get(1));
        let most: Option<i32> = row.get(2);
        let most = most.with_context(|| format!("{column} of {index} is not bounded"))?;
        *bytes.entry(index).or_default() += 4 * most;
    }
    for (index, bytes) in bytes {
        // A third of a page, minus numbers and the name of a schema.
        ensure!(bytes <= 2_600, "{index} may have rows of {bytes} bytes");
    }
    Ok(())
}
