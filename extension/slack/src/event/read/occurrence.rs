//! What happened: the kind of an event, and everything that decides who is notified.

use super::kind::Kind;
use super::news::News;
use super::pipeline::{Pipeline, Read, source_branch};
use lockstep_webhook::{
    BadField, Event, Label, List, Noteable, Object, ObjectKind, check_is_readable,
};
use std::borrow::Cow;

/// What is wrong with an event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Flaw {
    Kind(String),
    /// The path of the field, or why it cannot be parsed.
    Field(String),
}

impl From<BadField> for Flaw {
    fn from(BadField(path): BadField) -> Self {
        Self::Field(path)
    }
}

/// How much of an unknown kind is repeated to the sender.
const MOST_OF_KIND: usize = 50;

#[derive(Debug)]
pub(crate) struct Occurrence<'a> {
    pub(crate) kind: Kind,
    /// Not everybody who can see the project may see it.
    pub(crate) is_confidential: bool,
    pub(crate) place: Place<'a>,
    pub(crate) author: Author<'a>,
    pub(crate) news: News,
    /// The branch it is about, if any.
    pub(crate) branch: Option<Branch<'a>>,
    /// The labels of what it is about; None if it cannot have labels.
    pub(crate) labels: Option<Vec<Cow<'a, str>>>,
    pub(crate) pipeline: Option<Pipeline<'a>>,
    /// It contains parts that must not be stored.
    pub(crate) has_superfluous: bool,
}

/// Where it happened.
#[derive(Debug, PartialEq)]
pub(crate) enum Place<'a> {
    Project(i64),
    Group(i64),
    GroupOfPath(Cow<'a, str>),
}

/// Who did it, as far as known.
#[derive(Debug, Default)]
pub(crate) struct Author<'a> {
    pub(crate) id: Option<i64>,
    pub(crate) name: Option<Cow<'a, str>>,
}

#[derive(Debug)]
pub(crate) struct Branch<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) is_default: bool,
    pub(crate) is_protected: Option<bool>,
    pub(crate) is_of_fork: bool,
}

impl<'a> Occurrence<'a> {
    pub(crate) fn read(text: &'a str) -> Result<Self, Flaw> {
        let event = Event::read(text).map_err(|error| Flaw::Field(error.to_string()))?;
        let has_superfluous = check_is_readable(text).map_err(Flaw::Field)?;
        let name = event.object_kind.required("object_kind")?;
        let kind =
            kind(&event)?.ok_or_else(|| Flaw::Kind(name.chars().take(MOST_OF_KIND).collect()))?;
        Ok(Self {
            has_superfluous,
            ..occurrence(&event, kind)?
        })
    }
}

fn kind(event: &Event) -> Read<Option<Kind>> {
    Ok(Some(match event.kind() {
        Some(ObjectKind::Push) => Kind::Push,
        Some(ObjectKind::TagPush) => Kind::TagPush,
        Some(ObjectKind::Issue | ObjectKind::WorkItem) => kind_of_issue(event)?,
        Some(ObjectKind::Incident) => Kind::Incident,
        Some(ObjectKind::MergeRequest) => Kind::MergeRequest,
        Some(ObjectKind::Note) => match is_confidential(event)? {
            true => Kind::ConfidentialNote,
            false => Kind::Note,
        },
        Some(ObjectKind::Pipeline) => Kind::Pipeline,
        Some(ObjectKind::WikiPage) => Kind::WikiPage,
        Some(ObjectKind::Deployment) => Kind::Deployment,
        Some(ObjectKind::Alert) => Kind::Alert,
        Some(ObjectKind::Vulnerability) => Kind::Vulnerability,
        Some(ObjectKind::GroupMention) => match is_confidential(event)? {
            true => Kind::GroupConfidentialMention,
            false => Kind::GroupMention,
        },
        Some(ObjectKind::Build) => Kind::Job,
        Some(ObjectKind::Release) => Kind::Release,
        Some(ObjectKind::Milestone) => Kind::Milestone,
        Some(ObjectKind::FeatureFlag) => Kind::FeatureFlag,
        Some(ObjectKind::Emoji) => Kind::Emoji,
        Some(ObjectKind::LockstepTest | ObjectKind::LockstepReviews) | None => return Ok(None),
    }))
}

