//! The token of a refused installation: the app must not stay where nobody keeps it.

use secrecy::SecretString;
use serde_json::json;
use tracing::warn;

use super::state::App;
use crate::error::complain;
use crate::slack::Tenant;

/// Revokes it, unless the workspace has the app: Slack may have given the same token again. If that is unknown, it stays.
pub(super) async fn revoke(app: &App, team: &str, token: &SecretString) {
    let tenant = Tenant {
        team,
        enterprise: None,
    };
    match app.database.bot(tenant).await {
        Ok(None) => {}
        Ok(Some(_)) => return,
        Err(error) => {
            complain!(error, "the token of a refused installation stays");
            return;
        }
    }
    if let Err(error) = app.slack.call("auth.revoke", token, &json!({})).await {
        warn!(%error, "cannot revoke the token of a refused installation");
    }
}
