//! What people have chosen.

use super::quiet::QuietHours;
use crate::error::Result;
use jiff::Timestamp;
use lockstep_server::kept;
use lockstep_server::{Answer, OwnStatement, datum};
use pgrx::pg_sys;
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Choice {
    pub(super) mentions: bool,
    pub(super) direct_messages: bool,
    pub(super) own_actions: bool,
    pub(super) quiet_hours: Option<QuietHours>,
}

impl Default for Choice {
    fn default() -> Self {
        Self {
            mentions: true,
            direct_messages: false,
            own_actions: false,
            quiet_hours: None,
        }
    }
}

/// What a choice means now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chosen {
    pub(crate) mentions: bool,
    pub(crate) direct_messages: bool,
    pub(crate) own_actions: bool,
    /// In quiet hours, how many microseconds are left of them.
    pub(crate) quiet_for: Option<i64>,
}

/// The choices of a batch's people, by team and Slack user.
pub(crate) struct Choices {
    by_person: HashMap<(String, String), Choice>,
    now: Timestamp,
}

kept! {
    static READ: OwnStatement = OwnStatement::by_index(
        &format!(
            "select p.team_id, p.user_id, {} from unnest($2, $3) t (team, person)
               join lockstep_internal.slack_person p on p.schema = $1 and p.team_id = t.team and p.user_id = t.person",
            Choice::COLUMNS
        ),
        &[pg_sys::TEXTOID, pg_sys::TEXTARRAYOID, pg_sys::TEXTARRAYOID],
        &["schema"],
    );
}

impl Choice {
    /// The columns that [`Choice::read`] reads.
    pub(super) const COLUMNS: &str = "p.mentions, p.direct_messages, p.own_actions,
         to_char(p.quiet_from, 'HH24:MI'), to_char(p.quiet_until, 'HH24:MI'), p.time_zone";

    /// Reads from the columns after the first `before`.
    pub(super) fn read(row: &Answer, before: usize) -> Self {
        let is_on = |place: usize| row.get(before + place) == Some(true);
        let text = |place: usize| row.get::<String>(before + place);
        let quiet = match (text(4), text(5), text(6)) {
            (Some(from), Some(until), Some(zone)) => QuietHours::parse(&from, &until, &zone),
            _ => None,
        };
        Self {
            mentions: is_on(1),
            direct_messages: is_on(2),
            own_actions: is_on(3),
            quiet_hours: quiet,
        }
    }
}

impl Choices {
    pub(crate) fn of_people(schema: &str, people: BTreeSet<(String, String)>) -> Result<Self> {
        let mut choices = Self {
            by_person: HashMap::new(),
            now: Timestamp::now(),
        };
        if people.is_empty() {
            return Ok(choices);
        }
        let (teams, users): (Vec<String>, Vec<String>) = people.into_iter().unzip();
        let arguments = [datum(schema), datum(teams), datum(users)];
        READ.with(|read| {
            read.rows(&arguments, |row| {
                if let (Some(team), Some(user)) = (row.get(1), row.get(2)) {
                    let choice = Choice::read(row, 2);
                    choices.by_person.insert((team, user), choice);
                }
            })
        })?;
        Ok(choices)
    }

    pub(crate) fn of(&self, team: &str, user: &str) -> Chosen {
        let key = (team.to_owned(), user.to_owned());
        let choice = self.by_person.get(&key).cloned().unwrap_or_default();
        Chosen {
            mentions: choice.mentions,
            direct_messages: choice.direct_messages,
            own_actions: choice.own_actions,
            quiet_for: choice.quiet_hours.and_then(|hours| hours.left(self.now)),
        }
    }
}
