//! Channels that a workspace cannot send to now: it has no token, or Slack does not take messages for the channel.

use super::decided::Decided;
use crate::error::Result;
use crate::event::recipients::By;
use crate::slack_workspace::with_token;
use crate::subscription;
use lockstep_server::kept;
use lockstep_server::{OwnStatement, datum, keys_argument};
use pgrx::pg_sys;
use std::collections::{BTreeSet, HashSet};

kept! {
    static TROUBLED: OwnStatement = OwnStatement::by_index(
        "select t.integration_id, t.team_id, t.channel
           from unnest($2) i (id) join lockstep_internal.slack_channel_trouble t on t.schema = $1 and t.integration_id = i.id",
        &[pg_sys::TEXTOID, pg_sys::INT8ARRAYOID],
        &["schema"],
    );
}

#[derive(Default)]
pub(super) struct Unreached {
    without_token: HashSet<String>,
    of_integrations: HashSet<(i64, String, String)>,
    subscriptions: BTreeSet<i64>,
}

impl Unreached {
    /// Of what is sent of these events, in these workspaces.
    pub(super) fn look_up(
        events: &[&mut Decided],
        teams: BTreeSet<&str>,
        schema: &str,
    ) -> Result<Self> {
        let with_token = with_token(schema, teams.iter().copied())?;
        let without_token = teams.into_iter().filter(|team| !with_token.contains(*team));
        let candidates = events.iter().flat_map(|it| &it.candidates);
        let told = candidates.filter(|it| it.told.is_ok());
        let told: Vec<By> = told.map(|it| it.candidate.by).collect();
        let integrations: BTreeSet<i64> = told.iter().filter_map(By::integration).collect();
        let subscriptions: BTreeSet<i64> = told.iter().filter_map(By::subscription).collect();
        let mut of_integrations = HashSet::new();
        if !integrations.is_empty() {
            let ids: Vec<i64> = integrations.into_iter().collect();
            let arguments = [datum(schema), keys_argument(&ids)];
            TROUBLED.with(|own| {
                own.rows(&arguments, |row| {
                    let found = row.get(1).zip(row.get(2)).zip(row.get(3));
                    of_integrations.extend(found.map(|((id, team), name)| (id, team, name)));
                })
            })?;
        }
        let subscriptions: Vec<i64> = subscriptions.into_iter().collect();
        Ok(Self {
            without_token: without_token.map(str::to_owned).collect(),
            of_integrations,
            subscriptions: subscription::unreached(&subscriptions)?,
        })
    }

    pub(super) fn reaches(&self, by: By, team: &str, channel: &str) -> bool {
        let is_troubled = match by {
            By::Integration(id) => {
                let place = (id, team.to_owned(), channel.to_owned());
                self.of_integrations.contains(&place)
            }
            By::Subscription(id) => self.subscriptions.contains(&id),
        };
        !is_troubled && !self.without_token.contains(team)
    }
}
