//! What changed in an issue or merge request, in words.

use lockstep_webhook::{Changes, Label, List, Object, User};

use crate::notification::message::markup::list::named;

/// The words before and after the item; None if nothing is known that has words.
pub(super) fn words(changes: &Changes) -> Option<(String, String)> {
    let reviewers = &changes.reviewers;
    let asked = people(&reviewers.current, &reviewers.previous);
    let released = people(&reviewers.previous, &reviewers.current);
    let draft = (changes.draft.previous.get(), changes.draft.current.get());
    let before = |before: String| Some((before, String::new()));
    match (asked, released, draft) {
        (Some(asked), Some(released), _) => {
            return Some((
                format!("asked {asked} for a review of"),
                format!(", no longer {released}"),
            ));
        }
        (Some(asked), None, _) => return before(format!("asked {asked} for a review of")),
        (None, Some(released), _) => {
            return before(format!("no longer asks {released} for a review of"));
        }
        (None, None, (_, Some(true))) => {
            return Some(("marked".to_owned(), " as a draft".to_owned()));
        }
        (None, None, (Some(true), Some(false))) => {
            return Some(("marked".to_owned(), " as ready".to_owned()));
        }
        _ => {}
    }
    let assignees = &changes.assignees;
    let assigned = people(&assignees.current, &assignees.previous);
    let unassigned = people(&assignees.previous, &assignees.current);
    match (assigned, unassigned) {
        (Some(assigned), Some(unassigned)) => {
            return Some((
                format!("assigned {assigned} to"),
                format!(", no longer {unassigned}"),
            ));
        }
        (Some(assigned), None) => return before(format!("assigned {assigned} to")),
        (None, Some(unassigned)) => return before(format!("no longer assigns {unassigned} to")),
        (None, None) => {}
    }
    let labels = &changes.labels;
    let added = titles(&labels.current, &labels.previous);
    let removed = titles(&labels.previous, &labels.current);
    match (added, removed) {
        (Some(added), Some(removed)) => Some((
            format!("added the label {added} to"),
            format!(" and removed {removed}"),
        )),
        (Some(added), None) => before(format!("added the label {added} to")),
        (None, Some(removed)) => before(format!("removed the label {removed} from")),
        (None, None) if changes.milestone_id.current.get().is_some() => {
            before("set a milestone of".to_owned())
        }
        (None, None) if changes.milestone_id.is_there() => {
            before("removed the milestone of".to_owned())
        }
        (None, None) => None,
    }
}

/// The users on one list and not on the other.
fn people(these: &List<User>, those: &List<User>) -> Option<String> {
    missing(
        these,
        those,
        |user| user.username.or(&user.name),
        |user| user.name.or(&user.username),
    )
}

fn titles(these: &List<Label>, those: &List<Label>) -> Option<String> {
    missing(these, those, |label| &label.title, |label| &label.title)
}

fn missing<'e, T>(
    these: &'e List<T>,
    those: &'e List<T>,
    key: impl Fn(&'e T) -> &'e str,
    shown: impl Fn(&'e T) -> &'e str,
) -> Option<String> {
    let known: Vec<&str> = those.iter().map(|it: &'e Object<T>| key(it)).collect();
    let missing = these.iter().filter(|it| !known.contains(&key(it)));
    named("", missing.map(|it| shown(it)))
}
