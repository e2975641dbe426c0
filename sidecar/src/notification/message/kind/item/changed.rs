//! What changed in an issue or merge request, in words.

use lockstep_webhook::{Change, Changes, Differs, Label, List, User};

use crate::notification::message::markup::list::named;

/// The words before and after the item; None if nothing is known that has words.
pub(super) fn words(changes: &Changes) -> Option<(String, String)> {
    if let Some(words) = of_reviewers(&changes.reviewers) {
        return Some(words);
    }
    let before = |before: String| Some((before, String::new()));
    match (changes.draft.previous.get(), changes.draft.current.get()) {
        (_, Some(true)) => return Some(("marked".to_owned(), " as a draft".to_owned())),
        (Some(true), Some(false)) => return Some(("marked".to_owned(), " as ready".to_owned())),
        _ => {}
    }
    let assignees = &changes.assignees;
    let assigned = people(assignees.added());
    let unassigned = people(assignees.removed());
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
    let added = titles(labels.added());
    let removed = titles(labels.removed());
    match (added, removed) {
        (Some(added), Some(removed)) => Some((
            format!("added the label {added} to"),
            format!(" and removed {removed}"),
        )),
        (Some(added), None) => before(format!("added the label {added} to")),
        (None, Some(removed)) => before(format!("removed the label {removed} from")),
        (None, None) if !changes.milestone_id.differs() => None,
        (None, None) => match changes.milestone_id.current.get() {
            Some(_) => before("set a milestone of".to_owned()),
            None => before("removed the milestone of".to_owned()),
        },
    }
}

/// The words if somebody is asked for a review, is asked again, or no longer is.
fn of_reviewers(reviewers: &Change<List<User>>) -> Option<(String, String)> {
    let asked = people(reviewers.added());
    let again = people(reviewers.asked_again());
    let released = people(reviewers.removed());
    let mut after = String::new();
    let before = match (asked, again, &released) {
        (Some(asked), again, _) => {
            if let Some(again) = again {
                after = format!(", and {again} again");
            }
            format!("asked {asked} for a review of")
        }
        (None, Some(again), _) => format!("asked {again} again for a review of"),
        (None, None, Some(released)) => {
            let before = format!("no longer asks {released} for a review of");
            return Some((before, after));
        }
        (None, None, None) => return None,
    };
    if let Some(released) = released {
        after += &format!(", no longer {released}");
    }
    Some((before, after))
}

fn people<'e, 'a: 'e>(users: impl Iterator<Item = &'e User<'a>>) -> Option<String> {
    named("", users.map(|user| user.name.or(&user.username)))
}

fn titles<'e, 'a: 'e>(labels: impl Iterator<Item = &'e Label<'a>>) -> Option<String> {
    named("", labels.map(|label| &**label.title))
}
