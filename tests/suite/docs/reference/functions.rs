//! Every function by topic, with its arguments, its comment, who may call it, and an example of each that people call.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Context, Result, ensure};

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
[Privileges](../privileges.md). A null argument is refused with 22004 unless its default is null; [Errors](errors.md) lists the other errors. The examples
run one after the other, in a database with a few rows.

";

const INTERNAL_NOTE: &str = "\
The schema `lockstep_internal`: trigger functions, steps of other functions, and what `lockstep_slack` uses of `lockstep`. Do not call them.

";

const API_NOTE: &str = "\
In the schema `lockstep_api`. They change with the sidecar, so a sidecar and the extension are upgraded together.

";

/// The example of each function, and what it prints if that is shown.
fn examples() -> Result<BTreeMap<&'static str, (String, String)>> {
    let mut found = BTreeMap::new();
    for part in EXAMPLES.split("\n\n").skip(1) {
        let (name, text) = part.split_once('\n').context("an example without text")?;
        let name = name
            .strip_prefix("-- ")
            .with_context(|| format!("{name} is no name of an example"))?;
        let (mut sql, mut output) = (String::new(), String::new());
        for line in text.trim_end().lines() {
            match line.strip_prefix("--> ") {
                Some(line) => writeln!(output, "{line}")?,
                None => writeln!(sql, "{line}")?,
            }
        }
        ensure!(
            sql.contains(&format!("lockstep.{name}(")),
            "the example of {name} does not call it"
        );
        let former = found.insert(name, (sql, output));
        ensure!(former.is_none(), "{name} has two examples");
    }
    Ok(found)
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
                let (sql, output) = examples
                    .remove(name.as_str())
                    .with_context(|| format!("{name} has no example in functions.sql"))?;
                write!(text, "```sql\n{sql}```\n\n")?;
                if !output.is_empty() {
                    write!(text, "```text\n{output}```\n\n")?;
                }
            }
        }
    }
    ensure!(examples.is_empty(), "examples of no function: {examples:?}");
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
