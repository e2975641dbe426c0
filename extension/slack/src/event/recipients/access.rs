//! Whether a direct message that has its turn may still be sent: while it waited, for whatever reason, its reader may have lost
//! access, unlinked the account, or chosen otherwise.

use super::person::{Circle, role_of};
use super::protection::ChatNames;
use super::scope::{Scope, Scopes};
use crate::error::Result;
use crate::event::person::Choices;
use crate::event::read::{Occurrence, People};
use crate::event::tables::Tables;

/// A direct message about an event.
pub(crate) struct DirectMessage<'a> {
    pub(crate) team: &'a str,
    pub(crate) user: &'a str,
    /// The payload.
    pub(crate) event: &'a str,
}

/// For each of these messages, whether its reader still wants it and still has a role where it happened.
pub(crate) fn may_be_sent(schema: &str, messages: &[DirectMessage]) -> Result<Vec<bool>> {
    if messages.is_empty() {
        return Ok(Vec::new());
    }
    let tables = Tables::attached(schema)?;
    let people = messages
        .iter()
        .map(|it| (it.team.to_owned(), it.user.to_owned()));
    let choices = Choices::of_people(schema, people.collect())?;
    let no_names = ChatNames::default();
    let mut circle = Circle::new(&no_names, &choices);
    let events: Vec<Option<Occurrence>> = messages
        .iter()
        .map(|it| Occurrence::read(it.event).ok())
        .collect();
    let places = events.iter().flatten().map(|event| &event.place);
    let scopes = tables.as_owner(|| Scopes::look_up(&tables, places));
    // Of those who still want direct messages: the place and the role.
    let wanted =
        |(message, event): (&DirectMessage, &'_ Option<Occurrence>)| -> Option<(Scope, i32)> {
            let event = event.as_ref()?;
            let scope = scopes.of(&event.place)?;
            let wants = choices.of(message.team, message.user).direct_messages;
            wants.then(|| (scope.clone(), People::read(message.event, event.kind).role))
        };
    let wanted: Vec<Option<(Scope, i32)>> = messages.iter().zip(&events).map(wanted).collect();
    let both = || messages.iter().zip(&wanted);
    let asked = both().filter_map(|(it, wanted)| {
        let (scope, role) = wanted.as_ref()?;
        role_of(it.team, it.user, scope, *role)
    });
    circle.look_up(schema, asked.collect());
    let may_be_sent = both().map(|(it, wanted)| {
        let wanted = wanted.as_ref();
        wanted.is_some_and(|(scope, role)| circle.has_role(it.team, it.user, scope, *role))
    });
    Ok(may_be_sent.collect())
}
