//! Whether publishers wait for each other's commits: 16 of them, all for one channel of a project.

use anyhow::Result;
use lockstep_tests::gitlab::push;

use super::row;
use super::scene::fill_template;
use crate::Report;
use crate::commit::{self, Comparison};
use crate::server::Server;
use crate::size::Size;

pub(super) const NAME: &str = "notification/commit";

const FILLED: &str = "publishers";

const FILL: &str = "
insert into integrations (id, project_id, type_new, category, active, push_events)
  values (1, 1, 'Integrations::GitlabSlackApplication', 'chat', true, true);
insert into slack_integrations (team_id, team_name, alias, user_id, bot_user_id, encrypted_bot_access_token, encrypted_bot_access_token_iv,
                                created_at, updated_at, integration_id, project_id)
  values ('T', 'Team', 'alias', 'U0123456789', 'B0123456789', sha256('a'), '0123456789ab', now(), now(), 1, 1);
select lockstep.set_slack_notifications(1, '{\"channels\": \"#channel\"}');
create table plain (like lockstep_internal.slack_delivery including all)";

pub(super) fn run(server: &mut Server, size: Size, report: &mut Report) -> Result<()> {
    server.create_template(FILLED, |client| {
        fill_template(client)?;
        client.batch_execute(FILL)?;
        Ok(())
    })?;
    let event = push(1, "Boil the water").to_string().replace('\'', "''");
    let ours = format!("select count(*) from lockstep.publish_event('{event}')");
    let comparison = Comparison {
        name: NAME.to_owned(),
        template: FILLED,
        clients: 16,
        plain: "insert into plain (schema, event, integration_id, slack_integration_id, channel, lane) values ('public', 1, 1, 1, 1, 1)",
        ours: &ours,
        wait: [
            "listen lockstep_delivery",
            "select lockstep_api.delivery_wait(60)",
        ],
        least: 0.6,
        row: &|report, what, rate| {
            let what = format!("publish, 16 clients, slow commits: {what}");
            row(report, &what, rate, "1/s");
        },
    };
    commit::run(server, size, report, &comparison)?;
    server.drop_database(FILLED)
}