fn kind_of_issue(event: &Event) -> Read<Kind> {
    let issue = event.object_attributes.required("object_attributes")?;
    let kind = issue.kind.at("object_attributes.type")?;
    let kind_of_item = issue
        .work_item_type
        .at("object_attributes.work_item_type")?;
    let is_incident = [kind, kind_of_item]
        .iter()
        .flatten()
        .any(|kind| kind.eq_ignore_ascii_case("incident"));
    Ok(match is_incident {
        true => Kind::Incident,
        false => match is_confidential(event)? {
            true => Kind::ConfidentialIssue,
            false => Kind::Issue,
        },
    })
}

/// What a note can belong to, or what can mention a group.
fn noteables<'e, 'a>(event: &'e Event<'a>) -> [(&'e Object<Noteable<'a>>, &'static str); 8] {
    [
        (&event.issue, "issue"),
        (&event.work_item, "work_item"),
        (&event.merge_request, "merge_request"),
        (&event.epic, "epic"),
        (&event.vulnerability, "vulnerability"),
        (&event.snippet, "snippet"),
        (&event.wiki_page, "wiki_page"),
        (&event.note, "note"),
    ]
}

/// Event types that are confidential regardless of their other fields.
const CONFIDENTIAL: [&str; 4] = [
    "confidential_issue",
    "confidential_work_item",
    "confidential_note",
    "group_confidential_mention",
];

/// Something that not everybody may see, or a note, a mention or an emoji on it.
fn is_confidential(event: &Event) -> Read<bool> {
    let mut confidential = event
        .event_type
        .at("event_type")?
        .is_some_and(|it| CONFIDENTIAL.contains(&&**it));
    if let Some(object) = event.object_attributes.at("object_attributes")? {
        for (field, path) in [
            (&object.confidential, "object_attributes.confidential"),
            (&object.internal, "object_attributes.internal"),
        ] {
            confidential |= field.at(path)? == Some(&true);
        }
    }
    for (noteable, name) in noteables(event) {
        if let Some(noteable) = noteable.at(name)? {
            for (field, part) in [
                (&noteable.confidential, "confidential"),
                (&noteable.internal, "internal"),
            ] {
                confidential |= field.at(&format!("{name}.{part}"))? == Some(&true);
            }
        }
    }
    Ok(confidential)
}

fn occurrence<'a>(event: &Event<'a>, kind: Kind) -> Read<Occurrence<'a>> {
    if matches!(
        kind,
        Kind::MergeRequest
            | Kind::Note
            | Kind::ConfidentialNote
            | Kind::WikiPage
            | Kind::Milestone
            | Kind::FeatureFlag
            | Kind::Emoji
    ) {
        event.object_attributes.required("object_attributes")?;
    }
    let is_confidential = match kind {
        Kind::Incident | Kind::Emoji => is_confidential(event)?,
        kind => kind.is_confidential(),
    };
    Ok(Occurrence {
        kind,
        is_confidential,
        place: match kind.is_of_group() || is_of_groups_milestone(event, kind)? {
            true => group(event)?,
            false => Place::Project(event.project()?),
        },
        news: News::read(event, kind, is_confidential)?,
        branch: branch(event, kind)?,
        labels: labels(event, kind)?,
        pipeline: match kind {
            Kind::Pipeline => Some(Pipeline::read(event)?),
            _ => None,
        },
        has_superfluous: false,
        author: author(event)?,
    })
}

/// Groups have milestones, too.
fn is_of_groups_milestone(event: &Event, kind: Kind) -> Read<bool> {
    Ok(kind == Kind::Milestone
        && event.project.at("project")?.is_none()
        && event.group.at("group")?.is_some())
}

fn group<'a>(event: &Event<'a>) -> Read<Place<'a>> {
    for (group, name) in [(&event.mentioned, "mentioned"), (&event.group, "group")] {
        let Some(group) = group.at(name)? else {
            continue;
        };
        if let Some(id) = group.id.at(&format!("{name}.id"))? {
            return Ok(Place::Group(*id));
        }
        if let Some(path) = group.full_path.at(&format!("{name}.full_path"))? {
            return Ok(Place::GroupOfPath(path.clone()));
        }
        if let Some(path) = group.name.at(&format!("{name}.name"))? {
            return Ok(Place::GroupOfPath(path.clone()));
        }
    }
    match event.group_id.at("group_id")? {
        Some(id) => Ok(Place::Group(*id)),
        None => Err(BadField("mentioned.id".to_owned())),
    }
}

