//! Commits, branches and tags.

use lockstep_webhook::{Event, ObjectKind, User};

use crate::notification::message::draft::{Draft, SLATE};
use crate::notification::message::markup::link::{link, path};
use crate::notification::message::markup::list::{MOST, listed};
use crate::notification::message::markup::phrase::Phrase;
use crate::notification::message::markup::user_text::{NAME, TITLE, line};

/// The space that the sentence leaves for commits in the section.
const ROOM: usize = 2_400;

pub(super) fn draft(push: &Event) -> Draft {
    let user = User {
        name: push.user_name.clone(),
        username: push.user_username.clone(),
        ..User::default()
    };
    let is_tag =
        push.kind() == Some(ObjectKind::TagPush) || push.reference.starts_with("refs/tags/");
    let noun = if is_tag { "tag" } else { "branch" };
    let name = ["refs/heads/", "refs/tags/"]
        .iter()
        .find_map(|prefix| push.reference.strip_prefix(prefix))
        .unwrap_or(&push.reference);
    let page = match is_tag {
        true => push.project.page(&format!("tags/{}", path(name))),
        false => push.project.page(&format!("tree/{}", path(name))),
    };
    let (is_new, is_gone) = (is_nothing(&push.before), is_nothing(&push.after));
    let number = in_all(push);
    let verb = match (is_new, is_gone, number) {
        (_, true, _) => format!(" deleted {noun} "),
        (true, _, _) if is_tag => " pushed the new tag ".to_owned(),
        (true, _, _) => " created branch ".to_owned(),
        (_, _, 0) if is_tag => " moved tag ".to_owned(),
        (_, _, 0) => " pushed to branch ".to_owned(),
        (_, _, 1) => format!(" pushed a commit to {noun} "),
        _ => format!(" pushed {number} commits to {noun} "),
    };
    // A deleted branch has no page.
    let page = if is_gone { "" } else { &page };
    let headline = Phrase::of(&user)
        .words(&verb)
        .link(page, name, NAME, "without a name")
        .within(&push.project);
    let draft = Draft::new(headline).project(&push.project);
    if is_gone {
        return draft;
    }
    if is_new {
        return draft.quote(&push.message);
    }
    let draft = draft.context(compared(push));
    match commits(push, number) {
        none if none.is_empty() => draft,
        commits => draft.body(commits).color(SLATE),
    }
}

/// The null id.
fn is_nothing(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|digit| digit == b'0')
}

/// The payload contains at most the last twenty.
fn in_all(push: &Event) -> usize {
    let said = usize::try_from(*push.total_commits_count).unwrap_or_default();
    said.max(push.commits.len())
}

/// The last commits, the latest at the end.
fn commits(push: &Event, in_all: usize) -> String {
    let first = push.commits.len().saturating_sub(MOST);
    let lines = push.commits[first..].iter().map(|commit| {
        let id = line(commit.short_id(), NAME);
        let title = line(commit.title(), TITLE);
        let author = line(commit.author.name.or(&commit.author.username), NAME);
        let id = if id.is_empty() { "commit" } else { &id };
        let id = link(&commit.url, id);
        match author.is_empty() {
            true => format!("{id} {title}"),
            false => format!("{id} {title} · {author}"),
        }
    });
    listed(lines, "\n", in_all, ROOM)
}

fn compared(push: &Event) -> Option<String> {
    let is_id = |id: &str| !id.is_empty() && id.bytes().all(|digit| digit.is_ascii_hexdigit());
    if !is_id(&push.before) || !is_id(&push.after) {
        return None;
    }
    let range = format!("compare/{}...{}", *push.before, *push.after);
    let page = push.project.page(&range);
    (!page.is_empty()).then(|| link(&page, "Compare"))
}
