//! Merge requests that wait for a review.

use lockstep_webhook::{Event, Waiting};

use super::issue::label;
use crate::notification::message::draft::Draft;
use crate::notification::message::markup::link::link;
use crate::notification::message::markup::list::{listed, named};
use crate::notification::message::markup::phrase::Phrase;
use crate::notification::message::markup::user_text::{NAME, TITLE, line};

/// The space that the sentence leaves in the section.
const ROOM: usize = 2_600;

pub(in super::super) fn draft(event: &Event) -> Draft {
    let said = usize::try_from(*event.total_count).unwrap_or_default();
    let number = said.max(event.merge_requests.len());
    let words = match number {
        1 => "A merge request waits for a review".to_owned(),
        number => format!("{number} merge requests wait for a review"),
    };
    let requests = event.merge_requests.iter();
    let lines = requests.map(|request| line_of(request, &event.gitlab_url));
    Draft::new(Phrase::default().marked("👀 ").words(&words))
        .body(listed(lines, "\n", number, ROOM))
}

fn line_of(request: &Waiting, gitlab: &str) -> String {
    let path = line(&request.path_with_namespace, NAME);
    let title = line(&label("!", &request.iid, &request.title), TITLE);
    let page = match (gitlab.trim_end_matches('/'), request.iid.get()) {
        ("", _) | (_, None) => String::new(),
        (gitlab, Some(iid)) => format!(
            "{gitlab}/{}/-/merge_requests/{iid}",
            *request.path_with_namespace
        ),
    };
    let reviewers = named(
        " · waits for ",
        request
            .reviewers
            .iter()
            .map(|user| user.name.or(&user.username)),
    );
    format!(
        "{path} {}{}",
        link(&page, &title),
        reviewers.unwrap_or_default()
    )
}
