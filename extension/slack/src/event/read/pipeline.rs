//! A pipeline, and what its result is the state of: its branch, its tag or its merge request.

use super::kind::Kind;
use lockstep_webhook::{BadField, Event};
use std::borrow::Cow;

pub(super) type Read<T> = Result<T, BadField>;

#[derive(Debug)]
pub(crate) struct Pipeline<'a> {
    pub(crate) id: i64,
    /// The full name of the branch, tag or merge request whose state its result is, or a short form of a very long one. Its own if
    /// GitLab does not count it as a run of any.
    pub(crate) state_of: String,
    pub(crate) is_counted: bool,
    /// Another pipeline of the project has started it.
    pub(crate) is_child: bool,
    pub(crate) status: Cow<'a, str>,
    pub(crate) finished_at: Option<String>,
    /// Whether it changes that state, if GitLab says so.
    pub(crate) is_change: Option<bool>,
}

const CHILD: &str = "parent_pipeline";
const OF_MERGE_REQUEST: &str = "merge_request_event";

/// Besides child pipelines, what GitLab does not count for the state of a branch.
const UNCOUNTED: [&str; 7] = [
    "webide",
    "ondemand_dast_scan",
    "ondemand_dast_validation",
    "security_orchestration_policy",
    "container_registry_push",
    "duo_workflow",
    "pipeline_execution_policy_schedule",
];

/// How long a branch or tag name may be before it is shortened.
const MOST_OF_NAME: usize = 200;

impl<'a> Pipeline<'a> {
    pub(super) fn read(event: &Event<'a>) -> Read<Self> {
        let pipeline = event.object_attributes.required("object_attributes")?;
        let source = pipeline.source.at("object_attributes.source")?;
        let source = source.map_or("", |source| &**source);
        let status = pipeline.status.required("object_attributes.status")?;
        let ref_status = pipeline
            .ref_status_name
            .at("object_attributes.ref_status_name")?;
        let id = *pipeline.id.required("object_attributes.id")?;
        let is_counted = source != CHILD && !UNCOUNTED.contains(&source);
        Ok(Self {
            id,
            state_of: match is_counted {
                true => short(state_of(event)?),
                false => format!("refs/pipelines/{id}"),
            },
            is_counted,
            is_child: source == CHILD,
            is_change: ref_status.and_then(|name| is_change(status, name)),
            status: status.clone(),
            finished_at: pipeline
                .finished_at
                .at("object_attributes.finished_at")?
                .map(|time| time.to_string()),
        })
    }
}

/// What GitLab's state of the branch says about a pipeline that ended.
fn is_change(status: &str, ref_status: &str) -> Option<bool> {
    match ref_status {
        "broken" => Some(status == "failed"),
        "fixed" => Some(status == "success"),
        "success" | "failed" | "still_failing" => Some(false),
        _ => None,
    }
}

fn state_of(event: &Event) -> Read<String> {
    let pipeline = event.object_attributes.required("object_attributes")?;
    let name = pipeline.reference.required("object_attributes.ref")?;
    if is_of_merge_request(event)? {
        let request = event.merge_request.at("merge_request")?;
        let number = match request {
            Some(request) => request.iid.at("merge_request.iid")?,
            None => None,
        };
        return Ok(match number {
            Some(number) => format!("refs/merge-requests/{number}/head"),
            // At least it is not the branch.
            None => format!("refs/merge-requests/{name}"),
        });
    }
    let is_tag = pipeline.tag.at("object_attributes.tag")? == Some(&true);
    let prefix = match (name.starts_with("refs/"), is_tag) {
        (true, _) => "",
        (false, true) => "refs/tags/",
        (false, false) => "refs/heads/",
    };
    Ok(format!("{prefix}{name}"))
}

fn is_of_merge_request(event: &Event) -> Read<bool> {
    let pipeline = event.object_attributes.required("object_attributes")?;
    let source = pipeline.source.at("object_attributes.source")?;
    Ok(source.is_some_and(|source| &**source == OF_MERGE_REQUEST))
}

/// For a pipeline of a merge request: its branch, and whether that is known to be one of this project.
pub(super) fn source_branch<'a>(
    event: &Event<'a>,
    kind: Kind,
) -> Read<Option<(Option<Cow<'a, str>>, bool)>> {
    if kind != Kind::Pipeline || !is_of_merge_request(event)? {
        return Ok(None);
    }
    let Some(request) = event.merge_request.at("merge_request")? else {
        return Ok(Some((None, false)));
    };
    let project = request
        .source_project_id
        .at("merge_request.source_project_id")?;
    let branch = request.source_branch.at("merge_request.source_branch")?;
    let is_ours = project == Some(&event.project()?);
    Ok(Some((branch.cloned(), is_ours)))
}

/// Shortens a name for use as a key: its beginning, its length and a digest.
fn short(name: String) -> String {
    match name.char_indices().nth(MOST_OF_NAME) {
        None => name,
        Some((end, _)) => {
            let digest = crc32fast::hash(name.as_bytes());
            format!("{}...{}:{digest:08x}", &name[..end], name.len())
        }
    }
}
