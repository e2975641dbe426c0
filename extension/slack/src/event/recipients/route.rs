//! Which routes of an integration an event takes.

use super::protection::fits;
use crate::event::read::{Facts, Kind, Occurrence};
use crate::event::settings::{Route, Settings};
use std::borrow::Cow;

/// What becomes of an event at a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Taken,
    /// The condition that does not hold.
    Not(&'static str),
    /// The event has taken an earlier one.
    Passed,
}

impl Verdict {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Not(condition) => condition,
            Self::Passed => "passed",
        }
    }
}

/// One for each route, in order.
pub(crate) fn verdicts(settings: &Settings, event: &Occurrence, facts: &Facts) -> Vec<Verdict> {
    let mut is_taken = false;
    let verdict = |route| {
        if is_taken && !settings.all_routes {
            return Verdict::Passed;
        }
        match failing(route, event, facts) {
            None => {
                is_taken = true;
                Verdict::Taken
            }
            Some(condition) => Verdict::Not(condition),
        }
    };
    settings.routes.iter().map(verdict).collect()
}

/// The first condition that does not hold. A condition on something that the event does not have does not hold.
fn failing(route: &Route, event: &Occurrence, facts: &Facts) -> Option<&'static str> {
    let labels = event.labels.as_deref().unwrap_or_default();
    let has_label = |label: &String| labels.iter().any(|it| *it == **label);
    // Compared like the application compares its own names.
    let author = event.author.name.as_deref().map(str::to_lowercase);
    let is_author = |name: &String| author.as_deref() == Some(&*name.to_lowercase());
    let own = event.branch.as_ref().filter(|_| !facts.is_tag);
    let branch = own.map(|branch| &branch.name);
    let branch = branch.or(facts.target_branch.as_ref());
    // A branch of that name in a fork is another one.
    let is_of_fork = own.is_some_and(|branch| branch.is_of_fork);
    let is_any = |pattern: &String| pattern == "*";
    let is_severe = matches!(
        event.kind,
        Kind::Alert | Kind::Vulnerability | Kind::Incident
    );
    let is_child = event.pipeline.as_ref().is_some_and(|it| it.is_child);
    let is_or_any = |wanted: Option<bool>, is: Option<bool>| wanted.is_none() || wanted == is;
    let conditions: [(&'static str, bool); 12] = [
        ("events", route.takes(event.kind, event.is_confidential)),
        (
            "child_pipelines",
            route.child_pipelines.unwrap_or_default() == is_child,
        ),
        ("tags", is_or_any(route.tags, Some(facts.is_tag))),
        ("drafts", is_or_any(route.drafts, facts.is_draft)),
        (
            "branches",
            match is_of_fork && !route.branches.is_empty() {
                true => route.branches.iter().any(is_any),
                false => matches(&route.branches, branch),
            },
        ),
        (
            "labels",
            route.labels.is_empty() || route.labels.iter().any(has_label),
        ),
        (
            "without_labels",
            !route.without_labels.iter().any(has_label),
        ),
        (
            "authors",
            route.authors.is_empty() || route.authors.iter().any(is_author),
        ),
        (
            "without_authors",
            !route.without_authors.iter().any(is_author),
        ),
        (
            "paths",
            route.paths.is_empty()
                || facts
                    .paths
                    .iter()
                    .any(|path| matches(&route.paths, Some(path))),
        ),
        (
            "environments",
            matches(&route.environments, facts.environment.as_ref()),
        ),
        (
            "severities",
            matches(
                &route.severities,
                facts.severity.as_ref().filter(|_| is_severe),
            ),
        ),
    ];
    let mut failing = conditions.into_iter().filter(|(_, holds)| !holds);
    failing.next().map(|(condition, _)| condition)
}

/// Whether one of the patterns matches; without patterns anything does.
fn matches(patterns: &[String], text: Option<&Cow<str>>) -> bool {
    let fits = |text: &Cow<str>| patterns.iter().any(|pattern| fits(pattern, text));
    patterns.is_empty() || text.is_some_and(fits)
}
