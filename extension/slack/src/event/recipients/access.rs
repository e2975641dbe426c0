//! Whether a direct message that has waited for the end of quiet hours may still be sent: meanwhile its reader may have lost access,
//! unlinked the account, or chosen otherwise.

use super::person::Circle;
use super::protection::ChatNames;
use super::scope::Scopes;
use crate::error::Result;
use crate::event::person::Choices;
use crate::event::read::{Occurrence, People};
use crate::event::tables::Tables;

/// A direct message about an event.
pub(crate) struct Waited<'a> {
    pub(crate) team: &'a str,
    pub(crate) user: &'a str,
    /// The payload.
    pub(crate) event: &'a str,
}

/// For each of these messages, whether its reader still wants it and still has a role where it happened.
pub(crate) fn may_be_sent(schema: &str, messages: &[Waited]) -> Result<Vec<bool>> {
    if messages.is_empty() {
        return Ok(Vec::new());
    }
    let tables = Tables::attached(schema)?;
    let people = messages
        .iter()
        .map(|it| (it.team.to_owned(), it.user.to_owned()));
    let choices = Choices::of_people(schema, people.collect())?;
    let no_names = ChatNames::default();
    let circle = Circle::new(schema, &no_names, &choices);
    let events: Vec<Option<Occurrence>> = messages
        .iter()
        .map(|it| Occurrence::read(it.event).ok())
        .collect();
    let places = events.iter().flatten().map(|event| &event.place);
    let scopes = tables.as_owner(|| Scopes::look_up(&tables, places));
    let may_be_sent = |(message, event): (&Waited, &Option<Occurrence>)| {
        let Waited {
            team,
            user,
            event: text,
        } = message;
        let Some(event) = event else {
            return Ok(false);
        };
        match scopes.of(&event.place) {
            Some(scope) if choices.of(team, user).direct_messages => {
                circle.has_role(team, user, scope, People::read(text, event.kind).role)
            }
            _ => Ok(false),
        }
    };
    messages.iter().zip(&events).map(may_be_sent).collect()
}
