//! Tokens: issuing, checking, exchanging and revoking them.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::answer::Refusal;
use super::request::Request;
use super::world::{Installation, World};

/// Slack keeps two access tokens of an installation alive, so that an exchange does not cut anybody off at once.
const LIVE_TOKENS: usize = 2;

/// An access token of a bot.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) tenant: String,
    pub(crate) expires_at: Option<SystemTime>,
    pub(crate) end: Option<End>,
    number: u64,
}

/// Why a token ended before it expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Revoked,
    /// The app was uninstalled from the workspace.
    Inactive,
}

/// Exchanged once for a new access token.
#[derive(Clone, Debug)]
pub(crate) struct RefreshToken {
    pub(crate) tenant: String,
    pub(crate) is_used: bool,
}

/// What an installation received: an access token, and with rotation its lifetime and refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    pub access_token: String,
    /// Seconds.
    pub expires_in: Option<u64>,
    pub refresh_token: Option<String>,
}

impl World {
    /// Issues a token. Without rotation a workspace has a single token while the app is installed.
    pub(crate) fn issue(&mut self, tenant: &str) -> Issued {
        if !self.app.rotates_tokens {
            let known = self.tokens.iter().find(|(_, token)| {
                token.tenant == tenant && token.end.is_none() && token.expires_at.is_none()
            });
            let access_token = match known {
                Some((text, _)) => text.clone(),
                None => self.new_token("xoxb", tenant, None),
            };
            return Issued {
                access_token,
                expires_in: None,
                refresh_token: None,
            };
        }
        let expires_at = self.now() + self.app.token_life;
        let access_token = self.new_token("xoxe.xoxb-1", tenant, Some(expires_at));
        self.revoke_oldest(tenant);
        let refresh_token = format!("xoxe-1-{tenant}-{:08}", self.number());
        self.refresh_tokens.insert(
            refresh_token.clone(),
            RefreshToken {
                tenant: tenant.to_owned(),
                is_used: false,
            },
        );
        Issued {
            access_token,
            expires_in: Some(self.app.token_life.as_secs()),
            refresh_token: Some(refresh_token),
        }
    }

    fn new_token(&mut self, prefix: &str, tenant: &str, expires_at: Option<SystemTime>) -> String {
        let number = self.number();
        let text = format!("{prefix}-{tenant}-{number:08}");
        self.tokens.insert(
            text.clone(),
            Token {
                tenant: tenant.to_owned(),
                expires_at,
                end: None,
                number,
            },
        );
        text
    }

    fn revoke_oldest(&mut self, tenant: &str) {
        let mut live: Vec<&mut Token> = self
            .tokens
            .values_mut()
            .filter(|token| token.tenant == tenant && token.end.is_none())
            .collect();
        live.sort_by_key(|token| token.number);
        let excess = live.len().saturating_sub(LIVE_TOKENS);
        for token in live.into_iter().take(excess) {
            token.end = Some(End::Revoked);
        }
    }

    /// Ends every access and refresh token of a workspace or organization.
    pub(crate) fn end_tokens(&mut self, tenant: &str, end: End) {
        for token in self.tokens.values_mut() {
            if token.tenant == tenant && token.end.is_none() {
                token.end = Some(end);
            }
        }
        self.refresh_tokens
            .retain(|_, refresh| refresh.tenant != tenant);
    }

    /// The installation that a call's token belongs to.
    pub(crate) fn authenticate(&self, request: &Request) -> Result<Installation, Refusal> {
        let text = request
            .token
            .as_deref()
            .ok_or_else(|| Refusal::new("not_authed"))?;
        let token = self
            .tokens
            .get(text)
            .ok_or_else(|| Refusal::new("invalid_auth"))?;
        match token.end {
            Some(End::Revoked) => return Err(Refusal::new("token_revoked")),
            Some(End::Inactive) => return Err(Refusal::new("account_inactive")),
            None => {}
        }
        if token.expires_at.is_some_and(|end| end <= self.now()) {
            return Err(Refusal::new("token_expired"));
        }
        self.installations
            .get(&token.tenant)
            .cloned()
            .ok_or_else(|| Refusal::new("account_inactive"))
    }

    /// `auth.revoke`: ends the call's token.
    pub(crate) fn revoke(
        &mut self,
        installation: &Installation,
        request: &Request,
    ) -> Result<Value, Refusal> {
        if request.flag("test") {
            return Ok(json!({ "revoked": false }));
        }
        if let Some(token) = request
            .token
            .as_ref()
            .and_then(|text| self.tokens.get_mut(text))
        {
            token.end = Some(End::Revoked);
        }
        self.tell_revoked(installation);
        Ok(json!({ "revoked": true }))
    }

    /// Notifies the app that its bot tokens are revoked.
    pub(crate) fn tell_revoked(&mut self, installation: &Installation) {
        let tokens = json!({ "oauth": [], "bot": [installation.bot_user_id] });
        self.push_event(
            installation,
            json!({ "type": "tokens_revoked", "tokens": tokens }),
        );
    }
}
