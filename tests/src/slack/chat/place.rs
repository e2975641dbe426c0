//! Where a message goes: a channel by id or name, or a conversation with a user.

use std::collections::BTreeSet;

use super::super::answer::Refusal;
use super::super::request::Request;
use super::super::world::{Channel, Installation, World};

impl World {
    /// The channel of a new message, or the conversation with a user, by the user's id.
    pub(super) fn channel_to_post(
        &mut self,
        installation: &Installation,
        request: &Request,
    ) -> Result<Channel, Refusal> {
        let wanted = request.required("channel")?;
        let channel = match self.users.contains_key(&wanted) {
            true => self.direct(installation, &wanted)?,
            false => self.channel(installation, &wanted)?,
        };
        if channel.id.starts_with('D') && !self.app.has_messages {
            return Err(Refusal::new("messages_tab_disabled"));
        }
        Ok(channel)
    }

    /// A channel that is visible to the app.
    pub(super) fn channel(
        &self,
        installation: &Installation,
        wanted: &str,
    ) -> Result<Channel, Refusal> {
        let not_found = || Refusal::new("channel_not_found");
        let found = match self.channels.get(wanted) {
            Some(channel) => Some(channel),
            // In an org-wide installation a name does not identify the workspace.
            None if installation.is_org_wide && !looks_like_id(wanted) => {
                return Err(Refusal::new("team_not_found"));
            }
            None => {
                let name = wanted.strip_prefix('#').unwrap_or(wanted);
                let named = (installation.tenant.clone(), name.to_owned());
                let id = self.channel_names.get(&named);
                id.and_then(|id| self.channels.get(id))
            }
        };
        let channel = found
            .filter(|channel| self.covers(&installation.tenant, &channel.team_id))
            .ok_or_else(not_found)?;
        if channel.is_private && !channel.members.contains(&installation.bot_user_id) {
            return Err(not_found());
        }
        Ok(channel.clone())
    }

    /// The app's conversation with a user, which starts with the first message.
    fn direct(&mut self, installation: &Installation, user: &str) -> Result<Channel, Refusal> {
        let not_found = || Refusal::new("channel_not_found");
        let found = self.users.get(user).ok_or_else(not_found)?;
        if !self.covers(&installation.tenant, &found.tenant) {
            return Err(not_found());
        }
        if found.is_bot {
            return Err(Refusal::new("cannot_dm_bot"));
        }
        let team_id = found.tenant.clone();
        let both = (installation.bot_user_id.clone(), user.to_owned());
        if let Some(known) = self.directs.get(&both).and_then(|id| self.channels.get(id)) {
            return Ok(known.clone());
        }
        let channel = Channel {
            id: self.id("D"),
            team_id,
            is_private: true,
            members: BTreeSet::from([both.0.clone(), both.1.clone()]),
            ..Channel::default()
        };
        self.directs.insert(both, channel.id.clone());
        self.channels.insert(channel.id.clone(), channel.clone());
        Ok(channel)
    }
}

fn looks_like_id(text: &str) -> bool {
    text.starts_with(['C', 'D', 'G', 'U', 'W'])
        && text
            .chars()
            .all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit())
}
