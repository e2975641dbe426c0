//! The database for `status`: fifty workspaces with twenty projects each.

use anyhow::Result;
use lockstep_tests::host::{self, Layout};

use super::command::TEAM;
use super::rounds::Course;
use crate::server::Server;

pub(super) const TEMPLATE: &str = "slack";

/// The alias of one project in the workspace.
pub(super) const ALIAS: &str = "group/project-7";

const WORKSPACES: u32 = 50;
const PROJECTS: u32 = 20;

/// Fills the template. Without the course that queries it, a database without tables is enough.
pub(super) fn create(server: &mut Server, courses: &[Course]) -> Result<()> {
    let is_asked = courses.contains(&Course::Status);
    server.create_template(TEMPLATE, |client| {
        client.batch_execute("create extension lockstep_slack cascade")?;
        if !is_asked {
            return Ok(());
        }
        host::create(client, Layout::Wide)?;
        client.batch_execute(&format!(
            "insert into projects (id, name, path, namespace_id, project_namespace_id, organization_id)
             select n, 'project ' || n, 'project-' || n, 1, 1000000 + n, 1 from generate_series(1, {WORKSPACES} * {PROJECTS}) n;
             select lockstep.attach(); select lockstep.attach_slack();
             select lockstep.install_slack_workspace(
               team_id => case workspace when 1 then '{TEAM}' else 'T' || workspace end, team_name => 'Example',
               user_id => 'U0BENCH01', bot_user_id => 'U0BOT', token => '\\x00', token_iv => '\\x00',
               scopes => '{{commands, chat:write, chat:write.public}}',
               project_id => (workspace - 1) * {PROJECTS} + project, alias => 'group/project-' || project)
               from generate_series(1, {WORKSPACES}) workspace, generate_series(1, {PROJECTS}) project;
             update integrations set push_events = true, issues_events = true, merge_requests_events = true, note_events = true;"
        ))?;
        Ok(())
    })
}
