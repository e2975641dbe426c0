//! The paths.

/// The paths in the manifest of GitLab's Slack app.
pub(crate) const EVENTS: &str = "/api/v4/integrations/slack/events";
pub(crate) const INTERACTIONS: &str = "/api/v4/integrations/slack/interactions";
pub(crate) const OPTIONS: &str = "/api/v4/integrations/slack/options";
pub(crate) const COMMANDS: &str = "/api/v4/slack/trigger";

/// GitLab's webhooks.
pub(crate) const HOOKS: &str = "/gitlab/hooks";

pub(crate) const INSTALL: &str = "/slack/install";
pub(crate) const INSTALLED: &str = "/slack/install/callback";
pub(crate) const SIGN_IN: &str = "/sign-in";
pub(crate) const STYLE: &str = "/style.css";
pub(crate) const STATUS: &str = "/status";
pub(crate) const STATUS_PART: &str = "/status/part";
pub(crate) const STATUS_SCRIPT: &str = "/status.js";
