//! Every function by topic, with its arguments, its comment, who may call it, and an example and errors of each that people call.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Context, Result, ensure};
use lockstep_tests::host;
use postgres::Client;

use super::{database, page, sentence};
use crate::docs::check;

/// Functions of the schema lockstep, by topic.
const TOPICS: [(&str, &[&str]); 13] = [
    ("Attach", &["attach", "attach_slack"]),
    (
        "Cache columns",
        &[
            "add_cache_column",
            "repair_cache_column",
            "cache_column_drift",
            "remove_cache_column",
        ],
    ),
    (
        "Service accounts",
        &[
            "resolve_service_account",
            "explain_service_account",
            "fill_service_accounts",
        ],
    ),
    (
        "Backfills",
        &[
            "backfill",
            "start_backfill",
            "alter_backfill",
            "pause_backfill",
            "resume_backfill",
            "resume_lost_backfills",
            "cancel_backfill",
            "retry_backfill",
            "backfill_batch",
            "preview_backfill",
            "register_backfill_job",
            "unregister_backfill_job",
        ],
    ),
    (
        "Feature flags",
        &[
            "set_feature",
            "set_feature_percentage",
            "enable_feature_for",
            "disable_feature_for",
            "opt_out_of_feature",
            "remove_feature_opt_out",
            "feature_enabled",
            "feature_enabled_for_any",
            "feature_decision",
            "register_feature_group",
            "enable_feature_for_group",
            "disable_feature_for_group",
            "unregister_feature_group",
            "remove_feature",
            "define_feature",
            "undefine_feature",
        ],
    ),
    (
        "Jobs",
        &[
            "enqueue_job",
            "retry_job",
            "retry_dead_jobs",
            "discard_job",
            "cancel_job",
            "schedule_job",
            "unschedule_job",
            "cron_times",
            "define_worker",
            "limit_worker",
            "rename_worker",
            "retire_worker",
            "remove_worker_rename",
        ],
    ),
    (
        "Runners of jobs",
        &[
            "start_runner",
            "runner_heartbeat",
            "claim_jobs",
            "complete_job",
            "complete_jobs",
            "fail_job",
            "release_jobs",
            "release_other_jobs",
            "stop_runner",
        ],
    ),
    (
        "Slack workspaces",
        &[
            "install_slack_workspace",
            "list_slack_workspaces",
            "issue_slack_install_ticket",
            "project_id",
            "slack_workspace_drift",
        ],
    ),
    (
        "Notifications",
        &[
            "set_slack_notifications",
            "slack_notifications",
            "publish_event",
            "explain_event",
            "test_slack_integration",
            "delivery_results",
            "slack_channel_troubles",
            "retry_deliveries",
            "reset_slack_notifications",
            "subscribe_slack_channel",
            "slack_subscriptions",
            "unsubscribe_slack_channel",
            "uninstall_slack_workspace",
        ],
    ),
    (
        "Integrations",
        &[
            "record_integration_event",
            "set_cluster_integration",
            "list_integration_properties",
        ],
    ),
    (
        "Status",
        &[
            "status_report",
            "status_history",
            "metrics_report",
            "drift_report",
            "drift_checks",
        ],
    ),
    (
        "Records, and copies of a database",
        &[
            "sweep",
            "sweep_slack",
            "set_retention",
            "release_restored",
            "discard_restored",
            "release_restored_slack",
            "discard_restored_slack",
        ],
    ),
    (
        "Detach",
        &["detach", "detach_service_accounts", "detach_slack"],
    ),
];

const CHATOPS: &str = "Called by chatops";
const SIDECAR: &str = "Called by the sidecar";
const INTERNAL: &str = "Internal";

const EXAMPLES: &str = include_str!("functions.sql");

/// It has no errors of its own.
const WITHOUT_ERRORS: [&str; 1] = ["resume_lost_backfills"];

/// A wrong call of a role that has no rights begins with this.
const WITHOUT_RIGHTS: &str = "reader: ";