fn author<'a>(event: &Event<'a>) -> Read<Author<'a>> {
    let mut author = Author {
        id: event.user_id.at("user_id")?.copied(),
        name: event.user_username.at("user_username")?.cloned(),
    };
    if let Some(user) = event.user.at("user")? {
        if let Some(id) = user.id.at("user.id")? {
            author.id = Some(*id);
        }
        if let Some(name) = user.username.at("user.username")? {
            author.name = Some(name.clone());
        }
    }
    Ok(author)
}

fn branch<'a>(event: &Event<'a>, kind: Kind) -> Read<Option<Branch<'a>>> {
    let (reference, is_tag, is_protected) = match kind {
        Kind::Push | Kind::TagPush => {
            let reference = event.reference.required("ref")?;
            let is_tag = kind == Kind::TagPush;
            (reference, is_tag, event.ref_protected.at("ref_protected")?)
        }
        Kind::Pipeline => {
            let pipeline = event.object_attributes.required("object_attributes")?;
            (
                pipeline.reference.required("object_attributes.ref")?,
                pipeline.tag.at("object_attributes.tag")? == Some(&true),
                pipeline
                    .protected_ref
                    .at("object_attributes.protected_ref")?,
            )
        }
        Kind::Deployment => match event.reference.at("ref")? {
            Some(reference) => (reference, false, event.ref_protected.at("ref_protected")?),
            // Not every GitLab version says what was deployed.
            None => return Ok(None),
        },
        Kind::Job => match event.reference.at("ref")? {
            Some(reference) => (reference, event.tag.is_it, None),
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    if is_tag || reference.starts_with("refs/tags/") {
        return Ok(None);
    }
    let name = without_prefix(reference, "refs/heads/");
    let project = event.project.at("project")?;
    let default = match project {
        Some(project) => project.default_branch.at("project.default_branch")?,
        None => None,
    };
    let is_default = |name: &str| default.is_some_and(|default| *default == name);
    Ok(Some(match source_branch(event, kind)? {
        // A branch of that name in a fork is another branch.
        Some((source, false)) => Branch {
            is_default: false,
            is_protected: Some(false),
            is_of_fork: true,
            name: source.unwrap_or(name),
        },
        Some((Some(source), true)) if source != name => Branch {
            is_default: is_default(&source),
            is_protected: None,
            is_of_fork: false,
            name: source,
        },
        _ => Branch {
            is_default: is_default(&name),
            is_protected: is_protected.copied(),
            is_of_fork: false,
            name,
        },
    }))
}

fn labels<'a>(event: &Event<'a>, kind: Kind) -> Read<Option<Vec<Cow<'a, str>>>> {
    if !matches!(
        kind,
        Kind::Issue
            | Kind::ConfidentialIssue
            | Kind::Incident
            | Kind::MergeRequest
            | Kind::Note
            | Kind::ConfidentialNote
    ) {
        return Ok(None);
    }
    let mut places: Vec<(&List<Label<'a>>, &str)> = vec![(&event.labels, "labels")];
    for (noteable, name) in noteables(event) {
        if let Some(noteable) = noteable.at(name)? {
            places.push((&noteable.labels, name));
        }
    }
    if let Some(object) = event.object_attributes.at("object_attributes")? {
        places.push((&object.labels, "object_attributes"));
    }
    for (labels, place) in places {
        let path = match place {
            "labels" => place.to_owned(),
            _ => format!("{place}.labels"),
        };
        if let Some(labels) = labels.at(&path)? {
            let titles = labels.iter().enumerate().map(|(place, label)| {
                let label = label.required(&format!("{path}[{place}]"))?;
                let title = label.title.required(&format!("{path}[{place}].title"));
                title.cloned()
            });
            return titles.collect::<Read<_>>().map(Some);
        }
    }
    Ok(Some(Vec::new()))
}

fn without_prefix<'a>(text: &Cow<'a, str>, prefix: &str) -> Cow<'a, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.strip_prefix(prefix).unwrap_or(text)),
        Cow::Owned(text) => Cow::Owned(text.strip_prefix(prefix).unwrap_or(text).to_owned()),
    }
}
