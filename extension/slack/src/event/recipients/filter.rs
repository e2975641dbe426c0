//! Whether an integration is notified of an event, and in which channels.

use super::candidate::Candidate;
use super::person::{MOST_MENTIONS, Mention, Person};
use super::protection::{ChatNames, ProtectedBranches};
use super::reason::Reason;
use super::route::Verdict;
use super::scope::Scope;
use crate::event::read::{Branch, News, Occurrence};
use crate::event::settings::{Branches, Settings};
use crate::event::written::{Change, Source};
use std::collections::HashSet;

/// What to notify, if nothing else prevents it.
#[derive(Debug)]
pub(crate) struct Told<'a> {
    pub(crate) source: Source,
    pub(crate) team: &'a str,
    pub(crate) channels: Vec<&'a str>,
    /// Only if the pipeline's result differs from the previous one.
    pub(crate) if_changed: bool,
    /// The people that the event is for, and Slack's user group of the group that it mentions.
    pub(crate) persons: Vec<Person>,
    pub(crate) user_group: Option<&'a str>,
}

impl Told<'_> {
    /// Slack's ids of those that the message mentions, with spaces between.
    pub(crate) fn mentions(&self) -> Option<String> {
        let mentioned = self.persons.iter();
        let mentioned = mentioned.filter(|person| person.mention == Mention::Mentioned);
        let users = mentioned.filter_map(|person| person.slack_user.as_deref());
        let ids: Vec<&str> = users.chain(self.user_group).take(MOST_MENTIONS).collect();
        (!ids.is_empty()).then(|| ids.join(" "))
    }

    /// The people who get a direct message, each with its delay in microseconds.
    pub(crate) fn direct_messages(&self) -> impl Iterator<Item = (&str, i64)> {
        self.persons.iter().filter_map(Person::direct_message)
    }

    /// Why nobody is notified of a pipeline after all.
    pub(crate) fn kept_back(&self, change: Change) -> Option<Reason> {
        match change {
            Change::Repeated => Some(Reason::Repeated),
            Change::None if self.if_changed => Some(Reason::PipelineStatus),
            Change::None | Change::Changed => None,
        }
    }
}

/// What filters need besides the event.
pub(crate) struct Surroundings<'a> {
    pub(crate) scope: &'a Scope,
    pub(crate) protected_branches: &'a ProtectedBranches,
    pub(crate) chat_names: &'a ChatNames,
    /// What looks like a branch is a tag.
    pub(crate) is_of_tag: bool,
}

/// Whether the application's switches allow the candidate; settings are only read for these.
pub(crate) fn switched(
    candidate: &Candidate,
    event: &Occurrence,
    scope: &Scope,
    is_on: Option<bool>,
) -> Result<(), Reason> {
    if let Some(reason) = scope.quiet {
        Err(reason)
    } else if !candidate.is_active {
        Err(Reason::Inactive)
    } else if candidate.installed.is_none() {
        Err(Reason::NotInstalled)
    } else if !candidate.is_told_of(event.kind) {
        Err(Reason::EventOff)
    } else if is_on != Some(true) {
        Err(match is_on {
            None => Reason::FeatureUnknown,
            _ => Reason::FeatureOff,
        })
    } else {
        match event.news {
            News::Always | News::OnRequest(_) => Ok(()),
            News::MereUpdate => Err(Reason::Action),
            News::OtherStatus => Err(Reason::JobStatus),
            News::Confidential => Err(Reason::Confidential),
        }
    }
}