struct Function {
    schema: String,
    name: String,
    arguments: String,
    result: String,
    comment: String,
    extension: String,
    /// Only the owner, unless granted.
    callers: Vec<String>,
}

impl Function {
    fn topic(&self) -> Option<&'static str> {
        match self.schema.as_str() {
            "lockstep" => TOPICS
                .iter()
                .find(|(_, names)| names.contains(&self.name.as_str()))
                .map(|(topic, _)| *topic),
            "lockstep_api" if self.callers.contains(&"lockstep_chatops".to_owned()) => {
                Some(CHATOPS)
            }
            "lockstep_api" => Some(SIDECAR),
            _ => Some(INTERNAL),
        }
    }

    fn text(&self) -> String {
        let Self {
            schema,
            name,
            arguments,
            result,
            comment,
            extension,
            ..
        } = self;
        let returns = match result.is_empty() {
            true => String::new(),
            false => format!(" → {result}"),
        };
        let callers = match self.callers.as_slice() {
            [] => "nobody until it is granted".to_owned(),
            callers => callers.join(", "),
        };
        format!(
            "`{schema}.{name}({arguments}){returns}`\n\n{} *{extension}; callers: {callers}.*\n\n",
            sentence(comment)
        )
    }
}

const INTRODUCTION: &str = "\
# Functions

<!-- Generated by make reference. -->

Every function of both extensions. People and applications call those of the schema `lockstep`; `lockstep_api` has what the sidecar alone calls, and
`lockstep_internal` has parts of other functions.

*Callers* are the roles that may execute a function; a function of everyone still checks what its caller may do to the tables involved, see
[Privileges](../privileges.md). A null argument is refused with 22004 unless its default is null. The usual errors of a function are below its example;
[Errors](errors.md) lists all, with what to do. The examples run one after the other, in a database with a few rows.

";

const INTERNAL_NOTE: &str = "\
The schema `lockstep_internal`: trigger functions, steps of other functions, and what `lockstep_slack` uses of `lockstep`. Do not call them.

";

const API_NOTE: &str = "\
In the schema `lockstep_api`. They change with the sidecar, so a sidecar and the extension are upgraded together.

";

#[derive(Default)]
struct Example {
    sql: String,
    /// If it is shown.
    output: String,
    wrong_calls: Vec<&'static str>,
}

/// The example of each function.
fn examples() -> Result<BTreeMap<&'static str, Example>> {
    let mut found = BTreeMap::new();
    for part in EXAMPLES.split("\n\n").skip(1) {
        let (name, text) = part.split_once('\n').context("an example without text")?;
        let name = name
            .strip_prefix("-- ")
            .with_context(|| format!("{name} is no name of an example"))?;
        let mut example = Example::default();
        for line in text.trim_end().lines() {
            if let Some(line) = line.strip_prefix("--> ") {
                writeln!(example.output, "{line}")?;
            } else if let Some(call) = line.strip_prefix("--! ") {
                example.wrong_calls.push(call);
            } else {
                writeln!(example.sql, "{line}")?;
            }
        }
        let call = format!("lockstep.{name}(");
        let wrong_calls = example.wrong_calls.iter();
        for sql in wrong_calls.copied().chain([example.sql.as_str()]) {
            ensure!(sql.contains(&call), "{sql} does not call {name}");
        }
        let former = found.insert(name, example);
        ensure!(former.is_none(), "{name} has two examples");
    }
    Ok(found)
}

/// What PostgreSQL answers to a wrong call.
fn error_of(client: &mut Client, call: &str) -> Result<String> {
    let (begin, call) = match call.strip_prefix(WITHOUT_RIGHTS) {
        Some(call) => ("begin; create role reader; set local role reader", call),
        None => ("begin", call),
    };
    client.batch_execute(begin)?;
    let outcome = client.batch_execute(call);
    client.batch_execute("rollback")?;
    let error = outcome.err().with_context(|| format!("{call} succeeds"))?;
    let error = error
        .as_db_error()
        .with_context(|| format!("{call}: {error}"))?;
    Ok(format!("`{}`: {}", error.code().code(), error.message()))
}

