//! Why a workflow has its account, or none: the steps of its resolution.

use super::resolver::{Outcome, Resolver, Workflow};
use super::tables::Tables;
use crate::error::{OrRaise, Result, ServiceAccountError, required};
use lockstep_server::{View, connected};
use pgrx::pg_sys::Datum;
use pgrx::prelude::*;

/// The name of a step, the id it found, and a sentence.
type Step = (&'static str, Option<i64>, String);

/// Each step of a workflow's resolution as of now; the last one is where it ended.
#[pg_extern(sql = r#"
create function lockstep.explain_service_account(workflow_id bigint, schema text default 'public')
returns table (step text, found bigint, detail text)
stable language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.explain_service_account(bigint, text) is
  'the steps from a workflow to its service account, the id that each found, and how it ended: resolved, no_item, no_root_group, no_consumer, consumer_without_account';
"#)]
fn explain_service_account(
    workflow_id: Option<i64>,
    schema: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(step, &'static str),
        name!(found, Option<i64>),
        name!(detail, String),
    ),
> {
    let id = required(workflow_id, "workflow_id");
    let schema = required(schema, "schema");
    TableIterator::new(explain(id, schema).or_raise())
}

fn explain(id: i64, schema: &str) -> Result<Vec<Step>> {
    let tables = Tables::of_schema(schema)?;
    tables.check_caller_may_read()?;
    let mut resolver = Resolver::default();
    let found = connected(|| {
        let mut found = None;
        tables
            .workflow
            .rows(View::Caller, &[Datum::from(id)], |row| {
                found = Some((Workflow::of_row(row), row.get::<i64>(7)));
            });
        if let Some((workflow, _)) = &found {
            resolver.look_up(&tables, View::Caller, std::slice::from_ref(workflow));
        }
        found
    });
    let Some((workflow, account)) = found else {
        return Err(ServiceAccountError::NoSuchWorkflow {
            table: tables.workflows.qualified_name(),
            id,
        }
        .into());
    };
    let row = match account {
        Some(account) => {
            format!("has service account {account}, which is never overwritten")
        }
        None => "has no service account".to_owned(),
    };
    let mut steps = vec![("workflow", Some(id), row)];
    steps.extend(item_steps(&resolver, &workflow));
    if let Some(item) = resolver.item(&workflow) {
        steps.extend(group_steps(&resolver, &workflow));
        if let Some(root) = resolver.root_group(&workflow) {
            steps.push(consumer_step(&resolver, &workflow, item, root));
        }
    }
    steps.push(end(resolver.outcome(&workflow)));
    Ok(steps)
}

fn item_steps(resolver: &Resolver, workflow: &Workflow) -> Vec<Step> {
    let of_version = resolver.item_of_version(workflow);
    let version = match (workflow.version, of_version) {
        (None, _) => "the workflow names no version".to_owned(),
        (Some(version), Some(item)) => format!("version {version} is one of item {item}"),
        (Some(version), None) => format!("version {version} does not exist"),
    };
    let mut steps = vec![("version", of_version, version)];
    if of_version.is_some() {
        return steps;
    }
    let own = match workflow.item {
        Some(item) => format!("the workflow names item {item} itself"),
        None => "the workflow names no item itself, so its definition decides".to_owned(),
    };
    steps.push(("item", workflow.item, own));
    if workflow.item.is_none() {
        let item = resolver.item(workflow);
        let definition = match (&workflow.definition, item) {
            (None, _) => "the workflow names no definition".to_owned(),
            (Some(definition), Some(item)) => {
                format!(
                    "item {item} is the one with the lowest id whose foundational_flow_reference is \"{definition}\""
                )
            }
            (Some(definition), None) => {
                format!("no item has the foundational_flow_reference \"{definition}\"")
            }
        };
        steps.push(("definition", item, definition));
    }
    steps
}

fn group_steps(resolver: &Resolver, workflow: &Workflow) -> Vec<Step> {
    let namespace = resolver.namespace(workflow);
    let detail = match (workflow.project, namespace) {
        (Some(project), Some(namespace)) => {
            format!("project {project} is in namespace {namespace}")
        }
        (Some(project), None) => format!("project {project} does not exist"),
        (None, Some(namespace)) => format!("the workflow is of namespace {namespace}"),
        (None, None) => "the workflow names neither project nor namespace".to_owned(),
    };
    let mut steps = vec![("namespace", namespace, detail)];
    if let Some(namespace) = namespace {
        let root = resolver.root_group(workflow);
        let detail = match root {
            Some(root) => {
                format!("the traversal_ids of namespace {namespace} start with {root}")
            }
            None => format!("namespace {namespace} does not exist or its traversal_ids are empty"),
        };
        steps.push(("root_group", root, detail));
    }
    steps
}

fn consumer_step(resolver: &Resolver, workflow: &Workflow, item: i64, root: i64) -> Step {
    let consumer = resolver.consumer(workflow);
    let detail = match consumer {
        None => format!("group {root} has no consumer of item {item}"),
        Some(consumer) if consumer.account.is_none() => {
            format!("no consumer of item {item} in group {root} has an account")
        }
        Some(consumer) => format!(
            "consumer {} is the one with the lowest id of item {item} in group {root} that has an account",
            consumer.id
        ),
    };
    ("consumer", consumer.map(|consumer| consumer.id), detail)
}

fn end(outcome: Outcome) -> Step {
    let (step, detail) = match outcome {
        Outcome::Resolved(account) => {
            let detail = format!("the service account is {account}");
            return ("resolved", Some(account), detail);
        }
        Outcome::NoItem => ("no_item", "version, item and definition lead to no item"),
        Outcome::NoRootGroup => ("no_root_group", "there is no root group to look in"),
        Outcome::NoConsumer => ("no_consumer", "the root group does not use the item"),
        Outcome::ConsumerWithoutAccount => (
            "consumer_without_account",
            "the root group uses the item without an account",
        ),
    };
    (step, None, detail.to_owned())
}