/// Whether settings and filters allow the candidate. It has a verdict for each of its routes; an event that takes none is left to
/// the other settings.
pub(crate) fn filtered<'a>(
    candidate: &'a Candidate,
    event: &Occurrence,
    settings: &'a Settings,
    verdicts: &[Verdict],
    around: &Surroundings,
) -> Result<Told<'a>, Reason> {
    let Some((source, team)) = &candidate.installed else {
        return Err(Reason::NotInstalled);
    };
    if let News::OnRequest(changes) = &event.news
        && !changes
            .iter()
            .any(|it| settings.changes.iter().any(|wanted| wanted == it))
    {
        return Err(Reason::Action);
    }
    let routed = settings.routes.iter().zip(verdicts);
    let routed = routed.filter(|(_, verdict)| **verdict == Verdict::Taken);
    let mut all: Vec<&str> = routed
        .flat_map(|(route, _)| &route.channels)
        .map(String::as_str)
        .collect();
    let is_routed = !all.is_empty();
    if !is_routed || settings.all_routes {
        match is_selected(event, settings, around) {
            Err(reason) if !is_routed => return Err(reason),
            Err(_) => {}
            Ok(()) => all.extend(settings.channels_of(event.kind).iter().map(String::as_str)),
        }
    }
    if let Some(pipeline) = &event.pipeline {
        match &*pipeline.status {
            "failed" => {}
            "success" if !settings.only_broken_pipelines => {}
            _ => return Err(Reason::PipelineStatus),
        }
        // It is a run of no branch, and changes the state of none.
        if settings.only_changed_pipelines && !pipeline.is_counted {
            return Err(Reason::PipelineStatus);
        }
    }
    // Compared like the application compares its own names.
    let name = event.author.name.as_deref().map(str::to_lowercase);
    let is_author = |muted: &String| name.as_deref() == Some(&*muted.to_lowercase());
    if settings.muted_authors.iter().any(is_author) {
        return Err(Reason::Author);
    }
    if all.is_empty() {
        // An event that the application has no switch for is switched on by naming it.
        let is_switched =
            event.kind.column().is_some() || settings.routes.iter().any(|it| it.names(event.kind));
        return Err(match (is_switched, settings.routes.is_empty()) {
            (false, _) => Reason::EventOff,
            (true, true) => Reason::NoChannel,
            (true, false) => Reason::NoRoute,
        });
    }
    if is_routed {
        let mut seen = HashSet::new();
        all.retain(|channel| seen.insert(*channel));
    }
    let is_own = |channel: &str| match (settings.own_actions, event.author.id) {
        (false, Some(author)) => around.chat_names.contain(author, team, channel),
        _ => false,
    };
    all.retain(|channel| !is_own(channel));
    if all.is_empty() {
        return Err(Reason::Author);
    }
    Ok(Told {
        source: *source,
        team,
        channels: all,
        if_changed: event.pipeline.is_some() && settings.only_changed_pipelines,
        persons: Vec::new(),
        user_group: None,
    })
}

/// Whether the settings besides routes select the event.
fn is_selected(
    event: &Occurrence,
    settings: &Settings,
    around: &Surroundings,
) -> Result<(), Reason> {
    if let Some(pipeline) = &event.pipeline
        && pipeline.is_child
        && !settings.child_pipelines
    {
        return Err(Reason::ChildPipeline);
    }
    if let Some(branch) = &event.branch
        && !around.is_of_tag
        && !is_about(branch, settings.branches, around)
    {
        return Err(Reason::Branch);
    }
    if !are_wanted(event, settings) {
        return Err(Reason::Labels);
    }
    Ok(())
}

/// Whether the application must be asked if a branch is protected.
pub(crate) fn needs_protected_branches(event: &Occurrence, settings: &Settings) -> bool {
    let is_unknown = |branch: &Branch| branch.is_protected.is_none();
    settings.branches.depend_on_protection() && event.branch.as_ref().is_some_and(is_unknown)
}

fn is_about(branch: &Branch, branches: Branches, around: &Surroundings) -> bool {
    let is_protected = || {
        branch.is_protected.unwrap_or_else(|| {
            around
                .protected_branches
                .contain(around.scope, &branch.name)
        })
    };
    match branches {
        Branches::All => true,
        Branches::Default => branch.is_default,
        Branches::Protected => is_protected(),
        Branches::DefaultAndProtected => branch.is_default || is_protected(),
    }
}

fn are_wanted(event: &Occurrence, settings: &Settings) -> bool {
    let Some(labels) = &event.labels else {
        return true;
    };
    let mut wanted = settings.labels.iter();
    let is_there = |wanted: &String| labels.iter().any(|label| *label == **wanted);
    match settings.all_labels {
        true => wanted.all(is_there),
        false => settings.labels.is_empty() || wanted.any(is_there),
    }
}