#[test]
fn every_function_is_described() -> Result<()> {
    let mut client = database("docs_functions")?;
    let rows = client.query(
        "select p.pronamespace::regnamespace::text, p.proname::text, pg_get_function_arguments(p.oid), coalesce(pg_get_function_result(p.oid), ''),
                obj_description(p.oid, 'pg_proc'), e.extname::text,
                array(select case a.grantee when 0 then 'everyone' else a.grantee::regrole::text end
                        from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
                       where a.grantee <> p.proowner order by 1)
           from pg_proc p
           join pg_depend d on d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
           join pg_extension e on e.oid = d.refobjid
          where p.pronamespace::regnamespace::text ~ '^lockstep'
          order by p.proname::text collate \"C\", p.pronargs, pg_get_function_identity_arguments(p.oid) collate \"C\"",
        &[],
    )?;
    let functions: Vec<Function> = rows
        .iter()
        .map(|row| Function {
            schema: row.get(0),
            name: row.get(1),
            arguments: row.get(2),
            result: row.get(3),
            comment: row.get(4),
            extension: row.get(5),
            callers: row.get(6),
        })
        .collect();
    ensure!(functions.len() > 100, "only {} functions", functions.len());
    host::run(&mut client, host::SAMPLE)?;
    client.batch_execute("select lockstep.attach(); select lockstep.attach_slack()")?;
    let mut examples = examples()?;
    let mut text = INTRODUCTION.to_owned();
    let names: Vec<&str> = TOPICS.iter().map(|(topic, _)| *topic).collect();
    for topic in [names.as_slice(), &[SIDECAR, CHATOPS, INTERNAL]].concat() {
        write!(text, "## {topic}\n\n")?;
        text.push_str(match topic {
            INTERNAL => INTERNAL_NOTE,
            SIDECAR | CHATOPS => API_NOTE,
            _ => "",
        });
        let all = functions
            .iter()
            .filter(|function| function.topic() == Some(topic));
        for overloads in in_order_of(topic, all.collect()).chunk_by(|a, b| a.name == b.name) {
            let Function { schema, name, .. } = overloads[0];
            write!(text, "### {name}\n\n")?;
            for function in overloads {
                text.push_str(&function.text());
            }
            if schema == "lockstep" {
                let example = examples
                    .remove(name.as_str())
                    .with_context(|| format!("{name} has no example in functions.sql"))?;
                write!(text, "```sql\n{}```\n\n", example.sql)?;
                if !example.output.is_empty() {
                    write!(text, "```text\n{}```\n\n", example.output)?;
                }
                for call in &example.wrong_calls {
                    writeln!(text, "- {}", error_of(&mut client, call)?)?;
                }
                match example.wrong_calls.is_empty() {
                    false => text.push('\n'),
                    true => ensure!(
                        WITHOUT_ERRORS.contains(&name.as_str()),
                        "{name} has no wrong call in functions.sql"
                    ),
                }
            }
        }
    }
    ensure!(
        examples.is_empty(),
        "examples of no function: {:?}",
        examples.keys()
    );
    let lost = functions
        .iter()
        .filter(|function| function.topic().is_none());
    let lost: Vec<&str> = lost.map(|function| function.name.as_str()).collect();
    ensure!(
        lost.is_empty(),
        "functions without a topic, to be added in {1}: {0}",
        lost.join(", "),
        file!()
    );
    for (topic, names) in TOPICS {
        for name in names {
            ensure!(
                functions.iter().any(|function| function.name == *name),
                "topic {topic} has a function {name} that does not exist"
            );
        }
    }
    check(&page("functions.md"), &format!("{}\n", text.trim_end()))
}

/// In the topic's order.
fn in_order_of<'a>(topic: &str, mut functions: Vec<&'a Function>) -> Vec<&'a Function> {
    if let Some((_, names)) = TOPICS.iter().find(|(name, _)| *name == topic) {
        functions.sort_by_key(|function| names.iter().position(|name| *name == function.name));
    }
    functions
}
