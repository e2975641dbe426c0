//! Every function, by topic, with its arguments, its comment, and who may call it.

use std::fmt::Write;

use anyhow::{Result, ensure};

use super::{database, page, sentence};
use crate::docs::check;

/// What people call, by topic. The others are found by who may call them.
const TOPICS: [(&str, &[&str]); 12] = [
    (
        "Attach",
        &[
            "attach",
            "detach",
            "detach_service_accounts",
            "attach_slack",
            "detach_slack",
        ],
    ),
    (
        "Cache columns",
        &[
            "add_cache_column",
            "remove_cache_column",
            "repair_cache_column",
            "cache_column_drift",
            "cache_column_state",
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
            "pause_backfill",
            "resume_backfill",
            "cancel_backfill",
            "retry_backfill",
            "alter_backfill",
            "backfill_batch",
            "register_backfill_job",
            "unregister_backfill_job",
        ],
    ),
    (
        "Feature flags",
        &[
            "feature_enabled",
            "feature_enabled_for_any",
            "feature_decision",
            "set_feature",
            "set_feature_percentage",
            "enable_feature_for",
            "disable_feature_for",
            "enable_feature_for_group",
            "disable_feature_for_group",
            "opt_out_of_feature",
            "remove_feature_opt_out",
            "remove_feature",
            "define_feature",
            "undefine_feature",
            "register_feature_group",
            "unregister_feature_group",
        ],
    ),
    (
        "Jobs",
        &[
            "enqueue_job",
            "retry_job",
            "retry_dead_jobs",
            "discard_job",
            "define_worker",
            "rename_worker",
            "remove_worker_rename",
            "retire_worker",
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
            "uninstall_slack_workspace",
            "issue_slack_install_ticket",
            "project_id",
            "slack_workspace_drift",
        ],
    ),
    (
        "Notifications",
        &[
            "publish_event",
            "publish_events",
            "set_slack_notifications",
            "reset_slack_notifications",
            "slack_notifications",
            "test_slack_integration",
            "retry_deliveries",
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
        "Monitoring",
        &[
            "metrics_report",
            "status_report",
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
];

/// Parts of other functions that everyone may call, as these run with the rights of their callers.
const STEPS: [&str; 3] = [
    "begin_cache_column_drift",
    "cache_column_drift_rows",
    "is_feature_group",
];

const CHATOPS: &str = "Called by chatops";
const SIDECAR: &str = "Called by the sidecar";
const INTERNAL: &str = "Internal";

struct Function {
    name: String,
    arguments: String,
    result: String,
    comment: String,
    extension: String,
    /// Nobody but the owner, unless they are granted it.
    callers: Vec<String>,
}

impl Function {
    fn topic(&self) -> Option<&'static str> {
        let may_call = |role: &str| self.callers.iter().any(|it| it == role);
        let is_internal = self.result.ends_with("trigger")
            || self.comment.starts_with("part of ")
            || self.comment.contains("extensions that build on lockstep")
            || STEPS.contains(&self.name.as_str());
        let named = TOPICS
            .iter()
            .find(|(_, names)| names.contains(&self.name.as_str()));
        match named {
            Some((topic, _)) => Some(topic),
            None if may_call("lockstep_chatops") => Some(CHATOPS),
            None if may_call("lockstep_sidecar") => Some(SIDECAR),
            None if is_internal || self.callers.is_empty() => Some(INTERNAL),
            None => None,
        }
    }

    fn text(&self) -> String {
        let Self {
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
            "`lockstep.{name}({arguments}){returns}`\n\n{} *{extension}; callers: {callers}.*\n\n",
            sentence(comment)
        )
    }
}

const INTRODUCTION: &str = "\
# Functions

<!-- Generated by make reference. -->

Every function of both extensions, in the schema `lockstep`. *Callers* are the roles that may execute a function; a function of everyone still checks
what its caller may do to the tables involved, see [Privileges](../privileges.md). A null argument is refused with 22004 unless its
default is null.

";

const INTERNAL_NOTE: &str = "\
These are parts of others: trigger functions, steps of a procedure, and what `lockstep_slack` uses of `lockstep`. Do not call them.

";

#[test]
fn every_function_is_described() -> Result<()> {
    let mut client = database("docs_functions")?;
    let rows = client.query(
        "select p.proname::text, pg_get_function_arguments(p.oid), coalesce(pg_get_function_result(p.oid), ''),
                obj_description(p.oid, 'pg_proc'), e.extname::text,
                array(select case a.grantee when 0 then 'everyone' else a.grantee::regrole::text end
                        from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
                       where a.grantee <> p.proowner order by 1)
           from pg_proc p
           join pg_depend d on d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
           join pg_extension e on e.oid = d.refobjid
          where p.pronamespace = 'lockstep'::regnamespace
          order by p.proname::text collate \"C\", p.pronargs, pg_get_function_identity_arguments(p.oid) collate \"C\"",
        &[],
    )?;
    let functions: Vec<Function> = rows
        .iter()
        .map(|row| Function {
            name: row.get(0),
            arguments: row.get(1),
            result: row.get(2),
            comment: row.get(3),
            extension: row.get(4),
            callers: row.get(5),
        })
        .collect();
    ensure!(functions.len() > 100, "only {} functions", functions.len());
    let mut text = INTRODUCTION.to_owned();
    let names: Vec<&str> = TOPICS.iter().map(|(topic, _)| *topic).collect();
    for topic in [names.as_slice(), &[SIDECAR, CHATOPS, INTERNAL]].concat() {
        write!(text, "## {topic}\n\n")?;
        if topic == INTERNAL {
            text.push_str(INTERNAL_NOTE);
        }
        let mut last = "";
        let all = functions
            .iter()
            .filter(|function| function.topic() == Some(topic));
        for function in in_order_of(topic, all.collect()) {
            if function.name != last {
                write!(text, "### {}\n\n", function.name)?;
            }
            last = &function.name;
            text.push_str(&function.text());
        }
    }
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

/// As the topic lists them.
fn in_order_of<'a>(topic: &str, mut functions: Vec<&'a Function>) -> Vec<&'a Function> {
    if let Some((_, names)) = TOPICS.iter().find(|(name, _)| *name == topic) {
        functions.sort_by_key(|function| names.iter().position(|name| *name == function.name));
    }
    functions
}
