//! Notifies the managers of a workspace's integrations when somebody renews or replaces its installation.

use std::sync::Arc;

use serde_json::json;
use tracing::info;

use crate::database::{Job, SlackDatabase};
use crate::job::{Failure, Performing, Workers};
use crate::slack::{Owner, SlackClient};
use crate::token::TokenKeys;

/// The database enqueues one for each user.
const NOTICE: &str = "Slack::InstallationNoticeWorker";

pub(crate) struct NoticeWorkers {
    pub(crate) database: SlackDatabase,
    pub(crate) slack: SlackClient,
    pub(crate) token_keys: Arc<TokenKeys>,
}

impl Workers for NoticeWorkers {
    fn names(&self) -> Vec<&'static str> {
        vec![NOTICE]
    }

    fn perform<'a>(&'a self, job: &'a Job) -> Performing<'a> {
        Box::pin(self.tell(job))
    }
}

impl NoticeWorkers {
    async fn tell(&self, job: &Job) -> Result<(), Failure> {
        let owner = Owner::of_args(&job.args);
        let text_of = |name: &str| job.args[name].as_str().filter(|text| !text.is_empty());
        let people = text_of("user_id").zip(text_of("installer"));
        let (Some(owner), Some((user, installer)), Some(at)) =
            (owner, people, job.args["at"].as_u64())
        else {
            return Err(Failure::Arguments(
                "{team_id, enterprise_id, user_id, installer, at}",
            ));
        };
        let Some(bot) = self.database.bot(owner.tenant()).await? else {
            return Ok(());
        };
        let opened = self.token_keys.open(&bot.token);
        let (token, _) = opened.map_err(|error| Failure::Slack(error.to_string()))?;
        let text = format!(
            "<@{installer}> installed the GitLab app in this workspace again (<!date^{at}^{{date_short_pretty}} {{time}}|just now>). \
             The projects that you manage are connected as before. If you did not expect this, ask them why."
        );
        let arguments =
            json!({ "channel": user, "text": text, "unfurl_links": false, "unfurl_media": false });
        match self
            .slack
            .call("chat.postMessage", &token, &arguments)
            .await
        {
            Ok(_) => Ok(()),
            Err(error) if error.is_transient() => Err(error.into()),
            Err(error) => {
                info!(%error, team = owner.team, user, "cannot notify a manager of an installation");
                Ok(())
            }
        }
    }
}
