//! The message that shows whether messages arrive.

use serde::Deserialize;
use serde_json::Value;

use super::draft::Draft;
use super::payload::{Part, Project, Text, User, read};
use super::phrase::Phrase;
use super::user_text::{NAME, line};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Test {
    user: Part<User>,
    project: Part<Project>,
    group: Part<Group>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Group {
    name: Text,
    full_path: Text,
    web_url: Text,
}

pub(super) fn draft(event: &Value) -> Draft {
    let test: Test = read(event);
    let (url, name) = match test.project.name() {
        "" => (
            &*test.group.web_url,
            test.group.full_path.or(&test.group.name),
        ),
        name => (test.project.url(), name),
    };
    let headline = Phrase::default()
        .marked("👋 ")
        .words("It works: this channel is told what happens in ")
        .link(url, name, NAME, "its projects");
    let by = line(test.user.name.or(&test.user.username), NAME);
    Draft::new(headline).context((!by.is_empty()).then(|| format!("a test by {by}")))
}
